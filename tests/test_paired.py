"""X'WX by pairs of stored values: against the dense product, in any order, with any number of threads."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

from leastwise import paired
from leastwise.errors import DataError, UsageError
from leastwise.moments import Moments
from leastwise.paired import fields, gram_of_codes, gram_of_rows
from leastwise.sparse import sparse_moments


def dense(X: Any, w: np.ndarray | None = None) -> np.ndarray:
    """The twin: one outer product a row, in the longest float there is."""
    found = np.zeros((X.shape[1],) * 2, np.longdouble)
    for i, row in enumerate(X.toarray().astype(np.longdouble)):
        found += np.multiply.outer(row, row) * (1 if w is None else w[i])
    return found.astype(np.float64)


def some_rows(n: int = 60, p: int = 40, density: float = 0.2, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return sparse.csr_array(
        sparse.random_array((n, p), density=density, rng=rng, data_sampler=rng.standard_normal)
    )


def one_hot(codes: np.ndarray, levels: int) -> Any:
    """A one for each code of 0 and more."""
    n, L = codes.shape
    row, place = np.nonzero(codes >= 0)
    column = place * levels + codes[row, place]
    return sparse.csr_array((np.ones(len(row)), (row, column)), shape=(n, L * levels))


def some_codes(n: int = 9_000, L: int = 7, levels: int = 5, seed: int = 0) -> np.ndarray:
    """With a twentieth of none, and a level that never comes."""
    codes = np.random.default_rng(seed).integers(0, levels, (n, L))
    codes[codes == 2] = 3
    codes[np.random.default_rng(seed + 1).random((n, L)) < 0.05] = -1
    return codes


# ---- any rows ----


@pytest.mark.parametrize("shape", [(60, 40), (1, 30), (400, 3), (3, 200), (0, 4), (4, 0), (5, 1)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_pairs_of_stored_values_add_up_to_the_dense_product(shape: Any, weighted: bool) -> None:
    X = some_rows(*shape, density=0.3)
    w = np.random.default_rng(1).uniform(0, 2, shape[0]) if weighted else None
    G = gram_of_rows(X, w)
    np.testing.assert_allclose(G, dense(X, w), rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(G, G.T)


@given(st.integers(0, 12), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_sums_of_integers_are_exact(n: int, p: int, seed: int) -> None:
    X = np.random.default_rng(seed).integers(-3, 4, (n, p)).astype(float)
    np.testing.assert_array_equal(gram_of_rows(sparse.csr_array(X)), X.T @ X)


def test_values_out_of_order_or_stored_twice_count_as_their_sum_and_are_left_alone() -> None:
    X = sparse.csr_array((np.arange(1.0, 6.0), [3, 1, 1, 3, 0], [0, 3, 5]), shape=(2, 5))
    before = X.data.copy(), X.indices.copy()
    np.testing.assert_array_equal(gram_of_rows(X), dense(X))
    np.testing.assert_array_equal(X.data, before[0])
    np.testing.assert_array_equal(X.indices, before[1])


@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.float32])
def test_other_kinds_of_numbers_are_summed_in_float64(kind: Any) -> None:
    X = sparse.csr_array(some_rows(300, 30, 0.5) * 100).astype(kind)
    np.testing.assert_allclose(gram_of_rows(X), dense(X), rtol=1e-13, atol=1e-8)


def test_indices_of_64_bits_give_the_same() -> None:
    X = some_rows()
    Y = X.copy()
    Y.indices, Y.indptr = Y.indices.astype(np.int64), Y.indptr.astype(np.int64)
    np.testing.assert_array_equal(gram_of_rows(X), gram_of_rows(Y))


def test_what_is_not_finite_shows_where_it_is() -> None:
    X = sparse.csr_array([[1.0, np.nan, 0.0], [2.0, 0.0, 1.0]])
    assert np.isnan(gram_of_rows(X)).tolist() == [[False, True, False], [True, True, False], [False] * 3]


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    X, w = some_rows(500, 60), np.random.default_rng(2).uniform(0.1, 3, 500)
    whole = gram_of_rows(X, w)
    monkeypatch.setattr(paired, "_rows_at_once", lambda X: 7)
    np.testing.assert_array_equal(gram_of_rows(X, w), whole)


@pytest.mark.parametrize("way", ["rows", "codes"])
def test_the_number_of_threads_changes_no_bit(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, n = (some_rows(3_000, 90), 3_000) if way == "rows" else (one_hot(some_codes(), 5), 9_000)
    w = np.random.default_rng(3).uniform(0.1, 3, n)
    monkeypatch.setattr(paired, "FEW", 0)
    found = []
    for threads in ("1", "2", "3", "8"):
        monkeypatch.setenv("LEASTWISE_THREADS", threads)
        found.append(gram_of_rows(X, w))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


# ---- one code a field ----


@pytest.mark.parametrize("shape", [(9_000, 7), (40, 1), (1, 5), (0, 3), (3, 0), (100, 2)], ids=str)
def test_codes_give_the_exact_gram_of_their_one_hot(shape: tuple[int, int]) -> None:
    codes = some_codes(*shape)
    X = one_hot(codes, 5).toarray()
    np.testing.assert_array_equal(gram_of_codes(codes, 5), X.T @ X)
    w = np.random.default_rng(1).uniform(0, 2, len(codes))
    np.testing.assert_allclose(gram_of_codes(codes, 5, w), X.T @ (w[:, None] * X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("L", [6, 7])
def test_one_hot_rows_are_found_with_holes_and_levels_that_never_come(L: int) -> None:
    codes = some_codes(L=L)
    X = one_hot(codes, 5)
    found = fields(X)
    assert found is not None
    assert len(found.starts) == L + 1
    assert len(found.columns) == 4 * L
    np.testing.assert_array_equal(gram_of_rows(X), (X.T @ X).toarray())
    w = np.random.default_rng(1).uniform(0, 2, len(codes))
    np.testing.assert_allclose(gram_of_rows(X, w), paired._of_values(X, w), rtol=1e-12)


def test_fields_may_have_different_numbers_of_columns() -> None:
    codes = some_codes()
    codes[:, 2:4] = np.minimum(codes[:, 2:4], 0)
    X = one_hot(codes, 5)
    assert np.diff(fields(X).starts).tolist() == [4, 4, 1, 1, 4, 4, 4]
    np.testing.assert_array_equal(gram_of_rows(X), (X.T @ X).toarray())


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_no_row_has_two_ones_in_one_run_and_no_run_could_go_on(seed: int, p: int) -> None:
    X = sparse.csr_array((np.random.default_rng(seed).random((12, p)) < 0.4).astype(float))
    seen, before = paired._before(X.indptr, X.indices, p)
    columns = np.flatnonzero(seen)
    assume(len(columns) > 0)
    starts, S = paired._runs(before[columns], columns), X.toarray()[:, columns]
    for first, end in pairwise(starts):
        assert S[:, first:end].sum(axis=1).max() == 1
        if end < len(columns):
            assert S[:, first : end + 1].sum(axis=1).max() == 2


def test_rows_that_are_no_codes_are_left_to_pairs() -> None:
    codes = some_codes()
    assert fields(one_hot(codes, 5) * 2.0) is None  # no ones
    assert fields(one_hot(codes[:100], 5)) is None  # fewer rows than a table has cells
    assert fields(one_hot(np.arange(18_000).reshape(-1, 2) % 40, 40)) is None  # more than 32 levels
    some = sparse.csr_array((some_rows(5_000, 60, 0.1) != 0).astype(float))
    assert fields(some) is None  # runs of one or two columns


def test_what_cannot_be_summed_is_refused() -> None:
    with pytest.raises(DataError, match="Each row needs one weight"):
        gram_of_rows(some_rows(), np.ones(3))
    with pytest.raises(UsageError, match="Use gram_of_rows"):
        gram_of_codes(some_codes(), 33)
    with pytest.raises(UsageError, match="Pass more levels"):
        gram_of_codes(some_codes(), 4)


# ---- in the moments ----


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_of_one_hot_rows_are_those_of_the_dense_matrix(weighted: bool) -> None:
    X = one_hot(some_codes(60_000, 9, 20), 20)
    rng = np.random.default_rng(4)
    y, w = rng.normal(size=60_000), rng.uniform(0, 2, 60_000) if weighted else None
    assert sparse_moments(X, y, w) == Moments.of(X.toarray(), y, w)
