"""L D L' of an exact matrix in fixed point, and solutions that are certain to the last bit.

The matrix is scaled by powers of two to diagonals between 1/4 and 1 and eliminated from left to
right in integers times 2^-256. The solution is then refined once with a residual that is computed
without rounding: the correction says how far the first answer was off, and by it how far the
second can be. That is far below the last bit of a float64, or the bits are doubled and all is done
again. Targets stand as further rows below the columns: elimination leaves there what substitution
would find. Residual sums of squares are made of the refined solution, every product exact.

A column is *dependent* when its distance to the span of those before it is no more than 8 u of its
own length, u = 2^-53: as far as rounding its numbers to float64 can have moved it.

Cost: p^3 / 6 products of integers, near 0.15 microseconds each; twice that with `root`.

Sources: Wilkinson, Rounding Errors in Algebraic Processes (1963), ch. 3, on refinement; Demmel, Hida,
Riedy, Li, Extra-precise iterative refinement for overdetermined least squares, ACM TOMS 35 (2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import RankError
from leastwise.integers import rounded, rounded_all
from leastwise.numerics import Array

Ints = NDArray[np.object_]
NEAR = 100  # a pivot below 2^-100 = (8 u)^2 of its column is rounding
START = 256  # bits of the fixed point at first
MOST = 8_192  # bits at last
SURE = 60  # bits of a coefficient that must be certain
NOTHING = 196  # residuals below 2^-196 of the target, squared, are what is left of decimals
ZERO = 140  # what is below 2^-140 of the largest unknown is 0: no rounding of data is so small


@dataclass(frozen=True, eq=False)
class Answer:
    """What elimination finds, each number rounded once: r of the columns are kept."""

    kept: NDArray[np.intp]  # (r,) the intercept first where there is one
    coef: Array  # (k, r)
    rss: Array  # (k,)
    root: Array | None  # (r, r)
    combination: Array  # (r, c - r) columns left out by those kept, the intercept aside
    condition: float
    method: str = "integers"
    se_digits: float = 15.0


def solved(G: Ints, exponent: int, k: int, one: int, root: bool, long: bool = False) -> Answer:
    """The answer for integers G (c + k, c + k) times `2^exponent`, whose last `k` rows are targets.

    `one` is 1 where the first column is the intercept's; `long` where numbers end at 2^-106 of their size,
    so that residuals may be what was cut off. Raises RankError where 8,192 bits do not make the
    coefficients certain.
    """
    factor, coef, rss = certain(factored(G, k), exponent, long)
    return Answer(
        factor.kept, coef, rss, factor.root(exponent) if root else None,
        factor.combination(one), factor.condition(one),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Factor:
    """`A = L D L'` of the kept columns, in integers times `2^-bits`.

    `A` (c + k, c + k), columns and targets, is exact: the matrix with its columns times `2^-shift`.
    """

    A: Ints
    k: int
    bits: int
    shift: NDArray[np.int64]  # (c + k,)
    kept: NDArray[np.intp]  # (r,) among the c columns
    L: Ints  # (c + k, r); unit lower triangular in the kept rows
    U: Ints  # (c + k, r) = L D
    d: Ints  # (r,)

    @property
    def c(self) -> int:
        return len(self.A) - self.k

    def back(self, z: Ints) -> Ints:
        """`x` (r, k) of `L' x = z`."""
        L, x = self.L[self.kept], z.copy()
        for i in range(len(x) - 2, -1, -1):
            x[i] = x[i] - ((L[i + 1 :, i] @ x[i + 1 :]) >> self.bits)
        return x

    def solve(self, right: Ints) -> Ints:
        """`x` (r, k) of `L D L' x = right`, in the units of `right`."""
        L, y = self.L[self.kept], right.copy()
        for i in range(1, len(y)):
            y[i] = y[i] - ((L[i, :i] @ y[:i]) >> self.bits)
        return self.back((y << self.bits) // self.d[:, None])

    def rss(self, x: Ints, exponent: int, long: bool) -> Array:
        """The squared residuals (k,) of `x` (r, k), in units of 2^(-2 bits): every product is exact."""
        square = self.A[np.ix_(self.kept, self.kept)]
        found = []
        for t in range(self.k):
            s, whole = self.A[self.kept, self.c + t], self.A[self.c + t, self.c + t] << (4 * self.bits)
            left = whole - ((s @ x[:, t]) << (2 * self.bits + 1)) + x[:, t] @ (square @ x[:, t])
            left = 0 if left << (NOTHING if long else 2 * self.bits - 60) <= whole else left
            found.append(rounded(left, exponent + 2 * int(self.shift[self.c + t]) - 5 * self.bits))
        return np.array(found)

    def root(self, exponent: int) -> Array:
        """`W` (r, r), lower triangular, with `W'W` the inverse of the kept columns' matrix.

        Every diagonal element of the inverse is a sum of squares of it: no digit cancels.
        """
        L, r = self.L[self.kept], len(self.kept)
        M = np.zeros((r, r), object)
        for i in range(r):
            M[i, i] = 1 << self.bits
            if i:
                M[i, :i] = -((L[i, :i] @ M[:i, :i]) >> self.bits)
        pivot = np.sqrt(rounded_all(self.d, -self.bits))
        half, odd = divmod(exponent, 2)
        scale = -self.shift[self.kept] - half
        with np.errstate(over="ignore"):  # of columns near the smallest float64 it leaves the range
            return np.ldexp(rounded_all(M, -self.bits) / (pivot[:, None] * 2 ** (odd / 2)), scale)

    def condition(self, one: int) -> float:
        """2-norm condition of the kept columns without the first `one`, in unit length; 1 of none."""
        rows = self.kept[one:]
        if not len(rows):
            return 1.0
        K = rounded_all(self.L[rows, one:], -self.bits) * np.sqrt(rounded_all(self.d[one:], -self.bits))
        with np.errstate(all="ignore"):
            return float(np.linalg.cond(K / np.linalg.norm(K, axis=1, keepdims=True)))

    def combination(self, one: int) -> Array:
        """The columns left out as combinations (r, c - r) of the kept ones, the first `one` aside."""
        (out,) = np.nonzero(np.isin(np.arange(self.c), self.kept, invert=True))
        T = self.back(self.L[out].T)
        up = self.shift[out][None, :] - self.shift[self.kept][:, None]
        return np.ldexp(rounded_all(T, -self.bits), up)[one:]


def factored(G: Ints, k: int, bits: int = START) -> Factor:
    """The factor of a matrix of integers (c + k, c + k) whose last `k` rows are targets."""
    c = len(G) - k
    shift = np.array([(int(G[j, j]).bit_length() + 1) // 2 for j in range(c + k)], np.int64)
    bits = max(bits, 2 * int(shift.max(initial=0)))  # then no bit of the matrix is lost
    A = G << (bits - np.add.outer(shift, shift)).astype(object)
    L, U = np.zeros((c + k, c), object), np.zeros((c + k, c), object)
    kept: list[int] = []
    for j in range(c):
        r = len(kept)
        left = A[j:, j]
        if r:
            left = left - ((U[j:, :r] @ L[j, :r]) >> bits)
        if (left[0] << NEAR) > A[j, j]:
            U[j:, r], L[j:, r] = left, (left << bits) // left[0]
            kept.append(j)
    r = len(kept)
    d = U[kept, np.arange(r)]
    # small pivots enlarge what was cut off by their inverse: there must be bits to spare for all of them
    small = [int(A[j, j] // pivot).bit_length() for j, pivot in zip(kept, d, strict=True)]
    needed = NEAR + 60 + sum(s for s in small if s > 10)
    if needed > bits:
        return factored(G, k, needed + START)
    return Factor(A, k, bits, shift, np.array(kept, np.intp), L[:, :r], U[:, :r], d)


def certain(factor: Factor, exponent: int, long: bool) -> tuple[Factor, Array, Array]:
    """The factor, the coefficients (k, r) of the kept columns, each the nearest float64, and rss (k,).

    Raises RankError where 8,192 bits do not make them certain.
    """
    x, sure = _refined(factor)
    if sure:
        up = factor.shift[factor.c :][:, None] - factor.shift[factor.kept]  # (k, r)
        places = up - 2 * factor.bits
        found = [rounded(v, int(e)) for v, e in zip(x.T.ravel(), places.ravel(), strict=True)]
        return factor, np.array(found, np.float64).reshape(places.shape), factor.rss(x, exponent, long)
    if factor.bits >= MOST:  # pragma: no cover  # pivots above 2^-100 leave no such matrix that was found
        raise RankError("The columns nearly depend on one another: no digit is certain. Remove some.")
    G = factor.A >> (factor.bits - np.add.outer(factor.shift, factor.shift)).astype(object)
    return certain(factored(G, factor.k, 2 * factor.bits), exponent, long)


def _refined(factor: Factor) -> tuple[Ints, bool]:
    """The solution (r, k) in units of `2^(-2 bits)`, and whether it is certain."""
    bits, kept, c = factor.bits, factor.kept, factor.c
    first = factor.back(factor.L[c:].T)
    left = (factor.A[np.ix_(kept, np.arange(c, len(factor.A)))] << bits) - factor.A[
        np.ix_(kept, kept)
    ] @ first
    step = factor.solve(left)
    x = (first << bits) + step
    sure = True
    for t in range(factor.k):
        size, moved = max(map(abs, x[:, t]), default=0), max(map(abs, step[:, t]), default=0)
        error = 4 * moved * moved // size + (1 << 16) if size else 0
        sure &= error << (ZERO + SURE) <= size
        x[:, t] = [v if abs(v) >= error << SURE else 0 for v in x[:, t]]
    return x, sure
