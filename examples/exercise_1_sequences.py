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
# # Exercise 1: five proteins as tensors
#
# **What you will see.** Five sequences of different lengths become one (5, 30) tensor of integers, with
# padding, and a mask that is 0 where there is padding. The shape is printed at each step. Then the same
# in one call. The extension: five features of each protein, a (5, 5) tensor.

# %%
import numpy as np
import torch

import leastwise as lw

# %% [markdown]
# ## Step 1: strings

# %%
proteins = {
    "haemoglobin alpha, start": "MVLSPAD",
    "oxytocin": "CYIQNCPLG",
    "insulin A chain": "GIVEQCCTSICSLYQLENYCN",
    "glucagon": "HSQGTFTSDYSKYLDSRRAQDFVQWLMNT",
    "insulin B chain": "FVNQHLCGSHLVEALYLVCGERGFFYTPKT",
}
sequences = list(proteins.values())
lengths = [len(sequence) for sequence in sequences]
print(len(sequences), "sequences of", lengths, "residues")

# %% [markdown]
# ## Step 2: integers
#
# 1 to 20 in the order of the alphabet. 0 is kept for padding. Each sequence is a tensor of its own length
# still.

# %%
ALPHABET = "ACDEFGHIKLMNPQRSTVWY"
AA_TO_IDX = {aa: i + 1 for i, aa in enumerate(ALPHABET)}

integers = [torch.tensor([AA_TO_IDX[aa] for aa in sequence]) for sequence in sequences]
print("shapes", [tuple(tensor.shape) for tensor in integers])
print("first ", integers[0].tolist())

# %% [markdown]
# **Erratum 1.** The note prints `[11, 19, 10, 16, 14, 1, 3]` for `MVLSPAD`. V is the 18th letter and P
# the 13th.
#
# ## Step 3: padding
#
# All rows get the length of the longest, with zeros on the right.

# %%
longest = max(lengths)
padded = torch.zeros(len(sequences), longest, dtype=torch.long)  # (5, 30)
for i, tensor in enumerate(integers):
    padded[i, : len(tensor)] = tensor
print("padded", tuple(padded.shape))
print(padded[:2])

# %% [markdown]
# ## Step 4: the mask
#
# 1 where there is a residue, 0 where there is padding.

# %%
mask = torch.zeros(len(sequences), longest, dtype=torch.long)  # (5, 30)
for i, length in enumerate(lengths):
    mask[i, :length] = 1
print("mask", tuple(mask.shape), "with", mask.sum(dim=1).tolist(), "ones a row")

padding_is_masked = all((mask[i, length:] == 0).all() for i, length in enumerate(lengths))
print("padding has mask 0:", bool(padding_is_masked))

# %% [markdown]
# What is the mask for? A mean over residues must not count the padding. Here is the share of cysteine in
# oxytocin, without the mask and with it:

# %%
is_cysteine = (padded == AA_TO_IDX["C"]).float()  # (5, 30)
without = is_cysteine[1].mean()
with_mask = (is_cysteine[1] * mask[1]).sum() / mask[1].sum()
print(f"without the mask {without:.3f}, with it {with_mask:.3f} = 2/9")

# %% [markdown]
# ## Step 5: one-hot

# %%
hot = torch.zeros(len(sequences), longest, 20)  # (5, 30, 20)
for i, tensor in enumerate(integers):
    hot[i, torch.arange(len(tensor)), tensor - 1] = 1.0
print("one-hot", tuple(hot.shape))
print("ones   ", int(hot.sum()), "= all residues:", sum(lengths))

# %% [markdown]
# ## The same with leastwise

# %%
encoded = lw.sequences.encode(sequences)
print("indices", tuple(encoded.indices.shape), "equal:", torch.equal(encoded.indices, padded))
print("mask   ", tuple(encoded.mask.shape), "equal:", torch.equal(encoded.mask, mask.bool()))
print("one-hot", "equal:", torch.equal(lw.sequences.one_hot(sequences), hot))

# %% [markdown]
# A letter that is no amino acid is refused. With `unknown="mask"` it becomes 0, with mask 0 too, so no
# mean takes it in.

# %%
try:
    lw.sequences.encode(["MVXL"])
except lw.errors.SequenceError as error:
    print(error)
masked = lw.sequences.encode(["MVXL"], unknown="mask")
print(masked.indices.tolist(), masked.mask.tolist())

# %% [markdown]
# ## Extension: five features of each protein
#
# The exercise and its extension in five lines:

# %%
encoded = lw.sequences.encode(sequences)
table = lw.sequences.features(sequences)
names = ["molecular_weight", "isoelectric_point", "gravy", "instability_index", "length"]
five = torch.from_numpy(np.column_stack([np.asarray(table[name]) for name in names]))
print(encoded.indices.shape, encoded.mask.shape, bool(encoded.mask[encoded.indices == 0].any()), five.shape)

# %% [markdown]
# The same slowly. By hand first, for two of them: the length, and GRAVY, the mean hydropathy of Kyte and
# Doolittle.

# %%
KYTE_DOOLITTLE = dict(
    zip(
        ALPHABET,
        [
            1.8,
            2.5,
            -3.5,
            -3.5,
            2.8,
            -0.4,
            -3.2,
            4.5,
            -3.9,
            3.8,
            1.9,
            -3.5,
            -1.6,
            -3.5,
            -4.5,
            -0.8,
            -0.7,
            4.2,
            -0.9,
            -1.3,
        ],
        strict=True,
    )
)
gravy = [sum(KYTE_DOOLITTLE[aa] for aa in sequence) / len(sequence) for sequence in sequences]
print("GRAVY by hand", [round(value, 3) for value in gravy])

# %% [markdown]
# `lw.sequences.features` gives twenty-six columns, equal to what ExPASy's ProtParam prints. It is a table
# of the library that you use. Five of its columns are what the note asks for.

# %%
features = five  # (5, 5)
print("features", tuple(features.shape))
print(
    f"{'':26}" + "".join(f"{name:>13}" for name in ("weight [Da]", "pI", "GRAVY", "instability", "length"))
)
for protein, values in zip(proteins, features.tolist(), strict=True):
    print(f"{protein:26}" + "".join(f"{value:13.2f}" for value in values))
print("GRAVY equal to that by hand:", np.allclose(features[:, 2], gravy))
