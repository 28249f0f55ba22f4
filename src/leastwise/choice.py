"""Which penalty: the error of a whole path on held-out folds, and the rule that picks from it.

For every split the path is solved on the training moments, and its error on the held-out rows follows
from the held-out moments (Missed): no row is read. Folds weigh as their rows do. With several targets,
one alpha serves all: errors count in units of each target's variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from leastwise.errors import UsageError, plural
from leastwise.folds import Split, merged
from leastwise.moments import Moments
from leastwise.numerics import Array, one_blas_thread, workers
from leastwise.solve.missed import Missed
from leastwise.solve.regularised import Regularised


@dataclass(frozen=True, eq=False)
class Choice:
    """Errors along a path of `alphas` (A,), largest first, and which of them the rule takes.

    `mse` (A, F, k) of F folds and k targets; `weight` (F,) of the folds' rows; `scale` (k,) the targets'
    variances. `error` (A,) is the mean over folds, `spread` (A,) its standard error; with several targets
    in units of `scale`.
    """

    rule: str
    alphas: Array
    mse: Array
    weight: Array
    scale: Array = field(repr=False)
    error: Array
    spread: Array

    @classmethod
    def of_folds(cls, rule: str, alphas: Array, mse: Array, weight: Array, scale: Array) -> Choice:
        """The error of folds weighed as their rows, and its spread from how they differ (as in glmnet)."""
        each = mse[..., 0] if len(scale) == 1 else (mse / scale).mean(axis=-1)  # (A, F)
        share = weight / weight.sum()
        error = each @ share
        spread = np.sqrt((each - error[:, None]) ** 2 @ share / (len(weight) - 1))
        return cls(rule, alphas, mse, weight, scale, error, spread)

    @property
    def best(self) -> int:
        """Where the error is least; the larger penalty of two alike."""
        return int(np.argmin(self.error))

    @property
    def chosen(self) -> int:
        """What the rule takes: the best, or the largest penalty within one standard error of it."""
        if self.rule == "cv":
            return self.best
        limit = self.error[self.best] + self.spread[self.best]
        return int(np.argmax(self.error <= limit))  # alphas fall: the first is the largest

    @property
    def alpha(self) -> float:
        return float(self.alphas[self.chosen])

    @property
    def at_end(self) -> str:
        """A word of warning where the best lies at an end of the path; "" where it does not."""
        if len(self.alphas) < 2 or self.best not in (0, len(self.alphas) - 1):
            return ""
        side = "largest" if self.best == 0 else "smallest"
        return (
            f"the {side} alpha of the path, {self.alphas[self.best]:.3g}, has the least error on held-out "
            "folds: " + ("nothing helps to predict" if self.best == 0 else "hardly any penalty is needed")
        )


def choose(moments: Moments, splits: Sequence[Split], model: Regularised) -> Choice:
    """The errors of the model's path on these splits. Cost: a path for each, in threads.

    The alphas that come into question are those of all training rows together, and nothing of rows
    that no split holds takes part. Raises UsageError where there are fewer than two splits.
    """
    if len(splits) < 2:
        raise UsageError(
            f"alpha='{model.penalty.rule}' is chosen by held-out folds, and there "
            f"{'is' if len(splits) == 1 else 'are'} {plural(len(splits), 'fold')}. Two are needed "
            "(folds=, --folds)."
        )
    everything = merged(moments, tuple(sorted({*splits[0].held, *splits[0].train})))
    problem = model.problem(everything)
    alphas = model.grid(problem)
    with one_blas_thread(), ThreadPoolExecutor(min(workers(), len(splits))) as pool:
        found = list(pool.map(lambda split: _errors(moments, split, model, alphas), splits))
    mse, weight = np.stack([f[0] for f in found], axis=1), np.array([f[1] for f in found])
    scale = np.where(problem.yy > 0, problem.yy, 1.0)
    return Choice.of_folds(model.penalty.rule, alphas, mse, weight, scale)


def _errors(moments: Moments, split: Split, model: Regularised, alphas: Array) -> tuple[Array, float]:
    """Mean squared errors (A, k) on what a split holds out, and the weight of it."""
    train = merged(moments, split.train)
    path = model.path(model.problem(train), alphas)
    held = merged(moments, split.held).imputed(train.gaps)
    return Missed.of(held).sse(path.coef, path.intercept) / held.weight, held.weight
