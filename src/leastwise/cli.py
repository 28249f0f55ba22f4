"""The command line: words to calls. Results on stdout, progress and notes on stderr.

Exit codes: 0 done, 1 the data or the model cannot give an answer, 2 wrong usage. Everything heavy is
imported inside the commands, so that --help and mistakes answer at once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leastwise._version import __version__
from leastwise.asking import (
    COLUMNS,
    DESCENDING,
    FITTING,
    OUTPUT,
    PENALTY,
    READING,
    SEQUENCES,
    TELLING,
    options,
    penalty_of,
)
from leastwise.errors import LeastwiseError

if TYPE_CHECKING:
    from leastwise.fitted import Fit


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 the data cannot give an answer, 2 wrong usage.",
)
@click.version_option(__version__, prog_name="leastwise")
@click.pass_context
def main(context: click.Context) -> None:
    """Linear regression done completely.

    \b
    leastwise fit screen.csv --target activity -o RUN
    leastwise predict RUN new.csv -o predictions.csv
    leastwise descend line.csv --target y --lr 0.07 --steps 40
    leastwise demo
    """
    if os.environ.get("NO_COLOR"):
        context.color = False


@main.command()
@click.argument("data", nargs=-1, required=True)
@options(COLUMNS, SEQUENCES, READING, FITTING, PENALTY, OUTPUT, TELLING)
def fit(
    data: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    no_intercept: bool,
    **asked: Any,
) -> None:
    """Fit a linear model of DATA (CSV, TSV, Parquet, FASTA; files or folders).

    \b
    leastwise fit housing.csv --target price --missing mean -o RUN
    leastwise fit wells.parquet --target yield --group site --drop id
    leastwise fit genes.csv --target y --penalty l1 --alpha 1se
    leastwise fit proteins.fasta --labels tm.csv --target tm
    """
    with _answering():
        from leastwise.store import check_folder

        if output is not None:
            check_folder(Path(output), overwrite=overwrite)
        elif overwrite:
            raise click.UsageError("--overwrite replaces an earlier run; say which one with -o RUN.")
        said = {name: value for name, value in asked.items() if value is not None}
        if no_intercept:
            said["intercept"] = False
        said |= penalty_of(said)
        source = data[0] if len(data) == 1 else list(data)
        result = _fit(source, quiet, said)
        _finish(result, output, overwrite, as_json, quiet)


@main.command()
@click.argument("run")
@click.argument("data", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="OUT", help="File to write (.csv or .parquet); stdout if not given."
)
@click.option(
    "--interval",
    type=float,
    metavar="LEVEL",
    help="Add low and high, between which a new row falls this often, say 0.95.",
)
@click.option(
    "--of",
    type=click.Choice(["row", "mean", "unseen"]),
    help="What the interval is of: a row, the mean of such rows, a row of an unseen group.",
)
@click.option(
    "--relatives",
    metavar="FILE",
    help="The sequences it was trained on: adds identity to the nearest, and the RMSE of that band.",
)
@options(READING, TELLING)
def predict(
    run: str, data: tuple[str, ...], output: str | None, as_json: bool, quiet: bool, **asked: Any
) -> None:
    """Predict the rows of DATA with the model in RUN.

    The columns of DATA are kept, and `prediction` is added. Rows are streamed: any size will do.

    \b
    leastwise predict RUN new.csv -o predictions.csv
    leastwise predict RUN new.parquet | head
    """
    with _answering():
        from leastwise.predicting import predict_file
        from leastwise.store import load

        source = data[0] if len(data) == 1 else list(data)
        how = {name: value for name, value in asked.items() if value is not None}
        with _progress(quiet, "aligned", "sequences") as progress:
            told = predict_file(load(run), source, output, as_json=as_json, progress=progress, **how)
        if not quiet:
            for line in told:
                _note(line)


@main.command()
@click.argument("data", nargs=-1, required=True)
@click.option("-o", "--output", metavar="OUT", help="File to write (.csv or .parquet); none if not given.")
@click.option("--sequence", metavar="COL", help="The column of protein sequences.")
@click.option(
    "--target", metavar="COL", help="A measured value, of which test gets its share of each quarter."
)
@click.option("--identity", type=float, help="Identical residues from which sequences are related; 0.3.")
@click.option("--test", type=float, help="Share of the rows that are held out; 0.2 if not given.")
@click.option("--unknown", type=click.Choice(["error", "mask"]), help="Letters of no amino acid; error.")
@click.option("--exhaustive/--candidates", default=None, help="Align all pairs, or the likest 500 of each; "
              "by their number if not given.")  # fmt: skip
@click.option("--engine", type=click.Choice(["own", "mmseqs"]), help="What names the pairs to align; own.")
@click.option("--seed", type=int, help="Deals groups to train and test; 0 if not given.")
@click.option("--labels", metavar="FILE", help="A table joined to a FASTA file by id.")
@options(READING, TELLING)
def split(data: tuple[str, ...], output: str | None, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Split protein sequences so that no pair across train and test is related, and prove it.

    \b
    leastwise split proteins.fasta --identity 0.3 -o split.csv
    leastwise split proteins.csv --sequence seq --target tm --unknown mask -o split.parquet
    """
    with _answering():
        from leastwise.proteins import split_file

        source = data[0] if len(data) == 1 else list(data)
        how = {name: value for name, value in asked.items() if value not in (None, ())}
        with _progress(quiet) as progress:
            made = split_file(source, output, progress=progress, **how)
        click.echo(json.dumps(made.facts) if as_json else made.report())
        if output is not None and not as_json:
            click.echo(f"wrote    {output}")


@main.command()
@click.argument("data", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="OUT", help="File to write (.csv or .parquet); stdout if not given."
)
@click.option("--sequence", metavar="COL", help="The column of protein sequences.")
@click.option(
    "--unknown", type=click.Choice(["error", "mask", "expected"]), help="Letters of no amino acid; error."
)
@click.option("--labels", metavar="FILE", help="A table joined to a FASTA file by id.")
@click.option("--quiet", is_flag=True, help="No notes.")
@options(READING)
def features(data: tuple[str, ...], output: str | None, quiet: bool, **asked: Any) -> None:
    """Molecular weight, pI, instability and more of each protein, as ExPASy's ProtParam prints them.

    \b
    leastwise features proteins.fasta -o features.csv
    leastwise features proteins.csv --sequence seq --unknown mask | head
    """
    with _answering():
        from leastwise.proteins import features_file

        source = data[0] if len(data) == 1 else list(data)
        how = {name: value for name, value in asked.items() if value not in (None, ())}
        for line in features_file(source, output, **how):
            if not quiet:
                _note(line)


@main.command()
@click.argument("data", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    help="File to write (.safetensors, .csv or .parquet); else stdout.",
)
@options(SEQUENCES)
@click.option(
    "--unknown", type=click.Choice(["error", "mask", "expected"]), help="Letters of no amino acid; error."
)
@click.option("--labels", metavar="FILE", help="A table joined to a FASTA file by id.")
@click.option("--quiet", is_flag=True, help="No notes.")
@options(READING)
def encode(data: tuple[str, ...], output: str | None, quiet: bool, **asked: Any) -> None:
    """Sequences as numbers: indices and a mask as tensors, or columns of a table.

    \b
    leastwise encode proteins.fasta -o proteins.safetensors
    leastwise encode variants.csv --sequence mutant --wild-type wt.fasta -o one_hot.parquet
    leastwise encode proteins.fasta --encode-as kmers:2 | head
    """
    with _answering():
        from leastwise.proteins import encode_file

        source = data[0] if len(data) == 1 else list(data)
        how = {name: value for name, value in asked.items() if value not in (None, ())}
        for line in encode_file(source, output, **how):
            if not quiet:
                _note(line)


@main.command()
@click.argument("data", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="OUT", help="File to write (.csv or .parquet); stdout if not given."
)
@click.option("--model", metavar="MODEL", help="A protein language model: a folder, or a name on the hub.")
@click.option(
    "--embeddings", metavar="FILE", help="Embeddings made elsewhere (npy, h5, parquet, safetensors)."
)
@click.option("--id", "id", metavar="COL", help="The column that --embeddings are joined by; id.")
@click.option("--sequence", metavar="COL", help="The column of protein sequences.")
@click.option("--layer", type=int, help="Of the model; the last if not given.")
@click.option("--window", type=int, help="Residues at once; what the model can take if not given.")
@click.option("--cache", metavar="FOLDER", help="Keeps what was computed: a run that was stopped goes on.")
@click.option("--device", help="cuda or cpu; what there is if not given.")
@click.option("--unknown", type=click.Choice(["error", "mask"]), help="Letters of no amino acid; error.")
@click.option("--labels", metavar="FILE", help="A table joined to a FASTA file by id.")
@click.option("--quiet", is_flag=True, help="No progress and no notes.")
@options(READING)
def embed(data: tuple[str, ...], output: str | None, quiet: bool, **asked: Any) -> None:
    """Numbers that a protein language model makes of each sequence, as columns e0, e1, ... of a table.

    \b
    leastwise embed proteins.fasta --model facebook/esm2_t12_35M_UR50D --cache cache -o embedded.parquet
    leastwise embed proteins.fasta --embeddings made.h5 -o embedded.parquet
    leastwise fit embedded.parquet --target tm --sequence sequence --encode-as none --drop id
    """
    with _answering():
        from leastwise.embedding import embed_file

        source = data[0] if len(data) == 1 else list(data)
        how = {name: value for name, value in asked.items() if value not in (None, ())}
        with _progress(quiet, "embedded", "sequences") as progress:
            told = embed_file(source, output, progress=progress, **how)
        for line in () if quiet else told:
            _note(line)


@main.command()
@click.argument("data", nargs=-1, required=True)
@options(DESCENDING, COLUMNS, SEQUENCES, READING)
@click.option("--folds", type=int, help="Of which one is held out with --patience; 5 if not given.")
@click.option("--seed", type=int, help="Shuffles mini-batches and deals folds; 0 if not given.")
@click.option("--no-intercept", is_flag=True, help="Fit through the origin.")
@click.option("--explain", is_flag=True, help="Walk through one step with its numbers.")
@click.option("--plot", metavar="FILE", help="Draw the loss, its contours with the path, and the fit.")
@options(TELLING)
def descend(
    data: tuple[str, ...], explain: bool, plot: str | None, as_json: bool, quiet: bool, no_intercept: bool,
    l1: float | None, l2: float | None, l1_steps: str | None, **asked: Any,
) -> None:  # fmt: skip
    """Gradient descent of the mean squared error: the loss curve and the verdict.

    \b
    leastwise descend line.csv --target y --lr 0.07 --steps 40
    leastwise descend line.csv --target y --lr 0.95 --explain
    leastwise descend wells.csv --target yield --method autograd --batch 32 --epochs 5
    """
    with _answering():
        from leastwise.descending import descend as descend_rows
        from leastwise.penalties import L1, L2

        if as_json and explain:
            raise click.UsageError("--explain is a text, and --json prints facts. Leave one of them out.")
        if plot is not None:
            from leastwise.report.plots import checked_file

            checked_file(plot)
        said: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        said |= {"intercept": False} if no_intercept else {}
        said |= {"l1": l1_steps} if l1_steps else {}
        if l1 is not None or l2 is not None:
            said["penalty"] = L1(l1 or 0.0) + L2(l2 or 0.0)
        source = data[0] if len(data) == 1 else list(data)
        walks = said.get("method", "moments") != "moments"
        with (
            _warned(quiet),
            _progress(quiet) as rows,
            _progress(quiet or not walks, "descend", "steps") as bar,
        ):
            if bar is not None:
                total = None if "epochs" in said else said.get("steps", 100)
                said["callback"] = lambda step, loss: bar(step + 1, total)
            run = descend_rows(source, progress=rows, **said)
            run.facts  # noqa: B018  # computed here, so that a fault of it prints no half result
        for line in () if quiet else run.fit.notes:
            _note(line)
        if plot is not None:
            from leastwise.report.plots import save

            save(run.plot(), plot)
        if as_json:
            click.echo(json.dumps(run.facts, indent=2, allow_nan=False))
        else:
            click.echo(run.explain() if explain else run.summary())
        if plot is not None and not as_json:
            click.echo(f"wrote    {plot}")


@main.command()
@click.option("-o", "--output", metavar="RUN", default="leastwise-demo", show_default=True,
              help="Folder for the model, the report and tables.")  # fmt: skip
@options(TELLING)
def demo(output: str, as_json: bool, quiet: bool) -> None:
    """Melting temperature of 4,165 proteins from their sequences: the whole way on real data."""
    with _answering():
        from leastwise.store import check_folder

        check_folder(Path(output), overwrite=True)
        source = Path(__file__).parent / "data" / "meltome.csv.gz"
        if not quiet:
            for line in DEMO:
                _note(line)
        asked = {"target": "melting_point", "sequence": "sequence", "unknown": "mask"}
        result = _fit(source, quiet, asked)
        _finish(result, output, True, as_json, quiet)
        _write_table(source, Path(output) / "proteins.csv")
        if not as_json:
            mean = result.facts["validation"]["mean"]
            click.echo(ANSWER.format(**mean))
            click.echo(NEXT.format(run=output, leastwise=_program(), python=_short(sys.executable)))


DEMO = (
    "can a protein's melting temperature be read off its sequence?",
    "4,165 proteins of the Meltome atlas (Jarzab et al. 2020; FLIP, AFL-3.0), degrees C",
    "361 sequences were measured more than once: each counts as one row, the mean of its values",
)
ANSWER = """
answer   a little: of proteins with no close relative among the training proteins, 26 properties of
         the sequence explain {r2:.0%} of the variance. RMSE {rmse:.2f} degrees C, where always
         answering the mean has {mean_rmse:.2f}. Spearman's correlation is {spearman:.2f}."""
NEXT = """
next     {leastwise} predict {run} {run}/proteins.csv -o predictions.csv
         {leastwise} fit {run}/proteins.csv --target melting_point --sequence sequence --unknown mask
         {python} -m webbrowser {run}/report.html"""


def _program() -> str:
    """How this program can be called again from here."""
    import shutil

    return "leastwise" if shutil.which("leastwise") else _short(sys.argv[0])


def _short(path: str) -> str:
    """A path as one would type it from here."""
    near = os.path.relpath(path)
    return path if near.startswith("..") else near


def _write_table(source: Path, path: Path) -> None:
    """The proteins as a plain table, to try the next commands on."""
    import gzip

    from leastwise.store import write_whole

    with gzip.open(source, "rb") as file:
        write_whole(path, file.read())


def _fit(source: Any, quiet: bool, asked: dict[str, Any]) -> Fit:
    from leastwise.fitting import fit as fit_rows

    with _progress(quiet) as progress:
        result = fit_rows(source, progress=progress, **asked)
        result.facts  # noqa: B018  # the second pass belongs to the work, not to the printing
    return result


def _finish(result: Fit, output: str | None, overwrite: bool, as_json: bool, quiet: bool) -> None:
    """Tell what was noticed, print the result, and write the folder."""
    if not quiet:
        for line in result.notes:
            _note(line)
    if output is not None:
        from leastwise.store import save_run

        save_run(result, Path(output), overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(result.facts, indent=2, allow_nan=False))
        return
    click.echo(result.summary())
    if output is not None:
        files = sorted(path.name for path in Path(output).iterdir())
        click.echo(f"wrote    {output}/: {', '.join(files)}")


@contextmanager
def _answering() -> Iterator[None]:
    """Errors of ours as one message on stderr and exit code 1; a closed pipe is no error."""
    try:
        yield
    except LeastwiseError as error:
        click.echo(f"{click.style('error', fg='red', bold=True)}    {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@contextmanager
def _warned(quiet: bool) -> Iterator[None]:
    """Warnings of ours as notes, at once."""
    import warnings

    from leastwise.errors import LeastwiseWarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, LeastwiseWarning):
            click.echo(str(message), err=True)
        elif not quiet:
            _note(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", LeastwiseWarning)
        warnings.showwarning = show
        yield


def _note(line: str) -> None:
    click.echo(f"{click.style('note', fg='cyan')}     {line}", err=True)


@contextmanager
def _progress(
    quiet: bool, verb: str = "read", unit: str = "rows"
) -> Iterator[Callable[[int, int | None], None] | None]:
    """A line on stderr that counts, after half a second and on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    begun, told = time.monotonic(), 0.0

    def show(done: int, total: int | None) -> None:
        nonlocal told
        now = time.monotonic()
        if now - begun < 0.5 or now - told < 0.1:
            return
        told = now
        rate = done / (now - begun)
        bar = ""
        if total:
            full = int(24 * done / total)
            bar = f"[{'#' * full}{'.' * (24 - full)}] {done / total:4.0%}, "
            bar += f"{max(0.0, (total - done) / rate):.0f} s left, " if rate else ""
        sys.stderr.write(f"\r\033[K{verb:8} {bar}{done:,} {unit}, {rate:,.0f} a second")
        sys.stderr.flush()

    try:
        yield show
    finally:
        if told:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


if __name__ == "__main__":
    main()
