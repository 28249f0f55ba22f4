"""Ridge for all alphas at once, from one eigendecomposition.

With `D = diag(f2)`, `D^-1/2 Q D^-1/2 = V diag(e) V'` and l2 = alpha,

    t = D^-1/2 V (e + 2 alpha)^-1 V' D^-1/2 q

and where rows are fewer than columns, from their own side, `X D^-1 X' = U diag(e) U'` (n, n),

    t = D^-1 X' U (e + 2 alpha)^-1 U' y.

Eigenvalues have an error of EPS times the largest: in columns whose units are far apart the small ones
have no digit left. So what is found is put back into the equations; where one step of refinement by the
same decomposition does not settle them, Cholesky is tried, which no units disturb. What is left of the
equations bounds how far the objective is above its least value, and is told. Sparse rows are asked for
products only, for all penalties in one Krylov space (krylov.py), for no longer than the matrix of the
smaller side would take: so at most twice the time of the better way is spent. What is not settled then is
solved by that matrix, or where it would be too large or too slow by conjugate gradients in units of the
columns, each penalty from the answer of the one before.
Cost: about 9 p^3, and p^2 for an alpha; p^3 / 3 for an alpha that Cholesky answers, which goes first where
they are few; two products with what is stored for a step in the Krylov space or of conjugate gradients.
Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 3.4.1 and 18.3.5; Björck,
Numerical Methods for Least Squares Problems, 7.4, for the gradients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import UsageError, plural
from leastwise.numerics import EPS, Array, each
from leastwise.solve.krylov import Enough, Krylov
from leastwise.solve.penalised import Penalised
from leastwise.solve.scattered import Scattered

FEW = 4  # penalties that are solved one by one
SETTLED = 1e-15  # of yy: what the objective may be above its least value
FEW_ROWS, MOST_ROWS = 500, 20_000  # of the smaller side, below which its matrix is quick, above: too large
STEPS = 1_000  # of conjugate gradients for one penalty; in a Krylov space for all
ROOM = 1 << 25  # numbers that a Krylov space may hold
CLOSER = 1e-5  # than settled: coefficients of a small penalty are looser than the objective
LITTLE = 1e-20  # of the square of the gradient at 0: coefficients are then right however small they are
LEFT = 1e-24  # of the same squares, and of yy, in a Krylov space: four more zeros are a tenth more steps
# Seconds for one stored value in a product, for n j in step j of a Krylov space, for n^3 of an
# eigendecomposition and of Cholesky, for a product of two stored values and for n^2 of `Z Z'`: one core of
# 2.9 GHz, one BLAS thread, 3,332 x 8,000 with 1.8 million stored and 3,998 x 4,261 with 8,000. They
# decide which way goes first, and never what comes out.
STORED, ALONG, EIGEN, CHOLESKY, PAIR, PLACE = 1.5e-9, 1e-9, 1.8e-10, 1.2e-11, 5e-9, 2e-8


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
    if not isinstance(problem.X, Scattered):
        return _by_matrix(problem, l2)
    t, gap = np.zeros((len(l2), len(problem.columns), k)), np.full((len(l2), k), np.inf)
    if min(problem.X.shape) > FEW_ROWS and (l2 > 0).all():
        t, gap = _by_stored(problem, l2)
        if min(problem.X.shape) > MOST_ROWS:
            return t, gap
    if _late(problem, gap).any():
        _refuse_size(problem)
        late = _late(problem, gap, CLOSER * SETTLED)  # one matrix serves also those that are nearly there
        _take(_by_matrix(problem.smaller, l2[late]), t, gap, late)
    return t, gap


def _late(problem: Penalised, gap: Array, settled: float = SETTLED) -> NDArray[np.bool_]:
    """Which penalties (A,) are not settled."""
    return np.asarray((gap > settled * problem.yy).any(axis=1))


def _take(other: Answer, t: Array, gap: Array, late: NDArray[np.bool_]) -> None:
    """Puts another answer of some penalties in the place of what is further off."""
    better = other[1] <= gap[late]  # (a, k)
    t[late] = np.where(better[:, None], other[0], t[late])
    gap[late] = np.where(better, other[1], gap[late])


def _by_matrix(problem: Penalised, l2: Array) -> Answer:
    """The same by a matrix of the smaller side."""
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


def _by_stored(problem: Penalised, l2: Array) -> Answer:
    """By products with what is stored: in a Krylov space, and by gradients where the rest is too large."""
    side, matrix = min(problem.X.shape), _seconds(problem, len(l2))
    t, gap = _by_krylov(problem, l2, _steps(problem, matrix if side <= MOST_ROWS else np.inf))
    late = _late(problem, gap)
    step = 2 * STORED * _stored(problem) * len(problem.yy)
    hopeful = 4 * STEPS * step * late.sum() < _seconds(problem, int(late.sum()))  # a quarter more at most
    if late.any() and (side > MOST_ROWS or hopeful):
        _take(_by_gradients(problem, l2[late]), t, gap, late)
    return t, gap


def _stored(problem: Penalised) -> int:
    """Numbers that a product with the columns meets."""
    X = problem.X
    return int(X.S.nnz) + X.L.size + X.R.size


def _seconds(problem: Penalised, count: int) -> float:
    """What `count` penalties take by the matrix of the smaller side, about."""
    S, (n, c) = problem.X.S, problem.X.shape
    side = min(n, c)
    met = np.diff(S.indptr) if n <= c else np.bincount(S.indices, minlength=n)
    made = PAIR * float((met.astype(np.float64) ** 2).sum()) + PLACE * side**2
    if count <= FEW:
        return made + count * CHOLESKY * side**3
    return made + EIGEN * side**3


def _steps(problem: Penalised, seconds: float) -> int:
    """How many of a Krylov space are made in some seconds, by each target: m with `a m + b m^2` of them."""
    side = min(problem.X.shape)
    most = min(STEPS, side, max(ROOM // side, 1))
    a, b, each_one = 2 * STORED * _stored(problem), ALONG * side / 2, seconds / len(problem.yy)
    if a * most + b * most**2 <= each_one:
        return most
    return int((np.sqrt(a**2 + 4 * b * each_one) - a) / (2 * b))


def _by_krylov(problem: Penalised, l2: Array, most: int) -> Answer:
    """All penalties in one Krylov space for each target; once one is not settled, no more are tried."""
    Z, (n, c) = problem.X / np.sqrt(problem.f2), problem.X.shape
    t, gap = np.zeros((len(l2), c, len(problem.yy))), np.tile(problem.yy / 2, (len(l2), 1))  # of 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what is not finite is not settled
        for j in np.flatnonzero(problem.yy > 0):
            found = (_in_rows if n <= c else _in_columns)(problem, Z, int(j), 2 * l2, most)
            _take(found, t[:, :, j : j + 1], gap[:, j : j + 1], np.ones(len(l2), bool))
            if not (gap[:, j] <= SETTLED * problem.yy[j]).all():
                break
    return t, gap


def _in_rows(problem: Penalised, Z: Scattered, j: int, ridge: Array, most: int) -> Answer:
    """Of target j (A, c, 1) from the rows' side: `t = D^-1/2 Z'w`, and gaps as in `_missing_of_rows`."""
    y, D = problem.Y[:, j], np.sqrt(problem.f2)[:, None]
    pull = Z.T @ y
    enough = Enough(np.full(len(ridge), LEFT * (y @ y)), LEFT * float(pull @ pull))
    w = Krylov.of(Z, y, ridge, enough, most).answers  # (n, A)
    t = (Z.T @ w) / D
    v = y[:, None] - problem.X @ t - ridge * w
    return t.T[:, :, None], _squares(v)[:, None]


def _in_columns(problem: Penalised, Z: Scattered, j: int, ridge: Array, most: int) -> Answer:
    """The same from the columns' side, where rows are more: gaps as in `_by_gradients`."""
    y, D = problem.Y[:, j, None], np.sqrt(problem.f2)[:, None]
    pull = (Z.T @ y)[:, 0]
    left = LEFT * np.minimum(ridge * (y[:, 0] @ y[:, 0]), pull @ pull)
    t = Krylov.of(Z.T, pull, ridge, Enough(left), most).answers / D  # (c, A)
    g = problem.X.T @ (y - problem.X @ t) - ridge * D**2 * t
    return t.T[:, :, None], (_squares(g / D) / (2 * ridge))[:, None]


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
