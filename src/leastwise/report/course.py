"""What is told of a descent: one dictionary of facts, and the verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from leastwise.errors import listed, plural
from leastwise.report.numbers import number

KEPT = 200  # losses in the facts
NEAR = 1e-6  # of what could be gained: where that is left, it has converged
SLOW = 100  # times as many steps as were taken, and a hundredth left: it hardly moves
LOOKED = 1 << 16  # steps of momentum that are looked through for the texts


# ---- facts ----


def facts(run: Any) -> dict[str, Any]:
    """Everything that is told of `run` (a Descent), as plain JSON values."""
    fit, solution = run.fit, run.solution
    found = {
        "data": {
            "source": fit.source, "read": fit.tally.read, "used": fit.tally.used,
            "dropped": dict(fit.tally.dropped), "rows": solution.n,
        },
        "model": {
            "targets": list(fit.recipe.target), "features": len(fit.names),
            "filled": [fit.recipe.names[j] for j in fit.recipe.filled], "weight": fit.recipe.weight,
            "dropped": [] if run.quadratic.l2 else list(solution.dropped),  # a penalty leaves one minimum
            "constant": list(solution.constant),
        },
        "how": _how(run),
        "steps": run.steps,
        "loss": _loss(run),
        "limit": _limit(run),
        "steps_to": {f"{tol:g}": _steps_to(run, tol) for tol in (1e-3, NEAR)},
        "steps_standardised": _steps_standardised(run),
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


def _loss(run: Any) -> dict[str, Any]:
    """Where it began and ended, what is possible, and the share of what could be gained that is left."""
    return {
        "start": _plain(run.course.value(0)), "end": _plain(run.course.value(run.steps)),
        "least": _plain(run.least), "left": _plain(run.left),
        "left_full_batch": _plain(run.left_full_batch), "from_optimal": _plain(run.from_optimal),
        "formula": _formula(run),
    }  # fmt: skip


def _formula(run: Any) -> str:
    k, weighted = len(run.fit.solution.targets), run.fit.recipe.weight is not None
    mean = f"{'weighted ' if weighted else ''}mean((X W + b - y)^2)"
    mean += "" if run.training.loss == "mean" else " / 2"
    share, asked = (2.0 if run.training.loss == "mean" else 1.0) / k, run.training.penalty
    terms = [f"{share * asked.l1:.4g} |W|_1"] if asked.l1 else []
    terms += [f"{share * asked.l2:.4g} |W|^2"] if asked.l2 else []
    return " + ".join([mean, *terms])


def _limit(run: Any) -> dict[str, Any]:
    return {
        "lr": _plain(run.lr), "lr_limit": _plain(run.lr_limit), "lr_best": _plain(run.lr_best),
        "formula": None if run.rule is None else run.rule.limit_formula(),
        "lr_limit_standardised": None if run.training.standardize else _plain(run.lr_standardised),
        "condition": _plain(run.condition), "shrink": _plain(run.shrink),
        "steepest": [{"column": name, "share": share} for name, share in run.steep],
    }  # fmt: skip


def _steps_to(run: Any, tol: float) -> int | None:
    known = run.least is not None and not run.diverges
    return run.steps_to(tol, LOOKED) if known else None


def _steps_standardised(run: Any) -> int | None:
    """How many steps it would take in standardised columns at their best rate; None where it is no help."""
    slow = run.left is not None and run.left > 0.01 and not run.diverges
    return run.steps_standardised(NEAR) if slow and not run.training.standardize else None


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
    """How far the gradient that was followed first is from others': of all rows, or of the first."""
    check = run.gradient_check
    if check is None:
        return None
    return {
        "autograd": check.worst, "numeric": check.worst_numeric, "rows": check.shapes["X"][0],
        "agree": check.agree, "followed": _plain(run.followed_check),
    }  # fmt: skip


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
    """One sentence: diverges and why, converged, stopped, hardly moves, or on its way."""
    if found["diverges"]:
        return _diverges(found)
    held_out = found["validation"]
    if held_out is not None:
        return _stopped(held_out, found["steps"])
    if found["loss"]["least"] is None:
        return _lasso(found)
    left = found["loss"]["left"]
    if left is None or left <= NEAR:
        return "converged: the loss is at its least"
    if left > 1:
        start, end = (number(found["loss"][when]) for when in ("start", "end"))
        return (
            f"the loss has grown, from {start} to {end}: a smaller learning rate, or more steps, are needed"
        )
    return _on_its_way(found, left)


def _stopped(seen: Mapping[str, Any], steps: int) -> str:
    rows = f"the loss on the {plural(seen['rows'], 'row')} held out"
    if seen["best_step"] >= steps:
        return f"{rows} was still going down after {plural(steps, 'step')} ({number(seen['end'])})"
    return (
        f"{rows} was least after {plural(seen['best_step'], 'step')} ({number(seen['best'])}), and those "
        f"parameters are what predicts; after {steps:,} it was {number(seen['end'])}"
    )


def _lasso(found: Mapping[str, Any]) -> str:
    loss = found["loss"]
    slopes = [row["end"] for row in found["parameters"] if row["term"] != "(Intercept)"]
    none = sum(value == 0 for value in slopes)
    zeros = f"{none:,} of {len(slopes):,} coefficients {'is' if none == 1 else 'are'} 0"
    zeros = zeros if none else "no coefficient is 0"
    if loss["from_optimal"] is not None and loss["from_optimal"] <= NEAR:
        return f"converged: no step would lower the loss of {number(loss['end'])}; {zeros}"
    return f"the loss went from {number(loss['start'])} to {number(loss['end'])}; {zeros}"


def _on_its_way(found: Mapping[str, Any], left: float) -> str:
    limit, loss, more = found["limit"], found["loss"], found["steps_to"]["1e-06"]
    text = f"on its way: {percent(left)} of what could be gained is left"
    soon = found["steps_standardised"]
    far = more is None or more > SLOW * max(found["steps"], 1)
    if soon is not None and far and (more is None or more > SLOW * soon):
        most = [one["column"] for one in limit["steepest"]][:3]
        return (
            f"hardly moves: {percent(left)} of what could be gained is left, for the columns differ in "
            f"scale ({listed(most)} {'are' if len(most) > 1 else 'is'} the largest). Standardised "
            f"(standardize=True, --standardize), {count_steps(soon)} come to a millionth"
        )
    full = loss["left_full_batch"]
    if full is not None and left > 3 * full:
        return f"{text}; mini-batches at a constant rate stay at some distance: lower the rate as it goes"
    if more is not None and more > found["steps"]:
        text += f"; a millionth after {count_steps(more)}"
    elif limit["shrink"] is not None and found["how"]["course"] == "closed form":
        text += "; it does not come nearer" if limit["shrink"] >= 1 else "; it would take for ever"
    return text


def _diverges(found: Mapping[str, Any]) -> str:
    limit = found["limit"]
    if limit["lr_limit"] is None or limit["lr"] <= limit["lr_limit"]:
        start, end = (number(found["loss"][when]) for when in ("start", "end"))
        return f"diverges: the loss went from {start} to {'beyond float64' if end == 'n/a' else end}"
    standardised = limit["lr_limit_standardised"]
    helps = standardised is not None and limit["lr"] < standardised
    text = (
        f"diverges: learning rate {limit['lr']:.4g} is above {limit['lr_limit']:.4g} = {limit['formula']}; "
        f"lower it{' or standardise' if helps else ''}"
    )
    most = [one["column"] for one in limit["steepest"] if one["share"] > 0.1]
    if most:
        text += f". It grows along {listed(most)}"
    if standardised:
        text += f"; standardised, the limit would be {standardised:.4g}"
    return text


def percent(share: float) -> str:
    """`0.018 %`, `95 %`, `all`: a share in words."""
    return "all" if share > 0.9995 else f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.4g} %"


def count_steps(count: int) -> str:
    """`1 step`, `4,096 steps`, about 3.7e13 steps."""
    return plural(count, "step") if count < 10**9 else f"about {count:.1e} steps"
