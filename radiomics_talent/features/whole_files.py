"""Files that are there whole or not at all, whatever ends the program."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` that takes its place, on disk, when the block ends without an error.

    Yields
    ------
    Path
        Where to write; it has the suffix of `path`.
    """
    # Two threads, or two machines with the same process number, may write the same name at once.
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        _to_disk(temporary, os.O_RDWR)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    to_disk(path.parent)


def to_disk(folder: Path) -> None:
    """Force the names in a folder to disk."""
    _to_disk(folder, os.O_RDONLY)


def _to_disk(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
