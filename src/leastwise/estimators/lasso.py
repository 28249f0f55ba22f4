"""Lasso and ElasticNet: penalties of absolute values, for one alpha."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import linear_model
from sklearn.base import _fit_context
from sklearn.utils import metadata_routing

from leastwise.errors import MissingError
from leastwise.estimators.base import Form, Growing, Sample, is_scalar, sample_of, say_convergence
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.solve import least_squares
from leastwise.solve.penalised import Penalised, Shrinkage
from leastwise.solve.point import Point, approached, resumed

SHARP = 1e-12  # gap that is aimed at, as direct steps mostly get there: `tol` only says what is enough
NOT_FINITE = (
    "Coordinate descent iterations resulted in non-finite parameter values. The input data may contain "
    "large values and need to be preprocessed."
)


class ElasticNet(Growing):
    """Least squares with both penalties, as scikit-learn's ElasticNet, answered from moments.

    Minimises, with W the sum of the weights,

        1/(2W) sum w (x b + c - y)^2 + alpha l1_ratio |b|_1 + alpha (1 - l1_ratio) / 2 |b|^2

    `tol` is scikit-learn's: the duality gap that is enough, as a share of `y'y`; mostly far less is left.
    `max_iter` counts rounds over the columns in question. `precompute`: a matrix is checked; products of
    columns are what is used in any case. `selection` and `random_state` change nothing, for the answer does
    not hang on the order of columns, nor does `copy_X`: X is never changed.

    After `fit` also `moments_`: `partial_fit` adds rows.

    >>> model = ElasticNet(alpha=0.5, l1_ratio=1.0).fit([[-1.0], [0.0], [1.0]], [-1.0, 0.0, 1.0])
    >>> round(float(model.coef_[0]), 9)
    0.25
    """

    __metadata_request__fit: ClassVar[dict[str, Any]] = {"check_input": metadata_routing.UNUSED}
    _parameter_constraints: ClassVar[dict[str, Any]] = dict(linear_model.ElasticNet._parameter_constraints)
    path = staticmethod(linear_model.enet_path)

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        precompute: Any = False,
        max_iter: int = 1000,
        copy_X: bool = True,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: Any = None,
        selection: str = "cyclic",
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.copy_X = copy_X
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, check_input: bool = True) -> Self:
        """Fit X (n, p) to y (n,) or (n, k), with weights (n,): their scale changes nothing."""
        if self.alpha == 0:
            warnings.warn(
                "With alpha=0, this algorithm does not converge well. You are advised to use the "
                "LinearRegression estimator",
                stacklevel=2,
            )
        weight = None if is_scalar(sample_weight) else sample_weight
        if check_input:
            sample = self._sample(X, y, weight)
        else:
            sample = sample_of(X, y, weight, Form(np.ndim(y) == 1, X.dtype))
            self.n_features_in_ = X.shape[1]
        return self._solve(self._moments(sample, check_input), sample.form)

    @property
    def sparse_coef_(self) -> Any:
        """`coef_` as a sparse matrix (k, p)."""
        return sparse.csr_matrix(np.atleast_2d(self.coef_))

    def _moments(self, sample: Sample, check: bool) -> Moments:
        try:
            moments = sample.moments()
        except MissingError:
            raise ValueError(NOT_FINITE) from None
        if check and hasattr(self.precompute, "__array__") and not sparse.issparse(sample.X):
            check_gram(np.asarray(self.precompute), moments, self.fit_intercept, sample)
        return moments

    def _ratio(self) -> float:
        return float(self.l1_ratio)

    def _solve(self, moments: Moments, form: Form) -> Self:
        self._keep_moments(moments, form)
        if self.alpha == 0 and not self.positive:
            found = least_squares(moments, intercept=self.fit_intercept, rank="min-norm", root=False)
            self._keep_course(np.zeros(len(found.coef)), np.ones(len(found.coef), np.int64), form)
            return self._keep(form, found.coef, found.intercept)
        ratio, alpha = self._ratio(), float(self.alpha)
        l1, l2 = alpha * ratio, alpha * (1 - ratio) / 2
        point = self._descend(moments, l1, l2)
        say_convergence(point.gap, enough(self.tol) * point.size)
        if not np.isfinite(point.coef).all():
            raise ValueError(NOT_FINITE)
        self._keep_course(point.gap, point.rounds, form)
        return self._keep(form, point.coef, point.intercept)

    def _descend(self, moments: Moments, l1: float, l2: float) -> Point:
        """The answer, from the coefficients that are there where `warm_start` is asked."""
        bounds = Shrinkage(lower=np.zeros(len(moments.names)) if self.positive else None)
        start = getattr(self, "coef_", None) if self.warm_start else None
        problem = Penalised.of(moments, bounds, intercept=self.fit_intercept)
        if start is not None:
            start = np.atleast_2d(np.asarray(start, np.float64))
            return resumed(problem, l1, l2, start, enough(self.tol), self.max_iter)
        return approached(problem, l1, l2, min(enough(self.tol), SHARP), self.max_iter)

    def _keep_course(self, gap: Array, rounds: NDArray[np.int64], form: Form) -> None:
        one = len(gap) == 1
        self.dual_gap_ = gap.astype(form.dtype)[0] if one else gap.astype(form.dtype)
        self.n_iter_ = int(rounds[0]) if one else [int(r) for r in rounds]


class Lasso(ElasticNet):
    """Least squares with a penalty of absolute values, as scikit-learn's Lasso: `ElasticNet(l1_ratio=1)`.

    Minimises `1/(2W) sum w (x b + c - y)^2 + alpha |b|_1`; all else as there.

    >>> model = Lasso(alpha=0.5).fit([[-1.0], [0.0], [1.0]], [-1.0, 0.0, 1.0])
    >>> round(float(model.coef_[0]), 9)
    0.25
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = dict(linear_model.Lasso._parameter_constraints)
    path = staticmethod(linear_model.enet_path)

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        precompute: Any = False,
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: Any = None,
        selection: str = "cyclic",
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

    def _ratio(self) -> float:
        return 1.0


def enough(tol: float) -> float:
    """scikit-learn's `tol`, a share of `y'y`, as a share of the objective at b = 0: of half of it."""
    return float(np.clip(2 * tol, 1e-300, 0.999))


def check_gram(given: Array, moments: Moments, intercept: bool, sample: Sample) -> None:
    """A Gram matrix that was passed as `precompute`, compared in one element, as scikit-learn does.

    It is of the rows about their means, with weights that add up to n.
    """
    if intercept and not np.allclose(moments.mean[: len(moments.names)], 0):
        warnings.warn(
            "Gram matrix was provided but X was centered to fit intercept: recomputing Gram matrix.",
            UserWarning,
            stacklevel=5,
        )
        return
    p = len(moments.names)
    i = p // 2
    j = min(i + 1, p - 1)
    C = moments.comoment if intercept else moments.about(np.zeros_like(moments.shift)).whole.cross[1:, 1:]
    ours, theirs = C[i, j] * (len(sample) / moments.weight), given[i, j]
    rtol = 1e-4 if np.float32 in (given.dtype, sample.form.dtype) else 1e-7
    if not np.isclose(ours, theirs, rtol=rtol, atol=1e-5):
        raise ValueError(
            "Gram matrix passed in via 'precompute' parameter did not pass validation when a single "
            "element was checked - please check that it was computed properly. For element "
            f"({i},{j}) we computed {ours} but the user-supplied value was {theirs}."
        )
