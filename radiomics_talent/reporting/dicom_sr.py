"""A patient's score as DICOM SR (TID 1500), with the masks as DICOM SEG where they are not yet.

The files carry the CT's attributes of patient and study, for an SR is filed by them: **they identify the patient as the
CT does**. See docs/dicom-sr.md.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from highdicom.sr import Comprehensive3DSR

from radiomics_talent.dicom.headers import quiet_pydicom
from radiomics_talent.errors import ConfigError, InputError
from radiomics_talent.features.whole_files import replacing
from radiomics_talent.imaging.geometry import Geometry
from radiomics_talent.reporting.dicom_sr_codes import coding_schemes
from radiomics_talent.reporting.dicom_sr_content import Group, lesion_group, measurement_report, patient_group
from radiomics_talent.reporting.dicom_sr_seg import MANUFACTURER, SERIAL_NUMBER, RoiReference, refer_to_mask
from radiomics_talent.reporting.dicom_sr_source import ScanSource, clean_text, identify, new_uid, read_scan, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import SimpleITK as sitk
    from pydicom.dataset import Dataset

    from radiomics_talent.reporting.dicom_sr_source import Stamp
    from radiomics_talent.scoring.score_report import LesionScore, PatientScore, ScoreReport

SR_SERIES_NUMBER = 9901
SERIES_DESCRIPTION = "Radiomics score - research use only"


@dataclass(frozen=True, slots=True, eq=False)
class SrLesion:
    """One lesion of the score, with its scan and its voxels.

    Attributes
    ----------
    lesion : LesionScore
        What the scoring found.
    image_path : Path
        DICOM folder or file.
    series_uid : str
        SeriesInstanceUID, with ``#<volume>`` where the series holds several; '' where the folder holds one.
    mask_path : Path
        RTSTRUCT, DICOM SEG, NIfTI or NRRD.
    label, roi_name : str
        As in cohort.csv.
    mask : SimpleITK.Image
        0 and 1 on the scan's grid: the voxels that the features were computed on.
    """

    lesion: LesionScore
    image_path: Path
    series_uid: str
    mask_path: Path
    label: str
    mask: sitk.Image
    roi_name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A lesion with what the documents refer to."""

    lesion: SrLesion
    scan: ScanSource
    roi: RoiReference


def write_patient_sr(
    report: ScoreReport, patient: PatientScore, cases: Sequence[SrLesion], folder: Path
) -> tuple[Path, ...]:
    """Write a patient's score as DICOM SR, one for each study, and the masks as DICOM SEG where they are not yet.

    The objects identify the patient as the CT does. The same report and files give the same bytes.

    Parameters
    ----------
    report : ScoreReport
        Content of score.json.
    patient : PatientScore
        One of its patients.
    cases : sequence of SrLesion
        The patient's lesions; one that is left out makes the document PARTIAL.
    folder : Path
        Made if need be; files of the same names are replaced.

    Returns
    -------
    tuple of Path
        SR files, then SEG files.

    Raises
    ------
    InputError
        A scan is not DICOM or lacks a UID, or there is no lesion.
    ConfigError
        The folder cannot be written; nothing of the patient is then there.
    """
    if not cases:
        raise InputError("has no lesion on a DICOM scan, so there is no SR to write", where=patient.patient_id)
    placed = _place(report, cases)
    studies: dict[str, list[_Placed]] = {}
    for one in placed:
        studies.setdefault(one.scan.study_uid, []).append(one)
    name = _file_name(patient.patient_id)
    several = len(studies) > 1
    documents: dict[str, Dataset] = {}
    with quiet_pydicom():
        for number, study in enumerate(studies.values(), start=1):
            documents[f"{name}.SR{number if several else ''}.dcm"] = _document(report, patient, study, placed)
    for one in placed:
        if one.roi.written is not None:
            documents[f"{name}.SEG.{_file_name(one.lesion.lesion.lesion_id)}.dcm"] = one.roi.written
    return _write(documents, folder)


def _place(report: ScoreReport, cases: Sequence[SrLesion]) -> list[_Placed]:
    scans: dict[tuple[Path, str, Geometry], ScanSource] = {}
    placed = []
    for number, case in enumerate(cases, start=1):
        grid = Geometry.of(case.mask)
        key = (case.image_path, case.series_uid, grid)
        if key not in scans:
            scans[key] = read_scan(case.image_path, case.series_uid, grid)
        scan = scans[key]
        when = stamp(report.created, report.program, scan.header)
        placed.append(_Placed(case, scan, refer_to_mask(case, scan, when, number=number)))
    return placed


def _document(
    report: ScoreReport, patient: PatientScore, study: Sequence[_Placed], placed: Sequence[_Placed]
) -> Comprehensive3DSR:
    scan = study[0].scan
    when = stamp(report.created, report.program, scan.header)
    here = {one.lesion.lesion.lesion_id for one in study}
    elsewhere = [one.lesion_id for one in patient.lesions if one.lesion_id not in here]
    groups: list[Group] = [
        patient_group(report, patient, scan, when, elsewhere=elsewhere),
        *(lesion_group(one.lesion, one.scan, one.roi, report, when) for one in study),
    ]
    content = measurement_report(groups, when)
    # The study's own evidence first: patient and study are taken from it.
    evidence = [e for one in (*study, *placed) for e in (*one.scan.images, *one.roi.evidence)]
    failed = [f.lesion_id for f in report.failures if f.patient_id == patient.patient_id]
    facts = hashlib.sha256(repr((content[0].to_json(), scan.header.to_json(), elsewhere, failed)).encode())
    facts.update("".join(sorted({e.SOPInstanceUID for e in evidence})).encode())
    sr = Comprehensive3DSR(
        evidence=evidence,
        content=content[0],
        series_instance_uid=new_uid("sr series", scan.study_uid, facts.hexdigest(), when),
        series_number=SR_SERIES_NUMBER,
        sop_instance_uid=new_uid("sr", scan.study_uid, facts.hexdigest(), when),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=when.program,
        software_versions=clean_text(report.program, 64),
        device_serial_number=SERIAL_NUMBER,
        series_description=SERIES_DESCRIPTION,
        is_complete=not elsewhere and not failed,
        is_final=False,
        is_verified=False,
        content_qualification="RESEARCH",
        coding_schemes=coding_schemes(),
        specific_character_set="ISO_IR 192",
    )
    _finish(sr, scan, when, elsewhere, failed)
    return sr


def _finish(
    sr: Comprehensive3DSR, scan: ScanSource, when: Stamp, elsewhere: Sequence[str], failed: Sequence[str]
) -> None:
    identify(sr, scan.header)
    when.put_on(sr)
    # Neither preliminary nor final: both would promise a reading that nobody has made.
    del sr.PreliminaryFlag
    if elsewhere or failed:
        sr.CompletionFlagDescription = (
            f"{len(elsewhere)} lesions are not in this document, {len(failed)} were not scored"
        )


# --- files


def _file_name(identifier: str) -> str:
    """Return an identifier as part of a file name; two that differ stay different."""
    clean = re.sub(r"[^A-Za-z0-9_-]+", "_", identifier)[:60]
    if clean == identifier:
        return clean
    return f"{clean}-{hashlib.sha256(identifier.encode()).hexdigest()[:8]}"


def _write(documents: Mapping[str, Dataset], folder: Path) -> tuple[Path, ...]:
    """Write all files or none: each under a temporary name, and renamed when the last one is whole."""
    # Encoded first: what pydicom raises for a full disk no longer says so.
    contents = {folder / name: _encode(dataset) for name, dataset in documents.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Left in reverse, so that an SR appears after the SEG that it refers to.
        with ExitStack() as stack:
            for path, content in contents.items():
                stack.enter_context(replacing(path)).write_bytes(content)
    except OSError as error:
        sentence = f"cannot be written: {error.strerror or type(error).__name__}; give another --out"
        raise ConfigError(sentence, where=str(folder)) from error
    return tuple(contents)


def _encode(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    with quiet_pydicom():
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
