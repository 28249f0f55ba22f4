"""Inference: how far the coefficients can be trusted, and which rows they hang on.

With `A = [1, X]` (n, r) of the kept columns, `G = A' diag(w) A` and `G^-1 = W'W` (`Solution.root`), a row's
*whitened* form is `z = W a`, so that `sum w z z' = I`. Then

    classical   V = s^2 W'W,  s^2 = rss / (n - r)
    HC0..HC3    V = W' (sum_i w_i^2 e_i^2 g_i z_i z_i') W,  g = 1, n / (n - r), 1 / (1 - h), 1 / (1 - h)^2
    CR0, CR1    V = W' (sum_c s_c s_c') W,  s_c = sum_{i in c} w_i e_i z_i;  CR1 times C/(C-1) (n-1)/(n-r)
    CR3         V = (C-1)/C sum_c (b_-c - b)(b_-c - b)',  b_-c - b = -W' (I - A_c)^-1 s_c,  A_c = sum w z z'

with the leverage `h = w |z|^2`. Classical ones come from moments; the others need residuals, so the
rows are read once more (second moments do not hold fourth ones).

Sources: White, Econometrica 48 (1980) 817; MacKinnon, White, J. Econometrics 29 (1985) 305, HC1 to HC3;
Liang, Zeger, Biometrika 73 (1986) 13, and Stata's small-sample factor for CR1; Bell, McCaffrey, Survey
Methodology 28 (2002) 169, and Hansen, arXiv:2209.02548, for the cluster jackknife.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.errors import DataError, UsageError, listed, plural
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.recipe import Recipe
from leastwise.rows.block import Rows, Slab
from leastwise.solve import Solution

ROBUST, CLUSTERED = ("HC0", "HC1", "HC2", "HC3"), ("CR0", "CR1", "CR3")
KINDS = ("classical", *ROBUST, *CLUSTERED)
MOST_NUMBERS = 64_000_000  # of matrices by cluster held at once (half a GB): beyond, further passes
INTERCEPT = "(Intercept)"


@dataclass(frozen=True, eq=False, repr=False)
class Inference:
    """Standard errors, tests and intervals of the coefficients of a fit.

    `terms` (r,) are the intercept, where there is one, and the kept columns; `coef`, `se` (k, r) and `cov`
    (k, r, r) belong to them. `df` are the degrees of freedom of t: n - r, or for clustered errors the
    number of clusters less one. `kind` is one of "classical", "HC0" to "HC3", "CR0", "CR1", "CR3", "ridge".
    """

    kind: str
    terms: tuple[str, ...]
    targets: tuple[str, ...]
    coef: Array
    se: Array
    cov: Array
    df: float
    clusters: int = 0

    @cached_property
    def statistic(self) -> Array:
        """`coef / se` (k, r): t; nan where both are 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.coef / self.se)

    @cached_property
    def p_value(self) -> Array:
        """How often |t| would be as large if the coefficient were 0 (k, r), two-sided."""
        from scipy.special import stdtr

        return np.asarray(2 * stdtr(self.df, -np.abs(self.statistic)))

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Confidence limits (k, r): `coef ± t se`."""
        reach = t_quantile(level, self.df) * self.se
        return self.coef - reach, self.coef + reach

    def wald(self, one: int) -> tuple[Array, Array]:
        """F (k,) of all slopes being 0, and its p; `one` is 1 where an intercept stands first."""
        from scipy.special import fdtrc

        b, q = self.coef[:, one:], self.coef.shape[1] - one
        F = np.full(len(b), np.nan)
        for t in range(len(b)):
            V = self.cov[t, one:, one:]
            scale = np.sqrt(np.diagonal(V))
            if q and (scale > 0).all() and (not self.clusters or self.clusters > q):
                F[t] = (b[t] / scale) @ np.linalg.solve(V / np.outer(scale, scale), b[t] / scale) / q
        return F, np.asarray(fdtrc(q, self.df, F)) if q else F

    def __repr__(self) -> str:
        return f"Inference({self.kind}, {plural(len(self.terms), 'term')}, df {self.df:g})"


@dataclass(frozen=True)
class NoInference:
    """There are no standard errors, and this is why. Counts as False."""

    reason: str

    def __bool__(self) -> bool:
        return False


def t_quantile(level: float, df: float) -> float:
    """How many standard errors a two-sided interval of this level reaches."""
    from scipy.special import stdtrit

    if not isinstance(level, (int, float)) or isinstance(level, bool) or not 0 < level < 1:
        raise UsageError(f"level={level!r} is no probability. Give one between 0 and 1, such as 0.95.")
    return float(stdtrit(df, (1 + level) / 2))


# ---- from moments alone ----


def counted(solution: Solution, weight_kind: str) -> float:
    """How many observations the rows stand for: with frequency weights their sum."""
    return solution.weight if weight_kind == "frequency" else float(solution.n)


def terms_of(solution: Solution) -> tuple[str, ...]:
    """The terms that have a standard error: the intercept and the kept columns."""
    first = (INTERCEPT,) if solution.fits_intercept else ()
    return (*first, *(n for n, kept in zip(solution.names, solution.kept, strict=True) if kept))


def coefficients(solution: Solution) -> Array:
    """Coefficients (k, r) of those terms."""
    used = solution.coef[:, solution.kept]
    return np.column_stack([solution.intercept, used]) if solution.fits_intercept else used


def classical(solution: Solution, weight_kind: str) -> Inference | NoInference:
    """Standard errors under independent errors of one variance (over the weight); no row is read."""
    reason = why_none(solution, weight_kind)
    if reason or solution.root is None:
        return NoInference(reason)
    W, r = solution.root, len(solution.root)
    df = counted(solution, weight_kind) - r
    variance = solution.rss / df
    se = np.sqrt(np.outer(variance, (W**2).sum(axis=0)))
    cov = variance[:, None, None] * (W.T @ W)
    return Inference("classical", terms_of(solution), solution.targets, coefficients(solution), se, cov, df)


def ridge(moments: Moments, alpha: float) -> Inference:
    """Ridge coefficients for `1/(2n) SSE + alpha |b|^2`, and the spread of their sampling: kind "ridge".

    `b = (S + lambda I)^-1 S_xy`, lambda = 2 n alpha, `V = s^2 (S + lambda I)^-1 S (S + lambda I)^-1` with
    `s^2 = rss / (n - 1 - tr(2 H - H H'))`. They say how far the shrunken coefficients would move in other
    samples, not how far they are from the truth: shrinking biases them, so an interval by them does
    not hold its level. Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 3.4.1.
    """
    m = moments.imputed()
    p, S = len(m.names), m.comoment
    values, V = np.linalg.eigh(S[:p, :p])
    values, penalty = np.maximum(values, 0.0), 2 * m.weight * alpha
    kept = values / (values + penalty) if penalty else (values > 0).astype(float)
    inverse = np.divide(kept, values, out=np.zeros(p), where=values > 0)  # 1 / (d + lambda)
    b = (V * inverse) @ (V.T @ S[:p, p:])  # (p, k)
    rss = np.diagonal(S)[p:] - 2 * np.einsum("pk,pk->k", b, S[:p, p:])
    rss = rss + np.einsum("pk,pq,qk->k", b, S[:p, :p], b)
    df = m.n - 1 - float((2 * kept - kept**2).sum())
    slopes = (V * (inverse * kept)) @ V.T
    mean, centre = m.mean[:p], m.mean[p:]
    one = -slopes @ mean
    unit = np.block([[np.array([[1 / m.weight - mean @ one]]), one[None]], [one[:, None], slopes]])
    cov = (rss / df)[:, None, None] * unit
    coef = np.column_stack([centre - mean @ b, b.T])
    se = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    return Inference("ridge", (INTERCEPT, *m.names), m.targets, coef, se, cov, df)


AFTER_SELECTION = NoInference(
    "the lasso chooses its columns by the same rows: standard errors after it would be those of a model "
    "that was never in doubt. Fit the chosen columns on rows that it has not seen"
)


def why_none(solution: Solution, weight_kind: str) -> str:
    """Why a solution has no standard errors; "" where it has."""
    if solution.root is None:
        return "the coefficients are one of many solutions (rank='min-norm')"
    df = counted(solution, weight_kind) - len(solution.root)
    if df <= 0:
        return f"{plural(solution.n, 'row')} leave no degree of freedom beside the coefficients"
    return ""


def overall(solution: Solution, weight_kind: str, log_weight: float | None) -> dict[str, Array]:
    """What is said of the whole fit, each (k,): nan where it cannot be had.

    `sigma` residual standard deviation; `adj_r2`; `f`, `f_p` of all slopes being 0; `log_likelihood` of
    normal errors at their maximum (with `sum log w / 2` for analytic weights; none for sampling
    weights), `aic` and `bic` from it, the variance counted as a parameter, as R does.
    """
    from scipy.special import fdtrc

    n, k = counted(solution, weight_kind), len(solution.targets)
    one = int(solution.fits_intercept)
    r = (solution.rank if solution.root is None else len(solution.root) - one) + one
    df, slopes, nan = n - r, r - one, np.full(k, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = solution.rss / df if df > 0 else nan
        F = (solution.tss - solution.rss) / slopes / variance if slopes and df > 0 else nan
        adjusted = 1 - variance / (solution.tss / (n - one)) if n > one else nan
        ll = -n / 2 * (np.log(2 * np.pi * solution.rss / n) + 1)
    if log_weight is None or weight_kind == "sampling":
        ll = nan
    elif weight_kind == "analytic":
        ll = ll + log_weight / 2
    return {
        "sigma": np.sqrt(variance), "adj_r2": adjusted, "f": F, "f_p": np.asarray(fdtrc(slopes, df, F)),
        "log_likelihood": ll, "aic": 2 * (r + 1) - 2 * ll, "bic": np.log(n) * (r + 1) - 2 * ll,
        "df": np.full(k, float(slopes)), "df_residual": np.full(k, float(df)),
    }  # fmt: skip


def inflation(solution: Solution, squares: Array) -> Array:
    """Variance inflation factors (r,) of the terms, 1 / (1 - R2 on the others); nan for the intercept.

    `squares` (p,): sums of squares about the means (about zero without an intercept).
    """
    if solution.root is None:
        return np.empty(0)
    one = int(solution.fits_intercept)
    inverse = (solution.root[:, one:] ** 2).sum(axis=0)
    return np.concatenate([np.full(one, np.nan), squares[solution.kept] * inverse])


def condition_indices(solution: Solution, squares: Array) -> Array:
    """Largest singular value of `[1, X]` in unit columns over each of them (r,), ascending.

    `squares` (r,): sums of squares about zero. Source: Belsley, Kuh, Welsch, Regression Diagnostics (1980).
    """
    if solution.root is None:
        return np.empty(0)
    values = np.linalg.svd(solution.root * np.sqrt(squares), compute_uv=False)
    return np.sort(values / values.min())


# ---- by a second pass over the rows ----


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


def whitened(solution: Solution, X: Array) -> Array:
    """`z = W [1, x]` (n, r) of rows X (n, p), computed about the means: far columns lose no digits."""
    if solution.root is None:
        raise UsageError("The coefficients are one of many solutions. Leave out rank='min-norm'.")
    if not solution.fits_intercept:
        return np.asarray(X[:, solution.kept] @ solution.root.T)
    about = X[:, solution.kept] - solution.mean[solution.kept]
    first = np.full((len(X), 1), solution.root[0, 0])
    return np.hstack([first, about @ solution.root[1:, 1:].T])


def see(slab: Slab, recipe: Recipe, solution: Solution, fills: Array, cluster: str | None = None) -> Seen:
    """The usable rows of a slab."""
    block = recipe.block(slab)
    X = np.array(block.X, np.float64)
    gaps = np.isnan(X)
    if gaps.any():
        X = np.where(gaps, fills, X)
    fitted = solution.predict(X)
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
    return Seen(whitened(solution, X), block.Y - fitted, fitted, w, copies, X, labels)


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
        """`Rows.reduce` of a step on what is seen."""
        kinds = dict(self.recipe.reads_all)
        if cluster is not None:
            kinds.setdefault(cluster, "text")
        return self.rows.reduce(
            lambda slab: step(see(slab, self.recipe, self.solution, self.fills, cluster)),
            merge, empty, columns=kinds,
        )  # fmt: skip


def robust(again: Pass, kind: str) -> Inference:
    """HC0 to HC3: right under any variances of the errors, given many rows."""
    s = again.solution
    k, r = len(s.targets), len(terms_of(s))
    n = again.n

    def step(seen: Seen) -> Array:
        left = np.asarray(1 - seen.leverage)
        if kind in ("HC2", "HC3") and (left < 1e-10).any():
            raise DataError(
                f"{kind} divides by 1 - leverage, and a row has leverage 1: the fit meets it whatever "
                "its target is. Use HC1, or leave the column out that only that row has."
            )
        of_row = {"HC2": 1 / left, "HC3": 1 / left**2}
        g = of_row.get(kind, np.full(len(left), n / (n - r) if kind == "HC1" else 1.0))
        size = (seen.copies * seen.w**2 * g)[:, None] * seen.residual**2  # (n, k)
        return np.stack([(seen.Z * size[:, [t]]).T @ seen.Z for t in range(k)])

    middle = again.reduce(step, np.add, np.zeros((k, r, r)))
    return _sandwich(s, kind, middle, n - r)


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


def _sandwich(s: Solution, kind: str, middle: Array, df: float, clusters: int = 0) -> Inference:
    W = s.root
    assert W is not None  # whitened() has said so before
    cov = np.stack([W.T @ one @ W for one in middle])
    se = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    return Inference(kind, terms_of(s), s.targets, coefficients(s), se, cov, df, clusters)


def _scores(again: Pass, cluster: str) -> tuple[NDArray[Any], Array]:
    """Clusters (C,) in order of their names, and `s_c` (C, k, r)."""
    r, k = len(terms_of(again.solution)), len(again.solution.targets)
    Part = tuple[NDArray[Any], Array]

    def step(seen: Seen) -> Part:
        each = ((seen.copies * seen.w)[:, None] * seen.residual)[:, :, None] * seen.Z[
            :, None, :
        ]  # (n, k, r)
        return _by_label(np.array(seen.labels.to_pylist(), str), each)

    def merge(a: Part, b: Part) -> Part:
        return _by_label(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]))

    empty = np.empty(0, "U1"), np.empty((0, k, r))
    labels, scores = again.reduce(step, merge, empty, cluster)
    return labels, scores


def _texts(seen: Seen) -> NDArray[Any]:
    return np.array(seen.labels.to_pylist(), str)


def _by_label(labels: NDArray[Any], values: Array) -> tuple[NDArray[Any], Array]:
    """Sums of `values` (n, ...) over equal labels (n,)."""
    names, place = np.unique(labels, return_inverse=True)
    total = np.zeros((len(names), *values.shape[1:]))
    np.add.at(total, place, values)
    return names, total


def _jackknifed(again: Pass, cluster: str, labels: NDArray[Any], scores: Array) -> Array:
    """`(I - A_c)^-1 s_c` (C, k, r): as many passes as the matrices of the clusters need."""
    r = scores.shape[2]
    at_once = max(1, MOST_NUMBERS // (r * r))
    found = np.empty_like(scores)
    for start in range(0, len(labels), at_once):
        some = labels[start : start + at_once]

        def step(seen: Seen, some: NDArray[Any] = some) -> Array:
            total = np.zeros((len(some), r, r))
            names = _texts(seen)
            for label in np.unique(names):
                place = int(np.searchsorted(some, label))
                if place < len(some) and some[place] == label:
                    here = names == label
                    total[place] = ((seen.copies * seen.w)[here, None] * seen.Z[here]).T @ seen.Z[here]
            return total

        matrices = again.reduce(step, np.add, np.zeros((len(some), r, r)), cluster)
        for i, A in enumerate(matrices):
            if np.linalg.eigvalsh(A)[-1] > 1 - 1e-10:
                raise DataError(
                    f"CR3 leaves out one cluster of '{cluster}' after the other, and without "
                    f"'{some[i]}' the columns depend on one another. Use CR1, or leave out the column "
                    "that only that cluster has."
                )
            found[start + i] = np.linalg.solve(np.eye(r) - A, scores[start + i].T).T
    return found


def checked_kind(kind: str) -> str:
    """`kind` if it is a kind of standard errors."""
    if kind not in KINDS:
        raise UsageError(f"se={kind!r} is not known. It is one of {listed(KINDS, last='or')}.")
    return kind
