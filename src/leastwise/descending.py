"""`descend`: gradient descent of the same rows that `fit` takes, three ways.

The rows go the way of fit.py to moments and least squares; then the course is written down in closed
form (solve/course.py), or walked with gradients from moments or rows (solve/walk.py).
"""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from leastwise.descended import Descent, trained_on
from leastwise.errors import DataError, LeastwiseWarning, UsageError, did_you_mean
from leastwise.fitted import Fit, Options
from leastwise.fitting import OPENING
from leastwise.fitting import fit as fit_rows
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.recipe import Recipe
from leastwise.rows.memory import real_matrix
from leastwise.solve import least_squares
from leastwise.solve.course import Closed, Walked
from leastwise.solve.quadratic import Quadratic
from leastwise.solve.rule import Rule
from leastwise.solve.solution import ENOUGH
from leastwise.solve.training import Training

if TYPE_CHECKING:
    from leastwise.solve.feed import Feed
    from leastwise.teach import LinearRegression

STEPS = 100
FOLDS = 5  # of which one is for validation, where patience asks for it
NOT_OURS = ("rank", "se", "cluster")


def descend(
    source: Any,
    target: Any = None,
    *,
    training: Training | None = None,
    recipe: Recipe | None = None,
    options: Options | None = None,
    **common: Any,
) -> Descent:
    """Gradient descent on `L(W, b) = mean((X W + b - y)^2)` over n rows and k targets.

        theta_{t+1} = theta_t - lr dL/dtheta        dL/dW = 2/(n k) X' (X W + b - y)

    with a penalty on `L + (2/k) penalty`. `source` and `target` as for `fit`, or Moments; `common`: fields
    of `Training` (lr, steps, start, method, momentum, optimizer, penalty, batch, ...), of `Recipe` and
    `Options`. method="moments" reads the rows once: cost n p^2 for the pass, p^3 once, then steps p for
    the loss of all steps and p^2 for the parameters of each one that is asked for. "autograd" and
    "analytic" cost steps n p k.

    Warns (LeastwiseWarning) before it begins where the rate is above its limit, above which the loss
    grows.     Raises errors.LeastwiseError of the kind that fits.

    >>> import leastwise as lw
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
    >>> run = lw.descend((X, y), lr=0.1, steps=200)
    >>> float(run.coef[-1][0].round(4)), float(run.intercept[-1].round(4)), round(run.lr_limit, 4)
    (2.0, 1.0, 0.238)
    """
    ours = {f.name for f in fields(Training)}
    known = {f.name for cls in (Recipe, Options) for f in fields(cls)} - {"terms", "filled", "notes"}
    known = (known | set(OPENING)) - set(NOT_OURS)
    for name in common:
        if name not in ours | known:
            raise UsageError(f"There is no option {name!r}. {did_you_mean(name, sorted(ours | known))}")
    if training is not None and not isinstance(training, Training):
        raise UsageError(f"training={training!r} is no Training. Make one, or leave it out.")
    said = {name: value for name, value in common.items() if name in ours}
    rest = {name: value for name, value in common.items() if name not in ours}
    asked = replace(training or Training(), **said)
    folds = rest.get("folds", None if options is None else options.folds)
    if asked.patience is None and folds:
        raise UsageError(
            f"folds={folds} came without patience. A fold is for early stopping: add patience=10."
        )
    if not isinstance(source, Moments):
        rest["folds"] = (folds or FOLDS) if asked.patience is not None else 0
    return run(fit_rows(source, target, recipe=recipe, options=options, **rest), asked)


def run(fit: Fit, training: Training) -> Descent:
    """The descent of what was fitted."""
    moments = trained_on(fit, training)
    solution, held_out = fit.solution, None
    if training.patience is not None:
        solution, held_out = _parted(fit, moments)
    quadratic = Quadratic.of(
        moments, solution, penalty=training.penalty, half=training.loss == "half",
        standardize=training.standardize,
    )  # fmt: skip
    if training.standardize and not quadratic.intercept:
        raise UsageError(
            "standardize=True centres the columns, which takes an intercept, and intercept=False came. "
            "Leave one of them out."
        )
    theta = quadratic.move.back(_start(fit, training, quadratic), quadratic.intercept)
    feed = None if training.method == "moments" else _feed(fit, training, moments)
    lr, rule = _rate(training, quadratic, feed)
    _tell(training, quadratic, rule)
    steps = _steps(training, moments.n)
    if training.closed and rule is not None:
        course, losses = _closed(Closed(quadratic, rule, theta, steps), held_out, training)
    else:
        course, losses = _walked(fit, training, quadratic, theta, feed, lr, steps, held_out)
    return Descent(fit, training, solution, quadratic, course, rule, run, lr, held_out, losses)


# ---- before the first step ----


def _parted(fit: Fit, moments: Moments) -> tuple[Any, Quadratic]:
    """Least squares of the training folds, and the loss of the validation fold, filled with their means."""
    if fit.moments is None or fit.moments.plan is None:
        raise UsageError(
            "patience needs a validation fold, and these rows were dealt to none"
            f"{': ' + fit.unscored if fit.unscored else ''}. Give folds=5, or leave patience out."
        )
    solution = least_squares(
        moments, intercept=fit.options.intercept, rank=fit.options.rank, root=False, digits=ENOUGH
    )
    held = fit.moments.fold(0)
    if held.n == 0 or moments.n == 0:
        raise DataError(
            f"The validation fold has {held.n:,} rows and {moments.n:,} are left for training. Both need "
            "some. Give more rows, or leave patience out."
        )
    if held.filled:
        gaps = moments.gaps + (moments.shift - held.shift)[list(held.filled)]
        held = held.imputed(gaps)
    own = least_squares(held, intercept=fit.options.intercept, root=False, digits=ENOUGH)
    return solution, Quadratic.of(held, own)


def _start(fit: Fit, training: Training, quadratic: Quadratic) -> Array:
    """theta (d, k) to begin at, for the columns as they came."""
    p, k, start = len(quadratic.names), len(quadratic.targets), training.start
    if start is None:
        return np.zeros((p + quadratic.intercept, k))
    if isinstance(start, Descent):
        W, b = start.at(start.steps)
        start = (W, b)
    elif isinstance(start, Fit):
        start = (start.solution.coef.T, start.solution.intercept)
    if not isinstance(start, (tuple, list)) or len(start) != 2:
        raise UsageError(
            "start is a pair (W, b) of weights (p, k) and biases (k,), a Fit or a Descent, and "
            f"{type(start).__name__} came. Give one of them, or leave it out for zeros."
        )
    W = np.array(real_matrix(start[0], "start's W"), np.float64)
    b = start[1] if start[1] is not None else np.zeros(k)
    flat = b.reshape(-1) if hasattr(b, "reshape") else np.atleast_1d(b)
    b = np.array(real_matrix(flat, "start's b"), np.float64).ravel()
    if W.shape != (p, k) or b.shape != (k,):
        raise UsageError(
            f"start has W {W.shape} and b {b.shape}; {(p, k)} and {(k,)} are needed, as in X @ W + b. "
            "Transpose or reshape them."
        )
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise UsageError("start has values that are not finite. Give numbers.")
    if not quadratic.intercept and b.any():
        raise UsageError(f"start has b={b.tolist()}, and intercept=False fits none. Give zeros.")
    return np.vstack([W, b[None]]) if quadratic.intercept else W


def _feed(fit: Fit, training: Training, moments: Moments) -> Feed:
    """The rows as tensors."""
    from leastwise.solve.feed import Feed

    if fit.rows is None or not fit.rows.rereadable:
        what = "moments hold no rows" if fit.rows is None else f"{fit.rows.source} can be read once"
        raise UsageError(
            f"method='{training.method}' goes over the rows again and again, and {what}. Use "
            "method='moments', or give rows that can be read again."
        )
    without = 0 if training.patience is not None else None
    fills = fills_of(moments) if moments.filled else np.empty(0)
    return Feed(
        fit.rows, fit.recipe, fills, moments.n, moments.weight, training.dtype, training.device,
        plan=moments_plan(fit, training), without=without,
    )  # fmt: skip


def moments_plan(fit: Fit, training: Training) -> Any:
    """How rows were dealt, where one fold is for validation."""
    return fit.moments.plan if training.patience is not None and fit.moments is not None else None


def fills_of(moments: Moments) -> Array:
    """What stands in for a missing number of each feature (p,)."""
    fills = moments.mean[: len(moments.names)].copy()
    fills[list(moments.filled)] = moments.shift[list(moments.filled)] + moments.gaps
    return fills


def _rate(training: Training, quadratic: Quadratic, feed: Feed | None) -> tuple[float | None, Rule | None]:
    """The rate, and the rule of plain descent, momentum or Nesterov; None for other optimisers."""
    if not training.is_sgd:
        return (None if training.lr == "auto" else float(training.lr)), None
    rule = Rule(1.0, float(training.momentum), training.nesterov)
    if training.lr != "auto":
        return float(training.lr), replace(rule, lr=float(training.lr))
    low, top = quadratic.range
    lr = rule.best(low, top) if top > 0 else 1.0
    if training.penalty.l1 and top > 0:  # steps that do not overshoot: Beck and Teboulle (2009), ISTA
        lr = min(lr, (1 - rule.beta) / top)
    if training.batch and feed is not None and training.batch < feed.n:
        lr = min(lr, (1 - rule.beta) / (2 * _batch_curvature(training, quadratic, feed)))
    return lr, replace(rule, lr=lr)


def _batch_curvature(training: Training, quadratic: Quadratic, feed: Feed) -> float:
    """What the largest eigenvalue is to mini-batches of B rows: its mean and the largest single row's.

    `n (B - 1) / (B (n - 1)) lambda_max + (n - B) / (B (n - 1)) max_i lambda_i`: Gower et al., SGD: general
    analysis and improved rates, ICML 2019, proposition 3.8; steps of half its inverse converge to a
    neighbourhood of the minimum.
    """
    n, B = feed.n, training.batch or feed.n
    most = 0.0
    for X, _, w in feed.parts():
        moved = (X - X.new_tensor(quadratic.move.mean)) / X.new_tensor(quadratic.move.by)
        size = (moved * moved).sum(dim=1) + float(quadratic.intercept)
        most = max(most, float((size if w is None else size * w).max()))
    row = 2 * quadratic.scale * quadratic.weight * (most + 2 * quadratic.l2)
    top = quadratic.range[1]
    return float((n * (B - 1) * top + (n - B) * row) / (B * max(n - 1, 1)))


def _tell(training: Training, quadratic: Quadratic, rule: Rule | None) -> None:
    """A rate above its limit is told before the first step."""
    if rule is None or training.schedule is not None:
        return
    limit = rule.limit(quadratic.range[1])
    if rule.lr > limit:
        warnings.warn(too_fast(rule, limit), LeastwiseWarning, stacklevel=4)


def too_fast(rule: Rule, limit: float) -> str:
    """What is said of a rate above its limit."""
    above = f"learning rate {rule.lr:.4g} is above {limit:.4g} = {rule.limit_formula()}"
    return f"{above}; lower it or standardise (the loss will grow)"


def _steps(training: Training, n: int) -> int:
    if training.epochs is None:
        return STEPS if training.steps is None else int(training.steps)
    size = training.batch or n
    return int(training.epochs) * -(-n // size)


# ---- the course ----


def stopping(losses: Array, patience: int) -> int:
    """The step at which the loss had not gone down for `patience` steps; the last one if it always did."""
    watch = Watch(patience)
    return next((t for t, loss in enumerate(losses) if watch.enough(t, float(loss))), len(losses) - 1)


class Watch:
    """Early stopping: has the validation loss not gone down for `patience` steps?"""

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.since = patience, np.inf, 0

    def enough(self, t: int, loss: float) -> bool:
        if loss < self.best:
            self.best, self.since = loss, t
        return t - self.since >= self.patience


def _closed(
    course: Closed, held_out: Quadratic | None, training: Training
) -> tuple[Closed | Walked, Array | None]:
    """The course in closed form, as far as the losses of the validation fold go down, and those."""
    if held_out is None:
        return course, None
    losses = held_out.values(course.quadratic.move.out(course.theta, course.quadratic.intercept))
    stop = stopping(losses, training.patience or 1)
    return replace(course, steps=stop), losses[: stop + 1]


def _walked(
    fit: Fit,
    training: Training,
    quadratic: Quadratic,
    theta: Array,
    feed: Feed | None,
    lr: float | None,
    steps: int,
    held_out: Quadratic | None,
) -> tuple[Walked, Array | None]:
    """The course step by step, and the validation losses."""
    from leastwise.solve import walk as walking

    losses: list[float] = []
    watch = Watch(training.patience or 1)

    def stop(t: int, model: LinearRegression) -> bool:
        if held_out is None:
            return False
        at = quadratic.move.out(walking.parameters(model, quadratic.intercept), quadratic.intercept)
        losses.append(float(held_out.values(at)))
        return watch.enough(t, losses[-1])

    if feed is not None and training.standardize:
        feed.moved(quadratic.move.mean, quadratic.move.by)
    like = None if feed is None else feed.first(1)[0]
    model = walking.placed(theta, quadratic.intercept, like)
    gradient = (
        walking.from_moments(quadratic)
        if feed is None
        else walking.from_rows(feed, training, fit.options.seed)
    )
    course = walking.walk(model, gradient, training, rate=lr, steps=steps, watch=stop, quadratic=quadratic)
    if held_out is None:
        return course, None
    if len(losses) <= course.steps:
        at = quadratic.move.out(course.theta[-1], quadratic.intercept)
        losses.append(float(held_out.values(at)))
    return course, np.array(losses)
