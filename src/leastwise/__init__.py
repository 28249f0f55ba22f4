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
    from leastwise import errors, sequences, teach
    from leastwise.descended import Descent
    from leastwise.descending import descend
    from leastwise.estimators import (
        ElasticNet,
        ElasticNetCV,
        GradientDescentRegressor,
        Lasso,
        LassoCV,
        LinearRegression,
        Ridge,
        RidgeCV,
    )
    from leastwise.fitted import Fit
    from leastwise.fitting import condense, fit
    from leastwise.moments import Moments
    from leastwise.options import Options
    from leastwise.penalties import L1, L2, Penalty, elastic_net
    from leastwise.recipe import Recipe
    from leastwise.solve.check import GradientCheck, check_gradient
    from leastwise.solve.solution import Solution
    from leastwise.solve.training import Training
    from leastwise.store import load, save
    from leastwise.terms import poly

__all__ = [  # noqa: RUF022  # plainly sorted
    "Descent",
    "ElasticNet",
    "ElasticNetCV",
    "Fit",
    "GradientCheck",
    "GradientDescentRegressor",
    "L1",
    "L2",
    "Lasso",
    "LassoCV",
    "LinearRegression",
    "Moments",
    "Options",
    "Penalty",
    "Recipe",
    "Ridge",
    "RidgeCV",
    "Solution",
    "Training",
    "__version__",
    "check_gradient",
    "condense",
    "descend",
    "elastic_net",
    "errors",
    "fit",
    "load",
    "poly",
    "save",
    "sequences",
    "teach",
]

_HOMES = {
    "Descent": "descended",
    "ElasticNet": "estimators",
    "ElasticNetCV": "estimators",
    "Fit": "fitted",
    "GradientCheck": "solve.check",
    "GradientDescentRegressor": "estimators",
    "L1": "penalties",
    "L2": "penalties",
    "Lasso": "estimators",
    "LassoCV": "estimators",
    "LinearRegression": "estimators",
    "Moments": "moments",
    "Options": "options",
    "Penalty": "penalties",
    "Recipe": "recipe",
    "Ridge": "estimators",
    "RidgeCV": "estimators",
    "Solution": "solve.solution",
    "Training": "solve.training",
    "check_gradient": "solve.check",
    "condense": "fitting",
    "descend": "descending",
    "elastic_net": "penalties",
    "errors": "",
    "fit": "fitting",
    "load": "store",
    "poly": "terms",
    "save": "store",
    "sequences": "",
    "teach": "",
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
