"""LinearRegression and Ridge: least squares, with and without a penalty of the squares."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from sklearn import linear_model
from sklearn.base import _fit_context

from leastwise.errors import DataError, LeastwiseWarning, RankError, plural
from leastwise.estimators.base import FORMATS, Form, Growing, Sample, say_convergence
from leastwise.inference import Inference, classical
from leastwise.moments import Moments
from leastwise.numerics import Array, few_threads
from leastwise.solve import ENOUGH, Solution, least_squares
from leastwise.solve.centred import Centred
from leastwise.solve.paths import solve_path
from leastwise.solve.penalised import Shrinkage
from leastwise.solve.solution import undecided

SHARP = 1e-14  # gap asked for where bounds have to be met: what float64 can tell
EXACT_CELLS, EXACT_COLUMNS = 100_000_000, 400  # of X, up to which digits that lack are found in integers
ENOUGH_OF_RIDGE = 1e6  # times that gap may be left before it is said
ANSWERS = 20_000_000  # numbers of coefficients that are made at once
FEW_DIGITS = 6.0  # of the coefficients, below which it is said


class LinearRegression(Growing):
    """Least squares, as scikit-learn's LinearRegression, answered from one pass over the rows.

    Minimises `sum w (x b + c - y)^2`. Dependent columns: of all solutions the shortest, as there, with a
    LeastwiseWarning where rows are more than columns. Where float64 leaves fewer than 9 digits, moments are
    made again in integers (up to 100 million numbers in 400 columns). `positive`: no coefficient below 0.
    `copy_X`, `tol` and `n_jobs` choose between ways of scikit-learn's and change nothing here.

    After `fit` also `stderr_`, classical standard errors in the shape of `coef_` (nan where there are
    none), `condition_` of the scaled design, `rank_`, `singular_`, and `moments_`. `partial_fit` adds rows.

    >>> model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> model.predict([[3.0]]).round(9)
    array([7.])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = dict(
        linear_model.LinearRegression._parameter_constraints
    )
    _one_target_is_flat = False

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        tol: float = 1e-6,
        n_jobs: int | None = None,
        positive: bool = False,
    ) -> None:
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.tol = tol
        self.n_jobs = n_jobs
        self.positive = positive

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit X (n, p) to y (n,) or (n, k), with weights (n,) or one number."""
        sample = self._sample(X, y, sample_weight)
        return self._solve(sample.moments(), sample.form, sample)

    def _solve(self, moments: Moments, form: Form, sample: Sample | None = None) -> Self:
        self._keep_moments(moments, form)
        if self.positive:
            return self._solve_positive(moments, form)
        found = _shortest(moments, self.fit_intercept)
        if sample is not None and (found.digits < ENOUGH or undecided(found)) and _affordable(sample):
            exact = _exactly(sample, self.fit_intercept)
            found = exact if exact and (exact.digits >= found.digits or undecided(found)) else found
        self._say_doubts(found)
        self.condition_, self.rank_ = found.condition, found.rank
        self._keep_stderr(found, moments.weight_kind, form)
        return self._keep(form, found.coef, found.intercept)

    @property
    def singular_(self) -> Array:
        """Singular values (min(n, p),) of X about its means, times the roots of weights, largest first.

        Found when asked, from moments: those below 1e-8 of the largest are rounding, unless rows are few.
        """
        c = Centred.of(self.moments_.rounded(), self.fit_intercept)
        p, X = len(c.scale), c.features
        if isinstance(X, np.ndarray) and c.S is None:
            return np.linalg.svd(X, compute_uv=False)
        values = np.linalg.eigvalsh(X @ X.T if c.S is None else c.S[:p, :p])[::-1]
        return np.sqrt(np.maximum(values[: min(c.m.n, p)], 0.0))

    def _solve_positive(self, moments: Moments, form: Form) -> Self:
        none, bounds = np.zeros(1), Shrinkage(lower=np.zeros(len(moments.names)))
        path = solve_path(moments, none, none, shrinkage=bounds, intercept=self.fit_intercept, tol=SHARP)
        say_convergence(path.gap, ENOUGH_OF_RIDGE * path.goal)
        return self._keep(form, path.coef[0], path.intercept[0])

    def _keep_stderr(self, found: Solution, weight_kind: str, form: Form) -> None:
        errors = np.full(found.coef.shape, np.nan)
        inference = classical(found, weight_kind)
        if isinstance(inference, Inference):
            errors[:, found.kept] = inference.se[:, int(found.fits_intercept) :]
        errors = errors.astype(form.dtype)
        self.stderr_ = form.given(errors[0] if form.flat else errors)

    def _say_doubts(self, found: Solution) -> None:
        used = int(found.kept.sum())
        if found.rank < used and found.n > len(found.names):
            warnings.warn(
                f"Of {used:,} columns only {found.rank:,} do not depend on others. Least squares has many "
                "solutions then, and this is the shortest. Remove columns, or take Ridge.",
                LeastwiseWarning,
                stacklevel=5,
            )
        elif found.digits < FEW_DIGITS and found.n > len(found.names):
            warnings.warn(
                f"About {plural(int(found.digits), 'digit')} of the coefficients can be relied on: columns "
                "nearly depend on one another, and their products in float64 hold no more. Remove columns, "
                "or take lw.fit(..., precision='exact').",
                LeastwiseWarning,
                stacklevel=5,
            )

    def _accept_sparse(self) -> Any:
        return False if self.positive else list(FORMATS)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = not self.positive
        return tags


def _shortest(moments: Moments, intercept: bool, root: bool = True) -> Solution:
    with few_threads(len(moments.names)):
        return least_squares(moments, intercept=intercept, rank="min-norm", root=root)


def _exactly(sample: Sample, intercept: bool) -> Solution | None:
    """From moments in integers; None where values lie too far apart for them."""
    try:
        return _shortest(sample.moments("exact"), intercept)
    except (DataError, RankError):
        return None


def _affordable(sample: Sample) -> bool:
    """Whether sums in integers are worth their time."""
    n, p = sample.X.shape
    return bool(p <= EXACT_COLUMNS and n * p <= EXACT_CELLS)


class Ridge(Growing):
    """Least squares with a penalty of the squares, as scikit-learn's Ridge, answered from moments.

    Minimises `sum w (x b + c - y)^2 + alpha |b|^2`; `alpha` may be one number for each target. All
    `solver`s are names of one exact solution (`max_iter`, `tol`, `random_state` have nothing to do, nor has
    `copy_X`); `positive`: no coefficient below 0. `alpha=0` is least squares, the shortest solution.

    After `fit` also `moments_`: `partial_fit` adds rows, and another alpha needs no row again.

    >>> model = Ridge(alpha=2.0).fit([[-1.0], [1.0]], [-2.0, 2.0])
    >>> round(float(model.coef_[0]), 9)
    1.0
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = dict(linear_model.Ridge._parameter_constraints)

    def __init__(
        self,
        alpha: Any = 1.0,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        max_iter: int | None = None,
        tol: float = 1e-4,
        solver: str = "auto",
        positive: bool = False,
        random_state: Any = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.solver = solver
        self.positive = positive
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit X (n, p) to y (n,) or (n, k), with weights (n,) or one number."""
        self._check_solver()
        sample = self._sample(X, y, sample_weight)
        return self._solve(sample.moments(), sample.form)

    def _check_solver(self) -> None:
        if self.positive and self.solver not in ("auto", "lbfgs"):
            raise ValueError(
                f"solver='{self.solver}' does not support positive fitting. Please set the solver to "
                "'auto' or 'lbfgs', or set `positive=False`"
            )
        if self.solver == "lbfgs" and not self.positive:
            raise ValueError(
                "'lbfgs' solver can be used only when positive=True. Please use another solver."
            )

    def _solve(self, moments: Moments, form: Form) -> Self:
        alphas = self._alphas(len(moments.targets))
        coef, intercept = np.empty((len(alphas), len(moments.names))), np.empty(len(alphas))
        for some in _at_once(np.unique(alphas)[::-1], coef.size):
            all_coef, all_intercept = _ridge(moments, some, self.fit_intercept, self.positive)
            place, target = np.nonzero(some[:, None] == alphas)
            coef[target], intercept[target] = all_coef[place, target], all_intercept[place, target]
        self._keep_moments(moments, form)
        self.solver_, self.n_iter_ = self.solver, None
        return self._keep(form, coef, intercept)

    def _alphas(self, k: int) -> Array:
        """One alpha for each target (k,)."""
        alphas = np.asarray(self.alpha, np.float64).ravel()
        if len(alphas) not in (1, k):
            raise ValueError(
                f"Number of targets and number of penalties do not correspond: {len(alphas)} != {k}"
            )
        return np.broadcast_to(alphas, (k,))


def _at_once(alphas: Array, size: int) -> Iterator[Array]:
    """Alphas, largest first, as many at once as answers of `size` numbers fit into memory; 0 on its own."""
    step, some = max(1, ANSWERS // size), alphas[alphas > 0]
    yield from (some[first : first + step] for first in range(0, len(some), step))
    yield from (alphas[-1:] for _ in range(len(alphas) - len(some)))


def _ridge(moments: Moments, alphas: Array, intercept: bool, positive: bool) -> tuple[Array, Array]:
    """coef (A, k, p) and intercept (A, k) for alphas (A,), largest first."""
    if alphas[-1] == 0 and not positive:
        found = _shortest(moments, intercept, root=False)
        return found.coef[None], found.intercept[None]
    shrinkage = Shrinkage(lower=np.zeros(len(moments.names)) if positive else None)
    l2 = alphas / (2 * moments.weight)
    path = solve_path(moments, np.zeros_like(l2), l2, shrinkage=shrinkage, intercept=intercept, tol=SHARP)
    say_convergence(path.gap, ENOUGH_OF_RIDGE * path.goal)
    return path.coef, path.intercept
