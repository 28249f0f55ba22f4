"""The report: one HTML file, made of facts alone, that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leastwise.report import text


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
    made.filters |= {"number": text.number, "with_spread": text.with_spread}
    return made.get_template("page.html").render(
        facts=facts, created=created, how=text.how_dealt, top=_largest(facts)
    )


def _largest(facts: Mapping[str, Any]) -> float:
    """The largest standardised effect: the full width of a bar."""
    sizes = [abs(row["standardised"]) for row in facts["coefficients"] if row["standardised"] is not None]
    return max(sizes, default=0.0) or 1.0
