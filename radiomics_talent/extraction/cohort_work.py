"""A cohort is worked through: one task a scan, many processes, and no lesion that costs another.

A worker that dies takes its whole pool with it, whether it was killed for memory, crashed in C or was ended by the
time limit. One path serves all three: the journal tells which lesions were in work (at most one a worker); each is
tried again alone; what dies alone is a failure; the rest go on in a new pool.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.journal import clear_journals, read_journals
from radiomics_talent.extraction.outcome import Failure, Outcome
from radiomics_talent.extraction.pool import work_through
from radiomics_talent.extraction.verification import DisagreementError, stop_at_disagreement
from radiomics_talent.features.engine import engine_of
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.extraction.interrupts import Interrupts
    from radiomics_talent.extraction.pool import Work
    from radiomics_talent.extraction.worker import ScanTask

_LOG = logging.getLogger(__name__)
SHORTEST_TIMEOUT_S, LONGEST_TIMEOUT_S = 0.001, 31_536_000
"""Time limits that the kernel's timer can be set to and that mean something."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `done` counts failed and resumed lesions too."""

    done: int
    total: int
    failed: int
    resumed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Worked:
    """What working through a cohort gave.

    Attributes
    ----------
    ordered : list of (Lesion, Outcome)
        Every lesion, in the order of the cohort; what was never begun is a failure.
    cohort_findings : tuple of Finding
        About the cohort table as a whole.
    started : str
        When the work began (UTC).
    seconds : float
        Wall time.
    stopped : Exception or None
        What ended the work before its end.
    """

    ordered: list[tuple[Lesion, Outcome]]
    cohort_findings: tuple[Finding, ...]
    started: str
    seconds: float
    stopped: KeyboardInterrupt | DisagreementError | None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Lesions without a result."""
        return tuple(o.failure for _, o in self.ordered if o.failure is not None)

    @property
    def n_warnings(self) -> int:
        """Findings of level warning about the cohort and its lesions."""
        findings = (*self.cohort_findings, *(f for _, o in self.ordered for f in o.findings))
        return sum(f.level == "warning" for f in findings)

    @property
    def peak_mib(self) -> float:
        """Largest memory of a process that worked."""
        return max((o.peak_mib for _, o in self.ordered), default=0.0)


def work_on_cohort(
    cohort: CohortTable,
    blank: ScanTask,
    work: Work,
    *,
    jobs: int,
    noted: Interrupts,
    progress: Callable[[Progress], None] | None = None,
    excluded: Sequence[Excluded] | None = None,
) -> Worked:
    """Do the work of every scan of a cohort, in processes that may die, until all is done or Ctrl-C comes.

    Parameters
    ----------
    cohort : CohortTable
        The lesions.
    blank : ScanTask
        A task without lesions: settings, run folder, time limit.
    work : callable
        What to do with a task, importable by a worker.
    jobs : int
        Processors to use.
    noted : Interrupts
        Of the run: from the end of the work on, Ctrl-C only counts.
    progress : callable, optional
        Told now and then how far the work is.
    excluded : sequence of Excluded, optional
        What a review took out of the cohort: lesions without a verdict that counts are failures in their places.

    Returns
    -------
    Worked
        Also after Ctrl-C, or when the engines disagree.
    """
    started, clock = now_utc(), time.monotonic()
    tasks = scan_tasks(cohort, blank, jobs)
    _LOG.info(
        "%d lesions of %d scans, %d jobs, settings %s", len(cohort.lesions), len(tasks), jobs, blank.settings.hash
    )
    for finding in cohort.findings:
        _log_finding("cohort", finding)
    suspects = {mark.lesion for mark in read_journals(blank.folder.journal)}
    clear_journals(blank.folder.journal)
    outcomes: dict[tuple[int, int], Outcome] = {}

    def deliver(batch: tuple[Outcome, ...]) -> None:
        for outcome in batch:
            outcomes[outcome.row, outcome.part] = outcome
            _log_outcome(outcome)
        tell(())
        stop_at_disagreement(batch)

    def tell(in_work: Sequence[int]) -> None:
        # Wanted at the end, and imported while workers work: it takes a third of a second.
        import_module("radiomics_talent.features.table")
        if progress is not None:
            done = len({row for row, _ in outcomes}) + sum(in_work)
            failed = sum(o.failure is not None for o in outcomes.values())
            resumed = sum(o.resumed for o in outcomes.values())
            progress(Progress(done, len(cohort.lesions), failed, resumed, time.monotonic() - clock))

    stopped: KeyboardInterrupt | DisagreementError | None = None
    try:
        work_through(tasks, work, jobs=jobs, deliver=deliver, tell=tell, suspects=suspects)
        noted.hold()
    except KeyboardInterrupt as interrupt:
        noted.hold()
        stopped = interrupt
        _LOG.warning("interrupted")
    except DisagreementError as disagreement:
        noted.hold()
        stopped = disagreement
    clear_journals(blank.folder.journal)
    ordered = with_unreviewed(in_cohort_order(cohort, outcomes), excluded or ())
    for failure in (o.failure for _, o in ordered if o.failure is not None and o.failure.stage == "review"):
        _LOG.error("row %d, %s: failed (review): %s", failure.row, failure.lesion_id, failure.sentence)
    return Worked(ordered, cohort.findings, started, time.monotonic() - clock, stopped)


def check_arguments(jobs: int, timeout_s: float | None) -> None:
    """Refuse a number of jobs or a time limit that means nothing.

    Raises
    ------
    ConfigError
        Either is out of range.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs is {jobs}; give the number of worker processes, at least 1")
    if timeout_s is not None and not SHORTEST_TIMEOUT_S <= timeout_s <= LONGEST_TIMEOUT_S:
        raise ConfigError(
            f"--timeout is {timeout_s:g} s; give {SHORTEST_TIMEOUT_S:g} to {LONGEST_TIMEOUT_S} seconds (a year), or "
            "--timeout 0 for no limit"
        )


def scan_tasks(cohort: CohortTable, blank: ScanTask, jobs: int) -> list[ScanTask]:
    """Return one task a scan, the largest (bytes of its files times lesions) first; few scans share the jobs out."""
    scans = cohort.scans()
    # Only the native engine lets go of Python's lock; PyRadiomics would gain nothing from threads.
    threads = max(1, jobs // max(1, len(scans))) if engine_of(blank.settings) == "native" else 1
    tasks = [replace(blank, lesions=lesions, threads=min(threads, len(lesions))) for lesions in scans]
    return sorted(tasks, key=lambda t: (-_bytes(t.lesions[0].image) * len(t.lesions), t.lesions[0].row))


def in_cohort_order(cohort: CohortTable, outcomes: dict[tuple[int, int], Outcome]) -> list[tuple[Lesion, Outcome]]:
    """Return every lesion with its outcome in the order of the cohort; what was never begun is a failure."""
    parts: dict[int, list[Outcome]] = {}
    for (row, _), outcome in sorted(outcomes.items(), key=lambda item: item[0]):
        parts.setdefault(row, []).append(outcome)
    ordered: list[tuple[Lesion, Outcome]] = []
    seen: dict[str, int] = {}
    for lesion in cohort.lesions:
        for outcome in parts.get(lesion.row) or [_not_run(lesion)]:
            key = f"{lesion.patient_id}/{outcome.lesion_id}"
            first = seen.setdefault(key, lesion.row)
            ordered.append((lesion, outcome if first == lesion.row else _name_taken(lesion, outcome, first)))
    return _with_duplicates_told(ordered)


def with_unreviewed(
    ordered: Sequence[tuple[Lesion, Outcome]], excluded: Sequence[Excluded]
) -> list[tuple[Lesion, Outcome]]:
    """Put the lesions that a review left without a verdict in their places, as failures."""
    more = []
    for one in (x for x in excluded if x.reason != "rejected"):
        lesion = one.lesion
        failure = Failure(lesion.row, lesion.patient_id, lesion.lesion_id, "review", one.sentence)
        more.append((lesion, Outcome(lesion.row, 0, lesion.lesion_id, failure=failure)))
    # Rows count up through a cohort, and the sort keeps the parts of a lesion as they are.
    return sorted([*ordered, *more], key=lambda pair: pair[0].row) if more else list(ordered)


def _not_run(lesion: Lesion) -> Outcome:
    sentence = "the run was stopped before this lesion; repeat the command to go on"
    failure = Failure(lesion.row, lesion.patient_id, lesion.lesion_id, "not-run", sentence)
    return Outcome(lesion.row, 0, lesion.lesion_id, failure=failure)


def _name_taken(lesion: Lesion, outcome: Outcome, first: int) -> Outcome:
    sentence = f"splitting into parts gives lesion_id {outcome.lesion_id}, which row {first} has too; rename one"
    failure = Failure(lesion.row, lesion.patient_id, outcome.lesion_id, "mask", sentence)
    return replace(outcome, shard=None, versions=(), resumed=False, failure=failure)


def _with_duplicates_told(ordered: list[tuple[Lesion, Outcome]]) -> list[tuple[Lesion, Outcome]]:
    first: dict[tuple[str, str], str] = {}
    told: list[tuple[Lesion, Outcome]] = []
    for lesion, outcome in ordered:
        found = outcome
        kept = outcome.shard or next(iter(outcome.versions), None)
        if kept is not None:
            name = f"{lesion.patient_id}/{outcome.lesion_id}"
            other = first.setdefault((kept.image_sha256, kept.mask_sha256), name)
            known = {f.code for f in outcome.findings}
            if other != name and "lesion-duplicate" not in known:
                sentence = f"the lesion has the very voxels of {other}; remove one of the rows"
                duplicate = Finding("lesion-duplicate", sentence, where=name)
                _LOG.warning("%s", duplicate)
                found = replace(outcome, findings=(*outcome.findings, duplicate))
        told.append((lesion, found))
    return told


@lru_cache(maxsize=4096)
def _bytes(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(entry.stat().st_size for entry in path.iterdir() if entry.is_file())
        return path.stat().st_size
    except OSError:
        return 0


def _log_outcome(outcome: Outcome) -> None:
    name = f"row {outcome.row}, {outcome.lesion_id}"
    for line in outcome.log:
        _LOG.debug("%s: %s", name, line)
    for finding in outcome.findings:
        _log_finding(name, finding)
    if outcome.failure is not None:
        _LOG.error("%s: failed (%s): %s", name, outcome.failure.stage, outcome.failure.sentence)
    elif outcome.shard is not None:
        for warning in outcome.shard.warnings:
            _LOG.debug("%s: %s", name, warning)
        _LOG.debug("%s: %s %s", name, "resumed" if outcome.resumed else "computed", outcome.shard.timings)
    for versions in outcome.versions:
        for text in (*versions.warnings, *(f"{n}: {why}" for n, why in versions.left_out.items())):
            _LOG.debug("%s, %s: %s", name, versions.chain, text)


def _log_finding(name: str, finding: Finding) -> None:
    _LOG.log(logging.WARNING if finding.level == "warning" else logging.DEBUG, "%s: %s", name, finding)


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Be silent: a full disk is told once, by the shard that cannot be written."""


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append everything that this package logs to a file while the block runs.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    try:
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}; give another folder", where=str(path)) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("radiomics_talent")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


def now_utc() -> str:
    """Return the time, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
