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
# # y = 2x + 1 in forty steps
#
# **What you will see.** Ten points on the line `y = 2x + 1`. A short loop finds the line, by gradient
# descent in PyTorch, with the numbers that the document prints. Then `lw.descend` takes the same forty
# steps three ways. Then the rate is too large, and you see why, before a step is taken.

# %%
import warnings

import torch

import leastwise as lw

# %% [markdown]
# ## The data
#
# `N` rows, one feature, one target: `X` is (10, 1), `y_true` is (10, 1). There is no noise, so the least
# possible loss is 0, but for rounding.

# %%
N, D_in, D_out = 10, 1, 1

torch.manual_seed(42)
X = torch.randn(N, D_in)  # (10, 1)
W_true = torch.tensor([[2.0]])  # (1, 1)
b_true = torch.tensor(1.0)  # ()
y_true = X @ W_true + b_true  # (10, 1)

print("X     ", tuple(X.shape), [round(v, 4) for v in X[:3, 0].tolist()], "...")
print("y_true", tuple(y_true.shape), [round(v, 4) for v in y_true[:3, 0].tolist()], "...")

# %% [markdown]
# ## The start
#
# The document sets the seed to 42 once more. So `W` begins as the first number of `X`, and `b` as the
# second. That does no harm here, but it is no independent start.

# %%
torch.manual_seed(42)
W = torch.randn(D_in, D_out, requires_grad=True)  # (1, 1)
b = torch.randn(1, requires_grad=True)  # (1,)
W_start, b_start = W.detach().clone(), b.detach().clone()  # kept: the loop writes on W and b

print(f"W {tuple(W.shape)} begins at {W.item():.4f}, b {tuple(b.shape)} at {b.item():.4f}")

# %% [markdown]
# ## The loop
#
#     y_hat = X W + b                          (10, 1) = (10, 1) @ (1, 1) + (1,)
#     L     = mean((y_hat - y)^2)              one number
#     W    <- W - lr dL/dW,  b <- b - lr dL/db
#
# `backward()` finds both gradients. The update stands under `no_grad()`, for it is no part of the model.
# Gradients are cleared after each step, because `backward()` adds to what is there.

# %%
lr, epochs = 0.07, 40
losses = []

for _ in range(epochs):
    y_hat = X @ W + b  # (10, 1)
    loss = torch.mean((y_hat - y_true) ** 2)  # ()
    loss.backward()
    with torch.no_grad():
        W -= lr * W.grad
        b -= lr * b.grad
    W.grad.zero_()
    b.grad.zero_()
    losses.append(loss.item())

print(f"loss before the 40th update  {loss.item():.13f}")
print(f"W after it                   {W.item():.10f}")
print(f"b after it                   {b.item():.10f}")
print("first fitted values         ", [f"{v:.4f}" for v in y_hat[:3, 0].tolist()])

# %% [markdown]
# The loss and the fitted values that the document calls final are those *before* the last update. `W` and
# `b` are those after it. The loss that belongs to them is one step lower:

# %%
with torch.no_grad():
    loss_after = torch.mean((X @ W + b - y_true) ** 2)
print(f"loss after the 40th update   {loss_after.item():.13f}")

# %% [markdown]
# ## The same with leastwise
#
# `lw.descend` takes the same rows, start, rate and steps. `run.loss[t]` is the loss after `t` updates, so
# the loss before the 40th is `run.loss[39]`.
#
# - `method="autograd"` is the loop above.
# - `method="analytic"` uses the formula, `dL/dW = 2/n X' (X W + b - y)`, in place of `backward()`.
# - `method="moments"` reads the rows once. It knows the loss of every step in closed form, in float64.
#
# The rows are float32, so the first two round as the loop does. The third does not: it differs from the
# sixth digit of the loss on. That difference is the loop's own rounding.

# %%
how = {"start": (W_start, b_start), "lr": lr, "steps": epochs}
methods = ("autograd", "analytic", "moments")
runs = {method: lw.descend((X, y_true), method=method, **how) for method in methods}

print(f"{'':10}{'loss[39]':>17}{'W':>14}{'b':>14}")
print(f"{'by hand':10}{losses[39]:17.13f}{W.item():14.10f}{b.item():14.10f}")
for method, run in runs.items():
    weight, bias = run.at(40)  # (1, 1), (1,)
    print(f"{method:10}{run.loss[39]:17.13f}{weight[0, 0]:14.10f}{bias[0]:14.10f}")

# %% [markdown]
# ## Are the gradients right?
#
# Three ways to the same two numbers: the formula, `backward()`, and the difference of two losses that are
# a small step apart.

# %%
check = lw.check_gradient(X, y_true, W_start, b_start)
print(check)

# %% [markdown]
# **Erratum 5.** The document gives `2/N X' (X W + b - y)` for any number of outputs. It is autograd's
# gradient of `mean((y_hat - y)^2)` for one output only. With `D_out` outputs `mean` divides by `D_out`
# too: the formula is then `2/(n k)`, with k targets. Here are two:

# %%
y_two = torch.cat([y_true, -y_true], dim=1)  # (10, 2)
W_two, b_two = torch.zeros(1, 2), torch.zeros(2)  # (p, k), (k,)
check_two = lw.check_gradient(X, y_two, W_two, b_two)

claimed = 2 / N * X.double().T @ (X @ W_two + b_two - y_two).double()  # (1, 2): the document's formula
print("document's 2/N     ", [f"{v:.4f}" for v in claimed.ravel().tolist()])
print("autograd of mean() ", [f"{v:.4f}" for v in check_two.autograd[0].ravel()])
print("formula 2/(n k)    ", [f"{v:.4f}" for v in check_two.formula[0].ravel()])

# %% [markdown]
# ## How large may the rate be?
#
# The loss is a bowl. Its curvature is the Hessian `H = 2/n [X 1]' [X 1]`, here (2, 2). A step of rate
# `lr` multiplies the error along each of its directions by `1 - lr lambda`. That shrinks while `lr <
# 2/lambda_max`.

# %%
A = torch.cat([X, torch.ones(N, 1)], dim=1).double()  # (10, 2)
H = 2 / N * A.T @ A  # (2, 2)
curvature = torch.linalg.eigvalsh(H)  # (2,), ascending
limit = 2 / curvature[-1].item()
run = runs["moments"]

print(f"lambda             {curvature[0].item():.4f} and {curvature[1].item():.4f}")
print(f"2/lambda_max       {limit:.4f}")
print(f"run.lr_limit       {run.lr_limit:.4f}")
print(f"run.lr_best        {run.lr_best:.4f}   = 2/(lambda_min + lambda_max)")
print(f"run.steps_to(1e-6) {run.steps_to(1e-6)} steps until a millionth of the loss is left")

# %% [markdown]
# Now 0.95, which is above 0.9127. leastwise warns before the first step. (The warning is caught here, to
# show what it says.) `run.again` takes the same moments: no row is read again.

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    too_fast = run.again(lr=0.95)
said = [str(warning.message) for warning in caught]
print(said[0])
print()
for rate in (0.07, run.lr_best, 0.9):
    print(f"rate {rate:.4f}: loss after 40 steps {run.again(lr=rate).loss[40]:.3g}")
print(f"rate 0.9500: loss after 40 steps {too_fast.loss[40]:,.1f}")
print()
print(too_fast.verdict)

# %% [markdown]
# The first step with 0.95 still lowers the loss, from 3.28 to 2.99: the flat direction gains more than
# the steep one loses. From then on the steep one takes over. Look at the first losses:

# %%
print([round(float(v), 2) for v in too_fast.loss[:6]])

# %% [markdown]
# ## One step, explained
#
# `explain()` walks through the first step with the shapes and numbers of these data. `print(run)` tells
# the whole run.

# %%
print(run.explain())

# %%
print(run)

# %% [markdown]
# ## The pictures
#
# The loss of each step; the bowl from above with the path on it; the points with the line that was found.


# %%
def picture():
    try:
        return run.plot()
    except lw.errors.UsageError as missing:  # matplotlib is not there: it says what to install
        print(missing)


picture()
