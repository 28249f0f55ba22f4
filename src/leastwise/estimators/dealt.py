"""Rows dealt to folds: the moments to train on and those held out, each row read once where it can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from leastwise.estimators.base import Sample
from leastwise.moments import Moments
from leastwise.numerics import one_blas_thread, workers

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class Fold:
    """Moments to train on, and those of the rows `test` that are held out."""

    training: Moments
    held_out: Moments
    test: Any  # a slice, or places


@dataclass(frozen=True, eq=False)
class Dealt:
    """All folds of some rows, and the moments of all rows."""

    whole: Moments
    folds: tuple[Fold, ...]

    @classmethod
    def of(cls, sample: Sample, splits: Iterable[tuple[Any, Any]]) -> Dealt:
        """Folds as (train, test) places, from a splitter of scikit-learn's or a list.

        Where each row is held out once and trained on else, the moments of each fold are made once and
        training moments are sums of them; otherwise each side is read on its own.
        """
        pairs = [(_places(train), _places(test)) for train, test in splits]
        tests = [_as_slice(test) for _, test in pairs]
        held = in_threads(lambda test: sample.part(test).moments(), tests)
        if _parted(pairs, len(sample)):
            held = in_threads(lambda one: one.about(held[0].shift), held)  # once, not in each sum
            training, whole = _others(held)
        else:
            training = in_threads(lambda pair: sample.part(_as_slice(pair[0])).moments(), pairs)
            whole = sample.moments()
        return cls(whole, tuple(map(Fold, training, held, tests)))


def _places(rows: Any) -> NDArray[np.intp]:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def _as_slice(rows: NDArray[np.intp]) -> Any:
    """Rows that follow one another as a slice, so that they are seen where they lie."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _parted(pairs: Sequence[Any], n: int) -> bool:
    """Whether each row is held out once, and trains all other folds once."""
    if sum(len(test) for _, test in pairs) != n:
        return False
    seen = np.zeros(n, bool)
    for train, test in pairs:
        mine = np.ones(n, bool)
        mine[test] = False
        seen |= ~mine
        if len(train) + len(test) != n or not _same_places(np.flatnonzero(mine), train):
            return False
    return bool(seen.all())


def _same_places(ordered: NDArray[np.intp], places: NDArray[np.intp]) -> bool:
    return np.array_equal(ordered, places) or np.array_equal(ordered, np.sort(places))


def _others(held: Sequence[Moments]) -> tuple[list[Moments], Moments]:
    """For each fold the sum of the others, in 3 K additions, and the sum of all."""
    before = list(accumulate(held))  # before[i]: folds 0 to i
    after = list(accumulate(reversed(held), lambda late, one: one + late))[::-1]  # after[i]: i to the last
    middle = [before[i - 1] + after[i + 1] for i in range(1, len(held) - 1)]
    ends = [after[1], *middle, before[-2]] if len(held) > 1 else [held[0] - held[0]]
    return ends, before[-1]


def in_threads(of: Callable[[Any], Answer], tasks: Sequence[Any]) -> list[Answer]:
    """`of` each task, some at once, with one BLAS thread each; answers in the order of the tasks."""
    with one_blas_thread(), ThreadPoolExecutor(max(1, min(workers(), len(tasks)))) as pool:
        return list(pool.map(of, tasks))
