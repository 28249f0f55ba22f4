"""Regimes: what is held out together, dealt alike, and never learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from bad import refused

import leastwise as lw
from leastwise.errors import DataError, SequenceError, UsageError
from leastwise.sequences import cluster
from leastwise.sequences.clean import ALPHABET
from leastwise.sequences.regimes import Regime, balanced, quarters

SEED = 7
LENGTH = 30
WILD = "MKTAYIAKQRQISFVKSHFSRQLEERLGLI"
RIDGE = {"encode_as": "kmers:2", "penalty": lw.L2(0.01)}
HOT = {"encode_as": "one-hot", "penalty": lw.L2(0.01)}
OF_FAMILIES = ("identity:0.3", "words:shared", "sequence:each")
OF_VARIANTS = ("position:modulo", "position:contiguous", "mutations:2", "target:low", "sequence:each")


def protein(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice([*ALPHABET], length))


def families(count: int, members: int, kept: float = 0.7, seed: int = SEED) -> tuple[list[str], np.ndarray]:
    """Copies of random ancestors in random order, and the family of each (n,)."""
    rng = np.random.default_rng(seed)
    made = []
    for family in range(count):
        first = protein(rng, int(rng.integers(60, 140)))
        for _ in range(members):
            copy = [c if rng.random() < kept else str(rng.choice([*ALPHABET])) for c in first]
            made.append(("".join(copy), family))
    order = rng.permutation(len(made))
    return [made[i][0] for i in order], np.array([made[i][1] for i in order])


def variants(n: int = 240, most: int = 4, seed: int = SEED) -> tuple[list[str], np.ndarray]:
    """Variants of WILD of one to `most` substitutions, and values (n,): effects of letters, and noise."""
    rng = np.random.default_rng(seed)
    effect = {(p, a): rng.normal() for p in range(LENGTH) for a in ALPHABET}
    seqs = []
    for m in rng.integers(1, most + 1, n):
        letters = list(WILD)
        for p in rng.choice(LENGTH, m, replace=False):
            letters[p] = str(rng.choice([a for a in "ACDW" if a != WILD[p]]))
        seqs.append("".join(letters))
    y = [sum(effect[p, a] for p, a in enumerate(s) if a != WILD[p]) for s in seqs]
    return seqs, np.array(y) + 0.1 * rng.normal(size=n)


def table(cells: Any, y: Any, **more: Any) -> pa.Table:
    return pa.table({"s": list(cells), "y": y, **more})


def fitted(cells: Any, y: Any, **how: Any) -> lw.Fit:
    return lw.fit(table(cells, y), "y", sequence="s", **how)


def sides(fit: lw.Fit, cells: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows held out (n,) and trained on (n,), fold by fold, as the scores have them."""
    plan = fit.validation.plan
    part = np.array([plan.fold_of(cell) for cell in cells])
    found = [(np.isin(part, split.held), np.isin(part, split.train)) for split in plan.splits]
    assert [int(held.sum()) for held, _ in found] == fit.validation.n.tolist()
    return found


def places(sequence: str, wild: str = WILD) -> set[int]:
    return {p for p, (a, b) in enumerate(zip(sequence, wild, strict=True)) if a != b}


# ---- who is on which side ----


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("group", OF_FAMILIES)
def test_each_row_is_held_out_once_a_dealing_and_else_trained_on(group: str, repeats: int) -> None:
    seqs, _ = families(40, 3)
    fit = fitted(seqs, np.arange(120.0), group=group, repeats=repeats, **RIDGE)
    found = sides(fit, seqs)
    assert len(found) == 5 * repeats
    np.testing.assert_array_equal(sum(held for held, _ in found), np.full(120, repeats))
    for held, train in found:
        np.testing.assert_array_equal(held, ~train)


@pytest.mark.parametrize("group", ["position:modulo", "position:contiguous"])
def test_no_position_is_on_both_sides(group: str) -> None:
    seqs, y = variants()
    fit = fitted([*seqs, WILD], np.append(y, 0.0), wild_type=WILD, group=group, **HOT)
    found = sides(fit, [*seqs, WILD])
    used = np.zeros(241, bool)
    for held, train in found:
        one, other = (
            set().union(*(places(seqs[i]) for i in np.flatnonzero(s[:-1]))) for s in (held, train)
        )
        assert one
        assert not one & other
        used |= held
    mixed = 241 - int(used.sum())
    assert mixed > 1
    assert any(f"{mixed:,} rows have positions of several folds, or none" in note for note in fit.notes)
    assert not used[-1]  # the wild type has no position


def test_positions_in_stretches_are_stretches() -> None:
    seqs, y = variants(most=1)
    fit = fitted(seqs, y, wild_type=WILD, group="position:contiguous", **HOT)
    of = [sorted(set().union(*(places(seqs[i]) for i in np.flatnonzero(h)))) for h, _ in sides(fit, seqs)]
    assert [p for fold in of for p in fold] == sorted(set().union(*map(places, seqs)))


@pytest.mark.parametrize("seed", range(3))
def test_no_sequence_is_on_both_sides_though_it_is_written_in_two_ways(seed: int) -> None:
    seqs, _ = families(40, 1, seed=seed)
    cells = [s if i % 2 else s.lower() for i in range(5) for s in seqs]
    y = np.random.default_rng(seed).normal(size=len(cells))
    fit = fitted(cells, y, group="sequence:each", **RIDGE)
    for held, train in sides(fit, cells):
        one, other = ({cells[i].upper() for i in np.flatnonzero(side)} for side in (held, train))
        assert not one & other


@pytest.mark.parametrize("kept", [0.5, 0.7])
def test_no_related_pair_is_on_both_sides(kept: float) -> None:
    seqs, _ = families(40, 4, kept)
    group = cluster(seqs, exhaustive=True)
    fit = fitted(seqs, np.random.default_rng(0).normal(size=160), group="identity:0.3", **RIDGE)
    for held, train in sides(fit, seqs):
        assert not set(group[held]) & set(group[train])


@pytest.mark.parametrize("most", [1, 2, 3])
def test_few_mutations_are_trained_on_and_more_are_scored(most: int) -> None:
    seqs, y = variants()
    fit = fitted(seqs, y, wild_type=WILD, group=f"mutations:{most}", **HOT)
    ((held, train),) = sides(fit, seqs)
    count = np.array([len(places(s)) for s in seqs])
    np.testing.assert_array_equal(held, count > most)
    np.testing.assert_array_equal(train, count <= most)


def test_the_lower_half_is_trained_on_and_the_upper_scored() -> None:
    seqs, y = variants()
    fit = fitted(seqs, y, group="target:low", **HOT)
    ((held, train),) = sides(fit, seqs)
    means = {s: np.mean([v for t, v in zip(seqs, y, strict=True) if t == s]) for s in seqs}
    median = np.median(list(means.values()))
    np.testing.assert_array_equal(held, [means[s] > median for s in seqs])
    np.testing.assert_array_equal(train, ~held)


def test_a_group_larger_than_a_fold_is_only_trained_on() -> None:
    small, _ = families(24, 2, 0.9)
    large, _ = families(1, 80, 0.9, seed=1)
    seqs = [*small, *large]
    fit = fitted(seqs, np.random.default_rng(0).normal(size=128), group="identity:0.3", **RIDGE)
    for held, train in sides(fit, seqs):
        assert not held[48:].any()
        assert train[48:].all()
        assert held[:48].any()
    assert any("80 rows are of one group" in note and "only trained on" in note for note in fit.notes)


# ---- how they are dealt ----


@pytest.mark.parametrize("group", [*OF_FAMILIES, None], ids=str)
def test_folds_of_families_do_not_depend_on_the_order_of_the_rows(group: str | None) -> None:
    seqs, _ = families(30, 4)
    y = np.random.default_rng(0).normal(size=120)
    order = np.random.default_rng(1).permutation(120)
    one = fitted(seqs, y, group=group, **RIDGE)
    other = fitted([seqs[i] for i in order], y[order], group=group, **RIDGE)
    assert dict(one.validation.plan.places) == dict(other.validation.plan.places)
    np.testing.assert_allclose(one.validation.mse, other.validation.mse, rtol=1e-9)


@pytest.mark.parametrize("group", OF_VARIANTS)
def test_folds_of_variants_do_not_depend_on_the_order_of_the_rows(group: str) -> None:
    seqs, y = variants()
    order = np.random.default_rng(1).permutation(240)
    one = fitted(seqs, y, wild_type=WILD, group=group, **HOT)
    other = fitted([seqs[i] for i in order], y[order], wild_type=WILD, group=group, **HOT)
    assert dict(one.validation.plan.places) == dict(other.validation.plan.places)
    np.testing.assert_allclose(one.validation.mse, other.validation.mse, rtol=1e-9)


@pytest.mark.parametrize("group", ["identity:0.3", "sequence:each"])
def test_doubled_rows_are_dealt_as_they_were_wherever_they_stand(group: str) -> None:
    seqs, _ = families(30, 4)
    y = np.random.default_rng(0).normal(size=120)
    once = fitted(seqs, y, group=group, **RIDGE).validation.plan
    beside = fitted(np.repeat(seqs, 2).tolist(), np.repeat(y, 2), group=group, **RIDGE).validation.plan
    apart = fitted([*seqs, *seqs], np.tile(y, 2), group=group, **RIDGE).validation.plan
    assert dict(once.places) == dict(beside.places) == dict(apart.places)


@pytest.mark.parametrize("group", OF_FAMILIES)
def test_another_seed_deals_otherwise_and_the_same_alike(group: str) -> None:
    seqs, _ = families(40, 3)
    y = np.random.default_rng(0).normal(size=120)
    a, b, c = (
        dict(fitted(seqs, y, group=group, seed=s, **RIDGE).validation.plan.places) for s in (0, 0, 1)
    )
    assert a == b != c


def spread(fold: np.ndarray, y: np.ndarray, k: int) -> int:
    """Rows that are too many or too few of a quarter of y in a fold, all together."""
    counts = np.zeros((k, 4))
    np.add.at(counts, (fold, quarters(y)), 1)
    return int(np.abs(counts - counts.mean(axis=0)).sum())


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_more_alike_in_the_quarters_of_the_target_than_by_chance(seed: int) -> None:
    seqs, family = families(60, 4, seed=seed)
    rng = np.random.default_rng(seed)
    y = rng.normal(size=60)[family] + 0.3 * rng.normal(size=240)
    fit = fitted(seqs, y, group="identity:0.3", **RIDGE)
    fold = np.array([fit.validation.plan.fold_of(s) for s in seqs])
    assert np.ptp(np.bincount(fold)) <= 4
    chance = [spread(rng.permutation(np.arange(60) % 5)[family], y, 5) for _ in range(200)]
    assert spread(fold, y, 5) < np.quantile(chance, 0.01)


def test_the_largest_first_to_where_its_kinds_are_fewest_is_a_slow_loop() -> None:
    """Each group goes to the fold in which the squares of all loads grow least."""
    rng = np.random.default_rng(SEED)
    counts, rank, k = rng.integers(0, 5, (40, 4)), rng.permutation(40), 5
    fold = balanced(counts, k, rank, 0)
    shuffled = dict(
        zip(np.argsort(rank).tolist(), np.random.default_rng(0).permutation(40).tolist(), strict=True)
    )
    load = np.zeros((k, 4))
    for i in sorted(range(40), key=lambda i: (-counts[i].sum(), shuffled[i])):
        growth = []
        for f in range(k):
            after = load.copy()
            after[f] += counts[i]
            squares = [(a.sum(axis=1) ** 2).sum() + 4 * (a**2).sum() for a in (load, after)]
            growth.append(squares[1] - squares[0])
        assert growth[fold[i]] == min(growth)
        load[fold[i]] += counts[i]


@pytest.mark.parametrize(("g", "k"), [(0, 3), (1, 1), (3, 3), (7, 3)])
def test_no_fold_is_empty_where_there_are_groups_for_all(g: int, k: int) -> None:
    fold = balanced(np.ones((g, 4), np.int64), k, np.arange(g), 0)
    assert len(fold) == g
    assert len(set(fold.tolist())) == min(g, k)


# ---- which regime is chosen ----


def chosen(cells: list[str], y: np.ndarray, **how: Any) -> str:
    return str(fitted(cells, y, **how).validation.plan.regime)


def test_the_regime_goes_by_what_the_sequences_are() -> None:
    rng = np.random.default_rng(0)
    many, _ = families(30, 4)
    singles, y = variants(most=1)
    several, z = variants(most=4)
    assert chosen(many, rng.normal(size=120), **RIDGE) == "identity:0.3"
    assert chosen(singles, y, wild_type=WILD, **HOT) == "position:modulo"
    assert chosen(singles, y, **HOT) == "position:modulo"  # a family without a named wild type
    middle = int(np.median([len(places(s)) for s in several]))
    assert chosen(several, z, wild_type=WILD, **HOT) == f"mutations:{middle}"


def test_two_regimes_cannot_be_had_at_once() -> None:
    seqs, y = variants()
    with refused(UsageError, "identity:0.3", "'site'", "Leave one"):
        lw.fit(
            table(seqs, y, site=["a", "b"] * 120), "y", sequence="s", group="identity:0.3", cluster="site"
        )


# ---- planted leaks ----


def test_a_target_of_the_family_alone_is_known_of_relatives_and_of_nobody_else() -> None:
    seqs, family = families(60, 6, 0.85)
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)[family] + 0.1 * rng.normal(size=360)
    common = {"encode_as": "kmers:2", "penalty": lw.L2(1e-6)}
    leaks = fitted(seqs, y, group="sequence:each", **common).validation
    honest = fitted(seqs, y, group="identity:0.3", **common).validation
    assert leaks.r2.mean() > 0.6
    assert honest.r2.mean() < 0.1


def test_effects_of_positions_are_known_of_positions_seen_and_of_no_other() -> None:
    rng = np.random.default_rng(0)
    effect = 3 * rng.normal(size=LENGTH)
    seqs = [WILD[:p] + a + WILD[p + 1 :] for p in range(LENGTH) for a in "ACDEFGHIK" if a != WILD[p]]
    y = np.array([effect[min(places(s))] for s in seqs]) + 0.1 * rng.normal(size=len(seqs))
    leaks = fitted(seqs, y, wild_type=WILD, group="sequence:each", **HOT).validation
    honest = fitted(seqs, y, wild_type=WILD, group="position:modulo", **HOT).validation
    assert leaks.r2.mean() > 0.7
    assert honest.r2.mean() < 0.1


@pytest.mark.parametrize("group", ["position:modulo", "mutations:2", "target:low"])
def test_nothing_is_learned_from_rows_held_out(group: str) -> None:
    """By a fold's coefficients: those of a fit of its training rows alone."""
    seqs, y = variants()
    fit = fitted(seqs, y, wild_type=WILD, group=group, **HOT)
    scores = fit.validation
    for i, (_, train) in enumerate(sides(fit, seqs)):
        rows = np.flatnonzero(train)
        alone = fitted([seqs[j] for j in rows], y[rows], wild_type=WILD, folds=0, **HOT)
        at = [fit.names.index(name) for name in alone.names]
        np.testing.assert_allclose(scores.coef[i, 0, at], alone.coef, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(scores.intercept[i, 0], alone.intercept, rtol=1e-8)
        assert not np.delete(scores.coef[i, 0], at).any()


@pytest.mark.parametrize(
    "group",
    [
        "mutations:2",
        "position:modulo",
    ],
)
def test_a_penalty_is_chosen_without_the_rows_held_out(group: str) -> None:
    """Wild values on one side leave the other side's penalty and coefficients as they are."""
    seqs, y = variants()
    alphas = tuple(np.geomspace(1.0, 1e-4, 9))
    common = {
        "wild_type": WILD,
        "group": group,
        "encode_as": "one-hot",
        "penalty": lw.L2("cv"),
        "alphas": alphas,
    }
    first = fitted(seqs, y, **common)
    held = sides(first, seqs)[0][0]
    wild = y.copy()
    wild[held] = np.random.default_rng(0).permutation(y[held]) * 50 + 1e3
    second = fitted(seqs, wild, **common)
    np.testing.assert_array_equal(sides(second, seqs)[0][0], held)
    assert first.validation.alpha[0] == second.validation.alpha[0]
    # sums are taken about the mean of the first rows, which changed: rounding of 1e3 in 1e-16
    a, b = (f.validation.coef[0, 0] for f in (first, second))
    np.testing.assert_allclose(a, b, atol=1e-9 * np.abs(a).max())
    assert first.validation.mse[0] < second.validation.mse[0]


def test_a_penalty_is_chosen_among_the_lower_half() -> None:
    seqs, y = variants()
    fit = fitted(seqs, y, group="target:low", encode_as="one-hot", penalty=lw.L2("cv"))
    assert len(fit.validation.alpha) == 1
    assert fit.choice is not None
    assert fit.choice.mse.shape[1] >= 2


@pytest.mark.parametrize("group", OF_FAMILIES)
def test_scores_of_a_chosen_penalty_are_nested(group: str) -> None:
    seqs, _ = families(40, 3)
    y = np.random.default_rng(0).normal(size=120)
    fit = fitted(seqs, y, group=group, encode_as="kmers:2", penalty=lw.L2("cv"))
    assert len(fit.validation.alpha) == 5


# ---- what is refused ----

_, Y = variants(60)
SEQS = variants(60)[0]
REFUSED: dict[str, tuple[type[lw.errors.LeastwiseError], dict[str, Any], tuple[str, ...]]] = {
    "identity above 1": (UsageError, {"group": "identity:2"}, ("'identity:2'", "up to 1", "identity:0.3")),
    "identity 0": (UsageError, {"group": "identity:0"}, ("'identity:0'", "above 0")),
    "identity nan": (UsageError, {"group": "identity:nan"}, ("'identity:nan'",)),
    "identity text": (UsageError, {"group": "identity:x"}, ("'x' is no share", "identity:0.3")),
    "mutations text": (UsageError, {"group": "mutations:x"}, ("'x' is no whole number", "mutations:2")),
    "mutations 0": (UsageError, {"group": "mutations:0"}, ("1 or more",)),
    "mutations of all": (DataError, {"group": "mutations:9"}, ("'mutations:9'", "0 of", "both sides")),
    "position": (UsageError, {"group": "position:odd"}, ("'position:odd'", "position:modulo")),
    "words": (UsageError, {"group": "words:rare"}, ("'words:rare'", "words:shared")),
    "sequence": (UsageError, {"group": "sequence:all"}, ("'sequence:all'", "sequence:each")),
    "target": (UsageError, {"group": "target:high"}, ("'target:high'", "target:low")),
    "repeated positions": (
        UsageError,
        {"group": "position:modulo", "repeats": 2},
        ("repeats=2", "one way"),
    ),
    "repeated mutations": (UsageError, {"group": "mutations:2", "repeats": 2}, ("repeats=2", "one way")),
    "labels": (
        UsageError,
        {"group": "identity:0.3", "folds": "predefined"},
        ("folds='predefined'", "identity:0.3"),
    ),
    "more folds than rows": (UsageError, {"group": "sequence:each", "folds": 61}, ("61 folds", "60 rows")),
}


@pytest.mark.parametrize(("kind", "how", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(kind: Any, how: dict[str, Any], words: tuple[str, ...]) -> None:
    with refused(kind, *words):
        fitted(SEQS, Y, **HOT, **how)


@pytest.mark.parametrize("group", ["position:modulo", "mutations:2"])
def test_sequences_of_several_lengths_are_no_variants(group: str) -> None:
    seqs, _ = families(10, 3)
    with refused(UsageError, f"'{group}'", "several lengths", "wild_type="):
        fitted(seqs, np.arange(30.0), group=group, **RIDGE)


def test_one_position_cannot_be_held_out() -> None:
    seqs = ["A" + WILD[1:], "C" + WILD[1:], "D" + WILD[1:], "E" + WILD[1:]] * 3
    with refused(DataError, "1 position", "'position:modulo'", "sequence:each"):
        fitted(seqs, np.arange(12.0), wild_type=WILD, group="position:modulo", **HOT)


def test_relatives_of_one_group_have_no_score_and_folds_that_are_asked_for_are_refused() -> None:
    seqs, _ = families(1, 30, 0.9)
    y = np.arange(30.0)
    fit = fitted(seqs, y, group="identity:0.3", **RIDGE)
    assert not fit.validation
    assert "one group" in fit.validation.reason
    with refused(UsageError, "5 folds"):
        fitted(seqs, y, group="identity:0.3", folds=5, **RIDGE)


def test_one_sequence_has_no_score() -> None:
    y = np.random.default_rng(0).normal(size=20)
    fit = fitted([WILD] * 20, y, group="sequence:each", encode_as="composition")
    assert not fit.validation
    assert not fit.coef.any()


@pytest.mark.parametrize("text", ["plate", "identity", "site:1", ""])
def test_what_is_no_regime_is_a_column(text: str) -> None:
    assert Regime.of(text) is None


def test_quarters_are_even_and_a_constant_is_one() -> None:
    y = np.random.default_rng(0).normal(size=400)
    assert np.bincount(quarters(y)).tolist() == [100] * 4
    assert len(set(quarters(np.ones(9)).tolist())) == 1


# ---- faults ----


def test_fewer_groups_than_the_default_are_a_fold_each() -> None:
    seqs, family = families(3, 20, 0.8)
    fit = fitted(seqs, np.random.default_rng(0).normal(size=60), group="identity:0.3", **RIDGE)
    assert fit.validation
    assert fit.validation.k == 3
    for held, _ in sides(fit, seqs):
        assert len(set(family[held])) == 1


def test_more_folds_than_groups_are_refused_with_the_number_there_is() -> None:
    seqs, _ = families(3, 20, 0.8)
    with refused(UsageError, "5 folds", "3 groups", "folds=3"):
        fitted(seqs, np.arange(60.0), group="identity:0.3", folds=5, **RIDGE)


def test_more_folds_than_positions_are_refused() -> None:
    seqs = [WILD[:p] + a + WILD[p + 1 :] for p in range(3) for a in "CDEFG" if a != WILD[p]]
    with refused(UsageError, "5 folds", "3 positions"):
        fitted(seqs, np.arange(15.0), wild_type=WILD, group="position:modulo", folds=5, **HOT)


@pytest.mark.parametrize("group", ["mutations:2", "target:low"])
def test_a_number_of_folds_is_refused_where_there_is_one(group: str) -> None:
    with refused(UsageError, "folds=7"):
        fitted(SEQS, Y, wild_type=WILD, group=group, folds=7, **HOT)


@pytest.mark.parametrize("folds", [0, "leave-one-out"])
def test_a_regime_is_refused_where_nothing_is_dealt(folds: Any) -> None:
    with refused(UsageError, "identity:0.3"):
        fitted(SEQS, Y, group="identity:0.3", folds=folds, encode_as="composition")


def test_a_regime_is_refused_of_a_stream_that_is_read_once() -> None:
    frame = table(SEQS, Y)
    stream = pa.RecordBatchReader.from_batches(frame.schema, frame.to_batches())
    with refused(UsageError, "identity:0.3"):
        lw.fit(stream, "y", sequence="s", group="identity:0.3", **RIDGE)


def test_moments_of_parts_with_sequences_still_add() -> None:
    seqs, _ = families(30, 4)
    y = np.random.default_rng(0).normal(size=120)
    halves = [
        lw.condense(table(seqs[a:b], y[a:b]), "y", sequence="s", encode_as="composition")
        for a, b in ((0, 70), (70, 120))
    ]
    assert (halves[0] + halves[1]).n == 120


def test_one_sequence_in_two_spellings_is_on_one_side_of_the_target() -> None:
    seqs, y = variants(40)
    cells, values = [*seqs, *(s.lower() for s in seqs)], np.append(y, y[::-1])
    fit = fitted(cells, values, group="target:low", **HOT)
    ((held, train),) = sides(fit, cells)
    one, other = ({cells[i].upper() for i in np.flatnonzero(side)} for side in (held, train))
    assert not one & other


def test_a_whole_number_is_of_plain_digits() -> None:
    with refused(UsageError, "mutations:²"):
        fitted(SEQS, Y, group="mutations:²", **HOT)


@pytest.mark.parametrize(("count", "folds"), [(3, 3), (10, 5)], ids=["three", "ten"])
def test_few_groups_are_dealt_again_and_again(count: int, folds: int) -> None:
    seqs, _ = families(count, 6, 0.85)
    y = np.random.default_rng(0).normal(size=6 * count)
    fit = fitted(seqs, y, group="identity:0.3", folds=folds, repeats=3, **RIDGE)
    np.testing.assert_array_equal(sum(held for held, _ in sides(fit, seqs)), np.full(6 * count, 3))


def test_names_are_dealt_where_they_make_no_columns() -> None:
    names = [f"{WILD[p]}{p + 1}{a}" for p in range(LENGTH) for a in "CDW" if a != WILD[p]]
    x = np.random.default_rng(0).normal(size=len(names))
    frame = table(names, 2 * x, x=x)
    fit = lw.fit(frame, "y", sequence="s", encode_as="none", wild_type=WILD, group="position:modulo")
    assert fit.validation.k == 5


def test_unknown_letters_are_left_out_where_sequences_make_no_columns() -> None:
    seqs, _ = families(40, 2)
    x = np.random.default_rng(0).normal(size=80)
    frame = table([*seqs[:-1], "X" + seqs[-1]], x + 1, x=x)
    fit = lw.fit(frame, "y", sequence="s", encode_as="none", unknown="drop", group="sequence:each")
    assert fit.tally.dropped == {"'s' with unknown letters": 1}


def test_unknown_letters_are_told_by_row_where_sequences_make_no_columns() -> None:
    seqs, _ = families(40, 2)
    x = np.random.default_rng(0).normal(size=80)
    frame = table([*seqs[:-1], "X" + seqs[-1]], x + 1, x=x)
    with refused(SequenceError, "Row 80", "'s'"):
        lw.fit(frame, "y", sequence="s", encode_as="none", group="sequence:each")


def test_a_target_that_does_not_vary_is_told_as_such() -> None:
    with refused(DataError, "The target of all"):
        fitted(SEQS, np.ones(60), group="target:low", **HOT)


@pytest.mark.parametrize("group", ["mutations:2", "target:low"])
def test_the_summary_says_in_words_what_was_held_out(group: str) -> None:
    seqs, y = variants()
    text = fitted(seqs, y, wild_type=WILD, group=group, **HOT).summary()
    assert "only trained on" in text
    for odd in (f"{len(set(seqs))} number of", f"{len(set(seqs))} value", "over 1 fold"):
        assert odd not in text


# ---- real variants ----


def test_variants_of_a_real_protein_are_read_by_name_as_by_sequence(shared: Path) -> None:
    path = shared / "dms_b2l11/B2L11_HUMAN_Dutta_2010_binding-Mcl-1.csv"
    rows = pacsv.read_csv(path).to_pandas()
    first, text = rows["mutant"][0].split(":")[0], rows["mutated_sequence"][0]
    place = int(first[1:-1]) - 1
    assert text[place] == first[-1]
    wild = text[:place] + first[0] + text[place + 1 :]
    common = {"wild_type": wild, "penalty": lw.L2(0.01)}
    by_name, by_letters = (
        lw.fit(path, "DMS_score", sequence=s, **common) for s in ("mutant", "mutated_sequence")
    )
    assert by_name.names == by_letters.names
    assert by_name.validation.plan.regime == by_letters.validation.plan.regime == "position:modulo"
    size = np.abs(by_letters.coef).max()
    np.testing.assert_allclose(by_name.coef, by_letters.coef, atol=1e-9 * size)
    np.testing.assert_allclose(by_name.validation.mse, by_letters.validation.mse, rtol=1e-8)


def test_a_random_split_of_real_variants_flatters(shared: Path) -> None:
    """Of beta-lactamase: letters at positions not seen say next to nothing; residues seen say much."""
    rows = pacsv.read_csv(shared / "dms_blat_ecolx/BLAT_ECOLX_Ranganathan2015.csv.gz").to_pandas()
    rows = rows[[60 <= int(name[1:-1]) < 110 for name in rows["mutant"]]]
    wild = "".join((shared / "dms_blat_ecolx/target.fasta").read_text().split("\n")[1:])
    common = {"sequence": "mutant", "wild_type": wild, "penalty": lw.L2(1e-3)}
    leaks, honest = (
        lw.fit(rows, "2500", group=group, **common).validation
        for group in ("sequence:each", "position:modulo")
    )
    assert leaks.r2.mean() > 0.35
    assert honest.r2.mean() < 0.1


def test_a_seed_beside_positions_is_refused_for_nothing_is_dealt():
    cells, y = variants()
    with pytest.raises(UsageError, match="seed=3 deals rows, and 'position:modulo' leaves nothing to deal"):
        lw.fit(
            pa.table({"s": cells, "y": y}), "y", features=(), sequence="s", encode_as="one-hot",
            group="position:modulo", seed=3, penalty=lw.L2(0.1),
        )  # fmt: skip
