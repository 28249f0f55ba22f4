"""The laws of descent in closed form: what its losses, limits and counts of steps say, run and measured."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
import torch

import leastwise as lw
from leastwise.solve import least_squares
from leastwise.solve.quadratic import Quadratic

SEED = 5
RULES = [
    pytest.param({}, id="plain"),
    *(pytest.param({"momentum": b}, id=f"momentum {b}") for b in (0.1, 0.5, 0.9, 0.99)),
    *(pytest.param({"momentum": b, "nesterov": True}, id=f"nesterov {b}") for b in (0.1, 0.5, 0.9, 0.99)),
]
RULE_OF = {"plain": {}, "momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}}
THREE = [pytest.param(rule, id=name) for name, rule in RULE_OF.items()]
PENALTIES = [pytest.param(0.0, id="no penalty"), pytest.param(0.3, id="L2")]


def rows(n=30, p=3, k=1, *, mean=0.0, seed=SEED):
    r = np.random.default_rng(seed)
    X = r.normal(size=(n, p)) * np.linspace(1, 2, p) + mean
    Y = X @ r.normal(size=(p, k)) + r.normal(size=(n, k))
    return X, Y


def begin(p=3, k=1, seed=SEED):
    r = np.random.default_rng([seed, 1])
    return r.normal(size=(p, k)), r.normal(size=k)


def mse(X, Y, W, b, *, w=None, penalty=0.0):
    """The loss on the rows: the weighted mean over rows and targets, and the penalty."""
    squares = ((X @ W + b - Y) ** 2).mean(axis=1)
    return np.average(squares, weights=w) + 2 / Y.shape[1] * penalty * (W**2).sum()


def hessian(X, *, w=None, penalty=0.0, k=1, intercept=True):
    """The Hessian (d, d) of `mse`, from the rows."""
    Z = np.column_stack([X, np.ones(len(X))]) if intercept else X
    w = np.ones(len(X)) if w is None else w
    H = 2 / (w.sum() * k) * (Z.T * w) @ Z
    H[: X.shape[1], : X.shape[1]] += 4 / k * penalty * np.eye(X.shape[1])
    return H


def loop(H, theta, lr, steps, *, momentum=0.0, nesterov=False):
    """What is left of the way to the minimum, theta_t - theta* (steps + 1, d, k), by a plain loop."""
    left, u = [theta], None
    for _ in range(steps):
        g = H @ theta
        u = g if u is None else momentum * u + g
        theta = theta - lr * (g + momentum * u if nesterov else u)
        left.append(theta)
    return np.array(left)


def left_by_loop(run, X, steps, lr=None, **rule):
    """The same for the data of `run`, from its start."""
    k, penalty = len(run.quadratic.targets), run.training.penalty.l2
    (W, b), (W_, b_) = run.at(0), run.end
    return loop(
        hessian(X, penalty=penalty, k=k), np.vstack([W - W_, (b - b_)[None]]), lr or run.lr, steps, **rule
    )


def excess(H, left):
    """The loss above the least (steps + 1,)."""
    return np.einsum("tdk,de,tek->t", left, H, left) / 2


def parameters(run):
    """theta (steps + 1, d, k)."""
    return np.concatenate([run.W, run.b[:, None]], axis=1) if run.quadratic.intercept else run.W


def assert_close(found, truth, digits=12):
    """Equal to so many digits of the largest entry."""
    found, truth = np.asarray(found), np.asarray(truth)
    assert found.shape == truth.shape
    assert np.abs(found - truth).max() <= 10.0**-digits * np.abs(truth).max()


def quiet(*source, **how):
    """A run above its limit, without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lw.errors.LeastwiseWarning)
        return lw.descend(*source, **how)


# ---- losses and parameters are one course ----


@pytest.mark.parametrize("rule", THREE)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("k", [1, 3])
def test_each_loss_is_the_mean_squared_error_of_its_parameters_on_the_rows(k, penalty, rule):
    X, Y = rows(k=k, mean=3.0)
    run = lw.descend((X, Y), start=begin(k=k), steps=50, penalty=lw.L2(penalty), **rule)
    truth = [mse(X, Y, run.W[t], run.b[t], penalty=penalty) for t in range(51)]
    # of the largest so far: where momentum swings through the minimum, theta is rounded at its widest
    assert (np.abs(run.loss - truth) <= 1e-12 * np.maximum.accumulate(truth)).all()


@pytest.mark.parametrize("intercept", [True, False])
def test_with_weights_each_loss_is_the_weighted_mean_and_zero_weights_are_no_rows(intercept):
    X, Y = rows()
    w = np.random.default_rng(SEED).choice([0.0, 0.5, 1.0, 3.0], len(X))
    frame = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": Y[:, 0], "w": w})
    how = {"lr": 0.05, "steps": 40, "penalty": lw.L2(0.2), "weight": "w", "intercept": intercept}
    run = lw.descend(frame, "y", **how)
    for t in range(41):
        truth = mse(X, Y, run.W[t], run.b[t], w=w, penalty=0.2)
        assert run.loss[t] == pytest.approx(truth, rel=1e-12)
    without = lw.descend(frame.filter(pl.col("w") > 0), "y", **how)
    assert_close(without.W, run.W)
    assert_close(without.loss, run.loss)


def test_whole_weights_are_rows_seen_so_often():
    X, Y = rows()
    w = np.random.default_rng(SEED).integers(0, 4, len(X))
    frame = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": Y[:, 0], "w": w.astype(float)})
    run = lw.descend(frame, "y", lr=0.05, steps=40, weight="w", penalty=lw.L2(0.2))
    again = lw.descend(
        (np.repeat(X, w, axis=0), np.repeat(Y, w, axis=0)), lr=0.05, steps=40, penalty=lw.L2(0.2)
    )
    assert_close(run.W, again.W)
    assert_close(run.loss, again.loss)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("k", [1, 3])
def test_all_steps_and_single_steps_are_one_course(k, rule):
    X, Y = rows(k=k)
    run = lw.descend((X, Y), start=begin(k=k), steps=333, **rule)
    assert run.W.shape == (334, 3, k)
    assert run.coef.shape == ((334, 3) if k == 1 else (334, k, 3))
    assert run.intercept.shape == ((334,) if k == 1 else (334, k))
    assert np.array_equal(run.coef.reshape(334, k, 3), run.W.transpose(0, 2, 1))
    assert np.array_equal(run.intercept.reshape(334, k), run.b)
    for t in (0, 1, 2, 3, 17, 18, 255, 256, 332, 333):
        W, b = run.at(t)
        assert_close(W, run.W[t], 11)
        assert_close(b, run.b[t], 11)
        assert run.loss[t] == pytest.approx(mse(X, Y, W, b), rel=1e-10)


@pytest.mark.parametrize("rule", THREE)
def test_a_longer_course_begins_with_the_shorter_one(rule):
    X, Y = rows()
    long = lw.descend((X, Y), steps=1_000, **rule)
    for steps in (0, 1, 2, 7, 64, 99, 100):
        short = long.again(steps=steps)
        assert len(short.loss) == steps + 1
        assert np.abs(short.W - long.W[: steps + 1]).max() <= 1e-12 * np.abs(long.W).max()
        assert_close(short.loss, long.loss[: steps + 1])


@pytest.mark.parametrize("rule", THREE)
def test_again_with_another_rate_is_a_fresh_run(rule):
    X, Y = rows(k=2)
    first = lw.descend((X, Y), lr=0.01, steps=5, start=begin(k=2), penalty=lw.L2(0.1))
    again = first.again(lr=0.07, steps=60, **rule)
    fresh = lw.descend((X, Y), lr=0.07, steps=60, start=begin(k=2), penalty=lw.L2(0.1), **rule)
    assert np.array_equal(again.W, fresh.W)
    assert np.array_equal(again.loss, fresh.loss)
    assert first.steps == 5


def test_plain_descent_in_two_runs_is_descent_in_one():
    X, Y = rows(k=2)
    whole = lw.descend((X, Y), lr=0.05, steps=70)
    half = lw.descend((X, Y), lr=0.05, steps=30)
    rest = lw.descend((X, Y), lr=0.05, steps=40, start=half)
    assert_close(rest.W, whole.W[30:])
    assert_close(rest.loss, whole.loss[30:])


@pytest.mark.parametrize("apart", [1e-1, 1e-2, 1e-5, 1e-6])
def test_with_nearly_dependent_columns_the_first_loss_is_still_the_mean_square_of_y(apart):
    r = np.random.default_rng(SEED)
    a, b, y = r.normal(size=(3, 20))
    run = lw.descend((np.column_stack([a, a + apart * b]), y), lr=0.1, steps=1)
    assert run.loss[0] == pytest.approx((y**2).mean(), rel=1e-10)


# ---- limits and rates ----


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_just_below_the_limit_the_loop_shrinks_and_just_above_it_grows(penalty, rule):
    X, Y = rows()
    run = lw.descend((X, Y), lr=1e-3, steps=1, penalty=lw.L2(penalty), start=begin(), **rule)
    H = hessian(X, penalty=penalty)
    momentum = rule.get("momentum", 0.0)
    # a thousandth above it a direction grows by 1 + 0.002 a step, under momentum by 1 / (1 - beta) as much
    steps = 20_000 if rule.get("nesterov") else int(20_000 * (1 - momentum))
    below = excess(
        H, left_by_loop(run, X, 60_000 if momentum > 0.9 else 20_000, 0.999 * run.lr_limit, **rule)
    )
    above = excess(H, left_by_loop(run, X, steps, 1.001 * run.lr_limit, **rule))
    assert below[-1] < 1e-6 * below[0]
    assert above[-1] > 1e6 * above[0]
    assert not run.again(lr=0.999 * run.lr_limit).diverges
    with pytest.warns(lw.errors.LeastwiseWarning, match="above"):
        assert run.again(lr=1.001 * run.lr_limit).diverges


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_no_rate_of_a_grid_beats_the_best_one(penalty, rule):
    X, Y = rows()
    run = lw.descend((X, Y), lr=1e-3, steps=1, penalty=lw.L2(penalty), **rule)
    eigenvalues = np.linalg.eigvalsh(hessian(X, penalty=penalty))

    def radius(lr):
        b, found = rule.get("momentum", 0.0), []
        for x in lr * eigenvalues:
            ahead = 1 + b if rule.get("nesterov") else 1.0
            # theta' = theta - lr (l theta ahead + b^(1 or 2) u), u' = b u + l theta
            share = b * b if rule.get("nesterov") else b
            found.append(np.abs(np.linalg.eigvals([[1 - ahead * x, -share * x], [1.0, b]])).max())
        return max(found) if b else np.abs(1 - lr * eigenvalues).max()

    grid = [radius(lr) for lr in np.linspace(1e-3, 1, 2_000) * run.lr_limit]
    # a double root costs half the digits of an eigenvalue: 1e-7
    assert radius(run.lr_best) <= min(grid) + 1e-7
    assert run.again(lr=run.lr_best).shrink == pytest.approx(radius(run.lr_best), abs=1e-7)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("rule", RULES[:4] + RULES[5:8])
def test_shrink_is_the_decay_that_the_loop_has_in_the_end(rule, share):
    X, Y = rows()
    run = lw.descend((X, Y), lr=1e-3, steps=1, start=begin(), **rule)
    run = run.again(lr=share * run.lr_limit)
    # over a window of many turns: oscillations average out, polynomial factors become t^(1/window)
    first, last, H = 400, 1_400, hessian(X)
    theta = left_by_loop(run, X, 0, **rule)[0]
    sizes, scale, u = [], 0.0, None
    for _ in range(last):  # rescaled as it goes, so that it neither vanishes nor is rounding
        g = H @ theta
        u = g if u is None else rule.get("momentum", 0.0) * u + g
        theta = theta - run.lr * (g + rule.get("momentum", 0.0) * u if rule.get("nesterov") else u)
        size = np.hypot(np.linalg.norm(theta), np.linalg.norm(u))
        theta, u, scale = theta / size, u / size, scale + np.log(size)
        sizes.append(scale)
    measured = np.exp((sizes[-1] - sizes[first]) / (last - 1 - first))
    assert measured == pytest.approx(run.shrink, rel=5e-3)


@pytest.mark.parametrize("factor", [0.05, 0.5, 0.97, 1.01])
@pytest.mark.parametrize("rule", RULES)
def test_the_steps_to_a_share_are_the_first_of_the_loop(rule, factor):
    X, Y = rows(k=2)
    limit = lw.descend((X, Y), lr=1e-3, steps=1, **rule).lr_limit
    run = quiet((X, Y), lr=factor * limit, steps=1, start=begin(k=2), **rule)
    above = excess(hessian(X, k=2), left_by_loop(run, X, 8_000 if factor < 1 else 1_000, **rule))
    for tol in (1.0, 0.9, 0.5, 1e-1, 1e-3, 1e-6, 1e-9):
        near = above <= tol * above[0]
        assert run.steps_to(tol) == (int(np.argmax(near)) if near.any() else None)


@pytest.mark.parametrize("rule", [{}, {"momentum": 0.5}])
def test_steps_to_a_share_are_counted_from_very_near_the_minimum_too(rule):
    X, Y = rows()
    best = lw.fit((X, Y)).solution
    run = lw.descend((X, Y), lr=0.1, start=(best.coef.T + 1e-8, best.intercept + 1e-8), steps=200, **rule)
    above = excess(hessian(X), left_by_loop(run, X, 200, **rule))
    assert run.steps_to(1e-3) == int(np.argmax(above <= 1e-3 * above[0]))


def test_a_course_that_diverges_never_comes_near():
    X, Y = rows()
    run = lw.descend((X, Y), lr=0.01, steps=5)
    with pytest.warns(lw.errors.LeastwiseWarning):
        fast = run.again(lr=3 * run.lr_limit)
    assert fast.steps_to(1e-3) is None
    assert fast.ridge_alpha is None


# ---- edges ----

EDGES = {
    "two columns the same": lambda X: np.column_stack([X, X[:, 0]]),
    "a sum of columns": lambda X: np.column_stack([X, X @ [1.0, 1.0, 0.0]]),
    "a constant column": lambda X: np.column_stack([X, np.full(len(X), 7.0)]),
    "a column of zeros": lambda X: np.column_stack([X, np.zeros(len(X))]),
    "n = 2": lambda X: X[:2],
    "n = p": lambda X: X[:3],
    "n = p + 1": lambda X: X[:4],
    "one row more than parameters": lambda X: X[:5],
    "more columns than rows": lambda X: np.column_stack([X, X**2, X**3])[:5],
}


@pytest.mark.parametrize("rule", THREE)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("edge", EDGES)
def test_at_every_edge_the_course_is_that_of_the_loop(edge, intercept, penalty, rule):
    X, Y = rows(k=3)
    X = EDGES[edge](X)
    n, p = X.shape
    Y = Y[:n]
    W, b = begin(p, 3)
    b = b * intercept
    Z = np.column_stack([X, np.ones(n)]) if intercept else X
    how = {"start": (W, b), "intercept": intercept, "penalty": lw.L2(penalty), **rule}
    run = lw.descend((X, Y), lr=1e-9, steps=1, **how)
    H = hessian(X, penalty=penalty, k=3, intercept=intercept)
    top = np.linalg.eigvalsh(H)[-1]
    momentum, nesterov = rule.get("momentum", 0.0), rule.get("nesterov", False)
    limit = 2 * (1 + momentum) / (1 + 2 * momentum if nesterov else 1.0) / top
    assert run.lr_limit == pytest.approx(limit, rel=1e-12)
    run = run.again(lr=0.7 * limit, steps=400)
    theta, u, truth = np.vstack([W, b[None]]) if intercept else W, None, []
    for _ in range(401):
        truth.append(theta)
        g = H @ theta - 2 / (n * 3) * Z.T @ Y
        u = g if u is None else momentum * u + g
        theta = theta - run.lr * (g + momentum * u if nesterov else u)
    truth = np.array(truth)
    assert_close(parameters(run), truth, 10)
    B = np.zeros((401, 1, 3)) if not intercept else truth[:, -1:]
    losses = [mse(X, Y, W, b, penalty=penalty) for W, b in zip(truth[:, :p], B, strict=True)]
    assert_close(run.loss, losses, 10)
    assert "nan" not in repr(run) + run.summary() + run.explain()


def test_a_single_row_without_intercept_is_reached_along_itself():
    run = lw.descend(([[1.0, 2.0]], [3.0]), lr=0.05, steps=400, intercept=False)
    assert_close(run.W[-1].ravel(), [0.6, 1.2])  # the shortest of all solutions
    assert run.lr_limit == pytest.approx(0.2)


def test_from_zeros_more_columns_than_rows_lead_to_the_shortest_solution():
    X, Y = rows(5, 9)
    run = lw.descend((X, Y), steps=20_000, intercept=False)
    assert_close(run.W[-1], np.linalg.pinv(X) @ Y, 8)
    assert_close(run.end[0], np.linalg.pinv(X) @ Y, 10)


def test_dependent_columns_keep_what_the_start_has_along_them():
    X, Y = rows()
    X = np.column_stack([X, X[:, 0]])
    W, b = begin(4)
    run = lw.descend((X, Y), steps=5_000, start=(W, b))
    along = np.array([1.0, 0.0, 0.0, -1.0]) / np.sqrt(2)
    assert along @ run.W[-1] == pytest.approx(along @ W)
    assert_close(run.W[-1], run.end[0], 8)


# ---- the same in other words ----


@pytest.mark.parametrize("rule", THREE)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_half_the_loss_is_the_same_path_as_half_the_rate(penalty, rule):
    X, Y = rows(k=2)
    common = {"start": begin(k=2), "steps": 100, "penalty": lw.L2(penalty), **rule}
    half = lw.descend((X, Y), lr=0.1, loss="half", **common)
    mean = lw.descend((X, Y), lr=0.05, **common)
    assert_close(half.W, mean.W)
    assert_close(2 * half.loss, mean.loss)
    assert half.lr_limit == pytest.approx(2 * mean.lr_limit)
    assert half.again(start=None).ridge_alpha == pytest.approx(mean.again(start=None).ridge_alpha)


@pytest.mark.parametrize("rule", THREE)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_standardising_is_descending_on_standardised_columns(penalty, rule):
    X, Y = rows(k=2, mean=[50.0, -2.0, 10.0])
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    W, b = begin(k=2)
    unit = lw.descend(
        ((X - mean) / deviation, Y), lr=0.1, steps=100, penalty=lw.L2(penalty),
        start=(W * deviation[:, None], b + mean @ W), **rule,
    )  # fmt: skip
    run = lw.descend(
        (X, Y), lr=0.1, steps=100, penalty=lw.L2(penalty), start=(W, b), standardize=True, **rule
    )
    assert_close(run.W, unit.W / deviation[:, None], 10)
    assert_close(run.b, unit.b - np.einsum("p,tpk->tk", mean / deviation, unit.W), 10)
    assert_close(run.loss, unit.loss, 10)
    assert run.lr_limit == pytest.approx(unit.lr_limit, rel=1e-10)


def test_the_order_of_rows_is_no_matter():
    X, Y = rows(k=2)
    order = np.random.default_rng(SEED).permutation(len(X))
    run, other = (lw.descend(source, lr=0.05, steps=200) for source in ((X, Y), (X[order], Y[order])))
    assert_close(other.W, run.W)
    assert_close(other.loss, run.loss)


@pytest.mark.parametrize("at", [0, 1, 10, 29, 30])
def test_moments_of_parts_put_together_descend_as_the_rows(at):
    X, Y = rows(k=2, mean=5.0)
    how = {"lr": 0.01, "steps": 300, "momentum": 0.8, "penalty": lw.L2(0.1), "start": begin(k=2)}
    whole = lw.Moments.of(X, Y)
    parts = lw.Moments.of(X[:at], Y[:at]) + lw.Moments.of(X[at:], Y[at:])
    truth = lw.descend((X, Y), **how)
    for moments in (whole, parts):
        run = lw.descend(moments, **how)
        assert_close(run.W, truth.W, 11)
        assert_close(run.b, truth.b, 11)
        assert_close(run.loss, truth.loss, 11)
        assert run.lr_limit == pytest.approx(truth.lr_limit, rel=1e-12)


@pytest.mark.parametrize("t", [20, 50, 100])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("k", [1, 3])
def test_the_ridge_most_like_stopping_early_is_within_four_times_of_the_one_named(k, momentum, t):
    r = np.random.default_rng(SEED)
    turn = np.linalg.qr(r.normal(size=(8, 8)))[0]
    X = r.normal(size=(400, 8)) * np.geomspace(1, 0.05, 8) @ turn
    X -= X.mean(axis=0)
    Y = X @ r.normal(size=(8, k)) + 0.05 * r.normal(size=(400, k))
    run = lw.descend((X, Y), lr=0.2, steps=t, momentum=momentum, intercept=False)
    W = run.W[-1]

    def ridge(alpha):
        return np.linalg.solve(X.T @ X + 2 * len(X) * alpha * np.eye(8), X.T @ Y)

    def apart(alpha):
        return np.linalg.norm(W - ridge(alpha)) / np.linalg.norm(W)

    # the two agree on flat directions; on steep ones descent is ahead, so that the best is a smaller one
    alpha = run.ridge_alpha
    best = min(alpha * np.geomspace(0.01, 100, 401), key=apart)
    assert alpha / 4 < best < alpha * 4
    assert apart(alpha) < 0.3
    assert apart(alpha) < apart(4 * alpha)
    assert np.corrcoef(W.ravel(), ridge(alpha).ravel())[0, 1] > 0.95


# ---- gradients ----


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("k", [1, 3])
def test_gradient_hessian_and_value_from_moments_are_those_of_autograd(k, penalty, intercept, half):
    X, Y = rows(k=k, mean=4.0)
    moments = lw.Moments.of(X, Y)
    solution = least_squares(moments, intercept=intercept)
    q = Quadratic.of(moments, solution, penalty=lw.L2(penalty), half=half)
    W, b = begin(k=k)
    theta = np.vstack([W, b[None]]) if intercept else W
    at = torch.tensor(theta, requires_grad=True)
    Z = torch.tensor(np.column_stack([X, np.ones(len(X))]) if intercept else X)
    loss = ((Z @ at - torch.tensor(Y)) ** 2).mean() + 2 / k * penalty * (at[:3] ** 2).sum()
    loss = loss / 2 if half else loss
    loss.backward()
    assert_close(q.gradient(theta), at.grad.numpy())
    assert float(q.values(theta)) == pytest.approx(loss.item(), rel=1e-12)
    H = hessian(X, penalty=penalty, k=k, intercept=intercept)
    assert_close(q.hessian, H / 2 if half else H)
    assert_close(np.sort(q.modes.curvature), np.linalg.eigvalsh(H / 2 if half else H), 11)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_gradient_is_checked_for_every_target(k):
    X, Y = rows(k=k)
    W, b = begin(k=k)
    check = lw.check_gradient(X, Y, W, b)
    assert check.agree
    assert check.formula[0].shape == (3, k)
    assert check.formula[1].shape == (k,)
    assert "they agree" in repr(check)
    residual = X @ W + b - Y
    assert_close(check.formula[0], 2 / Y.size * X.T @ residual)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("y", {"Y": np.ones((29, 2))}),
        ("W", {"W": np.ones((2, 2))}),
        ("W", {"W": np.ones((3, 1))}),
        ("b", {"b": np.ones(3)}),
        ("b", {"b": 1.0}),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_name(name, wrong):
    X, Y = rows(k=2)
    W, b = begin(k=2)
    given = {"X": X, "Y": Y, "W": W, "b": b} | wrong
    with pytest.raises(lw.errors.DataError, match=rf"^{name} has shape"):
        lw.check_gradient(*given.values())


def test_checking_changes_no_array_of_the_caller():
    X, Y = rows(k=2)
    W, b = begin(k=2)
    kept = [v.copy() for v in (X, Y, W, b)]
    lw.check_gradient(X, Y, W, b)
    lw.descend((X, Y), lr=0.01, steps=3, start=(W, b))
    for now, before in zip((X, Y, W, b), kept, strict=True):
        assert np.array_equal(now, before)


# ---- what is told ----


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("half", ["mean", "half"])
def test_the_first_weight_that_explain_names_is_that_of_the_first_step(half, penalty, rule):
    X, Y = rows()
    how = {"lr": 0.05, "steps": 3, "start": begin(), "penalty": lw.L2(penalty), "loss": half}
    run = lw.descend((X, Y), **how, **rule)
    (line,) = [line for line in run.explain().splitlines() if "first weight" in line]
    told = float(line.rsplit("=", 1)[1])
    assert told == pytest.approx(run.W[1, 0, 0], rel=1e-3)


def test_what_is_told_as_converged_is_near_its_least_loss():
    r = np.random.default_rng(SEED)
    x = r.normal(size=(50, 1))
    run = lw.descend((0.1 * x, 1e4 + 5 * x[:, 0] + r.normal(size=50)), lr=0.5, steps=30)
    assert run.loss[-1] > 20 * run.least
    assert "converged" not in run.verdict


def test_a_penalty_of_a_numpy_number_is_told_as_any_other():
    X, Y = rows()
    run = lw.descend((X, Y), lr=0.05, steps=3, penalty=lw.L2(np.float64(0.1)))
    assert "+ 0.2 |W|^2" in run.summary()


def test_a_start_whose_loss_leaves_float64_has_an_infinite_loss():
    X, Y = rows()
    with np.errstate(over="ignore"):
        run = lw.descend((X, Y), lr=0.05, steps=3, start=(np.full((3, 1), 1e200), [0.0]))
    assert np.isinf(run.loss[0])


@pytest.mark.parametrize("alpha", [1.0, 1e6, 1e20])
def test_under_a_great_penalty_the_end_is_small_to_all_digits(alpha):
    X, Y = rows(mean=2.0)
    run = lw.descend((X, Y), steps=3, penalty=lw.L2(alpha))
    centred, about = X - X.mean(axis=0), Y - Y.mean(axis=0)
    truth = np.linalg.solve(centred.T @ centred + 2 * len(X) * alpha * np.eye(3), centred.T @ about)
    assert_close(run.end[0], truth, 10)
    assert run.least == pytest.approx(mse(X, Y, *run.end, penalty=alpha), rel=1e-10)


@pytest.mark.parametrize(
    "columns",
    [
        lambda X: np.column_stack([X, X[:, 0]]),
        lambda X: X + 1e9,
        lambda X: X * 1e-100,
    ],
)
def test_a_penalty_that_is_lost_in_rounding_is_no_crash(columns):
    X, Y = rows()
    X = columns(X)
    run = lw.descend((X, Y), steps=3, penalty=lw.L2(1e-20 * (X**2).mean()), intercept=False)
    assert np.isfinite(run.loss).all()


def test_the_rate_of_a_lasso_is_one_over_the_largest_eigenvalue():
    X, Y = rows()
    for how in ({}, {"momentum": 0.5}):
        run = lw.descend((X, Y), steps=3, penalty=lw.L1(0.1), **how)
        beta = how.get("momentum", 0.0)
        assert run.lr == pytest.approx((1 - beta) / run.quadratic.range[1])


def test_the_rate_of_mini_batches_knows_the_largest_row():
    X, Y = rows()
    X = X.copy()
    X[0] *= 30  # one row that batches of others do not show
    n, k, B = len(X), Y.shape[1], 5
    run = lw.descend((X, Y), steps=3, method="autograd", batch=B)
    largest = 2 / k * float(((X**2).sum(axis=1) + 1).max())
    top = run.quadratic.range[1]
    bound = (n * (B - 1) * top + (n - B) * largest) / (B * (n - 1))
    assert run.lr == pytest.approx(min(1 / (2 * bound), run.lr_best))


def test_the_rate_that_is_found_leaves_no_more_loss_than_others():
    X, Y = rows()
    X = X * [1.0, 10.0, 100.0]
    for how in ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}):
        run = lw.descend((X, Y), steps=60, **how)
        others = [run.again(lr=float(lr)).loss[-1] for lr in np.linspace(0.01, 0.98, 40) * run.lr_limit]
        assert run.loss[-1] <= 1.02 * min(others)
        assert run.again(steps=200).lr == run.lr


def test_a_rate_at_the_limit_comes_no_nearer():
    X, Y = rows()
    run = lw.descend((X, Y), lr=1e-3, steps=10)
    at = run.again(lr=run.lr_limit)
    assert at.shrink == pytest.approx(1.0)
    assert at.steps_to(1e-6) is None
