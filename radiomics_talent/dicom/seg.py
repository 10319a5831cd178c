"""DICOM SEG: one segment to a mask on the SEG's own grid, through highdicom."""

from __future__ import annotations

import math
import sqlite3
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.utils import pack_bits, unpack_bits
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from radiomics_talent.dicom.headers import STRANGE
from radiomics_talent.dicom.opening import MOST_VOXELS, read_dicom
from radiomics_talent.dicom.pixels import refuse_claims
from radiomics_talent.errors import DicomError
from radiomics_talent.findings import Finding
from radiomics_talent.imaging.geometry import Geometry, is_plausible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import highdicom
    import pydicom
    from numpy.typing import NDArray

    from radiomics_talent.settings import MaskSettings

SEG_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
"""SOPClassUIDs of Segmentation Storage and Label Map Segmentation Storage."""
DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"
"""Transfer syntax Deflated Image Frame Compression, newer than pydicom's list of them."""
LISTED_SEGMENTS = 20
"""A message lists at most so many segments."""
BACKGROUND_CODE = "125040"
"""Code (DCM) of the segmented property type Background: a label map may describe its background as a segment."""
MOST_EMPTY = 64
"""A segment's frames may lie so many times as many slices apart ..."""
FEW_VOXELS = 2**27
"""... or span so many voxels."""
BROKEN = (*STRANGE, sqlite3.Error)
"""What pydicom and highdicom (which keeps its frames in SQLite) raise on objects that break the standard."""


@dataclass(frozen=True, slots=True)
class Segment:
    """SegmentNumber and SegmentLabel."""

    number: int
    label: str


@dataclass(frozen=True, slots=True)
class SegHeader:
    """What a SEG's header says: its segments and the images that they were drawn on."""

    segments: tuple[Segment, ...]
    segmentation_type: str
    frame_of_reference_uid: str
    series_instance_uids: tuple[str, ...]
    sop_instance_uids: frozenset[str]
    patient_id: str
    slices_by_series: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_seg_headers(path: Path) -> SegHeader:
    """Read a SEG's header, without its pixels.

    Raises
    ------
    DicomError
        The file is not a readable SEG.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stat = path.stat()
            return _header(path, stat.st_mtime_ns, stat.st_size)
        except BROKEN as error:
            raise DicomError(_unreadable(error), where=str(path)) from error


def inspect_segment(
    path: Path, number: int, settings: MaskSettings, *, where: str
) -> tuple[tuple[Finding, ...], sitk.Image | None]:
    """Read one segment.

    Parameters
    ----------
    path : Path
        A SEG: binary, fractional or label map.
    number : int
        SegmentNumber.
    settings : MaskSettings
        `seg_fraction_threshold` is the fraction from which on a voxel belongs to a fractional segment.
    where : str
        Put into the findings.

    Returns
    -------
    findings : tuple of Finding
    mask : SimpleITK.Image or None
        0 and 1 (uint8) on the SEG's own grid; frames that are not there are 0. None with an error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stat = path.stat()
            seg = _open(path, stat.st_mtime_ns, stat.st_size)
            segments = _segments(seg)
            if number not in {s.number for s in segments}:
                return (_absent(seg, number, settings, where),), None
            volume = _volume(seg, number, settings)
        except BROKEN as error:
            return (Finding("mask-unreadable", _unreadable(error), where),), None
    if not sitk.GetArrayViewFromImage(volume).any():
        label = next(s.label for s in segments if s.number == number)
        sentence = f"segment {number} ({label!r}) has no voxel; draw the lesion again, or remove the row"
        return (Finding("mask-empty", sentence, where),), None
    return (), volume


def _read(path: Path, *, stop_before_pixels: bool = False) -> pydicom.Dataset:
    try:
        ds = read_dicom(path, stop_before_pixels=stop_before_pixels)
    except InvalidDicomError as error:
        raise DicomError("it is not a DICOM file") from error
    if str(ds.get("SOPClassUID", "")) not in SEG_CLASSES:
        raise DicomError("its Modality is not SEG")
    if not ds.get("SegmentSequence"):
        raise DicomError("it has no SegmentSequence")
    return ds


@lru_cache(maxsize=1)
def _header(path: Path, mtime_ns: int, size: int) -> SegHeader:
    del mtime_ns, size  # part of the cache's key: a file that was written anew is read anew
    ds = _read(path, stop_before_pixels=True)
    series: dict[str, set[str]] = {}
    for s in _walk(ds, "ReferencedSeriesSequence"):
        named = {str(i.ReferencedSOPInstanceUID) for i in _walk(s, "ReferencedInstanceSequence")}
        series.setdefault(str(s.SeriesInstanceUID), set()).update(named)
    instances = {
        str(source.ReferencedSOPInstanceUID)
        for frame in _walk(ds, "PerFrameFunctionalGroupsSequence")
        for derivation in _walk(frame, "DerivationImageSequence")
        for source in _walk(derivation, "SourceImageSequence")
    }
    return SegHeader(
        segments=_segments(ds),
        segmentation_type=str(ds.get("SegmentationType", "")),
        frame_of_reference_uid=str(ds.get("FrameOfReferenceUID", "")),
        series_instance_uids=tuple(series),
        sop_instance_uids=frozenset(instances.union(*series.values())),
        patient_id=str(ds.get("PatientID") or ""),
        slices_by_series={uid: frozenset(slices) for uid, slices in series.items()},
    )


def _walk(ds: pydicom.Dataset, keyword: str) -> Iterator[pydicom.Dataset]:
    yield from ds.get(keyword) or ()


def _segments(ds: pydicom.Dataset) -> tuple[Segment, ...]:
    return tuple(
        Segment(int(s.SegmentNumber), str(s.get("SegmentLabel") or "").strip())
        for s in ds.SegmentSequence
        if int(s.SegmentNumber) != 0
        and not any(c.get("CodeValue") == BACKGROUND_CODE for c in _walk(s, "SegmentedPropertyTypeCodeSequence"))
    )


@lru_cache(maxsize=1)
def _open(path: Path, mtime_ns: int, size: int) -> highdicom.seg.Segmentation:
    """Open a SEG; the last one stays open, for a scan's lesions are often the segments of one file."""
    import highdicom  # noqa: PLC0415  # takes a fifth of a second, which other masks do without

    del mtime_ns, size  # part of the cache's key: a file that was written anew is read anew
    ds = _read(path)
    _make_native(ds)
    return highdicom.seg.Segmentation.from_dataset(ds, copy=False)


def _volume(seg: highdicom.seg.Segmentation, number: int, settings: MaskSettings) -> sitk.Image:
    _refuse_span(seg)
    # Stored integers are compared: 70 of 100 as a 32-bit float is less than 0.7.
    volume = seg.get_volume(
        segment_numbers=[number], combine_segments=False, rescale_fractional=False, allow_missing_positions=True
    )
    stored = volume.array[..., 0]
    least = 1.0
    if str(seg.SegmentationType) == "FRACTIONAL":
        least = settings.seg_fraction_threshold * float(seg.MaximumFractionalValue) - 1e-9
    return _to_image(stored >= least, np.asarray(volume.affine, dtype=np.float64))


def _refuse_span(seg: highdicom.seg.Segmentation) -> None:
    """Refuse frames so far from each other that what lies between them would fill the memory."""
    geometry = seg.get_volume_geometry(allow_missing_positions=True)
    if geometry is None:
        raise DicomError("its frames do not lie on one grid")
    span = math.prod(int(n) for n in geometry.spatial_shape)
    stored = int(seg.get("NumberOfFrames") or 1) * int(seg.Rows) * int(seg.Columns)
    if span > min(MOST_VOXELS, max(FEW_VOXELS, MOST_EMPTY * stored)):
        raise DicomError(f"its frames span {span} voxels, of which it holds {stored}")
    if not _is_grid(np.asarray(geometry.affine)):
        raise DicomError("its positions and spacings are not those of a scan")


def _is_grid(affine: NDArray[np.float64]) -> bool:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.isfinite(affine).all() and is_plausible(spacing, affine[:3, 3]))


def _to_image(mask_zyx: NDArray[np.bool_], affine: NDArray[np.float64]) -> sitk.Image:
    """Make an image of an array of (slices, rows, columns) and highdicom's affine of the same order."""
    columns, origin = affine[:3, 2::-1], affine[:3, 3]
    if np.linalg.det(columns) < 0:  # slices run against the normal: a right-handed grid starts at the other end
        origin = origin + columns[:, 2] * (mask_zyx.shape[0] - 1)
        columns = columns * [1, 1, -1]
        mask_zyx = mask_zyx[::-1]
    spacing = np.linalg.norm(columns, axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask_zyx).astype(np.uint8))
    nz, ny, nx = mask_zyx.shape
    sx, sy, sz = (float(s) for s in spacing)
    x, y, z = (float(o) for o in origin)
    direction = tuple(float(c) for c in (columns / spacing).ravel())
    Geometry((nx, ny, nz), (sx, sy, sz), (x, y, z), direction).put_on(image)
    return image


def _absent(seg: highdicom.seg.Segmentation, number: int, settings: MaskSettings, where: str) -> Finding:
    segments = _segments(seg)
    lines = []
    for segment in islice(segments, LISTED_SEGMENTS):
        image = _volume(seg, segment.number, settings)
        voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(image)))
        volume_ml = voxels * Geometry.of(image).voxel_volume_mm3 / 1000
        lines.append(f"{segment.number} {segment.label!r} -> {voxels} voxels -> {volume_ml:.3g} ml")
    if len(segments) > LISTED_SEGMENTS:
        lines.append(f"and {len(segments) - LISTED_SEGMENTS} more")
    there = "; ".join(lines) or "none"
    return Finding("label-absent", f"there is no segment {number}; the segments are: {there}", where)


def _unreadable(error: Exception) -> str:
    # The text of pydicom's own errors may quote a header, and so a name.
    reason = error.message if isinstance(error, DicomError) else type(error).__name__
    return f"it cannot be read as a DICOM SEG ({reason}); export the mask again"


def _make_native(ds: pydicom.Dataset) -> None:
    """Decode in place the single-bit transfer syntaxes that pydicom and highdicom lack."""
    syntax = ds.file_meta.TransferSyntaxUID
    if "PixelData" not in ds:
        raise DicomError("it has no PixelData")
    refuse_claims(ds)
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = _little_endian(ds)
    elif syntax == DEFLATED_IMAGE_FRAME:
        most = int(ds.Rows) * int(ds.Columns) * int(ds.BitsAllocated) // 8 + 2
        _repack(ds, partial(_inflate, most=most))
    elif syntax == RLELossless and ds.BitsAllocated == 1:
        _repack(ds, _expand_runs)
    else:
        return
    ds["PixelData"].VR = "OB" if ds.BitsAllocated <= 8 else "OW"
    ds["PixelData"].is_undefined_length = False
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _little_endian(ds: pydicom.Dataset) -> bytes:
    data: bytes = ds.PixelData
    if ds.BitsAllocated > 8 or ds["PixelData"].VR == "OW":
        return np.frombuffer(data[: len(data) // 2 * 2], dtype=">u2").astype("<u2").tobytes()
    return data


def _repack(ds: pydicom.Dataset, decode: Callable[[bytes], bytes]) -> None:
    """Decode each encapsulated frame (frames start at a byte) and put them end to end, as native data are."""
    n_frames = int(ds.get("NumberOfFrames") or 1)
    frames = [decode(f) for f in generate_frames(ds.PixelData, number_of_frames=n_frames)]
    if ds.BitsAllocated == 1:
        n_pixels = ds.Rows * ds.Columns
        if len(frames) != n_frames or any(len(f) * 8 < n_pixels for f in frames):
            raise DicomError("the pixel data are shorter than the header says")
        bits: Any = [unpack_bits(f, as_array=True)[:n_pixels] for f in frames]
        ds.PixelData = pack_bits(np.concatenate(bits), pad=True)
    else:
        ds.PixelData = b"".join(frames)


def _inflate(frame: bytes, most: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, most)


def _expand_runs(frame: bytes) -> bytes:
    """Decode a frame of RLE Lossless with one segment (DICOM PS3.5 G.3, PackBits)."""
    n_segments, start = struct.unpack("<2L", frame[:8])
    if n_segments != 1:
        raise DicomError(f"a single-bit RLE frame has {n_segments} segments, expected 1")
    out = bytearray()
    position = start
    while position < len(frame) - 1:
        control = frame[position]
        if control < 128:
            out += frame[position + 1 : position + 2 + control]
            position += 2 + control
        else:
            if control > 128:
                out += frame[position + 1 : position + 2] * (257 - control)
                position += 1
            position += 1
    return bytes(out)
