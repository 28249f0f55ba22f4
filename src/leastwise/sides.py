"""Tables that say themselves which rows are trained on, held out, chosen by, or only to be predicted.

A column as `set` of FLIP and biotrainer, or one of folds: train (or -1), val, test, pred, 0, 1, ... Beside
`set` a column `validation` may mark the val among train. Spaces and capitals make no difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leastwise import arrow
from leastwise.errors import DataError
from leastwise.rows.block import WITHIN, Kept, Slab, numbers_of

TRAINED = ("-1", "-1.0", "train", "training")  # never held out
JUDGED = ("val", "valid", "validation", "dev")  # only trained on, and by these a penalty is chosen
ASKED = ("pred", "predict", "prediction")  # only to be predicted: left out
MARKS = ("true", "1", "1.0", "yes", "y", "t", *JUDGED)  # in a column beside it, that a row is of JUDGED
NO_MARKS = ("false", "0", "0.0", "no", "n", "f", "", "nan", "none", *TRAINED)


@dataclass(frozen=True)
class Sides:
    """Which columns say the sides: `group`, and `marked` or none; `sequence`: what makes rows equal."""

    group: str
    marked: str | None = None
    sequence: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read for it."""
        return (self.group,) if self.marked is None else (self.group, self.marked)

    def labels(self, slab: Slab) -> pa.Array:
        """The side (n,) of each row, in small letters; null where nothing is said."""
        side = _plain(slab.texts(self.group))
        side = pc.if_else(pc.equal(side, ""), None, side)
        if self.marked is None:
            return side
        said = _plain(slab.texts(self.marked))
        chosen = pc.fill_null(pc.is_in(said, value_set=pa.array(MARKS)), False)
        known = pc.or_(chosen, pc.is_in(pc.fill_null(said, ""), value_set=pa.array(NO_MARKS)))
        if not (fine := arrow.values(known)).all():
            at = int(np.argmin(fine))
            raise DataError(
                f"Row {numbers_of(slab)[at] + 1:,} has {said[at].as_py()!r} in '{self.marked}', which "
                f"beside '{self.group}' marks the rows by which a penalty is chosen, by true, false or "
                f"nothing. Mend it, or name '{self.marked}' among features= or drop=."
            )
        train = pc.is_in(side, value_set=pa.array(TRAINED))
        return pc.if_else(pc.and_(train, chosen), JUDGED[0], side)

    def kept(self, slab: Slab) -> Slab:
        """The rows but for those that are only to be predicted."""
        out = arrow.values(pc.is_in(self.labels(slab), value_set=pa.array(ASKED)))
        return Kept(slab, ~out) if out.any() else slab

    def groups(self, slab: Slab) -> pa.Array:
        """The side (n,); behind those trained on their sequence, so that equal ones come into one part."""
        side = self.labels(slab)
        if self.sequence is None:
            return side
        within = pc.binary_join_element_wise(side, pc.utf8_upper(_plain(slab.texts(self.sequence))), WITHIN)
        return pc.if_else(pc.is_in(side, value_set=pa.array(TRAINED)), within, side)


def _plain(texts: pa.Array) -> pa.Array:
    return pc.utf8_lower(pc.utf8_trim_whitespace(texts))
