"""Columns of a sparse matrix about their means: products with them, and never the matrix itself.

    X = S - L R      S (n, c) sparse, L (n, r) and R (r, c) with r small

The means are one such direction, L the roots of the weights and R what they take from each column; free
columns that are taken out of the others add theirs. A column of which most values are stored is moved
about its mean where it stands, so that no product is the small difference of two large ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.numerics import Array

MOSTLY = 0.5  # share of stored values from which a column is moved about its mean where it stands
AT_ONCE = 1 << 22  # numbers that are made dense at once


@dataclass(frozen=True, eq=False)
class Scattered:
    """`S - L R` (n, c), which multiplies, and gives columns, as an array would."""

    S: Any  # (n, c) CSC
    L: Array  # (n, r)
    R: Array  # (r, c)
    squares: Array  # (c,) sums of squares of the columns

    __array_ufunc__ = None  # so that numpy leaves `U' X` to __rmatmul__

    @classmethod
    def about(cls, X: Any, roots: Array, centre: Array) -> Scattered:
        """`X - roots centre'` for sparse X (n, c), already times the roots (n,) of the weights."""
        X = X.tocsc().astype(np.float64)
        if not centre.any():
            nothing = np.empty((len(roots), 0)), np.empty((0, len(centre)))
            return cls(X, *nothing, np.asarray(X.power(2).sum(axis=0)).ravel())
        c = X.shape[1]
        column, at = np.repeat(np.arange(c), np.diff(X.indptr)), roots[X.indices]
        inside, weight = X.data - at * centre[column], roots @ roots
        seen = np.bincount(column, at**2, c)  # weight of the stored values
        full = np.bincount(column, at > 0, c) == np.count_nonzero(roots)
        unseen = np.where(full, 0.0, np.maximum(weight - seen, 0.0))
        squares = np.bincount(column, inside**2, c) + unseen * centre**2
        (many,) = np.nonzero((seen > MOSTLY * weight) & (centre != 0))
        if len(many):
            X, centre = _moved(X, many, roots, centre), centre.copy()
            centre[many] = 0.0
        return cls(X, roots[:, None], centre[None], squares)

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.S.shape[0]), int(self.S.shape[1])

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def T(self) -> Turned:  # noqa: N802  # as arrays have it
        """What `X' v` is asked of."""
        return Turned(self)

    def __len__(self) -> int:
        return self.shape[0]

    def __matmul__(self, other: Any) -> Array:
        """`X t` for t (c,) or (c, m); `X Z'` (n, n) for another of the same columns, turned."""
        if isinstance(other, Turned):
            return self._times(other.of)
        return np.asarray(self.S @ other - self.L @ (self.R @ other))

    def _times(self, Z: Scattered) -> Array:
        """`X Z'` (n, n), some rows at a time."""
        S, back, n = self.S.tocsr(), Z.S.T.tocsr(), len(self)
        ours, theirs = self.S @ Z.R.T, Z.S @ self.R.T - Z.L @ (Z.R @ self.R.T)  # (n, r) each
        found, step = np.empty((n, n)), max(1, AT_ONCE // n)
        for first in range(0, n, step):
            at = slice(first, first + step)
            found[at] = (S[at] @ back).toarray()
            found[at] -= ours[at] @ Z.L.T + self.L[at] @ theirs.T
        return found

    def __getitem__(self, at: Any) -> Array:
        """Columns `X[:, places]` as an array (n, m)."""
        _, places = at
        return np.asarray(self.S[:, places].toarray() - self.L @ self.R[:, places])

    def __truediv__(self, unit: Any) -> Scattered:
        """Each column divided by its unit; an infinite one leaves nothing of it."""
        from scipy import sparse

        by = np.broadcast_to(1 / np.asarray(unit, np.float64), self.shape[1:])
        S = (self.S @ sparse.diags_array(by)).tocsc()
        return Scattered(S, self.L, self.R * by, self.squares * by**2)

    def only(self, places: NDArray[np.intp]) -> Scattered:
        """Some of the columns."""
        return Scattered(self.S[:, places], self.L, self.R[:, places], self.squares[places])

    def without(self, U: Array) -> Scattered:
        """`X - U U'X`, for orthonormal directions U (n, r)."""
        L, R = np.hstack([self.L, U]), np.vstack([self.R, U.T @ self])
        left = replace(self, L=L, R=R)
        step = max(1, AT_ONCE // len(self))
        blocks = (
            left[:, np.arange(j, min(j + step, self.shape[1]))] for j in range(0, self.shape[1], step)
        )
        return replace(left, squares=np.concatenate([np.einsum("nc,nc->c", b, b) for b in blocks]))

    def __rmatmul__(self, other: Array) -> Array:
        """`U' X` (m, c)."""
        return np.asarray((self.T @ other.T).T)


@dataclass(frozen=True, eq=False)
class Turned:
    """The columns as rows."""

    of: Scattered

    @property
    def shape(self) -> tuple[int, int]:
        n, c = self.of.shape
        return c, n

    @property
    def T(self) -> Scattered:  # noqa: N802  # as arrays have it
        return self.of

    def __matmul__(self, v: Any) -> Array:
        """`X' v` for v (n,) or (n, m); `X' X` (c, c) for the columns themselves."""
        X = self.of
        if isinstance(v, Scattered):
            back = X.R.T @ (X.L.T @ v.S.tocsr())  # L'S first: (r, c)
            return np.asarray(
                (X.S.T @ v.S).toarray() - back - (X.S.T @ v.L) @ v.R + X.R.T @ (X.L.T @ v.L) @ v.R
            )
        return np.asarray(X.S.T @ v - X.R.T @ (X.L.T @ v))


Columns = Any  # an array (n, c), or Scattered


def only(X: Columns, places: NDArray[np.intp]) -> Columns:
    """Some columns, kept as they are."""
    return X.only(places) if isinstance(X, Scattered) else X[:, places]


def without(X: Columns, U: Array) -> Columns:
    """`X - U U'X`, for orthonormal directions U (n, r)."""
    return X.without(U) if isinstance(X, Scattered) else np.asarray(X - U @ (U.T @ X), order="F")


def squares(X: Columns) -> Array:
    """Sums of squares of the columns (c,)."""
    return X.squares if isinstance(X, Scattered) else np.einsum("nc,nc->c", X, X)


def _moved(X: Any, many: NDArray[np.intp], roots: Array, centre: Array) -> Any:
    """X with the columns `many` about their means, all their values stored."""
    from scipy import sparse

    n, c = X.shape
    stay = np.ones(c)
    stay[many] = 0.0
    moved = X[:, many].toarray() - np.outer(roots, centre[many])
    ends = np.zeros(c + 1, X.indptr.dtype)
    ends[many + 1] = n
    rows = np.tile(np.arange(n, dtype=X.indices.dtype), len(many))
    there = sparse.csc_array((moved.ravel(order="F"), rows, np.cumsum(ends)), shape=(n, c))
    rest = (X @ sparse.diags_array(stay)).tocsc()
    rest.eliminate_zeros()
    return (rest + there).tocsc()
