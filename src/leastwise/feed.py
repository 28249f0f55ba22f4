"""Feed: the rows of a fit as tensors, pass after pass, whole or in mini-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwise.errors import DataError, UsageError
from leastwise.moments import Moments
from leastwise.numerics import Array
from leastwise.recipe import Recipe
from leastwise.rows import Rows, Slab

MOST_BYTES = 2 << 30  # of rows that are kept in memory; more are read again in every pass
CLOSE = 1e-6  # relative to a column's size: sums of the rows that were condensed are no further apart
Part = tuple[Tensor, Tensor, "Tensor | None"]  # X (n, p), y (n, k), weights (n,) of mean 1


@dataclass
class Feed:
    """Rows as tensors (X, y, w): kept where they fit into memory, else read anew in each pass.

    They must be the rows of `moments` (of all folds of `plan` but the one left out), which the first pass
    checks. Missing numbers are filled with the moments' means, columns are taken about `move[0]` and
    divided by `move[1]`, in float64; then they are turned into `dtype`. Mini-batches are shuffled by
    `seed`, all rows where they are in memory, else those of a slab among themselves.
    """

    rows: Rows
    recipe: Recipe
    moments: Moments
    move: tuple[Array, Array] | None = None
    dtype: str | None = None
    device: Any = None
    plan: Any = None
    without: int | None = None  # the fold that is left out
    held: list[Part] = field(default_factory=list)
    streams: bool = False
    checked: bool = False  # whether these are the rows of the moments

    def __post_init__(self) -> None:
        if self.device is not None:
            self.device = _checked_device(self.device)
        size, found = 0, []
        for slab in self.rows.slabs(self.recipe.reads_all):
            found.append(self._arrays(slab))
            size += sum(values.nbytes for values in found[-1] if values is not None)
            if size > MOST_BYTES:
                self.streams = True
                return
        X, Y, w = zip(*found, strict=True)
        whole = _stacked(X), _stacked(Y), None if w[0] is None else _stacked(w)
        self._check(len(whole[0]), _squares(*whole))
        self.held = [self._part(*whole)]

    @property
    def n(self) -> int:
        """Rows of weight above 0."""
        return self.moments.n

    def parts(self) -> Iterator[Part]:
        """All rows once, in one or several parts."""
        if not self.streams:
            yield from self.held
            return
        n, total = 0, np.zeros(len(self.moments.names) + len(self.moments.targets))
        for slab in self.rows.slabs(self.recipe.reads_all):
            X, Y, w = self._arrays(slab)
            if not len(X):
                continue
            if not self.checked:
                n, total = n + len(X), total + _squares(X, Y, w)
            yield self._part(X, Y, w)
        if not self.checked:
            self._check(n, total)

    def batches(self, size: int, seed: int) -> Iterator[Part]:
        """Mini-batches of `size` rows without end, shuffled anew in each pass."""
        draw = torch.Generator("cpu").manual_seed(seed % 2**63)
        while True:
            rest: list[Part] = []
            for part in self.parts():
                whole = _joined([*rest, part])
                order = torch.randperm(len(whole[0]), generator=draw).to(whole[0].device)
                full = len(order) - len(order) % size
                for first in range(0, full, size):
                    yield _chosen(whole, order[first : first + size])
                rest = [_chosen(whole, order[full:])] if full < len(order) else []
            yield from rest

    def first(self, rows: int) -> Part:
        """The first rows, as many as there are of them."""
        X, y, w = next(self.parts())
        return X[:rows], y[:rows], None if w is None else w[:rows]

    def _arrays(self, slab: Slab) -> tuple[Any, Any, Any]:
        """The rows of a slab that take part: X (n, p), y (n, k), weights (n,) of mean 1."""
        block = self.recipe.block(slab)
        X, Y, w = block.X, block.Y, block.w
        use = np.ones(block.n, bool) if w is None else w > 0
        if self.plan is not None:
            use &= self.plan.deal(block) != self.without
        if not use.all():
            X, Y, w = X[use], Y[use], None if w is None else w[use]
        if self.dtype is None:
            self.dtype = "float32" if X.dtype == np.float32 and Y.dtype == np.float32 else "float64"
        if self.moments.filled and X.dtype.kind == "f" and (gaps := np.isnan(X)).any():
            X = np.where(gaps, self.moments.fills, X)
        if self.move is not None:
            X = (X.astype(np.float64, copy=False) - self.move[0]) / self.move[1]
        if w is not None:
            w = self._cast(w * (self.moments.n / self.moments.weight))
        return self._cast(X), self._cast(Y), w

    def _cast(self, values: Any) -> Any:
        with np.errstate(over="ignore"):
            cast = np.ascontiguousarray(values, self.dtype)
        if cast.dtype.itemsize < values.dtype.itemsize and not np.isfinite(cast).all():
            raise DataError(
                f"Some numbers are too large for {self.dtype}. Rescale them, or pass dtype='float64'."
            )
        return cast

    def _check(self, n: int, total: Array) -> None:
        """Refuse rows that are not those of the moments, by their number and sums of squares (p + k,)."""
        m = self.moments.imputed().rounded()
        mean, spread = m.mean, np.diagonal(m.comoment) / m.weight
        if self.move is not None:
            k = len(m.targets)
            about, by = np.append(self.move[0], np.zeros(k)), np.append(self.move[1], np.ones(k))
            mean, spread = (mean - about) / by, spread / by**2
        square = np.maximum(spread, 0) + mean**2
        room = CLOSE if self.dtype == "float64" else 1e3 * CLOSE
        with np.errstate(all="ignore"):
            apart = np.abs(total / max(n, 1) - square) > room * square
        if n != self.moments.n or (apart & (square > 1e-200)).any():
            raise DataError("The rows are not those that were fitted. Descend anew from the source.")
        self.checked = True

    def _part(self, X: Any, Y: Any, w: Any) -> Part:
        return self._tensor(X), self._tensor(Y), None if w is None else self._tensor(w)

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(array if array.flags.writeable else array.copy()).to(self.device or "cpu")


def _stacked(parts: Sequence[Any]) -> Any:
    """The arrays one below the other: a view where they are consecutive rows of one array."""
    first, at = parts[0], parts[0].ctypes.data
    for part in parts:
        if part.base is None or part.base is not first.base or part.ctypes.data != at:
            return first if len(parts) == 1 else np.concatenate(parts)
        at += part.nbytes
    shape = (sum(map(len, parts)), *first.shape[1:])
    return np.lib.stride_tricks.as_strided(first, shape, first.strides, writeable=first.flags.writeable)


def _squares(X: Any, Y: Any, w: Any) -> Array:
    """Sums of squares of the columns (p + k,), in float64."""
    if w is None:
        return np.concatenate([np.einsum("nj,nj->j", v, v, dtype=np.float64) for v in (X, Y)])
    return np.concatenate([np.einsum("n,nj,nj->j", w, v, v, dtype=np.float64) for v in (X, Y)])


def _joined(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    X, y, w = zip(*parts, strict=True)
    return torch.cat(X), torch.cat(y), None if w[0] is None else torch.cat(w)


def _chosen(part: Part, rows: Tensor) -> Part:
    X, y, w = part
    return X[rows], y[rows], None if w is None else w[rows]


def _checked_device(device: Any) -> Any:
    """`device` if torch has it here."""
    try:
        made = torch.device(device)
        if made.type == "meta":
            raise ValueError("it holds no numbers")
        torch.empty(0, device=made)
    except (RuntimeError, AssertionError, TypeError, ValueError, ImportError) as error:
        said = str(error).split("\n")[0].rstrip(".")
        said = said if len(said) < 120 else f"{said[:110]}..."
        raise UsageError(
            f"device={device!r} cannot be used: {said}. Leave it out for the CPU, or give 'cuda'."
        ) from None
    return made
