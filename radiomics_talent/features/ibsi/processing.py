"""A scan and a lesion become what IBSI's families look at (IBSI reference manual v11, chapter 2)."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import ExtractionError, GeometryError, MaskError
from radiomics_talent.features.ibsi.intensity_statistics import sorted_intensities
from radiomics_talent.features.ibsi.lesion import IbsiLesion
from radiomics_talent.features.ibsi.volume_histogram import VolumeHistogram
from radiomics_talent.features.prepared import Prepared
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.intensities import fixed_bin_number, fixed_bin_size, kept_intensities
from radiomics_talent.imaging.interpolation import aligned_grid, interpolated_image, interpolated_lesion, whole_hu

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.ibsi_settings import DiscretisationSettings, IbsiSettings
    from radiomics_talent.imaging.interpolation import AlignedGrid
    from radiomics_talent.imaging.lesion_voxels import LesionVoxels

MOST_LEVELS = 2**16
"""More grey levels than this are no discretisation: the bin width does not fit the image."""
_LONG = 1e9
MARGIN_MM = 7.0
"""Local intensity looks 6.2 mm about a voxel."""


def grid_of(scan: Geometry, settings: IbsiSettings) -> AlignedGrid:
    """Return the grid that the settings interpolate a scan to: its own if they do not."""
    asked = settings.interpolation
    return aligned_grid(scan, asked.spacing_mm if asked else (0, 0, 0), asked.grid if asked else "centre")


def interpolated_mask(lesion: LesionVoxels, settings: IbsiSettings) -> LesionVoxels | None:
    """Return a lesion on the grid that the settings interpolate its scan to; None where nothing is left of it."""
    asked = settings.interpolation
    if asked is None:
        return lesion
    return interpolated_lesion(
        lesion, grid_of(lesion.geometry, settings), asked.mask_interpolator, asked.mask_threshold
    )


def prepare_ibsi(image: sitk.Image, lesion: LesionVoxels, settings: IbsiSettings) -> Prepared:
    """Interpolate image and mask around a lesion, and round, as the settings say.

    Parameters
    ----------
    image : SimpleITK.Image
        The whole scan.
    lesion : LesionVoxels
        The lesion on the scan's grid.
    settings : IbsiSettings
        The settings.

    Returns
    -------
    Prepared
        The lesion's box and 7 mm about it.

    Raises
    ------
    MaskError
        Nothing is left of the lesion after interpolation.
    GeometryError
        The image is not finite there.
    """
    started = time.perf_counter()
    asked = settings.interpolation
    grid = grid_of(Geometry.of(image), settings)
    moved = interpolated_mask(lesion, settings)
    if moved is None:
        spacing = " × ".join(f"{s:g}" for s in grid.geometry.spacing_mm)
        raise MaskError(
            f"no voxel of the lesion is left after interpolation to {spacing} mm; it is smaller than the new voxels"
        )
    region = grid.geometry.around(moved.box, MARGIN_MM)
    values = interpolated_image(image, grid, region, asked.interpolator if asked else "nearest")
    box = moved.box.seen_from(region)
    looks_around = settings.features is None or "localintensity" in settings.features
    if looks_around:
        _check_finite(values, "in the lesion or next to it (within 7 mm, where local intensity looks)")
    _check_finite(values[box.slices_zyx], "in the lesion's box")
    if asked and asked.round_hu:
        values = whole_hu(values)
    part = sitk.GetImageFromArray(as_scans_are_stored(values) if asked and asked.round_hu else values)
    grid.geometry.crop(region).put_on(part)
    return Prepared(part, moved.crop(), box, time.perf_counter() - started)


def lesion_of(prepared: Prepared, settings: IbsiSettings) -> IbsiLesion:
    """Resegment and discretise a prepared lesion.

    Parameters
    ----------
    prepared : Prepared
        From `prepare_ibsi`, with the same settings.
    settings : IbsiSettings
        The settings.

    Raises
    ------
    MaskError
        Resegmentation leaves fewer voxels than the settings ask for, or none.
    ExtractionError
        There are more than `MOST_LEVELS` grey levels; or, without discretisation, intensities are no grey levels.
    """
    values = np.array(sitk.GetArrayViewFromImage(prepared.image), dtype=np.float64)
    morphological = sitk.GetArrayFromImage(prepared.mask) == 1
    inside = values[prepared.lesion.slices_zyx][morphological]
    keeps = settings.resegmentation
    low, high = keeps.range_hu or (None, None)
    kept = kept_intensities(inside, (low, high), keeps.outliers_sd)
    left = int(np.count_nonzero(kept))
    if left < settings.minimum_voxels:
        raise MaskError(_too_few(left, inside, settings))
    intensity = np.zeros_like(morphological)
    intensity[morphological] = kept
    levels = np.zeros(morphological.shape, dtype=np.int32)
    found = _levels(inside[kept], settings)
    levels[intensity] = found
    x, y, z = prepared.image.GetSpacing()
    return IbsiLesion(
        image_zyx=values,
        box=prepared.lesion,
        spacing_xyz=(x, y, z),
        morphological_zyx=morphological,
        intensity_zyx=intensity,
        levels_zyx=levels,
        n_levels=int(found.max()),
    )


def as_scans_are_stored(whole: NDArray[np.float64]) -> NDArray[Any]:
    """Return whole HU as 16-bit integers, a quarter of the size, where they fit."""
    limits = np.iinfo(np.int16)
    fits = whole.size > 0 and whole.min() >= limits.min and whole.max() <= limits.max
    return whole.astype(np.int16) if fits else whole


def _check_finite(values: NDArray[np.float64], where: str) -> None:
    count = int(np.count_nonzero(~np.isfinite(values)))
    if count:
        raise GeometryError(f"the image holds {count} NaN or infinite values {where}; export or convert the scan again")


def _too_few(left: int, inside: NDArray[np.float64], settings: IbsiSettings) -> str:
    needed = f"at least {settings.minimum_voxels} are needed (minimum_voxels)"
    if left == inside.size:
        return f"the lesion has {left} voxels, {needed}; leave it out"
    return (
        f"resegmentation leaves {left} of {inside.size} voxels, {needed}; intensities are {inside.min():g} to "
        f"{inside.max():g}: widen ibsi.resegmentation, or leave the lesion out"
    )


def volume_histogram_of(lesion: IbsiLesion, settings: IbsiSettings) -> VolumeHistogram:
    """Return the intensity-volume histogram of a lesion in the levels that the settings ask for.

    The range of levels is that of ``resegmentation.range_hu``, where it is given, else the lesion's own.

    Raises
    ------
    ExtractionError
        There are more than `MOST_LEVELS` levels; or, without discretisation, intensities are not whole.
    """
    values = sorted_intensities(lesion)
    asked = settings.ivh_discretisation
    low, high = settings.resegmentation.range_hu or (None, None)
    if asked is None:
        odd = values[values != np.rint(values)]
        if odd.size:
            raise ExtractionError(
                f"without ibsi.ivh_discretisation every whole intensity is a level of the intensity-volume histogram, "
                f"but one is {odd[0]:g}; set ibsi.ivh_discretisation, or leave ivh out of ibsi.features"
            )
        lowest = float(values.min()) if low is None else float(low)
        highest = float(values.max()) if high is None else float(high)
        without = "the intensity-volume histogram with every whole intensity as a level"
        _check_number(highest - lowest + 1, without, "set ibsi.ivh_discretisation, narrow ibsi.resegmentation.range_hu")
        return VolumeHistogram(values, lowest, highest, 1.0)
    levels = _discretised(values, asked, settings)
    _check_number(float(levels.max()), "ibsi.ivh_discretisation")
    if asked.bin_count is not None:
        return VolumeHistogram(levels, 1.0, float(asked.bin_count), 1.0)
    width, start = float(asked.bin_width or 0), settings.lowest_of(asked) or 0.0
    number = float(levels.max()) if high is None else math.ceil(round((high - start) / width, 9))
    first = start + 0.5 * width
    return VolumeHistogram(first + (levels - 1) * width, first, first + (number - 1) * width, width)


def _levels(values: NDArray[np.float64], settings: IbsiSettings) -> NDArray[np.float64]:
    """Return the grey level of each intensity."""
    asked = settings.discretisation
    if asked is None:
        odd = values[(values < 1) | (values != np.rint(values))]
        if odd.size:
            raise ExtractionError(
                f"without ibsi.discretisation intensities are grey levels, whole numbers from 1 on, but one is "
                f"{odd[0]:g}; set ibsi.discretisation"
            )
        levels = values
    else:
        levels = _discretised(values, asked, settings)
    _check_number(float(levels.max()), "ibsi.discretisation")
    return levels


def _discretised(
    values: NDArray[np.float64], asked: DiscretisationSettings, settings: IbsiSettings
) -> NDArray[np.float64]:
    if asked.bin_count is not None:
        return fixed_bin_number(values, asked.bin_count)
    lowest, width = settings.lowest_of(asked), asked.bin_width
    assert lowest is not None, "the settings have been validated"
    assert width is not None, "the settings have been validated"
    if values.min() < lowest:
        raise ExtractionError(
            f"the lesion has intensities down to {values.min():g}, below the first grey level ({lowest:g}); lower "
            "lowest_hu, or leave such voxels out with ibsi.resegmentation.range_hu"
        )
    return fixed_bin_size(values, width, lowest)


def _check_number(levels: float, section: str, remedy: str = "raise bin_width, set bin_count") -> None:
    if levels > MOST_LEVELS:
        number = f"{levels:.0f}" if levels < _LONG else f"{levels:.1e}"
        raise ExtractionError(
            f"{section} gives {number} grey levels (at most {MOST_LEVELS}); {remedy}, or see whether the image is in HU"
        )
