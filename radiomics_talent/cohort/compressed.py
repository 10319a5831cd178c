"""Compressed NRRD and MetaImage files: their checksums, which ITK reads past.

A damaged stream often still unpacks, to other voxels. Only its checksum (gzip's CRC, zlib's Adler-32) tells.
"""

from __future__ import annotations

import zlib
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 2**20
_MOST_LINES = 10_000
_LONGEST_LINE = 2**20
_GZIP, _EITHER = 31, 47
"""What zlib calls a stream of gzip, and one of gzip or zlib."""


def is_damaged(path: Path, image_io: str) -> bool:
    """Tell whether a compressed file's stream is cut short or fails its checksum.

    Parameters
    ----------
    path : Path
        The file that ITK has read, or the header of one with its data beside it.
    image_io : str
        ITK's name for its format.

    Raises
    ------
    OSError
        The file, or the data that it names, cannot be read.
    """
    if image_io == "NrrdImageIO":
        return _nrrd_damaged(path)
    return image_io == "MetaImageIO" and _meta_damaged(path)


def _nrrd_damaged(path: Path) -> bool:
    fields: dict[str, str] = {}
    listed: list[str] = []
    with path.open("rb") as file:
        for line in _lines(file):
            if not line:
                break
            name, colon, value = line.partition(":")
            # "key:=value" is the user's own; names after "data file: LIST" have no colon.
            if colon and not value.startswith("=") and not line.startswith("#"):
                fields[name.strip().lower().replace(" ", "")] = value.strip()
            elif fields.get("datafile", "").startswith("LIST"):
                listed.append(line)
        if fields.get("encoding", "").lower() not in {"gzip", "gz"} or fields.get("lineskip", "0") != "0":
            return False
        detached = fields.get("datafile", "")
        if not detached:
            return _stream_damaged(file, _GZIP)
    names = listed if detached.startswith("LIST") else _numbered(detached)
    return any(_file_damaged(path.parent / name, _GZIP) for name in names)


def _numbered(datafile: str) -> list[str]:
    """Return the names that a NRRD means by ``slice%03d.raw.gz 1 60 1``, or the one name that there is."""
    words = datafile.split()
    if "%" not in datafile or len(words) < 4:
        return [datafile]
    try:
        first, last, step = (int(word) for word in words[1:4])
        return [words[0] % n for n in range(first, last + (1 if step > 0 else -1), step)]
    except (TypeError, ValueError):
        return []


def _meta_damaged(path: Path) -> bool:
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for line in _lines(file):
            name, equals, value = line.partition("=")
            fields[name.strip().lower()] = value.strip()
            if not equals or "elementdatafile" in fields:
                break
        if fields.get("compresseddata", "").lower()[:1] != "t":
            return False
        data = fields.get("elementdatafile", "")
        if data.upper() == "LOCAL":
            return _stream_damaged(file, _EITHER)
    # Lists and patterns of files are rare, and ITK does not compress them.
    return bool(data) and data != "LIST" and "%" not in data and _file_damaged(path.parent / data, _EITHER)


def _lines(file: IO[bytes]) -> Iterator[str]:
    """Read the lines of a header, one at a time, so that the file stands behind the last."""
    for _ in range(_MOST_LINES):
        line = file.readline(_LONGEST_LINE)
        if not line:
            return
        yield line.decode("utf-8", "replace").strip()


def _file_damaged(path: Path, kind: int) -> bool:
    with path.open("rb") as file:
        return _stream_damaged(file, kind)


def _stream_damaged(file: IO[bytes], kind: int) -> bool:
    """Unpack to the end of the stream, where its checksum is; what follows it does not matter."""
    stream = zlib.decompressobj(kind)
    try:
        while not stream.eof:
            data = stream.unconsumed_tail or file.read(_CHUNK)
            if not data:
                return True
            stream.decompress(data, 8 * _CHUNK)
    except zlib.error:
        return True
    return False
