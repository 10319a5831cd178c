"""A scan and a lesion become what features are computed on, with the bits of PyRadiomics' ``loadImage``.

Both engines take it from here: normalised, resampled or cropped, checked, and resegmented.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import ExtractionError, GeometryError, MaskError
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels, nearest_voxels
from radiomics_talent.imaging.preprocess import resample, resampling_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.settings import ExtractionSettings, PyRadiomicsSettings

MOST_GREY_LEVELS = 2048
"""Above this a GLCM alone takes 0.4 GiB: the bin width does not fit the image, so the lesion is refused."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What features are computed on.

    Attributes
    ----------
    image : SimpleITK.Image
        Resampled: the lesion and its pad. Otherwise the whole (normalised) scan, or its crop with ``preCrop``.
    mask : SimpleITK.Image
        The lesion (1) inside `lesion`, on the image's grid.
    lesion : Box
        The lesion's box in `image`.
    seconds : float
        Time that preparing took.
    """

    image: sitk.Image
    mask: sitk.Image
    lesion: Box
    seconds: float

    def crop(self, margin: int = 5) -> tuple[sitk.Image, sitk.Image]:
        """Return image and mask around the lesion, for saving and for pictures."""
        region = self.lesion.padded(margin, self.image.GetSize())
        return region.cut(self.image), embedded(self.mask, self.lesion, region, self.image)


@dataclass(frozen=True, slots=True, eq=False)
class Resegmented:
    """The lesion after resegmentation, cut to its box.

    PyRadiomics 3.0.1 measures the shape of the whole lesion (without ``resegmentShape``), but only inside the box of
    what resegmentation left, and its numbers are the definition here.

    Attributes
    ----------
    box : Box
        The box in the prepared image.
    texture_zyx, shape_zyx : ndarray of bool
        (z, y, x) inside the box: voxels for texture and first order, and for shape.
    """

    box: Box
    texture_zyx: NDArray[np.bool_]
    shape_zyx: NDArray[np.bool_]


def prepare(image: sitk.Image, lesion: LesionVoxels, settings: ExtractionSettings) -> Prepared:
    """Normalise, then resample or crop, and check the lesion, as PyRadiomics' ``loadImage`` and ``checkMask`` do.

    Parameters
    ----------
    image : SimpleITK.Image
        The whole scan.
    lesion : LesionVoxels
        The lesion on a grid in the same space; without resampling on the scan's own.
    settings : ExtractionSettings
        The settings.

    Raises
    ------
    MaskError
        The lesion is smaller than the settings need.
    GeometryError
        The lesion lies outside of the image, or the image is not finite there.
    """
    started = time.perf_counter()
    setting = settings.setting
    if setting.normalize:
        image = normalised(image, setting.normalizeScale, setting.removeOutliers)
    if settings.resamples:
        image, lesion, box = _resampled(image, lesion, settings)
    elif setting.preCrop:
        region = lesion.box.padded(setting.padDistance, image.GetSize())
        image, box = region.cut(image), lesion.box.seen_from(region)
    else:
        box = lesion.box
    if not np.isfinite(sitk.GetArrayViewFromImage(image)[box.slices_zyx]).all():
        raise GeometryError("the image holds NaN or infinite values inside the lesion's box; convert it again")
    check_size(lesion.voxels_zyx, setting)
    return Prepared(image, lesion.crop(), box, time.perf_counter() - started)


def normalised(image: sitk.Image, scale: float, outliers: float | None) -> sitk.Image:
    """Scale the whole image to mean 0 and standard deviation 1, clip, and scale: PyRadiomics' ``normalizeImage``.

    Parameters
    ----------
    image : SimpleITK.Image
        The whole scan.
    scale : float
        Factor afterwards.
    outliers : float or None
        Standard deviations at which values are clipped before `scale`.

    Raises
    ------
    GeometryError
        All voxels are equal.
    """
    extremes = sitk.MinimumMaximumImageFilter()
    extremes.Execute(image)
    if extremes.GetMinimum() == extremes.GetMaximum():
        raise GeometryError(
            f"every voxel of the image is {extremes.GetMinimum():g}, which normalize cannot scale; see whether it is a "
            "scan, or set normalize: false"
        )
    image = sitk.Normalize(image)
    if outliers is not None:
        clipped = sitk.GetImageFromArray(np.clip(sitk.GetArrayViewFromImage(image), -outliers, outliers))
        clipped.CopyInformation(image)
        image = clipped
    return image * scale


def resegmented(prepared: Prepared, settings: ExtractionSettings) -> Resegmented:
    """Leave in the lesion what ``resegmentRange`` keeps: PyRadiomics' ``resegmentMask``.

    Raises
    ------
    MaskError
        Too little is left of the lesion.
    """
    whole = sitk.GetArrayFromImage(prepared.mask) == 1
    setting = settings.setting
    if setting.resegmentRange is None:
        return Resegmented(prepared.lesion, whole, whole)
    values = sitk.GetArrayViewFromImage(prepared.image)[prepared.lesion.slices_zyx][whole]
    bounds = _thresholds(values, setting)
    kept = whole.copy()
    kept[whole] = values >= bounds[0] if len(bounds) == 1 else (values >= bounds[0]) & (values <= bounds[1])
    left = int(np.count_nonzero(kept))
    if left <= 1:
        raise MaskError(
            f"Resegmentation excluded too many voxels ({left} of {values.size} are left in resegmentRange); "
            "widen the range, or leave the lesion out"
        )
    part = Box.around(kept)
    assert part is not None, "voxels are left"
    texture = kept[part.slices_zyx]
    check_size(texture, setting)
    shape = texture if setting.resegmentShape else whole[part.slices_zyx]
    return Resegmented(part.moved(prepared.lesion.lower), texture, shape)


def check_is_flat(box: Box, settings: ExtractionSettings) -> None:
    """Refuse shape2D of a lesion of several slices.

    Parameters
    ----------
    box : Box
        The (resegmented) lesion's.
    settings : ExtractionSettings
        The settings.

    Raises
    ------
    MaskError
        shape2D is asked for, and the lesion has more than one slice.
    """
    axis = settings.setting.force2Ddimension
    slices, looked_at = box.size[2 - axis], box.size[axis]
    # PyRadiomics skips shape2D, with a warning, where the lesion is one voxel wide along the axis it looks at.
    if "shape2D" in settings.featureClass and settings.setting.force2D and slices > 1 and looked_at > 1:
        raise MaskError(
            f"shape2D measures a lesion on one slice and this one has {slices} along axis {axis}; leave shape2D out of "
            "featureClass, or take shape"
        )


def check_grey_levels(image_type: str, levels: int) -> None:
    """Refuse an image with more grey levels than memory is meant for.

    Raises
    ------
    ExtractionError
        There are more than `MOST_GREY_LEVELS`.
    """
    if levels > MOST_GREY_LEVELS:
        raise ExtractionError(
            f"image type {image_type} would have {levels} grey levels (at most {MOST_GREY_LEVELS}); "
            "raise binWidth, set binCount, or see whether the image is in HU"
        )


def embedded(mask: sitk.Image, inner: Box, region: Box, image: sitk.Image) -> sitk.Image:
    """Put a mask cropped to `inner` back into `region` of the image."""
    array = np.zeros(region.size[::-1], dtype=np.uint32)
    array[inner.seen_from(region).slices_zyx] = sitk.GetArrayViewFromImage(mask)
    placed = sitk.GetImageFromArray(array)
    placed.CopyInformation(region.cut(image))
    return placed


def _thresholds(values: NDArray[Any], setting: PyRadiomicsSettings) -> list[Any]:
    """Return one or two limits in ascending order, with PyRadiomics' arithmetic in the image's own type."""
    limits = sorted(setting.resegmentRange or ())
    if setting.resegmentMode == "absolute":
        return limits
    if setting.resegmentMode == "relative":
        highest = values.max()
        return [highest * limit for limit in limits]
    mean, deviation = np.mean(values), np.std(values)
    return [mean + deviation * limit for limit in limits]


def check_size(lesion_zyx: NDArray[np.bool_], setting: PyRadiomicsSettings) -> None:
    """Refuse a lesion (cut to its box) with fewer dimensions or voxels than the settings need: ``checkMask``."""
    dimensions = sum(n > 1 for n in lesion_zyx.shape)
    if dimensions == 0:
        raise MaskError("the lesion is 1 segmented voxel, of which there is no texture or shape; leave it out")
    if dimensions < setting.minimumROIDimensions:
        raise MaskError(
            f"the lesion has too few dimensions (number of dimensions {dimensions}, minimum required "
            f"{setting.minimumROIDimensions}); leave it out, or draw it on more slices"
        )
    count, fewest = int(np.count_nonzero(lesion_zyx)), setting.minimumROISize
    if fewest is not None and count <= fewest:
        raise MaskError(f"the lesion is too small (minimum size: {fewest:g}, ROI size: {count:g})")


def _resampled(
    image: sitk.Image, lesion: LesionVoxels, settings: ExtractionSettings
) -> tuple[sitk.Image, LesionVoxels, Box]:
    """Return the image around the lesion, the lesion on its grid, and the lesion's box in that image."""
    setting = settings.setting
    _check_bounds(image, lesion)
    spacing = setting.resampledPixelSpacing or ()
    grid = resampling_grid(Geometry.of(image), lesion.geometry, lesion.box, spacing, setting.padDistance)
    moved: LesionVoxels | None = lesion
    if grid.interpolates or lesion.geometry != grid.geometry:
        moved = nearest_voxels(lesion, grid.geometry)
    if moved is None:
        raise MaskError(
            f"no voxel of the lesion is left after resampling to {setting.resampledPixelSpacing} mm; "
            "it is smaller than the new voxels"
        )
    if grid.interpolates:
        interpolator = setting.interpolator
        kind: int = getattr(sitk, interpolator) if isinstance(interpolator, str) else int(interpolator or 0)
        return resample(image, grid.geometry, kind), moved, moved.box
    region = moved.box.padded(setting.padDistance, image.GetSize())
    return region.cut(image), moved, moved.box.seen_from(region)


def _check_bounds(image: sitk.Image, lesion: LesionVoxels) -> None:
    """Refuse a lesion that reaches outside of the scan, with PyRadiomics' tolerance of a thousandth of a voxel."""
    corners = np.array([lesion.box.lower, lesion.box.upper]) - 0.5
    bounds = Geometry.of(image).to_index(lesion.geometry.to_points(corners))
    outside = np.any(bounds.min(axis=0) < -0.501) or np.any(bounds.max(axis=0) > np.array(image.GetSize()) - 0.499)
    if outside:
        raise GeometryError("the lesion reaches outside of the image; give the scan that it was drawn on")
