"""Thicker slices of the same scan: each the mean of the thinner ones that it covers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import MaskError
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLACK = 1e-9
"""What rounding may take from a half."""


def thicker(
    image: sitk.Image, lesion: LesionVoxels, thickness_mm: float, phase: float
) -> tuple[sitk.Image, LesionVoxels]:
    """Average a scan and its lesion into thicker, contiguous slices (a box profile).

    Parameters
    ----------
    image : SimpleITK.Image
        The scan, or a part of it; slices are its third axis.
    lesion : LesionVoxels
        The lesion on the image's own grid.
    thickness_mm : float
        Of the new slices, and the distance between them.
    phase : float
        Share of the first new slice (0 to 1, 1 excluded) that lies before the image's begin.

    Returns
    -------
    SimpleITK.Image, LesionVoxels
        On the new grid. Whole HU stay whole, by rounding; a voxel belongs to the lesion where it covers at least half
        of it, what lies beyond the image not being lesion. Slices at both ends are the mean of what the image has of
        them. The very same objects where the image's slices are as thick already.

    Raises
    ------
    MaskError
        The lesion is less than half a slice anywhere.
    """
    old_mm = lesion.geometry.spacing_mm[2]
    if thickness_mm <= old_mm:
        return image, lesion
    count = lesion.geometry.size[2]
    first_mm = -phase * thickness_mm
    number = max(1, math.ceil((count * old_mm - first_mm) / thickness_mm - _SLACK))
    overlap_mm = _overlap_mm(count, old_mm, number, thickness_mm, first_mm)
    geometry = _geometry(lesion.geometry, number, thickness_mm, first_mm)
    values = sitk.GetArrayViewFromImage(image)
    averaged = _averaged(overlap_mm / overlap_mm.sum(axis=1, keepdims=True), values)
    if values.dtype.kind in "iu":
        averaged = np.rint(averaged)
    thick = sitk.GetImageFromArray(averaged.astype(values.dtype))
    geometry.put_on(thick)
    (x, y, z), (x_end, y_end, z_end) = lesion.box.lower, lesion.box.upper
    covered = _averaged(overlap_mm[:, z:z_end] / thickness_mm, lesion.voxels_zyx) >= 0.5 - _SLACK
    mask = np.zeros(geometry.size[::-1], dtype=np.bool_)
    mask[:, y:y_end, x:x_end] = covered
    found = LesionVoxels.of(mask, geometry)
    if found is None:
        raise MaskError(f"the lesion is less than half a slice of {thickness_mm:.3g} mm everywhere")
    return thick, found


def _averaged(shares: NDArray[np.float64], values_zyx: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the weighted sums of slices, in their order: those of a matrix product depend on its threads."""
    averaged = np.zeros((len(shares), *values_zyx.shape[1:]))
    for new, old in np.argwhere(shares):
        averaged[new] += shares[new, old] * values_zyx[old]
    return averaged


def _overlap_mm(count: int, old_mm: float, number: int, new_mm: float, first_mm: float) -> NDArray[np.float64]:
    """Return how much of each new slice each old one covers, (new, old)."""
    old = np.arange(count) * old_mm
    new = first_mm + np.arange(number)[:, None] * new_mm
    overlap = np.minimum(old + old_mm, new + new_mm) - np.maximum(old, new)
    return np.asarray(np.clip(overlap, 0.0, None))


def _geometry(old: Geometry, number: int, thickness_mm: float, first_mm: float) -> Geometry:
    centre = (first_mm + 0.5 * thickness_mm) / old.spacing_mm[2] - 0.5
    x, y, z = old.to_points((0.0, 0.0, centre)).tolist()
    size, spacing = (*old.size[:2], number), (*old.spacing_mm[:2], thickness_mm)
    return Geometry(size, spacing, (x, y, z), old.direction)
