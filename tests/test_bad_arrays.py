"""Bad arrays and tensors: a clear error with values, or the right answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from bad import N, assert_plane, pandas_frame, plane, refused

import leastwise as lw
from leastwise.errors import (
    ColumnError,
    DataError,
    KindError,
    LeastwiseError,
    MissingError,
    UsageError,
)

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
        lw.fit((X * 1e-200, y), precision="fast")
    exact = lw.fit((X * 1e-200, y))  # integers have room for them
    np.testing.assert_allclose(exact.coef * 1e-200, lw.fit((X, y)).coef, rtol=1e-13)


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
