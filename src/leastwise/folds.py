"""Folds: how rows are dealt, and the honest score that comes of it.

Rows that belong together (one group, or equal content) always come into the same fold, and where a
row goes depends on nothing but itself: not on chunks, files, or workers. Each fold is a part of the
Moments, so the training moments of a fold are the sum of the others, and the held-out error comes
from the held-out moments alone, without a second pass.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.errors import DataError, MomentsError, UsageError, plural
from leastwise.moments import Moments
from leastwise.numerics import Array, content_hash, one_blas_thread, spearman
from leastwise.recipe import Recipe
from leastwise.rows.block import Block, Rows, Slab
from leastwise.solve import ENOUGH, Solution, least_squares, squared_error

DEFAULT = 5


@dataclass(frozen=True)
class FoldPlan:
    """How rows are dealt to `k` folds.

    By content: a seeded hash of the row's numbers. By group: the table `places` (group -> fold),
    or where a group is not in it a seeded hash of its name. Two plans are equal when they deal every
    row alike, so moments of different plans never add.
    """

    k: int
    seed: int = 0
    by: str = "content"  # "content" or "group"
    groups: int = 0  # how many groups were seen
    table: str = ""  # a digest of `places`; "" where groups are dealt by hash
    places: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_groups(cls, sizes: Mapping[str, int], k: int, seed: int) -> FoldPlan:
        """Groups dealt so that folds come out alike in rows: the largest first, to the emptiest.

        Raises UsageError where there are fewer groups than folds. Source: Graham, Bounds on
        multiprocessing timing anomalies, SIAM J. Appl. Math. 17 (1969), largest processing time.
        """
        if k > len(sizes):
            raise UsageError(
                f"{k} folds were asked for and there are {plural(len(sizes), 'group')}. Every fold "
                f"needs a group of its own. Pass folds={len(sizes)} or fewer (--folds)."
            )
        load = [0] * k
        places: dict[str, int] = {}
        for group in sorted(sizes, key=lambda g: (-sizes[g], _hash_text(g, seed))):
            fold = load.index(min(load))
            places[group] = fold
            load[fold] += sizes[group]
        return cls(k, seed, "group", len(places), _digest(places), places)

    @classmethod
    def of_few(cls, hashes: NDArray[np.uint64], k: int, seed: int) -> FoldPlan:
        """Few rows, by content: the distinct hashes in order, dealt one after the other to each fold."""
        places = {str(h): i % k for i, h in enumerate(np.unique(hashes).tolist())}
        return cls(k, seed, "content", 0, _digest(places), places)

    @classmethod
    def of_kin(cls, rows: Mapping[str, int], labels: list[str], k: int, seed: int) -> FoldPlan:
        """Texts (with how many rows each has) dealt by the group that `labels` gives each of them."""
        sizes: Counter[str] = Counter()
        for label, count in zip(labels, rows.values(), strict=True):
            sizes[label] += count
        dealt = cls.of_groups(sizes, k, seed).places
        places = {text: dealt[label] for text, label in zip(rows, labels, strict=True)}
        return cls(k, seed, "group", len(sizes), _digest(places), places)

    def deal(self, block: Block) -> NDArray[np.int64]:
        """The fold (n,) of each row of a block."""
        if not block.n:
            return np.zeros(0, np.int64)
        if self.by == "content":
            hashes = self.hashes(block)
            if not self.table:
                return (hashes % np.uint64(self.k)).astype(np.int64)
            self._refuse_lost_table()
            return np.array([self.fold_of(str(h)) for h in hashes.tolist()], np.int64)
        self._refuse_lost_table()
        encoded = pc.dictionary_encode(block.group)
        folds = [self.fold_of(g) for g in encoded.dictionary.to_pylist()]
        return np.array([*folds, 0], np.int64)[arrow.values(encoded.indices)]

    def hashes(self, block: Block) -> NDArray[np.uint64]:
        """The content of each row as a number (n,)."""
        return content_hash([block.X, block.Y], self.seed)

    def _refuse_lost_table(self) -> None:
        if self.table and not self.places:
            raise MomentsError(
                "How rows were dealt to folds is not kept in the file, only its digest. New rows "
                "cannot be dealt alike. Condense all rows again."
            )

    def fold_of(self, group: str) -> int:
        return self.places.get(group, _hash_text(group, self.seed) % self.k)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values; of the table only its digest."""
        return {
            "k": self.k,
            "seed": self.seed,
            "by": self.by,
            "groups": self.groups,
            "table": self.table,
        }


def _digest(places: Mapping[str, int]) -> str:
    return hashlib.sha256(repr(sorted(places.items())).encode()).hexdigest()[:16]


def _hash_text(text: str, seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{text}".encode(), digest_size=8).digest())


@dataclass(frozen=True, repr=False, eq=False)
class Validation:
    """Scores on rows that the model had not seen, fold by fold: arrays (K,), or (K, k) for k targets.

    `mse`, `rmse`, `r2` on the held-out fold; `train_*` on the rest, with the same coefficients (the
    difference is the generalisation gap); `mean_*` for always answering the training mean.
    `left_out` counts columns that did not vary (or depended on others) in the training part.
    `mae` and `spearman` need every prediction: they are made by a second pass over the rows when they
    are first asked for, and UsageError is raised where the rows cannot be read again.
    """

    plan: FoldPlan
    n: NDArray[np.int64]
    mse: Array
    r2: Array
    train_mse: Array
    train_r2: Array
    mean_mse: Array
    mean_r2: Array
    left_out: NDArray[np.int64]
    coef: Array  # (K, k, p)
    intercept: Array  # (K, k)
    fills: Array  # (K, len(filled)): what missing numbers were replaced by, in units of the data
    again: Callable[[Validation], Mapping[str, Array]] | None = field(
        default=None, repr=False, compare=False
    )

    @property
    def k(self) -> int:
        return len(self.n)

    @cached_property
    def rmse(self) -> Array:
        return np.sqrt(self.mse)

    @cached_property
    def train_rmse(self) -> Array:
        return np.sqrt(self.train_mse)

    @cached_property
    def mean_rmse(self) -> Array:
        return np.sqrt(self.mean_mse)

    @cached_property
    def held_out(self) -> Mapping[str, Array]:
        """`mae`, `spearman`, and `mse` and `r2` once more, (K,) or (K, k), by the second pass."""
        if self.again is None:
            raise UsageError("The rows cannot be read again. mae and spearman need a second pass.")
        return self.again(self)

    @property
    def mae(self) -> Array:
        return self.held_out["mae"]

    @property
    def spearman(self) -> Array:
        return self.held_out["spearman"]

    def __repr__(self) -> str:
        mean, spread = self.over_folds("r2")
        return f"Validation({self.k} folds by {self.plan.by}: r2 {mean} ± {spread})"

    def over_folds(self, name: str) -> tuple[Array, Array]:
        """Mean and standard deviation of a score over the folds, each () or (k,)."""
        values = getattr(self, name)
        return values.mean(axis=0), values.std(axis=0, ddof=1)


@dataclass(frozen=True)
class NoValidation:
    """There is no score on unseen rows, and this is why. Counts as False."""

    reason: str

    def __bool__(self) -> bool:
        return False


def validate(
    moments: Moments,
    solution: Solution,
    *,
    rank: str = "drop",
    again: Callable[[Validation], Mapping[str, Array]] | None = None,
) -> Validation:
    """Scores on each fold by the model of the others. Cost: K solves, no row is read.

    Every fold's model uses the columns that the whole fit kept; what does not vary in a training
    part is left out there. Missing numbers are filled by the training part's means on both sides.
    """
    with one_blas_thread():  # many small factorisations: BLAS's own threads only get in the way
        folds = [_one_fold(moments, f, solution, rank) for f in range(len(moments.parts))]
    stacked = {name: np.array([fold[name] for fold in folds]) for name in folds[0]}
    if len(moments.targets) == 1:
        scores = ("mse", "r2", "train_mse", "train_r2", "mean_mse", "mean_r2")
        stacked |= {name: stacked[name][:, 0] for name in scores}
    return Validation(plan=moments.plan, **stacked, again=again)


def _one_fold(moments: Moments, f: int, solution: Solution, rank: str) -> dict[str, Any]:
    train, held = moments.training(f), moments.fold(f)
    gaps = train.gaps
    known = train.imputed()
    fit = least_squares(
        known,
        intercept=solution.fits_intercept,
        rank="min-norm" if rank == "min-norm" else "drop",
        keep=None if rank == "min-norm" else solution.kept,
        root=False,
        digits=ENOUGH,
    )
    unseen = held.imputed(gaps)
    sse = squared_error(unseen, fit.coef, fit.intercept)
    p = len(moments.names)
    centre = known.mean[p:]
    sse_mean = squared_error(unseen, np.zeros_like(fit.coef), centre)
    weight = unseen.weight
    around = np.diagonal(unseen.comoment)[p:]
    return {
        "n": held.n,
        "mse": sse / weight,
        "r2": _r2(sse, around),
        "train_mse": fit.mse,
        "train_r2": _r2(fit.rss, np.diagonal(known.comoment)[p:]),
        "mean_mse": sse_mean / weight,
        "mean_r2": _r2(sse_mean, around),
        "left_out": int(solution.kept.sum() - fit.kept[solution.kept].sum()),
        "coef": fit.coef,
        "intercept": fit.intercept,
        "fills": gaps + moments.shift[list(moments.filled)],
    }


def _r2(sse: Array, around: Array) -> Array:
    ratio = np.divide(sse, around, out=np.full_like(sse, np.nan), where=around > 0)
    return np.asarray(1 - ratio)


def enough(moments: Moments, solution: Solution) -> str:
    """Why the folds of these moments can carry no score; "" where they can."""
    counts = np.array([part.n for part in moments.parts])
    if len(counts) < 2:
        return "these moments were made without folds"
    if (counts == 0).any():
        empty = int((counts == 0).sum())
        return f"{empty} of {len(counts)} folds got no row: too few distinct rows or groups"
    needed = solution.rank + solution.fits_intercept
    smallest = int(counts.sum() - counts.max())
    if smallest <= needed:
        return (
            f"a training part of {plural(smallest, 'row')} cannot carry "
            f"{plural(needed, 'coefficient')}; more rows or fewer columns are needed"
        )
    return ""


def held_out_scores(rows: Rows, recipe: Recipe, scores: Validation) -> Mapping[str, Array]:
    """`mae`, `spearman`, `mse`, `r2` of each fold, (K,) or (K, k), by predictions of the others' model.

    A second pass over the rows. Memory: four numbers a row. mae weighs the rows as mse does;
    Spearman's correlation does not weigh. mse and r2 are those of the moments, but where these
    cannot carry an error so small. Raises DataError where the rows are no longer those that
    the moments were made of.
    """
    Part = tuple[NDArray[np.int64], Array, Array, Array]

    def step(slab: Slab) -> list[Part]:
        block = recipe.block(slab)
        fold = scores.plan.deal(block)
        w = np.ones(block.n) if block.w is None else block.w
        Y = np.asarray(block.Y, np.float64)
        return [(fold, w, Y, _predict_held_out(block, fold, recipe, scores))]

    none: list[Part] = []
    parts = rows.reduce(step, lambda a, b: a + b, none, columns=recipe.reads_all)
    fold, w, Y, guess = (np.concatenate([part[i] for part in parts]) for i in range(4))
    folds = [fold == f for f in range(scores.k)]
    _check_same_rows(scores, w, Y, folds)
    off = Y - guess
    mse = np.array([_average(off[here] ** 2, w[here]) for here in folds])
    mae = np.array([_average(np.abs(off[here]), w[here]) for here in folds])
    spread = np.array([_average((Y[here] - _average(Y[here], w[here])) ** 2, w[here]) for here in folds])
    rho = np.array([[spearman(Y[here, j], guess[here, j]) for j in range(Y.shape[1])] for here in folds])
    found = {"mae": mae, "spearman": rho, "mse": mse, "r2": _r2(mse, spread)}
    return {name: value[:, 0] if Y.shape[1] == 1 else value for name, value in found.items()}


def _check_same_rows(scores: Validation, w: Array, Y: Array, folds: list[NDArray[np.bool_]]) -> None:
    """The rows are those of the moments: as many in each fold, and as far from the training mean."""
    counts = [int(here.sum()) for here in folds]
    same = counts == scores.n.tolist()
    if same:
        away = [_average((Y[here] - _average(Y[~here], w[~here])) ** 2, w[here]) for here in folds]
        same = np.allclose(np.array(away), scores.mean_mse.reshape(len(folds), -1), rtol=1e-3)
    if not same:
        raise DataError("The rows are not those that were fitted. Fit again before scoring.")


def _average(values: Array, w: Array) -> Array:
    return np.asarray((w @ values) / w.sum())


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
