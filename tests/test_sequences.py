"""Cleaning and encoding: what is changed is counted, and nothing is guessed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

import leastwise.sequences
from leastwise.errors import DataError, SequenceError, UsageError
from leastwise.sequences import clean, encode, one_hot
from leastwise.sequences.clean import ALPHABET, pack
from leastwise.sequences.encode import SequenceDataset, blosum, composition, z_scales
from leastwise.sequences.scales import BLOSUM62, EITHER, Z_SCALES

REPOSITORY = Path(__file__).resolve().parents[1]
MESSY = REPOSITORY.parent / "shared" / "data" / "messy_fasta"
MESSY_NAMES = [
    "aligned_seq_all_valid_unconvertable.fasta",
    "fixable_invalid.fasta",
    "test_data_with_bad_chars.fa",
    "test_data_with_nonstandard_chars.fa",
    "testset_duplicate.fasta",
    "testset_duplicate_seqs.fasta",
    "unfixable_invalid.fasta",
]
needs_messy = pytest.mark.skipif(not MESSY.is_dir(), reason="the messy FASTA files are not here")


def fasta(path: Path) -> list[str]:
    """The sequences of a FASTA file, line ends left in."""
    records = path.read_text().split(">")[1:]
    return [record.partition("\n")[2] for record in records]


def changes(cleaned):
    return {(c.what, c.letter): (c.residues, c.sequences) for c in cleaned.changes}


# --- laws and edges -------------------------------------------------------------------------------


def test_clean_sequences_come_back_as_they_are_and_nothing_is_reported():
    cleaned = clean([ALPHABET, 2 * ALPHABET])
    assert cleaned.sequences == (ALPHABET, 2 * ALPHABET)
    assert cleaned.notes == ()
    assert cleaned.changes == ()
    assert cleaned.report() == "2 sequences came, 2 kept, 0 left out.\nNothing was changed."


@pytest.mark.parametrize("unknown", ["error", "mask", "drop"])
def test_cleaning_twice_changes_nothing_more(unknown):
    once = clean(["mv ls\r\nPAD**\n", "A", "\tWY "], unknown=unknown)
    again = clean(once.sequences, unknown=unknown)
    assert once.sequences == again.sequences == ("MVLSPAD", "A", "WY")
    assert again.changes == ()


def test_no_sequences_give_no_sequences():
    cleaned = clean([])
    assert cleaned.sequences == ()
    assert len(cleaned.kept) == len(cleaned.dropped) == 0


def test_case_white_space_and_stops_are_counted_apart():
    cleaned = clean(["mvLS\r\nPAD*\n", "ACD", "AC D* *"])
    assert cleaned.sequences == ("MVLSPAD", "ACD", "ACD")
    assert changes(cleaned) == {
        ("upper-cased", ""): (2, 1),
        ("white space removed", ""): (5, 2),
        ("stop removed", "*"): (3, 2),
    }
    case, white, stop = cleaned.changes
    assert case.places == ((1, 1), (1, 2))
    assert white.places[:2] == ((1, 5), (1, 5))
    assert stop.places == ((1, 8), (3, 4), (3, 5))


def test_a_wholly_lower_case_protein_is_upper_cased():
    assert clean(["mvlspadktnvk"]).sequences == ("MVLSPADKTNVK",)


@pytest.mark.parametrize("letter", [*"BZXUOJ", *"bzxuoj", *"-.@1$?#", "é", "Å", "Ж", "😀"])
def test_any_other_character_is_an_error_a_mask_or_a_sequence_left_out(letter):
    seqs = ["ACD", f"AC{letter}D", "WY"]
    with pytest.raises(SequenceError, match="at position 3 of sequence 2"):
        clean(seqs)
    masked = clean(seqs, unknown="mask")
    assert masked.sequences == ("ACD", "ACXD", "WY")
    assert changes(masked)["masked", letter.upper()] == (1, 1)
    dropped = clean(seqs, unknown="drop")
    assert dropped.sequences == ("ACD", "WY")
    assert dropped.kept.tolist() == [0, 2]
    assert dropped.dropped.tolist() == [1]
    assert changes(dropped) == {("left out for", letter.upper()): (1, 1)}


def test_a_stop_inside_is_unknown_and_one_at_the_end_is_not():
    assert clean(["AC*D*"], unknown="mask").sequences == ("ACXD",)


def test_a_masked_residue_keeps_its_place_in_the_length():
    assert len(clean(["A-C..D"], unknown="mask").sequences[0]) == 6


def test_the_error_names_ten_places_the_count_and_the_way_out():
    with pytest.raises(SequenceError) as caught:
        clean(["A", "X" * 12, "AU"])
    message = str(caught.value)
    assert "13 characters in 2 sequences of 3" in message
    assert message.count("at position") == 10
    assert "'X' at position 10 of sequence 2, ..." in message
    assert "unknown='mask'" in message


def test_the_report_says_what_was_left_out_and_why():
    report = clean(["AXU", "", "AC", "A1"], unknown="drop").report()
    assert report.split("\n") == [
        "4 sequences came, 1 kept, 3 left out.",
        "left out for '1': 1 character in 1 sequence (first: sequence 4 at 2)",
        "left out for 'U': 1 character in 1 sequence (first: sequence 1 at 3)",
        "left out for 'X': 1 character in 1 sequence (first: sequence 1 at 2)",
        "left out as empty: 0 characters in 1 sequence (first: sequence 2)",
        "noted shorter than 20 residues: 1 in 1 sequence (first: sequence 3)",
    ]


@pytest.mark.parametrize("empty", ["", " \n", "*", " * "])
def test_an_empty_sequence_is_an_error_unless_it_may_be_left_out(empty):
    for unknown in ("error", "mask"):
        with pytest.raises(SequenceError, match=r"1 sequence of 2 hold no residue.*sequence 2"):
            clean(["AC", empty], unknown=unknown)
    assert clean(["AC", empty], unknown="drop").dropped.tolist() == [1]


@pytest.mark.parametrize("unknown", ["error", "mask", "drop"])
def test_amino_acids_alternating_with_structure_letters_are_refused(unknown):
    with pytest.raises(SequenceError, match=r"sequence 2\).*SaProt.*s\[::2\]"):
        clean(["ACD", "MdAd\nTdL#"], unknown=unknown)


@pytest.mark.parametrize("seq", ["Mv", "MdAdT", "mDaDtD", "MvLSPAd", "MAdd"])
def test_other_mixtures_of_case_are_no_structure_text(seq):
    assert clean([seq]).sequences == (seq.upper(),)


def test_cleaning_agrees_with_one_string_at_a_time():
    rng = np.random.default_rng(0)
    letters = [*(ALPHABET * 3), *"acdwxBZXUOJ-.*1é \t\n"]
    seqs = ["A" + "".join(rng.choice(letters, size)) + "*" for size in rng.integers(0, 80, 200)]
    bare = ["".join(seq.split()).rstrip("*") for seq in seqs]
    expected = ["".join(a if a in ALPHABET else "X" for a in seq.upper()) for seq in bare]
    cleaned = clean(seqs, unknown="mask")
    assert list(cleaned.sequences) == expected
    unknown = Counter(a for seq in bare for a in seq.upper() if a not in ALPHABET)
    masked = {c.letter: c.residues for c in cleaned.changes if c.what == "masked"}
    assert masked == unknown
    known = [i for i, seq in enumerate(expected) if "X" not in seq]
    dropped = clean(seqs, unknown="drop")
    assert dropped.kept.tolist() == known
    assert list(dropped.sequences) == [expected[i] for i in known]


def test_gaps_beside_lower_case_letters_are_no_structure_text():
    assert clean(["A--a", "A1Cd"], unknown="mask").sequences == ("AXXA", "AXCD")


# --- what sequences come in -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        iter,
        lambda s: np.array(s, dtype=object),
        np.array,
        pa.array,
        lambda s: pa.chunked_array([s[:1], s[1:]]),
        pd.Series,
        pl.Series,
    ],
)
def test_any_column_of_text_will_do(container):
    cleaned = clean(container(["MVL", "acd"]))
    assert cleaned.sequences == ("MVL", "ACD")
    assert all(type(s) is str for s in cleaned.sequences)


@pytest.mark.parametrize(
    "wrong",
    [
        "MVLSPAD",
        b"MVL",
        np.array("MVL"),
        {"name": "MVL"},
        {"MVL"},
        pd.DataFrame({"MVL": ["ACD"]}),
        pl.DataFrame({"MVL": ["ACD"]}),
        pa.table({"MVL": ["ACD"]}),
        7,
    ],
)
def test_what_would_iterate_over_something_else_is_a_usage_error(wrong):
    with pytest.raises(UsageError, match="give a list"):
        clean(wrong)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_sequence_is_named(missing):
    with pytest.raises(SequenceError, match=r"Sequence 2 of 3 .*is missing"):
        clean(["A", missing, "C"], unknown="drop")
    with pytest.raises(SequenceError, match="is missing"):
        clean(pd.Series(["A", missing]))


def test_a_number_among_the_sequences_is_named():
    with pytest.raises(SequenceError, match=r"Sequence 1 of 1 .*of type int"):
        clean([5])


def test_an_unknown_policy_is_a_usage_error():
    with pytest.raises(UsageError, match="unknown='ignore'"):
        clean(["A"], unknown="ignore")


@needs_messy
@pytest.mark.parametrize("name", MESSY_NAMES)
def test_every_messy_file_becomes_twenty_letters_and_x(name):
    seqs = fasta(MESSY / name)
    cleaned = clean(seqs, unknown="mask")
    lengths = [len("".join(s.split()).rstrip("*")) for s in seqs]
    assert [len(s) for s in cleaned.sequences] == lengths
    assert set("".join(cleaned.sequences)) <= set(ALPHABET + "X")
    masked = sum(c.residues for c in cleaned.changes if c.what == "masked")
    assert masked == "".join(cleaned.sequences).count("X")


@needs_messy
def test_real_structure_text_is_refused_and_its_amino_acids_are_taken():
    seqs = fasta(MESSY / "saprot_3di_first5.fasta")
    with pytest.raises(SequenceError, match="5 sequences of 5"):
        clean(seqs, unknown="mask")
    assert len(clean([s[::2] for s in seqs]).kept) == 5


@needs_messy
def test_the_counts_of_the_aligned_viral_proteins():
    cleaned = clean(fasta(MESSY / "test_data_with_nonstandard_chars.fa"), unknown="mask")
    found = changes(cleaned)
    assert found["masked", "X"][0] == 346
    assert found["masked", "-"][0] == 420
    assert found["upper-cased", ""][0] == 2


# --- packed and encoded ---------------------------------------------------------------------------


def test_packing_gives_the_place_in_the_alphabet_and_zero_for_a_masked_residue():
    packed = pack([ALPHABET, "XA"])
    assert packed.codes.tolist() == [*range(1, 21), 0, 1]
    assert packed.offsets.tolist() == [0, 20, 22]
    assert packed.lengths.tolist() == [20, 2]
    assert packed.rows.tolist() == [0] * 20 + [1] * 2


def test_b_z_and_j_have_codes_of_their_own_where_they_stay():
    seqs = ["ABZ", "JxUO"]
    assert pack(clean(seqs, unknown="expected").sequences).codes.tolist() == [1, 21, 22, 23, 0, 0, 0]
    assert pack(clean(seqs, unknown="mask").sequences).codes.tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_the_worked_example_of_the_protein_course():
    encoded = encode(["MVLSPAD"])
    assert encoded.indices.shape == (1, 7)
    assert encoded.indices.dtype == torch.int64
    assert encoded.indices.tolist() == [[11, 18, 10, 16, 13, 1, 3]]
    hot = one_hot(["MVLSPAD"])
    assert hot.shape == (1, 7, 20)
    assert hot.dtype == torch.float32
    assert torch.equal(hot[0].argmax(1) + 1, encoded.indices[0])


def test_one_hot_rows_sum_to_one_where_the_mask_is_true_and_to_zero_elsewhere():
    seqs = ["MVLSPAD", "AXC", "W"]
    encoded = encode(seqs, unknown="mask", length=9)
    hot = one_hot(seqs, unknown="mask", length=9)
    assert hot.shape == (3, 9, 20)
    assert torch.equal(hot.sum(2), encoded.mask.float())
    assert encoded.mask.sum(1).tolist() == [7, 2, 1]
    assert torch.equal((encoded.indices > 0) & (encoded.indices < 21), encoded.mask)


def test_index_21_is_an_unknown_residue_and_0_is_padding_alone():
    seqs = ["AXC", "BZJX", "W"]
    masked, expected = (encode(seqs, unknown=policy) for policy in ("mask", "expected"))
    assert masked.indices.tolist() == [[1, 21, 2, 0], [21, 21, 21, 21], [19, 0, 0, 0]]
    assert torch.equal(masked.indices, expected.indices)
    assert torch.equal(masked.mask, expected.mask)
    assert masked.mask.tolist() == [[True, False, True, False], [False] * 4, [True, False, False, False]]
    torch.nn.Embedding(22, 3, padding_idx=0)(masked.indices)  # 22 rows are enough


TABLES = {
    one_hot: np.eye(20),
    blosum: BLOSUM62,
    z_scales: Z_SCALES,
    partial(z_scales, scales=3): Z_SCALES[:, :3],
}


def slow_rows(seqs: list[str], table: np.ndarray) -> np.ndarray:
    """One letter at a time: the mean row of the amino acids that it may be, zeros for X and padding."""
    out = np.zeros((len(seqs), max(map(len, seqs)), table.shape[1]))
    for i, seq in enumerate(seqs):
        for j, letter in enumerate(seq):
            may_be = {"B": "DN", "Z": "EQ", "J": "IL", "X": ""}.get(letter, letter)
            if may_be:
                out[i, j] = np.mean([table[ALPHABET.index(a)] for a in may_be], axis=0)
    return out


@pytest.mark.parametrize("way", TABLES, ids=["one_hot", "blosum", "z_scales", "three z_scales"])
def test_rows_by_residue_agree_with_one_letter_at_a_time(way):
    rng = np.random.default_rng(1)
    letters = [*ALPHABET, *"BZJX"]
    seqs = ["".join(rng.choice(letters, size)) for size in rng.integers(1, 40, 30)]
    found = way(seqs, unknown="expected")
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), slow_rows(seqs, TABLES[way]), rtol=1e-6)
    assert torch.equal(way(seqs, unknown="expected", length=50)[:, : found.shape[1]], found)
    masked = ["".join(a if a in ALPHABET else "X" for a in seq) for seq in seqs]
    np.testing.assert_allclose(way(seqs, unknown="mask").numpy(), slow_rows(masked, TABLES[way]), rtol=1e-6)


def test_other_numbers_of_z_scales_are_refused():
    with pytest.raises(UsageError, match="scales=4"):
        z_scales(["A"], scales=4)


def test_a_composition_is_shares_of_what_is_known():
    rng = np.random.default_rng(2)
    letters = [*ALPHABET, *"BZJX"]
    seqs = ["A" + "".join(rng.choice(letters, size)) for size in rng.integers(1, 60, 30)]
    found = composition(seqs, unknown="expected")
    assert found.dtype == torch.float64
    for seq, shares in zip(seqs, found.numpy(), strict=True):
        weight = {a: seq.count(a) + sum(seq.count(c) / 2 for c, pair in EITHER.items() if a in pair)
                  for a in ALPHABET}  # fmt: skip
        total = len(seq) - seq.count("X")
        np.testing.assert_allclose(shares, [weight[a] / total for a in ALPHABET], rtol=1e-14)
    with pytest.raises(SequenceError, match=r"1 sequence of 2 \(first: sequence 2\)"):
        composition(["AC", "XX"], unknown="mask")


def test_a_dataset_gives_the_items_of_encoded_one_by_one_and_in_batches():
    seqs, y = ["MVLS", "AXC", "WY"], [50.0, 61.5, 70.0]
    data = SequenceDataset(seqs, y, unknown="mask", length=6)
    encoded = encode(seqs, unknown="mask", length=6)
    assert len(data) == 3
    for i, (indices, mask, target) in enumerate(data):
        assert torch.equal(indices, encoded.indices[i])
        assert torch.equal(mask, encoded.mask[i])
        assert target.item() == y[i]
    batch = next(iter(torch.utils.data.DataLoader(data, batch_size=2)))
    assert [tuple(part.shape) for part in batch] == [(2, 6), (2, 6), (2,)]
    assert [part.dtype for part in batch] == [torch.int64, torch.bool, torch.float32]
    several = SequenceDataset(seqs, np.ones((3, 2)), unknown="mask")
    assert next(iter(torch.utils.data.DataLoader(several, batch_size=3)))[2].shape == (3, 2)


def test_a_dataset_keeps_the_targets_of_the_sequences_that_are_kept():
    data = SequenceDataset(["AC", "AX", "WY"], [1.0, 2.0, 3.0], unknown="drop")
    assert data.kept.tolist() == [0, 2]
    assert [y.item() for _, _, y in data] == [1.0, 3.0]
    with pytest.raises(IndexError):
        data[2]


def test_targets_that_do_not_fit_the_sequences_are_refused():
    with pytest.raises(UsageError, match=r"shape \(2,\) came for 3"):
        SequenceDataset(["A", "C", "D"], [1.0, 2.0])
    with pytest.raises(DataError, match=r"1 value that .* \(first: row 2\)"):
        SequenceDataset(["A", "C"], [1.0, float("nan")])
    with pytest.raises(UsageError, match="not made of numbers"):
        SequenceDataset(["A"], ["warm"])


def test_encoding_agrees_with_one_letter_at_a_time():
    rng = np.random.default_rng(0)
    seqs = ["".join(rng.choice([*ALPHABET], size)) for size in rng.integers(1, 40, 50)]
    slow = torch.zeros(50, max(map(len, seqs)), dtype=torch.int64)
    for i, seq in enumerate(seqs):
        for j, letter in enumerate(seq):
            slow[i, j] = ALPHABET.index(letter) + 1
    assert torch.equal(encode(seqs).indices, slow)


def test_no_sequences_encode_to_no_rows():
    assert encode([]).indices.shape == (0, 0)
    assert one_hot([], length=5).shape == (0, 5, 20)


def test_nothing_is_cut_silently():
    with pytest.raises(SequenceError, match=r"Sequence 2 has 3 residues, length=2"):
        encode(["AC", "ACD"], length=2)
    with pytest.raises(UsageError, match="length=0"):
        one_hot(["A"], length=0)


def test_under_drop_the_rows_are_those_that_clean_keeps():
    assert encode(["AC", "AX", "WY"], unknown="drop").indices.tolist() == [[1, 2], [19, 20]]


# --- the package ----------------------------------------------------------------------------------


def test_the_public_names_are_sorted_and_there():
    names = leastwise.sequences.__all__
    assert names == sorted(names)
    assert all(callable(getattr(leastwise.sequences, name)) for name in names)


def test_importing_the_sequences_imports_no_heavy_library():
    code = (
        "import sys, leastwise.sequences; "
        "print([m for m in ('torch', 'pandas', 'polars', 'scipy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(REPOSITORY / "src")},
    )
    assert done.stdout.strip() == "[]"
