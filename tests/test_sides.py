"""Tables that say themselves what is trained on and what is held out: train, val, test, pred."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, Ridge

import leastwise as lw
from leastwise.errors import ParseError, UsageError

SIDES = ["train", "train", "val", "test", "train", "pred"]


def table(n: int = 180, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    y = X @ [1, 0.5, 0, 0, 0, 0.2] + rng.normal(size=n)
    columns = {f"x{j}": X[:, j] for j in range(6)}
    return pa.table({**columns, "y": y, "set": [SIDES[i % 6] for i in range(n)]})


def arrays(t: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X = np.column_stack([t[f"x{j}"].to_numpy() for j in range(6)])
    return X, t["y"].to_numpy(), np.array(t["set"].to_pylist())


def by_side(t: pa.Table, **how):
    return lw.fit(t, "y", group="set", folds="predefined", **how)


def test_test_is_held_out_and_trained_on_are_train_and_val():
    t = table()
    X, y, side = arrays(t)
    fit = by_side(t)
    known, test = np.isin(side, ["train", "val"]), side == "test"
    guess = LinearRegression().fit(X[known], y[known]).predict(X[test])
    assert fit.validation.n.tolist() == [30]
    assert fit.validation.mse[0] == pytest.approx(((guess - y[test]) ** 2).mean(), rel=1e-9)


def test_what_is_only_to_be_predicted_has_no_part_in_anything():
    t = table()
    y = t["y"].to_numpy().copy()
    y[arrays(t)[2] == "pred"] = np.nan  # as they come: nobody has measured them
    lacking = t.set_column(t.schema.get_field_index("y"), "y", pa.array(y))
    for one in (by_side(t), by_side(lacking)):
        assert one.tally.dropped == {"'set' as it is only to be predicted": 30}
        assert one.solution.n == 150
    np.testing.assert_array_equal(by_side(lacking).coef, by_side(t).coef)


def test_the_penalty_is_the_one_that_val_finds_best_for_train():
    t = table()
    X, y, side = arrays(t)
    fit = by_side(t, penalty=lw.L2("cv"))
    train, val = side == "train", side == "val"
    errors = [
        ((Ridge(2 * train.sum() * a).fit(X[train], y[train]).predict(X[val]) - y[val]) ** 2).mean()
        for a in fit.choice.alphas
    ]
    np.testing.assert_allclose(fit.choice.error, errors, rtol=1e-6)
    assert fit.choice.alpha == fit.choice.alphas[int(np.argmin(errors))]
    assert fit.validation.alpha[0] == fit.choice.alpha


def test_test_rows_choose_nothing():
    t = table()
    fit = by_side(t, penalty=lw.L2("cv"), transform="ranks")
    _, y, side = arrays(t)
    wild = np.where(side == "test", 1e3 * np.random.default_rng(1).normal(size=len(y)), y)
    other = by_side(
        t.set_column(t.schema.get_field_index("y"), "y", pa.array(wild)),
        penalty=lw.L2("cv"),
        transform="ranks",
    )
    np.testing.assert_allclose(other.validation.alpha, fit.validation.alpha, rtol=1e-9)
    np.testing.assert_allclose(other.validation.coef, fit.validation.coef, rtol=1e-7, atol=1e-10)
    assert other.validation.back == fit.validation.back


@pytest.mark.parametrize("mark", [[True, None], ["True", ""], [1, 0], ["val", None]], ids=str)
def test_a_column_validation_beside_set_marks_the_val_among_train(mark):
    t = table()
    side = arrays(t)[2]
    flip = t.set_column(6 + 1, "set", pa.array(np.where(side == "val", "train", side).tolist()))
    flip = flip.append_column("validation", pa.array([mark[0] if s == "val" else mark[1] for s in side]))
    plain, marked = by_side(t, penalty=lw.L2("cv")), by_side(flip, penalty=lw.L2("cv"))
    assert marked.names == plain.names  # it is no feature
    assert marked.choice.alpha == plain.choice.alpha
    np.testing.assert_allclose(marked.validation.mse, plain.validation.mse, rtol=1e-12)


def test_without_val_equal_sequences_come_together_in_the_parts_that_choose():
    rng = np.random.default_rng(3)
    distinct = ["".join(rng.choice(list("ACDEFGHIKL"), 12)) for _ in range(60)]
    every = [s for s in distinct for _ in range(3)]
    value = {s: rng.normal() for s in distinct}
    t = pa.table({
        "s": every, "y": [value[s] + 0.01 * rng.normal() for s in every],
        "set": ["test" if value[s] > 1 else "train" for s in every],
    })  # fmt: skip
    fit = by_side(t, features=(), sequence="s", encode_as="composition", penalty=lw.L2("cv"))
    plan = fit.moments.plan
    assert len(plan.spread) == 5
    block = fit.recipe.block(next(fit.rows.slabs(fit.recipe.reads_all)))
    part = plan.deal(block)
    for s in distinct:
        assert len({p for p, own in zip(part.tolist(), every, strict=True) if own == s}) == 1
    assert {*part.tolist()} == set(range(6))  # all parts are used: noise would win if copies were apart
    assert fit.validation.k == 1


def test_rows_without_sequences_are_dealt_by_what_they_hold():
    t = table()
    side = arrays(t)[2]
    two = t.set_column(7, "set", pa.array(np.where(side == "test", "test", "train").tolist()))
    fit = by_side(two, penalty=lw.L2("cv"))
    counts = [part.n for part in fit.moments.parts]
    assert counts[0] == 30
    assert min(counts[1:]) > 10
    shuffled = two.take(np.random.default_rng(0).permutation(len(side)))
    assert by_side(shuffled, penalty=lw.L2("cv")).choice.alpha == pytest.approx(fit.choice.alpha, rel=1e-9)


def test_of_train_and_val_alone_val_is_the_test():
    t = table().filter(pa.array(np.isin(arrays(table())[2], ["train", "val"])))
    X, y, side = arrays(t)
    guess = LinearRegression().fit(X[side == "train"], y[side == "train"]).predict(X[side == "val"])
    assert by_side(t).validation.mse[0] == pytest.approx(((guess - y[side == "val"]) ** 2).mean())


def test_the_largest_alpha_within_one_standard_error_takes_more_than_one_fold():
    with pytest.raises(UsageError, match="one fold chooses here"):
        by_side(table(), penalty=lw.L2("1se"))


@pytest.mark.parametrize(
    "sides", [["train"], ["train", "pred"], ["test"], ["pred"], ["test", "val"]], ids=str
)
def test_sides_that_leave_nothing_to_train_on_or_to_hold_out_are_refused(sides):
    t = table(60)
    t = t.set_column(7, "set", pa.array([sides[i % len(sides)] for i in range(60)]))
    with pytest.raises(UsageError, match=r"Two are needed|none that is only trained on|No row of"):
        by_side(t)


def fasta(path, records):
    text = "".join(f">P{i} {said}\n{sequence}\n" for i, (said, sequence) in enumerate(records))
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_headers_of_a_fasta_file_say_the_sides_the_older_way_too(tmp_path):
    rng = np.random.default_rng(4)
    letters = ["".join(rng.choice(list("ACDEFGHIKL"), 30)) for _ in range(120)]
    y = [s.count("A") - s.count("C") + 0.1 * rng.normal() for s in letters]
    new = [f"TARGET={v:.6f} SET={SIDES[i % 6]}" for i, v in enumerate(y)]
    old = [x.replace("SET=val", "SET=train VALIDATION=True") for x in new]
    how = {"group": "SET", "folds": "predefined", "encode_as": "composition", "penalty": lw.L2("cv")}
    fits = [
        lw.fit(fasta(tmp_path / f"{i}.fasta.gz", list(zip(said, letters, strict=True))), "TARGET", **how)
        for i, said in enumerate((new, old))
    ]
    assert fits[0].tally.used == 100
    assert fits[0].choice.alpha == fits[1].choice.alpha
    np.testing.assert_allclose(fits[1].validation.mse, fits[0].validation.mse, rtol=1e-12)
    assert fits[0].validation.r2[0] > 0.9


def test_a_side_that_is_said_first_behind_many_records_is_not_overlooked(tmp_path):
    records = [(f"TARGET={i % 7} SET=train", "ACDEFGHIK") for i in range(2_100)]
    records[2_050] = ("TARGET=1 SET=train VALIDATION=True", "ACDEFGHIK")
    with pytest.raises(ParseError, match=r"record 2,051 \('P2050'\) says VALIDATION=True"):
        lw.fit(fasta(tmp_path / "late.fasta.gz", records), "TARGET", group="SET", folds="predefined")


def test_a_column_set_that_is_not_used_is_pointed_at(tmp_path):
    rng = np.random.default_rng(5)
    t = pa.table({
        "sequence": ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 40)) for _ in range(60)],
        "target": rng.normal(size=60), "set": ["train", "test"] * 30,
    })  # fmt: skip
    notes = lw.fit(t, "target", sequence="sequence", encode_as="composition").notes
    assert any("--group set --folds predefined" in note for note in notes)


def test_a_loaded_model_knows_the_plan(tmp_path):
    fit = by_side(table(), penalty=lw.L2("cv"))
    lw.save(fit, tmp_path / "m.safetensors")
    again = lw.load(tmp_path / "m.safetensors")
    assert again.validation.plan == fit.validation.plan
    assert str(again) == str(fit)
    assert "by the table: 'test'" in str(again)


def sided(sides: list[str | None], n: int = 180) -> pa.Table:
    """The same table with these sides in turn."""
    return table(n).set_column(7, "set", pa.array([sides[i % len(sides)] for i in range(n)]))


def test_spaces_and_capitals_make_no_side_of_their_own():
    plain, odd = sided(["train", "test", "test"]), sided([" Train", "test", "TEST "])
    np.testing.assert_array_equal(by_side(odd).validation.mse, by_side(plain).validation.mse)


def test_a_blank_cell_is_a_missing_one():
    blank = sided(["train", "train", "test", " "])
    with pytest.raises(lw.errors.MissingError, match="'set' has 45 missing values"):
        by_side(blank)
    assert by_side(blank, missing="drop").tally.dropped == {"'set' missing": 45}


@pytest.mark.parametrize("by", ["group", "cluster"])
def test_sides_are_read_alike_from_a_group_and_from_clusters(by):
    t = sided(["train", "train", "val", "Test", "pred"])
    fit = lw.fit(t, "y", folds="predefined", **{by: "set"})
    assert fit.validation.n.tolist() == [36]
    assert sum(fit.tally.dropped.values()) == 36


def test_levels_and_gaps_of_what_is_only_to_be_predicted_are_not_seen():
    t = sided(SIDES)
    side = arrays(t)[2]
    rng = np.random.default_rng(6)
    c = rng.choice(["b", "c"], len(side))
    x = np.where(side == "pred", np.nan, t["x1"].to_numpy())
    plain = t.append_column("c", pa.array(c))
    odd = t.append_column("c", pa.array(np.where(side == "pred", "a", c)))
    odd = odd.set_column(1, "x1", pa.array(x, from_pandas=True))
    a, b = (by_side(one, missing="mean") for one in (plain, odd))
    assert a.names == b.names
    np.testing.assert_array_equal(a.coef, b.coef)
    assert b.recipe.filled == ()


def test_missing_cells_of_what_is_only_to_be_predicted_are_not_counted():
    t = sided(SIDES)
    side, y = arrays(t)[2], t["y"].to_numpy().copy()
    y[side == "pred"] = np.nan
    y[6] = np.nan
    lacking = t.set_column(6, "y", pa.array(y, from_pandas=True))
    with pytest.raises(lw.errors.MissingError, match=r"'y' has 1 missing value .*first: row 7"):
        by_side(lacking)


@pytest.mark.parametrize("mark", ["1.0", "true ", "T", "y", "valid", "dev"])
def test_marks_are_known_however_they_are_written(mark):
    side = np.array([SIDES[i % 6] for i in range(180)])
    flip = sided(["val" if s == "val" else s for s in SIDES])
    flip = flip.set_column(7, "set", pa.array(np.where(side == "val", "train", side).tolist()))
    flip = flip.append_column("validation", pa.array([mark if s == "val" else "" for s in side]))
    fit = by_side(flip, penalty=lw.L2("cv"))
    assert fit.choice.alpha == by_side(table(), penalty=lw.L2("cv")).choice.alpha
    assert any("'validation' marks the val among train" in note for note in fit.notes)


def test_a_column_validation_that_holds_something_else_is_refused_or_wanted_as_a_feature():
    t = sided(["train", "train", "test"])
    other = t.append_column("validation", pa.array(np.random.default_rng(7).normal(size=180)))
    with pytest.raises(lw.errors.DataError, match="in 'validation', which beside 'set' marks the rows"):
        by_side(other)
    names = [f"x{j}" for j in range(6)]
    assert by_side(other, features=[*names, "validation"]).names[-1] == "validation"
    assert by_side(other, drop=["validation"]).names == tuple(names)


def test_a_late_side_is_not_lost_among_many_sequences(monkeypatch):
    monkeypatch.setattr("leastwise.look.MOST_TEXTS", 200)
    rng = np.random.default_rng(8)
    every = ["".join(rng.choice(list("ACDEFGHIKL"), 20)) for _ in range(900)]
    t = pa.table(
        {"s": every, "y": rng.normal(size=900), "set": ["test"] * 100 + ["train"] * 700 + ["val"] * 100}
    )
    fit = by_side(t, features=(), sequence="s", encode_as="composition", penalty=lw.L2("cv"))
    assert fit.moments.plan.judge
    assert [part.n for part in fit.moments.parts] == [100, 700, 100]


def test_words_say_who_chose():
    said = str(by_side(table(), penalty=lw.L2("cv"), transform="ranks"))
    assert "val chose the penalty for models of train" in said
    assert "nested" not in said
    assert "least mean squared error of z" in said
    said = str(by_side(sided(["train", "train", "test"]), penalty=lw.L2("cv")))
    assert "by parts of its training rows alone (nested)" in said


@pytest.mark.parametrize("n", [8, 12, 16, 24])
@pytest.mark.parametrize("seed", range(6))
def test_few_rows_that_choose_are_enough_or_told(n, seed):
    t = table(n, seed).set_column(7, "set", pa.array(["train", "train", "train", "test"] * (n // 4)))
    for how in ({}, {"penalty": lw.L2("cv")}, {"transform": "ranks", "penalty": lw.L2("cv")}):
        try:
            fit = by_side(t, **how)
        except lw.errors.LeastwiseError:
            continue
        assert fit.choice is None or np.isfinite(fit.choice.error).all()
        str(fit)
