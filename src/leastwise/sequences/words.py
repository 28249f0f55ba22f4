"""Groups of related proteins by the short words that they share: quick, and no proof (identity.py is one).

    distinct sequences -> words of k residues, plain stretches left out
                       -> pairs that share enough words -> connected components

Among n sequences a word that many hold costs n^2 pairs and says little. So words are counted in
two ways, and a pair is made where either count is enough:

    a rare word    (100 sequences or 1 % of them hold it, or fewer)  between all its holders
    any word       between its most typical holder, the one whose words are met most often, and
                   each other: a star, by which a set of variants hangs on its wild type
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import UsageError
from leastwise.sequences.clean import Packed, clean, pack

__all__ = ["relatives"]

Ints = NDArray[np.int64]

# A stretch of 12 residues that uses fewer than 6 letters is plain: runs, repeats, charged coils,
# most of a His tag. Composition alone makes such stretches alike: without the rule the largest
# group of the 4,165 meltome proteins is 261, with it 82 (share=0.03: 790 and 98). Fewer than 7
# letters does no better there and finds fewer relatives at 50 % identity.
_WINDOW, _LETTERS = 12, 6
_RARE = (100, 0.01)  # a word is rare in that many sequences, or in that fraction of them
_BLOCK = 512  # rows of the product of words at a time: memory stays small


def relatives(
    seqs: Iterable[str],
    *,
    k: int = 5,
    share: float = 0.04,
    shared: int = 4,
    unknown: str = "error",
) -> Ints:
    """A group number for each sequence, 0 to g - 1 in order of first appearance: (n,).

    Groups are the connected components of pairs that share at least `share` of the distinct words
    of `k` residues of the sequence that has fewer, and at least `shared` words. Identical
    sequences are always together, however short. The grouping does not depend on the order of the
    rows. `unknown` is "error" or "mask", as in `clean`; no word spans a masked residue.

    What it finds, by copies of real proteins with random substitutions: all of those with 90 and
    70 % of the residues left, 9 of 10 at 60 %, 2 of 10 at 50 %, none at 40 %. So it does not see
    remote kinship: a split by these groups is not one at 30 % identity. A shared domain is enough
    for a pair, however long the rest. Peptides of fewer than `k + shared - 1` residues meet only
    when identical, and so do those that are plain throughout. A whole fusion partner that all
    constructs carry joins them all: cut it off first. A His tag does not.

    On one core 4,165 proteins of 648 residues take about 1.3 s and 200 MB. O(residues log
    residues) for the words; the pairs grow with n^2 where words meet by chance alone.

    Raises `SequenceError` as `clean` does and `UsageError` for options out of range.

    >>> relatives(["MVLSPADKTNVKAAW", "ACDEFGHIKLMNPQR", "MVLSPADKTNVKAAW"])
    array([0, 1, 0])
    """
    _check(k, share, shared, unknown)
    cleaned = clean(seqs, unknown=unknown).sequences
    distinct = sorted(set(cleaned))  # an order that the rows' order has no part in
    words = _words(pack(distinct), k)
    pairs = np.hstack([_by_rare_words(words, share, shared), _by_star(words, share, shared)])
    group = dict(zip(distinct, _components(pairs, len(distinct)), strict=True))
    return _by_appearance([group[sequence] for sequence in cleaned])


def _check(k: int, share: float, shared: int, unknown: str) -> None:
    if not 2 <= k <= 9:
        raise UsageError(f"k={k} came. Words of 2 to 9 residues are counted. Choose one of these.")
    if not 0 < share <= 1:
        raise UsageError(f"share={share} came. It is a fraction above 0 and up to 1. Pass one.")
    if shared < 1:
        raise UsageError(f"shared={shared} came. It is a number of words. Pass 1 or more.")
    if unknown not in ("error", "mask"):
        raise UsageError(
            f"unknown={unknown!r} came. Each row needs a group, so 'error' or 'mask' are possible. "
            "Call clean(seqs, unknown='drop') first and pass its .sequences."
        )


@dataclass(frozen=True)
class _Words:
    """Which sequences hold each distinct word: word j is in `rows[starts[j]:starts[j + 1]]`."""

    rows: Ints  # (incidences,) ascending within a word
    starts: Ints  # (words + 1,)
    sizes: Ints  # (n,) distinct words of each sequence

    @property
    def holders(self) -> Ints:
        """How many sequences hold each word: (words,)."""
        return np.diff(self.starts)

    def enough(self, pairs: Ints, share: float, shared: int) -> NDArray[np.float64]:
        """The words that a pair must share, after the sequence that has fewer: (pairs,)."""
        return np.maximum(shared, share * self.sizes[pairs].min(axis=0))


def _words(packed: Packed, k: int) -> _Words:
    """The distinct words of each sequence, without plain stretches and masked residues."""
    letters = np.where(_plain(packed), np.uint8(0), packed.codes)
    word, rows = held(packed, letters, range(k), 20)
    starts = np.flatnonzero(np.diff(word, prepend=-1))
    return _Words(rows, np.append(starts, len(rows)), np.bincount(rows, minlength=len(packed.lengths)))


def held(packed: Packed, letters: NDArray[np.uint8], places: Sequence[int], size: int) -> tuple[Ints, Ints]:
    """The distinct words of each sequence, and the sequence: (incidences,) both, by word, then sequence.

    A word is made of the letters, 1 to `size`, at `places` from its first one on; `letters` (total
    residues,) are 0 where no word may be, and none spans two sequences.
    """
    n, total, span = len(packed.lengths), len(letters), places[-1] + 1
    count = max(total - span + 1, 0)  # each a possible first residue of a word
    rows = packed.rows
    word = np.zeros(count, dtype=np.int64)
    whole = rows[:count] == rows[total - count :]
    for place in places:
        letter = letters[place : place + count]
        word *= size
        word += letter
        whole &= letter > 0
    word -= sum(size**i for i in range(len(places)))  # letters from 0 on
    found = _distinct(word[whole] * n + rows[:count][whole])
    word, rows = np.divmod(found, max(n, 1))
    return word, rows


def _plain(packed: Packed) -> NDArray[np.bool_]:
    """The residues of any stretch of 12 that uses fewer than 6 letters: (total residues,)."""
    total = len(packed.codes)
    windows = max(total - _WINDOW + 1, 0)
    letters = np.zeros(windows, dtype=np.int32)  # a bit for each letter in the stretch
    bits = np.int32(1) << packed.codes.astype(np.int32)
    for i in range(_WINDOW):
        letters |= bits[i : i + windows]
    rows = packed.rows
    within = rows[:windows] == rows[total - windows :]
    plain = (np.bitwise_count(letters) < _LETTERS) & within
    covered = np.zeros(total, dtype=bool)
    for i in range(_WINDOW):
        covered[i : i + windows] |= plain
    return covered


def _distinct(values: Ints) -> Ints:
    """Sorted, each once. `np.unique` goes by a hash table and takes 30 times as long here."""
    values = np.sort(values)
    return values[np.diff(values, prepend=-1) > 0]


def _by_rare_words(words: _Words, share: float, shared: int) -> Ints:
    """Pairs by rare words: (2, pairs). A column of `W` is a word; `W W'` counts the shared ones."""
    from scipy.sparse import csc_array

    n, holders = len(words.sizes), words.holders
    rare = (holders > 1) & (holders <= max(_RARE[0], int(_RARE[1] * n)))
    rows = words.rows[np.repeat(rare, holders)]
    ends = np.concatenate([[0], np.cumsum(holders[rare])])
    W = csc_array((np.ones(len(rows), np.int32), rows, ends), shape=(n, len(ends) - 1)).tocsr()
    found = [np.zeros((2, 0), dtype=np.int64)]
    for start in range(0, n, _BLOCK):
        counts = (W[start : start + _BLOCK] @ W.T).tocoo()  # (block, n)
        pairs = np.stack([counts.row + start, counts.col]).astype(np.int64)
        found.append(pairs[:, counts.data >= words.enough(pairs, share, shared)])
    return np.hstack(found)


def _by_star(words: _Words, share: float, shared: int) -> Ints:
    """Pairs of the most typical holder of a word with all its holders: (2, pairs)."""
    n, holders = len(words.sizes), words.holders
    if not len(holders):
        return np.zeros((2, 0), dtype=np.int64)
    met = np.bincount(words.rows, np.repeat(holders, holders), minlength=n)  # (n,)
    order = np.argsort(-met, kind="stable")  # the most typical sequence first
    rank = np.argsort(order)
    centre = order[np.minimum.reduceat(rank[words.rows], words.starts[:-1])]  # (words,)
    found = np.sort(np.repeat(centre, holders) * n + words.rows)  # a pair once for each word
    starts = np.flatnonzero(np.diff(found, prepend=-1))
    counts = np.diff(starts, append=len(found))
    pairs = np.stack(np.divmod(found[starts], n))
    return pairs[:, counts >= words.enough(pairs, share, shared)]


def _components(pairs: Ints, n: int) -> list[int]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    linked = coo_array((np.ones(pairs.shape[1], np.int8), tuple(pairs)), shape=(n, n))
    labels: list[int] = connected_components(linked, directed=False)[1].tolist()
    return labels


def _by_appearance(groups: list[int]) -> Ints:
    """The same groups, numbered in the order in which they first appear."""
    number: dict[int, int] = {}
    return np.array([number.setdefault(group, len(number)) for group in groups], dtype=np.int64)
