"""Walking down: one loop over steps, whose gradients come from autograd, from the formula, or from moments.

Each source of gradients is called with the model, adds to its `.grad` as `backward()` does, and gives
the loss; what is done with them (optimizers.py) does not know where they came from. That is what makes
the three ways comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from leastwise.errors import UsageError
from leastwise.numerics import Array
from leastwise.solve.course import MOST_NUMBERS, Walked
from leastwise.solve.optimizers import Stepper
from leastwise.solve.quadratic import Quadratic
from leastwise.solve.training import Training
from leastwise.teach import LinearRegression

if TYPE_CHECKING:
    from leastwise.feed import Feed, Part


@contextmanager
def own_torch() -> Iterator[None]:
    """Inside, torch records gradients and makes tensors on the CPU, whatever the caller has set."""
    elsewhere = torch.get_default_device().type != "cpu"  # asked for, since the switch itself costs time
    here = torch.device("cpu") if elsewhere else nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), here:
        yield


# ---- where gradients come from ----


class FromMoments:
    """The full-batch gradient at a cost independent of n."""

    def __init__(self, quadratic: Quadratic) -> None:
        self.quadratic = quadratic

    def turn(self) -> None:
        """The next step: the same rows."""

    def __call__(self, model: LinearRegression) -> Tensor:
        q, theta = self.quadratic, parameters(model, self.quadratic.intercept)
        found, p = torch.from_numpy(q.gradient(theta)), len(self.quadratic.names)
        _add(model.weights, found[:p])
        if q.intercept:
            _add(model.bias, found[p])
        return torch.tensor(float(q.smooth(theta)), dtype=torch.float64)


class FromRows:
    """The gradient on the rows, or on a mini-batch of them in turn: by autograd or by the formula."""

    def __init__(self, feed: Feed, training: Training, seed: int) -> None:
        self.feed, self.training = feed, training
        self.endless = feed.batches(training.batch, seed) if training.batch else None
        self.scale = 0.5 if training.loss == "half" else 1.0
        self.backward = _autograd if training.method == "autograd" else _formula
        self.batch: Part | None = None

    def turn(self) -> None:
        """The next step: another mini-batch, however often its gradient is looked at."""
        self.batch = None if self.endless is None else next(self.endless)

    def __call__(self, model: LinearRegression) -> Tensor:
        losses = [self.backward(model, part, share * self.scale) for part, share in self._shares()]
        return torch.stack(losses).sum() + _penalised(model, self.training, self.scale)

    def _shares(self) -> Iterator[tuple[Part, float]]:
        """The parts that the gradient is made of, and their shares of the rows."""
        if self.batch is not None:
            yield self.batch, 1.0
            return
        for part in self.feed.parts():
            yield part, len(part[0]) / self.feed.n


def _autograd(model: LinearRegression, part: Part, share: float) -> Tensor:
    """The documents' way: forward, loss, backward."""
    X, y, w = part
    loss = share * model.mse_loss(model.forward(X), y, w)
    loss.backward()
    return loss.detach()


@torch.no_grad()
def _formula(model: LinearRegression, part: Part, share: float) -> Tensor:
    """`dL/dW = 2/(n k) X' (X W + b - y)`, `dL/db = 2/(n k) 1' (X W + b - y)`."""
    X, y, w = part
    residual = model.forward(X) - y  # (n, k)
    pull = residual if w is None else w[:, None] * residual
    size = 2 * share / residual.numel()
    _add(model.weights, size * (X.T @ pull))
    _add(model.bias, size * pull.sum(dim=0))
    return share * (pull * residual).mean()


def _penalised(model: LinearRegression, training: Training, scale: float) -> Tensor:
    """The L2 penalty's share `(2/k) a |W|^2` of the loss; its gradient is added."""
    W = model.weights.detach()
    size = scale * 2 * training.penalty.l2 / W.shape[1]
    if size:
        _add(model.weights, 2 * size * W)
    return size * (W * W).sum()


def _add(values: Tensor, gradient: Tensor) -> None:
    if values.requires_grad:
        more = gradient.to(values)
        values.grad = more.clone() if values.grad is None else values.grad + more


# ---- the loop ----


def walk(
    model: LinearRegression,
    source: FromMoments | FromRows,
    training: Training,
    *,
    rate: float | None,
    steps: int,
    watch: Callable[[int, LinearRegression], bool],
    quadratic: Quadratic,
) -> Walked:
    """`steps` updates from where the model is; ends early where `watch` or the callback says so."""
    _bounded(model, steps)
    threshold = quadratic.threshold
    stepper = Stepper(model, training, rate, threshold)
    kinked = threshold > 0 and training.l1 == "subgradient"

    def slope(model: LinearRegression) -> Tensor:
        loss = source(model)
        if kinked:
            _add(model.weights, threshold * torch.sign(model.weights.detach()))
        return loss + threshold * model.weights.detach().abs().sum().to(loss) if threshold else loss

    kept, losses = [_kept(model)], []
    for t in range(steps):
        if watch(t, model):
            break
        source.turn()
        losses.append(stepper.step(slope, t))
        kept.append(_kept(model))
        if training.callback is not None and _stops(training.callback(t, float(losses[-1]))):
            break
    theta = _stacked(kept, quadratic.intercept)
    seen = np.array([float(loss) for loss in losses])
    # losses of mini-batches say little: those of all rows are taken from moments
    loss = quadratic.values(theta) if training.batch else np.append(seen, float(slope(model)))
    return Walked(theta, np.nan_to_num(loss, nan=np.inf, posinf=np.inf), seen)


def autograd_gradient(feed: Feed, training: Training, theta: Array, intercept: bool) -> Array:
    """The gradient (d, k) on all rows by autograd, weights and L2 penalty included."""
    with own_torch():
        model = placed(theta, intercept, feed.first(1)[0])
        FromRows(feed, replace(training, method="autograd", batch=None), 0)(model)
        grads = [v.grad for v in (model.weights, model.bias) if v.grad is not None]
        return np.vstack([g.detach().cpu().numpy().reshape(-1, theta.shape[1]) for g in grads])


def _bounded(model: LinearRegression, steps: int) -> None:
    size = model.weights.numel() + model.bias.numel()
    if (steps + 1) * size > MOST_NUMBERS:
        raise UsageError(
            f"{steps:,} steps of {size:,} parameters would keep {(steps + 1) * size:,} numbers. Take fewer "
            "steps, larger batches, or plain descent with method='moments', which keeps none."
        )


def _stops(answer: Any) -> bool:
    """Whether a callback said True: Python's, numpy's or torch's."""
    if isinstance(answer, torch.Tensor):
        return answer.numel() == 1 and answer.dtype == torch.bool and bool(answer)
    return isinstance(answer, (bool, np.bool_)) and bool(answer)


def _kept(model: LinearRegression) -> tuple[Tensor, Tensor]:
    return model.weights.detach().clone(), model.bias.detach().clone()


def _stacked(kept: list[tuple[Tensor, Tensor]], intercept: bool) -> Array:
    """All parameters (steps + 1, d, k)."""
    W, b = torch.stack([w for w, _ in kept]), torch.stack([b for _, b in kept])[:, None]
    found = torch.cat([W, b], dim=1) if intercept else W
    return np.asarray(found.cpu().numpy(), np.float64)


def parameters(model: LinearRegression, intercept: bool) -> Array:
    """theta (d, k) of the model as it is."""
    W = model.weights.detach().cpu().numpy().astype(np.float64)
    return np.vstack([W, model.bias.detach().cpu().numpy()[None]]) if intercept else W


def placed(theta: Array, intercept: bool, like: Tensor | None = None) -> LinearRegression:
    """A model at theta (d, k)."""
    p, k = len(theta) - intercept, theta.shape[1]
    dtype, device = (torch.float64, None) if like is None else (like.dtype, like.device)
    state = torch.get_rng_state()
    model = LinearRegression(p, k)
    torch.set_rng_state(state)  # its random weights are not used: no number was drawn
    at = torch.from_numpy(np.ascontiguousarray(theta)).to(device=device, dtype=dtype)
    model.weights = at[:p].clone().requires_grad_()
    bias = at[p] if intercept else torch.zeros(k, dtype=dtype, device=device)
    model.bias = bias.clone().requires_grad_(intercept)
    return model
