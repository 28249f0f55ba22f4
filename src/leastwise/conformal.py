"""Intervals for rows of groups that were not seen: CV+, and how often they held.

    interval(x) = [ the a (n + 1)-th smallest of mu_k(x) - R_i, the (1 - a)(n + 1)-th of mu_k(x) + R_i ]

over all rows i, R_i = |y_i - mu_k(i)(x_i)| the error of the model that was trained without the fold k(i)
of the row. Nothing is assumed of errors or of the model. For rows (or, where folds are of whole groups,
groups) that could have come in any order the coverage is at least 1 - 2 a; in practice it is near 1 - a.
Barber, Candes, Ramdas, Tibshirani, Ann. Statist. 49 (2021) 486, theorem 4.

How often they held is measured, not assumed: each fold is held out once more, intervals are made of the
others among themselves (models without both), and its rows are counted. That is as honest as the folds are:
a shift that the folds do not have is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError
from leastwise.numerics import Array
from leastwise.recipe import Recipe
from leastwise.rows import Rows, Slab
from leastwise.transforms import Transform
from leastwise.validation import Validation

MOST_FOLDS = 10  # of which every two are left out
POINTS = 512  # of the errors of a fold that are kept: each stands for the largest of its share
STEPS = 60  # of bisection


class Interval(NamedTuple):
    """Predictions and their limits, each as `predict` gives predictions."""

    prediction: Any
    low: Any
    high: Any


@dataclass(frozen=True, eq=False)
class Model:
    """Coefficients (k, p) and intercept (k,) of one training, what fills gaps, and what turns y back."""

    coef: Array
    intercept: Array
    fills: Array
    back: Transform = Transform()  # noqa: RUF009  # frozen


@dataclass(frozen=True, eq=False)
class Conformal:
    """Errors of held-out rows by fold: `errors` (K, k, POINTS) ascending, each of `weight` (K,) rows."""

    errors: Array
    weight: Array

    @classmethod
    def of(cls, errors: list[Array]) -> Conformal:
        """Of the absolute errors (n_f, k) of each fold."""
        kept = [_points(np.sort(np.abs(fold), axis=0)) for fold in errors]
        return cls(np.stack(kept), np.array([len(fold) / POINTS for fold in errors]))

    def limits(self, guess: Array, level: float) -> tuple[Array, Array]:
        """The lower and upper limits (n, k) of rows that the K models predict as `guess` (n, K, k)."""
        n = float(self.weight.sum()) * POINTS
        if not 0 < level < 1 or not enough(n, level):
            raise DataError(
                f"An interval of level {level:g} was asked for, and {n:,.0f} rows were held out. It is "
                "between 0 and 1, and takes 1 / (1 - level) - 1 rows at least. Ask for a lower one."
            )
        most = n + 1 - (1 - level) * (n + 1) - 1e-6  # more than that many: the next whole number of them
        return -self._rank(-guess, most), self._rank(guess, most)

    def _rank(self, guess: Array, rank: float) -> Array:
        """The least t (n, k) that more than `rank` of `guess + errors` do not exceed."""
        low = guess.min(axis=1)  # (n, k)
        high = (guess + self.errors[:, :, -1]).max(axis=1)
        for _ in range(STEPS):
            middle = (low + high) / 2
            enough = self._at_most(middle, guess) > rank
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high

    def _at_most(self, t: Array, guess: Array) -> Array:
        """How many rows' `guess + error` are at most t (n, k)."""
        total = np.zeros(t.shape)
        for f, weight in enumerate(self.weight):
            for j in range(t.shape[1]):
                reached = np.searchsorted(self.errors[f, j], t[:, j] - guess[:, f, j], side="right")
                total[:, j] += weight * reached
        return total


def enough(n: float, level: float) -> bool:
    """Whether errors of n rows can carry an interval of this level."""
    return (1 - level) * (n + 1) >= 1 - 1e-9


def _points(errors: Array) -> Array:
    """(k, POINTS) of ascending errors (n, k): the largest of each share, to err to the wide side."""
    at = np.ceil(np.arange(1, POINTS + 1) * len(errors) / POINTS).astype(np.int64) - 1
    return np.asarray(errors[np.clip(at, 0, len(errors) - 1)].T)


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often intervals of a level held on folds that took no part in them: shares and widths by fold."""

    level: float
    held: Array  # (K, k)
    width: Array  # (K, k) medians


def predicted(X: Any, filled: tuple[int, ...], models: list[Model]) -> Array:
    """What M models predict (n, M, k) of rows X (n, p), whose columns `filled` may hold gaps."""
    return np.stack([_one(X, filled, model) for model in models], axis=1)


def _one(X: Any, filled: tuple[int, ...], model: Model) -> Array:
    if filled:
        X = np.array(X, np.float64)
        for m, place in enumerate(filled):
            X[np.isnan(X[:, place]), place] = model.fills[m]
    return np.asarray(model.back.back(X @ model.coef.T + model.intercept))


def why_uncovered(scores: Validation, counts: NDArray[np.int64], needed: int, level: float) -> str:
    """Why it cannot be said how often intervals hold, of parts of `counts` (k,) rows; "" where it can."""
    plan = scores.plan
    inner = [inner_parts(scores, f) for f in range(len(plan.splits))]
    if plan.judge:
        return "that leaves out every two folds, and here one was named to choose by"
    if plan.repeats > 1 or len(inner) > MOST_FOLDS or min(map(len, inner)) < 2:
        return f"that takes 3 to {MOST_FOLDS} folds, dealt once"
    for split, parts in zip(plan.splits, inner, strict=True):
        sizes = [int(counts[list(out)].sum()) for out in parts]
        train = int(counts[list(split.train)].sum())
        if not min(sizes) or train - max(sizes) <= needed or not enough(sum(sizes), level):
            return "the rows that are left without two folds are too few"
    return ""


def coverage(
    rows: Rows,
    recipe: Recipe,
    scores: Validation,
    without: Callable[[int, tuple[int, ...]], Model],
    level: float,
) -> Coverage:
    """How often intervals made without a fold hold there.

    `without(f, parts)` is the model of fold f less these parts of its training rows. A pass, and K (K - 1)
    models; memory: a number a row for each of them.
    """
    splits = scores.plan.splits
    keys = [(f, k) for f in range(len(splits)) for k in range(len(inner_parts(scores, f)))]
    models = [without(f, inner_parts(scores, f)[k]) for f, k in keys]

    def step(slab: Slab) -> list[tuple[NDArray[np.int64], Array, Array]]:
        block = recipe.block(slab, stored=True)
        found = predicted(block.X, recipe.filled, models)
        return [(scores.plan.deal(block), np.asarray(block.Y, np.float64), found)]

    none: list[tuple[NDArray[np.int64], Array, Array]] = []
    parts = rows.reduce(step, lambda a, b: a + b, none, columns=recipe.reads_all)
    part, Y, found = (np.concatenate([piece[i] for piece in parts]) for i in range(3))
    held, width = [], []
    for f, split in enumerate(splits):
        inner = inner_parts(scores, f)
        mine = [i for i, (g, _) in enumerate(keys) if g == f]
        among = [np.isin(part, inner[keys[i][1]]) for i in mine]
        errors = [Y[rows_of] - found[rows_of, i] for rows_of, i in zip(among, mine, strict=True)]
        here = np.isin(part, split.held)
        low, high = Conformal.of(errors).limits(found[here][:, mine], level)
        held.append(((Y[here] >= low) & (Y[here] <= high)).mean(axis=0))
        width.append(np.median(high - low, axis=0))
    return Coverage(level, np.array(held), np.array(width))


def models_of(scores: Validation) -> list[Model]:
    """The models of the folds of the first dealing."""
    one = zip(scores.coef, scores.intercept, scores.fills, strict=True)
    backs = scores.back or (Transform(),) * len(scores.coef)
    folds = len(scores.plan.splits) // scores.plan.repeats
    return [Model(*each, back) for each, back in list(zip(one, backs, strict=True))[:folds]]


def inner_parts(scores: Validation, f: int) -> list[tuple[int, ...]]:
    """The folds of fold f's training rows: the others, or the parts that are only trained on."""
    split = scores.plan.splits[f]
    if scores.plan.judge:
        return [scores.plan.judge]
    return list(split.others) if len(split.others) > 1 else [(part,) for part in split.always]
