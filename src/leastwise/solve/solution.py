"""Solution: the coefficients, and how they were found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import UsageError, listed, plural
from leastwise.numerics import Array
from leastwise.penalties import Penalty

Rank = Literal["drop", "error", "min-norm"]
ENOUGH = 9.0  # digits that precision="auto" stands for
RANKS: tuple[Rank, ...] = ("drop", "error", "min-norm")


@dataclass(frozen=True)
class Solution:
    """What least squares gives, and how far it can be trusted.

    `coef` (k, p) has 0 for a column that was left out, `intercept` (k,). `kept` (p,) says which
    columns were used, `rank` how many of them are independent; `dropped` names those that were
    left out because they depend on others, `constant` those that do not vary.
    `condition` is the 2-norm condition (an estimate within a factor p) of the design, centred and
    scaled to unit columns; `digits` how many decimal digits can be expected of the largest
    coefficient in units of its column (the others have the same absolute error), and of the intercept in
    units of itself or of the target's deviation. `rss`, `tss` (k,):
    weighted sums of squared residuals and of deviations from the mean (from zero without an
    intercept); `rss_digits` (k,) how many digits of `rss` can be expected: none where the fit is so
    close that the residuals are below what moments can carry. `root` (r, r) is a lower triangular W,
    columns [1] and the kept ones, with `W'W` the inverse of their sums of products: what standard
    errors are made of, None where the solution is not the only one; `se_digits` how many digits of
    the worst standard error can be expected. `mean` (2, p + k): weighted means of
    features and targets, each as a float64 and what it leaves out.

    Of a penalised (or bounded) fit, `penalty` in numbers; `rank` counts the columns with a coefficient
    that is not 0, `condition` is theirs, the penalty included; `gap` (k,) is an upper bound of what the
    objective is above its least value, and `goal` (k,) the one that was asked for; `df` (k,) degrees of
    freedom of the slopes. (All three are empty else.)
    """

    names: tuple[str, ...]
    targets: tuple[str, ...]
    coef: Array
    intercept: Array
    kept: NDArray[np.bool_]
    rank: int
    dropped: tuple[str, ...]
    constant: tuple[str, ...]
    method: str
    precision: str
    condition: float
    digits: float
    n: int
    weight: float
    rss: Array
    tss: Array
    rss_digits: Array
    fits_intercept: bool = True
    root: Array | None = field(default=None, repr=False)
    se_digits: float = 15.0
    mean: Array = field(default_factory=lambda: np.empty((2, 0)), repr=False)
    penalty: Penalty = Penalty()  # noqa: RUF009  # frozen
    gap: Array = field(default_factory=lambda: np.empty(0))
    goal: Array = field(default_factory=lambda: np.empty(0))
    df: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        for values in (self.coef, self.intercept, self.kept, self.rss, self.tss, self.rss_digits):
            values.setflags(write=False)

    @property
    def mse(self) -> Array:
        """`rss / weight` (k,): the loss L at its minimum."""
        return self.rss / self.weight

    @property
    def r2(self) -> Array:
        """`1 - rss / tss` (k,); nan where the target does not vary."""
        ratio = np.divide(self.rss, self.tss, out=np.full_like(self.rss, np.nan), where=self.tss > 0)
        return np.asarray(1 - ratio)

    @property
    def outcome(self) -> str:
        """One sentence: what was found, and what the reader should know of it."""
        if self.penalised:
            return self._shrunk
        free = self.n - self.rank - self.fits_intercept
        if free <= 0:
            return (
                f"{plural(self.n, 'row')} and {plural(self.rank + self.fits_intercept, 'coefficient')}: "
                "every target is met exactly, which says nothing about new rows"
            )
        if (self.rss_digits < 1).any():
            return "the fit is so close that moments cannot tell the residuals from rounding"
        if self.dropped:
            return f"{plural(len(self.dropped), 'dependent column')} left out"
        if self.rank < self.kept.sum():
            columns = plural(int(self.kept.sum()), "column")
            return f"rank {self.rank:,} of {columns}: the shortest of all solutions"
        return "one solution, full rank"

    @property
    def penalised(self) -> bool:
        """Whether a penalty or bounds took part."""
        return len(self.df) > 0

    @property
    def needs(self) -> int:
        """How many rows it takes to find so many coefficients: a penalty makes do with one."""
        return 1 if self.penalised else self.rank + self.fits_intercept

    @property
    def _shrunk(self) -> str:
        """The outcome of a penalised fit."""
        columns = plural(len(self.names), "column")
        used = "all" if self.rank == len(self.names) else f"{self.rank:,}"
        freedom = ", ".join(f"{df:,.4g}" for df in self.df)
        one = len(self.df) == 1 and self.df[0] == 1
        text = f"{used} of {columns} with a coefficient, {freedom} degree{'' if one else 's'} of freedom"
        if (self.gap > self.goal).any():
            worst = int(np.argmax(self.gap / np.maximum(self.goal, 1e-300)))
            text += (
                f"; not converged: the duality gap is {self.gap[worst]:.2g}, and {self.goal[worst]:.2g} "
                "was asked for"
            )
        return text

    def predict(self, X: Array) -> Array:
        """`X coef' + intercept` (n, k) for features `X` (n, p)."""
        return X @ self.coef.T + self.intercept


def checked_rank(rank: str) -> Rank:
    """`rank` if it is one of the three."""
    if rank not in RANKS:
        raise UsageError(f"rank={rank!r} is not known. It is one of {listed(RANKS, last='or')}.")
    return rank


def rank_message(dropped: tuple[str, ...], constant: tuple[str, ...], n: int) -> str:
    """What a RankError says of the columns that cannot be told apart, or do not vary."""
    parts = []
    if dropped:
        verb = "is a combination" if len(dropped) == 1 else "are combinations"
        parts.append(f"{listed(dropped)} {verb} of the columns before (in {plural(n, 'row')}).")
    if constant:
        parts.append(f"{listed(constant)} {'does' if len(constant) == 1 else 'do'} not vary.")
    return " ".join([*parts, "Remove them, or pass rank='drop' or rank='min-norm'."])


def doubtful(solution: Solution) -> str:
    """What of a solution has fewer than 9 digits, in words; "" where all has."""
    least = {"coefficients": solution.digits}
    if solution.penalised:
        least["the sum of squared residuals"] = float(solution.rss_digits.min(initial=15.0))
    elif solution.n > solution.rank + solution.fits_intercept:  # else every target is met: there is no more
        least["standard errors"] = solution.se_digits
        least["the sum of squared residuals"] = float(solution.rss_digits.min(initial=15.0))
    poor = [
        f"{what} with {plural(int(digits), 'digit')}" for what, digits in least.items() if digits < ENOUGH
    ]
    if not solution.penalised and undecided(solution):
        poor.append("open which columns depend on others and which only nearly do")
    return " and ".join(poor)


def undecided(solution: Solution) -> bool:
    """Whether columns count as dependent that may be so only nearly: rounding hides the difference.

    Not where they are left over because as many columns as rows came before.
    """
    full = solution.rank == solution.n - solution.fits_intercept
    (used,) = np.nonzero(solution.kept)
    after = solution.names[used.max(initial=-1) + 1 :]
    left_out = bool(solution.dropped) or solution.rank < len(used)
    return left_out and not (full and set(solution.dropped) <= set(after))
