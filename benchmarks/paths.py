"""A lasso path of 100 alphas, from rows, at equal accuracy: ours beside those who are made for it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.path_ways import BY_PRODUCTS, WAYS
from benchmarks.table import Table
from benchmarks.turns import FEW, LONG, ROUNDS, Entry, take_turns

Array = NDArray[np.float64]

GOAL = 1e-6  # the largest gap of a path, relative to the objective at b = 0
ALPHAS, LAST, SEED, BLOCK = 100, 1e-3, 0, 4096
STEP, TIGHTEST, LOOSEST = 10.0, 1e-16, 1.0
EVERY, PRODUCTS = tuple(WAYS), tuple(name for name in WAYS if name in BY_PRODUCTS)
Case = tuple[int, int, float, tuple[str, ...], float]  # rows, columns, l1_ratio, ways, limit of a run (s)
CASES: tuple[Case, ...] = (
    (100_000, 100, 1.0, EVERY, 30.0),
    (1_000_000, 100, 1.0, PRODUCTS, 30.0),
    (10_000, 1_000, 1.0, EVERY, 30.0),
    (500, 5_000, 1.0, EVERY, 30.0),
    (100_000, 100, 0.5, EVERY, 30.0),
)


@dataclass(frozen=True)
class Problem:
    """Rows in files, and the alphas to be followed."""

    X: Array  # (n, p)
    y: Array  # (n,)
    folder: Path
    alphas: Array  # (A,)
    l1_ratio: float

    @property
    def files(self) -> dict[str, Any]:
        """What a worker is told to load."""
        return {
            "files": {o: str(self.folder / f"X.{o}.npy") for o in "CF"},
            "y": str(self.folder / "y.npy"),
        }

    def options(self, tol: float) -> dict[str, Any]:
        """What a worker is told to run."""
        return {"alphas": self.alphas.tolist(), "l1_ratio": self.l1_ratio, "tol": tol}


# ---- the table ----


def run(options: Namespace, cases: tuple[Case, ...] = CASES) -> Table:
    """Each case, with one thread."""
    rows: list[Mapping[str, Any]] = []
    for n, p, l1_ratio, names, limit in cases:
        ways = {name: WAYS[name] for name in names}
        with problem(n, p, l1_ratio, options.folder) as of:
            found = take_turns("path_ways:WAYS", ways, 1, of.files, partial(climb, of=of, limit=limit))
        rows += [{"shape": f"{n:,} x {p:,}", "l1_ratio": l1_ratio} | row for row in found]
        print(f"  {n:,} x {p:,}, l1_ratio {l1_ratio:g}: done", flush=True)
    versions = {row.get("versions"): None for row in rows if row.get("versions")}
    return Table(
        f"paths: seconds for a path of {ALPHAS} alphas, at equal accuracy",
        [{key: value for key, value in row.items() if key != "versions"} for row in rows],
        [*NOTES, *(f"with {words}" for words in versions)],
    )


NOTES = [
    f"{ALPHAS} alphas, alpha_max to alpha_max * {LAST:g}; l1_ratio in scikit-learn's sense; float64 rows",
    "in memory; the pass over them, centring and Gram are timed, for every way; ours gets them laid out",
    "by rows, the peers by columns",
    "rows: normal, AR(1) columns of correlation 0.5 with offsets; 10 % of the coefficients (at most 50)",
    "are not zero; signal to noise 3 (deviations); from a seed",
    "gap: the largest duality gap on the path, computed here from the coefficients for all alike, over",
    f"|y - mean|^2 / (2n). Each way's tolerance is the loosest of a ladder that has gap <= {GOAL:g}",
    "each way in a process of its own, told to run in turn; medians of "
    f"{ROUNDS} runs ({FEW} where one takes",
    f"over {LONG:.0f} s); a way of which one run takes over 30 s (2,000 x 10,000: 75 s) is ended.",
    "cpu / ours, wall / ours: its",
    "seconds over ours",
    "first s: import and first call on 200 rows, with what is compiled then and not kept on disk from",
    "before; in no other column",
    "1,000,000 x 100: only ways by products of columns; those by rows take 40 to 200 times as long at",
    "100,000 x 100",
    "others: cores that other processes kept busy meanwhile; wall seconds beside many are not sound",
]


# ---- equal accuracy ----


def climb(entry: Entry, of: Problem, limit: float) -> None:
    """Find the loosest tolerance of the ladder whose path keeps GOAL: by tens, then by half a step.

    A way that takes long is spared the half step, which is worth little.
    """
    tol = entry.way.first
    if trial(entry, of, tol, limit):
        while tol < LOOSEST and trial(entry, of, tol * STEP, limit):
            tol *= STEP
    else:
        while tol > TIGHTEST and not trial(entry, of, tol / STEP, limit):
            tol /= STEP
    if entry.options is None:
        entry.note = f"not within {GOAL:g} at any tolerance down to {tol:.0e}: its least gap is told"
        return
    if entry.once < LONG:
        trial(entry, of, entry.options["tol"] * STEP**0.5, limit)


def trial(entry: Entry, of: Problem, tol: float, limit: float) -> bool:
    """Whether a run at `tol` keeps GOAL; then the entry keeps it, and else the least gap that was seen."""
    out, options = of.folder / "found.npz", of.options(tol)
    timing = entry.run(options, limit, out=str(out))
    with np.load(out) as found:
        gap = float(gaps(of.X, of.y, of.alphas, of.l1_ratio, found["coef"]).max())
    good = gap <= GOAL
    if good:
        entry.options, entry.once = options, timing.wall
    if good or (entry.options is None and gap < entry.said.get("gap", np.inf)):
        entry.said |= {"gap": gap, "tol": tol}
    return good


def gaps(X: Array, y: Array, alphas: Array, l1_ratio: float, coef: Array) -> Array:
    """The duality gap (A,) of coefficients `coef` (A, p), relative to |y - mean|^2 / (2n).

    With l1 = alpha l1_ratio, l2 = alpha (1 - l1_ratio) / 2, all about the means, r = y - X b, the
    elastic net is the lasso of the rows [X; sqrt(2n l2) I] and [y; 0], whose residual q has

        |q|^2 = |r|^2 + 2n l2 |b|^2,    X'q = X'r - 2n l2 b,    y'q = y'r

    P = |q|^2 / (2n) + l1 |b|_1, and for any s with s |X'q|_inf <= n l1 the point s q is dual feasible,
    D = (2 s y'q - s^2 |q|^2) / (2n); the best such s is taken. Where l2 > 0 r itself is feasible too,

        D = (2 y'r - |r|^2) / (2n) - sum_j max(|x_j'r| / n - l1, 0)^2 / (4 l2)

    and the better of the two bounds holds. Cost: 4 n p A, in blocks of rows.
    """
    n = len(y)
    l1, l2 = alphas * l1_ratio, alphas * (1 - l1_ratio) / 2
    rr, yr, Xr, yy = residual_products(X, y, coef)
    qq = rr + 2 * n * l2 * (coef * coef).sum(axis=1)
    steepest = np.abs(Xr - 2 * n * l2[:, None] * coef).max(axis=1)
    s = np.minimum(yr / qq, n * l1 / steepest)
    dual = (2 * s * yr - s * s * qq) / (2 * n)
    if l1_ratio < 1:
        above = np.maximum(np.abs(Xr) / n - l1[:, None], 0)
        dual = np.maximum(dual, (2 * yr - rr) / (2 * n) - (above * above).sum(axis=1) / (4 * l2))
    primal = qq / (2 * n) + l1 * np.abs(coef).sum(axis=1)
    return (primal - dual) / (yy / (2 * n))


def residual_products(X: Array, y: Array, coef: Array) -> tuple[Array, Array, Array, float]:
    """|r|^2 (A,), y'r (A,), X'r (A, p) and |y|^2, all about the means."""
    mean, y = X.mean(axis=0), y - y.mean()
    rr, yr, Xr = np.zeros(len(coef)), np.zeros(len(coef)), np.zeros_like(coef)
    for at in range(0, len(y), BLOCK):
        block = X[at : at + BLOCK] - mean
        r = y[at : at + BLOCK, None] - block @ coef.T  # (rows, A)
        rr += (r * r).sum(axis=0)
        yr += y[at : at + BLOCK] @ r
        Xr += r.T @ block
    return rr, yr, Xr, float(y @ y)


# ---- data ----


@contextmanager
def problem(n: int, p: int, l1_ratio: float, folder: Path) -> Iterator[Problem]:
    """The rows, in files by rows and by columns while they are needed, and alphas (A,) from the largest."""
    X, y = made(n, p)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as made_in, threadpool_limits(1):
        save(X, y, Path(made_in))
        top = np.abs(X.T @ (y - y.mean())).max() / n / l1_ratio
        yield Problem(X, y, Path(made_in), top * np.geomspace(1, LAST, ALPHAS), l1_ratio)


def save(X: Array, y: Array, folder: Path) -> None:
    """X by rows and by columns, and y."""
    np.save(folder / "X.C.npy", X)
    np.save(folder / "X.F.npy", np.asfortranarray(X))
    np.save(folder / "y.npy", y)


def made(n: int, p: int) -> tuple[Array, Array]:
    """X (n, p) of AR(1) columns with offsets, and y (n,): a tenth of the columns, at most 50, and noise."""
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = 0.5 * X[:, j - 1] + 0.75**0.5 * X[:, j]
    used = rng.choice(p, min(p // 10, 50), replace=False)
    signal = X[:, used] @ rng.standard_normal(len(used))
    X += 3 * rng.standard_normal(p)
    noise = rng.standard_normal(n)
    return X, 5 + signal + noise * (np.linalg.norm(signal) / np.linalg.norm(noise) / 3)


if __name__ == "__main__":
    import sys

    from benchmarks.__main__ import main

    main(["paths", *sys.argv[1:]])
