"""Putting an irregular stack of slices on a regular grid, where the settings ask for it (linear interpolation).

Arrays are (z, y, x). An integer array stays one: interpolated HU are rounded to whole numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Voxels = NDArray[Any]


def interpolate_slices(volume: Voxels, along_mm: NDArray[np.float64], wanted_mm: NDArray[np.floating[Any]]) -> Voxels:
    """Interpolate the slices of `volume`, which lie at `along_mm`, at the ascending positions `wanted_mm`."""
    above = np.clip(np.searchsorted(along_mm, wanted_mm), 1, len(along_mm) - 1)
    below = above - 1
    weight = np.clip((wanted_mm - along_mm[below]) / (along_mm[above] - along_mm[below]), 0.0, 1.0)
    result = np.empty((len(wanted_mm), *volume.shape[1:]), dtype=volume.dtype)
    for i, (low, high, w) in enumerate(zip(below, above, weight, strict=True)):
        # A slice that is there keeps its values to the bit.
        if w in {0.0, 1.0}:
            result[i] = volume[high if w else low]
        else:
            mean = volume[low].astype(np.float64) * (1 - w) + volume[high].astype(np.float64) * w
            result[i] = _as_type(mean, volume.dtype)
    return result


def straighten(
    volume: Voxels, sideways_mm: NDArray[np.float64], spacing_xy_mm: tuple[float, float]
) -> tuple[Voxels, tuple[int, int]]:
    """Shift each slice in its plane so that a sheared stack becomes an upright one.

    Parameters
    ----------
    volume : ndarray
        Slices as scanned.
    sideways_mm : ndarray, shape (n, 2)
        Shift (x, y) of each slice's first voxel against the first slice's.
    spacing_xy_mm : tuple of float
        Distance of voxels along x and y.

    Returns
    -------
    volume : ndarray
        Upright slices, wide enough to hold every voxel; the lowest value of the volume fills the rest.
    offset : tuple of int
        Index (x, y) of the new first voxel on the grid of the first slice; not above 0.
    """
    shift = sideways_mm / np.asarray(spacing_xy_mm)
    low = np.floor(shift.min(axis=0) + 1e-6).astype(int)
    high = np.ceil(shift.max(axis=0) - 1e-6).astype(int)
    size = [int(n) for n in (volume.shape[2] + high[0] - low[0], volume.shape[1] + high[1] - low[1])]
    background = float(volume.min())
    result = np.empty((len(volume), size[1], size[0]), dtype=volume.dtype)
    for i, one in enumerate(volume):
        source = sitk.GetImageFromArray(one.astype(np.float64))
        move = sitk.TranslationTransform(2, [float(n) for n in low - shift[i]])
        moved = sitk.Resample(
            source, size, move, sitk.sitkLinear, (0.0, 0.0), (1.0, 1.0), (1.0, 0.0, 0.0, 1.0), background
        )
        result[i] = _as_type(sitk.GetArrayViewFromImage(moved), volume.dtype)
    return result, (int(low[0]), int(low[1]))


def _as_type(values: Voxels, dtype: np.dtype[Any]) -> Voxels:
    return (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)
