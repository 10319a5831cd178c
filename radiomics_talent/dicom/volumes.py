"""One SeriesInstanceUID, how many volumes? Taking localizers, acquisitions and phases apart by one rule."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from radiomics_talent.dicom.stack import SAME_POSITION_MM, find_axes, group_positions, is_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from radiomics_talent.dicom.headers import Instance, Plane

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine within one volume."""
PIXEL_SPACING_TOLERANCE_MM = 2e-4
"""Largest difference of PixelSpacing within one volume: 0.1 mm over 512 pixels."""

VolumeKind = Literal["volume", "localizer", "other"]


@dataclass(frozen=True, slots=True)
class Volume:
    """Part of a series that is one stack of slices.

    Attributes
    ----------
    number : int
        From 1; CT volumes come first, then localizers and what is no volume.
    kind : {'volume', 'localizer', 'other'}
        'other' holds images without geometry, screen captures, and anything that is not CT.
    instances : tuple of Instance
        Sorted along the slice normal.
    """

    number: int
    kind: VolumeKind
    instances: tuple[Instance, ...]


def drop_copies(instances: Iterable[Instance], is_copy: Callable[[Path, Path], bool]) -> list[Instance]:
    """Keep one of the files that hold the same instance, from the folder that holds most of the series.

    `is_copy` is asked only about files that say they are the same instance with the same geometry. Where it says no,
    both stay: two versions of a series must not be mixed, and two slices at one position are refused later.
    """
    found = list(instances)
    folders = Counter((i.series_instance_uid, i.path.parent) for i in found)
    kept: dict[object, list[Instance]] = {}
    for instance in sorted(found, key=lambda i: (-folders[i.series_instance_uid, i.path.parent], str(i.path))):
        # A UID that returns with another position is a broken pseudonymisation, not a copy.
        where = (instance.planes[0].position_mm if instance.planes else None, instance.instance_number)
        uid = instance.sop_instance_uid or str(instance.path)
        known = kept.setdefault((uid, instance.series_instance_uid, where), [])
        if not any(_same_geometry(other, instance) and is_copy(other.path, instance.path) for other in known):
            known.append(instance)
    return sorted((i for same in kept.values() for i in same), key=lambda i: str(i.path))


def split_series(instances: Sequence[Instance]) -> tuple[Volume, ...]:
    """Split the instances of one series (without copies) into its volumes.

    Localizers, and images that differ in orientation, size or PixelSpacing, are taken apart at once.
    AcquisitionNumber, ContentTime and their like split a stack only where its slice positions repeat, or where
    regular stacks interleave: many scanners give each slice of one volume a time or number of its own.
    """
    single = [i for i in instances if i.is_ct and not i.is_localizer and not i.is_multiframe]
    groups = [part for stack in _alike([i for i in single if _has_geometry(i)]) for part in _split_stack(stack)]
    groups += _multiframe([i for i in instances if i.is_ct and not i.is_localizer and i.is_multiframe])
    bare = [i for i in single if not _has_geometry(i)]
    if bare and not groups:
        groups, bare = [bare], []
    groups.sort(key=_age)
    rest: list[tuple[VolumeKind, list[Instance]]] = [
        ("localizer", [i for i in instances if i.is_ct and i.is_localizer]),
        ("other", [*bare, *(i for i in instances if not i.is_ct)]),
    ]
    kinds: list[tuple[VolumeKind, list[Instance]]] = [("volume", group) for group in groups]
    kinds += [(kind, sorted(group, key=_file_order)) for kind, group in rest if group]
    return tuple(Volume(n, kind, tuple(group)) for n, (kind, group) in enumerate(kinds, start=1))


def same_orientation(a: Plane, b: Plane) -> bool:
    """Whether ImageOrientationPatient is the same, but for rounding."""
    return _near(a.orientation or (), b.orientation or (), ORIENTATION_TOLERANCE)


def same_size(a: Instance, plane_a: Plane, b: Instance, plane_b: Plane) -> bool:
    """Whether Rows, Columns and PixelSpacing are the same, but for rounding."""
    spacings = plane_a.pixel_spacing_mm or (), plane_b.pixel_spacing_mm or ()
    return (a.rows, a.columns) == (b.rows, b.columns) and _near(*spacings, PIXEL_SPACING_TOLERANCE_MM)


def _pair(a: Instance, b: Instance) -> bool:
    one, other = a.planes[0], b.planes[0]
    return same_orientation(one, other) and same_size(a, one, b, other)


def _same_geometry(a: Instance, b: Instance) -> bool:
    if not (a.planes and b.planes):
        return len(a.planes) == len(b.planes)
    return _pair(a, b)


def _near(one: Sequence[float], other: Sequence[float], tolerance: float) -> bool:
    return len(one) == len(other) and all(abs(p - q) <= tolerance for p, q in zip(one, other, strict=True))


def _has_geometry(instance: Instance) -> bool:
    plane = instance.planes[0] if instance.planes else None
    return (
        plane is not None
        and plane.position_mm is not None
        and plane.pixel_spacing_mm is not None
        and plane.orientation is not None
        and find_axes(plane.orientation) is not None
    )


def _alike(instances: list[Instance]) -> list[list[Instance]]:
    groups: list[list[Instance]] = []
    for instance in sorted(instances, key=_file_order):
        home = next((g for g in groups if _pair(g[0], instance)), None)
        if home is None:
            groups.append([instance])
        else:
            home.append(instance)
    return groups


def _multiframe(instances: list[Instance]) -> list[list[Instance]]:
    parts: defaultdict[str, list[Instance]] = defaultdict(list)
    for instance in sorted(instances, key=_file_order):
        parts[instance.concatenation[0] or instance.sop_instance_uid or str(instance.path)].append(instance)
    return [sorted(group, key=lambda i: i.concatenation[1]) for group in parts.values()]


# --- one stack of alike slices


def _split_stack(stack: list[Instance]) -> list[list[Instance]]:
    along = _along(stack)
    order = np.lexsort((np.arange(len(stack)), along))
    stack, along = [stack[i] for i in order], along[order]
    places = np.empty(len(stack), dtype=np.intp)
    positions = group_positions(along)
    for place, members in enumerate(positions):
        places[members] = place
    most = max(len(members) for members in positions)
    parts = _split_repeats(stack, places, most) if most > 1 else _split_interleaved(stack, along)
    return [[stack[i] for i in sorted(part)] for part in parts]


def _along(stack: list[Instance]) -> NDArray[np.float64]:
    axes = find_axes(stack[0].planes[0].orientation or ())
    assert axes is not None
    return np.asarray([i.planes[0].position_mm for i in stack], dtype=np.float64) @ axes[:, 2]


def _split_repeats(stack: list[Instance], places: NDArray[np.intp], most: int) -> list[list[int]]:
    fallback: list[list[int]] | None = None
    all_repeat = bool((np.bincount(places) == most).all())
    for key in _KEYS:
        values = [key(i) for i in stack]
        if any(v is None for v in values) or len(set(values)) < 2:
            continue
        parts = _runs(values, places)
        if parts is None:
            continue
        if len(parts) == most:
            return parts
        if fallback is None:
            fallback = _never_joined(parts, values, all_repeat, ordered=key in {_time, _number})
    if fallback is None and all_repeat:
        fallback = _ranks(stack, places, most)
    return fallback or [list(range(len(stack)))]


def _never_joined(
    runs: list[list[int]], values: Sequence[object], all_repeat: bool, *, ordered: bool
) -> list[list[int]] | None:
    """Choose parts where there are more runs than slices that share a position; None where none is safe.

    Either acquisitions overlap at their ends, or beds of several phases were scanned in turn: there a run would join
    the end of one phase to the beginning of another, also where a slice is missing and not every position repeats.
    """
    if ordered:
        parts = [] if all_repeat else runs
    else:
        parts = _by_value(values)
        if not all_repeat and min(map(len, parts)) < 3:
            parts = runs
    return parts if parts and min(map(len, parts)) >= 3 else None


def _by_value(values: Sequence[object]) -> list[list[int]]:
    return [[i for i, v in enumerate(values) if v == value] for value in sorted(set(values))]  # type: ignore[type-var]


def _runs(values: Sequence[object], places: NDArray[np.intp]) -> list[list[int]] | None:
    """Walk through a key's values in order; begin a volume where a slice position returns.

    None when slices of one value lie at one position, so that the key cannot tell them apart.
    """
    members: defaultdict[object, list[int]] = defaultdict(list)
    for i, value in enumerate(values):
        members[value].append(i)
    parts: list[list[int]] = []
    taken: set[int] = set()
    for value in sorted(members):  # type: ignore[type-var]
        here = {int(places[i]) for i in members[value]}
        if len(here) < len(members[value]):
            return None
        if not parts or taken & here:
            parts.append([])
            taken = set()
        parts[-1] += members[value]
        taken |= here
    return parts


def _ranks(stack: list[Instance], places: NDArray[np.intp], most: int) -> list[list[int]] | None:
    """Cine order: at each position, the first, second, ... image in time."""
    for key in (_time, _number):
        values = [key(i) for i in stack]
        if any(v is None for v in values):
            continue
        parts: list[list[int]] = [[] for _ in range(most)]
        for place in range(int(places.max()) + 1):
            members = sorted(np.flatnonzero(places == place), key=lambda i: values[i])  # type: ignore[arg-type,return-value]
            if len({values[i] for i in members}) < most:
                break
            for part, member in zip(parts, members, strict=True):
                part.append(int(member))
        else:
            return parts
    return None


def _split_interleaved(stack: list[Instance], along: NDArray[np.float64]) -> list[list[int]]:
    whole = [list(range(len(stack)))]
    if len(stack) < 6:
        return whole
    for key in _KEYS[:-1]:
        values = [key(i) for i in stack]
        if any(v is None for v in values) or not 2 <= len(set(values)) <= len(stack) // 3:
            continue
        parts = _by_value(values)
        spans = [along[part] for part in parts]
        regular = all(len(span) >= 3 and is_regular(span - span[0]) for span in spans)
        if regular and any(_overlap(a, b) for a, b in combinations(spans, 2)):
            return parts
    return whole


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    step = max(a[1] - a[0], b[1] - b[0])
    return bool(min(a[-1], b[-1]) - max(a[0], b[0]) > step + SAME_POSITION_MM)


def _acquisition(instance: Instance) -> object:
    return instance.acquisition_number


def _temporal(instance: Instance) -> object:
    return instance.temporal_position


def _trigger(instance: Instance) -> object:
    return instance.trigger_time


def _reconstruction(instance: Instance) -> object:
    return instance.kernel, instance.planes[0].slice_thickness_mm or 0.0, instance.image_type


def _time(instance: Instance) -> float | None:
    return instance.content_time


def _number(instance: Instance) -> float | None:
    return instance.instance_number


_KEYS: tuple[Callable[[Instance], object], ...] = (_acquisition, _temporal, _trigger, _reconstruction, _time, _number)


def _age(group: list[Instance]) -> tuple[float, float, float, str]:
    def least(values: Iterable[float | None]) -> float:
        return min((v for v in values if v is not None), default=math.inf)

    return (
        least(i.acquisition_number for i in group),
        least(i.content_time for i in group),
        least(i.instance_number for i in group),
        min(i.sop_instance_uid for i in group),
    )


def _file_order(instance: Instance) -> tuple[float, str, str]:
    number = instance.instance_number
    return (math.inf if number is None else number, instance.sop_instance_uid, str(instance.path))
