"""Files that change while they are read: half of the old and half of the new would be a scan that never was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from radiomics_talent.dicom.folder import find_files, find_strays
from radiomics_talent.errors import DicomError
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

FileState = tuple[int, int, int]
"""Size in bytes, time of the last change in ns as the file system tells it, and inode."""

_WITH_DATA_BESIDE = frozenset({".mhd", ".nhdr", ".hdr", ".img"})


def file_states(path: Path) -> dict[Path, FileState]:
    """Note how the files of a scan or mask are.

    Times are compared with each other and never with the clock. A program that writes in place, keeps the size and puts
    the old time back is not noticed; nor is, on a network drive, what the server has not told yet.

    Parameters
    ----------
    path : Path
        A file (with the data beside it, where it is a header alone), or a folder with all that is below.

    Returns
    -------
    dict of Path to FileState
        Files that cannot be looked at are left out; reading them says why.
    """
    try:
        paths = find_files(path)[0]
        if path.suffix.lower() in _WITH_DATA_BESIDE:
            paths = [p for p in path.parent.iterdir() if p.name.startswith(f"{path.stem}.")]
    except (DicomError, OSError):
        return {}
    return {p: state for p in paths if (state := _state(p)) is not None}


def find_changes(
    path: Path, before: Mapping[Path, FileState], files: Collection[Path] | None = None
) -> tuple[Finding, ...]:
    """Say what has changed since.

    Parameters
    ----------
    path : Path
        As `file_states` had it.
    before : mapping of Path to FileState
        From `file_states`, made before the files were read.
    files : collection of Path, optional
        Those that were read, where not all are: others may change, but a new one beside these may be their slice.

    Returns
    -------
    tuple of Finding
        Empty, or one error.
    """
    read = before.keys() if files is None else files
    now = {p: _state(p) for p in read}
    gone = [p for p in read if now[p] is None]
    changed = [p for p in read if now[p] is not None and now[p] != before.get(p)]
    new = [] if files is None else find_strays(file_states(path).keys() - before.keys(), read)
    for what, paths in (("vanished", gone), ("changed", changed), ("appeared", new)):
        if paths:
            n, first = len(paths), min(paths).name
            files_were = "1 file of it" if n == 1 else f"{n} files of it"
            sentence = (
                f"{files_were} {what} while it was read ({first}{', ...' if n > 1 else ''}); repeat when nothing "
                "writes there and the drive is connected"
            )
            return (Finding("changed-while-read", sentence, str(path)),)
    return ()


def _state(path: Path) -> FileState | None:
    try:
        stat = os.stat(path)  # noqa: PTH116  # Path.stat takes twice as long, for each slice of a cohort
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
