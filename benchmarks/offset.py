"""Digits lost to a distant origin: columns of mean 10^k and deviation 1, against the exact answer."""

from __future__ import annotations

from argparse import Namespace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

import leastwise as lw
from benchmarks.table import Table

Array = NDArray[np.float64]
N, P, NOISE, SEED = 100_000, 4, 0.1, 0
BITS = 160  # every float64 above 2^-107 is a whole number of 2^-160


def run(options: Namespace) -> Table:
    """One row for each distance: the largest error of a coefficient over the largest coefficient."""
    rows = [errors(k) for k in range(9)]
    notes = [
        f"y = X b + {NOISE} noise, n = {N:,}, p = {P}, columns of mean 10^k and deviation 1 (seed {SEED})",
        "truth: the normal equations of the very same float64 numbers, in whole numbers and fractions",
        "lstsq with its default rcond takes [1 X] for rank deficient from k = 6 on",
        "1.0 means that no digit is right; nan that the matrix was not positive definite",
    ]
    ways = list(rows[0])[1:]
    for row in rows:
        best = min(ways, key=lambda way: row[way])
        if row["leastwise"] > 10 * row[best]:
            notes.append(f"k = {row['k']}: we lose to {best} by {row['leastwise'] / row[best]:.0f} times")
    return Table("offset: coefficient error against exact arithmetic", rows, notes)


def errors(k: int) -> dict[str, Any]:
    """The error of each way at mean 10^k."""
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((N, P)) + 10.0**k
    y = X @ np.arange(1.0, P + 1) + NOISE * rng.standard_normal(N)
    truth = exact(X, y)
    found = {
        "leastwise": lw.fit((X, y), folds=0).coef,
        "lstsq [1 X]": np.linalg.lstsq(with_ones(X), y, rcond=None)[0][1:],
        "LinearRegression": linear_regression(X, y),
        "squares - n mean mean'": by_difference(X, y),
        "Gram of [1 X], Cholesky": by_gram(X, y),
    }
    size = np.abs(truth).max()
    return {"k": k, **{way: float(np.abs(b - truth).max() / size) for way, b in found.items()}}


def exact(X: Array, y: Array) -> Array:
    """The least-squares coefficients (p,) of these float64 numbers, rounded once at the end."""
    columns = [np.array([whole(v) for v in column], object) for column in (*X.T, y)]
    ones = np.ones(len(y), object)
    Z = [ones, *columns]
    A = [[Fraction(int(a @ b)) for b in Z] for a in Z[:-1]]
    scaled = solved(A)[1:]  # units of 2^BITS cancel in the slopes
    return np.array([float(b) for b in scaled])


def whole(value: float) -> int:
    """`value` in units of 2^-BITS."""
    top, bottom = float(value).as_integer_ratio()
    number, rest = divmod(top << BITS, bottom)
    if rest:
        raise ValueError(f"{value!r} is no whole number of 2^-{BITS}.")
    return number


def solved(A: list[list[Fraction]]) -> list[Fraction]:
    """The solution of the square system whose right side is the last column: Gauss and Jordan."""
    for i, row in enumerate(A):
        A[i] = row = [a / row[i] for a in row]
        for j, other in enumerate(A):
            if j != i:
                A[j] = [b - other[i] * a for a, b in zip(row, other, strict=True)]
    return [row[-1] for row in A]


def with_ones(X: Array) -> Array:
    return np.column_stack([np.ones(len(X)), X])


def by_gram(X: Array, y: Array) -> Array:
    """What many fast libraries do: the products of [1 X] about zero."""
    Z = with_ones(X)
    return cholesky_solve(Z.T @ Z, Z.T @ y)[1:]


def by_difference(X: Array, y: Array) -> Array:
    """The textbook's one-pass covariance: `X'X - n mean mean'`."""
    mean = X.mean(axis=0)
    return cholesky_solve(X.T @ X - N * np.outer(mean, mean), X.T @ y - N * mean * y.mean())


def cholesky_solve(A: Array, b: Array) -> Array:
    try:
        L = np.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        return np.full(len(b), np.nan)
    return np.linalg.solve(L.T, np.linalg.solve(L, b))


def linear_regression(X: Array, y: Array) -> Array:
    from sklearn.linear_model import LinearRegression

    return LinearRegression(tol=0).fit(X, y).coef_
