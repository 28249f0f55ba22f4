"""Moments: all that least squares needs to know of the rows, and all that is kept of them.

With `Z = [1, X, M, Y]` (n, 1+q) the rows of features, indicators of missing cells and targets,
each column but the first taken about a fixed shift `s`, the moments are the symmetric matrix

    C = Z' diag(w) Z      (1+q, 1+q)      C[0, 0] = weight, C[0, 1:] = sums, the rest = products

and the count n. They add: `C(rows a and rows b) = C(a) + C(b)`. Moments about another shift follow
from `z' = z + (s - s')`, a linear map of Z, so parts made about different shifts still add up.

Why a shift: with plain sums of squares, a column of mean 1e7 and deviation 1 keeps no digit of its
variance in float64. About the mean of its first block it keeps nearly all.
Source: Chan, Golub, LeVeque, Algorithms for computing the sample variance, Am. Stat. 37 (1983).

Missing numbers: `z` is 0 (about the shift) where a cell of a *filled* column is missing, and its
indicator in M is 1. Putting the mean of some rows there is again a linear map, `z + (mean - s) m`,
so each training fold can fill with its own mean after the pass, exactly.

Where there are fewer rows than columns the rows themselves are the smaller summary: `Thin` keeps
the factor R (n, 1+q) with `C = R'R`, and the dual (n, n) is solved instead.

Under `precision="exact"` the matrix is kept in integers, about zero: nothing is rounded, so that any
order of adding gives the same bits, and what is taken away leaves no trace (integers.py).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import MomentsError, UsageError, listed, plural
from leastwise.integers import Integers
from leastwise.numerics import EPS, Array, block_rows
from leastwise.parts import Exact, Grids, Numbers, Part, Sparse, Thin, as_exact, exact_part, part_of
from leastwise.rows.block import Slab, checked_weights
from leastwise.rows.memory import paired

FIRST = 2_000  # rows by which exact sums lay their grids
SAME = ("names", "targets", "filled", "plan", "weight_kind")  # what moments that add up have in common
EQUAL_DIGITS = 12  # to which `==` compares: what float64 sums of any order promise to agree in


@dataclass(frozen=True, eq=False, repr=False)
class Moments:
    """Counts, sums and co-moments of features and targets, whole or fold by fold.

    `names` (p) features, `targets` (k), `filled` the features (by place) that have an indicator;
    the q columns stand in the order features, indicators, targets. `shift` (q,) is what they are
    taken about. `parts` holds one part, or one per fold of `plan`. Two moments are equal when their
    columns, counts and folds are, and their numbers about the mean agree to 12 digits of the columns'
    own scale, or to the rounding on the way; exact ones when they agree to the last bit. A sum of exact
    and rounded moments is rounded.

    >>> import numpy as np
    >>> X, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    >>> Moments.of(X[:4], y[:4]) + Moments.of(X[4:], y[4:]) == Moments.of(X, y)
    True
    """

    names: tuple[str, ...]
    targets: tuple[str, ...]
    shift: Array
    parts: tuple[Part, ...]
    filled: tuple[int, ...] = ()
    plan: Any = None  # how rows were dealt to folds (folds.FoldPlan); parts of different plans never add
    weight_kind: str = ""  # what the weights mean (recipe.Recipe); "" where there are none

    # ---- making ----

    @classmethod
    def empty(
        cls,
        names: Iterable[str],
        targets: Iterable[str],
        *,
        filled: tuple[int, ...] = (),
        plan: Any = None,
        exact: bool = False,
    ) -> Moments:
        """Moments of no rows: the neutral element of `+`."""
        names, targets = tuple(names), tuple(targets)
        q = len(names) + len(filled) + len(targets)
        part = Exact(0, Integers.zero(1 + q)) if exact else Thin.of(0, np.empty((0, 1 + q)))
        return cls(names, targets, np.zeros(q), (part,) * (plan.k if plan is not None else 1), filled, plan)

    @classmethod
    def of(cls, X: Any, y: Any, weight: Any = None, *, precision: str = "fast") -> Moments:
        """Moments of arrays: `X` (n, p), `y` (n,) or (n, k), `weight` (n,).

        `precision`: "fast" (float64 about a shift) or "exact" (integers: nothing is rounded, at 2 to
        10 times the cost, with weights up to 40). Cost: n (p + k)^2 multiplications, one copy of a block
        at a time. Raises MissingError where a value is not finite, DataError where the lengths differ
        or the weights are no weights.
        """
        if checked_precision(precision, ("fast", "exact")) == "exact":
            return cls._of_exactly(X, y, weight)
        rows = paired(X, y)
        names, targets = rows.names[: -len(rows.targets)], rows.targets
        w = None if weight is None else checked_weights(np.asarray(weight, np.float64), rows.n or 0)
        kind = "" if weight is None else "analytic"
        if not rows.n:
            return replace(cls.empty(names, targets), weight_kind=kind)
        shift = settled_shift(
            first_shift(
                s.matrix(names), s.matrix(targets), None if w is None else w[s.first : s.first + s.n]
            )
            for s in rows.slabs()
        )

        def step(slab: Slab) -> Moments:
            part = None if w is None else w[slab.first : slab.first + slab.n]
            return cls.of_rows(names, targets, slab.matrix(names), slab.matrix(targets), part, shift)

        return replace(rows.reduce(step, operator.add, cls.empty(names, targets)), weight_kind=kind)

    @classmethod
    def _of_exactly(cls, X: Any, y: Any, weight: Any) -> Moments:
        rows = paired(X, y)
        names, targets = rows.names[: -len(rows.targets)], rows.targets
        w = None if weight is None else checked_weights(np.asarray(weight, np.float64), rows.n or 0)
        empty = cls.empty(names, targets, exact=True)
        kind = "" if weight is None else "analytic"
        if not rows.n:
            return replace(empty, weight_kind=kind)

        def numbers(slab: Slab) -> Numbers:
            part = None if w is None else w[slab.first : slab.first + slab.n]
            low = slab.low(names), slab.low(targets)
            return Numbers(slab.matrix(names), slab.matrix(targets), part, *low)

        grids = Grids.of(numbers(next(rows.slabs())), slice(0, FIRST))

        def step(slab: Slab) -> Moments:
            return cls.of_numbers(names, targets, numbers(slab), grids)

        return replace(rows.reduce(step, operator.add, empty).settled(), weight_kind=kind)

    @classmethod
    def of_numbers(
        cls,
        names: tuple[str, ...],
        targets: tuple[str, ...],
        numbers: Numbers,
        grids: Grids,
        *,
        fold: NDArray[np.integer[Any]] | None = None,
        plan: Any = None,
    ) -> Moments:
        """Exact moments of one slab of rows, dealt to folds by `fold` (n,), on the grids given."""
        parts = [exact_part(numbers, grids, rows) for rows in dealt(fold, plan)]
        q = len(names) + len(numbers.filled) + len(targets)
        return cls(names, targets, np.zeros(q), tuple(parts), numbers.filled, plan)

    @classmethod
    def of_rows(
        cls,
        names: tuple[str, ...],
        targets: tuple[str, ...],
        X: NDArray[Any],
        Y: NDArray[Any],
        w: Array | None,
        shift: Array,
        *,
        filled: tuple[int, ...] = (),
        fold: NDArray[np.integer[Any]] | None = None,
        plan: Any = None,
    ) -> Moments:
        """Moments of one slab of rows about `shift` (p + k,), dealt to folds by `fold` (n,)."""
        p = len(names)
        full = np.concatenate([shift[:p], np.zeros(len(filled)), shift[p:]])
        thin = len(X) <= len(full)
        parts = [part_of(X, Y, w, shift, filled, rows, thin) for rows in dealt(fold, plan)]
        return cls(names, targets, full, tuple(parts), filled, plan)

    # ---- adding and taking away ----

    def __add__(self, other: Moments) -> Moments:
        if not isinstance(other, Moments):
            return NotImplemented
        self._same_columns(other)
        if self.n == 0 and (other.exact or not self.exact):
            return other
        if other.n == 0 and (self.exact or not other.exact):
            return self
        if self.exact != other.exact:
            return self.rounded(other.shift) + other.rounded(self.shift)
        moved = other.about(self.shift)
        return replace(self, parts=tuple(a.plus(b) for a, b in zip(self.parts, moved.parts, strict=True)))

    def __radd__(self, other: object) -> Moments:
        return self if other == 0 else NotImplemented

    def __sub__(self, other: Moments) -> Moments:
        """Moments of the rows of `self` that are not in `other`, whose rows must be among them.

        Digits: what is left keeps an absolute error of 1e-16 times what was there before; none where
        the moments are exact: `(a + b) - b == a` to the last bit.
        """
        if not isinstance(other, Moments):
            return NotImplemented
        self._same_columns(other)
        if any(b.n > a.n for a, b in zip(self.parts, other.parts, strict=True)):
            raise MomentsError(
                f"{other.n:,} rows cannot be taken away from {self.n:,}: fewer would be left than none "
                "(in one of the folds). Take away only what was added."
            )
        if self.n == other.n:
            if not np.isclose(self.weight, other.weight):
                raise MomentsError(
                    f"Weight {other.weight:g} of {self.weight:g} cannot be taken away from rows that stay. "
                    "Take whole rows away."
                )
            empty = Moments.empty(
                self.names, self.targets, filled=self.filled, plan=self.plan, exact=self.exact
            )
            return replace(empty, weight_kind=self.weight_kind)
        if other.n == 0:
            return self
        if self.exact != other.exact:
            return self.rounded(other.shift) - other.rounded(self.shift)
        moved = other.about(self.shift)
        return replace(self, parts=tuple(a.minus(b) for a, b in zip(self.parts, moved.parts, strict=True)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Moments):
            return NotImplemented
        if any(getattr(self, what) != getattr(other, what) for what in SAME):
            return False
        if [p.n for p in self.parts] != [p.n for p in other.parts]:
            return False
        if self.exact and other.exact:
            pairs = zip(self.parts, other.about(self.shift).parts, strict=True)
            return all(_same(a, b) for a, b in pairs)
        if self.n == 0:
            return True
        centre = self.centre  # neither one's shift: equality does not depend on who is asked
        mine, theirs = (m.rounded(centre).about(centre) for m in (self, other))
        return all(_close(a, b) for a, b in zip(mine.parts, theirs.parts, strict=True))

    def __repr__(self) -> str:
        folds = f", {len(self.parts)} folds" if self.plan is not None else ""
        columns = f"{', '.join(self.targets)} on {plural(len(self.names), 'column')}"
        return f"Moments({plural(self.n, 'row')} of {columns}{folds})"

    __hash__ = None  # type: ignore[assignment]  # equality is to 12 digits

    def about(self, shift: Array) -> Moments:
        """The same moments taken about another `shift` (q,)."""
        d = self.shift - shift
        if not d.any():
            return self
        (moved_columns,) = np.nonzero(d)
        ones = np.zeros(len(moved_columns), np.intp)
        parts = [part.mapped(1 + moved_columns, ones, d[moved_columns]) for part in self.parts]
        columns, marks = self._filled_places()
        if len(columns):  # a missing cell stays at zero: what the ones added is taken back there
            parts = [part.mapped(columns, marks, -d[columns - 1]) for part in parts]
        return replace(self, shift=shift, parts=tuple(parts))

    def rounded(self, shift: Array | None = None) -> Moments:
        """Exact moments in float64, about `shift` (or their means); others as they are."""
        if not self.exact:
            return self
        moved = self.about(self.centre if shift is None else shift)
        return replace(moved, parts=tuple(as_exact(part).dense() for part in moved.parts))

    def settled(self) -> Moments:
        """Exact moments in the one form that a value has; others as they are."""
        parts = tuple(part.settled() if isinstance(part, Exact) else part for part in self.parts)
        return replace(self, parts=parts) if self.exact else self

    # ---- reading ----

    @property
    def exact(self) -> bool:
        """Whether nothing was rounded."""
        return isinstance(self.parts[0], Exact)

    @cached_property
    def whole(self) -> Part:
        """All folds together."""
        total, *rest = self.parts
        for part in rest:
            total = total.plus(part)
        return total

    @property
    def n(self) -> int:
        """Rows."""
        return sum(part.n for part in self.parts)

    @property
    def weight(self) -> float:
        """The sum of the weights; n without weights."""
        return float(self.sums[0])

    @property
    def sums(self) -> Array:
        """The first row of C: weight and sums (1+q,), without making the matrix of a Thin part."""
        return self.whole.sums

    @cached_property
    def mean(self) -> Array:
        """Weighted means (p + k,) of features and targets; missing cells do not count."""
        self._some_rows("a mean")
        plain = self.imputed()
        return plain.shift + plain.sums[1:] / plain.weight

    @cached_property
    def comoment(self) -> Array:
        """Sums of products of deviations from the means (p + k, p + k)."""
        self._some_rows("co-moments")
        return self.imputed().whole.comoment()

    @cached_property
    def around(self) -> Array:
        """Sums of squares of the targets about their means (k,); a Thin part's matrix is not made."""
        self._some_rows("a spread")
        places = np.append(0, 1 + len(self.names) + len(self.filled) + np.arange(len(self.targets)))
        return np.diagonal(self.whole.only(places).comoment())

    @cached_property
    def variance(self) -> Array:
        """Variances of features and targets (p + k,) about their means; no matrix is made of few rows."""
        self._some_rows("a variance")
        plain = self.imputed()
        part = plain.whole
        if isinstance(part, (Thin, Sparse)):
            thin = part if isinstance(part, Thin) else part.thin()
            away = thin.rows[:, 1:] - np.outer(thin.roots, plain.sums[1:] / plain.weight)
            return np.einsum("nq,nq->q", away, away) / plain.weight
        return np.maximum(np.diagonal(plain.comoment), 0.0) / plain.weight

    def fold(self, f: int) -> Moments:
        """The rows of fold `f` alone."""
        return replace(self, parts=(self.parts[f],), plan=None)

    def training(self, f: int) -> Moments:
        """The rows of all folds but `f`, by adding them up."""
        rest = replace(self, parts=tuple(p for i, p in enumerate(self.parts) if i != f), plan=None)
        return replace(rest, parts=(rest.whole,))

    @cached_property
    def gaps(self) -> Array:
        """What fills a missing cell, about the shift: the mean of the present ones (len(filled),)."""
        columns, marks = self._filled_places()
        sums = self.sums
        present = sums[0] - sums[marks]
        return np.divide(sums[columns], present, out=np.zeros(len(columns)), where=present > 0)

    @property
    def fills(self) -> Array:
        """What stands in for a missing number of each feature (p,)."""
        fills = self.mean[: len(self.names)].copy()
        fills[list(self.filled)] = self.shift[list(self.filled)] + self.gaps
        return fills

    def imputed(self, gaps: Array | None = None) -> Moments:
        """Missing cells filled with `gaps` (by default these rows' own means), indicators gone."""
        if not self.filled:
            return self
        columns, marks = self._filled_places()
        gaps = self.gaps if gaps is None else gaps
        q = len(self.shift)
        stay = np.delete(np.arange(1 + q), marks)
        parts = tuple(part.mapped(columns, marks, gaps).only(stay) for part in self.parts)
        return replace(self, shift=self.shift[stay[1:] - 1], parts=parts, filled=())

    @cached_property
    def centre(self) -> Array:
        """The means as a shift (q,): of the present cells where some are missing, 0 for indicators."""
        columns, marks = self._filled_places()
        move = self.sums[1:] / self.sums[0]
        move[columns - 1], move[marks - 1] = self.gaps, 0.0
        return self.shift + move

    @property
    def shareable(self) -> Moments | None:
        """What of them may be given away: no part of so few rows that they could be read off it."""
        enough = len(self.shift) + 1

        def told(part: Part) -> bool:
            return isinstance(part, (Thin, Sparse)) or part.n <= enough

        if not any(told(part) for part in self.parts):
            return self
        return None if told(self.whole) else replace(self, parts=(self.whole,), plan=None)

    def _filled_places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Places in Z of the filled columns and of their indicators."""
        columns = np.array(self.filled, np.intp) + 1
        return columns, 1 + len(self.names) + np.arange(len(columns))

    def _some_rows(self, what: str) -> None:
        if self.n == 0:
            raise MomentsError(f"No rows have {what}. Add some first.")

    def _same_columns(self, other: Moments) -> None:
        for what in SAME:
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                raise MomentsError(
                    f"These moments do not describe the same columns: {what} differ, {mine} here and "
                    f"{theirs} there. Make both with one recipe (and the same folds and seed)."
                )


def first_shift(X: NDArray[Any], Y: NDArray[Any], w: Array | None = None) -> Array:
    """A shift (p + k,) near the middle of these rows: means of what is finite and counts, NaN for none."""
    some: Any = slice(None) if w is None else np.flatnonzero(w > 0)
    rows = block_rows(X.shape[1] + Y.shape[1])
    if w is None and len(X):
        with np.errstate(all="ignore"):
            quick = np.concatenate([part[:rows].mean(axis=0, dtype=np.float64) for part in (X, Y)])
        if np.isfinite(quick).all():
            return quick
    first = np.column_stack([X[some][:rows], Y[some][:rows]]).astype(np.float64)
    means = _finite_means(first, None if w is None else w[some][:rows])
    for j in np.flatnonzero(np.isnan(means)):  # nothing in the first of them: the rest of this column
        column = X[some, j] if j < X.shape[1] else Y[some, j - X.shape[1]]
        means[j] = _finite_means(column[:, None].astype(np.float64), None)[0]
    return means


def settled_shift(shifts: Iterable[Array]) -> Array:
    """The first value that the slabs give each column (q,); 0 for one that has none at all."""
    known: Array | None = None
    for shift in shifts:
        known = shift if known is None else np.where(np.isnan(known), shift, known)
        if not np.isnan(known).any():
            return known
    return np.zeros(0) if known is None else np.nan_to_num(known)


def _finite_means(values: Array, w: Array | None) -> Array:
    finite = np.isfinite(values)
    w = np.ones(len(values)) if w is None else w
    with np.errstate(all="ignore"):
        means = (w @ np.where(finite, values, 0)) / (w @ finite)
    return np.where(np.isfinite(means), means, np.nan)


def checked_precision(precision: str, known: tuple[str, ...]) -> str:
    """`precision` if it is one of those known here."""
    if precision not in known:
        raise UsageError(f"precision={precision!r} is not known. It is one of {listed(known, last='or')}.")
    return precision


def dealt(fold: NDArray[np.integer[Any]] | None, plan: Any) -> list[Any]:
    """The rows of each fold: all of them, or places."""
    if fold is None or plan is None:
        return [slice(None)]
    # on 8 or 16 bits numpy sorts by radix, ten times as fast
    small = fold.astype(np.uint8 if plan.k <= 256 else np.uint16)
    order = np.argsort(small, kind="stable")
    return list(np.split(order, np.searchsorted(fold[order], np.arange(1, plan.k))))


def _same(a: Part, b: Part) -> bool:
    return isinstance(a, Exact) and isinstance(b, Exact) and a.integers.same(b.integers)


def _close(a: Part, b: Part) -> bool:
    """Whether moments about their mean agree to 12 digits of the columns' scale, or to rounding."""
    scale = np.sqrt(np.maximum(np.diagonal(a.cross), np.diagonal(b.cross)))
    size = np.sqrt(np.maximum(a.size, b.size))
    room = 10.0**-EQUAL_DIGITS * np.outer(scale, scale) + 128 * EPS * np.outer(size, size)
    return bool((np.abs(a.cross - b.cross) <= room).all())
