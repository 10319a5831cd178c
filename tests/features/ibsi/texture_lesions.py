"""Lesions that texture families are tried on: drawn by hand, and IBSI's phantoms with their reference values."""

import csv

import numpy as np
import SimpleITK as sitk

from radiomics_talent.features.ibsi.lesion import IbsiLesion
from radiomics_talent.imaging.geometry import Box


def lesion_of(levels, morphological=None, n_levels=None):
    """Return a lesion of the levels given, as one slice or more; 0 is outside."""
    levels = np.array(levels, np.int32)
    levels = levels.reshape((1,) * (3 - levels.ndim) + levels.shape)
    drawn = levels > 0 if morphological is None else np.array(morphological, bool).reshape(levels.shape)
    box = Box((0, 0, 0), levels.shape[::-1])
    n_levels = int(levels.max()) if n_levels is None else n_levels
    return IbsiLesion(levels.astype(float), box, (1.0, 1.0, 1.0), drawn, levels > 0, levels, n_levels)


def digital_phantom(shared_data):
    """The digital phantom, whose intensities are grey levels."""
    image, mask, spacing = _phantom(shared_data / "ibsi" / "digital_phantom" / "nifti")
    return _cut(image, mask, mask, image, spacing)


def configuration_a(shared_data):
    """The CT phantom of configuration A: not interpolated, -500 to 400 HU, levels of 25 HU."""
    image, mask, spacing = _phantom(shared_data / "ibsi" / "ct_phantom" / "nifti")
    kept = mask & (image >= -500) & (image <= 400)
    return _cut(image, mask, kept, (image + 500) // 25 + 1, spacing)


def reference_misses(shared_data, config, family, method, computed, codes):
    """Return computed features that differ from the reference by more than its tolerance, and how many were compared.

    `codes` is by feature; `family` begins the reference's name of the family.
    """
    of_code = {code: name for name, code in codes.items()}
    misses, compared = {}, 0
    with (shared_data / "ibsi" / "reference_values.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (row["config"], row["aggregation"]) == (config, method) and row["feature_family"].startswith(family):
                compared += 1
                name = of_code[row["ibsi_code"]]
                if not _agrees(computed[name], row["reference_value"], float(row["tolerance"])):
                    misses[name] = (computed[name], row["reference_value"], row["tolerance"])
    return misses, compared


def _phantom(folder):
    image = sitk.ReadImage(str(folder / "image" / "phantom.nii.gz"))
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "mask" / "mask.nii.gz"))) > 0
    return sitk.GetArrayFromImage(image).astype(float), mask, image.GetSpacing()


def _cut(image, mask, kept, levels, spacing):
    box = Box.around(mask)
    inside = tuple(slice(low, up) for low, up in zip(box.lower[::-1], box.upper[::-1], strict=True))
    levels = np.where(kept, levels, 0)[inside].astype(np.int32)
    return IbsiLesion(image, box, spacing, mask[inside], kept[inside], levels, int(levels.max()))


def _agrees(ours, reference, tolerance):
    """Compare at the reference's digits, three at least; zeros at the end of a whole number are none."""
    mantissa = reference.lower().split("e")[0].lstrip("-").lstrip("0.").rstrip("0" if "." not in reference else "")
    digits = max(3, len(mantissa.replace(".", "")))
    difference = abs(float(f"{ours:.{digits - 1}e}") - float(reference))
    return difference <= tolerance + 1e-12 * abs(float(reference))
