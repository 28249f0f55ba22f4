"""`descend`: gradient descent of the same rows that `fit` takes, three ways.

The rows go the way of fitting.py to moments and least squares; then the course is written down in closed
form (solve/course.py), or walked with gradients from moments or rows (solve/walk.py).
"""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from leastwise.checks import MOST_COLUMNS
from leastwise.descended import Descent, Ground
from leastwise.errors import DataError, LeastwiseWarning, UsageError, did_you_mean, listed, plural
from leastwise.fitted import Fit
from leastwise.fitting import OPENING
from leastwise.fitting import fit as fit_rows
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.options import Options
from leastwise.recipe import Recipe
from leastwise.rows.memory import real_matrix
from leastwise.solve import Solution, doubtful, least_squares
from leastwise.solve.course import Closed, Walked
from leastwise.solve.quadratic import Quadratic
from leastwise.solve.rule import Rule
from leastwise.solve.solution import ENOUGH
from leastwise.solve.training import Training

if TYPE_CHECKING:
    from leastwise.feed import Feed
    from leastwise.teach import LinearRegression

STEPS = 100
NOT_OURS = ("rank", "se", "cluster", "transform", "alphas", "factors", "bounds", "positive", "repeats")
CONVERGED = 1e-12  # of what could be gained: less than that is left
CHUNK = 1_024  # steps whose validation losses are looked at together
OTHER_NAMES = {
    "learning_rate": "lr", "eta0": "lr", "eta": "lr", "max_iter": "steps", "n_iter": "steps",
    "batch_size": "batch", "optimiser": "optimizer", "standardise": "standardize", "init": "start",
    "alpha": "penalty, as in penalty=lw.L2(0.1)", "weight_decay": "penalty, as in penalty=lw.L2(0.1)",
    "l2": "penalty, as in penalty=lw.L2(0.1)", "fit_intercept": "intercept", "sample_weight": "weight",
}  # fmt: skip


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

    with a penalty on `L + (2/k) penalty`. `source` and `target` as for `fit`, or Moments; `common`:
    fields of `Training` (lr, steps, start, method, momentum, optimizer, penalty, batch, ...), of `Recipe`
    and `Options` that say what rows mean and how they are dealt. method="moments" reads the rows once: cost
    n p^2 for the pass, p^3 once, then steps p for the loss of all steps and p^2 for the parameters of each
    one that is asked for. "autograd" and "analytic" cost steps n p k.

    Warns (LeastwiseWarning) before it begins where the rate is above its limit, above which the loss
    grows. Raises errors.LeastwiseError of the kind that fits.

    >>> import leastwise as lw
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
    >>> run = lw.descend((X, y), lr=0.1, steps=200)
    >>> float(run.coef[-1][0].round(4)), float(run.intercept[-1].round(4)), round(run.lr_limit, 4)
    (2.0, 1.0, 0.238)
    """
    asked, rest = _sorted_out(training, recipe, options, common)
    if isinstance(source, Moments):
        return run(fit_rows(source, target, recipe=recipe, options=options, **rest), asked)
    if asked.patience is None:
        rest["folds"] = 0
    fitted = fit_rows(source, target, recipe=recipe, options=options, **rest)
    if asked.patience is not None and _training_in_doubt(fitted):  # held-out rows may not cost it a digit
        rest["precision"] = "exact"
        fitted = fit_rows(source, target, recipe=recipe, options=options, **rest)
    return run(fitted, asked)


def _sorted_out(
    training: Training | None, recipe: Recipe | None, options: Options | None, common: dict[str, Any]
) -> tuple[Training, dict[str, Any]]:
    """How to descend, and what is for `fit`; what is for neither is refused."""
    if training is not None and not isinstance(training, Training):
        raise UsageError(f"training={training!r} is no Training. Make one, or leave it out.")
    ours = {f.name for f in fields(Training)}
    theirs = {f.name for cls in (Recipe, Options) for f in fields(cls)} - {
        "terms",
        "filled",
        "notes",
        "scale",
        "sides",
        "marked",
    }
    theirs = (theirs | set(OPENING)) - set(NOT_OURS)
    for name in common:
        if name in NOT_OURS:
            raise UsageError(_for_fit(name, common[name]))
        if name not in ours | theirs:
            raise UsageError(_unknown_option(name, ours | theirs))
    _for_fit_alone(recipe, options)
    asked = replace(training or Training(), **{k: v for k, v in common.items() if k in ours})
    rest = {k: v for k, v in common.items() if k not in ours}
    folds = rest.get("folds", getattr(options, "folds", None))
    if asked.patience is None and folds:
        raise UsageError(
            f"folds={folds} came without patience. A fold is for early stopping: add patience=10."
        )
    if asked.patience is not None and folds == 0:
        raise UsageError(
            "patience needs a validation fold, and folds=0 makes none. Leave folds out, or give 2 or more."
        )
    return asked, rest


def _for_fit_alone(recipe: Recipe | None, options: Options | None) -> None:
    """What a recipe or options ask for that descent has not."""
    asked, plain = {"cluster": recipe, "transform": recipe}, (Recipe(), Options())
    for name in (*NOT_OURS, "penalty", "standardize"):
        value = getattr(asked.get(name, options), name, None)
        if value is not None and value != getattr(plain[name not in asked], name):
            raise UsageError(_for_fit(name, value))
    if isinstance(getattr(options, "folds", None), str):
        raise UsageError(_for_fit("folds", getattr(options, "folds", None)))


def _for_fit(name: str, value: Any) -> str:
    """What is said of an option of fit's that descent has not."""
    if name in ("penalty", "standardize"):
        return f"options hold {name}={value!r}, which is for fit. Give descend {name}= itself, or Training."
    if name in ("factors", "bounds", "positive"):
        hint = "Its penalty meets all coefficients alike, and none is bounded: take fit."
    else:
        hint = "Leave it out."
    return f"{name}={value!r} is for fit, and descent has no use for it. {hint}"


def _unknown_option(name: str, known: set[str]) -> str:
    """What is said of an option that there is not."""
    ours, _, how = OTHER_NAMES.get(name, "").partition(",")
    hint = f"Here it is '{ours}'{',' + how if how else ''}." if ours else did_you_mean(name, sorted(known))
    return f"There is no option {name!r}. {hint}"


def _training_in_doubt(fit: Fit) -> bool:
    """Whether the training folds alone leave too few digits, though all rows together may not."""
    moments = fit.moments
    if moments is None or moments.exact or moments.plan is None or fit.options.precision != "auto":
        return False
    if fit.rows is None or not fit.rows.rereadable or len(moments.names) > MOST_COLUMNS:
        return False
    part = moments.training(0)
    return part.n > 0 and bool(doubtful(least_squares(part, intercept=fit.options.intercept, root=False)))


def run(fit: Fit, training: Training, before: Descent | None = None) -> Descent:
    """The descent of what was fitted; `before` went over the same rows."""
    ground = before.ground if before is not None and _same_ground(before.training, training) else None
    ground = ground or _ground(fit, training)
    quadratic = ground.quadratic
    theta = quadratic.move.back(_start(fit, training, quadratic), quadratic.intercept)
    feed = None if training.method == "moments" else _feed(fit, training, ground)
    steps = _steps(training, ground.moments.n)
    lr, rule = _rate(training, quadratic, feed, theta, steps)
    _tell(training, quadratic, rule)
    if training.closed and rule is not None:
        course, losses = _closed(Closed(quadratic, rule, theta, steps), ground, training)
    else:
        course, losses = _walked(fit, training, ground, theta, feed, lr, steps)
    return Descent(fit, training, ground, course, rule, lr, run, _feed, losses)


# ---- before the first step ----


def _same_ground(a: Training, b: Training) -> bool:
    same = (a.penalty, a.loss, a.standardize) == (b.penalty, b.loss, b.standardize)
    return same and (a.patience is None) == (b.patience is None)


def _ground(fit: Fit, training: Training) -> Ground:
    """The loss that is followed, and that of the fold that is held out where there is one."""
    if fit.moments is None:
        raise UsageError("The model file holds no moments, which descent takes. Fit again.")
    if training.standardize and not fit.options.intercept:
        raise UsageError(
            "standardize=True centres the columns, which takes an intercept, and intercept=False came. "
            "Leave one of them out."
        )
    moments, solution, held_out = fit.moments, fit.solution, None
    if training.patience is not None:
        moments, solution, held_out = _parted(fit, fit.moments)
    quadratic = Quadratic.of(
        moments, solution, penalty=training.penalty, half=training.loss == "half",
        standardize=training.standardize,
    )  # fmt: skip
    return Ground(moments, solution, quadratic, held_out)


def _parted(fit: Fit, whole: Moments) -> tuple[Moments, Solution, Quadratic]:
    """The training folds, their least squares, and the loss of the fold that is held out."""
    if whole.plan is None:
        raise UsageError(
            "patience needs a validation fold, and these rows were dealt to none"
            f"{': ' + fit.unscored if fit.unscored else ''}. Give folds=5, or leave patience out."
        )
    held, moments = whole.fold(0), whole.training(0)
    if held.n < 2 or moments.n < 2:
        raise DataError(
            f"patience holds out one of {whole.plan.k} folds, of {plural(held.n, 'row')}, and leaves "
            f"{moments.n:,} for training. Both need two. Give more rows, or other folds, or no patience."
        )
    if held.filled:
        held = held.imputed(moments.gaps + (moments.shift - held.shift)[list(held.filled)])
    how: dict[str, Any] = {"intercept": fit.options.intercept, "root": False, "digits": ENOUGH}
    own = least_squares(held, **how)
    return moments, least_squares(moments, rank=fit.options.rank, **how), Quadratic.of(held, own)


def _start(fit: Fit, training: Training, quadratic: Quadratic) -> Array:
    """theta (d, k) to begin at, for the columns as they came."""
    p, k, start = len(quadratic.names), len(quadratic.targets), training.start
    if start is None:
        return np.zeros((p + quadratic.intercept, k))
    if isinstance(start, (Descent, Fit)):
        start = _parameters(start, quadratic)
    if not isinstance(start, (tuple, list)) or len(start) != 2:
        raise UsageError(
            "start is a pair (W, b) of weights (p, k) and biases (k,), a Fit or a Descent, and "
            f"{type(start).__name__} came. Give one of them, or leave it out for zeros."
        )
    W, b = start[0], np.zeros(k) if start[1] is None else start[1]
    W = np.array(real_matrix(W, "start's W"), np.float64)
    if not isinstance(b, (list, tuple)) and np.ndim(b) == 0:
        b = b.reshape(1) if hasattr(b, "reshape") else [b]
    b = np.array(real_matrix(b, "start's b"), np.float64).ravel()
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


def _parameters(start: Descent | Fit, quadratic: Quadratic) -> tuple[Array, Array]:
    """W (p, k) and b (k,) of a model of the same columns."""
    fit = start.fit if isinstance(start, Descent) else start
    for what, theirs, ours in (
        ("columns", fit.names, quadratic.names), ("targets", fit.recipe.target, quadratic.targets),
    ):  # fmt: skip
        if theirs != ours:
            raise UsageError(
                f"start has the {what} {listed(theirs)}, and here they are {listed(ours)}. Give a model "
                f"of the same {what} in the same order."
            )
    if isinstance(start, Descent):
        return start.parameters(start.steps)
    return start.solution.coef.T, start.solution.intercept


def _feed(fit: Fit, training: Training, ground: Ground) -> Feed:
    """The rows as tensors."""
    from leastwise.feed import Feed
    from leastwise.solve.walk import own_torch

    if fit.rows is None or not fit.rows.rereadable:
        what = "moments hold no rows" if fit.rows is None else f"{fit.rows.source} can be read once"
        raise UsageError(
            f"method='{training.method}' goes over the rows again and again, and {what}. Use "
            "method='moments', or give rows that can be read again."
        )
    plan = fit.moments.plan if training.patience is not None and fit.moments is not None else None
    move = ground.quadratic.move
    with own_torch():
        return Feed(
            fit.rows, fit.recipe, ground.moments, (move.mean, move.by) if training.standardize else None,
            training.dtype, training.device, plan=plan, without=None if plan is None else 0,
        )  # fmt: skip


def _rate(
    training: Training, quadratic: Quadratic, feed: Feed | None, theta: Array, steps: int
) -> tuple[float | None, Rule | None]:
    """The rate, and the rule of plain descent, momentum or Nesterov; None for other optimisers."""
    if not training.is_sgd:
        return (None if training.lr == "auto" else float(training.lr)), None
    kinked = training.penalty.l1 > 0 and training.l1 == "proximal"
    rule = Rule(1.0, float(training.momentum), training.nesterov, kinked)
    if training.lr != "auto":
        return float(training.lr), replace(rule, lr=float(training.lr))
    top = quadratic.range[1]
    careful = (1 - rule.beta) / top if top > 0 else 1.0
    lr = careful if training.penalty.l1 else _least_after(quadratic, rule, theta, steps)
    if training.batch and feed is not None and training.batch < feed.n:
        lr = min(lr, (1 - rule.beta) / (2 * _batch_curvature(training, quadratic, feed)))
    return lr, replace(rule, lr=lr)


def _least_after(quadratic: Quadratic, rule: Rule, theta: Array, steps: int) -> float:
    """The rate that leaves the least loss after so many steps: `lr_best` where that converges."""
    low, top = quadratic.range
    if top == 0:
        return 1.0
    best, limit = rule.best(low, top), rule.limit(top)
    start = Closed(quadratic, replace(rule, lr=best), theta, steps)
    if start.excess(steps) <= CONVERGED * start.excess(0):
        return best
    rates = [best, *(limit * np.linspace(0.02, 0.98, 49))]
    left = [Closed(quadratic, replace(rule, lr=float(lr)), theta, steps).excess(steps) for lr in rates]
    return float(rates[int(np.argmin(left))])


def _batch_curvature(training: Training, quadratic: Quadratic, feed: Feed) -> float:
    """What the largest eigenvalue is to mini-batches of B rows: its mean and the largest single row's.

    `n (B - 1) / (B (n - 1)) lambda_max + (n - B) / (B (n - 1)) max_i lambda_i`: Gower et al., SGD: general
    analysis and improved rates, ICML 2019, proposition 3.8; steps of half its inverse converge to a
    neighbourhood of the minimum.
    """
    n, B = feed.n, training.batch or feed.n
    most = 0.0
    for X, _, w in feed.parts():
        size = (X * X).sum(dim=1) + float(quadratic.intercept)
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
        warnings.warn(_too_fast(rule, limit, training), LeastwiseWarning, stacklevel=4)


def _too_fast(rule: Rule, limit: float, training: Training) -> str:
    """What is said of a rate above its limit."""
    above = f"learning rate {rule.lr:.4g} is above {limit:.4g} = {rule.limit_formula()}"
    way = "lower it" if training.standardize else "lower it or standardise"
    return f"{above}; {way} (the loss {'may' if rule.proximal else 'will'} grow)"


def _steps(training: Training, n: int) -> int:
    if training.epochs is None:
        return STEPS if training.steps is None else int(training.steps)
    size = training.batch or n
    return int(training.epochs) * -(-n // size)


# ---- the course ----


class Watch:
    """Early stopping: has the validation loss not gone down for `patience` steps?"""

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.since = patience, np.inf, 0

    def enough(self, t: int, loss: float) -> bool:
        if loss < self.best:
            self.best, self.since = loss, t
        return t - self.since >= self.patience


def _closed(course: Closed, ground: Ground, training: Training) -> tuple[Closed | Walked, Array | None]:
    """The course in closed form, as far as the losses of the validation fold go down, and those."""
    if ground.held_out is None:
        return course, None
    watch, move, losses = Watch(training.patience or 1), course.quadratic.move, list[float]()
    for first in range(0, course.steps + 1, CHUNK):
        theta = course.between(first, min(first + CHUNK, course.steps + 1))
        for loss in ground.held_out.values(move.out(theta, course.quadratic.intercept)):
            losses.append(float(loss))
            if watch.enough(len(losses) - 1, losses[-1]):
                return replace(course, steps=len(losses) - 1), np.array(losses)
    return course, np.array(losses)


def _walked(
    fit: Fit,
    training: Training,
    ground: Ground,
    theta: Array,
    feed: Feed | None,
    lr: float | None,
    steps: int,
) -> tuple[Walked, Array | None]:
    """The course step by step, and the validation losses."""
    from leastwise.solve import walk as walking

    quadratic, held_out = ground.quadratic, ground.held_out
    losses: list[float] = []
    watch = Watch(training.patience or 1)

    def stop(t: int, model: LinearRegression) -> bool:
        if held_out is None:
            return False
        at = quadratic.move.out(walking.parameters(model, quadratic.intercept), quadratic.intercept)
        losses.append(float(held_out.values(at)))
        return watch.enough(t, losses[-1])

    with walking.own_torch():
        like = None if feed is None else feed.first(1)[0]
        model = walking.placed(theta, quadratic.intercept, like)
        source: Any = walking.FromMoments(quadratic)
        if feed is not None:
            source = walking.FromRows(feed, training, fit.options.seed)
        course = walking.walk(
            model, source, training, rate=lr, steps=steps, watch=stop, quadratic=quadratic
        )
    if held_out is None:
        return course, None
    if len(losses) <= course.steps:
        at = quadratic.move.out(course.theta[-1], quadratic.intercept)
        losses.append(float(held_out.values(at)))
    return course, np.array(losses)
