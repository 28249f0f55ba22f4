"""A command line that cannot be answered: a clear error with values, or the right answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bad import plane, table, written
from click.testing import CliRunner

import leastwise as lw
from leastwise.cli import main
from leastwise.errors import (
    StoreError,
    UsageError,
)

# ---- the command line ----


def run(*words: Any) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def failed(result: Any, *said: str) -> None:
    """Exit code 1 by our own doing, the words on stderr, nothing on stdout."""
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    assert result.stderr.startswith("error")
    for word in said:
        assert word in result.stderr, f"{word!r} is not in: {result.stderr}"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a table `a.csv` and a model of it in `RUN`."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.csv", table())
    result = run("fit", "a.csv", "--target", "y", "-o", "RUN", "--quiet")
    assert result.exit_code == 0, result.output
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_bad_row_gives_exit_code_1_and_no_folder(work: Path) -> None:
    written(work / "bad.csv", table() + "oops,1,2\n")
    before = names(work)
    result = run("fit", "bad.csv", "--target", "y", "-o", "NEW")
    failed(result, "bad.csv", "'a'", "row 31", "'oops'")
    assert result.stdout == ""
    assert names(work) == before


def test_an_earlier_run_is_kept_unless_overwrite_is_said_and_kept_where_the_new_fit_fails(
    work: Path,
) -> None:
    model = (work / "RUN" / "model.safetensors").read_bytes()
    failed(run("fit", "a.csv", "--target", "y", "-o", "RUN"), "RUN", "--overwrite")
    written(work / "bad.csv", table() + "oops,1,2\n")
    failed(run("fit", "bad.csv", "--target", "y", "-o", "RUN", "--overwrite"), "'oops'")
    assert (work / "RUN" / "model.safetensors").read_bytes() == model
    assert run("fit", "a.csv", "--target", "y", "-o", "RUN", "--overwrite", "--quiet").exit_code == 0
    assert names(work) == {"a.csv", "bad.csv", "RUN"}


def test_a_folder_that_is_no_run_is_never_replaced(work: Path) -> None:
    (work / "mine").mkdir()
    written(work / "mine" / "thesis.txt", "years")
    failed(run("fit", "a.csv", "--target", "y", "-o", "mine", "--overwrite"), "mine", "no earlier run")
    assert (work / "mine" / "thesis.txt").read_text() == "years"
    failed(run("fit", "a.csv", "--target", "y", "-o", "a.csv", "--overwrite"), "a.csv")
    failed(run("fit", "a.csv", "--target", "y", "-o", "no/such"), "no folder no")


def test_overwrite_without_an_output_is_refused(work: Path) -> None:
    result = run("fit", "a.csv", "--target", "y", "--overwrite")
    assert result.exit_code in (1, 2)
    assert "--overwrite" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.csv"], ["--target"]),
        (["a.csv", "--target", "Y"], ["'Y'", "Did you mean 'y'?"]),
        (["b.csv", "--target", "y"], ["b.csv", "Did you mean 'a.csv'?"]),
        (["a.csv", "--target", "y", "--seed", "-1"], ["seed"]),
        (["a.csv", "--target", "y", "--delimiter", "ab"], ["'ab'"]),
        (["a.csv", "--target", "y", "--labels", "a.csv"], ["labels"]),
        (["a.csv", "--target", "y", "--folds", "1"], ["folds"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_answered_gives_exit_code_1_with_words(
    words: list[str], said: list[str], work: Path
) -> None:
    result = run("fit", *words)
    failed(result, *said)
    assert result.stdout == ""


def test_a_name_with_a_comma_can_be_said_on_the_command_line(work: Path) -> None:
    written(work / "d.csv", table(head='"a,b",c,y'))
    result = run("fit", "d.csv", "--target", "y", "--features", '"a,b"', "--quiet")
    assert result.exit_code == 0, result.stderr


def test_predictions_keep_the_rows_and_columns_of_the_file(work: Path) -> None:
    written(work / "new.csv", 'b,a,note\n1,2,x\n3,4,"y, z"\n')
    assert run("predict", "RUN", "new.csv", "-o", "out.csv", "--quiet").exit_code == 0
    out = pd.read_csv(work / "out.csv")
    assert list(out.columns) == ["b", "a", "note", "prediction"]
    assert list(out["note"]) == ["x", "y, z"]
    assert np.allclose(out["prediction"], [7, 13], atol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("b,note\n1,2\n", ["'a'", "new.csv"]),
        ("a,b\n1,2\nx,3\n", ["'a'", "row 2", "'x'"]),
        ("a,b\n1,2\n,3\n", ["'a'", "Row 2"]),
        ("a,b\n1,2\ninf,3\n", ["'a'", "Row 2"]),
        ("a,b\n1,2\n1\n", ["row 2", "1 cell"]),
        ('a,b,t\n1,2,"q\n1,3,r\n', ["row 1", "quote"]),
        ("a,b,prediction\n1,2,3\n", ["'prediction'", "Rename"]),
        ("", ["empty"]),
    ],
    ids=["column", "text", "missing", "infinite", "short", "quote", "taken", "empty"],
)
def test_predicting_a_bad_file_gives_exit_code_1_and_leaves_no_file(
    content: str, said: list[str], work: Path
) -> None:
    written(work / "new.csv", content)
    before = names(work)
    failed(run("predict", "RUN", "new.csv", "-o", "out.csv"), *said)
    assert names(work) == before


def test_an_output_of_a_kind_that_is_not_written_is_refused(work: Path) -> None:
    failed(run("predict", "RUN", "a.csv", "-o", "out.xlsx"), ".xlsx", ".csv")
    assert not (work / "out.xlsx").exists()


def test_an_output_where_no_folder_is_says_so_in_plain_words(work: Path) -> None:
    result = run("predict", "RUN", "a.csv", "-o", "none/out.csv")
    failed(result, "none")
    assert "Errno" not in result.stderr


@pytest.mark.parametrize("place", [3, 20, 0.5, -5])
def test_a_model_file_with_one_bit_changed_is_refused(place: float, work: Path) -> None:
    path = work / "RUN" / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[int(place * len(raw)) if isinstance(place, float) else place] ^= 1
    path.write_bytes(bytes(raw))
    failed(run("predict", "RUN", "a.csv"), "model.safetensors", "damaged", "fit again")


@pytest.mark.parametrize("size", [0, 4, 100, -3])
def test_a_truncated_model_file_is_refused(size: int, work: Path) -> None:
    path = work / "RUN" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    failed(run("predict", "RUN", "a.csv"), "model.safetensors", "damaged")


def test_what_is_no_run_is_not_predicted_with(work: Path) -> None:
    failed(run("predict", "NONE", "a.csv"), "no model", "NONE")
    failed(run("predict", "a.csv", "a.csv"), "a.csv")
    (work / "RUN" / "model.safetensors").unlink()
    failed(run("predict", "RUN", "a.csv"), "no model", "RUN")


# ---- files that are written ----


def test_a_model_that_cannot_be_put_in_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    fit = lw.fit(plane())
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreError, match="taken"):
        lw.save(fit, tmp_path / "taken")
    assert names(tmp_path) == {"taken"}
    with pytest.raises(UsageError, match="int"):
        lw.save(3, tmp_path / "model")  # type: ignore[arg-type]
    assert names(tmp_path) == {"taken"}
