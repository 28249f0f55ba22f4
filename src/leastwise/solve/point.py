"""One penalty alone: approached along its path, or begun where an earlier answer stood.

*Approached*: where rows are fewer than columns a small penalty has so many columns in at once that they
depend on one another, and descent from 0 is lost among them. From the largest penalty downwards by steps
of NEXT they come in a few at a time, and it takes less time as well. Else the descent begins at 0.

*Resumed*: whether the start is good enough is asked first: then there is nothing to do. Else rounds begin
there, on all columns, or where rows are fewer on those that are not 0, joined by the ones that miss their
optimality condition (lazy.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.numerics import Array, one_blas_thread
from leastwise.solve.paths import Path, path_of
from leastwise.solve.penalised import Penalised
from leastwise.solve.scattered import Columns

NEXT, MOST_STEPS = 0.7, 100  # a step towards a penalty, and how many at most


@dataclass(frozen=True, eq=False)
class Point:
    """The answer for one penalty: what was found, and how far it is from its optimum at most.

    `coef` (k, p), `intercept` (k,), `gap` and `size` (k,): the objective is no more than `gap` above its
    least value, and would be `size` at b = 0; `rounds` (k,) of coordinate descent, in the last step.
    """

    coef: Array
    intercept: Array
    gap: Array
    size: Array
    rounds: NDArray[np.int64]

    @classmethod
    def last(cls, path: Path) -> Point:
        """The last penalty of a path."""
        size = path.problem.yy / 2
        return cls(path.coef[-1], path.intercept[-1], path.gap[-1], size, path.rounds[-1].astype(np.int64))


def approached(problem: Penalised, l1: float, l2: float, tol: float, most: int) -> Point:
    """The answer to a gap of `tol` (a share of the objective at b = 0), with `most` rounds for a step."""
    times = towards(problem, l1)
    with one_blas_thread():
        return Point.last(path_of(problem, times * l1, times * l2, tol, most))


def towards(problem: Penalised, l1: float) -> Array:
    """Multiples (m,) of a penalty by which it is approached, the last of them 1."""
    count = 1
    if problem.by_rows and 0 < l1 < problem.largest:
        count = min(int(np.ceil(np.log(problem.largest / l1) / -np.log(NEXT))), MOST_STEPS)
    return np.asarray(NEXT ** -np.arange(count - 1, -1, -1.0))


def resumed(problem: Penalised, l1: float, l2: float, start: Array, goal: float, most: int) -> Point:
    """The answer from `start` (k, p), coefficients in the units of the data.

    `goal`: the gap to reach, as a share of the objective at b = 0. Columns are either penalised or bounded:
    free ones are solved for at the end, and their start plays no part.
    """
    columns = problem.columns
    t = np.clip(
        (start[:, columns] * problem.deviation[columns]).T, problem.lower[:, None], problem.upper[:, None]
    )
    gap, rounds = np.zeros(t.shape[1]), np.zeros(t.shape[1], np.int64)
    with one_blas_thread():
        for j in range(t.shape[1]):
            if problem.yy[j] == 0:
                t[:, j] = 0.0
                continue
            one = _Descent(problem, float(l1), float(l2), j)
            aim = goal * float(problem.yy[j]) / 2
            t[:, j], gap[j], rounds[j] = one.run(np.ascontiguousarray(t[:, j]), aim, most)
    return Point(*problem.coefficients(t), gap, problem.yy / 2, rounds)


class _Descent:
    """One target and one penalty."""

    def __init__(self, problem: Penalised, l1: float, l2: float, target: int) -> None:
        self.P, self.l1, self.l2 = problem, l1, l2
        self.q, self.yy = np.ascontiguousarray(problem.q[:, target]), float(problem.yy[target])
        if problem.by_rows:
            self.y = problem.Y[:, target]

    def remaining(self, t: Array) -> Array:
        """`q - Q t` (c,)."""
        P = self.P
        return np.asarray(P.X.T @ (self.y - P.X @ t) if P.by_rows else self.q - P.Q @ t)

    def gap(self, t: Array, g: Array) -> float:
        from leastwise.solve.coordinate import gap_of

        P, everyone = self.P, np.arange(len(t))
        gap = gap_of(
            g, t, self.q, self.yy, P.diagonal, P.f1, P.f2, P.lower, P.upper, self.l1, self.l2, everyone
        )
        return float(gap)

    def run(self, t: Array, goal: float, most: int) -> tuple[Array, float, int]:
        g, rounds = self.remaining(t), 0
        gap = self.gap(t, g)
        work = _working(self.P, t)
        while gap > goal and rounds < most:
            inside = len(work.columns)
            t, spent = self._descend(work, t, g, goal, most - rounds)
            rounds += spent
            g = self.remaining(t)
            gap = self.gap(t, g)
            work.let_in(np.abs(g) > self.l1 * self.P.f1)
            if spent <= 1 and len(work.columns) == inside:
                break  # rounding is all that is left
        return t, gap, rounds

    def _descend(self, work: Any, t: Array, g: Array, goal: float, most: int) -> tuple[Array, int]:
        from leastwise.solve.coordinate import TIGHT, descend

        P, at = self.P, work.columns
        tw, gw, t = t[at], g[at], t.copy()
        spent = descend(
            work.products, gw, tw, self.q[at], self.yy, P.f1[at], P.f2[at], P.lower[at], P.upper[at],
            self.l1, self.l2, TIGHT * goal, most,
        )  # fmt: skip
        t[at] = tw
        return t, int(spent)


class _Everyone:
    """All columns at once, their products at hand."""

    def __init__(self, Q: Array) -> None:
        self.products, self.columns = np.ascontiguousarray(Q), np.arange(len(Q))

    def let_in(self, missed: Array) -> None:
        """All are in."""


class _Some:
    """The columns that are not 0, and those that miss their condition."""

    def __init__(self, X: Columns, inside: Array) -> None:
        from leastwise.solve.lazy import Working

        self.work, self.inside = Working(X), np.zeros(X.shape[1], bool)
        self.let_in(inside)

    @property
    def products(self) -> Array:
        return self.work.Q

    @property
    def columns(self) -> Array:
        return self.work.columns

    def let_in(self, missed: Array) -> None:
        (new,) = np.nonzero(missed & ~self.inside)
        self.inside[new] = True
        self.work.join(new)


def _working(P: Penalised, t: Array) -> Any:
    return _Some(P.X, t != 0) if P.by_rows else _Everyone(P.Q)
