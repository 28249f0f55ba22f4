"""Recipe: which columns become what, and that prediction repeats it exactly."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import leastwise as lw
from leastwise.recipe import Recipe
from leastwise.rows import open_rows


def frame(n=60, **more):
    r = np.random.default_rng(5)
    columns = {"size": r.normal(size=n), "age": r.integers(0, 90, n), "y": r.normal(size=n), **more}
    return pd.DataFrame(columns)


def settled(source, target="y", **asked):
    return Recipe(target=target, **asked).settled(open_rows(source))


def whole_block(recipe, source):
    (slab,) = open_rows(source).slabs(recipe.reads_all)
    return recipe.block(slab)


def test_numbers_and_flags_are_taken_as_they_are():
    data = frame(flag=[True, False] * 30)
    recipe = settled(data)
    assert recipe.names == ("size", "age", "flag")
    expected = data[["size", "age", "flag"]].to_numpy(float)
    np.testing.assert_array_equal(whole_block(recipe, data).X, expected)


def test_texts_become_indicators_against_the_first_level_in_order():
    data = frame(site=["c", "a", "b"] * 20)
    recipe = settled(data, features=("site",))
    assert recipe.names == ("site=b", "site=c")
    assert recipe.terms[0].reference == "a"
    assert "2 indicators against 'a'" in recipe.notes[0]
    np.testing.assert_array_equal(whole_block(recipe, data).X[:3], [[0, 1], [0, 0], [1, 0]])


def test_declared_levels_keep_their_order_and_reference():
    data = frame(site=["c", "a", "b"] * 20)
    recipe = settled(data, features=("site",), levels={"site": ("c", "b", "a")})
    assert recipe.names == ("site=b", "site=a")


def test_numbers_may_be_declared_to_be_levels():
    data = frame(code=[20, 20, 160] * 20)
    recipe = settled(data, features=("code",), categorical=("code",))
    assert recipe.names == ("code=20",)
    assert recipe.terms[0].reference == "160"


def test_roles_are_left_out_of_the_features():
    data = frame(w=1.0, site=["a", "b", "c"] * 20, id=range(60))
    recipe = settled(data, weight="w", group="site", drop=("id",))
    assert recipe.names == ("size", "age")


def test_chosen_features_come_in_the_order_they_were_named():
    assert settled(frame(), features=("age", "size")).names == ("age", "size")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"target": "yy"}, r"no column 'yy' .*target.* Did you mean 'y'"),
        ({"features": ("sise",)}, r"no column 'sise' .* Did you mean 'size'"),
        ({"weight": "w"}, r"no column 'w' .*weight"),
        ({"features": ("y", "size")}, r"'y' was given two roles"),
        ({"weight": "y"}, r"'y' was given two roles"),
        ({"target": "site"}, r"target 'site' is a column of text. It must be numeric"),
    ],
)
def test_roles_that_cannot_be_are_refused_with_names(asked, message):
    with pytest.raises(lw.errors.ColumnError, match=message):
        settled(frame(site=["a", "b", "c"] * 20), **{"target": "y", **asked})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"drop": ("y",)}, "'y' was given two roles"),
        ({"categorical": ("site",), "features": ("age",)}, "'site' was declared to have levels"),
        ({"levels": {"site": ("a", "b", "c")}, "drop": ("site",)}, "'site' was declared to have levels"),
        ({"categorical": ("y",)}, "'y' was declared to have levels"),
        ({"unknown": "mask"}, "no sequence was named"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(asked, message):
    with pytest.raises(lw.errors.LeastwiseError, match=message):
        settled(frame(site=["a", "b", "c"] * 20), **asked)


def test_moments_are_not_asked_for_what_is_decided_later():
    with pytest.raises(lw.errors.UsageError, match="'rank' is for fit"):
        lw.condense(frame(), "y", rank="error")


@pytest.mark.parametrize("name", ["missing", "unseen", "dates", "unknown"])
def test_a_policy_that_is_not_known_is_refused(name):
    with pytest.raises(lw.errors.UsageError, match=f"{name}='ignore' is not known. It is one of 'error'"):
        Recipe(target="y", **{name: "ignore"})


def test_dates_are_refused_unless_declared():
    data = frame(day=pd.date_range("2020-01-01", periods=60))
    with pytest.raises(lw.errors.KindError, match=r"'day' is a date.*drop=\['day'\].*dates='days'"):
        settled(data)
    recipe = settled(data, features=("day",), dates="days")
    assert recipe.names == ("day [days]",)
    np.testing.assert_allclose(whole_block(recipe, data).X[:, 0], 18262 + np.arange(60))


def test_numbers_written_as_text_are_not_taken_for_levels():
    data = frame(dose=[str(i) for i in range(59)] + ["n.d."])
    with pytest.raises(
        lw.errors.ColumnError, match=r"'dose' is text, yet all but 'n.d.' look like numbers"
    ):
        settled(data)
    assert len(settled(data, features=("dose",), categorical=("dose",)).names) == 59


def test_texts_of_too_many_levels_are_not_taken_unasked():
    n = 1_500
    data = frame(n, name=[f"sample {i:04}" for i in range(n)])
    with pytest.raises(lw.errors.ColumnError, match=r"'name' .* 1,500 distinct texts.*drop=\['name'\]"):
        settled(data)


def test_a_missing_number_is_an_error_with_column_count_and_row():
    data = frame()
    data.loc[[17, 20], "size"] = np.nan
    data.loc[3, "age"] = np.nan
    with pytest.raises(
        lw.errors.MissingError,
        match=r"'size' has 2 missing values in 60 rows \(first: row 18\).*'age' \(1\)",
    ):
        lw.fit(data, "y")


def test_rows_with_gaps_are_dropped_and_counted_once():
    data = frame(site=["a", "b", None] * 20)
    data.loc[[0, 2, 4], "size"] = np.nan  # row 2 has no site either
    data.loc[[6], "y"] = np.nan
    fit = lw.fit(data, "y", missing="drop", folds=0)
    assert fit.tally.read == 60
    assert sum(fit.tally.dropped.values()) == 20 + 3 - 1 + 1
    assert fit.tally.used == fit.solution.n == 37
    kept = data.dropna()
    same = lw.fit(kept, "y", folds=0)
    np.testing.assert_allclose(fit.coef, same.coef, rtol=1e-12)


def test_missing_means_fill_numbers_and_make_a_level_of_missing_texts():
    data = frame(site=["a", "b", None] * 20)
    data.loc[[0, 4], "size"] = np.nan
    fit = lw.fit(data, "y", missing="mean", folds=0)
    assert fit.names == ("size", "age", "site=b", "site=(missing)")
    filled = data.assign(
        size=data["size"].fillna(data["size"].mean()), site=data["site"].fillna("(missing)")
    )
    filled["site"] = pd.Categorical(filled["site"], ["a", "b", "(missing)"])
    X = pd.get_dummies(filled[["size", "age", "site"]], drop_first=True).to_numpy(float)
    same = lw.fit((X, data["y"].to_numpy()), folds=0)
    np.testing.assert_allclose(fit.coef, same.coef, rtol=1e-10)
    np.testing.assert_allclose(fit.predict(data), same.predict(X), rtol=1e-10)


def test_a_row_without_a_target_cannot_be_learned_from_and_is_counted():
    data = frame()
    data.loc[[5, 6], "y"] = np.nan
    fit = lw.fit(data, "y", missing="mean", folds=0)
    assert fit.tally.dropped == {"'y' missing": 2}


def test_a_level_that_was_not_seen_is_an_error_or_the_reference():
    data = frame(site=["a", "b", "c"] * 20)
    new = data.assign(site="d")
    with pytest.raises(
        lw.errors.ColumnError, match=r"'site' has 1 level .* not seen: 'd' \(first: row 1\)"
    ):
        lw.fit(data, "y").predict(new)
    lenient = lw.fit(data, "y", unseen="reference")
    np.testing.assert_array_equal(lenient.predict(new), lenient.predict(data.assign(site="a")))


def test_prediction_reads_columns_by_name_in_any_order():
    data = frame(site=["a", "b", "c"] * 20)
    fit = lw.fit(data, "y")
    turned = data[["site", "y", "age", "size"]].assign(more=1)
    np.testing.assert_array_equal(fit.predict(turned), fit.predict(data))


def test_a_recipe_survives_json():
    data = frame(site=["a", "b", None] * 20, day=pd.date_range("2020-01-01", periods=60))
    data.loc[3, "size"] = np.nan
    recipe = settled(data, missing="mean", dates="days", levels={"site": ("a", "b", "(missing)")})
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe


def test_a_stream_that_can_be_read_once_needs_its_levels_declared():
    table = pa.table({"site": ["a", "b"] * 20, "x": np.arange(40.0), "y": np.arange(40.0) ** 2})
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))
    with pytest.raises(lw.errors.UsageError, match=r"can be read once, and 'site' must be looked at"):
        lw.fit(stream, "y")
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))
    fit = lw.fit(stream, "y", levels={"site": ("a", "b")})
    np.testing.assert_allclose(fit.coef, lw.fit(table, "y").coef, rtol=1e-12, atol=1e-12)


def test_the_sequence_gives_the_features_and_other_columns_wait_to_be_named():
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    r = np.random.default_rng(1)
    texts = ["".join(r.choice(letters, 50)) for _ in range(60)]
    data = frame(sequence=texts)
    recipe = settled(data, sequence="sequence")
    assert recipe.names[:3] == ("length", "molecular_weight", "isoelectric_point")
    assert "'size' and 'age' are not used beside the sequence" in recipe.notes[0]
    both = settled(data, sequence="sequence", features=("age",))
    assert both.names[-1] == "age"
