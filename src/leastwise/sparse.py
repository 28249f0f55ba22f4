"""Moments of scipy's sparse matrices: products of what is stored, never X as a dense matrix.

With few stored values pairs of them are multiplied (paired.py), and features are taken about zero, where
most of their values are; targets about their mean. Where a row has many, BLAS on blocks of dense rows is
faster, and features are taken about the mean of the first rows, as anywhere else. Where what is stored is
less than the matrix of products, the rows are kept as they are.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from leastwise.errors import DataError, MissingError, plural
from leastwise.moments import Moments, dealt, first_shift
from leastwise.numerics import Array, block_rows, gram, one_blas_thread, workers
from leastwise.parts import Dense, Sparse, Thin, pairs, stored_cross
from leastwise.rows.block import Block, checked_weights

PAIR = 100  # products of a dense block that BLAS makes while one pair of stored values is multiplied
SHARES = 4  # of the rows, summed side by side, however many threads there are: the sum is always the same


def sparse_moments(X: Any, y: Any, weight: Any = None) -> Moments:
    """Moments of a sparse matrix or array `X` (n, p) of any format, `y` (n,) or (n, k), `weight` (n,).

    Cost: half the sum over rows of the squares of how many values are stored, or n p^2 products of BLAS
    where that is less; (p + k)^2 numbers of memory. Raises MissingError where a value is not finite,
    DataError where lengths differ or weights are no weights.

    >>> from scipy.sparse import csr_array
    >>> X = csr_array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    >>> sparse_moments(X, [1.0, 2.0, 3.0]) == Moments.of(X.toarray(), [1.0, 2.0, 3.0])
    True
    """
    Y, (n, p) = np.asarray(y, np.float64), X.shape
    Y = Y[:, None] if Y.ndim == 1 else Y
    if len(Y) != n:
        raise DataError(f"X has {plural(n, 'row')} and y has {len(Y):,}. Each row needs one of y.")
    w = None if weight is None else checked_weights(np.asarray(weight, np.float64), n)
    names = tuple(f"x{j}" for j in range(p))
    targets = tuple(f"y{j}" for j in range(Y.shape[1])) if Y.shape[1] > 1 else ("y",)
    if not n:
        return Moments.empty(names, targets)
    X = canonical(X)
    few = PAIR * pairs(X) < n * p * p or Sparse.pays(n, p + Y.shape[1], X.nnz)
    shift = np.zeros(p + Y.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite shows in the sums
        shift[p if few else 0 :] = _middle(X, Y, w, few)
        part = _part(Rows(X, Y, w, shift), few)
    if not np.isfinite(part.size).all():
        raise MissingError(
            "A value is missing, infinite, or too large to be squared. Least squares needs numbers "
            "below 1e154 everywhere. Fill, drop or rescale them."
        )
    return Moments(names, targets, shift, (part,), weight_kind="" if weight is None else "analytic")


def stored_moments(
    names: tuple[str, ...],
    targets: tuple[str, ...],
    block: Block,
    shift: Array,
    *,
    fold: NDArray[np.integer[Any]] | None = None,
    plan: Any = None,
) -> Moments:
    """Moments of a block whose X is CSR, dealt to folds by `fold` (n,), features about zero (`shift`)."""
    X, Y = canonical(block.X), np.asarray(block.Y, np.float64)
    p, parts = X.shape[1], []
    for rows in dealt(fold, plan):
        w = None if block.w is None else block.w[rows]
        some = Rows(X[rows], Y[rows], w, shift)
        few = PAIR * pairs(some.X) < len(some) * p * p or Sparse.pays(len(some), len(shift), some.X.nnz)
        parts.append(_part(some, few))
    if not all(np.isfinite(part.size).all() for part in parts):
        raise MissingError("A value is missing or infinite. Least squares needs numbers everywhere.")
    return Moments(names, targets, shift, tuple(parts), (), plan)


def canonical(X: Any) -> Any:
    """X as a CSR array with one value a place, in order; the caller's is not touched."""
    X = sparse.csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _middle(X: Any, Y: Array, w: Array | None, few: bool) -> Array:
    """A shift of all columns, or of the targets alone where stored values are few."""
    if few:
        return np.nan_to_num(first_shift(np.empty((len(Y), 0)), Y, w))
    some = slice(0, block_rows(X.shape[1] + Y.shape[1]))
    return np.nan_to_num(first_shift(X[some].toarray(), Y[some], None if w is None else w[some]))


@dataclass(frozen=True)
class Rows:
    """Rows of a CSR matrix X (b, p), Y (b, k), weights w (b,) or None, to be taken about `shift` (q,)."""

    X: Any
    Y: Array
    w: Array | None
    shift: Array

    def __len__(self) -> int:
        return len(self.Y)

    def part(self, rows: slice) -> Rows:
        """Some of them."""
        return replace(self, X=self.X[rows], Y=self.Y[rows], w=None if self.w is None else self.w[rows])

    @property
    def dense(self) -> Array:
        """`diag(sqrt(w)) [1, X - s, Y - s]` (b, 1 + q)."""
        rows = np.empty((len(self), 1 + len(self.shift)))
        rows[:, 0], p = 1.0, self.X.shape[1]
        rows[:, 1 : 1 + p], rows[:, 1 + p :] = self.X.toarray(), self.Y
        rows[:, 1:] -= self.shift
        return rows if self.w is None else rows * np.sqrt(self.w)[:, None]

    @property
    def ends(self) -> Array:
        """`[1, Y - s]` (b, 1 + k)."""
        return np.hstack([np.ones((len(self), 1)), self.Y - self.shift[self.X.shape[1] :]])

    @property
    def stored(self) -> Sparse:
        """The same as they are stored; features have to be about zero."""
        X = self.X.astype(np.float64)
        if self.w is None:
            return Sparse.of(len(self), X, self.ends)
        roots = np.sqrt(self.w)
        X = (sparse.diags_array(roots) @ X).tocsr()
        return Sparse.of(int(np.count_nonzero(self.w)), X, self.ends * roots[:, None])


def _part(rows: Rows, few: bool) -> Dense | Thin | Sparse:
    n, q = len(rows), len(rows.shift)
    if few and Sparse.pays(n, q, rows.X.nnz):
        return rows.stored
    counted = n if rows.w is None else int(np.count_nonzero(rows.w))
    if n <= q:
        return Thin.of(counted, rows.dense)
    cross = stored_cross(rows.X.astype(np.float64), rows.ends, rows.w) if few else _of_blocks(rows)
    return Dense(counted, cross, np.diagonal(cross).copy())


def _of_blocks(rows: Rows) -> Array:
    """The sum over blocks of dense rows (1+q, 1+q)."""
    n, q = len(rows), len(rows.shift)
    step, share = block_rows(1 + q), -(-n // SHARES)

    def total(first: int) -> Array:
        found = np.zeros((1 + q, 1 + q))
        for start in range(first, min(first + share, n), step):
            found += gram(rows.part(slice(start, min(start + step, first + share))).dense)
        return found

    with one_blas_thread(), ThreadPoolExecutor(min(workers(), SHARES)) as pool:
        return sum(pool.map(total, range(0, n, share)), np.zeros((1 + q, 1 + q)))
