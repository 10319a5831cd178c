"""Walking folders: every file once, nothing lost without a word, and what lies beside a series without being of it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from radiomics_talent.dicom.headers import MEDIA_DIRECTORY_CLASS, looks_like_dicom
from radiomics_talent.errors import DicomError
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_COMPANIONS = frozenset({
    ".bat", ".bmp", ".bz2", ".cfg", ".conf", ".css", ".csv", ".db", ".doc", ".docx", ".exe", ".gif", ".gz", ".hdr",
    ".htm", ".html", ".ico", ".img", ".inf", ".ini", ".jpeg", ".jpg", ".js", ".json", ".lnk", ".log", ".m", ".mat",
    ".md", ".mha", ".mhd", ".nii", ".npy", ".npz", ".nrrd", ".pdf", ".pkl", ".png", ".ps1", ".py", ".r", ".rtf", ".sh",
    ".svg", ".tar", ".tif", ".tiff", ".toml", ".tsv", ".txt", ".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip",
    ".zraw",
})  # fmt: skip
"""Suffixes of what people and programs keep beside DICOM files."""
_COMPANION_NAMES = frozenset({"DICOMDIR", "README", "LICENSE", "LICENCE", "VERSION", "LOCKFILE", "CHECKSUMS"})


def find_files(root: Path) -> tuple[list[Path], list[Finding]]:
    """List every file below a folder, as `walk_files` finds them.

    Raises
    ------
    DicomError
        `root` does not exist, or cannot be read or named.
    """
    findings: list[Finding] = []
    return list(walk_files(root, findings)), findings


def walk_files(root: Path, findings: list[Finding]) -> Iterator[Path]:
    """Find every file below a folder, in order, holding the names of one folder at a time.

    Links to folders outside are followed, each folder once.

    Parameters
    ----------
    root : Path
        Folder, or a single file.
    findings : list of Finding
        What cannot be read or named is added to it, as errors.

    Raises
    ------
    DicomError
        `root` does not exist, or cannot be read or named.
    """
    if not _is_utf8(root):
        raise DicomError(f"{_NOT_UTF8}; rename it", where=escape(root), code="unreadable-file")
    try:
        if root.is_file():
            yield root
            return
        if not root.is_dir():
            raise DicomError("there is no such folder; give the folder that holds the DICOM files", where=str(root))
    except OSError as error:
        raise DicomError(unreadable(error), where=str(root), code="unreadable-file") from error
    top = os.path.realpath(root)
    visited: set[str] = set()
    waiting = [(root, top)]
    while waiting:
        here, real = waiting.pop()
        folders, files = _list(here, findings)
        entered = [
            (here / name, target)
            for name, is_link in folders
            if (target := _enter(here / name, real, top, visited, findings, is_link=is_link))
        ]
        yield from _files(here, files, findings)
        waiting += reversed(entered)


def unreadable(error: OSError) -> str:
    """Say why a file cannot be read."""
    return f"cannot be read: {error.strerror or type(error).__name__}"


def escape(path: str | Path) -> str:
    """Return a path as text that can be printed and written, whatever bytes its name holds."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def find_strays(candidates: Iterable[Path], series_files: Iterable[Path]) -> list[Path]:
    """Choose the unread files that may be lost slices: in a folder of the series' files, and no known companion.

    Parameters
    ----------
    candidates : iterable of Path
        Files that are not DICOM, damaged, or empty.
    series_files : iterable of Path
        Files of the series.
    """
    shapes: dict[Path, set[str]] = {}
    for path in series_files:
        shapes.setdefault(path.parent, set()).add(name_shape(path))
    beside = (path for path in candidates if path.parent in shapes)
    return [path for path in beside if name_shape(path) in shapes[path.parent] or not _is_companion(path)]


def name_shape(path: Path) -> str:
    """Return the name of a file with '#' for every number: slices of a series are named alike."""
    return re.sub(r"\d+", "#", path.name.lower())


def stray_finding(strays: list[Path], where: str) -> Finding:
    """Return the warning that files beside a series were not read."""
    n = len(strays)
    what = f"{n} files beside the series are" if n > 1 else "1 file beside the series is"
    named = f"{strays[0].name}{', ...' if n > 1 else ''}"
    sentence = (
        f"{what} empty, damaged or not DICOM and left out ({named}): the series is not whole if slices were lost so; "
        "copy or export it again, or remove what does not belong"
    )
    return Finding("files-left-out", sentence, where)


_NOT_UTF8 = "its name is not UTF-8, which the tables need"


def _list(folder: Path, findings: list[Finding]) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Return the sorted names of folders (and whether each is a link) and of all else (and whether each is a file)."""
    folders: list[tuple[str, bool]] = []
    others: list[tuple[str, bool]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_folder(entry):
                    folders.append((entry.name, entry.is_symlink()))
                else:
                    others.append((entry.name, entry.is_file(follow_symlinks=False)))
    except OSError as error:
        where = escape(error.filename or folder)
        findings.append(Finding("unreadable-file", f"the folder {unreadable(error)}", where))
        return [], []
    return sorted(folders), sorted(others)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _enter(
    path: Path, real_parent: str, top: str, visited: set[str], findings: list[Finding], *, is_link: bool
) -> str | None:
    """Return the real path of a folder that is to be walked, else None."""
    if not _is_utf8(path):
        findings.append(Finding("unreadable-file", f"the folder was left out: {_NOT_UTF8}; rename it", escape(path)))
        return None
    # Resolving costs a network disk as many calls as the path has parts, and only links need it.
    real = os.path.realpath(path) if is_link else str(Path(real_parent, path.name))
    if is_link and (_is_within(real, top) or _is_within(top, real)):
        # A link into the tree shows what is walked anyway; one to a folder above it would never end.
        return None
    if not is_link and _is_within(real, top):
        return real  # no way but this one leads there
    if real in visited:
        return None
    visited.add(real)
    return real


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _files(folder: Path, names: list[tuple[str, bool]], findings: list[Finding]) -> Iterator[Path]:
    unnamed, closed = [], []
    is_open = False
    for name, is_plain in names:
        path = folder / name
        try:
            # Sockets and pipes would block; a broken link is no file. In a folder that may be listed but not entered,
            # no file has a status; where one has, the others need not be asked.
            if not (is_open and is_plain) and not path.is_file():
                continue
        except OSError as error:
            closed.append((path, error))
            continue
        is_open = True
        if _is_utf8(path):
            yield path
        elif _begins_as_dicom(path):
            unnamed.append(path)
    if unnamed:
        sentence = f"{_count(unnamed)} left out: {_NOT_UTF8}; rename such files"
        findings.append(Finding("unreadable-file", sentence, str(folder)))
    if closed:
        sentence = f"{_count([path for path, _ in closed])} {unreadable(closed[0][1])}"
        findings.append(Finding("unreadable-file", sentence, str(folder)))


def _count(paths: list[Path]) -> str:
    more = ", ..." if len(paths) > 1 else ""
    return f"{len(paths)} file{'s' if len(paths) > 1 else ''} ({escape(paths[0].name)}{more})"


def _begins_as_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return looks_like_dicom(file.read(132))
    except OSError:
        return True  # it cannot be told, so it is not passed over


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_companion(path: Path) -> bool:
    name = path.name
    if name.startswith(".") or path.stem.upper() in _COMPANION_NAMES or path.suffix.lower() in _COMPANIONS:
        return True
    try:
        with path.open("rb") as file:
            return MEDIA_DIRECTORY_CLASS.encode() in file.read(1024)
    except OSError:
        return False
