"""What is told of a descent: the command line, its texts and its pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

import leastwise as lw
from leastwise.cli import main

LINE = Path(__file__).parents[1] / "examples" / "line.csv"
SLOW = ["descend", str(LINE), "--target", "y", "--lr", "0.07", "--steps", "40"]
FAST = ["descend", str(LINE), "--target", "y", "--lr", "0.95", "--steps", "40"]
TOLD = "learning rate 0.95 is above 0.9127 = 2/lambda_max; lower it or standardise"


def said(*words):
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def noisy(n=60, p=3, k=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    Y = X @ rng.normal(size=(p, k)) + 1 + 0.3 * rng.normal(size=(n, k))
    return X, (Y[:, 0] if k == 1 else Y)


# ---- the command line ----


def test_a_descent_is_told_with_its_curve_its_limit_and_its_verdict():
    code, out, err = said(*SLOW)
    assert (code, err) == (0, "")
    for line in (
        "descent  40 steps of rate 0.07, plain descent; method moments (closed form)",
        "loss     mean((X W + b - y)^2): 4.6086 -> 0.00083789 (least possible 4.9651e-16)",
        "x                0  1.9660  2.0000",
        "rows     10 read = 10 used + 0 dropped",
        "rate     0.07 of at most 0.9127 = 2/lambda_max; best in the long run 0.5848; errors shrink x0.914",
        "left     of what could be gained: a thousandth after 31 steps, a millionth after 69 steps",
        "(first 10 rows): they agree; moments vs autograd of all rows ",
        "verdict  on its way: 0.018 % of what could be gained is left; a millionth after 69 steps",
    ):
        assert line in out
    assert out.count("█") > 100
    assert "loss, log scale" in out


def test_a_rate_above_the_limit_is_told_before_and_after():
    code, out, err = said(*FAST)
    assert code == 0
    assert TOLD in err
    assert f"verdict  diverges: {TOLD}. It grows along '(Intercept)' and 'x'" in out
    assert "errors grow x1.082 per step" in out
    assert said(*FAST, "--quiet")[2] == ""


def test_json_has_the_facts_that_the_text_is_made_of():
    facts = json.loads(said(*SLOW, "--json")[1])
    assert facts["loss"]["end"] == pytest.approx(0.00083789, rel=1e-4)
    assert facts["limit"]["lr_limit"] == pytest.approx(0.9127, abs=5e-5)
    assert facts["steps_to"]["1e-06"] == 69
    assert facts["curve"][0] == [0, facts["loss"]["start"]]
    assert facts["diverges"] is False
    assert json.loads(said(*FAST, "--json")[1])["diverges"] is True


def test_a_loss_beyond_float64_is_no_number_in_json_and_told_in_words():
    words = ["descend", LINE, "--target", "y", "--lr", "1e9", "--steps", "400"]
    assert json.loads(said(*words, "--json", "--quiet")[1])["loss"]["end"] is None
    assert "beyond float64" in said(*words, "--quiet")[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--momentum", "0.9"], "momentum 0.9; method moments (closed form)"),
        (["--momentum", "0.9", "--nesterov"], "2(1+beta)/((1+2 beta) lambda_max)"),
        (["--l2", "0.1"], "mean((X W + b - y)^2) + 0.2 |W|^2"),
        (["--l1", "0.1"], "mean((X W + b - y)^2) + 0.2 |W|_1"),
        (["--l1", "0.1", "--l1-steps", "subgradient"], "never reaches it; l1='proximal' steps do"),
        (["--optimizer", "adam"], "adam; method moments (step by step)"),
        (["--method", "autograd", "--batch", "5"], "mini-batches of 5"),
        (["--method", "analytic", "--dtype", "float32"], "method analytic (step by step)"),
        (["--standardize"], "columns standardised"),
        (["--loss", "half"], "mean((X W + b - y)^2) / 2"),
        (["--no-intercept"], "2/lambda_max"),
        (["--explain"], "dL/dW = 2/(n k) X' (X W + b - y)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_every_option_is_heard(words, told):
    code, out, _ = said("descend", LINE, "--target", "y", "--lr", "0.07", *words)
    assert code == 0
    assert told in out


def test_other_optimisers_keep_their_own_rate_where_none_is_given():
    assert "the optimiser's own rate" in said("descend", LINE, "--target", "y", "--optimizer", "Adam")[1]


def test_a_picture_is_written_where_it_was_asked_for(tmp_path):
    code, out, _ = said(*SLOW, "--plot", tmp_path / "a.png")
    assert code == 0
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert f"wrote    {tmp_path / 'a.png'}" in out


def test_a_picture_of_no_known_format_is_refused_before_anything_is_done(tmp_path):
    code, out, err = said(*SLOW, "--plot", tmp_path / "a.xyz")
    assert (code, out) == (1, "")
    assert "Its name must end in a format that is known" in err
    assert not list(tmp_path.iterdir())


def test_options_that_do_not_apply_are_refused():
    code, out, err = said(*SLOW, "--batch", "5")
    assert (code, out) == (1, "")
    assert "'batch' is for descent on the rows" in err


# ---- one step ----


@pytest.mark.parametrize("method", ["moments", "autograd"])
@pytest.mark.parametrize(
    "how",
    [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"loss": "half"}, {"penalty": lw.L2(0.2)},
     {"penalty": lw.L1(0.2)}, {"penalty": lw.L1(0.2), "l1": "subgradient"}],
    ids=str,
)  # fmt: skip
def test_the_step_that_is_explained_is_the_step_that_was_taken(method, how):
    start = (np.full((3, 1), 0.5), [0.25])
    run = lw.descend(noisy(), lr=0.05, steps=3, method=method, start=start, **how)
    lines = run.explain().splitlines()
    first = next(line for line in lines if "the first weight" in line)
    soft = next((line for line in lines if "soft threshold" in line), first)
    told = float(soft.rsplit(":" if "soft" in soft else "=", 1)[1])
    assert told == pytest.approx(run.W[1, 0, 0], rel=1e-4)


def test_the_gradients_that_are_explained_are_those_of_the_formula():
    X, y = noisy()
    run = lw.descend((X, y), lr=0.05, steps=1)
    told = next(line for line in run.explain().splitlines() if "dL/dW" in line)
    numbers = [float(v) for v in told.rsplit("[", 1)[1].rstrip("]").split(",")]
    np.testing.assert_allclose(numbers, 2 / len(X) * X.T @ -y, rtol=1e-4)


@pytest.mark.parametrize("how", [{"loss": "half"}, {"penalty": lw.L2(0.2)}, {"weight": "w"}], ids=str)
def test_the_formula_that_is_explained_gives_the_numbers_beside_it(how):
    X, y = noisy()
    w = np.linspace(0.5, 2, len(X))
    table = pa.table({**{f"x{j}": X[:, j] for j in range(3)}, "y": y, "w": w})
    start = (np.array([[0.5], [1.0], [-1.0]]), [0.25])
    features = ["x0", "x1", "x2"]
    run = lw.descend(table, "y", features=features, lr=0.05, steps=1, start=start, **how)
    told = next(line for line in run.explain().splitlines() if "dL/dW" in line)
    w = w if "weight" in how else np.ones(len(X))
    off = w * (X @ start[0][:, 0] + 0.25 - y)
    by_hand = 2 / w.sum() * X.T @ off
    front = "2/(sum w k) X' w" if "weight" in how else "2/(n k) X'"
    if "loss" in how:
        by_hand, front = by_hand / 2, "1/(n k) X'"
    if "penalty" in how:
        by_hand = by_hand + 4 * 0.2 * start[0][:, 0]
        assert "+ 0.8 W" in told
    assert front in told
    numbers = [float(v) for v in told.rsplit("[", 1)[1].rstrip("]").split(",")]
    np.testing.assert_allclose(numbers, by_hand, rtol=1e-4)
    assert ("weighted mean" in run.summary()) == ("weight" in how)


def test_the_first_row_that_is_explained_is_the_first_row():
    X, y = noisy(p=2)
    run = lw.descend((X, y), lr=0.05, steps=1, start=([[2.0], [-1.0]], [0.5]))
    line = next(line for line in run.explain().splitlines() if "first row" in line)
    guess, off = X[0] @ [2.0, -1.0] + 0.5, X[0] @ [2.0, -1.0] + 0.5 - y[0]
    assert float(line.split("= ")[1].split(",")[0]) == pytest.approx(guess, rel=1e-4)
    assert float(line.rsplit("off by ", 1)[1]) == pytest.approx(off, rel=1e-3)


# ---- verdicts ----


def verdict(source, **how):
    return lw.descend(source, **how).verdict


def test_columns_of_different_scales_are_told_with_what_standardising_would_take():
    X, y = noisy()
    X = X * [1, 100, 10_000]
    told = verdict((X, y), steps=100)
    assert told.startswith("hardly moves: ")
    assert "'x2'" in told
    said_so = int(told.split("--standardize), ")[1].split(" steps")[0].replace(",", ""))
    run = lw.descend((X, y), standardize=True, lr="auto", steps=10**5)
    assert said_so == run.again(lr=run.lr_best).steps_to(1e-6)
    assert verdict((X, y), standardize=True).startswith("converged")


def test_a_loss_that_has_grown_is_never_on_its_way():
    X, y = noisy()
    X = X * [1, 1, 1_000]
    limit = lw.descend((X, y), momentum=0.9, steps=0).lr_limit
    told = verdict((X, y), momentum=0.9, lr=limit * (1 - 1e-9), steps=200)
    assert told.startswith("the loss has grown")


def test_mini_batches_are_blamed_only_where_they_are_to_blame():
    X, y = noisy(400)
    rows = {"method": "autograd", "batch": 4}
    assert "mini-batches at a constant rate" in verdict((X, y), lr=0.05, steps=3_000, **rows)
    assert "mini-batches at a constant rate" not in verdict((X, y), lr=0.0005, steps=200, **rows)


def test_a_lasso_at_its_minimum_is_converged_whatever_the_limit_of_the_rate():
    X, y = noisy(100, 6)
    run = lw.descend((X, y), penalty=lw.L1(0.5), steps=3_000)
    assert run.verdict.startswith("converged: no step would lower the loss")
    assert run.from_optimal < 1e-9
    with pytest.warns(lw.errors.LeastwiseWarning, match="may grow"):
        fast = run.again(lr=1.01 * run.lr_limit)
    assert not fast.diverges
    assert fast.loss[-1] == pytest.approx(run.loss[-1])


def test_advice_that_cannot_help_is_not_given():
    X, y = noisy()
    with pytest.warns(lw.errors.LeastwiseWarning) as seen:
        fast = lw.descend((X, y), lr=50.0, standardize=True)
    assert "standardise" not in str(seen[0].message)
    assert "or standardise" not in fast.verdict
    with pytest.warns(lw.errors.LeastwiseWarning):
        assert "or standardise" not in verdict((X, y), lr=50.0)


def test_dependent_and_constant_columns_are_told():
    X, y = noisy()
    text = lw.descend((np.column_stack([X, X[:, 0] + X[:, 1], np.ones(60)]), y), lr=0.1).summary()
    assert "columns  'x3' depend on others" in text
    assert "constant 'x4'" in text
    penalised = lw.descend((np.column_stack([X, X[:, 0]]), y), lr=0.1, penalty=lw.L2(0.1)).summary()
    assert "many minima" not in penalised


def test_what_early_stopping_resembles_follows_the_targets_and_is_told_of_plain_steps_only():
    X, Y = noisy(k=3)
    run = lw.descend((X, Y), lr=0.05, steps=10)
    assert run.ridge_alpha == pytest.approx(3 / (4 * 0.05 * 10))
    assert run.again(loss="half").ridge_alpha == pytest.approx(3 / (2 * 0.05 * 10))
    others = (
        {"schedule": lambda t: 0.1},
        {"penalty": lw.L2(0.1)},
        {"standardize": True},
        {"method": "autograd", "batch": 5},
        {"start": (np.ones((3, 3)), np.zeros(3))},
    )
    for other in others:
        assert run.again(**other).ridge_alpha is None


def test_a_gradient_that_is_wrong_does_not_agree():
    from dataclasses import replace

    check = lw.check_gradient([[1.0], [2.0]], [3.0, 5.0], [[0.5]], [0.0])
    assert check.agree
    W, b = check.autograd
    wrong = replace(check, autograd=(W * 1.001, b))
    assert not wrong.agree
    assert "THEY DO NOT AGREE" in repr(wrong)
    assert not replace(check, numeric=(W * 1.001, b)).agree


@pytest.mark.parametrize(
    "how", [{}, {"weight": "w"}, {"loss": "half"}, {"penalty": lw.L2(0.2)}, {"standardize": True}], ids=str
)
def test_the_gradient_that_is_followed_is_held_against_autograd_on_all_rows(how):
    X, y = noisy()
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "y": y, "w": np.linspace(0.5, 2, 60)})
    run = lw.descend(table, "y", features=["a", "b"], lr=0.05, start=(np.ones((2, 1)), [0.5]), **how)
    assert run.followed_check < 1e-13
    assert "moments vs autograd of all rows" in run.summary()


# ---- pictures ----


CASES = {
    "one feature": ({}, 1, 1),
    "runs away": ({"lr": 1.9}, 1, 1),
    "many features": ({"momentum": 0.9, "lr": 0.05}, 4, 1),
    "three targets": ({}, 2, 3),
    "no intercept": ({"intercept": False}, 2, 1),
    "one parameter": ({"intercept": False}, 1, 1),
    "lasso": ({"penalty": lw.L1(0.1)}, 3, 1),
    "batches and patience": ({"method": "autograd", "batch": 8, "lr": 0.05, "patience": 50}, 3, 1),
    "standardised": ({"standardize": True}, 3, 1),
    "very many steps": ({"lr": 1e-6, "steps": 10**7}, 2, 1),
    "no steps": ({"steps": 0}, 1, 1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::leastwise.errors.LeastwiseWarning")
def test_every_descent_can_be_drawn(case, tmp_path):
    how, p, k = CASES[case]
    figure = lw.descend(noisy(p=p, k=k), **{"steps": 60, **how}).plot()
    assert [ax.get_title().split(" of")[0] for ax in figure.axes[:2]] == ["Loss", "Contours"]
    figure.savefig(tmp_path / "a.svg")


def test_the_path_that_is_drawn_is_the_course_and_ends_at_the_star():
    run = lw.descend(noisy(p=1), lr=0.3, steps=50)
    contours = run.plot().axes[1]
    path, start, star = contours.lines
    np.testing.assert_allclose(path.get_xdata(), run.coef[:, 0])
    np.testing.assert_allclose(path.get_ydata(), run.intercept)
    assert (start.get_xdata()[0], star.get_xdata()[0]) == pytest.approx((0.0, run.fit.coef[0]))


def test_the_title_of_a_picture_tells_the_rate_and_its_limit():
    run = lw.descend(noisy(p=1), lr=0.3, steps=50)
    title = run.plot().get_suptitle()
    assert f"learning rate 0.3 (limit {run.lr_limit:.4g} = 2/lambda_max)" in title


def test_a_notebook_is_given_a_picture(tmp_path):
    run = lw.descend(noisy(p=1), lr=0.3, steps=5)
    assert run.plot()._repr_png_()[:4] == b"\x89PNG"
    run.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_moments_alone_are_drawn_with_their_coefficients():
    run = lw.descend(lw.Moments.of(*noisy()), steps=20)
    assert run.plot().axes[2].get_title() == "Coefficients"


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch):
    import sys

    run = lw.descend(noisy(), steps=2)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(lw.errors.UsageError, match=r"pip install 'leastwise\[plot\]'"):
        run.plot()


@pytest.mark.filterwarnings("ignore::leastwise.errors.LeastwiseWarning")
def test_a_run_beyond_float64_is_drawn_as_far_as_it_goes_and_predicts_nothing():
    X, y = noisy()
    for how in ({"lr": 1e6}, {"lr": 1e6, "method": "autograd"}, {"lr": 1e3}):
        run = lw.descend((X, y), steps=60, **how)
        run.plot().canvas.draw()
    gone = lw.descend((X, y), lr=1e6, steps=400)
    for answer in (lambda: gone.predict(X), gone.to_torch):
        with pytest.raises(lw.errors.UsageError, match="nothing to predict with"):
            answer()
