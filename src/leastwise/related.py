"""The sequences of a source and what was measured of them, looked up before the pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.encodings import Encoding
from leastwise.errors import SequenceError
from leastwise.numerics import Array
from leastwise.recipe import Recipe
from leastwise.rows import Rows, Slab
from leastwise.sequences import Repeats, clean, repeats
from leastwise.sequences.regimes import Dealt, Texts, quarters

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Measured:
    """The distinct cells of a column of sequences; `of` (n,): of each row, `y` (n, k) its values."""

    cells: Texts
    of: Ints
    y: Array

    def repeats(self, target: int = 0) -> Repeats:
        """What sequences measured more than once say of the noise."""
        some = [self.cells.sequences[i] for i in self.of]
        return repeats(some, self.y[:, target], unknown="mask")


@dataclass(frozen=True, eq=False)
class Kindred:
    """The measured sequences of a fit, and how they were dealt to its folds."""

    measured: Measured
    dealt: Dealt


def measured(rows: Rows, recipe: Recipe) -> Measured:
    """The sequences of the rows that can be used, with their targets, in their order. One pass."""
    name = recipe.sequence or ""
    simple = recipe.missing == "error" and recipe.weight is None and recipe.unknown != "drop"
    kinds = {name: "text", **dict.fromkeys(recipe.target, "number")} if simple else recipe.reads_all

    def step(slab: Slab) -> list[tuple[Any, Array]]:
        texts = slab.texts(name)
        if not simple:
            block = recipe.block(slab, stored=True)
            return [(texts.take(arrow.numbers(block.rows - slab.first)), np.asarray(block.Y, np.float64))]
        there = ~arrow.nulls(texts)
        return [(texts.drop_null(), np.asarray(slab.matrix(recipe.target), np.float64)[there])]

    none: list[tuple[Any, Array]] = []
    parts = rows.reduce(step, lambda a, b: a + b, none, columns=kinds)  # type: ignore[arg-type]
    came = [text for texts, _ in parts for text in texts.to_pylist()]
    y = np.concatenate([np.empty((0, len(recipe.target))), *(values for _, values in parts)])
    distinct = sorted(set(came))
    place = {text: i for i, text in enumerate(distinct)}
    of = np.array([place[text] for text in came], np.int64)
    return Measured(_cells(distinct, of, y[:, 0], rows, recipe), of, y)


def _cells(distinct: list[str], of: Ints, y: Array, rows: Rows, recipe: Recipe) -> Texts:
    """The distinct cells, and what the rows say of them."""
    made, n = None, len(distinct)
    term = next((term for term in recipe.terms if isinstance(term, Encoding)), None)
    try:
        if term is not None and term.wild_type and recipe.unknown != "expected":
            made = term.variants(distinct)
            sequences = made.sequences
        else:
            sequences = clean(distinct, unknown="error" if recipe.unknown == "error" else "mask").sequences
    except SequenceError:  # told with its row of the source, where it can be found
        rows.reduce(lambda slab: len(recipe.columns(slab)[1]), max, 0, columns=recipe.reads)
        raise
    known = np.nan_to_num(y)
    counts = np.zeros((n, 4), np.int64)
    if len(y):
        np.add.at(counts, (of, quarters(known)), 1)
    mean = np.bincount(of, known, minlength=n) / np.maximum(np.bincount(of, minlength=n), 1)
    return Texts(tuple(distinct), sequences, counts, mean, made)
