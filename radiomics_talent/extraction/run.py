"""A cohort becomes a feature table: one task a scan, many processes, and no lesion that costs another.

A worker that dies takes its whole pool with it, whether it was killed for memory, crashed in C or was ended by the
time limit. One path serves all three: the journal tells which lesions were in work (at most one a worker); each is
tried again alone; what dies alone is a failure; the rest go on in a new pool.
"""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.interrupts import interrupts
from radiomics_talent.extraction.journal import clear_journals, read_journals
from radiomics_talent.extraction.outcome import Failure, Outcome
from radiomics_talent.extraction.pool import work_through
from radiomics_talent.extraction.provenance import RunFacts, provenance_record, versions
from radiomics_talent.extraction.store import open_run, write_outputs
from radiomics_talent.extraction.verification import DisagreementError, rows_to_verify, stop_at_disagreement
from radiomics_talent.extraction.worker import ScanTask, extract_scan
from radiomics_talent.features.engine import engine_of, make_ready
from radiomics_talent.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.settings import ExtractionSettings

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
class RunResult:
    """What a run made.

    Attributes
    ----------
    table : FeatureTable
        Lesions with features, in the order of the cohort.
    failures : tuple of Failure
        The others, in the same order.
    out : Path
        The run folder.
    n_done, n_resumed : int
        Lesions with features, and how many of them an earlier run had computed.
    n_warnings : int
        Findings of level warning about lesions and the cohort, whose sentences are in provenance.json.
    cohort_findings : tuple of Finding
        What was found about the cohort table as a whole.
    n_verified : int
        Lesions whose features the other engine computed again.
    largest_difference : float
        Largest relative difference between the engines that this found.
    peak_mib : float
        Largest memory of a process that extracted.
    seconds : float
        Wall time.
    """

    table: FeatureTable
    failures: tuple[Failure, ...]
    out: Path
    n_done: int
    n_resumed: int
    n_warnings: int
    n_verified: int
    largest_difference: float
    peak_mib: float
    seconds: float
    cohort_findings: tuple[Finding, ...] = ()


def run_extraction(  # noqa: PLR0913  # arguments beside the settings are keywords
    cohort: CohortTable,
    settings: ExtractionSettings,
    out: Path,
    *,
    jobs: int = 1,
    timeout_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    save_preprocessed: bool = False,
    verify: float = 0.0,
    command: Sequence[str] = (),
    excluded: Sequence[Excluded] | None = None,
) -> RunResult:
    """Extract features of every lesion of a cohort into a run folder, or go on where an earlier run ended.

    Parameters
    ----------
    cohort : CohortTable
        The lesions.
    settings : ExtractionSettings
        What to compute; a folder takes one set of settings only.
    out : Path
        Run folder: new, empty, or of an earlier run with the same settings.
    jobs : int
        Processors to use: one worker process a scan, and with the native engine several threads in each where there
        are fewer scans than jobs. With one worker and no time limit everything happens in this process, so a crash
        in C code ends it; with a time limit even 1 is a worker of its own.
    timeout_s : float, optional
        Longest time for reading a scan, and for each lesion; what takes longer fails.
    progress : callable, optional
        Told now and then how far the run is.
    save_preprocessed : bool
        Keep resampled crops and masks as NRRD.
    verify : float
        Share of the lesions (0 to 1, at least one lesion unless 0) whose features the other engine computes again.
        Which ones depends on their names alone. The run stops at the first that differs beyond tolerance.
    command : sequence of str
        Arguments of the command line, for provenance.
    excluded : sequence of Excluded, optional
        What `apply_review` took out of the cohort: rejected lesions are told, others without a verdict that counts
        are failures of the stage ``review``. None where no review was asked for.

    Returns
    -------
    RunResult
        Table and failures, which are also in the folder.

    Raises
    ------
    ConfigError
        The folder or an argument cannot be used, or an engine is not installed; nothing was changed.
    RunFolderError
        The folder could not be written any more; repeat the call to go on.
    ExtractionError
        The engines disagree about a lesion. What was complete by then is in the table; that lesion is a failure.
    KeyboardInterrupt
        After a clean end: what was complete is in the table.
    """
    check_arguments(jobs, timeout_s)
    make_ready(settings, verify=verify > 0)
    with open_run(Path(out), settings) as folder, _logged_to(folder.log), interrupts() as noted:
        started, clock = _now(), time.monotonic()
        blank = ScanTask(
            *((), settings, folder, uuid.uuid4().hex, versions(settings), timeout_s, save_preprocessed),
            verified_rows=rows_to_verify(cohort, verify),
        )
        tasks = scan_tasks(cohort, blank, jobs)
        _LOG.info("%d lesions of %d scans, %d jobs, settings %s", len(cohort.lesions), len(tasks), jobs, settings.hash)
        for finding in cohort.findings:
            _log_finding("cohort", finding)
        suspects = {mark.lesion for mark in read_journals(folder.journal)}
        clear_journals(folder.journal)
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
            work_through(tasks, extract_scan, jobs=jobs, deliver=deliver, tell=tell, suspects=suspects)
            noted.hold()
        except KeyboardInterrupt as interrupt:
            noted.hold()
            stopped = interrupt
            _LOG.warning("interrupted")
        except DisagreementError as disagreement:
            noted.hold()
            stopped = disagreement
        clear_journals(folder.journal)
        ordered = with_unreviewed(in_cohort_order(cohort, outcomes), excluded or ())
        for failure in (o.failure for _, o in ordered if o.failure is not None and o.failure.stage == "review"):
            _LOG.error("row %d, %s: failed (review): %s", failure.row, failure.lesion_id, failure.sentence)
        seconds = time.monotonic() - clock
        facts = RunFacts(started, _now(), seconds, jobs, timeout_s, tuple(command), stopped is None)
        result = _result(ordered, cohort.findings, folder.path, seconds)
        record = provenance_record(cohort, settings, facts, ordered, out=folder.path, excluded=excluded)
        write_outputs(folder, result.table, result.failures, record, settings)
        _LOG.info(
            "%d lesions with features, %d failed, %.1f s, at most %.0f MiB a process",
            *(result.n_done, len(result.failures), seconds, result.peak_mib),
        )
        if stopped is not None or noted.heard:
            raise stopped or KeyboardInterrupt
        return result


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
    return replace(outcome, shard=None, resumed=False, failure=failure)


def _with_duplicates_told(ordered: list[tuple[Lesion, Outcome]]) -> list[tuple[Lesion, Outcome]]:
    first: dict[tuple[str, str], str] = {}
    told: list[tuple[Lesion, Outcome]] = []
    for lesion, outcome in ordered:
        found = outcome
        if outcome.shard is not None:
            name = f"{lesion.patient_id}/{outcome.lesion_id}"
            other = first.setdefault((outcome.shard.image_sha256, outcome.shard.mask_sha256), name)
            known = {f.code for f in outcome.findings}
            if other != name and "lesion-duplicate" not in known:
                sentence = f"the lesion has the very voxels of {other}; remove one of the rows"
                duplicate = Finding("lesion-duplicate", sentence, where=name)
                _LOG.warning("%s", duplicate)
                found = replace(outcome, findings=(*outcome.findings, duplicate))
        told.append((lesion, found))
    return told


def _result(
    ordered: Sequence[tuple[Lesion, Outcome]], cohort_findings: tuple[Finding, ...], out: Path, seconds: float
) -> RunResult:
    from radiomics_talent.features.table import KEY_COLUMNS, FeatureTable  # noqa: PLC0415  # see `tell`

    rows = []
    for lesion, outcome in ordered:
        if outcome.shard is not None:
            keys = {name: getattr(lesion, name) for name in KEY_COLUMNS}
            rows.append((keys | {"lesion_id": outcome.lesion_id}, outcome.shard.values))
    shards = [o.shard for _, o in ordered if o.shard is not None]
    verified = [shard.verification for shard in shards if shard.verification is not None]
    return RunResult(
        table=FeatureTable.from_rows(rows),
        failures=tuple(o.failure for _, o in ordered if o.failure is not None),
        out=out,
        n_done=len(rows),
        n_resumed=sum(o.resumed for _, o in ordered),
        n_warnings=sum(f.level == "warning" for f in (*cohort_findings, *(f for _, o in ordered for f in o.findings))),
        n_verified=len(verified),
        largest_difference=max((float(v["largest"]) for v in verified), default=0.0),
        peak_mib=max((o.peak_mib for _, o in ordered), default=0.0),
        seconds=seconds,
        cohort_findings=cohort_findings,
    )


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


def _log_finding(name: str, finding: Finding) -> None:
    _LOG.log(logging.WARNING if finding.level == "warning" else logging.DEBUG, "%s: %s", name, finding)


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Be silent: a full disk is told once, by the shard that cannot be written."""


@contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """Append everything that this package logs to log.txt."""
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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
