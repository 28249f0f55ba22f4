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

Fewer rows than columns: the rows are at hand (`moments.Thin`), and `dual.py` answers the same
questions from them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import MomentsError, RankError, listed, plural
from leastwise.moments import Moments, Thin
from leastwise.numerics import EPS, Array
from leastwise.solve.centred import Centred, Found, digits_left
from leastwise.solve.dual import solve_rows
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
    columns take part. Cost: p^3 / 3 multiplications for the factor and about twice that for what is said
    of rank and digits; n^2 p where n <= p.
    """
    rule = checked_rank(rank)
    if moments.n == 0:
        raise MomentsError("No rows, no fit. Give some first.")
    centred = Centred.of(moments.imputed(), intercept)
    columns = np.flatnonzero(~centred.constant & (True if keep is None else keep))
    solve = solve_rows if isinstance(centred.part, Thin) else _solve_gram
    found = solve(centred, columns, rule)
    return _solution(centred, columns, found, rule)


def squared_error(moments: Moments, coef: Array, intercept: Array) -> Array:
    """`sum w (x b + c - y)^2` (k,) of given `coef` (k, p), `intercept` (k,) over these rows."""
    m = moments.imputed()
    centred = Centred.of(m, True)
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


def _solve_gram(c: Centred, columns: NDArray[np.intp], rule: Rank) -> Found:
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
    rss_digits = digits_left(c.unit * moved, rss)
    inverse_R = inverse.T @ inverse
    row = np.sqrt((inverse_R**2) @ c.lost[columns][kept])  # (r,) how an error in s reaches each coefficient
    error = c.unit * np.sqrt(moved) * row.max(initial=0.0)
    digits = float(np.min(digits_left(error, np.abs(raw).max(axis=0, initial=0.0)), initial=15.0))
    norms = np.abs(R[np.ix_(kept, kept)]).sum(axis=0), np.abs(inverse_R).sum(axis=0)
    condition = float(np.sqrt(norms[0].max(initial=1.0) * norms[1].max(initial=1.0)))
    method, rank = "cholesky", len(L)
    if rule == "min-norm" and not kept.all():
        raw, method = _shortest(raw, kept, combination, scale), "min-norm"
        kept = np.ones_like(kept)
    return Found(raw, kept, rank, rss, condition, digits, method, rss_digits, L, combination)


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


def _solution(c: Centred, columns: NDArray[np.intp], found: Found, rule: Rank) -> Solution:
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
        c.m.names, c.m.targets, coef, intercept, kept, found.rank, dropped, constant, found.method, "fast",
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
