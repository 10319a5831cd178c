"""The three ways to the same features: native, reference (PyRadiomics' code on the crop), PyRadiomics as it is called.

As a program it runs one of them alone, so that its memory is its own:

    python benchmarks/feature_engines.py pyradiomics SETTINGS.YAML OUT.JSON IMAGE MASK [MASK ...]
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk
from measuring import measured
from threadpoolctl import threadpool_limits

from radiomics_talent import ExtractionSettings, extract

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from radiomics.featureextractor import RadiomicsFeatureExtractor

FILTERED: dict[str, Any] = {
    "imageType": {"Original": {}, "LoG": {"sigma": [1.0, 2.0, 3.0, 4.0, 5.0]}, "Wavelet": {}},
    "setting": {"binWidth": 25, "resampledPixelSpacing": [1, 1, 1]},
}
"""Original, LoG 1-5 mm and wavelet on 1 mm voxels, every class: 1316 features."""
UNRESAMPLED: dict[str, Any] = {"imageType": FILTERED["imageType"], "setting": {"binWidth": 25}}


def settings_of(record: dict[str, Any], engine: str = "native") -> ExtractionSettings:
    return ExtractionSettings.model_validate({**record, "engine": engine})


def on_one_thread() -> None:
    """ITK and BLAS on one thread each, for every engine alike: CPU seconds then measure work and not waiting."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    threadpool_limits(1)


def pyradiomics_extractor(settings: ExtractionSettings) -> RadiomicsFeatureExtractor:
    """Return PyRadiomics' own extractor with the settings, additional information included."""
    import radiomics
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    radiomics.setVerbosity(60)
    parameters = settings.to_pyradiomics()
    extractor = RadiomicsFeatureExtractor()
    extractor.settings = {**parameters["setting"], "additionalInfo": True}
    extractor.enabledImagetypes = parameters["imageType"]
    extractor.enabledFeatures = parameters["featureClass"]
    return extractor


def pyradiomics(settings: ExtractionSettings) -> Callable[[Any, Any], dict[str, float]]:
    """Return PyRadiomics as its users call it: `execute` on a whole image and mask, or on their files."""
    extractor = pyradiomics_extractor(settings)

    def call(image: Any, mask: Any) -> dict[str, float]:
        found: Mapping[str, Any] = extractor.execute(image, mask)
        return {name: float(value) for name, value in found.items() if not name.startswith("diagnostics_")}

    return call


def main() -> None:
    engine, record, out, image_path, *mask_paths = sys.argv[1:]
    on_one_thread()
    settings = settings_of(json.loads(Path(record).read_text()), "native" if engine == "pyradiomics" else engine)
    lesions = []
    if engine == "pyradiomics":
        call = pyradiomics(settings)
        for path in mask_paths:
            features, cost = measured(call, image_path, path)
            lesions.append({"features": features, **asdict(cost)})
    else:
        image = sitk.ReadImage(image_path)
        for path in mask_paths:
            mask = sitk.ReadImage(path)
            features, cost = measured(extract, image, mask, settings)
            lesions.append({"features": dict(features), **asdict(cost)})
    Path(out).write_text(json.dumps(lesions))


if __name__ == "__main__":
    main()
