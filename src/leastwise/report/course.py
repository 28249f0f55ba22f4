"""What is told of a descent: one dictionary of facts, and the texts made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from leastwise.errors import listed, plural
from leastwise.report.text import aligned, number

SHOWN = 12  # parameters printed
WIDTH, HEIGHT = 60, 8  # of the loss curve
KEPT = 200  # losses in the facts
NEAR = 1e-6  # of the way: what is called converged
BLOCKS = " ▁▂▃▄▅▆▇█"


# ---- facts ----


def facts(run: Any) -> dict[str, Any]:
    """Everything that is told of `run` (a Descent), as plain JSON values."""
    least = run.least
    found = {
        "data": {
            "source": run.fit.source, "rows": run.solution.n, "features": list(run.fit.names),
            "targets": list(run.fit.recipe.target),
        },
        "how": _how(run),
        "steps": run.steps,
        "loss": {
            "start": _plain(run.course.value(0)), "end": _plain(run.course.value(run.steps)),
            "least": _plain(least), "formula": _formula(run),
        },
        "limit": {
            "lr": _plain(run.lr), "lr_limit": _plain(run.lr_limit), "lr_best": _plain(run.lr_best),
            "formula": None if run.rule is None else run.rule.limit_formula(),
            "lr_limit_standardised": None if run.training.standardize else _plain(run.lr_standardised),
            "condition": _plain(run.condition), "shrink": _plain(run.shrink),
            "steepest": [{"column": name, "share": share} for name, share in run.steep],
        },
        "steps_to": {f"{tol:g}": _steps_to(run, tol) for tol in (1e-3, 1e-6)},
        "diverges": run.diverges,
        "resembles_ridge": _plain(run.ridge_alpha),
        "parameters": _parameters(run),
        "curve": _curve(run),
        "gradient_check": _check(run),
        "validation": _validation(run),
    }  # fmt: skip
    found["verdict"] = verdict(found)
    return found


def _plain(value: Any) -> float | None:
    """A number that JSON has."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def _how(run: Any) -> dict[str, Any]:
    asked = run.training
    batch = asked.batch if asked.batch is not None and asked.batch < run.solution.n else None
    optimizer = run.rule.name if run.rule is not None else _named(asked.optimizer)
    return {
        "method": asked.method, "course": run.course.how, "optimizer": optimizer, "batch": batch,
        "penalty": repr(asked.penalty) if asked.penalty else None,
        "l1": asked.l1 if asked.penalty.l1 else None, "standardize": asked.standardize,
        "scheduled": asked.schedule is not None,
    }  # fmt: skip


def _named(optimizer: Any) -> str:
    if isinstance(optimizer, str):
        return optimizer
    return getattr(optimizer, "__name__", type(optimizer).__name__)


def _formula(run: Any) -> str:
    k = len(run.fit.solution.targets)
    mean = "mean((X W + b - y)^2)" if run.training.loss == "mean" else "mean((X W + b - y)^2) / 2"
    if not run.training.penalty:
        return mean
    share, asked = (2.0 if run.training.loss == "mean" else 1.0) / k, run.training.penalty
    terms = [f"{share * asked.l1:.4g} |W|_1"] if asked.l1 else []
    terms += [f"{share * asked.l2:.4g} |W|^2"] if asked.l2 else []
    return " + ".join([mean, *terms])


def _steps_to(run: Any, tol: float) -> int | None:
    known = run.least is not None and not run.diverges
    return run.steps_to(tol) if known else None


def _parameters(run: Any) -> list[dict[str, Any]]:
    (W0, b0), (W, b), end = run.parameters(0), run.parameters(run.steps), run.end
    names = [*run.fit.names, "(Intercept)"]
    rows = []
    for j, target in enumerate(run.fit.recipe.target):
        values = [np.append(w[:, j], c[j]) for w, c in ((W0, b0), (W, b))]
        exact = np.full(len(names), np.nan) if end is None else np.append(end[0][:, j], end[1][j])
        for name, start, now, best in zip(names, *values, exact, strict=True):
            if name == "(Intercept)" and not run.quadratic.intercept:
                continue
            rows.append(
                {"term": name, "target": target, "start": _plain(start), "end": _plain(now),
                 "exact": _plain(best)}
            )  # fmt: skip
    return rows


def _curve(run: Any) -> list[list[float | None]]:
    """Step and loss, of all steps or of some spread evenly."""
    steps = sorted({round(i * run.steps / KEPT) for i in range(KEPT + 1)})
    return [[t, _plain(run.course.value(t))] for t in steps]


def _check(run: Any) -> dict[str, Any] | None:
    check = run.gradient_check
    if check is None:
        return None
    return {"autograd": check.worst, "numeric": check.worst_numeric, "rows": check.shapes["X"][0]}


def _validation(run: Any) -> dict[str, Any] | None:
    losses = run.validation_loss
    if losses is None:
        return None
    return {
        "rows": run.ground.held_out.n, "best_step": run.best_step, "best": _plain(losses[run.best_step]),
        "end": _plain(losses[-1]), "patience": run.training.patience,
    }  # fmt: skip


# ---- the verdict ----


def verdict(found: Mapping[str, Any]) -> str:
    """One sentence: diverges and why, converged, stopped, or on the way."""
    loss, limit = found["loss"], found["limit"]
    if found["diverges"]:
        return _diverges(found)
    if found["validation"] and found["validation"]["best_step"] < found["steps"]:
        seen = found["validation"]
        return (
            f"the loss on {seen['rows']:,} rows held out was least after {seen['best_step']:,} steps "
            f"({number(seen['best'])}), and {number(seen['end'])} after {found['steps']:,}"
        )
    if loss["least"] is None:
        slopes = [row["end"] for row in found["parameters"] if row["term"] != "(Intercept)"]
        none = sum(value == 0 for value in slopes)
        text = f"the loss went from {number(loss['start'])} to {number(loss['end'])}"
        return f"{text}; {none:,} of {plural(len(slopes), 'coefficient')} {'is' if none == 1 else 'are'} 0"
    way = loss["start"] - loss["least"]
    left = (loss["end"] - loss["least"]) / way if way > 0 and loss["end"] is not None else 0.0
    if abs(left) <= NEAR:
        return "converged: the loss is at its least"
    text = f"on its way: {left:.2g} of the loss above the least is left"
    more = found["steps_to"]["1e-06"]
    if more is not None and more > found["steps"]:
        text += f"; a millionth after {_steps(more)}"
    if more is None and limit["shrink"] is not None and found["how"]["course"] == "closed form":
        text += "; it does not come nearer" if limit["shrink"] >= 1 else "; it would take for ever"
    if found["how"]["batch"]:
        text += "; mini-batches at a constant rate stay at some distance: lower the rate with schedule="
    return text


def _diverges(found: Mapping[str, Any]) -> str:
    limit = found["limit"]
    if limit["lr_limit"] is None or limit["lr"] <= limit["lr_limit"]:
        start, end = (number(found["loss"][when]) for when in ("start", "end"))
        return f"diverges: the loss went from {start} to {end}"
    text = (
        f"diverges: learning rate {limit['lr']:.4g} is above {limit['lr_limit']:.4g} = {limit['formula']}; "
        "lower it or standardise"
    )
    most = [one["column"] for one in limit["steepest"] if one["share"] > 0.1]
    if most:
        text += f". It grows along {listed(most)}"
    if limit["lr_limit_standardised"]:
        text += f"; standardised, the limit would be {limit['lr_limit_standardised']:.4g}"
    return text


# ---- texts ----


def summary(found: Mapping[str, Any]) -> str:
    """What the command line prints."""
    parts = [_head(found), curve(found), _table(found), _limits(found), f"verdict  {found['verdict']}"]
    return "\n\n".join(part for part in parts if part)


def _head(found: Mapping[str, Any]) -> str:
    data, how = found["data"], found["how"]
    of = f"{plural(len(data['features']), 'feature')} of {data['source']}, {plural(data['rows'], 'row')}"
    over = f", mini-batches of {how['batch']:,}" if how["batch"] else ""
    scaled = ", columns standardised" if how["standardize"] else ""
    return (
        f"{', '.join(data['targets'])} on {of}\n"
        f"descent  {plural(found['steps'], 'step')} of {_rate(found)}, {how['optimizer']}{over}{scaled}; "
        f"method {how['method']} ({how['course']})\n"
        f"loss     {found['loss']['formula']}: {number(found['loss']['start'])} -> {_end(found)}"
    )


def _rate(found: Mapping[str, Any]) -> str:
    lr = found["limit"]["lr"]
    changing = ", scheduled" if found["how"]["scheduled"] else ""
    return ("the optimiser's own rate" if lr is None else f"rate {lr:.4g}") + changing


def _end(found: Mapping[str, Any]) -> str:
    loss = found["loss"]
    end = "beyond float64" if loss["end"] is None else number(loss["end"])
    least = "" if loss["least"] is None else f" (least possible {number(loss['least'])})"
    return end + least


def curve(found: Mapping[str, Any]) -> str:
    """The loss curve in characters: the loss, or its logarithm where it runs over a hundredfold."""
    points = [(t, loss) for t, loss in found["curve"] if loss is not None]
    if len(points) < 2:
        return ""
    steps, losses = zip(*points, strict=True)
    at = np.linspace(0, len(points) - 1, min(WIDTH, max(2, len(points)))).round().astype(int)
    heights = np.array([losses[i] for i in at])
    logs = heights.min() > 0 and heights.max() > 100 * heights.min()
    shown = np.log10(heights) if logs else heights
    span = float(shown.max() - shown.min())
    levels = np.full(len(at), 1.0) if span == 0 else 1 + (shown - shown.min()) / span * (8 * HEIGHT - 1)
    lines = []
    for row in range(HEIGHT - 1, -1, -1):
        cells = "".join(BLOCKS[int(np.clip(round(level) - 8 * row, 0, 8))] for level in levels)
        edge = (
            number(float(heights.max()))
            if row == HEIGHT - 1
            else number(float(heights.min()))
            if row == 0
            else ""
        )
        lines.append(f"{edge:>12} |{cells}".rstrip())
    scale = " (log scale)" if logs else ""
    lines.append(f"{'':12} +{'-' * len(at)}")
    last = f"{steps[-1]:,}"
    lines.append(f"{'':12}  0{last.rjust(max(len(at) - 1, len(last)))} steps{scale}")
    return "\n".join(lines)


def _table(found: Mapping[str, Any]) -> str:
    rows = found["parameters"]
    several = len(found["data"]["targets"]) > 1
    shown = rows if len(rows) <= SHOWN + 1 else rows[:SHOWN]
    exact = found["loss"]["least"] is not None
    head = [*(["target"] if several else []), "term", "start", "end", *(["exact"] if exact else [])]
    body = [
        [
            *([row["target"]] if several else []),
            row["term"],
            number(row["start"]),
            "beyond float64" if row["end"] is None else number(row["end"]),
            *([number(row["exact"])] if exact else []),
        ]
        for row in shown
    ]
    text = aligned([head, *body], left={0, *([1] if several else [])})
    more = len(rows) - len(shown)
    return text + (f"\n... and {plural(more, 'parameter')} more" if more else "")


def _limits(found: Mapping[str, Any]) -> str:
    """What is known of the rate, and of how long it takes."""
    limit, lines = found["limit"], []
    if limit["lr_limit"] is not None:
        text = f"rate     {limit['lr']:.4g} of at most {limit['lr_limit']:.4g} = {limit['formula']}"
        text += f"; best {limit['lr_best']:.4g}"
        shrink = limit["shrink"]
        if shrink is not None:
            text += f", and errors {_pace(shrink)} per step"
        lines.append(text)
    lines.append(_shape(limit))
    near = {tol: steps for tol, steps in found["steps_to"].items() if steps is not None}
    if near:
        words = {"0.001": "a thousandth", "1e-06": "a millionth"}
        said = ", ".join(f"{words[tol]} after {_steps(steps)}" for tol, steps in near.items())
        lines.append(f"steps    left of the loss above the least: {said}")
    if found["resembles_ridge"]:
        about = f"lw.L2({found['resembles_ridge']:.3g})"
        lines.append(f"ridge    stopping here resembles a penalty of about {about}")
    lines.append(_checked(found["gradient_check"]))
    if found["how"]["l1"] == "subgradient":
        lines.append(
            "l1       the plain subgradient jumps about zero and never reaches it; l1='proximal' steps do"
        )
    return "\n".join(line for line in lines if line)


def _pace(shrink: float) -> str:
    """`shrink x0.9143`, `grow x1.082`; where that would be x1, by what share."""
    way = "grow" if shrink > 1 else "shrink"
    return (
        f"{way} x{shrink:.4g}"
        if abs(shrink - 1) >= 5e-4
        else f"{way} by {abs(1 - shrink):.2g} of themselves"
    )


def _steps(count: int) -> str:
    """`1 step`, `4,096 steps`, about 3.7e13 steps."""
    return plural(count, "step") if count < 10**9 else f"about {count:.1e} steps"


def _shape(limit: Mapping[str, Any]) -> str:
    if limit["condition"] is None:
        return ""
    most = [one["column"] for one in limit["steepest"] if one["share"] > 0.1]
    text = f"shape    condition {limit['condition']:.3g}; steepest along {listed(most)}"
    other = limit["lr_limit_standardised"]
    return text + (f"; standardised, rates up to {other:.4g}" if other else "")


def _checked(check: Mapping[str, Any] | None) -> str:
    if check is None:
        return ""
    return (
        f"gradient formula vs autograd {check['autograd']:.1e}, vs central differences "
        f"{check['numeric']:.1e} (first {plural(check['rows'], 'row')})"
    )


def lesson(found: Mapping[str, Any]) -> str:
    """The repr: the run in a few lines."""
    first = number(found["loss"]["start"])
    lines = [
        f"Descent: {plural(found['steps'], 'step')}, loss {first} -> {_end(found)}",
        f"  {found['verdict']}",
    ]
    for row in found["parameters"][:6]:
        of = f" of {row['target']}" if len(found["data"]["targets"]) > 1 else ""
        exact = "" if row["exact"] is None else f" (exact {number(row['exact'])})"
        now = "beyond float64" if row["end"] is None else number(row["end"])
        lines.append(f"  {row['term']}{of} {number(row['start'])} -> {now}{exact}")
    if len(found["parameters"]) > 6:
        lines.append(f"  ... and {plural(len(found['parameters']) - 6, 'parameter')} more")
    lines += [
        f"  {line}" for line in _limits(found).splitlines() if line[:5] in ("gradi", "rate ", "l1   ")
    ]
    return "\n".join(lines)
