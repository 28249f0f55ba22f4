"""Ridge without each row in turn, for all penalties, from one eigendecomposition.

From the columns' side, with `x` a row about the means in units of the deviations, D = diag(f2) and
`D^-1/2 Q D^-1/2 = V diag(e) V'`, a row's leverage is

    h = w/W (1 + sum_j z_j^2 / (e_j + 2 l2)),    z = V' D^-1/2 x,    y - prediction without it = r / (1 - h)

(the 1 only with an intercept). Where rows are no more than columns h goes to 1 as l2 goes to 0 and
nothing of 1 - h is left. There it is the rows' side, with `G = X D^-1 X' + 2 l2 I` (n, n) and

    y - prediction without it = c_i / (G^-1)_ii,    c = G^-1 y

where nothing cancels. The intercept is a direction without penalty, the roots of the weights: a reflection
puts it into the first coordinate, which is left out, instead of looking for it among eigenvectors.

Cost: 9 p^3 (or n^3) once, and n p (p + A) for A penalties; n^2 (n + A) from the rows' side.
Source: Golub, Heath, Wahba, Technometrics 21 (1979) 215, (1.3); Rifkin, Lippert, Notes on regularized
least squares, MIT-CSAIL-TR-2007-025, 3.2, for the form of the rows' side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from leastwise.errors import UsageError
from leastwise.numerics import EPS, Array, one_blas_thread
from leastwise.solve.penalised import Penalised
from leastwise.solve.shrunk import eigen, shrunk


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Ridge under penalties `l2` (A,) > 0: all fits, and each row's prediction from the others.

    Raises UsageError for a problem with bounds or columns without a penalty: it has no closed form.
    """

    problem: Penalised
    l2: Array  # (A,)

    def __post_init__(self) -> None:
        P = self.problem.smaller
        object.__setattr__(self, "problem", P)
        if P.bounded or len(P.free.columns) or not (P.f2 > 0).all() or not (self.l2 > 0).all():
            raise UsageError(
                "Bounds, columns without a penalty, or an l2 of 0 leave no closed form for rows left out. "
                "Use folds."
            )

    @cached_property
    def fits(self) -> tuple[Array, Array]:
        """coef (A, k, p) and intercept (A, k) of all rows together."""
        with one_blas_thread():
            return self.problem.coefficients(shrunk(self.problem, self.l2)[0])

    def predictions(self, X: Array, Y: Array, w: Array | None = None, *, first: int = 0) -> Array:
        """What the other rows predict for each of these (b, A, k).

        `X` (b, p), `Y` (b, k), `w` (b,) are some of the rows that the problem was made of, `first` the
        place of the first of them. A row of weight 0 is predicted by all.
        """
        coef, intercept = self.fits
        w = np.ones(len(X)) if w is None else w
        fitted = (X @ coef.reshape(-1, coef.shape[-1]).T).reshape(len(X), *intercept.shape) + intercept
        if self.problem.by_rows:
            missed = self._missed_by_rows[first : first + len(X)]
            with np.errstate(divide="ignore", invalid="ignore"):
                missed = missed * np.sqrt(self.problem.c.weight / w)[:, None, None]
            alone = Y[:, None, :] - missed
        else:
            left = np.maximum(1 - self._leverage(X, w), EPS)
            alone = Y[:, None, :] - (Y[:, None, :] - fitted) / left[:, :, None]
        return alone if (w > 0).all() else np.where(w[:, None, None] > 0, alone, fitted)

    def _leverage(self, X: Array, w: Array) -> Array:
        """h (b, A), from the columns' side."""
        P, (V, shrink) = self.problem, self._columns_side
        unit = P.deviation[P.columns] * np.sqrt(P.f2)
        mean = P.c.mean[P.columns] if P.c.intercept else 0.0
        Z = ((X[:, P.columns] - mean) / unit) @ V
        return np.asarray((w / P.c.weight)[:, None] * (float(P.c.intercept) + Z**2 @ shrink.T))

    @cached_property
    def _columns_side(self) -> tuple[Array, Array]:
        """V (c, r) and `1 / (e + 2 l2)` (A, r); directions of eigenvalue 0 take no part."""
        if not len(self.problem.columns):
            return np.empty((0, 0)), np.empty((len(self.l2), 0))
        e, V = eigen(self.problem)
        some = e > 0
        return V[:, some], 1 / (e[some] + 2 * self.l2[:, None])

    @cached_property
    def _missed_by_rows(self) -> Array:
        """`c_i / (G^-1)_ii` (n, A, k), times the root of w_i / W."""
        P = self.problem
        Z = P.X / np.sqrt(P.f2)
        U, e = _without_mean(Z @ Z.T, P.c.part.roots if P.c.intercept else None)
        inverse = 1 / (e + 2 * self.l2[:, None])  # (A, r)
        c = U @ (inverse[:, :, None] * (U.T @ P.Y))  # (A, n, k)
        with np.errstate(divide="ignore", invalid="ignore"):  # rows of weight 0
            return np.asarray(np.moveaxis(c, 0, 1) / (U**2 @ inverse.T)[:, :, None])


def _without_mean(K: Array, roots: Any) -> tuple[Array, Array]:
    """Eigenvectors (n, r) and eigenvalues (r,) of K outside the direction `roots` (n,), if there is one."""
    if roots is None:
        e, U = np.linalg.eigh(K)
    else:
        v = roots.copy()
        v[0] += np.copysign(np.linalg.norm(v), v[0])
        v /= np.linalg.norm(v)
        half = K - 2 * np.outer(K @ v, v)
        turned = half - 2 * np.outer(v, v @ half)
        e, V = np.linalg.eigh(turned[1:, 1:])
        U = np.concatenate([np.zeros((1, len(e))), V]) - 2 * np.outer(v, v[1:] @ V)
    least = len(e) * EPS * e.max(initial=0.0)
    return U, np.where(e > least, e, 0.0)
