"""Penalties on the coefficients, on the documents' scale: what `1/(2n) SSE` is joined by.

    L2(alpha)   alpha |w|^2 = alpha sum_j w_j^2         scikit-learn's Ridge(2 n alpha)
    L1(alpha)   alpha |w|_1 = alpha sum_j |w_j|         scikit-learn's Lasso(alpha)

n is the sum of weights where there are weights. The intercept is never penalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leastwise.errors import UsageError
from leastwise.numerics import is_number


@dataclass(frozen=True)
class Penalty:
    """`l1 |w|_1 + l2 |w|^2`. Penalties add up: `L1(0.1) + L2(0.2)`."""

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < float("inf"):
                raise UsageError(f"The penalty {name}={value!r} is no number of 0 or more. Give one.")
            object.__setattr__(self, name, float(value))

    def __add__(self, other: Any) -> Penalty:
        if not isinstance(other, Penalty):
            return NotImplemented
        return Penalty(self.l1 + other.l1, self.l2 + other.l2)

    def __bool__(self) -> bool:
        return self.l1 > 0 or self.l2 > 0

    def __repr__(self) -> str:
        parts = [f"L{power}({alpha:g})" for power, alpha in ((1, self.l1), (2, self.l2)) if alpha]
        return " + ".join(parts) or "no penalty"


def L1(alpha: float) -> Penalty:  # noqa: N802
    """`alpha |w|_1`: the lasso's, under which coefficients become 0.

    >>> L1(0.1) + L2(0.2)
    L1(0.1) + L2(0.2)
    """
    return Penalty(l1=alpha)


def L2(alpha: float) -> Penalty:  # noqa: N802
    """`alpha |w|^2`: ridge's, under which the directions of small variance shrink most."""
    return Penalty(l2=alpha)


def elastic_net(alpha: float, l1_ratio: float) -> Penalty:
    """`L1(alpha l1_ratio) + L2(alpha (1 - l1_ratio))`. (scikit-learn's ElasticNet halves its second term.)

    >>> elastic_net(2.0, 0.25)
    L1(0.5) + L2(1.5)
    """
    if not is_number(alpha) or not 0 <= alpha < float("inf"):
        raise UsageError(f"The penalty alpha={alpha!r} is no number of 0 or more. Give one.")
    if not is_number(l1_ratio) or not 0 <= l1_ratio <= 1:
        raise UsageError(f"l1_ratio={l1_ratio!r} is no number from 0 to 1. Give one.")
    return L1(alpha * l1_ratio) + L2(alpha * (1 - l1_ratio))
