"""Which sequences come into question as relatives of one: those that share rare short words with it.

Two kinds of words: three residues in a row, and five out of seven in an alphabet of ten classes of
residues that take each other's place (Murphy, Wallqvist, Levy, Protein Eng. 13 (2000) 149), which more
distant relatives still share. A word counts the more the fewer sequences hold it (inverse document
frequency); a pair's likeness is the sum of the two cosines. Cost: the sum over words of the squares of how
many hold it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from leastwise.numerics import workers
from leastwise.sequences.clean import ALPHABET, Packed

Ints = NDArray[np.int64]
Shares = NDArray[np.float32]

CLASSES = ("LVIM", "C", "A", "G", "ST", "P", "FYW", "EDNQ", "KR", "H")
IN_A_ROW, SPACED = (0, 1, 2), (0, 1, 3, 5, 6)
AT_ONCE = 64  # sequences asked for by one thread

_CLASS = np.zeros(len(ALPHABET) + 1, np.int64)  # of a code; 0 masked
for _number, _letters in enumerate(CLASSES, 1):
    _CLASS[[ALPHABET.index(letter) + 1 for letter in _letters]] = _number


@dataclass(frozen=True, eq=False)
class Index:
    """The words of each sequence, and the sequences that hold each word, with their weights."""

    words: Ints  # (incidences,) the words of sequence i are words[first[i]:first[i + 1]]
    first: Ints  # (n + 1,)
    weights: Shares  # (incidences,)
    rows: Ints  # (incidences,) the holders of word w are rows[starts[w]:starts[w + 1]]
    starts: Ints  # (words + 1,)
    shares: Shares  # (incidences,) the weights in that order

    @classmethod
    def of(cls, packed: Packed) -> Index:
        """The index of all sequences."""
        n = len(packed.lengths)
        kinds = [
            _held(packed, packed.codes.astype(np.int64), IN_A_ROW, len(ALPHABET)),
            _held(packed, _CLASS[packed.codes], SPACED, len(CLASSES)),
        ]
        words, rows, last = [], [], 0
        weights: list[Shares] = []
        for word, row in kinds:
            word = _numbered(word)
            holders = np.bincount(word)
            weight = np.log((1 + n) / (1 + holders))[word] + 1e-3
            size = np.sqrt(np.bincount(row, weight**2, n))
            words.append(word + last)
            rows.append(row)
            weights.append(np.asarray(weight / size[row], np.float32))
            last += len(holders)
        word, row = np.concatenate(words), np.concatenate(rows)
        share = np.concatenate(weights)
        by_row, by_word = np.argsort(row, kind="stable"), np.argsort(word, kind="stable")
        return cls(
            word[by_row], _starts(row, n), share[by_row],
            row[by_word], _starts(word, last), share[by_word],
        )  # fmt: skip

    def nearest(self, most: int, among: NDArray[np.bool_] | None = None, asked: Ints | None = None) -> Any:
        """For each of `asked` the `most` sequences (of `among`) that are likest, as pairs (i, targets)."""
        n = len(self.first) - 1
        asked = np.arange(n) if asked is None else asked
        out = np.zeros(n, bool) if among is None else ~among

        def some(start: int) -> list[tuple[int, Ints]]:
            found, likeness = [], np.empty(n, np.float32)
            for i in asked[start : start + AT_ONCE].tolist():
                _likeness(
                    i, self.words, self.first, self.weights, self.rows, self.starts, self.shares, likeness
                )
                likeness[out] = 0.0
                likeness[i] = 0.0
                top = np.argpartition(likeness, -most)[-most:] if most < n else np.arange(n)
                found.append((i, np.sort(top[likeness[top] > 0])))
            return found

        with ThreadPoolExecutor(workers()) as pool:
            for found in pool.map(some, range(0, len(asked), AT_ONCE)):
                yield from found


@njit(cache=True, nogil=True)
def _likeness(
    i: int,
    words: Ints,
    first: Ints,
    weights: Shares,
    rows: Ints,
    starts: Ints,
    shares: Shares,
    likeness: Shares,
) -> None:
    """`likeness[j]`, the sum over the words of i of its weight times that of j."""
    likeness[:] = 0.0
    for a in range(first[i], first[i + 1]):
        w = words[a]
        for b in range(starts[w], starts[w + 1]):
            likeness[rows[b]] += weights[a] * shares[b]


def _held(packed: Packed, letters: Ints, places: tuple[int, ...], size: int) -> tuple[Ints, Ints]:
    """The distinct words (incidences,) of each sequence, and the sequence; none spans a masked residue."""
    span, total = places[-1] + 1, len(letters)
    count = max(total - span + 1, 0)
    row = packed.rows
    word, whole = np.zeros(count, np.int64), row[:count] == row[total - count :]
    for place in places:
        word = word * size + letters[place : place + count] - 1
        whole &= letters[place : place + count] > 0
    n = len(packed.lengths)
    held = np.sort(word[whole] * n + row[:count][whole])  # (np.unique takes several times as long)
    word, row = np.divmod(held[np.diff(held, prepend=-1) > 0], max(n, 1))
    return word, row


def _numbered(words: Ints) -> Ints:
    """Sorted words as numbers from 0 on."""
    return np.cumsum(np.diff(words, prepend=words[:1]) > 0)


def _starts(of: Ints, size: int) -> Ints:
    return np.append(0, np.cumsum(np.bincount(of, minlength=size))).astype(np.int64)
