"""What one task does: read a scan once, then its lesions one by one, in any process.

A task never raises because of a lesion and never prints; everything that it has to say is in its outcomes.
"""

from __future__ import annotations

import logging
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from radiomics_talent.cohort.case import Footprint, inspect_case, inspect_overlaps, inspect_scan, split_parts
from radiomics_talent.errors import ExtractionError, TalentError
from radiomics_talent.extraction.journal import Journal, journal_of
from radiomics_talent.extraction.outcome import Failure, Outcome, Shard, Stage
from radiomics_talent.extraction.preprocessed import save_prepared
from radiomics_talent.extraction.provenance import content_key, image_sha256, mask_sha256
from radiomics_talent.extraction.store import RunFolder, RunFolderError, read_shard, told, write_shard
from radiomics_talent.extraction.threads import in_order
from radiomics_talent.extraction.time_limit import time_limit
from radiomics_talent.extraction.verification import disagreement
from radiomics_talent.features import engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from radiomics_talent.cohort.case import Case, Scan
    from radiomics_talent.cohort.manifest import Lesion
    from radiomics_talent.findings import Finding
    from radiomics_talent.settings import ExtractionSettings

_LIBRARIES = ("radiomics_talent", "radiomics", "pydicom", "highdicom")


@dataclass(frozen=True, slots=True)
class ScanTask:
    """The lesions of one scan, and what to do with them.

    Attributes
    ----------
    lesions : tuple of Lesion
        Rows that share a scan.
    settings : ExtractionSettings
        The settings.
    folder : RunFolder
        Where shards and journal are.
    run_id : str
        Name of this run, which tells its own results from older ones.
    versions : dict of str to str
        What the results depend on beside voxels and settings.
    timeout_s : float or None
        Seconds after which the kernel ends the process, for reading the scan and for each lesion. Only for a
        process that may be ended.
    save_preprocessed : bool
        Whether to keep the resampled crop and mask.
    threads : int
        How many lesions of the scan are computed at once.
    verified_rows : set of int
        Rows whose features the other engine computes again.
    given_up : dict
        Failures of (row, part) that killed a worker before.
    is_rehearsal : bool
        Whether nothing is written, not even a log.
    """

    lesions: tuple[Lesion, ...]
    settings: ExtractionSettings
    folder: RunFolder
    run_id: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    save_preprocessed: bool = False
    threads: int = 1
    verified_rows: frozenset[int] = frozenset()
    given_up: dict[tuple[int, int], Failure] = field(default_factory=dict)
    is_rehearsal: bool = False

    @property
    def details(self) -> str:
        """Where the user finds more than one sentence."""
        return "extract without --dry-run keeps the details" if self.is_rehearsal else "log.txt has the details"

    @property
    def journal(self) -> Journal:
        """The task's own journal."""
        return journal_of(self.folder.journal, self.lesions[0].row)

    def journal_for(self, row: int, part: int) -> Journal:
        """Return where the work on one lesion is written down: the task's journal, or its own beside others."""
        return self.journal if self.threads == 1 else journal_of(self.folder.journal, row, part)


def extract_scan(task: ScanTask) -> tuple[Outcome, ...]:
    """Extract the features of every lesion of a scan, or find them in the run folder.

    Raises
    ------
    RunFolderError
        The run folder cannot be written any more; every other failure is an outcome.
    """
    return walk_scan(task, _extracted)


def walk_scan(task: ScanTask, compute: Callable[[ScanTask, Case, ScanHash], Outcome]) -> tuple[Outcome, ...]:
    """Read the scan of a task and give each of its lesions to `compute`.

    Parameters
    ----------
    task : ScanTask
        The task.
    compute : callable
        From the task, a lesion and its scan's hash to an outcome.

    Returns
    -------
    tuple of Outcome
        One for each lesion, in the order of the task.
    """
    journal, first = task.journal, task.lesions[0]
    if task.timeout_s is not None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        with told(task.folder):
            journal.begin(first.row, 0, first.key, "scan", done=0)
        with _engine_loaded(task), _heard(quotes=False) as lines, time_limit(task.timeout_s):
            found, scan, failure = _read_scan(task)
        if scan is None:
            return tuple(_failed(lesion, failure, log=tuple(lines)) for lesion in task.lesions)
        footprints: list[Footprint] = []
        with _heard_beside(task) as more:
            outcomes = list(in_order(_pieces(task, scan, compute, footprints), task.threads))
        if outcomes:
            outcomes[0] = replace(outcomes[0], log=(*lines, *more, *outcomes[0].log))
        shared = inspect_overlaps(footprints)
        return tuple(_with_findings(task, outcome, found, shared) for outcome in outcomes)
    finally:
        journal.end()


@contextmanager
def _engine_loaded(task: ScanTask) -> Iterator[None]:
    """Load the engine before the block, or beside it where there are processors to spare; its time is no lesion's."""

    def load() -> None:
        with suppress(ExtractionError):  # each lesion will say so
            engine.load(task.settings)

    if task.threads == 1:
        load()
        yield
        return
    loading = threading.Thread(target=load)
    loading.start()
    try:
        yield
    finally:
        loading.join()


def _with_findings(
    task: ScanTask, outcome: Outcome, found: tuple[Finding, ...], shared: tuple[Finding, ...]
) -> Outcome:
    """Add what was found about the scan, and about lesions that share voxels."""
    lesion = next(x for x in task.lesions if x.row == outcome.row)
    key = f"{lesion.patient_id}/{outcome.lesion_id}"
    mine = tuple(f for f in shared if f.where == key)
    return replace(outcome, findings=tuple(dict.fromkeys((*found, *outcome.findings, *mine))))


class ScanHash:
    """The hash of a scan, made when it is first asked for and then remembered."""

    def __init__(self, scan: Scan) -> None:
        self._image = scan.image
        self._sha256 = ""
        self._making = threading.Lock()

    def of(self, case: Case) -> str:
        """Return the hash of the image of a lesion of the scan."""
        if case.image is not self._image:
            return image_sha256(case.image)
        with self._making:
            if not self._sha256:
                self._sha256 = image_sha256(self._image)
            return self._sha256


_Reason = tuple[Stage, str]


def _read_scan(task: ScanTask) -> tuple[tuple[Finding, ...], Scan | None, _Reason]:
    lesion = task.lesions[0]
    try:
        findings, scan = inspect_scan(lesion, task.settings)
    except Exception as error:  # noqa: BLE001  # any error is this scan's failure, and the others go on
        return (), None, ("scan", _sentence(task, error, "reading the scan", quotes=False))
    return findings, scan, ("scan", _first_error(findings))


def _pieces(
    task: ScanTask,
    scan: Scan,
    compute: Callable[[ScanTask, Case, ScanHash], Outcome],
    footprints: list[Footprint],
) -> Iterator[Callable[[], Outcome]]:
    """Read the mask of each lesion in turn and yield the work that remains: one piece a lesion, or a part of one."""
    hashed = ScanHash(scan)
    splits = task.settings.mask.components == "split"
    for done, lesion in enumerate(task.lesions):
        with told(task.folder):
            task.journal.begin(lesion.row, 0, lesion.key, "mask", done=done)
        with _heard_alone(task, quotes=False) as lines, time_limit(task.timeout_s):
            findings, cases, reason = _read_lesion(task, lesion, scan)
        if not cases:
            yield partial(_failed, lesion, reason, findings=findings, log=tuple(lines))
            continue
        if len(task.lesions) > 1:
            footprints += map(Footprint.of, cases)
        for number, case in enumerate(cases, start=1):
            known = Outcome(
                lesion.row,
                number if splits else 0,
                case.lesion.lesion_id,
                findings=findings,
                log=tuple(lines) if number == 1 else (),
            )
            yield partial(_outcome, task, case, known, compute, hashed, done)


def _outcome(
    task: ScanTask,
    case: Case,
    known: Outcome,
    compute: Callable[[ScanTask, Case, ScanHash], Outcome],
    hashed: ScanHash,
    done: int,
) -> Outcome:
    """Compute one lesion; `known` is what reading it has told."""
    journal = task.journal_for(known.row, known.part)
    with told(task.folder):
        journal.begin(known.row, known.part, case.lesion.key, "features", done=done if task.threads == 1 else 0)
    given_up = task.given_up.get((known.row, known.part))
    if given_up is not None:
        outcome = replace(known, failure=given_up, findings=(), log=())
    else:
        with _heard_alone(task, quotes=True) as said, time_limit(task.timeout_s):
            outcome = _computed(task, case, hashed, compute)
        outcome = replace(outcome, log=(*outcome.log, *said))
    if task.threads > 1:
        journal.end()
    return replace(
        outcome,
        row=known.row,
        part=known.part,
        findings=(*known.findings, *outcome.findings),
        log=(*known.log, *outcome.log),
    )


def _read_lesion(task: ScanTask, lesion: Lesion, scan: Scan) -> tuple[tuple[Finding, ...], tuple[Case, ...], _Reason]:
    try:
        findings, case = inspect_case(lesion, task.settings, scan=scan)
        if case is None:
            return findings, (), ("mask", _first_error(findings))
        splits = task.settings.mask.components == "split"
        return findings, split_parts(case) if splits else (case,), ("mask", "")
    except Exception as error:  # noqa: BLE001  # any error is this lesion's failure, and the others go on
        return (), (), ("mask", _sentence(task, error, "reading the mask", quotes=False))


def _computed(
    task: ScanTask, case: Case, hashed: ScanHash, compute: Callable[[ScanTask, Case, ScanHash], Outcome]
) -> Outcome:
    try:
        return compute(task, case, hashed)
    except RunFolderError:
        raise
    except Exception as error:  # noqa: BLE001  # any error is this lesion's failure, and the others go on
        return _failed(case.lesion, ("features", _sentence(task, error, "computing features", quotes=True)))


def _extracted(task: ScanTask, case: Case, hashed: ScanHash) -> Outcome:
    started = time.perf_counter()
    image, mask = hashed.of(case), mask_sha256(case.voxels)
    key = content_key(image, mask, case.lesion.label, task.settings.hash, task.versions)
    shard = read_shard(task.folder, key, Shard)
    if task.save_preprocessed:
        save_prepared(task.folder, case, task.settings, key)
    if shard is None:
        timings = {"hash": time.perf_counter() - started}
        features = engine.extract(case.image, case.voxels, task.settings)
        timings |= features.timings
        shard = Shard(key, image, mask, task.run_id, dict(features), tuple(features.warnings), timings)
        write_shard(task.folder, shard)
    lesion = case.lesion
    if lesion.row in task.verified_rows and shard.verification is None:
        verification = engine.verify(case.image, case.voxels, task.settings, shard.values)
        if verification.beyond:
            return _failed(lesion, ("verify", disagreement(verification)))
        shard = replace(shard, verification={"largest": verification.largest, "feature": verification.worst})
        write_shard(task.folder, shard)
    resumed = shard.run_id != task.run_id
    return Outcome(lesion.row, 0, lesion.lesion_id, kept=shard.kept, resumed=resumed, peak_mib=peak_mib())


def peak_mib() -> float:
    """Return the largest memory that this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _failed(
    lesion: Lesion, reason: _Reason, *, findings: tuple[Finding, ...] = (), log: tuple[str, ...] = ()
) -> Outcome:
    failure = Failure(lesion.row, lesion.patient_id, lesion.lesion_id, *reason)
    return Outcome(lesion.row, 0, lesion.lesion_id, failure=failure, findings=findings, log=log)


def _first_error(findings: tuple[Finding, ...]) -> str:
    return next((str(f) for f in findings if f.is_error), "")


def _sentence(task: ScanTask, error: Exception, doing: str, *, quotes: bool) -> str:
    """Return the sentence of an error; the traceback of one that nobody foresaw goes to the log.

    Without `quotes` the error's own text stays out: a DICOM reader may quote a header, and so a name.
    """
    if isinstance(error, TalentError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"not enough memory while {doing}; run again with fewer --jobs"
    if quotes:
        trace = "".join(traceback.format_exception(error))
    else:
        trace = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    logging.getLogger(__name__).error("unexpected error while %s\n%s", doing, trace)
    return f"unexpected {type(error).__name__} while {doing}; please report it ({task.details})"


class _Lines(logging.Handler):
    def __init__(self, *, quotes: bool) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.quotes = quotes

    def emit(self, record: logging.LogRecord) -> None:
        if self.quotes or record.name.startswith("radiomics_talent"):
            self.lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")
        else:
            self.lines.append(f"{record.levelname} {record.name}: a message at {record.filename}:{record.lineno}")


@contextmanager
def _heard(*, quotes: bool) -> Iterator[list[str]]:
    """Collect what libraries log and warn of; nothing reaches the screen.

    Without `quotes` only the place is kept, not the text: readers of DICOM quote headers in their warnings.
    """
    collector = _Lines(quotes=quotes)
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [collector], False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", DeprecationWarning)
            yield collector.lines
            for w in caught:
                text = str(w.message) if quotes else "a warning"
                collector.lines.append(f"WARNING {w.category.__name__}: {text} ({w.filename}:{w.lineno})")
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


def _heard_alone(task: ScanTask, *, quotes: bool) -> AbstractContextManager[list[str]]:
    """Collect what one lesion makes libraries say; nothing where others are at work in the same process."""
    return _heard(quotes=quotes) if task.threads == 1 else nullcontext([])


def _heard_beside(task: ScanTask) -> AbstractContextManager[list[str]]:
    """Collect what lesions side by side make libraries say, as one: their lines cannot be told apart."""
    return nullcontext([]) if task.threads == 1 else _heard(quotes=False)
