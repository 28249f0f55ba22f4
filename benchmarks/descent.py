"""Gradient descent on the mean squared error: the documents' loop, others on the rows, and moments."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks.clock import Timing, child, here, in_turn, module
from benchmarks.precision import others
from benchmarks.table import Table, installed

EPOCHS, ROUNDS, SEED = 1_000, 5, 0
LR, OTHER, MANY, NEAR = 0.01, 0.02, 100_000, 1e-9
SHAPES = {(100_000, 50): EPOCHS, (1_000_000, 100): 10}  # (rows, columns): epochs of a way on the rows
LOOP = "documents' loop"
GOAL = 1e-10  # of the difference
Course = Any  # theta (epochs + 1, p + 1) after 0, 1, ... epochs, the bias last


@dataclass(frozen=True)
class Way:
    """One way: `work(epochs)` is timed. It gives the course, or `course()` does, or there is None."""

    work: Callable[[int], Course]
    epochs: int = EPOCHS  # to measure
    lr: float = LR
    course: Callable[[], Course] | None = None


# ---- the table ----


def run(options: Namespace) -> Table:
    """Each shape in a fresh process: the smaller on one thread, the larger on all."""
    rows: list[Mapping[str, Any]] = []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for (n, p), threads in zip(SHAPES, (1, cores), strict=True):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LEASTWISE_THREADS")
        begun = time.perf_counter(), others()
        found = json.loads(child(module("descent", n, p), **dict.fromkeys(names, str(threads))))
        busy = (others() - begun[1]) / (time.perf_counter() - begun[0])
        rows += [row | {"others": round(max(busy, 0.0), 1)} for row in found]
    far = [r for r in rows if (r["difference"] or 0.0) > GOAL]
    notes = [
        f"{EPOCHS:,} full-batch epochs from zeros, float64, normal columns, lr {LR:g}; from a seed",
        f"{LOOP}: requires_grad, X @ W + b, mean, backward, update under no_grad, zero_; every way keeps",
        "the loss and the parameters of every epoch, but for further questions, which say what they ask",
        f"in turn in one process for each shape, median of {ROUNDS} rounds after one for the courses",
        f"scaled from E: the seconds of no epoch and {EPOCHS:,} / E times what E epochs take beyond those",
        f"loop / wall, loop / cpu: seconds of the {LOOP} ({EPOCHS:,} epochs) over those of this way",
        "difference: max |theta_t - the loop's| over max |theta_t|, the worst of the epochs that the loop",
        f"was measured over; goal {GOAL:g}",
        "moments at hand: the pass over the rows was made before; again: a further question to such a run",
        "others: cores that other processes kept busy meanwhile; wall seconds beside many are not sound",
        f"beside the versions above: {installed('torch')}",
        *(f"above the goal: {r['shape']}, {r['way']}, {r['difference']:.1e}" for r in far),
    ]
    return Table(f"descent: seconds for {EPOCHS:,} epochs of gradient descent", rows, notes)


def measured(n: int, p: int) -> list[dict[str, Any]]:
    """All ways of one shape, in this process."""
    import torch
    from threadpoolctl import threadpool_limits

    threads, epochs = int(os.environ["LEASTWISE_THREADS"]), SHAPES[n, p]
    torch.set_num_threads(threads)
    threadpool_limits(threads, "blas")
    X, y = made(n, p)
    found = ways(X, y, epochs)
    differences = apart(X, y, found, epochs)
    turns = {name: here(partial(way.work, way.epochs)) for name, way in found.items()}
    some = {name: way for name, way in found.items() if way.epochs < EPOCHS}
    turns |= {f"{name}, no epoch": here(partial(way.work, 0)) for name, way in some.items()}
    times = in_turn(turns, ROUNDS, warm=0)
    for name in some:
        times[name] = scaled(times[f"{name}, no epoch"], times[name], EPOCHS / epochs)
    return [
        {
            "shape": f"{n:,} x {p:,}", "threads": threads, "way": name,
            "measured": f"scaled from {way.epochs}" if way.epochs < EPOCHS else "all",
            "wall s": times[name].wall, "cpu s": times[name].cpu,
            "loop / wall": times[LOOP].wall / times[name].wall,
            "loop / cpu": times[LOOP].cpu / times[name].cpu,
            "difference": differences[name], "over epochs": None if differences[name] is None else epochs,
        }
        for name, way in found.items()
    ]  # fmt: skip


def scaled(none: Timing, some: Timing, times: float) -> Timing:
    """The time of all epochs, from that of none and that of some."""
    return Timing(none.wall + times * (some.wall - none.wall), none.cpu + times * (some.cpu - none.cpu))


def apart(X: Any, y: Any, found: Mapping[str, Way], epochs: int) -> dict[str, float | None]:
    """How far each course is from the loop's at its rate; None where a way has no course."""
    import numpy as np

    loops = {lr: documents_loop(X, y, lr, epochs)[1:] for lr in {way.lr for way in found.values()}}
    differences: dict[str, float | None] = {}
    for name, way in found.items():
        course, loop = way.work(way.epochs), loops[way.lr]
        if way.course is not None:
            course = way.course()
        theta = loop if course is None else course[1 : epochs + 1]
        far = (np.abs(theta - loop).max(axis=1) / np.abs(theta).max(axis=1)).max()
        differences[name] = None if course is None else float(far)
    return differences


def made(n: int, p: int) -> tuple[Any, Any]:
    """Normal columns (n, p), and a target (n,) that is their sum with noise."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    X = np.empty((n, p))
    rng.standard_normal(out=X)
    return X, X @ rng.standard_normal(p) + 3 + 0.1 * rng.standard_normal(n)


# ---- the ways ----


def ways(X: Any, y: Any, epochs: int) -> dict[str, Way]:
    """All ways by name; those on the rows are measured over `epochs`."""
    import leastwise as lw

    moments = lw.Moments.of(X, y)
    before = lw.descend(moments, lr=LR, steps=EPOCHS)
    told(before)

    def at_hand(steps: int) -> Course:
        """Moments keep what was once computed of them, so each descent gets a new view."""
        view = replace(moments, parts=tuple(replace(part) for part in moments.parts))
        return told(lw.descend(view, lr=LR, steps=steps))

    def question(**changes: Any) -> Callable[[int], None]:
        """Another run: its loss after every step, and where it ends."""

        def asked(_: int) -> None:
            again = before.again(**changes)
            _, _ = again.loss, again.at(again.steps)

        return asked

    on_rows = {
        LOOP: documents_loop, "nn.Linear + optim.SGD": linear_and_sgd, "formula in PyTorch": formula,
    }  # fmt: skip
    return {
        **{name: Way(partial(loop, X, y, LR), epochs) for name, loop in on_rows.items()},
        "descend, autograd": Way(partial(descended, X, y, "autograd"), epochs),
        "descend, analytic": Way(partial(descended, X, y, "analytic"), epochs),
        "descend, moments, pass included": Way(partial(descended, X, y, "moments")),
        "descend, moments at hand": Way(at_hand),
        f"again: lr={OTHER:g}, its loss and end": Way(
            question(lr=OTHER), lr=OTHER, course=lambda: told(before.again(lr=OTHER))
        ),
        f"again: {MANY:,} steps, their loss and end": Way(
            question(steps=MANY), course=lambda: told(before.again(steps=MANY))
        ),
        f"steps_to({NEAR:g})": Way(lambda _: (before.steps_to(NEAR), None)[1]),
    }


def documents_loop(X: Any, y: Any, lr: float, epochs: int) -> Course:
    """The loop as the documents write it."""
    import torch

    X, y = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    W = torch.zeros(X.shape[1], 1, dtype=X.dtype, requires_grad=True)
    b = torch.zeros(1, dtype=X.dtype, requires_grad=True)
    course, losses = [joined(W, b)], []
    for _ in range(epochs):
        predictions = X @ W + b
        loss = ((predictions - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            W -= lr * W.grad
            b -= lr * b.grad
            W.grad.zero_()
            b.grad.zero_()
        losses.append(loss.item())
        course.append(joined(W, b))
    return torch.stack(course).numpy()


def linear_and_sgd(X: Any, y: Any, lr: float, epochs: int) -> Course:
    """What PyTorch has for it."""
    import torch

    X, y = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    model = torch.nn.Linear(X.shape[1], 1, dtype=X.dtype)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer, mse = torch.optim.SGD(model.parameters(), lr=lr), torch.nn.MSELoss()
    course, losses = [joined(model.weight, model.bias)], []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = mse(model(X), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        course.append(joined(model.weight, model.bias))
    return torch.stack(course).numpy()


def formula(X: Any, y: Any, lr: float, epochs: int) -> Course:
    """`dL/dW = 2/n X' (X W + b - y)` written out, without autograd."""
    import torch

    X, y, n = torch.from_numpy(X), torch.from_numpy(y)[:, None], len(X)
    W, b = torch.zeros(X.shape[1], 1, dtype=X.dtype), torch.zeros(1, dtype=X.dtype)
    course, losses = [joined(W, b)], []
    for _ in range(epochs):
        residual = X @ W + b - y
        losses.append((residual * residual).mean().item())
        W -= lr * 2 / n * (X.T @ residual)
        b -= lr * 2 / n * residual.sum(dim=0)
        course.append(joined(W, b))
    return torch.stack(course).numpy()


def joined(W: Any, b: Any) -> Any:
    """A copy of all parameters (p + 1,)."""
    import torch

    return torch.cat([W.detach().reshape(-1), b.detach()])


def descended(X: Any, y: Any, method: str, epochs: int) -> Course:
    """Ours, from rows."""
    import leastwise as lw

    return told(lw.descend((X, y), method=method, lr=LR, steps=epochs))


def told(run: Any) -> Course:
    """The course of a run, whose loss and coefficients are asked for."""
    import numpy as np

    loss, coef = run.loss, run.coef
    assert len(loss) == len(coef)
    return np.column_stack([coef, run.intercept])


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].isdigit():
        print(json.dumps(measured(*map(int, sys.argv[1:]))))
    else:
        from benchmarks.__main__ import main

        main(["descent", *sys.argv[1:]])
