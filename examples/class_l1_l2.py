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
# # A class, scikit-learn, and the penalties L1 and L2
#
# **What you will see.** The document's `LinearRegression` class, mended, with the losses that it prints
# and its prediction 10.9684. The numbers of its scikit-learn cell from `lw.fit`, digit for digit. Then
# penalties: L1, which makes weights exactly zero, L2, which makes them small, and which `alpha` of
# scikit-learn means the same.

# %%
import numpy as np
import torch
from sklearn.linear_model import Lasso, Ridge

import leastwise as lw

# %% [markdown]
# ## The class, as the document writes it
#
# Forward, loss, backward, step: the loop of every neural network.


# %%
class LinearRegression:
    def __init__(self, input_dim, output_dim, learning_rate=0.01):
        self.weights = torch.randn(input_dim, output_dim, requires_grad=True)  # (p, k)
        self.bias = torch.zeros(output_dim, requires_grad=True)  # (k,)
        self.lr = learning_rate

    def forward(self, X):
        return X @ self.weights + self.bias  # (n, p) @ (p, k) + (k,)

    def mse_loss(self, predictions, targets):
        return (predictions - targets).pow(2).mean()

    def step(self):
        with torch.no_grad():
            self.weights -= self.lr * self.weights.grad
            self.bias -= self.lr * self.bias.grad
            self.weights.grad.zero_()
            self.bias.grad.zero_()

    def train(self, X, y, epochs=100):
        for epoch in range(epochs):
            loss = self.mse_loss(self.forward(X), y)
            loss.backward()
            self.step()
            if (epoch + 1) % 10 == 0 or epoch == 0:
                print(f"Epoch {epoch + 1}/{epochs}, Loss: {loss.item():.4f}")


# %% [markdown]
# **Erratum 2.** The document makes the model with `lr=0.1`, but the parameter is called `learning_rate`.
# It then calls `predict`, which the class does not have. Both lines stop:

# %%
try:
    LinearRegression(input_dim=1, output_dim=1, lr=0.1)
except TypeError as error:
    print("TypeError:", error)
print("has predict:", hasattr(LinearRegression, "predict"))

# %% [markdown]
# ## The class, mended
#
# `lw.teach.LinearRegression` is the same class with `predict`. It also refuses targets of shape (n,)
# beside predictions of shape (n, 1), which torch would pair every row with every other.

# %%
torch.manual_seed(0)
x_train = torch.randn(100, 1)  # (100, 1)
y_train = 2 * x_train + 3 + 0.1 * torch.randn(100, 1)  # (100, 1)

model = lw.teach.LinearRegression(input_dim=1, output_dim=1, learning_rate=0.1)
start = model.weights.detach().clone(), model.bias.detach().clone()
model.train(x_train, y_train, epochs=100)

x_test = torch.tensor([[4.0]])  # (1, 1)
prediction = model.predict(x_test)  # (1, 1)
print(f"Prediction for x=4.0: {prediction.item():.4f}")

# %% [markdown]
# The loss stays at 0.0084 and not 0. That is the noise, whose variance is 0.01: no line does better.
# `lw.descend` takes the same steps. `run.loss[t]` is the loss after `t` updates; the document prints it
# before the update, so its epoch 1 is `run.loss[0]`.

# %%
run = lw.descend((x_train, y_train), start=start, lr=0.1, epochs=100, method="autograd")
print("run.loss       ", {epoch: f"{run.loss[epoch - 1]:.4f}" for epoch in (1, 10, 20, 30, 100)})
print("least possible ", f"{run.least:.4f}")
print("prediction     ", f"{run.predict(x_test).item():.4f}")

# %% [markdown]
# ## The scikit-learn cell
#
# Three features, and the exact solution in place of steps. X is (100, 3), y is (100,).

# %%
np.random.seed(0)
X = np.random.randn(100, 3)
true_w = np.array([2.0, -3.0, 1.0])
true_b = 0.5
y = X @ true_w + true_b + 0.1 * np.random.randn(100)

fit = lw.fit((X, y))
print("Learned weights:", fit.coef)
print(f"Learned bias: {fit.intercept:.11f}")

# %% [markdown]
# The same call also says how sure it is, and how well it does on rows that it has not seen.

# %%
print("standard errors", fit.inference.se.round(4)[0], "(the bias first)")
print("R2 on unseen rows", fit.validation.r2.round(4), "fold by fold")

# %% [markdown]
# ## Two penalties
#
# The document's objectives, with n rows and penalty `lam`:
#
#     L1 (lasso)   1/(2n) sum (y_i - w x_i)^2 + lam sum_j |w_j|
#     L2 (ridge)   1/(2n) sum (y_i - w x_i)^2 + lam sum_j w_j^2
#
# `lw.L1(lam)` and `lw.L2(lam)` mean exactly these. The loss of leastwise is the mean, twice the
# document's half mean. So the penalty counts twice too, and the solution is the same.
#
# For the lasso we need features that do not matter. Here are six, of which three do.

# %%
rng = np.random.default_rng(1)
X6 = rng.normal(size=(100, 6))  # (100, 6)
w6 = np.array([2.0, -3.0, 1.0, 0.0, 0.0, 0.0])  # (6,)
y6 = X6 @ w6 + 0.5 + 0.5 * rng.normal(size=100)  # (100,)
lam = 0.1

# %% [markdown]
# ## L1: by hand
#
# The slope of `|w|` is the sign of `w`. A learner's first try is to let autograd follow it.

# %%
X6_t, y6_t = torch.from_numpy(X6), torch.from_numpy(y6).reshape(-1, 1)  # (100, 6), (100, 1)
W = torch.zeros(6, 1, dtype=torch.float64, requires_grad=True)
b = torch.zeros(1, dtype=torch.float64, requires_grad=True)
for _ in range(1000):
    objective = ((X6_t @ W + b - y6_t) ** 2).mean() / 2 + lam * W.abs().sum()
    objective.backward()
    with torch.no_grad():
        W -= 0.1 * W.grad
        b -= 0.1 * b.grad
    W.grad.zero_()
    b.grad.zero_()
print("by hand    ", W.detach().numpy().ravel().round(4))
print("exact zeros", int((W == 0).sum()), "of 6")

# %% [markdown]
# The last three weights are small and not zero. Near zero the slope is `+lam` on one side and `-lam` on
# the other, however near. The step jumps across, and back.
#
# ## L1: proximal steps
#
# The cure: take the step of the squared loss alone. Then move each weight towards zero by `lr` times the
# penalty, and let it stop there. `lw.descend` does so by default. `l1="subgradient"` is the first try.

# %%
proximal = lw.descend((X6, y6), penalty=lw.L1(lam), steps=1000)
subgradient = lw.descend((X6, y6), penalty=lw.L1(lam), steps=1000, l1="subgradient")
lasso = Lasso(alpha=lam, tol=1e-12).fit(X6, y6)

print("proximal    ", proximal.coef[-1].round(4), "zeros:", int((proximal.coef[-1] == 0).sum()))
print("subgradient ", subgradient.coef[-1].round(4), "zeros:", int((subgradient.coef[-1] == 0).sum()))
print("Lasso(alpha)", lasso.coef_.round(4), "zeros:", int((lasso.coef_ == 0).sum()))
apart = np.abs(proximal.coef[-1] - lasso.coef_).max()
print(f"largest difference of proximal and Lasso(alpha=lam): {apart:.0e}")

# %% [markdown]
# The three weights that matter are smaller than the true 2, -3, 1. That is the price of the penalty.
#
# ## L2
#
# **Erratum 3.** The document's L2 objective is `1/(2n) SSE + lam |w|^2`. scikit-learn's `Ridge(alpha)`
# minimises `SSE + alpha |w|^2`. So the two agree where `alpha = 2 n lam`, and `Ridge(alpha=lam)` hardly
# penalises at all. `Lasso(alpha=lam)` needed no such change.

# %%
shrunk = lw.descend((X, y), penalty=lw.L2(lam), steps=200)
n = len(X)
ridge = Ridge(alpha=2 * n * lam).fit(X, y)
ridge_wrong = Ridge(alpha=lam).fit(X, y)

print("no penalty          ", fit.coef.round(6))
print("lw.L2(lam)          ", shrunk.coef[-1].round(6))
print("Ridge(alpha=2 n lam)", ridge.coef_.round(6))
print("Ridge(alpha=lam)    ", ridge_wrong.coef_.round(6))
print("exact zeros under L2", int((shrunk.coef[-1] == 0).sum()))

# %% [markdown]
# The document's last cell uses `Lasso(alpha=0.1)` and `Ridge(alpha=1.0)`. In its own letters, with n =
# 100, these are `lam = 0.1` and `lam = 0.005`.
#
# ## Which of them, and when
#
# **Erratum 6.** Two rows of the document's table do not hold.
#
# *Ridge compresses all features evenly.* It does not. Along a direction in which the data have variance
# v, the solution shrinks by `v / (v + 2 lam)`. Where v is small, it shrinks most. Two features that
# nearly repeat each other have a direction of large variance, their sum, and one of small variance, their
# difference:

# %%
common = rng.normal(size=200)
twins = np.column_stack([common, common + 0.1 * rng.normal(size=200)])  # (200, 2)
z = 3 * twins[:, 0] + 1 * twins[:, 1] + 0.1 * rng.normal(size=200)  # (200,)
plain = lw.fit((twins, z)).coef  # (2,)
ridged = lw.descend((twins, z), penalty=lw.L2(lam), steps=2000).coef[-1]  # (2,)

variance, directions = np.linalg.eigh(np.cov(twins.T, bias=True))  # (2,), (2, 2)
kept = (ridged @ directions) / (plain @ directions)  # (2,) what is left of each direction
print("least squares", plain.round(3), " ridge", ridged.round(3))
for v, share in zip(variance, kept, strict=True):
    print(f"variance {v:.4f}: {share:.1%} is left; v / (v + 2 lam) = {v / (v + 2 * lam):.1%}")

# %% [markdown]
# So ridge makes twins alike. That is its use: their difference is what the data say least about.
#
# *Sensitivity to outliers is high with L1 and low with L2.* The penalty does not look at the rows. The
# squared loss does, and it is the same in both. One bad row moves all three about equally far. (L2 a
# sixth less, for it makes everything a sixth smaller.)

# %%
y_bad = y.copy()
y_bad[0] += 100.0
moved = {}
for name, penalty in (("none", lw.L2(0.0)), ("L1", lw.L1(lam)), ("L2", lw.L2(lam))):
    before = lw.descend((X, y), penalty=penalty, steps=500).coef[-1]
    after = lw.descend((X, y_bad), penalty=penalty, steps=500).coef[-1]
    moved[name] = float(np.linalg.norm(after - before))
    print(f"penalty {name:5} the weights move by {moved[name]:.3f}")

# %% [markdown]
# A short rule. Many features, few that matter, and you want to know which: L1. Features that hang
# together: L2. Outliers: neither; look at the rows, or change the loss.
#
# **Erratum 7.** This document alone writes the loss as a mean (the class) and as a half mean (the
# penalties); scikit-learn's Ridge has the sum. The minimiser without a penalty is the same. With a
# penalty the scale decides what `lam` means, as the L2 cell showed.
