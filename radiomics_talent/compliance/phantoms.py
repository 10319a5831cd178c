"""IBSI's phantoms: the digital one, which comes with this package, and the CT, which users fetch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.cohort.case import load_case
from radiomics_talent.cohort.manifest import Lesion
from radiomics_talent.errors import ConfigError
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.imaging.lesion_voxels import LesionVoxels

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

_CT_FOLDERS = ("ct_phantom", "ibsi_1_ct_radiomics_phantom")
"""What IBSI's own repository (github.com/theibsi/data_sets) calls the folder, and a shorter name."""
_ROI = "GTV-1"
_CT_SIZE = (204, 201, 60)
WHERE_TO_GET_IT = (
    "fetch ibsi_1_ct_radiomics_phantom from github.com/theibsi/data_sets (CC BY-NC 3.0, so it cannot come with this "
    "program) and name the folder that holds it with --data"
)

# Zwanenburg et al., IBSI reference manual v11, section 4.1: slices of rows; design by A. Zwanenburg, CC BY 4.0.
_DIGITAL = (
    ("14411", "14611", "41641", "44641"),
    ("14411", "11611", "11311", "44611"),
    ("14411", "11111", "11911", "11611"),
    ("14411", "11111", "11111", "11611"),
)
_DIGITAL_OUTSIDE = ((1, 2, 0), (2, 0, 3), (2, 0, 4), (2, 2, 2), (3, 0, 3), (3, 0, 4))
"""Voxels (z, y, x) that are not in the region of interest."""
_DIGITAL_SPACING_MM = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """An image, and the lesion on its grid."""

    image: sitk.Image
    lesion: LesionVoxels


def digital_phantom() -> Phantom:
    """Return the digital phantom: 5 x 4 x 4 voxels of 2 mm, 74 of them in the lesion, of levels 1 to 6."""
    values = np.array([[[int(v) for v in row] for row in rows] for rows in _DIGITAL], dtype=np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((_DIGITAL_SPACING_MM,) * 3)
    inside = np.ones(values.shape, dtype=np.bool_)
    inside[tuple(np.array(_DIGITAL_OUTSIDE).T)] = False
    lesion = LesionVoxels.of(inside, Geometry.of(image))
    assert lesion is not None, "it has just been drawn"
    return Phantom(image, lesion)


def find_ct_phantom(folder: Path) -> Path | None:
    """Return the folder of the CT phantom in (or at) a folder; None when it is not there.

    Raises
    ------
    ConfigError
        There is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"no such folder; {WHERE_TO_GET_IT}", where=str(folder))
    for candidate in (folder, *(folder / name for name in _CT_FOLDERS)):
        if (candidate / "nifti" / "image").is_dir() or (candidate / "dicom" / "image").is_dir():
            return candidate if "digital" not in candidate.name else None
    return None


def load_ct_phantom(folder: Path, form: Literal["nifti", "dicom"] | None = None) -> Phantom:
    """Load the CT phantom as any other case.

    Parameters
    ----------
    folder : Path
        From `find_ct_phantom`.
    form : {'nifti', 'dicom'}, optional
        Which of both to read; without it NIfTI where it is there.

    Raises
    ------
    ConfigError
        It is not there in that form, or it is another image.
    InputError
        It cannot be read.
    """
    chosen = form or ("nifti" if (folder / "nifti" / "image").is_dir() else "dicom")
    image, mask = folder / chosen / "image", folder / chosen / "mask"
    pattern = "*.nii*" if chosen == "nifti" else "*.dcm"
    masks, images = sorted(mask.glob(pattern)), sorted(image.glob(pattern))
    if not masks or not images:
        raise ConfigError(f"no {pattern} in {chosen}/image and {chosen}/mask; {WHERE_TO_GET_IT}", where=str(folder))
    row = Lesion(
        row=0,
        patient_id="IBSI",
        lesion_id=_ROI,
        image=(images[0] if chosen == "nifti" else image).resolve(),
        mask=masks[0].resolve(),
        label=_ROI if chosen == "dicom" else "",
    )
    case = load_case(row)
    if case.image.GetSize() != _CT_SIZE:
        raise ConfigError(
            f"an image of {case.image.GetSize()} voxels, and IBSI's CT phantom has {_CT_SIZE}; {WHERE_TO_GET_IT}",
            where=str(image),
        )
    return Phantom(case.image, case.voxels)
