"""Ridge of stored rows for all penalties from one Krylov space: its equations hold, and gaps are true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import leastwise as lw
from leastwise import parts
from leastwise.moments import Moments
from leastwise.numerics import one_blas_thread
from leastwise.solve import shrunk
from leastwise.solve.krylov import Enough, Krylov
from leastwise.solve.penalised import Penalised, Shrinkage
from leastwise.solve.scattered import Scattered
from leastwise.sparse import sparse_moments

SHAPES = {"wide": (620, 900), "tall": (900, 620), "square": (700, 700)}
KINDS = ("plain", "units", "copies", "empty", "weighted", "two targets", "no intercept", "factors")
DECADES = np.logspace(3, -9, 13)  # of the mean eigenvalue


@pytest.fixture(autouse=True)
def _as_in_a_fit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(parts, "MANY", 50)  # rows are kept also where they are more than columns
    with one_blas_thread():
        yield


def rows(kind: str, n: int, p: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """X (n, p), Y (n, k) and weights (n,) or None, from a seed."""
    rng = np.random.default_rng([n, p, KINDS.index(kind)])
    X = rng.normal(size=(n, p)) * (rng.random((n, p)) < 0.02)
    y = X @ rng.normal(size=p) + 0.5 * rng.normal(size=n) + 3
    if kind == "units":
        X = X * 10.0 ** rng.uniform(-2, 2, size=p)
    if kind == "copies":
        X[:, 100:140] = X[:, :40]
        X[:, 140:180] = -3 * X[:, :40]
    if kind == "empty":
        X[:, ::7], X[::9] = 0.0, 0.0
    Y = np.column_stack([y, y**2]) if kind == "two targets" else y[:, None]
    return X, Y, rng.uniform(0.1, 4, size=n) if kind == "weighted" else None


def problems(kind: str, n: int, p: int) -> tuple[Penalised, Penalised]:
    """The same problem of stored rows, and of dense ones."""
    X, Y, w = rows(kind, n, p)
    factors = np.random.default_rng(1).uniform(0.2, 5, size=p) if kind == "factors" else None
    how: dict[str, Any] = {"intercept": kind != "no intercept"}
    made = sparse_moments(sparse.csr_array(X), Y, w), Moments.of(X, Y, w)
    few, full = (Penalised.of(m, Shrinkage(factors=factors), **how) for m in made)
    assert isinstance(few.X, Scattered)
    return few, full


def alphas(problem: Penalised) -> np.ndarray:
    return DECADES * problem.steepest / 2 / len(problem.columns)


def columns(problem: Penalised) -> np.ndarray:
    return problem.X[:, np.arange(len(problem.columns))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_normal_equations_hold_for_each_of_thirteen_penalties(kind: str, shape: str) -> None:
    problem, _ = problems(kind, *SHAPES[shape])
    l2, D, X = alphas(problem), problem.f2[:, None], columns(problem)
    t, gap = shrunk.shrunk(problem, l2)
    for a, one in enumerate(t):
        pull, ridge = X.T @ (problem.Y - X @ one), 2 * l2[a] * D * one
        size = np.linalg.norm(X.T @ problem.Y / np.sqrt(D), axis=0)
        # settled gaps leave of the gradient the root of 2e-15 of yy times the largest eigenvalue at most
        assert (np.linalg.norm((pull - ridge) / np.sqrt(D), axis=0) <= 1e-7 * size).all()
    assert (gap <= shrunk.SETTLED * problem.yy).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_stored_rows_are_answered_as_dense_ones_and_gaps_are_bounds(kind: str, shape: str) -> None:
    problem, full = problems(kind, *SHAPES[shape])
    l2, X = alphas(problem), columns(problem)
    (t, gap), (known, off) = shrunk.shrunk(problem, l2), shrunk.shrunk(full, l2)
    some = DECADES >= 1e-4
    size = np.abs(known[some]).max(axis=1, keepdims=True)
    assert (np.abs(t - known)[some] <= 1e-8 * size).all()
    # the gaps say how near X t is, and by the penalty's root what no row feels; nine digits are rounding
    near = np.sqrt(2 * gap) + np.sqrt(2 * off) + 1e-9 * np.sqrt(problem.yy)
    assert (np.linalg.norm(X @ (t - known), axis=1) <= near).all()
    apart = np.linalg.norm(np.sqrt(problem.f2)[:, None] * (t - known), axis=1)
    assert (apart * np.sqrt(2 * l2)[:, None] <= near).all()
    value, least = (
        np.array([objective(problem, X, l2[a], one) for a, one in enumerate(of)]) for of in (t, known)
    )
    assert (value - least <= gap + 1e-13 * problem.yy).all()


def objective(problem: Penalised, X: np.ndarray, l2: float, t: np.ndarray) -> np.ndarray:
    r = problem.Y - X @ t
    return np.asarray((r**2).sum(axis=0) / 2 + l2 * (problem.f2[:, None] * t**2).sum(axis=0))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_slow_twin_that_stacks_the_penalty_under_the_rows_says_the_same(shape: str) -> None:
    problem, _ = problems("plain", *SHAPES[shape])
    l2, root = alphas(problem)[[2, 6, 10]], np.sqrt(problem.f2)
    t, _ = shrunk.shrunk(problem, l2)
    for one, at in zip(t[:, :, 0], l2, strict=True):
        stacked = np.vstack([columns(problem), np.diag(np.sqrt(2 * at) * root)])
        aims = np.append(problem.Y[:, 0], np.zeros(len(root)))
        twin = np.linalg.lstsq(stacked, aims)[0]
        np.testing.assert_allclose(one, twin, atol=1e-9 * np.abs(twin).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_penalty_alone_in_any_order_and_once_more_gives_the_same(shape: str) -> None:
    problem, _ = problems("plain", *SHAPES[shape])
    l2 = alphas(problem)
    t, gap = shrunk.shrunk(problem, l2)
    again, gap_again = shrunk.shrunk(problem, l2)
    np.testing.assert_array_equal(t, again)
    np.testing.assert_array_equal(gap, gap_again)
    turned, _ = shrunk.shrunk(problem, l2[::-1])
    np.testing.assert_allclose(turned[::-1], t, atol=1e-9 * np.abs(t).max())
    for a in (0, 5, 12):
        alone, _ = shrunk.shrunk(problem, l2[a : a + 1])
        np.testing.assert_allclose(alone[0], t[a], atol=1e-9 * np.abs(t[a]).max())


@pytest.mark.parametrize("most", [0, 1, 5, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_few_steps_leave_is_solved_by_the_matrix(
    shape: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, full = problems("two targets", *SHAPES[shape])
    l2 = alphas(problem)
    monkeypatch.setattr(shrunk, "_steps", lambda *_: most)
    t, gap = shrunk.shrunk(problem, l2)
    known, _ = shrunk.shrunk(full, l2)
    assert (gap <= shrunk.SETTLED * problem.yy).all()
    assert (np.abs(t - known) <= 1e-8 * np.abs(known).max(axis=1, keepdims=True)).all()


@pytest.mark.parametrize("most", [0, 1, 5, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_gaps_of_too_few_steps_are_bounds_all_the_same(shape: str, most: int) -> None:
    problem, full = problems("two targets", *SHAPES[shape])
    l2, X = alphas(problem), columns(problem)
    t, gap = shrunk._by_krylov(problem, l2, most)
    known, _ = shrunk.shrunk(full, l2)
    for a, (one, best) in enumerate(zip(t, known, strict=True)):
        above = objective(problem, X, l2[a], one) - objective(problem, X, l2[a], best)
        assert (above <= gap[a] + 1e-13 * problem.yy).all()
    assert (gap > shrunk.SETTLED * problem.yy).any()


def test_a_target_that_does_not_vary_or_meets_no_column_is_zero() -> None:
    rng = np.random.default_rng(7)
    S = sparse.random_array((700, 800), density=0.02, rng=rng).tocsr()
    S = sparse.vstack([S, sparse.csr_array((2, 800))]).tocsr()
    alone = np.zeros(702)
    alone[-2:] = 1.0, -1.0  # rows in which nothing is stored
    problem = Penalised.of(sparse_moments(S, np.column_stack([alone, np.full(702, 4.0)])), Shrinkage())
    t, gap = shrunk.shrunk(problem, alphas(problem))
    assert np.abs(problem.X @ t[-1]).max() < 1e-12
    assert (gap[:, 0] <= shrunk.SETTLED * problem.yy[0]).all()
    np.testing.assert_array_equal(t[..., 1], 0.0)
    np.testing.assert_array_equal(gap[:, 1], 0.0)


# ---- the space itself ----


def space(most: int, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray, Krylov]:
    rng = np.random.default_rng(3)
    M, b = rng.normal(size=(60, 80)) * np.logspace(0, -3, 80), rng.normal(size=60)
    return M, b, Krylov.of(M, b, shifts, Enough(np.zeros(len(shifts))), most)


@pytest.mark.parametrize("most", [1, 2, 17, 60])
def test_directions_are_orthonormal_and_pivots_are_those_of_the_tridiagonal_matrix(most: int) -> None:
    shifts = np.array([10.0, 1e-3, 1e-9])
    M, b, found = space(most, shifts)
    U = found.U
    np.testing.assert_allclose(U.T @ U, np.eye(most), atol=1e-13)
    np.testing.assert_allclose(U[:, 0], b / np.linalg.norm(b), rtol=1e-14)
    T = U.T @ M @ M.T @ U
    np.testing.assert_allclose(T - np.tril(np.triu(T, -1), 1), 0.0, atol=1e-11)
    for a, s in enumerate(shifts):  # L D L' of the tridiagonal matrix
        L = np.eye(most) + np.diag(found.ratios[:-1, a], -1)
        made = L @ np.diag(found.pivots[:, a]) @ L.T
        np.testing.assert_allclose(made, T + s * np.eye(most), atol=1e-11)


@pytest.mark.parametrize("most", [1, 2, 17])
def test_what_is_left_is_orthogonal_to_the_space(most: int) -> None:
    shifts = np.array([10.0, 1e-3, 1e-9])
    M, b, found = space(most, shifts)
    w = found.answers
    left = b[:, None] - M @ (M.T @ w) - shifts * w
    np.testing.assert_allclose(found.U.T @ left, 0.0, atol=1e-7)  # w is large where a shift is small


def test_steps_end_when_the_smallest_shift_is_settled_and_not_before() -> None:
    rng = np.random.default_rng(4)
    M, b = rng.normal(size=(300, 400)), rng.normal(size=300)
    goal = Enough(np.full(2, 1e-16 * (b @ b)))
    slow, quick = (Krylov.of(M, b, np.array([1e6, s]), goal, 300) for s in (1e-6, 1e3))
    assert len(quick) < len(slow)
    w = slow.answers
    left = b[:, None] - M @ (M.T @ w) - np.array([1e6, 1e-6]) * w
    assert (np.linalg.norm(left, axis=0) <= 1.1e-8 * np.linalg.norm(b)).all()


def test_few_values_of_a_matrix_take_as_many_steps() -> None:
    M = np.diag(np.repeat([1.0, 2.0, 5.0], 40))
    b = np.random.default_rng(5).normal(size=120)
    found = Krylov.of(M, b, np.logspace(2, -10, 50), Enough(np.full(50, 1e-24 * (b @ b))), 120)
    assert len(found) == 3


# ---- what it is for ----


def variants(n: int = 900, positions: int = 60) -> tuple[Any, np.ndarray]:
    """One-hot rows as those of variants of one protein: one letter in, one letter out."""
    rng = np.random.default_rng(6)
    place, letter = rng.integers(0, positions, size=n), rng.integers(1, 20, size=n)
    at = np.concatenate([place * 20 + letter, place * 20])
    S = sparse.csr_array((np.repeat([1.0, -1.0], n), (np.tile(np.arange(n), 2), at)))
    return S, rng.normal(size=positions)[place] + rng.normal(size=n)


def test_no_matrix_is_made_for_a_path_of_many_penalties(monkeypatch: pytest.MonkeyPatch) -> None:
    S, y = variants()
    problem = Penalised.of(sparse_moments(S, y), Shrinkage())
    l2 = np.geomspace(1e3, 1e-8, 100) * problem.steepest / 2 / len(problem.columns)
    monkeypatch.setattr(shrunk, "_by_matrix", None)
    monkeypatch.setattr(shrunk, "_by_gradients", None)
    t, gap = shrunk.shrunk(problem, l2)
    assert t.shape == (100, len(problem.columns), 1)
    assert (gap <= shrunk.SETTLED * problem.yy).all()


def test_the_penalty_that_folds_choose_is_that_of_dense_rows() -> None:
    S, y = variants()
    of_sparse, of_dense = (
        lw.RidgeCV(alphas=np.logspace(-3, 3, 13), cv=4).fit(X, y) for X in (S, S.toarray())
    )
    assert of_sparse.alpha_ == of_dense.alpha_
    np.testing.assert_allclose(of_sparse.coef_, of_dense.coef_, atol=1e-8)


def test_a_small_penalty_of_many_stored_rows_and_columns_reaches_its_optimum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Conjugate gradients without orthogonality missed it, in coefficients by a thousandth."""
    rng = np.random.default_rng(0)
    S = sparse.random_array(
        (1_500, 2_000), density=0.006, rng=rng, data_sampler=rng.standard_normal
    ).tocsr()
    y = S[:, :200].sum(axis=1) + rng.normal(size=1_500)
    known = lw.Ridge(1e-4).fit(S.toarray(), y).coef_
    monkeypatch.setattr(shrunk, "MOST_ROWS", 1_000)
    np.testing.assert_allclose(lw.Ridge(1e-4).fit(S, y).coef_, known, atol=1e-8 * np.abs(known).max())
