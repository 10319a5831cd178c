"""The page of a scoring: each patient's score, how far it may be believed, what it is made of, and the lesions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from radiomics_talent.reporting.evidence_models import estimate_text
from radiomics_talent.reporting.figures import draw_lesion
from radiomics_talent.reporting.html import jpeg_uri, render_page, svg_uri
from radiomics_talent.reporting.score_figures import draw_contributions, draw_position
from radiomics_talent.reporting.viewer import viewer_assets, viewer_volume, volume_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from markupsafe import Markup

    from radiomics_talent.scoring.score_report import LesionScore, PatientScore, ScoreReport
    from radiomics_talent.scoring.scored_cases import ScoredCase

MOST_PATIENTS, MOST_VIEWERS = 50, 60
"""So many patients of a page have a section, so many of its lesions a viewer; its table has all."""
_LEVELS = {"inside": "ok", "borderline": "warning", "outside": "error"}
_DOMAIN = {
    "inside": "inside the training",
    "borderline": "at the edge of the training",
    "outside": "outside the training",
}


@dataclass(frozen=True, slots=True)
class _LesionCard:
    score: LesionScore
    picture: Markup | None = None
    volume: Markup | None = None
    alt: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _PatientCard:
    score: PatientScore
    position: Markup
    position_alt: str
    contributions: Markup
    contributions_alt: str
    lesions: list[_LesionCard] = field(default_factory=list)


def write_score_page(report: ScoreReport, cases: Iterable[ScoredCase], path: Path) -> Path:
    """Write the page and return its path.

    Parameters
    ----------
    report : ScoreReport
        The scores.
    cases : iterable of ScoredCase
        Their lesions in the order of the report; of a generator only what is shown is opened.
    path : Path
        The page.
    """
    shown = report.patients[:MOST_PATIENTS]
    cards = {p.patient_id: _patient_card(p, report) for p in shown}
    wanted = sum(len(p.lesions) for p in shown)
    for number, case in enumerate(cases):
        if number == wanted:
            break
        cards[case.patient.patient_id].lesions.append(_lesion_card(case, with_viewer=number < MOST_VIEWERS))
    render_page(
        "score.html.j2",
        path,
        title=_title(report),
        assets=viewer_assets(),
        report=report,
        cards=list(cards.values()),
        levels=_LEVELS,
        domain_words=_DOMAIN,
        counts=_counts(report),
        performance=_performance(report.model.performance),
        most_patients=MOST_PATIENTS,
        unit="probability of response" if report.model.task == "response" else "risk score",
    )
    return path


def _title(report: ScoreReport) -> str:
    who = report.patients[0].patient_id if len(report.patients) == 1 else f"{len(report.patients)} patients"
    return f"Score of {who}: {report.model.outcome}"


def _counts(report: ScoreReport) -> list[tuple[str, str, int]]:
    levels = [p.domain.level for p in report.patients]
    return [(_LEVELS[x], _DOMAIN[x], levels.count(x)) for x in ("inside", "borderline", "outside") if x in levels]


def _performance(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), estimate_text(value)) for name, value in metrics.items()]


def _patient_card(patient: PatientScore, report: ScoreReport) -> _PatientCard:
    interval = patient.interval
    limits = f", interval {interval.low:.3f} to {interval.high:.3f}" if interval is not None else ""
    named = ", ".join(f"{c.feature} {c.contribution:+.3f}" for c in patient.contributions[:3])
    return _PatientCard(
        score=patient,
        position=svg_uri(draw_position(patient, report.model)),
        position_alt=(
            f"The score {patient.score:.3f}{limits} beside the out-of-fold scores of the training patients; "
            f"the cut-off is {patient.threshold:.3f}"
        ),
        contributions=svg_uri(draw_contributions(patient)),
        contributions_alt=f"Bars of the contributions of the selected features; the largest are {named}",
    )


def _lesion_card(case: ScoredCase, *, with_viewer: bool) -> _LesionCard:
    if case.case is None:
        return _LesionCard(case.lesion, reason=case.reason)
    image, mask = case.case.image, case.case.mask
    views = draw_lesion(image, mask)
    if not views:
        return _LesionCard(case.lesion, reason="the mask is empty")
    return _LesionCard(
        case.lesion,
        picture=jpeg_uri(views[0].figure),
        volume=volume_json(viewer_volume(image, mask)) if with_viewer else None,
        alt=f"Axial slice through lesion {case.lesion.lesion_id} with its contour",
    )
