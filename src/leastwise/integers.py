"""Integers of any length, as matrices: what exact sums of products are kept in.

A float64 is an integer times a power of two, so the sum of squares of a million of them is one too:
it only needs more bits than a machine word has. digits.py makes such sums; here they are kept,
added, compared and rounded.

Addition of integers has no order. Sums made of any chunks, in any order, by any number of threads,
are therefore equal bit for bit, and what was added can be taken away again without a trace.

Source: Neal, Fast exact summation using small and large superaccumulators, arXiv:1505.05571.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leastwise.numerics import Array

BITS = 23  # of a digit, its sign included
HALF = 1 << (BITS - 1)
LAZY = 1 << 36  # so many matrices of carried limbs add up in int64
Places = NDArray[np.int64]


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
        return float(value << exponent) if exponent >= 0 else value / (1 << -exponent)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def rounded_ratio(above: int, below: int, exponent: int) -> float:
    """`above / below 2^exponent` as the nearest float64."""
    extra = below.bit_length() + 64  # bits behind the point, for the division
    return rounded((above << extra) // below, exponent - extra)


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
