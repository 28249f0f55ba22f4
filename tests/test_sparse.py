"""Sparse rows: the answers of the same rows made dense, and no dense matrix on the way."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import leastwise as lw
from leastwise import parts
from leastwise.errors import MomentsError, UsageError
from leastwise.moments import Moments
from leastwise.numerics import content_hash
from leastwise.parts import Sparse, Thin
from leastwise.solve import least_squares, shrunk, squared_error
from leastwise.solve.missed import Missed
from leastwise.solve.paths import solve_path
from leastwise.solve.penalised import Penalised, Shrinkage
from leastwise.solve.scattered import Scattered
from leastwise.sparse import canonical, sparse_moments

MODELS = {
    "Ridge": lw.Ridge(alpha=0.3),
    "Ridge, no intercept": lw.Ridge(alpha=0.3, fit_intercept=False),
    "Lasso": lw.Lasso(alpha=0.01),
    "Lasso, positive": lw.Lasso(alpha=0.01, positive=True),
    "ElasticNet": lw.ElasticNet(alpha=0.02, fit_intercept=False),
    "LinearRegression": lw.LinearRegression(),
    "LinearRegression, no intercept": lw.LinearRegression(fit_intercept=False),
    "RidgeCV": lw.RidgeCV(alphas=(0.1, 1.0)),
    "RidgeCV, folds": lw.RidgeCV(alphas=(0.1, 1.0), cv=3),
    "LassoCV": lw.LassoCV(alphas=8, cv=3),
}
KINDS = ("plain", "weighted", "far", "constant", "integers", "twice")


def rows(kind: str = "plain", n: int = 40, p: int = 90, seed: int = 0) -> tuple[Any, Any, Any]:
    """Sparse X (n, p), y (n,), weights (n,) or None."""
    rng = np.random.default_rng(seed)
    X = sparse.random_array((n, p), density=0.06, rng=rng, data_sampler=rng.standard_normal).toarray()
    w = rng.uniform(0.2, 3, size=n) if kind == "weighted" else None
    if kind == "weighted":
        w[:3] = 0.0
    if kind == "far":  # stored everywhere, and far from zero
        X[:, 5] = 1e5 + rng.normal(size=n)
        X[:, 6] = -40 + rng.normal(size=n)
    if kind == "constant":
        X[:, 4], X[:, 8] = 3.25, 0.0
    if kind == "integers":
        X = np.round(3 * X)
    y = X @ (rng.normal(size=p) * (rng.random(p) < 0.2)) / (1e3 if kind == "far" else 1) + 2
    y = y + 0.3 * rng.normal(size=n)
    S = sparse.csr_array(X)
    if kind == "twice":  # one place stored as two halves, and one that holds a zero
        S = sparse.coo_array(X)
        i, j = S.coords
        S = sparse.csr_array(
            (np.append(S.data / 2, S.data / 2), (np.append(i, i), np.append(j, j))), shape=X.shape
        )
        raw = sparse.coo_array(S)
        S = sparse.coo_array((raw.data, raw.coords), shape=X.shape)
    return S, y, w


def same(a: Any, b: Any, tol: float = 1e-7) -> None:
    size = np.abs(np.atleast_1d(b.coef_)).max()
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=tol, atol=tol * size)
    np.testing.assert_allclose(a.intercept_, b.intercept_, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_sparse_rows_that_are_few_give_what_dense_ones_give(model: Any, kind: str) -> None:
    S, y, w = rows(kind)
    weights = () if w is None else (w,)
    if model.__class__ is lw.Lasso and model.positive:
        S = abs(S)
    of_sparse, of_dense = (clone(model).fit(X, y, *weights) for X in (S, S.toarray()))
    same(of_sparse, of_dense, 1e-5 if "CV" in type(model).__name__ else 1e-7)
    if hasattr(of_dense, "alpha_"):
        np.testing.assert_allclose(of_sparse.alpha_, of_dense.alpha_, rtol=1e-9)
    np.testing.assert_allclose(of_sparse.predict(S), of_dense.predict(S.toarray()), rtol=1e-5, atol=1e-5)


def test_the_rows_are_kept_as_they_are_stored_and_theirs_are_not_touched() -> None:
    S = sparse.csr_matrix((np.ones(4), [3, 1, 1, 3], [0, 2, 4]), shape=(2, 5))  # out of order, twice
    before = S.data.copy(), S.indices.copy(), S.indptr.copy()
    part = sparse_moments(S, [1.0, 2.0]).whole
    assert isinstance(part, Thin)  # a quarter of the places and more is stored
    S.resize(2, 50)
    part = sparse_moments(S, [1.0, 2.0]).whole
    assert isinstance(part, Sparse)
    assert part.X.nnz == 4
    for was, now in zip(before, (S.data, S.indices, S.indptr), strict=True):
        np.testing.assert_array_equal(was, now)
    twice = sparse.csr_array((np.ones(3), [3, 3, 1], [0, 3]), shape=(1, 50))
    assert canonical(twice).nnz == 2
    assert sparse_moments(twice, [1.0]).whole.size[4] == 4.0  # (1 + 1)^2


@pytest.mark.parametrize("kind", ["plain", "weighted", "far", "constant"])
def test_columns_about_their_means_multiply_as_the_matrix_does(kind: str) -> None:
    S, _, w = rows(kind)
    roots = np.ones(40) if w is None else np.sqrt(w)
    centre = (roots**2) @ S.toarray() / (roots**2).sum()
    X = Scattered.about(sparse.diags_array(roots) @ S, roots, centre)
    D = roots[:, None] * (S.toarray().astype(np.longdouble) - centre)
    size = np.sqrt((D**2).sum(axis=0).astype(float)) + 1e-300
    rng = np.random.default_rng(1)
    t, v = rng.normal(size=(90, 3)) / size[:, None], rng.normal(size=(40, 2))
    t[size < 1e-9] = 0.0
    np.testing.assert_allclose(X @ t, (D @ t).astype(float), atol=1e-11)
    np.testing.assert_allclose(
        (X.T @ v) / size[:, None], ((D.T @ v).astype(float)) / size[:, None], atol=1e-9
    )
    np.testing.assert_allclose(X.squares, (D**2).sum(axis=0).astype(float), rtol=1e-12, atol=1e-20)
    unit = np.where(size < 1e-9, 1.0, size)
    Z, E = X / unit, (D / unit).astype(float)
    np.testing.assert_allclose(Z @ Z.T, E @ E.T, atol=1e-11)
    np.testing.assert_allclose(Z[:, [7, 2, 5]], E[:, [7, 2, 5]], atol=1e-11)
    np.testing.assert_allclose(Z[:, 4:9], E[:, 4:9], atol=1e-11)
    U = np.linalg.qr(rng.normal(size=(40, 3)))[0]
    less = Z.without(U)
    np.testing.assert_allclose(less @ t, (E - U @ (U.T @ E)) @ t, atol=1e-9)
    np.testing.assert_allclose(less.squares, ((E - U @ (U.T @ E)) ** 2).sum(axis=0), atol=1e-12)


def test_free_columns_bounds_and_factors_meet_sparse_columns_as_dense_ones() -> None:
    S, y, _ = rows()
    factors, upper = np.ones(90), np.full(90, np.inf)
    factors[[2, 30]], factors[7], upper[11] = 0.0, 3.0, 0.05
    shrinkage = Shrinkage(factors=factors, upper=upper)
    l1, l2 = np.geomspace(0.2, 0.002, 6), np.full(6, 1e-3)
    of = [
        solve_path(m, l1, l2, shrinkage=shrinkage, tol=1e-12) for m in (sparse_moments(S, y), dense(S, y))
    ]
    np.testing.assert_allclose(of[0].coef, of[1].coef, atol=1e-6)
    np.testing.assert_allclose(of[0].df, of[1].df, atol=1e-6)
    np.testing.assert_allclose(of[0].rss, of[1].rss, rtol=1e-8)
    assert of[0].converged.all()


def dense(S: Any, y: Any) -> Moments:
    return Moments.of(S.toarray(), y)


def test_moments_of_stored_rows_add_up_and_are_read_as_any_others() -> None:
    S, y, _ = rows()
    Y = np.column_stack([y, 2 * y + 1e4])
    a, b = sparse_moments(S[:15], Y[:15]), sparse_moments(S[15:], Y[15:])
    both, whole = a + b, dense(S, Y)
    assert isinstance(both.whole, Sparse)
    assert both == whole
    assert both - a == dense(S[15:], Y[15:])
    np.testing.assert_allclose(both.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(both.around, whole.around, rtol=1e-12)
    np.testing.assert_allclose(both.comoment, whole.comoment, atol=1e-9)
    assert a + dense(S[15:], Y[15:]) == whole
    assert dense(S[:15], Y[:15]) + b == whole
    coef, intercept = np.random.default_rng(3).normal(size=(2, 90)), np.zeros(2)
    expected = ((S @ coef.T - Y) ** 2).sum(axis=0)
    np.testing.assert_allclose(Missed.of(both).sse(coef, intercept), expected, rtol=1e-10)
    np.testing.assert_allclose(squared_error(both, coef, intercept), expected, rtol=1e-10)
    many = sparse_moments(sparse.vstack([S] * 3), np.concatenate([y] * 3))
    assert not isinstance(many.whole, Sparse)  # more rows than columns: products are less


def test_conjugate_gradients_say_how_far_they_are_and_answer_as_the_eigenvalues_do() -> None:
    S, y, _ = rows(n=700, p=1_500, seed=4)
    problem = Penalised.of(sparse_moments(S, np.column_stack([y, y**2])), Shrinkage())
    full = Penalised.of(dense(S, np.column_stack([y, y**2])), Shrinkage())
    l2 = np.geomspace(1e-1, 1e-6, 7)
    t, gap = shrunk.shrunk(problem, l2)
    known, _ = shrunk.shrunk(full, l2)
    assert isinstance(problem.X, Scattered)
    np.testing.assert_allclose(t, known, atol=1e-7 * np.abs(known).max())
    value = [[objective(full, l2[a], one[a]) for one in (t, known)] for a in range(7)]
    for ours, least in value:
        assert (ours - least <= gap.max(axis=0) + 1e-13 * full.yy).all()
    assert (gap <= shrunk.SETTLED * problem.yy).all()


def objective(problem: Penalised, l2: float, t: np.ndarray) -> np.ndarray:
    r = problem.Y - problem.X @ t
    return (r**2).sum(axis=0) / 2 + l2 * (problem.f2[:, None] * t**2).sum(axis=0)


def test_what_gradients_leave_is_solved_in_closed_form_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    S, y, _ = rows(n=600, p=900, seed=5)
    monkeypatch.setattr(shrunk, "STEPS", 2)
    same(lw.Ridge(1e-6).fit(S, y), lw.Ridge(1e-6).fit(S.toarray(), y), 1e-6)
    monkeypatch.setattr(shrunk, "MOST_ROWS", 500)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        lw.Ridge(1e-6).fit(S, y)


@pytest.mark.parametrize("model", [lw.Ridge(), lw.Lasso(0.05), lw.LinearRegression()], ids=str)
def test_nothing_of_the_size_of_the_dense_matrix_is_made(model: Any) -> None:
    n, p = 600, 200_000  # 960 MB as a dense matrix
    rng = np.random.default_rng(6)
    at = rng.integers(0, p, size=(n, 30))
    S = sparse.csr_array((rng.normal(size=n * 30), (np.repeat(np.arange(n), 30), at.ravel())), shape=(n, p))
    y = 100 * S[:, :2_000].sum(axis=1) + rng.normal(size=n)
    clone(model).fit(S[:30, :200], y[:30])  # what is compiled or imported
    tracemalloc.start()
    model = clone(model).fit(S, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    assert np.isfinite(model.coef_).all()
    assert model.coef_.any()


def test_rows_that_depend_on_one_another_are_solved_all_the_same() -> None:
    S, y, _ = rows()
    S = sparse.vstack([S, S[:10]]).tocsr()
    y = np.append(y, y[:10] + 1)
    same(lw.LinearRegression().fit(S, y), lw.LinearRegression().fit(S.toarray(), y), 1e-6)


def test_many_stored_rows_of_many_columns_stay_rows_and_are_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    S, y, _ = rows(n=130, p=100, seed=7)
    monkeypatch.setattr(parts, "MANY", 50)
    S = sparse.csr_array(S * (S.toarray() > 0))
    moments = sparse_moments(S, y)
    assert isinstance(moments.whole, Sparse)
    assert moments.n > len(moments.names)
    for model in (lw.Ridge(1.0), lw.Lasso(0.01), lw.LinearRegression()):
        of_sparse = clone(model).fit(S, y)
        assert isinstance(of_sparse.moments_.whole, Sparse)
        same(of_sparse, clone(model).fit(S.toarray(), y))
    found, known = (least_squares(m, rank="drop") for m in (moments, dense(S, y)))
    np.testing.assert_allclose(found.coef, known.coef, atol=1e-9)
    assert found.dropped == known.dropped


# ---- rows that come later, where the penalty is chosen ----

PIECES = {
    "LassoCV": lw.LassoCV(alphas=12, cv=4),
    "ElasticNetCV": lw.ElasticNetCV(alphas=10, l1_ratio=[0.3, 0.9], cv=3),
    "RidgeCV": lw.RidgeCV(alphas=(0.01, 0.1, 1.0)),
    "RidgeCV, squares": lw.RidgeCV(alphas=(0.01, 1.0), cv=4, scoring="neg_mean_squared_error"),
}


def table(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(n, p)) + rng.normal(size=p)
    X[rng.random(X.shape) < 0.9] = 0.0
    return X, X[:, 0] - 2 * X[:, 1] + rng.normal(size=n) + 3


@pytest.mark.parametrize("scattered", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", [(90, 12), (60, 150)], ids=str)
@pytest.mark.parametrize("model", PIECES.values(), ids=PIECES)
def test_pieces_choose_the_penalty_that_one_piece_does(model: Any, shape: Any, scattered: bool) -> None:
    X, y = table(*shape)
    w = np.random.default_rng(9).uniform(0.5, 2, size=len(X))
    Z = sparse.csr_array(X) if scattered else X
    one, pieces = clone(model).partial_fit(X, y, w), clone(model)
    for at in (slice(0, 31), slice(31, 40), slice(40, None)):
        pieces.partial_fit(Z[at], y[at], w[at])
    np.testing.assert_allclose(pieces.alpha_, one.alpha_, rtol=1e-9)
    np.testing.assert_allclose(pieces.coef_, one.coef_, rtol=1e-5, atol=1e-7)
    order = np.random.default_rng(1).permutation(len(X))
    turned = clone(model).partial_fit(X[order], y[order], w[order])
    np.testing.assert_allclose(turned.coef_, one.coef_, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("model", PIECES.values(), ids=PIECES)
def test_the_folds_of_pieces_are_folds_that_scikit_learn_can_be_told(model: Any) -> None:
    X, y = table(90, 12)
    k = model.cv or 5
    label = content_hash([X, y[:, None]], 0) % np.uint64(k)
    splits = [(np.flatnonzero(label != f), np.flatnonzero(label == f)) for f in range(k)]
    told = clone(model).set_params(cv=splits).fit(X, y)
    ours = clone(model).partial_fit(X, y)
    assert ours.alpha_ == pytest.approx(told.alpha_, rel=1e-9)
    np.testing.assert_allclose(ours.coef_, told.coef_, rtol=1e-7, atol=1e-9)


def test_equal_rows_of_pieces_fall_to_one_fold() -> None:
    X, y = table(50, 6)
    model = lw.LassoCV(alphas=5, cv=3).partial_fit(np.vstack([X, X]), np.append(y, y))
    once = lw.LassoCV(alphas=5, cv=3).partial_fit(X, y)
    assert [part.n for part in model.moments_.parts] == [2 * part.n for part in once.moments_.parts]


def test_what_pieces_cannot_be_is_refused_and_nothing_is_lost() -> None:
    X, y = table(60, 6)
    by_place = lw.LassoCV(cv=3).fit(X, y)
    assert not hasattr(by_place, "partial_fit")
    with pytest.raises(AttributeError, match="Begin with partial_fit on a new model"):
        by_place.partial_fit(X, y)
    with pytest.raises(UsageError, match="Give a number"):
        lw.RidgeCV(cv=[(np.arange(30), np.arange(30, 60))]).partial_fit(X, y)
    with pytest.raises(UsageError, match="keeps no rows"):
        lw.RidgeCV(scoring="neg_mean_absolute_error").partial_fit(X, y)
    model = lw.RidgeCV(cv=3).partial_fit(X, y)
    with pytest.raises(UsageError, match="cv=4 comes after rows that were dealt to 3 folds"):
        model.set_params(cv=4).partial_fit(X, y)
    assert model.moments_.n == 60
    few = pickle.loads(pickle.dumps(lw.RidgeCV(cv=3).partial_fit(*table(20, 30))))
    with pytest.raises(MomentsError, match="could be read off"):
        few.partial_fit(*table(20, 30))


def test_hashes_of_stored_rows_are_those_of_dense_ones() -> None:
    S, y, _ = rows("far")
    Y = y[:, None]
    np.testing.assert_array_equal(content_hash([S, Y], 3), content_hash([S.toarray(), Y], 3))
    empty = sparse.csr_array((4, 7))
    np.testing.assert_array_equal(content_hash([empty], 0), content_hash([np.zeros((4, 7))], 0))
