"""From the rows of one patient to a `PatientCourse`, or to the one sentence that says why not.

Readings are put into RECIST's terms here: what counts as gone, too small, not measured (sections 4.3.1 to 4.3.3 of
Eisenhauer et al., Eur J Cancer 2009;45:228-247), and whether each lesion has the baseline that its role needs.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from radiomics_talent.cohort.recist import least_measurable_mm
from radiomics_talent.cohort.visit_response import (
    MOST_TARGETS,
    MOST_TARGETS_AN_ORGAN,
    NORMAL_NODE_MM,
    FollowedLesion,
    PatientCourse,
    Reading,
    ResponseRules,
    Status,
)
from radiomics_talent.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Sequence

Role = Literal["target", "non-target", "new"]
TOO_SMALL = "too small to measure"
_LATE_BASELINE_DAYS = 28.0
_ONE_ASSESSMENT_DAYS = 14.0
"""Readings this close are more likely one assessment than two."""
_NORMAL_NODE_MM = 10.0


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """One row of measurements.csv.

    Attributes
    ----------
    where : str
        File and row, for errors.
    when : float or datetime.date
        Day since the start of treatment, or date of the visit.
    word : str
        'present', 'absent', 'unequivocal progression', 'equivocal', 'not evaluable', 'too small to measure' or ''.
    """

    where: str
    number: int
    lesion_id: str
    role: Role
    when: float | dt.date
    diameter_mm: float | None
    word: str
    node: bool | None
    organ: str
    cohort: str
    treated_before: bool | None
    progressed_since: bool | None


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One row of patients.csv; each of the three times is a day or a date."""

    where: str = ""
    cohort: str = ""
    treatment: str = ""
    start_date: dt.date | None = None
    last_contact: float | dt.date | None = None
    death: float | dt.date | None = None
    next_therapy: float | dt.date | None = None


def build_course(
    patient_id: str, rows: Sequence[MeasurementRow], person: PersonRow, rules: ResponseRules
) -> PatientCourse:
    """Put a patient's rows together.

    Raises
    ------
    TableError
        They contradict each other, or a lesion has no baseline.
    """
    origin = _origin(rows, person)
    lesions = _lesions(rows, origin, rules)
    contact, death, therapy = (
        _event_day(name, when, origin, where=person.where)
        for name, when in (
            ("last contact", person.last_contact),
            ("death", person.death),
            ("next therapy", person.next_therapy),
        )
    )
    course = PatientCourse(patient_id, lesions, _cohort(rows, person), person.treatment, contact, death, therapy)
    if rows:
        _refuse_without_baseline(course, rows)
    last = max(course.visit_days, default=0.0)
    if death is not None and death < last:
        raise TableError(f"death on day {death:g}, but there is a visit on day {last:g}", where=person.where)
    return course


def doubts_of(course: PatientCourse) -> list[str]:
    """Return what looks wrong with a course, but does not stop its assessment; a sentence each."""
    found, start = [], course.baseline_day
    targets = course.of_role("target")
    if len(targets) > MOST_TARGETS:
        found.append(f"{len(targets)} target lesions, RECIST 1.1 takes at most {MOST_TARGETS} (section 4.2)")
    organs = [lesion.organ.casefold() for lesion in targets if lesion.organ]
    for organ in sorted(set(organs)):
        n = organs.count(organ)
        if n > MOST_TARGETS_AN_ORGAN:
            found.append(f"{n} target lesions in {organ}, RECIST 1.1 takes at most {MOST_TARGETS_AN_ORGAN} an organ")
    for lesion in targets:
        diameter, least = course.baseline_mm(lesion), least_measurable_mm(is_node=lesion.is_node)
        if diameter < least:
            found.append(
                f"target {lesion.lesion_id} has {diameter:g} mm at baseline, less than the {least:g} mm that make it "
                f"measurable (section 3.1.1); is the unit mm?"
            )
    if course.lesions and start > 0:
        found.append(
            f"the first visit is on day {start:g}, after treatment began, and was taken as baseline "
            "(section 4.2 wants it before); is one missing?"
        )
    found += _split_visits(course)
    if start < -_LATE_BASELINE_DAYS:
        found.append(f"baseline is on day {start:g}, more than 4 weeks before treatment (section 4.2)")
    last = max(course.visit_days, default=0.0)
    if course.last_contact_day is not None and course.last_contact_day < last:
        found.append(f"last contact is on day {course.last_contact_day:g}, but there is a visit on day {last:g}")
    return [f"{course.patient_id}: {sentence}" for sentence in found]


def as_reading(row: MeasurementRow, day: float, rules: ResponseRules, *, is_node: bool) -> Reading:
    """Return a row in RECIST's terms.

    Raises
    ------
    TableError
        Diameter and status contradict each other, or a new lesion lacks both.
    """
    _refuse_contradiction(row, is_node=is_node)
    if row.role == "target":
        diameter = row.diameter_mm
        if diameter is None:
            diameter = {"absent": 0.0, TOO_SMALL: rules.too_small_mm}.get(row.word)
        return Reading(day, diameter, "not evaluable" if diameter is None else "present" if diameter else "absent")
    if row.role == "new":
        return Reading(day, row.diameter_mm, _new_status(row, is_node=is_node))
    return Reading(day, row.diameter_mm, _non_target_status(row, is_node=is_node))


def _refuse_contradiction(row: MeasurementRow, *, is_node: bool) -> None:
    if row.diameter_mm is None:
        return
    normal_node = is_node and row.diameter_mm < NORMAL_NODE_MM
    if row.word == "absent" and row.diameter_mm > 0 and not normal_node:
        raise TableError(f"status is absent, but diameter_mm is {row.diameter_mm:g}; correct one", where=row.where)
    if row.word in {"present", "equivocal", TOO_SMALL} and row.diameter_mm == 0:
        raise TableError(f"status is {row.word}, but diameter_mm is 0; correct one", where=row.where)


def _non_target_status(row: MeasurementRow, *, is_node: bool) -> Status:
    if row.word in {"unequivocal progression", "not evaluable", "absent"}:
        return row.word  # type: ignore[return-value]
    if row.diameter_mm is None:
        return "present" if row.word else "not evaluable"
    # A node below 10 mm is normal (section 4.3.3), whatever can still be seen of it.
    gone = row.diameter_mm < NORMAL_NODE_MM if is_node else row.diameter_mm == 0
    return "absent" if gone else "present"


def _new_status(row: MeasurementRow, *, is_node: bool) -> Status:
    if not row.word and row.diameter_mm is None:
        raise TableError("a new lesion has neither status nor diameter; say present or equivocal", where=row.where)
    if row.word in {"equivocal", "not evaluable", "absent"}:
        return row.word  # type: ignore[return-value]
    if row.diameter_mm == 0:
        return "absent"
    if is_node and row.diameter_mm is not None and row.diameter_mm < NORMAL_NODE_MM:
        raise TableError(
            f"a lymph node of {row.diameter_mm:g} mm short axis is normal (below 10 mm), no new lesion; "
            f"remove the row or correct it",
            where=row.where,
        )
    return "present"


def _cohort(rows: Sequence[MeasurementRow], person: PersonRow) -> str:
    """Return the patient's cohort; it may stand in either table, in any row."""
    told = [(person.where, person.cohort), *((row.where, row.cohort) for row in rows)]
    told = [(where, cohort) for where, cohort in told if cohort]
    odd = next(((where, cohort) for where, cohort in told if cohort != told[0][1]), None)
    if odd is not None:
        raise TableError(f"cohort is {odd[1]!r}, but {told[0][1]!r} in another row of the patient", where=odd[0])
    return told[0][1] if told else ""


def _origin(rows: Sequence[MeasurementRow], person: PersonRow) -> dt.date | None:
    """Return the date of day 0: the start of treatment, else the first visit's."""
    dates = [row.when for row in rows if isinstance(row.when, dt.date)]
    odd = next((row for row in rows if not isinstance(row.when, dt.date)), None)
    if dates and odd is not None:
        raise TableError("has visit_day, but other rows of the patient have visit_date alone", where=odd.where)
    return person.start_date or min(dates, default=None)


def _day(when: float | dt.date, origin: dt.date | None) -> float:
    if not isinstance(when, dt.date):
        return when
    assert origin is not None  # a row with a date gives one
    return float((when - origin).days)


def _event_day(name: str, when: float | dt.date | None, origin: dt.date | None, *, where: str) -> float | None:
    if when is None:
        return None
    if isinstance(when, dt.date) and origin is None:
        raise TableError(f"the date of {name} needs start_date, or visit_date in the readings", where=where)
    day = _day(when, origin)
    if day < 0:
        raise TableError(f"{name} is on day {day:g}, before the start of treatment", where=where)
    return day


def _lesions(
    rows: Sequence[MeasurementRow], origin: dt.date | None, rules: ResponseRules
) -> tuple[FollowedLesion, ...]:
    groups: dict[str, list[tuple[float, MeasurementRow]]] = {}
    for row in rows:
        groups.setdefault(row.lesion_id, []).append((_day(row.when, origin), row))
    return tuple(_lesion(sorted(group, key=lambda pair: pair[0]), rules) for group in groups.values())


def _lesion(group: Sequence[tuple[float, MeasurementRow]], rules: ResponseRules) -> FollowedLesion:
    for (day, row), (next_day, later) in pairwise(group):
        if day == next_day:
            raise TableError(
                f"lesion {row.lesion_id} is there twice on day {day:g}, also in row {row.number}; remove one",
                where=later.where,
            )
    rows = [row for _, row in group]
    first = min(rows, key=lambda row: row.number)
    told = [r for r in rows if r.node is not None]
    for what, odd in (
        ("role", [r for r in rows if r.role != first.role]),
        ("node", [r for r in told if r.node != told[0].node]),
    ):
        if odd:
            sentence = f"{what} of lesion {first.lesion_id} differs from that of its other rows; correct it"
            raise TableError(sentence, where=odd[0].where)
    is_node = any(r.node for r in rows)
    return FollowedLesion(
        first.lesion_id,
        first.role,
        tuple(as_reading(row, day, rules, is_node=is_node) for day, row in group),
        is_node,
        next((r.organ for r in rows if r.organ), ""),
        any(r.treated_before for r in rows),
        any(r.progressed_since for r in rows),
    )


def _refuse_without_baseline(course: PatientCourse, rows: Sequence[MeasurementRow]) -> None:
    if not course.of_role("target") and not course.of_role("non-target"):
        raise TableError("the patient has no lesion at baseline, target or non-target", where=rows[0].where)
    for lesion in course.lesions:
        where = next(row.where for row in rows if row.lesion_id == lesion.lesion_id)
        reading = lesion.baseline(course.baseline_day)
        sentence = _baseline_problem(lesion, reading, course.baseline_day)
        if sentence:
            raise TableError(sentence, where=where)


def _split_visits(course: PatientCourse) -> list[str]:
    """Find one assessment that was read on two days: each would be judged as a visit with lesions missing."""
    days = course.visit_days
    read = {d: {x.lesion_id for x in course.lesions if any(r.day == d for r in x.readings)} for d in days}
    return [
        f"days {a:g} and {b:g} hold different lesions ({', '.join(sorted(read[a] - read[b]))}; "
        f"{', '.join(sorted(read[b] - read[a]))}), and each is judged as a visit with lesions missing: if they are one "
        "assessment, give both one day"
        for a, b in pairwise(days)
        if b - a <= _ONE_ASSESSMENT_DAYS and read[a] - read[b] and read[b] - read[a]
    ]


def _baseline_problem(lesion: FollowedLesion, reading: Reading | None, day: float) -> str:
    name = f"{lesion.role} lesion {lesion.lesion_id}"
    if lesion.role == "new":
        there = reading is not None and reading.status in {"present", "equivocal"}
        return f"{name} is there at baseline (day {day:g}), so it is not new; correct role or visit" if there else ""
    if reading is None:
        return f"{name} has no row at baseline (day {day:g}); add it, or call a lesion that came later new"
    if lesion.role == "target" and not reading.diameter_mm:
        return f"{name} has no diameter at baseline (day {day:g}); a target must be measured there"
    if lesion.role == "target" and lesion.is_node and (reading.diameter_mm or 0.0) < _NORMAL_NODE_MM:
        return (
            f"{name} is a node of {reading.diameter_mm:g} mm at baseline (day {day:g}); below 10 mm short axis a node "
            "is not pathological (section 3.1.1) and no target"
        )
    if lesion.role == "non-target" and reading.status in {"absent", "unequivocal progression"}:
        return f"{name} is {reading.status} at baseline (day {day:g}); it must be present or not evaluable there"
    return ""
