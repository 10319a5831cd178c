"""series.csv: one row a series, with everything that indexing found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from radiomics_talent.cohort.pseudonym import patient_name
from radiomics_talent.cohort.spreadsheet import relative_path, write_sheet

if TYPE_CHECKING:
    from radiomics_talent.dicom.index import DicomIndex, SeriesRecord

SERIES_COLUMNS = (
    "patient_id", "study_date", "modality", "series_uid", "is_volume", "n_files", "n_masks", "contrast_phase",
    "slice_thickness_mm", "kernel", "manufacturer", "site", "frame_of_reference_uid", "level", "findings", "folder",
)  # fmt: skip
"""Columns of series.csv, in order."""


def write_series_table(index: DicomIndex, path: str | Path, *, pseudonymise: bytes | None = None) -> None:
    """Write series.csv.

    Parameters
    ----------
    index : DicomIndex
        What `index_dicom` found.
    path : str or Path
        The CSV; folders in it are relative to its own.
    pseudonymise : bytes, optional
        Key under which `patient_id` is replaced.
    """
    file = Path(path).absolute()
    masks = Counter((link.series.patient_id, link.series.series_uid) for link in index.links if link.series)
    write_sheet(
        file,
        SERIES_COLUMNS,
        (_cells(s, masks[s.patient_id, s.series_uid], file.parent, pseudonymise) for s in index.series),
    )


def _cells(series: SeriesRecord, n_masks: int, folder: Path, key: bytes | None) -> list[str]:
    levels = {f.level for f in series.findings}
    level = next((name for name in ("error", "warning", "info") if name in levels), "ok")
    return [
        patient_name(series, key),
        series.study_date,
        series.modality,
        series.series_uid,
        "yes" if series.is_volume else "no",
        str(series.n_files),
        str(n_masks),
        series.contrast_phase,
        "" if series.slice_thickness_mm is None else f"{series.slice_thickness_mm:g}",
        series.kernel,
        series.manufacturer,
        series.site,
        series.frame_of_reference_uid,
        level,
        " | ".join(f"{f.code}: {f.sentence}" for f in series.findings),
        relative_path(series.folder, folder),
    ]
