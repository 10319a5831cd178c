"""RECIST 1.1: from a patient's visits to best response, PFS, clinical benefit and response rates. Pure rules.

"Section" and "Table" are those of Eisenhauer et al., Eur J Cancer 2009;45:228-247. What a single visit says stands in
`visit_response`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import binomtest

from radiomics_talent.cohort.visit_response import (
    MEASURABLE_MM,
    MEASURABLE_NODE_MM,
    RESPONDERS,
    RESPONSES,
    STABLE,
    FollowedLesion,
    PatientCourse,
    Response,
    ResponseRules,
    VisitResponse,
    assess_visits,
    target_response,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CohortRates", "LesionResponse", "LesionVisit", "PatientCourse", "PatientResponse", "ResponseRate",
    "ResponseRules", "assess_patient", "assess_visits", "best_response", "cohort_rates", "confirmed_response",
    "least_measurable_mm", "measurable_disease", "progression_free_survival", "response_rate",
]  # fmt: skip

Timeline = list[tuple[float, Response]]
"""Day and response of each visit after baseline, in the order of days."""


@dataclass(frozen=True, slots=True)
class LesionVisit:
    """A target lesion at one visit, judged by its own diameter."""

    day: float
    diameter_mm: float | None
    change_percent: float | None
    response: Response
    counted: bool


@dataclass(frozen=True, slots=True)
class LesionResponse:
    """A target lesion over all visits, judged by its own diameter with the thresholds of section 4.3.1.

    RECIST knows no response of one lesion: this is for models at lesion level. Visits after the patient's
    progression, or another therapy, do not count.
    """

    lesion_id: str
    organ: str
    is_node: bool
    baseline_mm: float
    nadir_mm: float | None
    best_change_percent: float | None
    first_change_percent: float | None
    best_response: Response
    visits: tuple[LesionVisit, ...]


@dataclass(frozen=True, slots=True)
class PatientResponse:
    """What RECIST 1.1 says of a patient.

    Attributes
    ----------
    objective_response, clinical_benefit : bool
        From the best response, or from the confirmed one where the rules say so.
    objective_response_confirmed : bool
        Whether the confirmed best response is CR or PR.
    best_change_percent : float or None
        Deepest change of the sum from baseline up to progression; None when no visit has a whole sum.
    pfs_days : float
        Days to progression or death, or to the last adequate assessment.
    os_days : float or None
        Days to death or last contact, where they are known.
    measurable : bool or None
        Measurable disease; None when nothing is known of the baseline.
    """

    patient_id: str
    cohort: str
    treatment: str
    best_overall_response: Response
    best_overall_response_confirmed: Response
    objective_response: bool
    objective_response_confirmed: bool
    clinical_benefit: bool
    best_change_percent: float | None
    pfs_days: float
    pfs_event: bool
    os_days: float | None
    os_event: bool | None
    n_targets: int
    baseline_sum_mm: float | None
    measurable: bool | None
    measurable_reason: str
    visits: tuple[VisitResponse, ...]
    lesions: tuple[LesionResponse, ...]


@dataclass(frozen=True, slots=True)
class ResponseRate:
    """A share of patients with its exact (Clopper-Pearson) 95 % interval; all three between 0 and 1."""

    responders: int
    n: int
    rate: float
    low: float
    high: float

    def __str__(self) -> str:
        share = f"{self.responders} of {self.n} = {100 * self.rate:.1f} %"
        return f"{share} ({100 * self.low:.1f} to {100 * self.high:.1f} %)"


@dataclass(frozen=True, slots=True)
class CohortRates:
    """Response rates of a cohort; every treated patient is in the denominator (section 4.9.1).

    Attributes
    ----------
    counts : dict
        Number of patients by best overall response.
    response, confirmed, benefit : ResponseRate
        Objective response, confirmed objective response, clinical benefit.
    """

    cohort: str
    counts: dict[Response, int]
    response: ResponseRate
    confirmed: ResponseRate
    benefit: ResponseRate


def assess_patient(course: PatientCourse, rules: ResponseRules) -> PatientResponse:
    """Return everything that follows from a patient's readings."""
    visits = assess_visits(course, rules)
    counted = [v for v in visits if v.counted]
    timeline: Timeline = [(v.day, v.response) for v in counted]
    targets = course.of_role("target")
    best = best_response(timeline, rules)
    confirmed = confirmed_response(timeline, rules, has_targets=bool(targets))
    chosen = confirmed if rules.confirmed else best
    pfs_days, pfs_event = progression_free_survival(course, timeline, rules)
    os_days, os_event = _overall_survival(course)
    measurable, reason = measurable_disease(course, rules)
    return PatientResponse(
        patient_id=course.patient_id,
        cohort=course.cohort,
        treatment=course.treatment,
        best_overall_response=best,
        best_overall_response_confirmed=confirmed,
        objective_response=chosen in RESPONDERS,
        objective_response_confirmed=confirmed in RESPONDERS,
        clinical_benefit=chosen in RESPONDERS or (chosen in STABLE and pfs_days >= rules.benefit_days),
        best_change_percent=min((v.change_percent for v in counted if v.change_percent is not None), default=None),
        pfs_days=pfs_days,
        pfs_event=pfs_event,
        os_days=os_days,
        os_event=os_event,
        n_targets=len(targets),
        baseline_sum_mm=math.fsum(course.baseline_mm(lesion) for lesion in targets) if targets else None,
        measurable=measurable,
        measurable_reason=reason,
        visits=visits,
        lesions=tuple(_lesion_response(lesion, course, visits, rules) for lesion in targets),
    )


def best_response(timeline: Timeline, rules: ResponseRules) -> Response:
    """Return the best response where no confirmation is required (section 4.4.3).

    The best of all visits up to the first PD. SD counts when it was seen at least `min_sd_days` after the start;
    an SD that was seen only earlier leaves PD when that followed, else NE.
    """
    timeline = _until_progression(timeline)
    kept = {r for day, r in timeline if r not in STABLE or day >= rules.min_sd_days}
    return next((r for r in RESPONSES if r in kept), "NE")


def confirmed_response(timeline: Timeline, rules: ResponseRules, *, has_targets: bool = True) -> Response:
    """Return the best response where CR and PR must be confirmed (section 4.6.1 and Table 3).

    A CR needs a CR, a PR a CR or PR, at least `confirm_days` later, with none but CR, PR and at most
    `max_ne_between` NE between them. A response that was not confirmed counts as SD (without target lesions as
    Non-CR/Non-PD), with SD's least duration.
    """
    timeline = _until_progression(timeline)
    if _is_confirmed(timeline, {"CR"}, rules):
        return "CR"
    if _is_confirmed(timeline, {"CR", "PR"}, rules):
        return "PR"
    stable: Response = "SD" if has_targets else "Non-CR/Non-PD"
    return best_response([(day, stable if r in RESPONDERS else r) for day, r in timeline], rules)


def progression_free_survival(course: PatientCourse, timeline: Timeline, rules: ResponseRules) -> tuple[float, bool]:
    """Return days and whether they ended with progression or death (section 4.7).

    Without either, or when the event came more than `max_gap_days` after it, PFS is censored at the last adequate
    assessment: the last visit that is not NE, or day 0. A death after the start of another therapy is no event.
    """
    adequate = max((day for day, r in timeline if r not in {"PD", "NE"}), default=0.0)
    event = next((day for day, r in timeline if r == "PD"), None)
    if event is None and course.death_day is not None:
        switched = course.next_therapy_day is not None and course.next_therapy_day < course.death_day
        event = None if switched else course.death_day
    if event is None or (rules.max_gap_days is not None and event - adequate > rules.max_gap_days):
        return max(adequate, 0.0), False
    return event, True


def measurable_disease(course: PatientCourse, rules: ResponseRules) -> tuple[bool | None, str]:
    """Say whether there is measurable disease among the target lesions at baseline, and why.

    At least 10 mm longest diameter, or 15 mm short axis of a node (section 3.1.1); a lesion that was irradiated or
    treated locally counts only if it progressed since (section 3.1.3); an only lesion that is no node must reach
    `single_target_mm` (the registry record of TALENT).
    """
    if not course.lesions:
        return None, "no measurement"
    fit, unfit = [], []
    for lesion in course.of_role("target"):
        diameter, least = course.baseline_mm(lesion), least_measurable_mm(is_node=lesion.is_node)
        if diameter < least:
            unfit.append(f"{lesion.lesion_id} has {diameter:g} mm of the {least:g} mm needed")
        elif lesion.treated_before and not lesion.progressed_since:
            unfit.append(f"{lesion.lesion_id} was treated locally without progression since")
        else:
            fit.append((lesion, diameter))
    if not fit:
        return False, "; ".join(unfit) or "no target lesion"
    lesion, diameter = fit[0]
    if len(fit) == 1 and not lesion.is_node and diameter < rules.single_target_mm:
        short = f"{lesion.lesion_id} is the only measurable lesion and has {diameter:g} mm"
        return False, "; ".join([f"{short} of the {rules.single_target_mm:g} mm needed then", *unfit])
    lesion, diameter = max(fit, key=lambda pair: pair[1])
    axis = "short axis" if lesion.is_node else "longest diameter"
    return True, f"{lesion.lesion_id} has {diameter:g} mm {axis}"


def least_measurable_mm(*, is_node: bool) -> float:
    """Return the least diameter of a measurable lesion (section 3.1.1)."""
    return MEASURABLE_NODE_MM if is_node else MEASURABLE_MM


def response_rate(responders: int, n: int) -> ResponseRate:
    """Return a rate with its exact (Clopper-Pearson) 95 % interval.

    Parameters
    ----------
    responders, n : int
        Patients with the response, and all patients.

    Raises
    ------
    ValueError
        There are no patients, or more responders than patients.
    """
    if n < 1 or not 0 <= responders <= n:
        raise ValueError(f"{responders} of {n} is no rate; expected 0 <= responders <= n and n >= 1")
    interval = binomtest(responders, n).proportion_ci(0.95, method="exact")
    return ResponseRate(responders, n, responders / n, float(interval.low), float(interval.high))


def cohort_rates(responses: Sequence[PatientResponse]) -> tuple[CohortRates, ...]:
    """Return the rates of each cohort by name and of all patients last (section 4.9.1).

    Patients without a cohort are 'unknown', unless nobody has one.
    """
    names = sorted({r.cohort for r in responses if r.cohort})
    groups = [(name, [r for r in responses if r.cohort == name]) for name in names]
    rest = [r for r in responses if not r.cohort]
    if names and rest:
        groups.append(("unknown", rest))
    if responses:
        groups.append(("all", list(responses)))
    return tuple(_rates(name, group) for name, group in groups)


def _rates(name: str, group: Sequence[PatientResponse]) -> CohortRates:
    def rate(flags: Iterable[bool]) -> ResponseRate:
        return response_rate(sum(flags), len(group))

    return CohortRates(
        name,
        {r: sum(p.best_overall_response == r for p in group) for r in RESPONSES},
        rate(p.objective_response for p in group),
        rate(p.objective_response_confirmed for p in group),
        rate(p.clinical_benefit for p in group),
    )


def _until_progression(timeline: Timeline) -> Timeline:
    first = next((i for i, (_, r) in enumerate(timeline) if r == "PD"), len(timeline))
    return timeline[: first + 1]


def _is_confirmed(timeline: Timeline, wanted: set[Response], rules: ResponseRules) -> bool:
    """Whether two of the responses wanted are far enough apart, with nothing worse than a few NE between."""
    for i, (start, first) in enumerate(timeline):
        if first not in wanted:
            continue
        n_ne = 0
        for day, response in timeline[i + 1 :]:
            n_ne += response == "NE"
            if response not in wanted | {"NE"} or n_ne > rules.max_ne_between:
                break
            if response in wanted and day - start >= rules.confirm_days:
                return True
    return False


def _overall_survival(course: PatientCourse) -> tuple[float | None, bool | None]:
    if course.death_day is not None:
        return course.death_day, True
    if course.last_contact_day is None:
        return None, None
    return max([course.last_contact_day, *course.visit_days]), False  # who came to a visit was alive


def _lesion_response(
    lesion: FollowedLesion, course: PatientCourse, visits: Sequence[VisitResponse], rules: ResponseRules
) -> LesionResponse:
    baseline_mm = nadir_mm = course.baseline_mm(lesion)
    rows = []
    for visit in visits:
        diameter = lesion.on(visit.day).diameter_mm
        response = target_response([diameter], [lesion.is_node], baseline_mm=baseline_mm, nadir_mm=nadir_mm)
        assert response != "none"  # there is a lesion
        change = None if diameter is None else 100 * (diameter - baseline_mm) / baseline_mm
        rows.append(LesionVisit(visit.day, diameter, change, response, visit.counted))
        nadir_mm = nadir_mm if diameter is None else min(nadir_mm, diameter)
    counted = [row for row in rows if row.counted]
    changes = [row.change_percent for row in counted if row.change_percent is not None]
    return LesionResponse(
        lesion.lesion_id,
        lesion.organ,
        lesion.is_node,
        baseline_mm,
        min((row.diameter_mm for row in counted if row.diameter_mm is not None), default=None),
        min(changes, default=None),
        changes[0] if changes else None,
        best_response([(row.day, row.response) for row in counted], rules),
        tuple(rows),
    )
