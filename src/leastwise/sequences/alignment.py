"""When two proteins are related: by their best local alignment, and not by chance.

    identical residues / columns of the alignment     at least `identity`
    E, the alignments as good that chance would give  at most `evalue`
    and it covers `coverage` of both, or of the shorter one, or has `columns` columns

The E-value is what makes 30 % mean something: of pairs of unrelated proteins half have a local alignment
with 30 % identity, of a few residues. The coverage is what a tag cannot reach: His tags align to one
another significantly.

Smith-Waterman with BLOSUM62, a gap of length g costing 11 + g, in SIMD (Opal). E of a pair is
`K m n N e^(-lambda S)` for lengths m and n, score S and N sequences compared, with lambda and K of gapped
alignments: Altschul, Gish, Methods Enzymol. 266 (1996) 460. It is of the pair, whichever was asked about.
A masked residue (X) is identical to nothing, and expression tags at the ends are masked: a tag that
proteins share is significant, and drags a random stretch beside it along until 60 columns are full.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError, UsageError
from leastwise.numerics import is_number, workers
from leastwise.sequences.scales import TAGS

__all__ = ["Alignments", "Database", "Related"]

Ints = NDArray[np.int64]
Progress = Callable[[int, int | None], None]

MATRIX, OPEN, EXTEND = "BLOSUM62", 12, 1  # Opal's opening is the cost of the first residue of a gap
LAMBDA, KAPPA = 0.267, 0.041  # of gapped alignments under these costs
NEAR_END = 60  # residues at either end in which tags are looked for
LEADERS = ("(MGSS)?H{5,}(SSGLVPRGSH)?", "GKPIPNPLLGLDST")  # His with the linker of the pET vectors; V5
MASKED = re.compile("|".join([*LEADERS, *(tag for name, tag in TAGS.items() if name != "His")]))
LARGE, MOST = 1e7, 4e8  # cells of an alignment that is made alone, and above which there is none (5 GB)
AHEAD = 4  # queries that wait for each thread
ALIKE = 0.8  # identity over all of both from which short sequences are related whatever E says
LEAST = ALIKE * 4 - (1 - ALIKE) * OPEN  # the score of a column, at least, where so many are identical


@dataclass(frozen=True)
class Related:
    """What counts as related: see above. Two identical sequences always are."""

    identity: float = 0.3
    evalue: float = 1e-3
    coverage: float = 0.8
    columns: int = 60

    def __post_init__(self) -> None:
        for name in ("identity", "coverage"):
            value = getattr(self, name)
            if not is_number(value) or not 0 < value <= 1:
                raise UsageError(f"{name}={value!r} is no share above 0 and up to 1. Give one, as 0.3.")
        if not is_number(self.evalue) or not 0 < self.evalue < np.inf:
            raise UsageError(f"evalue={self.evalue!r} is no number above 0. Give one, as 1e-3.")
        if not isinstance(self.columns, int) or self.columns is True or self.columns < 1:
            raise UsageError(f"columns={self.columns!r} is no whole number of 1 or more. Give one, as 60.")

    def __str__(self) -> str:
        return (
            f"related: at least {self.identity:.0%} identical residues in the best local alignment "
            f"({MATRIX}, gaps 11 + 1 a residue) with E <= {self.evalue:g}, covering {self.coverage:.0%} "
            f"of both or of the shorter one or {self.columns} columns; or {ALIKE:.0%} identical over "
            f"{self.coverage:.0%} of both; expression tags at the ends are masked"
        )

    def least_score(self, lengths: Any, n: int) -> Any:
        """The scores from which E is small enough, for products of lengths and n sequences compared."""
        return np.log(KAPPA * np.asarray(lengths, np.float64) * n / self.evalue) / LAMBDA

    def holds(self, found: Alignments, n: int) -> NDArray[np.bool_]:
        """Which of these alignments say so, of n sequences compared."""
        return self.reaches(found, n) & (found.identity >= self.identity)

    def reaches(self, found: Alignments, n: int) -> NDArray[np.bool_]:
        """The same but for the identity: alignments that are long enough and not by chance."""
        real = found.score >= self.least_score(found.lengths[0] * found.lengths[1], n)
        both = found.covered.min(axis=0) >= self.coverage
        long = (found.shorter >= self.coverage) | (found.columns >= self.columns)
        return (real & long) | (both & (found.identity >= max(ALIKE, self.identity)))


@dataclass(frozen=True)
class Alignments:
    """The best local alignments of pairs: all arrays (m,), but `lengths` and `covered` (2, m)."""

    query: Ints
    target: Ints
    score: Ints
    identical: Ints
    columns: Ints
    lengths: Ints  # of query and target
    covered: NDArray[np.float64]  # the share of query and of target that is aligned

    @property
    def identity(self) -> NDArray[np.float64]:
        """Identical residues over columns."""
        return self.identical / np.maximum(self.columns, 1)

    @property
    def shorter(self) -> NDArray[np.float64]:
        """The share of the shorter one that is aligned."""
        return np.where(self.lengths[0] <= self.lengths[1], self.covered[0], self.covered[1])

    @classmethod
    def of(cls, rows: list[tuple[Any, ...]]) -> Alignments:
        """Of rows (query, target, score, identical, columns, lengths, shares)."""
        table = np.array(rows, np.float64).reshape(-1, 9).T
        whole = table[:7].astype(np.int64)
        query, target, score, identical, columns = whole[:5]
        return cls(query, target, score, identical, columns, whole[5:7], table[7:9])

    def __len__(self) -> int:
        return len(self.query)


def without_tags(text: str) -> str:
    """The same with the tags that stand near its ends masked, residue by residue."""
    near = min(NEAR_END, len(text) // 2)
    head, body, tail = text[:near], text[near : len(text) - near], text[len(text) - near :]
    head, tail = (MASKED.sub(lambda found: "X" * len(found[0]), end) for end in (head, tail))
    return head + body + tail


class Database:
    """Sequences of the twenty letters (and X), ready to be aligned to, their tags masked."""

    def __init__(self, sequences: Iterable[str]) -> None:
        import pyopal

        self.sequences = sequences = tuple(map(without_tags, sequences))
        self.alone = threading.Lock()
        self.lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        self.aligner: Any = pyopal.lib.Aligner(MATRIX, gap_open=OPEN, gap_extend=EXTEND)
        self.all: Any = pyopal.Database(list(sequences), self.aligner.alphabet)

    def __len__(self) -> int:
        return len(self.sequences)

    @cached_property
    def residues(self) -> int:
        """How many there are."""
        return int(self.lengths.sum())

    def scores(self, query: int, targets: Ints) -> Ints:
        """The best local score (m,) of one sequence with each target."""
        if not len(targets):
            return np.empty(0, np.int64)
        some = self.all if len(targets) == len(self) else self.all.extract(targets.tolist())
        found = self.aligner.align(self.sequences[query], some)
        return np.fromiter((one.score for one in found), np.int64, len(found))

    def worth(self, query: int, targets: Ints, scores: Ints, related: Related, n: int) -> NDArray[np.bool_]:
        """Which targets (m,) may be related by their score: E does not exclude them, or they are short."""
        length, others = len(self.sequences[query]), self.lengths[targets]
        longer, shorter = np.maximum(length, others), np.minimum(length, others)
        real = scores >= related.least_score(length * others, n)
        alike = (shorter >= related.coverage * longer) & (scores >= LEAST * related.coverage * longer)
        return np.asarray(real | alike)

    def alignments(self, query: int, targets: Ints, scores: Ints) -> list[tuple[Any, ...]]:
        """The best local alignment of one sequence with each target, as rows of Alignments.

        Several may be equally good, and which one Opal takes hangs on who is the query: of a pair it is
        always the one that stands first here, so that a pair has one alignment.
        """
        before, rows = targets < query, dict[int, tuple[Any, ...]]()
        if not before.all():
            after = targets[~before].tolist()
            found = self._full(query, after)
            rows |= {
                target: self._row(query, target, one) for target, one in zip(after, found, strict=True)
            }
        for target in targets[before].tolist():
            (one,) = self._full(target, [int(query)])
            same, columns, *of = self._row(target, query, one)
            rows[target] = (same, columns, of[1], of[0], of[3], of[2])
        pairs = zip(targets.tolist(), scores.tolist(), strict=True)
        return [(query, target, score, *rows[target]) for target, score in pairs]

    def _full(self, query: int, targets: list[int]) -> list[Any]:
        """Opal's alignments, which take 12 bytes a cell: large ones are made one after the other."""
        text, found = self.sequences[query], []
        for target in targets:
            cells = len(text) * int(self.lengths[target])
            if cells > MOST:
                raise DataError(
                    f"Two related proteins have {len(text):,} and {int(self.lengths[target]):,} residues. "
                    f"Aligning them takes {12 * cells / 1e9:.0f} GB. Cut them into domains, or drop one."
                )
            with self.alone if cells > LARGE else nullcontext():
                found += self.aligner.align(text, self.all.extract([target]), mode="full")
        return found

    def _row(self, query: int, target: int, one: Any) -> tuple[Any, ...]:
        """Identical residues, columns, and lengths and shares of query and target."""
        text, other, steps = self.sequences[query], self.sequences[target], one.alignment
        same = steps.count("M") - (_masked(text, other, one) if "X" in text and "X" in other else 0)
        spans = one.query_end - one.query_start + 1, one.target_end - one.target_start + 1
        return same, len(steps), len(text), len(other), spans[0] / len(text), spans[1] / len(other)

    def found(self, pairs: Iterable[tuple[int, Ints]], related: Related, n: int) -> Iterator[Alignments]:
        """For each query and its targets the alignments that may matter, in the order in which they came.

        Those whose score E does not exclude, or which are of sequences too short for that. In threads:
        Opal lets go of Python while it aligns.
        """

        def one(pair: tuple[int, Ints]) -> Alignments:
            query, targets = pair
            scores = self.scores(query, targets)
            some = self.worth(query, targets, scores, related, n)
            return Alignments.of(self.alignments(query, targets[some], scores[some]))

        waiting: deque[Future[Alignments]] = deque()
        with ThreadPoolExecutor(workers()) as pool:
            for pair in pairs:  # asked for one by one: what was found decides about what comes
                waiting.append(pool.submit(one, pair))
                if len(waiting) > AHEAD * workers():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def _masked(text: str, other: str, one: Any) -> int:
    """Columns of an alignment in which X stands over X."""
    i, j, count = one.query_start, one.target_start, 0
    for step in one.alignment:
        count += step == "M" and text[i] == "X" and other[j] == "X"
        i += step != "I"  # of Opal's steps I takes a residue of the target alone, D one of the query
        j += step != "D"
    return count
