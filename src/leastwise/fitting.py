"""The way of the data, put together: source -> Rows -> Recipe -> Moments -> Solution -> Fit.

This is the only module that knows all of them. `condense` goes as far as the moments, `fit` to the
end; a `Fit` (fitted.py) is what comes out, and everything else is a view of it. (The file is not
called fit.py: importing a module of that name would put it in the place of the function
`leastwise.fit`.)
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from leastwise import checks
from leastwise.alone import check_alone, choose_alone
from leastwise.choice import Choice, choose
from leastwise.dealing import explaining, plan_of
from leastwise.digits import Grid
from leastwise.encodings import Encoding
from leastwise.errors import (
    DataError,
    MissingError,
    UsageError,
    did_you_mean,
    listed,
    plural,
)
from leastwise.fitted import Fit, Tally
from leastwise.folds import ALONE, DEFAULT, FoldPlan, dealings, enough, rounded
from leastwise.look import Look
from leastwise.moments import FIRST, Moments, first_shift, settled_shift
from leastwise.numerics import Array
from leastwise.options import Options
from leastwise.parts import Grids, Numbers
from leastwise.recipe import Recipe, explain_missing
from leastwise.related import Kindred
from leastwise.rows import Rows, Slab, open_rows
from leastwise.rows.block import Block
from leastwise.sequences import clean
from leastwise.sequences.regimes import Regime, deal
from leastwise.solve import Solution, doubtful
from leastwise.sparse import stored_moments
from leastwise.terms import Number, Poly
from leastwise.transformed import Learned, Transformed, learn, plain
from leastwise.transforms import CHOSEN

SMALL, SMALL_COLUMNS = 250_000, 40  # numbers, and columns, up to which "auto" is exact at once
LATE = ("rank", "intercept", "se", "penalty", "alphas", "standardize", "factors", "bounds", "positive")
OF_PENALTY = ("alpha", "l1", "l2", "lambda_", "lasso", "ridge", "l1_ratio", "cv")
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

    `min over b, c of 1/n sum_i (x_i b + c - y_i)^2`, or with a `penalty` of `1/(2n) sum + penalty`, whose
    alpha may be chosen by held-out folds; from one pass over the rows (two where texts or
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
    checks.regime(asked, chosen)
    if chosen.folds == ALONE and asked.transform == "none":
        check_alone(rows, asked, chosen)
    plan, unscored, kindred = plan_of(rows, asked, chosen, alone=True)
    long = _long_integers(rows, asked) if chosen.precision == "auto" else ""
    small = chosen.precision == "auto" and _is_small(rows, asked)
    exact = chosen.precision == "exact" or small or bool(long)
    chosen.model(asked)  # a name that is no column is told before the pass
    if unscored and chosen.penalty.rule:
        raise UsageError(f"alpha='{chosen.penalty.rule}' is chosen by held-out folds, and {unscored}.")
    found = _solved(rows, asked, chosen, plan, exact=exact)
    told = [long] if long else []
    if chosen.precision == "fast" and (doubt := doubtful(found.solution)):
        told = [f"fast moments leave {doubt}; precision='auto' would have read the rows again"]
    if not exact and chosen.precision == "auto" and (doubt := doubtful(found.solution)):
        again = rows.rereadable and len(asked.names) <= checks.MOST_COLUMNS
        told = [_escalation(rows, doubt, again)]
        if again:
            found = _solved(rows, asked, chosen, plan, exact=True)
    moments, solution, scaled = found.moments, found.solution, found.scaled
    checks.target(moments, solution)
    checks.tiny(moments, solution)
    checks.folds(moments, solution, chosen)
    fills = moments.fills if asked.missing == "mean" else np.empty(0)
    notes = (
        *rows.notes,
        *asked.notes,
        *_changes(rows, asked),
        *_of_kindred(kindred, asked),
        *told,
        *_of_penalty(found.choice, chosen),
    )
    columns = tuple(name for name in rows.names if name not in rows.targets)
    anew = None if kindred is None else partial(_by_sequence, rows, asked, chosen, kindred, moments.exact)
    recipe = asked if scaled is None else replace(asked, scale=scaled.scale)
    return Fit(
        recipe, chosen, solution, found.tally, rows.source, moments, fills, rows.native, notes,
        columns=columns, stacked=rows.stacked, unscored=unscored, rows=rows, choice=found.choice,
        kindred=kindred, dealt_anew=anew, scaled=scaled,
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

    Arguments as `fit`, but for `rank`, `intercept` and penalties: who reads the moments decides about them.
    `precision` is "exact" or "fast", which "auto" stands for here: parts that are to be added to one
    another must be of one precision.
    """
    late = [name for name in (*LATE, "cluster") if name in common]
    if late:
        raise UsageError(f"{listed(late)} {'is' if len(late) == 1 else 'are'} for fit, not for moments.")
    rows, asked, chosen = _prepared(source, target, recipe, options, common)
    if asked.transform != "none":
        raise UsageError(f"transform='{asked.transform}' is for fit, not for moments. Leave it out.")
    plan, _, _ = plan_of(rows, asked, chosen, alone=False)
    return _condense(rows, asked, chosen, plan, exact=chosen.precision == "exact")[0]


def _prepared(
    source: Any, target: Any, recipe: Recipe | None, options: Options | None, common: dict[str, Any]
) -> tuple[Rows, Recipe, Options]:
    """The source opened and the recipe settled, with shorthand keywords put where they belong."""
    checks.kinds(target, recipe, options)
    of = {cls: {f.name for f in fields(cls)} for cls in (Recipe, Options)}
    of[Recipe] -= {"terms", "filled", "notes", "scale", "sides", "marked"}
    known = {*OPENING, *of[Recipe], *of[Options]}
    for name in common:
        if name in OF_PENALTY:
            raise UsageError(
                f"There is no option {name!r}. Penalties are penalty=lw.L1('cv'), lw.L2(0.1), "
                "lw.elastic_net('1se', 0.5)."
            )
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
        sides = chosen.folds == "predefined" and recipe.sides
        return rows, replace(recipe, scale=None, sides=sides), chosen
    asked = replace(recipe or Recipe(), **said)
    if chosen.folds == "predefined" and asked.named_groups is not None:
        asked = replace(asked, sides=True)
    if rows.sequence is not None and asked.sequence is None:
        asked = replace(asked, sequence=rows.sequence)
    return rows, asked.settled(rows), chosen


# ---- the pass ----


@dataclass(frozen=True, eq=False)
class _Found:
    """What the pass gave: moments of the target as it was fitted, the account of the rows, the solution."""

    moments: Moments
    tally: Tally
    solution: Solution
    choice: Choice | None
    scaled: Transformed | None = None


def _solved(rows: Rows, recipe: Recipe, options: Options, plan: FoldPlan | None, *, exact: bool) -> _Found:
    """The moments, the account of the rows, and what they give."""
    if recipe.transform != "none":
        scaled, tally = _transformed(rows, recipe, options, plan, exact=exact)
        return _Found(scaled.own, tally, scaled.solution(), scaled.chosen.choice, scaled)
    moments, tally = _condense(rows, recipe, options, plan, exact=exact)
    checks.used(rows, tally)
    return _Found(moments, tally, *_answered(moments, recipe, options, rows))


def _transformed(
    rows: Rows, recipe: Recipe, options: Options, plan: FoldPlan | None, *, exact: bool
) -> tuple[Transformed, Tally]:
    """The moments of the target in all the columns that training sets make of it."""
    with explaining(rows, recipe):
        known = learn(rows, recipe, options, plan)
    moments, tally = _condense(rows, recipe, options, plan, exact=exact, learned=known)
    checks.used(rows, tally)
    choosing = recipe.transform in CHOSEN
    if (choosing or options.penalty.rule) and plan is not None and (reason := enough(moments, 1)):
        what = f"transform='{recipe.transform}'" if choosing else f"alpha='{options.penalty.rule}'"
        raise UsageError(
            f"{what} is chosen by held-out folds, and {reason}. Ask for other folds (folds=, --folds), or "
            "name one."
        )
    return Transformed(rows, recipe, options, moments, known), tally


def _answered(
    moments: Moments, recipe: Recipe, options: Options, rows: Rows | None = None
) -> tuple[Solution, Choice | None]:
    """Least squares, or the penalised fit, with the penalty that held-out folds choose if they are to."""
    model = options.model(recipe)
    if model is None:
        return plain(moments, recipe, options), None
    if not options.penalty.rule:
        return model.solve(moments), None
    if options.folds == ALONE and rows is not None:
        choice = choose_alone(rows, recipe, moments, model)
        return model.solve(moments, choice.alpha), choice
    if reason := enough(moments, 1):
        raise UsageError(
            f"alpha='{options.penalty.rule}' is chosen by held-out folds, and {reason}. Ask for other "
            "folds (folds=, --folds), or give a number."
        )
    choice = choose([rounded(dealing).for_choice for dealing in dealings(moments)], model)
    return model.solve(moments, choice.alpha), choice


def _of_penalty(choice: Choice | None, options: Options) -> list[str]:
    """What is to be known of a penalty that was chosen at an end of the path that was made for it."""
    if choice is None or not isinstance(options.alphas, int):
        return []
    if choice.chosen == len(choice.alphas) - 1:
        return [
            f"the smallest alpha of the path, {choice.alpha:.3g}, was chosen, and the error still falls "
            "there: hardly any penalty helps"
        ]
    if choice.chosen == 0:
        what = (
            "no penalised coefficient helps" if options.penalty.share[0] else "the more penalty the better"
        )
        return [f"the largest alpha of the path, {choice.alpha:.3g}, was chosen: {what}"]
    return []


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
    rows: Rows,
    recipe: Recipe,
    options: Options,
    plan: FoldPlan | None,
    *,
    exact: bool,
    learned: Learned | None = None,
) -> tuple[Moments, Tally]:
    """All rows as moments, dealt to folds, and the account of them; the target as it is or as `learned`."""
    if exact:
        checks.width(recipe)
    rows = rows.exactly() if exact else rows
    names = recipe.names, recipe.target if learned is None else learned.targets
    grids = _first_grids(rows, recipe, learned) if exact else None
    shift = np.empty(0) if exact else _first_shift(rows, recipe, learned)

    def step(slab: Slab) -> tuple[Moments, Tally]:
        try:
            return condensed(slab)
        except MissingError as error:  # said of this slab; the whole source is looked at below
            seen = Look.at(recipe.kept(slab), recipe.reads_all)
            raise explain_missing(seen, recipe) or error from None

    def condensed(slab: Slab) -> tuple[Moments, Tally]:
        block = recipe.block(slab, low=exact, stored=not exact)
        fold = None if plan is None else plan.deal(block)  # by what came, before it is transformed
        block = _as_learned(block, learned)
        if grids is not None:
            numbers = _numbers(block, recipe)
            moments = Moments.of_numbers(*names, numbers, grids, fold=fold, plan=plan)
        elif recipe.stored:
            moments = stored_moments(*names, block, shift, fold=fold, plan=plan)
        else:
            moments = Moments.of_rows(
                *names, block.X, block.Y, block.w, shift, filled=recipe.filled, fold=fold, plan=plan
            )
        logs = 0.0 if block.w is None else float(np.log(block.w).sum())
        return moments, Tally(slab.n, block.dropped, logs)

    empty = (
        Moments.empty(*names, filled=recipe.filled, plan=plan, exact=exact),
        Tally(),
    )
    with explaining(rows, recipe):
        moments, tally = rows.reduce(
            step,
            lambda a, b: (a[0] + b[0], a[1] + b[1]),
            empty,
            columns=recipe.reads_all,
            progress=options.progress,
        )
    kind = recipe.weight_kind if recipe.weight else ""
    return replace(moments.settled(), weight_kind=kind), tally


def _as_learned(block: Block, learned: Learned | None) -> Block:
    """A block with the target in all its columns."""
    return block if learned is None else replace(block, Y=learned.columns(block.Y), Y_low=None)


def _numbers(block: Block, recipe: Recipe) -> Numbers:
    return Numbers(block.X, block.Y, block.w, block.X_low, block.Y_low, recipe.filled)


def _first_grids(rows: Rows, recipe: Recipe, learned: Learned | None) -> Grids:
    """Where the digits of exact sums lie: found from the first rows, right for all."""
    asked = replace(recipe, missing="drop") if recipe.missing == "error" else recipe
    try:
        for slab in rows.ahead(recipe.reads_all):
            block = _as_learned(asked.block(slab, low=True), learned)
            if block.n:
                return Grids.of(_numbers(block, recipe), slice(0, FIRST))
    except DataError:  # the pass comes upon it again, and tells it with its counts
        pass
    targets = len(recipe.target if learned is None else learned.targets)
    q = 1 + len(recipe.names) + len(recipe.filled) + targets
    nothing = Grid(np.zeros(q, np.int64), np.ones(q, np.int64))
    return Grids(nothing, nothing if recipe.weight else None)


def _first_shift(rows: Rows, recipe: Recipe, learned: Learned | None) -> Array:
    """What the moments are taken about: means of the first rows that can be used."""

    def shift(slab: Slab) -> Array:
        X = np.empty((slab.n, 0)) if recipe.stored else recipe.matrix(slab)[0]
        w = slab.matrix((recipe.weight,))[:, 0] if recipe.weight else None
        Y = slab.matrix(recipe.target)
        return first_shift(X, Y if learned is None else learned.columns(Y), w)

    found = settled_shift(shift(slab) for slab in rows.ahead(recipe.reads_all) if slab.n)
    if recipe.stored and len(found):  # features about zero, where most of them are
        return np.append(np.zeros(len(recipe.names)), found)
    targets = len(recipe.target if learned is None else learned.targets)
    return found if len(found) else np.zeros(len(recipe.names) + targets)


def _changes(rows: Rows, recipe: Recipe) -> list[str]:
    """What was changed in the sequences to read them, counted and named."""
    name = recipe.sequence
    if name is None or not rows.rereadable:
        return []
    none: list[str] = []
    texts = rows.reduce(
        lambda slab: recipe.kept(slab).texts(name).drop_null().to_pylist(),
        lambda a, b: a + b,
        none,
        columns=dict.fromkeys((name, *recipe.sided_by), "text"),
    )
    term = next((term for term in recipe.terms if isinstance(term, Encoding)), None)
    named = term is not None and term.named
    changes = (
        term.variants(texts).changes if term and named else clean(texts, unknown=recipe.unknown).changes
    )
    return [
        f"'{name}': {change.what}{f' {change.letter!r}' if change.letter else ''}, "
        f"{plural(change.residues, 'character')} in {plural(change.sequences, 'sequence')}"
        for change in changes
    ]


def _by_sequence(
    rows: Rows, recipe: Recipe, options: Options, kindred: Kindred, exact: bool
) -> Moments | Transformed:
    """The moments of the same rows, each sequence dealt by itself."""
    cells, out = kindred.measured.cells, len(kindred.dealt.never + kindred.dealt.always)
    k = kindred.dealt.parts - out if options.repeats == 1 else int(options.folds or DEFAULT)
    dealt = deal(cells, Regime("sequence", "each"), k if k > 1 else DEFAULT, options.seed)
    places = dict(zip(cells.texts, dealt.part.tolist(), strict=True))
    plan = FoldPlan.of_parts(places, dealt, options.seed)
    quiet = replace(options, progress=None)
    if recipe.transform != "none":
        return _transformed(rows, recipe, quiet, plan, exact=exact)[0]
    return _condense(rows, recipe, quiet, plan, exact=exact)[0]


def _of_kindred(kindred: Kindred | None, recipe: Recipe) -> tuple[str, ...]:
    """What is to be told of how sequences were dealt."""
    if kindred is None:
        return ()
    unasked = recipe.regime is None and kindred.dealt.regime.kind == "sequence"
    flatters = "sequences are dealt at random, for they are of one family and hardly vary: that flatters"
    family = recipe.encode_as is None and kindred.dealt.regime.kind in ("position", "mutations", "sequence")
    hint = (
        "these are variants of one protein, whose properties hardly vary: encode_as='one-hot' with a "
        "penalty (--encode-as one-hot --penalty l2 --alpha cv) tells substitutions apart"
    )
    family &= recipe.regime is None
    return (*kindred.dealt.notes, *([flatters] if unasked else []), *([hint] if family else []))


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
    asked = Recipe(
        target=moments.targets,
        terms=tuple(Number(name) for name in moments.names),
        filled=moments.filled,
        missing="mean" if moments.filled else "error",
        weight_kind=moments.weight_kind or "analytic",
    )
    solution, choice = _answered(moments, asked, chosen)
    checks.target(moments, solution)
    checks.tiny(moments, solution)
    checks.folds(moments, solution, chosen)
    fills = moments.fills if moments.filled else np.empty(0)
    notes = ["fitted from moments: rows that were dropped before are not counted"]
    if chosen.precision == "auto" and (doubt := doubtful(solution)):
        notes.append(f"these moments leave {doubt}; condensed with precision='exact' they keep all")
    tally = Tally(moments.n, {}, None if moments.weight_kind else 0.0)
    return Fit(
        asked, chosen, solution, tally, "moments", moments, fills, "",
        tuple(notes + _of_penalty(choice, chosen)),
        choice=choice,
    )  # fmt: skip
