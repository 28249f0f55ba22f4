"""What scikit-learn's classes share: checked rows in, moments kept, coefficients and predictions out."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, replace
from numbers import Number
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from leastwise.errors import DataError, MissingError, MomentsError, UsageError, plural
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.sparse import canonical, sparse_moments

FLOATS = (np.float64, np.float32)
FORMATS = ("csr", "csc", "coo")  # of sparse matrices; others are turned into the first
NOT_CONVERGED = (
    "Objective did not converge. You might want to increase the number of iterations. "
    "Duality gap: {:.3e}, tolerance: {:.3e}"
)


@dataclass(frozen=True)
class Form:
    """In what form answers leave: `flat` for y (n,), in `dtype`, as tensors on `device` if X was one."""

    flat: bool
    dtype: Any = np.float64
    device: Any = None

    def given(self, values: Any) -> Any:
        """Numbers as the user works with them."""
        if self.device is None:
            return values
        return sys.modules["torch"].as_tensor(values, device=self.device)


@dataclass(frozen=True, eq=False)
class Sample:
    """Checked rows: X (n, p), dense or sparse, Y (n, k), weights w (n,) or None."""

    X: Any
    Y: Any
    w: Array | None
    form: Form

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @property
    def y(self) -> Any:
        """The targets in the form in which they came."""
        return self.Y[:, 0] if self.form.flat else self.Y

    def part(self, rows: Any) -> Sample:
        """Some rows, by places or as a slice."""
        return replace(self, X=self.X[rows], Y=self.Y[rows], w=None if self.w is None else self.w[rows])

    def moments(self, precision: str = "fast") -> Moments:
        """Of all these rows; where a value is not finite, scikit-learn's sentence says so."""
        try:
            if sparse.issparse(self.X) and precision == "fast":
                return sparse_moments(self.X, self.Y, self.w)
            if sparse.issparse(self.X):
                return Moments.of(self.X.toarray(), self.Y, self.w, precision=precision)
            return Moments.of(self.X, self.Y, self.w, precision=precision)
        except MissingError:
            assert_all_finite(self.X, input_name="X")
            assert_all_finite(self.Y, input_name="y")
            raise

    def unweighted(self) -> Sample:
        """The same rows, each counted once."""
        return replace(self, w=None)


class Linear(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A linear model with `coef_` and `intercept_`, as scikit-learn has them."""

    fit_intercept: bool
    _one_target_is_flat = True  # coef_ (p,) also where y came as (n, 1)
    _least_rows = 1

    def predict(self, X: Any) -> Any:
        """`X coef_' + intercept_`: (n,), or (n, k) for several targets; a tensor for a tensor."""
        check_is_fitted(self)
        form = Form(True, device=device_of(X))
        X = validate_data(self, untied(X), accept_sparse=FORMATS, reset=False)
        return form.given(X @ untied(self.coef_).T + untied(self.intercept_))

    def _sample(self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool = True) -> Sample:
        """X, y and weights, checked as scikit-learn checks them."""
        device = device_of(X)
        X, y = validate_data(
            self, untied(X), untied(y), reset=reset, accept_sparse=self._accept_sparse(), dtype=FLOATS,
            ensure_all_finite=sparse.issparse(X), multi_output=True, y_numeric=True,
            ensure_min_samples=self._least_rows,
        )  # fmt: skip
        return sample_of(X, y, sample_weight, Form(np.ndim(y) == 1, X.dtype, device))

    def _accept_sparse(self) -> Any:
        return list(FORMATS)

    def _keep(self, form: Form, coef: Array, intercept: Array) -> Self:
        """`coef` (k, p) and `intercept` (k,) in scikit-learn's shapes."""
        flat = form.flat or (len(coef) == 1 and self._one_target_is_flat)
        coef, intercept = coef.astype(form.dtype), intercept.astype(form.dtype)
        self.coef_ = form.given(coef[0] if flat else coef)
        self.intercept_ = form.given(intercept[0] if form.flat else intercept)
        if not self.fit_intercept:
            self.intercept_ = 0.0
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: moments from which rows could be read off stay behind."""
        state = dict(super().__getstate__())
        if "moments_" in state and state["moments_"].shareable is not state["moments_"]:
            del state["moments_"]
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class Growing(Linear):
    """A linear model that is solved from moments alone, so that rows can be added to it."""

    moments_: Moments
    _form: Form
    _begins_by_fit = True  # whether `fit` of the first rows is what more can be added to

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """The model of these rows alone."""
        raise NotImplementedError

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Rows added to those before; the answer is that of one `fit` on all of them.

        Raises MomentsError where the rows before are gone: fewer rows than columns are not pickled.
        """
        first = not hasattr(self, "_form")
        if first and self._begins_by_fit:
            return self.fit(X, y, sample_weight)
        if not first and not hasattr(self, "moments_"):
            raise MomentsError(
                "The moments of the rows before did not come along when this model was pickled: they (or "
                "those of one fold) were no more than the columns, and could be read off. Fit on all rows "
                "again."
            )
        sample = self._sample(X, y, sample_weight, reset=first)
        more = self._piece(sample)
        if first:
            return self._solve(more, sample.form)
        if len(self.moments_.targets) != sample.Y.shape[1]:
            had = plural(len(self.moments_.targets), "target")
            raise DataError(
                f"y has {plural(sample.Y.shape[1], 'target')}, and that of the rows before had {had}. "
                "Give as many."
            )
        before = self.moments_
        kind = more.weight_kind or before.weight_kind
        total = replace(before, weight_kind=kind) + replace(more, weight_kind=kind)
        return self._solve(total, self._form)

    def _piece(self, sample: Sample) -> Moments:
        """Moments of some rows, to be added to those before."""
        return sample.moments()

    def _solve(self, moments: Moments, form: Form) -> Self:
        """The model of these moments."""
        raise NotImplementedError

    def _keep_moments(self, moments: Moments, form: Form) -> None:
        self.moments_, self._form = moments, form


def sample_of(X: Any, y: Any, sample_weight: Any, form: Form) -> Sample:
    """Rows that were checked, with their weights."""
    if sample_weight is not None:
        weight = untied(sample_weight)
        sample_weight = _check_sample_weight(weight, X, dtype=np.float64, ensure_non_negative=True)
    y = y.toarray() if sparse.issparse(y) else y
    Y = y[:, None] if np.ndim(y) == 1 else y
    if sparse.issparse(X):
        X = canonical(X)
    return Sample(X, Y, sample_weight, form)


def say_convergence(gap: Array, goal: Array) -> None:
    """One warning where a gap is larger than was asked for."""
    if (gap > goal).any():
        worst = np.unravel_index(np.argmax(gap - goal), gap.shape)
        aim = np.broadcast_to(goal, gap.shape)[worst]
        warnings.warn(NOT_CONVERGED.format(gap[worst], aim), ConvergenceWarning, stacklevel=5)


def refuse_none(alphas: Any) -> None:
    """No alphas leave nothing to choose from."""
    if len(alphas) == 0:
        raise UsageError("alphas is empty, and one of them is to be chosen. Give one at least.")


def is_scalar(weight: Any) -> bool:
    """Whether a weight is one number for all rows."""
    return isinstance(weight, Number)


def device_of(values: Any) -> Any:
    """Where a tensor lives; None for anything else. torch is not imported for it."""
    torch = sys.modules.get("torch")
    return values.device if torch is not None and isinstance(values, torch.Tensor) else None


def untied(values: Any) -> Any:
    """A tensor as a numpy array; anything else as it is."""
    return values if device_of(values) is None else values.detach().cpu().numpy()
