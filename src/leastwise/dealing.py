"""How the rows of a source are dealt to folds: what has to be looked up before the pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from leastwise.errors import MissingError, UsageError, plural
from leastwise.folds import ALONE, DEFAULT, SMALL_PARTS, FoldPlan
from leastwise.look import Look, look
from leastwise.options import Options
from leastwise.recipe import Recipe, explain_missing
from leastwise.related import Kindred, measured
from leastwise.rows import Rows, Slab
from leastwise.rows.block import WITHIN
from leastwise.sequences.regimes import GROUPED, Regime, choose, deal

MOST_FOLDS = 1_000
FEW = 100  # rows up to which folds by hash would come out uneven, or empty


def plan_of(
    rows: Rows, recipe: Recipe, options: Options, *, alone: bool
) -> tuple[FoldPlan | None, str, Kindred | None]:
    """How rows are to be dealt to folds, or None and why there are none; and what is known of kin.

    `alone`: all rows are here, so that folds may be made of one size; parts that are to be added to
    others are dealt by hashes.
    """
    if options.folds in (0, ALONE):
        if options.folds == ALONE and not alone:
            raise UsageError(
                f"folds='{ALONE}' takes the rows once more, and moments hold none. Give it to fit, or a "
                "number of folds."
            )
        return None, "", None
    if isinstance(options.folds, str):
        return _by_labels(rows, recipe, options.folds, alone), "", None
    k = options.folds or DEFAULT
    if rows.n is not None and options.folds and k > max(rows.n, 2):
        raise UsageError(
            f"{k} folds were asked for, but {rows.source} has {plural(rows.n, 'row')}. Ask for fewer."
        )
    parts = k if options.repeats == 1 else k * SMALL_PARTS
    if parts > MOST_FOLDS:
        raise UsageError(f"{k} folds are too many: each holds moments. Ask for {MOST_FOLDS} at most.")
    kindred = None
    if recipe.regime is not None and not (rows.rereadable and alone):
        why = "are read once" if alone else "may be a part of them"
        raise UsageError(
            f"'{recipe.regime}' has to know all sequences before the pass, and these rows {why}. Fit from "
            "a file, or name a column with group= (--group)."
        )
    if recipe.sequence is not None and recipe.named_groups is None and rows.rereadable and alone:
        plan, reason, kindred = _by_regime(rows, recipe, options, k, parts)
    else:
        plan, reason = _dealt(rows, recipe, options, parts, alone)
    if plan is not None and options.repeats > 1:
        plan = replace(plan, folds=min(k, plan.k), repeats=options.repeats)
    return plan, reason, kindred


def _dealt(
    rows: Rows, recipe: Recipe, options: Options, parts: int, alone: bool
) -> tuple[FoldPlan | None, str]:
    """Rows dealt to so many parts: by content, or by group."""
    if recipe.together is None:
        few = _few_hashes(rows, recipe, options) if alone and rows.rereadable else None
        if few is None:
            return FoldPlan(parts, options.seed), ""
        most = len(np.unique(few)) if options.repeats > 1 else parts
        return FoldPlan.of_few(few, min(parts, max(most, 2)), options.seed), ""
    if not rows.rereadable or not alone:
        return FoldPlan(parts, options.seed, "group"), ""
    sizes = _sizes(rows, recipe)
    if len(sizes) < 2 and not options.folds:
        return None, "all rows are of one group; name another column with group= (--group)"
    parts = _as_many(parts, len(sizes), options)
    return FoldPlan.of_groups(sizes, parts, options.seed), ""


def _as_many(parts: int, groups: int, options: Options) -> int:
    """How many parts groups are dealt to; what was asked for and cannot be is refused by who deals."""
    if not options.folds or (options.repeats > 1 and groups >= int(options.folds)):
        return min(parts, groups)
    return int(options.folds) if options.repeats > 1 else parts


def _by_regime(
    rows: Rows, recipe: Recipe, options: Options, k: int, parts: int
) -> tuple[FoldPlan | None, str, Kindred]:
    """Sequences dealt by the regime that was asked for, or that goes with them."""
    with explaining(rows, recipe):
        found = measured(rows, recipe)
    regime = (Regime.of(recipe.regime) if recipe.regime else None) or choose(found.cells, k)
    if options.repeats > 1 and regime.kind not in GROUPED:
        raise UsageError(
            f"repeats={options.repeats} deals folds anew, and '{regime}' can be dealt in one way only. "
            "Leave repeats out."
        )
    if options.seed and recipe.regime and regime.kind == "position":
        raise UsageError(
            f"seed={options.seed} deals rows, and '{regime}' leaves nothing to deal. Leave it out."
        )
    if options.folds and regime.kind in ("mutations", "target"):
        raise UsageError(f"'{regime}' holds out once, and folds={options.folds} came. Leave it out.")
    dealt = deal(found.cells, regime, parts, options.seed, options.progress)
    kindred = Kindred(found, dealt)
    if regime.kind == "position" and options.folds and dealt.groups < int(options.folds):
        raise UsageError(
            f"{options.folds} folds were asked for and {plural(dealt.groups, 'position')} vary. Each needs "
            f"one. Pass folds={dealt.groups} or fewer."
        )
    if regime.kind in GROUPED:
        if dealt.groups < 2 and not options.folds:
            why = (
                "all sequences are related: they make one group; name a column (for variants: the position)"
            )
            return None, f"{why} with group= (--group)", kindred
        free = dealt.parts - len(dealt.always)
        if options.folds and free < k:
            raise UsageError(
                f"{k} folds were asked for and there are {plural(dealt.groups, 'group')} that can be held "
                f"out. Every fold needs one of its own. Pass folds={max(free, 2)} or fewer (--folds)."
            )
    places = dict(zip(found.cells.texts, dealt.part.tolist(), strict=True))
    return FoldPlan.of_parts(places, dealt, options.seed), "", kindred


def _by_labels(rows: Rows, recipe: Recipe, way: str, alone: bool) -> FoldPlan:
    """Each group a fold of its own."""
    if recipe.named_groups is None:
        raise UsageError(
            f"folds='{way}' takes a column that says which rows belong together. "
            "Name it with group= (--group)."
        )
    if not rows.rereadable or not alone:
        raise UsageError(
            f"folds='{way}' has to know all groups before the pass, and "
            + (
                "a stream is read once. Write it to a file first, or give a number of folds."
                if alone
                else "condense sees a part of the rows. Give the folds to fit, or a number of them here."
            )
        )
    sizes = _sizes(rows, recipe)
    if not sizes:
        raise UsageError(
            f"No row of {rows.source} has a label in '{recipe.named_groups}' that folds could be made of. "
            "Some must be trained on and some held out. Look at that column."
        )
    if len(sizes) > MOST_FOLDS:
        raise UsageError(
            f"There are {len(sizes):,} groups, and each would be a fold, which holds moments. Ask for a "
            f"number of folds, {MOST_FOLDS} at most."
        )
    return FoldPlan.of_labels(sizes, predefined=way == "predefined")


@contextmanager
def explaining(rows: Rows, recipe: Recipe) -> Iterator[None]:
    """A missing cell, said of one slab, is counted over the whole source before it is told."""
    try:
        yield
    except MissingError as error:
        seen = look(rows, recipe.reads_all, recipe.kept) if rows.rereadable else Look()
        raise explain_missing(seen, recipe) or error from None


def _few_hashes(rows: Rows, recipe: Recipe, options: Options) -> NDArray[np.uint64] | None:
    """The contents (n,) of a source of few rows; None where there are many."""
    found: list[NDArray[np.uint64]] = []
    for slab in rows.ahead(recipe.reads_all):
        if slab.n + sum(map(len, found)) > FEW:
            return None
        try:
            found.append(FoldPlan(2, options.seed).hashes(recipe.block(slab)))
        except MissingError:
            return None  # told with all its counts by the pass
    return np.concatenate(found) if found else None


def _sizes(rows: Rows, recipe: Recipe) -> dict[str, int]:
    """How many rows that can be used each group (or sequence) has."""
    name = recipe.together or ""
    every = recipe.missing == "error" and recipe.weight is None
    simple = every and recipe.unknown != "drop" and not recipe.sides  # then no row can be left out
    kinds = {name: recipe.reads_all[name]} if simple else recipe.reads_all

    def step(slab: Slab) -> Look:
        group = slab.texts(name) if simple else recipe.block(slab, stored=True).group
        return Look.of_texts(name, pc.replace_substring_regex(group, f"{WITHIN}(?s:.*)", ""))

    with explaining(rows, recipe):
        found = rows.reduce(step, Look.__add__, Look(), columns=kinds)
    return dict(found.columns[name].texts) if name in found.columns else {}
