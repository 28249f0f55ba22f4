"""Sequences as tensors: integers with a mask, rows of numbers by residue, and compositions.

    packed codes -> index of each residue, 21 for an unknown one    (n, L)      encode
                 -> row of a table for each residue                 (n, L, c)   one_hot, blosum, z_scales
                 -> shares of the amino acids                       (n, 20)     composition

Everything is right-padded with zeros. Where no amino acid is known the mask is False and rows are
zero: nothing is learned from a letter that nobody knows. Under unknown="expected" a B, Z or J has
the mean row of the two amino acids that it may be, and the index 21, for an index has no mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import SequenceError, UsageError, plural
from leastwise.sequences.clean import Packed, clean, pack
from leastwise.sequences.repeats import labels
from leastwise.sequences.scales import BLOSUM62, PARTS, Z_SCALES, by_code

if TYPE_CHECKING:
    import torch

__all__ = [
    "UNKNOWN",
    "Encoded",
    "SequenceDataset",
    "blosum",
    "composition",
    "encode",
    "one_hot",
    "z_scales",
]

UNKNOWN = 21  # index of a residue that is not known; 0 is padding alone


@dataclass(frozen=True, eq=False)
class Encoded:
    """Residues as integers, right-padded.

    `indices` is 1 to 20 in the order of ALPHABET where an amino acid is known, 21 for a residue that
    is not (X, and B, Z and J under "expected"), and 0 for padding alone. `mask` is True where an
    amino acid is known, so `mask` is not `indices > 0`: unknown residues and padding are both False
    in it, and a mean over `mask` never takes in a letter that nobody knows. An embedding needs 22
    rows: `torch.nn.Embedding(22, d, padding_idx=0)`.
    """

    indices: torch.Tensor  # (n, L) int64
    mask: torch.Tensor  # (n, L) bool

    def __iter__(self) -> Iterator[torch.Tensor]:
        """`indices, mask = encode(seqs)` works too."""
        yield self.indices
        yield self.mask


def encode(seqs: Iterable[str], *, unknown: str = "error", length: int | None = None) -> Encoded:
    """The index of each residue, 1 to 20 or 21, and a mask of where one is known: both (n, L).

    L is the longest sequence, or `length`. `unknown` is that of `clean`; under "drop" the rows are
    those that `clean` keeps. Index 21 stands for unknown residues, 0 for padding alone; in both the
    mask is False. O(n L) memory, 9 bytes a cell.

    Raises `SequenceError` as `clean` does, and for a sequence longer than `length`: nothing is cut.

    >>> encode(["MVLSPAD", "AXC"], unknown="mask").indices
    tensor([[11, 18, 10, 16, 13,  1,  3],
            [ 1, 21,  2,  0,  0,  0,  0]])
    """
    return _encoded(pack(clean(seqs, unknown=unknown).sequences), length)


def one_hot(seqs: Iterable[str], *, unknown: str = "error", length: int | None = None) -> torch.Tensor:
    """A one in the column of each residue's amino acid, in the order of ALPHABET: (n, L, 20).

    float32. Padding and masked residues are rows of zeros; under "expected" B, Z and J have one half
    in two columns. L, `unknown` and the errors are those of `encode`. O(20 n L) memory, 80 bytes a
    cell: one long protein makes all rows as wide.

    >>> one_hot(["MVLSPAD"]).shape
    torch.Size([1, 7, 20])
    """
    return _rows(seqs, PARTS, unknown, length)


def blosum(seqs: Iterable[str], *, unknown: str = "error", length: int | None = None) -> torch.Tensor:
    """The row of BLOSUM62 of each residue, columns in the order of ALPHABET, in half bits: (n, L, 20).

    float32. Padding and masked residues are rows of zeros; under "expected" B, Z and J have the mean
    row of their two amino acids (which is not the row that BLOSUM62's makers rounded for B and Z).
    L, `unknown`, the errors and the cost are those of `one_hot`. Henikoff & Henikoff, PNAS 89:10915
    (1992).

    >>> blosum(["AW"])[0, :, 0].tolist()
    [4.0, -3.0]
    """
    return _rows(seqs, by_code(BLOSUM62), unknown, length)


def z_scales(
    seqs: Iterable[str], *, scales: int = 5, unknown: str = "error", length: int | None = None
) -> torch.Tensor:
    """The z-scales of each residue, z1 to z5 or z1 to z3, no unit: (n, L, 5) or (n, L, 3).

    float32. z1 is lipophilicity, z2 size, z3 polarity and charge, z4 and z5 electronic properties:
    Sandberg et al., J Med Chem 41:2481 (1998). `scales=3` are the first three of these, not the
    older three of Hellberg et al. (1987), whose values differ. Padding and masked residues are rows
    of zeros, which lie near the mean of the twenty; under "expected" B, Z and J have the mean of
    their two amino acids. L, `unknown` and the errors are those of `encode`. 4 bytes a number.

    Raises `UsageError` for another number of scales.

    >>> z_scales(["A"], scales=3).shape
    torch.Size([1, 1, 3])
    """
    if scales not in (3, 5):
        raise UsageError(f"scales={scales} came. There are the first three or all five. Pass 3 or 5.")
    return _rows(seqs, by_code(Z_SCALES)[:, :scales], unknown, length)


def composition(seqs: Iterable[str], *, unknown: str = "error") -> torch.Tensor:
    """The share of each amino acid among the known residues, in the order of ALPHABET: (n, 20).

    float64, rows add up to 1. Masked residues do not count; under "expected" B, Z and J count as one
    half of each. `unknown` is that of `clean`. O(residues).

    Raises `SequenceError` as `clean` does, and for a sequence of which no residue is known.

    >>> composition(["AAAC"])[0, :2].tolist()
    [0.75, 0.25]
    """
    import torch

    return torch.from_numpy(composition_matrix(clean(seqs, unknown=unknown).sequences))


def composition_matrix(sequences: tuple[str, ...]) -> NDArray[np.float64]:
    """The same (n, 20) of sequences that `clean` has made."""
    packed = pack(sequences)
    n, codes = len(packed.lengths), len(PARTS)
    found = np.bincount(packed.rows * codes + packed.codes, minlength=n * codes).reshape(n, codes)
    counts = found @ PARTS  # (n, 20)
    known = counts.sum(axis=1, keepdims=True)
    if not known.all():
        rows = np.flatnonzero(known == 0)
        raise SequenceError(
            f"In {plural(len(rows), 'sequence')} of {n:,} (first: sequence {rows[0] + 1:,}) every residue "
            "is masked. One known residue at least is needed. Leave those sequences out."
        )
    return np.asarray(counts / known)


class SequenceDataset:
    """Sequences with their targets, as `torch.utils.data.DataLoader` takes them.

    Item i is `(indices (L,) int64, mask (L,) bool, y () or (k,) float32)`, as in `Encoded`, so that a
    batch of b is (b, L), (b, L) and (b,) or (b, k). `seqs`, `unknown`, `length` and the errors are
    those of `encode`; `y` is (n,) or (n, k), one row for each sequence that came. Under "drop" the
    items are those that `clean` keeps, `kept` in the rows that came. It has the two methods of a
    map-style `torch.utils.data.Dataset`, and `__getitems__` for whole batches, and is no subclass:
    the class would import torch when this module is. O(n L) memory, 9 bytes a cell.

    Raises `SequenceError` as `encode` does, `UsageError` for y of another length, `DataError` for a
    y that is missing or infinite.

    >>> indices, mask, y = SequenceDataset(["MVLS", "AC"], [50.0, 61.5])[1]
    >>> indices.tolist(), mask.tolist(), y.item()
    ([1, 2, 0, 0], [True, True, False, False], 61.5)
    """

    def __init__(
        self, seqs: Iterable[str], y: Any, *, unknown: str = "error", length: int | None = None
    ) -> None:
        import torch

        cleaned = clean(seqs, unknown=unknown)
        self.kept: NDArray[np.int64] = cleaned.kept
        values = labels(y, len(cleaned.kept) + len(cleaned.dropped))
        self.y = torch.from_numpy(values[cleaned.kept].astype(np.float32))
        self.indices, self.mask = _encoded(pack(cleaned.sequences), length)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.indices[i], self.mask[i], self.y[i]

    def __getitems__(self, rows: list[int]) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """The items of a batch, taken at once."""
        return list(zip(self.indices[rows], self.mask[rows], self.y[rows], strict=True))


def _encoded(packed: Packed, length: int | None) -> Encoded:
    import torch

    indices = np.zeros((len(packed.lengths), _width(packed, length)), dtype=np.int64)
    known = (packed.codes > 0) & (packed.codes < UNKNOWN)
    indices[packed.rows, _positions(packed)] = np.where(known, packed.codes, UNKNOWN)
    tensor = torch.from_numpy(indices)
    return Encoded(tensor, (tensor > 0) & (tensor < UNKNOWN))


def _rows(
    seqs: Iterable[str], table: NDArray[np.float64], unknown: str, length: int | None
) -> torch.Tensor:
    """The row of a table (24, c) of each residue's code: (n, L, c), float32."""
    import torch

    packed = pack(clean(seqs, unknown=unknown).sequences)
    shape = len(packed.lengths), _width(packed, length), table.shape[1]
    out = np.zeros(shape, dtype=np.float32)
    out[packed.rows, _positions(packed)] = table.astype(np.float32)[packed.codes]
    return torch.from_numpy(out)


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
