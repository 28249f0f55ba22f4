"""What is told: the text, the page and the JSON say the same, and take no name at its word."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import leastwise as lw
from leastwise.report.page import page
from leastwise.report.text import number, with_spread


def fitted(n=100, k=1, names=("size", "site"), **options):
    r = np.random.default_rng(0)
    data = pd.DataFrame({names[0]: r.normal(size=n), names[1]: r.choice(list("abc"), n)})
    targets = ["y"] if k == 1 else [f"y{j}" for j in range(k)]
    for j, target in enumerate(targets):
        data[target] = (j + 1) * data[names[0]] + r.normal(size=n)
    return lw.fit(data, targets, **options)


class Texts(HTMLParser):
    """The words of a page, and the tags in it."""

    def __init__(self, html):
        super().__init__()
        self.words, self.tags = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize("k", [1, 3])
def test_text_page_and_json_carry_the_same_numbers(k):
    fit = fitted(k=k)
    words = " ".join(Texts(page(fit.facts)).words)
    text = fit.summary()
    for row in fit.facts["coefficients"]:
        assert number(row["estimate"]) in text
        assert number(row["estimate"]) in words
    scores = fit.facts["validation"]
    mean, sd = np.atleast_1d(scores["mean"]["r2"]), np.atleast_1d(scores["sd"]["r2"])
    for value, spread in zip(mean, sd, strict=True):
        assert with_spread(value, spread) in text
        assert with_spread(value, spread) in words


def test_facts_are_plain_json_and_have_no_nan():
    for facts in (fitted(folds=0).facts, fitted().facts, fitted(k=2).facts):
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_names_of_columns_are_not_html():
    fit = fitted(names=("<script>alert(1)</script>", "a&b"))
    html = page(fit.facts)
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_the_page_asks_the_network_for_nothing():
    html = page(fitted().facts)
    assert not re.search(r"https?://|src=|@import|url\(", html)
    policy = next(a["content"] for t, a in Texts(html).tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_a_fit_without_validation_says_why_everywhere():
    fit = fitted(folds=0)
    assert "no score on unseen rows: no folds were asked for" in fit.summary()
    assert "no folds were asked for" in page(fit.facts)


def test_the_three_views_have_one_row_a_term_a_target_a_row():
    fit = fitted(k=2)
    assert list(fit.tidy()["term"]) == ["(Intercept)", "size", "site=b", "site=c"] * 2
    assert list(fit.glance()["target"]) == ["y0", "y1"]
    data = pd.DataFrame({"size": [1.0, 2.0], "site": ["a", "b"], "y0": [0.0, 1.0]})
    views = fit.augment(data)
    assert list(views.columns) == ["size", "site", "y0", ".fitted.y0", ".resid.y0", ".fitted.y1"]
    np.testing.assert_allclose(views[".resid.y0"], data["y0"] - fit.predict(data)[:, 0])


def test_standardised_effects_are_those_of_standardised_columns():
    r = np.random.default_rng(1)
    X = r.normal(size=(200, 2)) * [1, 50]
    y = X @ [1.0, 0.1] + r.normal(size=200)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    z = (y - y.mean()) / y.std()
    effects = lw.fit((X, y)).tidy()["standardised"][1:].astype(float)
    np.testing.assert_allclose(effects, lw.fit((Z, z)).coef, rtol=1e-12)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"), (1234567.8, "1,234,568"), (123.456789, "123.46"), (1.23456789, "1.2346"),
        (0.00123456789, "0.0012346"), (1.2e-9, "1.2000e-09"), (-54321.0, "-54,321"), (None, "n/a"),
        (float("nan"), "n/a"), (12, "12"), (1e20, "1.0000e+20"), (99999.99, "100,000"),
    ],
)  # fmt: skip
def test_numbers_have_five_digits(value, said):
    assert number(value) == said


@pytest.mark.parametrize(
    ("mean", "spread", "said"),
    [
        (0.643971, 0.00852, "0.6440 ± 0.0085"), (68841.2, 1683.4, "68,841 ± 1,683"), (0.5, 0.0, "0.50000"),
        (-0.00028883, 0.00037, "-0.00029 ± 0.00037"), (1.0, None, "1.0000"), (12.34, 2.3456, "12.3 ± 2.3"),
    ],
)  # fmt: skip
def test_a_mean_is_no_finer_than_its_spread(mean, spread, said):
    assert with_spread(mean, spread) == said


def test_dropped_and_constant_columns_are_named_in_every_telling():
    r = np.random.default_rng(0)
    X = r.normal(size=(50, 2))
    X = np.column_stack([X, X[:, 0], np.ones(50)])
    fit = lw.fit((X, r.normal(size=50)))
    assert fit.solution.dropped == ("x2",)
    for told in (fit.summary(), page(fit.facts)):
        assert "left out: depends on columns above" in told
        assert "left out: does not vary" in told
    assert list(fit.tidy()["status"]) == ["used", "used", "used", "dropped", "constant"]
