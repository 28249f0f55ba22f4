"""Workers told to run once in turn: a way that can be run gets its rounds, another has a note why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.clock import Timing, middle
from benchmarks.path_ways import OURS, Way
from benchmarks.peers import Worker, WorkerError
from benchmarks.precision import others

LIMIT, LONG, ROUNDS, FEW = 30.0, 15.0, 5, 3  # seconds of a run, and how often it is repeated


@dataclass
class Entry:
    """One way: its worker, what it is told to run (None: it cannot), and its turns."""

    way: Way
    worker: Worker
    options: dict[str, Any] | None = None
    once: float = 0.0  # seconds of one run
    first: float | None = None  # seconds of the first call, with imports and what is compiled
    note: str = ""
    said: dict[str, Any] = field(default_factory=dict)  # what else the table says of it
    timings: list[Timing] = field(default_factory=list)

    def begin(self, files: Mapping[str, Any]) -> None:
        """Warm up, then load."""
        answer = self.worker.ask("begin", 3 * LIMIT)
        self.first, self.said["versions"] = answer["wall"], ", ".join(answer["versions"])
        self.worker.ask("load", LIMIT, **files)

    def run(self, options: Mapping[str, Any], limit: float = LIMIT, **question: Any) -> Timing:
        """One run."""
        answer = self.worker.ask("run", limit, options=options, **question)
        return Timing(answer["wall"], answer["cpu"])

    @property
    def rounds(self) -> int:
        """How often it is to be run."""
        if self.options is None:
            return 0
        return FEW if self.once > LONG else ROUNDS


def take_turns(
    place: str,
    ways: Mapping[str, Way],
    threads: int,
    files: Mapping[str, Any],
    tune: Callable[[Entry], None],
) -> list[dict[str, Any]]:
    """The rows of a table: each way is begun and tuned (which gives it its options), then all in turn."""
    with started(place, ways, threads) as entries:
        for name, entry in entries.items():
            try:
                entry.begin(files)
                tune(entry)
            except WorkerError as error:
                entry.options, entry.note = None, str(error)
            print(f"    {name}: {entry.note or f'{entry.once:.3g} s'}", flush=True)
        begun, before = time.perf_counter(), others()
        for turn in range(ROUNDS):
            for entry in entries.values():
                if turn < entry.rounds:
                    one_more(entry)
        busy = max((others() - before) / (time.perf_counter() - begun), 0.0)
        return [row(name, entries, threads, round(busy, 1)) for name in entries]


def one_more(entry: Entry) -> None:
    """One more timing, or a note of what went wrong."""
    try:
        entry.timings.append(entry.run(entry.options or {}, 3 * LIMIT))
    except WorkerError as error:
        entry.options, entry.note = None, str(error)


@contextmanager
def started(place: str, ways: Mapping[str, Way], threads: int) -> Iterator[dict[str, Entry]]:
    """A worker for each way, ended at the end."""
    entries = {name: Entry(way, Worker(place, name, way.env, threads)) for name, way in ways.items()}
    try:
        yield entries
    finally:
        for entry in entries.values():
            entry.worker.stop()


def row(name: str, entries: Mapping[str, Entry], threads: int, busy: float) -> dict[str, Any]:
    """One line of a table: medians, and ratios to ours where both have been run."""
    entry = entries[name]
    took, mine = (middle(e.timings) if e.timings else None for e in (entry, entries[OURS]))
    both = took is not None and mine is not None
    return {
        "threads": threads, "way": name,
        "cpu s": took.cpu if took else None, "wall s": took.wall if took else None,
        "cpu / ours": took.cpu / mine.cpu if both else None,
        "wall / ours": took.wall / mine.wall if both else None,
        "runs": len(entry.timings), "first s": entry.first, "others": busy,
        **entry.said, "note": entry.note,
    }  # fmt: skip
