"""Parts: the moments of some rows, as the matrix, as the rows themselves (dense or sparse), or in integers.

Columns stand in the order `[1, X, M, Y]` of moments.py. A part adds up with others of its kind, and
can be mapped: `Z[:, columns] += Z[:, by] * factor`, which is how shifts and fillings are done.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.digits import Grid, Sums
from leastwise.errors import DataError, MissingError, MomentsError
from leastwise.integers import BITS, Integers, exactly, moved, rounded_all
from leastwise.numerics import Array, block_rows, gram, two_product

Places = NDArray[np.intp]
SCATTERED = 0.25  # share of stored values from which sparse rows are dense ones, and faster as such
MANY = 10_000  # columns from which sparse rows are kept, however many, if they are less than the matrix
PAIRS = 1_000_000  # of stored values, up to which scipy's product is done before the compiled one is loaded
FAR = 2.0**-300  # weights so far from their unit are summed apart
HUGE = 512 - BITS  # place of the digits of numbers whose squares leave float64


@dataclass(frozen=True, eq=False)
class Dense:
    """Moments as the matrix itself: `n` rows, `cross` (1+q, 1+q).

    `size` (1+q,) is what each sum of squares was rounded from: it begins as the diagonal, and grows
    with what was added, taken away or shifted on the way, so that a cancellation is never forgotten.
    """

    n: int
    cross: Array
    size: Array

    def plus(self, other: Part) -> Dense:
        cross = self.cross + other.cross
        # thousands of additions round one way on constant columns: 1/256 of the sum covers it
        size = self.size + other.size + np.diagonal(cross) / 256
        return Dense(self.n + other.n, cross, size)

    def minus(self, other: Part) -> Dense:
        return Dense(self.n - other.n, self.cross - other.cross, self.size + other.size)

    def mapped(self, columns: Places, by: Places, factor: Array) -> Dense:
        """Moments of `Z` with `Z[:, columns] += Z[:, by] * factor`; columns and by do not meet."""
        cross = self.cross.copy()
        cross[:, columns] += cross[:, by] * factor
        cross[columns, :] += cross[by, :] * factor[:, None]
        return Dense(self.n, (cross + cross.T) / 2, _grown(self.size, columns, by, factor))

    def only(self, columns: Places) -> Dense:
        return Dense(self.n, self.cross[np.ix_(columns, columns)], self.size[columns])

    @property
    def sums(self) -> Array:
        """The first row: weight and sums (1+q,)."""
        return self.cross[0]

    def comoment(self) -> Array:
        """Sums of products about the means (q, q)."""
        return self.cross[1:, 1:] - np.outer(self.cross[0, 1:], self.cross[0, 1:]) / self.cross[0, 0]


@dataclass(frozen=True, eq=False)
class Thin:
    """Moments as a factor: `rows` (n, 1+q), already times the root of the weights; `size` as above."""

    n: int
    rows: Array
    size: Array

    @classmethod
    def of(cls, n: int, rows: Array) -> Thin:
        return cls(n, rows, np.einsum("nq,nq->q", rows, rows))

    @cached_property
    def cross(self) -> Array:
        return gram(self.rows)

    def plus(self, other: Part) -> Part:
        if isinstance(other, Sparse):
            return self.plus(other.thin()) if len(self.rows) else other
        if isinstance(other, Thin) and len(self.rows) + len(other.rows) <= self.rows.shape[1]:
            rows = np.concatenate([self.rows, other.rows])
            return Thin(self.n + other.n, rows, self.size + other.size)
        return self.dense().plus(other)

    def minus(self, other: Part) -> Dense:
        return self.dense().minus(other)

    def mapped(self, columns: Places, by: Places, factor: Array) -> Thin:
        rows = self.rows.copy()
        rows[:, columns] += rows[:, by] * factor
        return Thin(self.n, rows, _grown(self.size, columns, by, factor))

    def only(self, columns: Places) -> Thin:
        return Thin(self.n, self.rows[:, columns], self.size[columns])

    def dense(self) -> Dense:
        return Dense(self.n, self.cross, self.size)

    @property
    def roots(self) -> Array:
        """The roots of the weights (n,)."""
        return self.rows[:, 0]

    @property
    def sums(self) -> Array:
        """The first row of `cross` (1+q,), without making the matrix."""
        return np.asarray(self.rows[:, 0] @ self.rows)

    def comoment(self) -> Array:
        return self.dense().comoment()


@dataclass(frozen=True, eq=False)
class Sparse:
    """Moments as sparse rows: features `X` (n, p), one of scipy's CSR arrays, and `ends` (n, 1+k).

    Features are taken about zero, where most of them are; `ends` are the first column and the targets about
    their shift. All is times the root of the weights already; `size` as above.
    """

    n: int
    X: Any
    ends: Array
    size: Array

    @classmethod
    def of(cls, n: int, X: Any, ends: Array) -> Sparse:
        own = np.asarray(X.power(2).sum(axis=0)).ravel()
        of_ends = np.einsum("nk,nk->k", ends, ends)
        return cls(n, X, ends, np.concatenate([of_ends[:1], own, of_ends[1:]]))

    @staticmethod
    def pays(n: int, q: int, stored: int) -> bool:
        """Whether `stored` values of n rows are the smaller summary beside the matrix, and sparse ones."""
        few = n <= q or (q > MANY and 2 * stored < q**2)
        return few and stored < SCATTERED * n * q

    @property
    def roots(self) -> Array:
        """The roots of the weights (n,)."""
        return self.ends[:, 0]

    @cached_property
    def cross(self) -> Array:
        return stored_cross(self.X, self.ends)

    def plus(self, other: Part) -> Part:
        if isinstance(other, Sparse):
            from scipy import sparse

            stored, rows = self.X.nnz + other.X.nnz, len(self.ends) + len(other.ends)
            if self.pays(rows, len(self.size), stored):
                X = sparse.vstack([self.X, other.X], format="csr")
                ends = np.concatenate([self.ends, other.ends])
                return Sparse(self.n + other.n, X, ends, self.size + other.size)
        if isinstance(other, Thin):
            return self.thin().plus(other) if len(other.rows) else self
        return self.dense().plus(other)

    def minus(self, other: Part) -> Dense:
        return self.dense().minus(other)

    def mapped(self, columns: Places, by: Places, factor: Array) -> Part:
        p = self.X.shape[1]
        if (columns <= p).any() or (by > 0).any():  # features would leave zero
            return self.thin().mapped(columns, by, factor)
        ends = self.ends.copy()
        ends[:, columns - p] += ends[:, by] * factor
        return Sparse(self.n, self.X, ends, _grown(self.size, columns, by, factor))

    def only(self, columns: Places) -> Part:
        p = self.X.shape[1]
        kind = np.where(columns == 0, 0, np.where(columns <= p, 1, 2))
        if (np.diff(kind) < 0).any() or np.count_nonzero(kind == 0) != 1:  # another order than theirs
            return self.thin().only(columns)
        ends = self.ends[:, np.append(0, columns[kind == 2] - p)]
        return Sparse(self.n, self.X[:, columns[kind == 1] - 1], ends, self.size[columns])

    def thin(self) -> Thin:
        """The same rows, dense."""
        return Thin(self.n, np.hstack([self.ends[:, :1], self.X.toarray(), self.ends[:, 1:]]), self.size)

    def dense(self) -> Dense:
        return Dense(self.n, self.cross, self.size)

    @property
    def sums(self) -> Array:
        """The first row of `cross` (1+q,), without making the matrix."""
        of_ends = self.roots @ self.ends
        return np.concatenate([of_ends[:1], np.asarray(self.X.T @ self.roots), of_ends[1:]])

    def comoment(self) -> Array:
        return self.dense().comoment()


def stored_cross(X: Any, ends: Array, w: Array | None = None) -> Array:
    """`Z' diag(w) Z` (1+q, 1+q) of sparse features X (n, p) between their `ends` (n, 1+k)."""
    p, k = X.shape[1], ends.shape[1]
    places = np.append(0, np.arange(1 + p, k + p))
    C = np.empty((k + p,) * 2)
    across = np.asarray(X.T @ (ends if w is None else ends * w[:, None]))
    C[1 : 1 + p, 1 : 1 + p] = _stored_gram(X, w)
    C[1 : 1 + p, places], C[places, 1 : 1 + p] = across, across.T
    C[np.ix_(places, places)] = gram(ends if w is None else ends * np.sqrt(w)[:, None])
    return C


def pairs(X: Any) -> float:
    """How many pairs of values the rows of CSR X store, each with itself too."""
    each = np.diff(X.indptr).astype(np.float64)
    return float(each @ (each + 1) / 2)


def _stored_gram(X: Any, w: Array | None) -> Array:
    if pairs(X) > PAIRS:
        from leastwise.paired import gram_of_rows  # numba: a third of a second to import

        return gram_of_rows(X, w)
    return np.asarray((X.T @ (X if w is None else X.multiply(w[:, None]).tocsr())).toarray())


def _grown(size: Array, columns: Places, by: Places, factor: Array) -> Array:
    size = size.copy()
    size[columns] += factor**2 * size[by]
    return size


@dataclass(frozen=True, eq=False)
class Exact:
    """Moments without rounding: the matrix (1+q, 1+q) in integers, about zero.

    `long` tells whether numbers came as high and low: decimals and powers end at 2^-106 of their size.
    """

    n: int
    integers: Integers
    long: bool = False

    @cached_property
    def ints(self) -> tuple[NDArray[np.object_], int]:
        """The matrix as Python integers, and the exponent of two that goes with them."""
        return self.integers.ints()

    @cached_property
    def cross(self) -> Array:
        return rounded_all(*self.ints)

    @property
    def size(self) -> Array:
        return np.diagonal(self.cross)

    @property
    def sums(self) -> Array:
        ints, exponent = self.ints
        return rounded_all(ints[0], exponent)

    def plus(self, other: Part) -> Exact:
        other = as_exact(other)
        return Exact(self.n + other.n, self.integers.plus(other.integers), self.long or other.long)

    def minus(self, other: Part) -> Exact:
        other = as_exact(other)
        return Exact(self.n - other.n, self.integers.plus(other.integers, -1), self.long or other.long)

    def mapped(self, columns: Places, by: Places, factor: Array) -> Exact:
        """As `Dense.mapped`, without rounding: float64 factors are integers times a power of two."""
        cross, exponent = self.ints
        times, scale = exactly(np.asarray(factor, np.float64))
        up = max(-scale, 0)
        times = times << (scale + up)
        once = cross << up
        once[:, columns] += cross[:, by] * times
        twice = once << up
        twice[columns, :] += once[by, :] * times[:, None]
        return Exact(self.n, Integers.of(twice, exponent - 2 * up), self.long)

    def only(self, columns: Places) -> Exact:
        return Exact(self.n, self.integers.only(columns), self.long)

    def comoment(self) -> Array:
        """Sums of products about the means (q, q), each the nearest float64."""
        cross, exponent = self.ints
        weight = cross[0, 0]
        about = weight * cross[1:, 1:] - np.multiply.outer(cross[0, 1:], cross[0, 1:])
        extra = 64 + weight.bit_length()  # bits behind the point, for the division
        return rounded_all((about << extra) // weight, exponent - extra)

    def dense(self) -> Dense:
        """The same, rounded."""
        return Dense(self.n, self.cross, self.size)

    def settled(self) -> Exact:
        return Exact(self.n, self.integers.settled(), self.long)


Part = Dense | Thin | Sparse | Exact


def as_exact(part: Part) -> Exact:
    """A part that is known to be exact."""
    if not isinstance(part, Exact):
        raise MomentsError("Exact moments and rounded ones were mixed. Make both alike.")
    return part


# ---- rounded parts from rows ----


def part_of(
    X: NDArray[Any],
    Y: NDArray[Any],
    w: Array | None,
    shift: Array,
    filled: tuple[int, ...],
    rows: Any,
    thin: bool,
) -> Part:
    """The moments of some `rows` (a slice or places) of a slab, block by block."""
    n = len(X) if isinstance(rows, slice) else len(rows)
    q = X.shape[1] + len(filled) + Y.shape[1]
    order: Any = "F" if X.flags.f_contiguous and not X.flags.c_contiguous else "C"
    if n == 0 or thin:
        Z = _fill(np.empty((n, 1 + q)), X, Y, w, shift, filled, rows)
        thin_part = Thin.of(_counted(n, w, rows), Z)
        _finite(thin_part.size)
        return thin_part
    total, b = np.zeros((1 + q, 1 + q)), block_rows(1 + q)
    for start in range(0, n, b):
        here = slice(start, min(start + b, n)) if isinstance(rows, slice) else rows[start : start + b]
        Z = _scratch.matrix(min(b, n - start), 1 + q, order)
        total += gram(_fill(Z, X, Y, w, shift, filled, here))
    _finite(total[0])
    _finite(np.diagonal(total))
    return Dense(_counted(n, w, rows), total, np.diagonal(total).copy())


class _Scratch(threading.local):
    """One buffer a thread, used again for every block: threads that ask for memory wait for each other."""

    buffer = np.empty(0)

    def matrix(self, b: int, q: int, order: Any) -> Array:
        if self.buffer.size < b * q:
            self.buffer = np.empty(b * q)
        return self.buffer[: b * q].reshape((b, q), order=order)


_scratch = _Scratch()


def _fill(
    Z: Array,
    X: NDArray[Any],
    Y: NDArray[Any],
    w: Array | None,
    shift: Array,
    filled: tuple[int, ...],
    rows: Any,
) -> Array:
    """`Z = diag(sqrt(w)) [1, X - s, M, Y - s]` (b, 1+q) of some rows, in float64."""
    p, m = X.shape[1], len(filled)
    Z[:, 0] = 1.0
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite shows in the sums
        _centre(X, rows, shift[:p], Z[:, 1 : 1 + p])
        _centre(Y, rows, shift[p:], Z[:, 1 + p + m :])
    if m:
        columns = np.array(filled) + 1
        missing = np.isnan(Z[:, columns])
        Z[:, 1 + p : 1 + p + m] = missing
        Z[:, columns] = np.where(missing, 0.0, Z[:, columns])
    if w is not None:
        Z *= np.sqrt(w[rows])[:, None]
    return Z


def _centre(X: NDArray[Any], rows: Any, shift: Array, out: Array) -> None:
    """`out = X[rows] - shift`, with one copy where columns lie in one piece."""
    if isinstance(rows, slice) or X.dtype != np.float64 or not out.T.flags.c_contiguous:
        np.subtract(X[rows], shift, out=out, casting="unsafe")
    else:
        np.take(X.T, rows, axis=1, out=out.T, mode="clip")
        out -= shift


def _counted(n: int, w: Array | None, rows: Any) -> int:
    """A row of weight 0 is a row repeated no times."""
    return n if w is None else int(np.count_nonzero(w[rows]))


def _finite(sums: Array) -> None:
    """Sums show what is not finite: no pass over the rows of its own is needed."""
    if not np.isfinite(sums).all():
        raise MissingError(
            "A value is missing, infinite, or too large to be squared. Least squares needs numbers "
            "below 1e154 everywhere. Fill, drop or rescale them."
        )


# ---- exact parts from rows ----


@dataclass(frozen=True)
class Numbers:
    """Features, targets and weights of some rows; `X_low`, `Y_low` what float64 left out of them."""

    X: NDArray[Any]  # (n, p)
    Y: NDArray[Any]  # (n, k)
    w: Array | None = None  # (n,)
    X_low: Array | None = None
    Y_low: Array | None = None
    filled: tuple[int, ...] = ()

    def columns(self, rows: Any) -> list[Array]:
        """`[1, X, M, Y]` (1+q, b) of some rows, as [high] or [high, low]."""
        high = self._stacked(self.X[rows], self.Y[rows])
        if len(self.filled):
            holes, marks = np.array(self.filled) + 1, 1 + self.X.shape[1]
            missing = np.isnan(high[holes])
            high[marks : marks + len(holes)] = missing
            high[holes] = np.where(missing, 0.0, high[holes])
        if self.X_low is None and self.Y_low is None:
            return [high]
        nothing = np.zeros((1, 1))
        X_low = nothing if self.X_low is None else self.X_low[rows]
        Y_low = nothing if self.Y_low is None else self.Y_low[rows]
        low = np.zeros_like(high)
        low[1 : 1 + self.X.shape[1]], low[-self.Y.shape[1] :] = X_low.T, Y_low.T
        return [high, low]

    def _stacked(self, X: NDArray[Any], Y: NDArray[Any]) -> Array:
        p, m = X.shape[1], len(self.filled)
        Z = np.empty((1 + p + m + Y.shape[1], len(X)))
        Z[0], Z[1 : 1 + p], Z[1 + p + m :] = 1.0, X.T, Y.T
        return Z


@dataclass(frozen=True)
class Grids:
    """Grids of the columns (1+q,), and of their products with the weights where there are some."""

    columns: Grid
    weighted: Grid | None = None
    unit: int = 0  # weights are taken in units of 2^unit: their products stay within float64

    @classmethod
    def of(cls, numbers: Numbers, rows: Any, *, every: bool = False, like: Grids | None = None) -> Grids:
        """Grids for rows like these, or for `every` one of them; with the places of others, if `like`."""
        with np.errstate(all="ignore"):
            return cls._of(numbers, rows, every, like)

    @classmethod
    def _of(cls, numbers: Numbers, rows: Any, every: bool, like: Grids | None) -> Grids:
        parts = [np.nan_to_num(part, posinf=0.0, neginf=0.0) for part in numbers.columns(rows)]
        columns = Grid.of(parts, every=every, place=like.columns.place if like else None)
        if numbers.w is None:
            return cls(columns)
        w = numbers.w[rows]
        unit = like.unit if like else int(np.frexp(np.max(w, initial=0.0))[1])
        weighted = _weighted(parts, np.ldexp(w, -unit), columns)
        place = like.weighted.place if like and like.weighted else None
        return cls(columns, Grid.of(weighted, every=every, place=place), unit)


def exact_part(numbers: Numbers, grids: Grids, rows: Any) -> Exact:
    """The moments of some `rows` (a slice or places) without rounding.

    Rows that do not fit the grids (a value far larger, or with bits far below, the others) are summed
    with more digits, and if they still do not, on grids of their own. Raises MissingError where a
    value is not finite, DataError where the values of one column lie too far apart.
    """
    total, odd = _summed(numbers, grids, rows)
    if len(odd):
        _finite(numbers.columns(odd)[0].sum(axis=1))
        deeper, odd = _summed(numbers, Grids.of(numbers, odd, every=True, like=grids), odd)
        total = total.plus(deeper)
    if len(odd):
        apart, odd = _summed(numbers, Grids.of(numbers, odd, every=True), odd)
        total = total.plus(moved(apart, np.add.outer(apart.grid, apart.grid), total.grid))
    if len(odd):
        raise DataError(
            "The values of one column (or the weights) lie too far apart, by a factor of over 1e90, to be "
            "summed exactly. Scale them, or pass precision='fast'."
        )
    n = len(numbers.X) if isinstance(rows, slice) else len(rows)
    long = numbers.X_low is not None or numbers.Y_low is not None
    return Exact(_counted(n, numbers.w, rows), total, long)


def _summed(numbers: Numbers, grids: Grids, rows: Any) -> tuple[Integers, NDArray[np.intp]]:
    """The sums over the rows that fit, and the places of those that do not."""
    _finite(np.where(grids.columns.place > HUGE, np.inf, 0.0))
    places = np.arange(len(numbers.X)) if isinstance(rows, slice) else np.asarray(rows)
    sums, odd = Sums(grids.columns, grids.weighted, grids.unit), [places[:0]]
    b = sums.block
    for start in range(0, len(places), b):
        here = slice(start, start + b) if isinstance(rows, slice) else places[start : start + b]
        odd.append(places[start : start + b][_add(sums, numbers, grids, here)])
    return sums.integers(), np.concatenate(odd)


def _add(sums: Sums, numbers: Numbers, grids: Grids, rows: Any) -> NDArray[np.bool_]:
    parts = numbers.columns(rows)
    with np.errstate(all="ignore"):  # what leaves float64 on the way does not fit
        if numbers.w is None:
            return sums.add(parts)
        w = np.ldexp(numbers.w[rows], -grids.unit)
        far = (w != 0) & ~((w > FAR) & (w < 1 / FAR)) | ((w == 0) & (numbers.w[rows] != 0))
        return sums.add(parts, _weighted(parts, np.where(far, 0.0, w), grids.columns), far)


def _weighted(parts: Sequence[Array], w: Array, columns: Grid) -> list[Array]:
    """The columns, on their grid, times the weights: exactly, as a sum of float64."""
    scale = -columns.place[:, None]
    found: list[Array] = []
    for part in parts:
        found += two_product(np.ldexp(part, scale), np.broadcast_to(w, part.shape))
    return found
