"""Coordinate descent, compiled: one target, from the matrix of products of a working set.

In the units of penalised.py, with `g = q - Q t` what is left of the target along each column,

    P(t) = yy/2 - q't + t'Qt/2 + l1 f1'|t| + l2 f2't^2      over lo <= t <= hi, lo <= 0 <= hi

The best value of one coordinate with the others held is `clip(soft(g_j + Q_jj t_j, l1 f1_j) / (Q_jj +
2 l2 f2_j), lo_j, hi_j)`, and a change d of it takes `d Q_j` from g: covariance updates (Friedman, Hastie,
Tibshirani, J. Stat. Soft. 33 (2010) 2.2).

*Rounds* over the working set find which coordinates are not 0; once that settles, convergence is
linear with the condition of their matrix. Where the rounds to come would cost more than it, one *direct*
step solves for them by Cholesky. Where signs change or bounds are crossed on the way it goes only as far
as the function falls, so the descent ends for any data.

*Duality gap*: with `h = g - 2 l2 f2 t`, R = |y - X t|^2 + 2 l2 f2't^2 and s <= 1 the factor that brings
every `s h_j` into the limits `±l1 f1_j` (where no bound makes the conjugate finite), Fenchel gives

    gap = sum_j (l1 f1_j |t_j| - s h_j t_j + conjugate_j(s h_j)) + (1 - s)^2 R / 2   >= P(t) - P(t*)

term by term, without the cancellation of P - D; with l2 > 0 also s = 1 and the ridge term in the
conjugate, and the smaller of the two counts. A coordinate without penalty has no limit; it is charged
`|h_j|` times how far it may have to go, taken as `|t_j| + (yy / Q_jj)^1/2` (there an estimate, no bound).
"""

from __future__ import annotations

import numpy as np
from numba import njit

LARGE = 150  # coordinates from which LAPACK's Cholesky is faster than ours
SETTLE = 3  # rounds before a direct step is thought of
SMALL_SHARE, LARGE_SHARE = (
    12,
    60,
)  # a direct step of m coordinates costs as much as m / 12 rounds, or m / 60
FLAT = 1e-9  # of the penalty: what falls less along dependent columns does not fall
HOPELESS = 1e-11  # of its diagonal: a pivot below is a column that depends on others
STILL = 1e-31  # of yy: a round that brings less moves by rounding alone
TIGHT = 0.8  # share of the goal to which a working set is solved: the rest is for columns outside


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def _dot(a, b):
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _take(g, row, by):
    """`g -= by row`."""
    for i in range(len(g)):
        g[i] -= by * row[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _soft(z, limit):
    if z > limit:
        return z - limit
    if z < -limit:
        return z + limit
    return 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def gap_of(g, t, q, yy, diagonal, f1, f2, lo, hi, l1, l2, places):
    """The duality gap at t of the problem in the columns `places`, outside which t is held."""
    s, R = 1.0, yy
    for j in places:
        R += 2 * l2 * f2[j] * t[j] * t[j] - (q[j] + g[j]) * t[j]
        h, limit = g[j] - 2 * l2 * f2[j] * t[j], l1 * f1[j]
        if limit > 0:
            if h > limit and hi[j] == np.inf:
                s = min(s, limit / h)
            if -h > limit and lo[j] == -np.inf:
                s = min(s, limit / -h)
    gap = (1 - s) * (1 - s) * max(R, 0.0) / 2
    other = 0.0 if l2 > 0 else np.inf
    for j in places:
        h, limit = g[j] - 2 * l2 * f2[j] * t[j], l1 * f1[j]
        u, share = s * h, limit * abs(t[j])
        gap += share - u * t[j]
        if limit == 0 and ((h > 0 and hi[j] == np.inf) or (h < 0 and lo[j] == -np.inf)):
            gap += u * t[j]
            if diagonal[j] > 0:
                gap += abs(h) * (abs(t[j]) + np.sqrt(yy / diagonal[j]))
        elif u > limit and hi[j] < np.inf:
            gap += hi[j] * (u - limit)
        elif -u > limit and lo[j] > -np.inf:
            gap += -lo[j] * (-u - limit)
        if other < np.inf:
            ridge, beyond = l2 * f2[j], _soft(g[j], limit)
            if ridge > 0:
                best = min(max(beyond / (2 * ridge), lo[j]), hi[j])
                other += share + ridge * t[j] * t[j] - g[j] * t[j]
                other += g[j] * best - limit * abs(best) - ridge * best * best
            elif beyond != 0:
                other = np.inf
            else:
                other += share - g[j] * t[j]
    return max(min(gap, other), 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _round(Q, g, t, places, f1, f2, lo, hi, l1, l2):
    """Every coordinate of `places` put at its best once; the largest decrease that one brought."""
    most = 0.0
    for i in places:
        curvature = Q[i, i] + 2 * l2 * f2[i]
        if Q[i, i] <= 0:
            continue
        old = t[i]
        new = _soft(g[i] + Q[i, i] * old, l1 * f1[i]) / curvature
        new = min(max(new, lo[i]), hi[i])
        if new != old:
            t[i] = new
            _take(g, Q[i, : len(g)], new - old)
            most = max(most, curvature * (new - old) ** 2)
    return most


@njit(cache=True, nogil=True, error_model="numpy")
def _factor(A):
    """U (m, m), upper, with `U'U = A`, of whose lower triangle; a dependent column has an infinite pivot.

    LAPACK where the matrix is large enough to gain by it, and regular. (Its answer lies by columns: as
    the transpose it lies by rows, which are what is read afterwards.)
    """
    m = len(A)
    if m > LARGE:
        try:
            U = np.linalg.cholesky(A).T
            for a in range(m):
                if not U[a, a] ** 2 > HOPELESS * A[a, a]:
                    raise ValueError
            return U
        except Exception:
            pass
    U = A.T.copy()
    for a in range(m):
        left = U[a, a]
        U[a, a] = np.sqrt(left) if left > HOPELESS * A[a, a] else np.inf
        for b in range(a + 1, m):
            U[a, b] /= U[a, a]
        for b in range(a + 1, m):
            if U[a, b] != 0:
                _take(U[b, b:], U[a, b:], U[a, b])
    return U


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(U, d):
    """`U'^-1 d` in the place of d; 0 for dependent columns."""
    for a in range(len(d)):
        d[a] /= U[a, a]
        _take(d[a + 1 :], U[a, a + 1 : len(d)], d[a])


@njit(cache=True, nogil=True, error_model="numpy")
def _back(U, d):
    """`U^-1 d` in the place of d; 0 for dependent columns."""
    m = len(d)
    for a in range(m - 1, -1, -1):
        d[a] = (d[a] - _dot(U[a, a + 1 : m], d[a + 1 :])) / U[a, a]


@njit(cache=True, nogil=True, error_model="numpy")
def _along(A, U, slope, kinks):
    """A direction (m,) that changes next to nothing but the penalty, and how far down it goes on.

    Of a dependent column, 1, and of those before it, what takes its place; of the first of which the
    penalty (`kinks` for a unit of each) falls that way: copies may share as they like. No direction, 0,
    where there is none. With `left` the pivot that was too small, P changes by `left x^2 / 2 - fall x`.
    """
    m = len(A)
    z = np.zeros(m)
    for a in range(m):
        if U[a, a] == np.inf:
            left = A[a, a]
            z[:] = 0.0
            for b in range(a):
                z[b] = -U[b, a]
                left -= U[b, a] ** 2
            _back(U, z[:a])
            z[a] = 1.0
            fall, most = _dot(z, slope), 0.0
            for b in range(m):
                most += abs(z[b]) * kinks[b]
            if most == 0 or abs(fall) <= FLAT * most:  # without a penalty rounding is all that falls
                continue
            if fall < 0:
                for b in range(m):
                    z[b] = -z[b]
            return z, (abs(fall) / left if left > 0 else np.inf)
    return z, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _curved(Q, places, f2, l2):
    """The lower triangle (m, m) of the Hessian of `places`."""
    m = len(places)
    H = np.zeros((m, m))
    for a in range(m):
        i = places[a]
        for b in range(a):
            H[a, b] = Q[i, places[b]]
        H[a, a] = Q[i, i] + 2 * l2 * f2[i]
    return H


@njit(cache=True, nogil=True, error_model="numpy")
def _slope(g, t, places, f1, f2, l1, l2):
    """How steeply P falls along each of `places` (m,), none of which is 0."""
    d = np.empty(len(places))
    for a in range(len(places)):
        i = places[a]
        d[a] = g[i] - 2 * l2 * f2[i] * t[i] - (l1 * f1[i] if t[i] > 0 else -l1 * f1[i])
    return d


@njit(cache=True, nogil=True, error_model="numpy")
def _end(t, d, lo, hi):
    """Where a coordinate that moves from t by d has to stop: at 0, or at its bound."""
    if d > 0:
        return 0.0 if t < 0 else hi
    return 0.0 if t > 0 else lo


@njit(cache=True, nogil=True, error_model="numpy")
def _reach(t, d, places, lo, hi, most):
    """How many times d (m,) `places` can go before one of them has to stop, `most` at most."""
    for a in range(len(places)):
        i = places[a]
        if d[a] != 0:
            most = min(most, (_end(t[i], d[a], lo[i], hi[i]) - t[i]) / d[a])
    return most


@njit(cache=True, nogil=True, error_model="numpy")
def _direct(Q, g, t, places, f1, f2, lo, hi, l1, l2):
    """The coordinates of `places`, none of them 0, moved towards where their signs' quadratic is least.

    The whole way, if none passes 0 or a bound on it: then the answer is True. Else whichever is lower:
    the whole way with those that pass put where they have to stop, or all as far as the first of them.
    """
    m = len(places)
    H = _curved(Q, places, f2, l2)
    U = _factor(H)
    slope = _slope(g, t, places, f1, f2, l1, l2)
    z, far = _along(H, U, slope, l1 * f1[places])
    if far > 0:  # columns that depend on one another: what only the penalty holds goes first
        first = _reach(t, z, places, lo, hi, far)
        if 0 < first < np.inf:
            for a in range(m):
                i = places[a]
                end = _end(t[i], z[a], lo[i], hi[i])
                to = t[i] + first * z[a]
                if z[a] != 0 and (end - t[i]) / z[a] <= first * (1 + 1e-12):
                    to = end
                if to != t[i]:
                    _take(g, Q[i, : len(g)], to - t[i])
                    t[i] = to
            return False
    d = slope.copy()
    _forward(U, d)
    _back(U, d)
    promise = _dot(d, slope)
    length = _reach(t, d, places, lo, hi, 1.0)
    drop, best = np.zeros(len(g)), -(length - length * length / 2) * promise
    for way in range(2):
        change = 0.0
        drop[:] = 0.0
        to = np.empty(m)
        for a in range(m):
            i = places[a]
            to[a] = t[i] + (d[a] if way == 0 else length * d[a])
            end = _end(t[i], d[a], lo[i], hi[i])
            if d[a] != 0 and (to[a] - end) * d[a] >= 0:
                to[a] = end
            step = to[a] - t[i]
            if step != 0:
                _take(drop, Q[i, : len(g)], -step)
            change += l1 * f1[i] * (abs(to[a]) - abs(t[i])) + l2 * f2[i] * (to[a] ** 2 - t[i] ** 2)
        for a in range(m):
            i = places[a]
            change += (to[a] - t[i]) * (drop[i] / 2 - g[i])
        if way == 1 or length == 1 or change <= best:
            break
    for a in range(m):
        t[places[a]] = to[a]
    _take(g, drop, 1.0)
    return length == 1


@njit(cache=True, nogil=True, error_model="numpy")
def _free(g, t, f1, f2, lo, hi, l1, l2):
    """Coordinates that are not 0, and not held at a bound."""
    found, m = np.empty(len(t), np.int64), 0
    for i in range(len(t)):
        if t[i] == 0:
            continue
        push = g[i] - 2 * l2 * f2[i] * t[i] - (l1 * f1[i] if t[i] > 0 else -l1 * f1[i])
        if (t[i] >= hi[i] and push >= 0) or (t[i] <= lo[i] and push <= 0):
            continue
        found[m] = i
        m += 1
    return found[:m]


@njit(cache=True, nogil=True, error_model="numpy")
def _far(gap, before, goal):
    """How many more rounds it takes, if every one shrinks the gap as the last one did."""
    if before == np.inf or gap >= before:
        return np.inf
    return np.log(goal / gap) / np.log(gap / before)


@njit(cache=True, nogil=True, error_model="numpy")
def descend(Q, g, t, q, yy, f1, f2, lo, hi, l1, l2, goal, most):
    """t (m,) and g (m,) brought to a gap below `goal` on these columns; how many rounds it took.

    Q may be larger than (m, m): its first rows and columns count.
    """
    m, rounds, least = len(t), 0, STILL * yy
    everyone = np.arange(m)
    diagonal = np.empty(m)
    for i in range(m):
        diagonal[i] = Q[i, i]
    while rounds < most:
        moved = _round(Q, g, t, everyone, f1, f2, lo, hi, l1, l2)
        rounds += 1
        if moved <= least and rounds > 1:
            break
        if gap_of(g, t, q, yy, diagonal, f1, f2, lo, hi, l1, l2, everyone) <= goal:
            break
        places = _free(g, t, f1, f2, lo, hi, l1, l2)
        before, settled, enough = np.inf, 0, TIGHT * goal
        for _ in range(SETTLE * (1 + len(places))):
            if rounds >= most or len(places) == 0:
                break
            moved = _round(Q, g, t, places, f1, f2, lo, hi, l1, l2)
            rounds += 1
            gap = gap_of(g, t, q, yy, diagonal, f1, f2, lo, hi, l1, l2, places)
            if gap <= enough or moved <= least:
                break
            settled += 1
            price = SETTLE + len(places) / (SMALL_SHARE if len(places) <= LARGE else LARGE_SHARE)
            if settled >= SETTLE and _far(gap, before, enough) > price:
                places = _free(g, t, f1, f2, lo, hi, l1, l2)
                if _direct(Q, g, t, places, f1, f2, lo, hi, l1, l2):
                    break
                places, settled, gap = _free(g, t, f1, f2, lo, hi, l1, l2), 0, np.inf
            before = gap
    return rounds


@njit(cache=True, nogil=True, error_model="numpy")
def _joined(Q, work, inside, places, m):
    """The rows and columns of Q at places[m:...] written behind the first m of `work`."""
    for j in range(len(Q)):
        if inside[j] == 1:  # asked in
            inside[j], places[m] = 2, j
            for b in range(m + 1):
                work[m, b] = work[b, m] = Q[j, places[b]]
            m += 1
    return m


@njit(cache=True, nogil=True, error_model="numpy")
def _extended(work, places, m, t, g, before_t, before_g, ratio):
    """The last two points of the path drawn out: where no sign changes, the path is straight."""
    tw, gw = np.empty(m), np.empty(m)
    for a in range(m):
        j = places[a]
        tw[a] = t[j] + ratio * (t[j] - before_t[j])
        gw[a] = g[j] + ratio * (g[j] - before_g[j])
    for a in range(m):
        j = places[a]
        moved = tw[a] - t[j]
        if moved != 0 and (t[j] == 0 or tw[a] * t[j] <= 0 or before_t[j] == 0):
            tw[a] = t[j]
            _take(gw, work[a, :m], -moved)
    return tw, gw


@njit(cache=True, nogil=True, error_model="numpy")
def _remaining(Q, q, t):
    """`q - Q t`, from the beginning: no rounding is carried along the path."""
    g = q.copy()
    for j in range(len(t)):
        if t[j] != 0:
            _take(g, Q[j], t[j])
    return g


@njit(cache=True, nogil=True, error_model="numpy")
def path(Q, q, yy, l1, l2, f1, f2, lo, hi, goal, most):
    """The path from the whole matrix Q (p, p): t (A, p), gaps (A,), rounds (A,), one after the other.

    The working set of a point are the columns that the sequential strong rule cannot set aside
    (Tibshirani et al., JRSS B 74 (2012) 245) and those that were in before; afterwards every column is
    looked at, and those that miss their optimality condition come in.
    """
    p, A = len(q), len(l1)
    found, gaps, rounds = np.zeros((A, p)), np.zeros(A), np.zeros(A, np.int64)
    work, places, m = np.empty((p, p)), np.empty(p, np.int64), 0
    inside, diagonal = np.zeros(p, np.int64), np.empty(p)
    last1 = 0.0
    for j in range(p):
        diagonal[j] = Q[j, j]
        last1 = max(last1, abs(q[j]) / f1[j] if f1[j] > 0 else 0.0)
    t, g = np.zeros(p), q.copy()
    before_t, before_g = t.copy(), g.copy()
    last2, step = l2[0], 0.0
    for a in range(A):
        for j in range(p):
            bound = f1[j] * (2 * l1[a] - last1)
            h = g[j] - 2 * last2 * f2[j] * t[j]
            if inside[j] == 0 and diagonal[j] > 0 and abs(h) >= bound:
                inside[j] = 1
        m = _joined(Q, work, inside, places, m)
        ratio = (last1 - l1[a]) / step if step > 0 else 0.0
        tw, gw = _extended(work, places, m, t, g, before_t, before_g, ratio)
        step, last1, last2 = last1 - l1[a], l1[a], l2[a]
        before_t, before_g, last_gap = t.copy(), g, np.inf
        while True:
            at = places[:m]
            rounds[a] += descend(
                work, gw, tw, q[at], yy, f1[at], f2[at], lo[at], hi[at], l1[a], l2[a],
                TIGHT * goal, most - rounds[a],
            )  # fmt: skip
            for b in range(m):
                t[places[b]] = tw[b]
            g = _remaining(Q, q, t)
            gaps[a] = gap_of(g, t, q, yy, diagonal, f1, f2, lo, hi, l1[a], l2[a], np.arange(p))
            if gaps[a] <= goal or rounds[a] >= most:
                break
            for j in range(p):
                if inside[j] == 0 and diagonal[j] > 0 and abs(g[j]) > l1[a] * f1[j]:
                    inside[j] = 1
            joined = _joined(Q, work, inside, places, m)
            if joined == m and gaps[a] >= last_gap:
                break  # rounding is all that is left
            m, last_gap = joined, gaps[a]
            tw, gw = t[places[:m]], g[places[:m]]
        found[a] = t
    return found, gaps, rounds
