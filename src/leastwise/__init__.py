"""leastwise: linear regression done completely.

    >>> import leastwise as lw
    >>> fit = lw.fit(([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]))
    >>> round(fit.intercept, 9)
    1.0

Names are imported when they are first used: `import leastwise` itself imports nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from leastwise._version import __version__

if TYPE_CHECKING:
    from leastwise import errors, sequences
    from leastwise.fitted import Fit, Options
    from leastwise.fitting import condense, fit
    from leastwise.moments import Moments
    from leastwise.recipe import Recipe
    from leastwise.solve.solution import Solution
    from leastwise.store import load, save
    from leastwise.terms import poly

__all__ = [
    "Fit",
    "Moments",
    "Options",
    "Recipe",
    "Solution",
    "__version__",
    "condense",
    "errors",
    "fit",
    "load",
    "poly",
    "save",
    "sequences",
]

_HOMES = {
    "Fit": "fitted",
    "Moments": "moments",
    "Options": "fitted",
    "Recipe": "recipe",
    "Solution": "solve.solution",
    "condense": "fitting",
    "errors": "",
    "fit": "fitting",
    "load": "store",
    "poly": "terms",
    "save": "store",
    "sequences": "",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'leastwise' has no attribute {name!r}")
    home = _HOMES[name]
    value = (
        getattr(import_module(f"leastwise.{home}"), name) if home else import_module(f"leastwise.{name}")
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
