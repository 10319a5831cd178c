"""Versions of every lesion of a cohort, in a run folder as that of ``extract``: resumable, in many processes.

::

    RUN/versions.parquet    a row for each lesion as it is (chain ``original``) and for each version of it
    RUN/versions.csv        the same, where it has at most ten million numbers
    RUN/failures.csv        lesions without features, and versions that could not be made (stage ``version``)
    RUN/provenance.json  features_dictionary.csv  log.txt  shards/  journal/  run.json
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from radiomics_talent.errors import TalentError
from radiomics_talent.extraction.cohort_work import check_arguments, logged_to, work_on_cohort
from radiomics_talent.extraction.column_dictionary import COLUMNS, column_rows
from radiomics_talent.extraction.interrupts import interrupts
from radiomics_talent.extraction.outcome import Failure, Outcome, VersionShard
from radiomics_talent.extraction.pool import LocalWorkers
from radiomics_talent.extraction.provenance import (
    RunFacts,
    content_key,
    installed_version,
    lesion_record,
    mask_sha256,
    now_utc,
    rejection_records,
    run_record,
    versions,
)
from radiomics_talent.extraction.store import (
    Recipe,
    kept_shard,
    open_run,
    read_shard,
    told,
    write_failures,
    write_record,
    write_rows,
    write_shard,
)
from radiomics_talent.extraction.threads import in_order
from radiomics_talent.extraction.worker import ScanTask, peak_mib, walk_scan
from radiomics_talent.features.engine import make_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from radiomics_talent.cohort.case import Case
    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.extraction.cohort_work import Progress, Worked
    from radiomics_talent.extraction.store import RunFolder
    from radiomics_talent.extraction.worker import ScanHash
    from radiomics_talent.extraction.workers import Workers
    from radiomics_talent.features.engine import LesionFeatures
    from radiomics_talent.robustness.versions import VersionTable
    from radiomics_talent.settings import ExtractionSettings

    Make = Callable[[str], Sequence[LesionFeatures | TalentError]]

_LOG = logging.getLogger(__name__)
_ALSO_DEPENDS_ON = ("numpy", "scipy", "scikit-image", "PyWavelets", "SimpleITK")
OUTPUTS = ("versions.parquet", "versions.csv", "failures.csv", "provenance.json", "features_dictionary.csv")
"""What every finished run of versions leaves behind."""


class VersionPlan(Protocol):
    """What makes versions: perturbations, or negative controls. It is sent to worker processes."""

    @property
    def command(self) -> str:
        """The command that makes them."""

    @property
    def hash(self) -> str:
        """SHA-256 of all that changes a version."""

    @property
    def chains(self) -> Mapping[str, int]:
        """Chains, and the number of versions of each; first `ORIGINAL`, the lesion as it is."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Files that a finished run leaves behind beside `OUTPUTS`."""

    def canonical(self) -> dict[str, Any]:
        """Return all that changes a version as plain JSON data."""

    def record(self) -> dict[str, Any]:
        """Return what provenance.json says of the plan."""

    def begin(self, case: Case, settings: ExtractionSettings) -> Make:
        """Return what makes the versions of a chain of one lesion, each with its features or why it has none.

        Several threads may call it for several chains at once.
        """


@dataclass(frozen=True, slots=True, eq=False)
class VersionRun:
    """What a run made.

    Attributes
    ----------
    table : VersionTable
        Lesions with features, in the order of the cohort.
    failures : tuple of Failure
        Lesions without features, and versions that could not be made (stage 'version').
    out : Path
        The run folder.
    n_resumed : int
        Lesions that an earlier run had finished.
    n_warnings : int
        Findings of level warning, whose sentences are in provenance.json.
    peak_mib : float
        Largest memory of a process that worked.
    seconds : float
        Wall time.
    """

    table: VersionTable
    failures: tuple[Failure, ...]
    out: Path
    n_resumed: int
    n_warnings: int
    peak_mib: float
    seconds: float

    @property
    def n_left_out(self) -> int:
        """Versions that could not be made."""
        return sum(f.stage == "version" for f in self.failures)

    @property
    def n_failed(self) -> int:
        """Lesions without features."""
        return sum(f.stage != "version" for f in self.failures)


@contextmanager
def versions_of_cohort(  # noqa: PLR0913  # arguments beside the settings are keywords
    cohort: CohortTable,
    settings: ExtractionSettings,
    plan: VersionPlan,
    out: Path,
    *,
    jobs: int = 1,
    workers: Workers | None = None,
    timeout_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    command: Sequence[str] = (),
    excluded: Sequence[Excluded] | None = None,
) -> Iterator[tuple[RunFolder, VersionRun]]:
    """Make the versions of every lesion and compute their features, or go on where an earlier run ended.

    The block writes what follows from them, with the folder still locked and logged to; the record in provenance.json
    says that the run is complete when the block has ended.

    Parameters
    ----------
    cohort, settings, out, jobs, workers, timeout_s, progress, command, excluded
        As `radiomics_talent.extraction.run.run_extraction` has them; the time limit is for all versions of a lesion.
    plan : VersionPlan
        Which versions.

    Yields
    ------
    RunFolder, VersionRun
        The folder, and what was made.

    Raises
    ------
    ConfigError
        The folder or an argument cannot be used; nothing was changed.
    RunFolderError
        The folder could not be written any more; repeat the call to go on.
    KeyboardInterrupt
        After a clean end: what was complete is in the table.
    """
    check_arguments(jobs, timeout_s)
    workers = workers or LocalWorkers(jobs)
    make_ready(settings)
    recipe = _recipe(settings, plan)
    with open_run(Path(out), recipe) as folder, logged_to(folder.log), interrupts() as noted:
        blank = ScanTask((), settings, folder, uuid.uuid4().hex, recipe.versions, timeout_s)
        with work_on_cohort(
            cohort,
            blank,
            partial(make_versions_of_scan, plan),
            workers=workers,
            noted=noted,
            progress=progress,
            excluded=excluded,
        ) as worked:
            result = _result(worked, plan, folder)
            facts = replace(RunFacts.of(worked, timeout_s, command), is_complete=False)
            record = run_record(cohort, settings, facts, out=folder.path) | plan.record()
            record["versions"] |= recipe.versions
            record["excluded_by_review"] = None if excluded is None else rejection_records(excluded)
            record["lesions"] = [lesion_record(lesion, outcome, folder.path) for lesion, outcome in worked.outcomes()]
        with told(folder):
            write_failures(folder.path / "failures.csv", result.failures)
            write_record(folder.path / "provenance.json", record)
            columns = column_rows(result.table.features, settings)
            write_rows(folder.path / "features_dictionary.csv", COLUMNS, columns)
            result.table.write(folder.path)
        _LOG.info("%d lesions, %d failures, %.1f s", len(result.table.keys), len(result.failures), result.seconds)
        if worked.stopped is not None or noted.heard:
            raise worked.stopped or KeyboardInterrupt
        noted.release()
        with told(folder):
            yield folder, result
            write_record(folder.path / "provenance.json", record | {"finished": now_utc(), "complete": True})


def make_versions_of_scan(plan: VersionPlan, task: ScanTask) -> tuple[Outcome, ...]:
    """Make the versions of every lesion of a scan, or find them in the run folder."""
    return walk_scan(task, partial(_made, plan))


def _recipe(settings: ExtractionSettings, plan: VersionPlan) -> Recipe:
    made_with = {"extraction": settings.canonical(), plan.command.rpartition(" ")[2]: plan.canonical()}
    used = versions(settings) | {name: installed_version(name) for name in _ALSO_DEPENDS_ON}
    return Recipe(plan.command, made_with, _joined_hash(settings.hash, plan.hash), used, (*OUTPUTS, *plan.outputs))


def _made(plan: VersionPlan, task: ScanTask, case: Case, hashed: ScanHash) -> Outcome:
    image, mask = hashed.of(case), mask_sha256(case.voxels)
    making = threading.Lock()
    begun: list[Make] = []

    def make(chain: str) -> Sequence[LesionFeatures | TalentError]:
        with making:
            if not begun:
                begun.append(plan.begin(case, task.settings))
        return begun[0](chain)

    def shard_of(chain: str) -> VersionShard:
        made_with = _joined_hash(task.settings.hash, plan.hash, chain)
        key = content_key(image, mask, case.lesion.label, made_with, task.versions)
        shard = read_shard(task.folder, key, VersionShard)
        if shard is None:
            started = time.perf_counter()
            found = make(chain)
            assert len(found) == plan.chains[chain], "a chain has the versions that the plan says"
            names, values, left_out, warnings = _side_by_side(found)
            seconds = time.perf_counter() - started
            shard = VersionShard(key, image, mask, task.run_id, chain, names, values, left_out, warnings, seconds)
            write_shard(task.folder, shard)
        return shard

    # The largest lesion of a scan takes longest and may be its last: its chains are done beside each other.
    shards = tuple(in_order([partial(shard_of, chain) for chain in plan.chains], task.threads))
    resumed = all(shard.run_id != task.run_id for shard in shards)
    lesion = case.lesion
    return Outcome(
        lesion.row,
        0,
        lesion.lesion_id,
        versions=tuple(shard.kept for shard in shards),
        resumed=resumed,
        peak_mib=peak_mib(),
    )


def _side_by_side(
    found: Sequence[LesionFeatures | TalentError],
) -> tuple[tuple[str, ...], NDArray[np.float64], dict[str, str], tuple[str, ...]]:
    """Return names and values of features, what was left out and why, and warnings."""
    made = [{} if isinstance(one, TalentError) else one.by_name for one in found]
    names = tuple(dict.fromkeys(name for one in made for name in one))
    values = np.array([[one.get(name, math.nan) for name in names] for one in made], dtype=np.float64)
    left_out = {str(n): str(one) for n, one in enumerate(found, start=1) if isinstance(one, TalentError)}
    warnings = dict.fromkeys(text for one in found if not isinstance(one, TalentError) for text in one.warnings)
    return names, values.reshape(len(found), len(names)), left_out, tuple(warnings)


def _result(worked: Worked, plan: VersionPlan, folder: RunFolder) -> VersionRun:
    from radiomics_talent.features.table import KEY_COLUMNS  # noqa: PLC0415  # pandas: wanted at the end
    from radiomics_talent.robustness.versions import VersionTable  # noqa: PLC0415

    made: list[tuple[dict[str, object], list[VersionShard]]] = []
    failures: list[Failure] = []
    for lesion, outcome in worked.outcomes():
        if outcome.failure is not None:
            failures.append(outcome.failure)
            continue
        keys = {name: getattr(lesion, name) for name in KEY_COLUMNS} | {"lesion_id": outcome.lesion_id}
        made.append((keys, [kept_shard(folder, kept.key, VersionShard) for kept in outcome.versions]))
        failures += _left_out(lesion, outcome)
    return VersionRun(
        table=VersionTable.from_shards(made, plan.chains),
        failures=tuple(failures),
        out=folder.path,
        n_resumed=worked.ledger.n_resumed,
        n_warnings=worked.n_warnings,
        peak_mib=worked.ledger.peak_mib,
        seconds=worked.seconds,
    )


def _left_out(lesion: Lesion, outcome: Outcome) -> list[Failure]:
    return [
        Failure(lesion.row, lesion.patient_id, outcome.lesion_id, "version", f"{kept.chain} {number}: {sentence}")
        for kept in outcome.versions
        for number, sentence in kept.left_out.items()
    ]


def _joined_hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
