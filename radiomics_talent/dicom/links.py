"""Which RTSTRUCT and SEG belongs to which CT volume."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radiomics_talent.dicom.rtstruct import RtStruct, label_rois, read_rtstruct_headers
from radiomics_talent.dicom.seg import SegHeader, read_seg_headers
from radiomics_talent.dicom.spool import volume_key
from radiomics_talent.errors import InputError
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from radiomics_talent.dicom.series import SeriesRecord
    from radiomics_talent.dicom.spool import Spool


@dataclass(frozen=True, slots=True)
class MaskLink:
    """One ROI or segment, and the CT volume that it was drawn on.

    Attributes
    ----------
    mask : Path
        RTSTRUCT or SEG file.
    label : str
        ROI name, or segment number as text.
    roi_name : str
        ROI name or SegmentLabel.
    series : SeriesRecord or None
        None when the scan was not found.
    """

    mask: Path
    label: str
    roi_name: str
    series: SeriesRecord | None
    findings: tuple[Finding, ...]


def link_masks(
    rtstructs: Iterable[Path], segs: Iterable[Path], series: Sequence[SeriesRecord], slices: Spool
) -> tuple[tuple[MaskLink, ...], tuple[Finding, ...]]:
    """Link every ROI and segment to its CT volume.

    Parameters
    ----------
    rtstructs, segs : iterable of Path
        RTSTRUCT and SEG files.
    series : sequence of SeriesRecord
        All series, in the order in which findings name them.
    slices : Spool
        Knows the SOPInstanceUIDs of each record.

    Returns
    -------
    links : tuple of MaskLink
        One for each ROI with contours and each segment.
    findings : tuple of Finding
        Masks that cannot be read, and ROIs without contours.
    """
    links: list[MaskLink] = []
    findings: list[Finding] = []
    known = _know(series, slices)
    for path in rtstructs:
        try:
            links += _link_rtstruct(path, read_rtstruct_headers(path), known, findings)
        except InputError as error:
            findings.append(Finding("mask-unreadable", error.message, str(path)))
    for path in segs:
        try:
            links += _link_seg(path, read_seg_headers(path), known, findings)
        except InputError as error:
            findings.append(Finding("mask-unreadable", error.message, str(path)))
    return tuple(links), tuple(findings)


@dataclass(frozen=True, slots=True)
class _Known:
    """All series, found by SeriesInstanceUID or frame of reference without walking through an archive."""

    series: Sequence[SeriesRecord]
    by_uid: Mapping[str, Sequence[int]]
    by_frame: Mapping[str, Sequence[int]]
    slices: Spool

    def named(self, series_instance_uids: Iterable[str]) -> list[SeriesRecord]:
        """Return the records of these series, in order."""
        return [self.series[n] for n in sorted({n for uid in series_instance_uids for n in self.by_uid.get(uid, ())})]

    def volumes_in_frame(self, uid: str) -> list[SeriesRecord]:
        """Return the CT volumes with this FrameOfReferenceUID, in order."""
        return [self.series[n] for n in self.by_frame.get(uid, ())] if uid else []


def _know(series: Sequence[SeriesRecord], slices: Spool) -> _Known:
    by_uid: defaultdict[str, list[int]] = defaultdict(list)
    by_frame: defaultdict[str, list[int]] = defaultdict(list)
    for n, record in enumerate(series):
        by_uid[record.series_instance_uid].append(n)
        if record.is_volume:
            by_frame[record.frame_of_reference_uid].append(n)
    return _Known(series, by_uid, by_frame, slices)


def _link_rtstruct(path: Path, header: RtStruct, known: _Known, findings: list[Finding]) -> list[MaskLink]:
    record, odd = _find_volume(header, known, where=str(path))
    findings += _incomplete(header, record, known, str(path))
    empty = [roi.name or f"number {roi.number}" for roi in header.rois if roi.n_contours == 0]
    if empty:
        sentence = f"ROIs without contours were left out: {', '.join(empty)}; draw them, or ignore this"
        findings.append(Finding("mask-empty", sentence, str(path), severity="warning"))
    return [MaskLink(path, label, roi.name, record, odd) for label, roi in label_rois(header.rois).items()]


def _link_seg(path: Path, header: SegHeader, known: _Known, findings: list[Finding]) -> list[MaskLink]:
    record, odd = _find_volume(header, known, where=str(path))
    findings += _incomplete(header, record, known, str(path))
    return [MaskLink(path, str(s.number), s.label, record, odd) for s in header.segments]


def count_missing(mask: RtStruct | SegHeader, series_uid: str, present: Collection[str]) -> tuple[int, int]:
    """Count the slices of a series that a mask refers to and that are not there, and all that it refers to.

    Parameters
    ----------
    mask : RtStruct or SegHeader
        What the mask's header says.
    series_uid : str
        SeriesInstanceUID.
    present : collection of str
        SOPInstanceUIDs of every image of the series.

    Returns
    -------
    missing, referenced : int
        0 missing where none of the slices is there: then UIDs were replaced, and nothing can be told from them.
    """
    if not mask.series_instance_uids or mask.series_instance_uids == (series_uid,):
        referenced = mask.sop_instance_uids
    else:
        referenced = mask.slices_by_series.get(series_uid, frozenset())
    missing = referenced.difference(present)
    return (len(missing) if len(missing) < len(referenced) else 0), len(referenced)


def _incomplete(mask: RtStruct | SegHeader, record: SeriesRecord | None, known: _Known, where: str) -> list[Finding]:
    if record is None:
        return []
    uid = record.series_instance_uid
    present = known.slices.slices_of_series(uid)
    missing, referenced = count_missing(mask, uid, present)
    if not missing:
        return []
    sentence = (
        f"{missing} of the {referenced} slices that it refers to are not in its series ({record.series_uid}); copy or "
        "export the whole series again"
    )
    return [Finding("referenced-slices-missing", sentence, where, severity="warning")]


def _find_volume(
    mask: RtStruct | SegHeader, known: _Known, *, where: str
) -> tuple[SeriesRecord | None, tuple[Finding, ...]]:
    """Find the CT volume that a mask refers to.

    By referenced SeriesInstanceUID (and, where that series was split or several are named, by referenced SOP
    instances), else by referenced SOP instances alone, else by frame of reference where one volume has it.
    """
    named = [s for s in known.named(mask.series_instance_uids) if s.is_volume]
    if len(named) == 1:
        return named[0], ()
    found = _most_instances(named or _with_instances(mask, known), mask, known)
    if len(found) == 1:
        return found[0], _spread(found[0], mask, known, where)
    if found or named:
        sentence = (
            f"it fits {len(found or named)} CT volumes equally well ({_list(found or named)}); "
            "fill image and series_uid of its lesions by hand"
        )
        return None, (Finding("mask-unlinked", sentence, where),)
    return _by_frame(mask, known, where)


def _with_instances(mask: RtStruct | SegHeader, known: _Known) -> list[SeriesRecord]:
    keys = known.slices.volumes_with(mask.sop_instance_uids)
    return [s for s in known.named({uid for uid, _, _ in keys}) if volume_key(s) in keys]


def _n_shared(mask: RtStruct | SegHeader, volume: SeriesRecord, known: _Known) -> int:
    return len(mask.sop_instance_uids & known.slices.slices_of(volume))


def _most_instances(volumes: Sequence[SeriesRecord], mask: RtStruct | SegHeader, known: _Known) -> list[SeriesRecord]:
    shared = [_n_shared(mask, v, known) for v in volumes]
    most = max(shared, default=0)
    return [v for v, n in zip(volumes, shared, strict=True) if most and n == most]


def _spread(linked: SeriesRecord, mask: RtStruct | SegHeader, known: _Known, where: str) -> tuple[Finding, ...]:
    """Warn where a mask was drawn across volumes that its series was taken apart into."""
    volumes = [v for v in known.named([linked.series_instance_uid]) if v.is_volume]
    counts = {v.series_uid: _n_shared(mask, v, known) for v in volumes}
    if sum(n > 0 for n in counts.values()) < 2:
        return ()
    named = ", ".join(f"{uid}: {n} slices" for uid, n in counts.items() if n)
    sentence = f"it refers to slices of several volumes of one series ({named}); see that the lesion is whole"
    return (Finding("several-volumes", sentence, where),)


def _by_frame(mask: RtStruct | SegHeader, known: _Known, where: str) -> tuple[SeriesRecord | None, tuple[Finding, ...]]:
    same = known.volumes_in_frame(mask.frame_of_reference_uid)
    same = [v for v in same if v.patient_id == mask.patient_id] or same
    if len(same) == 1:
        refers = bool(mask.series_instance_uids or mask.sop_instance_uids)
        sentence = (
            "its own series is not there, so it was linked to the only CT volume in its frame of reference "
            f"({same[0].series_uid}); see that patient and phase are the same"
        )
        return same[0], (Finding("mask-other-series", sentence, where),) if refers else ()
    if same:
        sentence = (
            f"{len(same)} CT volumes share its frame of reference ({_list(same)}) and it names none of them; "
            "fill image and series_uid by hand"
        )
        return None, (Finding("mask-unlinked", sentence, where),)
    other = known.named(mask.series_instance_uids)
    if other:
        sentence = (
            f"it refers to a series with Modality {other[0].modality or 'unknown'} that holds no CT volume; give the CT"
        )
        return None, (Finding("mask-unlinked", sentence, where),)
    sentence = "the CT series that it refers to was not found; put it below the indexed folder"
    return None, (Finding("mask-unlinked", sentence, where),)


def _list(volumes: Sequence[SeriesRecord]) -> str:
    return ", ".join(v.series_uid for v in volumes[:3]) + (", ..." if len(volumes) > 3 else "")
