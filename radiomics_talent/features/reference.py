"""The reference engine: PyRadiomics, untouched, on as little of the scan as keeps its numbers.

What ``RadiomicsFeatureExtractor.execute`` does in one go on the whole scan is done here step by step, filters and
features by PyRadiomics' own functions, on the lesion's crop. The only file that imports ``radiomics``.
"""

from __future__ import annotations

import logging
import math
import time
import warnings as python_warnings
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent.errors import ExtractionError, MaskError, TalentError
from radiomics_talent.features.prepared import Prepared, check_grey_levels, check_is_flat, embedded, resegmented
from radiomics_talent.imaging.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from radiomics_talent.imaging.lesion_voxels import LesionVoxels
    from radiomics_talent.settings import ExtractionSettings

_WHOLE = None
_MARGINS: dict[str, int | None] = {"Original": 0, "Gradient": 2}
"""Voxels around the lesion that an image type needs for the bits of the whole image.

Recursive filters (LoG), filters scaled by the image's maximum (Square, SquareRoot, Logarithm, Exponential) and
those that interpolate at positions counted from its corner (LBP) need all of it. Wavelet: see `_wavelet_margin`.
"""


def prepare_whole(image: sitk.Image, lesion: LesionVoxels, settings: ExtractionSettings) -> Prepared:
    """Do with PyRadiomics' own functions on the whole scan what `prepared.prepare` does on a crop: for verification.

    Parameters are those of `prepared.prepare`.

    Raises
    ------
    MaskError, GeometryError, ExtractionError
        PyRadiomics is absent or refuses the lesion.
    """
    started = time.perf_counter()
    setting = settings.setting
    kwargs = _plain(settings)
    with _speaking_plainly():
        operations = _pyradiomics().imageoperations
        binary = sitk.Cast(lesion.as_mask(), sitk.sitkUInt32)
        if setting.normalize:
            image = operations.normalizeImage(image, **kwargs)
        if settings.resamples:
            image, binary = operations.resampleImage(image, binary, **kwargs)
        elif setting.preCrop:
            bounds, _ = operations.checkMask(image, binary, **kwargs)
            image, binary = operations.cropToTumorMask(image, binary, bounds, **kwargs)
        bounds, _ = operations.checkMask(image, binary, **kwargs)
    lower, upper = bounds[0::2].tolist(), (bounds[1::2] + 1).tolist()
    box = Box(tuple(lower), tuple(upper))
    return Prepared(image, box.cut(binary), box, time.perf_counter() - started)


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
        lesion = resegmented(prepared, settings)
        inner = lesion.box
        lesion_image = inner.cut(prepared.image)
        mask, shape_mask = (_as_mask(voxels, lesion_image) for voxels in (lesion.texture_zyx, lesion.shape_zyx))
        check_is_flat(inner, settings)
        shape_box = np.array(_bounds(Box((0, 0, 0), shape_mask.GetSize())))
        values |= _floats(extractor.computeShape(lesion_image, shape_mask, shape_box, **kwargs))
        timings["shape"] = time.perf_counter() - started
        for name, filtered, image_kwargs in _filtered(prepared, mask, inner, settings):
            started = time.perf_counter()
            check_grey_levels(name, _levels(filtered, mask, image_kwargs))
            values |= _floats(extractor.computeFeatures(filtered, mask, name, **image_kwargs))
            timings[name] = timings.get(name, 0.0) + time.perf_counter() - started
    missing = next((w for w in said if "Could not load required package" in w), None)
    if missing:
        raise ExtractionError(f"{missing}; install radiomics-talent[reference], which brings it")
    return values, tuple(dict.fromkeys(said)), timings


def grey_levels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Filter as `compute` does, and count grey levels instead of computing features."""
    with _speaking_plainly():
        lesion = resegmented(prepared, settings)
        mask = _as_mask(lesion.texture_zyx, lesion.box.cut(prepared.image))
        return {n: _levels(image, mask, kw) for n, image, kw in _filtered(prepared, mask, lesion.box, settings)}


def filtered_voxels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Return how many voxels each image type filters."""
    return {
        image_type: math.prod(
            _region(image_type, {**_plain(settings), **custom}, prepared.lesion, prepared.image, settings).size
        )
        for image_type, custom in settings.to_pyradiomics()["imageType"].items()
    }


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
        part_mask = embedded(mask, inner, region, image) if image_type == "LBP3D" else mask
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


def _levels(filtered: sitk.Image, mask: sitk.Image, kwargs: dict[str, Any]) -> int:
    """Count grey levels as PyRadiomics' ``getBinEdges`` bins them, which passes over NaN."""
    if kwargs.get("binCount") is not None:
        return int(kwargs["binCount"])
    values = sitk.GetArrayViewFromImage(filtered)[sitk.GetArrayViewFromImage(mask) == 1]
    ends = np.array([np.fmin.reduce(values), np.fmax.reduce(values)], dtype=np.float64)
    if np.isnan(ends).any():
        return 0
    lowest, highest = np.floor(ends / kwargs["binWidth"])
    return int(highest - lowest) + 1


def _as_mask(voxels_zyx: NDArray[np.bool_], like: sitk.Image) -> sitk.Image:
    mask = sitk.GetImageFromArray(voxels_zyx.astype(np.uint32))
    mask.CopyInformation(like)
    return mask


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
