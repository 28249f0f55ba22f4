"""Which pairs MMseqs2 thinks are related; what related means stays with alignment.py.

    sequences -> createdb -> prefilter (its most sensitive, many results) -> align -> pairs

These are the steps of its search, each a process of its own. Not `easy-cluster` or `linclust`: they compare
sequences with representatives, in cascades, and miss pairs by design. Its E-value is of a query and all
residues of the database, ours of a pair and its lengths, so it is asked for pairs at `MARGIN` times ours.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import LeastwiseError, UsageError
from leastwise.numerics import workers
from leastwise.sequences.alignment import Related

__all__ = ["SHORTEST", "binary", "named", "version"]

Ints = NDArray[np.int64]

VARIABLE = "LEASTWISE_MMSEQS"  # the binary, where it is not on PATH
SENSITIVITY, RESULTS, MARGIN = "7.5", "5000", 100
PLAIN = ("--comp-bias-corr", "0")  # our alignments are not corrected for composition either
SHORTEST = 14  # residues
BAR, BEFORE = 65, 2  # signs of one of its progress bars, and the bars of the prefilter before the long one


def binary() -> str:
    """The path of MMseqs2: LEASTWISE_MMSEQS, else from PATH. Raises UsageError where there is none."""
    asked = os.environ.get(VARIABLE)
    found = shutil.which(asked or "mmseqs")
    if found is None:
        where = f"{VARIABLE}={asked} is no program" if asked else "mmseqs is not on PATH"
        raise UsageError(
            f"engine='mmseqs' needs MMseqs2, and {where}. Install it (apt-get install mmseqs2, brew "
            "install mmseqs2, conda install -c bioconda mmseqs2), or leave engine out."
        )
    return found


def version() -> str:
    """The version that it calls itself, as 18-8cc5c."""
    said = subprocess.run([binary(), "version"], capture_output=True, text=True, check=False).stdout
    return said.strip() or "of unknown version"


def named(
    sequences: Iterable[str], related: Related, tell: Callable[[int, int], None] | None = None
) -> tuple[Ints, Ints]:
    """Pairs i < j that MMseqs2 finds, each once, by i, then j: (pairs,) both.

    `tell` is called with (done, in all) of its work. Files go to a temporary folder, which is removed;
    threads are `numerics.workers()`; an interrupt ends it. It is not asked about sequences of fewer than
    SHORTEST residues, which it refuses or does not see. Raises UsageError where MMseqs2 is absent,
    LeastwiseError with its last line where it fails.
    """
    program, texts = binary(), list(sequences)
    known = [i for i, text in enumerate(texts) if len(text) >= SHORTEST]
    if len(known) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    with tempfile.TemporaryDirectory(prefix="leastwise-") as name:
        folder = Path(name)
        fasta, db, likely, near, table = (
            str(folder / part) for part in ("all.fasta", "db", "likely", "near", "pairs.tsv")
        )
        lines = "".join(f">{i}\n{texts[i]}\n" for i in known)
        Path(fasta).write_text(lines, encoding="ascii")
        threads = ("--threads", str(workers()))
        steps: tuple[tuple[str, ...], ...] = (
            ("createdb", fasta, db, "--dbtype", "1"),
            ("prefilter", db, db, likely, "-s", SENSITIVITY, "--max-seqs", RESULTS, "--mask", "0",
             *PLAIN, *threads),
            ("align", db, db, likely, near, "-e", f"{MARGIN * related.evalue:g}", "--alignment-mode", "1",
             *PLAIN, *threads),
            ("convertalis", db, db, near, table, "--format-output", "query,target", *threads),
        )  # fmt: skip
        for words in steps:
            _run([program, *words], tell if words[0] == "prefilter" else None)
        return _pairs(Path(table), len(texts))


def _run(words: list[str], tell: Callable[[int, int], None] | None) -> None:
    """One step, to its end. What it prints is read as it comes: its progress, and its last words."""
    last, signs = b"", 0
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out: Any = process.stdout
            while said := os.read(out.fileno(), 1 << 16):
                last, signs = (last + said)[-4_096:], signs + said.count(b"=")
                if tell is not None:
                    tell(min(max(signs - BEFORE * BAR, 0), BAR), BAR)
            code = process.wait()
        except BaseException:  # an interrupt too: nothing of it goes on
            _end(process)
            raise
    if code:
        lines = last.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        raise LeastwiseError(
            f"MMseqs2 stopped with exit status {code} in `mmseqs {words[1]}`. It said last: "
            f"{lines[-1]!r}. Look to its installation and to the room on disk, or leave engine out."
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it with what it has started."""
    if sys.platform != "win32":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _pairs(table: Path, n: int) -> tuple[Ints, Ints]:
    """The lines `query<TAB>target` as pairs i < j, each once."""
    text = table.read_bytes() if table.exists() else b"-1"
    try:
        found = np.fromstring(text, np.int64, sep="\t") if text else np.empty(0, np.int64)
    except (ValueError, DeprecationWarning):
        found = np.full(1, -1)
    if len(found) != 2 * text.count(b"\n") or found.min(initial=0) < 0 or found.max(initial=0) >= n:
        raise LeastwiseError(
            f"MMseqs2 wrote what is no list of pairs of the {n:,} sequences. Its version may differ from "
            "those known (14 and 18). Leave engine out."
        )
    found = found.reshape(-1, 2)  # (lines, 2)
    low, high = found.min(axis=1), found.max(axis=1)
    keys = np.sort((low * n + high)[low < high])
    first, second = np.divmod(keys[np.diff(keys, prepend=-1) > 0], n)
    return first, second
