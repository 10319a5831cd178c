"""cohort.csv: one row a lesion, the only contract between a researcher's spreadsheet and the voxels.

Ids are text (``007`` and ``NA`` stay what they are), paths are relative to the CSV and written with forward
slashes, `label` says which part of the mask file the lesion is: an ROI name, a segment number or a voxel value.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from radiomics_talent.cohort.lesion import Lesion, LesionsByScan, PackedLesions, find_repeated
from radiomics_talent.cohort.pseudonym import patient_name
from radiomics_talent.cohort.series_table import write_series_table
from radiomics_talent.cohort.spreadsheet import column_name, number, open_sheet, relative_path, write_sheet
from radiomics_talent.errors import ConfigError, TableError
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from radiomics_talent.dicom.index import DicomIndex, MaskLink, SeriesRecord

__all__ = ["COLUMNS", "CohortTable", "Lesion", "cohort_from_index", "load_cohort", "write_cohort", "write_series_table"]

REQUIRED = ("patient_id", "lesion_id", "image", "mask")
"""Columns without which a row says nothing."""
COLUMNS = (
    *REQUIRED, "label", "roi_name", "series_uid", "study_date", "contrast_phase", "slice_thickness_mm", "kernel",
    "manufacturer", "site",
)  # fmt: skip
"""Every column of cohort.csv, in order."""
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
_TEXT_COLUMNS = tuple(c for c in COLUMNS if c not in {"image", "mask", "slice_thickness_mm"})


@dataclass(frozen=True, slots=True)
class CohortTable:
    """A cohort: its lesions in the order of the CSV.

    Attributes
    ----------
    lesions : sequence of Lesion
        The rows: a tuple, or what `load_cohort` packs them into.
    path : Path or None
        The CSV; None for a table that was never written.
    findings : tuple of Finding
        What concerns the table or a file left out of it, not one row.
    """

    lesions: Sequence[Lesion]
    path: Path | None = None
    findings: tuple[Finding, ...] = ()

    def scans(self) -> Sequence[tuple[Lesion, ...]]:
        """Return the lesions grouped by scan, scans in the order of their first row; a group is made when asked for."""
        return LesionsByScan(self.lesions)


def load_cohort(path: str | Path) -> CohortTable:
    """Read cohort.csv.

    Image and mask need not exist: that is a finding of their row, so that the job goes on with the others.

    Parameters
    ----------
    path : str or Path
        The CSV; as Excel of any country writes it, too.

    Returns
    -------
    CohortTable
        Lesions with absolute paths, packed: a million of them take some 30 MiB.

    Raises
    ------
    TableError
        The file is no table, a column is missing or unknown, or a row has no id, a repeated id, or a number or date
        that cannot be.
    """
    file = Path(path)
    with open_sheet(file, COLUMNS) as sheet:
        names = _schema_columns(sheet.header, where=str(file))
        folder = file.absolute().parent
        lesions = PackedLesions(
            _lesion(row, dict(zip(names, cells, strict=True)), folder, where=f"{file}: row {row}")
            for row, cells in sheet
        )
    if not lesions:
        raise TableError("the table has a header but no row; one row is one lesion", where=str(file))
    _refuse_duplicates(lesions, where=str(file))
    return CohortTable(lesions, file, (*sheet.findings, *_unclear_dates(lesions, str(file))))


def write_cohort(cohort: CohortTable | Iterable[Lesion], path: str | Path) -> CohortTable:
    """Write cohort.csv with all 13 columns and return the table as `load_cohort` would read it.

    Parameters
    ----------
    cohort : CohortTable or iterable of Lesion
        The rows.
    path : str or Path
        The CSV; paths in it are relative to its folder.
    """
    file = Path(path).absolute()
    findings = cohort.findings if isinstance(cohort, CohortTable) else ()
    lesions = cohort.lesions if isinstance(cohort, CohortTable) else tuple(cohort)
    _refuse_duplicates(lesions, where=str(path))
    write_sheet(file, COLUMNS, ([_cell(lesion, c, file.parent) for c in COLUMNS] for lesion in lesions))
    numbered = tuple(replace(lesion, row=row) for row, lesion in enumerate(lesions, start=2))
    return CohortTable(numbered, Path(path), findings)


def cohort_from_index(
    index: DicomIndex, csv_path: str | Path, *, pseudonymise: bytes | None = None, rois: Sequence[str] = ()
) -> CohortTable:
    """Make one row of every ROI and segment that was linked to a CT volume; nothing is written.

    Parameters
    ----------
    index : DicomIndex
        What `index_dicom` found.
    csv_path : str or Path
        Where the table will be written.
    pseudonymise : bytes, optional
        Key under which `patient_id` is replaced. Paths, ROI names, series UIDs and study dates stay; a finding says
        how many rows still hold the PatientID in one of them.
    rois : sequence of str, optional
        Regular expressions (whole name, any case); only ROIs and segments that one of them fits become rows.

    Raises
    ------
    ConfigError
        A pattern is not a regular expression.
    """
    patterns = _compiled(rois)
    path = Path(csv_path)
    lesions: list[Lesion] = []
    findings = [f for link in index.links for f in link.findings]
    taken: dict[str, set[str]] = {}
    linked = [(link, link.series) for link in index.links if link.series is not None and _wanted(link, patterns)]
    for link, series in sorted(linked, key=lambda pair: pair[1].patient_id):
        patient = patient_name(series, pseudonymise)
        lesion_id = _unique(_safe(link.roi_name or link.label), taken.setdefault(patient, set()))
        lesions.append(_row(len(lesions) + 2, patient, lesion_id, link, series))
    if pseudonymise is not None:
        findings += _identifiers_left(index, lesions, path)
    return CohortTable(tuple(lesions), path, tuple(findings))


def _row(row: int, patient_id: str, lesion_id: str, link: MaskLink, series: SeriesRecord) -> Lesion:
    return Lesion(
        row=row,
        patient_id=patient_id,
        lesion_id=lesion_id,
        image=_image_path(series).absolute(),
        mask=link.mask.absolute(),
        label=link.label,
        roi_name=link.roi_name,
        series_uid=series.series_uid,
        study_date=series.study_date,
        contrast_phase=series.contrast_phase,
        slice_thickness_mm=series.slice_thickness_mm,
        kernel=series.kernel,
        manufacturer=series.manufacturer,
        site=series.site,
    )


def _image_path(series: SeriesRecord) -> Path:
    if series.n_files == 1 and series.n_volumes == 1 and series.volume == 1:
        return series.first_file
    return series.folder


def _compiled(rois: Sequence[str]) -> list[re.Pattern[str]]:
    patterns = []
    for text in rois:
        try:
            patterns.append(re.compile(text, re.IGNORECASE))
        except re.error as error:
            raise ConfigError(f"{text!r} is not a regular expression: {error}", where="--roi") from error
    return patterns


def _wanted(link: MaskLink, patterns: list[re.Pattern[str]]) -> bool:
    return not patterns or any(p.fullmatch(link.roi_name.strip()) for p in patterns)


def _safe(name: str) -> str:
    """Return a name that may stand in a file name on any system."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")[:64] or "lesion"


def _unique(name: str, taken: set[str]) -> str:
    candidate, number_ = name, 1
    while candidate.casefold() in taken:
        number_ += 1
        candidate = f"{name}-{number_}"
    taken.add(candidate.casefold())
    return candidate


def _identifiers_left(index: DicomIndex, lesions: Sequence[Lesion], path: Path) -> list[Finding]:
    ids = {s.patient_id for s in index.series if s.patient_id}
    lengths = sorted({len(patient_id) for patient_id in ids})

    @lru_cache(maxsize=4096)
    def holds_one(cell: str) -> bool:
        # By the few lengths that they have: an archive has too many to look for each.
        return any(cell[i : i + n] in ids for n in lengths for i in range(len(cell) - n + 1))

    folder = path.absolute().parent
    left = 0
    for lesion in lesions:
        cells = (relative_path(lesion.image, folder), relative_path(lesion.mask, folder), lesion.roi_name, lesion.label)
        left += any(map(holds_one, cells))
    if not left:
        return []
    sentence = f"{left} of {len(lesions)} rows hold an original PatientID in a path or ROI name; rename before sharing"
    return [Finding("identifier-left", sentence, str(path))]


def _schema_columns(header: Sequence[str], *, where: str) -> list[str]:
    names = [column_name(cell) for cell in header]
    for position, (name, cell) in enumerate(zip(names, header, strict=True), start=1):
        if not name:
            raise TableError(f"column {position} has no name; name it or remove it", where=where)
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known columns are {', '.join(COLUMNS)}"
            raise TableError(f"unknown column {cell!r}; {hint}", where=where)
        if names.index(name) != position - 1:
            raise TableError(f"the column {name} is there twice; remove one", where=where)
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise TableError(f"{noun} {', '.join(missing)} missing; found {', '.join(names)}", where=where)
    return names


def _lesion(row: int, cells: dict[str, str], folder: Path, *, where: str) -> Lesion:
    for name in REQUIRED:
        if not cells[name]:
            raise TableError(f"{name} is empty; fill it or remove the row", where=where)
    text = {name: cells.get(name, "") for name in _TEXT_COLUMNS}
    text["study_date"] = _iso_date(text["study_date"], where=where)
    thickness = number(cells.get("slice_thickness_mm", ""), "slice_thickness_mm", where=where)
    if thickness is not None and thickness <= 0:
        raise TableError(f"slice_thickness_mm is {thickness:g}, expected more than 0 or nothing", where=where)
    return Lesion(
        row=row,
        image=_absolute(cells["image"], folder),
        mask=_absolute(cells["mask"], folder),
        slice_thickness_mm=thickness,
        **text,
    )


def _absolute(text: str, folder: Path) -> Path:
    path = Path(os.path.normpath(os.path.join(folder, text)))  # noqa: PTH118  # a million times, and twice as fast
    if "\\" in text and os.sep != "\\" and not path.exists() and not PureWindowsPath(text).is_absolute():
        # Written on Windows, read elsewhere.
        return Path(os.path.normpath(folder / text.replace("\\", "/")))
    return path


def _iso_date(text: str, *, where: str) -> str:
    """Return a date as YYYY-MM-DD where it can be read in one way only, else as it is."""
    for pattern, order in (
        (r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})", (1, 2, 3)),
        (r"(\d{1,2})\.(\d{1,2})\.(\d{4})", (3, 2, 1)),
    ):
        match = re.fullmatch(pattern, text)
        if match:
            year, month, day = (int(match[i]) for i in order)
            try:
                return date(year, month, day).isoformat()
            except ValueError as error:
                sentence = f"study_date is {text!r}, which is no day of the calendar; write YYYY-MM-DD or nothing"
                raise TableError(sentence, where=where) from error
    return text


def _unclear_dates(lesions: PackedLesions, where: str) -> list[Finding]:
    """Name the rows whose study_date could be read in several ways, or in none."""
    unclear = ((row, date_) for row, date_ in lesions.texts("row", "study_date") if date_ and not _ISO.fullmatch(date_))
    row, found = next(unclear, ("", ""))
    if not found:
        return []
    others = sum(1 for _ in unclear)
    more = f" and {others} other rows" if others else ""
    sentence = f"study_date of row {row}{more} is not a date that can be read in one way ({found!r}); write YYYY-MM-DD"
    return [Finding("study-date-unclear", sentence, where)]


def _refuse_duplicates(lesions: Sequence[Lesion], *, where: str) -> None:
    twice = find_repeated(lesions)
    if twice is not None:
        first, lesion = twice
        raise TableError(
            f"rows {first.row} and {lesion.row} are both patient_id {lesion.patient_id!r}, lesion_id "
            f"{lesion.lesion_id!r}; give each lesion of a patient a lesion_id of its own",
            where=where,
        )


def _cell(lesion: Lesion, column: str, folder: Path) -> str:
    value = getattr(lesion, column)
    if isinstance(value, Path):
        return relative_path(value, folder)
    if value is None:
        return ""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
