"""What ITK's NIfTI reader hides: NaN and infinite voxels, which it turns into 0 without a word."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_FLOATS = {16: "f4", 64: "f8"}
_CHUNK = 2**22


def count_not_finite(path: Path) -> int:
    """Count the voxels of a NIfTI file (.nii, .nii.gz) that are NaN or infinite.

    Files whose voxels are not stored as floats have none; a file that is cut short is left to the reader.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        if not compressed:
            with path.open("rb") as plain:
                return _count(plain)
        with gzip.open(path) as unpacked:
            return _count(unpacked)
    except (OSError, EOFError, zlib.error, struct.error):
        return 0


def _count(file: IO[bytes] | gzip.GzipFile) -> int:
    head = file.read(540)
    order = next((o for o in "<>" if struct.unpack_from(f"{o}i", head)[0] in {348, 540}), None)
    if order is None:
        return 0
    if struct.unpack_from(f"{order}i", head)[0] == 348:
        (datatype,), (offset,) = struct.unpack_from(f"{order}h", head, 70), struct.unpack_from(f"{order}f", head, 108)
        shape = struct.unpack_from(f"{order}8h", head, 40)
    else:
        (datatype,), (offset,) = struct.unpack_from(f"{order}h", head, 12), struct.unpack_from(f"{order}q", head, 168)
        shape = struct.unpack_from(f"{order}8q", head, 16)
    if datatype not in _FLOATS:
        return 0
    kind = np.dtype(f"{order}{_FLOATS[datatype]}")
    file.seek(int(offset))
    left = math.prod(max(1, n) for n in shape[1 : shape[0] + 1]) * kind.itemsize
    count = 0
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            break
        left -= len(chunk)
        values = np.frombuffer(chunk[: len(chunk) // kind.itemsize * kind.itemsize], kind)
        count += int(np.count_nonzero(~np.isfinite(values)))
    return count
