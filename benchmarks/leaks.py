"""Test sequences that keep a relative in train: groups by several tools, every pair aligned to check.

`LEASTWISE_THREADS=3 python -m benchmarks leaks` takes about half an hour; the tools get as many threads.
"""

from __future__ import annotations

import csv
import gzip
import shutil
import subprocess
import tempfile
import textwrap
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clock import Timing, here, process
from benchmarks.table import Table, installed
from leastwise.numerics import workers
from leastwise.sequences import Related, cluster, split
from leastwise.sequences.alignment import Alignments, Database
from leastwise.sequences.clean import clean

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

RULE, TEST = Related(), 0.2  # the default definition, and the share of test
DEALT, CANDIDATES, WHOLE = 20, 3, 2  # seeds: of dealing a tool's clusters, and of our two splits
RANDOM = "random split"
OURS = {False: "leastwise split(exhaustive=False)", None: "leastwise split()"}
UNPROVEN = "its groups, dealt without certificate"
SETS = {  # name: file, column of sequences, column of the published sides
    "flip_meltome_2021": ("clustered_task.csv.gz", "sequence", "set"),
    "psi_biology_solubility": ("psi_biology.csv.gz", "fasta", "Partition"),
}
LIKE = ("--min-seq-id", "0.3", "-c", "0.8")
DEEP = ("-s", "7.5", "--cluster-mode", "1", "--single-step-clustering")
TOOLS: dict[str, tuple[str, ...]] = {
    "MMseqs2 easy-cluster": ("mmseqs", "easy-cluster", *LIKE),
    "MMseqs2 single step -s 7.5": ("mmseqs", "easy-cluster", *LIKE, *DEEP),
    "the same, --max-seqs 5000": ("mmseqs", "easy-cluster", *LIKE, *DEEP, "--max-seqs", "5000"),
    "MMseqs2 easy-linclust": ("mmseqs", "easy-linclust", *LIKE),
    "CD-HIT -c 0.4 -n 2": ("cd-hit", "-c", "0.4", "-n", "2"),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """Distinct sequences in order, and the side on which each was published."""

    name: str
    sequences: list[str]
    published: NDArray[np.str_]  # (n,)

    def __len__(self) -> int:
        return len(self.sequences)


@dataclass(frozen=True, eq=False)
class Truth:
    """Pairs (2, m) that chance does not explain, and by which reading each is related: each (m,)."""

    n: int
    pairs: Ints
    related: Mapping[str, Mask]
    one_way: int  # pairs of which only one order of the two says that they are related, by our definition

    def leaking(self, side: NDArray[Any], asked: Mask) -> dict[str, float]:
        """The percentage of `asked` (n,) that have a relative on another side (n,), by reading."""
        across, shares = side[self.pairs[0]] != side[self.pairs[1]], {}
        for reading, related in self.related.items():
            hit = np.zeros(self.n, bool)
            hit[self.pairs[:, across & related].ravel()] = True
            shares[reading] = 100 * float(hit[asked].mean())
        return shares


def run(options: Namespace) -> Table:
    """One row for each way of each data set; a tool that is not there is a row that says so."""
    cluster(["MVLSPADKTNVKAAW", "ACDEFGHIKLMNPQR"], exhaustive=False)  # compiles what is timed below
    rows: list[dict[str, Any]] = []
    told: list[str] = []
    for name in SETS:
        sample = drawn(options.data / name, name)
        if sample is None:
            told.append(f"{name}: {SETS[name][0]} is not there (--data FOLDER)")
            continue
        truth, took = timed(lambda sample=sample: aligned(sample.sequences))
        told.append(about(sample, truth, took))
        rows += [{"data": name, **row} for row in compared(sample, truth, told)]
    return Table("leaks: test sequences that have a relative in train", rows, wrapped([*notes(), *told]))


def compared(sample: Sample, truth: Truth, told: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of one data set; what is wrong with ours goes to `told`."""
    n = len(sample)
    yield row(RANDOM, truth, [dealt(np.arange(n), seed) for seed in range(DEALT)])
    for exhaustive, name in OURS.items():
        yield from ours(name, sample, truth, exhaustive, told)
    with tempfile.TemporaryDirectory() as folder:
        for name, words in TOOLS.items():
            if shutil.which(words[0]) is None:
                yield {"method": f"{name}: {words[0]} is not installed"}
                continue
            groups, took = clustered(sample.sequences, words, Path(folder) / str(len(name)))
            tests = [dealt(groups, seed) for seed in range(DEALT)]
            yield row(name, truth, tests, groups, took)
    yield published(sample, truth)


def ours(
    name: str, sample: Sample, truth: Truth, exhaustive: bool | None, told: list[str]
) -> Iterator[dict[str, Any]]:
    """Our split for some seeds, timed for each; and the groups that it began with, dealt as the tools'."""
    found, took = [], []
    for seed in range(CANDIDATES if exhaustive is False else WHOLE):
        one, timing = timed(
            lambda seed=seed: split(
                sample.sequences, test=TEST, exhaustive=exhaustive, unknown="mask", seed=seed
            )
        )
        found.append(one)
        took.append(timing)
    tests = [np.isin(np.arange(len(sample)), one.test) for one in found]
    whole = all(one.certificate.exhaustive for one in found)
    told += [f"FAULT: {fault}" for test in tests for fault in faults(truth, test) if whole]
    middle = Timing(*(float(np.median([getattr(t, x) for t in took])) for x in ("wall", "cpu")))
    moved = float(np.mean([one.certificate.moved for one in found]))
    yield {**row(name, truth, tests, found[0].groups, middle), "moved": moved}
    if exhaustive is False:
        again = [dealt(found[0].groups, seed) for seed in range(DEALT)]
        yield row(UNPROVEN, truth, again, found[0].groups)


def row(
    method: str, truth: Truth, tests: list[Mask], groups: Ints | None = None, took: Timing | None = None
) -> dict[str, Any]:
    """Means over the test sets, and the worst of them by our definition."""
    leaks = [truth.leaking(test, test) for test in tests]
    sizes = None if groups is None else np.bincount(groups)
    return {
        "method": method,
        "groups": None if sizes is None else len(sizes),
        "largest": None if sizes is None else int(sizes.max()),
        "seeds": len(tests),
        "test %": round(100 * float(np.mean([test.mean() for test in tests])), 1),
        **{f"{reading} %": round(float(np.mean([x[reading] for x in leaks])), 2) for reading in leaks[0]},
        "worst %": round(max(x["ours"] for x in leaks), 2),
        "cpu s": took and round(took.cpu, 1),
        "wall s": took and round(took.wall, 1),
        "moved": None,
    }


def published(sample: Sample, truth: Truth) -> dict[str, Any]:
    """The sides as they were published: test against train, or each partition against the others."""
    side, column = sample.published, SETS[sample.name][2]
    asked = side == "test" if "test" in side else np.ones(len(side), bool)
    leaks = truth.leaking(side, asked)
    return {
        "method": f"as published, by {column}",
        "groups": len(np.unique(side)),
        "test %": round(100 * float(asked.mean()), 1) if not asked.all() else None,
        **{f"{reading} %": round(share, 2) for reading, share in leaks.items()},
    }


# ---- every pair ----


def aligned(sequences: list[str]) -> Truth:
    """Every pair aligned; those that matter both ways round, as of equal scores either may be found."""
    n, database = len(sequences), Database(sequences)
    forth = gathered(database, ((i, np.arange(i + 1, n)) for i in range(n)), n)
    back = gathered(database, ((i, forth.query[forth.target == i]) for i in np.unique(forth.target)), n)
    order = np.lexsort((forth.query, forth.target))  # the order in which `back` has them
    one, other = readings(forth, n), readings(back, n)
    related = {reading: one[reading][order] | other[reading] for reading in one}
    pairs = np.stack([forth.query[order], forth.target[order]])
    if not np.array_equal(pairs[::-1], np.stack([back.query, back.target])):
        raise RuntimeError("Scores depend on which of the two was asked about.")
    return Truth(n, pairs, related, int((one["ours"][order] != other["ours"]).sum()))


def gathered(database: Database, pairs: Iterator[tuple[int, Ints]], n: int) -> Alignments:
    """All alignments of these pairs that can matter."""
    found = [x for x in database.found(pairs, RULE, n) if len(x)]
    names = ("query", "target", "score", "identical", "columns", "lengths", "covered")
    return Alignments(*(np.concatenate([getattr(x, name) for x in found], axis=-1) for name in names))


def readings(found: Alignments, n: int) -> dict[str, Mask]:
    """Which pairs are related by each reading of 30 % identity; `ours` is the package's definition."""
    real = found.score >= RULE.least_score(found.lengths[0] * found.lengths[1], n)
    real &= found.identity >= RULE.identity
    both = real & (found.covered.min(axis=0) >= RULE.coverage)
    shorter, long = real & (found.shorter >= RULE.coverage), real & (found.columns >= RULE.columns)
    ours = RULE.holds(found, n)
    return {"both": both, "shorter": shorter, "60 col": long, "ours": ours}


def faults(truth: Truth, test: Mask) -> Iterator[str]:
    """The first pairs that break our own definition across a split that was checked whole."""
    a, b = truth.pairs[:, truth.related["ours"] & (test[truth.pairs[0]] != test[truth.pairs[1]])]
    for i, j in list(zip(a.tolist(), b.tolist(), strict=True))[:3]:
        yield f"sequences {i} and {j} of the sample (in order, from 0) are related across our split"


# ---- groups and sides ----


def dealt(groups: Ints, seed: int) -> Mask:
    """Which rows are test: whole groups in random order, each that still fits into the share."""
    sizes, held, room = np.bincount(groups), np.zeros(groups.max() + 1, bool), int(TEST * len(groups))
    for group in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        if sizes[group] <= room:
            held[group], room = True, room - sizes[group]
    return held[groups]


def clustered(sequences: list[str], words: tuple[str, ...], folder: Path) -> tuple[Ints, Timing]:
    """The groups (n,) that a tool makes, and what it took from its start to its end."""
    folder.mkdir()
    fasta, made, threads = folder / "all.fasta", folder / "made", str(workers())
    fasta.write_text("".join(f">{i}\n{text}\n" for i, text in enumerate(sequences)), encoding="ascii")
    if words[0] == "cd-hit":
        full = [*words, "-i", str(fasta), "-o", str(made), "-M", "0", "-T", threads]
        return by_lines(full, Path(f"{made}.clstr"), clstr, len(sequences))
    full = [*words[:2], str(fasta), str(made), str(folder / "tmp"), *words[2:], "--threads", threads]
    return by_lines(full, Path(f"{made}_cluster.tsv"), tsv, len(sequences))


def by_lines(words: list[str], file: Path, read: Callable[[Path], Any], n: int) -> tuple[Ints, Timing]:
    """Run it, then read pairs (a group's name, row); RuntimeError where a row is in no group."""
    took = process(words)()
    name = {row: group for group, row in read(file)}
    if sorted(name) != list(range(n)):
        raise RuntimeError(f"{words[0]} put {len(name):,} of {n:,} sequences into groups.")
    return np.unique([name[i] for i in range(n)], return_inverse=True)[1], took


def tsv(file: Path) -> Iterator[tuple[int, int]]:
    """MMseqs2's lines: a group's representative and a member."""
    for line in file.read_text(encoding="ascii").splitlines():
        group, member = line.split("\t")
        yield int(group), int(member)


def clstr(file: Path) -> Iterator[tuple[int, int]]:
    """CD-HIT's lines: `>Cluster 7`, then its members as `0  120aa, >31... *`."""
    group = -1
    for line in file.read_text(encoding="ascii").splitlines():
        if line.startswith(">"):
            group += 1
        else:
            yield group, int(line.split(">")[1].split("...")[0])


# ---- what comes in, and what is told ----


def drawn(folder: Path, name: str) -> Sample | None:
    """Distinct sequences, cleaned; None where the file is absent."""
    file, column, side = SETS[name]
    if not (folder / file).is_file():
        return None
    with gzip.open(folder / file, "rt", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines))
    cleaned = clean([line[column] for line in table], unknown="mask").sequences
    published: dict[str, str] = {}
    for text, line in zip(cleaned, table, strict=True):
        published.setdefault(text, line[side])
    sequences = sorted(published)
    return Sample(name, sequences, np.array([published[text] for text in sequences]))


def timed(work: Callable[[], Any]) -> tuple[Any, Timing]:
    """What it gives, and what it took in this process, all threads."""
    found: list[Any] = []
    took = here(lambda: found.append(work()))()
    return found[0], took


def about(sample: Sample, truth: Truth, took: Timing) -> str:
    """Sizes of a data set, and what its exhaustive check found and took."""
    n, mean = len(sample), np.mean([len(text) for text in sample.sequences])
    counts = ", ".join(f"{reading} {int(x.sum()):,}" for reading, x in truth.related.items())
    return (
        f"{sample.name}: {n:,} distinct sequences, {mean:.0f} residues on average; all "
        f"{n * (n - 1) // 2:,} pairs aligned: {took.cpu:.0f} cpu s, {took.wall:.0f} wall s. Related: "
        f"{counts} pairs; {truth.one_way:,} of `ours` in only one order of the two"
    )


def notes() -> list[str]:
    """What was counted, how, and what is not comparable."""
    text = f"""
    leaks: % of the test sequences that have a relative in train, mean over the seeds; worst: the highest
    `ours` of a seed. All pairs of a data set are aligned once, and each split is judged by the same list.

    related: the best local alignment (BLOSUM62, gaps 11 + 1) has identity >= {RULE.identity:g} of its
    columns, E <= {RULE.evalue:g} among as many sequences as the sample has, and covers {RULE.coverage:g}
    of both (both) or of the shorter one (shorter), or has {RULE.columns} columns (60 col). ours: our
    definition, any of these, or 0.8 identical over 0.8 of both, whatever E. Either order of the two may
    say so.

    seeds: sides are dealt with 0, 1, ... Tools' groups and single
    sequences are dealt in random order, each group that still fits into {TEST:.0%} test. split() deals by
    itself, does all its work again for each seed, and moves the rows of `moved` (mean) to train.

    seconds: {workers()} threads, other jobs beside: compare cpu s. Ours: median of the seeds, in this
    process, imports and compiling not counted, dealing and certificate counted. Tools: one fresh process,
    clustering.

    versions: {versions()}

    not comparable: the aligner that judges is the one that ours is made with. The tools were asked for
    coverage of both (CD-HIT: for none), so read them by `both`; `shorter` and `60 col` are what they were
    not told. Expression tags are masked in our alignments, not in theirs; they mask or correct for low
    complexity and composition, we do not. CD-HIT goes no lower than 0.4, and counts identity over all of
    the shorter one. Greedy groups are meant to hold relatives of their representative, not of each
    member.

    as published: `set` was made at 20 % identity by its authors. Partition: % of all sequences with a
    relative in another partition, each in turn as test.
    """
    return text.split("\n\n")


def versions() -> str:
    """The aligner and the tools as they call themselves."""
    asked = {"MMseqs2": ["mmseqs", "version"], "CD-HIT": ["cd-hit", "-h"]}
    told = [installed("pyopal")]
    for name, words in asked.items():
        if shutil.which(words[0]) is None:
            told.append(f"no {name}")
            continue
        said = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split("(built")[0]
        told.append(f"{name} {said.strip(' =' + chr(10)).split()[-1]}")
    return ", ".join(told)


def wrapped(paragraphs: list[str]) -> list[str]:
    """The same in lines that fit beside the code."""
    return [
        line
        for text in paragraphs
        for line in textwrap.wrap(" ".join(text.split()), 106, subsequent_indent="  ")
    ]
