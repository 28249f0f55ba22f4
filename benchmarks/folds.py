"""Held-out R2, fold by fold, beside scikit-learn fitted again on the same folds of real data."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline

import leastwise as lw
from benchmarks.table import Table
from leastwise.rows import open_rows

AGREES = 1e-8
WINE = (
    "fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides",
    "free sulfur dioxide", "total sulfur dioxide", "density", "pH", "sulphates", "alcohol", "quality",
)  # fmt: skip
AMES = {"target": "price", "drop": ("rownames", "Order", "PID"), "categorical": ("MS.SubClass",)}
CALIFORNIA, AMES_FILE = "california_housing/housing.csv.gz", "ames_housing/ames.csv.gz"
RED = "wine_quality/winequality-red.csv.gz"
VALUE = {"target": "median_house_value"}
SETS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # name: file, how to open, how to fit
    "california, drop": (CALIFORNIA, {}, {**VALUE, "missing": "drop"}),
    "california, mean": (CALIFORNIA, {}, {**VALUE, "missing": "mean"}),
    "ames, mean": (AMES_FILE, {}, {**AMES, "missing": "mean"}),
    "wine, red": (RED, {"columns": WINE}, {"target": "quality"}),
}


def run(options: Namespace) -> Table:
    """One row for each fold of each set; a set that is not there is a note."""
    rows: list[dict[str, Any]] = []
    notes = [
        "scikit-learn: SimpleImputer(mean) and LinearRegression(tol=0), fitted on the training rows",
        "of our folds, on the recipe's columns that our whole fit kept",
        "left out: columns that do not vary or depend on others in the training rows (levels that are",
        "nearly all in this fold); we leave them out there, lstsq spreads over them (shortest solution)",
        "same columns: the difference once scikit-learn is not given those either",
    ]
    for name, (file, opening, fitting) in SETS.items():
        path = options.data / file
        if path.exists():
            rows += compared(name, path, opening, fitting)
        else:
            notes.append(f"{name}: {file} is not there (--data FOLDER)")
    apart = [r for r in rows if r["difference"] > AGREES]
    notes += [f"apart by more than {AGREES:g}: {r['set']}, fold {r['fold']} ({why(r)})" for r in apart]
    return Table("folds: held-out R2 beside scikit-learn's", rows, notes)


def compared(
    name: str, path: Path, opening: dict[str, Any], fitting: dict[str, Any]
) -> list[dict[str, Any]]:
    """Ours and theirs for each fold of one set."""
    ours = lw.fit(path, **opening, **fitting)
    X, y, fold = dealt(ours, path, opening)
    scores = ours.validation
    rows = []
    for f in range(scores.k):
        train, mine = fold != f, float(scores.r2[f])
        used = scores.coef[f, 0, ours.solution.kept] != 0  # what is left out has 0 exactly
        theirs, alike = r2(X, y, train), r2(X[:, used], y, train)
        rows.append({
            "set": name, "fold": f, "rows": int((~train).sum()), "columns": X.shape[1],
            "left out": int(scores.left_out[f]), "leastwise": mine, "scikit-learn": theirs,
            "difference": abs(theirs - mine), "same columns": abs(alike - mine),
        })  # fmt: skip
    return rows


def dealt(fit: Any, path: Path, opening: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The rows as our recipe makes them (n, kept), the target (n,) and our fold of each row (n,)."""
    parts = []
    for slab in open_rows(path, **opening).slabs(fit.recipe.reads_all):
        block = fit.recipe.block(slab)
        parts.append((block.X[:, fit.solution.kept], block.Y[:, 0], fit.validation.plan.deal(block)))
    X, y, fold = (np.concatenate(part) for part in zip(*parts, strict=True))
    return X, y, fold


def r2(X: NDArray[Any], y: NDArray[Any], train: NDArray[np.bool_]) -> float:
    """scikit-learn's score of the rows that are not in `train`, all of it fitted on those that are."""
    filled = SimpleImputer(strategy="mean", keep_empty_features=True)
    model = make_pipeline(filled, LinearRegression(tol=0)).fit(X[train], y[train])
    return float(r2_score(y[~train], model.predict(X[~train])))


def why(row: dict[str, Any]) -> str:
    """What is known of a difference."""
    if row["same columns"] <= AGREES:
        return f"by the {row['left out']} columns left out: on the same columns they agree"
    return "not known"
