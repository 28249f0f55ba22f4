"""Inference: laws that standard errors keep, and slow obvious twins of every kind of them.

The twins take the design matrix, inverses and loops, which keep 12 digits of 60 well conditioned rows
(`CLOSE`). What leaves rows out refits without them. Coverage is simulated: many targets over one design
are as many independent samples, and one fit takes them all.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from scipy.stats import norm

import leastwise as lw
from leastwise.errors import DataError, UsageError

ROBUST, CLUSTERED = ("HC0", "HC1", "HC2", "HC3"), ("CR0", "CR1", "CR3")
KINDS = ("classical", *ROBUST, *CLUSTERED)
CLOSE = 1e-12
N = 60


def problem(n=N, p=3, k=1, seed=0):
    """`X` (n, p), `Y` (n, k) whose errors grow with the first column and hang together by cluster (n,)."""
    r = np.random.default_rng(seed)
    X = r.normal(size=(n, p)) @ (np.eye(p) + 0.3 * r.normal(size=(p, p)))
    cluster = np.sort(r.integers(0, n // 6, n))
    errors = np.exp(X[:, :1] / 2) * r.normal(size=(n, k)) + r.normal(size=(n, k))[cluster]
    return X, X @ r.normal(size=(p, k)) + errors + 3.0, cluster


def table(X, Y, **more):
    """Columns x0.. and y0.. (y where there is one), and whatever else is given."""
    names = ["y"] if Y.shape[1] == 1 else [f"y{t}" for t in range(Y.shape[1])]
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])} | dict(zip(names, Y.T, strict=True))
    return pa.table(columns | more)


def fitted(X, Y, *, roles=(), **options):
    """A fit of x0.. on y0.., with columns such as w and c that have roles."""
    more = dict(roles)
    rows = table(X, Y, **more)
    features = [name for name in rows.column_names if name[0] == "x"]
    target = [name for name in rows.column_names if name[0] == "y"]
    asked = {"weight": "w" if "w" in more else None}
    asked |= {"cluster": "c"} if options.get("se") in CLUSTERED else {}
    return lw.fit(rows, target, features=features, **(asked | options))


def infer(fit, kind):
    """Errors of a kind, by the clusters in column c where it takes any."""
    return fit.infer(kind, cluster="c" if kind in CLUSTERED else None)


def slow_cov(kind, X, y, w=None, cluster=None, *, intercept=True):
    """The covariance (r, r) of the coefficients, by its formula from the design matrix."""
    A = np.column_stack([np.ones(len(X)), X]) if intercept else X
    w = np.ones(len(X)) if w is None else w
    n, r = A.shape
    inverse = np.linalg.inv(A.T @ (w[:, None] * A))
    e = y - A @ inverse @ A.T @ (w * y)
    h = w * np.einsum("ni,ij,nj->n", A, inverse, A)
    if kind == "classical":
        return (w * e) @ e / (n - r) * inverse
    if kind in CLUSTERED:
        C = len(set(cluster))
        scores = [A[cluster == c].T @ (w * e)[cluster == c] for c in sorted(set(cluster))]
        factor = 1 if kind == "CR0" else C / (C - 1) * (n - 1) / (n - r)
        return factor * inverse @ sum(np.outer(s, s) for s in scores) @ inverse
    power = {"HC0": 0, "HC1": 0, "HC2": 1, "HC3": 2}[kind]
    g = (n / (n - r) if kind == "HC1" else 1) / (1 - h if power else np.ones(n)) ** power
    return inverse @ (A.T * (w**2 * e**2 * g)) @ A @ inverse


def coefficients(fit):
    """Coefficients (k, r), the intercept first where there is one."""
    coef, intercept = np.atleast_2d(fit.coef), np.atleast_1d(fit.intercept)
    return np.column_stack([intercept, coef]) if fit.solution.fits_intercept else coef


def same(a, b, rtol=CLOSE):
    """Two inferences that say the same."""
    assert (a.kind, a.terms, a.targets, a.clusters) == (b.kind, b.terms, b.targets, b.clusters)
    assert a.df == b.df
    for x, z in ((a.coef, b.coef), (a.se, b.se), (a.statistic, b.statistic)):
        np.testing.assert_allclose(x, z, rtol=rtol)
    scale = np.einsum("kr,ks->krs", b.se, b.se)
    np.testing.assert_allclose(a.cov / scale, b.cov / scale, atol=10 * rtol, rtol=0)


# ---- slow twins ----


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("precision", ["fast", "exact"])
@pytest.mark.parametrize("kind", ["classical", *ROBUST, "CR0", "CR1"])
def test_standard_errors_are_their_formula(kind, precision, weighted, intercept):
    X, Y, cluster = problem(k=2)
    w = np.random.default_rng(1).uniform(0.2, 5, N)
    roles = {"c": cluster} | ({"w": w} if weighted else {})
    found = fitted(X, Y, roles=roles, se=kind, precision=precision, intercept=intercept).inference
    for one in range(2):
        cov = slow_cov(kind, X, Y[:, one], w if weighted else None, cluster, intercept=intercept)
        size = np.sqrt(np.diagonal(cov))
        np.testing.assert_allclose(found.se[one], size, rtol=CLOSE)
        scale = np.outer(size, size)
        np.testing.assert_allclose(found.cov[one] / scale, cov / scale, atol=1e-11)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weight_kind", [None, "analytic", "frequency", "sampling"])
def test_the_cluster_jackknife_is_a_refit_without_each_cluster(weight_kind, intercept):
    X, Y, cluster = problem(k=2)
    roles = {"c": cluster}
    options = {"intercept": intercept}
    if weight_kind is not None:
        roles["w"] = np.random.default_rng(1).integers(1, 6, N).astype(float)
        options["weight_kind"] = weight_kind
    found = fitted(X, Y, roles=roles, **(options | {"se": "CR3"})).inference
    whole, names = coefficients(fitted(X, Y, roles=roles, **options)), sorted(set(cluster))
    moved = []
    for c in names:
        rest = {name: values[cluster != c] for name, values in roles.items()}
        moved.append(coefficients(fitted(X[cluster != c], Y[cluster != c], roles=rest, **options)) - whole)
    cov = (len(names) - 1) / len(names) * np.einsum("ckr,cks->krs", moved, moved)
    np.testing.assert_allclose(found.se, np.sqrt(np.diagonal(cov, axis1=1, axis2=2)), rtol=CLOSE)
    np.testing.assert_allclose(found.cov, cov, rtol=1e-10, atol=1e-12 * np.abs(cov).max())


def test_with_one_row_a_cluster_the_jackknife_is_hc3_but_for_its_factor():
    X, Y, _ = problem()
    found = fitted(X, Y, roles={"c": np.arange(N)}, se="CR3").inference
    np.testing.assert_allclose(found.se, fitted(X, Y).infer("HC3").se * np.sqrt((N - 1) / N), rtol=CLOSE)


@pytest.mark.parametrize("weighted", [False, True])
def test_leaving_a_row_out_is_a_refit_without_it(weighted):
    X, Y, _ = problem(n=25)
    w = np.random.default_rng(1).uniform(0.2, 5, 25) if weighted else np.ones(25)
    fit = fitted(X, Y, roles={"w": w})
    rows, b, r = fit.diagnostics(), coefficients(fit)[0], 4
    A = np.column_stack([np.ones(25), X])
    gram, s2 = A.T @ (w[:, None] * A), rows.rss / (25 - r)
    without = [np.delete(np.arange(25), i) for i in range(25)]
    refits = [fitted(X[keep], Y[keep], roles={"w": w[keep]}) for keep in without]
    moved = np.array([coefficients(one)[0] for one in refits]) - b
    s_i = np.array([np.sqrt(one.solution.rss[0] / (24 - r)) for one in refits])
    left_out = Y[:, 0] - np.array([one.predict(X[i : i + 1])[0] for i, one in enumerate(refits)])
    h = rows.leverage
    for found, slow in (
        (rows.left_out, left_out),
        (rows.press, (w * left_out**2).sum()),
        (rows.cooks_distance, np.einsum("nr,rs,ns->n", moved, gram, moved) / (r * s2)),
        (rows.studentised_externally, np.sqrt(w * (1 - h)) * left_out / s_i),
        (rows.dffits, -np.einsum("nr,nr->n", A, moved) * np.sqrt(w) / (s_i * np.sqrt(h))),
        (rows.leverage, w * np.einsum("nr,rs,ns->n", A, np.linalg.inv(gram), A)),
    ):
        np.testing.assert_allclose(found, slow, rtol=1e-10)


# ---- weights ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("intercept", [True, False])
def test_a_frequency_weight_is_a_repetition_in_all_that_is_said(kind, intercept):
    X, Y, cluster = problem(k=2)
    w = np.random.default_rng(1).integers(1, 5, N)
    often = np.repeat(np.arange(N), w)
    options = {"se": kind, "intercept": intercept, "folds": 0}
    short = fitted(X, Y, roles={"w": w, "c": cluster}, weight_kind="frequency", **options)
    long = fitted(X[often], Y[often], roles={"c": cluster[often]}, **options)
    same(short.inference, long.inference)
    for level in (0.5, 0.95):
        for a, b in zip(short.inference.interval(level), long.inference.interval(level), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11)
    ours, theirs = short.glance().to_pydict(), long.glance().to_pydict()
    for name in ("r2", "mse", "rmse", "adj_r2", "sigma", "f", "f_p", "df", "df_residual", "log_likelihood",
                 "aic", "bic"):  # fmt: skip
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-10, err_msg=name)
    np.testing.assert_allclose(short.condition_indices(), long.condition_indices(), rtol=CLOSE)
    for of in ("row", "mean"):
        new = short.predict(X[:5], interval=0.9, of=of)
        for a, b in zip(new, long.predict(X[:5], interval=0.9, of=of), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11)
    vif = [fit.tidy()["vif"].to_numpy(zero_copy_only=False) for fit in (short, long)]
    np.testing.assert_allclose(*vif, rtol=CLOSE)


@pytest.mark.parametrize("weight_kind", ["analytic", "sampling"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_unit_of_weights_changes_no_standard_error(kind, weight_kind):
    X, Y, cluster = problem()
    w = np.random.default_rng(1).uniform(0.2, 5, N)
    one, other = (
        infer(fitted(X, Y, roles={"w": unit * w, "c": cluster}, weight_kind=weight_kind), kind)
        for unit in (1, 1024)
    )
    same(one, other, rtol=1e-13)


def test_the_log_likelihood_is_that_of_normal_errors_of_variance_over_weight():
    X, Y, _ = problem()
    w = np.random.default_rng(1).uniform(0.2, 5, N)
    fit = fitted(X, Y, roles={"w": w})
    deviation = np.sqrt(fit.solution.rss[0] / N / w)
    truth = norm.logpdf(Y[:, 0], fit.predict(X), deviation).sum()
    said = fit.glance().to_pylist()[0]
    assert said["log_likelihood"] == pytest.approx(truth, rel=1e-13)
    assert said["aic"] == pytest.approx(2 * 5 - 2 * truth, rel=1e-13)
    assert said["bic"] == pytest.approx(np.log(N) * 5 - 2 * truth, rel=1e-13)


def test_analytic_weights_are_what_the_variance_of_a_row_is_over():
    r = np.random.default_rng(2)
    n, samples = 40, 4_000
    X, w = r.normal(size=(n, 2)), r.uniform(0.2, 5, n)
    Y = 1 + X @ np.ones((2, samples)) + r.normal(size=(n, samples)) / np.sqrt(w)[:, None]  # s2 is 1
    fit = fitted(X, Y, roles={"w": w}, folds=0)
    s2 = fit.solution.rss / (n - 3)
    assert s2.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / (n - 3) / samples))
    spread = fit.inference.coef.var(axis=0, ddof=1)  # the true variance, to 1/sqrt(samples / 2)
    np.testing.assert_allclose(
        (fit.inference.se**2).mean(axis=0) / spread, 1, atol=4 * np.sqrt(2 / samples)
    )


def test_sampling_weights_have_robust_errors_unasked_and_no_likelihood():
    X, Y, _ = problem()
    w = np.random.default_rng(1).uniform(100, 5_000, N)
    fit = fitted(X, Y, roles={"w": w}, weight_kind="sampling")
    assert fit.inference.kind == "HC1"
    np.testing.assert_allclose(fit.inference.cov[0], slow_cov("HC1", X, Y[:, 0], w), rtol=1e-10)
    said = fit.glance().to_pylist()[0]
    assert said["log_likelihood"] is said["aic"] is said["bic"] is None


# ---- coverage ----


@pytest.mark.parametrize(("n", "level"), [(5, 0.5), (5, 0.95), (30, 0.95), (30, 0.99)])
def test_intervals_hold_as_often_as_they_say(n, level):
    r = np.random.default_rng(n)
    samples = 4_000
    X, new = r.standard_t(3, size=(n, 2)), r.standard_t(3, size=(3, 2))
    truth = np.array([0.5, 1.0, -2.0])
    Y = truth[0] + X @ truth[1:, None] + r.normal(size=(n, samples))
    fit = fitted(X, Y, folds=0)
    low, high = fit.inference.interval(level)
    close = 4 * np.sqrt(level * (1 - level) / samples)  # standard deviations of a binomial share
    np.testing.assert_allclose(((low <= truth) & (truth <= high)).mean(axis=0), level, atol=close)
    mean = truth[0] + new @ truth[1:, None]  # (3, 1)
    for of, target in (("mean", mean), ("row", mean + r.normal(size=(3, samples)))):
        found = fit.predict(new, interval=level, of=of)
        share = ((found.low <= target) & (target <= found.high)).mean(axis=1)
        np.testing.assert_allclose(share, level, atol=close)


def test_robust_intervals_hold_where_the_spread_grows_and_classical_ones_do_not():
    r = np.random.default_rng(3)
    n, samples = 400, 2_000
    x = r.normal(size=(n, 1))
    fit = fitted(x, x + np.abs(x) * r.normal(size=(n, samples)), folds=0)
    share = {}
    for kind in ("classical", *ROBUST):
        low, high = infer(fit, kind).interval()
        share[kind] = ((low[:, 1] <= 1) & (high[:, 1] >= 1)).mean()
    assert share["classical"] < 0.8
    assert min(share[kind] for kind in ROBUST) > 0.92  # asymptotic: short of 0.95 at 400 rows
    assert share["HC0"] <= share["HC1"] <= share["HC2"] <= share["HC3"] < 0.97


def test_clustered_intervals_hold_where_errors_hang_together_and_robust_ones_do_not():
    r = np.random.default_rng(4)
    clusters, size, samples = 50, 8, 1_000
    c = np.repeat(np.arange(clusters), size)
    x = r.normal(size=clusters)[c][:, None] + 0.3 * r.normal(size=(len(c), 1))
    Y = x + r.normal(size=(clusters, samples))[c] + r.normal(size=(len(c), samples))
    fit = fitted(x, Y, roles={"c": c}, folds=0)
    share = {}
    for kind in ("HC3", *CLUSTERED):
        low, high = infer(fit, kind).interval()
        share[kind] = ((low[:, 1] <= 1) & (high[:, 1] >= 1)).mean()
    assert share["HC3"] < 0.8
    assert share["CR0"] <= share["CR1"] <= share["CR3"]
    assert 0.91 < share["CR1"] < 0.97
    assert 0.93 < share["CR3"] < 0.98


# ---- what must not matter ----


@pytest.mark.parametrize(
    ("kind", "far"),
    [("classical", 1e8), *((kind, far) for kind in ("leverage", *KINDS) for far in (1e4, 1e8))],
)
def test_far_means_change_no_leverage_and_no_standard_error_of_a_slope(kind, far):
    X, Y, cluster = problem()
    X = np.round(X * 2**20) / 2**20  # so that X + far is exact, and both are the same problem
    near, away = (fitted(x, Y, roles={"c": cluster}) for x in (X, X + far))
    seen = (
        (lambda f: f.diagnostics().leverage) if kind == "leverage" else (lambda f: infer(f, kind).se[:, 1:])
    )
    found, truth = seen(away), seen(near)
    np.testing.assert_allclose(found, truth, rtol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_the_order_of_rows_and_the_names_of_clusters_do_not_matter(kind, precision):
    X, Y, cluster = problem(k=2)
    w = np.random.default_rng(1).uniform(0.2, 5, N)
    order = np.random.default_rng(2).permutation(N)
    names = np.array([f"site {'zyxwvutsrq'[c]}" for c in cluster])
    one = fitted(X, Y, roles={"c": cluster, "w": w}, precision=precision)
    roles = {"c": names[order], "w": w[order]}
    same(infer(one, kind), infer(fitted(X[order], Y[order], roles=roles, precision=precision), kind))


@pytest.fixture
def small_slabs(monkeypatch):
    """Arrays and tables come a dozen rows at a time."""
    monkeypatch.setattr("leastwise.rows.memory.slab_rows", lambda columns, size=0: 12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_changes_no_bit(kind, small_slabs, monkeypatch):
    X, Y, cluster = problem(n=200)
    found = []
    for threads in (1, 4):
        monkeypatch.setattr("leastwise.rows.block.workers", lambda threads=threads: threads)
        fit = fitted(X, Y, roles={"c": cluster}, se=kind, precision="fast", folds=0)
        found.append((fit.inference.cov.tobytes(), fit.diagnostics().leverage.tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_slabs_do_not_matter(kind, monkeypatch):
    X, Y, cluster = problem(n=200, k=2)
    whole = fitted(X, Y, roles={"c": cluster}, se=kind)
    rows = [one.residual for one in whole.diagnostics()]
    monkeypatch.setattr("leastwise.rows.memory.slab_rows", lambda columns, size=0: 12)
    cut = fitted(X, Y, roles={"c": cluster}, se=kind)
    same(whole.inference, cut.inference)
    for a, b in zip(rows, cut.diagnostics(), strict=True):
        np.testing.assert_allclose(b.residual, a, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["csv", "parquet", "pandas", "polars"])
def test_files_and_frames_give_what_arrays_give(kind, form, tmp_path):
    X, Y, cluster = problem()
    rows = table(X, Y, c=np.array([f"s{c}" for c in cluster]))
    source = tmp_path / f"rows.{form}"
    if form == "csv":
        pa.csv.write_csv(rows, source)
    elif form == "parquet":
        pa.parquet.write_table(rows, source, row_group_size=25)
    elif form == "pandas":
        source = rows.to_pandas()
    else:
        source = pytest.importorskip("polars").from_arrow(rows)
    names = ["x0", "x1", "x2"]
    found = lw.fit(source, "y", features=names)
    plain = lw.fit((np.column_stack([X, cluster]), Y[:, 0]), features=names)
    same(infer(found, kind), plain.infer(kind, cluster="x3" if kind in CLUSTERED else None))
    np.testing.assert_allclose(found.diagnostics().leverage, plain.diagnostics().leverage, rtol=CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_several_targets_are_each_alone(kind):
    X, Y, cluster = problem(k=3)
    together = fitted(X, Y, roles={"c": cluster}, se=kind).inference
    for one in range(3):
        alone = fitted(X, Y[:, [one]], roles={"c": cluster}, se=kind).inference
        np.testing.assert_allclose(together.se[one], alone.se[0], rtol=CLOSE)
        np.testing.assert_allclose(together.p_value[one], alone.p_value[0], rtol=1e-9)


def test_the_jackknife_in_several_passes_is_the_jackknife_in_one(monkeypatch):
    X, Y, cluster = problem(n=200, k=2)
    fit = fitted(X, Y, roles={"c": cluster})
    whole = infer(fit, "CR3")
    for most in (1, 3 * 16, 10 * 16 + 1):  # one cluster at a time, three, ten
        monkeypatch.setattr("leastwise.robust.MOST_NUMBERS", most)
        same(infer(fit, "CR3"), whole, rtol=1e-14)


# ---- rows and columns that are left out, or filled ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", ["drop", "mean"])
def test_gaps_are_dropped_or_filled_before_anything_is_said(kind, missing, small_slabs):
    X, Y, cluster = problem(n=100)
    w = np.random.default_rng(1).uniform(0.2, 5, 100)
    holed = X.copy()
    holed[[3, 50], 0], holed[[3, 70], 2] = np.nan, np.nan
    whole = ~np.isnan(holed).any(axis=1) if missing == "drop" else np.ones(100, bool)
    mean = np.ma.average(np.ma.masked_invalid(holed), axis=0, weights=w)
    filled = np.where(np.isnan(holed), mean, holed)
    found = fitted(holed, Y, roles={"c": cluster, "w": w}, missing=missing)
    plain = fitted(filled[whole], Y[whole], roles={"c": cluster[whole], "w": w[whole]})
    same(infer(found, kind), infer(plain, kind))
    np.testing.assert_allclose(found.diagnostics().leverage, plain.diagnostics().leverage, rtol=CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_left_out_have_no_standard_error_and_change_no_other(kind):
    X, Y, cluster = problem()
    more = np.column_stack([X[:, 0], np.full(N, 7.0), X[:, 1], X[:, 0] - 2 * X[:, 1], X[:, 2]])
    found = fitted(more, Y, roles={"c": cluster}, se=kind)
    plain = infer(fitted(X, Y, roles={"c": cluster}), kind)
    assert found.inference.terms == ("(Intercept)", "x0", "x2", "x4")
    np.testing.assert_allclose(found.inference.se, plain.se, rtol=CLOSE)
    table = found.tidy().to_pylist()
    assert [row["status"] for row in table] == ["used", "used", "constant", "used", "dropped", "used"]
    for row in table:
        told = [row[name] for name in ("std_error", "statistic", "p_value", "conf_low", "conf_high")]
        assert all((value is None) == (row["status"] != "used") for value in told)


# ---- where there are none, and what is refused ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("rows", "options", "reason"),
    [
        (4, {}, "4 rows leave no degree of freedom"),
        (3, {}, "3 rows leave no degree of freedom"),
        (N, {"rank": "min-norm"}, "one of many solutions"),
    ],
)
def test_without_a_degree_of_freedom_or_one_solution_there_is_a_reason_instead(kind, rows, options, reason):
    X, Y, _ = problem()
    X = X if rows < N else np.column_stack([X, X[:, 0] + X[:, 1]])
    fit = fitted(X[:rows], Y[:rows], roles={"c": np.arange(rows)}, se=kind, **options)
    assert not fit.inference
    assert reason in fit.inference.reason
    assert set(fit.tidy()["std_error"].to_pylist()) == {None}
    plain = fitted(*problem()[:2])
    assert fit.glance().column_names == plain.glance().column_names
    assert fit.tidy().column_names == plain.tidy().column_names
    assert reason in fit.summary()


def stream(rows):
    return pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches())


@pytest.mark.parametrize("kind", [*ROBUST, *CLUSTERED])
def test_a_stream_has_classical_errors_only_and_says_why(kind):
    X, Y, cluster = problem()
    rows = table(X, Y, c=cluster)
    by = {"cluster": "c"} if kind in CLUSTERED else {"drop": "c"}
    with pytest.raises(UsageError, match=r"takes the rows once more.* read once"):
        lw.fit(stream(rows), "y", se=kind, **by).inference  # noqa: B018
    fit = lw.fit(stream(rows), "y", drop="c")
    np.testing.assert_allclose(fit.inference.se, fitted(X, Y).inference.se, rtol=1e-10)
    with pytest.raises(UsageError, match=r"diagnostics takes the rows once more.* read once"):
        fit.diagnostics()


def alone():
    """A column that only row 7 has."""
    X, Y, _ = problem()
    return np.column_stack([X, np.arange(N) == 7]), Y


WITHOUT = ["classical", "CR0", "CR1", "HC0", "HC1"]


@pytest.mark.parametrize("kind", WITHOUT)
def test_a_row_that_decides_a_coefficient_alone_has_errors_where_no_leverage_divides(kind):
    X, Y = alone()
    cov = slow_cov(kind, X, Y[:, 0], cluster=np.arange(N))
    found = fitted(X, Y, roles={"c": np.arange(N)}, se=kind).inference
    np.testing.assert_allclose(found.se[0], np.sqrt(np.diagonal(cov)), rtol=1e-10)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("HC2", "leverage 1"), ("HC3", "leverage 1"), ("CR3", "without '7' the columns depend")],
)
def test_a_row_that_decides_a_coefficient_alone_is_refused_where_it_does(kind, cause):
    with pytest.raises(DataError, match=cause):
        fitted(*alone(), roles={"c": np.arange(N)}, se=kind).inference  # noqa: B018
