"""Tables to spoil, and `refused`, which holds the words that a message owes to its reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import leastwise as lw
from leastwise.errors import (
    LeastwiseError,
)

N = 40
FOREIGN = ("In CSV column", "narwhals", "Errno", "could not be read as a table", "large_string", "dtype(")


@contextmanager
def refused(kind: type[LeastwiseError], *words: str) -> Iterator[None]:
    """An error of this kind whose message has all the words, none of another library's, and an end."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"
    for word in FOREIGN:
        assert word not in message, f"{word!r} is in: {message}"
    assert message.rstrip("?").rstrip(".") != message, f"no sentence: {message}"


def plane(n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`X` (n, 2) and `y` = 3 + a + 2 b, exactly enough to know the answer."""
    X = np.random.default_rng(seed).normal(size=(n, 2)).round(3)
    return X, X @ [1.0, 2.0] + 3


def frame(**columns: Any) -> pl.DataFrame:
    X, y = plane()
    return pl.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns, "y": y})


def pandas_frame(**columns: Any) -> pd.DataFrame:
    X, y = plane()
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y}).assign(**columns)


def cycled(*values: Any) -> list[Any]:
    return [values[i % len(values)] for i in range(N)]


def table(n: int = 30, *, sep: str = ",", head: str = "a,b,y", end: str = "\n") -> str:
    X, y = plane(n)
    lines = [
        head.replace(",", sep),
        *(sep.join(f"{v:.3f}" for v in (*x, t)) for x, t in zip(X, y, strict=True)),
    ]
    return "".join(line + end for line in lines)


def column(cells: list[str], other: str = "y") -> str:
    """A file of the column `a` with these cells, beside numbers."""
    return f"a,{other}\n" + "".join(f"{cell},{(i * i) % 7}\n" for i, cell in enumerate(cells))


def with_cell(cell: str, row: int = 6, n: int = 20) -> str:
    return column([cell if i + 1 == row else f"{i * 1.5}" for i in range(n)])


def written(path: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def assert_plane(fit: lw.Fit) -> None:
    assert np.allclose(np.ravel(fit.coef), [1, 2], atol=1e-6)
    assert fit.intercept == pytest.approx(3, abs=1e-6)
