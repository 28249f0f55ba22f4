"""How long one waits before anything is done: imports, --help, and one prediction."""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from benchmarks.clock import child, in_turn, process
from benchmarks.table import Table

ROUNDS = 15
HEAVY = ("torch", "pandas", "sklearn", "scipy", "pyarrow", "numpy")
PREDICT = "from leastwise.cli import main; main(['predict', *sys.argv[1:]], standalone_mode=False)"


def run(options: Namespace) -> Table:
    """Fresh processes in turn; each ratio is to `import numpy`."""
    with tempfile.TemporaryDirectory() as folder:
        model, row = fitted(Path(folder))
        command = str(Path(sys.executable).parent / "leastwise")
        ways = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
            "python -c 'import numpy, pyarrow'": [sys.executable, "-c", "import numpy, pyarrow"],
            "python -c 'import leastwise'": [sys.executable, "-c", "import leastwise"],
            "python -c 'import leastwise; leastwise.fit'": [
                sys.executable,
                "-c",
                "import leastwise; leastwise.fit",
            ],
            "leastwise --help": [command, "--help"],
            "leastwise predict RUN one_row.csv": [command, "predict", model, row],
        }
        found = in_turn({name: process(words) for name, words in ways.items()}, ROUNDS)
        notes = [
            f"loaded after import leastwise: {loaded('import leastwise')}",
            f"loaded after predict: {loaded(PREDICT, model, row)}",
            f"fresh processes, files in cache, median of {ROUNDS}",
        ]
    unit = found["python -c 'import numpy'"].wall
    rows = [
        {"process": n, "wall s": t.wall, "cpu s": t.cpu, "wall / numpy": t.wall / unit}
        for n, t in found.items()
    ]
    return Table("startup: how long one waits", rows, notes)


def fitted(folder: Path) -> tuple[str, str]:
    """A small run folder, and a file of one row to predict."""
    lines = [f"{i},{i * i % 7},{2 * i + 1}" for i in range(50)]
    data, row, model = folder / "small.csv", folder / "one_row.csv", folder / "RUN"
    data.write_text("\n".join(["a,b,y", *lines]) + "\n", encoding="utf-8")
    row.write_text("a,b\n1.5,2.5\n", encoding="utf-8")
    child(
        [sys.executable, "-m", "leastwise", "fit", str(data), "--target", "y", "-o", str(model), "--quiet"]
    )
    return str(model), str(row)


def loaded(code: str, *words: str) -> str:
    """Which heavy packages a process has loaded after `code`."""
    told = f"import sys; {code}\nprint(':', *(m for m in {HEAVY} if m in sys.modules))"
    return child([sys.executable, "-c", told, *words]).splitlines()[-1].lstrip(": ") or "none of them"
