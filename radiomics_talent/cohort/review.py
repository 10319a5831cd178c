"""Verdicts of a researcher on lesions: an SQLite file beside the cohort that only grows, and what follows from it.

A verdict is about a lesion and about what was seen of it (`Evidence`). Once mask or scan are other than they were,
it is void: the lesion has to be looked at again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from radiomics_talent.cohort.scan import is_dicom
from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from radiomics_talent.cohort.manifest import CohortTable, Lesion

Decision = Literal["accept", "reject", "open"]
"""What a reviewer said; ``open`` takes back what was said before."""
State = Literal["open", "accepted", "rejected", "changed"]
"""How a lesion stands: ``changed`` is a verdict on what is no longer there."""
Reason = Literal["rejected", "not-reviewed", "changed"]
"""Why `apply_review` leaves a lesion out."""

SCHEMA_VERSION = 1
LONGEST_COMMENT = 4000
_SUFFIX = ".review.sqlite"
_EVIDENCE = ("mask_sha256", "image_sha256", "label", "series_uid")
_SCHEMA = (
    """CREATE TABLE verdicts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time_utc TEXT NOT NULL,
  reviewer TEXT NOT NULL,
  patient_id TEXT NOT NULL,
  lesion_id TEXT NOT NULL,
  decision TEXT NOT NULL CHECK (decision IN ('accept', 'reject', 'open')),
  comment TEXT NOT NULL,
  mask_sha256 TEXT NOT NULL,
  image_sha256 TEXT NOT NULL,
  label TEXT NOT NULL,
  series_uid TEXT NOT NULL
)""",
    "CREATE INDEX verdicts_of_lesion ON verdicts (patient_id, lesion_id, id)",
    "CREATE TRIGGER no_update BEFORE UPDATE ON verdicts BEGIN SELECT RAISE(ABORT, 'verdicts are only added'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON verdicts BEGIN SELECT RAISE(ABORT, 'verdicts are only added'); END",
)
_LATEST = "SELECT * FROM verdicts WHERE id IN (SELECT max(id) FROM verdicts GROUP BY patient_id, lesion_id) ORDER BY id"
_REMEDY = "look at it with `radiomics-talent review`"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict is about.

    It covers every byte of the mask file, which of its lesions is meant, and the names and sizes of the scan's files
    (for a folder: of the DICOM files below it; for one file: its name and size). It does not cover the scan's voxels
    where names and sizes stay, nor settings. Absent files are part of it: a lesion whose mask is missing can be
    rejected, and once the file is there the verdict is void.

    Attributes
    ----------
    mask_sha256 : str
        Of the mask file; empty where it cannot be read.
    image_sha256 : str
        Of names and sizes of the scan's files; empty where there are none.
    label, series_uid : str
        Cells of the row.
    """

    mask_sha256: str
    image_sha256: str
    label: str
    series_uid: str

    @property
    def digest(self) -> str:
        """One short name for all of it."""
        return hashlib.sha256(repr([getattr(self, name) for name in _EVIDENCE]).encode()).hexdigest()[:32]

    def changes_since(self, earlier: Evidence) -> str:
        """Name what is other than it was in `earlier`, as it stands in a sentence."""
        names = ("mask file", "list of scan files", "label", "series_uid")
        differ = [n for n, f in zip(names, _EVIDENCE, strict=True) if getattr(self, f) != getattr(earlier, f)]
        return " and ".join(differ)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the history.

    Attributes
    ----------
    number : int
        Counts up through the file.
    time_utc : str
        ISO 8601.
    reviewer : str
        Who, as given; may be empty.
    decision : {'accept', 'reject', 'open'}
        What.
    comment : str
        Free text.
    evidence : Evidence
        What it is about.
    """

    number: int
    time_utc: str
    reviewer: str
    patient_id: str
    lesion_id: str
    decision: Decision
    comment: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Review:
    """The verdicts that count: the latest on each lesion.

    Attributes
    ----------
    path : Path
        The SQLite file.
    latest : mapping of (patient_id, lesion_id) to Verdict
        Lesions without a verdict are absent.
    """

    path: Path
    latest: Mapping[tuple[str, str], Verdict] = field(default_factory=dict)

    def of(self, lesion: Lesion) -> Verdict | None:
        """Return the latest verdict on a lesion."""
        return self.latest.get((lesion.patient_id, lesion.lesion_id))


@dataclass(frozen=True, slots=True)
class Excluded:
    """A lesion that is not extracted because of its review.

    Attributes
    ----------
    lesion : Lesion
        The row.
    reason : {'rejected', 'not-reviewed', 'changed'}
        Why; ``rejected`` is what the researcher wants, the others wait for a verdict.
    sentence : str
        The same in words.
    verdict : Verdict or None
        The latest, if any.
    """

    lesion: Lesion
    reason: Reason
    sentence: str
    verdict: Verdict | None = None


def review_path(cohort: Path) -> Path:
    """Return where the verdicts on a cohort table are kept: ``cohort.review.sqlite`` beside ``cohort.csv``."""
    return cohort.with_name(f"{cohort.stem}{_SUFFIX}")


def create_review(path: Path) -> Review:
    """Open a review file, making it where there is none.

    Raises
    ------
    ConfigError
        It cannot be written or is no review file.
    """
    with _told(path), closing(_connected(path, "rwc")) as database:
        # One writer at a time: two programs that start together do not both make the tables.
        database.execute("BEGIN IMMEDIATE")
        is_new = database.execute("PRAGMA user_version").fetchone()[0] == 0
        if is_new and database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in _SCHEMA:
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    return load_review(path)


def load_review(path: Path) -> Review:
    """Read the latest verdict on each lesion.

    Raises
    ------
    ConfigError
        There is no such file, or it is no review file of this version.
    """
    if not path.is_file():
        raise ConfigError(
            "there is no review file; make it with `radiomics-talent review COHORT.CSV`, or leave out --reviewed",
            where=str(path),
        )
    with _told(path), closing(_connected(path, "ro")) as database:
        _refuse_foreign(database, path)
        verdicts = [_verdict(row) for row in database.execute(_LATEST)]
    return Review(path, {(v.patient_id, v.lesion_id): v for v in verdicts})


def record_verdict(
    path: Path, lesion: Lesion, evidence: Evidence, decision: Decision, *, comment: str = "", reviewer: str = ""
) -> Verdict:
    """Add a verdict to the history; when this returns, it is on disk.

    Raises
    ------
    ConfigError
        It could not be written, or comment or decision are none; nothing was changed.
    """
    if decision not in get_args(Decision):
        raise ConfigError(f"the decision is {decision!r}; expected one of {', '.join(get_args(Decision))}")
    if len(comment) > LONGEST_COMMENT:
        raise ConfigError(f"the comment has {len(comment)} characters; shorten it to {LONGEST_COMMENT}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    cells = (now, reviewer, lesion.patient_id, lesion.lesion_id, decision, comment)
    seen = tuple(getattr(evidence, name) for name in _EVIDENCE)
    with _told(path), closing(_connected(path, "rw")) as database:
        _refuse_foreign(database, path)
        added = database.execute(
            "INSERT INTO verdicts (time_utc, reviewer, patient_id, lesion_id, decision, comment, mask_sha256, "
            "image_sha256, label, series_uid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*cells, *seen),
        )
        number = int(added.lastrowid or 0)
    return Verdict(number, *cells, evidence)


def gather_evidence(lesion: Lesion, *, known: dict[Path, str] | None = None) -> Evidence:
    """Look at the files of a row as they are now.

    Parameters
    ----------
    lesion : Lesion
        The row.
    known : dict, optional
        Hashes by path, filled and used: rows of one scan share files. Leave it out to look at everything anew.
    """
    hashes = {} if known is None else known
    if lesion.mask not in hashes:
        hashes[lesion.mask] = _file_sha256(lesion.mask)
    if (image := lesion.image / ".files") not in hashes:
        hashes[image] = _files_sha256(lesion.image)
    return Evidence(hashes[lesion.mask], hashes[image], lesion.label, lesion.series_uid)


def state_of(verdict: Verdict | None, evidence: Evidence | None) -> State:
    """Say how a lesion stands, given its latest verdict and what there is to see now."""
    if verdict is None or verdict.decision == "open":
        return "open"
    if evidence is not None and verdict.evidence != evidence:
        return "changed"
    return "accepted" if verdict.decision == "accept" else "rejected"


def apply_review(cohort: CohortTable, review: Review) -> tuple[CohortTable, tuple[Excluded, ...]]:
    """Split a cohort by its review.

    Parameters
    ----------
    cohort : CohortTable
        All lesions.
    review : Review
        The verdicts.

    Returns
    -------
    accepted : CohortTable
        The accepted lesions; path and findings stay.
    excluded : tuple of Excluded
        The others, in the order of the cohort.
    """
    known: dict[Path, str] = {}
    accepted: list[Lesion] = []
    excluded: list[Excluded] = []
    for lesion in cohort.lesions:
        verdict = review.of(lesion)
        if verdict is None or verdict.decision == "open":
            excluded.append(Excluded(lesion, "not-reviewed", f"the lesion was not reviewed; {_REMEDY}", verdict))
            continue
        evidence = gather_evidence(lesion, known=known)
        if verdict.evidence != evidence:
            what = evidence.changes_since(verdict.evidence)
            sentence = f"changed since the review of {verdict.time_utc} ({what} differ); {_REMEDY} again"
            excluded.append(Excluded(lesion, "changed", sentence, verdict))
        elif verdict.decision == "reject":
            said = f": {verdict.comment}" if verdict.comment else ""
            excluded.append(Excluded(lesion, "rejected", f"rejected in the review{said}", verdict))
        else:
            accepted.append(lesion)
    return replace(cohort, lesions=tuple(accepted)), tuple(excluded)


def export_verdicts(cohort: CohortTable, review: Review, path: Path) -> int:
    """Write how every lesion stands, and its latest verdict, as CSV; return the number of rows.

    Verdicts on lesions that the cohort no longer has come last, without a row number.

    Raises
    ------
    TableError
        The CSV cannot be written.
    """
    known: dict[Path, str] = {}
    rows: list[list[str]] = []
    for lesion in cohort.lesions:
        verdict = review.of(lesion)
        evidence = gather_evidence(lesion, known=known) if verdict is not None else None
        cells = [str(lesion.row), lesion.patient_id, lesion.lesion_id, state_of(verdict, evidence)]
        rows.append(cells + _verdict_cells(verdict))
    here = {(lesion.patient_id, lesion.lesion_id) for lesion in cohort.lesions}
    for key, verdict in review.latest.items():
        if key not in here:
            rows.append(["", *key, "not in the cohort", *_verdict_cells(verdict)])
    header = ("row", "patient_id", "lesion_id", "state", "decision", "comment", "reviewer", "time_utc", *_EVIDENCE)
    write_sheet(path, header, rows)
    return len(rows)


def _verdict_cells(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return [""] * (4 + len(_EVIDENCE))
    seen = [getattr(verdict.evidence, name) for name in _EVIDENCE]
    return [verdict.decision, verdict.comment, verdict.reviewer, verdict.time_utc, *seen]


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    # isolation_level None: each statement is committed, on disk, when it returns.
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    return database


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what SQLite has to say into one sentence."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ConfigError(
            f"cannot be read or written ({error}); see that folder and file are writable, on a disk with room, and "
            "not held by another program",
            where=str(path),
        ) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise ConfigError(f"is damaged or no review file ({error}); move it away", where=str(path)) from error


def _refuse_foreign(database: sqlite3.Connection, path: Path) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    has_verdicts = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'verdicts'").fetchone()[0]
    if version > SCHEMA_VERSION and has_verdicts:
        raise ConfigError(
            f"was written by a newer radiomics-talent (schema {version}, expected {SCHEMA_VERSION}); install that "
            "version",
            where=str(path),
        )
    if version != SCHEMA_VERSION or not has_verdicts:
        raise ConfigError("is an SQLite file but no review file; move it away", where=str(path))


def _verdict(row: tuple[int, str, str, str, str, Decision, str, str, str, str, str]) -> Verdict:
    return Verdict(*row[:7], Evidence(*row[7:]))


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _files_sha256(image: Path) -> str:
    """Hash names and sizes; in a folder of DICOM files only, as reports and this very file may lie there too."""
    try:
        if not image.is_dir():
            return hashlib.sha256(repr([(image.name, image.stat().st_size)]).encode()).hexdigest()
        paths = [Path(folder) / name for folder, _, names in os.walk(image, followlinks=False) for name in names]
        found = sorted(
            (p.relative_to(image).as_posix(), p.stat().st_size) for p in paths if p.is_file() and is_dicom(p)
        )
    except OSError:
        return ""
    return hashlib.sha256(repr(found).encode()).hexdigest() if found else ""
