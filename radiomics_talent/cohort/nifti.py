"""What ITK's NIfTI reader hides: files cut short or damaged (read as 0), and NaN or infinite voxels (likewise)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_FLOATS = {16: "f4", 64: "f8"}
_CHUNK = 2**22
_LONGEST_HEADER = 540
DAMAGED = "is cut short or damaged; copy or export it again"


@dataclass(frozen=True, slots=True)
class _Header:
    """Where the voxels of a file are; `kind` is None unless they are floats."""

    offset: int
    n_bytes: int
    kind: np.dtype[np.floating] | None


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file, as the code and the sentence of a finding; an empty code leaves it to the caller."""

    code: str
    sentence: str


def find_fault(path: Path) -> Fault | None:
    """Look for what ITK does not say about a NIfTI file (.nii, .nii.gz).

    Returns
    -------
    Fault or None
        With code 'not-finite' for NaN and infinite voxels, without a code for a file that is cut short or damaged.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        if compressed:
            # Read to its end, where a gzip file holds length and checksum.
            with gzip.open(path) as unpacked:
                return _inspect(unpacked, whole=True)
        with path.open("rb") as plain:
            return _inspect(plain, whole=False, size=path.stat().st_size)
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error):
        return Fault("", DAMAGED)


def _inspect(file: IO[bytes] | gzip.GzipFile, *, whole: bool, size: int | None = None) -> Fault | None:
    header = _read_header(file.read(_LONGEST_HEADER))
    if header is None:  # an .hdr beside its .img: ITK's affair
        return None
    if size is not None and size < header.offset + header.n_bytes:
        return Fault("", DAMAGED)
    if header.kind is None and not whole:
        return None
    file.seek(header.offset)
    left, bad = header.n_bytes, 0
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            return Fault("", DAMAGED)
        left -= len(chunk)
        if header.kind is not None:
            values = np.frombuffer(chunk[: len(chunk) // header.kind.itemsize * header.kind.itemsize], header.kind)
            bad += int(np.count_nonzero(~np.isfinite(values)))
    while whole and file.read(_CHUNK):
        pass
    return Fault("not-finite", f"{bad} voxels are NaN or infinite, expected numbers everywhere") if bad else None


def _read_header(head: bytes) -> _Header | None:
    order = next((o for o in "<>" if struct.unpack_from(f"{o}i", head)[0] in {348, 540}), None)
    if order is None:
        return None
    if struct.unpack_from(f"{order}i", head)[0] == 348:
        datatype, bits = struct.unpack_from(f"{order}2h", head, 70)
        (offset,), shape = struct.unpack_from(f"{order}f", head, 108), struct.unpack_from(f"{order}8h", head, 40)
        is_single = head[344:347] == b"n+1"
    else:
        datatype, bits = struct.unpack_from(f"{order}2h", head, 12)
        (offset,), shape = struct.unpack_from(f"{order}q", head, 168), struct.unpack_from(f"{order}8q", head, 16)
        is_single = head[4:7] == b"n+2"
    if not is_single:
        return None
    n_values = math.prod(max(1, n) for n in shape[1 : shape[0] + 1])
    kind = np.dtype(f"{order}{_FLOATS[datatype]}") if datatype in _FLOATS else None
    return _Header(int(offset), n_values * bits // 8, kind)
