"""Arrow columns from and to numpy by way of their buffers.

The obvious calls (`pyarrow.array`, `pyarrow.scalar`, `Array.to_numpy`) import pandas wherever it is
installed, which takes longer than all else that a prediction does; and a frame library that the
user has not imported is not ours to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_NUMPY = {
    pa.int8(): np.int8, pa.int16(): np.int16, pa.int32(): np.int32, pa.int64(): np.int64,
    pa.uint8(): np.uint8, pa.uint16(): np.uint16, pa.uint32(): np.uint32, pa.uint64(): np.uint64,
    pa.float16(): np.float16, pa.float32(): np.float32, pa.float64(): np.float64,
}  # fmt: skip
_ARROW = {np.dtype(kind): arrow for arrow, kind in _NUMPY.items()}


def numbers(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers or booleans (n,) as an Arrow column, null where `missing` (n,) is true."""
    if values.dtype == bool:
        kind, data = pa.bool_(), np.packbits(values, bitorder="little")
    else:
        kind, data = _ARROW[values.dtype], np.ascontiguousarray(values)
    valid = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(data)])


def texts(values: Sequence[str | None]) -> pa.Array:
    """Texts as an Arrow column, None as null."""
    encoded = [b"" if value is None else value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    missing = np.array([value is None for value in values], bool)
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    parts = [valid, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), parts).cast(pa.string())


def column(values: Sequence[Any]) -> pa.Array:
    """Python values of one kind (texts, booleans or numbers, None among them) as an Arrow column."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, str) for value in present) and present:
        return texts(values)
    missing = np.array([value is None for value in values], bool)
    whole = bool(present) and all(type(value) is int for value in present)
    flags = bool(present) and all(isinstance(value, bool) for value in present)
    kind = bool if flags else np.int64 if whole else np.float64
    return numbers(np.array([value or 0 for value in values], kind), missing if missing.any() else None)


def values(column: pa.Array) -> NDArray[Any]:
    """A numeric or boolean Arrow column as (n,), a view where nothing is null, else NaN there."""
    if not column.null_count:
        return _plain(column)
    filled = _plain(column).astype(np.float64)
    filled[nulls(column)] = np.nan
    return filled


def nulls(column: pa.Array) -> NDArray[np.bool_]:
    """Which cells (n,) of a column of any kind are null."""
    return _plain(column.is_null())


def _plain(column: pa.Array) -> NDArray[Any]:
    """The cells as they lie in memory, whatever stands where one is null."""
    data, start, stop = column.buffers()[1], column.offset, column.offset + len(column)
    if not len(column):
        return np.empty(0, bool if pa.types.is_boolean(column.type) else _NUMPY[column.type])
    if pa.types.is_boolean(column.type):
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little", count=stop)
        return bits[start:].astype(bool)
    return np.frombuffer(data, _NUMPY[column.type], count=stop)[start:]
