"""The report: one HTML file, made of facts alone, that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leastwise.report import text
from leastwise.report.beside import banded, companions, sentences
from leastwise.report.numbers import number, with_spread


def page(facts: Mapping[str, Any], *, created: str = "") -> str:
    """The whole page as HTML. Names of columns are escaped: they are somebody else's text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("leastwise.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "probability": text.probability,
        "with_spread": with_spread,
    }
    return made.get_template("page.html").render(
        facts=facts,
        created=created,
        how=text.how_dealt,
        companions=companions,
        sentences=sentences,
        banded=banded,
        sure=text.how_sure,
        digits=text.how_many_digits,
        penalty=text.penalty_line,
        transformed=text.target_line,
        is_transformed=text.is_transformed,
        top=_top(facts),
        largest=_largest(facts),
    )


def _largest(facts: Mapping[str, Any], most: int = 20) -> list[dict[str, Any]]:
    """The coefficients of the largest standardised effect, the largest first."""
    rows = [row for row in facts["coefficients"] if row["status"] != "zero"] or facts["coefficients"]
    return sorted(rows, key=lambda row: -abs(row["standardised"] or 0.0))[:most]


def _top(facts: Mapping[str, Any]) -> float:
    """The largest standardised effect: the full width of a bar."""
    return abs(_largest(facts, 1)[0]["standardised"] or 0.0) or 1.0
