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
    assert "of the variance. RMSE 4.69" in found.stdout
    lines = [line.split() for line in found.stdout.split("next")[1].splitlines()]
    commands = [line[line.index(verb) :] for line in lines for verb in ("predict", "fit") if verb in line]
    assert len(commands) == 2
    for command in commands:
        assert run(*command).exit_code == 0
    assert run("demo").exit_code == 0  # again, over its own folder


# ---- sequences as numbers ----


def test_sequences_are_written_as_tensors_and_as_columns(tmp_path):
    from safetensors.numpy import load_file

    fasta = tmp_path / "p.fasta"
    fasta.write_text(">a\nMKTAY\n>b\nMKX\n")
    assert run("encode", fasta, "--unknown", "mask", "-o", tmp_path / "p.safetensors").exit_code == 0
    made = load_file(tmp_path / "p.safetensors")
    assert made["indices"].tolist() == [[11, 9, 17, 1, 20], [11, 9, 21, 0, 0]]
    assert made["mask"].tolist() == [[True] * 5, [True, True, False, False, False]]
    found = run("encode", fasta, "--unknown", "mask", "--encode-as", "kmers:1")
    assert found.exit_code == 0
    head, first, _ = found.stdout.splitlines()
    cells = dict(zip(head.split(","), first.split(","), strict=True))
    assert float(cells["A"]) == 0.2
    assert float(cells["W"]) == 0.0
    assert run("encode", fasta, "--encode-as", "kmers:1").exit_code == 1  # X is no word


def test_variants_are_written_as_one_hot_columns(tmp_path):
    table = tmp_path / "v.csv"
    table.write_text("mutant\nK2R\nWT\nK2R:Y5F\n")
    (tmp_path / "wt.fasta").write_text(">wt\nMKTAY\n")
    found = run("encode", table, "--sequence", "mutant", "--wild-type", tmp_path / "wt.fasta")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0] == "mutant,K2,K2R,Y5,Y5F"
    assert lines[1:] == ["K2R,-1,1,0,0", "WT,0,0,0,0", "K2R:Y5F,-1,1,-1,1"]


def test_embeddings_made_elsewhere_are_joined_by_id(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    fasta = tmp_path / "p.fasta"
    fasta.write_text(">a\nMKTAY\n>b\nMKT\n>c\nMKTA\n")
    save_file({"a": np.ones(2, np.float32), "b": np.zeros(2, np.float32)}, tmp_path / "e.safetensors")
    found = run("embed", fasta, "--embeddings", tmp_path / "e.safetensors")
    assert found.exit_code == 0
    assert found.stdout.splitlines()[0] == "id,sequence,e0,e1"
    assert "1 row without an embedding" in found.stderr
    assert run("embed", fasta).exit_code == 1


def test_ids_on_one_side_alone_are_counted_and_listed(tmp_path):
    (tmp_path / "p.fasta").write_text(">a\nMKTAY\n>b\nMKT\n>zz\nMKTA\n")
    (tmp_path / "t.csv").write_text("id,tm\na,1\nb,2\nq,3\n")
    found = run(
        "fit", tmp_path / "p.fasta", "--labels", tmp_path / "t.csv", "--target", "tm", "--missing", "drop"
    )
    assert "1 sequence of" in found.stderr
    assert "without a row" in found.stderr
    assert "'zz'" in found.stderr
    assert "1 row of" in found.stderr
    assert "without a sequence: 'q'" in found.stderr
