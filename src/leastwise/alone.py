"""Leave-one-out: every row predicted from all the others, without a refit.

Least squares by leverages, `y - prediction without the row = e / (1 - h)`; ridge for all penalties at once
by solve/left_out.py. Both in closed form, and one more pass over the rows. Everything that would have to be
learned again without the row (means that fill gaps, deviations to standardise by) is refused.

The penalty alpha stands beside 1/(2n) SSE, and without a row n is one less: what LeftOut, which holds
the weight W fast, has to be given is alpha (n - 1) / n. (Rows of different weights would need one each.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leastwise.choice import Choice
from leastwise.errors import DataError, UsageError, plural
from leastwise.folds import ALONE, FoldPlan
from leastwise.inference import why_none
from leastwise.moments import Moments
from leastwise.numerics import Array, spearman
from leastwise.options import Options
from leastwise.recipe import Recipe
from leastwise.robust import Pass, Seen
from leastwise.rows import Rows, Slab
from leastwise.solve.left_out import LeftOut
from leastwise.solve.regularised import Regularised
from leastwise.validation import HeldOut, NoValidation, Validation

NOT_ALIKE = (
    "rows of different weights leave another W each, and the penalty beside 1/(2W) SSE would be another"
)
CERTAIN = 1e-10  # 1 - h below which the row alone decides about its prediction


def check_alone(rows: Rows, recipe: Recipe, options: Options) -> None:
    """Leave-one-out is refused, before the rows are read, where it has no closed form or is not honest."""
    asked, why = options.penalty, ""
    if asked.l1 or asked.share[0]:
        why = "an L1 penalty has no closed form for rows left out"
    elif options.positive or options.bounds or options.factors:
        why = "bounds and penalty factors have no closed form for rows left out"
    elif options.standardize:
        why = "standardising takes deviations, which the row left out has taken part in"
    elif recipe.missing == "mean":
        why = "missing='mean' fills by means, which the row left out has taken part in"
    elif recipe.together is not None:
        why = f"rows of one '{recipe.together}' belong together, and the others would give the row away"
    elif recipe.weight is not None and recipe.weight_kind == "frequency":
        why = "with frequency weights a row stands for several"
    elif options.rank == "min-norm":
        why = "rank='min-norm' leaves no leverages"
    elif not rows.rereadable:
        why = f"it takes the rows once more, and {rows.source} can be read once"
    elif asked.rule == "1se":
        why = "the spread of single rows is not that of an error on folds, so '1se' has no meaning"
    if why:
        raise UsageError(f"folds='{ALONE}' cannot be had: {why}. Ask for a number of folds.")


def choose_alone(rows: Rows, recipe: Recipe, moments: Moments, model: Regularised) -> Choice:
    """The errors of ridge along its path, every row left out in turn."""
    problem = model.problem(moments)
    alphas = model.grid(problem)
    left = LeftOut(problem, model.penalty.along(alphas)[1] * (1 - 1 / moments.n))
    Y, w, guesses = _all(rows, recipe, left)
    if not alike(w):
        raise UsageError(f"folds='{ALONE}' cannot be had: {NOT_ALIKE}. Ask for a number of folds.")
    square = (Y[:, None] - guesses) ** 2  # (n, A, k)
    scale = np.where(problem.yy > 0, problem.yy, 1.0)
    each = (square / scale).mean(axis=2) if square.shape[2] > 1 else square[..., 0]  # (n, A)
    error = w @ each / w.sum()
    spread = np.sqrt(w @ (each - error) ** 2 / w.sum() / max(len(w) - 1, 1))
    mse = np.einsum("n,nak->ak", w, square)[:, None] / w.sum()
    return Choice(model.penalty.rule, alphas, mse, np.array([w.sum()]), scale, error, spread)


def alike(w: Array) -> bool:
    """Whether rows weigh alike."""
    return bool(np.ptp(w) <= 1e-12 * w.max())


def validate_alone(again: Pass, moments: Moments, model: Regularised | None) -> Validation | NoValidation:
    """Scores of every row by the others' model, as one fold that holds them all."""
    s, p = again.solution, len(again.solution.names)
    if model is None:
        Y, w, guess = _by_leverage(again)
    else:
        left = LeftOut(model.problem(moments), np.array([s.penalty.l2 * (1 - 1 / s.n)]))
        Y, w, guesses = _all(again.rows, again.recipe, left)
        guess = guesses[:, 0]
        if not alike(w):
            return NoValidation(NOT_ALIKE)
    total, mean = w.sum(), moments.mean[p:]
    sse = w @ (Y - guess) ** 2
    alone = w @ ((Y - mean) / (1 - w / total)[:, None]) ** 2  # always the mean of the others
    around = moments.around
    scores = {
        "mse": sse / total, "r2": 1 - sse / around, "train_mse": s.mse, "train_r2": 1 - s.rss / around,
        "mean_mse": alone / total, "mean_r2": 1 - alone / around,
    }  # fmt: skip
    rank = [spearman(Y[:, j], guess[:, j]) for j in range(Y.shape[1])]
    more = {"mae": w @ np.abs(Y - guess) / total, "spearman": np.array(rank)}
    one = Y.shape[1] == 1
    shaped = {name: v if one else v[None] for name, v in (scores | more).items()}
    held = {name: shaped[name] for name in ("mae", "spearman", "mse", "r2")}
    rows = HeldOut(held, np.zeros(len(w), np.int64), w, Y, guess[:, None])
    plan = FoldPlan(1, 0, ALONE, groups=len(w))
    return Validation(
        plan, np.array([len(w)]), **{name: shaped[name] for name in scores}, left_out=np.zeros(1, np.int64),
        coef=s.coef[None], intercept=s.intercept[None], fills=np.empty((1, 0)), again=lambda _: rows,
    )  # fmt: skip


def _by_leverage(again: Pass) -> tuple[Array, Array, Array]:
    """Targets (n, k), weights (n,) and predictions (n, k) of least squares without the row."""
    reason = why_none(again.solution, again.recipe.weight_kind)
    if reason:
        raise UsageError(f"folds='{ALONE}' cannot be had: {reason}. Ask for a number of folds.")

    def step(seen: Seen) -> list[tuple[Array, ...]]:
        return [(seen.fitted + seen.residual, seen.residual, seen.w, 1 - seen.leverage)]

    none: list[tuple[Array, ...]] = []
    parts = again.reduce(step, lambda a, b: a + b, none)
    Y, e, w, left = (np.concatenate([part[i] for part in parts]) for i in range(4))
    if (left < CERTAIN).any():
        count = int((left < CERTAIN).sum())
        raise DataError(
            f"{plural(count, 'row')} alone decide about a coefficient (first: row "
            f"{int(np.argmin(left)) + 1:,} of those used): the others give no prediction for it. "
            f"folds='{ALONE}' needs more such rows; ask for a number of folds."
        )
    return Y, w, Y - e / left[:, None]


def _all(rows: Rows, recipe: Recipe, left: LeftOut) -> tuple[Array, Array, Array]:
    """Targets (n, k), weights (n,), predictions (n, A, k) by the other rows. A pass; A k numbers a row."""
    by_rows = left.problem.by_rows

    def step(slab: Slab) -> list[tuple[Any, ...]]:
        block = recipe.block(slab)
        X, Y = np.asarray(block.X, np.float64), np.asarray(block.Y, np.float64)
        guess = None if by_rows else left.predictions(X, Y, block.w)
        return [(X if by_rows else None, Y, np.ones(block.n) if block.w is None else block.w, guess)]

    none: list[tuple[Any, ...]] = []
    parts = rows.reduce(step, lambda a, b: a + b, none, columns=recipe.reads_all)
    Y, w = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    if len(Y) != left.problem.c.m.n:
        raise DataError("The rows are not those that were fitted. Fit again before scoring.")
    if by_rows:
        X = np.concatenate([part[0] for part in parts])
        return Y, w, left.predictions(X, Y, w)
    return Y, w, np.concatenate([part[3] for part in parts])
