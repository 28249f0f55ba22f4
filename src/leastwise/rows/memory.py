"""Rows that are in memory: arrays, tensors, pandas, Polars, Arrow tables and streams of batches."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from leastwise.errors import ColumnError, DataError, KindError, ParseError, UsageError, listed, plural
from leastwise.rows.block import ArraySlab, ArrowSlab, Kind, Rows, Slab, kind_of
from leastwise.rows.decimals import side_by_side

SLAB_BYTES = 8 << 20  # of arrays, whose slabs are views
MOST_SLABS = 32  # of an array, up to a size of 64 MB: each slab ends in a sum of its own
FILE_THREADS = 2  # beside those that decode: more wait for each other (docs/diary.md)
FILE_SLAB_BYTES = 1_500_000  # of files, whose slabs are held while they wait


def slab_rows(columns: int, size: int = SLAB_BYTES) -> int:
    """Rows of a slab of `size` bytes of float64; twice as many as columns at least: summing must pay."""
    return max(size // (8 * max(columns, 1)), 2 * columns, 1)


class ArrayRows(Rows):
    """A matrix (n, p) whose columns are named; slabs are views of it."""

    def __init__(
        self, values: NDArray[Any], names: tuple[str, ...], source: str, *, native: str = "numpy"
    ) -> None:
        self.values, self.names, self.source, self.native = values, names, source, native
        self.kinds = dict.fromkeys(names, "boolean" if values.dtype == bool else "number")
        self.n = len(values)

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        width = self.values.shape[1]
        whole = 8 * width * len(self.values)
        size = slab_rows(width, min(max(SLAB_BYTES, whole // MOST_SLABS), 8 * SLAB_BYTES))
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

    def low(self, names: tuple[str, ...]) -> NDArray[np.float64] | None:
        ours = [name in self.y.names for name in names]
        if any(ours) and not all(ours):
            lows = (self.low((name,)) for name in names)
            return side_by_side([None if low is None else low[:, 0] for low in lows], self.n)
        return self.y.low(names) if any(ours) else self.x.low(names)

    def whole_numbers(self, name: str) -> bool:
        return (self.y if name in self.y.names else self.x).whole_numbers(name)

    def texts(self, name: str) -> pa.Array:
        return self.y.texts(name) if name in self.y.names else self.x.texts(name)

    def table(self) -> pa.RecordBatch:
        x, y = self.x.table(), self.y.table()
        return pa.RecordBatch.from_arrays(x.columns + y.columns, names=x.schema.names + y.schema.names)


class FrameRows(Rows):
    """A pandas, Polars or Arrow table, through narwhals; a slab at a time is turned into Arrow."""

    def __init__(self, frame: Any, source: str, *, targets: tuple[str, ...] = ()) -> None:
        import narwhals as nw

        self.frame = nw.from_native(_plain_frame(frame, source), eager_only=True)
        self.native = self.frame.implementation.value
        self.names = tuple(self.frame.columns)
        self.source, self.n, self.targets = source, len(self.frame), targets
        self.kinds = {name: _narwhals_kind(kind) for name, kind in self.frame.schema.items()}

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        wanted = [c for c in self.frame.columns if columns is None or c in columns]
        size = slab_rows(len(wanted))
        frame = self.frame.select(wanted)
        for first in range(0, self.n or 0, size):
            yield ArrowSlab(self._arrow(frame[first : first + size]), first)

    def _arrow(self, part: Any) -> pa.RecordBatch:
        try:
            return one_batch(part.to_arrow().select(part.columns))
        except (pa.ArrowException, TypeError, ValueError):
            odd = next((name for name in part.columns if not _converts(part, name)), "")
            raise KindError(
                f"Column '{odd}' of {self.source} holds values that are no numbers, no text, or of "
                f"several kinds ({part[odd].dtype if odd else 'mixed'}; sparse and complex ones among "
                f"them). A column needs one kind. Convert it, or leave it out with drop=['{odd}']."
            ) from None


def _plain_frame(frame: Any, source: str) -> Any:
    """The frame if its columns have one name each; whole numbers as names are turned into text."""
    names = list(getattr(frame, "column_names", frame.columns))
    odd = next((name for name in names if not isinstance(name, (str, int, np.integer))), None)
    if odd is not None or None in names:
        what = "names of several levels" if isinstance(odd, tuple) else f"a column whose name is {odd!r}"
        raise ColumnError(
            f"{source} has {what}. A name must be one text. Rename the columns, "
            "for example df.columns = df.columns.map(str)."
        )
    check_names(names, source)
    if all(isinstance(name, str) for name in names):
        return frame
    renamed = frame.copy(deep=False)  # only pandas has such names; the columns are shared, not copied
    renamed.columns = [str(name) for name in names]
    return renamed


def _converts(part: Any, name: str) -> bool:
    try:
        part.select(name).to_arrow()
    except (pa.ArrowException, TypeError, ValueError):
        return False
    return True


class StreamRows(Rows):
    """Record batches from anything with `__arrow_c_stream__`: read once, as they come."""

    rereadable = False

    def __init__(self, stream: Any, source: str) -> None:
        self.reader = pa.RecordBatchReader.from_stream(stream)
        self.source, self.native = source, "pyarrow"
        self.names = tuple(self.reader.schema.names)
        check_names(self.names, source)
        self.kinds = {f.name: kind_of(f.type) for f in self.reader.schema}
        self._ahead: list[ArrowSlab] = []
        self._used = False

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        if self._used:
            raise UsageError(f"{self.source} can be read once, and it was. Make it anew.")
        first, self._used = 0, True
        while self._ahead or self._pull():
            slab = self._ahead.pop(0)
            yield replace(slab, first=first)
            first += slab.n

    def ahead(self, columns: Mapping[str, Kind]) -> Iterator[Slab]:
        i = 0
        while i < len(self._ahead) or self._pull():
            yield self._ahead[i]
            i += 1

    def _pull(self) -> bool:
        """Whether there was another batch; it is kept to be given."""
        try:
            batch = next(self.reader, None)
        except (pa.ArrowException, OSError, RuntimeError) as error:
            said = str(error).split("Detail:")[0].strip()
            raise ParseError(
                f"{self.source} breaks off: {said}. All of its rows are needed. Make it anew."
            ) from None
        if batch is not None:
            self._ahead.append(ArrowSlab(batch, 0))
        return batch is not None


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
        values = _tensor_view(values, source)
    if hasattr(values, "toarray"):
        raise KindError(f"{source} is a sparse matrix. Dense rows are needed. Pass {source}.toarray().")
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(
            f"The rows of {source} are not of one length. Every row needs the same columns. Mend them."
        ) from None
    if array.dtype.kind not in "biufc":
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
    for half, name in ((X, "X"), (y, "y")):
        if half is None or isinstance(half, (str, dict)):
            raise KindError(f"{name} of the pair (X, y) is {half!r}. Two arrays or tables are needed.")
    if hasattr(X, "columns") and not isinstance(X, np.ndarray):
        return FrameRows(_beside(X, y), "(X, y)", targets=tuple(_target_names(y)))
    left, right = array_rows(X, "x", "X"), array_rows(y, "y", "y")
    if left.n != right.n:
        raise DataError(
            f"X has {plural(left.n or 0, 'row')} and y has {right.n:,}. "
            "Each row of X needs one of y. Check how they were cut."
        )
    pair = PairRows(left, right)
    pair.stacked = np.ndim(y) == 2 and right.values.shape[1] == 1
    return pair


def _beside(X: Any, y: Any) -> Any:
    """The frame `X` with the columns of `y` added; refused where their indices differ."""
    import narwhals as nw

    index, other = getattr(X, "index", None), getattr(y, "index", None)
    if index is not None and hasattr(other, "equals") and not index.equals(other):
        raise DataError(
            "The index of X is not the index of y. Rows are paired by position only where the "
            "indices agree. Align them first (X.align(y, axis=0)) or pass y.to_numpy()."
        )
    frame = nw.from_native(_plain_frame(X, "X"), eager_only=True)
    names = _target_names(y)
    values = (
        [real_matrix(y, "y")[:, j] for j in range(len(names))]
        if not hasattr(y, "columns")
        else [nw.from_native(_plain_frame(y, "y"), eager_only=True)[name].to_numpy() for name in names]
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
    cells = array.ravel().tolist()
    found = next((v for v in cells if not isinstance(v, (int, float))), cells[0] if cells else "nothing")
    return (
        f"{source} is an array of {array.dtype} that holds {found!r}. Numbers are needed. "
        "Convert it (X.astype(float)), or pass a data frame if some columns are text."
    )


def _is_tensor(values: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def _tensor_view(values: Any, source: str) -> Any:
    """A tensor as numpy sees it, on the CPU; complex ones are left to be refused by name."""
    import torch

    values = values.detach()
    if values.layout != torch.strided or values.device.type == "meta":
        what = (
            "a meta tensor, which holds no numbers" if values.device.type == "meta" else "a sparse tensor"
        )
        raise KindError(f"{source} is {what}. Dense rows are needed. Call .to_dense(), or load the data.")
    if values.is_complex():
        raise KindError(f"{source} is complex ({values.dtype}). Pass real and imaginary parts as columns.")
    if values.dtype.is_floating_point and values.dtype not in _numpy_floats():
        values = values.float()  # bfloat16 and the float8s: float32 holds each of them exactly
    return values.resolve_conj().resolve_neg().cpu().numpy()


def _numpy_floats() -> tuple[Any, ...]:
    import torch

    return (torch.float16, torch.float32, torch.float64)


def _narwhals_kind(kind: Any) -> Kind:
    import narwhals as nw

    if kind.is_numeric() or kind == nw.Unknown:  # a column of nothing: all its cells are missing
        return "number"
    if kind == nw.Boolean:
        return "boolean"
    if kind in (nw.String, nw.Categorical, nw.Enum):
        return "text"
    return "date" if kind in (nw.Date, nw.Datetime) else "other"
