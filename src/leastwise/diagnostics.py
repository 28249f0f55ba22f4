"""Diagnostics: what the rows say of the fit, one by one. A second pass; memory: six numbers a row.

With residuals `e`, weights `w`, leverages `h` (inference.py), `s^2 = rss / (n - r)` and r coefficients:

    studentised (internally)   t_i = sqrt(w) e / (s sqrt(1 - h))
    studentised (externally)   sqrt(w) e / (s_-i sqrt(1 - h)), s_-i^2 = (rss - w e^2/(1 - h)) / (n - r - 1)
    Cook's distance            t^2 h / ((1 - h) r)
    DFFITS                     external t sqrt(h / (1 - h))
    PRESS                      sum w (e / (1 - h))^2: the squared errors of leave-one-out, without a refit
    Durbin-Watson              sum (e_i - e_i-1)^2 / sum e^2, in the order of the rows
    Breusch-Pagan              n R2 of w e^2 on X (Koenker's form), chi2 with r - 1 degrees of freedom; the
                               original ESS / (2 (rss/n)^2) beside it, which asks for normal errors

Sources: Belsley, Kuh, Welsch, Regression Diagnostics (1980); Cook, Technometrics 19 (1977) 15; Durbin,
Watson, Biometrika 38 (1951) 159; Breusch, Pagan, Econometrica 47 (1979) 1287; Koenker, J. Econometrics
17 (1981) 107; Jarque, Bera, Economics Letters 6 (1980) 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import UsageError
from leastwise.inference import why_none
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.robust import Pass, Seen
from leastwise.solve import least_squares

Test = tuple[float, float]  # statistic and p
QUANTILES = 200  # points of the normal picture at most


@dataclass(frozen=True, eq=False, repr=False)
class Diagnostics:
    """Numbers of each row that was used, in order, for the target `target`.

    Arrays (n,): `fitted`, `residual`, `leverage`, `weight`. `rss`, and `r` coefficients.
    `breusch_pagan` holds statistic and p by Koenker's form, `breusch_pagan_original` by the first one.
    """

    target: str
    fitted: Array
    residual: Array
    leverage: Array
    weight: Array
    rss: float
    r: int
    breusch_pagan: Test
    breusch_pagan_original: Test

    @property
    def n(self) -> int:
        return len(self.residual)

    @cached_property
    def studentised(self) -> Array:
        """Internally studentised residuals (n,); nan where the leverage is 1."""
        return self._over(np.sqrt(self.rss / (self.n - self.r)))

    @cached_property
    def studentised_externally(self) -> Array:
        """The same with the deviation of a fit without the row; its law is t with n - r - 1 degrees."""
        if self.n - self.r <= 1:
            return np.full(self.n, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            left = self.rss - self.weight * self.residual**2 / (1 - self.leverage)
            return self._over(np.sqrt(np.maximum(left, 0) / (self.n - self.r - 1)))

    @cached_property
    def cooks_distance(self) -> Array:
        """How far all coefficients move without the row, in units of their own spread (n,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.studentised**2 * self.leverage / (1 - self.leverage) / self.r

    @cached_property
    def dffits(self) -> Array:
        """How far the row's own fitted value moves without it, in its standard errors (n,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.studentised_externally * np.sqrt(self.leverage / (1 - self.leverage))

    @cached_property
    def left_out(self) -> Array:
        """Residuals (n,) of fits without the row: `e / (1 - h)`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self._certain, np.nan, self.residual / (1 - self.leverage))

    @property
    def press(self) -> float:
        """The sum of squares of leave-one-out (n refits in one pass)."""
        return float((self.weight * self.left_out**2).sum())

    @property
    def durbin_watson(self) -> float:
        """Near 2 where neighbouring rows have nothing in common, towards 0 where they agree."""
        with np.errstate(divide="ignore", invalid="ignore"):
            e = np.sqrt(self.weight) * self.residual
            return float((np.diff(e) ** 2).sum() / (e**2).sum())

    @cached_property
    def normality(self) -> dict[str, float]:
        """Skewness, excess kurtosis of the residuals, and Jarque and Bera's statistic with its p."""
        from scipy.special import chdtrc

        e = np.sqrt(self.weight) * self.residual
        e = e - e.mean()
        m2, m3, m4 = ((e**power).mean() for power in (2, 3, 4))
        with np.errstate(divide="ignore", invalid="ignore"):
            skewness, kurtosis = m3 / m2**1.5, m4 / m2**2 - 3
        statistic = self.n / 6 * (skewness**2 + kurtosis**2 / 4)
        named = {"skewness": skewness, "kurtosis": kurtosis, "jarque_bera": statistic}
        return {k: float(v) for k, v in named.items()} | {"p_value": float(chdtrc(2, statistic))}

    @cached_property
    def quantiles(self) -> tuple[Array, Array]:
        """Normal quantiles and the studentised residuals at them: a line where errors are normal."""
        from scipy.special import ndtri

        known = np.sort(self.studentised[~np.isnan(self.studentised)])
        at = (np.arange(min(len(known), QUANTILES)) + 0.5) / min(max(len(known), 1), QUANTILES)
        return np.asarray(ndtri(at)), np.quantile(known, at, method="hazen") if len(known) else known

    def table(self) -> dict[str, Array]:
        """The numbers of each row by name."""
        return {
            ".fitted": self.fitted, ".resid": self.residual, ".hat": self.leverage,
            ".std_resid": self.studentised, ".stud_resid": self.studentised_externally,
            ".cooksd": self.cooks_distance, ".dffits": self.dffits,
        }  # fmt: skip

    @property
    def _certain(self) -> Array:
        """Rows (n,) that the fit meets whatever their target is."""
        return np.asarray(1 - self.leverage < 1e-10)

    def _over(self, spread: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.sqrt(self.weight) * self.residual / (spread * np.sqrt(1 - self.leverage))
        return np.where(self._certain, np.nan, t)

    def __repr__(self) -> str:
        return f"Diagnostics({self.target}, {self.n:,} rows)"


def diagnose(again: Pass) -> list[Diagnostics]:
    """The diagnostics of each target. Cost: one pass, n (p + k)^2 for Breusch and Pagan's regression."""
    s = again.solution
    if s.root is None or s.n <= len(s.root):
        reason = why_none(s, again.recipe.weight_kind)
        way = "Fit without it" if s.penalised else "Fit with more rows, or fewer columns"
        raise UsageError(f"There is no residual to look at: {reason}. {way}.")
    k, r = len(s.targets), s.rank + s.fits_intercept
    if again.recipe.weight_kind == "frequency":
        raise UsageError(
            "Diagnostics look at rows one by one, and with frequency weights a row stands for several. "
            "Repeat the rows instead of weighting them."
        )
    unit = np.where(s.rss > 0, s.rss / s.n, 1.0)  # squares of residuals in this unit are near 1
    Part = tuple[list[Array], Moments]

    def step(seen: Seen) -> Part:
        columns = [seen.fitted, seen.residual, seen.leverage[:, None], seen.w[:, None]]
        squares = seen.w[:, None] * seen.residual**2 / unit
        about = np.concatenate([s.mean[0, : len(s.names)], np.ones(k)])
        names = tuple(f"e2 of {t}" for t in s.targets)
        return [np.hstack(columns)], Moments.of_rows(s.names, names, seen.X, squares, None, about)

    none: list[Array] = []
    empty = none, Moments.empty(s.names, tuple(f"e2 of {t}" for t in s.targets))
    parts, moments = again.reduce(step, lambda a, b: (a[0] + b[0], a[1] + b[1]), empty)
    found = np.concatenate(parts)
    tests = _breusch_pagan(moments, s.kept)
    return [
        Diagnostics(
            s.targets[t], found[:, t], found[:, k + t], found[:, 2 * k], found[:, 2 * k + 1],
            float(found[:, 2 * k + 1] @ found[:, k + t] ** 2), r, *tests[t],
        )
        for t in range(k)
    ]  # fmt: skip


def _breusch_pagan(moments: Moments, kept: NDArray[np.bool_]) -> list[tuple[Test, Test]]:
    """For each target Koenker's statistic and the original one, with their p."""
    from scipy.special import chdtrc

    fit = least_squares(moments, keep=kept, root=False)
    explained, q = fit.tss - fit.rss, fit.rank
    mean = moments.mean[len(moments.names) :]
    with np.errstate(divide="ignore", invalid="ignore"):  # squares that are all alike explain nothing
        koenker, original = moments.n * fit.r2, explained / mean**2 / 2
    return [
        ((float(a), float(chdtrc(q, a))), (float(b), float(chdtrc(q, b))))
        for a, b in zip(koenker, original, strict=True)
    ]
