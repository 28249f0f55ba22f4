"""Penalties and their choice under attack: leaks, weights as repetitions, small data, files, sentences."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import Lasso, Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

import leastwise as lw
from leastwise.cli import main
from leastwise.errors import LeastwiseError, UsageError
from leastwise.report.page import page

FEATURES = ["x0", "x1", "x2", "x3"]


def rows(n=60, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X @ rng.normal(size=p) + rng.normal(size=n)


def table(n=60, p=4, groups=6, seed=0):
    X, y = rows(n, p, seed)
    return pd.DataFrame(X).add_prefix("x").assign(y=y, g=[f"g{i % groups}" for i in range(n)])


def broken(why):
    return pytest.mark.xfail(strict=True, reason=why)


# ---- honest scores: a slow twin, from rows and scikit-learn alone ----


def parts_of(fit):
    deal, recipe = fit.validation.plan.deal, fit.recipe
    return np.concatenate([deal(recipe.block(slab)) for slab in fit.rows.slabs(recipe.reads_all)])


def error_of(X, y, w, train, test, alpha, kind, standardize):
    """Means, deviations and coefficients of the training rows; the error on the others."""
    A, B = X[train], X[test]
    seen = ~np.isnan(A)
    v = w[train]
    mean = np.array([np.average(c[s], weights=v[s]) for c, s in zip(A.T, seen.T, strict=True)])
    A, B = np.where(seen, A, mean), np.where(np.isnan(B), mean, B)
    if standardize:
        centre = np.average(A, axis=0, weights=v)
        sd = np.sqrt(np.average((A - centre) ** 2, axis=0, weights=v))
        A, B = (A - centre) / sd, (B - centre) / sd
    model = Lasso(alpha, tol=1e-11, max_iter=10**6) if kind is lw.L1 else Ridge(2 * v.sum() * alpha)
    guess = model.fit(A, y[train], sample_weight=v).predict(B)
    return np.average((y[test] - guess) ** 2, weights=w[test])


def taken(errors, weight, alphas, rule):
    share = np.array(weight) / np.sum(weight)
    error = share @ errors
    spread = np.sqrt(share @ (errors - error) ** 2 / (len(weight) - 1))
    best = int(np.argmin(error))
    return alphas[best] if rule == "cv" else alphas[int(np.argmax(error <= error[best] + spread[best]))]


WAYS = {
    "a number": {"folds": 4},
    "dealt again": {"folds": 4, "repeats": 2},
    "groups left out": {"folds": "leave-one-group-out", "group": "g"},
    "predefined": {"folds": "predefined", "group": "part"},
}
ALPHAS = (1.0, 0.1, 0.03, 0.001)


@pytest.mark.parametrize("standardize", [False, True], ids=["as they came", "standardised"])
@pytest.mark.parametrize(("kind", "rule"), [(lw.L1, "1se"), (lw.L2, "cv")], ids=["lasso", "ridge"])
@pytest.mark.parametrize("way", WAYS)
def test_nested_scores_with_gaps_weights_and_units_are_those_of_refits_on_rows(
    way, kind, rule, standardize
):
    rng = np.random.default_rng(5)
    X, y = rows(80)
    X = X * [1, 1e3, 1e-3, 5] + [1e3, 0, 0, 1]
    X[rng.random(X.shape) < 0.15] = np.nan
    w, i = rng.uniform(0.2, 3, 80), np.arange(80)
    frame = pd.DataFrame(X).add_prefix("x")
    frame = frame.assign(y=y, w=w, g=i % 5, part=np.where(i % 4 == 0, -1, i % 5))
    asked = {"penalty": kind(rule), "alphas": ALPHAS, "standardize": standardize, **WAYS[way]}
    fit = lw.fit(frame, "y", features=FEATURES, weight="w", missing="mean", **asked)
    part, alphas = parts_of(fit), np.array(ALPHAS)
    for f, split in enumerate(fit.validation.plan.splits):
        inner, weight = [], []
        for held in split.others:  # each by the others of them, and by what is only trained on
            test = np.isin(part, held)
            train = np.isin(part, split.train) & ~test
            assert not (train & np.isin(part, split.held)).any()
            inner.append([error_of(X, y, w, train, test, a, kind, standardize) for a in alphas])
            weight.append(w[test].sum())
        alpha = taken(np.array(inner), weight, alphas, rule)
        assert fit.validation.alpha[f] == alpha
        train, test = np.isin(part, split.train), np.isin(part, split.held)
        error = error_of(X, y, w, train, test, alpha, kind, standardize)
        assert fit.validation.mse[f] == pytest.approx(error, rel=2e-5)  # the lasso's gap of 1e-9


@pytest.mark.parametrize("kind", [lw.L1, lw.L2], ids=["lasso", "ridge"])
@pytest.mark.parametrize("way", ["groups left out", "predefined"])
def test_nothing_of_held_out_rows_reaches_the_model_that_they_score(way, kind):
    frame = table()
    frame.loc[::7, "x1"] = np.nan
    frame["part"] = np.where(np.arange(60) % 5 == 4, -1, np.arange(60) % 5)
    asked = {"features": FEATURES, "missing": "mean", "standardize": True, "penalty": kind("1se")}
    asked |= WAYS[way]
    before = lw.fit(frame, "y", **asked).validation
    labels = sorted(set(map(str, frame[asked["group"]])) - {"-1"})
    rng = np.random.default_rng(0)
    for f, label in enumerate(labels):
        spoilt = frame.copy()
        held = spoilt[asked["group"]].astype(str) == label
        spoilt.loc[held, FEATURES] = 1e3 * rng.normal(size=(held.sum(), 4))
        spoilt.loc[held, "y"] = 1e5 * rng.normal(size=held.sum())
        after = lw.fit(spoilt, "y", **asked).validation
        assert after.alpha[f] == pytest.approx(before.alpha[f], rel=1e-9)
        np.testing.assert_allclose(after.fills[f], before.fills[f], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(after.coef[f], before.coef[f], rtol=1e-6, atol=1e-8)


def test_levels_and_columns_that_do_not_vary_in_a_training_part_score_as_refits_do():
    frame = table().assign(
        only=lambda d: (d.g == "g1") * 1.0,
        new=lambda d: np.where(d.g == "g2", "z", "a"),
        first=lambda d: np.where(d.g == "g3", "A", "B"),
    )
    how = {"group": "g", "folds": "leave-one-group-out"}
    fit = lw.fit(frame, "y", penalty=lw.L2(0.1), **how)
    Z = np.column_stack([frame[FEATURES], frame.only, frame.new == "z", frame["first"] == "B"]).astype(
        float
    )
    y = frame.y.to_numpy()
    for f, group in enumerate(sorted(set(frame.g))):
        test = (frame.g == group).to_numpy()
        model = Ridge(0.2 * (~test).sum()).fit(Z[~test], y[~test])
        assert fit.validation.mse[f] == pytest.approx(np.mean((y[test] - model.predict(Z[test])) ** 2))
    assert fit.validation.left_out.sum() == 3


def test_the_order_of_rows_and_of_alphas_and_duplicates_of_them_change_no_choice():
    X, y = rows()
    order = np.random.default_rng(1).permutation(60)
    one = lw.fit((X, y), penalty=lw.L1("1se"), folds=4, repeats=2, alphas=[0.5, 0.1, 0.02])
    other = lw.fit(
        (X[order], y[order]), penalty=lw.L1("1se"), folds=4, repeats=2, alphas=[0.02, 0.5, 0.1, 0.5]
    )
    assert one.choice.alpha == other.choice.alpha
    np.testing.assert_allclose(one.validation.mse, other.validation.mse, rtol=1e-9)


def test_of_errors_that_are_all_alike_the_largest_penalty_is_taken():
    for rule in ("cv", "1se"):
        fit = lw.fit(rows(), penalty=lw.L1(rule), alphas=[1e3, 1e4, 1e5])
        assert fit.choice.alpha == 1e5


# ---- weights ----


def repeated(n=30, p=4, groups=5, seed=0, most=4):
    X, y = rows(n, p, seed)
    w = np.random.default_rng(1).integers(0, most, n)
    w[:2] = most
    frame = pd.DataFrame(X).add_prefix("x").assign(y=y, w=w, g=np.arange(n) % groups)
    return frame, frame.loc[frame.index.repeat(w)].reset_index(drop=True)


@pytest.mark.parametrize("kind", ["analytic", "frequency", "sampling"])
@pytest.mark.parametrize("penalty", [lw.L1("1se"), lw.L2("cv")], ids=str)
def test_weights_of_every_kind_also_zero_choose_and_score_as_repetitions_do(penalty, kind):
    frame, often = repeated()
    how = {"group": "g", "folds": "leave-one-group-out", "penalty": penalty}
    one = lw.fit(frame, "y", weight="w", weight_kind=kind, **how)
    other = lw.fit(often, "y", drop="w", **how)
    np.testing.assert_allclose(one.choice.alphas, other.choice.alphas, rtol=1e-12)
    np.testing.assert_allclose(one.choice.error, other.choice.error, rtol=1e-8)
    np.testing.assert_allclose(one.choice.spread, other.choice.spread, rtol=1e-8)
    np.testing.assert_allclose(one.validation.alpha, other.validation.alpha, rtol=1e-12)
    np.testing.assert_allclose(one.validation.mse, other.validation.mse, rtol=1e-8)
    np.testing.assert_allclose(one.validation.mae, other.validation.mae, rtol=1e-6)


def test_frequency_weights_reach_as_far_down_the_path_as_repetitions_do():
    X, y = rows(12, 15)
    frame = pd.DataFrame(X).add_prefix("x").assign(y=y, w=3, g=np.arange(12) % 4)
    often = frame.loc[frame.index.repeat(3)].reset_index(drop=True)
    how = {"group": "g", "folds": "leave-one-group-out", "penalty": lw.L1("cv")}
    one = lw.fit(frame, "y", weight="w", weight_kind="frequency", **how)
    other = lw.fit(often, "y", drop="w", **how)
    np.testing.assert_allclose(one.choice.alphas, other.choice.alphas, rtol=1e-10)


def test_criteria_of_the_path_under_frequency_weights_are_those_of_repetitions():
    frame, often = repeated()
    how = {"penalty": lw.L2("cv"), "alphas": 20}
    one = lw.fit(frame, "y", drop="g", weight="w", weight_kind="frequency", **how)
    other = lw.fit(often, "y", drop=["g", "w"], **how)
    np.testing.assert_allclose(one.path.bic, other.path.bic, rtol=1e-8)


def test_the_criteria_of_the_path_are_those_of_the_fit_where_it_was_chosen():
    fit = lw.fit(rows(), penalty=lw.L1("cv"))
    assert fit.path.aic[fit.choice.chosen, 0] == pytest.approx(fit.facts["solution"]["aic"], rel=1e-9)


def test_the_spread_of_ridge_under_frequency_weights_is_that_of_repetitions():
    frame, often = repeated()
    one = lw.fit(frame, "y", drop="g", weight="w", weight_kind="frequency", penalty=lw.L2(0.1))
    other = lw.fit(often, "y", drop=["g", "w"], penalty=lw.L2(0.1))
    np.testing.assert_allclose(one.infer("ridge").se, other.infer("ridge").se, rtol=1e-8)


# ---- one standard error ----


def test_dealing_the_same_rows_again_does_not_shrink_the_standard_error_towards_nothing():
    data = rows(60, 8, 3)
    spread = [
        lw.fit(data, folds=5, repeats=r, penalty=lw.L1("1se"), alphas=[0.3, 0.1, 0.03]).choice
        for r in (1, 20)
    ]
    one, many = (c.spread[1] for c in spread)
    assert many > one / 2  # 1/sqrt(20) of it, were the dealings independent samples


# ---- leave-one-out ----


def alone(X, y, w, alpha, intercept):
    off = []
    for i in range(len(y)):
        some = np.arange(len(y)) != i
        model = Ridge(2 * alpha * w[some].sum(), fit_intercept=intercept)
        off.append(y[i] - model.fit(X[some], y[some], sample_weight=w[some]).predict(X[[i]])[0])
    return w @ np.square(off) / w.sum()


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("shape", [(30, 4), (15, 25)], ids=["tall", "wide"])
def test_leave_one_out_of_ridge_with_weights_alike_is_what_refits_give(shape, intercept):
    X, y = rows(*shape)
    frame = pd.DataFrame(X).add_prefix("x").assign(y=y, w=2.5)
    fit = lw.fit(frame, "y", weight="w", penalty=lw.L2(0.3), folds="leave-one-out", intercept=intercept)
    error = alone(X, y, np.full(len(y), 2.5), 0.3, intercept)
    assert fit.validation.mse[0] == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("intercept", [True, False])
def test_leave_one_out_of_ridge_with_weights_that_differ_is_no_score_and_says_why(intercept):
    X, y = rows(30)
    w = np.random.default_rng(1).lognormal(0, 2, 30)
    frame = pd.DataFrame(X).add_prefix("x").assign(y=y, w=w)
    how = {"weight": "w", "folds": "leave-one-out", "intercept": intercept}
    assert "different weights" in lw.fit(frame, "y", penalty=lw.L2(0.5), **how).validation.reason
    with pytest.raises(UsageError, match="different weights"):
        lw.fit(frame, "y", penalty=lw.L2("cv"), **how)


def test_leave_one_out_leaves_rows_of_weight_0_out_of_account():
    X, y = rows()
    frame = pd.DataFrame(X).add_prefix("x").assign(y=y, w=np.arange(60) % 2)
    fit = lw.fit(frame, "y", weight="w", penalty=lw.L2(0.1), folds="leave-one-out")
    guess = cross_val_predict(Ridge(0.2 * 29), X[1::2], y[1::2], cv=LeaveOneOut())
    assert fit.validation.n.tolist() == [30]
    assert fit.validation.mse[0] == pytest.approx(np.mean((y[1::2] - guess) ** 2), rel=1e-9)


def test_a_row_that_alone_decides_is_told_for_least_squares_and_scored_for_ridge():
    Z = np.zeros((12, 2))
    Z[0, 0], Z[:, 1] = 1, np.arange(12)
    y = np.random.default_rng(0).normal(size=12)
    with pytest.raises(LeastwiseError, match="row 1 of those used"):
        lw.fit((Z, y), folds="leave-one-out").summary()
    fit = lw.fit((Z, y), folds="leave-one-out", penalty=lw.L2(0.1))
    guess = cross_val_predict(Ridge(0.2 * 11), Z, y, cv=LeaveOneOut())
    assert fit.validation.mse[0] == pytest.approx(np.mean((y - guess) ** 2), rel=1e-9)


@pytest.mark.parametrize("penalty", [None, lw.L2(0.1)], ids=["least squares", "ridge"])
def test_a_fit_scored_by_leave_one_out_has_a_report(penalty):
    fit = lw.fit(rows(), folds="leave-one-out", penalty=penalty)
    assert "leave-one-out" in page(fit.facts, created="today")


def test_a_penalty_chosen_by_leave_one_out_is_said_to_be():
    text = lw.fit(rows(), penalty=lw.L2("cv"), folds="leave-one-out").summary()
    assert "by held-out folds" not in text


# ---- few rows, again and again ----


@pytest.mark.parametrize(("n", "k"), [(20, 10), (30, 10), (12, 12)])
def test_folds_that_can_be_dealt_once_can_be_dealt_again(n, k):
    lw.fit(rows(n, 2), folds=k, penalty=lw.L2(0.1))
    fit = lw.fit(rows(n, 2), folds=k, repeats=3, penalty=lw.L2(0.1))
    assert fit.validation.n.reshape(3, k).min() >= n // k


@pytest.mark.parametrize("n", [5, 6, 8, 12])
@pytest.mark.parametrize("penalty", [lw.L1("cv"), lw.L2("1se")], ids=str)
def test_few_rows_are_fitted_told_and_kept_without_a_number_that_is_none(n, penalty, tmp_path):
    fit = lw.fit(rows(n, 2), penalty=penalty)
    json.dumps(fit.facts, allow_nan=False)
    lw.save(fit, tmp_path / "m.safetensors")
    assert lw.load(tmp_path / "m.safetensors").summary() == fit.summary()


def test_two_folds_choose_a_penalty_and_say_why_no_fold_can_choose_its_own():
    frame = table(groups=2)
    for how in ({"folds": 2, "drop": "g"}, {"folds": "leave-one-group-out", "group": "g"}):
        fit = lw.fit(frame, "y", penalty=lw.L1("cv"), **how)
        assert fit.choice.mse.shape[1] == 2
        assert not fit.validation
        assert "three at least" in fit.validation.reason


def test_with_one_predefined_fold_parts_of_what_is_trained_on_choose():
    frame = table().assign(part=np.tile(["train", "test", "train"], 20))
    fit = lw.fit(frame, "y", drop="g", group="part", folds="predefined", penalty=lw.L2("cv"))
    assert fit.validation.n.tolist() == [20]
    planted = frame.assign(y=lambda d: np.where(d["part"] == "test", 1e3 * d["y"], d["y"]))
    other = lw.fit(planted, "y", drop="g", group="part", folds="predefined", penalty=lw.L2("cv"))
    np.testing.assert_allclose(other.validation.alpha, fit.validation.alpha, rtol=1e-6)
    np.testing.assert_allclose(other.validation.coef, fit.validation.coef, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("penalty", [None, lw.L2(0.1)], ids=["least squares", "ridge"])
def test_a_score_on_one_predefined_test_set_can_be_told_and_reported(penalty):
    frame = table().assign(part=np.tile(["train", "test", "test"], 20))
    fit = lw.fit(frame, "y", drop="g", group="part", folds="predefined", penalty=penalty)
    assert fit.validation.n.tolist() == [40]
    assert "unseen rows" in fit.summary()
    page(fit.facts, created="today")


def test_how_predefined_folds_were_dealt_is_said_as_it_was():
    frame = table().assign(part=lambda d: np.arange(60) % 4 - 1)
    text = lw.fit(frame, "y", drop="g", group="part", folds="predefined").summary()
    assert "seed 0" not in text
    assert "never held out" in text or "only trained on" in text


# ---- values that are told and kept ----

ODD = {
    "a bound of infinity": {"bounds": {"x0": (0, np.inf)}},
    "a bound of numpy's": {"bounds": {"x0": (np.float32(0), None)}},
    "a factor of numpy's": {"factors": {"x0": np.int64(0)}},
    "a count of numpy's": {"repeats": np.int64(2)},
}


@pytest.mark.parametrize("case", ODD)
def test_whatever_number_is_accepted_can_be_told_as_json_and_saved(case, tmp_path):
    fit = lw.fit(rows(), penalty=lw.L1(0.1), **ODD[case])
    json.dumps(fit.facts, allow_nan=False)
    lw.save(fit, tmp_path / "m.safetensors")


def test_a_dictionary_that_changes_after_the_fit_does_not_change_the_fit():
    factors = {"x0": 0.0}
    fit = lw.fit(rows(), penalty=lw.L1("cv"), factors=factors)
    factors["x0"] = 1e3
    assert fit.options.factors == {"x0": 0.0}


def test_options_come_back_equal_from_a_file(tmp_path):
    fit = lw.fit(rows(), bounds={"x0": (0, None)})
    lw.save(fit, tmp_path / "m.safetensors")
    assert lw.load(tmp_path / "m.safetensors").options == fit.options


@pytest.mark.parametrize("way", WAYS)
def test_a_choice_by_folds_of_every_kind_comes_back_from_its_file(way, tmp_path):
    frame = table().assign(part=lambda d: np.arange(60) % 4 - 1)
    how = WAYS[way]
    some = frame[[*FEATURES, "y", *([how["group"]] if "group" in how else [])]]
    fit = lw.fit(some, "y", penalty=lw.elastic_net("1se", 0.5), **how)
    lw.save(fit, tmp_path / "m.safetensors")
    back = lw.load(tmp_path / "m.safetensors")
    assert back.summary() == fit.summary()
    np.testing.assert_array_equal(back.predict(some), fit.predict(some))
    np.testing.assert_array_equal(back.choice.error, fit.choice.error)
    np.testing.assert_allclose(back.path.coef, fit.path.coef, atol=1e-9)
    assert len(back.validation.plan.splits) == len(fit.validation.plan.splits)


# ---- what is said ----


@pytest.mark.parametrize("alphas", [[0.1, 0.05, 0.02], [0.1, 0.1]], ids=["too small", "one value twice"])
def test_a_model_that_predicts_is_not_said_to_be_without_help(alphas):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 20))
    fit = lw.fit((X, X[:, 0] + rng.normal(size=60)), penalty=lw.L1("cv"), alphas=alphas)
    assert fit.choice.best == 0
    assert (fit.coef != 0).any()
    assert not any("nothing helps" in note for note in fit.notes)


@broken("a pivot of the active columns alone is looked at: a duplicate at 0 would do as well")
def test_a_solution_that_is_one_of_many_is_not_given_fourteen_digits():
    X, y = rows()
    twice = np.column_stack([X, X[:, 0]])
    fit = lw.fit((twice, y), positive=True)
    assert fit.coef[0] > 0
    assert "14 digits" not in fit.summary()


def test_the_call_that_is_told_for_standardised_columns_through_the_origin_is_the_same():
    X, y = rows()
    X = X + 5
    fit = lw.fit((X, y), penalty=lw.L1(0.1), standardize=True, intercept=False)
    assert "StandardScaler(with_mean=False)" in fit.facts["scikit_learn"]
    sd = X.std(axis=0)
    peer = Lasso(0.1, fit_intercept=False, tol=1e-12).fit(X / sd, y)
    np.testing.assert_allclose(fit.coef, peer.coef_ / sd, atol=1e-4)


@pytest.mark.parametrize("what", ["interval", "diagnostics"])
def test_what_a_penalty_makes_impossible_is_not_said_to_need_more_rows(what):
    fit = lw.fit(rows(), penalty=lw.L2(0.1))
    with pytest.raises(UsageError) as told:
        fit.predict(rows()[0], interval=0.9, of="row") if what == "interval" else fit.diagnostics()
    assert "more rows" not in str(told.value)


def test_condition_indices_of_a_penalised_fit_are_refused_rather_than_empty():
    fit = lw.fit(rows(), penalty=lw.L2(0.1))
    with pytest.raises(UsageError, match="penalty"):
        fit.condition_indices()


def test_more_folds_than_groups_dealt_again_are_told_in_the_number_that_was_asked_for():
    with pytest.raises(UsageError, match=r"^7 folds"):
        lw.fit(table(), "y", group="g", folds=7, repeats=3)


def test_a_choice_without_folds_is_not_blamed_on_moments():
    with pytest.raises(UsageError) as told:
        lw.fit(rows(), penalty=lw.L1("cv"), folds=0)
    assert "moments" not in str(told.value)


@pytest.mark.parametrize("what", ["factors", "bounds"])
def test_a_column_named_by_its_number_is_refused_with_its_name(what):
    value = {"factors": {0: 0}, "bounds": {0: (0, 1)}}[what]
    with pytest.raises(LeastwiseError):
        lw.fit(rows(), penalty=lw.L1(0.1), **{what: value})


def test_the_report_of_a_penalised_fit_names_the_penalty_and_how_it_was_chosen():
    fit = lw.fit(rows(), penalty=lw.L1("1se"))
    text = page(fit.facts, created="today")
    assert f"{fit.choice.alpha:.3g}" in text
    assert "1se" in text


def test_the_report_advises_no_intervals_where_they_are_refused():
    text = page(lw.fit(rows(), penalty=lw.L2(0.1)).facts, created="today")
    assert "--interval" not in text
    assert "interval=" not in text


def test_a_note_about_the_least_error_is_not_told_of_a_penalty_that_1se_chose_otherwise():
    fit = lw.fit(rows(), penalty=lw.L1("1se"))
    assert fit.choice.alpha > 100 * fit.choice.alphas[fit.choice.best]
    assert not any("hardly any penalty" in note for note in fit.notes)


def test_the_factor_of_one_level_holds_beside_that_of_its_column_in_any_order():
    frame = table().assign(t=np.tile(list("abc"), 20))
    one, other = (
        lw.fit(frame, "y", drop="g", penalty=lw.L1(0.1), factors=factors)
        for factors in ({"t": 5, "t=b": 0}, {"t=b": 0, "t": 5})
    )
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-7)


# ---- options that would be ignored in silence ----


def test_repeats_that_moments_were_not_made_with_are_refused():
    with pytest.raises(UsageError):
        lw.fit(lw.condense(rows(), folds=5), repeats=7)


def test_a_choice_from_moments_without_folds_is_refused_as_from_rows():
    with pytest.raises(UsageError):
        lw.fit(lw.condense(rows(), folds=5), penalty=lw.L2("cv"), folds=0)


def test_leave_one_out_is_refused_where_moments_are_made():
    with pytest.raises(UsageError):
        lw.condense(rows(), folds="leave-one-out")


@pytest.mark.parametrize("way", ["predefined", "leave-one-group-out"])
def test_folds_by_labels_are_refused_for_moments_with_what_can_be_done(way):
    with pytest.raises(UsageError) as told:
        lw.condense(table(), "y", group="g", folds=way)
    assert "can be read again" not in str(told.value)


def test_clusters_named_beside_a_penalty_are_refused():
    with pytest.raises(UsageError):
        lw.fit(table(), "y", cluster="g", penalty=lw.L2(0.1))


# ---- the command line ----


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "t.csv"
    table().to_csv(path, index=False)
    return path


def run(path, *words):
    return CliRunner().invoke(main, ["fit", str(path), "--target", "y", "--drop", "g", *map(str, words)])


def test_a_run_scored_by_leave_one_out_can_be_written(csv, tmp_path):
    found = run(csv, "--folds", "leave-one-out", "-o", tmp_path / "r")
    assert found.exit_code == 0


def test_a_bound_of_infinity_is_no_traceback(csv):
    found = run(csv, "--bounds", "x0:0..inf", "--json")
    assert found.exception is None or isinstance(found.exception, SystemExit)


@pytest.mark.parametrize("words", [("--bounds", "x0:0..", "x0:..5"), ("--factor", "x0:1", "x0:0")])
def test_a_column_given_twice_is_refused(csv, words):
    option, *values = words
    given = [word for value in values for word in (option, value)]
    assert run(csv, "--penalty", "l1", "--alpha", "1", *given).exit_code == 2


def test_json_of_a_chosen_penalty_is_json_and_has_no_tests_in_it(csv):
    found = run(csv, "--penalty", "l1", "--alpha", "1se", "--json", "--quiet")
    said = json.loads(found.stdout, parse_constant=lambda word: pytest.fail(word))
    assert said["inference"]["kind"] is None
    assert all(row["std_error"] is None and row["p_value"] is None for row in said["coefficients"])
    assert said["solution"]["f"] is None
