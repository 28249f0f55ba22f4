"""Files larger than we would like to hold: fitting beside merely decoding, and the memory of both."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.clock import child, in_turn, module, report, reporting
from benchmarks.table import Table

ROUNDS = 3  # of minutes each
P = 50
FILES = {  # name: (type, rows)
    "float64.parquet": ("float64", 4_900_000),
    "float32.parquet": ("float32", 4_900_000),
    "text.csv": ("float64", 2_150_000),
}
GROUP = 1_000_000  # rows of a row group
DECODE, READ = "decode (pyarrow)", "read (ours)"


def run(options: Namespace) -> Table:
    """Each file by every task in turn, each time in a fresh process."""
    rows: list[dict[str, Any]] = []
    options.folder.mkdir(parents=True, exist_ok=True)
    missing = [path for name in FILES if not (path := options.folder / name).exists()]
    try:
        for name in FILES:
            path = options.folder / name
            if path in missing:
                child(module("parquet", "make", path))
            rows += measured(path)
    finally:
        for path in missing if not options.keep else ():  # only what this run made
            path.unlink(missing_ok=True)
    notes = [
        f"{P} columns and y, 6 decimals; Parquet as pyarrow writes it (snappy, dictionaries tried),",
        f"row groups of {GROUP:,}",
        f"fresh processes in turn, files in cache, median of {ROUNDS} only; seconds after the imports",
        "above import: peak memory less that of a process with the same imports and nothing done",
        f"{DECODE}: iter_batches or open_csv as they come, which for Parquet holds whole row groups;",
        f"{READ}: pyarrow as we call it, the rows thrown away: the leaner of the two",
        "goals: fit, no folds / read 2.2 for float64 and 1.05 for CSV; below 200 MiB above import",
        *(f"above its goal: {r['file']}, {r['task']}" for r in rows if beyond(r)),
    ]
    return Table("parquet: fitting files beside decoding them", rows, notes)


def measured(path: Path) -> list[dict[str, Any]]:
    """The rows of the table that one file gives."""
    found = in_turn({task: reporting(module("parquet", task, path)) for task in TASKS}, ROUNDS, warm=0)
    empty, unit, lean = found.pop("import only"), found[DECODE], found[READ]
    return [
        {
            "file": f"{path.name}, {path.stat().st_size / 1e9:.2f} GB", "task": task,
            "wall s": t.wall, "cpu s": t.cpu,
            "wall / decode": t.wall / unit.wall,
            "wall / read": t.wall / lean.wall, "cpu / read": t.cpu / lean.cpu,
            "above import MiB": round(t.peak - empty.peak),
        }
        for task, t in found.items()
    ]  # fmt: skip


def beyond(row: dict[str, Any]) -> bool:
    """Whether a fit took more than its goal."""
    goal = {"float64": 2.2, "text.cs": 1.05}.get(row["file"][:7], float("inf"))
    slow = row["task"] == "fit, no folds" and row["wall / read"] > goal
    return slow or (row["task"].startswith("fit") and row["above import MiB"] > 200)


def make(path: Path) -> None:
    """Write one of FILES, a row group at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    kind, rows = FILES[path.name]
    rng = np.random.default_rng(0)
    b = rng.standard_normal(P)
    schema = pa.schema([(name, kind) for name in (*(f"x{j}" for j in range(P)), "y")])
    part = path.with_name(f"{path.name}.part")
    open_csv = pa.csv.CSVWriter if path.suffix == ".csv" else pa.parquet.ParquetWriter
    with open_csv(part, schema) as writer:
        for first in range(0, rows, GROUP):
            X = rng.standard_normal((P, min(GROUP, rows - first)))
            columns = [*X, b @ X + rng.standard_normal(X.shape[1])]
            arrays = [pa.array(np.round(column, 6).astype(kind)) for column in columns]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    part.rename(path)


def nothing(path: Path) -> None:
    """Imports alone."""


def decode(path: Path) -> None:
    """Every column of every row, by pyarrow, thrown away."""
    import pyarrow.csv
    import pyarrow.parquet

    batches = (
        pyarrow.csv.open_csv(path)
        if path.suffix == ".csv"
        else pyarrow.parquet.ParquetFile(path).iter_batches()
    )
    for _ in batches:
        pass


def read(path: Path) -> None:
    """Every row by our reader, thrown away."""
    from leastwise.rows import open_rows

    for _ in open_rows(path).slabs():
        pass


def fit(path: Path) -> None:
    import leastwise as lw

    lw.fit(path, target="y", folds=0)


def fit_folds(path: Path) -> None:
    import leastwise as lw

    if not lw.fit(path, target="y").validation:
        raise RuntimeError("There is no score.")


TASKS: dict[str, Callable[[Path], None]] = {
    "import only": nothing,
    DECODE: decode,
    READ: read,
    "fit, no folds": fit,
    "fit, 5 folds and scores": fit_folds,
}


def main(task: str, path: Path) -> None:
    """One task in this process, after the imports that all of them share."""
    if task == "make":
        return make(path)
    for name in ("pyarrow.csv", "pyarrow.parquet", "scipy.linalg", "threadpoolctl", "leastwise.fitting"):
        import_module(name)
    report(lambda: TASKS[task](path))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
