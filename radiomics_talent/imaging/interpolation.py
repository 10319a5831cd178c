"""Interpolation as IBSI 1 asks for it: a scan and a lesion on a grid of another spacing along the same axes.

Zwanenburg et al., IBSI reference manual v11, section 2.4 (VTM2). Positions are counted in voxels of the scan, from the
whole scan's grid, so that a lesion's values do not depend on how much of the scan around it is looked at (those of the
cubic spline but for rounding).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import SimpleITK as sitk

from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.imaging.preprocess import resample
from radiomics_talent.imaging.spline import cubic_spline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Alignment = Literal["centre", "corner"]
    Interpolator = Literal["linear", "cubic-spline", "nearest"]

_WHOLE = 1e-6
"""Voxels: a count or a position that is as near as this to a whole number is that number; spacings carry no more."""
SLACK = 1e-9
"""What rounding may take from a half, of a voxel or of a HU: computed in another order it is still a half."""


@dataclass(frozen=True, slots=True)
class AlignedGrid:
    """A grid along the axes of a scan.

    Attributes
    ----------
    scan : Geometry
        The scan's grid.
    geometry : Geometry
        The grid itself.
    start, step : tuple of float
        (x, y, z): the first point and the distance between points, in voxels of the scan.
    """

    scan: Geometry
    geometry: Geometry
    start: tuple[float, float, float]
    step: tuple[float, float, float]

    @property
    def is_the_scans(self) -> bool:
        """Whether the grid is the scan's own."""
        return self.geometry == self.scan

    def positions(self, axis: int, low: int, high: int) -> NDArray[np.float64]:
        """Return where points `low` to `high` (excluded) of an axis (x, y, z) lie, in voxels of the scan.

        Points beyond the outermost voxels' centres are moved there: the scan is continued by its border, as the manual
        recommends (026Q).
        """
        along = self.start[axis] + np.arange(low, high) * self.step[axis]
        along = np.where(np.abs(along - np.rint(along)) < _WHOLE, np.rint(along), along)
        return np.asarray(np.clip(along, 0, self.scan.size[axis] - 1))


def aligned_grid(scan: Geometry, spacing_mm: Sequence[float], alignment: Alignment) -> AlignedGrid:
    """Return the grid of another spacing over a scan.

    Parameters
    ----------
    scan : Geometry
        The scan's grid.
    spacing_mm : sequence of float
        Spacing (x, y, z) in mm; 0 keeps the scan's.
    alignment : {'centre', 'corner'}
        'centre': the centres of both grids are one (IBSI 3WE3), and the grid covers the scan. 'corner': the first
        voxels' outer corners are one, as in PyRadiomics' ``resampleImage``; points outside of the scan are left out.
    """
    size, start, step, spacing = [], [], [], []
    for n, old, wanted in zip(scan.size, scan.spacing_mm, spacing_mm, strict=True):
        new = wanted or old
        covered = n * old / new
        whole = round(covered)
        count = whole if alignment == "corner" or abs(covered - whole) < _WHOLE else math.ceil(covered)
        count = max(1, count)
        ratio = new / old
        begin = 0.5 * (n - 1 - ratio * (count - 1)) if alignment == "centre" else 0.5 * (ratio - 1)
        size.append(count)
        start.append(begin)
        step.append(ratio)
        spacing.append(new)
    if tuple(spacing) == scan.spacing_mm:
        return AlignedGrid(scan, scan, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    x, y, z = scan.to_points(start).tolist()
    geometry = Geometry((size[0], size[1], size[2]), (spacing[0], spacing[1], spacing[2]), (x, y, z), scan.direction)
    return AlignedGrid(scan, geometry, (start[0], start[1], start[2]), (step[0], step[1], step[2]))


def interpolated_image(
    image: sitk.Image, grid: AlignedGrid, part: Box, interpolator: Interpolator
) -> NDArray[np.float64]:
    """Return the intensities of a scan at the points of a part of a grid.

    Parameters
    ----------
    image : SimpleITK.Image
        The whole scan, on `grid.scan`.
    grid : AlignedGrid
        Where values are wanted.
    part : Box
        Which part of it.
    interpolator : {'linear', 'cubic-spline', 'nearest'}
        The cubic B-spline is ITK's (mirrored at the scan's border).

    Returns
    -------
    ndarray of float64
        (z, y, x), not rounded.
    """
    if grid.is_the_scans:
        return np.array(sitk.GetArrayViewFromImage(image)[part.slices_zyx], dtype=np.float64)
    if interpolator == "cubic-spline":
        target = grid.geometry.crop(part)
        values = cubic_spline(sitk.GetArrayViewFromImage(image), grid.scan, target)
        if values is None:  # where our own is not certain of ITK's bits: ITK, at its price
            values = sitk.GetArrayFromImage(resample(sitk.Cast(image, sitk.sitkFloat64), target, sitk.sitkBSpline))
        return values
    source = _seen_by(grid, part)
    values = sitk.GetArrayViewFromImage(image)[source.slices_zyx].astype(np.float64)
    return _interpolated(values, source, grid, part, interpolator)


def whole_hu(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round interpolated intensities to whole HU (IBSI 68QD).

    Parameters
    ----------
    values : ndarray of float64
        Intensities.

    Returns
    -------
    ndarray of float64
        Whole numbers. Halves are rounded up, and what is a half but for rounding is one: between voxels at common
        spacings halves are frequent, and the last bit (the order of the scan's slices, the machine) must not decide.
    """
    return np.asarray(np.floor(values + (0.5 + SLACK)))


def interpolated_lesion(
    lesion: LesionVoxels, grid: AlignedGrid, interpolator: Literal["linear", "nearest"], threshold: float = 0.5
) -> LesionVoxels | None:
    """Return a lesion on a grid (IBSI E8H9): the points where its interpolated mask reaches a threshold.

    Parameters
    ----------
    lesion : LesionVoxels
        The lesion on `grid.scan`.
    grid : AlignedGrid
        Where it is wanted.
    interpolator : {'linear', 'nearest'}
        How the mask of zeros and ones is interpolated.
    threshold : float
        Smallest fraction of a voxel that belongs to the lesion.

    Returns
    -------
    LesionVoxels or None
        None when nothing is left.
    """
    if grid.is_the_scans:
        return lesion
    part = _reached_by(lesion.box, grid)
    source = _around_both(_seen_by(grid, part), lesion.box)  # new voxels may be far apart
    mask = np.zeros(source.size[::-1])
    inner = lesion.box.seen_from(source)
    mask[inner.slices_zyx] = lesion.voxels_zyx
    found = LesionVoxels.of(
        _interpolated(mask, source, grid, part, interpolator) >= threshold - SLACK, grid.geometry.crop(part)
    )
    return None if found is None else LesionVoxels(grid.geometry, found.box.moved(part.lower), found.voxels_zyx)


def _seen_by(grid: AlignedGrid, part: Box) -> Box:
    """Return the voxels of the scan between which the points of a part of the grid lie."""
    lower, upper = [], []
    for axis in range(3):
        ends = grid.positions(axis, part.lower[axis], part.upper[axis])
        lower.append(int(ends[0]))
        upper.append(min(int(ends[-1]) + 2, grid.scan.size[axis]))
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def _around_both(one: Box, other: Box) -> Box:
    (x, y, z), (x_end, y_end, z_end) = map(min, one.lower, other.lower), map(max, one.upper, other.upper)
    return Box((x, y, z), (x_end, y_end, z_end))


def _reached_by(lesion: Box, grid: AlignedGrid) -> Box:
    """Return the points of the grid less than a voxel away from the lesion's box, and the lesion's box at least."""
    lower, upper = [], []
    for axis, size in enumerate(grid.geometry.size):
        first = (lesion.lower[axis] - 1 - grid.start[axis]) / grid.step[axis]
        last = (lesion.upper[axis] - grid.start[axis]) / grid.step[axis]
        # What lies beyond the outermost centres is moved to them, so the ends of the grid are always asked.
        lower.append(max(0, min(math.floor(first), size - 1)) if lesion.lower[axis] > 0 else 0)
        upper.append(min(size, max(math.ceil(last) + 1, 1)) if lesion.upper[axis] < grid.scan.size[axis] else size)
    # A lesion that touches both ends of the scan asks for all of that axis; its masks are small enough for that.
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def _interpolated(
    values: NDArray[np.float64], source: Box, grid: AlignedGrid, part: Box, interpolator: str
) -> NDArray[np.float64]:
    """Interpolate axis by axis, first where the fewest points come of it: what follows has less to do."""
    growth = [new / old for new, old in zip(grid.geometry.size, grid.scan.size, strict=True)]
    for axis in sorted((2, 1, 0), key=lambda axis: growth[axis]):
        along = grid.positions(axis, part.lower[axis], part.upper[axis]) - source.lower[axis]
        values = _along(values, 2 - axis, along, interpolator)
    return values


def _along(
    values: NDArray[np.float64], array_axis: int, along: NDArray[np.float64], interpolator: str
) -> NDArray[np.float64]:
    """Interpolate along one axis of an array, at positions that ascend."""
    last = values.shape[array_axis] - 1
    if interpolator == "nearest":
        return np.asarray(np.take(values, np.floor(along + (0.5 + SLACK)).astype(np.intp), axis=array_axis))
    below = np.minimum(np.floor(along).astype(np.intp), max(last - 1, 0))
    share = along - below
    lower: NDArray[np.float64] = np.take(values, below, axis=array_axis)
    if not share.any():
        return lower
    upper: NDArray[np.float64] = np.take(values, np.minimum(below + 1, last), axis=array_axis)
    shape: list[Any] = [1, 1, 1]
    shape[array_axis] = -1
    with np.errstate(invalid="ignore"):  # infinite values become NaN, and are refused where they matter
        upper -= lower
        upper *= share.reshape(shape)
        upper += lower
    return upper
