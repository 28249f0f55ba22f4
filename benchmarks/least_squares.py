"""Least squares in memory: moments and fits beside scikit-learn and numpy, on one thread and on all."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from benchmarks.clock import child, here, in_turn, module
from benchmarks.table import Table

SHAPES = ((1_000_000, 10), (1_000_000, 100), (200_000, 500), (10_000, 1000), (500, 5000))
LARGE = 50_000_000  # numbers in X from which on only three rounds are made, and the SVD is left out
PEER = "Ridge(cholesky)"


def run(options: Namespace) -> Table:
    """Each shape in two fresh processes: BLAS and we on one thread, then both on all cores."""
    rows = []
    for n, p in SHAPES:
        for threads in (
            1,
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        ):
            limit = dict.fromkeys(
                ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LEASTWISE_THREADS"), str(threads)
            )
            rows += json.loads(child(module("least_squares", n, p), **limit))
    ours = ("Moments + solve", "fit, no folds", "fit, 5 folds and scores")
    lost = [r for r in rows if r["way"] in ours[:2] and (r["wall / peer"] or 0) > 1]
    notes = [
        f"peer: {PEER} is Ridge(alpha=1e-12, solver='cholesky'); float64, normal columns",
        f"in turn in one process, median of 5 rounds, of 3 from {LARGE:,} numbers in X on",
        "LinearRegression(tol=0) and lstsq (SVDs) are left out from there on: 10 s and more each",
        "A'A in one go: the symmetric product alone, all of X in one call of BLAS",
        "difference: of coefficients from lstsq's (Ridge's where that is left out), over the largest",
        "500 x 5000: ours with rank='min-norm' (the dual); too few rows for scores",
        *(
            f"we lose to {PEER}: {r['shape']}, {r['threads']} threads, {r['way']}, {r['wall / peer']:.2f}"
            for r in lost
        ),
    ]
    return Table("least_squares: wall and CPU seconds", rows, notes)


def measured(n: int, p: int) -> list[dict[str, Any]]:
    """All ways of one shape, in this process."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    y = X @ rng.standard_normal(p) + rng.standard_normal(n) + 1
    found = ways(X, y)
    small = n * p < LARGE
    truth = found["lstsq (SVD)" if small else PEER]()
    size, unit = np.abs(truth).max(), None
    times = in_turn({name: here(way) for name, way in found.items()}, 5 if small else 3, warm=0)
    threads, unit = int(os.environ["LEASTWISE_THREADS"]), times[PEER].wall
    rows = []
    for name, way in found.items():
        b = way()
        rows.append({
            "shape": f"{n:,} x {p:,}", "threads": threads, "way": name,
            "wall s": times[name].wall, "cpu s": times[name].cpu, "wall / peer": times[name].wall / unit,
            "difference": None if b is None else float(np.abs(b - truth).max() / size),
        })  # fmt: skip
    return rows


def ways(X: Any, y: Any) -> dict[str, Callable[[], Any]]:
    """Each way by its name: it gives the coefficients (p,), or None where they are not its business."""
    import numpy as np
    from sklearn.linear_model import LinearRegression, Ridge

    import leastwise as lw
    from leastwise.solve import least_squares

    n, p = X.shape
    rank = "min-norm" if n < p else "drop"
    found: dict[str, Callable[[], Any]] = {
        "A'A in one go": lambda: (X.T @ X, None)[1],
        "Moments + solve": lambda: least_squares(lw.Moments.of(X, y), rank=rank).coef[0],
        "fit, no folds": lambda: lw.fit((X, y), folds=0, rank=rank).coef,
        "fit, 5 folds and scores": lambda: scored(lw.fit((X, y), rank=rank)),
        PEER: lambda: Ridge(alpha=1e-12, solver="cholesky").fit(X, y).coef_,
    }
    if n * p < LARGE:
        found["LinearRegression"] = lambda: LinearRegression(tol=0).fit(X, y).coef_
        found["lstsq (SVD)"] = lambda: np.linalg.lstsq(X - X.mean(axis=0), y - y.mean(), rcond=None)[0]
    return found


def scored(fit: Any) -> Any:
    """The coefficients, after the scores of the folds were asked for."""
    return fit.coef if fit.validation is not None else None


if __name__ == "__main__":
    print(json.dumps(measured(*map(int, sys.argv[1:]))))
