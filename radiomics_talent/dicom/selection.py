"""The files of one CT volume below a folder, by the rule that the index goes by."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from radiomics_talent.dicom.folder import find_files, find_strays, stray_finding, unreadable
from radiomics_talent.dicom.headers import Instance, looks_like_dicom, read_instance
from radiomics_talent.dicom.pixels import is_copy
from radiomics_talent.dicom.series import split_series_uid
from radiomics_talent.dicom.volumes import Volume, drop_copies, split_series
from radiomics_talent.errors import DicomError
from radiomics_talent.findings import Finding, raise_first_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEAD_BYTES = 2**18
"""SeriesInstanceUID is sought within this many first bytes before a file is parsed."""
PIXEL_TAGS = (b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00OB", b"\x7f\xe0\x00\x10OW")
"""PixelData: the header ends here."""
SERIES_TAGS = (b"\x20\x00\x0e\x00", b"\x00\x20\x00\x0e")
"""SeriesInstanceUID, whatever it is."""
DEFLATED = b"1.2.840.10008.1.2.1.99"

SeriesKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """One CT volume as files.

    Attributes
    ----------
    instances : tuple of Instance
        Their headers, sorted along the slice normal.
    sop_instance_uids : frozenset of str
        Of every image of the series that is there, also of its other volumes and localizers.
    findings : tuple of Finding
        What lies beside the files and could not be read; no errors.
    """

    instances: tuple[Instance, ...]
    sop_instance_uids: frozenset[str]
    findings: tuple[Finding, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files alone."""
        return tuple(i.path for i in self.instances)


def find_series(folder: Path, series_uid: str | None) -> SeriesFiles:
    """Find the files of one CT volume below a folder, by the rule that the index goes by.

    Parameters
    ----------
    folder : Path
        Folder, or a single multi-frame file.
    series_uid : str or None
        As in the cohort table: SeriesInstanceUID, with ``#<volume>`` where the series holds several volumes.
        None or '' stands for the only CT volume there is.

    Raises
    ------
    DicomError
        No such volume is there, or several are, or a file there cannot be opened.
    """
    folder = Path(folder)
    uid, number = split_series_uid(series_uid or "")
    instances, damaged, unread = _read_folder(folder, uid)
    if damaged:
        names = f"{damaged[0].name}{', ...' if len(damaged) > 1 else ''}"
        sentence = f"{len(damaged)} files of the series are damaged ({names}); copy or export them again"
        raise Finding("unreadable-file", sentence, str(folder)).error()
    groups = [split_series(group) for group in group_series(instances).values()]
    volumes = [v for group in groups for v in group if v.kind == "volume"]
    chosen = [
        v
        for v in volumes
        if (not uid or v.instances[0].series_instance_uid == uid) and (number is None or v.number == number)
    ]
    if len(chosen) != 1:
        raise _not_one(chosen, [v for g in groups for v in g], series_uid or "", folder).error()
    mine = chosen[0].instances[0].series_instance_uid
    same = [i for i in instances if i.series_instance_uid == mine]
    strays = find_strays(unread, (i.path for i in same))
    return SeriesFiles(
        instances=tuple(chosen[0].instances),
        sop_instance_uids=frozenset(i.sop_instance_uid for i in same),
        findings=(stray_finding(strays, str(folder)),) if strays else (),
    )


def find_series_files(folder: Path, series_uid: str | None) -> tuple[Path, ...]:
    """Return the files alone of what `find_series` finds."""
    return find_series(folder, series_uid).files


def group_series(instances: Iterable[Instance]) -> dict[SeriesKey, list[Instance]]:
    """Group instances, without copies, by PatientID and SeriesInstanceUID."""
    groups: defaultdict[SeriesKey, list[Instance]] = defaultdict(list)
    for i in drop_copies(instances, is_copy):
        groups[i.patient_id, i.series_instance_uid].append(i)
    return dict(sorted(groups.items()))


def _read_folder(folder: Path, uid: str) -> tuple[list[Instance], list[Path], list[Path]]:
    """Return the instances of the series (or of all), its damaged files, and the files that are of no series."""
    paths, findings = find_files(folder)
    raise_first_error(findings)
    instances: list[Instance] = []
    damaged: list[Path] = []
    unread: list[Path] = []
    closed: list[tuple[Path, OSError]] = []
    for path in paths:
        try:
            names_it = _names_series(path, uid.encode())
        except OSError as error:
            closed.append((path, error))
            continue
        if names_it is False:
            continue
        try:
            instance = read_instance(path)
        except DicomError:
            # Without a series named, a damaged file need not belong to it.
            (damaged if uid and names_it else unread).append(path)
            continue
        if instance is None:
            unread.append(path)
        elif not uid or instance.series_instance_uid == uid:
            instances.append(instance)
    if closed:
        n = len(closed)
        names = closed[0][0].name if n == 1 else f"{n} files ({closed[0][0].name}, ...)"
        where = str(folder.parent if folder == closed[0][0] else folder)
        raise Finding("unreadable-file", f"{names} {unreadable(closed[0][1])}", where).error()
    return instances, damaged, unread


def _names_series(path: Path, uid: bytes) -> bool | None:
    """Whether a file may belong to the series; None where only reading it can tell.

    Bytes are compared, as parsing takes twenty times as long.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES // 16)
        if not uid or not looks_like_dicom(head[:132]):
            return None
        if uid not in head and not any(tag in head for tag in PIXEL_TAGS):
            head += file.read(HEAD_BYTES)
    if uid in head or DEFLATED in head[:1024]:
        return True
    return False if any(tag in head for tag in SERIES_TAGS) else None


def _not_one(chosen: Sequence[Volume], present: Sequence[Volume], series_uid: str, folder: Path) -> Finding:
    where = str(folder)
    real = [v for v in present if v.kind == "volume"]
    if len(chosen) > 1:
        found = f"the folder holds {len(chosen)} CT volumes ({_list(chosen)})"
        sentence = f"{found}; fill series_uid, as index does (score: --series)"
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
