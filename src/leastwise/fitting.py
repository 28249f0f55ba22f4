"""The way of the data, put together: source -> Rows -> Recipe -> Moments -> Solution -> Fit.

This is the only module that knows all of them. `condense` goes as far as the moments, `fit` to the
end; a `Fit` is what comes out, and everything else is a view of it. (The file is not called fit.py:
importing a module of that name would put it in the place of the function `leastwise.fit`.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import (
    DataError,
    MissingError,
    MomentsError,
    UsageError,
    did_you_mean,
    listed,
    plural,
)
from leastwise.folds import DEFAULT, FoldPlan, NoValidation, Validation, enough, validate
from leastwise.frames import to_frame
from leastwise.look import Look, look
from leastwise.moments import Moments, first_shift
from leastwise.numerics import Array, spearman
from leastwise.recipe import Recipe, explain_missing
from leastwise.report import facts as report_facts
from leastwise.report import text
from leastwise.rows import Rows, Slab, open_rows
from leastwise.rows.block import Block, Progress
from leastwise.rows.memory import ArrayRows, StreamRows
from leastwise.sequences import clean, relatives
from leastwise.solve import Solution, least_squares
from leastwise.solve.solution import checked_rank
from leastwise.terms import Number

MOST_FOLDS = 10_000
OPENING = ("columns", "delimiter", "encoding", "multiline", "labels")


@dataclass(frozen=True)
class Options:
    """How to fit, whatever the columns are.

    `rank`: "drop", "error" or "min-norm". `folds`: how many for validation; None is 5 where that can
    be done, 0 is none. `seed` deals rows to folds. `progress` is called with (rows so far, rows in
    all or None).
    """

    intercept: bool = True
    rank: str = "drop"
    folds: int | None = None
    seed: int = 0
    progress: Progress | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checked_rank(self.rank)
        if type(self.intercept) is not bool:
            raise UsageError(f"intercept={self.intercept!r} is neither True nor False. Give one of them.")
        if not _is_count(self.seed):
            raise UsageError(f"seed={self.seed!r} is no whole number of 0 or more. Give one.")
        if self.progress is not None and not callable(self.progress):
            raise UsageError(
                f"progress={self.progress!r} cannot be called. Give a function of two numbers."
            )
        if self.folds is not None and (not _is_count(self.folds) or self.folds == 1):
            raise UsageError(
                f"folds={self.folds!r} cannot be. 2 or more are folds, 0 is no validation, and None "
                "leaves it to the data."
            )


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 0)


@dataclass(frozen=True)
class Tally:
    """Every row accounted for: read = used + dropped, always."""

    read: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)  # reason -> rows

    @property
    def used(self) -> int:
        return self.read - sum(self.dropped.values())

    def __add__(self, other: Tally) -> Tally:
        reasons = dict.fromkeys([*self.dropped, *other.dropped])
        counts = {r: self.dropped.get(r, 0) + other.dropped.get(r, 0) for r in reasons}
        return Tally(self.read + other.read, counts)


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted linear model: what was asked, what was found, and the moments it was found from.

    Everything that users read is a view, computed when asked: `coef`, `intercept`, `names`,
    `validation`, `held_out`, `predict`, `tidy`, `glance`, `augment`, `summary`.
    """

    recipe: Recipe
    options: Options
    solution: Solution
    tally: Tally
    source: str
    moments: Moments | None = field(repr=False)
    fills: Array = field(repr=False)  # (p,) what a missing number is replaced by under "mean", else (0,)
    native: str = "pyarrow"
    notes: tuple[str, ...] = ()
    rows: Rows | None = field(default=None, repr=False)  # None once loaded from a file

    # ---- coefficients ----

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of X (p,)."""
        return self.solution.names

    @property
    def coef(self) -> Any:
        """Coefficients (p,), or (k, p) for k targets; a column left out has 0 here."""
        return self._as_came(_one(self.solution.coef))

    @property
    def intercept(self) -> Any:
        """The intercept: a number, or (k,) for k targets."""
        value = _one(self.solution.intercept)
        return self._as_came(value) if value.ndim else float(value)

    # ---- scores ----

    @cached_property
    def validation(self) -> Validation | NoValidation:
        """Scores on rows not seen, fold by fold; or the reason why there are none (which is false)."""
        if self.options.folds == 0:
            return NoValidation("no folds were asked for")
        if self.moments is None:
            return NoValidation("the model file holds no moments (they would have been the rows)")
        reason = enough(self.moments, self.solution)
        if reason:
            return NoValidation(reason)
        return validate(self.moments, self.solution, rank=self.options.rank)

    @cached_property
    def held_out(self) -> Mapping[str, Array]:
        """Scores that need every prediction: `mae` and `spearman`, (K,) or (K, k). A second pass.

        Each row is predicted by the model of the folds that it is not in. Memory: three numbers a
        row. Raises UsageError where the rows cannot be read again.
        """
        scores = self.validation
        if not isinstance(scores, Validation):
            raise UsageError(f"There is no validation: {scores.reason}.")
        if self.rows is None or not self.rows.rereadable:
            raise UsageError("The rows cannot be read again. mae and spearman need a second pass.")
        return _second_pass(self, self.rows, scores)

    # ---- predicting ----

    def predict(self, source: Any, **how: Any) -> Any:
        """Predictions (n,), or (n, k), for the rows of anything that `fit` takes.

        NaN for a row that cannot be predicted under missing="drop". Raises MissingError under
        missing="error", ColumnError for unknown columns or levels.
        """
        rows = self.matching(open_rows(source, **how))
        parts = [self.predict_slab(slab) for slab in rows.slabs(self.recipe.reads)]
        k = len(self.recipe.target)
        found = np.concatenate(parts) if parts else np.empty((0, k))
        values = found[:, 0] if k == 1 else found
        return _tensor(values) if rows.native == "torch" else values

    def predict_slab(self, slab: Slab) -> Array:
        """Predictions (n, k) of one slab."""
        X, left = self.recipe.matrix(slab)
        X = np.asarray(X, np.float64)
        gaps = np.isnan(X)
        if self.recipe.missing != "drop":
            self._refuse_gaps(left, gaps, slab)
        if gaps.any():
            X = np.where(gaps, self.fills if len(self.fills) else np.nan, X)
        if np.isinf(X).any():
            raise self._unpredictable(
                {name: np.isinf(x) for name, x in zip(self.names, X.T, strict=True)}, slab
            )
        found = self.solution.predict(X)
        for rows in left.values():
            found[rows] = np.nan
        return np.asarray(found)

    def _refuse_gaps(self, left: Mapping[str, Any], gaps: NDArray[np.bool_], slab: Slab) -> None:
        bad = {reason.split("'")[1]: rows for reason, rows in left.items()}
        if not len(self.fills):
            bad |= {name: rows for name, rows in zip(self.names, gaps.T, strict=True) if rows.any()}
        if bad:
            raise self._unpredictable(bad, slab)

    def _unpredictable(self, bad: Mapping[str, Any], slab: Slab) -> MissingError:
        """The error for rows without a number, or text, where the model reads one."""
        firsts = {name: int(np.argmax(rows)) for name, rows in bad.items() if rows.any()}
        name = min(firsts, key=lambda n: firsts[n])
        others = [policy for policy in ("drop", "mean") if policy != self.recipe.missing]
        return MissingError(
            f"Row {slab.first + firsts[name] + 1:,} has nothing that can be used in '{name}' "
            f"({plural(int(bad[name].sum()), 'such row')} of {slab.n:,} looked at), and the model was "
            f"fitted with missing='{self.recipe.missing}'. Fill the cells, or fit with missing="
            f"{listed(others, last='or')}."
        )

    def matching(self, rows: Rows) -> Rows:
        """`rows` if they have the columns that the model reads; a bare array goes by position."""
        wanted = tuple(self.recipe.reads)
        if isinstance(rows, ArrayRows):
            if len(wanted) != len(rows.names):
                raise DataError(
                    f"{rows.source} has {plural(len(rows.names), 'column')}; the model reads "
                    f"{plural(len(wanted), 'column')}. An array needs them all, in their order. Check it."
                )
            return ArrayRows(rows.values, wanted, rows.source, native=rows.native)
        for name in wanted:
            if name not in rows.names:
                raise DataError(
                    f"{rows.source} has no column '{name}', which the model reads. "
                    f"{did_you_mean(name, rows.names)} Rename or add it."
                )
        return rows

    # ---- tables ----

    def tidy(self) -> Any:
        """One row a coefficient, in order, as a data frame: term, estimate, and what became of it."""
        return to_frame(
            report_facts.coefficient_table(self.recipe, self.solution, self.moments), self.native
        )

    def glance(self) -> Any:
        """One row about the whole fit, as a data frame; always the same columns."""
        return to_frame(report_facts.glance(self.facts), self.native)

    def augment(self, source: Any, **how: Any) -> Any:
        """The rows as they came with `.fitted`, and `.resid` where the target is among them."""
        rows = self.matching(open_rows(source, **how))
        tables = [self._augmented(slab, rows) for slab in rows.slabs({**rows.kinds, **self.recipe.reads})]
        columns = {c: [v for table in tables for v in table[c]] for c in (tables[0] if tables else {})}
        return to_frame(columns, rows.native)

    def _augmented(self, slab: Slab, rows: Rows) -> dict[str, list[Any]]:
        columns = {name: column.to_pylist() for name, column in
                   zip(slab.table().schema.names, slab.table().columns, strict=True)}  # fmt: skip
        fitted = self.predict_slab(slab)
        for j, target in enumerate(self.recipe.target):
            of = "" if len(self.recipe.target) == 1 else f".{target}"
            columns[f".fitted{of}"] = fitted[:, j].tolist()
            if target in rows.names and rows.kinds[target] in ("number", "boolean"):
                columns[f".resid{of}"] = (slab.matrix((target,))[:, 0] - fitted[:, j]).tolist()
        return columns

    # ---- telling ----

    @cached_property
    def facts(self) -> dict[str, Any]:
        """All that is told of the fit, in one dictionary: the text, the report and the JSON."""
        return report_facts.facts(self)

    def summary(self) -> str:
        """The text that the command line prints."""
        return text.summary(self.facts)

    def __str__(self) -> str:
        return self.summary()

    def _as_came(self, value: Array) -> Any:
        return _tensor(value) if self.native == "torch" else value


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
    gaps have to be looked at first). `source`: path(s), a folder, a data frame, Arrow, `(X, y)` of
    arrays or tensors, or Moments. `common`: the fields of `Recipe` and `Options`, and for files
    those of `rows.open_rows`. Cost: n p^2 multiplications for the pass, p^3 / 3 a solve, K + 1
    solves; memory: a few slabs and (K + 1) p^2 numbers, whatever n is.

    Raises errors.LeastwiseError of the kind that fits: see `leastwise.errors`.

    >>> import leastwise as lw
    >>> line = lw.fit(([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]))
    >>> round(float(line.coef[0]), 12), round(line.intercept, 12)
    (2.0, 1.0)
    """
    if isinstance(source, Moments):
        return _fit_moments(source, target, options or Options(), common)
    rows, asked, chosen = _prepared(source, target, recipe, options, common)
    moments, tally = _condense(rows, asked, chosen)
    _check_used(rows, tally)
    solution = least_squares(moments, intercept=chosen.intercept, rank=chosen.rank)
    _check_target(moments, solution)
    _check_tiny(moments, solution)
    _check_folds(moments, solution, chosen)
    fills = moments.mean[: len(moments.names)] if asked.missing == "mean" else np.empty(0)
    notes = (*rows.notes, *asked.notes)
    return Fit(asked, chosen, solution, tally, rows.source, moments, fills, rows.native, notes, rows)


def condense(
    source: Any,
    target: Any = None,
    *,
    recipe: Recipe | None = None,
    options: Options | None = None,
    **common: Any,
) -> Moments:
    """The one pass: the Moments of `source`, per fold where folds are made. Arguments as `fit`."""
    rows, asked, chosen = _prepared(source, target, recipe, options, common)
    return _condense(rows, asked, chosen)[0]


def _prepared(
    source: Any, target: Any, recipe: Recipe | None, options: Options | None, common: dict[str, Any]
) -> tuple[Rows, Recipe, Options]:
    """The source opened and the recipe settled, with shorthand keywords put where they belong."""
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
    said: dict[str, Any] = {} if target is None else {"target": target}
    of = {cls: {f.name for f in fields(cls)} for cls in (Recipe, Options)}
    of[Recipe] -= {"terms", "filled", "notes"}
    known = {*OPENING, *of[Recipe], *of[Options]}
    for name in common:
        if name not in known:
            raise UsageError(f"There is no option {name!r}. {did_you_mean(name, sorted(known))}")
    rows = open_rows(source, **{k: v for k, v in common.items() if k in OPENING})
    asked = replace(recipe or Recipe(), **said, **{k: v for k, v in common.items() if k in of[Recipe]})
    chosen = replace(options or Options(), **{k: v for k, v in common.items() if k in of[Options]})
    if "sequence" in rows.names and asked.sequence is None and _is_fasta(rows):
        asked = replace(asked, sequence="sequence")
    settled = asked if asked.terms else asked.settled(rows)
    return rows, settled, chosen


def _is_fasta(rows: Rows) -> bool:
    return rows.source.removesuffix(".gz").endswith((".fasta", ".fa", ".faa", ".fas"))


# ---- the pass ----


def _condense(rows: Rows, recipe: Recipe, options: Options) -> tuple[Moments, Tally]:
    """All rows as moments, dealt to folds, and the account of them."""
    plan = _plan(rows, recipe, options)
    shift = _first_shift(rows, recipe)

    def step(slab: Slab) -> tuple[Moments, Tally]:
        try:
            return condensed(slab)
        except MissingError as error:  # said of this slab; the whole source is looked at below
            raise explain_missing(Look.at(slab, recipe.reads_all), recipe) or error from None

    def condensed(slab: Slab) -> tuple[Moments, Tally]:
        block = recipe.block(slab)
        fold = None if plan is None else plan.deal(block)
        moments = Moments.of_rows(
            recipe.names, recipe.target, block.X, block.Y, block.w, shift,
            filled=recipe.filled, fold=fold, plan=plan,
        )  # fmt: skip
        return moments, Tally(slab.n, block.dropped)

    empty = Moments.empty(recipe.names, recipe.target, filled=recipe.filled, plan=plan), Tally()
    try:
        return rows.reduce(
            step,
            lambda a, b: (a[0] + b[0], a[1] + b[1]),
            empty,
            columns=recipe.reads_all,
            progress=options.progress,
        )
    except MissingError as error:
        seen = look(rows, recipe.reads_all) if rows.rereadable else Look()
        raise explain_missing(seen, recipe) or error from None


def _first_shift(rows: Rows, recipe: Recipe) -> Array:
    """What the moments are taken about: the means of the first rows that can be used."""
    slabs: Iterator[Slab] = rows.slabs(recipe.reads_all)
    if isinstance(rows, StreamRows):
        ahead = rows.peek()
        slabs = iter([ahead] if ahead is not None else [])
    for slab in slabs:
        X, _ = recipe.matrix(slab)
        w = slab.matrix((recipe.weight,))[:, 0] if recipe.weight else None
        return first_shift(X, slab.matrix(recipe.target), w)
    return np.zeros(len(recipe.names) + len(recipe.target))


def _plan(rows: Rows, recipe: Recipe, options: Options) -> FoldPlan | None:
    """How rows are to be dealt to folds; None for no folds."""
    if options.folds == 0:
        return None
    k = options.folds or DEFAULT
    if rows.n is not None and options.folds and k > max(rows.n, 2):
        raise UsageError(
            f"{k} folds were asked for, but {rows.source} has {plural(rows.n, 'row')}. Ask for fewer."
        )
    if k > MOST_FOLDS:
        raise UsageError(f"{k} folds are too many: each holds moments. Ask for {MOST_FOLDS} at most.")
    if recipe.together is None:
        return FoldPlan(k, options.seed)
    if not rows.rereadable:
        return FoldPlan(k, options.seed, "group")
    if recipe.group is not None:
        sizes = look(rows, {recipe.group: "text"}).columns[recipe.group].texts
        k = k if options.folds else min(k, len(sizes))
        return FoldPlan.of_groups(sizes, k, options.seed) if k > 1 else None
    texts, labels = _kin(rows, recipe)
    k = k if options.folds else min(k, len(set(labels)))
    return FoldPlan.of_kin(texts, labels, k, options.seed) if k > 1 else None


def _kin(rows: Rows, recipe: Recipe) -> tuple[list[str], list[int]]:
    """All distinct sequences of the source, and the group of relatives that each is in."""
    name = recipe.sequence or ""
    seen: list[str] = rows.reduce(
        lambda slab: slab.texts(name).drop_null().unique().to_pylist(),
        lambda a, b: a + b,
        [],
        columns={name: "text"},
    )
    texts = list(dict.fromkeys(seen))
    kept = clean(texts, unknown=recipe.unknown).kept
    texts = [texts[i] for i in kept]
    policy = "mask" if recipe.unknown == "drop" else recipe.unknown
    return texts, relatives(texts, unknown=policy).tolist()


def _second_pass(fit: Fit, rows: Rows, scores: Validation) -> Mapping[str, Array]:
    """mae and spearman of each fold, from predictions by the other folds' model."""
    recipe, plan = fit.recipe, scores.plan

    Part = tuple[NDArray[np.int64], Array, Array]

    def step(slab: Slab) -> list[Part]:
        block = recipe.block(slab)
        fold = plan.deal(block)
        return [(fold, np.asarray(block.Y, np.float64), _predict_held_out(block, fold, recipe, scores))]

    none: list[Part] = []
    parts = rows.reduce(step, lambda a, b: a + b, none, columns=recipe.reads_all)
    fold, Y, guess = (np.concatenate([part[i] for part in parts]) for i in range(3))
    folds = [fold == f for f in range(plan.k)]
    mae = np.array([np.abs(Y[here] - guess[here]).mean(axis=0) for here in folds])
    rho = np.array([[spearman(Y[here, j], guess[here, j]) for j in range(Y.shape[1])] for here in folds])
    return {"mae": _one(mae.T).T, "spearman": _one(rho.T).T}


def _predict_held_out(block: Block, fold: NDArray[np.int64], recipe: Recipe, scores: Validation) -> Array:
    X = np.array(block.X, np.float64)
    for m, place in enumerate(recipe.filled):
        gap = np.isnan(X[:, place])
        X[gap, place] = scores.fills[fold[gap], m]
    guess = np.empty(block.Y.shape)
    for f in range(scores.k):
        here = fold == f
        guess[here] = X[here] @ scores.coef[f].T + scores.intercept[f]
    return guess


# ---- checks ----


def _check_used(rows: Rows, tally: Tally) -> None:
    if tally.read == 0:
        how = "Check how it was written." if rows.rereadable else "A stream can be read once: make it anew."
        raise DataError(f"{rows.source} has no rows. Some are needed. {how}")
    if tally.used == 0:
        why = "; ".join(f"{count:,} because {reason}" for reason, count in tally.dropped.items())
        raise DataError(
            f"No row of {tally.read:,} is left: {why}. Some must be usable. Fill the gaps, leave the "
            "emptiest columns out, or pass missing='mean'."
        )


def _check_target(moments: Moments, solution: Solution) -> None:
    for name, spread in zip(solution.targets, solution.tss, strict=True):
        if spread == 0:
            value = moments.mean[len(moments.names) + solution.targets.index(name)]
            raise DataError(
                f"The target '{name}' is {value:g} in all {plural(moments.n, 'row')}. There is nothing to "
                "explain. Check that it is the right column."
            )


def _check_tiny(moments: Moments, solution: Solution) -> None:
    """A column below 1e-154 vanishes when squared: it varies, but moments cannot see it."""
    for name in solution.constant:
        mean = moments.mean[moments.names.index(name)]
        if 0 < abs(mean) < 1e-140:
            raise DataError(
                f"The values of column '{name}' are near {mean:.0e}, and their squares vanish in float64. "
                "Sizes above 1e-140 are needed. Put the column in smaller units."
            )


def _check_folds(moments: Moments, solution: Solution, options: Options) -> None:
    """Only folds that were asked for are an error; the default gives way, with the reason."""
    if options.folds and (reason := enough(moments, solution)):
        raise UsageError(
            f"{options.folds} folds were asked for, but {reason}. Ask for fewer (folds=..., --folds), "
            "or leave it to the data."
        )


def _fit_moments(moments: Moments, target: Any, options: Options, common: dict[str, Any]) -> Fit:
    """A fit from moments alone: no row is read."""
    known = {f.name for f in fields(Options)}
    odd = sorted(set(common) - known)
    if odd:
        raise UsageError(f"Moments are past {listed(odd)}: those belong to the rows. Leave them out.")
    chosen = replace(options, **common)
    if moments.n == 0:
        raise MomentsError("These moments hold no rows. Add some first.")
    if target is not None and (target,) != moments.targets and target != moments.targets:
        raise UsageError(f"These moments have the target {listed(moments.targets)}, not {target!r}.")
    solution = least_squares(moments, intercept=chosen.intercept, rank=chosen.rank)
    _check_target(moments, solution)
    _check_folds(moments, solution, chosen)
    recipe = Recipe(
        target=moments.targets,
        terms=tuple(Number(name) for name in moments.names),
        filled=moments.filled,
        missing="mean" if moments.filled else "error",
    )
    fills = moments.mean[: len(moments.names)] if moments.filled else np.empty(0)
    return Fit(recipe, chosen, solution, Tally(moments.n), "moments", moments, fills, "pyarrow")


def _one(values: Array) -> Any:
    """The only row of (1, ...), or all rows where there are several."""
    return values[0] if len(values) == 1 else values


def _tensor(values: Array) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values))
