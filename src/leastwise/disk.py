"""Files that appear when they are whole: a reader sees the old one or the new one, never a half."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from leastwise.errors import StoreError


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` at the end, and is gone if anything fails.

    It is written beside `path`, flushed to the disk, and renamed; then the folder is flushed.
    Raises StoreError where it cannot be written.
    """
    name = ""
    if not path.parent.is_dir():
        raise StoreError(f"There is no folder {path.parent} to put {path.name} in. Make it first.")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~umask())
        os.replace(name, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error}.") from error
    finally:
        if name:
            Path(name).unlink(missing_ok=True)


def umask() -> int:
    """The permissions that this process takes away from new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
