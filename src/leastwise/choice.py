"""Which penalty: the error of a whole path on held-out folds, and the rule that picks from it.

For every fold the path is solved on the training moments, and its error on the held-out rows follows
from the held-out moments (Missed): no row is read. Folds weigh as their rows do. With several targets,
one alpha serves all: errors count in units of each target's variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from leastwise.errors import UsageError, plural
from leastwise.moments import Moments
from leastwise.numerics import Array, one_blas_thread, workers
from leastwise.solve.missed import Missed
from leastwise.solve.penalised import Penalised
from leastwise.solve.regularised import Regularised

ON_FOLDS = 1e-7  # gap asked for on folds: errors are then right to a millionth
ALIKE = 1e-6  # errors no further apart are one
MOST_EXTENSIONS = 3  # of a path, each as long as the first


@dataclass(frozen=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        return f"Choice({self.rule!r}: alpha {self.alpha:.4g} of {len(self.alphas)})"

    @property
    def best(self) -> int:
        """Where the error is least; the larger penalty of two alike to a millionth."""
        return int(np.argmax(self.error <= self.error.min() * (1 + ALIKE)))  # alphas fall

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


class Sides(Protocol):
    """The moments of some rows, and for each fold of them those trained on and those held out."""

    @property
    def whole(self) -> Moments: ...

    @property
    def training(self) -> Sequence[Moments]: ...

    @property
    def folds(self) -> Sequence[Moments]: ...

    @property
    def least(self) -> int: ...


def choose(dealings: Sequence[Sides], model: Regularised) -> Choice:
    """The errors of the model's path on every fold of these dealings. Cost: a path for each, in threads.

    A path that was made here goes on further down as long as the least error lies at its end. The alphas
    that come into question are those of all these rows together; of others nothing takes part. Raises
    UsageError where there are fewer than two folds.
    """
    folds = len(dealings[0].folds) if dealings else 0
    if folds < (dealings[0].least if folds else 1):
        raise UsageError(
            f"alpha='{model.penalty.rule}' is chosen by held-out folds, and there "
            f"{'is' if folds == 1 else 'are'} {plural(folds, 'fold')}. Two are needed (folds=, --folds)."
        )
    if folds == 1 and model.penalty.rule == "1se":
        raise UsageError(
            "alpha='1se' takes how errors differ between folds, and one fold chooses here. Take 'cv'."
        )
    problem = model.problem(dealings[0].whole)
    scale = problem.c.square[len(problem.deviation) :] / problem.c.weight  # (k,)
    folds_of = [_Fold.of(*pair, model) for d in dealings for pair in zip(d.training, d.folds, strict=True)]
    weight, unit = np.array([fold.weight for fold in folds_of]), np.where(scale > 0, scale, 1.0)

    def told(alphas: Array, mse: Array) -> Choice:
        return Choice.of_folds(model.penalty.rule, alphas, mse, weight, unit, dealings=len(dealings))

    alphas = model.grid(problem)
    found = told(alphas, _errors(folds_of, model, alphas))
    for _ in range(MOST_EXTENSIONS):
        if not model.made or found.best < len(found.alphas) - 1:
            break
        more = model.further(found.alphas)
        mse = np.concatenate([found.mse, _errors(folds_of, model, more)])
        found = told(np.append(found.alphas, more), mse)
    return found


@dataclass(frozen=True, eq=False)
class _Fold:
    """The problem of a fold's training rows, and the rows held out."""

    problem: Penalised
    unseen: Missed

    @classmethod
    def of(cls, train: Moments, held: Moments, model: Regularised) -> _Fold:
        with one_blas_thread():
            return cls(model.problem(train), Missed.of(held.imputed(train.gaps)))

    @property
    def weight(self) -> float:
        return self.unseen.weight


def _errors(folds: Sequence[_Fold], model: Regularised, alphas: Array) -> Array:
    """Mean squared errors (A, F, k) on the rows held out."""

    def of(fold: _Fold) -> Array:
        path = model.path(fold.problem, alphas, ON_FOLDS)
        return fold.unseen.sse(path.coef, path.intercept) / fold.weight

    with one_blas_thread(), ThreadPoolExecutor(min(workers(), len(folds))) as pool:
        return np.stack(list(pool.map(of, folds)), axis=1)
