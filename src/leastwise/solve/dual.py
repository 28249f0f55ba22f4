"""Least squares where rows are no more than columns: from the rows themselves, on their (n, n) side.

To drop dependent columns, the columns are made orthogonal from left to right, and the first ones
that can be are kept. The shortest solution takes all columns: with `X' = Q R` it is `b = Q R^-T y`, or
where rows depend on one another (or nearly do) the singular values of X give it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from leastwise.numerics import EPS, Array
from leastwise.solve.centred import Centred, Found, digits_left, relative
from leastwise.solve.scattered import Scattered, only
from leastwise.solve.solution import Rank

SAFE = 1e-7  # reciprocal condition below which rows count as nearly dependent


def solve_rows(c: Centred, columns: NDArray[np.intp], rule: Rank) -> Found:
    """The answer for some `columns` from the rows (n, c)."""
    if rule == "min-norm":
        return _shortest(c, columns)
    from scipy.linalg import solve_triangular

    X, Y = c.features[:, columns] / c.scale[columns], c.aims
    kept, Q, factor = orthogonal_in_order(X, c.m.n - c.intercept, c.far[columns])
    raw, onto = np.zeros((len(columns), Y.shape[1])), Q.T @ Y
    condition = float(np.linalg.cond(factor)) if len(factor) else 1.0
    if not len(factor):
        return _found(c, columns, raw, kept, 0, Y, condition, "qr", np.empty((0, 0)))
    raw[kept] = solve_triangular(factor, onto)
    inverse = solve_triangular(factor, np.eye(len(factor)), trans="T")
    return _found(c, columns, raw, kept, len(factor), Y - Q @ onto, condition, "qr", inverse)


def _found(
    c: Centred,
    columns: NDArray[np.intp],
    raw: Array,
    kept: NDArray[np.bool_],
    rank: int,
    residual: Array,
    condition: float,
    method: str,
    inverse: Array | None = None,
) -> Found:
    """What both ways have in common: the residuals (n, k) are at hand.

    Digits as in primal.py, but that what is wrong is X itself, by `u sqrt(lost)` of each column, and y:
    `db = R^-1 Q' (dy - dX b) + A dX' r` with `A = (X'X)^-1`. Where the solution is not the only one
    the condition must do.
    """
    rss, none = np.einsum("nk,nk->k", residual, residual), np.empty((0, 0))
    moved = c.size[len(c.scale) :] + c.lost[columns] @ raw**2  # (k,)
    of_rss = 2 * relative(c.unit * np.sqrt(moved), np.sqrt(rss))
    if inverse is None:
        digits = digits_left(2 * condition * c.unit * np.sqrt(c.lost.max(initial=1.0)))
        se_digits = digits
    else:
        A, lost = inverse.T @ inverse, c.lost[columns][kept]
        row, variance = (A**2) @ lost, np.diagonal(A)
        error = c.unit * np.sqrt(np.outer(variance, moved) + np.outer(row, rss)).max(axis=0, initial=0.0)
        digits = digits_left(error, np.abs(raw).max(axis=0, initial=0.0))
        if c.intercept:
            mean = c.mean[columns][kept] / c.scale[columns][kept]
            reach = A @ mean
            row = np.append(row, reach**2 @ lost)
            variance = np.append(variance, 1 / c.weight + mean @ reach)
            error = c.unit * np.sqrt(variance[-1] * moved + row[-1] * rss)
            digits = np.minimum(digits, digits_left(*c.intercept_error(error, columns, raw)))
        of_se = c.unit * np.sqrt(relative(row, variance)).max(initial=0.0)
        se_digits = digits_left(of_se + of_rss / 2)
    least, of_worst = (float(np.min(d, initial=15.0)) for d in (digits, se_digits))
    return Found(
        raw, kept, rank, rss, condition, least, method, digits_left(of_rss), none, none, inverse, of_worst
    )


def orthogonal_in_order(X: Array, limit: int, far: Array) -> tuple[NDArray[np.bool_], Array, Array]:
    """Gram-Schmidt, twice over, from left to right: kept (c,), Q (n, r), upper factor (r, r)."""
    from scipy.linalg import solve_triangular

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
        t = solve_triangular(factor[:r, :r], onto, check_finite=False) if r else onto
        # t: the combination that vanishes; the columns' own rounding is EPS of their means
        rounding = (16 * EPS) ** 2 * n * (1 + t @ t) + (4 * EPS) ** 2 * (
            far[j] ** 2 + t**2 @ far[kept] ** 2
        )
        if size_left**2 > rounding:
            Q[:, r], factor[:r, r], factor[r, r] = left / size_left, onto, size_left
            kept[j], r = True, r + 1
    return kept, Q[:, :r], factor[:r, :r]


def _shortest(c: Centred, columns: NDArray[np.intp]) -> Found:
    """Of all solutions the one of least norm in the units of the data; no column is left out."""
    from scipy.linalg import qr, solve_triangular
    from scipy.linalg.lapack import dtrcon

    found = _by_their_products(c, columns) if isinstance(c.features, Scattered) else None
    if found is not None:
        return found
    X, Y = c.features[:, columns], c.aims
    A, B = _without_mean(c, X, Y)
    kept = np.ones(len(columns), bool)
    if 0 < len(A) <= len(columns):
        Q, R = qr(A.T, mode="economic", check_finite=False)
        rcond = float(dtrcon(R, uplo="U")[0])
        if rcond > SAFE:
            b = Q @ solve_triangular(R, B, trans="T", check_finite=False)
            raw = b * c.scale[columns][:, None]
            return _found(c, columns, raw, kept, len(A), Y - X @ b, 1 / rcond, "min-norm")
    return _by_singular_values(c, columns, X, Y)


def _by_their_products(c: Centred, columns: NDArray[np.intp]) -> Found | None:
    """`b = X' (X X')^+ y` for sparse rows, refined once; None where rows nearly depend on one another.

    The products have the square of the condition, which refinement mends as far as `SAFE` goes. Rows that
    depend on one another outright have eigenvalues of rounding alone, which are left out.
    """
    X, Y = only(c.features, columns), c.aims
    solve, rank, rcond = _solver(X @ X.T, c.part.roots if c.intercept else None)
    if rcond < SAFE:
        return None
    w = solve(Y)
    w = w + solve(Y - X @ (X.T @ w))
    b = X.T @ w
    raw, kept = b * c.scale[columns][:, None], np.ones(len(columns), bool)
    return _found(c, columns, raw, kept, rank, Y - X @ b, rcond**-0.5, "min-norm")


def _solver(K: Array, roots: Array | None) -> tuple[Callable[[Array], Array], int, float]:
    """`K^+` for products of rows (n, n), its rank, and its reciprocal condition where it has full rank.

    In the direction of `roots` centred rows have nothing, and neither have targets.
    """
    from scipy.linalg import lapack

    full = K
    if roots is not None:
        v = roots / np.linalg.norm(roots)
        full = K + np.outer(v, v) * (np.trace(K) / len(K))
    L, info = lapack.dpotrf(full, lower=1)
    rcond = 0.0 if info else float(lapack.dpocon(L, np.linalg.norm(full, 1), uplo="L")[0])
    if rcond >= SAFE:
        return lambda Y: lapack.dpotrs(L, Y, lower=1)[0], len(K) - (roots is not None), rcond
    e, V = np.linalg.eigh(K)
    some = e > 16 * EPS * len(K) * e.max(initial=0.0)
    e, V = e[some], V[:, some]
    return lambda Y: V @ ((V.T @ Y) / e[:, None]), len(e), float(e.min() / e.max()) if len(e) else 1.0


def _without_mean(c: Centred, X: Array, Y: Array) -> tuple[Array, Array]:
    """The centred rows in n - 1 coordinates: a reflection puts what the mean took into the first."""
    if not c.intercept:
        return X, Y
    v = c.part.roots.copy()  # the roots of the weights: centred columns are orthogonal to it
    v[0] += np.copysign(np.linalg.norm(v), v[0])
    v /= np.linalg.norm(v)
    reflected = [M - 2 * np.outer(v, v @ M) for M in (X, Y)]
    return reflected[0][1:], reflected[1][1:]


def _by_singular_values(c: Centred, columns: NDArray[np.intp], X: Array, Y: Array) -> Found:
    """`b = V s^-1 U' y`. How many singular values count is decided on scaled columns.

    The eigenvalues of `X X'` would be cheaper, and square the condition.
    """
    r = int(
        np.count_nonzero(orthogonal_in_order(X / c.scale[columns], c.m.n - c.intercept, c.far[columns])[0])
    )
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    U, s, Vt = U[:, :r], s[:r], Vt[:r]
    onto = U.T @ Y
    raw = (Vt.T @ (onto / s[:, None])) * c.scale[columns][:, None]
    condition = float(s[0] / s[-1]) if r else 1.0
    return _found(c, columns, raw, np.ones(len(columns), bool), r, Y - U @ onto, condition, "min-norm")
