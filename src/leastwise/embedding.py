"""Embeddings in files: those computed elsewhere, read and joined by id, and tables written with them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.errors import (
    ColumnError,
    DataError,
    MissingError,
    ParseError,
    SequenceError,
    UsageError,
    did_you_mean,
    listed,
    plural,
)
from leastwise.predicting import check_output, sink
from leastwise.proteins import column_of, refuse_itself, refuse_twice
from leastwise.rows import Rows
from leastwise.rows.block import Progress
from leastwise.rows.open import open_rows
from leastwise.sequences.embed import embed

__all__ = ["Embeddings", "Joined", "embed_file", "read_embeddings"]

Array = NDArray[Any]  # float32 where no digit is lost by it, else float64
Named = Iterable[tuple[str, Array]]

SHOWN = 5  # ids named in a message
WAYS = "'.npy', '.npz', '.h5', '.hdf5', '.parquet', '.pq' and '.safetensors'"


@dataclass(frozen=True, eq=False)
class Joined:
    """Vectors in the order of the ids that were asked for, and what was left over on both sides."""

    vectors: Array  # (n, d), NaN where there is none
    found: NDArray[np.bool_]  # (n,)
    missing: tuple[str, ...]  # distinct ids that were asked for and are not there
    unused: tuple[str, ...]  # ids that are there and were not asked for
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors as a file holds them; `ids` is None where the file says only their order."""

    source: str
    ids: tuple[str, ...] | None  # (n,)
    vectors: Array  # (n, d)
    notes: tuple[str, ...]

    def joined(self, ids: Iterable[Any]) -> Joined:
        """The vector of each of `ids`, which may repeat; what has no partner is counted. O(n d).

        Raises `UsageError` where the vectors have no ids, `DataError` where no id is in both.

        >>> two = Embeddings("a file", ("P1", "P2"), np.array([[1.0], [2.0]]), ())
        >>> joined = two.joined(["P2", "P9"])
        >>> joined.vectors[:, 0].tolist(), joined.missing, joined.unused
        ([2.0, nan], ('P9',), ('P1',))
        """
        if self.ids is None:
            raise UsageError(
                f"{self.source} has no ids, only an order. Joining needs ids. Read it with ids=[...]."
            )
        asked = [None if one is None or one != one else str(one) for one in ids]
        place = {one: i for i, one in enumerate(self.ids)}
        at = np.array([place.get(one, -1) if one is not None else -1 for one in asked], np.int64)
        found = at >= 0
        if asked and not found.any():
            raise DataError(
                f"None of {plural(len(asked), 'id')} is in {self.source} (first here: '{asked[0]}', there: "
                f"'{next(iter(self.ids), '')}'). They must be spelled alike. Check both."
            )
        vectors = np.full((len(asked), self.vectors.shape[1]), np.nan, self.vectors.dtype)
        vectors[found] = self.vectors[at[found]]
        there = set(asked)
        missing = tuple(dict.fromkeys(str(one) for one in asked if one not in place))
        unused = tuple(one for one in self.ids if one not in there)
        notes = [
            f"{plural(len(names), 'id')} {what}: {listed(names, most=SHOWN)}"
            for names, what in (
                (missing, f"not in {self.source}"),
                (unused, f"of {self.source} not asked for"),
            )
            if names
        ]
        return Joined(vectors, found, missing, unused, tuple(notes))


def read_embeddings(path: str | Path, *, ids: Iterable[Any] | None = None) -> Embeddings:
    """Embeddings that were computed elsewhere, one vector a protein, with their ids where there are any.

        .npy                 (n, d), by position; `ids` names its rows
        .npz                 an array for each id; or `vectors` (n, d) and `ids` (n,)
        .h5, .hdf5           a dataset for each protein, (d,) or (L, d); its id is the attribute
                             `original_id`, as bio_embeddings and biotrainer write it, else its name
        .parquet             a column of ids (`id`, or the one of texts) and one list column, or numbers
        .safetensors         a tensor for each id; or `vectors` (n, d), and in the metadata `ids` as JSON

    (L, d), a row a residue, is averaged over L, and that is told. Numbers are float32, or float64 if
    the file has more digits. Nothing that a file holds is run: pickled objects are refused.

    Raises `DataError` where there is no file, for doubled ids and unequal dimensions, `MissingError`
    for numbers that are not finite, `ParseError` for a file that is not what its ending says,
    `UsageError` for `ids` that do not go with it.
    """
    path = Path(path).expanduser()
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageError(
            f"'{path}' has an ending that says nothing of embeddings. {WAYS} are known. Save "
            "them as one of these."
        )
    if not path.is_file():
        raise DataError(f"There is no file {path}. Embeddings are needed. Check the path.")
    try:
        names, vectors, notes = read(path)
    except (DataError, UsageError):
        raise
    except Exception as error:  # of a foreign reader: a damaged file, a pickle
        line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ParseError(
            f"{path} cannot be read as {path.suffix}: {line}. Plain numbers are needed, no pickled "
            "objects. Write it again."
        ) from None
    if ids is not None:
        names = _given(list(ids), names, len(vectors), path)
    _check(names, vectors, path)
    return Embeddings(str(path), None if names is None else tuple(names), vectors, tuple(notes))


# ---- the readers: ids or None, vectors (n, d), notes ----

Read = tuple["list[str] | None", Array, list[str]]


def _npy(path: Path) -> Read:
    return None, _matrix(np.load(path, allow_pickle=False), path), []


def _npz(path: Path) -> Read:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        if "vectors" in file.files and "ids" in file.files:
            return [str(one) for one in file["ids"].tolist()], _matrix(file["vectors"], path), []
        if len(file.files) == 1 and file[file.files[0]].ndim == 2:
            return None, _matrix(file[file.files[0]], path), []
        return _gathered(((name, file[name]) for name in file.files), path)


def _h5(path: Path) -> Read:
    try:
        import h5py
    except ImportError:
        raise UsageError(
            "HDF5 needs h5py, which is not installed. pip install 'leastwise[embed]'."
        ) from None
    with h5py.File(path, "r") as file:
        found: list[tuple[str, Any]] = []

        def visit(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset):
                said = node.attrs.get("original_id", name)
                found.append((said.decode() if isinstance(said, bytes) else str(said), node))

        file.visititems(visit)
        return _gathered(((name, node[()]) for name, node in found), path)


def _safetensors(path: Path) -> Read:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:  # numpy has no bfloat16
        names, said = list(file.keys()), file.metadata() or {}
        if names == ["vectors"]:
            ids = json.loads(said["ids"]) if "ids" in said else None
            return (
                None if ids is None else [str(one) for one in ids],
                _matrix(_plain(file, "vectors"), path),
                [],
            )
        return _gathered(((name, _plain(file, name)) for name in names), path)


def _plain(file: Any, name: str) -> Array:
    tensor = file.get_tensor(name)
    return np.asarray(
        tensor.float().numpy() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor
    )


def _parquet(path: Path) -> Read:
    import pyarrow.parquet as pq

    table = pq.read_table(path).combine_chunks()
    kinds = {name: table.schema.field(name).type for name in table.schema.names}
    texts = [n for n, t in kinds.items() if pa.types.is_string(t) or pa.types.is_large_string(t)]
    named = [name for name in ("id", "original_id") if name in kinds] or texts
    if len(named) > 1 and "id" not in named:
        raise ColumnError(
            f"{path} has {len(named)} columns of text: {listed(named)}. One of ids is needed. Call it 'id'."
        )
    ids = [None if one is None else str(one) for one in table[named[0]].to_pylist()] if named else None
    if ids is not None and None in ids:
        raise MissingError(f"Row {ids.index(None) + 1:,} of {path} has no id. Each needs one. Fill it.")
    lists = [n for n, t in kinds.items() if pa.types.is_list(t) or pa.types.is_large_list(t)]
    lists += [n for n, t in kinds.items() if pa.types.is_fixed_size_list(t)]
    numbers = [n for n, t in kinds.items() if n not in named and _is_number(t)]
    if len(lists) > 1 or not (lists or numbers):
        raise ColumnError(
            f"{path} has {plural(len(lists), 'column')} of lists and {len(numbers):,} of numbers. One of "
            "lists, or some of numbers, is needed. Leave the others out."
        )
    vectors = _listed(table[lists[0]], ids, path) if lists else _side_by_side(table, numbers)
    left = [name for name in kinds if name not in (lists or numbers) and name not in named[:1]]
    notes = (
        [f"{plural(len(left), 'column')} of {path} not read: {listed(left, most=SHOWN)}"] if left else []
    )
    return ids, _matrix(vectors, path), notes  # type: ignore[return-value]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _side_by_side(table: pa.Table, names: list[str]) -> Array:
    return np.column_stack([arrow.values(_whole(table[name])) for name in names])


def _listed(column: pa.ChunkedArray, ids: list[Any] | None, path: Path) -> Array:
    """A column of lists of numbers as a matrix (n, d); a missing number is NaN."""
    cells = _whole(column)
    if cells.null_count:
        empty = int(np.argmax(arrow.nulls(cells))) + 1
        raise MissingError(
            f"{plural(cells.null_count, 'row')} of {path} (first: row {empty:,}) have no embedding. "
            "Each needs one. Leave those rows out."
        )
    _refuse_unequal(arrow.values(pc.list_value_length(cells)).astype(np.int64), ids, path)
    return arrow.values(cells.flatten()).reshape(len(cells), -1)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


_READERS: dict[str, Callable[[Path], Read]] = {
    ".npy": _npy, ".npz": _npz, ".h5": _h5, ".hdf5": _h5, ".parquet": _parquet, ".pq": _parquet,
    ".safetensors": _safetensors,
}  # fmt: skip


# ---- what they have in common ----


def _gathered(named: Named, path: Path) -> Read:
    """One array a protein, (d,) or (L, d), which is averaged over its L residues."""
    names: list[str] = []
    vectors: list[Array] = []
    averaged: list[int] = []  # L
    for name, came in named:
        values = _numbers(np.asarray(came), f"'{name}' of {path}")
        if values.ndim not in (1, 2) or not values.size:
            raise DataError(
                f"'{name}' of {path} has the shape {values.shape}. (d,) is needed, or (L, d), a row for "
                "each residue. Leave it out or mend it."
            )
        if values.ndim == 2:
            averaged.append(len(values))
            values = values.mean(axis=0, dtype=np.float64).astype(values.dtype)
        names.append(name)
        vectors.append(values)
    _refuse_unequal(np.array([len(v) for v in vectors], np.int64), names, path)
    notes = []
    if averaged:
        notes.append(
            f"{plural(len(averaged), 'protein')} of {len(names):,} came by residue ({min(averaged):,} to "
            f"{max(averaged):,} rows) and were averaged"
        )
    return names, np.stack(vectors) if vectors else np.empty((0, 0), np.float32), notes


def _matrix(values: Array, path: Path) -> Array:
    if values.ndim != 2 or not values.shape[1]:
        raise DataError(
            f"{path} holds an array of shape {values.shape}. (n, d) is needed, a row for each protein. "
            "Reshape it."
        )
    return _numbers(values, str(path))


def _numbers(values: Array, what: str) -> Array:
    """Real numbers as float32 if they were of no more digits, else as float64."""
    if values.dtype.kind not in "fiu":
        raise DataError(f"{what} holds {values.dtype}, no real numbers. Embeddings are numbers. Mend it.")
    few = values.dtype.kind == "f" and values.dtype.itemsize <= 4
    return values.astype(np.float32 if few else np.float64)


def _refuse_unequal(sizes: NDArray[np.int64], names: list[Any] | None, path: Path) -> None:
    odd = np.flatnonzero(sizes != sizes[:1])
    if len(odd):
        which = [f"row {i + 1:,}" if names is None else names[i] for i in odd]
        raise DataError(
            f"{plural(len(odd), 'embedding')} of {len(sizes):,} in {path} not of {sizes[0]:,} numbers, "
            f"as the first is: {listed(which, most=SHOWN)} ({sizes[odd[0]]:,}). All must be of one model "
            "and layer. Take the others out."
        )


def _given(ids: list[Any], names: list[str] | None, n: int, path: Path) -> list[str]:
    """The caller's ids for a file that has none."""
    if names is not None:
        raise UsageError(
            f"{path} has ids of its own, and ids=... came. Leave it out, and join by .joined(ids)."
        )
    if len(ids) != n:
        raise UsageError(
            f"{plural(len(ids), 'id')} came for {plural(n, 'row')} of {path}. One for each row is needed. "
            "Check both."
        )
    return [str(one) for one in ids]


def _check(names: list[str] | None, vectors: Array, path: Path) -> None:
    if not len(vectors):
        raise DataError(f"{path} holds no embedding. One at least is needed. Check the file.")
    if names is not None and len(names) != len(vectors):
        raise DataError(
            f"{path} has {len(names):,} ids and {len(vectors):,} vectors. One each is needed. Mend it."
        )
    if names is not None and len(set(names)) < len(names):
        seen: dict[str, list[int]] = {}
        for row, name in enumerate(names, start=1):
            seen.setdefault(name, []).append(row)
        twice = {name: rows for name, rows in seen.items() if len(rows) > 1}
        name, rows = next(iter(twice.items()))
        some = rows[:SHOWN]
        raise DataError(
            f"{plural(len(twice), 'id')} of {path} came more than once (first: '{name}', as number "
            f"{', '.join(f'{row:,}' for row in some)}, beginning with "
            f"{', '.join(f'{vectors[row - 1, 0]:g}' for row in some)}). An id has one embedding. Leave the "
            "others out."
        )
    odd = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(odd):
        which = [names[i] if names is not None else f"row {i + 1:,}" for i in odd]
        raise MissingError(
            f"{plural(len(odd), 'embedding')} of {len(vectors):,} in {path} not finite: "
            f"{listed(which, most=SHOWN)}. Every number must be one. Compute them again."
        )


# ---- tables ----

_OPTIONS = tuple(inspect.signature(embed).parameters)[2:]


def embed_file(
    source: Any,
    output: str | None,
    *,
    model: str | Path | None = None,
    embeddings: str | Path | Embeddings | None = None,
    sequence: str | None = None,
    id: str | None = None,
    unknown: str | None = None,
    progress: Progress | None = None,
    **how: Any,
) -> list[str]:
    """Write the rows of `source` with the columns e0, e1, ... of an embedding; gives what is to be told.

    Of `model`, as `sequences.embed` computes it from column `sequence` (its options come along: layer,
    window, cache, ...), or of `embeddings`, a file or what `read_embeddings` gave, joined by column
    `id`, or by position where the file has no ids. The columns are empty, and told, in rows that have
    no sequence or whose id has no embedding. To `output` (.csv or .parquet), else to stdout as CSV;
    all else of `how` is for opening the source, which is read twice.

    Raises what `embed` or `read_embeddings` raise, ColumnError where a column is not there or would be
    there twice, UsageError for options that do not apply.
    """
    if output is not None:
        check_output(output)
    if (model is None) == (embeddings is None):
        came = "neither" if model is None else "both"
        raise UsageError(f"model=... or embeddings=... is needed, {came} came. Give one of them.")
    if unknown == "drop":
        raise UsageError("unknown='drop' would leave rows out. Give 'error' or 'mask'.")
    asked = {name: how.pop(name) for name in _OPTIONS if how.get(name) is not None}
    asked |= {"unknown": unknown} if unknown is not None else {}
    of_other = [*asked, *(["sequence"] if sequence else [])] if model is None else ["id"] if id else []
    if of_other:
        raise UsageError(f"{of_other[0]}=... has no use here. Leave it out.")
    refuse_itself(source, output)
    rows = open_rows(source, **{name: value for name, value in how.items() if name not in _OPTIONS})
    refuse_twice(rows, ["e0"])
    if model is not None:
        vectors, notes = _by_model(rows, column_of(rows, sequence), model, asked, progress)
    else:
        held = embeddings if isinstance(embeddings, Embeddings) else read_embeddings(str(embeddings))
        vectors, notes = _by_id(rows, id, held)
    _write(rows, vectors, None if output is None else Path(output))
    return [*rows.notes, *notes, f"{plural(vectors.shape[1], 'column')} for {plural(len(vectors), 'row')}"]


def _by_model(
    rows: Rows, column: str, model: str | Path, asked: dict[str, Any], progress: Progress | None
) -> tuple[Array, list[str]]:
    """The vector of each row (n, d), NaN where it has no sequence."""
    texts = _cells(rows, column)
    present = [i for i, text in enumerate(texts) if text is not None]
    try:
        made = embed([text for text in texts if text is not None], model, progress=progress, **asked)
    except SequenceError as error:
        raise SequenceError(f"Column '{column}' of {rows.source}: {error}") from None
    vectors = np.full((len(texts), made.vectors.shape[1]), np.nan, np.float32)
    vectors[present] = made.vectors
    empty = len(texts) - len(present)
    told = [f"{plural(empty, 'row')} without a sequence left empty"] if empty else []
    return vectors, [f"{made.model}, layer {made.layer}, {made.precision}", *made.notes, *told]


def _by_id(rows: Rows, column: str | None, held: Embeddings) -> tuple[Array, list[str]]:
    """The vector of each row (n, d), NaN where its id has none."""
    if held.ids is None:
        if column is not None:
            raise UsageError(f"{held.source} has no ids to join column '{column}' by. Leave id=... out.")
        n = sum(slab.n for slab in rows.slabs({rows.names[0]: rows.kinds[rows.names[0]]}))
        if n != len(held.vectors):
            raise DataError(
                f"{rows.source} has {plural(n, 'row')}, {held.source} {len(held.vectors):,} vectors "
                "without ids. One for each row is needed. Check both."
            )
        return held.vectors, [*held.notes, "joined by position"]
    column = column or "id"
    if column not in rows.names:
        raise ColumnError(
            f"There is no column '{column}' of ids. {did_you_mean(column, rows.names)} Say id='...'."
        )
    joined = held.joined(_cells(rows, column))
    empty = int((~joined.found).sum())
    told = [f"{plural(empty, 'row')} without an embedding left empty"] if empty else []
    return joined.vectors, [*held.notes, *joined.notes, *told]


def _cells(rows: Rows, column: str) -> list[str | None]:
    return [text for slab in rows.slabs({column: "text"}) for text in slab.texts(column).to_pylist()]


def _write(rows: Rows, vectors: Array, path: Path | None) -> None:
    """The rows as they came, and their columns of the embedding."""
    added = [f"e{j}" for j in range(vectors.shape[1])]
    refuse_twice(rows, added)
    with sink(path, [*rows.names, *added], False) as write:
        for batch in _batches(rows, vectors, added):
            write(batch)


def _batches(rows: Rows, vectors: Array, added: list[str]) -> Iterator[pa.RecordBatch]:
    for slab in rows.cells() if rows.is_text else rows.slabs(rows.kinds):
        table, some = slab.table(), vectors[slab.first : slab.first + slab.n]
        columns = [arrow.numbers(values, np.isnan(values)) for values in some.T]
        names = [*table.schema.names, *added]
        yield pa.RecordBatch.from_arrays([*table.columns, *columns], names=names)
