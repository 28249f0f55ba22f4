"""Pictures of a descent (extra `plot`): the loss, its contours with the path, the fitted line."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from leastwise.disk import whole_file
from leastwise.errors import UsageError
from leastwise.numerics import Array

ROWS = 500  # drawn as points
GRID = 120  # points of a side of the contours
FAR = 6.0  # how often the first distance a path may leave the picture
HUGE = 1e150  # beyond, matplotlib's axes overflow
MOST = 2_000  # steps drawn of a path
INK, PATH, EXACT, FAINT = "#1f3044", "#c8452d", "#2d7d5a", "#9fb3c8"


def descent(run: Any) -> Any:
    """A matplotlib Figure of three pictures of `run` (a Descent)."""
    figure = _figure()
    axes = figure.subplots(1, 3)
    _losses(axes[0], run)
    _contours(axes[1], run)
    _rows(axes[2], run)
    figure.suptitle(_title(run), fontsize=10, x=0.02, ha="left", color=INK, wrap=True)
    return figure


def checked_file(path: str) -> None:
    """Refuse a file that no picture can be written to, before anything is computed."""
    known = sorted(_figure().canvas.get_supported_filetypes())
    if Path(path).suffix.lstrip(".").lower() not in known:
        raise UsageError(
            f"A picture cannot be written as '{path}'. Its name must end in a format that is known. Try "
            ".png, .svg or .pdf."
        )


def save(figure: Any, path: str) -> None:
    """Write a Figure to a file that appears when it is whole."""
    with whole_file(Path(path)) as file:
        figure.savefig(file, format=Path(path).suffix.lstrip(".").lower(), dpi=150)


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "Pictures need matplotlib, which is not installed. pip install 'leastwise[plot]'."
        ) from None

    class Picture(Figure):
        """A Figure that notebooks show, whether or not pyplot has been told of them."""

        def _repr_png_(self) -> bytes:
            made = BytesIO()
            self.savefig(made, format="png", dpi=100)
            return made.getvalue()

    return Picture(figsize=(13, 4.3), layout="constrained")


def _title(run: Any) -> str:
    facts = run.facts
    lr, limit = facts["limit"]["lr"], facts["limit"]["lr_limit"]
    text = f"{run.steps:,} steps of {facts['how']['optimizer']}"
    if lr is not None:
        text += f", learning rate {lr:.4g}"
    return text + (f" (limit {limit:.4g} = {facts['limit']['formula']})" if limit is not None else "")


# ---- the loss ----


def _losses(ax: Any, run: Any) -> None:
    if run.steps > 100 * MOST:
        points = np.array(run.facts["curve"], float)  # None, of a loss beyond float64, is nan
        steps, loss = points.T
    else:
        steps, loss = np.arange(run.steps + 1), run.loss
    loss = _drawable(loss)
    ax.plot(steps, loss, color=INK, lw=1.6, label="loss")
    if run.training.batch is not None:
        ax.plot(_drawable(run.batch_loss), color=FAINT, lw=0.6, zorder=0, label="of mini-batches")
    if run.validation_loss is not None:
        ax.plot(_drawable(run.validation_loss), color=PATH, lw=1.4, label="held out")
        ax.axvline(run.best_step, color=PATH, lw=0.8, ls=":")
    top, low = np.nanmax(loss), np.nanmin(loss)
    if low > 0 and top > 100 * low:
        ax.set_yscale("log")
    least = run.least
    if least is not None and (ax.get_yscale() == "linear" or least > low / 1e3 > 0):
        ax.axhline(least, color=EXACT, lw=1, ls="--", label="least possible")
    ax.set(xlabel="step", ylabel="loss", title="Loss")
    ax.legend(frameon=False, fontsize=8)


def _drawable(loss: Array) -> Array:
    """Losses that an axis can show; nan for the rest."""
    return np.where(np.abs(loss) < HUGE, loss, np.nan)


# ---- contours ----


def _contours(ax: Any, run: Any) -> None:
    """The loss in the plane of two directions, the others as they are at the minimum."""
    q = run.quadratic
    directions, curvature, labels = _plane(run)
    centre = q.best if run.end is None or q.rank == len(q.best) else _inside(run)
    away = _some(run.course) - centre  # (t, d, k), of which the first target is drawn
    path = away[:, :, 0] @ directions  # (t, 2)
    path = path[np.isfinite(path).all(axis=1)]
    reach = FAR * max(float(np.abs(path[0]).max()), 1e-12 * (1 + float(np.abs(centre).max())))
    outside = np.flatnonzero((np.abs(path) > reach).any(axis=1))
    path = path[: outside[0] + 1] if len(outside) else path
    at = directions.T @ centre[:, 0]  # where the minimum is, in these coordinates
    _level_lines(ax, path, at, curvature)
    ax.plot(*(path + at).T, "-o", color=PATH, lw=1, ms=2.5, label="path")
    ax.plot(*(path[0] + at), "o", color=PATH, ms=7, label="start")
    what = "squared loss" if run.quadratic.l1 else "loss"  # an L1 penalty is no part of the quadratic
    ax.plot(*at, "*", color=EXACT, ms=12, label=f"least {what}")
    ax.set(xlabel=labels[0], ylabel=labels[1], title=f"Contours of the {what}")
    ax.legend(frameon=False, fontsize=8)


def _plane(run: Any) -> tuple[Array, Array, tuple[str, str]]:
    """Two orthogonal directions (d, 2), the Hessian in them (2, 2), and what they are called."""
    q = run.quadratic
    d = len(q.best)
    scaled = " (standardised)" if run.training.standardize else ""
    if d == 2:
        names = [f"w of {run.fit.names[0]}", "b"] if q.intercept else [f"w of {n}" for n in run.fit.names]
        return np.eye(2), q.hessian, (names[0] + scaled, names[1] + scaled)
    if d == 1:
        return np.ones((1, 2)) * [1.0, 0.0], np.diag([q.hessian[0, 0], 0.0]), ("w", "")
    modes = q.modes
    found = modes.directions[:, [0, -1]]
    return found, np.diag(modes.curvature[[0, -1]]), ("along the steepest direction", "along the flattest")


def _inside(run: Any) -> Array:
    """theta (d, k) of where the steps lead."""
    W, b = run.end
    theta = np.vstack([W, b[None]]) if run.quadratic.intercept else W
    return np.asarray(run.quadratic.move.back(theta, run.quadratic.intercept))


def _some(course: Any) -> Array:
    """theta of the first steps, as many as are drawn."""
    if course.steps <= MOST:
        return np.asarray(course.theta)
    steps = np.unique(np.geomspace(1, course.steps, MOST).astype(int))
    return np.stack([course.at(int(t)) for t in [0, *steps]])


def _level_lines(ax: Any, path: Array, at: Array, curvature: Array) -> None:
    low, high = np.minimum(path.min(axis=0), 0), np.maximum(path.max(axis=0), 0)
    span = np.maximum(high - low, 0.15 * float((high - low).max()) + 1e-300)
    middle = (low + high) / 2
    x, y = (np.linspace(m - 0.65 * s, m + 0.65 * s, GRID) for m, s in zip(middle, span, strict=True))
    gx, gy = np.meshgrid(x, y)
    excess = (curvature[0, 0] * gx**2 + 2 * curvature[0, 1] * gx * gy + curvature[1, 1] * gy**2) / 2
    most = float(excess.max())
    if most > 0:
        levels = most * np.linspace(0.04, 1, 12) ** 2
        ax.contour(x + at[0], y + at[1], excess, levels=levels, colors=FAINT, linewidths=0.8)


# ---- the rows ----


def _rows(ax: Any, run: Any) -> None:
    """One feature: points and lines; more: targets against predictions; no rows: the coefficients."""
    found = run.first_rows(ROWS)
    if found is None:
        steps = np.arange(run.steps + 1)
        for j, name in enumerate(run.fit.names[:10]):
            ax.plot(steps, run.W[:, j, 0], lw=1.2, label=name)
        ax.set(xlabel="step", ylabel="coefficient", title="Coefficients")
        ax.legend(frameon=False, fontsize=8)
        return
    X, y = found
    target = run.fit.recipe.target[0]
    if X.shape[1] == 1:
        _line(ax, run, X[:, 0], y[:, 0])
        ax.set(xlabel=run.fit.names[0], ylabel=target, title="Fitted line")
    else:
        W, b = run.parameters(run.steps)
        guess = X @ W[:, 0] + b[0]
        ax.plot(guess, y[:, 0], ".", color=INK, ms=4, alpha=0.6)
        ends = [float(y[:, 0].min()), float(y[:, 0].max())]
        ax.plot(ends, ends, color=EXACT, lw=1, ls="--", label="as predicted")
        ax.set(xlabel="predicted at the end", ylabel=target, title="Targets and predictions")
    ax.legend(frameon=False, fontsize=8)


def _line(ax: Any, run: Any, x: Array, y: Array) -> None:
    ax.plot(x, y, ".", color=INK, ms=6, label="rows")
    ends = np.array([x.min(), x.max()])
    height = float(np.ptp(y)) or 1.0
    for t in sorted({0, *(2**i for i in range(20) if 2**i < run.steps), run.steps}):
        W, b = run.parameters(t)
        line = W[0, 0] * ends + b[0]
        if not np.isfinite(line).all() or np.abs(line - y.mean()).max() > 2 * height:
            continue
        last = t == run.steps
        name = "at the end" if last else "on the way" if t == 0 else None
        ax.plot(ends, line, color=PATH, lw=1.8 if last else 0.8, alpha=1.0 if last else 0.45, label=name)
    if run.end is not None:
        W, b = run.end
        ax.plot(ends, W[0, 0] * ends + b[0], color=EXACT, lw=1.2, ls="--", label="least squares")
    ax.set_ylim(y.min() - 0.6 * height, y.max() + 0.6 * height)
