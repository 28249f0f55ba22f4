"""GradientDescentRegressor: what scikit-learn asks of an estimator, and what descent promises beside it."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bad import refused
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import leastwise as lw
from leastwise import GradientDescentRegressor
from leastwise.errors import DataError, LeastwiseError, LeastwiseWarning, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks(
    [
        GradientDescentRegressor(),
        GradientDescentRegressor(method="autograd", steps=100),
        GradientDescentRegressor(method="analytic", steps=100, standardize=True),
        GradientDescentRegressor(momentum=0.9, nesterov=True, steps=200),
        GradientDescentRegressor(optimizer="Adam", lr=0.1, steps=100),
        GradientDescentRegressor(penalty=lw.L1(0.01) + lw.L2(0.01), steps=200),
        GradientDescentRegressor(fit_intercept=False),
        GradientDescentRegressor(patience=10),
    ]
)
def test_it_is_an_estimator_of_scikit_learn(estimator: Any, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)  # some checks take columns about 100
        check(estimator)


def data(n: int = 60, p: int = 4, k: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    Y = X @ rng.normal(size=(p, k)) + 2 + 0.3 * rng.normal(size=(n, k))
    return X, Y[:, 0] if k == 1 else Y


# ---- what comes out ----


@pytest.mark.parametrize("k", [1, 3])
def test_in_the_end_it_is_least_squares(k: int) -> None:
    X, y = data(k=k)
    model, peer = GradientDescentRegressor().fit(X, y), LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-10)
    np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=1e-10)
    np.testing.assert_allclose(model.predict(X), peer.predict(X), atol=1e-10)
    assert model.score(X, y) == pytest.approx(peer.score(X, y))
    assert model.coef_.shape == peer.coef_.shape
    assert np.shape(model.intercept_) == np.shape(peer.intercept_)
    assert model.predict(X).shape == y.shape


def test_a_target_of_one_column_keeps_its_column() -> None:
    X, y = data()
    flat, column = GradientDescentRegressor().fit(X, y), GradientDescentRegressor().fit(X, y[:, None])
    assert column.coef_.shape == (1, 4)
    assert column.intercept_.shape == (1,)
    assert column.predict(X).shape == (60, 1)
    np.testing.assert_allclose(column.predict(X)[:, 0], flat.predict(X), rtol=1e-12)


def test_the_penalties_are_those_of_ridge_and_lasso() -> None:
    X, y = data()
    ridge = GradientDescentRegressor(penalty=lw.L2(0.1)).fit(X, y)
    np.testing.assert_allclose(ridge.coef_, Ridge(2 * 60 * 0.1).fit(X, y).coef_, atol=1e-10)
    lasso = GradientDescentRegressor(penalty=lw.L1(0.2)).fit(X, y)
    np.testing.assert_allclose(lasso.coef_, Lasso(0.2, tol=1e-12).fit(X, y).coef_, atol=1e-8)


@pytest.mark.parametrize("method", ["moments", "autograd", "analytic"])
def test_it_walks_the_course_of_descend(method: str) -> None:
    X, y = data(k=2)
    model = GradientDescentRegressor(lr=0.1, steps=9, method=method).fit(X, y)
    run = lw.descend((X, y), lr=0.1, steps=9, method=method)
    np.testing.assert_allclose(model.coef_, run.coef[-1], rtol=1e-12)
    np.testing.assert_allclose(model.intercept_, run.intercept[-1], rtol=1e-12)
    np.testing.assert_allclose(model.loss_curve_, run.loss, rtol=1e-12)
    assert model.loss_curve_.shape == (10,)
    assert (model.n_iter_, model.lr_, model.lr_limit_) == (9, 0.1, run.lr_limit)
    assert isinstance(model.descent_, lw.Descent)


def test_patience_may_take_fewer_steps_than_it_was_given() -> None:
    X, y = data(60, 20)
    model = GradientDescentRegressor(patience=3, lr=0.05).fit(X, y)
    assert model.n_iter_ < 1_000
    assert len(model.loss_curve_) == model.n_iter_ + 1


@pytest.mark.parametrize("method", ["moments", "autograd"])
def test_sample_weights_are_repetition(method: str) -> None:
    X, y = data()
    w = np.arange(60) % 4
    model = GradientDescentRegressor(lr=0.1, steps=20, method=method)
    weighted = clone(model).fit(X, y, sample_weight=w)
    repeated = clone(model).fit(X.repeat(w, axis=0), y.repeat(w))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-10)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-10)


def test_float32_is_taken_and_walked_as_such() -> None:
    X, y = (values.astype(np.float32) for values in data())
    walked = GradientDescentRegressor(method="autograd", steps=50, standardize=False)
    rows, wide = clone(walked).fit(X, y), clone(walked).fit(X.astype(float), y.astype(float))
    np.testing.assert_allclose(rows.coef_, wide.coef_, atol=1e-5)
    last = rows.descent_.coef[-1]
    assert (last == last.astype(np.float32)).all()
    assert rows.coef_.dtype == np.float32


def test_sparse_rows_are_descended_on_from_their_moments() -> None:
    X, y = data()
    X = X * (X > 0)
    for S in (sparse.csr_array(X), sparse.csc_array(X), sparse.coo_array(X)):
        model = GradientDescentRegressor(steps=30, lr=0.1).fit(S, y)
        same = GradientDescentRegressor(steps=30, lr=0.1).fit(X, y)
        np.testing.assert_allclose(model.coef_, same.coef_, rtol=1e-10)
        np.testing.assert_allclose(model.predict(S), same.predict(X), rtol=1e-10)
    with pytest.raises(TypeError, match="dense data is required"):
        GradientDescentRegressor(method="autograd").fit(S, y)


@pytest.mark.parametrize("learning_rate", ["auto", 0.05])
def test_partial_fit_goes_on_where_it_stands(learning_rate: object) -> None:
    X, y = data()
    model = GradientDescentRegressor(learning_rate=learning_rate)
    for _ in range(200):
        model.partial_fit(X, y)
    known = LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, known.coef_, atol=1e-3)
    np.testing.assert_allclose(model.intercept_, known.intercept_, atol=1e-3)
    one = GradientDescentRegressor(lr=0.05, steps=2, standardize=False).fit(X, y)
    twice = GradientDescentRegressor(lr=0.05).partial_fit(X, y).partial_fit(X, y)
    np.testing.assert_allclose(twice.coef_, one.coef_, rtol=1e-12)
    with pytest.raises(DataError, match="2 targets"):
        model.partial_fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :2], y)


def test_the_rate_has_two_names() -> None:
    X, y = data()
    both = [GradientDescentRegressor(**{name: 0.1}).fit(X, y) for name in ("lr", "learning_rate")]
    np.testing.assert_array_equal(both[0].coef_, both[1].coef_)
    assert both[0].lr_ == both[1].lr_ == 0.1
    np.testing.assert_allclose(
        GradientDescentRegressor(learning_rate="auto").fit(X + 3, y).coef_,
        LinearRegression().fit(X, y).coef_,
    )


def test_tensors_come_back_as_tensors() -> None:
    X, y = data()
    model = GradientDescentRegressor(steps=30).fit(torch.as_tensor(X), torch.as_tensor(y))
    assert isinstance(model.coef_, torch.Tensor)
    assert isinstance(model.predict(torch.as_tensor(X)), torch.Tensor)
    np.testing.assert_allclose(model.coef_.numpy(), GradientDescentRegressor(steps=30).fit(X, y).coef_)


def test_the_random_state_decides_the_batches() -> None:
    X, y = data()
    asked = {"method": "autograd", "batch": 5, "steps": 20, "lr": 0.05}
    one, same, other = (
        GradientDescentRegressor(random_state=seed, **asked).fit(X, y).coef_ for seed in (0, 0, 1)
    )
    assert (one == same).all()
    assert (one != other).any()


# ---- with the rest of scikit-learn ----


def test_parameters_are_cloned_asked_and_set() -> None:
    model = GradientDescentRegressor(lr=0.1, steps=7, penalty=lw.L2(0.3), optimizer="sgd", momentum=0.5)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert twin.set_params(lr=0.2, nesterov=True) is twin
    assert (twin.lr, twin.nesterov, model.lr) == (0.2, True, 0.1)
    with pytest.raises(ValueError, match="rate"):
        twin.set_params(rate=1)


def test_fit_leaves_the_parameters_as_they_were_given() -> None:
    X, y = data()
    model = GradientDescentRegressor(penalty=None, lr="auto")
    before = model.get_params()
    assert model.fit(X, y).get_params() == before


def test_a_bad_parameter_is_told_when_it_is_fitted_not_when_it_is_made() -> None:
    model = GradientDescentRegressor(method="guess")
    with refused(UsageError, "method='guess'", "'moments'"):
        model.fit(*data())


def test_it_goes_into_a_pipeline_and_into_cross_validation() -> None:
    X, y = data()
    X = X * [1, 100, 0.01, 1] + 50
    pipe = make_pipeline(StandardScaler(), GradientDescentRegressor())
    peer = make_pipeline(StandardScaler(), LinearRegression())
    np.testing.assert_allclose(cross_val_score(pipe, X, y), cross_val_score(peer, X, y), rtol=1e-8)
    y_scaled = TransformedTargetRegressor(pipe, transformer=StandardScaler()).fit(X, y)
    assert y_scaled.score(X, y) == pytest.approx(peer.fit(X, y).score(X, y))


def test_a_grid_search_finds_the_steps_and_the_penalty() -> None:
    X, y = data(40, 15)
    grid = {"steps": [1, 100], "penalty": [None, lw.L2(0.05), lw.L2(1e6)]}
    search = GridSearchCV(GradientDescentRegressor(), grid, error_score="raise").fit(X, y)
    assert search.best_params_["steps"] == 100
    assert search.best_params_["penalty"] != lw.L2(1e6)
    assert search.predict(X).shape == (40,)


def test_the_names_of_a_data_frame_are_kept_and_compared() -> None:
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = GradientDescentRegressor().fit(frame, y)
    assert model.feature_names_in_.tolist() == list("abcd")
    assert model.n_features_in_ == 4
    np.testing.assert_allclose(model.predict(frame), GradientDescentRegressor().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c", "d"]])
    with pytest.raises(ValueError, match="3 features"):
        GradientDescentRegressor().fit(X, y).predict(X[:, :3])


def test_the_run_inside_has_the_names_of_the_data_frame() -> None:
    X, y = data()
    model = GradientDescentRegressor().fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert model.descent_.fit.names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    "how",
    [{}, {"method": "autograd"}, {"optimizer": "Adam"}, {"patience": 3}, {"penalty": lw.L1(0.1)}],
    ids=str,
)
def test_a_fitted_estimator_is_pickled_whole(how: dict[str, Any]) -> None:
    X, y = data()
    model = GradientDescentRegressor(steps=20, **how).fit(X, y)
    twin = pickle.loads(pickle.dumps(model))
    assert (twin.predict(X) == model.predict(X)).all()
    assert (twin.descent_.loss == model.descent_.loss).all()
    assert twin.get_params() == model.get_params()


def test_a_pickle_gives_away_no_row() -> None:
    X, y = data(500)
    model = GradientDescentRegressor(steps=20).fit(X, y)
    kept = pickle.dumps(model)
    assert X[7].tobytes() not in kept
    assert len(kept) < X.nbytes
    assert model.descent_.fit.rows is not None  # here they are at hand still
    assert pickle.loads(kept).descent_.fit.rows is None


def test_before_fitting_nothing_is_predicted() -> None:
    with pytest.raises(NotFittedError):
        GradientDescentRegressor().predict(data()[0])


def test_fitting_again_forgets_what_was_fitted_before() -> None:
    X, y = data()
    model = GradientDescentRegressor(steps=5).fit(X, y)
    fresh = GradientDescentRegressor(steps=5).fit(X[:, :2], -y)
    assert (model.fit(X[:, :2], -y).coef_ == fresh.coef_).all()


# ---- rates that diverge ----


@pytest.mark.parametrize(
    "how",
    [{}, {"method": "autograd"}, {"method": "analytic"}, {"momentum": 0.9}, {"penalty": lw.L2(1.0)}],
    ids=str,
)
def test_a_rate_above_the_limit_is_refused_with_both_numbers(how: dict[str, Any]) -> None:
    X, y = data()
    limit = lw.descend((X, y), steps=0, **how).lr_limit
    lr = 1.5 * limit
    with refused(UsageError, f"{lr:.4g}", f"{limit:.4g}", "lambda_max", "allow_divergence=True") as _:
        GradientDescentRegressor(lr=lr, steps=5, **how).fit(X, y)
    GradientDescentRegressor(lr=0.99 * limit, steps=5, **how).fit(X, y)


def test_divergence_that_is_allowed_is_warned_of_and_seen() -> None:
    X, y = data()
    model = GradientDescentRegressor(lr=5.0, steps=20, allow_divergence=True)
    with pytest.warns(LeastwiseWarning, match="5 is above"):
        model.fit(X, y)
    assert model.loss_curve_[-1] > 1e6 * model.loss_curve_[0]
    assert model.lr_ > model.lr_limit_


def test_a_warning_that_the_caller_silenced_stays_silent() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")
        GradientDescentRegressor(lr=5.0, steps=5, allow_divergence=True).fit(*data())
    assert not told


# ---- parameters that cannot be ----


BAD = [
    {"lr": 0},
    {"lr": "fast"},
    {"learning_rate": None},
    {"learning_rate": 0.1, "lr": 0.2},
    {"standardize": "yes"},
    {"steps": -1},
    {"steps": 2.5},
    {"method": "newton"},
    {"momentum": 1.0},
    {"nesterov": True},
    {"optimizer": "Adamm"},
    {"optimizer": "Adam", "momentum": 0.9},
    {"penalty": 0.1},
    {"penalty": "l2"},
    {"l1": "subgradient"},
    {"batch": 8},
    {"batch": 0, "method": "autograd"},
    {"patience": 0},
    {"standardize": "yes"},
    {"standardize": True, "fit_intercept": False},
    {"fit_intercept": 1},
    {"random_state": "a"},
]


@pytest.mark.parametrize("how", BAD, ids=str)
def test_a_parameter_that_cannot_be_is_refused(how: dict[str, Any]) -> None:
    with refused(UsageError):
        GradientDescentRegressor(**how).fit(*data())


@pytest.mark.parametrize(
    "how", [{"penalty": 0}, {"penalty": ""}, {"penalty": False}, {"allow_divergence": "no"}], ids=str
)
def test_a_parameter_of_the_wrong_kind_is_refused_though_it_is_false(how: dict[str, Any]) -> None:
    with refused(UsageError, next(iter(how))):
        GradientDescentRegressor(**how).fit(*data())


@pytest.mark.parametrize("how", [{"fit_intercept": 1}, {"random_state": "a"}], ids=str)
def test_the_message_names_the_parameter_of_the_estimator(how: dict[str, Any]) -> None:
    with refused(UsageError, next(iter(how))):
        GradientDescentRegressor(**how).fit(*data())


def test_a_target_that_does_not_vary_is_refused() -> None:
    X, y = data()
    with refused(LeastwiseError, "'y'", "nothing to explain"):
        GradientDescentRegressor().fit(X, np.ones_like(y))


def test_columns_of_different_scales_are_warned_of_and_standardising_helps() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) * [1, 1_000]
    y = X @ [1, 0.003] + 0.1 * rng.normal(size=300)
    with pytest.warns(ConvergenceWarning, match="is left after 1,000 steps.*standardize=True"):
        plain = GradientDescentRegressor(standardize=False).fit(X, y)
    assert plain.score(X, y) > 0.85  # what can be had is had: the rate leaves the least loss after so many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GradientDescentRegressor(standardize=True).fit(X, y).score(X, y) > 0.99
        assert GradientDescentRegressor().fit(X + 1e4, y).score(X + 1e4, y) > 0.99
    for how in ({"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}):
        with pytest.warns(ConvergenceWarning):
            model = GradientDescentRegressor(standardize=False, **how).fit(X, y)
        assert model.score(X, y) > 0.85


def test_with_patience_the_parameters_are_those_of_the_least_loss_held_out() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 30))
    y = X[:, 0] + rng.normal(size=60)
    model = GradientDescentRegressor(lr=0.02, patience=20).fit(X, y)
    run = model.descent_
    assert run.best_step < run.steps
    np.testing.assert_allclose(model.coef_, run.coef[run.best_step], rtol=1e-12)


def test_epochs_of_batches_and_a_schedule_are_passed_on() -> None:
    X, y = data()
    model = GradientDescentRegressor(0.05, epochs=3, batch=20, schedule=lambda t: 0.9**t, method="autograd")
    assert model.fit(X, y).n_iter_ == 9
