"""DICOM RTSTRUCT: an ROI's contours to a mask on the CT's grid."""

from __future__ import annotations

import difflib
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from pydicom.errors import InvalidDicomError

from radiomics_talent.dicom.headers import STRANGE
from radiomics_talent.dicom.opening import read_dicom
from radiomics_talent.errors import DicomError, InputError
from radiomics_talent.findings import Finding
from radiomics_talent.imaging.masks import RasterisedMask, rasterise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pydicom
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Geometry
    from radiomics_talent.settings import MaskSettings

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
"""SOPClassUID of RT Structure Set Storage."""
CONTOUR_DATA = 0x30060050
CLOSED_TYPES = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR", ""})
"""ContourGeometricType of contours that enclose something (absent: taken as closed)."""
OFF_SLICE = 0.05
"""Contours off by more than this part of the slice spacing are reported."""
OUTSIDE_TOLERATED = 0.01
"""From this part of the volume outside the image on, the lesion is refused."""
LISTED_ROIS = 20
"""A message lists at most so many ROIs."""


@dataclass(frozen=True, slots=True)
class Roi:
    """ROINumber, ROIName and how many contours the ROI has."""

    number: int
    name: str
    n_contours: int
    frame_of_reference_uid: str = ""


@dataclass(frozen=True, slots=True)
class RtStruct:
    """What an RTSTRUCT's header says: its ROIs and the images that they were drawn on."""

    rois: tuple[Roi, ...]
    frame_of_reference_uid: str
    series_instance_uids: tuple[str, ...]
    sop_instance_uids: frozenset[str]
    patient_id: str
    slices_by_series: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_rtstruct_headers(path: Path) -> RtStruct:
    """Read names, contour counts and references, without the contours' coordinates.

    Raises
    ------
    DicomError
        The file is not a readable RTSTRUCT.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stat = path.stat()
            return _header(path, stat.st_mtime_ns, stat.st_size)
        except STRANGE as error:
            raise DicomError(_unreadable(error), where=str(path)) from error


def label_rois(rois: tuple[Roi, ...]) -> dict[str, Roi]:
    """Return the ROIs that hold contours by the label that a row names them with.

    The label is the ROI's name; where several have one name, it is ``<name>#<ROINumber>``.
    """
    drawn = [roi for roi in rois if roi.n_contours]
    counts = Counter(roi.name for roi in drawn)
    return {roi.name if counts[roi.name] == 1 else f"{roi.name}#{roi.number}": roi for roi in drawn}


def inspect_roi(
    path: Path, roi_name: str, ct_geometry: Geometry, settings: MaskSettings, *, where: str
) -> tuple[tuple[Finding, ...], NDArray[np.bool_] | None]:
    """Turn one ROI into a mask on the CT's grid.

    Parameters
    ----------
    path : Path
        An RTSTRUCT.
    roi_name : str
        ROIName as it is, ``<name>#<ROINumber>`` where several have that name, or a key of `settings.roi_names`;
        empty takes the only ROI.
    ct_geometry : Geometry
        Grid of the CT.
    settings : MaskSettings
        `roi_names` and `volume_tolerance`.
    where : str
        Put into the findings.

    Returns
    -------
    findings : tuple of Finding
    mask_zyx : ndarray of bool or None
        (z, y, x); None with an error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stat = path.stat()
            ds = _open(path, stat.st_mtime_ns, stat.st_size)
            rois = _rois(ds)
            found = _find(rois, roi_name, settings)
            if len(found) != 1:
                return (_not_one(ds, rois, found, roi_name, ct_geometry, where),), None
            contours, n_open = _contours(ds, found[0].number)
            result = rasterise(contours, ct_geometry)
        except STRANGE as error:
            return (Finding("mask-unreadable", _unreadable(error), where),), None
    findings = _judge(result, found[0].name, n_open, ct_geometry, settings, where)
    return findings, None if any(f.is_error for f in findings) else result.mask_zyx


# --- the file


def _read(path: Path) -> pydicom.Dataset:
    try:
        ds = read_dicom(path)
    except InvalidDicomError as error:
        # Some planning systems leave out the file's preamble; what follows tells whether it is DICOM at all.
        ds = read_dicom(path, force=True, stop_before_pixels=True)
        if "SOPClassUID" not in ds:
            raise DicomError("it is not a DICOM file") from error
    if ds.get("SOPClassUID") != RTSTRUCT_CLASS and ds.get("Modality") != "RTSTRUCT":
        raise DicomError("its Modality is not RTSTRUCT")
    if "StructureSetROISequence" not in ds:
        raise DicomError("it has no StructureSetROISequence")
    return ds


@lru_cache(maxsize=1)
def _open(path: Path, mtime_ns: int, size: int) -> pydicom.Dataset:
    """Open an RTSTRUCT; the last one stays open, for a scan's lesions are often the ROIs of one file."""
    del mtime_ns, size  # part of the cache's key: a file that was written anew is read anew
    return _read(path)


def _walk(ds: pydicom.Dataset, keyword: str) -> Iterator[pydicom.Dataset]:
    yield from ds.get(keyword) or ()


@lru_cache(maxsize=1)
def _header(path: Path, mtime_ns: int, size: int) -> RtStruct:
    """Gather what the whole file says; once for all ROIs of a file that is asked for one after the other."""
    ds = _open(path, mtime_ns, size)
    rois = _rois(ds)
    # Each ROI says where its contours lie; the object's own FrameOfReferenceUID is optional and often another.
    frames, instances = [roi.frame_of_reference_uid for roi in rois], set()
    series: dict[str, set[str]] = {}
    for frame in _walk(ds, "ReferencedFrameOfReferenceSequence"):
        frames.append(str(frame.get("FrameOfReferenceUID") or ""))
        for study in _walk(frame, "RTReferencedStudySequence"):
            for entry in _walk(study, "RTReferencedSeriesSequence"):
                series.setdefault(str(entry.get("SeriesInstanceUID") or ""), set()).update(_instances(entry))
    frames.append(str(ds.get("FrameOfReferenceUID") or ""))
    for roi in _walk(ds, "ROIContourSequence"):
        for contour in _walk(roi, "ContourSequence"):
            instances |= _instances(contour)
    return RtStruct(
        rois=rois,
        frame_of_reference_uid=next(filter(None, frames), ""),
        series_instance_uids=tuple(filter(None, series)),
        sop_instance_uids=frozenset(instances.union(*series.values())),
        patient_id=str(ds.get("PatientID") or ""),
        slices_by_series={uid: frozenset(slices) for uid, slices in series.items()},
    )


def _instances(ds: pydicom.Dataset) -> set[str]:
    images = (str(i.get("ReferencedSOPInstanceUID") or "") for i in _walk(ds, "ContourImageSequence"))
    return set(filter(None, images))


def _rois(ds: pydicom.Dataset) -> tuple[Roi, ...]:
    counts: dict[int, int] = {}
    for entry in _walk(ds, "ROIContourSequence"):
        number = int(entry.ReferencedROINumber)
        counts[number] = counts.get(number, 0) + len(entry.get("ContourSequence") or ())
    return tuple(
        Roi(
            int(r.ROINumber),
            str(r.get("ROIName") or "").strip(),
            counts.get(int(r.ROINumber), 0),
            str(r.get("ReferencedFrameOfReferenceUID") or ""),
        )
        for r in _walk(ds, "StructureSetROISequence")
    )


def _contours(ds: pydicom.Dataset, number: int) -> tuple[list[NDArray[np.float64]], int]:
    """Return an ROI's closed contours, shape (n, 3), in mm; and the number of points and open lines."""
    contours: list[NDArray[np.float64]] = []
    n_open = 0
    for entry in _walk(ds, "ROIContourSequence"):
        if int(entry.ReferencedROINumber) != number:
            continue
        for contour in _walk(entry, "ContourSequence"):
            if str(contour.get("ContourGeometricType") or "").strip().upper() in CLOSED_TYPES:
                contours.append(_points(contour))
            else:
                n_open += 1
    return contours, n_open


def _points(contour: pydicom.Dataset) -> NDArray[np.float64]:
    """Parse ContourData from its text: pydicom's own numbers cost a hundred times as much."""
    if CONTOUR_DATA not in contour:
        return np.empty((0, 3))
    value = contour.get_item(CONTOUR_DATA).value
    if isinstance(value, bytes):
        text = value.decode("ascii", errors="replace").rstrip("\0 ")
        values = text.split("\\") if text else []
    else:
        values = [] if value is None else [str(v) for v in np.atleast_1d(value)]
    try:
        numbers = _numbers(values)
    except ValueError as error:
        raise DicomError("a ContourData holds text that is not a number") from error
    if numbers.size % 3:
        raise DicomError(f"a ContourData holds {numbers.size} values, which is not a multiple of 3")
    return numbers.reshape(-1, 3)


def _numbers(values: list[str]) -> NDArray[np.float64]:
    try:
        return np.array(values, dtype=np.float64)
    except ValueError:  # a value may be empty, and is then none
        return np.array([v.strip() or "nan" for v in values], dtype=np.float64)


def _unreadable(error: Exception) -> str:
    # The text of pydicom's own errors may quote a header, and so a name.
    reason = error.message if isinstance(error, InputError) else type(error).__name__
    return f"it cannot be read as an RTSTRUCT ({reason}); export the structure set again"


# --- the ROI


def _find(rois: tuple[Roi, ...], label: str, settings: MaskSettings) -> list[Roi]:
    """Return the ROIs that a label means: by name, else by the patterns of the settings."""
    wanted = label.strip()
    if not wanted:
        return list(rois)
    by_label = label_rois(rois)
    if wanted in by_label:
        return [by_label[wanted]]
    exact = [r for r in rois if r.name == wanted]
    if exact:
        return exact
    patterns = settings.roi_names.get(wanted, ())
    return [r for r in rois if any(re.fullmatch(p, r.name, re.IGNORECASE) for p in patterns)]


def _not_one(
    ds: pydicom.Dataset, rois: tuple[Roi, ...], found: list[Roi], label: str, geometry: Geometry, where: str
) -> Finding:
    if found:
        there = _listing(ds, found, geometry)
        what = f"the label {label!r} fits" if label.strip() else "the row has no label, and there are"
        sentence = f"{what} {len(found)} ROIs ({there}); name one as NAME#NUMBER"
        return Finding("label-ambiguous", sentence, where)
    near = difflib.get_close_matches(label, [r.name for r in rois], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    there = _listing(ds, list(rois), geometry) or "none"
    return Finding("label-absent", f"there is no ROI {label!r}{hint}; the ROIs are: {there}", where)


def _listing(ds: pydicom.Dataset, rois: list[Roi], geometry: Geometry) -> str:
    lines = [_describe(ds, roi, geometry) for roi in islice(rois, LISTED_ROIS)]
    if len(rois) > LISTED_ROIS:
        lines.append(f"and {len(rois) - LISTED_ROIS} more")
    return "; ".join(lines)


def _describe(ds: pydicom.Dataset, roi: Roi, geometry: Geometry) -> str:
    line = f"{roi.name!r} (number {roi.number}) -> {roi.n_contours} contours"
    try:
        result = rasterise(_contours(ds, roi.number)[0], geometry)
    except STRANGE:
        return f"{line} -> unreadable"
    voxels = int(np.count_nonzero(result.mask_zyx))
    return f"{line} -> {voxels} voxels -> {result.contour_volume_mm3 / 1000:.3g} ml"


# --- judgement


def _judge(
    result: RasterisedMask, name: str, n_open: int, geometry: Geometry, settings: MaskSettings, where: str
) -> tuple[Finding, ...]:
    """Say what is wrong with a mask made from contours, gravest first."""
    empty = _empty(result, name, n_open, where)
    if empty is not None:
        return (empty,)
    findings = [_outside(result, name, where), _volume(result, name, settings, where)]
    skipped = result.n_skipped + result.n_repeated + n_open
    if skipped:
        reasons = {
            "without area": result.n_skipped,
            "drawn twice": result.n_repeated,
            "points or open lines": n_open,
        }
        listed = ", ".join(f"{n} {reason}" for reason, n in reasons.items() if n)
        sentence = f"{skipped} of {result.n_contours + n_open} contours of {name!r} were skipped: {listed}"
        findings.append(Finding("contours-skipped", sentence, where))
    if result.n_oblique:
        sentence = (
            f"{result.n_oblique} of {result.n_contours} contours of {name!r} are not in the plane of the slices "
            "and were resampled onto them; look at the mask in the picture of check --html"
        )
        findings.append(Finding("contours-oblique", sentence, where))
    if result.off_slice_mm > OFF_SLICE * geometry.spacing_mm[2]:
        sentence = (
            f"contours of {name!r} lie up to {result.off_slice_mm:.3g} mm from the slice they were put on "
            f"(slices are {geometry.spacing_mm[2]:.4g} mm apart); see that they were drawn on this series"
        )
        findings.append(Finding("contours-off-slice", sentence, where))
    if result.slices_missing:
        sentence = (
            f"the contours of {name!r} leave out {result.slices_missing} slices between the first and the last, "
            "which were not filled; draw them, if they were skipped to save time"
        )
        findings.append(Finding("contour-gap", sentence, where))
    return tuple(f for f in findings if f is not None)


def _empty(result: RasterisedMask, name: str, n_open: int, where: str) -> Finding | None:
    if result.mask_zyx.any() or result.outside_fraction > OUTSIDE_TOLERATED:
        return None
    if result.n_contours + n_open == 0:
        reason = "has no contours"
    elif result.n_skipped == result.n_contours:
        reason = f"encloses no area with any of its contours ({result.n_contours + n_open})"
    else:
        reason = f"encloses {result.contour_volume_mm3:.3g} mm3 and no voxel centre"
    return Finding("mask-empty", f"ROI {name!r} {reason}; draw the lesion again, or remove the row", where)


def _outside(result: RasterisedMask, name: str, where: str) -> Finding | None:
    fraction = result.outside_fraction
    if fraction <= OUTSIDE_TOLERATED / 100:
        return None
    much = "wholly" if not result.mask_zyx.any() else f"to {100 * fraction:.2g} %"
    sentence = (
        f"{name!r} lies {much} outside the scan ({result.contour_volume_mm3 * fraction / 1000:.3g} of "
        f"{result.contour_volume_mm3 / 1000:.3g} ml); give the scan that it was drawn on"
    )
    return Finding("mask-outside-image", sentence, where, None if fraction > OUTSIDE_TOLERATED else "warning")


def _volume(result: RasterisedMask, name: str, settings: MaskSettings, where: str) -> Finding | None:
    expected = result.contour_volume_mm3 * (1 - result.outside_fraction)
    difference = abs(result.mask_volume_mm3 - expected)
    if difference <= settings.volume_tolerance * expected + result.grain_mm3:
        return None
    sentence = (
        f"the mask of {name!r} has {result.mask_volume_mm3 / 1000:.3g} ml, but its contours enclose "
        f"{expected / 1000:.3g} ml; see that contours and series belong together and that no slices were skipped"
    )
    return Finding("volume-differs", sentence, where)
