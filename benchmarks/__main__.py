"""`python -m benchmarks [NAME ...] [--folder F] [--data D] [--keep]`."""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib import import_module
from pathlib import Path

from benchmarks.table import write

NAMES = ("startup", "least_squares", "parquet", "offset", "folds")


def asked() -> argparse.Namespace:
    """What was said on the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; all if none")
    made = Path(tempfile.gettempdir()) / "leastwise-bench"
    parser.add_argument("--folder", type=Path, default=made, help="where large files are made")
    parser.add_argument("--keep", action="store_true", help="leave the large files there")
    data = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="where the real data sets are")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}. There are {', '.join(NAMES)}.")
    return options


def main() -> None:
    """Run each benchmark that was asked for, and tell its table."""
    options = asked()
    for name in options.names or NAMES:
        begun = time.perf_counter()
        table = import_module(f"benchmarks.{name}").run(options)
        print(f"{table.text()}\n  {time.perf_counter() - begun:.0f} s in all\n", flush=True)
        write(table, name)


if __name__ == "__main__":
    main()
