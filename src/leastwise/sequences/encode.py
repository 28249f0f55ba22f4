"""Sequences as tensors: integers with a mask, and one-hot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import SequenceError, UsageError
from leastwise.sequences.clean import ALPHABET, Packed, clean, pack

if TYPE_CHECKING:
    import torch

__all__ = ["Encoded", "encode", "one_hot"]


@dataclass(frozen=True, eq=False)
class Encoded:
    """Residues as integers, right-padded.

    `indices` is 1 to 20 in the order of ALPHABET where an amino acid is known, else 0. `mask` is
    True exactly there: padding and masked residues (X) are both 0 and False, so that a mean over
    `mask` never takes in a letter that nobody knows.
    """

    indices: torch.Tensor  # (n, L) int64
    mask: torch.Tensor  # (n, L) bool

    def __iter__(self) -> Iterator[torch.Tensor]:
        """`indices, mask = encode(seqs)` works too."""
        yield self.indices
        yield self.mask


def encode(seqs: Iterable[str], *, unknown: str = "error", length: int | None = None) -> Encoded:
    """The index of each residue, 1 to 20, and a mask of where one is known: both (n, L).

    L is the longest sequence, or `length`. `unknown` is that of `clean`; under "drop" the rows are
    those that `clean` keeps. O(n L) memory, 9 bytes a cell.

    Raises `SequenceError` as `clean` does, and for a sequence longer than `length`: nothing is cut.

    >>> encode(["MVLSPAD"]).indices
    tensor([[11, 18, 10, 16, 13,  1,  3]])
    """
    import torch

    packed = pack(clean(seqs, unknown=unknown).sequences)
    width = _width(packed, length)
    indices = np.zeros((len(packed.lengths), width), dtype=np.int64)
    indices[packed.rows, _positions(packed)] = packed.codes
    tensor = torch.from_numpy(indices)
    return Encoded(tensor, tensor != 0)


def one_hot(seqs: Iterable[str], *, unknown: str = "error", length: int | None = None) -> torch.Tensor:
    """A one in the column of each residue's amino acid, in the order of ALPHABET: (n, L, 20).

    float32. Padding and masked residues are rows of zeros. L, `unknown` and the errors are those
    of `encode`. O(20 n L) memory, 80 bytes a cell: one long protein makes all rows as wide.

    >>> one_hot(["MVLSPAD"]).shape
    torch.Size([1, 7, 20])
    """
    import torch

    packed = pack(clean(seqs, unknown=unknown).sequences)
    known = packed.codes > 0
    hot = np.zeros((len(packed.lengths), _width(packed, length), len(ALPHABET)), dtype=np.float32)
    hot[packed.rows[known], _positions(packed)[known], packed.codes[known] - 1] = 1.0
    return torch.from_numpy(hot)


def _positions(packed: Packed) -> NDArray[np.int64]:
    """The place of each residue in its own sequence, from 0: (total residues,)."""
    return np.arange(len(packed.codes)) - np.repeat(packed.offsets[:-1], packed.lengths)


def _width(packed: Packed, length: int | None) -> int:
    longest = int(packed.lengths.max(initial=0))
    if length is None:
        return longest
    if length < 1:
        raise UsageError(f"length={length} came. It is a number of residues. Pass 1 or more.")
    if longest > length:
        number = int(packed.lengths.argmax()) + 1
        raise SequenceError(
            f"Sequence {number:,} has {longest:,} residues, length={length:,}. Nothing is cut "
            f"silently. Pass length={longest} or more, or shorten the sequences yourself."
        )
    return length
