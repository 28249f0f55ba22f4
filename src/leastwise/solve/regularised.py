"""A penalised fit as it is asked, and the Solution that it gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leastwise.errors import UsageError
from leastwise.moments import Moments
from leastwise.numerics import EPS, Array, is_number, one_blas_thread
from leastwise.penalties import Penalty
from leastwise.solve.centred import Centred
from leastwise.solve.paths import MOST_ROUNDS, TOLERANCE, Path, path_of
from leastwise.solve.penalised import Penalised, Shrinkage
from leastwise.solve.point import towards
from leastwise.solve.primal import digits_of
from leastwise.solve.solution import Solution

ALPHAS = 100
REACH = 1e-3, 1e-2  # least alpha over the largest, where rows are more than columns, and else
LEAST_SHARE = 1e-8  # how much further at most
RIDGE = 1e3, 1e-8  # the same for ridge, of the mean eigenvalue: from all shrunk to none


@dataclass(frozen=True)
class Regularised:
    """What is minimised: the penalty, how it meets each coefficient, and which alphas come into question.

    `alphas`: how many, from the one under which every coefficient is 0 (for ridge: nearly) downwards, or
    the numbers themselves.
    """

    penalty: Penalty
    shrinkage: Shrinkage = Shrinkage()  # noqa: RUF009  # frozen
    intercept: bool = True
    alphas: int | tuple[float, ...] = ALPHAS
    tol: float = TOLERANCE

    def problem(self, moments: Moments) -> Penalised:
        """The problem of these rows."""
        return Penalised.of(moments, self.shrinkage, intercept=self.intercept)

    def grid(self, problem: Penalised) -> Array:
        """The alphas (A,) of a path, largest first."""
        if not isinstance(self.alphas, int):
            return np.array(sorted(self.alphas, reverse=True), np.float64)
        one, two = self._share
        apart = _apart(problem.f1)
        if one > 0:
            p = len(problem.columns)
            top = max((problem.largest - self.penalty.l1 * bool(self.penalty.rule)) / one, 0.0)
            low = top * REACH[0 if problem.count > p else 1] * apart
        else:
            mean = problem.steepest / 2 / max(len(problem.columns), 1) / (two or 1.0)
            top, low = mean * RIDGE[0], mean * RIDGE[1] * apart**2
        if not 0 < top < np.inf:  # nothing pulls at any coefficient: all paths are 0
            top, low = 1.0, REACH[0]
        return np.geomspace(top, low, self.alphas)

    @property
    def made(self) -> bool:
        """Whether the path is made here, and not of alphas that were given."""
        return isinstance(self.alphas, int)

    def further(self, alphas: Array) -> Array:
        """As many alphas again, from the end of a path downwards."""
        count = self.alphas if isinstance(self.alphas, int) else len(self.alphas)
        ratio = REACH[0] if self._share[0] > 0 else RIDGE[1]
        return np.geomspace(alphas[-1], alphas[-1] * ratio, count + 1)[1:]

    def path(self, problem: Penalised, alphas: Array, tol: float | None = None) -> Path:
        """The fits for alphas (A,), largest first; to a gap of `tol`, or of the model's own."""
        fixed = self.penalty if self.penalty.rule else Penalty(rule="cv", share=self._share)
        with one_blas_thread():
            return path_of(problem, *fixed.along(alphas), tol or self.tol, MOST_ROUNDS)

    @property
    def _share(self) -> tuple[float, float]:
        """l1 and l2 as shares of alpha: in numbers, of their sum, so that the path leads to them."""
        if self.penalty.rule:
            return self.penalty.share
        total = self.penalty.l1 + self.penalty.l2
        return (self.penalty.l1 / total, self.penalty.l2 / total) if total else (0.0, 1.0)

    def solve(self, moments: Moments, alpha: float | None = None, *, digits: bool = True) -> Solution:
        """The solution for one alpha (or the penalty in numbers).

        `digits`: whether what can be said of condition, digits and degrees of freedom is to be found: m^3
        for m active columns.
        """
        problem = self.problem(moments)
        penalty = self.penalty.at(alpha) if self.penalty.rule and alpha is not None else self.penalty
        times = towards(problem, penalty.l1)
        with one_blas_thread():
            path = path_of(problem, times * penalty.l1, times * penalty.l2, self.tol, MOST_ROUNDS)
        k = len(problem.yy)
        trusted = [_trusted(problem, path, penalty, t) for t in range(k)] if digits else [UNASKED] * k
        df = path.df_at(-1) if digits else np.full(k, np.nan)
        return _solution(problem, path, penalty, moments.exact, trusted, df)


def _apart(f1: Array) -> float:
    """How much further down a path goes for columns of other units: 1 up to a factor of 10 between them.

    The penalty of a column in small units is dear, and it comes in late, whatever it is worth.
    """
    some = f1[f1 > 0]
    return float(min(1.0, max(10 * some.min() / some.max(), LEAST_SHARE))) if len(some) else 1.0


def checked_alphas(alphas: Any) -> int | tuple[float, ...]:
    """How many alphas, or which, if they can be had."""
    if isinstance(alphas, (int, np.integer)) and not isinstance(alphas, bool) and alphas > 1:
        return int(alphas)
    values = alphas if isinstance(alphas, (list, tuple, np.ndarray)) else ()
    if len(values) and all(is_number(v) and 0 < v < float("inf") for v in values):
        return tuple(float(v) for v in values)
    raise UsageError(
        f"alphas={alphas!r} is neither a count above 1 nor a list of numbers above 0. Give one of them."
    )


Trust = tuple[float, float, float]  # condition, digits of the coefficients, digits of the rss
UNASKED: Trust = (float("nan"), 15.0, 15.0)


def _solution(
    problem: Penalised, path: Path, penalty: Penalty, exact: bool, found: list[Trust], df: Array
) -> Solution:
    """The last point of a path, and what can be said of it."""
    c, coef, intercept, rss = problem.c, path.coef[-1], path.intercept[-1], path.rss[-1]
    kept = ~c.constant
    names = np.array(c.m.names, object)
    method = penalty.name if penalty else "bounded least squares"
    return Solution(
        c.m.names, c.m.targets, coef, intercept, kept, int(coef.any(axis=0).sum()), (),
        tuple(names[c.constant]), method, "exact" if exact else "fast", max(f[0] for f in found),
        min(f[1] for f in found), c.m.n, c.weight, rss, c.square[len(names) :],
        np.array([f[2] for f in found]), c.intercept, None, 15.0, c.far_mean,
        penalty, path.gap[-1], path.goal, df,
    )  # fmt: skip


def _trusted(problem: Penalised, path: Path, penalty: Penalty, target: int) -> Trust:
    """Condition of the active columns with their penalty, digits of the coefficients and of the rss."""
    c, p = problem.c, len(problem.deviation)
    active = np.flatnonzero(path.coef[-1, target] != 0)
    ridge = np.zeros(p)
    ridge[problem.columns] = 2 * penalty.l2 * problem.f2
    if not len(active):
        return 1.0, 15.0, 15.0
    if c.S is None:
        condition = _condition_of_rows(c.features[:, active] / c.scale[active], ridge[active])
        return condition, float(np.clip(15 - np.log10(condition), 0, 15)), 15.0
    R = c.S[np.ix_(active, active)] / np.outer(c.scale[active], c.scale[active])
    values, V = np.linalg.eigh(R + np.diag(ridge[active]))
    values = np.maximum(values, values[-1] * EPS)
    condition = float(np.sqrt(values[-1] / values[0]))
    raw = (path.coef[-1, target, active] * c.scale[active])[:, None]
    one = _of_target(c, target)
    everything = np.ones(len(active), bool)
    digits, of_rss, _ = digits_of(
        one, active, everything, raw, path.rss[-1, target : target + 1], (V / values) @ V.T
    )
    return condition, digits, float(of_rss[0])


def _condition_of_rows(Z: Array, ridge: Array) -> float:
    """The root of the condition of `Z'Z + diag(ridge)` for Z (n, c), from the smaller side of Z."""
    n, c = Z.shape
    if c <= n:
        values = np.linalg.eigvalsh(Z.T @ Z + np.diag(ridge))
    else:  # outside the rows' span only the least ridge is left: nothing is below it
        values = np.array([_largest(Z) + ridge.mean(), ridge.min(initial=np.inf)])
    return float(np.sqrt(values.max() / max(values.min(), values.max() * EPS**2)))


def _largest(Z: Array) -> float:
    """The largest eigenvalue of `Z Z'`, by products alone."""
    from scipy.sparse.linalg import ArpackError, svds

    start = np.random.default_rng(0).normal(size=min(Z.shape))
    if len(start) < 3 or not Z.any():  # nothing for Lanczos
        return float(np.linalg.norm(Z, 2) ** 2)
    try:
        return float(svds(Z, k=1, v0=start, return_singular_vectors=False)[0] ** 2)
    except ArpackError:
        return float(np.linalg.norm(Z, 2) ** 2)


def _of_target(c: Centred, target: int) -> Centred:
    """The same with one target, as far as digits are concerned."""
    p = len(c.scale)
    stay = np.append(np.arange(p), p + target)
    return replace(c, mean=c.mean[stay], square=c.square[stay], size=c.size[stay], lost=c.lost[stay])


def refuse_rank(rank: str, what: str) -> None:
    """A penalty leaves no choice of what dependent columns do."""
    if rank != "drop":
        raise UsageError(
            f"rank={rank!r} says what dependent columns do in least squares; here {what} about them. "
            "Leave it out."
        )
