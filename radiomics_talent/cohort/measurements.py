"""measurements.csv: one row a lesion and visit; patients.csv: one row a patient, with cohort and what became of them.

A bad row makes its patient fail, with one sentence, and the others go on. Which columns and words there are stands in
docs/recist.md.
"""

from __future__ import annotations

import datetime as dt
import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from radiomics_talent.cohort.clinical import MISSING, iso_date
from radiomics_talent.cohort.patient_course import TOO_SMALL, MeasurementRow, PersonRow, Role, build_course, doubts_of
from radiomics_talent.cohort.spreadsheet import column_name, number, read_sheet
from radiomics_talent.cohort.visit_response import PatientCourse, ResponseRules
from radiomics_talent.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Cells = dict[str, str]
_IDS = frozenset({"patient_id", "lesion_id", "cohort"})

REQUIRED = ("patient_id", "lesion_id", "role", "diameter_mm")
"""Columns of measurements.csv without which a row says nothing; one of `DAYS` must be there too."""
DAYS = ("visit_day", "visit_date")
COLUMNS = (*REQUIRED, *DAYS, "node", "status", "organ", "cohort", "prior_local_therapy", "progressed_since")
"""Every column of measurements.csv that is used."""
PATIENT_COLUMNS = (
    "patient_id", "cohort", "treatment", "start_date", "last_contact_day", "last_contact_date", "death_day",
    "death_date", "next_therapy_day", "next_therapy_date",
)  # fmt: skip
"""Every column of patients.csv that is used; all but the first may be absent."""
LARGEST_MM = 500.0
"""A diameter above this is a mistake of unit or of typing."""
LARGEST_DAY = 20_000
"""A day beyond this is the number of a date: Excel's 42430 is 2016-03-01."""
_ROLES: dict[str, Role] = {
    "target": "target",
    "non-target": "non-target",
    "nontarget": "non-target",
    "non target": "non-target",
    "non_target": "non-target",
    "new": "new",
}
_FLAGS = {"yes": "yes", "y": "yes", "1": "yes", "true": "yes", "no": "no", "n": "no", "0": "no", "false": "no"}
_WORDS = {
    "present": ("present", "stable", "persistent", "non-cr/non-pd"),
    "absent": ("absent", "disappeared", "gone", "resolved"),
    "unequivocal progression": ("unequivocal progression", "unequivocal pd", "progression", "pd"),
    "equivocal": ("equivocal",),
    "not evaluable": ("not evaluable", "not evaluated", "not measured", "ne"),
    TOO_SMALL: (TOO_SMALL, "too small", "tstm", "<5", "< 5"),
}
_SPELLINGS = {spelling: word for word, spellings in _WORDS.items() for spelling in spellings}
_WORDS_OF = {
    "target": ("present", "absent", TOO_SMALL, "not evaluable"),
    "non-target": ("present", "absent", TOO_SMALL, "unequivocal progression", "not evaluable"),
    "new": ("present", "equivocal", "absent", "not evaluable"),
}


@dataclass(frozen=True, slots=True)
class PatientFailure:
    """Why a patient could not be assessed: one sentence, with file and row."""

    patient_id: str
    sentence: str


@dataclass(frozen=True, slots=True)
class MeasurementTable:
    """What the tables hold.

    Attributes
    ----------
    courses : tuple of PatientCourse
        Patients without a mistake, in the order of the files.
    failures : tuple of PatientFailure
        One for each sentence; a patient may have several.
    findings : tuple of str
        What looks wrong but does not stop the assessment, a sentence each.
    """

    courses: tuple[PatientCourse, ...]
    failures: tuple[PatientFailure, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Book:
    """What was read so far."""

    rows: dict[str, list[MeasurementRow]] = field(default_factory=dict)
    people: dict[str, PersonRow] = field(default_factory=dict)
    failures: list[PatientFailure] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def fail(self, patient: str, error: TableError) -> None:
        self.failures.append(PatientFailure(patient, str(error)))


def load_measurements(
    path: str | Path, patients: str | Path | None = None, *, rules: ResponseRules | None = None
) -> MeasurementTable:
    """Read the readings of all lesions and, where given, what is known of the patients.

    Parameters
    ----------
    path : str or Path
        measurements.csv; as Excel of any country writes it, too.
    patients : str or Path, optional
        patients.csv: cohort, death, last contact. Whoever stands in it was treated, with or without a reading.
    rules : ResponseRules, optional
        Says how many mm "too small to measure" is.

    Raises
    ------
    TableError
        A file is no table, or lacks a column; a bad row is a failure of its patient instead.
    """
    rules = rules or ResponseRules()
    book = _Book()
    _read_rows(Path(path), book)
    if patients is not None:
        _read_people(Path(patients), book)
        book.findings += _strangers(book, Path(path).name, Path(patients).name)
    courses = []
    bad = {f.patient_id for f in book.failures}
    for patient in dict.fromkeys([*book.rows, *book.people]):
        if patient in bad:
            continue
        try:
            course = build_course(patient, book.rows.get(patient, ()), book.people.get(patient, PersonRow()), rules)
        except TableError as error:
            book.fail(patient, error)
        else:
            courses.append(course)
            book.findings += doubts_of(course)
    return MeasurementTable(tuple(courses), tuple(book.failures), tuple(book.findings))


def _read_rows(file: Path, book: _Book) -> None:
    names, rows = _sheet(file, COLUMNS, "one row is one lesion at one visit", book)
    missing = [c for c in REQUIRED if c not in names]
    _refuse_misspelt(names, where=str(file))
    if missing:
        raise TableError(f"column {', '.join(missing)} missing; found {', '.join(names)}", where=str(file))
    if not any(c in names for c in DAYS):
        raise TableError(f"neither {' nor '.join(DAYS)} is there; found {', '.join(names)}", where=str(file))
    for row, cells in rows:
        where, patient = f"{file}: row {row}", cells["patient_id"]
        try:
            _refuse_nameless(patient, where=where)
            book.rows.setdefault(patient, []).append(_measurement(row, cells, where=where))
        except TableError as error:
            book.fail(patient, error)


def _read_people(file: Path, book: _Book) -> None:
    names, rows = _sheet(file, PATIENT_COLUMNS, "one row is one patient", book)
    if "patient_id" not in names:
        raise TableError(f"column patient_id missing; found {', '.join(names)}", where=str(file))
    # A whole clinical table may be given: what it has besides is no mistake, unless it looks like one.
    book.findings += [
        f"{file.name}: column {name!r} is not used; did you mean {near}?"
        for name, near in _misspelt(names, PATIENT_COLUMNS)
    ]
    first: dict[str, int] = {}
    for row, cells in rows:
        where, patient = f"{file}: row {row}", cells["patient_id"]
        try:
            _refuse_nameless(patient, where=where)
            _refuse_repeated(patient, first.setdefault(patient, row), row, where=where)
            book.people[patient] = _person(cells, where=where)
        except TableError as error:
            book.fail(patient, error)


def _refuse_nameless(patient: str, *, where: str) -> None:
    if not patient:
        raise TableError("patient_id is empty; fill it or remove the row", where=where)


def _refuse_repeated(patient: str, first: int, row: int, *, where: str) -> None:
    if first != row:
        raise TableError(f"patient_id {patient!r} is also in row {first}; remove one", where=where)


def _sheet(file: Path, known: Sequence[str], what: str, book: _Book) -> tuple[list[str], list[tuple[int, Cells]]]:
    """Return the column names, and number and known cells of each row."""
    if not file.exists():
        raise TableError(f"no such file; expected a CSV: {what}", where=str(file))
    sheet = read_sheet(file, known)
    book.findings += [f"{file.name}: {finding.sentence}" for finding in sheet.findings]
    names = [column_name(cell) for cell in sheet.header]
    twice = next((name for name in known if names.count(name) > 1), None)
    if twice is not None:
        raise TableError(f"the column {twice} is there twice; remove one", where=str(file))
    if not sheet.rows:
        raise TableError(f"the table has a header but no row; {what}", where=str(file))
    rows = [(n, {k: c for k, c in zip(names, cells, strict=True) if k in known}) for n, cells in sheet.rows]
    return names, rows


def _misspelt(names: Sequence[str], known: Sequence[str]) -> list[tuple[str, str]]:
    """Return the unknown names that look like a known one which is absent."""
    absent = [k for k in known if k not in names]
    pairs = [(n, difflib.get_close_matches(n, absent, n=1, cutoff=0.75)) for n in names if n not in known]
    return [(name, near[0]) for name, near in pairs if near]


def _refuse_misspelt(names: Sequence[str], *, where: str) -> None:
    for name, near in _misspelt(names, COLUMNS):
        raise TableError(f"unknown column {name!r}; did you mean {near}?", where=where)


def _without_marks(cells: Cells) -> Cells:
    """Return the cells with what other programs write for nothing (NA, NaN) as nothing; ids stay what they are."""
    return {k: "" if v.casefold() in MISSING and k not in _IDS else v for k, v in cells.items()}


def _measurement(row: int, cells: Cells, *, where: str) -> MeasurementRow:
    cells = _without_marks(cells)
    lesion = cells["lesion_id"]
    if not lesion:
        raise TableError("lesion_id is empty; name the lesion", where=where)
    role = _ROLES[_known(cells["role"], {s: s for s in _ROLES}, "role", _WORDS_OF, where=where)]
    diameter, word = _diameter_and_word(cells, role, where=where)
    when = _when(cells, "visit", where=where)
    if when is None:
        raise TableError("the row has neither visit_day nor visit_date", where=where)
    return MeasurementRow(
        where,
        row,
        lesion,
        role,
        when,
        diameter,
        word,
        _flag(cells, "node", where=where),
        cells.get("organ", ""),
        cells.get("cohort", ""),
        _flag(cells, "prior_local_therapy", where=where),
        _flag(cells, "progressed_since", where=where),
    )


def _person(cells: Cells, *, where: str) -> PersonRow:
    cells = _without_marks(cells)
    return PersonRow(
        where,
        cells.get("cohort", ""),
        cells.get("treatment", ""),
        _date(cells, "start_date", where=where),
        _when(cells, "last_contact", where=where),
        _when(cells, "death", where=where),
        _when(cells, "next_therapy", where=where),
    )


def _diameter_and_word(cells: Cells, role: Role, *, where: str) -> tuple[float | None, str]:
    """Return the diameter, and the word that stands in the cell of the status or of the diameter."""
    text, words = cells["diameter_mm"], []
    diameter = None
    if text.casefold() in _SPELLINGS:
        words.append(_SPELLINGS[text.casefold()])
    else:
        diameter = number(text, "diameter_mm", where=where)
    if diameter is not None and not 0 <= diameter <= LARGEST_MM:
        limit = "a diameter cannot be negative" if diameter < 0 else f"that is above {LARGEST_MM:g} mm"
        raise TableError(f"diameter_mm is {text}, but {limit}; correct the value or its unit", where=where)
    allowed = {s: w for s, w in _SPELLINGS.items() if w in _WORDS_OF[role]}
    if cells.get("status"):
        words.append(_known(cells["status"], allowed, f"status of a {role} lesion", _WORDS_OF[role], where=where))
    word = words[0] if words else ""
    if word and word not in _WORDS_OF[role]:
        raise TableError(f"diameter_mm is {text!r}, which a {role} lesion cannot be", where=where)
    if len(set(words)) > 1:
        raise TableError(f"diameter_mm says {words[0]}, but status says {words[1]}; correct one", where=where)
    if word == "not evaluable" and diameter is not None:
        raise TableError(f"status is not evaluable, but diameter_mm is {text}; correct one", where=where)
    return diameter, word


def _known(text: str, spellings: Mapping[str, str], what: str, expected: Sequence[str] | Mapping[str, object], *,
           where: str) -> str:  # fmt: skip
    key = text.casefold()
    if key in spellings:
        return spellings[key]
    near = difflib.get_close_matches(key, spellings, n=1)
    hint = f"; did you mean {spellings[near[0]]}?" if near else ""
    raise TableError(f"{what} is {text!r}, expected {', '.join(expected)}{hint}", where=where)


def _flag(cells: Cells, column: str, *, where: str) -> bool | None:
    text = cells.get(column, "")
    return _known(text, _FLAGS, column, ("yes", "no"), where=where) == "yes" if text else None


def _when(cells: Cells, name: str, *, where: str) -> float | dt.date | None:
    """Return a day, or the date where no day is given."""
    day = number(cells.get(f"{name}_day", ""), f"{name}_day", where=where)
    if day is None:
        return _date(cells, f"{name}_date", where=where)
    if abs(day) > LARGEST_DAY:
        sentence = f"{name}_day is {day:g}, which is no number of days in a life; is it a date?"
        raise TableError(sentence, where=where)
    return day


def _date(cells: Cells, column: str, *, where: str) -> dt.date | None:
    text = cells.get(column, "")
    return dt.date.fromisoformat(iso_date(text, column, where=where)) if text else None


def _strangers(book: _Book, measurements: str, patients: str) -> list[str]:
    """Name the patients that stand in one file alone."""
    unmeasured = [p for p in book.people if p not in book.rows]
    unlisted = [p for p in book.rows if p not in book.people]
    found = []
    if unmeasured:
        found.append(
            f"{len(unmeasured)} patients of {patients} have no row in {measurements} and are NE: {_few(unmeasured)}"
        )
    if unlisted:
        found.append(f"{len(unlisted)} patients of {measurements} have no row in {patients}: {_few(unlisted)}")
    return found


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
