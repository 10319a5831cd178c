"""A scan and its masks as the rows of a cohort, for scoring one patient without a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from radiomics_talent.cohort.manifest import CohortTable, Lesion
from radiomics_talent.cohort.scan import is_dicom
from radiomics_talent.dicom.headers import RTSTRUCT_CLASS, SEG_CLASSES, read_instance
from radiomics_talent.dicom.index import index_dicom
from radiomics_talent.dicom.phases import PHASES, find_contrast_phase
from radiomics_talent.dicom.rtstruct import read_rtstruct_headers
from radiomics_talent.dicom.seg import read_seg_headers
from radiomics_talent.errors import ConfigError, DicomError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from radiomics_talent.dicom.series import SeriesRecord


def cohort_of_scan(
    image: Path,
    masks: Sequence[Path],
    labels: Sequence[str] = (),
    *,
    patient_id: str = "patient",
    series_uid: str = "",
    contrast_phase: str = "",
) -> CohortTable:
    """Return one row for each lesion of one scan, with what the DICOM headers say of the scan.

    Parameters
    ----------
    image : Path
        DICOM folder or file, NIfTI or NRRD.
    masks : sequence of Path
        One mask for all labels, or one for each lesion.
    labels : sequence of str
        ROI names, segment numbers or voxel values; empty where each mask holds one lesion.
    patient_id : str
        Name in the outputs; the PatientID of the headers is not used.
    series_uid : str
        SeriesInstanceUID, where the folder holds several CT series.
    contrast_phase : str
        Overrides what the headers say.

    Raises
    ------
    ConfigError
        Masks and labels cannot be paired, one lesion is named twice, a file is absent, or the phase is none.
    """
    pairs = _pairs(masks, labels)
    phase = _known_phase(contrast_phase)
    for what, path in (("image", image), *(("mask", mask) for mask in masks)):
        if not path.exists():
            raise ConfigError(f"--{what} does not exist; correct the path", where=str(path))
    series = _series(image, masks, series_uid)
    taken: set[str] = set()
    lesions = []
    for row, (mask, label) in enumerate(pairs, start=1):
        name = _lesion_id(label or _stem(mask)) if len(pairs) > 1 or label else "1"
        if name.casefold() in taken:
            raise ConfigError(f"two lesions are called {name}; give each mask or label once")
        taken.add(name.casefold())
        facts = {} if series is None else _facts(series)
        if phase:
            facts["contrast_phase"] = phase
        lesion = Lesion(row, patient_id, name, image.absolute(), mask.absolute(), label=label, **facts)  # type: ignore[arg-type]
        lesions.append(lesion)
    return CohortTable(tuple(lesions))


def _known_phase(text: str) -> str:
    """Return the phase that a word stands for."""
    phase = find_contrast_phase(text)
    if text and not phase:
        raise ConfigError(f"--phase {text!r} is no contrast phase; give {', '.join(PHASES)}")
    return phase


def _pairs(masks: Sequence[Path], labels: Sequence[str]) -> list[tuple[Path, str]]:
    if not masks:
        raise ConfigError("--mask is missing; name the mask of the lesion")
    if not labels:
        return [(mask, "") for mask in masks]
    if len(masks) == 1:
        return [(masks[0], label) for label in labels]
    if len(masks) == len(labels):
        return list(zip(masks, labels, strict=True))
    raise ConfigError(
        f"{len(masks)} masks and {len(labels)} labels cannot be paired; give one mask with several labels, or as many "
        "labels as masks"
    )


def _series(image: Path, masks: Sequence[Path], series_uid: str) -> SeriesRecord | None:
    """Return what the headers say of the scan that is meant; None where it is not DICOM or not clear.

    What is wrong with the scan is not said here: extraction does.
    """
    if not image.exists() or not (image.is_dir() or is_dicom(image)):
        return None
    try:
        index = index_dicom(image)
    except DicomError:
        return None
    volumes = [s for s in index.series if s.is_volume]
    if series_uid:
        volumes = [s for s in volumes if series_uid in {s.series_uid, s.series_instance_uid}]
    if len(volumes) > 1:
        drawn_on = {uid for mask in masks for uid in _referenced_series(mask)}
        volumes = [s for s in volumes if s.series_instance_uid in drawn_on] or volumes
    return volumes[0] if len(volumes) == 1 else None


def _referenced_series(mask: Path) -> tuple[str, ...]:
    """Return the series that a DICOM mask was drawn on; what is wrong with the mask is not said here."""
    if not mask.is_file() or not is_dicom(mask):
        return ()
    try:
        instance = read_instance(mask)
        if instance is not None and instance.sop_class_uid == RTSTRUCT_CLASS:
            return read_rtstruct_headers(mask).series_instance_uids
        if instance is not None and instance.sop_class_uid in SEG_CLASSES:
            return read_seg_headers(mask).series_instance_uids
    except InputError:
        pass
    return ()


def _facts(series: SeriesRecord) -> dict[str, object]:
    return {
        "series_uid": series.series_uid,
        "study_date": series.study_date,
        "contrast_phase": series.contrast_phase,
        "slice_thickness_mm": series.slice_thickness_mm,
        "kernel": series.kernel,
        "manufacturer": series.manufacturer,
        "site": series.site,
    }


def _stem(mask: Path) -> str:
    return mask.name.split(".", maxsplit=1)[0]


def _lesion_id(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:64] or "lesion"
