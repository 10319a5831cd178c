"""Feature and ICC tables as `train` and `evaluate` are given them: ours, or a CSV that another program wrote."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from radiomics_talent.cohort.spreadsheet import number, read_sheet
from radiomics_talent.errors import TableError
from radiomics_talent.features.dataset import find_features
from radiomics_talent.features.table import KEY_COLUMNS, FeatureTable, load_features

if TYPE_CHECKING:
    from radiomics_talent.cohort.spreadsheet import Sheet

_NO_FEATURES = frozenset({"image", "mask", "row"})
_MISSING = frozenset({"", "na", "nan", "n/a", "null"})


def read_features(path: str | Path) -> FeatureTable:
    """Read a feature table: a run folder, features.parquet, features.csv, or any CSV with ``patient_id`` and numbers.

    In a CSV of another program key columns may be missing; a row without ``lesion_id`` is a lesion of its own.

    Raises
    ------
    TableError
        No ``patient_id``, no feature, text among the numbers, or a lesion there twice.
    """
    file = _table_file(Path(path))
    if file.suffix.lower() != ".csv":
        return load_features(file)
    sheet = read_sheet(file, KEY_COLUMNS)
    if all(name in sheet.header for name in KEY_COLUMNS):
        try:
            return load_features(file)
        except TableError:
            pass  # written anew by a spreadsheet program: read it as it is now
    return _foreign_table(sheet, str(file))


@dataclass(frozen=True, slots=True)
class ExtractionRecord:
    """How a feature table was made.

    Attributes
    ----------
    settings : dict
        `ExtractionSettings.canonical`.
    versions : dict of str to str
        Versions that features depend on.
    """

    settings: dict[str, Any]
    versions: dict[str, str]


def extraction_record(path: str | Path) -> ExtractionRecord | None:
    """Return how the features were extracted, from provenance.json beside their table; None without one.

    Raises
    ------
    TableError
        The file is damaged.
    """
    file = _table_file(Path(path)).with_name("provenance.json")
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return ExtractionRecord(dict(record["settings"]), {n: str(v) for n, v in record["versions"].items()})
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise TableError("is damaged; extract again, or remove it", where=str(file)) from error


def read_icc(path: Path) -> dict[str, float]:
    """Read an ICC table: columns ``feature`` and ``icc`` (0 to 1).

    Raises
    ------
    TableError
        A column is missing, or a value is no number.
    """
    sheet = read_sheet(path, ("feature", "icc"))
    missing = [c for c in ("feature", "icc") if c not in sheet.header]
    if missing:
        raise TableError(f"an ICC table needs the columns feature and icc; {missing[0]} is missing", where=str(path))
    name, value = sheet.header.index("feature"), sheet.header.index("icc")
    table = {}
    for row, cells in sheet.rows:
        icc = number(cells[value], "icc", where=f"{path}: row {row}")
        table[cells[name]] = math.nan if icc is None else icc
    return table


def read_lesion_outcomes(path: Path, outcome: str) -> pd.DataFrame:
    """Read a table of lesions: ``patient_id``, ``lesion_id`` and the outcome (response_lesions.csv of ``recist``).

    Raises
    ------
    TableError
        A column is missing, or a lesion is there twice.
    """
    sheet = read_sheet(path, ("patient_id", "lesion_id", outcome))
    missing = [c for c in ("patient_id", "lesion_id", outcome) if c not in sheet.header]
    if missing:
        raise TableError(f"no column {missing[0]}; its columns are {', '.join(sheet.header)}", where=str(path))
    table = pd.DataFrame([cells for _, cells in sheet.rows], columns=list(sheet.header), dtype=object)
    twice = table.duplicated(["patient_id", "lesion_id"])
    if twice.any():
        first = table.loc[twice].iloc[0]
        raise TableError(
            f"lesion {first['patient_id']}/{first['lesion_id']} is there twice; remove a row", where=str(path)
        )
    return table.where(table != "", None)


def _table_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    table = find_features(path)
    if table is None:
        raise TableError(
            "the folder has no features.parquet or features.csv; name the run folder of extract", where=str(path)
        )
    return table


def _foreign_table(sheet: Sheet, where: str) -> FeatureTable:
    header = sheet.header
    if "patient_id" not in header:
        raise TableError(f"no column patient_id; its columns are {', '.join(header[:8])} ...", where=where)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError(f"column {twice[0]} is there twice; rename or remove one", where=where)
    columns = [c for c in header if c not in KEY_COLUMNS and c not in _NO_FEATURES and c]
    if not columns:
        raise TableError("no feature column beside the key columns", where=where)
    if not sheet.rows:
        raise TableError("the table has no rows", where=where)
    counts: dict[str, int] = {}
    rows = []
    for number_, cells in sheet.rows:
        record = dict(zip(header, cells, strict=True))
        place = f"{where}: row {number_}"
        patient = record["patient_id"]
        if not patient:
            raise TableError("patient_id is empty", where=place)
        counts[patient] = counts.get(patient, 0) + 1
        keys: dict[str, object] = {c: record[c] for c in KEY_COLUMNS if c in record and c != "slice_thickness_mm"}
        keys["lesion_id"] = record.get("lesion_id") or str(counts[patient])
        keys["slice_thickness_mm"] = number(record.get("slice_thickness_mm", ""), "slice_thickness_mm", where=place)
        rows.append((keys, {c: _value(record[c], c, place) for c in columns}))
    try:
        return FeatureTable.from_rows(rows)
    except TableError as error:
        raise TableError(error.message, where=where) from error


def _value(cell: str, column: str, where: str) -> float:
    if cell.casefold() in _MISSING:
        return math.nan
    if cell.casefold().lstrip("+-") in {"inf", "infinity"}:
        raise TableError(f"{column} is infinite; remove the value or the row", where=where)
    value = number(cell, column, where=where)
    return math.nan if value is None else value
