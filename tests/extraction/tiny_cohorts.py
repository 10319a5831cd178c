"""Tiny cohorts on disk: NIfTI scans of noise with box-shaped lesions, and settings that take milliseconds."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from radiomics_talent.cohort.manifest import CohortTable, Lesion, load_cohort, write_cohort
from radiomics_talent.settings import ExtractionSettings

SIZE_ZYX = (12, 24, 24)


def write_image(path: Path, array_zyx: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(array_zyx)
    image.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(image, str(path))
    return path


def write_scan(folder: Path, name: str, seed: int) -> Path:
    noise = np.random.default_rng(seed).normal(60, 40, SIZE_ZYX).round().astype(np.int16)
    return write_image(folder / f"{name}.nii.gz", noise)


def write_mask(folder: Path, name: str, corner_zyx: tuple[int, int, int], side: int) -> Path:
    mask = np.zeros(SIZE_ZYX, np.uint8)
    mask[tuple(slice(c, c + side) for c in corner_zyx)] = 1
    return write_image(folder / f"{name}.nii.gz", mask)


def make_cohort(folder: Path) -> CohortTable:
    """Three scans with 3, 2 and 1 lesions; the scan of most lesions comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    lesions = []
    for patient, n in (("p1", 1), ("p2", 2), ("p3", 3)):
        scan = write_scan(folder, patient, seed=n)
        for k in range(n):
            mask = write_mask(folder, f"{patient}_{k}", (2 + k, 3 + 6 * k, 4), 5)
            lesions.append(Lesion(0, patient, f"L{k}", scan, mask, label="1", site="north"))
    write_cohort(lesions, folder / "cohort.csv")
    return load_cohort(folder / "cohort.csv")


def make_settings(**setting: object) -> ExtractionSettings:
    classes = {"firstorder": None, "glcm": ["Contrast", "JointEntropy"]}
    return ExtractionSettings.model_validate({"featureClass": classes, "setting": {"binWidth": 10, **setting}})
