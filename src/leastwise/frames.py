"""Tables go back in the library that they came in; a frame library is never imported unasked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from leastwise import arrow

FRAMES = ("pandas", "polars")


def to_frame(columns: Mapping[str, list[Any]], native: str = "") -> Any:
    """A data frame of these columns: of the library `native`, else of the one the user has imported.

    That is pandas, else Polars, else an Arrow table, which is always there.
    """
    known = [native] if native in (*FRAMES, "pyarrow") else [n for n in FRAMES if n in sys.modules]
    if known and known[0] in FRAMES:
        return sys.modules[known[0]].DataFrame(dict(columns))
    return pa.table({name: arrow.column(values) for name, values in columns.items()})
