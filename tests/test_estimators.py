"""scikit-learn's classes from moments: the laws that hold beside scikit-learn's own tests.

Those are run by `make conformance` (tests/conformance).
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context, linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneGroupOut, PredefinedSplit

import leastwise as lw
from leastwise.errors import DataError, LeastwiseWarning, MissingError, MomentsError, UsageError
from leastwise.solve.left_out import LeftOut
from leastwise.solve.penalised import Penalised, Shrinkage
from leastwise.sparse import sparse_moments

FORMATS = ("csr", "csc", "coo", "lil", "dok", "dia", "bsr")
GROWING = {
    "LinearRegression": lw.LinearRegression(),
    "LinearRegression, no intercept": lw.LinearRegression(fit_intercept=False),
    "LinearRegression, positive": lw.LinearRegression(positive=True),
    "Ridge": lw.Ridge(alpha=2.0),
    "Ridge, positive": lw.Ridge(alpha=2.0, positive=True),
    "Lasso": lw.Lasso(alpha=0.1),
    "ElasticNet": lw.ElasticNet(alpha=0.1),
    "ElasticNet, no intercept": lw.ElasticNet(alpha=0.1, fit_intercept=False),
}
CHOSEN = {
    "RidgeCV": lw.RidgeCV(alphas=(0.1, 1.0, 10.0)),
    "RidgeCV, folds": lw.RidgeCV(alphas=(0.1, 1.0, 10.0), cv=4),
    "LassoCV": lw.LassoCV(alphas=12, cv=4),
    "ElasticNetCV": lw.ElasticNetCV(alphas=12, l1_ratio=[0.3, 0.9], cv=4),
}
ALL = GROWING | CHOSEN


def each(models: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("model", models.values(), ids=models.keys())


def data(n: int = 60, p: int = 6, k: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + rng.normal(size=p)
    Y = X @ rng.normal(size=(p, k)) + 2 + rng.normal(size=(n, k))
    return X, Y[:, 0] if k == 1 else Y


def fitted(model: Any, *rows: Any, **more: Any) -> Any:
    return clone(model).fit(*rows, **more)


def same(a: Any, b: Any, rtol: float = 1e-9, atol: float = 1e-12) -> None:
    """Whether two fitted models answer alike, in all that they have."""
    for name in ("coef_", "intercept_", "alpha_", "alphas_", "mse_path_", "best_score_", "stderr_"):
        if hasattr(a, name):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol, atol, err_msg=name)


# ---- what the answers are ----


@pytest.mark.parametrize("shape", [(60, 6), (20, 30), (200, 40)], ids=str)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LinearRegression", {}),
        ("LinearRegression", {"positive": True}),
        ("Ridge", {"alpha": 3.0}),
        ("Ridge", {"alpha": 0.01, "positive": True}),
        ("Lasso", {"alpha": 0.05, "tol": 1e-14, "max_iter": 1_000_000}),
        ("ElasticNet", {"alpha": 0.05, "l1_ratio": 0.4, "tol": 1e-14, "max_iter": 1_000_000}),
        ("ElasticNet", {"alpha": 0.05, "tol": 1e-14, "positive": True, "max_iter": 1_000_000}),
        ("RidgeCV", {"alphas": [1e-3, 0.1, 1.0, 30.0]}),
        ("RidgeCV", {"alphas": [1e-3, 0.1, 1.0, 30.0], "cv": 3}),
        ("LassoCV", {"alphas": 8, "eps": 0.05, "tol": 1e-12, "cv": 3, "max_iter": 1_000_000}),
        ("ElasticNetCV", {"alphas": 8, "eps": 0.05, "tol": 1e-12, "cv": 3, "max_iter": 1_000_000}),
    ],
    ids=str,
)
def test_the_answers_are_those_of_scikit_learn(
    name: str, options: dict[str, Any], intercept: bool, shape: tuple[int, int]
) -> None:
    X, y = data(*shape, seed=1)
    options = options | {"fit_intercept": intercept}
    if name == "Ridge" and options.get("positive"):
        options["tol"] = 1e-12  # theirs is L-BFGS
    ours = getattr(lw, name)(**options).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = getattr(linear_model, name)(**options).fit(X, y)
    atol = 2e-4 if name == "Ridge" and options.get("positive") else 2e-6
    if not (name == "LinearRegression" and options.get("positive") and shape == (20, 30)):
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=atol)  # else one of many
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-5, atol=10 * atol)
    assert np.shape(ours.coef_) == np.shape(theirs.coef_)
    assert type(ours.intercept_) is type(theirs.intercept_)
    for attribute in ("alpha_", "alphas_", "mse_path_", "best_score_", "l1_ratio_"):
        assert hasattr(ours, attribute) == hasattr(theirs, attribute)
        if hasattr(ours, attribute):
            np.testing.assert_allclose(getattr(ours, attribute), getattr(theirs, attribute), rtol=1e-5)


@pytest.mark.parametrize("name", ["LinearRegression", "Ridge", "Lasso", "ElasticNet", "RidgeCV"])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_shapes_are_those_of_scikit_learn(name: str, k: int) -> None:
    X, y = data(k=3)
    y = y[:, :k] if k else y[:, 0]
    ours, theirs = (getattr(home, name)().fit(X, y) for home in (lw, linear_model))
    assert ours.coef_.shape == theirs.coef_.shape
    assert np.shape(ours.intercept_) == np.shape(theirs.intercept_)
    assert ours.predict(X).shape == theirs.predict(X).shape


@pytest.mark.parametrize("ratio", [1.0, 0.3])
@pytest.mark.parametrize("shape", [(60, 6), (30, 80), (300, 50)], ids=str)
def test_the_gradient_of_what_is_fitted_lies_within_the_limits_of_the_penalty(
    shape: tuple[int, int], ratio: float
) -> None:
    X, y = data(*shape, seed=2)
    model = lw.ElasticNet(alpha=0.1, l1_ratio=ratio).fit(X, y)
    pull = X.T @ (y - model.predict(X)) / len(X) - 0.1 * (1 - ratio) * model.coef_
    on = model.coef_ != 0
    scale = np.abs(X.T @ (y - y.mean())).max() / len(X)
    assert 0 < on.sum() < len(on) or shape == (60, 6)
    np.testing.assert_allclose(pull[on], 0.1 * ratio * np.sign(model.coef_[on]), atol=1e-6 * scale)
    assert (np.abs(pull[~on]) <= 0.1 * ratio + 1e-6 * scale).all()
    np.testing.assert_allclose((y - model.predict(X)).mean(), 0, atol=1e-10)


@pytest.mark.parametrize("share", [1e-2, 1e-4])
def test_a_small_penalty_on_few_rows_is_met_without_a_warning(share: float) -> None:
    X, y = data(40, 300, seed=3)
    alpha = share * np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / len(X)
    model = lw.Lasso(alpha).fit(X, y)
    pull = (X - X.mean(axis=0)).T @ (y - model.predict(X)) / len(X)
    assert np.abs(pull).max() <= alpha * (1 + 1e-5)
    assert model.dual_gap_ <= 1e-10 * y.var()
    chosen = lw.LassoCV(alphas=[alpha], cv=3).fit(X, y)
    np.testing.assert_allclose(chosen.coef_, model.coef_, rtol=1e-6, atol=1e-9)


def test_the_lasso_is_the_elastic_net_of_ratio_one() -> None:
    X, y = data()
    same(lw.Lasso(0.1).fit(X, y), lw.ElasticNet(0.1, l1_ratio=1.0).fit(X, y), rtol=0)


def test_an_elastic_net_of_ratio_zero_is_ridge_of_the_alpha_times_the_weights() -> None:
    X, y = data()
    w = np.random.default_rng(0).uniform(size=60)
    net = lw.ElasticNet(0.2, l1_ratio=0.0).fit(X, y, w)
    np.testing.assert_allclose(net.coef_, lw.Ridge(0.2 * w.sum()).fit(X, y, w).coef_, rtol=1e-10)


def test_ridge_takes_one_alpha_for_each_target() -> None:
    X, Y = data(k=3)
    alphas = [0.0, 5.0, 0.3]
    model = lw.Ridge(alphas).fit(X, Y)
    for j, alpha in enumerate(alphas):
        np.testing.assert_allclose(model.coef_[j], lw.Ridge(alpha).fit(X, Y[:, j]).coef_, rtol=1e-10)


def test_standard_errors_are_those_of_the_formula() -> None:
    X, y = data()
    w = np.random.default_rng(3).uniform(0.5, 2, size=60)
    model = lw.LinearRegression().fit(X, y, w)
    A = np.column_stack([np.ones(60), X])
    inverse = np.linalg.inv(A.T @ (w[:, None] * A))
    variance = (w * (y - model.predict(X)) ** 2).sum() / (60 - 7)
    np.testing.assert_allclose(model.stderr_, np.sqrt(variance * np.diagonal(inverse))[1:], rtol=1e-10)


def test_standard_errors_have_the_shape_of_the_coefficients_and_are_nan_where_there_are_none() -> None:
    X, Y = data(k=2)
    model = lw.LinearRegression().fit(X, Y)
    assert model.stderr_.shape == model.coef_.shape == (2, 6)
    assert np.isnan(lw.LinearRegression().fit(X[:5], Y[:5]).stderr_).all()
    constant = lw.LinearRegression().fit(np.column_stack([X, np.ones(60)]), Y)
    assert np.isnan(constant.stderr_[:, 6]).all()
    np.testing.assert_allclose(constant.stderr_[:, :6], model.stderr_, rtol=1e-9)


def test_of_dependent_columns_the_shortest_solution_comes_with_one_warning() -> None:
    X, y = data()
    X = np.column_stack([X, X[:, 0] - 2 * X[:, 3]])
    with pytest.warns(LeastwiseWarning, match="Of 7 columns only 6") as told:
        model = lw.LinearRegression().fit(X, y)
    assert len(told) == 1
    assert told[0].filename == __file__
    np.testing.assert_allclose(model.coef_, linear_model.LinearRegression().fit(X, y).coef_, rtol=1e-9)
    assert model.rank_ == 6


def test_fewer_rows_than_columns_are_no_reason_to_warn() -> None:
    X, y = data(10, 30)
    model = lw.LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-9)


def test_columns_that_nearly_depend_keep_their_digits() -> None:
    X, _ = data()
    X = np.column_stack([X, X[:, 0] + 1e-7 * np.random.default_rng(9).normal(size=60)])
    exact = X @ np.arange(7.0)  # coefficients that are known; moments in float64 have 2 digits of them
    np.testing.assert_allclose(lw.LinearRegression().fit(X, exact).coef_, np.arange(7.0), atol=1e-6)


def test_digits_that_lack_and_cannot_be_found_are_said() -> None:
    X, y = data()
    X = np.column_stack([X, X[:, 0] + 3e-7 * np.random.default_rng(9).normal(size=60)])
    model = lw.LinearRegression().partial_fit(X[:30], y[:30])
    with pytest.warns(LeastwiseWarning, match=r"digits? of the coefficients|do not depend") as told:
        model.partial_fit(X[30:], y[30:])  # rows before are gone: float64 is all there is
    assert len(told) == 1
    assert told[0].filename == __file__


def test_values_too_far_apart_for_integers_are_answered_in_float64() -> None:
    X, y = data()
    X = np.column_stack([X, X[:, 0], np.where(np.arange(60) < 30, 1e-120, 1.0)])
    with pytest.warns(LeastwiseWarning, match="Of 8 columns only 7"):
        model = lw.LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.predict(X), linear_model.LinearRegression().fit(X, y).predict(X))


# ---- rows in other forms ----


@each(ALL)
def test_weights_are_repetition(model: Any) -> None:
    X, y = data(40, 5)
    w = np.random.default_rng(4).integers(0, 4, size=40)
    fold = np.arange(40) % 4
    rows = np.repeat(np.arange(40), w)
    weighted, repeated = clone(model), clone(model)
    if getattr(model, "cv", None) is not None:  # the repeated rows go to the fold of their row
        weighted.set_params(cv=PredefinedSplit(fold))
        repeated.set_params(cv=PredefinedSplit(fold[rows]))
    if isinstance(model, lw.RidgeCV) and model.cv is None:
        pytest.skip("leaving out one of several equal rows is another question")
    weighted.fit(X, y, w)
    repeated.fit(X[rows], y[rows])
    for name in ("coef_", "intercept_", "alpha_", "alphas_", "mse_path_"):
        if hasattr(weighted, name):
            np.testing.assert_allclose(
                getattr(weighted, name), getattr(repeated, name), rtol=1e-9, atol=1e-11, err_msg=name
            )


@each(GROWING)
def test_a_weight_of_zero_is_no_row(model: Any) -> None:
    for n, p in ((40, 5), (12, 20)):
        X, y = data(n, p)
        w = (np.arange(n) % 3 > 0).astype(float)
        trimmed = fitted(model, X[w > 0], y[w > 0])
        given = fitted(model, X, y, w)
        np.testing.assert_allclose(given.coef_, trimmed.coef_, rtol=1e-7, atol=1e-9)


@each(ALL)
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("density", [0.02, 0.5])
def test_sparse_rows_give_the_answer_of_dense_ones(model: Any, layout: str, density: float) -> None:
    if getattr(model, "positive", False) and isinstance(model, lw.LinearRegression):
        pytest.skip("as in scikit-learn, LinearRegression(positive=True) takes dense rows alone")
    if layout == "dia" and density > 0.1:
        pytest.skip("scipy warns of so many diagonals")
    rng = np.random.default_rng(5)
    S = sparse.random_array((300, 8), density=density, rng=rng, format="csr")
    y = S @ rng.normal(size=8) + rng.normal(size=300)
    w = rng.uniform(0.5, 2, size=300)
    dense, thin = fitted(model, S.toarray(), y, w), fitted(model, S.asformat(layout), y, w)
    same(dense, thin, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(thin.predict(S.asformat(layout)), dense.predict(S.toarray()), atol=1e-9)


@each(ALL)
def test_sparse_rows_fewer_than_columns_give_the_answer_of_dense_ones(model: Any) -> None:
    if getattr(model, "positive", False) and isinstance(model, lw.LinearRegression):
        pytest.skip("as in scikit-learn, LinearRegression(positive=True) takes dense rows alone")
    rng = np.random.default_rng(6)
    S = sparse.random_array((24, 40), density=0.3, rng=rng, format="csr")
    y = rng.normal(size=24)
    same(fitted(model, S.toarray(), y), fitted(model, S, y), rtol=1e-6, atol=1e-8)


@each(ALL)
def test_float32_rows_give_float32_coefficients_near_those_of_float64(model: Any) -> None:
    X, y = data(200)
    small = fitted(model, X.astype(np.float32), y.astype(np.float32))
    large = fitted(model, X, y)
    assert small.coef_.dtype == small.predict(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(small.coef_, large.coef_, rtol=1e-4, atol=1e-5)


@each(ALL)
def test_whole_numbers_are_the_same_numbers(model: Any) -> None:
    X, y = (np.round(10 * values).astype(int) for values in data())
    same(fitted(model, X, y), fitted(model, X.astype(float), y.astype(float)), rtol=0, atol=0)


@each(ALL)
def test_rows_are_never_changed_and_may_be_read_only_or_lie_in_a_file(model: Any, tmp_path: Path) -> None:
    X, y = data()
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    mapped, of_file = (np.load(tmp_path / name, mmap_mode="r") for name in ("X.npy", "y.npy"))
    free = fitted(model, X, y)
    before = X.copy(), y.copy()
    X.setflags(write=False)
    y.setflags(write=False)
    same(fitted(model, X, y), free, rtol=0, atol=0)
    same(fitted(model, mapped, of_file), free, rtol=0, atol=0)
    same(fitted(model, np.asfortranarray(X), y), free, rtol=1e-9)
    assert (before[0] == X).all()
    assert (y == before[1]).all()


@each(ALL)
def test_names_of_pandas_and_polars_are_kept_and_checked(model: Any) -> None:
    X, y = data()
    names = [f"dose {j}" for j in range(6)]
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        named = fitted(model, frame, y)
        assert list(named.feature_names_in_) == names
        assert named.n_features_in_ == 6
        same(named, fitted(model, X, y), rtol=1e-9)
        with pytest.raises(ValueError, match="feature names should match"):
            named.predict(frame[names[::-1]])


@each(ALL)
def test_a_tensor_is_answered_with_tensors(model: Any) -> None:
    torch = pytest.importorskip("torch")
    X, y = data()
    tensors = fitted(model, torch.as_tensor(X), torch.as_tensor(y))
    assert isinstance(tensors.coef_, torch.Tensor)
    assert isinstance(tensors.predict(torch.as_tensor(X)), torch.Tensor)
    plain = fitted(model, X, y)
    np.testing.assert_allclose(tensors.coef_.numpy(), plain.coef_, rtol=1e-12)
    np.testing.assert_allclose(tensors.predict(X), plain.predict(X), rtol=1e-12)
    again = pickle.loads(pickle.dumps(tensors))
    assert torch.equal(again.coef_, tensors.coef_)


def test_torch_is_not_imported_for_arrays() -> None:
    code = (
        "import sys, numpy as np, leastwise as lw\n"
        "X = np.arange(20.0)[:, None]\n"
        "for model in (lw.Ridge(), lw.Lasso(), lw.RidgeCV()): model.fit(X, X[:, 0]).predict(X)\n"
        "from leastwise.estimators import base\n"
        "assert base.device_of(X) is None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("shape", [(60, 6), (8, 12)], ids=str)
def test_singular_values_are_scikit_learns(shape: tuple[int, int], intercept: bool) -> None:
    X, y = data(*shape)
    w = np.random.default_rng(1).uniform(0.5, 2, size=len(X))
    ours, theirs = (
        m(fit_intercept=intercept).fit(X, y, w)
        for m in (lw.LinearRegression, linear_model.LinearRegression)
    )
    np.testing.assert_allclose(ours.singular_, theirs.singular_, rtol=1e-7, atol=1e-6)


# ---- rows that come later ----


@each(GROWING)
@pytest.mark.parametrize("shape", [(60, 6), (60, 30), (20, 30)], ids=str)
def test_parts_added_up_are_one_fit(model: Any, shape: tuple[int, int]) -> None:
    X, y = data(*shape)
    w = np.random.default_rng(7).uniform(0.5, 2, size=len(X))
    parts = clone(model)
    for rows in (slice(0, 7), slice(7, 12), slice(12, None)):
        parts.partial_fit(X[rows], y[rows], w[rows])
    whole = fitted(model, X, y, w)
    np.testing.assert_allclose(parts.predict(X), whole.predict(X), rtol=1e-7, atol=1e-8)
    if not (isinstance(model, lw.LinearRegression) and model.positive and shape == (20, 30)):
        np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-6, atol=1e-8)


def test_parts_with_and_without_weights_add_up() -> None:
    X, y = data()
    parts = lw.Ridge().partial_fit(X[:30], y[:30]).partial_fit(X[30:], y[30:], np.full(30, 2.0))
    same(parts, lw.Ridge().fit(X, y, np.repeat([1.0, 2.0], 30)))


def test_another_penalty_needs_no_row_again() -> None:
    X, y = data()
    model = lw.Ridge(1.0).fit(X[:59], y[:59])
    model.set_params(alpha=5.0).partial_fit(X[59:], y[59:])
    same(model, lw.Ridge(5.0).fit(X, y))


def test_a_part_with_other_targets_or_columns_is_refused() -> None:
    X, y = data()
    model = lw.LinearRegression().fit(X, y)
    with pytest.raises(DataError, match="2 targets"):
        model.partial_fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :3], y)


@each(ALL)
def test_a_pickle_predicts_alike_and_holds_no_row(model: Any) -> None:
    for n, p in ((60, 6), (16, 30)):
        X, y = data(n, p)
        model = fitted(model, X, y)
        again = pickle.loads(pickle.dumps(model))
        assert (again.predict(X) == model.predict(X)).all()
        assert hasattr(again, "moments_") == (n > p)
        if n < p and hasattr(again, "partial_fit"):
            with pytest.raises(MomentsError, match="Fit on all rows again"):
                again.partial_fit(X, y)


def test_a_warm_start_begins_where_the_last_fit_ended() -> None:
    for n, p in ((100, 20), (30, 60)):
        X, y = data(n, p)
        model = lw.Lasso(0.05, warm_start=True).fit(X, y)
        cold = model.coef_.copy()
        assert model.fit(X, y).n_iter_ == 0
        np.testing.assert_allclose(
            model.set_params(alpha=0.02).fit(X, y).coef_, lw.Lasso(0.02).fit(X, y).coef_, atol=1e-3
        )
        far = lw.Lasso(0.05, warm_start=True, tol=1e-12)
        far.coef_ = np.full(p, 1e3 if n > p else 0.1)
        np.testing.assert_allclose(far.fit(X, y).coef_, cold, atol=1e-6)


# ---- folds ----


@pytest.mark.parametrize("shape", [(40, 5), (12, 20), (20, 20), (21, 20), (22, 20)], ids=str)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_each_row_left_out_is_predicted_by_a_fit_on_the_others(
    shape: tuple[int, int], intercept: bool, weighted: bool
) -> None:
    X, Y = data(*shape, k=2)
    w = np.random.default_rng(8).uniform(0.5, 2, size=len(X)) if weighted else None
    if w is not None:
        w[3] = 0.0
    alphas = np.array([10.0, 0.1])
    moments = lw.Moments.of(X, Y, w)
    problem = Penalised.of(moments, Shrinkage(), intercept=intercept)
    found = LeftOut(problem, alphas / (2 * moments.weight)).predictions(X, Y, w)  # (n, A, k)
    for i, (a, alpha) in ((i, pair) for i in range(len(X)) for pair in enumerate(alphas)):
        rest = np.arange(len(X)) != i
        twin = linear_model.Ridge(alpha, fit_intercept=intercept, solver="svd")
        twin.fit(X[rest], Y[rest], None if w is None else w[rest])
        np.testing.assert_allclose(found[i, a], twin.predict(X[[i]])[0], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", [(12, 20), (20, 20), (21, 20)], ids=str)
def test_rows_left_out_keep_their_digits_under_a_tiny_alpha(shape: tuple[int, int]) -> None:
    X, y = data(*shape)
    model = lw.RidgeCV([1e-12], store_cv_results=True, scoring="r2").fit(X, y)
    for i in range(len(X)):
        rest = np.arange(len(X)) != i
        alone = linear_model.LinearRegression(tol=1e-14).fit(X[rest], y[rest]).predict(X[[i]])
        np.testing.assert_allclose(model.cv_results_[i, 0], alone[0], rtol=1e-6)


def test_blocks_of_rows_left_out_are_all_rows() -> None:
    X, y = data(20_000, 4)
    ours = lw.RidgeCV([0.1, 1e4], store_cv_results=True).fit(X, y)
    theirs = linear_model.RidgeCV([0.1, 1e4], store_cv_results=True).fit(X, y)
    np.testing.assert_allclose(ours.cv_results_, theirs.cv_results_, rtol=1e-7, atol=1e-10)
    assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=1e-12)


def test_rows_left_out_have_no_closed_form_with_bounds() -> None:
    moments = lw.Moments.of(*data())
    with pytest.raises(UsageError, match="no closed form"):
        LeftOut(Penalised.of(moments, Shrinkage(lower=np.zeros(6))), np.ones(1))


@pytest.mark.parametrize(
    "cv",
    [
        KFold(4),
        KFold(4, shuffle=True, random_state=0),
        [(np.arange(0, 50), np.arange(50, 60)), (np.arange(10, 60), np.arange(5))],  # no partition
        [(np.arange(0, 30), np.arange(30, 60)), (np.arange(30, 50), np.arange(30))],  # rows unused
        [(np.arange(60) >= 20, np.arange(60) < 20), (np.arange(60) < 20, np.arange(60) >= 20)],
    ],
    ids=["in order", "shuffled", "overlapping", "unused rows", "masks"],
)
def test_folds_of_any_kind_are_those_of_scikit_learn(cv: Any) -> None:
    X, y = data()
    ours, theirs = (
        home.LassoCV(alphas=6, cv=cv, tol=1e-12, eps=0.01, max_iter=100_000).fit(X, y)
        for home in (lw, linear_model)
    )
    np.testing.assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-7)
    ridge = lw.RidgeCV([0.1, 10.0, 1.0], cv=cv, scoring="neg_mean_squared_error").fit(X, y)
    grid = GridSearchCV(
        linear_model.Ridge(), {"alpha": [0.1, 10.0, 1.0]}, cv=cv, scoring="neg_mean_squared_error"
    )
    grid.fit(X, y)
    assert ridge.alpha_ == grid.best_params_["alpha"]
    assert ridge.best_score_ == pytest.approx(grid.best_score_, rel=1e-10)


@pytest.mark.parametrize(
    "scoring",
    [None, "r2", "neg_mean_squared_error", "neg_root_mean_squared_error", "neg_mean_absolute_error"],
)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("weighted", [True, False])
def test_ridge_is_scored_as_a_grid_search_would(scoring: str | None, k: int, weighted: bool) -> None:
    X, y = data(k=k)
    w = np.random.default_rng(8).uniform(0.5, 2, size=60) if weighted else None
    alphas = [100.0, 1e-3, 0.0, 10.0]
    ours = lw.RidgeCV(alphas, cv=3, scoring=scoring).fit(X, y, w)
    grid = GridSearchCV(linear_model.Ridge(), {"alpha": alphas}, cv=3, scoring=scoring)
    grid.fit(X, y, sample_weight=w)
    assert ours.best_score_ == pytest.approx(grid.best_score_, rel=1e-9)
    assert ours.alpha_ == grid.best_params_["alpha"]
    np.testing.assert_allclose(ours.coef_, grid.best_estimator_.coef_, rtol=1e-8)


def test_a_score_that_takes_no_weights_counts_rows_alike_and_it_is_said() -> None:
    X, y = data()
    model = lw.RidgeCV(cv=3, scoring="neg_max_error")
    with pytest.warns(LeastwiseWarning, match="counts once"):
        weighted = fitted(model, X, y, np.full(60, 2.0))
    assert weighted.alpha_ == model.fit(X, y).alpha_


@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("scoring", [None, "neg_mean_absolute_error"])
def test_one_weight_for_all_rows_is_as_many_weights(cv: int | None, scoring: str | None) -> None:
    X, y = data()
    model = lw.RidgeCV(cv=cv, scoring=scoring)
    same(fitted(model, X, y, 2.5), fitted(model, X, y, np.full(60, 2.5)))


def test_groups_go_to_a_splitter_that_deals_by_groups_without_a_global_switch() -> None:
    X, y = data()
    groups = np.arange(60) // 7
    splits = list(LeaveOneGroupOut().split(X, y, groups))
    for model in (lw.LassoCV(alphas=5), lw.ElasticNetCV(alphas=5), lw.RidgeCV()):
        by_groups = clone(model).set_params(cv=LeaveOneGroupOut()).fit(X, y, groups=groups)
        same(by_groups, clone(model).set_params(cv=splits).fit(X, y), rtol=0, atol=0)
        with pytest.raises(ValueError, match="enable_metadata_routing"):
            fitted(model, X, y, groups=groups)
        with pytest.raises(ValueError, match="enable_metadata_routing"):
            clone(model).set_params(cv=GroupKFold(3)).fit(X, y, groups=groups, colour="red")
        with config_context(enable_metadata_routing=True):
            routed = clone(model).set_params(cv=LeaveOneGroupOut()).fit(X, y, groups=groups)
        same(routed, by_groups, rtol=0, atol=0)


def test_folds_of_one_row_have_no_r2_and_it_is_said_once() -> None:
    X, y = data(6, 2)
    with pytest.warns(LeastwiseWarning, match="r2 needs two rows") as told:
        model = lw.RidgeCV(cv=6).fit(X, y)
    assert len(told) == 1
    assert model.alpha_ == 0.1


# ---- what is said ----


def test_what_did_not_converge_is_said_once() -> None:
    X, y = data(50, 40)
    for model in (lw.Lasso(1e-4, max_iter=1, tol=1e-10), lw.LassoCV(max_iter=1, tol=1e-10, alphas=5)):
        with pytest.warns(ConvergenceWarning, match="Objective did not converge") as told:
            model.fit(X, y)
        assert len(told) <= 2  # of the folds, and of the fit on all rows
        assert told[0].filename == __file__


@each(ALL)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_named_in_the_words_of_scikit_learn(model: Any, value: float) -> None:
    X, y = data()
    X[3, 2] = value
    with pytest.raises(ValueError, match="Input X contains"):
        fitted(model, X, y)
    X[3, 2] = 0.0
    y[3] = value
    with pytest.raises(ValueError, match="Input y contains"):
        fitted(model, X, y)


def test_moments_of_sparse_rows_are_those_of_dense_ones() -> None:
    rng = np.random.default_rng(0)
    for density, n in ((0.01, 500), (0.4, 500), (0.4, 10)):
        S = sparse.random_array((n, 12), density=density, rng=rng)
        Y, w = rng.normal(size=(n, 2)) + 1e6, rng.integers(0, 3, size=n)
        assert sparse_moments(S, Y) == lw.Moments.of(S.toarray(), Y)
        assert sparse_moments(S, Y, w) == lw.Moments.of(S.toarray(), Y, w)
        assert sparse_moments(S, Y, w).n == np.count_nonzero(w)


def test_sparse_rows_that_cannot_be_used_are_refused() -> None:
    S = sparse.eye_array(5, format="csr")
    with pytest.raises(DataError, match="5 rows and y has 4"):
        sparse_moments(S, np.ones(4))
    with pytest.raises(MissingError, match="missing"):
        sparse_moments(S * np.nan, np.ones(5))
    with pytest.raises(DataError, match="negative"):
        sparse_moments(S, np.ones(5), -np.ones(5))
