"""Protein features: what ProtParam prints, to its last digit, and what Biopython computes."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from Bio.SeqUtils import ProtParamData
from Bio.SeqUtils.ProtParam import ProteinAnalysis

from leastwise.errors import SequenceError
from leastwise.sequences import features
from leastwise.sequences.clean import ALPHABET, pack
from leastwise.sequences.features import (
    _PAIR_WEIGHTS,
    FEATURES,
    _charge,
    _charged_groups,
    _counts,
    feature_matrix,
)

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"
EXPASY = SHARED / "expasy_protparam" / "vectors.csv"
MELTOME = SHARED / "flip_meltome_2021" / "full_task.csv.gz"
NAMES = [feature.name for feature in FEATURES]


def table(seqs: list[str]) -> dict[str, np.ndarray]:
    return dict(zip(NAMES, feature_matrix(pack(seqs)).T, strict=True))


def some_proteins(n: int = 60, seed: int = 0) -> list[str]:
    """Random proteins that begin with each amino acid and never end in D or E."""
    rng = np.random.default_rng(seed)
    bodies = ["".join(rng.choice([*ALPHABET], size)) for size in rng.integers(1, 400, n)]
    return [ALPHABET[i % 20] + body + "GA"[i % 2] for i, body in enumerate(bodies)]


def mixtures() -> list[str]:
    return [*ALPHABET, "DE", "GGGGD", "K" * 300, "D" * 300, *some_proteins()]


# --- laws and edges -------------------------------------------------------------------------------


def test_each_column_says_its_unit_its_meaning_and_its_source():
    assert len(FEATURES) >= 12
    assert len(set(NAMES)) == len(NAMES)
    assert all(f.name and f.unit and f.what and f.source for f in FEATURES)


def test_every_feature_is_finite_for_every_single_residue_and_extreme_composition():
    assert np.isfinite(feature_matrix(pack(mixtures()))).all()


def test_a_protein_has_the_same_features_alone_and_among_others():
    seqs = mixtures()
    together = feature_matrix(pack(seqs))
    alone = np.vstack([feature_matrix(pack([seq])) for seq in seqs])
    np.testing.assert_allclose(together, alone, rtol=1e-13, atol=1e-13)


def test_the_charge_is_zero_at_the_isoelectric_point():
    """The steepest protein here changes by 700 charges a pH, so 1e-9 pH leaves 1e-6 charges."""
    packed = pack(mixtures())
    groups = _charged_groups(packed, _counts(packed)[0])
    pI = table(mixtures())["isoelectric_point"]
    assert np.abs(_charge(groups, pI)).max() < 1e-6


def test_no_range_confines_the_isoelectric_point():
    pI = table(["D" * 300, "R" * 300])["isoelectric_point"]
    assert pI[0] < 2.5
    assert pI[1] > 14


def test_reversing_a_sequence_changes_nothing_that_only_counts():
    seqs = [f"A{seq}A" for seq in some_proteins()]  # the same residue at both ends
    there, back = table(seqs), table([seq[::-1] for seq in seqs])
    for name in set(NAMES) - {"instability_index"}:
        np.testing.assert_allclose(there[name], back[name], rtol=1e-12, atol=1e-12)


def test_no_sequences_give_a_table_without_rows():
    assert feature_matrix(pack([])).shape == (0, len(FEATURES))
    assert features([]).shape == (0, len(FEATURES))


# --- masked residues ------------------------------------------------------------------------------


def test_masked_residues_dilute_no_mean_and_no_mass():
    known, masked = table(["ACDEFGHIKL"]), table(["XXXXACDEFGHIKLXXXXXX"])
    assert masked["length"] == 20
    water = 18.01524
    mass = masked["molecular_weight"] - water
    np.testing.assert_allclose(mass, 2 * (known["molecular_weight"] - water), rtol=1e-14)
    for name in set(NAMES) - {"length", "molecular_weight", "isoelectric_point", "charge_at_ph7"}:
        np.testing.assert_allclose(masked[name], known[name], rtol=1e-14)


def test_the_instability_index_takes_no_pair_across_a_masked_residue():
    """Known pairs WW and KK weigh 1 each: the mean 1, times 10 (4 - 1) / 4."""
    assert table(["WWXKK"])["instability_index"] == pytest.approx(7.5, rel=1e-14)
    assert table(["WXW"])["instability_index"] == 0


def test_a_masked_first_residue_has_the_general_n_terminus():
    assert table(["XAK"])["charge_at_ph7"] == pytest.approx(table(["GAK"])["charge_at_ph7"])
    assert table(["MAK"])["charge_at_ph7"] < table(["GAK"])["charge_at_ph7"]


def test_a_sequence_in_which_nothing_is_known_is_an_error():
    with pytest.raises(SequenceError, match=r"1 sequence of 2 \(first: sequence 2\)"):
        features(["AC", "BZX"], unknown="mask")


def test_unknown_letters_are_an_error_unless_a_policy_is_given():
    with pytest.raises(SequenceError, match="'U' at position 2 of sequence 1"):
        features(["AUA"])
    assert len(features(["AUA", "AC"], unknown="drop")) == 1


# --- certified values -----------------------------------------------------------------------------

DIGITS = {
    "molecular_weight": 2,
    "isoelectric_point": 2,
    "instability_index": 2,
    "aliphatic_index": 2,
    "gravy": 3,
}


@pytest.mark.skipif(not EXPASY.is_file(), reason="the values printed by ExPASy are not here")
def test_every_value_that_protparam_prints_comes_out_to_its_last_digit():
    with EXPASY.open() as file:
        rows = list(csv.DictReader(file))
    ours = table([row["sequence"] for row in rows])
    printed = [
        (row[name], f"{ours[name][i]:.{digits}f}")
        for i, row in enumerate(rows)
        for name, digits in DIGITS.items()
        if row[name]
    ]
    assert len(printed) == 40
    assert [theirs for theirs, _ in printed] == [mine for _, mine in printed]


def test_the_carboxyl_of_a_last_aspartate_is_an_ordinary_one():
    """ProtParam prints pI 3.80 and 361.31 Da for GGGGD."""
    ours = table(["GGGGD"])
    assert f"{ours['isoelectric_point'][0]:.2f}" == "3.80"
    assert f"{ours['molecular_weight'][0]:.2f}" == "361.31"


# --- another library ------------------------------------------------------------------------------


def biopython(seq: str) -> dict[str, float]:
    """The features in which Biopython agrees: not the mass (other atomic masses)."""
    protein = ProteinAnalysis(seq)
    helix, turn, sheet = protein.secondary_structure_fraction()
    return {
        "gravy": protein.gravy(),
        "instability_index": protein.instability_index(),
        "aromaticity": protein.aromaticity(),
        "helix_fraction": helix,
        "turn_fraction": turn,
        "sheet_fraction": sheet,
        "extinction_coefficient": protein.molar_extinction_coefficient()[0],
    }


def test_the_pair_weights_are_those_of_biopython():
    theirs = [[ProtParamData.DIWV[a][b] for b in ALPHABET] for a in ALPHABET]
    assert _PAIR_WEIGHTS[1:, 1:].tolist() == theirs
    assert not _PAIR_WEIGHTS[0].any()
    assert not _PAIR_WEIGHTS[:, 0].any()


def test_charges_agree_with_biopython_where_no_acid_is_last():
    seqs = some_proteins()
    ours = table(seqs)
    charge = [ProteinAnalysis(seq).charge_at_pH(7.0) for seq in seqs]
    np.testing.assert_allclose(ours["charge_at_ph7"], charge, rtol=1e-12, atol=1e-12)
    pI = np.array([ProteinAnalysis(seq).isoelectric_point() for seq in seqs])
    within = (pI > 4.06) & (pI < 11.99)  # Biopython stops at 4.05 and 12, and at a step of 1e-4
    assert within.sum() > 40
    np.testing.assert_allclose(ours["isoelectric_point"][within], pI[within], atol=1e-4)


def test_the_mass_differs_from_biopython_by_atomic_masses_only():
    seqs = some_proteins()
    theirs = [ProteinAnalysis(seq).molecular_weight() for seq in seqs]
    np.testing.assert_allclose(table(seqs)["molecular_weight"], theirs, rtol=3e-5)


@pytest.mark.skipif(not MELTOME.is_file(), reason="the meltome sequences are not here")
def test_all_meltome_proteins_agree_with_biopython():
    with gzip.open(MELTOME, "rt") as file:
        seqs = sorted({row["sequence"] for row in csv.DictReader(file)})
    seqs = [seq for seq in seqs if "U" not in seq]
    assert len(seqs) > 3000
    ours = table(seqs)
    theirs = pd.DataFrame([biopython(seq) for seq in seqs])
    for name in theirs:
        # sums of up to 8,797 terms in another order: 12 digits are left
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, atol=1e-12)
    aliphatic = [
        100 * (s.count("A") + 2.9 * s.count("V") + 3.9 * (s.count("I") + s.count("L"))) / len(s)
        for s in seqs
    ]
    np.testing.assert_allclose(ours["aliphatic_index"], aliphatic, rtol=1e-12)


# --- the frame ------------------------------------------------------------------------------------


def test_a_frame_is_of_the_library_that_the_sequences_came_in():
    assert isinstance(features(pd.Series(["AC"])), pd.DataFrame)
    assert isinstance(features(pl.Series(["AC"])), pl.DataFrame)
    assert isinstance(features(pa.array(["AC"])), pa.Table)
    assert features(pa.array(["AC", "W"]))["length"].to_pylist() == [2.0, 1.0]
    assert isinstance(features(["AC"]), pd.DataFrame)  # imported here, and asked for first


def test_all_columns_are_floats_in_the_order_of_the_list():
    frame = features(["MVLSPAD", "ACD"])
    assert list(frame.columns) == NAMES
    assert (frame.dtypes == np.float64).all()
    np.testing.assert_array_equal(frame, feature_matrix(pack(["MVLSPAD", "ACD"])))


def test_a_pandas_index_is_kept_with_the_rows_that_are_kept():
    column = pd.Series(["AC", "AX", "WY"], index=["p", "q", "r"])
    assert list(features(column, unknown="drop").index) == ["p", "r"]


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        ("", "pyarrow"),
        ("import polars; ", "polars"),
        ("import polars, pandas; ", "pandas"),
    ],
)
def test_no_frame_library_is_imported_that_the_user_has_not_imported(before, kind):
    code = (
        f"{before}import sys; from leastwise.sequences import features; "
        "print(type(features(['AC'])).__module__.split('.')[0], "
        "*sorted({'pandas', 'polars'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(REPOSITORY / "src")},
    )
    imported = sorted(name for name in ("pandas", "polars") if name in before)
    assert done.stdout.split() == [kind, *imported]
