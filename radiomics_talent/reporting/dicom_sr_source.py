"""The CT that an SR is about: its headers, freed of what would break a new object, and its images by slice.

What is copied identifies the patient as the CT does; without it the SR could not be filed with the study.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import validate_value

from radiomics_talent.dicom.headers import (
    STRANGE,
    Instance,
    looks_like_dicom,
    quiet_pydicom,
    read_dataset,
    read_instance,
)
from radiomics_talent.dicom.selection import find_series
from radiomics_talent.errors import DicomError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.imaging.geometry import Geometry

_ALWAYS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_WHERE_PRESENT = (
    "IssuerOfPatientID", "PatientIdentityRemoved", "DeidentificationMethod", "LongitudinalTemporalInformationModified",
    "StudyDescription", "PatientAge", "PatientSize", "PatientWeight", "TimezoneOffsetFromUTC",
)  # fmt: skip
_TRIAL = (
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID",
)  # fmt: skip
_SHARED = {
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
}
_PER_FRAME = {"ImagePositionPatient": "PlanePositionSequence"}
_ON_SLICE = 0.05
"""A CT image this near (in slices) to a slice of the mask's grid is that slice."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """When (as DICOM writes dates and times) and by what the objects were made."""

    date: str
    time: str
    program: str
    version: str

    def put_on(self, dataset: Dataset) -> None:
        """Replace the time of writing, which would make each run's objects different."""
        dataset.InstanceCreationDate = dataset.ContentDate = self.date
        dataset.InstanceCreationTime = dataset.ContentTime = self.time
        # highdicom lists the scanner as of now, and without its name, which is not among what is copied.
        dataset.pop("ContributingEquipmentSequence", None)


@dataclass(frozen=True, slots=True, eq=False)
class ScanSource:
    """One CT volume as SR and SEG refer to it.

    Attributes
    ----------
    header : Dataset
        Attributes of patient and study, valid and in Unicode; type 2 attributes are there, if empty.
    images : tuple of Dataset
        Minimal headers: identity, place, patient and study; one multi-frame, or many single-frame images.
    positions : tuple of tuple
        For each plane: place along the mask's slices (0 is the first), image, frame number (0: single frame).
    """

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    header: Dataset
    images: tuple[Dataset, ...]
    positions: tuple[tuple[float, int, int], ...]

    def images_of(self, slices: set[int]) -> list[tuple[Dataset, tuple[int, ...]]]:
        """Return the images (with frame numbers where multi-frame) that slices of the mask's grid came from."""
        wanted = np.asarray(sorted(slices), dtype=np.float64)
        away = [float(np.abs(wanted - z).min()) for z, _, _ in self.positions]
        # A slice that was interpolated has two parents, less than one slice away.
        near = [i for i, d in enumerate(away) if d < 1 - _ON_SLICE] or [int(np.argmin(away))]
        frames: dict[int, list[int]] = {}
        for i in near:
            _, image, frame = self.positions[i]
            frames.setdefault(image, []).append(frame)
        return [(self.images[i], tuple(sorted(n for n in numbers if n))) for i, numbers in sorted(frames.items())]


def read_scan(path: Path, series_uid: str, grid: Geometry) -> ScanSource:
    """Read the headers of a CT volume.

    Parameters
    ----------
    path : Path
        DICOM folder or file.
    series_uid : str
        As in cohort.csv.
    grid : Geometry
        Grid that the mask of a lesion lies on.

    Raises
    ------
    InputError
        The image is not DICOM, is no such series, or lacks what an SR refers to it by.
    """
    where = str(path)
    if path.is_file() and not _is_dicom(path):
        raise InputError(
            "is not DICOM, and a DICOM SR can refer to nothing else; score the DICOM scan, or leave out --dicom-sr",
            where=where,
        )
    files = find_series(path, series_uid or None).files
    instances = [i for i in map(read_instance, files) if i is not None]
    first = instances[0]
    for keyword, value in (("StudyInstanceUID", first.study_instance_uid), ("SOPInstanceUID", _every_uid(instances))):
        if not value:
            raise InputError(f"the CT has no {keyword}, which a DICOM SR refers to it by; export it again", where=where)
    studies = len({i.study_instance_uid for i in instances})
    if studies > 1:
        raise InputError(
            f"the images of the series name {studies} different StudyInstanceUIDs, but a DICOM SR belongs to one; "
            "export the series again",
            where=where,
        )
    header = _read_header(first.path)
    frame_uid = first.frame_of_reference_uid or new_uid("frame of reference", first.series_instance_uid)
    with quiet_pydicom():
        images = tuple(_image(i, header, frame_uid) for i in instances)
    return ScanSource(
        study_uid=first.study_instance_uid,
        series_uid=first.series_instance_uid,
        frame_of_reference_uid=frame_uid,
        header=header,
        images=images,
        positions=_positions(instances, grid),
    )


def new_uid(*parts: object) -> str:
    """Return a UID that depends on `parts` alone."""
    return str(generate_uid(entropy_srcs=["\x1f".join(map(str, parts))]))


def stamp(created: str, program: str, header: Dataset) -> Stamp:
    """Return when and by what the objects are made.

    Parameters
    ----------
    created, program : str
        As in score.json.
    header : Dataset
        Its TimezoneOffsetFromUTC holds for every time of the study's objects, and so for these; else they are UTC.

    Raises
    ------
    InputError
        `created` is no time.
    """
    try:
        moment = datetime.fromisoformat(created)
    except ValueError as error:
        raise InputError(
            f"created is {created!r}, expected an ISO 8601 time; score again", where="score.json"
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    offset = str(header.get("TimezoneOffsetFromUTC", ""))
    if re.fullmatch(r"[+-]\d{4}", offset):
        minutes = int(offset[1:3]) * 60 + int(offset[3:])
        moment += timedelta(minutes=-minutes if offset[0] == "-" else minutes)
    name, _, version = program.rpartition(" ")
    return Stamp(moment.strftime("%Y%m%d"), moment.strftime("%H%M%S"), name or program, version)


def identify(dataset: Dataset, header: Dataset) -> None:
    """Write patient and study into an object that highdicom made."""
    for element in header:
        dataset[element.tag] = copy.deepcopy(element)
    dataset.SpecificCharacterSet = "ISO_IR 192"


def clean_text(text: str, longest: int) -> str:
    """Return text that an LO or SH may hold."""
    return re.sub(r"[\\\x00-\x1f\x7f]+", " ", text).strip()[:longest].strip()


# --- the header


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return looks_like_dicom(file.read(132))
    except OSError as error:
        raise DicomError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _every_uid(instances: list[Instance]) -> str:
    return "" if any(not i.sop_instance_uid for i in instances) else instances[0].sop_instance_uid


def _read_header(path: Path) -> Dataset:
    keywords = [*_ALWAYS, *_WHERE_PRESENT, *_TRIAL]
    source = read_dataset(path, stop_before_pixels=True, specific_tags=["SpecificCharacterSet", *keywords])
    header = Dataset()
    with quiet_pydicom():
        values = {k: _valid(source, k) for k in keywords}
        for keyword in _ALWAYS:
            setattr(header, keyword, values[keyword] or "")
        for keyword in _WHERE_PRESENT:
            if values[keyword]:
                setattr(header, keyword, values[keyword])
        if header.get("PatientIdentityRemoved") == "YES" and "DeidentificationMethod" not in header:
            header.DeidentificationMethod = "Not said in the CT, from which the statement is copied"
        if all(values[k] for k in _TRIAL[:2]) and any(values[k] for k in _TRIAL[5:]):
            for keyword in _TRIAL:
                if values[keyword] or keyword not in _TRIAL[5:]:
                    setattr(header, keyword, values[keyword] or "")
    return header


def _valid(source: Dataset, keyword: str) -> str:
    """Return a value as text, '' where it is absent or is not what its VR allows."""
    try:
        value: Any = source.get(keyword)
        if value is None or isinstance(value, bytes):
            return ""
        values = value if not isinstance(value, str) and hasattr(value, "__getitem__") else [value]
        text = str(next(iter(values), "")).strip(" \0")
        if keyword == "PatientID":  # what the archive files by stays as it is
            return text
        validate_value(dictionary_VR(keyword), text, config.RAISE)
    except STRANGE:
        return ""
    if re.search(r"[\x00-\x1f\x7f]", text):
        return ""
    allowed = {"PatientSex": {"M", "F", "O"}, "PatientIdentityRemoved": {"YES", "NO"}}.get(keyword)
    return text if allowed is None or text in allowed else ""


# --- images


def _image(instance: Instance, header: Dataset, frame_uid: str) -> Dataset:
    image = Dataset()
    identify(image, header)
    # Names are put into the new objects by `identify`: highdicom would log those that it finds odd.
    image.PatientName = image.ReferringPhysicianName = ""
    image.SOPClassUID = instance.sop_class_uid
    image.SOPInstanceUID = instance.sop_instance_uid
    image.StudyInstanceUID = instance.study_instance_uid
    image.SeriesInstanceUID = instance.series_instance_uid
    image.FrameOfReferenceUID = frame_uid
    image.PositionReferenceIndicator = ""
    image.Modality = "CT"
    image.Rows, image.Columns = instance.rows, instance.columns
    image.LossyImageCompression = "01" if instance.is_lossy else "00"
    if instance.is_multiframe:
        image.NumberOfFrames = instance.n_frames
        # A CT volume has one orientation and spacing; highdicom looks for them among what the frames share.
        image.SharedFunctionalGroupsSequence = [_groups(instance, 0, _SHARED)]
        image.PerFrameFunctionalGroupsSequence = [_groups(instance, n, _PER_FRAME) for n in range(instance.n_frames)]
    else:
        for keyword, value in _place(instance, 0).items():
            setattr(image, keyword, value)
    return image


def _place(instance: Instance, number: int) -> dict[str, list[float] | float]:
    plane = instance.planes[number]
    place = {
        "ImagePositionPatient": plane.position_mm,
        "ImageOrientationPatient": plane.orientation,
        "PixelSpacing": plane.pixel_spacing_mm,
    }
    values: dict[str, list[float] | float] = {k: list(v) for k, v in place.items() if v is not None}
    if plane.slice_thickness_mm is not None:
        values["SliceThickness"] = plane.slice_thickness_mm
    return values


def _groups(instance: Instance, number: int, homes: dict[str, str]) -> Dataset:
    groups = Dataset()
    for keyword, value in _place(instance, number).items():
        home = homes.get(keyword)
        if home is None:
            continue
        if home not in groups:
            setattr(groups, home, [Dataset()])
        setattr(groups[home][0], keyword, value)
    return groups


def _positions(instances: list[Instance], grid: Geometry) -> tuple[tuple[float, int, int], ...]:
    found = []
    for number, instance in enumerate(instances):
        for frame, plane in enumerate(instance.planes, start=1):
            if plane.position_mm is not None:
                z = float(grid.to_index(plane.position_mm)[2])
                found.append((z, number, frame if instance.is_multiframe else 0))
    return tuple(found)
