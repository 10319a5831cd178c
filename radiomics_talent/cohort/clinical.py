"""clinical.csv: one row a patient, typed by the study's data dictionary.

What the dictionary knows is checked against it; a column that it lacks is taken for what its cells look like, and a
sentence says so. Identifiers are text: ``007`` and ``NA`` stay what they are.
"""

from __future__ import annotations

import calendar
import datetime as dt
import difflib
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from radiomics_talent.cohort.spreadsheet import column_name, number, read_sheet
from radiomics_talent.errors import TableError
from radiomics_talent.study_settings import FLAG_LEVELS, ID_COLUMN, ColumnSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from radiomics_talent.cohort.spreadsheet import Sheet
    from radiomics_talent.study_settings import StudySettings

Value = float | str | None
Cells = tuple[tuple[int, str], ...]
"""Row number and text of each cell of a column."""

MISSING = ("na", "n/a", "#n/a", "nan", "null")
"""What R, Excel, pandas and databases write for nothing: as good as empty where it cannot be a value."""
_FLAG_SPELLINGS = (("no", "n", "false", "0", "0.0"), ("yes", "y", "true", "1", "1.0"))
_DATES = (
    (r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ]00:00(?::00)?)?", (1, 2, 3)),
    (r"(\d{1,2})\.(\d{1,2})\.(\d{4})", (3, 2, 1)),
)
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_MANY_TEXTS = 10
"""From this number of rows on, a category of mostly different texts is taken for free text."""


@dataclass(frozen=True, slots=True, eq=False)
class ClinicalTable:
    """A clinical table, typed.

    Attributes
    ----------
    frame : pandas.DataFrame
        A row a patient in the order of the file, indexed by `patient_id` (text). Numbers, integers and flags are
        float64 with NaN for empty; categories, texts and dates (YYYY-MM-DD) are text with None for empty.
    columns : dict
        Settings of each column of the frame.
    findings : tuple of str
        What was guessed or looks wrong, a sentence each.
    """

    frame: pd.DataFrame
    columns: dict[str, ColumnSettings] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def load_clinical(path: str | Path, study: StudySettings | None = None) -> ClinicalTable:
    """Read a clinical table.

    Parameters
    ----------
    path : str or Path
        The CSV; as Excel of any country writes it, too.
    study : StudySettings, optional
        Its data dictionary types and checks the columns. A column that it lacks is a number when all its cells are,
        else a category, and a covariate.

    Returns
    -------
    ClinicalTable
        The columns of the file, and those that the dictionary derives from them.

    Raises
    ------
    TableError
        The file is no table, `patient_id` is absent, empty or repeated, or a cell is not what its column holds.
    """
    file = Path(path)
    if not file.exists():
        raise TableError("no such file; a clinical table is a CSV with one row a patient", where=str(file))
    dictionary = dict(study.columns) if study is not None else {}
    sheet = read_sheet(file, [ID_COLUMN, *map(column_name, dictionary)])
    names = _column_names(sheet.header, dictionary, where=str(file))
    ids = _patient_ids(sheet, names.index(ID_COLUMN), where=str(file))
    findings = [finding.sentence for finding in sheet.findings]
    columns: dict[str, ColumnSettings] = {}
    values: dict[str, list[Value]] = {}
    for position, name in enumerate(names):
        cells = tuple((row, texts[position]) for row, texts in sheet.rows)
        if name != ID_COLUMN:
            columns[name] = dictionary.get(name) or _inferred(cells)
            values[name] = [_value(text, name, columns[name], where=f"{file}: row {row}") for row, text in cells]
            findings += _doubts(name, columns[name], cells)
    findings += _unlisted(columns, dictionary, study)
    findings += _derive(values, columns, dictionary)
    index = pd.Index(ids, dtype=object, name=ID_COLUMN)
    frame = pd.DataFrame({name: _series(values[name], columns[name], index) for name in columns}, index=index)
    findings += _uninformative(frame, columns)
    findings += _unpaired(frame, columns)
    return ClinicalTable(frame, columns, tuple(findings))


def _column_names(header: Sequence[str], dictionary: Mapping[str, ColumnSettings], *, where: str) -> list[str]:
    """Return the names of the columns: the dictionary's spelling where it knows one, else that of the file."""
    spelling = {column_name(name): name for name in (ID_COLUMN, *dictionary)}
    names: list[str] = []
    for position, cell in enumerate(header, start=1):
        if not cell:
            raise TableError(f"column {position} has no name; name it or remove it", where=where)
        name = cell if cell in dictionary else spelling.get(column_name(cell), cell)
        if name in names:
            raise TableError(f"the column {name} is there twice; remove one", where=where)
        names.append(name)
    if ID_COLUMN not in names:
        raise TableError(f"column {ID_COLUMN} missing; found {', '.join(names)}", where=where)
    return names


def _patient_ids(sheet: Sheet, position: int, *, where: str) -> list[str]:
    if not sheet.rows:
        raise TableError("the table has a header but no row; one row is one patient", where=where)
    rows: dict[str, int] = {}
    for row, texts in sheet.rows:
        patient = texts[position]
        if not patient:
            raise TableError(f"{ID_COLUMN} is empty; fill it or remove the row", where=f"{where}: row {row}")
        first = rows.setdefault(patient, row)
        if first != row:
            raise TableError(
                f"rows {first} and {row} are both {ID_COLUMN} {patient!r}; the table has one row a patient", where=where
            )
    return list(rows)


def _inferred(cells: Cells) -> ColumnSettings:
    filled = [text for _, text in cells if text and text.casefold() not in MISSING]
    return ColumnSettings(type="number" if filled and all(map(_looks_numeric, filled)) else "category")


def _looks_numeric(text: str) -> bool:
    """Whether a number was meant, be it one that will be refused as infinite."""
    try:
        number(text, "", where="")
    except TableError:
        try:
            return math.isinf(float(text))
        except ValueError:
            return False
    return True


def _value(text: str, name: str, column: ColumnSettings, *, where: str) -> Value:
    """Return what a cell holds, None when it is empty."""
    if not text or _is_mark(text, column):
        return None
    if column.is_numeric:
        return _number(text, name, column, where=where)
    if column.type == "flag":
        return float(_level(text, name, column, where=where) == FLAG_LEVELS[1])
    if column.type == "date":
        return iso_date(text, name, where=where)
    return text if column.levels is None else _level(text, name, column, where=where)


def _is_mark(text: str, column: ColumnSettings) -> bool:
    """Whether the text is another program's way of writing nothing, and not a value of this column."""
    open_ended = column.type == "text" or (column.type == "category" and column.levels is None)
    return text.casefold() in MISSING and not open_ended and text.casefold() not in _spellings(column)


def _spellings(column: ColumnSettings) -> dict[str, str]:
    """Return every accepted spelling, in lower case, with the level that it stands for."""
    levels = FLAG_LEVELS if column.type == "flag" else column.levels or ()
    spellings = {level.casefold(): level for level in levels}
    if column.type == "flag":
        spellings |= {s: level for level, several in zip(levels, _FLAG_SPELLINGS, strict=True) for s in several}
    return spellings | {alias.casefold(): level for level, several in column.aliases.items() for alias in several}


def _level(text: str, name: str, column: ColumnSettings, *, where: str) -> str:
    spellings = _spellings(column)
    if text.casefold() in spellings:
        return spellings[text.casefold()]
    levels = "0 or 1" if column.type == "flag" else f"one of {', '.join(column.levels or ())}"
    near = difflib.get_close_matches(text.casefold(), spellings, n=1)
    hint = f"; did you mean {spellings[near[0]]}?" if near else ""
    raise TableError(f"{name} is {text!r}, expected {levels}, or nothing{hint}", where=where)


def _number(text: str, name: str, column: ColumnSettings, *, where: str) -> float:
    value = number(text, name, where=where)
    assert value is not None  # the cell is not empty
    unit = f" {column.unit}" if column.unit else ""
    if column.is_time and value < 0:
        raise TableError(f"{name} is {text}, but a time cannot be negative", where=where)
    if column.type == "integer" and not value.is_integer():
        raise TableError(f"{name} is {text}, expected a whole number", where=where)
    for limit, sign, word in ((column.min, -1, "below the smallest"), (column.max, 1, "above the largest")):
        if limit is not None and (value - limit) * sign > 0:
            raise TableError(
                f"{name} is {text}, {word} plausible value {limit:g}{unit}; correct the value or its unit", where=where
            )
    return value


def iso_date(text: str, name: str, *, where: str) -> str:
    """Return a date as YYYY-MM-DD from the ways in which people write it unambiguously.

    Raises
    ------
    TableError
        It is no such date.
    """
    for pattern, order in _DATES:
        match = re.fullmatch(pattern, text)
        if match and _FIRST_YEAR <= int(match[order[0]]) <= _LAST_YEAR:
            try:
                return dt.date(*(int(match[i]) for i in order)).isoformat()
            except ValueError:
                break
    raise TableError(f"{name} is {text!r}, expected a date such as 2016-04-30, or nothing", where=where)


def _series(values: list[Value], column: ColumnSettings, index: pd.Index[str]) -> pd.Series[float] | pd.Series[str]:
    if column.is_numeric or column.type == "flag":
        return pd.Series([math.nan if v is None else v for v in values], index=index, dtype="float64")
    return pd.Series(values, index=index, dtype=object)


def _derive(
    values: dict[str, list[Value]], columns: dict[str, ColumnSettings], dictionary: Mapping[str, ColumnSettings]
) -> list[str]:
    """Fill empty cells of the columns that the dictionary derives; a column that is absent is added when any is."""
    findings = []
    for name, column in dictionary.items():
        if column.derived is None or not all(i in values for i in column.derived.inputs):
            continue
        compute = cockcroft_gault if column.derived.by == "cockcroft-gault" else months_between
        rows = list(zip(*(values[i] for i in column.derived.inputs), strict=True))
        given = values.get(name, [None] * len(rows))
        filled = [
            compute(*row) if value is None and None not in row else value
            for value, row in zip(given, rows, strict=True)
        ]
        n = sum(new is not old for new, old in zip(filled, given, strict=True))
        if n:
            values[name], columns[name] = filled, column
            inputs = ", ".join(column.derived.inputs)
            findings.append(f"{name} of {n} patients was computed ({column.derived.by}) from {inputs}")
    return findings


def cockcroft_gault(age: float, sex: str, weight_kg: float, creatinine_mg_dl: float) -> float | None:
    """Return the creatinine clearance in mL/min (Cockcroft and Gault, Nephron 1976;16:31); None without creatinine."""
    if creatinine_mg_dl <= 0:
        return None
    return (140 - age) * weight_kg / (72 * creatinine_mg_dl) * (0.85 if sex == "F" else 1.0)


def months_between(first: str, second: str) -> float:
    """Return the calendar months from one ISO date to another, with the fraction of the last month.

    The first of July to the first of August a year later is 13. Negative when the second date is the earlier.
    """
    start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(second)
    if end < start:
        return -months_between(second, first)
    whole = (end.year - start.year) * 12 + end.month - start.month
    whole -= _months_later(start, whole) > end
    reached, following = _months_later(start, whole), _months_later(start, whole + 1)
    return whole + (end - reached).days / (following - reached).days


def _months_later(day: dt.date, months: int) -> dt.date:
    """Return the same day some months later, or the last day of a shorter month."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return dt.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _doubts(name: str, column: ColumnSettings, cells: Cells) -> list[str]:
    """Return what looks wrong with the cells of one column."""
    filled = [(row, text) for row, text in cells if text]
    marks = [(row, text) for row, text in filled if text.casefold() in MISSING]
    doubts = []
    if marks and all(_is_mark(text, column) for _, text in marks):
        doubts.append(f"{name} says {marks[0][1]} in {_rows(marks)}, which was taken as empty")
    elif marks and column.type == "category":
        doubts.append(
            f"{name} says {marks[0][1]} in {_rows(marks)}, which was taken as a category; empty it if unknown"
        )
    if column.type != "category" or column.levels is not None:
        return doubts
    texts = [(row, text) for row, text in filled if not _looks_numeric(text) and text.casefold() not in MISSING]
    if 0 < len(texts) < len(filled) - len(marks) - len(texts):
        doubts.append(
            f"{name} holds numbers, but {texts[0][1]!r} in {_rows(texts)}: it was taken as a category; correct the text"
        )
    different = len({text for _, text in filled})
    if column.role == "covariate" and len(filled) >= _MANY_TEXTS and different > len(filled) / 2:
        doubts.append(
            f"{name} has {different} different texts in {len(filled)} rows; as a category it says nothing, and no "
            "model takes it unless its settings name it"
        )
    return doubts


def _rows(cells: Sequence[tuple[int, str]]) -> str:
    shown = ", ".join(str(row) for row, _ in cells[:5])
    more = f" and {len(cells) - 5} more" if len(cells) > 5 else ""
    return f"row {shown}" if len(cells) == 1 else f"rows {shown}{more}"


def _unlisted(
    columns: Mapping[str, ColumnSettings], dictionary: Mapping[str, ColumnSettings], study: StudySettings | None
) -> list[str]:
    by = f"the data dictionary of {study.name} lacks" if study is not None else "there is no data dictionary for"
    findings = []
    for kind in ("number", "category"):
        names = []
        for name, column in columns.items():
            if name not in dictionary and column.type == kind:
                near = difflib.get_close_matches(column_name(name), [d for d in dictionary if d not in columns], n=1)
                names.append(f"{name} (did you mean {near[0]}?)" if near else name)
        if names:
            findings.append(f"{by} {', '.join(names)}: taken as {kind}")
    return findings


def _uninformative(frame: pd.DataFrame, columns: Mapping[str, ColumnSettings]) -> list[str]:
    """Name the columns without any value, and those with one value alone where more are expected."""
    empty, constant = [], []
    for name, column in columns.items():
        present = frame[name].dropna()
        if present.empty and column.role != "ignore":
            empty.append(name)
        elif present.nunique() == 1 and len(present) > 1 and column.role in {"covariate", "endpoint", "batch"}:
            value = present.iloc[0]
            constant.append(f"{name} ({value:g})" if isinstance(value, float) else f"{name} ({value})")
    findings = [f"no row has a value for {', '.join(empty)}"] if empty else []
    return findings + ([f"every value is the same, so it tells nothing: {', '.join(constant)}"] if constant else [])


def _unpaired(frame: pd.DataFrame, columns: Mapping[str, ColumnSettings]) -> list[str]:
    """Name the times without their event, and the events without their time."""
    findings = []
    for time, column in columns.items():
        event = column.event
        if event is None:
            continue
        if event not in frame:
            findings.append(f"{time} is there without {event}, so nobody's time is known to be censored or not")
            continue
        # Counted, not named: findings travel with the model.
        odd = int((frame[time].isna() != frame[event].isna()).sum())
        if odd:
            findings.append(f"{odd} patients have one of {time} and {event} without the other")
    return findings
