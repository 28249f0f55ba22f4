"""Training: how to descend, whatever the rows are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leastwise.errors import UsageError, listed
from leastwise.numerics import is_number
from leastwise.penalties import Penalty

METHODS = ("moments", "autograd", "analytic")
LOSSES = ("mean", "half")
L1_STEPS = ("proximal", "subgradient")
DTYPES = ("float32", "float64")
ROWS_ONLY = ("batch", "dtype", "device", "callback")  # what has no meaning without rows


@dataclass(frozen=True)
class Training:
    """How gradient descent is run: the rate, the number of steps, and where gradients come from.

    `lr`: the rate, or "auto": for plain descent, momentum and Nesterov the one after which the loss is
    least in so many steps (smaller for L1 and mini-batches, docs/maths.md), for other optimisers
    PyTorch's own. `steps`: updates; or `epochs`: passes over the rows, several updates each with `batch`
    (rows of one). `start`: (W (p, k), b (k,)) as in `X @ W + b`, or a Fit or Descent whose parameters are
    taken; None is zeros.

    `method`: "moments" (no row is read again), "autograd" (the documents' loop on the rows), "analytic"
    (the formula on the rows). `optimizer`: "sgd" with `momentum` and `nesterov`, or any of torch.optim by
    name, class, instance (whose settings are taken) or a function of the parameters. `schedule`: a
    function of the step (0, 1, ...) that gives what the rate is multiplied by.

    `penalty`: `lw.L1(a)`, `lw.L2(a)` or their sum; `l1`: "proximal" steps, which reach zero, or the plain
    "subgradient", which does not. `loss`: "mean", or "half" for 1/(2n). `standardize`: descend in columns
    of mean 0 and deviation 1 (of the rows trained on), which a penalty is then of; what comes out is of
    the columns as they came.

    `patience`: stop when the loss on a validation fold has not gone down for so many steps. `dtype`:
    "float32" or "float64"; None is that of the rows. `device`: of torch. `callback(step, loss)` is called
    after each update (the first is 0) with the loss that it saw, and ends the run by giving True.
    """

    lr: float | str = "auto"
    steps: int | None = None
    epochs: int | None = None
    start: Any = field(default=None, compare=False)
    method: str = "moments"
    optimizer: Any = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    penalty: Penalty = Penalty()  # noqa: RUF009  # frozen
    l1: str = "proximal"
    loss: str = "mean"
    standardize: bool = False
    schedule: Callable[[int], float] | None = None
    batch: int | None = None
    patience: int | None = None
    dtype: str | None = None
    device: str | None = None
    callback: Callable[[int, float], Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("standardize", "nesterov"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name}={getattr(self, name)!r} is neither True nor False. Give one.")
        _choice("method", self.method, METHODS)
        _choice("loss", self.loss, LOSSES)
        _choice("l1", self.l1, L1_STEPS)
        if self.dtype is not None:
            _choice("dtype", self.dtype, DTYPES)
        for name in ("steps", "epochs", "batch", "patience"):
            least = 0 if name in ("steps", "epochs") else 1
            value = getattr(self, name)
            if value is not None and not _is_count(value, least):
                raise UsageError(f"{name}={value!r} is no whole number of {least} or more. Give one.")
        auto = isinstance(self.lr, str) and self.lr == "auto"
        if not auto and not (is_number(self.lr) and 0 < self.lr < float("inf")):  # type: ignore[operator]
            raise UsageError(
                f"lr={self.lr!r} is no rate. Give a number above 0, or 'auto' for the best one."
            )
        if isinstance(self.penalty, Penalty) and self.penalty.rule:
            raise UsageError(
                f"penalty={self.penalty!r} is to be chosen, and a descent is of one penalty. Choose it "
                "with lw.fit, and give the number."
            )
        if not isinstance(self.penalty, Penalty):
            raise UsageError(
                f"penalty={self.penalty!r} is no penalty. Give lw.L2(0.1), lw.L1(0.1) or their sum."
            )
        self._check_momentum()
        self._check_what_applies()

    def _check_momentum(self) -> None:
        if not is_number(self.momentum) or not 0 <= self.momentum < 1:
            raise UsageError(f"momentum={self.momentum!r} is no number from 0 to below 1. Give one.")
        if self.nesterov and self.momentum == 0:
            raise UsageError(
                "nesterov=True (--nesterov) looks ahead along the momentum, which is 0. Add momentum=0.9 "
                "(--momentum 0.9)."
            )
        if (self.momentum or self.nesterov) and not self.is_sgd:
            raise UsageError(
                f"momentum is for optimizer='sgd', and optimizer={self.optimizer!r} came. Give the "
                "optimiser its own settings as a function, lambda p: torch.optim.RMSprop(p, momentum=0.9)."
            )

    def _check_what_applies(self) -> None:
        if self.steps is not None and self.epochs is not None:
            raise UsageError(
                f"steps={self.steps} and epochs={self.epochs} both say how long. Give one of them."
            )
        odd = [name for name in ROWS_ONLY if getattr(self, name) is not None]
        if odd and self.method == "moments":
            raise UsageError(
                f"{listed(odd)} {'is' if len(odd) == 1 else 'are'} for descent on the rows, and "
                "method='moments' reads none. Pass method='autograd', or leave it out."
            )
        if self.l1 == "proximal" and self.penalty.l1 and not self.is_sgd:
            raise UsageError(
                "Soft-threshold steps belong to optimizer='sgd': other optimisers give each coefficient a "
                "rate of its own. Pass l1='subgradient', or leave the optimizer out."
            )
        if self.l1 == "proximal" and self.penalty.l1 and self.nesterov:
            raise UsageError(
                "Soft-threshold steps with Nesterov's momentum would settle elsewhere. Leave nesterov=True "
                "out (plain momentum is fine), or pass l1='subgradient'."
            )
        if self.l1 == "subgradient" and not self.penalty.l1:
            raise UsageError(
                "l1='subgradient' (--l1-steps) says how an L1 penalty is followed, and there is none. Add "
                "penalty=lw.L1(0.1) (--l1 0.1), or leave it out."
            )
        for name in ("schedule", "callback"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise UsageError(
                    f"{name}={getattr(self, name)!r} cannot be called. Give a function: a schedule of the "
                    "step, a callback of the step and the loss."
                )

    @property
    def is_sgd(self) -> bool:
        """Whether plain descent, momentum or Nesterov is asked for, whose rates have a limit."""
        return isinstance(self.optimizer, str) and self.optimizer.lower() == "sgd"

    @property
    def closed(self) -> bool:
        """Whether the whole course is known in closed form."""
        return self.is_sgd and self.schedule is None and not self.penalty.l1 and self.method == "moments"


def _choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"{name}={value!r} is not known. It is one of {listed(known, last='or')}.")


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)
