"""GradientDescentRegressor: check, rename, call; no maths."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite

from leastwise.descending import descend
from leastwise.errors import DataError, LeastwiseWarning, UsageError, plural
from leastwise.estimators.base import FORMATS, Form, Linear, Sample, untied
from leastwise.penalties import Penalty
from leastwise.report.course import percent
from leastwise.solve.training import Training

FAR = 0.01  # of what could be gained: where more is left, scikit-learn's ConvergenceWarning says so


class GradientDescentRegressor(Linear):
    """Linear regression by gradient descent, as an estimator of scikit-learn.

    Minimises `L(W, b) = mean((X W + b - y)^2)` (and `(2/k) penalty`) by `steps` updates (or `epochs`
    passes) of rate `learning_rate`, which may be called `lr` as in `lw.descend`. A rate above the limit,
    where the loss grows, is refused, unless `allow_divergence`; "auto" is the one that leaves the least
    loss after so many steps, and then, with an intercept and without a penalty, steps are those of
    standardised columns (`standardize=None`), which changes nothing but how many it takes. Where much is
    left even so a ConvergenceWarning says it. The other parameters are those of `lw.Training`;
    `fit_intercept` and `random_state` as elsewhere in scikit-learn.

    `partial_fit` goes on from the coefficients that are there by one epoch of new rows (a step, without
    `batch`): it is no exact sum of rows, as that of the other classes is.

    Sparse X is taken with method="moments" and without `patience`: the other ways go over dense rows.

    After `fit`: `coef_` (p,) or (k, p) and `intercept_` (with `patience` those of the least held-out loss),
    `loss_curve_` (steps + 1,), `n_iter_`, `lr_`, `lr_limit_`, and the whole course as `descent_` (which is
    pickled without the rows, and not at all where they are no more than the columns).

    >>> import numpy as np
    >>> model = GradientDescentRegressor(steps=50).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> bool(np.allclose(model.predict([[3.0]]), 7.0, atol=1e-3))
    True
    """

    _one_target_is_flat = False
    _least_rows = 2

    def __init__(
        self,
        learning_rate: float | str = "auto",
        steps: int = 1_000,
        *,
        lr: float | str | None = None,
        epochs: int | None = None,
        method: str = "moments",
        momentum: float = 0.0,
        nesterov: bool = False,
        optimizer: Any = "sgd",
        penalty: Penalty | None = None,
        l1: str = "proximal",
        batch: int | None = None,
        schedule: Callable[[int], float] | None = None,
        patience: int | None = None,
        standardize: bool | None = None,
        fit_intercept: bool = True,
        allow_divergence: bool = False,
        random_state: int = 0,
    ) -> None:
        self.learning_rate = learning_rate
        self.steps = steps
        self.lr = lr
        self.epochs = epochs
        self.method = method
        self.momentum = momentum
        self.nesterov = nesterov
        self.optimizer = optimizer
        self.penalty = penalty
        self.l1 = l1
        self.batch = batch
        self.schedule = schedule
        self.patience = patience
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.allow_divergence = allow_divergence
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GradientDescentRegressor:
        """Descend on X (n, p) and y (n,) or (n, k). Raises UsageError where the rate is above its limit."""
        sample = self._checked(X, y, sample_weight)
        return self._descend(sample, self._training())

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> GradientDescentRegressor:
        """One epoch on these rows, from the coefficients that are there, or from zeros.

        Of the columns as they are, and without a fold held out: `standardize` and `patience` are for `fit`.
        """
        first = not hasattr(self, "coef_")
        sample = self._checked(X, y, sample_weight, reset=first)
        start = None
        if not first:
            W, b = np.atleast_2d(untied(self.coef_)).T, np.atleast_1d(untied(self.intercept_))
            start = W.astype(np.float64), np.broadcast_to(b, W.shape[1]).astype(np.float64)
            if W.shape[1] != sample.Y.shape[1]:
                raise DataError(
                    f"y has {plural(sample.Y.shape[1], 'target')}, and that of the rows before had "
                    f"{W.shape[1]:,}. Give as many."
                )
        once = replace(
            self._training(), steps=None, epochs=1, start=start, patience=None, standardize=False
        )
        return self._descend(sample, once, told=False)

    def _checked(self, X: Any, y: Any, sample_weight: Any, *, reset: bool = True) -> Sample:
        sample = self._sample(X, y, sample_weight, reset=reset)
        assert_all_finite(sample.Y, input_name="y")
        if not sparse.issparse(sample.X):
            assert_all_finite(sample.X, input_name="X")
        self._check_parameters()
        return sample

    def _training(self) -> Training:
        rate = self.learning_rate if self.lr is None else self.lr
        plain = rate == "auto" and self.fit_intercept and not self.penalty and self.optimizer == "sgd"
        return Training(
            lr=rate, steps=self.steps if self.epochs is None else None, epochs=self.epochs,
            method=self.method, momentum=self.momentum, nesterov=self.nesterov, optimizer=self.optimizer,
            schedule=self.schedule,
            penalty=Penalty() if self.penalty is None else self.penalty, l1=self.l1, batch=self.batch,
            patience=self.patience, standardize=plain if self.standardize is None else self.standardize,
        )  # fmt: skip

    def _descend(self, sample: Sample, training: Training, told: bool = True) -> GradientDescentRegressor:
        source, columns = self._source(sample)
        columns |= {"intercept": self.fit_intercept, "seed": self.random_state}
        with warnings.catch_warnings():
            if not self.allow_divergence:
                warnings.simplefilter("error", LeastwiseWarning)
            try:
                run = descend(source, training=training, **columns)
            except LeastwiseWarning as said:
                raise UsageError(f"{said}. To see it diverge, pass allow_divergence=True.") from None
        return self._keep_run(run, sample.form, told)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: no row goes along, nor a course from which rows could be read off."""
        state = dict(super().__getstate__())
        if "descent_" in state:
            state["descent_"] = state["descent_"].without_rows()
            if state["descent_"] is None:
                del state["descent_"]
        return state

    def _check_parameters(self) -> None:
        """What `descend` would name otherwise."""
        for name in ("fit_intercept", "allow_divergence"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name}={getattr(self, name)!r} is neither True nor False. Give one.")
        if self.lr is not None and self.learning_rate != "auto" and self.lr != self.learning_rate:
            raise UsageError(
                f"learning_rate={self.learning_rate!r} and lr={self.lr!r} came, two names of one rate. "
                "Give one."
            )
        seed = self.random_state
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise UsageError(f"random_state={seed!r} is no whole number of 0 or more. Give one.")

    def _source(self, sample: Sample) -> tuple[Any, dict[str, Any]]:
        """What `descend` takes: rows, or moments of sparse ones."""
        if not sparse.issparse(sample.X):
            return _rows(sample.X, sample.y, sample.w, getattr(self, "feature_names_in_", None))
        return sample.moments(), {}

    def _accept_sparse(self) -> Any:
        return list(FORMATS) if self.method == "moments" and self.patience is None else False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = bool(self._accept_sparse())
        return tags

    def _keep_run(self, run: Any, form: Form, told: bool) -> GradientDescentRegressor:
        W, b = run.parameters(run.chosen_step)
        if told and self.patience is None and run.left is not None and run.left > FAR:
            warnings.warn(
                f"{percent(run.left)} of what could be gained is left after {plural(run.steps, 'step')}. "
                "Columns of one scale take fewer: put a StandardScaler before, or pass standardize=True. "
                "Or take more steps.",
                ConvergenceWarning,
                stacklevel=4,
            )
        self._keep(form, W.T, b)
        self.loss_curve_ = np.asarray(run.loss)
        self.n_iter_, self.lr_, self.lr_limit_ = run.steps, run.lr, run.lr_limit
        self.descent_ = run
        return self


def _rows(X: Any, y: Any, weight: Any, names: Any) -> tuple[Any, dict[str, Any]]:
    """The rows as `descend` takes them; names and weights go along as those of a table."""
    if weight is None and names is None:
        return (X, y), {}
    import pyarrow as pa

    Y = y[:, None] if np.ndim(y) == 1 else y
    columns = {str(name): column for name, column in zip(_names(X, names), X.T, strict=True)}
    if weight is not None:
        columns[_free("weight", columns)] = weight
    targets = {_free(f"y{j}", columns): column for j, column in enumerate(Y.T)}
    asked: dict[str, Any] = {"target": list(targets)}
    if weight is not None:
        asked["weight"] = _free("weight", dict.fromkeys(_names(X, names)))
    return pa.table({**columns, **targets}), asked


def _names(X: Any, names: Any) -> list[str]:
    return [f"x{j}" for j in range(X.shape[1])] if names is None else [str(name) for name in names]


def _free(name: str, taken: Any) -> str:
    """`name`, or with underscores where a column is called so."""
    while name in taken:
        name += "_"
    return name
