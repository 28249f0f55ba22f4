"""Time and memory: several ways of one job measured in turn (A B A B ...), medians of the rounds."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
MIB = 1 << 20


@dataclass(frozen=True)
class Timing:
    """Seconds by the wall clock and of the processors, and the peak of memory in MiB."""

    wall: float
    cpu: float
    peak: float = 0.0


def in_turn(ways: Mapping[str, Callable[[], Timing]], rounds: int, warm: int = 1) -> dict[str, Timing]:
    """The median of each way over `rounds`; in each round every way has one turn, after `warm` ones."""
    found: dict[str, list[Timing]] = {name: [] for name in ways}
    for turn in range(warm + rounds):
        for name, way in ways.items():
            timing = way()
            if turn >= warm:
                found[name].append(timing)
    return {name: middle(timings) for name, timings in found.items()}


def middle(timings: Sequence[Timing]) -> Timing:
    """The median of each figure by itself."""
    return Timing(*(median(getattr(t, name) for t in timings) for name in ("wall", "cpu", "peak")))


def here(work: Callable[[], Any]) -> Callable[[], Timing]:
    """`work`, timed in this process."""

    def timed() -> Timing:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return Timing(time.perf_counter() - wall, time.process_time() - cpu)

    return timed


def process(words: Sequence[str], **env: str) -> Callable[[], Timing]:
    """A fresh process, timed from outside, from its start to its end."""

    def timed() -> Timing:
        wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        child(words, **env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Timing(time.perf_counter() - wall, spent)

    return timed


def reporting(words: Sequence[str], **env: str) -> Callable[[], Timing]:
    """A fresh process that prints its own Timing (by `report`), so that its imports are not counted."""
    return lambda: Timing(**json.loads(child(words, **env)))


def report(work: Callable[[], Any]) -> None:
    """Print how long `work` took in this process, and the most memory the process ever had."""
    print(json.dumps(asdict(here(work)()) | {"peak": peak()}))


def child(words: Sequence[str], **env: str) -> str:
    """What a fresh process said; RuntimeError with its last words where it failed."""
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[-4:])} failed: {done.stderr[-2000:]}")
    return done.stdout


def module(name: str, *words: object) -> list[str]:
    """The words that run a module of this package in a fresh process."""
    return [sys.executable, "-m", f"benchmarks.{name}", *map(str, words)]


def peak() -> float:
    """The most memory this process ever had resident, MiB.

    Linux's own count of this program: ru_maxrss begins with what the parent had before `exec`.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        unit = MIB if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
