"""Descent on the rows: the course of a bare PyTorch loop, wherever the rows are and however they come."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from bad import refused
from sklearn.linear_model import ElasticNet, Lasso

import leastwise as lw
from leastwise import feed
from leastwise.errors import DataError, UsageError
from leastwise.rows import memory

NOT_DENSE = {"Optimizer", "SparseAdam", "Muon"}  # the base; for sparse gradients; for matrices only
OPTIMIZERS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and name not in NOT_DENSE
)
ON_ROWS = ("autograd", "analytic")
METHODS = ("moments", *ON_ROWS)


def data(n: int = 40, p: int = 3, k: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`X` (n, p) and noisy `y` (n,), or (n, k)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.5
    Y = X @ rng.normal(size=(p, k)) + rng.normal(size=k) + 0.3 * rng.normal(size=(n, k))
    return X, Y[:, 0] if k == 1 else Y


def bare(
    X: np.ndarray,
    y: np.ndarray,
    optimizer: Callable[[Any], torch.optim.Optimizer],
    steps: int,
    *,
    dtype: torch.dtype = torch.float64,
    start: tuple[Any, Any] | None = None,
    factor: Callable[[int], float] = lambda _: 1.0,
    l2: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The loop that everybody writes: W (steps + 1, p, k), b (steps + 1, k), losses before each update."""
    A = torch.tensor(X, dtype=dtype)
    Y = torch.tensor(y.reshape(len(y), -1), dtype=dtype)
    p, k = A.shape[1], Y.shape[1]
    at = start or (np.zeros((p, k)), np.zeros(k))
    W, b = (torch.tensor(np.asarray(v), dtype=dtype, requires_grad=True) for v in at)
    made = optimizer([W, b])
    rates = [group["lr"] for group in made.param_groups]
    path, losses = [(W.detach().clone(), b.detach().clone())], []
    for t in range(steps):
        for group, rate in zip(made.param_groups, rates, strict=True):
            group["lr"] = rate * factor(t)

        def closure() -> torch.Tensor:
            made.zero_grad()
            loss = ((A @ W + b - Y) ** 2).mean() + 2 * l2 / k * (W**2).sum()
            loss.backward()
            return loss

        losses.append(made.step(closure).item())
        path.append((W.detach().clone(), b.detach().clone()))
    Ws, bs = (torch.stack(values).double().numpy() for values in zip(*path, strict=True))
    return Ws, bs, np.array(losses)


def sgd(lr: float, **how: Any) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda values: torch.optim.SGD(values, lr=lr, **how)


def assert_same_course(run: lw.Descent, course: tuple[np.ndarray, ...], rtol: float) -> None:
    W, b, losses = course
    size = max(np.abs(W).max(), np.abs(b).max())
    np.testing.assert_allclose(run.W, W, rtol=0, atol=rtol * size)
    np.testing.assert_allclose(run.b, b, rtol=0, atol=rtol * size)
    np.testing.assert_allclose(run.batch_loss, losses, rtol=rtol)


# ---- the same course as a bare loop ----


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-13), ("float32", 1e-5)])
@pytest.mark.parametrize("method", ON_ROWS)
def test_the_rows_give_the_course_of_a_bare_loop_step_by_step(
    method: str, dtype: str, rtol: float, k: int
) -> None:
    X, y = data(k=k)
    start = np.random.default_rng(5).normal(size=(3, k)), np.arange(k, dtype=float)
    run = lw.descend((X, y), lr=0.1, steps=25, start=start, method=method, dtype=dtype)
    course = bare(X, y, sgd(0.1), 25, dtype=getattr(torch, dtype), start=start)
    assert_same_course(run, course, rtol)
    assert run.loss[:-1] == pytest.approx(course[2], rel=rtol)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "how", [{"momentum": 0.9}, {"momentum": 0.8, "nesterov": True}], ids=["momentum", "nesterov"]
)
def test_momentum_and_nesterov_are_those_of_pytorch(method: str, how: dict[str, Any]) -> None:
    X, y = data()
    run = lw.descend((X, y), lr=0.05, steps=30, method=method, **how)
    assert_same_course(run, bare(X, y, sgd(0.05, **how), 30), 1e-11)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 3])
def test_an_l2_penalty_is_added_as_a_bare_loop_would_add_it(method: str, k: int) -> None:
    X, y = data(k=k)
    run = lw.descend((X, y), lr=0.05, steps=20, penalty=lw.L2(0.3), method=method)
    assert_same_course(run, bare(X, y, sgd(0.05), 20, l2=0.3), 1e-11)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("method", "rtol"), [("autograd", 1e-12), ("moments", 1e-8)])
def test_every_optimizer_of_pytorch_walks_as_in_a_bare_loop(name: str, method: str, rtol: float) -> None:
    X, y = data(k=2)
    kind = getattr(torch.optim, name)
    lr = {"LBFGS": 0.5, "SGD": 0.1}.get(name, 0.05)
    run = lw.descend((X, y), lr=lr, steps=6, optimizer=name.swapcase(), method=method)
    assert_same_course(run, bare(X, y, lambda values: kind(values, lr=lr), 6), rtol)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "SGD"])
def test_without_a_rate_an_optimizer_has_the_rate_of_pytorch(name: str) -> None:
    X, y = data()
    run = lw.descend((X, y), steps=4, optimizer=name, method="autograd")
    assert_same_course(run, bare(X, y, getattr(torch.optim, name), 4), 1e-12)


def adam(values: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(values, lr=0.07, betas=(0.8, 0.95), weight_decay=0.01)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "asked", [adam, adam([torch.zeros(1, requires_grad=True)])], ids=["function", "instance"]
)
def test_an_optimizer_comes_as_a_function_or_as_an_instance_whose_settings_are_taken(
    asked: Any, method: str
) -> None:
    X, y = data()
    run = lw.descend((X, y), steps=15, optimizer=asked, method=method)
    assert_same_course(run, bare(X, y, adam, 15), 1e-8)


def test_an_optimizer_comes_as_a_class() -> None:
    X, y = data()
    run = lw.descend((X, y), lr=0.02, steps=15, optimizer=torch.optim.RMSprop, method="autograd")
    assert_same_course(run, bare(X, y, lambda v: torch.optim.RMSprop(v, lr=0.02), 15), 1e-12)


def test_an_instance_serves_as_a_template_and_steps_nothing_of_its_own() -> None:
    own = torch.ones(2, requires_grad=True)
    lw.descend(data(), steps=5, optimizer=torch.optim.Adam([own]), method="autograd")
    assert own.tolist() == [1.0, 1.0]
    assert own.grad is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["sgd", "Adam"])
def test_a_schedule_multiplies_the_rate_of_each_step(method: str, name: str) -> None:
    def factor(t: int) -> float:
        return 1 / (1 + t) ** 0.5

    X, y = data()
    kind = torch.optim.SGD if name == "sgd" else torch.optim.Adam
    run = lw.descend((X, y), lr=0.1, steps=20, optimizer=name, schedule=factor, method=method)
    assert_same_course(run, bare(X, y, lambda v: kind(v, lr=0.1), 20, factor=factor), 1e-8)


def test_a_schedule_is_asked_once_for_each_step_in_order() -> None:
    asked: list[int] = []
    lw.descend(data(), steps=7, schedule=lambda t: asked.append(t) or 1.0)
    assert asked == list(range(7))


@pytest.mark.parametrize("method", METHODS)
def test_the_half_loss_has_half_the_loss_and_half_the_gradient(method: str) -> None:
    X, y = data()
    half = lw.descend((X, y), lr=0.2, steps=10, loss="half", method=method, penalty=lw.L2(0.1))
    mean = lw.descend((X, y), lr=0.1, steps=10, method=method, penalty=lw.L2(0.1))
    np.testing.assert_allclose(half.W, mean.W, rtol=1e-12)
    np.testing.assert_allclose(2 * half.loss, mean.loss, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_standardised_descent_is_descent_in_standardised_columns(method: str) -> None:
    X, y = data()
    X = X * [1.0, 100.0, 0.01] + [0.0, 5.0, 3.0]
    mean, by = X.mean(axis=0), X.std(axis=0)
    run = lw.descend((X, y), lr=0.2, steps=12, standardize=True, penalty=lw.L2(0.1), method=method,
                     start=(np.ones((3, 1)), [2.0]))  # fmt: skip
    start = by[:, None], 2.0 + mean.sum(keepdims=True)
    W, b, losses = bare((X - mean) / by, y, sgd(0.2), 12, start=start, l2=0.1)
    W = W / by[:, None]
    np.testing.assert_allclose(run.W, W, rtol=1e-9)
    np.testing.assert_allclose(run.b, b - (mean[:, None] * W).sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(run.loss[:-1], losses, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_without_an_intercept_the_bias_stays_zero(method: str) -> None:
    X, y = data()
    run = lw.descend((X, y), lr=0.1, steps=400, intercept=False, method=method)
    assert not run.b.any()
    np.testing.assert_allclose(run.coef[-1], np.linalg.lstsq(X, y)[0], rtol=1e-9)


# ---- mini-batches ----


def planted(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose squared targets are powers of two, so that the loss of a batch tells its rows."""
    return np.random.default_rng(0).normal(size=(n, 2)), np.sqrt(2.0 ** np.arange(n))


def seen(run: lw.Descent, n: int, batch: int) -> list[set[int]]:
    """The rows of each batch, read from its loss; the rate is so small that nothing moves."""
    per = -(-n // batch)
    found = []
    for t, loss in enumerate(run.batch_loss):
        size = min(batch, n - (t % per) * batch)
        bits = round(float(loss) * size)
        found.append({i for i in range(n) if bits >> i & 1})
    return found


def batched(n: int, batch: int, **how: Any) -> lw.Descent:
    return lw.descend(planted(n), batch=batch, lr=1e-300, **{"method": "autograd", **how})


@pytest.mark.parametrize("method", ON_ROWS)
@pytest.mark.parametrize(("n", "batch"), [(40, 8), (37, 8), (37, 1), (10, 10), (10, 64), (9, 5)])
def test_each_epoch_sees_every_row_exactly_once(n: int, batch: int, method: str) -> None:
    run = batched(n, batch, epochs=3, method=method)
    per = -(-n // batch)
    assert run.steps == 3 * per
    batches = seen(run, n, batch)
    for epoch in range(3):
        mine = batches[epoch * per : (epoch + 1) * per]
        assert [len(rows) for rows in mine[:-1]] == [batch] * (per - 1)
        assert sum(len(rows) for rows in mine) == n
        assert set.union(*mine) == set(range(n))


def test_epochs_are_shuffled_each_in_its_own_way() -> None:
    batches = seen(batched(40, 8, epochs=2), 40, 8)
    assert batches[:5] != batches[5:]
    assert batches[0] != set(range(8))


def test_the_same_seed_gives_the_same_course_and_another_seed_another() -> None:
    first, again, other = (batched(40, 8, epochs=2, seed=seed) for seed in (3, 3, 4))
    assert (first.batch_loss == again.batch_loss).all()
    assert (first.batch_loss != other.batch_loss).any()


def test_steps_may_end_within_an_epoch() -> None:
    run = batched(40, 8, steps=7)
    assert run.steps == 7
    assert len(set.union(*seen(run, 40, 8)[:5])) == 40


def test_a_batch_larger_than_all_rows_is_full_batch_descent() -> None:
    X, y = data()
    batch = lw.descend((X, y), lr=0.1, epochs=20, batch=1_000, method="autograd")
    whole = lw.descend((X, y), lr=0.1, epochs=20, method="autograd")
    assert batch.steps == whole.steps == 20
    np.testing.assert_allclose(batch.W, whole.W, rtol=1e-11)


@pytest.mark.parametrize("method", ON_ROWS)
def test_batches_of_weighted_rows_are_unbiased(method: str) -> None:
    X, y = data()
    w = np.random.default_rng(1).uniform(0.1, 9.0, size=40)
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "w": w, "y": y})
    run = lw.descend(table, "y", weight="w", batch=8, epochs=4, lr=1e-15, method=method)
    loss = (w * y**2).sum() / w.sum()
    assert run.batch_loss.reshape(4, 5).mean(axis=1) == pytest.approx([loss] * 4, rel=1e-9)
    moved = run.W[[5, 10, 15, 20]] - run.W[[0, 5, 10, 15]]  # a rate so small that gradients add up
    slope = -2 * (w[:, None] * X[:, :2]).T @ y / w.sum()
    np.testing.assert_allclose(moved[:, :, 0], np.tile(-5e-15 * slope, (4, 1)), rtol=1e-6)


@pytest.mark.parametrize("method", ON_ROWS)
def test_the_loss_of_a_run_in_batches_is_that_of_all_rows(method: str) -> None:
    X, y = data()
    run = lw.descend((X, y), lr=0.05, epochs=3, batch=7, method=method, penalty=lw.L2(0.1))
    by_hand = ((X @ run.W + run.b[:, None] - y[:, None]) ** 2).mean(axis=(1, 2))
    by_hand += 2 * 0.1 * (run.W**2).sum(axis=(1, 2))
    np.testing.assert_allclose(run.loss, by_hand, rtol=1e-9)


def test_batches_at_the_automatic_rate_come_near_the_minimum() -> None:
    X, y = data(200)
    run = lw.descend((X, y), epochs=60, batch=4, method="autograd")
    assert run.loss[-1] < 1.5 * run.least


# ---- rows that do not fit into memory ----


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in slabs of a few, none of which are kept."""
    monkeypatch.setattr(feed, "MOST_BYTES", 0)
    monkeypatch.setattr(memory, "SLAB_BYTES", 200)


def slabs_of(run: lw.Descent) -> int:
    return len(list(run.fit.rows.slabs()))


@pytest.mark.parametrize("method", ON_ROWS)
@pytest.mark.parametrize("how", [{}, {"standardize": True}, {"penalty": lw.L2(0.2)}], ids=str)
def test_streamed_rows_give_the_course_of_rows_in_memory(
    method: str, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data(60, k=2)
    asked = {"lr": 0.1, "steps": 15, "method": method, **how}
    held = lw.descend((X, y), **asked)
    monkeypatch.setattr(feed, "MOST_BYTES", 0)
    monkeypatch.setattr(memory, "SLAB_BYTES", 200)
    streamed = lw.descend((X, y), **asked)
    assert slabs_of(streamed) > 4
    np.testing.assert_allclose(streamed.W, held.W, rtol=1e-11)
    np.testing.assert_allclose(streamed.loss, held.loss, rtol=1e-11)


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize(("n", "batch"), [(40, 8), (37, 5), (37, 16), (37, 1), (37, 100)])
def test_streamed_batches_see_every_row_once_an_epoch(n: int, batch: int) -> None:
    run = batched(n, batch, epochs=2)
    assert slabs_of(run) > 2
    per = -(-n // batch)
    batches = seen(run, n, batch)
    for mine in (batches[:per], batches[per:]):
        assert sum(len(rows) for rows in mine) == n
        assert set.union(*mine) == set(range(n))


@pytest.mark.usefixtures("streaming")
def test_streamed_weights_and_folds_give_the_course_of_the_closed_form() -> None:
    X, y = data(60)
    table = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "w": np.arange(60.0) % 4, "y": y})
    asked = {"weight": "w", "lr": 0.1, "steps": 20, "patience": 1_000}
    rows = lw.descend(table, "y", method="autograd", **asked)
    closed = lw.descend(table, "y", **asked)
    np.testing.assert_allclose(rows.W, closed.W, rtol=1e-10)
    np.testing.assert_allclose(rows.validation_loss, closed.validation_loss, rtol=1e-10)


# ---- where rows come from ----


def mixed() -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """A table with a text column, and X and y by hand."""
    X, y = data(30, 2)
    t = np.array(["u", "v", "w"] * 10)
    table = pl.DataFrame({"a": X[:, 0], "t": t, "b": X[:, 1], "y": y})
    return table, np.c_[X[:, 0], t == "v", t == "w", X[:, 1]].astype(float), y


@pytest.mark.parametrize("kind", ["polars", "pandas", "arrow", "csv", "parquet"])
@pytest.mark.parametrize("how", [{}, {"batch": 7}], ids=["whole", "batches"])
def test_tables_and_files_give_the_course_of_the_same_arrays(
    kind: str, how: dict[str, Any], tmp_path: Path
) -> None:
    table, X, y = mixed()
    source: Any = {"polars": table, "pandas": table.to_pandas(), "arrow": table.to_arrow()}.get(kind)
    if source is None:
        source = tmp_path / f"a.{kind}"
        getattr(table, f"write_{kind}")(source)
    run = lw.descend(source, "y", lr=0.1, epochs=5, method="autograd", **how)
    assert run.fit.names == ("a", "t=v", "t=w", "b")
    by_hand = lw.descend((X, y), lr=0.1, epochs=5, method="autograd", **how)
    np.testing.assert_allclose(run.W, by_hand.W, rtol=1e-12)
    np.testing.assert_allclose(run.batch_loss, by_hand.batch_loss, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("policy", ["mean", "drop"])
def test_missing_cells_are_filled_or_dropped_as_by_hand(method: str, policy: str) -> None:
    X, y = data()
    gap = np.arange(40) % 6 == 1
    holes = X.copy()
    holes[gap, 1] = np.nan
    by_hand = X.copy()
    by_hand[gap, 1] = X[~gap, 1].mean()
    use = ~gap if policy == "drop" else np.ones(40, bool)
    run = lw.descend((holes, y), lr=0.1, steps=12, method=method, missing=policy)
    assert_same_course(run, bare(by_hand[use], y[use], sgd(0.1), 12), 1e-11)


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_repetition_and_rows_of_weight_zero_are_not_there(method: str) -> None:
    X, y = data()
    w = np.arange(40) % 4
    table = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "w": w, "y": y})
    table = table.with_columns(y=pl.when(pl.col("w") == 0).then(1e6).otherwise("y"))
    run = lw.descend(table, "y", weight="w", lr=0.1, steps=12, method=method)
    assert_same_course(run, bare(X.repeat(w, axis=0), y.repeat(w), sgd(0.1), 12), 1e-11)


def test_an_epoch_of_batches_counts_the_rows_that_have_a_weight() -> None:
    X, y = data()
    table = pl.DataFrame({"a": X[:, 0], "w": np.arange(40) % 2, "y": y})
    run = lw.descend(table, "y", weight="w", batch=8, epochs=2, method="autograd")
    assert run.steps == 2 * 3


# ---- early stopping ----


def grouped(n: int = 90, p: int = 20) -> tuple[pl.DataFrame, np.ndarray]:
    """Few rows for many columns, so that the validation loss turns; and which rows are held out."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, p)) * np.linspace(0.2, 2, p)
    y = X[:, 0] + 2.0 * rng.normal(size=n)
    group = [f"g{i % 15}" for i in range(n)]
    table = pl.DataFrame({**{f"x{j}": X[:, j] for j in range(p)}, "g": group, "y": y})
    plan = lw.descend(table, "y", group="g", patience=1, steps=0).fit.moments.plan
    return table, np.array([plan.fold_of(g) == 0 for g in group])


def halves(table: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return table.drop("g", "y").to_numpy(), table["y"].to_numpy()


@pytest.mark.parametrize("patience", [1, 3, 10])
@pytest.mark.parametrize("method", METHODS)
def test_patience_stops_where_a_bare_loop_would(method: str, patience: int) -> None:
    table, held = grouped()
    X, y = halves(table)
    W, b, _ = bare(X[~held], y[~held], sgd(0.05), 400)
    losses = ((X[held] @ W + b[:, None] - y[held, None]) ** 2).mean(axis=(1, 2))
    best, since, stop = np.inf, 0, 400
    for t, loss in enumerate(losses):
        best, since = (loss, t) if loss < best else (best, since)
        if t - since >= patience:
            stop = t
            break
    assert 1 < stop < 400
    run = lw.descend(table, "y", group="g", lr=0.05, steps=400, patience=patience, method=method)
    assert run.steps == stop
    assert run.best_step == stop - patience
    np.testing.assert_allclose(run.validation_loss, losses[: stop + 1], rtol=1e-10)
    np.testing.assert_allclose(run.W, W[: stop + 1], rtol=0, atol=1e-11)


def test_patience_that_never_runs_out_takes_all_steps() -> None:
    table, _ = grouped()
    run = lw.descend(table, "y", group="g", lr=0.05, steps=50, patience=1_000)
    assert run.steps == 50
    assert len(run.validation_loss) == 51


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", [{}, {"standardize": True}, {"optimizer": "Adam"}, {"batch": 16}], ids=str)
def test_the_rows_held_out_are_judged_with_the_means_of_the_others(
    method: str, how: dict[str, Any]
) -> None:
    if "batch" in how and method == "moments":
        pytest.skip("moments know no batches")
    table, held = grouped()
    X, y = halves(table)
    X[::7, 3] = X[1::9, 5] = np.nan
    w = 1.0 + np.arange(len(y)) % 3
    use = ~held[:, None] & ~np.isnan(X)
    fills = [np.average(X[here, j], weights=w[here]) for j, here in enumerate(use.T)]
    by_hand = np.where(np.isnan(X), fills, X)[held]
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
    frame = pd.DataFrame({**columns, "g": table["g"].to_numpy(), "w": w, "y": y})
    run = lw.descend(
        frame, "y", group="g", weight="w", missing="mean", steps=15, patience=99, method=method, **how
    )
    off = by_hand @ run.coef.T + run.intercept - y[held, None]
    np.testing.assert_allclose(run.validation_loss, np.average(off**2, axis=0, weights=w[held]), rtol=1e-9)


def test_patience_counts_steps_of_batches_and_ends_within_an_epoch() -> None:
    table, held = grouped()
    X, y = halves(table)
    run = lw.descend(
        table, "y", group="g", method="autograd", batch=4, epochs=50, patience=7, dtype="float32"
    )
    losses = ((X[held] @ run.coef.T + run.intercept - y[held, None]) ** 2).mean(axis=0)
    np.testing.assert_allclose(run.validation_loss, losses, rtol=1e-9)
    assert run.steps == np.argmin(losses) + 7 < 50 * 18


LEAKS = [
    {},
    {"missing": "mean"},
    {"standardize": True},
    {"missing": "mean", "standardize": True, "penalty": lw.L2(0.1)},
    {"penalty": lw.L1(0.05)},
    {"optimizer": "Adam"},
]


@pytest.mark.parametrize("how", LEAKS, ids=str)
@pytest.mark.parametrize("method", ["moments", "autograd", "batches"])
def test_the_rows_held_out_change_nothing_of_the_course(how: dict[str, Any], method: str) -> None:
    table, held = grouped()
    X, y = halves(table)
    if "missing" in how:
        X[::7, 3] = X[1::9, 5] = np.nan
    spoilt, other = X.copy(), y.copy()
    spoilt[held] = np.random.default_rng(9).normal(size=(held.sum(), X.shape[1])) * 1e3 + 77
    if "missing" in how:
        spoilt[np.flatnonzero(held)[:5], 3] = np.nan
    other[held] = -1e4
    rows = {} if method == "moments" else {"batch": 16 if method == "batches" else None}
    asked = {"group": "g", "steps": 12, "patience": 1_000, "method": method, **how, **rows}
    asked["method"] = "moments" if method == "moments" else "autograd"
    runs = []
    for A, b in ((X, y), (spoilt, other)):
        columns = {f"x{j}": A[:, j] for j in range(A.shape[1])}
        runs.append(lw.descend(pd.DataFrame({**columns, "g": table["g"].to_numpy(), "y": b}), "y", **asked))
    one, two = runs
    assert one.lr == two.lr
    assert (one.W == two.W).all()
    assert (one.b == two.b).all()
    assert (one.batch_loss == two.batch_loss).all()
    assert (one.validation_loss != two.validation_loss).any()


@pytest.mark.parametrize("method", ["moments", "autograd"])
def test_rows_held_out_change_no_digit_of_the_course_however_large_they_are(method: str) -> None:
    rng = np.random.default_rng(1)
    X, g = rng.normal(size=(600, 45)), np.array([f"g{i % 20}" for i in range(600)])  # too wide to be exact
    y = X[:, :3].sum(axis=1) + rng.normal(size=600)
    names = [f"x{j}" for j in range(45)]
    asked = {"group": "g", "patience": 99, "steps": 20, "method": method}
    one = lw.descend(pd.DataFrame(X, columns=names).assign(g=g, y=y), "y", **asked)
    held = np.array([one.fit.moments.plan.fold_of(name) == 0 for name in g])
    X[held] = X[held] * 1e8 + 1e8
    two = lw.descend(pd.DataFrame(X, columns=names).assign(g=g, y=y), "y", **asked)
    assert two.lr == pytest.approx(one.lr, rel=1e-9)
    np.testing.assert_allclose(two.W, one.W, rtol=0, atol=1e-9)


def test_predictions_fill_with_the_means_that_were_trained_on() -> None:
    table, held = grouped()
    X, y = halves(table)
    X[::7, 3] = np.nan
    X[held, 3] += 1_000.0
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
    frame = pd.DataFrame({**columns, "g": table["g"].to_numpy(), "y": y})
    run = lw.descend(frame, "y", group="g", missing="mean", steps=5, patience=9)
    fill = np.nanmean(X[~held, 3])
    best = run.best_step
    by_hand = np.where(np.isnan(X), fill, X) @ run.coef[best] + run.intercept[best]
    np.testing.assert_allclose(np.ravel(run.predict(frame)), by_hand, rtol=1e-9)


def test_no_folds_beside_patience_is_refused() -> None:
    with refused(UsageError, "folds=0", "patience"):
        lw.descend(data(), folds=0, patience=3)


def test_early_stopping_serves_where_columns_are_more_than_rows() -> None:
    X, y = data(60, 80)
    assert lw.descend((X, y), steps=50, patience=5, standardize=True).steps <= 50


@pytest.mark.parametrize("small", [False, True])
def test_rows_that_were_changed_meanwhile_are_refused(monkeypatch, tmp_path, small: bool) -> None:
    path = tmp_path / "a.csv"
    X, y = halves(grouped()[0])
    lines = [",".join(map(repr, [*map(float, x), float(v)])) for x, v in zip(X, y, strict=True)]
    names = ",".join([*(f"x{j}" for j in range(X.shape[1])), "y"])
    path.write_text("\n".join([names, *lines]) + "\n")
    run = lw.descend(path, "y", lr=0.01, steps=2)
    if small:
        monkeypatch.setattr("leastwise.feed.MOST_BYTES", 100)
    assert run.again(method="autograd").steps == 2
    path.write_text("\n".join([names, *lines[: len(lines) // 2]]) + "\n")
    with pytest.raises(lw.errors.DataError, match="not those that were fitted"):
        run.again(method="autograd")


# ---- L1 ----


def kkt(X: np.ndarray, y: np.ndarray, run: lw.Descent, l1: float, l2: float) -> float:
    """How far from optimal, the largest of all coefficients: the conditions themselves."""
    W, b = run.at(run.steps)
    Y = y.reshape(len(y), -1)
    residual = X @ W + b - Y
    slope = X.T @ residual / len(X) + 2 * l2 * W
    off = np.where(W != 0, np.abs(slope + l1 * np.sign(W)), np.maximum(np.abs(slope) - l1, 0))
    return float(max(off.max(), np.abs(residual.mean(axis=0)).max()))


def sparse_data(k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(80, 8)) + 1.0
    Y = 3 * X[:, :1] - 2 * X[:, 1:2] + 1 + 0.5 * rng.normal(size=(80, k))
    return X, Y[:, 0] if k == 1 else Y


@pytest.mark.parametrize("l2", [0.0, 0.2])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_proximal_steps_reach_the_conditions_of_the_lasso_and_the_elastic_net(
    method: str, k: int, l2: float
) -> None:
    X, y = sparse_data(k)
    run = lw.descend((X, y), steps=2_000, penalty=lw.L1(0.3) + lw.L2(l2), method=method)
    assert kkt(X, y, run, 0.3, l2) < 1e-9
    peer = ElasticNet(0.3 + 2 * l2, l1_ratio=0.3 / (0.3 + 2 * l2), tol=1e-12, max_iter=100_000)
    peer = peer if l2 else Lasso(0.3, tol=1e-12, max_iter=100_000)
    W, b = run.at(run.steps)
    np.testing.assert_allclose(W.T.ravel(), peer.fit(X, y).coef_.ravel(), atol=1e-7)
    np.testing.assert_allclose(b, peer.intercept_, atol=1e-7)
    assert (W == 0).sum() >= 4 * k


@pytest.mark.parametrize("method", METHODS)
def test_subgradient_steps_come_near_but_reach_no_zero(method: str) -> None:
    X, y = sparse_data()
    how = {"lr": 0.01, "steps": 1_500, "penalty": lw.L1(0.3), "method": method}
    plain, exact = lw.descend((X, y), l1="subgradient", **how), lw.descend((X, y), **how)
    assert (plain.W[-1] != 0).all()
    assert (exact.W[-1] == 0).any()
    assert plain.loss[-1] == pytest.approx(exact.loss[-1], rel=0.02)


@pytest.mark.parametrize("method", ["moments", "autograd"])
@pytest.mark.parametrize("lr", ["auto", 0.02])
def test_with_momentum_the_lasso_is_still_the_lasso(method: str, lr: float | str) -> None:
    X, y = sparse_data()
    run = lw.descend((X, y), lr=lr, steps=3_000, penalty=lw.L1(0.3), momentum=0.9, method=method)
    assert kkt(X, y, run, 0.3, 0.0) < 1e-6


def test_proximal_steps_with_nesterov_are_refused_for_they_would_settle_elsewhere() -> None:
    with pytest.raises(lw.errors.UsageError, match="settle elsewhere"):
        lw.descend(sparse_data(), penalty=lw.L1(0.3), momentum=0.9, nesterov=True)


@pytest.mark.parametrize("method", METHODS)
def test_a_standardised_lasso_penalises_standardised_columns(method: str) -> None:
    X, y = sparse_data()
    X = X * np.geomspace(1, 100, 8)
    run = lw.descend((X, y), steps=2_000, penalty=lw.L1(0.3), standardize=True, method=method)
    peer = Lasso(0.3, tol=1e-12, max_iter=100_000).fit((X - X.mean(axis=0)) / X.std(axis=0), y)
    np.testing.assert_allclose(run.coef[-1] * X.std(axis=0), peer.coef_, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_under_an_l1_penalty_has_the_penalty_in_it(method: str) -> None:
    X, y = sparse_data()
    run = lw.descend((X, y), lr=0.05, steps=9, penalty=lw.L1(0.3), method=method)
    by_hand = ((X @ run.W + run.b[:, None] - y[:, None]) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(run.loss, by_hand + 0.6 * np.abs(run.W).sum(axis=(1, 2)), rtol=1e-10)


# ---- callbacks ----


@pytest.mark.parametrize("how", [{}, {"batch": 8}, {"optimizer": "Adam"}, {"method": "analytic"}], ids=str)
def test_the_callback_is_told_each_step_and_the_loss_that_it_saw(how: dict[str, Any]) -> None:
    told: list[tuple[int, float]] = []
    run = lw.descend(
        data(), steps=9, callback=lambda *said: told.append(said), **{"method": "autograd", **how}
    )
    assert [t for t, _ in told] == list(range(9))
    assert [loss for _, loss in told] == run.batch_loss.tolist()
    assert all(type(loss) is float for _, loss in told)


def test_the_callback_ends_the_run_by_true() -> None:
    run = lw.descend(data(), steps=90, method="autograd", callback=lambda t, _: t == 4)
    assert run.steps == 5
    assert len(run.loss) == 6


@pytest.mark.parametrize("true", [np.True_, torch.tensor(True)], ids=["numpy", "torch"])
def test_a_truth_of_numpy_or_torch_ends_the_run_too(true: Any) -> None:
    assert lw.descend(data(), steps=9, method="autograd", callback=lambda *_: true).steps == 1


def test_what_a_callback_raises_comes_through() -> None:
    def stop(t: int, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lw.descend(data(), steps=9, method="autograd", callback=stop)


# ---- devices and types ----


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is here")
    with refused(UsageError, "device='cuda'", "cannot be used", "Leave it out"):
        lw.descend(data(), method="autograd", device="cuda")


@pytest.mark.parametrize("how", [{}, {"batch": 8}, {"optimizer": "Adam"}, {"standardize": True}], ids=str)
def test_a_course_on_cuda_is_that_on_the_cpu(how: dict[str, Any]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
    here = lw.descend(data(), lr=0.05, steps=12, method="autograd", **how)
    there = lw.descend(data(), lr=0.05, steps=12, method="autograd", device="cuda", **how)
    np.testing.assert_allclose(there.W, here.W, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_results_are_float64_whatever_came(method: str) -> None:
    X, y = data()
    for kind in (np.float32, np.float64, np.int64):
        run = lw.descend(((10 * X).astype(kind), (10 * y).astype(kind)), steps=3, method=method)
        assert {v.dtype for v in (run.W, run.b, run.coef, run.intercept, run.loss)} == {np.dtype("float64")}


def test_rows_of_float32_are_walked_in_float32_unless_asked_otherwise() -> None:
    X, y = (values.astype(np.float32) for values in data())
    kept = lw.descend((X, y), lr=0.1, steps=9, method="autograd").W
    wide = lw.descend((X, y), lr=0.1, steps=9, method="autograd", dtype="float64").W
    assert (kept == kept.astype(np.float32)).all()
    assert (wide[1:] != wide[1:].astype(np.float32)).any()
    np.testing.assert_allclose(kept, wide, rtol=0, atol=1e-5)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_tensors_in_are_tensors_out(method: str, k: int) -> None:
    X, y = (torch.from_numpy(values) for values in data(k=k))
    run = lw.descend((X, y), lr=0.1, steps=4, method=method)
    assert isinstance(run.coef, torch.Tensor)
    assert isinstance(run.intercept, torch.Tensor)
    assert isinstance(run.predict(X), torch.Tensor)
    arrays = lw.descend((X.numpy(), y.numpy()), lr=0.1, steps=4, method=method)
    assert isinstance(arrays.coef, np.ndarray)
    assert (run.coef.numpy() == arrays.coef).all()
    assert tuple(run.coef.shape) == ((5, 3) if k == 1 else (5, 2, 3))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", [{}, {"optimizer": "Adam"}, {"standardize": True}], ids=str)
def test_what_the_caller_gave_is_never_changed(method: str, how: dict[str, Any]) -> None:
    X, y = (torch.from_numpy(values) for values in data(k=2))
    X.requires_grad_()
    start = torch.ones(3, 2, dtype=torch.float64, requires_grad=True), torch.zeros(2, dtype=torch.float64)
    before = [values.detach().clone() for values in (X, y, *start)]
    lw.descend((X, y), start=start, steps=5, method=method, **how)
    assert all(torch.equal(now.detach(), was) for now, was in zip((X, y, *start), before, strict=True))
    assert X.grad is None
    assert start[0].grad is None


@pytest.mark.parametrize(
    "how", [{}, {"method": "autograd"}, {"method": "autograd", "batch": 8}, {"optimizer": "Adam"}], ids=str
)
def test_no_random_number_of_torch_or_numpy_is_drawn(how: dict[str, Any]) -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # it is this state that must not move
    before, old = torch.get_rng_state(), np.random.get_state()[1]
    lw.descend(data(), steps=5, **how)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == old).all()


def test_the_global_seed_has_no_part_in_the_batches() -> None:
    torch.manual_seed(1)
    one = batched(40, 8, epochs=1)
    torch.manual_seed(2)
    assert (batched(40, 8, epochs=1).batch_loss == one.batch_loss).all()


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_the_callers_switch_for_gradients_does_not_matter(off: Any) -> None:
    there = lw.descend(data(), steps=3, method="autograd").loss
    with off():
        assert lw.descend(data(), steps=3, method="autograd").loss == pytest.approx(there)


def test_the_callers_default_device_does_not_matter() -> None:
    there = lw.descend(data(), steps=3, method="autograd", batch=8).loss
    with torch.device("meta"):
        assert lw.descend(data(), steps=3, method="autograd", batch=8).loss == pytest.approx(there)


# ---- starts and ends ----


@pytest.mark.parametrize("method", METHODS)
def test_a_start_is_a_pair_a_fit_or_a_descent(method: str) -> None:
    X, y = data(k=2)
    whole = lw.descend((X, y), lr=0.1, steps=10, method=method)
    first = lw.descend((X, y), lr=0.1, steps=4, method=method)
    for start in (first, first.at(4), [first.W[-1].tolist(), first.b[-1].tolist()]):
        rest = lw.descend((X, y), lr=0.1, steps=6, method=method, start=start)
        np.testing.assert_allclose(rest.W[-1], whole.W[-1], rtol=1e-11)
    fit = lw.fit((X, y))
    still = lw.descend((X, y), lr=0.1, steps=3, method=method, start=fit)
    np.testing.assert_allclose(still.W[-1].T, fit.coef, rtol=1e-10)


def test_a_start_of_one_target_may_be_flat() -> None:
    X, y = data()
    flat = lw.descend((X, y), lr=0.1, steps=3, start=([1.0, 2.0, 3.0], 0.5))
    full = lw.descend((X, y), lr=0.1, steps=3, start=([[1.0], [2.0], [3.0]], [0.5]))
    assert (flat.W == full.W).all()
    assert flat.W[0].ravel().tolist() == [1.0, 2.0, 3.0]
    assert flat.b[0].tolist() == [0.5]


@pytest.mark.parametrize("k", [1, 3])
def test_the_module_for_torch_predicts_what_the_run_and_the_fit_predict(k: int) -> None:
    X, y = data(k=k)
    run = lw.descend((X, y), lr=0.1, steps=7, method="autograd")
    for model in (run, run.fit):
        with torch.no_grad():
            out = model.to_torch()(torch.from_numpy(X)).numpy()
        np.testing.assert_allclose(
            out.reshape(len(X), -1), model.predict(X).reshape(len(X), -1), rtol=1e-12
        )
    W, b = run.at(7)
    np.testing.assert_allclose(run.predict(X).reshape(len(X), -1), X @ W + b, rtol=1e-12)


def test_no_steps_leave_the_start() -> None:
    X, y = data()
    for method in METHODS:
        run = lw.descend((X, y), steps=0, method=method)
        assert run.steps == 0
        assert run.loss == pytest.approx([(y**2).mean()])


# ---- the lesson ----


def test_the_lesson_has_the_numbers_of_the_class_document(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    x = torch.randn(100, 1)
    y = 2 * x + 3 + 0.1 * torch.randn(100, 1)
    model = lw.teach.LinearRegression(input_dim=1, output_dim=1, learning_rate=0.1)
    model.train(x, y, epochs=100)
    said = capsys.readouterr().out.splitlines()
    losses = ["19.7387", "0.2763", "0.0107", *["0.0084"] * 8]
    epochs = [1, *range(10, 101, 10)]
    assert said == [f"Epoch {t}/100, Loss: {loss}" for t, loss in zip(epochs, losses, strict=True)]
    found = model.predict(torch.tensor([[4.0]]))
    assert round(found.item(), 4) == 10.9684
    assert not found.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_the_lesson_walks_the_course_of_descend(method: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(100, 2, dtype=torch.float64)
    y = x @ torch.tensor([[2.0], [-1.0]], dtype=torch.float64) + 3
    model = lw.teach.LinearRegression(2, 1, learning_rate=0.1)
    model.weights = model.weights.detach().double().requires_grad_()
    model.bias = model.bias.detach().double().requires_grad_()
    start = model.weights.detach().clone(), model.bias.detach().clone()
    for _ in range(10):
        model.mse_loss(model.forward(x), y).backward()
        model.step()
    W, b = lw.descend((x, y), lr=0.1, steps=10, start=start, method=method).at(10)
    np.testing.assert_allclose(W, model.weights.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(b, model.bias.detach().numpy(), rtol=1e-12)


def test_the_lesson_refuses_targets_that_would_be_paired_with_every_prediction() -> None:
    model = lw.teach.LinearRegression(1, 1)
    x = torch.randn(5, 1)
    with refused(DataError, "(5,)", "(5, 1)", "y.reshape(-1, 1)"):
        model.train(x, x[:, 0], epochs=1)
