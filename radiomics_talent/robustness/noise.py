"""The scan's own noise: how much there is about a lesion, and as much again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pywt
import SimpleITK as sitk
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOFT_TISSUE_HU = (-200.0, 300.0)
"""Where noise is looked for: air is cut off at the lowest value, and bone and metal are mostly edges."""
_MEDIAN_OF_NORMAL = 0.6744897501960817
"""Median of the absolute value of a standard normal number."""
_FEWEST_VOXELS = 500


def noise_sd_hu(image_zyx: NDArray[np.generic]) -> float:
    """Estimate the standard deviation of the noise of a part of a scan.

    Zwanenburg et al. (Sci Rep 2019;9:614) estimate it as the median absolute value of the image after a high-pass
    filter of the coiflet ``coif1`` along both axes of the slices, over that of a standard normal number (Donoho and
    Johnstone, Biometrika 1994;81:425). The squares of the filter sum to 1, so white noise keeps its standard deviation;
    edges are few and leave the median as it is. CT noise is correlated by the reconstruction kernel, and of that this
    sees the part at the pixel's own scale.

    Parameters
    ----------
    image_zyx : ndarray, shape (z, y, x)
        HU: the lesion and what lies about it.

    Returns
    -------
    float
        HU. Of the voxels whose whole filter lies in soft tissue (-200 to 300 HU); where those are fewer
        than 500, of all voxels but those whose filter sees one value only, as in air that is cut off. Filters that meet
        NaN or infinity do not count. 0 for a constant image, and for slices of fewer pixels than the filter is long.
    """
    filter_high = np.asarray(pywt.Wavelet("coif1").dec_hi)
    reach = len(filter_high)
    finite = np.isfinite(image_zyx)
    if min(image_zyx.shape[1:]) < reach or not finite.any():
        return 0.0
    values = image_zyx.astype(np.float64)
    values -= (level := np.median(values[finite]))  # the filter sums to zero but for rounding
    values[~finite] = 0.0
    detail = ndimage.correlate1d(ndimage.correlate1d(values, filter_high, axis=1), filter_high, axis=2)
    low, high = SOFT_TISSUE_HU[0] - level, SOFT_TISSUE_HU[1] - level
    size = (1, reach, reach)
    seen = ndimage.minimum_filter(finite & (values >= low) & (values <= high), size=size)
    if np.count_nonzero(seen) < _FEWEST_VOXELS:
        seen = ndimage.maximum_filter(values, size=size) > ndimage.minimum_filter(values, size=size)
        seen &= ndimage.minimum_filter(finite, size=size)
        if not seen.any():
            return 0.0
    chosen = detail[seen]
    return float(np.median(np.abs(chosen)) / _MEDIAN_OF_NORMAL)


def with_noise(image: sitk.Image, sd_hu: float, rng: np.random.Generator) -> sitk.Image:
    """Add white Gaussian noise.

    Parameters
    ----------
    image : SimpleITK.Image
        The scan or a part of it.
    sd_hu : float
        Standard deviation in HU; 0 returns the very same image.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    SimpleITK.Image
        Of the same pixel type: whole numbers are rounded and kept within the type. The noise is independent from voxel
        to voxel, finer than that of a reconstruction kernel, so its effect on texture is rather more than a scanner's.
    """
    if sd_hu == 0:
        return image
    values = sitk.GetArrayFromImage(image)
    noisy = rng.standard_normal(values.shape, dtype=np.float32)
    noisy *= np.float32(sd_hu)
    return changed(image, values + noisy)


def shifted(image: sitk.Image, shift_hu: float) -> sitk.Image:
    """Add the same to every voxel; 0 returns the very same image. Scans of whole HU are shifted by whole HU."""
    if shift_hu == 0:
        return image
    return changed(image, sitk.GetArrayFromImage(image).astype(np.float64) + shift_hu)


def changed(image: sitk.Image, values_zyx: NDArray[np.floating]) -> sitk.Image:
    """Return other values in the place and of the pixel type of an image; whole numbers are rounded and clamped."""
    dtype = sitk.GetArrayViewFromImage(image).dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values_zyx = np.clip(np.rint(values_zyx), limits.min, limits.max)
    result = sitk.GetImageFromArray(values_zyx.astype(dtype))
    result.CopyInformation(image)
    return result
