"""Paths of penalties: all answers for a row of penalties, and how far each is from its optimum.

The one door to three ways: shrunk.py (ridge, in closed form), coordinate.py (coordinate descent from
the matrix of products) and lazy.py (the same from the rows, where they are fewer than columns).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import UsageError
from leastwise.moments import Moments
from leastwise.numerics import Array, gram, one_blas_thread
from leastwise.solve.penalised import Penalised, Shrinkage, checked_tolerance
from leastwise.solve.scattered import only
from leastwise.solve.shrunk import eigen, shrunk

MOST_ROUNDS = 100_000  # over the working set, for one point of the path
RANK = 1e-13  # eigenvalues of correlations below this, for each column, are rounding
SAFE = 1e-8  # of the largest column sum: a ridge above it leaves traces of inverses seven digits
TOLERANCE = 1e-9  # gap asked for, as a share of the objective at b = 0


@dataclass(frozen=True, eq=False, repr=False)
class Path:
    """Penalised fits for penalties `l1`, `l2` (A,), largest first, of k targets on p columns.

    The objective is `1/(2W) SSE + l1 sum_j f_j |b_j| + l2 sum_j f_j b_j^2`. `coef` (A, k, p) and
    `intercept` (A, k) in the units of the data; `gap` (A, k) an upper bound of what the objective is above
    its least value (an estimate of it where a bounded column has no penalty), `goal` (k,) the gap that was
    asked for; `rounds` (A, k) of coordinate descent; `rss` (A, k), `tss` (k,) weighted sums of squares; `n`
    observations (with frequency weights their sum).
    """

    names: tuple[str, ...]
    targets: tuple[str, ...]
    l1: Array
    l2: Array
    coef: Array
    intercept: Array
    gap: Array
    goal: Array
    rounds: NDArray[np.int64]
    rss: Array
    tss: Array
    n: float
    weight: float
    problem: Penalised = field(repr=False)
    t: Array = field(repr=False)  # (A, c, k) in the units of the problem

    def __len__(self) -> int:
        return len(self.l1)

    def __repr__(self) -> str:
        return f"Path({len(self)} penalties, {len(self.names)} columns)"

    @property
    def loss(self) -> Array:
        """`SSE / W` (A, k): the loss L of docs/maths.md."""
        return self.rss / self.weight

    @property
    def objective(self) -> Array:
        """What each point minimises (A, k)."""
        P = self.problem
        kinks = np.einsum("c,ack->ak", P.f1, np.abs(self.t)) * self.l1[:, None]
        return self.loss / 2 + kinks + np.einsum("c,ack->ak", P.f2, self.t**2) * self.l2[:, None]

    @property
    def nonzero(self) -> Array:
        """How many coefficients are not 0 (A, k)."""
        return np.count_nonzero(self.coef, axis=2)

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether the gap that was asked for was reached (A, k)."""
        return self.gap <= self.goal

    @cached_property
    def df(self) -> Array:
        """Degrees of freedom of the slopes (A, k): how far fitted values follow the observed ones.

        `tr Q_A (Q_A + 2 l2 D)^-1` over the columns A that are neither 0 nor at a bound, and one for each
        free column: for the lasso their rank (Tibshirani, Taylor, Ann. Stat. 40 (2012) 1198).
        """
        if self._is_ridge:
            e, _ = eigen(self.problem)
            of = np.array([_share(e, 2 * float(l2)) for l2 in self.l2])
            return np.broadcast_to(of[:, None], self.gap.shape) + 0.0
        return np.stack([self.df_at(a) for a in range(len(self))])

    def df_at(self, a: int) -> Array:
        """The same at one point alone (k,)."""
        P, t, ridge = self.problem, self.t[a], 2 * float(self.l2[a])
        moving = (t != 0) & (t > P.lower[:, None]) & (t < P.upper[:, None])
        each = [self._followed(np.flatnonzero(of), ridge) for of in moving.T]
        return len(P.free.columns) + np.array(each)

    @property
    def _is_ridge(self) -> bool:
        P = self.problem
        some = bool(len(P.columns)) and not len(P.free.columns) and not P.bounded
        return some and not self.l1.any() and bool((P.f2 > 0).all()) and bool((P.yy > 0).all())

    def _followed(self, at: NDArray[np.intp], ridge: float) -> float:
        from scipy.linalg import lapack

        P, m = self.problem, len(at)
        if not m:
            return 0.0
        if P.by_rows and m > len(P.X) and (P.f2[at] > 0).all():  # from the smaller side
            Z = only(P.X, at) / np.sqrt(P.f2[at])
            return _followed_by_rows(Z @ Z.T, ridge)
        Q = gram(P.X[:, at]) if P.by_rows else P.Q[np.ix_(at, at)]
        M = Q + np.diag(ridge * P.f2[at])
        unit = np.sqrt(np.diagonal(M))
        scaled = M / np.outer(unit, unit)
        L, info = lapack.dpotrf(scaled, lower=1, clean=1)
        if info == 0 and np.diagonal(L).min() ** 2 > m * RANK:
            if ridge == 0:
                return float(m)
            return float(np.trace(lapack.dpotrs(L, Q / np.outer(unit, unit), lower=1)[0]))
        e, V = np.linalg.eigh(scaled)
        some = e > m * RANK * e[-1]
        inner = np.einsum("ij,ij->j", V, (Q / np.outer(unit, unit)) @ V)
        return float((inner[some] / e[some]).sum())

    @property
    def log_likelihood(self) -> Array:
        """Of normal errors at their variance's maximum (A, k); analytic weights add a constant to it."""
        with np.errstate(divide="ignore"):
            return -self.n / 2 * (np.log(2 * np.pi * self.rss / self.n) + 1)

    @property
    def aic(self) -> Array:
        """Akaike's criterion (A, k), intercept and variance counted as parameters."""
        return 2 * self._parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> Array:
        """Schwarz's criterion (A, k)."""
        return np.log(self.n) * self._parameters - 2 * self.log_likelihood

    @property
    def _parameters(self) -> Array:
        return self.df + 1 + self.problem.c.intercept


def _followed_by_rows(K: Array, ridge: float) -> float:
    """`tr K (K + ridge)^-1 = n - ridge |L^-1|^2` (Frobenius), where `L L' = K + ridge`.

    A sixth of the eigenvalues' time. Its error is n EPS |K| / ridge of what is taken away, so that small
    ridges take the eigenvalues.
    """
    from scipy.linalg import lapack

    if ridge > SAFE * np.linalg.norm(K, 1):
        L, info = lapack.dpotrf(K + ridge * np.eye(len(K)), lower=1, clean=1, overwrite_a=1)
        inverse, _ = lapack.dtrtri(L, lower=1, overwrite_c=1)
        if info == 0:
            return float(len(K) - ridge * np.einsum("ij,ij->", inverse, inverse))
    return _share(np.asarray(np.linalg.eigvalsh(K), np.float64), ridge)


def _share(e: Array, ridge: float) -> float:
    """`sum e / (e + ridge)` over eigenvalues that are not rounding alone."""
    some = e > len(e) * RANK * e.max(initial=0.0)
    return float((e[some] / (e[some] + ridge)).sum())


def solve_path(
    moments: Moments,
    l1: Array,
    l2: Array,
    *,
    shrinkage: Shrinkage = Shrinkage(),  # noqa: B008  # frozen
    intercept: bool = True,
    tol: float = TOLERANCE,
    most: int = MOST_ROUNDS,
) -> Path:
    """The fits under penalties `l1`, `l2` (A,), each started from the one before.

    `tol`: the duality gap asked for, as a share of the objective at b = 0. `most`: rounds of coordinate
    descent for one penalty; where they do not suffice `gap` says how far it is. Without bounds and L1
    ridge is solved in closed form. Cost: p^2 for a round at most, 9 p^3 for ridge; with n < p rows n in
    the place of one p.
    """
    l1, l2 = np.asarray(l1, np.float64), np.asarray(l2, np.float64)
    _check(l1, l2, most)
    with one_blas_thread():  # many small products: BLAS threads only get in the way
        problem = Penalised.of(moments, shrinkage, intercept=intercept)
        return path_of(problem, l1, l2, checked_tolerance(tol), most)


def path_of(problem: Penalised, l1: Array, l2: Array, tol: float, most: int) -> Path:
    """The same, of a problem that is made already."""
    k, A = len(problem.yy), len(l1)
    goal = tol * problem.yy / 2
    gap, rounds = np.zeros((A, k)), np.zeros((A, k), np.int64)
    if not len(problem.columns):
        t = np.zeros((A, 0, k))
    elif not l1.any() and not problem.bounded and (problem.f2 > 0).all():
        t, gap = shrunk(problem, l2)
    else:
        t = np.empty((A, len(problem.columns), k))
        for j in range(k):
            t[:, :, j], gap[:, j], rounds[:, j] = _descended(problem, l1, l2, goal[j], most, j)
    coef, intercept = problem.coefficients(t)
    rss = problem.rss(t)
    c = problem.c
    return Path(
        c.m.names, c.m.targets, l1, l2, coef, intercept, gap, goal, rounds, rss * c.weight,
        c.square[len(c.m.names) :], problem.count, c.weight, problem, t,
    )  # fmt: skip


def _descended(
    P: Penalised, l1: Array, l2: Array, goal: float, most: int, j: int
) -> tuple[Array, Array, NDArray[np.int64]]:
    """One target's path by coordinate descent."""
    from leastwise.solve.coordinate import path
    from leastwise.solve.lazy import lazy_path

    if P.yy[j] == 0:  # a target that does not vary
        return np.zeros((len(l1), len(P.columns))), np.zeros(len(l1)), np.zeros(len(l1), np.int64)
    if P.by_rows:
        return lazy_path(P, l1, l2, goal, most, j)
    Q, q = np.ascontiguousarray(P.Q), np.ascontiguousarray(P.q[:, j])
    found: tuple[Array, Array, NDArray[np.int64]] = path(
        Q, q, P.yy[j], l1, l2, P.f1, P.f2, P.lower, P.upper, goal, most
    )
    return found


def _check(l1: Array, l2: Array, most: int) -> None:
    if not isinstance(most, (int, np.integer)) or isinstance(most, bool) or most < 1:
        raise UsageError(f"most={most!r} is no whole number of 1 or more. Give one.")
    for name, values in (("l1", l1), ("l2", l2)):
        if values.ndim != 1 or not len(values) or not (np.isfinite(values) & (values >= 0)).all():
            raise UsageError(f"{name} has to be some numbers of 0 or more, in one row. Give them.")
    if l1.shape != l2.shape:
        raise UsageError(f"There are {len(l1)} penalties l1 and {len(l2)} penalties l2. Give as many.")
