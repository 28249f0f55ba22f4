"""The exact rung: sums without any rounding, and answers that are rounded once, at the end.

The truth is rational: every float64 (and every decimal) is a ratio of integers, and least squares over
the ratios has one answer. python-flint finds it where it is installed, a library that only these tests
use; `fractions` does where it is not. Laws and tables are in test_exact_hostile.py.

Problems are drawn by hypothesis, the same in every run. LEASTWISE_MANY=1 draws ten times as many of
each: more than 20,000.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce
from itertools import pairwise
from math import inf, isinf, lcm

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import leastwise as lw
from leastwise.moments import Moments
from leastwise.solve import least_squares, squared_error

try:  # ratios in C: the same answers as `fractions`, sooner
    from flint import fmpq, fmpq_mat
except ImportError:  # pragma: no cover
    fmpq, fmpq_mat = Fraction, None

MANY = 10 if os.environ.get("LEASTWISE_MANY") else 1
ULPS = 4  # of a number that is rounded once, or nearly
NEAR = 2**100  # what is nearer than 2^-50 of its length to the columns before it depends on them
TINY = Fraction(1, 2**138)  # of the largest term of the fit: a smaller one counts as none
NONE = Fraction(1, 2**190)  # of the largest term squared, or of y'y: a smaller rss counts as none


def many(count: int):
    """So many problems, or ten times as many where they were asked for."""
    slow = [HealthCheck.too_slow]
    return settings(max_examples=count * MANY, derandomize=True, deadline=None, suppress_health_check=slow)


# ---- the truth -----------------------------------------------------------------------------------


def whole(values) -> tuple[list[int], int]:
    """Numbers as integers over one denominator."""
    values = values.tolist() if isinstance(values, np.ndarray) else values
    pairs = [v.as_integer_ratio() for v in values]
    unit = lcm(*(below for _, below in pairs))
    return [above * (unit // below) for above, below in pairs], unit


def inverse(A: list[list[int]]) -> list[list]:
    """The inverse of a positive definite matrix of integers, in ratios."""
    r = len(A)
    if fmpq_mat is not None and r:
        found = fmpq_mat(r, r, [v for row in A for v in row]).inv()
        return [[found[i, j] for j in range(r)] for i in range(r)]
    rows = [[Fraction(v) for v in row] + [Fraction(i == j) for j in range(r)] for i, row in enumerate(A)]
    for i in range(r):
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for k in range(r):
            factor = rows[k][i]
            if k != i and factor:
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[r:] for row in rows]


def ratio(value) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(int(value.p), int(value.q))


def eliminated(G: list[list[int]], columns: list[int]) -> tuple[list[int], list]:
    """Those of `columns` that do not depend on the ones before, and what they leave of each diagonal."""
    rows, kept = [[fmpq(v) for v in row] for row in G], []
    for j in columns:
        if rows[j][j] * NEAR <= G[j][j]:
            continue
        kept.append(j)
        pivot = rows[j][:]
        for row in rows:
            factor = row[j] / pivot[j]
            if factor:
                row[:] = [a - factor * b for a, b in zip(row, pivot, strict=True)]
    return kept, [rows[j][j] for j in range(len(G))]


class Truth:
    """Least squares of columns `Y` on columns `X` over the ratios; dependent columns are left out.

    Columns are lists of anything with an integer ratio. Inside, each is integers over its `units`; place
    0 is the column of ones, then X, then Y.
    """

    def __init__(self, X, Y, w=None, *, intercept: bool = True) -> None:
        self.p, self.k, self.one = len(X), len(Y), [0] if intercept else []
        columns, self.units = zip(*[whole(c) for c in ([1] * len(Y[0]), *X, *Y)], strict=True)
        weights, self.weight = ([1] * len(Y[0]), 1) if w is None else whole(w)
        weighed = [[a * b for a, b in zip(c, weights, strict=True)] for c in columns]
        self.G = [[sum(map(int.__mul__, a, b)) for b in weighed] for a in columns]
        places = range(1, 1 + self.p)
        flat = [j for j in places if eliminated(self.G, [*self.one, j])[0] == self.one]
        order = [*self.one, *(j for j in places if j not in flat)]
        self.used, self.left = eliminated(self.G, order)
        self.constant = tuple(f"x{j - 1}" for j in flat)
        self.dropped = tuple(f"x{j - 1}" for j in order if j and j not in self.used)
        self.about = eliminated(self.G, self.one)[1]

    def product(self, i: int, j: int) -> Fraction:
        """An element of the moments."""
        return Fraction(self.G[i][j], self.units[i] * self.units[j] * self.weight)

    def about_mean(self, j: int) -> Fraction:
        """A column's sum of squares about its mean; about zero where there is no intercept."""
        return self.product(j, j) - len(self.one) * self.product(0, j) ** 2 / self.product(0, 0)

    def _squares(self, left: list) -> list[Fraction]:
        targets = range(1 + self.p, 1 + self.p + self.k)
        return [ratio(left[t]) / (self.units[t] ** 2 * self.weight) for t in targets]

    @cached_property
    def rss(self) -> list[Fraction]:
        return self._squares(self.left)

    @cached_property
    def tss(self) -> list[Fraction]:
        return self._squares(self.about)

    @cached_property
    def _inverse(self) -> list[list[Fraction]]:
        """In integer columns; `inverse` is in the units of the data."""
        return [
            [ratio(v) for v in row]
            for row in inverse([[self.G[i][j] for j in self.used] for i in self.used])
        ]

    @property
    def inverse(self) -> list[list[Fraction]]:
        units = [self.units[j] for j in self.used]
        return [
            [v * self.weight * a * b for v, b in zip(row, units, strict=True)]
            for row, a in zip(self._inverse, units, strict=True)
        ]

    def on_used(self, column: int) -> dict[int, Fraction]:
        """A column as the combination of the used ones that is nearest to it, by place."""
        right = [self.G[j][column] for j in self.used]
        found = [sum(a * b for a, b in zip(row, right, strict=True)) for row in self._inverse]
        there = self.units[column]
        return {j: v * self.units[j] / there for j, v in zip(self.used, found, strict=True)}

    @cached_property
    def theta(self) -> list[list[Fraction]]:
        """Intercept and coefficients (k, 1 + p), 0 for what is left out."""
        found = [self.on_used(1 + self.p + t) for t in range(self.k)]
        return [[terms.get(j, Fraction(0)) for j in range(1 + self.p)] for terms in found]

    @cached_property
    def shortest(self) -> list[list[Fraction]]:
        """The coefficients (k, p) of least norm, where dependent columns take part."""
        mine = [j for j in self.used if j]
        others = [1 + int(name[1:]) for name in self.dropped]
        T = [[terms[j] for j in mine] for terms in map(self.on_used, others)]
        inner = [
            [Fraction(a == b) + sum(t[a] * t[b] for t in T) for b in range(len(mine))]
            for a in range(len(mine))
        ]
        unit = lcm(*(v.denominator for row in inner for v in row))
        back = [
            [ratio(v) * unit for v in row]
            for row in inverse([[int(v * unit) for v in row] for row in inner])
        ]
        found = []
        for theta in self.theta:
            on_mine = [sum(v * theta[j] for v, j in zip(row, mine, strict=True)) for row in back]
            on_others = [sum(a * b for a, b in zip(t, on_mine, strict=True)) for t in T]
            terms = dict(zip([*mine, *others], [*on_mine, *on_others], strict=True))
            found.append([terms.get(1 + j, Fraction(0)) for j in range(self.p)])
        return found


def ulps(found: float, exact: Fraction) -> float:
    """How far off a float64 is, in units of its last place; at most 1e9."""
    try:
        near = float(exact)
    except OverflowError:
        near = inf if exact > 0 else -inf
    if isinf(near) or isinf(found):
        return 0.0 if near == found else 1e9
    off = abs(Fraction(float(found)) - exact) / Fraction(float(np.spacing(abs(near))))
    return float(min(off, 10**9))


def assert_right(found: float, exact: Fraction, what: str) -> None:
    off = ulps(found, exact)
    assert off <= ULPS, f"{what} is {found!r}, {off:.3g} units of the last place off"


def assert_solved(solution, truth: Truth) -> None:
    """Every number of a solution is right."""
    assert solution.constant == truth.constant
    assert solution.dropped == truth.dropped
    assert_right(solution.weight, truth.product(0, 0), "weight")
    for t in range(truth.k):
        found = [solution.intercept[t], *solution.coef[t]]
        squares = [b * b * truth.product(j, j) for j, b in enumerate(truth.theta[t])]
        most, y = max(squares), 1 + truth.p + t
        for j, (b, exact) in enumerate(zip(found, truth.theta[t], strict=True)):
            if squares[j] > most * TINY**2:
                assert_right(b, exact, f"term {j} of target {t}")
            else:
                assert Fraction(float(b)) ** 2 * truth.product(j, j) <= most * TINY**2
        none = NONE * max(most, truth.product(y, y))
        if truth.rss[t] > none:
            assert_right(solution.rss[t], truth.rss[t], f"rss of target {t}")
        else:
            assert Fraction(float(solution.rss[t])) <= none
        assert_right(solution.tss[t], truth.tss[t], f"tss of target {t}")


def assert_inverse(root, exact: list[list[Fraction]]) -> None:
    """`root'root` is the inverse, to 14 digits of its diagonal: each element is a sum of 10 products."""
    W = [[Fraction(v) for v in row] for row in root.tolist()]
    for i, row in enumerate(exact):
        for j, value in enumerate(row):
            off = sum(line[i] * line[j] for line in W) - value
            assert off**2 <= exact[i][i] * exact[j][j] * Fraction(1, 10**28), (i, j)


def assert_sums(moments: Moments, truth: Truth, lost: Fraction = Fraction(0)) -> None:
    """The matrix is the sum of products, to the last bit; or to so much of the lengths of two columns."""
    ints, exponent = moments.whole.ints
    unit = Fraction(2) ** exponent
    for i in range(len(truth.G)):
        for j in range(len(truth.G)):
            off = int(ints[i, j]) * unit - truth.product(i, j)
            assert not off or off**2 <= lost**2 * truth.product(i, i) * truth.product(j, j), (i, j)


# ---- problems ------------------------------------------------------------------------------------


def drawn(rng, n):
    return rng.normal(size=n)


def counts(rng, n):
    return rng.integers(-9, 10, n).astype(float)


def decimals(rng, n):
    return np.round(rng.normal(size=n) * 10.0 ** rng.integers(0, 4), 2)


def distant(rng, n):
    return 10.0 ** rng.integers(3, 13) * rng.choice([-1.0, 1.0]) + rng.normal(size=n)


def rare(rng, n):
    return np.where(rng.random(n) < 0.2, rng.normal(size=n), rng.choice([0.0, -0.0]))


def spread(rng, n):
    return rng.normal(size=n) * 2.0 ** rng.integers(-60, 60, n)


def outlying(rng, n):
    x = rng.normal(size=n)
    x[rng.integers(n)] *= 10.0 ** rng.integers(3, 13)
    return x


def same(rng, n):
    return np.full(n, rng.choice([0.0, 0.1, 1.0, 4194303.0, 1e12 + 0.1]))


def edges(rng, n):
    """At the edges of the digits that sums are made of."""
    return 2.0 ** rng.integers(20, 24) + np.spacing(2.0**22) * rng.integers(-2, 3, n)


def subnormal(rng, n):
    return rng.integers(-1000, 1000, n) * 5e-324


def copied(rng, A):
    return A[:, rng.integers(A.shape[1])]


def tripled(rng, A):
    return 3 * A[:, rng.integers(A.shape[1])]


def summed(rng, A):
    return A.sum(axis=1)


def nearly(rng, A):
    x = A[:, rng.integers(A.shape[1])]
    return x * (1 + 10.0 ** -rng.integers(4, 17) * rng.normal(size=len(x)))


def offset(rng, A):
    return A[:, rng.integers(A.shape[1])] + rng.choice([0.1, 1e5])


ALONE = (drawn, counts, decimals, distant, rare, spread, outlying, same, edges)
AFTER = (copied, tripled, summed, nearly, offset)
UNITS = (0, 0, 0, 1, -40, 40, -300, 300)  # of columns, as powers of two
ANY, NARROW = 8, 6  # so many of them; those whose squares float64 sums can hold
WEIGHTS = {
    "none": lambda rng, n: None,
    "counts": lambda rng, n: rng.integers(0, 4, n).astype(float),
    "shares": lambda rng, n: rng.random(n),
    "spread": lambda rng, n: 2.0 ** rng.integers(-30, 30, n) * rng.random(n),
    "tiny": lambda rng, n: 1e-200 * rng.integers(0, 3, n) * rng.random(n),
    "huge": lambda rng, n: 1e200 * rng.random(n),
}


@dataclass(frozen=True)
class Problem:
    """Rows that were made to be hard, and how they are to be solved."""

    X: np.ndarray  # (n, p)
    Y: np.ndarray  # (n, k)
    w: np.ndarray | None
    intercept: bool
    rng: np.random.Generator

    @cached_property
    def truth(self) -> Truth:
        return Truth(list(self.X.T), list(self.Y.T), self.w, intercept=self.intercept)

    def moments(self, rows=slice(None), precision: str = "exact") -> Moments:
        w = None if self.w is None else self.w[rows]
        return Moments.of(self.X[rows], self.Y[rows], w, precision=precision)

    def solved(self, **options):
        return least_squares(self.moments(), intercept=self.intercept, **options)


def columns_of(rng, n: int, kinds, units: int) -> np.ndarray:
    """A matrix (n, p) of columns of these kinds, each in a unit of its own."""
    A = np.empty((n, 0))
    for make in kinds:
        x = make(rng, n) if make not in AFTER else make(rng, A) if A.shape[1] else drawn(rng, n)
        unit = 2.0 ** rng.choice(UNITS[:units])
        fits = 1e-100 < np.abs(x).max() * unit < 1e100
        A = np.column_stack([A, x * unit if fits else x])
    return A


def far_apart(A: np.ndarray) -> bool:
    """Whether a column holds values that exact sums refuse, or could refuse with weights."""
    sizes = np.where(A == 0, np.nan, np.abs(A))
    return any(np.nanmax(c) > 2.0**250 * np.nanmin(c) for c in sizes.T if np.isfinite(c).any())


@st.composite
def problems(draw, alone=ALONE, after=AFTER, units=ANY):
    n, k = draw(st.integers(1, 60)), draw(st.sampled_from([1, 1, 1, 2, 3]))
    kinds = draw(st.lists(st.sampled_from((*alone, *alone, *after)), min_size=1, max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    w = WEIGHTS[draw(st.sampled_from(("none", *WEIGHTS)))](rng, n)
    if w is not None:
        w[rng.integers(n)] = w.max() or 1.0  # one row counts
    X = columns_of(rng, n, kinds, draw(st.sampled_from([1, 1, units])))
    signal = X @ rng.normal(size=(X.shape[1], k)) * draw(st.sampled_from([0.0, 1.0]))
    noise = np.column_stack([draw(st.sampled_from(alone))(rng, n) for _ in range(k)])
    Y = signal + draw(st.sampled_from([0.0, 1e-9, 1.0])) * noise
    assume(not far_apart(np.column_stack([X, Y])))
    rows = rng.integers(n, size=n) if draw(st.booleans()) else np.arange(n)
    return Problem(X[rows], Y[rows], w, draw(st.sampled_from([True, True, False])), rng)


VALUES = st.one_of(
    st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda v: v == 0 or abs(v) > 1e-30),
    st.integers(-3, 3).map(float),
    st.integers(-999, 999).map(lambda i: i / 100),
    st.sampled_from([-0.0, 0.1, 0.3, 1e-30, 1e30, 2.0**22, 2.0**22 - 0.5, 1e12 + 0.1, 2.0**-23]),
)


@st.composite
def few_numbers(draw):
    """A handful of rows, number by number."""
    n, p = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    rows = draw(st.lists(st.tuples(*[VALUES] * (p + 1)), min_size=n, max_size=n))
    A = np.array(rows)
    some = st.lists(st.sampled_from([0.0, 0.1, 1.0, 3.0, 1e-9, 1e9]), min_size=n, max_size=n)
    w = draw(st.one_of(st.none(), some.filter(any).map(np.array)))
    return Problem(A[:, :-1], A[:, -1:], w, draw(st.booleans()), np.random.default_rng(n))


# ---- exact sums, exact answers -------------------------------------------------------------------


@many(400)
@given(problems(), st.lists(st.integers(0, 60), max_size=5))
def test_sums_are_exact_however_the_rows_are_cut_and_merged(problem, cuts):
    n = len(problem.X)
    places = sorted({0, n, *(c % (n + 1) for c in cuts)})
    parts = [problem.moments(slice(a, b)) for a, b in pairwise(places)]
    merged = reduce(Moments.__add__, [parts[i] for i in problem.rng.permutation(len(parts))])
    at_once = problem.moments()
    assert_sums(at_once, problem.truth)
    a, b = at_once.whole.settled().integers, merged.whole.settled().integers
    assert (a.low, a.limbs.tobytes()) == (b.low, b.limbs.tobytes())
    assert merged == at_once
    assert merged - parts[0] == reduce(Moments.__add__, parts[1:], parts[0] - parts[0])


@many(700)
@given(problems())
def test_every_number_of_a_solution_is_right(problem):
    assert_solved(problem.solved(root=False), problem.truth)


@pytest.mark.filterwarnings("ignore:overflow")  # test_exact_hostile.py has that they are silent
@many(100)
@given(problems(alone=(subnormal, drawn, counts), units=1))
def test_every_number_is_right_beside_subnormal_columns(problem):
    assert_solved(problem.solved(root=False), problem.truth)


@many(500)
@given(few_numbers())
def test_every_number_of_a_small_solution_is_right(problem):
    assert_sums(problem.moments(), problem.truth)
    assert_solved(problem.solved(root=False), problem.truth)


@many(200)
@given(problems())
def test_the_root_is_that_of_the_inverse(problem):
    assert_inverse(problem.solved().root, problem.truth.inverse)


@many(200)
@given(problems())
def test_the_squared_error_of_any_coefficients_is_exact(problem):
    truth, rng = problem.truth, problem.rng
    coef = rng.normal(size=(truth.k, truth.p)) * 2.0 ** rng.integers(-9, 9, (truth.k, truth.p))
    intercept = rng.normal(size=truth.k)
    found = squared_error(problem.moments(), coef, intercept)
    for t in range(truth.k):
        y = 1 + truth.p + t
        terms = {j: Fraction(v) for j, v in enumerate([float(intercept[t]), *coef[t].tolist()])} | {
            y: Fraction(-1)
        }
        exact = sum(a * b * truth.product(i, j) for i, a in terms.items() for j, b in terms.items())
        assert_right(found[t], exact, f"the error of target {t}")


@many(150)
@given(problems())
def test_an_error_is_asked_for_and_names_what_is_left_out(problem):
    truth = problem.truth
    named = (*truth.dropped, *truth.constant)
    if not named:
        assert_solved(problem.solved(rank="error", root=False), truth)
        return
    with pytest.raises(lw.errors.RankError) as caught:
        problem.solved(rank="error")
    assert all(f"'{name}'" in str(caught.value) for name in named)


@many(200)
@given(problems(alone=(drawn, counts, decimals, rare, outlying), after=(copied,)))
def test_the_shortest_solution_shares_out_among_copies(problem):
    truth = problem.truth
    assume(len(problem.X) > 4 * truth.p)  # copies, and nothing else, are dependent
    found = problem.solved(rank="min-norm")
    assert found.dropped == ()
    for coef, exact in zip(found.coef, truth.shortest, strict=True):
        for b, value in zip(coef.tolist(), exact, strict=True):
            assert abs(Fraction(b) - value) <= abs(value) * Fraction(1, 10**12)  # made of rounded ones


@pytest.mark.parametrize("noise", [0, 1, 1000])
def test_residuals_far_below_the_last_bit_of_the_target_are_right(noise):
    r = np.random.default_rng(5)
    X = r.integers(-(2**60), 2**60, (50, 2))
    y = X[:, 0] + r.integers(-noise, noise + 1, 50)
    found = least_squares(Moments.of(X, y, precision="exact"))
    assert_solved(found, Truth(list(X.T), [y]))
    assert (found.rss[0] == 0) == (noise == 0)
