"""The lasso path where rows are fewer than columns: products only of columns that come into question.

As coordinate.path, but Q (p, p) is never made. A working set of columns, those that are not 0 and those
that are about to be, has its own small matrix, which grows as columns come in; what is left along all
columns, X'(y - X t), is one product of the rows at each point of the path.

Which columns are about to come in is read off the last two points: between them h = X'r of a column
moves on a straight line as long as no other comes in, so it is drawn out to the next l1. What
the guess misses is found by the check of every column afterwards, as in celer and blitz (Massias,
Gramfort, Salmon, ICML 2018; Johnson, Guestrin, ICML 2015).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.numerics import Array
from leastwise.solve.coordinate import TIGHT, descend, gap_of
from leastwise.solve.penalised import Penalised
from leastwise.solve.scattered import Columns

NEAR = 0.97  # of its limit: a column that is guessed to come so near is looked at beforehand
MOST_AT_ONCE = 64  # columns that may come in at once beyond those that are in


@dataclass
class Working:
    """The columns that are looked at, and their products."""

    X: Columns  # (n, c)
    columns: Array = field(default_factory=lambda: np.empty(0, np.intp))
    rows: Array = field(init=False)  # (capacity, n): columns of X, each in one piece
    Q: Array = field(init=False)  # (capacity, capacity)

    def __post_init__(self) -> None:
        self.rows, self.Q = np.empty((0, len(self.X))), np.empty((0, 0))

    def join(self, new: Any) -> None:
        """Columns `new`, none of them in yet, with their products."""
        m, more = len(self.columns), len(new)
        if not more:
            return
        if m + more > len(self.Q):
            room = max(2 * len(self.Q), m + more, 128)
            rows, Q = np.empty((room, len(self.X))), np.zeros((room, room))
            rows[:m], Q[:m, :m] = self.rows[:m], self.Q[:m, :m]
            self.rows, self.Q = rows, Q
        self.rows[m : m + more] = self.X[:, new].T
        products = self.rows[: m + more] @ self.rows[m : m + more].T  # (m + more, more)
        self.Q[: m + more, m : m + more] = products
        self.Q[m : m + more, : m + more] = products.T
        self.columns = np.concatenate([self.columns, new])


def lazy_path(
    problem: Penalised, l1: Array, l2: Array, goal: float, most: int, target: int
) -> tuple[Array, Array, NDArray[np.int64]]:
    """t (A, c), gaps (A,) and rounds (A,) of one target along the penalties `l1`, `l2` (A,)."""
    X, y, q = problem.X, problem.Y[:, target], problem.q[:, target]
    yy, (A, c) = float(problem.yy[target]), (len(l1), len(q))
    f1, f2, lo, hi = problem.f1, problem.f2, problem.lower, problem.upper
    diagonal, everyone = problem.diagonal, np.arange(c)
    found, gaps, rounds = np.zeros((A, c)), np.zeros(A), np.zeros(A, np.int64)
    work, outside = Working(X), diagonal > 0
    t, g = np.zeros(c), q.copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        last = float(np.nan_to_num(np.abs(q) / f1, nan=0.0, posinf=0.0).max(initial=0.0))
    before_g, step, last2 = g, 0.0, l2[0]
    for a in range(A):
        ratio = (last - l1[a]) / step if step > 0 else 0.0
        ahead = np.abs(g + ratio * (g - before_g) - 2 * last2 * f2 * t)
        step, last, last2, before_g = last - l1[a], l1[a], l2[a], g
        _let_in(work, outside, ahead - NEAR * l1[a] * f1)
        last_gap = np.inf
        while True:
            at = work.columns
            tw, gw = t[at], g[at]
            rounds[a] += descend(
                work.Q, gw, tw, q[at], yy, f1[at], f2[at], lo[at], hi[at], l1[a], l2[a],
                TIGHT * goal, most - rounds[a],
            )  # fmt: skip
            t[at] = tw
            used = tw != 0
            g = X.T @ (y - work.rows[: len(at)][used].T @ tw[used])
            gaps[a] = gap_of(g, t, q, yy, diagonal, f1, f2, lo, hi, l1[a], l2[a], everyone)
            if gaps[a] <= goal or rounds[a] >= most:
                break
            if not _let_in(work, outside, np.abs(g) - l1[a] * f1) and gaps[a] >= last_gap:
                break  # rounding is all that is left
            last_gap = gaps[a]
        found[a] = t
    return found, gaps, rounds


def _let_in(work: Working, outside: Any, beyond: Array) -> bool:
    """The columns furthest beyond their limits come in, no more at once than are in already."""
    (new,) = np.nonzero(outside & (beyond > 0))
    room = MOST_AT_ONCE + len(work.columns)
    if len(new) > room:
        new = new[np.argsort(-beyond[new])[:room]]
    outside[new] = False
    work.join(new)
    return len(new) > 0
