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

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leastwise.disk import whole_file
from leastwise.errors import DataError, SequenceError, StoreError, UsageError, did_you_mean, plural
from leastwise.sequences.clean import ALPHABET, Cleaned, clean

__all__ = ["Embedded", "EmbeddedResidues", "embed", "embed_residues"]

Floats = NDArray[np.float32]
Progress = Callable[[int, "int | None"], None]  # distinct sequences so far, and in all

BATCH = 8_192  # tokens, padding too
OVERLAP = 4  # windows share a fourth of their residues at least
SHARD_BYTES, SHARD_SECONDS = 64 << 20, 60.0  # what a run that is killed outright may lose
REACH_SECONDS = 5.0  # until a hub that does not answer is given up
UNUSED = ("pooler.", "contact_head.")  # heads that no embedding passes through
RELATIVE = ("t5", "mt5", "umt5")  # encoders of any length, whose states overflow float16
SCHEMA = 1
_REPORTED = ["_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures"]


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
    model: str | Path,
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

    `model` is a folder or a name on the Hugging Face hub; what was fetched from there before is used as
    it is, else it is fetched, unless `local`. No code of a model's own is run. `layer` counts from 0,
    the input of the first, to the number of layers, or from the end: -1 is the last, after the model's
    own last normalisation. `unknown` is that of `clean`, except "expected". `batch` is a number of
    tokens, `window` of residues (None: as many as the model was made for), `cache` a folder, and
    `progress` is called with the distinct sequences done and in all. `device` None is a GPU where
    there is one ("cuda", then "mps"), else "cpu"; `half` None is half precision on a GPU alone: float16,
    or bfloat16 for T5 (whose states overflow float16) and on the CPU.

    Rows are the same for any batch, order and cache to about six digits, the rounding of float32 products.
    Time grows with residues; where they are many, with residues times window.

    Raises `SequenceError` as `clean` does and where no residue of a sequence is known, `UsageError`
    for options out of range, `DataError` where there is no such model or the hub is out of reach,
    `StoreError` for a model that is damaged, incomplete, or does not read one letter as one token.

    >>> embed(["MVLSPAD"], "facebook/esm2_t6_8M_UR50D").vectors.shape  # doctest: +SKIP
    (1, 320)
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


def embed_residues(seqs: Iterable[str], model: str | Path, **options: Any) -> EmbeddedResidues:
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

    model: str | Path
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

    def clean(self, seqs: Iterable[str]) -> Cleaned:
        if self.unknown == "expected":
            raise UsageError(
                "unknown='expected' came. A model has no mean of two letters. Pass 'mask' or 'drop'."
            )
        return clean(seqs, unknown=self.unknown)


_OPTIONS = [field.name for field in fields(_Asked)][1:]


# ---- the model ----


@dataclass(frozen=True, eq=False)
class _Model:
    """A model that is loaded, and how it reads: the token of each letter, and what stands around them."""

    name: str
    network: Any  # a torch module that is evaluating
    tokens: NDArray[np.int64]  # (256,) of each letter's byte
    before: tuple[int, ...]  # tokens ahead of the first residue
    after: tuple[int, ...]  # and behind the last
    pad: int
    digest: str
    layers: int
    width: int  # d
    precision: str

    def layer(self, asked: int) -> int:
        """`asked` counted from 0. Raises UsageError where there is no such layer."""
        found = asked + self.layers + 1 if asked < 0 else asked
        if type(asked) is not int or not 0 <= found <= self.layers:
            raise UsageError(
                f"layer={asked!r} came. {self.name} has 0 (its input) to {self.layers}. Pass one, or -1."
            )
        return found

    def window(self, asked: int | None) -> int | None:
        """Residues of a window: those there are positions for; None where positions are relative."""
        config = self.network.config
        most = getattr(config, "max_position_embeddings", None)
        if config.model_type in RELATIVE or not most:
            return asked
        shifted = config.model_type in ("esm", "roberta", "xlm-roberta")  # the first are the padding's
        most -= len(self.before) + len(self.after) + shifted * ((config.pad_token_id or 0) + 1)
        none_beyond = getattr(config, "position_embedding_type", "absolute") == "absolute"
        if asked is None or asked <= most or not none_beyond:
            return int(most) if asked is None else asked
        raise UsageError(
            f"window={asked:,} came. {self.name} has positions for {most:,} residues. Pass that or less."
        )


def _opened(asked: _Asked) -> _Model:
    """The model, evaluating, on its device."""
    try:
        import transformers
    except ImportError:
        raise UsageError(
            "Language models need transformers, which is not installed. pip install 'leastwise[embed]'."
        ) from None
    import torch

    name, place = str(asked.model), asked.device
    if place is None:
        gpus = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        place = next((gpu for gpu, there in gpus.items() if there), "cpu")
    try:
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UsageError(
            f"device={place!r} came: {_first_line(error)}. A device of this machine is needed. Pass 'cpu', "
            "'cuda' or 'mps'."
        ) from None
    config, tokenizer, network = _loaded(transformers, asked, place)
    tokens, before, after = _reading(tokenizer, name)
    pad = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    digest, precision = _digest(torch, config, network, tokens), str(network.dtype).removeprefix("torch.")
    sizes = config.num_hidden_layers, config.hidden_size
    return _Model(name, network, tokens, before, after, pad, digest, *sizes, precision)


def _loaded(transformers: Any, asked: _Asked, place: str) -> tuple[Any, Any, Any]:
    """Configuration, tokenizer and network: from this machine, else from the hub."""
    name = str(asked.model)
    folder = Path(name).expanduser()
    no_name = name.count("/") > 1 or name.startswith(("/", ".", "~")) or not name.strip()
    if no_name and not folder.is_dir():
        raise DataError(
            f"There is no folder '{name}'. A folder with config.json and weights, or a name on the Hugging "
            "Face hub is needed. Check the path."
        )
    source = str(folder) if folder.is_dir() else name
    fails = Exception()
    for here in (True,) if asked.local or folder.is_dir() else (True, False):
        if not here:
            _refuse_unreachable(name)
        try:
            with _quiet(here):
                return _load(transformers, source, here, place, asked.half)
        except StoreError:
            raise
        except Exception as error:  # whatever a foreign library raises
            fails = error
            if not isinstance(error, OSError):
                break
    if not folder.is_dir() and isinstance(fails, OSError):
        places = "fetched before" if asked.local else "fetched before or on the hub"
        raise DataError(
            f"There is no model '{name}': no folder, and none {places}. A folder or a name on the Hugging "
            "Face hub is needed. Check the name."
        )
    raise StoreError(
        f"The model '{name}' cannot be loaded: {_first_line(fails)}. A model that transformers "
        f"{transformers.__version__} reads by itself, with all its files, is needed. Check them."
    )


def _load(transformers: Any, source: str, here: bool, place: str, half: bool | None) -> Any:
    how: dict[str, Any] = {"local_files_only": here, "trust_remote_code": False}
    config = transformers.AutoConfig.from_pretrained(source, **how)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, **how)
    relative = config.model_type in RELATIVE  # read without their decoder
    auto = transformers.AutoModelForTextEncoding if relative else transformers.AutoModel
    how |= {"add_pooling_layer": False} if config.model_type in ("esm", "bert", "roberta") else {}
    cpu = place.startswith("cpu")
    lower = "bfloat16" if relative or cpu else "float16"
    how |= {"dtype": lower if half or (half is None and not cpu) else "float32"}
    network, told = auto.from_pretrained(source, **how, output_loading_info=True)
    missing = sorted(key for key in told["missing_keys"] if not key.startswith(UNUSED))
    if missing:  # they would be random numbers
        raise StoreError(
            f"The model '{source}' lacks {plural(len(missing), 'tensor')} of its weights (first: "
            f"'{missing[0]}'). All of them are needed. Fetch it again."
        )
    return config, tokenizer, network.to(place).eval()


@contextmanager
def _quiet(bars_too: bool) -> Iterator[None]:
    """transformers' own account of loading is held back; bars of a download are not. Set back after."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if bars_too:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars_too and bars:
            logging.enable_progress_bar()


def _refuse_unreachable(name: str) -> None:
    """One short question to the hub: where there is no network its own client tries for 23 seconds."""
    from ssl import SSLError
    from urllib.error import HTTPError
    from urllib.request import urlopen

    from huggingface_hub import constants

    reason: object = "HF_HUB_OFFLINE is set"
    if not constants.HF_HUB_OFFLINE:
        try:
            urlopen(constants.ENDPOINT, timeout=REACH_SECONDS).close()
            return
        except HTTPError as answer:  # any answer is one
            return answer.close()
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, SSLError):  # the client may know more certificates
                return
    raise DataError(
        f"There is no model '{name}' on this machine, and {constants.ENDPOINT} cannot be reached "
        f"({_first_line(reason)}). The model's files are needed. Fetch them where there is a network, and "
        "pass their folder."
    )


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def _reading(tokenizer: Any, name: str) -> tuple[NDArray[np.int64], tuple[int, ...], tuple[int, ...]]:
    """The token of each letter, and those around a sequence, so that each token's residue is known.

    Letters stand side by side, or, as ProtBert and ProtT5 want them, with spaces between.
    """
    letters = ALPHABET + "X"
    for text in (letters, " ".join(letters)):
        inner = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        known = inner[: len(ALPHABET)]  # X may be unknown to the model
        if len(inner) != len(letters) or len(set(known)) < len(known) or tokenizer.unk_token_id in known:
            continue
        whole = list(tokenizer(text)["input_ids"])
        for start in range(len(whole) - len(inner) + 1):
            if whole[start : start + len(inner)] == inner:
                tokens = np.full(256, inner[-1], np.int64)
                tokens[np.frombuffer(letters.encode(), np.uint8)] = inner
                return tokens, tuple(whole[:start]), tuple(whole[start + len(inner) :])
    raise StoreError(
        f"The model '{name}' does not read each amino acid as one token of its own. A protein language "
        "model that does is needed. Choose another one."
    )


def _digest(torch: Any, config: Any, network: Any, tokens: NDArray[np.int64]) -> str:
    """SHA-256 over all that a hidden state depends on, but for the sequence."""
    said = {key: value for key, value in config.to_dict().items() if key not in _REPORTED}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    digest.update(tokens.tobytes())
    for key, tensor in sorted(network.state_dict().items()):
        if not key.startswith(UNUSED):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


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


def _states(model: _Model, pieces: list[_Piece], layer: int) -> Any:
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
            f"memory of {model.network.device}. Fewer at once are needed. Pass a smaller batch or window."
        ) from None


def _sums(model: _Model, pieces: list[_Piece], rule: _Rule) -> list[Floats]:
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
            f"{len(pieces[0].text):,} residues. Finite ones are needed. Pass half=False."
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
    model: _Model, texts: Iterable[str], batch: int, rule: _Rule
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
    model = _opened(asked)
    rule = _Rule(model.layer(asked.layer), model.window(asked.window), per_residue)
    distinct = list(dict.fromkeys(cleaned.sequences))
    cache = None if asked.cache is None else _Cache(Path(asked.cache), model, rule)
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
        notes.append(f"computed in {model.precision} on {model.network.device}: about 3 digits")
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


class _Cache:
    """Rows by content, in safetensors files of one folder for each model and rule.

    A file holds `keys` (k, 32), `counts` (k,) and `rows` (sum of counts, d). Its name is the SHA-256 of
    its bytes. One that does not agree with it is set aside as .damaged, and what it held made again.
    """

    def __init__(self, folder: Path, model: _Model, rule: _Rule) -> None:
        about = [SCHEMA, OVERLAP, model.digest, model.precision, rule.layer, rule.window, rule.per_residue]
        self.about = json.dumps(about)
        self.folder = folder.expanduser() / hashlib.sha256(self.about.encode()).hexdigest()[:16]
        self.waiting: list[tuple[str, Floats]] = []
        self.held, self.flushed = 0, time.monotonic()
        self.damaged: list[str] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The cache {folder} cannot be made: {error}. Name another folder.") from None

    def key(self, text: str) -> bytes:
        return hashlib.sha256(f"{self.about} {text}".encode()).digest()

    def take(self, texts: list[str]) -> dict[str, Floats]:
        """What is there of `texts`."""
        from safetensors.numpy import load

        wanted = {self.key(text): text for text in texts}
        found: dict[str, Floats] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            with suppress(OSError):  # another run may have set it aside
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest() != path.stem:
                    self.damaged.append(path.name)
                    path.rename(path.with_suffix(".damaged"))
                    continue
                tensors = load(data)
                parts = np.split(tensors["rows"], np.cumsum(tensors["counts"])[:-1])
                keys = (key.tobytes() for key in tensors["keys"])
                found |= {
                    wanted[k]: rows.copy() for k, rows in zip(keys, parts, strict=True) if k in wanted
                }
        return found

    def put(self, some: list[tuple[str, Floats]]) -> None:
        """Keep these; written when there is enough, or a minute has passed."""
        self.waiting += some
        self.held += sum(rows.nbytes for _, rows in some)
        if self.held >= SHARD_BYTES or time.monotonic() - self.flushed >= SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits as one file."""
        from safetensors.numpy import save

        if self.waiting:
            texts, rows = zip(*self.waiting, strict=True)
            keys = np.frombuffer(b"".join(map(self.key, texts)), np.uint8).reshape(-1, 32)
            data = save({"keys": keys, "counts": np.array([*map(len, rows)]), "rows": np.concatenate(rows)})
            with whole_file(self.folder / f"{hashlib.sha256(data).hexdigest()}.safetensors") as file:
                file.write(data)
        self.waiting, self.held, self.flushed = [], 0, time.monotonic()
