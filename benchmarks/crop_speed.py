"""One lesion in a full-size CT: this package against PyRadiomics as its users call it, in one run.

    .venv/bin/python benchmarks/crop_speed.py            # 10, 20, 30, 50 mm in a 512 x 512 x 300 CT

Settings: 1 mm isotropic, Original + LoG 1-5 mm + wavelet, every class (1316 features). Prints CPU seconds of both,
their ratio, and how many features differ in any bit.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import SimpleITK as sitk
from radiomics import setVerbosity
from radiomics.featureextractor import RadiomicsFeatureExtractor

from radiomics_talent import ExtractionSettings, extract

SPACING_MM = (0.75, 0.75, 1.5)


def scan_with_lesion(slices: int, diameter_mm: float, seed: int = 0) -> tuple[sitk.Image, sitk.Image]:
    """Return a CT-like volume (smooth noise in soft tissue, noisy air outside) and a spherical lesion."""
    rng = np.random.default_rng(seed)
    noise = sitk.SmoothingRecursiveGaussian(
        sitk.GetImageFromArray(rng.normal(0, 60, (slices, 512, 512)).astype(np.float32)), 1.0
    )
    hu = sitk.GetArrayFromImage(noise) + 60
    y, x = np.mgrid[:512, :512]
    hu[:, (x - 256) ** 2 + (y - 256) ** 2 > 220**2] -= 1060
    image = sitk.GetImageFromArray(hu.round().astype(np.int16))
    image.SetSpacing(SPACING_MM)
    image.SetOrigin((-192.3, -188.7, -411.5))
    z, y, x = np.ogrid[:slices, :512, :512]
    centre = np.array([slices // 2, 270, 230])
    distance = sum(((a - c) * s) ** 2 for a, c, s in zip((z, y, x), centre, SPACING_MM[::-1], strict=True))
    mask = sitk.GetImageFromArray((distance < (diameter_mm / 2) ** 2).astype(np.uint8))
    mask.CopyInformation(image)
    return image, mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--diameters", type=float, nargs="+", default=[10, 20, 30, 50])
    args = parser.parse_args()
    setVerbosity(60)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    settings = ExtractionSettings.model_validate(
        {
            "imageType": {"Original": {}, "LoG": {"sigma": [1.0, 2.0, 3.0, 4.0, 5.0]}, "Wavelet": {}},
            "setting": {"resampledPixelSpacing": [1, 1, 1], "binWidth": 25},
        }
    )
    parameters = settings.to_pyradiomics()
    print(f"512 x 512 x {args.slices} CT, {SPACING_MM} mm, to 1 mm; CPU seconds")
    print("| lesion | PyRadiomics | radiomics-talent | ratio | features | differing bits |")
    print("|---|---|---|---|---|---|")
    for diameter in args.diameters:
        image, mask = scan_with_lesion(args.slices, diameter)
        extractor = RadiomicsFeatureExtractor(additionalInfo=True)
        extractor.settings = {**parameters["setting"], "additionalInfo": True}
        extractor.enabledImagetypes = parameters["imageType"]
        extractor.enabledFeatures = parameters["featureClass"]
        start = time.process_time()
        theirs = extractor.execute(image, mask)
        middle = time.process_time()
        ours = extract(image, mask, settings)
        end = time.process_time()
        differing = sum(not np.array_equal(float(theirs[k]), v, equal_nan=True) for k, v in ours.items())
        print(
            f"| {diameter:g} mm | {middle - start:.2f} | {end - middle:.2f} | {(middle - start) / (end - middle):.0f} "
            f"| {len(ours)} | {differing} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
