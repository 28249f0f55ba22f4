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
# # What the four documents get wrong
#
# **What you will see.** Seven errata, each by running it: what the document says, what comes out, what is
# right. Nobody's first write-up is free of such slips. Finding them by running the code is a good habit.

# %%
import numpy as np
import torch
from sklearn.linear_model import HuberRegressor, Lasso, Ridge

import leastwise as lw

# %% [markdown]
# ## Erratum 1: the indices of MVLSPAD
#
# The protein note prints `[11, 19, 10, 16, 14, 1, 3]`. Its own code, run:

# %%
ALPHABET = "ACDEFGHIKLMNPQRSTVWY"
AA_TO_IDX = {aa: i + 1 for i, aa in enumerate(ALPHABET)}

printed = [11, 19, 10, 16, 14, 1, 3]
found = [AA_TO_IDX[aa] for aa in "MVLSPAD"]
right = lw.sequences.encode(["MVLSPAD"]).indices[0].tolist()

print("erratum 1: the note prints", printed, "which spells", "".join(ALPHABET[i - 1] for i in printed))
print("           its code gives ", found, "which spells", "".join(ALPHABET[i - 1] for i in found))
print("           leastwise gives", right)

# %% [markdown]
# ## Erratum 2: a parameter and a method that are not there
#
# The class has the parameter `learning_rate`, and no `predict`. It is used with `lr=0.1`, and `predict`
# is called.


# %%
class LinearRegression:
    """The document's class, as far as it matters here."""

    def __init__(self, input_dim, output_dim, learning_rate=0.01):
        self.weights = torch.randn(input_dim, output_dim, requires_grad=True)
        self.bias = torch.zeros(output_dim, requires_grad=True)
        self.lr = learning_rate

    def forward(self, X):
        return X @ self.weights + self.bias


stops = []
try:
    LinearRegression(input_dim=1, output_dim=1, lr=0.1)
except TypeError as error:
    stops.append(str(error))
try:
    LinearRegression(input_dim=1, output_dim=1, learning_rate=0.1).predict(torch.tensor([[4.0]]))
except AttributeError as error:
    stops.append(str(error))
print("erratum 2:", *stops, sep="\n  ")

torch.manual_seed(0)
model = lw.teach.LinearRegression(input_dim=1, output_dim=1, learning_rate=0.1)
print("  lw.teach.LinearRegression predicts with shape", tuple(model.predict(torch.tensor([[4.0]])).shape))

# %% [markdown]
# ## Erratum 3: which alpha is which lambda
#
# The document's objectives, with a half mean:
#
#     L2   1/(2n) SSE + lam |w|^2          Ridge(alpha) minimises SSE + alpha |w|^2
#     L1   1/(2n) SSE + lam |w|_1          Lasso(alpha) minimises 1/(2n) SSE + alpha |w|_1
#
# Multiply the first by 2n: `alpha = 2 n lam`. The second is the same as it stands. The document's
# objective is written down below, and its gradient is taken where scikit-learn stops. At a minimum it is
# zero.

# %%
rng = np.random.default_rng(0)
X = rng.normal(size=(100, 3))  # (100, 3)
y = X @ [2.0, -3.0, 1.0] + 0.5 + 0.1 * rng.normal(size=100)  # (100,)
n, lam = len(X), 0.1


def slope(coef, intercept):
    """The largest slope of 1/(2n) SSE + lam |w|^2 in any weight."""
    w = torch.tensor(coef, requires_grad=True)
    residual = torch.from_numpy(X) @ w + intercept - torch.from_numpy(y)
    (residual.pow(2).sum() / (2 * n) + lam * w.pow(2).sum()).backward()
    return float(w.grad.abs().max())


wrong = Ridge(alpha=lam).fit(X, y)
ridge = Ridge(alpha=2 * n * lam).fit(X, y)
ours = lw.descend((X, y), penalty=lw.L2(lam), steps=500)
print("erratum 3: slope of the document's L2 objective at the solution of")
print(f"  Ridge(alpha=lam)      {slope(wrong.coef_, wrong.intercept_):.1e}   {wrong.coef_.round(5)}")
print(f"  Ridge(alpha=2 n lam)  {slope(ridge.coef_, ridge.intercept_):.1e}   {ridge.coef_.round(5)}")
print(f"  lw.L2(lam)            {slope(ours.coef[-1], ours.intercept[-1]):.1e}   {ours.coef[-1].round(5)}")

lasso = Lasso(alpha=lam, tol=1e-12).fit(X, y)
ours_l1 = lw.descend((X, y), penalty=lw.L1(lam), steps=500)
print(f"  L1: lw.L1(lam) and Lasso(alpha=lam) differ by {np.abs(ours_l1.coef[-1] - lasso.coef_).max():.0e}")

# %% [markdown]
# ## Erratum 4: four slips in the first model
#
# *m* counts samples in `1/(2m) sum (y - y_hat)^2`, and features in the matrix form. *[b, w]* is called
# `[0.5, 1.5]` and applied as slope 0.5, intercept 1.5. *The error* is written `y - y_hat` and computed as
# `X w - y`. *The last print* has a stray quote.

# %%
X4 = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [4.0, 1.0]])  # (4, 2): x, and ones
y4 = np.array([2.0, 3.0, 5.0, 7.0])  # (4,)
predictions = X4 @ [0.5, 1.5]  # (4,)
as_labelled = X4 @ [1.5, 0.5]  # (4,): slope 1.5, intercept 0.5
sse = ((predictions - y4) ** 2).sum()
line = lw.fit((X4[:, :1], y4))

print("erratum 4: as applied, slope 0.5 and intercept 1.5:", predictions)
print("  as labelled, slope 1.5 and intercept 0.5:  ", as_labelled)
print(
    f"  least squares, slope {line.coef[0]:.1f} and intercept {line.intercept:.1f}: ",
    line.predict(X4[:, :1]),
)
print(f"  1/(2m) SSE with m = 4 samples {sse / 8}, with m = 2 columns {sse / 4}")
print("  y - y_hat ", y4 - predictions)
print("  X w - y   ", predictions - y4)

statement = """print(f'Epoch {epoch}, loss={loss.item()}, w={w.item():.3f}, b={b.item():.3f}'')"""
try:
    compile(statement, "the last line", "exec")
except SyntaxError as error:
    quote = error.msg
    print("  the last print: SyntaxError:", quote)

# %% [markdown]
# ## Erratum 5: the gradient for several outputs
#
# The 2x+1 notebook has `dL/dW = 2/N X' (X W + b - y)` with W of shape (D_in, D_out). `mean()` divides by
# the number of cells, which is `N D_out`. For one output that is N; for three the formula is three times
# too large.

# %%
torch.manual_seed(0)
ratios = {}
for outputs in (1, 2, 3):
    X5, y5 = torch.randn(10, 2).double(), torch.randn(10, outputs).double()  # (10, 2), (10, k)
    W5, b5 = torch.zeros(2, outputs).double(), torch.zeros(outputs).double()  # (2, k), (k,)
    claimed = (2 / 10 * X5.T @ (X5 @ W5 + b5 - y5)).numpy()  # (2, k)
    check = lw.check_gradient(X5, y5, W5, b5)
    ratios[outputs] = float((claimed / check.autograd[0]).mean())
    print(
        f"erratum 5: {outputs} output{'s' if outputs > 1 else ' '}: the document's formula is "
        f"{ratios[outputs]:.4f} times autograd's; 2/(n k) agrees: {check.agree}"
    )

# %% [markdown]
# ## Erratum 6: what penalties do not do
#
# *"Sensitivity to outliers: L1 high, L2 low."* One row is made wrong by 100. The weights move about as
# far under any penalty (under L2 a little less, for it makes all weights a little smaller). Another
# *loss* is what helps: Huber's grows like `|e|` for large errors and not like `e^2`.

# %%
bad = y.copy()
bad[0] += 100.0
moved = {}
for name, penalty in (("no penalty", lw.L2(0.0)), ("L1(0.1)", lw.L1(lam)), ("L2(0.1)", lw.L2(lam))):
    before, after = (lw.descend((X, rows), penalty=penalty, steps=500).coef[-1] for rows in (y, bad))
    moved[name] = float(np.linalg.norm(after - before))
huber = [HuberRegressor(alpha=0.0).fit(X, rows).coef_ for rows in (y, bad)]
moved["Huber's loss"] = float(np.linalg.norm(huber[1] - huber[0]))
print("erratum 6: one bad row moves the weights by")
for name, distance in moved.items():
    print(f"  {name:13} {distance:.4f}")

# %% [markdown]
# *"Ridge compresses all features evenly."* It keeps `v / (v + 2 lam)` of a direction in which the data
# have variance v. Here are two features, one of variance 4 and one of variance 0.04, with the same true
# effect:

# %%
X6 = rng.normal(size=(1000, 2)) * [2.0, 0.2]  # (1000, 2)
y6 = X6 @ [1.0, 1.0] + 0.01 * rng.normal(size=1000)  # (1000,)
plain = lw.fit((X6, y6)).coef  # (2,)
shrunk = lw.descend((X6, y6), penalty=lw.L2(lam), steps=5000).coef[-1]  # (2,)
kept = shrunk / plain
for j, variance in enumerate(X6.var(axis=0)):
    print(f"  variance {variance:.3f}: {kept[j]:.1%} of the weight is left")

# %% [markdown]
# ## Erratum 7: mean, half mean, sum
#
# The documents write the loss in three ways. At the same weights they differ, and so do their gradients.
# The minimum is at the same place. The rate has to be divided by what the loss was multiplied by; then
# the steps are the same.

# %%
X7, y7 = torch.from_numpy(X4[:, :1]), torch.from_numpy(y4).reshape(-1, 1)  # (4, 1), (4, 1)
conventions = {
    "mean": (lambda e: e.pow(2).mean(), 0.05),
    "half mean": (lambda e: e.pow(2).mean() / 2, 0.05 * 2),
    "sum": (lambda e: e.pow(2).sum(), 0.05 / 4),
}
ends = {}
print("erratum 7: 200 steps of each")
for name, (loss_of, rate) in conventions.items():
    first = loss_of(0 - y7).item()  # W and b begin at 0
    W = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    for _ in range(200):
        loss = loss_of(X7 @ W + b - y7)
        loss.backward()
        with torch.no_grad():
            W -= rate * W.grad
            b -= rate * b.grad
        W.grad.zero_()
        b.grad.zero_()
    ends[name] = W.item(), b.item()
    print(f"  {name:10} rate {rate:<7.4g} first loss {first:<9.6g} W {W.item():.9f}  b {b.item():.9f}")

# %% [markdown]
# leastwise has one loss, the mean, and `loss="half"` where a document's rate is for half of it.

# %%
mean_run = lw.descend((X7, y7), lr=0.05, steps=200)
half_run = lw.descend((X7, y7), lr=0.1, steps=200, loss="half")
for name, run in (("mean", mean_run), ("half", half_run)):
    weight, bias = run.at(200)
    print(
        f"  lw.descend, loss={name}: first loss {run.loss[0]:<8.6g} W {weight[0, 0]:.9f}  b {bias[0]:.9f}"
    )
