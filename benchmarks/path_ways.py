"""The ways to a lasso path: ours and each peer's, one function each, from rows to coefficients.

Each takes X (n, p) and y (n,) as they are, `alphas` and `l1_ratio` in scikit-learn's sense

    1/(2n) |y - X b - c|^2 + alpha l1_ratio |b|_1 + alpha (1 - l1_ratio) / 2 |b|^2

and `tol`, the gap that is wanted relative to |y - mean|^2 / (2n), as near as the peer's own
tolerance can be said in it (the table tightens it until the gap is kept). It gives coef (A, p).
A peer that has no intercept, or would be slower with one, is given centred rows; centring is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

OURS = "leastwise"
PATIENCE = 1_000_000  # iterations: the tolerance alone ends a peer's run
Found = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """`work` in the environment `env`, on X laid out in `order`; `small` options to warm up with."""

    work: Callable[..., Found]
    packages: tuple[str, ...]
    env: str = "main"
    order: str = "F"
    first: float = 1e-6  # the tolerance that the ladder begins with
    small: dict[str, Any] = field(
        default_factory=lambda: {"alphas": [0.5, 0.1], "l1_ratio": 1.0, "tol": 1e-6}
    )


def centred(X: Any, y: Any) -> tuple[Any, Any]:
    """Copies of the rows (n, p) and the target (n,) about their means."""
    return X - X.mean(axis=0), y - y.mean()


def leastwise(X: Any, y: Any, alphas: Any, l1_ratio: float, tol: float, threads: int) -> Found:
    """Ours, the pass over the rows included."""
    from leastwise.moments import Moments
    from leastwise.solve.paths import solve_path

    path = solve_path(Moments.of(X, y), alphas * l1_ratio, alphas * (1 - l1_ratio) / 2, tol=tol)
    return {"coef": path.coef[:, 0]}


def sklearn_gram(X: Any, y: Any, alphas: Any, l1_ratio: float, tol: float, threads: int) -> Found:
    """scikit-learn from X'X."""
    return {"coef": _sklearn(X, y, alphas, l1_ratio, tol, precompute=True)}


def sklearn_rows(X: Any, y: Any, alphas: Any, l1_ratio: float, tol: float, threads: int) -> Found:
    """scikit-learn from the rows."""
    return {"coef": _sklearn(X, y, alphas, l1_ratio, tol, precompute=False)}


def _sklearn(X: Any, y: Any, alphas: Any, l1_ratio: float, tol: float, *, precompute: bool) -> Any:
    """Its tolerance is of the gap times n, relative to |y|^2: half of ours."""
    from sklearn.linear_model import enet_path

    X, y = centred(X, y)
    _, coef, _ = enet_path(
        X, y, l1_ratio=l1_ratio, alphas=alphas, precompute=precompute, copy_X=False,
        tol=tol / 2, max_iter=PATIENCE,
    )  # fmt: skip
    return coef.T


def celer(X: Any, y: Any, alphas: Any, l1_ratio: float, tol: float, threads: int) -> Found:
    """celer's working sets and extrapolated dual points."""
    from celer import celer_path

    X, y = centred(X, y)
    _, coef, _ = celer_path(
        X, y, "lasso", alphas=alphas, l1_ratio=l1_ratio, tol=tol / 2, max_iter=1_000, max_epochs=PATIENCE
    )
    return {"coef": coef.T}


def skglm(X: Any, y: Any, alphas: Any, l1_ratio: float, tol: float, threads: int) -> Found:
    """skglm's Anderson-accelerated descent; its tolerance is of the subgradient, which is as alpha."""
    from skglm.datafits import Quadratic
    from skglm.penalties import L1, L1_plus_L2
    from skglm.solvers import AndersonCD
    from skglm.utils.jit_compilation import compiled_clone

    X, y = centred(X, y)
    penalty = L1(alphas[0]) if l1_ratio == 1 else L1_plus_L2(alphas[0], l1_ratio)
    solver = AndersonCD(max_iter=1_000, max_epochs=PATIENCE, tol=tol * alphas[0], fit_intercept=False)
    _, coef, _ = solver.path(X, y, compiled_clone(Quadratic()), compiled_clone(penalty), alphas)
    return {"coef": coef.T}


def glum(X: Any, y: Any, alphas: Any, l1_ratio: float, tol: float, threads: int) -> Found:
    """glum's own search along alphas (irls-cd); its tolerance is of the subgradient."""
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        alpha_search=True, alphas=alphas, l1_ratio=l1_ratio, gradient_tol=tol * alphas[0],
        max_iter=10_000, max_inner_iter=PATIENCE, copy_X=False,
    )  # fmt: skip
    return {"coef": np.asarray(model.fit(X, y).coef_path_)}


def adelie_cov(X: Any, y: Any, alphas: Any, l1_ratio: float, tol: float, threads: int) -> Found:
    """adelie from A = X'X / n and v = X'y / n; its tolerance is of a step's square, in units of y's."""
    from adelie.solver import gaussian_cov

    X, y = centred(X, y)
    state = gaussian_cov(
        np.asfortranarray(X.T @ X / len(y)), X.T @ y / len(y), alpha=l1_ratio, lmda_path=alphas,
        tol=tol * float(y @ y) / len(y), max_iters=PATIENCE, rdev_tol=0, early_exit=False,
        n_threads=threads, progress_bar=False,
    )  # fmt: skip
    return {"coef": state.betas.toarray()}


def adelie_naive(X: Any, y: Any, alphas: Any, l1_ratio: float, tol: float, threads: int) -> Found:
    """adelie from the rows, which it centres as it goes; its tolerance is relative to y's variance."""
    from adelie import grpnet
    from adelie.glm import gaussian

    state = grpnet(
        X, gaussian(y), alpha=l1_ratio, lmda_path=alphas, tol=tol, max_iters=PATIENCE, adev_tol=1,
        early_exit=False, n_threads=threads, progress_bar=False,
    )  # fmt: skip
    return {"coef": state.betas.toarray()}


WAYS = {
    OURS: Way(leastwise, ("leastwise",), order="C"),
    "scikit-learn, Gram": Way(sklearn_gram, ("scikit-learn",)),
    "scikit-learn": Way(sklearn_rows, ("scikit-learn",)),
    "celer": Way(celer, ("celer",), "peers", first=1e-5),
    "skglm": Way(skglm, ("skglm",), "peers"),
    "glum": Way(glum, ("glum",), "peers"),
    "adelie, covariance": Way(adelie_cov, ("adelie",), "peers", first=1e-12),
    "adelie, naive": Way(adelie_naive, ("adelie",), "peers", first=1e-12),
}
BY_PRODUCTS = (
    OURS,
    "scikit-learn, Gram",
    "adelie, covariance",
)  # of columns, made in one pass over the rows
