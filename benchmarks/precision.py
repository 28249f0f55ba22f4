"""What exactness costs: exact moments beside fast ones and a bare product, and solving from either."""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.clock import Timing, child, here, in_turn, module
from benchmarks.table import Table

N = 1_000_000
ROUNDS = {50: 5, 200: 3}  # columns: rounds
BLOCK = 4_096  # rows of a block of the bare product
PLAIN, FAST, EXACT = "bare Z'Z", "Moments.of, fast", "Moments.of, exact"
SOLVES = ("solve, fast", "solve, fast, no root", "solve, exact", "solve, exact, no root")


def run(options: Namespace) -> Table:
    """Each shape and kind of data in a fresh process, on one thread and then on all."""
    rows: list[Mapping[str, Any]] = []
    all_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for p in ROUNDS:
        for threads in (1, all_threads):
            names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LEASTWISE_THREADS")
            limit = dict.fromkeys(names, str(threads))
            for kind in KINDS:
                begun = time.perf_counter(), others()
                found = json.loads(child(module("precision", p, kind), **limit))
                busy = (others() - begun[1]) / (time.perf_counter() - begun[0])
                rows += [row | {"others": round(max(busy, 0.0), 1)} for row in found]
    notes = [
        f"{N:,} rows; in turn in one process for each kind, median of "
        + " and ".join(f"{rounds} rounds ({p} columns)" for p, rounds in ROUNDS.items()),
        f"{PLAIN}: numpy's product of blocks [1, X, y] of {BLOCK:,} rows, BLAS on all threads given;",
        "with weights, of blocks times their roots",
        "/ bare, / fast: of one shape, kind and count of threads; a solve over the solve from fast moments",
        "all kinds came as float64; weighted: normal columns, weights uniform between 0.5 and 1.5",
        "others: cores that other processes kept busy meanwhile; wall seconds beside many are not sound",
        "solve: least_squares of moments that are there, without root where no standard errors are wanted",
    ]
    return Table("precision: seconds for moments and solves", rows, notes)


def others() -> float:
    """Processor seconds that others than this run have spent so far; nan where no Linux says it."""
    try:
        user, nice, system, _, _, *rest = map(
            int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
        )
    except (OSError, ValueError):
        return math.nan
    mine = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK") - mine.ru_utime - mine.ru_stime


def measured(p: int, kind: str) -> list[dict[str, Any]]:
    """All ways of one shape and kind, in this process."""
    X, y, w = KINDS[kind](p)
    times = in_turn({name: here(way) for name, way in passes(X, y, w).items()}, ROUNDS[p], warm=0)
    rows = [shown(kind, p, name, t, times[PLAIN], times[FAST]) for name, t in times.items()]
    if kind == next(iter(KINDS)):
        plain, ways = times[PLAIN], solves(X, y)
        times = in_turn({name: here(way) for name, way in ways.items()}, ROUNDS[p])
        rows += [shown(kind, p, name, t, plain, times[SOLVES[0]]) for name, t in times.items()]
    return rows


def shown(kind: str, p: int, way: str, t: Timing, plain: Timing, fast: Timing) -> dict[str, Any]:
    return {
        "columns": p, "threads": int(os.environ["LEASTWISE_THREADS"]), "kind": kind, "way": way,
        "wall s": t.wall, "cpu s": t.cpu,
        "wall / bare": t.wall / plain.wall, "cpu / bare": t.cpu / plain.cpu,
        "wall / fast": t.wall / fast.wall, "cpu / fast": t.cpu / fast.cpu,
    }  # fmt: skip


# ---- the ways ----


def passes(X: Any, y: Any, w: Any) -> dict[str, Callable[[], Any]]:
    """Each way to go over the rows."""
    import leastwise as lw

    return {
        PLAIN: lambda: bare(X, y, w),
        FAST: lambda: lw.Moments.of(X, y, w, precision="fast"),
        EXACT: lambda: lw.Moments.of(X, y, w, precision="exact"),
    }


def bare(X: Any, y: Any, w: Any) -> Any:
    """`Z' diag(w) Z` of `Z = [1, X, y]`, and nothing else."""
    import numpy as np

    n, p = X.shape
    total, buffer = np.zeros((p + 2, p + 2)), np.empty((BLOCK, p + 2))
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        Z = buffer[: stop - start]
        Z[:, 0], Z[:, 1:-1], Z[:, -1] = 1.0, X[start:stop], y[start:stop]
        if w is not None:
            Z *= np.sqrt(w[start:stop, None])
        total += Z.T @ Z
    return total


def solves(X: Any, y: Any) -> dict[str, Callable[[], Any]]:
    """Each way to solve from moments that are there.

    Moments keep what was once computed of them, so each solve gets a new view.
    """
    from dataclasses import replace

    import leastwise as lw
    from leastwise.solve import least_squares

    made = [lw.Moments.of(X, y, precision=precision) for precision in ("fast", "exact")]

    def solve(moments: lw.Moments, root: bool) -> Any:
        parts = tuple(replace(part) for part in moments.parts)
        return least_squares(replace(moments, parts=parts), root=root)

    asked = [(moments, root) for moments in made for root in (True, False)]
    return {
        name: lambda moments=moments, root=root: solve(moments, root)  # type: ignore[misc]
        for name, (moments, root) in zip(SOLVES, asked, strict=True)
    }


# ---- the data ----


def normal(p: int) -> tuple[Any, Any, Any]:
    """Normal columns, all 53 bits in use."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = np.empty((N, p))
    rng.standard_normal(out=X)
    return X, X @ rng.standard_normal(p) + rng.standard_normal(N), None


def changed(X: Any) -> Iterator[Any]:
    """The rows in blocks, to be changed in place: no second copy of them is made."""
    for start in range(0, len(X), BLOCK):
        yield X[start : start + BLOCK]


def single(p: int) -> tuple[Any, Any, Any]:
    """Normal columns and target as float32 holds them."""
    import numpy as np

    X, y, _ = normal(p)
    for block in changed(X):
        block[:] = block.astype(np.float32)
    return X, y.astype(np.float32).astype(np.float64), None


def integers(p: int) -> tuple[Any, Any, Any]:
    """Counts to a few thousand."""
    import numpy as np

    X, y, _ = normal(p)
    for block in changed(X):
        np.rint(np.abs(block, out=block) * 1000, out=block)
    return X, np.rint(1000 * y), None


def prices(p: int) -> tuple[Any, Any, Any]:
    """Numbers of two decimals up to some hundreds, as the nearest float64."""
    import numpy as np

    X, y, _ = normal(p)
    for block in changed(X):
        np.round(np.abs(block, out=block) * 100, 2, out=block)
    return X, np.round(100 * y, 2), None


def weighted(p: int) -> tuple[Any, Any, Any]:
    """Normal columns with weights of 53 bits."""
    import numpy as np

    X, y, _ = normal(p)
    return X, y, np.random.default_rng(1).uniform(0.5, 1.5, N)


KINDS: dict[str, Callable[[int], tuple[Any, Any, Any]]] = {
    "normal": normal,
    "float32 values": single,
    "integers": integers,
    "two decimals": prices,
    "weighted": weighted,
}

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].isdigit():
        print(json.dumps(measured(int(sys.argv[1]), sys.argv[2])))
    else:
        from benchmarks.__main__ import main

        main(["precision", *sys.argv[1:]])
