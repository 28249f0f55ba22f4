"""The same as `paths` at 2,000 x 10,000, which takes as long as all the others: half an hour by itself."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import paths
from benchmarks.table import Table

CASES: tuple[paths.Case, ...] = ((2_000, 10_000, 1.0, paths.EVERY, 75.0),)


def run(options: Namespace) -> Table:
    """The one case, with one thread."""
    return paths.run(options, CASES)
