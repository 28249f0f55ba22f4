"""What somebody who comes with proteins tries first: each of these was a fault once."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from click.testing import CliRunner

import leastwise as lw
from leastwise import cli
from leastwise.cli import main
from leastwise.rows.files import attributes
from leastwise.sequences.clean import ALPHABET


def variants(n: int = 120, seed: int = 0) -> pa.Table:
    """Full-length variants of one protein, of few positions: properties that hardly vary."""
    rng = np.random.default_rng(seed)
    wild = list("MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ" * 4)
    rows = []
    for _ in range(n):
        one = wild.copy()
        one[40 + int(rng.integers(5))] = str(rng.choice(list("ACDEFGHIKL")))
        rows.append("".join(one))
    return pa.table({"s": rows, "y": rng.normal(size=n)})


def test_properties_that_depend_on_one_another_but_for_rounding_are_found_to():
    t = variants()
    fit = lw.fit(t, "y", sequence="s")
    guess = fit.predict(t)
    assert fit.solution.dropped  # or coefficients of 1e12 that take each other back
    assert np.abs(fit.tidy().column("standardised").drop_null().to_numpy()).max() < 1e4
    mse = float(((guess - t["y"].to_numpy()) ** 2).mean())
    assert mse == pytest.approx(fit.solution.mse[0], rel=1e-6)
    assert any("encode_as='one-hot'" in note for note in fit.notes)


def test_a_line_of_progress_can_be_shown_before_anything_is_done(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    clock = iter([0.0, 1.0, 2.0])
    monkeypatch.setattr(cli.time, "monotonic", lambda: next(clock))
    with cli._progress(False) as show:
        show(0, 100)
        show(50, 100)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("P1 OS=Escherichia coli (strain K12) OX=83333 PE=1", {"OS": "Escherichia coli (strain K12)"}),
        ("P1 TARGET=0.5 SET=train by hand", {"TARGET": "0.5", "SET": "train"}),
        ("P1 note=hello world", {"note": "hello world"}),
        ("P1 no keys at all", {}),
    ],
)
def test_values_of_a_header_go_on_to_the_next_key(header, said):
    assert said.items() <= attributes(header).items()


def fasta(path):
    rng = np.random.default_rng(1)
    seqs = ["".join(rng.choice(list(ALPHABET), 60)) for _ in range(30)]
    path.write_text("".join(f">sp|P{i}|X{i} GN=g{i} SV=1\n{s}\n" for i, s in enumerate(seqs)))
    return path


def test_a_table_that_has_such_columns_is_split_and_encoded_all_the_same(tmp_path):
    source = fasta(tmp_path / "up.fasta")
    done = CliRunner().invoke(
        main, ["encode", str(source), "--encode-as", "kmers:2", "-o", str(tmp_path / "k.csv")]
    )
    assert done.exit_code == 0, done.output
    names = pacsv.read_csv(tmp_path / "k.csv").column_names
    assert {"GN", "sequence_GN", "AA"} <= set(names)
    made = CliRunner().invoke(main, ["split", str(source), "-o", str(tmp_path / "once.csv")])
    assert made.exit_code == 0, made.output
    again = [
        "split",
        str(tmp_path / "once.csv"),
        "--sequence",
        "sequence",
        "-o",
        str(tmp_path / "twice.csv"),
    ]
    made = CliRunner().invoke(main, again)
    assert made.exit_code == 0, made.output
    table = pacsv.read_csv(tmp_path / "twice.csv")
    assert table["set"].to_pylist() == table["split_set"].to_pylist()


def test_which_interval_is_meant_is_nothing_without_one(tmp_path):
    pacsv.write_csv(pa.table({"x": range(30), "y": [i % 7 for i in range(30)]}), tmp_path / "t.csv")
    run = CliRunner().invoke(
        main, ["fit", str(tmp_path / "t.csv"), "--target", "y", "-o", str(tmp_path / "run")]
    )
    assert run.exit_code == 0, run.output
    done = CliRunner().invoke(
        main, ["predict", str(tmp_path / "run"), str(tmp_path / "t.csv"), "--of", "unseen"]
    )
    assert done.exit_code != 0
    assert "none was asked for" in done.output


def test_where_a_score_cannot_be_had_the_penalty_that_gives_one_is_named():
    rng = np.random.default_rng(2)
    fit = lw.fit((rng.normal(size=(20, 30)), rng.normal(size=20)))
    assert "--penalty l2 --alpha cv" in fit.validation.reason


def test_a_spread_that_is_rounding_alone_is_not_told():
    from leastwise.report.numbers import with_spread

    assert with_spread(0.471, 6.2e-17) == "0.47100"
    assert re.fullmatch(r"0\.6440 ± 0\.0085", with_spread(0.644, 0.0085))


def test_intervals_of_one_fold_promise_nothing():
    t = variants(240)
    said = str(
        lw.fit(
            t, "y", features=(), sequence="s", encode_as="one-hot", group="target:low", penalty=lw.L2("cv")
        )
    )
    assert "nothing is certain where the two differ" in said
    assert "80% is certain" not in said


def test_what_was_changed_to_read_a_sequence_is_told_beside_its_features(tmp_path):
    (tmp_path / "t.csv").write_text("sequence\nACDEF--GHIK*\nacdefghik\n")
    asked = ["features", str(tmp_path / "t.csv"), "--unknown", "mask", "-o", str(tmp_path / "f.csv")]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "'-'" in done.output
    assert "masked" in done.output
