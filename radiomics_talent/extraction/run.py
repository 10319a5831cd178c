"""A cohort becomes a feature table in a run folder."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiomics_talent.errors import ExtractionError
from radiomics_talent.extraction.cohort_work import check_arguments, logged_to, work_on_cohort
from radiomics_talent.extraction.column_dictionary import COLUMNS, column_rows
from radiomics_talent.extraction.interrupts import interrupts
from radiomics_talent.extraction.outcome import Shard
from radiomics_talent.extraction.pool import LocalWorkers
from radiomics_talent.extraction.provenance import RunFacts, lesion_record, rejection_records, run_record, versions
from radiomics_talent.extraction.store import (
    EXCLUDED,
    Recipe,
    kept_shard,
    open_run,
    read_failures,
    told,
    write_failures,
    write_record,
    write_rejected,
    write_rows,
)
from radiomics_talent.extraction.verification import rows_to_verify
from radiomics_talent.extraction.worker import ScanTask, extract_scan
from radiomics_talent.features.engine import make_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.extraction.cohort_work import Progress, Worked
    from radiomics_talent.extraction.outcome import Failure
    from radiomics_talent.extraction.store import RunFolder
    from radiomics_talent.extraction.workers import Workers
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.findings import Finding
    from radiomics_talent.settings import ExtractionSettings

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a run made; table and failures are read from the folder when they are first asked for.

    Attributes
    ----------
    out : Path
        The run folder.
    n_features : int
        Feature columns of the table.
    n_done, n_failed, n_resumed : int
        Lesions with features, without, and with those that an earlier run had computed.
    n_warnings : int
        Findings of level warning about lesions and the cohort, whose sentences are in provenance.json.
    n_verified : int
        Lesions whose features the other engine computed again.
    largest_difference : float
        Largest relative difference between the engines that this found.
    peak_mib : float
        Largest memory of a process that extracted.
    seconds : float
        Wall time.
    written_ns : int
        When the table was written, by the clock of its disk.
    cohort_findings : tuple of Finding
        What was found about the cohort table as a whole.
    """

    out: Path
    n_features: int
    n_done: int
    n_failed: int
    n_resumed: int
    n_warnings: int
    n_verified: int
    largest_difference: float
    peak_mib: float
    seconds: float
    written_ns: int
    cohort_findings: tuple[Finding, ...] = ()

    @cached_property
    def table(self) -> FeatureTable:
        """Lesions with features, in the order of the cohort.

        Raises
        ------
        ExtractionError
            Another run has begun in the folder.
        """
        from radiomics_talent.features.table import load_features  # noqa: PLC0415  # see `tell`

        return load_features(self._refuse_later_run())

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """Lesions without features, in the order of the cohort; errors as `table`."""
        self._refuse_later_run()
        return read_failures(self.out / "failures.csv")

    def _refuse_later_run(self) -> Path:
        """Return where the table is, if it still is this run's."""
        from radiomics_talent.features.dataset import find_features  # noqa: PLC0415  # see `tell`

        found = find_features(self.out)
        if found is None or found.stat().st_mtime_ns != self.written_ns:
            raise ExtractionError("another run has begun here: its table is not that of this run", where=str(self.out))
        return found


def run_extraction(  # noqa: PLR0913  # arguments beside the settings are keywords
    cohort: CohortTable,
    settings: ExtractionSettings,
    out: Path,
    *,
    jobs: int = 1,
    workers: Workers | None = None,
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
    workers : Workers, optional
        Who does the work in place of `jobs` processes of this machine, such as those of a cluster.
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
        The engines disagree about a lesion, which is then a failure, or a cluster is lost. What was complete by then is
        in the table.
    KeyboardInterrupt
        After a clean end: what was complete is in the table.
    """
    check_arguments(jobs, timeout_s)
    workers = workers or LocalWorkers(jobs)
    make_ready(settings, verify=verify > 0)
    with open_run(Path(out), Recipe.of_extraction(settings)) as folder, logged_to(folder.log), interrupts() as noted:
        blank = ScanTask(
            *((), settings, folder, uuid.uuid4().hex, versions(settings), timeout_s, save_preprocessed),
            verified_rows=rows_to_verify(cohort, verify),
        )
        with work_on_cohort(
            cohort, blank, extract_scan, workers=workers, noted=noted, progress=progress, excluded=excluded
        ) as worked:
            facts = RunFacts.of(worked, timeout_s, command)
            record = run_record(cohort, settings, facts, out=folder.path)
            rejected = None if excluded is None else rejection_records(excluded)
            result = write_run(folder, worked, record, settings, rejected=rejected)
        _LOG.info(
            "%d lesions with features, %d failed, %.1f s, at most %.0f MiB a process",
            *(result.n_done, result.n_failed, result.seconds, result.peak_mib),
        )
        if worked.stopped is not None or noted.heard:
            raise worked.stopped or KeyboardInterrupt
        return result


def write_run(
    folder: RunFolder,
    worked: Worked,
    record: dict[str, Any],
    settings: ExtractionSettings,
    *,
    rejected: list[dict[str, Any]] | None,
) -> RunResult:
    """Write tables, what their columns mean, and provenance, each at once or not at all.

    Parameters
    ----------
    folder : RunFolder
        Where; it keeps every result.
    worked : Worked
        The lesions and what came of them.
    record : dict
        What provenance.json says of the run as a whole.
    settings : ExtractionSettings
        The settings.
    rejected : list of dict or None
        What a review rejected; None where no review was asked for.

    Raises
    ------
    RunFolderError
        The folder cannot be written any more.
    """
    from radiomics_talent.features.dataset import write_features  # noqa: PLC0415  # see `tell`

    out, ledger = folder.path, worked.ledger
    features = _feature_names(folder, worked)
    with told(folder):
        write_failures(out / "failures.csv", worked.failures())
        if rejected is not None:
            write_rejected(out / EXCLUDED, rejected)
        lesions = (lesion_record(lesion, outcome, out) for lesion, outcome in worked.outcomes())
        write_record(out / "provenance.json", record | {"excluded_by_review": rejected}, lesions)
        write_rows(out / "features_dictionary.csv", COLUMNS, column_rows(features, settings))
        written = write_features(out, _rows(folder, worked), features, ledger.n_done)
    return RunResult(
        out=out,
        n_features=len(features),
        n_done=ledger.n_done,
        n_failed=ledger.n_failed,
        n_resumed=ledger.n_resumed,
        n_warnings=worked.n_warnings,
        n_verified=ledger.n_verified,
        largest_difference=ledger.largest_difference,
        peak_mib=ledger.peak_mib,
        seconds=worked.seconds,
        written_ns=written.stat().st_mtime_ns,
        cohort_findings=worked.cohort.findings,
    )


def _feature_names(folder: RunFolder, worked: Worked) -> tuple[str, ...]:
    """Return the columns in the order in which the lesions bring them; of lesions with the same ones, one is read."""
    known: set[str] = set()
    names: dict[str, None] = {}
    for _, outcome in worked.outcomes():
        if outcome.kept is not None and outcome.kept.columns not in known:
            known.add(outcome.kept.columns)
            names |= dict.fromkeys(kept_shard(folder, outcome.kept.key, Shard).values)
    return tuple(names)


def _rows(folder: RunFolder, worked: Worked) -> Iterator[tuple[dict[str, object], dict[str, float]]]:
    from radiomics_talent.features.table import KEY_COLUMNS  # noqa: PLC0415  # see `tell`

    for lesion, outcome in worked.outcomes():
        if outcome.kept is not None:
            keys = {name: getattr(lesion, name) for name in KEY_COLUMNS}
            yield keys | {"lesion_id": outcome.lesion_id}, kept_shard(folder, outcome.kept.key, Shard).values
