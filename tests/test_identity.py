"""Clusters and splits by identity: slow twins, planted families, and no relative across a split."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pytest
from Bio.Align import PairwiseAligner, substitution_matrices

import leastwise as lw
from leastwise.cli import main
from leastwise.errors import (
    ColumnError,
    DataError,
    LeastwiseError,
    MissingError,
    SequenceError,
    UsageError,
)
from leastwise.sequences import Related, cluster, identity, split
from leastwise.sequences.alignment import Alignments, Database
from leastwise.sequences.clean import ALPHABET, pack

USED = np.array(
    [8.3, 1.4, 5.5, 6.7, 3.9, 7.1, 2.3, 5.9, 5.8, 9.7, 2.4, 4.1, 4.7, 3.9, 5.5, 6.6, 5.3, 6.9, 1.1, 2.9]
)
TAG = "MGSSHHHHHHSSGLVPRGSHM"


def protein(rng: Any, length: int) -> str:
    """A random sequence of the composition of known proteins."""
    return "".join(rng.choice(list(ALPHABET), length, p=USED / USED.sum()))


def relative(rng: Any, text: str, kept: float) -> str:
    """A copy of which about so many residues stay, with a gap."""
    other = "".join(c if rng.random() < kept else protein(rng, 1) for c in text)
    at = int(rng.integers(20, len(text) - 20))
    return other[:at] + other[at + int(rng.integers(0, 4)) :]


def families(
    count: int = 12, members: int = 4, kept: float = 0.6, seed: int = 0
) -> tuple[list[str], np.ndarray]:
    """Sequences in random order, and the family of each."""
    rng = np.random.default_rng(seed)
    made = []
    for family in range(count):
        first = protein(rng, int(rng.integers(90, 200)))
        made += [(first, family)] + [(relative(rng, first, kept), family) for _ in range(members - 1)]
    order = rng.permutation(len(made))
    return [made[i][0] for i in order], np.array([made[i][1] for i in order])


def same_groups(a: Any, b: Any) -> bool:
    """Whether two labellings say the same."""
    pairs = set(zip(np.asarray(a).tolist(), np.asarray(b).tolist(), strict=True))
    return len(pairs) == len(set(a)) == len(set(b))


def related_pairs(seqs: list[str], rule: Related) -> np.ndarray:
    """Which pairs are related (n, n): every pair aligned, one by one."""
    n, found = len(seqs), np.zeros((len(seqs), len(seqs)), bool)
    database = Database(tuple(seqs))
    for i in range(n):
        for j in range(n):
            one = Alignments.of(database.alignments(i, np.array([j]), database.scores(i, np.array([j]))))
            found[i, j] = bool(rule.holds(one, len(set(seqs)))[0]) or seqs[i] == seqs[j]
    return found


# ---- alignments ----


def test_scores_are_those_of_another_aligner() -> None:
    peer = PairwiseAligner(mode="local")
    peer.substitution_matrix = substitution_matrices.load("BLOSUM62")
    peer.open_gap_score, peer.extend_gap_score = -12, -1
    seqs, _ = families(4, 3, 0.5)
    database = Database(tuple(seqs))
    for i in range(4):
        ours = database.scores(i, np.arange(len(seqs)))
        assert ours.tolist() == [int(peer.score(seqs[i], other)) for other in seqs]


def test_identity_and_coverage_are_counted_on_the_alignment() -> None:
    a = "ACDEFGHIKLMNPQRSTVWYACDEFGHIKLMNPQRSTVWY"
    database = Database((a, a[:15] + a[18:], a.replace("W", "X"), "A" * 9 + a, a.replace("W", "X")))
    found = Alignments.of(database.alignments(0, np.arange(1, 4), database.scores(0, np.arange(1, 4))))
    assert found.identical.tolist() == [37, 38, 40]
    assert found.columns.tolist() == [40, 40, 40]
    np.testing.assert_allclose(found.covered, [[1, 1, 1], [1, 1, 40 / 49]])
    masked = Alignments.of(database.alignments(2, np.array([4]), database.scores(2, np.array([4]))))
    assert masked.identical.tolist() == [38]  # X over X is no identical residue
    back = Alignments.of(database.alignments(1, np.array([0]), database.scores(1, np.array([0]))))
    assert (back.identical[0], back.columns[0]) == (37, 40)


def test_a_pair_has_one_alignment_whoever_is_asked() -> None:
    seqs, _ = families(6, 3, 0.4, seed=13)
    database, n = Database(tuple(seqs)), len(seqs)

    def of(i: int, j: int) -> Any:
        return Alignments.of(database.alignments(i, np.array([j]), database.scores(i, np.array([j]))))

    for i in range(n):
        for j in range(i):
            a, b = of(i, j), of(j, i)
            assert (a.identical[0], a.columns[0], a.score[0]) == (b.identical[0], b.columns[0], b.score[0])
            np.testing.assert_array_equal(a.covered[:, 0], b.covered[::-1, 0])
            np.testing.assert_array_equal(a.lengths[:, 0], b.lengths[::-1, 0])


def test_unrelated_proteins_are_not_related_by_chance_or_by_their_tags() -> None:
    rng = np.random.default_rng(1)
    seqs = [protein(rng, int(rng.integers(80, 300))) for _ in range(60)]
    assert cluster(seqs).max() + 1 == 60
    assert cluster([TAG + s for s in seqs]).max() + 1 == 60
    loose = Related(0.3, evalue=1e30, coverage=0.01, columns=1)
    assert cluster(seqs, related=loose).max() + 1 < 10  # what 30 % alone would say


@pytest.mark.parametrize(
    "asked",
    [{"identity": 0}, {"identity": 1.5}, {"coverage": 2}, {"evalue": 0}, {"columns": 0}, {"identity": "3"}],
)
def test_a_definition_that_cannot_be_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(asked)))):
        Related(**asked)


# ---- clusters ----


@pytest.mark.parametrize("exhaustive", [True, False])
@pytest.mark.parametrize("kept", [0.9, 0.6, 0.45])
def test_planted_families_are_found_whole(kept: float, exhaustive: bool) -> None:
    seqs, family = families(kept=kept)
    assert same_groups(cluster(seqs, exhaustive=exhaustive), family)


def test_groups_are_the_components_of_all_related_pairs() -> None:
    seqs, _ = families(6, 4, 0.42, seed=3)
    rule = Related(0.35)
    near = related_pairs(seqs, rule)
    group = list(range(len(seqs)))
    for _ in seqs:  # the slow way to components
        group = [
            min(group[j] for j in range(len(seqs)) if near[i, j] or near[j, i]) for i in range(len(seqs))
        ]
    assert same_groups(cluster(seqs, related=rule), group)


def test_groups_do_not_hang_on_the_order_and_hold_what_is_identical() -> None:
    seqs, _ = families(8, 3, 0.5)
    seqs = [*seqs, seqs[0], "MKV", "MKV", "mkv "]
    labels = cluster(seqs)
    order = np.random.default_rng(2).permutation(len(seqs))
    assert same_groups(cluster([seqs[i] for i in order]), labels[order])
    assert labels[0] == labels[-4]
    assert labels[-1] == labels[-2] == labels[-3]
    assert labels[0] == 0
    assert sorted(set(labels)) == list(range(labels.max() + 1))


def test_short_peptides_that_differ_in_a_residue_are_related() -> None:
    assert cluster(["ACDEFGHIKL", "ACDEFGHIKV", "WWYYPPGGCC"]).tolist() == [0, 0, 1]


def test_masked_residues_are_identical_to_nothing() -> None:
    rng = np.random.default_rng(3)
    a, b = protein(rng, 60), protein(rng, 60)
    runs = ["X" * 80 + a, "X" * 80 + b]
    assert cluster(runs, unknown="mask").tolist() == [0, 1]
    with pytest.raises(SequenceError):
        cluster(runs)


@pytest.mark.parametrize("how", [{}, {"exhaustive": False}, {"engine": "mmseqs"}])
@pytest.mark.parametrize("verb", [cluster, split])
def test_progress_never_goes_back_and_is_told_to_the_end(verb: Any, how: dict[str, Any]) -> None:
    if how.get("engine") == "mmseqs" and not shutil.which("mmseqs"):
        pytest.skip("MMseqs2 is not installed")
    told: list[tuple[int, int | None]] = []
    seqs, _ = families(10, 4)
    verb(seqs, progress=lambda done, total: told.append((done, total)), **how)
    done = [count for count, _ in told]
    assert done == sorted(done)
    assert {total for _, total in told} == {40}
    assert told[-1] == (40, 40)
    assert len(set(done)) > 8


# ---- splits ----


def alone(asked: Any, *_: Any) -> np.ndarray:
    """Clusters that see no relative at all."""
    return np.arange(len(asked.distinct))


def across(seqs: list[str], made: Any) -> int:
    """Pairs across a split that are related, every one aligned."""
    near = related_pairs(seqs, made.certificate.related)
    return int(near[np.ix_(made.test, made.train)].sum() + near[np.ix_(made.train, made.test)].sum())


@pytest.mark.parametrize("exhaustive", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_relatives_go_over_to_train_others_take_their_place(
    exhaustive: bool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs that nobody saw, among many sequences without relatives: every pair drawn apart is moved."""
    seqs, _ = families(12, 2, 0.5, seed=21)
    rng = np.random.default_rng(22)
    seqs = [*seqs, *(protein(rng, 120) for _ in range(36))]
    monkeypatch.setattr(identity._Distinct, "components", alone)
    made = split(seqs, 0.3, 0.4, exhaustive=exhaustive, seed=seed)
    assert made.certificate.moved > 0
    assert across(seqs, made) == 0
    assert 0.95 * 24 <= len(made.test) <= 25  # asked for: 24 of 60
    near = made.certificate.nearest  # told of a row that is in train, or of none
    assert np.isin(near[near >= 0], made.train).all()


@pytest.mark.parametrize("exhaustive", [True, False, None])
def test_no_pair_across_a_split_is_related(exhaustive: bool | None) -> None:
    seqs, _ = families(10, 4, 0.5, seed=5)
    made = split(seqs, 0.3, 0.25, exhaustive=exhaustive)
    assert across(seqs, made) == 0
    assert sorted([*made.train, *made.test]) == list(range(40))
    assert abs(len(made.test) - 10) <= 4
    assert made.certificate.identity.max() < 0.3
    assert "aligned against" in made.report()


def test_what_the_clusters_missed_the_certificate_finds_and_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    seqs, _ = families(20, 2, 0.5, seed=6)
    monkeypatch.setattr(identity._Distinct, "components", alone)
    made = split(seqs, 0.3, 0.5, exhaustive=True)
    assert made.certificate.moved > 0
    assert across(seqs, made) == 0
    assert "moved to train" in made.report()


def test_the_certificate_names_the_nearest_training_row() -> None:
    seqs, _ = families(8, 3, 0.4, seed=7)
    rule = Related(0.6)
    made = split(seqs, 0.6, 0.3, exhaustive=True)
    database, n = Database(tuple(seqs)), len(set(seqs))
    for row, share, near in zip(
        made.test, made.certificate.identity, made.certificate.nearest, strict=True
    ):
        one = Alignments.of(
            database.alignments(int(row), made.train, database.scores(int(row), made.train))
        )
        known = np.where(rule.reaches(one, n), one.identity, 0.0)
        assert share == pytest.approx(known.max())
        assert (near == -1) == (known.max() == 0)
        if near >= 0:
            assert known[list(made.train).index(near)] == pytest.approx(share)
    assert (made.certificate.nearest >= 0).any()


def test_test_has_its_share_of_each_quarter_of_the_values() -> None:
    rng = np.random.default_rng(8)
    seqs = [protein(rng, 60) for _ in range(120)]
    y = np.arange(120.0)
    made = split(seqs, test=0.25, y=y)
    counts = np.bincount((y[made.test] // 30).astype(int), minlength=4)
    assert counts.min() >= 6
    assert len(made.test) == pytest.approx(30, abs=3)


def test_seeds_deal_anew_and_repeat_themselves() -> None:
    rng = np.random.default_rng(9)
    seqs = [protein(rng, 50) for _ in range(40)]
    one, again, other = (split(seqs, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.test, again.test)
    assert one.certificate.digest == again.certificate.digest != other.certificate.digest
    assert one.test.tolist() != other.test.tolist()


def test_one_family_is_refused_and_a_large_one_is_told() -> None:
    rng = np.random.default_rng(10)
    parent = protein(rng, 80)
    variants = [parent[:i] + "A" + parent[i + 1 :] for i in range(40)]
    with pytest.raises(UsageError, match=r"one family.*position"):
        split(variants)
    made = split([*variants, *(protein(rng, 80) for _ in range(40))])
    assert "all in train" in made.report()
    assert set(range(40)) <= set(made.train)


def test_what_cannot_be_split_is_refused() -> None:
    rng = np.random.default_rng(11)
    seqs = [protein(rng, 50) for _ in range(10)]
    for asked, words in (
        ({"test": 0}, "test=0"), ({"test": 1.0}, "test=1.0"), ({"identity": 7}, "identity=7"),
        ({"y": [1.0]}, "10 finite numbers"), ({"unknown": "drop"}, "unknown='drop'"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            split(seqs, **asked)
    with pytest.raises(DataError, match="No sequences"):
        cluster([])


# ---- MMseqs2 ----


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    """A program in the place of MMseqs2, and an empty folder for what is temporary."""
    program, inside = folder / "mmseqs", folder / "inside"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    inside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(inside))
    monkeypatch.setenv("LEASTWISE_MMSEQS", str(program))
    return inside


@pytest.mark.skipif(not shutil.which("mmseqs"), reason="MMseqs2 is not installed")
@pytest.mark.parametrize("kept", [0.9, 0.6, 0.45])
def test_what_mmseqs_names_is_judged_by_the_same_alignment(kept: float, monkeypatch: Any) -> None:
    monkeypatch.delenv("LEASTWISE_MMSEQS", raising=False)
    seqs, family = families(kept=kept)
    assert same_groups(cluster(seqs, engine="mmseqs"), family)
    made = split(seqs, 0.3, 0.25, engine="mmseqs")
    assert across(seqs, made) == 0
    assert made.certificate.exhaustive
    assert re.search(r"named by MMseqs2 \S+\n", made.report())
    made = split(seqs, 0.3, 0.25, engine="mmseqs", exhaustive=False)
    assert not made.certificate.exhaustive


@pytest.mark.skipif(not shutil.which("mmseqs"), reason="MMseqs2 is not installed")
def test_mmseqs_is_spared_peptides_and_takes_proteins_that_look_like_genes(monkeypatch: Any) -> None:
    monkeypatch.delenv("LEASTWISE_MMSEQS", raising=False)
    peptides = ["ACDEFGHIKL", "ACDEFGHIKV", "WWYYPPGGCC"]
    assert cluster(peptides, engine="mmseqs").tolist() == [0, 0, 1]
    rng = np.random.default_rng(21)
    genes = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(4)]  # four letters are much alike
    assert same_groups(cluster(genes, engine="mmseqs"), cluster(genes))


def test_without_mmseqs_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEASTWISE_MMSEQS", str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"none is no program\. Install it \(apt-get install mmseqs2"):
        split(families()[0], engine="mmseqs")
    monkeypatch.delenv("LEASTWISE_MMSEQS")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="mmseqs is not on PATH"):
        cluster(families()[0], engine="mmseqs")


def test_an_engine_that_is_none_or_meets_exhaustive_is_refused() -> None:
    with pytest.raises(UsageError, match="engine='blast' came"):
        split(families()[0], engine="blast")
    with pytest.raises(UsageError, match="engine='blast' came"):
        cluster(families()[0], engine="blast")
    with pytest.raises(UsageError, match="Give one of them"):
        cluster(families()[0], engine="mmseqs", exhaustive=True)


@pytest.mark.skipif(os.name == "nt", reason="the programs are shell scripts")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo begun; echo no room >&2; exit 3", r"exit status 3 in `mmseqs createdb`.*'no room'"),
        ("exit 1", "'nothing'"),
        ("exit 0", "no list of pairs"),
        ('[ $1 = convertalis ] && printf "0\\t1\\nx\\t2\\n" > $5; exit 0', "no list of pairs"),
        ('[ $1 = convertalis ] && printf "0\\t999\\n" > $5; exit 0', "no list of pairs"),
    ],
)
def test_a_failure_of_mmseqs_is_told_and_nothing_is_left_behind(
    body: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inside = fake(tmp_path, monkeypatch, body)
    with pytest.raises(LeastwiseError, match=words):
        cluster(families()[0], engine="mmseqs")
    assert not list(inside.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="the programs are shell scripts")
def test_what_mmseqs_forgets_the_certificate_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(tmp_path, monkeypatch, "[ $1 = convertalis ] && : > $5; exit 0")
    seqs, _ = families(20, 2, 0.5, seed=6)
    assert cluster(seqs, engine="mmseqs").max() == 39
    made = split(seqs, 0.3, 0.5, engine="mmseqs")
    assert made.certificate.moved > 0
    assert across(seqs, made) == 0


@pytest.mark.skipif(os.name == "nt", reason="the programs are shell scripts")
def test_an_interrupt_ends_mmseqs_and_what_it_began(monkeypatch: Any, tmp_path: Path) -> None:
    child = tmp_path / "child"
    begin = f"[ $1 = prefilter ] || exit 0; sleep 60 & echo $! > {child}; echo =; wait"
    inside = fake(tmp_path, monkeypatch, begin)

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cluster(families()[0], engine="mmseqs", progress=interrupt)
    assert not list(inside.iterdir())
    number = int(child.read_text())
    for _ in range(50):  # whoever inherits it has to notice
        state = Path(f"/proc/{number}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("it still runs")


# ---- fit, and the command line ----


def measured(path: Any, kept: float = 0.6) -> list[str]:
    seqs, family = families(20, 4, kept, seed=12)
    y = family + np.random.default_rng(0).normal(size=len(seqs)) / 10
    lines = [f"{s},{v:.3f}" for s, v in zip(seqs, y, strict=True)]
    path.write_text("\n".join(["sequence,y", *lines]) + "\n")
    return seqs


def test_folds_of_a_fit_keep_families_together(tmp_path: Any) -> None:
    measured(tmp_path / "t.csv")
    fit = lw.fit(tmp_path / "t.csv", "y", sequence="sequence", features=[], group="identity:0.3", folds=4)
    assert fit.validation.plan.groups == 20
    assert "20 groups of related sequences (30% identity)" in fit.summary()
    lw.save(fit, tmp_path / "m.safetensors")
    assert lw.load(tmp_path / "m.safetensors").recipe.regime == "identity:0.3"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"group": "identity:much"}, "no share"),
        ({"group": "identity:3"}, "identity:3"),
        ({"group": "identity:0.3", "cluster": "y2"}, "Leave one of them out"),
        ({"group": "identity:0.3"}, "about sequences"),
    ],
)
def test_a_kinship_that_cannot_be_is_refused(asked: dict[str, Any], words: str, tmp_path: Any) -> None:
    (tmp_path / "t.csv").write_text("x,y2,y\n1,1,2\n2,1,3\n3,2,5\n")
    with pytest.raises(UsageError, match=words):
        lw.fit(tmp_path / "t.csv", "y", **asked)


def test_the_command_writes_the_table_with_its_sides(tmp_path: Any, capsys: Any) -> None:
    seqs = measured(tmp_path / "t.csv")
    out = tmp_path / "s.csv"
    with pytest.raises(SystemExit) as end:
        main(["split", str(tmp_path / "t.csv"), "--target", "y", "--test", "0.25", "-o", str(out)])
    assert not end.value.code
    told = capsys.readouterr().out
    assert "80 sequences in 20 groups of relatives (the largest 4)" in told
    table = pacsv.read_csv(out)
    assert table.column_names == ["sequence", "y", "set", "group", "nearest_identity"]
    side = np.array(table["set"].to_pylist())
    assert across(seqs, type("S", (), {
        "test": np.flatnonzero(side == "test"), "train": np.flatnonzero(side == "train"),
        "certificate": split(seqs).certificate,
    })) == 0  # fmt: skip
    with pytest.raises(SystemExit):
        main(["split", str(tmp_path / "t.csv"), "--json", "--quiet"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["groups"] == 20
    assert facts["highest_identity"] < 0.3
    assert len(facts["sha256"]) == 64


def test_the_command_refuses_what_is_not_there(tmp_path: Any) -> None:
    from leastwise.proteins import split_file

    measured(tmp_path / "t.csv")
    with pytest.raises(ColumnError, match=r"no column 'seq'.*sequence"):
        split_file(tmp_path / "t.csv", None, sequence="seq")
    with pytest.raises(ColumnError, match="no column 'z'"):
        split_file(tmp_path / "t.csv", None, target="z")
    with pytest.raises(UsageError, match="not written"):
        split_file(tmp_path / "t.csv", "s.xlsx")
    (tmp_path / "u.csv").write_text("a,set,split_set\nACDEFGHIKL,1,2\nWWYYVVTTSS,1,2\nMMLLKKRRPP,1,2\n")
    with pytest.raises(UsageError, match="Which column"):
        split_file(tmp_path / "u.csv", None)
    with pytest.raises(ColumnError, match="a column 'split_set' already"):
        split_file(tmp_path / "u.csv", str(tmp_path / "o.csv"), sequence="a")
    assert not (tmp_path / "o.csv").exists()


def test_features_are_written_beside_the_columns(tmp_path: Any, capsys: Any) -> None:
    from leastwise.proteins import features_file
    from leastwise.sequences.features import FEATURES, feature_matrix

    (tmp_path / "t.csv").write_text("id,sequence\na,MKVLAAGIVG\nb,WWYYPPGGCX\n")
    out = tmp_path / "f.csv"
    told = features_file(tmp_path / "t.csv", str(out), unknown="mask")
    assert told[-1] == f"{len(FEATURES)} features of 2 sequences"
    table = pacsv.read_csv(out)
    assert table.column_names == ["id", "sequence", *(feature.name for feature in FEATURES)]
    for j, feature in enumerate(FEATURES):
        known = feature_matrix(pack(["MKVLAAGIVG", "WWYYPPGGCX"]))[:, j]
        np.testing.assert_allclose(table[feature.name].to_pylist(), known, rtol=1e-12)
    again = tmp_path / "again.csv"
    features_file(out, str(again), unknown="mask")
    twice = pacsv.read_csv(again)
    for feature in FEATURES:
        assert twice[feature.name] == twice[f"sequence_{feature.name}"]
    with pytest.raises(ColumnError, match="twice"):
        features_file(again, None, unknown="mask")
    with pytest.raises(UsageError, match="leave rows out"):
        features_file(tmp_path / "t.csv", None, unknown="drop")
    with pytest.raises(SystemExit) as end:
        main(["features", str(tmp_path / "t.csv"), "--unknown", "mask", "--quiet"])
    assert not end.value.code


# ---- what was wrong once ----


def test_short_relatives_of_poor_scores_are_found() -> None:
    rng = np.random.default_rng(14)
    pairs = [
        ("ALIISITLILIASLS", "ALIIWITGILGASLS"),
        ("SSIALSIISVSLASLILIILS", "SSIAGWIISVSLASGIGIILS"),
    ]
    others = [protein(rng, 20) for _ in range(300)]
    labels = cluster([*pairs[0], *pairs[1], *others])
    assert labels[0] == labels[1]
    assert labels[2] == labels[3]


def test_a_family_larger_than_test_stays_in_train() -> None:
    rng = np.random.default_rng(15)
    parent = protein(rng, 90)
    family = [relative(rng, parent, 0.7) for _ in range(12)]
    seqs = [*family, *(protein(rng, 90) for _ in range(40))]
    for seed in range(4):
        made = split(seqs, test=0.2, seed=seed)
        assert set(range(12)) <= set(made.train)
        assert len(made.test) > 5
    assert "more than test is to hold: all in train" in made.report()


def test_folds_by_kinship_do_not_hang_on_the_order_of_rows(tmp_path: Any) -> None:
    seqs, family = families(30, 3, 0.6, seed=16)
    y = family + np.random.default_rng(0).normal(size=len(seqs))
    order = np.random.default_rng(1).permutation(len(seqs))
    found = []
    for at in (np.arange(len(seqs)), order):
        lines = [f"{seqs[i]},{y[i]:.6f}" for i in at]
        (tmp_path / "t.csv").write_text("\n".join(["sequence,y", *lines]) + "\n")
        fit = lw.fit(tmp_path / "t.csv", "y", sequence="sequence", group="identity:0.3", folds=4)
        found.append(fit.validation.rmse)
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_what_was_masked_is_told_and_files_are_not_overwritten(tmp_path: Any) -> None:
    from leastwise.proteins import features_file, split_file

    rng = np.random.default_rng(17)
    texts = [protein(rng, 60) for _ in range(20)]
    texts[3] = texts[3][:30] + "X" + texts[3][31:]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["sequence", *texts]) + "\n")
    assert "masked 'X': 1 character in 1 sequence" in split_file(path, None, unknown="mask").report()
    before = path.read_text()
    for write in (split_file, features_file):
        with pytest.raises(UsageError, match="would be overwritten"):
            write(path, str(path), unknown="mask")
    assert path.read_text() == before
    path.write_text("sequence,y\n" + "".join(f"{t},{'' if i == 2 else i}\n" for i, t in enumerate(texts)))
    with pytest.raises(MissingError, match="first: row 3"):
        split_file(path, None, target="y", unknown="mask")
    with pytest.raises(SequenceError, match="Row 4"):
        features_file(path, None)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"y": ["a"] * 10}, "no number"),
        ({"identity": 0.9, "related": Related(0.3)}, "Give one of them"),
    ],
)
def test_odd_wishes_are_refused(asked: dict[str, Any], words: str) -> None:
    rng = np.random.default_rng(18)
    with pytest.raises(UsageError, match=words):
        split([protein(rng, 50) for _ in range(10)], **asked)


def test_alignments_beyond_memory_are_refused() -> None:
    rng = np.random.default_rng(19)
    long = protein(rng, 25_000)
    with pytest.raises(DataError, match="Cut them into domains"):
        cluster([long, long[:-3] + "AAA"])
    with pytest.raises(DataError, match="All sequences are one"):
        split(["MKV", "MKV"])


def test_a_certificate_is_exhaustive_only_where_every_pass_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seqs, _ = families(20, 2, 0.5, seed=6)
    monkeypatch.setattr(identity._Distinct, "components", alone)
    total = sum(map(len, seqs)) ** 2
    monkeypatch.setattr(identity, "CELLS", total / 10)  # enough for what was moved, not for all of train
    made = split(seqs, 0.3, 0.5)
    assert made.certificate.moved > 0
    assert not made.certificate.exhaustive
    monkeypatch.setattr(identity, "CELLS", float(total))
    assert split(seqs, 0.3, 0.5).certificate.exhaustive
