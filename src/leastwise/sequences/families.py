"""Where all sequences are relatives, clusters are no folds: what a family is, and what to hold out of one.

sequences -> is_family          whether nearly all are variants of one, and why
variants  -> by_position        folds of positions that the training rows never saw mutated
          -> by_mutations       few mutations against many
values    -> low_against_high   poor ones against good ones
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leastwise.errors import DataError, UsageError, listed, plural
from leastwise.sequences.clean import ALPHABET, clean, pack

if TYPE_CHECKING:
    from leastwise.sequences.variants import Variants

__all__ = ["Family", "Labels", "by_mutations", "by_position", "consensus", "is_family", "low_against_high"]

Ints = NDArray[np.int64]

SAMPLE = 1_000  # sequences looked at where there are more
OF_LENGTH, OF_COLUMNS, OF_ROWS = 0.05, 0.9, 0.95  # what a family is: see `is_family`
WAYS = ("modulo", "contiguous")


@dataclass(frozen=True)
class Family:
    """Whether sequences are variants of one family (true or false in an `if`), and why."""

    related: bool
    reason: str

    def __bool__(self) -> bool:
        return self.related


@dataclass(frozen=True, eq=False)
class Labels:
    """A number for each row, rows of one number to be held out together, and what was done in words."""

    label: Ints  # (n,) from 0; -1 for a row that can be in no fold
    told: str


def is_family(seqs: Iterable[str]) -> Family:
    """Whether nearly all are variants of one sequence, so that a split by identity says nothing.

    A sequence belongs if its length is within 5 % of the most common one, and at least 90 % of the columns
    hold in it the letter most common there (counted from either end, so that one insertion or deletion
    does no harm). A family: at least two sequences, and at least 95 % of them belong: a convention. Of more
    than 1,000 as many are taken at even distances. O(residues). Raises what `clean` does under "mask".

    >>> is_family(["MVLSPADKTNVKAAW", "MVLSPADKTNVKAAY", "MVLSPEDKTNVKAAW"]).related
    True
    """
    came = clean(seqs, unknown="mask").sequences
    if len(came) < 2:
        return Family(False, f"{plural(len(came), 'sequence')} came, and a family takes two.")
    some = np.unique(np.linspace(0, len(came) - 1, min(len(came), SAMPLE)).astype(np.int64))
    packed = pack([came[i] for i in some])
    texts = np.split(packed.codes, packed.offsets[1:-1])
    L = int(np.bincount([len(text) for text in texts]).argmax())
    cells = np.concatenate([np.arange(L) * 21 + text for text in texts if len(text) == L])
    common = np.bincount(cells, minlength=21 * L).reshape(L, 21)[:, 1:].argmax(axis=1) + 1  # (L,)
    close = [text for text in texts if abs(len(text) - L) <= OF_LENGTH * L]
    left = [np.pad(text, (0, L))[:L] == common for text in close]
    right = [np.pad(text, (L, 0))[-L:] == common for text in close]
    share = np.mean(np.logical_or(left, right), axis=1)  # (close,)
    belong = int(np.sum(share >= OF_COLUMNS)) / len(some)
    reason = (
        f"Of {len(some):,} sequences (of {len(came):,}) {len(close) / len(some):.1%} are within "
        f"{OF_LENGTH:.0%} of {L:,} residues and have the most common letter in {share.mean():.1%} of the "
        f"columns; {belong:.1%} have it in at least {OF_COLUMNS:.0%} of them. A family needs {OF_ROWS:.0%}."
    )
    return Family(belong >= OF_ROWS, reason)


def consensus(sequences: Iterable[str]) -> str:
    """The most common letter at each position of clean sequences of one length; else DataError."""
    packed = pack(sequences)
    lengths = np.unique(packed.lengths)
    if len(lengths) != 1:
        spread = f"{lengths[0]:,} to {lengths[-1]:,} residues" if len(lengths) else "none at all"
        raise DataError(
            f"A letter at each position takes sequences of one length, and these have {spread}. Name the "
            "wild type and give variants (A23V), align and cut them to one length, or take "
            "encode_as='kmers:3'."
        )
    codes = packed.codes.reshape(-1, lengths[0])
    counts = np.stack([np.bincount(column, minlength=24)[1:21] for column in codes.T])  # (L, 20)
    return "".join(ALPHABET[code] for code in counts.argmax(axis=1))


def by_position(variants: Variants, k: int = 5, way: str = "modulo") -> Labels:
    """The fold of each variant's positions, 0 to k - 1, where they agree: (n,). O(n + m).

    The p positions that any variant mutates are dealt in their order: way="modulo" puts every k-th into
    one fold, "contiguous" makes k stretches of p / k positions, the first p mod k of them one longer.
    Multi-mutants with positions of several folds ("mixed") and the wild type, which has none, are -1: they
    belong neither in training nor in test. Raises `UsageError` for `way`, k < 2 and k > p.

    For single mutants both are ProteinGym's folds (ProteinNPT's create_folds.py): it, too, counts the
    positions that were mutated, not the residues' own numbers, so that no fold is empty. It leaves
    multi-mutants out first; here their positions count.

    >>> from leastwise.sequences import variants
    >>> by_position(variants(["A1C", "D2E", "A1G:E3D", "A1C:D2E"], "ADE"), 2).label.tolist()
    [0, 1, 0, -1]
    """
    places, which = np.unique(variants.positions, return_inverse=True)
    p, n = len(places), len(variants.sequences)
    if way not in WAYS:
        raise UsageError(f"way={way!r} came. It is {listed(WAYS, last='or')}. Choose one.")
    if not 2 <= k <= p:
        raise UsageError(f"k={k} came for {p:,} mutated positions. Each fold needs one. Pass 2 to {p}.")
    longer = np.arange(k) < p % k
    dealt = np.arange(p) % k if way == "modulo" else np.repeat(np.arange(k), p // k + longer)
    low, high = np.full(n, k), np.full(n, -1)
    np.minimum.at(low, variants.rows, dealt[which])
    np.maximum.at(high, variants.rows, dealt[which])
    label = np.where(low == high, low, -1)
    sizes = ", ".join(f"{size:,}" for size in np.bincount(label[label >= 0], minlength=k))
    told = f"{p:,} mutated positions in {k} folds, {way}: {sizes} rows. In no fold (-1): "
    told += f"{np.sum(low < high):,} rows with positions of several folds, {np.sum(high < 0):,} wild types."
    return Labels(label, told)


def by_mutations(variants: Variants) -> Labels:
    """The number of mutations of each variant, 0 for the wild type: train on few, test on many. (n,)"""
    counts = np.bincount(variants.mutations)
    told = ", ".join(f"{count:,} with {number}" for number, count in enumerate(counts) if count)
    return Labels(variants.mutations, f"Rows by number of mutations: {told}.")


def low_against_high(y: ArrayLike, *, at: float | None = None, group: ArrayLike | None = None) -> Labels:
    """0 where y is at most `at` (its median if left out; FLIP takes the wild type's value), 1 above: (n,).

    With `group` (n,), as in `Variants.group`, rows of one group go by their mean, and none is cut in two.
    Raises `DataError` for values that are missing or not finite, and where one side would be empty.

    >>> low_against_high([0.1, 2.0, 0.3, 0.9]).label.tolist()
    [0, 1, 0, 1]
    """
    value = np.asarray(y, dtype=np.float64)
    which = np.unique(np.arange(value.size) if group is None else np.asarray(group), return_inverse=True)[1]
    bad = np.flatnonzero(~np.isfinite(value))
    if value.ndim != 1 or which.shape != value.shape or len(bad):
        first = f", with no number in row {bad[0]:,} (counted from 0)," if len(bad) else ""
        came = f"y {value.shape}{first} and group {which.shape} came"
        raise DataError(f"{came}. Each row needs one number in each. Fill them, or leave those rows out.")
    value = (np.bincount(which, value) / np.bincount(which))[which]
    bound = float(np.median(value) if at is None and len(value) else at or 0)
    label = (value > bound).astype(np.int64)
    if len(np.unique(label)) < 2:
        raise DataError(f"All {len(value):,} rows lie on one side of {bound:g}. Both are needed. Pass at=.")
    return Labels(label, f"{np.sum(label == 0):,} rows at most {bound:g} (0), {label.sum():,} above (1).")
