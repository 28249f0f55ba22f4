"""Published letters and numbers of the twenty amino acids, with their sources.

    scale (20,)       one number a residue: mass, hydropathy, propensity, ...
    table (20, c)     several numbers a residue: BLOSUM62, z-scales
    PARTS (24, 20)    what a packed code stands for: nothing (0), one amino acid (1 to 20), or two

Numbers are in the order of ALPHABET. `by_code` reads any of them by packed code: B, Z and J are the
mean of the two that they may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ALPHABET",
    "BLOSUM62",
    "EITHER",
    "PARTS",
    "TAGS",
    "Z_SCALES",
    "body",
    "by_code",
    "of_letters",
    "tags",
]

Floats = NDArray[np.float64]

ALPHABET = "ACDEFGHIKLMNPQRSTVWY"
EITHER = {"B": "DN", "Z": "EQ", "J": "IL"}  # IUPAC-IUB, Eur J Biochem 138:9 (1984); J: PIR and NMR

# What is added to purify a protein or to find it: Terpe, Appl Microbiol Biotechnol 60:523 (2003).
TAGS = {"His": "H{6,}", "FLAG": "DYKDDDDK", "Strep": "WSHPQFEK", "myc": "EQKLISEEDL", "HA": "YPYDVPDYA"}
NEAR = 30  # a tag lies wholly within that many residues of an end
_TAG = re.compile("|".join(f"(?P<{name}>{letters})" for name, letters in TAGS.items()))


def tags(sequence: str) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of each tag that lies within 30 residues of an end, from 0. O(residues).

    Letters are all it knows: the human Myc protein, from which its tag was taken, is found by it.

    >>> list(tags("MGSSHHHHHHSSG" + 40 * "A"))
    [('His', 4, 10)]
    """
    for match in _TAG.finditer(sequence):
        if match.end() <= NEAR or match.start() >= len(sequence) - NEAR:
            yield str(match.lastgroup), *match.span()


def body(sequence: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """Where the protein begins and ends without its tags, and the innermost tag at either end.

    A tag belongs to the end that is nearer to its middle.
    """
    begin, end = (0, ""), (len(sequence), "")
    for name, start, stop in tags(sequence):
        if start + stop <= len(sequence):
            begin = (stop, name)
        elif not end[1]:
            end = (start, name)
    return begin, end


def of_letters(letters: str, *values: float) -> Floats:
    """A value for each amino acid in the order of ALPHABET, zero for those not named: (20,).

    One value is given to all the letters, several are given to one each.

    >>> of_letters("WY", 5500, 1490)[-2:].tolist()
    [5500.0, 1490.0]
    """
    scale = np.zeros(len(ALPHABET))
    scale[[ALPHABET.index(letter) for letter in letters]] = values
    return scale


def _parts() -> Floats:
    """The share of each amino acid in each packed code: (24, 20)."""
    masked, either = np.zeros(20), [of_letters(pair, 0.5) for pair in EITHER.values()]
    return np.vstack([masked, np.eye(20), *either])


PARTS = _parts()


def by_code(table: Floats) -> Floats:
    """A scale (20,) or table (20, c) by packed code: (24,) or (24, c); zero for a masked residue."""
    return np.asarray(PARTS @ table)


# fmt: off
MASS = of_letters(  # Da, average isotopic masses of residues: ExPASy FindMod
    ALPHABET,
    71.0788, 103.1388, 115.0886, 129.1155, 147.1766, 57.0519, 137.1411, 113.1594, 128.1741,
    113.1594, 131.1926, 114.1038, 97.1167, 128.1307, 156.1875, 87.0782, 101.1051, 99.1326,
    186.2132, 163.1760,
)
HYDROPATHY = of_letters(  # Kyte & Doolittle, J Mol Biol 157:105 (1982)
    ALPHABET,
    1.8, 2.5, -3.5, -3.5, 2.8, -0.4, -3.2, 4.5, -3.9, 3.8,
    1.9, -3.5, -1.6, -3.5, -4.5, -0.8, -0.7, 4.2, -0.9, -1.3,
)
EISENBERG = of_letters(  # normalised consensus: Eisenberg et al., J Mol Biol 179:125 (1984)
    ALPHABET,
    0.62, 0.29, -0.90, -0.74, 1.19, 0.48, -0.40, 1.38, -1.50, 1.06,
    0.64, -0.78, 0.12, -0.85, -2.53, -0.18, -0.05, 1.08, 0.81, 0.26,
)
FLEXIBILITY = of_letters(  # normalised B values: Vihinen et al., Proteins 19:141 (1994)
    ALPHABET,
    0.984, 0.906, 1.068, 1.094, 0.915, 1.031, 0.950, 0.927, 1.102, 0.935,
    0.952, 1.048, 1.049, 1.037, 1.008, 1.046, 0.997, 0.931, 0.904, 0.929,
)
HELIX = of_letters(  # Chou & Fasman, Adv Enzymol 47:45 (1978), AAindex CHOP780201
    ALPHABET,
    1.42, 0.70, 1.01, 1.51, 1.13, 0.57, 1.00, 1.08, 1.16, 1.21,
    1.45, 0.67, 0.57, 1.11, 0.98, 0.77, 0.83, 1.06, 1.08, 0.69,
)
SHEET = of_letters(  # Chou & Fasman, Adv Enzymol 47:45 (1978), AAindex CHOP780202
    ALPHABET,
    0.83, 1.19, 0.54, 0.37, 1.38, 0.75, 0.87, 1.60, 0.74, 1.30,
    1.05, 0.89, 0.55, 1.10, 0.93, 0.75, 1.19, 1.70, 1.37, 1.47,
)
# fmt: on
ABSORPTION = of_letters("WY", 5500, 1490)  # 1/(M cm) at 280 nm: Pace et al., Protein Sci 4:2411 (1995)

# Weight of a pair of neighbours in the instability index: row the first residue, column the
# second. Guruprasad et al., Protein Eng 4:155 (1990), as in Biopython.
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

# Henikoff & Henikoff, PNAS 89:10915 (1992), in half bits, as NCBI's BLAST has it.
_BLOSUM62 = """
   A  C  D  E  F  G  H  I  K  L  M  N  P  Q  R  S  T  V  W  Y
A  4  0 -2 -1 -2  0 -2 -1 -1 -1 -1 -2 -1 -1 -1  1  0  0 -3 -2
C  0  9 -3 -4 -2 -3 -3 -1 -3 -1 -1 -3 -3 -3 -3 -1 -1 -1 -2 -2
D -2 -3  6  2 -3 -1 -1 -3 -1 -4 -3  1 -1  0 -2  0 -1 -3 -4 -3
E -1 -4  2  5 -3 -2  0 -3  1 -3 -2  0 -1  2  0  0 -1 -2 -3 -2
F -2 -2 -3 -3  6 -3 -1  0 -3  0  0 -3 -4 -3 -3 -2 -2 -1  1  3
G  0 -3 -1 -2 -3  6 -2 -4 -2 -4 -3  0 -2 -2 -2  0 -2 -3 -2 -3
H -2 -3 -1  0 -1 -2  8 -3 -1 -3 -2  1 -2  0  0 -1 -2 -3 -2  2
I -1 -1 -3 -3  0 -4 -3  4 -3  2  1 -3 -3 -3 -3 -2 -1  3 -3 -1
K -1 -3 -1  1 -3 -2 -1 -3  5 -2 -1  0 -1  1  2  0 -1 -2 -3 -2
L -1 -1 -4 -3  0 -4 -3  2 -2  4  2 -3 -3 -2 -2 -2 -1  1 -2 -1
M -1 -1 -3 -2  0 -3 -2  1 -1  2  5 -2 -2  0 -1 -1 -1  1 -1 -1
N -2 -3  1  0 -3  0  1 -3  0 -3 -2  6 -2  0  0  1  0 -3 -4 -2
P -1 -3 -1 -1 -4 -2 -2 -3 -1 -3 -2 -2  7 -1 -2 -1 -1 -2 -4 -3
Q -1 -3  0  2 -3 -2  0 -3  1 -2  0  0 -1  5  1  0 -1 -2 -2 -1
R -1 -3 -2  0 -3 -2  0 -3  2 -2 -1  0 -2  1  5 -1 -1 -3 -3 -2
S  1 -1  0  0 -2  0 -1 -2  0 -2 -1  1 -1  0 -1  4  1 -2 -3 -2
T  0 -1 -1 -1 -2 -2 -2 -1 -1 -1 -1  0 -1 -1 -1  1  5  0 -2 -2
V  0 -1 -3 -2 -1 -3 -3  3 -2  1  1 -3 -2 -2 -3 -2  0  4 -3 -1
W -3 -2 -4 -3  1 -2 -2 -3 -3 -2 -1 -4 -4 -2 -3 -3 -2 -3 11  2
Y -2 -2 -3 -2  3 -3  2 -1 -2 -1 -1 -2 -3 -1 -2 -2 -2 -1  2  7
"""

# z1 lipophilicity, z2 size, z3 polarity and charge, z4 and z5 electronic. Sandberg et al., J Med
# Chem 41:2481 (1998). Several programs carry -0.34 for z4 of E; the paper has -3.04.
_Z_SCALES = """
A  0.24 -2.32  0.60 -0.14  1.30
C  0.84 -1.67  3.71  0.18 -2.65
D  3.98  0.93  1.93 -2.46  0.75
E  3.11  0.26 -0.11 -3.04 -0.25
F -4.22  1.94  1.06  0.54 -0.62
G  2.05 -4.06  0.36 -0.82 -0.38
H  2.47  1.95  0.26  3.90  0.09
I -3.89 -1.73 -1.71 -0.84  0.26
K  2.29  0.89 -2.49  1.49  0.31
L -4.28 -1.30 -1.49 -0.72  0.84
M -2.85 -0.22  0.47  1.94 -0.98
N  3.05  1.62  1.04 -1.15  1.61
P -1.66  0.27  1.84  0.70  2.00
Q  1.75  0.50 -1.44 -1.34  0.66
R  3.52  2.50 -3.50  1.99 -0.17
S  2.39 -1.07  1.15 -1.39  0.67
T  0.75 -2.18 -1.12 -1.46 -0.40
V -2.59 -2.64 -1.54 -0.85 -0.02
W -4.36  3.94  0.59  3.44 -1.59
Y -2.54  2.44  0.43  0.04 -1.47
"""


def _numbers(block: str) -> Floats:
    """The lines of a block that begin with an amino acid and go on in numbers: (20, c)."""
    lines = [line.split() for line in block.split("\n") if line[:1].isalpha()]
    return np.array([words[1:] for words in lines], dtype=np.float64)


def _pair_weights() -> Floats:
    """The weights of known pairs: (20, 20)."""
    lines = [line.split() for line in _PAIRS.strip().split("\n")[1:]]
    return np.array([[_WEIGHTS[letter] for letter in words[1]] for words in lines])


PAIR_WEIGHTS = _pair_weights()  # (20, 20)
PAIRS_BY_CODE = PARTS @ PAIR_WEIGHTS @ PARTS.T  # (24, 24), zero beside a masked residue
BLOSUM62 = _numbers(_BLOSUM62)  # (20, 20)
Z_SCALES = _numbers(_Z_SCALES)  # (20, 5)
