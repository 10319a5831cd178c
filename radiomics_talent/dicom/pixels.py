"""Stored values of a DICOM image, decoded from any transfer syntax, and their Hounsfield units."""

from __future__ import annotations

import filecmp
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from radiomics_talent.dicom.headers import STRANGE, quiet_pydicom, read_dataset
from radiomics_talent.dicom.opening import MOST_VOXELS, most_unpacked
from radiomics_talent.errors import DicomError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

_PLUGINS = {str(RLELossless): "pydicom"}
"""pylibjpeg-rle is faster, but panics on damaged data: not an Exception, and a Rust trace on stderr."""

_NATIVE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
_FRAME_HEADERS = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7})
"""Markers of JPEG (SOF0 to SOF15) and JPEG-LS (SOF55) that a frame's size follows."""


def read_stored_values(path: Path) -> NDArray[np.integer[Any]]:
    """Decode the pixel data of a grey image.

    Returns
    -------
    ndarray
        Stored values, (frames, rows, columns).

    Raises
    ------
    DicomError
        Pixel data are absent, too short, or cannot be decoded.
    """
    dataset = read_dataset(path)
    syntax = _name_transfer_syntax(dataset)
    if "PixelData" not in dataset:
        raise DicomError(
            "there are no pixel data, or they are incomplete; copy or export the images again", where=path.name
        )
    try:
        refuse_claims(dataset)
        with quiet_pydicom(), np.errstate(all="ignore"):
            values = pixel_array(dataset, raw=True, decoding_plugin=_PLUGINS.get(syntax, ""))
    except DicomError as error:
        raise DicomError(error.message, where=path.name) from error
    except STRANGE as error:
        kind = type(error).__name__
        sentence = f"the pixel data are too short or cannot be decoded ({kind}); copy or export the images again"
        raise DicomError(sentence, where=path.name) from error
    if values.ndim == 2:
        values = values[np.newaxis]
    if values.ndim != 3 or values.dtype.kind not in "iu":
        raise DicomError("the pixel data are not grey values; give the original CT images", where=path.name)
    return values


def refuse_claims(dataset: Dataset) -> None:
    """Compare what a header says of its pixels with what the file can hold, before anything is allocated for them.

    Raises
    ------
    DicomError
        The pixel data cannot hold so many pixels, or an encoded frame is of another size than the header says.
    Exception
        What pydicom raises for a header without the numbers.
    """
    data: bytes = dataset.PixelData
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    n_frames = int(dataset.get("NumberOfFrames") or 1)
    n_pixels = rows * columns * n_frames * int(dataset.get("SamplesPerPixel") or 1)
    n_bytes = n_pixels * int(dataset.BitsAllocated) // 8
    encapsulated = str(dataset.file_meta.TransferSyntaxUID) not in _NATIVE
    if not 0 < n_pixels <= MOST_VOXELS or n_bytes > (most_unpacked(len(data)) if encapsulated else len(data)):
        raise DicomError(
            f"the pixel data are too short or cannot be decoded ({len(data)} bytes for {n_frames} x {rows} x {columns} "
            "pixels); copy or export the images again"
        )
    if not encapsulated:
        return
    for frame in generate_frames(data, number_of_frames=n_frames):
        size = _coded_size(frame)
        if size is not None and size != (rows, columns):
            found = f"an encoded frame has {size[0]} x {size[1]} pixels, the header says {rows} x {columns}"
            raise DicomError(f"{found}; copy or export the images again")


def _coded_size(frame: bytes) -> tuple[int, int] | None:
    """Return rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream says it has; None for another."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        right, below, left, above = struct.unpack_from(">4L", frame, 8)
        return below - above, right - left
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], struct.unpack_from(">H", frame, at + 2)[0]
        if marker in _FRAME_HEADERS:
            rows, columns = struct.unpack_from(">2H", frame, at + 5)
            return rows, columns
        at += 2 + length
    return None


def is_copy(one: Path, other: Path) -> bool:
    """Whether two files hold the same pixels with the same rescaling; false where either cannot be read."""
    try:
        if filecmp.cmp(one, other, shallow=False):
            return True
        a, b = read_dataset(one), read_dataset(other)
        return "PixelData" in a and all(
            a.get(k) == b.get(k) for k in ("PixelData", "RescaleSlope", "RescaleIntercept", "NumberOfFrames")
        )
    except (OSError, DicomError, *STRANGE):
        return False


def to_hu(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Return ``slope * stored + intercept`` in the smallest of int16, int32 and float64 that holds it exactly."""
    if slope.is_integer() and intercept.is_integer() and max(abs(slope), abs(intercept)) < 2**31:
        hu: NDArray[Any] = stored.astype(np.int64) * int(slope) + int(intercept)
    else:
        hu = stored.astype(np.float64) * slope + intercept
        if not (hu == np.rint(hu)).all():
            return hu
    for kind in (np.int16, np.int32):
        limits = np.iinfo(kind)
        if hu.size == 0 or (hu.min() >= limits.min and hu.max() <= limits.max):
            return hu.astype(kind)
    return hu.astype(np.float64)


def _name_transfer_syntax(dataset: Dataset) -> str:
    # A file without meta information says nothing, but the reader has found out.
    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    if dataset.file_meta.get("TransferSyntaxUID"):
        return str(dataset.file_meta.TransferSyntaxUID)
    implicit, little = dataset.original_encoding
    syntax: UID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax if little else ExplicitVRBigEndian
    return str(dataset.file_meta.TransferSyntaxUID)
