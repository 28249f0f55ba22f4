"""New data that do not fit the model: a clear error with values, or the right answer."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from bad import N, cycled, frame, plane, refused

import leastwise as lw
from leastwise.errors import (
    ColumnError,
    DataError,
    LeastwiseError,
    MissingError,
)

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
