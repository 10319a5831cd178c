"""Negative controls: the same lesion with its voxels, or those of its surroundings, put out of order or made up.

What a model still foretells from them, it did not learn from the arrangement of those voxels. Definitions are those of
READII (Haibe-Kains laboratory; shuffled, randomized_sampled and randomized, of the ROI and of what is not ROI); here
they act on the image that features are computed on, and the surroundings end at a distance. Welch et al., Radiother
Oncol 2019;130:2, showed the need.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from radiomics_talent.features.ibsi.processing import lesion_of
from radiomics_talent.features.prepared import Prepared, resegmented

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box
    from radiomics_talent.robustness_settings import Control
    from radiomics_talent.settings import ExtractionSettings


def controlled(
    prepared: Prepared,
    settings: ExtractionSettings,
    control: Control,
    surroundings_mm: float,
    rng: np.random.Generator,
) -> Prepared:
    """Return a prepared lesion of which a control has replaced the voxels.

    A control acts after resampling. So a shuffled lesion keeps its histogram to the last voxel and its first-order
    features up to the order of summation, and loses its texture wholly: resampled afterwards it would lose part of the
    one and get some of the other back.

    Controls of the lesion look at the voxels that its texture is computed from, after resegmentation; voxels of the
    contour that resegmentation leaves out stay as they are. With limits in HU the resegmented lesion is the same set
    of voxels in every control; limits that depend on the lesion's own intensities (``resegmentMode`` relative or
    sigma, ``outliers_sd``) are computed anew and may keep other voxels.

    Parameters
    ----------
    prepared : Prepared
        From `radiomics_talent.features.engine.prepare`; it is left as it is.
    settings : ExtractionSettings
        The same settings.
    control : str
        ``roi_shuffled`` exchanges the voxels of the lesion, ``roi_sampled`` draws each with replacement from all of
        them, ``roi_noise`` draws each evenly between their least and largest. ``surroundings_...`` do the same to the
        voxels outside of the contour within `surroundings_mm` of it.
    surroundings_mm : float
        Where the surroundings end, in mm from the nearest voxel of the contour. They end with the prepared image, too.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    Prepared
        The pixel type is kept. Where no feature looks outside of the lesion, the image is no more than the lesion's
        box (with a control of the surroundings, the surroundings' box): the rest of the scan is not needed.

    Raises
    ------
    MaskError
        Resegmentation leaves too little of the lesion.

    See Also
    --------
    surroundings_matter : Whether controls of the surroundings can change any feature at all.
    """
    started = time.perf_counter()
    part, manner = control.split("_")
    box, chosen_zyx = _lesion(prepared, settings) if part == "roi" else _surroundings(prepared, surroundings_mm)
    values = sitk.GetArrayFromImage(box.cut(prepared.image))
    values[chosen_zyx] = _replaced(values[chosen_zyx], manner, rng)
    image, lesion = sitk.GetImageFromArray(values), prepared.lesion
    if surroundings_matter(settings):
        image = sitk.Paste(prepared.image, image, box.size, destinationIndex=box.lower)
    else:
        image.CopyInformation(box.cut(prepared.image))
        lesion = lesion.seen_from(box)
    return Prepared(image, prepared.mask, lesion, time.perf_counter() - started)


def surroundings_matter(settings: ExtractionSettings) -> bool:
    """Tell whether any feature looks outside of the lesion.

    Filters do, and IBSI's local intensity. Every other feature is the same to the last bit whatever surrounds the
    lesion: a control of the surroundings then says nothing.

    Parameters
    ----------
    settings : ExtractionSettings
        The settings.
    """
    if settings.ibsi is not None:
        return settings.ibsi.features is None or "localintensity" in settings.ibsi.features
    return set(settings.imageType) != {"Original"}


def _lesion(prepared: Prepared, settings: ExtractionSettings) -> tuple[Box, NDArray[np.bool_]]:
    """Return the lesion's box and the voxels in it that texture looks at."""
    if settings.ibsi is not None:
        return prepared.lesion, lesion_of(prepared, settings.ibsi).intensity_zyx
    left = resegmented(prepared, settings)
    texture = np.zeros(prepared.lesion.size[::-1], dtype=np.bool_)
    texture[left.box.seen_from(prepared.lesion).slices_zyx] = left.texture_zyx
    return prepared.lesion, texture


def _surroundings(prepared: Prepared, reach_mm: float) -> tuple[Box, NDArray[np.bool_]]:
    """Return a box about the lesion and the voxels in it that are outside of the contour, within `reach_mm` of it."""
    spacing_xyz = prepared.image.GetSpacing()
    x, y, z = (math.ceil(reach_mm / s) for s in spacing_xyz)
    box = prepared.lesion.padded((x, y, z), prepared.image.GetSize())
    outside = np.ones(box.size[::-1], dtype=np.bool_)
    outside[prepared.lesion.seen_from(box).slices_zyx] = sitk.GetArrayViewFromImage(prepared.mask) != 1
    distance_mm = ndimage.distance_transform_edt(outside, sampling=spacing_xyz[::-1])
    # A scan may hold NaN where it was not measured.
    known = np.isfinite(sitk.GetArrayViewFromImage(prepared.image)[box.slices_zyx])
    return box, outside & (distance_mm <= reach_mm) & known


def _replaced(values: NDArray[Any], manner: str, rng: np.random.Generator) -> NDArray[Any]:
    """Return as many values of the same type, put out of order or drawn anew."""
    if values.size == 0:  # the lesion fills the image
        return values
    if manner == "shuffled":
        return rng.permutation(values)
    if manner == "sampled":
        return rng.choice(values, values.size)
    low, high = values.min(), values.max()
    if np.issubdtype(values.dtype, np.integer):
        return np.asarray(rng.integers(low, high, values.size, dtype=values.dtype, endpoint=True))
    return np.asarray(rng.uniform(low, high, values.size).astype(values.dtype))
