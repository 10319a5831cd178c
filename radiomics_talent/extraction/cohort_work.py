"""A cohort is worked through: one task a scan, many processes, and no lesion that costs another.

A worker that dies takes its whole pool with it, whether it was killed for memory, crashed in C or was ended by the
time limit. One path serves all three: the journal tells which lesions were in work (at most one a worker); each is
tried again alone; what dies alone is a failure; the rest go on in a new pool.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, overload

from radiomics_talent.cohort.lesion import PackedLesions
from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.journal import clear_journals, read_journals
from radiomics_talent.extraction.ledger import Ledger, in_cohort_order, settle
from radiomics_talent.extraction.provenance import now_utc
from radiomics_talent.extraction.verification import DisagreementError, stop_at_disagreement
from radiomics_talent.extraction.workers import ClusterError
from radiomics_talent.features.engine import engine_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.errors import ExtractionError
    from radiomics_talent.extraction.interrupts import Interrupts
    from radiomics_talent.extraction.outcome import Failure, Outcome
    from radiomics_talent.extraction.worker import ScanTask
    from radiomics_talent.extraction.workers import Work, Workers
    from radiomics_talent.findings import Finding

_LOG = logging.getLogger(__name__)
SHORTEST_TIMEOUT_S, LONGEST_TIMEOUT_S = 0.001, 31_536_000
"""Time limits that the kernel's timer can be set to and that mean something."""
MOST_SCANS_SORTED = 10_000
"""A larger cohort is worked on in its own order."""


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
    cohort : CohortTable
        The lesions.
    ledger : Ledger
        Their outcomes, counted and settled.
    excluded : tuple of Excluded
        What a review took out of the cohort.
    jobs : int
        How many tasks were done at once, when the work began.
    workers : str
        Who did them.
    started : str
        When the work began (UTC).
    seconds : float
        Wall time.
    stopped : Exception or None
        What ended the work before its end.
    """

    cohort: CohortTable
    ledger: Ledger
    excluded: tuple[Excluded, ...]
    jobs: int
    workers: str
    started: str
    seconds: float
    stopped: KeyboardInterrupt | ExtractionError | None

    def outcomes(self) -> Iterator[tuple[Lesion, Outcome]]:
        """Yield every lesion with what came of it, in the order of the cohort; what was never begun is a failure."""
        return in_cohort_order(self.cohort, self.ledger, self.excluded)

    def failures(self) -> Iterator[Failure]:
        """Yield the lesions without a result."""
        return (o.failure for _, o in self.outcomes() if o.failure is not None)

    @property
    def n_warnings(self) -> int:
        """Findings of level warning about the cohort and its lesions."""
        return self.ledger.n_warnings + sum(f.level == "warning" for f in self.cohort.findings)


@contextmanager
def work_on_cohort(
    cohort: CohortTable,
    blank: ScanTask,
    work: Work,
    *,
    workers: Workers,
    noted: Interrupts,
    progress: Callable[[Progress], None] | None = None,
    excluded: Sequence[Excluded] | None = None,
) -> Iterator[Worked]:
    """Do the work of every scan of a cohort, in processes that may die, until all is done or Ctrl-C comes.

    Parameters
    ----------
    cohort : CohortTable
        The lesions.
    blank : ScanTask
        A task without lesions: settings, run folder, time limit.
    work : callable
        What to do with a task, importable by a worker.
    workers : Workers
        Where to do it.
    noted : Interrupts
        Of the run: from the end of the work on, Ctrl-C only counts.
    progress : callable, optional
        Told now and then how far the work is.
    excluded : sequence of Excluded, optional
        What a review took out of the cohort: lesions without a verdict that counts are failures in their places.

    Yields
    ------
    Worked
        Also after Ctrl-C, when the engines disagree, or when a cluster is lost. It can be read in the block alone.
    """
    _refuse_repeated_rows(cohort)
    started, clock = now_utc(), time.monotonic()
    jobs = workers.jobs
    tasks = scan_tasks(cohort, blank, jobs)
    _LOG.info("%d lesions of %d scans, %s, settings %s", len(cohort.lesions), len(tasks), workers, blank.settings.hash)
    for finding in cohort.findings:
        _log_finding("cohort", finding)
    suspects = {mark.lesion for mark in read_journals(blank.folder.journal)}
    clear_journals(blank.folder.journal)
    with Ledger() as ledger:

        def deliver(batch: tuple[Outcome, ...]) -> None:
            for outcome in batch:
                ledger.add(outcome)
                _log_outcome(outcome)
            tell(())
            stop_at_disagreement(batch)

        def tell(in_work: Sequence[int]) -> None:
            # Wanted at the end, and imported while workers work: it takes a third of a second.
            import_module("radiomics_talent.features.table")
            if progress is not None:
                done, total = ledger.n_rows + sum(in_work), len(cohort.lesions)
                progress(Progress(done, total, ledger.n_failed, ledger.n_resumed, time.monotonic() - clock))

        stopped: KeyboardInterrupt | ExtractionError | None = None
        try:
            workers.work_through(tasks, work, deliver=deliver, tell=tell, suspects=suspects)
            noted.hold()
        except (KeyboardInterrupt, DisagreementError, ClusterError) as ended:
            noted.hold()
            stopped = ended
            if isinstance(ended, KeyboardInterrupt):
                _LOG.warning("interrupted")
        clear_journals(blank.folder.journal)
        settle(cohort, ledger, excluded or ())
        seconds = time.monotonic() - clock
        yield Worked(cohort, ledger, tuple(excluded or ()), jobs, str(workers), started, seconds, stopped)


def _refuse_repeated_rows(cohort: CohortTable) -> None:
    """Refuse rows that are there twice: their results would change places. Those of a CSV never are."""
    rows = Counter() if isinstance(cohort.lesions, PackedLesions) else Counter(x.row for x in cohort.lesions)
    if twice := [row for row, n in rows.items() if n > 1]:
        raise ConfigError(f"row {twice[0]} of the cohort is there twice; number the lesions anew")


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


class ScanTasks(Sequence["ScanTask"]):
    """One task a scan, made when it is asked for: a cohort may have a million of them.

    Parameters
    ----------
    scans : sequence of tuple of Lesion
        The lesions of each scan.
    order : sequence of int
        The order in which the scans are to begin.
    blank : ScanTask
        A task without lesions.
    threads : int
        Threads for each scan, as far as it has lesions.
    """

    def __init__(
        self, scans: Sequence[tuple[Lesion, ...]], order: Sequence[int], blank: ScanTask, threads: int
    ) -> None:
        self._scans, self._order, self._blank, self._threads = scans, order, blank, threads

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> ScanTask: ...
    @overload
    def __getitem__(self, index: slice) -> ScanTasks: ...
    def __getitem__(self, index: int | slice) -> ScanTask | ScanTasks:
        if isinstance(index, slice):
            return ScanTasks(self._scans, self._order[index], self._blank, self._threads)
        lesions = self._scans[self._order[index]]
        return replace(
            self._blank,
            lesions=lesions,
            threads=min(self._threads, len(lesions)),
            verified_rows=self._blank.verified_rows & {lesion.row for lesion in lesions},
        )


def scan_tasks(cohort: CohortTable, blank: ScanTask, jobs: int) -> ScanTasks:
    """Return one task a scan; few scans share the jobs out, and the largest (bytes times lesions) begin first.

    With more than `MOST_SCANS_SORTED` scans none is so large that the end would wait for it, and asking a network disk
    for the size of every file would take long: they begin in the order of the cohort.
    """
    scans = cohort.scans()
    # Only the native engine lets go of Python's lock; PyRadiomics would gain nothing from threads.
    threads = max(1, jobs // max(1, len(scans))) if engine_of(blank.settings) == "native" else 1
    order: Sequence[int] = range(len(scans))
    if len(scans) <= MOST_SCANS_SORTED:
        sizes = [(-_bytes(lesions[0].image) * len(lesions), lesions[0].row) for lesions in scans]
        order = sorted(order, key=sizes.__getitem__)
    return ScanTasks(scans, order, blank, threads)


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
    elif outcome.kept is not None:
        for warning in outcome.kept.warnings:
            _LOG.debug("%s: %s", name, warning)
        _LOG.debug("%s: %s %s", name, "resumed" if outcome.resumed else "computed", outcome.kept.timings)
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
