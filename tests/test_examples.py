"""The lessons run, print the documents' numbers, name every erratum, and open as notebooks."""

from __future__ import annotations

import io
import os
import re
import runpy
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LESSONS = (
    "two_x_plus_one",
    "class_l1_l2",
    "first_model",
    "protein_note",
    "exercise_1_sequences",
    "exercise_2_descent",
    "what_the_documents_get_wrong",
)
WITH_PICTURES = ("two_x_plus_one", "exercise_2_descent")

# The documents' figures, as they are printed there.
LOSSES_OF_THE_CLASS = {1: 19.7387, 10: 0.2763, 20: 0.0107} | dict.fromkeys(range(30, 101, 10), 0.0084)
WEIGHTS, BIAS = (1.99579429, -3.00505965, 1.00414443), 0.48179536115
MVLSPAD = [11, 18, 10, 16, 13, 1, 3]
PREDICTIONS = [2.0, 2.5, 3.0, 3.5]


@dataclass(frozen=True)
class Lesson:
    names: dict[str, Any]
    text: str
    files: tuple[str, ...]  # what it left in its folder

    def __getitem__(self, name: str) -> Any:
        return self.names[name]

    def number(self, before: str) -> float:
        """The number that is printed behind `before`."""
        found = re.search(re.escape(before) + r"\D*?(-?[\d,]+\.?\d*(?:e-?\d+)?)", self.text)
        assert found, f"{before!r} is not printed in\n{self.text}"
        return float(found[1].replace(",", ""))


def run(name: str) -> Lesson:
    """The lesson as a script, in a folder of its own; the random states are put back."""
    out, state = io.StringIO(), np.random.get_state()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MPLBACKEND", "Agg")
        try:
            with redirect_stdout(out), torch.random.fork_rng(devices=[]):
                names = runpy.run_path(str(EXAMPLES / f"{name}.py"))
        finally:
            np.random.set_state(state)
        return Lesson(names, out.getvalue(), tuple(os.listdir(folder)))


ran = cache(run)


def digits(value: float, places: int) -> str:
    return f"{float(value):.{places}f}"


# ---- each lesson ----


def test_the_lessons_are_all_listed_here_and_in_the_readme():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(LESSONS)
    readme = (EXAMPLES / "README.md").read_text()
    for name in LESSONS:
        assert f"`{name}.py`" in readme


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs_prints_and_leaves_no_file(name):
    lesson = ran(name)
    assert lesson.text.count("\n") > 10
    assert "nan" not in lesson.text.lower().split()
    assert lesson.files == ()


@pytest.mark.parametrize("name", WITH_PICTURES)
def test_without_matplotlib_a_lesson_says_what_to_install_and_goes_on(name, monkeypatch):
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, module, None)
    assert "pip install 'leastwise[plot]'" in run(name).text


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_opens_as_a_notebook_that_says_first_what_one_will_see(name):
    jupytext = pytest.importorskip("jupytext", reason="the extra 'notebooks' is not installed")
    path = EXAMPLES / f"{name}.py"
    notebook = jupytext.read(path)
    first, code = notebook.cells[0], [c for c in notebook.cells if c.cell_type == "code"]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "What you will see" in first.source
    assert len(code) >= 5
    for cell in code:
        compile(cell.source, str(path.name), "exec")
    back = jupytext.reads(jupytext.writes(notebook, fmt="ipynb"), fmt="ipynb")
    assert [c.source for c in back.cells] == [c.source for c in notebook.cells]


@pytest.mark.parametrize("file", ["README.md", *(f"{name}.py" for name in LESSONS)])
def test_no_lesson_knows_a_machine(file):
    text = (EXAMPLES / file).read_text()
    absolute = r"(?<![\w.:/~])/(?!/)[a-zA-Z_]+/\w|[A-Za-z]:\\|~/|file://"
    assert not re.findall(absolute, text)
    assert ".show(" not in text


@pytest.mark.parametrize("erratum", range(1, 8))
def test_each_erratum_is_told_by_number_where_it_occurs_and_in_the_list(erratum):
    said = [name for name in LESSONS if f"Erratum {erratum}" in (EXAMPLES / f"{name}.py").read_text()]
    assert "what_the_documents_get_wrong" in said
    assert len(said) >= 2
    assert f"erratum {erratum}:" in ran("what_the_documents_get_wrong").text


# ---- y = 2x + 1 ----


def test_the_loop_by_hand_gives_the_notebooks_figures():
    """float32, so that the figures beyond 7 digits are those of the stored number: any other way of
    adding ten numbers up may change them. They are the same with and without vector instructions."""
    lesson = ran("two_x_plus_one")
    assert digits(lesson["losses"][39], 13) == "0.0006732554757"
    assert digits(lesson["W"].item(), 10) == "1.9721688032"
    assert digits(lesson["b"].item(), 10) == "1.0116870403"
    assert [digits(v, 4) for v in lesson["y_hat"][:3, 0].tolist()] == ["1.6757", "1.2663", "1.4744"]
    assert lesson.number("loss before the 40th update") == 0.0006732554757
    assert lesson.number("W after it") == 1.9721688032
    assert lesson.number("b after it") == 1.0116870403
    assert "['1.6757', '1.2663', '1.4744']" in lesson.text


def test_descent_three_ways_ends_where_the_loop_does():
    lesson = ran("two_x_plus_one")
    for method, run_ in lesson["runs"].items():
        # 40 float32 steps against float64 ones: 1e-6 of a loss, 1e-7 of a weight. As float32: the same.
        close = 2e-6 if method == "moments" else 1e-6
        W, b = run_.at(40)
        assert run_.loss[39] == pytest.approx(0.0006732554757, rel=close)
        assert (W[0, 0], b[0]) == pytest.approx((1.9721688032, 1.0116870403), rel=2e-7)


def test_the_rate_has_a_limit_and_above_it_a_warning_and_a_growing_loss():
    lesson = ran("two_x_plus_one")
    assert digits(lesson["limit"], 4) == digits(lesson["run"].lr_limit, 4) == "0.9127"
    assert lesson["run"].lr_limit == pytest.approx(lesson["limit"], rel=1e-10)
    (said,) = lesson["said"]
    assert "0.95" in said
    assert "0.9127" in said
    assert lesson["too_fast"].diverges
    assert lesson["too_fast"].loss[40] > 100 * lesson["too_fast"].loss[0]
    assert lesson["too_fast"].loss[1] < lesson["too_fast"].loss[0]  # as the lesson says


def test_the_gradients_agree_and_for_two_outputs_the_documents_is_twice_as_large():
    lesson = ran("two_x_plus_one")
    assert lesson["check"].agree
    assert lesson["check_two"].agree
    assert lesson["claimed"].numpy() == pytest.approx(2 * lesson["check_two"].autograd[0], rel=1e-6)


# ---- the class, L1 and L2 ----


def test_the_class_prints_the_documents_losses_and_prediction():
    lesson = ran("class_l1_l2")
    printed = re.findall(r"Epoch (\d+)/100, Loss: (\S+)", lesson.text)
    assert {int(epoch): float(loss) for epoch, loss in printed} == LOSSES_OF_THE_CLASS
    assert lesson.number("Prediction for x=4.0:") == 10.9684
    assert digits(lesson["prediction"].item(), 4) == "10.9684"
    for epoch, loss in LOSSES_OF_THE_CLASS.items():
        assert round(float(lesson["run"].loss[epoch - 1]), 4) == loss


def test_lw_fit_gives_the_figures_of_the_scikit_learn_cell():
    lesson = ran("class_l1_l2")
    assert tuple(lesson["fit"].coef.round(8)) == WEIGHTS
    assert round(lesson["fit"].intercept, 11) == BIAS
    assert "Learned weights: [ 1.99579429 -3.00505965  1.00414443]" in lesson.text
    assert lesson.number("Learned bias:") == BIAS


def test_proximal_steps_reach_zero_and_subgradients_do_not():
    lesson = ran("class_l1_l2")
    assert (lesson["proximal"].coef[-1] == 0).tolist() == [False] * 3 + [True] * 3
    assert (lesson["subgradient"].coef[-1] != 0).all()
    assert (lesson["W"] != 0).all()  # the first try, by hand
    assert lesson["proximal"].coef[-1] == pytest.approx(lesson["lasso"].coef_, abs=1e-9)


def test_ridge_is_two_n_lambda_and_never_zero():
    lesson = ran("class_l1_l2")
    assert lesson["shrunk"].coef[-1] == pytest.approx(lesson["ridge"].coef_, rel=1e-9)
    assert np.abs(lesson["shrunk"].coef[-1] - lesson["ridge_wrong"].coef_).max() > 0.1
    assert (lesson["shrunk"].coef[-1] != 0).all()


def test_ridge_keeps_v_over_v_plus_two_lambda_of_a_direction():
    lesson = ran("class_l1_l2")
    v = lesson["variance"]
    assert lesson["kept"] == pytest.approx(v / (v + 2 * lesson["lam"]), rel=1e-6)


# ---- the first model ----


def test_the_closed_formulas_are_those_of_fit():
    lesson = ran("first_model")
    assert (lesson["w_hand"], lesson["b_hand"]) == pytest.approx((1.7, 0.0), abs=1e-12)
    assert lesson["fit"].coef[0] == pytest.approx(lesson["w_hand"], rel=1e-12)
    assert lesson["fit"].intercept == pytest.approx(lesson["b_hand"], abs=1e-12)


def test_the_four_predictions_are_those_of_slope_a_half():
    lesson = ran("first_model")
    assert lesson["as_applied"].tolist() == PREDICTIONS
    assert "predictions [2.  2.5 3.  3.5]" in lesson.text
    assert lesson["as_labelled"].tolist() == [2.0, 3.5, 5.0, 6.5]


def test_half_the_loss_is_the_path_of_half_the_rate():
    lesson = ran("first_model")
    half, mean, rows = lesson["half"], lesson["mean"], lesson["rows"]
    np.testing.assert_allclose(half.W, mean.W, rtol=1e-12)
    np.testing.assert_allclose(half.b, mean.b, rtol=1e-12)
    np.testing.assert_allclose(2 * half.loss, mean.loss, rtol=1e-12)
    np.testing.assert_allclose(rows.loss[:-1], lesson["losses"], rtol=1e-6)  # float32
    assert rows.W[-1, 0, 0] == pytest.approx(lesson["w"].item(), rel=1e-6)


# ---- the protein note ----


def test_mvlspad_has_the_right_indices_and_the_notes_shapes():
    lesson = ran("protein_note")
    assert lesson["indices"] == lesson["encoded"].indices.tolist()[0] == MVLSPAD
    assert tuple(lesson["seq_tensor"].shape) == (7,)
    assert tuple(lesson["one_hot"].shape) == (7, 20)
    assert tuple(lesson["batched"].shape) == tuple(lesson["hot"].shape) == (1, 7, 20)
    for shape in ("integer encoding (7,)", "one-hot encoding (7, 20)", "with a batch     (1, 7, 20)"):
        assert shape in lesson.text


def test_one_learning_step_lowers_the_loss():
    lesson = ran("protein_note")
    assert tuple(lesson["X"].shape) == (100, 10)
    assert tuple(lesson["y_pred"].shape) == tuple(lesson["T_m_pred"].shape) == (100, 1)
    assert lesson["loss_new"].item() < lesson["loss"].item()
    assert not lesson["T_m_pred"].requires_grad
    assert lesson["step"].loss == pytest.approx(
        [lesson["loss"].item(), lesson["loss_new"].item()], rel=1e-6
    )
    assert lesson["chance"].mean_r2.mean() > lesson["chance"].r2.mean()  # features of pure chance


def test_real_proteins_are_scored_on_groups_of_relatives_and_better_than_the_mean():
    lesson = ran("protein_note")
    assert lesson.number("groups of relatives in") == 5
    assert lesson["fit"].tally.read == lesson["fit"].tally.used == 4165
    assert lesson["score"].plan.by == "group"
    assert (lesson["score"].r2 > 0).all()
    assert (lesson["score"].rmse < lesson["score"].mean_rmse).all()
    assert round(float(lesson["r2"]), 3) == lesson.number("R2 on unseen proteins")
    guess = lesson["guess"]
    assert guess.low[0] < guess.prediction[0] < guess.high[0]
    assert guess.prediction == pytest.approx(lesson["fit"].predict(lesson["new"]), rel=1e-12)


# ---- the exercises ----


def test_five_sequences_are_padded_and_masked():
    lesson = ran("exercise_1_sequences")
    padded, mask, lengths = lesson["padded"], lesson["mask"], lesson["lengths"]
    assert tuple(padded.shape) == tuple(mask.shape) == (5, 30)
    assert len(set(lengths)) == 5
    for row, ones, length in zip(padded, mask, lengths, strict=True):
        assert (row[:length] > 0).all()
        assert (row[length:] == 0).all()
        assert ones.tolist() == [1] * length + [0] * (30 - length)
    assert "padding has mask 0: True" in lesson.text
    assert torch.equal(lesson["encoded"].indices, padded)
    assert torch.equal(lesson["encoded"].mask, mask.bool())
    assert padded[0, :7].tolist() == MVLSPAD


def test_five_features_are_a_five_by_five_tensor():
    lesson = ran("exercise_1_sequences")
    features = lesson["features"]
    assert tuple(features.shape) == (5, 5)
    assert features[:, 2].tolist() == pytest.approx(lesson["gravy"], rel=1e-12)
    assert features[:, 4].tolist() == lesson["lengths"]


def test_a_hundred_steps_by_hand_are_those_of_descend():
    lesson = ran("exercise_2_descent")
    assert len(lesson["losses"]) == 100
    assert lesson["losses"][-1] < 0.01 * lesson["losses"][0]
    # The same operations on the same float32 numbers: equal but for the last bit of 7 digits.
    np.testing.assert_allclose(lesson["run"].loss[:-1], lesson["losses"], rtol=1e-6)
    np.testing.assert_allclose(lesson["run"].W[-1], lesson["W"].detach().numpy(), rtol=1e-6)


def test_the_formula_is_autograds_gradient_of_the_first_step():
    lesson = ran("exercise_2_descent")
    by_autograd = [g.numpy() for g in lesson["first_gradients"]]
    for formula, mine, found in zip(
        (lesson["gradient_w"], lesson["gradient_b"]), lesson["check"].formula, by_autograd, strict=True
    ):
        np.testing.assert_allclose(formula.numpy(), found, rtol=1e-5)
        np.testing.assert_allclose(mine, found, rtol=1e-5)
    assert lesson["check"].agree


# ---- the errata ----


def test_the_errata_come_out_as_they_are_told():
    lesson = ran("what_the_documents_get_wrong")
    assert lesson["found"] == lesson["right"] == MVLSPAD != lesson["printed"]
    assert len(lesson["stops"]) == 2
    assert "'lr'" in lesson["stops"][0]
    assert "'predict'" in lesson["stops"][1]
    assert lesson["ridge"].coef_ == pytest.approx(lesson["ours"].coef[-1], rel=1e-9)
    assert lesson["lasso"].coef_ == pytest.approx(lesson["ours_l1"].coef[-1], abs=1e-9)
    assert lesson["predictions"].tolist() == PREDICTIONS
    assert "string literal" in lesson["quote"]
    assert lesson["ratios"] == pytest.approx({1: 1.0, 2: 2.0, 3: 3.0}, rel=1e-9)
    moved = lesson["moved"]
    assert moved["L1(0.1)"] == pytest.approx(moved["no penalty"], rel=0.01)
    assert moved["L2(0.1)"] > 0.75 * moved["no penalty"]
    assert moved["Huber's loss"] < 0.01 * moved["no penalty"]
    assert lesson["kept"][0] > 0.9
    assert lesson["kept"][1] < 0.2
    ends = list(lesson["ends"].values())
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)
    assert ends[0] == pytest.approx(ends[2], rel=1e-9)
