"""Lesions for the IBSI families: drawn as arrays, or IBSI's phantoms with what they ought to give."""

import csv
from decimal import Decimal
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from radiomics_talent.features.ibsi.lesion import IbsiLesion
from radiomics_talent.imaging.geometry import Box


def drawn(image, mask=None, spacing=(1.0, 1.0, 1.0), intensity=None):
    """Return a lesion of (z, y, x) arrays; the intensity mask is the mask, unless given."""
    image = np.asarray(image, np.float64)
    mask = np.ones(image.shape, bool) if mask is None else np.asarray(mask, bool)
    intensity = mask if intensity is None else np.asarray(intensity, bool)
    box = Box.around(mask)
    part = tuple(slice(low, up) for low, up in zip(box.lower[::-1], box.upper[::-1], strict=True))
    levels = intensity[part].astype(np.int32)
    return IbsiLesion(image, box, spacing, mask[part], intensity[part], levels, 1)


def phantom(shared_data: Path, config: str):
    """Return IBSI's digital phantom, or the CT phantom as configuration A takes it."""
    folder = shared_data / "ibsi" / ("digital_phantom" if config == "digital" else "ct_phantom") / "nifti"
    image = sitk.ReadImage(folder / "image" / "phantom.nii.gz")
    values = sitk.GetArrayFromImage(image)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(folder / "mask" / "mask.nii.gz")) == 1
    intensity = mask if config == "digital" else mask & (values >= -500) & (values <= 400)
    return drawn(values, mask, tuple(round(s, 6) for s in image.GetSpacing()), intensity)


def references(shared_data: Path, config: str, family: str):
    """Return the (value, tolerance) of each feature with a consensus, by IBSI code, as printed."""
    with (shared_data / "ibsi" / "reference_values.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["config"], row["feature_family"]) == (config, family)]
    return {row["ibsi_code"]: (row["reference_value"], row["tolerance"]) for row in rows if row["reference_value"]}


def within(ours: float, reference: str, tolerance: str) -> bool:
    """Say whether a value, rounded to three digits or to the reference's if it has more, is within the tolerance."""
    digits = max(3, len(Decimal(reference).normalize().as_tuple().digits))
    return abs(Decimal(f"{ours:.{digits}g}") - Decimal(reference)) <= Decimal(tolerance)
