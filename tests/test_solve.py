"""Least squares: the optimality condition itself, rank said aloud, scale that never matters."""

from __future__ import annotations

import numpy as np
import pytest

import leastwise as lw
from leastwise.solve import least_squares, squared_error

SEED = 11


def problem(n=200, p=4, k=1, noise=1.0):
    r = np.random.default_rng(SEED)
    X = r.normal(size=(n, p)) @ (np.eye(p) + 0.3 * r.normal(size=(p, p)))
    return X, X @ r.normal(size=(p, k)) + noise * r.normal(size=(n, k)) + 3.0


def solve(X, Y, w=None, **options):
    return least_squares(lw.Moments.of(X, Y, w), **options)


def gradient(X, Y, s, w=None):
    """The normal equations: what the residuals have in common with each column; 0 at the minimum."""
    w = np.ones(len(X)) if w is None else w
    residual = s.predict(X) - Y
    ones = np.ones((len(X), 1)) if s.fits_intercept else np.empty((len(X), 0))
    A = np.column_stack([ones, X[:, s.kept]])
    scale = np.outer(np.linalg.norm(A, axis=0), np.linalg.norm(Y, axis=0))
    return (A.T @ (w[:, None] * residual)) / scale


@pytest.mark.parametrize("n", [2, 5, 6, 50, 5_000])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_residuals_have_nothing_in_common_with_any_column(n, k, intercept):
    X, Y = problem(n, k=k)
    s = solve(X, Y, intercept=intercept)
    assert np.abs(gradient(X, Y, s)).max() < 1e-12


def test_weights_weigh_the_normal_equations():
    X, Y = problem()
    w = np.random.default_rng(0).random(len(X))
    assert np.abs(gradient(X, Y, solve(X, Y, w), w)).max() < 1e-12


def test_a_whole_weight_is_a_repetition_for_the_coefficients():
    X, Y = problem(60)
    w = np.random.default_rng(0).integers(1, 4, 60)
    twice = np.repeat(np.arange(60), w)
    np.testing.assert_allclose(solve(X, Y, w).coef, solve(X[twice], Y[twice]).coef, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_the_unit_of_a_column_changes_neither_rank_nor_fit(scale):
    X, Y = problem()
    units = np.array([1.0, scale, 1.0, 1 / scale])
    plain, scaled = solve(X, Y), solve(X * units, Y)
    np.testing.assert_array_equal(plain.kept, scaled.kept)
    np.testing.assert_allclose(scaled.coef * units, plain.coef, rtol=1e-10)
    np.testing.assert_allclose(scaled.rss, plain.rss, rtol=1e-12)


def dependent(X):
    names = {
        "twice the same": X[:, 0],
        "three times another": 3 * X[:, 1],
        "a sum": X[:, 0] + X[:, 2],
        "another unit": 1.8 * X[:, 1] + 32,
        "in small units": 1e-9 * (X[:, 0] - 2 * X[:, 3]),
    }
    return [pytest.param(column, id=name) for name, column in names.items()]


@pytest.mark.parametrize("column", dependent(problem()[0]))
def test_the_later_of_dependent_columns_is_left_out_and_named(column):
    X, Y = problem()
    s = solve(np.column_stack([X, column]), Y)
    assert s.dropped == ("x4",)
    assert s.coef[0, 4] == 0
    np.testing.assert_allclose(s.coef[:, :4], solve(X, Y).coef, rtol=1e-10)
    assert "1 dependent column left out" in s.outcome


@pytest.mark.parametrize("column", dependent(problem()[0]))
def test_rank_error_names_the_columns(column):
    X, Y = problem()
    with pytest.raises(lw.errors.RankError, match=r"'x4' is a combination .* rank='drop'"):
        solve(np.column_stack([X, column]), Y, rank="error")


@pytest.mark.parametrize("column", dependent(problem()[0]))
def test_min_norm_is_the_shortest_of_all_solutions(column):
    X, Y = problem()
    X = np.column_stack([X, column])
    s = solve(X, Y, rank="min-norm")
    centred = X - X.mean(axis=0)
    shortest = np.linalg.pinv(centred, rcond=1e-12) @ (Y - Y.mean(axis=0))
    np.testing.assert_allclose(s.coef, shortest.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(s.predict(X), solve(X[:, :4], Y).predict(X[:, :4]), rtol=1e-9)
    assert np.linalg.norm(s.coef) <= np.linalg.norm(solve(X, Y).coef) * (1 + 1e-12)


def test_a_constant_column_is_left_out_and_named():
    X, Y = problem()
    s = solve(np.column_stack([X, np.full(len(X), 0.1)]), Y)
    assert s.constant == ("x4",)
    assert s.dropped == ()
    np.testing.assert_allclose(s.coef[:, :4], solve(X, Y).coef, rtol=1e-12)


def test_a_constant_column_is_the_intercept_where_there_is_none():
    X, Y = problem()
    with_ones = solve(np.column_stack([X, np.ones(len(X))]), Y, intercept=False)
    plain = solve(X, Y)
    np.testing.assert_allclose(with_ones.coef[0, :4], plain.coef[0], rtol=1e-11)
    np.testing.assert_allclose(with_ones.coef[0, 4], plain.intercept[0], rtol=1e-11)


def test_all_levels_beside_an_intercept_leave_the_last_out():
    X, Y = problem(300)
    levels = np.eye(3)[np.arange(300) % 3]
    s = solve(np.column_stack([X, levels]), Y)
    assert s.dropped == ("x6",)


@pytest.mark.parametrize("rank", ["drop", "min-norm"])
@pytest.mark.parametrize(("n", "p"), [(10, 40), (3, 5), (30, 29), (30, 30), (2, 3)])
def test_few_rows_are_met_exactly(n, p, rank):
    X, Y = problem(n, p)
    s = solve(X, Y, rank=rank)
    np.testing.assert_allclose(s.predict(X), Y, rtol=1e-8, atol=1e-8)
    assert s.rank == min(n - 1, p)
    assert "says nothing about new rows" in s.outcome


def test_the_dual_gives_the_shortest_coefficients():
    X, Y = problem(30, 100)
    s = solve(X, Y, rank="min-norm")
    centred = X - X.mean(axis=0)
    np.testing.assert_allclose(s.coef.T, np.linalg.pinv(centred) @ (Y - Y.mean(axis=0)), rtol=1e-9)


def test_rows_or_moments_give_the_same_answer():
    X, Y = problem(12, 20)
    thin = lw.Moments.of(X, Y)
    more = lw.Moments.of(*problem(60, 20))
    dense = (thin + more) - more  # the same rows, now as a matrix
    assert type(thin.whole) is not type(dense.whole)
    a, b = least_squares(thin, rank="min-norm"), least_squares(dense, rank="min-norm")
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-6)


def test_one_row_is_its_own_mean():
    s = solve(np.array([[1.0, 2.0]]), np.array([5.0]))
    assert s.rank == 0
    assert s.intercept[0] == 5.0
    np.testing.assert_array_equal(s.coef, 0)


@pytest.mark.parametrize(("n", "p"), [(200, 4), (12, 20)])
def test_squared_error_of_any_coefficients_is_that_of_the_rows(n, p):
    X, Y = problem(n, p, k=2)
    r = np.random.default_rng(1)
    m = lw.Moments.of(X, Y)
    for size in (0.0, 1e-3, 1.0, 1e3):
        coef, intercept = size * r.normal(size=(2, p)), size * r.normal(size=2)
        truth = ((X @ coef.T + intercept - Y) ** 2).sum(axis=0)
        np.testing.assert_allclose(squared_error(m, coef, intercept), truth, rtol=1e-10)


def test_squared_error_keeps_its_digits_where_the_fit_is_close():
    X, Y = problem(noise=1e-5)
    s = solve(X, Y)
    truth = ((s.predict(X) - Y) ** 2).sum(axis=0)
    # noise / signal is 1e-5: y'y - 2 b'c + b'Gb would have no more than 6 digits, and may be negative
    np.testing.assert_allclose(s.rss, truth, rtol=1e-4)
    np.testing.assert_allclose(squared_error(lw.Moments.of(X, Y), s.coef, s.intercept), truth, rtol=1e-4)


def test_squared_error_does_not_mind_dependent_columns():
    X, Y = problem()
    X = np.column_stack([X, X[:, 0] + X[:, 1], np.ones(len(X))])
    coef, intercept = np.random.default_rng(2).normal(size=(1, 6)), np.array([0.5])
    truth = ((X @ coef.T + intercept - Y) ** 2).sum(axis=0)
    np.testing.assert_allclose(squared_error(lw.Moments.of(X, Y), coef, intercept), truth, rtol=1e-11)


def test_condition_is_that_of_the_centred_unit_columns():
    X, Y = problem(p=3)
    unit = (X - X.mean(axis=0)) / (X - X.mean(axis=0)).std(axis=0)
    # the estimate is of the 1-norm: right within a factor p
    assert 1 / 3 <= solve(X, Y).condition / np.linalg.cond(unit) <= 3


def test_rank_of_an_unknown_kind_is_refused():
    X, Y = problem()
    with pytest.raises(lw.errors.UsageError, match="rank='pinv' is not known"):
        solve(X, Y, rank="pinv")
