"""Bad input: an error that names row, column, count and text and says what to do, or the right answer.

Never a foreign exception, never a lost row, never a half-written file. Tests of one source stand
together: arrays, tensors, frames, streams, text files, several files, roles and options, new data,
the command line, model files. `refused` holds the words that a message owes to its reader.
"""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse
import torch
from click.testing import CliRunner

import leastwise as lw
from leastwise.cli import main
from leastwise.errors import (
    ColumnError,
    DataError,
    KindError,
    LeastwiseError,
    MissingError,
    ParseError,
    StoreError,
    UsageError,
)

N = 40
FOREIGN = ("In CSV column", "narwhals", "Errno", "could not be read as a table", "large_string", "dtype(")


@contextmanager
def refused(kind: type[LeastwiseError], *words: str) -> Iterator[None]:
    """An error of this kind whose message has all the words, none of another library's, and an end."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"
    for word in FOREIGN:
        assert word not in message, f"{word!r} is in: {message}"
    assert message.rstrip("?").rstrip(".") != message, f"no sentence: {message}"


def plane(n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`X` (n, 2) and `y` = 3 + a + 2 b, exactly enough to know the answer."""
    X = np.random.default_rng(seed).normal(size=(n, 2)).round(3)
    return X, X @ [1.0, 2.0] + 3


def frame(**columns: Any) -> pl.DataFrame:
    X, y = plane()
    return pl.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns, "y": y})


def pandas_frame(**columns: Any) -> pd.DataFrame:
    X, y = plane()
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y}).assign(**columns)


def cycled(*values: Any) -> list[Any]:
    return [values[i % len(values)] for i in range(N)]


def table(n: int = 30, *, sep: str = ",", head: str = "a,b,y", end: str = "\n") -> str:
    X, y = plane(n)
    lines = [
        head.replace(",", sep),
        *(sep.join(f"{v:.3f}" for v in (*x, t)) for x, t in zip(X, y, strict=True)),
    ]
    return "".join(line + end for line in lines)


def column(cells: list[str], other: str = "y") -> str:
    """A file of the column `a` with these cells, beside numbers."""
    return f"a,{other}\n" + "".join(f"{cell},{(i * i) % 7}\n" for i, cell in enumerate(cells))


def with_cell(cell: str, row: int = 6, n: int = 20) -> str:
    return column([cell if i + 1 == row else f"{i * 1.5}" for i in range(n)])


def written(path: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def assert_plane(fit: lw.Fit) -> None:
    assert np.allclose(np.ravel(fit.coef), [1, 2], atol=1e-6)
    assert fit.intercept == pytest.approx(3, abs=1e-6)


# ---- arrays ----


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["x1", "y"])
def test_a_value_that_is_not_finite_is_told_with_column_row_and_count(value: float, place: str) -> None:
    X, y = plane()
    (y if place == "y" else X[:, 1])[[7, 9]] = value
    what = "missing" if np.isnan(value) else "infinite"
    with refused(MissingError, f"'{place}'", f"2 {what} values", "40 rows", "row 8"):
        lw.fit((X, y))


@pytest.mark.parametrize("missing", ["drop", "mean"])
@pytest.mark.parametrize("place", ["x1", "y", "w"])
def test_no_policy_takes_an_infinite_value(place: str, missing: str) -> None:
    X, y = plane()
    data = {"x0": X[:, 0], "x1": X[:, 1], "w": np.ones(N), "y": y}
    data[place] = np.where(np.arange(N) == 7, np.inf, data[place])
    with refused(MissingError, f"'{place}'", "1 infinite value", "40 rows", "row 8"):
        lw.fit(pl.DataFrame(data), target="y", weight="w", missing=missing)


@pytest.mark.parametrize(("missing", "used"), [("drop", 37), ("mean", 39)])
def test_rows_read_are_rows_used_and_rows_dropped_under_each_policy(missing: str, used: int) -> None:
    X, y = plane()
    X[[3, 5], 0], y[9] = np.nan, np.nan
    tally = lw.fit((X, y), missing=missing).tally
    assert (tally.read, tally.used) == (N, used)
    assert tally.used + sum(tally.dropped.values()) == tally.read
    assert tally.dropped["'y' missing"] == 1


def test_masked_cells_are_missing_cells() -> None:
    X, y = plane()
    masked = np.ma.masked_array(X, mask=np.zeros(X.shape, bool))
    masked[[4, 6], 1] = np.ma.masked
    with refused(MissingError, "'x1'", "2 missing values", "row 5"):
        lw.fit((masked, y))
    assert lw.fit((masked, y), missing="drop").tally.dropped == {"'x1' missing": 2}


@pytest.mark.parametrize("kind", [str, "S8"])
def test_numbers_written_as_text_in_an_array_are_refused(kind: Any) -> None:
    X, y = plane()
    with refused(KindError, "X is an array of", "Numbers are needed", "astype(float)"):
        lw.fit((X.astype(kind), y))
    with refused(KindError, "y is an array of"):
        lw.fit((X, y.astype(kind)))


def test_an_array_of_mixed_objects_is_refused_with_the_first_odd_value() -> None:
    X, y = plane()
    mixed = X.astype(object)
    mixed[3, 1] = "high"
    with refused(KindError, "'high'"):
        lw.fit((mixed, y))
    with refused(KindError, "None"):
        lw.fit(([[1.0, 2.0], [3.0, None]], [1.0, 2.0]))


def test_complex_numbers_are_refused_on_both_sides() -> None:
    X, y = plane()
    with refused(KindError, "X is complex (complex128)"):
        lw.fit((X + 1j, y))
    with refused(KindError, "y is complex (complex128)"):
        lw.fit((X, y + 1j))


@pytest.mark.parametrize("kind", ["M8[D]", "m8[D]"])
def test_dates_in_an_array_are_refused(kind: str) -> None:
    with refused(KindError, "X holds dates", kind.split("[")[1][:-1]):
        lw.fit((np.arange(N).astype(kind)[:, None], plane()[1]))


def test_a_target_of_shape_n_1_is_one_target() -> None:
    X, y = plane()
    fit = lw.fit((X, y[:, None]))
    assert fit.coef.shape == (2,)
    assert_plane(fit)


@pytest.mark.parametrize("rows", [1, N - 1, N + 1])
def test_mismatched_lengths_are_refused_with_both_counts(rows: int) -> None:
    X, y = plane()
    with refused(DataError, "X has 40 rows", f"y has {rows}"):
        lw.fit((X, np.resize(y, rows)))


@pytest.mark.parametrize("shape", [(20, 2, 2), ()])
def test_other_shapes_than_rows_and_columns_are_refused(shape: tuple[int, ...]) -> None:
    with refused(DataError, str(shape), "(n, p)"):
        lw.fit((np.ones(shape), plane()[1]))
    with refused(DataError, str(shape)):
        lw.fit((plane()[0], np.ones(shape)))


def test_a_ragged_list_is_refused() -> None:
    with refused(LeastwiseError, "X"):
        lw.fit(([[1.0, 2.0], [3.0]], [1.0, 2.0]))


def test_no_rows_and_no_columns_are_refused() -> None:
    with refused(DataError, "no rows"):
        lw.fit((np.zeros((0, 2)), np.zeros(0)))
    with refused(ColumnError, "no feature"):
        lw.fit((np.zeros((5, 0)), np.arange(5.0)))


@pytest.mark.parametrize("value", [1.0, 0.1, 1e9 + 0.1])
def test_a_constant_target_is_refused(value: float) -> None:
    with refused(DataError, "'y'", f"{value:g}", "40 rows"):
        lw.fit((plane()[0], np.full(N, value)))


@pytest.mark.parametrize(
    "kind", [np.int8, np.uint8, np.int16, np.float16, np.float32, ">f8", ">i4", np.longdouble]
)
def test_small_and_foreign_number_types_are_promoted_before_arithmetic(kind: Any) -> None:
    X = (np.random.default_rng(1).random((4_000, 2)) * 120).astype(kind)
    y = X.astype(np.float64) @ [1.0, 2.0] + 3
    assert_plane(lw.fit((X, y)))


def test_boolean_arrays_are_numbers() -> None:
    X = np.random.default_rng(1).random((400, 2)) > 0.5
    assert_plane(lw.fit((X, X @ [1.0, 2.0] + 3)))


def test_integers_above_2_to_53_that_float64_holds_are_used_exactly() -> None:
    steps = np.arange(1_000)
    fit = lw.fit(pl.DataFrame({"a": 2**53 + 2 * steps, "y": steps.astype(float)}), target="y")
    assert fit.coef[0] == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("scale", [1e160, 1e200])
def test_numbers_too_large_to_be_squared_are_refused_by_name(scale: float) -> None:
    X, y = plane()
    with refused(DataError, "'x0'"):
        lw.fit((X * scale, y))


def test_a_column_whose_squares_vanish_is_refused_and_not_called_constant() -> None:
    X, y = plane()
    with refused(DataError, "'x0'", "squares vanish"):
        lw.fit((X * 1e-200, y))


@pytest.mark.parametrize("view", ["reversed", "read-only", "fortran", "matrix"])
def test_odd_views_are_read_as_they_look(view: str, tmp_path: Path) -> None:
    X, y = plane()
    if view == "reversed":
        X, y = X[::-1], y[::-1]
    if view == "read-only":
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    if view == "fortran":
        X = np.asfortranarray(X)
    if view == "matrix":
        X = X.view(np.matrix)
    assert_plane(lw.fit((X, y)))


@pytest.mark.parametrize(
    "source", [None, 3, {"a": [1, 2]}, (i for i in range(3)), [], (), [[1, 2], [3, 4]], b"x.csv"]
)
def test_what_holds_no_rows_is_refused_with_its_type(source: Any) -> None:
    with refused(KindError, type(source).__name__, "needed"):
        lw.fit(source, target="y")


@pytest.mark.parametrize("missing_half", ["X", "y"])
def test_a_pair_with_none_is_refused(missing_half: str) -> None:
    X, y = plane()
    with refused(LeastwiseError, missing_half):
        lw.fit((None, y) if missing_half == "X" else (X, None))
    with refused(LeastwiseError, "y"):
        lw.fit((pandas_frame(), None))


def test_x_and_y_given_apart_are_told_to_come_as_a_pair() -> None:
    X, y = plane()
    with refused(UsageError, "(X, y)"):
        lw.fit(X, y)


def test_a_single_column_that_is_no_table_is_refused() -> None:
    for series in (pd.Series([1.0, 2.0]), pl.Series([1.0, 2.0])):
        with refused(LeastwiseError, "Series"):
            lw.fit(series, target="y")


def test_a_sparse_matrix_is_told_to_become_dense() -> None:
    X, y = plane()
    with refused(LeastwiseError, "sparse", "toarray()"):
        lw.fit((scipy.sparse.csr_matrix(X), y))


# ---- tensors ----


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32, torch.uint8, torch.int8])
def test_tensors_of_every_number_type_are_accepted(kind: torch.dtype) -> None:
    X = torch.randint(0, 100, (300, 2), generator=torch.Generator().manual_seed(0)).to(kind)
    assert_plane(lw.fit((X, X.double() @ torch.tensor([1.0, 2.0]).double() + 3)))


def test_tensors_with_gradients_views_and_negative_views_are_read_as_they_look() -> None:
    X, y = plane()
    leaf = torch.tensor(X, requires_grad=True)
    assert_plane(lw.fit((leaf, torch.tensor(y))))
    assert leaf.grad is None
    wide = torch.tensor(np.repeat(X, 2, axis=1))
    assert_plane(lw.fit((wide[:, ::2], torch.tensor(y))))

    negative = torch.complex(torch.zeros(N, 2).double(), torch.tensor(-X)).conj().imag
    assert_plane(lw.fit((negative, torch.tensor(y))))


def test_complex_sparse_and_empty_shelled_tensors_are_refused() -> None:
    X, y = plane()
    tensor = torch.tensor(X)
    with refused(KindError, "complex"):
        lw.fit((tensor.to(torch.complex64), y))
    with refused(KindError, "complex"):
        lw.fit((tensor.to(torch.complex64).conj(), y))
    with refused(LeastwiseError, "sparse", "to_dense()"):
        lw.fit((tensor.to_sparse(), y))
    with refused(LeastwiseError, "meta"):
        lw.fit((tensor.to("meta"), y))


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


# ---- roles ----


@pytest.mark.parametrize(
    "role", ["target", "features", "group", "weight", "drop", "categorical", "sequence"]
)
def test_an_unknown_column_is_told_with_its_role_and_the_nearest_name(role: str) -> None:
    data = frame().rename({"a": "activity"})
    asked = {"target": "y", role: "activty"}
    with refused(ColumnError, "'activty'", role, "Did you mean 'activity'?"):
        lw.fit(data, **asked)


@pytest.mark.parametrize(
    "asked",
    [{"features": ["a", "y"]}, {"weight": "y"}, {"weight": "a", "features": ["a"]}],
    ids=str,
)
def test_a_column_of_two_roles_is_refused(asked: dict[str, Any]) -> None:
    with refused(ColumnError, "'a'" if "y" not in str(asked.values()) else "'y'"):
        lw.fit(frame(), target="y", **asked)


def test_a_name_given_twice_in_one_role_is_refused() -> None:
    with refused(ColumnError, "'a'"):
        lw.fit(frame(), target="y", features=["a", "a"])
    with refused(LeastwiseError, "'v'"):
        lw.fit(frame(t=cycled("u", "v")), target="y", levels={"t": ["u", "v", "v"]})
    with refused(ColumnError, "'y'"):
        lw.fit(frame(), target=["y", "y"])


def test_one_of_several_targets_leaves_the_others_out_of_the_features() -> None:
    X, y = plane()
    fit = lw.fit((X, np.c_[y, -y]), target="y0")
    assert fit.names == ("x0", "x1")


def test_no_target_says_what_there_is() -> None:
    for target in (None, []):
        with refused(UsageError, "target=", "--target", "'a', 'b' and 'y'"):
            lw.fit(frame(), target=target)


def test_a_target_or_weight_of_text_is_refused() -> None:
    data = frame(t=cycled("u", "v"))
    for asked in ({"target": "t"}, {"target": "y", "weight": "t"}):
        with refused(ColumnError, "'t'", "text", "numeric"):
            lw.fit(data, **asked)


def test_nothing_left_to_predict_from_is_refused() -> None:
    for asked in ({"features": []}, {"drop": ["a", "b"]}):
        with refused(ColumnError, "no feature"):
            lw.fit(frame(), target="y", **asked)


def test_text_with_too_many_levels_is_not_made_into_columns() -> None:
    data = pl.DataFrame({"t": [f"u{i}" for i in range(1_200)], "y": np.arange(1_200.0)})
    with refused(ColumnError, "'t'", "1,200 distinct texts", "drop=['t']"):
        lw.fit(data, target="y")


# ---- weights and groups ----


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
def test_negative_and_all_zero_weights_are_refused(missing: str) -> None:
    with refused(DataError, "1 weight", "negative", "row 7", "-2.5"):
        data = frame(w=[-2.5 if i == 6 else 1.0 for i in range(N)])
        lw.fit(data, target="y", weight="w", missing=missing)
    with refused(DataError, "40", "weight"):
        lw.fit(frame(w=[0.0] * N), target="y", weight="w", missing=missing)


def test_a_bad_weight_is_told_with_its_row_of_the_source() -> None:
    w = [-2.5 if i == 6 else 1.0 for i in range(N)]
    gaps = [None if i < 5 else 1.0 * i for i in range(N)]
    with refused(DataError, "row 7", "-2.5"):
        lw.fit(frame(w=w).with_columns(a=pl.Series(gaps)), target="y", weight="w", missing="drop")
    X = np.random.default_rng(0).normal(size=(12_000, 200))
    wide = pl.DataFrame(X, schema=[f"x{j}" for j in range(200)])
    w = np.where(np.arange(12_000) == 11_500, -1.0, 1.0)
    with refused(DataError, "1 weight", "12,000", "row 11,501"):
        lw.fit(wide.with_columns(w=pl.Series(w)), target="x0", weight="w", folds=0)


def test_weights_that_are_missing_are_told_or_dropped() -> None:
    data = frame(w=[None if i == 6 else 1.0 for i in range(N)])
    with refused(MissingError, "'w'", "1 missing value", "row 7"):
        lw.fit(data, target="y", weight="w")
    for missing in ("drop", "mean"):
        assert lw.fit(data, target="y", weight="w", missing=missing).tally.dropped == {"'w' missing": 1}


def test_rows_of_weight_zero_are_counted_as_dropped() -> None:
    fit = lw.fit(frame(w=[0.0 if i == 6 else 1.0 for i in range(N)]), target="y", weight="w")
    assert fit.tally.dropped == {"weight 0": 1}
    assert fit.tally.used == N - 1


def test_a_missing_group_is_told_or_dropped() -> None:
    data = frame(g=cycled("u", "v", "w", None))
    with refused(MissingError, "'g'", "10 missing values", "40 rows", "row 4"):
        lw.fit(data, target="y", group="g")
    for missing in ("drop", "mean"):
        assert lw.fit(data, target="y", group="g", missing=missing).tally.dropped == {"'g' missing": 10}


def test_more_folds_than_groups_are_refused_with_both_counts() -> None:
    with refused(UsageError, "5 folds", "2 groups", "folds=2"):
        lw.fit(frame(g=cycled("u", "v")), target="y", group="g", folds=5)


# ---- options ----


@pytest.mark.parametrize("folds", [1, -1, 41, 2.5, "5", True, 2**62], ids=str)
def test_folds_that_cannot_be_are_refused(folds: Any) -> None:
    with refused(UsageError, str(folds) if folds != 2**62 else "folds"):
        lw.fit(plane(), folds=folds)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rank", "foo"),
        ("missing", "fill"),
        ("missing", None),
        ("unseen", "x"),
        ("dates", "x"),
        ("seed", "x"),
        ("seed", -1),
        ("seed", 1.5),
        ("intercept", "no"),
        ("intercept", None),
        ("levels", ["a"]),
        ("drop", 3),
        ("features", [1, 2]),
        ("target", 2),
        ("weight", ["a"]),
        ("group", ["a", "b"]),
        ("recipe", "x"),
        ("options", 5),
        ("progress", 3),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused_by_name(option: str, value: Any) -> None:
    with refused(UsageError, option):
        lw.fit(frame(), **{"target": "y", option: value})


def test_weights_as_an_array_are_told_to_be_a_column() -> None:
    with refused(UsageError, "weight", "column"):
        lw.fit(plane(), weight=np.ones(N))


@pytest.mark.parametrize(
    ("typo", "meant"), [("mising", "missing"), ("weights", "weight"), ("fold", "folds")]
)
def test_a_mistyped_keyword_gets_the_nearest(typo: str, meant: str) -> None:
    with refused(UsageError, typo, f"'{meant}'"):
        lw.fit(frame(), target="y", **{typo: "a"})


@pytest.mark.parametrize("option", ["columns", "delimiter", "encoding"])
def test_an_option_for_files_is_refused_for_frames(option: str) -> None:
    with refused(UsageError, option, "Leave it out"):
        lw.fit(frame(), target="y", **{option: "a"})


def test_moments_refuse_what_belongs_to_the_rows() -> None:
    moments = lw.condense(plane())
    with refused(UsageError, "'missing'"):
        lw.fit(moments, missing="drop")
    with refused(UsageError, "'y'", "'q'"):
        lw.fit(moments, target="q")


# ---- new data ----


def test_new_data_is_matched_by_name_whatever_else_it_has() -> None:
    X, y = plane()
    fit = lw.fit(frame(), target="y")
    turned = pl.DataFrame({"more": cycled("u"), "b": X[:, 1], "a": X[:, 0]})
    assert np.allclose(fit.predict(turned), y)
    with refused(DataError, "'a'", "Did you mean 'A'?"):
        fit.predict(turned.rename({"a": "A"}))
    assert len(fit.predict(turned[:0])) == 0


@pytest.mark.parametrize("width", [1, 3])
def test_an_array_of_another_width_is_not_predicted(width: int) -> None:
    X, y = plane()
    with refused(DataError, "2 columns", str(width)):
        lw.fit((X, y)).predict(np.resize(X, (N, width)))


@pytest.mark.parametrize("value", ["u", "1.5"])
def test_text_where_the_model_reads_numbers_is_refused_by_name(value: str) -> None:
    fit = lw.fit(frame(), target="y")
    with refused(LeastwiseError, "'a'", "text"):
        fit.predict(frame().with_columns(a=pl.lit(value)))


def test_unseen_levels_are_told_with_row_and_an_advice_that_works() -> None:
    data = frame(t=cycled("u", "v"))
    new = data.with_columns(t=pl.Series(["q" if i == 12 else "u" for i in range(N)]))
    with refused(ColumnError, "'t'", "'q'", "row 13", "'u' and 'v'", "unseen='reference'"):
        lw.fit(data, target="y").predict(new)
    fit = lw.fit(data, target="y", unseen="reference")
    assert np.isfinite(fit.predict(new)).all()


def test_missing_cells_of_new_data_under_error_are_told_by_their_own_column() -> None:
    data = frame(t=cycled("u", "v"))
    fit = lw.fit(data, target="y")
    gap = pl.when(pl.int_range(pl.len()) == 12).then(None)
    with refused(MissingError, "Row 13", "'b'"):
        fit.predict(data.with_columns(b=gap.otherwise(pl.col("b"))))
    with refused(MissingError, "Row 13", "'t'"):
        fit.predict(data.with_columns(t=gap.otherwise(pl.col("t"))))


def test_missing_cells_of_new_data_under_drop_have_no_prediction() -> None:
    fit = lw.fit(frame(), target="y", missing="drop")
    found = fit.predict(frame().with_columns(a=pl.Series([None, *range(N - 1)], dtype=pl.Float64)))
    assert np.isnan(found).tolist() == [True, *[False] * (N - 1)]


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
def test_infinite_cells_of_new_data_are_refused_under_every_policy(missing: str) -> None:
    X, _ = plane()
    holed = frame().with_columns(a=pl.Series([None, *X[1:, 0]]), b=pl.Series([None, *X[1:, 1]]))
    fit = lw.fit(frame() if missing == "error" else holed, target="y", missing=missing)
    with refused(MissingError, "'a'", "5"):
        fit.predict(frame().with_columns(a=pl.Series([np.inf if i == 4 else 1.0 for i in range(N)])))


@pytest.mark.parametrize("gaps_in_training", [True, False])
def test_missing_cells_of_new_data_under_mean_are_filled_by_the_training_mean(
    gaps_in_training: bool,
) -> None:
    X, _ = plane()
    values = pl.Series([None, *X[1:, 0]] if gaps_in_training else X[:, 0])
    data = frame().with_columns(a=values)
    fit = lw.fit(data, target="y", missing="mean")
    new = frame().with_columns(a=pl.lit(None, pl.Float64))
    filled = frame().with_columns(a=pl.lit(values.mean()))
    assert np.allclose(fit.predict(new), fit.predict(filled))


def test_the_advice_on_a_missing_cell_is_not_what_was_done_already() -> None:
    fit = lw.fit(frame(t=cycled("u", "v")), target="y", missing="mean")
    with pytest.raises(MissingError) as caught:
        fit.predict(frame(t=[None, *cycled("u", "v")[1:]]))
    assert "'t'" in str(caught.value)
    assert "fit with missing='mean'" not in str(caught.value)


# ---- the command line ----


def run(*words: Any) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def failed(result: Any, *said: str) -> None:
    """Exit code 1 by our own doing, the words on stderr, nothing on stdout."""
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    assert result.stderr.startswith("error")
    for word in said:
        assert word in result.stderr, f"{word!r} is not in: {result.stderr}"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a table `a.csv` and a model of it in `RUN`."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.csv", table())
    result = run("fit", "a.csv", "--target", "y", "-o", "RUN", "--quiet")
    assert result.exit_code == 0, result.output
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_bad_row_gives_exit_code_1_and_no_folder(work: Path) -> None:
    written(work / "bad.csv", table() + "oops,1,2\n")
    before = names(work)
    result = run("fit", "bad.csv", "--target", "y", "-o", "NEW")
    failed(result, "bad.csv", "'a'", "row 31", "'oops'")
    assert result.stdout == ""
    assert names(work) == before


def test_an_earlier_run_is_kept_unless_overwrite_is_said_and_kept_where_the_new_fit_fails(
    work: Path,
) -> None:
    model = (work / "RUN" / "model.safetensors").read_bytes()
    failed(run("fit", "a.csv", "--target", "y", "-o", "RUN"), "RUN", "--overwrite")
    written(work / "bad.csv", table() + "oops,1,2\n")
    failed(run("fit", "bad.csv", "--target", "y", "-o", "RUN", "--overwrite"), "'oops'")
    assert (work / "RUN" / "model.safetensors").read_bytes() == model
    assert run("fit", "a.csv", "--target", "y", "-o", "RUN", "--overwrite", "--quiet").exit_code == 0
    assert names(work) == {"a.csv", "bad.csv", "RUN"}


def test_a_folder_that_is_no_run_is_never_replaced(work: Path) -> None:
    (work / "mine").mkdir()
    written(work / "mine" / "thesis.txt", "years")
    failed(run("fit", "a.csv", "--target", "y", "-o", "mine", "--overwrite"), "mine", "no earlier run")
    assert (work / "mine" / "thesis.txt").read_text() == "years"
    failed(run("fit", "a.csv", "--target", "y", "-o", "a.csv", "--overwrite"), "a.csv")
    failed(run("fit", "a.csv", "--target", "y", "-o", "no/such"), "no folder no")


def test_overwrite_without_an_output_is_refused(work: Path) -> None:
    result = run("fit", "a.csv", "--target", "y", "--overwrite")
    assert result.exit_code in (1, 2)
    assert "--overwrite" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.csv"], ["--target"]),
        (["a.csv", "--target", "Y"], ["'Y'", "Did you mean 'y'?"]),
        (["b.csv", "--target", "y"], ["b.csv", "Did you mean 'a.csv'?"]),
        (["a.csv", "--target", "y", "--seed", "-1"], ["seed"]),
        (["a.csv", "--target", "y", "--delimiter", "ab"], ["'ab'"]),
        (["a.csv", "--target", "y", "--labels", "a.csv"], ["labels"]),
        (["a.csv", "--target", "y", "--folds", "1"], ["folds"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_answered_gives_exit_code_1_with_words(
    words: list[str], said: list[str], work: Path
) -> None:
    result = run("fit", *words)
    failed(result, *said)
    assert result.stdout == ""


def test_a_name_with_a_comma_can_be_said_on_the_command_line(work: Path) -> None:
    written(work / "d.csv", table(head='"a,b",c,y'))
    result = run("fit", "d.csv", "--target", "y", "--features", '"a,b"', "--quiet")
    assert result.exit_code == 0, result.stderr


def test_predictions_keep_the_rows_and_columns_of_the_file(work: Path) -> None:
    written(work / "new.csv", 'b,a,note\n1,2,x\n3,4,"y, z"\n')
    assert run("predict", "RUN", "new.csv", "-o", "out.csv", "--quiet").exit_code == 0
    out = pd.read_csv(work / "out.csv")
    assert list(out.columns) == ["b", "a", "note", "prediction"]
    assert list(out["note"]) == ["x", "y, z"]
    assert np.allclose(out["prediction"], [7, 13], atol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("b,note\n1,2\n", ["'a'", "new.csv"]),
        ("a,b\n1,2\nx,3\n", ["'a'", "row 2", "'x'"]),
        ("a,b\n1,2\n,3\n", ["'a'", "Row 2"]),
        ("a,b\n1,2\ninf,3\n", ["'a'", "Row 2"]),
        ("a,b\n1,2\n1\n", ["row 2", "1 cell"]),
        ('a,b,t\n1,2,"q\n1,3,r\n', ["row 1", "quote"]),
        ("a,b,prediction\n1,2,3\n", ["'prediction'", "Rename"]),
        ("", ["empty"]),
    ],
    ids=["column", "text", "missing", "infinite", "short", "quote", "taken", "empty"],
)
def test_predicting_a_bad_file_gives_exit_code_1_and_leaves_no_file(
    content: str, said: list[str], work: Path
) -> None:
    written(work / "new.csv", content)
    before = names(work)
    failed(run("predict", "RUN", "new.csv", "-o", "out.csv"), *said)
    assert names(work) == before


def test_an_output_of_a_kind_that_is_not_written_is_refused(work: Path) -> None:
    failed(run("predict", "RUN", "a.csv", "-o", "out.xlsx"), ".xlsx", ".csv")
    assert not (work / "out.xlsx").exists()


def test_an_output_where_no_folder_is_says_so_in_plain_words(work: Path) -> None:
    result = run("predict", "RUN", "a.csv", "-o", "none/out.csv")
    failed(result, "none")
    assert "Errno" not in result.stderr


@pytest.mark.parametrize("place", [3, 20, 0.5, -5])
def test_a_model_file_with_one_bit_changed_is_refused(place: float, work: Path) -> None:
    path = work / "RUN" / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[int(place * len(raw)) if isinstance(place, float) else place] ^= 1
    path.write_bytes(bytes(raw))
    failed(run("predict", "RUN", "a.csv"), "model.safetensors", "damaged", "fit again")


@pytest.mark.parametrize("size", [0, 4, 100, -3])
def test_a_truncated_model_file_is_refused(size: int, work: Path) -> None:
    path = work / "RUN" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    failed(run("predict", "RUN", "a.csv"), "model.safetensors", "damaged")


def test_what_is_no_run_is_not_predicted_with(work: Path) -> None:
    failed(run("predict", "NONE", "a.csv"), "no model", "NONE")
    failed(run("predict", "a.csv", "a.csv"), "a.csv")
    (work / "RUN" / "model.safetensors").unlink()
    failed(run("predict", "RUN", "a.csv"), "no model", "RUN")


# ---- files that are written ----


def test_a_model_that_cannot_be_put_in_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    fit = lw.fit(plane())
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreError, match="taken"):
        lw.save(fit, tmp_path / "taken")
    assert names(tmp_path) == {"taken"}
    with pytest.raises(UsageError, match="int"):
        lw.save(3, tmp_path / "model")  # type: ignore[arg-type]
    assert names(tmp_path) == {"taken"}
