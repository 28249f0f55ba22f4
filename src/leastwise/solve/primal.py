"""Least squares from the rounded matrix of moments, in float64: the fast rung.

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

Digits: an entry of S is wrong by `u sqrt(size_i size_j)`, each on its own, so that with A = R^-1 and
`moved = size_y + sum_i lost_i t_i^2` the first order is

    coefficient j     u sqrt(moved sum_i A_ji^2 lost_i)
    intercept         u sqrt(moved) (sqrt(sum_i g_i^2 lost_i) + W^-1/2),  g = A mean / scale
    rss               2 u moved, for entries beside the diagonal count twice
    A_jj              u sum_i A_ji^2 lost_i; half of it, and of that of rss, in a standard error

and the second order is the first times `u sum_i A_ii lost_i`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import RankError
from leastwise.numerics import EPS, Array
from leastwise.solve.centred import Centred, Found, digits_left, relative
from leastwise.solve.solution import Rank

NO_SHORTEST = (
    "The shortest of all solutions has no digit in float64: the units of the columns are too far apart. "
    "Scale the columns, or pass rank='drop'."
)


def solve_gram(c: Centred, columns: NDArray[np.intp], rule: Rank) -> Found:
    """The answer for some `columns` from the matrix of their products, in scaled units."""
    S, scale, p = c.cross, c.scale[columns], len(c.scale)
    R = S[np.ix_(columns, columns)] / np.outer(scale, scale)  # (c, c)
    s = S[columns, p:] / scale[:, None]  # (c, k)
    weigh = c.rank_unit * c.lost[columns] + (2 * EPS * c.far[columns]) ** 2
    kept, L, inverse, combination = cholesky_in_order(R, weigh)
    half = inverse @ s[kept]
    raw = np.zeros_like(s)
    raw[kept] = inverse.T @ half
    rss = np.maximum(c.square[p:] - np.einsum("rk,rk->k", half, half), 0.0)
    inverse_R = inverse.T @ inverse
    digits, rss_digits, se_digits = digits_of(c, columns, kept, raw, rss, inverse_R)
    norms = np.abs(R[np.ix_(kept, kept)]).sum(axis=0), np.abs(inverse_R).sum(axis=0)
    condition = float(np.sqrt(norms[0].max(initial=1.0) * norms[1].max(initial=1.0)))
    method, rank = "cholesky", len(L)
    if rule == "min-norm" and not kept.all():
        raw, method = shortest(raw, kept, combination, scale), "min-norm"
        kept = np.ones_like(kept)
    unique = None if method == "min-norm" else inverse
    return Found(
        raw, kept, rank, rss, condition, digits, method, rss_digits, L, combination, unique, se_digits
    )


def digits_of(
    c: Centred, columns: NDArray[np.intp], kept: NDArray[np.bool_], raw: Array, rss: Array, A: Array
) -> tuple[float, Array, float]:
    """Digits to expect of coefficients, sums of squares (k,) and standard errors; A (r, r) = R^-1."""
    used, p = columns[kept], len(c.scale)
    lost, variance = c.lost[used], np.diagonal(A)
    moved = c.size[p:] + c.lost[columns] @ raw**2  # (k,) what the residuals were computed from, squared
    unit = c.unit * (1 + c.unit * float(variance @ lost))  # to the second order
    row = (A**2) @ lost  # (r,) how an error in s reaches each coefficient, squared
    error = unit * np.sqrt(moved * row.max(initial=0.0))
    digits = digits_left(error, np.abs(raw).max(axis=0, initial=0.0))
    if c.intercept:
        mean = c.mean[used] / c.scale[used]
        reach = A @ mean
        far = np.sqrt(reach**2 @ lost) + c.weight**-0.5  # how it reaches the intercept
        row, variance = np.append(row, far**2), np.append(variance, 1 / c.weight + mean @ reach)
        error = unit * np.sqrt(moved) * far
        digits = np.minimum(digits, digits_left(*c.intercept_error(error, columns, raw)))
    of_rss = relative(2 * unit * moved, rss)  # entries beside the diagonal count twice
    of_se = relative(unit * row, variance).max(initial=0.0) + of_rss  # of its square
    least, worst = (float(np.min(d, initial=15.0)) for d in (digits, digits_left(of_se / 2)))
    return least, digits_left(of_rss), worst


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


def shortest(raw: Array, kept: NDArray[np.bool_], combination: Array, scale: Array) -> Array:
    """The solution of least norm in the units of the data: `b = [I T]' (I + T T')^-1 beta`."""
    T = combination * scale[kept][:, None] ** -1 * scale[~kept]  # columns' units, (r, d)
    beta = raw[kept] / scale[kept][:, None]
    try:
        inner = np.linalg.solve(np.eye(len(T)) + T @ T.T, beta)
    except np.linalg.LinAlgError:
        raise RankError(NO_SHORTEST) from None
    found = np.empty_like(raw)
    found[kept], found[~kept] = inner, T.T @ inner
    found *= scale[:, None]
    together = found[kept] + combination @ found[~kept]  # what they do must be what beta does
    if not (np.abs(together - raw[kept]) <= 1e-6 * np.abs(raw).max(axis=0, initial=0.0)).all():
        raise RankError(NO_SHORTEST)
    return found
