"""From contours to voxels, and what a mask of voxels looks like.

A voxel belongs to the lesion when its centre lies inside the contours by the even-odd rule. A centre exactly on
a contour is inside at the side of higher x or y and outside at the lower, so a contour through voxel centres
keeps its area (and the IBSI phantom, where this decides one voxel, has its published mask). Coordinates are
rounded to 1e-5 voxel before, so that the last decimals of a file do not decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import MaskError
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.polygons import INDEX_DECIMALS, areas, estimate_crossings, fill

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.imaging.lesion_voxels import LesionVoxels

    Points = NDArray[np.float64]

IN_SLICE = 0.25
"""A contour whose points stay within this part of the slice spacing of its mean lies in the slice's plane."""
SAME_PLANE_MM = 0.05
"""Contours closer than this along the normal lie in one plane, where a contour in a contour is a hole."""
FARTHEST_MM = 1e5
"""No scanner's coordinates reach so far: such a point is damaged."""
NARROWEST_MM = 1e-3
"""A contour narrower than this has no area."""
FINEST = 1024
"""Pixels along an own plane of oblique contours, at most."""
MOST_PLANES = 2048
"""Own planes of oblique contours, at most."""
MOST_OWN_VOXELS = 2**26
"""Voxels of the own grids of one lesion's oblique contours, at most; beyond, their planes are taken together."""
MOST_DIRECTIONS = 16
"""Directions of the planes of oblique contours, at most."""
MOST_CROSSINGS = 4_000_000
"""How often contours may cross the lines that they are measured on; a large organ's do a million times."""
_ENDLESS = "the contours are longer, or lie in more planes, than the outlines of a lesion"
FACES = ("left column", "right column", "first row", "last row", "first slice", "last slice")


@dataclass(frozen=True, slots=True, eq=False)
class RasterisedMask:
    """A mask made from contours, and how well it stands for them.

    Attributes
    ----------
    mask_zyx : ndarray of bool
        (z, y, x), on the image's grid.
    n_contours, n_skipped, n_repeated, n_oblique : int
        Contours given; those without an area; those given twice; those that are not in the plane of the slices.
    off_slice_mm : float
        Largest distance of a contour in a slice's plane from the slice it was put on.
    slices_missing : int
        Slices between the first and the last contour that no contour was put on.
    contour_volume_mm3, mask_volume_mm3 : float
        Volume inside the contours (area times distance of the planes, the part outside the image included), and
        of the mask's voxels.
    outside_fraction : float
        Part of `contour_volume_mm3` outside the image.
    grain_mm3 : float
        By how much the mask's volume may differ only because voxels are whole.
    """

    mask_zyx: NDArray[np.bool_]
    n_contours: int = 0
    n_skipped: int = 0
    n_repeated: int = 0
    n_oblique: int = 0
    off_slice_mm: float = 0.0
    slices_missing: int = 0
    contour_volume_mm3: float = 0.0
    mask_volume_mm3: float = 0.0
    outside_fraction: float = 0.0
    grain_mm3: float = 0.0


def rasterise(contours_mm: Sequence[Points], geometry: Geometry) -> RasterisedMask:
    """Turn closed contours into a mask on an image's grid.

    Contours of one plane are combined by even-odd (holes, also keyhole style); planes that fall on one slice are
    united. Contours in planes oblique to the slices are rasterised in planes of their own, and that mask is
    resampled (nearest neighbour).

    Parameters
    ----------
    contours_mm : sequence of ndarray, shape (n, 3)
        Patient coordinates (x, y, z).
    geometry : Geometry
        The image's grid.

    Raises
    ------
    MaskError
        The contours run back and forth, or turn, more often than outlines can; they would take hours or all memory.
    """
    usable = [c for c in map(_cleaned, contours_mm) if c is not None]
    if sum(estimate_crossings(geometry.to_index(c)) for c in usable) > MOST_CROSSINGS:
        raise MaskError(_ENDLESS)
    contours = _unique(usable)
    index = [np.round(geometry.to_index(c), INDEX_DECIMALS) for c in contours]
    flat = [bool(np.abs(i[:, 2] - i[:, 2].mean()).max() <= IN_SLICE) for i in index]
    oblique = _by_normal([c for c, f in zip(contours, flat, strict=True) if not f])
    if len(oblique) > MOST_DIRECTIONS:
        raise MaskError(_ENDLESS)
    mask = np.zeros(geometry.size[::-1], dtype=bool)
    measures = [_fill_slices([i for i, f in zip(index, flat, strict=True) if f], geometry, mask)]
    off_slice_mm, slices_missing = measures[0].off_slice_mm, measures[0].slices_missing
    for group in oblique:
        measures.append(_fill_oblique(group, geometry, mask, MOST_OWN_VOXELS // len(oblique)))
        slices_missing += measures[-1].slices_missing
    volume = sum(m.volume_mm3 for m in measures)
    outside = sum(m.outside_mm3 for m in measures)
    return RasterisedMask(
        mask_zyx=mask,
        n_contours=len(contours_mm),
        n_skipped=len(contours_mm) - len(usable),
        n_repeated=len(usable) - len(contours),
        n_oblique=flat.count(False),
        off_slice_mm=off_slice_mm,
        slices_missing=slices_missing,
        contour_volume_mm3=volume,
        mask_volume_mm3=int(np.count_nonzero(mask)) * geometry.voxel_volume_mm3,
        outside_fraction=min(1.0, outside / volume) if volume > 0 else 0.0,
        grain_mm3=sum(m.grain_mm3 for m in measures),
    )


def label_parts(mask_zyx: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Find the connected parts (faces, edges or corners touch) of a (z, y, x) mask.

    Returns
    -------
    labels : ndarray of uint32
        1, 2, ... by falling size, 0 outside: one array, since a speckled mask has thousands of parts.
    counts : ndarray of int
        Voxels of part 1, 2, ...
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask_zyx).astype(np.uint8))
    labels = sitk.GetArrayFromImage(sitk.RelabelComponent(sitk.ConnectedComponent(image, True))).astype(np.uint32)
    return labels, np.bincount(labels.ravel())[1:]


def overlap_voxels(a_zyx: NDArray[np.bool_], b_zyx: NDArray[np.bool_]) -> int:
    """Count the voxels that two masks of one grid share."""
    if a_zyx.shape != b_zyx.shape:
        raise ValueError(f"masks of {a_zyx.shape} and {b_zyx.shape} voxels are not on one grid")
    box = Box.around(a_zyx)
    return 0 if box is None else int(np.count_nonzero(a_zyx[box.slices_zyx] & b_zyx[box.slices_zyx]))


def touches_border(lesion: LesionVoxels) -> tuple[str, ...]:
    """Name the faces of the image that a lesion touches; an axis of one voxel has no face."""
    touched = []
    for axis, n in enumerate(lesion.geometry.size):
        if n > 1 and lesion.box.lower[axis] == 0:
            touched.append(FACES[2 * axis])
        if n > 1 and lesion.box.upper[axis] == n:
            touched.append(FACES[2 * axis + 1])
    return tuple(touched)


# --- contours


def _cleaned(contour_mm: Points) -> Points | None:
    """Return the contour without repeated points, None when it encloses nothing."""
    points = np.asarray(contour_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 3:
        return None
    if not np.isfinite(points).all() or np.abs(points).max() > FARTHEST_MM:
        return None
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    if len(points) < 3:
        return None
    # The second singular value is the spread across the line that fits best; a figure of eight keeps it.
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[1]
    return points if spread / np.sqrt(len(points)) > NARROWEST_MM else None


def _unique(contours: Sequence[Points]) -> list[Points]:
    """Drop a contour that is there already: drawn twice, even-odd would take it for a hole in itself."""
    return list({_canonical(np.round(c, 3) + 0.0).tobytes(): c for c in reversed(contours)}.values())[::-1]


def _canonical(points: Points) -> Points:
    """Return the same closed line from its lowest point, in the direction of the lower neighbour."""
    start = int(np.lexsort(points.T)[0])
    forward = np.roll(points, -start, axis=0)
    backward = np.roll(forward[::-1], 1, axis=0)
    return min(forward, backward, key=lambda p: tuple(p.ravel()))


def _normal(contour: Points) -> Points:
    """Return the unit normal of the plane that fits a contour best, pointing to the upper half space."""
    normal: Points = np.linalg.svd(contour - contour.mean(axis=0), full_matrices=False)[2][2]
    leading = normal[np.argmax(np.abs(normal))]
    return normal if leading > 0 else -normal


def _by_normal(contours: Sequence[Points]) -> list[list[Points]]:
    """Group contours whose planes are parallel within two degrees; that of most points leads."""
    groups: list[tuple[Points, list[Points]]] = []
    for contour in sorted(contours, key=lambda c: (-len(c), tuple(c.min(axis=0)))):
        normal = _normal(contour)
        for leader, members in groups:
            if abs(float(leader @ normal)) > 0.9994:
                members.append(contour)
                break
        else:
            groups.append((normal, [contour]))
    return [members for _, members in groups]


# --- planes


@dataclass(frozen=True, slots=True)
class _Measure:
    volume_mm3: float = 0.0
    outside_mm3: float = 0.0
    grain_mm3: float = 0.0
    off_slice_mm: float = 0.0
    slices_missing: int = 0


def _fill_slices(contours: list[Points], geometry: Geometry, mask: NDArray[np.bool_]) -> _Measure:
    """Set the voxels inside contours (continuous indices) that lie in the slices' planes; measure them."""
    planes = _planes(contours, SAME_PLANE_MM / geometry.spacing_mm[2])
    if not planes:
        return _Measure()
    thickness = _plane_distance(planes, 1.0)
    nx, ny, nz = geometry.size
    slab_mm3 = geometry.voxel_volume_mm3 * thickness
    area = inside = perimeter = off = 0.0
    slices = []
    for z, polygons in planes:
        k = floor(z + 0.5)
        slices.append(k)
        off = max(off, abs(z - k))
        whole, part = areas(polygons, (nx, ny))
        area += whole
        perimeter += sum(float(np.linalg.norm(p - np.roll(p, 1, axis=0), axis=1).sum()) for p in polygons)
        if 0 <= k < nz:
            inside += part
            fill(polygons, mask[k])
    # Whole voxels: the count along an outline scatters by the root of its length; between planes of another
    # distance than the slices', one slice more or less may be hit.
    grain = 2.0 * np.sqrt(perimeter) * geometry.voxel_volume_mm3
    if abs(thickness - 1.0) > 0.05:
        grain += area / len(planes) * geometry.voxel_volume_mm3
    return _Measure(
        volume_mm3=area * slab_mm3,
        outside_mm3=(area - inside) * slab_mm3,
        grain_mm3=float(grain),
        off_slice_mm=off * geometry.spacing_mm[2],
        slices_missing=max(slices) - min(slices) + 1 - len(set(slices)),
    )


def _planes(contours: list[Points], tolerance: float) -> list[tuple[float, list[Points]]]:
    """Group contours into planes: (z, polygons of (x, y)), by rising z."""
    planes: list[tuple[float, list[Points]]] = []
    levels = sorted(((round(float(c[:, 2].mean()), INDEX_DECIMALS), c[:, :2]) for c in contours), key=lambda p: p[0])
    for z, polygon in levels:
        if planes and z - planes[-1][0] <= tolerance:
            planes[-1][1].append(polygon)
        else:
            planes.append((z, [polygon]))
    return planes


def _plane_distance(planes: list[tuple[float, list[Points]]], default: float) -> float:
    """Return the usual distance of neighbouring planes; `default` where no two planes tell.

    Planes whose outlines do not lie over each other are different parts of a lesion and tell nothing.
    """
    boxes = [(np.vstack(p).min(axis=0), np.vstack(p).max(axis=0)) for _, p in planes]
    steps = [
        above[0] - below[0]
        for below, above, (low, high), (low_above, high_above) in zip(
            planes, planes[1:], boxes, boxes[1:], strict=False
        )
        if bool((low <= high_above).all() and (low_above <= high).all())
    ]
    return float(np.quantile(steps, 0.5, method="lower")) if steps else default


def _fill_oblique(contours: list[Points], geometry: Geometry, mask: NDArray[np.bool_], most_voxels: int) -> _Measure:
    """Set the voxels inside contours (mm) of parallel planes that are not those of the slices."""
    own = _own_grid(contours, geometry, most_voxels)
    filled = np.zeros(own.size[::-1], dtype=bool)
    measure = _fill_slices([np.round(own.to_index(c), INDEX_DECIMALS) for c in contours], own, filled)
    inner = np.flatnonzero(filled)
    if inner.size == 0:
        return measure
    z, y, x = np.unravel_index(inner[:: max(1, inner.size // 200_000)], filled.shape)
    index = geometry.to_index(own.to_points(np.stack([x, y, z], axis=1)))
    inside = np.all((index >= -0.5) & (index < np.asarray(geometry.size) - 0.5), axis=1)
    voxel_mm3 = geometry.voxel_volume_mm3
    measure = _Measure(
        volume_mm3=measure.volume_mm3,
        outside_mm3=measure.volume_mm3 * float(1 - inside.mean()),
        # The count over a whole surface of voxels scatters by the root of their number.
        grain_mm3=6.0 * voxel_mm3 * (max(measure.volume_mm3, voxel_mm3) / voxel_mm3) ** (1 / 3),
        slices_missing=measure.slices_missing,
    )
    box = Box(
        _voxel(np.maximum(np.floor(index.min(axis=0)) - 1, 0)),
        _voxel(np.minimum(np.ceil(index.max(axis=0)) + 2, geometry.size)),
    )
    if min(box.size) <= 0:
        return measure
    source = sitk.GetImageFromArray(filled.astype(np.uint8))
    own.put_on(source)
    grid = geometry.crop(box)
    target = sitk.Resample(
        source, grid.size, sitk.Transform(), sitk.sitkNearestNeighbor, grid.origin_mm, grid.spacing_mm, grid.direction
    )
    mask[box.slices_zyx] |= sitk.GetArrayViewFromImage(target) > 0
    return measure


def _own_grid(contours: list[Points], geometry: Geometry, most_voxels: int) -> Geometry:
    """Return a grid whose slices are the contours' own planes, fine within the planes."""
    normal = _normal(contours[0])
    u = np.cross(normal, geometry.axes[:, int(np.argmin(np.abs(geometry.axes.T @ normal)))])
    u /= np.linalg.norm(u)
    axes = np.column_stack([u, np.cross(normal, u), normal])
    planar = [c @ axes for c in contours]  # coordinates along u, v and the normal
    lower, upper = np.vstack(planar).min(axis=0), np.vstack(planar).max(axis=0)
    planes = _planes(planar, SAME_PLANE_MM)
    depth = planes[-1][0] - planes[0][0]
    across = float(np.linalg.norm(geometry.axes.T @ normal * np.asarray(geometry.spacing_mm)))
    fine = max(min(geometry.spacing_mm) / 2, float((upper - lower)[:2].max()) / FINEST)
    size = [ceil(extent / fine) + 3 for extent in (upper - lower)[:2]]
    step = max(_plane_distance(planes, across), depth / min(MOST_PLANES, max(1, most_voxels // (size[0] * size[1]))))
    size.append(floor(depth / step + 0.5) + 1)
    x, y, z = (float(o) for o in axes @ np.array([lower[0] - fine, lower[1] - fine, planes[0][0]]))
    return Geometry(_voxel(size), (fine, fine, step), (x, y, z), tuple(map(float, axes.ravel())))


def _voxel(values: Iterable[float]) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values)
    return x, y, z
