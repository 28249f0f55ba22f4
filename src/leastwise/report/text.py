"""The summary as text: what the terminal shows, made of facts alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from leastwise.errors import plural
from leastwise.report.beside import banded, companions, sentences
from leastwise.report.numbers import number, with_spread

SHOWN = 20  # coefficients printed; the rest is in the table of coefficients


def summary(facts: Mapping[str, Any]) -> str:
    """The whole summary: data, coefficients, scores, how it was found."""
    parts = [data_lines(facts), _coefficients(facts), _scores(facts), _found(facts)]
    return "\n\n".join(part for part in parts if part)


def data_lines(facts: Mapping[str, Any]) -> str:
    """What was read, and what became of every row."""
    data, model = facts["data"], facts["model"]
    dropped = data["dropped"]
    out = sum(dropped.values())
    why = "; ".join(f"{count:,} with {reason}" for reason, count in dropped.items())
    lines = [
        f"{', '.join(model['targets'])} on {plural(model['features'], 'feature')} of {data['source']}",
        f"rows     {data['read']:,} read = {data['used']:,} used + {out:,} dropped"
        + (f" ({why})" if why else ""),
    ]
    if model["filled"]:
        lines.append(f"filled   missing numbers by the training rows' mean in {_some(model['filled'])}")
    return "\n".join(lines)


def _coefficients(facts: Mapping[str, Any]) -> str:
    rows = facts["coefficients"]
    shown = rows
    zeros = sum(row["status"] == "zero" for row in rows)
    if len(rows) > SHOWN + 1:
        some = [row for row in rows if row["status"] != "zero"]
        order = sorted(some, key=lambda row: -abs(row["standardised"] or 0))
        biggest = [row["term"] for row in order if row["term"] != "(Intercept)"][:SHOWN]
        shown = [row for row in rows if row["term"] in {*biggest, "(Intercept)"}]
    several = len(facts["model"]["targets"]) > 1
    tested = facts["inference"]["kind"] is not None
    tests = ["std error", "t", "p", "95 % from", "to"] if tested else []
    head = [*(["target"] if several else []), "term", "estimate", *tests, "standardised", ""]
    body = [
        [
            *([row["target"]] if several else []),
            row["term"],
            number(row["estimate"]) if row["status"] == "used" else "0",
            *(_tests(row) if tested else []),
            "" if row["term"] == "(Intercept)" else number(row["standardised"]),
            _remark(row),
        ]
        for row in shown
    ]
    table = aligned([head, *body], left={0, *([1] if several else []), len(head) - 1})
    return table + _not_shown(len(rows) - len(shown), zeros if len(rows) > SHOWN + 1 else 0)


def _not_shown(more: int, zeros: int) -> str:
    """What is said of coefficients that are not printed."""
    said = [f"{plural(more - zeros, 'smaller coefficient')} (standardised)"] if more > zeros else []
    said += [f"{plural(zeros, 'coefficient')} that the penalty put to 0"] if zeros else []
    return f"\n... and {' and '.join(said)}; all are in the table" if said else ""


def _tests(row: Mapping[str, Any]) -> list[str]:
    """Standard error, t, p and limits of a coefficient; nothing for one that was left out."""
    if row["status"] != "used":
        return [""] * 5
    t = "n/a" if row["statistic"] is None else f"{row['statistic']:,.2f}"
    t = f"{row['statistic']:.3e}" if len(t) > 11 else t
    limits = number(row["conf_low"]), number(row["conf_high"])
    return [number(row["std_error"]), t, probability(row["p_value"]), *limits]


def probability(p: Any) -> str:
    """A p value to three digits; below 0.0001 only that."""
    if p is None:
        return "n/a"
    return "<0.0001" if p < 1e-4 else f"{p:#.3g}"


def _remark(row: Mapping[str, Any]) -> str:
    if row["status"] == "zero":
        return "0 by the penalty"
    if row["status"] == "dropped":
        return "left out: depends on columns above"
    if row["status"] == "constant":
        return "left out: does not vary"
    return f"against {row['against']}" if row["against"] else ""


def aligned(rows: Iterable[list[str]], left: set[int]) -> str:
    """Rows of cells as columns, numbers to the right."""
    table = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if j in left else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    )
    return "\n".join(line.rstrip() for line in lines)


def _scores(facts: Mapping[str, Any]) -> str:
    targets = facts["model"]["targets"]
    blocks = [_score_table(facts, j if len(targets) > 1 else None, name) for j, name in enumerate(targets)]
    return "\n\n".join(blocks)


def _score_table(facts: Mapping[str, Any], j: int | None, target: str) -> str:
    solution, scores = facts["solution"], facts["validation"]
    of_z = " (of the target transformed)" if is_transformed(facts) else ""

    def of(values: Any) -> Any:
        return values if j is None or values is None else values[j]

    of_target = "" if j is None else f" of {target}"
    if not scores["folds"]:
        return (
            f"score{of_target}    on the rows it was fitted to{of_z}: R2 {number(of(solution['r2']))}, "
            f"RMSE {number(of(solution['rmse']))}\n"
            f"         no score on unseen rows: {scores['reason']}"
        )
    mean, sd = scores["mean"], scores["sd"]

    def cell(name: str) -> str:
        if name not in mean:
            return ""
        return with_spread(of(mean[name]), of(sd[name]))

    rows = [
        ["", "R2", "RMSE", "MAE", "Spearman"],
        [f"unseen rows{of_target}", cell("r2"), cell("rmse"), cell("mae"), cell("spearman")],
        ["the training rows", cell("train_r2"), cell("train_rmse"), "", ""],
        ["always the mean", cell("mean_r2"), cell("mean_rmse"), "", ""],
    ]
    if "beside" in scores and j in (None, 0):
        rows += companions(scores["beside"])
    if not scores["second_pass"]:
        rows = [row[:3] for row in rows]
    said = [aligned(rows, left={0}), how_dealt(scores), *sentences(scores, j)]
    if j in (None, 0) and (table := banded(scores)):
        said += ["", aligned(table, left={0})]
    return "\n".join(said)


def how_dealt(scores: Mapping[str, Any]) -> str:
    """How rows were dealt to folds, and what was left out in some: a line or two."""
    plan = scores["plan"]
    if plan["by"] == "leave-one-out":
        return f"each of {plan['groups']:,} rows predicted from all the others (leave-one-out)"
    by = "content (equal rows together)"
    if plan["by"] == "group":
        what = plan["told"] or "groups"
        by = f"{plan['groups']:,} {what}" if plan["groups"] else what
    if plan["always"]:
        by += " (beside rows that are only trained on)"
    if plan["never"]:
        by += " (rows that fit in none left out)"
    dealt = plural(scores["folds"] // plan["repeats"], "fold")
    dealt += f", dealt {plan['repeats']} times," if plan["repeats"] > 1 else ""
    seed = "" if scores["labelled"] else f", seed {plan['seed']}"
    text = f"mean ± standard deviation over {dealt} by {by}{seed}"
    if scores["folds"] == 1:
        text = f"one fold, by {by}{seed}"
    if scores["second_pass"]:
        text += "; MAE and Spearman by a second pass"
        if scores.get("corrected"):
            text += ", and so the rest: moments cannot carry an error so small"
    elif "second_pass_failed" in scores:
        text += f"; no MAE and Spearman: {scores['second_pass_failed']}"
    else:
        text += "; MAE and Spearman would take a second pass (fit.validation.mae, .spearman)"
    out = sum(scores["left_out"])
    if scores.get("alpha"):
        low, high = min(scores["alpha"]), max(scores["alpha"])
        others = "the others" if scores["folds"] > 1 else "parts of its training rows"
        span = f"{low:.3g} to {high:.3g}" if f"{low:.3g}" != f"{high:.3g}" else f"{low:.3g}"
        each = "every fold" if scores["folds"] > 1 else "the fold"
        chose = f"{each} chose its penalty by {others} alone (nested), alpha {span}"
        if plan["judge"]:
            chose = f"val chose the penalty for models of train, alpha {low:.3g}"
        text += f";\n{chose}"
    if out:
        text += "."
        were = "was" if out == 1 else "were"
        text += f"\n{plural(out, 'column')} did not vary in some training part and {were} left out there"
    return text


def _found(facts: Mapping[str, Any]) -> str:
    found = facts["solution"]
    lines = [
        f"solved   {found['method']}, precision {found['precision']}: {found['outcome']}; condition "
        f"{found['condition']:.3g}, {how_many_digits(found)}",
    ]
    if found["dropped"]:
        lines.append(f"dropped  {_some(found['dropped'])}: combinations of columns before them")
    if found["constant"]:
        lines.append(f"constant {_some(found['constant'])}: left out, they do not vary")
    if facts["penalty"]:
        lines.append(penalty_line(facts["penalty"]))
    if facts["transform"]:
        lines.append(f"target   {target_line(facts['transform'])}")
    lines.append(_errors(facts))
    lines.append(f"loss     {facts['model']['loss']} = {_both(found['mse'])}")
    lines.append(f"same as  {facts['scikit_learn']}")
    return "\n".join(lines)


def penalty_line(penalty: Mapping[str, Any]) -> str:
    """The penalty in numbers, and how it was found."""
    terms = {"|w|_1": penalty["l1"], "|w|^2": penalty["l2"]}
    sizes = " + ".join(f"{value:.5g} {name}" for name, value in terms.items() if value)
    line = f"penalty  1/(2n) SSE + {sizes}" if sizes else "penalty  none"
    line += " of standardised columns" if penalty["standardize"] else ""
    if penalty["factors"]:
        line += "; factors " + ", ".join(f"{k}: {v:g}" for k, v in penalty["factors"].items())
    if penalty["positive"] or penalty["bounds"]:
        held = ["no coefficient below 0"] * penalty["positive"]
        held += [f"{name} in {_interval(*pair)}" for name, pair in penalty["bounds"].items()]
        line += f"; {', '.join(held)}"
    return line + (f"\n         {_chosen(penalty)}" if "alphas" in penalty else "")


def is_transformed(facts: Mapping[str, Any]) -> bool:
    """Whether coefficients are of something else than the target that came."""
    return bool(facts["transform"]) and facts["transform"]["name"] != "none"


def target_line(transform: Mapping[str, Any]) -> str:
    """What the target was turned into, what is of it, and how it was chosen."""
    y = transform["target"]
    if transform["name"] == "none":
        line = f"z = {y}, as it came"
    else:
        line = (
            f"z = {transform['formula']}: coefficients, standard errors, R2 of the rows fitted and the "
            f"loss are of z; scores on unseen rows, predictions and intervals of {y} (near its median)"
        )
    if not transform["scores"]:
        return line
    scores, by_order = transform["scores"], transform["asked"].endswith("spearman")
    what = "highest Spearman" if by_order else f"least mean squared error of {y}"
    told = f"chosen of {len(scores)} by held-out folds: {what} {number(scores[transform['name']])}"
    told += f" ({number(scores['none'])} as it came)" if transform["name"] != "none" else ""
    return f"{line};\n         {told}{_by_folds(transform)}"


def _by_folds(transform: Mapping[str, Any]) -> str:
    """What the folds chose by themselves; nothing where rows that were named for it chose for all."""
    folds = transform["folds"]
    if transform["judged"] or not folds:
        return ""
    if sum(folds.values()) == 1:
        return f"; its training rows alone: {next(iter(folds))}"
    return f"; folds by the others alone: {', '.join(f'{name} {n}' for name, n in folds.items())}"


def _interval(low: Any, high: Any) -> str:
    sides = ("-inf" if low is None else f"{low:g}", "inf" if high is None else f"{high:g}")
    return f"[{sides[0]}, {sides[1]}]"


def _chosen(penalty: Mapping[str, Any]) -> str:
    """By what the penalty was chosen from its path."""
    best, chosen, error = penalty["best"], penalty["chosen"], penalty["error"]
    of = "" if penalty["targets"] == 1 else "; in units of each target's variance, the mean over targets"
    spread = penalty["spread"][best]  # 0: one fold chose
    least = number(error[best]) + (f" ± {number(spread)} (standard error{of})" if spread else "")
    least += f" at alpha {penalty['alphas'][best]:.3g}"
    by = "leaving out each row" if penalty["alone"] else "held-out folds"
    text = f"alpha {penalty['alpha']:.3g} of {len(error)} by {by} ({penalty['rule']}): "
    text += f"least mean squared error{' of z' if penalty['of_z'] else ''} {least}"
    if penalty["rule"] == "1se":
        text += f"; the largest alpha within that range, the one taken, has {number(error[chosen])}"
    return text


def how_many_digits(found: Mapping[str, Any]) -> str:
    """How many digits can be expected, of what can be trusted least."""
    least = {name: found[name] for name in ("digits", "se_digits", "rss_digits")}
    of = {"digits": "coefficients", "se_digits": "standard errors", "rss_digits": "residuals"}
    worst = min(least, key=lambda name: float(least[name]))
    if least[worst] >= 9:
        return f"at least {least[worst]:.0f} digits expected"
    return f"{least[worst]:.0f} digits expected of the {of[worst]}"


KINDS = {
    "classical": "classical (errors independent and of one variance)",
    "HC0": "HC0 (any variances)", "HC1": "HC1 (any variances)", "HC2": "HC2 (any variances)",
    "HC3": "HC3 (any variances)", "CR0": "CR0", "CR1": "CR1", "CR3": "CR3 (the jackknife)",
}  # fmt: skip


def how_sure(facts: Mapping[str, Any]) -> str:
    """Which standard errors these are, and what is said of the whole fit."""
    errors, found = facts["inference"], facts["solution"]
    if errors["kind"] is None:
        return f"none: {errors['reason']}"
    text = f"standard errors {KINDS[errors['kind']]}"
    if "clusters" in errors:
        text += f" by {errors['clusters']:,} clusters of '{errors['by']}'"
    if "digits" in errors:
        text += f" (to about {errors['digits']:.0f} digits: the columns nearly depend on one another)"
    if facts["model"]["filled"]:
        text += ", filled cells counted as if they had been measured"
    text += f", t with {errors['df']:,.0f} degrees of freedom; residual SD {_both(found['sigma'])}"
    return text + f"; F {_both(found['f'])} on {_first(found['df']):,.0f}, p {_chances(found['f_p'])}"


def _errors(facts: Mapping[str, Any]) -> str:
    found = facts["solution"]
    line = f"errors   {how_sure(facts)}"
    if found["log_likelihood"] is None or facts["inference"]["kind"] is None:
        return line
    likely = f"log-likelihood {_both(found['log_likelihood'])}, AIC {_both(found['aic'])}"
    about = "" if facts["model"]["intercept"] else " (about zero)"
    return (
        f"{line}\n         adjusted R2{about} {_both(found['adj_r2'])}, {likely}, BIC {_both(found['bic'])}"
    )


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _chances(value: Any) -> str:
    return ", ".join(map(probability, value)) if isinstance(value, list) else probability(value)


def _both(value: Any) -> str:
    return ", ".join(map(number, value)) if isinstance(value, list) else number(value)


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
