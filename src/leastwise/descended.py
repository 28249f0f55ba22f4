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
from leastwise.report import told
from leastwise.report.course import facts as course_facts
from leastwise.report.step import one_step
from leastwise.solve import Solution
from leastwise.solve.check import GradientCheck, check_gradient
from leastwise.solve.course import MOST_STEPS, Closed, Walked
from leastwise.solve.quadratic import Quadratic
from leastwise.solve.rule import Rule
from leastwise.solve.training import Training

CHECKED_ROWS = 1_000  # rows on which the gradient is checked
SAME_RATE = {"steps", "epochs", "start", "method", "patience", "callback", "dtype", "device"}
FULL_CHECK = 1_000_000  # numbers up to which the gradient followed is checked on all rows


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
    `lr_best`, `condition`, `shrink` and, of a course in closed form, `diverges`, `steps_to(tol)` and
    `ridge_alpha` are known before a step is taken. `at(t)` is one step of any number; `again(lr=...,
    steps=...)` another run without another pass over the rows. Printing it is the lesson; `explain()`
    walks one step; `plot()` draws it.
    """

    fit: Fit  # least squares of the same rows, and the way back to them
    training: Training
    ground: Ground
    course: Closed | Walked
    rule: Rule | None  # plain descent, momentum, Nesterov; None for other optimisers
    lr: float | None  # None where the optimiser has a rate of its own
    remake: Callable[[Fit, Training, Descent], Descent]  # the way that this was made, for `again`
    feed: Callable[[Fit, Training, Ground], Any]  # the way to the rows
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

    @property
    def chosen_step(self) -> int:
        """The step whose parameters predict: the last, or with patience that of the least held-out loss."""
        return self.steps if self.validation_loss is None else self.best_step

    def again(self, **changes: Any) -> Descent:
        """The same rows with other settings of `Training`; method "moments" reads none of them again.

        A rate that was found stays where only the steps, the start or the method are others.
        """
        known = {f.name for f in fields(Training)}
        for name in changes:
            if name not in known:
                raise UsageError(
                    f"again() takes what Training has, and {name!r} is none of it. "
                    f"{did_you_mean(name, sorted(known))}"
                )
        if changes.keys() <= SAME_RATE and self.rule is not None:
            changes = {"lr": self.lr, **changes}
        held = {"steps": None} if "epochs" in changes else {"epochs": None} if "steps" in changes else {}
        return self.remake(self.fit, replace(self.training, **{**held, **changes}), self)

    # ---- what is known before the first step ----

    @property
    def lr_limit(self) -> float | None:
        """The rate from which on full-batch steps do not converge; None for other optimisers."""
        return None if self.rule is None else self.rule.limit(self.quadratic.range[1])

    @property
    def lr_best(self) -> float | None:
        """The rate at which the slowest direction is fastest (L1: a safe one). None for other ones."""
        low, top = self.quadratic.range
        return None if self.rule is None or top == 0 else self.rule.best(low, top)

    @property
    def condition(self) -> float:
        """The largest over the smallest eigenvalue of the Hessian (of those that are not zero)."""
        return self.quadratic.condition

    @property
    def shrink(self) -> float | None:
        """By what factor errors of the slowest direction shrink in a step, in the long run."""
        if self.rule is None or not self._plain:
            return None
        low, top = self.quadratic.range
        return float(self.rule.radius(np.array([low, top])).max())

    @property
    def diverges(self) -> bool:
        """Whether it runs away: by the limit of the rate, or where that is not exact by what was seen."""
        if self.rule is not None and self._plain:
            return self.rule.lr > self.rule.limit(self.quadratic.range[1])
        first, end = self.course.value(0), self.course.value(self.steps)
        return bool(not np.isfinite(end) or end > 2 * first + abs(self.least or 0.0))

    @property
    def least(self) -> float | None:
        """The least possible loss, penalty included; None with an L1 penalty, which takes a solver."""
        return None if self.quadratic.l1 else self.quadratic.least

    @property
    def left(self) -> float | None:
        """The share of what could be gained (the first loss above the least) that is left at the end."""
        return None if self.least is None else self._share(self.course)

    @cached_property
    def left_full_batch(self) -> float | None:
        """The same of full batches at the same rate; None where there are no mini-batches."""
        if self.training.batch is None or self.rule is None or self.least is None:
            return None
        return self._share(Closed(self.quadratic, self.rule, self.course.at(0), self.steps))

    def _share(self, course: Closed | Walked) -> float:
        """At the end, of the loss above the least at the start; a start at the minimum leaves nothing."""
        least, first = self.quadratic.least, course.value(0)
        room = first - least
        return max((course.value(course.steps) - least) / room, 0.0) if room > 1e-14 * first else 0.0

    @property
    def from_optimal(self) -> float | None:
        """With an L1 penalty: by how much of it the end misses the conditions of a minimum; else None.

        A coefficient that is not 0 has a slope of the threshold against its sign, one that is 0 a slope
        of no more (Karush, Kuhn, Tucker), and the intercept has none.
        """
        q = self.quadratic
        if not q.l1:
            return None
        theta = self.course.at(self.steps)
        slope, p = q.gradient(theta), len(q.names)
        w, g = theta[:p], slope[:p]
        miss = np.where(w != 0, np.abs(g + q.threshold * np.sign(w)), np.abs(g) - q.threshold)
        return float(max(miss.max(initial=0.0), np.abs(slope[p:]).max(initial=0.0))) / q.threshold

    def steps_to(self, tol: float, most: int = MOST_STEPS) -> int | None:
        """The first step at which `tol` of the loss above the least is left; None if never.

        Of a course in closed form any number of steps (with momentum the first `most` are looked at one by
        one); else of those that were walked.
        """
        if not isinstance(tol, (int, float)) or isinstance(tol, bool) or not 0 < tol <= 1:
            raise UsageError(f"tol={tol!r} is no share. Give one above 0 and at most 1, as 1e-6.")
        if isinstance(self.course, Closed):
            return self.course.steps_to(tol, most)
        if self.least is None:
            raise UsageError(
                "The least loss under an L1 penalty is not known here. Compare run.loss itself."
            )
        near = self.loss - self.least <= tol * (self.loss[0] - self.least)
        return int(np.argmax(near)) if near.any() else None

    @property
    def ridge_alpha(self) -> float | None:
        """About which `lw.L2(alpha)` stopping here resembles: `k (1 - beta) / (4 lr t)`.

        Of full batches at a constant rate from zeros, without a penalty. After t steps a direction of
        small curvature l has gone `lr t l / (1 - beta)` of its way, under a ridge penalty l / (4 alpha /
        k). Source: Ali, Kolter, Tibshirani, A continuous-time view of early stopping, AISTATS 2019.
        """
        apart = self.training.penalty or self.training.standardize or self.course.at(0).any()
        if self.rule is None or not self._plain or apart or not self.steps or self.diverges:
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
        return self.rule.limit(self._standardised.range[1])

    def steps_standardised(self, tol: float) -> int | None:
        """How many steps `steps_to(tol)` would be in standardised columns, plain and at their best rate."""
        if self.lr_standardised is None or self.quadratic.l1:
            return None
        q = self._standardised
        start = q.move.back(self._out(self.course.at(0)), q.intercept)
        return Closed(q, Rule(Rule(1.0).best(*q.range)), start, 0).steps_to(tol)

    @cached_property
    def _standardised(self) -> Quadratic:
        return Quadratic.of(
            self.ground.moments, self.solution, penalty=self.training.penalty,
            half=self.training.loss == "half", standardize=True,
        )  # fmt: skip

    @property
    def _plain(self) -> bool:
        """Whether steps are of full batches at a constant rate on a quadratic."""
        asked = self.training
        return asked.schedule is None and not self.quadratic.l1 and asked.batch is None

    # ---- checks and lessons ----

    @cached_property
    def gradient_check(self) -> GradientCheck | None:
        """Formula, autograd and central differences at the start, on the first rows; None without rows."""
        found = self.first_rows(CHECKED_ROWS)
        if found is None:
            return None
        X, y = found
        return check_gradient(X, y, *self.parameters(0))

    @cached_property
    def followed_check(self) -> float | None:
        """How far the gradient from moments, at the start, is from autograd's on all rows, weights and
        penalties included, relative to the largest; None where rows are too many or gone."""
        fit, q = self.fit, self.quadratic
        small = self.solution.n * (len(q.names) + len(q.targets)) <= FULL_CHECK
        if fit.rows is None or not fit.rows.rereadable or not small:
            return None
        from leastwise.solve.walk import autograd_gradient

        theta = self.course.at(0)
        rows = self.feed(fit, replace(self.training, method="autograd", dtype="float64"), self.ground)
        apart = np.abs(q.gradient(theta) - autograd_gradient(rows, self.training, theta, q.intercept))
        return float(apart.max(initial=0.0)) / max(1.0, float(np.abs(q.gradient(theta)).max(initial=0.0)))

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

    def without_rows(self) -> Descent | None:
        """The same without the way back to the rows; None where they could be read off its moments."""
        if any(of.shareable is not of for of in (self.fit.moments, self.ground.moments) if of is not None):
            return None
        return replace(self, fit=replace(self.fit, rows=None))

    def predict(self, source: Any, **how: Any) -> Any:
        """Predictions of the parameters at the end (with patience at `best_step`), as those of a Fit."""
        return self._final.predict(source, **how)

    def to_torch(self) -> Any:
        """The model at the end (with patience at `best_step`) as a `torch.nn.Linear`."""
        return self._final.to_torch()

    # ---- telling ----

    @cached_property
    def facts(self) -> dict[str, Any]:
        """All that is told of the run, in one dictionary: the text, the JSON."""
        return course_facts(self)

    @property
    def verdict(self) -> str:
        """One sentence: converged, on the way, or diverges, and why."""
        return str(self.facts["verdict"])

    def summary(self) -> str:
        """The text that the command line prints."""
        return told.summary(self.facts)

    def explain(self) -> str:
        """One step walked through with the numbers and shapes of these data."""
        return one_step(self)

    def plot(self, path: str | None = None) -> Any:
        """A figure: loss curve, contours of the loss with the path, fitted line (needs matplotlib).

        With `path` it is written there too, in the format of its name's end.
        """
        from leastwise.report.plots import checked_file, descent, save

        if path is not None:
            checked_file(path)
        figure = descent(self)
        if path is not None:
            save(figure, path)
        return figure

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return told.lesson(self.facts)

    # ---- inside ----

    @cached_property
    def _final(self) -> Fit:
        """The model at the end, to predict with."""
        W, b = self.parameters(self.chosen_step)
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise UsageError(
                f"The run is beyond float64 at step {self.chosen_step:,}: there is nothing to predict with."
                " Lower the learning rate, or standardise the columns."
            )
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
