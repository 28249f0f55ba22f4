"""What stands beside the score of sequences: the random split, the nearest relative, and the noise."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from test_regimes import HOT, RIDGE, WILD, families, fitted, variants

import leastwise as lw
from leastwise.report.beside import banded, companions, sentences
from leastwise.report.numbers import number
from leastwise.report.page import page
from leastwise.sequences import repeats
from leastwise.sequences.alignment import Alignments, Database
from leastwise.validation import NoValidation

SCORE_DIGITS = 1e-9  # scores of about 1 from sums over a hundred rows


def of_families(count: int = 25, members: int = 3, seed: int = 7) -> tuple[list[str], np.ndarray]:
    """Sequences whose value is their family's, which no residue tells, and noise."""
    seqs, family = families(count, members, 0.8, seed)
    rng = np.random.default_rng(seed)
    return seqs, rng.normal(size=count)[family] + 0.2 * rng.normal(size=len(seqs))


@pytest.fixture(scope="module")
def kin() -> tuple[lw.Fit, list[str], np.ndarray]:
    seqs, y = of_families()
    cells = [*seqs, *seqs[:10], *(s.lower() for s in seqs[10:15])]  # measured twice
    y = np.concatenate([y, y[:15] + 0.2 * np.random.default_rng(1).normal(size=15)])
    return fitted(cells, y, group="identity:0.3", folds=4, **RIDGE), cells, y


@pytest.fixture(scope="module", params=["position:modulo", "mutations:2"])
def made_of_variants(request: Any) -> tuple[lw.Fit, list[str], np.ndarray]:
    seqs, y = variants(160)
    cells, y = [*seqs, *seqs[:9]], np.concatenate([y, y[:9] + 0.1])
    return fitted(cells, y, wild_type=WILD, group=request.param, **HOT), cells, y


def aligned(fit: lw.Fit, cells: list[str]) -> np.ndarray:
    """Identities (n, n) of all pairs of rows that chance does not explain, every pair aligned; else 0."""
    distinct = tuple(sorted({cell.upper() for cell in cells}))
    n, related, database = len(distinct), fit.kindred.dealt.kin.related, Database(distinct)
    rows = []
    for i in range(n - 1):
        others = np.arange(i + 1, n)
        scores = database.scores(i, others)
        worth = database.worth(i, others, scores, related, n)
        rows += database.alignments(i, others[worth], scores[worth])
    found = Alignments.of(rows)
    near = related.reaches(found, n)
    share = np.zeros((n, n))
    share[found.query[near], found.target[near]] = found.identity[near]
    at = [distinct.index(cell.upper()) for cell in cells]
    return np.maximum(share, share.T)[np.ix_(at, at)]


def apart(cells: list[str]) -> np.ndarray:
    """How many residues differ (n, n)."""
    return np.array([[sum(a != b for a, b in zip(s, t, strict=True)) for t in cells] for s in cells])


def sides(scores: Any, cells: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    part = np.array([scores.plan.fold_of(cell) for cell in cells])
    return [(np.isin(part, split.held), np.isin(part, split.train)) for split in scores.plan.splits]


def copied(
    held: np.ndarray, train: np.ndarray, near: np.ndarray, cells: list[str], y: np.ndarray
) -> np.ndarray:
    """Of each row held out the mean over sequences of the values of all that are nearest in training."""
    of = {i: cells[i].upper() for i in range(len(cells))}
    guess = np.full(len(y), y[train].mean())
    for i in np.flatnonzero(held):
        best = max(near[i, j] for j in np.flatnonzero(train))
        if best > 0:
            some = {of[j] for j in np.flatnonzero(train) if near[i, j] == best}
            means = [np.mean([y[j] for j in range(len(y)) if train[j] and of[j] == s]) for s in some]
            guess[i] = np.mean(means)
    return guess


def rmse(off: np.ndarray) -> float:
    return float(np.sqrt(np.mean(off**2)))


def check_nearest(found: Any, scores: Any, near: np.ndarray, cells: list[str], y: np.ndarray) -> None:
    wanted = []
    for held, train in sides(scores, cells):
        off = (y - copied(held, train, near, cells, y))[held]
        wanted.append((1 - np.mean(off**2) / y[held].var(), rmse(off)))
    np.testing.assert_allclose(np.transpose([found.r2, found.rmse]), wanted, atol=SCORE_DIGITS)


# ---- the random split ----


def test_the_random_split_is_by_each_sequence_and_flatters_where_families_count() -> None:
    cells, y = of_families(25, 4)
    how = {"folds": 4, "encode_as": "kmers:2", "penalty": lw.L2(1e-6)}
    fit = fitted(cells, y, group="identity:0.3", **how)
    assert fit.random.plan.regime == "sequence:each"
    for held, train in sides(fit.random, cells):
        assert not {cells[i].upper() for i in np.flatnonzero(held)} & {
            cells[i].upper() for i in np.flatnonzero(train)
        }
    assert fit.random.r2.mean() > fit.validation.r2.mean() + 0.2
    again = fitted(cells, y, group="sequence:each", **how)
    np.testing.assert_allclose(fit.random.r2, again.validation.r2, atol=SCORE_DIGITS)


def test_the_random_split_has_as_many_folds_as_the_score_it_stands_beside() -> None:
    seqs, y = of_families()
    fit = fitted(seqs, y, group="identity:0.3", repeats=3, folds=4, **RIDGE)
    folds = [scores.k // scores.plan.repeats for scores in (fit.validation, fit.random)]
    assert folds == [4, 4]


def test_what_is_dealt_by_itself_has_no_other_random_split() -> None:
    seqs, y = of_families()
    fit = fitted(seqs, y, group="sequence:each", **RIDGE)
    assert isinstance(fit.random, NoValidation)
    assert fit.beside is None or fit.beside.random is None
    assert "random split" not in fit.summary()


def test_without_sequences_nothing_stands_beside() -> None:
    rng = np.random.default_rng(0)
    data = pa.table({"a": rng.normal(size=60), "g": [f"g{i % 9}" for i in range(60)], "y": np.arange(60.0)})
    fit = lw.fit(data, "y", group="g")
    assert fit.beside is None
    assert "beside" not in fit.facts["validation"]


# ---- the nearest ----


def test_the_nearest_by_kinship_is_that_of_every_pair_aligned(kin: Any) -> None:
    fit, cells, y = kin
    near = aligned(fit, cells)
    check_nearest(fit.beside.nearest, fit.validation, near, cells, y)
    check_nearest(fit.beside.nearest_random, fit.random, near, cells, y)
    assert fit.beside.nearest_random.r2.mean() > fit.beside.nearest.r2.mean()
    found = [
        near[i, train].max() > 0 for held, train in sides(fit.random, cells) for i in held.nonzero()[0]
    ]
    assert fit.beside.nearest_random.found == pytest.approx(np.mean(found))


def test_the_nearest_variants_are_all_those_at_the_least_distance(made_of_variants: Any) -> None:
    fit, cells, y = made_of_variants
    near = len(WILD) - apart(cells)
    check_nearest(fit.beside.nearest, fit.validation, near, cells, y)
    check_nearest(fit.beside.nearest_random, fit.random, near, cells, y)
    assert fit.beside.bands == ()


def test_a_sequence_in_two_spellings_is_copied_by_the_mean_of_all_its_measurements() -> None:
    seqs, y = of_families()
    cells = [*seqs, *(s.lower() for s in seqs for _ in range(3))]
    y = np.concatenate([y, np.repeat(y, 3) + 1])
    fit = fitted(cells, y, group="identity:0.3", folds=4, **RIDGE)
    check_nearest(fit.beside.nearest_random, fit.random, aligned(fit, cells), cells, y)


def test_gaps_leave_rows_out_of_all_that_stands_beside() -> None:
    seqs, y = of_families()
    some = [None if i % 11 == 0 else s for i, s in enumerate(seqs)]
    y[3] = np.nan
    fit = fitted(some, y, missing="drop", group="identity:0.3", folds=4, **RIDGE)
    keep = [i for i, s in enumerate(some) if s and np.isfinite(y[i])]
    cells = [seqs[i] for i in keep]
    assert sum(band.n for band in fit.beside.bands) == fit.tally.used == len(keep)
    check_nearest(fit.beside.nearest_random, fit.random, aligned(fit, cells), cells, y[keep])
    low = fit.predict(pa.table({"s": some}), interval=0.9).low
    np.testing.assert_array_equal(np.isnan(low), [s is None for s in some])


# ---- bands ----


def test_each_row_held_out_is_in_one_band_with_its_errors(kin: Any) -> None:
    fit, cells, y = kin
    near, held_out = aligned(fit, cells), fit.random.rows
    np.testing.assert_array_equal(held_out.Y[:, 0], y)
    best, mean, guess = (np.zeros(len(y)) for _ in range(3))
    for held, train in sides(fit.random, cells):
        best[held] = near[np.ix_(held, train)].max(axis=1)
        mean[held] = y[train].mean()
        guess[held] = copied(held, train, near, cells, y)[held]
    bands, taken = fit.beside.bands, np.zeros(len(y), int)
    assert sum(band.n for band in bands) == len(y)
    for band in bands:
        low = -1.0 if band.low is None else max(band.low, 1e-12)
        inside = (best >= low) & ((best < band.high) | (band.high == 1)) if band.high else best == 0
        taken += inside
        assert band.n == inside.sum()
        wanted = [rmse((y - by)[inside]) for by in (held_out.guess[:, 0, 0], mean, guess)]
        np.testing.assert_allclose(
            [band.rmse, band.mean_rmse, band.nearest_rmse], wanted, atol=SCORE_DIGITS
        )
    np.testing.assert_array_equal(taken, 1)


# ---- noise ----


def test_the_ceiling_is_that_of_repeats(kin: Any) -> None:
    fit, cells, y = kin
    wanted = repeats(cells, y)
    assert fit.beside.repeats.ceiling == pytest.approx(wanted.ceiling, abs=1e-12)
    assert fit.beside.repeats.counts.tolist() == wanted.counts.tolist() == [2] * 15


# ---- told ----


def test_what_stands_beside_is_told_alike_in_json_text_and_page(kin: Any) -> None:
    fit = kin[0]
    scores = fit.facts["validation"]
    for name in ("beside", "intervals"):
        assert json.loads(json.dumps(scores[name], allow_nan=False)) == scores[name]
    beside = scores["beside"]
    assert beside["nearest"]["mean"]["r2"] == pytest.approx(fit.beside.nearest.r2.mean())
    assert beside["random"]["mean"]["r2"] == pytest.approx(fit.random.r2.mean())
    assert beside["random"]["sd"]["rmse"] == pytest.approx(fit.random.rmse.std(ddof=1))
    assert beside["repeated"] == 15
    assert sum(band["n"] for band in beside["bands"]) == fit.tally.used
    told = [" ".join(html.unescape(text).split()) for text in (fit.summary(), page(fit.facts))]
    rows = [*companions(beside), *banded(scores)]
    for text in told:
        for cell in (cell for row in rows for cell in row if cell):
            assert cell in text, cell
        for line in sentences(scores, None):
            assert " ".join(line.split()) in text, line
        assert f"apart by {number(beside['within'])} (SD)" in text
        assert f"R2 above {beside['ceiling']:.2f}" in text


def test_without_repeats_no_ceiling_is_told() -> None:
    seqs, y = of_families(20, 2)
    fit = fitted(seqs, y, group="identity:0.3", **RIDGE)
    beside = fit.facts["validation"]["beside"]
    assert beside["repeated"] == 0
    assert beside["ceiling"] is None
    json.dumps(beside, allow_nan=False)
    assert "no model can expect" not in fit.summary()


def test_several_targets_are_told_of_the_first() -> None:
    seqs, y = of_families()
    z = np.random.default_rng(2).normal(size=len(y))
    data = pa.table({"s": seqs, "y": y, "z": z})
    both = lw.fit(data, ["y", "z"], sequence="s", group="identity:0.3", **RIDGE)
    one = lw.fit(data.drop(["z"]), "y", sequence="s", group="identity:0.3", **RIDGE)
    np.testing.assert_allclose(both.beside.nearest.r2, one.beside.nearest.r2, atol=SCORE_DIGITS)
    first, second = (fit.facts["validation"]["beside"] for fit in (both, one))
    assert first["random"]["mean"]["r2"] == pytest.approx(second["random"]["mean"]["r2"])
    both.summary()
    page(both.facts)


def test_a_loaded_model_tells_the_same(kin: Any, tmp_path: Path) -> None:
    fit = kin[0]
    lw.save(fit, tmp_path / "m.safetensors")
    loaded = lw.load(tmp_path / "m.safetensors")
    assert loaded.facts["validation"] == fit.facts["validation"]
    assert loaded.summary() == fit.summary()
    assert page(loaded.facts) == page(fit.facts)
    assert loaded.beside is None
