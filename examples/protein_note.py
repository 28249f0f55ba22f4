# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a protein's sequence to its melting temperature
#
# **What you will see.** The six stages of the protein note, on real data. First tensors and their shapes.
# `MVLSPAD` becomes (7,), then (7, 20), then (1, 7, 20). One complete learning step on 100 simulated
# proteins lowers the loss. Then 4,165 real proteins, and an honest answer: how much of the melting
# temperature a linear model reads off the sequence.

# %%
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

import leastwise as lw

# %% [markdown]
# ## The six stages
#
# | stage | in the note | in this lesson |
# |---|---|---|
# | 1 collection | proteins and their labels | `meltome.csv.gz`, which comes with the package |
# | 2 preprocessing | unknown letters, stop signs | `unknown="mask"`, and a count of what was changed |
# | 3 features | numbers for each protein | 26 columns, as ProtParam gives them |
# | 4 training | lower the loss | `lw.fit`: the least loss there is, in one pass |
# | 5 evaluation | proteins that are truly new | folds that never part relatives |
# | 6 deployment | predict new proteins | `lw.save`, `lw.load`, `predict` |
#
# ## Tensors
#
# A tensor is an array of numbers with a shape, a type and a device.

# %%
hydropathy = torch.tensor([1.8, -4.5, 2.5])  # (3,): of A, R, C
zeros = torch.zeros(3, 4)  # (3, 4)
bridge = torch.from_numpy(np.array([[1.0, 2.0], [3.0, 4.0]]))  # (2, 2)

for name, tensor in (("hydropathy", hydropathy), ("zeros", zeros), ("from NumPy", bridge)):
    print(f"{name:11} shape {tuple(tensor.shape)!s:7} {tensor.dtype} on {tensor.device}")

# %% [markdown]
# Operations go cell by cell. `@` is the matrix product. A smaller tensor is stretched to match a larger
# one, which is called broadcasting.

# %%
torch.manual_seed(0)
one, two, row = torch.randn(3, 4), torch.randn(3, 4), torch.randn(4)
print("one + two       ", tuple((one + two).shape))
print("one @ two.T     ", tuple((one @ two.T).shape))
print("one + row       ", tuple((one + row).shape), "the row is added to all three")
print("one.sum()       ", tuple(one.sum().shape), "a scalar")
print("one.mean(dim=-1)", tuple(one.mean(dim=-1).shape))

# %% [markdown]
# A GPU multiplies large matrices faster. All tensors of an operation must be on the same device.

# %%
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
large = torch.randn(1000, 1000).to(device)
print("large @ large.T ", tuple((large @ large.T).shape), "on", device.type)

# %% [markdown]
# ## A sequence as a tensor
#
# Each of the twenty amino acids has an index from 1 to 20, and 0 is for padding.

# %%
sequence = "MVLSPAD"  # the first residues of human haemoglobin alpha
AA_TO_IDX = {aa: i + 1 for i, aa in enumerate("ACDEFGHIKLMNPQRSTVWY")}

indices = [AA_TO_IDX[aa] for aa in sequence]
seq_tensor = torch.tensor(indices)  # (7,)

one_hot = torch.zeros(len(sequence), 20)  # (7, 20)
for i, idx in enumerate(indices):
    one_hot[i, idx - 1] = 1.0  # idx counts from 1, the columns from 0

batched = one_hot.unsqueeze(0)  # (1, 7, 20)

print("letters", list(sequence))
print("indices", indices)
print("integer encoding", tuple(seq_tensor.shape))
print("one-hot encoding", tuple(one_hot.shape))
print("with a batch    ", tuple(batched.shape))

# %% [markdown]
# **Erratum 1.** The note prints `[11, 19, 10, 16, 14, 1, 3]` for this very code. That is what it would be
# if V were 19 and P were 14. But 19 is W and 14 is Q. The code gives `[11, 18, 10, 16, 13, 1, 3]`.
#
# leastwise does both in one call. A batch is the normal case, so the first axis is always there.

# %%
encoded = lw.sequences.encode([sequence])
hot = lw.sequences.one_hot([sequence])  # (1, 7, 20)
print("encode ", tuple(encoded.indices.shape), encoded.indices.tolist()[0])
print("one_hot", tuple(hot.shape), "equal to the above:", torch.equal(hot, batched))

# %% [markdown]
# ## One complete learning step
#
# 100 proteins with 10 features each, all simulated. Model, loss, gradients, update.
#
#     y_pred = X W + b          (100, 1) = (100, 10) @ (10, 1) + (1,)

# %%
torch.manual_seed(0)
X = torch.randn(100, 10)  # (100, 10)
y = torch.randn(100, 1) * 10 + 60  # (100, 1) degrees C

W = torch.randn(10, 1, requires_grad=True)  # (10, 1)
b = torch.zeros(1, requires_grad=True)  # (1,)
start = W.detach().clone(), b.detach().clone()

y_pred = X @ W + b  # (100, 1)
loss = ((y_pred - y) ** 2).mean()
loss.backward()

lr = 0.01
with torch.no_grad():
    W -= lr * W.grad
    b -= lr * b.grad

with torch.no_grad():  # only predictions are wanted: nothing is recorded
    T_m_pred = X @ W + b  # (100, 1)
    loss_new = ((T_m_pred - y) ** 2).mean()

print("predictions", tuple(y_pred.shape))
print(f"loss before the update {loss.item():.2f}")
print(f"loss after the update  {loss_new.item():.2f}")
print("under no_grad the predictions carry a graph:", T_m_pred.requires_grad)

# %% [markdown]
# The same step with leastwise, and where further steps lead. The loss is in degrees C squared.

# %%
step = lw.descend((X, y), start=start, lr=lr, steps=1, method="autograd")
more = step.again(method="moments", steps=1000)
print(f"lw.descend, 1 step:      {step.loss[0]:.2f} -> {step.loss[1]:.2f}")
print(f"lw.descend, 1,000 steps: {more.loss[-1]:.2f}, the least possible is {more.least:.2f}")

# %% [markdown]
# The features here are pure chance. So the training loss goes down, and still nothing was learned. The
# score on unseen rows says so: R2 is below 0, which is worse than always answering the mean.

# %%
chance = lw.fit((X, y)).validation
print(f"R2 on the training rows {chance.train_r2.mean():.2f}")
print(f"R2 on unseen rows       {chance.r2.mean():.2f}")

# %% [markdown]
# ## Real melting temperatures
#
# Stages 1 to 4. The Meltome atlas (Jarzab et al., 2020) holds melting points of proteins, measured by
# mass spectrometry. 4,165 sequences of it come with the package. The sequence is the only thing that the
# model sees. The note speaks of ten features; leastwise computes twenty-six, with the values that ExPASy's
# ProtParam prints.

# %%
data = files("leastwise") / "data" / "meltome.csv.gz"
fit = lw.fit(data, target="melting_point", sequence="sequence", unknown="mask")

print(f"{fit.tally.read:,} rows read = {fit.tally.used:,} used")
for note in fit.notes:
    print("note:", note)

# %% [markdown]
# ### What was found
#
# A weight is what one unit of the feature adds to the prediction, the other features held. The units
# differ, so the weights cannot be compared with one another. t is the weight over its standard error:
# beyond about 2 either way, it is hardly chance.

# %%
errors = fit.inference.se[0, 1:]  # (15,); the bias stands first
print(f"{'feature':24}{'weight':>12}{'t':>8}")
for name, weight, error in zip(fit.names, fit.coef, errors, strict=True):
    print(f"{name:24}{weight:12.4g}{weight / error:8.1f}")
print(f"{'bias':24}{fit.intercept:12.4g}")

# %% [markdown]
# More hydrophobic proteins (a higher GRAVY) are predicted to melt later, as the note guesses. But
# careful: length and molecular weight are nearly the same column. Their two weights work against each
# other, and neither means much alone.
#
# ### How good is it?
#
# Stage 5. Related proteins resemble each other in sequence and in melting temperature. A random split
# would test on near copies of what was trained on. leastwise puts relatives into one group, and a group
# into one fold. (It sees kinship down to about 60 % identity, not to 30 %.)

# %%
score = fit.validation
r2, r2_spread = score.over_folds("r2")
rmse, _ = score.over_folds("rmse")
mean_rmse, _ = score.over_folds("mean_rmse")
groups = fit.facts["validation"]["plan"]["groups"]

print(f"{groups:,} groups of relatives in {score.k} folds")
print(f"R2 on unseen proteins   {r2:.3f} ± {r2_spread:.3f}")
print("  fold by fold         ", score.r2.round(3))
print(f"R2 on training proteins {score.train_r2.mean():.3f}")
print(f"typical error           {rmse:.2f} degrees C")
print(f"always the mean         {mean_rmse:.2f} degrees C")

# %% [markdown]
# So twenty-six numbers explain about a fifth of the variance. The typical error falls from 5.2 to 4.6
# degrees. That is little, and it is real: R2 is above 0 in every fold. The model sees neither the order
# of the residues, nor the shape of the protein, nor the organism that it is from.
#
# ### Deployment
#
# Stage 6. The model is one small file. Loading it runs no code. A new protein comes as a table with the
# column that the model reads.

# %%
haemoglobin = (
    "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAV"
    "AHVDDMPNALSALSDLHAHKLRVDPVNFKLLSHCLLVTLAAHLPAEFTPAVHASLDKFLASVSTVLTSKYR"
)
new = pa.table({"sequence": [haemoglobin]})

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "melting.safetensors"
    lw.save(fit, file)
    model = lw.load(file)

guess = model.predict(new, interval=0.95)
print(f"haemoglobin alpha, {len(haemoglobin)} residues")
print(f"predicted {guess.prediction[0]:.1f} degrees C, 95 % from {guess.low[0]:.1f} to {guess.high[0]:.1f}")

# %% [markdown]
# The interval is nearly as wide as the spread of the data. A model that says how little it knows is worth
# more than one that does not.
#
# **Erratum 7.** The note's loss is the mean of the squares, as in leastwise. The other documents halve it
# or sum it. `fit` gives the same weights whichever it is; the rate of a descent has to change with it.
