"""Columns about their means and in unit size, and what rounding did to them on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.moments import Moments
from leastwise.numerics import EPS, Array, gram
from leastwise.parts import Part, Sparse, Thin
from leastwise.solve.scattered import Columns, Scattered, squares


@dataclass(frozen=True)
class Centred:
    """Features and targets about their means (or about zero), and the scale of each feature."""

    m: Moments
    part: Any
    mean: Array  # (p + k,) in the units of the data
    weight: float
    intercept: bool
    S: Array | None  # (p + k, p + k) sums of squares and products; None where rows are at hand
    features: Columns  # (n, p) the rows themselves where they are fewer than columns, else empty
    aims: Array  # (n, k) targets of those rows
    square: Array  # (p + k,) sums of squares about the means
    scale: Array  # (p,) roots of the features' sums of squares; 1 for a constant
    constant: NDArray[np.bool_]  # (p,)
    size: Array  # (p + k,) what each sum of squares was rounded from
    lost: Array  # (p + k,) size / square: 1 where nothing cancelled
    far: Array  # (p,) |mean| / deviation

    @property
    def cross(self) -> Array:
        """S where it was made; of the rows where they are at hand."""
        return gram(self.rows) if self.S is None else self.S

    @property
    def rows(self) -> Array:
        """Features and targets (n, p + k) where they are at hand, as one array."""
        return np.hstack([self.features[:, np.arange(len(self.scale))], self.aims])

    @property
    def unit(self) -> float:
        """The relative rounding of an entry of S, or of the rows where they are at hand."""
        return unit_of(0 if self.S is None else self.m.n)

    @property
    def far_mean(self) -> Array:
        """The means (2, p + k), each as a float64 and what it leaves out."""
        away = self.m.sums[1:] / self.weight  # from the shift, of which it loses nothing
        return np.stack([self.mean, (self.m.shift - self.mean) + away])

    def intercept_error(self, error: Array, columns: NDArray[np.intp], raw: Array) -> tuple[Array, Array]:
        """The `error` (k,) of the intercept with that of rounded means, and what it is measured by:
        the intercept, or the deviation of the target where that is larger.
        """
        p = len(self.scale)
        shares = self.mean[columns, None] * raw / self.scale[columns, None]  # (c, k)
        target, deviation = self.mean[p:], np.sqrt(self.square[p:] / self.weight)
        rounded = 2 * EPS * (np.abs(target) + np.abs(shares).sum(axis=0))
        return error + rounded, np.maximum(np.abs(target - shares.sum(axis=0)), deviation)

    @property
    def rank_unit(self) -> float:
        """The same at its worst: on columns of few values the roundings add up in one direction."""
        return rank_unit_of(self.m.n)

    @classmethod
    def of(cls, m: Moments, intercept: bool) -> Centred:
        made = m.whole.size[1:]
        m = m if intercept else m.about(np.zeros_like(m.shift))
        part, weight, p = m.whole, m.weight, len(m.names)
        thin = isinstance(part, (Thin, Sparse))
        sums = m.sums[1:]
        centre = sums / weight if intercept else np.zeros_like(sums)
        features, aims, S = _about(part, p, sums, centre)
        square = np.append(squares(features), squares(aims)) if S is None else np.diagonal(S)
        mean = m.shift + sums / weight
        # a move to zero is three roundings, not a chain of them
        once = 1.0 if intercept or thin else unit_of(0) / unit_of(m.n)
        size = made + (part.size[1:] - made) * once
        spread = (8 * EPS) ** 2 if thin else rank_unit_of(m.n)
        floor = spread * size + weight * (8 * EPS * mean) ** 2 * intercept
        none = square <= floor
        square = np.where(none, 0.0, square)
        scale = np.where(none, 1.0, np.sqrt(square))
        lost = np.where(none, 1.0, np.maximum(size / scale**2, once))
        far = np.where(none, 0.0, np.abs(mean) * np.sqrt(weight) / scale)
        return cls(
            m,
            part,
            mean,
            weight,
            intercept,
            S,
            features,
            aims,
            square,
            scale[:p],
            none[:p],
            size,
            lost,
            far[:p],
        )  # fmt: skip


def _about(part: Part, p: int, sums: Array, centre: Array) -> tuple[Columns, Array, Array | None]:
    """Features (n, p) and targets (n, k) about `centre`, where rows are at hand; else their products."""
    if isinstance(part, Sparse):
        aims = part.ends[:, 1:] - np.outer(part.roots, centre[p:])
        return Scattered.about(part.X, part.roots, centre[:p]), aims, None
    if isinstance(part, Thin):
        rows = part.rows[:, 1:] - np.outer(part.roots, centre)
        return rows[:, :p], rows[:, p:], None
    nothing = np.empty((0, len(sums)))
    return nothing[:, :p], nothing[:, p:], part.cross[1:, 1:] - np.outer(sums, centre)


def unit_of(n: int) -> float:
    """The relative rounding of an entry of S, a sum over `n` rows (0: of no sum).

    Values that repeat round alike in every row, so that it grows with the chain of additions inside
    BLAS, not with its root (docs/diary.md).
    """
    return (EPS / 2) * (8 + min(n, 768) / 8)


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


def relative(error: Any, of: Any) -> Array:
    """`error / of`; infinite where nothing can be said."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.nan_to_num(np.asarray(error) / np.asarray(of), nan=np.inf, posinf=np.inf)


def digits_left(error: Any, of: Any = 1.0) -> Array:
    """Decimal digits of numbers of size `of` that an `error` leaves, 0 to 15."""
    with np.errstate(divide="ignore"):
        return np.clip(-np.log10(relative(error, of)), 0.0, 15.0)
