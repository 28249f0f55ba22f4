"""Exact sums of products: digits of 23 bits, integers of any length.

A float64 is an integer times a power of two, so the sum of squares of a million of them is one too:
it only needs more bits than a machine word has. Each column is cut into signed digits of 23 bits.
A product of two digits has at most 44 bits and 510 of them add up to less than 2^53, so that every
partial sum of a float64 matrix product of digits is exact, whatever the order in which BLAS adds. The
products are gathered in int64 and carried into `Integers`: matrices of integers of any length.
(22 bits and 2,040 rows would do as well; but three digits of 23 bits hold all of a normal variable
except what lies below 2^-16 of its largest value, and rows that do not fit cost a second product.)

Addition of integers has no order. Sums made of any chunks, in any order, by any number of threads,
are therefore equal bit for bit, and what was added can be taken away again without a trace.

Sources: Ozaki, Ogita, Oishi, Rump, Error-free transformations of matrix multiplication by using fast
routines, Numer. Algorithms 59 (2012) 95; Neal, Fast exact summation, arXiv:1505.05571.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leastwise.numerics import Array, two_sum

BITS = 23  # of a digit, its sign included
HALF = 1 << (BITS - 1)
BLOCK = 510  # rows whose products of digits stay below 2^53 in sum: 2 * 22 + 9 bits, and 2 rows to spare
FLUSH = 1 << 10  # int64 holds the sums of so many blocks of one pair of digits
MOST_DIGITS = 20  # 460 bits: a column of which needs more is refused
LAZY = 1 << 36  # so many matrices of carried limbs add up in int64
Places = NDArray[np.int64]
Parts = Sequence[Array]  # a number as an unevaluated sum of float64: [x], or [high, low]


# ---- integers of any length ----


@dataclass(frozen=True, eq=False)
class Integers:
    """A symmetric matrix (c, c) of numbers `sum_l limbs[l] 2^(23 (low + l) + grid_i + grid_j)`.

    `settled()` numbers have every limb in [-2^22, 2^22) and no grid, which makes the limbs of a number
    unique. Before, limbs may be sums of `terms` such limbs, and `grid` (c,) says where the binary
    point of each column is kept, so that adding is one addition.
    """

    limbs: NDArray[np.int64]  # (L, c, c)
    low: int
    grid: Places
    terms: int = 1

    @classmethod
    def zero(cls, c: int) -> Integers:
        return cls(np.zeros((1, c, c), np.int64), 0, np.zeros(c, np.int64))

    @classmethod
    def of(cls, values: NDArray[np.object_], exponent: int) -> Integers:
        """Python integers (c, c) times `2^exponent`."""
        low, rest = exponent // BITS, values << (exponent % BITS)
        limbs: list[NDArray[np.int64]] = []
        while rest.any() or not limbs:
            limb = ((rest + HALF) & (2 * HALF - 1)) - HALF
            limbs.append(limb.astype(np.int64))
            rest = (rest - limb) >> BITS
        return cls(np.array(limbs), low, np.zeros(len(values), np.int64)).trimmed()

    def plus(self, other: Integers, sign: int = 1) -> Integers:
        if not np.array_equal(self.grid, other.grid):
            return self.settled().plus(other.settled(), sign)
        low = min(self.low, other.low)
        top = max(self.low + len(self.limbs), other.low + len(other.limbs))
        limbs = np.zeros((top - low, *self.limbs.shape[1:]), np.int64)
        limbs[self.low - low :][: len(self.limbs)] += self.limbs
        limbs[other.low - low :][: len(other.limbs)] += sign * other.limbs
        total = Integers(limbs, low, self.grid, self.terms + other.terms)
        return total if total.terms < LAZY else total.carried()

    def carried(self) -> Integers:
        """The same numbers with every limb in its range."""
        if self.terms == 1:
            return self
        limbs, carry = list(self.limbs), np.zeros_like(self.limbs[0])
        for level, limb in enumerate(limbs):
            total = limb + carry
            carry = (total + HALF) >> BITS
            limbs[level] = total - (carry << BITS)
        while carry.any():
            total, carry = carry, (carry + HALF) >> BITS
            limbs.append(total - (carry << BITS))
        return Integers(np.array(limbs), self.low, self.grid)

    def trimmed(self) -> Integers:
        """The same without empty limbs at either end."""
        used = np.asarray(self.limbs.any(axis=(1, 2)))
        if not used.any():
            return replace(self, limbs=self.limbs[:1], low=0)
        first, last = int(np.argmax(used)), len(used) - int(np.argmax(used[::-1]))
        return replace(self, limbs=self.limbs[first:last], low=self.low + first)

    def settled(self) -> Integers:
        """The same on the grid of zeros: one form for one value, whatever way it was made."""
        if not self.grid.any():
            return self.carried().trimmed()
        return moved(self, np.add.outer(self.grid, self.grid), np.zeros_like(self.grid)).carried().trimmed()

    def only(self, columns: NDArray[np.intp]) -> Integers:
        limbs = self.limbs[:, columns[:, None], columns]
        return Integers(limbs, self.low, self.grid[columns], self.terms)

    def same(self, other: Integers) -> bool:
        """Whether all numbers are equal, to the last bit."""
        a, b = self.settled(), other.settled()
        return a.low == b.low and np.array_equal(a.limbs, b.limbs)

    def ints(self) -> tuple[NDArray[np.object_], int]:
        """Python integers (c, c), and the exponent of two that all are to be multiplied with."""
        plain = self.settled()
        upper = np.triu_indices(plain.limbs.shape[1])
        found = plain.limbs[-1][upper].astype(object)
        for limb in plain.limbs[-2::-1]:
            found = (found << BITS) + limb[upper]
        full = np.empty(plain.limbs.shape[1:], object)
        full[upper] = found
        full.T[upper] = found
        return full, BITS * plain.low


def moved(numbers: Integers, places: Places, grid: Places) -> Integers:
    """Limbs whose exponents are `23 (low + l) + places` (c, c), on another `grid` (c,)."""
    shift = places - np.add.outer(grid, grid)
    bits, levels = shift % BITS, shift // BITS
    lowest, highest = int(levels.min()), int(levels.max())
    shifted = numbers.carried().limbs << bits
    size = len(shifted)
    limbs = np.zeros((size + highest - lowest, *shifted.shape[1:]), np.int64)
    for level in np.unique(levels):
        there = levels == level
        limbs[level - lowest :][:size][:, there] += shifted[:, there]
    return Integers(limbs, numbers.low + lowest, grid, 2 << BITS).carried()


def rounded(value: int, exponent: int) -> float:
    """`value 2^exponent` as the nearest float64; infinite beyond its range."""
    try:
        if exponent >= 0:
            return float(value << exponent)
        return value / (1 << -exponent)
    except OverflowError:
        if exponent < 0 and abs(value).bit_length() + exponent < 1000:  # only the two parts were too long
            drop = max(abs(value).bit_length() - 200, 0)
            return rounded(value >> drop, exponent + drop)
        return float("inf") if value > 0 else float("-inf")


def rounded_all(values: NDArray[np.object_], exponent: int) -> Array:
    """The same for an array of integers."""
    return np.array([rounded(v, exponent) for v in values.ravel()], np.float64).reshape(values.shape)


def exactly(values: Array) -> tuple[NDArray[np.object_], int]:
    """Float64 numbers as Python integers times one power of two."""
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
    used = whole != 0
    lowest = int(exponent[used].min(initial=0) if used.any() else 0)
    return np.where(used, whole << np.maximum(exponent - lowest, 0).astype(object), 0), lowest - 53


# ---- digits ----


@dataclass(frozen=True)
class Grid:
    """Where the digits of each column lie: the first is a multiple of `2^place`, and there are `count`.

    A grid is right for any rows: those that it does not fit are summed apart. It is fast for rows like
    those that it was found from.
    """

    place: Places  # (c,)
    count: Places  # (c,)

    @classmethod
    def of(cls, parts: Parts, *, every: bool = False, place: Places | None = None) -> Grid:
        """A grid for rows (c, b) like these; one that fits each of them if `every`.

        With `place` only the number of digits is found.
        """
        c, b = parts[0].shape
        few = 0 if every else int(b * 0.1 / c)  # so many rows may be left out for a shorter grid
        if place is None:
            size = np.sort(np.abs(parts[0]), axis=1) if b else np.zeros((c, 1))
            most, usual = (np.frexp(size[:, -1 - n])[1].astype(np.int64) for n in (0, few))
            # rows to come may be larger by a bit; one that is far larger than the others is not followed
            place = np.minimum(most + (not every), usual + 2) - (BITS - 1)
        rest = [np.ldexp(part, -place[:, None]) for part in parts]
        count, more = np.ones(c, np.int64), np.ones(c, bool)
        for s in range(1, MOST_DIGITS):
            cut(rest, rest[0].copy())
            more &= np.count_nonzero(rest[0], axis=1) > few
            count[more] = s + 1
            if not more.any():
                break
        return cls(place, count)


MAGIC = 1.5 * 2.0**52  # adding it rounds to integers


def cut(rest: list[Array], out: Array) -> None:
    """Put the integers nearest to some numbers into `out` (c, b), and leave the rest, times 2^23."""
    np.add(rest[0], MAGIC, out=out)
    out -= MAGIC
    rest[0] -= out
    if len(rest) > 1:  # what stands behind may carry: by a half, where the first has just run out
        for i in range(len(rest) - 2, -1, -1):
            rest[i], rest[i + 1] = two_sum(rest[i], rest[i + 1])
        carry = (rest[0] + MAGIC) - MAGIC
        out += carry
        rest[0] = rest[0] - carry
    for part in rest:
        part *= 1 << BITS


class _Side:
    """The digits of one factor, a slice of all columns after the other, the longest columns first."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.order = np.argsort(-grid.count, kind="stable")
        self.widths = [int((grid.count > s).sum()) for s in range(int(grid.count.max(initial=1)))]
        self.starts = np.concatenate([[0], np.cumsum(self.widths)])
        place = grid.place[self.order]
        self.scale = np.ldexp(1.0, np.clip(-place, -1000, 1000))[:, None]
        self.far = np.ldexp(1.0, -place - np.clip(-place, -1000, 1000))[:, None]
        self.plain = bool((self.order == np.arange(len(place))).all())
        self.buffer = np.empty((0, 0))

    def digits(self, parts: Parts) -> tuple[Array, NDArray[np.bool_]]:
        """Digits (w, b), and the rows (b,) that the grid does not fit."""
        b = parts[0].shape[1]
        if self.buffer.shape[1] != b:
            self.buffer = np.empty((self.starts[-1], b))
        rest = [(part if self.plain else part[self.order]) * self.scale for part in parts]
        if (self.far != 1).any():
            rest = [part * self.far for part in rest]
        odd = self._vanished(parts, rest) if (self.grid.place > 0).any() else np.zeros(b, bool)
        for s, width in enumerate(self.widths):
            done = rest[0][width:]
            if done.size:
                odd |= done.any(axis=0)
            rest = [part[:width] for part in rest]
            cut(rest, self.buffer[self.starts[s] : self.starts[s + 1]])
        odd |= rest[0].any(axis=0)
        first = self.buffer[: self.widths[0]]
        if not (first.min(initial=0) >= -HALF and first.max(initial=0) <= HALF):
            odd |= ~(np.abs(first) <= HALF).all(axis=0)
        return self.buffer, odd

    def _vanished(self, parts: Parts, rest: list[Array]) -> NDArray[np.bool_]:
        """Rows (b,) with a number that is too small to be scaled beside the others of its column."""
        gone = [(part[self.order] != 0) & (scaled == 0) for part, scaled in zip(parts, rest, strict=True)]
        return np.asarray(np.any(gone, axis=(0, 1)))


class Sums:
    """`sum_i x_i x_i'` of columns (c,), exactly, block after block; or `sum_i w_i x_i x_i'`.

    With weights the right factor is `w_i x_i`, on the grid of the left one and then one of its own.
    """

    def __init__(self, left: Grid, right: Grid | None = None) -> None:
        self.left, self.right = _Side(left), None if right is None else _Side(right)
        other = self.right or self.left
        self.total = np.zeros((self.left.starts[-1], other.starts[-1]), np.int64)
        self.whole = np.empty_like(self.total)
        self.blocks, self.most = 0, FLUSH // min(len(self.left.widths), len(other.widths)) - 1
        self.found: Integers | None = None

    def add(self, left: Parts, right: Parts | None = None) -> NDArray[np.bool_]:
        """Add rows (c, b); gives which of them (b,) did not fit and were left out."""
        digits, odd = self.left.digits(left)
        others = digits
        if self.right is not None and right is not None:
            others, also = self.right.digits(right)
            odd = odd | also
        if odd.any():
            digits[:, odd] = 0.0
            others[:, odd] = 0.0
        for start in range(0, len(odd), BLOCK):
            product = digits[:, start : start + BLOCK] @ others[:, start : start + BLOCK].T
            np.copyto(self.whole, product, casting="unsafe")
            self.total += self.whole
            self.blocks += 1
            if self.blocks >= self.most:
                self._flush()
        return odd

    def integers(self) -> Integers:
        """All that was added, on the grid of the left columns."""
        self._flush()
        found, self.found = self.found, None
        return found or Integers.zero(len(self.left.order))

    def _flush(self) -> None:
        left, right = self.left, self.right or self.left
        c = len(left.order)
        levels = np.zeros((len(left.widths) + len(right.widths) - 1, c, c), np.int64)
        for s, rows in enumerate(left.widths):
            for t, columns in enumerate(right.widths):
                block = self.total[left.starts[s] :, right.starts[t] :][:rows, :columns]
                levels[-1 - s - t][:rows, :columns] += block
        levels = levels[:, np.argsort(left.order)[:, None], np.argsort(right.order)]
        numbers = Integers(levels, 1 - len(levels), left.grid.place, 1 << 40).carried()
        if self.right is not None:
            places = np.add.outer(left.grid.place, left.grid.place + right.grid.place)
            numbers = moved(numbers, places, left.grid.place)
        self.found = numbers if self.found is None else self.found.plus(numbers)
        self.total[:], self.blocks = 0, 0
