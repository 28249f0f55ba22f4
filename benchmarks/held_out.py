"""A fit of sequences as a row of a table: what folds held out, and how well that was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.fitted import Fit
from leastwise.numerics import ranks, spearman

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

SCORES = {"r2": "R2", "rmse": "RMSE", "spearman": "rho"}
READING = [
    "R2, RMSE, rho (Spearman): mean over the folds, and sd their standard deviation; a fold is what `fold`",
    "says, n the rows fitted, scored those that were held out, p the columns of X. rho, all: one Spearman",
    "over the predictions of all held-out rows, whichever fold they were in",
    "alpha of L2(cv) is chosen in every fold anew, by the other folds alone",
]


def scored(fit: Fit, *, told: str = "", near: bool = False) -> dict[str, Any]:
    """The columns of a row: n, p, folds, what a fold is, and scores of the rows held out.

    `told` says what a fold is where the fit was given labels; `near` asks for what stands beside the score:
    intervals for rows not seen, and the nearest relative.
    """
    scores = fit.validation
    row: dict[str, Any] = {"n": fit.solution.n, "p": len(fit.names), "scored": None, "folds": 0}
    if not scores:
        return row | {"fold": told, "no score because": scores.reason}
    _, y, guess, _ = held_out(fit)
    row |= {"scored": len(y), "folds": scores.k, "fold": told or what(fit)}
    for name, short in SCORES.items():
        mean, spread = scores.over_folds(name)
        row |= {short: number(mean), f"{short} sd": number(spread)}
    row["rho, all"] = number(spearman(y, guess))
    return row | (beside(fit) if near else {})


def what(fit: Fit) -> str:
    """What a fold is made of, with how many groups there were."""
    plan = fit.validation.plan
    counted = plan.regime.split(":")[0] not in ("mutations", "target")  # these hold out by a limit
    return f"{plan.groups:,} {plan.told}" if counted else plan.told


def beside(fit: Fit) -> dict[str, Any]:
    """The R2 of the nearest relative's value, and how often intervals of 90 % held, where it is told."""
    told = fit.facts["validation"]
    nearest = (told.get("beside") or {}).get("nearest")
    found = told.get("intervals") or {}
    return {
        "R2 of nearest": None if nearest is None else nearest["mean"]["r2"],
        "in 90 %": found.get("held"), "worst fold": min(found.get("coverage") or [None]),
        "wide": found.get("wide"),
    }  # fmt: skip


def held_out(fit: Fit) -> tuple[Ints, Array, Array, Ints]:
    """Rows (m,) that were held out, y, what was predicted of it meanwhile, and by which fold. One pass."""
    scores, found = fit.validation, []
    for slab in fit.rows.slabs(fit.recipe.reads_all):
        block = fit.recipe.block(slab, stored=True)
        part = scores.plan.deal(block)
        for fold, split in enumerate(scores.plan.splits):
            (here,) = np.nonzero(np.isin(part, split.held))
            guess = block.X[here] @ scores.coef[fold, 0] + scores.intercept[fold, 0]
            found.append((block.rows[here], block.Y[here, 0], guess, np.full(len(here), fold)))
    rows, y, guess, fold = (np.concatenate(some) for some in zip(*found, strict=True))
    return rows, np.asarray(y, np.float64), guess, fold


def auroc(fit: Fit) -> float:
    """The chance that a 1 is predicted above a 0 of the same fold: the mean over folds, by ranks."""
    _, y, guess, fold = held_out(fit)
    found = []
    for one in np.unique(fold):
        rank, hit = ranks(guess[fold == one]), y[fold == one] > 0.5
        found.append((rank[hit].mean() - rank[~hit].mean()) / len(rank) + 0.5)
    return float(np.mean(found))


def on_same_rows(fits: Sequence[Fit]) -> list[dict[str, Any]]:
    """For each fit R2 and RMSE over the rows that all of them held out, their folds together."""
    found = [held_out(fit) for fit in fits]
    common = reduce(np.intersect1d, [rows for rows, *_ in found])
    told = []
    for rows, y, guess, _ in found:
        here = np.isin(rows, common)
        y, sse = y[here], float(((y[here] - guess[here]) ** 2).sum())
        r2, rmse = 1 - sse / float(((y - y.mean()) ** 2).sum()), float(np.sqrt(sse / len(y)))
        told.append({"same rows": len(y), "their R2": r2, "their RMSE": rmse})
    return told


def number(value: Any) -> float | None:
    """A number for a cell; None (a dash) for one that does not exist."""
    return float(value) if np.isfinite(value) else None
