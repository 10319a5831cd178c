"""Negative controls: the same scan with the voxels of a lesion, or those about it, put out of order or made up.

What a model still foretells from them, it did not learn from the arrangement of those voxels. Definitions are those of
READII (Haibe-Kains laboratory; shuffled, randomized_sampled and randomized, of the ROI and of what is not ROI); here
resegmentation is heeded, and the surroundings end at a distance. Welch et al., Radiother Oncol 2019;130:2, showed the
need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from radiomics_talent.imaging.intensities import kept_intensities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.imaging.geometry import Box
    from radiomics_talent.imaging.lesion_voxels import LesionVoxels
    from radiomics_talent.robustness_settings import Control
    from radiomics_talent.settings import ExtractionSettings


def controlled(
    image: sitk.Image,
    lesion: LesionVoxels,
    settings: ExtractionSettings,
    control: Control,
    surroundings_mm: float,
    rng: np.random.Generator,
) -> sitk.Image:
    """Return a scan of which a control has replaced voxels; its features are those of `engine.extract`.

    A control acts on the scan's own voxels, before anything is resampled. Resampling averages neighbours, so a fine
    texture comes out of it with a smaller variance than a coarse one: shuffled only afterwards, a lesion would keep
    that variance, and with it a signal of texture. Shuffled before, all lesions lose the same share of it.

    So a shuffled lesion keeps the values of its voxels on the scan. Where the settings do not resample, its
    first-order features are the original's up to the order of summation; where they do, those that measure spread
    fall, as the averages of unrelated neighbours lie closer together, and those of the middle stay nearly the same.

    Parameters
    ----------
    image : SimpleITK.Image
        The scan, 3D; it is left as it is.
    lesion : LesionVoxels
        The lesion on the scan's grid.
    settings : ExtractionSettings
        Where they keep a range of HU (``resegmentRange`` with ``resegmentMode: absolute`` and without ``normalize``;
        ``ibsi.resegmentation.range_hu``), only voxels of the lesion within it take part: fat and calcification at the
        rim stay where they are, and are not carried into the lesion.
    control : str
        ``roi_shuffled`` exchanges the voxels of the lesion, ``roi_sampled`` draws each with replacement from all of
        them, ``roi_noise`` draws each evenly between their least and largest. ``surroundings_...`` do the same to the
        voxels outside of the lesion within `surroundings_mm` of it.
    surroundings_mm : float
        Where the surroundings end, in mm from the nearest voxel of the lesion. They end with the scan, too.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    SimpleITK.Image
        The whole scan with its pixel type. Voxels that are not finite stay. Where no voxel may be replaced (nothing
        within the range, nothing around the lesion), a copy.

    See Also
    --------
    surroundings_matter : Whether controls of the surroundings can change any feature at all.
    """
    part, manner = control.split("_")
    box, chosen_zyx = _surroundings(lesion, surroundings_mm) if part != "roi" else (lesion.box, lesion.voxels_zyx)
    values = sitk.GetArrayViewFromImage(image)[box.slices_zyx].copy()
    # A scan may hold NaN where it was not measured.
    chosen_zyx = chosen_zyx & np.isfinite(values)
    if part == "roi":
        chosen_zyx &= kept_intensities(values, _range_hu(settings), None)
    values[chosen_zyx] = _replaced(values[chosen_zyx], manner, rng)
    return sitk.Paste(image, sitk.GetImageFromArray(values), box.size, destinationIndex=box.lower)


def surroundings_matter(settings: ExtractionSettings) -> bool:
    """Tell whether voxels outside of the lesion may change any feature.

    They do where a feature looks there (`looks_outside`), and a little at the rim where voxels are interpolated:
    values inside of the contour then hold a part of values outside. ``normalize`` scales by the whole scan. Otherwise
    every feature is the same to the last bit whatever surrounds the lesion, and its controls need not be computed.

    Parameters
    ----------
    settings : ExtractionSettings
        The settings. Where they resample to the spacing that a scan has already, nothing changes either; that is
        known only when it has been computed.
    """
    if looks_outside(settings) or settings.new_spacing_mm is not None:
        return True
    return settings.ibsi is None and settings.setting.normalize


def looks_outside(settings: ExtractionSettings) -> bool:
    """Tell whether any feature looks outside of the lesion by itself: of a filter's image, or IBSI's local intensity.

    Parameters
    ----------
    settings : ExtractionSettings
        The settings.
    """
    if settings.ibsi is not None:
        return settings.ibsi.features is None or "localintensity" in settings.ibsi.features
    return set(settings.imageType) != {"Original"}


def _range_hu(settings: ExtractionSettings) -> tuple[float | None, float | None] | None:
    """Return the range of the scan's own values that stays in a lesion, None where it depends on the lesion or scan."""
    if settings.ibsi is not None:
        lowest, highest = settings.ibsi.resegmentation.range_hu or (None, None)
        return lowest, highest
    setting = settings.setting
    if setting.resegmentRange is None or setting.resegmentMode != "absolute" or setting.normalize:
        return None
    low, *high = sorted(setting.resegmentRange)
    return low, high[0] if high else None


def _surroundings(lesion: LesionVoxels, reach_mm: float) -> tuple[Box, NDArray[np.bool_]]:
    """Return a box about the lesion and the voxels in it that are outside of the lesion, within `reach_mm` of it."""
    grid = lesion.geometry
    box = grid.around(lesion.box, reach_mm)
    outside = np.ones(box.size[::-1], dtype=np.bool_)
    outside[lesion.box.seen_from(box).slices_zyx] = ~lesion.voxels_zyx
    distance_mm = ndimage.distance_transform_edt(outside, sampling=grid.spacing_mm[::-1])
    return box, outside & (distance_mm <= reach_mm)


def _replaced(values: NDArray[Any], manner: str, rng: np.random.Generator) -> NDArray[Any]:
    """Return as many values of the same type, put out of order or drawn anew."""
    if values.size == 0:  # nothing within the range, or the lesion fills the scan
        return values
    if manner == "shuffled":
        return rng.permutation(values)
    if manner == "sampled":
        return rng.choice(values, values.size)
    low, high = values.min(), values.max()
    if np.issubdtype(values.dtype, np.integer):
        return np.asarray(rng.integers(low, high, values.size, dtype=values.dtype, endpoint=True))
    return np.asarray(rng.uniform(low, high, values.size).astype(values.dtype))
