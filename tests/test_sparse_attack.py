"""Sparse rows under attack: how they are stored, hostile columns, what is kept, and what it costs."""

from __future__ import annotations

import pickle
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import nnls
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import leastwise as lw
from leastwise import parts
from leastwise.moments import Moments
from leastwise.numerics import content_hash
from leastwise.solve import least_squares, shrunk
from leastwise.sparse import sparse_moments

MODELS = [
    lw.Ridge(0.3),
    lw.Ridge(0.3, positive=True),
    lw.Lasso(0.01),
    lw.ElasticNet(0.02, fit_intercept=False),
    lw.LinearRegression(),
    lw.RidgeCV(),
    lw.RidgeCV(cv=3),
    lw.LassoCV(cv=3, alphas=5),
    lw.GradientDescentRegressor(steps=200),
]
FORMATS = ("csc", "coo", "dia", "lil", "bsr", "dok", "long", "halves", "unsorted", "zeros")


def rows(n: int = 40, p: int = 90, seed: int = 0, density: float = 0.06) -> tuple[Any, Any]:
    """X (n, p) with few values that are not 0, and y (n,)."""
    rng = np.random.default_rng(seed)
    X = sparse.random_array((n, p), density=density, rng=rng, data_sampler=rng.standard_normal).toarray()
    return X, X[:, :5].sum(axis=1) + 0.3 * rng.normal(size=n) + 2


def stored(X: np.ndarray, way: str) -> Any:
    """X stored in some way that scipy allows."""
    S = sparse.csr_array(X)
    if way == "long":
        S.indices, S.indptr = S.indices.astype(np.int64), S.indptr.astype(np.int64)
        return S
    if way == "halves":
        return sparse.csr_array(
            (np.repeat(S.data / 2, 2), np.repeat(S.indices, 2), S.indptr * 2), shape=X.shape
        )
    if way == "unsorted":
        order = np.concatenate(
            [np.arange(a, b)[::-1] for a, b in zip(S.indptr, S.indptr[1:], strict=False)]
        )
        return sparse.csr_array((S.data[order], S.indices[order], S.indptr), shape=X.shape)
    if way == "zeros":
        S = sparse.coo_array(X)
        i, j = (np.append(at, [0, 7, 7]) for at in S.coords)  # zeros, at places of their own or twice
        return sparse.csr_array(sparse.coo_array((np.append(S.data, np.zeros(3)), (i, j)), shape=X.shape))
    return S.asformat(way)


def far(a: Any, b: Any) -> float:
    """How far the coefficients of two models are apart, as a share of the largest."""
    return float(np.abs(a.coef_ - b.coef_).max()) / max(float(np.abs(b.coef_).max()), 1e-300)


def peak(make: Any) -> float:
    """The most memory (bytes) that something takes while it is made."""
    tracemalloc.start()
    try:
        make()
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


# ---- laws ----


@pytest.mark.parametrize("way", FORMATS)
def test_the_way_of_storing_changes_no_answer_and_nothing_of_the_callers(way: str) -> None:
    X, y = rows()
    S = stored(X, way)
    held = [getattr(S, name) for name in ("data", "indices", "indptr") if hasattr(S, name)]
    before = pickle.dumps(held)
    for array in held:
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    for model in MODELS:
        assert far(clone(model).fit(S, y), clone(model).fit(X, y)) < 1e-6, model
    assert pickle.dumps(held) == before


@pytest.mark.parametrize("kind", [bool, np.int8, np.int64, np.float32], ids=lambda kind: kind.__name__)
def test_numbers_of_other_kinds_are_those_of_dense_rows(kind: Any) -> None:
    X, y = rows()
    X = np.abs(3 * X).round().astype(kind)
    for model in MODELS:
        of_sparse, of_dense = (clone(model).fit(Z, y) for Z in (sparse.csr_array(X), X))
        assert of_sparse.coef_.dtype == of_dense.coef_.dtype
        assert far(of_sparse, of_dense) < (1e-4 if kind is np.float32 else 1e-6), model


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 50), (50, 1), (49, 50), (51, 50)], ids=str)
def test_the_smallest_rows_and_columns_are_those_of_dense_rows(shape: Any) -> None:
    X, y = rows(shape[0], shape[1], density=0.1)
    for model in MODELS[:5]:
        assert far(clone(model).fit(sparse.csr_array(X), y), clone(model).fit(X, y)) < 1e-6, model


def test_hostile_columns_rows_and_weights_give_what_dense_ones_give() -> None:
    X, y = rows()
    X[:10], X[:, 50:60] = 0.0, X[:, 40:50]  # rows of nothing; columns twice
    X[:, 70], X[:, 71] = 2.0, 1e6 + np.random.default_rng(1).normal(size=40)
    X[:, 72] *= 1e-100
    S = sparse.csr_array(X)
    Y = np.column_stack([y, 1e6 * y, np.zeros(40), np.full(40, 7.0)])
    w = 10.0 ** np.random.default_rng(2).uniform(-12, 12, size=40)
    for model in (lw.Ridge(0.3), lw.Ridge(1e-6), lw.Lasso(0.01), lw.LinearRegression(), lw.RidgeCV(cv=3)):
        assert far(clone(model).fit(S, y), clone(model).fit(X, y)) < 1e-6, model
        assert far(clone(model).fit(S, Y), clone(model).fit(X, Y)) < 1e-6, model
    for model in (lw.Ridge(0.3), lw.Lasso(0.01)):
        assert far(clone(model).fit(S, y, w), clone(model).fit(X, y, w)) < 1e-6, model
    for nothing in (lw.Ridge(), lw.Lasso(), lw.LinearRegression()):
        assert not nothing.fit(sparse.csr_array((40, 90)), y).coef_.any()


def test_what_is_kept_of_rows_hangs_on_no_array_of_the_caller() -> None:
    X, y = rows()
    S = sparse.csr_array(X)
    model = lw.Ridge(0.3).fit(S, y)
    S.data[:] = 7.0
    model.partial_fit(sparse.csr_array(X[:9]), y[:9])
    assert far(model, lw.Ridge(0.3).fit(np.vstack([X, X[:9]]), np.append(y, y[:9]))) < 1e-9


def test_threads_side_by_side_give_the_same_to_the_last_bit() -> None:
    X, y = rows()
    S = sparse.csc_array(X)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda model: clone(model).fit(S, y).coef_, MODELS * 2))
    for one, other in zip(found, found[len(MODELS) :], strict=False):
        np.testing.assert_array_equal(one, other)


def test_scores_of_folds_are_those_of_dense_rows() -> None:
    X, y = rows(60, 150)
    for model in MODELS:
        of = [cross_val_score(clone(model), Z, y, cv=3) for Z in (sparse.csc_array(X), X)]
        np.testing.assert_allclose(of[0], of[1], atol=1e-5)


# ---- what was wrong once ----


def test_a_pickled_descent_holds_no_row() -> None:
    X, y = rows()
    model = pickle.loads(pickle.dumps(lw.GradientDescentRegressor(steps=200).fit(sparse.csr_array(X), y)))
    assert not hasattr(model, "descent_")
    assert model.coef_.shape == (90,)
    told = pickle.dumps(model)
    assert not any(np.float64(value).tobytes() in told for value in X[X != 0][:50])


def test_a_pickled_descent_holds_no_products_from_which_rows_are_read() -> None:
    y = np.array([1.0, 2.0, 4.0])
    X = np.random.default_rng(0).normal(size=(3, 8))
    model = pickle.loads(pickle.dumps(lw.GradientDescentRegressor(steps=200).fit(X, y)))
    assert not hasattr(model, "descent_")
    X, y = np.random.default_rng(0).normal(size=(90, 8)), np.arange(90.0)
    model = pickle.loads(pickle.dumps(lw.GradientDescentRegressor(steps=20).fit(X, y)))
    assert model.descent_.again(steps=30).steps == 30


def pieces(model: Any, X: np.ndarray, y: np.ndarray) -> Any:
    """Sparse rows given to a model one by one, after five at first."""
    S = sparse.csr_array(X)
    model.partial_fit(S[:5], y[:5])
    for i in range(5, 12):
        model.partial_fit(S[[i]], y[[i]])
    return model


def test_pickled_pieces_hold_no_products_of_fewer_rows_than_columns() -> None:
    model = pieces(lw.RidgeCV(cv=2), *rows())
    kept = getattr(pickle.loads(pickle.dumps(model)), "moments_", None)
    assert kept is None or kept.n > len(kept.names)


def test_pieces_of_sparse_rows_stay_sparse() -> None:
    X, y = rows(60, 1_000, density=0.01)
    S = sparse.csr_array(X)
    last = content_hash([S, y[:, None]], 0) % np.uint64(3) == 2
    model = lw.RidgeCV(cv=3).partial_fit(S[~last], y[~last])
    assert peak(lambda: model.partial_fit(S[last], y[last])) < 8e6  # a matrix of all columns is 8 MB


def test_equal_rows_fall_to_one_fold_however_they_are_stored() -> None:
    X, y = rows(60, 150)
    S, halves = sparse.csr_array(X), stored(X, "halves")
    one, other = (lw.RidgeCV(alphas=(0.01, 0.1, 1.0)).partial_fit(Z, y) for Z in (S, halves))
    assert [part.n for part in one.moments_.parts] == [part.n for part in other.moments_.parts]
    assert one.alpha_ == other.alpha_


def many_rows(monkeypatch: pytest.MonkeyPatch, spread: int, n: int = 3_000) -> tuple[Any, Any]:
    """Sparse rows that are kept though they are more than the columns, whose units are far apart."""
    monkeypatch.setattr(parts, "MANY", 50)
    X, y = rows(n, 200, density=0.005)
    X *= 10.0 ** np.random.default_rng(0).integers(-spread, spread + 1, size=200)
    return sparse.csr_array(X), y


def test_leave_one_out_of_more_rows_than_columns_takes_no_matrix_of_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    S, y = many_rows(monkeypatch, 0, n=1_200)
    lw.RidgeCV().fit(S[:300], y[:300])
    assert peak(lambda: lw.RidgeCV().fit(S, y)) < 11e6  # (n, n) is 11.5 MB, (p, p) is 0.3 MB


def test_ridge_of_very_many_rows_and_unlike_units_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    S, y = many_rows(monkeypatch, 4)
    monkeypatch.setattr(shrunk, "MOST_ROWS", 2_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of_sparse, of_dense = (lw.Ridge(1.0).fit(Z, y) for Z in (S, S.toarray()))
    np.testing.assert_allclose(of_sparse.predict(S), of_dense.predict(S.toarray()), atol=1e-4)


def test_least_squares_of_two_empty_rows_makes_no_dense_matrix() -> None:
    X, y = rows(100, 4_000, density=0.05)
    lw.LinearRegression().fit(sparse.csr_array(X), y)
    X[-2:] = 0.0
    S = sparse.csr_array(X)
    assert peak(lambda: lw.LinearRegression().fit(S, y)) < X.nbytes


def test_singular_values_of_few_rows_take_the_side_of_the_rows() -> None:
    X, y = rows(30, 1_000, density=0.01)
    model = lw.LinearRegression().fit(sparse.csr_array(X), y)
    found: list[Any] = []
    assert peak(lambda: found.append(model.singular_)) < 8e6
    known = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(found[0][:29], known[:29], rtol=1e-9)


@pytest.mark.parametrize("unit", [1e20, 1e100])
def test_least_squares_of_unlike_units_is_that_of_dense_rows_or_is_told(unit: float) -> None:
    X, y = rows()
    X[:, 13] = unit * (np.random.default_rng(3).random(40) < 0.2) * np.random.default_rng(4).normal(size=40)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        of_sparse = lw.LinearRegression().fit(sparse.csr_array(X), y)
    of_dense = lw.LinearRegression().fit(X, y)
    assert told or far(of_sparse, of_dense) < 1e-6


def test_a_column_that_is_constant_where_weights_are_is_found_constant() -> None:
    missed = 0
    for seed in range(20):
        X, y = rows(seed=seed)
        rng, w = np.random.default_rng(seed), np.zeros(40)
        k = int(rng.integers(5, 20))
        w[:k] = rng.uniform(0.1, 3, size=k)
        X[:, 4] = np.where(np.arange(40) < k, rng.uniform(1, 100), 0.0)
        of = [
            least_squares(m, rank="drop")
            for m in (sparse_moments(sparse.csr_array(X), y, w), Moments.of(X, y, w))
        ]
        missed += of[0].constant != of[1].constant
    assert missed == 0


def test_a_column_far_from_zero_where_weights_are_keeps_its_digits() -> None:
    X, y = rows(seed=1)
    w = (np.arange(40) < 15).astype(float)
    X[:, 4] = w * (1e8 + np.random.default_rng(1).normal(size=40))
    y = y + w * (X[:, 4] - 1e8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of_sparse, of_dense = (lw.Ridge(0.01).fit(Z, y, w) for Z in (sparse.csr_array(X), X))
    assert far(of_sparse, of_dense) < 1e-6


def test_ridge_of_a_penalty_beyond_the_data_has_the_digits_of_dense_rows() -> None:
    X, y = rows(600, 900, density=0.01)
    of_sparse, of_dense = (lw.Ridge(1.0).fit(1e-9 * Z, y) for Z in (sparse.csr_array(X), X))
    assert far(of_sparse, of_dense) < 1e-6


def test_least_squares_of_no_coefficient_below_zero_runs_away_nowhere() -> None:
    X, y = rows(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = lw.LinearRegression(positive=True).fit(X, y)
    least = nnls(X - X.mean(axis=0), y - y.mean())[1] ** 2
    assert ((model.predict(X) - y) ** 2).sum() < least + 1e-6 * (y @ y)


def test_sparse_moments_of_no_rows_are_empty_or_refused() -> None:
    with suppress(lw.errors.LeastwiseError):
        assert sparse_moments(sparse.csr_array((0, 5)), []).n == 0
