"""The gradient three ways: by the formula, by autograd, by central differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leastwise.errors import DataError
from leastwise.numerics import Array
from leastwise.rows.memory import real_matrix

STEP = 1e-3  # a quadratic has no third derivative: a wide difference is exact, and rounds least
SHOWN = 12


@dataclass(frozen=True, eq=False)
class GradientCheck:
    """Gradients of the loss for W (p, k) and b (k,), three ways: `formula`, `autograd`, `numeric`.

    Each is a pair of arrays (p, k) and (k,). `worst` is the largest difference of formula and autograd,
    `worst_numeric` that of formula and central differences, both relative to the largest gradient
    (or to 1, where that is smaller).
    """

    formula: tuple[Array, Array]
    autograd: tuple[Array, Array]
    numeric: tuple[Array, Array]
    shapes: dict[str, tuple[int, ...]]

    def _apart(self, other: tuple[Array, Array]) -> float:
        size = max(1.0, *(float(np.abs(g).max(initial=0.0)) for g in self.formula))
        pairs = zip(self.formula, other, strict=True)
        return max(float(np.abs(a - b).max(initial=0.0)) for a, b in pairs) / size

    @property
    def worst(self) -> float:
        return self._apart(self.autograd)

    @property
    def worst_numeric(self) -> float:
        return self._apart(self.numeric)

    @property
    def agree(self) -> bool:
        """Whether the three agree to what each of them can carry: 10 digits, and 6 of the differences."""
        return self.worst < 1e-10 and self.worst_numeric < 1e-6

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
        (p, k), lines = self.formula[0].shape, [f"gradients of mean((X W + b - y)^2): {shapes}"]
        lines.append(f"{'':12}{'formula':>16}{'autograd':>16}{'central diff':>16}")
        cells: list[tuple[str, int, tuple[int, ...]]] = [
            (f"dL/dW[{i},{j}]", 0, (i, j)) for i in range(p) for j in range(k)
        ]
        cells += [(f"dL/db[{j}]", 1, (j,)) for j in range(k)]
        for name, part, at in cells if len(cells) <= SHOWN else cells[: SHOWN - k] + cells[-k:]:
            values = [way[part][at] for way in (self.formula, self.autograd, self.numeric)]
            lines.append(f"{name:12}" + "".join(f"{value:16.9g}" for value in values))
        if len(cells) > SHOWN:
            lines.append(f"... {len(cells) - SHOWN:,} more")
        verdict = "they agree" if self.agree else "THEY DO NOT AGREE"
        lines.append(
            f"worst difference: autograd {self.worst:.1e}, central differences {self.worst_numeric:.1e}: "
            f"{verdict}"
        )
        return "\n".join(lines)


def check_gradient(X: Any, y: Any, W: Any, b: Any) -> GradientCheck:
    """The gradients of `mean((X W + b - y)^2)` by formula, autograd and central differences, side by side.

        dL/dW = 2/(n k) X' (X W + b - y)      dL/db = 2/(n k) 1' (X W + b - y)

    X (n, p), y (n, k), W (p, k), b (k,); one target may come as (n,), (p,) and a number. In float64.
    Central differences: `(L(w + h) - L(w - h)) / 2h`, exact for a
    quadratic but for rounding. Cost: 2 (p + 1) k losses. Raises DataError where shapes do not fit.

    >>> check = check_gradient([[1.0], [2.0]], [3.0, 5.0], [[0.0]], [0.0])
    >>> check.formula[0], check.agree
    (array([[-13.]]), True)
    """
    X, y, W, b = _shaped(X, y, W, b)
    with np.errstate(over="ignore", invalid="ignore"):
        return _compared(X, y, W, b)


def _compared(X: Array, y: Array, W: Array, b: Array) -> GradientCheck:
    n, k = y.shape
    residual = X @ W + b - y
    formula = 2 / (n * k) * (X.T @ residual), 2 / (n * k) * residual.sum(axis=0)
    shapes = {"X": X.shape, "W": W.shape, "b": b.shape, "y": y.shape}
    return GradientCheck(formula, _autograd(X, y, W, b), _differences(X, y, W, b), shapes)


def _autograd(X: Array, y: Array, W: Array, b: Array) -> tuple[Array, Array]:
    import torch

    w = torch.tensor(W, requires_grad=True)
    c = torch.tensor(b, requires_grad=True)
    loss = (torch.tensor(X) @ w + c - torch.tensor(y)).pow(2).mean()
    loss.backward()
    return np.asarray(w.grad), np.asarray(c.grad)


def _differences(X: Array, y: Array, W: Array, b: Array) -> tuple[Array, Array]:
    found: list[Array] = []
    for values in (W, b):
        slopes = np.empty_like(values)
        for at in np.ndindex(values.shape):
            kept = float(values[at])
            h = STEP * max(1.0, abs(kept))
            losses = []
            for moved in (kept + h, kept - h):
                values[at] = moved
                losses.append(float(((X @ W + b - y) ** 2).mean()))
            values[at] = kept
            slopes[at] = (losses[0] - losses[1]) / ((kept + h) - (kept - h))
        found.append(slopes)
    return found[0], found[1]


def _shaped(X: Any, y: Any, W: Any, b: Any) -> tuple[Array, Array, Array, Array]:
    """Copies as float64: X (n, p), y (n, k), W (p, k), b (k,)."""
    X, y, W = (np.array(real_matrix(v, name), np.float64) for v, name in ((X, "X"), (y, "y"), (W, "W")))
    b = np.array(
        real_matrix(b.reshape(-1) if hasattr(b, "reshape") else np.atleast_1d(b), "b"), np.float64
    ).ravel()
    (n, p), k = X.shape, y.shape[1]
    fits = {"y": (y.shape, (n, k)), "W": (W.shape, (p, k)), "b": (b.shape, (k,))}
    for name, (shape, wanted) in fits.items():
        if shape != wanted:
            raise DataError(
                f"{name} has shape {shape}, and {wanted} is needed for X {X.shape} and {k} target"
                f"{'s' if k > 1 else ''}: X (n, p), y (n, k), W (p, k), b (k,). Reshape it."
            )
    for name, values in (("X", X), ("y", y), ("W", W), ("b", b)):
        if not np.isfinite(values).all():
            raise DataError(f"{name} has values that are not finite. Gradients need numbers. Mend them.")
    if n == 0:
        raise DataError("X has no rows. A mean needs one at least. Give some.")
    return X, y, W, b
