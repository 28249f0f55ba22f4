"""What is done with a gradient: a plain step, any optimiser of PyTorch, a soft threshold."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwise.errors import LeastwiseError, UsageError, did_you_mean
from leastwise.solve.training import Training
from leastwise.teach import LinearRegression

Gradient = Callable[[LinearRegression], Tensor]
GIVE = (
    "Give 'sgd', a name as in torch.optim ('Adam'), a class, an instance, or a function of the parameters."
)


class Stepper:
    """Updates of a model: `step(gradient, t)` takes one and gives the loss before it.

    Under an L1 penalty taken proximally each weight then comes `threshold` times the rate nearer to zero,
    and to zero at most. With momentum the velocity becomes the way that was really gone, so that
    `w' = prox(w - lr g + beta (w - w_before))`: Ochs, Chen, Brox and Pock, iPiano (2014).
    """

    def __init__(
        self, model: LinearRegression, training: Training, rate: float | None, threshold: float
    ) -> None:
        self.model, self.training = model, training
        self.threshold = threshold if training.l1 == "proximal" else 0.0
        self.optimizer = _made(training, model, rate)
        groups = [] if self.optimizer is None else self.optimizer.param_groups
        self.rates = [rate or 0.0] if self.optimizer is None else [group["lr"] for group in groups]
        self.looks = _needs_closure(self.optimizer)  # whether it looks at the gradient as often as it likes

    def step(self, gradient: Gradient, t: int) -> Tensor:
        """One update, with the rate of step t."""
        factor = _factor(self.training, t)
        before = self.model.weights.detach().clone() if self.threshold else None
        if self.optimizer is None:
            loss = gradient(self.model)
            self.model.lr = self.rates[0] * factor
            self.model.step()
        else:
            loss = self._by_optimizer(gradient, factor)
        if before is not None:
            self._soften(before, self.rates[0] * factor)
        return loss

    def _by_optimizer(self, gradient: Gradient, factor: float) -> Tensor:
        seen: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            seen.append(gradient(self.model))
            return seen[-1]

        for group, base in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = base * factor
        try:
            if self.looks:
                self.optimizer.step(closure)
            else:
                closure()
                self.optimizer.step()
        except LeastwiseError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            raise _unusable(self.optimizer, error) from None
        return seen[0]

    def _soften(self, before: Tensor, rate: float) -> None:
        W, by = self.model.weights, self.threshold * rate
        with torch.no_grad():
            W.copy_(torch.sign(W) * torch.clamp(W.abs() - by, min=0.0) + 0.0)  # no -0
        if self.optimizer is not None and rate > 0:
            self.optimizer.state[W]["momentum_buffer"] = (before - W.detach()) / rate


def _factor(training: Training, t: int) -> float:
    """What the rate is multiplied by in step t."""
    if training.schedule is None:
        return 1.0
    try:
        value = training.schedule(t)
    except Exception as error:
        raise UsageError(
            f"schedule failed in step {t}: {error}. It is called with the number of the step, and gives "
            "what the rate is multiplied by: lambda t: 0.99**t."
        ) from error
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 <= float(value) < float("inf"):
        raise UsageError(
            f"schedule gave {value!r} in step {t}. It is what the rate is multiplied by: a number of 0 or "
            "more. Mend it."
        )
    return float(value)


def _made(training: Training, model: LinearRegression, rate: float | None) -> Any:
    """An optimiser of PyTorch; None for plain descent, which the model does itself."""
    values = [v for v in (model.weights, model.bias) if v.requires_grad]
    if training.is_sgd:
        if training.momentum == 0:
            return None
        return torch.optim.SGD(values, rate or 0.0, training.momentum, nesterov=training.nesterov)
    asked: dict[str, Any] = {} if training.lr == "auto" else {"lr": float(training.lr)}
    made: Any = training.optimizer
    made = _by_name(made) if isinstance(made, str) else made
    if inspect.isclass(made):
        return _of_class(made, values, asked)
    if asked:
        raise UsageError(
            f"lr={training.lr} came beside an optimizer that has its own rate. Leave one of them out."
        )
    if isinstance(made, torch.optim.Optimizer):
        return _like(made, values)
    found = made(values) if callable(made) else None
    if not isinstance(found, torch.optim.Optimizer):
        raise UsageError(f"optimizer={training.optimizer!r} is no optimiser. {GIVE}")
    taken = {id(value) for group in found.param_groups for value in group["params"]}
    if taken != {id(value) for value in values}:
        raise UsageError(
            "optimizer= is a function that did not take the parameters it was given, all of them and no "
            "others: something else would move. Pass them on, as in lambda p: torch.optim.Adam(p)."
        )
    return found


def _by_name(name: str) -> Any:
    classes = {
        key: value
        for key, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer) and key != "Optimizer"
    }
    for key, value in classes.items():
        if key.lower() == name.lower():
            return value
    raise UsageError(f"There is no optimizer '{name}' in torch.optim. {did_you_mean(name, classes)}")


def _of_class(kind: Any, values: list[Tensor], asked: dict[str, Any]) -> Any:
    if not issubclass(kind, torch.optim.Optimizer) or kind is torch.optim.Optimizer:
        raise UsageError(f"optimizer={kind.__name__} is no optimiser of torch. {GIVE}")
    try:
        return kind(values, **asked)
    except (RuntimeError, TypeError, ValueError) as error:
        raise _unusable(kind, error) from None


def _like(made: torch.optim.Optimizer, values: list[Tensor]) -> Any:
    """An optimiser of the same class and settings for these values."""
    if len(made.param_groups) > 1:
        raise UsageError(
            f"The optimizer has {len(made.param_groups)} groups of parameters, and here is one. Give a "
            "function of the parameters."
        )
    known = inspect.signature(type(made)).parameters
    settings = {name: value for name, value in made.param_groups[0].items() if name in known}
    settings.pop("params", None)
    return type(made)(values, **settings)


def _needs_closure(optimizer: Any) -> bool:
    if optimizer is None:
        return False
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _unusable(optimizer: Any, error: Exception) -> UsageError:
    kind = optimizer if inspect.isclass(optimizer) else type(optimizer)
    said = str(error).split("\n")[0].rstrip(".")
    return UsageError(f"optimizer={kind.__name__} does not work here: {said}. Take another, say 'Adam'.")
