"""What the index knows of one series, or of one volume within it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.findings import Finding


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """One CT volume (a series, or one of the volumes that a series was split into), or another series.

    Attributes
    ----------
    volume : int
        Number within the series, from 1; CT volumes come before localizers and other images.
    study_date : str
        YYYY-MM-DD, or ''.
    n_files : int
        Files of this volume; `find_series_files` finds them again.
    first_file : Path
        The first along the slice normal for CT volumes.
    folder : Path
        Innermost folder that holds all files of the whole series: what `find_series_files` needs to split it alike.
    contrast_phase : str
        'native', 'arterial', 'portal-venous', 'venous', 'delayed', 'contrast' or ''.
    is_volume : bool
        A CT volume, and so what a mask may be linked to.
    n_volumes : int
        CT volumes with this SeriesInstanceUID.
    """

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    volume: int
    modality: str
    study_date: str
    frame_of_reference_uid: str
    n_files: int
    first_file: Path
    folder: Path
    contrast_phase: str
    slice_thickness_mm: float | None
    kernel: str
    manufacturer: str
    site: str
    findings: tuple[Finding, ...]
    is_volume: bool = False
    n_volumes: int = 1

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID, and ``#<volume>`` where that alone would not say which volume is meant."""
        if self.n_volumes <= 1 and self.volume == 1:
            return self.series_instance_uid
        return f"{self.series_instance_uid}#{self.volume}"

    def with_findings(self, findings: tuple[Finding, ...]) -> SeriesRecord:
        """Return the record with these findings."""
        return replace(self, findings=findings)


def split_series_uid(series_uid: str) -> tuple[str, int | None]:
    """Split what the cohort table holds: '1.2#2' is volume 2 of series 1.2."""
    uid, _, number = series_uid.strip().partition("#")
    return uid, int(number) if number.strip().isdecimal() else None
