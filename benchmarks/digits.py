"""Correct digits: ours beside others' on NIST's certified sets, and on problems made to be hard.

Digits are `-log10(|found - true| / |true|)` of the worst coefficient, the worst standard error and the
residual standard deviation, between 0 and 15. What is truly 0 is judged in units of max |y|.
NIST's sets are read from CSV with NIST's own decimals; the truth of the others is a solution in whole
numbers of exactly the numbers that were given.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import leastwise as lw
from benchmarks.table import Table, installed

Array = NDArray[Any]  # of float64 where nothing else is said
MOST = 15.0  # NIST prints 15 digits, and a float64 holds no more for certain
SEED, N, N_POWERS, DEGREE = 0, 100_000, 12_000, 22  # so many rows that "auto" is not exact at once
MEASURES = ("coefficients", "standard errors", "residual SD")


@dataclass(frozen=True)
class Answer:
    """Coefficients and standard errors (r,), the intercept first, and the residual SD."""

    coef: Array
    errors: Array | None
    sd: float


@dataclass(frozen=True)
class Problem:
    """What is given to us (`source`, `asked`) and to others (`A`, `y`), and the truth."""

    name: str
    source: Any
    asked: dict[str, Any]
    A: Array  # (n, r); ones first where there is an intercept
    y: Array  # (n,)
    truth: Answer
    intercept: bool = True


# ---- the two tables ----


def run(options: Namespace) -> dict[str, Table]:
    """NIST's sets, and the hostile problems."""
    return {"digits": nist_table(options.data / "nist_strd"), "hostile": hostile_table()}


def nist_table(folder: Path) -> Table:
    title = "digits: correct digits on NIST's certified sets"
    if not (folder / "certified.json").exists():
        return Table(title, [], [f"{folder.name} is not there (--data FOLDER)"])
    notes = Notes(
        "we read NIST's decimals from CSV, powers by lw.poly; others get float64 and powers of float64",
        "NIST prints 15 digits: an answer that is right to the last of them may count as 14.3",
    )
    with tempfile.TemporaryDirectory() as place:
        rows: list[Mapping[str, Any]] = [
            row for problem in nist(folder, Path(place)) for row in measured(problem, notes)
        ]
    return Table(title, rows, notes.lines())


def hostile_table() -> Table:
    notes = Notes(
        f"{N:,} rows ({N_POWERS:,} of powers), too many for auto to be exact at once; seed {SEED}",
        "truth: the normal equations of the very numbers that were given, in whole numbers",
        "nanoseconds: int64, which no float64 holds; others get the nearest float64",
    )
    rows: list[Mapping[str, Any]] = [row for problem in hostile() for row in measured(problem, notes)]
    return Table("hostile: correct digits on problems made to be hard", rows, notes.lines())


class Notes:
    """What stands below a table: how it was made, and what solvers did in which problems."""

    def __init__(self, *made: str) -> None:
        self.made, self.seen = made, dict[str, list[str]]()

    def add(self, what: str, problem: str) -> None:
        self.seen.setdefault(what, []).append(problem)

    def lines(self) -> list[str]:
        return [
            f"correct digits of the worst of them, {MOST:.0f} at most; what is 0 in units of max |y|",
            "a dash: numpy, scikit-learn and torch give no standard errors",
            f"beside the versions above: {installed('statsmodels')}, {installed('torch')}",
            *(f"{name} is not installed: left out" for name in PACKAGES if find_spec(name) is None),
            *self.made,
            *(f"{what}: {', '.join(problems)}" for what, problems in self.seen.items()),
        ]


def measured(problem: Problem, notes: Notes) -> list[dict[str, Any]]:
    """The three rows of a problem; what a solver raises stands where its digits would."""
    cells: dict[str, list[Any]] = {}
    for name, solve in solvers(problem, notes).items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cells[name] = digits(solve(), problem)
        except Exception as error:  # whatever a peer raises is its result
            cells[name] = [type(error).__name__] * len(MEASURES)
            notes.add(f"{name} raised {type(error).__name__} ({str(error).splitlines()[0]})", problem.name)
    return [
        {"problem": problem.name, "digits of": what, **{name: found[i] for name, found in cells.items()}}
        for i, what in enumerate(MEASURES)
    ]


def digits(found: Answer, problem: Problem) -> list[float | None]:
    """Correct digits of the worst coefficient, the worst standard error, the residual SD."""
    true, unit = problem.truth, float(np.abs(problem.y).max())
    pairs: list[tuple[Any, Any]] = [(found.coef, true.coef), (found.errors, true.errors)]
    pairs.append(([found.sd], [true.sd]))
    return [
        None if a is None else round(min(correct(x, y, unit) for x, y in zip(a, b, strict=True)), 1)
        for a, b in pairs
    ]


def correct(found: float, true: float, unit: float) -> float:
    """Correct digits of one number."""
    error = abs(found - true) / (abs(true) or unit)
    if not math.isfinite(error):
        return 0.0
    return MOST if error == 0 else min(MOST, max(0.0, -math.log10(error)))


# ---- the solvers ----


def solvers(problem: Problem, notes: Notes) -> dict[str, Callable[[], Answer]]:
    """All ways to solve a problem, by name."""
    found: dict[str, Callable[[], Answer]] = {
        f"leastwise {how}": partial(ours, problem, how, notes) for how in ("exact", "auto", "fast")
    }
    for package, peers in PACKAGES.items():
        if find_spec(package) is not None:
            found |= {name: partial(peer, problem) for name, peer in peers.items()}
    return found


def ours(problem: Problem, precision: str, notes: Notes) -> Answer:
    fit = lw.fit(problem.source, **problem.asked, precision=precision, folds=0)
    s = fit.solution
    if precision == "auto":
        notes.add(f"auto ended as {s.precision}", problem.name)
    if left := len(s.dropped) + len(s.constant):
        of = f"{problem.name} ({left} of {len(s.names)})"
        notes.add(f"leastwise {precision} left columns out as dependent, and said so", of)
    return answer(fit)


def answer(fit: lw.Fit) -> Answer:
    """What a fit of ours says; nan for the standard error of a column that was left out."""
    s = fit.solution
    one = [True] if s.fits_intercept else []
    used = np.array([*one, *s.kept])
    sd = math.sqrt(s.rss[0] / (s.n - used.sum()))
    errors = np.full(len(used), np.nan)
    if s.root is not None:
        errors[used] = sd * np.sqrt((s.root**2).sum(axis=0))
    return Answer(np.concatenate([s.intercept[: len(one)], s.coef[0]]), errors, sd)


def numpy_lstsq(p: Problem) -> Answer:
    return without_errors(p, np.linalg.lstsq(p.A, p.y, rcond=None)[0])


def linear_regression(**how: Any) -> Callable[[Problem], Answer]:
    def solve(p: Problem) -> Answer:
        from sklearn.linear_model import LinearRegression

        X = p.A[:, 1:] if p.intercept else p.A
        model = LinearRegression(fit_intercept=p.intercept, **how).fit(X, p.y)
        coef = np.concatenate([[model.intercept_] if p.intercept else [], model.coef_])
        return without_errors(p, coef, p.y - model.predict(X))

    return solve


def statsmodels_ols(method: str) -> Callable[[Problem], Answer]:
    def solve(p: Problem) -> Answer:
        from statsmodels.api import OLS

        found = OLS(p.y, p.A).fit(method=method)
        return Answer(found.params, found.bse, math.sqrt(found.scale))

    return solve


def torch_gels(p: Problem) -> Answer:
    import torch

    A, y = torch.from_numpy(p.A), torch.from_numpy(p.y)
    return without_errors(p, torch.linalg.lstsq(A, y[:, None], driver="gels").solution[:, 0].numpy())


def without_errors(p: Problem, coef: Array, residual: Array | None = None) -> Answer:
    """The answer of a solver that gives coefficients alone: its residuals are formed in float64."""
    residual = p.y - p.A @ coef if residual is None else residual
    n, r = p.A.shape
    return Answer(coef, None, math.sqrt(residual @ residual / (n - r)))


PACKAGES: dict[str, dict[str, Callable[[Problem], Answer]]] = {
    "numpy": {"numpy lstsq": numpy_lstsq},
    "sklearn": {
        "LinearRegression": linear_regression(),
        "LinearRegression(tol=0)": linear_regression(tol=0),
    },
    "statsmodels": {"statsmodels pinv": statsmodels_ols("pinv"), "statsmodels qr": statsmodels_ols("qr")},
    "torch": {"torch gels": torch_gels},
}


# ---- NIST's sets ----


def nist(folder: Path, place: Path) -> Iterator[Problem]:
    """Each certified set, written as CSV with its own decimals."""
    for name, said in json.loads((folder / "certified.json").read_text(encoding="utf-8")).items():
        first, last = said["data_lines"]
        lines = (folder / said["file"]).read_text(encoding="utf-8").splitlines()[first - 1 : last]
        cells = [line.split() for line in lines]
        path = place / f"{name}.csv"
        path.write_text("\n".join(map(",".join, [said["columns"], *cells])) + "\n", encoding="utf-8")
        degree = len(said["parameters"]) - said["intercept"] if len(said["columns"]) == 2 else 1
        values = np.array(cells, np.float64)
        y, X = values[:, 0], values[:, 1:]
        if degree > 1:
            X = X ** np.arange(1, degree + 1)
        asked = {"target": "y", "intercept": said["intercept"]}
        asked |= {"features": [lw.poly("x", degree)]} if degree > 1 else {}
        A = np.column_stack([np.ones(len(y)), X]) if said["intercept"] else X
        yield Problem(name, path, asked, A, y, certified(said), said["intercept"])


def certified(said: dict[str, Any]) -> Answer:
    values = [[float(b[key]) for b in said["parameters"]] for key in ("estimate", "std_error")]
    return Answer(np.array(values[0]), np.array(values[1]), float(said["residual_sd"]))


# ---- hostile problems ----


def hostile() -> Iterator[Problem]:
    """Each problem with its exact solution. `z` are normal columns, `y` their sum with noise."""
    rng = np.random.default_rng(SEED)
    z = rng.standard_normal((3, N))
    y = z.sum(axis=0) + 0.1 * rng.standard_normal(N)
    far = z[0].copy()
    far[17] = 1e10
    second = 1_767_225_600_000_000_000  # nanoseconds since 1970 at the beginning of 2026
    within = second + np.round(1e6 * rng.random(N)).astype(np.int64)
    year = second + np.round(3.15e16 * rng.random(N)).astype(np.int64)
    given: dict[str, Iterable[Array]] = {
        "mean 1e8": z + 1e8,
        "mean 1e12": z + 1e12,
        "units 1e-12 and 1e12": (1e-12 * z[0], 1e12 * z[1], z[2]),
        "near-duplicate 1e-8": (z[0], z[0] + 1e-8 * z[1], z[2]),
        "near-duplicate 1e-12": (z[0], z[0] + 1e-12 * z[1], z[2]),
        "near-constant 1e-8, 1e-12": (1 + 1e-8 * z[0], 1e3 + 1e-9 * z[1], z[2]),
        "nanoseconds of a millisecond": (within, z[1], z[2]),
        "nanoseconds of a year": (year, z[1], z[2]),
        "one outlier 1e10": (far, z[1], z[2]),
    }
    for name, columns in given.items():
        yield plain(name, columns, y)
    yield from powers(rng.random(N_POWERS), rng.standard_normal(N_POWERS))


def plain(name: str, given: Iterable[Array], y: Array) -> Problem:
    """A problem whose columns are given as they are."""
    columns = list(given)
    table = pa.table({**{f"x{j + 1}": column for j, column in enumerate(columns)}, "y": y})
    whole = [in_units(map(Fraction, column.tolist())) for column in columns]
    A = np.column_stack([np.ones(len(y)), *columns])
    return Problem(name, table, {"target": "y"}, A, y, exact(whole, y))


def powers(x: Array, noise: Array) -> Iterator[Problem]:
    """Monomials: as powers of a column, whose truth are the powers; and as columns of float64."""
    y = np.cos(8 * x) + 0.1 * noise
    X = x[:, None] ** np.arange(1, DEGREE + 1)
    base, unit = in_units(map(Fraction, x.tolist()))
    whole = [(base**j, unit**j) for j in range(1, DEGREE + 1)]
    asked = {"target": "y", "features": [lw.poly("x", DEGREE)]}
    A = np.column_stack([np.ones(len(y)), X])
    yield Problem(f"powers to {DEGREE}, lw.poly", pa.table({"x": x, "y": y}), asked, A, y, exact(whole, y))
    yield plain(f"powers to {DEGREE}, float64", X.T, y)


# ---- the truth ----

Whole = tuple[NDArray[np.object_], Fraction]  # integers (n,), and the unit that they count


def in_units(values: Any) -> Whole:
    """Rational numbers as integers times one unit."""
    numbers = list(values)
    below = math.lcm(*{v.denominator for v in numbers})
    return np.array([v.numerator * (below // v.denominator) for v in numbers], object), Fraction(1, below)


def exact(columns: list[Whole], y: Array) -> Answer:
    """Least squares with an intercept in whole numbers, each result rounded once at the end."""
    ones = np.array([1] * len(y), object), Fraction(1)
    target, unit = in_units(map(Fraction, y.tolist()))
    X, units = zip(ones, *columns, strict=True)
    r = len(X)
    G = np.array([[a @ b for b in X] for a in X], object)
    g = np.array([a @ target for a in X], object)
    right, det = eliminated(np.column_stack([G, g, np.eye(r, dtype=int).astype(object)]))
    coef = [Fraction(b, det) * unit / u for b, u in zip(right[:, 0], units, strict=True)]
    rss = (target @ target - Fraction(g @ right[:, 0], det)) * unit**2
    variance = rss / (len(y) - r)
    inverse = [Fraction(right[j, 1 + j], det) / units[j] ** 2 for j in range(r)]
    errors = np.array([square_root(variance * v) for v in inverse])
    return Answer(np.array([float(b) for b in coef]), errors, square_root(variance))


def eliminated(M: NDArray[np.object_]) -> tuple[NDArray[np.object_], int]:
    """`det A^-1 B` and `det` of integers `M = [A B]`: Gauss and Jordan without fractions.

    Every division leaves no rest (Bareiss, Sylvester's identity and multistep integer-preserving
    Gaussian elimination, Math. Comp. 22 (1968) 565).
    """
    before, r = 1, len(M)
    for k in range(r):
        for i in range(r):
            if i != k:
                M[i] = (M[k, k] * M[i] - M[i, k] * M[k]) // before
        before = M[k, k]
    return M[:, r:], before


def square_root(value: Fraction) -> float:
    """The root of a rational number, nearest float64."""
    bits = max(0, 128 + (value.denominator.bit_length() - value.numerator.bit_length()) // 2)
    root = math.isqrt((value.numerator << 2 * bits) // value.denominator)
    return float(Fraction(root, 1 << bits))


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["digits", *sys.argv[1:]])
