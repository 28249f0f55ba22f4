"""Encodings: how a column of protein sequences, or of variants of one, becomes columns of X.

    "properties"     26 physicochemical numbers (sequences.FEATURES)        dense
    "composition"    the shares of the 20 amino acids                       dense
    "kmers:3"        shares of all words of 3 residues (1 to 4)             as stored
    "kmers:5:4096"   the same, hashed into 4,096 columns                    as stored
    "one-hot"        substitutions against a wild type, or, where sequences
                     have one length, the most common letters              as stored
    "none"           no columns: the sequences say which rows are related, and nothing else

Several are joined by +, as "composition+properties". Everything but one-hot is known before a row is read;
its columns are the substitutions that there are, without a look at the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.errors import ColumnError, DataError, SequenceError, UsageError, listed, plural
from leastwise.numerics import Array
from leastwise.rows.block import Kind, Left, Slab
from leastwise.sequences.clean import ALPHABET, clean, pack
from leastwise.sequences.encode import composition_matrix
from leastwise.sequences.families import consensus
from leastwise.sequences.features import FEATURES, feature_matrix
from leastwise.sequences.variants import Variants, against, variants

KNOWN = ("properties", "composition", "kmers:3", "kmers:5:4096", "one-hot", "none")
Ints = NDArray[np.int64]
Read = tuple[Any, Ints]  # columns of the sequences that were kept, dense or CSR, and which these are


@dataclass(frozen=True)
class _Encoded:
    """A column of sequences as columns of X; `read` gives those of a list of texts.

    Cells are sequences, or (`named`) names of variants of `wild_type`, whose first residue they call
    `first`.
    """

    column: str
    unknown: str = "error"
    names: tuple[str, ...] = ()
    wild_type: str = ""
    first: int = 1
    named: bool = False
    kind: ClassVar[Kind] = "text"
    stored: ClassVar[bool] = False  # whether X is given as it is stored, in CSR

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))

    def variants(self, texts: Iterable[str]) -> Variants:
        """What the cells stand for beside the wild type."""
        return _variants(texts, self.wild_type, self.named, self.first, self.unknown)

    def sequences(self, texts: Iterable[str]) -> tuple[tuple[str, ...], Ints]:
        """The sequences (m,) that cells stand for, cleaned, and which cells (m,) these were."""
        came: Any = self.variants(texts) if self.named else clean(texts, unknown=self.unknown)
        return came.sequences, came.kept

    def read(self, texts: list[str]) -> Read:
        raise NotImplementedError

    def fill(self, slab: Slab, out: Array) -> Left:
        """The columns of a slab, dense, and the rows that have none."""
        found, rows, left = self.columns(slab)
        out[:] = 0.0
        out[rows] = found.toarray() if self.stored else found
        return left

    def columns(self, slab: Slab) -> tuple[Any, Ints, Left]:
        """Columns (m, p) of the rows (m,) of a slab that have some, and the other rows by reason."""
        texts = slab.texts(self.column)
        empty = arrow.nulls(texts)
        left: Left = {(self.column, "missing"): empty} if empty.any() else {}
        (present,) = np.nonzero(~empty)
        found, kept = self._read(texts.drop_null().to_pylist(), slab.first + present)
        if len(kept) < len(present):
            lost = np.zeros(slab.n, bool)
            lost[np.delete(present, kept)] = True
            left[self.column, "with unknown letters"] = lost
        return found, present[kept], left

    def _read(self, texts: list[str], rows: Ints) -> Read:
        """The same; an error names the row of the source that it is in."""
        try:
            return self.read(texts)
        except (SequenceError, DataError) as error:
            for row, text in zip(rows, texts, strict=True):
                try:
                    self.read([text])
                except (SequenceError, DataError) as one:
                    told = str(one).replace(" in row 0", "").replace(" (rows counted from 0)", "")
                    raise type(one)(f"Row {row + 1:,}, column '{self.column}': {told}") from None
            raise error from None


@dataclass(frozen=True)
class Sequence(_Encoded):
    """Sequences as their physicochemical features: some of `sequences.FEATURES`."""

    names: tuple[str, ...] = tuple(feature.name for feature in FEATURES)

    def read(self, texts: list[str]) -> Read:
        sequences, kept = self.sequences(texts)
        return feature_matrix(pack(sequences), self.names), kept


@dataclass(frozen=True)
class Composition(_Encoded):
    """Sequences as the shares of the twenty amino acids among their known residues."""

    names: tuple[str, ...] = tuple(f"share_{letter}" for letter in ALPHABET)

    def read(self, texts: list[str]) -> Read:
        sequences, kept = self.sequences(texts)
        return composition_matrix(sequences), kept


@dataclass(frozen=True)
class Words(_Encoded):
    """Sequences as shares of their words of `k` residues: of all 20^k, or hashed into `size` columns."""

    k: int = 3
    size: int = 0
    stored: ClassVar[bool] = True

    def __post_init__(self) -> None:
        from leastwise.sequences.designs import hashed_names, kmer_names

        names = hashed_names(self.k, self.size) if self.size else kmer_names(self.k)
        object.__setattr__(self, "names", tuple(names))

    def read(self, texts: list[str]) -> Read:
        from leastwise.sequences.designs import hashed_kmers, kmers

        sequences, kept = self.sequences(texts)
        packed = pack(sequences)
        return (hashed_kmers(packed, self.k, self.size) if self.size else kmers(packed, self.k)), kept


@dataclass(frozen=True)
class Mutations(_Encoded):
    """Variants of one wild type by letters at positions: one-hot, less the row of the wild type.

    `A23V` is 1 where V stands at 23; `A23`, of the wild type's own letter, is -1 where any other does. That
    spans what the 20 columns of each position span, under any penalty too, and the wild type is a row of
    zeros. (Without `A23` nothing would be learned of a position from one substitution for another.)
    A substitution that was not there when the columns were found is an error, or counts as any at its
    position (`unseen="reference"`).
    """

    unseen: str = "error"
    stored: ClassVar[bool] = True

    def read(self, texts: list[str]) -> Read:
        from scipy.sparse import csr_array

        made = self.variants(texts)
        names, row, column, values = _substituted(made)
        place = self._places
        new = [name for name in names if name not in place]
        if new and self.unseen == "error":
            raise ColumnError(
                f"{plural(len(new), 'substitution')} that the model has not "
                f"seen: {listed(new)}. Nothing is known of them. Leave those "
                "rows out, or fit with unseen='reference' (--unseen reference)."
            )
        at = np.array([place.get(name, -1) for name in names], np.int64)[column]
        known = at >= 0
        shape = (len(made.kept), len(self.names))
        found = csr_array((values[known], (row[known], at[known])), shape=shape)
        found.sum_duplicates()
        return found, made.kept

    def found(self, texts: list[str]) -> Mutations:
        """The same with the columns of all substitutions in these cells, in the order of positions."""
        return replace(self, names=_substituted(self.variants(texts))[0])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: j for j, name in enumerate(self.names)}


@dataclass(frozen=True)
class Silent(_Encoded):
    """Sequences that say which rows are related, and become no column."""

    def read(self, texts: list[str]) -> Read:
        sequences, kept = self.sequences(texts)
        return np.empty((len(sequences), 0)), kept


Encoding = Sequence | Composition | Words | Mutations | Silent


def parts(encoding: str) -> tuple[str, ...]:
    """The encodings that are joined by +, each checked.

    >>> parts("composition+kmers:2")
    ('composition', 'kmers:2')
    """
    if not isinstance(encoding, str):
        raise UsageError(f"encode_as={encoding!r} is no text. It is {listed(KNOWN, last='or')}.")
    found = tuple(part.strip() for part in encoding.split("+"))
    for part in found:
        name, *numbers = part.split(":")
        sizes = [int(number) for number in numbers if number.isdecimal()]
        words = name == "kmers" and len(sizes) == len(numbers) in (1, 2) and all(sizes)
        if not words and part not in ("properties", "composition", "one-hot", "none"):
            raise UsageError(
                f"encode_as={encoding!r} is not known. It is {listed(KNOWN, last='or')}, or some joined "
                "by +."
            )
        if words and (not 1 <= sizes[0] <= (4 if len(sizes) == 1 else 8)):
            raise UsageError(
                f"encode_as={part!r}: words of {sizes[0]} residues are too long. All are counted up to 4; "
                "hashed ('kmers:5:4096') up to 8."
            )
    if len(set(found)) < len(found) or ("none" in found and len(found) > 1):
        raise UsageError(
            f"encode_as={encoding!r} says something twice, or 'none' beside others. Leave one out."
        )
    return found


def letters_of(wild_type: str | None) -> str | None:
    """The letters of a wild type, given as such or as the name of a FASTA file with one record."""
    if wild_type is None:
        return None
    if not isinstance(wild_type, str):
        raise UsageError(f"wild_type={wild_type!r} is no text. Give its letters, or a FASTA file.")
    letters = "".join(wild_type.split()).rstrip("*")
    if letters.replace("-", "").isalpha():
        return letters
    from leastwise.rows.open import open_rows

    rows = open_rows(wild_type)
    if rows.sequence is None:
        raise UsageError(f"wild_type='{wild_type}' is neither letters nor a FASTA file. Give one of them.")
    name = rows.sequence
    found = [text for slab in rows.slabs({name: "text"}) for text in slab.texts(name).to_pylist()]
    if len(found) != 1:
        raise DataError(f"{rows.source} has {plural(len(found), 'record')}. Give one alone.")
    return str(found[0])


def settled(
    column: str,
    unknown: str,
    encoding: str | None,
    unseen: str,
    wild_type: str | None,
    offset: int | None,
    texts: Callable[[], dict[str, int]],
) -> tuple[tuple[Encoding, ...], list[str]]:
    """The encodings of a column, and what is to be told of them; `texts` reads its distinct
    cells, with the row in which each comes first.

    Cells are read where there is a wild type (are they names, and where does numbering begin?) and for
    one-hot. Raises DataError where sequences for one-hot are of several lengths and there is no wild type.
    """
    wanted = parts(encoding or ("properties" if wild_type is None else "one-hot"))
    notes: list[str] = []
    cells = {}
    if wild_type is not None or "one-hot" in wanted:
        cells = texts()
        if not cells:
            raise DataError(
                f"Column '{column}' has no rows with a sequence. There is nothing to learn. Check it."
            )
    if wild_type is not None:
        _checked_wild(wild_type)
    of: dict[str, Any] = {}
    if wild_type is not None:
        named = _are_names(cells, wild_type)
        made = _first_fault(column, cells, lambda some: _variants(some, wild_type, named, offset, unknown))
        of = {"wild_type": made.wild_type, "first": made.first, "named": named}
        notes += (
            [f"'{column}': {made.numbering[0].lower()}{made.numbering[1:].rstrip('.')}"] if named else []
        )
    elif "one-hot" in wanted:
        came = _first_fault(column, cells, lambda some: clean(some, unknown=unknown))
        of = {
            "wild_type": consensus(came.sequences),
            "first": 1 if offset is None else offset,
        }
        notes.append(
            f"'{column}': substitutions against the most common letter at each position; a wild type can "
            "be given (wild_type=, --wild-type). G41A is 1 where it stands, G41 -1 wherever G is replaced"
        )
    found: list[Encoding] = []
    for part in wanted:
        if part == "properties":
            found.append(Sequence(column, unknown, **of))
        elif part == "composition":
            found.append(Composition(column, unknown, **of))
        elif part == "one-hot":
            empty = Mutations(column, unknown, **of, unseen=unseen)
            found.append(empty.found(list(cells)))
        elif part == "none":
            found.append(Silent(column, unknown, **of))
        else:
            _, k, *size = part.split(":")
            found.append(Words(column, unknown, **of, k=int(k), size=int(size[0]) if size else 0))
    return tuple(found), notes


def _checked_wild(wild_type: str) -> None:
    """The wild type is of the twenty letters alone."""
    try:
        clean([wild_type])
    except SequenceError:
        text = wild_type.upper()
        odd = [f"'{letter}' at position {i}" for i, letter in enumerate(text, 1) if letter not in ALPHABET]
        raise SequenceError(
            f"The wild type holds {', '.join(odd[:5])}, none of the twenty letters. Variants differ from "
            "it letter by letter. Write it in full."
        ) from None


def _first_fault(column: str, cells: dict[str, int], read: Callable[[list[str]], Any]) -> Any:
    """What `read` gives of the cells; an error names the first row whose cell is at fault by itself."""
    try:
        return read(sorted(cells))
    except (SequenceError, DataError) as error:
        for text, row in sorted(cells.items(), key=lambda item: item[1]):
            try:
                read([text])
            except (SequenceError, DataError) as one:
                if "numbering" in str(one):  # one name alone says less of it than all
                    continue
                told = str(one).replace(" in row 0", "").replace(" (rows counted from 0)", "")
                raise type(one)(f"Row {row + 1:,}, column '{column}': {told}") from None
        if not isinstance(error, DataError) or "counted from 0" not in str(error):
            raise error from None
    by_row = ["WT"] * (max(cells.values()) + 2)  # the names once more where they stand, from row 1 on
    for text, row in cells.items():
        by_row[row + 1] = text
    try:
        return read(by_row)
    except DataError as error:
        raise type(error)(
            str(error).replace("counted from 0, residues", "counted from 1, residues")
        ) from None


def _are_names(texts: Iterable[str], wild_type: str) -> bool:
    """Whether cells are names of variants: any holds a number, or none is half as long as the wild type."""
    length = len(clean([wild_type]).sequences[0])
    numbered = any(char.isdigit() for text in texts for char in text)
    return numbered or all(2 * len(text.strip()) < length for text in texts)


def _variants(
    texts: Iterable[str], wild_type: str, named: bool, first: int | None, unknown: str
) -> Variants:
    read: Callable[..., Variants] = variants if named else against
    if unknown == "expected":
        raise UsageError(
            "unknown='expected' is for features of whole sequences: a substitution to B is no average of "
            "two. Say unknown='mask' or 'drop'."
        )
    if named:
        stops = "drop" if unknown == "drop" else "error"
        return read(texts, wild_type, offset=first, stops=stops, unknown=unknown)
    return read(texts, wild_type, offset=1 if first is None else first, unknown=unknown)


def _substituted(made: Variants) -> tuple[tuple[str, ...], Ints, Ints, Array]:
    """Names of columns (c,), and the stored values: row, column and value of each (2 m at most,)."""
    m, letter = len(made.rows), made.letters.astype(np.int64)
    kinds = np.concatenate([made.positions * 21, made.positions * 21 + letter])  # 0: the wild type's own
    real = np.append(np.ones(m, bool), letter > 0)
    keys, column = np.unique(kinds[real], return_inverse=True)
    position, to = np.divmod(keys, 21)
    spelled = made.spell(position, to)
    names = tuple(name if t else name[:-1] for name, t in zip(spelled, to.tolist(), strict=True))
    values = np.append(np.full(m, -1.0), np.ones(m))[real]
    return names, np.tile(made.rows, 2)[real], column, values
