"""The penalised problem in the units in which it is solved.

    1/(2W) |y - X b - c|_w^2 + l1 sum_j f_j |b_j| + l2 sum_j f_j b_j^2      over lower <= b <= upper

W is the sum of the weights, f the penalty factors. About the means the intercept is gone, and with
`t_j = b_j d_j`, d the columns' deviations, `Q` (p, p) the matrix of correlations, this is for each target

    P(t) = yy/2 - q't + t'Qt/2 + l1 f1'|t| + l2 f2't^2,      f1 = f / d,  f2 = f / d^2

(f1 = f2 = f where the penalty is of the standardised coefficients). So the units of a column decide
about its penalty, as the objective says, and never about rounding.

A column without penalty and without bounds is *free*: it is taken out first, like the intercept, by
putting the residuals on the free columns in the place of the others (Frisch, Waugh, Econometrica 1
(1933) 387), and solved for at the end. Where rows are fewer than columns X itself is kept, not Q.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import MomentsError, UsageError
from leastwise.moments import Moments
from leastwise.numerics import EPS, Array, each
from leastwise.solve.centred import Centred
from leastwise.solve.primal import cholesky_in_order
from leastwise.solve.scattered import Columns, Scattered, only, squares, without


@dataclass(frozen=True)
class Shrinkage:
    """How each coefficient is penalised and bounded: arrays (p,), or None for all alike.

    `factors` multiply the penalty of a column (0: never penalised); `lower` <= 0 <= `upper` are bounds of
    coefficients in the units of the data; `standardize`: the penalty is of coefficients times the
    deviations of their columns.
    """

    standardize: bool = False
    factors: Array | None = field(default=None, compare=False)
    lower: Array | None = field(default=None, compare=False)
    upper: Array | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name, fine, what in (
            ("factors", lambda v: (v >= 0) & np.isfinite(v), "0 or more"),
            ("lower", lambda v: v <= 0, "0 or below: shrinking is towards 0"),
            ("upper", lambda v: v >= 0, "0 or above: shrinking is towards 0"),
        ):
            if getattr(self, name) is None:
                continue
            value = np.asarray(getattr(self, name), np.float64)
            if value.ndim != 1:
                raise UsageError(
                    f"{name} have the shape {value.shape}. One number a column is needed, in a row."
                )
            if not fine(value).all():
                raise UsageError(f"{name} hold {value[~fine(value)][0]:g}. Each has to be {what}.")

    def of(self, name: str, p: int, otherwise: float) -> Array:
        """One of the arrays (p,)."""
        value = getattr(self, name)
        if value is not None and len(value) != p:
            raise UsageError(f"{name} are for {len(value)} columns, and there are {p}. Give one for each.")
        return np.full(p, otherwise) if value is None else np.asarray(value, np.float64)


@dataclass(frozen=True, eq=False)
class Free:
    """The free columns (r,) and what they take out of the others (c,) and of the targets."""

    columns: NDArray[np.intp]
    on_rest: Array  # (r, c): the coefficients of each other column on the free ones
    on_target: Array  # (r, k)

    def solved(self, t: Array) -> Array:
        """Their own coefficients (..., r, k) beside those of the others (..., c, k)."""
        return np.asarray(self.on_target - self.on_rest @ t)


@dataclass(frozen=True, eq=False)
class Penalised:
    """P(t) for columns `columns` (c,) of all, in the units above, free ones taken out."""

    c: Centred
    columns: NDArray[np.intp]
    deviation: Array  # (p,) 1 for a constant
    X: Columns  # (n, c) unit columns where rows are fewer than columns, else empty
    Y: Array  # (n, k)
    Q: Array  # (c, c) where X is empty
    q: Array  # (c, k)
    yy: Array  # (k,)
    f1: Array  # (c,)
    f2: Array  # (c,)
    lower: Array  # (c,)
    upper: Array  # (c,)
    low: Array  # (c,) the same in the units of the data
    high: Array  # (c,)
    bounded: bool
    free: Free

    @classmethod
    def of(cls, moments: Moments, shrinkage: Shrinkage, *, intercept: bool = True) -> Penalised:
        """The problem of these moments; exact ones are rounded about their means."""
        if moments.n == 0:
            raise MomentsError("No rows, no fit. Give some first.")
        c = Centred.of(moments.rounded().imputed(), intercept)
        p, root = len(c.scale), np.sqrt(c.weight)
        deviation = np.where(c.constant, 1.0, c.scale / root)
        f = shrinkage.of("factors", p, 1.0)
        lower, upper = (
            shrinkage.of(side, p, sign * np.inf) for side, sign in (("lower", -1), ("upper", 1))
        )
        unit = _deviations(c) if shrinkage.standardize else 1.0  # of a coefficient that is penalised
        f1, f2 = f * unit / deviation, f * (unit / deviation) ** 2
        left = (f == 0) & np.isinf(lower) & np.isinf(upper)
        used, free = np.flatnonzero(~c.constant & ~left), np.flatnonzero(~c.constant & left)
        with np.errstate(invalid="ignore"):
            low, high = lower * deviation, upper * deviation
        made = _by_rows(c, used, free) if c.S is None else _by_products(c, used, free)
        X, Y, Q, q, yy, taken = made
        bounded = bool(np.isfinite([low[used], high[used]]).any())
        return cls(
            c, used, deviation, X, Y, Q, q, yy, f1[used], f2[used], lower=low[used], upper=high[used],
            low=lower[used], high=upper[used], bounded=bounded, free=taken,
        )  # fmt: skip

    @property
    def by_rows(self) -> bool:
        """Whether X is kept, not Q."""
        return self.X.size > 0

    @property
    def smaller(self) -> Penalised:
        """The same problem from the columns' side, where sparse rows are more than columns."""
        if not isinstance(self.X, Scattered) or len(self.X) <= len(self.columns):
            return self
        return replace(self, X=NONE, Q=np.asarray(self.X.T @ self.X))

    @property
    def count(self) -> float:
        """How many observations the rows stand for: with frequency weights their sum."""
        return self.c.weight if self.c.m.weight_kind == "frequency" else float(self.c.m.n)

    @cached_property
    def largest(self) -> float:
        """The least l1 under which every penalised coefficient is 0: max_j |q_j| / f1_j, of all targets."""
        pull = self.q
        if np.isfinite([self.lower, self.upper]).any():  # what a bound holds at 0 pulls no more
            pull = np.where(self.upper[:, None] > 0, np.maximum(pull, 0), 0.0) + np.where(
                self.lower[:, None] < 0, np.minimum(pull, 0), 0.0
            )
        some = self.f1 > 0
        return float((np.abs(pull[some]) / self.f1[some, None]).max(initial=0.0))

    @cached_property
    def steepest(self) -> float:
        """The trace of `f2^-1/2 Q f2^-1/2`: its largest eigenvalue, within a factor of the columns."""
        some = self.f2 > 0
        return float((self.diagonal[some] / self.f2[some]).sum())

    @cached_property
    def diagonal(self) -> Array:
        """Of Q (c,): sums of squares of the columns."""
        return squares(self.X) if self.by_rows else np.diagonal(self.Q).copy()

    def coefficients(self, t: Array) -> tuple[Array, Array]:
        """coef (..., k, p) and intercept (..., k) in the units of the data, of t (..., c, k)."""
        p = len(self.deviation)
        coef = np.zeros((*t.shape[:-2], t.shape[-1], p))
        unit = self.deviation[self.columns]
        inside = np.clip(np.swapaxes(t, -1, -2) / unit, self.low, self.high)  # to the last bit
        coef[..., self.columns] = inside
        if len(self.free.columns):
            own = self.free.solved(t)
            coef[..., self.free.columns] = np.swapaxes(own, -1, -2) / self.deviation[self.free.columns]
        if not self.c.intercept:
            return coef, np.zeros(coef.shape[:-1])
        return coef, self.c.mean[p:] - coef @ self.c.mean[:p]

    def rss(self, t: Array) -> Array:
        """|y - X t|^2 (A, k) for t (A, c, k)."""
        if self.by_rows:
            r = self.Y - each(self.X, t)
            return np.einsum("ank,ank->ak", r, r)
        rest = 2 * self.q - each(self.Q, t)
        return np.maximum(self.yy - np.einsum("ack,ack->ak", rest, t), 0.0)


def _deviations(c: Centred) -> Array:
    """Deviations (p,) about the means, also where the problem is about zero; 1 for a constant."""
    about = c if c.intercept else Centred.of(c.m, True)
    return np.where(about.constant, 1.0, about.scale / np.sqrt(about.weight))


Made = tuple[Columns, Array, Array, Array, Array, Free]
NONE = np.empty((0, 0))


def _by_products(c: Centred, used: NDArray[np.intp], free: NDArray[np.intp]) -> Made:
    """Q and what belongs to it, from the matrix of products."""
    S, scale, root, p = c.cross, c.scale, np.sqrt(c.weight), len(c.scale)
    Q = S[np.ix_(used, used)] / np.outer(scale[used], scale[used])
    q = S[used, p:] / (scale[used, None] * root)
    yy = c.square[p:] / c.weight
    if not len(free):
        return NONE, NONE, Q, q, yy, Free(free, np.empty((0, len(used))), np.empty((0, q.shape[1])))
    among = S[np.ix_(free, free)] / np.outer(scale[free], scale[free])
    weigh = c.rank_unit * c.lost[free] + (2 * EPS * c.far[free]) ** 2
    kept, _, inverse, _ = cholesky_in_order(among, weigh)
    free = free[kept]
    half = inverse @ (S[np.ix_(free, used)] / np.outer(scale[free], scale[used]))  # (r, c)
    aim = inverse @ (S[free, p:] / (scale[free, None] * root))  # (r, k)
    Q, q, yy = Q - half.T @ half, q - half.T @ aim, yy - np.einsum("rk,rk->k", aim, aim)
    nothing = np.diagonal(Q) <= c.rank_unit * c.lost[used]  # what depends on the free columns adds nothing
    Q[nothing], Q[:, nothing], q[nothing] = 0.0, 0.0, 0.0
    return NONE, NONE, Q, q, np.maximum(yy, 0.0), Free(free, inverse.T @ half, inverse.T @ aim)


def _by_rows(c: Centred, used: NDArray[np.intp], free: NDArray[np.intp]) -> Made:
    """X and Y, and q of them, from the rows."""
    root = np.sqrt(c.weight)
    X, Y = only(c.features, used) / c.scale[used], c.aims / root
    if isinstance(X, np.ndarray):
        X = np.asarray(X, order="F")
    empty = np.empty((0, len(used))), np.empty((0, Y.shape[1]))
    taken = Free(free, *empty)
    if len(free):
        F = c.features[:, free] / c.scale[free]
        U, s, Vt = np.linalg.svd(F, full_matrices=False)
        r = int(np.count_nonzero(s > 1e-10 * s.max(initial=0.0)))
        U, back = U[:, :r], Vt[:r].T / s[:r]
        taken = Free(free, back @ (U.T @ X), back @ (U.T @ Y))
        X, Y = without(X, U), Y - U @ (U.T @ Y)
        nothing = squares(X) <= (64 * EPS) ** 2 * len(X)
        X = X / np.where(nothing, np.inf, 1.0)
    return X, Y, NONE, X.T @ Y, np.einsum("nk,nk->k", Y, Y), taken


def checked_tolerance(tol: Any) -> float:
    """`tol` if it is a share that can be asked for."""
    if not isinstance(tol, (int, float, np.number)) or isinstance(tol, bool) or not 0 < tol < 1:
        raise UsageError(f"tol={tol!r} is no share between 0 and 1. Give one, such as 1e-6.")
    return float(tol)
