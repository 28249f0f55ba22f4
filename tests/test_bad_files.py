"""Bad files, alone and together: a clear error with values, or the right answer."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad import assert_plane, frame, refused, table, written

import leastwise as lw
from leastwise.errors import (
    ColumnError,
    DataError,
    LeastwiseError,
    ParseError,
)

# ---- files that are not whole, or not what they say ----


@pytest.mark.parametrize("kind", ["gz", "bz2", "zst"])
@pytest.mark.parametrize("part", ["begin", "middle", "end"])
def test_a_truncated_compressed_file_is_refused_with_what_to_do(
    kind: str, part: str, tmp_path: Path
) -> None:
    raw = table(60_000).encode()
    pack = {"gz": gzip.compress, "bz2": bz2.compress}
    packed = pack[kind](raw) if kind in pack else pa.compress(raw, codec="zstd", asbytes=True)
    cut = {"begin": 12, "middle": len(packed) // 2, "end": len(packed) - 3}[part]
    path = written(tmp_path / f"d.csv.{kind}", packed[:cut])
    with refused(ParseError, str(path), "whole file", "again"):
        lw.fit(path, target="y")


@pytest.mark.parametrize("place", [0.3, 0.5, 0.9])
def test_a_compressed_file_with_one_bit_changed_is_refused(place: float, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(table(60_000).encode()))
    packed[int(place * len(packed))] ^= 8
    with refused(ParseError, "d.csv.gz"):
        lw.fit(written(tmp_path / "d.csv.gz", bytes(packed)), target="y")


def test_a_file_that_is_not_compressed_as_its_name_says_is_refused(tmp_path: Path) -> None:
    with refused(ParseError, "d.csv.gz"):
        lw.fit(written(tmp_path / "d.csv.gz", table()), target="y")
    with refused(ParseError, "d.csv"):
        lw.fit(written(tmp_path / "d.csv", gzip.compress(table().encode())), target="y")


@pytest.mark.parametrize("cut", [0, 3, 100, 0.5, -4])
def test_a_truncated_parquet_file_is_refused(cut: float, tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    frame().write_parquet(path)
    raw = path.read_bytes()
    written(path, raw[: int(cut * len(raw)) if isinstance(cut, float) else cut])
    with refused(ParseError, str(path), "again"):
        lw.fit(path, target="y")


def test_a_parquet_page_that_disagrees_with_its_checksum_is_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5_000, 2))
    path = tmp_path / "d.parquet"
    arrow = pa.table({"a": values[:, 0], "y": values[:, 1]})
    pq.write_table(arrow, path, compression="none", use_dictionary=False, write_page_checksum=True)
    raw = bytearray(path.read_bytes())
    raw[20_000] ^= 64
    with refused(ParseError, str(path)):
        lw.fit(written(path, bytes(raw)), target="y")


def test_a_file_that_is_not_there_or_of_no_known_kind_is_told(tmp_path: Path) -> None:
    written(tmp_path / "screen.csv", table())
    with refused(DataError, "scren.csv", "Did you mean 'screen.csv'?"):
        lw.fit(tmp_path / "scren.csv", target="y")
    with refused(DataError, "no file"):
        lw.fit(tmp_path / "none" / "screen.csv", target="y")
    with refused(DataError, "d.xlsx", ".xlsx", ".csv"):
        lw.fit(written(tmp_path / "d.xlsx", b"PK"), target="y")


def test_an_empty_path_is_not_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "d.csv", table())
    monkeypatch.chdir(tmp_path)
    with refused(LeastwiseError, "''"):
        lw.fit("", target="y")


# ---- several files ----


def test_columns_in_another_order_are_paired_by_name(tmp_path: Path) -> None:
    lines = [line.split(",") for line in table().splitlines()]
    turned = "".join(f"{y},{a},{b}\n" for a, b, y in lines)
    written(tmp_path / "1.csv", table())
    written(tmp_path / "2.csv", turned)
    fit = lw.fit(tmp_path, target="y")
    assert fit.tally.read == 60
    assert_plane(fit)


TEXTS = "a,b,y\n" + "".join(f"u{i % 3},{i},{i * i % 7}\n" for i in range(20))
NUMBERS = "a,b,y\n" + "".join(f"{i * 1.5},{i},{i * i % 7}\n" for i in range(20))
FEW = "a,b,y\n" + "".join(f"{i % 3},{i},{i * i % 7}\n" for i in range(20))
DATES = "a,b,y\n" + "".join(f"2020-01-{10 + i},{i},{i * i % 7}\n" for i in range(20))


@pytest.mark.parametrize(
    ("first", "second"),
    [(NUMBERS, TEXTS), (TEXTS, NUMBERS), (TEXTS, FEW), (FEW, DATES), (TEXTS, DATES)],
    ids=["number-text", "text-number", "text-few", "number-date", "text-date"],
)
def test_a_column_of_two_kinds_in_two_files_is_refused(first: str, second: str, tmp_path: Path) -> None:
    written(tmp_path / "1.csv", first)
    written(tmp_path / "2.csv", second)
    with refused(DataError, "'a'", "2.csv"):
        lw.fit(tmp_path, target="y")


def test_a_column_of_two_kinds_in_two_parquet_files_is_refused(tmp_path: Path) -> None:
    for name, values in (("1", [1.0, 2.0, 4.0]), ("2", ["u", "v", "u"])):
        pq.write_table(pa.table({"a": values, "y": [1.0, 2.0, 4.0]}), tmp_path / f"{name}.parquet")
    for order in ("12", "21"):
        with refused(LeastwiseError, "'a'", f"{order[1]}.parquet"):
            lw.fit([tmp_path / f"{name}.parquet" for name in order], target="y")


def test_files_that_are_not_alike_are_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path / "1.csv", table())
    for head in ("a,c,y", "A,b,y"):
        written(tmp_path / "2.csv", table(head=head))
        with refused(ColumnError, "1.csv", "2.csv", "same columns"):
            lw.fit(tmp_path, target="y")
    written(tmp_path / "2.csv", table().split("\n", 1)[1])
    with refused(ParseError, "2.csv", "no header"):
        lw.fit(tmp_path, target="y")


def test_faults_in_a_later_file_are_told_with_its_own_name_and_row(tmp_path: Path) -> None:
    written(tmp_path / "1.csv", table())
    written(tmp_path / "2.csv", table() + "oops,1,2\n")
    with refused(DataError, "2.csv", "row 31 (line 32)", "'oops'"):
        lw.fit(tmp_path, target="y")
    written(tmp_path / "2.csv", table() + "1,2\n")
    with refused(DataError, "2.csv", "row 31 (line 32)", "2 cells"):
        lw.fit(tmp_path, target="y")


def test_a_folder_reads_all_its_tables_and_only_of_one_kind(tmp_path: Path) -> None:
    with refused(DataError, "holds no table"):
        lw.fit(tmp_path, target="y")
    written(tmp_path / "1.csv", table())
    written(tmp_path / "2.csv", table(sep=";"))
    written(tmp_path / "3.csv", "a,b,y\n")
    written(tmp_path / "readme.md", "notes")
    assert lw.fit(tmp_path, target="y").tally.read == 60
    frame().write_parquet(tmp_path / "4.parquet")
    with refused(DataError, "several kinds", "'.csv' and '.parquet'"):
        lw.fit(tmp_path, target="y")
