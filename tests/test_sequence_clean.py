"""Cleaning real odd files with each policy, gaps, notes, tags, and what repeats say of the noise."""

from __future__ import annotations

import random

import numpy as np
import pytest

from leastwise.errors import DataError, SequenceError, UsageError
from leastwise.rows.files import FastaRows
from leastwise.sequences.clean import clean
from leastwise.sequences.repeats import repeats
from leastwise.sequences.scales import ALPHABET, TAGS, tags

BODY = "MKVLAAGIVGLCAKQEWTRPNDSYFM" * 4  # 104 residues without a tag


def read(path) -> list[str]:
    """The sequences of a FASTA file, as a fit reads them."""
    return [text for slab in FastaRows(path).slabs() for text in slab.texts("sequence").to_pylist()]


def changes(cleaned) -> dict:
    return {(c.what, c.letter): (c.residues, c.sequences) for c in cleaned.changes}


def notes(cleaned) -> dict:
    return {note.what: (note.found, note.sequences, note.places) for note in cleaned.notes}


# --- real odd files: counted by hand --------------------------------------------------------------

# file: records, unknown characters {letter: (how many, in how many records)}, lower-case letters
UNKNOWN = {
    "aligned_seq_all_valid_unconvertable.fasta": (
        3, {"-": (15, 3), "$": (1, 1), "*": (1, 1), "B": (1, 1), "Z": (1, 1)}, 0,
    ),
    "fixable_invalid.fasta": (1, {"*": (3, 1), "-": (3, 1), "B": (1, 1), "U": (1, 1), "X": (1, 1)}, 0),
    "unfixable_invalid.fasta": (
        1, {"*": (3, 1), "-": (3, 1), "B": (1, 1), "U": (1, 1), "X": (1, 1), "@": (1, 1)}, 0,
    ),
    "test_data_with_nonstandard_chars.fa": (4, {"X": (346, 4), "-": (420, 1)}, 2),
    "test_data_with_bad_chars.fa": (4, {".": (346, 4), "-": (420, 1)}, 2),
    "testset_duplicate.fasta": (3, {}, 0),
    "testset_duplicate_seqs.fasta": (3, {}, 0),
}  # fmt: skip
HOLDING = {  # records with an unknown character
    name: max((n for _, n in found.values()), default=0) for name, (_, found, _) in UNKNOWN.items()
}
MEANT = {"B": "read as D or N", "Z": "read as E or Q", "J": "read as I or L"}


@pytest.fixture(params=UNKNOWN)
def odd(request, shared):
    """A messy file: its sequences, records, unknown characters, lower-case letters, records at fault."""
    name = request.param
    return read(shared / "messy_fasta" / name), *UNKNOWN[name], HOLDING[name]


def upper(lower: int) -> dict:
    return {("upper-cased", ""): (lower, 1)} if lower else {}


def test_error_counts_all_characters_and_names_the_first(odd):
    seqs, n, found, _, holding = odd
    assert len(seqs) == n
    if not found:
        assert clean(seqs).changes == ()
        return
    total = sum(count for count, _ in found.values())
    with pytest.raises(SequenceError) as caught:
        clean(seqs)
    message = str(caught.value)
    assert message.startswith(f"{total:,} characters in {holding} sequence")
    assert ("gaps='remove'" in message) == ("-" in found or "." in found)


def test_mask_writes_each_as_x_and_names_it(odd):
    seqs, _, found, lower, _ = odd
    cleaned = clean(seqs, unknown="mask")
    assert changes(cleaned) == upper(lower) | {("masked", a): count for a, count in found.items()}
    assert [len(s) for s in cleaned.sequences] == [len(s) for s in seqs]
    assert "".join(cleaned.sequences).count("X") == sum(count for count, _ in found.values())


def test_drop_leaves_out_the_records_that_hold_one(odd):
    seqs, _, found, _, holding = odd
    cleaned = clean(seqs, unknown="drop")
    assert changes(cleaned) == {("left out for", a): count for a, count in found.items()}
    assert len(cleaned.dropped) == holding
    assert cleaned.kept.tolist() == [i for i, s in enumerate(seqs) if set(s) <= set(ALPHABET)]


def test_expected_keeps_b_z_and_j_and_writes_all_else_as_x(odd):
    seqs, _, found, lower, _ = odd
    cleaned = clean(seqs, unknown="expected")
    said = {(MEANT.get(a, "masked"), a): count for a, count in found.items()}
    assert changes(cleaned) == upper(lower) | said
    slow = ["".join(a if a in ALPHABET + "BZJ" else "X" for a in s.upper()) for s in seqs]
    assert list(cleaned.sequences) == slow


@pytest.mark.parametrize("policy", ["mask", "expected"])
def test_gaps_that_are_removed_are_counted_and_in_no_length(odd, policy):
    seqs, _, found, _, _ = odd
    cleaned = clean(seqs, unknown=policy, gaps="remove")
    assert [len(s) for s in cleaned.sequences] == [len(s) - s.count("-") - s.count(".") for s in seqs]
    removed = {a: count for (what, a), count in changes(cleaned).items() if what == "gap removed"}
    assert removed == {a: count for a, count in found.items() if a in "-."}


def test_gaps_may_be_an_error_whatever_else_is_allowed(odd):
    seqs, n, found, _, _ = odd
    gaps = sum(found[a][0] for a in "-." if a in found)
    if not gaps:
        assert len(clean(seqs, unknown="mask", gaps="error").sequences) == n
        return
    with pytest.raises(SequenceError, match=rf"{gaps:,} gaps \(- or \.\) came .* Pass gaps='remove'"):
        clean(seqs, unknown="mask", gaps="error")


@pytest.mark.parametrize("policy", ["error", "drop", "mask", "expected"])
def test_structure_text_is_refused_under_every_policy(shared, policy):
    seqs = read(shared / "messy_fasta" / "saprot_3di_first5.fasta")
    assert len(seqs) == 5
    with pytest.raises(SequenceError, match=r"5 sequences of 5.*3Di"):
        clean(seqs, unknown=policy)


def test_the_runs_of_x_of_the_viral_proteins_are_noted_and_not_changed(shared):
    """By hand: 8, 16 (over a line end), 5 in each of the first three; without gaps the fourth ends in X."""
    seqs = read(shared / "messy_fasta" / "test_data_with_nonstandard_chars.fa")
    cleaned = clean(seqs, unknown="mask", gaps="remove")
    found, sequences, places = notes(cleaned)["run of 5 X or more"]
    assert (found, sequences) == (3 + 3 + 3 + 1, 4)
    assert [row for row, _ in places] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
    assert all(cleaned.sequences[row - 1][at - 1 : at + 4] == "XXXXX" for row, at in places)


def test_a_duplicate_record_is_a_repeat(shared):
    for name in ("testset_duplicate.fasta", "testset_duplicate_seqs.fasta"):
        found = repeats(read(shared / "messy_fasta" / name), [50.0, 60.0, 62.0])
        assert (found.rows, found.distinct, found.counts.tolist(), found.first.tolist()) == (3, 2, [2], [1])
        assert found.within == 2.0


# --- expected: laws and edges ---------------------------------------------------------------------


def test_lower_case_codes_of_two_are_upper_cased_and_stay():
    cleaned = clean(["abzjx", "AUO"], unknown="expected")
    assert cleaned.sequences == ("ABZJX", "AXX")
    assert changes(cleaned) == {
        ("upper-cased", ""): (5, 1),
        ("read as D or N", "B"): (1, 1),
        ("read as E or Q", "Z"): (1, 1),
        ("read as I or L", "J"): (1, 1),
        ("masked", "X"): (1, 1),
        ("masked", "U"): (1, 1),
        ("masked", "O"): (1, 1),
    }
    assert "read as D or N 'B': 1 character in 1 sequence (first: sequence 1 at 2)" in cleaned.report()


def test_cleaning_twice_gives_the_same_sequences():
    once = clean(["ABz-U*", "J"], unknown="expected")
    assert clean(once.sequences, unknown="expected").sequences == once.sequences


def test_windows_line_ends_and_blank_records_are_told_apart():
    assert clean(["MVLS\r\nPAD\r\n"]).sequences == ("MVLSPAD",)
    with pytest.raises(SequenceError, match="hold no residue"):
        clean(["AC", "\r\n"], unknown="expected")


@pytest.mark.parametrize(("option", "value"), [("unknown", "guess"), ("gaps", "keep"), ("trim", "all")])
def test_an_option_that_is_not_there_names_those_that_are(option, value):
    with pytest.raises(UsageError, match=f"{option}='{value}' came. There are "):
        clean(["A"], **{option: value})


# --- gaps -----------------------------------------------------------------------------------------


def test_gaps_are_any_unknown_character_unless_asked():
    assert clean(["A-C.D"], unknown="mask").sequences == ("AXCXD",)
    with pytest.raises(SequenceError, match="Gaps are taken out by gaps='remove'"):
        clean(["A-C"])
    with pytest.raises(SequenceError) as caught:
        clean(["AXC"])
    assert "gaps=" not in str(caught.value)


def test_removed_gaps_are_counted_by_kind():
    cleaned = clean(["A--C.D", "ACD", "-A*-"], gaps="remove")
    assert cleaned.sequences == ("ACD", "ACD", "A")
    assert changes(cleaned) == {
        ("stop removed", "*"): (1, 1),
        ("gap removed", "-"): (4, 2),
        ("gap removed", "."): (1, 1),
    }


def test_a_sequence_of_gaps_alone_is_empty():
    with pytest.raises(SequenceError, match="hold no residue"):
        clean(["AC", "--."], gaps="remove")
    assert clean(["AC", "--."], gaps="remove", unknown="drop").dropped.tolist() == [1]


# --- what is noted, and tags ----------------------------------------------------------------------


def slow_tags(seq: str) -> list[tuple[str, int, int]]:
    """Every place, one after the other."""
    found = []
    for name, letters in TAGS.items():
        at = 0
        while at < len(seq):
            size = len(letters)
            if name == "His":
                size = len(seq[at:]) - len(seq[at:].lstrip("H"))
            if (size >= 6) if name == "His" else seq.startswith(letters, at):
                if at + size <= 30 or at >= len(seq) - 30:
                    found.append((name, at, at + size))
                at += size
            else:
                at += max(size, 1) if name == "His" else 1
    return sorted(found, key=lambda tag: tag[1])


def test_tags_agree_with_one_place_after_another():
    rng = random.Random(0)
    pieces = [
        "HHHHHH",
        "HHHHHHHH",
        "HHHHH",
        "DYKDDDDK",
        "WSHPQFEK",
        "EQKLISEEDL",
        "YPYDVPDYA",
        "GS",
        "M",
        "AKVW",
    ]
    for _ in range(500):
        seq = "".join(rng.choice([*pieces, BODY[: rng.randint(1, 60)]]) for _ in range(rng.randint(1, 8)))
        assert list(tags(seq)) == slow_tags(seq), seq


def test_a_tag_in_the_middle_is_none_and_five_histidines_are_none():
    assert clean([BODY + "HHHHHH" + BODY, "MHHHHH" + BODY]).notes == ()


def test_notes_count_and_name_the_first_places_in_the_rows_that_came():
    seqs = ["MGSSHHHHHHSSG" + BODY, "AU", "MK", BODY + "DYKDDDDK", "A" * 5001, BODY + "XXXXXXA" + BODY]
    cleaned = clean(seqs, unknown="mask")
    assert notes(cleaned) == {
        "His tag": (1, 1, ((1, 5),)),
        "shorter than 20 residues": (2, 2, ((2, 0), (3, 0))),
        "FLAG tag": (1, 1, ((4, 105),)),
        "longer than 5,000 residues": (1, 1, ((5, 0),)),
        "run of 5 X or more": (1, 1, ((6, 105),)),
    }
    assert "noted His tag: 1 in 1 sequence (first: sequence 1 at 5)" in cleaned.report()
    dropped = clean(seqs, unknown="drop")
    assert notes(dropped)["shorter than 20 residues"] == (1, 1, ((3, 0),))
    assert cleaned.sequences[0] == seqs[0]  # nothing is trimmed unless asked


@pytest.mark.parametrize("tag", ["HHHHHH", "HHHHHHHHHH", "DYKDDDDK", "WSHPQFEK", "EQKLISEEDL", "YPYDVPDYA"])
def test_a_tag_is_cut_with_what_lies_outside_of_it_at_either_end(tag):
    seqs = [f"MGSS{tag}{BODY}", f"{BODY}{tag}LE", BODY]
    cleaned = clean(seqs, trim="tags")
    assert cleaned.sequences == (BODY, BODY, BODY)
    (change,) = cleaned.changes
    assert (change.residues, change.sequences) == (2 * len(tag) + 6, 2)
    assert change.places == ((1, 1), (2, len(BODY) + 1))
    assert cleaned.notes == ()
    assert clean(seqs[2:], trim="tags").changes == ()


def test_the_innermost_of_several_tags_is_where_the_protein_begins():
    cleaned = clean([f"MHHHHHHGSDYKDDDDK{BODY}WSHPQFEKGSHHHHHH"], trim="tags")
    assert cleaned.sequences == (BODY,)
    assert changes(cleaned) == {
        ("trimmed with FLAG tag", ""): (17, 1),
        ("trimmed with Strep tag", ""): (16, 1),
    }


def test_a_sequence_that_is_all_tag_is_an_error_or_left_out():
    with pytest.raises(SequenceError, match=r"1 sequence \(first: sequence 2\) nothing is left"):
        clean([BODY, "HHHHHH"], trim="tags", unknown="mask")
    cleaned = clean(["AX", "HHHHHH", BODY], trim="tags", unknown="drop")
    assert cleaned.sequences == (BODY,)
    assert cleaned.kept.tolist() == [2]
    assert cleaned.dropped.tolist() == [0, 1]
    assert changes(cleaned)["left out as nothing but a tag", ""] == (0, 1)


# --- repeats --------------------------------------------------------------------------------------


def slow_repeats(seqs, y):
    """Group by group; the variance components from the textbook's mean squares."""
    groups = {s: [v for t, v in zip(seqs, y, strict=True) if t == s] for s in dict.fromkeys(seqs)}
    n, S = len(y), len(groups)
    within = sum((v - np.mean(g)) ** 2 for g in groups.values() for v in g) / (n - S)
    between = sum(len(g) * (np.mean(g) - np.mean(y)) ** 2 for g in groups.values()) / (S - 1)
    size = (n - sum(len(g) ** 2 for g in groups.values()) / n) / (S - 1)
    several = [g for g in groups.values() if len(g) > 1]
    return within, within + (between - within) / size, [np.std(g, ddof=1) for g in several], several


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_repeats_agree_with_group_by_group(offset):
    rng = np.random.default_rng(0)
    seqs = rng.choice(["ACD", "WYV", "MKL", "PQR", "GGS", "TTT"], 40).tolist()
    seqs += ["ACDEF", "LLL"]
    y = rng.normal(size=42) + offset
    within, total, spread, several = slow_repeats(seqs, y)
    found = repeats(seqs, y)
    tolerance = 1e-9 if offset else 1e-12  # 6 digits of y are the offset
    assert found.within == pytest.approx(within, rel=tolerance)
    assert found.total == pytest.approx(total, rel=tolerance)
    np.testing.assert_allclose(found.spread, spread, rtol=tolerance)
    assert found.counts.tolist() == [len(g) for g in several]
    assert [seqs.index(s) for s in found.sequences] == found.first.tolist()
    np.testing.assert_allclose(found.mean, [np.mean(g) for g in several], rtol=1e-12)


def test_the_ceiling_is_unbiased_over_many_draws():
    """Between variance 4, within 1: the ceiling is 0.8. 400 draws of unequal groups."""
    rng = np.random.default_rng(1)
    sizes = [1] * 60 + [2] * 30 + [10] * 6
    names = [f"{'A' * (i + 1)}" for i in range(len(sizes))]
    seqs = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    at = np.repeat(np.arange(len(sizes)), sizes)
    found = [
        repeats(seqs, 2 * rng.normal(size=len(sizes))[at] + rng.normal(size=len(seqs))) for _ in range(400)
    ]
    assert np.mean([r.within for r in found]) == pytest.approx(1, abs=0.03)
    assert np.mean([r.total for r in found]) == pytest.approx(5, abs=0.12)


def test_conflicts_are_above_the_threshold_and_the_widest_comes_first():
    seqs = ["AC", "AC", "WY", "WY", "MK", "MK", "GG"]
    y = [1.0, 2.0, 10.0, 40.0, 5.0, 25.0, 7.0]
    found = repeats(seqs, y, threshold=10)
    assert [found.sequences[g] for g in found.conflicting] == ["WY", "MK"]
    assert repeats(seqs, y).threshold == pytest.approx(np.std(y, ddof=1))
    report = found.report().split("\n")
    assert report[0] == "7 rows, 4 distinct sequences; 3 measured more than once, in 6 rows."
    assert report[-3:] == [
        "labels in conflict (spread above 10): 2 sequences",
        "  row 3: 2 measurements, mean 25, spread 21.21",
        "  row 5: 2 measurements, mean 15, spread 14.14",
    ]


def test_without_repeats_nothing_is_said_of_the_noise():
    found = repeats(["AC", "WY"], [1.0, 3.0])
    assert np.isnan(found.within)
    assert np.isnan(found.ceiling)
    assert found.total == 2
    assert "none was measured twice" in found.report()
    assert repeats([], []).rows == 0
    assert np.isnan(repeats(["AC", "AC", "WY"], [1.0, 1.0, 1.0]).ceiling)


def test_repeats_without_noise_leave_everything_to_be_explained():
    assert repeats(["AC", "AC", "WY", "WY"], [1.0, 1.0, 3.0, 3.0]).ceiling == 1


def test_sequences_are_compared_after_cleaning_and_rows_counted_as_they_came():
    found = repeats(["AX", "mvls", "MV LS*", "AC"], [0.0, 1.0, 2.0, 3.0], unknown="drop")
    assert found.first.tolist() == [1]
    assert found.sequences == ("MVLS",)
    assert found.mean.tolist() == [1.5]


def test_what_is_no_single_measurement_is_refused():
    with pytest.raises(UsageError, match="one target at a time"):
        repeats(["A", "C"], [[1.0], [2.0]])
    with pytest.raises(UsageError, match="threshold=-1"):
        repeats(["A", "C"], [1.0, 2.0], threshold=-1)
    with pytest.raises(DataError, match="first: row 2"):
        repeats(["A", "C"], [1.0, np.inf])
