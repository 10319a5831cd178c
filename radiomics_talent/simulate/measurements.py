"""Invented diameters at visits that go with the invented responses: what a reader of the scans would have written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiomics_talent.simulate.clinical import ClinicalRow

MEASUREMENT_COLUMNS = ("patient_id", "lesion_id", "visit_day", "role", "diameter_mm", "organ", "cohort")
_BASELINE_DAY, _EVERY_DAYS = -7, 84
# Sum of diameters against baseline: a response (30 % or more below) from the first visit on, or neither that nor a
# progression (20 % above the smallest); then a progression.
_UNDER_TREATMENT = {"PR": (0.68, 0.6, 0.58), "SD": (0.96, 0.92, 0.94)}
_PROGRESSION = 1.35


def measurement_cells(clinical: ClinicalRow, lesions: Sequence[tuple[str, float]]) -> list[list[str]]:
    """Return the rows of measurements.csv of one patient; `recist` finds the patient's own response in them.

    Parameters
    ----------
    clinical : ClinicalRow
        Response and progression.
    lesions : sequence of (str, float)
        Name and baseline diameter in mm of each target lesion.
    """
    course: tuple[float, ...] = _UNDER_TREATMENT.get(clinical.best_overall_response, ())
    # Progression as best response: nothing is measured before it.
    days = range(_EVERY_DAYS, clinical.pfs_days, _EVERY_DAYS) if course else ()
    factors = [(_BASELINE_DAY, 1.0), *((day, course[min(k, len(course) - 1)]) for k, day in enumerate(days))]
    last = min(f for _, f in factors) * _PROGRESSION if clinical.pfs_event else course[-1]
    factors.append((clinical.pfs_days, last))
    return [
        [
            clinical.patient_id,
            name,
            str(day),
            "target",
            f"{max(diameter_mm * factor, 5.0):.1f}",
            "liver",
            clinical.cohort,
        ]
        for day, factor in factors
        for name, diameter_mm in lesions
    ]
