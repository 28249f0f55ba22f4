"""Terms: how one column of a table becomes columns of X (of sequences: encodings.py).

A term names the columns of X that it makes, says what it reads, and fills them for a slab. What it
learned from rows (levels) it carries with it, so that prediction repeats it exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.encodings import Composition, Encoding, Mutations, Sequence, Silent, Words
from leastwise.errors import (
    ColumnError,
    KindError,
    MissingError,
    UsageError,
    listed,
    plural,
)
from leastwise.numerics import Array, times
from leastwise.rows.block import Kind, Left, Slab

MISSING = "(missing)"  # the level of a missing text under missing="mean"
MOST_POWERS = 100


@dataclass(frozen=True)
class Number:
    """A numeric or boolean column as it is; NaN where a cell is missing."""

    column: str
    kind: ClassVar[Kind] = "number"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.column,)

    def fill(self, slab: Slab, out: Array) -> Left:
        out[:] = slab.matrix((self.column,))
        return {}


@dataclass(frozen=True)
class Poly:
    """The powers 1 to `degree` of a numeric column, computed to twice the digits of a float64.

    Rounding a power to float64 moves the exact answer: of NIST's Filip (degree 10) it leaves 7 digits,
    whatever the solver. `low` keeps what was rounded off.
    """

    column: str
    degree: int
    kind: ClassVar[Kind] = "number"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.column, *(f"{self.column}^{power}" for power in range(2, self.degree + 1)))

    def fill(self, slab: Slab, out: Array) -> Left:
        out[:] = self._powers(self._column(slab), None)[0]
        return {}

    def low(self, slab: Slab) -> Array:
        """What is to be added to the columns of `fill` (n, degree)."""
        x, rest = self._column(slab), slab.low((self.column,))
        plain, low = self._powers(x, None)
        if rest is not None:  # the powers of all digits of x, less what `fill` gives already
            high, low = self._powers(x, rest[:, 0])
            with np.errstate(invalid="ignore"):
                low = (high - plain) + low
        return np.nan_to_num(low, posinf=0.0, neginf=0.0)

    def _column(self, slab: Slab) -> Array:
        return slab.matrix((self.column,))[:, 0].astype(np.float64)

    def _powers(self, x: Array, rest: Array | None) -> tuple[Array, Array]:
        base = power = (x, np.zeros_like(x) if rest is None else rest)
        high, low = np.empty((2, len(x), self.degree))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite shows in the sums
            for d in range(self.degree):
                high[:, d], low[:, d] = power
                power = times(power, base)
        return high, low


def poly(column: str, degree: int) -> Poly:
    """The powers 1 to `degree` of a numeric column, as features: `features=("age", lw.poly("dose", 3))`.

    >>> poly("dose", 3).names
    ('dose', 'dose^2', 'dose^3')
    """
    if not isinstance(column, str):
        raise UsageError(f"poly({column!r}, ...) names no column. The first argument is a column's name.")
    if isinstance(degree, bool) or not isinstance(degree, int) or not 1 <= degree <= MOST_POWERS:
        raise UsageError(
            f"The degree of the powers of {column!r} is {degree!r}. It must be a whole number from 1 to "
            f"{MOST_POWERS}. Give one."
        )
    return Poly(column, degree)


@dataclass(frozen=True)
class Date:
    """A date or time stamp as days since 1970-01-01 (UTC); declared, never guessed."""

    column: str
    kind: ClassVar[Kind] = "date"

    @property
    def names(self) -> tuple[str, ...]:
        return (f"{self.column} [days]",)

    def fill(self, slab: Slab, out: Array) -> Left:
        column = slab.table().column(self.column)
        if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
            raise KindError(
                f"Column '{self.column}' holds {column.type}, and a date is needed. Turn it into dates, "
                f"or leave it out with drop=['{self.column}']."
            )
        stamps = pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64())
        out[:, 0] = arrow.values(stamps) / 86_400e6
        return {}


@dataclass(frozen=True)
class Levels:
    """A text column as 0/1 indicators of its levels against the first, which is the reference.

    A level that was not there when they were found is an error, or counts as the reference
    (`unseen="reference"`). `missing` tells whether a missing text is a level of its own.
    """

    column: str
    levels: tuple[str, ...]
    unseen: str = "error"
    missing: bool = False
    kind: ClassVar[Kind] = "text"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.column}={level}" for level in self.levels[1:])

    @property
    def reference(self) -> str:
        return self.levels[0]

    def fill(self, slab: Slab, out: Array) -> Left:
        texts = slab.texts(self.column)
        if self.missing:
            texts = pc.fill_null(texts, arrow.texts([MISSING])[0])
        place = pc.index_in(texts, arrow.texts(self.levels))
        empty = arrow.nulls(texts)
        unseen = arrow.nulls(place) & ~empty
        if unseen.any() and self.unseen == "error":
            raise ColumnError(self._unseen_text(texts, unseen, slab.first))
        codes = np.nan_to_num(arrow.values(place))  # null, that is unseen or missing, as the reference
        out[:] = codes[:, None] == np.arange(1, len(self.levels))
        return {(self.column, "missing"): empty} if empty.any() else {}

    def _unseen_text(self, texts: pa.Array, unseen: NDArray[np.bool_], first: int) -> str:
        new = pc.unique(texts.filter(arrow.numbers(unseen))).to_pylist()
        return (
            f"Column '{self.column}' has {plural(len(new), 'level')} that the model has not seen: "
            f"{listed(new)} (first: row {first + int(np.argmax(unseen)) + 1:,}). It knows "
            f"{listed(self.levels, most=6)}. Map them to a known level, or fit with unseen='reference' "
            "(--unseen reference)."
        )


Term = Number | Poly | Date | Levels | Encoding
_TERMS: dict[str, type[Term]] = {
    t.__name__: t for t in (Number, Poly, Date, Levels, Sequence, Composition, Words, Mutations, Silent)
}


def low_of(term: Term, slab: Slab) -> Array | None:
    """What float64 leaves out of a term's columns (n, width); None where it holds them all."""
    if isinstance(term, Poly):
        return term.low(slab)
    return slab.low((term.column,)) if isinstance(term, Number) else None


def to_dict(term: Term) -> dict[str, Any]:
    """A term as plain JSON values."""
    return {"term": type(term).__name__, **asdict(term)}


def from_dict(said: Mapping[str, Any]) -> Term:
    """The term that `to_dict` wrote."""
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in said.items() if k != "term"
    }
    return _TERMS[said["term"]](**fields)


def missing_error(counts: Mapping[str, tuple[int, int]], what: str, n: int) -> MissingError:
    """Columns with cells that are `what`: {name: (count, first row from 0)}, the fullest first."""
    (name, (count, first)), *rest = sorted(counts.items(), key=lambda item: -item[1][0])
    others = ", ".join(f"'{other}' ({c:,})" for other, (c, _) in rest[:8])
    more = f" So have {others}{' and more' if len(rest) > 8 else ''}." if rest else ""
    do = {
        "missing": "Fill them, or pass missing='drop' (leave those rows out) or missing='mean' "
        "(--missing mean).",
        "infinite": "Mend or remove them: no policy takes an infinite value.",
        "huge": "Beyond 1e150 a value cannot be squared in float64: put the column in larger units.",
    }[what]
    return MissingError(
        f"Column '{name}' has {plural(count, f'{what} value')} in {plural(n, 'row')} "
        f"(first: row {first + 1:,}).{more} Least squares needs a number everywhere. {do}"
    )
