"""Features of proteins beside Biopython's: the same 10,000 sequences, in turn, in one process.

`python -m benchmarks.features` prints the table and writes results/features.csv.
"""

from __future__ import annotations

import csv
import gzip
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from Bio.SeqUtils.ProtParam import ProteinAnalysis
from threadpoolctl import threadpool_limits

from benchmarks.clock import here, in_turn
from benchmarks.table import Table, installed, write
from leastwise.sequences.clean import ALPHABET, clean, pack
from leastwise.sequences.features import FEATURES, feature_matrix

N, MEAN, ROUNDS = 10_000, 277, 5
OURS = f"leastwise, {len(FEATURES)} columns"
GLOBAL = "Biopython, 10 of the columns"
SIMPLE = "Biopython, 4 of the columns"


def run(options: Namespace) -> Table:
    """Ours cleans, packs and computes every column; Biopython's sequences are clean already."""
    rows = []
    for title, seqs in (("random", made()), ("meltome", real(options.data))):
        if not seqs:
            continue
        ways: dict[str, Callable[[], Any]] = {
            OURS: lambda seqs=seqs: feature_matrix(pack(clean(seqs).sequences)),
            GLOBAL: lambda seqs=seqs: [ten(seq) for seq in seqs],
            SIMPLE: lambda seqs=seqs: [four(seq) for seq in seqs],
        }
        with threadpool_limits(1):  # what is told as one thread is one
            found = in_turn({name: here(way) for name, way in ways.items()}, ROUNDS)
        mine = found[OURS]
        rows += [
            {
                "sequences": f"{len(seqs):,} {title}",
                "mean length": sum(map(len, seqs)) / len(seqs),
                "way": name,
                "cpu s": took.cpu,
                "wall s": took.wall,
                "proteins / s": int(len(seqs) / took.wall),
                "cpu / ours": took.cpu / mine.cpu,
                "wall / ours": took.wall / mine.wall,
            }
            for name, took in found.items()
        ]
    notes = [
        f"{installed('biopython')}; one process, one thread, in turn, median of {ROUNDS} rounds after one",
        "4 columns: mass, GRAVY, instability index, pI. 10: these, aromaticity, the three fractions of",
        "secondary structure, charge at pH 7, absorption. Mass and pI differ by its constants.",
    ]
    return Table("features: physicochemical columns of proteins", rows, notes)


def made() -> list[str]:
    """Random proteins of 277 residues on average, all letters alike."""
    rng = np.random.default_rng(0)
    letters = np.array([*ALPHABET])
    return ["".join(letters[rng.integers(0, 20, size)]) for size in rng.poisson(MEAN, N)]


def real(data: Path) -> list[str]:
    """Meltome proteins of the twenty letters, repeated to as many; none where the data are absent."""
    path = data / "flip_meltome_2021" / "full_task.csv.gz"
    if not path.is_file():
        return []
    with gzip.open(path, "rt") as file:
        seqs = sorted({row["sequence"] for row in csv.DictReader(file)})
    known = [seq for seq in seqs if set(seq) <= set(ALPHABET)]
    return (known * (N // len(known) + 1))[:N]


def four(seq: str) -> tuple[float, ...]:
    """The four that are asked for most often."""
    protein = ProteinAnalysis(seq)
    return (
        protein.molecular_weight(),
        protein.gravy(),
        protein.instability_index(),
        protein.isoelectric_point(),
    )


def ten(seq: str) -> Sequence[float]:
    """All columns that Biopython has a method for."""
    protein = ProteinAnalysis(seq)
    return (
        protein.molecular_weight(),
        protein.gravy(),
        protein.instability_index(),
        protein.isoelectric_point(),
        protein.aromaticity(),
        *protein.secondary_structure_fraction(),
        protein.charge_at_pH(7.0),
        protein.molar_extinction_coefficient()[0],
    )


if __name__ == "__main__":
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    table = run(Namespace(data=folder))
    print(table.text())
    write(table, "features")
