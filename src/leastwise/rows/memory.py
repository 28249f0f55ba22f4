"""Rows that are in memory: arrays, tensors, pandas, Polars, Arrow tables and streams of batches."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from leastwise.errors import ColumnError, DataError, KindError, UsageError, listed, plural
from leastwise.rows.block import ArraySlab, ArrowSlab, Kind, Rows, Slab, kind_of

SLAB_BYTES = 8 << 20


def slab_rows(columns: int) -> int:
    """Rows of a slab: 8 MB of float64, and at least twice as many as columns, so that summing pays."""
    return max(SLAB_BYTES // (8 * max(columns, 1)), 2 * columns, 1)


class ArrayRows(Rows):
    """A matrix (n, p) whose columns are named; slabs are views of it."""

    def __init__(
        self, values: NDArray[Any], names: tuple[str, ...], source: str, *, native: str = "numpy"
    ) -> None:
        self.values, self.names, self.source, self.native = values, names, source, native
        self.kinds = dict.fromkeys(names, "boolean" if values.dtype == bool else "number")
        self.n = len(values)

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        size = slab_rows(self.values.shape[1])
        for first in range(0, len(self.values), size):
            yield ArraySlab(self.values[first : first + size], self.names, first)


class PairRows(Rows):
    """Arrays `X` (n, p) and `Y` (n, k) side by side, never copied into one."""

    def __init__(self, X: ArrayRows, Y: ArrayRows) -> None:
        self.X, self.Y = X, Y
        self.names, self.targets = X.names + Y.names, Y.names
        self.kinds = {**X.kinds, **Y.kinds}
        self.n, self.source, self.native = X.n, X.source, X.native

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        for slab in self.X.slabs():
            rows = slice(slab.first, slab.first + slab.n)
            y = ArraySlab(self.Y.values[rows], self.Y.names, slab.first)
            yield PairSlab(slab, y)


class PairSlab:
    """A slab of `PairRows`: asks the half that has the columns."""

    def __init__(self, x: Slab, y: ArraySlab) -> None:
        self.x, self.y, self.first, self.n = x, y, x.first, x.n

    def matrix(self, names: tuple[str, ...]) -> NDArray[Any]:
        ours = [name in self.y.names for name in names]
        if any(ours) and not all(ours):
            return np.column_stack([self.matrix((name,)) for name in names])
        return self.y.matrix(names) if any(ours) else self.x.matrix(names)

    def texts(self, name: str) -> pa.Array:
        return self.y.texts(name) if name in self.y.names else self.x.texts(name)

    def table(self) -> pa.RecordBatch:
        x, y = self.x.table(), self.y.table()
        return pa.RecordBatch.from_arrays(x.columns + y.columns, names=x.schema.names + y.schema.names)


class FrameRows(Rows):
    """A pandas, Polars or Arrow table, through narwhals; a slab at a time is turned into Arrow."""

    def __init__(self, frame: Any, source: str, *, targets: tuple[str, ...] = ()) -> None:
        import narwhals as nw

        check_names([str(name) for name in frame.columns], source)
        self.frame = nw.from_native(frame, eager_only=True)
        self.native = self.frame.implementation.value
        self.names = tuple(str(name) for name in self.frame.columns)
        self.source, self.n, self.targets = source, len(self.frame), targets
        self.kinds = {str(name): _narwhals_kind(kind) for name, kind in self.frame.schema.items()}

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        wanted = [c for c in self.frame.columns if columns is None or str(c) in columns]
        size = slab_rows(len(wanted))
        frame = self.frame.select(wanted)
        for first in range(0, self.n or 0, size):
            yield ArrowSlab(self._arrow(frame[first : first + size]), first)

    def _arrow(self, part: Any) -> pa.RecordBatch:
        try:
            table = part.to_arrow()
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise KindError(
                f"A column of {self.source} holds values of several kinds: {error}. "
                "A column needs one kind. Turn it into numbers or into text first."
            ) from None
        names = [str(name) for name in part.columns]
        return one_batch(table.select(names).rename_columns(names))


class StreamRows(Rows):
    """Record batches from anything with `__arrow_c_stream__`: read once, as they come."""

    rereadable = False

    def __init__(self, stream: Any, source: str) -> None:
        self.reader = pa.RecordBatchReader.from_stream(stream)
        self.source = source
        self.names = tuple(self.reader.schema.names)
        check_names(self.names, source)
        self.kinds = {f.name: kind_of(f.type) for f in self.reader.schema}
        self._ahead: ArrowSlab | None = None

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        first = 0
        while (ahead := self.peek()) is not None:
            self._ahead = None
            yield replace(ahead, first=first)
            first += ahead.n

    def peek(self) -> ArrowSlab | None:
        """The next slab, which is given again by `slabs`."""
        if self._ahead is None and (batch := next(self.reader, None)) is not None:
            self._ahead = ArrowSlab(batch, 0)
        return self._ahead


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """An Arrow table as one record batch."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def array_rows(values: Any, prefix: str, source: str) -> ArrayRows:
    """Anything that numpy or torch made, (n,) or (n, p), as named columns `x0`, `x1`, ..."""
    native = "torch" if _is_tensor(values) else "numpy"
    matrix = real_matrix(values, source)
    one = prefix == "y" and matrix.shape[1] == 1
    names = (prefix,) if one else tuple(f"{prefix}{j}" for j in range(matrix.shape[1]))
    return ArrayRows(matrix, names, source, native=native)


def real_matrix(values: Any, source: str) -> NDArray[Any]:
    """`values` as a real (n, p) array, without a copy where numpy can see it as it is."""
    if _is_tensor(values):
        values = _tensor_view(values)
    array = np.asarray(values)
    if array.dtype.kind == "O" or array.dtype.kind in "USM m".replace(" ", ""):
        raise KindError(_not_numbers(array, source))
    if array.dtype.kind == "c":
        raise KindError(
            f"{source} is complex ({array.dtype}). Least squares here is real. "
            "Pass the real and imaginary parts as columns of their own."
        )
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise DataError(
            f"{source} has shape {array.shape}. Rows and columns are needed: (n, p). Reshape it."
        )
    return array


def paired(X: Any, y: Any) -> Rows:
    """`(X, y)`: arrays or tensors, or a frame with the target beside it."""
    if hasattr(X, "columns") and not isinstance(X, np.ndarray):
        return FrameRows(_beside(X, y), "(X, y)", targets=tuple(_target_names(y)))
    left, right = array_rows(X, "x", "X"), array_rows(y, "y", "y")
    if left.n != right.n:
        raise DataError(
            f"X has {plural(left.n or 0, 'row')} and y has {right.n:,}. "
            "Each row of X needs one of y. Check how they were cut."
        )
    return PairRows(left, right)


def _beside(X: Any, y: Any) -> Any:
    """The frame `X` with the columns of `y` added; refused where their indices differ."""
    import narwhals as nw

    index, other = getattr(X, "index", None), getattr(y, "index", None)
    if index is not None and hasattr(other, "equals") and not index.equals(other):
        raise DataError(
            "The index of X is not the index of y. Rows are paired by position only where the "
            "indices agree. Align them first (X.align(y, axis=0)) or pass y.to_numpy()."
        )
    frame = nw.from_native(X, eager_only=True)
    names = _target_names(y)
    values = (
        [real_matrix(y, "y")[:, j] for j in range(len(names))]
        if not hasattr(y, "columns")
        else [nw.from_native(y, eager_only=True)[name].to_numpy() for name in names]
    )
    for name, value in zip(names, values, strict=True):
        if name in frame.columns:
            raise ColumnError(f"'{name}' is a column of X and the name of y. Rename one of them.")
        if len(value) != len(frame):
            raise DataError(
                f"X has {plural(len(frame), 'row')} and y has {len(value):,}. "
                "Each row of X needs one of y. Check how they were cut."
            )
        frame = frame.with_columns(nw.new_series(name, value, backend=frame.implementation))
    return frame.to_native()


def _target_names(y: Any) -> list[str]:
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    width = 1 if np.ndim(y) == 1 else np.shape(y)[1]
    if width == 1:
        return [str(getattr(y, "name", None) or "y")]
    return [f"y{j}" for j in range(width)]


def check_names(names: Any, source: str) -> None:
    """Refuse two columns of one name."""
    seen: set[str] = set()
    twice = [name for name in map(str, names) if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    if twice:
        raise ColumnError(
            f"{source} has more than one column called {listed(dict.fromkeys(twice))}. "
            "Every column needs a name of its own. Rename or remove one."
        )


def _not_numbers(array: NDArray[Any], source: str) -> str:
    if array.dtype.kind in "Mm":
        return (
            f"{source} holds dates ({array.dtype}). A date is not a number until you say from when "
            "and in which unit. Subtract a start and divide by a unit."
        )
    found = next((v for v in array.ravel() if not isinstance(v, (int, float))), array.ravel()[:1])
    return (
        f"{source} is an array of {array.dtype} that holds {found!r}. Numbers are needed. "
        "Convert it (X.astype(float)), or pass a data frame if some columns are text."
    )


def _is_tensor(values: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def _tensor_view(values: Any) -> NDArray[Any]:
    import torch

    values = values.detach()
    if values.is_sparse:
        raise UsageError("A sparse tensor came. Dense rows are needed. Call .to_dense() first.")
    if values.dtype == torch.bfloat16:  # numpy has no bfloat16; float32 holds each of them exactly
        values = values.float()
    return values.cpu().numpy()


def _narwhals_kind(kind: Any) -> Kind:
    import narwhals as nw

    if kind.is_numeric():
        return "number"
    if kind == nw.Boolean:
        return "boolean"
    if kind in (nw.String, nw.Categorical, nw.Enum):
        return "text"
    if kind.is_temporal():
        return "date"
    return "number" if kind == nw.Unknown else "other"
