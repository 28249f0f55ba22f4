"""Least squares from exact moments: the rung on which nothing is rounded before the end.

The normal equations `G b = g` of `[1, X]` are integers. factor.py eliminates them in fixed point of
256 bits or more and refines with exact residuals until every coefficient is certain to more digits
than a float64 has; what comes out is rounded once. Rank, sums of squares and standard errors are
read off the same elimination. Many columns that are far from dependent go the way of guided.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import RankError
from leastwise.integers import exactly, rounded, rounded_ratio
from leastwise.moments import Moments
from leastwise.numerics import EPS, Array
from leastwise.parts import Exact
from leastwise.solve.centred import digits_left
from leastwise.solve.factor import NEAR, Ints, solved
from leastwise.solve.guided import MANY, guided
from leastwise.solve.primal import NO_SHORTEST, shortest
from leastwise.solve.solution import Rank, Solution, rank_message

DIGITS = 15.0  # what a float64 can promise


def least_squares(
    moments: Moments, intercept: bool, rule: Rank, keep: NDArray[np.bool_] | None, root: bool
) -> Solution:
    """The solution of exact moments without missing cells, each number the nearest float64."""
    G, exponent = _ints(moments)
    p, k, one = len(moments.names), len(moments.targets), int(intercept)
    constant = np.array([_is_constant(G, 1 + j, intercept) for j in range(p)], bool)
    (columns,) = np.nonzero(~constant & (True if keep is None else keep))
    places = np.concatenate([np.zeros(one, np.intp), 1 + columns, 1 + p + np.arange(k)])
    A, names = G[np.ix_(places, places)], np.array(moments.names, object)
    answer = guided(A, exponent, k, one) if len(columns) >= MANY else None
    answer = answer or solved(
        A, exponent, k, one, root, isinstance(moments.whole, Exact) and moments.whole.long
    )
    kept = answer.kept[one:] - one  # among `columns`
    dropped, idle = tuple(names[np.delete(columns, kept)]), tuple(names[constant])
    if rule == "error" and (dropped or idle):
        raise RankError(rank_message(dropped, idle, moments.n))
    digits = DIGITS
    coef, used, method = np.zeros((k, p)), np.zeros(p, bool), answer.method
    coef[:, columns[kept]], used[columns[kept]] = answer.coef[:, one:], True
    offset = answer.coef[:, 0] if intercept else np.zeros(k)
    if rule == "min-norm" and dropped:
        raw = shortest(coef[:, columns].T, used[columns], answer.combination, np.ones(len(columns)))
        coef[:, columns], used[columns], dropped, method = raw.T, True, (), "min-norm"
        offset = _offset(G, coef) if intercept else offset
        inner = np.eye(len(kept)) + answer.combination @ answer.combination.T
        digits = float(digits_left(8 * EPS * np.linalg.cond(inner)))
        _check_shortest(moments, coef, offset, answer.rss)
    tss = [rounded_ratio(*_about(G, 1 + p + t, intercept), exponent) for t in range(k)]
    return Solution(
        moments.names, moments.targets, coef, offset, used, len(kept), dropped, idle, method, "exact",
        answer.condition, digits, moments.n, rounded(G[0, 0], exponent), answer.rss, np.array(tss),
        np.full(k, DIGITS), intercept, answer.root if method != "min-norm" else None, answer.se_digits,
        _means(G),
    )  # fmt: skip


def _check_shortest(moments: Moments, coef: Array, offset: Array, rss: Array) -> None:
    """The shortest solution is found in float64: it must meet the targets as well as any."""
    G, exponent = _ints(moments)
    p = len(moments.names)
    square = np.array([rounded(G[1 + p + t, 1 + p + t], exponent) for t in range(len(rss))])
    if (squared_error(moments, coef, offset) > (1 + 1e-6) * rss + 1e-16 * square).any():
        raise RankError(NO_SHORTEST)


def squared_error(moments: Moments, coef: Array, intercept: Array) -> Array:
    """`sum w (x b + c - y)^2` (k,) of given coefficients, each the nearest float64."""
    G, exponent = _ints(moments)
    p, found = len(moments.names), []
    for t in range(len(moments.targets)):
        signs = np.zeros(len(G))
        signs[0], signs[1 : 1 + p], signs[1 + p + t] = intercept[t], coef[t], -1.0
        v, scale = exactly(signs)
        found.append(rounded(v @ (G @ v), exponent + 2 * scale))
    return np.array(found)


def _ints(moments: Moments) -> tuple[Ints, int]:
    whole = moments.about(np.zeros_like(moments.shift)).whole
    if not isinstance(whole, Exact):  # pragma: no cover  # exact.py asks before it comes here
        raise TypeError("exact moments are needed")
    return whole.ints


def _about(G: Ints, j: int, intercept: bool) -> tuple[int, int]:
    """A sum of squares about the mean (or about zero) as numerator and denominator."""
    if not intercept:
        return G[j, j], 1
    return G[0, 0] * G[j, j] - G[0, j] ** 2, G[0, 0]


def _is_constant(G: Ints, j: int, intercept: bool) -> bool:
    """Whether a column is no further from constant than its rounding."""
    above, below = _about(G, j, intercept)
    return bool((above << NEAR) <= G[j, j] * below)


def _means(G: Ints) -> Array:
    """Means of all columns but the first (2, p + k), each as a float64 and what it leaves out."""
    high = [rounded_ratio(total, G[0, 0], 0) for total in G[0, 1:]]
    low = []
    for total, near in zip(G[0, 1:], high, strict=True):
        above, below = near.as_integer_ratio()
        low.append(rounded_ratio(total * below - above * G[0, 0], G[0, 0] * below, 0))
    return np.array([high, low])


def _offset(G: Ints, coef: Array) -> Array:
    """The intercepts (k,) that go with `coef` (k, p): means that lie on the line."""
    k, p = coef.shape
    found = []
    for t in range(k):
        b, scale = exactly(coef[t])
        up, down = max(scale, 0), max(-scale, 0)
        above = (G[0, 1 + p + t] << down) - ((G[0, 1 : 1 + p] @ b) << up)
        found.append(rounded_ratio(above, G[0, 0], -down))
    return np.array(found)
