"""Which sequences are held out together: what an honest score of a model of proteins hangs on.

    identity:0.3           groups of related sequences, by alignments (kin.py)
    words:shared           groups that share rare words (words.py): quick, from about 60 % identity on
    sequence:each          each sequence by itself: the random split that flatters
    position:modulo        of variants: every k-th mutated position; rows with several folds' are in none
    position:contiguous    the same, in stretches
    mutations:2            of variants: trained on those with at most so many mutations, scored on more
    target:low             trained on the lower half of the values, scored on the upper

Where nothing is asked: for many families groups of related sequences; for variants of one protein
positions, or (where most rows have positions of several folds) many mutations against few. Random folds of
variants say what has been measured already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError, UsageError, plural
from leastwise.sequences.alignment import Progress, Related
from leastwise.sequences.families import by_position, consensus, is_family, low_against_high
from leastwise.sequences.kin import Kin, kin
from leastwise.sequences.variants import Variants, against
from leastwise.sequences.words import relatives

__all__ = ["Dealt", "Regime", "Texts"]

Ints = NDArray[np.int64]
Counts = NDArray[np.int64]

IDENTITY = 0.3
MOST_ALIGNED = 20_000  # sequences up to which groups are made by alignments unasked
INNER = 5  # parts of rows that are only trained on, so that a penalty can be chosen among them
HALF = 0.5  # of the rows that position folds have to hold, or else mutations are counted
GROUPED = ("identity", "words", "sequence")  # whole groups, which can be dealt anew
KINDS = {
    "identity": "a share, as identity:0.3", "words": "words:shared", "sequence": "sequence:each",
    "position": "position:modulo or position:contiguous", "mutations": "a number, as mutations:2",
    "target": "target:low",
}  # fmt: skip


@dataclass(frozen=True)
class Regime:
    """What is held out together, in two words: `kind:how`."""

    kind: str
    how: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.how}"

    @classmethod
    def of(cls, text: str) -> Regime | None:
        """The regime that a text names; None for one that can only be a column's name.

        Raises UsageError for a known kind with what it cannot be.

        >>> Regime.of("identity:0.3"), Regime.of("plate")
        (Regime(kind='identity', how='0.3'), None)
        """
        kind, colon, how = text.partition(":")
        if not colon or kind not in KINDS:
            return None
        if kind == "identity":
            Related(_share(how))
        elif kind == "mutations":
            if not how.isdecimal() or int(how) < 1:
                raise UsageError(f"'{text}': {how!r} is no whole number of 1 or more. Say {KINDS[kind]}.")
        elif text not in KINDS[kind].split(" or "):
            raise UsageError(f"'{text}' is not known. Say {KINDS[kind]}.")
        return cls(kind, how)


@dataclass(frozen=True, eq=False)
class Texts:
    """The distinct cells of a column of sequences, with what the rows say of them.

    `sequences[i]` is what cell `texts[i]` stands for, cleaned; `counts` (n, q) rows by quarter of the
    target; `mean` (n,) the mean of the target; `variants` what cells are beside a wild type, where there is
    one.
    """

    texts: tuple[str, ...]
    sequences: tuple[str, ...]
    counts: Counts
    mean: NDArray[np.float64]
    variants: Variants | None = None

    @property
    def rows(self) -> Ints:
        """Rows of each cell (n,)."""
        return self.counts.sum(axis=1)


@dataclass(frozen=True, eq=False)
class Dealt:
    """Cells dealt to parts (n,), some of them `always` trained on, some in `never` a score."""

    regime: Regime
    part: Ints
    parts: int
    groups: int
    told: str  # what a fold is made of
    always: tuple[int, ...] = ()
    never: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    kin: Kin | None = field(default=None, repr=False)


def choose(cells: Texts, k: int) -> Regime:
    """The regime for cells of which nothing was said."""
    if cells.variants is None and not is_family(cells.sequences):
        few = len(cells.texts) <= MOST_ALIGNED
        return Regime("identity", f"{IDENTITY:g}") if few else Regime("words", "shared")
    made = _variants(cells)
    if made is None:
        return Regime("sequence", "each")
    if len(np.unique(made.positions)) >= k:
        inside = by_position(made, k).label >= 0
        if cells.rows[made.kept][inside].sum() >= HALF * cells.rows.sum():
            return Regime("position", "modulo")
    counts = np.repeat(made.mutations, cells.rows[made.kept])
    most = min(int(np.median(counts)), int(counts.max()) - 1) if len(counts) else 0
    return Regime("mutations", str(most)) if most > 0 else Regime("sequence", "each")


def deal(cells: Texts, regime: Regime, k: int, seed: int, progress: Progress | None = None) -> Dealt:
    """The cells dealt to k folds by a regime.

    Raises UsageError where the regime does not go with the sequences, DataError where too little would be
    left on one side.
    """
    ways = {
        "identity": _by_identity, "words": _by_words, "sequence": _by_sequence,
        "position": _by_position, "mutations": _by_mutations, "target": _by_target,
    }  # fmt: skip
    if regime.kind == "identity":
        return _by_identity(cells, regime, k, seed, progress)
    return ways[regime.kind](cells, regime, k, seed)


# ---- groups of relatives ----


def _by_identity(
    cells: Texts, regime: Regime, k: int, seed: int, progress: Progress | None = None
) -> Dealt:
    share = _share(regime.how)
    known = kin(cells.sequences, Related(share), progress)
    place = {sequence: i for i, sequence in enumerate(known.sequences)}
    group = known.groups[[place[sequence] for sequence in cells.sequences]]
    told = f"groups of related sequences ({share:.0%} identity)"
    dealt = _grouped(cells, regime, group, k, seed, told)
    note = (
        ""
        if known.exhaustive
        else "the likest of each sequence were aligned; `leastwise split` proves a split"
    )
    return replace(dealt, kin=known, notes=(*dealt.notes, *([note] if note else [])))


def _by_words(cells: Texts, regime: Regime, k: int, seed: int) -> Dealt:
    group = relatives(cells.sequences, unknown="mask")
    told = "groups of related sequences (shared words, from about 60 % identity on)"
    return _grouped(cells, regime, group, k, seed, told)


def _by_sequence(cells: Texts, regime: Regime, k: int, seed: int) -> Dealt:
    place: dict[str, int] = {}
    group = np.array([place.setdefault(sequence, len(place)) for sequence in cells.sequences], np.int64)
    return _grouped(cells, regime, group, k, seed, "sequences, each by itself (random)")


def _grouped(cells: Texts, regime: Regime, group: Ints, k: int, seed: int, told: str) -> Dealt:
    """Whole groups dealt to folds alike in rows and target; one of more than a fold is only trained on."""
    _, group = np.unique(group, return_inverse=True)
    g = int(group.max(initial=-1)) + 1
    counts = np.zeros((g, cells.counts.shape[1]), np.int64)
    np.add.at(counts, group, cells.counts)
    first = np.full(g, len(cells.texts))  # of the first cell in the alphabet: row order has no part in it
    order = np.argsort(np.array(cells.texts, object))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    np.minimum.at(first, group, rank)
    sizes = counts.sum(axis=1)
    large = (sizes > sizes.sum() / k) & (sizes > 1) if g > k else np.zeros(g, bool)
    k = min(k, int((~large).sum()))
    fold = np.full(g, k)
    fold[~large] = balanced(counts[~large], k, first[~large], seed)
    notes = tuple(
        f"{plural(int(size), 'row')} are of one group of relatives, more than a fold: only trained on"
        for size in sizes[large]
    )
    always = (k,) if large.any() else ()
    return Dealt(regime, fold[group], k + len(always), g, told, always, notes=notes)


def balanced(counts: Counts, k: int, rank: Ints, seed: int) -> Ints:
    """The fold (g,) of each group: the largest first, to where rows of its kinds are fewest.

    `counts` (g, q) are rows by quarter of the target; ties go by a shuffle of the groups in the order of
    `rank`. Source: Graham, SIAM J. Appl. Math. 17 (1969), largest processing time, with the load a vector.
    """
    g, q = counts.shape
    shuffled = np.empty(g, np.int64)
    shuffled[np.argsort(rank)] = np.random.default_rng(seed).permutation(g)
    load, fold = np.zeros((k, q)), np.empty(g, np.int64)
    for i in np.lexsort((shuffled, -counts.sum(axis=1))).tolist():
        # what the group adds to the sum of squares of the loads, of all rows and of each quarter
        total = load.sum(axis=1)
        cost = total * counts[i].sum() + q * (load @ counts[i])
        fold[i] = int(np.argmin(cost))
        load[fold[i]] += counts[i]
    return fold


# ---- variants ----


def _by_position(cells: Texts, regime: Regime, k: int, seed: int) -> Dealt:
    made = _needed(cells, regime)
    p = len(np.unique(made.positions))
    if p < 2:
        raise DataError(
            f"The variants mutate {plural(p, 'position')}. '{regime}' needs two. Take sequence:each."
        )
    k = min(k, p)
    label = np.full(len(cells.texts), -1)
    label[made.kept] = by_position(made, k, regime.how).label
    mixed = int(cells.rows[label < 0].sum())
    part = np.where(label < 0, k, label)
    note = (
        f"{plural(mixed, 'row')} have positions of several folds, or none: neither held out nor trained on "
        "for a score"
    )
    out, notes = ((k,), (note,)) if mixed else ((), ())
    told = f"mutated positions ({regime.how})"
    return Dealt(regime, part, k + bool(mixed), p, told, never=out, notes=notes)


def _by_mutations(cells: Texts, regime: Regime, k: int, seed: int) -> Dealt:
    made, most = _needed(cells, regime), int(regime.how)
    many = np.zeros(len(cells.texts), bool)
    many[made.kept] = made.mutations > most
    told = f"number of mutations: trained on at most {most}, scored on more"
    return _one_fold(cells, regime, many, seed, told, f"with more than {plural(most, 'mutation')}")


def _by_target(cells: Texts, regime: Regime, k: int, seed: int) -> Dealt:
    means = np.unique(cells.mean)
    if len(means) < 2:
        raise DataError(
            f"The target of all {plural(len(cells.texts), 'sequence')} is {cells.mean.max(initial=0):g}. "
            f"'{regime}' needs lower and higher ones. Take another way to hold out."
        )
    high = low_against_high(cells.mean, group=cells.sequences).label == 1
    told = "value: trained on the lower half, scored on the upper"
    return _one_fold(cells, regime, high, seed, told, "above the median")


def _one_fold(
    cells: Texts, regime: Regime, held: NDArray[np.bool_], seed: int, told: str, what: str
) -> Dealt:
    """Some cells held out, the others only trained on, in parts among which a penalty can be chosen."""
    if held.all() or not held.any():
        raise DataError(
            f"'{regime}': {int(held.sum()):,} of {plural(len(held), 'distinct sequence')} are {what}, and "
            "both sides need some. Choose another number, or another way to hold out."
        )
    train = np.flatnonzero(~held)
    same, rank = np.unique([cells.sequences[i] for i in train], return_inverse=True)
    rows = np.bincount(rank, cells.rows[train], len(same)).astype(np.int64)[
        :, None
    ]  # of no value of theirs
    inner = min(INNER, len(same))
    part = np.zeros(len(held), np.int64)
    part[train] = 1 + balanced(rows, inner, np.arange(len(same)), seed)[rank]
    return Dealt(regime, part, 1 + inner, 0, told, always=tuple(range(1, 1 + inner)))


def _needed(cells: Texts, regime: Regime) -> Variants:
    made = _variants(cells)
    if made is None:
        raise UsageError(
            f"'{regime}' is about variants of one protein, and these sequences have several lengths. Name "
            "the wild type (wild_type=, --wild-type), or take identity:0.3."
        )
    return made


def _variants(cells: Texts) -> Variants | None:
    """The cells beside their wild type, or beside their most common letters; None where lengths differ."""
    if cells.variants is not None:
        return cells.variants
    if len({len(sequence) for sequence in cells.sequences}) != 1:
        return None
    return against(cells.sequences, consensus(cells.sequences), unknown="mask")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        raise UsageError(f"'identity:{text}': {text!r} is no share. Say identity:0.3.") from None
    if not 0 < share <= 1:
        raise UsageError(
            f"'identity:{text}' is no share of residues above 0 and up to 1. Say identity:0.3."
        )
    return share


def quarters(values: Sequence[float] | NDArray[np.float64]) -> Ints:
    """The quarter (n,) of the values that each row is in."""
    array = np.asarray(values, np.float64)
    return np.searchsorted(np.quantile(array, [0.25, 0.5, 0.75]), array, side="right").astype(np.int64)
