"""X'WX of rows that store few values: sums over pairs of what is stored, compiled, X never dense.

    codes (n, L), one of `levels` letters at each place     gram_of_codes: tables of counts, place by place
    CSR rows of ones, at most one in each of few fields     the same: the fields are found in the rows
    any CSR rows                                            gram_of_rows: each value with those after it

Two places a < a' and a third b make one table (levels, levels, levels) that lies in a core's cache, and its
margins are the blocks (a, b) and (a', b): half the additions of a table for each pair of places. For any
rows, row j of the upper triangle is the sum over the rows that store j of what they store from j on.

Every number is summed in the order of the rows, whichever thread does it: the result does not depend on the
number of threads, to the last bit, and no thread needs a matrix of its own. Counts are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from leastwise.errors import DataError, UsageError
from leastwise.numerics import Array, workers

LEVELS = 32  # of a field: tables of more do not stay in a core's cache
BLOCK_BYTES = 1 << 20  # of rows that stay in a core's cache while all columns meet them
CHUNKS = 8  # of the columns for each thread: what one has too much of another takes
FEW = 10_000_000  # pairs that one thread has added before several have begun
TILE = 64  # rows and columns of the matrix that are mirrored at once


def gram_of_rows(X: Any, w: Array | None = None) -> Array:
    """`X' diag(w) X` (p, p) of scipy's CSR `X` (n, p): `sum_i w_i x_i x_i'`, symmetric to the last bit.

    Cost: `sum_i s_i (s_i + 1) / 2` additions for rows that store `s_i` values, or half of that and less for
    ones of which each row has at most one in each of few fields (one-hot); p^2 numbers of memory, and 8 to
    16 bytes for each stored value. Not a number where a stored value is none. Raises DataError where `w`
    is not (n,).

    >>> from scipy.sparse import csr_array
    >>> gram_of_rows(csr_array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])).tolist()
    [[1.0, 0.0, 2.0], [0.0, 9.0, 3.0], [2.0, 3.0, 5.0]]
    """
    w = _weights(w, X.shape[0])
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    found = fields(X)
    if found is None:
        return _of_values(X, w)
    G = _of_fields(found, w)
    if len(found.columns) == X.shape[1]:
        return G
    full = np.zeros((X.shape[1],) * 2)
    full[np.ix_(found.columns, found.columns)] = G
    return full


def gram_of_codes(codes: NDArray[np.integer], levels: int, w: Array | None = None) -> Array:
    """`X' diag(w) X` (L levels, L levels) of the one-hot X of `codes` (n, L), without making X.

    Code c at place j is a one in column `j levels + c`; a negative code is none. Cost: n L^2 / 4 additions,
    and L^2 levels^3 / 4. Raises UsageError where a code or the number of levels has no table.

    >>> gram_of_codes(np.array([[0, 1], [0, -1]]), 2).tolist()
    [[2.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]]
    """
    codes = np.asarray(codes)
    if not 1 <= levels <= LEVELS:
        raise UsageError(f"levels={levels} came. Tables have 1 to {LEVELS}. Use gram_of_rows for more.")
    if codes.size and codes.max() >= levels:
        raise UsageError(
            f"Code {codes.max()} came with levels={levels}. Codes count from 0. Pass more levels."
        )
    n, L = codes.shape
    places = np.zeros((L + L % 2, n), np.uint8)  # 0 for none
    for j in range(L):
        np.add(np.maximum(codes[:, j], -1), 1, out=places[j], casting="unsafe")
    starts = np.arange(L + 1) * levels
    return _of_fields(Fields(places, starts, np.arange(L * levels)), _weights(w, n))


class Fields(NamedTuple):
    """Rows of ones as one code a field: 0 for none, else 1 + the column's place in its field."""

    codes: NDArray[np.uint8]  # (L, n), with a row of zeros behind where L is odd
    starts: NDArray[np.int64]  # (L + 1,) field f is the columns[starts[f]:starts[f + 1]]
    columns: NDArray[np.int64]  # (c,) those of X that are stored anywhere


def fields(X: Any) -> Fields | None:
    """The fewest runs of columns in which no row of `X` stores two ones; None where tables do not pay.

    They pay where all that is stored is ones, rows fill half of the fields or more, of at most 32 columns
    each, and the rows are more than the cells of a table. One-hot encodings are found with masked, missing
    and never seen levels. O(stored values).
    """
    (n, p), mean = X.shape, X.nnz / max(X.shape[0], 1)
    if n < 1_000 or mean < 2 or not (X.data == 1).all():
        return None
    seen, before = _before(X.indptr, X.indices, p)
    columns = np.flatnonzero(seen)
    starts = _runs(before[columns], columns)
    widest = int(np.diff(starts).max())
    if len(starts) - 1 > 2 * mean or widest > LEVELS or n < (widest + 1) ** 3:
        return None
    field, code = np.zeros(p, np.int32), np.zeros(p, np.uint8)
    field[columns] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    code[columns] = np.arange(len(columns)) - starts[field[columns]] + 1
    L = len(starts) - 1
    codes = np.zeros((L + L % 2, n), np.uint8)
    step = BLOCK_BYTES // 64

    def fill(low: int) -> None:
        _fill(codes, X.indptr, X.indices, field, code, low, min(low + step, n))

    _in_threads(fill, range(0, n, step))
    return Fields(codes, starts, columns)


def _weights(w: Array | None, n: int) -> Array | None:
    if w is not None and np.shape(w) != (n,):
        raise DataError(f"X has {n:,} rows and w has the shape {np.shape(w)}. Each row needs one weight.")
    return None if w is None else np.ascontiguousarray(w, np.float64)


def _in_threads(work: Callable[[Any], None], jobs: Iterable[Any]) -> None:
    jobs = list(jobs)
    if workers() == 1 or len(jobs) < 2:
        for job in jobs:
            work(job)
        return
    with ThreadPoolExecutor(workers()) as pool:
        list(pool.map(work, jobs))


# ---- any rows ----


def _of_values(X: Any, w: Array | None) -> Array:
    """Rows in blocks that stay in the cache, columns shared out by how many pairs they have."""
    n, p = X.shape
    G = np.zeros((p, p))
    if not X.nnz:
        return G
    kind: Any = np.int32 if X.nnz < 2**31 and p < 2**31 else np.int64
    indptr, indices = X.indptr.astype(kind, copy=False), X.indices.astype(kind, copy=False)
    data = X.data.astype(np.float64, copy=False)
    weighted = data if w is None else data * np.repeat(w, np.diff(indptr))
    cuts = np.append(np.arange(0, n, _rows_at_once(X)), n)
    starts, at, end = _by_column(indptr, indices, p, cuts)
    work = np.cumsum(_pairs(indptr, indices, p))
    shares: Any = np.linspace(0, work[-1], workers() * CHUNKS + 1)[1:-1] if work[-1] > FEW else []
    edges = np.unique(np.concatenate([[0], np.searchsorted(work, shares), [p]]))

    def add(columns: tuple[int, int]) -> None:
        _add_pairs(G, indices, data, weighted, starts, at, end, *columns)

    _in_threads(add, pairwise(edges.tolist()))
    _mirror(G)
    return G


def _rows_at_once(X: Any) -> int:
    """A block's rows: a megabyte, or as many as add to each number of the matrix about twice.

    A row stores a share d of the columns, so that b rows add b d^2 to a number: below two, the matrix
    would be carried through the cache for less than it is worth.
    """
    n, p = X.shape
    mean = X.nnz / n
    return max(1, int(BLOCK_BYTES / (12 * mean)), int(4 * (p / mean) ** 2) if mean > 64 else 1)


@njit(cache=True, nogil=True)
def _pairs(indptr: Any, indices: Any, p: int) -> Any:
    """How many pairs begin in each column (p,)."""
    count = np.zeros(p)
    for r in range(len(indptr) - 1):
        for k in range(indptr[r], indptr[r + 1]):
            count[indices[k]] += indptr[r + 1] - k
    return count


@njit(cache=True, nogil=True)
def _by_column(indptr: Any, indices: Any, p: int, cuts: Any) -> Any:
    """For each block of rows and column: where its values are stored, and where their rows end."""
    starts = np.zeros((len(cuts) - 1, p + 1), indptr.dtype)
    at, end = np.empty_like(indices), np.empty_like(indices)
    for block in range(len(cuts) - 1):
        first, s = indptr[cuts[block]], starts[block]
        for k in range(first, indptr[cuts[block + 1]]):
            s[indices[k] + 1] += 1
        s[0] = first
        for j in range(p):
            s[j + 1] += s[j]
        for r in range(cuts[block], cuts[block + 1]):
            for k in range(indptr[r], indptr[r + 1]):
                place = s[indices[k]]
                at[place], end[place] = k, indptr[r + 1]
                s[indices[k]] = place + 1
        for j in range(p, 0, -1):  # each stands now where the next began
            s[j] = s[j - 1]
        s[0] = first
    return starts, at, end


@njit(cache=True, nogil=True)
def _add_pairs(
    G: Any, indices: Any, data: Any, weighted: Any, starts: Any, at: Any, end: Any, low: int, high: int
) -> None:
    """Columns low to high of the upper triangle."""
    for block in range(len(starts)):
        for j in range(low, high):
            sums = G[j]
            for place in range(starts[block, j], starts[block, j + 1]):
                v = weighted[at[place]]
                for k in range(at[place], end[place]):
                    sums[indices[k]] += v * data[k]


@njit(cache=True, nogil=True)
def _mirror(G: Any) -> None:
    """The lower triangle from the upper one, tile by tile."""
    p = len(G)
    for i0 in range(0, p, TILE):
        for j0 in range(i0, p, TILE):
            for i in range(i0, min(i0 + TILE, p)):
                for j in range(max(j0, i + 1), min(j0 + TILE, p)):
                    G[j, i] = G[i, j]


# ---- one code a field ----


@njit(cache=True, nogil=True)
def _before(indptr: Any, indices: Any, p: int) -> Any:
    """Which columns are stored, and for each the last column that any row stores before it, or -1."""
    seen, before = np.zeros(p, np.bool_), np.full(p, -1, np.int64)
    for r in range(len(indptr) - 1):
        last = np.int64(-1)
        for k in range(indptr[r], indptr[r + 1]):
            j = np.int64(indices[k])
            seen[j] = True
            if last > before[j]:
                before[j] = last
            last = j
    return seen, before


def _runs(before: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where runs begin, and the end: a run ends before a column that some row stores with one of the run.

    To go on as long as possible gives the fewest runs.
    """
    starts, first = [0], columns[0]
    for place, (last, column) in enumerate(zip(before.tolist(), columns.tolist(), strict=True)):
        if last >= first:
            starts.append(place)
            first = column
    return np.array([*starts, len(columns)])


@njit(cache=True, nogil=True)
def _fill(codes: Any, indptr: Any, indices: Any, field: Any, code: Any, low: int, high: int) -> None:
    for r in range(low, high):
        for k in range(indptr[r], indptr[r + 1]):
            codes[field[indices[k]], r] = code[indices[k]]


def _of_fields(found: Fields, w: Array | None) -> Array:
    codes, starts = found.codes, found.starts
    G = np.zeros((int(starts[-1]),) * 2)
    if not G.size or not codes.shape[1]:
        return G
    width = int(np.diff(starts).max()) + 1
    ends = np.append(starts, starts[-1])  # behind an odd number of fields stands an empty one
    kind, weights = (np.int32, np.empty(0)) if w is None else (np.float64, w)

    def add(first: int) -> None:
        table = np.empty((2, width**3), kind)
        pair = np.multiply(codes[first], width, dtype=np.uint16) + codes[first + 1]  # (n,)
        _add_tables(G, codes, pair, ends, width, weights, table, first)

    _in_threads(add, range(0, len(codes), 2))
    _mirror(G)
    return G


@njit(cache=True, nogil=True)
def _add_tables(
    G: Any, codes: Any, pair: Any, starts: Any, width: int, w: Any, table: Any, first: int
) -> None:
    """Blocks of two fields with themselves and with all that follow; width: levels, and none."""
    a, b = starts[first], starts[first + 1]
    _tally(table, pair, codes[first], codes[first], width, w)  # each pair with itself: cells (x, y, x)
    for x in range(width):
        for y in range(width):
            both = table[0, (x * width + y) * width + x]
            if x > 0:
                G[a + x - 1, a + x - 1] += both
            if y > 0:
                G[b + y - 1, b + y - 1] += both
            if x > 0 and y > 0:
                G[a + x - 1, b + y - 1] += both
    for third in range(first + 2, len(codes), 2):
        _tally(table, pair, codes[third], codes[third + 1], width, w)
        for t in range(2):
            c = starts[third + t]
            for z in range(1, starts[third + t + 1] - c + 1):
                for x in range(width):
                    for y in range(width):
                        both = table[t, (x * width + y) * width + z]
                        if x > 0 and both:
                            G[a + x - 1, c + z - 1] += both
                        if y > 0 and both:
                            G[b + y - 1, c + z - 1] += both


@njit(cache=True, nogil=True)
def _tally(table: Any, pair: Any, one: Any, other: Any, width: int, w: Any) -> None:
    """Counts, or sums of weights, of each pair with each code of two more fields: (2, width^3)."""
    table[:] = 0
    for r in range(len(pair)):
        cell = np.intp(pair[r]) * width
        by = 1 if len(w) == 0 else w[r]
        table[0, cell + one[r]] += by
        table[1, cell + other[r]] += by
