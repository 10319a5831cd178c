"""NRRD and MetaImage files: whether their data are all there, which ITK finds out after it has asked for the memory.

A damaged stream often still unpacks, to other voxels. Only its checksum (gzip's CRC, zlib's Adler-32) tells.
"""

from __future__ import annotations

import re
import zlib
from typing import IO, TYPE_CHECKING

from radiomics_talent.cohort.text_header import TextHeader, read_meta_header, read_nrrd_header

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 2**20
_MOST_FILES = 10_000
_SLACK = 2**24
"""A stream may hold so many bytes more than the header says."""
_GZIP, _EITHER = 31, 47
"""What zlib calls a stream of gzip, and one of gzip or zlib."""
_TEXT = 8
"""A number written as text takes a byte or more, where it may take eight in memory."""


def is_malformed(path: Path, image_io: str) -> bool:
    """Tell whether the header of a NRRD or MetaImage file is not as its format says; others never are.

    Raises
    ------
    OSError
        The file cannot be read, or names data that are no file: ITK would wait for a pipe.
    """
    read = {"NrrdImageIO": read_nrrd_header, "MetaImageIO": read_meta_header}.get(image_io)
    if read is None:
        return False
    with path.open("rb") as file:
        header = read(file)
    if header is None:
        return True
    data = header.fields.get("datafile") or header.fields.get("elementdatafile", "LOCAL")
    return data.upper() != "LOCAL" and not _beside(path, header, data)


def is_damaged(path: Path, image_io: str, claimed: int = 0) -> bool:
    """Tell whether a file's header is malformed, its data fewer than claimed, or a stream fails its checksum.

    Parameters
    ----------
    path : Path
        The file, or the header of one with its data beside it.
    image_io : str
        ITK's name for its format; others than NRRD and MetaImage are never damaged.
    claimed : int, optional
        Bytes of voxels that the header claims; 0 asks for header and checksum alone.

    Raises
    ------
    OSError
        The file, or the data that it names, cannot be read or are none.
    """
    if image_io == "NrrdImageIO":
        return _nrrd_damaged(path, claimed)
    return image_io == "MetaImageIO" and _meta_damaged(path, claimed)


def _nrrd_damaged(path: Path, claimed: int) -> bool:
    with path.open("rb") as file:
        header = read_nrrd_header(file)
        if header is None:
            return True
        fields = header.fields
        packed = fields["encoding"].lower() in {"gzip", "gz"}
        detached = fields.get("datafile", "")
        if not detached:
            for _ in range(int(fields.get("lineskip", "0"))):
                if not file.readline(_CHUNK):
                    break
            held = _held(file, path, _GZIP if packed else 0, claimed)
        else:
            held = _held_beside(path, header, detached, _GZIP if packed else 0, claimed)
    held = held * _TEXT if held is not None and fields["encoding"].lower() in {"txt", "text", "ascii"} else held
    return held is None or held < claimed


def _meta_damaged(path: Path, claimed: int) -> bool:
    with path.open("rb") as file:
        header = read_meta_header(file)
        if header is None:
            return True
        fields = header.fields
        kind = _EITHER if fields.get("compresseddata", "").lower()[:1] in {"t", "1"} else 0
        if int(fields.get("compresseddatasize", "0")) > path.stat().st_size + _SLACK * 2**10:
            return True
        data = fields["elementdatafile"]
        if data.upper() == "LOCAL":
            held = _held(file, path, kind, claimed)
        else:
            held = _held_beside(path, header, data, kind, claimed)
    return held is None or held < claimed


def _held_beside(path: Path, header: TextHeader, data: str, kind: int, claimed: int) -> int | None:
    """Return the bytes in the files that a header names; None where a stream is damaged or the names are none."""
    places = _beside(path, header, data)
    held = 0
    for place in places:
        with place.open("rb") as file:
            here = _held(file, place, kind, claimed)
        if here is None:
            return None
        held += here
    return held if places else None


def _beside(path: Path, header: TextHeader, data: str) -> list[Path]:
    """Return the files that a header names; none where the names are none."""
    names = header.listed if data.startswith("LIST") else _numbered(data)
    places = [path.parent / name for name in names[:_MOST_FILES]]
    for place in places:
        if not place.is_file():
            raise FileNotFoundError(2, "No such file", str(place))
    return places


def _numbered(data: str) -> tuple[str, ...]:
    """Return the names that a header means by ``slice%03d.raw.gz 1 60 1``, or the one name that there is."""
    match = re.fullmatch(r"([^%]*%(?:0?[1-9])?d[^%\s]*)\s+(\d{1,6})\s+(\d{1,6})(?:\s+(\d{1,6}))?(?:\s+\d)?", data)
    if match is None:
        return () if "%" in data else (data,)
    first, last, step = int(match[2]), int(match[3]), int(match[4] or 1)
    return tuple(match[1] % n for n in range(first, last + 1, max(1, step)))


def _held(file: IO[bytes], path: Path, kind: int, claimed: int) -> int | None:
    """Return how many bytes of voxels follow in a file; None where their stream is damaged, or goes on and on."""
    if not kind:
        return max(0, path.stat().st_size - file.tell())
    stream, held = zlib.decompressobj(kind), 0
    try:
        while not stream.eof:
            data = stream.unconsumed_tail or file.read(_CHUNK)
            if not data:
                return None
            held += len(stream.decompress(data, 8 * _CHUNK))
            if claimed and held > claimed + _SLACK:
                return None
    except zlib.error:
        return None
    return held
