"""Ridge for all alphas at once, from one eigendecomposition.

With `D = diag(f2)`, `D^-1/2 Q D^-1/2 = V diag(e) V'` and l2 = alpha,

    t = D^-1/2 V (e + 2 alpha)^-1 V' D^-1/2 q

and where rows are fewer than columns, from their own side, `X D^-1 X' = U diag(e) U'` (n, n),

    t = D^-1 X' U (e + 2 alpha)^-1 U' y.

Eigenvalues have an error of EPS times the largest: in columns whose units are far apart the small ones
have no digit left. So what is found is put back into the equations; where one step of refinement by the
same decomposition does not settle them, Cholesky is tried, which no units disturb. What is left of the
equations bounds how far the objective is above its least value, and is told. Sparse rows are asked for
products only, by conjugate gradients, each penalty from the answer of the one before.
Cost: about 9 p^3, and p^2 for an alpha; p^3 / 3 for an alpha that Cholesky answers, which goes first where
they are few; two products with what is stored for a step of conjugate gradients.
Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 3.4.1 and 18.3.5; Björck,
Numerical Methods for Least Squares Problems, 7.4, for the gradients.
"""

from __future__ import annotations

import numpy as np

from leastwise.numerics import EPS, Array, each
from leastwise.solve.penalised import Penalised
from leastwise.solve.scattered import Scattered

FEW = 4  # penalties that are solved one by one
SETTLED = 1e-15  # of yy: what the objective may be above its least value
FEW_ROWS, MOST_ROWS = 500, 20_000  # sparse ones, below which (n, n) is quick, and above which too large
STEPS = 1_000  # of conjugate gradients for one penalty


def eigen(problem: Penalised) -> tuple[Array, Array]:
    """Eigenvalues (r,), ascending, and vectors: of `D^-1/2 Q D^-1/2`, or of `X D^-1 X'` from the rows."""
    D = np.sqrt(problem.f2)
    if problem.by_rows:
        Z = problem.X / D
        return _clipped(*np.linalg.eigh(Z @ Z.T))
    return _clipped(*np.linalg.eigh(problem.Q / np.outer(D, D)))


def _clipped(values: Array, vectors: Array) -> tuple[Array, Array]:
    """Directions that are rounding alone have the eigenvalue 0."""
    least = len(values) * EPS * values.max(initial=0.0)
    return np.where(values > least, values, 0.0), vectors


Answer = tuple[Array, Array]  # t (A, c, k), and by how much (A, k) the objective may miss its least value


def shrunk(problem: Penalised, l2: Array) -> Answer:
    """t (A, c, k) for penalties `l2` (A,), and by how much (A, k) each may miss the least objective."""
    k = len(problem.yy)
    if not len(problem.columns):
        return np.zeros((len(l2), 0, k)), np.zeros((len(l2), k))
    if isinstance(problem.X, Scattered) and len(problem.X) > FEW_ROWS:
        t, gap = _by_gradients(problem, l2)
        if (gap <= SETTLED * problem.yy).all() or len(problem.X) > MOST_ROWS:
            return t, gap
    if len(l2) <= FEW and (l2 > 0).all():  # p^3 / 3 each is less than an eigendecomposition
        found = [_by_cholesky(problem, one) for one in l2[:, None]]
        if all(one is not None and (one[1] <= SETTLED * problem.yy).all() for one in found):
            return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))  # type: ignore
    e, V = eigen(problem)
    t, gap = (_by_rows if problem.by_rows else _by_products)(problem, l2, e, V)
    for a in np.flatnonzero((gap > SETTLED * problem.yy).any(axis=1) & (l2 > 0)):
        other = _by_cholesky(problem, l2[a : a + 1])
        if other is not None and other[1].max() < gap[a].max():
            t[a], gap[a] = other[0][0], other[1][0]
    still = problem.yy == 0  # a target that does not vary
    t[..., still], gap[..., still] = 0.0, 0.0
    return t, gap


def _by_products(problem: Penalised, l2: Array, e: Array, V: Array) -> Answer:
    D = np.sqrt(problem.f2)
    inverse = _inverse(e, l2)

    def answer(of: Array) -> Array:
        return each(V, inverse[:, :, None] * each(V.T, of / D[:, None])) / D[:, None]

    t = answer(np.broadcast_to(problem.q, (len(l2), *problem.q.shape)))
    t = t + answer(_missing(problem, l2, t))
    return t, _gap(problem, l2, t, e[e > 0].min(initial=np.inf))


def _by_rows(problem: Penalised, l2: Array, e: Array, U: Array) -> Answer:
    inverse, back = _inverse(e, l2), (problem.X / problem.f2).T  # (c, n)

    def answer(of: Array) -> Array:
        return each(U, inverse[:, :, None] * each(U.T, of))

    w = answer(np.broadcast_to(problem.Y, (len(l2), *problem.Y.shape)))  # (A, n, k)
    w = w + answer(_missing_of_rows(problem, l2, each(back, w), w))
    t = each(back, w)
    v = _missing_of_rows(problem, l2, t, w)
    v = np.where(l2[:, None, None] > 0, v, each(U[:, e > 0], each(U[:, e > 0].T, v)))
    return t, np.einsum("ank,ank->ak", v, v)


def _by_cholesky(problem: Penalised, l2: Array) -> Answer | None:
    """The same for one penalty (1,), with a step of refinement; None where the matrix is not positive."""
    from scipy.linalg import lapack

    back = (problem.X / problem.f2).T if problem.by_rows else None
    if back is not None:
        A, q = problem.X @ back + 2 * l2 * np.eye(len(problem.X)), problem.Y
    else:
        A, q = problem.Q + np.diag(2 * l2 * problem.f2), problem.q
    unit = np.sqrt(np.maximum(np.diagonal(A), np.finfo(np.float64).tiny))
    scaled = A / np.outer(unit, unit)
    L, x, info = lapack.dposv(scaled, q / unit[:, None])
    if info:
        return None
    x = x / unit[:, None]
    left = q - A @ x if back is None else problem.Y - problem.X @ (back @ x) - 2 * l2 * x
    x = x + lapack.dpotrs(L, left / unit[:, None])[0] / unit[:, None]
    if back is None:
        return x[None], _gap(problem, l2, x[None], np.inf)
    t = (back @ x)[None]
    v = _missing_of_rows(problem, l2, t, x[None])
    return t, np.einsum("ank,ank->ak", v, v)


def _by_gradients(problem: Penalised, l2: Array) -> Answer:
    """By conjugate gradients on `s = D^1/2 t`: `(Z'Z + 2 l2 I) s = Z'y`, Z = X D^-1/2, for all targets.

    With g what is left of the equations the objective is no more than `|g|^2 / (4 l2)` above its least
    value: where that is settled it ends. Z's is found again from the rows at the end, free of what rounding
    did on the way.
    """
    D = np.sqrt(problem.f2)[:, None]
    Z, Y = problem.X / D[:, 0], problem.Y
    s, goal = np.zeros((len(D), Y.shape[1])), SETTLED * problem.yy / 4
    t, gap = np.empty((len(l2), *s.shape)), np.empty((len(l2), Y.shape[1]))
    for a in range(len(l2)):
        ridge = 2 * float(l2[a])
        if ridge == 0:
            t[a], gap[a] = 0.0, np.inf
            continue
        r = Y - Z @ s
        g = Z.T @ r - ridge * s
        ahead, left = g, np.einsum("ck,ck->k", g, g)
        for _ in range(STEPS):
            if (left <= 2 * ridge * goal).all():
                break
            onto = Z @ ahead
            along = np.einsum("nk,nk->k", onto, onto) + ridge * np.einsum("ck,ck->k", ahead, ahead)
            step = np.divide(left, along, out=np.zeros_like(left), where=along > 0)
            s, r = s + step * ahead, r - step * onto
            g, before = Z.T @ r - ridge * s, left
            left = np.einsum("ck,ck->k", g, g)
            ahead = g + np.divide(left, before, out=np.zeros_like(left), where=before > 0) * ahead
        g = Z.T @ (Y - Z @ s) - ridge * s
        t[a], gap[a] = s / D, np.einsum("ck,ck->k", g, g) / (2 * ridge)
    return t, gap


def _inverse(e: Array, l2: Array) -> Array:
    """`1 / (e + 2 l2)` (A, r), 0 for eigenvalues that are 0."""
    return np.divide(1.0, e + 2 * l2[:, None], out=np.zeros((len(l2), len(e))), where=e > 0)


def _gap(problem: Penalised, l2: Array, t: Array, least: float) -> Array:
    """What the objective is above its least value at most (A, k): `m' D^-1 m / (4 l2)`.

    With `m = q - (Q + 2 l2 D) t` it is `m' (Q + 2 l2 D)^-1 m / 2` above. Without a penalty by the `least`
    eigenvalue.
    """
    m = _missing(problem, l2, t) / np.sqrt(problem.f2)[:, None]
    floor = 2 * l2 + np.where(l2 == 0, least, 0.0)
    return np.asarray(np.einsum("ack,ack->ak", m, m) / 2 / floor[:, None])


def _missing(problem: Penalised, l2: Array, t: Array) -> Array:
    """What is left (A, c, k) of the equations `(Q + 2 l2 D) t = q`."""
    return problem.q - each(problem.Q, t) - 2 * l2[:, None, None] * problem.f2[:, None] * t


def _missing_of_rows(problem: Penalised, l2: Array, t: Array, w: Array) -> Array:
    """What is left, v (A, n, k), of the equations of the rows' side, `X t + 2 l2 w = y`, t = D^-1 X'w.

    The objective is no more than `|v|^2 / 2` above its least value, for `X (Q + 2 l2 D)^-1 X' <= I`; it is
    told as twice that, for what t itself is rounded.
    """
    return problem.Y - each(problem.X, t) - 2 * l2[:, None, None] * w
