"""One step of descent walked through: model, loss, gradients, update, with shapes and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from leastwise.report.numbers import number


def one_step(run: Any) -> str:
    """The first step of `run` (a Descent) in full."""
    q, (W, b) = run.quadratic, run.parameters(0)
    n, (p, k) = run.solution.n, W.shape
    theta = run.course.at(0)
    slope = q.gradient(theta)
    if run.training.l1 == "subgradient":
        slope[:p] += q.threshold * np.sign(theta[:p])
    lines = [
        "One step of gradient descent, with the numbers of these data.",
        "",
        f"model      y_hat = X W + b            X ({n:,}, {p})  W ({p}, {k})  b ({k},)  y_hat ({n:,}, {k})",
        *_first_row(run, W, b),
        f"loss       L = {run.facts['loss']['formula']} = {_told(run.course.value(0))}",
        *_gradients(run, slope, p),
        *_update(run, theta, slope),
    ]
    if run.steps:
        lines.append(
            f"again      the loss is now {_told(run.course.value(1))}; and so on, {run.steps:,} times."
        )
    lines.append(f"           {run.verdict}")
    return "\n".join(lines)


def _first_row(run: Any, W: Any, b: Any) -> list[str]:
    """What the model makes of the first row."""
    found = run.first_rows(1)
    if found is None:
        return []
    x, y = found[0][0], found[1][0]
    terms = [f"{_told(v)} * {_told(w)}" for v, w in zip(x[:3], W[:3, 0], strict=True)]
    terms += ["..."] if len(x) > 3 else []
    terms += [_told(b[0])] if run.quadratic.intercept else []
    guess = float(x @ W[:, 0] + b[0])
    return [
        f"           first row: {' + '.join(terms)} = {_told(guess)}, the target is {_told(y[0])}: off by "
        f"{_told(guess - float(y[0]))}"
    ]


def _gradients(run: Any, slope: Any, p: int) -> list[str]:
    """The formulas and what they give."""
    q, asked = run.quadratic, run.training
    k = len(q.targets)
    half = asked.loss == "half"
    weighted = run.fit.recipe.weight is not None
    front, pull = f"{1 if half else 2}/({'sum w' if weighted else 'n'} k) ", "w " if weighted else ""
    share = (1.0 if half else 2.0) / k
    more = f" + {2 * share * q.l2:.4g} W" if q.l2 else ""
    if q.l1 and asked.l1 == "subgradient":
        more += f" + {share * q.l1:.4g} sign(W)"
    shape = f"({p}, {k})"
    lines = [
        f"gradients  dL/dW = {front}X' {pull}(X W + b - y){more}   shape {shape}   = {_some(slope[:p])}"
    ]
    if q.intercept:
        lines.append(
            f"           dL/db = {front}1' {pull}(X W + b - y)   shape ({k},)   = {_some(slope[p:])}"
        )
    if asked.standardize:
        lines.append("           (of the standardised columns)")
    if asked.batch is not None:
        lines.append(f"           (of all rows; each update takes {asked.batch:,} of them)")
    return lines


def _update(run: Any, theta: Any, slope: Any) -> list[str]:
    """The update, and what becomes of the first weight."""
    if run.rule is None or run.lr is None or run.training.schedule is not None or run.training.batch:
        return _moved(run)
    q, rule = run.quadratic, run.rule
    size = run.lr * (1 + rule.beta) if rule.nesterov else run.lr
    was, pull = float(theta.ravel()[0]), float(slope.ravel()[0])
    now = was - size * pull
    lines = [
        "update     W <- W - lr dL/dW, b <- b - lr dL/db, under no_grad; then the gradients are cleared",
        f"           the first weight: {_told(was)} - {size:.4g} * {_told(pull)} = {_told(now)}",
    ]
    if rule.nesterov:
        first = f"the first step of Nesterov {rule.beta:g} is {1 + rule.beta:g} times the rate"
        lines.append(f"           ({first}; then ahead along the velocity)")
    elif rule.beta:
        lines.append(f"           (with {rule.name}, {rule.beta:g} of each step is added to the next)")
    if q.l1 and run.training.l1 == "proximal":
        by = q.threshold * run.lr
        soft = float(np.sign(now) * max(abs(now) - by, 0.0)) + 0.0
        lines.append(f"           soft threshold: {by:.4g} nearer to zero, and zero at most: {_told(soft)}")
    return lines


def _moved(run: Any) -> list[str]:
    """What an update did that is more than one product: by another optimiser, a schedule, a mini-batch."""
    how = run.facts["how"]
    by = how["optimizer"] + (", scheduled" if how["scheduled"] else "")
    by += f", on {how['batch']:,} rows" if how["batch"] else ""
    if not run.steps:
        return [f"update     by {by}"]
    (W0, b0), (W1, b1) = run.parameters(0), run.parameters(1)
    was, now = (float(np.append(W, b)[0]) for W, b in ((W0, b0), (W1, b1)))
    return [f"update     by {by}: the first weight goes from {_told(was)} to {_told(now)}"]


def _told(value: Any) -> str:
    return number(float(value))


def _some(values: Any) -> str:
    flat = [_told(v) for v in np.ravel(values)]
    return f"[{', '.join(flat[:4])}{', ...' if len(flat) > 4 else ''}]"
