"""Bad data frames and streams: a clear error with values, or the right answer."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from bad import N, assert_plane, cycled, frame, pandas_frame, plane, refused

import leastwise as lw
from leastwise.errors import (
    ColumnError,
    DataError,
    KindError,
    LeastwiseError,
    MissingError,
    UsageError,
)

# ---- pandas ----


def test_a_frame_whose_index_is_not_that_of_y_is_refused() -> None:
    data = pandas_frame()
    shuffled = data.sample(frac=1, random_state=0)
    for y in (shuffled["y"], shuffled[["y"]]):
        with refused(DataError, "index"):
            lw.fit((data[["a", "b"]], y))
    moved = data.set_index(np.arange(N) + 7)
    assert_plane(lw.fit((moved[["a", "b"]], moved["y"])))


def test_whole_numbers_as_column_names_are_names() -> None:
    X, y = plane()
    fit = lw.fit(pd.DataFrame(np.c_[X, y]), target="2")
    assert fit.names == ("0", "1")
    assert_plane(fit)
    assert_plane(lw.fit((pd.DataFrame(X), y)))
    assert lw.fit((pd.DataFrame(X), pd.DataFrame(y[:, None], columns=[5]))).recipe.target == ("5",)


def test_columns_of_several_levels_are_refused() -> None:
    data = pandas_frame()
    data.columns = pd.MultiIndex.from_tuples([("u", "a"), ("u", "b"), ("v", "y")])
    with refused(ColumnError, "levels"):
        lw.fit(data, target="('v', 'y')")


def test_a_name_that_is_no_text_is_refused_or_used_but_no_foreign_error() -> None:
    data = pandas_frame().rename(columns={"a": None})
    with refused(ColumnError, "name"):
        lw.fit(data, target="y")


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_two_columns_of_one_name_are_refused(kind: str) -> None:
    X, y = plane()
    data: Any = pd.DataFrame(np.c_[X, y], columns=["a", "a", "y"])
    if kind == "arrow":
        data = pa.Table.from_arrays([pa.array(c) for c in np.c_[X, y].T], names=["a", "a", "y"])
    with refused(ColumnError, "'a'", "more than one"):
        lw.fit(data, target="y")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(cycled(1, "x", None, 2.5), id="mixed"),
        pytest.param(cycled([1, 2]), id="lists"),
        pytest.param(cycled(1 + 2j), id="complex"),
        pytest.param(pd.interval_range(0, N), id="intervals"),
        pytest.param(pd.period_range("2020", periods=N, freq="D"), id="periods"),
        pytest.param(pd.to_timedelta(np.arange(N), unit="D"), id="durations"),
    ],
)
def test_a_column_of_no_numbers_is_refused_by_name_with_the_way_to_leave_it_out(values: Any) -> None:
    data = pandas_frame(a=values)
    with refused(LeastwiseError, "'a'", "drop=['a']"):
        lw.fit(data, target="y")
    assert lw.fit(data, target="y", drop="a").tally.used == N


@pytest.mark.parametrize("kind", ["Int64", "boolean", "int64[pyarrow]", "double[pyarrow]", "bool[pyarrow]"])
def test_nullable_columns_have_missing_cells_not_zeros(kind: str) -> None:
    data = pandas_frame(a=pd.array(cycled(1, 0, None, 1), dtype=kind))
    with refused(MissingError, "'a'", "10 missing values", "row 3"):
        lw.fit(data, target="y")
    assert lw.fit(data, target="y", missing="drop").tally.dropped == {"'a' missing": 10}
    assert lw.fit(data, target="y", missing="mean").tally.used == N


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(pd.Categorical(cycled("u", "v", None, "w")), id="categorical"),
        pytest.param(pd.array(cycled("u", "v", None, "w"), dtype="string"), id="string"),
        pytest.param(pd.array(cycled("u", "v", None, "w"), dtype="string[pyarrow]"), id="arrow"),
    ],
)
def test_missing_texts_are_counted_dropped_or_a_level_of_their_own(values: Any) -> None:
    data = pandas_frame(t=values)
    with refused(MissingError, "'t'", "10 missing values", "row 3"):
        lw.fit(data, target="y")
    dropped = lw.fit(data, target="y", missing="drop")
    assert dropped.tally.dropped == {"'t' missing": 10}
    assert dropped.names[-2:] == ("t=v", "t=w")
    kept = lw.fit(data, target="y", missing="mean")
    assert kept.tally.used == N
    assert "t=(missing)" in kept.names


def test_a_categorical_of_numbers_is_not_guessed_at() -> None:
    data = pandas_frame(a=pd.Categorical(cycled(1, 2, 3)))
    with refused(ColumnError, "'a'", "categorical=['a']"):
        lw.fit(data, target="y")
    assert lw.fit(data, target="y", categorical="a").names == ("a=2", "a=3", "b")


def test_sparse_columns_are_numbers_or_told() -> None:
    data = pandas_frame()
    data["a"] = pd.arrays.SparseArray(data["a"].to_numpy())
    with refused(LeastwiseError, "'a'", "sparse"):
        lw.fit(data, target="y")


@pytest.mark.parametrize("rows", [0, 1])
def test_a_frame_of_no_rows_or_one_is_refused(rows: int) -> None:
    with refused(DataError, "rows" if rows == 0 else "1 row"):
        lw.fit(pandas_frame().iloc[:rows], target="y")
    with refused(DataError, "rows" if rows == 0 else "1 row"):
        lw.fit(pandas_frame(t=cycled("u", "v")).iloc[:rows], target="y")


# ---- Polars and Arrow ----


@pytest.mark.parametrize("kind", [pl.List(pl.Float64), pl.Struct({"q": pl.Int64}), pl.Binary, pl.Object])
def test_nested_columns_are_refused_by_name_unless_left_out(kind: Any) -> None:
    value: Any = {pl.Binary: b"1", pl.Object: object()}.get(kind, [1.0] if kind == pl.List else {"q": 1})
    data = frame().with_columns(q=pl.Series([value] * N, dtype=kind))
    with refused(KindError, "'q'", "drop=['q']"):
        lw.fit(data, target="y")
    assert_plane(lw.fit(data, target="y", drop="q"))


@pytest.mark.parametrize("role", ["group", "categorical"])
def test_nested_columns_are_refused_in_every_role(role: str) -> None:
    data = frame().with_columns(q=pl.Series([[1, 2]] * N))
    with refused(LeastwiseError, "'q'"):
        lw.fit(data, target="y", **{role: "q"})


def test_a_column_of_nothing_is_all_missing() -> None:
    data = frame().with_columns(a=pl.Series([None] * N))
    with refused(MissingError, "'a'", "40 missing values", "row 1"):
        lw.fit(data, target="y")
    with refused(DataError, "No row of 40 is left", "'a' missing"):
        lw.fit(data, target="y", missing="drop")
    assert lw.fit(data, target="y", missing="mean").tally.used == N


def test_decimals_are_numbers_and_their_gaps_are_gaps() -> None:
    data = frame().with_columns(a=pl.Series(cycled(Decimal("1.25"), Decimal("2"), None, Decimal("3.5"))))
    with refused(MissingError, "'a'", "10 missing values", "row 3"):
        lw.fit(data, target="y")
    assert lw.fit(data, target="y", missing="drop").tally.used == 30


def test_a_lazy_frame_is_told_to_be_collected() -> None:
    with refused(KindError, "LazyFrame", "collect()"):
        lw.fit(frame().lazy(), target="y")


def test_dates_are_refused_unless_declared_and_then_counted_in_days() -> None:
    days = np.arange(N)
    data = pl.DataFrame({"d": days.astype("M8[D]"), "y": days * 2.0 + (days % 3)})
    with refused(KindError, "'d'", "dates='days'", "--dates days"):
        lw.fit(data, target="y")
    assert lw.fit(data, target="y", dates="days").names == ("d [days]",)


def test_a_missing_date_is_told_with_column_row_and_count() -> None:
    days = pl.Series("d", np.arange(N).astype("M8[D]")).scatter([4, 9], None)
    data = frame().with_columns(d=days)
    with refused(MissingError, "'d", "2 missing values", "row 5"):
        lw.fit(data, target="y", dates="days")
    assert sum(lw.fit(data, target="y", dates="days", missing="drop").tally.dropped.values()) == 2


def test_a_duration_is_not_told_to_be_declared_as_days_in_vain() -> None:
    data = pandas_frame(a=pd.to_timedelta(np.arange(N), unit="D"))
    with refused(KindError, "'a'"):
        lw.fit(data, target="y", dates="days")
    with pytest.raises(KindError) as caught:
        lw.fit(data, target="y")
    assert "dates='days'" not in str(caught.value)


def stream(data: pl.DataFrame, rows: int = 7) -> pa.RecordBatchReader:
    arrow = data.to_arrow()
    return pa.RecordBatchReader.from_batches(arrow.schema, arrow.to_batches(max_chunksize=rows))


def test_a_stream_is_read_once_whatever_its_batches() -> None:
    fit = lw.fit(stream(frame()), target="y")
    assert_plane(fit)
    assert fit.tally.read == N
    empty = frame().to_arrow().to_batches()[0]
    batches = pa.RecordBatchReader.from_batches(empty.schema, [empty[:0], empty])
    assert lw.fit(batches, target="y").tally.read == N


def test_a_stream_used_twice_says_that_it_is_used_up() -> None:
    reader = stream(frame())
    lw.fit(reader, target="y")
    with refused(DataError, "once"):
        lw.fit(reader, target="y")


def test_what_must_be_looked_at_first_is_refused_in_a_stream() -> None:
    with refused(UsageError, "once", "'a' and 'b'"):
        lw.fit(stream(frame()), target="y", missing="mean")
    data = frame(t=cycled("u", "v"))
    with refused(UsageError, "once", "'t'", "levels="):
        lw.fit(stream(data), target="y")
    assert lw.fit(stream(data), target="y", levels={"t": ["u", "v"]}).names[-1] == "t=v"


@pytest.mark.parametrize(("value", "what"), [(None, "missing"), (float("inf"), "infinite")])
def test_a_bad_value_in_a_stream_is_told_with_column_and_row(value: float | None, what: str) -> None:
    data = frame().with_columns(a=pl.Series([value if i == 30 else 1.0 * i for i in range(N)]))
    with refused(MissingError, "'a'", what, "row 31"):
        lw.fit(stream(data), target="y")


def test_a_stream_that_breaks_off_is_told() -> None:
    batch = frame().to_arrow().to_batches()[0]

    def batches() -> Iterator[pa.RecordBatch]:
        yield batch
        raise RuntimeError("connection lost")

    with refused(DataError, "connection lost"):
        lw.fit(pa.RecordBatchReader.from_batches(batch.schema, batches()), target="y")
