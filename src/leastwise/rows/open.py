"""The one door: `open_rows(anything)` gives Rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from leastwise.errors import DataError, KindError, UsageError, did_you_mean, listed
from leastwise.rows.block import Rows
from leastwise.rows.delimited import CsvRows
from leastwise.rows.files import FastaRows, ManyRows, ParquetRows
from leastwise.rows.memory import FrameRows, StreamRows, array_rows, paired

FASTA = {".fasta", ".fa", ".faa", ".fas"}
PARQUET = {".parquet", ".pq"}
TEXT = {".csv", ".tsv", ".txt", ".tab", ".data"}
PACKED = {".gz", ".zst", ".bz2"}


def open_rows(source: Any, **how: Any) -> Rows:
    """Rows of anything that holds them, without reading more than its beginning.

    `source`: a path (CSV, TSV, Parquet, FASTA, plain or compressed; a folder of them; a list), a
    pair `(X, y)` of arrays or tensors, a pandas or Polars frame, an Arrow table, or anything with
    an Arrow stream. `how`, for text files only: `columns` (names where there is no header),
    `delimiter`, `encoding`, `multiline`; for FASTA: `labels`, a table that is joined by id.

    Raises DataError (nothing there), ParseError (not what its name says), KindError (no rows).
    """
    if isinstance(source, Rows):
        return _plain(source, how)
    if isinstance(source, (str, os.PathLike)):
        if not str(source).strip():
            raise DataError("The path is ''. The name of a file or folder is needed. Give one.")
        return _open_path(Path(source), how)
    if isinstance(source, list) and source and all(isinstance(s, (str, os.PathLike)) for s in source):
        return _several([_open_path(Path(s), how) for s in source], f"{len(source)} files")
    if isinstance(source, tuple) and len(source) == 2:
        return _plain(paired(*source), how)
    return _plain(_in_memory(source), how)


def _in_memory(source: Any) -> Rows:
    kind = type(source).__name__
    if isinstance(source, pa.RecordBatchReader):
        return StreamRows(source, "a stream of batches")
    if kind == "LazyFrame":
        raise KindError("A LazyFrame came. Rows that can be counted are needed. Call .collect().")
    if kind == "Series":
        raise KindError("A Series is one column. A table or a pair (X, y) is needed. Pass a frame.")
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    if hasattr(source, "columns") and hasattr(source, "shape"):
        return FrameRows(source, f"the {type(source).__module__.split('.')[0]} frame")
    if hasattr(source, "__arrow_c_stream__"):
        return StreamRows(source, f"the stream of {kind}")
    if hasattr(source, "shape"):
        return array_rows(source, "x", "X")
    raise KindError(
        f"Rows cannot be read from {kind}. A path, (X, y), a data frame or an Arrow stream is needed."
    )


def _plain(rows: Rows, how: dict[str, Any]) -> Rows:
    _refuse(how, (), rows.source)
    return rows


def _open_path(path: Path, how: dict[str, Any]) -> Rows:
    if path.is_dir():
        return _open_folder(path, how)
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"There is no file {path}. {did_you_mean(path.name, siblings)}")
    suffix = kind_of_file(path)
    if suffix in PARQUET:
        return _plain(ParquetRows(path), how)
    if suffix in FASTA:
        _refuse(how, ("labels",), str(path))
        labels = how.get("labels")
        return FastaRows(path, labels=None if labels is None else open_rows(labels))
    if suffix in TEXT:
        _refuse(how, ("columns", "delimiter", "encoding", "multiline"), str(path))
        return CsvRows(path, **how)
    raise DataError(
        f"{path} has an ending that says nothing ('{suffix}'). Known are .csv, .tsv, .txt, .parquet "
        "and .fasta, also with .gz. Rename it."
    )


def _open_folder(folder: Path, how: dict[str, Any]) -> Rows:
    known = PARQUET | TEXT | FASTA
    paths = sorted(p for p in folder.iterdir() if p.is_file() and kind_of_file(p) in known)
    if not paths:
        raise DataError(f"The folder {folder} holds no table. {listed(sorted(known))} are known.")
    kinds = {kind_of_file(p) for p in paths}
    if len(kinds) > 1:
        raise DataError(
            f"The folder {folder} holds files of several kinds: {listed(sorted(kinds))}. One kind is "
            "needed. Name the files."
        )
    return _several([_open_path(p, how) for p in paths], str(folder))


def _several(parts: Sequence[Rows], source: str) -> Rows:
    return parts[0] if len(parts) == 1 else ManyRows(parts, source)


def kind_of_file(path: Path) -> str:
    """The ending that tells the format: `.csv` of `screen.csv.gz`."""
    suffixes = [s.lower() for s in path.suffixes]
    return next((s for s in reversed(suffixes) if s not in PACKED), "")


def _refuse(how: dict[str, Any], known: tuple[str, ...], source: str) -> None:
    """An option that does not apply is an error, never silence."""
    for name, value in list(how.items()):
        if value is None:
            how.pop(name)
        elif name not in known:
            raise UsageError(f"{source} has no use for {name}={value!r}. Leave it out.")
