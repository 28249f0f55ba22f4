"""Numbers as they are told."""

from __future__ import annotations

import math
from typing import Any

ROUNDING = 1e-12  # of a mean: a spread below is none


def number(value: Any) -> str:
    """Five significant digits, thousands marked; `n/a` where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    size = abs(value)
    if size == 0 or (isinstance(value, int) and size < 1e15):
        return f"{value:,}" if isinstance(value, int) else "0"
    if 1e5 <= size < 1e15:
        return f"{value:,.0f}"
    if 1e-4 <= size < 1e5:
        return f"{value:,.{max(0, 4 - math.floor(math.log10(size)))}f}"
    return f"{value:.4e}"


def with_spread(mean: Any, spread: Any) -> str:
    """`0.6440 ± 0.0085`: the spread to two digits, and the mean no finer than the spread."""
    if mean is None or spread is None or not ROUNDING * abs(mean) < spread < 1e15:
        return number(mean)
    places = max(0, 1 - math.floor(math.log10(spread)))
    return f"{mean:,.{places}f} ± {spread:,.{places}f}" if places < 12 else f"{mean:.2e} ± {spread:.1e}"
