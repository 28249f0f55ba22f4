"""Which sequences come into question as relatives of one: those that share rare short words with it.

Two kinds of words: three residues in a row, and five out of seven in an alphabet of ten classes of
residues that take each other's place (Murphy, Wallqvist, Levy, Protein Eng. 13 (2000) 149), which more
distant relatives still share. A word counts the more the fewer sequences hold it (inverse document
frequency); a pair's likeness is the sum of the two cosines, less what chance gives: two long proteins share
words as sqrt(m n) grows, and without that the likest of any would be the longest. Cost: the sum over words
of the squares of how many hold it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from leastwise.numerics import workers
from leastwise.sequences.clean import ALPHABET, Packed
from leastwise.sequences.words import held

Ints = NDArray[np.int64]
Short = NDArray[np.int32]
Shares = NDArray[np.float32]

CLASSES = ("LVIM", "C", "A", "G", "ST", "P", "FYW", "EDNQ", "KR", "H")
IN_A_ROW, SPACED = (0, 1, 2), (0, 1, 3, 5, 6)
AT_ONCE = 64  # sequences asked for by one thread

_CLASS = np.zeros(len(ALPHABET) + 1, np.uint8)  # of a code; 0 masked
for _number, _letters in enumerate(CLASSES, 1):
    _CLASS[[ALPHABET.index(letter) + 1 for letter in _letters]] = _number


@dataclass(frozen=True, eq=False)
class Index:
    """The words of each sequence, and the sequences that hold each word, with their weights."""

    words: Short  # (incidences,) the words of sequence i are words[first[i]:first[i + 1]]
    first: Ints  # (n + 1,)
    weights: Shares  # (incidences,)
    rows: Short  # (incidences,) the holders of word w are rows[starts[w]:starts[w + 1]]
    starts: Ints  # (words + 1,)
    shares: Shares  # (incidences,) the weights in that order

    @classmethod
    def of(cls, packed: Packed) -> Index:
        """The index of all sequences."""
        from scipy.sparse import csc_array

        n = len(packed.lengths)
        rows, shares, starts = [], [], [np.zeros(1, np.int64)]
        for letters, places, size in (
            (packed.codes, IN_A_ROW, len(ALPHABET)),
            (_CLASS[packed.codes], SPACED, len(CLASSES)),
        ):
            word, row = held(packed, letters, places, size)  # by word
            first = np.flatnonzero(np.diff(word, prepend=-1))
            holders = np.diff(first, append=len(word))
            weight = np.repeat((np.log((1 + n) / (1 + holders)) + 1e-3).astype(np.float32), holders)
            norm = np.sqrt(np.bincount(row, weight**2, n))
            rows.append(row.astype(np.int32))
            shares.append(weight / norm.astype(np.float32)[row])
            starts.append(starts[-1][-1] + np.cumsum(holders))
        end = np.concatenate(starts)
        by_word = csc_array((np.concatenate(shares), np.concatenate(rows), end), shape=(n, len(end) - 1))
        by_row = by_word.tocsr()
        return cls(
            np.asarray(by_row.indices, np.int32), np.asarray(by_row.indptr, np.int64), by_row.data,
            np.asarray(by_word.indices, np.int32), end, by_word.data,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.first) - 1

    def nearest(
        self, most: int, among: NDArray[np.bool_] | None = None, asked: Ints | None = None
    ) -> Iterator[tuple[int, Ints]]:
        """For each of `asked` the `most` sequences (of `among`) that are likest, the likest first."""
        n = len(self)
        asked = np.arange(n) if asked is None else asked
        out = None if among is None else np.flatnonzero(~among)
        roots = np.sqrt(np.diff(self.first)).astype(np.float32)  # of the words that each holds

        def some(start: int) -> list[tuple[int, Ints]]:
            found, likeness = [], np.empty(n, np.float32)
            for i in asked[start : start + AT_ONCE].tolist():
                _likeness(
                    i, self.words, self.first, self.weights, self.rows, self.starts, self.shares, likeness
                )
                likeness[i] = 0.0
                likeness -= likeness.sum() / roots.sum() * roots  # what chance gives one of its length
                likeness[i] = 0.0
                if out is not None:
                    likeness[out] = 0.0
                top = np.argpartition(likeness, -most)[-most:] if most < n else np.arange(n)
                top = top[np.lexsort((top, -likeness[top]))]
                found.append((i, top[likeness[top] > 0]))
            return found

        with ThreadPoolExecutor(workers()) as pool:
            for found in pool.map(some, range(0, len(asked), AT_ONCE)):
                yield from found


@njit(cache=True, nogil=True)
def _likeness(
    i: int,
    words: Short,
    first: Ints,
    weights: Shares,
    rows: Short,
    starts: Ints,
    shares: Shares,
    likeness: Shares,
) -> None:
    """`likeness[j]`, the sum over the words of i of its weight times that of j."""
    likeness[:] = 0.0
    for a in range(first[i], first[i + 1]):
        w, weight = words[a], weights[a]
        for b in range(starts[w], starts[w + 1]):
            likeness[rows[b]] += weight * shares[b]


@njit(cache=True, nogil=True)
def once(near: Short) -> NDArray[np.bool_]:
    """Which cells of a table (n, most) of the likest first name a pair that no other cell names before.

    A pair that both name stays with the one that has it further to the front; -1 names nobody.
    """
    n, most = near.shape
    mine = np.zeros((n, most), np.bool_)
    for i in range(n):
        for a in range(most):
            j = near[i, a]
            if j < 0:
                break
            mine[i, a] = True
            for b in range(a + (j < i)):  # in the same place the first of the two has it
                if near[j, b] == i:
                    mine[i, a] = False
                    break
    return mine
