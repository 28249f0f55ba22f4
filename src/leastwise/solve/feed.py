"""Feed: the rows of a fit as tensors, pass after pass, whole or in mini-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwise.errors import UsageError
from leastwise.numerics import Array
from leastwise.recipe import Recipe
from leastwise.rows import Rows, Slab

MOST_BYTES = 2 << 30  # of rows that are kept in memory; more are read again in every pass
Part = tuple[Tensor, Tensor, "Tensor | None"]  # X (n, p), y (n, k), weights (n,) of mean 1


@dataclass
class Feed:
    """Rows as tensors (X, y, w): kept where they fit into memory, else read anew in each pass.

    `n` rows of weight above 0, whose weights add up to `weight`. `keep` gives the fold of each row of a
    block and says which is left out. Mini-batches are shuffled by `seed`, all rows where they are in
    memory, else those of a slab among themselves.
    """

    rows: Rows
    recipe: Recipe
    fills: Array
    n: int
    weight: float
    dtype: str | None = None
    device: str | None = None
    plan: Any = None
    without: int | None = None  # the fold that is left out
    held: list[Part] = field(default_factory=list)
    streams: bool = False
    move: tuple[Array, Array] | None = None  # what columns are taken about, and divided by

    def __post_init__(self) -> None:
        if self.device is not None:
            self.device = _checked_device(self.device)
        size = 0
        for slab in self.rows.slabs(self.recipe.reads_all):
            part = self._tensors(slab)
            size += sum(values.nbytes for values in part if values is not None)
            self.held.append(part)
            if size > MOST_BYTES:
                self.held, self.streams = [], True
                return
        self.held = [_joined(self.held)]

    def parts(self) -> Iterator[Part]:
        """All rows once, in one or several parts."""
        if not self.streams:
            yield from self.held
            return
        for slab in self.rows.slabs(self.recipe.reads_all):
            part = self._tensors(slab)
            if len(part[0]):
                yield part

    def batches(self, size: int, seed: int) -> Iterator[Part]:
        """Mini-batches of `size` rows without end, shuffled anew in each pass."""
        draw = torch.Generator().manual_seed(seed)
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

    def moved(self, mean: Array, by: Array) -> None:
        """From now on columns are about `mean` (p,) and divided by `by` (p,)."""
        self.move = mean, by
        self.held = [(self._moved(X), y, w) for X, y, w in self.held]

    def _moved(self, X: Tensor) -> Tensor:
        if self.move is None:
            return X
        mean, by = (torch.from_numpy(values).to(X.device) for values in self.move)
        return ((X.to(torch.float64) - mean) / by).to(X.dtype)

    def first(self, rows: int) -> Part:
        """The first rows, as many as there are of them."""
        part = next(self.parts())
        return _chosen(part, torch.arange(min(rows, len(part[0]))).to(part[0].device))

    def _tensors(self, slab: Slab) -> Part:
        """The rows of a slab that take part."""
        block = self.recipe.block(slab)
        X, Y, w = block.X, block.Y, block.w
        use = np.ones(block.n, bool) if w is None else w > 0
        if self.plan is not None:
            use &= self.plan.deal(block) != self.without
        if not use.all():
            X, Y, w = X[use], Y[use], None if w is None else w[use]
        if self.dtype is None:
            self.dtype = "float32" if X.dtype == np.float32 and Y.dtype == np.float32 else "float64"
        if len(self.fills) and X.dtype.kind == "f" and (gaps := np.isnan(X)).any():
            X = np.where(gaps, self.fills, X)
        if w is not None:
            w = w * (self.n / self.weight)
        return self._moved(self._tensor(X)), self._tensor(Y), None if w is None else self._tensor(w)

    def _tensor(self, values: Any) -> Tensor:
        array = np.ascontiguousarray(values, self.dtype)
        if not array.flags.writeable:
            array = array.copy()
        return torch.from_numpy(array).to(self.device or "cpu")


def _joined(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    X, y, w = zip(*parts, strict=True)
    return torch.cat(X), torch.cat(y), None if w[0] is None else torch.cat(w)


def _chosen(part: Part, rows: Tensor) -> Part:
    X, y, w = part
    return X[rows], y[rows], None if w is None else w[rows]


def _checked_device(device: str) -> str:
    """`device` if torch has it here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).split("\n")[0].rstrip(".")
        raise UsageError(f"device={device!r} cannot be used: {said}. Leave it out for the CPU.") from None
    return device
