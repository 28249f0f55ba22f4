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

from leastwise.errors import UsageError, plural
from leastwise.numerics import EPS, Array, each
from leastwise.solve.penalised import Penalised
from leastwise.solve.scattered import Scattered

FEW = 4  # penalties that are solved one by one
SETTLED = 1e-15  # of yy: what the objective may be above its least value
FEW_ROWS, MOST_ROWS = 500, 20_000  # of the smaller side, below which its matrix is quick, above: too large
STEPS = 1_000  # of conjugate gradients for one penalty
CLOSER = 1e-5  # than settled: coefficients of a small penalty are looser than the objective
LITTLE = 1e-20  # of the square of the gradient at 0: coefficients are then right however small they are


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
    if isinstance(problem.X, Scattered):
        if min(problem.X.shape) > FEW_ROWS and (l2 > 0).all():
            t, gap = _by_gradients(problem, l2)
            if (gap <= SETTLED * problem.yy).all() or min(problem.X.shape) > MOST_ROWS:
                return t, gap
        _refuse_size(problem)
        problem = problem.smaller
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


def _refuse_size(problem: Penalised) -> None:
    """Where gradients cannot answer, a matrix of the smaller side has to be made."""
    side = min(problem.X.shape)
    if side > MOST_ROWS:
        raise UsageError(
            f"Without a penalty (an alpha of 0) {plural(problem.X.shape[0], 'sparse row')} of "
            f"{plural(problem.X.shape[1], 'column')} take a matrix of {side:,} x {side:,}. Give alphas "
            "above 0."
        )


def _by_gradients(problem: Penalised, l2: Array) -> Answer:
    """By conjugate gradients, for all targets, each penalty from the answer of the one before.

    On `u = P t` with P the roots of the diagonal of `Q + 2 l2 D`, which takes the units away. With g what
    is left of the equations the objective is no more than `g' D^-1 g / (4 l2)` above its least value: where
    that is settled, and little is left of g, it ends. It is found again from the rows at the end.
    """
    X, Y, D = problem.X, problem.Y, problem.f2[:, None]
    goal, t = CLOSER * SETTLED * problem.yy / 4, np.zeros((len(D), Y.shape[1]))
    found, gap = np.empty((len(l2), *t.shape)), np.empty((len(l2), Y.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not settled
        first = _squares((X.T @ Y) / np.sqrt(D))
        for a, ridge in enumerate(2 * l2):
            enough = np.minimum(2 * ridge * goal, LITTLE * first)
            t = _conjugate(problem, float(ridge), t, enough)
            g = X.T @ (Y - X @ t) - ridge * D * t
            found[a], gap[a] = t, _squares(g / np.sqrt(D)) / (2 * ridge)
    return found, np.where(np.isfinite(gap), gap, np.inf)


def _conjugate(problem: Penalised, ridge: float, t: Array, enough: Array) -> Array:
    """t (c, k) from one nearby, until `g' D^-1 g` (k,) is `enough`, or after STEPS."""
    X, D = problem.X, problem.f2[:, None]
    P = np.sqrt(problem.diagonal[:, None] + ridge * D)
    r = problem.Y - X @ t
    g = (X.T @ r - ridge * D * t) / P
    ahead, left = g, _squares(g)
    for _ in range(STEPS):
        if (_squares(g * P / np.sqrt(D)) <= enough).all():
            break
        move = ahead / P
        onto = X @ move
        along = _squares(onto) + ridge * _squares(np.sqrt(D) * move)
        step = np.divide(left, along, out=np.zeros_like(left), where=along > 0)
        t, r = t + step * move, r - step * onto
        g, before = (X.T @ r - ridge * D * t) / P, left
        left = _squares(g)
        ahead = g + np.divide(left, before, out=np.zeros_like(left), where=before > 0) * ahead
    return t


def _squares(v: Array) -> Array:
    """Sums of squares (k,) of the columns of v."""
    return np.asarray(np.einsum("ck,ck->k", v, v))


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
