"""LassoCV and ElasticNetCV: the penalty chosen by what whole paths miss of rows held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse
from sklearn import linear_model
from sklearn.base import _fit_context
from sklearn.model_selection import check_cv
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import validate_data

from leastwise.estimators.base import (
    FLOATS,
    Form,
    Sample,
    device_of,
    is_scalar,
    refuse_none,
    sample_of,
    say_convergence,
    untied,
)
from leastwise.estimators.dealt import Dealt, Fold, Pieces, in_threads
from leastwise.estimators.lasso import SHARP, check_gram, enough
from leastwise.estimators.routing import routed, splits_of
from leastwise.moments import Moments
from leastwise.numerics import Array, one_blas_thread
from leastwise.solve.missed import Missed
from leastwise.solve.paths import Path, path_of
from leastwise.solve.penalised import Penalised, Shrinkage
from leastwise.solve.point import Point, approached

FOLDS = 1e-6  # gap that is aimed at on folds: their errors are then within a few millionths
LEAST = float(np.finfo(np.float64).resolution)  # scikit-learn's smallest alpha of a grid
NO_GRID = (
    "Automatic alpha grid generation is not supported for l1_ratio=0. Please supply a grid by providing "
    "your estimator with the appropriate `alphas=` argument."
)


@dataclass(frozen=True)
class Way:
    """How a path is solved: intercept, bounds, the gap that is enough, rounds at most."""

    intercept: bool
    positive: bool
    tol: float
    most: int

    def aim(self, sharp: float) -> float:
        """The gap that is aimed at: what is enough, or `sharp` where that is less."""
        return min(enough(self.tol), sharp)

    def problem(self, moments: Moments) -> Penalised:
        """What is to be solved."""
        bounds = np.zeros(len(moments.names)) if self.positive else None
        return Penalised.of(moments, Shrinkage(lower=bounds), intercept=self.intercept)

    def path(self, moments: Moments, alphas: Array, ratio: float) -> Path:
        """The fits for scikit-learn's alphas (A,), largest first."""
        with one_blas_thread():
            return path_of(
                self.problem(moments), alphas * ratio, alphas * (1 - ratio) / 2, self.aim(FOLDS), self.most
            )

    def point(self, moments: Moments, alpha: float, ratio: float) -> Point:
        """The fit for one of them."""
        l1, l2 = alpha * ratio, alpha * (1 - ratio) / 2
        return approached(self.problem(moments), l1, l2, self.aim(SHARP), self.most)

    def largest(self, moments: Moments) -> float:
        """The least l1 under which every coefficient is 0."""
        problem = self.problem(moments)
        return problem.largest if problem.yy.any() else 0.0


class ElasticNetCV(Pieces):
    """ElasticNet with alpha (and l1_ratio) chosen by cross-validation, as scikit-learn's ElasticNetCV.

    The moments of each fold are made once; training moments are sums of them, and what all alphas miss of
    the rows held out follows from moments too. `alphas`: a number of them or the numbers; `cv` as in
    scikit-learn. `fit(..., groups=)` goes to splitters that deal by groups; `partial_fit` adds rows, dealt
    to `cv` folds by what they hold. `n_jobs`: threads are used as there are processors; `precompute`,
    `copy_X`, `selection`, `random_state`, `verbose` as in `ElasticNet`.

    After `fit`: `alpha_`, `l1_ratio_`, `alphas_` and `mse_path_` (alphas, folds), for several l1_ratios
    with one more axis in front, `coef_`, `intercept_`, `dual_gap_`, `n_iter_`, and `moments_` of all rows.

    >>> X = np.arange(20.0)[:, None]
    >>> model = ElasticNetCV(cv=4).fit(X, 2 * X[:, 0] + 1)
    >>> model.mse_path_.shape
    (100, 4)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = dict(
        linear_model.ElasticNetCV._parameter_constraints
    )
    path = staticmethod(linear_model.enet_path)

    def __init__(
        self,
        *,
        l1_ratio: Any = 0.5,
        eps: float = 1e-3,
        alphas: Any = 100,
        fit_intercept: bool = True,
        precompute: Any = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        cv: Any = None,
        copy_X: bool = True,
        verbose: Any = 0,
        n_jobs: int | None = None,
        positive: bool = False,
        random_state: Any = None,
        selection: str = "cyclic",
    ) -> None:
        self.l1_ratio = l1_ratio
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.tol = tol
        self.cv = cv
        self.copy_X = copy_X
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Fit X (n, p) to y (n,); weights (n,) count in fits and in the error of each fold."""
        sample_weight = None if is_scalar(sample_weight) else sample_weight
        where = routed(self, params, sample_weight)
        sample = self._sample(X, y, sample_weight)
        given = self._given_alphas()
        dealt = Dealt.of(sample, splits_of(self.cv, sample.X, sample.y, where.splitter.split))
        if hasattr(self.precompute, "__array__") and not sparse.issparse(sample.X):
            check_gram(np.asarray(self.precompute), dealt.whole, self.fit_intercept, sample)
        self._choose(dealt, given, sample.form)
        self._keep_moments(dealt.whole, sample.form)
        return self

    def _solve(self, moments: Moments, form: Form) -> Self:
        self._choose(self._dealt_pieces(moments), self._given_alphas(), form)
        self._keep_moments(moments, form)
        return self

    def _sample(self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool = True) -> Sample:
        device = device_of(X)
        of_y = {"dtype": FLOATS, "ensure_2d": False}
        of_X = {"accept_sparse": ["csr", "csc", "coo"], "dtype": FLOATS}
        of_X["ensure_all_finite"] = sparse.issparse(X)
        X, y = validate_data(self, untied(X), untied(y), validate_separately=(of_X, of_y), reset=reset)
        check_consistent_length(X, y)
        if y.ndim > 1 and y.shape[1] > 1:
            raise ValueError(f"For multi-task outputs, use MultiTask{type(self).__name__}")
        return sample_of(X, column_or_1d(y, warn=True), sample_weight, Form(True, X.dtype, device))

    def _given_alphas(self) -> Array | None:
        """The alphas in order, largest first; None where a grid is asked for."""
        if isinstance(self.alphas, Integral):
            return None
        refuse_none(self.alphas)
        for index, alpha in enumerate(self.alphas):
            check_scalar(
                alpha, f"alphas[{index}]", target_type=Real, min_val=0.0, include_boundaries="left"
            )
        return np.sort(np.asarray(self.alphas, np.float64))[::-1]

    def _ratios(self) -> list[float]:
        return [float(ratio) for ratio in np.atleast_1d(self.l1_ratio)]

    def _grid(self, largest: float, ratio: float) -> Array:
        if ratio == 0:
            raise ValueError(NO_GRID)
        top = largest / ratio
        if top <= LEAST:
            return np.full(self.alphas, LEAST)
        return np.geomspace(top, top * self.eps, num=self.alphas)

    def _choose(self, dealt: Dealt, given: Array | None, form: Form) -> Self:
        how = Way(self.fit_intercept, self.positive, self.tol, self.max_iter)
        ratios = self._ratios()
        if given is None:
            largest = how.largest(dealt.whole)
            grids = [self._grid(largest, ratio) for ratio in ratios]
        else:
            grids = [given] * len(ratios)
        tasks = [(fold, i) for i in range(len(ratios)) for fold in dealt.folds]
        found = in_threads(partial(_fold_error, how, grids, ratios), tasks)
        errors, gaps, goals = (np.stack(values) for values in zip(*found, strict=True))  # (ratios folds, A)
        say_convergence(gaps, goals)
        errors = errors.reshape(len(ratios), len(dealt.folds), -1)
        i, a = _best(errors.mean(axis=1))
        self.mse_path_ = np.squeeze(np.moveaxis(errors, 2, 1)).astype(form.dtype)
        self.alphas_ = np.stack(grids) if given is None and len(ratios) > 1 else grids[0]
        self.alpha_ = grids[i][a]
        self._keep_ratio(np.atleast_1d(self.l1_ratio)[i] if hasattr(self, "l1_ratio") else 1.0)
        return self._refit(dealt.whole, how, (grids[i][a], ratios[i]), form)

    def _refit(self, moments: Moments, how: Way, chosen: tuple[float, float], form: Form) -> Self:
        point = how.point(moments, *chosen)
        say_convergence(point.gap, enough(self.tol) * point.size)
        self.dual_gap_ = point.gap.astype(form.dtype)[0]
        self.n_iter_ = int(point.rounds[0])
        return self._keep(form, point.coef, point.intercept)

    def _keep_ratio(self, ratio: float) -> None:
        self.l1_ratio_ = ratio

    def get_metadata_routing(self) -> Any:
        """Where what is passed to `fit` goes: to the splitter."""
        to_splitter = MethodMapping().add(caller="fit", callee="split")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(splitter=check_cv(self.cv), method_mapping=to_splitter)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output, tags.target_tags.multi_output = True, False
        return tags


class LassoCV(ElasticNetCV):
    """Lasso with alpha chosen by cross-validation, as scikit-learn's LassoCV: `ElasticNetCV(l1_ratio=1)`.

    >>> X = np.arange(20.0)[:, None]
    >>> model = LassoCV(cv=4).fit(X, 2 * X[:, 0] + 1)
    >>> bool(model.alpha_ == model.alphas_[-1])
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = dict(linear_model.LassoCV._parameter_constraints)
    path = staticmethod(linear_model.lasso_path)

    def __init__(
        self,
        *,
        eps: float = 1e-3,
        alphas: Any = 100,
        fit_intercept: bool = True,
        precompute: Any = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        copy_X: bool = True,
        cv: Any = None,
        verbose: Any = False,
        n_jobs: int | None = None,
        positive: bool = False,
        random_state: Any = None,
        selection: str = "cyclic",
    ) -> None:
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.tol = tol
        self.copy_X = copy_X
        self.cv = cv
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

    def _ratios(self) -> list[float]:
        return [1.0]

    def _keep_ratio(self, ratio: float) -> None:
        """It is no parameter here."""


def _fold_error(
    how: Way, grids: Sequence[Array], ratios: Sequence[float], task: tuple[Fold, int]
) -> tuple[Array, Array, Array]:
    """Mean squared errors of the held-out rows (A,), the gaps of the path (A,), and what is enough (1,)."""
    fold, i = task
    path = how.path(fold.training, grids[i], ratios[i])
    sse = Missed.of(fold.held_out).sse(path.coef, path.intercept)[:, 0]
    return sse / fold.held_out.weight, path.gap[:, 0], enough(how.tol) * path.problem.yy[:1] / 2


def _best(errors: Array) -> tuple[int, int]:
    """The place of the least (ratios, A): the first of equals, as scikit-learn has it."""
    i, a = np.unravel_index(np.argmin(errors), errors.shape)
    return int(i), int(a)
