"""RECIST 1.1: from the readings of a patient's lesions to the response at each visit. Pure rules.

"Section" and "Table" are those of Eisenhauer et al., Eur J Cancer 2009;45:228-247. "EORTC" are the questions and
clarifications of the RECIST working group (recist.eortc.org), followed where the paper leaves a case open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Response = Literal["CR", "PR", "SD", "Non-CR/Non-PD", "PD", "NE"]
"""Response at a visit, or best response; 'Non-CR/Non-PD' where there is no target lesion (Table 2)."""
Part = Literal["CR", "PR", "SD", "Non-CR/Non-PD", "PD", "NE", "none"]
"""Response of the target or the non-target lesions alone; 'none' where baseline has no such lesion."""
Status = Literal["present", "absent", "unequivocal progression", "equivocal", "not evaluable"]
RESPONSES: tuple[Response, ...] = ("CR", "PR", "SD", "Non-CR/Non-PD", "PD", "NE")
"""Best first: the order of section 4.4.3."""
RESPONDERS = frozenset({"CR", "PR"})
STABLE = frozenset({"SD", "Non-CR/Non-PD"})
PARTIAL_DECREASE = 0.30
"""PR: this much less than the sum at baseline (section 4.3.1)."""
PROGRESSIVE_INCREASE, PROGRESSIVE_MM = 0.20, 5.0
"""PD: this much more than the smallest sum on study, baseline included, both relatively and in mm (section 4.3.1)."""
NORMAL_NODE_MM = 10.0
"""A lymph node below this short axis is not pathological (sections 3.1.1 and 4.3.1)."""
MEASURABLE_MM, MEASURABLE_NODE_MM = 10.0, 15.0
"""Least longest diameter of a measurable lesion, least short axis of a measurable node (section 3.1.1)."""
MOST_TARGETS, MOST_TARGETS_AN_ORGAN = 5, 2
"""Target lesions in all and an organ (section 4.2)."""
_ROUNDING = 1e-9  # 70.0 of 100.0 mm is a decrease of 30 % whatever binary fractions make of it


@dataclass(frozen=True, slots=True)
class ResponseRules:
    """What RECIST 1.1 leaves to the protocol.

    Attributes
    ----------
    confirm_days : float
        A CR or PR is confirmed by one at least so much later (section 4.6.1: 4 weeks).
    max_ne_between : int
        So many visits that are not evaluable may lie between the two (section 4.4.4: PR-NE-PR).
    confirmed : bool
        Objective response and clinical benefit take the confirmed best response.
    min_sd_days : float
        SD must have been seen so late at least to be a best response (sections 4.4.3 and 4.6.3: 6 to 8 weeks).
    benefit_days : float
        SD is a clinical benefit when it lasts so long.
    max_gap_days : float or None
        A progression or death longer after the last adequate assessment does not count: PFS is censored there.
    after_cr : {'progression', 'partial'}
        Disease seen after a CR is PD, or shows that the CR was a PR (Table 3, footnote a).
    too_small_mm : float
        Diameter of a lesion that is seen but too small to measure (section 4.3.2).
    single_target_mm : float
        Least longest diameter of an only, non-nodal target lesion: 15 in TALENT (NCT02678780), 10 in RECIST.
    """

    confirm_days: float = 28.0
    max_ne_between: int = 1
    confirmed: bool = False
    min_sd_days: float = 42.0
    benefit_days: float = 168.0
    max_gap_days: float | None = None
    after_cr: Literal["progression", "partial"] = "progression"
    too_small_mm: float = 5.0
    single_target_mm: float = 15.0

    @property
    def benefit_rule(self) -> str:
        """The rule of clinical benefit in words."""
        which = "confirmed best overall response" if self.confirmed else "best overall response"
        return f"{which} CR or PR; or SD or Non-CR/Non-PD with PFS of at least {self.benefit_days:g} days"


@dataclass(frozen=True, slots=True)
class Reading:
    """A lesion on one day: longest diameter (nodes: short axis) in mm, 0 when gone, None when not measured."""

    day: float
    diameter_mm: float | None = None
    status: Status = "present"


@dataclass(frozen=True, slots=True)
class FollowedLesion:
    """A lesion and its readings in the order of days.

    Attributes
    ----------
    role : {'target', 'non-target', 'new'}
        As chosen at baseline (section 4.2).
    is_node : bool
        Whether it is a lymph node.
    treated_before, progressed_since : bool
        Radiotherapy or locoregional therapy before baseline, and progression of the lesion since (section 3.1.3).
    """

    lesion_id: str
    role: Literal["target", "non-target", "new"]
    readings: tuple[Reading, ...]
    is_node: bool = False
    organ: str = ""
    treated_before: bool = False
    progressed_since: bool = False

    def on(self, day: float) -> Reading:
        """Return the reading of a day; a lesion that was not looked at is not evaluable."""
        return next((r for r in self.readings if r.day == day), Reading(day, None, "not evaluable"))

    def baseline(self, day: float) -> Reading | None:
        """Return the last reading up to the baseline's day, rather one that says something."""
        before = [r for r in self.readings if r.day <= day]
        told = [r for r in before if r.diameter_mm is not None or r.status != "not evaluable"]
        known = told or before
        return known[-1] if known else None


@dataclass(frozen=True, slots=True)
class PatientCourse:
    """All that is known of a patient. Day 0 is the start of treatment."""

    patient_id: str
    lesions: tuple[FollowedLesion, ...] = ()
    cohort: str = ""
    treatment: str = ""
    last_contact_day: float | None = None
    death_day: float | None = None
    next_therapy_day: float | None = None

    @property
    def baseline_day(self) -> float:
        """Day of the last visit before treatment; of the first visit where none is before."""
        days = {r.day for lesion in self.lesions for r in lesion.readings}
        return max((d for d in days if d <= 0), default=min(days, default=0.0))

    @property
    def visit_days(self) -> tuple[float, ...]:
        """Days of the visits after baseline."""
        days = {r.day for lesion in self.lesions for r in lesion.readings}
        return tuple(sorted(d for d in days if d > self.baseline_day))

    def of_role(self, role: str) -> tuple[FollowedLesion, ...]:
        """Return the lesions of a role."""
        return tuple(lesion for lesion in self.lesions if lesion.role == role)

    def baseline_mm(self, lesion: FollowedLesion) -> float:
        """Return the diameter of a target lesion at baseline."""
        reading = lesion.baseline(self.baseline_day)
        return reading.diameter_mm or 0.0 if reading else 0.0


@dataclass(frozen=True, slots=True)
class VisitResponse:
    """Response at one visit after baseline.

    Attributes
    ----------
    sum_mm : float or None
        Sum of the target lesions' diameters; None unless every one was measured.
    nadir_mm : float
        Smallest sum before this visit, baseline included.
    table_response : str
        What Table 1 or Table 2 says of this visit alone.
    response : str
        The same, in the light of an earlier or later visit (Table 3, footnote a).
    counted : bool
        Whether the visit counts for best response and PFS: up to the first PD, and before another therapy.
    note : str
        Why the response is not what its parts would let one expect; else empty.
    """

    day: float
    sum_mm: float | None
    change_percent: float | None
    nadir_mm: float
    target: Part
    non_target: Part
    new_lesion: Literal["yes", "no", "equivocal"]
    table_response: Response
    response: Response
    counted: bool = True
    note: str = ""


def is_partial(sum_mm: float, baseline_mm: float) -> bool:
    """Say whether a sum is a PR: at least 30 % below the baseline's (section 4.3.1)."""
    return sum_mm <= (1 - PARTIAL_DECREASE) * baseline_mm + _ROUNDING * max(1.0, baseline_mm)


def is_progressive(sum_mm: float, nadir_mm: float) -> bool:
    """Say whether a sum is a PD: at least 20 % and at least 5 mm above the smallest (section 4.3.1)."""
    slack = _ROUNDING * max(1.0, nadir_mm)
    return sum_mm >= (1 + PROGRESSIVE_INCREASE) * nadir_mm - slack and sum_mm - nadir_mm >= PROGRESSIVE_MM - slack


def is_gone(diameter_mm: float, *, is_node: bool) -> bool:
    """Say whether a target lesion is gone; a node is when its short axis is below 10 mm (section 4.3.1)."""
    return diameter_mm < NORMAL_NODE_MM if is_node else diameter_mm == 0


def target_response(
    diameters_mm: Sequence[float | None], nodes: Sequence[bool], *, baseline_mm: float, nadir_mm: float
) -> Part:
    """Return the response of the target lesions at a visit (section 4.3.1).

    A lesion that was not measured makes it NE, unless the others alone are a PD already (section 4.4.2). Nodes that
    are all normal again are a CR although their sum is not 0 (section 4.3.2).

    Parameters
    ----------
    diameters_mm : sequence of float or None
        One a lesion, None when not measured.
    nodes : sequence of bool
        Whether each is a lymph node.
    baseline_mm, nadir_mm : float
        Sum at baseline, and smallest sum before this visit, baseline included.
    """
    if not diameters_mm:
        return "none"
    measured = [(d, n) for d, n in zip(diameters_mm, nodes, strict=True) if d is not None]
    total = math.fsum(d for d, _ in measured)
    complete = len(measured) == len(diameters_mm)
    if complete and all(is_gone(d, is_node=n) for d, n in measured):
        return "CR"
    if measured and is_progressive(total, nadir_mm):
        return "PD"
    if not complete:
        return "NE"
    return "PR" if is_partial(total, baseline_mm) else "SD"


def non_target_response(statuses: Iterable[Status]) -> Part:
    """Return the response of the non-target lesions at a visit (section 4.3.3).

    Unequivocal progression of one is a PD; one that was not evaluated makes it NE ("not all evaluated"); a CR needs
    all of them gone, nodes below 10 mm. Tumour markers, which a CR needs too where they are followed, are not known.
    """
    seen = set(statuses)
    if not seen:
        return "none"
    if "unequivocal progression" in seen:
        return "PD"
    if "not evaluable" in seen:
        return "NE"
    return "CR" if seen == {"absent"} else "Non-CR/Non-PD"


def overall_response(target: Part, non_target: Part, *, new_lesion: bool) -> Response:
    """Return the response at a visit: Table 1, or Table 2 where baseline has no target lesion (section 4.4.1)."""
    if new_lesion or "PD" in (target, non_target):
        return "PD"
    if target == "none":
        return "NE" if non_target == "none" else non_target
    if target == "CR":
        return "CR" if non_target in {"CR", "none"} else "PR"
    return target


def assess_visits(course: PatientCourse, rules: ResponseRules) -> tuple[VisitResponse, ...]:
    """Return the response at every visit after baseline (sections 4.3 and 4.4; Tables 1 and 2)."""
    targets = course.of_role("target")
    baseline_mm = nadir_mm = math.fsum(course.baseline_mm(lesion) for lesion in targets)
    new_since = first_new_day(course)
    visits: list[VisitResponse] = []
    for day in course.visit_days:
        diameters = [lesion.on(day).diameter_mm for lesion in targets]
        measured = [d for d in diameters if d is not None]
        total = math.fsum(measured) if targets and len(measured) == len(targets) else None
        target = target_response(
            diameters, [lesion.is_node for lesion in targets], baseline_mm=baseline_mm, nadir_mm=nadir_mm
        )
        non_target = non_target_response(lesion.on(day).status for lesion in course.of_role("non-target"))
        equivocal = any(lesion.on(day).status == "equivocal" for lesion in course.of_role("new"))
        is_new = new_since is not None and day >= new_since
        response = overall_response(target, non_target, new_lesion=is_new)
        change = None if total is None else 100 * (total - baseline_mm) / baseline_mm
        visit = VisitResponse(
            day, total, change, nadir_mm, target, non_target,
            "yes" if is_new else "equivocal" if equivocal else "no", response, response,
            note="new lesion, equivocal then and confirmed later" if is_new and equivocal else "",
        )  # fmt: skip
        _append(visits, visit, seen_again=_disease_seen(course, day), rules=rules)
        nadir_mm = nadir_mm if total is None else min(nadir_mm, total)
    return _counted(visits, course.next_therapy_day)


def first_new_day(course: PatientCourse) -> float | None:
    """Return the day from which on there is a new lesion (section 4.3.5).

    An equivocal one is none until it is confirmed; then it was one from the day on which it was first suspected
    (sections 4.3.5 and 4.4.4), unless it was absent in between.
    """
    days = []
    for lesion in course.of_role("new"):
        suspected: float | None = None
        for reading in lesion.readings:
            if reading.status == "present":
                days.append(reading.day if suspected is None else suspected)
                break
            if reading.status == "equivocal":
                suspected = reading.day if suspected is None else suspected
            elif reading.status == "absent":
                suspected = None
    return min(days, default=None)


def _disease_seen(course: PatientCourse, day: float) -> bool:
    """Whether any lesion of baseline is surely there; a non-target node only by progression (EORTC)."""
    for lesion in course.lesions:
        reading = lesion.on(day)
        if lesion.role == "target" and reading.diameter_mm is not None:
            if not is_gone(reading.diameter_mm, is_node=lesion.is_node):
                return True
        elif lesion.role == "non-target" and reading.status == "present" and not lesion.is_node:
            return True
    return False


def _append(visits: list[VisitResponse], visit: VisitResponse, *, seen_again: bool, rules: ResponseRules) -> None:
    """Add a visit; disease after a CR is a PD, or makes a PR of the CR (Table 3, footnote a)."""
    if seen_again and visit.response != "PD" and any(v.response == "CR" for v in visits):
        if rules.after_cr == "progression":
            visit = replace(visit, response="PD", note="disease seen again after a CR")
        else:
            lesser: Response = "Non-CR/Non-PD" if visit.target == "none" else "PR"
            note = f"disease seen later, so the CR was a {lesser}"
            visits[:] = [replace(v, response=lesser, note=note) if v.response == "CR" else v for v in visits]
    visits.append(visit)


def _counted(visits: list[VisitResponse], next_therapy_day: float | None) -> tuple[VisitResponse, ...]:
    """Mark the visits after the first PD, or after another therapy, as not counted (section 4.4.3)."""
    marked, over = [], ""
    for visit in visits:
        if not over and next_therapy_day is not None and visit.day > next_therapy_day:
            over = "after the start of another therapy"
        marked.append(
            replace(visit, counted=False, note="; ".join(filter(None, (visit.note, over)))) if over else visit
        )
        if not over and visit.response == "PD":
            over = "after progression"
    return tuple(marked)
