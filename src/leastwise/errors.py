"""Every error and warning that a user can cause.

    LeastwiseError
    ├── UsageError          the call itself is off: unknown option, bad range       (also a ValueError)
    ├── DataError           the rows cannot be used as they are                     (also a ValueError)
    │   ├── ColumnError     a column is unknown, doubled, of the wrong kind         (also a KeyError)
    │   ├── MissingError    a cell is missing or not finite where a number is needed
    │   ├── ParseError      a file does not say what its header promised
    │   └── SequenceError   a protein sequence holds letters that were not declared
    ├── KindError           a type that no number can be made of (complex, dates)   (also a TypeError)
    ├── RankError           columns depend on one another and rank="error" was asked
    ├── MomentsError        two moments that do not describe the same columns
    └── StoreError          a model file that is damaged, foreign or too new

    LeastwiseWarning        one warning a problem, only for what the reader can act on

A message is three short sentences: what came, what is needed, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ColumnError",
    "DataError",
    "KindError",
    "LeastwiseError",
    "LeastwiseWarning",
    "MissingError",
    "MomentsError",
    "ParseError",
    "RankError",
    "SequenceError",
    "StoreError",
    "UsageError",
]


class LeastwiseError(Exception):
    """The root: `except lw.errors.LeastwiseError` catches whatever the data or the call did wrong."""


class UsageError(LeastwiseError, ValueError):
    """The call itself is off: an unknown option, a value outside its range."""


class DataError(LeastwiseError, ValueError):
    """The rows cannot be used as they are."""


class ColumnError(DataError, KeyError):
    """A column is unknown, doubled, or of a kind that its role does not take."""

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class MissingError(DataError):
    """A cell is missing or not finite where a number is needed."""


class ParseError(DataError):
    """A file does not say what its header promised: text among numbers, a short row, an open quote."""


class SequenceError(DataError):
    """A protein sequence holds letters that were not declared."""


class KindError(LeastwiseError, TypeError):
    """A type that no number can be made of: complex, dates, numbers written as text in an array."""


class RankError(LeastwiseError, ValueError):
    """Columns depend on one another and rank="error" was asked."""


class MomentsError(LeastwiseError, ValueError):
    """Two moments that do not describe the same columns, or that hold too little to go on."""


class StoreError(LeastwiseError, OSError):
    """A model file that is damaged, foreign, or newer than this program."""


class LeastwiseWarning(UserWarning):
    """Something that the reader can act on, said once."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to add to "there is no column 'activty'": the nearest names, or the first of them all."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    near = near or [name for name in names if name.lower() == word.lower()]
    if near:
        return f"Did you mean {listed(near, last='or')}?"
    return f"There are {listed(names, most=8)}." if names else "There are none."


def listed(names: Iterable[object], *, most: int = 10, last: str = "and") -> str:
    """The names quoted and joined as a sentence would, the tail of a long list counted."""
    quoted = [f"'{name}'" for name in names]
    if len(quoted) > most:
        return ", ".join(quoted[:most]) + f" and {len(quoted) - most:,} more"
    if len(quoted) < 2:
        return "".join(quoted)
    return ", ".join(quoted[:-1]) + f" {last} {quoted[-1]}"


def plural(count: int, noun: str) -> str:
    """`1 row`, `4,096 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
