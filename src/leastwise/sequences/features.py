"""Numbers that describe a whole protein, equal to what ExPASy's ProtParam prints.

    packed codes -> counts (n, 20) -> sums and means over residues -> one column each
                 -> pairs of neighbours                            -> instability index
                 -> charged groups (n, 9)                          -> pI, charge at pH 7

Residues that are masked (X) are unknown, and nothing is diluted by them: means and fractions are
over the known residues, `length` counts all, `molecular_weight` takes an unknown residue for one of
the protein's mean mass, and charges, pI and absorption are those of the known residues alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import SequenceError, plural
from leastwise.sequences.clean import ALPHABET, Packed, clean, pack

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
)

# Boman's index is left out: the implementations in use disagree on proline (0, -2.54, -4.58).

_WATER = 18.01524  # Da
_PI_RANGE = (-4.0, 20.0)  # pH; the charge changes sign here up to 1e8 ionisable groups
_HALVINGS = 36  # 24 pH / 2^36 < 1e-9 pH


def _of(letters: str, *values: float) -> Floats:
    """A value for each amino acid in the order of ALPHABET, zero for those not named: (20,)."""
    scale = np.zeros(len(ALPHABET))
    scale[[ALPHABET.index(letter) for letter in letters]] = values
    return scale


# fmt: off
_MASS = _of(  # Da
    ALPHABET,
    71.0788, 103.1388, 115.0886, 129.1155, 147.1766, 57.0519, 137.1411, 113.1594, 128.1741,
    113.1594, 131.1926, 114.1038, 97.1167, 128.1307, 156.1875, 87.0782, 101.1051, 99.1326,
    186.2132, 163.1760,
)
_HYDROPATHY = _of(
    ALPHABET,
    1.8, 2.5, -3.5, -3.5, 2.8, -0.4, -3.2, 4.5, -3.9, 3.8,
    1.9, -3.5, -1.6, -3.5, -4.5, -0.8, -0.7, 4.2, -0.9, -1.3,
)
# fmt: on
_ABSORPTION = _of("WY", 5500, 1490)

_MEANS = {  # columns that are a mean over the known residues
    "gravy": _HYDROPATHY,
    "aromaticity": _of("FWY", 1),
    "aliphatic_index": 100 * _of("AVIL", 1, 2.9, 3.9, 3.9),
    "helix_fraction": _of("EMALK", 1),
    "turn_fraction": _of("NPGSD", 1),
    "sheet_fraction": _of("VIYFWLT", 1),
    "positive_fraction": _of("KR", 1),
    "negative_fraction": _of("DE", 1),
    "cysteine_fraction": _of("C", 1),
}

# Weight of a pair: row the first residue, column the second, both in the order of ALPHABET.
_WEIGHTS = {
    "a": 58.28, "b": 44.94, "c": 33.601, "d": 33.6, "e": 24.68, "f": 24.64, "g": 20.26, "h": 18.38,
    "i": 13.34, ".": 1.0, "j": -1.88, "k": -6.54, "l": -7.49, "m": -9.37, "n": -14.03, "o": -15.91,
}  # fmt: skip
_PAIRS = """
   ACDEFGHIKLMNPQRSTVWY
 A .bl...l.....g.......
 C ..g...d..gd.gk..dke.
 D ....k...l.....kgn...
 E .bgd..kg....gg.g..n.
 F ..i.....n...g......c
 G l..k.i.ll..l....l.il
 H ....mm.be..ej...k.jb
 I ...b..i.lg..j....l..
 K .....l.l.ld.kfd..l..
 L ........l...gdg...e.
 M i.....a...j.bkkbj..e
 N .j..nn.be...jk..l.m.
 P gkkhg.....k.ggkg.gj.
 Q .kggk.......gg.b.k.k
 R .....lg....iggab..ak
 S .d.g........bggg....
 T ...gil.....n.k....n.
 V ..n..l..j...g...l..k
 W n....me..iei....nl..
 Y e.ek.li...b.i.o.l.mi
"""


def _pair_weights() -> Floats:
    """The block above as numbers, a row and a column of zeros before it for code 0: (21, 21)."""
    rows = [line.split()[1] for line in _PAIRS.split("\n")[2:-1]]
    weights = np.zeros((21, 21))
    weights[1:, 1:] = [[_WEIGHTS[letter] for letter in row] for row in rows]
    return weights


_PAIR_WEIGHTS = _pair_weights()

# pK values. The C-terminal carboxyl has 3.55 whatever residue bears it: ProtParam prints 3.80 for
# GGGGD, the mean of 3.55 and the side chain's 4.05.
_BASIC = {"K": 10.0, "R": 12.0, "H": 5.98}
_ACIDIC = {"D": 4.05, "E": 4.45, "C": 9.0, "Y": 10.0}
_C_TERMINUS = 3.55
_N_TERMINUS = np.full(21, 7.5)  # by code of the first residue, 0 being a masked one
for _letter, _pk in zip("AMSPTVE", (7.59, 7.0, 6.93, 8.36, 6.82, 7.44, 7.7), strict=True):
    _N_TERMINUS[ALPHABET.index(_letter) + 1] = _pk


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


def feature_matrix(packed: Packed) -> Floats:
    """The columns of `FEATURES` for packed sequences: (n, f)."""
    counts, masked = _counts(packed)
    known = counts.sum(axis=1)  # (n,)
    if not known.all():
        raise SequenceError(_all_masked_text(known))
    groups = _charged_groups(packed, counts)
    columns = {
        "length": known + masked,
        "molecular_weight": counts @ _MASS * (1 + masked / known) + _WATER,
        "isoelectric_point": _isoelectric_point(groups, len(known)),
        "instability_index": _instability(packed, known),
        "charge_at_ph7": _charge(groups, np.full(len(known), 7.0)),
        "extinction_coefficient": counts @ _ABSORPTION,
    }
    columns |= {name: counts @ scale / known for name, scale in _MEANS.items()}
    return np.column_stack([columns[feature.name] for feature in FEATURES])


def _counts(packed: Packed) -> tuple[Floats, Floats]:
    """How often each amino acid occurs, (n, 20), and how many residues are masked, (n,)."""
    n = len(packed.lengths)
    keys = packed.rows * 21 + packed.codes
    counts = np.bincount(keys, minlength=21 * n).reshape(n, 21).astype(np.float64)
    return counts[:, 1:], counts[:, 0]


def _instability(packed: Packed, known: Floats) -> Floats:
    """The mean weight of the known pairs times 10 (known - 1) / known: (n,).

    Where no residue is masked this is Guruprasad's 10 / length times the sum.
    """
    if not len(known):
        return known
    codes, start = packed.codes, packed.offsets[:-1]
    first = codes.astype(np.int16)
    pair = np.zeros(len(codes), dtype=np.int16)  # 0 behind the last residue of a sequence
    pair[:-1] = np.where((first[:-1] > 0) & (first[1:] > 0), first[:-1] * 21 + first[1:], 0)
    pair[packed.offsets[1:] - 1] = 0
    total = np.add.reduceat(_PAIR_WEIGHTS.ravel()[pair], start)
    pairs = np.add.reduceat((pair > 0).astype(np.float64), start)
    return 10 * total * (known - 1) / (known * np.maximum(pairs, 1))


@dataclass(frozen=True)
class _Groups:
    """How many basic and acidic groups there are, and 10^pK of each."""

    basic: Floats  # (n, 4)
    acidic: Floats  # (n, 5)
    K_basic: Floats  # (n, 4)
    K_acidic: Floats  # (5,)


def _charged_groups(packed: Packed, counts: Floats) -> _Groups:
    one = np.ones((len(counts), 1))
    terminus = _N_TERMINUS[packed.codes[packed.offsets[:-1]]]  # (n,)
    pK_basic = np.column_stack([np.tile([*_BASIC.values()], (len(counts), 1)), terminus])
    return _Groups(
        basic=np.hstack([counts[:, [ALPHABET.index(a) for a in _BASIC]], one]),
        acidic=np.hstack([counts[:, [ALPHABET.index(a) for a in _ACIDIC]], one]),
        K_basic=10.0**pK_basic,
        K_acidic=10.0 ** np.array([*_ACIDIC.values(), _C_TERMINUS]),
    )


def _charge(groups: _Groups, pH: Floats) -> Floats:
    """Henderson and Hasselbalch, summed over the groups, with K = 10^pK and q = 10^pH: (n,).

    A basic group is charged to K / (K + q), an acidic one to q / (K + q).
    """
    q = 10.0 ** pH[:, None]  # (n, 1)
    positive = groups.basic * groups.K_basic / (groups.K_basic + q)
    negative = groups.acidic * q / (groups.K_acidic + q)
    return np.asarray(positive.sum(axis=1) - negative.sum(axis=1))


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
