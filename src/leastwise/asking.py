"""What can be asked on the command line: the options of its commands, and how their words are read."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from typing import Any

import click

WAYS = ("leave-one-out", "leave-one-group-out", "predefined")  # that folds can be besides a number


def _names(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
    """`--drop a,b --drop '"c,d"'` as (a, b, c,d); None where the option was not given."""
    cells = (cell.strip() for row in csv.reader(values, skipinitialspace=True) for cell in row)
    return tuple(cell for cell in cells if cell) or None


def _degrees(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
    """`--powers dose:3` as {"dose": 3}; None where the option was not given."""
    found = {}
    for value in values:
        column, _, degree = value.rpartition(":")
        if not column or not re.fullmatch("[0-9]+", degree):
            raise click.BadParameter(f"'{value}' is no COL:N, as in --powers dose:3.")
        if column in found:
            raise click.BadParameter(f"'{column}' was given twice. Give each column one degree.")
        found[column] = int(degree)
    return found or None


def _rate(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """`--lr 0.07` as a number; `auto` as it is."""
    if value is None or value == "auto":
        return value
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"'{value}' is no number, and not 'auto'.") from None


def _folds(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """`--folds 5` as a number; a word as it is."""
    if value is None or value in WAYS:
        return value
    if not re.fullmatch("-?[0-9]+", value):
        raise click.BadParameter(f"'{value}' is not a valid integer, and none of {', '.join(WAYS)}.")
    return int(value)


def _alpha(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """`--alpha 0.1` as a number; `cv` and `1se` as they are."""
    if value is None or value in ("cv", "1se"):
        return value
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"'{value}' is no number, and neither cv nor 1se.") from None


def _factors(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
    """`--factor age:0` as {"age": 0.0}; None where the option was not given."""
    return {
        name: _number(value, "--factor age:0") for name, value in _pairs(values, "--factor age:0")
    } or None


def _bounds(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
    """`--bounds dose:0..5` as {"dose": (0.0, 5.0)}; an empty side is no bound."""
    found = {}
    for name, value in _pairs(values, "--bounds dose:0..5"):
        low, dots, high = value.partition("..")
        if not dots:
            raise click.BadParameter(f"'{value}' is no LOW..HIGH, as in --bounds dose:0..5.")
        sides = (_number(side, "--bounds dose:0..5") if side.strip() else None for side in (low, high))
        found[name] = tuple(sides)
    return found or None


def _pairs(values: tuple[str, ...], like: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for value in values:
        name, colon, rest = value.rpartition(":")
        if not colon or not name:
            raise click.BadParameter(f"'{value}' is no COL:VALUE, as in {like}.")
        if name in seen:
            raise click.BadParameter(f"'{name}' was given twice. Give each column once, as in {like}.")
        seen.add(name)
        yield name, rest


def _number(text: str, like: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is no number, as in {like}.") from None


def _list_option(*names: str, help: str) -> Callable[[Any], Any]:
    return click.option(*names, multiple=True, callback=_names, metavar="A,B", help=help)


READING = [
    _list_option("--columns", help="Names of the columns of a file without a header."),
    click.option("--delimiter", help="What separates cells; found by itself if not given."),
    click.option("--encoding", help="Of a text file; utf-8 if not given."),
    click.option("--multiline", is_flag=True, default=None, help="Quoted cells may hold line ends."),
]
SEQUENCES = [
    click.option("--sequence", metavar="COL", help="A column of protein sequences, or of variants."),
    click.option(
        "--encode-as",
        metavar="HOW",
        help="What a sequence becomes: properties, composition, kmers:3, kmers:5:4096, one-hot, none, or "
        "several joined by +.",
    ),
    click.option("--wild-type", metavar="SEQ", help="Letters or FASTA file that variants differ from."),
    click.option("--offset", type=int, help="Number of the wild type's first residue in their names."),
]
COLUMNS = [
    _list_option("--target", help="The column to predict (or several)."),
    _list_option("--features", help="Columns to predict from; all the others if not given."),
    _list_option("--drop", help="Columns to leave out."),
    click.option(
        "--powers", multiple=True, callback=_degrees, metavar="COL:N", help="Powers of a column up to N."
    ),
    click.option("--labels", metavar="FILE", help="A table joined to a FASTA file by id."),
    click.option(
        "--group",
        metavar="COL",
        help="Rows of one group come into one fold. Of sequences: identity:0.3, words:shared, "
        "sequence:each, position:modulo, position:contiguous, mutations:2, target:low.",
    ),
    click.option("--weight", metavar="COL", help="Weights of the rows."),
    click.option(
        "--weight-kind",
        type=click.Choice(["analytic", "frequency", "sampling"]),
        help="What a weight w means: variance s2 / w (default), seen w times, stands for w rows.",
    ),
    _list_option("--categorical", help="Columns whose values are levels, though they may be numbers."),
    click.option(
        "--missing",
        type=click.Choice(["error", "drop", "mean"]),
        help="Missing cells: an error (default), the row dropped, or the mean.",
    ),
    click.option(
        "--unseen", type=click.Choice(["error", "reference"]), help="Levels unseen at prediction."
    ),
    click.option(
        "--dates", type=click.Choice(["error", "days"]), help="Dates: refused (default) or counted in days."
    ),
    click.option(
        "--unknown",
        type=click.Choice(["error", "drop", "mask", "expected"]),
        help="Unknown letters of a sequence; expected: B, Z, J as the average of what they may be.",
    ),
]
FITTING = [
    click.option(
        "--transform",
        metavar="HOW",
        help="Of the target: log, log:0.01 (floor), log:5%, ranks, or chosen by folds: cv, cv:spearman.",
    ),
    click.option(
        "--rank",
        type=click.Choice(["drop", "error", "min-norm"]),
        help="Dependent columns; drop if not given.",
    ),
    click.option(
        "--folds",
        callback=_folds,
        metavar="K",
        help="Folds for the score on unseen rows; 0 for none; or leave-one-out, leave-one-group-out, "
        "predefined.",
    ),
    click.option("--repeats", type=int, help="How often folds are dealt anew; 1 if not given."),
    click.option("--seed", type=int, help="Deals rows to folds; 0 if not given."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "fast", "exact"]),
        help="auto (default): float64, and integers where that leaves fewer than 9 digits.",
    ),
    click.option(
        "--se",
        type=click.Choice(["classical", "HC0", "HC1", "HC2", "HC3", "CR0", "CR1", "CR3"]),
        help="Standard errors; classical if not given.",
    ),
    click.option("--cluster", metavar="COL", help="Rows whose errors hang together, for --se CR1."),
    click.option("--no-intercept", is_flag=True, help="Fit through the origin."),
]
PENALTY = [
    click.option(
        "--penalty",
        type=click.Choice(["none", "l2", "l1", "elastic-net"]),
        help="Ridge (l2), lasso (l1) or both; none if not given.",
    ),
    click.option(
        "--alpha",
        callback=_alpha,
        metavar="X|cv|1se",
        help="Beside 1/(2n) SSE: a number; cv, of least held-out error; 1se, the largest within its "
        "spread.",
    ),
    click.option("--l1-ratio", type=float, help="Share of l1 in elastic-net."),
    click.option("--standardize", is_flag=True, default=None, help="Penalise standardised coefficients."),
    click.option("--positive", is_flag=True, default=None, help="No coefficient below 0."),
    click.option(
        "--bounds",
        multiple=True,
        callback=_bounds,
        metavar="COL:LOW..HIGH",
        help="Bounds of a coefficient.",
    ),
    click.option(
        "--factor",
        "factors",
        multiple=True,
        callback=_factors,
        metavar="COL:F",
        help="Multiplies the penalty of a column; 0 for none.",
    ),
]
TELLING = [
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text."),
    click.option("--quiet", is_flag=True, help="No progress and no notes."),
]
OUTPUT = [
    click.option("-o", "--output", metavar="RUN", help="Folder for the model, the report and tables."),
    click.option("--overwrite", is_flag=True, help="Replace an earlier run in that folder."),
]


def options(*groups: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """A decorator that adds all options of these groups to a command."""

    def add(command: Any) -> Any:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return add


DESCENDING = [
    click.option(
        "--lr", "--learning-rate", "lr", callback=_rate, metavar="RATE", help="A number; auto if not given."
    ),
    click.option("--steps", type=int, help="Updates; 100 if not given."),
    click.option("--epochs", type=int, help="Passes over the rows, instead of --steps."),
    click.option(
        "--method",
        type=click.Choice(["moments", "autograd", "analytic"]),
        help="From moments (default), or on the rows by autograd or by the formula.",
    ),
    click.option("--momentum", type=float, help="Momentum, say 0.9."),
    click.option("--nesterov", is_flag=True, default=None, help="Nesterov's momentum."),
    click.option("--optimizer", metavar="NAME", help="Another optimiser of torch.optim, say Adam."),
    click.option("--l2", type=float, metavar="ALPHA", help="Add alpha |w|^2 to 1/(2n) SSE."),
    click.option("--l1", type=float, metavar="ALPHA", help="Add alpha |w|_1 to 1/(2n) SSE."),
    click.option(
        "--l1-steps",
        type=click.Choice(["proximal", "subgradient"]),
        help="proximal (default) steps reach zero; the plain subgradient does not.",
    ),
    click.option("--batch", type=int, help="Rows of a mini-batch; with autograd or analytic."),
    click.option(
        "--patience", type=int, help="Stop when a held-out fold has not gained for so many steps."
    ),
    click.option("--standardize", is_flag=True, default=None, help="Descend in standardised columns."),
    click.option("--loss", type=click.Choice(["mean", "half"]), help="Mean (default) or half mean square."),
    click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Of the rows on the way."),
]


def penalty_of(said: dict[str, Any]) -> dict[str, Any]:
    """The penalty that `--penalty`, `--alpha` and `--l1-ratio` name, taken out of what was said."""
    kind, alpha, ratio = (said.pop(name, None) for name in ("penalty", "alpha", "l1_ratio"))
    if kind in (None, "none"):
        for name, value in (("--alpha", alpha), ("--l1-ratio", ratio)):
            if value is not None:
                raise click.UsageError(
                    f"{name} is about a penalty, and there is none. Add --penalty l2 or l1."
                )
        return {}
    if alpha is None:
        raise click.UsageError(f"--penalty {kind} needs its size. Add --alpha cv, 1se or a number.")
    if (kind == "elastic-net") != (ratio is not None):
        raise click.UsageError(
            "--l1-ratio is for --penalty elastic-net, which needs it. Give both or neither."
        )
    from leastwise.penalties import L1, L2, elastic_net

    made = {"l1": L1, "l2": L2}
    return {"penalty": elastic_net(alpha, ratio) if kind == "elastic-net" else made[kind](alpha)}
