"""Rows: every source gives the same rows, in bounded memory, and none is lost."""

from __future__ import annotations

import gzip
import operator

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch

import leastwise as lw
from leastwise.look import Look, look
from leastwise.moments import Moments
from leastwise.rows import open_rows
from leastwise.rows.memory import ArrayRows

N = 500


@pytest.fixture
def data():
    r = np.random.default_rng(9)
    x, site = r.normal(size=N), r.choice(["u", "v"], N)
    y = 2 * x + 1 + r.normal(size=N)
    return pd.DataFrame({"a": x, "b": r.integers(0, 9, N), "site": site, "y": y})


def count(rows, **options):
    return rows.reduce(lambda slab: slab.n, operator.add, 0, **options)


def sources(data, folder):
    data.to_csv(folder / "d.csv", index=False)
    data.to_csv(folder / "d.csv.gz", index=False)
    data.to_csv(folder / "d.tsv", index=False, sep="\t")
    data.to_csv(folder / "d.txt", index=False, sep=";")
    data.to_parquet(folder / "d.parquet", row_group_size=77)
    parts = folder / "parts"
    parts.mkdir()
    for i in range(0, N, 120):
        data[i : i + 120].to_parquet(parts / f"{i}.parquet")
    table = pa.Table.from_pandas(data)
    yield from (folder / n for n in ("d.csv", "d.csv.gz", "d.tsv", "d.txt", "d.parquet", "parts"))
    yield from (str(folder / "d.csv"), [str(p) for p in sorted(parts.iterdir(), key=lambda p: int(p.stem))])
    yield from (data, pl.from_pandas(data), table)


def test_every_source_gives_the_same_fit(data, tmp_path):
    truth = lw.fit(data, "y")
    for source in sources(data, tmp_path):
        fit = lw.fit(source, "y")
        assert fit.tally.read == fit.tally.used == N
        np.testing.assert_allclose(fit.coef, truth.coef, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(fit.validation.rmse, truth.validation.rmse, rtol=1e-11)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_arrays_and_tensors_come_back_as_what_they_were(data, make):
    X, y = data[["a", "b"]].to_numpy().copy(), data["y"].to_numpy().copy()
    fit = lw.fit((make(X), make(y)))
    assert type(fit.coef) is type(make(X))
    assert type(fit.predict(make(X))) is type(make(X))
    residual = np.asarray(fit.predict(make(X))) - y
    np.testing.assert_allclose(residual @ np.column_stack([X, np.ones(N)]), 0, atol=1e-9)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_short_floats_are_accepted_and_added_up_in_float64(kind):
    X = torch.as_tensor(np.random.default_rng(0).normal(size=(300, 2))).to(kind).requires_grad_()
    y = X.detach().double() @ torch.tensor([1.0, -1.0], dtype=torch.float64)
    np.testing.assert_allclose(lw.fit((X, y)).coef.numpy(), [1, -1], atol=1e-12)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_come_back_in_the_library_they_came_in(data, library):
    source = {"pandas": data, "polars": pl.from_pandas(data), "pyarrow": pa.Table.from_pandas(data)}[
        library
    ]
    fit = lw.fit(source, "y")
    for made in (fit.tidy(), fit.glance(), fit.augment(source)):
        assert type(made) is type(source)


def test_a_frame_and_its_target_beside_it(data):
    X, y = data[["a", "b"]], data["y"]
    fit = lw.fit((X, y))
    assert fit.recipe.target == ("y",)
    assert fit.names == ("a", "b")
    np.testing.assert_allclose(fit.coef, lw.fit(data[["a", "b", "y"]], "y").coef, rtol=1e-12)
    with pytest.raises(lw.errors.DataError, match="index of X is not the index of y"):
        lw.fit((X, y.sample(frac=1, random_state=0)))


def test_a_stream_is_read_once_and_whole(data):
    table = pa.Table.from_pandas(data[["a", "b", "y"]])
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=33))
    fit = lw.fit(stream, "y")
    assert fit.tally.read == N
    np.testing.assert_allclose(fit.coef, lw.fit(table, "y").coef, rtol=1e-12)
    with pytest.raises(lw.errors.UsageError, match="cannot be read again"):
        _ = fit.validation.mae
    assert "would take a second pass" in fit.summary()


# ---- one law for every triple (step, merge, empty) that runs over rows ----


def numeric(slab):
    X = slab.matrix(("a", "b"))
    return Moments.of_rows(("a",), ("b",), X[:, :1], X[:, 1:], None, np.zeros(2))


KINDS = {"a": "number", "site": "text"}
TRIPLES = {
    "count": (lambda slab: slab.n, operator.add, 0),
    "moments": (numeric, operator.add, Moments.empty(("a",), ("b",))),
    "look": (lambda slab: Look.at(slab, KINDS), operator.add, Look()),
}


def seen(state):
    """A look as plain values: counts of texts in no order."""
    if not isinstance(state, Look):
        return state
    return state.n, {name: (c.missing, c.infinite, dict(c.texts)) for name, c in state.columns.items()}


@pytest.mark.parametrize("triple", TRIPLES.values(), ids=TRIPLES)
def test_any_split_any_order_and_empty_parts_give_the_same(data, triple):
    step, merge, empty = triple
    whole = open_rows(data).reduce(step, merge, empty)
    r = np.random.default_rng(4)
    for _ in range(5):
        cuts = sorted(r.integers(0, N + 1, 6))
        parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, N], strict=True)]
        states = [open_rows(p).reduce(step, merge, empty) for p in parts] + [empty, merge(empty, empty)]
        total = empty
        for i in r.permutation(len(states)):
            total = merge(total, states[i])
        assert seen(total) == seen(whole)


def test_the_number_of_threads_does_not_change_a_bit(data, tmp_path, monkeypatch):
    r = np.random.default_rng(0)
    X = r.normal(size=(60_000, 40))
    y = r.normal(size=60_000)
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("LEASTWISE_THREADS", threads)
        found.append(lw.condense((X, y)).whole.cross)
    np.testing.assert_array_equal(found[0], found[1])


def test_progress_counts_every_row():
    X = np.random.default_rng(0).normal(size=(100_000, 30))
    told = []
    y = X[:, 0] + np.random.default_rng(1).normal(size=100_000)
    lw.fit((X, y), progress=lambda done, total: told.append((done, total)), folds=0)
    assert told[-1] == (100_000, 100_000)
    assert len(told) > 1
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_slabs_of_arrays_are_views():
    rows = ArrayRows(np.zeros((100_000, 30)), tuple(f"x{j}" for j in range(30)), "X")
    for slab in rows.slabs():
        assert slab.matrix(rows.names).base is rows.values


# ---- text files ----


def written(path, lines, encoding="utf-8"):
    path.write_text("\n".join(lines), encoding=encoding)
    return path


def test_the_delimiter_is_found_and_told(tmp_path):
    path = written(tmp_path / "a.csv", ["x;y", *(f"{i};{2 * i}" for i in range(20))])
    rows = open_rows(path)
    assert rows.names == ("x", "y")
    assert rows.notes == ("a.csv: delimiter semicolon",)


def test_a_file_without_a_header_needs_names(tmp_path):
    path = written(tmp_path / "a.csv", [f"{i},{i * i}" for i in range(20)])
    with pytest.raises(lw.errors.ParseError, match=r"first line .* all numbers \(0,0\).*--columns a,b"):
        open_rows(path)
    assert count(open_rows(path, columns=["x", "y"])) == 20


def csv_lines(n=200_000):
    return ["x,y,t", *(f"{i},{i}.5,w" for i in range(n))]


def test_a_text_among_numbers_is_named_with_row_and_line(tmp_path):
    lines = csv_lines()
    lines[150_001] = "abc,1.5,w"
    path = written(tmp_path / "a.csv", lines)
    message = r"column 'x' is numeric, but 1 cell of it is not: row 150,001 \(line 150,002\): 'abc'"
    with pytest.raises(lw.errors.ParseError, match=message):
        lw.fit(path, "y")


def test_a_short_row_is_named(tmp_path):
    lines = csv_lines()
    lines[150_001] = "7,1.5"
    path = written(tmp_path / "a.csv", lines)
    message = r"1 row of other than 3 cells: row 150,001 \(line 150,002\): 2 cells"
    with pytest.raises(lw.errors.ParseError, match=message):
        lw.fit(path, "y")


@pytest.mark.parametrize("closing", [None, 150_100, 200_000])
def test_an_open_quote_swallows_no_row(tmp_path, closing):
    lines = csv_lines()
    lines[150_001] = '7,1.5,"w'
    if closing:
        lines[closing] = '8,1.5,w"'
    path = written(tmp_path / "a.csv", lines)
    with pytest.raises(lw.errors.ParseError, match="150,001"):
        lw.fit(path, "y", features=["x"])


def test_only_the_first_ten_faults_are_shown_and_all_counted(tmp_path):
    lines = csv_lines(300_000)
    for i in range(30):
        lines[200_000 + i] = f"bad{i},1.5,w"
    path = written(tmp_path / "a.csv", lines)
    with pytest.raises(lw.errors.ParseError, match=r"30 cells .*'bad9'; and 20 more") as caught:
        lw.fit(path, "y")
    assert "bad10" not in str(caught.value)


def test_a_truncated_archive_is_refused(tmp_path):
    packed = gzip.compress("\n".join(csv_lines()).encode())
    path = tmp_path / "a.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(lw.errors.ParseError, match=r"a\.csv\.gz"):
        lw.fit(path, "y")


def test_a_truncated_parquet_is_refused(data, tmp_path):
    path = tmp_path / "a.parquet"
    data.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(lw.errors.ParseError, match="no whole Parquet file"):
        lw.fit(path, "y")


def test_another_encoding_is_told_which_was_tried(tmp_path):
    path = written(tmp_path / "a.csv", ["x,y,t", *(f"{i},{i},é" for i in range(30))], encoding="latin-1")
    with pytest.raises(lw.errors.ParseError, match=r"not utf-8 text.*encoding='latin-1'"):
        lw.fit(path, "y")
    assert lw.fit(path, "y", encoding="latin-1").tally.read == 30


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "{end}", "{end}{end}{end}"])
def test_line_ends_and_blank_lines_do_not_matter(tmp_path, end, tail):
    path = tmp_path / "a.csv"
    path.write_bytes((end.join(["x,y", *(f"{i},{i}" for i in range(30))]) + tail.format(end=end)).encode())
    assert count(open_rows(path)) == 30


def test_line_ends_inside_cells_are_taken_when_they_are_meant(tmp_path):
    lines = ["x,y,t", *(f'{i},{i},"two\nlines"' for i in range(30))]
    path = written(tmp_path / "a.csv", lines)
    with pytest.raises(lw.errors.ParseError, match="30 quoted cells with line ends inside"):
        lw.fit(path, "y", features=["x"])
    assert lw.fit(path, "y", features=["x"], multiline=True).tally.read == 30


def test_numbers_that_begin_late_or_turn_to_decimals_are_numbers(tmp_path):
    lines = ["x,z,y", *(f"{i},,{i}" for i in range(200_000)), "1.5,2.5,3"]
    path = written(tmp_path / "a.csv", lines)
    seen_ = look(open_rows(path), {"x": "number", "z": "number"})
    assert seen_.n == 200_001
    assert seen_.columns["z"].missing == 200_000


def test_an_option_that_does_not_apply_is_an_error(data, tmp_path):
    data.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(lw.errors.UsageError, match="no use for delimiter=';'"):
        open_rows(tmp_path / "a.parquet", delimiter=";")


def test_only_the_columns_that_are_wanted_are_read(data, tmp_path):
    data.to_parquet(tmp_path / "a.parquet")
    (slab,) = open_rows(tmp_path / "a.parquet").slabs({"b": "number"})
    assert slab.table().schema.names == ["b"]
    assert pq.read_metadata(tmp_path / "a.parquet").num_rows == slab.n


# ---- FASTA ----

FASTA = """>P1 TARGET=50.5 SET=train
MVLSP
AD
>P2 TARGET=41 SET=test

MKVLA*
>P3 TARGET=44.25 SET=train
ACDEF
"""


def test_fasta_gives_ids_sequences_and_what_headers_say(tmp_path):
    path = tmp_path / "a.fasta"
    path.write_text(FASTA)
    (slab,) = open_rows(path).slabs()
    table = slab.table().to_pydict()
    assert table["id"] == ["P1", "P2", "P3"]
    assert table["sequence"] == ["MVLSPAD", "MKVLA*", "ACDEF"]
    assert table["TARGET"] == [50.5, 41.0, 44.25]
    assert table["SET"] == ["train", "test", "train"]


def test_fasta_is_joined_to_a_table_of_labels_by_id(tmp_path):
    path = tmp_path / "a.fasta"
    path.write_text(FASTA)
    (tmp_path / "l.csv").write_text("id,tm\nP3,3\nP1,1\nP9,9\n")
    (slab,) = open_rows(path, labels=tmp_path / "l.csv").slabs()
    assert slab.table().to_pydict()["tm"] == [1.0, None, 3.0]
    (tmp_path / "l.csv").write_text("id,tm\nX3,3\nX1,1\n")
    with pytest.raises(lw.errors.DataError, match=r"No id of .*first id here: 'P1', there: 'X3'"):
        list(open_rows(path, labels=tmp_path / "l.csv").slabs())


def test_text_before_the_first_header_is_no_fasta(tmp_path):
    path = tmp_path / "a.fasta"
    path.write_text("id,sequence\nP1,MVL\n")
    with pytest.raises(lw.errors.ParseError, match=r"line 1.*FASTA begins with '>'"):
        open_rows(path)
