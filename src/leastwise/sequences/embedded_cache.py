"""What a language model made of sequences, kept by content, so that a run that is stopped is taken up.

    rows -> put -> waiting -> flush -> one file of many sequences, whole or not there
    rows <- take <- all files, but those that are damaged

No file is ever changed. What other weights, layers or windows gave is in another folder.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwise.disk import whole_file
from leastwise.errors import StoreError

__all__ = ["EmbeddedCache"]

Floats = NDArray[np.float32]

SHARD_BYTES, SHARD_SECONDS = 64 << 20, 60.0  # what a run that is killed outright may lose
SCHEMA = 1


class EmbeddedCache:
    """Rows by content, in safetensors files of one folder for each `about`.

    `about` is all that rows depend on, but for the sequence: model, precision, layer, window. A file
    holds `keys` (k, 32), `counts` (k,) and `rows` (sum of counts, d). Its name is the SHA-256 of its
    bytes. One that does not agree with it is set aside as .damaged, and what it held made again.
    """

    def __init__(self, folder: Path, about: list[Any]) -> None:
        self.about = json.dumps([SCHEMA, *about])
        self.folder = folder.expanduser() / hashlib.sha256(self.about.encode()).hexdigest()[:16]
        self.waiting: list[tuple[str, Floats]] = []
        self.held, self.flushed = 0, time.monotonic()
        self.damaged: list[str] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The cache {folder} cannot be made: {error}. Name another folder.") from None

    def key(self, text: str) -> bytes:
        """What a file knows a sequence by: the SHA-256 of it and of all else that its rows depend on."""
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
