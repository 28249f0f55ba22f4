"""Digits: float64 columns cut into integers of 23 bits, whose products add up without rounding.

A product of two such digits has at most 44 bits and 510 of them add up to less than 2^53, so that every
partial sum of a float64 matrix product of digits is exact, whatever the order in which BLAS adds. Longer
blocks are tried first, for most digits are smaller: by Cauchy and Schwarz no partial sum of a product
exceeds the largest diagonal element, and where that stays below 2^53 nothing was rounded. The products
are gathered in int64 and carried into `Integers`.

(22 bits and 2,040 rows would do as well; but three digits of 23 bits hold all of a normal variable
except what lies below 2^-16 of its largest value, and rows that do not fit cost a second product.)

Source: Ozaki, Ogita, Oishi, Rump, Error-free transformations of matrix multiplication by using fast
routines, Numer. Algorithms 59 (2012) 95.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leastwise.integers import BITS, HALF, Integers, Places, moved
from leastwise.numerics import Array, two_sum

BLOCK = 510  # rows whose products of digits stay below 2^53 in sum: 2 * 22 + 9 bits, and 2 rows to spare
SURE = 2.0**53  # below, a float64 sum of integers is what it should be
FLUSH = 1 << 10  # int64 holds the sums of so many blocks of one pair of digits
MOST_DIGITS = 20  # 460 bits: a column of which needs more is refused
Parts = Sequence[Array]  # a number as an unevaluated sum of float64: [x], or [high, low]


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
        few = 0 if every or b < 100 else -(-b // (10 * c))  # may be left out for a shorter grid
        if place is None:
            size = np.sort(np.abs(parts[0]), axis=1) if b else np.zeros((c, 1))
            most, usual = (np.frexp(size[:, -1 - n])[1].astype(np.int64) for n in (0, few))
            # rows to come may be larger by a bit; one that is far larger than the others is not followed
            place = np.minimum(most + (not every), usual + 2) - (BITS - 1)
        with np.errstate(all="ignore"):  # a row that leaves float64 does not fit
            return cls(place, _counts([np.ldexp(part, -place[:, None]) for part in parts], few))


def _counts(rest: list[Array], few: int) -> Places:
    """How many digits (c,) all but a `few` rows need."""
    c = len(rest[0])
    count, more = np.ones(c, np.int64), np.ones(c, bool)
    for s in range(1, MOST_DIGITS):
        cut(rest, rest[0].copy())
        more &= np.count_nonzero(rest[0], axis=1) > few
        count[more] = s + 1
        if not more.any():
            break
    return count


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
        self.place = grid.place
        self.order = np.argsort(-grid.count, kind="stable")
        self.widths = [int((grid.count > s).sum()) for s in range(int(grid.count.max(initial=1)))]
        self.starts = np.concatenate([[0], np.cumsum(self.widths)])
        place = grid.place[self.order]
        self.scale = np.ldexp(1.0, np.clip(-place, -1000, 1000))[:, None]
        self.far = np.ldexp(1.0, -place - np.clip(-place, -1000, 1000))[:, None]
        self.buffer = np.empty((0, 0))

    def digits(self, parts: Parts) -> tuple[Array, NDArray[np.bool_]]:
        """Digits (w, b), and the rows (b,) that the grid does not fit."""
        b = parts[0].shape[1]
        if self.buffer.shape[1] != b:
            self.buffer = np.empty((self.starts[-1], b))
        rest = [part[self.order] for part in parts]
        for part in rest:
            part *= self.scale
            if (self.far != 1).any():
                part *= self.far
        odd = self._vanished(parts, rest) if (self.place > 0).any() else np.zeros(b, bool)
        for s, width in enumerate(self.widths):
            done = rest[0][width:]
            if done.size:
                odd |= done.any(axis=0)
            rest = [part[:width] for part in rest]
            cut(rest, self.buffer[self.starts[s] : self.starts[s + 1]])
        for part in rest:
            odd |= part.any(axis=0)
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

    def __init__(self, left: Grid, right: Grid | None = None, unit: int = 0) -> None:
        self.unit = unit  # the weights are in units of 2^unit
        self.left, self.right = _Side(left), None if right is None else _Side(right)
        other = self.right or self.left
        self.total = np.zeros((self.left.starts[-1], other.starts[-1]), np.int64)
        self.whole, self.product = np.empty_like(self.total), np.empty(self.total.shape)
        self.room = self.most = FLUSH // max(len(self.left.widths), len(other.widths)) - 1
        self.found: Integers | None = None

    @property
    def block(self) -> int:
        """Rows to be added at once: what a core's own cache holds."""
        return BLOCK * max(2, min(8, 64 // len(self.left.order)))

    def add(
        self, left: Parts, right: Parts | None = None, out: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """Add rows (c, b) but those to leave `out`; gives which (b,) were, or did not fit."""
        with np.errstate(all="ignore"):  # a row that leaves float64 on the way does not fit
            digits, odd = self.left.digits(left)
            others = digits
            if self.right is not None and right is not None:
                others, also = self.right.digits(right)
                odd = odd | also
            if out is not None:
                odd = odd | out
        if odd.any():
            digits[:, odd] = 0.0
            others[:, odd] = 0.0
        for start in range(0, len(odd), 2 * BLOCK):
            if others is not digits or not self._gather(digits, others, start, 2 * BLOCK):
                self._gather(digits, others, start, BLOCK)
                self._gather(digits, others, start + BLOCK, BLOCK)
        return odd

    def _gather(self, digits: Array, others: Array, start: int, rows: int) -> bool:
        """Add the products of some rows, unless they are too many to be sure of every sum."""
        here = slice(start, start + rows)
        np.matmul(digits[:, here], others[:, here].T, out=self.product)
        if rows > BLOCK and not (np.diagonal(self.product) < SURE).all():
            return False
        np.copyto(self.whole, self.product, casting="unsafe")
        self.total += self.whole
        self.room -= 1
        if self.room == 0:
            self._flush()
        return True

    def integers(self) -> Integers:
        """All that was added, on the grid of the left columns."""
        self._flush()
        found, self.found = self.found, None
        return found or Integers.zero(len(self.left.order))

    def _flush(self) -> None:
        """Products of digits of one weight together, carried, and added to what was found before."""
        left, right = self.left, self.right or self.left
        c = len(left.order)
        levels = np.zeros((len(left.widths) + len(right.widths) - 1, c, c), np.int64)
        for s, rows in enumerate(left.widths):
            for t, columns in enumerate(right.widths):
                block = self.total[left.starts[s] :, right.starts[t] :][:rows, :columns]
                levels[-1 - s - t][:rows, :columns] += block
        levels = levels[:, np.argsort(left.order)[:, None], np.argsort(right.order)]
        numbers = Integers(levels, 1 - len(levels), left.place, 1 << 40).carried()
        if self.right is not None:
            places = np.add.outer(left.place, left.place + right.place) + self.unit
            numbers = moved(numbers, places, left.place)
        self.found = numbers if self.found is None else self.found.plus(numbers)
        self.total[:], self.room = 0, self.most
