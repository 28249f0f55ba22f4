"""Least squares from moments: the one door to all ways of solving, and what is said of rank.

primal.py answers from the rounded matrix, dual.py from the rows where they are few, integer.py from
the exact matrix: the ladder of precision. Each gives the same `Solution`.

The sum of squares of any coefficients is `L* + (theta - theta*)' H (theta - theta*)`, never
`y'y - 2 b'c + b'Gb`: three large numbers whose difference has no digits left. (In integers it has all
of them, and there it is what is computed.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import MomentsError, RankError
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.parts import Sparse
from leastwise.solve import integer
from leastwise.solve.centred import Centred, Found
from leastwise.solve.dual import solve_rows
from leastwise.solve.primal import solve_gram
from leastwise.solve.solution import ENOUGH, Rank, Solution, checked_rank, doubtful, rank_message


def least_squares(
    moments: Moments,
    *,
    intercept: bool = True,
    rank: str = "drop",
    keep: NDArray[np.bool_] | None = None,
    root: bool = True,
    digits: float = 15.0,
) -> Solution:
    """The coefficients that minimise `sum w (x b + c - y)^2`, with how they were found.

    `rank` says what is done with dependent columns: "drop" leaves the later ones out, "error"
    raises RankError, "min-norm" gives the shortest of all solutions. `keep` (p,) lets only some
    columns take part; `root` asks for what standard errors are made of. Exact moments are solved
    in float64 where that gives so many `digits`.

    Cost: p^3 / 3 multiplications for the factor and about twice that for what is said of rank and
    digits; n^2 p where n <= p; from exact moments p^3 / 6 products of long integers (factor.py).
    """
    rule = checked_rank(rank)
    if moments.n == 0:
        raise MomentsError("No rows, no fit. Give some first.")
    if moments.exact:
        if digits <= ENOUGH and (good := _rounded(moments, intercept, rank, keep, root)):
            return good
        return integer.least_squares(moments.imputed(), intercept, rule, keep, root)
    if isinstance(moments.whole, Sparse) and moments.n > len(moments.names):
        moments = replace(moments, parts=(moments.whole.dense(),), plan=None)
    centred = Centred.of(moments.imputed(), intercept)
    columns = np.flatnonzero(~centred.constant & (True if keep is None else keep))
    solve = solve_rows if centred.S is None else solve_gram
    found = solve(centred, columns, rule)
    return _solution(centred, columns, found, rule, root)


def _rounded(
    moments: Moments, intercept: bool, rank: str, keep: NDArray[np.bool_] | None, root: bool
) -> Solution | None:
    """The solution of exact moments in float64, about their means; None where it is in doubt."""
    found = least_squares(moments.rounded(), intercept=intercept, rank=rank, keep=keep, root=root)
    return None if doubtful(found) or found.dropped or found.constant else found


def squared_error(moments: Moments, coef: Array, intercept: Array) -> Array:
    """`sum w (x b + c - y)^2` (k,) of given `coef` (k, p), `intercept` (k,) over these rows."""
    m = moments.imputed()
    if m.exact:
        return integer.squared_error(m, coef, intercept)
    centred = Centred.of(m, True)
    miss = centred.mean[len(m.names) :] - centred.mean[: len(m.names)] @ coef.T - intercept  # (k,)
    if centred.S is None:
        residual = centred.aims - centred.features @ coef.T
        return np.einsum("nk,nk->k", residual, residual) + centred.weight * miss**2
    used = np.flatnonzero(coef.any(axis=0) & ~centred.constant)
    best = solve_gram(centred, used, "drop")
    # theta - theta* on the kept columns; a dependent column is its combination T of them
    away = (coef[:, used] * centred.scale[used]).T - best.raw
    on_kept = away[best.kept] + best.combination @ away[~best.kept]
    beyond = best.factor.T @ on_kept
    return best.rss + np.einsum("rk,rk->k", beyond, beyond) + centred.weight * miss**2


def _solution(c: Centred, columns: NDArray[np.intp], found: Found, rule: Rank, root: bool) -> Solution:
    """The answer in the units of the data."""
    names, p = np.array(c.m.names, object), len(c.m.names)
    dropped = tuple(names[columns[~found.kept]])
    constant = tuple(names[c.constant])
    if rule == "error" and (dropped or constant):
        raise RankError(rank_message(dropped, constant, c.m.n))
    coef = np.zeros((len(c.m.targets), p))
    coef[:, columns] = (found.raw / c.scale[columns][:, None]).T
    kept = np.zeros(p, bool)
    kept[columns[found.kept]] = True
    intercept = c.mean[p:] - c.mean[:p] @ coef.T if c.intercept else np.zeros(len(c.m.targets))
    return Solution(
        c.m.names, c.m.targets, coef, intercept, kept, found.rank, dropped, constant, found.method, "fast",
        found.condition, found.digits, c.m.n, c.weight, found.rss, c.square[p:], found.rss_digits,
        c.intercept, _root(c, columns, found) if root else None, found.se_digits,
        c.far_mean,
    )  # fmt: skip


def _root(c: Centred, columns: NDArray[np.intp], found: Found) -> Array | None:
    """The root of the inverse for `[1, X]`, in the units of the data."""
    if found.inverse is None:
        return None
    used = columns[found.kept]
    W = found.inverse / c.scale[used]
    if not c.intercept:
        return W
    r = len(W)
    root = np.zeros((1 + r, 1 + r))
    root[0, 0], root[1:, 0], root[1:, 1:] = c.weight**-0.5, -W @ c.mean[used], W
    return root
