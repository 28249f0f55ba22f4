"""Faults that readers found, each with the law that it broke."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from threadpoolctl import threadpool_info

import leastwise as lw
from leastwise.cli import main
from leastwise.numerics import one_blas_thread


def xy(n=200, seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(n, 2))
    return X, X @ [1.0, 10.0] + 0.1 * r.normal(size=n)


def test_a_column_whose_first_rows_are_missing_keeps_its_digits():
    X, y = xy(40_000)
    far = X + np.array([1.7e9, 0])
    far[:20_000, 0] = np.nan
    fit = lw.fit((far, y), missing="mean", folds=0)
    assert fit.solution.constant == ()
    present = lw.fit((far[20_000:], y[20_000:]), folds=0)
    assert fit.coef[0] == pytest.approx(present.coef[0], rel=0.1)


def test_rows_of_weight_zero_in_front_do_not_hide_a_column():
    X, y = xy(300_000)
    frame = pa.table({"x": X[:, 0] + 1e8, "y": X[:, 0] + y, "w": (np.arange(300_000) >= 290_000) * 1.0})
    fit = lw.fit(frame, "y", weight="w", folds=0)
    kept = lw.fit(frame.slice(290_000), "y", drop="w", folds=0)
    np.testing.assert_allclose(fit.coef, kept.coef, rtol=1e-7)


def test_a_stream_that_begins_with_an_empty_batch_is_read_as_any_other():
    X, y = xy()
    table = pa.table({"x": X[:, 0] + 1e8, "y": y})
    batches = [
        table.slice(0, 0).combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    ]
    stream = pa.RecordBatchReader.from_batches(
        table.schema, [*batches[0], *table.to_batches(max_chunksize=50)]
    )
    np.testing.assert_allclose(lw.fit(stream, "y").coef, lw.fit(table, "y").coef, rtol=1e-7)


def test_an_array_is_predicted_by_the_names_of_its_columns():
    X, y = xy()
    turned = lw.fit((X, y), features=["x1", "x0"])
    np.testing.assert_allclose(turned.predict(X), lw.fit((X, y)).predict(X), rtol=1e-12)
    table = np.column_stack([X, y])
    whole = lw.fit(table, target="x2")
    np.testing.assert_allclose(whole.predict(table), lw.fit((X, y)).predict(X), rtol=1e-12)


def test_a_settled_recipe_takes_no_keywords():
    frame = pd.DataFrame(xy()[0], columns=["a", "b"]).assign(y=xy()[1])
    fit = lw.fit(frame, "y")
    for more in ({"features": ["a"]}, {"target": "a"}):
        with pytest.raises(lw.errors.UsageError, match="recipe is settled"):
            lw.fit(frame, recipe=fit.recipe, **more)
    np.testing.assert_array_equal(lw.fit(frame, recipe=fit.recipe).coef, fit.coef)


@pytest.mark.parametrize(
    "more", [{"folds": 10}, {"seed": 9}, {"missing": "drop"}, {"recipe": lw.Recipe("y")}]
)
def test_moments_take_no_option_that_they_cannot_follow(more):
    with pytest.raises(lw.errors.UsageError):
        lw.fit(lw.condense(xy()), **more)


def test_fits_in_many_threads_leave_blas_as_it_was():
    X, y = xy(60_000)
    lw.fit((X, y))  # all that brings a BLAS is imported
    before = [lib["num_threads"] for lib in threadpool_info()]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: lw.fit((X, y)).validation, range(24)))
    assert [lib["num_threads"] for lib in threadpool_info()] == before
    with one_blas_thread(), one_blas_thread():
        pass
    assert [lib["num_threads"] for lib in threadpool_info()] == before


def test_without_an_intercept_unseen_and_training_rows_are_scored_alike():
    X, y = xy()
    scores = lw.fit((X, y + 100), intercept=False).validation
    unseen, training = scores.over_folds("r2")[0], scores.over_folds("train_r2")[0]
    assert unseen < -10
    assert training < -10
    assert scores.over_folds("mean_r2")[0] == pytest.approx(0, abs=0.05)


def test_the_mean_absolute_error_weighs_rows_as_the_mean_square_does():
    X, y = xy()
    y[::2] += 1_000
    w = np.where(np.arange(200) % 2 == 0, 1e-6, 1.0)
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(y=y, w=w)
    scores = lw.fit(frame, "y", weight="w").validation
    assert (scores.mae <= scores.rmse).all()


def test_rows_that_changed_after_the_fit_are_not_scored():
    X, y = xy()
    fit = lw.fit((X, y))
    y *= 1_000
    assert "rows are not those that were fitted" in fit.summary()
    assert "MAE and Spearman by a second pass" not in fit.summary()


def test_a_file_that_is_gone_after_the_fit_leaves_the_scores_of_the_moments(tmp_path):
    path = tmp_path / "a.csv"
    pd.DataFrame(xy()[0], columns=["a", "y"]).to_csv(path, index=False)
    fit = lw.fit(path, "y")
    path.unlink()
    assert "unseen rows" in fit.summary()
    lw.save(fit, tmp_path / "m")


def test_two_columns_of_x_never_have_one_name():
    frame = pd.DataFrame({"s": list("abc") * 5, "s=b": range(15), "y": np.arange(15.0) ** 2})
    with pytest.raises(lw.errors.ColumnError, match="'s=b'"):
        lw.fit(frame, "y")


def test_weight_is_not_lost_when_rows_are_taken_away():
    X, y = xy(50)
    heavy, light = lw.Moments.of(X, y, np.full(50, 3.0)), lw.Moments.of(X, y, np.ones(50))
    with pytest.raises(lw.errors.MomentsError, match="Weight 50 of 150"):
        _ = heavy - light


def test_large_files_of_other_encodings_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "".join(f"{i % 97}.5,{i}\n" for i in range(200_000)), encoding="utf-16")
    assert lw.fit(path, "y", encoding="utf-16").tally.read == 200_000


def test_an_empty_part_of_a_folder_takes_the_kinds_of_the_others(tmp_path):
    (tmp_path / "1.csv").write_text("s,a,y\n")
    (tmp_path / "2.csv").write_text(
        "s,a,y\n" + "".join(f"{'uv'[i % 2]},{i},{i * i % 7}\n" for i in range(30))
    )
    assert lw.fit(tmp_path, "y").names == ("s=v", "a")


def test_a_folder_of_fasta_is_fasta(tmp_path):
    r = np.random.default_rng(0)
    for f in range(2):
        texts = ["".join(r.choice(list("ACDEFGHIKLMNPQRSTVWY"), 60)) for _ in range(20)]
        body = "".join(f">p{f}{i} tm={r.normal():.3f}\n{t}\n" for i, t in enumerate(texts))
        (tmp_path / f"{f}.FASTA").write_text(body)
    assert lw.fit(tmp_path, "tm").names[0] == "length"


def test_cells_are_predicted_as_they_were_written(tmp_path):
    (tmp_path / "a.csv").write_text("id,x,y\n" + "".join(f"00{i}, {i}.0,{i * i % 7}\n" for i in range(30)))
    lw.save(lw.fit(tmp_path / "a.csv", "y", drop="id"), tmp_path / "model.safetensors")
    for name in ("new1.csv", "new2.csv"):
        (tmp_path / name).write_text("id,x\nNA, 1.0\nnull,2.50\n007,3\n")
    words = ["predict", tmp_path, tmp_path / "new1.csv", tmp_path / "new2.csv"]
    lines = CliRunner().invoke(main, [str(word) for word in words]).stdout.splitlines()
    assert [line.rsplit(",", 1)[0] for line in lines[1:]] == ["NA, 1.0", "null,2.50", "007,3"] * 2


def test_json_lines_hold_no_nan(tmp_path):
    table = pa.table({"x": [1.0, 2.0, float("nan")], "y": [1.0, 2.0, 4.0]})
    import pyarrow.parquet as pq

    pq.write_table(table, tmp_path / "a.parquet")
    lw.save(lw.fit(table, "y", missing="drop"), tmp_path / "model.safetensors")
    out = CliRunner().invoke(main, ["predict", str(tmp_path), str(tmp_path / "a.parquet"), "--json"]).stdout
    last = json.loads(out.splitlines()[2], parse_constant=lambda word: pytest.fail(word))
    assert last["x"] is None
    assert last["prediction"] is None


def test_rows_cannot_be_read_off_a_model_file(tmp_path):
    X, y = xy(8)
    fit = lw.fit((X[:, :1], y), folds=5)
    lw.save(fit, tmp_path / "m")
    again = lw.load(tmp_path / "m")
    assert len(again.moments.parts) == 1
    np.testing.assert_array_equal(again.validation.mse, fit.validation.mse)
    assert again.summary() == fit.summary()


def test_grouped_moments_of_parts_add_up_and_score():
    X, y = xy(600)
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(y=y, g=[f"g{i % 60}" for i in range(600)])
    parts = [lw.condense(frame[i : i + 150], "y", group="g") for i in range(0, 600, 150)]
    assert sum(parts) == lw.condense(frame, "y", group="g")
    assert lw.fit(sum(parts)).validation.k == 5


def test_a_y_of_one_column_is_predicted_as_one_column(tmp_path):
    X, y = xy()
    fit = lw.fit((X, y[:, None]))
    assert fit.predict(X).shape == (200, 1)
    assert fit.coef.shape == (2,)
    lw.save(fit, tmp_path / "m")
    assert lw.load(tmp_path / "m").predict(X).shape == (200, 1)
    assert lw.fit((X, y)).predict([[0.0, 1.0]]).shape == (1,)


@pytest.mark.parametrize("n", [10, 12, 25, 99])
def test_few_rows_are_dealt_evenly_by_content(n):
    X, y = xy(n)
    sizes = lw.fit((X[:, :1], y)).validation.n
    assert sizes.max() - sizes.min() <= 1
    order = np.random.default_rng(1).permutation(n)
    turned = lw.fit((X[order, :1], y[order])).validation
    np.testing.assert_allclose(turned.mse, lw.fit((X[:, :1], y)).validation.mse, rtol=1e-10)


def test_groups_are_counted_among_the_rows_that_are_used():
    X, y = xy(100)
    frame = pd.DataFrame({"a": X[:, 0], "y": y, "g": [f"g{i % 50}" for i in range(100)]})
    frame.loc[frame["g"] > "g3", "y"] = np.nan
    fit = lw.fit(frame, "y", group="g", missing="drop")
    assert fit.validation.plan.groups == frame.dropna()["g"].nunique()


def test_one_family_of_sequences_is_held_out_by_position():
    wild = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV"
    texts = [wild[:i] + "A" + wild[i + 1 :] for i in range(40)]
    frame = pd.DataFrame({"seq": texts, "y": np.arange(40.0) % 7})
    fit = lw.fit(frame, "y", sequence="seq")
    assert fit.validation.plan.regime == "position:modulo"
    assert "mutated positions (modulo)" in fit.summary()


def test_an_unknown_letter_is_told_with_its_row():
    texts = ["ACDEFGHIKL" * 2 + "ACDEFGHIKL"[: i % 9 + 1] for i in range(150)]
    texts[100] = "ACDUF" * 6
    frame = pd.DataFrame({"seq": [None] * 10 + texts, "y": np.arange(160.0)})
    with pytest.raises(lw.errors.SequenceError, match=r"Row 111, column 'seq'"):
        lw.fit(frame, "y", sequence="seq", missing="drop")


def test_missing_days_are_filled_and_missing_declared_levels_are_not_dropped():
    y = xy()[1]
    days = pd.Series(pd.date_range("2020-01-01", periods=200)).where(np.arange(200) % 4 > 0)
    frame = pd.DataFrame({"day": days, "y": y})
    fit = lw.fit(frame, "y", missing="mean", dates="days", folds=0)
    assert fit.tally.used == 200
    assert np.isfinite(fit.predict(frame)).all()
    frame = pd.DataFrame({"s": ["u", "v", None, "u"] * 50, "y": y})
    with pytest.raises(lw.errors.ColumnError, match=r"declared levels have no '\(missing\)'"):
        lw.fit(frame, "y", missing="mean", levels={"s": ["u", "v"]})


def test_augment_keeps_the_index_and_every_kind_of_column(tmp_path):
    X, y = xy(30)
    frame = pd.DataFrame(
        {"a": X[:, 0], "y": y, "day": pd.date_range("2020", periods=30)}, index=range(5, 35)
    )
    fit = lw.fit(frame, "y", drop="day")
    views = fit.augment(frame)
    pd.testing.assert_frame_equal(views[["a", "y"]], frame[["a", "y"]])
    np.testing.assert_allclose(views[".resid"], frame["y"] - fit.predict(frame))


def test_overwriting_a_run_leaves_other_files_in_it(tmp_path):
    from leastwise.store import save_run

    folder = tmp_path / "run"
    fit = lw.fit(xy())
    save_run(fit, folder)
    (folder / "notes.txt").write_text("mine")
    save_run(fit, folder, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [folder]


def test_results_cannot_be_written_on():
    fit = lw.fit(xy())
    with pytest.raises(ValueError, match="read-only"):
        fit.coef[:] = 0


def test_scores_of_one_value_are_the_same_for_float32_and_float64():
    X, y = xy()
    X32, y32 = X.astype(np.float32), y.astype(np.float32)
    small, large = lw.fit((X32, y32)), lw.fit((X32.astype(float), y32.astype(float)))
    np.testing.assert_array_equal(small.validation.n, large.validation.n)
    np.testing.assert_allclose(small.validation.mse, large.validation.mse, rtol=1e-10)


def test_what_is_printed_is_what_the_coefficients_are():
    X, y = xy(6)
    X = np.column_stack([X, X @ [1, 1], X @ [1, -1], X[:, 0]])
    fit = lw.fit((X, y), rank="min-norm", folds=0)
    np.testing.assert_allclose(fit.tidy()["estimate"].to_numpy()[1:], fit.coef)
    assert "left out" not in fit.summary()
    assert "the shortest of all solutions" in fit.summary()


def test_overwriting_through_a_link_or_from_inside_loses_nothing(tmp_path, monkeypatch):
    from pathlib import Path

    from leastwise.store import save_run

    folder, fit = tmp_path / "run", lw.fit(xy())
    save_run(fit, folder)
    (folder / "plots").mkdir()
    (folder / "plots" / "a.png").write_text("mine")
    (tmp_path / "link").symlink_to(folder)
    save_run(fit, tmp_path / "link", overwrite=True)
    monkeypatch.chdir(folder)
    save_run(fit, Path("."), overwrite=True)
    assert (folder / "plots" / "a.png").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "run"]


def test_parts_with_columns_in_another_order_stay_under_their_names(tmp_path):
    frame = pd.DataFrame({"x": np.arange(40.0), "y": np.arange(40.0) ** 2, "s": ["u", "v"] * 20})
    frame[:20].to_parquet(tmp_path / "1.parquet")
    frame[20:][["s", "y", "x"]].to_parquet(tmp_path / "2.parquet")
    run = tmp_path / "run"
    run.mkdir()
    parts = [str(tmp_path / "1.parquet"), str(tmp_path / "2.parquet")]
    fit = lw.fit(parts, "y")
    lw.save(fit, run / "model.safetensors")
    for out in ("p.csv", "p.parquet"):
        words = ["predict", str(run), *parts, "-o", str(tmp_path / out), "--quiet"]
        assert CliRunner().invoke(main, words).exit_code == 0
        read = pd.read_csv if out == "p.csv" else pd.read_parquet
        pd.testing.assert_frame_equal(read(tmp_path / out)[["x", "y", "s"]], frame, check_dtype=False)
    pd.testing.assert_frame_equal(fit.augment(parts)[["x", "y", "s"]], frame, check_dtype=False)


def test_repeated_rows_never_raise_the_rank():
    r = np.random.default_rng(114)
    for n in range(8, 22):
        X = np.repeat(r.normal(size=(n, 4 * n)), 2, axis=0)
        solution = lw.fit((X, r.normal(size=2 * n)), folds=0).solution
        assert solution.rank == n - 1
        assert np.abs(solution.coef).max() < 1e6


def test_true_and_false_that_are_levels_are_predicted_as_levels(tmp_path):
    frame = pd.DataFrame({"flag": [True, False] * 20, "x": range(40), "y": np.arange(40.0) % 7})
    frame.to_csv(tmp_path / "a.csv", index=False)
    lw.save(lw.fit(tmp_path / "a.csv", "y", categorical="flag"), tmp_path / "model.safetensors")
    found = CliRunner().invoke(main, ["predict", str(tmp_path), str(tmp_path / "a.csv")])
    assert found.exit_code == 0, found.stderr


def test_scores_that_moments_cannot_carry_come_from_the_rows():
    t = np.linspace(0, 10, 200)
    X = np.vander(t, 13)[:, :-1]
    fit = lw.fit((X, np.sin(t)))
    assert "not those that were fitted" not in fit.summary()
    scores = fit.validation
    told = np.array(fit.facts["validation"]["by_fold"]["mse"])
    np.testing.assert_allclose(told, scores.held_out["mse"], rtol=2e-3)


def test_groups_without_a_usable_row_take_no_place_in_the_folds():
    r = np.random.default_rng(0)
    frame = pd.DataFrame({"x": r.normal(size=60), "y": r.normal(size=60), "g": np.arange(60) % 7})
    frame["w"] = np.where(frame["g"] < 2, 0.0, 1.0)
    fit = lw.fit(frame, "y", group="g", weight="w")
    assert fit.validation.plan.groups == 5
    assert fit.validation.k == 5


def test_options_for_moments_are_checked_however_they_come():
    m = lw.condense(xy())
    with pytest.raises(lw.errors.UsageError, match="folds=5"):
        lw.fit(m, options=lw.Options(folds=3))
    assert lw.fit(m, folds=None).validation.k == 5


def test_augment_takes_pairs_and_predict_refuses_ragged_lists():
    X, y = xy(30)
    frame = pd.DataFrame(X, columns=["a", "b"])
    fit = lw.fit((frame, pd.Series(y, name="y")))
    assert len(fit.augment((frame[:2], pd.Series(y[:2], name="y")))) == 2
    with pytest.raises(lw.errors.LeastwiseError):
        fit.predict([[1.0, 2.0], [3.0]])


def test_every_change_of_a_sequence_is_counted_and_told():
    r = np.random.default_rng(0)
    texts = ["".join(r.choice(list("ACDEFGHIKLMNPQRSTVWY"), 60)) for _ in range(40)]
    texts[3] = "UU" + texts[3]
    texts[7] += "*"
    frame = pd.DataFrame({"seq": texts, "y": r.normal(size=40)})
    for folds in (0, 4):
        notes = " ".join(lw.fit(frame, "y", sequence="seq", unknown="mask", folds=folds).notes)
        assert "masked 'U', 2 characters in 1 sequence" in notes
        assert "stop removed '*', 1 character in 1 sequence" in notes
