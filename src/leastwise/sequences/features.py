"""Numbers that describe a whole protein, equal to what ExPASy's ProtParam prints.

    packed codes -> counts (n, 20) -> sums and means over residues -> one column each
                 -> pairs of neighbours                            -> instability index
                 -> charged groups                                 -> pI, charge at pH 7

Residues that are masked (X) are unknown, and nothing is diluted by them: means and fractions are
over the known residues, `length` counts all, `molecular_weight` takes an unknown residue for one of
the protein's mean mass, and charges, pI and absorption are those of the known residues alone, as is
the mass by which absorbance and charge density are divided.

Under unknown="expected" B, Z and J count as one half of each of the two amino acids that they may
be: in the counts, in the pairs (the mean weight), and as half a charged group. So a column that is
linear in counts is its mean over all that the sequence may be; one that is not (pI, absorbance,
charge density, entropy) is that of these mean counts and groups.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import SequenceError, UsageError, did_you_mean, plural
from leastwise.sequences.clean import Packed, clean, pack
from leastwise.sequences.scales import (
    ABSORPTION,
    ALPHABET,
    EISENBERG,
    EITHER,
    FLEXIBILITY,
    HELIX,
    HYDROPATHY,
    MASS,
    PAIRS_BY_CODE,
    PARTS,
    SHEET,
    of_letters,
)

__all__ = ["FEATURES", "Feature", "feature_matrix", "features"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Feature:
    """One column: its name, unit, meaning, and where the definition and its constants are from."""

    name: str
    unit: str
    what: str
    source: str


_BJELLQVIST = "Bjellqvist et al., Electrophoresis 14:1023 (1993) and 15:529 (1994), as in ProtParam"
_FORMERS = "as in Biopython since 1.82"
_PEPSTATS = "EMBOSS pepstats, property classes (Rice et al., Trends Genet 16:276, 2000)"
_MODLAMP = "Müller et al., Bioinformatics 33:2753 (2017), modlAMP's GlobalDescriptor"

FEATURES = (
    Feature("length", "residues", "all residues, masked ones too", "a count"),
    Feature(
        "molecular_weight",
        "Da",
        "average isotopic masses of the residues, and one water; a masked residue has the mean "
        "mass of the known ones",
        "ExPASy FindMod, masses of amino acid residues",
    ),
    Feature(
        "isoelectric_point",
        "pH",
        "where the charge is zero, not confined to a range; masked residues carry no charge",
        _BJELLQVIST,
    ),
    Feature("gravy", "1", "mean hydropathy of the residues", "Kyte & Doolittle, JMB 157:105 (1982)"),
    Feature(
        "instability_index",
        "1",
        "10 / length times the sum of the weights of neighbouring pairs; above 40 is called "
        "unstable. With masked residues: the mean over known pairs; without such a pair 0",
        "Guruprasad et al., Protein Eng 4:155 (1990); weights as in Biopython",
    ),
    Feature("aromaticity", "fraction", "F, W, Y", "Lobry & Gautier, NAR 22:3174 (1994)"),
    Feature(
        "aliphatic_index",
        "mole percent",
        "A + 2.9 V + 3.9 (I + L), each in mole percent",
        "Ikai, J Biochem 88:1895 (1980)",
    ),
    Feature(
        "charge_at_ph7",
        "elementary charges",
        "net charge at pH 7.0, cysteines reduced, with the pK values of isoelectric_point",
        _BJELLQVIST,
    ),
    Feature(
        "helix_fraction",
        "fraction",
        "E, M, A, L, K",
        f"Haimov & Srebnik, Sci Rep 6:38341 (2016), {_FORMERS}",
    ),
    Feature(
        "turn_fraction",
        "fraction",
        "N, P, G, S, D",
        f"Hutchinson & Thornton, Protein Sci 3:2207 (1994), {_FORMERS}",
    ),
    Feature(
        "sheet_fraction",
        "fraction",
        "V, I, Y, F, W, L, T",
        f"Kim & Berg, Nature 362:267 (1993), {_FORMERS}",
    ),
    Feature("positive_fraction", "fraction", "K, R", "ProtParam counts the same two letters"),
    Feature("negative_fraction", "fraction", "D, E", "ProtParam counts the same two letters"),
    Feature("cysteine_fraction", "fraction", "C", "a count"),
    Feature(
        "extinction_coefficient",
        "1/(M cm)",
        "at 280 nm in water, cysteines reduced: 5500 W + 1490 Y",
        "Pace et al., Protein Sci 4:2411 (1995), as in ProtParam",
    ),
    # columns below came later: the order of those above is kept for model files
    Feature(
        "absorbance_1_g_per_l",
        "1/cm",
        "at 280 nm of 0.1 % (1 g/l), cysteines reduced: extinction_coefficient / molecular_weight",
        "ProtParam, Abs 0.1%",
    ),
    Feature("tiny_fraction", "fraction", "A, C, G, S, T", _PEPSTATS),
    Feature("small_fraction", "fraction", "A, C, D, G, N, P, S, T, V", _PEPSTATS),
    Feature("polar_fraction", "fraction", "D, E, H, K, N, Q, R, S, T", _PEPSTATS),
    Feature("hydrophobic_fraction", "fraction", "A, C, F, I, L, M, V", f"{_MODLAMP}, HydrophRatio"),
    Feature(
        "charge_density",
        "elementary charges / Da",
        "charge_at_ph7 / molecular_weight",
        f"{_MODLAMP}, ChargeDensity",
    ),
    Feature(
        "hydrophobicity_eisenberg",
        "1",
        "mean normalised consensus hydrophobicity of the residues",
        "Eisenberg et al., J Mol Biol 179:125 (1984)",
    ),
    Feature(
        "flexibility",
        "1",
        "mean normalised B value of the residues, without windows",
        "Vihinen et al., Proteins 19:141 (1994)",
    ),
    Feature(
        "helix_propensity",
        "1",
        "mean normalised frequency in helices of the residues",
        "Chou & Fasman, Adv Enzymol 47:45 (1978), AAindex CHOP780201",
    ),
    Feature(
        "sheet_propensity",
        "1",
        "mean normalised frequency in sheets of the residues",
        "Chou & Fasman, Adv Enzymol 47:45 (1978), AAindex CHOP780202",
    ),
    Feature(
        "composition_entropy",
        "bit",
        "-sum p log2 p over the shares p of the twenty amino acids: 0 for one letter, 4.32 for all",
        "Shannon, Bell Syst Tech J 27:379 (1948)",
    ),
)

# Left out. Boman's index: the implementations in use disagree on proline (0, -2.54, -4.58). The
# half-life: looked up by the first residue, no number to be linear in. Counts of atoms, a charged and a
# non-polar fraction: sums of columns that are here, so that no fit could tell them apart. Hopp and
# Woods's hydrophilicity and absorption with cystines: nearly such sums (on 4,254 meltome proteins
# variance inflation 88,000 and 10,600; without them 1,820 is the most and the condition 223, not 1,082).

_WATER = 18.01524  # Da
_PI_RANGE = (-4.0, 20.0)  # pH; the charge changes sign here up to 1e8 ionisable groups
_HALVINGS = 36  # 24 pH / 2^36 < 1e-9 pH

_MEANS = {  # columns that are a mean over the known residues
    "gravy": HYDROPATHY,
    "aromaticity": of_letters("FWY", 1),
    "aliphatic_index": 100 * of_letters("AVIL", 1, 2.9, 3.9, 3.9),
    "helix_fraction": of_letters("EMALK", 1),
    "turn_fraction": of_letters("NPGSD", 1),
    "sheet_fraction": of_letters("VIYFWLT", 1),
    "positive_fraction": of_letters("KR", 1),
    "negative_fraction": of_letters("DE", 1),
    "cysteine_fraction": of_letters("C", 1),
    "tiny_fraction": of_letters("ACGST", 1),
    "small_fraction": of_letters("ACDGNPSTV", 1),
    "polar_fraction": of_letters("DEHKNQRST", 1),
    "hydrophobic_fraction": of_letters("ACFILMV", 1),
    "hydrophobicity_eisenberg": EISENBERG,
    "flexibility": FLEXIBILITY,
    "helix_propensity": HELIX,
    "sheet_propensity": SHEET,
}

# pK values. The C-terminal carboxyl has 3.55 whatever residue bears it: ProtParam prints 3.80 for
# GGGGD, the mean of 3.55 and the side chain's 4.05.
_BASIC = {"K": 10.0, "R": 12.0, "H": 5.98}
_ACIDIC = {"D": 4.05, "E": 4.45, "C": 9.0, "Y": 10.0}
_C_TERMINUS = 3.55
_N_TERMINI = dict(zip("AMSPTVE", (7.59, 7.0, 6.93, 8.36, 6.82, 7.44, 7.7), strict=True))


def _n_terminus() -> Floats:
    """pK of the amino end by the code of its residue, for both amino acids that it may be: (24, 2)."""
    pK = np.array([_N_TERMINI.get(letter, 7.5) for letter in ALPHABET])
    either = [[pK[ALPHABET.index(letter)] for letter in pair] for pair in EITHER.values()]
    return np.vstack([[7.5, 7.5], np.column_stack([pK, pK]), either])  # a masked one: as most have it


_N_TERMINUS = _n_terminus()


def features(seqs: Iterable[str], *, unknown: str = "error") -> Any:
    """One row a protein, one float64 column for each of `FEATURES`, in that order.

    The frame is of the library that `seqs` is of, else pandas if it is imported, else Polars, else
    an Arrow table; a pandas column's index is kept. `unknown` is that of `clean`; under "drop" the
    rows are those that `clean` keeps. O(residues).

    Raises `SequenceError` as `clean` does, and for a sequence in which every residue is masked.

    >>> frame = features(["MVLSPAD"])
    >>> [round(float(frame[name][0]), 2) for name in ("molecular_weight", "isoelectric_point")]
    [731.86, 3.8]
    """
    cleaned = clean(seqs, unknown=unknown)
    X = feature_matrix(pack(cleaned.sequences))
    return _frame(X, seqs, cleaned.kept)


def feature_matrix(packed: Packed, names: Iterable[str] | None = None) -> Floats:
    """The columns of `FEATURES` for packed sequences, or those named, in that order: (n, f). O(residues).

    Raises `SequenceError` for a sequence in which no residue is known, `UsageError` for other names.
    """
    known_names = [feature.name for feature in FEATURES]
    asked = known_names if names is None else list(names)
    if other := [name for name in asked if name not in known_names]:
        raise UsageError(f"There is no feature {other[0]!r}. {did_you_mean(other[0], known_names)}")
    counts, masked = _counts(packed)
    known = counts.sum(axis=1)  # (n,)
    if not known.all():
        raise SequenceError(_all_masked_text(known))
    groups = _charged_groups(packed, counts)
    residues = counts @ MASS  # Da, known ones
    charge = _charge(groups, np.full(len(known), 7.0))
    absorption = counts @ ABSORPTION
    columns = {
        "length": known + masked,
        "molecular_weight": residues * (1 + masked / known) + _WATER,
        "isoelectric_point": _isoelectric_point(groups, len(known)),
        "instability_index": _instability(packed, known),
        "charge_at_ph7": charge,
        "extinction_coefficient": absorption,
        "absorbance_1_g_per_l": absorption / (residues + _WATER),
        "charge_density": charge / (residues + _WATER),
        "composition_entropy": _entropy(counts / known[:, None]),
    }
    columns |= {name: counts @ scale / known for name, scale in _MEANS.items()}
    return np.column_stack([columns[name] for name in asked])


def _counts(packed: Packed) -> tuple[Floats, Floats]:
    """How often each amino acid occurs, (n, 20), halves where it is one of two, and how many
    residues are masked, (n,)."""
    n, codes = len(packed.lengths), len(PARTS)
    keys = packed.rows * codes + packed.codes
    found = np.bincount(keys, minlength=codes * n).reshape(n, codes).astype(np.float64)
    return found @ PARTS, found[:, 0]


def _entropy(shares: Floats) -> Floats:
    """Bits of a residue drawn at random, from the shares of amino acids (n, 20): (n,)."""
    logs = np.log2(np.where(shares > 0, shares, 1.0))
    return np.asarray(0.0 - (shares * logs).sum(axis=1))


def _instability(packed: Packed, known: Floats) -> Floats:
    """The mean weight of the known pairs times 10 (known - 1) / known: (n,).

    Where no residue is masked this is Guruprasad's 10 / length times the sum.
    """
    if not len(known):
        return known
    codes, start = packed.codes, packed.offsets[:-1]
    first = codes.astype(np.int16)
    pair = np.zeros(len(codes), dtype=np.int16)  # 0 behind the last residue of a sequence
    pair[:-1] = np.where((first[:-1] > 0) & (first[1:] > 0), first[:-1] * len(PARTS) + first[1:], 0)
    pair[packed.offsets[1:] - 1] = 0
    total = np.add.reduceat(PAIRS_BY_CODE.ravel()[pair], start)
    pairs = np.add.reduceat((pair > 0).astype(np.float64), start)
    return 10 * total * (known - 1) / (known * np.maximum(pairs, 1))


@dataclass(frozen=True)
class _Groups:
    """Groups that carry a charge: how many of each (n,), and 10^pK, a number or (n,)."""

    basic: tuple[tuple[Floats, Any], ...]
    acidic: tuple[tuple[Floats, Any], ...]


def _charged_groups(packed: Packed, counts: Floats) -> _Groups:
    """Side chains and both ends. Where a first residue is one of two, each is half an end."""
    one = np.ones(len(counts))
    pK = _N_TERMINUS[packed.codes[packed.offsets[:-1]]].T  # (2, n)
    ends = [(one, pK[0])] if (pK[0] == pK[1]).all() else [(one / 2, pK[0]), (one / 2, pK[1])]
    sides = {a: np.ascontiguousarray(counts[:, ALPHABET.index(a)]) for a in (*_BASIC, *_ACIDIC)}
    basic = [*((sides[a], pk) for a, pk in _BASIC.items()), *ends]
    acidic = [*((sides[a], pk) for a, pk in _ACIDIC.items()), (one, _C_TERMINUS)]
    return _Groups(
        tuple((count, 10.0**pk) for count, pk in basic),
        tuple((count, 10.0**pk) for count, pk in acidic),
    )


def _charge(groups: _Groups, pH: Floats) -> Floats:
    """Henderson and Hasselbalch, summed over the groups, with K = 10^pK and q = 10^pH: (n,).

    A basic group is charged to K / (K + q), an acidic one to q / (K + q).
    """
    q = 10.0**pH  # (n,)
    positive = sum(count * (K / (K + q)) for count, K in groups.basic)
    negative = sum(count * (q / (K + q)) for count, K in groups.acidic)
    return np.asarray(positive - negative)


def _isoelectric_point(groups: _Groups, n: int) -> Floats:
    """Where the charge is zero, by bisection on all proteins at once: (n,).

    The charge falls steadily with pH, so there is one such place. The two termini alone make the
    charge positive at the lower end of the range and negative at the upper one.
    """
    low, high = (np.full(n, end) for end in _PI_RANGE)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = _charge(groups, middle) > 0  # the zero lies at a higher pH
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def _frame(X: Floats, seqs: object, kept: NDArray[np.int64]) -> Any:
    """The matrix as a frame of a library that is already imported, else as an Arrow table."""
    columns = {feature.name: X[:, j].copy() for j, feature in enumerate(FEATURES)}
    own = type(seqs).__module__.partition(".")[0]
    known = [own] if own in ("pandas", "polars", "pyarrow") else ["pandas", "polars"]
    library = next((name for name in known if name in sys.modules), "pyarrow")
    if library == "pyarrow":
        import pyarrow as pa

        from leastwise import arrow

        return pa.table({name: arrow.numbers(values) for name, values in columns.items()})
    index = {"index": seqs.index[kept]} if own == "pandas" and hasattr(seqs, "index") else {}
    return sys.modules[library].DataFrame(columns, **index)


def _all_masked_text(known: Floats) -> str:
    rows = np.flatnonzero(known == 0)
    return (
        f"In {plural(len(rows), 'sequence')} of {len(known):,} (first: sequence {rows[0] + 1:,}) "
        "every residue is masked. One known residue at least is needed. Leave those sequences out."
    )
