"""Whether a lesion is as large as the settings ask, counted as extraction will count it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.features.ibsi.processing import interpolated_mask
from radiomics_talent.findings import Finding
from radiomics_talent.imaging.lesion_voxels import nearest_voxels
from radiomics_talent.imaging.preprocess import resampling_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.ibsi_settings import IbsiSettings
    from radiomics_talent.imaging.lesion_voxels import LesionVoxels
    from radiomics_talent.settings import ExtractionSettings

_SURELY_LARGE = 4
"""A lesion of so many times the voxels needed, by its volume, is not counted after resampling ..."""
_SURELY_WIDE = 3
"""... if it is so many new voxels wide along each axis."""


def inspect_size(lesion: LesionVoxels, settings: ExtractionSettings, where: str) -> tuple[Finding, ...]:
    """Report a lesion with fewer voxels or dimensions than the settings need.

    Parameters
    ----------
    lesion : LesionVoxels
        The lesion on the grid of the scan.
    settings : ExtractionSettings
        `minimumROISize`, `minimumROIDimensions` (`minimum_voxels` of IBSI's chain) and the resampling before which
        they do not count.
    where : str
        Put into the findings.
    """
    voxels = lesion.voxels_zyx
    if lesion.count == 1:
        sentence = "the lesion is a single voxel, of which there is no texture or shape; leave it out"
        return (Finding("too-few-voxels", sentence, where),)
    if settings.ibsi is not None:
        return _inspect_ibsi(lesion, settings.ibsi, where)
    if settings.resamples:
        if _is_surely_large(lesion, settings):
            return ()
        voxels = _resampled(lesion, settings)
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


def _inspect_ibsi(lesion: LesionVoxels, settings: IbsiSettings, where: str) -> tuple[Finding, ...]:
    moved = interpolated_mask(lesion, settings)
    count, when = 0 if moved is None else moved.count, " after interpolation" if settings.interpolation else ""
    if count >= settings.minimum_voxels:
        return ()
    sentence = f"the lesion has {count} voxels{when}, at least {settings.minimum_voxels} are needed (minimum_voxels)"
    return (Finding("too-few-voxels", sentence, where),)


def _is_surely_large(lesion: LesionVoxels, settings: ExtractionSettings) -> bool:
    old = np.asarray(lesion.geometry.spacing_mm)
    wanted = np.asarray(settings.setting.resampledPixelSpacing or (0.0, 0.0, 0.0))
    new = np.where(wanted == 0, old, wanted)
    fewest = settings.setting.minimumROISize or 1
    enough = lesion.count * np.prod(old / new) > _SURELY_LARGE * fewest
    return bool(enough and (np.asarray(lesion.box.size) * old / new >= _SURELY_WIDE).all())


def _resampled(lesion: LesionVoxels, settings: ExtractionSettings) -> NDArray[np.bool_]:
    """Resample the lesion as extraction does; empty when no voxel is left."""
    setting = settings.setting
    grid = resampling_grid(
        lesion.geometry, lesion.geometry, lesion.box, setting.resampledPixelSpacing or (), setting.padDistance
    )
    if not grid.interpolates:
        return lesion.voxels_zyx
    moved = nearest_voxels(lesion, grid.geometry)
    return lesion.voxels_zyx[:0, :0, :0] if moved is None else moved.voxels_zyx
