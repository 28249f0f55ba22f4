"""Course: where gradient descent was after each step, in closed form or as it was walked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leastwise.errors import UsageError
from leastwise.numerics import EPS, Array, few_threads
from leastwise.solve.quadratic import Quadratic
from leastwise.solve.rule import Map, Rule, power, squares, states

MOST_NUMBERS = 1 << 28  # of all parameters of all steps, made at once (2 GB)
CHUNK = 1 << 16  # steps whose losses are looked at together
MOST_STEPS = 1 << 22  # looked through for the first that is near enough, where losses go up and down


@dataclass(frozen=True, eq=False)
class Closed:
    """All steps of a rule on a quadratic, by powers of one small matrix for each direction.

    `theta_t = theta_0 - Q (psi_t Q' g_0)`: g_0 the gradient at the start, psi of rule.py. Loss:
    `least + scale sum_j (left_j' (F theta_0 - T))^2 pi_{t,j}^2`, a sum of squares.
    """

    quadratic: Quadratic
    rule: Rule
    start: Array  # (d, k)
    steps: int

    how = "closed form"

    @cached_property
    def _share(self) -> Array:
        """The start seen from the minimum, in each direction (r, k): `left' (F theta_0 - T)`."""
        q = self.quadratic
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(q.modes.left.T @ (q.factor @ self.start - q.aim))

    @cached_property
    def _squares(self) -> Array:
        """Their squares, of all targets together (r,)."""
        return np.asarray((self._share**2).sum(axis=1))

    @cached_property
    def _gradient(self) -> Array:
        """The gradient at the start in each direction (r, k)."""
        return np.asarray(2 * self.quadratic.scale * self.quadratic.modes.root[:, None] * self._share)

    @cached_property
    def loss(self) -> Array:
        """The loss (steps + 1,) after each step."""
        q = self.quadratic
        if self.steps >= MOST_NUMBERS:
            raise UsageError(
                f"{self.steps:,} steps have as many losses, which would not fit. Ask for some of them with "
                "run.again(steps=...), for parameters with run.at(t), for a loss with run.steps_to(tol)."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            return np.nan_to_num(q.least + self._above(self.steps), nan=np.inf, posinf=np.inf)

    def _above(self, steps: int, first: int = 0) -> Array:
        """What the loss is above its least (steps + 1,), from step `first` on."""
        q = self.quadratic
        with np.errstate(over="ignore", invalid="ignore"), few_threads(len(self.start)):
            return q.scale * squares(self.rule, q.modes.curvature, self._squares, steps, first)

    @property
    def _map(self) -> Map:
        return self.rule.map(self.quadratic.modes.curvature)

    def between(self, first: int, last: int) -> Array:
        """The parameters (last - first, d, k) after `first`, ..., `last` - 1 steps."""
        with np.errstate(over="ignore", invalid="ignore"), few_threads(len(self.start)):
            psi = states(self._map, power(self._map, first)[1], last - first - 1)[:, 0]
            away = [(psi * g) @ self.quadratic.modes.directions.T for g in self._gradient.T]
            return np.asarray(self.start - np.stack(away, axis=-1))

    def value(self, t: int) -> float:
        """The loss after t steps, at a cost of log t."""
        return self.quadratic.least + self.excess(t)

    @cached_property
    def theta(self) -> Array:
        """All parameters (steps + 1, d, k)."""
        d, k = self.start.shape
        count = (self.steps + 1) * d * k
        if count > MOST_NUMBERS:
            raise UsageError(
                f"{self.steps:,} steps of {d * k:,} parameters are {count:,} numbers. Ask for single steps "
                "with run.at(t), or for fewer steps."
            )
        return self.between(0, self.steps + 1)

    def at(self, t: int) -> Array:
        """The parameters (d, k) after t steps, at a cost of log t."""
        with np.errstate(over="ignore", invalid="ignore"):
            psi = power(self._map, t)[1][0]
            return self.start - self.quadratic.modes.directions @ (psi[:, None] * self._gradient)

    @cached_property
    def end(self) -> Array:
        """Where the steps lead in the end (d, k), if they converge: a minimum, the nearest to the start."""
        q = self.quadratic
        away = self._share / q.modes.root[:, None]
        return self.start - q.modes.directions @ away

    def excess(self, t: int) -> float:
        """The loss above the least after t steps, at a cost of log t."""
        q = self.quadratic
        with np.errstate(over="ignore", invalid="ignore"):
            if self.rule.beta == 0:
                left = (1 - self.rule.lr * q.modes.curvature) ** t
            else:
                left = power(self.rule.left(q.modes.curvature), t)[0][0, 0]
            found = float(left**2 @ self._squares) * q.scale
        return float("inf") if np.isnan(found) else found

    def steps_to(self, tol: float, most: int = MOST_STEPS) -> int | None:
        """The first step at which `tol` of the loss above the least is left; None if never.

        With momentum, losses go up and down: up to `most` steps are looked at one by one, and beyond it
        is one of the first that are near enough.
        """
        target = tol * self.excess(0)
        if self.excess(0) <= target:
            return 0
        radius = self.rule.radius(self.quadratic.modes.curvature)
        shrinks = bool((radius < 1 - 8 * EPS).all())  # nearer to 1 it is rounding
        if self.rule.beta > 0 or not shrinks:
            found = self._first_below(target, most)
            if found is not None or not shrinks:
                return found
        above, below = 0, 1
        while self.excess(below) > target:
            above, below = below, 2 * below
            if below > 1 << 60:
                return None
        while below - above > 1:
            middle = (above + below) // 2
            above, below = (above, middle) if self.excess(middle) <= target else (middle, below)
        return below

    def _first_below(self, target: float, most: int) -> int | None:
        """The first of up to `most` steps whose loss is low enough."""
        first, count = 0, 1 << 10
        while first < most:
            near = self._above(count - 1, first) <= target
            if near.any():
                return first + int(np.argmax(near))
            first, count = first + count, min(4 * count, CHUNK)
        return None


@dataclass(frozen=True, eq=False)
class Walked:
    """Steps as they were taken."""

    theta: Array  # (steps + 1, d, k)
    loss: Array  # (steps + 1,)
    seen: Array  # (steps,) the losses that the updates saw: of mini-batches where there are such

    how = "step by step"

    @property
    def steps(self) -> int:
        return len(self.theta) - 1

    def value(self, t: int) -> float:
        """The loss after t steps."""
        return float(self.loss[t])

    def at(self, t: int) -> Array:
        """The parameters (d, k) after t steps."""
        if t > self.steps:
            raise UsageError(f"{self.steps:,} steps were walked, and {t:,} is beyond. Ask for one of them.")
        return np.asarray(self.theta[t])
