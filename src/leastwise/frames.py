"""Tables go back in the library that they came in; a frame library is never imported unasked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from leastwise import arrow

FRAMES = ("pandas", "polars")


def native_table(table: pa.Table, native: str = "") -> Any:
    """An Arrow table as a frame of the library `native`, by the rule of `to_frame`."""
    library = _library(native)
    if library == "pandas":
        return table.to_pandas()
    return sys.modules["polars"].from_arrow(table) if library == "polars" else table


def to_frame(columns: Mapping[str, list[Any]], native: str = "") -> Any:
    """A data frame of these columns: of the library `native`, else of the one the user has imported.

    That is pandas, else Polars, else an Arrow table, which is always there.
    """
    library = _library(native)
    if library in FRAMES:
        return sys.modules[library].DataFrame(dict(columns))
    return pa.table({name: arrow.column(values) for name, values in columns.items()})


def _library(native: str) -> str:
    if native == "pyarrow" or (native in FRAMES and native in sys.modules):
        return native
    return next((name for name in FRAMES if name in sys.modules), "pyarrow")
