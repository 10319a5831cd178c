"""A row's mask, whatever its format, as voxels on the scan's grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.cohort.labels import Amount, Label, find_label
from radiomics_talent.cohort.mask_reference import inspect_completeness, inspect_reference
from radiomics_talent.cohort.scan import Scan, inspect_path, is_dicom, read_volume
from radiomics_talent.cohort.unchanged import file_states, find_changes
from radiomics_talent.dicom.headers import RTSTRUCT_CLASS, SEG_CLASSES, read_instance
from radiomics_talent.dicom.rtstruct import RtStruct, inspect_roi, label_rois, read_rtstruct_headers
from radiomics_talent.dicom.seg import SegHeader, inspect_segment, read_seg_headers
from radiomics_talent.errors import InputError
from radiomics_talent.findings import Finding
from radiomics_talent.imaging.geometry import Box, Geometry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from radiomics_talent.cohort.manifest import Lesion
    from radiomics_talent.settings import ExtractionSettings

    Mask = NDArray[np.bool_]
    Found = tuple[tuple[Finding, ...], Mask | None]

_EDGE = 1e-3
"""A voxel centre this far (in voxels) beyond the image's edge counts as inside."""
_SAME_VOXELS = 0.1
"""Grids whose voxel centres are nearer than this (in voxels) have the same voxels ..."""
_EXACT = 1e-3
"""... and nearer than this they differ by the rounding of file formats alone."""
_OUTSIDE_TOLERANCE = 0.01
"""Share of a lesion that may lie outside the scan and be left out, as for contours."""
_COUNTABLE = 2**16
_KEPT_BYTES = 2
"""A label map of at most so many bytes a voxel is kept for the next row of the same file."""


def inspect_mask(lesion: Lesion, scan: Scan, settings: ExtractionSettings) -> Found:
    """Read the mask of a row onto the scan's grid.

    Parameters
    ----------
    lesion : Lesion
        The row.
    scan : Scan
        Its image.
    settings : ExtractionSettings
        Its section `mask` maps ROI names and sets thresholds.

    Returns
    -------
    findings : tuple of Finding
        Everything that was found.
    mask_zyx : ndarray of bool or None
        (z, y, x) on the grid of the image; None when a finding is an error.
    """
    path, where = lesion.mask, str(lesion.mask)
    problem = inspect_path(path, "mask", code="mask-unreadable")
    if problem:
        return (problem,), None
    if path.is_dir():
        sentence = "is a folder, expected one RTSTRUCT, SEG, NIfTI or NRRD file; name the file"
        return (Finding("mask-unreadable", sentence, where),), None
    before = file_states(path)
    findings, mask = _inspect_file(lesion, scan, settings)
    changes = find_changes(path, before)
    return (*changes, *findings), None if changes else mask


def _inspect_file(lesion: Lesion, scan: Scan, settings: ExtractionSettings) -> Found:
    path, where = lesion.mask, str(lesion.mask)
    if not is_dicom(path):
        return _inspect_label_map(lesion, scan, settings)
    try:
        instance = read_instance(path)
        sop_class = instance.sop_class_uid if instance else ""
        if sop_class == RTSTRUCT_CLASS:
            return _inspect_rtstruct(lesion, scan, settings, read_rtstruct_headers(path))
        if sop_class in SEG_CLASSES:
            return _inspect_seg(lesion, scan, settings, read_seg_headers(path))
    except InputError as error:
        return (Finding("mask-unreadable", error.message, where),), None
    what = f"a DICOM object of Modality {instance.modality or 'unknown'}" if instance else "another DICOM file"
    return (Finding("mask-unreadable", f"is {what}, expected RTSTRUCT or SEG; name the mask file", where),), None


# --- DICOM


def _inspect_rtstruct(lesion: Lesion, scan: Scan, settings: ExtractionSettings, header: RtStruct) -> Found:
    where = str(lesion.mask)

    def read(name: str) -> Found:
        return inspect_roi(lesion.mask, name, scan.geometry, settings.mask, where=where)

    def measure(label: Label) -> Amount | None:
        return _amount(read(label.key)[1], scan.geometry)

    by_label = label_rois(header.rois)
    if lesion.label not in by_label:  # a ROI without contours is there, and empty
        by_label |= {roi.name: roi for roi in header.rois if roi.name == lesion.label and not roi.n_contours}
    labels = [Label(label, roi.name) for label, roi in by_label.items()]
    chosen = find_label(lesion.label, labels, settings.mask, where=where, measure=measure)
    if isinstance(chosen, Finding):
        return (chosen,), None
    frame = by_label[chosen.key].frame_of_reference_uid or header.frame_of_reference_uid
    findings = inspect_reference(header, frame, scan, settings, where)
    if any(f.is_error for f in findings):
        return findings, None
    more, mask = read(chosen.key)
    return _judged(header, scan, settings, (*findings, *more), mask, where)


def _inspect_seg(lesion: Lesion, scan: Scan, settings: ExtractionSettings, header: SegHeader) -> Found:
    where = str(lesion.mask)
    findings = inspect_reference(header, header.frame_of_reference_uid, scan, settings, where)
    if any(f.is_error for f in findings):
        return findings, None

    def read(number: str) -> tuple[tuple[Finding, ...], sitk.Image | None]:
        return inspect_segment(lesion.mask, int(number), settings.mask, where=where)

    def measure(label: Label) -> Amount | None:
        image = read(label.key)[1]
        return None if image is None else _amount(_as_bool(image), Geometry.of(image))

    labels = [Label(str(segment.number), segment.label) for segment in header.segments]
    chosen = find_label(lesion.label, labels, settings.mask, where=where, measure=measure)
    if isinstance(chosen, Finding):
        return (*findings, chosen), None
    more, image = read(chosen.key)
    findings = (*findings, *more)
    if image is None:
        return findings, None
    findings, mask = _onto_scan(_as_bool(image), Geometry.of(image), scan, settings, findings, where)
    return _judged(header, scan, settings, findings, mask, where)


def _judged(
    header: RtStruct | SegHeader,
    scan: Scan,
    settings: ExtractionSettings,
    findings: tuple[Finding, ...],
    mask: Mask | None,
    where: str,
) -> Found:
    """Add what slices lost from the series mean for the lesion; first, for it may explain the rest."""
    lost = inspect_completeness(header, scan, mask, settings, where)
    return (*lost, *findings), None if any(f.is_error for f in lost) else mask


# --- NIfTI, NRRD


@dataclass(frozen=True, slots=True)
class _Layered:
    """A label of a label map, with the layer that holds it (3D Slicer's .seg.nrrd may have several)."""

    label: Label
    layer: int = 0


def _inspect_label_map(lesion: Lesion, scan: Scan, settings: ExtractionSettings) -> Found:
    where = str(lesion.mask)
    read = _read_label_map(lesion.mask)
    findings, image = read.findings, read.image
    if image is None:
        return findings, None
    named = _slicer_segments(image)
    layers = image.GetNumberOfComponentsPerPixel()
    if layers > 1 and not named:
        if "label_channel" not in settings.setting.model_fields_set or settings.setting.label_channel >= layers:
            sentence = f"has {layers} values a voxel, expected one; export one mask, or set setting.label_channel"
            return (*findings, Finding("not-3d", sentence, where)), None
        image = sitk.VectorIndexSelectionCast(image, settings.setting.label_channel)
        read = _LabelMap(findings, image)
    array = sitk.GetArrayViewFromImage(image)
    problem = _not_a_label_map(array, where)
    if problem:
        return (*findings, problem), None
    geometry = Geometry.of(image)
    labels = named or [_Layered(Label(str(value))) for value in read.values]
    wanted = lesion.label
    if not wanted and "label" in settings.setting.model_fields_set:
        wanted = str(settings.setting.label)

    def select(one: _Layered) -> Mask:
        values = array[..., one.layer] if array.ndim == 4 else array
        return np.asarray(values == int(one.label.key))

    by_label = {one.label: one for one in labels}
    chosen = find_label(
        wanted,
        list(by_label),
        settings.mask,
        where=where,
        measure=lambda label: _amount(select(by_label[label]), geometry),
    )
    if isinstance(chosen, Finding):
        return (*findings, chosen), None
    return _onto_scan(select(by_label[chosen]), geometry, scan, settings, findings, where)


@dataclass(frozen=True, eq=False)
class _LabelMap:
    """A file that is read once, and what every row of it asks for again."""

    findings: tuple[Finding, ...]
    image: sitk.Image | None

    @cached_property
    def values(self) -> list[int]:
        """Every value but 0, slice by slice: a whole scan sorted at once would cost seconds."""
        array = sitk.GetArrayViewFromImage(self.image)
        low, high = int(array.min()), int(array.max())
        found: set[int] = set()
        for plane in array:
            if high - low < _COUNTABLE:
                present = np.zeros(high - low + 1, dtype=bool)
                present[plane.astype(np.int64).ravel() - low] = True
                found.update((np.flatnonzero(present) + low).tolist())
            else:
                found.update(int(value) for value in np.unique(plane))
        return sorted(found - {0})


def _read_label_map(path: Path) -> _LabelMap:
    try:
        stat = path.stat()
    except OSError:
        return _LabelMap(*read_volume(path, code="mask-unreadable"))
    read = _open(path, stat.st_mtime_ns, stat.st_size)
    image = read.image
    if image is not None and image.GetSizeOfPixelComponent() * image.GetNumberOfComponentsPerPixel() > _KEPT_BYTES:
        _open.cache_clear()
    return read


@lru_cache(maxsize=1)
def _open(path: Path, mtime_ns: int, size: int) -> _LabelMap:
    """Read a label map; the last one stays open, for a scan's lesions are often the values of one file."""
    del mtime_ns, size  # part of the cache's key: a file that was written anew is read anew
    return _LabelMap(*read_volume(path, code="mask-unreadable"))


def _not_a_label_map(array: NDArray[np.generic], where: str) -> Finding | None:
    if not np.issubdtype(array.dtype, np.floating):
        return None
    for plane in array:
        if not np.isfinite(plane).all():
            return Finding("not-finite", "the mask holds NaN or infinite values; convert it again", where)
        off = plane[plane != np.rint(plane)]
        if off.size:
            sentence = f"holds values such as {float(off[0]):.3g}, expected whole numbers; threshold the mask first"
            return Finding("mask-unreadable", sentence, where)
    return None


def _slicer_segments(image: sitk.Image) -> list[_Layered]:
    """Return the segments that 3D Slicer names in the header of a .seg.nrrd file."""
    found = []
    number = 0
    keys = set(image.GetMetaDataKeys())
    while f"Segment{number}_LabelValue" in keys:
        value = image.GetMetaData(f"Segment{number}_LabelValue")
        name = image.GetMetaData(f"Segment{number}_Name") if f"Segment{number}_Name" in keys else ""
        layer = image.GetMetaData(f"Segment{number}_Layer") if f"Segment{number}_Layer" in keys else "0"
        if value.strip().isdecimal() and layer.strip().isdecimal():
            if int(layer) >= image.GetNumberOfComponentsPerPixel():
                return []
            found.append(_Layered(Label(value.strip(), name.strip()), int(layer)))
        number += 1
    # One value in two layers cannot be told apart by value: the names tell.
    return found if len({one.label for one in found}) == len(found) else []


# --- onto the scan's grid


def _onto_scan(
    mask: Mask, geometry: Geometry, scan: Scan, settings: ExtractionSettings, findings: tuple[Finding, ...], where: str
) -> Found:
    target = scan.geometry
    difference = target.difference(geometry.canonical())
    if difference.is_none:
        return findings, mask
    box = Box.around(mask)
    if box is None:
        return (*findings, _nothing(where)), None
    if difference.is_mendable:
        sentence = (
            f"the mask's grid differs from the scan's by {difference}, less than a tenth of a voxel, and was taken as "
            "the same"
        )
        return (*findings, Finding("mask-grid-mended", sentence, where)), mask
    outside = _share_outside(mask, box, geometry, target)
    if outside:
        count = round(outside * np.count_nonzero(mask))
        lost = f"{count} voxels ({outside:.2%} of the lesion) lie outside the scan"
        if outside > _OUTSIDE_TOLERANCE:
            sentence = f"{lost}; give the scan that it was drawn on"
            return (*findings, Finding("mask-outside-image", sentence, where)), None
        findings = (*findings, Finding("mask-outside-image", f"{lost} and are left out", where, "warning"))
    moved = _resampled(mask, box, geometry, target)
    deviation = target.lattice_deviation(geometry.canonical())
    if deviation < _SAME_VOXELS:
        return (*findings, *_mended(deviation, where)), moved
    before = _amount(mask, geometry)
    after = _amount(moved, target)
    size = "" if difference.same_size else f", and {_size(geometry)} against {_size(target)} voxels"
    sentence = (
        f"the mask's grid differs from the scan's by {difference}{size}: resampled with nearest neighbour, "
        f"{before} before, {after or 'nothing'} after; look at the contour in the picture of check --html"
    )
    findings = (*findings, Finding("mask-resampled", sentence, where))
    if after is None or before is None:
        return (*findings, _nothing(where, " after resampling to the scan's grid")), None
    change = abs(after.volume_ml / before.volume_ml - 1)
    if change > settings.mask.volume_tolerance:
        sentence = f"resampling changed the lesion's volume by {change:.0%}; give a mask on the grid of the scan"
        findings = (*findings, Finding("volume-differs", sentence, where, "warning"))
    return findings, moved


def _mended(deviation: float, where: str) -> tuple[Finding, ...]:
    """Report a mask whose voxels are the scan's own, but for rounding; nothing is resampled then but its extent."""
    if deviation <= _EXACT:
        return ()
    sentence = f"the mask's voxels lie up to {deviation:.2g} voxels from the scan's, and were taken as the same"
    return (Finding("mask-grid-mended", sentence, where),)


def _nothing(where: str, when: str = "") -> Finding:
    return Finding("mask-empty", f"the mask has no voxel of the lesion{when}; draw it again, or remove the row", where)


def _share_outside(mask: Mask, box: Box, geometry: Geometry, target: Geometry) -> float:
    z, y, x = np.nonzero(mask[box.slices_zyx])
    index = np.column_stack([x, y, z]) + np.asarray(box.lower)
    seen = target.to_index(geometry.to_points(index))
    beyond = (seen < -0.5 - _EDGE) | (seen > np.asarray(target.size) - 0.5 + _EDGE)
    return float(beyond.any(axis=1).mean())


def _resampled(mask: Mask, box: Box, geometry: Geometry, target: Geometry) -> Mask:
    """Resample only where the lesion is: the rest of the scan stays empty."""
    around = box.padded(1, geometry.size)
    crop = geometry.crop(around)
    source = sitk.GetImageFromArray(np.ascontiguousarray(mask[around.slices_zyx]).astype(np.uint8))
    crop.put_on(source)
    seen = target.to_index(crop.corners_mm())
    lower = np.floor(seen.min(axis=0)).astype(int) - 1
    upper = np.ceil(seen.max(axis=0)).astype(int) + 2
    size = np.asarray(target.size)
    lower, upper = np.clip(lower, 0, size - 1), np.clip(upper, 1, size)
    region = Box(_ints(lower), _ints(upper))
    grid = target.crop(region)
    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(sitk.sitkNearestNeighbor)
    resampler.SetSize(grid.size)
    resampler.SetOutputSpacing(grid.spacing_mm)
    resampler.SetOutputOrigin(grid.origin_mm)
    resampler.SetOutputDirection(grid.direction)
    moved = np.zeros(target.size[::-1], dtype=bool)
    result = resampler.Execute(source)  # a view does not keep its image alive
    moved[region.slices_zyx] = sitk.GetArrayViewFromImage(result) > 0
    return moved


def _ints(values: NDArray[np.generic]) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values)
    return x, y, z


def _size(geometry: Geometry) -> str:
    return " x ".join(map(str, geometry.size))


def _as_bool(image: sitk.Image) -> Mask:
    return np.asarray(sitk.GetArrayViewFromImage(image) > 0)


def _amount(mask: Mask | None, geometry: Geometry) -> Amount | None:
    voxels = 0 if mask is None else int(np.count_nonzero(mask))
    return Amount(voxels, voxels * geometry.voxel_volume_mm3 / 1000) if voxels else None
