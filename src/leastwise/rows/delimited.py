"""CSV and TSV: the schema is fixed before reading, and every line is accounted for.

Arrow's streaming reader does the work. It is fast and forgiving, so two counts are kept beside it,
of line ends and of quotes in the bytes that it was given: where rows and lines disagree (an open
quote swallows rows in silence), or where Arrow gives up, the file is read again, slowly, to say
which row, line, column and text (`faults.py`).
"""

from __future__ import annotations

import codecs
import csv
import io
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from leastwise import arrow
from leastwise.errors import DataError, ParseError, UsageError
from leastwise.rows.block import ArrowSlab, Kind, Rows, Slab, kind_of
from leastwise.rows.decimals import side_by_side, text_parts
from leastwise.rows.faults import MISSING, find_faults, is_number
from leastwise.rows.memory import FILE_THREADS, check_names

HEAD_BYTES = 1 << 20  # what the delimiter and the kinds of the columns are read from
BLOCK_BYTES = 2 << 20
DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
ARROW_TYPE: dict[Kind, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "date": pa.timestamp("us"),
}


@dataclass(frozen=True)
class DecimalSlab(ArrowSlab):
    """A slab of a text file whose numbers were read to their last digit."""

    lows: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def read(cls, batch: pa.RecordBatch, first: int, decimals: set[str]) -> DecimalSlab:
        """The texts in columns `decimals` as numbers; pyarrow.ArrowInvalid where one is none."""
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        lows = {}
        for name in decimals:
            high, lows[name] = text_parts(columns[name])
            columns[name] = arrow.numbers(high, arrow.nulls(columns[name]))
        made = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
        return cls(made, first, lows)

    def low(self, names: tuple[str, ...]) -> NDArray[np.float64] | None:
        return side_by_side([self.lows.get(name) for name in names], self.n)


class CsvRows(Rows):
    """A delimited text file, plain or compressed (.gz, .zst, .bz2)."""

    threads = FILE_THREADS
    is_text = True
    decimals = False  # whether numbers are read to their last digit

    def __init__(
        self,
        path: Path,
        *,
        columns: Sequence[str] | None = None,
        delimiter: str | None = None,
        encoding: str = "utf-8",
        multiline: bool = False,
    ) -> None:
        if isinstance(columns, str):
            raise UsageError(
                f"columns={columns!r} is one text. A list of names is needed: {columns.split(',')}."
            )
        self.path, self.source, self.multiline = path, str(path), multiline
        self.encoding = _known_encoding(encoding)
        head = self._head()
        self.delimiter = _one_character(delimiter) if delimiter else sniff(head)
        self.skipped, self.names = self._header(head, columns)
        check_names(self.names, self.source)
        self.no_rows = len(head) < HEAD_BYTES // 8 and not _after(head, self.skipped).strip()
        self.kinds = dict.fromkeys(self.names, "number")
        self.empty = frozenset(self.names)
        if not self.no_rows:
            self.kinds = self._infer(head)
        name = DELIMITERS.get(self.delimiter, repr(self.delimiter))
        self.notes = () if self.delimiter == "," else (f"{path.name}: delimiter {name}",)

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        wanted = self._as_they_are(columns if columns is not None else self.kinds)
        if self.no_rows:
            return
        yield from self._read(wanted, verbatim=False)

    def cells(self) -> Iterator[Slab]:
        if not self.no_rows:
            yield from self._read(dict.fromkeys(self.names, "text"), verbatim=True)

    def exactly(self) -> CsvRows:
        same = copy(self)
        same.decimals = True
        return same

    def _read(self, wanted: dict[str, Kind], *, verbatim: bool) -> Iterator[Slab]:
        rows = 0
        decimals = {n for n, kind in wanted.items() if kind == "number" and self.decimals}
        texts: dict[str, Kind] = dict.fromkeys(decimals, "text")
        try:
            counted = _Counted(pa.input_stream(str(self.path), compression="detect"))
            holders = sys.getrefcount(counted)
            try:
                for batch in self._reader(counted, wanted | texts, verbatim):
                    yield DecimalSlab.read(batch, rows, decimals) if decimals else ArrowSlab(batch, rows)
                    rows += batch.num_rows
            finally:
                _let_go(counted, holders + 1)  # the argument
        except (pa.ArrowInvalid, OSError, UnicodeError) as error:
            raise self._explained(wanted, str(error)) from None
        if counted.suspicious(rows + self.skipped, self.multiline):
            fault = find_faults(self, wanted)
            if fault is not None:
                raise fault

    def faults(self, columns: Mapping[str, Any], *, declare: bool = True) -> DataError | None:
        return find_faults(self, columns, declare=declare)

    def _as_they_are(self, columns: Mapping[str, Kind]) -> dict[str, Kind]:
        """A column of true and false that is wanted as numbers is read as what it is."""
        flags = {n for n, k in columns.items() if k == "number" and self.kinds[n] == "boolean"}
        return {name: "boolean" if name in flags else kind for name, kind in columns.items()}

    def _reader(self, stream: Any, wanted: Mapping[str, Kind], verbatim: bool) -> pacsv.CSVStreamingReader:
        return pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(
                block_size=BLOCK_BYTES,
                column_names=list(self.names),
                skip_rows=self.skipped,
                encoding=self.encoding,
            ),
            parse_options=self._parse_options(),
            convert_options=pacsv.ConvertOptions(
                column_types={n: t for n, k in wanted.items() if (t := ARROW_TYPE.get(k))},
                include_columns=[name for name in self.names if name in wanted],
                strings_can_be_null=not verbatim,
            ),
        )

    def _parse_options(self) -> pacsv.ParseOptions:
        return pacsv.ParseOptions(delimiter=self.delimiter, newlines_in_values=self.multiline)

    def _explained(self, wanted: Mapping[str, Kind], error: str) -> DataError:
        """What is wrong with the file, in rows and lines; Arrow's own words where nothing is found."""
        if "UTF8" in error or "codec" in error or "encode" in error.lower():
            return encoding_error(self.source, self.encoding)
        if _is_truncation(error):
            return truncation_error(self.source, error)
        found = find_faults(self, wanted)
        return found or ParseError(
            f"{self.source} could not be read as a table: {error}. Check how it was written."
        )

    def lines(self) -> Iterator[str]:
        """The file as text, line by line, from its first."""
        with (
            pa.input_stream(str(self.path), compression="detect") as stream,
            io.TextIOWrapper(stream, self.encoding, newline="") as text,
        ):
            yield from text

    def _head(self) -> str:
        """The first megabyte as text, cut after its last line end."""
        try:
            with pa.input_stream(str(self.path), compression="detect") as stream:
                raw = stream.read(HEAD_BYTES)
        except OSError as error:
            raise truncation_error(self.source, str(error)) from None
        raw = raw.removeprefix(b"\xef\xbb\xbf") if self.encoding.startswith("utf") else raw
        if b"\0" in raw and self.encoding in ("utf-8", "utf8"):
            raise encoding_error(self.source, self.encoding)
        whole = len(raw) < HEAD_BYTES - 3
        try:
            text = codecs.getincrementaldecoder(self.encoding)().decode(raw, final=whole)
            text = text if whole else text[: text.rfind("\n") + 1 or len(text)]
        except (UnicodeDecodeError, LookupError):
            raise encoding_error(self.source, self.encoding) from None
        if not text.strip():
            raise DataError(f"{self.source} is empty. A header and rows are needed.")
        return text

    def _header(self, head: str, columns: Sequence[str] | None) -> tuple[int, tuple[str, ...]]:
        """How many lines stand before the rows, and the names of the columns."""
        reader = csv.reader(io.StringIO(head, newline=None), delimiter=self.delimiter)
        cells = next(record for record in reader if record)
        if columns is not None:
            self._refuse_header(cells, next((record for record in reader if record), []))
            return 0, tuple(columns)
        if reader.line_num > 1 and "\n" in "".join(cells) and not self.multiline:
            raise ParseError(
                f"The header of {self.source} runs over several lines. A quote was left open in it. "
                "Close it, or pass multiline=True (--multiline) if the names are meant so."
            )
        if all(is_number(cell) or cell in MISSING for cell in cells) and any(map(is_number, cells)):
            raise ParseError(
                f"The first line of {self.source} is all numbers ({self.delimiter.join(cells[:4])}"
                f"{self.delimiter + '...' if len(cells) > 4 else ''}), so it is no header. "
                f"{len(cells)} names are needed. Give them with columns=[...] (--columns a,b,...)."
            )
        return reader.line_num, tuple(cell.strip() or f"column{j + 1}" for j, cell in enumerate(cells))

    def _refuse_header(self, first: list[str], second: list[str]) -> None:
        """Names were given; a first line of names would be read as a row."""
        if not any(is_number(c) or c in MISSING for c in first) and any(map(is_number, second)):
            raise ParseError(
                f"Names were given for {self.source}, yet its first line looks like a header "
                f"({self.delimiter.join(first[:4])}). Such a file has its names. Leave columns out."
            )

    def _infer(self, head: str) -> dict[str, Kind]:
        """The kinds of the columns, read off the head; an empty column counts as numeric."""
        try:
            schema = pacsv.open_csv(
                io.BytesIO(head.encode("utf-8")),
                read_options=pacsv.ReadOptions(
                    block_size=4 * HEAD_BYTES, column_names=list(self.names), skip_rows=self.skipped
                ),
                parse_options=self._parse_options(),
            ).schema
        except pa.ArrowInvalid as error:
            raise self._explained({}, str(error)) from None
        kinds = {f.name: kind_of(f.type) for f in schema}
        self.empty = frozenset(f.name for f in schema if pa.types.is_null(f.type))
        return {n: "text" if kind == "other" else kind for n, kind in kinds.items()}


class _Counted:
    """A stream that counts the lines (blank ones aside) and the quotes that pass through it."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.newlines, self.quotes, self.last = stream, 0, 0, b"\n"
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read(None if size < 0 else size)
        self.newlines += data.count(b"\n") - data.count(b"\n\n") - data.count(b"\r\n\r\n")
        self.quotes += data.count(b'"')
        self.last = data[-1:] or self.last
        return data

    def close(self) -> None:
        self.closed = True
        self.stream.close()

    def suspicious(self, lines: int, multiline: bool) -> bool:
        """Whether `lines` (rows and header) are not what the bytes held, or a quote stayed open."""
        seen = self.newlines + (self.last != b"\n")
        return self.quotes % 2 == 1 or (seen != lines and not multiline)

    def readable(self) -> bool:
        return True


def _let_go(file: Any, holders: int) -> None:
    """Waits, a second at most, until Arrow's threads hold `file` no more.

    They drop it a moment after its reader is gone, and where Python is at its end by then the process
    aborts (apache/arrow#43604).
    """
    for _ in range(1_000):
        if sys.getrefcount(file) <= holders:
            return
        time.sleep(0.001)


def sniff(head: str) -> str:
    """The delimiter: the one that cuts the first lines into the most cells, equally many in each."""
    lines = [line[:10_000] for line in io.StringIO(head, newline=None) if line.strip()][:50]
    best, most = ",", 0.0
    for delimiter in DELIMITERS:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        agree = sum(width == widths[0] for width in widths) / len(widths)
        if widths[0] > 1 and agree * widths[0] > most:
            best, most = delimiter, agree * widths[0]
    return best


def encoding_error(source: str, tried: str) -> ParseError:
    """The error for text that is not in the encoding that was tried."""
    return ParseError(
        f"{source} is not {tried} text. The encoding must be known before reading. "
        f"Say which one it is, for example encoding='latin-1' or 'utf-16' (--encoding latin-1)."
    )


def truncation_error(source: str, said: str) -> ParseError:
    """The error for a file that ends too soon or cannot be unpacked."""
    return ParseError(
        f"{source} ends or breaks in the middle of its data ({said}). The whole file is needed. "
        "Copy or download it again."
    )


def _is_truncation(error: str) -> bool:
    return any(word in error.lower() for word in ("truncated", "decompress", "zlib", "zstd", "bz2"))


def _after(head: str, skipped: int) -> str:
    """The head without its first lines."""
    return "".join(list(io.StringIO(head, newline=None))[skipped:])


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise UsageError(f"There is no encoding '{name}'. Try 'utf-8', 'latin-1' or 'utf-16'.") from None
    return name


def _one_character(delimiter: str) -> str:
    delimiter = "\t" if delimiter == "\\t" else delimiter
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise UsageError(f"delimiter={delimiter!r} is not one character. Give one, as in ';' or '\\t'.")
    return delimiter
