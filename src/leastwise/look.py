"""The first look: what a pass over the rows finds out about columns before any number is made.

Which texts occur and how often, which cells are missing or infinite, and where the first of them
stands. A triple (step, merge, empty) like any other: `Look.at`, `+`, `Look()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.rows.block import Kind, Rows, Slab, numbers_of

MOST_TEXTS = 1_000_000  # texts of one column that are kept count of; beyond, the count is cut off
NOWHERE = 1 << 62
HUGE = 1e150  # beyond, sums of squares leave float64


@dataclass(frozen=True)
class Column:
    """What was seen of one column: counts, first rows (from 0), and texts with their counts."""

    missing: int = 0
    first_missing: int = NOWHERE
    infinite: int = 0
    first_infinite: int = NOWHERE
    huge: int = 0  # finite, but too large to be squared
    first_huge: int = NOWHERE
    texts: Mapping[str, int] = field(default_factory=dict)
    cut_off: bool = False  # there were more texts than are kept

    def __add__(self, other: Column) -> Column:
        texts = dict(self.texts)
        for text, count in other.texts.items():
            if text in texts or len(texts) < MOST_TEXTS:
                texts[text] = texts.get(text, 0) + count
        return Column(
            self.missing + other.missing,
            min(self.first_missing, other.first_missing),
            self.infinite + other.infinite,
            min(self.first_infinite, other.first_infinite),
            self.huge + other.huge,
            min(self.first_huge, other.first_huge),
            texts,
            self.cut_off or other.cut_off or len(texts) < len({*self.texts, *other.texts}),
        )


@dataclass(frozen=True)
class Look:
    """What was seen of some columns in `n` rows."""

    n: int = 0
    columns: Mapping[str, Column] = field(default_factory=dict)

    def __add__(self, other: Look) -> Look:
        names = {*self.columns, *other.columns}
        empty = Column()
        columns = {c: self.columns.get(c, empty) + other.columns.get(c, empty) for c in names}
        return Look(self.n + other.n, columns)

    @classmethod
    def at(cls, slab: Slab, kinds: Mapping[str, Kind]) -> Look:
        """What one slab shows of the columns in `kinds`."""
        seen = {name: _seen_as[kind](slab, name) for name, kind in kinds.items()}
        return cls(slab.n, seen)

    @classmethod
    def of_texts(cls, name: str, texts: pa.Array) -> Look:
        """What one column of texts shows."""
        return cls(len(texts), {name: _of_texts(texts, np.arange(len(texts)))})


def _all_of(slab: Slab) -> Slab:
    return slab


def look(
    rows: Rows, kinds: Mapping[str, Kind], kept: Callable[[Slab], Slab] = _all_of, by: Iterable[str] = ()
) -> Look:
    """One pass over the columns in `kinds`, read as what `kinds` says they are.

    Of each slab those rows are looked at that are `kept`, which is found out `by` these columns of text.
    """
    columns: dict[str, Kind] = {**dict.fromkeys(by, "text"), **kinds}
    return rows.reduce(lambda slab: Look.at(kept(slab), kinds), Look.__add__, Look(), columns=columns)


def _texts(slab: Slab, name: str) -> Column:
    return _of_texts(slab.texts(name), numbers_of(slab))


def _of_texts(texts: pa.Array, numbers: NDArray[np.int64]) -> Column:
    counts = {c["values"]: c["counts"] for c in pc.value_counts(texts.drop_null()).to_pylist()}
    missing, first = _count(arrow.nulls(texts), numbers)
    return Column(missing, first, texts=counts)


def _numbers(slab: Slab, name: str) -> Column:
    values = np.asarray(slab.matrix((name,))[:, 0], np.float64)
    sorts = np.isnan(values), np.isinf(values), np.isfinite(values) & (np.abs(values) > HUGE)
    (missing, m), (infinite, i), (huge, h) = (_count(rows, numbers_of(slab)) for rows in sorts)
    return Column(missing, m, infinite, i, huge, h)


def _dates(slab: Slab, name: str) -> Column:
    return Column(*_count(arrow.nulls(slab.table().column(name)), numbers_of(slab)))


def _count(rows: NDArray[np.bool_], numbers: NDArray[np.int64]) -> tuple[int, int]:
    """How many rows, and the first of them in the source."""
    return int(rows.sum()), int(numbers[np.argmax(rows)]) if rows.any() else NOWHERE


_seen_as = {"text": _texts, "number": _numbers, "boolean": _numbers, "date": _dates}


def first_rows(
    rows: Rows, name: str, kept: Callable[[Slab], Slab] = _all_of, by: Iterable[str] = ()
) -> dict[str, int]:
    """The distinct texts of a column, each with the row (from 0) in which it comes first; see `look`."""

    def step(slab: Slab) -> dict[str, int]:
        some, found = kept(slab), dict[str, int]()
        for row, text in zip(numbers_of(some).tolist(), some.texts(name).to_pylist(), strict=True):
            if text is not None:
                found.setdefault(text, row)
        return found

    none: dict[str, int] = {}
    return rows.reduce(step, lambda a, b: b | a, none, columns=dict.fromkeys((name, *by), "text"))


def like_number(text: str) -> bool:
    """Whether a text is a number but for marks: 1,100 or 1.100,5 or $ 10 or 10 %."""
    try:
        float(text.translate(_MARKS))
    except ValueError:
        return False
    return True


_MARKS = str.maketrans("", "", ",$€£%' \u00a0")


def like_date(text: str) -> bool:
    """Whether a text is a date as ISO 8601 writes it."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def like_proteins(texts: Iterable[str]) -> bool:
    """Whether texts look like amino acid sequences: long, of its letters alone."""
    some = list(islice(texts, 20))
    letters = set("ACDEFGHIKLMNPQRSTVWYXUBZ*")
    return bool(some) and all(len(text) >= 10 and set(text.upper()) <= letters for text in some)
