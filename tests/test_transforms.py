"""Targets that are transformed: what is learned, by whom, and that no held-out row has a part in it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

import leastwise as lw
from leastwise.cli import main
from leastwise.numerics import spearman
from leastwise.transforms import CANDIDATES, Transform, learned

NAMES = ("none", "log", "log:5%", "log:25%", "log:0.7", "ranks")


def table(n: int = 240, groups: int = 30, seed: int = 0) -> pa.Table:
    """Rows whose logarithm is linear, in groups."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = np.exp(X @ [1.0, 0.5, -0.3] + 0.4 * rng.normal(size=n))
    columns = {f"x{j}": X[:, j] for j in range(3)}
    return pa.table({**columns, "y": y, "g": [f"g{i}" for i in rng.integers(0, groups, n)]})


def arrays(t: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X = np.column_stack([t[f"x{j}"].to_numpy() for j in range(3)])
    return X, t["y"].to_numpy(), np.array(t["g"].to_pylist())


# ---- what is learned ----


@pytest.mark.parametrize("name", NAMES)
def test_what_was_turned_is_turned_back(name):
    y = np.exp(np.random.default_rng(1).normal(size=500))
    made = learned(name, y, np.ones(500))
    above = y >= made.floor
    np.testing.assert_allclose(made.back(made.of(y))[above], y[above], rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_order_is_kept(name):
    rng = np.random.default_rng(2)
    made = learned(name, np.exp(rng.normal(size=300)), np.ones(300))
    z = made.of(np.sort(np.exp(2 * rng.normal(size=1_000))))
    assert (np.diff(z) >= 0).all()
    assert (np.diff(made.back(np.linspace(z.min() - 1, z.max() + 1, 500))) >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_weight_three_counts_as_three_rows_and_one_of_weight_none_as_no_row(name):
    rng = np.random.default_rng(3)
    y, w = np.exp(rng.normal(size=200)).round(1) + 0.1, rng.integers(0, 4, 200)
    assert learned(name, y, w.astype(float)) == learned(name, np.repeat(y, w), np.ones(w.sum()))


def test_ranks_are_the_middle_of_ties():
    made = learned("ranks", np.array([3.0, 1.0, 3.0, 8.0]), np.ones(4))
    np.testing.assert_allclose(made.of(np.array([1.0, 3.0, 8.0])), [0.125, 0.5, 0.875])
    np.testing.assert_allclose(made.back(np.array([-9.0, 0.125, 0.5, 0.875, 9.0])), [1, 1, 3, 8, 8])


def test_ranks_of_many_values_keep_their_places_to_a_thousandth():
    y = np.random.default_rng(4).normal(size=30_000) ** 3
    made = learned("ranks", y, np.ones(len(y)))
    true = (np.argsort(np.argsort(y)) + 0.5) / len(y)
    assert len(made.values) <= 1_001
    assert np.abs(made.of(y) - true).max() < 1e-3


def test_floors_are_the_least_positive_value_or_a_quantile_of_the_positive_ones():
    y = np.concatenate([np.arange(1.0, 101.0), np.zeros(20), [-5.0]])
    floors = {
        name: learned(name, y, np.ones(len(y))).floor for name in ("log", "log:5%", "log:25%", "log:3")
    }
    assert floors == {"log": 1.0, "log:5%": 5.0, "log:25%": 25.0, "log:3": 3.0}


def test_nan_stays_nan():
    for name in NAMES:
        made = learned(name, np.array([1.0, 2.0, 3.0]), np.ones(3))
        assert np.isnan(made.back(np.array([np.nan]))).all()


# ---- the slow twin: every training set by a loop of its own ----


def twin_model(X, y, w_rows, name):
    """What these rows learn, by lstsq on their own transform."""
    made = learned(name, y[w_rows], np.ones(w_rows.sum()))
    A = np.column_stack([np.ones(len(X)), X])
    b = np.linalg.lstsq(A[w_rows], made.of(y[w_rows]), rcond=None)[0]
    return made, b, made.back(A @ b)


def twin_choice(X, y, part, rows, by_order):
    """Which transform these rows choose among themselves, part by part."""
    scores = {}
    for name in CANDIDATES:
        guess = np.full(len(y), np.nan)
        for k in np.unique(part[rows]):
            held = rows & (part == k)
            guess[held] = twin_model(X, y, rows & ~held, name)[2][held]
        off = float(((guess - y)[rows] ** 2).mean())
        sizes = [(rows & (part == k)).sum() for k in np.unique(part[rows])]
        order = [spearman(y[rows & (part == k)], guess[rows & (part == k)]) for k in np.unique(part[rows])]
        scores[name] = -float(np.average(order, weights=sizes)) if by_order else off
    return min(scores, key=scores.get), {k: abs(v) for k, v in scores.items()}


@pytest.mark.parametrize("asked", ["cv", "cv:spearman"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_choice_and_the_score_are_those_of_loops_over_rows(asked, seed):
    t = table(seed=seed)
    fit = lw.fit(t, "y", group="g", transform=asked, folds=4)
    X, y, g = arrays(t)
    part = np.array([fit.moments.plan.places[one] for one in g])
    name, scores = twin_choice(X, y, part, np.ones(len(y), bool), asked == "cv:spearman")
    assert fit.recipe.scale.name == name
    assert fit.scaled.chosen.scores == pytest.approx(scores, rel=1e-8)
    np.testing.assert_allclose(fit.predict(t), twin_model(X, y, np.ones(len(y), bool), name)[2], rtol=1e-9)
    for k in range(4):
        train, held = part != k, part == k
        own, _ = twin_choice(X, y, part, train, asked == "cv:spearman")
        made, b, guess = twin_model(X, y, train, own)
        v = fit.validation
        assert v.back[k] == made
        np.testing.assert_allclose([v.intercept[k, 0], *v.coef[k, 0]], b, rtol=1e-8, atol=1e-12)
        mse = ((guess - y)[held] ** 2).mean()
        assert v.mse[k] == pytest.approx(mse, rel=1e-8)
        assert v.train_mse[k] == pytest.approx(((guess - y)[train] ** 2).mean(), rel=1e-8)
        assert v.mean_mse[k] == pytest.approx(((y[held] - y[train].mean()) ** 2).mean(), rel=1e-10)
        assert v.r2[k] == pytest.approx(1 - mse / y[held].var(), rel=1e-8)
        assert v.spearman[k] == pytest.approx(spearman(y[held], guess[held]), abs=1e-12)
    np.testing.assert_allclose(v.held_out["mse"], v.mse, rtol=1e-8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("penalty", [None, lw.L2(0.1), lw.L1(0.02), lw.L2("cv")], ids=str)
def test_a_transform_by_name_is_the_fit_of_the_target_transformed(name, penalty):
    t = table()
    y = t["y"].to_numpy()
    fit = lw.fit(t, "y", group="g", transform=name, penalty=penalty, folds=4)
    if name == "none":
        return_of = Transform()
        assert fit.scaled is None
    else:
        return_of = fit.recipe.scale
        assert return_of == learned(name, y, np.ones(len(y)))
    z = t.set_column(t.schema.get_field_index("y"), "y", pa.array(return_of.of(y)))
    fixed = penalty
    if penalty is not None and penalty.rule:  # the penalty that was chosen, folds learning for themselves
        fixed = lw.L2(fit.choice.alpha)
    plain = lw.fit(z, "y", group="g", penalty=fixed, folds=4)
    np.testing.assert_allclose(fit.coef, plain.coef, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fit.predict(t), return_of.back(np.asarray(plain.predict(z))), rtol=1e-7)


# ---- nothing leaks ----


@pytest.mark.parametrize("asked", ["log", "log:25%", "ranks", "cv", "cv:spearman"])
@pytest.mark.parametrize("penalty", [None, lw.L2("cv")], ids=["least squares", "ridge"])
def test_what_is_held_out_has_no_part_in_what_its_fold_learns(asked, penalty):
    """The rows of a fold are given other values, far away: the model that is scored by them is the same."""
    t = table()
    before = lw.fit(t, "y", group="g", transform=asked, penalty=penalty, folds=4)
    _, y, g = arrays(t)
    part = np.array([before.moments.plan.places[one] for one in g])
    for k in range(4):
        planted = np.where(part == k, 1e-3 + 50 * np.random.default_rng(k).random(len(y)), y)
        other = t.set_column(t.schema.get_field_index("y"), "y", pa.array(planted))
        after = lw.fit(other, "y", group="g", transform=asked, penalty=penalty, folds=4)
        assert after.moments.plan == before.moments.plan
        a, b = before.validation, after.validation
        assert b.back[k] == a.back[k]
        np.testing.assert_allclose(b.coef[k], a.coef[k], rtol=1e-7, atol=1e-9)
        if penalty is not None:
            np.testing.assert_allclose(b.alpha[k], a.alpha[k], rtol=1e-9)
        others = [i for i in range(4) if i != k]  # the test can fail: all others did see these rows
        assert any(b.back[i] != a.back[i] or not np.allclose(b.coef[i], a.coef[i]) for i in others)


def test_intervals_hold_about_as_often_as_they_say_and_in_units_of_the_target():
    t = table(n=2_000, groups=200)
    fit = lw.fit(t, "y", group="g", transform="log")
    found = fit.coverage(0.9)
    assert 0.87 < found.held.mean() < 0.94
    new = table(n=4_000, seed=9)
    y = new["y"].to_numpy()
    for of in ("unseen", "row"):
        guess, low, high = fit.predict(new, interval=0.9, of=of)
        assert 0.87 < ((low <= y) & (y <= high)).mean() < 0.94
        assert ((low <= guess) & (guess <= high)).all()
    assert (fit.predict(new, interval=0.9, of="row").low > 0).all()


# ---- what is kept, told and refused ----


def test_the_model_file_predicts_and_tells_the_same(tmp_path):
    t = table()
    fit = lw.fit(t, "y", group="g", transform="cv", penalty=lw.L2("cv"))
    lw.save(fit, tmp_path / "m.safetensors")
    again = lw.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(t), fit.predict(t))
    for mine, theirs in zip(again.predict(t, interval=0.9), fit.predict(t, interval=0.9), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert str(again) == str(fit)
    assert again.validation.back == fit.validation.back


def test_the_summary_says_what_is_of_which_target():
    said = str(lw.fit(table(), "y", group="g", transform="cv"))
    assert "z = log(max(y, " in said
    assert "scores on unseen rows, predictions and intervals of y" in said
    assert "chosen of 5 by held-out folds: least mean squared error of y" in said
    assert "as it came" in said
    assert ".fit(X, z)" in said
    assert "- z_i)^2" in said


def test_standard_errors_and_diagnostics_are_of_the_target_transformed():
    t = table()
    fit = lw.fit(t, "y", group="g", transform="log")
    z = t.set_column(t.schema.get_field_index("y"), "y", pa.array(np.log(t["y"].to_numpy())))
    plain = lw.fit(z, "y", group="g")
    for se in ("classical", "HC3", "CR1"):
        np.testing.assert_allclose(fit.infer(se).se, plain.infer(se).se, rtol=1e-9)
    np.testing.assert_allclose(
        fit.diagnostics().cooks_distance, plain.diagnostics().cooks_distance, rtol=1e-8
    )
    made = fit.augment(t)
    np.testing.assert_allclose(made[".resid"].to_numpy(), t["y"].to_numpy() - fit.predict(t), rtol=1e-12)


def test_variants_with_one_fold_choose_among_parts_of_what_is_trained_on():
    rng = np.random.default_rng(5)
    wild = "MKTAYIAKQRQISFVKSHFSRQ"
    rows = {}
    for _ in range(400):
        at = sorted(rng.choice(len(wild), rng.integers(1, 4), replace=False).tolist())
        name = ":".join(f"{wild[i]}{i + 1}{'AC'[i % 2] if wild[i] not in 'AC' else 'G'}" for i in at)
        rows[name] = len(at)
    y = np.exp([-0.5 * n + 0.1 * rng.normal() for n in rows.values()])
    t = pa.table({"m": list(rows), "y": y})
    fit = lw.fit(
        t, "y", features=(), sequence="m", wild_type=wild, encode_as="one-hot", group="mutations:1",
        penalty=lw.L2("cv"), transform="cv",
    )  # fmt: skip
    assert fit.validation.k == 1
    assert len(fit.scaled.chosen.scores) == 5
    scores = fit.scaled.chosen.scores
    assert fit.recipe.scale.name == min(scores, key=scores.get)
    assert fit.validation.back[0].name in CANDIDATES


def test_rows_that_are_dropped_and_gaps_that_are_filled_go_with_it():
    t = table()
    y = t["y"].to_numpy().copy()
    y[:7] = np.nan
    x = t["x1"].to_numpy().copy()
    x[5:20] = np.nan
    t = t.set_column(3, "y", pa.array(y, from_pandas=True)).set_column(
        1, "x1", pa.array(x, from_pandas=True)
    )
    fit = lw.fit(t, "y", group="g", transform="cv", missing="mean")
    assert fit.tally.used == 233
    assert np.isfinite(fit.predict(t)).all()
    np.testing.assert_allclose(fit.validation.held_out["mse"], fit.validation.mse, rtol=1e-8)


REFUSED = [
    ({"transform": "logs"}, "transform='logs' is not known"),
    ({"transform": "log:-1"}, "transform='log:-1' is not known"),
    ({"transform": "log:100%"}, "is not known"),
    ({"transform": "log:"}, "is not known"),
    ({"transform": 3}, "transform=3 is not known"),
    ({"transform": "cv", "folds": 0}, "is chosen by held-out folds, and there are none"),
    ({"transform": "log", "target": ["y", "x0"], "features": ["x1"]}, "is of one target"),
    ({"transform": "log", "target": "x0"}, "of the target's values are above 0"),
    ({"transform": "log:1e9"}, "No value of the target is above 1e\\+09"),
    ({"transform": "log", "repeats": 3}, "cannot be done with repeats=3"),
    ({"transform": "ranks", "folds": "leave-one-out"}, "cannot be done with folds='leave-one-out'"),
    ({"transform": "cv", "folds": 60}, "600 are the most"),
]  # fmt: skip


@pytest.mark.parametrize(("how", "said"), REFUSED, ids=lambda x: str(x))
def test_what_cannot_be_is_refused(how, said):
    with pytest.raises(lw.errors.LeastwiseError, match=said):
        lw.fit(table().drop_columns(["g"]), **{"target": "y", **how})


def test_two_folds_leave_nothing_to_choose_by_for_the_score():
    found = lw.fit(table(), "y", group="g", transform="cv", folds=2).validation
    assert not found
    assert "the transform is chosen anew in every fold" in found.reason


def test_it_is_for_fit_alone():
    t = table()
    with pytest.raises(lw.errors.UsageError, match="transform='log' is for fit, not for moments"):
        lw.condense(t, "y", transform="log")
    with pytest.raises(lw.errors.UsageError, match="transform='log' is for fit"):
        lw.descend(t, "y", transform="log", lr=0.1, steps=3)
    with pytest.raises(lw.errors.UsageError, match="Moments are past 'transform'"):
        lw.fit(lw.condense(t.drop_columns(["g"]), "y"), transform="log")
    with pytest.raises(lw.errors.UsageError, match="cannot turn its predictions back"):
        lw.fit(t, "y", group="g", transform="log").to_torch()


def test_a_stream_is_refused_for_it_is_read_once():
    reader = pa.RecordBatchReader.from_batches(table().schema, table().to_batches())
    with pytest.raises(lw.errors.UsageError, match="is learned from all rows first"):
        lw.fit(reader, "y", group="g", transform="log")


def test_the_command_line_fits_and_predicts(tmp_path):
    import pyarrow.csv as pacsv

    t = table()
    pacsv.write_csv(t, tmp_path / "t.csv")
    asked = ["fit", str(tmp_path / "t.csv"), "--target", "y", "--group", "g", "--transform", "cv"]
    made = CliRunner().invoke(main, [*asked, "-o", str(tmp_path / "run")])
    assert made.exit_code == 0, made.output
    assert "z = log(" in made.output
    assert "log(max(y" in (tmp_path / "run" / "report.html").read_text()
    out = tmp_path / "p.csv"
    done = CliRunner().invoke(
        main, ["predict", str(tmp_path / "run"), str(tmp_path / "t.csv"), "-o", str(out)]
    )
    assert done.exit_code == 0, done.output
    fit = lw.fit(t, "y", group="g", transform="cv")
    np.testing.assert_allclose(pacsv.read_csv(out)["prediction"].to_numpy(), fit.predict(t), rtol=1e-9)


@pytest.mark.parametrize("name", ["log", "log:5%", "log:0.01", "ranks", "cv"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e200])
def test_a_target_that_is_infinite_or_huge_is_refused(name, value):
    t = table(60)
    y = t["y"].to_numpy().copy()
    y[7] = value
    with pytest.raises(lw.errors.DataError, match="row 8"):
        lw.fit(t.set_column(3, "y", pa.array(y)), "y", group="g", transform=name)


def test_a_recipe_that_was_fitted_learns_anew():
    t = table()
    one = lw.fit(t, "y", group="g", transform="ranks")
    again = lw.fit(t, recipe=one.recipe)
    np.testing.assert_array_equal(again.predict(t), one.predict(t))
    with pytest.raises(lw.errors.UsageError, match="not for moments"):
        lw.condense(t, recipe=one.recipe)


def attempt(*asked, **how):
    """The fit, or None where it is refused."""
    try:
        return lw.fit(*asked, **how)
    except lw.errors.LeastwiseError:
        return None


FEW = [{"transform": "ranks", "penalty": lw.L2("cv")}, {"transform": "cv"}]


@pytest.mark.parametrize("how", FEW, ids=str)
def test_few_rows_choose_by_numbers_or_not_at_all(how):
    t = table(60).drop_columns(["g"])
    fits = [attempt(t.slice(0, n), "y", features=["x0"], **how) for n in range(2, 20)]
    some = [fit for fit in fits if fit is not None]
    assert some
    for fit in some:
        assert fit.choice is None or np.isfinite(fit.choice.error).all()
        assert np.isfinite(list(fit.scaled.chosen.scores.values())).all()
        assert "y on 1 feature" in str(fit)


def test_a_logarithm_that_all_rows_cannot_learn_is_not_chosen():
    rng = np.random.default_rng(11)
    x = rng.normal(size=240)
    side = np.array(["train", "train", "val", "test"] * 60)
    y = np.where(side == "test", -rng.random(240) * 5, np.exp(x + 0.1 * rng.normal(size=240)))
    t = pa.table({"x": x, "y": y, "set": side})
    many = pa.concat_tables([t, *[t.filter(pa.array(side == "test"))] * 6])
    fit = lw.fit(many, "y", group="set", folds="predefined", transform="cv")
    assert set(fit.scaled.chosen.scores) == {"none", "ranks"}
    assert fit.validation.back[0].name in CANDIDATES


def test_constant_targets_are_told_in_their_own_units():
    t = table(60)
    for name in ("ranks", "log", "log:0.01", "cv"):
        with pytest.raises(lw.errors.DataError, match="The target 'y' is 5 in all 60 rows"):
            lw.fit(t.set_column(3, "y", pa.array(np.full(60, 5.0))), "y", group="g", transform=name)


def test_a_training_set_that_cannot_learn_is_named_and_what_only_coverage_takes_is_not_asked():
    rng = np.random.default_rng(12)
    x = rng.normal(size=100)
    y = np.where(np.arange(100) < 53, np.exp(x), -np.exp(x))
    t = pa.table({"x": x, "y": y, "g": [f"g{i // 10}" for i in range(100)]})
    fit = lw.fit(t, "y", group="g", transform="log", folds=0)
    assert fit.recipe.scale.name == "log"
    with pytest.raises(lw.errors.DataError, match="Of the rows that a fold is trained on: "):
        lw.fit(t, "y", group="g", transform="log", folds=5)


def test_predictions_far_away_are_numbers_still():
    t = table()
    fit = lw.fit(t, "y", group="g", transform="log")
    far = pa.table({f"x{j}": 1e6 * t[f"x{j}"].to_numpy() for j in range(3)})
    assert np.isfinite(fit.predict(far)).all()


@pytest.mark.parametrize("asked", ["cv", "cv:spearman"])
def test_of_scores_that_differ_by_rounding_the_plainer_is_taken(asked, monkeypatch):
    scores = iter(0.5 * (1 + sign * 1e-16) for sign in (0, 4, -4, 2, -2) * 20)
    monkeypatch.setattr("leastwise.transformed.Transformed._score", lambda *_: next(scores))
    assert lw.fit(table(), "y", group="g", transform=asked).recipe.scale.name == "none"
