"""Protein sequences made of the twenty letters, with a count of everything that was changed.

    what came                      what is done                                counted as
    lower case                     upper case                                  "upper-cased"
    white space, line ends         taken out                                   "white space removed"
    `*` at the end                 taken out (a stop codon is no residue)      "stop removed"
    gaps, - and .                  gaps="unknown": as any unknown character
                                   gaps="error": SequenceError
                                   gaps="remove": taken out                    "gap removed"
    B Z X U O J, all else          unknown="error": SequenceError
                                   unknown="mask": becomes X                   "masked"
                                   unknown="drop": the sequence is left out    "left out"
                                   unknown="expected": B, Z and J stay         "read as D or N", ...
                                                       all else becomes X      "masked"
    an expression tag at an end    trim="tags": cut, with what is outside      "trimmed with ... tag"

Nothing is guessed: U is not taken for C, nor B for D. A masked residue stays a residue (it counts
in the length), and what reads the sequence later says what it does with it. B, Z and J that stay
are taken for the mean of the two amino acids that they may be.

What is odd and not wrong is noted, not changed: tags, runs of X, very short and very long proteins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import SequenceError, UsageError, plural
from leastwise.sequences.scales import ALPHABET, EITHER, TAGS, body, tags

__all__ = ["ALPHABET", "Change", "Cleaned", "Note", "Packed", "clean", "pack"]

POLICIES = ("error", "drop", "mask", "expected")
GAPS = ("unknown", "error", "remove")
SHOWN = 10  # places named in a message

RUN, SHORT, LONG = 5, 20, 5_000  # noted: so many X in a row, fewer residues, more residues
_RUN = re.compile(f"X{{{RUN},}}")

_CODES = np.zeros(256, dtype=np.uint8)  # byte -> 1..20 in the order of ALPHABET, 0 for all else
_CODES[np.frombuffer(ALPHABET.encode(), np.uint8)] = np.arange(1, 21)
_PACKED = _CODES.copy()  # the same, and 21 to 23 for the codes of two amino acids
_PACKED[np.frombuffer("".join(EITHER).encode(), np.uint8)] = np.arange(21, 24)
_GAP = np.zeros(256, dtype=bool)
_GAP[[ord("-"), ord(".")]] = True
_LOWER = np.zeros(256, dtype=bool)
_LOWER[ord("a") : ord("z") + 1] = True
_WHITE = np.zeros(256, dtype=bool)
_WHITE[[byte for byte in range(256) if chr(byte).isspace()]] = True
_UPPER = np.arange(256, dtype=np.uint8)
_UPPER[_LOWER] -= ord("a") - ord("A")


@dataclass(frozen=True)
class Change:
    """One kind of change.

    `places` holds the first ten as (sequence, residue), both counted from 1; white space is not
    counted as a residue, and residue 0 means the sequence as a whole. `letter` is "" where the
    change is not about one letter.
    """

    what: str
    letter: str
    residues: int
    sequences: int
    places: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        letter = f" {self.letter!r}" if self.letter else ""
        count = f"{plural(self.residues, 'character')} in {plural(self.sequences, 'sequence')}"
        return f"{self.what}{letter}: {count} (first: {_places_text(self.places[:3])})"


@dataclass(frozen=True)
class Note:
    """Something odd that was left as it is: how often, in how many sequences, and the first places.

    `places` are as in `Change`, residues counted in the sequence as it is after cleaning.
    """

    what: str
    found: int
    sequences: int
    places: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        count = f"{self.found:,} in {plural(self.sequences, 'sequence')}"
        return f"noted {self.what}: {count} (first: {_places_text(self.places[:3])})"


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Sequences of the twenty letters (and X, B, Z, J where allowed), and what was done to get them.

    `sequences[i]` is row `kept[i]` of what came; `dropped` are the rows left out. Rows are counted
    from 0, so that `y[cleaned.kept]` goes with `cleaned.sequences`.
    """

    sequences: tuple[str, ...]
    changes: tuple[Change, ...]
    kept: NDArray[np.int64]  # (n kept,)
    dropped: NDArray[np.int64]  # (n left out,)

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """Tags near an end, runs of X, fewer than 20 or more than 5,000 residues. O(residues)."""
        found: dict[str, list[tuple[int, int]]] = {}
        for row, sequence in zip((self.kept + 1).tolist(), self.sequences, strict=True):
            for what, at in _odd(sequence):
                found.setdefault(what, []).append((row, at))
        return tuple(
            Note(what, len(places), len({row for row, _ in places}), tuple(places[:SHOWN]))
            for what, places in found.items()
        )

    def report(self) -> str:
        """What came, what was changed, what was left out and what is odd, one line each."""
        came, out = len(self.kept) + len(self.dropped), len(self.dropped)
        head = f"{plural(came, 'sequence')} came, {len(self.kept):,} kept, {out:,} left out."
        changes = map(str, self.changes or ["Nothing was changed."])
        return "\n".join([head, *changes, *map(str, self.notes)])


@dataclass(frozen=True, eq=False)
class Packed:
    """All sequences in one array: sequence i is `codes[offsets[i]:offsets[i + 1]]`.

    A code is 1 to 20 in the order of ALPHABET; 0 marks a masked residue, and 21, 22 and 23 are B, Z
    and J, which stay in a sequence under unknown="expected" alone. `scales.PARTS` says what each
    code stands for.
    """

    codes: NDArray[np.uint8]  # (total residues,)
    offsets: NDArray[np.int64]  # (n + 1,)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Residues of each sequence, masked ones too: (n,)."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The sequence that each residue belongs to: (total residues,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)


def pack(sequences: Iterable[str]) -> Packed:
    """The packed codes of sequences that `clean` has made: one lookup, O(residues)."""
    text = _Text(tuple(sequences))
    return Packed(_PACKED[text.raw], text.offsets)


def clean(
    seqs: Iterable[str], *, unknown: str = "error", gaps: str = "unknown", trim: str | None = None
) -> Cleaned:
    """The sequences in upper case and the twenty letters, and a record of each change.

    `seqs` is anything that gives strings in order: a list, a NumPy or Arrow array, a column.
    `unknown` says what becomes of a character that is none of the twenty letters: "error" stops,
    "mask" writes X, "drop" leaves the whole sequence out, "expected" keeps B (D or N), Z (E or Q)
    and J (I or L), to be read as the mean of both, and writes X for all else. `gaps` says the same
    of - and .: "unknown" takes them for any other unknown character, "error" stops, "remove" takes
    them out. trim="tags" cuts an expression tag that lies within 30 residues of an end, with what
    is outside of it (of the human Myc protein too); nothing is trimmed unless asked. O(residues).

    Raises `SequenceError` for unknown characters under "error"; for a missing sequence; for one of
    which nothing is left unless under "drop"; and, whatever the policy, for SaProt text (each amino
    acid followed by a lower-case 3Di structure letter), which upper-casing would turn into a
    sequence of twice the length. Raises `UsageError` for a single string, a table or a mapping.

    >>> cleaned = clean(["mvls PAD*", "ACXD"], unknown="mask")
    >>> cleaned.sequences
    ('MVLSPAD', 'ACXD')
    >>> print(cleaned.report())
    2 sequences came, 2 kept, 0 left out.
    upper-cased: 4 characters in 1 sequence (first: sequence 1 at 1, 2, 3)
    white space removed: 1 character in 1 sequence (first: sequence 1 at 5)
    stop removed '*': 1 character in 1 sequence (first: sequence 1 at 8)
    masked 'X': 1 character in 1 sequence (first: sequence 2 at 3)
    noted shorter than 20 residues: 2 in 2 sequences (first: sequence 1; sequence 2)
    >>> clean(["ABX-C"], unknown="expected", gaps="remove").sequences
    ('ABXC',)
    """
    _check(unknown, gaps, trim)
    text = _Text(_strings(seqs), gaps == "remove")
    n = len(text.strings)
    if _CODES[text.raw].all() and text.lengths.all():
        cleaned = Cleaned(text.strings, (), np.arange(n), np.arange(0))
    else:
        _refuse_structure_letters(text)
        if gaps == "error" and _GAP[text.raw].any():
            raise SequenceError(_gap_text(text))
        cleaned = _repair(text, unknown)
    return cleaned if trim is None else _trimmed(cleaned, unknown)


def _check(unknown: str, gaps: str, trim: str | None) -> None:
    said = (("unknown", unknown, POLICIES), ("gaps", gaps, GAPS), ("trim", trim, (None, "tags")))
    for name, came, known in said:
        if came not in known:
            choices = ", ".join(map(repr, known))
            raise UsageError(f"{name}={came!r} came. There are {choices}. Choose one of these.")


class _Text:
    """All sequences as they came, end to end, one byte a character; gaps are taken out or not."""

    def __init__(self, strings: tuple[str, ...], ungap: bool = False) -> None:
        self.strings, self.ungap = strings, ungap
        self.joined = "".join(strings)
        # One byte a character keeps the places; what Latin-1 lacks becomes "?", unknown as well.
        self.raw = np.frombuffer(self.joined.encode("latin-1", "replace"), np.uint8)
        self.lengths = np.fromiter(map(len, strings), np.int64, len(strings))
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def row(self) -> NDArray[np.int64]:
        """The sequence of each character: (characters,)."""
        return np.repeat(np.arange(len(self.strings)), self.lengths)

    @cached_property
    def white(self) -> NDArray[np.bool_]:
        return _WHITE[self.raw]

    @cached_property
    def gap(self) -> NDArray[np.bool_]:
        """The gaps that are taken out."""
        return _GAP[self.raw] & self.ungap

    @cached_property
    def stop(self) -> NDArray[np.bool_]:
        """The `*` that nothing but `*` and what is taken out follows in its sequence."""
        star = self.raw == ord("*")
        body = np.flatnonzero(~(star | self.white | self.gap))
        last = np.full(len(self.strings), -1)
        last[self.row[body]] = body  # of repeated rows the last assignment stays
        return star & (np.arange(len(self.raw)) > last[self.row])

    @cached_property
    def unknown(self) -> NDArray[np.bool_]:
        return (_CODES[_UPPER[self.raw]] == 0) & ~(self.white | self.gap | self.stop)

    @cached_property
    def either(self) -> NDArray[np.bool_]:
        """The codes of two amino acids, B, Z and J."""
        return _PACKED[_UPPER[self.raw]] > len(ALPHABET)

    @cached_property
    def residue(self) -> NDArray[np.int64]:
        """1 + the characters, white space apart, that stand before each one in its sequence."""
        before = np.concatenate([[0], np.cumsum(~self.white)])
        return before[:-1] - before[self.offsets[self.row]] + 1


def _strings(seqs: Iterable[str]) -> tuple[str, ...]:
    """What came as a tuple of str; refuses what would iterate over something else."""
    listing = getattr(seqs, "to_pylist", None) or getattr(seqs, "tolist", None)  # Arrow, NumPy
    came = listing() if listing else seqs
    if isinstance(came, str | bytes | Mapping | Set) or hasattr(seqs, "columns"):
        kind = type(seqs).__name__
        raise UsageError(f"A {kind} came. Sequences need an order: give a list or one column.")
    try:
        strings = tuple(came)
    except TypeError:
        kind = type(seqs).__name__
        raise UsageError(f"A {kind} came. Sequences are text: give a list of str.") from None
    for number, string in enumerate(strings, start=1):
        if not isinstance(string, str):
            raise SequenceError(_not_text(string, number, len(strings)))
    return strings


def _not_text(value: object, number: int, n: int) -> str:
    nan = isinstance(value, float) and value != value
    missing = value is None or nan or type(value).__name__ == "NAType"
    kind = "missing" if missing else f"of type {type(value).__name__}"
    return (
        f"Sequence {number:,} of {n:,} (row {number - 1:,} counted from 0) is {kind}. "
        "Every row needs a sequence as text. Leave that row out or fill it."
    )


def _refuse_structure_letters(text: _Text) -> None:
    """SaProt text: amino acids in upper case, each with a lower-case 3Di letter behind it."""
    numbers = [
        number
        for number, string in enumerate(text.strings, start=1)
        if _alternates("".join(string.split()))
    ]
    if numbers:
        raise SequenceError(
            f"{plural(len(numbers), 'sequence')} of {len(text.strings):,} (first: sequence "
            f"{numbers[0]:,}) alternate upper-case and lower-case letters: this seems to be SaProt "
            "text, amino acids with 3Di structure letters between them. Only the amino acids are "
            "needed. Take every second character: [s[::2] for s in seqs]."
        )


def _alternates(string: str) -> bool:
    """Two pairs at least: a lone "Mv" is more likely a slip. `#` is SaProt's mask."""
    if len(string) < 4 or len(string) % 2:
        return False
    upper, lower = (string[start::2].replace("#", "") for start in (0, 1))
    return upper.isalpha() and upper.isupper() and lower.isalpha() and lower.islower()


def _repair(text: _Text, unknown: str) -> Cleaned:
    """Apply the rules to sequences of which at least one needs them."""
    n = len(text.strings)
    if unknown == "error" and text.unknown.any():
        raise SequenceError(_unknown_text(text))
    stays = ~(text.white | text.gap | text.stop)
    lengths = np.bincount(text.row[stays], minlength=n)
    keep = np.ones(n, dtype=bool)
    if unknown == "drop":
        keep[text.row[text.unknown]] = False
        keep[lengths == 0] = False
    elif not lengths.all():
        raise SequenceError(_empty_text(lengths))
    here = keep[text.row]  # (characters,)
    masked = text.unknown & ~text.either if unknown == "expected" else text.unknown
    written = np.where(masked, ord("X"), _UPPER[text.raw]).astype(np.uint8)[stays & here]
    sequences = _split(written.tobytes().decode("ascii"), lengths[keep])
    changes = _changes(text, here, unknown, np.flatnonzero(lengths == 0))
    return Cleaned(sequences, changes, np.flatnonzero(keep), np.flatnonzero(~keep))


def _split(joined: str, lengths: NDArray[np.int64]) -> tuple[str, ...]:
    ends = np.cumsum(lengths).tolist()
    return tuple(joined[start:end] for start, end in zip([0, *ends], ends, strict=False))


def _changes(
    text: _Text, here: NDArray[np.bool_], unknown: str, empty: NDArray[np.int64]
) -> tuple[Change, ...]:
    """What was done to the sequences that stay (`here`), then what the others were left out for."""
    found = [
        _change(text, "upper-cased", "", _LOWER[text.raw] & here),
        _change(text, "white space removed", "", text.white & here),
        _change(text, "stop removed", "*", text.stop & here),
        *(_change(text, "gap removed", a, text.gap & here & (text.raw == ord(a))) for a in "-."),
    ]
    what = "left out for" if unknown == "drop" else "masked"
    for letter, where in _by_letter(text):
        read = unknown == "expected" and letter in EITHER
        found.append(
            _change(text, f"read as {' or '.join(EITHER[letter])}" if read else what, letter, where)
        )
    if unknown == "drop" and len(empty):
        places = tuple((int(row) + 1, 0) for row in empty[:SHOWN])
        found.append(Change("left out as empty", "", 0, len(empty), places))
    return tuple(change for change in found if change.sequences)


def _by_letter(text: _Text) -> list[tuple[str, NDArray[np.bool_]]]:
    """The unknown characters in upper case, most frequent first, and where each stands."""
    index = np.flatnonzero(text.unknown)
    letters = np.array([text.joined[i].upper() for i in index], dtype=object)
    names, counts = np.unique(letters, return_counts=True)
    found = []
    for name in names[np.argsort(-counts, kind="stable")]:
        where = np.zeros(len(text.raw), dtype=bool)
        where[index[letters == name]] = True
        found.append((str(name), where))
    return found


def _change(text: _Text, what: str, letter: str, where: NDArray[np.bool_]) -> Change:
    index = np.flatnonzero(where)
    rows = text.row[index]
    sequences = int(np.count_nonzero(np.bincount(rows))) if len(rows) else 0
    return Change(what, letter, len(index), sequences, _places(text, index))


def _places(text: _Text, index: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """(sequence, residue) of the first ten characters, both counted from 1."""
    first = index[:SHOWN]
    return tuple(zip((text.row[first] + 1).tolist(), text.residue[first].tolist(), strict=True))


def _places_text(places: Iterable[tuple[int, int]]) -> str:
    """`sequence 1 at 4, 9; sequence 3 at 2`."""
    of: dict[int, list[str]] = {}
    for sequence, residue in places:
        of.setdefault(sequence, []).append(f"{residue:,}" if residue else "")
    return "; ".join(f"sequence {s:,} at {', '.join(r)}".removesuffix(" at ") for s, r in of.items())


def _unknown_text(text: _Text) -> str:
    index = np.flatnonzero(text.unknown)
    sequences = len(np.unique(text.row[index]))
    named = [
        f"{text.joined[i]!r} at position {residue:,} of sequence {sequence:,}"
        for i, (sequence, residue) in zip(index[:SHOWN], _places(text, index), strict=True)
    ]
    return (
        f"{plural(len(index), 'character')} in {plural(sequences, 'sequence')} of "
        f"{len(text.strings):,} stand for none of the twenty amino acids: {', '.join(named)}"
        f"{', ...' if len(index) > SHOWN else ''}. The letters {ALPHABET} are needed. "
        "Pass unknown='mask' to write them as X, or unknown='drop' to leave those sequences out."
        f"{' Gaps are taken out by gaps=' + repr('remove') + '.' if _GAP[text.raw[index]].any() else ''}"
        f"{_like_names(text)}"
    )


def _like_names(text: _Text) -> str:
    """A hint where cells look like the names of variants."""
    some = text.strings[:SHOWN]
    if not some or not all(re.match(r"(p\.)?[A-Za-z]{1,3}\d+[A-Za-z*=]", str(one).strip()) for one in some):
        return ""
    return (
        " If these are names of variants, say what they differ from: wild_type=, letters or a FASTA file "
        "(--wild-type)."
    )


def _gap_text(text: _Text) -> str:
    gaps = _change(text, "", "", _GAP[text.raw])
    return (
        f"{plural(gaps.residues, 'gap')} (- or .) came in {plural(gaps.sequences, 'sequence')} of "
        f"{len(text.strings):,} (first: {_places_text(gaps.places[:3])}). Residues alone are needed, and "
        "these sequences seem to be aligned. Pass gaps='remove' to take them out."
    )


def _empty_text(lengths: NDArray[np.int64]) -> str:
    rows = np.flatnonzero(lengths == 0)
    return (
        f"{plural(len(rows), 'sequence')} of {len(lengths):,} hold no residue (first: sequence "
        f"{rows[0] + 1:,}). One residue at least is needed. Take them out, or pass unknown='drop'."
    )


# ---- what is odd ----


def _odd(sequence: str) -> Iterator[tuple[str, int]]:
    """What `Cleaned.notes` tells of a sequence, and at which residue."""
    yield from ((f"{name} tag", start + 1) for name, start, _ in tags(sequence))
    yield from ((f"run of {RUN} X or more", run.start() + 1) for run in _RUN.finditer(sequence))
    if len(sequence) < SHORT:
        yield f"shorter than {SHORT} residues", 0
    elif len(sequence) > LONG:
        yield f"longer than {LONG:,} residues", 0


def _trimmed(cleaned: Cleaned, unknown: str) -> Cleaned:
    """The same without tags; where nothing else is left that is an error, or left out."""
    sequences, empty = [], []
    cut: dict[str, list[tuple[int, int, int]]] = {name: [] for name in TAGS}
    for row, sequence in zip((cleaned.kept + 1).tolist(), cleaned.sequences, strict=True):
        (begin, first), (end, last) = body(sequence)
        sequences.append(sequence[begin:end])
        empty += [row - 1] * (begin >= end)
        if first:
            cut[first].append((begin, row, 1))
        if last:
            cut[last].append((len(sequence) - end, row, end + 1))
    if empty and unknown != "drop":
        raise SequenceError(
            f"Of {plural(len(empty), 'sequence')} (first: sequence {empty[0] + 1:,}) nothing is left "
            "beside a tag. One residue at least is needed. Take them out, or pass unknown='drop'."
        )
    stays = ~np.isin(cleaned.kept, empty)
    changes = [
        Change(
            f"trimmed with {name} tag", "", sum(c for c, _, _ in ends), len({row for _, row, _ in ends}),
            tuple((row, at) for _, row, at in ends[:SHOWN]),
        )
        for name, ends in cut.items()
        if ends
    ]  # fmt: skip
    if empty:
        where = tuple((row + 1, 0) for row in empty[:SHOWN])
        changes.append(Change("left out as nothing but a tag", "", 0, len(empty), where))
    return replace(
        cleaned,
        sequences=tuple(s for s, stay in zip(sequences, stays.tolist(), strict=True) if stay),
        changes=(*cleaned.changes, *changes),
        kept=cleaned.kept[stays],
        dropped=np.sort(np.append(cleaned.dropped, np.array(empty, dtype=np.int64))),
    )
