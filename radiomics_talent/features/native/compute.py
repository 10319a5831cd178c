"""Every feature of a prepared lesion from compiled loops: what `reference.compute` gives, without PyRadiomics."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from radiomics_talent.features.native.grey_levels import count_levels
from radiomics_talent.features.native.shape import shape_features
from radiomics_talent.features.native.shape2d import shape2d_features
from radiomics_talent.features.native.texture import image_features
from radiomics_talent.features.native.texture_settings import TextureSettings
from radiomics_talent.features.prepared import check_grey_levels, check_is_flat, resegmented
from radiomics_talent.imaging.filters import filtered_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from radiomics_talent.features.prepared import Prepared, Resegmented
    from radiomics_talent.imaging.filters import FilteredImage
    from radiomics_talent.settings import ExtractionSettings


def compute(
    prepared: Prepared, settings: ExtractionSettings
) -> tuple[dict[str, float], tuple[str, ...], dict[str, float]]:
    """Compute every feature that the settings ask for.

    Returns
    -------
    values : dict of str to float
        In PyRadiomics' order: shape, then image type by image type.
    warnings : tuple of str
        What PyRadiomics would have logged or warned of, each once.
    timings : dict of str to float
        Seconds for 'prepare', 'shape' and each image type, its filter included.

    Raises
    ------
    MaskError
        Resegmentation leaves too little of the lesion.
    ExtractionError
        An image has an absurd number of grey levels.
    """
    timings = {"prepare": prepared.seconds}
    warnings: list[str] = []
    started = time.perf_counter()
    lesion = resegmented(prepared, settings)
    check_is_flat(lesion.box, settings)
    values = _shape(prepared, lesion, settings, warnings.append)
    timings["shape"] = time.perf_counter() - started
    started = time.perf_counter()
    for filtered, setting in _filtered(prepared, lesion, settings, warnings.append):
        name = filtered.name
        check_grey_levels(name, count_levels(filtered.values_zyx[lesion.texture_zyx], setting))
        found, more = image_features(
            filtered.values_zyx, lesion.texture_zyx, prepared.image.GetSpacing(), setting, settings.featureClass
        )
        values |= {f"{name}_{feature}": value for feature, value in found.items()}
        warnings += more
        timings[name] = timings.get(name, 0.0) + time.perf_counter() - started
        started = time.perf_counter()
    return values, tuple(dict.fromkeys(warnings)), timings


def grey_levels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Filter as `compute` does, and count grey levels instead of computing features."""
    lesion = resegmented(prepared, settings)
    return {
        filtered.name: count_levels(filtered.values_zyx[lesion.texture_zyx], setting)
        for filtered, setting in _filtered(prepared, lesion, settings, lambda _: None)
    }


def filtered_voxels(prepared: Prepared, settings: ExtractionSettings) -> dict[str, int]:
    """Return how many voxels each image type holds: those of the lesion's box."""
    return dict.fromkeys(settings.to_pyradiomics()["imageType"], math.prod(prepared.lesion.size))


def _filtered(
    prepared: Prepared, lesion: Resegmented, settings: ExtractionSettings, warn: Callable[[str], None]
) -> Iterator[tuple[FilteredImage, TextureSettings]]:
    """Yield each (filtered) image on the lesion's box, with the settings of its type."""
    for image_type, custom in settings.to_pyradiomics()["imageType"].items():
        setting: dict[str, Any] = {**settings.setting.model_dump(), **custom}
        textures = TextureSettings.of(setting)
        for filtered in filtered_images(
            prepared.image, lesion.texture_zyx, lesion.box, image_type, setting, pad_mm=settings.pad_mm, warn=warn
        ):
            yield filtered, textures


def _shape(
    prepared: Prepared, lesion: Resegmented, settings: ExtractionSettings, warn: Callable[[str], None]
) -> dict[str, float]:
    """Compute shape, then shape2D, where they are asked for and can be computed."""
    wanted, setting = settings.featureClass, settings.setting
    spacing = prepared.image.GetSpacing()
    values: dict[str, float] = {}
    if "shape" in wanted:
        found, warnings = shape_features(lesion.shape_zyx, spacing, wanted["shape"])
        values |= {f"original_shape_{name}": value for name, value in found.items()}
        for text in warnings:
            warn(text)
    if "shape2D" not in wanted:
        return values
    axis = setting.force2Ddimension
    if not setting.force2D:
        warn("parameter force2D must be set to True to enable shape2D extraction")
    elif lesion.box.size[axis] <= 1:
        warn(f"the lesion is one voxel wide along axis {axis} of (x, y, z), where PyRadiomics computes no 2D shape")
    else:
        found, warnings = shape2d_features(lesion.shape_zyx, spacing, axis, wanted["shape2D"])
        values |= {f"original_shape2D_{name}": value for name, value in found.items()}
        for text in warnings:
            warn(text)
    return values
