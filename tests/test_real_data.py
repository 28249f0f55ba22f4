"""Real tables, against scikit-learn on the same columns and the same folds."""

from __future__ import annotations

import numpy as np
import pyarrow.csv as pacsv
import pytest
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, enet_path
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import leastwise as lw
from leastwise.rows import open_rows

WINE = """fixed acidity,volatile acidity,citric acid,residual sugar,chlorides,free sulfur dioxide,
total sulfur dioxide,density,pH,sulphates,alcohol,quality""".replace("\n", "").split(",")
TABLES = {
    "california, rows dropped": (
        "california_housing/housing.csv.gz",
        {"target": "median_house_value", "missing": "drop"},
        20_640 - 207,
    ),
    "california, filled": (
        "california_housing/housing.csv.gz",
        {"target": "median_house_value", "missing": "mean"},
        20_640,
    ),
    "ames": ("ames_housing/ames.csv.gz", {"target": "price", "missing": "mean"}, 2_930),
    "wine": ("wine_quality/winequality-red.csv.gz", {"target": "quality", "columns": WINE}, 1_599),
}


def as_numbers(fit):
    """The rows as the recipe makes them, and the fold of each."""
    blocks = [fit.recipe.block(slab) for slab in fit.rows.slabs(fit.recipe.reads_all)]
    X = np.concatenate([b.X for b in blocks])
    y = np.concatenate([b.Y[:, 0] for b in blocks])
    return X, y, np.concatenate([fit.validation.plan.deal(b) for b in blocks])


@pytest.fixture(scope="module", params=TABLES.values(), ids=TABLES)
def fitted(request):
    from conftest import SHARED

    if not SHARED.is_dir():
        pytest.skip(f"the real data sets are not at {SHARED}")
    path, asked, used = request.param
    return lw.fit(SHARED / path, **asked), used


def test_every_row_is_accounted_for(fitted):
    fit, used = fitted
    assert fit.tally.used == used
    assert fit.tally.read == used + sum(fit.tally.dropped.values())
    assert fit.tally.read == open_rows(fit.rows).reduce(lambda s: s.n, lambda a, b: a + b, 0)


def test_coefficients_are_scikit_learns(fitted):
    fit, _ = fitted
    X, y, _ = as_numbers(fit)
    kept = fit.solution.kept
    X = SimpleImputer().fit_transform(X)[:, kept]
    scale = X.std(axis=0)
    theirs = LinearRegression(tol=0).fit(X / scale, y).coef_ / scale
    # in units of the column's deviation, as the condition of ames (4e2) allows
    np.testing.assert_allclose(
        fit.coef[kept] * scale, theirs * scale, atol=1e-8 * np.abs(theirs * scale).max()
    )


def test_scores_of_the_folds_are_scikit_learns_on_the_same_folds(fitted):
    fit, _ = fitted
    X, y, folds = as_numbers(fit)
    for f in range(fit.validation.k):
        train, held = folds != f, folds == f
        # the columns that this fold's model used: a level that the training rows lack is left out
        used = fit.validation.coef[f, 0] != 0
        model = make_pipeline(SimpleImputer(), LinearRegression(tol=0))
        scale = np.nanstd(X[:, used], axis=0)
        model.fit(X[train][:, used] / scale, y[train])
        theirs = r2_score(y[held], model.predict(X[held][:, used] / scale))
        assert fit.validation.r2[f] == pytest.approx(theirs, abs=1e-8)


def test_the_rank_of_ames_is_below_its_columns_and_the_sums_are_named(shared):
    fit = lw.fit(shared / "ames_housing/ames.csv.gz", "price", missing="mean")
    assert {"Total.Bsmt.SF", "Low.Qual.Fin.SF", "Order"} <= set(fit.solution.dropped)
    assert fit.solution.rank + len(fit.solution.dropped) == len(fit.names)
    assert {name.split("=")[0] for name in fit.names} >= {"Pool.QC", "Alley", "Lot.Frontage"}


def test_riboflavin_has_fewer_rows_than_columns(shared):
    data = np.load(shared / "riboflavin/riboflavin.npz")
    fit = lw.fit((data["X"], data["y"]), rank="min-norm")
    centred = data["X"] - data["X"].mean(axis=0)
    shortest = np.linalg.pinv(centred, rcond=1e-10) @ (data["y"] - data["y"].mean())
    np.testing.assert_allclose(fit.coef, shortest, rtol=1e-6, atol=1e-9)
    assert not fit.validation
    assert "cannot carry" in fit.validation.reason
    dropped = lw.fit((data["X"], data["y"]))
    assert dropped.solution.rank == 70


def test_the_demo_data_are_the_source_files_averaged(shared):
    import gzip
    import sys
    from pathlib import Path

    root = Path(__file__).parents[1]
    sys.path.insert(0, str(root / "tools"))
    from make_meltome import rows

    made = rows(shared / "flip_meltome_2021")
    with gzip.open(root / "src/leastwise/data/meltome.csv.gz", "rt") as file:
        carried = [line.rstrip("\n").split(",") for line in file][1:]
    assert carried == [[s, str(v), str(n)] for s, v, n in made]
    assert len(carried) == 4_165
    assert sum(int(n) > 1 for _, _, n in carried) == 361


def test_a_fasta_with_targets_in_its_headers_is_fitted(shared):
    fit = lw.fit(shared / "flip_meltome_2021/meltome_cv_test.fasta", "TARGET")
    assert fit.tally.used == 100
    assert fit.names[0] == "length"
    assert fit.validation.plan.by == "group"


# ---- penalties ----


@pytest.mark.parametrize("ratio", [1.0, 0.5], ids=["lasso", "elastic net"])
def test_the_path_of_riboflavin_lies_on_scikit_learns(shared, ratio):
    with np.load(shared / "riboflavin/riboflavin.npz") as data:
        X, y = data["X"], data["y"]  # (71, 4088)
    # scikit-learn's l1_ratio halves the square: ours that leads through the same points
    path = lw.fit((X, y), penalty=lw.elastic_net("cv", ratio / (ratio + (1 - ratio) / 2))).path
    alphas = path.l1[::5] / ratio
    _, theirs, _ = enet_path(
        X - X.mean(axis=0), y - y.mean(), l1_ratio=ratio, alphas=alphas, tol=1e-7, max_iter=100_000
    )
    fitted = path.coef[::5, 0] @ (X - X.mean(axis=0)).T
    np.testing.assert_allclose(
        fitted, theirs.T @ (X - X.mean(axis=0)).T, atol=1e-3 * y.std()
    )  # the root of their gap
    assert path.converged.all()
    assert path.nonzero[-1, 0] > 30


def test_the_lasso_of_ames_by_neighbourhood_errs_as_scikit_learns_pipeline_on_the_same_folds(shared):
    fit = lw.fit(
        shared / "ames_housing/ames.csv.gz",
        "price",
        missing="mean",
        group="Neighborhood",
        drop=["rownames", "Order", "PID"],
        categorical=["MS.SubClass"],
        penalty=lw.L1("1se"),
        standardize=True,
        alphas=[20_000.0, 5_000.0, 1_000.0, 300.0],
    )
    X, y, fold = as_numbers(fit)
    assert fit.validation.plan.groups == 28
    for a, alpha in enumerate(fit.choice.alphas):
        for f in range(5):
            model = make_pipeline(
                SimpleImputer(), StandardScaler(), Lasso(alpha, tol=1e-6, max_iter=20_000)
            )
            model.fit(X[fold != f], y[fold != f])
            error = np.mean((y[fold == f] - model.predict(X[fold == f])) ** 2)
            assert fit.choice.mse[a, f, 0] == pytest.approx(error, rel=1e-3)
    chosen, best = fit.choice.chosen, fit.choice.best
    assert fit.choice.alphas[chosen] >= fit.choice.alphas[best]
    assert (fit.choice.error[:chosen] > fit.choice.error[best] + fit.choice.spread[best]).all()
    assert len(fit.validation.alpha) == 5


@pytest.mark.parametrize(
    ("split", "rho", "mse"),
    [("one_vs_rest", 0.2794, 1.7913), ("two_vs_rest", 0.5938, 1.7118), ("low_vs_high", 0.3430, 3.6794)],
)
def test_flips_ridge_on_gb1_comes_out_again(shared, split, rho, mse):
    """One-hot, alpha = 1, all training rows; FLIP's figures are of a solver's tolerance of 1e-4."""
    table = pacsv.read_csv(shared / f"flip_gb1/{split}.csv.gz")
    y, train = table["target"].to_numpy(), np.array(table["set"].to_pylist()) == "train"
    hot = lw.sequences.one_hot(table["sequence"].to_pylist()).numpy()
    X = sparse.csr_array(hot.reshape(len(y), -1))
    guess = lw.Ridge(alpha=1.0).fit(X[train], y[train]).predict(X[~train])
    assert spearmanr(guess, y[~train])[0] == pytest.approx(rho, abs=5e-4)
    assert ((guess - y[~train]) ** 2).mean() == pytest.approx(mse, abs=5e-4)
