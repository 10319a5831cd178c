"""Every row of a cohort, opened and judged: one scan in memory at a time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from radiomics_talent.cohort.case import Footprint, inspect_case, inspect_overlaps, inspect_scan
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import SimpleITK as sitk

    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.settings import ExtractionSettings

_LOG = logging.getLogger(__name__)

Verdict = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True, eq=False)
class RowReport:
    """What was found about one row.

    Attributes
    ----------
    lesion : Lesion
        The row.
    findings : tuple of Finding
        About scan, mask, lesion, and its overlap with other lesions of the scan.
    image : SimpleITK.Image or None
        The scan; None where it cannot be read.
    mask : SimpleITK.Image or None
        The lesion on the scan's grid; None where there is an error.
    """

    lesion: Lesion
    findings: tuple[Finding, ...]
    image: sitk.Image | None = None
    mask: sitk.Image | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst finding: 'ok' where there is none but information."""
        levels = {f.level for f in self.findings}
        return "error" if "error" in levels else "warning" if "warning" in levels else "ok"

    def without_voxels(self) -> RowReport:
        """Return the report alone, to be kept after its scan is gone."""
        return replace(self, image=None, mask=None)


def inspect_cohort(
    cohort: CohortTable, settings: ExtractionSettings, *, progress: Callable[[int, int], None] | None = None
) -> Iterator[RowReport]:
    """Open every row; reports come scan by scan, and a scan's voxels go when its reports have been used.

    Parameters
    ----------
    cohort : CohortTable
        The rows.
    settings : ExtractionSettings
        What the rows are judged by.
    progress : callable, optional
        Called with the number of lesions done and their total.

    Yields
    ------
    RowReport
        One a row, grouped by scan.
    """
    done = 0
    seen: dict[str, Lesion] = {}
    for lesions in cohort.scans():
        for report in _inspect_lesions(lesions, settings, seen):
            done += 1
            if progress:
                progress(done, len(cohort.lesions))
            yield report


def _inspect_lesions(
    lesions: Sequence[Lesion], settings: ExtractionSettings, seen: dict[str, Lesion]
) -> Iterator[RowReport]:
    """Inspect the lesions of one scan; `seen` holds those of earlier scans by what they are made of."""
    try:
        findings, scan = inspect_scan(lesions[0], settings)
    except Exception as error:  # noqa: BLE001  # what nobody foresaw costs this scan, not the check of the others
        findings, scan = (_unforeseen(error, "unreadable-file", str(lesions[0].image)),), None
    if scan is None:
        for lesion in lesions:
            yield RowReport(lesion, findings)
        return
    reports: list[RowReport] = []
    footprints: dict[str, Footprint] = {}
    for lesion in lesions:
        try:
            found, case = inspect_case(lesion, settings, scan=scan)
        except Exception as error:  # noqa: BLE001  # likewise
            found, case = (_unforeseen(error, "mask-unreadable", str(lesion.mask)),), None
        reports.append(RowReport(lesion, found))
        if case is not None:
            footprints[lesion.key] = Footprint.of(case)
    overlaps = inspect_overlaps(footprints.values())
    for report in reports:
        key = report.lesion.key
        found = report.findings + tuple(f for f in overlaps if f.where == key)
        if key in footprints and (twin := seen.setdefault(footprints[key].content(scan.image), report.lesion)):
            found += _twice(report.lesion, twin, found)
        mask = footprints[key].voxels.as_mask() if key in footprints else None
        yield RowReport(report.lesion, found, scan.image, mask)


def _twice(lesion: Lesion, twin: Lesion, known: Sequence[Finding]) -> tuple[Finding, ...]:
    # Rows that spell one scan in two ways are two scans to us, and patients may have two names.
    if twin is lesion or any(f.code == "lesion-duplicate" for f in known):
        return ()
    sentence = f"holds the same voxels as {twin.key} (row {twin.row}), read from {twin.image}; remove one of the rows"
    return (Finding("lesion-duplicate", sentence, lesion.key),)


def _unforeseen(error: Exception, code: str, where: str) -> Finding:
    # Without the error's own text, which may quote a header; --debug shows its traceback.
    _LOG.debug("unexpected error", exc_info=error)
    sentence = f"cannot be read: unexpected {type(error).__name__}; run with --debug and report it"
    return Finding(code, sentence, where, "error")
