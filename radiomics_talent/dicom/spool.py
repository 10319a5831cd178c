"""What indexing has read, kept on disk until a series is described: an archive's headers do not fit into memory."""

from __future__ import annotations

import errno
import gzip
import json
import pickle
import sqlite3
import tempfile
import zlib
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiomics_talent.dicom.folder import name_shape
from radiomics_talent.dicom.headers import Instance, read_instances
from radiomics_talent.errors import ConfigError
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from radiomics_talent.dicom.series import SeriesRecord

VolumeKey = tuple[str, str, int]
"""SeriesInstanceUID, PatientID and number of the volume within the series: together they name one record."""

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE header (series_uid TEXT, instances BLOB);
CREATE TABLE ignored (chunk INTEGER PRIMARY KEY, paths BLOB);
CREATE TABLE volume (id INTEGER PRIMARY KEY, series_uid TEXT, patient_id TEXT, number INTEGER, is_ct INTEGER,
    slices BLOB);
CREATE INDEX volume_series ON volume (series_uid);
CREATE TABLE beside (folder TEXT, shape TEXT, path TEXT, PRIMARY KEY (folder, shape)) WITHOUT ROWID;
BEGIN;
"""


@dataclass(frozen=True, slots=True)
class ReadChunk:
    """What a worker found in some files, packed as the spool keeps it.

    Attributes
    ----------
    number : int
        Which chunk of the list of files.
    n_files, n_read, n_ignored : int
        All files, DICOM objects among them, and what is not DICOM.
    headers : tuple of (str, bytes)
        SeriesInstanceUID, and the packed instances of it.
    ignored : bytes
        Packed paths of what is not DICOM.
    damaged : tuple of Finding
        Files that could not be read.
    """

    number: int
    n_files: int
    n_read: int
    n_ignored: int
    headers: tuple[tuple[str, bytes], ...]
    ignored: bytes
    damaged: tuple[Finding, ...]


def read_chunk(number: int, paths: Sequence[str]) -> ReadChunk:
    """Read the headers of some files, as a worker process does."""
    series: dict[str, list[Instance]] = {}
    ignored: list[str] = []
    damaged: list[Finding] = []
    for path, outcome in zip(paths, read_instances([Path(p) for p in paths]), strict=True):
        if isinstance(outcome, Instance):
            series.setdefault(outcome.series_instance_uid, []).append(outcome)
        elif isinstance(outcome, Finding):
            damaged.append(outcome)
        else:
            ignored.append(path)
    return ReadChunk(
        number=number,
        n_files=len(paths),
        n_read=sum(map(len, series.values())),
        n_ignored=len(ignored),
        headers=tuple((uid, _pack(instances)) for uid, instances in series.items()),
        ignored=_pack(ignored),
        damaged=tuple(damaged),
    )


@contextmanager
def open_spool() -> Iterator[Spool]:
    """Open an empty spool in the folder for temporary files; it is removed at the end, whatever that is.

    Raises
    ------
    ConfigError
        There is no room in that folder.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix="radiomics-talent-index-", ignore_cleanup_errors=True) as folder,
            closing(sqlite3.connect(Path(folder) / "headers.sqlite", isolation_level=None)) as database,
        ):
            database.executescript(_TABLES)
            yield Spool(Path(folder) / "files.gz", database)
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, OSError) and error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        sentence = f"the headers that were read cannot be kept there ({error}); make room, or name another TMPDIR"
        raise ConfigError(sentence, where=tempfile.gettempdir()) from error


class Spool:
    """A list of files, the headers read from them by series, and the slices of the volumes found in these."""

    def __init__(self, listing: Path, database: sqlite3.Connection) -> None:
        self._listing = listing
        self._database = database
        self._slices_by_hash = False

    # --- files

    def list_files(self, chunks: Iterable[Sequence[str]]) -> None:
        """Write down the files to read, in order."""
        with gzip.open(self._listing, "wt", compresslevel=1, encoding="utf-8") as file:
            for chunk in chunks:
                file.write(f"{json.dumps(chunk)}\n")

    def listed(self) -> Iterator[list[str]]:
        """Return the chunks of files as they were listed; may be read in any thread."""
        with gzip.open(self._listing, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)

    # --- headers

    def add(self, chunk: ReadChunk) -> None:
        """Keep what a worker found."""
        self._database.executemany("INSERT INTO header VALUES (?, ?)", chunk.headers)
        if chunk.n_ignored:
            self._database.execute("INSERT INTO ignored VALUES (?, ?)", (chunk.number, chunk.ignored))

    def series(self) -> Iterator[list[Instance]]:
        """Return the instances of one SeriesInstanceUID after the other, in no order and with all copies."""
        self._database.execute("CREATE INDEX IF NOT EXISTS header_series ON header (series_uid)")
        rows = self._database.execute("SELECT series_uid, instances FROM header ORDER BY series_uid")
        for _, parts in groupby(rows, key=itemgetter(0)):
            yield [instance for _, part in parts for instance in _unpack(part)]

    def ignored(self) -> Iterator[Path]:
        """Return the files that are not DICOM, in the order in which they were listed."""
        for (paths,) in self._database.execute("SELECT paths FROM ignored ORDER BY chunk"):
            yield from map(Path, _unpack(paths))

    # --- volumes

    def keep_volume(self, record: SeriesRecord, instances: Sequence[Instance]) -> None:
        """Keep the SOPInstanceUIDs of a record, and how the files of a CT volume are named, folder by folder."""
        slices = _pack([i.sop_instance_uid for i in instances])
        row = (*volume_key(record), record.is_volume, slices)
        self._database.execute(
            "INSERT INTO volume (series_uid, patient_id, number, is_ct, slices) VALUES (?, ?, ?, ?, ?)", row
        )
        if record.is_volume:
            rows = [(str(path.parent), name_shape(path), str(path)) for path in (i.path for i in instances)]
            self._database.executemany("INSERT OR IGNORE INTO beside VALUES (?, ?, ?)", rows)

    def examples(self, folder: Path) -> list[Path]:
        """Return files of CT volumes in a folder: one of each shape of name."""
        rows = self._database.execute("SELECT path FROM beside WHERE folder = ?", (str(folder),))
        return [Path(path) for (path,) in rows]

    def slices_of_series(self, series_instance_uid: str) -> frozenset[str]:
        """Return the SOPInstanceUIDs of every image of a series."""
        rows = self._database.execute("SELECT slices FROM volume WHERE series_uid = ?", (series_instance_uid,))
        return frozenset(sop for (slices,) in rows for sop in _unpack(slices))

    def slices_of(self, record: SeriesRecord) -> frozenset[str]:
        """Return the SOPInstanceUIDs of one record."""
        rows = self._database.execute(
            "SELECT slices FROM volume WHERE series_uid = ? AND patient_id = ? AND number = ?", volume_key(record)
        )
        return frozenset(sop for (slices,) in rows for sop in _unpack(slices))

    def volumes_with(self, sop_instance_uids: Collection[str]) -> set[VolumeKey]:
        """Return the CT volumes that hold one of these slices, and perhaps, very rarely, another volume."""
        self._index_slices()
        hashes = json.dumps([hash(sop) for sop in sop_instance_uids])
        rows = self._database.execute(
            "SELECT DISTINCT series_uid, patient_id, number FROM slice JOIN volume ON volume.id = slice.volume "
            "WHERE hash IN (SELECT value FROM json_each(?))",
            (hashes,),
        )
        return set(rows)

    def _index_slices(self) -> None:
        """Make slices be found whatever their series; few archives hold a mask that asks for it."""
        if self._slices_by_hash:
            return
        self._database.execute("CREATE TABLE slice (hash INTEGER, volume INTEGER)")
        for number, slices in self._database.execute("SELECT id, slices FROM volume WHERE is_ct"):
            self._database.executemany("INSERT INTO slice VALUES (?, ?)", ((hash(s), number) for s in _unpack(slices)))
        self._database.execute("CREATE INDEX slice_hash ON slice (hash, volume)")
        self._slices_by_hash = True


def volume_key(record: SeriesRecord) -> VolumeKey:
    """Return what names a record among all."""
    return record.series_instance_uid, record.patient_id, record.volume


def _pack(values: Sequence[Any]) -> bytes:
    return zlib.compress(pickle.dumps(values, protocol=pickle.HIGHEST_PROTOCOL), level=1)


def _unpack(packed: bytes) -> list[Any]:
    values: list[Any] = pickle.loads(zlib.decompress(packed))  # noqa: S301 - packed by this very process
    return values
