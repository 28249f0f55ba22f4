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
from leastwise.folds import Dealing
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
    def of_folds(
        cls, rule: str, alphas: Array, mse: Array, weight: Array, scale: Array, *, dealings: int = 1
    ) -> Choice:
        """The error of folds weighed as their rows, and its spread from how they differ (as in glmnet).

        Folds of several dealings are of the same rows: their number is no reason for a smaller spread.
        """
        each = mse[..., 0] if len(scale) == 1 else (mse / scale).mean(axis=-1)  # (A, F)
        share = weight / weight.sum()
        error = each @ share
        K = len(weight) // dealings
        spread = np.sqrt((each - error[:, None]) ** 2 @ share / max(K - 1, 1))
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


def choose(dealings: Sequence[Dealing], model: Regularised) -> Choice:
    """The errors of the model's path on every fold of these dealings. Cost: a path for each, in threads.

    The alphas that come into question are those of all these rows together; of others nothing takes part.
    Raises UsageError where there are fewer than two folds.
    """
    folds = len(dealings[0].folds) if dealings else 0
    if folds < 2:
        raise UsageError(
            f"alpha='{model.penalty.rule}' is chosen by held-out folds, and there "
            f"{'is' if folds == 1 else 'are'} {plural(folds, 'fold')}. Two are needed (folds=, --folds)."
        )
    problem = model.problem(dealings[0].rounded.whole)
    alphas = model.grid(problem)
    tasks = [
        pair
        for dealing in dealings
        for pair in zip(dealing.rounded.training, dealing.rounded.folds, strict=True)
    ]
    with one_blas_thread(), ThreadPoolExecutor(min(workers(), len(tasks))) as pool:
        found = list(pool.map(lambda pair: _errors(pair[0], pair[1], model, alphas), tasks))
    mse, weight = np.stack([f[0] for f in found], axis=1), np.array([f[1] for f in found])
    scale = np.where(problem.yy > 0, problem.yy, 1.0)
    return Choice.of_folds(model.penalty.rule, alphas, mse, weight, scale, dealings=len(dealings))


def _errors(train: Moments, held: Moments, model: Regularised, alphas: Array) -> tuple[Array, float]:
    """Mean squared errors (A, k) on the rows held out, and their weight."""
    path = model.path(model.problem(train), alphas)
    unseen = held.imputed(train.gaps)
    return Missed.of(unseen).sse(path.coef, path.intercept) / unseen.weight, unseen.weight
