"""Penalties through the whole way: fit, choice by folds, honest scores, files, the command line."""

from __future__ import annotations

import json
import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import leastwise as lw
from leastwise.choice import Choice
from leastwise.cli import main
from leastwise.errors import ColumnError, UsageError

TOL = 1e-7  # coefficients at a gap of 1e-9 of the objective: the root of it, times the condition


def rows(n=150, p=8, k=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.5, 3, p) + rng.normal(size=p) * 5
    B = rng.normal(size=(p, k)) * (rng.random((p, 1)) < 0.6)
    Y = X @ B + rng.normal(size=(n, k)) * 1.5
    return X, Y[:, 0] if k == 1 else Y


def table(n=150, p=4, groups=6, seed=0):
    X, y = rows(n, p, seed=seed)
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(p)])
    frame["y"] = y
    frame["g"] = [f"g{i % groups}" for i in range(n)]
    return frame


PENALTIES = {
    "lasso": lw.L1(0.3),
    "ridge": lw.L2(0.2),
    "both": lw.L1(0.2) + lw.L2(0.1),
    "elastic net": lw.elastic_net(0.5, 0.3),
}


# ---- one penalty ----


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("intercept", [True, False])
def test_the_scikit_learn_call_that_is_told_gives_the_same(name, intercept):
    X, y = rows()
    fit = lw.fit((X, y), penalty=PENALTIES[name], intercept=intercept)
    call = re.sub(r"\.fit\(.*", "", fit.facts["scikit_learn"])
    model = eval(call, {"Lasso": Lasso, "Ridge": Ridge, "ElasticNet": ElasticNet})
    if not isinstance(model, Ridge):
        model.set_params(tol=1e-12, max_iter=100_000)
    model.fit(X, y)
    np.testing.assert_allclose(fit.coef, model.coef_, atol=2e-5)  # six digits of alpha are told
    np.testing.assert_allclose(fit.intercept, model.intercept_, atol=2e-4)


@pytest.mark.parametrize("name", PENALTIES)
def test_coefficients_meet_the_conditions_of_the_minimum_of_the_documents_objective(name):
    X, y = rows()
    w = np.random.default_rng(1).uniform(0.1, 3, len(y))
    frame = pd.DataFrame(X).add_prefix("x").assign(y=y, w=w)
    fit = lw.fit(frame, "y", weight="w", penalty=PENALTIES[name])
    l1, l2 = PENALTIES[name].l1, PENALTIES[name].l2
    r = y - X @ fit.coef - fit.intercept
    pull = X.T @ (w * r) / w.sum() - 2 * l2 * fit.coef
    on = fit.coef != 0
    assert abs((w * r).sum()) < 1e-8 * w.sum()
    np.testing.assert_allclose(pull[on], l1 * np.sign(fit.coef[on]), atol=1e-4)
    assert (np.abs(pull[~on]) <= l1 + 1e-4).all()


@pytest.mark.parametrize("name", PENALTIES)
def test_standardize_is_a_standard_scaler_before(name):
    X, y = rows()
    l1, l2 = PENALTIES[name].l1, PENALTIES[name].l2
    total = l1 + 2 * l2
    model = (
        ElasticNet(total, l1_ratio=l1 / total, tol=1e-12, max_iter=100_000)
        if l1
        else Ridge(2 * len(y) * l2)
    )
    peer = make_pipeline(StandardScaler(), model).fit(X, y)
    fit = lw.fit((X, y), penalty=PENALTIES[name], standardize=True)
    np.testing.assert_allclose(fit.predict(X), peer.predict(X), atol=1e-4)
    assert "StandardScaler" in fit.facts["scikit_learn"]


def test_a_penalty_of_nothing_left_is_least_squares():
    X, y = rows()
    plain = lw.fit((X, y))
    for penalty in (lw.L1(1e-12), lw.L2(1e-13)):
        np.testing.assert_allclose(lw.fit((X, y), penalty=penalty).coef, plain.coef, atol=1e-9)


def test_several_targets_are_penalised_each_by_itself():
    X, Y = rows(k=3)
    both = lw.fit((X, Y), penalty=lw.L1(0.3))
    for j in range(3):
        alone = lw.fit((X, Y[:, j]), penalty=lw.L1(0.3))
        np.testing.assert_allclose(both.coef[j], alone.coef, atol=TOL)


def test_weights_are_repetitions_in_the_choice_and_in_the_scores():
    X, y = rows(60, 5)
    w = np.random.default_rng(3).integers(1, 4, 60)
    frame = pd.DataFrame(X).add_prefix("x").assign(y=y, w=w, g=np.arange(60) % 6)
    often = frame.loc[frame.index.repeat(w)].reset_index(drop=True)
    one = lw.fit(frame, "y", weight="w", group="g", penalty=lw.L1("1se"), precision="fast")
    other = lw.fit(often, "y", drop="w", group="g", penalty=lw.L1("1se"), precision="fast")
    # folds are dealt by counts of rows, which differ: so by the label of the group itself
    how = {"group": "g", "folds": "leave-one-group-out", "precision": "fast"}
    one = lw.fit(frame, "y", weight="w", penalty=lw.L1("1se"), **how)
    other = lw.fit(often, "y", drop="w", penalty=lw.L1("1se"), **how)
    np.testing.assert_allclose(one.choice.alphas, other.choice.alphas, rtol=1e-10)
    np.testing.assert_allclose(one.choice.error, other.choice.error, rtol=1e-6)
    np.testing.assert_allclose(one.choice.spread, other.choice.spread, rtol=1e-5)
    np.testing.assert_allclose(one.validation.mse, other.validation.mse, rtol=1e-6)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-6)


# ---- factors and bounds ----


def test_a_name_stands_for_all_terms_of_its_column_in_factors_and_bounds():
    frame = table().assign(t=lambda d: np.tile(list("abc"), 50))
    fit = lw.fit(frame, "y", drop="g", penalty=lw.L1(100.0), factors={"t": 0, "x1": 0})
    free = {name for name, b in zip(fit.names, fit.coef, strict=True) if b != 0}
    assert free == {"t=b", "t=c", "x1"}
    plain = lw.fit(frame, "y", features=["t", "x1"])
    np.testing.assert_allclose(sorted(fit.coef[fit.coef != 0]), sorted(plain.coef), rtol=1e-9)


def test_bounds_hold_and_bind_only_where_they_have_to():
    X, y = rows()
    free = lw.fit((X, y))
    low = float(free.coef[0]) / 2
    pair = (0, low) if low > 0 else (low, 0)
    fit = lw.fit((X, y), bounds={"x0": pair})
    assert fit.coef[0] == pytest.approx(low, abs=1e-12)
    rest = LinearRegression().fit(X[:, 1:], y - X[:, 0] * fit.coef[0])
    np.testing.assert_allclose(fit.coef[1:], rest.coef_, atol=TOL)
    wide = lw.fit((X, y), bounds={"x0": (-1e6, 1e6)})
    np.testing.assert_allclose(wide.coef, free.coef, atol=TOL)
    assert "no bounds" in fit.facts["scikit_learn"]


def test_positive_is_non_negative_least_squares():
    X, y = rows()
    fit = lw.fit((X, y), positive=True)
    np.testing.assert_allclose(fit.coef, LinearRegression(positive=True).fit(X, y).coef_, atol=TOL)
    assert fit.facts["scikit_learn"].startswith("LinearRegression(positive=True)")
    assert not fit.inference


# ---- the choice ----


def test_the_path_has_the_errors_that_refits_on_the_rows_of_each_fold_have():
    frame = table()
    fit = lw.fit(frame, "y", group="g", folds="leave-one-group-out", penalty=lw.L1("cv"), alphas=12)
    X, y = frame[["x0", "x1", "x2", "x3"]].to_numpy(), frame["y"].to_numpy()
    alphas = fit.choice.alphas
    for f, (train, test) in enumerate(LeaveOneGroupOut().split(X, y, frame["g"])):
        for a, alpha in enumerate(alphas):
            model = Lasso(alpha, tol=1e-12).fit(X[train], y[train])
            error = np.mean((y[test] - model.predict(X[test])) ** 2)
            assert fit.choice.mse[a, f, 0] == pytest.approx(error, rel=1e-4)
    assert fit.choice.alpha == alphas[np.argmin(fit.choice.error)]
    r = y - y.mean()
    assert alphas[0] == pytest.approx(np.abs((X - X.mean(axis=0)).T @ r).max() / len(y))


def test_one_standard_error_takes_the_largest_penalty_within_it():
    alphas = np.array([8.0, 4.0, 2.0, 1.0, 0.5])
    mse = np.array([[9.0, 11.0], [5.1, 5.5], [4.4, 4.8], [4.0, 5.0], [4.6, 4.9]])[..., None]
    weight, scale = np.ones(2), np.ones(1)
    assert Choice.of_folds("cv", alphas, mse, weight, scale).alpha == 1.0
    chosen = Choice.of_folds("1se", alphas, mse, weight, scale)  # least 4.5, its standard error 0.5
    assert chosen.spread[chosen.best] == pytest.approx(0.5)
    assert chosen.alpha == 2.0  # 4.6 is within 5.0, and 5.3 of alpha 4 is not


def test_1se_is_never_a_smaller_penalty_than_cv():
    for seed in range(5):
        data = rows(seed=seed)
        least, simple = (lw.fit(data, penalty=lw.L1(rule)).choice for rule in ("cv", "1se"))
        assert simple.alpha >= least.alpha
        assert simple.error[simple.chosen] <= simple.error[simple.best] + simple.spread[simple.best]


def test_no_fold_learns_its_penalty_from_the_rows_that_it_is_scored_on():
    frame = table()
    how = {"group": "g", "folds": "leave-one-group-out", "penalty": lw.L1("cv")}
    before = lw.fit(frame, "y", **how).validation
    spoilt = frame.copy()
    held = spoilt["g"] == "g2"
    spoilt.loc[held, "y"] = 1e4 * np.random.default_rng(0).normal(size=int(held.sum()))
    after = lw.fit(spoilt, "y", **how).validation
    assert after.alpha[2] == pytest.approx(before.alpha[2], rel=1e-9)
    np.testing.assert_allclose(after.coef[2], before.coef[2], rtol=1e-7, atol=1e-9)
    assert after.mse[2] > 1e6 * before.mse[2]
    assert (np.abs(after.alpha[[0, 1, 3, 4, 5]] / before.alpha[[0, 1, 3, 4, 5]] - 1) > 1e-3).all()


def test_where_there_is_nothing_to_learn_the_nested_score_says_so_and_the_best_of_the_path_does_not():
    told, honest = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(40, 60)), rng.normal(size=40)
        fit = lw.fit((X, y), penalty=lw.L1("cv"), folds=5, alphas=30)
        told.append(fit.choice.error.min() / fit.choice.error[0])  # the first of the path is the mean alone
        honest.append(np.mean(fit.validation.mse) / np.mean(fit.validation.mean_mse))
    assert np.mean(told) < 1.0  # the least of thirty errors is below what it promises
    assert np.mean(honest) > 1.0


def test_a_penalty_can_be_chosen_for_several_targets_in_units_of_each():
    X, Y = rows(k=2)
    fit, scaled = (lw.fit((X, Y * s), penalty=lw.L2("cv")) for s in (1.0, np.array([1.0, 1e6])))
    assert fit.choice.alpha == pytest.approx(scaled.choice.alpha, rel=1e-9)
    assert fit.choice.mse.shape == (100, 5, 2)


def test_the_end_of_the_path_is_told_where_the_best_lies_there():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    fit = lw.fit((X, X @ [1.0, 2.0, 3.0]), penalty=lw.L1("cv"))  # nothing but shrinking errs
    assert any("smallest alpha of the path" in note for note in fit.notes)
    assert len(fit.choice.alphas) == 400  # it went on three times before


def test_a_path_goes_on_where_the_least_error_lies_at_its_end():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = 3 * X[:, 0] + X[:, 2] + rng.normal(size=200)
    for penalty in (lw.L1("cv"), lw.L2("cv")):
        fit = lw.fit((X * [1, 1, 1e4], y), penalty=penalty)  # a unit that makes one column cheap
        plain = lw.fit((X * [1, 1, 1e4], y))
        assert np.mean(fit.validation.r2) > np.mean(plain.validation.r2) - 0.01
        np.testing.assert_allclose(fit.coef, plain.coef, rtol=0.15, atol=0.1)


def test_a_fixed_part_of_the_same_penalty_shortens_the_path_to_be_chosen_from():
    X, y = rows()
    whole, rest = (lw.fit((X, y), penalty=p).choice for p in (lw.L1("cv"), lw.L1(0.2) + lw.L1("cv")))
    assert rest.alphas[0] == pytest.approx(whole.alphas[0] - 0.2)


def test_a_bound_does_not_loosen_positive():
    X, y = rows()
    fit = lw.fit((X, y), positive=True, bounds={"x0": (-9, None), "x1": (None, 0.1)})
    plain = lw.fit((X, y), positive=True, bounds={"x1": (0, 0.1)})
    np.testing.assert_allclose(fit.coef, plain.coef, atol=1e-9)
    assert (fit.coef >= 0).all()
    assert (lw.fit((X, y)).coef < 0).any()


def test_a_column_that_depends_on_free_ones_is_given_nothing():
    X, y = rows()
    Z = np.column_stack([X, X[:, 0] - 2 * X[:, 1]])
    fit = lw.fit((Z, y), penalty=lw.L1(1e-6), factors={"x0": 0, "x1": 0}, precision="fast")
    assert fit.coef[8] == 0
    np.testing.assert_allclose(fit.coef[:8], lw.fit((X, y)).coef, atol=1e-4)


def test_errors_on_held_out_rows_whose_columns_depend_are_those_of_the_rows():
    from leastwise.solve.missed import Missed

    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 6)) @ np.diag([1, 1e3, 1, 1e-3, 1, 1])
    X[:, 1], X[:, 4] = 2 * X[:, 0] + X[:, 2], X[:, 3] * 7
    y, coef = rng.normal(size=50), rng.normal(size=(3, 1, 6))
    found = Missed.of(lw.Moments.of(X, y)).sse(coef, np.ones((3, 1)))
    for one, b in zip(found[:, 0], coef[:, 0], strict=True):
        assert one == pytest.approx(((y - X @ b - 1) ** 2).sum(), rel=1e-9)


def test_zeros_are_marked_for_each_target_by_itself():
    X, Y = rows(k=2)
    table = lw.fit((X, Y), penalty=lw.L1(0.8)).facts["coefficients"]
    for row in table:
        assert (row["status"] == "zero") == (row["estimate"] == 0)


def test_a_penalty_by_another_name_is_led_to_ours():
    with pytest.raises(UsageError, match=r"penalty=lw\.L1"):
        lw.fit(rows(), alpha="cv")


def test_alphas_can_be_given():
    fit = lw.fit(rows(), penalty=lw.L1("cv"), alphas=[0.1, 1.0, 0.01])
    assert fit.choice.alphas.tolist() == [1.0, 0.1, 0.01]
    assert fit.choice.alpha in (1.0, 0.1, 0.01)


# ---- the path as a result ----


def test_the_path_tells_gap_degrees_of_freedom_loss_and_criteria():
    X, y = rows()
    fit = lw.fit((X, y), penalty=lw.L1("cv"))
    path = fit.path
    assert path.coef.shape == (100, 1, 8)
    assert path.converged.all()
    a = int(np.argmin(path.bic[:, 0]))
    r = y - X @ path.coef[a, 0] - path.intercept[a, 0]
    assert path.loss[a, 0] == pytest.approx(np.mean(r**2))
    parameters = np.count_nonzero(path.coef[a]) + 2
    ll = -len(y) / 2 * (np.log(2 * np.pi * np.mean(r**2)) + 1)
    assert path.bic[a, 0] == pytest.approx(np.log(len(y)) * parameters - 2 * ll)
    assert path.aic[a, 0] == pytest.approx(2 * parameters - 2 * ll)
    assert lw.fit((X, y)).path is None


@pytest.mark.parametrize("name", ["lasso", "both", "elastic net"])
def test_the_path_of_a_penalty_in_numbers_begins_where_all_is_0_and_leads_to_it(name):
    X, y = rows()
    path = lw.fit((X, y), penalty=PENALTIES[name]).path
    assert not path.coef[0].any()
    assert path.coef[1].any()
    l1, l2 = PENALTIES[name].l1, PENALTIES[name].l2
    np.testing.assert_allclose(path.l2, path.l1 * l2 / l1)


def test_aic_of_a_ridge_fit_counts_its_effective_parameters():
    X, y = rows()
    fit = lw.fit((X, y), penalty=lw.L2(0.5))
    Xc = X - X.mean(axis=0)
    H = Xc @ np.linalg.solve(Xc.T @ Xc + 2 * len(y) * 0.5 * np.eye(8), Xc.T)
    assert fit.solution.df[0] == pytest.approx(np.trace(H))
    table = fit.glance().iloc[0] if hasattr(fit.glance(), "iloc") else fit.glance().to_pandas().iloc[0]
    assert table["df"] == pytest.approx(np.trace(H))


def test_the_spread_of_ridge_can_be_asked_for_and_is_not_told_unasked():
    fit = lw.fit(rows(), penalty=lw.L2(0.5))
    assert not fit.inference
    assert "infer('ridge')" in fit.inference.reason
    found = fit.infer("ridge")
    np.testing.assert_allclose(found.coef[0, 1:], fit.coef, rtol=1e-9)
    with pytest.raises(UsageError, match="lasso"):
        lw.fit(rows(), penalty=lw.L1(0.5)).infer("ridge")
    with pytest.raises(UsageError, match="no intervals"):
        fit.predict(rows()[0], interval=0.9, of="row")


# ---- folds of every kind ----


def test_repeated_folds_hold_out_every_row_once_a_dealing_from_one_pass():
    X, y = rows(400)
    fit = lw.fit((X, y), folds=5, repeats=4, penalty=lw.L2(0.1))
    scores = fit.validation
    assert scores.k == 20
    assert scores.n.reshape(4, 5).sum(axis=1).tolist() == [400] * 4
    assert len({tuple(row) for row in scores.n.reshape(4, 5).tolist()}) > 1
    for again in range(4):
        splits = scores.plan.splits[5 * again : 5 * again + 5]
        assert sorted(part for s in splits for part in s.held) == list(range(scores.plan.k))
    folds = fit.validation.plan.deal
    assert callable(folds)
    np.testing.assert_allclose(scores.held_out["mse"], scores.mse, rtol=1e-9)  # the rows say the same
    assert "dealt 4 times" in fit.summary()


def test_repeats_reuse_the_groups_and_never_cut_one():
    frame = table(groups=12)
    fit = lw.fit(frame, "y", group="g", folds=3, repeats=5)
    assert fit.validation.k == 15
    places = fit.validation.plan.places
    assert len(set(places.values())) == 12


@pytest.mark.parametrize("penalty", [None, lw.L1(0.2), lw.L2(0.1)], ids=["none", "lasso", "ridge"])
def test_leave_one_group_out_is_scikit_learns(penalty):
    frame = table()
    fit = lw.fit(frame, "y", group="g", folds="leave-one-group-out", penalty=penalty)
    X, y = frame[["x0", "x1", "x2", "x3"]].to_numpy(), frame["y"].to_numpy()
    for f, (train, test) in enumerate(LeaveOneGroupOut().split(X, y, frame["g"])):
        model = LinearRegression()
        if penalty is not None:
            model = Lasso(0.2, tol=1e-12) if penalty.l1 else Ridge(0.2 * len(train))
        error = np.mean((y[test] - model.fit(X[train], y[train]).predict(X[test])) ** 2)
        assert fit.validation.mse[f] == pytest.approx(error, rel=1e-5)
        assert fit.validation.n[f] == len(test)


def test_predefined_folds_are_held_out_but_for_those_that_are_only_trained_on():
    frame = table().assign(part=lambda d: np.array(["train", "test", "valid"])[np.arange(len(d)) % 3])
    fit = lw.fit(frame, "y", drop="g", group="part", folds="predefined")
    assert fit.validation.n.tolist() == [50]  # "valid" is to choose by, and trained on for the score
    X, y = frame[["x0", "x1", "x2", "x3"]].to_numpy(), frame["y"].to_numpy()
    test = (frame["part"] == "test").to_numpy()
    error = np.mean((y[test] - LinearRegression().fit(X[~test], y[~test]).predict(X[test])) ** 2)
    assert fit.validation.mse[0] == pytest.approx(error)


@pytest.mark.parametrize("shape", [(60, 5), (30, 50)], ids=["tall", "wide"])
def test_leave_one_out_of_ridge_is_what_refits_give(shape):
    n, p = shape
    X, y = rows(n, p)
    fit = lw.fit((X, y), penalty=lw.L2(0.1), folds="leave-one-out")
    guess = cross_val_predict(Ridge(0.2 * (n - 1)), X, y, cv=LeaveOneOut())
    assert fit.validation.mse[0] == pytest.approx(np.mean((y - guess) ** 2), rel=1e-9)
    assert fit.validation.mae[0] == pytest.approx(np.mean(np.abs(y - guess)), rel=1e-9)
    chosen = lw.fit((X, y), penalty=lw.L2("cv"), folds="leave-one-out", alphas=[0.01, 0.1, 1.0])
    assert chosen.choice.error[1] == pytest.approx(fit.validation.mse[0], rel=1e-9)
    assert not chosen.validation


def test_leave_one_out_of_least_squares_is_what_refits_give():
    X, y = rows(40, 4)
    w = np.random.default_rng(1).uniform(0.5, 2, 40)
    frame = pd.DataFrame(X).add_prefix("x").assign(y=y, w=w)
    fit = lw.fit(frame, "y", weight="w", folds="leave-one-out")
    off = []
    for i in range(40):
        some = np.arange(40) != i
        model = LinearRegression().fit(X[some], y[some], sample_weight=w[some])
        off.append(y[i] - model.predict(X[[i]])[0])
    assert fit.validation.mse[0] == pytest.approx((w @ np.square(off)) / w.sum(), rel=1e-9)
    assert "leave-one-out" in fit.summary()


def test_gaps_are_filled_by_the_means_of_training_rows_under_a_penalty_too():
    frame = table(120)
    frame.loc[::7, "x1"] = np.nan
    fit = lw.fit(frame, "y", group="g", folds="leave-one-group-out", penalty=lw.L2(0.1), missing="mean")
    X, y = frame[["x0", "x1", "x2", "x3"]].to_numpy(), frame["y"].to_numpy()
    for f, (train, test) in enumerate(LeaveOneGroupOut().split(X, y, frame["g"])):
        model = make_pipeline(SimpleImputer(), Ridge(0.2 * len(train))).fit(X[train], y[train])
        assert fit.validation.mse[f] == pytest.approx(np.mean((y[test] - model.predict(X[test])) ** 2))


# ---- moments and files ----


def test_moments_that_never_met_choose_the_same_penalty_as_all_rows():
    X, y = rows(500)
    how = {"folds": 5, "precision": "fast"}
    parts = [lw.condense((X[a:b], y[a:b]), **how) for a, b in ((0, 120), (120, 300), (300, 500))]
    fit = lw.fit(sum(parts[1:], parts[0]), penalty=lw.L1("cv"))
    whole = lw.fit((X, y), penalty=lw.L1("cv"), **how)
    assert fit.choice.alpha == pytest.approx(whole.choice.alpha, rel=1e-9)
    np.testing.assert_allclose(fit.coef, whole.coef, atol=TOL)
    np.testing.assert_allclose(fit.validation.alpha, whole.validation.alpha, rtol=1e-9)


@pytest.mark.parametrize("penalty", [lw.L1("1se"), lw.L2(0.3), lw.elastic_net("cv", 0.4)], ids=str)
def test_a_penalised_fit_comes_back_from_its_file_as_it_was(tmp_path, penalty):
    frame = table()
    fit = lw.fit(frame, "y", drop="g", penalty=penalty, factors={"x1": 0.5}, standardize=True, repeats=2)
    lw.save(fit, tmp_path / "m.safetensors")
    back = lw.load(tmp_path / "m.safetensors")
    assert back.summary() == fit.summary()
    assert back.options.penalty == penalty
    assert back.solution.penalty == fit.solution.penalty
    np.testing.assert_array_equal(back.predict(frame), fit.predict(frame))
    np.testing.assert_allclose(back.path.coef, fit.path.coef, atol=1e-12)
    if penalty.rule:
        assert back.choice.alpha == fit.choice.alpha


# ---- what is refused ----

REFUSED = {
    "rank under a penalty": ({"penalty": lw.L2(1.0), "rank": "min-norm"}, "penalty decides"),
    "standard errors under a penalty": ({"penalty": lw.L2(1.0), "se": "HC1"}, "least squares"),
    "alphas without a penalty": ({"alphas": 10}, "there is none"),
    "standardize without a penalty": ({"standardize": True}, "there is none"),
    "factors without a penalty": ({"factors": {"x0": 0}}, "there is none"),
    "alphas of a penalty in numbers": ({"penalty": lw.L1(1.0), "alphas": 10}, "to be chosen"),
    "a choice without folds": ({"penalty": lw.L1("cv"), "folds": 0}, "held-out folds"),
    "a number for a penalty": ({"penalty": 0.1}, "is no penalty"),
    "a bound above 0": ({"bounds": {"x0": (1, 2)}}, "low <= 0 <= high"),
    "bounds that are no pair": ({"bounds": {"x0": 3}}, "no pair"),
    "a factor below 0": ({"penalty": lw.L1(1.0), "factors": {"x0": -1}}, "0 or more"),
    "alphas of nothing": ({"penalty": lw.L1("cv"), "alphas": []}, "above 0"),
    "an alpha of 0": ({"penalty": lw.L1("cv"), "alphas": [0.1, 0.0]}, "above 0"),
    "repeats of one way": ({"folds": "leave-one-out", "repeats": 2}, "one way only"),
    "no repeat": ({"repeats": 0}, "1 or more"),
    "a way of folds that is not known": ({"folds": "loo"}, "There are|Did you mean"),
    "groups that are not named": ({"folds": "leave-one-group-out"}, "group="),
    "leave-one-out of the lasso": ({"folds": "leave-one-out", "penalty": lw.L1(1.0)}, "no closed form"),
    "leave-one-out of standardised columns": (
        {"folds": "leave-one-out", "penalty": lw.L2(1.0), "standardize": True}, "taken part",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_what_to_do(case):
    asked, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        lw.fit(rows(40, 3), **asked)


def test_a_name_that_is_no_feature_is_told_with_the_nearest():
    for what in ({"factors": {"x9": 0}}, {"bounds": {"x9": (0, None)}}):
        with pytest.raises(ColumnError, match="x9"):
            lw.fit(rows(40, 3), penalty=lw.L1(1.0), **what)


def test_two_penalties_that_are_both_to_be_chosen_have_to_share_one_alpha():
    with pytest.raises(UsageError, match="elastic_net"):
        lw.L1("cv") + lw.L2("cv")
    fixed = lw.fit(rows(), penalty=lw.L1("cv") + lw.L2(0.05))
    assert fixed.solution.penalty.l2 == 0.05
    assert repr(lw.L1("cv") + lw.L2(0.05)) == "L2(0.05) + L1('cv')"


def test_a_descent_is_of_one_penalty():
    with pytest.raises(UsageError, match="Choose it with"):
        lw.descend(rows(), penalty=lw.L1("cv"))


def test_moments_leave_penalties_to_whoever_reads_them():
    with pytest.raises(UsageError, match="for fit"):
        lw.condense(rows(), penalty=lw.L1(0.1))


def test_a_target_that_does_not_vary_and_columns_that_do_not_are_met_with_grace():
    X, y = rows(50, 3)
    with pytest.raises(lw.errors.DataError, match="nothing to explain"):
        lw.fit((X, np.full(50, 3.0)), penalty=lw.L1(0.1))
    fit = lw.fit((np.column_stack([X, np.ones(50)]), y), penalty=lw.L1("cv"))
    assert fit.coef[3] == 0
    assert fit.solution.constant == ("x3",)


# ---- the command line ----


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "t.csv"
    table().to_csv(path, index=False)
    return path


def test_the_command_line_chooses_a_penalty_and_says_by_what(csv, tmp_path):
    found = run(
        "fit",
        csv,
        "--target",
        "y",
        "--group",
        "g",
        "--penalty",
        "l1",
        "--alpha",
        "1se",
        "-o",
        tmp_path / "r",
    )
    assert found.exit_code == 0, found.stderr
    assert "by held-out folds (1se)" in found.stdout
    assert "nested" in found.stdout
    facts = json.loads((tmp_path / "r/run.json").read_text())
    same = lw.fit(csv, "y", group="g", penalty=lw.L1("1se"))
    assert facts["penalty"]["alpha"] == pytest.approx(same.choice.alpha)
    again = run("predict", tmp_path / "r", csv)
    assert again.exit_code == 0


def test_bounds_and_factors_are_read_from_words(csv):
    words = ("--bounds", "x0:..0", "--bounds", "x1:-1..2", "--factor", "x2:0", "--standardize")
    found = run(
        "fit", csv, "--target", "y", "--drop", "g", "--penalty", "l2", "--alpha", "0.1", *words, "--json"
    )
    assert found.exit_code == 0, found.stderr
    said = json.loads(found.stdout)["penalty"]
    assert said["bounds"] == {"x0": [None, 0.0], "x1": [-1.0, 2.0]}
    assert said["factors"] == {"x2": 0.0}


WRONG = {
    "alpha without a penalty": (["--alpha", "cv"], "there is none"),
    "a penalty without alpha": (["--penalty", "l1"], "needs its size"),
    "an alpha that is no number": (["--penalty", "l1", "--alpha", "big"], "no number"),
    "a ratio for the lasso": (["--penalty", "l1", "--alpha", "1", "--l1-ratio", "0.5"], "both or neither"),
    "no ratio for the elastic net": (["--penalty", "elastic-net", "--alpha", "1"], "both or neither"),
    "bounds without dots": (["--bounds", "x0:3"], "LOW..HIGH"),
    "a factor without a colon": (["--factor", "x0"], "COL:VALUE"),
    "folds that are no number": (["--folds", "some"], "leave-one-out"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_words_have_exit_code_two_and_say_what_to_do(csv, case):
    words, message = WRONG[case]
    found = run("fit", csv, "--target", "y", "--drop", "g", *words)
    assert found.exit_code == 2
    assert message in found.stderr


def test_a_penalty_in_numbers_is_a_point_of_its_path() -> None:
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(60, 5)), rng.normal(size=60)
    fit = lw.fit((X, y), penalty=lw.elastic_net(0.037, 0.4))
    (at,) = np.flatnonzero(
        np.isclose(fit.path.l1 + fit.path.l2, fit.solution.penalty.l1 + fit.solution.penalty.l2)
    )
    np.testing.assert_allclose(fit.path.coef[at][0], np.asarray(fit.coef), atol=1e-5)  # two gaps of 1e-9
    assert (np.diff(fit.path.l1) < 0).all()


def test_errors_of_several_targets_are_told_in_their_units() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(80, 4))
    Y = np.column_stack([X[:, 0] + rng.normal(size=80), 100 * X[:, 1] + rng.normal(size=80)])
    assert "in units of each target's variance" in lw.fit((X, Y), penalty=lw.L1("cv")).summary()
    assert "in units of" not in lw.fit((X, Y[:, 0]), penalty=lw.L1("cv")).summary()


@pytest.mark.parametrize("factors", [{}, {"x2": 0.0, "x5": 4.0}], ids=["alike", "factors"])
def test_degrees_of_freedom_of_few_rows_follow_from_their_own_side(factors: dict[str, float]) -> None:
    """Against the trace of the hat matrix, from the columns' side."""
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(12, 40)), rng.normal(size=12)
    path = lw.fit((X, y), penalty=lw.L2(0.3), alphas=(3.0, 0.3, 0.01), factors=factors, folds=0).path
    C = X - X.mean(axis=0)
    f = np.ones(40)
    for name, factor in factors.items():
        f[int(name[1:])] = factor
    for l2, df in zip(path.l2, path.df[:, 0], strict=True):
        known = np.trace(C @ np.linalg.pinv(C.T @ C + 2 * 12 * l2 * np.diag(f), hermitian=True) @ C.T)
        assert df == pytest.approx(known, rel=1e-9)
    assert path.df_at(1) == pytest.approx(path.df[1], rel=1e-9)


def test_a_wide_ridge_makes_no_matrix_of_its_columns() -> None:
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(40, 4_000)), rng.normal(size=40)
    lw.fit((X[:, :9], y), penalty=lw.L2(0.1), folds=0).summary()  # what is imported
    tracemalloc.start()
    lw.fit((X, y), penalty=lw.L2(0.1), folds=0).summary()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6  # (p, p) is 128 MB
