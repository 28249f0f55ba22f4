"""Intervals of what was not seen: CV+ by its definition, and how often they hold."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bad import refused

import leastwise as lw
from leastwise.conformal import POINTS, Conformal, Coverage
from leastwise.errors import DataError, UsageError
from leastwise.report.page import page
from leastwise.validation import NoValidation

RIDGE = {"penalty": lw.L2(0.1)}
EXACT = 1e-12  # some ulps of numbers near 1: limits are found by bisection


def by_definition(errors: list[np.ndarray], guess: np.ndarray, level: float) -> tuple[Any, Any]:
    """CV+ by sorting all of mu_k(x) -+ R_i, one row and one target at a time."""
    n, limits = sum(map(len, errors)), np.empty((2, len(guess), guess.shape[2]))
    rank = math.ceil(round(level * (n + 1), 9))
    for i, row in enumerate(guess):
        for j in range(guess.shape[2]):
            low = sorted(row[f, j] - r for f, fold in enumerate(errors) for r in np.abs(fold[:, j]))
            high = sorted(row[f, j] + r for f, fold in enumerate(errors) for r in np.abs(fold[:, j]))
            limits[:, i, j] = low[n - rank], high[rank - 1]
    return limits[0], limits[1]


def made(sizes: list[int], k: int, seed: int = 0, rows: int = 8) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 2, len(sizes))
    errors = [s * rng.normal(size=(n, k)) for n, s in zip(sizes, scale, strict=True)]
    return errors, rng.normal(size=(rows, len(sizes), k))


def grouped(n: int = 400, groups: int = 40, shift: float = 0.0, seed: int = 0, **more: Any) -> pa.Table:
    """y = a - 2 b + noise, and a shift of each group that no column explains."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    g = rng.integers(0, groups, n)
    y = a - 2 * b + shift * rng.normal(size=groups)[g] + rng.normal(size=n)
    return pa.table({"a": a, "b": b, "g": [f"g{i}" for i in g], "y": y, **more})


def fitted(data: pa.Table, **how: Any) -> lw.Fit:
    return lw.fit(data, "y", **({"group": "g"} | how))


def parts(fit: lw.Fit, data: pa.Table) -> np.ndarray:
    return np.array([fit.validation.plan.fold_of(g) for g in data["g"].to_pylist()])


def matrix(data: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    return np.column_stack([data["a"], data["b"]]), np.asarray(data["y"])


def refits(data: pa.Table, part: np.ndarray, out: set[int], **how: Any) -> lw.Fit:
    """The model of the rows that are in none of these folds."""
    return lw.fit(data.filter(pa.array([p not in out for p in part])).drop(["g"]), "y", folds=0, **how)


# ---- limits ----


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    ("folds", "level"),
    [
        (2, 0.8),  # (1 - level)(n + 1) = 205
        (5, 12 / 13),  # 197
        *((2, level) for level in (0.5, 0.9, 0.99)),
        *((5, level) for level in (0.8, 0.9, 0.95)),
    ],
)
def test_limits_are_those_of_the_definition(folds: int, level: float, k: int) -> None:
    errors, guess = made([POINTS] * folds, k)
    found = Conformal.of(errors).limits(guess, level)
    np.testing.assert_allclose(found, by_definition(errors, guess, level), atol=EXACT)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("folds", [2, 5])
def test_limits_are_at_most_one_rank_inside_the_definition(folds: int, level: float, k: int) -> None:
    errors, guess = made([POINTS] * folds, k)
    n = POINTS * folds
    low, high = Conformal.of(errors).limits(guess, level)
    inner = by_definition(errors, guess, (math.ceil(round(level * (n + 1), 9)) - 1) / (n + 1))
    outer = by_definition(errors, guess, level)
    assert (low <= inner[0] + EXACT).all()
    assert (high >= inner[1] - EXACT).all()
    assert (low >= outer[0] - EXACT).all()
    assert (high <= outer[1] + EXACT).all()


@pytest.mark.parametrize("sizes", [[37, 400, 1200], [511, 513], [5000, 3, 700], [1024, 2048]])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.97])
def test_compressed_limits_are_not_narrower_than_the_definition(sizes: list[int], level: float) -> None:
    errors, guess = made(sizes, 2, seed=1)
    low, high = Conformal.of(errors).limits(guess, level)
    n = sum(sizes)
    # less than one rank: 1 of n + 1
    inner = by_definition(errors, guess, (math.ceil(round(level * (n + 1), 9)) - 1) / (n + 1))
    assert (low <= inner[0] + EXACT).all()
    assert (high >= inner[1] - EXACT).all()


def test_compressed_limits_are_wider_by_few_ranks() -> None:
    sizes = [5000, 3000, 700]
    errors, guess = made(sizes, 1, seed=2)
    low, high = Conformal.of(errors).limits(guess, 0.9)
    n = sum(sizes)
    wide = by_definition(errors, guess, 0.9 + (sum(s / POINTS for s in sizes) + 3) / n)
    assert (low >= wide[0] - EXACT).all()
    assert (high <= wide[1] + EXACT).all()


def test_no_error_at_all_leaves_the_spread_of_the_models() -> None:
    _, guess = made([600, 700, 800], 1)
    low, high = Conformal.of([np.zeros((n, 1)) for n in (600, 700, 800)]).limits(guess, 0.9)
    np.testing.assert_allclose(low, guess.min(axis=1), atol=EXACT)
    np.testing.assert_allclose(high, guess.max(axis=1), atol=EXACT)


@pytest.mark.parametrize("far", [1e9, -1e9])
def test_an_offset_moves_limits_alone(far: float) -> None:
    errors, guess = made([POINTS] * 3, 1)
    near, moved = (Conformal.of(errors).limits(g, 0.9) for g in (guess, guess + far))
    np.testing.assert_allclose(np.array(moved) - far, near, atol=1e-6)  # 1e9 leaves 7 digits behind 1


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, float("nan"), 0.99])
def test_a_level_that_cannot_be_had_is_refused_in_three_sentences(level: float) -> None:
    errors, guess = made([20, 30], 1)
    with refused(DataError, f"level {level:g}", "50 rows were held out", "1 / (1 - level)", "lower") as _:
        Conformal.of(errors).limits(guess, level)
    with pytest.raises(DataError) as caught:
        Conformal.of(errors).limits(guess, level)
    assert len([part for part in str(caught.value).split(". ") if part]) == 3


@pytest.mark.parametrize(("level", "rows"), [(0.9, 10), (0.95, 20), (0.99, 100)])
def test_as_many_rows_as_the_refusal_asks_for_are_enough(level: float, rows: int) -> None:
    errors, guess = made([rows // 2] * 2, 1)
    low, high = Conformal.of(errors).limits(guess, level)
    assert np.isfinite([low, high]).all()


def test_nine_rows_are_enough_for_nine_of_ten() -> None:
    low, high = Conformal.of([np.arange(1.0, 10)[:, None]]).limits(np.zeros((1, 1, 1)), 0.9)
    np.testing.assert_allclose([low, high], [[[-9]], [[9]]], atol=EXACT)


# ---- of a fit ----


@pytest.mark.parametrize(
    ("how", "of"),
    [(RIDGE, None), (RIDGE, "unseen"), ({}, "unseen"), ({"group": None, "exclude": ["g"]}, "unseen")],
    ids=["penalty", "penalty, said", "plain", "no group"],
)
def test_limits_of_a_fit_are_those_of_refits_without_each_fold(how: dict[str, Any], of: str | None) -> None:
    if "exclude" in how:
        data, how = grouped().drop(["g"]), {"group": None}
    else:
        data = grouped()
    fit = fitted(data, folds=4, **how)
    guess, low, high = fit.predict(data.slice(0, 30), interval=0.9, of=of)
    np.testing.assert_array_equal(guess, fit.predict(data.slice(0, 30)))
    held = fit.validation.rows
    X, y = matrix(data)
    errors, mus = [], []
    for f in range(4):
        here = held.part == f
        if "g" in data.column_names:
            other = refits(data, held.part, {f}, **{k: v for k, v in how.items() if k == "penalty"})
            coef, intercept = other.coef, other.intercept
        else:
            coef, intercept = fit.validation.coef[f, 0], fit.validation.intercept[f, 0]
        errors.append((y - X @ coef - intercept)[here][:, None])
        mus.append(X[:30] @ coef + intercept)
    wanted = by_definition(errors, np.stack(mus, 1)[:, :, None], 0.9)
    ranks = by_definition(errors, np.stack(mus, 1)[:, :, None], 0.9 - 1 / 401)
    # folds of about 100 rows are spread over POINTS: a rank or two
    wide = by_definition(errors, np.stack(mus, 1)[:, :, None], 0.9 + 3 / 401)
    for side, sign in ((low, 1), (high, -1)):
        i = 0 if sign == 1 else 1
        assert (sign * side <= sign * ranks[i][:, 0] + 1e-9).all()
        assert (sign * side >= sign * wide[i][:, 0] - 1e-9).all()
        assert np.abs(side - wanted[i][:, 0]).max() < 0.5


def test_unasked_intervals_are_of_the_unseen_for_penalties_and_sequences_and_else_of_rows() -> None:
    data = grouped()
    rng = np.random.default_rng(0)
    seqs = ["".join(rng.choice([*"ACDEFGHIKL"], 30)) for _ in range(60)]
    texts = pa.table({"s": seqs, "y": rng.normal(size=60)})
    of_texts = lw.fit(texts, "y", sequence="s", encode_as="composition", group="sequence:each")
    for fit, rows, of in (
        (fitted(data, **RIDGE), data, "unseen"),
        (of_texts, texts, "unseen"),
        (fitted(data), data, "row"),
    ):
        assert fit.interval_of == of
        for unasked, asked in zip(
            fit.predict(rows, interval=0.8), fit.predict(rows, interval=0.8, of=of), strict=True
        ):
            np.testing.assert_array_equal(unasked, asked)


def test_of_without_an_interval_is_refused() -> None:
    fit = fitted(grouped())
    for of in ("unseen", "row", "mean"):
        with refused(UsageError, f"of='{of}'", "interval=0.95"):
            fit.predict(grouped(), of=of)


def test_of_what_is_not_known_is_refused() -> None:
    with refused(UsageError, "of='new'", "'unseen'"):
        fitted(grouped()).predict(grouped(), interval=0.9, of="new")


def test_without_folds_there_are_no_intervals_of_the_unseen() -> None:
    with refused(UsageError, "no folds were asked for", "Fit with folds"):
        fitted(grouped(), folds=0, **RIDGE).predict(grouped(), interval=0.9)


@pytest.mark.parametrize(
    "how",
    [RIDGE, {}, {"penalty": lw.L2("cv")}, {"missing": "mean"}, {"repeats": 2, **RIDGE}],
    ids=["ridge", "plain", "chosen", "mean", "repeats"],
)
def test_a_loaded_model_gives_the_same_limits_to_the_bit(how: dict[str, Any], tmp_path: Path) -> None:
    data = grouped()
    fit = fitted(data, **how)
    lw.save(fit, tmp_path / "m.safetensors")
    loaded = lw.load(tmp_path / "m.safetensors")
    for one, other in zip(
        fit.predict(data, interval=0.9, of="unseen"),
        loaded.predict(data, interval=0.9, of="unseen"),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert not isinstance(loaded.coverage(), Coverage)
    assert loaded.facts["validation"].get("intervals") == fit.facts["validation"].get("intervals")


def test_rows_with_gaps_have_no_limits_under_drop() -> None:
    data = grouped()
    a = np.array(data["a"].to_pylist())
    a[::7] = np.nan
    data = data.set_column(0, "a", pa.array(a, from_pandas=True))
    found = fitted(data, missing="drop", **RIDGE).predict(data, interval=0.9)
    for values in found:
        np.testing.assert_array_equal(np.isnan(values), np.isnan(a))


def test_gaps_are_filled_by_the_mean_of_each_training_part() -> None:
    data = grouped()
    a = np.array(data["a"].to_pylist()) + 5
    a[::5] = np.nan
    data = data.set_column(0, "a", pa.array(a, from_pandas=True))
    fit = fitted(data, folds=4, missing="mean", **RIDGE)
    part = parts(fit, data)
    X, y = matrix(data)
    X[:, 0] = a
    errors, guess = [], []
    for f in range(4):
        mine = np.where(np.isnan(X), np.nanmean(X[part != f], axis=0), X)
        other = lw.fit((mine[part != f], y[part != f]), folds=0, **RIDGE)
        errors.append((y - other.predict(mine))[part == f][:, None])
        guess.append(other.predict(mine))
    want = Conformal.of(errors).limits(np.stack(guess, 1)[:, :, None], 0.9)
    _, low, high = fit.predict(data, interval=0.9)
    np.testing.assert_allclose([low, high], np.array(want)[:, :, 0], atol=1e-9)
    assert isinstance(fit.coverage(), Coverage)


def test_limits_of_several_targets_are_those_of_each() -> None:
    data = grouped()
    both = data.append_column("z", pa.array(np.random.default_rng(3).normal(size=len(data))))
    found = lw.fit(both, ["y", "z"], group="g", **RIDGE).predict(both, interval=0.9)
    for j, target in enumerate(("y", "z")):
        one = lw.fit(both.drop(["y" if target == "z" else "z"]), target, group="g", **RIDGE)
        for many, single in zip(found, one.predict(both, interval=0.9), strict=True):
            np.testing.assert_allclose(many[:, j], single, atol=1e-9)


# ---- how often they hold ----


def by_hand(data: pa.Table, part: np.ndarray, folds: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    """Share and median width of each fold, by models that are fitted without both folds."""
    X, y = matrix(data)
    held, width = [], []
    for f in range(folds):
        others = [k for k in range(folds) if k != f]
        models = [refits(data, part, {f, k}, **how) for k in others]
        guess = np.stack([X @ m.coef + m.intercept for m in models], 1)
        errors = [(y - guess[:, i])[part == k][:, None] for i, k in enumerate(others)]
        low, high = Conformal.of(errors).limits(guess[part == f][:, :, None], 0.9)
        inside = (low[:, 0] <= y[part == f]) & (y[part == f] <= high[:, 0])
        held.append(inside.mean())
        width.append(np.median(high - low))
    return np.array(held), np.array(width)


@pytest.mark.parametrize("how", [{}, RIDGE], ids=["plain", "ridge"])
@pytest.mark.parametrize("shift", [0.0, 8.0])
def test_coverage_is_that_of_models_without_both_folds(shift: float, how: dict[str, Any]) -> None:
    data = grouped(groups=8, shift=shift)
    fit = fitted(data, folds=4, **how)
    found = fit.coverage(0.9)
    held, width = by_hand(data, parts(fit, data), 4, **how)
    np.testing.assert_allclose(found.held[:, 0], held, atol=1e-12)
    np.testing.assert_allclose(found.width[:, 0], width, rtol=1e-9)


@pytest.mark.parametrize("how", [{}, RIDGE], ids=["plain", "ridge"])
def test_of_rows_that_are_alike_nine_of_ten_are_inside(how: dict[str, Any]) -> None:
    fit = fitted(grouped(2_000, 200, seed=4), **how)
    assert 0.87 < fit.coverage(0.9).held.mean() < 0.93
    new = grouped(4_000, 200, seed=5)
    _, low, high = fit.predict(new, interval=0.9, of="unseen")
    y = np.asarray(new["y"])
    assert 0.87 < ((low <= y) & (y <= high)).mean() < 0.93


def test_a_fold_apart_from_all_others_is_not_covered_and_that_is_said() -> None:
    data = grouped(400, 4, seed=6)
    far = np.array([100.0 if g == "g0" else 0.0 for g in data["g"].to_pylist()])
    data = data.set_column(3, "y", pa.array(np.asarray(data["y"]) + far))
    fit = fitted(data, folds=4)
    found = fit.coverage(0.9)
    apart = parts(fit, data)[[g == "g0" for g in data["g"].to_pylist()]][0]
    assert found.held[apart, 0] < 0.05
    assert found.held.mean() < 0.8
    told = fit.facts["validation"]["intervals"]
    np.testing.assert_allclose(told["held"], found.held.mean(), atol=1e-12)
    assert f"held for {found.held.mean():.1%} of the rows left out" in fit.summary()


def test_levels_order_limits_and_coverage() -> None:
    data = grouped()
    fit = fitted(data, **RIDGE)
    wide = [fit.predict(data, interval=level) for level in (0.5, 0.8, 0.95)]
    for narrow, wider in pairwise(wide):
        assert (wider.low <= narrow.low).all()
        assert (wider.high >= narrow.high).all()
    held = [fit.coverage(level).held.mean() for level in (0.5, 0.8, 0.95)]
    assert held == sorted(held)


@pytest.mark.parametrize(
    "how", [{"folds": 11}, {"folds": 4, "repeats": 2}, {"folds": 2}, {"folds": 0}], ids=str
)
def test_where_pairs_of_folds_cannot_be_left_out_there_is_a_reason(how: dict[str, Any]) -> None:
    fit = fitted(grouped(), **RIDGE, **how)
    found = fit.coverage()
    assert isinstance(found, NoValidation)
    assert not found
    assert found.reason
    assert "intervals" not in fit.facts["validation"]
    fit.summary()


def test_intervals_are_told_in_json_in_the_summary_and_on_the_page() -> None:
    data = grouped()
    fit = fitted(data, **RIDGE)
    told = fit.facts["validation"]["intervals"]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["level"] == 0.9
    assert told["guaranteed"] == pytest.approx(0.8)
    words = f"held for {told['held']:.1%} of the rows left out, 80% is certain"
    assert words in fit.summary()
    assert words in " ".join(page(fit.facts).split())


def test_a_small_grouped_fit_is_told_though_no_interval_can_be_had() -> None:
    data = grouped(12, 4, seed=1)
    fit = fitted(data, folds=3)
    assert fit.validation
    assert isinstance(fit.coverage(), NoValidation)
    assert "intervals" not in fit.facts["validation"]


def test_a_fit_whose_pairs_of_folds_leave_too_few_rows_is_told() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(45, 20))
    columns = {f"x{i}": x for i, x in enumerate(X.T)}
    data = pa.table({**columns, "g": [f"g{i % 3}" for i in range(45)], "y": rng.normal(size=45)})
    fit = lw.fit(data, "y", group="g", folds=3)
    assert fit.validation
    found = fit.coverage()
    assert isinstance(found, NoValidation) or np.isfinite(found.width).all()
    assert "R2" in fit.summary()
