"""Image processing before features, as PyRadiomics does it, at the cost of the lesion and not of the scan.

PyRadiomics resamples onto a grid of its own (aligned with the corner of the mask's image) but prepares the cubic
spline on the whole scan for every lesion. Here the spline is prepared on a crop. Its prefilter forgets a neighbour
at 0.268 a voxel, so 48 voxels away only rounding (about 1e-13 HU) is left. That shows in the stored bits in two
places: where a value lies within rounding of a step of the pixel type (whole HU are truncated: constant air, grids
that coincide), and where the scan ends. When a crop has such a voxel, the whole scan is resampled instead, so the
result always has the bits of the whole scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.imaging.geometry import Box, Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPLINE_MARGIN = 48
"""Voxels around a crop after which the coefficients of a cubic spline keep their bits."""

_CROPPED_INTERPOLATORS = {sitk.sitkBSpline: SPLINE_MARGIN, sitk.sitkLinear: 2, sitk.sitkNearestNeighbor: 2}
_ROUNDING = 1e-11
"""Rounding of positions moves a value by less than this share of the crop's range (2e-13 was the worst seen)."""
_BORDER = 1e-6
"""Positions this near to the end of the scan (in voxels) may fall on either side of it."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The grid that PyRadiomics resamples to; `interpolates` is false where the spacing stays as it is."""

    geometry: Geometry
    interpolates: bool


def resampling_grid(image: Geometry, mask: Geometry, lesion: Box, spacing_mm: Sequence[float], pad_voxels: int) -> Grid:
    """Return the grid on which PyRadiomics' ``resampleImage`` puts a lesion and its surroundings.

    Parameters
    ----------
    image, mask : Geometry
        Grids of the whole scan and of the whole mask.
    lesion : Box
        The lesion's box on the mask's grid.
    spacing_mm : sequence of float
        Spacing asked for (x, y, z); 0 keeps the mask's, as does an axis along which the lesion is one voxel.
    pad_voxels : int
        Voxels (of the new grid) kept around the lesion: ``padDistance``.

    Returns
    -------
    Grid
        With the arithmetic of PyRadiomics 3.0.1, ``imageoperations.resampleImage``, in its order of operations.
    """
    mask_spacing = np.array(mask.spacing_mm)
    wanted = np.array(spacing_mm)
    wanted = np.where(wanted == 0, mask_spacing, wanted)
    lower, extent = np.array(lesion.lower), np.array(lesion.size)
    wanted = np.where(extent != 1, wanted, mask_spacing)
    if np.allclose(image.spacing_mm, wanted):
        return Grid(image, interpolates=False)
    ratio = mask_spacing / wanted
    first = np.floor((lower - 0.5) * ratio - pad_voxels)
    last = np.ceil((lower + extent - 0.5) * ratio + pad_voxels)
    end = np.ceil(np.array(mask.size) * ratio) - 1
    first = np.where(first < 0, 0, first)
    last = np.where(last > end, end, last)
    start = 0.5 * (wanted - mask_spacing) / mask_spacing + first / ratio
    # ITK's own conversion, since its rounding is part of the grid.
    origin = _empty_image(mask).TransformContinuousIndexToPhysicalPoint(start.tolist())
    size = tuple(int(n) for n in last - first + 1)
    return Grid(Geometry(size, tuple(float(s) for s in wanted), origin, mask.direction), interpolates=True)  # type: ignore[arg-type]


def resample(image: sitk.Image, grid: Geometry, interpolator: int) -> sitk.Image:
    """Resample a whole scan onto a small grid, with the bits of ITK's resampler on the whole scan.

    Parameters
    ----------
    image : SimpleITK.Image
        The whole scan, 3D.
    grid : Geometry
        Where values are wanted.
    interpolator : int
        A SimpleITK interpolator. B-spline, linear and nearest neighbour work on a crop for integer and 32-bit
        images; everything else takes the whole scan.

    Returns
    -------
    SimpleITK.Image
        Same pixel type as `image`; 0 outside of it.
    """
    margin = _CROPPED_INTERPOLATORS.get(interpolator)
    if margin is None or image.GetPixelID() == sitk.sitkFloat64:
        return _itk_resample(image, grid, interpolator, image.GetPixelID())
    box = _region_needed(image, grid, margin)
    if box is None or box.size == image.GetSize() or interpolator == sitk.sitkNearestNeighbor:
        return _itk_resample(image, grid, interpolator, image.GetPixelID())
    crop = box.cut(image)
    values = sitk.GetArrayFromImage(_itk_resample(crop, grid, interpolator, sitk.sitkFloat64))
    if _is_doubtful(values, image, crop, grid):
        return _itk_resample(image, grid, interpolator, image.GetPixelID())
    result = sitk.GetImageFromArray(_truncate(values, image.GetPixelID()))
    grid.put_on(result)
    return result


def nearest_on(mask: sitk.Image, grid: Geometry) -> sitk.Image:
    """Resample a mask with nearest neighbour, from the whole mask: exact ties fall as ITK lets them fall."""
    return _itk_resample(mask, grid, sitk.sitkNearestNeighbor, mask.GetPixelID())


def _itk_resample(image: sitk.Image, grid: Geometry, interpolator: int, pixel: int) -> sitk.Image:
    resampler = sitk.ResampleImageFilter()
    resampler.SetOutputSpacing(grid.spacing_mm)
    resampler.SetOutputDirection(grid.direction)
    resampler.SetSize(grid.size)
    resampler.SetOutputOrigin(grid.origin_mm)
    resampler.SetOutputPixelType(pixel)
    resampler.SetInterpolator(interpolator)
    return resampler.Execute(image)


def _empty_image(geometry: Geometry) -> sitk.Image:
    # One voxel serves: the conversions between index and space do not ask for the size.
    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    geometry.put_on(image)
    return image


def _region_needed(image: sitk.Image, grid: Geometry, margin: int) -> Box | None:
    corners = Geometry.of(image).to_index(grid.corners_mm())
    lower = np.floor(corners.min(axis=0)).astype(int)
    upper = np.ceil(corners.max(axis=0)).astype(int) + 1
    if np.any(upper <= 0) or np.any(lower >= image.GetSize()):
        return None
    low, up = (tuple(int(v) for v in corner) for corner in (lower, upper))
    return Box(low, up).padded(margin, image.GetSize())  # type: ignore[arg-type]


def _is_doubtful(values: NDArray[np.float64], image: sitk.Image, crop: sitk.Image, grid: Geometry) -> bool:
    """Tell whether rounding could change a stored voxel: near a step of the pixel type, or near the scan's end."""
    crop_values = sitk.GetArrayViewFromImage(crop)
    slack = _ROUNDING * max(1.0, float(np.abs([crop_values.max(), crop_values.min()]).max()))
    pixel = image.GetPixelID()
    if np.any(_truncate(values - slack, pixel) != _truncate(values + slack, pixel)):
        return True
    # Positions are affine in the index, so the distance to the scan's end is too: three outer sums give them all.
    frame = Geometry.of(image)
    origin = frame.to_index(grid.origin_mm)
    steps = [frame.to_index(grid.to_points(unit)) - origin for unit in np.eye(3)]
    x, y, z = (np.arange(n) for n in grid.size)
    for axis, n in enumerate(image.GetSize()):
        position = (
            origin[axis]
            + (steps[2][axis] * z)[:, None, None]
            + (steps[1][axis] * y)[None, :, None]
            + (steps[0][axis] * x)[None, None, :]
        )
        if np.any(np.minimum(np.abs(position + 0.5), np.abs(position - (n - 0.5))) < _BORDER):
            return True
    return False


def _truncate(values: NDArray[np.float64], pixel: int) -> NDArray[np.generic]:
    """Store doubles as ITK does: clamp to the pixel type's range, then cut towards zero (or round to 32 bits)."""
    dtype = np.dtype(_NUMPY[pixel])
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(values, limits.min, limits.max).astype(dtype)


_NUMPY = {
    sitk.sitkUInt8: "u1",
    sitk.sitkInt8: "i1",
    sitk.sitkUInt16: "u2",
    sitk.sitkInt16: "i2",
    sitk.sitkUInt32: "u4",
    sitk.sitkInt32: "i4",
    sitk.sitkFloat32: "f4",
    sitk.sitkFloat64: "f8",
}
