"""Clusters of related proteins, and a split of which no pair across is related, with the proof.

    distinct sequences -> pairs that come into question -> alignments -> related pairs -> components
                       -> whole components to train or test -> certificate: test against train, again

Up to 10,000 sequences, 5,000 for a split, which proves itself (and 4e12 cells of alignments), every pair is
aligned, and nothing can be missed.
Beyond, the likest 500 of each by shared words (candidates.py), or what MMseqs2 names (mmseqs.py). What that
misses the certificate finds: every test sequence is aligned against train again, against all of it where
that can be done. Where one has a relative in train after all, its whole component goes over to train,
others take its place in test, and what was not asked is asked.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError, UsageError, listed, plural
from leastwise.numerics import is_number
from leastwise.sequences.alignment import Alignments, Database, Progress, Related
from leastwise.sequences.clean import Cleaned, clean, pack
from leastwise.sequences.families import is_family

if TYPE_CHECKING:
    from leastwise.sequences.candidates import Index

__all__ = ["Certificate", "Split", "cluster", "split"]

Ints = NDArray[np.int64]
Tell = Callable[[int, int], None]
_Pair = tuple[int, Ints]  # a sequence, and those that it is to be aligned with
_Stage = tuple[Iterator[_Pair], int, float]  # so many of them, and their share of the work

EXHAUSTIVE, CELLS = 10_000, 4e12  # sequences, and cells of alignments: up to both all pairs are aligned
PROVEN = 5_000  # sequences of a split, beyond which its certificate alone aligns test against all of train
IDENTITY = 0.3
CANDIDATES, FIRST = 500, 10  # of each sequence beyond, and those of them that are aligned before the others
ENGINES = ("own", "mmseqs")
FAMILY = 0.9  # share of the sequences in one component from which nothing unrelated can be held out
SWALLOWED = 0.25  # share of the rows (or that of test) above which a component goes into train
SHORT, REFILLS = 0.05, 3  # share of test that may be lacking, and how often it is filled up
NAMING, PROVING = 0.4, 0.2  # shares of the work: to name candidates, and to align test against train
BANDS = (0.3, 0.4, 0.5, 0.7, 0.9)  # of identity, in which test sequences are counted


def cluster(
    seqs: Iterable[str],
    identity: float = IDENTITY,
    *,
    related: Related | None = None,
    engine: str = "own",
    exhaustive: bool | None = None,
    unknown: str = "error",
    progress: Progress | None = None,
) -> Ints:
    """A group number for each sequence, 0 to g - 1 in order of first appearance: (n,).

    Groups are the connected components of pairs that are `related` (by default `Related(identity)`): no
    sequence has a relative outside of its group, as far as pairs were aligned: all of them with
    `exhaustive`, which is the default up to 10,000 sequences; beyond, the 500 likest of each. With
    engine="mmseqs" MMseqs2, if it is installed, names the pairs, and the same alignment judges them.
    `unknown` is "error" or "mask", as in `clean`; a masked residue is identical to nothing. `progress` is
    called with (done, in all): of the work so many nths.

    10,000 sequences of 277 residues take about 500 CPU seconds exhaustively; with candidates a fifth of
    it. Raises SequenceError as `clean` does, UsageError for options out of range and where MMseqs2 is asked
    for and absent.

    >>> cluster(["MVLSPADKTNVKAAW", "ACDEFGHIKLMNPQR", "MVLSPADKTNVKAAW"])
    array([0, 1, 0])
    """
    rule = _rule(identity, related)
    _check_engine(engine)
    if engine != "own" and exhaustive is not None:
        raise UsageError(
            f"engine={engine!r} and exhaustive={exhaustive!r} came. An engine names the pairs that are "
            "aligned. Give one of them."
        )
    cleaned = _cleaned(seqs, unknown).sequences
    asked = _Distinct(cleaned, rule, engine, exhaustive, EXHAUSTIVE)
    told = _Told(progress, len(asked.distinct))
    group = asked.components(told, 1.0)
    told.end()
    return _by_appearance(group[asked.of].tolist())


@dataclass(frozen=True, eq=False)
class Certificate:
    """What was found when every test sequence was aligned against train.

    `identity` (n_test,): the highest of an alignment that is long enough and not by chance, 0 where there
    is none; `nearest` (n_test,): the training row that it is with, -1 for none. `exhaustive`: whether all
    training sequences were aligned, or the likest 500 of each. `moved`: rows that went over to train
    because a relative was found there. `digest` is of all sequences and their sides.
    """

    related: Related
    identity: NDArray[np.float64]
    nearest: Ints
    exhaustive: bool
    moved: int
    pairs: int
    digest: str

    def __str__(self) -> str:
        n, highest = len(self.identity), float(self.identity.max(initial=0.0))
        how = "all of train" if self.exhaustive else f"the {CANDIDATES} likest of train"
        edges = (0.0, *BANDS, 1.01)
        counts = np.histogram(self.identity[self.identity > 0], edges)[0]
        bands = [
            f"{low:.0%} to {min(high, 1):.0%}: {count:,}"
            for low, high, count in zip(edges, edges[1:], counts.tolist(), strict=False)
            if count
        ]
        none = int(np.count_nonzero(self.identity == 0))
        moved = f"; {plural(self.moved, 'row')} moved to train for it" if self.moved else ""
        return (
            f"{self.related}\n"
            f"each of {plural(n, 'test row')} aligned against {how} ({self.pairs:,} pairs): the highest "
            f"identity of a long, significant alignment is {highest:.2%}{moved}\n"
            f"by identity to the nearest in train: none: {none:,}{''.join(f', {b}' for b in bands)}\n"
            f"sha256 {self.digest}"
        )


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of train and test, of which no pair across is related, and the certificate of it.

    `train`, `test`: row numbers from 0, ascending; `groups` (n,): the component of each row.
    """

    train: Ints
    test: Ints
    groups: Ints
    certificate: Certificate
    notes: tuple[str, ...] = field(default=())

    @property
    def facts(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        c = self.certificate
        return {
            "train": len(self.train), "test": len(self.test), "groups": int(self.groups.max()) + 1,
            "largest_group": int(np.bincount(self.groups).max()), "related": asdict(c.related),
            "highest_identity": float(c.identity.max(initial=0.0)), "exhaustive": c.exhaustive,
            "pairs": c.pairs, "moved": c.moved, "notes": list(self.notes), "sha256": c.digest,
        }  # fmt: skip

    def report(self) -> str:
        """What was split, how, and what proves it."""
        n, t = len(self.groups), len(self.test)
        sizes = np.bincount(self.groups)
        head = (
            f"{plural(n, 'sequence')} in {plural(len(sizes), 'group')} of relatives (the largest "
            f"{sizes.max():,}): {n - t:,} train, {t:,} test ({t / n:.1%})"
        )
        return "\n".join([head, *self.notes, str(self.certificate)])

    def __repr__(self) -> str:
        return f"Split({len(self.train):,} train, {len(self.test):,} test)"


def split(
    seqs: Iterable[str],
    identity: float = IDENTITY,
    test: float = 0.2,
    *,
    y: Any = None,
    related: Related | None = None,
    engine: str = "own",
    exhaustive: bool | None = None,
    unknown: str = "error",
    seed: int = 0,
    progress: Progress | None = None,
) -> Split:
    """Whole groups of relatives dealt to train and test, about `test` of the rows to the latter.

    With `y` (n,) test gets about the same share of each quarter of its values. A group that is more than
    all of test, or than a quarter of the rows, goes into train. Then every test sequence is aligned against
    train (Certificate): a group with a relative there goes over, and others take its place. Else as
    `cluster`, but that groups are of all pairs up to 5,000 sequences only, or with `exhaustive`; with
    engine="mmseqs" this is about the certificate alone.

    Raises UsageError where one group has nine tenths of the rows: nothing unrelated can be held out then,
    and variants of one protein are split by position or by the number of mutations; DataError where too few
    groups are left for a test set.
    """
    rule = _rule(identity, related)
    _check_engine(engine)
    if not is_number(test) or not 0 < test < 1:
        raise UsageError(f"test={test!r} is no share between 0 and 1. Give one, as 0.2.")
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"seed={seed!r} is no whole number of 0 or more. Give one.")
    came = _cleaned(seqs, unknown)
    cleaned = came.sequences
    if len(set(cleaned)) == 1:
        raise DataError("All sequences are one. Nothing is left to hold out. Give more.")
    family = is_family(cleaned) if len(cleaned) else None
    if family:
        raise UsageError(
            f"This is one family. {family.reason} Nothing unrelated to it can be held out. Split variants "
            "by position, or by the number of mutations (sequences.by_position, by_mutations)."
        )
    asked = _Distinct(cleaned, rule, engine, exhaustive, PROVEN)
    told, of = _Told(progress, len(asked.distinct)), asked.of
    component = asked.components(told, 1 - PROVING)
    quarter = _quarters(y, len(of))
    counts = np.zeros((component.max(initial=-1) + 1, quarter.max(initial=0) + 1), np.int64)
    np.add.at(counts, (component[of], quarter), 1)
    deal = _Dealing(counts, float(test), seed)
    proven = asked.certified(component, deal, told)
    held, best, nearest = proven.held, proven.best, proven.nearest
    told.end()
    side = held[component][of]  # (n,) True: test
    if side.all():
        raise DataError(f"test={test:g} leaves nothing for train. Give a smaller share.")
    if not side.any():
        raise DataError(
            f"Of {plural(len(counts), 'group')} of relatives none can be held out. Give more sequences, or "
            f"a higher identity than {rule.identity:g}."
        )
    train, rows = np.flatnonzero(~side), np.flatnonzero(side)
    first = np.full(len(asked.distinct), -1)
    first[of[train][::-1]] = train[::-1]  # the first training row of each sequence
    at = nearest[of[rows]]
    proof = Certificate(
        rule, best[of[rows]], np.where(at >= 0, first[at], -1), proven.whole,
        int(counts[proven.moved].sum()), proven.pairs, _digest(cleaned, side),
    )  # fmt: skip
    notes = (*map(str, came.changes), *asked.notes, *deal.notes)
    return Split(train, rows, _by_appearance(component[of].tolist()), proof, notes)


# ---- components, and the proof ----


@dataclass(frozen=True, eq=False)
class _Proven:
    """Components (g,) `held` for test and those that were `moved` to train; the pairs that were aligned.

    Of each sequence (n,) the `best` identity to one in train, and the `nearest`. `whole`: of all of train.
    """

    held: NDArray[np.bool_]
    best: NDArray[np.float64]
    nearest: Ints
    moved: NDArray[np.bool_]
    pairs: int
    whole: bool


class _Distinct:
    """The distinct sequences, and what is asked about them."""

    def __init__(
        self, cleaned: tuple[str, ...], rule: Related, engine: str, exhaustive: bool | None, most: int
    ) -> None:
        self.rule, self.engine, self.exhaustive, self.most = rule, engine, exhaustive, most
        self.distinct = sorted(set(cleaned))  # an order that the rows' order has no part in
        if not self.distinct:
            raise DataError("No sequences came. Give some.")
        place = {sequence: i for i, sequence in enumerate(self.distinct)}
        self.of = np.array([place[sequence] for sequence in cleaned])  # the distinct sequence of each row
        self.database = Database(self.distinct)

    @cached_property
    def index(self) -> Index:
        """Their words."""
        from leastwise.sequences.candidates import Index

        return Index.of(pack(self.database.sequences))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be told of how pairs were found."""
        if self.engine == "own":
            return ()
        from leastwise.sequences.mmseqs import version

        return (f"the pairs to align for groups were named by MMseqs2 {version()}",)

    def components(self, told: _Told, share: float) -> Ints:
        """The component of each distinct sequence (n,)."""
        n, joined = len(self.distinct), _Joined(len(self.distinct))
        few = float(self.database.residues) ** 2 / 2 <= CELLS and n <= self.most
        if self.engine == "mmseqs":
            stages = self._named(joined, told.part(NAMING * share))
        elif few if self.exhaustive is None else self.exhaustive:
            stages = [(_all_pairs(n, joined), n, 1.0)]
        else:
            stages = self._likely(joined, told.part(NAMING * share))
        left = told.left(share)
        for pairs, count, part in stages:
            tell = told.part(left * part)
            for done, found in enumerate(self.database.found(pairs, self.rule, n), 1):
                near = self.rule.holds(found, n)
                joined.join(found.query[near], found.target[near])
                tell(done, count)
        return joined.labels

    def _likely(self, joined: _Joined, tell: Tell) -> list[_Stage]:
        """Each sequence with the likest ones: first the few that are likest, which connect most."""
        from leastwise.sequences.candidates import once

        n = len(self.distinct)
        near = np.full((n, min(CANDIDATES, n)), -1, np.int32)
        for done, (i, targets) in enumerate(self.index.nearest(CANDIDATES), 1):
            near[i, : len(targets)] = targets
            tell(done, n)
        near[~once(near)] = -1
        few, others = near[:, :FIRST], near[:, FIRST:]
        return [(_rows(few, joined), n, 0.3), (_rows(others, joined), n, 0.7)]

    def _named(self, joined: _Joined, tell: Tell) -> list[_Stage]:
        """The pairs that MMseqs2 names, and of peptides too short for it the likest."""
        from leastwise.sequences.mmseqs import SHORTEST, named

        first, second = named(self.database.sequences, self.rule, tell)
        starts = np.flatnonzero(np.diff(first, prepend=-1))
        short = np.flatnonzero(self.database.lengths < SHORTEST)
        stages: list[_Stage] = [(_named_rows(first, second, starts, joined), len(starts), 0.9)]
        if len(short):
            likely = self.index.nearest(CANDIDATES, asked=short)
            stages.append((((i, near[joined.apart(i, near)]) for i, near in likely), len(short), 0.1))
        return stages

    def certified(self, component: Ints, deal: _Dealing, told: _Told) -> _Proven:
        """Components dealt to test, each of their sequences aligned against train, until none is related.

        A component with a relative in train goes over. Where that leaves test short others take its place,
        a few times: they are aligned against train too, and so is what was nearest to one of them.
        """
        n, rule = len(self.distinct), self.rule
        held, out = deal.first(), np.zeros(len(deal.counts), bool)
        best, nearest, pairs, every, refills = np.zeros(n), np.full(n, -1), 0, True, REFILLS
        moved, tell = np.zeros(len(held), bool), told.part(PROVING)
        asked, fresh = held[component], ~held[component]  # of train, what was not aligned against yet
        while True:
            lengths, some = self.database.lengths, np.flatnonzero(asked)
            cells = float(lengths[some].sum()) * float(lengths[fresh].sum())
            whole = self.exhaustive if self.exhaustive is not None else cells <= CELLS
            every &= bool(whole)
            for done, (found, count) in enumerate(self._against(some, fresh, whole), 1):
                pairs += count
                long = rule.reaches(found, n)
                for i, j, share in zip(
                    found.query[long], found.target[long], found.identity[long], strict=True
                ):
                    if share > best[i]:
                        best[i], nearest[i] = share, j
                tell(done, len(some))
            test = held[component]
            near = test & (best >= rule.identity)
            if near.any():
                offends = np.unique(component[near])
                out[offends], out[component[nearest[near]]] = True, True
                held[offends], moved[offends] = False, True
                asked, fresh = held[component], np.isin(component, offends)
                continue
            more = deal.more(held, out) if refills else np.zeros(len(held), bool)
            if not more.any():
                return _Proven(held, best, nearest, moved, pairs, every)
            refills, held = refills - 1, held | more
            stale = test & (nearest >= 0) & more[component[nearest]]
            best[stale], nearest[stale] = 0.0, -1
            asked, fresh = stale | more[component], ~held[component]

    def _against(
        self, asked: Ints, train: NDArray[np.bool_], whole: bool
    ) -> Iterator[tuple[Alignments, int]]:
        """The alignments of each sequence asked with those in train, and how many were scored."""
        counts: deque[int] = deque()

        def pairs() -> Iterator[tuple[int, Ints]]:
            targets = np.flatnonzero(train)
            every = ((i, targets) for i in asked.tolist())
            for i, near in every if whole else self.index.nearest(CANDIDATES, train, asked):
                counts.append(len(near))
                yield i, np.sort(near)

        for found in self.database.found(pairs(), self.rule, len(self.distinct)):
            yield found, counts.popleft()


def _all_pairs(n: int, joined: _Joined) -> Iterator[_Pair]:
    """Each sequence with those after it that it is not connected with yet; long lists and short in turn."""
    for k in range(n):
        i = k // 2 if k % 2 == 0 else n - 1 - k // 2
        after = np.arange(i + 1, n)
        yield i, after[joined.apart(i, after)]


def _rows(near: NDArray[np.int32], joined: _Joined) -> Iterator[_Pair]:
    """Each sequence with those in its row of a table that it is not connected with yet."""
    for i, row in enumerate(near):
        others = np.sort(row[row >= 0]).astype(np.int64)
        yield i, others[joined.apart(i, others)]


def _named_rows(first: Ints, second: Ints, starts: Ints, joined: _Joined) -> Iterator[_Pair]:
    """The same of pairs that are sorted by the first of both; `starts` is where each begins."""
    for start, end in pairwise([*starts.tolist(), len(first)]):
        i, others = int(first[start]), second[start:end]
        yield i, others[joined.apart(i, others)]


class _Joined:
    """Sets that grow together: which one each sequence is in. The smaller one takes the other's name."""

    def __init__(self, n: int) -> None:
        self.of = np.arange(n)
        self.members = [[i] for i in range(n)]

    def join(self, a: Ints, b: Ints) -> None:
        for i, j in zip(a.tolist(), b.tolist(), strict=True):
            small, large = sorted((int(self.of[i]), int(self.of[j])), key=lambda s: len(self.members[s]))
            if small != large:
                self.of[self.members[small]] = large
                self.members[large] += self.members[small]
                self.members[small] = []

    def apart(self, i: int, others: Ints) -> NDArray[np.bool_]:
        """Which of the others are not in the set of i."""
        return np.asarray(self.of[others] != self.of[i])

    @property
    def labels(self) -> Ints:
        """The sets (n,), numbered from 0 by their first members."""
        return _by_appearance(self.of.tolist())


class _Told:
    """Progress of several passes as one: each has its share, and all are told as so many nths."""

    def __init__(self, progress: Progress | None, n: int) -> None:
        self.progress, self.n, self.given, self.told = progress, n, 0.0, 0

    def part(self, share: float) -> Tell:
        """What a pass with this share of the whole calls with (done, in all)."""
        start = self.given
        self.given += share

        def tell(done: int, count: int) -> None:
            if self.progress is not None:  # what is asked again does not begin anew
                self.told = max(self.told, int(self.n * (start + share * min(done, count) / max(count, 1))))
                self.progress(self.told, self.n)

        return tell

    def left(self, share: float) -> float:
        """What is left of this share."""
        return share - self.given

    def end(self) -> None:
        if self.progress is not None:
            self.progress(self.n, self.n)


# ---- train and test ----


def _quarters(y: Any, n: int) -> Ints:
    """The quarter of the values (n,) that each row is in; all 0 without values."""
    if y is None:
        return np.zeros(n, np.int64)
    try:
        values = np.asarray(y, np.float64)
    except (TypeError, ValueError):
        raise UsageError("y holds what is no number. Give a number for each sequence.") from None
    if values.shape != (n,) or not np.isfinite(values).all():
        raise UsageError(
            f"y is no row of {plural(n, 'finite number')}, one for each sequence: its shape is "
            f"{values.shape}. Give them, or leave y out."
        )
    return np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values, side="right").astype(np.int64)


class _Dealing:
    """Components of `counts` (g, quarters) rows dealt to test, about so large a share of them."""

    def __init__(self, counts: Ints, test: float, seed: int) -> None:
        self.counts, self.aim, self.sizes = counts, test * counts.sum(axis=0), counts.sum(axis=1)
        n, largest = int(counts.sum()), int(self.sizes.max())
        if largest >= FAMILY * n:
            raise UsageError(
                f"{largest:,} of {plural(n, 'sequence')} are connected by relatives: this is one family, "
                "and nothing unrelated to it can be held out. Variants of one protein are split by "
                "position or by the number of mutations."
            )
        # no test set is one family
        self.swallowed = (self.sizes > min(SWALLOWED, test) * n) & (self.sizes > 1)
        self.notes = tuple(
            f"{plural(int(size), 'sequence')} are connected, more than test is to hold: all in train"
            for size in self.sizes[self.swallowed]
        )
        rng = np.random.default_rng(seed)
        later = rng.random(len(self.sizes)) < 0.5  # so that not all large groups come to one side
        self.order = np.lexsort((rng.random(len(self.sizes)), -self.sizes, later))

    def first(self) -> NDArray[np.bool_]:
        """Which components (g,) go to test."""
        none = np.zeros(len(self.sizes), bool)
        return self._filled(none, self.swallowed)

    def more(self, held: NDArray[np.bool_], out: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which go there too, where `held` are fewer than they should be; never those `out`."""
        if self.sizes[held].sum() >= (1 - SHORT) * self.aim.sum():
            return np.zeros(len(held), bool)
        return self._filled(held, self.swallowed | held | out)

    def _filled(self, held: NDArray[np.bool_], without: NDArray[np.bool_]) -> NDArray[np.bool_]:
        inside, found = self.counts[held].sum(axis=0).astype(float), np.zeros(len(held), bool)
        for g in self.order[~without[self.order]].tolist():
            more = inside + self.counts[g]
            if ((more - self.aim) ** 2).sum() < ((inside - self.aim) ** 2).sum():
                inside, found[g] = more, True
        return found


def _digest(cleaned: tuple[str, ...], side: NDArray[np.bool_]) -> str:
    text = "\n".join(sorted(f"{s} {'test' if t else 'train'}" for s, t in zip(cleaned, side, strict=True)))
    return hashlib.sha256(text.encode()).hexdigest()


# ---- what comes in ----


def _rule(identity: float, related: Related | None) -> Related:
    if related is not None and identity not in (IDENTITY, related.identity):
        raise UsageError(
            f"identity={identity!r} and related, with {related.identity:g}, came. Give one of them."
        )
    return Related(identity) if related is None else related


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise UsageError(f"engine={engine!r} came. It is {listed(ENGINES, last='or')}. Choose one.")


def _cleaned(seqs: Iterable[str], unknown: str) -> Cleaned:
    if unknown not in ("error", "mask"):
        raise UsageError(
            f"unknown={unknown!r} came. Each row needs a group, so 'error' or 'mask' are possible. "
            "Call clean(seqs, unknown='drop') first and pass its .sequences."
        )
    return clean(seqs, unknown=unknown)


def _by_appearance(groups: list[int]) -> Ints:
    """The same groups, numbered in the order in which they first appear."""
    number: dict[int, int] = {}
    return np.array([number.setdefault(group, len(number)) for group in groups], dtype=np.int64)
