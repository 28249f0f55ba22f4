"""What is told beside the score of sequences and groups, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leastwise.errors import plural
from leastwise.report.numbers import number, with_spread

NO_LIMIT = 0.995  # R2 that repeats leave, from which nothing is told of it


def companions(beside: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table of scores: the nearest relative, and the random split that flatters."""
    named = {
        "the nearest relative": beside["nearest"], "random split: this model": beside["random"],
        "random split: the nearest": beside["nearest_random"],
    }  # fmt: skip
    rows = []
    for name, found in named.items():
        if found is None:
            continue
        mean, sd = found["mean"], found["sd"]
        scores = ("r2", "rmse", "mae", "spearman")
        rows.append([name, *(with_spread(mean[s], sd[s]) if s in mean else "" for s in scores)])
    return rows


def sentences(scores: Mapping[str, Any], j: int | None) -> list[str]:
    """How often intervals held, and what repeated measurements leave to any model."""
    lines = []
    if found := scores.get("intervals"):
        held, wide = (value if j is None else value[j] for value in (found["held"], found["wide"]))
        sure = f"{found['guaranteed']:.0%} is certain where folds are alike"
        if scores["folds"] == 1:  # errors of one side say little of the other
            sure = "made of the errors on the other side: nothing is certain where the two differ"
        lines.append(
            f"interval {found['level']:.0%} for what was not seen (CV+): {number(wide)} wide; held for "
            f"{held:.1%} of the rows left out, {sure}"
        )
    beside = scores.get("beside")
    if beside is not None and j in (None, 0) and beside["certificate"]:
        lines.append(_certificate(beside["certificate"]))
    ceiling = None if beside is None else beside["ceiling"]
    told = ceiling is None or ceiling < NO_LIMIT
    if beside is not None and j in (None, 0) and beside["repeated"] and told:
        says = f"no model can expect R2 above {ceiling:.2f}"
        if ceiling is None or ceiling <= 0:
            says = "as far as sequences differ among each other, so these few say nothing of a limit"
        lines.append(
            f"noise    {plural(beside['repeated'], 'sequence')} measured more than once, apart by "
            f"{number(beside['within'])} (SD): {says}"
        )
    return lines


def _certificate(found: Mapping[str, Any]) -> str:
    """How near held-out sequences are to training ones, among the pairs that were aligned."""
    asked = "every pair" if found["exhaustive"] else "the likest of each sequence"
    near = f"the nearest is {found['highest']:.1%} identical" if found["highest"] else "none is near"
    kept = (
        f"{found['related']:,} held-out rows have a relative in training"
        if found["related"]
        else "among them no held-out sequence has a relative in training"
    )
    alone = "" if not found["highest"] else f"; {found['alone']:.0%} of the rows have none at all"
    proof = "" if found["exhaustive"] else "; `leastwise split` aligns all of test against train"
    return f"kinship  {found['pairs']:,} pairs aligned ({asked}): {kept}, {near}{alone}{proof}"


def banded(scores: Mapping[str, Any]) -> list[list[str]]:
    """Errors of the random split by identity to the nearest in training, with a head; [] for none."""
    found = scores.get("beside", {}).get("bands", [])
    if not found:
        return []
    head = ["random split, nearest in training", "rows", "RMSE", "the mean's", "the nearest's"]
    return [
        head,
        *(
            [_band(one), f"{one['n']:,}", *(number(one[s]) for s in ("rmse", "mean_rmse", "nearest_rmse"))]
            for one in found
        ),
    ]


def _band(band: Mapping[str, Any]) -> str:
    if band["low"] is None:
        return "no relative"
    if band["low"] == 0:
        return f"below {band['high']:.0%} identical"
    return f"{band['low']:.0%} to {band['high']:.0%} identical"
