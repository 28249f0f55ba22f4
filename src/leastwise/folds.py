"""Folds: how rows are dealt to the parts of Moments, and which parts are held out together.

Rows that belong together (one group, or equal content) always come into the same part of the Moments,
and where a row goes depends on nothing but itself: not on chunks, files, or workers. A fold is one part
or, where folds are dealt again and again, some of many small ones: the rows are read once all the same.
The training moments of a fold are the sum of the other parts, and the held-out error comes from the
held-out moments alone, without a second pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.errors import MomentsError, UsageError, listed, plural
from leastwise.moments import Moments
from leastwise.numerics import content_hash
from leastwise.rows.block import WITHIN, Block
from leastwise.sequences.regimes import Dealt
from leastwise.sides import JUDGED, TRAINED

Some = TypeVar("Some")  # moments, or places of parts

DEFAULT = 5
INNER = 10  # folds at most by which a fold chooses its penalty: with K it would be K^2 paths
SMALL_PARTS = 8  # parts for each fold, where folds are dealt more than once
ALONE = "leave-one-out"
WAYS = ("leave-one-group-out", "predefined", ALONE)  # that folds can be besides a number
SPREAD = 5  # parts of rows that are only trained on, so that a penalty can be chosen among them


@dataclass(frozen=True)
class Split:
    """Parts that are held out, those of the other folds of the same dealing, and those never held out."""

    held: tuple[int, ...]
    others: tuple[tuple[int, ...], ...]
    always: tuple[int, ...] = ()

    @property
    def train(self) -> tuple[int, ...]:
        """The parts that are trained on."""
        return tuple(sorted(part for fold in (*self.others, self.always) for part in fold))


@dataclass(frozen=True)
class FoldPlan:
    """How rows are dealt to `k` parts, and the parts to `folds` folds, `repeats` times.

    By content: a seeded hash of the row's numbers. By group: the table `places` (group -> part),
    or where a group is not in it a seeded hash of its name. Two plans are equal when they deal every
    row alike, so moments of different plans never add.
    """

    k: int
    seed: int = 0
    by: str = "content"  # "content" or "group"
    groups: int = 0  # how many groups were seen
    table: str = ""  # a digest of `places`; "" where groups are dealt by hash
    places: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    folds: int = 0  # 0: each part is a fold of its own
    repeats: int = 1
    always: tuple[int, ...] = ()  # parts that are never held out
    never: tuple[int, ...] = ()  # parts that take part in no score: neither held out nor trained on
    judge: tuple[int, ...] = ()  # of `always`, those by which a penalty is chosen
    spread: tuple[int, ...] = ()  # the parts that rows of one group are dealt to by what they hold
    closed: bool = False  # whether a group that is not in the table is refused
    told: str = ""  # what groups are, where they were made
    regime: str = ""  # and by which rule

    def __post_init__(self) -> None:
        object.__setattr__(self, "always", tuple(self.always))
        object.__setattr__(self, "never", tuple(self.never))
        object.__setattr__(self, "judge", tuple(self.judge))
        object.__setattr__(self, "spread", tuple(self.spread))

    @property
    def splits(self) -> list[Split]:
        """What is held out, one after the other: every fold of every dealing."""
        found: list[Split] = []
        for again in range(self.repeats):
            out = (*self.always, *self.never)
            parts = np.array([part for part in range(self.k) if part not in out])
            if self.folds:
                parts = np.random.default_rng([self.seed, again]).permutation(parts)
            dealt = np.array_split(parts, self.folds or len(parts))
            folds = tuple(tuple(sorted(fold.tolist())) for fold in dealt)
            each = range(len(folds))
            found += [Split(folds[i], tuple(folds[j] for j in each if j != i), self.always) for i in each]
        return found

    @classmethod
    def of_labels(cls, sizes: Mapping[str, int], *, predefined: bool) -> FoldPlan:
        """Each group a fold of its own; of `predefined` folds those called -1 or train are never held out.

        Nor is val: by it a penalty is chosen. Where neither it nor another fold is there to choose by, what
        is trained on is dealt to SPREAD parts, equal sequences (or rows) together.
        Raises UsageError where fewer than two groups (or no fold that is held out) would be left.
        """
        labels = sorted(sizes)
        if predefined:
            return cls._of_sides(labels)
        if len(labels) < 2:
            raise UsageError(
                f"The column of groups holds {plural(len(labels), 'label')}. Two are needed, one to train "
                "on and one to hold out."
            )
        places = {label: i for i, label in enumerate(labels)}
        return cls(len(labels), 0, "group", len(labels), _digest(places), places, closed=True)

    @classmethod
    def _of_sides(cls, labels: list[str]) -> FoldPlan:
        """The folds that are held out first, then what is trained on, then what a penalty is chosen by."""
        train = [label for label in labels if label in TRAINED]
        judge = [label for label in labels if label in JUDGED]
        held = [label for label in labels if label not in (*train, *judge)]
        held, judge = (held, judge) if held else (judge, [])  # of train and val alone val is the test
        if judge and not train:
            raise UsageError(
                f"The column of folds holds {listed(labels)}, and none that is only trained on. A model of "
                f"those is what {listed(judge)} chooses by. Call some train, or {listed(judge)} otherwise."
            )
        if not held or len(labels) < 2 or (len(held) == 1 and not train):
            raise UsageError(
                f"The column of folds holds {listed(labels)}{'' if held else ' and none to hold out'}. Two "
                "are needed, one to train on and one to hold out (as train and test)."
            )
        F, few = len(held), len(held) == 1 and not judge
        places = {label: i for i, label in enumerate(held)} | dict.fromkeys(train, F)
        spread = tuple(range(F, F + SPREAD)) if few else ()
        k = F + (len(spread) or bool(train))
        places |= dict.fromkeys(judge, k)
        judged = (k,) if judge else ()
        k += len(judged)
        return cls(
            k, 0, "group", 0, _digest(places), places, always=tuple(range(F, k)), judge=judged,
            spread=spread, closed=True, told="the table" if F > 1 else f"the table: '{held[0]}'",
        )  # fmt: skip

    @classmethod
    def of_groups(cls, sizes: Mapping[str, int], k: int, seed: int) -> FoldPlan:
        """Groups dealt so that folds come out alike in rows: the largest first, to the emptiest.

        Raises UsageError where there are fewer groups than folds. Source: Graham, Bounds on
        multiprocessing timing anomalies, SIAM J. Appl. Math. 17 (1969), largest processing time.
        """
        if k > len(sizes):
            raise UsageError(
                f"{k} folds were asked for and there are {plural(len(sizes), 'group')}. Every fold "
                f"needs a group of its own. Pass folds={len(sizes)} or fewer (--folds)."
            )
        load = [0] * k
        places: dict[str, int] = {}
        for group in sorted(sizes, key=lambda g: (-sizes[g], _hash_text(g, seed))):
            fold = load.index(min(load))
            places[group] = fold
            load[fold] += sizes[group]
        return cls(k, seed, "group", len(places), _digest(places), places)

    @classmethod
    def of_few(cls, hashes: NDArray[np.uint64], k: int, seed: int) -> FoldPlan:
        """Few rows, by content: the distinct hashes in order, dealt one after the other to each fold."""
        places = {str(h): i % k for i, h in enumerate(np.unique(hashes).tolist())}
        return cls(k, seed, "content", 0, _digest(places), places)

    @classmethod
    def of_parts(cls, places: Mapping[str, int], dealt: Dealt, seed: int) -> FoldPlan:
        """Texts dealt by what they are: see sequences/regimes.py."""
        return cls(
            dealt.parts, seed, "group", dealt.groups, _digest(places), places, always=dealt.always,
            never=dealt.never, told=dealt.told, regime=str(dealt.regime),
        )  # fmt: skip

    def deal(self, block: Block) -> NDArray[np.int64]:
        """The fold (n,) of each row of a block."""
        if not block.n:
            return np.zeros(0, np.int64)
        if self.by == "content":
            hashes = self.hashes(block)
            if not self.table:
                return (hashes % np.uint64(self.k)).astype(np.int64)
            self._refuse_lost_table()
            return np.array([self.fold_of(str(h)) for h in hashes.tolist()], np.int64)
        if self.by == ALONE:
            return np.zeros(block.n, np.int64)
        self._refuse_lost_table()
        encoded = pc.dictionary_encode(block.group)
        folds = [self.fold_of(g) for g in encoded.dictionary.to_pylist()]
        found = np.array([*folds, 0], np.int64)[arrow.values(encoded.indices)]
        return self._spread_rows(found, encoded, block) if self.spread else found

    def _spread_rows(self, found: NDArray[np.int64], encoded: Any, block: Block) -> NDArray[np.int64]:
        """Rows of the group that is spread, but for those that a sequence has dealt already."""
        whole = [g.partition(WITHIN)[0] == g for g in encoded.dictionary.to_pylist()]
        here = (found == self.spread[0]) & np.array([*whole, False])[arrow.values(encoded.indices)]
        if here.any():
            parts = self.hashes(block)[here] % np.uint64(len(self.spread))
            found[here] = np.array(self.spread)[parts.astype(np.int64)]
        return found

    def hashes(self, block: Block) -> NDArray[np.uint64]:
        """The content of each row as a number (n,)."""
        return content_hash([block.X, block.Y], self.seed)

    def _refuse_lost_table(self) -> None:
        if self.table and not self.places:
            raise MomentsError(
                "How rows were dealt to folds is not kept in the file, only its digest. New rows "
                "cannot be dealt alike. Condense all rows again."
            )

    def fold_of(self, group: str) -> int:
        label, _, row = group.partition(WITHIN)
        place = self.places.get(label, None)
        if place is None and self.closed:
            raise MomentsError(
                f"There is no fold for '{label}': it was not there when folds were made. Fit anew."
            )
        if place is None:
            return _hash_text(group, self.seed) % self.k
        if row and self.spread and place == self.spread[0]:
            return self.spread[_hash_text(row, self.seed) % len(self.spread)]
        return place

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values; of the table only its digest."""
        return {
            "k": self.k,
            "seed": self.seed,
            "by": self.by,
            "groups": self.groups,
            "table": self.table,
            "folds": self.folds,
            "repeats": self.repeats,
            "always": list(self.always),
            "never": list(self.never),
            "judge": list(self.judge),
            "spread": list(self.spread),
            "closed": self.closed,
            "told": self.told,
            "regime": self.regime,
        }


def merged(moments: Moments, parts: tuple[int, ...]) -> Moments:
    """The rows of some parts, added up."""
    some = replace(moments, parts=tuple(moments.parts[i] for i in parts), plan=None)
    return replace(some, parts=(some.whole,))


def splits_of(moments: Moments) -> list[Split]:
    """What the plan of these moments holds out."""
    return [] if moments.plan is None else list(moments.plan.splits)


@dataclass(frozen=True, eq=False)
class Dealing(Generic[Some]):
    """Rows dealt to folds once: the moments of each fold, and of what is never held out (None: nothing).

    `inner`: the same in parts, among which a penalty is chosen where there are no other folds. (In the
    place of moments there may be whatever adds up, as tuples of the places of parts.)
    """

    folds: tuple[Some, ...]
    always: Some | None = None
    inner: tuple[Some, ...] = ()
    judge: tuple[Some | None, Some] | None = None  # what is trained on and what a penalty is chosen by
    chosen_by: bool = False  # whether its one fold is such a one

    @property
    def least(self) -> int:
        """Folds at least that a penalty is chosen by."""
        return 1 if self.chosen_by else 2

    @property
    def for_choice(self) -> Dealing[Some]:
        """The same, or, of one fold, the parts beside it that are only trained on, where there are some."""
        if self.judge is not None:
            return self._judged
        return self if len(self.folds) > 1 or len(self.inner) < 2 else Dealing((*self.folds, *self.inner))

    @cached_property
    def training(self) -> list[Some]:
        """For each fold the rows of all others: K sums of K parts by 3 K additions."""
        K = len(self.folds)
        before: list[Any] = [self.always]  # before[i]: what is never held out, and folds 0 to i - 1
        after: list[Any] = [None]  # after[i]: the last i folds
        for i in range(K - 1):
            before.append(_with(before[-1], self.folds[i]))
            after.append(_with(after[-1], self.folds[K - 1 - i]))
        return [_with(before[i], after[K - 1 - i]) for i in range(K)]

    @cached_property
    def whole(self) -> Some:
        """All rows."""
        return _with(self.always, reduce(_with, self.folds))

    def without(self, i: int) -> Dealing[Some]:
        """The rows that fold i is not scored on, in INNER folds at most: by them it chooses a penalty."""
        if self.judge is not None:
            return self._judged
        others = [fold for j, fold in enumerate(self.folds) if j != i]
        if len(others) < 2:
            return Dealing((*others, *self.inner))
        some = np.array_split(np.arange(len(others)), min(len(others), INNER))
        return Dealing(tuple(reduce(_with, [others[j] for j in at]) for at in some), self.always)

    @property
    def _judged(self) -> Dealing[Some]:
        """What is trained on, and the fold that was named to choose by."""
        assert self.judge is not None
        return Dealing((self.judge[1],), self.judge[0], chosen_by=True)


def _with(a: Any, b: Any) -> Any:
    """The sum, where None is nothing."""
    return b if a is None else a if b is None else a + b


def dealt_places(plan: FoldPlan | None, counts: Sequence[int]) -> list[Dealing[tuple[int, ...]]]:
    """The places of the parts, of `counts` (k,) rows, dealing by dealing; an empty one chooses nothing."""
    splits = [] if plan is None else plan.splits
    each = len(splits) // (1 if plan is None else plan.repeats)
    found = []
    for first in range(0, len(splits), each or 1):
        some = splits[first : first + each]
        always = some[0].always
        inner = tuple((part,) for part in always if counts[part])
        judge = None
        if plan is not None and plan.judge:
            judge = (tuple(part for part in always if part not in plan.judge) or None, plan.judge)
        found.append(Dealing(tuple(split.held for split in some), always or None, inner, judge))
    return found


def dealings(moments: Moments) -> list[Dealing[Moments]]:
    """The folds of these moments, dealing by dealing."""

    def sums(some: tuple[tuple[int, ...], ...]) -> tuple[Moments, ...]:
        return tuple(merged(moments, places) for places in some)

    def of(d: Dealing[tuple[int, ...]]) -> Dealing[Moments]:
        judge = None
        if d.judge is not None:
            trained, judged = d.judge
            judge = None if trained is None else merged(moments, trained), merged(moments, judged)
        always = None if d.always is None else merged(moments, d.always)
        return Dealing(sums(d.folds), always, sums(d.inner), judge)

    return [of(d) for d in dealt_places(moments.plan, [part.n for part in moments.parts])]


def rounded(dealing: Dealing[Moments]) -> Dealing[Moments]:
    """The same in float64 about the means of all, where moments are exact: enough to choose by."""
    if not dealing.folds[0].exact:
        return dealing
    centre = dealing.whole.centre

    def of(some: Any) -> Any:
        return None if some is None else some.rounded(centre)

    folds, inner = (tuple(map(of, some)) for some in (dealing.folds, dealing.inner))
    judge = None if dealing.judge is None else (of(dealing.judge[0]), of(dealing.judge[1]))
    return Dealing(folds, of(dealing.always), inner, judge, dealing.chosen_by)


def enough(moments: Moments, needed: int) -> str:
    """Why the folds of these moments can carry no score of so many coefficients; "" where they can."""
    counts, splits = np.array([part.n for part in moments.parts]), splits_of(moments)
    if not splits:
        return "these moments were made without folds"
    held = np.array([counts[list(split.held)].sum() for split in splits])
    if (held == 0).any():
        empty = int((held == 0).sum())
        return f"{empty} of {len(held)} folds got no row: too few distinct rows or groups"
    smallest = min(int(counts[list(split.train)].sum()) for split in splits)
    if smallest <= needed:
        return (
            f"a training part of {plural(smallest, 'row')} cannot carry "
            f"{plural(needed, 'coefficient')}; more rows or fewer columns are needed, or a penalty "
            "(penalty=lw.L2('cv'), --penalty l2 --alpha cv)"
        )
    return ""


def _digest(places: Mapping[str, int]) -> str:
    return hashlib.sha256(repr(sorted(places.items())).encode()).hexdigest()[:16]


def _hash_text(text: str, seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{text}".encode(), digest_size=8).digest())
