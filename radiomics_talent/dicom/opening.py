"""Opening a DICOM file that may lie about its lengths: nothing is allocated that the file does not hold."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any

import pydicom

from radiomics_talent.errors import DicomError

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import FileDataset

MOST_VOXELS = 2**31
"""No scanner makes a volume of more voxels: four times 512 x 512 x 2048."""
UNPACKED_MIB = 64
"""A compressed file may unpack to so much, whatever its size ..."""
UNPACKED_TIMES = 100
"""... and beyond that to so many times its size: CT is compressed five times, a mask drawn in it fifty times."""
_MIB = 2**20
_SMALL = 2**16


def read_dicom(path: Path, **options: Any) -> FileDataset:
    """Read a file as `pydicom.dcmread` does, without trusting its lengths.

    Parameters
    ----------
    path : Path
        The file.
    **options
        Of `pydicom.dcmread`.

    Raises
    ------
    DicomError
        A deflated data set unpacks to more than any image.
    Exception
        Whatever pydicom raises for a malformed file.
    """
    with path.open("rb", buffering=0) as raw, _Measured(raw) as file:
        return pydicom.dcmread(file, **options)


def most_unpacked(packed_bytes: int) -> int:
    """Return the bytes that a compressed file of this size may unpack to."""
    return max(UNPACKED_MIB * _MIB, UNPACKED_TIMES * packed_bytes)


class _Measured(io.BufferedReader):
    """A file that is asked for no more than it holds: Python allocates first what a read asks for."""

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__(raw)
        self._size = self.seek(0, io.SEEK_END)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # pydicom reads to the end only what it then inflates at once
            data = super().read()
            _refuse_bomb(data, str(self.name))
            return data
        return super().read(size if size <= _SMALL else min(size, max(0, self._size - self.tell())))


def _refuse_bomb(deflated: bytes, where: str) -> None:
    """Unpack a deflated data set piece by piece, as far as an image can reach."""
    unpacker, unpacked, limit = zlib.decompressobj(-zlib.MAX_WBITS), 0, most_unpacked(len(deflated))
    data = deflated
    try:
        while data and not unpacker.eof:
            unpacked += len(unpacker.decompress(data, _MIB))
            data = unpacker.unconsumed_tail
            if unpacked > limit:
                found = f"its deflated data unpack to more than {limit // _MIB} MiB, which no image does"
                raise DicomError(f"{found}; export it again", where=where)
    except zlib.error:
        return  # pydicom says so
