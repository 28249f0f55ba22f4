"""Sequences as sparse designs: counts of words, and hashed words.

    packed codes -> (row, word, mark) of each word of k residues -> sorted as integers -> CSR   kmers
                            word -> column and sign              -> the same                    hashed_kmers

Each gives one of scipy's CSR arrays (n, columns), float64, in canonical form, without stored zeros; what
its columns are called is known before any sequence: kmer_names, hashed_names, position_names. Words hold no
masked residue and end with their sequence. A B, Z or J is read as either of its two amino acids with the
weight of one half, a word of several as the product of these: what one would count on average.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import UsageError
from leastwise.sequences.clean import ALPHABET, Packed
from leastwise.sequences.scales import PARTS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["hashed_kmers", "hashed_names", "kmer_names", "kmers"]

Ints = NDArray[np.int64]
Words = tuple[Ints, NDArray[np.uint64], Ints]  # row, word, how often its weight was halved

COUNTED, HASHED = 4, 8  # the longest words: 160,000 columns; 256 readings of a word of eight Bs
SCALES = ("share", "count")
PIECE = 1 << 18  # residues whose words are sorted at once

_FIRST = PARTS.argmax(axis=1).astype(np.uint64)  # (24,)
_LAST = (19 - PARTS[:, ::-1].argmax(axis=1)).astype(np.uint64)
_MARKS = 2.0 ** -np.arange(16)  # a weight by how often it was halved, then the same with the other sign
_VALUES = np.concatenate([_MARKS, -_MARKS])


def kmers(packed: Packed, k: int, *, scale: str = "share") -> csr_array:
    """How often each word of `k` letters, 1 to 4, comes in each sequence: (n, 20^k), in order of the words.

    scale="share" divides by the words of the sequence, so that rows add up to 1 and a long protein weighs
    no more than a short one; "count" does not. A sequence without a whole word of known residues is a row
    of zeros. O(residues log residues). Raises `UsageError` for another `k` or `scale`.

    >>> from leastwise.sequences.clean import pack
    >>> X = kmers(pack(["ACAC"]), 2, scale="count")
    >>> [kmer_names(2)[j] for j in X.indices], X.data.tolist()
    (['AC', 'CA'], [2.0, 1.0])
    """
    _check(k, COUNTED, scale)
    return _by_pieces(packed, k, 20**k, scale, None)


def kmer_names(k: int) -> tuple[str, ...]:
    """The words of `k` letters in the order of ALPHABET, the columns of `kmers`: 20^k.

    >>> kmer_names(2)[:2], len(kmer_names(3))
    (('AA', 'AC'), 8000)
    """
    _whole("k", k, 1, COUNTED)
    return tuple(map("".join, product(ALPHABET, repeat=k)))


def hashed_kmers(packed: Packed, k: int, size: int, *, seed: int = 0, scale: str = "share") -> csr_array:
    """Signed counts of words of `k` letters, 1 to 8, in `size` columns: (n, size).

    A hash of the word gives its column h and its sign s: `X_ij = sum of s(word) over the words with
    h(word) = j`. Words that fall into one column cancel on average, so that products of rows are those of
    the counts of all words, without bias, with a variance of about 1/size; without signs they would be too
    large. `scale`, zeros and cost are those of `kmers`; a share is of the words, so rows add up to 1 no
    more. The hash (splitmix64 of the word and `seed`) is the same on every machine. Raises `UsageError` for
    another `k`, `size`, `seed` or `scale`.

    Source: Weinberger et al., Feature hashing for large scale multitask learning, ICML (2009), lemma 2;
    Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA (2014).

    >>> from leastwise.sequences.clean import pack
    >>> X = hashed_kmers(pack(["MVLSPAD", "MVLSP"]), 5, 64, scale="count")
    >>> X.shape, abs(X.data).max()
    ((2, 64), np.float64(1.0))
    """
    _check(k, HASHED, scale)
    _whole("size", size, 1, 2**31 - 1)
    _whole("seed", seed, 0, 2**64 - 1)
    return _by_pieces(packed, k, size, scale, seed)


def hashed_names(k: int, size: int) -> tuple[str, ...]:
    """What the columns of `hashed_kmers` are called, for a hash has no word: `kmer5#17`, (size).

    >>> hashed_names(5, 3)
    ('kmer5#0', 'kmer5#1', 'kmer5#2')
    """
    _whole("k", k, 1, HASHED)
    _whole("size", size, 1, 2**31 - 1)
    return tuple(f"kmer{k}#{j}" for j in range(size))


def _check(k: int, most: int, scale: str) -> None:
    _whole("k", k, 1, most)
    if scale not in SCALES:
        raise UsageError(f"scale={scale!r} came. It is 'share' or 'count'. Choose one.")


def _whole(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise UsageError(f"{name}={value!r} came. It is a whole number, {least:,} to {most:,}. Pass one.")


def _by_pieces(packed: Packed, k: int, columns: int, scale: str, seed: int | None) -> csr_array:
    """The words of some sequences after others: what is sorted at once stays small."""
    from scipy.sparse import vstack

    n, starts = len(packed.lengths), [0]
    while starts[-1] < n:
        until = np.searchsorted(packed.offsets, packed.offsets[starts[-1]] + PIECE)
        starts.append(min(n, max(int(until), starts[-1] + 1)))
    ends = starts[1:] or [0]  # no sequence at all is one piece
    pieces = [
        _counted(_words(packed, first, end, k), end - first, columns, scale, seed)
        for first, end in zip(starts, ends, strict=False)
    ]
    return pieces[0] if len(pieces) == 1 else vstack(pieces, format="csr")


def _words(packed: Packed, first: int, end: int, k: int) -> Words:
    """Each word of sequences first to end: letters are the digits of a number to the base 20."""
    offsets = packed.offsets[first : end + 1]
    codes, lengths = packed.codes[offsets[0] : offsets[-1]], packed.lengths[first:end]
    left = np.repeat(offsets[1:] - offsets[0], lengths) - np.arange(len(codes))  # residues to the end
    masked = np.append(0, np.cumsum(codes == 0))
    at = np.flatnonzero(left >= k)
    at = at[masked[at + k] == masked[at]]
    row, word, halved = np.repeat(np.arange(end - first), lengths)[at], np.zeros(len(at), np.uint64), at * 0
    for j in range(k):
        code = codes[at + j]
        two = np.flatnonzero(code > len(ALPHABET))
        other = word[two] * np.uint64(20) + _LAST[code[two]]
        word *= np.uint64(20)
        word += _FIRST[code]
        if len(two):
            halved[two] += 1
            word = np.append(word, other)
            row, halved, at = (np.append(a, a[two]) for a in (row, halved, at))
    return row, word, halved


def _counted(words: Words, n: int, columns: int, scale: str, seed: int | None) -> csr_array:
    """Sums by row and column: (row, column, mark) as one integer, sorted; equal cells stand together."""
    from scipy.sparse import csr_array

    row, word, mark = words
    total = np.bincount(row, _VALUES[mark], minlength=n)  # words of each row, those of halves as halves
    if seed is None:
        column = word.astype(np.int64)
    else:
        h = _mixed(word, seed)
        column = ((h >> np.uint64(32)) * np.uint64(columns) >> np.uint64(32)).astype(np.int64)
        mark = mark + 16 * (h & np.uint64(1)).astype(np.int64)
    key = (row * columns + column) * 32 + mark
    key.sort()
    cell = key >> 5
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    data = np.add.reduceat(_VALUES[key & 31], first) if len(first) else np.zeros(0)
    cell = cell[first][data != 0]  # what has cancelled is not stored
    data = data[data != 0]
    until = np.searchsorted(cell, np.arange(n + 1) * columns)
    if scale == "share":
        data = data / total[cell // columns]
    return csr_array((data, cell % columns, until), shape=(n, columns))


def _mixed(word: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """64 bits of each word that look drawn at random: splitmix64, begun where that of the seed ends."""

    def mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    golden = np.uint64(0x9E3779B97F4A7C15)
    begun = mix(np.array([seed], np.uint64) * golden + golden)
    return mix((word + np.uint64(1)) * golden + begun)
