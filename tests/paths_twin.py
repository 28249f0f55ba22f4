"""The slow, obvious twin of penalised paths: one active set after another, in long double, from the rows.

Minimises `1/(2W) sum_i w_i (y_i - x_i b - c)^2 + l1 sum_j f_j |b_j| + l2 sum_j f_j b_j^2` over
lower <= b <= upper.

Each column stands twice, once for b > 0 and once, with its sign turned, for b < 0: then the function is a
quadratic over a box, `0 <= z <= end`. Lawson and Hanson's method (Solving Least Squares Problems, 1974,
ch. 23) lets in the piece that falls most steeply, solves for all that are in by Gaussian elimination, and
puts out what would leave its range. A piece that depends on those in goes along that dependence instead,
so those in are always independent. It ends at the optimum itself: nothing is left to a tolerance but
rounding, of which long double has three digits more than float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Long = np.longdouble
NOTHING = Long(1e-15)  # of a unit column's part of a unit target: no gradient
DEPENDS = Long(1e-16)  # of a unit column's square: what is left of it beside others is rounding
ROUNDED = Long(1e-17)  # of the terms that a gradient is the sum of
STEPS = 5_000


@dataclass
class Rows:
    """A problem by its rows: X (n, p), y (n,), w (n,), factors f (p,), bounds (p,) of coefficients."""

    X: Any
    y: Any
    w: Any
    f: Any
    lower: Any
    upper: Any
    intercept: bool = True

    @classmethod
    def of(cls, X, y, w=None, f=None, lower=None, upper=None, intercept=True, standardize=False):
        """All in long double; under `standardize` X is in units of its deviations."""
        n, p = np.shape(X)
        X, y = np.asarray(X, Long), np.asarray(y, Long)
        w = np.ones(n, Long) if w is None else np.asarray(w, Long)
        f = np.ones(p, Long) if f is None else np.asarray(f, Long)
        lower = np.full(p, -np.inf, Long) if lower is None else np.asarray(lower, Long)
        upper = np.full(p, np.inf, Long) if upper is None else np.asarray(upper, Long)
        if standardize:  # one problem in units of the deviations
            rows = cls(X, y, w, f, lower, upper, intercept)
            d = rows.deviation()
            return cls(X / d, y, w, f, lower * d, upper * d, intercept)
        return cls(X, y, w, f, lower, upper, intercept)

    def deviation(self):
        """(p,) of the columns about their means (about 0 without an intercept), 1 for constants."""
        Z, _ = self.centred()
        d = np.sqrt((self.w[:, None] * Z**2).sum(axis=0) / self.w.sum())
        size = np.abs(self.X).max(axis=0, initial=0)
        return np.where(d <= 1e-15 * size, Long(1), d)

    def centred(self):
        """X and y about their weighted means."""
        if not self.intercept:
            return self.X, self.y
        share = self.w / self.w.sum()
        return self.X - share @ self.X, self.y - share @ self.y

    def centred_mean(self):
        """The intercept where all coefficients are 0."""
        return self.w @ self.y / self.w.sum() if self.intercept else Long(0)

    def residuals(self, b, c):
        """y - X b - c (n,)."""
        return self.y - self.X @ np.asarray(b, Long) - Long(c)

    def loss(self, b, c):
        """1/(2W) SSE."""
        return (self.w * self.residuals(b, c) ** 2).sum() / (2 * self.w.sum())

    def objective(self, b, c, l1, l2):
        """What is minimised."""
        b = np.asarray(b, Long)
        return self.loss(b, c) + Long(l1) * (self.f * np.abs(b)).sum() + Long(l2) * (self.f * b**2).sum()

    def pull(self, b, c):
        """x_j'(w r) / W (p,): what the residuals have in common with each column."""
        return self.X.T @ (self.w * self.residuals(b, c)) / self.w.sum()


def twin(rows: Rows, l1: float, l2: float):
    """b (p,), c and the least value of the objective."""
    X, y = rows.centred()
    W = rows.w.sum()
    size = np.sqrt((rows.w[:, None] * X**2).sum(axis=0) / W)
    still = size <= 1e-15 * np.abs(rows.X).max(axis=0, initial=0)
    unit = np.where(still, Long(1), size)
    Z = np.where(still, Long(0), X / unit)
    H = Z.T @ (rows.w[:, None] * Z) / W + np.diag(2 * Long(l2) * rows.f / unit**2)
    q = Z.T @ (rows.w * y) / W
    height = np.sqrt((rows.w * y**2).sum() / W)
    if l1 == 0 < l2 and (rows.f > 0).all() and np.isinf([rows.lower, rows.upper]).all():
        t = gauss(H, q)  # plain ridge has one set
    else:
        t = _pieces(H, q, Long(l1) * rows.f / unit, rows.lower * unit, rows.upper * unit, height)
    b = np.where(still, Long(0), t / unit)
    share = rows.w / W
    c = share @ rows.y - (share @ rows.X) @ b if rows.intercept else Long(0)
    return b, c, rows.objective(b, c, l1, l2)


def _pieces(H, q, limit, lower, upper, height):
    """t (p,) of the quadratic with kinks `limit` at 0: each column split into its two signs."""
    p = len(q)
    H2 = np.block([[H, -H], [-H, H]])
    c2 = np.concatenate([q - limit, -q - limit])
    end = np.concatenate([upper, -lower])
    z = _boxed(H2, c2, end, height)
    return z[:p] - z[p:]


def _boxed(H, c, end, height):
    """z (m,) that minimises z'Hz/2 - c'z over 0 <= z <= end."""
    z, inside = np.zeros(len(c), Long), np.zeros(len(c), bool)
    for _ in range(STEPS):
        slope = c - H @ z
        gain = np.where(inside, 0, np.where(z > 0, -slope, slope))  # at its end, or at 0
        gain = np.where(
            (z == 0) & ((end == 0) | (np.roll(z, len(z) // 2) > 0)), 0, gain
        )  # never both signs
        size = np.sqrt(np.maximum(np.diagonal(H), 1))
        nothing = NOTHING * height * size + ROUNDED * (np.abs(H) @ z)
        best = int(np.argmax((gain - nothing) / size))
        if gain[best] <= nothing[best]:
            return z
        inside[best] = True
        _settled(H, c, z, inside, end, best)
    raise RuntimeError(f"The active sets did not end after {STEPS} steps. Look at this problem by hand.")


def _settled(H, c, z, inside, end, new):
    """z moved to the optimum of those inside, which leave where they meet an end of their range."""
    for _ in range(STEPS):
        at = np.flatnonzero(inside)
        if not len(at):
            return
        step, whole = _towards(H, c, z, at, new)
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(step > 0, (end[at] - z[at]) / step, np.where(step < 0, -z[at] / step, np.inf))
        length = room.min()
        if whole and length >= 1:
            z[at] += step
            return
        hit = at[room <= length]
        z[at] += length * step
        z[hit] = np.where(step[room <= length] > 0, end[hit], 0)
        inside[hit] = False
    raise RuntimeError(f"One active set did not settle after {STEPS} steps. Look at this problem by hand.")


def _towards(H, c, z, at, new):
    """The step to the optimum of `at`, or along the dependence of `new` on the others, which has none."""
    slope = (c - H @ z)[at]
    if new in at:
        rest = at[at != new]
        on = gauss(H[np.ix_(rest, rest)], H[rest, new]) if len(rest) else np.zeros(0, Long)
        left = H[new, new] - H[new, rest] @ on
        if left <= DEPENDS * H[new, new]:
            way = np.zeros(len(at), Long)
            way[at != new], way[at == new] = -on, 1
            return way * np.sign(way @ slope), False
    return gauss(H[np.ix_(at, at)], slope), True


def gauss(A, b):
    """x of A x = b by elimination with row pivots, in long double, refined once."""
    x = _eliminated(A, b)
    return x + _eliminated(A, b - A @ x)


def _eliminated(A, b):
    M, m = np.column_stack([A, b]).astype(Long), len(b)
    for i in range(m):
        best = i + int(np.argmax(np.abs(M[i:, i])))
        M[[i, best]] = M[[best, i]]
        M[i + 1 :, i:] -= np.outer(M[i + 1 :, i] / M[i, i], M[i, i:])
    x = np.zeros(m, Long)
    for i in range(m - 1, -1, -1):
        x[i] = (M[i, m] - M[i, i + 1 : m] @ x[i + 1 :]) / M[i, i]
    return x
