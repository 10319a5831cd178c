"""What `recist` writes: response.csv, loadable as a clinical table, and beside it visits, lesions and rates.

Numbers are plain (point, no exponent, at most four decimals), an empty cell is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.cohort.visit_response import RESPONSES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from radiomics_talent.cohort.recist import CohortRates, PatientResponse, ResponseRate
    from radiomics_talent.cohort.visit_response import ResponseRules

RESPONSE_COLUMNS = (
    "patient_id", "cohort", "treatment", "best_overall_response", "best_overall_response_confirmed",
    "objective_response", "objective_response_confirmed", "clinical_benefit", "clinical_benefit_rule",
    "best_change_percent", "pfs_days", "pfs_event", "os_days", "os_event", "n_targets", "baseline_sum_mm",
    "measurable_disease", "measurable_disease_reason", "n_visits",
)  # fmt: skip
VISIT_COLUMNS = (
    "patient_id", "visit_day", "sum_mm", "change_percent", "nadir_mm", "change_from_nadir_percent",
    "target_response", "non_target_response", "new_lesion", "table_response", "response", "counted", "note",
)  # fmt: skip
LESION_COLUMNS = (
    "patient_id", "lesion_id", "organ", "node", "baseline_mm", "nadir_mm", "best_change_percent",
    "first_change_percent", "best_response", "objective_response", "n_visits",
)  # fmt: skip
LESION_VISIT_COLUMNS = (
    "patient_id", "lesion_id", "visit_day", "diameter_mm", "change_percent", "response", "counted",
)  # fmt: skip
_RATE_COLUMNS = ("percent", "low_percent", "high_percent")
RATE_COLUMNS = (
    "cohort", "patients", *RESPONSES, "responders", *(f"orr_{c}" for c in _RATE_COLUMNS), "responders_confirmed",
    *(f"orr_confirmed_{c}" for c in _RATE_COLUMNS), "clinical_benefit",
    *(f"clinical_benefit_{c}" for c in _RATE_COLUMNS),
)  # fmt: skip


def output_paths(out: Path) -> dict[str, Path]:
    """Return the name of every output beside `out`, by what it holds."""
    stem = out.stem
    rates = "orr.csv" if stem == "response" else f"{stem}_orr.csv"
    names = {
        "response": out.name,
        "visits": f"{stem}_visits.csv",
        "lesions": f"{stem}_lesions.csv",
        "lesion visits": f"{stem}_lesion_visits.csv",
        "rates": rates,
        "waterfall": f"{stem}_waterfall.png",
        "spider": f"{stem}_spider.png",
    }
    return {what: out.parent / name for what, name in names.items()}


def write_response_tables(
    responses: Sequence[PatientResponse], rates: Sequence[CohortRates], out: Path, rules: ResponseRules
) -> None:
    """Write the five tables of `output_paths`, each at once or not at all."""
    paths = output_paths(out)
    write_sheet(paths["response"], RESPONSE_COLUMNS, (_response_row(r, rules) for r in responses))
    write_sheet(paths["visits"], VISIT_COLUMNS, (row for r in responses for row in _visit_rows(r)))
    write_sheet(paths["lesions"], LESION_COLUMNS, (row for r in responses for row in _lesion_rows(r)))
    write_sheet(paths["lesion visits"], LESION_VISIT_COLUMNS, (row for r in responses for row in _lesion_visit_rows(r)))
    write_sheet(paths["rates"], RATE_COLUMNS, (_rate_row(r) for r in rates))


def plain(value: float | None) -> str:
    """Return a number as it stands in the tables."""
    if value is None:
        return ""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _flag(value: bool | None) -> str:
    return "" if value is None else str(int(value))


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _response_row(r: PatientResponse, rules: ResponseRules) -> list[str]:
    return [
        r.patient_id, r.cohort, r.treatment, r.best_overall_response, r.best_overall_response_confirmed,
        _flag(r.objective_response), _flag(r.objective_response_confirmed), _flag(r.clinical_benefit),
        rules.benefit_rule, plain(r.best_change_percent), plain(r.pfs_days), _flag(r.pfs_event), plain(r.os_days),
        _flag(r.os_event), str(r.n_targets), plain(r.baseline_sum_mm), _yes(r.measurable), r.measurable_reason,
        str(len(r.visits)),
    ]  # fmt: skip


def _visit_rows(r: PatientResponse) -> list[list[str]]:
    rows = []
    for v in r.visits:
        from_nadir = None if v.sum_mm is None or not v.nadir_mm else 100 * (v.sum_mm - v.nadir_mm) / v.nadir_mm
        rows.append([
            r.patient_id, plain(v.day), plain(v.sum_mm), plain(v.change_percent), plain(v.nadir_mm),
            plain(from_nadir), v.target, v.non_target, v.new_lesion, v.table_response, v.response, _flag(v.counted),
            v.note,
        ])  # fmt: skip
    return rows


def _lesion_rows(r: PatientResponse) -> list[list[str]]:
    return [
        [
            r.patient_id, x.lesion_id, x.organ, _yes(x.is_node), plain(x.baseline_mm), plain(x.nadir_mm),
            plain(x.best_change_percent), plain(x.first_change_percent), x.best_response,
            _flag(x.best_response in {"CR", "PR"}), str(sum(v.diameter_mm is not None for v in x.visits)),
        ]
        for x in r.lesions
    ]  # fmt: skip


def _lesion_visit_rows(r: PatientResponse) -> list[list[str]]:
    return [
        [
            r.patient_id, x.lesion_id, plain(v.day), plain(v.diameter_mm), plain(v.change_percent), v.response,
            _flag(v.counted),
        ]
        for x in r.lesions
        for v in x.visits
    ]  # fmt: skip


def _rate_row(r: CohortRates) -> list[str]:
    return [
        r.cohort, str(r.response.n), *(str(r.counts[name]) for name in RESPONSES),
        *(cell for rate in (r.response, r.confirmed, r.benefit) for cell in _rate_cells(rate)),
    ]  # fmt: skip


def _rate_cells(rate: ResponseRate) -> list[str]:
    return [str(rate.responders), *(plain(100 * share) for share in (rate.rate, rate.low, rate.high))]
