"""Sequences as the numbers that a protein language model makes of them (extra `embed`).

    cleaned sequences -> distinct ones -> what the cache holds      kept
                                       -> windows -> batches by length -> hidden states of one layer
                      -> mean over the known residues  (n, d)       embed
                      -> one row a residue             (L, d) each  embed_residues

Beginning, end and padding are no residues and never count. A masked residue is read as the model's X,
for its neighbours' sake, but is not taken into the mean: nothing is learned from an unknown letter.

A sequence longer than the window is read in windows that lie evenly and overlap by a quarter at least;
a residue in several has the mean of its states. A quarter is a guess between cost and context.

The cache is by content: weights, layer, window, precision, sequence. Other weights never find it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError, SequenceError, UsageError, did_you_mean, plural
from leastwise.sequences.clean import Cleaned, clean
from leastwise.sequences.embedded_cache import EmbeddedCache
from leastwise.sequences.language import LanguageModel, load_model, name_of

__all__ = ["Embedded", "EmbeddedResidues", "embed", "embed_residues"]

Floats = NDArray[np.float32]
Progress = Callable[[int, "int | None"], None]  # distinct sequences so far, and in all

BATCH = 8_192  # tokens, padding too
OVERLAP = 4  # windows share a fourth of their residues at least


@dataclass(frozen=True, eq=False)
class _Source:
    """How numbers were found."""

    kept: NDArray[np.int64]  # (n,) row i is of sequence kept[i] of what came: all, unless unknown="drop"
    model: str
    layer: int  # 0 is what goes into the first layer
    precision: str  # of the model's arithmetic; means are taken in float32
    digest: str  # SHA-256 of the weights as they were used
    notes: tuple[str, ...]  # what was changed, windowed, repeated, found in the cache


@dataclass(frozen=True, eq=False)
class Embedded(_Source):
    """One vector a sequence, and how it was found."""

    vectors: Floats  # (n, d)


@dataclass(frozen=True, eq=False)
class EmbeddedResidues(_Source):
    """One vector a residue, and how it was found; equal sequences share one array."""

    residues: tuple[Floats, ...]  # n arrays (L, d)


def embed(
    seqs: Iterable[str],
    model: str | Path | LanguageModel,
    *,
    layer: int = -1,
    unknown: str = "error",
    batch: int = BATCH,
    window: int | None = None,
    device: str | None = None,
    half: bool | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    local: bool = False,
) -> Embedded:
    """The mean of a model's hidden states over the known residues of each sequence: (n, d), float32.

    `model` is a folder or a name on the Hugging Face hub, loaded by `load_model`, which says what
    `device`, `half` and `local` are; or what `load_model` gave, used as it is, and those three are
    refused. `layer` counts from 0, the input of the first, to the number of layers, or from the end: -1
    is the last, after the model's own last normalisation. `unknown` is that of `clean`, except
    "expected". `batch` is a number of tokens, `window` of residues (None: as many as the model was made
    for), `cache` a folder, and `progress` is called with the distinct sequences done and in all.

    Rows are the same for any batch, order and cache to about six digits, the rounding of float32 products.
    Time grows with residues; where they are many, with residues times window.

    Raises `SequenceError` as `clean` does and where no residue of a sequence is known, `UsageError`
    for options out of range or beside a model that is loaded, what `load_model` raises, `DataError` for
    states that are not finite, and `StoreError` for a cache that cannot be made.

    >>> embed(["MVLSPAD"], "facebook/esm2_t6_8M_UR50D").vectors.shape  # doctest: +SKIP
    (1, 320)
    >>> esm = load_model("facebook/esm2_t6_8M_UR50D")  # doctest: +SKIP
    >>> [embed(some, esm).vectors.shape for some in (["MVL"], ["SPAD", "MK"])]  # doctest: +SKIP
    [(1, 320), (2, 320)]
    """
    asked = _Asked(model, layer, unknown, batch, window, device, half, cache, progress, local)
    cleaned = asked.clean(seqs)
    if blank := [i for i, text in enumerate(cleaned.sequences) if not text.strip("X")]:
        raise SequenceError(
            f"In {plural(len(blank), 'sequence')} (first: sequence {cleaned.kept[blank[0]] + 1:,}) every "
            "residue is masked. One known residue at least is needed. Leave those sequences out."
        )
    found, source, width = _found(cleaned, asked, per_residue=False)
    vectors = np.concatenate([np.empty((0, width), np.float32), *found])
    return Embedded(**vars(source), vectors=vectors)


def embed_residues(
    seqs: Iterable[str], model: str | Path | LanguageModel, **options: Any
) -> EmbeddedResidues:
    """A model's hidden state at each residue: n arrays (L, d), float32; a masked one has that of X.

    Options and errors are those of `embed`, except that a sequence may be masked throughout. All
    arrays are in memory at the end: 4 d bytes a residue, 1.5 MB a protein of 300 at d = 1,280.
    """
    if other := [name for name in options if name not in _OPTIONS]:
        raise UsageError(f"There is no option '{other[0]}'. {did_you_mean(other[0], _OPTIONS)}")
    asked = _Asked(model, **options)
    found, source, _ = _found(asked.clean(seqs), asked, per_residue=True)
    return EmbeddedResidues(**vars(source), residues=tuple(found))


@dataclass(frozen=True)
class _Asked:
    """The call, checked."""

    model: str | Path | LanguageModel
    layer: int = -1
    unknown: str = "error"
    batch: int = BATCH
    window: int | None = None
    device: str | None = None
    half: bool | None = None
    cache: str | Path | None = None
    progress: Progress | None = None
    local: bool = False

    def __post_init__(self) -> None:
        for name, came in (("batch", self.batch), ("window", self.window)):
            if came is not None and (type(came) is not int or came < 1):
                raise UsageError(f"{name}={came!r} came. A whole number is needed. Pass 1 or more.")
        if isinstance(self.model, LanguageModel):
            self._refuse_settled(self.model)
        else:
            name_of(self.model)

    def _refuse_settled(self, model: LanguageModel) -> None:
        settled = {"device": self.device, "half": self.half, "local": self.local or None}
        if given := [f"{name}={came!r}" for name, came in settled.items() if came is not None]:
            raise UsageError(
                f"{given[0]} came beside '{model.name}', which is loaded, in {model.precision} on "
                f"{model.device}. Loading settles that. Leave it out, or pass it to load_model."
            )

    def clean(self, seqs: Iterable[str]) -> Cleaned:
        if self.unknown == "expected":
            raise UsageError(
                "unknown='expected' came. A model has no mean of two letters. Pass 'mask' or 'drop'."
            )
        return clean(seqs, unknown=self.unknown)

    def opened(self) -> LanguageModel:
        if isinstance(self.model, LanguageModel):
            return self.model
        return load_model(self.model, device=self.device, half=self.half, local=self.local)


_OPTIONS = [field.name for field in fields(_Asked)][1:]


# ---- windows and batches ----


def windows(length: int, window: int | None) -> list[tuple[int, int]]:
    """The pieces (start, stop) in which a sequence is read: even steps, a quarter shared at least.

    >>> windows(10, 4)
    [(0, 4), (3, 7), (6, 10)]
    """
    if window is None or length <= window:
        return [(0, length)]
    steps = -(-(length - window) // (window - window // OVERLAP))
    return [(start, start + window) for start in (i * (length - window) // steps for i in range(steps + 1))]


class _Piece(NamedTuple):
    """A window of one sequence."""

    text: str
    start: int
    stop: int


def _weights(piece: _Piece, window: int | None, per_residue: bool) -> Floats:
    """1/c for a residue in c windows; in a mean divided by the known ones, 0 for X: (stop - start,)."""
    covered = np.zeros(len(piece.text))
    for start, stop in windows(len(piece.text), window):
        covered[start:stop] += 1
    weights = 1 / covered
    if not per_residue:
        known = np.frombuffer(piece.text.encode(), np.uint8) != ord("X")
        weights *= known / known.sum()
    return weights[piece.start : piece.stop].astype(np.float32)


def _states(model: LanguageModel, pieces: list[_Piece], layer: int) -> Any:
    """The hidden states (b, T, d) of a padded batch, float32 on the model's device."""
    import torch

    around = len(model.before) + len(model.after)
    lengths = [piece.stop - piece.start + around for piece in pieces]
    ids = np.full((len(pieces), max(lengths)), model.pad, np.int64)  # (b, T)
    for row, piece, length in zip(ids, pieces, lengths, strict=True):
        letters = np.frombuffer(piece.text[piece.start : piece.stop].encode(), np.uint8)
        row[:length] = [*model.before, *model.tokens[letters], *model.after]
    mask = np.arange(ids.shape[1]) < np.array(lengths)[:, None]
    given = {
        "input_ids": torch.from_numpy(ids).to(model.network.device),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(model.network.device),
    }
    try:
        if layer == model.layers:
            return model.network(**given).last_hidden_state.float()
        return model.network(**given, output_hidden_states=True).hidden_states[layer].float()
    except torch.OutOfMemoryError:
        raise UsageError(
            f"A batch of {plural(len(pieces), 'window')} of {max(lengths):,} tokens does not fit into the "
            f"memory of {model.device}. Fewer at once are needed. Pass a smaller batch or window."
        ) from None


def _sums(model: LanguageModel, pieces: list[_Piece], rule: _Rule) -> list[Floats]:
    """What each piece adds to its sequence's rows: (1, d), or (stop - start, d)."""
    import torch

    first = len(model.before)
    with torch.inference_mode():
        states = _states(model, pieces, rule.layer)  # (b, T, d)
        weights = np.zeros(states.shape[:2], np.float32)  # (b, T), 0 for what is no residue
        for row, piece in zip(weights, pieces, strict=True):
            row[first : first + piece.stop - piece.start] = _weights(piece, rule.window, rule.per_residue)
        weighted = states * torch.from_numpy(weights).to(states)[:, :, None]
        found = (weighted if rule.per_residue else weighted.sum(1, keepdim=True)).cpu().numpy()
    if not np.isfinite(found).all():
        raise DataError(
            f"{model.name} gave numbers that are not finite, in {model.precision}, for sequences of about "
            f"{len(pieces[0].text):,} residues. Finite ones are needed. Load it with half=False."
        )
    if not rule.per_residue:
        return list(found)
    return [rows[first : first + p.stop - p.start] for rows, p in zip(found, pieces, strict=True)]


class _Rule(NamedTuple):
    """What a sequence's numbers depend on beside the model."""

    layer: int  # from 0
    window: int | None
    per_residue: bool


def _computed(
    model: LanguageModel, texts: Iterable[str], batch: int, rule: _Rule
) -> Iterator[list[tuple[str, Floats]]]:
    """After each batch, the sequences of which all windows are read, with their rows."""
    pieces = [_Piece(text, *cut) for text in texts for cut in windows(len(text), rule.window)]
    pieces.sort(key=lambda piece: (piece.start - piece.stop, piece.text, piece.start))  # the longest first
    left = Counter(piece.text for piece in pieces)
    sums: dict[str, Floats] = {}
    around, at = len(model.before) + len(model.after), 0
    while at < len(pieces):
        many = max(1, batch // (pieces[at].stop - pieces[at].start + around))
        some, at, whole = pieces[at : at + many], at + many, []
        for piece, rows in zip(some, _sums(model, some, rule), strict=True):
            text, first = piece.text, piece.start if rule.per_residue else 0
            if text not in sums:
                sums[text] = np.zeros((len(text) if rule.per_residue else 1, model.width), np.float32)
            sums[text][first : first + len(rows)] += rows
            left[text] -= 1
            if not left[text]:
                whole.append((text, sums.pop(text)))
        yield whole


def _found(cleaned: Cleaned, asked: _Asked, *, per_residue: bool) -> tuple[list[Floats], _Source, int]:
    """The rows of each sequence, from the cache or computed, how they were found, and their width."""
    model = asked.opened()
    rule = _Rule(model.layer(asked.layer), model.window(asked.window), per_residue)
    distinct = list(dict.fromkeys(cleaned.sequences))
    about = [OVERLAP, model.digest, model.precision, *rule]
    cache = None if asked.cache is None else EmbeddedCache(Path(asked.cache), about)
    found = {} if cache is None else cache.take(distinct)
    notes = list(_told(cleaned, len(distinct), rule))
    if found:
        notes.append(f"{plural(len(found), 'distinct sequence')} found in the cache")
    if cache is not None and cache.damaged:
        files = f"{plural(len(cache.damaged), 'cache file')} damaged (first: {cache.damaged[0]})"
        notes.append(f"{files}: set aside, and computed again")
    progress = asked.progress or (lambda done, total: None)
    progress(len(found), len(distinct))
    try:
        lacking = [text for text in distinct if text not in found]
        for whole in _computed(model, lacking, asked.batch, rule):
            found.update(whole)
            if cache is not None:
                cache.put(whole)
            progress(len(found), len(distinct))
    finally:  # a run that is stopped has done its work for the next one
        if cache is not None:
            cache.flush()
    if model.precision != "float32":
        notes.append(f"computed in {model.precision} on {model.device}: about 3 digits")
    source = _Source(cleaned.kept, model.name, rule.layer, model.precision, model.digest, tuple(notes))
    return [found[text] for text in cleaned.sequences], source, model.width


def _told(cleaned: Cleaned, distinct: int, rule: _Rule) -> Iterator[str]:
    n = len(cleaned.sequences)
    yield from map(str, cleaned.changes)
    if distinct < n:
        yield f"{n - distinct:,} of {plural(n, 'sequence')} are repeats of others and were read once"
    unknown = [text.count("X") for text in cleaned.sequences if "X" in text]
    if unknown and not rule.per_residue:
        places = f"{plural(sum(unknown), 'residue')} in {plural(len(unknown), 'sequence')}"
        yield f"{places} read as X, and left out of the means"
    long = [len(text) for text in cleaned.sequences if rule.window and len(text) > rule.window]
    if long:
        which = f"{len(long):,} of {plural(n, 'sequence')} longer than {rule.window:,} residues"
        how = "read in windows of that many, averaged by residue where they overlap"
        yield f"{which} (longest {max(long):,}): {how}"
