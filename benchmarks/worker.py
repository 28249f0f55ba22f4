"""One way of one job in a process of its own: told over a pipe to load, to warm up and to run once.

Each line that comes in is a question in JSON, each line that goes out its answer. It imports no more
than numpy and what its way needs, so that it also runs in an environment that has nothing of ours.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def serve(ways: str, name: str, threads: int) -> None:
    """Answer questions until there are no more; what a package prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    held: dict[str, Any] = {"threads": threads}
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = ANSWERS[question.pop("do")](ways, name, held, **question)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


def begin(ways: str, name: str, held: dict[str, Any]) -> dict[str, Any]:
    """Import what the way needs and run it on rows of its own: how long this takes, and the versions."""
    import numpy as np

    wall, cpu = time.perf_counter(), time.process_time()
    way = way_of(ways, name)
    rng = np.random.default_rng(0)
    X = np.asarray(rng.standard_normal((200, 10)), order=way.order)
    y = X[:, 0] + rng.standard_normal(200)
    call(way.work, X, y, held["threads"], way.small)
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "versions": [f"{package} {found(package)}" for package in (*way.packages, "numpy")],
    }


def load(ways: str, name: str, held: dict[str, Any], files: dict[str, str], y: str) -> dict[str, Any]:
    """Take X (n, p), laid out as the way likes it, and y (n,) for the runs that follow; not timed.

    Copy on write: all the workers share one X in memory, and none can change it for another.
    """
    import numpy as np

    order = way_of(ways, name).order
    held["X"] = np.asarray(np.load(files[order], mmap_mode="c"))
    held["y"] = np.load(y)
    return {}


def run(
    ways: str, name: str, held: dict[str, Any], options: dict[str, Any], out: str | None = None
) -> dict[str, Any]:
    """One run: its seconds. What it found is written to `out`, where that is asked for."""
    import numpy as np

    way = way_of(ways, name)
    wall, cpu = time.perf_counter(), time.process_time()
    found = call(way.work, held["X"], held["y"], held["threads"], options)
    answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    if out:
        np.savez(Path(out), **{key: np.asarray(value) for key, value in found.items()})
    return answer


def call(
    work: Callable[..., dict[str, Any]], X: Any, y: Any, threads: int, options: dict[str, Any]
) -> dict[str, Any]:
    """What the way finds, with BLAS and OpenMP held to so many threads."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    if "alphas" in options:
        options = {**options, "alphas": np.asarray(options["alphas"])}
    with threadpool_limits(threads):
        return work(X, y, threads=threads, **options)


def way_of(ways: str, name: str) -> Any:
    """The way `name`; `ways` is "module:DICTIONARY"."""
    module, _, dictionary = ways.partition(":")
    return getattr(import_module(f"benchmarks.{module}"), dictionary or "WAYS")[name]


def found(package: str) -> str:
    """The version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


ANSWERS = {"begin": begin, "load": load, "run": run}

if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
