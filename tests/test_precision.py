"""The ladder of precision as a user climbs it: what auto decides, what is told, what reaches the digits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

import leastwise as lw
from leastwise.errors import ColumnError, DataError, UsageError
from leastwise.inference import AFTER_SELECTION, ridge
from leastwise.rows.decimals import text_parts
from leastwise.solve import integer as exact_solver
from leastwise.solve import least_squares

SEED = 5


def rows(n=60_000, p=5, noise=1.0, mean=0.0):
    r = np.random.default_rng(SEED)
    X = r.normal(size=(n, p)) + mean
    return X, X @ np.arange(1.0, p + 1) + noise * r.normal(size=n)


def stream(X, y, size=10_000):
    columns = {f"x{j}": x for j, x in enumerate(X.T)} | {"y": y}
    table = pa.table(columns)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=size))


# ---- what auto decides ----


def test_small_data_are_exact_at_once_and_large_ones_fast():
    X, y = rows()
    assert lw.fit((X[:1_000], y[:1_000])).solution.precision == "exact"
    assert lw.fit((X, y)).solution.precision == "fast"


def test_a_fit_too_close_for_rounded_moments_is_made_again_exactly_and_told():
    X, y = rows(noise=1e-9)
    fit = lw.fit((X, y))
    assert fit.solution.precision == "exact"
    assert any("with 0 digits: the rows were read again, exactly" in note for note in fit.notes)
    true = y - fit.predict(X)
    assert float(fit.solution.rss[0]) == pytest.approx(float(true @ true), rel=1e-5)
    fast = lw.fit((X, y), precision="fast")
    assert fast.solution.precision == "fast"
    assert fast.solution.rss_digits[0] < 1


def test_a_stream_in_doubt_says_what_to_do_and_a_small_one_is_exact():
    X, y = rows(noise=1e-9)
    fit = lw.fit(stream(X, y), target="y")
    assert fit.solution.precision == "fast"
    assert any("make it anew and pass precision='exact'" in note for note in fit.notes)
    assert lw.fit(stream(X, y), target="y", precision="exact").solution.precision == "exact"
    assert lw.fit(stream(X[:100], y[:100]), target="y").solution.precision == "exact"


def test_moments_say_what_they_carry_and_cannot_be_made_exact_afterwards():
    X, y = rows(noise=1e-9)
    fast, exact = lw.condense((X, y)), lw.condense((X, y), precision="exact")
    assert any("condensed with precision='exact'" in note for note in lw.fit(fast).notes)
    with pytest.raises(UsageError, match="rounded when they were made"):
        lw.fit(fast, precision="exact")
    assert lw.fit(exact).solution.precision == "exact"
    assert lw.fit(exact, precision="fast").solution.precision == "fast"


@pytest.mark.parametrize("precision", ["Exact", "double", "", 15])
def test_a_precision_that_is_none_is_refused(precision):
    X, y = rows(20)
    with pytest.raises(UsageError, match="auto"):
        lw.fit((X, y), precision=precision)


def test_exact_moments_of_too_many_columns_are_refused_before_anything_is_read():
    X = np.zeros((10, 2_001))
    with pytest.raises(UsageError, match="2,001"):
        lw.fit((X, X[:, 0]), precision="exact")


def test_values_too_far_apart_for_integers_are_refused_with_what_to_do():
    X, y = rows(50, 2)
    X[7, 0], X[8, 0] = 1e140, 1e-140
    with pytest.raises(DataError, match=r"too far apart.*precision='fast'"):
        lw.fit((X, y), precision="exact")


def test_folds_of_exact_moments_score_as_those_of_fast_ones():
    X, y = rows(5_000)
    fast, exact = (lw.fit((X, y), precision=p).validation for p in ("fast", "exact"))
    for name in ("mse", "r2", "train_mse", "train_r2", "mean_mse"):
        np.testing.assert_allclose(getattr(exact, name), getattr(fast, name), rtol=1e-12)


def test_missing_numbers_are_filled_exactly_fold_by_fold():
    X, y = rows(3_000)
    X[np.random.default_rng(0).random(X.shape) < 0.05] = np.nan
    fast, exact = (lw.fit((X, y), missing="mean", precision=p) for p in ("fast", "exact"))
    np.testing.assert_allclose(exact.coef, fast.coef, rtol=1e-12)
    np.testing.assert_allclose(exact.validation.mse, fast.validation.mse, rtol=1e-11)


# ---- many columns ----


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_a_float64_factor_leads_to_the_same_coefficients_to_the_last_bit(intercept, mean, monkeypatch):
    r = np.random.default_rng(SEED)
    X = (r.normal(size=(300, 12)) + mean) * 10.0 ** r.integers(-8, 8, 12)
    Y = r.normal(size=(300, 2))
    m = lw.Moments.of(X, Y, precision="exact")
    slow = least_squares(m, intercept=intercept)
    monkeypatch.setattr(exact_solver, "MANY", 1)
    led = least_squares(m, intercept=intercept)
    if intercept or mean == 0:  # without an intercept far means leave no factor that could lead
        assert led.method == "guided integers"
    np.testing.assert_array_equal(led.coef, slow.coef)
    np.testing.assert_array_equal(led.intercept, slow.intercept)
    np.testing.assert_array_equal(led.rss, slow.rss)
    np.testing.assert_allclose((led.root**2).sum(0), (slow.root**2).sum(0), rtol=10.0**-led.se_digits)


def test_a_float64_factor_does_not_lead_where_columns_nearly_depend(monkeypatch):
    X, y = rows(300, 4)
    X[:, 3] = X[:, 0] + 1e-9 * np.random.default_rng(1).normal(size=300)
    monkeypatch.setattr(exact_solver, "MANY", 1)
    s = least_squares(lw.Moments.of(X, y, precision="exact"))
    assert s.method == "integers"
    assert s.kept.all()


# ---- numbers to their last digit ----

DECIMALS = ["0.1", "-2.5", "1e-7", "123456789.123456789012345", " 7 ", "+3.25", "9007199254740993", "-0.0",
            "3.14159265358979323846264338327950288", "1E300"]  # fmt: skip


@pytest.mark.parametrize("texts", [DECIMALS, DECIMALS[:2], ["1", "2"], ["0.1", None, "0.3"]])
def test_decimals_are_read_to_twice_the_digits_of_a_float64(texts):
    high, low = text_parts(pa.array(texts))
    for text, h, error in zip(texts, high.tolist(), low.tolist(), strict=True):
        if text is None:
            assert np.isnan(h)
            assert error == 0
            continue
        true = Fraction(text.strip())
        assert h == float(true)
        assert abs(Fraction(h) + Fraction(error) - true) <= abs(true) * Fraction(1, 1 << 104)


def test_a_csv_file_gives_the_answer_for_its_decimals_and_not_for_their_roundings(tmp_path):
    x = [Fraction(1, 10) + Fraction(3 * i, 10**15) for i in range(6)]  # float64 has steps of 1.4e-17 there
    y = [1, 3, 2, 5, 4, 6]
    path = tmp_path / "close.csv"
    path.write_text("x,y\n" + "".join(f"0.1{3 * i:014d},{v}\n" for i, v in enumerate(y)))
    fit = lw.fit(path, target="y", precision="exact", folds=0)
    mx, my = sum(x) / 6, Fraction(sum(y), 6)
    slope = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)
    assert fit.coef[0] == pytest.approx(float(slope), rel=1e-13)


def test_a_text_among_numbers_is_named_under_exact_too(tmp_path):
    path = tmp_path / "odd.csv"
    lines = [f"{i}.5,{i}" for i in range(2_000)]
    lines[1_500] = "many,3"
    path.write_text("x,y\n" + "\n".join(lines) + "\n")
    with pytest.raises(DataError, match="many"):
        lw.fit(path, target="y", precision="exact", features=["x"])


def test_long_integers_keep_their_last_digits():
    t = 1_700_000_000_000_000_000 + np.arange(50, dtype=np.int64) * 7_001  # a float64 sees steps of 256
    y = np.arange(50) * 2.0
    fit = lw.fit((t[:, None], y), precision="exact")
    assert fit.coef[0] == pytest.approx(2 / 7_001, rel=1e-15)
    assert fit.solution.r2[0] == 1.0


def test_long_integers_are_never_rounded_unasked():
    t = 1_700_000_000_000_000_000 + np.arange(200_000, dtype=np.int64) * 7
    y = 2.0 * np.arange(200_000) + np.random.default_rng(SEED).normal(size=200_000)
    for source in ((np.column_stack([t, -t // 3]), y), pa.table({"t": t, "u": -t // 3, "y": y})):
        fit = lw.fit(source, None if isinstance(source, tuple) else "y", folds=0)
        assert fit.solution.precision == "exact"
        assert any("whole numbers that float64 would round" in note for note in fit.notes)


def test_residuals_far_below_an_outlier_that_is_met_are_not_lost():
    r = np.random.default_rng(SEED)
    x, noise, at = r.normal(size=50), r.normal(size=50), np.arange(50) == 17
    y = x + noise
    plain = lw.fit((x[~at], y[~at]), precision="exact", folds=0).solution.rss
    y[17] = 1e35
    met = lw.fit((np.column_stack([x, at]), y), precision="exact", folds=0).solution.rss
    np.testing.assert_allclose(met, plain, rtol=1e-13)


def test_a_shortest_solution_without_a_digit_is_refused_by_every_rung():
    r = np.random.default_rng(SEED)
    x, z = r.normal(size=(2, 300))
    y = x + z + r.normal(size=300)
    for precision in ("fast", "exact"):
        with pytest.raises(lw.errors.RankError, match="no digit in float64"):
            lw.fit((np.column_stack([x, z, 3e30 * x]), y), rank="min-norm", precision=precision)


# ---- powers ----


def test_powers_are_columns_and_predict_as_they_were_fitted(tmp_path):
    x = np.linspace(-1, 2, 40)
    table = pa.table({"x": x, "z": x**2 - x, "y": 1 + 2 * x - 3 * x**2 + 0.5 * x**3})
    fit = lw.fit(table, target="y", features=[lw.poly("x", 3)])
    assert fit.names == ("x", "x^2", "x^3")
    np.testing.assert_allclose(fit.coef, [2, -3, 0.5], rtol=1e-13)
    lw.save(fit, tmp_path / "m.safetensors")
    again = lw.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(table), fit.predict(table))
    np.testing.assert_allclose(fit.predict(table), table["y"].to_numpy(), rtol=1e-12)
    same = lw.fit(table, target="y", features=["x"], powers={"x": 3})
    np.testing.assert_array_equal(same.coef, fit.coef)


def test_powers_of_decimals_fall_into_the_same_folds_again(tmp_path):
    r = np.random.default_rng(SEED)
    path = tmp_path / "curve.csv"
    lines = (f"{x:.3f},{y:.3f}" for x, y in r.normal(size=(300, 2)))
    path.write_text("x,y\n" + "\n".join(lines) + "\n")
    fit = lw.fit(path, target="y", powers={"x": 5}, precision="exact")
    np.testing.assert_allclose(fit.validation.held_out["mse"], fit.validation.mse, rtol=1e-12)


def test_powers_that_cannot_be_are_refused():
    table = pa.table({"x": [1.0, 2.0, 4.0], "t": ["a", "b", "a"], "y": [1.0, 2.0, 3.0]})
    for degree in (0, -1, 2.5, True, 101):
        with pytest.raises(UsageError, match="degree"):
            lw.poly("x", degree)
    with pytest.raises(ColumnError, match="its powers were asked for"):
        lw.fit(table, target="y", features=[lw.poly("t", 2)])
    with pytest.raises(ColumnError, match="no feature here"):
        lw.fit(table, target="y", features=["t"], powers={"x": 2})
    with pytest.raises(ColumnError, match="There is no column 'w'"):
        lw.fit(table, target="y", features=[lw.poly("w", 2)])


# ---- ridge ----


def test_ridge_errors_are_the_spread_of_ridge_coefficients_over_samples():
    r = np.random.default_rng(SEED)
    n, alpha = 80, 0.02
    X = r.normal(size=(n, 3)) @ np.array([[1, 0.9, 0], [0, 0.3, 0], [0, 0, 2.0]]) + 5
    found = []
    for _ in range(3_000):
        y = X @ [1.0, -1.0, 0.5] + 2 + r.normal(size=n)
        found.append(ridge(lw.Moments.of(X, y), alpha))
    spread = np.std([f.coef[0] for f in found], axis=0)
    np.testing.assert_allclose(np.mean([f.se[0] for f in found], axis=0), spread, rtol=0.05)
    assert found[0].kind == "ridge"


def test_ridge_without_a_penalty_is_least_squares():
    X, y = rows(200, 3)
    plain, free = lw.fit((X, y)).inference, ridge(lw.Moments.of(X, y), 0.0)
    np.testing.assert_allclose(free.coef, plain.coef, rtol=1e-10)
    np.testing.assert_allclose(free.se, plain.se, rtol=1e-10)


def test_there_are_no_standard_errors_after_the_lasso_and_it_says_why():
    X, y = rows(200, 3)
    found = lw.fit((X, y), penalty=lw.L1(0.1)).inference
    assert not found
    assert found.reason == AFTER_SELECTION
    assert "by the same rows" in found.reason
