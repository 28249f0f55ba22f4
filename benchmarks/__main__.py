"""`python -m benchmarks [NAME ...] [--folder F] [--data D] [--keep]`."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.table import write

NAMES = (
    "startup",
    "features",
    "leaks",
    "one_hot",
    "proteins",
    "least_squares",
    "parquet",
    "offset",
    "folds",
    "precision",
    "digits",
    "descent",
    "paths",
    "wide_path",
    "cv",
)


def asked(words: Sequence[str] | None) -> argparse.Namespace:
    """What was said on the command line, or in `words`."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; all if none")
    made = Path(tempfile.gettempdir()) / "leastwise-bench"
    parser.add_argument("--folder", type=Path, default=made, help="where large files are made")
    parser.add_argument("--keep", action="store_true", help="leave the large files there")
    data = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="where the real data sets are")
    options = parser.parse_args(words)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}. There are {', '.join(NAMES)}.")
    return options


def main(words: Sequence[str] | None = None) -> None:
    """Run each benchmark that was asked for, and tell its table, or its tables by name."""
    options = asked(words)
    for name in options.names or NAMES:
        begun = time.perf_counter()
        found = import_module(f"benchmarks.{name}").run(options)
        for of, table in found.items() if isinstance(found, dict) else ((name, found),):
            print(f"{table.text()}\n", flush=True)
            write(table, of)
        print(f"  {time.perf_counter() - begun:.0f} s in all\n", flush=True)


if __name__ == "__main__":
    main()
