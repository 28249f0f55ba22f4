"""Walking down: one loop over steps, whose gradients come from autograd, from the formula, or from moments.

Each source of gradients is called with the model, adds to its `.grad` as `backward()` does, and gives
the loss; what is done with them (a plain step, any optimiser of PyTorch, a soft threshold) does not
know where they came from. That is what makes the three ways comparable.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwise.errors import UsageError, did_you_mean
from leastwise.numerics import Array
from leastwise.solve.course import Walked
from leastwise.solve.feed import Feed, Part
from leastwise.solve.quadratic import Quadratic
from leastwise.solve.training import Training
from leastwise.teach import LinearRegression

Gradient = Callable[[LinearRegression], Tensor]
MOST_NUMBERS = 1 << 28  # of all parameters of all steps that are kept (2 GB)


# ---- where gradients come from ----


def from_moments(quadratic: Quadratic) -> Gradient:
    """The full-batch gradient at a cost independent of n."""

    def gradient(model: LinearRegression) -> Tensor:
        theta = parameters(model, quadratic.intercept)
        found = torch.from_numpy(quadratic.gradient(theta))
        p = len(quadratic.names)
        _add(model.weights, found[:p])
        if quadratic.intercept:
            _add(model.bias, found[p])
        smooth = quadratic.values(theta) - quadratic.kink(theta)
        return torch.tensor(float(smooth), dtype=torch.float64)

    return gradient


def from_rows(feed: Feed, training: Training, seed: int) -> Gradient:
    """The gradient on the rows, or on mini-batches of them: `autograd` or the formula."""
    endless = feed.batches(training.batch, seed) if training.batch else None
    scale = 0.5 if training.loss == "half" else 1.0
    backward = _autograd if training.method == "autograd" else _formula

    def gradient(model: LinearRegression) -> Tensor:
        losses = [backward(model, part, share * scale) for part, share in _shares(feed, endless)]
        loss = torch.stack(losses).sum()
        return loss + _penalised(model, training, scale)

    return gradient


def _shares(feed: Feed, endless: Iterator[Part] | None) -> Iterator[tuple[Part, float]]:
    """The parts that one gradient is made of, and their shares of the rows."""
    if endless is not None:
        yield next(endless), 1.0
        return
    for part in feed.parts():
        yield part, len(part[0]) / feed.n


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
    if not values.requires_grad:
        return
    values.grad = gradient.to(values).clone() if values.grad is None else values.grad + gradient.to(values)


# ---- what is done with them ----


def stepper(model: LinearRegression, training: Training, rate: float | None) -> Callable[..., Tensor]:
    """One update of the model: called with the gradient and a factor of the rate, gives the loss before."""
    optimizer = _optimizer(training, model, rate)
    rates = None if optimizer is None else [group["lr"] for group in optimizer.param_groups]

    def step(gradient: Gradient, factor: float) -> Tensor:
        if optimizer is None:
            loss = gradient(model)
            model.lr = (rate or 0.0) * factor
            model.step()
            return loss
        for group, base in zip(optimizer.param_groups, rates or [], strict=True):
            group["lr"] = base * factor

        def closure() -> Tensor:
            optimizer.zero_grad()
            return gradient(model)

        return torch.as_tensor(optimizer.step(closure)).detach()

    return step


def _optimizer(training: Training, model: LinearRegression, rate: float | None) -> Any:
    """An optimiser of PyTorch; None for plain descent, which the model does itself."""
    values = [v for v in (model.weights, model.bias) if v.requires_grad]
    if training.is_sgd:
        if training.momentum == 0:
            return None
        return torch.optim.SGD(values, rate or 0.0, training.momentum, nesterov=training.nesterov)
    made: Any = training.optimizer
    asked: dict[str, Any] = {} if training.lr == "auto" else {"lr": training.lr}
    if isinstance(made, str):
        made = _by_name(made)
    if inspect.isclass(made) and issubclass(made, torch.optim.Optimizer):
        return made(values, **asked)
    if asked:
        raise UsageError(
            f"lr={training.lr} came beside an optimizer that has its own rate. Leave one of them out."
        )
    if isinstance(made, torch.optim.Optimizer):
        known = inspect.signature(type(made)).parameters
        return type(made)(values, **{k: v for k, v in made.defaults.items() if k in known})
    found = made(values) if callable(made) else None
    if not isinstance(found, torch.optim.Optimizer):
        raise UsageError(
            f"optimizer={training.optimizer!r} is no optimiser. Give 'sgd', a name as in torch.optim "
            "('Adam'), a class, an instance, or a function of the parameters."
        )
    return found


def _by_name(name: str) -> type[torch.optim.Optimizer]:
    classes = {
        key: value
        for key, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer) and key != "Optimizer"
    }
    for key, value in classes.items():
        if key.lower() == name.lower():
            return value
    raise UsageError(f"There is no optimizer '{name}' in torch.optim. {did_you_mean(name, classes)}")


def soften(model: LinearRegression, by: float) -> None:
    """The proximal step of an L1 penalty: every coefficient `by` nearer to zero, and zero at most."""
    with torch.no_grad():
        W = model.weights
        W.copy_(torch.sign(W) * torch.clamp(W.abs() - by, min=0.0))


# ---- the loop ----


class Walk:
    """The course that was walked: all parameters, and the loss before each update."""

    def __init__(self, model: LinearRegression, intercept: bool, steps: int) -> None:
        count = (steps + 1) * (model.weights.numel() + model.bias.numel())
        if count > MOST_NUMBERS:
            raise UsageError(
                f"{steps:,} steps of {model.weights.numel():,} coefficients would keep {count:,} numbers. "
                "Take fewer steps, larger batches, or method='moments', which keeps none."
            )
        self.intercept, self.losses = intercept, list[Tensor]()
        self.kept: list[tuple[Tensor, Tensor]] = []

    def note(self, model: LinearRegression) -> None:
        """The parameters as they are now."""
        self.kept.append((model.weights.detach().clone(), model.bias.detach().clone()))

    def theta(self) -> Array:
        """All parameters (steps + 1, d, k)."""
        W = torch.stack([w for w, _ in self.kept])
        b = torch.stack([b for _, b in self.kept])[:, None]
        found = torch.cat([W, b], dim=1) if self.intercept else W
        return np.asarray(found.cpu().numpy(), np.float64)

    def course(self, last: Tensor, quadratic: Quadratic, *, whole: bool) -> Walked:
        """What was walked. Losses of mini-batches say little: those of all rows are taken from moments."""
        theta = self.theta()
        seen = np.array([float(loss) for loss in self.losses])
        loss = np.append(seen, float(last)) if whole else quadratic.values(theta)
        return Walked(theta, np.nan_to_num(loss, nan=np.inf), seen)


def walk(
    model: LinearRegression,
    gradient: Gradient,
    training: Training,
    *,
    rate: float | None,
    steps: int,
    watch: Callable[[int, LinearRegression], bool],
    quadratic: Quadratic,
) -> Walked:
    """`steps` updates from where the model is; ends early where `watch` or the callback says so."""
    step, course = stepper(model, training, rate), Walk(model, quadratic.intercept, steps)
    threshold = quadratic.threshold
    kinked = threshold > 0 and training.l1 == "subgradient"

    def slope(model: LinearRegression) -> Tensor:
        loss = gradient(model)
        if kinked:
            _add(model.weights, threshold * torch.sign(model.weights.detach()))
        return loss + threshold * model.weights.detach().abs().sum().to(loss) if threshold else loss

    course.note(model)
    for t in range(steps):
        if watch(t, model):
            break
        factor = 1.0 if training.schedule is None else float(training.schedule(t))
        loss = step(slope, factor)
        course.losses.append(loss)
        if threshold and not kinked:
            soften(model, threshold * (rate or 0.0) * factor)
        course.note(model)
        if training.callback is not None and training.callback(t, float(loss)) is True:
            break
    whole = training.batch is None
    return course.course(slope(model) if whole else torch.tensor(0.0), quadratic, whole=whole)


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
