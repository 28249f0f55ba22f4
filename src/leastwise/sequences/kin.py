"""Who is near to whom among sequences: the alignments behind grouped folds and honest scores.

    distinct sequences -> the likest few of each (candidates.py) -> scores -> alignments -> groups

A quick cousin of `cluster`: of each sequence the CANDIDATES likest are scored (all, where there are few),
and of those that chance does not explain the NEAREST best are aligned, with whatever else may still connect
groups. So it knows for each sequence how near the nearest of any others is, and which sequences are
connected; but it proves nothing: that is what `split` and its certificate do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leastwise.numerics import workers
from leastwise.sequences.alignment import Alignments, Database, Progress, Related, without_tags
from leastwise.sequences.clean import pack

__all__ = ["Kin", "kin", "nearest_of"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

ALL = 300  # sequences up to which every pair is scored
CANDIDATES = 50  # of each sequence beyond
SCORES = 0.35  # share of the work: the rest is alignments
NEAREST = 3  # of each sequence, that are aligned whether or not they connect anything


@dataclass(frozen=True, eq=False)
class Kin:
    """What is known of n distinct sequences: m pairs that chance does not explain, and their groups.

    `identity` (m,) is that of the best local alignment, long enough to count (`Related.reaches`); `groups`
    (n,) are the connected components of pairs that are related.
    """

    sequences: tuple[str, ...]  # n, sorted
    related: Related
    first: Ints  # (m,)
    second: Ints  # (m,)
    identity: NDArray[np.float64]  # (m,)
    groups: Ints  # (n,) from 0
    pairs: int  # scored

    @property
    def exhaustive(self) -> bool:
        """Whether every pair was scored."""
        n = len(self.sequences)
        return self.pairs == n * (n - 1) // 2

    def nearest(self, held: Flags, train: Flags) -> tuple[NDArray[np.float64], Ints]:
        """For sequences held out the identity (n,) to the nearest in train, and which; 0 and -1: none.

        Of what is not held out nothing is said. `held` and `train` (n,) do not meet. Only the pairs known
        are searched, the best few of each sequence: of a large family train should hold a good share.
        """
        share, which = np.zeros(len(self.sequences)), np.full(len(self.sequences), -1)
        for one, other in ((self.first, self.second), (self.second, self.first)):
            across = np.flatnonzero(held[one] & train[other])
            order = across[
                np.lexsort((-other[across], self.identity[across]))
            ]  # the last one written stays
            better = order[self.identity[order] >= share[one[order]]]
            share[one[better]], which[one[better]] = self.identity[better], other[better]
        return share, which


def kin(sequences: Iterable[str], related: Related, progress: Progress | None = None) -> Kin:
    """The near pairs and the groups of cleaned sequences. `progress` is called with (done, in all).

    4,165 proteins of 648 residues take about 40 CPU seconds.
    """
    distinct = tuple(sorted(set(sequences)))
    n, database, told = len(distinct), Database(distinct), _Told(progress, len(set(distinct)))
    one, other, score = (np.empty(0, np.int64) for _ in range(3))
    if n > 1:
        asked = _all(n) if n <= ALL else _likely(distinct)
        one, other, score = _scored(database, asked, related, told)
    found, groups = _aligned(database, one, other, score, related, told)
    told.of(n, 1.0)
    count = n * (n - 1) // 2 if n <= ALL else n * CANDIDATES
    near = related.reaches(found, n)
    return Kin(
        distinct, related, found.query[near], found.target[near], found.identity[near], groups, count
    )


def nearest_of(
    new: Iterable[str], known: Iterable[str], related: Related, progress: Progress | None = None
) -> dict[str, float]:
    """Of each new sequence the identity to the nearest of the known ones; 0 where none is near.

    Of the CANDIDATES likest (all, where there are few) the NEAREST best by score are aligned; identities
    are of alignments that are long enough and not by chance. A sequence that is known has 1.
    """
    new, known = set(new), set(known)
    distinct = tuple(sorted(new | known))
    n, database = len(distinct), Database(distinct)
    there = np.array([sequence in known for sequence in distinct])
    asked = np.flatnonzero([sequence in new and sequence not in known for sequence in distinct])
    found = {sequence: float(sequence in known) for sequence in new}
    pairs: Iterator[tuple[int, Ints]] = ((i, np.flatnonzero(there)) for i in asked.tolist())
    if there.sum() > ALL:
        from leastwise.sequences.candidates import Index

        pairs = Index.of(pack(map(without_tags, distinct))).nearest(CANDIDATES, there, asked)

    def one(pair: tuple[int, Ints]) -> tuple[int, float]:
        query, targets = pair
        scores = database.scores(query, targets)
        some = np.flatnonzero(database.worth(query, targets, scores, related, n))
        best = some[np.argsort(-scores[some], kind="stable")[:NEAREST]]
        made = Alignments.of(database.alignments(query, targets[best], scores[best]))
        return query, float(made.identity[related.reaches(made, n)].max(initial=0.0))

    with ThreadPoolExecutor(workers()) as pool:
        for done, (query, share) in enumerate(pool.map(one, pairs), 1):
            found[distinct[query]] = share
            if progress is not None and done % 32 == 0:
                progress(done, len(asked))
    return found


def _all(n: int) -> Iterator[tuple[int, Ints]]:
    for i in range(n - 1):
        yield i, np.arange(i + 1, n)


def _likely(distinct: tuple[str, ...]) -> Iterator[tuple[int, Ints]]:
    """Each sequence with the likest of the others; a pair that each names comes twice."""
    from leastwise.sequences.candidates import Index

    yield from Index.of(pack(map(without_tags, distinct))).nearest(CANDIDATES)


class _Told:
    """Progress: scores and alignments as so many of n sequences, never backwards."""

    def __init__(self, progress: Progress | None, n: int) -> None:
        self.progress, self.n, self.done = progress, n, 0

    def of(self, done: float, share: float) -> None:
        """So many sequences of n are done, of a stage that ends at this share of the work."""
        self.done = max(self.done, min(int(done * share), self.n))
        if self.progress is not None:
            self.progress(self.done, self.n)


def _scored(
    database: Database, asked: Iterator[tuple[int, Ints]], related: Related, told: _Told
) -> tuple[Ints, Ints, Ints]:
    """The pairs (m,) whose score may matter, each once, the best first."""
    n, kept = len(database), []

    def one(pair: tuple[int, Ints]) -> tuple[Ints, Ints]:
        query, targets = pair
        scores = database.scores(query, targets)
        here = np.flatnonzero(database.worth(query, targets, scores, related, n))
        low, high = np.minimum(query, targets[here]), np.maximum(query, targets[here])
        return low * n + high, scores[here]

    with ThreadPoolExecutor(workers()) as pool:
        for done, found in enumerate(pool.map(one, asked), 1):
            kept.append(found)
            if done % 32 == 0:
                told.of(done, SCORES)
    pairs, scores = (np.concatenate(part) for part in zip(*kept, strict=True))
    _, at = np.unique(pairs, return_index=True)
    at = at[np.argsort(-scores[at], kind="stable")]
    first, second = np.divmod(pairs[at], n)
    return first, second, scores[at]


def _aligned(
    database: Database, first: Ints, second: Ints, score: Ints, related: Related, told: _Told
) -> tuple[Alignments, Ints]:
    """Alignments of the best pairs of each sequence and of those that may connect groups; the groups."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(database)
    best = _rank(first, n) < NEAREST
    best |= _rank(second, n) < NEAREST
    found = [_align(database, first[best], second[best], score[best], told)]
    rest, groups = np.flatnonzero(~best), np.arange(n)
    while True:
        done = _joined(found)
        near = related.holds(done, n)
        links = np.ones(int(near.sum()), np.int8), (done.query[near], done.target[near])
        groups = connected_components(coo_array(links, shape=(n, n)), directed=False)[1].astype(np.int64)
        rest = rest[groups[first[rest]] != groups[second[rest]]]
        if not len(rest):
            return done, groups
        # of each two groups the best pair: what connects them makes the others unnecessary
        low, high = groups[first[rest]], groups[second[rest]]
        between = np.minimum(low, high) * n + np.maximum(low, high)
        _, at = np.unique(between, return_index=True)
        some = rest[at]
        found.append(_align(database, first[some], second[some], score[some], told))
        rest = np.delete(rest, at)


def _rank(of: Ints, n: int) -> Ints:
    """How many earlier pairs (m,) each pair's sequence stands in."""
    order = np.argsort(of, kind="stable")
    starts = np.append(0, np.cumsum(np.bincount(of, minlength=n)))[:-1]
    rank = np.empty(len(of), np.int64)
    rank[order] = np.arange(len(of)) - starts[of[order]]
    return rank


def _align(database: Database, first: Ints, second: Ints, score: Ints, told: _Told) -> Alignments:
    """The best local alignments of pairs, in threads."""

    def some(query: int) -> list[tuple[object, ...]]:
        here = np.flatnonzero(first == query)
        return database.alignments(query, second[here], score[here])

    made: list[tuple[object, ...]] = []
    with ThreadPoolExecutor(workers()) as pool:
        for query, rows in zip((asked := np.unique(first).tolist()), pool.map(some, asked), strict=True):
            made += rows
            told.of(query * (1 - SCORES) + SCORES * len(database), 1.0)
    return Alignments.of(made)


def _joined(found: list[Alignments]) -> Alignments:
    fields = ("query", "target", "score", "identical", "columns")
    plain = [np.concatenate([getattr(one, name) for one in found]) for name in fields]
    wide = [
        np.concatenate([getattr(one, name) for one in found], axis=1) for name in ("lengths", "covered")
    ]
    return Alignments(*plain, *wide)
