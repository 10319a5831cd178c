"""Whether a lesion is as large as the settings ask, counted as extraction will count it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.findings import Finding
from radiomics_talent.imaging.geometry import Box
from radiomics_talent.imaging.preprocess import nearest_on, resampling_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Geometry
    from radiomics_talent.settings import ExtractionSettings

_SURELY_LARGE = 4
"""A lesion of so many times the voxels needed, by its volume, is not counted after resampling ..."""
_SURELY_WIDE = 3
"""... if it is so many new voxels wide along each axis."""


def inspect_size(
    mask_zyx: NDArray[np.bool_], box: Box, geometry: Geometry, settings: ExtractionSettings, where: str
) -> tuple[Finding, ...]:
    """Report a lesion with fewer voxels or dimensions than the settings need.

    Parameters
    ----------
    mask_zyx : ndarray of bool
        (z, y, x), the lesion on the grid of the scan.
    box : Box
        Around the lesion.
    geometry : Geometry
        Grid of the scan.
    settings : ExtractionSettings
        `minimumROISize`, `minimumROIDimensions` and the resampling before which they do not count.
    where : str
        Put into the findings.
    """
    voxels = mask_zyx[box.slices_zyx]
    if int(np.count_nonzero(voxels)) == 1:
        sentence = "the lesion is a single voxel, of which there is no texture or shape; leave it out"
        return (Finding("too-few-voxels", sentence, where),)
    if settings.resamples:
        if _is_surely_large(voxels, box, geometry, settings):
            return ()
        voxels = _resampled(mask_zyx, box, geometry, settings)
    when = " after resampling" if settings.resamples else ""
    findings = []
    dimensions = sum(n > 1 for n in voxels.shape)
    needed = settings.setting.minimumROIDimensions
    if dimensions < needed:
        sentence = (
            f"the lesion is larger than one voxel in only {dimensions} dimensions{when}, {needed} are needed "
            "(minimumROIDimensions); leave it out, or draw it on more slices"
        )
        findings.append(Finding("too-few-voxels", sentence, where))
    fewest = settings.setting.minimumROISize
    count = int(np.count_nonzero(voxels))
    if fewest is not None and count <= fewest:
        sentence = f"the lesion has {count} voxels{when}, more than {fewest} are needed (minimumROISize)"
        findings.append(Finding("too-few-voxels", sentence, where))
    return tuple(findings)


def _is_surely_large(voxels: NDArray[np.bool_], box: Box, geometry: Geometry, settings: ExtractionSettings) -> bool:
    old = np.asarray(geometry.spacing_mm)
    wanted = np.asarray(settings.setting.resampledPixelSpacing or (0.0, 0.0, 0.0))
    new = np.where(wanted == 0, old, wanted)
    fewest = settings.setting.minimumROISize or 1
    enough = np.count_nonzero(voxels) * np.prod(old / new) > _SURELY_LARGE * fewest
    return bool(enough and (np.asarray(box.size) * old / new >= _SURELY_WIDE).all())


def _resampled(
    mask_zyx: NDArray[np.bool_], box: Box, geometry: Geometry, settings: ExtractionSettings
) -> NDArray[np.bool_]:
    """Resample the lesion as extraction does; empty when no voxel is left."""
    setting = settings.setting
    grid = resampling_grid(geometry, geometry, box, setting.resampledPixelSpacing or (), setting.padDistance)
    if not grid.interpolates:
        return mask_zyx[box.slices_zyx]
    mask = sitk.GetImageFromArray(mask_zyx.astype(np.uint8))
    geometry.put_on(mask)
    moved = nearest_on(mask, grid.geometry)
    found = np.asarray(sitk.GetArrayFromImage(moved) > 0)
    left = Box.around(found)
    return found[:0, :0, :0] if left is None else found[left.slices_zyx]
