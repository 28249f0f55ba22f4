"""Protein features: what ProtParam prints, to its last digit, and what Biopython computes."""

from __future__ import annotations

import csv
import gzip
import math
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from Bio.Align import substitution_matrices
from Bio.SeqUtils import ProtParamData
from Bio.SeqUtils.ProtParam import ProteinAnalysis

from leastwise.errors import SequenceError, UsageError
from leastwise.sequences import features
from leastwise.sequences.clean import ALPHABET, pack
from leastwise.sequences.features import _MEANS, FEATURES, _charge, _charged_groups, _counts, feature_matrix
from leastwise.sequences.scales import (
    BLOSUM62,
    EISENBERG,
    EITHER,
    FLEXIBILITY,
    PAIR_WEIGHTS,
    PAIRS_BY_CODE,
    Z_SCALES,
    by_code,
    of_letters,
)

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"
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
    assert len(FEATURES) == 26
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


def test_columns_may_be_asked_for_by_name():
    packed = pack(mixtures())
    names = ["flexibility", "length", "gravy"]
    columns = [NAMES.index(name) for name in names]
    np.testing.assert_array_equal(feature_matrix(packed, names), feature_matrix(packed)[:, columns])
    with pytest.raises(UsageError, match="'boman'"):
        feature_matrix(packed, ["gravy", "boman"])


# --- masked residues ------------------------------------------------------------------------------


def test_masked_residues_dilute_no_mean_and_no_mass():
    known, masked = table(["ACDEFGHIWY"]), table(["XXXXACDEFGHIWYXXXXXX"])
    assert masked["length"] == 20
    water = 18.01524
    mass = masked["molecular_weight"] - water
    np.testing.assert_allclose(mass, 2 * (known["molecular_weight"] - water), rtol=1e-14)
    ends = {"isoelectric_point", "charge_at_ph7", "charge_density"}  # of an unknown first residue
    for name in set(NAMES) - {"length", "molecular_weight"} - ends:
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


# --- a slow twin: B, Z and J are either of two ------------------------------------------------------

NOT_LINEAR = {"isoelectric_point", "absorbance_1_g_per_l", "charge_density", "composition_entropy"}


def all_that_it_may_be(seq: str) -> list[str]:
    return ["".join(letters) for letters in product(*(EITHER.get(a, a) for a in seq))]


@pytest.mark.parametrize(
    "seq", ["B", "ZZ", "JBZ", "ZAKBJWY", "MBBZWPJZC", "AJXBZXK", "ACDEFGHIKLMNPQRSTVWYB"]
)
def test_a_column_is_its_mean_over_all_that_an_ambiguous_sequence_may_be(seq):
    ours = table([seq])
    every = table(all_that_it_may_be(seq))
    for name in set(NAMES) - NOT_LINEAR:
        # the mass of a masked residue is the mean of the known: linear still, for `known` is one number
        np.testing.assert_allclose(ours[name][0], every[name].mean(), rtol=1e-12, atol=1e-12, err_msg=name)
    packed = pack([seq])
    groups = _charged_groups(packed, _counts(packed)[0])
    mean = np.mean([charge_of(s, ours["isoelectric_point"][0]) for s in all_that_it_may_be(seq)])
    assert abs(mean) < 1e-8  # where the mean charge is zero
    assert abs(_charge(groups, ours["isoelectric_point"])[0]) < 1e-8


def charge_of(seq: str, pH: float) -> float:
    packed = pack([seq])
    return float(_charge(_charged_groups(packed, _counts(packed)[0]), np.array([pH]))[0])


def test_known_sequences_keep_their_features_beside_ambiguous_ones():
    """An ambiguous first residue makes two groups of each amino end, which add up to one."""
    known = mixtures()
    beside, alone = feature_matrix(pack([*known, "ZAB"]))[:-1], feature_matrix(pack(known))
    np.testing.assert_allclose(beside, alone, rtol=1e-12, atol=1e-13)


def test_entropy_is_zero_for_one_letter_and_log2_of_twenty_for_all():
    ours = table(["AAAA", ALPHABET, "B"])["composition_entropy"]
    np.testing.assert_allclose(ours, [0, np.log2(20), 1], atol=1e-14)


def test_a_scale_by_code_is_zero_for_what_is_masked_and_the_mean_of_two():
    assert by_code(of_letters("DN", 3, 5))[[0, 3, 12, 21, 22]].tolist() == [0, 3, 5, 4, 0]


def test_no_column_is_a_sum_of_others():
    """What a linear model could not tell apart is no column: twenty letters and an intercept."""
    scales = np.array([np.ones(20), *_MEANS.values()])
    assert np.linalg.matrix_rank(scales) == len(scales)


# --- certified values -----------------------------------------------------------------------------

DIGITS = {
    "molecular_weight": 2,
    "isoelectric_point": 2,
    "instability_index": 2,
    "aliphatic_index": 2,
    "gravy": 3,
}


def test_every_value_that_protparam_prints_comes_out_to_its_last_digit(shared):
    with (shared / "expasy_protparam" / "vectors.csv").open() as file:
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


def mean_of(scale: str):
    """The mean of one of Biopython's scales."""
    values = ProtParamData.Flex if scale == "Flex" else ProtParamData.gravy_scales[scale]
    return lambda seq: sum(values[a] for a in seq) / len(seq)


def share_of(letters: str):
    return lambda seq: sum(seq.count(a) for a in letters) / len(seq)


# How Biopython has each column, where it has it and is right. The others:
# molecular_weight       it adds other atomic masses: off by 0.02 to 1.2 Da, and with it
# charge_density, absorbance_1_g_per_l    which divide by the mass
# charge_at_ph7          it gives the carboxyl of a last D or E a pK of 4.55 or 4.75, where ExPASy's
#                        3.80 for GGGGD needs 3.55
# isoelectric_point      the same, and it stops at 4.05 and at 12
# helix_propensity, sheet_propensity      it has no such scales
BIOPYTHON = {
    "length": len,
    "gravy": lambda seq: ProteinAnalysis(seq).gravy(),
    "instability_index": lambda seq: ProteinAnalysis(seq).instability_index(),
    "aromaticity": lambda seq: ProteinAnalysis(seq).aromaticity(),
    "helix_fraction": lambda seq: ProteinAnalysis(seq).secondary_structure_fraction()[0],
    "turn_fraction": lambda seq: ProteinAnalysis(seq).secondary_structure_fraction()[1],
    "sheet_fraction": lambda seq: ProteinAnalysis(seq).secondary_structure_fraction()[2],
    "extinction_coefficient": lambda seq: ProteinAnalysis(seq).molar_extinction_coefficient()[0],
    "hydrophobicity_eisenberg": mean_of("Eisenberg"),
    "flexibility": mean_of("Flex"),
    # it counts letters, and we name them
    "aliphatic_index": lambda seq: 100 * sum(
        w * seq.count(a) for a, w in zip("AVIL", (1, 2.9, 3.9, 3.9), strict=True)
    ) / len(seq),
    "positive_fraction": share_of("KR"),
    "negative_fraction": share_of("DE"),
    "cysteine_fraction": share_of("C"),
    "tiny_fraction": share_of("ACGST"),
    "small_fraction": share_of("ACDGNPSTV"),
    "polar_fraction": share_of("DEHKNQRST"),
    "hydrophobic_fraction": share_of("ACFILMV"),
    "composition_entropy": lambda seq: -sum(
        c / len(seq) * math.log2(c / len(seq)) for c in Counter(seq).values()
    ),
}  # fmt: skip


def test_the_scales_and_tables_are_those_of_biopython():
    theirs = [[ProtParamData.DIWV[a][b] for b in ALPHABET] for a in ALPHABET]
    assert PAIR_WEIGHTS.tolist() == theirs
    assert PAIRS_BY_CODE[1:21, 1:21].tolist() == theirs
    assert not PAIRS_BY_CODE[0].any()
    assert not PAIRS_BY_CODE[:, 0].any()
    assert EISENBERG.tolist() == [ProtParamData.gravy_scales["Eisenberg"][a] for a in ALPHABET]
    assert FLEXIBILITY.tolist() == [ProtParamData.Flex[a] for a in ALPHABET]
    blosum = substitution_matrices.load("BLOSUM62")
    assert BLOSUM62.tolist() == [[blosum[a][b] for b in ALPHABET] for a in ALPHABET]


def test_the_z_scales_are_centred_on_the_twenty_amino_acids_to_their_printed_digits():
    """Twenty values of two decimals: their sum is off by 0.1 at most. A misprint of E's z4 adds 2.7."""
    assert Z_SCALES.shape == (20, 5)
    assert np.abs(Z_SCALES.sum(0)).max() <= 0.1
    assert Z_SCALES[ALPHABET.index("E")].tolist() == [3.11, 0.26, -0.11, -3.04, -0.25]


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


@pytest.fixture(scope="module")
def meltome() -> list[str]:
    """All distinct sequences of the three files. Biopython has no hydropathy of U: those are apart."""
    folder = SHARED / "flip_meltome_2021"
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not at {SHARED}")
    seqs = {record.partition("\n")[2].replace("\n", "")
            for record in (folder / "meltome_cv_test.fasta").read_text().split(">")[1:]}  # fmt: skip
    for name in ("full_task.csv.gz", "clustered_task.csv.gz"):
        with gzip.open(folder / name, "rt") as file:
            seqs |= {row["sequence"] for row in csv.DictReader(file)}
    return sorted(seqs)


def test_all_meltome_proteins_agree_with_biopython_column_by_column(meltome):
    seqs = [seq for seq in meltome if set(seq) <= set(ALPHABET)]
    assert len(meltome) - len(seqs) == 11  # with U
    assert len(seqs) > 4000
    ours = table(seqs)
    for name, theirs in BIOPYTHON.items():
        # sums of up to 8,797 terms in another order: 12 digits are left
        np.testing.assert_allclose(
            ours[name], [theirs(seq) for seq in seqs], rtol=1e-12, atol=1e-12, err_msg=name
        )


def test_charges_of_all_meltome_proteins_agree_with_biopython_where_it_agrees_with_expasy(meltome):
    seqs = [seq for seq in meltome if set(seq) <= set(ALPHABET) and seq[-1] not in "DE"]
    ours = table(seqs)
    charge = np.array([ProteinAnalysis(seq).charge_at_pH(7.0) for seq in seqs])
    np.testing.assert_allclose(ours["charge_at_ph7"], charge, rtol=1e-11, atol=1e-11)
    pI = np.array([ProteinAnalysis(seq).isoelectric_point() for seq in seqs])
    within = (pI > 4.06) & (pI < 11.99)
    assert within.mean() > 0.99
    np.testing.assert_allclose(ours["isoelectric_point"][within], pI[within], atol=1e-4)
    mass = np.array([ProteinAnalysis(seq).molecular_weight() for seq in seqs])
    for name, theirs in {
        "molecular_weight": mass,
        "charge_density": charge / mass,
        "absorbance_1_g_per_l": ours["extinction_coefficient"] / mass,
    }.items():  # the atomic masses differ in the fifth digit
        np.testing.assert_allclose(ours[name], theirs, rtol=3e-5, atol=1e-15, err_msg=name)


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
