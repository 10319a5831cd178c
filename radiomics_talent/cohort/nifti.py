"""What ITK's NIfTI reader hides: files cut short or damaged (read as 0), and NaN or infinite voxels (likewise)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from itertools import product
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_FLOATS = {16: "f4", 64: "f8"}
_CHUNK = 2**22
_SLACK = 2**26
"""A stream may hold so many bytes more than the header says: extensions, or what a program appends."""
_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 1792: 16, 2304: 4}
"""Bytes of a voxel of each datatype."""
_GRIDS = ((348, "f", 80, 252, 256), (540, "d", 112, 344, 352))
"""Of NIfTI 1 and 2: size of the header, kind of its numbers, and where pixdim[1], the codes and quatern_b are."""
_LARGEST = 1e10
_MOST_TIMES = 1032
"""Deflate makes nothing smaller than that."""
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


def is_malformed(path: Path) -> bool:
    """Tell whether the grid of a NIfTI header holds what is no number: ITK turns it over and over.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if compressed else path.open("rb") as unpacked:
            return not _is_numeric(unpacked.read(_LONGEST_HEADER))
    except (EOFError, zlib.error, struct.error):
        return True


def _is_numeric(head: bytes) -> bool:
    for order, (size, kind, pixdim, codes, quatern) in product("<>", _GRIDS):
        if struct.unpack_from(f"{order}i", head)[0] != size:
            continue
        numbers = list(struct.unpack_from(f"{order}3{kind}", head, pixdim))
        q_code, s_code = struct.unpack_from(f"{order}2{'h' if size == 348 else 'i'}", head, codes)
        grids = struct.unpack_from(f"{order}18{kind}", head, quatern)
        numbers += [*(grids[:6] if q_code > 0 else ()), *(grids[6:] if s_code > 0 else ())]
        return all(abs(n) < _LARGEST for n in numbers)
    return True


def find_fault(path: Path, claimed: int = 0) -> Fault | None:
    """Look for what ITK does not say about a NIfTI file (.nii, .nii.gz).

    Parameters
    ----------
    path : Path
        The file.
    claimed : int, optional
        Bytes of voxels that ITK will ask for.

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
                fault, held = _inspect(unpacked, whole=True)
        else:
            with path.open("rb") as plain:
                fault, held = _inspect(plain, whole=False, size=path.stat().st_size)
    except (EOFError, OSError, ValueError, OverflowError, zlib.error, struct.error):
        return Fault("", DAMAGED)
    held = _held_beside(path) if held is None else held
    return Fault("", DAMAGED) if held < claimed else fault


def _held_beside(path: Path) -> int:
    """Return the bytes that the .img of an .hdr can unpack to, or those of a file of an older format."""
    beside = [path, *(path.with_suffix(suffix) for suffix in (".img", ".img.gz"))]
    return sum(p.stat().st_size * (_MOST_TIMES if p.suffix == ".gz" else 1) for p in beside if p.is_file())


def _inspect(
    file: IO[bytes] | gzip.GzipFile, *, whole: bool, size: int | None = None
) -> tuple[Fault | None, int | None]:
    """Return what is wrong, and how many bytes of voxels there are; None where they lie elsewhere."""
    damaged = Fault("", DAMAGED), 0
    header = _read_header(file.read(_LONGEST_HEADER))
    if header is None:  # an .hdr beside its .img
        return None, None
    if size is not None and size < header.offset + header.n_bytes:
        return damaged
    if header.kind is None and not whole:
        return None, header.n_bytes
    file.seek(header.offset)
    left, bad = header.n_bytes, 0
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            return damaged
        left -= len(chunk)
        if header.kind is not None:
            values = np.frombuffer(chunk[: len(chunk) // header.kind.itemsize * header.kind.itemsize], header.kind)
            bad += int(np.count_nonzero(~np.isfinite(values)))
    beyond = 0
    while whole and (chunk := file.read(_CHUNK)):
        beyond += len(chunk)
        if beyond > _SLACK:
            return damaged
    fault = Fault("not-finite", f"{bad} voxels are NaN or infinite, expected numbers everywhere") if bad else None
    return fault, header.n_bytes


def _read_header(head: bytes) -> _Header | None:
    order = next((o for o in "<>" if struct.unpack_from(f"{o}i", head)[0] in {348, 540}), None)
    if order is None:
        return None
    if struct.unpack_from(f"{order}i", head)[0] == 348:
        (datatype,) = struct.unpack_from(f"{order}h", head, 70)
        (offset,), shape = struct.unpack_from(f"{order}f", head, 108), struct.unpack_from(f"{order}8h", head, 40)
        is_single = head[344:347] == b"n+1"
    else:
        (datatype,) = struct.unpack_from(f"{order}h", head, 12)
        (offset,), shape = struct.unpack_from(f"{order}q", head, 168), struct.unpack_from(f"{order}8q", head, 16)
        is_single = head[4:7] == b"n+2"
    if not is_single:
        return None
    n_values = math.prod(max(1, n) for n in shape[1 : shape[0] + 1])
    kind = np.dtype(f"{order}{_FLOATS[datatype]}") if datatype in _FLOATS else None
    return _Header(int(offset), n_values * _BYTES.get(datatype, 1), kind)
