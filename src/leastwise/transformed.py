"""A target that is transformed: every training set learns its own transform, and held-out rows choose one.

    rows -> y, and how they are dealt -> a transform for each (name, training set)      one pass
         -> moments with a target column for each of them                               one pass
         -> models of every training set -> held-out rows, back in units of y           one pass

The floor of a logarithm and ranks are learned from rows, so what a fold is scored by has to be learned
without it, and what that fold chooses by, without the inner fold too. All these transforms are known after
the first pass, and a target column costs p numbers: so one pass makes the moments of all of them, and each
training set is solved in the column that is its own. Errors are those of y, not of z: a row is predicted,
turned back, and compared, and that takes the rows once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.choice import Choice, choose
from leastwise.conformal import Model, inner_parts, predicted
from leastwise.errors import DataError, MissingError, UsageError, plural
from leastwise.folds import ALONE, Dealing, FoldPlan, dealt_places, merged
from leastwise.look import HUGE
from leastwise.moments import Moments
from leastwise.numerics import Array, one_blas_thread, spearman
from leastwise.options import Options
from leastwise.parts import Thin
from leastwise.recipe import Recipe
from leastwise.rows.block import Rows, Slab
from leastwise.solve import ENOUGH, Solution, least_squares
from leastwise.transforms import CHOSEN, Transform, candidates, learned
from leastwise.validation import Validation, by_least_squares, held_out

Places = tuple[int, ...]  # of parts, ascending

MOST_SETS = 600  # target columns at once
MOST_GUESSES = 100_000_000  # numbers kept to choose by: 0.8 GB
ALIKE = 1e-9  # scores no further apart are one
PAIRED = 10  # folds, of which every two are left out


@dataclass(frozen=True, eq=False)
class Learned:
    """What each training set makes of the target: `found[name, places]`; `part`, `y`, `w` (n,) of rows."""

    names: tuple[str, ...]
    every: Places
    part: NDArray[np.int64]
    y: Array
    w: Array
    found: Mapping[tuple[str, Places], Transform]

    def columns(self, y: Any) -> Array:
        """The target (n, q) as each of them has it."""
        values = np.asarray(y, np.float64).reshape(-1)
        return np.column_stack([one.of(values) for one in self.found.values()])

    @property
    def targets(self) -> tuple[str, ...]:
        """Names for these columns."""
        return tuple(f"{name} {' '.join(map(str, places))}" for name, places in self.found)

    def of(self, name: str, places: Places) -> Transform:
        """What these parts learned."""
        return self.found[name, tuple(sorted(places))]

    def can(self, name: str, dealing: Dealing[Places], owner: Places) -> bool:
        """Whether every training set of a dealing could learn it, and the one that is to have it."""
        sets = (dealing.whole, *dealing.training, owner)
        return all((name, tuple(sorted(places))) in self.found for places in sets)


def learn(rows: Rows, recipe: Recipe, options: Options, plan: FoldPlan | None) -> Learned:
    """All transforms that come into question, each from its own training rows. A pass; 24 bytes a row.

    Raises UsageError where there is nothing to choose by, or far too much; DataError where the one that was
    asked for cannot be learned.
    """
    names, choosing = candidates(recipe.transform), recipe.transform in CHOSEN
    if options.repeats > 1 or options.folds == ALONE:
        what = f"folds='{ALONE}'" if options.folds == ALONE else f"repeats={options.repeats}"
        raise UsageError(
            f"transform='{recipe.transform}' is learned by each training set for itself, which cannot be "
            f"done with {what}. Ask for folds dealt once, as folds=5, or transform the target yourself."
        )
    part, y, w = _gathered(rows, recipe, plan)
    counts = np.bincount(part[w > 0], minlength=1 if plan is None else plan.k)
    dealings = dealt_places(plan, counts.tolist())
    if choosing and not any(len(d.for_choice.folds) >= d.for_choice.least for d in dealings):
        raise UsageError(
            f"transform='{recipe.transform}' is chosen by held-out folds, and there are none. Ask for "
            "folds (folds=, --folds), or name one, as transform='log'."
        )
    every, nested = tuple(range(len(counts))), choosing or bool(options.penalty.rule)
    sets = _sets(every, dealings, nested=nested)
    if len(sets) * len(names) > MOST_SETS:
        raise UsageError(
            f"Each of {plural(len(sets), 'training set')} learns {plural(len(names), 'transform')} for "
            f"itself, and {MOST_SETS} are the most. Ask for 10 folds or fewer (folds=, --folds)."
        )
    needed = {*sets} if nested else {*_sets(every, dealings, nested=False, paired=0)}
    found: dict[tuple[str, Places], Transform] = {}
    for name in names:
        for places in sets:
            some = np.isin(part, places)
            try:
                found[name, places] = learned(name, y[some], w[some])
            except DataError as error:  # one of several need not be possible, nor what only coverage takes
                if len(names) == 1 and places in needed:
                    where = "" if places == every else "Of the rows that a fold is trained on: "
                    raise DataError(f"{where}{error}") from None
    return Learned(names, sets[0], part, y, w, found)


def _gathered(rows: Rows, recipe: Recipe, plan: FoldPlan | None) -> tuple[NDArray[np.int64], Array, Array]:
    """Of each row its part, its target and its weight, each (n,)."""

    def step(slab: Slab) -> list[tuple[NDArray[np.int64], Array, Array]]:
        block = recipe.block(slab, stored=True)
        part = np.zeros(block.n, np.int64) if plan is None else plan.deal(block)
        w = np.ones(block.n) if block.w is None else block.w
        return [(part, np.asarray(block.Y, np.float64).reshape(-1), w)]

    none: list[tuple[NDArray[np.int64], Array, Array]] = []
    pieces = rows.reduce(step, lambda a, b: a + b, none, columns=recipe.reads_all)
    part, y, w = (np.concatenate([piece[i] for piece in pieces] or [np.empty(0)]) for i in range(3))
    if not (np.abs(y) < HUGE).all():
        raise MissingError("A value of the target is missing, infinite or too large. Look at that column.")
    if len(y) and y.min() == y.max():
        raise DataError(
            f"The target '{recipe.target[0]}' is {y[0]:g} in all {plural(len(y), 'row')}. There is nothing "
            "to explain. Check that it is the right column."
        )
    return part.astype(np.int64), y, w


def _sets(
    every: Places, dealings: list[Dealing[Places]], *, nested: bool, paired: int = PAIRED
) -> list[Places]:
    """All that anything is trained on: all rows first."""
    found: list[Any] = [every]
    for dealing in dealings:
        found += dealing.training
        if nested or len(dealing.folds) <= paired:
            inner = [dealing.for_choice, *(dealing.without(i) for i in range(len(dealing.folds)))]
            found += [places for d in inner if len(d.folds) >= d.least for places in (d.whole, *d.training)]
    return list(dict.fromkeys(tuple(sorted(places)) for places in found if places))


@dataclass(frozen=True, eq=False)
class _Aimed:
    """The moments of one dealing, each in the target column of those who are trained."""

    whole: Moments
    training: Sequence[Moments]
    folds: Sequence[Moments]
    least: int = 2


@dataclass(frozen=True, eq=False)
class Chosen:
    """A transform by name, its penalty, and the `scores` by which it was chosen: mse of y, or Spearman."""

    name: str
    alpha: float | None
    choice: Choice | None
    scores: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Transformed:
    """The moments of a target in all its columns, and what is found from them."""

    rows: Rows
    recipe: Recipe  # without a transform of its own: its target is y
    options: Options
    moments: Moments
    learned: Learned

    # ---- columns ----

    def aimed(self, name: str, trained: Places, places: Places | None = None) -> Moments:
        """The moments of some parts in the column of those trained on; of all, fold by fold, for None."""
        j = list(self.learned.found).index((name, tuple(sorted(trained))))
        some = self.moments if places is None else merged(self.moments, places)
        first = 1 + len(some.names) + len(some.filled)
        stay = np.append(np.arange(first), first + j)
        parts = tuple(_narrow(part.only(stay)) for part in some.parts)
        return replace(some, targets=self.recipe.target, shift=some.shift[stay[1:] - 1], parts=parts)

    def _of_dealing(self, name: str, dealing: Dealing[Places]) -> _Aimed:
        pairs = list(zip(dealing.training, dealing.folds, strict=True))
        return _Aimed(
            self.aimed(name, dealing.whole, dealing.whole),
            [self.aimed(name, trained, trained) for trained, _ in pairs],
            [self.aimed(name, trained, held) for trained, held in pairs],
            dealing.least,
        )

    def _model(
        self, name: str, trained: Places, alpha: float | None, solution: Solution | None = None
    ) -> tuple[Model, Solution, Moments]:
        """What these rows learn; of a whole `solution`, by the columns that it kept."""
        train = self.aimed(name, trained, trained)
        known, asked = train.imputed(), self.options
        model = asked.model(self.recipe)
        if model is not None:
            made = model.solve(known, alpha, digits=False)
        elif solution is not None:
            made = by_least_squares(solution, asked.rank, self.recipe.derived)(known)
        else:
            rank = "min-norm" if asked.rank == "min-norm" else "drop"
            known = known.rounded() if self.recipe.derived else known
            made = least_squares(known, intercept=asked.intercept, rank=rank, root=False, digits=ENOUGH)
        fills = train.gaps + train.shift[list(train.filled)]
        return Model(made.coef, made.intercept, fills, self.learned.of(name, trained)), made, known

    # ---- choosing ----

    @cached_property
    def _dealing(self) -> Dealing[Places] | None:
        """How the parts are dealt; None where there are no folds."""
        found = dealt_places(self.moments.plan, [part.n for part in self.moments.parts])
        return next(iter(found), None)

    @cached_property
    def chosen(self) -> Chosen:
        """What all rows choose."""
        dealing = self._dealing
        if dealing is None or not (self.options.penalty.rule or len(self.learned.names) > 1):
            return Chosen(self.learned.names[0], None, None, {})
        return self._choose([dealing.for_choice], [self.learned.every])[0]

    @cached_property
    def by_fold(self) -> list[Chosen]:
        """What the training rows of each fold choose by themselves."""
        dealing = self._dealing
        assert dealing is not None
        if not (self.options.penalty.rule or len(self.learned.names) > 1):
            return [self.chosen] * len(dealing.folds)
        inner = [dealing.without(i) for i in range(len(dealing.folds))]
        return self._choose(inner, dealing.training)

    def _choose(self, dealings: Sequence[Dealing[Places]], owners: Sequence[Places]) -> list[Chosen]:
        """For each dealing the penalty of every transform, and the transform whose held-out rows say so.

        The `owners` are those who learn what is chosen, to be fitted.
        """
        names = self.learned.names
        tried = [
            [one for one in names if self.learned.can(one, d, owner)]
            for d, owner in zip(dealings, owners, strict=True)
        ]
        found = [[self._penalty(one, d) for one in some] for some, d in zip(tried, dealings, strict=True)]
        if len(names) == 1:
            return [choices[0] for choices in found]
        columns = [(d, one) for d, choices in zip(dealings, found, strict=True) for one in choices]
        guesses = self._guesses(columns)
        made, start = [], 0
        for dealing, choices in zip(dealings, found, strict=True):
            own = guesses[:, start : start + len(choices)]
            start += len(choices)
            scores = {c.name: self._score(dealing, own[:, j]) for j, c in enumerate(choices)}
            best = (max if self.by_order else min)(scores.values())
            alike = (one for one in choices if abs(scores[one.name] - best) <= ALIKE * abs(best))
            made.append(replace(next(alike), scores=scores))  # the plainest of them
        return made

    @property
    def by_order(self) -> bool:
        """Whether Spearman's correlation chooses, and not the squared error."""
        return self.recipe.transform == CHOSEN[1]

    def _penalty(self, name: str, dealing: Dealing[Places]) -> Chosen:
        model = self.options.model(self.recipe)
        if model is None or not self.options.penalty.rule:
            return Chosen(name, None, None, {})
        choice = choose([self._of_dealing(name, dealing)], model)
        return Chosen(name, choice.alpha, choice, {})

    def _guesses(self, columns: Sequence[tuple[Dealing[Places], Chosen]]) -> Array:
        """What each row is predicted by models that were trained without it (n, columns); nan for none."""
        n = len(self.learned.y)
        if n * len(columns) > MOST_GUESSES:
            raise UsageError(
                f"transform='{self.recipe.transform}' keeps {len(columns)} predictions of each of {n:,} "
                f"rows, and {MOST_GUESSES:,} numbers are the most. Name one, as transform='log', or ask "
                "for fewer folds."
            )
        models = []
        with one_blas_thread():
            for at, (dealing, one) in enumerate(columns):
                for trained, held in zip(dealing.training, dealing.folds, strict=True):
                    models.append((at, held, self._model(one.name, trained, one.alpha)[0]))

        def step(slab: Slab) -> list[Array]:
            block = self.recipe.block(slab, stored=True)
            part = self._parts(block)
            found = np.full((block.n, len(columns)), np.nan)
            for at, held, model in models:
                here = np.isin(part, held)
                found[here, at] = predicted(block.X[here], self.recipe.filled, [model])[:, 0, 0]
            return [found]

        none: list[Array] = []
        return np.concatenate(self._pass(step, lambda a, b: a + b, none))

    def _score(self, dealing: Dealing[Places], guess: Array) -> float:
        """The mean squared error of y over the folds of a dealing, or the mean of their Spearman."""
        y, w, part = self.learned.y, self.learned.w, self.learned.part
        folds = [np.isin(part, held) for held in dealing.folds]
        if self.by_order:
            order = [np.nan_to_num(spearman(y[here], guess[here])) for here in folds]
            return float(np.average(order, weights=[here.sum() for here in folds]))
        some = np.logical_or.reduce(folds)
        return float(w[some] @ (y[some] - guess[some]) ** 2 / w[some].sum())

    def _parts(self, block: Any) -> NDArray[np.int64]:
        plan = self.moments.plan
        return np.zeros(block.n, np.int64) if plan is None else plan.deal(block)

    def _pass(self, step: Callable[[Slab], Any], merge: Any, empty: Any) -> Any:
        return self.rows.reduce(step, merge, empty, columns=self.recipe.reads_all)

    # ---- what is found ----

    @cached_property
    def scale(self) -> Transform:
        """The transform of all rows."""
        return self.learned.of(self.chosen.name, self.learned.every)

    @cached_property
    def own(self) -> Moments:
        """The moments of all rows, fold by fold, in the column of that transform."""
        return self.aimed(self.chosen.name, self.learned.every)

    def solution(self) -> Solution:
        """The model of all rows, of z."""
        model = self.options.model(self.recipe)
        if model is None:
            return plain(self.own, self.recipe, self.options)
        return model.solve(self.own, self.chosen.alpha)

    def validation(self, solution: Solution) -> Validation:
        """Scores of y on each fold, by the transform and penalty that its training rows choose.."""
        dealing, plan = self._dealing, self.moments.plan
        assert dealing is not None
        chosen = self.by_fold
        with one_blas_thread():
            made = [
                self._model(one.name, trained, one.alpha, solution)
                for one, trained in zip(chosen, dealing.training, strict=True)
            ]
        models = [model for model, _, _ in made]
        sse = self._squares(models)  # (k, K)
        folds = [
            self._fold(held, trained, sse[:, f])
            for f, (held, trained) in enumerate(zip(dealing.folds, dealing.training, strict=True))
        ]
        arrays = {name: np.array([fold[name] for fold in folds]) for name in folds[0]}
        alphas = [one.alpha for one in chosen]
        kept = solution.kept
        return Validation(
            plan=plan, **arrays,
            left_out=np.array([int(kept.sum() - s.kept[kept].sum()) for _, s, _ in made]),
            coef=np.stack([model.coef for model in models]),
            intercept=np.stack([model.intercept for model in models]),
            fills=np.stack([model.fills for model in models]),
            alpha=np.empty(0) if None in alphas else np.array(alphas, np.float64),
            back=tuple(model.back for model in models),
            again=partial(held_out, self.rows, self.recipe),
        )  # fmt: skip

    def _squares(self, models: list[Model]) -> Array:
        """Squared errors of y, summed over each part, of each model (k, M)."""
        k = self.moments.plan.k

        def step(slab: Slab) -> Array:
            block = self.recipe.block(slab, stored=True)
            w = np.ones(block.n) if block.w is None else block.w
            off = np.asarray(block.Y, np.float64) - predicted(block.X, self.recipe.filled, models)[:, :, 0]
            part, found = self._parts(block), np.zeros((k, len(models)))
            np.add.at(found, part, w[:, None] * off**2)
            return found

        return np.asarray(self._pass(step, np.add, np.zeros((k, len(models)))))

    def _fold(self, held: Places, trained: Places, sse: Array) -> dict[str, Any]:
        """The scores of a fold, from squared errors by part (k,)."""
        y, w, part = self.learned.y, self.learned.w, self.learned.part
        here, there = np.isin(part, held), np.isin(part, trained)
        middle = float(w[there] @ y[there] / w[there].sum())

        def around(some: NDArray[np.bool_], centre: float | None = None) -> float:
            mean = float(w[some] @ y[some] / w[some].sum()) if centre is None else centre
            return float(w[some] @ (y[some] - mean) ** 2)

        def r2(error: float, some: NDArray[np.bool_]) -> float:
            spread = around(some)
            return 1 - error / spread if spread > 0 else np.nan

        unseen, seen = float(sse[list(held)].sum()), float(sse[list(trained)].sum())
        constant = around(here, middle)
        return {
            "n": int((w[here] > 0).sum()),
            "mse": unseen / w[here].sum(), "r2": r2(unseen, here),
            "train_mse": seen / w[there].sum(), "train_r2": r2(seen, there),
            "mean_mse": constant / w[here].sum(), "mean_r2": r2(constant, here),
        }  # fmt: skip

    def why_uncovered(self, scores: Validation) -> str:
        """Why there are no models without two folds: too few rows for a transform; "" where there are."""
        for f, split in enumerate(scores.plan.splits):
            for out in inner_parts(scores, f):
                trained = tuple(part for part in split.train if part not in out)
                if (self.by_fold[f].name, tuple(sorted(trained))) not in self.learned.found:
                    return f"{self.by_fold[f].name} cannot be learned of the rows without two folds"
        return ""

    def without(self, scores: Validation, f: int, out: Places) -> Model:
        """The model of fold f's training rows less some parts, as fold f chose."""
        trained = tuple(part for part in scores.plan.splits[f].train if part not in out)
        one = self.by_fold[f]
        return self._model(one.name, trained, one.alpha)[0]


def plain(moments: Moments, recipe: Recipe, options: Options) -> Solution:
    """Least squares of all rows.

    Columns that are made of sequences are rounded: what depends on others but for rounding is found in
    rounded moments first, as exact ones would take it for independent, with coefficients of 1e12.
    """
    asked: dict[str, Any] = {"intercept": options.intercept, "rank": options.rank}
    if not (recipe.derived and moments.exact) or options.rank == "min-norm":
        return least_squares(moments, **asked)
    rough = least_squares(moments.rounded(), root=False, **asked)
    found = least_squares(moments, keep=rough.kept if rough.dropped else None, **asked)
    left = 15.0 - float(np.log10(max(found.condition, 1.0)))  # the columns themselves have no more
    return replace(found, dropped=rough.dropped, digits=min(found.digits, max(left, 0.0)))


def _narrow(part: Any) -> Any:
    """Few rows of many target columns may be many beside one: then the matrix is smaller."""
    many = isinstance(part, Thin) and len(part.rows) > part.rows.shape[1]
    return part.dense() if many else part
