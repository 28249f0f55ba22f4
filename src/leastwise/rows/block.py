"""Slab: some rows, raw. Block: the same rows as numbers. Rows: a source to read, slab by slab.

A source is anything that has `names`, `kinds` and `slabs()`. It knows nothing of regression; what
is done with its rows is a triple (step, merge, empty) given to `Rows.reduce`, the only loop over
rows in the package.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.errors import DataError, KindError, MissingError, plural
from leastwise.numerics import one_blas_thread, workers
from leastwise.rows.decimals import beyond_integer, low_of, side_by_side

WITHIN = "\x1f"  # in a group's text: what stands behind says which row of the group it is
Kind = Literal["number", "boolean", "text", "date", "other"]
State = TypeVar("State")
Left = dict[tuple[str, str], NDArray[np.bool_]]  # (column, why) -> rows (n,) that cannot be used
Progress = Callable[[int, "int | None"], None]  # rows so far, rows in all where that is known


class Slab(Protocol):
    """Some rows of a source, its columns by name."""

    @property
    def first(self) -> int:
        """Rows of the source that came before this slab."""

    @property
    def n(self) -> int:
        """Rows."""

    def matrix(self, names: tuple[str, ...]) -> NDArray[Any]:
        """The named number and boolean columns (n, p), NaN where a cell is missing."""

    def low(self, names: tuple[str, ...]) -> NDArray[np.float64] | None:
        """What float64 leaves out of `matrix(names)` (n, p); None where it holds every number as it is."""

    def whole_numbers(self, name: str) -> bool:
        """Whether a column is of whole numbers by its type."""

    def texts(self, name: str) -> pa.Array:
        """One column as text (n,), null where a cell is missing."""

    def table(self) -> pa.RecordBatch:
        """All columns of the slab as they came."""


@dataclass(frozen=True)
class Block:
    """Rows as numbers: what the moments add up.

    `X` (n, p) and `Y` (n, k) are real, of any dtype and memory order; a missing cell of a column in
    `filled` is NaN. `w` (n,) weights, or None for all ones. `group` (n,) text, or None.
    `rows` (n,) are the row numbers in the source, from 0.
    """

    X: NDArray[Any]
    Y: NDArray[Any]
    w: NDArray[np.float64] | None
    group: pa.Array | None
    rows: NDArray[np.int64]
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> rows left out of this block
    X_low: NDArray[np.float64] | None = None  # what float64 left out of X and Y, where it was asked for
    Y_low: NDArray[np.float64] | None = None

    @property
    def n(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Tally:
    """Every row accounted for: read = used + dropped, always."""

    read: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)  # reason -> rows
    log_weight: float | None = 0.0  # sum of the logarithms of the weights; None where it is not known

    @property
    def used(self) -> int:
        return self.read - sum(self.dropped.values())

    def __add__(self, other: Tally) -> Tally:
        reasons = dict.fromkeys([*self.dropped, *other.dropped])
        counts = {r: self.dropped.get(r, 0) + other.dropped.get(r, 0) for r in reasons}
        logs = [self.log_weight, other.log_weight]
        known = None if None in logs else sum(log or 0.0 for log in logs)
        return Tally(self.read + other.read, counts, known)


@dataclass(frozen=True)
class ArrowSlab:
    """A slab whose columns are Arrow arrays."""

    batch: pa.RecordBatch
    first: int

    @property
    def n(self) -> int:
        return int(self.batch.num_rows)

    def matrix(self, names: tuple[str, ...]) -> NDArray[Any]:
        # One (p, n) buffer, a column after the other: its transpose is the matrix, and stays a view.
        out = np.empty((len(names), self.n))
        for row, name in zip(out, names, strict=True):
            row[:] = to_numbers(self.batch.column(name), name)
        return out.T

    def low(self, names: tuple[str, ...]) -> NDArray[np.float64] | None:
        return side_by_side([low_of(self.batch.column(name)) for name in names], self.n)

    def whole_numbers(self, name: str) -> bool:
        return bool(pa.types.is_integer(self.batch.column(name).type))

    def texts(self, name: str) -> pa.Array:
        return to_texts(self.batch.column(name), name)

    def table(self) -> pa.RecordBatch:
        return self.batch


@dataclass(frozen=True)
class Kept:
    """Some rows of a slab; `rows` (n,) are their numbers in the source."""

    slab: Slab
    keep: NDArray[np.bool_]

    @property
    def first(self) -> int:
        return self.slab.first

    @property
    def n(self) -> int:
        return int(np.count_nonzero(self.keep))

    @property
    def rows(self) -> NDArray[np.int64]:
        return self.slab.first + np.flatnonzero(self.keep)

    def matrix(self, names: tuple[str, ...]) -> NDArray[Any]:
        return self.slab.matrix(names)[self.keep]

    def low(self, names: tuple[str, ...]) -> NDArray[np.float64] | None:
        found = self.slab.low(names)
        return None if found is None else found[self.keep]

    def whole_numbers(self, name: str) -> bool:
        return self.slab.whole_numbers(name)

    def texts(self, name: str) -> pa.Array:
        return self.slab.texts(name).filter(arrow.numbers(self.keep))

    def table(self) -> pa.RecordBatch:
        return self.slab.table().filter(arrow.numbers(self.keep))


def numbers_of(slab: Slab) -> NDArray[np.int64]:
    """The numbers (n,) of the rows of a slab in its source, from 0."""
    return slab.rows if isinstance(slab, Kept) else np.arange(slab.first, slab.first + slab.n)


@dataclass(frozen=True)
class ArraySlab:
    """A slab of a plain matrix: nothing is copied."""

    values: NDArray[Any]  # (n, p)
    names: tuple[str, ...]
    first: int

    @property
    def n(self) -> int:
        return len(self.values)

    def matrix(self, names: tuple[str, ...]) -> NDArray[Any]:
        if names == self.names:
            return self.values
        places = [self.names.index(name) for name in names]
        start, stop = (places[0], places[-1] + 1) if places else (0, 0)
        if places == list(range(start, stop)):
            return self.values[:, start:stop]
        return self.values[:, places]

    def low(self, names: tuple[str, ...]) -> NDArray[np.float64] | None:
        return beyond_integer(self.matrix(names))

    def whole_numbers(self, name: str) -> bool:
        return self.values.dtype.kind in "iu"

    def texts(self, name: str) -> pa.Array:
        return to_texts(arrow.numbers(self.matrix((name,))[:, 0]), name)

    def table(self) -> pa.RecordBatch:
        columns = [arrow.numbers(column) for column in self.values.T]
        return pa.RecordBatch.from_arrays(columns, names=list(self.names))


def dropped_of(left: Left, n: int) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """All rows to leave out (n,), and how many by reason, each row counted once."""
    out = np.zeros(n, bool)
    counts: dict[str, int] = {}
    for (column, why), rows in left.items():
        new = rows & ~out
        if new.any():
            counts[f"'{column}' {why}"] = int(new.sum())
            out |= rows
    return out, counts


def to_numbers(column: pa.Array, name: str) -> NDArray[Any]:
    """The Arrow column `name` as real numbers (n,), NaN where null; a view where that can be."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type):
        column = pc.cast(column, pa.string())  # Arrow's own way to float64 is off by a last place
        column = pc.cast(column, pa.float64())
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.float64(), safe=False)
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise KindError(
            f"Column '{name}' holds {_in_words(column.type)} where numbers are needed. "
            f"Turn it into numbers, or leave it out with drop=['{name}'] (--drop '{name}')."
        )
    return arrow.values(column)


def _in_words(kind: pa.DataType) -> str:
    known = kind_of(kind)
    return str(kind) if known == "other" else known


def to_texts(column: pa.Array, name: str) -> pa.Array:
    """The Arrow column `name` as text (n,): numbers as they print (20.0 as "20"), null and NaN as null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        found = arrow.values(column) + 0.0  # -0.0 is 0.0
        column = arrow.numbers(found, np.isnan(found))
    try:
        return pc.cast(column, pa.string()) if column.type != pa.string() else column
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise KindError(
            f"Column '{name}' holds {column.type}, which is neither text nor a number. Name another "
            "column, or turn it into text."
        ) from None


def checked_weights(w: NDArray[np.float64], n: int, first: int = 0) -> NDArray[np.float64]:
    """Weights that are weights: (n,), finite, none negative. `first` rows came before them."""
    if w.shape != (n,):
        raise DataError(f"{plural(n, 'row')} came with weights of shape {w.shape}. One each is needed.")
    odd, where = ~np.isfinite(w), f"rows {first + 1:,} to {first + n:,}"
    if odd.any():
        raise MissingError(
            f"{plural(int(odd.sum()), 'weight')} in {where} not finite (first: row "
            f"{first + int(np.argmax(odd)) + 1:,}). Every weight must be a number. Fill or drop them."
        )
    if (w < 0).any():
        raise DataError(
            f"{plural(int((w < 0).sum()), 'weight')} in {where} negative (first: row "
            f"{first + int(np.argmax(w < 0)) + 1:,}, {w[np.argmax(w < 0)]:g}). Weights are 0 or more. "
            "Mend them."
        )
    return w


def kind_of(kind: pa.DataType) -> Kind:
    """What an Arrow type is to a recipe."""
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date"
    return "number" if pa.types.is_null(kind) else "other"


class Rows:
    """A source of rows. Subclasses say what it is called, which columns it has, and read it."""

    source: str = "rows"  # for messages and the report
    names: tuple[str, ...] = ()
    kinds: Mapping[str, Kind] = {}
    stacked: bool = False  # whether the y of a pair came as (n, 1)
    sequence: str | None = None  # the column that holds sequences, where the format says so
    empty: frozenset[str] = frozenset()  # columns in which no value was seen: their kind is a guess
    targets: tuple[str, ...] = ()  # columns that came as the y of a pair (X, y)
    n: int | None = None  # rows, where known before reading
    rereadable: bool = True
    is_text: bool = False  # whether `cells` gives text alone
    threads: int | None = None  # at most so many for the steps; None is one a processor
    native: str = ""  # the library of the tables that the user brought; "" for files and arrays
    notes: tuple[str, ...] = ()  # what was found out while opening, to be told

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        """The rows in order. `columns` names those that are wanted and as what; None wants all."""
        raise NotImplementedError

    def ahead(self, columns: Mapping[str, Kind]) -> Iterator[Slab]:
        """The first slabs, as many as are asked for, without using them up."""
        return self.slabs(columns)

    def cells(self) -> Iterator[Slab]:
        """All columns; of a text file every cell as it was written."""
        return self.slabs(self.kinds)

    def exactly(self) -> Rows:
        """This source with every number to its last digit, where reading as float64 would cut it."""
        return self

    def faults(self, columns: Mapping[str, Any], *, declare: bool = True) -> DataError | None:
        """What keeps `columns` from being read as these kinds, where the source can say it.

        `declare`: whether declaring the column as text is a way out that should be told.
        """
        return None

    def reduce(
        self,
        step: Callable[[Slab], State],
        merge: Callable[[State, State], State],
        empty: State,
        *,
        columns: Mapping[str, Kind] | None = None,
        progress: Progress | None = None,
    ) -> State:
        """`merge(... merge(merge(empty, step(slab 0)), step(slab 1)) ..., step(last slab))`.

        Steps run in a few threads while the next slabs are read; they are merged in the order of
        the slabs, so the result does not depend on how many threads there are. At most one slab a
        thread waits, beside those that are read.
        """
        state = empty
        done = 0
        for slab, result in _mapped(step, self.slabs(columns), self.threads):
            state = merge(state, result)
            done += slab.n
            if progress is not None:
                progress(done, self.n)
        return state


def _mapped(
    step: Callable[[Slab], State], slabs: Iterator[Slab], most: int | None
) -> Iterator[tuple[Slab, State]]:
    """Each slab with its step, in order; the first alone if there is only one."""
    first, second = next(slabs, None), next(slabs, None)
    if first is None:
        return
    if second is None:
        yield first, step(first)
        return
    threads = min(workers(), most or workers())
    waiting: deque[tuple[Slab, Future[State]]] = deque()
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        try:
            for slab in _chain(first, second, slabs):
                waiting.append((slab, pool.submit(step, slab)))
                if len(waiting) >= threads:
                    yield _finished(waiting)
            while waiting:
                yield _finished(waiting)
        finally:  # an error in one step: the steps behind it are not begun
            for _, future in waiting:
                future.cancel()


def _finished(waiting: deque[tuple[Slab, Future[State]]]) -> tuple[Slab, State]:
    slab, future = waiting.popleft()
    return slab, future.result()


def _chain(first: Slab, second: Slab, rest: Iterator[Slab]) -> Iterator[Slab]:
    yield first
    yield second
    yield from rest
