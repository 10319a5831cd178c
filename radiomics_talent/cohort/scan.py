"""A row's image, whatever its format, as one 3D volume in HU with exact geometry."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.cohort.nifti import find_fault
from radiomics_talent.dicom.ct import inspect_ct
from radiomics_talent.dicom.headers import looks_like_dicom
from radiomics_talent.dicom.index import find_series_files
from radiomics_talent.errors import InputError
from radiomics_talent.findings import Finding
from radiomics_talent.imaging.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from radiomics_talent.cohort.manifest import Lesion
    from radiomics_talent.settings import ExtractionSettings

_FORMATS = {"NiftiImageIO", "NrrdImageIO", "MetaImageIO"}
_FLOATS = {sitk.sitkFloat32, sitk.sitkFloat64}
_INT16 = (-32768, 32767)
_COMPLEX = {sitk.sitkComplexFloat32, sitk.sitkComplexFloat64}
_NARROWEST_HU = 100
_LOWEST_HU = -10_000
_HIGHEST_HU = 40_000


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One CT volume, loaded once for all its lesions.

    Attributes
    ----------
    image : SimpleITK.Image
        HU, 3D.
    frame_of_reference_uid, series_instance_uid : str
        From DICOM; empty for other formats.
    padding_hu : float or None
        Value of voxels outside the reconstructed field of view, where the header tells.
    findings : tuple of Finding
        What was found in reading it; no errors.
    path : Path
        The folder or file.
    """

    image: sitk.Image
    frame_of_reference_uid: str
    series_instance_uid: str
    padding_hu: float | None
    findings: tuple[Finding, ...]
    path: Path

    @property
    def geometry(self) -> Geometry:
        """The grid of the image."""
        return Geometry.of(self.image)


def inspect_scan(lesion: Lesion, settings: ExtractionSettings) -> tuple[tuple[Finding, ...], Scan | None]:
    """Read the image of a row.

    Parameters
    ----------
    lesion : Lesion
        The row; all rows with the same `scan_key` have the same scan.
    settings : ExtractionSettings
        Its section `geometry` says how an irregular series is treated.

    Returns
    -------
    findings : tuple of Finding
        Everything that was found.
    scan : Scan or None
        None when a finding is an error.
    """
    path, where = lesion.image, str(lesion.image)
    if not path.exists():
        return (Finding("missing-file", "the image does not exist; correct the path in the table", where),), None
    if path.is_dir() or is_dicom(path):
        return _inspect_dicom(lesion, settings)
    findings, image = read_volume(path, code="unreadable-file")
    if image is None:
        return findings, None
    more, image = _inspect_values(image, where)
    findings += more
    if any(f.is_error for f in findings):
        return findings, None
    return findings, Scan(image, "", "", None, findings, path)


def is_dicom(path: Path) -> bool:
    """Tell by its first bytes whether a file is DICOM; False for a file that cannot be opened."""
    try:
        with path.open("rb") as file:
            return looks_like_dicom(file.read(132))
    except OSError:
        return False


def read_volume(path: Path, *, code: str) -> tuple[tuple[Finding, ...], sitk.Image | None]:
    """Read a NIfTI, NRRD or MetaImage file; its pixels stay what they are, its geometry becomes canonical.

    Parameters
    ----------
    path : Path
        The file.
    code : str
        Code of the finding when the file cannot be read.

    Returns
    -------
    findings : tuple of Finding
        What is wrong, if anything.
    image : SimpleITK.Image or None
        3D, with one or several components a voxel; None when it cannot be read.
    """
    where = str(path)
    reader = sitk.ImageFileReader()
    with quiet_itk():
        try:
            image_io = reader.GetImageIOFromFileName(where)
            if image_io not in _FORMATS:
                sentence = "is not a DICOM, NIfTI, NRRD or MetaImage file; export it as one of these"
                return (Finding(code, sentence, where),), None
            reader.SetImageIO(image_io)
            reader.SetFileName(where)
            image = reader.Execute()
        except RuntimeError as error:
            return (Finding(code, _reason(str(error)), where),), None
    image = _without_single_axes(image)
    if image.GetDimension() != 3 or image.GetPixelID() in _COMPLEX:
        shape = " x ".join(map(str, image.GetSize()))
        return (Finding("not-3d", f"holds {shape} voxels, expected one 3D volume of real numbers", where),), None
    fault = find_fault(path) if image_io == "NiftiImageIO" else None
    if fault:
        return (Finding(fault.code or code, fault.sentence, where),), None
    Geometry.of(image).canonical().put_on(image)
    return (), image


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK from printing; what matters it raises."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _inspect_dicom(lesion: Lesion, settings: ExtractionSettings) -> tuple[tuple[Finding, ...], Scan | None]:
    where = str(lesion.image)
    try:
        files = find_series_files(lesion.image, lesion.series_uid or None)
    except InputError as error:
        return (_as_finding(error, "series-absent"),), None
    findings, series = inspect_ct(files, settings.geometry, where=where)
    if series is None or any(f.is_error for f in findings):
        return findings, None
    return findings, Scan(
        series.image,
        series.frame_of_reference_uid,
        series.series_instance_uid,
        series.padding_hu,
        findings,
        lesion.image,
    )


def _as_finding(error: InputError, code: str) -> Finding:
    return Finding(error.code or code, error.message, error.where or "", "error")


def _without_single_axes(image: sitk.Image) -> sitk.Image:
    """Drop a fourth axis of length one, which NIfTI writers are fond of."""
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    return image


def _inspect_values(image: sitk.Image, where: str) -> tuple[tuple[Finding, ...], sitk.Image]:
    """Say whether the values can be HU, and bring whole numbers stored as floats to the type that DICOM gives."""
    if image.GetNumberOfComponentsPerPixel() > 1:
        n = image.GetNumberOfComponentsPerPixel()
        return (Finding("not-3d", f"has {n} values a voxel, expected one", where),), image
    values = sitk.GetArrayViewFromImage(image)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        count = int(np.count_nonzero(~np.isfinite(values)))
        return (Finding("not-finite", f"{count} voxels are NaN or infinite, expected HU everywhere", where),), image
    findings: tuple[Finding, ...] = ()
    doubt = _doubt_hu(low, high)
    if doubt:
        sentence = f"values are {low:.6g} to {high:.6g}: {doubt}; see that the image is CT in HU"
        findings = (Finding("implausible-hu", sentence, where),)
    if image.GetPixelID() in _FLOATS and _INT16[0] <= low and high <= _INT16[1] and _are_whole(values):
        image = sitk.Cast(image, sitk.sitkInt16)
    return findings, image


def _doubt_hu(low: float, high: float) -> str:
    if high - low < _NARROWEST_HU:
        return "the range is that of a normalised image"
    if low >= 0:
        return "nothing is below water, as if the intercept had not been applied"
    if low < _LOWEST_HU or high > _HIGHEST_HU:
        return "the range is wider than a scanner's"
    return ""


def _are_whole(values: NDArray[np.generic]) -> bool:
    return all(bool((plane == np.rint(plane)).all()) for plane in values)


def _reason(text: str) -> str:
    """Turn ITK's several lines into one sentence."""
    if "orthonormal" in text:
        return "its axes are not at right angles (a sheared NIfTI orientation); convert the original DICOM again"
    if "pixel type" in text.lower() and "support" in text.lower():
        return "its pixel type is not supported; convert it to int16"
    return "cannot be read, or is cut short; export or copy it again"
