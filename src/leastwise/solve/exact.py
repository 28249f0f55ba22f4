"""Least squares from moments: the fast rung, in float64.

With features about their means and scaled to unit columns, `R = D^-1 S D^-1` is their correlation
matrix, and the normal equations read `R t = D^-1 s`, `b = D^-1 t`. Scaling first means that the
units of a column never decide about rank (Demmel, Applied Numerical Linear Algebra, 2.5.2).

Rank is decided from left to right: a column is *dependent* when what the columns before it leave
of it (its pivot in Cholesky's factorisation, 1 - R2 of the column on them) is no larger than the
rounding in R makes it. So the later of two dependent columns is the one that is left out, as a
reader of the table expects.

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

PIVOT_NOISE = 16  # a pivot this many EPS times (1 + |t|^2) is rounding: see docs/diary.md
CONSTANT_NOISE = 64  # a sum of squares this many EPS times what it was computed from is rounding


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
    noise: float  # rounding of an entry of the correlation matrix

    @classmethod
    def of(cls, m: Moments, intercept: bool) -> _Centred:
        m = m if intercept else m.about(np.zeros_like(m.shift))
        part, weight, p = m.whole, m.weight, len(m.names)
        if isinstance(part, Thin):
            sums, before = part.rows[:, 0] @ part.rows[:, 1:], (part.rows[:, 1:] ** 2).sum(axis=0)
            centre = sums / weight if intercept else np.zeros_like(sums)
            rows = part.rows[:, 1:] - np.outer(part.rows[:, 0], centre)
            S, square = None, (rows**2).sum(axis=0)
        else:
            sums, before = part.cross[0, 1:], np.diagonal(part.cross)[1:]
            centre = sums / weight if intercept else np.zeros_like(sums)
            S = part.cross[1:, 1:] - np.outer(sums, centre)
            rows, square = np.empty((0, len(sums))), np.diagonal(S).copy()
        mean = m.shift + sums / weight
        floor = CONSTANT_NOISE * EPS * before + weight * (8 * EPS * mean) ** 2 * intercept
        square = np.where(square <= floor, 0.0, square)
        constant = square[:p] == 0
        scale = np.where(constant, 1.0, np.sqrt(np.maximum(square[:p], 0)))
        lost = np.where(constant, 1.0, before[:p] / np.where(constant, 1.0, square[:p])).max(initial=1.0)
        far = np.where(constant, 0, np.abs(mean[:p]) * np.sqrt(weight) / scale).max(initial=0.0)
        noise = (EPS / 2) * ((8 + 2 * np.sqrt(m.n)) * lost + far)
        return cls(m, part, mean, weight, intercept, S, rows, square, scale, constant, float(noise))


@dataclass(frozen=True)
class _Found:
    """An answer in scaled units for some columns: what `_solution` turns into the units of the data."""

    raw: Array  # (c, k) scaled coefficients, 0 where not kept
    kept: NDArray[np.bool_]  # (c,)
    rss: Array  # (k,)
    condition: float
    digits: float
    method: str
    factor: Array  # (r, r) lower triangle of the kept columns' correlations
    combination: Array  # (r, c - r) the dependent columns as combinations of the kept ones, scaled


def _solve_gram(c: _Centred, columns: NDArray[np.intp], rule: Rank) -> _Found:
    from scipy.linalg import solve_triangular
    from scipy.linalg.lapack import dpocon

    assert c.S is not None
    scale, p = c.scale[columns], len(c.scale)
    R = c.S[np.ix_(columns, columns)] / np.outer(scale, scale)  # (c, c)
    s = c.S[np.ix_(columns, np.arange(p, len(c.S)))] / scale[:, None]  # (c, k)
    kept, L, combination = cholesky_in_order(R)
    half = solve_triangular(L, s[kept], lower=True, check_finite=False) if kept.any() else s[kept]
    raw = np.zeros_like(s)
    if kept.any():
        raw[kept] = solve_triangular(L, half, lower=True, trans="T", check_finite=False)
    rss = np.maximum(c.square[p:] - np.einsum("rk,rk->k", half, half), 0.0)
    smallest, condition = 1.0, 1.0
    if kept.any():
        norm = np.abs(R[np.ix_(kept, kept)]).sum(axis=0).max()
        rcond = max(float(dpocon(L, norm, uplo="L")[0]), EPS**2)
        smallest, condition = rcond * norm, rcond**-0.5  # 1/|R^-1|_1 is never above the eigenvalue
    error = np.sqrt(max(len(L), 1)) * c.noise / smallest
    digits = float(np.clip(-np.log10(max(error, 1e-16)), 0, 15))
    method = "cholesky"
    if rule == "min-norm" and not kept.all():
        raw, method = _shortest(raw, kept, combination, scale), "min-norm"
    return _Found(raw, kept, rss, condition, digits, method, L, combination)


def cholesky_in_order(R: Array) -> tuple[NDArray[np.bool_], Array, Array]:
    """Which columns of a correlation matrix (c, c) do not depend on those before them.

    Gives `kept` (c,), the factor `L` (r, r) of the kept ones, and the others as their combinations
    (r, c - r). LAPACK where all are kept and clearly so; else column by column.
    """
    from scipy.linalg import solve_triangular
    from scipy.linalg.lapack import dpotrf

    size = len(R)
    L, info = dpotrf(R, lower=1, clean=1) if size else (R, 0)
    if info == 0 and (np.diagonal(L) ** 2 > 1e-6).all():
        return np.ones(size, bool), L, np.empty((size, 0))
    L, kept = np.zeros((size, size)), np.zeros(size, bool)
    for j in range(size):
        r = int(np.count_nonzero(kept))
        left = R[j:, j] - L[j:, :r] @ L[j, :r]
        if left[0] > _pivot_floor(L[kept, :r], L[j, :r], left[0]):
            L[j:, r] = left / np.sqrt(left[0])
            kept[j] = True
    r = int(np.count_nonzero(kept))
    factor = L[kept, :r]
    rest = L[~kept, :r].T
    combination = solve_triangular(factor, rest, lower=True, trans="T") if rest.size else rest
    return kept, factor, combination


def _pivot_floor(factor: Array, row: Array, pivot: float) -> float:
    """How large rounding alone makes a pivot: EPS (1 + |t|^2), t the column on those before it."""
    from scipy.linalg import solve_triangular

    if pivot > 1e-6 or not len(row):
        return PIVOT_NOISE * EPS
    t = solve_triangular(factor, row, lower=True, trans="T", check_finite=False)
    return float(PIVOT_NOISE * EPS * (1 + t @ t))


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
    digits = float(np.clip(-np.log10(max(condition * (c.noise + EPS), 1e-16)), 0, 15))
    rss = np.einsum("nk,nk->k", residual, residual)
    return _Found(raw, kept, rss, condition, digits, "qr", factor.T, np.empty((len(factor), 0)))


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
        if size_left > PIVOT_NOISE * EPS * np.sqrt(n) * (1 + np.linalg.norm(onto)):
            Q[:, r], factor[:r, r], factor[r, r] = left / size_left, onto, size_left
            kept[j], r = True, r + 1
    return kept, Q[:, :r], factor[:r, :r]


def _solve_dual(c: _Centred, columns: NDArray[np.intp], kept: NDArray[np.bool_]) -> _Found:
    """The shortest solution, by the kernel `X X'` (n, n): `b = X' (X X')^+ y`."""
    p = len(c.scale)
    X, Y = c.rows[:, columns], c.rows[:, p:]
    values, vectors = np.linalg.eigh(X @ X.T)
    used = values > len(X) * EPS * values[-1]
    onto = vectors[:, used].T @ Y
    b = X.T @ (vectors[:, used] @ (onto / values[used][:, None]))
    residual = Y - vectors[:, used] @ onto
    condition = float(np.sqrt(values[-1] / values[used][0]))
    digits = float(np.clip(-np.log10(max(condition**2 * EPS, 1e-16)), 0, 15))
    rss = np.einsum("nk,nk->k", residual, residual)
    raw = b * c.scale[columns][:, None]
    return _Found(raw, kept, rss, condition, digits, "min-norm", np.empty((0, 0)), np.empty((0, 0)))


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
        found.condition, found.digits, c.m.n, c.weight, found.rss, c.square[p:], c.intercept,
    )  # fmt: skip


def _rank_message(dropped: tuple[str, ...], constant: tuple[str, ...], n: int) -> str:
    parts = []
    if dropped:
        verb = "is a combination" if len(dropped) == 1 else "are combinations"
        parts.append(f"{listed(dropped)} {verb} of the columns before (in {plural(n, 'row')}).")
    if constant:
        parts.append(f"{listed(constant)} {'does' if len(constant) == 1 else 'do'} not vary.")
    return " ".join([*parts, "Remove them, or pass rank='drop' or rank='min-norm'."])
