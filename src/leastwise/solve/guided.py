"""Exact coefficients of many columns: a float64 factor leads, exact residuals decide.

factor.py multiplies p^3 / 6 long integers. Where the columns are far from depending on one another (the
correlations' condition below 1e10) a float64 Cholesky factor is a good enough guide: each step
`x += R^-1 (s - S x)`, the residual without rounding, gives five digits and more, and costs p^2
products of integers. Steps end when they are below the last bits that count.

Standard errors are those of the float64 factor of a correctly rounded matrix: `se_digits` says what
that leaves of them.

Source: Wilkinson, Rounding Errors in Algebraic Processes (1963), ch. 3; Demmel et al., ACM TOMS 35 (2009).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leastwise.integers import exactly, rounded, rounded_all, rounded_ratio
from leastwise.numerics import EPS, Array
from leastwise.solve.centred import digits_left
from leastwise.solve.factor import NEAR, Answer, Ints

MANY = 100  # columns from which this is faster than long integers throughout
LEADS = 1e10  # condition of the correlations up to which a float64 factor leads
WIDE = 600  # bits of squares and their unit beyond which float64 factors leave their range
CLOSE = 60  # residuals below 2^-60 of the target, squared, are left to factor.py
SE_DIGITS = 10.0  # fewer digits of a standard error are not taken from it
SURE, ZERO, STEPS = 56, 140, 60


def guided(G: Ints, exponent: int, k: int, one: int) -> Answer | None:
    """The answer for integers G (r + k, r + k) times `2^exponent`; None where a factor cannot lead."""
    S = G if not one else G[0, 0] * G[1:, 1:] - np.multiply.outer(G[0, 1:], G[0, 1:])
    c = len(S) - k
    if max(int(v).bit_length() for v in np.diagonal(G)) > WIDE or abs(exponent) > WIDE:
        return None
    shift = np.array([(int(S[j, j]).bit_length() + 1) // 2 for j in range(len(S))], np.int64)
    R = _scaled(S[:c, :c], shift[:c])
    d = np.sqrt(np.diagonal(R))
    if not (d > 0).all():
        return None
    R = R / np.outer(d, d)  # correlations
    inverse = _inverse(R)
    if inverse is None:
        return None
    R_inverse = inverse.T @ inverse
    size = np.abs(R).sum(axis=0).max() * np.abs(R_inverse).sum(axis=0).max()
    error = 4 * EPS * (R_inverse**2).sum(axis=1) / np.diagonal(R_inverse)
    se_digits = float(digits_left(error.max(), 1.0))
    if size > LEADS or se_digits < SE_DIGITS:
        return None
    if one and _near(G, S, np.diagonal(R_inverse)):
        return None
    bits = max(256, 2 * int(shift.max()))
    A = S << (bits - np.add.outer(shift, shift)).astype(object)
    lead = R_inverse / np.outer(d, d)
    found = [_refined(A[:c, :c], A[:c, c + t], lead, bits) for t in range(k)]
    if any(x is None for x in found):
        return None
    X = np.stack([x for x in found if x is not None])  # (k, c)
    up = shift[c:][:, None] - shift[:c]
    flat = [rounded(v, int(e)) for v, e in zip(X.ravel(), (up - bits).ravel(), strict=True)]
    coef = np.array(flat).reshape(k, c)
    if any(_too_close(A, c, t, X[t], bits) for t in range(k)):
        return None  # the last bits of x decide about the residuals
    rss = np.array([_left(A, c, t, X[t], bits, int(shift[c + t]), exponent, G, one) for t in range(k)])
    if one:
        first = [_offset(G, X[t], 1 + c + t, up[t] - bits) for t in range(k)]
        coef = np.column_stack([first, coef])
    W = np.ldexp(inverse / d, -shift[:c])
    root = _with_intercept(W, G, exponent) if one else W * np.sqrt(rounded(1, -exponent))
    return Answer(
        np.arange(c + one), coef, rss, root, np.empty((c, 0)), float(np.sqrt(size)), "guided integers",
        se_digits,
    )  # fmt: skip


def _near(G: Ints, S: Ints, inflated: Array) -> bool:
    """Whether a column's distance to the span of all others comes near 8 u of its own length."""
    lengths = ((G[1 + j, 1 + j] * G[0, 0], S[j, j]) for j in range(len(inflated)))
    far = zip(lengths, inflated, strict=True)
    return any((square << (NEAR - 10)) <= length * int(1 + v) for (length, square), v in far)


def _scaled(S: Ints, shift: NDArray[np.int64]) -> Array:
    """`S_ij 2^-(shift_i + shift_j)` in float64, each correctly rounded."""
    size = len(S)
    R = np.empty((size, size))
    for i in range(size):
        for j in range(i + 1):
            R[i, j] = R[j, i] = rounded(S[i, j], -int(shift[i] + shift[j]))
    return R


def _inverse(R: Array) -> Array | None:
    """The inverse (c, c) of the Cholesky factor; None where there is no factor."""
    from scipy.linalg.lapack import dpotrf, dtrtri

    L, info = dpotrf(R, lower=1, clean=1)
    return None if info else np.asarray(dtrtri(L, lower=1)[0])


def _refined(A: Ints, s: Ints, lead: Array, bits: int) -> Ints | None:
    """`x` (c,) of `A x = s`, all times `2^bits`; None where steps do not shrink.

    The last step is below 2^-56 of each, and what is left of it smaller by five digits and more.
    """
    x = np.zeros(len(s), object)
    for _ in range(STEPS):
        left = rounded_all((s << bits) - A @ x, -2 * bits)
        whole, exponent = exactly(lead @ left)
        step = whole << (bits + exponent) if bits + exponent >= 0 else whole >> -(bits + exponent)
        x = x + step
        size = max(map(abs, x))
        near = (abs(e) << SURE <= abs(v) or abs(e) << ZERO <= size for e, v in zip(step, x, strict=True))
        if all(near):
            return np.array([0 if abs(v) << ZERO <= size else v for v in x], object)
    return None


def _squared(A: Ints, c: int, t: int, x: Ints, bits: int) -> tuple[int, int]:
    """The squared residuals of `x` and of no x at all, without rounding, times 2^(3 bits)."""
    s, whole = A[:c, c + t], A[c + t, c + t] << (2 * bits)
    return whole - ((s @ x) << (bits + 1)) + x @ (A[:c, :c] @ x), whole


def _too_close(A: Ints, c: int, t: int, x: Ints, bits: int) -> bool:
    total, whole = _squared(A, c, t, x, bits)
    return total << CLOSE <= whole


def _left(
    A: Ints, c: int, t: int, x: Ints, bits: int, shift: int, exponent: int, G: Ints, one: int
) -> float:
    """The residual sum of squares of `x`: every product exact."""
    total, _ = _squared(A, c, t, x, bits)
    return rounded_ratio(total, G[0, 0] if one else 1, exponent + 2 * shift - 3 * bits)


def _offset(G: Ints, x: Ints, target: int, places: NDArray[np.int64]) -> float:
    """The intercept `(sum y - sum_j b_j sum x_j) / weight`, with `b_j = x_j 2^places_j`."""
    lowest = int(min(places.min(), 0))
    b = x << (places - lowest).astype(object)
    above = (G[0, target] << -lowest) - G[0, 1 : 1 + len(x)] @ b
    return rounded_ratio(above, G[0, 0], lowest)


def _with_intercept(W: Array, G: Ints, exponent: int) -> Array:
    """The root for `[1, X]` from that for the columns about their means, times the weight."""
    c, weight = len(W), rounded(G[0, 0], 0)
    unit = np.sqrt(rounded(1, -exponent))
    mean = np.array([G[0, 1 + j] / G[0, 0] for j in range(c)])
    root = np.zeros((1 + c, 1 + c))
    root[1:, 1:] = W * np.sqrt(weight) * unit
    root[0, 0], root[1:, 0] = unit / np.sqrt(weight), -root[1:, 1:] @ mean
    return root
