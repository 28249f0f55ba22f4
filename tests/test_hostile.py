"""Hostile numbers: what rounding must never do to rank, digits, residuals and the laws of moments.

The truth is exact: every float64 is a rational number, and least squares over the rationals has one
answer (`exactly`). Digits are -log10 of the error, in columns scaled to unit length, relative to the
largest scaled coefficient: the yardstick that no change of units moves.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from functools import reduce

import numpy as np
import pytest

from leastwise.moments import Moments
from leastwise.solve import least_squares
from leastwise.solve.exact import squared_error

EPS = float(np.finfo(np.float64).eps)
SLACK = 0.3  # digits: a promise broken by a factor of two is not called broken


# --- the truth, and moments made in awkward ways --------------------------------------------------


def whole(values) -> list[int]:
    """A column of float64 as integers, times a power of two that is the same for all."""
    fractions = [Fraction(float(v)) for v in values]
    unit = max((f.denominator for f in fractions), default=1)
    return [int(f * unit) for f in fractions]


def solved(A: list[list[Fraction]], b: list[Fraction]) -> list[Fraction]:
    """`A x = b` by elimination over the rationals; A is positive definite."""
    rows = [[*row, right] for row, right in zip(A, b, strict=True)]
    for i in range(len(rows)):
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(len(rows)):
            if k != i:
                rows[k] = [x - rows[k][i] * z for x, z in zip(rows[k], rows[i], strict=True)]
    return [row[-1] for row in rows]


def exactly(X, y, w=None):
    """Coefficients (p,), their columns' lengths about the means (p,), and rss, with no rounding."""
    columns = [whole(c) for c in [np.ones(len(X)), *np.asarray(X, np.float64).T, y]]
    weights = [1] * len(X) if w is None else whole(w)
    G = [[Fraction(sum(map(lambda a, b, c: a * b * c, u, v, weights))) for v in columns] for u in columns]
    C = [[G[i][j] - G[0][i] * G[0][j] / G[0][0] for j in range(1, len(G))] for i in range(1, len(G))]
    p = len(C) - 1
    b = solved([row[:p] for row in C[:p]], [row[p] for row in C[:p]])
    rss = C[p][p] - sum(b[j] * C[j][p] for j in range(p))
    units = [_unit(c) for c in [*np.asarray(X, np.float64).T, y]]
    wide = 1 if w is None else _unit(w)
    coef = np.array([float(b[j] * units[j] / units[p]) for j in range(p)])
    length = np.array([float(C[j][j] / units[j] ** 2 / wide) ** 0.5 for j in range(p)])
    return coef, length, float(rss / units[p] ** 2 / wide)


def _unit(values) -> int:
    return max(Fraction(float(v)).denominator for v in values)


def true_digits(found, X, y, w=None) -> float:
    coef, length, _ = exactly(X, y, w)
    error = np.abs(found.coef[0] - coef) * length
    return float(-np.log10(max(error.max() / np.abs(coef * length).max(), 1e-16)))


def intercept_digits(found, X, y) -> float:
    """Digits of the intercept, in units of itself or of the target's deviation where that is larger.

    The truth is the exact rung's, which test_exact.py holds to the rational numbers.
    """
    true = float(least_squares(Moments.of(X, y, precision="exact")).intercept[0])
    unit = max(abs(true), float(np.std(y)))
    return float(-np.log10(max(abs(float(found.intercept[0]) - true) / unit, 1e-16)))


def pieces(X, y, shifts, w=None) -> Moments:
    """Moments added up from as many runs of rows as there are `shifts` (p + 1,)."""
    names = tuple(f"x{j}" for j in range(X.shape[1]))
    parts = [
        Moments.of_rows(names, ("y",), X[r], y[r][:, None], None if w is None else w[r], shift)
        for r, shift in zip(np.array_split(np.arange(len(X)), len(shifts)), shifts, strict=True)
    ]
    return reduce(Moments.__add__, parts)


def far_shifts(rng, X, away: float, parts: int = 4):
    """Shifts that miss the mean by about `away` standard deviations."""
    p = X.shape[1]
    return [
        np.append(X.mean(axis=0) + away * X.std(axis=0) * rng.normal(size=p), 0.0) for _ in range(parts)
    ]


# --- rank -----------------------------------------------------------------------------------------


def copied(rng, A):
    return A[:, 0]


def tripled(rng, A):
    return 3 * A[:, 0]


def tenth(rng, A):
    return A[:, 0] * 0.1


def summed(rng, A):
    return A.sum(axis=1)


def combined(rng, A):
    return A @ rng.normal(size=A.shape[1])


def fahrenheit(rng, A):
    return 1.8 * A[:, 0] + 32


DEPENDENT = [copied, tripled, tenth, summed, combined, fahrenheit]
DRAWS = {
    "normal": lambda rng, n: rng.normal(size=(n, 3)),
    "counts": lambda rng, n: rng.integers(-50, 50, size=(n, 3)).astype(float),
    # two values only: each rounds alike in every row, so errors add up instead of cancelling
    "rare": lambda rng, n: (rng.random((n, 3)) < 0.02) * 0.1 + np.eye(n, 3) + 0.3,
}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("dependent", DEPENDENT, ids=lambda f: f.__name__)
def test_a_dependent_column_never_survives(dependent, draw):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        A = DRAWS[draw](rng, int(10 ** rng.uniform(1.2, 4))) + rng.choice([0, 10, 1e5])
        X = np.column_stack([A, dependent(rng, A)])
        found = least_squares(Moments.of(X, rng.normal(size=len(X))))
        assert found.dropped == ("x3",), f"seed {seed}"


@pytest.mark.parametrize("away", [1, 1e2, 1e4])
@pytest.mark.parametrize("dependent", DEPENDENT, ids=lambda f: f.__name__)
def test_a_dependent_column_never_survives_merging_about_other_shifts(dependent, away):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        A = rng.normal(size=(400, 3)) + 10
        X = np.column_stack([A, dependent(rng, A)])
        found = least_squares(pieces(X, rng.normal(size=400), far_shifts(rng, X, away)))
        assert found.dropped == ("x3",), f"seed {seed}"


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-9, 1e-12])
def test_a_column_that_differs_from_another_by_its_own_rounding_is_dependent(unit):
    # 1.8 c + 32 with c tiny: the sum is rounded to EPS * 32, and nothing but that rounding is new.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        c = unit * rng.normal(size=200)
        X = np.column_stack([c, 1.8 * c + 32])
        assert least_squares(Moments.of(X, rng.normal(size=200))).dropped == ("x1",), f"seed {seed}"


def test_of_a_full_set_of_indicators_exactly_one_is_left_out():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        kinds = int(rng.integers(2, 30))
        label = np.append(np.arange(kinds), rng.choice(kinds, 3000, p=rng.dirichlet(np.ones(kinds))))
        found = least_squares(Moments.of(np.eye(kinds)[label], rng.normal(size=len(label))))
        assert found.dropped == (f"x{kinds - 1}",), f"seed {seed}"


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("mean", [0.0, 1e4, 1e8])
def test_an_honest_near_copy_is_kept(k, mean):
    # Its pivot is 10^-2k; rounding reaches 70 * 2 EPS = 3e-14 at most, so 10^-6 is still safe.
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=2000)
        X = np.column_stack([x, x + 10.0**-k * rng.normal(size=2000)]) + mean
        assert least_squares(Moments.of(X, rng.normal(size=2000))).rank == 2, f"seed {seed}"


@pytest.mark.parametrize("draw", DRAWS)
def test_a_power_of_two_as_unit_changes_no_bit_of_the_predictions(draw):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = DRAWS[draw](rng, 200), rng.normal(size=200)
        unit = 2.0 ** rng.integers(-40, 40, size=3)
        plain, scaled = least_squares(Moments.of(X, y)), least_squares(Moments.of(X * unit, y))
        assert (scaled.coef * unit == plain.coef).all(), f"seed {seed}"
        assert (plain.rss == scaled.rss).all()


def test_no_change_of_units_changes_which_columns_are_left_out():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        A = rng.normal(size=(300, 4))
        X = np.column_stack([A, A[:, 0] - 2 * A[:, 2], A[:, 1] + 1e-5 * rng.normal(size=300)])
        y, unit = rng.normal(size=300), 10.0 ** rng.uniform(-12, 12, size=6)
        assert least_squares(Moments.of(X, y)).dropped == ("x4",)
        assert least_squares(Moments.of(X * unit, y)).dropped == ("x4",), f"seed {seed}"


# --- constant columns -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e8 + 0.1, 1e-9 / 3])
@pytest.mark.parametrize("away", [1.0, 1.5, 1e3])
def test_a_constant_column_is_known_as_one_about_any_shifts(value, away):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = np.column_stack([np.full(500, value), rng.normal(size=500)]), rng.normal(size=500)
        shifts = [np.array([value * away**i, 0, 0]) for i in rng.permutation([0, 1, -1, 0.5])]
        assert least_squares(pieces(X, y, shifts)).constant == ("x0",), f"seed {seed}"


@pytest.mark.parametrize("n", [1000, 3000])
def test_a_constant_column_is_known_as_one_when_rows_come_one_by_one(n):
    # A constant rounds alike at each addition, so n additions lose up to n / 2 units, not sqrt(n).
    X, y = np.column_stack([np.full(n, 0.1), np.arange(n) % 7.0]), np.arange(n) % 5.0
    assert least_squares(pieces(X, y, [np.zeros(3)] * n)).constant == ("x0",)


@pytest.mark.parametrize("mean", [1e4, 1e6, 1e8, 1e10])
def test_a_column_of_two_neighbouring_whole_numbers_is_no_constant(mean):
    x = mean + np.arange(100) % 2
    found = least_squares(Moments.of(x[:, None], 3.0 * (np.arange(100) % 2)))
    assert found.constant == ()
    assert found.coef[0, 0] == pytest.approx(3, rel=1e-12)  # differences from the mean are exact


# --- digits never promise too much ----------------------------------------------------------------


def benign(rng, X, y):
    return X, y, Moments.of(X, y)


def ill_conditioned(rng, X, y):
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    X = X @ (Q * 10.0 ** -np.linspace(0, rng.uniform(0, 6), 3)) @ Q.T
    return X, y, Moments.of(X, y)


def near_copies(rng, X, y):
    X[:, 2] = X[:, 0] + 10.0 ** -rng.uniform(1, 6) * X[:, 2]
    return X, y, Moments.of(X, y)


def offset(rng, X, y):
    X = X + 10.0 ** rng.uniform(0, 8, size=3)
    return X, y, Moments.of(X, y)


def odd_units(rng, X, y):
    X = X * 10.0 ** rng.uniform(-12, 12, size=3)
    return X, y, Moments.of(X, y)


def one_outlier(rng, X, y):
    X[rng.integers(len(X)), 0] = 10.0 ** rng.uniform(3, 10)
    return X, y, Moments.of(X, y)


def untypical_start(rng, X, y):
    X = X + 10.0 ** rng.uniform(3, 7)
    X[:8] = 0
    return X, y, Moments.of(X, y)


def target_of_noise(rng, X, y):
    y = rng.normal(size=len(y)) + 1e-6 * y
    y = y - X @ np.linalg.lstsq(X, y, rcond=None)[0] * (1 - 1e-6)  # almost nothing is explained
    return X, y, Moments.of(X, y)


def distant_target(rng, X, y):
    y = y + 10.0 ** rng.uniform(2, 9)
    return X, y, Moments.of(X, y)


def merged_about_distant_shifts(rng, X, y):
    return X, y, pieces(X, y, far_shifts(rng, X, 10.0 ** rng.uniform(0, 5)))


def target_merged_about_distant_shifts(rng, X, y):
    y = y + 1e6  # which the parts take about zero
    near = [np.append(X.mean(axis=0), 1e6), *far_shifts(rng, X, 0.1)]
    return X, y, pieces(X, y, near)


def taken_away(rng, X, y):
    B = X + 10.0 ** rng.uniform(0, 6)
    a, b = Moments.of(X, y), Moments.of(B, y)
    return X, y, ((a + b) - b if rng.random() < 0.5 else (b + a) - b)


PROMISES = [
    benign, ill_conditioned, near_copies, offset, odd_units, one_outlier, untypical_start, target_of_noise,
    distant_target, merged_about_distant_shifts, target_merged_about_distant_shifts, taken_away,
]  # fmt: skip


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(int(rng.integers(12, 40)), 3))
    return rng, X, X @ rng.normal(size=3) + rng.normal(size=len(X)) * 10.0 ** rng.uniform(-4, 0)


@pytest.mark.parametrize("make", PROMISES, ids=lambda f: f.__name__)
def test_digits_never_promise_more_than_there_are(make):
    judged = 0
    for seed in range(40):
        rng, X, y = drawn(seed)
        X, y, moments = make(rng, X, y)
        found = least_squares(moments)
        if not found.kept.all() or found.digits == 0:
            continue  # a column was left out, or nothing was promised
        true = true_digits(found, X, y)
        assert found.digits <= true + SLACK, f"seed {seed}: {found.digits:.1f} said, {true:.1f} true"
        judged += 1
    assert judged >= 5


@pytest.mark.parametrize("make", [benign, offset, odd_units, distant_target], ids=lambda f: f.__name__)
def test_digits_are_not_modest_where_nothing_is_lost(make):
    # An offset costs nothing: the shift takes it away before anything is rounded.
    gap = []
    for seed in range(40):
        rng, X, y = drawn(seed)
        X, y, moments = make(rng, X, y)
        found = least_squares(moments)
        gap.append(min(true_digits(found, X, y), intercept_digits(found, X, y)) - found.digits)
    assert max(gap) < 3


def test_an_offset_of_1e8_deviations_costs_no_digit():
    for seed in range(20):
        _, X, y = drawn(seed)
        X = X + 1e8
        assert true_digits(least_squares(Moments.of(X, y)), X, y) > 13, f"seed {seed}"  # 15, less condition


def test_rows_of_no_weight_change_no_digit_however_far_they_are():
    for seed in range(10):
        _, X, y = drawn(seed)
        X = X + 1e6
        far = np.zeros_like(X)
        w = np.append(np.zeros(len(far)), np.ones(len(X)))
        padded = least_squares(Moments.of(np.vstack([far, X]), np.append(y, y), w))
        assert padded.rank == 3, f"seed {seed}"
        assert true_digits(padded, X, y) > 12, f"seed {seed}"


# --- residuals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(1, 9))
def test_rss_errs_by_rounding_of_the_total_and_no_more(k):
    # rss is what is left of tss: its error is some EPS times tss, however little is left.
    for seed in range(15):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(60, 3)) + 1e4
        y = X @ rng.normal(size=3) + 10.0**-k * rng.normal(size=60)
        found = least_squares(Moments.of(X, y))
        *_, rss = exactly(X, y)
        assert abs(found.rss[0] - rss) <= 24 * EPS * found.tss[0], f"seed {seed}"  # 8 + 2 sqrt(60)
        assert found.rss[0] >= 0
        assert found.r2[0] <= 1


@pytest.mark.parametrize("k", range(1, 7))
def test_the_error_on_unseen_rows_errs_by_rounding_of_their_total_and_no_more(k):
    for seed in range(15):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(80, 3)) + 1e4
        y = (X - 1e4) @ rng.normal(size=3) + 10.0**-k * rng.normal(size=80)
        found = least_squares(Moments.of(X[:40], y[:40]))
        unseen = Moments.of(X[40:], y[40:])
        said = squared_error(unseen, found.coef, found.intercept)[0]
        b, c = [Fraction(float(v)) for v in found.coef[0]], Fraction(float(found.intercept[0]))
        rows = zip(X[40:], y[40:], strict=True)
        misses = [
            Fraction(float(t)) - c - sum(map(lambda a, v: a * Fraction(float(v)), b, x)) for x, t in rows
        ]
        true = float(sum(m * m for m in misses))
        # the mean miss is a difference of numbers of size 1e4: EPS * 1e4 each, for 40 rows
        centre = 40 * (8 * EPS * 1e4 * np.abs(found.coef).sum()) * (np.sqrt(true / 40) + 8 * EPS * 1e4)
        assert abs(said - true) <= 24 * EPS * unseen.comoment[-1, -1] + centre, f"seed {seed}"
        assert said >= 0


# --- moments --------------------------------------------------------------------------------------


def test_merging_in_any_order_about_any_near_shifts_gives_the_same_moments():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(120, 3)) + 1e6, rng.normal(size=120)
        names = ("x0", "x1", "x2")
        parts = [
            Moments.of_rows(names, ("y",), X[r], y[r][:, None], None, np.append(X[r].mean(axis=0), 0))
            for r in np.array_split(np.arange(120), 4)
        ]
        for order in itertools.permutations(parts):
            assert reduce(Moments.__add__, order) == Moments.of(X, y)


def test_equality_does_not_depend_on_which_side_it_is_asked_from():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(60, 2)) + 1e6, rng.normal(size=60)
        near, far = Moments.of(X, y), pieces(X, y, [np.zeros(3)])
        assert (near == far) == (far == near), f"seed {seed}"


def test_moments_of_other_rows_are_not_equal_though_their_shift_be_far():
    # Seen from a shift 1e7 deviations away two quite different spreads look alike to 12 digits;
    # what tells them apart is not lost: both were summed about their means.
    x = np.arange(60.0)[:, None] % 7
    a, b = Moments.of(x + 1e7, x[:, 0]), Moments.of(2 * x + (1e7 - x.mean()), x[:, 0])
    zero = np.zeros(2)
    assert a != b
    assert a.about(zero) != b
    assert b != a.about(zero)


def test_what_was_added_can_be_taken_away():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(90, 3)) + 1e6, rng.normal(size=90)
        a, b = Moments.of(X[:50], y[:50]), Moments.of(X[50:], y[50:])
        assert (a + b) - b == a


def test_thousands_of_parts_of_one_row_are_the_rows_together():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4000, 2)) + 1e5, rng.normal(size=4000)
    assert pieces(X, y, [np.array([1e5, 1e5, 0])] * 4000) == Moments.of(X, y)


def test_a_whole_weight_is_a_row_repeated():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(50, 3)) + 1e8, rng.normal(size=50)
        w = rng.integers(0, 4, size=50)
        w[0] = 1
        weighted, repeated = Moments.of(X, y, w), Moments.of(np.repeat(X, w, axis=0), np.repeat(y, w))
        assert weighted.weight == repeated.weight
        once, many = least_squares(weighted), least_squares(repeated)
        assert once.coef == pytest.approx(many.coef, rel=1e-11)  # 15 digits, less the condition
        assert once.rss == pytest.approx(many.rss, rel=1e-11)


def test_float32_columns_fit_as_the_same_numbers_in_float64():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = (rng.normal(size=(300, 3)) + 1e4).astype(np.float32), rng.normal(size=300)
        narrow, wide = Moments.of(X, y), Moments.of(X.astype(np.float64), y)
        assert narrow == wide
        assert true_digits(least_squares(narrow), X, y) > 12  # 15, less the condition and 60 terms


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e8])
def test_filling_with_the_mean_costs_no_digit_at_any_offset(mean):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        Z = np.round(rng.normal(size=(64, 2)), 2) * 64  # so that adding the offset rounds nothing
        Z = np.round(Z)
        y = rng.normal(size=64)
        holes = rng.permutation(64)[:32]  # 32 are left: their mean is exact
        X = Z + mean
        X[holes, 0] = np.nan
        parts = [
            Moments.of_rows(("x0", "x1"), ("y",), X[r], y[r][:, None], None, shift, filled=(0,))
            for r, shift in zip(
                np.array_split(np.arange(64), 3),
                [np.array([mean + d, mean - d, 0]) for d in (0.5, 3.0, -20.0)],
                strict=True,
            )
        ]
        found = least_squares(reduce(Moments.__add__, parts))
        filled = Z.copy()
        filled[holes, 0] = np.delete(Z[:, 0], holes).mean()
        assert true_digits(found, filled, y) > 12, f"seed {seed}"


# --- the shortest answer, and few rows ------------------------------------------------------------


def shortest(X, y):
    """The least-norm coefficients, in the units of the data; the caller's rows are centred."""
    return np.linalg.pinv(X, rcond=1e-13) @ y


def centred(rng, n, p):
    """Rows that pivot about zero exactly: each stands beside its negative."""
    A = rng.normal(size=(n // 2, p))
    b = rng.normal(size=n // 2)
    return np.vstack([A, -A]), np.append(b, -b)


@pytest.mark.parametrize("shape", [(40, 4), (6, 20), (10, 30)])
def test_min_norm_is_the_pseudo_inverse(shape):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y = centred(rng, *shape)
        X = np.column_stack([X, X[:, 0], X[:, 1] + X[:, 2]])
        found = least_squares(Moments.of(X, y), rank="min-norm").coef[0]
        want = shortest(X, y)
        assert np.abs(found - want).max() <= 1e-11 * np.abs(want).max(), f"seed {seed}"


@pytest.mark.parametrize("unit", [1e3, 1e6, 1e9])
def test_min_norm_of_few_rows_meets_every_target_though_one_column_be_large(unit):
    # Rank is decided on scaled columns: a large unit may cost digits, never a direction.
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(10, 30)), rng.normal(size=10)
        X[:, 0] *= unit
        found = least_squares(Moments.of(X, y), rank="min-norm")
        miss = np.abs(found.predict(X)[:, 0] - y).max()
        assert miss <= 1e-13 * unit, f"seed {seed}"  # predictions are sums of terms of size unit * b


def test_few_rows_that_nearly_repeat_promise_no_more_digits_than_there_are():
    # Rows apart by 1e-7 with one target: the kernel X X' sees 1e-14 and cannot tell them apart.
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = centred(rng, 10, 30)
        near = X[:1] + 1e-7 * rng.normal(size=(1, 30))
        X, y = np.vstack([X, near, -near]), np.concatenate([y, y[:1] + 1e-7, -y[:1] - 1e-7])
        found = least_squares(Moments.of(X, y), rank="min-norm")
        want = shortest(X, y)
        true = -np.log10(np.abs(found.coef[0] - want).max() / np.abs(want).max())
        assert found.digits <= true + SLACK, f"seed {seed}: {found.digits:.1f} said, {true:.1f} true"


@pytest.mark.parametrize("rank", ["drop", "min-norm"])
@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (2, 2), (2, 5), (3, 2), (5, 5), (6, 5), (4, 9)])
def test_as_many_coefficients_as_rows_meet_every_target(shape, rank):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=shape), rng.normal(size=shape[0])
        found = least_squares(Moments.of(X, y), rank=rank)
        assert found.rank == min(shape[0] - 1, shape[1])
        # 1e-10: fifteen digits less the condition of a few random columns
        assert np.abs(found.predict(X)[:, 0] - y).max() < 1e-10, f"seed {seed}"


@pytest.mark.parametrize("rank", ["drop", "min-norm"])
def test_one_row_more_than_columns_fits_as_exactly_as_many_rows(rank):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(7, 5)), rng.normal(size=7)
        found = least_squares(Moments.of(X, y), rank=rank)
        assert found.rank == 5
        assert found.digits <= true_digits(found, X, y) + SLACK, f"seed {seed}"
