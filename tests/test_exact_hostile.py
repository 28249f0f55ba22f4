"""Exact sums: the laws that they keep to the last bit, and the tables that float64 fails on.

The truth is that of test_exact.py. A test marked `wrong` says what is not so yet: when it comes true, the
mark has to go.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import reduce

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given
from test_exact import (
    NARROW,
    Truth,
    assert_inverse,
    assert_right,
    assert_solved,
    assert_sums,
    many,
    problems,
)
from test_hostile import SLACK

import leastwise as lw
from leastwise.moments import Moments
from leastwise.solve import least_squares

SEED = 5
HELD = Fraction(1, 2**98)  # of products of numbers that are held to 2^-100


def wrong(reason: str):
    return pytest.mark.xfail(strict=True, reason=reason)


def exact(X, y, w=None) -> Moments:
    return Moments.of(X, y, w, precision="exact")


def bits(moments: Moments) -> list:
    """The numbers of every part in the one form that a value has."""
    settled = [(part.n, part.integers) for part in moments.settled().parts]
    return [(n, of.low, of.limbs.shape, of.limbs.tobytes()) for n, of in settled]


def rows(n: int = 300):
    """Columns that take many digits: a far mean, a wide range, short decimals; and a target."""
    r = np.random.default_rng(SEED)
    wide = r.normal(size=n) * 10.0 ** np.linspace(-5, 5, n)
    X = np.column_stack([r.normal(size=n) + 1e8, wide, np.round(r.normal(size=n), 2)])
    return X, X @ [1.0, 1e-3, 2.0] + r.normal(size=n)


def frame() -> pd.DataFrame:
    X, y = rows()
    w = np.arange(len(X)) % 7 / 8 + 0.1
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": y, "w": w})


# ---- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("batch", [1, 7, 100, 300])
def test_threads_and_batches_change_no_bit(threads, batch, monkeypatch):
    monkeypatch.setenv("LEASTWISE_THREADS", threads)
    table = pa.table(frame())
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=batch))
    asked = {"weight": "w", "precision": "exact", "folds": 3}
    assert bits(lw.condense(stream, "y", **asked)) == bits(lw.condense(table, "y", **asked))


def test_neither_slabs_nor_the_order_of_the_rows_change_a_bit(monkeypatch):
    monkeypatch.setenv("LEASTWISE_THREADS", "3")
    X, y = rows(700_000)
    X[:, 2] = 4194303.0  # digits as large as they can be, in more blocks than are gathered at once
    order = np.random.default_rng(0).permutation(len(X))
    parts = [exact(X[r], y[r]) for r in np.array_split(order, 7)]
    found = exact(X, y)
    assert bits(found) == bits(reduce(Moments.__add__, parts[::-1]))
    ints, exponent = found.whole.ints
    assert int(ints[3, 3]) * Fraction(2) ** exponent == 700_000 * 4194303**2


def test_what_was_added_is_taken_away_without_a_trace():
    X, y = rows()
    a, b = exact(X[:50], y[:50]), exact(X[50:] * 1e-20, y[50:] * 1e20)
    assert bits((a + b) - b) == bits(a)
    assert bits((a + b) - a) == bits(b)


def test_empty_parts_change_nothing():
    X, y = rows()
    a, none = exact(X, y), exact(X[:0], y[:0])
    assert none + none == none
    assert bits(none + a) == bits(a + none) == bits(a)
    assert bits(a - none) == bits(a)
    assert bits(a - a) == bits(none)


def test_a_whole_weight_is_a_row_repeated_to_the_last_bit():
    X, y = rows()
    w = np.random.default_rng(0).integers(0, 4, len(X))
    weighted, repeated = exact(X, y, w), exact(np.repeat(X, w, axis=0), np.repeat(y, w))
    assert weighted.whole.integers.same(repeated.whole.integers)


def test_folds_add_up_to_the_rows_and_parts_to_the_folds():
    table = frame()
    asked = {"weight": "w", "precision": "exact", "seed": 1}
    dealt, plain = lw.condense(table, "y", folds=4, **asked), lw.condense(table, "y", folds=0, **asked)
    assert bits(replace(dealt, parts=(dealt.whole,), plan=None)) == bits(plain)
    assert bits(dealt.training(2) + dealt.fold(2)) == bits(plain)
    halves = [lw.condense(table[a:b], "y", folds=4, **asked) for a, b in ((0, 11), (11, 300))]
    assert bits(halves[1] + halves[0]) == bits(dealt)


def test_exact_moments_about_another_shift_are_the_same_moments():
    X, y = rows()
    shifted = exact(X, y).about(np.array([1e8, 0.0, 0.5, -1.0]))
    assert least_squares(shifted).intercept == least_squares(exact(X, y)).intercept
    assert shifted == exact(X, y)


@pytest.mark.parametrize("folds", [0, 3])
def test_exact_moments_come_back_from_a_file_bit_by_bit(folds, tmp_path):
    moments = lw.condense(frame(), "y", precision="exact", folds=folds)
    lw.save(moments, tmp_path / "m")
    again = lw.load(tmp_path / "m")
    assert again.exact
    assert bits(again) == bits(moments)


def test_what_is_left_of_exact_moments_comes_back_from_a_file(tmp_path):
    X, y = rows()
    a = exact(np.arange(12.0).reshape(4, 3), np.arange(4.0) ** 2)
    left = (a + exact(X, y)) - exact(X, y)
    lw.save(left, tmp_path / "m")
    assert lw.load(tmp_path / "m") == left


@pytest.mark.parametrize("missing", ["error", "mean"])
def test_a_sum_of_exact_and_rounded_moments_is_rounded(missing):
    table = frame()
    if missing == "mean":
        table.loc[::5, "a"] = np.nan
    asked = {"missing": missing, "folds": 0}
    one, other = (lw.condense(half, "y", precision="exact", **asked) for half in (table[:100], table[100:]))
    fast, whole = (lw.condense(half, "y", precision="fast", **asked) for half in (table[100:], table))
    for mixed in (one + fast, fast + one):
        assert not mixed.exact
        assert mixed == whole
    assert (one + other).exact


# ---- the table -----------------------------------------------------------------------------------


def near_copies(gap: float):
    def made(r):
        x = r.normal(size=60)
        return np.column_stack([x, x + gap * r.normal(size=60)])

    return made


def outlier(r):
    X = r.normal(size=(60, 3))
    X[17, 1] = 1e10
    return X


def monomials(r):
    x = np.linspace(-1, 1, 60) + 0.01 * r.normal(size=60)
    return np.column_stack([x**d for d in range(1, 23)])


TABLE = {
    "mean 1e8": lambda r: r.normal(size=(60, 3)) + 1e8,
    "mean 1e12": lambda r: r.normal(size=(60, 3)) + 1e12,
    "units 1e-12 beside 1e12": lambda r: r.normal(size=(60, 3)) * [1e-12, 1.0, 1e12],
    "copies but for 1e-8": near_copies(1e-8),
    "copies but for 1e-12": near_copies(1e-12),
    "near constants": lambda r: 1 + 1e-12 * r.normal(size=(60, 2)),
    "nanoseconds": lambda r: (
        np.int64(1_700_000_000_123_456_789) + r.integers(0, 10**9, (60, 2)).cumsum(axis=0)
    ),
    "one outlier of 1e10": outlier,
    "monomials to degree 22": monomials,
}


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("make", TABLE.values(), ids=TABLE)
def test_no_digit_is_lost_where_float64_sums_lose_them(make, intercept):
    r = np.random.default_rng(SEED)
    X = make(r)
    y = ((X - X[0]) / np.abs(X - X[0]).max(axis=0)).sum(axis=1) + 0.1 * r.normal(size=len(X))
    truth = Truth(list(X.T), [y], intercept=intercept)
    assert len(truth.used) == X.shape[1] + intercept
    found = lw.fit((X, y), precision="exact", intercept=intercept, folds=0).solution
    assert_solved(found, truth)
    assert_inverse(found.root, truth.inverse)


# ---- rank ----------------------------------------------------------------------------------------

A = np.random.default_rng(SEED).normal(size=(40, 3)) + 10
LEFT_OUT = {
    "a copy": (np.column_stack([A, A[:, 1]]), ("x3",)),
    "a sum": (np.column_stack([A, A[:, 0] + A[:, 2]]), ("x3",)),
    "three times another": (np.column_stack([A, 3 * A[:, 1]]), ("x3",)),
    "another unit": (np.column_stack([A, 1.8 * A[:, 0] + 32]), ("x3",)),
    "the next float64s": (np.column_stack([A, np.nextafter(A[:, 1], 99)]), ("x3",)),
    "a copy but for 1e-14": (np.column_stack([A, A[:, 1] + 1e-13 * np.sin(np.arange(40.0))]), ()),
    "all levels": (np.eye(5)[np.arange(40) % 5], ("x4",)),
    "as many rows as columns": (A[:3], ("x2",)),
    "fewer rows than columns": (np.column_stack([A, A**2])[:4], ("x3", "x4", "x5")),
}


@pytest.mark.parametrize(("X", "names"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_depends_on_columns_before_it_is_left_out(X, names):
    y = np.arange(len(X)) ** 2 % 7.0
    found = least_squares(exact(X, y))
    assert found.dropped == names
    assert_solved(found, Truth(list(X.T), [y]))


def many_columns():
    r = np.random.default_rng(SEED)
    return r.integers(-9, 10, (130, 100)).astype(float), r.integers(-9, 10, 130).astype(float)


def test_many_columns_are_solved_as_few_are():
    pytest.importorskip("flint", reason="half a minute of fractions")
    X, y = many_columns()
    assert_solved(least_squares(exact(X, y)), Truth(list(X.T), [y]))


@pytest.mark.parametrize("unit", [1e-100, 1e100])
def test_the_units_of_many_columns_do_not_matter(unit):
    X, y = many_columns()
    X[:, 0] *= 1 / unit
    assert least_squares(exact(X, unit * y)).rank == 100


def test_of_many_columns_the_same_are_left_out_as_of_few():
    X, y = many_columns()
    far = 3e15 + X
    few, more = (least_squares(exact(far[:, :p], y)).dropped for p in (99, 100))
    assert few == more[: len(few)] != ()


@pytest.mark.parametrize("unit", [2.0**-350, 2.0**-450])
def test_the_root_of_many_columns_has_the_digits_that_it_promises(unit):
    X, y = many_columns()
    units = np.r_[1.0, unit, 1 / unit, np.ones(98)]
    plain, scaled = (least_squares(exact(A, y)).root for A in (X, X * units[1:]))
    np.testing.assert_allclose(np.linalg.norm(scaled * units, axis=0), np.linalg.norm(plain, axis=0), 1e-12)


def chained(gap: float, seed: int):
    """Columns each of which is near to those before, though all three are far worse, and where they end."""
    q = np.random.default_rng(seed).integers(-3, 4, (64, 4)).astype(float)
    return np.column_stack([q[:, 0], q[:, :2] + gap * q[:, 1:3]]), q[:, 2], q[:, 3]


@pytest.mark.parametrize("seed", range(3))
def test_a_combination_with_huge_coefficients_is_left_out(seed):
    X, end, y = chained(2.0**-44, seed)
    X = np.column_stack([X, end])
    assert Truth(list(X.T), [y], intercept=False).dropped == ("x3",)
    assert least_squares(exact(X, y), intercept=False).dropped == ("x3",)


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_rss_is_right_where_coefficients_are_huge(seed):
    X, end, noise = chained(2.0**-38, seed)
    y = end + 2.0**-38 * noise
    found, truth = least_squares(exact(X, y), intercept=False), Truth(list(X.T), [y], intercept=False)
    assert_right(found.rss[0], truth.rss[0], "rss")


@wrong("where a column stands twice in units far apart the shortest solution is refused, or fails in numpy")
@pytest.mark.parametrize("unit", [1e16, 1e30])
def test_the_shortest_solution_shares_out_among_units(unit):
    for seed in range(10):
        x, z = np.random.default_rng(seed).normal(size=(2, 20))
        found = least_squares(exact(np.column_stack([x, z, unit * x]), x + z), rank="min-norm")
        assert found.coef[0, 2] == pytest.approx(1 / unit, rel=1e-6)


def test_a_shortest_solution_that_would_miss_the_target_is_refused():
    r = np.random.default_rng(43)
    x = r.normal(size=(20, 2))
    X, y = np.column_stack([x[:, 0], 1e-20 * x[:, 1], 3 * x[:, 0]]), x.sum(axis=1) + 0.1 * r.normal(size=20)
    with pytest.raises(lw.errors.RankError, match="no digit in float64"):
        least_squares(exact(X, y), rank="min-norm")


# ---- numbers that are no float64 -----------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_integers_of_64_bits_are_taken_to_their_last_bit(kind):
    r = np.random.default_rng(SEED)
    least, most = np.iinfo(kind).min, np.iinfo(kind).max
    X, y = r.integers(least, most, (30, 2), dtype=kind), r.normal(size=30)
    X[0] = least, most
    table = pd.DataFrame(X, columns=["a", "b"]).assign(y=y)
    for moments in (exact(X, y), lw.condense(table, "y", precision="exact", folds=0)):
        assert_sums(moments, Truth(list(X.T), [y]))


def texts(r, n: int, whole: int, behind: int) -> list[str]:
    """Decimals of so many digits before and behind the point."""
    digits = ["".join(r.choice(list("123456789"), whole + behind)) for _ in range(n)]
    return [f"{'-' * int(r.integers(2))}{d[:whole]}.{d[whole:]}" for d in digits]


def assert_read(cells: list[str], path) -> None:
    """A column of a file is taken as it is written."""
    y = texts(np.random.default_rng(0), len(cells), 1, 2)
    lines = [f"{cell},{value}" for cell, value in zip(cells, y, strict=True)]
    path.write_text("\n".join(["a,y", *lines, ""]))
    truth = Truth([[Fraction(cell.strip()) for cell in cells]], [list(map(Fraction, y))])
    assert_sums(lw.condense(path, "y", precision="exact", folds=0), truth, lost=HELD)


@pytest.mark.parametrize("digits", [(1, 1), (2, 3), (1, 15), (4, 17), (1, 30), (30, 12)])
def test_decimals_in_a_file_are_taken_far_beyond_float64(digits, tmp_path):
    assert_read(texts(np.random.default_rng(SEED), 30, *digits), tmp_path / "t.csv")


@pytest.mark.parametrize("cell", ["1e3", "1.5E-3", "+2.5", " 2.5 ", "-0", ".1", "0.1e-3", "1e-30", "1e23"])
def test_numbers_are_taken_however_they_are_written(cell, tmp_path):
    assert_read([cell, *texts(np.random.default_rng(SEED), 9, 1, 2)], tmp_path / "t.csv")


def test_a_number_far_below_the_smallest_is_0(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n1e-99999999,1\n1,3\n2,4\n3,9\n4,2\n")
    code = "import leastwise as lw; assert lw.fit('t.csv', 'y', precision='exact').solution.n == 5"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)


@pytest.mark.parametrize("cell", ["9876543210987654.12345678901234567891", f"{2**128 + 1}"])
def test_numbers_of_more_digits_than_128_bits_hold_are_taken_too(cell, tmp_path):
    assert_read([cell, *texts(np.random.default_rng(SEED), 9, 1, 2)], tmp_path / "t.csv")


def test_decimal_columns_are_taken_to_their_last_digit():
    r = np.random.default_rng(SEED)
    a, y = texts(r, 30, 5, 2), r.normal(size=30)
    table = pa.table({"a": pa.array(list(map(Decimal, a)), pa.decimal128(7, 2)), "y": y})
    truth = Truth([list(map(Fraction, a))], [y])
    assert_sums(lw.condense(table, "y", precision="exact", folds=0), truth, lost=HELD)


@pytest.mark.parametrize("degree", [3, 6, 10])
def test_powers_are_taken_far_beyond_float64(degree):
    r = np.random.default_rng(SEED)
    x, y = np.round(r.uniform(-3, 3, 40), 2), r.normal(size=40)
    asked = {"features": (lw.poly("x", degree),), "precision": "exact", "folds": 0}
    fit = lw.fit(pd.DataFrame({"x": x, "y": y}), "y", **asked)
    truth = Truth([[Fraction(v) ** d for v in x.tolist()] for d in range(1, degree + 1)], [y])
    assert_sums(fit.moments, truth, lost=HELD)
    assert_solved(fit.solution, truth)


# ---- weights, gaps, and the ends of the range ----------------------------------------------------


FAR = [5e-324, 1e-300, 1e304]


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200, *FAR])
def test_the_unit_of_the_weights_does_not_matter(scale):
    X, y = rows(60)
    w = np.random.default_rng(0).integers(1, 1000, 60) * scale
    truth = Truth(list(X.T), [y], w)
    assert_sums(exact(X, y, w), truth)
    assert_solved(least_squares(exact(X, y, w)), truth)


def with_gaps(mean: float):
    r = np.random.default_rng(SEED)
    a = np.round(r.normal(size=40) * 1024) / 1024 + mean
    table = pd.DataFrame({"a": a, "b": r.normal(size=40), "y": a - mean + r.normal(size=40)})
    table.loc[::7, "a"] = np.nan
    return table, lw.fit(table, "y", missing="mean", precision="exact", folds=0)


def assert_filled(table: pd.DataFrame, fit, fill: Fraction) -> None:
    a = [Fraction(v) if v == v else fill for v in table["a"].tolist()]
    truth = Truth([a, table["b"].to_numpy()], [table["y"].to_numpy()])
    for b, value in zip(fit.solution.coef[0], truth.theta[0][1:], strict=True):
        assert_right(b, value, "coef")


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e8, 1e12])
def test_gaps_are_filled_without_a_rounding_but_that_of_the_mean(mean):
    table, fit = with_gaps(mean)
    assert_filled(table, fit, Fraction(float(fit.moments.gaps[0])))


@wrong("the mean that is put in is rounded to float64: at 1e8 deviations fast sums are righter")
@pytest.mark.parametrize("mean", [1e4, 1e8, 1e12])
def test_gaps_are_filled_with_the_mean_itself(mean):
    table, fit = with_gaps(mean)
    there = [Fraction(v) for v in table["a"].dropna().tolist()]
    assert_filled(table, fit, sum(there) / len(there))


def test_the_mean_that_is_told_is_the_one_that_was_put_in():
    _, fit = with_gaps(1e4)
    assert fit.fills[0] == fit.moments.gaps[0]


@pytest.mark.parametrize("late", [1e308, 1.0])
def test_values_far_from_the_first_rows_pass_in_silence(late):
    x, y, w = np.random.default_rng(SEED).normal(size=(3, 3000))
    x[:2500] *= 1e-300 if late == 1 else 1
    x[2999], w = late, abs(w)
    if late == 1:
        assert_sums(exact(x[:, None], y, w), Truth([x], [y], w))
    else:
        with pytest.raises(lw.errors.MissingError, match="too large to be squared"):
            exact(x[:, None], y, w)


def test_subnormal_columns_pass_in_silence():
    x = np.arange(20.0) * 5e-324
    least_squares(exact(x[:, None], np.arange(20.0) ** 2))


def test_a_tiny_target_is_not_called_constant():
    X, y = rows(60)
    with pytest.raises(lw.errors.DataError, match="vanish"):
        lw.fit((X, 1e-200 * y), precision="exact")


# ---- what float64 sums promise -------------------------------------------------------------------


def digits_of(off: Fraction, of: Fraction) -> float:
    return 99.0 if not off else -float(np.log10(float(off / of)))


@many(500)
@given(problems(units=NARROW))
def test_fast_sums_have_the_digits_that_they_promise(problem):
    truth = problem.truth
    assume(len(problem.X) > truth.p + truth.k + 1)
    found = least_squares(problem.moments(precision="fast"), intercept=problem.intercept)
    assume(found.dropped == truth.dropped and found.constant == truth.constant)
    lengths = [truth.about_mean(1 + j) for j in range(truth.p)]
    for t, theta in enumerate(truth.theta):
        size = max(b * b * length for b, length in zip(theta[1:], lengths, strict=True))
        pairs = zip(found.coef[t].tolist(), theta[1:], lengths, strict=True)
        off = max((Fraction(b) - value) ** 2 * length for b, value, length in pairs)
        if size and found.digits:
            assert found.digits <= digits_of(off, size) / 2 + SLACK
    for i, column in enumerate(truth.used):
        if column and found.se_digits:
            square = sum(Fraction(v) ** 2 for v in found.root[:, i].tolist())
            off = abs(square - truth.inverse[i][i])
            assert found.se_digits <= digits_of(off, 2 * truth.inverse[i][i]) + SLACK


@wrong("rss_digits does not see what elimination loses between near copies")
@pytest.mark.parametrize("n", [6, 12])
def test_rss_has_the_digits_that_are_promised_beside_near_copies(n):
    for seed in range(20):
        r = np.random.default_rng(seed)
        x, z = r.normal(size=(2, n))
        z[3] *= 1e7
        X = np.column_stack([x, x * (1 + 1e-5 * r.normal(size=n)), z])
        y = X.sum(axis=1)
        found, true = least_squares(Moments.of(X, y)), Truth(list(X.T), [y]).rss[0]
        off = digits_of(abs(Fraction(float(found.rss[0])) - true), true)
        assert found.rss_digits[0] <= max(off, 0) + SLACK, f"seed {seed}"


def test_of_few_rows_a_column_in_another_unit_is_left_out():
    for seed in range(20):
        x, y = np.random.default_rng(seed).normal(size=(2, 3))
        found = least_squares(Moments.of(np.column_stack([x, x + 1e5]), y))
        assert found.dropped == ("x1",), f"seed {seed}"
