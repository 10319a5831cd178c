"""A folder that one process at a time writes to, and what killed ones left in it."""

from __future__ import annotations

import errno
import fcntl
import logging
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from radiomics_talent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOCK = ".lock"
"""Name of the file that is locked; it stays, empty."""
_UNFINISHED = (".tmp-*", ".*.tmp")
_LOG = logging.getLogger(__name__)


@contextmanager
def locked_folder(folder: Path, command: str, parts: Sequence[str] = ()) -> Iterator[None]:
    """Keep a folder, made where there is none, to this process for the block; remove unfinished files of killed ones.

    Parameters
    ----------
    folder : Path
        The folder.
    command : str
        What works on it, for the sentence that another process is refused with.
    parts : sequence of str
        Folders in it that may hold unfinished files, too.

    Raises
    ------
    ConfigError
        Another process works on the folder, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a+")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}; give another folder", where=str(folder)) from error
    with lock:
        hold(lock, folder, command)
        remove_unfinished(folder, parts)
        yield


def hold(lock: IO[str], folder: Path, command: str) -> None:
    """Lock an open file of a folder until it is closed or the process ends, however it ends.

    A file system without locks is told in the log.

    Raises
    ------
    ConfigError
        Another process holds it.
    """
    try:
        # The kernel drops the lock with the process: none is ever stale.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            raise ConfigError(
                f"another {command} is working on this folder; wait until it has finished, or give another folder",
                where=str(folder),
            ) from error
        _LOG.warning("%s cannot be locked (%s)", folder, error.strerror)


def remove_unfinished(folder: Path, parts: Sequence[str] = ()) -> None:
    """Remove files that were being written when their process was killed; only for who holds the folder."""
    for place in (folder, *(folder / part for part in parts)):
        for pattern in _UNFINISHED:
            for path in place.glob(pattern):
                path.unlink(missing_ok=True)
