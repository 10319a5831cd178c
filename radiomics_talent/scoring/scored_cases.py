"""The scans and masks behind a score, opened again: for pages and DICOM objects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radiomics_talent.cohort.case import inspect_case, inspect_scan, split_parts
from radiomics_talent.cohort.manifest import Lesion
from radiomics_talent.errors import InputError
from radiomics_talent.extraction.provenance import image_sha256, mask_sha256
from radiomics_talent.scoring.score import EXTRACTION
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from radiomics_talent.cohort.case import Case, Scan
    from radiomics_talent.scoring.score_report import LesionScore, PatientScore, ScoreReport


@dataclass(frozen=True, slots=True, eq=False)
class ScoredCase:
    """One scored lesion with its voxels.

    Attributes
    ----------
    patient : PatientScore
        Whose.
    lesion : LesionScore
        Its record.
    case : Case, optional
        Scan and mask; None where they cannot be read any more or are not those that were scored.
    reason : str
        Why there is no case.
    """

    patient: PatientScore
    lesion: LesionScore
    case: Case | None
    reason: str = ""


def scored_cases(report: ScoreReport, folder: Path, patients: Sequence[str] | None = None) -> Iterator[ScoredCase]:
    """Open the lesions of a score again, scan by scan.

    Parameters
    ----------
    report : ScoreReport
        The scores.
    folder : Path
        Folder of score.json, from which its paths are counted.
    patients : sequence of str, optional
        Only these.

    Yields
    ------
    ScoredCase
        In the order of the report; a scan's voxels may go when its lesions have been used.
    """
    try:
        settings = _settings(folder)
    except InputError as error:
        shown = [p for p in report.patients if patients is None or p.patient_id in patients]
        yield from (ScoredCase(p, x, None, str(error)) for p in shown for x in p.lesions)
        return
    for patient in report.patients:
        if patients is not None and patient.patient_id not in patients:
            continue
        scans: dict[tuple[str, str], tuple[Scan | None, str, str]] = {}
        for lesion in patient.lesions:
            key = (lesion.image, lesion.series_uid)
            if key not in scans:
                scans.clear()  # one scan in memory at a time
                scans[key] = _scan(_row(patient, lesion, folder), settings)
            yield _opened(patient, lesion, folder, settings, scans[key])


def _settings(folder: Path) -> ExtractionSettings:
    path = folder / EXTRACTION / "provenance.json"
    try:
        return ExtractionSettings.model_validate(json.loads(path.read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("cannot be read; score again into the same folder", where=str(path)) from error


def _row(patient: PatientScore, lesion: LesionScore, folder: Path) -> Lesion:
    return Lesion(
        row=0,
        patient_id=patient.patient_id,
        lesion_id=lesion.lesion_id,
        image=(folder / lesion.image).resolve(),
        mask=(folder / lesion.mask).resolve(),
        label=lesion.label,
        roi_name=lesion.roi_name,
        series_uid=lesion.series_uid,
    )


def _scan(row: Lesion, settings: ExtractionSettings) -> tuple[Scan | None, str, str]:
    findings, scan = inspect_scan(row, settings)
    if scan is None:
        return None, "", next((str(f) for f in findings if f.is_error), "the scan cannot be read")
    return scan, image_sha256(scan.image), ""


def _opened(
    patient: PatientScore,
    lesion: LesionScore,
    folder: Path,
    settings: ExtractionSettings,
    loaded: tuple[Scan | None, str, str],
) -> ScoredCase:
    scan, digest, reason = loaded
    if scan is None:
        return ScoredCase(patient, lesion, None, reason)
    if digest != lesion.image_sha256:
        return ScoredCase(patient, lesion, None, "the scan is not the one that was scored; score again")
    row = _row(patient, lesion, folder)
    findings, case = inspect_case(row, settings, scan=scan)
    if case is None:
        return ScoredCase(patient, lesion, None, next((str(f) for f in findings if f.is_error), "no mask"))
    parts = split_parts(case) if settings.mask.components == "split" else (case,)
    mine = [part for part in parts if mask_sha256(part.voxels) == lesion.mask_sha256]
    if not mine:
        return ScoredCase(patient, lesion, None, "the mask is not the one that was scored; score again")
    return ScoredCase(patient, lesion, mine[0])
