"""The ways to choose a penalty by cross-validation: ours and each peer's, one function each.

Each takes X (n, p), y (n,), `alphas` (A,) in scikit-learn's sense (for lasso per row, for ridge of the
sum), `folds` and `tol`. It gives `alpha`, the one chosen, coef (p,), and where it can be had `mse`
(A, folds), the mean squared error of each fold. `own`: its folds are drawn by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import KFold

from benchmarks.path_ways import OURS, Found, Way

SMALL = {"alphas": [1.0, 0.1], "folds": 10, "tol": 1e-4}


def leastwise_lasso(X: Any, y: Any, alphas: Any, folds: int, tol: float, threads: int) -> Found:
    """Ours."""
    import leastwise as lw

    return told(lw.LassoCV(cv=KFold(folds), alphas=alphas, tol=tol).fit(X, y))


def leastwise_ridge(X: Any, y: Any, alphas: Any, folds: int, tol: float, threads: int) -> Found:
    """Ours; nothing is iterated, so that `tol` says nothing."""
    import leastwise as lw

    return told(lw.RidgeCV(cv=KFold(folds), alphas=alphas).fit(X, y))


def sklearn_lasso(X: Any, y: Any, alphas: Any, folds: int, tol: float, threads: int) -> Found:
    """scikit-learn's, with its own choice of precompute."""
    from sklearn.linear_model import LassoCV

    return told(LassoCV(cv=KFold(folds), alphas=alphas, tol=tol).fit(X, y))


def sklearn_ridge(X: Any, y: Any, alphas: Any, folds: int, tol: float, threads: int) -> Found:
    """scikit-learn's, which fits again for each alpha and fold; scored by squared errors."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(cv=KFold(folds), alphas=alphas, scoring="neg_mean_squared_error").fit(X, y)
    return told(model) | {"best": -model.best_score_}


def celer_lasso(X: Any, y: Any, alphas: Any, folds: int, tol: float, threads: int) -> Found:
    """celer's; its tolerance is scikit-learn's."""
    from celer import LassoCV

    return told(LassoCV(cv=KFold(folds), alphas=alphas, tol=tol).fit(X, y))


def skglm_lasso(X: Any, y: Any, alphas: Any, folds: int, tol: float, threads: int) -> Found:
    """skglm's, at the tolerance of its solver by default, with folds that it draws."""
    from skglm import GeneralizedLinearEstimatorCV
    from skglm.datafits import Quadratic
    from skglm.penalties import L1
    from skglm.solvers import AndersonCD

    model = GeneralizedLinearEstimatorCV(
        Quadratic(), L1(1.0), AndersonCD(warm_start=True), alphas=alphas, cv=folds, random_state=0
    ).fit(X, y)
    return {"alpha": model.alpha_, "coef": np.ravel(model.coef_)}


def glum_lasso(X: Any, y: Any, alphas: Any, folds: int, tol: float, threads: int) -> Found:
    """glum's, at its tolerance by default."""
    return _glum(X, y, alphas, folds, 1.0)


def glum_ridge(X: Any, y: Any, alphas: Any, folds: int, tol: float, threads: int) -> Found:
    """glum's; its penalty is per row, and the training rows are so many of n."""
    rows = len(y) * (1 - 1 / folds)
    found = _glum(X, y, alphas / rows, folds, 0.0)
    return found | {"alpha": found["alpha"] * rows}


def _glum(X: Any, y: Any, alphas: Any, folds: int, l1_ratio: float) -> Found:
    from glum import GeneralizedLinearRegressorCV

    down = np.sort(alphas)[::-1]
    model = GeneralizedLinearRegressorCV(l1_ratio=l1_ratio, alphas=down, cv=KFold(folds), copy_X=False)
    model.fit(X, y)
    mse = model.deviance_path_[:, 0].T  # (A, folds), largest alpha first
    return {"alpha": model.alpha_, "coef": model.coef_, "mse": mse, "alphas": down}


def adelie_lasso(X: Any, y: Any, alphas: Any, folds: int, tol: float, threads: int) -> Found:
    """adelie's, at its tolerance by default, on folds and alphas of its own; then the fit at the best."""
    from adelie.cv import cv_grpnet
    from adelie.glm import gaussian

    found = cv_grpnet(
        X, gaussian(y), n_folds=folds, min_ratio=float(alphas.min() / alphas.max()), seed=0,
        lmda_path_size=len(alphas), n_threads=threads, progress_bar=False,
    )  # fmt: skip
    state = found.fit(X, gaussian(y), n_threads=threads, progress_bar=False)
    return {"alpha": found.lmdas[found.best_idx], "coef": state.betas[-1].toarray().ravel()}


def told(model: Any) -> Mapping[str, Any]:
    """What an estimator with scikit-learn's names has found."""
    found = {"alpha": model.alpha_, "coef": np.ravel(model.coef_)}
    if hasattr(model, "mse_path_"):
        found |= {"mse": model.mse_path_, "alphas": model.alphas_}
    return found


LASSO = {
    OURS: Way(leastwise_lasso, ("leastwise",), order="C", small=SMALL),
    "scikit-learn": Way(sklearn_lasso, ("scikit-learn",), small=SMALL),
    "celer": Way(celer_lasso, ("celer",), "peers", small=SMALL),
    "skglm": Way(skglm_lasso, ("skglm",), "peers", small=SMALL),
    "glum": Way(glum_lasso, ("glum",), "peers", small=SMALL),
    "adelie": Way(adelie_lasso, ("adelie",), "peers", small=SMALL),
}
RIDGE = {
    OURS: Way(leastwise_ridge, ("leastwise",), order="C", small=SMALL),
    "scikit-learn": Way(sklearn_ridge, ("scikit-learn",), small=SMALL),
    "glum": Way(glum_ridge, ("glum",), "peers", small=SMALL),
}
