"""How the rows of a source are dealt to folds: what has to be looked up before the pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import MissingError, SequenceError, UsageError, plural
from leastwise.folds import ALONE, DEFAULT, SMALL_PARTS, FoldPlan
from leastwise.look import Look, look
from leastwise.options import Options
from leastwise.recipe import Recipe, explain_missing
from leastwise.rows import Rows, Slab
from leastwise.sequences import clean, cluster, relatives

MOST_FOLDS = 1_000
FEW = 100  # rows up to which folds by hash would come out uneven, or empty


def plan_of(rows: Rows, recipe: Recipe, options: Options, *, alone: bool) -> tuple[FoldPlan | None, str]:
    """How rows are to be dealt to folds, or None and why there are no folds.

    `alone`: all rows are here, so that folds may be made of one size; parts that are to be added to
    others are dealt by hashes.
    """
    if options.folds in (0, ALONE):
        if options.folds == ALONE and not alone:
            raise UsageError(
                f"folds='{ALONE}' takes the rows once more, and moments hold none. Give it to fit, or a "
                "number of folds."
            )
        return None, ""
    if isinstance(options.folds, str):
        return _by_labels(rows, recipe, options.folds, alone), ""
    k = options.folds or DEFAULT
    if rows.n is not None and options.folds and k > max(rows.n, 2):
        raise UsageError(
            f"{k} folds were asked for, but {rows.source} has {plural(rows.n, 'row')}. Ask for fewer."
        )
    parts = k if options.repeats == 1 else k * SMALL_PARTS
    if parts > MOST_FOLDS:
        raise UsageError(f"{k} folds are too many: each holds moments. Ask for {MOST_FOLDS} at most.")
    plan, reason = _dealt(rows, recipe, options, parts, alone)
    if plan is not None and options.repeats > 1:
        plan = replace(plan, folds=min(k, plan.k), repeats=options.repeats)
    return plan, reason


def _dealt(
    rows: Rows, recipe: Recipe, options: Options, parts: int, alone: bool
) -> tuple[FoldPlan | None, str]:
    """Rows dealt to so many parts: by content, by group, or by kin."""
    if recipe.together is None:
        few = _few_hashes(rows, recipe, options) if alone and rows.rereadable else None
        if few is None:
            return FoldPlan(parts, options.seed), ""
        most = len(np.unique(few)) if options.repeats > 1 else parts
        return FoldPlan.of_few(few, min(parts, max(most, 2)), options.seed), ""
    if not rows.rereadable or (recipe.named_groups is not None and not alone):
        return FoldPlan(parts, options.seed, "group"), ""
    sizes = _sizes(rows, recipe)
    labels = list(sizes) if recipe.named_groups is not None else _kin(list(sizes), rows, recipe)
    groups = len(set(labels))
    if groups < 2 and not options.folds:
        what = (
            "rows are of one group" if recipe.named_groups else "sequences are related: they make one group"
        )
        way = "another column" if recipe.named_groups else "a column (for variants: the position)"
        return None, f"all {what}; name {way} with group= (--group)"
    if not options.folds or (options.repeats > 1 and groups >= int(options.folds)):
        parts = min(parts, groups)
    elif options.repeats > 1:
        parts = int(options.folds)  # too many, which is told of the number that was asked for
    return FoldPlan.of_kin(sizes, labels, parts, options.seed), ""


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
        seen = look(rows, recipe.reads_all) if rows.rereadable else Look()
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
    simple = every and recipe.unknown != "drop"  # then no row can be left out
    kinds = {name: recipe.reads_all[name]} if simple else recipe.reads_all

    def step(slab: Slab) -> Look:
        return Look.of_texts(name, slab.texts(name) if simple else recipe.block(slab).group)

    with explaining(rows, recipe):
        found = rows.reduce(step, Look.__add__, Look(), columns=kinds)
    return dict(found.columns[name].texts) if name in found.columns else {}


def _kin(texts: list[str], rows: Rows, recipe: Recipe) -> list[str]:
    """The group of relatives that each sequence is in."""
    policy = "error" if recipe.unknown == "error" else "mask"
    kept = clean(texts, unknown="drop").kept if recipe.unknown == "drop" else np.arange(len(texts))
    try:
        some = [texts[i] for i in kept]
        if recipe.identity is None:
            labels = relatives(some, unknown=policy).tolist()
        else:
            labels = cluster(some, recipe.identity, unknown=policy).tolist()
    except SequenceError:  # told with its row of the source, where it can be found
        rows.reduce(lambda slab: len(recipe.matrix(slab)[1]), max, 0, columns=recipe.reads)
        raise
    group = dict(zip(kept.tolist(), labels, strict=True))
    name: dict[int, str] = {}  # of its first sequence in the alphabet: the order of rows has no part in it
    for i, label in group.items():
        name[label] = min(name.get(label, texts[i]), texts[i])
    return [f"kin {name[group[i]]}" if i in group else f"alone {texts[i]}" for i in range(len(texts))]
