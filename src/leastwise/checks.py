"""What is refused, and why: each check says what came, what is needed and what to do."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from leastwise.errors import ColumnError, DataError, MomentsError, UsageError, listed, plural
from leastwise.fitted import Tally
from leastwise.folds import ALONE, FoldPlan, enough
from leastwise.inference import CLUSTERED, cluster_is_number
from leastwise.moments import Moments
from leastwise.options import Options
from leastwise.recipe import Recipe
from leastwise.rows import Rows
from leastwise.solve import Solution

MOST_COLUMNS = 2_000  # of exact moments: ten matrices of integers, and p^3 products of them


def standard_errors(rows: Rows, recipe: Recipe, options: Options) -> None:
    """Standard errors that cannot be had are refused before the rows are read."""
    kind, by = options.se, recipe.cluster
    if by is not None and options.shrinks:
        raise UsageError(
            f"cluster='{by}' is for standard errors, and a penalty or bounds leave none. Leave it out; "
            "rows that belong together in folds are named with group=."
        )
    if by is not None and rows.is_text and recipe.reads.get(by) == "number":
        raise ColumnError(cluster_is_number(by))
    if kind is None:
        return
    if kind in CLUSTERED and recipe.cluster is None and recipe.group is None:
        raise UsageError(
            f"se='{kind}' needs clusters, and none were named. Name their column with cluster= (--cluster)."
        )
    if kind not in CLUSTERED and recipe.cluster is not None:
        raise UsageError(
            f"cluster='{recipe.cluster}' was named, and se='{kind}' knows no clusters. Pass se='CR1' "
            "(--se CR1), or leave cluster out."
        )
    if kind != "classical" and not rows.rereadable:
        raise UsageError(
            f"se='{kind}' takes the rows once more, for residuals are not in the moments, and "
            f"{rows.source} can be read once. Write it to a file first, or pass se='classical'."
        )


def regime(recipe: Recipe, options: Options) -> None:
    """How sequences are dealt to folds is refused where there are none, or others."""
    if recipe.regime is not None and (options.folds == 0 or isinstance(options.folds, str)):
        raise UsageError(
            f"'{recipe.regime}' says how rows are dealt to folds, and folds={options.folds!r} came. Leave "
            "one of them out."
        )


def width(recipe: Recipe) -> None:
    """Exact moments have a size beyond which they would not fit."""
    if len(recipe.names) > MOST_COLUMNS:
        raise UsageError(
            f"precision='exact' is for up to {MOST_COLUMNS:,} columns, and here are {len(recipe.names):,}: "
            "its matrix of integers would not fit. Name fewer features, or pass precision='fast'."
        )


def kinds(target: Any, recipe: Any, options: Any) -> None:
    """What cannot be a target, a recipe or options at all."""
    if target is not None and not isinstance(target, (str, list, tuple)):
        raise UsageError(
            f"target is {type(target).__name__}; the name of a column is needed. To fit arrays, pass them "
            "as one pair: fit((X, y))."
        )
    for what, kind in ((recipe, Recipe), (options, Options)):
        if what is not None and not isinstance(what, kind):
            raise UsageError(
                f"{kind.__name__.lower()}={what!r} is no {kind.__name__}. Make one, or leave it."
            )


def used(rows: Rows, tally: Tally) -> None:
    """Rows that can be used there must be."""
    if tally.read == 0:
        how = "Check how it was written." if rows.rereadable else "A stream can be read once: make it anew."
        raise DataError(f"{rows.source} has no rows. Some are needed. {how}")
    if tally.used == 0:
        why = "; ".join(f"{count:,} because {reason}" for reason, count in tally.dropped.items())
        raise DataError(
            f"No row of {tally.read:,} is left: {why}. Some must be usable. Fill the gaps, leave the "
            "emptiest columns out, or pass missing='mean'."
        )


def target(moments: Moments, solution: Solution) -> None:
    """A target that does not vary cannot be explained."""
    for name, spread in zip(solution.targets, solution.tss, strict=True):
        mean = float(moments.mean[len(moments.names) + solution.targets.index(name)])
        if spread == 0 and (solution.coef.any() or 0 < abs(mean) < 1e-140):
            raise DataError(
                f"The values of the target '{name}' are so small that their squares vanish in float64. "
                "Sizes above 1e-140 are needed. Put it in smaller units."
            )
        if spread == 0:
            value = moments.mean[len(moments.names) + solution.targets.index(name)]
            raise DataError(
                f"The target '{name}' is {value:g} in all {plural(moments.n, 'row')}. There is nothing to "
                "explain. Check that it is the right column."
            )


def tiny(moments: Moments, solution: Solution) -> None:
    """A column below 1e-154 vanishes when squared: it varies, but moments cannot see it."""
    for name in solution.constant:
        mean = moments.mean[moments.names.index(name)]
        if 0 < abs(mean) < 1e-140:
            raise DataError(
                f"The values of column '{name}' are near {mean:.0e}, and their squares vanish in float64. "
                "Sizes above 1e-140 are needed. Put the column in smaller units."
            )


def folds(moments: Moments, solution: Solution, options: Options) -> None:
    """Only folds that were asked for are an error; the default gives way, with the reason."""
    if options.folds not in (None, 0, ALONE) and (reason := enough(moments, solution.needs)):
        raise UsageError(
            f"{options.folds} folds were asked for, but {reason}. Ask for fewer (folds=..., --folds), "
            "or leave it to the data."
        )


def kept(moments: Moments, chosen: Options) -> None:
    """What moments do not hold cannot be asked of them."""
    if chosen.precision == "exact" and not moments.exact:
        raise UsageError(
            "These moments were rounded when they were made. Condense the rows with precision='exact', or "
            "leave it out here."
        )
    if chosen.se not in (None, "classical"):
        raise UsageError(
            f"se='{chosen.se}' takes the rows once more, for residuals are not in the moments. Fit from "
            "the rows, or leave it out."
        )


def past(moments: Moments, target: Any, recipe: Recipe | None, common: dict[str, Any]) -> None:
    """What was settled when the moments were made cannot be asked for otherwise now."""
    known = {f.name for f in fields(Options)}
    odd = sorted(set(common) - known) + ["recipe"] * (recipe is not None)
    if odd:
        raise UsageError(
            f"Moments are past {listed(odd)}: only {listed(sorted(known - {'progress'}))} apply. "
            "Leave them out."
        )
    if moments.n == 0:
        raise MomentsError("These moments hold no rows. Add some first.")
    wanted = (target,) if isinstance(target, str) else tuple(target or moments.targets)
    if wanted != moments.targets:
        raise UsageError(f"These moments have the target {listed(moments.targets)}, not {target!r}.")


def plan(plan: FoldPlan | None, chosen: Options) -> None:
    """Folds were made with the moments, and cannot be made otherwise now."""
    made = (plan.folds or plan.k, plan.seed) if plan is not None else (None, 0)
    if chosen.folds not in (None, 0, made[0]) or chosen.seed not in (0, made[1]):
        raise UsageError(
            f"These moments were made with folds={made[0]} and seed={made[1]}, not folds={chosen.folds} "
            f"and seed={chosen.seed}. Condense anew, or leave both out."
        )
    repeats = plan.repeats if plan is not None else 1
    if chosen.repeats not in (1, repeats):
        raise UsageError(
            f"These moments were made with repeats={repeats}, not {chosen.repeats}. Condense anew, or "
            "leave it out."
        )
