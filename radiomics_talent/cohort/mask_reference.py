"""What a DICOM mask says of the images that it was drawn on, held against the scan of its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radiomics_talent.dicom.links import count_missing
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from radiomics_talent.cohort.scan import Scan
    from radiomics_talent.dicom.rtstruct import RtStruct
    from radiomics_talent.dicom.seg import SegHeader
    from radiomics_talent.findings import Level
    from radiomics_talent.settings import ExtractionSettings

NEAR_END = 5
"""Slices lost at an end of the series matter to a lesion that is nearer than this to either end."""


def inspect_reference(
    header: RtStruct | SegHeader, its: str, scan: Scan, settings: ExtractionSettings, where: str
) -> tuple[Finding, ...]:
    """Compare frame of reference (`its`), patient and series of a mask with those of the scan."""
    level: Level = "error" if settings.mask.require_same_patient else "warning"
    findings = []
    if header.patient_id.strip() and scan.patient_id.strip() and header.patient_id.strip() != scan.patient_id.strip():
        # Neither PatientID is quoted: this sentence goes into logs and tables.
        sentence = (
            "its PatientID is not that of the scan; give the mask of this patient; if only one of the two was "
            "pseudonymised, set mask.require_same_patient: false (score: --force)"
        )
        findings.append(Finding("mask-other-patient", sentence, where, severity=level))
    mine = scan.frame_of_reference_uid
    if mine and its and mine != its:
        sentence = (
            f"was drawn in FrameOfReferenceUID {its}, the scan has {mine}; give the scan that it was drawn on, or set "
            "mask.require_same_patient: false (score: --force)"
        )
        return (*findings, Finding("mask-other-frame", sentence, where, severity=level))
    series = header.series_instance_uids
    if scan.series_instance_uid and series and scan.series_instance_uid not in series:
        sentence = (
            f"was drawn on series {', '.join(series)} and is used on {scan.series_instance_uid} in the same frame of "
            "reference; see that patient and phase are the same"
        )
        findings.append(Finding("mask-other-series", sentence, where))
    return tuple(findings)


def inspect_completeness(
    header: RtStruct | SegHeader,
    scan: Scan,
    mask_zyx: NDArray[np.bool_] | None,
    settings: ExtractionSettings,
    where: str,
) -> tuple[Finding, ...]:
    """Report slices that a mask refers to and that the series lacks, but for those that were interpolated.

    An error where features would change: the lesion is near an end of the scan (a gap between slices is an error of
    the scan itself), or it is resampled along z, on a grid that begins at the scan's first slice. Else, and where gaps
    are allowed, a warning.
    """
    if header.series_instance_uids and scan.series_instance_uid not in header.series_instance_uids:
        return ()  # drawn on another series, which `inspect_reference` reports
    missing, referenced = count_missing(header, scan.series_instance_uid, scan.sop_instance_uids)
    lost = missing - scan.n_interpolated
    if lost <= 0:
        return ()
    found = f"{lost} of the {referenced} slices that it was drawn on are missing from the series"
    harmless = mask_zyx is not None and not _near_end(mask_zyx) and not _resamples_slices(scan, settings)
    if harmless or settings.geometry.allow_gaps:
        effect = "the lesion is far from them" if harmless else "done without, as geometry.allow_gaps says"
        sentence = f"{found}: {effect}; copy or export the whole series again"
        return (Finding("referenced-slices-missing", sentence, where, severity="warning"),)
    sentence = f"{found}; copy or export the whole series again, or set geometry.allow_gaps: true to do without them"
    return (Finding("referenced-slices-missing", sentence, where),)


def _resamples_slices(scan: Scan, settings: ExtractionSettings) -> bool:
    wanted = (settings.new_spacing_mm or (0.0, 0.0, 0.0))[2]
    return bool(wanted) and not np.isclose(wanted, scan.geometry.spacing_mm[2])


def _near_end(mask_zyx: NDArray[np.bool_]) -> bool:
    slices = np.flatnonzero(mask_zyx.any(axis=(1, 2)))
    return bool(slices.size and min(slices[0], len(mask_zyx) - 1 - slices[-1]) < NEAR_END)
