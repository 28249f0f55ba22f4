"""Predictions beside which stands how near the nearest training sequence is."""

from __future__ import annotations

import csv

import numpy as np
from click.testing import CliRunner

from leastwise.cli import main

LETTERS = np.array([*"ACDEFGHIKLMNPQRSTVWY"])


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def written(path, seqs, y):
    lines = [f"{seq},{value}" for seq, value in zip(seqs, y, strict=True)]
    path.write_text("\n".join(["s,y", *lines]) + "\n")


def test_each_prediction_says_how_near_the_nearest_training_sequence_is(tmp_path):
    rng = np.random.default_rng(3)
    seqs = ["".join(rng.choice(LETTERS, 120)) for _ in range(60)]
    seqs += [
        seq[:60] + "".join(rng.choice(LETTERS, 60)) for seq in seqs[:20]
    ]  # relatives, so that there are bands
    written(tmp_path / "train.csv", seqs, rng.normal(size=80))
    near = list(seqs[30])
    for place in range(5, 120, 10):
        near[place] = "W" if near[place] != "W" else "A"
    new = [seqs[0], "".join(near), "".join(rng.choice(LETTERS, 120))]
    written(tmp_path / "new.csv", new, [0, 0, 0])
    asked = (
        "--target",
        "y",
        "--sequence",
        "s",
        "--penalty",
        "l2",
        "--alpha",
        "0.1",
        "-o",
        tmp_path / "RUN",
    )
    assert run("fit", tmp_path / "train.csv", *asked).exit_code == 0
    found = run("predict", tmp_path / "RUN", tmp_path / "new.csv", "--relatives", tmp_path / "train.csv")
    assert found.exit_code == 0, found.stderr
    rows = list(csv.DictReader(found.stdout.splitlines()))
    assert [float(row["nearest_identity"]) for row in rows] == [1.0, 0.9, 0.0]
    assert float(rows[2]["band_rmse"]) > 0


def test_relatives_of_a_model_without_sequences_are_refused(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("x,y\n" + "".join(f"{i},{2 * i + i % 3}\n" for i in range(30)))
    assert run("fit", table, "--target", "y", "-o", tmp_path / "RUN").exit_code == 0
    found = run("predict", tmp_path / "RUN", table, "--relatives", table)
    assert found.exit_code == 1
    assert "reads none" in found.stderr
