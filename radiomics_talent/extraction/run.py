"""A cohort becomes a feature table in a run folder."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from radiomics_talent.extraction.cohort_work import check_arguments, logged_to, now_utc, work_on_cohort
from radiomics_talent.extraction.interrupts import interrupts
from radiomics_talent.extraction.provenance import RunFacts, provenance_record, versions
from radiomics_talent.extraction.store import Recipe, open_run, write_outputs
from radiomics_talent.extraction.verification import rows_to_verify
from radiomics_talent.extraction.worker import ScanTask, extract_scan
from radiomics_talent.features.engine import make_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.extraction.cohort_work import Progress, Worked
    from radiomics_talent.extraction.outcome import Failure
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.findings import Finding
    from radiomics_talent.settings import ExtractionSettings

_LOG = logging.getLogger(__name__)


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
    with open_run(Path(out), Recipe.of_extraction(settings)) as folder, logged_to(folder.log), interrupts() as noted:
        blank = ScanTask(
            *((), settings, folder, uuid.uuid4().hex, versions(settings), timeout_s, save_preprocessed),
            verified_rows=rows_to_verify(cohort, verify),
        )
        worked = work_on_cohort(
            cohort, blank, extract_scan, jobs=jobs, noted=noted, progress=progress, excluded=excluded
        )
        stopped = worked.stopped
        facts = RunFacts(worked.started, now_utc(), worked.seconds, jobs, timeout_s, tuple(command), stopped is None)
        result = _result(worked, folder.path)
        record = provenance_record(cohort, settings, facts, worked.ordered, out=folder.path, excluded=excluded)
        write_outputs(folder, result.table, result.failures, record, settings)
        _LOG.info(
            "%d lesions with features, %d failed, %.1f s, at most %.0f MiB a process",
            *(result.n_done, len(result.failures), result.seconds, result.peak_mib),
        )
        if stopped is not None or noted.heard:
            raise stopped or KeyboardInterrupt
        return result


def _result(worked: Worked, out: Path) -> RunResult:
    from radiomics_talent.features.table import KEY_COLUMNS, FeatureTable  # noqa: PLC0415  # see `tell`

    rows = []
    for lesion, outcome in worked.ordered:
        if outcome.shard is not None:
            keys = {name: getattr(lesion, name) for name in KEY_COLUMNS}
            rows.append((keys | {"lesion_id": outcome.lesion_id}, outcome.shard.values))
    shards = [o.shard for _, o in worked.ordered if o.shard is not None]
    verified = [shard.verification for shard in shards if shard.verification is not None]
    return RunResult(
        table=FeatureTable.from_rows(rows),
        failures=worked.failures,
        out=out,
        n_done=len(rows),
        n_resumed=sum(o.resumed for _, o in worked.ordered),
        n_warnings=worked.n_warnings,
        n_verified=len(verified),
        largest_difference=max((float(v["largest"]) for v in verified), default=0.0),
        peak_mib=worked.peak_mib,
        seconds=worked.seconds,
        cohort_findings=worked.cohort_findings,
    )
