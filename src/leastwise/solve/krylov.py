"""Ridge of stored rows for all penalties at once, by products alone: they share one Krylov space.

With `Z = X D^-1/2`, D = diag(f2) and s = 2 l2, the answer is `t = D^-1 X' w` of `(Z Z' + s I) w = y`
(rows are fewer), or `t = D^-1/2 u` of `(Z'Z + s I) u = Z'y`: both are `(M M' + s I) w = b`, M = Z or Z'.
The space of b, MM'b, (MM')^2 b, ... is the same for every s. Golub and Kahan's process gives, in m steps,

    M' U = V L',     U'MM'U = L L',     U (n, m) orthonormal, U_1 = b / |b|, L lower bidiagonal

with alpha_j on the diagonal of L and beta_j+1 below it. The best w = U h for each s has
`(L L' + s I) h = |b| e_1`, a tridiagonal system. Its pivots d_j come without a subtraction,

    d_j = alpha_j^2 + f_j,    f_1 = s,    f_j+1 = s + f_j beta_j+1^2 / d_j

(the stationary qd of a shift below 0: they are right to their last digits however small s is), and what
forward substitution leaves, `rho_j+1 = -rho_j alpha_j beta_j+1 / d_j`, is what is left of the equations:
`b - (MM' + s I) w = rho_m+1 U_m+1`. So every penalty knows at every step how far it is, for three numbers.

Without orthogonality of U small penalties are late by hundreds of steps; each new direction is made
orthogonal to all (once, and again where most of it went: Daniel et al.), and V follows (Simon, Zha).
Where it fails: eigenvalues of many sizes and a penalty far below them take as many steps as rows. The steps
are bounded, what is left is measured in the rows and told, and the caller has other ways.
Cost: two products with what is stored and 4 n j for step j; 2 n m for an alpha. Memory: n m.
Sources: Golub, Kahan, SIAM J. Numer. Anal. 2 (1965) 205; Paige, Saunders, ACM TOMS 8 (1982) 43 (LSQR);
Frommer, Maass, SIAM J. Sci. Comput. 20 (1999) 1831 (all shifts from one space); Simon, Zha, SIAM J. Sci.
Comput. 21 (2000) 2257; Daniel, Gragg, Kaufman, Stewart, Math. Comp. 30 (1976) 772; Fernando, Parlett,
Numer. Math. 67 (1994) 191 (qd).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leastwise.numerics import Array

MOST = 0.7  # of a direction that is left where it is made orthogonal to others: once is then enough


@dataclass(frozen=True, eq=False)
class Enough:
    """When a penalty is settled: the square of what is left of its equations (A,), and of M' times that."""

    left: Array
    turned: float = np.inf

    def met(self, rho: Array, turned: float) -> bool:
        return bool((rho**2 <= self.left).all() and (rho**2 * turned**2 <= self.turned).all())


@dataclass(frozen=True, eq=False)
class Krylov:
    """The space of m steps from b (n,), and the tridiagonal systems of A shifts in it."""

    U: Array  # (n, m)
    size: float  # |b|
    pivots: Array  # (m, A)
    ratios: Array  # (m, A): alpha_j beta_j+1 / d_j, of which the last is not used

    @classmethod
    def of(cls, M: Any, b: Array, shifts: Array, enough: Enough, most: int) -> Krylov:
        """The space in which every shift (A,) is settled, or that of `most` steps."""
        U, size = np.empty((len(b), most), order="F"), float(np.linalg.norm(b))
        pivots, ratios = np.empty((most, len(shifts))), np.empty((most, len(shifts)))
        u, v, beta, rho, f = b / size, np.zeros(M.shape[1]), 0.0, np.full(len(shifts), size), shifts
        for j in range(most):
            back = M.T @ u
            if enough.met(rho, float(np.linalg.norm(back))):
                most = j
                break
            U[:, j] = u
            v, alpha = _unit(back - beta * v)
            u, beta = _unit(_apart(M @ v - alpha * u, U[:, : j + 1]))
            pivots[j] = alpha**2 + f
            ratios[j] = alpha * beta / pivots[j]
            rho, f = -rho * ratios[j], shifts + f * (beta**2 / pivots[j])
        return cls(U[:, :most], size, pivots[:most], ratios[:most])

    def __len__(self) -> int:
        return len(self.pivots)

    @property
    def answers(self) -> Array:
        """w (n, A) for each shift: `(L L' + s I) h = |b| e_1` forward and back, and `w = U h`."""
        h = np.zeros_like(self.pivots)
        h[:1] = self.size
        for j in range(1, len(h)):
            h[j] = -self.ratios[j - 1] * h[j - 1]
        h /= self.pivots
        for j in range(len(h) - 2, -1, -1):
            h[j] -= self.ratios[j] * h[j + 1]
        return np.asarray(self.U @ h)


def _unit(v: Array) -> tuple[Array, float]:
    """v in unit size, and its size; nothing where it is nothing."""
    size = float(np.linalg.norm(v))
    return (v / size if size > 0 else v), size


def _apart(u: Array, U: Array) -> Array:
    """u without what lies along the directions U: once more where that was most of it."""
    less = u - U @ (U.T @ u)
    if np.linalg.norm(less) > MOST * np.linalg.norm(u):
        return less
    return np.asarray(less - U @ (U.T @ less))
