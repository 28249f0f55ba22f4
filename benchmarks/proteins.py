"""Proteins: FLIP's ridge on GB1 again, and what held-out relatives, positions and partitions say.

`python -m benchmarks proteins` takes about eight minutes on two cores: alignments of 4,165 proteins, and
words of three residues, take most of them.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray
from scipy import sparse

import leastwise as lw
from benchmarks import families_of, variants_of
from benchmarks.held_out import READING, scored
from benchmarks.table import Table
from leastwise.numerics import ranks

Array = NDArray[np.float64]

FLIP = {  # Spearman and mean squared error by FLIP's own recipe, from the notes of the data set
    "one_vs_rest": (0.2794, 1.7913),
    "two_vs_rest": (0.5938, 1.7118),
    "low_vs_high": (0.3430, 3.6794),
    "sampled": (0.7875, 0.7317),
}
WAYS = ("none", "cv", "cv:spearman")
ENCODINGS = ("one-hot", "composition", "kmers:2", "one-hot+composition")
ALPHAS, FLOOR = np.geomspace(1e-2, 1e3, 26), 0.01
LEVEL, FIXED = 0.9, 1e-3


def run(options: Namespace) -> dict[str, Table]:
    """A table for each question."""
    return {
        "proteins": gb1(options.data / "flip_gb1"),
        "proteins_intervals": intervals(options.data / "flip_gb1"),
        "proteins_meltome": families_of.meltome(),
        "proteins_variants": variants_of.run(options.data),
        "proteins_esol": families_of.esol(options.data),
        "proteins_psi": families_of.psi(options.data),
    }


def gb1(folder: Path) -> Table:
    """A row for each split of GB1 and each way to fit it."""
    rows: list[dict[str, Any]] = []
    notes = [
        "one-hot of the 20 letters at each residue (constant columns change nothing), ridge, intercept,",
        "all rows of `train`, those marked for validation included; scored on `test`, by which nothing was",
        "chosen",
        "FLIP's recipe: alpha = 1, target as it is; theirs by lsqr to a tolerance of 1e-4, ours exactly",
        f"chosen: alpha of {len(ALPHAS)} by 5 folds of the training rows (lw.RidgeCV(cv=5))",
        f"log: log(max(y, {FLOOR})), alpha chosen as well; mean squared error of exp(prediction)",
        "lw.fit: L2(cv), folds of single sequences of train; transform=cv takes of five (as it is, a",
        "logarithm with three floors, ranks) the one of least squared error on held-out folds, cv:spearman",
        f"that of the best order; the last takes of {', '.join(ENCODINGS)}",
        "the encoding of the best order, too. `chose`: what they took, of train alone. Predictions are",
        "turned back (near the median)",
    ]
    if not folder.exists():
        notes.append("flip_gb1 is not there (--data FOLDER)")
        return Table("proteins: FLIP's ridge on GB1", [], notes)
    for name, (rho, mse) in FLIP.items():
        rows += of_split(folder / f"{name}.csv.gz", name, rho, mse)
    return Table("proteins: FLIP's ridge on GB1", rows, notes)


def of_split(path: Path, name: str, rho: float, mse: float) -> list[dict[str, Any]]:
    """FLIP's recipe beside its published figures, and our own choices."""
    table = pacsv.read_csv(path)
    y, train = table["target"].to_numpy(), np.array(table["set"].to_pylist()) == "train"
    hot = lw.sequences.one_hot(table["sequence"].to_pylist()).numpy()
    X = sparse.csr_array(hot.reshape(len(y), -1).astype(np.float64))
    log = np.log(np.maximum(y, FLOOR))
    models: dict[str, tuple[Any, Array]] = {
        "FLIP's recipe": (lw.Ridge(alpha=1.0), y),
        "alpha chosen": (lw.RidgeCV(alphas=ALPHAS, cv=5), y),
        "log, alpha chosen": (lw.RidgeCV(alphas=ALPHAS, cv=5), log),
    }
    rows = []
    for way, (model, target) in models.items():
        guess = model.fit(X[train], target[train]).predict(X[~train])
        back = np.exp(guess) if target is log else guess
        theirs = (rho, mse) if way == "FLIP's recipe" else (None, None)
        rows.append(
            {
                "split": name, "train": int(train.sum()), "way": way, "chose": "",
                "alpha": float(getattr(model, "alpha_", 1.0)), "spearman": spearman(guess, y[~train]),
                "flip's": theirs[0], "mse": float(((back - y[~train]) ** 2).mean()),
                "flip's mse": theirs[1],
            }
        )  # fmt: skip
    fits = [(way, fitted(table.filter(train), ENCODINGS[0], way)) for way in WAYS]
    some = [fitted(table.filter(train), one, "cv:spearman") for one in ENCODINGS]
    fits.append(("cv:spearman, encoding chosen", max(some, key=order)))
    for way, fit in fits:
        guess = np.asarray(fit.predict(table.filter(~train)))
        took = f"{fit.recipe.encode_as}, {fit.recipe.scale.name if fit.recipe.scale else 'none'}"
        rows.append(
            {
                "split": name, "train": int(train.sum()), "way": f"lw.fit, transform={way}", "chose": took,
                "alpha": fit.choice.alpha, "spearman": spearman(guess, y[~train]),
                "mse": float(((guess - y[~train]) ** 2).mean()),
            }
        )  # fmt: skip
    return rows


def fitted(train: pa.Table, encoding: str, transform: str) -> lw.Fit:
    """Our own choice of penalty and transform, from the training rows alone."""
    return lw.fit(
        train, target="target", features=(), sequence="sequence", encode_as=encoding, transform=transform,
        group="sequence:each", penalty=lw.L2("cv"), unseen="reference",
    )  # fmt: skip


def order(fit: lw.Fit) -> float:
    """Spearman of held-out folds, to choose an encoding by; below all others where it is none."""
    mean = float(fit.validation.over_folds("spearman")[0])
    return mean if np.isfinite(mean) else -1.0


def spearman(a: Array, b: Array) -> float:
    """The correlation of ranks."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


# ---- intervals ----


def intervals(folder: Path) -> Table:
    """How often intervals of 90 % hold: on FLIP's `test`, made of `train`, and by ways to hold out."""
    rows: list[dict[str, Any]] = []
    notes = [
        *READING,
        f"one-hot, target as it is; intervals of {LEVEL:.0%} by CV+. inside: the mean over folds of the",
        "share of held-out rows inside intervals made of the other folds; wide: their width",
        "one_vs_rest to sampled: fitted to `train` in random folds, L2(cv); inside test: the share of",
        "`test` inside. Random folds know nothing of what test has more of, mutations or higher values.",
        "Where that is the shift the intervals are too narrow, and nothing in `train` tells by how much",
        f"all: the 8,733 rows of all splits, L2({FIXED:g}), about what random folds choose; held out as",
        "`fold` says. Of one fold the intervals are made of 5 random parts of the rows trained on",
        "a substitution that is not in `train` counts as any at its position (unseen='reference')",
        "rho is none where a fold's predictions are all one, as under the largest penalty",
    ]
    if not folder.exists():
        notes.append("flip_gb1 is not there (--data FOLDER)")
        return Table("proteins: intervals of 90 % on GB1", [], notes)
    for name in FLIP:
        table = pacsv.read_csv(folder / f"{name}.csv.gz")
        train = pc.equal(table["set"], "train")
        fit = hot(table.filter(train), "sequence:each", lw.L2("cv"))
        rows.append({"rows": f"{name}, train"} | covered(fit) | tested(fit, table.filter(pc.invert(train))))
    for regime in ("sequence:each", "mutations:2", "target:low"):
        rows.append({"rows": "all"} | covered(hot(table, regime, lw.L2(FIXED))))
    return Table("proteins: intervals of 90 % on GB1", rows, notes)


def hot(table: pa.Table, regime: str, penalty: lw.Penalty) -> lw.Fit:
    """The one-hot ridge of these rows."""
    return lw.fit(
        table, target="target", features=(), sequence="sequence", encode_as="one-hot", group=regime,
        penalty=penalty, unseen="reference",
    )  # fmt: skip


def covered(fit: lw.Fit) -> dict[str, Any]:
    """Scores of held-out rows, and how many of them were inside their interval."""
    found = fit.facts["validation"].get("intervals") or {}
    return scored(fit) | {"inside": found.get("held"), "wide": found.get("wide")}


def tested(fit: lw.Fit, test: pa.Table) -> dict[str, Any]:
    """How many rows of a test set are inside their interval."""
    y, (_, low, high) = test["target"].to_numpy(), fit.predict(test, interval=LEVEL, of="unseen")
    inside = (np.asarray(low) <= y) & (y <= np.asarray(high))
    return {"test": len(y), "inside test": float(inside.mean())}
