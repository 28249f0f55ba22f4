"""Standard errors, tests and intervals against what other programs printed: R, Stata, SAS, Gretl, NIST.

`reference/README.md` says how the numbers were collected and how closely each may be asked for: half a
unit of the last digit that its own data confirm, but no more than one digit less than a plain float64
computation keeps or 11 digits, whichever is more, and never more than 13. So nothing is looser than
1e-10 where the program printed 11 good digits. Every quantity is asked of precision="auto" (integers,
on data this small) and of precision="fast" too; the two sets in `FAST` are asked for fewer digits there.

Below stand the diagnostics for which nothing was printed, with SciPy beside them.

No feature of ours, so not listed: two-way clusters (`grunfeld_twoway`, `grunfeld_twoway_small`), the
jackknife about its own mean (`crjk`), White's test, Goldfeld-Quandt, Breusch-Godfrey, likelihood-ratio
tests of nested models, Hannan-Quinn's criterion, DFBETAS, covariance ratios.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

import leastwise as lw
from leastwise.diagnostics import Diagnostics
from leastwise.errors import UsageError
from leastwise.inference import Inference, t_quantile

REFERENCE = json.loads((Path(__file__).parent / "reference" / "inference.json").read_text())
SETS = {one["name"]: one for one in REFERENCE["sets"]}
KINDS = ("classical", "HC0", "HC1", "HC2", "HC3", "CR0", "CR1", "CR3")
NOT_OURS = {
    "white", "goldfeld_quandt", "goldfeld_quandt_p", "hqic_gretl", "lr_without_lint", "lr_without_lint_p",
    "dfbetas", "covratio", "breusch_godfrey_4", "breusch_godfrey_4_p", "breusch_godfrey_4_f",
    "breusch_godfrey_4_f_p",
}  # fmt: skip
ALONE = {"durbin_watson", "statecrime_vif"}  # sets without a regression of their own: tests below

# Fast moments square the condition of the columns, which is large in Longley's. Digits they keep there:
FAST = {"longley": 11, "longley_origin": 9}


@dataclass(frozen=True)
class Case:
    """One set of references and our fit of it; `single`: the data rounded as that program held them."""

    name: str
    precision: str
    single: bool = False

    @property
    def set(self) -> dict[str, Any]:
        return SETS[self.name]

    @property
    def n(self) -> int:
        return self.set["n"]

    @property
    def k(self) -> int:
        """Coefficients, the intercept with them."""
        return self.set["k"]

    @property
    def q(self) -> int:
        """Slopes."""
        return self.k - self.set["intercept"]

    @cached_property
    def table(self) -> dict[str, Any]:
        """Columns by name: features, target, weight, clusters."""
        data = REFERENCE["data"][self.set["data"]]
        kept = np.float32 if self.single else np.float64
        X, y = np.array(data["X"], kept).astype(float), np.array(data["y"], kept).astype(float)
        found = dict(zip(data["names"], X.T, strict=True)) | {data["y_name"]: y}
        if self.set.get("weights") == "inverse_value":
            found["w"] = 1 / found["value"]
        elif "weights" in self.set:
            found["w"] = np.array(data["weights"][self.set["weights"]], float)
        if "groups" in self.set:
            found["cluster"] = data["groups"][self.set["groups"][0]]
        return found

    def refit(self, **more: Any) -> lw.Fit:
        data = REFERENCE["data"][self.set["data"]]
        asked = {
            "features": data["names"],
            "intercept": self.set["intercept"],
            "se": self.set["cov"],
            "weight": "w" if "w" in self.table else None,
            "cluster": "cluster" if "cluster" in self.table else None,
            "precision": self.precision,
        }
        return lw.fit(pa.table(self.table), data["y_name"], **(asked | more))

    @cached_property
    def fit(self) -> lw.Fit:
        return self.refit()

    @cached_property
    def errors(self) -> Any:
        assert self.fit.inference.kind == self.set["cov"]
        return self.fit.inference

    @cached_property
    def rows(self) -> Diagnostics:
        return self.fit.diagnostics()

    @cached_property
    def whole(self) -> dict[str, float]:
        """What is said of the whole fit: the one row of `glance`."""
        return self.fit.glance().to_pylist()[0]

    @property
    def stretch(self) -> float:
        """Stata's analytic weights are scaled to sum to n before anything is made of them; ours stand."""
        return self.n / self.table["w"].sum() if "w" in self.table and "Stata" in self.set["by"] else 1.0

    @property
    def to_cov(self) -> float:
        """ivreg2 prints the F of HC1 or CR1 beside HC0 or CR0: their factor."""
        if self.set["cov"] == "HC0":
            return self.n / (self.n - self.k)
        if self.set["cov"] == "CR0":
            G = len(set(self.table["cluster"]))
            return G / (G - 1) * (self.n - 1) / (self.n - self.k)
        return 1.0

    @property
    def reach(self) -> float:
        """The quantile that the set's intervals take: of t, or of the normal where it says so."""
        return (
            stats.norm.isf(0.025)
            if self.set["distribution"] == "normal"
            else stats.t.isf(0.025, self.set["df"])
        )


case = lru_cache(maxsize=None)(Case)


def case_of(name: str, quantity: str, precision: str) -> Case:
    """The set as the program had it that printed this quantity of it."""
    return case(name, precision, "good_single" in SETS[name]["values"][quantity])


# ---- each quantity from our fit; what another program counts otherwise is converted here ----


def ours_p(c: Case) -> Any:
    if c.name == "duncan_outliers":  # of the studentised residuals, in the order of their size
        return 2 * stats.t.sf(np.abs(ours_stud_res(c)), c.n - c.k - 1)
    if c.set["distribution"] == "normal":  # ivreg2 without `small`: z; ours is always t
        return 2 * stats.norm.sf(np.abs(c.errors.statistic[0]))
    return c.errors.p_value[0]


def ours_ci(c: Case, sign: int) -> Any:
    if c.set["distribution"] == "normal":
        return c.errors.coef[0] + sign * c.reach * c.errors.se[0]
    return c.errors.interval(0.95)[sign > 0][0]


def ours_loglik(c: Case) -> float:
    found = c.whole["log_likelihood"]
    if "w" in c.table:  # ours has sum(log w)/2, the density of the rows as they are; Stata has no such term
        found -= np.log(c.table["w"]).sum() / 2 + c.n / 2 * math.log(c.stretch)
    return found


def ours_stud_res(c: Case) -> Any:
    found = c.rows.studentised_externally
    return found[c.set["order"]] if "order" in c.set else found


def ours_f(c: Case) -> float:
    return c.whole["f"] / c.to_cov


def ours_vif(c: Case) -> Any:
    """Gretl's own are of a run without the first row."""
    rows = {name: column[1:] for name, column in c.table.items()}
    fit = lw.fit(pa.table(rows), "ginv", precision=c.precision)
    return fit.tidy()["vif"].to_numpy(zero_copy_only=False)[1:]


def without_lint(c: Case) -> float:
    small = c.refit(features=["ggdp"])
    return small.glance()["log_likelihood"][0].as_py()


OURS: dict[str, Callable[[Case], Any]] = {
    "coef": lambda c: c.errors.coef[0],
    "se": lambda c: c.errors.se[0],
    "t": lambda c: c.errors.statistic[0],
    "z": lambda c: c.errors.statistic[0],
    "p": ours_p,
    "p_times_n": lambda c: ours_p(c) * c.n,
    "ci_low": lambda c: ours_ci(c, -1),
    "ci_high": lambda c: ours_ci(c, +1),
    "cov": lambda c: c.errors.cov[0],
    "cov_unscaled": lambda c: c.errors.cov[0] / c.whole["sigma"] ** 2,
    "correlation": lambda c: c.errors.cov[0] / np.outer(c.errors.se[0], c.errors.se[0]),
    # curve_fit(absolute_sigma=True): the weights are taken as 1 / variance, and sigma as 1
    "se_fixed_scale": lambda c: c.errors.se[0] / c.whole["sigma"],
    "sigma": lambda c: c.whole["sigma"] * math.sqrt(c.stretch),
    "sigma2": lambda c: c.whole["sigma"] ** 2,
    "sigma_ml": lambda c: c.whole["rmse"],  # weights as given or scaled: the mean is the same
    "rss": lambda c: c.fit.solution.rss[0] * c.stretch,
    "rss_r": lambda c: c.fit.solution.rss[0],
    "tss_r": lambda c: c.fit.solution.tss[0],
    "ess": lambda c: (c.fit.solution.tss[0] - c.fit.solution.rss[0]) * c.stretch,
    "ms_model": lambda c: (c.fit.solution.tss[0] - c.fit.solution.rss[0]) / c.q,
    "r2": lambda c: c.whole["r2"],
    "r2_adj": lambda c: c.whole["adj_r2"],
    "f": ours_f,
    "f_p": lambda c: stats.f.sf(ours_f(c), c.q, c.errors.df) if c.to_cov != 1 else c.whole["f_p"],
    "f_without_lint": lambda c: c.errors.statistic[0, 2] ** 2,  # one column less: F is t squared
    "f_without_lint_p": lambda c: c.errors.p_value[0, 2],
    "loglik": ours_loglik,
    "loglik_r": ours_loglik,
    "loglik_null": lambda c: ours_loglik(c) + c.n / 2 * math.log(1 - c.whole["r2"]),
    "loglik_without_lint": without_lint,
    # R counts sigma as a parameter, as we do; Stata and Gretl do not
    "aic_r": lambda c: c.whole["aic"],
    "aic": lambda c: c.whole["aic"] - 2,
    "bic": lambda c: c.whole["bic"] - math.log(c.n),
    "aic_gretl": lambda c: c.whole["aic"] - 2,
    "bic_gretl": lambda c: c.whole["bic"] - math.log(c.n),
    "fitted": lambda c: c.rows.fitted,
    "resid": lambda c: c.rows.residual,
    "resid_over_sigma": lambda c: c.rows.residual / c.whole["sigma"],
    "hat": lambda c: c.rows.leverage,
    "std_res": lambda c: c.rows.studentised,
    "stud_res": ours_stud_res,
    "cooks": lambda c: c.rows.cooks_distance,
    "dffits": lambda c: c.rows.dffits,
    "press": lambda c: c.rows.press,
    "durbin_watson": lambda c: c.rows.durbin_watson,
    "breusch_pagan": lambda c: c.rows.breusch_pagan[0],
    "breusch_pagan_p": lambda c: c.rows.breusch_pagan[1],
    "breusch_pagan_original": lambda c: c.rows.breusch_pagan_original[0],
    "breusch_pagan_original_p": lambda c: c.rows.breusch_pagan_original[1],
    "vif": ours_vif,
}


def applicable() -> list[tuple[str, str]]:
    named = [s for s in SETS.values() if s.get("cov") in KINDS and s["name"] not in ALONE]
    return [(s["name"], q) for s in named for q in s["values"] if q not in NOT_OURS]


def compare(found: Any, said: dict[str, Any], most: int = 13) -> None:
    """Half a unit of the last digit of each number; a number that was not printed is not looked at."""
    value = np.array(said["value"], float)  # null is nan
    good = np.array(said.get("good_single", said["good"]), float)
    digits = np.broadcast_to(np.minimum(good, min(max(said["float64"] - 1, 11), most)), value.shape)
    found = np.broadcast_to(np.asarray(found, float), value.shape)
    known = ~np.isnan(value)
    found, value, digits = found[known], value[known], digits[known]
    unit = 0.502 * 10 ** (np.floor(np.log10(np.abs(value))) + 1 - digits)
    worst = int(np.argmax(np.abs(found - value) / unit))
    assert np.abs(found - value)[worst] <= unit[worst], (
        f"{found[worst]:.16g} for {value[worst]:.16g}, of which {digits[worst]:g} digits are asked"
    )


@pytest.mark.parametrize(("name", "quantity"), applicable())
def test_what_other_programs_printed_is_what_we_find(name, quantity):
    compare(OURS[quantity](case_of(name, quantity, "auto")), SETS[name]["values"][quantity])


@pytest.mark.parametrize(("name", "quantity"), applicable())
def test_fast_moments_find_it_too(name, quantity):
    compare(
        OURS[quantity](case_of(name, quantity, "fast")), SETS[name]["values"][quantity], FAST.get(name, 13)
    )


def test_every_kind_of_standard_errors_has_a_reference():
    assert {SETS[name]["cov"] for name, _ in applicable()} == set(KINDS)


# ---- sets without a regression of their own ----


@pytest.mark.parametrize(
    ("quantity", "series"),
    [
        ("dw_e", lambda e: e),
        ("dw_e_squared", lambda e: e**2),
        ("dw_e_lag_0.5", lambda e: e[1:] + 0.5 * e[:-1]),
    ],
)
def test_durbin_watson_of_a_series_taken_as_residuals(quantity, series):
    u = series(np.array(REFERENCE["data"]["dw_series"]["y"], float))
    none = np.zeros(len(u))
    rows = Diagnostics("u", none, u, none, none + 1, float(u @ u), 1, (0.0, 1.0), (0.0, 1.0))
    compare(rows.durbin_watson, SETS["durbin_watson"]["values"][quantity])


@pytest.mark.parametrize("precision", ["auto", "fast"])
def test_inflation_without_an_intercept_is_about_zero(precision):
    data = REFERENCE["data"]["statecrime"]
    X = np.array(data["X"], float)
    table = pa.table(dict(zip(data["names"], X.T, strict=True)) | {"y": np.arange(len(X)) ** 0.5})
    tidy = lw.fit(table, "y", intercept=False, precision=precision).tidy().to_pydict()
    found = tidy["vif"][tidy["term"].index("urban")]
    compare([found], SETS["statecrime_vif"]["values"]["vif_uncentred"])


# ---- diagnostics, and SciPy beside them ----

N = 60
AB = {"features": ["a", "b"]}


@pytest.fixture
def frame():
    r = np.random.default_rng(0)
    a, b = r.normal(size=(2, N))
    return pd.DataFrame({"a": a, "b": b, "w": r.integers(1, 5, N), "y": a + 2 * b + r.normal(size=N)})


@pytest.mark.parametrize("df", [1, 2, 3, 10, 1e6])
@pytest.mark.parametrize("size", [0.5, 5, 41, 100, 1e4])
def test_p_values_keep_their_digits_far_out(df, size):
    one = Inference(
        "classical", ("x",), ("y",), np.array([[size]]), np.ones((1, 1)), np.ones((1, 1, 1)), df
    )
    assert one.p_value[0, 0] == pytest.approx(2 * stats.t.sf(size, df), rel=1e-10, abs=1e-300)


def test_quantiles_keep_their_digits_near_one():
    level = 1 - 1e-12
    assert t_quantile(level, 10) == pytest.approx(stats.t.isf((1 - level) / 2, 10), rel=1e-10)


def test_residuals_are_tested_for_their_shape(frame):
    rows = lw.fit(frame, "y", **AB).diagnostics()
    e = rows.residual
    said, truth = rows.normality, stats.jarque_bera(e)
    assert said["jarque_bera"] == pytest.approx(truth.statistic, rel=1e-12)
    assert said["p_value"] == pytest.approx(truth.pvalue, rel=1e-12)
    assert said["skewness"] == pytest.approx(stats.skew(e), rel=1e-12)
    assert said["kurtosis"] == pytest.approx(stats.kurtosis(e), rel=1e-12)
    assert set(rows.table()) == {
        ".fitted",
        ".resid",
        ".hat",
        ".std_resid",
        ".stud_resid",
        ".cooksd",
        ".dffits",
    }
    assert rows.leverage.sum() == pytest.approx(3, rel=1e-12)


def test_the_normal_picture_of_few_rows_shows_the_rows(frame):
    rows = lw.fit(frame, "y", **AB).diagnostics()
    at, quantiles = rows.quantiles
    np.testing.assert_allclose(stats.norm.cdf(at), (np.arange(N) + 0.5) / N, rtol=1e-12)
    np.testing.assert_allclose(quantiles, np.sort(rows.studentised), rtol=1e-12)


def test_several_targets_have_their_diagnostics_each(frame):
    both = lw.fit(frame.assign(z=frame["y"] ** 2), ["y", "z"], **AB).diagnostics()
    alone = lw.fit(frame, "y", **AB).diagnostics()
    assert [rows.target for rows in both] == ["y", "z"]
    np.testing.assert_allclose(both[0].studentised, alone.studentised, rtol=1e-12)
    np.testing.assert_allclose(both[0].breusch_pagan, alone.breusch_pagan, rtol=1e-9)


def test_a_row_that_is_met_whatever_its_target_has_no_studentised_residual(frame):
    rows = lw.fit(frame.assign(only=np.arange(N) == 7), "y", features=["a", "only"]).diagnostics()
    assert rows.leverage[7] == pytest.approx(1, abs=1e-12)
    for values in (rows.studentised, rows.studentised_externally, rows.left_out):
        assert np.flatnonzero(np.isnan(values)).tolist() == [7]


def test_diagnostics_need_residuals_and_rows_that_are_rows(frame):
    with pytest.raises(UsageError, match=r"3 rows leave no degree of freedom"):
        lw.fit(frame[:3], "y", **AB).diagnostics()
    with pytest.raises(UsageError, match=r"Repeat the rows instead of weighting"):
        lw.fit(frame, "y", weight="w", weight_kind="frequency", **AB).diagnostics()


def test_right_weights_pass_the_tests_of_residuals():
    r = np.random.default_rng(0)
    X = r.normal(size=(200, 2))
    w = np.exp(1.5 * X[:, 0])
    Y = X.sum(axis=1)[:, None] + r.normal(size=(200, 100)) / np.sqrt(w)[:, None]
    table = pa.table({"x0": X[:, 0], "x1": X[:, 1], "w": w} | {f"y{t}": y for t, y in enumerate(Y.T)})
    names = [f"y{t}" for t in range(100)]
    rows = lw.fit(table, names, features=["x0", "x1"], weight="w", folds=0).diagnostics()
    assert np.mean([one.breusch_pagan[1] < 0.05 for one in rows]) < 0.15
    assert np.mean([one.normality["p_value"] < 0.05 for one in rows]) < 0.15


@pytest.mark.parametrize(("places", "precision"), [(0, "fast"), (0, "exact"), (2, "fast")])
def test_an_exact_fit_has_diagnostics(frame, places, precision):
    plain = (10 * frame).round(places)
    plain["y"] = 1 + plain["a"] + 2 * plain["b"]
    rows = lw.fit(plain, "y", precision=precision, **AB).diagnostics()
    assert np.abs(rows.residual).max() < 1e-13


def test_with_one_degree_of_freedom_no_row_has_an_external_deviation(frame):
    assert np.isnan(lw.fit(frame[:4], "y", **AB).diagnostics().studentised_externally).all()
