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
# # Exercise 2: linear regression by gradient descent
#
# **What you will see.** Ten points, three features, and 100 steps of gradient descent by hand. The
# gradient of the first step is checked against the formula. The loss curve is drawn. Then `lw.descend`
# takes the same 100 steps, and every loss is equal, bit for bit.

# %%
import numpy as np
import torch

import leastwise as lw

# %% [markdown]
# ## The data
#
# The note writes `y_hat = W x + b` for one row. For all rows at once it is `y_hat = X W + b`.

# %%
torch.manual_seed(0)
X = torch.randn(10, 3)  # (10, 3)
y = X @ torch.tensor([[1.0], [2.0], [3.0]]) + 0.5 + 0.1 * torch.randn(10, 1)  # (10, 1)

W = torch.randn(3, 1, requires_grad=True)  # (3, 1)
b = torch.zeros(1, requires_grad=True)  # (1,)
start = W.detach().clone(), b.detach().clone()
print("X", tuple(X.shape), " W", tuple(W.shape), " b", tuple(b.shape), " y", tuple(y.shape))

# %% [markdown]
# ## 100 steps
#
# Two things are easily forgotten. `zero_()`: without it `backward()` adds to the gradients of all steps
# before. `no_grad()`: without it the update would be recorded as a part of the model. (`loss.item()` is a
# plain number, so the list keeps no graph alive.)

# %%
lr, steps = 0.05, 100
losses = []
for step in range(steps):
    loss = ((X @ W + b - y) ** 2).mean()
    loss.backward()
    if step == 0:
        first_gradients = W.grad.clone(), b.grad.clone()
    with torch.no_grad():
        W -= lr * W.grad
        b -= lr * b.grad
    W.grad.zero_()
    b.grad.zero_()
    losses.append(loss.item())

for step in (0, 1, 10, 50, 99):
    print(f"loss before step {step + 1:3}: {losses[step]:.6f}")

# %% [markdown]
# ## Extension: the formula
#
#     dL/dW = 2/n X' (X W + b - y)     (3, 1) = (3, 10) @ (10, 1)
#     dL/db = 2/n 1' (X W + b - y)     (1,)

# %%
W0, b0 = start
residual = X @ W0 + b0 - y  # (10, 1)
gradient_w = 2 / len(X) * X.T @ residual  # (3, 1)
gradient_b = 2 / len(X) * residual.sum(dim=0)  # (1,)

print("dL/dW formula ", [f"{v:.5f}" for v in gradient_w.ravel().tolist()])
print("dL/dW autograd", [f"{v:.5f}" for v in first_gradients[0].ravel().tolist()])
print("dL/db formula ", f"{gradient_b.item():.5f}", " autograd", f"{first_gradients[1].item():.5f}")
print(
    "equal:",
    torch.allclose(gradient_w, first_gradients[0]) and torch.allclose(gradient_b, first_gradients[1]),
)

# %% [markdown]
# In float32 they agree to about seven digits. `lw.check_gradient` does the check in float64, and adds a
# third way that knows nothing of calculus: the difference of two losses a small step apart.

# %%
check = lw.check_gradient(X, y, W0, b0)
print(check)

# %% [markdown]
# **Erratum 5.** The formula with `2/n` is for one target. With k targets `mean()` divides by k as well,
# and so does leastwise: `2/(n k)`.
#
# ## The same with leastwise

# %%
run = lw.descend((X, y), start=start, lr=lr, steps=steps, method="autograd")
apart = np.abs(run.loss[:-1] - losses).max()
print(f"largest difference of the 100 losses: {apart:.0e}")
print("W by hand   ", [f"{v:.6f}" for v in W.ravel().tolist()], f" b {b.item():.6f}")
print("W leastwise ", [f"{v:.6f}" for v in run.W[-1].ravel()], f" b {run.b[-1, 0]:.6f}")

# %% [markdown]
# Where does it lead, and how long does it take?

# %%
exact = run.again(method="moments")
print("W at the end of all steps", exact.end[0].ravel().round(6), " b", exact.end[1].round(6))
print("lw.fit                   ", lw.fit((X, y)).coef.numpy().round(6))
print(f"least possible loss {exact.least:.6f}; after 100 steps {exact.loss[-1]:.6f}")
print(f"a thousandth of the loss is left after {exact.steps_to(1e-3)} steps")
print(f"rates up to {exact.lr_limit:.3f} converge; {exact.lr_best:.3f} is best, 0.05 was asked for")

# %% [markdown]
# ## The loss curve
#
# On a logarithmic scale. The steep directions of the bowl are done within 20 steps. Then the flat one sets
# the pace. The grey line is the least possible loss: the noise.


# %%
def loss_curve():
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        print("The picture needs matplotlib: pip install 'leastwise[plot]'")
        return None
    fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
    ax.semilogy(range(steps), losses, label="by hand")
    ax.semilogy(exact.loss, "--", label="leastwise, closed form")
    ax.axhline(exact.least, color="grey", linewidth=1, label="least possible")
    ax.set(xlabel="step", ylabel="mean squared error", title="Loss")
    ax.legend(frameon=False)
    plt.close(fig)  # shown once, as the value of this cell
    return fig


loss_curve()
