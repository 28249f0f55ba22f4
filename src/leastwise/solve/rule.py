"""Rule: plain descent, momentum or Nesterov at a constant rate, on one eigenvalue at a time.

On a quadratic the eigendirections of its Hessian do not know of one another. In a direction of
eigenvalue l let `g` be the gradient at the start, `-psi_t g` the way gone after t steps and `pi_t` what
is left of the distance to the minimum: `pi = 1 - l psi`. With x = lr l and PyTorch's first step
(the velocity u begins at 0 and is the gradient after one step):

    plain      psi' = psi + lr (1 - l psi)                                         pi_t = (1 - x)^t
    momentum   u' = b u + (1 - l psi)      psi' = psi + lr u'
    Nesterov   u' = b u + (1 - l psi)      psi' = psi + lr (1 - l psi + b u')

Each is a map `s' = M s + c` of the state s = (psi, u) with a 2 x 2 companion matrix M; t steps are its
t-th power. Nothing is divided by l, so that a direction without curvature (psi_t = lr t) is no special
case, and rounding grows as t u, not with the condition.

    radius of M   plain |1 - x|     momentum: roots of z^2 - (1 + b - x) z + b
                  Nesterov: roots of z^2 - (1 + b)(1 - x) z + b (1 - x)
    converges     plain x < 2       momentum x < 2 (1 + b)      Nesterov x < 2 (1 + b) / (1 + 2 b)

Sources: Polyak, Some methods of speeding up the convergence of iteration methods (1964); Sutskever et
al., On the importance of initialization and momentum (2013), whose form PyTorch's SGD has; the limits
are Jury's conditions on the roots. Cost: a few numbers for each step and direction, for one t their log.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leastwise.numerics import Array

HUGE = 1e100  # of lr lambda: beyond, errors grow beyond float64 in a few steps
FINE = 32  # steps of a fine part: near a double root powers grow with it, and cancel again
Map = tuple[Array, Array]  # M (s, s, r) and c (s, r): s' = M s + c in each of r directions


@dataclass(frozen=True)
class Rule:
    """Steps of rate `lr` with momentum `beta` (0: plain), Nesterov's or not."""

    lr: float
    beta: float = 0.0
    nesterov: bool = False
    proximal: bool = False  # with soft thresholds after each step

    # ---- what it does to an eigenvalue ----

    def map(self, curvature: Array) -> Map:
        """The map of (psi, u) that one step is, for eigenvalues (r,)."""
        lr, b, x = self.lr, self.beta, self.lr * curvature
        one = np.ones_like(x)
        if b == 0:
            return (1 - x)[None, None], (lr * one)[None]
        ahead = (1 + b) if self.nesterov else 1.0
        M = np.array([[1 - ahead * x, lr * b * (b if self.nesterov else 1.0) * one], [-curvature, b * one]])
        return M, np.array([lr * ahead * one, one])

    def left(self, curvature: Array) -> Map:
        """The map of (pi, u): what is left of the distance, without a constant term."""
        b, x = self.beta, self.lr * curvature
        one = np.ones_like(x)
        if b == 0:
            return (1 - x)[None, None], np.zeros((1, len(x)))
        ahead = (1 + b) if self.nesterov else 1.0
        M = np.array([[1 - ahead * x, -b * (b if self.nesterov else 1.0) * x], [one, b * one]])
        return M, np.zeros((2, len(x)))

    def radius(self, curvature: Array) -> Array:
        """By what factor errors shrink in a step, in the long run (r,); above 1 they grow."""
        b, x = self.beta, np.minimum(self.lr * np.asarray(curvature), HUGE)
        if b == 0:
            return np.abs(1 - x)
        det = b * (1 - x) if self.nesterov else b * np.ones_like(x)
        half = ((1 + b) * (1 - x) if self.nesterov else 1 + b - x) / 2
        inside = half**2 - det
        real = np.abs(half) + np.sqrt(np.maximum(inside, 0))
        return np.where(inside >= 0, real, np.sqrt(np.abs(det)))

    # ---- what to choose ----

    def limit(self, top: float) -> float:
        """The rate from which on it does not converge, for the largest eigenvalue."""
        b = self.beta
        share = 1 + 2 * b if self.nesterov else 1.0
        return 2 * (1 + b) / (share * top) if top > 0 else np.inf

    def best(self, low: float, top: float) -> float:
        """The rate at which the slowest direction is fastest, for eigenvalues from `low` to `top`.

        `2 (1 + b) / (low + top)`, where both ends shrink alike; for Nesterov found by halving.
        """
        if (
            self.proximal
        ):  # half of what Ochs et al., iPiano (2014), prove; at beta 0 Beck and Teboulle (2009)
            return (1 - self.beta) / top
        if not self.nesterov or self.beta == 0:
            return 2 * (1 + self.beta) / (low + top)
        below, above = 0.0, self.limit(top)
        for _ in range(200):  # the low end shrinks faster with the rate, the top end slower from some on
            middle = (below + above) / 2
            slow, fast = Rule(middle, self.beta, True).radius(np.array([low, top]))
            rising = Rule(middle * (1 + 1e-9), self.beta, True).radius(np.array([top]))[0] >= fast
            below, above = (below, middle) if rising and fast >= slow else (middle, above)
        return below

    @property
    def name(self) -> str:
        """In words."""
        if self.beta == 0:
            return "plain descent"
        return f"{'Nesterov' if self.nesterov else 'momentum'} {self.beta:g}"

    def limit_formula(self) -> str:
        """How `limit` is found, in letters."""
        if self.beta == 0:
            return "2/lambda_max"
        return "2(1+beta)/((1+2 beta) lambda_max)" if self.nesterov else "2(1+beta)/lambda_max"


def applied(map_: Map, states: Array) -> Array:
    """`M s + c` of states (..., s, r)."""
    M, c = map_
    moved = M[:, 0] * states[..., :1, :]
    if len(c) == 2:
        moved = moved + M[:, 1] * states[..., 1:, :]
    return np.asarray(moved + c)


def after(first: Map, second: Map) -> Map:
    """The map that does `first` and then `second`."""
    return np.einsum("ijr,jkr->ikr", second[0], first[0]), applied(second, first[1])


def power(map_: Map, t: int) -> Map:
    """The map of t steps, by squaring."""
    size, r = map_[1].shape
    total = np.broadcast_to(np.eye(size)[:, :, None], (size, size, r)).copy(), np.zeros((size, r))
    while t:
        if t & 1:
            total = after(total, map_)
        t >>= 1
        if t:
            map_ = after(map_, map_)
    return total


def states(map_: Map, start: Array, steps: int) -> Array:
    """The states (steps + 1, s, r) after 0, 1, ..., steps steps, each doubling made of the one before."""
    found = np.empty((steps + 1, *start.shape))
    found[0], done = start, 1
    while done <= steps:
        more = min(done, steps + 1 - done)
        found[done : done + more] = applied(map_, found[:more])
        done += more
        if done <= steps:
            map_ = after(map_, map_)
    return found


def squares(rule: Rule, curvature: Array, share: Array, steps: int, begin: int = 0) -> Array:
    """`sum_j share_j pi_{t,j}^2` (steps + 1,) for t = begin, ..., begin + steps: what is left of the loss.

    With t = B m + i, pi_t is the first row of the map of B m steps times the state after i, so that all
    t are one matrix product: 2 steps r multiplications, where powers one by one would be steps r of them
    and their logarithms.
    """
    block = max(1, min(FINE, int(np.sqrt(steps + 1))))
    blocks = -(-(steps + 1) // block)
    step = rule.left(curvature)
    size, r = step[1].shape
    first = np.zeros((size, r))
    first[0] = 1.0
    at = first if begin == 0 else applied((power(step, begin)[0], 0 * first), first)
    fine = states(step, at, block - 1)  # (B, s, r)
    M, zero = power(step, block)
    coarse = states((M.transpose(1, 0, 2), zero), first, blocks - 1)  # (blocks, s, r): rows of powers
    if size == 1:
        return np.asarray((coarse[:, 0] ** 2 * share) @ (fine[:, 0] ** 2).T).ravel()[: steps + 1]
    a, b = coarse[:, 0], coarse[:, 1]
    x, u = fine[:, 0], fine[:, 1]
    left = np.hstack([a * a * share, 2 * a * b * share, b * b * share])
    return np.asarray(left @ np.hstack([x * x, x * u, u * u]).T).ravel()[: steps + 1]
