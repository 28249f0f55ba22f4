"""The facts of a fit: one dictionary of plain values, from which everything that is told is made.

Text, page, JSON and tables are renderings of it, so they cannot disagree. Nothing is computed from
rows here, except the second pass for mae and Spearman where it is cheap.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from leastwise._version import __version__
from leastwise.conformal import Coverage
from leastwise.encodings import Encoding
from leastwise.errors import LeastwiseError
from leastwise.folds import ALONE
from leastwise.inference import INTERCEPT, Inference, inflation, overall, t_quantile, terms_of
from leastwise.moments import Moments
from leastwise.recipe import Recipe
from leastwise.solve import ENOUGH, Solution
from leastwise.terms import Date, Levels, Poly
from leastwise.transforms import CHOSEN
from leastwise.validation import Validation

SCHEMA = 1
SECOND_PASS_ROWS = 200_000  # up to here mae and Spearman are taken unasked
SCORES = ("r2", "rmse", "mse", "train_r2", "train_rmse", "mean_r2", "mean_rmse")
OVERALL = (
    "adj_r2", "sigma", "f", "f_p", "df", "df_residual", "log_likelihood", "aic", "bic",
)  # fmt: skip
LEVEL = 0.95  # of the intervals that are told unasked
UNSEEN = 0.9  # of those of groups that were not seen
LOSS = "1/n sum_i (x_i w + b - y_i)^2"
WEIGHTED = "sum_i v_i (x_i w + b - y_i)^2 / sum_i v_i (v: the weights)"


def facts(fit: Any) -> dict[str, Any]:
    """All that is told of a fit. Plain values only: numbers, texts, lists, dictionaries, None."""
    solution: Solution = fit.solution
    recipe: Recipe = fit.recipe
    return {
        "schema": SCHEMA,
        "leastwise": __version__,
        "python": platform.python_version(),
        "data": {
            "source": fit.source,
            "read": fit.tally.read,
            "used": fit.tally.used,
            "dropped": dict(fit.tally.dropped),
            "notes": list(fit.notes),
        },
        "model": _model(recipe, solution, fit.options),
        "solution": _found(solution) | _overall(fit),
        "inference": _errors(fit),
        "coefficients": _rows(coefficient_table(fit)),
        "penalty": _penalty(fit),
        "transform": _transform(fit),
        "validation": _validation(fit),
        "scikit_learn": scikit_learn(fit),
    }


def _model(recipe: Recipe, solution: Solution, options: Any) -> dict[str, Any]:
    return {
        "targets": list(solution.targets),
        "features": len(solution.names),
        "columns": list(recipe.reads),
        "references": {t.column: t.reference for t in recipe.terms if isinstance(t, Levels)},
        "intercept": solution.fits_intercept,
        "missing": recipe.missing,
        "filled": [recipe.names[j] for j in recipe.filled],
        "sequence": recipe.sequence,
        "encodings": [type(t).__name__.lower() for t in recipe.terms if isinstance(t, Encoding)],
        "weight": recipe.weight,
        "weight_kind": recipe.weight_kind if recipe.weight else None,
        "group": recipe.group,
        "rank": options.rank,
        "loss": (WEIGHTED if recipe.weight else LOSS).replace(
            "y_i", "z_i" if recipe.transformed else "y_i"
        ),
    }


def _transform(fit: Any) -> dict[str, Any] | None:
    """What the target was turned into, and how that was chosen; None where it is as it came."""
    recipe: Recipe = fit.recipe
    if recipe.transform == "none" or recipe.scale is None:
        return None
    said = {
        "judged": bool(fit.moments is not None and fit.moments.plan and fit.moments.plan.judge),
        "asked": recipe.transform, "name": recipe.scale.name, "target": recipe.target[0],
        "formula": recipe.scale.told(recipe.target[0]), "scores": {}, "folds": {},
    }  # fmt: skip
    if recipe.transform in CHOSEN:
        said["scores"] = {name: _number(float(v)) for name, v in fit.scaled.chosen.scores.items()}
    if recipe.transform in CHOSEN and isinstance(fit.validation, Validation):
        said["folds"] = dict(Counter(one.name for one in fit.validation.back).most_common())
    return said


def _found(solution: Solution) -> dict[str, Any]:
    return {
        "n": solution.n,
        "weight": solution.weight,
        "rank": solution.rank,
        "dropped": list(solution.dropped),
        "constant": list(solution.constant),
        "method": solution.method,
        "precision": solution.precision,
        "condition": solution.condition,
        "digits": round(solution.digits, 1),
        "se_digits": round(solution.se_digits, 1),
        "rss_digits": round(float(solution.rss_digits.min(initial=15.0)), 1),
        "outcome": solution.outcome,
        "r2": _plain(solution.r2),
        "mse": _plain(solution.mse),
        "rmse": _plain(np.sqrt(solution.mse)),
    }


def _penalty(fit: Any) -> dict[str, Any] | None:
    """What the penalty is, and how it was chosen; None for least squares."""
    s, asked = fit.solution, fit.options
    if not s.penalised:
        return None
    share = asked.penalty.share if asked.penalty.rule else None
    said = {
        "name": s.method, "l1": s.penalty.l1, "l2": s.penalty.l2,
        "of_z": fit.recipe.transformed, "standardize": asked.standardize, "factors": dict(asked.factors),
        "bounds": {name: list(pair) for name, pair in asked.bounds.items()},
        "positive": asked.positive, "gap": _plain(s.gap), "goal": _plain(s.goal),
        "df": _plain(s.df), "nonzero": _plain(np.count_nonzero(s.coef, axis=1)),
        "rule": asked.penalty.rule or None, "share": share,
    }  # fmt: skip
    choice = fit.choice
    if choice is not None:
        said |= {
            "alpha": choice.alpha, "alphas": choice.alphas.tolist(),
            "error": _plain(choice.error, each=True), "spread": _plain(choice.spread, each=True),
            "best": choice.best, "chosen": choice.chosen, "alone": asked.folds == ALONE,
            "targets": len(s.targets),
        }  # fmt: skip
    return said


def _overall(fit: Any) -> dict[str, Any]:
    """What is said of the whole fit beside the coefficients."""
    found = overall(fit.solution, fit.recipe.weight_kind, fit.tally.log_weight)
    errors = fit.inference
    if isinstance(errors, Inference) and errors.kind != "classical":
        found["f"], found["f_p"] = errors.wald(int(fit.solution.fits_intercept))
    return {name: _plain(value) for name, value in found.items()}


def _errors(fit: Any) -> dict[str, Any]:
    """Which standard errors there are, or why there are none."""
    errors = fit.inference
    if not isinstance(errors, Inference):
        return {"kind": None, "reason": errors.reason}
    by = fit.recipe.cluster or fit.recipe.group
    clusters = {"clusters": errors.clusters, "by": by} if errors.clusters else {}
    said = {"kind": errors.kind, "level": LEVEL, "df": errors.df, **clusters}
    return said | ({"digits": round(errors.digits, 1)} if errors.digits < ENOUGH else {})


def coefficient_table(fit: Any, level: float = LEVEL) -> dict[str, list[Any]]:
    """Columns of the table of coefficients, the intercept first, target after target.

    `std_error`, `statistic` (t), `p_value` and the limits of the interval of this `level` (`conf_low`,
    `conf_high`), None where there are none; `standardised` is the change of the target in its standard
    deviations for one of the feature's; `vif` the variance inflation factor; `status` is "used",
    "dropped" (depends on columns before it), "zero" (put there by the penalty) or "constant".
    """
    recipe, solution = fit.recipe, fit.solution
    mean, sd = _spread(solution, fit.moments)
    told = _tested(fit.inference, level)
    vif = _inflation(solution, fit.moments)
    p = len(solution.names)
    status = np.where(solution.kept, "used", "dropped").astype(object)
    status[[name in set(solution.constant) for name in solution.names]] = "constant"
    against = {name: t.reference for t in recipe.terms if isinstance(t, Levels) for name in t.names}
    table: dict[str, list[Any]] = {key: [] for key in _COLUMNS}
    for t, target in enumerate(solution.targets):
        rows: list[tuple[Any, ...]] = []
        if solution.fits_intercept:
            value = float(solution.intercept[t])
            tests = told.get((t, INTERCEPT), _NONE)
            rows = [(target, INTERCEPT, value, *tests, None, None, None, None, "", "used")]
        for j, name in enumerate(solution.names):
            value = float(solution.coef[t, j])
            effect = value * sd[j] / sd[p + t] if sd[p + t] else float("nan")
            tests = told.get((t, name), _NONE)
            zero = solution.penalised and value == 0 and status[j] == "used"
            rows.append(
                (target, name, value, *tests, _number(effect), vif.get(name), _number(mean[j]),
                 _number(sd[j]), against.get(name, ""), "zero" if zero else str(status[j]))
            )  # fmt: skip
        for row in rows:
            for key, value in zip(_COLUMNS, row, strict=True):
                table[key].append(value)
    if len(solution.targets) == 1:
        del table["target"]
    return table


def _tested(errors: Any, level: float) -> dict[tuple[int, str], tuple[Any, ...]]:
    """Standard error, t, p and limits by target and term."""
    if not isinstance(errors, Inference):
        t_quantile(level, 1.0)  # a level that is none is told all the same
        return {}
    values = np.stack([errors.se, errors.statistic, errors.p_value, *errors.interval(level)])
    return {
        (t, term): tuple(_number(float(v)) for v in values[:, t, j])
        for t in range(len(errors.targets))
        for j, term in enumerate(errors.terms)
    }


def _inflation(solution: Solution, moments: Moments | None) -> dict[str, Any]:
    if moments is None or solution.root is None:
        return {}
    plain = moments.imputed()
    p = len(solution.names)
    squares = plain.variance[:p] * plain.weight
    if not solution.fits_intercept:
        squares = squares + plain.weight * plain.mean[:p] ** 2
    found = inflation(solution, squares)
    return {term: _number(float(v)) for term, v in zip(terms_of(solution), found, strict=True)}


_COLUMNS = (
    "target", "term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high",
    "standardised", "vif", "mean", "sd", "against", "status",
)  # fmt: skip
_NONE = (None,) * 5


def _spread(solution: Solution, moments: Moments | None) -> tuple[Any, Any]:
    """Means and standard deviations (p + k,) of the columns; nan where they are not kept."""
    size = len(solution.names) + len(solution.targets)
    if moments is None:
        return np.full(size, np.nan), np.full(size, np.nan)
    return moments.mean, np.sqrt(moments.variance)


def _validation(fit: Any) -> dict[str, Any]:
    scores = fit.validation
    if not isinstance(scores, Validation):
        return {"folds": 0, "reason": scores.reason}
    said: dict[str, Any] = {
        "folds": scores.k,
        "plan": scores.plan.to_dict(),
        "labelled": isinstance(fit.options.folds, str),
        "n": _plain(scores.n, each=True),
        "left_out": _plain(scores.left_out, each=True),
    }
    if len(scores.alpha):
        said["alpha"] = _plain(scores.alpha, each=True)
    said["by_fold"] = {name: _plain(getattr(scores, name), each=True) for name in SCORES}
    said["second_pass"] = False
    if scores.again is not None and fit.tally.used <= SECOND_PASS_ROWS:
        try:
            again = scores.held_out
            said["by_fold"] |= {name: _plain(again[name], each=True) for name in ("mae", "spearman")}
            said["second_pass"] = True
            if not np.allclose(again["mse"], scores.mse, rtol=1e-3, atol=0):  # moments cannot carry it
                better = {"mse": again["mse"], "rmse": np.sqrt(again["mse"]), "r2": again["r2"]}
                said["by_fold"] |= {name: _plain(v, each=True) for name, v in better.items()}
                said["corrected"] = True
        except LeastwiseError as error:  # the rows are gone or changed: what the moments know stands
            said["second_pass_failed"] = str(error)
    if said["second_pass"] and scores.plan.by == "group":
        said |= _of_groups(fit)
    values = {name: np.array(v, float) for name, v in said["by_fold"].items()}
    said["mean"] = {name: _plain(v.mean(axis=0)) for name, v in values.items()}
    sd = {name: np.std(v, axis=0, ddof=1) if len(v) > 1 else v[0] * np.nan for name, v in values.items()}
    said["sd"] = {name: _plain(v) for name, v in sd.items()}
    return said


def _of_groups(fit: Any) -> dict[str, Any]:
    """Intervals of what was not seen, and what stands beside the score of sequences."""
    said: dict[str, Any] = {}
    held = fit.coverage(UNSEEN)
    if isinstance(held, Coverage):
        said["intervals"] = {
            "level": held.level, "guaranteed": 1 - 2 * (1 - held.level),
            "coverage": _plain(held.held, each=True), "width": _plain(held.width, each=True),
            "held": _plain(held.held.mean(axis=0)), "wide": _plain(held.width.mean(axis=0)),
        }  # fmt: skip
    beside = fit.beside
    if beside is None:
        return said
    repeats = beside.repeats
    said["beside"] = {
        "random": None if beside.random is None else _means(
            r2=beside.random.r2, rmse=beside.random.rmse, mae=beside.random.mae,
            spearman=beside.random.spearman,
        ),
        "nearest": _copied(beside.nearest), "nearest_random": _copied(beside.nearest_random),
        "bands": [asdict(band) for band in beside.bands],
        "repeated": len(repeats.counts), "ceiling": _number(float(repeats.ceiling)),
        "within": _number(float(np.sqrt(repeats.within))), "conflicting": len(repeats.conflicting),
        "certificate": None if beside.across is None else asdict(beside.across),
    }  # fmt: skip
    return said


def _copied(nearest: Any) -> dict[str, Any] | None:
    if nearest is None:
        return None
    return _means(r2=nearest.r2, rmse=nearest.rmse, spearman=nearest.spearman) | {"found": nearest.found}


def _means(**scores: Any) -> dict[str, Any]:
    """Mean and standard deviation over folds."""
    first = {name: v[:, 0] if v.ndim > 1 else v for name, v in scores.items()}
    sd = {name: np.std(v, ddof=1) if len(v) > 1 else np.nan for name, v in first.items()}
    return {
        "mean": {name: _plain(v.mean()) for name, v in first.items()},
        "sd": {name: _plain(v) for name, v in sd.items()},
    }


def glance(facts: Mapping[str, Any]) -> dict[str, list[Any]]:
    """One row about the fit, a target each: always the same columns."""
    solution, validation = facts["solution"], facts["validation"]
    mean = validation.get("mean", {})
    targets = facts["model"]["targets"]
    one = {
        "n": solution["n"],
        "weight": solution["weight"],
        "rank": solution["rank"],
        "condition": solution["condition"],
        "digits": solution["digits"],
        "method": solution["method"],
        "precision": solution["precision"],
        "se": facts["inference"]["kind"],
        "folds": validation["folds"],
    }
    rows: dict[str, list[Any]] = {"target": targets}
    rows |= {name: [value] * len(targets) for name, value in one.items()}
    for name in ("r2", "mse", "rmse", *OVERALL):
        rows[name] = _listed(solution[name], len(targets))
    for name in ("r2", "rmse", "mean_rmse"):
        rows[f"held_out_{name}"] = _listed(mean.get(name), len(targets))
    return rows


def scikit_learn(fit: Any) -> str:
    """The scikit-learn call that gives the same coefficients, for the same columns.

    `tol=0`: at its default, scikit-learn 1.9 drops columns of small scale without a word.
    """
    recipe, solution, asked = fit.recipe, fit.solution, fit.options
    lacks = ["penalty factors"] * bool(asked.factors) + ["bounds but positive=True"] * bool(asked.bounds)
    if lacks:
        return f"nothing in scikit-learn, which has no {' and no '.join(lacks)}"
    plain = "" if solution.fits_intercept else ", fit_intercept=False"
    model = _estimator(solution, plain, asked.positive)
    weights = f", sample_weight=table[{recipe.weight!r}]" if recipe.weight else ""
    steps = []
    if any(isinstance(t, Levels) for t in recipe.terms):
        steps.append("OneHotEncoder(drop='first') on the columns of levels")
    if any(isinstance(t, Poly) for t in recipe.terms):
        steps.append("PolynomialFeatures on the columns of powers (to the digits that float64 leaves)")
    if any(isinstance(t, Date) for t in recipe.terms):
        steps.append("dates as days since 1970")
    if recipe.filled:
        steps.append("SimpleImputer(strategy='mean')")
    if asked.standardize:
        same = " (of the same weights)" if recipe.weight else ""
        middle = "" if solution.fits_intercept else "with_mean=False"
        steps.append(f"StandardScaler({middle}){same}, whose deviations then divide the coefficients")
    before = f", after {' and '.join(steps)}" if steps else ""
    without = ", without the columns left out" if solution.dropped else ""
    y = "z" if recipe.transformed else "y"
    return f"{model}.fit(X, {y}{weights}){before}{without}"


def _estimator(solution: Solution, plain: str, positive: bool) -> str:
    """scikit-learn's class, with its meaning of alpha."""
    one, two = solution.penalty.l1, solution.penalty.l2
    if not solution.penalised:
        return f"LinearRegression(tol=0{plain})"
    plain += ", positive=True" if positive else ""
    if one and two:
        total = one + 2 * two
        return f"ElasticNet(alpha={total:.6g}, l1_ratio={one / total:.6g}{plain})"
    if one:
        return f"Lasso(alpha={one:.6g}{plain})"
    if two:
        return f"Ridge(alpha={2 * solution.weight * two:.6g}{plain})"
    return f"LinearRegression({plain[2:]})"


def _rows(table: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def _plain(values: Any, *, each: bool = False) -> Any:
    """Arrays as numbers or lists; the one value of a single target alone, unless `each`."""
    array = np.asarray(values)
    if array.ndim == 0 or (array.size == 1 and not each):
        return _number(array.reshape(-1)[0].item())
    return [_plain(v) if np.ndim(v) else _number(v.item()) for v in array]


def _number(value: Any) -> Any:
    """nan is not JSON: None says as much."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _listed(value: Any, k: int) -> list[Any]:
    return list(value) if isinstance(value, list) else [value] * k
