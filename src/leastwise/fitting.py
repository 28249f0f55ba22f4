"""The way of the data, put together: source -> Rows -> Recipe -> Moments -> Solution -> Fit.

This is the only module that knows all of them. `condense` goes as far as the moments, `fit` to the
end; a `Fit` (fitted.py) is what comes out, and everything else is a view of it. (The file is not
called fit.py: importing a module of that name would put it in the place of the function
`leastwise.fit`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise import checks
from leastwise.digits import Grid
from leastwise.errors import (
    DataError,
    MissingError,
    SequenceError,
    UsageError,
    did_you_mean,
    listed,
    plural,
)
from leastwise.fitted import Fit, Options, Tally
from leastwise.folds import DEFAULT, FoldPlan
from leastwise.look import Look, look
from leastwise.moments import FIRST, Moments, first_shift, settled_shift
from leastwise.numerics import Array
from leastwise.parts import Grids, Numbers
from leastwise.recipe import Recipe, explain_missing
from leastwise.rows import Rows, Slab, open_rows
from leastwise.rows.block import Block
from leastwise.sequences import clean, relatives
from leastwise.solve import Solution, doubtful, least_squares
from leastwise.terms import Number, Poly

MOST_FOLDS = 1_000
FEW = 100  # rows up to which folds by hash would come out uneven, or empty
SMALL, SMALL_COLUMNS = 250_000, 40  # numbers, and columns, up to which "auto" is exact at once
OPENING = ("columns", "delimiter", "encoding", "multiline", "labels")


# ---- the two verbs ----


def fit(
    source: Any,
    target: Any = None,
    *,
    recipe: Recipe | None = None,
    options: Options | None = None,
    **common: Any,
) -> Fit:
    """Least squares of `target` on the other columns of `source`, with an honest score beside it.

    `min over b, c of 1/n sum_i (x_i b + c - y_i)^2`, from one pass over the rows (two where texts or
    gaps have to be looked at first, and one more where rounding would leave fewer than nine digits: see
    `Options.precision`). `source`: path(s), a folder, a data frame, Arrow, `(X, y)` of
    arrays or tensors, or Moments. `common`: the fields of `Recipe` and `Options`, and for files
    those of `rows.open_rows`. Cost: n p^2 multiplications for the pass, about p^3 a solve, K + 1
    solves; memory: a few slabs and (K + 1) p^2 numbers, whatever n is.

    Raises errors.LeastwiseError of the kind that fits: see `leastwise.errors`.

    >>> import leastwise as lw
    >>> line = lw.fit(([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]))
    >>> round(float(line.coef[0]), 12), round(line.intercept, 12)
    (2.0, 1.0)
    """
    checks.kinds(target, recipe, options)
    if isinstance(source, Moments):
        return _fit_moments(source, target, recipe, options or Options(), common)
    rows, asked, chosen = _prepared(source, target, recipe, options, common)
    checks.standard_errors(rows, asked, chosen)
    plan, unscored = _plan(rows, asked, chosen, alone=True)
    long = _long_integers(rows, asked) if chosen.precision == "auto" else ""
    small = chosen.precision == "auto" and _is_small(rows, asked)
    exact = chosen.precision == "exact" or small or bool(long)
    moments, tally, solution = _solved(rows, asked, chosen, plan, exact=exact)
    told = [long] if long else []
    if chosen.precision == "fast" and (doubt := doubtful(solution)):
        told = [f"fast moments leave {doubt}; precision='auto' would have read the rows again"]
    if not exact and chosen.precision == "auto" and (doubt := doubtful(solution)):
        again = rows.rereadable and len(asked.names) <= checks.MOST_COLUMNS
        told = [_escalation(rows, doubt, again)]
        if again:
            moments, tally, solution = _solved(rows, asked, chosen, plan, exact=True)
    checks.target(moments, solution)
    checks.tiny(moments, solution)
    checks.folds(moments, solution, chosen)
    fills = moments.fills if asked.missing == "mean" else np.empty(0)
    notes = (*rows.notes, *asked.notes, *_changes(rows, asked), *told)
    columns = tuple(name for name in rows.names if name not in rows.targets)
    return Fit(
        asked, chosen, solution, tally, rows.source, moments, fills, rows.native, notes,
        columns=columns, stacked=rows.stacked, unscored=unscored, rows=rows,
    )  # fmt: skip


def condense(
    source: Any,
    target: Any = None,
    *,
    recipe: Recipe | None = None,
    options: Options | None = None,
    **common: Any,
) -> Moments:
    """The one pass: the Moments of `source`, per fold where folds are made.

    Arguments as `fit`, but for `rank` and `intercept`, which are decided by who reads the moments.
    `precision` is "exact" or "fast", which "auto" stands for here: parts that are to be added to one
    another must be of one precision.
    """
    late = [name for name in ("rank", "intercept", "se", "cluster") if name in common]
    if late:
        raise UsageError(f"{listed(late)} {'is' if len(late) == 1 else 'are'} for fit, not for moments.")
    rows, asked, chosen = _prepared(source, target, recipe, options, common)
    plan, _ = _plan(rows, asked, chosen, alone=False)
    return _condense(rows, asked, chosen, plan, exact=chosen.precision == "exact")[0]


def _prepared(
    source: Any, target: Any, recipe: Recipe | None, options: Options | None, common: dict[str, Any]
) -> tuple[Rows, Recipe, Options]:
    """The source opened and the recipe settled, with shorthand keywords put where they belong."""
    checks.kinds(target, recipe, options)
    of = {cls: {f.name for f in fields(cls)} for cls in (Recipe, Options)}
    of[Recipe] -= {"terms", "filled", "notes"}
    known = {*OPENING, *of[Recipe], *of[Options]}
    for name in common:
        if name not in known:
            raise UsageError(f"There is no option {name!r}. {did_you_mean(name, sorted(known))}")
    said = {k: v for k, v in common.items() if k in of[Recipe]}
    said |= {} if target is None else {"target": target}
    chosen = replace(options or Options(), **{k: v for k, v in common.items() if k in of[Options]})
    rows = open_rows(source, **{k: v for k, v in common.items() if k in OPENING})
    if recipe is not None and recipe.terms:
        if said:
            raise UsageError(
                f"The recipe is settled, and {listed(said)} came beside it. Change the recipe that was "
                "asked (before settling), or leave the keywords out."
            )
        return rows, recipe, chosen
    asked = replace(recipe or Recipe(), **said)
    if rows.sequence is not None and asked.sequence is None:
        asked = replace(asked, sequence=rows.sequence)
    return rows, asked.settled(rows), chosen


# ---- the pass ----


def _solved(
    rows: Rows, recipe: Recipe, options: Options, plan: FoldPlan | None, *, exact: bool
) -> tuple[Moments, Tally, Solution]:
    """The moments, the account of the rows, and what they give."""
    moments, tally = _condense(rows, recipe, options, plan, exact=exact)
    checks.used(rows, tally)
    return moments, tally, least_squares(moments, intercept=options.intercept, rank=options.rank)


def _is_small(rows: Rows, recipe: Recipe) -> bool:
    """Whether exact moments cost nothing that anyone would notice."""
    q = len(recipe.names) + len(recipe.target)
    if q > SMALL_COLUMNS:
        return False
    if rows.n is not None:
        return rows.n * q <= SMALL
    n = 0
    for slab in rows.ahead(recipe.reads_all):
        n += slab.n
        if n * q > SMALL:
            return False
    return True


def _long_integers(rows: Rows, recipe: Recipe) -> str:
    """What is told of whole numbers that float64 would round; "" where there are none in the first rows."""
    if len(recipe.names) > checks.MOST_COLUMNS:
        return ""
    numbers = [t.column for t in recipe.terms if isinstance(t, (Number, Poly))]
    slab = next(iter(rows.ahead(recipe.reads_all)), None)
    if slab is None:
        return ""
    for name in (*numbers, *recipe.target):
        if slab.whole_numbers(name) and slab.low((name,)) is not None:
            return f"'{name}' has whole numbers that float64 would round: the rows were read exactly"
    return ""


def _escalation(rows: Rows, doubt: str, again: bool) -> str:
    """What is told where float64 moments do not carry the answer."""
    if rows.rereadable and not again:
        return f"fast moments leave {doubt}; exact ones are for up to {checks.MOST_COLUMNS:,} columns"
    if again:
        return f"fast moments would leave {doubt}: the rows were read again, exactly"
    return (
        f"fast moments leave {doubt}, and {rows.source} can be read once; for all digits make it anew and "
        "pass precision='exact' (--precision exact)"
    )


def _condense(
    rows: Rows, recipe: Recipe, options: Options, plan: FoldPlan | None, *, exact: bool
) -> tuple[Moments, Tally]:
    """All rows as moments, dealt to folds, and the account of them."""
    if exact:
        checks.width(recipe)
    rows = rows.exactly() if exact else rows
    names = recipe.names, recipe.target
    grids = _first_grids(rows, recipe) if exact else None
    shift = np.empty(0) if exact else _first_shift(rows, recipe)

    def step(slab: Slab) -> tuple[Moments, Tally]:
        try:
            return condensed(slab)
        except MissingError as error:  # said of this slab; the whole source is looked at below
            raise explain_missing(Look.at(slab, recipe.reads_all), recipe) or error from None

    def condensed(slab: Slab) -> tuple[Moments, Tally]:
        block = recipe.block(slab, low=exact)
        fold = None if plan is None else plan.deal(block)
        if grids is not None:
            numbers = _numbers(block, recipe)
            moments = Moments.of_numbers(*names, numbers, grids, fold=fold, plan=plan)
        else:
            moments = Moments.of_rows(
                *names, block.X, block.Y, block.w, shift, filled=recipe.filled, fold=fold, plan=plan
            )
        logs = 0.0 if block.w is None else float(np.log(block.w).sum())
        return moments, Tally(slab.n, block.dropped, logs)

    empty = (
        Moments.empty(recipe.names, recipe.target, filled=recipe.filled, plan=plan, exact=exact),
        Tally(),
    )
    with _explaining(rows, recipe):
        moments, tally = rows.reduce(
            step,
            lambda a, b: (a[0] + b[0], a[1] + b[1]),
            empty,
            columns=recipe.reads_all,
            progress=options.progress,
        )
    kind = recipe.weight_kind if recipe.weight else ""
    return replace(moments.settled(), weight_kind=kind), tally


def _numbers(block: Block, recipe: Recipe) -> Numbers:
    return Numbers(block.X, block.Y, block.w, block.X_low, block.Y_low, recipe.filled)


def _first_grids(rows: Rows, recipe: Recipe) -> Grids:
    """Where the digits of exact sums lie: found from the first rows, right for all."""
    asked = replace(recipe, missing="drop") if recipe.missing == "error" else recipe
    try:
        for slab in rows.ahead(recipe.reads_all):
            block = asked.block(slab, low=True)
            if block.n:
                return Grids.of(_numbers(block, recipe), slice(0, FIRST))
    except DataError:  # the pass comes upon it again, and tells it with its counts
        pass
    q = 1 + len(recipe.names) + len(recipe.filled) + len(recipe.target)
    nothing = Grid(np.zeros(q, np.int64), np.ones(q, np.int64))
    return Grids(nothing, nothing if recipe.weight else None)


@contextmanager
def _explaining(rows: Rows, recipe: Recipe) -> Iterator[None]:
    """A missing cell, said of one slab, is counted over the whole source before it is told."""
    try:
        yield
    except MissingError as error:
        seen = look(rows, recipe.reads_all) if rows.rereadable else Look()
        raise explain_missing(seen, recipe) or error from None


def _first_shift(rows: Rows, recipe: Recipe) -> Array:
    """What the moments are taken about: means of the first rows that can be used."""

    def shift(slab: Slab) -> Array:
        X, _ = recipe.matrix(slab)
        w = slab.matrix((recipe.weight,))[:, 0] if recipe.weight else None
        return first_shift(X, slab.matrix(recipe.target), w)

    found = settled_shift(shift(slab) for slab in rows.ahead(recipe.reads_all) if slab.n)
    return found if len(found) else np.zeros(len(recipe.names) + len(recipe.target))


def _plan(rows: Rows, recipe: Recipe, options: Options, *, alone: bool) -> tuple[FoldPlan | None, str]:
    """How rows are to be dealt to folds, or None and why there are no folds.

    `alone`: all rows are here, so that folds may be made of one size; parts that are to be added to
    others are dealt by hashes.
    """
    if options.folds == 0:
        return None, ""
    k = options.folds or DEFAULT
    if rows.n is not None and options.folds and k > max(rows.n, 2):
        raise UsageError(
            f"{k} folds were asked for, but {rows.source} has {plural(rows.n, 'row')}. Ask for fewer."
        )
    if k > MOST_FOLDS:
        raise UsageError(f"{k} folds are too many: each holds moments. Ask for {MOST_FOLDS} at most.")
    if recipe.together is None:
        few = _few_hashes(rows, recipe, options) if alone and rows.rereadable else None
        return FoldPlan(k, options.seed) if few is None else FoldPlan.of_few(few, k, options.seed), ""
    if not rows.rereadable or (recipe.named_groups is not None and not alone):
        return FoldPlan(k, options.seed, "group"), ""
    sizes = _sizes(rows, recipe)
    labels = list(sizes) if recipe.named_groups is not None else _kin(list(sizes), rows, recipe)
    groups = len(set(labels))
    if groups < 2 and not options.folds:
        what = (
            "rows are of one group" if recipe.named_groups else "sequences are related: they make one group"
        )
        way = "another column" if recipe.named_groups else "a column (for variants: the position)"
        return None, f"all {what}; name {way} with group= (--group)"
    k = k if options.folds else min(k, groups)
    return FoldPlan.of_kin(sizes, labels, k, options.seed), ""


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
    simple = recipe.missing == "error" and recipe.weight is None  # then no row can be left out
    kinds = {name: recipe.reads_all[name]} if simple else recipe.reads_all

    def step(slab: Slab) -> Look:
        return Look.of_texts(name, slab.texts(name) if simple else recipe.block(slab).group)

    with _explaining(rows, recipe):
        found = rows.reduce(step, Look.__add__, Look(), columns=kinds)
    return dict(found.columns[name].texts) if name in found.columns else {}


def _kin(texts: list[str], rows: Rows, recipe: Recipe) -> list[str]:
    """The group of relatives that each sequence is in."""
    policy = "mask" if recipe.unknown == "drop" else recipe.unknown
    kept = clean(texts, unknown="drop").kept if recipe.unknown == "drop" else np.arange(len(texts))
    try:
        labels = relatives([texts[i] for i in kept], unknown=policy).tolist()
    except SequenceError:  # told with its row of the source, where it can be found
        rows.reduce(lambda slab: len(recipe.matrix(slab)[1]), max, 0, columns=recipe.reads)
        raise
    group = dict(zip(kept.tolist(), labels, strict=True))
    return [f"kin {group[i]}" if i in group else f"alone {i}" for i in range(len(texts))]


def _changes(rows: Rows, recipe: Recipe) -> list[str]:
    """What was changed in the sequences to read them, counted and named."""
    name = recipe.sequence
    if name is None or not rows.rereadable:
        return []
    none: list[str] = []
    texts = rows.reduce(
        lambda slab: slab.texts(name).drop_null().to_pylist(),
        lambda a, b: a + b,
        none,
        columns={name: "text"},
    )
    return [
        f"'{name}': {change.what}{f' {change.letter!r}' if change.letter else ''}, "
        f"{plural(change.residues, 'character')} in {plural(change.sequences, 'sequence')}"
        for change in clean(texts, unknown=recipe.unknown).changes
    ]


# ---- from moments ----


def _fit_moments(
    moments: Moments, target: Any, recipe: Recipe | None, options: Options, common: dict[str, Any]
) -> Fit:
    """A fit from moments alone: no row is read."""
    checks.past(moments, target, recipe, common)
    chosen = replace(options, **common)
    checks.plan(moments.plan, chosen)
    checks.kept(moments, chosen)
    if chosen.precision == "fast":
        moments = moments.rounded()
    solution = least_squares(moments, intercept=chosen.intercept, rank=chosen.rank)
    checks.target(moments, solution)
    checks.tiny(moments, solution)
    checks.folds(moments, solution, chosen)
    asked = Recipe(
        target=moments.targets,
        terms=tuple(Number(name) for name in moments.names),
        filled=moments.filled,
        missing="mean" if moments.filled else "error",
        weight_kind=moments.weight_kind or "analytic",
    )
    fills = moments.fills if moments.filled else np.empty(0)
    notes = ["fitted from moments: rows that were dropped before are not counted"]
    if chosen.precision == "auto" and (doubt := doubtful(solution)):
        notes.append(f"these moments leave {doubt}; condensed with precision='exact' they keep all")
    tally = Tally(moments.n, {}, None if moments.weight_kind else 0.0)
    return Fit(asked, chosen, solution, tally, "moments", moments, fills, "", tuple(notes))
