"""A small invented lesion that makes every compiled function run once, for each kind of image that there is."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np
import SimpleITK as sitk

from radiomics_talent.features.engine import engine_of, prepare
from radiomics_talent.features.native.texture_maps import image_maps
from radiomics_talent.features.native.texture_settings import TextureSettings
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.settings import ExtractionSettings

_EVERY_IMAGE: dict[str, Any] = {
    "Original": {}, "LoG": {"sigma": [1.0]}, "Wavelet": {}, "Square": {}, "SquareRoot": {}, "Logarithm": {},
    "Exponential": {}, "Gradient": {}, "LBP2D": {}, "LBP3D": {},
}  # fmt: skip
_SIZE_ZYX = (14, 22, 24)


def compute_everything() -> None:
    """Compute all features of all image types, resampled and not, in 3D and 2D, from integers and floats."""
    resampled = {"resampledPixelSpacing": [1, 1, 1], "binWidth": 20}
    as_scanned = {"binWidth": 20, "weightingNorm": "euclidean", "distances": [1, 2]}
    texture = [name for name in ExtractionSettings().featureClass if name != "shape"]
    flat = dict.fromkeys((*texture, "shape2D"))
    runs: list[tuple[int, dict[str, Any]]] = [
        (6, {"imageType": _EVERY_IMAGE, "setting": resampled}),
        (6, {"imageType": _EVERY_IMAGE, "setting": as_scanned}),
        (1, {"featureClass": flat, "setting": {"force2D": True, "force2Ddimension": 0, "binCount": 8}}),
    ]
    for slices, settings in runs:
        for dtype in (np.int16, np.float32, np.float64):
            _compute(slices, dtype, ExtractionSettings.model_validate(settings))
    _map()
    spacing = {"spacing_mm": [1, 1, 1], "interpolator": "cubic-spline"}
    for dtype in (np.int16, np.float32, np.float64):
        asked = {
            "interpolation": spacing,
            "discretisation": {"bin_count": 8},
            "aggregation": ["2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb"],
        }
        _compute(6, dtype, ExtractionSettings.model_validate({"ibsi": asked}))


def rehearse(settings: ExtractionSettings) -> None:
    """Load the machine code that a lesion with these settings will need, which takes up to half a second."""
    with suppress(Exception):  # the invented lesion may not fit the settings; what is wrong with them, lesions will say
        _compute(6, np.int16, settings)


def _map() -> None:
    noise = np.random.default_rng(0).normal(60, 40, (4, 7, 8))
    classes = dict.fromkeys(name for name in ExtractionSettings().featureClass if name != "shape")
    image_maps(noise.round().astype(np.int16), noise < 120, (1.0, 1.0, 2.0), TextureSettings(), classes)


def _compute(slices: int, dtype: type, settings: ExtractionSettings) -> None:
    noise = np.random.default_rng(0).normal(60, 40, _SIZE_ZYX)
    image = sitk.GetImageFromArray(noise.round().astype(dtype))
    image.SetSpacing((0.8, 0.8, 1.5))
    mask = np.zeros(_SIZE_ZYX, dtype=bool)
    mask[4 : 4 + slices, 6:15, 7:16] = True
    mask[4, 6:8, 7] = False
    lesion = LesionVoxels.of(mask, Geometry.of(image))
    assert lesion is not None, "it has just been drawn"
    # Imported late: PyRadiomics' chain needs nothing of the IBSI families, nor these of it.
    chain = import_module(f"radiomics_talent.features.{engine_of(settings)}.compute")
    chain.compute(prepare(image, lesion, settings), settings)
