"""Proteins of many families: random folds beside folds of relatives, encoding by encoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

import leastwise as lw
from benchmarks.held_out import READING, auroc, on_same_rows, scored, what
from benchmarks.table import Table

MELTOME = Path(lw.__file__).parent / "data" / "meltome.csv.gz"
REGIMES = ("sequence:each", "words:shared", "identity:0.3")
ENCODINGS = ("composition+properties", "properties", "composition", "kmers:2", "kmers:3")
NEAR = ENCODINGS[0]  # of which intervals and the nearest relative are told
ESOL = (("composition+properties", "none"), ("composition+properties", "L2(cv)"), ("composition", "L2(cv)"))
SOLUBLE = "solublility|0=Insoluble|1=Soluble"  # spelled so in the file
FOLDS = [
    "fold: sequence:each deals sequences at random; words:shared and identity:0.3 deal whole groups of",
    "relatives, and a group of more rows than a fold is only trained on: `scored` are then fewer than n,",
    "so that rows of different regimes are scores of different proteins; same rows: those that all held",
    "out, their R2 and RMSE over the predictions of all folds together",
    "R2 of nearest: of the value of the nearest training sequence (the mean where there is none). in 90 %:",
    "the share of held-out rows inside intervals of 90 % (CV+) made of the other folds, the mean",
    "over folds and the worst; wide: their mean width in units of the target",
]


def meltome() -> Table:
    """A row for each encoding and each way to hold out."""
    table, fits = pacsv.read_csv(MELTOME), []
    rows: list[dict[str, Any]] = []
    for regime in REGIMES:
        dealt, told = table, ""
        for encoding in ENCODINGS:
            how: dict[str, Any] = (
                {"group": regime} if not told else {"group": "fold", "folds": "predefined"}
            )
            fit = lw.fit(
                dealt, target="melting_point", features=(), sequence="sequence", encode_as=encoding,
                penalty=lw.L2("cv"), unknown="mask", **how,
            )  # fmt: skip
            row = scored(fit, told=told, near=encoding == NEAR)
            rows.append({"encoding": encoding, "held out": regime} | row)
            fits.append(fit)
            if not told:
                dealt, told = labelled(table, "sequence", fit), what(fit)
    rows = [row | same for row, same in zip(rows, on_same_rows(fits), strict=True)]
    notes = [
        *READING,
        *FOLDS,
        "4,165 distinct sequences and their mean melting point in degrees C, L2(cv). Not a published",
        "split of FLIP: not comparable with the paper's. Each encoding has the same folds in a regime:",
        "those made for the first are given to the others as a column",
    ]
    return Table("proteins: melting points, encodings and folds", rows, notes)


def labelled(table: pa.Table, column: str, fit: lw.Fit) -> pa.Table:
    """The table with the fold of each row, as the fit dealt it, in a column `fold`."""
    plan = fit.validation.plan
    name = {part: "train" if part in plan.always else f"fold {part}" for part in range(plan.k)}
    folds = [name[plan.fold_of(text)] for text in table[column].to_pylist()]
    return table.append_column("fold", pa.array(folds))


def esol(data: Path) -> Table:
    """eSol: least squares and ridge, by random folds and by folds of relatives."""
    path = data / "esol_ecoli" / "solubility2.csv.gz"
    notes = [
        *READING,
        *FOLDS,
        "solubility in percent, as measured (229 values above 100), 3,148 rows of 3,126 sequences; rows",
        "of one sequence are in one fold",
        "published: R2 0.4115 by a support vector machine on composition (Han 2019, in its README);",
        "0.409 by ridge on composition and 7 global features on the split of GraphSol, of whose 783 test",
        "proteins 31.7 % have a relative in training (30 % identity). That split is not in the folder:",
        "folds here are our own, of other rows, so these are figures to stand beside, not to reproduce",
    ]
    if not path.exists():
        return Table("proteins: eSol", [], [*notes, "esol_ecoli is not there (--data FOLDER)"])
    rows: list[dict[str, Any]] = []
    for regime in ("sequence:each", "identity:0.3"):
        table, told = pacsv.read_csv(path), ""
        for encoding, name in ESOL:
            penalty = lw.Penalty() if name == "none" else lw.L2("cv")
            how = {"group": "fold", "folds": "predefined"} if told else {"group": regime}
            fit = lw.fit(
                table, target="Solubility...", features=(), sequence="sequence", encode_as=encoding,
                penalty=penalty, **how,
            )  # fmt: skip
            said = {"encoding": encoding, "penalty": name, "held out": regime}
            rows.append(said | scored(fit, told=told, near=not told))
            if not told:
                table, told = labelled(table, "sequence", fit), what(fit)
    return Table("proteins: eSol", rows, notes)


def psi(data: Path) -> Table:
    """PSI:Biology: soluble or not, by least squares, by three kinds of folds."""
    path = data / "psi_biology_solubility" / "psi_biology.csv.gz"
    notes = [
        *READING,
        "0 or 1 (66.8 % are 1) as a number, by least squares: R2 and RMSE are of that number. Classes,",
        "with a loss of their own, come later",
        "AUROC: the chance that a soluble protein is predicted above an insoluble one, mean over folds. It",
        "needs only the order of predictions",
        "Partition: the five parts of the file. 1,093 sequences (10 %) are contained in one of another",
        "part, or contain it, nearly or wholly: so these folds are not free of relatives either",
    ]
    if not path.exists():
        return Table(
            "proteins: PSI:Biology", [], [*notes, "psi_biology_solubility is not there (--data FOLDER)"]
        )
    rows = []
    for regime in ("sequence:each", "Partition", "words:shared"):
        given = regime == "Partition"
        for encoding in ("composition+properties", "kmers:2"):
            fit = lw.fit(
                path, target=SOLUBLE, features=(), sequence="fasta", encode_as=encoding,
                penalty=lw.L2("cv"), group=regime, folds="predefined" if given else None,
            )  # fmt: skip
            row = scored(fit, told="the partitions of the file, each a fold" if given else "")
            said = {"encoding": encoding, "held out": regime}
            rows.append(said | row | {"AUROC": auroc(fit)})
    return Table("proteins: PSI:Biology", rows, notes)
