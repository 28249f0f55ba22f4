"""What stands beside the honest score of sequences: the random split, the nearest relative, and the noise.

random      each sequence dealt by itself: the score that most papers print
nearest     "copy your cousin": the value of the nearest sequence in training, or the mean
bands       errors of the random split by identity to the nearest in training: what a cousin is worth
ceiling     the R2 that repeated measurements leave to any model
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.numerics import Array, spearman
from leastwise.related import Kindred, Measured
from leastwise.sequences import Repeats
from leastwise.sequences.kin import Kin
from leastwise.sequences.variants import Variants
from leastwise.validation import HeldOut, NoValidation, Validation

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

EDGES = (0.0, 0.3, 0.4, 0.5, 0.7, 0.9, 1.0)  # of identity; a band holds its lower edge
MOST_VARIANTS = 10_000  # distinct ones, of which the distances of all pairs are counted
BLOCK = 512


@dataclass(frozen=True, eq=False)
class Nearest:
    """The value of the nearest sequence in training as a prediction: scores by fold (K,)."""

    r2: Array
    rmse: Array
    spearman: Array
    found: float  # share of the held-out rows that have one


@dataclass(frozen=True)
class Band:
    """Held-out rows by identity to the nearest in training; `low` None: none is near."""

    low: float | None
    high: float
    n: int
    rmse: float
    mean_rmse: float
    nearest_rmse: float


@dataclass(frozen=True)
class Across:
    """The `highest` identity of a held-out sequence to a training one, as far as `pairs` were aligned.

    `related`: held-out rows with one that is as near as relatives are; `alone`: the share of rows with none
    that chance does not explain.
    """

    highest: float
    related: int
    alone: float
    pairs: int
    exhaustive: bool


@dataclass(frozen=True, eq=False)
class Beside:
    """All that stands beside the score of a fit of sequences."""

    random: Validation | None
    nearest: Nearest | None  # under the honest split
    nearest_random: Nearest | None
    bands: tuple[Band, ...]  # of the random split
    repeats: Repeats
    across: Across | None  # of the honest split

    @classmethod
    def of(cls, kindred: Kindred, scores: Validation, random: Validation | NoValidation) -> Beside:
        """Of the honest scores and those of the random split."""
        by_chance = random if isinstance(random, Validation) and random.again is not None else None
        return cls(
            by_chance,
            nearest(kindred, scores, scores.rows),
            None if by_chance is None else nearest(kindred, by_chance, by_chance.rows),
            () if by_chance is None else bands(kindred, by_chance, by_chance.rows),
            kindred.measured.repeats(),
            across(kindred, scores, scores.rows),
        )


def across(kindred: Kindred, scores: Validation, held: HeldOut) -> Across | None:
    """How near held-out rows are to training ones; None where no sequences were aligned."""
    kin = kindred.dealt.kin
    if kin is None:
        return None
    _, identity, _ = _copied(kindred, scores, held)
    some = np.isin(held.part, [part for split in scores.plan.splits for part in split.held])
    share = identity[some]
    return Across(
        float(share.max(initial=0.0)), int((share >= kin.related.identity).sum()),
        float((share == 0).mean()), kin.pairs, kin.exhaustive,
    )  # fmt: skip


def nearest(kindred: Kindred, scores: Validation, held: HeldOut) -> Nearest | None:
    """The scores of copying the nearest sequence, fold by fold; None where nobody looked for them."""
    guess, identity, _ = _copied(kindred, scores, held)
    if guess is None:
        return None
    y, r2, rmse, rho = held.Y[:, 0], [], [], []
    for split in scores.plan.splits[: len(scores.plan.splits) // scores.plan.repeats]:
        here = np.isin(held.part, split.held)
        w, off = held.w[here], (y - guess)[here]
        mse = float(w @ off**2 / w.sum())
        middle = float(w @ y[here] / w.sum())
        around = float(w @ (y[here] - middle) ** 2 / w.sum())
        r2.append(1 - mse / around if around > 0 else np.nan)
        rmse.append(np.sqrt(mse))
        rho.append(spearman(y[here], guess[here]))
    some = np.isin(held.part, [part for split in scores.plan.splits for part in split.held])
    return Nearest(np.array(r2), np.array(rmse), np.array(rho), float((identity[some] > 0).mean()))


def bands(kindred: Kindred, scores: Validation, held: HeldOut) -> tuple[Band, ...]:
    """Errors by band of identity to the nearest in training, under the split that `scores` are of."""
    if kindred.dealt.kin is None:
        return ()
    guess, identity, mean = _copied(kindred, scores, held)
    y, ours = held.Y[:, 0], held.guess[:, 0, 0]
    some = np.isfinite(ours)
    found = []
    for low, high in zip((None, *EDGES[:-1]), (0.0, *EDGES[1:]), strict=True):
        inside = identity == 0 if low is None else (identity > 0) & (identity >= low)
        here = some & inside & ((identity < high) | (high in (0.0, 1.0)))
        if here.any():
            errors = (_root(held.w[here], y[here] - by[here]) for by in (ours, mean, guess))
            found.append(Band(low, high, int(here.sum()), *errors))
    return tuple(found)


def _root(w: Array, off: Array) -> float:
    return float(np.sqrt(w @ off**2 / w.sum()))


def _copied(kindred: Kindred, scores: Validation, held: HeldOut) -> tuple[Any, Array, Array]:
    """Of each row the nearest training value (n,), its identity, the training mean; None: not known."""
    n = len(held.part)
    guess, identity, mean = (np.full(n, np.nan) for _ in range(3))
    finder = _finder(kindred)
    if finder is None or len(kindred.measured.of) != n:
        return None, identity, mean
    of, y = kindred.measured.of, held.Y[:, 0]
    for split in scores.plan.splits[: len(scores.plan.splits) // scores.plan.repeats]:
        here, there = np.isin(held.part, split.held), np.isin(held.part, split.train)
        cells = len(kindred.measured.cells.texts)
        weight = np.bincount(of[there], held.w[there], cells)
        value = np.bincount(of[there], (held.w * y)[there], cells) / np.maximum(weight, 1e-300)
        asked = np.bincount(of[here], minlength=cells) > 0
        share, copied = finder(asked & (weight == 0), weight, value)
        middle = float(held.w[there] @ y[there] / held.w[there].sum())
        identity[here], mean[here] = share[of[here]], middle
        guess[here] = np.where(share[of[here]] > 0, copied[of[here]], middle)
    return guess, np.nan_to_num(identity), mean


def _finder(kindred: Kindred) -> Any:
    """What gives, of cells held out, weights and values in training, identity and value of the nearest."""
    measured, kin = kindred.measured, kindred.dealt.kin
    if kin is not None:
        return _by_kin(measured, kin)
    made = measured.cells.variants
    if made is None or len(made.kept) > MOST_VARIANTS or len(made.kept) < len(measured.cells.texts):
        return None
    return _by_substitutions(made)


def _by_kin(measured: Measured, kin: Kin) -> Any:
    """By the identity of alignments."""
    place = {sequence: i for i, sequence in enumerate(kin.sequences)}
    at = np.array([place[sequence] for sequence in measured.cells.sequences])  # sequence of each cell
    n = len(kin.sequences)

    def find(held: Flags, weight: Array, value: Array) -> tuple[Array, Array]:
        count = np.bincount(at, weight, n)
        known = np.bincount(at, weight * value, n) / np.maximum(count, 1e-300)
        mine = np.zeros(n, bool)
        mine[at[held]] = True
        share, which = kin.nearest(mine & (count == 0), count > 0)
        return share[at], np.where(which >= 0, known[which], np.nan)[at]

    return find


def _by_substitutions(made: Variants) -> Any:
    """By the number of residues that differ: the mean of all the nearest, for there are many."""
    from scipy.sparse import csr_array

    n, L = len(made.kept), len(made.wild_type)
    ones = np.ones(len(made.rows))
    sites = csr_array((ones, (made.rows, made.positions)), shape=(n, L))
    letters = csr_array((ones, (made.rows, made.positions * 21 + made.letters)), shape=(n, L * 21))

    def find(held: Flags, weight: Array, value: Array) -> tuple[Array, Array]:
        share, copied = np.zeros(n), np.full(n, np.nan)
        asked, known = np.flatnonzero(held), np.flatnonzero(weight > 0)
        for start in range(0, len(asked), BLOCK):
            some = asked[start : start + BLOCK]
            same = (letters[some] @ letters[known].T + sites[some] @ sites[known].T).toarray()
            apart = made.mutations[some][:, None] + made.mutations[known][None] - same
            least = apart.min(axis=1)
            near = apart == least[:, None]
            share[some] = 1 - least / L
            copied[some] = (near @ value[known]) / near.sum(axis=1)
        return share, copied

    return find
