"""The house keeps its own rules: who may import whom, the promised names, what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import leastwise as lw

SRC = Path(lw.__file__).parent

# The way of the data: a part imports only from parts on lines above its own. docs/design.md says why.
WAY = (
    ("_version", "errors"),
    ("numerics", "arrow", "disk", "teach"),
    ("integers", "penalties"),
    ("digits",),
    ("frames",),
    ("rows", "sequences", "paired"),
    ("encodings",),
    ("terms", "look", "parts", "roles", "transforms", "sides"),
    ("recipe", "moments"),
    ("solve", "sparse"),
    ("inference", "folds"),
    ("robust", "feed", "options", "choice", "validation"),
    ("diagnostics", "alone", "related"),
    ("conformal", "beside"),
    ("transformed",),
    ("report",),
    ("fitted",),
    ("checks", "dealing", "descended"),
    ("fitting",),
    ("descending",),
    ("store", "predicting", "estimators"),
    ("proteins",),
    ("embedding",),
    ("asking",),
    ("cli",),
    ("__init__", "__main__"),
)
LINE = {part: i for i, line in enumerate(WAY) for part in line}


def modules() -> list[Path]:
    return sorted(path for path in SRC.rglob("*.py"))


def part_of(module: str) -> str:
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def imported(path: Path) -> set[str]:
    """Parts of leastwise that a file imports, at its top or inside functions, type checking aside."""
    tree = ast.parse(path.read_text())
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "leastwise":
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {part_of(m) for m in (inner if node.module == "leastwise" else [node.module])}
        if isinstance(node, ast.Import):
            found |= {part_of(a.name) for a in node.names if a.name.split(".")[0] == "leastwise"}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_a_part_imports_only_from_parts_above_it(path):
    mine = path.relative_to(SRC).parts[0].removesuffix(".py")
    for other in imported(path) - {mine}:
        assert LINE[other] < LINE[mine], f"{mine} imports {other}, which does not stand above it"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_functions_stay_below_sixty_lines_and_files_below_six_hundred(path):
    text = path.read_text()
    assert text.count("\n") <= 600
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= 60, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_public_functions_say_what_you_get(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_the_promised_names_are_there_and_sorted():
    assert lw.__all__ == sorted(lw.__all__)
    for name in lw.__all__:
        assert getattr(lw, name) is not None


def test_the_verb_fit_is_not_hidden_by_a_module_whatever_is_imported_first():
    code = "import leastwise.store, leastwise as lw; assert callable(lw.fit) and callable(lw.load)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ridge'"):
        _ = lw.ridge


def loaded_after(code: str) -> set[str]:
    names = ("numpy", "torch", "pandas", "polars", "sklearn", "scipy", "pyarrow", "jinja2")
    probe = f"{code}\nimport sys; print(*[n for n in {names} if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    return set(run.stdout.split("\n")[-2].split())


def test_importing_leastwise_imports_nothing_heavy():
    assert loaded_after("import leastwise") == set()


def test_help_imports_nothing_heavy():
    code = "from leastwise.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert loaded_after(code) == set()


def test_predicting_imports_neither_torch_nor_a_frame_library(tmp_path):
    table, run = tmp_path / "a.csv", tmp_path / "run"
    table.write_text("x,t,y\n" + "".join(f"{i},{'ab'[i % 2]},{2 * i}\n" for i in range(30)))
    lw.save(lw.fit(table, "y"), tmp_path / "model.safetensors")
    code = (
        "from leastwise.cli import main\n"
        f"try: main(['predict', {str(tmp_path)!r}, {str(table)!r}, '-o', {str(run)!r}])\n"
        "except SystemExit as stop: assert stop.code in (0, None), stop.code"
    )
    assert loaded_after(code) <= {"numpy", "pyarrow"}


def test_fitting_a_file_imports_no_frame_library(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("x,y\n" + "".join(f"{i},{2 * i + i % 3}\n" for i in range(30)))
    found = loaded_after(f"import leastwise as lw; lw.fit({str(table)!r}, 'y').tidy()")
    assert found.isdisjoint({"torch", "pandas", "polars", "sklearn"})
