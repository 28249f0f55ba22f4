"""Standard errors that need the rows: robust to unequal variances (HC) and to dependence (CR).

The formulas stand at the head of inference.py. Residuals and whitened rows are taken about the means,
kept to twice the digits of a float64 (`Solution.mean`): a column of mean 1e8 loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.errors import DataError, UsageError, plural
from leastwise.inference import Inference, coefficients, counted, terms_of
from leastwise.numerics import Array, one_blas_thread, workers
from leastwise.recipe import Recipe
from leastwise.rows.block import Rows, Slab
from leastwise.solve import Solution

MOST_NUMBERS = 64_000_000  # of matrices by cluster held at once (half a GB): beyond, further passes
Labels = NDArray[np.object_]  # texts


# ---- what a second pass sees ----


@dataclass(frozen=True, eq=False)
class Seen:
    """Some rows as a fit sees them: what every second pass begins with."""

    Z: Array  # (n, r) whitened
    residual: Array  # (n, k)
    fitted: Array  # (n, k)
    w: Array  # (n,) what the variance of a row is over; 1 with frequency weights
    copies: Array  # (n,) how often a row was seen; 1 but with frequency weights
    X: Array  # (n, p), gaps filled
    labels: Any  # clusters, as text; None where not asked for

    @cached_property
    def leverage(self) -> Array:
        """`h = w |z|^2` (n,)."""
        return np.asarray(self.w * np.einsum("nr,nr->n", self.Z, self.Z))

    @cached_property
    def pull(self) -> Array:
        """`w e` (n, k), of all copies."""
        return np.asarray((self.copies * self.w)[:, None] * self.residual)


def whitened(solution: Solution, X: Array) -> Array:
    """`z = W [1, x]` (n, r) of rows X (n, p)."""
    if solution.root is None:
        raise UsageError("The coefficients are one of many solutions. Leave out rank='min-norm'.")
    if not solution.fits_intercept:
        return np.asarray(X[:, solution.kept] @ solution.root.T)
    first = np.full((len(X), 1), solution.root[0, 0])
    about = _about(solution, X, 0)[:, solution.kept]
    return np.hstack([first, about @ solution.root[1:, 1:].T])


def residuals(solution: Solution, X: Array, Y: Array) -> Array:
    """`y - x b - c` (n, k), about the means where there is an intercept."""
    if not solution.fits_intercept:
        return np.asarray(Y - solution.predict(X))
    return np.asarray(_about(solution, Y, X.shape[1]) - _about(solution, X, 0) @ solution.coef.T)


def _about(solution: Solution, values: Array, first: int) -> Array:
    """Columns less their means (n, m), which are kept as high and low."""
    high, low = solution.mean[:, first : first + values.shape[1]]
    return np.asarray((values - high) - low)


def see(slab: Slab, recipe: Recipe, solution: Solution, fills: Array, cluster: str | None = None) -> Seen:
    """The usable rows of a slab."""
    block = recipe.block(slab)
    X, Y = np.array(block.X, np.float64), np.array(block.Y, np.float64)
    gaps = np.isnan(X)
    if gaps.any():
        X = np.where(gaps, fills, X)
    ones = np.ones(block.n)
    w = ones if block.w is None else block.w
    w, copies = (ones, w) if recipe.weight_kind == "frequency" else (w, ones)
    labels = None
    if cluster is not None:
        labels = slab.texts(cluster).take(arrow.numbers(block.rows - slab.first))
        if labels.null_count:
            raise DataError(
                f"The cluster '{cluster}' is missing in {plural(labels.null_count, 'row')}. Every row "
                "needs one. Fill it, or leave those rows out."
            )
    residual = residuals(solution, X, Y)
    return Seen(whitened(solution, X), residual, Y - residual, w, copies, X, labels)


@dataclass(frozen=True, eq=False)
class Pass:
    """The rows of a fit, to be read again: everything that is not in the moments comes through here."""

    rows: Rows
    recipe: Recipe
    solution: Solution
    fills: Array

    @property
    def n(self) -> float:
        """How many observations the rows stand for."""
        return counted(self.solution, self.recipe.weight_kind)

    def reduce(
        self, step: Callable[[Seen], Any], merge: Any, empty: Any, cluster: str | None = None
    ) -> Any:
        """`Rows.reduce` of a step on what is seen. Raises DataError where the rows are not those fitted."""
        kinds = dict(self.recipe.reads_all)
        if cluster is not None:
            kinds.setdefault(cluster, "text")
        k, r = len(self.solution.targets), len(terms_of(self.solution))

        def both(slab: Slab) -> tuple[Any, Account]:
            seen = see(slab, self.recipe, self.solution, self.fills, cluster)
            return step(seen), Account.of(seen, self.solution)

        state, account = self.rows.reduce(
            both,
            lambda a, b: (merge(a[0], b[0]), a[1] + b[1]),
            (empty, Account(0, np.zeros(k), np.zeros(k), np.zeros((k, r)))),
            columns=kinds,
        )
        account.check(self.solution)
        return state


@dataclass(frozen=True, eq=False)
class Account:
    """What the rows of a fit must give again: their number, and residuals with nothing left to explain."""

    n: int
    rss: Array  # (k,)
    reach: Array  # (k,) sums of squares of what the residuals are differences of
    gradient: Array  # (k, r) sum w e z

    @classmethod
    def of(cls, seen: Seen, s: Solution) -> Account:
        used = int(np.count_nonzero(seen.copies * seen.w))
        about = _about(s, seen.X, 0) if s.fits_intercept else seen.X
        weight = (seen.copies * seen.w)[:, None]
        reach = (weight * (np.abs(about) @ np.abs(s.coef).T) ** 2).sum(axis=0)
        return cls(used, (seen.pull * seen.residual).sum(axis=0), reach, seen.pull.T @ seen.Z)

    def __add__(self, other: Account) -> Account:
        return Account(
            self.n + other.n, self.rss + other.rss, self.reach + other.reach, self.gradient + other.gradient
        )

    def check(self, s: Solution) -> None:
        """Whether these are the rows of `s`: as many, and at its minimum."""
        rounding = (1e-12 + 10.0 ** (1 - s.digits)) * np.sqrt(self.reach + s.tss)
        limit = 1e-5 * np.sqrt(self.rss) + rounding
        if self.n != s.n or (np.abs(self.gradient).max(axis=1, initial=0.0) > limit).any():
            raise DataError("The rows are not those that were fitted. Fit again.")


# ---- unequal variances ----


def robust(again: Pass, kind: str) -> Inference:
    """HC0 to HC3: right under any variances of the errors, given many rows."""
    s = again.solution
    k, r, n = len(s.targets), len(terms_of(s)), again.n

    def step(seen: Seen) -> Array:
        size = (seen.copies * seen.w**2 * _factor(seen, kind, n / (n - r)))[:, None] * seen.residual**2
        return np.stack([(seen.Z * size[:, [t]]).T @ seen.Z for t in range(k)])

    middle = again.reduce(step, np.add, np.zeros((k, r, r)))
    return _sandwich(s, kind, middle, n - r)


def _factor(seen: Seen, kind: str, small: float) -> Array:
    """`g` (n,) of each row."""
    if kind in ("HC0", "HC1"):
        return np.full(len(seen.w), small if kind == "HC1" else 1.0)
    left = np.asarray(1 - seen.leverage)
    if (left < 1e-10).any():
        raise DataError(
            f"{kind} divides by 1 - leverage, and {plural(int((left < 1e-10).sum()), 'row')} looked at "
            "has leverage 1: the fit meets it whatever its target is (often the only row of a level). Use "
            "HC1, or leave out what only that row has."
        )
    return 1 / left if kind == "HC2" else 1 / left**2


def _sandwich(s: Solution, kind: str, middle: Array, df: float, clusters: int = 0) -> Inference:
    W = s.root
    if W is None:  # pragma: no cover  # whitened() has said so before
        raise UsageError("The coefficients are one of many solutions.")
    cov = np.stack([W.T @ one @ W for one in middle])
    variance = np.diagonal(cov, axis1=1, axis2=2)
    plain = np.outer(s.rss, (W**2).sum(axis=0)) / s.n
    # scores that cancel to rounding are 0: columns that are dummies of the clusters have no spread
    se = np.where(variance > 1e-24 * plain, np.sqrt(np.maximum(variance, 0)), 0.0)
    # whitening rows in float64 loses what the columns' condition is
    digits = max(0.0, min(s.se_digits, 15 - float(np.log10(max(s.condition, 1.0)))))
    return Inference(kind, terms_of(s), s.targets, coefficients(s), se, cov, df, clusters, digits)


# ---- dependence within clusters ----


def clustered(again: Pass, kind: str, cluster: str) -> Inference:
    """CR0, CR1 or CR3: right under any dependence within clusters, given many of them."""
    s = again.solution
    r, k = len(terms_of(s)), len(s.targets)
    labels, scores = _scores(again, cluster)
    C = len(labels)
    if C < 2:
        raise DataError(f"Column '{cluster}' has {plural(C, 'cluster')}. Two or more are needed.")
    if kind == "CR3":
        scores = _jackknifed(again, cluster, labels, scores)
        factor = (C - 1) / C
    else:
        factor = 1.0 if kind == "CR0" else C / (C - 1) * (again.n - 1) / (again.n - r)
    middle = factor * np.stack([scores[:, t].T @ scores[:, t] for t in range(k)])
    return _sandwich(s, kind, middle, C - 1, C)


def _scores(again: Pass, cluster: str) -> tuple[Labels, Array]:
    """Clusters (C,) in order of their names, and `s_c` (C, k, r)."""
    r, k = len(terms_of(again.solution)), len(again.solution.targets)

    def step(seen: Seen) -> tuple[Labels, Array]:
        names, order, starts = _sorted(seen)
        Z, pull = seen.Z[order], seen.pull[order]
        if not len(names):
            return names, np.zeros((0, k, r))
        each = [np.add.reduceat(pull[:, [t]] * Z, starts, axis=0) for t in range(k)]
        return names, np.stack(each, axis=1)

    def merge(a: tuple[Labels, Array], b: tuple[Labels, Array]) -> tuple[Labels, Array]:
        names, place = np.unique(np.concatenate([a[0], b[0]]), return_inverse=True)
        total = np.zeros((len(names), k, r))
        np.add.at(total, place, np.concatenate([a[1], b[1]]))
        return names, total

    labels, scores = again.reduce(step, merge, (np.empty(0, object), np.empty((0, k, r))), cluster)
    return labels, scores


def _sorted(seen: Seen) -> tuple[Labels, NDArray[np.intp], NDArray[np.intp]]:
    """The clusters of some rows, the rows in their order, and where each of them begins."""
    encoded = pc.dictionary_encode(seen.labels)
    codes = arrow.values(encoded.indices)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(encoded.dictionary)))
    return np.array(encoded.dictionary.to_pylist(), object), order, starts


def _jackknifed(again: Pass, cluster: str, labels: Labels, scores: Array) -> Array:
    """`(I - A_c)^-1 s_c` (C, k, r): as many passes as the matrices of the clusters need."""
    r = scores.shape[2]
    at_once = max(1, MOST_NUMBERS // (r * r * (workers() + 1)))
    found = np.empty_like(scores)
    for start in range(0, len(labels), at_once):
        some = labels[start : start + at_once]
        matrices = _by_cluster(again, cluster, some, r)
        with one_blas_thread():  # many small factorisations: BLAS's own threads only get in the way
            for i, A in enumerate(matrices):
                found[start + i] = _without(A, scores[start + i], cluster, some[i])
    return found


def _by_cluster(again: Pass, cluster: str, some: Labels, r: int) -> Array:
    """`A_c = sum w z z'` (C, r, r) of some clusters."""
    place = {label: i for i, label in enumerate(some)}

    def step(seen: Seen) -> Array:
        total = np.zeros((len(some), r, r))
        names, order, starts = _sorted(seen)
        for name, rows in zip(names, np.split(order, starts[1:]), strict=False):
            if name in place:
                Z = seen.Z[rows]
                total[place[name]] = ((seen.copies * seen.w)[rows, None] * Z).T @ Z
        return total

    return np.asarray(again.reduce(step, np.add, np.zeros((len(some), r, r)), cluster))


def _without(A: Array, scores: Array, cluster: str, label: str) -> Array:
    """What leaving one cluster out does to the whitened coefficients (k, r)."""
    if np.linalg.eigvalsh(A)[-1] > 1 - 1e-10:
        raise DataError(
            f"CR3 leaves out one cluster of '{cluster}' after the other, and without '{label}' the columns "
            "depend on one another. Use CR1, or leave out the column that only that cluster has."
        )
    return np.asarray(np.linalg.solve(np.eye(len(A)) - A, scores.T).T)
