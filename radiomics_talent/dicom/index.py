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
from radiomics_talent.dicom.headers import RTSTRUCT_CLASS, SEG_CLASSES, Instance, read_instance, read_instances
from radiomics_talent.dicom.links import MaskLink, link_masks
from radiomics_talent.dicom.pixels import is_copy
from radiomics_talent.dicom.series import SeriesRecord, split_series_uid
from radiomics_talent.dicom.volumes import Volume, drop_copies, split_series
from radiomics_talent.errors import DicomError
from radiomics_talent.findings import Finding
from radiomics_talent.settings import GeometrySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["DicomIndex", "MaskLink", "SeriesRecord", "find_series_files", "index_dicom", "split_series_uid"]

CHUNK = 250
"""Files that a worker reads at a time."""
HEAD_BYTES = 2**18
"""SeriesInstanceUID is sought within this many first bytes before a file is parsed."""
PIXEL_TAGS = (b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00OB", b"\x7f\xe0\x00\x10OW")
"""PixelData: the header ends here."""
DEFLATED = b"1.2.840.10008.1.2.1.99"

SeriesKey = tuple[str, str]


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
    paths, findings = _find_files(root)
    instances: list[Instance] = []
    ignored = 0
    for outcome in _read_all(paths, jobs, progress):
        if isinstance(outcome, Instance):
            instances.append(outcome)
        elif isinstance(outcome, Finding):
            findings.append(outcome)
        else:
            ignored += 1
    series = tuple(record for group in _group(instances).values() for record in _describe(group))
    masks = _distinct_masks(i for i in instances if _is_mask(i))
    links, mask_findings = link_masks(
        [i.path for i in masks if i.sop_class_uid == RTSTRUCT_CLASS],
        [i.path for i in masks if i.sop_class_uid in SEG_CLASSES],
        series,
    )
    return DicomIndex(root, series, links, len(instances), ignored, (*findings, *mask_findings))


def find_series_files(folder: Path, series_uid: str | None) -> tuple[Path, ...]:
    """Find the files of one CT volume below a folder, by the rule that the index goes by.

    Parameters
    ----------
    folder : Path
        Folder, or a single multi-frame file.
    series_uid : str or None
        As in the cohort table: SeriesInstanceUID, with ``#<volume>`` where the series holds several volumes.
        None or '' stands for the only CT volume there is.

    Returns
    -------
    tuple of Path
        Sorted along the slice normal.

    Raises
    ------
    DicomError
        No such volume is there, or several are.
    """
    folder = Path(folder)
    uid, number = split_series_uid(series_uid or "")
    instances, damaged = _read_folder(folder, uid)
    if damaged:
        names = f"{damaged[0].name}{', ...' if len(damaged) > 1 else ''}"
        sentence = f"{len(damaged)} files of the series are damaged ({names}); copy or export them again"
        raise Finding("unreadable-file", sentence, str(folder)).error()
    groups = [split_series(group) for group in _group(instances).values()]
    volumes = [v for group in groups for v in group if v.kind == "volume"]
    chosen = [
        v
        for v in volumes
        if (not uid or v.instances[0].series_instance_uid == uid) and (number is None or v.number == number)
    ]
    if len(chosen) == 1:
        return tuple(i.path for i in chosen[0].instances)
    raise _not_one(chosen, [v for g in groups for v in g], series_uid or "", folder).error()


# --- reading


def _find_files(root: Path) -> tuple[list[Path], list[Finding]]:
    if root.is_file():
        return [root], []
    if not root.is_dir():
        raise DicomError("there is no such folder; give the folder that holds the DICOM files", where=str(root))
    findings: list[Finding] = []

    def complain(error: OSError) -> None:
        findings.append(Finding("unreadable-file", f"the folder cannot be read: {error.strerror}", str(error.filename)))

    paths = []
    for folder, folders, names in os.walk(root, onerror=complain):
        folders.sort()
        # Sockets and pipes would block; a broken link is no file.
        paths += [p for p in (Path(folder, n) for n in sorted(names)) if p.is_file()]
    return paths, findings


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


def _read_folder(folder: Path, uid: str) -> tuple[list[Instance], list[Path]]:
    paths, _ = _find_files(folder)
    instances = []
    damaged = []
    for path in paths:
        if uid and not _may_hold(path, uid.encode()):
            continue
        try:
            instance = read_instance(path)
        except DicomError:
            damaged.append(path)
            continue
        if instance is not None and (not uid or instance.series_instance_uid == uid):
            instances.append(instance)
    # Without a series named, a damaged file need not belong to it.
    return instances, damaged if uid else []


def _may_hold(path: Path, uid: bytes) -> bool:
    """Whether a file's header may name the series: bytes are compared, as parsing takes twenty times as long."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES // 16)
            if uid not in head and not any(tag in head for tag in PIXEL_TAGS):
                head += file.read(HEAD_BYTES)
    except OSError:
        return False
    return uid in head or DEFLATED in head[:1024]


# --- describing


def _group(instances: Iterable[Instance]) -> dict[SeriesKey, list[Instance]]:
    groups: defaultdict[SeriesKey, list[Instance]] = defaultdict(list)
    for i in drop_copies(instances, is_copy):
        groups[i.patient_id, i.series_instance_uid].append(i)
    return dict(sorted(groups.items()))


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
        slice_thickness_mm=None if thickness is None else round(thickness, 4),
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


def _not_one(chosen: Sequence[Volume], present: Sequence[Volume], series_uid: str, folder: Path) -> Finding:
    where = str(folder)
    real = [v for v in present if v.kind == "volume"]
    if len(chosen) > 1:
        sentence = f"the folder holds {len(chosen)} CT volumes ({_list(chosen)}); fill series_uid, as index does"
        return Finding("series-ambiguous", sentence, where)
    if real:
        sentence = f"series {series_uid} is not among the CT volumes there ({_list(real)}); correct series_uid"
        return Finding("series-absent", sentence, where)
    if present:
        kinds = ", ".join(sorted({v.instances[0].modality or "?" for v in present}))
        only = "localizers or secondary images" if kinds == "CT" else f"{kinds} objects"
        return Finding("not-ct", f"there is no CT volume, only {only}; give the CT series", where)
    what = f"series {series_uid}" if series_uid else "a DICOM series"
    return Finding("series-absent", f"{what} is not there; correct image and series_uid, or index again", where)


def _list(volumes: Sequence[Volume]) -> str:
    named = [f"{v.instances[0].series_instance_uid}#{v.number}: {len(v.instances)} files" for v in volumes[:5]]
    return ", ".join(named) + (", ..." if len(volumes) > 5 else "")
