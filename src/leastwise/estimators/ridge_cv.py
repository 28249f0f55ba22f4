"""RidgeCV: the penalty chosen by rows left out one by one, in closed form, or by folds."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse
from sklearn import linear_model
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.metrics import check_scoring, get_scorer
from sklearn.utils import check_scalar
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from leastwise.errors import LeastwiseWarning, UsageError
from leastwise.estimators.base import Form, Sample, refuse_none, say_convergence
from leastwise.estimators.dealt import Dealt, Fold, Pieces, in_threads
from leastwise.estimators.routing import routed, splits_of
from leastwise.moments import Moments
from leastwise.numerics import Array, block_rows
from leastwise.solve.left_out import LeftOut
from leastwise.solve.missed import Missed
from leastwise.solve.paths import solve_path
from leastwise.solve.penalised import Penalised, Shrinkage

SVD_ON_SPARSE = (
    "The 'svd' mode is not supported for sparse X, we fallback to `gcv_mode='eigen'`. Passing "
    "`gcv_mode='svd'` on sparse X will raise an error in 1.11, use the default or pass `gcv_mode='eigen'` "
    "to suppress this warning."
)
NO_SCORE = (
    "Some folds have no score: r2 needs two rows held out at least. The best alpha whose scores are all "
    "numbers is taken, or the first of all. Take fewer folds, or scoring='neg_mean_squared_error'."
)


class RidgeCV(Pieces):
    """Ridge with alpha chosen by cross-validation, as scikit-learn's RidgeCV, answered from moments.

    `cv=None`: each row is predicted by the others, for all alphas from one eigendecomposition. `cv` as
    elsewhere in scikit-learn: the moments of each fold are made once, and `r2` and mean squared errors of
    all alphas follow from them; other `scoring` is asked on the rows held out. `gcv_mode` names ways of
    scikit-learn's and changes nothing. `fit(..., groups=)` goes to splitters that deal by groups;
    `partial_fit` adds rows, dealt to `cv` (None: 5) folds by what they hold.

    After `fit`: `alpha_`, `best_score_`, `coef_`, `intercept_`, `moments_`; with `store_cv_results` also
    `cv_results_` (n, alphas) or (n, k, alphas): squared errors, or where there is a `scoring` predictions.

    >>> X = np.arange(20.0)[:, None]
    >>> RidgeCV(alphas=(0.1, 10.0)).fit(X, 2 * X[:, 0] + 1).alpha_
    0.1
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = dict(linear_model.RidgeCV._parameter_constraints)

    def __init__(
        self,
        alphas: Any = (0.1, 1.0, 10.0),
        *,
        fit_intercept: bool = True,
        scoring: Any = None,
        cv: Any = None,
        gcv_mode: str | None = None,
        store_cv_results: bool = False,
        alpha_per_target: bool = False,
    ) -> None:
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.scoring = scoring
        self.cv = cv
        self.gcv_mode = gcv_mode
        self.store_cv_results = store_cv_results
        self.alpha_per_target = alpha_per_target

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Fit X (n, p) to y (n,) or (n, k), with weights (n,) or one number."""
        where = routed(self, params, sample_weight)
        alphas = self._checked_alphas()
        sample = self._sample(X, y, sample_weight)
        if where.scorer.score.get("sample_weight") is not None:
            where.scorer.score["sample_weight"] = sample.w  # one for each row, also where one number came
        if self.cv is None:
            return self._leave_one_out(sample, alphas, where.scorer.score)
        splits = splits_of(self.cv, sample.X, sample.y, where.splitter.split)
        dealt = Dealt.of(sample, splits)
        self._by_folds(dealt, alphas, self._fold_score(sample, where), sample.form)
        self._keep_moments(dealt.whole, sample.form)
        return self

    def _solve(self, moments: Moments, form: Form) -> Self:
        if not self._is_closed or self.store_cv_results or self.alpha_per_target:
            raise UsageError(
                "partial_fit keeps no rows: scoring has to be None, 'r2', 'neg_mean_squared_error' or "
                "'neg_root_mean_squared_error', without store_cv_results and alpha_per_target."
            )
        score = ByMoments(CLOSED[self.scoring], None, True)
        self._by_folds(self._dealt_pieces(moments), self._checked_alphas(), score, form)
        self._keep_moments(moments, form)
        return self

    def _checked_alphas(self) -> Array:
        for what in ("store_cv_results", "alpha_per_target"):
            if self.cv is not None and getattr(self, what):
                raise ValueError(f"cv!=None and {what}=True are incompatible")
        edge = "neither" if self.cv is None else "left"
        alphas = list(np.ravel(self.alphas)) if np.ndim(self.alphas) == 0 else list(self.alphas)
        refuse_none(alphas)
        for i, alpha in enumerate(alphas):
            name = f"alphas[{i}]" if len(alphas) > 1 else "alphas"
            check_scalar(alpha, name, target_type=Real, min_val=0.0, include_boundaries=edge)
        return np.array(alphas, np.float64)

    # ---- each row left out ----

    def _leave_one_out(self, sample: Sample, alphas: Array, score_params: dict[str, Any]) -> Self:
        if self.gcv_mode == "svd" and sparse.issparse(sample.X):
            warnings.warn(SVD_ON_SPARSE, FutureWarning, stacklevel=4)
        moments = sample.moments()
        problem = Penalised.of(moments, Shrinkage(), intercept=self.fit_intercept)
        left_out = LeftOut(problem, alphas / (2 * moments.weight))
        held = HeldOut(sample, left_out, keep=self.store_cv_results or self.scoring is not None)
        scorer = None if self.scoring is None else self._scorer()
        scores = held.scores(scorer, self.alpha_per_target, score_params)  # (A,) or (A, k)
        best = np.asarray(np.argmax(scores, axis=0))  # () or (k,)
        self.alpha_ = alphas[best] if best.ndim else float(alphas[best])
        self.best_score_ = scores.max(axis=0)
        if self.store_cv_results:
            self.cv_results_ = self._results(held, sample.form)
        targets = np.arange(sample.Y.shape[1])
        coef, intercept = left_out.fits
        self._keep_moments(moments, sample.form)
        return self._keep(sample.form, coef[best, targets], intercept[best, targets])

    def _results(self, held: HeldOut, form: Form) -> Array:
        values = held.squares if self.scoring is None else held.predictions  # (n, A, k)
        values = values[:, :, 0] if form.flat else np.moveaxis(values, 1, 2)
        return values.astype(form.dtype)

    # ---- folds ----

    def _by_folds(self, dealt: Dealt, alphas: Array, score: Any, form: Form) -> Self:
        each = in_threads(
            partial(_scored, score, np.argsort(-alphas), alphas, self.fit_intercept), dealt.folds
        )
        scores = np.mean(each, axis=0)
        best = int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))
        if np.isnan(scores).any():
            warnings.warn(NO_SCORE, LeastwiseWarning, stacklevel=4)
        coef, intercept = _fits(dealt.whole, alphas[[best]], self.fit_intercept)
        self.alpha_, self.best_score_ = float(alphas[best]), scores[best]
        return self._keep(form, coef[0], intercept[0])

    def _fold_score(self, sample: Sample, where: Any) -> Any:
        weighted = where.scorer.score.get("sample_weight") is not None
        seen = sample if weighted or sample.w is None else sample.unweighted()
        if self._is_closed:
            return ByMoments(CLOSED[self.scoring], seen, seen is sample)
        scorer = self._scorer()
        asked = _routing_enabled() or not weighted or _accepts_weights(scorer)
        return ByRows(scorer, seen, where.scorer.score if asked else {})

    @property
    def _is_closed(self) -> bool:
        """Whether scores follow from moments."""
        return self.scoring is None or (isinstance(self.scoring, str) and self.scoring in CLOSED)

    # ---- what scikit-learn asks ----

    def _scorer(self) -> Any:
        if _routing_enabled() and self.scoring is None:
            return get_scorer("r2").set_score_request(sample_weight=True)
        return check_scoring(estimator=self, scoring=self.scoring, allow_none=True)

    def get_metadata_routing(self) -> Any:
        """Where what is passed to `fit` goes: to the scorer and to the splitter."""
        to_scorer = MethodMapping().add(caller="fit", callee="score")
        to_splitter = MethodMapping().add(caller="fit", callee="split")
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(scorer=self._scorer(), method_mapping=to_scorer)
        return router.add(splitter=self.cv, method_mapping=to_splitter)


class Known(RegressorMixin, BaseEstimator):
    """An estimator whose predictions are known: what it is asked about are they."""

    def predict(self, X: Any) -> Any:
        """X itself."""
        return X


@dataclass(eq=False)
class HeldOut:
    """What the other rows predict for each row, under every alpha, block by block."""

    sample: Sample
    left_out: LeftOut
    keep: bool  # predictions of all rows, for a scorer or to be shown
    predictions: Array = field(init=False)  # (n, A, k) where they are kept
    mean_square: Array = field(init=False)  # (A, k) weighted squares of what is missed, over n

    def __post_init__(self) -> None:
        A, (n, p), k = len(self.left_out.l2), self.sample.X.shape, self.sample.Y.shape[1]
        b = block_rows(p + A * k)
        _ = self.left_out.fits  # made before threads ask for it
        found = in_threads(self._block, [slice(first, first + b) for first in range(0, n, b)])
        self.mean_square = sum((total for total, _ in found), np.zeros((A, k))) / n
        kept = [values for _, values in found if self.keep]
        self.predictions = np.concatenate(kept) if kept else np.empty((0, A, k))

    def _block(self, rows: slice) -> tuple[Array, Array]:
        """Sums of squares (A, k) over some rows, and predictions where they are kept."""
        part = self.sample.part(rows)
        X = (part.X.toarray() if sparse.issparse(part.X) else part.X).astype(np.float64, copy=False)
        found = self.left_out.predictions(X, part.Y, part.w, first=rows.start)
        return self._squares(found, rows).sum(axis=0), found if self.keep else np.empty(0)

    def _squares(self, found: Array, rows: Any) -> Array:
        missed = (self.sample.Y[rows][:, None, :] - found) ** 2
        return missed if self.sample.w is None else missed * self.sample.w[rows][:, None, None]

    @property
    def squares(self) -> Array:
        """Weighted squares of what is missed (n, A, k)."""
        return self._squares(self.predictions, slice(None))

    def scores(self, scorer: Any, per_target: bool, params: dict[str, Any]) -> Array:
        """One for each alpha (A,), or where `per_target` and there are several targets (A, k)."""
        several = per_target and self.sample.Y.shape[1] > 1
        if scorer is None:
            return -self.mean_square if several else -self.mean_square.mean(axis=1)
        known, y = Known(), self.sample.y
        found = np.moveaxis(self.predictions, 1, 0)  # (A, n, k)
        if several:
            asked = [
                [scorer(known, one[:, j], y[:, j], **params) for j in range(y.shape[1])] for one in found
            ]
        else:
            asked = [scorer(known, one.reshape(y.shape), y, **params) for one in found]
        return np.asarray(asked, np.float64)


# ---- scores of folds ----


@dataclass(frozen=True, eq=False)
class ByMoments:
    """Scores that follow from sums of squares: the rows held out are not read again."""

    of: Callable[[Array, Array, float], Array]
    sample: Sample | None
    same: bool  # whether held-out moments count rows as the score does

    def __call__(self, fold: Fold, coef: Array, intercept: Array) -> Array:
        """(A,) for coef (A, k, p), intercept (A, k)."""
        moments = fold.held_out
        if self.sample is not None and not self.same:
            moments = self.sample.part(fold.test).moments()
        missed = Missed.of(moments)
        if self.of is r2 and moments.n < 2:
            return np.full(len(coef), np.nan)
        return self.of(missed.sse(coef, intercept), missed.around, missed.weight)


@dataclass(frozen=True, eq=False)
class ByRows:
    """Any scorer, asked about predictions of the rows held out."""

    scorer: Any
    sample: Sample
    params: dict[str, Any]

    def __call__(self, fold: Fold, coef: Array, intercept: Array) -> Array:
        """(A,) for coef (A, k, p), intercept (A, k)."""
        part = self.sample.part(fold.test)
        params = {name: np.asarray(value)[fold.test] for name, value in self.params.items()}
        model = linear_model.Ridge()
        found = []
        for b, c in zip(coef, intercept, strict=True):
            model.coef_, model.intercept_ = (b[0], c[0]) if self.sample.form.flat else (b, c)
            found.append(self.scorer(model, part.X, part.y, **params))
        return np.asarray(found, np.float64)


def _accepts_weights(scorer: Any) -> bool:
    """Whether a scorer takes `sample_weight`; where not, scores count rows alike, and that is said."""
    accepts = getattr(scorer, "_accept_sample_weight", None)
    found = accepts() if accepts is not None else "sample_weight" in signature(scorer).parameters
    if not found:
        warnings.warn(
            f"The scoring {scorer} does not support sample_weight: each row held out counts once. Take "
            "another scoring, or no weights.",
            LeastwiseWarning,
            stacklevel=6,
        )
    return bool(found)


def r2(sse: Array, around: Array, weight: float) -> Array:
    """`1 - sse / around` (A,), the mean over targets; 1 or 0 for a target that does not vary."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(around > 0, 1 - sse / around, np.where(sse == 0, 1.0, 0.0))
    return np.asarray(each.mean(axis=1))


def _mean_square(sse: Array, around: Array, weight: float) -> Array:
    return np.asarray(-(sse / weight).mean(axis=1))


def _root_mean_square(sse: Array, around: Array, weight: float) -> Array:
    return np.asarray(-np.sqrt(sse / weight).mean(axis=1))


CLOSED: dict[Any, Callable[[Array, Array, float], Array]] = {
    None: r2,
    "r2": r2,
    "neg_mean_squared_error": _mean_square,
    "neg_root_mean_squared_error": _root_mean_square,
}


def _scored(score: Any, order: Any, alphas: Array, intercept: bool, fold: Fold) -> Array:
    """Scores of one fold (A,), in the order in which alphas were given."""
    found = score(fold, *_fits(fold.training, alphas[order], intercept))
    back = np.empty_like(found)
    back[order] = found
    return back


def _fits(moments: Moments, alphas: Array, intercept: bool) -> tuple[Array, Array]:
    """coef (A, k, p) and intercept (A, k) for alphas, largest first."""
    path = solve_path(moments, np.zeros(len(alphas)), alphas / (2 * moments.weight), intercept=intercept)
    say_convergence(path.gap, path.goal)
    return path.coef, path.intercept
