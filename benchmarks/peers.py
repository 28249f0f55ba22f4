"""Peers in an environment of their own, `.peers`, and workers that run in it: `python -m benchmarks.peers`.

They need other versions of numpy and scikit-learn than ours, so they cannot share our environment.
A worker is one way in one process, which holds its rows and is told "run once" in turn with others.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from benchmarks.clock import ROOT

FOLDER = ROOT / ".peers"
WANTED = (
    "celer", "skglm", "glum", "adelie", "threadpoolctl",
    "scikit-learn<1.9",  # celer and skglm name options that 1.9 took away
    "numpy<2",  # adelie
    "pyarrow<20",  # later ones need numpy 2; pandas brings it
)  # fmt: skip
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS", "BLIS_NUM_THREADS", "LEASTWISE_THREADS",
)  # fmt: skip


class WorkerError(RuntimeError):
    """A worker has said what went wrong, has died, or has taken too long."""


class Worker:
    """One way in a process of its own."""

    def __init__(self, ways: str, name: str, env: str, threads: int) -> None:
        """Start it: `ways` says "module:DICTIONARY" of the way `name`, `env` is "main" or "peers"."""
        self.name, self.process = name, None
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (it lives as long as the worker)
        told = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
        words = [str(python(env)), "-m", "benchmarks.worker", ways, name, str(threads)]
        if python(env).exists():
            self.process = subprocess.Popen(
                words, cwd=ROOT, env=told, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self.log,
            )  # fmt: skip

    def ask(self, do: str, limit: float, **question: Any) -> dict[str, Any]:
        """The answer, within `limit` seconds; WorkerError otherwise."""
        if self.process is None:
            raise WorkerError("missing: python -m benchmarks.peers")
        into, out = self.process.stdin, self.process.stdout
        assert into is not None
        assert out is not None
        try:
            print(json.dumps({"do": do, **question}), file=into, flush=True)
        except OSError as error:
            raise WorkerError(f"has ended: {self.last_words()}") from error
        if not select.select([out], [], [], limit)[0]:
            self.stop()
            raise WorkerError(f"over {limit:.0f} s")
        line = out.readline()
        if not line:
            raise WorkerError(f"has ended: {self.last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"].replace("ModuleNotFoundError", "missing"))
        return answer

    def last_words(self) -> str:
        """The last line that it said."""
        self.stop()
        self.log.seek(0)
        return (self.log.read().strip().splitlines() or ["without a word"])[-1][:200]

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            self.process.communicate()


def python(env: str) -> Path:
    """The interpreter of "main" (this one) or "peers"."""
    return Path(sys.executable) if env == "main" else FOLDER / "bin" / "python"


def make() -> None:
    """Make the environment and let pip fill it, each peer by itself where they cannot all be had."""
    if not python("peers").exists():
        venv.create(FOLDER, with_pip=True)
    pip = [str(python("peers")), "-m", "pip", "install", "--only-binary", ":all:"]
    if subprocess.run([*pip, *WANTED]).returncode:
        pins = [word for word in WANTED if "<" in word]
        for package in WANTED:
            if subprocess.run([*pip, package, *pins]).returncode:
                print(f"{package} cannot be installed here", flush=True)


if __name__ == "__main__":
    begun = time.perf_counter()
    make()
    print(f"{FOLDER.name}: {time.perf_counter() - begun:.0f} s")
