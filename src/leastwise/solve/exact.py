"""Least squares from moments: the fast rung, in float64.

With features about their means and scaled to unit columns, `R = D^-1 S D^-1` is their correlation
matrix, and the normal equations read `R t = D^-1 s`, `b = D^-1 t`. Scaling first means that the
units of a column never decide about rank (Demmel, Applied Numerical Linear Algebra, 2.5.2).

Rank is decided from left to right: a column is *dependent* when what the columns before it leave
of it (its pivot in Cholesky's factorisation, 1 - R2 of the column on them) is no larger than
rounding makes it. With v = (-t, 1) the combination that vanishes, rounding makes a pivot of

    sum_i v_i^2 (rank_unit lost_i + (2 EPS far_i)^2)

where lost_i is how much larger the sum of squares was that S_ii was computed from, and far_i is
|mean| / deviation, the rounding of the data themselves. So the later of two dependent columns is
the one that is left out, as a reader of the table expects. The constants were found by trial:
docs/diary.md.

The sum of squares of any coefficients is `L* + (theta - theta*)' H (theta - theta*)`, never
`y'y - 2 b'c + b'Gb`: three large numbers whose difference has no digits left.

Fewer rows than columns: the rows are at hand (`moments.Thin`), and the same questions are answered
from them: by orthogonalising the columns in order, or (min-norm) by the dual system `X X'` (n, n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import MomentsError, RankError, listed, plural
from leastwise.moments import Moments, Thin
from leastwise.numerics import EPS, Array
from leastwise.solve.solution import Rank, Solution, checked_rank


def least_squares(
    moments: Moments,
    *,
    intercept: bool = True,
    rank: str = "drop",
    keep: NDArray[np.bool_] | None = None,
) -> Solution:
    """The coefficients that minimise `sum w (x b + c - y)^2`, with how they were found.

    `rank` says what is done with dependent columns: "drop" leaves the later ones out, "error"
    raises RankError, "min-norm" gives the shortest of all solutions. `keep` (p,) lets only some
    columns take part. Cost: p^3 / 3 multiplications; n^2 p where n <= p.
    """
    rule = checked_rank(rank)
    if moments.n == 0:
        raise MomentsError("No rows, no fit. Give some first.")
    centred = _Centred.of(moments.imputed(), intercept)
    columns = np.flatnonzero(~centred.constant & (True if keep is None else keep))
    solve = _solve_rows if isinstance(centred.part, Thin) else _solve_gram
    found = solve(centred, columns, rule)
    return _solution(centred, columns, found, rule)


def squared_error(moments: Moments, coef: Array, intercept: Array) -> Array:
    """`sum w (x b + c - y)^2` (k,) of given `coef` (k, p), `intercept` (k,) over these rows."""
    m = moments.imputed()
    centred = _Centred.of(m, True)
    miss = centred.mean[len(m.names) :] - centred.mean[: len(m.names)] @ coef.T - intercept  # (k,)
    if isinstance(centred.part, Thin):
        residual = centred.rows[:, len(m.names) :] - centred.rows[:, : len(m.names)] @ coef.T
        return np.einsum("nk,nk->k", residual, residual) + centred.weight * miss**2
    used = np.flatnonzero(coef.any(axis=0) & ~centred.constant)
    best = _solve_gram(centred, used, "drop")
    # theta - theta* on the kept columns; a dependent column is its combination T of them
    away = (coef[:, used] * centred.scale[used]).T - best.raw
    on_kept = away[best.kept] + best.combination @ away[~best.kept]
    beyond = best.factor.T @ on_kept
    return best.rss + np.einsum("rk,rk->k", beyond, beyond) + centred.weight * miss**2


@dataclass(frozen=True)
class _Centred:
    """Features and targets about their means (or about zero), and the scale of each feature."""

    m: Moments
    part: Any
    mean: Array  # (p + k,) in the units of the data
    weight: float
    intercept: bool
    S: Array | None  # (p + k, p + k) sums of squares and products; None where rows are at hand
    rows: Array  # (n, p + k) the rows themselves where they are fewer than columns, else empty
    square: Array  # (p + k,) sums of squares about the means
    scale: Array  # (p,) roots of the features' sums of squares; 1 for a constant
    constant: NDArray[np.bool_]  # (p,)
    size: Array  # (p + k,) what each sum of squares was rounded from
    lost: Array  # (p + k,) size / square: 1 where nothing cancelled
    far: Array  # (p,) |mean| / deviation

    @property
    def cross(self) -> Array:
        """S where it was made; of the rows where they are at hand."""
        return self.rows.T @ self.rows if self.S is None else self.S

    @property
    def unit(self) -> float:
        """The relative rounding of an entry of S, about the root of the longest chain of additions."""
        return (EPS / 2) * (8.0 if len(self.rows) else 8 + 2 * np.sqrt(min(self.m.n, 4096)))

    @property
    def rank_unit(self) -> float:
        """The same at its worst: on columns of few values the roundings add up in one direction."""
        return _rank_unit(self.m.n)

    @classmethod
    def of(cls, m: Moments, intercept: bool) -> _Centred:
        m = m if intercept else m.about(np.zeros_like(m.shift))
        part, weight, p = m.whole, m.weight, len(m.names)
        thin = isinstance(part, Thin)
        sums = m.sums[1:]
        centre = sums / weight if intercept else np.zeros_like(sums)
        if isinstance(part, Thin):
            rows = part.rows[:, 1:] - np.outer(part.rows[:, 0], centre)
            S, square = None, (rows**2).sum(axis=0)
        else:
            rows, S = np.empty((0, len(sums))), part.cross[1:, 1:] - np.outer(sums, centre)
            square = np.diagonal(S)
        mean, size = m.shift + sums / weight, part.size[1:]
        spread = (8 * EPS) ** 2 if thin else _rank_unit(m.n)
        floor = spread * size + weight * (8 * EPS * mean) ** 2 * intercept
        none = square <= floor
        square = np.where(none, 0.0, square)
        scale = np.where(none, 1.0, np.sqrt(square))
        lost = np.where(none, 1.0, np.maximum(size / scale**2, 1.0))
        far = np.where(none, 0.0, np.abs(mean) * np.sqrt(weight) / scale)
        return cls(
            m, part, mean, weight, intercept, S, rows, square, scale[:p], none[:p], size, lost, far[:p]
        )


def _rank_unit(n: int) -> float:
    return EPS * (16 + min(n, 1024) / 2)


@dataclass(frozen=True)
class _Found:
    """An answer in scaled units for some columns: what `_solution` turns into the units of the data."""

    raw: Array  # (c, k) scaled coefficients, 0 where not kept
    kept: NDArray[np.bool_]  # (c,)
    rss: Array  # (k,)
    condition: float
    digits: float
    method: str
    rss_digits: Array  # (k,)
    factor: Array  # (r, r) lower triangle of the kept columns' correlations
    combination: Array  # (r, c - r) the dependent columns as combinations of the kept ones, scaled


def _solve_gram(c: _Centred, columns: NDArray[np.intp], rule: Rank) -> _Found:
    S, scale, p = c.cross, c.scale[columns], len(c.scale)
    R = S[np.ix_(columns, columns)] / np.outer(scale, scale)  # (c, c)
    s = S[columns, p:] / scale[:, None]  # (c, k)
    weigh = c.rank_unit * c.lost[columns] + (2 * EPS * c.far[columns]) ** 2
    kept, L, inverse, combination = cholesky_in_order(R, weigh)
    half = inverse @ s[kept]
    raw = np.zeros_like(s)
    raw[kept] = inverse.T @ half
    rss = np.maximum(c.square[p:] - np.einsum("rk,rk->k", half, half), 0.0)
    moved = c.size[p:] + c.lost[columns] @ raw**2  # (k,) what the residuals were computed from, squared
    rss_digits = _digits(c.unit * moved, rss)
    inverse_R = inverse.T @ inverse
    row = np.sqrt((inverse_R**2) @ c.lost[columns][kept])  # (r,) how an error in s reaches each coefficient
    error = c.unit * np.sqrt(moved) * row.max(initial=0.0)
    digits = float(np.min(_digits(error, np.abs(raw).max(axis=0, initial=0.0)), initial=15.0))
    norms = np.abs(R[np.ix_(kept, kept)]).sum(axis=0), np.abs(inverse_R).sum(axis=0)
    condition = float(np.sqrt(norms[0].max(initial=1.0) * norms[1].max(initial=1.0)))
    method = "cholesky"
    if rule == "min-norm" and not kept.all():
        raw, method = _shortest(raw, kept, combination, scale), "min-norm"
    return _Found(raw, kept, rss, condition, digits, method, rss_digits, L, combination)


def _digits(error: Any, of: Any) -> Array:
    """Decimal digits of numbers of size `of` that an `error` leaves, 0 to 15."""
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = -np.log10(np.asarray(error) / np.asarray(of))
    return np.clip(np.nan_to_num(digits, nan=0.0, posinf=15.0, neginf=0.0), 0.0, 15.0)


def cholesky_in_order(R: Array, weigh: Array) -> tuple[NDArray[np.bool_], Array, Array, Array]:
    """Which columns of a correlation matrix (c, c) do not depend on those before them.

    A pivot counts when it exceeds `sum v^2 weigh` (c,). Gives `kept` (c,), the factor `L` (r, r) of
    the kept ones, its inverse, and the others as their combinations (r, c - r). LAPACK where all are
    clearly kept (row j of the inverse is v_j / L_jj); else column by column.
    """
    from scipy.linalg.lapack import dpotrf, dtrtri

    size = len(R)
    L, info = dpotrf(R, lower=1, clean=1) if size else (R, 0)
    if info == 0:
        inverse = dtrtri(L, lower=1)[0] if size else L
        if ((inverse**2) @ weigh < 0.5).all():
            return np.ones(size, bool), L, inverse, np.empty((size, 0))
    kept, L = _one_by_one(R, weigh)
    factor = L[kept]
    inverse = dtrtri(factor, lower=1)[0] if len(factor) else factor
    return kept, factor, inverse, inverse.T @ L[~kept].T


def _one_by_one(R: Array, weigh: Array) -> tuple[NDArray[np.bool_], Array]:
    """Cholesky column by column, dependent ones passed over: kept (c,), rows of L (c, r)."""
    from scipy.linalg import solve_triangular

    size = len(R)
    L, kept = np.zeros((size, size)), np.zeros(size, bool)
    for j in range(size):
        r = int(np.count_nonzero(kept))
        left = R[j:, j] - L[j:, :r] @ L[j, :r]
        t = np.empty(0)
        if r:
            t = solve_triangular(L[kept, :r], L[j, :r], lower=True, trans="T", check_finite=False)
        if left[0] > t**2 @ weigh[kept] + weigh[j]:
            L[j:, r] = left / np.sqrt(left[0])
            kept[j] = True
    return kept, L[:, : np.count_nonzero(kept)]


def _shortest(raw: Array, kept: NDArray[np.bool_], combination: Array, scale: Array) -> Array:
    """The solution of least norm in the units of the data: `b = [I T]' (I + T T')^-1 beta`."""
    T = combination * scale[kept][:, None] ** -1 * scale[~kept]  # columns' units, (r, d)
    beta = raw[kept] / scale[kept][:, None]
    inner = np.linalg.solve(np.eye(len(T)) + T @ T.T, beta)
    shortest = np.empty_like(raw)
    shortest[kept], shortest[~kept] = inner, T.T @ inner
    return shortest * scale[:, None]


def _solve_rows(c: _Centred, columns: NDArray[np.intp], rule: Rank) -> _Found:
    """The same from the rows (n, c), where they are no more than the columns."""
    p = len(c.scale)
    X, Y = c.rows[:, columns] / c.scale[columns], c.rows[:, p:]
    limit = c.m.n - c.intercept
    kept, Q, factor = orthogonal_in_order(X, limit)
    if rule == "min-norm" and not kept.all():
        return _solve_dual(c, columns, kept)
    from scipy.linalg import solve_triangular

    raw = np.zeros((len(columns), Y.shape[1]))
    onto = Q.T @ Y
    condition = float(np.linalg.cond(factor)) if len(factor) else 1.0
    if len(factor):
        raw[kept] = solve_triangular(factor, onto)
    residual = Y - Q @ onto
    digits = float(_digits(condition * c.unit * np.sqrt(c.lost.max(initial=1.0)), 1.0))
    rss = np.einsum("nk,nk->k", residual, residual)
    rss_digits = _digits(2 * c.unit * np.sqrt(c.size[p:]), np.sqrt(rss))
    nothing = np.empty((len(factor), 0))
    return _Found(raw, kept, rss, condition, digits, "qr", rss_digits, factor.T, nothing)


def orthogonal_in_order(X: Array, limit: int) -> tuple[NDArray[np.bool_], Array, Array]:
    """Gram-Schmidt, twice over, from left to right: kept (c,), Q (n, r), upper factor (r, r)."""
    n, size = X.shape
    limit = min(limit, n, size)
    Q, factor, kept = np.empty((n, limit)), np.zeros((limit, limit)), np.zeros(size, bool)
    r = 0
    for j in range(size):
        if r == limit:
            break
        onto = Q[:, :r].T @ X[:, j]
        left = X[:, j] - Q[:, :r] @ onto
        again = Q[:, :r].T @ left  # "twice is enough" (Kahan, Parlett)
        left, onto = left - Q[:, :r] @ again, onto + again
        size_left = float(np.linalg.norm(left))
        if size_left > 16 * EPS * np.sqrt(n) * (1 + np.linalg.norm(onto)):
            Q[:, r], factor[:r, r], factor[r, r] = left / size_left, onto, size_left
            kept[j], r = True, r + 1
    return kept, Q[:, :r], factor[:r, :r]


def _solve_dual(c: _Centred, columns: NDArray[np.intp], kept: NDArray[np.bool_]) -> _Found:
    """The shortest solution from the singular values of the rows: `b = V s^-1 U' y`.

    The (n, n) side by way of X itself: the eigenvalues of `X X'` would square the condition. How many
    of them count was decided on scaled columns.
    """
    p, r = len(c.scale), int(np.count_nonzero(kept))
    X, Y = c.rows[:, columns], c.rows[:, p:]
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    U, s, Vt = U[:, :r], s[:r], Vt[:r]
    onto = U.T @ Y
    b = Vt.T @ (onto / s[:, None])
    residual = Y - U @ onto
    condition = float(s[0] / s[-1]) if r else 1.0
    digits = float(_digits(2 * condition * c.unit * np.sqrt(c.lost.max(initial=1.0)), 1.0))
    rss = np.einsum("nk,nk->k", residual, residual)
    rss_digits = _digits(2 * c.unit * np.sqrt(c.size[p:]), np.sqrt(rss))
    raw, none = b * c.scale[columns][:, None], np.empty((0, 0))
    return _Found(raw, kept, rss, condition, digits, "min-norm", rss_digits, none, none)


def _solution(c: _Centred, columns: NDArray[np.intp], found: _Found, rule: Rank) -> Solution:
    """The answer in the units of the data."""
    names, p = np.array(c.m.names, object), len(c.m.names)
    dropped = tuple(names[columns[~found.kept]])
    constant = tuple(names[c.constant])
    if rule == "error" and (dropped or constant):
        raise RankError(_rank_message(dropped, constant, c.m.n))
    coef = np.zeros((len(c.m.targets), p))
    coef[:, columns] = (found.raw / c.scale[columns][:, None]).T
    kept = np.zeros(p, bool)
    kept[columns[found.kept]] = True
    intercept = c.mean[p:] - c.mean[:p] @ coef.T if c.intercept else np.zeros(len(c.m.targets))
    return Solution(
        c.m.names, c.m.targets, coef, intercept, kept, dropped, constant, found.method, "fast",
        found.condition, found.digits, c.m.n, c.weight, found.rss, c.square[p:], found.rss_digits,
        c.intercept,
    )  # fmt: skip


def _rank_message(dropped: tuple[str, ...], constant: tuple[str, ...], n: int) -> str:
    parts = []
    if dropped:
        verb = "is a combination" if len(dropped) == 1 else "are combinations"
        parts.append(f"{listed(dropped)} {verb} of the columns before (in {plural(n, 'row')}).")
    if constant:
        parts.append(f"{listed(constant)} {'does' if len(constant) == 1 else 'do'} not vary.")
    return " ".join([*parts, "Remove them, or pass rank='drop' or rank='min-norm'."])
