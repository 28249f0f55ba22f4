"""The honest score: what a model says of rows that it has not seen, fold by fold.

Everything that is learned from rows is learned in the training part of each fold anew: the means that
fill gaps, the columns that vary, the coefficients, and the penalty where it is to be chosen (by folds
of the training part alone: nested cross-validation, Varma, Simon, BMC Bioinformatics 7 (2006) 91).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError, UsageError
from leastwise.folds import Dealing, FoldPlan, dealings
from leastwise.moments import Moments
from leastwise.numerics import Array, one_blas_thread, spearman
from leastwise.recipe import Recipe
from leastwise.rows.block import Block, Rows, Slab
from leastwise.solve import ENOUGH, Solution, least_squares, squared_error
from leastwise.transforms import Transform


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows (n,) with what they were predicted while held out (n, dealings, k), and the `scores` of that."""

    scores: Mapping[str, Array]
    part: NDArray[np.int64]
    w: Array
    Y: Array  # (n, k)
    guess: Array  # nan where a row is never held out


@dataclass(frozen=True, repr=False, eq=False)
class Validation:
    """Scores on rows that the model had not seen, fold by fold: arrays (K,), or (K, k) for k targets.

    `mse`, `rmse`, `r2` on the held-out fold; `train_*` on the rest, with the same coefficients (the
    difference is the generalisation gap); `mean_*` for always answering the training mean.
    `left_out` counts columns that did not vary (or depended on others) in the training part.
    `alpha`: the penalty that each fold chose for itself, where it was to be chosen. Of a target transformed
    all scores are of y, and `coef` and `intercept` give what `back` turns into it.
    `mae` and `spearman` need every prediction: they are made by a second pass over the rows when they
    are first asked for, and UsageError is raised where the rows cannot be read again.
    """

    plan: FoldPlan
    n: NDArray[np.int64]
    mse: Array
    r2: Array
    train_mse: Array
    train_r2: Array
    mean_mse: Array
    mean_r2: Array
    left_out: NDArray[np.int64]
    coef: Array  # (K, k, p)
    intercept: Array  # (K, k)
    fills: Array  # (K, len(filled)): what missing numbers were replaced by, in units of the data
    alpha: Array = field(default_factory=lambda: np.empty(0))
    back: tuple[Transform, ...] = ()  # how each fold turns its predictions back, of a target transformed
    again: Callable[[Validation], HeldOut] | None = field(default=None, repr=False, compare=False)

    @property
    def k(self) -> int:
        return len(self.n)

    @cached_property
    def rmse(self) -> Array:
        return np.sqrt(self.mse)

    @cached_property
    def train_rmse(self) -> Array:
        return np.sqrt(self.train_mse)

    @cached_property
    def mean_rmse(self) -> Array:
        return np.sqrt(self.mean_mse)

    @property
    def held_out(self) -> Mapping[str, Array]:
        """`mae`, `spearman`, and `mse` and `r2` once more, (K,) or (K, k), by the second pass."""
        return self.rows.scores

    @cached_property
    def rows(self) -> HeldOut:
        """The rows with what they were predicted while held out, by the second pass."""
        if self.again is None:
            raise UsageError("The rows cannot be read again. mae and spearman need a second pass.")
        return self.again(self)

    @property
    def mae(self) -> Array:
        return self.held_out["mae"]

    @property
    def spearman(self) -> Array:
        return self.held_out["spearman"]

    def __repr__(self) -> str:
        mean, spread = self.over_folds("r2")
        return f"Validation({self.k} folds by {self.plan.by}: r2 {mean} ± {spread})"

    def over_folds(self, name: str) -> tuple[Array, Array]:
        """Mean and standard deviation of a score over the folds, each () or (k,)."""
        values = getattr(self, name)
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else values[0] * np.nan
        return values.mean(axis=0), spread


@dataclass(frozen=True)
class NoValidation:
    """There is no score on unseen rows, and this is why. Counts as False."""

    reason: str

    def __bool__(self) -> bool:
        return False


Model = Callable[[Moments, Dealing[Moments], int], tuple[Solution, float]]


def validate(
    moments: Moments,
    model: Model,
    solution: Solution,
    *,
    again: Callable[[Validation], HeldOut] | None = None,
) -> Validation:
    """Scores on each fold by the model of the others. Cost: K solves, no row is read.

    `model` gives, of the moments of a fold's training rows, the dealing and which fold it is, the solution
    of the training rows and its alpha (nan where there is none); `solution` is that of all rows. Missing
    numbers are filled by the training part's means on both sides.
    """
    with one_blas_thread():  # many small factorisations: BLAS's own threads only get in the way
        folds = [
            _one_fold(dealing, i, model, solution)
            for dealing in dealings(moments)
            for i in range(len(dealing.folds))
        ]
    stacked: dict[str, Any] = {name: np.array([fold[name] for fold in folds]) for name in folds[0]}
    if np.isnan(stacked["alpha"]).all():
        stacked["alpha"] = np.empty(0)
    if len(moments.targets) == 1:
        scores = ("mse", "r2", "train_mse", "train_r2", "mean_mse", "mean_r2")
        stacked |= {name: stacked[name][:, 0] for name in scores}
    return Validation(plan=moments.plan, **stacked, again=again)


def by_least_squares(solution: Solution, rank: str, derived: bool = False) -> Callable[[Moments], Solution]:
    """How a fold's least squares are found: by the columns that the whole fit kept, as far as they vary.

    `derived` columns are rounded: what depends on others but for that is found in rounded moments.
    """

    def solve(known: Moments) -> Solution:
        return least_squares(
            known.rounded() if derived else known,
            intercept=solution.fits_intercept,
            rank="min-norm" if rank == "min-norm" else "drop",
            keep=None if rank == "min-norm" else solution.kept,
            root=False,
            digits=ENOUGH,
        )

    return solve


def _one_fold(dealing: Dealing[Moments], i: int, model: Model, solution: Solution) -> dict[str, Any]:
    train, held = dealing.training[i], dealing.folds[i]
    gaps = train.gaps
    known = train.imputed()
    fit, alpha = model(known, dealing, i)
    unseen = held.imputed(gaps)
    sse = squared_error(unseen, fit.coef, fit.intercept)
    p = len(train.names)
    centre = known.mean[p:]
    sse_mean = squared_error(unseen, np.zeros_like(fit.coef), centre)
    weight = unseen.weight
    around = unseen.around
    return {
        "n": held.n,
        "mse": sse / weight,
        "r2": _r2(sse, around),
        "train_mse": fit.mse,
        "train_r2": _r2(fit.rss, known.around),
        "mean_mse": sse_mean / weight,
        "mean_r2": _r2(sse_mean, around),
        "left_out": int(solution.kept.sum() - fit.kept[solution.kept].sum()),
        "coef": fit.coef,
        "intercept": fit.intercept,
        "fills": gaps + train.shift[list(train.filled)],
        "alpha": alpha,
    }


def _r2(sse: Array, around: Array) -> Array:
    ratio = np.divide(sse, around, out=np.full_like(sse, np.nan), where=around > 0)
    return np.asarray(1 - ratio)


def held_out(rows: Rows, recipe: Recipe, scores: Validation) -> HeldOut:
    """The rows once more, each predicted by the model of the folds that it is not in.

    A second pass over the rows. Memory: four numbers a row. mae weighs the rows as mse does;
    Spearman's correlation does not weigh. mse and r2 are those of the moments, but where these
    cannot carry an error so small. Raises DataError where the rows are no longer those that
    the moments were made of.
    """
    Part = tuple[NDArray[np.int64], Array, Array, Array]

    def step(slab: Slab) -> list[Part]:
        block = recipe.block(slab, stored=True)
        part = scores.plan.deal(block)
        w = np.ones(block.n) if block.w is None else block.w
        Y = np.asarray(block.Y, np.float64)
        return [(part, w, Y, _predict_held_out(block, part, recipe, scores))]

    none: list[Part] = []
    parts = rows.reduce(step, lambda a, b: a + b, none, columns=recipe.reads_all)
    part, w, Y, guess = (np.concatenate([piece[i] for piece in parts]) for i in range(4))
    _check_same_rows(scores, part, w, Y, [np.isin(part, split.held) for split in scores.plan.splits])
    found = _scores(scores, part, w, Y, guess)
    one = {name: value[:, 0] if Y.shape[1] == 1 else value for name, value in found.items()}
    return HeldOut(one, part, w, Y, guess)


def _scores(
    scores: Validation, part: NDArray[np.int64], w: Array, Y: Array, guess: Array
) -> dict[str, Array]:
    """`mae`, `spearman`, `mse`, `r2` of each fold (K, k)."""
    splits = scores.plan.splits
    folds = [np.isin(part, split.held) for split in splits]
    # a row is held out once in each dealing: its guess in dealing d is guess[:, d]
    guesses = [guess[here, s // (len(splits) // guess.shape[1])] for s, here in enumerate(folds)]
    off = [Y[here] - g for here, g in zip(folds, guesses, strict=True)]
    mse = np.array([_average(o**2, w[here]) for o, here in zip(off, folds, strict=True)])
    mae = np.array([_average(np.abs(o), w[here]) for o, here in zip(off, folds, strict=True)])
    spread = np.array([_average((Y[here] - _average(Y[here], w[here])) ** 2, w[here]) for here in folds])
    rho = np.array(
        [
            [spearman(Y[here, j], g[:, j]) for j in range(Y.shape[1])]
            for here, g in zip(folds, guesses, strict=True)
        ]
    )
    return {"mae": mae, "spearman": rho, "mse": mse, "r2": _r2(mse, spread)}


def _check_same_rows(
    scores: Validation, part: NDArray[np.int64], w: Array, Y: Array, folds: list[NDArray[np.bool_]]
) -> None:
    """The rows are those of the moments: as many in each fold, and as far from the training mean."""
    counts = [int(here.sum()) for here in folds]
    same = counts == scores.n.tolist()
    if same:
        known = [np.isin(part, split.train) for split in scores.plan.splits]
        away = [
            _average((Y[here] - _average(Y[there], w[there])) ** 2, w[here])
            for here, there in zip(folds, known, strict=True)
        ]
        same = np.allclose(np.array(away), scores.mean_mse.reshape(len(folds), -1), rtol=1e-3)
    if not same:
        raise DataError("The rows are not those that were fitted. Fit again before scoring.")


def _average(values: Array, w: Array) -> Array:
    return np.asarray((w @ values) / w.sum())


def _predict_held_out(block: Block, part: NDArray[np.int64], recipe: Recipe, scores: Validation) -> Array:
    """What each row is predicted while it is held out (n, dealings, k)."""
    raw, splits = block.X, scores.plan.splits
    raw = np.array(raw, np.float64) if isinstance(raw, np.ndarray) else raw
    each = len(splits) // scores.plan.repeats
    guess = np.full((block.n, scores.plan.repeats, block.Y.shape[1]), np.nan)
    for s, split in enumerate(splits):
        here = np.isin(part, split.held)
        X = raw[here]
        for m, place in enumerate(recipe.filled):
            X[np.isnan(X[:, place]), place] = scores.fills[s, m]
        found = X @ scores.coef[s].T + scores.intercept[s]
        guess[here, s // each] = scores.back[s].back(found) if scores.back else found
    return guess
