"""The laws of Moments: what adding, taking away, shifting and weighting may and may not change."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import leastwise as lw
from leastwise.moments import Moments
from leastwise.numerics import gram
from leastwise.parts import Dense, Thin
from leastwise.solve import least_squares

SEED = 7


def rows(n, p=3, k=1, *, mean=0.0, seed=SEED):
    r = np.random.default_rng(seed)
    X = r.normal(size=(n, p)) + mean
    Y = X @ r.normal(size=(p, k)) + r.normal(size=(n, k))
    return X, Y


def naive(X, Y, w=None):
    """The slow, obvious twin: exact sums in rational arithmetic, then deviations from the mean."""
    Z = [[Fraction(v) for v in row] for row in np.column_stack([X, Y]).tolist()]
    w = [Fraction(1)] * len(Z) if w is None else [Fraction(v) for v in np.asarray(w).tolist()]
    total = sum(w)
    q = range(len(Z[0]))
    mean = [sum(wi * z[j] for wi, z in zip(w, Z, strict=True)) / total for j in q]
    comoment = [
        [sum(wi * (z[i] - mean[i]) * (z[j] - mean[j]) for wi, z in zip(w, Z, strict=True)) for j in q]
        for i in q
    ]
    return np.array(mean, float), np.array(comoment, float)


def assert_digits(found, truth, digits):
    """Equal to so many digits of the largest entry."""
    assert np.abs(found - truth).max() <= 10.0**-digits * np.abs(truth).max()


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e8])
def test_means_and_comoments_are_those_of_exact_arithmetic(mean):
    X, Y = rows(200, mean=mean)
    m = lw.Moments.of(X, Y)
    mean_, comoment = naive(X, Y)
    assert_digits(m.mean, mean_, 15)
    # rounding x - shift costs nothing (Sterbenz); what is left is sqrt(n) roundings of the products
    assert_digits(m.comoment, comoment, 12)


def test_empty_and_a_is_a_and_two_empties_are_empty():
    X, Y = rows(50)
    a = lw.Moments.of(X, Y)
    none = Moments.empty(a.names, a.targets)
    assert none + a == a
    assert a + none == a
    assert none + none == none
    assert (none + none).n == 0
    assert sum([none, none, a]) == a


def test_moments_of_no_rows_are_empty():
    X, Y = rows(0)
    assert lw.Moments.of(X, Y) == Moments.empty(("x0", "x1", "x2"), ("y",))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.lists(st.integers(0, 60), max_size=6),
    st.permutations(range(7)),
    st.sampled_from([0.0, -1e4, 1e7]),
)
def test_any_split_in_any_order_gives_the_same_moments(n, cuts, order, mean):
    X, Y = rows(n, mean=mean)
    edges = sorted({0, n, *(c % (n + 1) for c in cuts)})
    parts = [lw.Moments.of(X[a:b], Y[a:b]) for a, b in pairwise(edges)]
    shuffled = [parts[i] for i in order if i < len(parts)]
    assert sum(shuffled) == lw.Moments.of(X, Y)


def test_one_row_parts_add_up():
    X, Y = rows(300, mean=1e6)
    total = sum(lw.Moments.of(X[i : i + 1], Y[i : i + 1]) for i in range(300))
    assert total == lw.Moments.of(X, Y)


def test_adding_and_taking_away_gives_back_what_was_there():
    X, Y = rows(500)
    a, b = lw.Moments.of(X[:200], Y[:200]), lw.Moments.of(X[200:], Y[200:])
    assert (a + b) - b == a
    assert (a + b) - (a + b) == Moments.empty(a.names, a.targets)
    assert a - Moments.empty(a.names, a.targets) == a


def test_what_is_left_has_an_error_of_what_was_there():
    X, Y = rows(20_100)
    a, b = lw.Moments.of(X[:100], Y[:100]), lw.Moments.of(X[100:], Y[100:])
    left = (a + b) - b
    # 1e-16 of 20,100 rows, seen in 100 of them
    assert_digits(left.comoment, a.comoment, 16 - np.log10(201) - 1)


def test_more_cannot_be_taken_away_than_was_added():
    X, Y = rows(20)
    few, many = lw.Moments.of(X[:5], Y[:5]), lw.Moments.of(X, Y)
    with pytest.raises(lw.errors.MomentsError, match="20 rows cannot be taken away from 5"):
        _ = few - many


def test_a_whole_weight_is_a_repetition():
    X, Y = rows(40)
    w = np.random.default_rng(SEED).integers(0, 4, 40).astype(float)
    repeated = np.repeat(np.arange(40), w.astype(int))
    weighted, plain = lw.Moments.of(X, Y, w), lw.Moments.of(X[repeated], Y[repeated])
    assert weighted.weight == plain.weight
    assert_digits(weighted.mean, plain.mean, 14)
    assert_digits(weighted.comoment, plain.comoment, 13)
    assert weighted.n == np.count_nonzero(w)


def test_weights_enter_as_they_do_in_exact_arithmetic():
    X, Y = rows(30)
    w = np.random.default_rng(SEED).random(30)
    m = lw.Moments.of(X, Y, w)
    mean, comoment = naive(X, Y, w)
    assert_digits(m.mean, mean, 14)
    assert_digits(m.comoment, comoment, 13)


@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_float32_rows_are_added_up_in_float64(mean):
    X, Y = rows(5_000, mean=mean)
    X, Y = X.astype(np.float32), Y.astype(np.float32)
    exact = lw.Moments.of(X.astype(np.float64), Y.astype(np.float64))
    assert lw.Moments.of(X, Y) == exact


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, bool, np.float16])
def test_small_kinds_do_not_overflow(kind):
    X = np.random.default_rng(SEED).integers(0, 120, (300, 2)).astype(kind)
    y = X[:, 0].astype(float)
    assert lw.Moments.of(X, y) == lw.Moments.of(X.astype(np.float64), y)


def test_moments_about_another_shift_are_the_same_moments():
    X, Y = rows(100, mean=5.0)
    m = lw.Moments.of(X, Y)
    moved = m.about(m.shift + 3.0)
    assert moved == m
    assert_digits(moved.mean, m.mean, 14)
    assert_digits(moved.comoment, m.comoment, 13)


def test_different_rows_are_not_equal():
    X, Y = rows(100)
    other = X.copy()
    other[3, 1] += 1e-6
    assert lw.Moments.of(X, Y) != lw.Moments.of(other, Y)
    assert lw.Moments.of(X, Y) != "moments"


def test_moments_of_other_columns_never_add():
    X, Y = rows(10)
    with pytest.raises(lw.errors.MomentsError, match="names differ"):
        _ = lw.Moments.of(X, Y) + lw.Moments.of(X[:, :2], Y)


def test_one_target_of_shape_n_1_is_one_target():
    X, Y = rows(50)
    assert lw.Moments.of(X, Y) == lw.Moments.of(X, Y[:, 0])


def test_several_targets_are_kept_apart():
    X, Y = rows(50, k=3)
    m = lw.Moments.of(X, Y)
    assert m.targets == ("y0", "y1", "y2")
    for j in range(3):
        alone = lw.Moments.of(X, Y[:, j])
        assert_digits(m.comoment[:3, 3 + j], alone.comoment[:3, 3], 13)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_product_is_symmetric_to_the_last_bit_wherever_rows_live(order):
    Z = np.asarray(rows(500, p=30)[0], order=order)
    found = gram(Z)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(gram(torch.from_numpy(Z)), found)
    assert_digits(found, Z.T.copy() @ Z, 14)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n", [10, 5_000, 70_000])
def test_memory_order_and_size_do_not_matter(order, n):
    X, Y = rows(n)
    found = lw.Moments.of(np.asarray(X, order=order), Y)
    centred = np.column_stack([X, Y]) - np.column_stack([X, Y]).mean(axis=0)
    assert_digits(found.comoment, centred.T @ centred, 12)


def test_the_callers_arrays_are_left_alone():
    X, Y = rows(100)
    X.setflags(write=False)
    Y.setflags(write=False)
    before = X.copy(), Y.copy()
    lw.fit((X, Y))
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])


def test_fewer_rows_than_columns_are_kept_as_rows_and_more_are_not():
    X, Y = rows(5, p=20)
    few, many = lw.Moments.of(X, Y), lw.Moments.of(*rows(50, p=20))
    assert isinstance(few.whole, Thin)
    assert isinstance(many.whole, Dense)
    assert isinstance((few + many).whole, Dense)
    total = sum(lw.Moments.of(*rows(5, p=20, seed=s)) for s in range(6))
    assert isinstance(total.whole, Dense)
    X6 = np.concatenate([rows(5, p=20, seed=s)[0] for s in range(6)])
    Y6 = np.concatenate([rows(5, p=20, seed=s)[1] for s in range(6)])
    assert_digits(total.comoment, lw.Moments.of(X6, Y6).comoment, 13)


# ---- far from zero: where plain sums of squares lose every digit ----


@pytest.mark.parametrize("offset", [1e7, 1e8])
def test_an_offset_of_many_deviations_costs_no_more_than_rounding_the_data(offset):
    r = np.random.default_rng(SEED)
    # multiples of 2^-20 below 2^27 + 2^3: the offset rows are exact, so the truth is that of the rows
    X = np.round(r.normal(size=(4_000, 4)) * 2**20) / 2**20
    b = np.array([1.0, -2.0, 3.0, 0.5])
    y = X @ b + r.normal(size=4_000)
    plain = least_squares(lw.Moments.of(X, y)).coef[0]
    far = least_squares(lw.Moments.of(X + offset, y)).coef[0]
    assert_digits(far, plain, 12)


def test_parts_condensed_about_different_shifts_keep_their_digits():
    r = np.random.default_rng(SEED)
    X = np.round(r.normal(size=(4_000, 4)) * 2**20) / 2**20 + 1e8
    y = r.normal(size=4_000)
    parts = [lw.Moments.of(X[i : i + 500], y[i : i + 500]) for i in range(0, 4_000, 500)]
    whole = least_squares(lw.Moments.of(X, y)).coef[0]
    assert_digits(least_squares(sum(parts)).coef[0], whole, 11)


# ---- missing numbers: linear maps after the pass ----


def filled(X, Y, columns, shift=None):
    X = np.asarray(X)
    shift = np.zeros(X.shape[1] + Y.shape[1]) if shift is None else shift
    names = tuple(f"x{j}" for j in range(X.shape[1]))
    return Moments.of_rows(names, ("y",), X, Y, None, shift, filled=columns)


def with_gaps(n=200, mean=0.0):
    X, Y = rows(n, mean=mean)
    X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
    return X, Y


@pytest.mark.parametrize("mean", [0.0, 1e8])
def test_filling_after_the_pass_is_filling_before_it(mean):
    X, Y = with_gaps(mean=mean)
    about = np.append(np.nanmean(X, axis=0), Y.mean())
    m = filled(X, Y, (0, 1, 2), about).imputed()
    before = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    mean_, comoment = naive(before, Y)
    assert_digits(m.mean, mean_, 14)
    # the mean itself is rounded at the scale of the offset: 1e8 * 1e-16 against deviations of 1
    assert_digits(m.comoment, comoment, 12 if mean == 0 else 7)


def test_filled_moments_add_up_about_any_shifts():
    X, Y = with_gaps()
    r = np.random.default_rng(2)
    parts = [filled(X[i : i + 20], Y[i : i + 20], (0, 1, 2), r.normal(size=4)) for i in range(0, 200, 20)]
    whole = filled(X, Y, (0, 1, 2))
    assert sum(parts) == whole
    assert_digits(sum(parts).imputed().comoment, whole.imputed().comoment, 12)
    assert_digits(sum(parts).mean, whole.mean, 13)


def test_filled_moments_with_other_filled_columns_never_add():
    X, Y = with_gaps()
    X[:, 2] = 0.0
    with pytest.raises(lw.errors.MomentsError, match="filled differ"):
        _ = filled(X, Y, (0, 1)) + filled(X, Y, (0, 1, 2))
