"""Three methods of descent, one course: closed form, autograd and the formula, beside a loop in numpy.

The twin is the loop that one writes first: the gradient from the rows, and PyTorch's update

    u = g, then u = beta u + g      plain, momentum: theta -= lr u      Nesterov: theta -= lr (g + beta u)

How far two courses are apart is told relative to the largest |theta_t| of the course: a loop carries
the rounding of its largest parameters along, so no later step can be better than that. Losses are
told relative to the largest loss so far: near the minimum a loop's loss is a mean of squares of
residuals rounded at the size of y, so what is left above the least has no digits of its own.

`python -m tests.test_descent_agreement` prints the table: the worst difference of each cell.
"""

from __future__ import annotations

import warnings
from decimal import Decimal, localcontext
from functools import cache, lru_cache, partial

import numpy as np
import polars as pl
import pytest

import leastwise as lw

SEED = 11
N, P = 24, 3
STEPS = 10, 100, 1_000, 10_000
WALKED = 1_000  # steps of the methods that go over the rows: each is a tenth of a millisecond
FACTORS = (0.5, 0.99, 1.01)  # of lr_limit
FINITE = {"float64": 1e290, "float32": 1e30}  # beyond it a next step may have no number to compare
RULES = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
}
DESIGNS = ("well", "condition 1e6", "condition 1e12", "far means", "weights", "no intercept")
PENALTIES = (0.0, 0.05)
STARTS = ("zero", "random")
TARGETS = (1, 3)

# 64 bits: 10,000 steps of u = 1.1e-16 each, at most some u a step, leave 11 digits and more
DOUBLE = 1e-10
# 32 bits: u = 6e-8. Below the limit a thousand roundings wander: 4 digits
SINGLE = 1e-4


# ---- the data ----


@cache
def data(design, k):
    """X (n, p), Y (n, k), weights or None, intercept: values that float32 has, so that none rounds them."""
    r = np.random.default_rng([SEED, DESIGNS.index(design), k])
    X = r.normal(size=(N, P))
    if design.startswith("condition"):  # orthonormal columns without means, then shrunk and turned
        Q = np.linalg.qr(np.column_stack([np.ones(N), X]))[0][:, 1:] * np.sqrt(N)
        turn = np.linalg.qr(r.normal(size=(P, P)))[0]
        X = Q * np.geomspace(1, float(design.split()[1]) ** -0.5, P) @ turn
    if design == "far means":
        X = X + np.array([100.0, -30.0, 10.0])
    X = X.astype(np.float32).astype(float)
    Y = (X @ r.normal(size=(P, k)) + 0.1 * r.normal(size=(N, k))).astype(np.float32).astype(float)
    weights = r.choice([0.25, 0.5, 1.0, 2.0], N) if design == "weights" else None
    return X, Y, weights, design != "no intercept"


def table_of(X, Y, w):
    """The source that `descend` takes, and what it needs to be told: weights are a column."""
    targets = [f"y{j}" for j in range(Y.shape[1])]
    columns = {f"x{j}": X[:, j] for j in range(P)} | dict(zip(targets, Y.T, strict=True))
    if w is None:
        return (pl.DataFrame(columns), targets), {}
    return (pl.DataFrame(columns | {"w": w}), targets), {"weight": "w"}


def begin(design, k, start):
    """W (p, k) and b (k,) to start from."""
    r = np.random.default_rng([SEED, k])
    W, b = r.normal(size=(P, k)).astype(np.float32), r.normal(size=k).astype(np.float32)
    if start == "zero":
        W, b = 0 * W, 0 * b
    return W.astype(float), (0 * b if design == "no intercept" else b).astype(float)


# ---- the courses ----


def twin(design, k, penalty, start, lr, steps, *, momentum=0.0, nesterov=False):
    """theta (steps + 1, d, k) and losses (steps + 1,) by a loop over the steps."""
    X, Y, w, intercept = data(design, k)
    w = np.ones(N) if w is None else w
    W, b = begin(design, k, start)
    Z = np.column_stack([X, np.ones(N)]) if intercept else X
    theta = np.vstack([W, b[None]]) if intercept else W
    ridge = np.zeros((len(theta), 1))
    ridge[:P] = 4 / k * penalty
    pull = 2 / (w.sum() * k) * (w[:, None] * Z).T
    share = w[:, None] / (w.sum() * k)
    thetas, losses, u = [], [], None
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps + 1):
            residual = Z @ theta - Y
            thetas.append(theta)
            losses.append((share * residual**2).sum() + (ridge / 2 * theta**2).sum())
            g = pull @ residual + ridge * theta
            u = g if u is None else momentum * u + g
            theta = theta - lr * (g + momentum * u if nesterov else u)
    return np.array(thetas), np.array(losses)


@cache
def beginning(design, k, penalty, start, rule):
    """A run of one step, which knows its limit, and goes on from the same moments."""
    X, Y, w, intercept = data(design, k)
    (columns, targets), weight = table_of(X, Y, w)
    return lw.descend(
        columns, targets, lr=1e-9, steps=1, penalty=lw.L2(penalty), start=begin(design, k, start),
        intercept=intercept, **RULES[rule], **weight,
    )  # fmt: skip


def descended(design, k, penalty, start, factor, rule, steps, **how):
    """The run at `factor` of its limit, whatever it warns of."""
    first = beginning(design, k, penalty, start, rule)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lw.errors.LeastwiseWarning)  # above the limit, on purpose
        return first.again(lr=factor * first.lr_limit, steps=steps, **how)


def course(run):
    """theta (steps + 1, d, k) and losses (steps + 1,) of a run."""
    theta = np.concatenate([run.W, run.b[:, None]], axis=1) if run.quadratic.intercept else run.W
    return theta, run.loss


# ---- how far apart ----


def apart(found, truth, dtype="float64"):
    """The largest difference of thetas, of the largest |theta_t|; of losses, of the largest loss so far.

    Where the truth leaves the numbers of `dtype` on the way, up to there, and then each step at the size
    of its own: the last one is 1e290 times the first.
    """
    (theta, loss), (theta_, loss_) = found, truth
    sizes = np.abs(theta_).max(axis=(1, 2))
    many, low = until(sizes, FINITE[dtype]), until(loss_, FINITE[dtype])
    if many == len(sizes):
        far = np.abs(theta - theta_).max() / sizes.max()
    else:
        sizes = np.maximum.accumulate(sizes[:many])
        steps = np.abs(theta[:many] - theta_[:many]).max(axis=(1, 2))
        far = (steps[sizes > 0] / sizes[sizes > 0]).max()
    heights = np.maximum.accumulate(loss_[:low])
    return float(far), float((np.abs(loss[:low] - loss_[:low]) / heights).max())


def until(values, most):
    """How many come before the first that is above `most`, or no number."""
    within = values < most
    return len(values) if within.all() else int(np.argmin(within))


def cut(pair, steps):
    """The first steps of a course."""
    theta, loss = pair
    return theta[: steps + 1], loss[: steps + 1]


def quiet(make):
    """What comes of it, whatever numpy says of numbers that leave float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return make()


@lru_cache(maxsize=2)
def loop_of(design, k, penalty, start, factor, rule, steps):
    """The twin's course at the same rate."""
    lr = descended(design, k, penalty, start, factor, rule, 1).lr
    return twin(design, k, penalty, start, lr, steps, **RULES[rule])


def against_the_loop(case, steps):
    """How far the closed form is from the twin."""
    return apart(quiet(partial(course, descended(*case, steps))), cut(loop_of(*case, STEPS[-1]), steps))


@lru_cache(maxsize=2)
def rows_of(method, dtype, *case_and_steps):
    """The course over the rows."""
    return quiet(partial(course, descended(*case_and_steps, method=method, dtype=dtype)))


def against_the_rows(case, steps, method, dtype, walked=WALKED):
    """How far a walk over the rows is from the closed form."""
    closed = quiet(partial(course, descended(*case, steps)))
    return apart(cut(rows_of(method, dtype, *case, walked), steps), closed, dtype)


# ---- the tests ----


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("penalty", "start"), [(0.0, "zero"), (0.0, "random"), (0.05, "random")])
@pytest.mark.parametrize("k", TARGETS)
@pytest.mark.parametrize("design", DESIGNS)
def test_the_closed_form_is_the_loop_after_every_step(design, k, penalty, rule, factor, start):
    case = design, k, penalty, start, factor, rule
    for steps in STEPS:
        theta, loss = against_the_loop(case, steps)
        assert theta <= DOUBLE, f"theta after {steps} steps"
        assert loss <= DOUBLE, f"loss after {steps} steps"


@pytest.mark.parametrize("method", ["autograd", "analytic"])
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("k", "penalty", "start"), [(1, 0.0, "zero"), (3, 0.05, "random")])
@pytest.mark.parametrize("design", DESIGNS)
def test_both_ways_over_the_rows_are_the_closed_form(design, k, penalty, start, rule, factor, method):
    case = design, k, penalty, start, factor, rule
    for steps in (10, 100, 1_000):
        theta, loss = against_the_rows(case, steps, method, "float64")
        assert theta <= DOUBLE, f"theta after {steps} steps"
        assert loss <= DOUBLE, f"loss after {steps} steps"


@pytest.mark.parametrize("method", ["autograd", "analytic"])
@pytest.mark.parametrize(
    ("design", "rule", "factor", "penalty"),
    [
        ("well", "plain", 1.01, 0.0),
        ("condition 1e6", "nesterov", 0.99, 0.0),
        ("far means", "momentum", 0.5, 0.0),
        ("condition 1e6", "momentum", 0.99, 0.05),
    ],
)
def test_ten_thousand_steps_over_the_rows_are_the_closed_form(design, rule, factor, penalty, method):
    case = design, 3, penalty, "random", factor, rule
    theta, loss = against_the_rows(case, 10_000, method, "float64", walked=10_000)
    assert theta <= DOUBLE
    assert loss <= DOUBLE


def single(factor, steps):
    """How near a loop in float32, u = 2^-24, can come.

    Below the limit SINGLE. Above it the steepest direction is multiplied by r, |r| > 1, in each step, and
    x = lr l is wrong by some u x from rounding lr, the products and the sums: r^t by t times as much, all
    to one side. 8 u a step, of the loss, a square, twice as much.
    """
    return SINGLE if factor < 1 else max(SINGLE, 8 * steps * 2.0**-24)


@pytest.mark.parametrize("method", ["autograd", "analytic"])
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("k", TARGETS)
@pytest.mark.parametrize("design", DESIGNS)
def test_both_ways_in_float32_are_the_closed_form_to_four_digits(design, k, rule, factor, method):
    case = design, k, PENALTIES[k % 2], "random", factor, rule
    for steps in (10, 100, 1_000):
        theta, loss = against_the_rows(case, steps, method, "float32")
        assert theta <= single(factor, steps), f"theta after {steps} steps"
        assert loss <= 2 * single(factor, steps), f"loss after {steps} steps"


# ---- beside sixty digits ----


def exact(design, k, start, lr, steps, *, momentum=0.0, nesterov=False):
    """theta (d, k) after `steps` steps in 60 digits, rounded once."""
    X, Y, w, intercept = data(design, k)
    W, b = begin(design, k, start)
    with localcontext() as context:
        context.prec = 60
        number = np.vectorize(Decimal, otypes=[object])
        Z = number(np.column_stack([X, np.ones(N)]) if intercept else X)
        theta = number(np.vstack([W, b[None]]) if intercept else W)
        pull = 2 * (Z if w is None else number(w)[:, None] * Z).T
        weight = k * (Decimal(N) if w is None else sum(number(w)))
        H, h = pull @ Z / weight, pull @ number(Y) / weight
        lr, beta, u = Decimal(lr), Decimal(momentum), None
        for _ in range(steps):
            g = H @ theta - h
            u = g if u is None else beta * u + g
            theta = theta - lr * (g + beta * u if nesterov else u)
        return theta.astype(float)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("design", ["well", "condition 1e6", "far means"])
def test_above_the_limit_loop_and_closed_form_keep_ten_digits_of_sixty(design, rule):
    # the loop's r^t is as good as t (u x / r), the closed form's as t times the digits of lambda_max,
    # which are some u: neither is better by a law
    case = design, 1, 0.0, "random", 1.01, rule
    run = descended(*case, 3_000)
    truth = exact(design, 1, "random", run.lr, 3_000, **RULES[rule])
    assert np.abs(truth).max() > 1e20
    for theta in (course(run)[0][-1], loop_of(*case, 3_000)[0][-1]):
        assert np.abs(theta - truth).max() <= DOUBLE * np.abs(truth).max()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("design", [d for d in DESIGNS if d != "condition 1e12"])
def test_below_the_limit_the_closed_form_keeps_ten_digits_of_sixty(design, rule):
    run = descended(design, 3, 0.0, "random", 0.5, rule, 1_000)
    truth = exact(design, 3, "random", run.lr, 1_000, **RULES[rule])
    assert np.abs(course(run)[0][-1] - truth).max() <= DOUBLE * np.abs(truth).max()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("design", DESIGNS)
def test_below_the_limit_the_loop_keeps_twelve_digits_of_sixty(design, rule):
    loop = loop_of(design, 3, 0.0, "random", 0.5, rule, 1_000)[0][-1]
    lr = descended(design, 3, 0.0, "random", 0.5, rule, 1).lr
    truth = exact(design, 3, "random", lr, 1_000, **RULES[rule])
    assert np.abs(loop - truth).max() <= 1e-12 * np.abs(truth).max()


@pytest.mark.parametrize("design", ["condition 1e6", "condition 1e12"])
def test_the_ill_conditioned_designs_are_as_ill_conditioned_as_they_say(design):
    condition = descended(design, 1, 0.0, "zero", 0.5, "plain", 1).condition
    assert condition == pytest.approx(float(design.split()[1]), rel=0.2)


# ---- beyond float64 ----

RATES = [(rule, lr) for rule in RULES for lr in (1e3, 1e30, 1e150)] + [("plain", 1e300)]
RATES += [(rule, 1e300) for rule in ("momentum", "nesterov")]


@pytest.mark.parametrize(("rule", "lr"), RATES)
def test_far_above_the_limit_losses_become_infinite_and_never_no_number(rule, lr):
    first = beginning("far means", 3, 0.0, "zero", rule)
    with pytest.warns(lw.errors.LeastwiseWarning, match="is above") as told:
        run = first.again(lr=lr, steps=2_000)
    assert len(told) == 1
    assert not np.isnan(run.loss).any()
    finite = np.isfinite(run.loss)
    assert finite[0]
    assert not finite[np.argmin(finite) :].any()  # once beyond float64, always beyond
    assert run.diverges
    assert "beyond float64" in repr(run)
    assert "diverges" in run.verdict


@pytest.mark.parametrize("lr", [1e3, 1e30])
@pytest.mark.parametrize("rule", RULES)
def test_far_above_the_limit_parameters_and_texts_come_without_warnings(rule, lr):
    with pytest.warns(lw.errors.LeastwiseWarning):
        run = beginning("far means", 3, 0.0, "zero", rule).again(lr=lr, steps=2_000)
    assert np.isfinite(run.W[1]).all()
    assert not np.isfinite(run.W[-1]).any()
    assert "nan" not in repr(run) + run.summary() + run.explain()


# ---- the table ----


def table():
    """The agreement table: the worst relative difference over targets, penalties and starts."""
    head = ["design", "rule", "of limit", *(f"loop {s:,}" for s in STEPS), "loss"]
    head += [f"{m} {d[5:]}" for m in ("autograd", "analytic") for d in ("float64", "float32")]
    lines = ["  ".join(f"{name:>13}" for name in head)]
    for design in DESIGNS:
        for rule in RULES:
            for factor in FACTORS:
                cells = [design, rule, f"{factor:g}", *row(design, rule, factor)]
                lines.append("  ".join(f"{cell:>13}" for cell in cells))
    return "\n".join(lines)


def row(design, rule, factor):
    """One line: theta beside the loop, the loss beside it, theta of the rows beside the closed form."""
    loops, rows = np.zeros((len(STEPS), 2)), np.zeros(4)
    for k in TARGETS:
        for penalty in PENALTIES:
            for start in STARTS:
                case = design, k, penalty, start, factor, rule
                loops = np.maximum(loops, [against_the_loop(case, steps) for steps in STEPS])
        case = design, k, 0.0, "random", factor, rule
        ways = [(m, d) for m in ("autograd", "analytic") for d in ("float64", "float32")]
        rows = np.maximum(rows, [against_the_rows(case, WALKED, *way)[0] for way in ways])
    return [f"{value:.0e}" for value in (*loops[:, 0], loops[:, 1].max(), *rows)]


if __name__ == "__main__":
    print(table())
