"""Folds: rows that belong together stay together, and nothing is learned from what is held out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import leastwise as lw
from leastwise.folds import FoldPlan
from leastwise.rows.block import Block

SEED = 3


def block(X, y, group=None):
    Y = np.asarray(y, float).reshape(len(X), -1)
    text = None if group is None else pa.array([str(g) for g in group])
    return Block(X, Y, None, text, np.arange(len(X)))


def table(n=300, p=3):
    r = np.random.default_rng(SEED)
    X = r.normal(size=(n, p))
    return X, X @ np.arange(1.0, p + 1) + r.normal(size=n)


def test_a_row_goes_where_it_goes_whatever_stands_around_it():
    X, y = table()
    plan = FoldPlan(5, seed=1)
    whole = plan.deal(block(X, y))
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(plan.deal(block(X[order], y[order])), whole[order])
    parts = [plan.deal(block(X[i : i + 7], y[i : i + 7])) for i in range(0, len(X), 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(plan.deal(block(np.asfortranarray(X), y)), whole)


def test_equal_rows_come_into_one_fold_and_negative_zero_is_zero():
    X, y = table(50)
    X[:, 0] = 0.0
    twice = np.concatenate([X, X * np.array([-1.0, 1, 1])])
    folds = FoldPlan(5).deal(block(twice, np.concatenate([y, y])))
    np.testing.assert_array_equal(folds[:50], folds[50:])


@pytest.mark.parametrize("kind", ["normal", "integers", "flags"])
def test_folds_by_content_are_of_about_equal_size(kind):
    r = np.random.default_rng(SEED)
    X = {
        "normal": lambda: r.normal(size=(20_000, 3)),
        "integers": lambda: r.integers(0, 50, (20_000, 3)).astype(float),
        "flags": lambda: r.integers(0, 2, (20_000, 24)).astype(float),
    }[kind]()
    sizes = np.bincount(FoldPlan(5).deal(block(X, r.normal(size=20_000))), minlength=5)
    # 4,000 each with a standard deviation of 57: five of them is chance of one in a million
    assert np.abs(sizes - 4_000).max() < 285


def test_another_seed_deals_otherwise():
    X, y = table()
    a, b = (FoldPlan(5, seed=s).deal(block(X, y)) for s in (0, 1))
    assert 0.1 < (a == b).mean() < 0.3


def test_a_group_is_never_cut_and_folds_come_out_alike():
    sizes = {f"g{i}": 1 + i % 17 for i in range(90)}
    plan = FoldPlan.of_groups(sizes, 5, seed=0)
    load = np.zeros(5)
    for group, size in sizes.items():
        load[plan.fold_of(group)] += size
    assert load.max() - load.min() <= max(sizes.values())


def test_as_many_groups_as_folds_is_one_group_each():
    plan = FoldPlan.of_groups(dict.fromkeys("abcde", 10), 5, seed=0)
    assert sorted(plan.places.values()) == [0, 1, 2, 3, 4]


def test_more_folds_than_groups_is_an_error():
    X, y = table(60)
    frame = pa.table({"x": X[:, 0], "y": y, "site": ["a", "b", "c"] * 20})
    with pytest.raises(lw.errors.UsageError, match=r"5 folds .* 3 groups"):
        lw.fit(frame, "y", group="site", folds=5)


def test_fewer_groups_than_the_default_are_a_fold_each():
    X, y = table(60)
    frame = pa.table({"x": X[:, 0], "y": y, "site": ["a", "b", "c"] * 20})
    fit = lw.fit(frame, "y", group="site")
    assert fit.validation.k == 3
    assert fit.validation.plan.groups == 3


def by_hand(X, y, folds, f):
    """The slow, obvious twin: cut the rows, fit, predict, score."""
    train, held = folds != f, folds == f
    A = np.column_stack([np.ones(train.sum()), X[train]])
    b = np.linalg.lstsq(A, y[train], rcond=None)[0]
    guess = np.column_stack([np.ones(held.sum()), X[held]]) @ b
    mse = ((guess - y[held]) ** 2).mean()
    return {
        "mse": mse,
        "r2": 1 - mse / y[held].var(),
        "mean_mse": ((y[train].mean() - y[held]) ** 2).mean(),
        "train_mse": ((A @ b - y[train]) ** 2).mean(),
        "mae": np.abs(guess - y[held]).mean(),
    }


def test_scores_are_those_of_cutting_the_rows_by_hand():
    X, y = table()
    fit = lw.fit((X, y))
    scores = fit.validation
    folds = scores.plan.deal(block(X, y))
    for f in range(5):
        truth = by_hand(X, y, folds, f)
        for name in ("mse", "r2", "mean_mse", "train_mse"):
            np.testing.assert_allclose(getattr(scores, name)[f], truth[name], rtol=1e-11)
        np.testing.assert_allclose(fit.validation.mae[f], truth["mae"], rtol=1e-11)


def test_spearman_is_that_of_scipy():
    from scipy.stats import spearmanr

    X, y = table()
    y = np.round(y)  # ties
    fit = lw.fit((X, y))
    scores = fit.validation
    folds = scores.plan.deal(block(X, y))
    for f in range(5):
        here = folds == f
        guess = X[here] @ scores.coef[f, 0] + scores.intercept[f, 0]
        np.testing.assert_allclose(fit.validation.spearman[f], spearmanr(guess, y[here])[0], rtol=1e-12)


def test_moments_alone_give_the_same_scores_as_the_rows():
    X, y = table()
    from_rows = lw.fit((X, y)).validation
    halves = [lw.condense((X[a:b], y[a:b])) for a, b in ((0, 120), (120, 300))]
    from_moments = lw.fit(halves[0] + halves[1]).validation
    np.testing.assert_allclose(from_moments.mse, from_rows.mse, rtol=1e-11)


def test_moments_of_different_plans_never_add():
    X, y = table()
    with pytest.raises(lw.errors.MomentsError, match="plan differ"):
        _ = lw.condense((X, y), seed=1) + lw.condense((X, y), seed=2)


def test_moments_without_folds_have_no_validation_and_say_so():
    X, y = table()
    fit = lw.fit(lw.Moments.of(X, y))
    assert not fit.validation
    assert "without folds" in fit.validation.reason
    assert "no score on unseen rows: these moments were made without folds" in fit.summary()


@pytest.mark.parametrize("n", [2, 4, 6])
def test_too_few_rows_have_no_validation_by_default_and_an_error_when_asked(n):
    X, y = table(n)
    fit = lw.fit((X, y))
    assert not fit.validation
    assert fit.validation.reason
    with pytest.raises(lw.errors.UsageError, match="5 folds were asked for, but"):
        lw.fit((X, y), folds=5)


def test_a_column_constant_in_a_training_fold_is_left_out_there_and_counted():
    X, y = table(100)
    rare = np.zeros(100)
    rare[17] = 1.0  # the fold that holds this row out knows the column as all zeros
    fit = lw.fit((np.column_stack([X, rare]), y))
    folds = fit.validation.plan.deal(block(np.column_stack([X, rare]), y))
    assert fit.validation.left_out.tolist() == [int(f == folds[17]) for f in range(5)]
    assert "1 column did not vary in some training part" in fit.summary()


# ---- planted leaks: had anything been learned from held-out rows, these would come out otherwise ----


def test_means_for_missing_numbers_are_learned_in_training_folds_only():
    X, y = table(400, 1)
    x = X[:, 0].copy()
    gaps = np.arange(400) % 4 == 0
    group = np.where(gaps, "gaps", "rest").astype(object)
    group[~gaps] = [f"g{i % 4}" for i in range(300)]
    x[gaps] = np.nan
    x[1] = 1e6  # one held-out fold has it, the others must not know
    frame = pa.table({"x": x, "y": y, "site": group.tolist()})
    fit = lw.fit(frame, "y", group="site", missing="mean", folds=5)
    scores = fit.validation
    for f in range(5):
        out = {g for g in set(group) if scores.plan.fold_of(g) == f}
        train = np.array([g not in out for g in group])
        # the shift is near 2,500, because of that row: 1e-16 of it is what the others are rounded at
        np.testing.assert_allclose(scores.fills[f, 0], np.nanmean(x[train]), rtol=1e-10)


def test_filled_folds_score_as_an_imputer_fitted_in_each_training_part():
    X, y = table(300)
    X[np.random.default_rng(1).random(X.shape) < 0.15] = np.nan
    fit = lw.fit((X, y), missing="mean")
    folds = fit.validation.plan.deal(block(X, y))
    for f in range(5):
        means = np.nanmean(X[folds != f], axis=0)
        truth = by_hand(np.where(np.isnan(X), means, X), y, folds, f)
        np.testing.assert_allclose(fit.validation.mse[f], truth["mse"], rtol=1e-10)
        np.testing.assert_allclose(fit.validation.mae[f], truth["mae"], rtol=1e-10)


def test_a_level_that_only_held_out_rows_have_teaches_nothing():
    r = np.random.default_rng(0)
    n = 500
    level = np.array(["a", "b"])[r.integers(0, 2, n)].astype(object)
    site = np.array([f"s{i % 5}" for i in range(n)])
    y = r.normal(size=n) + (level == "b")
    level[site == "s0"] = "only here"
    y[site == "s0"] += 100  # a leaked level would explain all of this
    frame = pa.table({"level": level.tolist(), "site": site.tolist(), "y": y})
    scores = lw.fit(frame, "y", group="site", folds=5).validation
    held = scores.plan.fold_of("s0")
    assert scores.rmse[held] > 90
    assert scores.left_out[held] >= 1


def test_pure_noise_scores_no_better_than_the_mean():
    r = np.random.default_rng(SEED)
    X, y = r.normal(size=(400, 40)), r.normal(size=400)
    scores = lw.fit((X, y)).validation
    assert scores.over_folds("r2")[0] < 0
    assert scores.over_folds("mse")[0] > scores.over_folds("train_mse")[0]
    assert scores.over_folds("mse")[0] > scores.over_folds("mean_mse")[0]


def test_repeated_rows_do_not_flatter():
    r = np.random.default_rng(SEED)
    X, y = r.normal(size=(60, 20)), r.normal(size=60)
    X, y = np.tile(X, (4, 1)), np.tile(y, 4)  # every row four times: a random split would leak
    assert lw.fit((X, y)).validation.over_folds("r2")[0] < 0
