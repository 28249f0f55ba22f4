"""NIST's certified regressions from their own decimals, and designs whose exact answer is a fraction.

The twin is the normal equations in `Fraction`: slow, obvious, and without rounding. Source of the sets:
NIST/ITL Statistical Reference Datasets, linear regression, doi 10.18434/T43G6C.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import leastwise as lw

SETS = ("Norris", "NoInt1", "Filip", "Longley", "Wampler1", "Wampler3", "Wampler5")
DIGITS = 13
# The noise that Wampler added to his polynomial of degree 5, in rows x = 0 to 20
WAMPLER_NOISE = (
    759, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 1838, -2048, 2048,
    -2048, 1838, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 759,
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """A regression in decimals: texts of y (n,) and of each plain column, and the powers asked of it."""

    y: Sequence[str]
    columns: Mapping[str, Sequence[str]]
    degree: int = 1
    intercept: bool = True

    def design(self) -> list[list[Fraction]]:
        """The columns of the design, ones first where there is an intercept."""
        X = [[Fraction(cell) for cell in column] for column in self.columns.values()]
        powers = [[x**d for x in column] for column in X for d in range(1, self.degree + 1)]
        return [[Fraction(1)] * len(self.y), *powers] if self.intercept else powers

    def fit(self, folder: Path, precision: str) -> lw.Fit:
        """The fit of these decimals, read from CSV."""
        lines = [("y", *self.columns), *zip(self.y, *self.columns.values(), strict=True)]
        path = folder / "given.csv"
        path.write_text("\n".join(map(",".join, lines)) + "\n")
        features = [lw.poly(name, self.degree) for name in self.columns] if self.degree > 1 else None
        return lw.fit(path, "y", features=features, intercept=self.intercept, precision=precision, folds=0)


@dataclass(frozen=True)
class Numbers:
    """Coefficients and standard errors, the intercept first, and the residual SD."""

    coef: Sequence[float]
    errors: Sequence[float]
    sd: float

    @property
    def all(self) -> list[float]:
        return [*self.coef, *self.errors, self.sd]


def found(fit: lw.Fit) -> Numbers:
    """What a fit says: `s^2 = rss / (n - r)`, standard errors the roots of the diagonal of `s^2 W'W`."""
    s = fit.solution
    one = int(s.fits_intercept)
    assert s.kept.all(), f"{s.dropped} and {s.constant} were left out"
    sd = math.sqrt(s.rss[0] / (s.n - len(s.kept) - one))
    errors = sd * np.sqrt((s.root**2).sum(axis=0))
    return Numbers([*s.intercept[:one].tolist(), *s.coef[0].tolist()], errors.tolist(), sd)


def exact(given: Given) -> Numbers:
    """The same in fractions, each number rounded once at the end."""
    Z, y = given.design(), [Fraction(cell) for cell in given.y]
    r = len(Z)
    A = [
        [*(dot(a, b) for b in Z), dot(a, y), *(Fraction(i == j) for j in range(r))] for i, a in enumerate(Z)
    ]
    for i in range(r):
        A[i] = [v / A[i][i] for v in A[i]]
        for j in set(range(r)) - {i}:
            A[j] = [v - A[j][i] * u for v, u in zip(A[j], A[i], strict=True)]
    coef = [row[r] for row in A]
    residual = [
        v - sum(b * x for b, x in zip(coef, row, strict=True)) for v, *row in zip(y, *Z, strict=True)
    ]
    variance = dot(residual, residual) / (len(y) - r)
    errors = [root(variance * A[j][r + 1 + j]) for j in range(r)]
    return Numbers([float(b) for b in coef], errors, root(variance))


def dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((u * v for u, v in zip(a, b, strict=True)), Fraction(0))


def root(value: Fraction) -> float:
    """The square root of a fraction to 100 bits and more, rounded once."""
    bits = max(0, 128 + value.denominator.bit_length() - value.numerator.bit_length())
    return float(Fraction(math.isqrt((value.numerator << 2 * bits) // value.denominator), 1 << bits))


def digits(mine: float, true: str | float, unit: float) -> float:
    """Correct digits; of what is truly 0, in units of `unit`."""
    certain = Fraction(true)
    error = abs(Fraction(mine) - certain) / (abs(certain) or Fraction(unit))
    return -math.log10(error) if error else math.inf


def ulps(mine: float, true: float) -> float:
    """How many float64 lie between two."""
    return abs(mine - true) / float(np.spacing(abs(true)))


# ---- NIST's sets ----


def certified(shared: Path, name: str) -> tuple[Given, list[str]]:
    """A set as NIST wrote it, and its certified numbers in the order of `Numbers.all`."""
    folder = shared / "nist_strd"
    said = json.loads((folder / "certified.json").read_text())[name]
    first, last = said["data_lines"]
    y, *X = zip(
        *map(str.split, (folder / said["file"]).read_text().splitlines()[first - 1 : last]), strict=True
    )
    parameters = said["parameters"]
    degree = len(parameters) - said["intercept"] if len(X) == 1 else 1
    texts = [b[key] for key in ("estimate", "std_error") for b in parameters]
    columns = dict(zip(said["columns"][1:], X, strict=True))
    return Given(y, columns, degree, said["intercept"]), [*texts, said["residual_sd"]]


def test_all_sets_of_the_folder_are_listed(shared):
    assert set(json.loads((shared / "nist_strd/certified.json").read_text())) == set(SETS)


@pytest.mark.parametrize("precision", ["exact", "auto"])
@pytest.mark.parametrize("name", SETS)
def test_every_certified_number_is_met_to_13_digits(name, precision, shared, tmp_path):
    given, texts = certified(shared, name)
    unit = max(abs(float(cell)) for cell in given.y)
    fit = given.fit(tmp_path, precision)
    assert fit.solution.precision == "exact"  # these sets are small: auto takes the exact way at once
    for mine, true in zip(found(fit).all, texts, strict=True):
        assert digits(mine, true, unit) >= DIGITS, f"{mine!r} is not {true}"


@pytest.mark.parametrize("name", SETS)
def test_certified_numbers_are_met_to_one_unit_of_the_last_printed_digit(name, shared, tmp_path):
    # NIST prints 15 digits. A number that is right to the last of them may count as 14.3, for
    # 1.00211681802045 may be half a unit, 5e-15, from the truth. A whole unit is allowed: half of it for
    # NIST's rounding, half for ours (2 ulp are up to 4.4e-16, and a unit at least 1e-15 of the number).
    given, texts = certified(shared, name)
    for mine, true in zip(found(given.fit(tmp_path, "exact")).all, texts, strict=True):
        last = Decimal(1).scaleb(Decimal(true).adjusted() - 14) if Decimal(true) else Decimal(0)
        assert abs(Decimal(mine) - Decimal(true)) <= last, f"{mine!r} is not {true}"


@pytest.mark.parametrize("name", SETS)
def test_coefficients_of_certified_sets_are_the_nearest_float64(name, shared, tmp_path):
    # Powers by lw.poly hold 102 bits and Filip's condition of 2e15 takes 51 of them: 1 ulp, were it unlucky
    given, _ = certified(shared, name)
    assert_nearest(found(given.fit(tmp_path, "exact")), exact(given))


def assert_nearest(mine: Numbers, true: Numbers) -> None:
    """Coefficients and residual SD to 1 ulp; standard errors to 4, as their root is summed in float64."""
    for a, b in zip(mine.coef, true.coef, strict=True):
        assert ulps(a, b) <= 1, f"coefficient {a!r} is not {b!r}"
    for a, b in zip(mine.errors, true.errors, strict=True):
        assert ulps(a, b) <= 4, f"standard error {a!r} is not {b!r}"
    assert ulps(mine.sd, true.sd) <= 2, f"residual SD {mine.sd!r} is not {true.sd!r}"


def test_the_twin_itself_meets_the_certified_numbers(shared):
    given, texts = certified(shared, "Longley")
    for mine, true in zip(exact(given).all, texts, strict=True):
        assert digits(mine, true, 1.0) >= 14


# ---- designs by formula ----


def wampler(noise: int, base: Fraction = Fraction(1)) -> Given:
    """`y = sum_d (base x)^d + noise e`, x = 0 to 20: (0) is Wampler1, (0, 1/10) Wampler2, (100) Wampler4"""
    line = [sum(((base * x) ** d for d in range(6)), Fraction(0)) for x in range(21)]
    y = [v + noise * e for v, e in zip(line, WAMPLER_NOISE, strict=True)]
    return Given([decimal(v) for v in y], {"x": [str(x) for x in range(21)]}, degree=5)


def decimal(value: Fraction) -> str:
    """A fraction that is a finite decimal, in full."""
    places = next(p for p in range(60) if (value * 10**p).denominator == 1)
    return f"{Decimal((value * 10**places).numerator).scaleb(-places):f}"


def pontius() -> Given:
    """A parabola nearly straight over loads to 3,000,000, each measured twice to five decimals."""
    x = [150_000 * i for i in range(1, 21)] * 2
    y = [
        Fraction(7321 * v, 10**10) - Fraction(316 * v * v, 10**17) + Fraction(i * i % 41, 10**5)
        for i, v in enumerate(x)
    ]
    return Given([decimal(round(v, 5)) for v in y], {"x": [str(v) for v in x]}, degree=2)


def levels(replicates: int) -> Given:
    """Means of nine levels that differ by tenths at 1e12: NIST's SmLs07 to 09 in kind."""
    cells = [(level, i) for level in range(9) for i in range(replicates)]
    y = [Fraction(10**13 + 4 + level % 3 + (i % 2) * 2 - 1, 10) for level, i in cells]
    columns = {f"is{j}": [str(int(level == j)) for level, _ in cells] for j in range(1, 9)}
    return Given([decimal(v) for v in y], columns)


DESIGNS = {
    "Wampler2": wampler(0, Fraction(1, 10)),
    "Wampler4": wampler(100),
    "Wampler4 in decimals": wampler(100, Fraction(1, 10)),
    "NoInt2": Given(["3", "4", "4"], {"x": ["4", "5", "6"]}, intercept=False),
    "Pontius in kind": pontius(),
    "SmLs07 in kind": levels(21),
    "SmLs08 in kind": levels(201),
    "tenths": Given(["0.1", "0.2", "0.4", "0.3"], {"x": ["0.1", "0.2", "0.3", "0.7"]}),
}


@pytest.mark.parametrize("precision", ["exact", "auto"])
@pytest.mark.parametrize("given", DESIGNS.values(), ids=DESIGNS)
def test_designs_by_formula_are_met_to_the_last_bits(given, precision, tmp_path):
    assert_nearest(found(given.fit(tmp_path, precision)), exact(given))


def test_an_exact_fit_in_decimals_leaves_nothing(tmp_path):
    # NIST certifies 1, 0.1, ..., 0.00001 for Wampler2 and 0 for all else. In float64 its y are not on a
    # polynomial: only a reader that keeps 0.1 as 1/10 can find this.
    mine = found(DESIGNS["Wampler2"].fit(tmp_path, "exact"))
    assert mine.coef == [1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001]
    assert mine.errors == [0.0] * 6
    assert mine.sd == 0.0


def test_certified_numbers_of_sets_that_are_short_enough_to_stand_here(tmp_path):
    noint2 = found(DESIGNS["NoInt2"].fit(tmp_path, "exact")).all
    for mine, true in zip(
        noint2, ["0.727272727272727", "0.0420827318078432", "0.369274472937998"], strict=True
    ):
        assert digits(mine, true, 1.0) >= DIGITS
    wampler4 = found(DESIGNS["Wampler4"].fit(tmp_path, "exact"))
    assert wampler4.coef == [1.0] * 6
    # a hundred times the noise of Wampler3: a hundred times its residual SD, 2360.14502379268
    assert digits(wampler4.sd, "236014.502379268", 1.0) >= DIGITS


def test_decimals_and_their_nearest_float64_have_answers_of_their_own(tmp_path):
    # as float64 Wampler2's y are on no polynomial and leave residuals; as decimals they are, and leave none
    given = DESIGNS["Wampler2"]
    x, y = (np.array(cells, np.float64) for cells in (given.columns["x"], given.y))
    fit = lw.fit((x[:, None] ** np.arange(1, 6), y), precision="exact", folds=0)
    assert 0 < fit.solution.rss[0] < 1e-27
    assert given.fit(tmp_path, "exact").solution.rss[0] == 0
