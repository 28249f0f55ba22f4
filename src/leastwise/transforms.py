"""What a target is turned into before it is fitted, and how predictions are turned back.

    none     z = y
    log      z = log(max(y, floor))                                    y = exp(z)
    ranks    z = share of the training rows below y, a tie by half     y = the value at that share

The floor is the least positive value of the training rows (`log`), a quantile of the positive ones
(`log:5%`), or given (`log:0.01`). All are learned from training rows alone, of which a row of weight 2
counts as two. Back from a logarithm or ranks is near the median of y, not its mean, and never beyond the
training values for ranks. (Means of logarithms are medians where errors are symmetric: Duan, Smearing
estimate, J. Am. Stat. Assoc. 78 (1983) 605.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leastwise.errors import DataError, UsageError
from leastwise.numerics import Array

CHOSEN = ("cv", "cv:spearman")  # by held-out folds: the least squared error of y, or the best order
CANDIDATES = ("none", "log", "log:5%", "log:25%", "ranks")
LARGEST = 700.0  # logarithm of 1e304: beyond, a prediction would be infinite
MOST = 1_001  # values that ranks are read off
LEAST = 0.5  # share of the rows that must be above 0 for a floor to be learned


@dataclass(frozen=True)
class Transform:
    """One that was learned: `floor` of a logarithm, or `values` (m,) and their `places` among ranks."""

    name: str = "none"
    floor: float = 0.0
    values: tuple[float, ...] = ()
    places: tuple[float, ...] = ()

    def of(self, y: Array) -> Array:
        """z of any values y."""
        if self.name == "none":
            return y
        if self.values:
            return np.interp(y, self.values, self.places)
        return np.log(np.maximum(y, self.floor))

    def back(self, z: Array) -> Array:
        """y of any values z."""
        if self.name == "none":
            return z
        if self.values:
            return np.interp(z, self.places, self.values)
        return np.exp(np.minimum(z, LARGEST))

    def told(self, target: str) -> str:
        """The formula, with what was learned."""
        if self.name == "none":
            return target
        if self.values:
            return f"rank of {target} among the rows fitted, 0 to 1"
        return f"log(max({target}, {self.floor:.4g}))"

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Transform:
        """What `dataclasses.asdict` wrote."""
        return cls(said["name"], said["floor"], tuple(said["values"]), tuple(said["places"]))


def checked(name: Any) -> str:
    """The name of a transform, or of a way to choose one. Raises UsageError for any other."""
    known = isinstance(name, str) and name in ("none", "log", "ranks", *CHOSEN)
    if not known and not (isinstance(name, str) and name.startswith("log:") and _floor(name[4:])):
        raise UsageError(
            f"transform={name!r} is not known. It is 'log', 'log:0.01' (a floor), 'log:5%' (a floor at "
            "that quantile of the positive values), 'ranks', 'cv' or 'cv:spearman' (chosen by held-out "
            "folds), or 'none'."
        )
    return str(name)


def candidates(name: str) -> tuple[str, ...]:
    """What a name stands for: itself, or all that are chosen from."""
    return CANDIDATES if name in CHOSEN else (name,)


def learned(name: str, y: Array, w: Array) -> Transform:
    """The transform of this name, from training values y (n,) and weights w (n,).

    Raises DataError where a logarithm has too little to be taken of.
    """
    if name == "none":
        return Transform()
    some = w > 0
    values, counts = _distinct(y[some], w[some])
    if name == "ranks":
        return _ranks(values, counts)
    asked = _floor(name[4:]) if name.startswith("log:") else (0.0, True)
    size, quantile = asked or (0.0, True)
    positive = values > 0
    share = float(counts[positive].sum() / counts.sum()) if len(counts) else 0.0
    if quantile and share < LEAST:
        raise DataError(
            f"{share:.0%} of the target's values are above 0, and a logarithm needs half of them at least. "
            "Give a floor, as transform='log:0.01', or take transform='ranks'."
        )
    floor = _quantile(values[positive], counts[positive], size) if quantile else size
    if not (values > floor).any():
        raise DataError(
            f"No value of the target is above {floor:g}, the floor of its logarithm, so that all would be "
            f"alike. {'Take a lower quantile, or ranks' if quantile else 'Give a lower one'}."
        )
    return Transform(name, floor)


def _floor(text: str) -> tuple[float, bool] | None:
    """What stands behind log: a size, and whether it is a share of the positive values; else None."""
    try:
        size = float(text.removesuffix("%"))
    except ValueError:
        return None
    if text.endswith("%"):
        return (size / 100, True) if 0 <= size < 100 else None
    return (size, False) if 0 < size < np.inf else None


def _distinct(y: Array, w: Array) -> tuple[Array, Array]:
    """Distinct values, ascending, and the weight of each."""
    values, which = np.unique(y, return_inverse=True)
    return values, np.bincount(which, w, len(values)).astype(np.float64)


def _quantile(values: Array, counts: Array, share: float) -> float:
    """The least value that so large a share of the weight does not exceed."""
    reached = np.cumsum(counts) / counts.sum()
    at = int(np.searchsorted(reached, share * (1 - 1e-12)))
    return float(values[min(at, len(values) - 1)])


def _ranks(values: Array, counts: Array) -> Transform:
    """The places of the values, or of MOST of them that lie evenly."""
    places = (np.cumsum(counts) - counts / 2) / counts.sum()
    if len(values) > MOST:
        even = np.linspace(places[0], places[-1], MOST)
        some = np.unique(np.searchsorted(places, even).clip(0, len(places) - 1))
        values, places = values[some], places[some]
    return Transform("ranks", 0.0, tuple(values.tolist()), tuple(places.tolist()))
