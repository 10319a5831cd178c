"""An invented clinical table that goes with the invented scans."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_FOLLOW_UP_DAYS = 1100
_MEDIAN_PFS_DAYS = {True: 640.0, False: 250.0}
_PRIMARY_SITES = {"A": ("pancreas",), "B": ("small bowel", "colon", "stomach")}


@dataclass(frozen=True, slots=True)
class ClinicalRow:
    """One invented patient; `synthetic` is always 'yes'.

    Attributes
    ----------
    cohort : str
        A pancreatic, B gastrointestinal, as in TALENT.
    grade : str
        G1 below a Ki-67 of 3 %, else G2.
    best_overall_response : str
        RECIST 1.1: PR, SD or PD.
    pfs_days, pfs_event : int
        Progression-free survival, and whether it ended with progression or death (1) or is censored (0).
    """

    patient_id: str
    synthetic: str
    cohort: str
    age: int
    sex: str
    primary_site: str
    grade: str
    ki67_percent: float
    ecog: int
    prior_lines: int
    best_overall_response: str
    pfs_days: int
    pfs_event: int

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(field.name for field in fields(cls))

    def cells(self) -> list[str]:
        """Return the values as they stand in the CSV."""
        return [str(getattr(self, name)) for name in self.columns()]


def make_clinical_row(patient_id: str, *, responds: bool, rng: np.random.Generator) -> ClinicalRow:
    """Invent a patient.

    Parameters
    ----------
    patient_id : str
        Identifier.
    responds : bool
        Whether the tumour shrinks; survival follows it, the other columns do not.
    rng : numpy.random.Generator
        The only source of chance.
    """
    cohort = "A" if rng.random() < 0.5 else "B"
    ki67 = min(round(float(rng.lognormal(1.6, 0.7)), 1), 19.5)
    waiting = float(rng.exponential(_MEDIAN_PFS_DAYS[responds] / 0.693))
    response = "PR" if responds else str(rng.choice(["SD", "SD", "PD"]))
    # Progression as best response is seen at the first scan after the start, at about 12 weeks.
    progression = int(rng.integers(60, 91)) if response == "PD" else max(91, round(waiting))
    return ClinicalRow(
        patient_id=patient_id,
        synthetic="yes",
        cohort=cohort,
        age=int(rng.integers(38, 80)),
        sex="F" if rng.random() < 0.5 else "M",
        primary_site=str(rng.choice(_PRIMARY_SITES[cohort])),
        grade="G1" if ki67 < 3 else "G2",
        ki67_percent=ki67,
        ecog=int(rng.random() < 0.4),
        prior_lines=int(rng.integers(1, 4)),
        best_overall_response=response,
        pfs_days=min(progression, _FOLLOW_UP_DAYS),
        pfs_event=int(progression < _FOLLOW_UP_DAYS),
    )
