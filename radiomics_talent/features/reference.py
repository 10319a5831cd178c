"""The reference engine: PyRadiomics, untouched, on as little of the scan as keeps its numbers.

What ``RadiomicsFeatureExtractor.execute`` does in one go on the whole scan is done here step by step, each step by
PyRadiomics' own functions, on the lesion's crop. The only file that imports ``radiomics``.
"""

from __future__ import annotations

import logging
import math
import time
import warnings as python_warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import ExtractionError, GeometryError, MaskError, TalentError
from radiomics_talent.imaging.geometry import Box, Geometry
from radiomics_talent.imaging.preprocess import nearest_on, resample, resampling_grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiomics_talent.settings import ExtractionSettings

MOST_GREY_LEVELS = 2048
"""Above this a GLCM alone takes 0.4 GiB: the bin width does not fit the image, so the lesion is refused."""

_WHOLE = None
_MARGINS: dict[str, int | None] = {"Original": 0, "Gradient": 2}
"""Voxels around the lesion that an image type needs for the bits of the whole image.

Recursive filters (LoG), filters scaled by the image's maximum (Square, SquareRoot, Logarithm, Exponential) and
those that interpolate at positions counted from its corner (LBP) need all of it. Wavelet: see `_wavelet_margin`.
"""


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
        return region.cut(self.image), _embedded(self.mask, self.lesion, region, self.image)


def prepare(image: sitk.Image, mask: sitk.Image, label: int, box: Box, settings: ExtractionSettings) -> Prepared:
    """Do what PyRadiomics' ``loadImage`` does: normalise, then resample or crop.

    Parameters
    ----------
    image, mask : SimpleITK.Image
        Whole scan, and whole label map (integers).
    label : int
        The lesion's value in `mask`.
    box : Box
        The lesion's box in `mask`.
    settings : ExtractionSettings
        The settings.

    Raises
    ------
    MaskError
        The lesion is smaller than the settings need.
    GeometryError
        The lesion lies outside of the image.
    ExtractionError
        PyRadiomics is absent or failed.
    """
    started = time.perf_counter()
    setting = settings.setting
    with _speaking_plainly():
        if setting.normalize:
            image = _pyradiomics().imageoperations.normalizeImage(image, **setting.model_dump())
        if settings.resamples:
            image, mask, box = _resampled(image, mask, label, box, settings)
        elif setting.preCrop:
            region = box.padded(setting.padDistance, image.GetSize())
            image, mask = region.cut(image), region.cut(mask)
            box = box.seen_from(region)
        lesion_image, lesion_mask = box.cut(image), sitk.Cast(box.cut(mask) == label, sitk.sitkUInt32)
        if not np.isfinite(sitk.GetArrayViewFromImage(lesion_image)).all():
            raise GeometryError("the image holds NaN or infinite values inside the lesion's box; convert it again")
        _pyradiomics().imageoperations.checkMask(lesion_image, lesion_mask, **_plain(settings))
    return Prepared(image, lesion_mask, box, time.perf_counter() - started)


def compute(
    prepared: Prepared, settings: ExtractionSettings
) -> tuple[dict[str, float], tuple[str, ...], dict[str, float]]:
    """Compute every feature that the settings ask for.

    Returns
    -------
    values : dict of str to float
        In PyRadiomics' order: shape, then image type by image type.
    warnings : tuple of str
        What PyRadiomics logged or warned of, each once.
    timings : dict of str to float
        Seconds for 'prepare', 'shape' and each image type.

    Raises
    ------
    MaskError
        Resegmentation leaves too little of the lesion.
    ExtractionError
        PyRadiomics failed, a filter's library is missing, or an image has an absurd number of grey levels.
    """
    values: dict[str, float] = {}
    timings = {"prepare": prepared.seconds}
    with _speaking_plainly() as said:
        extractor = _extractor(settings)
        kwargs = _plain(settings)
        started = time.perf_counter()
        mask, inner, shape_mask = _resegmented(prepared, settings)
        _refuse_thick(shape_mask, settings)
        shape_box = np.array(_bounds(Box((0, 0, 0), shape_mask.GetSize())))
        values |= _floats(extractor.computeShape(inner.cut(prepared.image), shape_mask, shape_box, **kwargs))
        timings["shape"] = time.perf_counter() - started
        for name, filtered, image_kwargs in _filtered(prepared, mask, inner, settings):
            started = time.perf_counter()
            _refuse_absurd(name, _levels(filtered, mask, image_kwargs))
            values |= _floats(extractor.computeFeatures(filtered, mask, name, **image_kwargs))
            timings[name] = timings.get(name, 0.0) + time.perf_counter() - started
    missing = next((w for w in said if "Could not load required package" in w), None)
    if missing:
        raise ExtractionError(f"{missing}; install radiomics-talent[reference], which brings it")
    return values, tuple(dict.fromkeys(said)), timings


def grey_levels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Filter as `compute` does, and count grey levels instead of computing features."""
    with _speaking_plainly():
        mask, inner, _ = _resegmented(prepared, settings)
        return {n: _levels(image, mask, kw) for n, image, kw in _filtered(prepared, mask, inner, settings)}


def filtered_voxels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Return how many voxels each image type filters."""
    return {
        image_type: math.prod(
            _region(image_type, {**_plain(settings), **custom}, prepared.lesion, prepared.image, settings).size
        )
        for image_type, custom in settings.to_pyradiomics()["imageType"].items()
    }


def _resampled(
    image: sitk.Image, mask: sitk.Image, label: int, box: Box, settings: ExtractionSettings
) -> tuple[sitk.Image, sitk.Image, Box]:
    setting = settings.setting
    _pyradiomics_check_bounds(image, mask, box)
    grid = resampling_grid(
        Geometry.of(image), Geometry.of(mask), box, setting.resampledPixelSpacing or (), setting.padDistance
    )
    if grid.interpolates:
        interpolator = setting.interpolator
        kind: int = getattr(sitk, interpolator) if isinstance(interpolator, str) else int(interpolator or 0)
        image, mask = resample(image, grid.geometry, kind), nearest_on(mask, grid.geometry)
    else:
        if Geometry.of(mask) != grid.geometry:
            mask = nearest_on(mask, grid.geometry)
        on_image = Box.around(sitk.GetArrayViewFromImage(mask) == label)
        region = (on_image or box).padded(setting.padDistance, image.GetSize())
        image, mask = region.cut(image), region.cut(mask)
    lesion = Box.around(sitk.GetArrayViewFromImage(mask) == label)
    if lesion is None:
        raise MaskError(
            f"no voxel of the lesion is left after resampling to {setting.resampledPixelSpacing} mm; "
            "it is smaller than the new voxels"
        )
    return image, mask, lesion


def _pyradiomics_check_bounds(image: sitk.Image, mask: sitk.Image, box: Box) -> None:
    """Refuse a lesion that reaches outside of the scan, with PyRadiomics' tolerance of a thousandth of a voxel."""
    corners = [[c - 0.5 for c in corner] for corner in (box.lower, box.upper)]
    bounds = np.array(
        [
            image.TransformPhysicalPointToContinuousIndex(mask.TransformContinuousIndexToPhysicalPoint(c))
            for c in corners
        ]
    )
    outside = np.any(bounds.min(axis=0) < -0.501) or np.any(bounds.max(axis=0) > np.array(image.GetSize()) - 0.499)
    if outside:
        raise GeometryError("the lesion reaches outside of the image; give the scan that it was drawn on")


def _resegmented(prepared: Prepared, settings: ExtractionSettings) -> tuple[sitk.Image, Box, sitk.Image]:
    """Return the mask for texture, its box in the image, and the mask for shape.

    Both masks are cut to the box of the resegmented lesion: PyRadiomics 3.0.1 measures the shape of the whole
    lesion (without ``resegmentShape``), but only inside that box, and its numbers are the definition here.
    """
    if settings.setting.resegmentRange is None:
        return prepared.mask, prepared.lesion, prepared.mask
    operations = _pyradiomics().imageoperations
    kwargs = _plain(settings)
    image = prepared.lesion.cut(prepared.image)
    mask = operations.resegmentMask(image, prepared.mask, **kwargs)
    bounds, _ = operations.checkMask(image, mask, **kwargs)
    lower, upper = np.array(bounds[0::2]), np.array(bounds[1::2]) + 1
    part = Box(tuple(lower.tolist()), tuple(upper.tolist()))
    offset = np.array(prepared.lesion.lower)
    inner = Box(tuple((lower + offset).tolist()), tuple((upper + offset).tolist()))
    cropped = part.cut(mask)
    return cropped, inner, cropped if settings.setting.resegmentShape else part.cut(prepared.mask)


def _filtered(
    prepared: Prepared, mask: sitk.Image, inner: Box, settings: ExtractionSettings
) -> Iterator[tuple[str, sitk.Image, dict[str, Any]]]:
    """Yield each (filtered) image, cropped to the mask, with its name and settings."""
    operations = _pyradiomics().imageoperations
    image = prepared.image
    for image_type, custom in settings.to_pyradiomics()["imageType"].items():
        kwargs = {**_plain(settings), **custom}
        region = _region(image_type, kwargs, inner, image, settings)
        part = region.cut(image)
        local = inner.seen_from(region)
        # Only LBP3D looks at the mask, and it looks at the whole image's.
        part_mask = _embedded(mask, inner, region, image) if image_type == "LBP3D" else mask
        for filtered, name, image_kwargs in getattr(operations, f"get{image_type}Image")(part, part_mask, **kwargs):
            yield name, local.cut(filtered), image_kwargs


def _region(
    image_type: str, kwargs: dict[str, Any], inner: Box, image: sitk.Image, settings: ExtractionSettings
) -> Box:
    """Return the part of the image that a filter needs for the numbers of the whole image."""
    whole = Box((0, 0, 0), image.GetSize())
    margin = _MARGINS.get(image_type, _WHOLE)
    if image_type == "Wavelet":
        margin = _wavelet_margin(kwargs)
        # The transform is periodic: near an end of the image it reaches round to the other end.
        ends = zip(inner.lower, inner.upper, image.GetSize(), strict=True)
        if any(low < margin or up + margin > n for low, up, n in ends):
            return whole
    if margin is not None:
        return inner.padded(margin, image.GetSize())
    if settings.pad_mm is not None:  # never together with resampling
        pad = tuple(int(np.ceil(settings.pad_mm / s)) for s in image.GetSpacing())
        return inner.padded(pad, image.GetSize())  # type: ignore[arg-type]
    return whole


def _wavelet_margin(kwargs: dict[str, Any]) -> int:
    """Return the reach of the stationary wavelet transform: its filter's length at each of its levels."""
    import pywt  # noqa: PLC0415  # comes with PyRadiomics

    levels = int(kwargs["start_level"]) + int(kwargs["level"])
    return int(pywt.Wavelet(kwargs["wavelet"]).dec_len) * levels


def _embedded(mask: sitk.Image, inner: Box, region: Box, image: sitk.Image) -> sitk.Image:
    """Put a mask cropped to `inner` back into `region` of the image."""
    array = np.zeros(region.size[::-1], dtype=np.uint32)
    array[inner.seen_from(region).slices_zyx] = sitk.GetArrayViewFromImage(mask)
    embedded = sitk.GetImageFromArray(array)
    embedded.CopyInformation(region.cut(image))
    return embedded


def _levels(filtered: sitk.Image, mask: sitk.Image, kwargs: dict[str, Any]) -> int:
    """Count grey levels as PyRadiomics' ``getBinEdges`` bins them."""
    if kwargs.get("binCount") is not None:
        return int(kwargs["binCount"])
    values = sitk.GetArrayViewFromImage(filtered)[sitk.GetArrayViewFromImage(mask) == 1]
    width = kwargs["binWidth"]
    return int(np.floor(values.max() / width) - np.floor(values.min() / width)) + 1


def _refuse_thick(mask: sitk.Image, settings: ExtractionSettings) -> None:
    """Refuse shape2D of a lesion of several slices, which PyRadiomics does with a sentence that lacks its number."""
    axis = settings.setting.force2Ddimension
    slices, looked_at = mask.GetSize()[2 - axis], mask.GetSize()[axis]
    # PyRadiomics skips shape2D, with a warning, where the lesion is one voxel wide along the axis it looks at.
    if "shape2D" in settings.featureClass and settings.setting.force2D and slices > 1 and looked_at > 1:
        raise MaskError(
            f"shape2D measures a lesion on one slice and this one has {slices} along axis {axis}; leave shape2D out of "
            "featureClass, or take shape"
        )


def _refuse_absurd(name: str, levels: int) -> None:
    if levels > MOST_GREY_LEVELS:
        raise ExtractionError(
            f"image type {name} would have {levels} grey levels (at most {MOST_GREY_LEVELS}); "
            "raise binWidth, set binCount, or see whether the image is in HU"
        )


def _bounds(box: Box) -> list[int]:
    return [v for low, up in zip(box.lower, box.upper, strict=True) for v in (low, up - 1)]


def _floats(features: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in features.items()}


@lru_cache(maxsize=1)
def _pyradiomics() -> Any:
    try:
        radiomics = import_module("radiomics")
        import_module("radiomics.featureextractor")
    except ImportError as error:
        raise ExtractionError(
            f"PyRadiomics cannot be imported ({error}); run `radiomics-talent doctor` to see how to install it"
        ) from error
    return radiomics


def _plain(settings: ExtractionSettings) -> dict[str, Any]:
    """Return PyRadiomics' settings for a mask that is already binary, on the image's grid and resampled."""
    return {**settings.setting.model_dump(), "label": 1, "geometryTolerance": None, "correctMask": False}


def _extractor(settings: ExtractionSettings) -> Any:
    # Built bare and filled in: its own reading of parameters would change ITK's tolerances for the whole process.
    extractor = _pyradiomics().featureextractor.RadiomicsFeatureExtractor()
    extractor.settings = _plain(settings)
    extractor.enabledFeatures = settings.to_pyradiomics()["featureClass"]
    return extractor


class _Collector(logging.Handler):
    """Keeps the text of log records."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # A feature that failed is logged with its traceback: the last line is the sentence.
        self.texts.append(record.getMessage().strip().splitlines()[-1])


@contextmanager
def _speaking_plainly() -> Iterator[list[str]]:
    """Collect PyRadiomics' log and Python's warnings instead of printing them; turn its errors into ours."""
    logger = logging.getLogger("radiomics")
    _pyradiomics()
    collector = _Collector()
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [collector], False
    try:
        with python_warnings.catch_warnings(record=True) as caught:
            python_warnings.simplefilter("always")
            # Deprecations concern PyRadiomics' authors, not its users.
            python_warnings.simplefilter("ignore", DeprecationWarning)
            yield collector.texts
            collector.texts.extend(str(w.message) for w in caught)
    except TalentError:
        raise
    except ValueError as error:
        text = str(error)  # one of its sentences lacks the closing bracket
        closing = ")" * (text.count("(") - text.count(")"))
        raise MaskError(f"PyRadiomics refuses the lesion: {text}{closing}") from error
    except (RuntimeError, MemoryError, ArithmeticError, LookupError, TypeError, AssertionError) as error:
        raise ExtractionError(f"PyRadiomics failed: {type(error).__name__}: {error}") from error
    finally:
        logger.handlers, logger.propagate = handlers, propagate
