"""Sparse designs of sequences: against loops over letters, with masked and doubtful residues."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leastwise.errors import UsageError
from leastwise.sequences import designs
from leastwise.sequences.clean import ALPHABET, pack
from leastwise.sequences.designs import (
    hashed_kmers,
    hashed_names,
    kmer_names,
    kmers,
)
from leastwise.sequences.scales import EITHER

LETTERS = st.text(alphabet=ALPHABET + "XBZJ", max_size=14)
EDGES = [[], ["A"], ["X"], ["XXXX", "AC"], ["ACDEF"], ["", "MVLS", ""], ["BZJ", "BBBB"], ["AXCDXEFGX"]]
MASK = 2**64 - 1
PINNED = {198: -1.0, 251: 1.0, 267: 1.0, 351: 1.0, 532: 1.0, 659: -1.0}


def read(word: str) -> dict[str, float]:
    """The words that a word may stand for, with their weights; none where a residue is masked."""
    choices = [EITHER.get(letter, "" if letter == "X" else letter) for letter in word]
    return {"".join(some): 1.0 / np.prod([len(c) for c in choices]) for some in product(*choices)}


def words(sequence: str, k: int) -> dict[str, float]:
    """The twin: how often each word comes."""
    found: dict[str, float] = defaultdict(float)
    for start in range(len(sequence) - k + 1):
        for word, weight in read(sequence[start : start + k]).items():
            found[word] += weight
    return dict(found)


def splitmix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def hashed(word: str, size: int, seed: int) -> tuple[int, int]:
    """Column and sign of a word, in Python's integers."""
    number, golden = 0, 0x9E3779B97F4A7C15
    for letter in word:
        number = number * 20 + ALPHABET.index(letter)
    begun = splitmix((seed * golden + golden) & MASK)
    h = splitmix(((number + 1) * golden + begun) & MASK)
    return ((h >> 32) * size) >> 32, -1 if h & 1 else 1


def sound(X: Any) -> None:
    """Canonical, float64, and no zero is stored."""
    X.check_format()
    assert X.dtype == np.float64
    assert X.has_canonical_format
    assert (X.data != 0).all()


def check_kmers(seqs: list[str], k: int) -> None:
    names, X = kmer_names(k), kmers(pack(seqs), k, scale="count")
    shares = kmers(pack(seqs), k)
    sound(X)
    assert X.shape == (len(seqs), 20**k) == (len(seqs), len(names))
    for i, sequence in enumerate(seqs):
        known, row = words(sequence, k), X[[i]]
        assert {names[j]: v for j, v in zip(row.indices, row.data, strict=True)} == known
        total = sum(known.values()) or 1.0
        np.testing.assert_allclose(shares[[i]].toarray(), row.toarray() / total, rtol=1e-15)


@pytest.mark.parametrize("seqs", EDGES, ids=str)
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_words_are_counted_as_a_loop_counts_them_at_the_edges(seqs: list[str], k: int) -> None:
    check_kmers(seqs, k)


@given(st.lists(LETTERS, max_size=6), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_words_are_counted_as_a_loop_counts_them(seqs: list[str], k: int) -> None:
    check_kmers(seqs, k)


@given(st.lists(LETTERS, max_size=5), st.integers(1, 5), st.integers(1, 40), st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_hashed_words_are_the_signed_sums_of_a_loop(seqs: list[str], k: int, size: int, seed: int) -> None:
    X = hashed_kmers(pack(seqs), k, size, seed=seed, scale="count")
    shares = hashed_kmers(pack(seqs), k, size, seed=seed).toarray()
    sound(X)
    assert hashed_names(k, size) == tuple(f"kmer{k}#{j}" for j in range(size))
    expected, totals = np.zeros((len(seqs), size)), np.ones((len(seqs), 1))
    for i, sequence in enumerate(seqs):
        known = words(sequence, k)
        totals[i] = sum(known.values()) or 1.0
        for word, weight in known.items():
            column, sign = hashed(word, size, seed)
            expected[i, column] += sign * weight
    np.testing.assert_array_equal(X.toarray(), expected)
    np.testing.assert_allclose(shares, expected / totals, rtol=1e-15)


def test_words_at_the_seam_of_two_sequences_do_not_count() -> None:
    X = kmers(pack(["AC", "DE"]), 2, scale="count")
    assert [kmer_names(2)[j] for j in X.indices] == ["AC", "DE"]


@pytest.mark.parametrize("piece", [1, 30, 500])
def test_pieces_change_nothing(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    seqs = ["".join(rng.choice([*ALPHABET, "X", "B"], size)) for size in rng.integers(0, 60, 40)]
    whole = [way(pack(seqs)) for way in (lambda s: kmers(s, 3), lambda s: hashed_kmers(s, 4, 50))]
    monkeypatch.setattr(designs, "PIECE", piece)
    pieces = [way(pack(seqs)) for way in (lambda s: kmers(s, 3), lambda s: hashed_kmers(s, 4, 50))]
    for one, other in zip(whole, pieces, strict=True):
        sound(other)
        np.testing.assert_array_equal(one.toarray(), other.toarray())


def test_hashes_are_these_on_every_machine() -> None:
    X = hashed_kmers(pack(["MVLSPADKTN"]), 5, 1000, seed=7, scale="count")
    assert dict(zip(X.indices.tolist(), X.data.tolist(), strict=True)) == PINNED
    other = hashed_kmers(pack(["MVLSPADKTN"]), 5, 1000, seed=8, scale="count")
    assert set(other.indices.tolist()) != set(PINNED)


def test_products_of_hashed_rows_are_those_of_all_words_on_average() -> None:
    rng = np.random.default_rng(1)
    seqs = pack(["".join(rng.choice([*ALPHABET], 120)) for _ in range(4)])
    counts = kmers(seqs, 2, scale="count")
    truth = (counts @ counts.T).toarray()
    seeds = [hashed_kmers(seqs, 2, 64, seed=seed, scale="count") for seed in range(600)]
    products = np.array([(X @ X.T).toarray() for X in seeds])
    error = products.std(axis=0) / np.sqrt(len(products))
    assert (np.abs(products.mean(axis=0) - truth) < 4.5 * error).all()


def test_columns_and_signs_are_dealt_evenly() -> None:
    every = np.arange(20**4, dtype=np.uint64)
    h = designs._mixed(every, 0)
    column = (h >> np.uint64(32)) * np.uint64(100) >> np.uint64(32)
    counts = np.bincount(column.astype(int), minlength=100)
    assert ((counts - 1600) ** 2 / 1600).sum() < 150  # chi-squared of 99 degrees: 1 in 1,000 is above 149
    assert abs((h & np.uint64(1)).sum() / 160_000 - 0.5) < 0.005


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: kmers(s, 0), "k=0 came. It is a whole number, 1 to 4"),
        (lambda s: kmers(s, 5), "k=5"),
        (lambda s: kmers(s, True), "k=True"),
        (lambda s: kmers(s, 2, scale="log"), "'share' or 'count'"),
        (lambda s: hashed_kmers(s, 9, 10), "k=9"),
        (lambda s: kmer_names(5), "k=5"),
        (lambda s: hashed_names(3, 0), "size=0"),
        (lambda s: hashed_kmers(s, 3, 0), "size=0"),
        (lambda s: hashed_kmers(s, 3, 10, seed=-1), "seed=-1"),
    ],
)
def test_what_does_not_apply_is_refused(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(pack(["ACD"]))
