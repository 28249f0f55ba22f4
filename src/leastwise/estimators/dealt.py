"""Rows dealt to folds: the moments to train on and those held out, each row read once where it can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError, UsageError
from leastwise.estimators.base import Growing, Sample
from leastwise.folds import DEFAULT, Dealing, FoldPlan
from leastwise.moments import Moments
from leastwise.numerics import content_hash, one_blas_thread, workers

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
            return cls.of_parts(held, tests)
        training = in_threads(lambda pair: sample.part(_as_slice(pair[0])).moments(), pairs)
        return cls(sample.moments(), tuple(map(Fold, training, held, tests)))

    @classmethod
    def of_parts(cls, held: Sequence[Moments], tests: Sequence[Any] = ()) -> Dealt:
        """Folds of which each is held out once and trains all others."""
        dealing = Dealing(tuple(held))
        training = dealing.training if len(held) > 1 else [held[0] - held[0]]
        return cls(dealing.whole, tuple(map(Fold, training, held, tests or [None] * len(held))))


class Pieces(Growing):
    """A model whose penalty is chosen by folds, to which rows can be added.

    Each goes to the fold that its content says, so that folds do not hang on the pieces in which rows come.
    `fit` deals as scikit-learn does, by place.
    """

    cv: Any
    _begins_by_fit = False

    @property
    def partial_fit(self) -> Any:
        """Of X, y and weights: rows added to those before, dealt to `cv` (None: 5) folds by what they hold.

        The answer is that of one `partial_fit` on all of them, in any order; `fit`, which deals rows by
        their places, may choose another penalty, and after it rows cannot be added: AttributeError. Raises
        MomentsError where the rows before are gone (fewer rows than columns are not pickled), UsageError
        where `cv` is no number of folds, DataError where one fold alone has rows.
        """
        if getattr(self, "moments_", None) is not None and self.moments_.plan is None:
            raise AttributeError(
                f"{type(self).__name__} has no partial_fit after fit, which dealt rows to folds by their "
                "places, as scikit-learn does: rows that come later would move all of them. Begin with "
                "partial_fit on a new model; it deals rows by what they hold."
            )
        return super().partial_fit

    def _piece(self, sample: Sample) -> Moments:
        """Moments fold by fold."""
        plan = FoldPlan(self._folds_by_content())
        if getattr(self, "moments_", None) is not None and self.moments_.plan != plan:
            raise UsageError(
                f"cv={self.cv!r} comes after rows that were dealt to {self.moments_.plan.k} folds. Set it "
                "back, or begin with a new model."
            )
        labels = content_hash([sample.X, sample.Y], plan.seed) % np.uint64(plan.k)
        places = [np.flatnonzero(labels == f) for f in range(plan.k)]
        some = [f for f in range(plan.k) if len(places[f])]
        found = in_threads(lambda f: sample.part(places[f]).moments(), some)
        first = found[0]
        nothing = Moments.empty(first.names, first.targets).about(first.shift)
        parts = dict.fromkeys(range(plan.k), nothing.whole)
        parts |= {f: one.about(first.shift).whole for f, one in zip(some, found, strict=True)}
        return replace(first, parts=tuple(parts.values()), plan=plan)

    def _folds_by_content(self) -> int:
        if self.cv is not None and not isinstance(self.cv, Integral):
            raise UsageError(
                f"partial_fit deals rows to folds by what they hold, and cv, a {type(self.cv).__name__}, "
                "deals them another way. Give a number, or fit on all rows."
            )
        return int(self.cv or DEFAULT)

    def _dealt_pieces(self, moments: Moments) -> Dealt:
        """The folds that have rows; two are needed."""
        held = [moments.fold(f) for f in range(len(moments.parts)) if moments.parts[f].n]
        if len(held) < 2:
            raise DataError(
                f"Of {len(moments.parts)} folds one alone got rows ({moments.n:,}), and two are needed to "
                "choose a penalty. Give more rows at first."
            )
        return Dealt.of_parts(held)


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


def in_threads(of: Callable[[Any], Answer], tasks: Sequence[Any]) -> list[Answer]:
    """`of` each task, some at once, with one BLAS thread each; answers in the order of the tasks."""
    with one_blas_thread(), ThreadPoolExecutor(max(1, min(workers(), len(tasks)))) as pool:
        return list(pool.map(of, tasks))
