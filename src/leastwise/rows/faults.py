"""What is wrong with a delimited file: which row, line, column and text; the first ten, and the count.

This is the slow, careful reading (Python's own csv module), done only after the fast one failed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from leastwise.errors import ParseError, plural
from leastwise.rows.block import Kind

MISSING = frozenset(
    [
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "n/a",
        "nan",
        "null",
    ]
)  # what Arrow's reader takes for a missing cell
SHOWN = 10


@dataclass
class _Faults:
    """Faults of one sort: a few words for the first, a count of all."""

    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(text)

    def __str__(self) -> str:
        rest = self.count - len(self.shown)
        return "; ".join(self.shown) + (f"; and {rest:,} more" if rest else "")


def find_faults(file: Any, wanted: Mapping[str, Kind], *, declare: bool = True) -> ParseError | None:
    """The first sort of fault that a careful reading of `file` (a CsvRows) finds, or None.

    `declare`: whether declaring a column as text is a way out that should be told.
    """
    width = len(file.names)
    checks = [(j, n, wanted[n]) for j, n in enumerate(file.names) if wanted.get(n) in _READS]
    short, spans, cells = _Faults(), _Faults(), {name: _Faults() for _, name, _ in checks}
    limit = csv.field_size_limit(1 << 30)
    try:
        for row, line, lines, record in _records(file):
            where = f"row {row:,} (line {line:,})"
            if lines > 1 and not file.multiline:
                spans.add(f"{where} runs over {lines:,} lines")
            if len(record) != width:
                short.add(f"{where}: {plural(len(record), 'cell')}")
                continue
            for j, name, kind in checks:
                if not _READS[kind](record[j]):
                    cells[name].add(f"{where}: {record[j][:40]!r}")
    except _OpenQuoteError as error:
        return ParseError(
            f"{file.source}: {error}. Rows behind it would be swallowed. "
            "Close the quote, or double it where it is part of the text."
        )
    except (UnicodeDecodeError, OSError):
        return None
    finally:
        csv.field_size_limit(limit)
    return _of_lines(file, short, spans) or _of_cells(file.source, wanted, cells, declare)


def _of_lines(file: Any, short: _Faults, spans: _Faults) -> ParseError | None:
    if spans.count:
        return ParseError(
            f"{file.source}: {plural(spans.count, 'quoted cell')} with line ends inside: {spans}. "
            "Most often a quote was left open and swallows rows. Close it, or pass multiline=True "
            "(--multiline) if the cells are meant so."
        )
    if short.count:
        return ParseError(
            f"{file.source}: {plural(short.count, 'row')} of other than {len(file.names)} cells: {short}. "
            "Every row needs as many cells as the header. Mend or remove them."
        )
    return None


def _of_cells(
    source: str, wanted: Mapping[str, Kind], cells: dict[str, _Faults], declare: bool
) -> ParseError | None:
    for name, bad in cells.items():
        if bad.count:
            kind = {"number": "numeric", "boolean": "true or false", "date": "a date"}[wanted[name]]
            way_out = f", or declare the column as text: categorical=['{name}'] (--categorical {name})"
            return ParseError(
                f"{source}: column '{name}' is {kind}, but {plural(bad.count, 'cell')} of it "
                f"{'is' if bad.count == 1 else 'are'} not: {bad}. {_comma_hint(bad.shown[0])}Mend or "
                f"empty the cells{way_out if declare else ''}."
            )
    return None


def _comma_hint(shown: str) -> str:
    comma = re.search(r"'-?[\d.]*,\d+'$", shown)
    return "It looks like a decimal comma; a decimal point is needed. " if comma else ""


class _OpenQuoteError(Exception):
    pass


def _records(file: Any) -> Iterator[tuple[int, int, int, list[str]]]:
    """(row from 1, its first line from 1, how many lines it runs over, its cells)."""
    reader = csv.reader(file.lines(), delimiter=file.delimiter, strict=True)
    row, before = 0, 0
    while True:
        try:
            record = next(reader, None)
        except csv.Error:
            where = f"row {row + 1:,}" if before >= file.skipped else "the header"
            raise _OpenQuoteError(
                f"a quote opened in {where} (line {before + 1:,}) is not closed as it should be"
            ) from None
        if record is None:
            return
        line, lines, before = before + 1, reader.line_num - before, reader.line_num
        if not record or line <= file.skipped:
            continue
        row += 1
        yield row, line, lines, record


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _boolean(cell: str) -> bool:
    return cell in MISSING or cell.lower() in ("true", "false", "0", "1")


def _date(cell: str) -> bool:
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return cell in MISSING
    return True


_READS = {
    "number": lambda cell: cell in MISSING or is_number(cell),
    "boolean": _boolean,
    "date": _date,
}
