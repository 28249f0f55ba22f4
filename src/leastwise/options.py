"""Options: how to fit, whatever the columns are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leastwise.errors import ColumnError, UsageError, did_you_mean
from leastwise.folds import WAYS
from leastwise.inference import checked_kind
from leastwise.moments import checked_precision
from leastwise.numerics import is_number
from leastwise.penalties import Penalty
from leastwise.recipe import Recipe
from leastwise.rows.block import Progress
from leastwise.solve.penalised import Shrinkage
from leastwise.solve.regularised import ALPHAS, Regularised, checked_alphas, refuse_rank
from leastwise.solve.solution import checked_rank

PRECISIONS = ("auto", "fast", "exact")


@dataclass(frozen=True)
class Options:
    """How to fit, whatever the columns are.

    `rank`: "drop", "error" or "min-norm". `folds`: how many for validation; None is 5 where that can
    be done, 0 is none; "leave-one-group-out" (each group a fold), "predefined" (the group column says the
    fold; -1 or "train" is never held out), or "leave-one-out". `repeats`: how often folds are dealt anew,
    from one pass. `seed` deals rows to folds. `precision`: "fast" (float64 moments), "exact"
    (integers: nothing is rounded before the end), or "auto": exact where the data are small, or where
    fast would leave a coefficient, a sum of squares or a standard error with fewer than 9 digits and
    the rows can be read again. `se`, the kind of standard errors: "classical", "HC0" to "HC3", or
    clustered "CR0", "CR1", "CR3" (by the recipe's `cluster`, or else its `group`); None is "CR1" where
    a cluster is named, "HC1" for sampling weights, else classical. All but that take a second pass.
    `progress` is called with (rows so far, rows in all or None).

    `penalty`: `lw.L1(a)`, `lw.L2(a)`, their sum or `lw.elastic_net(a, l1_ratio)`, a number, "cv" or "1se";
    of the coefficients of standardised columns with `standardize`. `alphas` of its path: how many, or
    which. `factors` multiply the penalty of columns, by name (0: never penalised); `bounds` are (low, high)
    by name, None for none, low <= 0 <= high; `positive`: no coefficient below 0. A name stands for all
    terms that its column became (levels, powers), or for one of them.
    """

    intercept: bool = True
    rank: str = "drop"
    folds: int | str | None = None
    seed: int = 0
    precision: str = "auto"
    se: str | None = None
    progress: Progress | None = field(default=None, repr=False, compare=False)
    repeats: int = 1
    penalty: Penalty = Penalty()  # noqa: RUF009  # frozen
    alphas: int | tuple[float, ...] = ALPHAS
    standardize: bool = False
    factors: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    positive: bool = False

    def __post_init__(self) -> None:
        checked_rank(self.rank)
        checked_precision(self.precision, PRECISIONS)
        if self.se is not None:
            checked_kind(self.se)
        for name in ("intercept", "standardize", "positive"):
            if type(getattr(self, name)) is not bool:
                raise UsageError(
                    f"{name}={getattr(self, name)!r} is neither True nor False. Give one of them."
                )
        if not _is_count(self.seed):
            raise UsageError(f"seed={self.seed!r} is no whole number of 0 or more. Give one.")
        if self.progress is not None and not callable(self.progress):
            raise UsageError(
                f"progress={self.progress!r} cannot be called. Give a function of two numbers."
            )
        self._check_folds()
        self._check_penalty()
        object.__setattr__(self, "seed", int(self.seed))

    def _check_folds(self) -> None:
        if isinstance(self.folds, str):
            if self.folds not in WAYS:
                raise UsageError(f"folds={self.folds!r} is not known. {did_you_mean(self.folds, WAYS)}")
        elif self.folds is not None and (not _is_count(self.folds) or self.folds == 1):
            raise UsageError(
                f"folds={self.folds!r} cannot be. 2 or more are folds, 0 is no validation, and None "
                "leaves it to the data."
            )
        elif self.folds is not None:
            object.__setattr__(self, "folds", int(self.folds))
        if not _is_count(self.repeats) or self.repeats < 1:
            raise UsageError(f"repeats={self.repeats!r} is no whole number of 1 or more. Give one.")
        object.__setattr__(self, "repeats", int(self.repeats))
        if self.folds in WAYS and self.seed:
            raise UsageError(
                f"seed={self.seed} deals rows, and folds={self.folds!r} leaves nothing to deal. "
                "Leave it out."
            )
        if self.folds == 0 and isinstance(self.penalty, Penalty) and self.penalty.rule:
            raise UsageError(
                f"alpha='{self.penalty.rule}' is chosen by held-out folds, and folds=0 came. Leave it "
                "out, or give a number for alpha."
            )
        if self.repeats > 1 and (isinstance(self.folds, str) or self.folds == 0):
            raise UsageError(
                f"repeats={self.repeats} deals folds anew, and folds={self.folds!r} can be dealt in one "
                "way only. Give a number of folds, or leave repeats out."
            )

    def _check_penalty(self) -> None:
        if self.penalty is None:
            object.__setattr__(self, "penalty", Penalty())
        if not isinstance(self.penalty, Penalty):
            raise UsageError(
                f"penalty={self.penalty!r} is no penalty. Give lw.L2(0.1), lw.L1('cv') or "
                "lw.elastic_net(0.1, 0.5)."
            )
        object.__setattr__(self, "alphas", checked_alphas(self.alphas))
        for name in ("factors", "bounds"):
            if not isinstance(getattr(self, name), Mapping):
                raise UsageError(f"{name}={getattr(self, name)!r} is no mapping from names. Give one.")
        self._check_of_columns()
        if self.shrinks:
            refuse_rank(self.rank, "a penalty decides" if self.penalty else "bounds decide")
            if self.se is not None:
                raise UsageError(
                    f"se='{self.se}' is for least squares: a penalty or bounds shift coefficients by more "
                    "than errors say. Leave it out."
                )
        if not self.penalty:
            for name, plain in (("standardize", False), ("alphas", ALPHAS), ("factors", {})):
                if getattr(self, name) != plain:
                    raise UsageError(
                        f"{name} is about a penalty, and there is none. Add penalty=lw.L2('cv') (--penalty "
                        "l2 --alpha cv), or leave it."
                    )
        elif not self.penalty.rule and self.alphas != ALPHAS and not isinstance(self.alphas, tuple):
            raise UsageError(
                f"alphas={self.alphas!r} are for a penalty that is to be chosen. Leave it out."
            )

    def _check_of_columns(self) -> None:
        for name in (*self.factors, *self.bounds):
            if not isinstance(name, str):
                raise UsageError(f"{name!r} came for the name of a column. Names are texts. Give one.")
        for name, factor in self.factors.items():
            if not is_number(factor) or not 0 <= factor < float("inf"):
                raise UsageError(f"The factor {factor!r} of '{name}' is no number of 0 or more. Give one.")
        for name, pair in self.bounds.items():
            sides = pair if isinstance(pair, (list, tuple)) and len(pair) == 2 else ("?", "?")
            low, high = (s if v is None else v for v, s in zip(sides, (-np.inf, np.inf), strict=True))
            if not (is_number(low) and is_number(high) and low <= 0 <= high):
                raise UsageError(
                    f"The bounds {pair!r} of '{name}' are no pair (low, high) with low <= 0 <= high. "
                    "None (on the command line an empty side) stands for no bound."
                )
        # copies in plain numbers: nothing that the caller does to his changes a fit
        object.__setattr__(self, "factors", {name: float(v) for name, v in self.factors.items()})
        plain = {name: (_side(pair[0]), _side(pair[1])) for name, pair in self.bounds.items()}
        object.__setattr__(self, "bounds", plain)

    @property
    def shrinks(self) -> bool:
        """Whether a penalty or a bound takes part: else it is least squares."""
        return bool(self.penalty) or bool(self.bounds) or self.positive

    def model(self, recipe: Recipe) -> Regularised | None:
        """What is minimised over the columns of a settled recipe; None for least squares.

        Raises ColumnError for a name that is no column of it.
        """
        if not self.shrinks:
            return None
        names = recipe.names
        factors, low, high = np.ones(len(names)), np.full(len(names), -np.inf), np.full(len(names), np.inf)
        if self.positive:
            low[:] = 0.0
        terms = set(recipe.names)  # what is said of a column first, then what is said of one of its terms
        for name, factor in sorted(self.factors.items(), key=lambda item: item[0] in terms):
            factors[_places(name, recipe, "factors")] = factor
        for name, (least, most) in self.bounds.items():
            at = _places(name, recipe, "bounds")
            low[at] = np.maximum(low[at], -np.inf if least is None else least)
            high[at] = np.inf if most is None else most
        shrinkage = Shrinkage(
            self.standardize,
            factors if self.factors else None,
            low if np.isfinite(low).any() else None,
            high if np.isfinite(high).any() else None,
        )
        return Regularised(self.penalty, shrinkage, self.intercept, self.alphas)


def _places(name: str, recipe: Recipe, what: str) -> list[int]:
    """The columns of X that a name stands for."""
    if name in recipe.names:
        return [recipe.names.index(name)]
    of = [term for term in recipe.terms if term.column == name]
    if not of:
        known = list(dict.fromkeys([*(term.column for term in recipe.terms), *recipe.names]))
        raise ColumnError(f"There is no feature '{name}' ({what}). {did_you_mean(name, known)}")
    return [recipe.names.index(inner) for term in of for inner in term.names]


def _side(bound: Any) -> float | None:
    """A bound as a number; None for none."""
    return None if bound is None or np.isinf(bound) else float(bound)


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 0)


def default_errors(recipe: Recipe) -> str:
    """The kind of standard errors that a recipe asks for without saying so."""
    if recipe.cluster is not None:
        return "CR1"
    return "HC1" if recipe.weight_kind == "sampling" else "classical"
