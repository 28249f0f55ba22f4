"""Kin: near pairs and groups of sequences, against every alignment made one by one."""

from __future__ import annotations

import numpy as np
import pytest

from leastwise.sequences import Related, cluster
from leastwise.sequences import kin as of_kin
from leastwise.sequences.alignment import Alignments, Database
from leastwise.sequences.clean import ALPHABET
from leastwise.sequences.kin import Kin, kin

SEED = 11
RULE = Related(0.3)


def protein(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice([*ALPHABET], length))


def relative(rng: np.random.Generator, text: str, kept: float) -> str:
    return "".join(c if rng.random() < kept else str(rng.choice([*ALPHABET])) for c in text)


def families(count: int, members: int, kept: float, seed: int = SEED) -> tuple[list[str], np.ndarray]:
    """Copies of random ancestors in random order, and the family of each (n,)."""
    rng = np.random.default_rng(seed)
    made = []
    for family in range(count):
        first = protein(rng, int(rng.integers(60, 140)))
        made += [(relative(rng, first, kept), family) for _ in range(members)]
    order = rng.permutation(len(made))
    return [made[i][0] for i in order], np.array([made[i][1] for i in order])


def partition(labels: object) -> set[frozenset[int]]:
    """Who is together, without numbers."""
    array = np.asarray(labels)
    return {frozenset(np.flatnonzero(array == label).tolist()) for label in np.unique(array)}


def every(sequences: tuple[str, ...]) -> np.ndarray:
    """Identity (n, n) of each pair that chance does not explain; 0 for the others. One by one."""
    n, found = len(sequences), np.zeros((len(sequences), len(sequences)))
    database = Database(sequences)
    for i in range(n):
        for j in range(i + 1, n):
            at = np.array([j])
            one = Alignments.of(database.alignments(i, at, database.scores(i, at)))
            if RULE.reaches(one, n)[0]:
                found[i, j] = found[j, i] = one.identity[0]
    return found


def slow_nearest(share: np.ndarray, held: np.ndarray, train: np.ndarray) -> tuple[list[float], list[int]]:
    """The nearest in train of each that is held out, the first of several alike."""
    best, which = [0.0] * len(share), [-1] * len(share)
    for i in np.flatnonzero(held):
        for j in np.flatnonzero(train):
            if share[i, j] > best[i]:
                best[i], which[i] = float(share[i, j]), int(j)
    return best, which


def pairs_of(known: Kin) -> np.ndarray:
    """What Kin knows of pairs, as a matrix (n, n)."""
    n = len(known.sequences)
    share = np.zeros((n, n))
    for i, j, identity in zip(known.first, known.second, known.identity, strict=True):
        share[i, j] = share[j, i] = identity
    return share


# ---- laws and edges ----


@pytest.mark.parametrize(
    "sequences", [[], ["MVLSPADKTNVKAAW"], ["MVLS", "MVLS"]], ids=["none", "one", "twice"]
)
def test_no_pair_is_known_where_there_is_none(sequences: list[str]) -> None:
    known = kin(sequences, RULE)
    assert known.sequences == tuple(sorted(set(sequences)))
    assert known.groups.tolist() == list(range(len(known.sequences)))
    assert len(known.identity) == 0
    assert known.exhaustive
    none = np.zeros(len(known.sequences), bool)
    share, which = known.nearest(none, none)
    assert not share.any()
    assert (which == -1).all()


@pytest.mark.parametrize("kept", [0.5, 0.65, 0.9])
def test_groups_of_few_are_those_of_every_alignment(kept: float) -> None:
    sequences, _ = families(12, 4, kept)
    known = kin(sequences, RULE)
    assert known.exhaustive
    theirs = cluster(list(known.sequences), related=RULE, exhaustive=True)
    assert partition(known.groups) == partition(theirs)


@pytest.mark.parametrize("identity", [0.3, 0.6, 0.9])
def test_groups_are_those_of_cluster_whatever_counts_as_related(identity: float) -> None:
    sequences, _ = families(10, 5, 0.7, seed=2)
    known = kin(sequences, Related(identity))
    theirs = cluster(list(known.sequences), related=Related(identity), exhaustive=True)
    assert partition(known.groups) == partition(theirs)


def test_planted_families_are_found_beyond_the_sequences_of_which_all_pairs_are_scored() -> None:
    sequences, family = families(80, 4, 0.8, seed=3)
    known = kin(sequences, RULE)
    assert len(known.sequences) > of_kin.ALL
    assert not known.exhaustive
    place = {s: i for i, s in enumerate(known.sequences)}
    groups = known.groups[[place[s] for s in sequences]]
    assert partition(groups) == partition(family)


def test_the_order_and_the_number_of_times_have_no_part_in_it() -> None:
    sequences, _ = families(10, 4, 0.6)
    one, other = kin(sequences, RULE), kin([*sequences[::-1], *sequences[:7]], RULE)
    assert one.sequences == other.sequences
    for field in ("first", "second", "identity", "groups", "pairs"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)


def test_what_is_known_of_a_pair_is_its_alignment() -> None:
    sequences, _ = families(8, 4, 0.6)
    known = kin(sequences, RULE)
    share, truth = pairs_of(known), every(known.sequences)
    some = share > 0
    np.testing.assert_array_equal(share[some], truth[some])
    assert (known.first < known.second).all()
    best = truth.max(axis=1)
    np.testing.assert_array_equal(share.max(axis=1)[best > 0] > 0, True)


def test_the_likest_are_known_of_each_sequence() -> None:
    """Of families of five every pair is among the five best of each."""
    sequences, _ = families(8, 5, 0.7)
    known = kin(sequences, RULE)
    np.testing.assert_array_equal(pairs_of(known), every(known.sequences))


def test_related_pairs_are_always_of_one_group() -> None:
    sequences, _ = families(6, 12, 0.55, seed=4)
    known = kin(sequences, RULE)
    i, j = np.nonzero(every(known.sequences) >= RULE.identity)
    np.testing.assert_array_equal(known.groups[i], known.groups[j])


@pytest.mark.parametrize("seed", range(4))
def test_the_nearest_in_train_is_that_of_a_slow_search_of_what_is_known(seed: int) -> None:
    sequences, _ = families(9, 5, 0.7, seed=seed)
    known = kin(sequences, RULE)
    side = np.random.default_rng(seed).integers(0, 3, len(known.sequences))
    held, train = side == 0, side == 1
    share, which = known.nearest(held, train)
    truth = slow_nearest(pairs_of(known), held, train)
    np.testing.assert_array_equal(share, truth[0])
    np.testing.assert_array_equal(which, truth[1])


def test_the_first_of_several_that_are_as_near_is_named() -> None:
    """Two copies of one protein, each with another last residue, are as near to a third."""
    rng = np.random.default_rng(SEED)
    text = protein(rng, 80)
    sequences = [text + end for end in "CDEF"]
    known = kin(sequences, RULE)
    for i in range(4):
        held = np.arange(4) == i
        share, which = known.nearest(held, ~held)
        truth = slow_nearest(pairs_of(known), held, ~held)
        np.testing.assert_array_equal(share, truth[0])
        np.testing.assert_array_equal(which, truth[1])


def test_progress_is_told_up_to_the_end() -> None:
    sequences, _ = families(10, 4, 0.6)
    told: list[tuple[int, int | None]] = []
    kin(sequences, RULE, lambda done, of: told.append((done, of)))
    assert told[-1] == (40, 40)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


# ---- a relative that stands in train, behind five that do not ----


@pytest.mark.xfail(strict=True, reason="pairs of one group beyond the five best of each are not aligned")
def test_the_nearest_in_train_is_that_of_every_alignment() -> None:
    sequences, _ = families(1, 40, 0.8, seed=6)
    known = kin(sequences, RULE)
    train = np.arange(len(known.sequences)) % 13 == 0
    share, _ = known.nearest(~train, train)
    np.testing.assert_array_equal(share, slow_nearest(every(known.sequences), ~train, train)[0])
