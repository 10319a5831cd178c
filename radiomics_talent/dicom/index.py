"""Walking a tree of DICOM files: which series are there, which hold a CT volume, and which masks belong to them."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING, NamedTuple, cast

from joblib import Parallel, delayed

from radiomics_talent.dicom.ct import inspect_instances
from radiomics_talent.dicom.folder import find_strays, stray_finding, walk_files
from radiomics_talent.dicom.headers import RTSTRUCT_CLASS, SEG_CLASSES
from radiomics_talent.dicom.links import MaskLink, link_masks
from radiomics_talent.dicom.selection import find_series_files, group_series
from radiomics_talent.dicom.series import SeriesRecord, split_series_uid
from radiomics_talent.dicom.spool import ReadChunk, Spool, open_spool, read_chunk
from radiomics_talent.dicom.volumes import Volume, split_series
from radiomics_talent.findings import Finding
from radiomics_talent.settings import GeometrySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from radiomics_talent.dicom.headers import Instance

__all__ = ["DicomIndex", "MaskLink", "SeriesRecord", "find_series_files", "index_dicom", "split_series_uid"]

CHUNK = 250
"""Files that a worker reads at a time."""


@dataclass(frozen=True, slots=True)
class DicomIndex:
    """What a tree of files holds.

    Attributes
    ----------
    root : Path
        Top of the tree.
    series : tuple of SeriesRecord
        Every CT volume, and every other series.
    links : tuple of MaskLink
        Every ROI and segment, with the CT volume that it was drawn on.
    files_read, files_ignored : int
        Files that are DICOM objects, and files that are not (junk, DICOMDIR).
    findings : tuple of Finding
        About single files: damaged ones, ROIs without contours.
    """

    root: Path
    series: tuple[SeriesRecord, ...]
    links: tuple[MaskLink, ...]
    files_read: int
    files_ignored: int
    findings: tuple[Finding, ...]


def index_dicom(root: Path, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None) -> DicomIndex:
    """Read the header of every DICOM file below a folder.

    Parameters
    ----------
    root : Path
        Folder (or a single file).
    jobs : int, optional
        Processes to read with.
    progress : callable, optional
        Called with the number of files done and their total; while files are still being listed none is done, and the
        total grows.

    Notes
    -----
    Headers wait on disk, in the folder for temporary files, until their series is described: what stays in memory grows
    with the number of series, not of files.

    Raises
    ------
    DicomError
        `root` does not exist.
    ConfigError
        There is no room in the folder for temporary files.
    """
    root = Path(root)
    findings: list[Finding] = []
    with open_spool() as spool:
        total = _list_files(root, spool, findings, progress)
        n_read, n_ignored, damaged = _read_all(spool, total, jobs, progress)
        series, masks = _describe_all(spool)
        findings += [*damaged, *_left_out(spool)]
        distinct = _distinct_masks(masks)
        links, mask_findings = link_masks(
            [m.path for m in distinct if m.is_rtstruct], [m.path for m in distinct if not m.is_rtstruct], series, spool
        )
    return DicomIndex(root, series, links, n_read, n_ignored, (*findings, *mask_findings))


# --- reading


def _list_files(root: Path, spool: Spool, findings: list[Finding], progress: Callable[[int, int], None] | None) -> int:
    total = 0

    def chunks() -> Iterator[list[str]]:
        nonlocal total
        paths = walk_files(root, findings)
        while chunk := [str(path) for path in islice(paths, CHUNK)]:
            total += len(chunk)
            yield chunk
            if progress:
                progress(0, total)

    spool.list_files(chunks())
    return total


def _read_all(
    spool: Spool, total: int, jobs: int, progress: Callable[[int, int], None] | None
) -> tuple[int, int, list[Finding]]:
    """Read every listed file into the spool; return how many are DICOM, how many are not, and what is damaged."""
    n_read = n_ignored = done = 0
    damaged: dict[int, tuple[Finding, ...]] = {}
    with closing(_read_chunks(spool, jobs, -(-total // CHUNK))) as chunks:
        for chunk in chunks:
            spool.add(chunk)
            n_read, n_ignored, done = n_read + chunk.n_read, n_ignored + chunk.n_ignored, done + chunk.n_files
            if chunk.damaged:
                damaged[chunk.number] = chunk.damaged
            if progress:
                progress(done, total)
    return n_read, n_ignored, [finding for number in sorted(damaged) for finding in damaged[number]]


def _read_chunks(spool: Spool, jobs: int, n_chunks: int) -> Generator[ReadChunk]:
    chunks = enumerate(spool.listed())
    if jobs == 1 or n_chunks <= 1:
        yield from (read_chunk(number, paths) for number, paths in chunks)
        return
    # In any order: behind one file that a disk is slow to give, all others would gather in memory.
    pool = Parallel(n_jobs=min(jobs, n_chunks), return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
    tasks = (delayed(read_chunk)(number, paths) for number, paths in chunks)
    results = cast("Generator[ReadChunk]", pool(tasks))
    try:
        for chunk in results:  # noqa: UP028 - closing them from here must stay without joblib's words
            yield chunk
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what was read and not used after Ctrl-C
            results.close()


def _left_out(spool: Spool) -> list[Finding]:
    """Report, folder by folder, the files beside a CT volume that may be slices lost."""
    findings = []
    for folder, paths in groupby(spool.ignored(), key=lambda path: path.parent):
        strays = find_strays(paths, spool.examples(folder))
        if strays:
            findings.append(stray_finding(strays, str(folder)))
    return findings


# --- describing


class _Mask(NamedTuple):
    path: Path
    sop_instance_uid: str
    is_rtstruct: bool


def _describe_all(spool: Spool) -> tuple[tuple[SeriesRecord, ...], list[_Mask]]:
    """Describe the series one after the other; return them by PatientID, and the masks among their files."""
    series: list[SeriesRecord] = []
    masks: list[_Mask] = []
    for instances in spool.series():
        masks += [
            _Mask(i.path, i.sop_instance_uid, i.sop_class_uid == RTSTRUCT_CLASS)
            for i in instances
            if i.sop_class_uid == RTSTRUCT_CLASS or i.sop_class_uid in SEG_CLASSES
        ]
        for group in group_series(instances).values():
            series += _describe(group, spool)
    # Copies are known within a SeriesInstanceUID, whatever patients they name; the table goes by patient.
    return tuple(sorted(series, key=lambda s: (s.patient_id, s.series_instance_uid))), masks


def _distinct_masks(found: list[_Mask]) -> list[_Mask]:
    """Leave out copies, but keep edited masks that were saved with the same SOPInstanceUID."""
    kept: dict[tuple[str, bytes], _Mask] = {}
    found = sorted(found, key=lambda mask: str(mask.path))
    count = Counter(mask.sop_instance_uid for mask in found)
    for mask in found:
        content = _digest(mask.path) if count[mask.sop_instance_uid] > 1 else b""
        kept.setdefault((mask.sop_instance_uid, content), mask)
    return list(kept.values())


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return str(path).encode()


def _describe(group: list[Instance], spool: Spool) -> list[SeriesRecord]:
    volumes = split_series(group)
    n_volumes = sum(v.kind == "volume" for v in volumes)
    folder = Path(os.path.commonpath({i.path.parent for i in group}))
    records = []
    for volume in volumes:
        record = _record(volume, len(volumes), n_volumes, folder)
        spool.keep_volume(record, volume.instances)
        records.append(record)
    return records


def _record(volume: Volume, n_parts: int, n_volumes: int, folder: Path) -> SeriesRecord:
    first = volume.instances[0]
    thickness = first.planes[0].slice_thickness_mm
    record = SeriesRecord(
        patient_id=intern(first.patient_id),
        study_instance_uid=intern(first.study_instance_uid),
        series_instance_uid=first.series_instance_uid,
        volume=volume.number,
        modality=intern(first.modality),
        study_date=intern(first.study_date),
        frame_of_reference_uid=first.frame_of_reference_uid,
        n_files=len(volume.instances),
        first_file=first.path,
        folder=folder,
        contrast_phase=intern(first.contrast_phase),
        slice_thickness_mm=round(thickness, 4) if thickness and thickness > 0 else None,
        kernel=intern(first.kernel),
        manufacturer=intern(first.manufacturer),
        site=intern(first.site),
        findings=(),
        is_volume=volume.kind == "volume",
        n_volumes=n_volumes,
    )
    return record.with_findings(_findings(volume, n_parts, n_volumes, f"series {record.series_uid}"))


def _findings(volume: Volume, n_parts: int, n_volumes: int, where: str) -> tuple[Finding, ...]:
    if volume.kind == "localizer":
        return (Finding("localizer", "a localizer (scout), not a volume: left out", where),)
    if volume.kind == "other":
        if volume.instances[0].modality != "CT":
            return ()
        return (Finding("no-volume", "a secondary image or one without position, not a volume: left out", where),)
    findings = inspect_instances(volume.instances, GeometrySettings(), where=where)
    if n_parts == 1:
        return findings
    what = f"{n_volumes} CT volumes" if n_volumes == n_parts else f"{n_volumes} CT volumes and other images"
    sentence = f"its SeriesInstanceUID holds {what}, taken apart; see that lesions are linked to the right volume"
    return (*findings, Finding("several-volumes", sentence, where))
