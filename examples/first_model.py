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
# # A first model: least squares and gradient descent
#
# **What you will see.** Four points and the line through them, by the closed formulas and by `lw.fit`.
# The document's predictions 2.0, 2.5, 3.0, 3.5, and what is wrong with them. Then its loop on three
# points, with the loss `1/(2m)`: half the loss is the same path as half the rate.

# %%
import numpy as np
import torch

import leastwise as lw

# %% [markdown]
# ## Closed form, by hand
#
# One feature, m points, a line `y_hat = w x + b`:
#
#     w = (m sum(xy) - sum(x) sum(y)) / (m sum(x^2) - sum(x)^2)
#     b = (sum(y) - w sum(x)) / m

# %%
x = np.array([1.0, 2.0, 3.0, 4.0])  # (4,)
y = np.array([2.0, 3.0, 5.0, 7.0])  # (4,)
m = len(x)

w_hand = (m * (x * y).sum() - x.sum() * y.sum()) / (m * (x**2).sum() - x.sum() ** 2)
b_hand = (y.sum() - w_hand * x.sum()) / m
print(f"by hand: slope {w_hand}, intercept {b_hand}")

# %% [markdown]
# ## Closed form, with leastwise
#
# Features are a table of rows and columns, so X is (4, 1) and not (4,).

# %%
fit = lw.fit((x.reshape(-1, 1), y))
print(f"lw.fit:  slope {fit.coef[0]}, intercept {fit.intercept}")
print("fitted values", fit.predict(x.reshape(-1, 1)), "of", y)
print("score on unseen rows:", fit.validation.reason)

# %% [markdown]
# With four points there are too few rows to keep some apart for a score. leastwise says so, and gives no
# number.
#
# ## The matrix form
#
# A column of ones carries the intercept: X is (4, 2), the parameters (2, 1), the predictions (4, 1).

# %%
X = np.column_stack([x, np.ones(m)])  # (4, 2)
parameters = np.array([[0.5], [1.5]])  # (2, 1)
y_hat = X @ parameters  # (4, 1)
print("X", X.shape, "@ parameters", parameters.shape, "= y_hat", y_hat.shape)
print("predictions", y_hat.ravel())

# %% [markdown]
# **Erratum 4.** Four slips of the document meet here.
#
# *The vector.* It is called `[b, w] = [0.5, 1.5]`. But the columns of X are x and then ones, so 0.5 is
# applied as the slope and 1.5 as the intercept. Those are the predictions 2.0, 2.5, 3.0, 3.5. As it is
# labelled (slope 1.5, intercept 0.5) it would be far nearer to the points:

# %%
as_applied = y_hat.ravel()  # slope 0.5, intercept 1.5
as_labelled = 1.5 * x + 0.5  # slope 1.5, intercept 0.5
best = fit.predict(x.reshape(-1, 1))
for name, guess in (("as applied", as_applied), ("as labelled", as_labelled), ("least squares", best)):
    print(f"{name:14} {guess}  sum of squares {((guess - y) ** 2).sum():.2f}")

# %% [markdown]
# *The sign.* The error is written `y - y_hat` and computed as `X w - y`, which is its negative. The loss
# is the same, for it squares them. The gradient is not: with the wrong sign the steps go uphill.

# %%
error_written = y.reshape(-1, 1) - y_hat
error_computed = X @ parameters - y.reshape(-1, 1)
print("written ", error_written.ravel())
print("computed", error_computed.ravel())

# %% [markdown]
# *The letter m.* In `1/(2m)` it counts samples at first, and features in the matrix form, where X is (n,
# m). With four samples and two columns that doubles the loss:

# %%
sse = float((error_computed**2).sum())
print(f"m = 4 samples: {sse / (2 * 4)}, m = 2 features: {sse / (2 * 2)}")

# %% [markdown]
# *The quote.* The last print statement ends in `'')`. It is mended in the loop below.
#
# ## Gradient descent, by hand
#
# Three points on `y = x + 1`, and the loss with a half. The document sets no seed; we take 0. It also
# says that w is (m, 1) and multiplied as a matrix. In its code w is (1,), and `X * w` multiplies cell by
# cell. For one feature both give the same (3, 1).

# %%
X3 = torch.tensor([[1.0], [2.0], [3.0]])  # (3, 1)
y3 = torch.tensor([[2.0], [3.0], [4.0]])  # (3, 1)

torch.manual_seed(0)
w = torch.randn(1, requires_grad=True)  # (1,)
b = torch.randn(1, requires_grad=True)  # (1,)
start = w.detach().clone().reshape(1, 1), b.detach().clone()  # (1, 1), (1,)

lr, epochs = 0.1, 100
losses = []
for epoch in range(epochs):
    y_hat3 = X3 * w + b  # (3, 1)
    loss = ((y_hat3 - y3) ** 2).mean() / 2
    loss.backward()
    with torch.no_grad():
        w -= lr * w.grad
        b -= lr * b.grad
    w.grad.zero_()
    b.grad.zero_()
    losses.append(loss.item())
    if epoch % 10 == 0:
        print(f"Epoch {epoch}, loss={loss.item():.6f}, w={w.item():.3f}, b={b.item():.3f}")

# %% [markdown]
# After 100 steps it is not there yet: w and b should both be 1.
#
# ## The same with leastwise
#
# **Erratum 7.** The documents write the loss as a mean, as half a mean and as a sum. In leastwise it is
# the mean. `loss="half"` is this document's. Half the loss has half the gradient, so it walks the same
# path as the mean at half the rate.

# %%
half = lw.descend((X3, y3), start=start, lr=lr, steps=epochs, loss="half")
mean = lw.descend((X3, y3), start=start, lr=lr / 2, steps=epochs)
rows = lw.descend((X3, y3), start=start, lr=lr, steps=epochs, loss="half", method="autograd")

print("after 100 steps, and the loss before the last of them")
print(f"{'by hand':22} w {w.item():.6f}  b {b.item():.6f}  loss {losses[-1]:.6f}")
for name, run in (("half loss, rows", rows), ("half loss, moments", half), ("mean, half the rate", mean)):
    weight, bias = run.at(epochs)
    print(f"{name:22} w {weight[0, 0]:.6f}  b {bias[0]:.6f}  loss {run.loss[-2]:.6f}")
apart = max((half.W - mean.W).abs().max(), (half.b - mean.b).abs().max()).item()
print(f"largest difference of the two paths: {apart:.0e}")

# %% [markdown]
# Why is it slow? The bowl is 46 times as steep in one direction as in the other. The rate has to suit the
# steep one, so the flat one takes hundreds of steps. `lw.fit` needs none.

# %%
exact = lw.fit((X3, y3))
print(f"condition {half.condition:.1f}, a millionth of the loss is left after {half.steps_to(1e-6)} steps")
print(f"lw.fit: slope {exact.coef[0].item():.6f}, intercept {exact.intercept:.6f}")

# %% [markdown]
# Columns of mean 0 and deviation 1 make the bowl round. Then one step of the right rate is enough.

# %%
round_bowl = lw.descend((X3, y3), standardize=True, loss="half", lr=1.0, steps=1)
print(f"standardised: condition {round_bowl.condition:.1f}, loss after one step {round_bowl.loss[1]:.0e}")
