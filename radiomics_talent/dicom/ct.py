"""One CT volume, from its files to HU in patient space; refuses what would silently be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent.dicom.headers import Instance, read_instance
from radiomics_talent.dicom.layout import Layout, Slice, lay_out
from radiomics_talent.dicom.mending import interpolate_slices, straighten
from radiomics_talent.dicom.pixels import read_stored_values, to_hu
from radiomics_talent.dicom.stack import Stack, grid_places, is_sheared
from radiomics_talent.errors import DicomError
from radiomics_talent.findings import Finding, raise_first_error
from radiomics_talent.imaging.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from radiomics_talent.settings import GeometrySettings


@dataclass(frozen=True, slots=True, eq=False)
class CTSeries:
    """One CT volume.

    Attributes
    ----------
    image : SimpleITK.Image
        HU: int16 where every value is a whole number in range, else int32, else float64.
    frame_of_reference_uid, series_instance_uid : str
        As in the headers.
    sop_instance_uids : tuple of str
        By slice; '' for a slice that was interpolated.
    padding_hu : float or None
        PixelPaddingValue in HU.
    findings : tuple of Finding
        What is odd about the volume, none of level error.
    patient_id : str
        PatientID of its first slice: to be compared, never written.
    """

    image: sitk.Image
    frame_of_reference_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    padding_hu: float | None
    findings: tuple[Finding, ...]
    patient_id: str = ""


def load_ct(files: Sequence[Path], settings: GeometrySettings, *, where: str) -> CTSeries:
    """Read one CT volume.

    Parameters
    ----------
    files : sequence of Path
        Files of the volume, in any order (`find_series_files` gives them).
    settings : GeometrySettings
        What to do with gaps, tilt and unequal spacing.
    where : str
        Place that messages name.

    Raises
    ------
    DicomError
        The first finding of level error.
    """
    findings, series = inspect_ct(files, settings, where=where)
    raise_first_error(findings)
    assert series is not None
    return series


def inspect_headers(files: Sequence[Path], settings: GeometrySettings, *, where: str) -> tuple[Finding, ...]:
    """Report what the headers of one volume have against it, without reading pixels."""
    findings, instances = _read_headers(files, where)
    if not instances:
        return tuple(findings)
    return (*findings, *inspect_instances(instances, settings, where=where))


def inspect_instances(instances: Sequence[Instance], settings: GeometrySettings, *, where: str) -> tuple[Finding, ...]:
    """Report what headers that are already read have against their volume."""
    layout = lay_out(instances, settings, where=where)
    return (*layout.findings, *layout.repeat_finding(where))


def inspect_ct(
    files: Sequence[Path], settings: GeometrySettings, *, where: str
) -> tuple[tuple[Finding, ...], CTSeries | None]:
    """Read one CT volume and report what is wrong with it.

    Returns
    -------
    findings : tuple of Finding
        Everything found, errors first.
    series : CTSeries or None
        None when any finding is an error.
    """
    findings, instances = _read_headers(files, where)
    if not instances:
        return _sorted(findings), None
    return inspect_volume(instances, settings, where=where, findings=findings)


def inspect_volume(
    instances: Sequence[Instance], settings: GeometrySettings, *, where: str, findings: Sequence[Finding] = ()
) -> tuple[tuple[Finding, ...], CTSeries | None]:
    """Read the voxels of one CT volume whose headers are read already.

    Parameters
    ----------
    instances : sequence of Instance
        The volume's, in any order.
    settings, where
        As for `load_ct`.
    findings : sequence of Finding
        What reading the headers has found.

    Returns
    -------
    findings, series
        As `inspect_ct`.
    """
    findings = list(findings)
    layout = lay_out(sorted(instances, key=lambda i: i.path), settings, where=where)
    findings += layout.findings
    if layout.stack is None or any(f.is_error for f in findings):
        return _sorted([*findings, *layout.repeat_finding(where)]), None
    slices, stack, arrays, faults = _read_slices(layout, where)
    findings += faults
    if any(f.is_error for f in findings):
        return _sorted(findings), None
    padding = _padding_hu(slices[0])
    volume = np.stack(arrays)
    del arrays
    findings += _inspect_hu(volume, padding, where)
    image, uids = _build_image(volume, slices, stack)
    first = slices[0].instance
    done = _sorted(findings)
    series = CTSeries(
        image, first.frame_of_reference_uid, first.series_instance_uid, uids, padding, done, first.patient_id
    )
    return done, series


def _read_headers(files: Sequence[Path], where: str) -> tuple[list[Finding], list[Instance]]:
    findings: list[Finding] = []
    found: list[Instance] = []
    for path in sorted(set(files)):
        try:
            instance = read_instance(path)
        except DicomError as error:
            findings.append(Finding("unreadable-file", f"{path.name}: {error.message}", where))
            continue
        if instance is None:
            sentence = f"{path.name} is not a DICOM image; export it again, or remove it"
            findings.append(Finding("unreadable-file", sentence, where))
        else:
            found.append(instance)
    if not findings and not found:
        findings.append(Finding("series-absent", "there are no files to read; give the folder of the CT series", where))
    return findings, found


# --- voxels


def _read_slices(layout: Layout, where: str) -> tuple[tuple[Slice, ...], Stack, list[NDArray[Any]], list[Finding]]:
    assert layout.stack is not None
    arrays, faults = _decode(layout.slices, where)
    if faults:
        return layout.slices, layout.stack, [], faults
    keep, findings = _compare_repeats(layout, arrays, where)
    slices = tuple(layout.slices[i] for i in keep)
    return slices, layout.stack.subset(keep), [arrays[i] for i in keep], findings


def _decode(slices: Sequence[Slice], where: str) -> tuple[list[NDArray[Any]], list[Finding]]:
    arrays: list[NDArray[Any] | None] = [None] * len(slices)
    members: dict[Path, list[int]] = {}
    for number, s in enumerate(slices):
        members.setdefault(s.instance.path, []).append(number)
    findings = []
    for path, numbers in members.items():
        instance = slices[numbers[0]].instance
        try:
            stored = read_stored_values(path)
            _check_shape(stored, instance)
        except DicomError as error:
            findings.append(Finding("truncated-pixel-data", f"{path.name}: {error.message}", where))
            continue
        for n in numbers:
            plane = slices[n].plane
            assert plane.slope is not None
            assert plane.intercept is not None
            arrays[n] = to_hu(stored[slices[n].frame], plane.slope, plane.intercept)
    return [a for a in arrays if a is not None], findings


def _check_shape(stored: NDArray[Any], instance: Instance) -> None:
    expected = (instance.n_frames, instance.rows, instance.columns)
    if stored.shape != expected:
        found = " x ".join(map(str, stored.shape))
        wanted = " x ".join(map(str, expected))
        raise DicomError(f"the pixel data hold {found} values, the header says {wanted}; export it again")


def _compare_repeats(layout: Layout, arrays: list[NDArray[Any]], where: str) -> tuple[list[int], list[Finding]]:
    repeated = [p for p in layout.positions if len(p) > 1]
    keep = [p[0] for p in layout.positions]
    if not repeated:
        return keep, []
    n = sum(len(p) - 1 for p in repeated)
    differing = sum(any(not np.array_equal(arrays[p[0]], arrays[i]) for i in p[1:]) for p in repeated)
    if differing:
        sentence = (
            f"several different slices lie at {differing} of {len(keep)} positions; "
            "remove the copies, or index again so that acquisitions are taken apart"
        )
        return keep, [Finding("duplicate-slices", sentence, where)]
    sentence = f"{n} slices are copies of another slice and were left out"
    return keep, [Finding("duplicate-slices", sentence, where, severity="warning")]


def _inspect_hu(volume: NDArray[Any], padding: float | None, where: str) -> list[Finding]:
    step = max(1, round((volume.size / 4e6) ** (1 / 3)))
    sample = volume[:: min(step, max(1, len(volume) // 8)), ::step, ::step]
    values = sample[sample != padding] if padding is not None else sample.ravel()
    if values.size == 0:
        return [Finding("implausible-hu", "every voxel is padding; see whether the export is complete", where)]
    low, high, median = float(values.min()), float(values.max()), float(np.median(values))
    found = f"the values run from {low:g} to {high:g} (median {median:g})"
    reason = ""
    if high - low < 50:
        reason = "hardly any contrast, as if empty or normalised"
    elif low >= 0:
        reason = "none below 0 HU, as if RescaleIntercept were not applied"
    elif low < -10_000 or median < -1_200 or median > 1_000:
        reason = "outside what a patient's CT holds"
    if not reason:
        return []
    return [Finding("implausible-hu", f"{found}: {reason}; see whether the image is CT in HU", where)]


def _padding_hu(s: Slice) -> float | None:
    value = s.instance.padding_value
    if value is None or s.plane.slope is None or s.plane.intercept is None:
        return None
    # Written as an unsigned number by some, whatever PixelRepresentation says.
    if s.instance.is_signed and value >= 2**15:
        value -= 2**16
    elif not s.instance.is_signed and value < 0:
        value += 2**16
    return value * s.plane.slope + s.plane.intercept


# --- the grid


def _build_image(volume: NDArray[Any], slices: Sequence[Slice], stack: Stack) -> tuple[sitk.Image, tuple[str, ...]]:
    plane = slices[0].plane
    assert plane.pixel_spacing_mm is not None
    between_rows, between_columns = plane.pixel_spacing_mm
    origin = stack.positions_mm[0]
    if is_sheared(stack):
        volume, (x, y) = straighten(volume, stack.sideways_mm, (between_columns, between_rows))
        origin = origin + stack.axes[:, 0] * (x * between_columns) + stack.axes[:, 1] * (y * between_rows)
    volume, spacing_z, uids = _even_out(volume, slices, stack)
    image = sitk.GetImageFromArray(volume)
    size = (int(volume.shape[2]), int(volume.shape[1]), int(volume.shape[0]))
    spacing = (between_columns, between_rows, spacing_z or float(plane.slice_thickness_mm or 0.0))
    direction = tuple(float(c) for c in stack.axes.ravel())
    Geometry(size, spacing, (float(origin[0]), float(origin[1]), float(origin[2])), direction).canonical().put_on(image)
    return image, uids


def _even_out(
    volume: NDArray[Any], slices: Sequence[Slice], stack: Stack
) -> tuple[NDArray[Any], float, tuple[str, ...]]:
    uids = tuple(s.instance.sop_instance_uid for s in slices)
    places = grid_places(stack.along_mm)
    if places is not None and places[-1] == len(stack) - 1:
        return volume, stack.spacing_mm, uids
    if places is not None:
        spacing = float(stack.along_mm[-1] / places[-1])
        by_place = dict(zip(places.tolist(), uids, strict=True))
        known = places.astype(np.float64)
        wanted = np.arange(places[-1] + 1, dtype=np.float64)
        return interpolate_slices(volume, known, wanted), spacing, tuple(by_place.get(int(k), "") for k in wanted)
    spacing = float(np.diff(stack.along_mm).min())
    wanted = np.arange(int(stack.along_mm[-1] / spacing + 1e-6) + 1) * spacing
    at = {round(z, 3): uid for z, uid in zip(stack.along_mm.tolist(), uids, strict=True)}
    return (
        interpolate_slices(volume, stack.along_mm, wanted),
        spacing,
        tuple(at.get(round(z, 3), "") for z in wanted.tolist()),
    )


def _sorted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda f: ("error", "warning", "info").index(f.level)))
