"""A table of results: printed as plain text, written as CSV, with where and when it was made."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("leastwise", "numpy", "scipy", "scikit-learn", "pyarrow")
RESULTS = Path(__file__).parent / "results"


@dataclass
class Table:
    """Rows of named values under a title. A float is shown with three digits, None as a dash."""

    title: str
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The table as it is printed, columns aligned, notes below."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        cells = [names, *([shown(row.get(name)) for name in names] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        left = [all(isinstance(row.get(name), str) for row in self.rows) for name in names]
        lines = [
            "  ".join(
                c.ljust(w) if to_left else c.rjust(w)
                for c, w, to_left in zip(row, widths, left, strict=True)
            )
            for row in cells
        ]
        said = [f"  {key}: {value}" for key, value in place().items()]
        return "\n".join(
            [
                f"{self.title}",
                *said,
                "",
                *(f"  {x.rstrip()}" for x in lines),
                "",
                *(f"  {x}" for x in self.notes),
            ]
        )


def shown(value: Any) -> str:
    """A value as a cell of a printed table."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    return f"{value:.1e}"


def write(table: Table, name: str) -> None:
    """results/NAME.csv: where and when as comments, then the rows in full."""
    RESULTS.mkdir(exist_ok=True)
    names = list(dict.fromkeys(key for row in table.rows for key in row))
    with open(RESULTS / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
        for line in (table.title, *(f"{key}: {value}" for key, value in place().items()), *table.notes):
            file.write(f"# {line}\n")
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.rows)


@cache
def place() -> dict[str, str]:
    """Where and when: machine, date, commit, versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": f"{processor()}, {cores} cores",
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit(),
        "versions": ", ".join([f"Python {platform.python_version()}", *map(installed, PACKAGES)]),
    }


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    model = f"model {found['model']}" if "model" in found else platform.machine()
    return f"{found.get('model name', 'processor')} ({model})"


def commit() -> str:
    """The short name of the commit, and whether files differ from it."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return name + (" (with changes)" if _git("status", "--porcelain", "src") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    here = Path(__file__).parent.parent
    return subprocess.run(
        ["git", *words], cwd=here, capture_output=True, text=True, check=True
    ).stdout.strip()


def installed(package: str) -> str:
    """A package with its version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"
