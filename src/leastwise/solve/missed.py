"""What any coefficients miss of some rows, from their moments: held-out errors of whole paths.

About the rows' means, with `S = R'R` the sums of products of features and targets together,

    sum w (x b + c - y)^2 = |R_y - R_x b|^2 + W (mean_y - mean_x b - c)^2,    [R_x R_y] = R

never `y'y - 2 b'X'y + b'X'X b`, whose terms cancel where b is long or the fit is close. R is Cholesky's
factor in unit columns, with pivoting where they depend on one another (LAPACK's pstrf; Higham, Accuracy
and Stability of Numerical Algorithms, 10.3), or the rows themselves where they are few.
Cost: p^3 / 3 once, p^2 for a row of coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.solve.centred import Centred
from leastwise.solve.scattered import Columns


@dataclass(frozen=True, eq=False)
class Missed:
    """Rows, ready to be asked what coefficients miss of them."""

    R: Columns  # (r, p)
    R_y: Array  # (r, k)
    mean: Array  # (p + k,)
    weight: float
    around: Array  # (k,) sums of squares of the targets about their means

    @classmethod
    def of(cls, moments: Moments) -> Missed:
        """Of the rows of these moments, gaps filled."""
        c = Centred.of(moments.rounded().imputed(), True)
        p = len(c.scale)
        if c.S is None:
            return cls(c.features, c.aims, c.mean, c.weight, c.square[p:])
        R = _factor(c.S, c.square)
        return cls(R[:, :p], R[:, p:], c.mean, c.weight, c.square[p:])

    def sse(self, coef: Array, intercept: Array) -> Array:
        """`sum w (x b + c - y)^2` (..., k) for `coef` (..., k, p) and `intercept` (..., k)."""
        k, p = coef.shape[-2:]
        found = np.empty(coef.shape[:-1])
        for t in range(k):
            onto = (self.R @ coef[..., t, :].reshape(-1, p).T).T  # (..., r)
            beyond = onto.reshape(*coef.shape[:-2], -1) - self.R_y[:, t]
            away = self.mean[p + t] - coef[..., t, :] @ self.mean[:p] - intercept[..., t]
            found[..., t] = np.einsum("...r,...r->...", beyond, beyond) + self.weight * away**2
        return found


def _factor(S: Array, square: Array) -> Array:
    """R (r, q) with `R'R = S`, columns that do not vary left at 0."""
    from scipy.linalg import lapack

    (used,) = np.nonzero(square > 0)
    unit = np.sqrt(square[used])
    corr = S[np.ix_(used, used)] / np.outer(unit, unit)
    L, info = lapack.dpotrf(corr, lower=0, clean=1)
    if info:
        U, places, rank, _ = lapack.dpstrf(corr, lower=0)
        L = np.zeros((rank, len(used)))
        L[:, places - 1] = np.triu(U)[:rank]
    R = np.zeros((len(L), len(S)))
    R[:, used] = L * unit
    return R
