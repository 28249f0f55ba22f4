"""Prediction intervals, saved errors, the command line, and what hostile data and calls get."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from scipy import stats

import leastwise as lw
from leastwise.cli import main
from leastwise.errors import DataError, LeastwiseError, MissingError, UsageError

N = 60
EVERY = ("classical", "HC0", "HC1", "HC2", "HC3", "CR0", "CR1", "CR3")


@pytest.fixture
def frame():
    r = np.random.default_rng(0)
    a, b = r.normal(size=(2, N))
    site = np.repeat(list("abcdefghij"), 6)
    return pd.DataFrame(
        {"a": a, "b": b, "site": site, "w": r.integers(1, 5, N), "y": a + 2 * b + r.normal(size=N)}
    )


AB = {"features": ["a", "b"]}


def of_kind(frame, kind, **more):
    by = {"cluster": "site"} if kind.startswith("CR") else {}
    return lw.fit(frame, "y", se=kind, **(AB | by | more))


# ---- intervals ----


@pytest.mark.parametrize("of", ["row", "mean"])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("weight_kind", [None, "analytic", "frequency"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_intervals_are_the_textbook_formula(of, level, weight_kind, intercept, precision):
    r = np.random.default_rng(0)
    X, Y, new = r.normal(size=(N, 3)), r.normal(size=(N, 2)), r.normal(size=(7, 3))
    w = r.integers(1, 5, N).astype(float)
    table = pa.table({"x0": X[:, 0], "x1": X[:, 1], "x2": X[:, 2], "y0": Y[:, 0], "y1": Y[:, 1], "w": w})
    weights = {"weight": "w", "weight_kind": weight_kind} if weight_kind else {}
    fit = lw.fit(table, ["y0", "y1"], features=["x0", "x1", "x2"], intercept=intercept, precision=precision,
                 folds=0, **weights)  # fmt: skip
    w = w if weight_kind else np.ones(N)
    one = [np.ones((N, 1))] if intercept else []
    A, rows = np.hstack([*one, X]), np.hstack([*(o[:7] for o in one), new])
    inverse = np.linalg.inv(A.T @ (w[:, None] * A))
    b = inverse @ A.T @ (w[:, None] * Y)
    df = (w.sum() if weight_kind == "frequency" else N) - A.shape[1]
    s2 = (w[:, None] * (Y - A @ b) ** 2).sum(axis=0) / df
    h = np.einsum("nr,rs,ns->n", rows, inverse, rows)
    half = stats.t.isf((1 - level) / 2, df) * np.sqrt(np.outer(h + (of == "row"), s2))
    found = fit.predict(
        pa.table({"x0": new[:, 0], "x1": new[:, 1], "x2": new[:, 2]}), interval=level, of=of
    )
    np.testing.assert_allclose(found.prediction, rows @ b, rtol=1e-11)
    np.testing.assert_allclose(found.high - found.prediction, half, rtol=1e-11)
    np.testing.assert_allclose(found.prediction - found.low, half, rtol=1e-11)


def test_intervals_are_classical_whatever_the_errors_of_the_coefficients(frame):
    plain = of_kind(frame, "classical").predict(frame, interval=0.9)
    for kind in EVERY:
        found = of_kind(frame, kind, folds=0).predict(frame, interval=0.9)
        np.testing.assert_array_equal(np.stack(found), np.stack(plain))


def test_limits_come_in_the_shape_and_the_library_of_predictions(frame):
    torch = pytest.importorskip("torch")
    X, y = frame[["a", "b"]].to_numpy(), frame["y"].to_numpy()
    for target, shape in ((y, (4,)), (y[:, None], (4, 1)), (np.column_stack([y, y**2]), (4, 2))):
        found = lw.fit((X, target)).predict(X[:4], interval=0.9)
        assert {part.shape for part in found} == {shape}
        tensors = lw.fit((torch.tensor(X), torch.tensor(target))).predict(torch.tensor(X[:4]), interval=0.9)
        assert {type(part) for part in tensors} == {torch.Tensor}
        assert {part.dtype for part in tensors} == {torch.float64}
        np.testing.assert_allclose(
            np.stack([part.numpy() for part in tensors]), np.stack(found), rtol=1e-12
        )
    assert found._fields == ("prediction", "low", "high")
    assert [part.shape for part in lw.fit((X, y)).predict(X[:0], interval=0.9)] == [(0,)] * 3


def test_rows_without_a_number_are_nan_filled_or_refused_like_predictions(frame):
    new = pd.DataFrame({"a": [np.nan, 1.0], "b": [1.0, 1.0]})
    with pytest.raises(MissingError, match="Row 1 has nothing that can be used in 'a'"):
        lw.fit(frame, "y", **AB).predict(new, interval=0.9)
    holed = frame.assign(a=frame["a"].where(frame["a"] < 1.5))
    dropped = np.stack(lw.fit(holed, "y", missing="drop", **AB).predict(new, interval=0.9))
    np.testing.assert_array_equal(np.isnan(dropped), [[True, False]] * 3)
    fit = lw.fit(holed, "y", missing="mean", **AB)
    filled = fit.predict(new, interval=0.9)
    at_mean = fit.predict(new.fillna(holed["a"].mean()), interval=0.9)
    np.testing.assert_allclose(np.stack(filled), np.stack(at_mean), rtol=1e-12)


def test_columns_that_were_left_out_and_levels_take_part_as_in_predictions(frame):
    more = frame.assign(twice=2 * frame["a"], one=1.0)
    wide = lw.fit(more, "y", features=["a", "twice", "one", "b", "site"]).predict(more, interval=0.9)
    dummies = pd.get_dummies(frame["site"], drop_first=True).astype(float)
    plain = pd.concat([frame[["a", "b", "y"]], dummies.rename(columns=lambda c: f"s{c}")], axis=1)
    slim = lw.fit(plain, "y").predict(plain, interval=0.9)
    np.testing.assert_allclose(np.stack(wide), np.stack(slim), rtol=1e-10)


@pytest.mark.parametrize("level", [0, 1, 0.0, 1.0, -0.5, 95, np.nan, np.inf, True, "95", "0.95", [0.95]])
def test_a_level_that_is_no_probability_is_refused(frame, level):
    fit = lw.fit(frame, "y", **AB)
    for ask in (fit.tidy, fit.inference.interval, lambda lv: fit.predict(frame, interval=lv)):
        with pytest.raises(UsageError, match=r"is no probability\. Give one between 0 and 1"):
            ask(level)
    few = lw.fit(frame[:3], "y", **AB)
    with pytest.raises(UsageError, match="is no probability"):
        few.tidy(level)


def test_without_standard_errors_there_are_no_intervals_and_the_reason_is_said(frame):
    with pytest.raises(UsageError, match=r"no intervals: 3 rows leave no degree of freedom"):
        lw.fit(frame[:3], "y", **AB).predict(frame, interval=0.9)
    twice = frame.assign(c=frame["a"])
    with pytest.raises(UsageError, match=r"no intervals: .*one of many solutions"):
        lw.fit(twice, "y", features=["a", "b", "c"], rank="min-norm").predict(twice, interval=0.9)
    with pytest.raises(UsageError, match=r"of='rows' is not known"):
        lw.fit(frame, "y", **AB).predict(frame, interval=0.9, of="rows")


# ---- saved and loaded ----


@pytest.mark.parametrize(
    ("kind", "weight_kind"),
    [(kind, of) for kind in EVERY for of in (None, "analytic", "frequency", "sampling")],
)
def test_a_saved_model_keeps_its_errors_and_intervals(frame, kind, weight_kind, tmp_path):
    weights = {"weight": "w", "weight_kind": weight_kind} if weight_kind else {}
    fit = of_kind(frame, kind, **weights)
    lw.save(fit, tmp_path / "m")
    again = lw.load(tmp_path / "m")
    for name in ("kind", "terms", "targets", "df", "clusters"):
        assert getattr(again.inference, name) == getattr(fit.inference, name)
    for name in ("coef", "se", "cov", "p_value"):
        np.testing.assert_array_equal(getattr(again.inference, name), getattr(fit.inference, name))
    for of in ("row", "mean"):
        one, other = (np.stack(f.predict(frame, interval=0.8, of=of)) for f in (again, fit))
        np.testing.assert_array_equal(one, other)
    pd.testing.assert_frame_equal(again.tidy(0.8), fit.tidy(0.8))
    pd.testing.assert_frame_equal(again.glance(), fit.glance())
    assert again.summary() == fit.summary()
    np.testing.assert_array_equal(again.condition_indices(), fit.condition_indices())
    lw.save(again, tmp_path / "twice")
    np.testing.assert_array_equal(lw.load(tmp_path / "twice").inference.cov, fit.inference.cov)
    with pytest.raises(UsageError, match=r"takes the rows once more"):
        again.diagnostics()


def test_a_saved_model_without_errors_keeps_the_reason(frame, tmp_path):
    lw.save(lw.fit(frame[:3], "y", **AB), tmp_path / "m")
    again = lw.load(tmp_path / "m")
    assert not again.inference
    assert "3 rows leave no degree of freedom" in again.inference.reason


# ---- the command line ----


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def path(frame, tmp_path):
    frame.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


FIT = ("--target", "y", "--features", "a,b")


@pytest.mark.parametrize("kind", EVERY)
def test_a_run_adds_limits_to_predictions(path, frame, kind, tmp_path):
    by = ("--cluster", "site") if kind.startswith("CR") else ()
    assert run("fit", path, *FIT, "--se", kind, *by, "-o", tmp_path / "run", "--quiet").exit_code == 0
    done = run("predict", tmp_path / "run", path, "--interval", "0.9", "--quiet")
    assert done.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == [*frame.columns, "prediction", "low", "high"]
    found = [[float(row[name]) for row in rows] for name in ("prediction", "low", "high")]
    truth = of_kind(path, kind).predict(frame, interval=0.9)
    np.testing.assert_allclose(found, np.stack(truth), rtol=1e-12)
    lines = run("predict", tmp_path / "run", path, "--interval", "0.9", "--json").stdout.splitlines()
    assert [json.loads(line)["high"] for line in lines] == found[2]
    out = tmp_path / "out.parquet"
    assert run("predict", tmp_path / "run", path, "--interval", "0.9", "-o", out).exit_code == 0
    np.testing.assert_array_equal(pq.read_table(out)["low"].to_numpy(), found[1])


def test_limits_of_several_targets_are_named_and_gaps_are_empty(path, frame, tmp_path):
    frame.assign(z=frame["y"] ** 2).to_csv(path, index=False)
    words = ("--target", "y,z", "--features", "a,b", "--missing", "drop", "--quiet")
    assert run("fit", path, *words, "-o", tmp_path / "run").exit_code == 0
    (tmp_path / "new.csv").write_text("a,b\n1,2\n,3\n")
    done = run("predict", tmp_path / "run", tmp_path / "new.csv", "--interval", ".95", "--quiet")
    first, second, third = done.stdout.splitlines()
    assert first == "a,b,prediction_y,prediction_z,low_y,low_z,high_y,high_z"
    assert "" not in second.split(",")
    assert third == ",3,,,,,,"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--interval", "95"), 1, "is no probability. Give one between 0 and 1, such as 0.95."),
        (("--interval", "0"), 1, "is no probability"),
        (("--interval", "nan"), 1, "is no probability"),
        (("--interval", "wide"), 2, "'wide' is not a valid float"),
    ],
)
def test_a_level_on_the_command_line_is_a_probability(path, tmp_path, words, code, said):
    run("fit", path, *FIT, "-o", tmp_path / "run")
    done = run("predict", tmp_path / "run", path, *words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr


def test_limits_are_refused_where_their_names_are_taken(path, tmp_path):
    run("fit", path, *FIT, "-o", tmp_path / "run")
    (tmp_path / "new.csv").write_text("a,b,low\n1,2,3\n")
    done = run("predict", tmp_path / "run", tmp_path / "new.csv", "--interval", "0.9")
    assert done.exit_code == 1
    assert "has a column 'low' already" in done.stderr
    assert run("predict", tmp_path / "run", tmp_path / "new.csv").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--se", "CR1"), 1, "se='CR1' needs clusters"),
        (("--se", "CR1", "--cluster", "sit"), 1, "Did you mean 'site'"),
        (("--se", "HC9"), 2, "'HC9' is not one of"),
        (("--weight-kind", "frequency"), 1, "no column of weights was named"),
        (("--weight-kind", "heavy"), 2, "'heavy' is not one of"),
        (("--precision", "double"), 2, "'double' is not one of"),
        (("--powers", "a"), 2, "'a' is no COL:N"),
        (("--powers", "a:-1"), 2, "is no COL:N"),
        (("--powers", "a:0"), 1, "must be a whole number from 1"),
        (("--powers", "q:2"), 1, "There is no column 'q'"),
        pytest.param(("--powers", "a:²"), 2, "is no COL:N"),
        pytest.param(
            ("--powers", "a:2", "--powers", "a:3"),
            2,
            "twice",
        ),
        (("--se", "HC3", "--cluster", "site"), 1, "knows no clusters"),
    ],
)
def test_options_that_do_not_apply_are_refused(path, words, code, said):
    done = run("fit", path, *FIT, *words)
    assert done.exit_code == code
    assert said in done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "standard errors classical"),
        (("--se", "HC3"), "standard errors HC3"),
        (("--se", "CR1", "--cluster", "site"), "CR1 by 10 clusters of 'site', t with 9 degrees of freedom"),
        (("--weight", "w", "--weight-kind", "sampling"), "standard errors HC1"),
        (("--weight", "w", "--weight-kind", "frequency"), "degrees of freedom"),
        (("--powers", "a:3"), "a^3"),
    ],
)
def test_the_summary_and_the_json_tell_the_same_errors(path, words, said):
    text = run("fit", path, *FIT, *words).stdout
    assert said in text
    for word in ("std error", " t ", " p ", "95 % from", "residual SD"):
        assert word in text
    facts = json.loads(run("fit", path, *FIT, *words, "--json").stdout)
    kind = facts["inference"]["kind"]
    assert f"standard errors {kind}" in text
    assert facts["inference"]["level"] == 0.95
    for row in facts["coefficients"]:
        line = next(one for one in text.splitlines() if one.startswith(row["term"] + " "))
        assert f"{row['statistic']:,.2f}" in line.split()
        assert row["conf_low"] < row["estimate"] < row["conf_high"]
    if kind == "CR1":
        assert facts["inference"] == {"kind": "CR1", "level": 0.95, "df": 9, "clusters": 10, "by": "site"}


# ---- hostile: the data ----


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
def test_a_row_without_a_cluster_is_refused_or_dropped_and_counted(frame, missing):
    holed = frame.assign(site=frame["site"].where(np.arange(N) != 5))
    if missing == "error":
        with pytest.raises(DataError, match=r"Column 'site' has 1 missing value"):
            of_kind(holed, "CR1", missing=missing)
        return
    fit = of_kind(holed, "CR1", missing=missing)
    assert fit.tally.dropped == {"'site' missing": 1}
    assert fit.inference.clusters == 10
    with pytest.raises(DataError, match=r"cluster 'site' is missing in 1 row"):
        lw.fit(holed, "y", missing=missing, **AB).infer("CR1", cluster="site")


def test_one_cluster_is_none(frame):
    with pytest.raises(DataError, match=r"Column 'site' has 1 cluster\. Two or more"):
        of_kind(frame.assign(site="a"), "CR1").summary()


@pytest.mark.parametrize("kind", ["number", "boolean", "date", "categorical", "duration"])
def test_clusters_may_be_of_any_kind_that_has_a_name(frame, kind):
    i = np.arange(N) // 6
    values = {
        "number": i / 3,
        "boolean": i % 2 == 0,
        "date": pd.Timestamp("2020-01-01") + pd.to_timedelta(i, unit="D"),
        "categorical": pd.Categorical(frame["site"]),
        "duration": pd.to_timedelta(i, unit="D"),
    }
    labels = i % 2 if kind == "boolean" else i
    plain = of_kind(frame.assign(site=[f"s{c}" for c in labels]), "CR1").inference
    found = of_kind(frame.assign(site=values[kind]), "CR1").inference
    np.testing.assert_allclose(found.se, plain.se, rtol=1e-12)


@pytest.mark.parametrize(
    ("labels", "clusters"),
    [
        pytest.param([0.0, -0.0, 1.0], 2),
        pytest.param(["a", "a\0", "b"], 3),
        (["a", "a ", "A"], 3),
    ],
)
def test_clusters_are_the_same_where_their_labels_are(frame, labels, clusters):
    found = of_kind(frame.assign(site=labels * (N // 3)), "CR1").inference
    assert found.clusters == clusters


# ---- hostile: the calls ----


def min_norm(frame):
    twice = frame.assign(c=frame["a"])
    return lw.fit(twice, "y", features=["a", "b", "c"], rank="min-norm")


def robust(f):
    return lw.fit(f, "y", se="HC3", **AB)


CALLS = {  # what is called, and a word of the cause
    "clusters and none": (lambda f: lw.fit(f, "y", se="CR1", **AB), "needs clusters"),
    "clusters that change nothing": (lambda f: of_kind(f, "HC1", cluster="site"), "knows no clusters"),
    "clusters of another kind": (lambda f: robust(f).infer("HC1", cluster="site"), "knows no clusters"),
    "a kind in small letters": (lambda f: of_kind(f, "hc3"), "It is one of"),
    "a kind that is a list": (lambda f: robust(f).infer(["HC3"]), "It is one of"),
    "weights of a kind, and none": (lambda f: lw.fit(f, "y", weight_kind="frequency"), "no column of"),
    "a weight seen 1.5 times": (
        lambda f: lw.fit(f.assign(w=1.5), "y", weight="w", weight_kind="frequency"), "whole number of"),
    "of= without an interval": (lambda f: robust(f).predict(f, of="mean"), "interval"),
    "clusters that are no column": (lambda f: robust(f).infer("CR1", "sit"), "'sit'"),
    "clusters that are values": (lambda f: robust(f).infer("CR1", f["site"]), "name of a"),
    "clusters that are the target": (lambda f: lw.fit(f, "y", cluster="y", **AB), "two roles"),
    "condense(se=)": (lambda f: lw.condense(f, "y", se="HC3", **AB), "se"),
    "condense(cluster=)": (lambda f: lw.condense(f, "y", cluster="site", **AB), "cluster"),
    "moments and HC3": (
        lambda f: lw.fit(lw.condense(f, "y", **AB), se="HC3").inference, "moments"),
    "diagnostics of many solutions": (
        lambda f: min_norm(f).diagnostics(), "many solutions"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "cause"),
    [pytest.param(call, cause, id=name) for name, (call, cause) in CALLS.items()],
)
def test_a_call_that_cannot_be_answered_is_refused_with_the_cause(frame, call, cause):
    with pytest.raises(LeastwiseError) as caught:
        call(frame)
    assert cause in str(caught.value)
    assert "a loaded model" not in str(caught.value)


# ---- hostile: the numbers ----


@pytest.mark.parametrize(
    ("weight_kind", "w"),
    [
        ("analytic", [1.0, 2.0, 4.0]),
        pytest.param("analytic", [0.5, 1.0, 1.5]),
        pytest.param("frequency", [1, 2, 4]),
        pytest.param("sampling", [1, 2, 4]),
    ],
)
def test_a_fit_of_moments_says_what_a_fit_of_the_rows_says_or_nothing(frame, weight_kind, w):
    rows, options = frame.assign(w=w * (N // 3)), AB | {"weight": "w", "weight_kind": weight_kind}
    one, other = lw.fit(rows, "y", **options), lw.fit(lw.condense(rows, "y", **options))
    assert not other.inference or other.inference.kind == one.inference.kind
    for name in ("df_residual", "sigma", "log_likelihood"):
        truth, found = (fit.facts["solution"][name] for fit in (one, other))
        assert found is None or found == pytest.approx(truth, rel=1e-9)


def test_the_unit_of_sampling_weights_changes_no_interval(frame):
    one, other = (
        lw.fit(frame.assign(w=unit * frame["w"]), "y", weight="w", weight_kind="sampling", **AB)
        for unit in (1, 1000)
    )
    found, truth = (np.stack(fit.predict(frame, interval=0.9)) for fit in (other, one))
    np.testing.assert_allclose(found, truth, rtol=1e-9)


def test_a_fit_too_close_for_fast_moments_has_no_errors_rather_than_zero(frame):
    close = frame.assign(y=frame["a"].round(2) + 1e-9 * frame["y"], a=frame["a"].round(2))
    found = lw.fit(close, "y", precision="fast", **AB).inference
    truth = lw.fit(close, "y", precision="exact", **AB).inference
    assert not found or found.se == pytest.approx(truth.se, rel=0.01)


def test_clusters_that_a_text_file_gives_as_numbers_are_refused(frame, tmp_path):
    frame.assign(site=2**53 + np.arange(N) % 6).to_csv(tmp_path / "d.csv", index=False)
    plain, numeric = (lw.fit(tmp_path / "d.csv", "y", features=f) for f in (["a", "b"], ["a", "b", "site"]))
    assert plain.infer("CR0", cluster="site").clusters == 6
    with pytest.raises(lw.errors.ColumnError, match="long names would run together"):
        numeric.infer("CR0", cluster="site")


def test_errors_that_are_only_rounding_are_not_told(frame):
    said = of_kind(frame, "CR1", features=["site"])
    assert pd.to_numeric(said.tidy()["statistic"]).abs().fillna(0).max() < 1e6
    assert not said.glance()["f"][0] < 0


@pytest.mark.parametrize("of", ["array", "frame", "file"])
def test_rows_that_changed_are_not_used_for_errors(frame, of, tmp_path):
    X, y = frame[["a", "b"]].to_numpy(copy=True), frame["y"].to_numpy(copy=True)
    mine = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y})
    mine.to_csv(tmp_path / "d.csv", index=False)
    source = {"array": (X, y), "frame": mine, "file": tmp_path / "d.csv"}[of]
    fit = lw.fit(source) if of == "array" else lw.fit(source, "y")
    y[:] = 7.0
    mine["y"] = 7.0
    mine[:30].to_csv(tmp_path / "d.csv", index=False)
    with pytest.raises(DataError, match="not those that were fitted"):
        fit.infer("HC3")


def test_powers_of_decimals_are_scored_on_unseen_rows(path):
    assert (lw.fit(path, "y", features=[lw.poly("a", 3), "b"]).validation.mae > 0).all()
