"""Walking a tree of DICOM files: which series are there, which hold a CT volume, and which masks belong to them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from joblib import Parallel, delayed

from radiomics_talent.dicom.ct import inspect_instances
from radiomics_talent.dicom.folder import find_files, find_strays, stray_finding
from radiomics_talent.dicom.headers import RTSTRUCT_CLASS, SEG_CLASSES, Instance, read_instances
from radiomics_talent.dicom.links import MaskLink, link_masks
from radiomics_talent.dicom.selection import find_series_files, group_series
from radiomics_talent.dicom.series import SeriesRecord, split_series_uid
from radiomics_talent.dicom.volumes import Volume, split_series
from radiomics_talent.findings import Finding
from radiomics_talent.settings import GeometrySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

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
        Called with the number of files done and their total.

    Raises
    ------
    DicomError
        `root` does not exist.
    """
    root = Path(root)
    paths, findings = find_files(root)
    instances: list[Instance] = []
    ignored: list[Path] = []
    for path, outcome in zip(paths, _read_all(paths, jobs, progress), strict=True):
        if isinstance(outcome, Instance):
            instances.append(outcome)
        elif isinstance(outcome, Finding):
            findings.append(outcome)
        else:
            ignored.append(path)
    series = tuple(record for group in group_series(instances).values() for record in _describe(group))
    findings += _left_out(ignored, series)
    masks = _distinct_masks(i for i in instances if _is_mask(i))
    links, mask_findings = link_masks(
        [i.path for i in masks if i.sop_class_uid == RTSTRUCT_CLASS],
        [i.path for i in masks if i.sop_class_uid in SEG_CLASSES],
        series,
    )
    return DicomIndex(root, series, links, len(instances), len(ignored), (*findings, *mask_findings))


# --- reading


def _read_all(
    paths: Sequence[Path], jobs: int, progress: Callable[[int, int], None] | None
) -> Iterator[Instance | Finding | None]:
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    results: Iterable[list[Instance | Finding | None]] = (read_instances(chunk) for chunk in chunks)
    if jobs != 1 and len(chunks) > 1:
        pool = Parallel(n_jobs=min(jobs, len(chunks)), return_as="generator")
        results = pool(delayed(read_instances)(chunk) for chunk in chunks)
    done = 0
    for result in results:
        yield from result
        done += len(result)
        if progress:
            progress(done, len(paths))


def _left_out(ignored: Iterable[Path], series: Iterable[SeriesRecord]) -> list[Finding]:
    """Report, folder by folder, the files beside a CT volume that may be slices lost."""
    folders: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in find_strays(ignored, (file for s in series if s.is_volume for file in s.files)):
        folders[path.parent].append(path)
    return [stray_finding(strays, str(folder)) for folder, strays in folders.items()]


# --- describing


def _is_mask(instance: Instance) -> bool:
    return instance.sop_class_uid == RTSTRUCT_CLASS or instance.sop_class_uid in SEG_CLASSES


def _distinct_masks(instances: Iterable[Instance]) -> list[Instance]:
    """Leave out copies, but keep edited masks that were saved with the same SOPInstanceUID."""
    kept: dict[tuple[str, bytes], Instance] = {}
    found = sorted(instances, key=lambda i: str(i.path))
    count = Counter(i.sop_instance_uid for i in found)
    for i in found:
        content = _digest(i.path) if count[i.sop_instance_uid] > 1 else b""
        kept.setdefault((i.sop_instance_uid, content), i)
    return list(kept.values())


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return str(path).encode()


def _describe(group: list[Instance]) -> list[SeriesRecord]:
    volumes = split_series(group)
    n_volumes = sum(v.kind == "volume" for v in volumes)
    folder = Path(os.path.commonpath([i.path.parent for i in group]))
    return [_record(v, len(volumes), n_volumes, folder) for v in volumes]


def _record(volume: Volume, n_parts: int, n_volumes: int, folder: Path) -> SeriesRecord:
    first = volume.instances[0]
    thickness = first.planes[0].slice_thickness_mm
    record = SeriesRecord(
        patient_id=first.patient_id,
        study_instance_uid=first.study_instance_uid,
        series_instance_uid=first.series_instance_uid,
        volume=volume.number,
        modality=first.modality,
        study_date=first.study_date,
        frame_of_reference_uid=first.frame_of_reference_uid,
        files=tuple(i.path for i in volume.instances),
        sop_instance_uids=tuple(i.sop_instance_uid for i in volume.instances),
        contrast_phase=first.contrast_phase,
        slice_thickness_mm=round(thickness, 4) if thickness and thickness > 0 else None,
        kernel=first.kernel,
        manufacturer=first.manufacturer,
        site=first.site,
        findings=(),
        is_volume=volume.kind == "volume",
        n_volumes=n_volumes,
        folder=folder,
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
