"""Encodings of sequences: each fit is that of the dense matrix of the same columns, made by loops."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad import refused
from scipy.stats import spearmanr

import leastwise as lw
from leastwise.errors import ColumnError, DataError, MissingError, SequenceError, UsageError
from leastwise.recipe import Recipe
from leastwise.rows import open_rows
from leastwise.sequences.clean import ALPHABET, pack
from leastwise.sequences.designs import hashed_kmers
from leastwise.sequences.features import FEATURES, feature_matrix

SEED = 5
LENGTH = 24
WILD = "MKTAYIAKQRQISFVKSHFSRQLE"
STORED = ("kmers:1", "kmers:2", "kmers:5:64", "one-hot", "composition+kmers:2", "kmers:2+one-hot")
EVERY = ("properties", "composition", *STORED, "one-hot+properties")
MODELS: dict[str, dict[str, Any]] = {
    "least squares": {"folds": 0, "rank": "min-norm"},
    "ridge": {"folds": 0, "penalty": lw.L2(0.01)},
    "standardised": {"folds": 0, "penalty": lw.L2(0.01), "standardize": True},
    "no intercept": {"folds": 0, "penalty": lw.L2(0.01), "intercept": False},
}


def protein(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice([*ALPHABET], length))


def named(rng: np.random.Generator, count: int, places: int = LENGTH) -> list[str]:
    """Names of variants of WILD, one to three substitutions each, in the order of positions."""
    names = []
    for m in rng.integers(1, 4, count):
        at = np.sort(rng.choice(places, m, replace=False))
        names.append(
            ":".join(f"{WILD[p]}{p + 1}{rng.choice([a for a in 'ACDW' if a != WILD[p]])}" for p in at)
        )
    return names


def written_out(name: str, first: int = 1) -> str:
    """The sequence that a name stands for, letter by letter."""
    letters = list(WILD)
    for one in name.split(":"):
        if one != "WT":
            assert letters[int(one[1:-1]) - first] == one[0]
            letters[int(one[1:-1]) - first] = one[-1]
    return "".join(letters)


def moved(name: str, by: int) -> str:
    """The same name with other numbers."""
    return re.sub(r"\d+", lambda number: str(int(number[0]) + by), name)


def variants(n: int = 120, seed: int = SEED) -> tuple[list[str], list[str], np.ndarray]:
    """Names, their sequences, and values (n,): a sum of effects of letters, and noise."""
    rng = np.random.default_rng(seed)
    names = named(rng, n)
    effect = {(p, a): rng.normal() for p in range(LENGTH) for a in ALPHABET}
    seqs = [written_out(name) for name in names]
    y = [sum(effect[p, a] for p, a in enumerate(s) if a != WILD[p]) for s in seqs]
    return names, seqs, np.array(y) + 0.1 * rng.normal(size=n)


def most_common(seqs: list[str]) -> str:
    """The most common letter at each position, the first in the alphabet of several."""
    columns = ["".join(s[p] for s in seqs) for p in range(len(seqs[0]))]
    return "".join(max(ALPHABET, key=lambda a, c=column: c.count(a)) for column in columns)


def words_of(s: str, k: int) -> np.ndarray:
    found = np.zeros(20**k)
    for at in range(len(s) - k + 1):
        place = 0
        for letter in s[at : at + k]:
            place = 20 * place + ALPHABET.index(letter)
        found[place] += 1
    return found / max(found.sum(), 1)


def hot(seqs: list[str], wild: str) -> tuple[list[str], np.ndarray]:
    """One where a letter stands, less the row of the wild type; columns that are 0 everywhere are out."""
    names, columns = [], []
    for p, own in enumerate(wild):
        for letter in (own, *(a for a in ALPHABET if a != own)):
            column = np.array([float(s[p] == letter) - float(own == letter) for s in seqs])
            if column.any():
                names.append(f"{own}{p + 1}" + ("" if letter == own else letter))
                columns.append(column)
    return names, np.array(columns).T


def twin(encoding: str, seqs: list[str], wild: str | None = None) -> np.ndarray:
    """The columns (n, p) of an encoding, dense, by loops."""
    made = []
    for part in encoding.split("+"):
        name, *numbers = part.split(":")
        if part == "properties":
            made.append(feature_matrix(pack(seqs), tuple(f.name for f in FEATURES)))
        elif part == "composition":
            made.append(np.array([[s.count(a) / len(s) for a in ALPHABET] for s in seqs]))
        elif part == "one-hot":
            made.append(hot(seqs, wild or most_common(sorted(set(seqs))))[1])
        elif name == "kmers" and len(numbers) == 1:
            made.append(np.array([words_of(s, int(numbers[0])) for s in seqs]))
        else:  # hashes have a twin of their own in test_designs.py
            made.append(hashed_kmers(pack(seqs), *map(int, numbers)).toarray())
    return np.hstack(made)


def table(cells: Any, y: Any, **more: Any) -> pa.Table:
    return pa.table({"s": list(cells), "y": y, **more})


def columns_of(fit: lw.Fit, source: Any) -> np.ndarray:
    """X (n, p) as the fit reads it, slab by slab."""
    slabs = open_rows(source).slabs(fit.recipe.reads)
    found = [fit.recipe.columns(slab)[0] for slab in slabs]
    return np.vstack([x if isinstance(x, np.ndarray) else x.toarray() for x in found])


def guessed(fit: lw.Fit, source: Any) -> np.ndarray:
    """The columns as the fit reads them, times its coefficients (n,)."""
    return np.asarray(columns_of(fit, source) @ fit.coef + fit.intercept)


def same_fit(one: lw.Fit, other: lw.Fit, X: np.ndarray, digits: float = 1e-9) -> None:
    """Fitted values agree, and coefficients where the columns settle them: in units of what they move."""
    a, b = (np.atleast_2d(X @ np.atleast_2d(f.coef).T + f.intercept) for f in (one, other))
    np.testing.assert_allclose(a, b, rtol=digits, atol=digits * np.abs(b).max())
    size = X.std(axis=0) + 1e-300
    a, b = np.atleast_2d(one.coef) * size, np.atleast_2d(other.coef) * size
    np.testing.assert_allclose(a, b, atol=digits * np.abs(b).max())


# ---- each encoding is its columns ----


@pytest.mark.parametrize("encoding", EVERY)
def test_columns_are_those_of_loops_over_letters(encoding: str) -> None:
    _, seqs, y = variants()
    fit = lw.fit(table(seqs, y), "y", sequence="s", encode_as=encoding, folds=0, penalty=lw.L2(1.0))
    np.testing.assert_allclose(columns_of(fit, table(seqs, y)), twin(encoding, seqs), atol=1e-14)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("encoding", EVERY)
def test_a_fit_is_that_of_the_dense_columns(encoding: str, model: dict[str, Any]) -> None:
    _, seqs, y = variants()
    X = twin(encoding, seqs)
    # properties span 1e-2 to 1e4: beside other columns, where sums are in float64, 7 digits are left
    digits = 1e-6 if "properties" in encoding else 1e-9
    ours = lw.fit(table(seqs, y), "y", sequence="s", encode_as=encoding, **model)
    same_fit(ours, lw.fit((X, y), **model), X, digits)


@pytest.mark.parametrize("kind", ["analytic", "frequency", "sampling"])
@pytest.mark.parametrize("encoding", STORED)
def test_weights_count_as_in_the_dense_fit(encoding: str, kind: str) -> None:
    _, seqs, y = variants()
    w = np.random.default_rng(1).integers(0, 4, len(y)).astype(float)
    common = {"weight": "w", "weight_kind": kind, "penalty": lw.L2(0.01), "folds": 0}
    ours = lw.fit(table(seqs, y, w=w), "y", sequence="s", encode_as=encoding, **common)
    X = twin(encoding, seqs)
    dense = pa.table({f"x{j}": x for j, x in enumerate(X.T)} | {"y": y, "w": w})
    theirs = lw.fit(dense, "y", **common)
    same_fit(ours, theirs, X)
    assert ours.tally.dropped == theirs.tally.dropped == {"'w' as its weight is 0": int((w == 0).sum())}


@pytest.mark.parametrize("encoding", EVERY)
def test_several_targets_are_fitted_as_each_alone(encoding: str) -> None:
    _, seqs, y = variants()
    z = np.random.default_rng(2).normal(size=len(y)) + 1e3
    common = {"sequence": "s", "encode_as": encoding, "penalty": lw.L2(0.02), "folds": 0}
    frame = table(seqs, y, z=z)
    X = twin(encoding, seqs)
    both = lw.fit(frame, ["y", "z"], **common)
    digits = 1e-6 if "properties" in encoding else 1e-9
    same_fit(both, lw.fit((X, np.column_stack([y, z])), penalty=lw.L2(0.02), folds=0), X, digits)
    for j, name in enumerate(("y", "z")):
        alone = lw.fit(frame.select(["s", name]), name, **common)
        same_fit(alone, lw.fit((X, frame[name].to_numpy()), penalty=lw.L2(0.02), folds=0), X, digits)
        size = X.std(axis=0)
        np.testing.assert_allclose(both.coef[j] * size, alone.coef * size, atol=1e3 * digits)


@pytest.mark.parametrize("group", ["sequence:each", "position:modulo", "mutations:2"])
@pytest.mark.parametrize("encoding", STORED)
def test_scores_are_those_of_the_dense_fit_on_the_same_folds(encoding: str, group: str) -> None:
    _, seqs, y = variants(200)
    common = {"penalty": lw.L2(0.01)}
    ours = lw.fit(table(seqs, y), "y", sequence="s", encode_as=encoding, group=group, **common)
    plan = ours.validation.plan
    part = np.array([plan.fold_of(s) for s in seqs])
    X, use = twin(encoding, seqs), ~np.isin(part, plan.never)
    names = np.array([f"f{p}" for p in range(plan.k)], object)
    names[list(plan.always)] = "-1"
    dense = {f"x{j}": x[use] for j, x in enumerate(X.T)}
    theirs = lw.fit(
        pa.table({**dense, "y": y[use], "fold": names[part[use]].tolist()}),
        "y", group="fold", features=list(dense), folds="predefined", **common,
    )  # fmt: skip
    assert ours.validation.n.tolist() == theirs.validation.n.tolist()
    for score in ("mse", "r2", "train_mse", "mean_mse", "mae"):
        a, b = (getattr(f.validation, score) for f in (ours, theirs))
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=score)
    f = ours.validation
    for i, split in enumerate(plan.splits):
        held = np.isin(part, split.held)
        guess = X[held] @ f.coef[i, 0] + f.intercept[i, 0]
        np.testing.assert_allclose(f.mse[i], np.mean((guess - y[held]) ** 2), rtol=1e-9)
        # guesses that are equal but for rounding are ranked either way: few of them, for a hundredth
        ties = len(guess) - len(np.unique(np.round(guess, 9)))
        if ties < len(guess) / 4:
            rho = spearmanr(guess, y[held])[0]
            np.testing.assert_allclose(f.spearman[i], rho, atol=2e-2 if ties else 1e-9)


@pytest.mark.parametrize("encoding", EVERY)
def test_rows_without_a_cell_are_left_out_and_counted(encoding: str) -> None:
    _, seqs, y = variants()
    holed: list[str | None] = list(seqs)
    for i in (0, 7, 119):
        holed[i] = None
    values = np.where(np.arange(120) == 50, np.nan, y)
    keep = np.delete(np.arange(120), [0, 7, 50, 119])
    common = {"sequence": "s", "encode_as": encoding, "penalty": lw.L2(0.01), "folds": 0}
    frame = pa.table({"s": holed, "y": pa.array(values, from_pandas=True)})
    ours = lw.fit(frame, "y", missing="drop", **common)
    few = lw.fit(table([seqs[i] for i in keep], y[keep]), "y", **common)
    # the substitution of a row that is out for its target alone is a column of zeros: its effect is 0
    at = [ours.names.index(name) for name in few.names]
    np.testing.assert_allclose(ours.coef[at], few.coef, atol=1e-9 * np.abs(few.coef).max())
    assert not np.delete(ours.coef, at).any()
    assert ours.tally.dropped == {"'s' missing": 3, "'y' missing": 1}
    with refused(MissingError, "3 missing values", "120 rows", "row 1"):
        lw.fit(frame.drop(["y"]).append_column("y", pa.array(y)), "y", **common)


@pytest.mark.parametrize("encoding", EVERY)
def test_a_prediction_is_the_columns_times_the_coefficients(encoding: str, tmp_path: Path) -> None:
    _, seqs, y = variants()
    fit = lw.fit(table(seqs, y), "y", sequence="s", encode_as=encoding, penalty=lw.L2(0.01))
    guess = fit.predict(table(seqs, y))
    X = twin(encoding, seqs)
    np.testing.assert_allclose(guess, X @ fit.coef + fit.intercept, rtol=1e-12, atol=1e-12)
    lw.save(fit, tmp_path / "model.safetensors")
    again = lw.load(tmp_path / "model.safetensors")
    assert again.names == fit.names
    np.testing.assert_array_equal(again.predict(pa.table({"s": seqs})), guess)
    assert Recipe.from_dict(fit.recipe.to_dict()) == fit.recipe


def as_csv(frame: pa.Table, path: Path) -> Any:
    frame.to_pandas().to_csv(path / "rows.csv", index=False)
    return path / "rows.csv"


def as_parquet(frame: pa.Table, path: Path) -> Any:
    pq.write_table(frame, path / "rows.parquet", row_group_size=17)
    return path / "rows.parquet"


def as_files(frame: pa.Table, path: Path) -> Any:
    for i, start in enumerate(range(0, frame.num_rows, 31)):
        pq.write_table(frame.slice(start, 31), path / f"part{i}.parquet")
    return path


SOURCES: dict[str, Callable[[pa.Table, Path], Any]] = {
    "pandas": lambda frame, _: frame.to_pandas(),
    "pandas, categories": lambda frame, _: frame.to_pandas().astype({"s": "category"}),
    "polars": lambda frame, _: pl.from_arrow(frame),
    "csv": as_csv,
    "parquet": as_parquet,
    "a folder": as_files,
}


@pytest.mark.parametrize("encoding", ["composition", "kmers:2", "one-hot"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_whatever_holds_the_rows_gives_the_same_fit(
    source: Callable[[pa.Table, Path], Any], encoding: str, tmp_path: Path
) -> None:
    _, seqs, y = variants()
    frame = table(seqs, y)
    common = {"sequence": "s", "encode_as": encoding, "penalty": lw.L2(0.01), "group": "sequence:each"}
    came = source(frame, tmp_path)
    fit, truth = lw.fit(came, "y", **common), lw.fit(frame, "y", **common)
    same_fit(fit, truth, twin(encoding, seqs))
    np.testing.assert_allclose(fit.validation.mse, truth.validation.mse, rtol=1e-9)


@pytest.mark.parametrize("encoding", ["composition", "kmers:2", "one-hot"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_whatever_holds_the_rows_is_predicted_alike(
    source: Callable[[pa.Table, Path], Any], encoding: str, tmp_path: Path
) -> None:
    _, seqs, y = variants()
    frame = table(seqs, y)
    fit = lw.fit(frame, "y", sequence="s", encode_as=encoding, penalty=lw.L2(0.01), folds=0)
    guess = np.asarray(fit.predict(source(frame, tmp_path)))
    np.testing.assert_allclose(guess, fit.predict(frame), rtol=1e-12)


@pytest.mark.parametrize("encoding", ["kmers:2", "one-hot", "kmers:3:500+composition"])
def test_several_slabs_of_a_file_are_as_one(encoding: str, tmp_path: Path) -> None:
    """A CSV file of 4 MB is read in slabs of 2 MB; the same rows in memory are one."""
    rng = np.random.default_rng(SEED)
    first = protein(rng, 300)
    seqs = [first[:p] + a + first[p + 1 :] for p in range(100) for a in "WC" if a != first[p]]
    cells = [seqs[i] for i in rng.integers(0, len(seqs), 14_000)]
    effect = dict(zip(seqs, rng.normal(size=len(seqs)), strict=True))
    frame = table(cells, [effect[s] for s in cells] + 0.1 * rng.normal(size=len(cells)))
    path = as_csv(frame, tmp_path)
    assert path.stat().st_size > 4 << 20
    common = {"sequence": "s", "encode_as": encoding, "penalty": lw.L2(1e-3), "group": "sequence:each"}
    many, one = (lw.fit(came, "y", **common) for came in (path, frame))
    assert many.names == one.names
    np.testing.assert_allclose(many.coef, one.coef, atol=1e-8 * np.abs(one.coef).max())
    np.testing.assert_allclose(many.validation.mse, one.validation.mse, rtol=1e-8)
    np.testing.assert_allclose(guessed(many, path), guessed(one, frame), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("encoding", ["kmers:2", "one-hot"])
def test_the_normal_equations_of_ridge_hold(encoding: str) -> None:
    _, seqs, y = variants()
    alpha = 0.03
    fit = lw.fit(table(seqs, y), "y", sequence="s", encode_as=encoding, penalty=lw.L2(alpha), folds=0)
    X = twin(encoding, seqs)
    left = X @ fit.coef + fit.intercept - y
    slope = X.T @ left / len(y) + 2 * alpha * fit.coef
    assert np.abs(slope).max() < 1e-12 * len(y)  # rounding of sums of 120 numbers near 1
    assert abs(left.mean()) < 1e-12


# ---- one-hot and wild types ----


@pytest.mark.parametrize("alpha", [1e-4, 0.01, 3.0])
def test_one_hot_less_the_wild_type_predicts_what_all_letters_predict(alpha: float) -> None:
    _, seqs, y = variants()
    every = np.array([[float(s[p] == a) for p in range(LENGTH) for a in ALPHABET] for s in seqs])
    full = lw.fit((every, y), penalty=lw.L2(alpha), folds=0)
    truth = every @ full.coef + full.intercept
    for how in ({"wild_type": WILD}, {"wild_type": seqs[3]}, {"encode_as": "one-hot"}):
        fit = lw.fit(table(seqs, y), "y", sequence="s", penalty=lw.L2(alpha), folds=0, **how)
        guess = guessed(fit, table(seqs, y))
        np.testing.assert_allclose(guess, truth, atol=1e-9 * np.abs(truth).max())


def test_names_and_full_sequences_are_the_same_columns_and_coefficients() -> None:
    names, seqs, y = variants()
    common = {"sequence": "s", "wild_type": WILD, "penalty": lw.L2(0.01)}
    by_name, by_letters = (lw.fit(table(cells, y), "y", **common) for cells in (names, seqs))
    assert by_name.names == by_letters.names == tuple(hot(seqs, WILD)[0])
    np.testing.assert_allclose(by_name.coef, by_letters.coef, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(by_name.validation.mse, by_letters.validation.mse, rtol=1e-10)
    wild = guessed(by_name, pa.table({"s": ["WT", "wt", f"{WILD[0]}1{WILD[0]}", "p.="]}))
    np.testing.assert_allclose(wild, by_name.intercept, rtol=1e-12)


@pytest.mark.parametrize("first", [-3, 0, 2, 24])
def test_the_number_of_the_first_residue_is_found(first: int) -> None:
    names, seqs, y = variants()
    common = {"sequence": "s", "wild_type": WILD, "penalty": lw.L2(0.01), "folds": 0}
    plain = lw.fit(table(names, y), "y", **common)
    elsewhere = lw.fit(table([moved(name, first - 1) for name in names], y), "y", **common)
    asked = lw.fit(table(seqs, y), "y", offset=first, **common)
    assert elsewhere.names == asked.names == tuple(moved(name, first - 1) for name in plain.names)
    np.testing.assert_allclose(elsewhere.coef, plain.coef, rtol=1e-12)
    np.testing.assert_allclose(asked.coef, plain.coef, rtol=1e-12)
    assert any(f"counted from {first}" in note for note in elsewhere.notes)


def test_a_name_is_read_in_any_of_its_spellings() -> None:
    names, _, y = variants()
    odd = [
        name.lower().replace(":", ["/", ",", ";", "+", "_", " "][1 + i % 5]) for i, name in enumerate(names)
    ]
    odd[0] = " " + odd[0] + " "
    common = {"sequence": "s", "wild_type": WILD.lower(), "penalty": lw.L2(0.01), "folds": 0}
    plain, spelled = (lw.fit(table(cells, y), "y", **common) for cells in (names, odd))
    assert plain.names == spelled.names
    np.testing.assert_allclose(plain.coef, spelled.coef, rtol=1e-12, atol=1e-14)
    assert any("upper-cased" in note for note in spelled.notes)


@pytest.mark.parametrize("encoding", ["properties", "composition", "kmers:2", "one-hot+properties"])
def test_any_encoding_reads_names_as_the_sequences_that_they_stand_for(encoding: str) -> None:
    names, seqs, y = variants()
    common = {"sequence": "s", "wild_type": WILD, "encode_as": encoding, "penalty": lw.L2(0.01)}
    by_name, by_letters = (lw.fit(table(cells, y), "y", **common) for cells in (names, seqs))
    digits = 1e-6 if encoding == "one-hot+properties" else 1e-9
    same_fit(by_name, by_letters, twin(encoding, seqs, WILD), digits)
    X = columns_of(by_name, pa.table({"s": names})), columns_of(by_letters, pa.table({"s": seqs}))
    np.testing.assert_array_equal(*X)


def test_a_substitution_that_was_not_seen_is_refused_by_its_row_or_counts_as_any_other() -> None:
    names, _, y = variants()
    frame, common = table(names, y), {"sequence": "s", "wild_type": WILD, "penalty": lw.L2(0.01)}
    new = pa.table({"s": [names[0], "WT", "K2Y", names[1]]})
    fit = lw.fit(frame, "y", **common)
    assert "K2Y" not in fit.names
    with refused(ColumnError, "Row 3", "'s'", "1 substitution", "'K2Y'", "unseen='reference'"):
        fit.predict(new)
    taken = lw.fit(frame, "y", unseen="reference", **common)
    guess = taken.predict(new)
    np.testing.assert_allclose(guess[[0, 3]], taken.predict(frame)[:2], rtol=1e-12)
    np.testing.assert_allclose(guess[2], taken.intercept - taken.coef[taken.names.index("K2")], rtol=1e-12)
    assert taken.coef[taken.names.index("K2")] != 0


def test_a_masked_residue_is_no_letter_at_its_position() -> None:
    _, seqs, y = variants()
    fit = lw.fit(table(seqs, y), "y", sequence="s", wild_type=WILD, unknown="mask", penalty=lw.L2(0.01))
    guess = guessed(fit, pa.table({"s": ["MX" + WILD[2:], WILD]}))
    own = fit.coef[fit.names.index("K2")]
    np.testing.assert_allclose(guess, [fit.intercept - own, fit.intercept], rtol=1e-12)


def test_a_masked_residue_of_the_training_rows_is_the_twins_row_of_zeros() -> None:
    _, seqs, y = variants()
    seqs = [s[:5] + "X" + s[6:] if i % 9 == 0 else s for i, s in enumerate(seqs)]
    common = {"penalty": lw.L2(0.01), "folds": 0}
    fit = lw.fit(table(seqs, y), "y", sequence="s", wild_type=WILD, unknown="mask", **common)
    X = hot(seqs, WILD)[1]
    np.testing.assert_allclose(columns_of(fit, table(seqs, y)), X, atol=0)
    same_fit(fit, lw.fit((X, y), **common), X)


# ---- beside other columns, and penalty factors ----


def augmented(X: np.ndarray, F: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """min 1/(2n) |y - 1 c - F a - X b|^2 + alpha |b|^2: the normal equations written out."""
    A = np.column_stack([np.ones(len(y)), F, X])
    ridge = np.diag(np.append(np.zeros(1 + F.shape[1]), np.full(X.shape[1], 2 * alpha * len(y))))
    return np.asarray(np.linalg.solve(A.T @ A + ridge, A.T @ y))


@pytest.mark.parametrize("encoding", ["one-hot", "kmers:2"])
@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_a_density_that_is_not_penalised_makes_the_augmented_ridge(encoding: str, alpha: float) -> None:
    """Source: Hsu et al., Nature Biotechnology 40 (2022), the augmented model."""
    _, seqs, y = variants()
    density = y + np.random.default_rng(3).normal(size=len(y)) - 40
    fit = lw.fit(
        table(seqs, y, density=density), "y", sequence="s", features=("density",), encode_as=encoding,
        penalty=lw.L2(alpha), factors={"density": 0}, folds=0,
    )  # fmt: skip
    X = twin(encoding, seqs)
    truth = augmented(X, density[:, None], y, alpha)
    assert fit.names[-1] == "density"
    found = np.concatenate([[fit.intercept, fit.coef[-1]], fit.coef[:-1]])
    np.testing.assert_allclose(found, truth, rtol=1e-8, atol=1e-9 * np.abs(truth[1:]).max())


def test_a_factor_of_the_column_of_sequences_is_of_all_its_columns() -> None:
    _, seqs, y = variants()
    common = {"sequence": "s", "encode_as": "one-hot", "folds": 0}
    twice = lw.fit(table(seqs, y), "y", penalty=lw.L2(0.01), factors={"s": 2}, **common)
    plain = lw.fit(table(seqs, y), "y", penalty=lw.L2(0.02), **common)
    np.testing.assert_allclose(twice.coef, plain.coef, rtol=1e-9, atol=1e-11)


def test_numbers_with_gaps_stand_beside_stored_columns_filled_by_their_mean() -> None:
    _, seqs, y = variants()
    x = np.random.default_rng(4).normal(size=len(y)) + 7
    gaps = np.arange(len(y)) % 6 == 0
    frame = table(seqs, y, x=pa.array(np.where(gaps, np.nan, x), from_pandas=True))
    fit = lw.fit(
        frame,
        "y",
        sequence="s",
        features="x",
        encode_as="kmers:2",
        missing="mean",
        penalty=lw.L2(0.01),
        folds=0,
    )
    X = np.column_stack([twin("kmers:2", seqs), np.where(gaps, x[~gaps].mean(), x)])
    same_fit(fit, lw.fit((X, y), penalty=lw.L2(0.01), folds=0), X)


def test_no_columns_of_the_sequences_leave_the_other_columns_and_their_folds() -> None:
    _, seqs, y = variants()
    x = np.random.default_rng(6).normal(size=len(y))
    fit = lw.fit(table(seqs, y, x=x), "y", sequence="s", encode_as="none", group="sequence:each")
    plain = lw.fit((x[:, None], y), folds=0)
    assert fit.names == ("x",)
    np.testing.assert_allclose(fit.coef, plain.coef, rtol=1e-12)
    held = [fit.validation.plan.fold_of(s) for s in seqs]
    assert np.bincount(held).tolist() == fit.validation.n.tolist()


# ---- new rows, odd cells ----


@pytest.mark.parametrize("encoding", ["properties", "composition", "kmers:2", "one-hot"])
def test_case_blanks_and_stops_at_the_end_change_no_prediction(encoding: str) -> None:
    _, seqs, y = variants()
    fit = lw.fit(table(seqs, y), "y", sequence="s", encode_as=encoding, penalty=lw.L2(0.01))
    odd = [seqs[0].lower(), f" {seqs[0][:9]} {seqs[0][9:]}\t", seqs[0] + "*", seqs[0]]
    guess = fit.predict(pa.table({"s": odd}))
    np.testing.assert_array_equal(guess, np.full(4, guess[3]))


@pytest.mark.parametrize("encoding", ["properties", "kmers:2", "one-hot"])
def test_cells_that_cannot_be_read_are_refused_by_row_or_left_without_a_number(encoding: str) -> None:
    _, seqs, y = variants()
    common = {"sequence": "s", "encode_as": encoding, "penalty": lw.L2(0.01)}
    odd = "MX" + seqs[0][2:]
    cells = pa.table({"s": [seqs[0], odd, None, seqs[1]]})
    strict = lw.fit(table(seqs, y), "y", **common)
    with refused(SequenceError, "Row 2, column 's'", "'X' at position 2"):
        strict.predict(cells)
    with refused(MissingError, "Row 2", "'s'"):
        strict.predict(pa.table({"s": [seqs[0], None]}))
    masks = lw.fit(table(seqs, y), "y", unknown="mask", missing="drop", **common)
    assert np.isnan(masks.predict(cells)).tolist() == [False, False, True, False]
    drops = lw.fit(table(seqs, y), "y", unknown="drop", missing="drop", **common)
    guess = drops.predict(cells)
    assert np.isnan(guess).tolist() == [False, True, True, False]
    np.testing.assert_allclose(guess[[0, 3]], strict.predict(table(seqs, y))[:2], rtol=1e-12)
    assert np.isnan(drops.predict(pa.table({"s": pa.array([None, None], pa.string())}))).all()
    assert len(drops.predict(pa.table({"s": pa.array([], pa.string())}))) == 0


@pytest.mark.parametrize("encoding", ["composition", "kmers:1", "kmers:2"])
def test_doubtful_letters_count_as_the_mean_of_both_where_asked(encoding: str) -> None:
    _, seqs, y = variants()
    common = {"sequence": "s", "encode_as": encoding, "penalty": lw.L2(0.01), "unknown": "expected"}
    fit = lw.fit(table(seqs, y), "y", **common)
    both = guessed(fit, pa.table({"s": [letter + WILD[1:] for letter in "BDN"]}))
    np.testing.assert_allclose(both[0], both[1:].mean(), rtol=1e-12)


def test_rows_with_unknown_letters_are_left_out_of_a_fit_where_asked() -> None:
    _, seqs, y = variants()
    odd = [("U" + s[1:]) if i in (3, 60) else s for i, s in enumerate(seqs)]
    keep = np.delete(np.arange(120), [3, 60])
    common = {"sequence": "s", "encode_as": "kmers:2", "penalty": lw.L2(0.01), "folds": 0}
    fit = lw.fit(table(odd, y), "y", unknown="drop", **common)
    few = lw.fit(table([seqs[i] for i in keep], y[keep]), "y", **common)
    np.testing.assert_allclose(fit.coef, few.coef, atol=1e-11)
    assert fit.tally.dropped == {"'s' with unknown letters": 2}
    with refused(SequenceError, "Row 4", "'s'", "'U'"):
        lw.fit(table(odd, y), "y", **common)


def test_names_with_stops_or_unknown_letters_are_left_out_where_asked() -> None:
    names, _, y = variants()
    odd = [f"K2{'*' if i == 3 else 'X'}" if i in (3, 60) else name for i, name in enumerate(names)]
    common = {"sequence": "s", "wild_type": WILD, "penalty": lw.L2(0.01), "folds": 0}
    fit = lw.fit(table(odd, y), "y", unknown="drop", **common)
    keep = np.delete(np.arange(120), [3, 60])
    few = lw.fit(table([names[i] for i in keep], y[keep]), "y", **common)
    at = [fit.names.index(name) for name in few.names]
    np.testing.assert_allclose(fit.coef[at], few.coef, atol=1e-11)
    assert fit.tally.dropped == {"'s' with unknown letters": 2}


# ---- what is refused ----

_, SEQS, Y = variants(60)
FRAME = table(SEQS, Y)
REFUSED: dict[str, tuple[type[lw.errors.LeastwiseError], dict[str, Any], tuple[str, ...]]] = {
    "unknown encoding": (UsageError, {"encode_as": "hot"}, ("'hot'", "is not known", "'one-hot'")),
    "nothing": (UsageError, {"encode_as": ""}, ("''", "is not known")),
    "words of none": (UsageError, {"encode_as": "kmers:0"}, ("'kmers:0'", "is not known")),
    "words too long": (UsageError, {"encode_as": "kmers:5"}, ("5 residues", "kmers:5:4096")),
    "hashes of none": (UsageError, {"encode_as": "kmers:3:0"}, ("is not known",)),
    "twice": (UsageError, {"encode_as": "kmers:2+kmers:2"}, ("twice",)),
    "none and more": (UsageError, {"encode_as": "none+kmers:2"}, ("'none'",)),
    "offset alone": (UsageError, {"offset": 3}, ("offset=3", "wild_type=")),
    "offset no number": (UsageError, {"offset": "a", "wild_type": WILD}, ("offset='a'", "int")),
    "unseen": (UsageError, {"unseen": "mean"}, ("unseen='mean'", "'reference'")),
    "expected one-hot": (UsageError, {"encode_as": "one-hot", "unknown": "expected"}, ("'mask'",)),
    "odd wild type": (SequenceError, {"wild_type": "MKB"}, ("'B' at position 3",)),
}


@pytest.mark.parametrize(("kind", "how", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(kind: Any, how: dict[str, Any], words: tuple[str, ...]) -> None:
    with refused(kind, *words):
        lw.fit(FRAME, "y", sequence="s", **how)


@pytest.mark.parametrize(
    "how",
    [{"encode_as": "kmers:2"}, {"wild_type": WILD}, {"group": "identity:0.3"}, {"unknown": "mask"}],
    ids=lambda how: next(iter(how)),
)
def test_options_of_sequences_are_refused_without_any(how: dict[str, Any]) -> None:
    with refused(UsageError, "is about sequences", "sequence=", "--sequence"):
        lw.fit((np.eye(9), np.arange(9.0)), **how)


def test_letters_that_disagree_with_the_wild_type_are_named() -> None:
    names, _, y = variants()
    cells = [*names, "A1C"]
    with refused(DataError, "'A1C'", "expects A, found M", "Correct these names"):
        lw.fit(table(cells, np.append(y, 0)), "y", sequence="s", wild_type=WILD)
    with refused(DataError, "With offset=5", "disagree", "Pass offset=1"):
        lw.fit(table(names, y), "y", sequence="s", wild_type=WILD, offset=5)


def test_sequences_of_several_lengths_have_no_letter_at_each_position() -> None:
    with refused(DataError, "one length", "23 to 24 residues", "kmers:3"):
        lw.fit(table([*SEQS, SEQS[0][1:]], np.append(Y, 0)), "y", sequence="s", encode_as="one-hot")
    fit = lw.fit(FRAME, "y", sequence="s", wild_type=WILD, penalty=lw.L2(0.1))
    with refused(DataError, "Row 2", "differ in length", "24"):
        fit.predict(pa.table({"s": [SEQS[0], SEQS[0][1:]]}))


@pytest.mark.parametrize("encoding", ["one-hot", "properties", "kmers:2", "composition"])
def test_equal_sequences_explain_nothing(encoding: str) -> None:
    frame = table([WILD] * 20, np.random.default_rng(0).normal(size=20))
    if encoding == "one-hot":
        with refused(ColumnError, "leaves no feature"):
            lw.fit(frame, "y", sequence="s", encode_as=encoding)
        return
    fit = lw.fit(frame, "y", sequence="s", encode_as=encoding)
    assert not fit.coef.any()
    assert fit.intercept == pytest.approx(frame["y"].to_numpy().mean())
    assert not fit.validation
    assert "one group" in fit.validation.reason


@pytest.mark.parametrize("encoding", ["properties", "kmers:2"])
def test_a_source_without_rows_is_told(encoding: str) -> None:
    empty = table([], pa.array([], pa.float64())).cast(pa.schema([("s", pa.string()), ("y", pa.float64())]))
    with refused(DataError, "no rows"):
        lw.fit(empty, "y", sequence="s", encode_as=encoding)


def test_columns_that_must_be_looked_at_first_are_refused_of_a_stream() -> None:
    stream = pa.RecordBatchReader.from_batches(FRAME.schema, FRAME.to_batches())
    with refused(UsageError, "can be read once", "Write it to a file"):
        lw.fit(stream, "y", sequence="s", encode_as="one-hot")
    stream = pa.RecordBatchReader.from_batches(FRAME.schema, FRAME.to_batches())
    fit = lw.fit(stream, "y", sequence="s", encode_as="kmers:2", penalty=lw.L2(0.1), folds=0)
    again = lw.fit(FRAME, "y", sequence="s", encode_as="kmers:2", penalty=lw.L2(0.1), folds=0)
    np.testing.assert_allclose(fit.coef, again.coef, rtol=1e-9, atol=1e-12)


# ---- faults ----


@pytest.mark.parametrize("how", [{"encode_as": 5}, {"encode_as": "kmers:²"}], ids=["number", "power"])
def test_an_encoding_that_is_no_text_is_refused_in_words(how: dict[str, Any]) -> None:
    with refused(UsageError, "encode_as"):
        lw.fit(FRAME, "y", sequence="s", **how)


def test_hashed_words_go_as_far_as_the_message_says() -> None:
    with refused(UsageError, "encode_as='kmers:9:64'", "up to 8"):
        lw.fit(FRAME, "y", sequence="s", encode_as="kmers:9:64")


@pytest.mark.parametrize("cell", ["rubbish", "A1C", "K2*", "K2X"])
def test_a_name_that_cannot_be_read_is_told_with_its_row_of_the_source(cell: str) -> None:
    names, _, y = variants()
    names[80] = cell
    with refused(DataError, cell, "row 81"):
        try:
            lw.fit(table(names, y), "y", sequence="s", wild_type=WILD)
        except DataError as error:
            raise type(error)(str(error).replace("Row", "row")) from None


def test_a_letter_that_is_unknown_is_told_with_its_row_of_the_source() -> None:
    cells = [*SEQS[:40], "X" + SEQS[40][1:], *SEQS[41:]]
    with refused(SequenceError, "Row 41", "'X' at position 1"):
        lw.fit(table(cells, Y), "y", sequence="s", encode_as="one-hot")


@pytest.mark.parametrize("odd", ["gap", "stop", "blank"])
def test_one_odd_cell_does_not_make_names_of_sequences(odd: str) -> None:
    cell = {
        "gap": SEQS[0][:3] + "-" + SEQS[0][4:],
        "stop": SEQS[0] + "*",
        "blank": SEQS[0][:3] + " " + SEQS[0][3:],
    }
    frame = table([*SEQS, cell[odd]], np.append(Y, 0.0))
    fit = lw.fit(frame, "y", sequence="s", wild_type=WILD, unknown="mask", penalty=lw.L2(0.1))
    assert fit.tally.used == 61


def test_one_sequence_of_another_length_is_told_as_such() -> None:
    with refused(DataError, "differ in length", "24"):
        lw.fit(table([*SEQS, SEQS[0][1:]], np.append(Y, 0.0)), "y", sequence="s", wild_type=WILD)


def test_a_stop_in_a_name_is_told_with_an_option_that_there_is() -> None:
    names, _, y = variants()
    names[80] = "K2*"
    with refused(SequenceError, "K2*", "unknown='drop'"):
        lw.fit(table(names, y), "y", sequence="s", wild_type=WILD)


def test_letters_that_are_not_known_in_the_wild_type_are_told_as_its_own() -> None:
    with refused(SequenceError, "wild type"):
        lw.fit(FRAME, "y", sequence="s", wild_type="MKB")


def test_a_wild_type_that_is_no_text_is_refused_as_an_option() -> None:
    with refused(UsageError, "wild_type"):
        lw.fit(FRAME, "y", sequence="s", wild_type=5)


@pytest.mark.parametrize("how", [{"encode_as": "one-hot"}, {"wild_type": WILD}], ids=["one-hot", "names"])
def test_a_source_without_rows_is_told_before_its_columns(how: dict[str, Any]) -> None:
    empty = FRAME.slice(0, 0)
    with refused(DataError, "no rows"):
        lw.fit(empty, "y", sequence="s", **how)


def test_pandas_missing_cells_are_missing() -> None:
    frame = pd.DataFrame({"s": [*SEQS, None, np.nan], "y": np.append(Y, [0.0, 0.0])})
    fit = lw.fit(frame, "y", sequence="s", encode_as="kmers:2", missing="drop", penalty=lw.L2(0.1))
    assert fit.tally.dropped == {"'s' missing": 2}
