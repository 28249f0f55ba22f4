"""The texts of a descent, made of its facts: what the terminal shows, and the few lines of a repr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from leastwise.errors import listed, plural
from leastwise.report.course import count_steps
from leastwise.report.numbers import number
from leastwise.report.text import aligned, data_lines

SHOWN = 12  # parameters printed
WIDTH, HEIGHT = 60, 8  # of the loss curve
BLOCKS = " ▁▂▃▄▅▆▇█"


def summary(found: Mapping[str, Any]) -> str:
    """What the command line prints."""
    parts = [_head(found), curve(found), _table(found), _limits(found), f"verdict  {found['verdict']}"]
    return "\n\n".join(part for part in parts if part)


def _head(found: Mapping[str, Any]) -> str:
    how, model = found["how"], found["model"]
    over = f", mini-batches of {how['batch']:,}" if how["batch"] else ""
    scaled = ", columns standardised" if how["standardize"] else ""
    lines = [data_lines(found)]
    if model["dropped"]:
        lines.append(
            f"columns  {listed(model['dropped'], most=4)} depend on others: many minima; 'exact' is the "
            "one that the steps lead to"
        )
    if model["constant"]:
        lines.append(f"constant {listed(model['constant'], most=4)}: no different from the intercept")
    lines += [
        f"descent  {plural(found['steps'], 'step')} of {_rate(found)}, {how['optimizer']}{over}{scaled}; "
        f"method {how['method']} ({how['course']})",
        f"loss     {found['loss']['formula']}: {number(found['loss']['start'])} -> {_end(found)}",
    ]
    if how["penalty"]:
        lines.append(
            f"penalty  {how['penalty']}: of 1/(2n) SSE, so twice it (over targets) beside the mean"
        )
    return "\n".join(lines)


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
    """The loss curve in characters, from the least possible; its logarithm where it spans a hundredfold."""
    points = [(t, loss) for t, loss in found["curve"] if loss is not None]
    if len(points) < 2:
        return ""
    steps, losses = zip(*points, strict=True)
    at = np.linspace(0, len(points) - 1, min(WIDTH, len(points))).round().astype(int)
    heights = np.array([losses[i] for i in at])
    low, top = float(heights.min()), float(heights.max())
    logs = low > 0 and top > 100 * low
    least = found["loss"]["least"]
    foot = low if logs or least is None else min(low, least)
    shown, start = (np.log10(heights), np.log10(foot)) if logs else (heights, foot)
    span = float(shown.max() - start)
    levels = 1 + (shown - start) / span * (8 * HEIGHT - 1) if span > 0 else np.ones(len(at))
    return _drawn(levels, {HEIGHT - 1: number(top), 0: number(foot)}, logs, steps[-1])


def _drawn(levels: Any, edges: dict[int, str], logs: bool, last: int) -> str:
    width = max(12, *(len(edge) for edge in edges.values()))
    lines = [f"{'loss, log scale' if logs else 'loss':>{width}}"]
    for row in range(HEIGHT - 1, -1, -1):
        cells = "".join(BLOCKS[int(np.clip(round(level) - 8 * row, 0, 8))] for level in levels)
        lines.append(f"{edges.get(row, ''):>{width}} |{cells}".rstrip())
    lines.append(f"{'':{width}} +{'-' * len(levels)}")
    far = f"{last:,}"
    lines.append(f"{'':{width}}  0{far.rjust(max(len(levels) - 1, len(far)))} steps")
    return "\n".join(lines)


def _table(found: Mapping[str, Any]) -> str:
    rows = found["parameters"]
    several = len(found["model"]["targets"]) > 1
    shown = rows if len(rows) <= SHOWN + 1 else rows[:SHOWN]
    exact = found["loss"]["least"] is not None
    head = [*(["target"] if several else []), "term", "start", "end", *(["exact"] if exact else [])]
    body = [
        [
            *([row["target"]] if several else []),
            row["term"],
            number(row["start"]),
            _now(row),
            *([number(row["exact"])] if exact else []),
        ]
        for row in shown
    ]
    text = aligned([head, *body], left={0, *([1] if several else [])})
    more = len(rows) - len(shown)
    return text + (f"\n... and {plural(more, 'parameter')} more" if more else "")


def _now(row: Mapping[str, Any]) -> str:
    return "beyond float64" if row["end"] is None else number(row["end"])


def _limits(found: Mapping[str, Any]) -> str:
    """What is known of the rate, and of how long it takes."""
    lines = [_of_rate(found["limit"]), _shape(found["limit"])]
    near = {tol: steps for tol, steps in found["steps_to"].items() if steps is not None}
    if near:
        words = {"0.001": "a thousandth", "1e-06": "a millionth"}
        said = ", ".join(f"{words[tol]} after {count_steps(steps)}" for tol, steps in near.items())
        lines.append(f"left     of what could be gained: {said}")
    left = found["loss"]["left"]
    if found["resembles_ridge"] and left is not None and left > 0.01:
        about = f"lw.L2({found['resembles_ridge']:.3g})"
        lines.append(f"ridge    stopping so early resembles a penalty of about {about}")
    lines.append(_checked(found["gradient_check"]))
    if found["how"]["l1"] == "subgradient":
        lines.append(
            "l1       the plain subgradient jumps about zero and never reaches it; l1='proximal' steps do"
        )
    return "\n".join(line for line in lines if line)


def _of_rate(limit: Mapping[str, Any]) -> str:
    if limit["lr_limit"] is None:
        return ""
    text = f"rate     {limit['lr']:.4g} of at most {limit['lr_limit']:.4g} = {limit['formula']}"
    if limit["lr_best"] is not None:
        text += f"; best in the long run {limit['lr_best']:.4g}"
    return text if limit["shrink"] is None else f"{text}; errors {_pace(limit['shrink'])} per step"


def _pace(shrink: float) -> str:
    """`shrink x0.9143`, `grow x1.082`; where that would be x1, by what share."""
    way = "grow" if shrink > 1 else "shrink"
    if abs(shrink - 1) >= 5e-4:
        return f"{way} x{shrink:.4g}"
    return f"{way} by {abs(1 - shrink):.2g} of themselves" if shrink != 1 else "stay as they are"


def _shape(limit: Mapping[str, Any]) -> str:
    if limit["condition"] is None or not limit["steepest"]:
        return ""
    text = f"shape    condition {limit['condition']:.3g}"
    if limit["condition"] >= 2:
        text += f"; steepest along {listed([one['column'] for one in limit['steepest']][:3])}"
    other = limit["lr_limit_standardised"]
    return text + (f"; standardised, rates up to {other:.4g}" if other else "")


def _checked(check: Mapping[str, Any] | None) -> str:
    if check is None:
        return ""
    verdict = "they agree" if check["agree"] else "THEY DO NOT AGREE"
    text = (
        f"gradient formula vs autograd {check['autograd']:.1e}, vs central differences "
        f"{check['numeric']:.1e} (first {plural(check['rows'], 'row')}): {verdict}"
    )
    if check["followed"] is not None:
        text += f"; moments vs autograd of all rows {check['followed']:.1e}"
    return text


def lesson(found: Mapping[str, Any]) -> str:
    """The repr: the run in a few lines."""
    first = number(found["loss"]["start"])
    lines = [
        f"Descent: {plural(found['steps'], 'step')}, loss {first} -> {_end(found)}",
        f"  {found['verdict']}",
    ]
    for row in found["parameters"][:6]:
        of = f" of {row['target']}" if len(found["model"]["targets"]) > 1 else ""
        exact = "" if row["exact"] is None else f" (exact {number(row['exact'])})"
        lines.append(f"  {row['term']}{of} {number(row['start'])} -> {_now(row)}{exact}")
    if len(found["parameters"]) > 6:
        lines.append(f"  ... and {plural(len(found['parameters']) - 6, 'parameter')} more")
    told = ("gradient", "rate", "l1")
    lines += [f"  {line}" for line in _limits(found).splitlines() if line.split()[0] in told]
    return "\n".join(lines)
