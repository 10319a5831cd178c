"""A row's image, whatever its format, as one 3D volume in HU with exact geometry."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from radiomics_talent.cohort import nifti
from radiomics_talent.cohort.compressed import is_damaged, is_malformed
from radiomics_talent.cohort.nifti import DAMAGED, Fault, find_fault
from radiomics_talent.cohort.unchanged import file_states, find_changes
from radiomics_talent.dicom.ct import inspect_volume
from radiomics_talent.dicom.folder import unreadable
from radiomics_talent.dicom.headers import looks_like_dicom
from radiomics_talent.dicom.opening import MOST_VOXELS
from radiomics_talent.dicom.selection import find_series
from radiomics_talent.errors import InputError
from radiomics_talent.findings import Finding
from radiomics_talent.imaging.geometry import Geometry, is_plausible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from radiomics_talent.cohort.manifest import Lesion
    from radiomics_talent.settings import ExtractionSettings

_FORMATS = {"NiftiImageIO", "NrrdImageIO", "MetaImageIO"}
_FLOATS = {sitk.sitkFloat32, sitk.sitkFloat64}
_INT16 = (-32768, 32767)
_BYTES = {
    kind: n
    for n, names in ((1, ("UInt8", "Int8")), (2, ("UInt16", "Int16")), (4, ("UInt32", "Int32", "Float32")),
                     (8, ("UInt64", "Int64", "Float64")))
    for name in names
    for kind in (getattr(sitk, f"sitk{name}"), getattr(sitk, f"sitkVector{name}"))
}  # fmt: skip
"""Bytes of a component of each pixel type."""
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
    sop_instance_uids : frozenset of str
        Of every image of the DICOM series that is there, also outside this volume.
    n_interpolated : int
        Missing slices that were filled, as the settings allow.
    patient_id : str
        PatientID of a DICOM series: to be compared with the mask's, never written.
    """

    image: sitk.Image
    frame_of_reference_uid: str
    series_instance_uid: str
    padding_hu: float | None
    findings: tuple[Finding, ...]
    path: Path
    sop_instance_uids: frozenset[str] = frozenset()
    n_interpolated: int = 0
    patient_id: str = field(default="", repr=False)

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
    problem = inspect_path(path, "image", code="unreadable-file")
    if problem:
        return (problem,), None
    if path.is_dir() or is_dicom(path):
        return _inspect_dicom(lesion, settings)
    before = file_states(path)
    findings, image = read_volume(path, code="unreadable-file")
    findings = (*find_changes(path, before), *findings)
    if image is None:
        return findings, None
    more, image = _inspect_values(image, where)
    findings += more
    if any(f.is_error for f in findings):
        return findings, None
    return findings, Scan(image, "", "", None, findings, path)


def inspect_path(path: Path, what: str, *, code: str) -> Finding | None:
    """Say why a file or folder cannot be opened, if so.

    Parameters
    ----------
    path : Path
        File or folder.
    what : str
        'image' or 'mask'.
    code : str
        Code of the finding where it is there and cannot be read.
    """
    try:
        if not path.is_dir() and _is_endless(path):
            return Finding(code, f"the {what} is no file but a device, pipe or socket; name a file", str(path))
        if path.is_dir():
            with os.scandir(path):
                return None
        with path.open("rb"):
            return None
    except (FileNotFoundError, NotADirectoryError):
        return Finding("missing-file", f"the {what} does not exist; correct the path in the table", str(path))
    except OSError as error:
        return Finding(code, f"the {what} {unreadable(error)}", str(path))


def _is_endless(path: Path) -> bool:
    """Whether a path leads to what may never end: a pipe, a device, or what the kernel shows of itself."""
    real = os.path.realpath(path)
    return (not path.is_file() and path.exists()) or real.startswith(("/proc/", "/sys/"))


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
            fault = _inspect_header(reader, path, image_io)
            if fault and not fault.code:
                return (Finding(code, fault.sentence, where),), None
            image = reader.Execute()
        except RuntimeError as error:
            return (Finding(code, _reason(str(error)), where),), None
    image = _without_single_axes(image)
    if image.GetDimension() != 3 or image.GetPixelID() in _COMPLEX:
        shape = " x ".join(map(str, image.GetSize()))
        return (Finding("not-3d", f"holds {shape} voxels, expected one 3D volume of real numbers", where),), None
    if fault:
        return (Finding(fault.code, fault.sentence, where),), None
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
    before = file_states(lesion.image)
    try:
        found = find_series(lesion.image, lesion.series_uid or None)
    except InputError as error:
        return (*find_changes(lesion.image, before), _as_finding(error, "series-absent")), None
    findings, series = inspect_volume(found.instances, settings.geometry, where=where)
    findings = (*find_changes(lesion.image, before, found.files), *found.findings, *findings)
    if series is None or any(f.is_error for f in findings):
        return findings, None
    return findings, Scan(
        series.image,
        series.frame_of_reference_uid,
        series.series_instance_uid,
        series.padding_hu,
        findings,
        lesion.image,
        found.sop_instance_uids,
        series.sop_instance_uids.count(""),
        series.patient_id,
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


def _inspect_header(reader: sitk.ImageFileReader, path: Path, image_io: str) -> Fault | None:
    """Read the header alone, and hold what it claims against the file, before ITK asks for the memory."""
    damaged = Fault("", DAMAGED)
    try:
        if nifti.is_malformed(path) if image_io == "NiftiImageIO" else is_malformed(path, image_io):
            return damaged
        reader.SetImageIO(image_io)
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size, spacing, origin = reader.GetSize(), reader.GetSpacing(), reader.GetOrigin()
        if not 0 < math.prod(size) <= MOST_VOXELS:
            shape = " x ".join(map(str, size))
            return Fault("", f"its header says {shape} voxels, which no scan has; export or copy it again")
        if not (is_plausible(spacing[:3], origin[:3]) and np.isfinite(reader.GetDirection()).all()):
            return Fault("", "its voxel spacing or position is not that of a scan; convert the original again")
        claimed = math.prod(size) * reader.GetNumberOfComponents() * _BYTES.get(reader.GetPixelID(), 1)
        if image_io == "NiftiImageIO":
            return find_fault(path, claimed)
        return damaged if is_damaged(path, image_io, claimed) else None
    except OSError:
        return damaged  # its data lie in a file that is absent or closed


def _reason(text: str) -> str:
    """Turn ITK's several lines into one sentence."""
    if "orthonormal" in text:
        return "its axes are not at right angles (a sheared NIfTI orientation); convert the original DICOM again"
    if "pixel type" in text.lower() and "support" in text.lower():
        return "its pixel type is not supported; convert it to int16"
    return "cannot be read, or is cut short; export or copy it again"
