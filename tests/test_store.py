"""Files: what is loaded is what was saved, or nothing is."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest

import leastwise as lw
from leastwise.store import save_run, write_whole


@pytest.fixture
def data():
    r = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame({"x": r.normal(size=n), "site": r.choice(list("abc"), n)})
    frame.loc[[3, 50], "x"] = np.nan
    return frame.assign(y=frame["x"].fillna(0) + (frame["site"] == "b") + r.normal(size=n))


@pytest.fixture
def fit(data):
    return lw.fit(data, "y", missing="mean")


def test_a_loaded_fit_says_and_predicts_the_same(fit, data, tmp_path):
    lw.save(fit, tmp_path / "m.safetensors")
    again = lw.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(data), fit.predict(data))
    assert again.summary() == fit.summary()
    assert again.recipe == fit.recipe
    assert again.moments == fit.moments
    np.testing.assert_allclose(again.validation.mse, fit.validation.mse, rtol=1e-12)
    pd.testing.assert_frame_equal(again.tidy(), fit.tidy())
    pd.testing.assert_frame_equal(again.glance(), fit.glance())


def test_loaded_moments_are_equal_and_add_up(data, tmp_path):
    halves = [lw.condense(data[a:b].fillna({"x": 0}), "y", features=["x"]) for a, b in ((0, 50), (50, 120))]
    for i, m in enumerate(halves):
        lw.save(m, tmp_path / f"{i}.moments")
    loaded = [lw.load(tmp_path / f"{i}.moments") for i in range(2)]
    assert loaded == halves
    assert sum(loaded) == lw.condense(data.fillna({"x": 0}), "y", features=["x"])


def test_moments_that_are_rows_stay_out_of_a_model_file(tmp_path):
    r = np.random.default_rng(0)
    X, y = r.normal(size=(5, 20)), r.normal(size=5)
    fit = lw.fit((X, y), rank="min-norm")
    lw.save(fit, tmp_path / "m")
    again = lw.load(tmp_path / "m")
    assert again.moments is None
    np.testing.assert_array_equal(again.predict(X), fit.predict(X))
    raw = (tmp_path / "m").read_bytes()
    assert X[0].tobytes()[:24] not in raw
    lw.save(fit.moments, tmp_path / "moments")  # asked for by name, they are kept
    assert lw.load(tmp_path / "moments") == fit.moments


def test_one_bit_flipped_anywhere_is_refused(fit, tmp_path):
    path = tmp_path / "m"
    lw.save(fit, path)
    raw = path.read_bytes()
    r = np.random.default_rng(0)
    for bit in r.choice(8 * len(raw), 400, replace=False):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(broken))
        with pytest.raises(lw.errors.StoreError):
            lw.load(path)


def test_a_file_cut_short_or_foreign_is_refused(fit, tmp_path):
    path = tmp_path / "m"
    lw.save(fit, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(lw.errors.StoreError, match="damaged or no model file"):
        lw.load(path)
    path.write_text("hello")
    with pytest.raises(lw.errors.StoreError, match="damaged or no model file"):
        lw.load(path)
    with pytest.raises(lw.errors.DataError, match="There is no model at"):
        lw.load(tmp_path / "nothing")


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.ones(3)}, tmp_path / "m")
    with pytest.raises(lw.errors.StoreError, match="not one of leastwise"):
        lw.load(tmp_path / "m")


def test_a_later_schema_is_refused_with_what_to_do(fit, tmp_path, monkeypatch):
    monkeypatch.setattr("leastwise.store.SCHEMA", 99)
    lw.save(fit, tmp_path / "m")
    monkeypatch.undo()
    with pytest.raises(lw.errors.StoreError, match=r"schema 99.*Upgrade"):
        lw.load(tmp_path / "m")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(lw.errors.StoreError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_folder_is_whole_and_never_replaced_unasked(fit, tmp_path):
    folder = tmp_path / "run"
    save_run(fit, folder)
    names = ["coefficients.csv", "model.safetensors", "report.html", "run.json"]
    assert sorted(p.name for p in folder.iterdir()) == names
    with pytest.raises(lw.errors.StoreError, match=r"holds an earlier run\. Pass --overwrite"):
        save_run(fit, folder)
    save_run(fit, folder, overwrite=True)
    assert list(tmp_path.iterdir()) == [folder]
    assert json.loads((folder / "run.json").read_text())["solution"]["n"] == 120
    table = pd.read_csv(folder / "coefficients.csv")
    np.testing.assert_allclose(table["estimate"][1:], fit.coef, rtol=1e-15)


def test_a_folder_that_is_no_run_is_never_replaced(fit, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"meow")
    with pytest.raises(lw.errors.StoreError, match="is no earlier run"):
        save_run(fit, folder, overwrite=True)
    assert (folder / "cat.jpg").read_bytes() == b"meow"


def test_a_run_that_fails_half_way_leaves_nothing(fit, tmp_path, monkeypatch):
    monkeypatch.setattr("leastwise.store.page", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_run(fit, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_only_fits_and_moments_are_saved(tmp_path):
    with pytest.raises(lw.errors.UsageError, match="A fit or moments can be saved, not dict"):
        lw.save({}, tmp_path / "m")
