"""Variant names against a wild type: the sequences they stand for, and what can be held out of a family."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leastwise.errors import DataError, SequenceError, UsageError
from leastwise.sequences.clean import ALPHABET
from leastwise.sequences.families import by_mutations, by_position, is_family, low_against_high
from leastwise.sequences.variants import against, one_hot_variants, variants

WILD = "MKTAYIAKQRQISFVKSHFSRQ"
NAMES = "Ala Cys Asp Glu Phe Gly His Ile Lys Leu Met Asn Pro Gln Arg Ser Thr Val Trp Tyr"
THREE = dict(zip(ALPHABET, NAMES.split(), strict=True))
NO_SUBSTITUTIONS = """2K>R K2>R 2R K2 K2del p.Lys2del p.Lys2_Ala4del p.Lys2fs p.Lys2ArgfsTer5 K2- *23Q : nan
p.Lys2_Thr3insGly p.Ter23GlnextTer5 K2R:WT K٢R ıK2R KK2R K2000000000R c.4A>G K2.5R K(2)R"""


def mutated(name: str, wild: str, first: int) -> str:
    """The slow, obvious twin: one mutation after the other into a list of letters."""
    letters = list(wild)
    for part in re.split(r"[:,;+_\s]+", name):
        was, number, becomes = re.fullmatch(r"([A-Z])(-?\d+)([A-Z])", part).groups()
        assert letters[int(number) - first] == was or letters[int(number) - first] == becomes
        letters[int(number) - first] = becomes
    return "".join(letters)


def fasta(path) -> str:
    return "".join(path.read_text().split("\n")[1:])


def table(path, delimiter: str = ",") -> list[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return list(csv.DictReader(file, delimiter=delimiter))


# ---- laws ----


@st.composite
def problems(draw):
    """A wild type, distinct names of variants of it in some numbering, and their sequences."""
    wild = draw(st.text(ALPHABET, min_size=1, max_size=60))
    first = draw(st.integers(-70, 400))
    names, sequences = [], []
    for _ in range(draw(st.integers(1, 12))):
        places = draw(st.lists(st.integers(0, len(wild) - 1), unique=True, max_size=6))
        letters, parts = list(wild), []
        for place in places:
            becomes = draw(st.sampled_from(ALPHABET))
            style = draw(st.integers(0, 4))
            was, number = wild[place], place + first
            if style == 0:
                part = f"{was}{number}{becomes}".lower()
            elif style == 1:
                part = f"p.{THREE[was]}{number}{THREE[becomes]}"
            elif style == 2 and was == becomes:
                part = f"{was}{number}="
            else:
                part = f"{was}{number}{becomes}"
            letters[place] = becomes
            parts.append(part)
        joint = draw(st.sampled_from([":", ",", ";", "+", "_", " ", " : ", ", "]))
        wild_names = st.sampled_from(["WT", "wt", "wildtype", "_wt", "", "  "])
        names.append(joint.join(parts) if parts else draw(wild_names))
        sequences.append("".join(letters))
    return wild, first, names, sequences


@given(problems())
@settings(max_examples=200, deadline=None)
def test_names_written_in_any_way_come_back_as_the_same_sequences(problem):
    wild, first, names, sequences = problem
    made = variants(names, wild, offset=first)
    assert made.sequences == tuple(sequences)
    assert made.mutations.tolist() == [sum(a != b for a, b in zip(s, wild, strict=True)) for s in sequences]
    assert variants(made.names, wild, offset=first).sequences == made.sequences
    same = against(sequences, wild, offset=first)
    for field in ("rows", "positions", "letters", "mutations", "group", "kept"):
        np.testing.assert_array_equal(getattr(same, field), getattr(made, field))
    assert same.names == made.names


@given(problems())
@settings(max_examples=200, deadline=None)
def test_numbering_is_found_or_said_to_be_uncertain(problem):
    wild, first, names, sequences = problem
    stated = any(re.search(r"\d", name) for name in names)
    numbered = {int(n) for name in names for n in re.findall(r"(?<![0-9])-?\d+", name)}
    fitting = {
        start
        for start in range(min(numbered, default=0) - 60, max(numbered, default=0) + 1)
        if agrees(names, wild, start)
    }
    if not stated:
        assert variants(names, wild).first == 1
    elif len(fitting) == 1:
        made = variants(names, wild)
        assert made.first == first
        assert made.sequences == tuple(sequences)
    elif fitting & {0, 1}:
        made = variants(names, wild)
        assert made.first == max(fitting & {0, 1})
        assert "not certain" in made.report()
    else:
        with pytest.raises(DataError, match="neither 1 nor 0"):
            variants(names, wild)


def agrees(names: list[str], wild: str, start: int) -> bool:
    back = {three.upper(): one for one, three in THREE.items()}
    for name in names:
        for was, number in re.findall(r"([A-Z]{3}|[A-Z])(-?\d+)", name.upper().replace("P.", " ")):
            place = int(number) - start
            if not 0 <= place < len(wild) or wild[place] != back.get(was, was):
                return False
    return True


@given(problems())
@settings(max_examples=100, deadline=None)
def test_one_hot_has_a_one_exactly_where_the_letter_stands(problem):
    wild, first, names, sequences = problem
    made = variants(names, wild, offset=first)
    everything, X = one_hot_variants(made, columns="all")
    dense = np.array([[a == b for a in s for b in ALPHABET] for s in sequences], dtype=float)
    np.testing.assert_array_equal(X.toarray(), dense)
    assert everything[:20] == tuple(f"{wild[0]}{first}{letter}" for letter in ALPHABET)
    seen, Z = one_hot_variants(made)
    at = [everything.index(name) for name in seen]
    assert at == sorted(set(at))
    np.testing.assert_array_equal(Z.toarray(), dense[:, at])
    assert Z.sum() == made.mutations.sum()
    assert Z.has_sorted_indices
    assert len(seen) == len({p for n in made.names if n != "WT" for p in n.split(":")})


def test_rows_of_one_sequence_share_a_group_whatever_their_names():
    made = variants(["A4C:K2R", "wt", "k2r+A4C", "M1M", "p.Lys2Arg;A4C;T3=", "K2R K2R"], WILD)
    assert made.group.tolist() == [0, 1, 0, 1, 0, 2]
    assert made.names == ("K2R:A4C", "WT", "K2R:A4C", "WT", "K2R:A4C", "K2R")
    assert made.mutations.tolist() == [2, 0, 2, 0, 2, 1]
    changes = {change.what: (change.residues, change.sequences, change.places) for change in made.changes}
    assert changes == {
        "upper-cased": (1, 1, ((3, 2),)),
        "identity dropped": (2, 2, ((4, 1), (5, 3))),
        "repeat dropped": (1, 1, ((6, 2),)),
    }
    assert "3 distinct sequences; 2 rows of the wild type itself; at most 2 mutations" in made.report()


def test_no_names_and_only_the_wild_type():
    none = variants([], WILD)
    assert (none.sequences, none.group.shape, none.positions.shape) == ((), (0,), (0,))
    assert one_hot_variants(none)[1].shape == (0, 0)
    assert one_hot_variants(none, columns="all")[1].shape == (0, 20 * len(WILD))
    assert none.names == ()
    one = variants(["WT"], WILD)
    assert one.sequences == (WILD,)
    assert "No name holds a number" in one.report()
    assert against([], WILD).sequences == ()


@pytest.mark.parametrize(
    "name",
    ["", "  ", "wt", "WT", "_wt", "WildType", "wild type", "p.=", "p.(=)", "_sy", "K2K", "K2=", "p.Lys2="],
)
def test_the_wild_type_by_any_of_its_names(name):
    assert variants([name], WILD).sequences == (WILD,)


@pytest.mark.parametrize("name", ["p.[Lys2Arg;Thr3Ser]", "p.(K2R) T3S", "K2R_T3S", "LYS2ARG, thr3ser"])
def test_other_ways_to_write_two_mutations(name):
    assert variants([name, "M1A"], WILD).sequences[0] == "MRS" + WILD[3:]


@pytest.mark.parametrize(
    "kind",
    [list, tuple, np.array, pa.array, pd.Series, iter],
    ids=["list", "tuple", "numpy", "arrow", "pandas", "iterator"],
)
def test_names_come_in_any_container(kind):
    assert variants(kind(["K2R", "M1A"]), WILD).names == ("K2R", "M1A")


# ---- numbering ----


@pytest.mark.parametrize("first", [-3, 0, 1, 2, 24, 1_000_000])
def test_numbering_is_found_from_the_letters(first):
    names = [f"{letter}{i + first}W" for i, letter in enumerate(WILD)]
    made = variants(names, WILD)
    assert made.first == first
    far = "" if first in (0, 1) else ", the number of the wild type's first residue"
    told = f"Counted from {first}{far}, which agrees with 22 wild-type letters in the names."
    assert made.numbering == told
    assert made.names == tuple(names)
    assert variants(names, WILD, offset=first).first == first


def test_of_several_numberings_one_goes_before_zero_and_the_report_says_so():
    repeated = "ACACACAC"
    made = variants(["A1D", "C2D"], repeated)
    assert made.first == 1
    assert "not certain: 4 numberings agree with 2 wild-type letters" in made.report()
    assert variants(["A2D"], "CAA").first == 1
    assert variants(["A2D"], "CCA").first == 0


def test_numberings_of_which_none_is_usual_need_an_offset():
    with pytest.raises(DataError, match=r"2 numberings agree .* \(counted from 28, 29\).*offset="):
        variants(["A30D"], "CAA")
    assert variants(["A30D"], "CAA", offset=28).sequences == ("CAD",)


def test_a_wrong_offset_lists_what_disagrees_and_names_the_one_that_fits():
    names = [f"{letter}{i + 24}W" for i, letter in enumerate(WILD)]
    with pytest.raises(DataError) as caught:
        variants(names, WILD, offset=25)
    said = str(caught.value)
    assert "With offset=25, " in said
    assert "'M24W' in row 0 expects M, found -" in said
    assert "'K25W' in row 1 expects K, found M" in said
    assert "Pass offset=24 (counted from 24, 22 of 22 wild-type letters agree)" in said
    assert said.count("expects") == 10


def test_a_slip_among_many_names_is_found_by_what_the_others_agree_on():
    names = [f"{letter}{i + 24}W" for i, letter in enumerate(WILD)]
    names[7] = "H31W"
    with pytest.raises(DataError) as caught:
        variants(names, WILD)
    said = str(caught.value)
    assert "counted from 24, 21 of 22 wild-type letters agree, and 1 disagree:" in said
    assert "'H31W' in row 7 expects H, found K (rows counted from 0, residues from 24 to 45)" in said


def test_letters_that_the_wild_type_lacks_are_an_error():
    with pytest.raises(DataError, match="'W2A' in row 0 expects W, found K"):
        variants(["W2A"], WILD)


# ---- policies and refusals ----


def test_stop_codons_stop_or_leave_the_row_out():
    names = ["K2R", "K2*", "p.Thr3Ter:K2R", "T3S"]
    with pytest.raises(
        SequenceError, match=r"2 mutations in 2 names of 4 are stop codons: 'K2\*' in row 1"
    ):
        variants(names, WILD)
    made = variants(names, WILD, stops="drop")
    assert made.kept.tolist() == [0, 3]
    assert made.dropped.tolist() == [1, 2]
    assert made.names == ("K2R", "T3S")
    assert "left out for '*': 2 characters in 2 sequences" in made.report()


def test_unknown_letters_stop_drop_or_mask():
    names = ["K2R", "K2X", "p.Thr3Sec", "T3S"]
    with pytest.raises(SequenceError, match="'K2X' in row 1, 'T3U' in row 2"):
        variants(names, WILD)
    assert variants(names, WILD, unknown="drop").kept.tolist() == [0, 3]
    made = variants(names, WILD, unknown="mask")
    assert made.sequences[1] == "MX" + WILD[2:]
    assert made.letters.tolist() == [15, 0, 0, 16]
    seen, X = one_hot_variants(made)
    assert (seen, X.shape) == (("K2R", "T3S"), (4, 2))
    assert one_hot_variants(made, columns="all")[1].sum(axis=1).tolist() == [22, 21, 21, 22]
    assert {c.letter for c in made.changes} == {"X", "U"}
    assert against(made.sequences, WILD, unknown="mask").names == made.names


def test_one_position_with_two_letters_is_refused():
    with pytest.raises(SequenceError, match="in row 1, 'K2A' in row 1") as caught:
        variants(["K2R", "K2R:T3S:K2A"], WILD)
    assert "2 mutations in 1 name of 2 put two letters at one position" in str(caught.value)
    with pytest.raises(SequenceError, match="two letters"):
        variants(["K2K:K2A"], WILD)


@pytest.mark.parametrize("name", NO_SUBSTITUTIONS.split())
def test_what_is_no_substitution_is_refused_with_the_known_forms(name):
    with pytest.raises(DataError, match=r"1 name of 2 cannot be read: .* in row 1") as caught:
        variants(["K2R", name], WILD)
    assert "Known forms are A23V" in str(caught.value)
    assert "deletions, insertions, duplications, extensions and frameshifts are not" in str(caught.value)


@pytest.mark.parametrize("missing", [None, float("nan"), 3])
def test_a_name_that_is_missing_is_an_error_with_its_row(missing):
    with pytest.raises(DataError, match="in row 1"):
        variants(["K2R", missing], WILD)


@pytest.mark.parametrize(
    "names", ["K2R", {"K2R"}, {"K2R": 1}, 3, None, pd.DataFrame({"a": ["K2R"]})], ids=str
)
def test_names_without_an_order_are_refused(names):
    with pytest.raises(UsageError, match="Names need an order"):
        variants(names, WILD)


OFFSETS = [{"offset": value} for value in (True, 1.5, "1", 10**30)]


@pytest.mark.parametrize("option", [{"stops": "mask"}, {"unknown": "keep"}, *OFFSETS], ids=str)
def test_options_out_of_range_are_refused(option):
    with pytest.raises(UsageError, match=f"{next(iter(option))}="):
        variants(["K2R"], WILD, **option)


def test_the_wild_type_is_cleaned_and_that_is_told():
    made = variants(["K2R"], "mkta*")
    assert made.wild_type == "MKTA"
    assert "wild type upper-cased" in made.report()
    with pytest.raises(SequenceError):
        variants(["K2R"], "MKXA")


def test_sequences_of_another_length_are_refused():
    with pytest.raises(
        DataError, match=r"1 sequence of 2 \(first: row 1 counted from 0\) differ in length"
    ):
        against([WILD, WILD[1:]], WILD)


# ---- families ----


def test_variants_of_one_sequence_are_a_family_and_random_proteins_are_not():
    rng = np.random.default_rng(0)
    wild = "".join(rng.choice([*ALPHABET], 100))
    family = [wild[:i] + ALPHABET[i % 20] + wild[i + 1 :] for i in range(100)]
    assert is_family(family)
    random = ["".join(rng.choice([*ALPHABET], 100)) for _ in range(100)]
    assert not is_family(random)
    assert "A family needs 95%" in is_family(random).reason
    one_in_ten = family[:90] + random[:10]
    assert not is_family(one_in_ten)
    assert "90.0% have it" in is_family(one_in_ten).reason
    assert is_family(family + random[:3])


def test_one_insertion_or_deletion_does_not_break_a_family_and_many_do():
    rng = np.random.default_rng(1)
    wild = "".join(rng.choice([*ALPHABET], 100))
    assert is_family([wild, wild, wild, wild[:40] + wild[43:], wild[:70] + "GG" + wild[70:]])
    assert not is_family([wild, wild, wild[:60], wild[20:]])


def test_a_family_takes_two():
    assert not is_family([])
    assert "1 sequence came" in is_family([WILD]).reason
    assert is_family([WILD, WILD.lower()])


def test_of_many_sequences_some_are_looked_at():
    assert "Of 1,000 sequences (of 5,000)" in is_family([WILD] * 5_000).reason


@pytest.mark.parametrize("way", ["modulo", "contiguous"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_folds_by_position_share_no_position(way, k):
    rng = np.random.default_rng(2)
    names = [
        ":".join(
            f"{WILD[p]}{p + 1}{'W' if i % 2 else 'C'}" for p in rng.choice(22, 1 + i % 3, replace=False)
        )
        for i in range(300)
    ]
    made = variants([*names, "WT"], WILD)
    labels = by_position(made, k, way)
    places = sorted(set(made.positions.tolist()))
    stretches = np.array_split(places, k)
    fold = {p: r % k for r, p in enumerate(places)}
    if way == "contiguous":
        fold = {p: f for f, stretch in enumerate(stretches) for p in stretch.tolist()}
    for i in range(301):
        folds = {fold[p] for p in made.positions[made.rows == i].tolist()}
        assert labels.label[i] == (folds.pop() if len(folds) == 1 else -1)
    sizes = Counter(fold.values())
    assert max(sizes.values()) - min(sizes.values()) <= 1
    mixed = np.sum(labels.label == -1) - 1
    assert f"In no fold (-1): {mixed} rows with positions of several folds, 1 wild types" in labels.told


def test_rows_of_one_sequence_lie_in_one_fold():
    made = variants(["K2R", "k2r:M1M", "T3S", "T3S"], WILD)
    for labels in (by_position(made, 2), by_mutations(made)):
        assert labels.label[0] == labels.label[1]
        assert labels.label[2] == labels.label[3]
    halves = low_against_high([0.0, 4.0, 0.5, 1.5], at=1.5, group=made.group).label.tolist()
    assert halves == [1, 1, 0, 0]


def test_labels_refuse_what_cannot_be_dealt():
    made = variants(["K2R", "T3S"], WILD)
    with pytest.raises(UsageError, match="k=5 came for 2 mutated positions"):
        by_position(made)
    with pytest.raises(UsageError, match="way='random' came"):
        by_position(made, 2, "random")
    with pytest.raises(UsageError, match="columns='some' came"):
        one_hot_variants(made, columns="some")
    with pytest.raises(DataError, match="no number in row 1"):
        low_against_high([1.0, np.nan])
    with pytest.raises(DataError, match="one side of 1"):
        low_against_high([1.0, 1.0])
    for y, group in (([[1.0, 2.0]], None), (3.0, None), ([1.0, 2.0], [0])):
        with pytest.raises(DataError, match="Each row needs one number"):
            low_against_high(y, group=group)


def test_low_against_high_divides_at_the_median_or_where_asked():
    y = np.random.default_rng(3).normal(size=101)
    assert low_against_high(y).label.sum() == 50
    labels = low_against_high(y, at=1.0)
    np.testing.assert_array_equal(labels.label, y > 1.0)
    assert f"{np.sum(y <= 1)} rows at most 1 (0), {np.sum(y > 1)} above (1)" in labels.told


# ---- real data ----


def test_a_small_proteingym_assay_has_the_sequences_that_its_own_column_says(shared):
    rows = table(shared / "dms_b2l11/B2L11_HUMAN_Dutta_2010_binding-Mcl-1.csv")
    wild = fasta(shared / "dms_b2l11/target.fasta")
    made = variants([row["mutant"] for row in rows], wild)
    assert made.first == 1
    assert made.sequences == tuple(row["mutated_sequence"] for row in rows)
    assert against(made.sequences, wild).names == tuple(row["mutant"] for row in rows)
    assert is_family(made.sequences)


def test_the_complete_scan_of_beta_lactamase_is_numbered_from_one_or_from_its_mature_end(shared):
    names = [row["mutant"] for row in table(shared / "dms_blat_ecolx/BLAT_ECOLX_Ranganathan2015.csv.gz")]
    wild = fasta(shared / "dms_blat_ecolx/target.fasta")
    made = variants(names, wild)
    assert made.first == 1
    assert made.sequences == tuple(mutated(name, wild, 1) for name in names)
    assert variants(names, wild[23:]).first == 24
    assert len(one_hot_variants(made)[0]) == len(names) == 4_997
    assert len(set(by_position(made, 5, "contiguous").label.tolist())) == 5
    assert is_family(made.sequences)


def test_green_fluorescent_protein_is_numbered_from_zero_without_its_first_methionine(shared):
    rows = table(shared / "dms_avgfp/avgfp.tsv.gz", "\t")
    wild = fasta(shared / "dms_avgfp/target.fasta")
    names = [row["variant"] for row in rows]
    made = variants(names, wild[1:], stops="drop")
    assert made.first == 0
    assert variants(names[:500], wild, stops="drop").first == -1
    assert (len(made.kept), len(made.dropped)) == (51_714, 2_310)  # ProteinGym's count without stops
    assert [change.residues for change in made.changes] == [2_381]
    kept = [names[i] for i in made.kept]
    assert made.sequences == tuple(mutated(name, wild[1:], 0) for name in kept)
    assert made.mutations.tolist() == [int(rows[i]["num_mutations"]) for i in made.kept]
    assert len(set(made.sequences)) == made.group.max() + 1
    assert is_family(made.sequences)


def test_the_four_sites_of_gb1_by_names_and_by_sequences(shared):
    wild = "MQYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"  # residues 1 to 56
    four = pq.read_table(shared / "flip_gb1/four_mutations.parquet").to_pydict()
    sites = [39, 40, 41, 54]
    chosen = [v for v, keep in zip(four["Variants"], four["keep"], strict=True) if keep in (True, "True")]
    names = [":".join(f"{wild[s - 1]}{s}{a}" for s, a in zip(sites, v, strict=True)) for v in chosen]
    made = variants(names, wild)
    splits = [row["sequence"][:56] for row in table(shared / "flip_gb1/sampled.csv.gz")]
    assert made.first == 1
    assert sorted(made.sequences) == sorted(splits)
    distance = dict(zip(four["Variants"], four["HD"], strict=True))
    assert made.mutations.tolist() == [distance[v] for v in chosen]
    again = against(splits, wild)
    assert sorted(set(again.positions.tolist())) == [38, 39, 40, 53]
    assert is_family(splits)
    assert np.mean(by_position(made, 4).label == -1) > 0.9


def test_proteins_of_many_kinds_are_no_family(shared):
    assert not is_family(row["sequence"] for row in table(shared / "flip_meltome_2021/full_task.csv.gz"))
