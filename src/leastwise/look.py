"""The first look: what a pass over the rows finds out about columns before any number is made.

Which texts occur and how often, which cells are missing or infinite, and where the first of them
stands. A triple (step, merge, empty) like any other: `Look.at`, `+`, `Look()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc

from leastwise import arrow
from leastwise.rows.block import Kind, Rows, Slab

MOST_LEVELS = 100_000  # texts of one column that are kept count of; beyond, the count is cut off
NOWHERE = 1 << 62


@dataclass(frozen=True)
class Column:
    """What was seen of one column: counts, first rows (from 0), and texts with their counts."""

    missing: int = 0
    first_missing: int = NOWHERE
    infinite: int = 0
    first_infinite: int = NOWHERE
    texts: Mapping[str, int] = field(default_factory=dict)
    cut_off: bool = False  # there were more texts than are kept

    def __add__(self, other: Column) -> Column:
        texts = dict(self.texts)
        for text, count in other.texts.items():
            if text in texts or len(texts) < MOST_LEVELS:
                texts[text] = texts.get(text, 0) + count
        return Column(
            self.missing + other.missing,
            min(self.first_missing, other.first_missing),
            self.infinite + other.infinite,
            min(self.first_infinite, other.first_infinite),
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
        seen = {
            name: _texts(slab, name) if kind == "text" else _numbers(slab, name)
            for name, kind in kinds.items()
            if kind != "date"
        }
        return cls(slab.n, seen)


def look(rows: Rows, kinds: Mapping[str, Kind]) -> Look:
    """One pass over the columns in `kinds`, read as what `kinds` says they are."""
    return rows.reduce(lambda slab: Look.at(slab, kinds), Look.__add__, Look(), columns=kinds)


def _texts(slab: Slab, name: str) -> Column:
    texts = slab.texts(name)
    counts = {c["values"]: c["counts"] for c in pc.value_counts(texts.drop_null()).to_pylist()}
    empty = arrow.nulls(texts)
    first = slab.first + int(np.argmax(empty)) if empty.any() else NOWHERE
    return Column(int(empty.sum()), first, texts=counts)


def _numbers(slab: Slab, name: str) -> Column:
    values = np.asarray(slab.matrix((name,))[:, 0], np.float64)
    nan, inf = np.isnan(values), np.isinf(values)
    firsts = [slab.first + int(np.argmax(m)) if m.any() else NOWHERE for m in (nan, inf)]
    return Column(int(nan.sum()), firsts[0], int(inf.sum()), firsts[1])
