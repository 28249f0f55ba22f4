"""Quadratic: the loss as a function of the parameters, from moments alone.

With theta = (w, c) (d, k), the parameters of each target in a column, d = p + 1 (or p without an
intercept), and the loss of docs/maths.md with an L2 penalty a,

    L(theta) = 1/(W k) sum w (x w + c - y)^2 + (2/k) a |w|^2 [+ (2/k) a1 |w|_1]
             = least + |F (theta - theta*)|^2 / (W k)        [+ (2/k) a1 |w|_1]

for any factor F of the Hessian, `H = 2/(W k) F'F`. F is made about the means,

    F = [ U       0  ]      U'U = S + 2 W a I, S the sums of products about the means
        [ mean'   1  ]      the last row times the root of W

so that a column far from zero costs no digit, and no sum of squares is ever a difference. Its
singular values are the roots of the Hessian's eigenvalues, to the digits of F: the smallest keep
twice as many as an eigendecomposition of H would leave them.

U is Cholesky's in unit columns, with pivoting, so that dependent columns end it early (LAPACK's pstrf;
Higham, Accuracy and Stability, 10.3); where rows are fewer than columns it is the rows. Cost: p^3 for
the factor and 10 p^3 for its singular values, once; p^2 a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lapack

from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.penalties import Penalty
from leastwise.solve.centred import Centred
from leastwise.solve.solution import Solution

BLOCK = 1 << 22  # numbers of a block of parameters whose losses are taken at once


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
        unit = c.standardised() if standardize else c
        ridge = 2 * c.weight * penalty.l2
        w, rss = unit.penalised(float(solution.rss.sum()), ridge)
        F, theta = unit.upper(ridge), w
        p, k = w.shape
        if solution.fits_intercept:
            last = np.sqrt(c.weight) * np.append(unit.mean, 1.0)
            F = np.vstack([np.column_stack([F, np.zeros(len(F))]), last])
            theta = np.vstack([w, unit.at - unit.mean @ (w - unit.w)])
        scale = (0.5 if half else 1.0) / (c.weight * k)
        rank = (p if penalty.l2 > 0 else solution.rank) + solution.fits_intercept
        return cls(
            moments.names, moments.targets, moments.n, c.weight, solution.fits_intercept, F, theta,
            rss * scale, penalty.l1, penalty.l2, scale, unit.move, rank,
        )  # fmt: skip

    # ---- values ----

    def values(self, theta: Array) -> Array:
        """The loss (...) at parameters (..., d, k)."""
        flat = theta.reshape(-1, *theta.shape[-2:])
        step = max(1, BLOCK // max(flat[0].size, len(self.factor) * flat.shape[2]))
        found = np.empty(len(flat))
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, len(flat), step):
                beyond = self.factor @ (flat[first : first + step] - self.best)
                found[first : first + step] = np.einsum("tmk,tmk->t", beyond, beyond)
            found = self.least + self.scale * found + self.kink(flat)
            return np.nan_to_num(found, nan=np.inf).reshape(theta.shape[:-2])

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
        """The gradient (d, k) there, but for an L1 penalty: `2/(W k) F'F (theta - theta*)`."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(2 * self.scale * (self.factor.T @ (self.factor @ (theta - self.best))))

    @cached_property
    def hessian(self) -> Array:
        """`H` (d, d), the same for every target."""
        return np.asarray(2 * self.scale * (self.factor.T @ self.factor))

    @cached_property
    def modes(self) -> Modes:
        """Eigenvalues and directions of the Hessian, by the singular values of F."""
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


@dataclass(frozen=True, eq=False)
class Columns:
    """What the loss is made of: products about the means, the means, least squares, what was moved."""

    S: Array | None  # (p, p) sums of products; None where rows are at hand
    rows: Array  # (m, p) rows about the means where they are fewer than columns
    mean: Array  # (p,)
    deviation: Array  # (p,) 1 for a constant
    w: Array  # (p, k) least squares
    at: Array  # (k,) its intercept
    weight: float
    move: Move

    @classmethod
    def of(cls, m: Moments, solution: Solution) -> Columns:
        c, p = Centred.of(m, solution.fits_intercept), len(m.names)
        rows = np.where(c.constant, 0.0, c.rows[:, :p])
        S = None
        if c.S is not None:
            S = c.S[:p, :p].copy()
            S[c.constant, :] = S[:, c.constant] = 0.0
        deviation = np.where(c.constant, 1.0, c.scale / np.sqrt(c.weight))
        still = Move(np.zeros(p), np.ones(p))
        return cls(S, rows, c.mean[:p], deviation, solution.coef.T, solution.intercept, c.weight, still)

    def standardised(self) -> Columns:
        """The same for columns of mean 0 and deviation 1."""
        by = self.deviation
        S = None if self.S is None else self.S / np.outer(by, by)
        w, at = self.w * by[:, None], self.at + self.mean @ self.w
        move = Move(self.mean, by)
        return Columns(S, self.rows / by, np.zeros_like(by), np.ones_like(by), w, at, self.weight, move)

    def upper(self, ridge: float) -> Array:
        """U (m, p) with `U'U = S + ridge I`."""
        p = len(self.mean)
        if self.S is None:
            return np.vstack([self.rows, np.sqrt(ridge) * np.eye(p)]) if ridge > 0 else self.rows
        S = self.S + ridge * np.eye(p)
        scale = _unit(S)
        R, pivots, rank, _ = lapack.dpstrf(S / np.outer(scale, scale), lower=0)
        U = np.zeros((rank, p))
        U[:, pivots - 1] = np.triu(R)[:rank]
        return np.asarray(U * scale)

    def penalised(self, rss: float, ridge: float) -> tuple[Array, float]:
        """Where `SSE + ridge |w|^2` is least (p, k), and what it is there, from least squares.

        `w_a = w - ridge (S + ridge I)^-1 w`; what is added to the rss are sums of squares.
        """
        if ridge == 0:
            return self.w, rss
        S = self.rows.T @ self.rows if self.S is None else self.S
        A = S + ridge * np.eye(len(S))
        scale = _unit(A)
        factor = cho_factor(A / np.outer(scale, scale))
        away = ridge * cho_solve(factor, self.w / scale[:, None]) / scale[:, None]
        found = self.w - away
        return found, rss + float((away * (S @ away)).sum() + ridge * (found**2).sum())


def _unit(S: Array) -> Array:
    """Roots of the diagonal (p,), 1 where it is 0."""
    diagonal = np.diagonal(S)
    return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
