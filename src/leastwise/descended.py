"""Descent: where gradient descent went, and every view of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from leastwise.errors import UsageError, did_you_mean
from leastwise.fitted import Fit, tensor
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.report import course as telling
from leastwise.report.step import one_step
from leastwise.solve import Solution
from leastwise.solve.check import GradientCheck, check_gradient
from leastwise.solve.course import Closed, Walked
from leastwise.solve.quadratic import Quadratic
from leastwise.solve.rule import Rule
from leastwise.solve.training import Training

CHECKED_ROWS = 1_000  # rows on which the gradient is checked
CONVERGED = 1e-6  # of the way from the first loss to the least: what is told as converged


@dataclass(frozen=True, eq=False)
class Ground:
    """What is descended: the rows trained on as moments, their least squares, their loss."""

    moments: Moments
    solution: Solution
    quadratic: Quadratic
    held_out: Quadratic | None = None  # the loss of the validation fold


@dataclass(frozen=True, eq=False, repr=False)
class Descent:
    """The course of gradient descent on the mean squared error, and what can be asked of it.

    `loss` (steps + 1,) after 0, 1, ... updates; `coef`, `intercept` (steps + 1, ...) likewise, as those
    of a Fit; `W` (steps + 1, p, k) and `b` (steps + 1, k) in the documents' letters. `lr_limit`,
    `lr_best`, `condition`, `shrink`, `diverges`, `steps_to(tol)`, `ridge_alpha` are known before a step is
    taken. `at(t)` is one step of any number; `again(lr=..., steps=...)` another run without another
    pass over the rows. Printing it is the lesson; `explain()` walks one step; `plot()` draws it.
    """

    fit: Fit  # least squares of the same rows, and the way back to them
    training: Training
    ground: Ground
    course: Closed | Walked
    rule: Rule | None  # plain descent, momentum, Nesterov; None for other optimisers
    lr: float | None  # None where the optimiser has a rate of its own
    remake: Callable[[Fit, Training, Descent], Descent]  # the way that this was made, for `again`
    validation_loss: Array | None = None  # (steps + 1,) on the fold held out

    @property
    def quadratic(self) -> Quadratic:
        """The loss as a function of the parameters."""
        return self.ground.quadratic

    @property
    def solution(self) -> Solution:
        """Least squares of the rows that were trained on."""
        return self.ground.solution

    # ---- the course ----

    @property
    def steps(self) -> int:
        """Updates."""
        return self.course.steps

    @property
    def loss(self) -> Array:
        """The loss on all rows trained on (steps + 1,), penalty included, after 0, 1, ... updates."""
        return self.course.loss

    @property
    def batch_loss(self) -> Array:
        """The loss that each update saw (steps,): of its mini-batch, where there are such."""
        return self.course.seen if isinstance(self.course, Walked) else self.loss[:-1]

    @cached_property
    def _theta(self) -> Array:
        return self._out(self.course.theta)

    @property
    def W(self) -> Any:  # noqa: N802
        """Weights (steps + 1, p, k), as in `X @ W + b`."""
        return self._as_came(self._theta[:, : len(self.fit.names)])

    @property
    def b(self) -> Any:
        """Biases (steps + 1, k)."""
        return self._as_came(self._bias(self._theta))

    @property
    def coef(self) -> Any:
        """Coefficients (steps + 1, p), or (steps + 1, k, p) for k targets."""
        W = self._theta[:, : len(self.fit.names)]
        return self._as_came(W[..., 0] if W.shape[-1] == 1 else W.transpose(0, 2, 1))

    @property
    def intercept(self) -> Any:
        """Intercepts (steps + 1,), or (steps + 1, k)."""
        b = self._bias(self._theta)
        return self._as_came(b[:, 0] if b.shape[1] == 1 else b)

    def at(self, t: int) -> tuple[Any, Any]:
        """W (p, k) and b (k,) after t updates; of a course in closed form any t, at a cost of log t."""
        if isinstance(t, bool) or not isinstance(t, (int, np.integer)) or t < 0:
            raise UsageError(f"t={t!r} is no number of steps. Give a whole number of 0 or more.")
        W, b = self.parameters(int(t))
        return self._as_came(W), self._as_came(b)

    def parameters(self, t: int) -> tuple[Array, Array]:
        """`at(t)` as numpy arrays, whatever came."""
        theta = self._out(self.course.at(t))
        return theta[: len(self.fit.names)], self._bias(theta[None])[0]

    @property
    def best_step(self) -> int:
        """The step of the least loss: on the validation fold where there is one."""
        losses = self.loss if self.validation_loss is None else self.validation_loss
        return int(np.argmin(losses))

    def again(self, **changes: Any) -> Descent:
        """The same rows with other settings of `Training`; method "moments" reads none of them again."""
        known = {f.name for f in fields(Training)}
        for name in changes:
            if name not in known:
                raise UsageError(
                    f"again() takes what Training has, and {name!r} is none of it. "
                    f"{did_you_mean(name, sorted(known))}"
                )
        held = {"steps": None} if "epochs" in changes else {"epochs": None} if "steps" in changes else {}
        return self.remake(self.fit, replace(self.training, **{**held, **changes}), self)

    # ---- what is known before the first step ----

    @property
    def lr_limit(self) -> float | None:
        """The rate from which on full-batch steps do not converge; None for other optimisers."""
        return None if self.rule is None else self.rule.limit(self.quadratic.range[1])

    @property
    def lr_best(self) -> float | None:
        """The rate at which the slowest direction is fastest; None for other optimisers."""
        low, top = self.quadratic.range
        return None if self.rule is None or top == 0 else self.rule.best(low, top)

    @property
    def condition(self) -> float:
        """The largest over the smallest eigenvalue of the Hessian (of those that are not zero)."""
        return self.quadratic.condition

    @property
    def shrink(self) -> float | None:
        """By what factor errors of the slowest direction shrink in a step, in the long run."""
        if self.rule is None or self.training.schedule is not None or self.quadratic.l1:
            return None
        low, top = self.quadratic.range
        return float(self.rule.radius(np.array([low, top])).max())

    @property
    def diverges(self) -> bool:
        """Whether it runs away: by the limit of the rate, or else by what was seen."""
        if self.rule is not None and self.training.schedule is None and self.training.batch is None:
            return self.rule.lr > self.rule.limit(self.quadratic.range[1])
        first, end = self.course.value(0), self.course.value(self.steps)
        return bool(not np.isfinite(end) or end > 2 * first + abs(self.least or 0.0))

    @property
    def least(self) -> float | None:
        """The least possible loss, penalty included; None with an L1 penalty, whose paths solve for it."""
        return None if self.quadratic.l1 else self.quadratic.least

    def steps_to(self, tol: float) -> int | None:
        """The first step at which `tol` of the loss above the least is left; None if never.

        Of a course in closed form any number of steps; else of those that were walked.
        """
        if not isinstance(tol, (int, float)) or isinstance(tol, bool) or not 0 < tol <= 1:
            raise UsageError(f"tol={tol!r} is no share. Give one above 0 and at most 1, as 1e-6.")
        if isinstance(self.course, Closed):
            return self.course.steps_to(tol)
        if self.least is None:
            raise UsageError(
                "The least loss under an L1 penalty is not known here. Compare run.loss itself."
            )
        near = self.loss - self.least <= tol * (self.loss[0] - self.least)
        return int(np.argmax(near)) if near.any() else None

    @property
    def ridge_alpha(self) -> float | None:
        """About which `lw.L2(alpha)` stopping here resembles: `k (1 - beta) / (4 lr t)`; from zeros only.

        After t steps a direction of small curvature l has gone `lr t l / (1 - beta)` of its way, under a
        ridge penalty l / (4 alpha / k). Source: Ali, Kolter, Tibshirani, A continuous-time view of early
        stopping, AISTATS 2019.
        """
        zero = not self.course.at(0).any()
        if self.rule is None or not zero or not self.steps or self.diverges or self.quadratic.l1:
            return None
        k = len(self.fit.solution.targets)
        halves = 0.5 if self.training.loss == "half" else 1.0
        return k * (1 - self.rule.beta) / (4 * self.rule.lr * halves * self.steps)

    @cached_property
    def end(self) -> tuple[Array, Array] | None:
        """W (p, k) and b (k,) that the steps lead to; None with an L1 penalty."""
        if self.quadratic.l1:
            return None
        q = self.quadratic
        unique = q.rank == len(q.best)
        theta = q.best if unique else Closed(q, Rule(1.0), self.course.at(0), 0).end
        theta = self._out(theta)
        return theta[: len(self.fit.names)], self._bias(theta[None])[0]

    @cached_property
    def steep(self) -> tuple[tuple[str, float], ...]:
        """The columns of the steepest direction and their shares of it, largest first."""
        directions = self.quadratic.modes.directions
        if not directions.shape[1]:
            return ()
        share = directions[:, 0] ** 2
        names = [*self.fit.names, *(["(Intercept)"] if self.quadratic.intercept else [])]
        order = np.argsort(-share, kind="stable")[:5]
        return tuple((names[j], float(share[j])) for j in order if share[j] > 0.01)

    @cached_property
    def lr_standardised(self) -> float | None:
        """What `lr_limit` would be with columns of mean 0 and deviation 1."""
        if self.rule is None or not self.quadratic.intercept or not len(self.fit.names):
            return None
        moved = Quadratic.of(
            self.ground.moments, self.solution, penalty=self.training.penalty,
            half=self.training.loss == "half", standardize=True,
        )  # fmt: skip
        return self.rule.limit(moved.range[1])

    # ---- checks and lessons ----

    @cached_property
    def gradient_check(self) -> GradientCheck | None:
        """Formula, autograd and central differences at the start, on the first rows; None without rows."""
        found = self.first_rows(CHECKED_ROWS)
        if found is None:
            return None
        X, y = found
        return check_gradient(X, y, *self.parameters(0))

    def first_rows(self, most: int) -> tuple[Array, Array] | None:
        """X (m, p) and y (m, k) of the first usable rows; None where they cannot be read again."""
        fit = self.fit
        if fit.rows is None or not fit.rows.rereadable:
            return None
        for slab in fit.rows.ahead(fit.recipe.reads_all):
            block = fit.recipe.block(slab)
            if block.n:
                X = np.array(block.X[:most], np.float64)
                X = np.where(np.isnan(X), self._fills, X) if len(fit.fills) else X
                return X, np.array(block.Y[:most], np.float64)
        return None

    def predict(self, source: Any, **how: Any) -> Any:
        """Predictions of the parameters at the end, as `Fit.predict` gives them."""
        return self._final.predict(source, **how)

    def to_torch(self) -> Any:
        """The model at the end as a `torch.nn.Linear`."""
        return self._final.to_torch()

    # ---- telling ----

    @cached_property
    def facts(self) -> dict[str, Any]:
        """All that is told of the run, in one dictionary: the text, the JSON."""
        return telling.facts(self)

    @property
    def verdict(self) -> str:
        """One sentence: converged, on the way, or diverges, and why."""
        return str(self.facts["verdict"])

    def summary(self) -> str:
        """The text that the command line prints."""
        return telling.summary(self.facts)

    def explain(self) -> str:
        """One step walked through with the numbers and shapes of these data."""
        return one_step(self)

    def plot(self) -> Any:
        """A figure: loss curve, contours of the loss with the path, fitted line (needs matplotlib)."""
        from leastwise.report.plots import descent

        return descent(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return telling.lesson(self.facts)

    # ---- inside ----

    @cached_property
    def _final(self) -> Fit:
        """The model at the end, to predict with."""
        W, b = self.parameters(self.steps)
        solution = replace(self.solution, coef=W.T.copy(), intercept=b.copy())
        return replace(self.fit, solution=solution, fills=self._fills)

    @property
    def _fills(self) -> Array:
        """What missing numbers were filled with (p,), by the rows trained on."""
        return self.ground.moments.fills if len(self.fit.fills) else self.fit.fills

    def _out(self, theta: Array) -> Array:
        return self.quadratic.move.out(theta, self.quadratic.intercept)

    def _bias(self, theta: Array) -> Array:
        """b (t, k) of theta (t, d, k)."""
        return theta[:, -1] if self.quadratic.intercept else np.zeros((len(theta), theta.shape[2]))

    def _as_came(self, values: Array) -> Any:
        return tensor(values) if self.fit.native == "torch" else values
