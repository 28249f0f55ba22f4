"""A penalty chosen by cross-validation, lasso and ridge: ours beside scikit-learn and others."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import enet_path
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

from benchmarks.cv_ways import LASSO, RIDGE
from benchmarks.path_ways import Way, centred
from benchmarks.paths import Array, Problem, problem
from benchmarks.table import Table
from benchmarks.turns import FEW, LIMIT, LONG, ROUNDS, Entry, take_turns

FOLDS, TOL, TIGHT = 10, 1e-4, 1e-9
SHAPES = ((100_000, 100), (1_000_000, 50), (20_000, 1_000))
RIDGES = np.logspace(5, -2, 50)  # (A,) of the sum of squares
WAYS: dict[str, tuple[str, Mapping[str, Way]]] = {
    "LassoCV": ("cv_ways:LASSO", LASSO),
    "RidgeCV": ("cv_ways:RIDGE", RIDGE),
}


def run(options: Namespace) -> Table:
    """Each shape, lasso and ridge, on one thread."""
    rows: list[Mapping[str, Any]] = []
    for n, p in SHAPES:
        with problem(n, p, 1.0, options.folder) as of:
            for kind in WAYS:
                rows += [{"job": kind, "shape": f"{n:,} x {p:,}"} | row for row in measured(kind, of)]
                print(f"  {kind}, {n:,} x {p:,}: done", flush=True)
    versions = {row["versions"]: None for row in rows if row.get("versions")}
    return Table(
        f"cv: seconds to choose among penalties by {FOLDS} folds, fit included, one thread",
        [{key: value for key, value in row.items() if key != "versions"} for row in rows],
        [*NOTES, *(f"with {words}" for words in versions)],
    )


NOTES = [
    "LassoCV: rows and the 100 alphas of `paths`; RidgeCV: the same rows and "
    f"{len(RIDGES)} alphas, {RIDGES.max():g} to {RIDGES.min():g}",
    f"leastwise, scikit-learn, celer, glum: KFold({FOLDS}), unshuffled; skglm and adelie draw folds",
    f"themselves (own folds), adelie also its alphas. tol {TOL:g} (gap relative to y'y about the mean,",
    "scikit-learn's default)",
    "for leastwise, scikit-learn and celer; the others at their own default, which is another measure",
    "difference: max |mse_path_ - true| / true over alphas and folds; true: each fold by itself, lasso by",
    f"scikit-learn's Gram path at tol {TIGHT:g}, ridge by the eigenvectors of the training rows' X'X;",
    "scikit-learn's RidgeCV keeps no such path: the mean at the alpha chosen is compared",
    "same alpha: whether the alpha chosen is the true path's",
    "each way in a process of its own, told to run in turn; medians of "
    f"{ROUNDS} runs ({FEW} where one takes",
    f"over {LONG:.0f} s); a way of which one run takes over {LIMIT:.0f} s is ended. cpu / ours, "
    "wall / ours: its",
    "seconds over ours",
    "others: cores that other processes kept busy meanwhile; wall seconds beside many are not sound",
]


def measured(kind: str, of: Problem) -> list[dict[str, Any]]:
    """All ways of one kind on these rows, and how near their errors are to the true ones."""
    place, ways = WAYS[kind]
    alphas, errors = (of.alphas, lasso_errors) if kind == "LassoCV" else (RIDGES, ridge_errors)
    true = fold_errors(of.X, of.y, alphas, errors)
    tune = partial(once, of=of, alphas=alphas, true=true)
    return take_turns(place, ways, 1, of.files, tune)


def once(entry: Entry, of: Problem, alphas: Array, true: Array) -> None:
    """Run it once, untimed: what it found, and how long it took."""
    out = of.folder / "found.npz"
    options = {"alphas": alphas.tolist(), "folds": FOLDS, "tol": TOL}
    entry.once = entry.run(options, out=str(out)).wall
    entry.options = options
    with np.load(out) as found:
        entry.said |= compared(dict(found), alphas, true)


def compared(found: Mapping[str, Array], alphas: Array, true: Array) -> dict[str, Any]:
    """The columns that say what was chosen, and how far its errors are from the true ones (A, folds)."""
    mean = true.mean(axis=1)
    best = alphas[mean.argmin()]
    same = "yes" if np.isclose(found["alpha"], best, rtol=1e-6) else "no"
    difference = None
    if "mse" in found:
        down = np.argsort(found.get("alphas", alphas))[::-1]
        difference = float((np.abs(found["mse"][down] - true) / true).max())
    elif "best" in found:
        difference = float(abs(found["best"] - mean.min()) / mean.min())
    else:
        same = "own folds"
    return {"alpha": float(found["alpha"]), "same alpha": same, "difference": difference}


# ---- the true errors ----


def fold_errors(X: Array, y: Array, alphas: Array, errors: Callable[..., Array]) -> Array:
    """Mean squared errors (A, folds) of `alphas`, largest first, each fold by itself."""
    with threadpool_limits(1):
        return np.stack([errors(*rows, alphas) for rows in dealt(X, y)], axis=1)


def dealt(X: Array, y: Array) -> Iterator[tuple[Array, Array, Array, Array]]:
    """Training X and y, held-out X and y, of each fold, all about the training rows' means."""
    for train, held in KFold(FOLDS).split(X):
        Xt, yt = centred(X[train], y[train])
        yield Xt, yt, X[held] - X[train].mean(axis=0), y[held] - y[train].mean()


def lasso_errors(X: Array, y: Array, Xh: Array, yh: Array, alphas: Array) -> Array:
    """Held-out errors (A,) of a lasso path at a tight tolerance."""
    _, coef, _ = enet_path(
        X, y, l1_ratio=1.0, alphas=alphas, precompute=True, tol=TIGHT, max_iter=1_000_000
    )
    return mean_squares(yh[:, None] - Xh @ coef)


def ridge_errors(X: Array, y: Array, Xh: Array, yh: Array, alphas: Array) -> Array:
    """Held-out errors (A,): with X'X = V diag(d) V', the coefficients are V (V'X'y / (d + alpha))."""
    d, V = np.linalg.eigh(X.T @ X)
    coef = V @ ((V.T @ (X.T @ y))[:, None] / (d[:, None] + alphas))  # (p, A)
    return mean_squares(yh[:, None] - Xh @ coef)


def mean_squares(r: Array) -> Array:
    """Of each column."""
    return np.asarray((r * r).mean(axis=0))


if __name__ == "__main__":
    import sys

    from benchmarks.__main__ import main

    main(["cv", *sys.argv[1:]])
