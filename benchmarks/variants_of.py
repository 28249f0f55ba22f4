"""Variants of one protein: what random folds say of a one-hot ridge, and what positions not seen say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import leastwise as lw
from benchmarks.held_out import READING, scored
from benchmarks.table import Table

REGIMES = ("sequence:each", "position:modulo", "position:contiguous")


@dataclass(frozen=True)
class Assay:
    """Where the names of variants and their scores are, and ProteinGym's figures for REGIMES."""

    file: str
    names: str
    target: str
    published: tuple[float, float, float]
    unknown: str = "error"


ASSAYS = {
    "dms_blat_ecolx": Assay(
        "BLAT_ECOLX_Ranganathan2015.csv.gz", "mutant", "2500", (0.749, -0.041, -0.016)
    ),
    "dms_b2l11": Assay(
        "B2L11_HUMAN_Dutta_2010_binding-Mcl-1.csv", "mutant", "DMS_score", (0.743, -0.336, 0.105)
    ),
    "dms_avgfp": Assay("avgfp.tsv.gz", "variant", "score", (0.441, 0.021, 0.046), unknown="drop"),
}  # fmt: skip
NOTES = [
    *READING,
    "one-hot against the wild type, L2(cv); sequence:each deals variants to folds at random",
    "rho is none where a fold's predictions are all one: no substitution of a position not seen has been",
    "seen, so every held-out row is given the mean of the training rows. rho, all then compares as many",
    "constants as there are folds, and falls below 0 because a fold of high values leaves a low mean",
    "ProteinGym: Spearman of 'One-Hot Encodings' as published. A loose comparison: its folds are others,",
    "its head is another (ProteinNPT's code), and whether it averages folds or takes all rows at once its",
    "table does not say. Where positions are held out its figures are small or negative as well; its 0.441",
    "for random folds of dms_avgfp is far from ours, and nothing there says why",
    "dms_blat_ecolx: column 2500, 4,997 variants (ProteinGym lists 4,996). dms_avgfp: names count from 0",
    "without the first Met, which is found from the letters; rows with a stop codon are left out; of rows",
    "with several mutations those whose positions are of several folds are left out, of training too",
]


def run(data: Path) -> Table:
    """A row for each assay and each way to hold out."""
    rows: list[dict[str, Any]] = []
    notes = list(NOTES)
    for name, assay in ASSAYS.items():
        if not (data / name / assay.file).exists():
            notes.append(f"{name} is not there (--data FOLDER)")
            continue
        for regime, published in zip(REGIMES, assay.published, strict=True):
            row = scored(of(data / name, assay, regime))
            rows.append({"data": name, "held out": regime} | row | {"ProteinGym's": published})
    return Table("proteins: variants of one protein, one-hot ridge", rows, notes)


def of(folder: Path, assay: Assay, regime: str) -> lw.Fit:
    """The one-hot ridge of an assay, by folds of this regime."""
    wild_type = "".join((folder / "target.fasta").read_text(encoding="ascii").splitlines()[1:])
    return lw.fit(
        folder / assay.file, target=assay.target, features=(), sequence=assay.names, encode_as="one-hot",
        wild_type=wild_type, group=regime, penalty=lw.L2("cv"), unknown=assay.unknown,
    )  # fmt: skip
