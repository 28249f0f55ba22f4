"""Identical sequences measured more than once: what their spread says about any model of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError, UsageError, plural
from leastwise.sequences.clean import SHOWN, clean

__all__ = ["Repeats", "labels", "repeats"]


@dataclass(frozen=True, eq=False)
class Repeats:
    """What identical sequences with several measurements say about the measurements.

    Arrays have an entry for each of the g sequences measured more than once, in order of appearance;
    spreads are in the units of y.
    """

    rows: int
    distinct: int  # sequences
    sequences: tuple[str, ...]  # (g,)
    first: NDArray[np.int64]  # (g,) the first row of each, from 0
    counts: NDArray[np.int64]  # (g,) measurements
    mean: NDArray[np.float64]  # (g,)
    spread: NDArray[np.float64]  # (g,) standard deviation of its measurements
    within: float  # variance of measurements of one sequence, pooled; nan where none is repeated
    total: float  # variance of measurements of any sequence
    threshold: float  # of `spread`, above which labels are called conflicting

    @property
    def ceiling(self) -> float:
        """1 - within / total: the most R2 that any model of the sequence alone can expect.

        Of single measurements. nan without repeats or where y does not vary; it may fall below 0.
        """
        return 1 - self.within / self.total if self.total > 0 else np.nan

    @property
    def conflicting(self) -> NDArray[np.int64]:
        """Which of the g have a spread above the threshold, the widest first."""
        order = np.argsort(-self.spread, kind="stable")
        return order[self.spread[order] > self.threshold]

    def report(self) -> str:
        """Counts, spread, the ceiling and the widest conflicts, one line each."""
        head = f"{plural(self.rows, 'row')}, {plural(self.distinct, 'distinct sequence')}"
        if not len(self.counts):
            return f"{head}: none was measured twice, so nothing is known about the noise."
        lines = [
            f"{head}; {len(self.counts):,} measured more than once, in {plural(self.counts.sum(), 'row')}.",
            f"spread of one sequence's measurements: {np.sqrt(self.within):.4g} (standard deviation, "
            f"pooled); of all: {np.sqrt(max(self.total, 0.0)):.4g}",
            f"ceiling of R2 for single measurements: {self.ceiling:.3f}",
            f"labels in conflict (spread above {self.threshold:.4g}): "
            f"{plural(len(self.conflicting), 'sequence')}",
        ]
        for g in self.conflicting[:SHOWN]:
            found = f"{self.counts[g]:,} measurements, mean {self.mean[g]:.4g}, spread {self.spread[g]:.4g}"
            lines.append(f"  row {self.first[g] + 1:,}: {found}")
        return "\n".join(lines)


def repeats(
    seqs: Iterable[str], y: Sequence[float] | Any, *, threshold: float | None = None, unknown: str = "error"
) -> Repeats:
    """Identical sequences with several measurements: their spread, and the R2 that it leaves.

        within = sum_s sum_i (y_si - mean_s)^2 / (n - S)
        total  = within + (sum_i (y_i - mean)^2 - (n - 1) within) / (n - sum_s m_s^2 / n)

    over S distinct sequences with m_s of the n measurements y (n,): both are unbiased (analysis of
    variance of one way: Searle, Casella & McCulloch, Variance Components, 1992).
    Sequences are compared after `clean`, whose `unknown` this is; under "drop" the rows are those
    that it keeps. Labels conflict where the spread of a sequence is above `threshold`, by default
    the standard deviation of all measurements, as if they were of different sequences. O(residues).

    Raises `SequenceError` as `clean` does, `UsageError` for y of another length or a threshold
    below 0, `DataError` for a missing or infinite y.

    >>> found = repeats(["MVLS", "MVLS", "ACDE", "WYWY"], [50.0, 51.0, 40.0, 62.0])
    >>> found.counts.tolist(), f"{found.ceiling:.3f}"
    ([2], '0.995')
    """
    cleaned = clean(seqs, unknown=unknown)
    values = labels(y, len(cleaned.kept) + len(cleaned.dropped))[cleaned.kept]
    if values.ndim != 1:
        raise UsageError(f"y of shape {values.shape} came. Repeats are counted of one target at a time.")
    if threshold is not None and not threshold >= 0:
        raise UsageError(f"threshold={threshold} came. It is a spread in the units of y. Pass 0 or more.")
    names = list(dict.fromkeys(cleaned.sequences))
    place = {name: i for i, name in enumerate(names)}
    group = np.array([place[name] for name in cleaned.sequences], dtype=np.int64)  # (n,)
    n, S = len(values), len(names)
    m = np.bincount(group, minlength=S)  # (S,)
    centre = values.mean() if n else 0.0
    mean = np.bincount(group, values - centre, minlength=S) / np.maximum(m, 1)
    square = np.bincount(group, (values - centre - mean[group]) ** 2, minlength=S)  # (S,)
    about = float(((values - centre) ** 2).sum())
    variance = about / (n - 1) if n > 1 else np.nan
    within = float(square.sum() / (n - S)) if n > S else np.nan
    total = within + (about - (n - 1) * within) / (n - float(m @ m) / n) if n > S > 1 else variance
    several = np.flatnonzero(m > 1)
    _, first = np.unique(group, return_index=True)
    return Repeats(
        rows=n, distinct=S, sequences=tuple(names[g] for g in several),
        first=cleaned.kept[first[several]], counts=m[several], mean=mean[several] + centre,
        spread=np.sqrt(square[several] / (m[several] - 1)), within=within, total=float(total),
        threshold=float(np.sqrt(variance) if threshold is None else threshold),
    )  # fmt: skip


def labels(y: Any, n: int) -> NDArray[np.float64]:
    """Measurements of n sequences as numbers, (n,) or (n, k); refuses what is not finite."""
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError("y is not made of numbers. Give one for each sequence.") from None
    if values.ndim not in (1, 2) or len(values) != n:
        raise UsageError(f"y of shape {values.shape} came for {n:,} sequences. Give one row for each.")
    bad, *_ = np.nonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"y has {plural(len(bad), 'value')} that are missing or infinite in {n:,} rows (first: row "
            f"{bad[0] + 1:,}). Every sequence needs a number. Leave those rows out."
        )
    return values
