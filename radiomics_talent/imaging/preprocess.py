"""Image processing before features, as PyRadiomics does it, at the cost of the lesion and not of the scan.

PyRadiomics resamples onto a grid of its own (aligned with the corner of the mask's image) but prepares the cubic
spline on the whole scan for every lesion. `radiomics_talent.imaging.spline` gives the same bits from the lesion's
surroundings. Linear and nearest neighbour look at no more than they need in ITK itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.spline import cubic_spline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box


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
        A SimpleITK interpolator. The cubic B-spline is computed here, around the grid alone; where its bits are not
        known (see `cubic_spline`), and for every other interpolator, ITK does the work.

    Returns
    -------
    SimpleITK.Image
        Same pixel type as `image`; 0 outside of it.
    """
    pixel = image.GetPixelID()
    if interpolator == sitk.sitkBSpline and pixel in _NUMPY:
        values = cubic_spline(sitk.GetArrayViewFromImage(image), Geometry.of(image), grid)
        if values is not None:
            result = sitk.GetImageFromArray(_store(values, pixel))
            grid.put_on(result)
            return result
    return _itk_resample(image, grid, interpolator)


def nearest_on(mask: sitk.Image, grid: Geometry) -> sitk.Image:
    """Resample a mask with nearest neighbour, from the whole mask: exact ties fall as ITK lets them fall."""
    return _itk_resample(mask, grid, sitk.sitkNearestNeighbor)


def _itk_resample(image: sitk.Image, grid: Geometry, interpolator: int) -> sitk.Image:
    resampler = sitk.ResampleImageFilter()
    resampler.SetOutputSpacing(grid.spacing_mm)
    resampler.SetOutputDirection(grid.direction)
    resampler.SetSize(grid.size)
    resampler.SetOutputOrigin(grid.origin_mm)
    resampler.SetOutputPixelType(image.GetPixelID())
    resampler.SetInterpolator(interpolator)
    return resampler.Execute(image)


def _empty_image(geometry: Geometry) -> sitk.Image:
    # One voxel serves: the conversions between index and space do not ask for the size.
    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    geometry.put_on(image)
    return image


def _store(values: NDArray[np.float64], pixel: int) -> NDArray[np.generic]:
    """Store doubles as ITK does: clamp to the pixel type's range, then cut towards zero (or round to 32 bits)."""
    dtype = np.dtype(_NUMPY[pixel])
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
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
