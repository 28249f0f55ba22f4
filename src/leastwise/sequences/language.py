"""A protein language model that is loaded, and how it reads (extra `embed`).

    a folder, or a name on the hub -> configuration, tokenizer, network    on one device, evaluating
                                   -> the token of each letter, and what stands around a sequence
                                   -> SHA-256 of all that a hidden state depends on, but for the sequence

What is on this machine is used as it is; else it is fetched. No code of a model's own is run, and no weight
that is missing is made up.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.errors import DataError, StoreError, UsageError, plural
from leastwise.sequences.clean import ALPHABET

__all__ = ["LanguageModel", "load_model"]

REACH_SECONDS = 5.0  # until a hub that does not answer is given up
UNUSED = ("pooler.", "contact_head.")  # heads that no embedding passes through
RELATIVE = ("t5", "mt5", "umt5")  # encoders of any length, whose states overflow float16
SHOWN = 40  # letters of what came in place of a model
_REPORTED = ["_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures"]


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model that is loaded, and how it reads: the token of each letter, and what stands around them.

    `digest` is of the weights as they were loaded, and caches go by it: leave `network` as it is.
    """

    name: str
    network: Any = field(repr=False)  # a torch module that is evaluating
    tokens: NDArray[np.int64] = field(repr=False)  # (256,) of each letter's byte
    before: tuple[int, ...] = field(repr=False)  # tokens ahead of the first residue
    after: tuple[int, ...] = field(repr=False)  # and behind the last
    pad: int = field(repr=False)
    digest: str
    layers: int
    width: int  # d
    precision: str  # of the arithmetic

    @property
    def device(self) -> str:
        """Where it is: "cpu", "cuda:0", "mps:0"."""
        return str(self.network.device)

    def layer(self, asked: int) -> int:
        """`asked` counted from 0. Raises UsageError where there is no such layer."""
        whole = type(asked) is int
        found = asked + self.layers + 1 if whole and asked < 0 else asked
        if not whole or not 0 <= found <= self.layers:
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


def load_model(
    model: str | Path, *, device: str | None = None, half: bool | None = None, local: bool = False
) -> LanguageModel:
    """A model to pass to `embed` and `embed_residues` as often as there are sequences, loaded once.

    `model` is a folder or a name on the Hugging Face hub; what was fetched from there before is used as
    it is, else it is fetched, unless `local`. No code of a model's own is run. `device` None is a GPU
    where there is one ("cuda", then "mps"), else "cpu"; `half` None is half precision on a GPU alone:
    float16, or bfloat16 for T5 (whose states overflow float16) and on the CPU.

    All its weights are read once to be loaded and once for the digest, and stay in memory: 4 bytes a
    parameter, 2 in half precision.

    Raises `UsageError` for what is neither a path nor a name, for a device that is not there, and without
    the extra `embed`, `DataError` where there is no such model or the hub is out of reach, `StoreError`
    for a model that is damaged, incomplete, or does not read one letter as one token.

    >>> esm = load_model("facebook/esm2_t6_8M_UR50D")  # doctest: +SKIP
    >>> esm.layers, esm.width, esm.precision  # doctest: +SKIP
    (6, 320, 'float32')
    >>> embed(["MVLSPAD"], esm).vectors.shape  # doctest: +SKIP
    (1, 320)
    """
    name = name_of(model)
    try:
        import transformers
    except ImportError:
        raise UsageError(
            "Language models need transformers, which is not installed. pip install 'leastwise[embed]'."
        ) from None
    import torch

    place = _placed(torch, device)
    config, tokenizer, network = _loaded(transformers, name, place, half, local)
    tokens, before, after = _reading(tokenizer, name)
    pad = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    digest, precision = _digest(torch, config, network, tokens), str(network.dtype).removeprefix("torch.")
    sizes = config.num_hidden_layers, config.hidden_size
    return LanguageModel(name, network, tokens, before, after, pad, digest, *sizes, precision)


def name_of(model: object) -> str:
    """The folder or name that `model` says. Raises UsageError where it is neither a path nor a name."""
    if isinstance(model, (str, os.PathLike)):
        return os.fsdecode(model)
    if isinstance(model, LanguageModel):
        raise UsageError(
            f"model={model.name!r} came, loaded already. A folder or a name on the Hugging Face hub is "
            "needed to load one. Pass this one to embed as it is."
        )
    came = repr(model)
    came = came if len(came) <= SHOWN and came.isprintable() else f"<{type(model).__name__}>"
    raise UsageError(
        f"model={came} came. A folder or a name on the Hugging Face hub is needed. Pass one; embed takes "
        "what load_model gave, too."
    )


def _placed(torch: Any, device: str | None) -> str:
    """The device to load on, which has been tried."""
    gpus = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    place = str(device) if device is not None else next((gpu for gpu in gpus if gpus[gpu]()), "cpu")
    try:
        torch.zeros(1, device=place).cpu()  # "meta" gives nothing back
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UsageError(
            f"device={device!r} came: {_first_line(error)}. A device of this machine is needed. Pass "
            "'cpu', 'cuda' or 'mps'."
        ) from None
    return place


def _loaded(
    transformers: Any, name: str, place: str, half: bool | None, local: bool
) -> tuple[Any, Any, Any]:
    """Configuration, tokenizer and network: from this machine, else from the hub."""
    folder = Path(os.path.expanduser(name))  # Path's own raises where there is no such user
    no_name = name.count("/") > 1 or name.startswith(("/", ".", "~")) or not name.strip()
    if no_name and not folder.is_dir():
        raise DataError(
            f"There is no folder '{name}'. A folder with config.json and weights, or a name on the Hugging "
            "Face hub is needed. Check the path."
        )
    source = str(folder) if folder.is_dir() else name
    fails = Exception()
    for here in (True,) if local or folder.is_dir() else (True, False):
        if not here:
            _refuse_unreachable(name)
        try:
            with _quiet(here):
                return _load(transformers, source, here, place, half)
        except StoreError:
            raise
        except Exception as error:  # whatever a foreign library raises
            fails = error
            if not isinstance(error, OSError):
                break
    if not folder.is_dir() and isinstance(fails, OSError):
        places = "fetched before" if local else "fetched before or on the hub"
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
