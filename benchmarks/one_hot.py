"""X'X of one-hot and k-mer designs: pairs of stored values beside scipy's and dense products, in turn.

`python -m benchmarks one_hot` prints the table and writes results/one_hot.csv.
"""

from __future__ import annotations

import csv
import gzip
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.clock import Timing, here, in_turn
from benchmarks.precision import others
from benchmarks.table import Table
from leastwise.numerics import workers
from leastwise.paired import gram_of_codes, gram_of_rows
from leastwise.sequences.clean import clean, pack
from leastwise.sequences.designs import hashed_kmers, kmers

ROUNDS = 5
POSITIONS, LETTERS, VARIANTS, MUTATIONS = 56, 20, 54_000, 1_800
ROWS = 150_000
OURS, CODES, SCIPY, FLOAT32, FLOAT64 = (
    "leastwise, CSR rows",
    "leastwise, codes",
    "scipy X.T @ X",
    "dense float32",
    "dense float64",
)


def run(options: Namespace) -> dict[str, Table]:
    """Dense products are given the dense matrix: to make it is not counted."""
    seqs = real(options.data)
    packed = pack(clean(seqs, unknown="mask").sequences)
    codes = np.random.default_rng(0).integers(0, LETTERS, (ROWS, POSITIONS)).astype(np.int8)
    made: dict[str, Callable[[], Any]] = {"one-hot": lambda: by_position(codes), "variants": mutations}
    if seqs:
        made |= {
            "3-mers": lambda: kmers(packed, 3),
            "5-mers hashed": lambda: hashed_kmers(packed, 5, 4096),
        }
    rows = [
        row
        for name, make in made.items()
        for row in timed(name, make(), codes if name == "one-hot" else None)
    ]
    notes = [
        f"In turn, median of {ROUNDS} rounds after one; others: cores that other programs used meanwhile."
    ]
    return {"one_hot": Table("one-hot: X'X of sparse designs", rows, notes), "designs": making(packed)}


def timed(name: str, X: Any, codes: Any) -> Iterator[dict[str, Any]]:
    """The rows of one design, with one thread and with all; scipy's product has one only."""
    D = X.toarray()
    D32 = D.astype(np.float32)
    ways: dict[str, Callable[[], Any]] = {OURS: lambda: gram_of_rows(X)}
    if codes is not None:
        ways[CODES] = lambda: gram_of_codes(codes, LETTERS)
    ways |= {SCIPY: lambda: (X.T @ X).toarray(), FLOAT32: lambda: D32.T @ D32, FLOAT64: lambda: D.T @ D}
    for count in sorted({1, workers()}):
        with threads(count):
            begun, before = time.perf_counter(), others() - time.process_time()
            found = in_turn({w: here(ways[w]) for w in ways if w != SCIPY or count == 1}, ROUNDS)
            busy = (others() - time.process_time() - before) / (time.perf_counter() - begun)
        mine: Timing = found[OURS]
        for way, took in found.items():
            yield {
                "design": f"{name} {X.shape[0]:,} x {X.shape[1]:,}",
                "stored a row": X.nnz / X.shape[0],
                "threads": count,
                "way": way,
                "cpu s": took.cpu,
                "wall s": took.wall,
                "cpu / ours": took.cpu / mine.cpu,
                "wall / ours": took.wall / mine.wall,
                "others": round(max(busy, 0.0), 1),
            }


def making(packed: Any) -> Table:
    """How fast sequences become designs, one thread."""
    ways: dict[str, Callable[[], Any]] = {
        **{f"kmers, k={k}": lambda k=k: kmers(packed, k) for k in (1, 2, 3, 4)},
        "hashed_kmers, k=5, 4,096 columns": lambda: hashed_kmers(packed, 5, 4096),
    }
    found = in_turn({way: here(work) for way, work in ways.items()}, ROUNDS) if len(packed.lengths) else {}
    n = len(packed.lengths)
    rows = [
        {"way": way, "cpu s": took.cpu, "wall s": took.wall, "sequences / s": int(n / took.wall)}
        for way, took in found.items()
    ]
    told = (
        f"{n:,} meltome proteins of {packed.lengths.mean():.0f} residues on average, packed"
        if n
        else "no data"
    )
    return Table("designs: k-mers of proteins", rows, [told])


def by_position(codes: Any) -> Any:
    """One of the letters at each position: (rows, positions x letters)."""
    n, L = codes.shape
    columns = (codes + LETTERS * np.arange(L)).astype(np.int32).ravel()
    return sparse.csr_array((np.ones(n * L), columns, np.arange(0, n * L + 1, L)), shape=(n, LETTERS * L))


def mutations() -> Any:
    """About four of 1,800 mutations a row."""
    at = np.random.default_rng(1).integers(0, MUTATIONS, (VARIANTS, 4))
    rows = np.repeat(np.arange(VARIANTS), 4)
    X = sparse.csr_array((np.ones(4 * VARIANTS), (rows, at.ravel())), shape=(VARIANTS, MUTATIONS))
    X.data[:] = 1.0
    return X


def real(data: Path) -> list[str]:
    """The distinct meltome proteins; none where the data are absent."""
    found: set[str] = set()
    for name in ("full_task", "clustered_task"):
        path = data / "flip_meltome_2021" / f"{name}.csv.gz"
        if path.is_file():
            with gzip.open(path, "rt") as file:
                found |= {row["sequence"] for row in csv.DictReader(file)}
    return sorted(found)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many for us and for BLAS."""
    before = os.environ.get("LEASTWISE_THREADS")
    os.environ["LEASTWISE_THREADS"] = str(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        os.environ.pop("LEASTWISE_THREADS")
        if before is not None:
            os.environ["LEASTWISE_THREADS"] = before
