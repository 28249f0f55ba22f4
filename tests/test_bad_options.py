"""Bad roles, weights, groups and options: a clear error with values, or the right answer."""

from __future__ import annotations

from typing import Any

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
    UsageError,
)

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
    assert fit.tally.dropped == {"'w' as its weight is 0": 1}
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
