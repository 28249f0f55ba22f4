"""Bad input of descent: a clear error with values, or the right answer; never another library's error."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from bad import frame, plane, refused

import leastwise as lw
from leastwise.errors import (
    ColumnError,
    DataError,
    KindError,
    LeastwiseError,
    LeastwiseWarning,
    MissingError,
    MomentsError,
    UsageError,
)

Asked = dict[str, Any]
ROWS = {"method": "autograd", "steps": 3}
EVERY = ("moments", "autograd", "analytic")


def noisy(n: int = 60, p: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    return X, X @ np.arange(1.0, p + 1) + 3 + 0.1 * rng.normal(size=n)


def named(value: Any) -> str:
    """A case without the address that it happens to have: every process of a run must call it alike."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


# ---- options: kinds and ranges ----


@pytest.mark.parametrize(
    "lr",
    [0, -0.1, "0.1", "AUTO", None, True, np.nan, np.inf, 1j, [0.1], torch.tensor(0.1),
     np.array([0.1, 0.2])],
    ids=named,
)  # fmt: skip
def test_a_rate_is_a_number_above_zero_or_auto(lr: Any) -> None:
    with refused(UsageError, "lr=", "above 0", "'auto'"):
        lw.descend(plane(), lr=lr)


@pytest.mark.parametrize("name", ["steps", "epochs", "batch", "patience"])
@pytest.mark.parametrize("value", [-1, 2.0, "3", True, [3], np.nan, np.array([3, 4])], ids=named)
def test_counts_are_whole_numbers(name: str, value: Any) -> None:
    with refused(UsageError, f"{name}=", "whole number"):
        lw.descend(noisy(), method="autograd", **{name: value})


@pytest.mark.parametrize("name", ["batch", "patience"])
def test_batches_and_patience_begin_at_one(name: str) -> None:
    with refused(UsageError, f"{name}=0", "1 or more"):
        lw.descend(noisy(), method="autograd", **{name: 0})


@pytest.mark.parametrize(
    ("name", "value", "one"),
    [
        ("method", "newton", "'moments', 'autograd' or 'analytic'"),
        ("method", "Moments", "'moments', 'autograd' or 'analytic'"),
        ("method", None, "'moments', 'autograd' or 'analytic'"),
        ("method", ["moments"], "'moments', 'autograd' or 'analytic'"),
        ("method", np.array(["moments", "autograd"]), "'moments'"),
        ("loss", "sum", "'mean' or 'half'"),
        ("loss", 0.5, "'mean' or 'half'"),
        ("l1", "soft", "'proximal' or 'subgradient'"),
        ("l1", True, "'proximal' or 'subgradient'"),
        ("dtype", "float16", "'float32' or 'float64'"),
        ("dtype", torch.float32, "'float32' or 'float64'"),
        ("dtype", np.float64, "'float32' or 'float64'"),
    ],
    ids=named,
)
def test_a_choice_is_one_of_those_named(name: str, value: Any, one: str) -> None:
    with refused(UsageError, f"{name}=", one):
        lw.descend(plane(), **{name: value})


@pytest.mark.parametrize("value", [1.0, 1.5, -0.1, "0.9", None, True, np.nan, [0.9]], ids=named)
def test_momentum_is_from_zero_to_below_one(value: Any) -> None:
    with refused(UsageError, "momentum=", "from 0 to below 1"):
        lw.descend(plane(), momentum=value)


@pytest.mark.parametrize("name", ["standardize", "nesterov"])
@pytest.mark.parametrize("value", [1, "yes", None, "no", np.True_], ids=named)
def test_switches_are_true_or_false(name: str, value: Any) -> None:
    with refused(UsageError, f"{name}={value!r}", "True nor False"):
        lw.descend(plane(), momentum=0.9, **{name: value})


def test_nesterov_that_is_no_switch_is_told_as_it_came() -> None:
    with refused(UsageError, "nesterov='no'"):
        lw.descend(plane(), nesterov="no")


@pytest.mark.parametrize("value", [0.1, None, "l2", [lw.L1(0.1)], np.array([1.0])], ids=named)
def test_a_penalty_is_made_of_l1_and_l2(value: Any) -> None:
    with refused(UsageError, "penalty=", "lw.L2(0.1), lw.L1(0.1)"):
        lw.descend(plane(), penalty=value)


@pytest.mark.parametrize("make", [lw.L1, lw.L2])
@pytest.mark.parametrize("alpha", [-1, "a", None, True, np.nan, np.inf, 1j, [1.0]], ids=named)
def test_a_penalty_has_a_size_of_zero_or_more(make: Any, alpha: Any) -> None:
    with refused(UsageError, "penalty", "0 or more"):
        make(alpha)


@pytest.mark.parametrize(
    "alpha",
    [-1, "a", None],
    ids=named,
)
def test_an_elastic_net_has_a_size_of_zero_or_more(alpha: Any) -> None:
    with refused(UsageError, "penalty", "0 or more"):
        lw.elastic_net(alpha, 0.5)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, "a", None, True, np.nan], ids=named)
def test_the_share_of_l1_is_from_zero_to_one(ratio: Any) -> None:
    with refused(UsageError, "l1_ratio=", "from 0 to 1"):
        lw.elastic_net(1.0, ratio)


@pytest.mark.parametrize("alpha", [np.float32(0.5), np.int64(1)], ids=repr)
def test_a_penalty_takes_numbers_of_numpy(alpha: Any) -> None:
    assert lw.L2(alpha).l2 == alpha


@pytest.mark.parametrize("name", ["schedule", "callback"])
@pytest.mark.parametrize("value", [0.1, "cosine", [1.0, 0.5]], ids=named)
def test_a_schedule_and_a_callback_can_be_called(name: str, value: Any) -> None:
    with refused(UsageError, f"{name}=", "Give a function"):
        lw.descend(plane(), method="autograd", **{name: value})


@pytest.mark.parametrize("given", [None, "0.1", np.nan, -1.0, np.inf, [0.1, 0.2]], ids=named)
@pytest.mark.parametrize("method", ["moments", "autograd"])
def test_a_schedule_gives_a_factor_of_zero_or_more(method: str, given: Any) -> None:
    with refused(UsageError, "schedule", "step 0"):
        lw.descend(plane(), method=method, steps=3, schedule=lambda t: given)


@pytest.mark.parametrize("seed", [-1, "a", 1.5, None], ids=named)
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    with refused(UsageError, "seed="):
        lw.descend(noisy(), batch=8, seed=seed, **ROWS)


@pytest.mark.parametrize("value", [{"lr": 0.1}, 0.1, "autograd", lw.Options()], ids=named)
def test_a_training_is_a_training(value: Any) -> None:
    with refused(UsageError, "training=", "no Training"):
        lw.descend(plane(), training=value)


# ---- optimisers ----


def test_an_unknown_optimizer_is_told_with_the_nearest_names() -> None:
    for method in EVERY:
        with refused(UsageError, "'Adm'", "torch.optim", "Did you mean", "'Adam'"):
            lw.descend(plane(), optimizer="Adm", method=method)
    for name in ("", "Optimizer", "lr_scheduler"):
        with refused(UsageError, f"'{name}'", "torch.optim"):
            lw.descend(plane(), optimizer=name)


@pytest.mark.parametrize(
    "made",
    [
        None,
        3,
        np.array([1.0]),
        lambda p: None,
        lambda p: 3,
        torch.nn.Linear,
        dict,
    ],
    ids=named,
)
def test_what_is_no_optimizer_is_refused(made: Any) -> None:
    with refused(UsageError, "optimizer=", "'Adam'"):
        lw.descend(plane(), optimizer=made)


@pytest.mark.parametrize("made", ["SparseAdam", "Muon", torch.optim.Optimizer], ids=named)
def test_an_optimizer_that_cannot_serve_is_refused(made: Any) -> None:
    with refused(UsageError, "optimizer="):
        lw.descend(plane(), optimizer=made, steps=2)


class Silent(torch.optim.SGD):
    """An optimiser that gives no loss back, as many that people write."""

    def step(self, closure: Any = None) -> None:
        super().step(closure)


def test_an_optimizer_that_gives_no_loss_back_serves_too() -> None:
    asked = {"lr": 0.1, "steps": 4}
    run = lw.descend(plane(), optimizer=Silent, **asked)
    assert run.loss == pytest.approx(lw.descend(plane(), **asked).loss)


def test_the_settings_of_an_instance_are_those_that_it_has_now() -> None:
    made = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.1)
    made.param_groups[0]["lr"] = 0.5
    other = lw.descend(plane(), optimizer="Adam", lr=0.5, steps=3)
    np.testing.assert_allclose(lw.descend(plane(), optimizer=made, steps=3).W, other.W)


def test_a_function_that_leaves_the_parameters_out_is_refused() -> None:
    other = torch.zeros(1, requires_grad=True)
    with refused(UsageError, "optimizer="):
        lw.descend(plane(), optimizer=lambda p: torch.optim.SGD([other], lr=0.1), steps=3)


def test_an_optimizer_that_looks_more_than_once_sees_one_batch_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from leastwise.feed import Feed

    drawn: list[int] = []
    batches = Feed.batches

    def spied(self: Feed, size: int, seed: int) -> Any:
        for part in batches(self, size, seed):
            drawn.append(len(part[0]))
            yield part

    monkeypatch.setattr(Feed, "batches", spied)
    run = lw.descend(noisy(), optimizer="LBFGS", method="autograd", batch=10, epochs=1)
    assert len(drawn) == run.steps == 6


# ---- options that do not go together ----


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"steps": 5, "epochs": 5}, ("steps=5", "epochs=5", "one of them")),
        ({"batch": 8}, ("'batch'", "method='moments'", "method='autograd'")),
        ({"dtype": "float32"}, ("'dtype'", "method='moments'")),
        ({"device": "cpu"}, ("'device'", "method='moments'")),
        ({"callback": print}, ("'callback'", "method='moments'")),
        ({"batch": 8, "device": "cpu"}, ("'batch' and 'device' are",)),
        ({"nesterov": True}, ("nesterov=True", "momentum=0.9")),
        ({"momentum": 0.9, "optimizer": "Adam"}, ("momentum", "'Adam'", "lambda")),
        ({"momentum": 0.9, "optimizer": torch.optim.SGD}, ("momentum", "optimizer='sgd'")),
        ({"penalty": lw.L1(0.1), "optimizer": "Adam"}, ("l1='subgradient'",)),
        ({"l1": "subgradient"}, ("there is none",)),
        ({"l1": "subgradient", "penalty": lw.L2(0.1)}, ("there is none",)),
        ({"standardize": True, "intercept": False}, ("standardize=True", "intercept=False")),
        ({"folds": 3}, ("folds=3", "patience=10")),
        ({"options": lw.Options(folds=3)}, ("folds=3", "patience=10")),
        ({"lr": 0.1, "optimizer": lambda p: torch.optim.SGD(p, 0.1)}, ("lr=0.1", "own rate")),
        ({"delimiter": ";"}, ("delimiter=';'", "Leave it out")),
    ],
    ids=named,
)
def test_options_that_do_not_go_together_are_refused(asked: Asked, words: tuple[str, ...]) -> None:
    with refused(UsageError, *words):
        lw.descend(noisy(), **asked)


FOR_FIT: dict[str, Any] = {
    "rank": "min-norm", "se": "HC1", "alphas": (0.1, 1.0), "factors": {"x0": 0.0}, "bounds": {"x0": (0, 1)},
    "positive": True, "repeats": 3,
}  # fmt: skip


@pytest.mark.parametrize("name", [*FOR_FIT, "cluster"])
def test_what_is_for_fit_alone_is_no_option(name: str) -> None:
    with refused(UsageError, f"{name}=", "is for fit, and descent has no use for it"):
        lw.descend(plane(), **{name: FOR_FIT.get(name, "site")})


@pytest.mark.parametrize("name", ["rank", "se", "bounds", "positive", "repeats"])
def test_options_that_do_not_apply_are_refused_in_options_too(name: str) -> None:
    with refused(UsageError, f"{name}="):
        lw.descend(plane(), options=lw.Options(**{name: FOR_FIT[name]}))


def test_a_penalty_in_options_is_told_where_it_belongs() -> None:
    with refused(UsageError, "options hold penalty=", "Give descend penalty= itself"):
        lw.descend(plane(), options=lw.Options(penalty=lw.L2(0.1)))
    with refused(UsageError, "folds='leave-one-out'"):
        lw.descend(plane(), options=lw.Options(folds="leave-one-out"))


@pytest.mark.parametrize(
    ("name", "near"),
    [("step", "'steps'"), ("batchsize", "'batch'"), ("moment", "'momentum'")],
)
def test_an_unknown_option_is_told_with_the_nearest(name: str, near: str) -> None:
    with refused(UsageError, f"'{name}'", "Did you mean", near):
        lw.descend(plane(), **{name: 1})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": -1}, ("lr=-1",)),
        ({"method": "newton"}, ("'newton'", "'moments'")),
        ({"batch": 8}, ("'batch'",)),
        ({"rate": 0.1}, ("'rate'",)),
        ({"folds": 3}, ("'folds'",)),
        ({"patience": 3}, ("patience", "fold")),
    ],
    ids=named,
)
def test_another_run_of_the_same_rows_is_asked_as_the_first(changes: Asked, words: tuple[str, ...]) -> None:
    run = lw.descend(noisy(), steps=3)
    with refused(UsageError, *words):
        run.again(**changes)


# ---- devices ----


@pytest.mark.parametrize(
    "device",
    [
        "bogus",
        "xpu",
        "",
        1.5,
        ["cpu"],
        "hpu",
        "meta",
    ],
    ids=named,
)
def test_a_device_that_cannot_be_used_is_refused(device: Any) -> None:
    with refused(UsageError, "device=", "cannot be used"):
        lw.descend(plane(), device=device, **ROWS)


def test_a_device_is_refused_in_a_few_words() -> None:
    with pytest.raises(UsageError) as caught:
        lw.descend(plane(), device="fpga", **ROWS)
    assert len(str(caught.value)) < 400


# ---- starts ----


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (np.zeros(2), ("pair (W, b)", "ndarray")),
        ("ab", ("pair (W, b)", "str")),
        (3.0, ("pair (W, b)", "float")),
        ((np.zeros(2),), ("pair (W, b)",)),
        ((np.zeros(2), 0.0, 0.0), ("pair (W, b)",)),
        ({"W": 0, "b": 0}, ("pair (W, b)", "dict")),
        (torch.nn.Linear(2, 1), ("pair (W, b)", "Linear")),
        ((np.zeros(3), 0.0), ("(3, 1)", "(2, 1)")),
        ((np.zeros((1, 2)), 0.0), ("(1, 2)", "(2, 1)", "Transpose")),
        ((np.zeros((2, 2)), np.zeros(2)), ("(2, 2)", "(2, 1)")),
        ((np.zeros(2), [0.0, 1.0]), ("(2,)", "(1,)")),
        ((np.zeros((2, 1, 1)), 0.0), ("(2, 1, 1)",)),
        ((["a", "b"], 0.0), ("W", "'a'")),
        (([1j, 0], 0.0), ("W", "complex")),
        ((None, 0.0), ("W", "None")),
        ((np.zeros(2), "b"), ("start's b", "'b'")),
        ((np.zeros(2), {}), ("start's b",)),
        (([np.nan, 0.0], 0.0), ("not finite",)),
        (([0.0, 0.0], np.inf), ("not finite",)),
        (([[1.0], [2.0, 3.0]], 0.0), ("start's W", "one length")),
        ((np.zeros(2), [[1.0], [2.0, 3.0]]), ("start's b",)),
    ],
    ids=named,
)
@pytest.mark.parametrize("method", ["moments", "autograd"])
def test_a_start_that_does_not_fit_is_refused(start: Any, words: tuple[str, ...], method: str) -> None:
    with refused(LeastwiseError, *words):
        lw.descend(plane(), start=start, method=method)


def test_a_bias_to_start_from_is_refused_where_none_is_fitted() -> None:
    with refused(UsageError, "b=[1.0]", "intercept=False"):
        lw.descend(plane(), start=(np.zeros(2), 1.0), intercept=False)
    assert lw.descend(plane(), start=(np.ones(2), None), intercept=False, steps=1).steps == 1


def test_a_start_of_other_columns_is_refused() -> None:
    X, y = noisy()
    with refused(UsageError, "'x0' and 'x1'", "'x2'", "same columns"):
        lw.descend((X, y), start=lw.fit((X[:, :2], y)))


def test_a_start_of_the_same_columns_in_another_order_is_refused() -> None:
    data = frame()
    fit = lw.fit(data, "y")
    with refused(UsageError, "same order"):
        lw.descend(data.select("b", "a", "y"), "y", start=fit, steps=0)


def test_the_names_of_other_libraries_lead_to_ours() -> None:
    for name, ours in {"learning_rate": "lr", "max_iter": "steps", "optimiser": "optimizer"}.items():
        with refused(UsageError, f"'{name}'", f"Here it is '{ours}'"):
            lw.descend(plane(), **{name: 1})


# ---- rows ----


def stream(n: int = 60) -> pa.RecordBatchReader:
    X, y = noisy(n)
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "y": y})
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches())


@pytest.mark.parametrize("method", ["autograd", "analytic"])
def test_a_stream_that_is_read_once_cannot_be_gone_over(method: str) -> None:
    with refused(UsageError, f"method='{method}'", "read once", "method='moments'"):
        lw.descend(stream(), "y", method=method)


def test_a_stream_that_is_read_once_serves_for_moments() -> None:
    run = lw.descend(stream(), "y", steps=30)
    assert run.gradient_check is None
    table = stream().read_all()
    np.testing.assert_allclose(run.W, lw.descend(table, "y", steps=30).W, rtol=1e-9)
    assert lw.descend(stream(), "y", steps=30, patience=3).validation_loss is not None


def test_a_stream_that_was_read_is_told() -> None:
    source = stream()
    lw.descend(source, "y", steps=1)
    with refused(DataError, "no rows", "read once"):
        lw.descend(source, "y", steps=1)


@pytest.mark.parametrize("method", ["autograd", "analytic"])
def test_moments_hold_no_rows_to_go_over(method: str) -> None:
    moments = lw.condense(noisy())
    with refused(UsageError, f"method='{method}'", "moments hold no rows", "method='moments'"):
        lw.descend(moments, method=method)


def test_moments_know_their_folds() -> None:
    moments = lw.condense(noisy(), folds=4)
    assert lw.descend(moments, patience=5).validation_loss is not None
    with refused(UsageError, "folds=4", "folds=3"):
        lw.descend(moments, patience=5, folds=3)


def test_moments_without_folds_leave_no_patience() -> None:
    with refused(UsageError, "patience", "fold"):
        lw.descend(lw.condense(noisy(), folds=0), patience=5)


def test_moments_without_rows_are_refused() -> None:
    with refused(MomentsError, "no rows"):
        lw.descend(lw.Moments.empty(("a",), ("y",)))


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize(
    ("cell", "words"),
    [(np.nan, ("'x1'", "1 missing", "row 6", "missing='mean'")), (np.inf, ("'x1'", "infinite", "row 6"))],
    ids=named,
)
def test_cells_that_are_no_numbers_are_told_with_column_and_row(
    method: str, cell: float, words: tuple[str, ...]
) -> None:
    X, y = plane()
    X[5, 1] = cell
    with refused(MissingError, *words):
        lw.descend((X, y), method=method)


@pytest.mark.parametrize("method", EVERY)
def test_a_target_that_is_missing_or_does_not_vary_is_refused(method: str) -> None:
    X, y = plane()
    with refused(DataError, "'y'", "40 rows", "nothing to explain"):
        lw.descend((X, np.full_like(y, 7.0)), method=method)
    y[3] = np.nan
    with refused(MissingError, "'y'", "row 4"):
        lw.descend((X, y), method=method)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ((np.zeros((0, 2)), np.zeros(0)), DataError),
        ((np.zeros((9, 0)), np.arange(9.0)), ColumnError),
        ((np.zeros((9, 2)), np.arange(8.0)), DataError),
        ((np.zeros((9, 2, 2)), np.arange(9.0)), DataError),
        ((np.zeros((9, 2)), ["a"] * 9), KindError),
        ((np.zeros((9, 2), complex), np.arange(9.0)), KindError),
        (([[1.0], [2.0, 3.0]], [1.0, 2.0]), DataError),
        ((np.zeros((9, 2)), None), KindError),
        (None, KindError),
        (3.0, KindError),
        (plane()[0].tolist(), KindError),
        ("there-is-no-such.csv", DataError),
        ("", DataError),
        ([], KindError),
    ],
    ids=lambda v: getattr(v, "__name__", None) or str(type(v).__name__),
)
def test_sources_without_rows_to_descend_on_are_refused(source: Any, kind: Any, method: str) -> None:
    with refused(kind):
        lw.descend(source, method=method)


def test_empty_files_and_frames_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("a,y\n")
    for source in (path, pl.DataFrame({"a": [], "y": []}), pd.DataFrame({"a": [], "y": []})):
        with refused(LeastwiseError, "no rows"):
            lw.descend(source, "y")


def test_columns_and_targets_that_are_not_there_are_told() -> None:
    with refused(ColumnError, "'z'"):
        lw.descend(frame(), "z")
    with refused(UsageError, "target="):
        lw.descend(frame())
    with refused(UsageError, "target"):
        lw.descend(plane(), target=plane()[1])


def test_weights_that_are_no_weights_are_refused() -> None:
    for w, word in ((-1.0, "negative"), (np.nan, "w"), (0.0, "No row")):
        with refused(DataError, word):
            lw.descend(frame(w=np.full(40, w)), "y", weight="w", method="autograd")


def test_a_path_of_text_that_changes_its_mind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "".join(f"{i},{i * i}\n" for i in range(20)) + "oops,3\n")
    with refused(LeastwiseError, "oops"):
        lw.descend(path, "y", method="autograd")


# ---- patience ----


@pytest.mark.parametrize("n", [2, 3, 4])
def test_too_few_rows_for_patience_are_refused(n: int) -> None:
    X, y = noisy(n)
    with refused(LeastwiseError, "folds", "rows"):
        lw.descend((X, y), patience=3)


def test_too_few_rows_for_patience_are_told_as_such() -> None:
    with refused(LeastwiseError, "patience"):
        lw.descend(noisy(3), patience=3)


def test_one_group_leaves_nothing_to_validate_on() -> None:
    with refused(UsageError, "group"):
        lw.descend(frame(g=["u"] * 40), "y", group="g", patience=3)


def test_folds_that_cannot_be_are_refused_beside_patience() -> None:
    for folds in (1, -1, 2.5, "3"):
        with refused(UsageError, "folds="):
            lw.descend(noisy(), patience=3, folds=folds)


# ---- sizes ----


def test_more_steps_than_can_be_kept_are_refused_before_the_first() -> None:
    for how in ({"method": "autograd"}, {"optimizer": "Adam"}, {"penalty": lw.L1(0.1)}):
        with refused(UsageError, "1,000,000,000 steps", "Take fewer"):
            lw.descend(plane(), steps=10**9, **how)


def test_a_course_in_closed_form_has_any_number_of_steps() -> None:
    X, y = noisy()
    run = lw.descend((X, y), steps=10**12)
    np.testing.assert_allclose(run.at(10**12)[0].ravel(), lw.fit((X, y)).coef, rtol=1e-10)
    with refused(UsageError, "run.at(t)", "fewer steps"):
        _ = run.W


def test_a_course_of_very_many_steps_can_be_told() -> None:
    assert f"{10**14:,}" in lw.descend(noisy(60, 1), steps=10**14).summary()


# ---- numbers that run away ----


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"method": "autograd"},
        {"method": "analytic"},
        {"momentum": 0.9},
        {"momentum": 0.5, "nesterov": True, "method": "autograd"},
        {"penalty": lw.L1(0.1)},
        {"penalty": lw.L1(0.1), "method": "autograd"},
    ],
    ids=named,
)
def test_a_rate_above_the_limit_warns_once_and_runs_away(how: Asked) -> None:
    with pytest.warns(LeastwiseWarning, match="lambda_max") as told:
        run = lw.descend(noisy(), lr=9.0, steps=2_000, **how)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert run.diverges
    assert run.loss[-1] == np.inf
    assert not np.isnan(run.loss).any()
    assert "diverges" in run.verdict


@pytest.mark.parametrize("how", [{"lr": 1e200}, {"start": (np.full(3, 1e300), 0.0)}], ids=named)
def test_a_loss_beyond_float64_is_infinite(how: Asked) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastwiseWarning)
        run = lw.descend(noisy(), steps=1, **how)
    assert run.loss[-1] == np.inf


@pytest.mark.parametrize("place", [0, 1], ids=["X", "y"])
def test_numbers_beyond_float32_are_refused(place: int) -> None:
    data = list(noisy())
    data[place] = data[place] * 1e60
    with refused(DataError, "float32"):
        lw.descend(tuple(data), dtype="float32", **ROWS)


@pytest.mark.parametrize("offset", [1e6, 1e9])
def test_standardised_columns_far_from_zero_keep_their_digits_in_float32(offset: float) -> None:
    X, y = noisy()
    asked = {"standardize": True, "steps": 50, "method": "autograd"}
    wide = lw.descend((X + offset, y), **asked)
    narrow = lw.descend((X + offset, y), dtype="float32", **asked)
    np.testing.assert_allclose(narrow.loss, wide.loss, rtol=1e-3)


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("method", EVERY)
def test_standardised_columns_far_from_zero_keep_their_digits(method: str, offset: float) -> None:
    X, y = noisy()
    X = np.round(X * 1024) / 1024  # exact beside the offset
    near = lw.descend((X, y), standardize=True, steps=20, method=method)
    far = lw.descend((X + offset, y), standardize=True, steps=20, method=method)
    rtol = max(1e-9, 1e-15 * offset)  # what the mean of a column is rounded to, of a deviation near 1
    np.testing.assert_allclose(far.loss, near.loss, rtol=rtol)
    np.testing.assert_allclose(far.W, near.W, rtol=0, atol=rtol * np.abs(near.W).max())


# ---- questions that cannot be answered ----


@pytest.mark.parametrize("t", [-1, 1.0, "1", None, True])
def test_a_step_is_a_whole_number(t: Any) -> None:
    with refused(UsageError, "t=", "whole number"):
        lw.descend(plane(), steps=3).at(t)


def test_a_step_that_was_not_walked_is_refused() -> None:
    with refused(UsageError, "3 steps", "4"):
        lw.descend(plane(), **ROWS).at(4)


@pytest.mark.parametrize("tol", [0, -1, 2, "a", None, True, np.nan])
def test_a_share_of_the_loss_is_above_zero_and_at_most_one(tol: Any) -> None:
    with refused(UsageError, "tol=", "share"):
        lw.descend(plane(), steps=3).steps_to(tol)


def test_predictions_from_other_columns_are_refused() -> None:
    run = lw.descend(plane(), **ROWS)
    with refused(LeastwiseError, "1 column", "2 columns"):
        run.predict(plane()[0][:, :1])
