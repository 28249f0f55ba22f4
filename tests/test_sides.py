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


@pytest.mark.parametrize("sides", [["train"], ["train", "pred"], ["test"], ["test", "val"]], ids=str)
def test_sides_that_leave_nothing_to_train_on_or_to_hold_out_are_refused(sides):
    t = table(60)
    t = t.set_column(7, "set", pa.array([sides[i % len(sides)] for i in range(60)]))
    with pytest.raises(UsageError, match="Two are needed"):
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
