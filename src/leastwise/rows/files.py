"""Parquet and FASTA, slab by slab, and several files as one source."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from leastwise import arrow
from leastwise.errors import ColumnError, DataError, ParseError, did_you_mean, listed, plural
from leastwise.rows.block import ArrowSlab, Kind, Rows, Slab, kind_of
from leastwise.rows.memory import FILE_SLAB_BYTES, FILE_THREADS, check_names, one_batch, slab_rows

ATTRIBUTE = re.compile(r"(?:^|\s)([A-Za-z_][\w.]*)=(\S+(?:\s+(?![A-Za-z_][\w.]*=)\S+)*)")
MEANT = {"TARGET", "SET", "VALIDATION"}  # keys of a header by which records are dealt with
RECORDS = 2_000  # FASTA records a slab


class ParquetRows(Rows):
    """A Parquet file. Only the columns that are wanted are read, a slab at a time."""

    threads = FILE_THREADS

    def __init__(self, path: Path) -> None:
        self.path, self.source = path, str(path)
        with self._open() as file:
            schema, self.n = file.schema_arrow, file.metadata.num_rows
        self.names = tuple(schema.names)
        check_names(self.names, self.source)
        self.kinds = {f.name: kind_of(f.type) for f in schema}

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        wanted = [n for n in self.names if columns is None or n in columns]
        first = 0
        with self._open() as file:
            try:
                # one decoding thread: with more, each holds pages of its own (docs/diary.md)
                size = slab_rows(len(wanted), FILE_SLAB_BYTES)
                for batch in file.iter_batches(size, columns=wanted, use_threads=False):
                    yield ArrowSlab(batch, first)
                    first += batch.num_rows
            except (pa.ArrowInvalid, OSError) as error:
                raise ParseError(
                    f"{self.source} breaks off after {plural(first, 'row')} of {self.n:,}: {error}. "
                    "The whole file is needed. Copy or write it again."
                ) from None
        if first != self.n:
            raise ParseError(f"{self.source} promised {self.n:,} rows and gave {first:,}.")

    def _open(self) -> pq.ParquetFile:
        try:
            # Buffered: pages come as they are needed, and no whole column chunk is held.
            return pq.ParquetFile(
                self.path, pre_buffer=False, buffer_size=1 << 16, page_checksum_verification=True
            )
        except (pa.ArrowInvalid, OSError) as error:
            raise ParseError(
                f"{self.source} is no whole Parquet file: {error}. Write or copy it again."
            ) from None


def attributes(header: str) -> dict[str, str]:
    """What a header says as KEY=VALUE; a value goes on to the next key, but for numbers and SET=.

    >>> attributes("sp|P1 OS=Homo sapiens GN=HBA1 TARGET=50.5 by hand")
    {'OS': 'Homo sapiens', 'GN': 'HBA1', 'TARGET': '50.5'}
    """
    found = {}
    for key, value in ATTRIBUTE.findall(header):
        first = value.split(maxsplit=1)[0]
        found[key] = first if key in MEANT or _number(first) is not None else value
    return found


class FastaRows(Rows):
    """Protein sequences with what their headers say: columns `id`, `sequence`, and each KEY=VALUE.

    `labels`, another source, is joined by `id`: its first column, or the one called `id`.
    """

    sequence = "sequence"

    def __init__(self, path: Path, *, labels: Rows | None = None) -> None:
        self.path, self.source = path, str(path)
        first = [record for record, _ in zip(self._records(), range(RECORDS), strict=False)]
        if not first:
            raise DataError(f"{path} holds no FASTA record. A record starts with '>'.")
        self.attributes = {key for header, _ in first for key in attributes(header)}
        kinds: dict[str, Kind] = {"id": "text", "sequence": "text"}
        for key in sorted(self.attributes - {"id", "sequence"}):
            values = [attributes(header).get(key) for header, _ in first]
            kinds[key] = "number" if all(v is None or _number(v) is not None for v in values) else "text"
        self.labels = _Labels(labels) if labels is not None else None
        self.notes = () if self.labels is None else self._unmatched(self.labels)
        self.kinds = {**kinds, **(self.labels.kinds if self.labels else {})}
        self.names = tuple(self.kinds)

    def _unmatched(self, labels: _Labels) -> tuple[str, ...]:
        """What is to be told of ids that stand on one side alone, counted and listed."""
        headers = (header for header, _ in self._records())
        ids = dict.fromkeys(header.split(maxsplit=1)[0] if header.strip() else "" for header in headers)
        here = [name for name in ids if name not in labels.place]
        there = [name for name in labels.place if name not in ids]
        what = {
            f"{plural(len(here), 'sequence')} of {self.source} without a row in {labels.source}": here,
            f"{plural(len(there), 'row')} of {labels.source} without a sequence": there,
        }
        told = [f"{head}: {listed(names)}" for head, names in what.items() if names]
        return tuple(told)

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        first, part, found = 0, [], 0
        for record in self._records():
            part.append(record)
            if len(part) == RECORDS:
                batch, joined = self._batch(part, first)
                yield ArrowSlab(batch, first)
                first, found, part = first + RECORDS, found + joined, []
        if part:
            batch, joined = self._batch(part, first)
            yield ArrowSlab(batch, first)
            first, found = first + len(part), found + joined
        if self.labels is not None and found == 0:
            raise DataError(
                f"No id of {self.source} stands in column '{self.labels.key}' of {self.labels.source}"
                f" (first id here: '{next(self._records())[0].split()[0]}', there: "
                f"'{next(iter(self.labels.place), '')}'). They must be spelled alike. Check both."
            )

    def _batch(self, records: list[tuple[str, str]], first: int) -> tuple[pa.RecordBatch, int]:
        headers = [header for header, _ in records]
        ids = [header.split(maxsplit=1)[0] if header.strip() else "" for header in headers]
        data: dict[str, pa.Array] = {
            "id": arrow.texts(ids),
            "sequence": arrow.texts([sequence for _, sequence in records]),
        }
        said = [attributes(header) for header in headers]
        self._refuse_late(said, ids, first)
        for key in self.attributes - {"id", "sequence"}:
            values = [s.get(key) for s in said]
            if self.kinds[key] == "number":
                found = [self._number(v, key, ids[i], first + i) for i, v in enumerate(values)]
                data[key] = arrow.column(found)
            else:
                data[key] = arrow.texts(values)
        joined = 0
        if self.labels is not None:
            columns, joined = self.labels.of(ids)
            data |= columns
        return pa.RecordBatch.from_arrays([data[n] for n in self.names], names=list(self.names)), joined

    def _refuse_late(self, said: list[dict[str, str]], ids: list[str], first: int) -> None:
        """What says the side or the value of a record cannot begin behind the records looked at."""
        for i, one in enumerate(said):
            if late := [key for key in one if key in MEANT and key not in self.attributes]:
                raise ParseError(
                    f"{self.source}: record {first + i + 1:,} ('{ids[i]}') says {late[0]}={one[late[0]]}, "
                    f"which none of the first {RECORDS:,} records does. Put such a record first, or say "
                    "it in all."
                )

    def _number(self, text: str | None, key: str, name: str, row: int) -> float | None:
        value = None if text is None else _number(text)
        if text is not None and value is None:
            raise ParseError(
                f"{self.source}: record {row + 1:,} ('{name}') says {key}={text}. The records before "
                "it have numbers there. Mend the header."
            )
        return value

    def _records(self) -> Iterator[tuple[str, str]]:
        """(header without '>', sequence as it stands) of each record; blank records have ''."""
        header: str | None = None
        parts: list[str] = []
        try:
            with (
                pa.input_stream(str(self.path), compression="detect") as raw,
                io.TextIOWrapper(raw, "utf-8") as file,
            ):
                for number, line in enumerate(file, 1):
                    if line.startswith(">"):
                        if header is not None:
                            yield header, "".join(parts)
                        header, parts = line[1:].strip(), []
                    elif line.strip() and header is None:
                        raise ParseError(
                            f"{self.source}, line {number}: {line.strip()[:30]!r} stands before any "
                            "'>' header. FASTA begins with '>'. Is this another format?"
                        )
                    else:
                        parts.append(line.strip())
        except (UnicodeDecodeError, EOFError, OSError) as error:
            raise ParseError(f"{self.source} cannot be read to its end as utf-8: {error}.") from None
        if header is not None:
            yield header, "".join(parts)


class _Labels:
    """A table held in memory, its rows found by id."""

    def __init__(self, rows: Rows) -> None:
        self.source = rows.source
        self.key = "id" if "id" in rows.names else rows.names[0]
        kinds: dict[str, Kind] = {**rows.kinds, self.key: "text"}
        batches = [slab.table() for slab in rows.slabs(kinds)]
        self.table = pa.Table.from_batches(batches)
        ids = ArrowSlab(one_batch(self.table.select([self.key])), 0).texts(self.key).to_pylist()
        self.place = {name: i for i, name in enumerate(ids)}
        if len(self.place) < len(ids):
            twice = next(name for i, name in enumerate(ids) if self.place[name] != i)
            raise ColumnError(
                f"Column '{self.key}' of {self.source} has '{twice}' more than once. "
                "Each id needs one row. Average or remove the repeats."
            )
        self.kinds = {name: kind for name, kind in kinds.items() if name != self.key}

    def of(self, ids: list[str]) -> tuple[dict[str, pa.Array], int]:
        """The label columns of these ids (null where an id is unknown), and how many were known."""
        places = arrow.column([self.place.get(name) for name in ids]).cast(pa.int64())
        taken = one_batch(self.table.select(list(self.kinds)).take(places))
        columns = {name: taken.column(name) for name in self.kinds}
        return columns, len(ids) - places.null_count


class ManyRows(Rows):
    """Several sources of the same columns, one after the other."""

    threads = FILE_THREADS

    def __init__(self, parts: Sequence[Rows], source: str) -> None:
        self.parts, self.source = tuple(parts), source
        first = parts[0]
        self.names, self.notes, self.empty = first.names, first.notes, first.empty
        self.kinds = dict(first.kinds)
        for part in parts[1:]:
            if set(part.names) != set(first.names):
                odd = sorted(set(part.names) ^ set(first.names))
                raise ColumnError(
                    f"{part.source} and {first.source} do not have the same columns ('{odd[0]}' is in "
                    f"one only). {did_you_mean(odd[0], first.names)} Make them alike, or read fewer."
                )
            for name, kind in self.kinds.items():
                if name in self.empty - part.empty:
                    self.kinds[name] = part.kinds[name]
                elif part.kinds[name] != kind and name not in part.empty:
                    raise _two_kinds(name, first, part)
            self.empty &= part.empty
        self.sequence, self.is_text = first.sequence, all(part.is_text for part in parts)
        counts = [part.n for part in parts]
        self.n = None if None in counts else sum(c or 0 for c in counts)

    def exactly(self) -> ManyRows:
        same = copy(self)
        same.parts = tuple(part.exactly() for part in self.parts)
        return same

    def faults(self, columns: Mapping[str, Any], *, declare: bool = True) -> DataError | None:
        found = (part.faults(columns, declare=declare) for part in self.parts)
        return next((fault for fault in found if fault is not None), None)

    def slabs(self, columns: Mapping[str, Kind] | None = None) -> Iterator[Slab]:
        wanted = columns if columns is not None else self.kinds
        return self._in_order(part.slabs(wanted) for part in self.parts)

    def cells(self) -> Iterator[Slab]:
        return self._in_order(part.cells() for part in self.parts)

    def _in_order(self, parts: Iterable[Iterator[Slab]]) -> Iterator[Slab]:
        """Slab after slab, the columns always in one order: each part may have them in another."""
        for slab in _chained(parts):
            table = slab.table()
            there = [name for name in self.names if name in set(table.schema.names)]
            yield replace(slab, batch=table.select(there))  # type: ignore[type-var]


def _chained(parts: Iterable[Iterator[Slab]]) -> Iterator[Slab]:
    first = 0
    for part in parts:
        for slab in part:
            yield replace(slab, first=first)  # type: ignore[type-var]
            first += slab.n


def _two_kinds(name: str, first: Rows, other: Rows) -> ColumnError:
    texts = first if first.kinds[name] == "text" else other
    fault = texts.faults({name: "number"}, declare=False)
    return ColumnError(
        f"Column '{name}' is {first.kinds[name]} in {first.source} and {other.kinds[name]} in "
        f"{other.source}. It must be of one kind. {fault or 'Mend one of the files.'}"
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
