"""Voxel-wise maps of every feature of one lesion, against PyRadiomics' ``voxelBased``, by radius."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from feature_engines import pyradiomics_extractor, settings_of
from lesions_in_memory import warm_up
from measuring import Cost, measured
from synthetic_scans import synthetic_scan

from radiomics_talent.features.engine import grey_levels, prepare
from radiomics_talent.features.maps import feature_maps

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from radiomics_talent.features.maps import FeatureMaps

_CLASSES = ("firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")


def maps(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Voxel-wise maps of the unfiltered image of one lesion in a CT of 512 x 512 x 40 voxels, by radius and class."""
    warm_up()
    scan = synthetic_scan(40, (options.map_diameter,))
    mask = scan.mask(0)
    settings = settings_of({"setting": {"binWidth": options.map_bin_width, "resampledPixelSpacing": [1, 1, 1]}})
    levels = grey_levels(prepare(scan.image, mask, settings), settings)["original"]
    extractor = pyradiomics_extractor(settings)
    for radius in (1, 2, 3):
        extractor.settings |= {"kernelRadius": radius, "maskedKernel": True, "initValue": 0}
        for classes in (_CLASSES, *((name,) for name in _CLASSES)):
            best: Cost | None = None
            for _ in range(2):
                ours, cost = measured(feature_maps, scan.image, mask, settings, features=classes, radius=radius)
                best = cost.best(best)
            assert best is not None
            extractor.enabledFeatures = {name: [] for name in classes}
            theirs, cost = measured(extractor.execute, scan.image, mask, voxelBased=True)
            yield {
                "radius": radius,
                "classes": "all" if classes is _CLASSES else classes[0],
                "voxels": int(np.count_nonzero(ours.lesion.voxels_zyx)),
                "grey levels": levels,
                "PyRadiomics CPU s": cost.cpu_s,
                "native CPU s": best.cpu_s,
                "ratio CPU": cost.cpu_s / best.cpu_s,
                "PyRadiomics MiB": cost.peak_mib,
                "native MiB": best.peak_mib,
                "maps": len(ours.values),
                "largest difference": _largest_difference(ours, theirs),
            }


def _largest_difference(ours: FeatureMaps, theirs: dict[str, Any]) -> float:
    """Return the largest relative difference over voxels and features; infinite where one alone is NaN."""
    largest = 0.0
    corner = ours.image.TransformIndexToPhysicalPoint(ours.lesion.box.lower)
    for name, values in ours.values.items():
        image = theirs[name]
        x, y, z = image.TransformPhysicalPointToIndex(corner)
        nx, ny, nz = ours.lesion.box.size
        other = sitk.GetArrayFromImage(image)[z : z + nz, y : y + ny, x : x + nx][ours.lesion.voxels_zyx]
        if (np.isnan(values) != np.isnan(other)).any():
            return float("inf")
        apart = np.abs(values - other)
        seen = apart > 1e-12  # NaN is not
        larger = np.maximum(np.abs(values), np.abs(other))
        largest = max(largest, float((apart[seen] / larger[seen]).max(initial=0.0)))
    return largest
