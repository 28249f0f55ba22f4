"""Variants of one wild type: names such as A23V:G24L become sequences, positions and letters.

    names -> mutations (row, number, letters) -> where numbering begins -> policies -> Variants
    full sequences ---------------------------------------------------------^

    what came                          what is done                              counted as
    A23V, a23v, A23=, p.Ala23Val       a mutation; : , ; + _ and spaces join     "upper-cased"
    WT, wildtype, _wt, p.=, nothing    the wild type itself                      in the report's head
    F10F, F10=                         taken out                                 "identity dropped"
    A23V:A23V                          once                                      "repeat dropped"
    A23*, p.Ala23Ter                   stops="error" or "drop"                   "left out for '*'"
    A23X and other letters             unknown="error", "drop" or "mask"         "left out for", "masked"
    A23V:A23L, deletions, 23A>V        an error

Numbering is found from the letters: each name says what the wild type should have where. What of such a
family can be held out stands in families.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError, SequenceError, UsageError, listed, plural
from leastwise.sequences.clean import ALPHABET, SHOWN, Change, clean

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Variants", "against", "one_hot_variants", "variants"]

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
_Numbered = tuple[int, str]  # the number of the first residue, and how it was found
_Mutated = tuple[Ints, Ints, Bytes]  # row, position, letter

FORMS = "A23V, a23v, A23=, p.Ala23Val, several joined by : , ; + _ or a space, or WT"
SAMPLE = 1_000  # letters looked at where there are more
CHOICES = {"stops": ("error", "drop"), "unknown": ("error", "drop", "mask")}
CHOICES |= {"columns": ("seen", "all")}
_WILD = {"", "wt", "_wt", "wildtype", "wild type", "wild-type", "wild_type", "_sy", "p.=", "p.(=)"}
_JOINTS = str.maketrans(dict.fromkeys(":,;+_", " "))
_NAMES = "ALA CYS ASP GLU PHE GLY HIS ILE LYS LEU MET ASN PRO GLN ARG SER THR VAL TRP TYR"
_NAMES += " ASX GLX XLE XAA SEC PYL"
_THREE = dict(zip(_NAMES.split(), ALPHABET + "BZJXUO", strict=True)) | {"TER": "*"}
_LETTER = f"{_NAMES.replace(' ', '|')}|[A-Z]"
_FORM = re.compile(rf"(?:p\.)?[\[(]*({_LETTER})(-?[0-9]{{1,9}})({_LETTER}|TER|[*=])[\])]*", re.I | re.A)
_LETTERS = np.frombuffer(b"X" + ALPHABET.encode(), np.uint8)  # code 0..20 -> letter
_CODES = np.zeros(256, dtype=np.uint8)  # letter -> code, 0 for all but the twenty
_CODES[_LETTERS[1:]] = np.arange(1, 21)


@dataclass(frozen=True, eq=False)
class Variants:
    """n variants of one wild type of L residues, and the m mutations that they hold together.

    `sequences[i]` is row `kept[i]` of what came; `dropped` are the rows left out; both counted from 0.
    Mutation j is one of variant `rows[j]`: at `positions[j]`, counted from 0 in the wild type, it puts
    `ALPHABET[letters[j] - 1]` (letter 0: a masked X). They are in the order of variants, then positions.
    Variants of one `group` have the same sequence and belong in the same fold. In `changes` a place is
    (row, residue of the wild type), both counted from 1.
    """

    wild_type: str  # L residues
    first: int  # the number that names give to the first of them
    numbering: str  # how that was found
    sequences: tuple[str, ...]  # n
    kept: Ints  # (n,)
    dropped: Ints  # (n left out,)
    rows: Ints  # (m,) 0 to n - 1
    positions: Ints  # (m,) 0 to L - 1
    letters: Bytes  # (m,) 0 to 20
    mutations: Ints  # (n,) how many each variant has
    group: Ints  # (n,) 0 to g - 1 in order of first appearance
    changes: tuple[Change, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """One spelling for each sequence, `A23V:G24L` in the order of positions, or `WT`: n."""
        spelled, ends = self.spell(self.positions, self.letters), np.cumsum(self.mutations).tolist()
        return tuple(":".join(spelled[a:b]) or "WT" for a, b in zip([0, *ends], ends, strict=False))

    def spell(self, positions: Ints, letters: NDArray[np.integer]) -> list[str]:
        """`A23V` for each pair of a position, from 0, and a letter, 0 to 20, numbered as the names are."""
        pairs = zip(positions.tolist(), _LETTERS[letters].tobytes().decode(), strict=True)
        return [f"{self.wild_type[place]}{place + self.first}{letter}" for place, letter in pairs]

    def report(self) -> str:
        """What came, how it was counted, what was changed and left out, one line each."""
        n, out, wild = len(self.kept), len(self.dropped), int(np.sum(self.mutations == 0))
        lines = [
            f"{plural(n + out, 'variant')} came, {n:,} kept, {out:,} left out.",
            self.numbering,
            f"{plural(len(set(self.group.tolist())), 'distinct sequence')}; {plural(wild, 'row')} of the "
            f"wild type itself; at most {plural(int(self.mutations.max(initial=0)), 'mutation')} in a row.",
        ]
        return "\n".join([*lines, *map(str, self.changes or ["Nothing was changed."])])


def variants(
    names: Iterable[str],
    wild_type: str,
    *,
    offset: int | None = None,
    stops: str = "error",
    unknown: str = "error",
) -> Variants:
    """The sequences that names such as `A23V:G24L` stand for, and their mutations as arrays.

    `offset` is the number that names give to the first residue of `wild_type`: 1, 0, or 24 where it begins
    with residue 24. Left out, it is the one with which all letters agree; where several do, 1 before 0, and
    the report says so. A given one is checked. `stops` says what becomes of a name with a stop codon:
    "error" or "drop" (the row is left out); `unknown` of letters that are none of the twenty: these two, or
    "mask" (X is written). O(n L), and each distinct mutation is read once.

    Raises `DataError` for names that cannot be read, and where no numbering agrees, or not `offset`, or
    several but neither 1 nor 0; `SequenceError` for stops and letters under "error", for two letters at one
    position, and for a wild type that `clean` refuses; `UsageError` for options and for names unordered.

    >>> made = variants(["K2R", "wt", "F4F:k2r", "D0E,L6*"], "DMKAFGLV", stops="drop")
    >>> made.sequences, made.first, made.group.tolist()
    (('DMRAFGLV', 'DMKAFGLV', 'DMRAFGLV'), 0, [0, 1, 0])
    >>> print(made.report())
    4 variants came, 3 kept, 1 left out.
    Counted from 0, which agrees with 4 wild-type letters in the names.
    2 distinct sequences; 1 row of the wild type itself; at most 1 mutation in a row.
    upper-cased: 1 character in 1 sequence (first: sequence 3 at 3)
    identity dropped: 1 character in 1 sequence (first: sequence 3 at 5)
    left out for '*': 1 character in 1 sequence (first: sequence 4 at 7)
    """
    _check(offset=offset, stops=stops, unknown=unknown)
    wild, told = _wild(wild_type)
    read = _read(names)
    numbering = _numbering(read, wild, offset)
    row, index = read.row, read.number - numbering[0]  # (m,)
    stop = read.becomes == ord("*")
    odd = (_CODES[read.becomes] == 0) & ~stop
    to = "Pass unknown='mask' to write them as X, or unknown='drop' to leave those rows out."
    _refuse(
        read,
        stop & (stops == "error"),
        "are stop codons",
        "Pass stops='drop' (to fit: unknown='drop') to leave those rows out.",
    )
    _refuse(read, odd & (unknown == "error"), f"are to none of the letters {ALPHABET}", to)
    keep = np.ones(len(read.names), dtype=bool)
    keep[row[stop | (odd & (unknown == "drop"))]] = False
    identity, here = read.becomes == read.was, keep[row]
    repeat = _repeats(read, index) & ~identity
    told += _changes("upper-cased", "", row, index, read.lower & here)
    told += _changes("identity dropped", "", row, index, identity & here)
    told += _changes("repeat dropped", "", row, index, repeat & here)
    told += _changes("left out for", "*", row, index, stop)
    for byte in np.unique(read.becomes[odd]):
        what = "masked" if unknown == "mask" else "left out for"
        told += _changes(what, chr(byte), row, index, odd & (read.becomes == byte))
    stays = np.flatnonzero(here & ~identity & ~repeat)
    stays = stays[np.lexsort((index[stays], row[stays]))]
    mutated = ((np.cumsum(keep) - 1)[row[stays]], index[stays], read.becomes[stays])
    return _build(wild, numbering, keep, mutated, told)


def against(seqs: Iterable[str], wild_type: str, *, offset: int = 1, unknown: str = "error") -> Variants:
    """The same from full sequences as long as the wild type: mutations are where they differ. O(n L).

    `offset` is the number that names shall give to the first residue; `unknown` is that of `clean`, and
    under "mask" an X is a mutation to a letter that is not known. Raises `DataError` for sequences of
    another length; `SequenceError` and `UsageError` as `clean` does.

    >>> against(["DMRAF", "DMKAF", "EMRAF"], "DMKAF").names
    ('K3R', 'WT', 'D1E:K3R')
    """
    _check(offset=offset, unknown=unknown)
    wild, told = _wild(wild_type)
    cleaned = clean(seqs, unknown=unknown)
    keep = np.isin(np.arange(len(cleaned.kept) + len(cleaned.dropped)), cleaned.kept)
    wrong = [i for i, sequence in enumerate(cleaned.sequences) if len(sequence) != len(wild)]
    if wrong:
        first = f"row {cleaned.kept[wrong[0]]:,} counted from 0"
        raise DataError(
            f"{plural(len(wrong), 'sequence')} of {len(keep):,} (first: {first}) differ in length from the "
            f"wild type ({len(wild):,}). Only substitutions can be read. Cut all alike, or leave some out."
        )
    text = np.frombuffer("".join(cleaned.sequences).encode(), np.uint8).reshape(-1, len(wild))  # (n, L)
    row, index = np.nonzero(text != wild)
    numbering = (offset, f"Counted from {offset}, as asked: full sequences hold no numbers to check.")
    return _build(wild, numbering, keep, (row, index, text[row, index]), [*told, *cleaned.changes])


def one_hot_variants(variants: Variants, *, columns: str = "seen") -> tuple[tuple[str, ...], csr_array]:
    """(names, X): column names such as `A23V`, and scipy's CSR with a one where a variant has that letter.

    columns="seen": a column for each (position, letter) that some variant is mutated to, in that order:
    (n, distinct mutations), m ones, the wild type a row of zeros. columns="all": the 20 letters of every
    position, the wild type's own (`A23A`) too: (n, 20 L), n L ones, column 20 position + letter - 1. A
    masked X has no column. float64. Raises `UsageError` for other `columns`.

    >>> names, X = one_hot_variants(against(["DMRAF", "DMKAF", "EMRAF"], "DMKAF"))
    >>> names, X.toarray().tolist()
    (('D1E', 'K3R'), [[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    """
    from scipy.sparse import csr_array

    _check(columns=columns)
    n, wild = len(variants.sequences), np.frombuffer(variants.wild_type.encode(), np.uint8)
    if columns == "seen":
        known = variants.letters > 0
        row, cell = variants.rows[known], (variants.positions * 20 + variants.letters - 1)[known]
        cells, column = np.unique(cell, return_inverse=True)
    else:
        codes = np.tile(_CODES[wild], (n, 1))  # (n, L)
        codes[variants.rows, variants.positions] = variants.letters
        row, place = np.nonzero(codes)
        cells, column = np.arange(20 * len(wild)), place * 20 + codes[row, place] - 1
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))])
    X = csr_array((np.ones(len(row)), column, starts), shape=(n, len(cells)))
    return tuple(variants.spell(cells // 20, cells % 20 + 1)), X


@dataclass(frozen=True, eq=False)
class _Mutations:
    """All that the names say, in their order: mutation j stands in name `row[j]`."""

    names: tuple[str, ...]
    row: Ints  # (m,)
    number: Ints  # (m,) as written
    was: Bytes  # (m,) a letter in upper case
    becomes: Bytes  # (m,) the same, or *
    lower: Flags  # (m,) lower case came

    def spelled(self, j: int | np.integer) -> str:
        return f"'{chr(self.was[j])}{self.number[j]}{chr(self.becomes[j])}'"


def _read(names: Iterable[str]) -> _Mutations:
    listing = getattr(names, "to_pylist", None) or getattr(names, "tolist", None)  # Arrow, NumPy
    came = listing() if listing else names
    unordered = isinstance(came, str | bytes | Mapping | Set) or hasattr(names, "columns")
    if unordered or not isinstance(came, Iterable):
        kind = type(names).__name__
        raise UsageError(f"A {kind} came. Names need an order: give a list or one column of str.")
    came = tuple(came)
    for row, name in enumerate(came):
        if not isinstance(name, str):
            what = f"Name {name!r} in row {row:,} (counted from 0) is no text"
            raise DataError(f"{what}. Each row needs one. Write 'WT' for the wild type, or leave it out.")
    parts = [[] if n.strip().lower() in _WILD else n.translate(_JOINTS).split() or [n] for n in came]
    flat = list(chain.from_iterable(parts))
    code = {part: i for i, part in enumerate(dict.fromkeys(flat))}
    table = np.array([_mutation(part) for part in code], dtype=np.int64).reshape(-1, 4)
    read = table[np.fromiter(map(code.__getitem__, flat), np.int64, len(flat))]  # (m, 4)
    rows = np.repeat(np.arange(len(came)), [len(each) for each in parts])
    bad = np.unique(rows[read[:, 1] == 0])
    if len(bad):
        shown = _shown(f"{came[i][:60]!r} in row {i:,}" for i in bad)
        raise DataError(
            f"{plural(len(bad), 'name')} of {len(came):,} cannot be read: {shown} (rows counted from 0). "
            f"Known forms are {FORMS}; deletions, insertions, duplications, extensions and frameshifts are "
            "not supported. Write them so, or leave those rows out."
        )
    was, becomes = read[:, 1:3].T.astype(np.uint8)
    return _Mutations(came, rows, read[:, 0], was, becomes, read[:, 3] == 1)


def _mutation(part: str) -> tuple[int, int, int, int]:
    """(number, letter before, letter after, lower case or not); zeros for what is no mutation."""
    form = _FORM.fullmatch(part)
    if not form:
        return 0, 0, 0, 0
    was, becomes = (_THREE.get(side.upper(), side.upper()) for side in form.group(1, 3))
    lower = form[1][0].islower() or form[3][0].islower()
    return int(form[2]), ord(was), ord(was if becomes == "=" else becomes), lower


def _wild(wild_type: str) -> tuple[Bytes, list[Change]]:
    """The letters of the wild type, cleaned, and what was changed in it."""
    cleaned = clean([wild_type])
    told = [replace(change, what=f"wild type {change.what}") for change in cleaned.changes]
    return np.frombuffer(cleaned.sequences[0].encode(), np.uint8), told


def _check(**asked: object) -> None:
    for name, value in asked.items():
        known = CHOICES.get(name, ())
        if known and value not in known:
            raise UsageError(f"{name}={value!r} came. It is {listed(known, last='or')}. Choose one.")
        whole = value is None or (isinstance(value, int | np.integer) and abs(int(value)) < 10**9)
        if not known and (isinstance(value, bool) or not whole):
            raise UsageError(f"{name}={value!r} came. It is the first residue's number. Pass an int.")


def _numbering(read: _Mutations, wild: Bytes, offset: int | None) -> _Numbered:
    """The number of the first residue, and how it was found."""
    pairs, at = np.unique(read.number * 256 + read.was, return_index=True)
    number, was = pairs >> 8, (pairs & 255).astype(np.uint8)
    if not len(pairs):
        return (1 if offset is None else int(offset)), "No name holds a number to check."
    # Each letter votes for every start that puts it on such a letter of the wild type.
    some = np.linspace(0, len(pairs) - 1, min(len(pairs), SAMPLE)).astype(np.int64)
    pair, place = np.nonzero(was[some, None] == wild)
    starts, votes = np.unique(number[some][pair] - place, return_counts=True)
    full = starts[votes == len(some)].tolist() if offset is None else [int(offset)]
    fit = [start for start in full if (_found(wild, number - start) == was).all()]
    letters = f"{plural(len(pairs), 'wild-type letter')} in the names"
    if not fit:
        best = min(zip(-votes, abs(starts - 1), starts, strict=True), default=(0, 0, 1))[2]
        raise DataError(_disagreement(read, wild, np.sort(at), int(best), offset))
    if len(fit) == 1:
        far = "" if fit[0] in (0, 1) else ", the number of the wild type's first residue"
        return fit[0], f"Counted from {fit[0]}{far}, which agrees with {letters}."
    told = f"{len(fit):,} numberings agree with {letters} (counted from {_shown(map(str, fit))})"
    for first in (1, 0):
        if first in fit:
            return first, f"Counted from {first}, but this is not certain: {told}. Pass offset= to be sure."
    raise DataError(f"{told}, but neither 1 nor 0. One is needed. Pass the first residue's as offset=.")


def _found(wild: Bytes, index: Ints) -> Bytes:
    """The wild type's letter at each index, 0 outside of it."""
    return np.pad(wild, 1)[np.clip(index + 1, 0, len(wild) + 1)]


def _disagreement(read: _Mutations, wild: Bytes, at: Ints, best: int, offset: int | None) -> str:
    """Which letters disagree, and how many agree in the best numbering; `at`: one mutation a letter."""
    start = best if offset is None else int(offset)
    found = _found(wild, read.number[at] - start)
    wrong = np.flatnonzero(found != read.was[at])
    shown = _shown(
        f"{read.spelled(j)} in row {read.row[j]:,} expects {chr(read.was[j])}, found {chr(letter)}"
        for j, letter in zip(at[wrong], np.where(found == 0, ord("-"), found)[wrong], strict=True)
    )
    agree = int(np.sum(_found(wild, read.number[at] - best) == read.was[at]))
    fits = f"counted from {best}, {agree:,} of {plural(len(at), 'wild-type letter')} agree"
    head = f"With offset={offset}," if offset is not None else f"No numbering fits all names; {fits}, and"
    advice = f"Pass offset={best} ({fits})" if start != best else "Correct these names"
    where = f"rows counted from 0, residues from {start} to {start + len(wild) - 1}"
    return f"{head} {len(wrong):,} disagree: {shown} ({where}). {advice}, or check the wild type."


def _refuse(read: _Mutations, where: Flags, what: str, to: str) -> None:
    at = np.flatnonzero(where)
    if len(at):
        shown = _shown(f"{read.spelled(j)} in row {read.row[j]:,}" for j in at)
        raise SequenceError(
            f"{plural(len(at), 'mutation')} in {plural(len(np.unique(read.row[at])), 'name')} of "
            f"{len(read.names):,} {what}: {shown} (rows counted from 0). {to}"
        )


def _repeats(read: _Mutations, index: Ints) -> Flags:
    """Which mutations say again what their name has said; two letters at one position are refused."""
    order = np.lexsort((index, read.row))
    before, after = order[:-1], order[1:]
    again = (read.row[before] == read.row[after]) & (index[before] == index[after])
    clash = again & (read.becomes[before] != read.becomes[after])
    two = np.isin(np.arange(len(order)), [before[clash], after[clash]])
    _refuse(read, two, "put two letters at one position", "It holds one. Correct these names.")
    repeat = np.zeros(len(order), dtype=bool)
    repeat[after[again]] = True
    return repeat


def _changes(what: str, sign: str, row: Ints, index: Ints, where: Flags) -> list[Change]:
    at = np.flatnonzero(where)
    places = zip((row[at[:SHOWN]] + 1).tolist(), (index[at[:SHOWN]] + 1).tolist(), strict=True)
    return [Change(what, sign, len(at), len(np.unique(row[at])), tuple(places))] if len(at) else []


def _build(wild: Bytes, found: _Numbered, keep: Flags, mutated: _Mutated, told: list[Change]) -> Variants:
    """Write the letters into copies of the wild type, and number the distinct sequences."""
    (row, index, letter), n, L = mutated, int(keep.sum()), len(wild)
    text = np.tile(wild, (n, 1))  # (n, L)
    text[row, index] = _LETTERS[_CODES[letter]]
    joined = text.tobytes().decode()
    sequences = tuple(joined[start : start + L] for start in range(0, n * L, L))
    number = {sequence: g for g, sequence in enumerate(dict.fromkeys(sequences))}
    group = np.fromiter(map(number.__getitem__, sequences), np.int64, n)
    kept, dropped, counts = np.flatnonzero(keep), np.flatnonzero(~keep), np.bincount(row, minlength=n)
    codes, name = _CODES[letter], wild.tobytes().decode()
    return Variants(name, *found, sequences, kept, dropped, row, index, codes, counts, group, tuple(told))


def _shown(items: Iterable[str]) -> str:
    """The first ten, and dots where there are more."""
    first = list(islice(items, SHOWN + 1))
    return ", ".join(first[:SHOWN]) + (", ..." if len(first) > SHOWN else "")
