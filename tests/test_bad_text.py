"""Bad text files: a clear error with values, or the right answer."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bad import N, assert_plane, column, refused, table, with_cell, written

import leastwise as lw
from leastwise.errors import (
    ColumnError,
    DataError,
    LeastwiseError,
    MissingError,
    ParseError,
    UsageError,
)

# ---- text files: what is read ----

FORMS: dict[str, tuple[str, Any]] = {
    "plain": ("d.csv", table()),
    "crlf": ("d.csv", table(end="\r\n")),
    "cr": ("d.csv", table(end="\r")),
    "bom": ("d.csv", table().encode("utf-8-sig")),
    "no-last-newline": ("d.csv", table().rstrip("\n")),
    "blank-first": ("d.csv", "\n\n" + table()),
    "blank-second": ("d.csv", table().replace("a,b,y\n", "a,b,y\n\n")),
    "blank-last": ("d.csv", table() + "\n\n\n"),
    "blank-middle": ("d.csv", table()[:200] + table()[200:].replace("\n", "\n\n", 1)),
    "quoted-header": ("d.csv", table(head='"a","b","y"')),
    "spaced-header": ("d.csv", table(head=" a , b , y ")),
    "tab": ("d.tsv", table(sep="\t")),
    "semicolon": ("d.csv", table(sep=";")),
    "bar": ("d.txt", table(sep="|")),
    "gzip": ("d.csv.gz", gzip.compress(table().encode())),
    "gzip-of-two": (
        "d.csv.gz",
        gzip.compress(table()[:200].encode()) + gzip.compress(table()[200:].encode()),
    ),
    "bzip2": ("d.csv.bz2", bz2.compress(table().encode())),
    "zstd": ("d.csv.zst", pa.compress(table().encode(), codec="zstd", asbytes=True)),
}
FORMS["quoted-cells"] = (
    "d.csv",
    "a,b,y\n" + "".join('"' + line.replace(",", '","') + '"\n' for line in table().splitlines()[1:]),
)


@pytest.mark.parametrize("form", FORMS)
def test_every_row_of_every_form_of_text_file_is_read(form: str, tmp_path: Path) -> None:
    name, content = FORMS[form]
    fit = lw.fit(written(tmp_path / name, content), target="y")
    assert (fit.tally.read, fit.tally.used) == (30, 30)
    assert fit.names == ("a", "b")
    assert_plane(fit)


@pytest.mark.parametrize(("sep", "name"), [("\t", "tab"), (";", "semicolon"), ("|", "bar")])
def test_the_delimiter_is_found_and_told(sep: str, name: str, tmp_path: Path) -> None:
    fit = lw.fit(written(tmp_path / "d.csv", table(sep=sep)), target="y")
    assert fit.notes == (f"d.csv: delimiter {name}",)


@pytest.mark.parametrize("delimiter", [";;", "ab", "\n"])
def test_a_delimiter_of_other_than_one_character_is_refused(delimiter: str, tmp_path: Path) -> None:
    with refused(UsageError, repr(delimiter), "one character"):
        lw.fit(written(tmp_path / "d.csv", table()), target="y", delimiter=delimiter)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_another_encoding_is_refused_with_the_one_tried_and_read_once_named(
    encoding: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "d.csv", table(head="größe,b,y"), encoding)
    with refused(ParseError, str(path), "utf-8", "--encoding"):
        lw.fit(path, target="y")
    fit = lw.fit(path, target="y", encoding=encoding)
    assert fit.names[0] == "größe"
    assert fit.tally.read == 30
    assert_plane(fit)


def test_an_encoding_that_nobody_knows_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    with refused(LeastwiseError, "'klingon'", "no encoding"):
        lw.fit(written(tmp_path / "d.csv", table()), target="y", encoding="klingon")


def test_a_late_letter_of_another_encoding_is_told_as_such(tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{i % 89},{(i * 7) % 11}\n" for i in range(150_000))
    path = written(tmp_path / "d.csv", ("a,b,y\n" + rows).encode() + "é,2,3\n".encode("latin-1"))
    with refused(ParseError, str(path), "utf-8", "--encoding"):
        lw.fit(path, target="y")


def test_true_and_false_are_numbers_in_a_text_file(tmp_path: Path) -> None:
    flags = np.arange(N) % 3 == 0
    for words in (("false", "true"), ("False", "TRUE")):
        rows = "".join(f"{words[int(f)]},{i},{2.0 * f + i}\n" for i, f in enumerate(flags))
        path = written(tmp_path / "d.csv", "a,b,y\n" + rows)
        fit = lw.fit(path, target="y")
        assert fit.names == ("a", "b")
        assert np.allclose(fit.coef, [2, 1])
        assert np.allclose(fit.predict(path), 2.0 * flags + np.arange(N))


def test_a_true_or_false_target_is_a_number(tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"{i},{'true' if i > 9 else 'false'}\n" for i in range(20))
    assert lw.fit(written(tmp_path / "d.csv", text), target="y").coef[0] > 0


@pytest.mark.parametrize("cell", ["+5", " 5", "5 ", "5e0", "1e-400"])
def test_numbers_however_written_are_numbers(cell: str, tmp_path: Path) -> None:
    assert lw.fit(written(tmp_path / "d.csv", with_cell(cell)), target="y").names == ("a",)


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e400", "Infinity"])
def test_infinite_cells_of_a_text_file_are_refused(cell: str, tmp_path: Path) -> None:
    with refused(MissingError, "'a'", "1 infinite value in 20 rows", "row 6"):
        lw.fit(written(tmp_path / "d.csv", with_cell(cell)), target="y", missing="drop")


@pytest.mark.parametrize("cell", ["", "NA", "NaN", "null", "n/a"])
def test_the_usual_words_for_nothing_are_missing_cells(cell: str, tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", with_cell(cell))
    with refused(MissingError, "'a'", "1 missing value in 20 rows", "row 6"):
        lw.fit(path, target="y")
    assert lw.fit(path, target="y", missing="drop").tally.dropped == {"'a' missing": 1}


@pytest.mark.parametrize("cell", ['""', '"NA"'])
def test_a_quoted_nothing_among_numbers_is_told_with_its_row(cell: str, tmp_path: Path) -> None:
    with refused(DataError, "'a'", "row 6"):
        lw.fit(written(tmp_path / "d.csv", with_cell(cell)), target="y")


def test_a_column_empty_in_the_first_megabyte_may_have_numbers_later(tmp_path: Path) -> None:
    filler = "x" * 300
    rows = [f",{filler},{i % 89},{(i * 7) % 11}\n" for i in range(4_000)]
    rows += [f"{i % 5}.5,{filler},{i % 89},{(i * 7) % 11}\n" for i in range(100)]
    path = written(tmp_path / "d.csv", "a,t,b,y\n" + "".join(rows))
    fit = lw.fit(path, target="y", drop="t", missing="drop")
    assert (fit.tally.read, fit.tally.used) == (4_100, 100)


def test_integers_first_and_decimals_later_are_decimals(tmp_path: Path) -> None:
    values = np.r_[np.arange(150_000) % 97, np.arange(10) + 0.5]
    path = written(tmp_path / "d.csv", "a,y\n" + "".join(f"{v:g},{3 + 2 * v:g}\n" for v in values))
    fit = lw.fit(path, target="y")
    assert fit.tally.read == 150_010
    assert fit.coef[0] == pytest.approx(2, rel=1e-9)


def test_odd_column_names_are_names(tmp_path: Path) -> None:
    names = ["=x", '"a,b"', "__index__", "größe 🧬", "prediction"]
    values = np.random.default_rng(3).normal(size=(N, 6)).round(4)
    text = ",".join([*names, "y"]) + "\n" + "".join(",".join(map(str, v)) + "\n" for v in values)
    fit = lw.fit(written(tmp_path / "d.csv", text), target="y")
    assert fit.names == ("=x", "a,b", "__index__", "größe 🧬", "prediction")


# ---- text files: what is refused ----


def late(row: int, line: str, n: int = 150_010) -> str:
    rows = [f"{i % 97},{(i * i) % 89},{(i * 7) % 11}\n" for i in range(n)]
    rows[row - 1] = line
    return "a,b,y\n" + "".join(rows)


def test_a_text_among_numbers_at_row_150001_is_told_with_row_line_column_and_text(tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", late(150_001, "oops,2,3\n"))
    with refused(ParseError, str(path), "'a'", "row 150,001", "line 150,002", "'oops'", "1 cell"):
        lw.fit(path, target="y")


def test_the_first_ten_bad_cells_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    cells = [f"bad{i}" if 200 <= i < 212 else str(i) for i in range(1_000)]
    with refused(ParseError, "12 cells", "row 201", "'bad209'", "and 2 more"):
        lw.fit(written(tmp_path / "d.csv", column(cells)), target="y")


def test_a_short_row_and_a_long_row_are_told_with_row_line_and_cells(tmp_path: Path) -> None:
    with refused(ParseError, "row 150,001 (line 150,002)", "2 cells", "other than 3 cells"):
        lw.fit(written(tmp_path / "short.csv", late(150_001, "2,3\n")), target="y")
    with refused(ParseError, "row 31 (line 32)", "4 cells"):
        lw.fit(written(tmp_path / "long.csv", table() + "1,2,3,4\n"), target="y")
    with refused(ParseError, "row 31 (line 32)", "1 cell"):
        lw.fit(written(tmp_path / "blank.csv", table() + "   \n"), target="y")
    with refused(ParseError, "row 31 (line 32)", "2 cells"):
        lw.fit(written(tmp_path / "cut.csv", table() + "1.2,0.3"), target="y")


def quoted(*changes: tuple[int, str]) -> str:
    lines = [f"u{i % 3},{i % 7},{(i * 7) % 11}\n" for i in range(1_000)]
    for row, line in changes:
        lines[row - 1] = line
    return "t,a,y\n" + "".join(lines)


@pytest.mark.parametrize("unused", [True, False])
@pytest.mark.parametrize("second", [101, 102, 900])
def test_balanced_quotes_that_swallow_rows_are_found_in_any_column(
    second: int, unused: bool, tmp_path: Path
) -> None:
    path = written(tmp_path / "d.csv", quoted((100, '"u1,2,3\n'), (second, 'u2",2,3\n')))
    with refused(ParseError, str(path), "row 100 (line 101)", f"{second - 99} lines"):
        lw.fit(path, target="y", drop="t" if unused else ())


@pytest.mark.parametrize("unused", [True, False])
def test_a_quote_that_is_never_closed_is_found_in_any_column(unused: bool, tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", quoted((500, '"u1,2,3\n')))
    with refused(ParseError, str(path), "row 500 (line 501)", "quote"):
        lw.fit(path, target="y", drop="t" if unused else ())


def test_a_quote_left_open_in_the_header_is_told_as_the_header(tmp_path: Path) -> None:
    with refused(ParseError, "header"):
        lw.fit(written(tmp_path / "d.csv", '"a,b,y\n1,2,3\n4,5,6\n'), target="y")


def test_quotes_inside_a_cell_and_around_commas_lose_no_row(tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", quoted((100, '5" pipe,2,3\n'), (200, '"u1, x",2,3\n')))
    fit = lw.fit(path, target="y")
    assert fit.tally.read == 1_000
    assert "t=u1, x" in fit.names


def test_line_ends_inside_quotes_are_read_where_they_are_declared(tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", 't,a,y\n"u\nv",1,2\nw,2,3\nw,3,5\n')
    assert lw.fit(path, target="y", multiline=True).tally.read == 3
    path = written(tmp_path / "h.csv", '"a\nx",y\n1,2\n2,3\n3,5\n')
    assert lw.fit(path, target="y", multiline=True).names == ("a\nx",)


def test_a_very_long_cell_is_read_or_told_but_not_called_an_open_quote(tmp_path: Path) -> None:
    text = "t,a,y\n" + "u,1,2\nv,2,4\nw,3,7\n" + "u" * 200_000 + ",4,9\n"
    fit = lw.fit(written(tmp_path / "d.csv", text), target="y", drop="t")
    assert fit.tally.read == 4
    with pytest.raises(ParseError) as caught:
        lw.fit(written(tmp_path / "d.csv", text + "u,oops,2\n"), target="y", drop="t")
    assert "'oops'" in str(caught.value)


@pytest.mark.parametrize("line", ["1,2,3", "1.5,-2,3e4", "1,nan,3", "1,,3", "1,NA,3"])
def test_a_first_line_of_numbers_is_no_header(line: str, tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", line + "\n4,5,6.5\n2,2,2\n7,1,3\n")
    with refused(ParseError, str(path), "no header", "--columns", "3 names"):
        lw.fit(path, target="y")
    fit = lw.fit(path, target="y", columns=["a", "b", "y"], missing="drop")
    assert fit.tally.read == 4


def test_names_for_a_file_that_has_a_header_say_so(tmp_path: Path) -> None:
    with refused(DataError, "header"):
        lw.fit(written(tmp_path / "d.csv", table()), target="y", columns=["a", "b", "y"])


def test_names_as_one_text_are_not_taken_letter_by_letter(tmp_path: Path) -> None:
    with refused(UsageError, "columns"):
        lw.fit(written(tmp_path / "d.csv", "1,2,3\n4,5,7\n"), target="y", columns="a,b,y")


@pytest.mark.parametrize("names", [["a", "y"], ["a", "b", "c", "y"]])
def test_too_few_or_too_many_names_are_refused(names: list[str], tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", "1,2,3\n4,5,7\n2,2,2\n")
    with refused(ParseError, f"{len(names)} cells", "row 1 (line 1)", "3 cells"):
        lw.fit(path, target="y", columns=names)


def test_a_doubled_name_in_a_header_is_refused(tmp_path: Path) -> None:
    with refused(ColumnError, "'a'", "more than one"):
        lw.fit(written(tmp_path / "d.csv", table(head="a,a,y")), target="y")


@pytest.mark.parametrize("cells", ["one", "all"])
def test_a_decimal_comma_gets_a_hint(cells: str, tmp_path: Path) -> None:
    odd = {"one": [7], "all": range(30)}[cells]
    text = "a;y\n" + "".join(f"{f'1.{i + 100},5' if i in odd else i};{(i * i) % 7}\n" for i in range(30))
    with refused(
        DataError, "'a'", "decimal comma", f"{len(odd)} cell", "1.107,5" if cells == "one" else "1.100,5"
    ):
        lw.fit(written(tmp_path / "d.csv", text), target="y")


def test_a_decimal_comma_in_the_target_is_not_told_to_become_categorical(tmp_path: Path) -> None:
    text = "a;y\n" + "".join(f"{i};{(i * i) % 7},5\n" for i in range(20))
    with pytest.raises(DataError) as caught:
        lw.fit(written(tmp_path / "d.csv", text), target="y")
    assert "decimal comma" in str(caught.value)
    assert "row 1" in str(caught.value)
    assert "categorical" not in str(caught.value)


@pytest.mark.parametrize("cell", ["-", "?", "1_000", "0x1F", "1d5", "TRUE"])
def test_a_cell_that_is_no_number_is_shown_with_its_row(cell: str, tmp_path: Path) -> None:
    with refused(ParseError, "'a'", f"row 6 (line 7): {cell!r}", "1 cell"):
        lw.fit(written(tmp_path / "d.csv", with_cell(cell)), target="y")


def test_a_number_column_with_few_values_and_odd_marks_is_not_taken_for_levels(tmp_path: Path) -> None:
    cells = ["?" if i in (15, 17) else str(i % 4) for i in range(200)]
    with refused(DataError, "'a'", "'?'", "categorical=['a']"):
        lw.fit(written(tmp_path / "d.csv", column(cells)), target="y")


def test_a_bad_date_among_declared_days_is_told_with_row_and_text(tmp_path: Path) -> None:
    cells = [f"2020-01-{10 + i % 20}" for i in range(30)]
    path = written(tmp_path / "d.csv", column(cells))
    assert lw.fit(path, target="y", dates="days").names == ("a [days]",)
    cells[7] = "2020-01-77"
    with refused(DataError, "'a'", "'2020-01-77'", "row 8"):
        lw.fit(written(tmp_path / "d.csv", column(cells)), target="y", dates="days")


def test_a_bad_date_behind_the_first_megabytes_is_told_with_row_and_text(tmp_path: Path) -> None:
    filler = "x" * 400
    rows = [f"2020-01-{10 + i % 20},{filler},{(i * 7) % 11}\n" for i in range(12_000)]
    rows[11_500] = f"soon,{filler},3\n"
    path = written(tmp_path / "d.csv", "a,t,y\n" + "".join(rows))
    with refused(DataError, "'a'", "'soon'", "row 11,501"):
        lw.fit(path, target="y", dates="days", drop="t")


@pytest.mark.parametrize("content", ["", "\n\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(content: Any, tmp_path: Path) -> None:
    with refused(DataError, "d.csv", "is empty"):
        lw.fit(written(tmp_path / "d.csv", content), target="y")


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_header_without_rows_is_refused(end: str, tmp_path: Path) -> None:
    with refused(DataError, "d.csv", "no rows"):
        lw.fit(written(tmp_path / "d.csv", "a,b,y" + end), target="y")


def test_a_file_of_one_row_or_one_column_is_refused(tmp_path: Path) -> None:
    with refused(DataError, "1 row"):
        lw.fit(written(tmp_path / "d.csv", "a,b,y\n1,2,3\n"), target="y")
    with refused(ColumnError, "no feature"):
        lw.fit(written(tmp_path / "d.csv", "y\n1\n2\n3\n"), target="y")
