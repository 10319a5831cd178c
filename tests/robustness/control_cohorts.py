"""Synthetic lesions for the controls: patients whose outcome is written into texture, volume, intensity, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage

from radiomics_talent.cohort.clinical import ClinicalTable
from radiomics_talent.features import engine
from radiomics_talent.features.table import FeatureTable
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels
from radiomics_talent.robustness.controls import controlled
from radiomics_talent.robustness_settings import Control
from radiomics_talent.settings import ExtractionSettings
from radiomics_talent.study_settings import ColumnSettings

Signal = Literal["texture", "volume", "intensity", "noise"]
ISOTROPIC, THICK = (1.0, 1.0, 1.0), (1.0, 1.0, 2.0)
"""Spacings in mm (x, y, z): talent-ct leaves the first as it is, and resamples the second."""
CONTROLS: tuple[Control, ...] = ("roi_shuffled", "roi_sampled", "roi_noise", "surroundings_shuffled")


@dataclass(frozen=True)
class ControlCohort:
    """Feature tables of a cohort and of its controls, with its outcomes (response and survival)."""

    original: FeatureTable
    controls: dict[Control, FeatureTable]
    clinical: ClinicalTable


def scan_with_lesion(
    rng: np.random.Generator,
    *,
    radius_mm: float = 10.0,
    mean_hu: float = 60.0,
    grain_mm: float = 2.0,
    spacing_mm: tuple[float, float, float] = THICK,
) -> tuple[sitk.Image, LesionVoxels]:
    """Return liver-like noise with an ellipsoid in it, whose histogram is normal whatever its grain.

    The grain is ranked and the ranks take the values of a normal distribution (standard deviation 30 HU), so that
    only its correlation length tells one lesion from another of the same size.
    """
    reach = 1.4 * radius_mm + 8
    size = tuple(2 * int(reach / s) + 1 for s in spacing_mm)
    x, y, z = ((np.arange(n) - n // 2) * s for n, s in zip(size, spacing_mm, strict=True))
    stretch = rng.uniform(0.85, 1.15, 3)
    inside = (z[:, None, None] / stretch[0]) ** 2 + (y[:, None] / stretch[1]) ** 2 + (
        x / stretch[2]
    ) ** 2 < radius_mm**2
    hu = rng.normal(100, 15, size[::-1])
    field = ndimage.gaussian_filter(rng.standard_normal(size[::-1]), [grain_mm / s for s in spacing_mm[::-1]])
    ranks = np.argsort(np.argsort(field[inside]))
    hu[inside] = mean_hu + 30 * np.sort(rng.standard_normal(ranks.size))[ranks]
    image = sitk.GetImageFromArray(np.rint(hu).astype(np.int16))
    image.SetSpacing(spacing_mm)
    image.SetOrigin((-20.0, 5.0, 100.0))
    lesion = LesionVoxels.of(inside, Geometry.of(image))
    assert lesion is not None
    return image, lesion


@lru_cache(maxsize=8)
def control_cohort(
    signal: Signal, spacing_mm: tuple[float, float, float] = ISOTROPIC, n: int = 48, seed: int = 0
) -> ControlCohort:
    """Return a cohort of `n` patients with one lesion each; every second one responds, and lives longer.

    Lesions of a texture cohort have the same histogram on the scan. Where talent-ct resamples it (`THICK`), one grain
    is finer than a slice: interpolation smooths it more than the other, and so writes the signal into the variance.
    """
    settings = ExtractionSettings.from_yaml("talent-ct")
    rng = np.random.default_rng((seed, ["texture", "volume", "intensity", "noise"].index(signal)))
    middle, deviation = ((1.6, 2.3 if signal == "texture" else 1.6), 0.3)
    if signal == "texture" and spacing_mm == THICK:
        middle, deviation = (0.6, 2.0), 0.15
    original, controls = [], {c: [] for c in CONTROLS}
    responds = np.arange(n) % 2
    for k in range(n):
        up = responds[k]
        image, lesion = scan_with_lesion(
            rng,
            radius_mm=(rng.uniform(10.5, 15) if up else rng.uniform(8, 12))
            if signal == "volume"
            else rng.uniform(8, 14),
            mean_hu=60.0 + rng.normal(0, 10) + (18 * up if signal == "intensity" else 0),
            grain_mm=max(0.2, rng.normal(middle[up], deviation)),
            spacing_mm=spacing_mm,
        )
        keys = {"patient_id": f"P{k:03}", "lesion_id": "1"}
        original.append((keys, engine.extract(image, lesion, settings)))
        for c in CONTROLS:
            draws = np.random.default_rng((seed, k, CONTROLS.index(c)))
            changed = controlled(image, lesion, settings, c, 20.0, draws)
            controls[c].append((keys, engine.extract(changed, lesion, settings)))
    frame = pd.DataFrame(
        {
            "response": responds.astype(float),
            "pfs_days": np.round(rng.exponential(np.where(responds, 900.0, 100.0)) + 1, 1),
            "pfs_event": (np.arange(n) % 6 != 5).astype(float),
        },
        index=pd.Index([f"P{k:03}" for k in range(n)], dtype=object, name="patient_id"),
    )
    columns = {name: ColumnSettings(type="number", role="endpoint") for name in frame}
    tables = {c: FeatureTable.from_rows(rows) for c, rows in controls.items()}
    return ControlCohort(FeatureTable.from_rows(original), tables, ClinicalTable(frame, columns))
