"""Predictions of a whole source, written as they come: the source's columns, and `prediction`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leastwise import arrow
from leastwise.disk import whole_file
from leastwise.encodings import Encoding
from leastwise.errors import ColumnError, UsageError, did_you_mean, listed, plural
from leastwise.fitted import Fit
from leastwise.look import first_rows
from leastwise.numerics import Array
from leastwise.rows import Rows, open_rows
from leastwise.rows.block import ArrowSlab, Kind, Progress, Slab
from leastwise.rows.faults import MISSING
from leastwise.sequences.alignment import Related
from leastwise.sequences.kin import nearest_of

WRITTEN = (".csv", ".parquet", ".pq")
NEAR = ("nearest_identity", "band_rmse")  # written beside predictions, where relatives are named
Write = Callable[[pa.RecordBatch], None]


def predict_file(
    fit: Fit,
    source: Any,
    output: str | None,
    *,
    as_json: bool = False,
    interval: float | None = None,
    of: str | None = None,
    relatives: Any = None,
    progress: Progress | None = None,
    **how: Any,
) -> list[str]:
    """Write the rows of `source` with their predictions; gives what should be told of it.

    With `relatives`, the sequences that the model was trained on (a source with that column), also the
    identity to the nearest of them, and the RMSE that rows of that band of identity had (of the random
    split; empty where the fit did not count it). With `interval`, say 0.95, also the limits within which a
    new row falls that often. To `output` (.csv or .parquet, whole or not at all), else to stdout as CSV, or
    as one JSON object a line. A text file's cells are kept as they were written.
    """
    if of is not None and interval is None:
        raise UsageError(
            f"of='{of}' says which interval is meant, and none was asked for. Add interval=0.9 "
            "(--interval 0.9)."
        )
    if output is not None and as_json:
        raise UsageError("--json prints to stdout; -o names a table. Choose one of them.")
    if output is not None:
        check_output(output)
    rows = open_rows(source, **how)
    fit.matching(rows)
    limits = None if interval is None else fit.limits(interval, of)
    added = _added(fit, rows, limits is not None)
    near = None if relatives is None else _nearest(fit, rows, relatives, progress)
    added += [] if near is None else _free(rows, NEAR)
    count = missing = 0
    with sink(None if output is None else Path(output), [*rows.names, *added], as_json) as write:
        for batch in _predicted(fit, rows, added, limits, near):
            write(batch)
            count += batch.num_rows
            missing += batch.column(added[0]).null_count
    told = [*rows.notes, f"{plural(count, 'row')} predicted"]
    kind = getattr(fit.inference, "kind", "classical")
    if limits is not None and (of or fit.interval_of) != "unseen" and kind != "classical":
        told.append(f"low and high are by classical standard errors; the model's own are {kind}")
    if missing:
        told.append(f"{plural(missing, 'row')} of them could not be: a cell is missing")
    return told


def check_output(output: str) -> None:
    """Refuses a file whose ending names no table that is written."""
    if Path(output).suffix not in ("", *WRITTEN):
        raise UsageError(
            f"'{output}' has an ending that is not written. {listed(WRITTEN)} are. Name the file so."
        )


def _nearest(
    fit: Fit, rows: Rows, relatives: Any, progress: Progress | None
) -> dict[str, tuple[float, float]]:
    """Of each cell of sequences the identity to the nearest that was trained on, and its band's RMSE."""
    name = fit.recipe.sequence
    if name is None:
        raise UsageError("relatives are of sequences, and this model reads none. Leave them out.")
    if not rows.rereadable:
        raise UsageError(
            f"{rows.source} can be read once, and relatives are looked for first. Write it to a file."
        )
    term = next(term for term in fit.recipe.terms if isinstance(term, Encoding))
    known = open_rows(relatives)
    if name not in known.names:
        raise ColumnError(
            f"There is no column '{name}' in {known.source} (relatives). {did_you_mean(name, known.names)}"
        )
    of = {side: list(first_rows(source, name)) for side, source in (("new", rows), ("known", known))}
    read = {side: term.sequences(texts) for side, texts in of.items()}
    related = Related()
    found = nearest_of(read["new"][0], read["known"][0], related, progress)
    bands = (fit.facts["validation"].get("beside") or {}).get("bands", [])
    cells = [of["new"][i] for i in read["new"][1]]
    return {
        cell: (found[sequence], _band_rmse(bands, found[sequence]))
        for cell, sequence in zip(cells, read["new"][0], strict=True)
    }


def _band_rmse(bands: list[dict[str, Any]], share: float) -> float:
    """The RMSE of the band that an identity falls into; nan where it was not counted."""
    for band in reversed(bands):
        low = -1.0 if band["low"] is None else band["low"]
        if share >= low and (share > 0) == (low >= 0):
            return float(band["rmse"]) if share <= band["high"] or low < 0 else np.nan
    return np.nan


def _free(rows: Rows, names: tuple[str, ...]) -> list[str]:
    """Names that the source does not have yet."""
    taken = [name for name in names if name in rows.names]
    if taken:
        raise ColumnError(
            f"{rows.source} has a column '{taken[0]}' already. It would be there twice. Rename it."
        )
    return list(names)


def _added(fit: Fit, rows: Rows, limits: bool) -> list[str]:
    """What the new columns are called."""
    targets = fit.recipe.target
    kinds = ("prediction", "low", "high") if limits else ("prediction",)
    names = list(kinds) if len(targets) == 1 else [f"{kind}_{t}" for kind in kinds for t in targets]
    return _free(rows, tuple(names))


def _predicted(
    fit: Fit,
    rows: Rows,
    added: list[str],
    limits: Callable[[Slab], tuple[Array, ...]] | None,
    near: Mapping[str, tuple[float, float]] | None,
) -> Iterator[pa.RecordBatch]:
    """The slabs as they came, with predictions; a text file's columns all stay text."""
    reads = fit.recipe.reads
    for slab in rows.cells() if rows.is_text else rows.slabs({**rows.kinds, **reads}):
        table = slab.table()
        typed = _typed(slab, rows, reads) if rows.is_text else slab
        found = fit.predict_slab(typed) if limits is None else np.hstack(limits(typed))
        if near is not None:
            cells = typed.texts(fit.recipe.sequence or "").to_pylist()
            found = np.hstack([found, [near.get(cell, (np.nan, np.nan)) for cell in cells]])
        columns = [arrow.numbers(values, np.isnan(values)) for values in found.T]
        yield pa.RecordBatch.from_arrays([*table.columns, *columns], names=[*table.schema.names, *added])


def _typed(slab: Slab, rows: Rows, reads: Mapping[str, Kind]) -> Slab:
    """A slab of text with the columns that the model reads turned into what it reads them as."""
    flags = {name for name, kind in reads.items() if kind == "number" and rows.kinds[name] == "boolean"}
    kinds = {name: "boolean" if name in flags else kind for name, kind in reads.items()}
    to = {"number": pa.float64(), "boolean": pa.bool_(), "date": pa.timestamp("us"), "text": pa.string()}
    arrays = []
    for name, kind in kinds.items():
        column = slab.table().column(name)
        trimmed = pc.utf8_trim_whitespace(column) if kind != "text" else column
        none = pc.is_in(trimmed, arrow.texts(sorted(MISSING)))
        column = pc.if_else(none, arrow.texts([None])[0], trimmed)
        try:
            arrays.append(pc.cast(pc.utf8_lower(column) if kind == "boolean" else column, to[kind]))
        except pa.ArrowInvalid as error:
            fault = rows.faults({name: reads[name]}, declare=False)
            raise fault or ColumnError(f"Column '{name}' is no {kind}: {error}.") from None
    return ArrowSlab(pa.RecordBatch.from_arrays(arrays, names=list(kinds)), slab.first)


# ---- where it goes ----


@contextmanager
def sink(path: Path | None, names: list[str], as_json: bool) -> Iterator[Write]:
    """What takes batches: stdout, or a file that appears when it is whole."""
    if as_json:
        yield _write_json
    elif path is None:
        yield _csv_to(sys.stdout.buffer, names)
        sys.stdout.flush()
    else:
        with whole_file(path) as file:
            if path.suffix not in (".parquet", ".pq"):
                yield _csv_to(file, names)
                return
            parquet = _Parquet(file)
            yield parquet.write
            parquet.close()


class _Parquet:
    """Opens with the first batch, whose schema it takes."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.writer: Any = None

    def write(self, batch: pa.RecordBatch) -> None:
        import pyarrow.parquet as pq

        self.writer = self.writer or pq.ParquetWriter(self.file, batch.schema)
        try:
            self.writer.write_batch(batch.cast(self.writer.schema))
        except (pa.ArrowException, ValueError) as error:
            self.writer.close()
            raise ColumnError(
                f"The files do not have columns of the same types ({error}). One table needs that. "
                "Write CSV (-o NAME.csv), or make them alike."
            ) from None

    def close(self) -> None:
        if self.writer is None:
            raise ColumnError("There are no rows, so there is no table to write. Check the input.")
        self.writer.close()


def _csv_to(file: BinaryIO, names: list[str]) -> Write:
    file.write((",".join(_quoted(arrow.texts(names)).to_pylist()) + "\n").encode())
    return lambda batch: _write_csv(file, batch)


def _write_csv(file: BinaryIO, batch: pa.RecordBatch) -> None:
    if not batch.num_rows:
        return
    comma, nothing = arrow.texts([",", ""])
    cells = [pc.fill_null(_quoted(_as_texts(column)), nothing) for column in batch.columns]
    lines = pc.binary_join_element_wise(*cells, comma) if len(cells) > 1 else cells[0]
    file.write(("\n".join(lines.to_pylist()) + "\n").encode())


def _as_texts(column: pa.Array) -> pa.Array:
    """Any column as text; lists and records as JSON."""
    try:
        return pc.cast(column, pa.string())
    except pa.ArrowNotImplementedError:
        return arrow.texts([json.dumps(value, default=str) for value in column.to_pylist()])


def _quoted(texts: pa.Array) -> pa.Array:
    """Texts with quotes around those that need them."""
    odd = pc.match_substring_regex(texts, '[",\r\n]')
    if not pc.any(odd, min_count=0).as_py():
        return texts
    return arrow.texts([_quote(text) for text in texts.to_pylist()])


def _quote(text: str | None) -> str | None:
    if text is None or not any(mark in text for mark in '",\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def _write_json(batch: pa.RecordBatch) -> None:
    for row in batch.to_pylist():
        plain = {name: None if value != value else value for name, value in row.items()}  # NaN is not JSON
        sys.stdout.write(json.dumps(plain, default=str) + "\n")
