"""Inference: how far the coefficients can be trusted, and which rows they hang on.

With `A = [1, X]` (n, r) of the kept columns, `G = A' diag(w) A` and `G^-1 = W'W` (`Solution.root`), a row's
*whitened* form is `z = W a`, so that `sum w z z' = I`. Then

    classical   V = s^2 W'W,  s^2 = rss / (n - r)
    HC0..HC3    V = W' (sum_i w_i^2 e_i^2 g_i z_i z_i') W,  g = 1, n / (n - r), 1 / (1 - h), 1 / (1 - h)^2
    CR0, CR1    V = W' (sum_c s_c s_c') W,  s_c = sum_{i in c} w_i e_i z_i;  CR1 times C/(C-1) (n-1)/(n-r)
    CR3         V = (C-1)/C sum_c (b_-c - b)(b_-c - b)',  b_-c - b = -W' (I - A_c)^-1 s_c,  A_c = sum w z z'

with the leverage `h = w |z|^2`. Classical ones come from moments; the others need residuals, so the
rows are read once more (second moments do not hold fourth ones): robust.py.

Sources: White, Econometrica 48 (1980) 817; MacKinnon, White, J. Econometrics 29 (1985) 305, HC1 to HC3;
Liang, Zeger, Biometrika 73 (1986) 13, and Stata's small-sample factor for CR1; Bell, McCaffrey, Survey
Methodology 28 (2002) 169, and Hansen, arXiv:2209.02548, for the cluster jackknife.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np

from leastwise.errors import UsageError, listed, plural
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.solve import Solution

ROBUST, CLUSTERED = ("HC0", "HC1", "HC2", "HC3"), ("CR0", "CR1", "CR3")
KINDS = ("classical", *ROBUST, *CLUSTERED)
INTERCEPT = "(Intercept)"


@dataclass(frozen=True, eq=False, repr=False)
class Inference:
    """Standard errors, tests and intervals of the coefficients of a fit.

    `terms` (r,) are the intercept, where there is one, and the kept columns; `coef`, `se` (k, r) and `cov`
    (k, r, r) belong to them. `df` are the degrees of freedom of t: n - r, or for clustered errors the
    number of clusters less one. `digits`: how many to expect of `se`. `kind` is one of "classical", "HC0"
    to "HC3", "CR0", "CR1", "CR3", "ridge".
    """

    kind: str
    terms: tuple[str, ...]
    targets: tuple[str, ...]
    coef: Array
    se: Array
    cov: Array
    df: float
    clusters: int = 0
    digits: float = 15.0

    @cached_property
    def statistic(self) -> Array:
        """`coef / se` (k, r): t; nan where both are 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.coef / self.se)

    @cached_property
    def p_value(self) -> Array:
        """How often |t| would be as large if the coefficient were 0 (k, r), two-sided; nan for se 0."""
        from scipy.special import stdtr

        return np.where(self.se > 0, 2 * stdtr(self.df, -np.abs(self.statistic)), np.nan)

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
            if q and (scale > 0).all() and _positive(V / np.outer(scale, scale)):
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


def _positive(R: Array) -> bool:
    """Whether a matrix of correlations is clearly positive definite: with few clusters it is not."""
    return bool(np.linalg.eigvalsh(R)[0] > 1e-12 * len(R))


def t_quantile(level: float, df: float) -> float:
    """How many standard errors a two-sided interval of this level reaches."""
    from scipy.special import stdtrit

    if not isinstance(level, Real) or isinstance(level, bool) or not 0 < level < 1:
        raise UsageError(f"{level!r} is no probability. Give one between 0 and 1, such as 0.95.")
    return float(-stdtrit(df, (1 - float(level)) / 2))  # from below: 1 + level would lose digits


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
    variance = solution.rss / df  # the unit of the weights cancels from it and W'W
    se = np.sqrt(np.outer(variance, (W**2).sum(axis=0)))
    cov = variance[:, None, None] * (W.T @ W)
    names = terms_of(solution), solution.targets, coefficients(solution)
    return Inference("classical", *names, se, cov, df, digits=solution.se_digits)


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
    n = m.weight if m.weight_kind == "frequency" else m.n
    df = n - 1 - float((2 * kept - kept**2).sum())
    slopes = (V * (inverse * kept)) @ V.T
    mean, centre = m.mean[:p], m.mean[p:]
    one = -slopes @ mean
    unit = np.block([[np.array([[1 / m.weight - mean @ one]]), one[None]], [one[:, None], slopes]])
    cov = (rss / df)[:, None, None] * unit
    coef = np.column_stack([centre - mean @ b, b.T])
    se = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    return Inference("ridge", (INTERCEPT, *m.names), m.targets, coef, se, cov, df)


AFTER_SELECTION = (
    "the penalty chose its columns by the same rows, and standard errors would take them as if they had "
    "been known before. Fit the chosen columns on rows that it has not seen"
)
SHRUNK = (
    "a penalty draws coefficients towards 0, and intervals about them would not hold their level; "
    "fit.infer('ridge') says how far they would move in other samples"
)
BOUNDED = "bounds hold coefficients, and where they do the distribution of the errors is not known"


def _why_shrunk(solution: Solution) -> str:
    """Why a penalised or bounded fit has no standard errors."""
    if solution.penalty.l1:
        return AFTER_SELECTION
    return SHRUNK if solution.method == "ridge" else BOUNDED


def residual_variance(solution: Solution, weight_kind: str) -> Array:
    """`s^2` (k,): of a row of weight 1; for sampling weights, whose unit says nothing, of any row."""
    slopes = solution.df if solution.penalised else float(solution.rank)
    df = np.broadcast_to(
        counted(solution, weight_kind) - slopes - solution.fits_intercept, solution.rss.shape
    )
    unit = solution.n / solution.weight if weight_kind == "sampling" else 1.0
    return np.divide(solution.rss * unit, df, out=np.full(len(solution.rss), np.nan), where=df > 0)


def why_none(solution: Solution, weight_kind: str) -> str:
    """Why a solution has no standard errors; "" where it has."""
    if solution.penalised:
        return _why_shrunk(solution)
    if solution.root is None and solution.method == "min-norm":
        return "the coefficients are one of many solutions (rank='min-norm')"
    df = counted(solution, weight_kind) - solution.rank - solution.fits_intercept
    if df <= 0:
        return f"{plural(solution.n, 'row')} leave no degree of freedom beside the coefficients"
    if (solution.rss_digits < 1).any() and solution.precision == "fast":
        return "the residuals are below what fast moments carry; precision='exact' has them"
    if solution.root is None:
        return "the model file does not hold what they are made of (it would have given away rows)"
    return ""


def overall(solution: Solution, weight_kind: str, log_weight: float | None) -> dict[str, Array]:
    """What is said of the whole fit, each (k,): nan where it cannot be had.

    `sigma` residual standard deviation; `adj_r2`; `f`, `f_p` of all slopes being 0; `log_likelihood` of
    normal errors at their maximum (with `sum log w / 2` for analytic weights; none for sampling
    weights), `aic` and `bic` from it, the variance counted as a parameter, as R does.
    """
    from scipy.special import fdtrc

    n, k = counted(solution, weight_kind), len(solution.targets)
    one, nan = int(solution.fits_intercept), np.full(k, np.nan)
    slopes = _slopes(solution)  # (k,)
    r = slopes + one
    df = n - r
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = residual_variance(solution, weight_kind)
        tested = (slopes > 0) & (df > 0) & (solution.rss > 0) & (not solution.penalised)
        F = np.where(tested, (solution.tss - solution.rss) / slopes / (solution.rss / df), np.nan)
        adjusted = np.where(df > 0, 1 - (solution.rss / df) / (solution.tss / (n - one)), np.nan)
        ll = -n / 2 * (np.log(2 * np.pi * solution.rss / n) + 1)
    if log_weight is None or weight_kind == "sampling":
        ll = nan
    elif weight_kind == "analytic":
        ll = ll + log_weight / 2
    return {
        "sigma": np.sqrt(variance), "adj_r2": adjusted, "f": F, "f_p": np.asarray(fdtrc(slopes, df, F)),
        "log_likelihood": ll, "aic": 2 * (r + 1) - 2 * ll, "bic": np.log(n) * (r + 1) - 2 * ll,
        "df": slopes, "df_residual": df,
    }  # fmt: skip


def _slopes(solution: Solution) -> Array:
    """Degrees of freedom (k,) of the slopes: their number, or what a penalty leaves of it."""
    if solution.penalised:
        return solution.df
    one = int(solution.fits_intercept)
    count = solution.rank if solution.root is None else len(solution.root) - one
    return np.full(len(solution.targets), float(count))


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


def checked_kind(kind: str) -> str:
    """`kind` if it is a kind of standard errors."""
    if kind not in KINDS:
        raise UsageError(f"se={kind!r} is not known. It is one of {listed(KINDS, last='or')}.")
    return kind


def cluster_is_number(cluster: str) -> str:
    """What is said of clusters that a text file gives as numbers."""
    return (
        f"'{cluster}' names the clusters and is a numeric feature too: read as numbers, long names would "
        f"run together. Leave it out of the features, or declare it: categorical=['{cluster}']."
    )
