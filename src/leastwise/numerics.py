"""Numbers as the machine has them: the symmetric product, hashes, ranks, rounding, double-doubles.

Nothing here knows of rows, columns' names or models.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)  # 2^-52; the unit roundoff u is half of it
FEW_COLUMNS = 400  # of a square matrix up to which BLAS is no faster with more threads
BLOCK_BYTES = 1 << 20  # a block that stays in a core's own cache while it is multiplied


def is_number(value: Any) -> bool:
    """Whether a value is one real number, Python's or numpy's; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def gram(Z: Any) -> Any:
    """`Z'Z` (q, q) of rows `Z` (b, q), on the device where `Z` lives.

    numpy sees that both factors are one array and calls the symmetric rank-k update: half the
    work, and a result that is symmetric to the last bit. torch has no such product, so tensors on
    an accelerator pay for the full one; those on the CPU come in as numpy views of the same memory.
    """
    if isinstance(Z, np.ndarray):
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite shows in the sums
            return Z.T @ Z
    return gram(Z.numpy()) if Z.device.type == "cpu" else Z.T @ Z


def each(M: Any, t: Array) -> Array:
    """`M t_a` for every t_a of t (A, c, k), as one product: (A, m, k) for M (m, c)."""
    A, c, k = t.shape
    return np.asarray((M @ t.transpose(1, 0, 2).reshape(c, A * k)).reshape(-1, A, k).transpose(1, 0, 2))


def block_rows(q: int) -> int:
    """Rows (b) of a block of `q` columns: 1 MB of them, 1,024 to 2,048 at least, 16,384 at most.

    Below two rows a column adding up the (q, q) products is felt beside making them.
    """
    least = min(max(1_024, 2 * q), 2_048)
    return int(min(16_384, max(least, BLOCK_BYTES // (8 * max(q, 1)))))


def workers() -> int:
    """How many threads may multiply at once: LEASTWISE_THREADS, else the processors we may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("LEASTWISE_THREADS", "")
    return max(1, int(asked) if asked.isdigit() else count or 1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, BLAS uses one thread: tall, thin products gain by many workers, not by many BLAS threads."""
    with _blas.lock:  # the setting is the whole process's: the first in sets it, the last out restores it
        if _blas.inside == 0:
            _blas.limits = _blas.controller().limit(limits=1, user_api="blas")
        _blas.inside += 1
    try:
        yield
    finally:
        with _blas.lock:
            _blas.inside -= 1
            if _blas.inside == 0:
                _blas.limits.restore_original_limits()


def few_threads(columns: int) -> AbstractContextManager[None]:
    """One BLAS thread inside for matrices of so few columns that more would wait for one another."""
    return one_blas_thread() if columns <= FEW_COLUMNS else nullcontext()


class _Blas:
    """Who is inside `one_blas_thread`, over all threads, and the libraries that it is about."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.limits: Any = None
        self.known: tuple[str, ...] = ()
        self.found: Any = None

    def controller(self) -> Any:
        """The libraries that are loaded; looked for again when one that brings a BLAS was imported."""
        from threadpoolctl import ThreadpoolController

        now = tuple(name for name in ("numpy", "scipy.linalg", "torch", "sklearn") if name in sys.modules)
        if self.found is None or now != self.known:
            self.known, self.found = now, ThreadpoolController()
        return self.found


_blas = _Blas()


def content_hash(matrices: Sequence[Any], seed: int) -> NDArray[np.uint64]:
    """One 64-bit number a row (n,), made of the row's values alone, never of where it stood.

    `matrices` (n, p), (n, k), ..., arrays or CSR (in canonical form), stand side by side. Multilinear
    hashing of the bits of each float64 (odd multipliers drawn from `seed`), finished with splitmix64. Equal
    rows hash equally under any chunking, order or number of workers, for all arithmetic is on integers.
    -0.0 counts as 0.0.

    Source: Lemire and Kaser, Strongly universal string hashing is fast, Computer Journal 57 (2014).
    """
    width = sum(matrix.shape[1] for matrix in matrices)
    state = np.random.SeedSequence(seed).generate_state(width + 1, np.uint64) | np.uint64(1)
    total = np.full(matrices[0].shape[0], state[-1], np.uint64)
    start = 0
    for matrix in matrices:
        stop = start + matrix.shape[1]
        _add_hashes(total, matrix, state[start:stop])
        start = stop
    return _splitmix(total)


def _add_hashes(total: NDArray[np.uint64], matrix: Any, state: NDArray[np.uint64]) -> None:
    """`total += bits(matrix) @ state`, by blocks of a few large calls: threads share one interpreter."""
    if hasattr(matrix, "indptr"):  # scipy's CSR: 0 has no bits, so that what is not stored adds nothing
        stored = _bits(matrix.data) * state[matrix.indices]
        until = np.append(np.uint64(0), np.cumsum(stored, dtype=np.uint64))
        total += until[matrix.indptr[1:]] - until[matrix.indptr[:-1]]
        return
    step = max(1, BLOCK_BYTES // (8 * max(matrix.shape[1], 1)))
    for first in range(0, len(matrix), step):
        bits = _bits(matrix[first : first + step])
        total[first : first + step] += np.einsum("np,p->n", bits, state)


def _bits(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Those of float64; of 0 and -0 alike none."""
    plain = np.add(values, 0.0, out=np.empty(values.shape), casting="unsafe")
    bits = plain.view(np.uint64)
    return np.asarray(bits ^ (bits >> np.uint64(32)))  # the low half of a short decimal is all zeros


def _splitmix(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        h = (h ^ (h >> np.uint64(shift))) * np.uint64(multiplier)
    return h ^ (h >> np.uint64(31))


def ranks(values: Array) -> Array:
    """The rank (n,) of each value from 1, ties given their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation of two (n,) arrays; nan where one of them is constant."""
    if len(a) < 2:
        return float("nan")
    ra, rb = ranks(a), ranks(b)
    ra, rb = ra - ra.mean(), rb - rb.mean()
    size = float(np.sqrt((ra @ ra) * (rb @ rb)))
    return float(ra @ rb) / size if size > 0 else float("nan")


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """`a + b` as the rounded sum and what rounding left out, exactly (Knuth)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def two_product(a: Array, b: Any) -> tuple[Array, Array]:
    """`a b` as the rounded product and what rounding left out, exactly (Dekker, Veltkamp)."""
    product = a * b
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


def _halves(a: Any) -> tuple[Any, Any]:
    scaled = 134217729.0 * a  # 2^27 + 1
    high = scaled - (scaled - a)
    return high, a - high


def times(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    """The product of two double-doubles, to 2^-102 of its size (Dekker)."""
    product, error = two_product(a[0], b[0])
    return two_sum(product, error + (a[0] * b[1] + a[1] * b[0]))
