"""Penalties on the coefficients, on the documents' scale: what `1/(2n) SSE` is joined by.

    L2(alpha)   alpha |w|^2 = alpha sum_j w_j^2         scikit-learn's Ridge(2 n alpha)
    L1(alpha)   alpha |w|_1 = alpha sum_j |w_j|         scikit-learn's Lasso(alpha)

n is the sum of weights where there are weights. The intercept is never penalised. In the place of a
number, "cv" stands for the alpha of the least error on held-out folds, and "1se" for the largest whose
error is within one standard error of it (Breiman, Friedman, Olshen, Stone, Classification and
Regression Trees (1984) 3.4.3): the simplest model that is as good as far as the folds can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leastwise.errors import UsageError, listed
from leastwise.numerics import Array, is_number

RULES = ("cv", "1se")


@dataclass(frozen=True)
class Penalty:
    """`l1 |w|_1 + l2 |w|^2`. Penalties add up: `L1(0.1) + L2(0.2)`.

    With a `rule` ("cv" or "1se") alpha times `share`, of l1 and of l2, comes on top, and alpha is chosen.
    """

    l1: float = 0.0
    l2: float = 0.0
    rule: str = ""
    share: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < float("inf"):
                raise UsageError(f"The penalty {name}={value!r} is no number of 0 or more. Give one.")
            object.__setattr__(self, name, float(value))
        if self.rule and self.rule not in RULES:
            raise UsageError(
                f"alpha={self.rule!r} is neither a number nor one of {listed(RULES, last='or')}. Give one."
            )
        object.__setattr__(self, "share", (float(self.share[0]), float(self.share[1])))

    def __add__(self, other: Any) -> Penalty:
        if not isinstance(other, Penalty):
            return NotImplemented
        if self.rule and other.rule:
            raise UsageError(
                "Both penalties are to be chosen, and one alpha can be. Fix how they share it: "
                f"lw.elastic_net({self.rule!r}, l1_ratio)."
            )
        share = self.share if self.rule else other.share
        return Penalty(self.l1 + other.l1, self.l2 + other.l2, self.rule or other.rule, share)

    def __bool__(self) -> bool:
        return self.l1 > 0 or self.l2 > 0 or bool(self.rule)

    def __repr__(self) -> str:
        parts = [f"L{power}({alpha:g})" for power, alpha in ((1, self.l1), (2, self.l2)) if alpha]
        if self.rule and 0 in self.share:
            parts.append(f"L{2 if self.share[0] == 0 else 1}({self.rule!r})")
        elif self.rule:
            parts.append(f"elastic_net({self.rule!r}, {self.share[0]:g})")
        return " + ".join(parts) or "no penalty"

    @property
    def name(self) -> str:
        """What the method is called: "lasso", "ridge", "elastic net"."""
        one, two = self.l1 > 0 or self.share[0] > 0, self.l2 > 0 or self.share[1] > 0
        return "elastic net" if one and two else "lasso" if one else "ridge" if two else "least squares"

    def at(self, alpha: float) -> Penalty:
        """The penalty in numbers, for this alpha."""
        return Penalty(self.l1 + alpha * self.share[0], self.l2 + alpha * self.share[1])

    def along(self, alphas: Array) -> tuple[Array, Array]:
        """l1 and l2 (A,) for alphas (A,)."""
        return self.l1 + alphas * self.share[0], self.l2 + alphas * self.share[1]


def _penalty(alpha: Any, l1: float, l2: float) -> Penalty:
    """Alpha times (l1, l2), or what is to be chosen."""
    if isinstance(alpha, str) and alpha in RULES:
        return Penalty(rule=alpha, share=(l1, l2))
    if not is_number(alpha) or not 0 <= alpha < float("inf"):
        raise UsageError(
            f"The penalty alpha={alpha!r} is no number of 0 or more, nor {listed(RULES, last='or')}. "
            "Give one."
        )
    return Penalty(float(np.float64(alpha)) * l1, float(np.float64(alpha)) * l2)


def L1(alpha: float | str) -> Penalty:  # noqa: N802
    """`alpha |w|_1`: the lasso's, under which coefficients become 0. Alpha a number, "cv" or "1se".

    >>> L1(0.1) + L2(0.2)
    L1(0.1) + L2(0.2)
    """
    return _penalty(alpha, 1.0, 0.0)


def L2(alpha: float | str) -> Penalty:  # noqa: N802
    """`alpha |w|^2`: ridge's, under which the directions of small variance shrink most.

    >>> L2("cv")
    L2('cv')
    """
    return _penalty(alpha, 0.0, 1.0)


def elastic_net(alpha: float | str, l1_ratio: float) -> Penalty:
    """`L1(alpha l1_ratio) + L2(alpha (1 - l1_ratio))`. (scikit-learn's ElasticNet halves its second term.)

    >>> elastic_net(2.0, 0.25)
    L1(0.5) + L2(1.5)
    """
    if not is_number(l1_ratio) or not 0 <= l1_ratio <= 1:
        raise UsageError(f"l1_ratio={l1_ratio!r} is no number from 0 to 1. Give one.")
    return _penalty(alpha, float(l1_ratio), 1.0 - float(l1_ratio))
