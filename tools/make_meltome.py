"""Make the package's demo data from the source files: one row a distinct sequence.

    python tools/make_meltome.py ../shared/data/flip_meltome_2021 src/leastwise/data/meltome.csv.gz

The training rows of full_task and the test rows of clustered_task are put together; exact duplicate
rows of clustered_task are dropped; repeated measurements of one sequence are averaged.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from pathlib import Path


def rows(folder: Path) -> list[tuple[str, float, int]]:
    """(sequence, mean melting point in degrees C, how many measurements), in order of appearance."""
    measured: dict[str, list[float]] = {}
    for name, kept, once in (("full_task", "train", False), ("clustered_task", "test", True)):
        with gzip.open(folder / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
            seen = set()
            for row in csv.DictReader(file):
                key = (row["sequence"], row["target"])
                if row["set"] != kept or (once and key in seen):
                    continue
                seen.add(key)
                measured.setdefault(row["sequence"], []).append(float(row["target"]))
    return [(s, round(sum(v) / len(v), 4), len(v)) for s, v in measured.items()]


def main(folder: str, out: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sequence", "melting_point", "measurements"])
    writer.writerows(rows(Path(folder)))
    with open(out, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(text.getvalue().encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
