"""Columns about their means and in unit size, and what rounding did to them on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.moments import Moments
from leastwise.numerics import EPS, Array
from leastwise.parts import Thin


@dataclass(frozen=True)
class Centred:
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
    size: Array  # (p + k,) what each sum of squares was rounded from
    lost: Array  # (p + k,) size / square: 1 where nothing cancelled
    far: Array  # (p,) |mean| / deviation

    @property
    def cross(self) -> Array:
        """S where it was made; of the rows where they are at hand."""
        return self.rows.T @ self.rows if self.S is None else self.S

    @property
    def unit(self) -> float:
        """The relative rounding of an entry of S, about the root of the longest chain of additions."""
        return (EPS / 2) * (8.0 if len(self.rows) else 8 + 2 * np.sqrt(min(self.m.n, 4096)))

    @property
    def rank_unit(self) -> float:
        """The same at its worst: on columns of few values the roundings add up in one direction."""
        return rank_unit_of(self.m.n)

    @classmethod
    def of(cls, m: Moments, intercept: bool) -> Centred:
        m = m if intercept else m.about(np.zeros_like(m.shift))
        part, weight, p = m.whole, m.weight, len(m.names)
        thin = isinstance(part, Thin)
        sums = m.sums[1:]
        centre = sums / weight if intercept else np.zeros_like(sums)
        if isinstance(part, Thin):
            rows = part.rows[:, 1:] - np.outer(part.rows[:, 0], centre)
            S, square = None, (rows**2).sum(axis=0)
        else:
            rows, S = np.empty((0, len(sums))), part.cross[1:, 1:] - np.outer(sums, centre)
            square = np.diagonal(S)
        mean, size = m.shift + sums / weight, part.size[1:]
        spread = (8 * EPS) ** 2 if thin else rank_unit_of(m.n)
        floor = spread * size + weight * (8 * EPS * mean) ** 2 * intercept
        none = square <= floor
        square = np.where(none, 0.0, square)
        scale = np.where(none, 1.0, np.sqrt(square))
        lost = np.where(none, 1.0, np.maximum(size / scale**2, 1.0))
        far = np.where(none, 0.0, np.abs(mean) * np.sqrt(weight) / scale)
        return cls(
            m, part, mean, weight, intercept, S, rows, square, scale[:p], none[:p], size, lost, far[:p]
        )


def rank_unit_of(n: int) -> float:
    """What rounding makes of an entry of S at its worst, for `n` rows (docs/diary.md)."""
    return EPS * (16 + min(n, 1024) / 2)


@dataclass(frozen=True)
class Found:
    """An answer in scaled units for some columns: what `_solution` turns into the units of the data."""

    raw: Array  # (c, k) scaled coefficients, 0 where not kept
    kept: NDArray[np.bool_]  # (c,)
    rank: int
    rss: Array  # (k,)
    condition: float
    digits: float
    method: str
    rss_digits: Array  # (k,)
    factor: Array  # (r, r) lower triangle of the kept columns' correlations
    combination: Array  # (r, c - r) the dependent columns as combinations of the kept ones, scaled
    inverse: Array | None = None  # (r, r) lower triangular, of the factor; None where it is not unique
    se_digits: float = 15.0


def digits_left(error: Any, of: Any) -> Array:
    """Decimal digits of numbers of size `of` that an `error` leaves, 0 to 15."""
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = -np.log10(np.asarray(error) / np.asarray(of))
    return np.clip(np.nan_to_num(digits, nan=0.0, posinf=15.0, neginf=0.0), 0.0, 15.0)
