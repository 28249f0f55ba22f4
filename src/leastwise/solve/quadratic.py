"""Quadratic: the loss as a function of the parameters, from moments alone.

With theta = (w, c) (d, k), the parameters of each target in a column, d = p + 1 (or p without an
intercept), and the loss of docs/maths.md with an L2 penalty a,

    L(theta) = 1/(W k) sum w (x w + c - y)^2 + (2/k) a |w|^2 [+ (2/k) a1 |w|_1]
             = base + |F theta - T|^2 / (W k)                [+ (2/k) a1 |w|_1]

for any factor F of the Hessian, `H = 2/(W k) F'F`: rows in small, as a QR decomposition would leave
them. They are made about the means,

    F = [ U       0  ]   T = [ V ]    U'U = S + 2 W a I,  U'V = S_xy, sums of products about the means
        [ mean'   1  ]       [ y ]    the last row times the root of W, y the targets' means

so that a column far from zero costs no digit. The least loss is not asked for: where least squares is
long (nearly dependent columns), `F theta - T` loses what the residuals of the rows lose, and no more.
The singular values of F are the roots of the Hessian's eigenvalues, to the digits of F: the smallest
keep twice as many as an eigendecomposition of H would leave them.

U is Cholesky's in unit columns, with pivoting, so that dependent columns end it early (LAPACK's pstrf;
Higham, Accuracy and Stability, 10.3); where rows are fewer than columns it is the rows. Cost: p^3 for
the factor and 10 p^3 for its singular values, once; p^2 a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack, solve_triangular

from leastwise.moments import Moments
from leastwise.numerics import Array, few_threads
from leastwise.penalties import Penalty
from leastwise.solve.centred import Centred
from leastwise.solve.solution import Solution

EQUAL = 1e-13  # of the total: sums of squares no further apart are one
TOGETHER = 1 << 22  # numbers of a block of parameters whose losses are taken at once


@dataclass(frozen=True, eq=False)
class Modes:
    """The Hessian's directions, the steepest first: `F = left diag(root) directions'`."""

    curvature: Array  # (r,) lambda, of directions that have any
    directions: Array  # (d, r)
    left: Array  # (m, r) left singular vectors of F
    root: Array  # (r,) singular values of F


@dataclass(frozen=True, eq=False)
class Quadratic:
    """The loss from moments: its least value and where it is, values, gradients, Hessian."""

    names: tuple[str, ...]
    targets: tuple[str, ...]
    n: int
    weight: float
    intercept: bool
    factor: Array  # F (m, d)
    aim: Array  # T (m, k)
    base: float  # what the loss has beside `scale |F theta - T|^2`
    best: Array  # theta* (d, k): a place where it is least
    least: float  # the loss there, but for an L1 penalty
    l1: float
    l2: float
    scale: float  # 1/(W k), or half of it
    move: Move  # from these parameters to those of the columns as they came
    rank: int  # directions that have curvature

    @classmethod
    def of(
        cls,
        moments: Moments,
        solution: Solution,
        *,
        penalty: Penalty = Penalty(),  # noqa: B008  # frozen
        half: bool = False,
        standardize: bool = False,
    ) -> Quadratic:
        """The loss of these moments, whose least squares are `solution`.

        `standardize`: as a function of the parameters of columns about their means and divided by
        their deviations, those that a penalty is then of.
        """
        c = Columns.of(moments.rounded().imputed(), solution)
        c = c.standardised() if standardize else c
        found = c.factored(2 * c.weight * penalty.l2, solution)
        F, T, theta = found.U, found.V, found.w
        if solution.fits_intercept:
            last = np.sqrt(c.weight) * np.append(c.mean, 1.0)
            F = np.vstack([np.column_stack([F, np.zeros(len(F))]), last])
            T = np.vstack([T, np.sqrt(c.weight) * c.target])
            theta = np.vstack([theta, c.target - c.mean @ theta])
        scale = (0.5 if half else 1.0) / (c.weight * theta.shape[1])
        return cls(
            moments.names, moments.targets, moments.n, c.weight, solution.fits_intercept, F, T,
            found.base * scale, theta, found.least * scale, penalty.l1, penalty.l2, scale, c.move,
            found.rank + solution.fits_intercept,
        )  # fmt: skip

    # ---- values ----

    def values(self, theta: Array) -> Array:
        """The loss (...) at parameters (..., d, k)."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.smooth(theta) + self.kink(theta)
        return np.nan_to_num(found, nan=np.inf, posinf=np.inf)

    def smooth(self, theta: Array) -> Array:
        """The same but for an L1 penalty."""
        flat = theta.reshape(-1, *theta.shape[-2:])
        step = max(1, TOGETHER // max(flat[0].size, len(self.factor) * flat.shape[2]))
        found = np.empty(len(flat))
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, len(flat), step):
                beyond = self.factor @ flat[first : first + step] - self.aim
                found[first : first + step] = np.einsum("tmk,tmk->t", beyond, beyond)
            return np.asarray(self.base + self.scale * found).reshape(theta.shape[:-2])

    def kink(self, theta: Array) -> Array:
        """The L1 penalty's share (...) of the loss."""
        if self.l1 == 0:
            return np.zeros(theta.shape[:-2])
        return np.asarray(self.threshold * np.abs(theta[..., : len(self.names), :]).sum(axis=(-2, -1)))

    @property
    def threshold(self) -> float:
        """What the loss grows by for each unit of a coefficient under the L1 penalty: `(2/k) a`."""
        return 2 * self.scale * self.weight * self.l1

    def gradient(self, theta: Array) -> Array:
        """The gradient (d, k) there, but for an L1 penalty: `2/(W k) F'(F theta - T)`."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(2 * self.scale * (self.factor.T @ (self.factor @ theta - self.aim)))

    @cached_property
    def hessian(self) -> Array:
        """`H` (d, d), the same for every target."""
        return np.asarray(2 * self.scale * (self.factor.T @ self.factor))

    @cached_property
    def modes(self) -> Modes:
        """Eigenvalues and directions of the Hessian, by the singular values of F."""
        with few_threads(self.factor.shape[1]):
            left, root, right = np.linalg.svd(self.factor, full_matrices=False)
        used = (root > 0) & (np.arange(len(root)) < self.rank)  # the rest is rounding
        root = root[used]
        return Modes(2 * self.scale * root**2, right[used].T, left[:, used], root)

    @cached_property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest eigenvalue of directions with curvature."""
        found = self.modes.curvature
        if not len(found):
            return 0.0, 0.0
        return float(found[-1]), float(found[0])

    @property
    def condition(self) -> float:
        """The ratio of the two."""
        low, top = self.range
        return top / low if low > 0 else np.inf


@dataclass(frozen=True)
class Move:
    """Columns about `mean` (p,) and divided by `by` (p,), and what that makes of the parameters."""

    mean: Array
    by: Array

    def out(self, theta: Array, intercept: bool) -> Array:
        """theta (..., d, k) of the columns as they came, from that of the moved ones."""
        if not self.mean.any() and (self.by == 1).all():
            return theta
        if not intercept:
            return theta / self.by[:, None]
        w = theta[..., :-1, :] / self.by[:, None]
        return np.concatenate([w, theta[..., -1:, :] - (self.mean[:, None] * w).sum(-2, keepdims=True)], -2)

    def back(self, theta: Array, intercept: bool) -> Array:
        """The other way."""
        if not intercept:
            return theta * self.by[:, None]
        w = theta[..., :-1, :]
        at = theta[..., -1:, :] + (self.mean[:, None] * w).sum(-2, keepdims=True)
        return np.concatenate([w * self.by[:, None], at], -2)


class Factored(NamedTuple):
    """`SSE + ridge |w|^2 = base + |U w - V|^2` about the means, and where it is least."""

    U: Array  # (m, p)
    V: Array  # (m, k)
    base: float
    w: Array  # (p, k)
    least: float
    rank: int


@dataclass(frozen=True, eq=False)
class Columns:
    """What the loss is made of: sums of products about the means, or the rows where they are fewer."""

    S: Array | None  # (p + k, p + k); None where rows are at hand
    rows: Array  # (m, p + k) rows about the means where they are fewer than columns
    mean: Array  # (p,)
    target: Array  # (k,) means of the targets
    deviation: Array  # (p,) 1 for a constant
    weight: float
    move: Move

    @classmethod
    def of(cls, m: Moments, solution: Solution) -> Columns:
        c, p = Centred.of(m, solution.fits_intercept), len(m.names)
        none = np.append(c.constant, np.zeros(len(m.targets), bool))
        S = None if c.S is None else np.where(none | none[:, None], 0.0, c.S)
        deviation = np.where(c.constant, 1.0, c.scale / np.sqrt(c.weight))
        still, rows = Move(np.zeros(p), np.ones(p)), np.where(none, 0.0, c.rows)
        return cls(S, rows, c.mean[:p], c.mean[p:], deviation, c.weight, still)

    def standardised(self) -> Columns:
        """The same for columns of mean 0 and deviation 1."""
        by = self.deviation
        both = np.append(by, np.ones(len(self.target)))
        S = None if self.S is None else self.S / np.outer(both, both)
        move = Move(self.mean, by)
        return replace(
            self, S=S, rows=self.rows / both, mean=np.zeros_like(by), deviation=np.ones_like(by), move=move
        )

    def factored(self, ridge: float, solution: Solution) -> Factored:
        """The factor of `S + ridge I`; least squares are known already (in the columns as they came)."""
        w, rss = np.asarray(solution.coef.T * self.move.by[:, None]), float(solution.rss.sum())
        way = self._by_rows if self.S is None else self._by_products
        return way(ridge, w, rss, solution.rank)

    def _by_rows(self, ridge: float, w: Array, rss: float, rank: int) -> Factored:
        p = len(self.mean)
        U, V = self.rows[:, :p], self.rows[:, p:]
        if ridge == 0:
            return Factored(U, V, 0.0, w, rss, rank)
        U, V = np.vstack([U, np.sqrt(ridge) * np.eye(p)]), np.vstack([V, np.zeros((p, V.shape[1]))])
        w = np.asarray(np.linalg.lstsq(U, V, rcond=None)[0], np.float64)
        return Factored(U, V, 0.0, w, float(((U @ w - V) ** 2).sum()), p)

    def _by_products(self, ridge: float, w: Array, rss: float, rank: int) -> Factored:
        p = len(self.mean)
        S, cross = self.S[:p, :p], self.S[:p, p:]  # type: ignore[index]
        total = float(np.trace(self.S[p:, p:]))  # type: ignore[index]
        A = S + ridge * np.eye(p)
        scale = _unit(A)
        R, places, most, _ = lapack.dpstrf(A / np.outer(scale, scale), lower=0)
        R, places, used = np.triu(R)[:most], places - 1, places[:most] - 1
        V = solve_triangular(R[:, :most], (cross / scale[:, None])[used], trans="T")
        U = np.zeros((most, p))
        U[:, places] = R
        if ridge > 0:
            best = np.zeros_like(w)
            best[used] = solve_triangular(R[:, :most], V) / scale[used, None]
            away = w - best
            rss += float((away * (S @ away)).sum() + ridge * (best**2).sum())
            w, rank = best, int(most)
        # the sum of squares as least squares has it, which keeps more digits; if it is the same
        base = total - float((V**2).sum())
        base = rss if abs(base - rss) <= EQUAL * total else max(base, 0.0)
        return Factored(U * scale, V, base, w, base, min(rank, int(most)))


def _unit(S: Array) -> Array:
    """Roots of the diagonal (p,), 1 where it is 0."""
    diagonal = np.diagonal(S)
    return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
