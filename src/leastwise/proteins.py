"""Tables of protein sequences, written again with what was found: sides of a split, features."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from leastwise import arrow
from leastwise.disk import whole_file
from leastwise.encodings import Encoding, Sequence, letters_of, settled
from leastwise.errors import ColumnError, MissingError, UsageError, did_you_mean, plural
from leastwise.look import first_rows
from leastwise.predicting import check_output, sink
from leastwise.rows import Rows
from leastwise.rows.block import Kind, Progress, Slab
from leastwise.rows.open import open_rows
from leastwise.sequences import Split, clean, encode, split
from leastwise.sequences.encode import UNKNOWN
from leastwise.sequences.scales import ALPHABET

ADDED = ("set", "group", "nearest_identity")


def split_file(
    source: Any,
    output: str | None,
    *,
    sequence: str | None = None,
    target: str | None = None,
    identity: float = 0.3,
    test: float = 0.2,
    unknown: str = "error",
    engine: str = "own",
    exhaustive: bool | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **how: Any,
) -> Split:
    """Split the rows of `source` as `sequences.split` does, and write them to `output` with three columns.

    `set` is train or test, as in FLIP's tables; `group` the number of the group of relatives;
    `nearest_identity` that of a test row to the nearest in train, empty in train and where there is none;
    `split_set` and so on where the table has such a column.
    The cells of a text file are kept as they were written. Without `output` nothing is written. With
    `target` test gets about the same share of each quarter of its values.

    Raises ColumnError where a column is not there, and what `split` raises.
    """
    if output is not None:
        check_output(output)
    refuse_itself(source, output)
    rows = open_rows(source, **how)
    column = column_of(rows, sequence)
    kinds: dict[str, Kind] = {column: "text"}
    kinds |= {target: "number"} if target else {}
    if target is not None and target not in rows.names:
        raise ColumnError(f"There is no column '{target}'. {did_you_mean(target, rows.names)}")
    texts: list[Any] = []  # a missing one is told by `clean`
    values: list[np.ndarray] = []
    for slab in rows.slabs(kinds):
        texts += slab.texts(column).to_pylist()
        if target is not None:
            values.append(slab.matrix((target,))[:, 0])
    y = np.concatenate(values) if values else None
    if y is not None and np.isnan(y).any():
        (empty,) = np.nonzero(np.isnan(y))
        raise MissingError(
            f"Column '{target}' has {plural(len(empty), 'missing value')} (first: row {empty[0] + 1:,}), "
            "and test is to get its share of all. Leave those rows out, or split without a target."
        )
    made = split(
        texts, identity, test, y=y, engine=engine, exhaustive=exhaustive, unknown=unknown, seed=seed,
        progress=progress,
    )  # fmt: skip
    if output is not None:
        _write(rows, made, Path(output))
    return made


def features_file(
    source: Any, output: str | None, *, sequence: str | None = None, unknown: str = "error", **how: Any
) -> list[str]:
    """Write the rows of `source` with the columns of `sequences.FEATURES`; gives what is to be told.

    To `output` (.csv or .parquet), else to stdout as CSV; rows are streamed. `unknown` is "error" or "mask"
    (or "expected"), as in `clean`. A name that the table has already gets that of the column of sequences
    before it. Raises ColumnError where a column is not there.
    """
    if output is not None:
        check_output(output)
    if unknown == "drop":
        raise UsageError("unknown='drop' would leave rows out. Give 'error', 'mask' or 'expected'.")
    refuse_itself(source, output)
    rows = open_rows(source, **how)
    term = Sequence(column_of(rows, sequence), unknown)
    changed = _changed(rows, term.column, unknown)
    count = _columns(rows, (term,), output)
    return [*rows.notes, *changed, f"{plural(len(term.names), 'feature')} of {plural(count, 'sequence')}"]


def encode_file(
    source: Any,
    output: str | None,
    *,
    sequence: str | None = None,
    encode_as: str | None = None,
    wild_type: str | None = None,
    offset: int | None = None,
    unknown: str = "error",
    **how: Any,
) -> list[str]:
    """Write sequences as numbers; gives what is to be told.

    To a .safetensors file: `indices` (n, L) and `mask` (n, L) of `sequences.encode`, or, with `encode_as`
    (encodings.py), `X` (n, p), with the names of its columns among the metadata. To .csv or .parquet (or
    stdout, as CSV) the rows of `source` with the columns of `encode_as`, composition if left out.

    Raises what `sequences.encode` does, UsageError for unknown="drop", which would leave rows out.
    """
    if unknown == "drop":
        raise UsageError("unknown='drop' would leave rows out. Give 'error', 'mask' or 'expected'.")
    refuse_itself(source, output)
    rows = open_rows(source, **how)
    column = column_of(rows, sequence)
    tensors = output is not None and Path(output).suffix == ".safetensors"
    if output is not None and not tensors:
        check_output(output)
    if tensors and encode_as is None and wild_type is None:
        return [*rows.notes, _indices(_texts(rows, column), unknown, Path(str(output)))]
    wanted = encode_as or ("composition" if wild_type is None else "one-hot")
    terms, notes = settled(
        column, unknown, wanted, "error", letters_of(wild_type), offset,
        lambda: first_rows(rows, column),
    )  # fmt: skip
    names = [name for term in terms for name in term.names]
    write = _matrix if tensors else _columns
    count = write(rows, terms, output)
    return [*rows.notes, *notes, f"{plural(len(names), 'column')} of {plural(count, 'sequence')}"]


def _changed(rows: Rows, column: str, unknown: str) -> list[str]:
    """What was changed in sequences to read them, counted; nothing where each letter had to be known."""
    if unknown == "error" or not rows.rereadable:
        return []
    came = [text for text in _texts(rows, column) if text is not None]
    return [f"'{column}': {change}" for change in clean(came, unknown=unknown).changes]


def _texts(rows: Rows, column: str) -> list[Any]:
    return [text for slab in rows.slabs({column: "text"}) for text in slab.texts(column).to_pylist()]


def _indices(texts: list[Any], unknown: str, path: Path) -> str:
    """Integers and their mask, as tensors."""
    from safetensors.numpy import save

    made = encode(texts, unknown=unknown)
    tensors = {"indices": made.indices.numpy(), "mask": made.mask.numpy()}
    with whole_file(path) as file:
        file.write(save(tensors, {"alphabet": ALPHABET, "padding": "0", "unknown": str(UNKNOWN)}))
    return f"indices and mask {tuple(made.indices.shape)}"


def _matrix(rows: Rows, terms: tuple[Encoding, ...], output: str | None) -> int:
    """All columns of all rows as one tensor; NaN in rows without a sequence."""
    from safetensors.numpy import save

    names = [name for term in terms for name in term.names]
    parts = [_filled(slab, terms, len(names)) for slab in rows.slabs({terms[0].column: "text"})]
    X = np.concatenate(parts) if parts else np.empty((0, len(names)))
    with whole_file(Path(str(output))) as file:
        file.write(save({"X": X}, {"names": json.dumps(names)}))
    return len(X)


def _columns(rows: Rows, terms: tuple[Encoding, ...], output: str | None) -> int:
    """The rows as they came with the columns of the terms, streamed; gives how many rows."""
    count, added = 0, free(rows, [name for term in terms for name in term.names], terms[0].column)
    with sink(None if output is None else Path(output), [*rows.names, *added], False) as write:
        for slab in rows.cells() if rows.is_text else rows.slabs(rows.kinds):
            table, found = slab.table(), _filled(slab, terms, len(added))
            columns = [arrow.numbers(values, np.isnan(values)) for values in found.T]
            names = [*table.schema.names, *added]
            write(pa.RecordBatch.from_arrays([*table.columns, *columns], names=names))
            count += slab.n
    return count


def _filled(slab: Slab, terms: tuple[Encoding, ...], width: int) -> np.ndarray:
    """The columns of the terms (n, width), NaN where a row has no sequence."""
    found, start = np.empty((slab.n, width)), 0
    for term in terms:
        stop = start + len(term.names)
        for missing in term.fill(slab, found[:, start:stop]).values():
            found[missing, start:stop] = np.nan
        start = stop
    return found


def refuse_itself(source: Any, output: str | None) -> None:
    """The file that is read is not the file that is written."""
    came = source if isinstance(source, (list, tuple)) else [source]
    files = [Path(one).resolve() for one in came if isinstance(one, (str, Path))]
    if output is not None and Path(output).resolve() in files:
        raise UsageError(f"{output} is read, and would be overwritten. Name another file.")


def free(rows: Rows, added: Iterable[str], before: str = "split") -> list[str]:
    """Names of what is added: with a word before those that the source has already."""
    names = [f"{before}_{name}" if name in rows.names else name for name in added]
    refuse_twice(rows, names)
    return names


def refuse_twice(rows: Rows, added: Iterable[str]) -> None:
    """What is added is not there yet."""
    taken = [name for name in added if name in rows.names]
    if taken:
        raise ColumnError(
            f"{rows.source} has a column '{taken[0]}' already. It would be there twice. Rename it."
        )


def column_of(rows: Rows, name: str | None) -> str:
    """The column of sequences: the one named, or the one that the format has."""
    name = name or rows.sequence or ("sequence" if "sequence" in rows.names else None)
    if name is None:
        raise UsageError(
            f"Which column of {rows.source} holds the sequences? Say sequence='...' (--sequence)."
        )
    if name not in rows.names:
        raise ColumnError(f"There is no column '{name}'. {did_you_mean(name, rows.names)}")
    return name


def _write(rows: Rows, made: Split, path: Path) -> None:
    """The rows as they came, and what they became."""
    n = len(made.groups)
    side = np.full(n, "train", object)
    side[made.test] = "test"
    nearest = np.full(n, np.nan)
    nearest[made.test] = np.where(made.certificate.nearest >= 0, made.certificate.identity, np.nan)
    added = free(rows, ADDED)
    with sink(path, [*rows.names, *added], False) as write:
        for slab in rows.cells() if rows.is_text else rows.slabs(rows.kinds):
            table, at = slab.table(), slice(slab.first, slab.first + slab.n)
            share = nearest[at]
            more = [
                arrow.texts(side[at].tolist()),
                pa.array(made.groups[at]),
                arrow.numbers(share, np.isnan(share)),
            ]
            write(pa.RecordBatch.from_arrays([*table.columns, *more], names=[*table.schema.names, *added]))
