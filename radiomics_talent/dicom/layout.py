"""The slices of one CT volume put in order, and everything their headers have against them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.dicom.stack import (
    Stack,
    count_regular,
    find_axes,
    group_positions,
    inspect_stack,
    is_sheared,
    stack_slices,
)
from radiomics_talent.dicom.volumes import same_orientation, same_size
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from radiomics_talent.dicom.headers import Instance, Plane
    from radiomics_talent.settings import GeometrySettings

HU_TYPES = frozenset({"", "HU", "HU_MOD"})
"""RescaleType of Hounsfield units; CT Image Storage means HU where it is absent (PS3.3 C.8.2.1)."""
RESCALE_TERMS = frozenset({"OD", "US", "MGML", "Z_EFF", "ED", "EDW", "PCT"})
"""The other defined terms of RescaleType (PS3.3 C.11.1.1.2)."""
NOT_HU_WORDS = frozenset({
    "PERFUSION", "CBF", "CBV", "RCBF", "RCBV", "MTT", "RMTT", "TTP", "TMAX", "PERMEABILITY", "EFFECTIVE_Z", "EFF_Z",
    "EFF_ATOMIC_NUM", "ELECTRON_DENSITY", "IODINE", "IODINE_MAP", "MAT_FRACTIONAL", "MAT_VALUE_BASED", "MAT_SPECIFIC",
    "COLOR", "SCREEN SAVE",
})  # fmt: skip
"""Values of ImageType that name a map of something other than HU."""


MOST_GROWTH = 20
"""A volume that is put on a regular grid becomes at most so many times as large."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: a frame of an instance."""

    instance: Instance
    frame: int
    plane: Plane


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One volume as its headers describe it.

    Attributes
    ----------
    slices : tuple of Slice
        Sorted along the normal when `stack` is there.
    stack : Stack or None
        None where geometry is missing or mixed.
    positions : tuple of tuple of int
        Numbers of the slices at each position: more than one where slices coincide.
    findings : tuple of Finding
        All but what only voxels can tell.
    """

    slices: tuple[Slice, ...]
    stack: Stack | None
    positions: tuple[tuple[int, ...], ...]
    findings: tuple[Finding, ...]

    def repeat_finding(self, where: str) -> tuple[Finding, ...]:
        """Return the warning that slices coincide, as far as headers show it."""
        repeated = [p for p in self.positions if len(p) > 1]
        if not repeated:
            return ()
        n = sum(len(p) - 1 for p in repeated)
        sentence = (
            f"{n} of {len(self.slices)} slices lie at the position of another; unless their voxels are the same the "
            "volume is refused: remove them, or take the acquisitions apart"
        )
        return (Finding("duplicate-slices", sentence, where, severity="warning"),)


def lay_out(instances: Sequence[Instance], settings: GeometrySettings, *, where: str) -> Layout:
    """Sort the slices of one volume and inspect their headers.

    Parameters
    ----------
    instances : sequence of Instance
        All of one volume, in any order, without copies.
    settings : GeometrySettings
        What is tolerated.
    where : str
        Place that findings name.
    """
    slices = [Slice(instance, frame, plane) for instance in instances for frame, plane in enumerate(instance.planes)]
    strange = _inspect_kind(instances, where)
    if strange:
        return Layout(tuple(slices), None, (), tuple(strange))
    findings = [*_inspect_files(instances, where), *_inspect_values(slices, where)]
    mixed = _inspect_alike(slices, where)
    findings += mixed
    axes = find_axes(slices[0].plane.orientation or (0.0,) * 6) if slices else None
    if mixed or axes is None:
        return Layout(tuple(slices), None, (), tuple(findings))
    stack = stack_slices([s.plane.position_mm or (0.0, 0.0, 0.0) for s in slices], axes)
    ordered = tuple(slices[i] for i in stack.order)
    positions = tuple(tuple(group) for group in group_positions(stack.along_mm))
    unique = stack.subset([group[0] for group in positions])
    findings += inspect_stack(unique, settings, where=where)
    if not any(f.is_error for f in findings):
        findings += _inspect_growth(ordered, unique, where)
    if not is_sheared(unique):
        findings += _inspect_thickness(ordered, unique, where)
    return Layout(ordered, stack, positions, tuple(findings))


def _inspect_kind(instances: Sequence[Instance], where: str) -> list[Finding]:
    findings = []
    strangers = [i for i in instances if not i.is_ct]
    if strangers:
        modality = strangers[0].modality or "no Modality"
        kind = f"a secondary image with Modality {modality}" if modality == "CT" else modality
        sentence = f"{_some(strangers, instances)}: {kind}, expected a CT image; give the CT series"
        findings.append(Finding("not-ct", sentence, where))
    localizers = [i for i in instances if i.is_localizer]
    if localizers:
        sentence = f"{_some(localizers, instances)}: a localizer, not slices of a volume; give the CT series"
        findings.append(Finding("localizer", sentence, where, severity="error"))
    return findings


def _inspect_files(instances: Sequence[Instance], where: str) -> list[Finding]:
    findings = []
    odd = [i for i in instances if i.is_ct and len(i.planes) != i.n_frames]
    if odd:
        sentence = (
            f"{_some(odd, instances)}: {odd[0].n_frames} frames but positions for {len(odd[0].planes)}; export it again"
        )
        findings.append(Finding("geometry-missing", sentence, where))
    cut = [i for i in instances if i.missing_bytes]
    if cut:
        sentence = (
            f"{_some(cut, instances)}: the file is shorter than its pixel data "
            f"({cut[0].missing_bytes} bytes or more are missing); copy it again"
        )
        findings.append(Finding("truncated-pixel-data", sentence, where))
    frames = {i.frame_of_reference_uid for i in instances}
    if len(frames) > 1:
        sentence = (
            f"the slices have {len(frames)} different FrameOfReferenceUIDs, expected one; export the series again"
        )
        findings.append(Finding("mixed-frame-of-reference", sentence, where))
    return findings


def _inspect_values(slices: Sequence[Slice], where: str) -> list[Finding]:
    findings = []
    bare = [s for s in slices if s.plane.slope is None or s.plane.intercept is None or s.plane.slope == 0]
    if bare:
        sentence = (
            f"{_count(bare, slices)} without RescaleSlope and RescaleIntercept: the values are not known to be HU; "
            "export the original images"
        )
        findings.append(Finding("rescale-missing", sentence, where))
    types = sorted({s.plane.rescale_type for s in slices} - HU_TYPES)
    if types:
        unknown = types == ["US"]
        meaning = "unspecified units" if unknown else "not HU"
        found = types[0] if types[0] in RESCALE_TERMS else "an unknown term"  # free text could hold anything
        sentence = f"RescaleType is {found} ({meaning}), expected HU; give the original CT series"
        findings.append(Finding("not-hu", sentence, where, severity="warning" if unknown else None))
    maps = sorted(NOT_HU_WORDS & {word for s in slices for word in s.instance.image_type})
    if maps or not all(s.instance.is_grey for s in slices):
        found = f"ImageType says {maps[0]}" if maps else "the images are in colour"
        sentence = f"{found}, so the values are not HU; give the original CT series"
        findings.append(Finding("not-hu", sentence, where))
    lossy = [s for s in slices if s.instance.is_lossy]
    if lossy:
        sentence = f"{_count(lossy, slices)} compressed with loss: texture features change; use the original images"
        findings.append(Finding("lossy-compression", sentence, where))
    return findings


def _inspect_alike(slices: Sequence[Slice], where: str) -> list[Finding]:
    def lacks(value: Callable[[Plane], object]) -> list[Slice]:
        return [s for s in slices if value(s.plane) is None]

    for keyword, value in (
        ("ImagePositionPatient", lambda p: p.position_mm),
        ("ImageOrientationPatient", lambda p: p.orientation),
        ("PixelSpacing", lambda p: p.pixel_spacing_mm),
    ):
        bare = lacks(value)
        if bare:
            sentence = f"{_count(bare, slices)} without a usable {keyword}; export the original images"
            return [Finding("geometry-missing", sentence, where)]
    skewed = [s for s in slices if find_axes(s.plane.orientation or ()) is None]
    if skewed:
        sentence = (
            f"ImageOrientationPatient of {_count(skewed, slices)} is not two perpendicular unit vectors; "
            "export the original images"
        )
        return [Finding("geometry-missing", sentence, where)]
    return _inspect_mixture(slices, where)


def _inspect_mixture(slices: Sequence[Slice], where: str) -> list[Finding]:
    findings = []
    other = [s for s in slices if not same_orientation(slices[0].plane, s.plane)]
    if other:
        fewer = min(len(other), len(slices) - len(other))
        sentence = (
            f"{fewer} of {len(slices)} slices have another orientation than the rest; index again, or remove them"
        )
        findings.append(Finding("mixed-orientation", sentence, where))
    sizes = {_size(s) for s in slices}
    if any(not same_size(slices[0].instance, slices[0].plane, s.instance, s.plane) for s in slices):
        listed = ", ".join(f"{r} x {c} at {y:g} x {x:g} mm" for r, c, y, x in sorted(sizes)[:3])
        sentence = (
            f"the slices differ in Rows, Columns or PixelSpacing ({listed}); "
            "index again, or remove those that do not belong"
        )
        findings.append(Finding("mixed-size", sentence, where))
    return findings


def _inspect_growth(slices: Sequence[Slice], stack: Stack, where: str) -> list[Finding]:
    """Refuse to mend what lies so far apart that the mended volume would be mostly made up, and fill the memory."""
    spacing = slices[0].plane.pixel_spacing_mm
    assert spacing is not None
    shift = np.ptp(stack.sideways_mm, axis=0) / spacing[::-1] if is_sheared(stack) else np.zeros(2)
    pixels = (1 + shift[0] / max(1, slices[0].instance.columns)) * (1 + shift[1] / max(1, slices[0].instance.rows))
    growth = float(pixels) * count_regular(stack.along_mm) / len(stack)
    if growth <= MOST_GROWTH:
        return []
    sentence = (
        f"a regular grid would be {growth:.3g} times as large as the slices that are there; export the series again, "
        "or remove slices that do not belong"
    )
    return [Finding("unequal-spacing", sentence, where)]


def _inspect_thickness(slices: Sequence[Slice], stack: Stack, where: str) -> list[Finding]:
    thickness = slices[0].plane.slice_thickness_mm
    if len(stack) == 1:
        if not thickness or thickness <= 0:
            sentence = "the volume has one slice and no SliceThickness, so its depth is unknown; give the whole series"
            return [Finding("geometry-missing", sentence, where)]
        sentence = (
            f"the volume has one slice, as deep as SliceThickness says ({thickness:g} mm); "
            "use 2D settings, or give the whole series"
        )
        return [Finding("single-slice", sentence, where)]
    spacing = float(np.median(np.diff(stack.along_mm)))
    if thickness is None or abs(thickness - spacing) <= max(0.05, 0.02 * spacing):
        return []
    relation = "overlap" if thickness > spacing else "leave gaps"
    sentence = (
        f"slices of {thickness:g} mm (SliceThickness) every {spacing:.4g} mm {relation}; "
        "know it when you use texture along z"
    )
    return [Finding("slice-thickness-differs", sentence, where)]


def _size(s: Slice) -> tuple[int, int, float, float]:
    spacing = s.plane.pixel_spacing_mm
    assert spacing is not None
    return (s.instance.rows, s.instance.columns, *spacing)


def _count(some: Sequence[Slice], everything: Sequence[Slice]) -> str:
    names = f"{len(some)} of {len(everything)} slices"
    return f"{names} ({_names(s.instance for s in some)})"


def _some(some: Sequence[Instance], everything: Sequence[Instance]) -> str:
    return f"{len(some)} of {len(everything)} files ({_names(some)})"


def _names(instances: Iterable[Instance]) -> str:
    names = sorted({i.path.name for i in instances})
    return names[0] if len(names) == 1 else f"{names[0]}, ..."
