"""The command line: what a user types, sees, and gets back as an exit code."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner

import leastwise as lw
from leastwise.cli import main


def run(*words, **more):
    return CliRunner().invoke(main, [str(word) for word in words], **more)


@pytest.fixture
def table(tmp_path):
    r = np.random.default_rng(0)
    path = tmp_path / "data.csv"
    lines = ["size,site,note,y"]
    for i in range(80):
        size = r.normal()
        site = "abc"[i % 3]
        lines.append(f'{size:.4f},{site},"n, {i}",{2 * size + (site == "b") + r.normal():.4f}')
    path.write_text("\n".join(lines) + "\n")
    return path


def test_fit_prints_results_to_stdout_and_notes_to_stderr(table):
    found = run("fit", table, "--target", "y", "--drop", "note")
    assert found.exit_code == 0
    assert "80 read = 80 used + 0 dropped" in found.stdout
    assert "unseen rows" in found.stdout
    assert "always the mean" in found.stdout
    assert "same as  LinearRegression(tol=0)" in found.stdout
    assert "'site' has 3 levels: 2 indicators against 'a'" in found.stderr
    assert "note" not in found.stdout


def test_quiet_says_nothing_on_stderr(table):
    assert run("fit", table, "--target", "y", "--drop", "note", "--quiet").stderr == ""


def test_json_is_one_object_that_says_the_same(table):
    found = json.loads(run("fit", table, "--target", "y", "--drop", "note", "--json").stdout)
    fit = lw.fit(table, "y", drop=["note"])
    assert found["coefficients"] == json.loads(json.dumps(fit.facts["coefficients"]))
    assert found["validation"]["mean"]["rmse"] == pytest.approx(fit.validation.rmse.mean())
    assert found["data"]["used"] == 80


def test_a_run_predicts_new_rows_and_keeps_their_cells(table, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "out.csv"
    assert run("fit", table, "--target", "y", "--drop", "note", "-o", folder).exit_code == 0
    assert {p.name for p in folder.iterdir()} >= {"model.safetensors", "report.html", "run.json"}
    assert run("predict", folder, table, "-o", out).exit_code == 0
    before, after = (list(csv.DictReader(io.StringIO(p.read_text()))) for p in (table, out))
    assert [{k: v for k, v in row.items() if k != "prediction"} for row in after] == before
    expected = lw.fit(table, "y", drop=["note"]).predict(table)
    np.testing.assert_allclose([float(row["prediction"]) for row in after], expected, rtol=1e-12)


def test_predictions_go_to_stdout_as_csv_or_json_lines(table, tmp_path):
    folder = tmp_path / "run"
    run("fit", table, "--target", "y", "--drop", "note", "-o", folder)
    text = run("predict", folder, table).stdout
    assert text.splitlines()[0] == "size,site,note,y,prediction"
    lines = [json.loads(line) for line in run("predict", folder, table, "--json").stdout.splitlines()]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [line["prediction"] for line in lines] == [float(row["prediction"]) for row in rows]


def test_predictions_are_written_as_parquet_where_the_name_says_so(table, tmp_path):
    import pyarrow.parquet as pq

    folder, out = tmp_path / "run", tmp_path / "out.parquet"
    run("fit", table, "--target", "y", "--drop", "note", "-o", folder)
    assert run("predict", folder, table, "-o", out).exit_code == 0
    assert pq.read_table(out).num_rows == 80


def test_a_bad_cell_in_new_rows_is_an_error_and_writes_nothing(table, tmp_path):
    folder, new, out = tmp_path / "run", tmp_path / "new.csv", tmp_path / "out.csv"
    run("fit", table, "--target", "y", "--drop", "note", "-o", folder)
    new.write_text("size,site\n1,a\nabc,b\n")
    found = run("predict", folder, new, "-o", out)
    assert found.exit_code == 1
    assert "row 2 (line 3): 'abc'" in found.stderr
    new.write_text("size,site\n1,a\n,b\n")
    found = run("predict", folder, new, "-o", out)
    assert found.exit_code == 1
    assert "Row 2 has nothing that can be used in 'size'" in found.stderr
    assert not out.exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_row_that_cannot_be_predicted_is_left_empty_and_counted_where_rows_may_be_dropped(
    table, tmp_path
):
    folder, new = tmp_path / "run", tmp_path / "new.csv"
    run("fit", table, "--target", "y", "--drop", "note", "--missing", "drop", "-o", folder)
    new.write_text("size,site\n1,a\n,b\n2,\n")
    found = run("predict", folder, new)
    assert [line.rsplit(",", 1)[1] for line in found.stdout.splitlines()][2:] == ["", ""]
    assert "2 rows of them could not be: a cell is missing" in found.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--target", "yy"), 1, "Did you mean 'y'"),
        (("--target", "y", "--drop", "nota"), 1, "Did you mean 'note'"),
        (("--target", "y"), 1, "'note' of"),
        (("--target", "y", "--drop", "note", "--missing", "ignore"), 2, "'error', 'drop', 'mean'"),
        (("--target", "y", "--drop", "note", "--folds", "1"), 1, "folds=1 cannot be"),
        ((), 1, "No target was named"),
        (("--targte", "y"), 2, "--target"),
        (("--folds", "many"), 2, "not a valid integer"),
    ],
)
def test_mistakes_have_their_exit_code_and_say_what_to_do(table, words, code, said):
    found = run("fit", table, *words)
    assert found.exit_code == code
    assert said in found.stderr


def test_an_earlier_run_is_replaced_only_when_asked(table, tmp_path):
    words = ("fit", table, "--target", "y", "--drop", "note", "-o", tmp_path / "run")
    assert run(*words).exit_code == 0
    again = run(*words)
    assert again.exit_code == 1
    assert "holds an earlier run. Pass --overwrite" in again.stderr
    assert run(*words, "--overwrite").exit_code == 0


def test_a_missing_file_names_its_neighbours(table):
    found = run("fit", table.parent / "dat.csv", "--target", "y")
    assert found.exit_code == 1
    assert "Did you mean 'data.csv'" in found.stderr


def test_errors_are_plain_where_colour_is_not_wanted(table):
    done = subprocess.run(
        [sys.executable, "-m", "leastwise", "fit", str(table), "--target", "yy"],
        capture_output=True,
        env={"NO_COLOR": "1", "FORCE_COLOR": "1"},
    )
    assert done.returncode == 1
    assert b"\033[" not in done.stderr


def test_a_closed_pipe_is_no_error(table, tmp_path):
    folder = tmp_path / "run"
    run("fit", table, "--target", "y", "--drop", "note", "-o", folder)
    table.write_text("size,site\n" + "1.5,a\n" * 200_000)
    command = f"{sys.executable} -m leastwise predict {folder} {table} --quiet | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == "size,site,prediction\n"


def test_help_shows_examples_first_and_every_option_has_words():
    for command in ((), ("fit",), ("predict",), ("demo",)):
        found = run(*command, "--help")
        assert found.exit_code == 0
    text = run("fit", "--help").stdout
    assert text.index("leastwise fit housing.csv") < text.index("--target")
    for command in main.commands.values():
        for option in command.params:
            assert isinstance(option, click.Argument) or option.help


def test_the_demo_runs_and_its_next_commands_do_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run("demo")
    assert found.exit_code == 0
    assert "4,165 read = 4,165 used + 0 dropped" in found.stdout
    assert "groups of related sequences" in found.stdout
    assert "of the variance. RMSE 4.59" in found.stdout
    lines = [line.split() for line in found.stdout.split("next")[1].splitlines()]
    commands = [line[line.index(verb) :] for line in lines for verb in ("predict", "fit") if verb in line]
    assert len(commands) == 2
    for command in commands:
        assert run(*command).exit_code == 0
    assert run("demo").exit_code == 0  # again, over its own folder
