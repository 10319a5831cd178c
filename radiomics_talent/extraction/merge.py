"""Runs over the chunks of a cohort become the run that one ``extract`` over the whole cohort would have made.

Nothing is computed: results are taken from the chunks' run folders, each checked against its checksum.
"""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiomics_talent.cohort.manifest import load_cohort
from radiomics_talent.errors import ConfigError
from radiomics_talent.extraction.cohort_work import Worked, logged_to
from radiomics_talent.extraction.ledger import Ledger, settle
from radiomics_talent.extraction.outcome import Outcome, Shard
from radiomics_talent.extraction.provenance import RunFacts, different_keys, run_record, seen_from
from radiomics_talent.extraction.run import write_run
from radiomics_talent.extraction.store import Recipe, RunFolder, link_shard, open_run, read_failures, read_shard, told
from radiomics_talent.findings import Finding
from radiomics_talent.settings import ExtractionSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.extraction.run import RunResult

_MOST_ROWS_NAMED = 5
_NEEDED = {"lesions", "settings", "settings_sha256", "versions", "complete", "cohort", "started", "seconds", "jobs"}
_DEEP = Path("/", *["deep"] * 64)
"""Stands for the folder of a run, wherever it was: no path of its record leads out of it."""
_TOLD_OF_A_RUN = ("started", "finished", "seconds", "jobs", "workers", "timeout_s", "command", "platform")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A finished run over some rows of a cohort."""

    folder: RunFolder
    provenance: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.folder.path

    def lesions(self) -> list[dict[str, Any]]:
        """Read what is recorded of each lesion: of one chunk at a time, as it may be much."""
        found: list[dict[str, Any]] = _read_provenance(self.path)["lesions"]
        return found

    def place(self, path: str) -> str:
        """Return a path of the record as it was seen from the cohort table: the run folder may have been moved."""
        table = os.path.normpath(_DEEP / self.provenance["cohort"])
        return seen_from(Path(os.path.normpath(_DEEP / path)), Path(table).parent)


def merge_runs(
    runs: Sequence[Path], out: Path, *, cohort: Path | None = None, command: Sequence[str] = ()
) -> RunResult:
    """Merge finished runs over the chunks of one cohort.

    Parameters
    ----------
    runs : sequence of Path
        Run folders; together they have every row of the cohort once.
    out : Path
        Run folder of the whole: new, empty, or of an earlier merge. Results are linked into it where the disk can,
        and copied elsewhere.
    cohort : Path, optional
        The cohort table, where it is no longer at the place that the runs know.
    command : sequence of str
        Arguments of the command line, for provenance.

    Returns
    -------
    RunResult
        Tables and failures as one run over the cohort would give them, to the byte.

    Raises
    ------
    ConfigError
        A run is not finished or damaged, settings or versions differ, a row is in no run or in two, or the cohort
        table is not the one that was extracted.
    """
    chunks = [_read_chunk(Path(run)) for run in runs]
    if not chunks:
        raise ConfigError("no run is named; name the run folder of every chunk")
    if Path(out).resolve() in [chunk.path.resolve() for chunk in chunks]:
        raise ConfigError("is one of the runs to be merged; give a folder of its own", where=str(out))
    settings = _shared_settings(chunks)
    table = load_cohort(cohort or _shared_cohort(chunks))
    with open_run(Path(out), Recipe.of_extraction(settings)) as folder, logged_to(folder.log), Ledger() as ledger:
        whole = _Whole(table, folder, ledger)
        for chunk in chunks:
            whole.take(chunk)
        whole.refuse_gaps()
        settle(table, ledger, ())
        seconds = sum(float(chunk.provenance["seconds"]) for chunk in chunks)
        jobs = max(int(chunk.provenance["jobs"]) for chunk in chunks)
        started = min(chunk.provenance["started"] for chunk in chunks)
        worked = Worked(table, ledger, (), jobs, f"merged from {len(chunks)} runs", started, seconds, None)
        facts = RunFacts.of(worked, chunks[0].provenance["timeout_s"], command)
        record = run_record(table, settings, facts, out=folder.path)
        record["merged_from"] = [{name: c.provenance.get(name) for name in _TOLD_OF_A_RUN} for c in chunks]
        return write_run(folder, worked, record, settings, rejected=_rejected(chunks))


class _Whole:
    """The run that the chunks become."""

    def __init__(self, table: CohortTable, folder: RunFolder, ledger: Ledger) -> None:
        self.table, self.folder, self.ledger = table, folder, ledger
        rows = max(lesion.row for lesion in table.lesions) + 1
        self._covered = bytearray(rows)
        # Where a row stands in the table, from 1 on; eight bytes each, as there may be a million.
        self._places = array("q", bytes(8 * rows))
        for number, lesion in enumerate(table.lesions, start=1):
            self._places[lesion.row] = number

    def take(self, chunk: _Chunk) -> None:
        """Take the lesions of a chunk, and link their results into the run folder."""
        failures = {(f.row, f.lesion_id): f for f in read_failures(chunk.path / "failures.csv")}
        parts: Counter[int] = Counter()
        for record in chunk.lesions():
            lesion = self._lesion(record, chunk)
            if not parts[lesion.row]:
                self._cover(lesion.row, chunk)
            parts[lesion.row] += 1
            findings = tuple(Finding(f["code"], f["sentence"], severity=f["level"]) for f in record["findings"])
            name = record["lesion_id"]
            part = 0 if name == lesion.lesion_id else parts[lesion.row]
            outcome = Outcome(lesion.row, part, name, findings=findings, failure=failures.get((lesion.row, name)))
            self.ledger.add(outcome if outcome.failure else self._with_result(outcome, record, chunk))
        for record in chunk.provenance.get("excluded_by_review") or ():
            self._cover(int(record["row"]), chunk)

    def refuse_gaps(self) -> None:
        """Refuse a cohort of which rows are in no run."""
        gaps = [lesion.row for lesion in self.table.lesions if not self._covered[lesion.row]]
        if gaps:
            more = f" and {len(gaps) - _MOST_ROWS_NAMED} more" if len(gaps) > _MOST_ROWS_NAMED else ""
            rows = ", ".join(map(str, gaps[:_MOST_ROWS_NAMED]))
            raise ConfigError(
                f"rows {rows}{more} are in none of the runs; name the run of every chunk", where=str(self.table.path)
            )

    def _lesion(self, record: dict[str, Any], chunk: _Chunk) -> Lesion:
        row = int(record["row"])
        number = self._places[row] if row < len(self._places) else 0
        lesion = self.table.lesions[number - 1] if number else None
        known = [record["patient_id"], record["label"], chunk.place(record["image"]), chunk.place(record["mask"])]
        folder = self.table.path.absolute().parent if self.table.path else Path.cwd()
        if lesion is None or known != [
            lesion.patient_id,
            lesion.label,
            seen_from(lesion.image, folder),
            seen_from(lesion.mask, folder),
        ]:
            raise ConfigError(
                f"row {row} is not what {chunk.path} extracted; name the cohort table of the runs, or extract again",
                where=str(self.table.path),
            )
        return lesion

    def _cover(self, row: int, chunk: _Chunk) -> None:
        if row < len(self._covered) and self._covered[row]:
            raise ConfigError(f"row {row} is in another of the runs, too; name each chunk once", where=str(chunk.path))
        self._covered[row] = True

    def _with_result(self, outcome: Outcome, record: dict[str, Any], chunk: _Chunk) -> Outcome:
        shard = read_shard(chunk.folder, record["key"], Shard)
        if shard is None:
            raise ConfigError(
                f"the result of row {outcome.row} is gone or damaged; repeat the run's command, then merge",
                where=str(chunk.path),
            )
        with told(self.folder):
            link_shard(chunk.folder, self.folder, shard.key)
        return replace(outcome, kept=shard.kept, resumed=record["status"] == "resumed")


def _read_chunk(run: Path) -> _Chunk:
    provenance = _read_provenance(run)
    if not provenance["complete"]:
        raise ConfigError("the run was stopped before its end; repeat its command, then merge", where=str(run))
    return _Chunk(RunFolder(run), {name: value for name, value in provenance.items() if name != "lesions"})


def _read_provenance(run: Path) -> dict[str, Any]:
    path = run / "provenance.json"
    try:
        provenance: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lacking = _NEEDED - set(provenance)
    except OSError as error:
        raise ConfigError("is no finished run of extract; repeat its command", where=str(run)) from error
    except (ValueError, TypeError) as error:
        raise ConfigError("is damaged; repeat the command of the run", where=str(path)) from error
    if lacking:
        raise ConfigError("is damaged; repeat the command of the run", where=str(path))
    return provenance


def _shared_settings(chunks: Sequence[_Chunk]) -> ExtractionSettings:
    first = chunks[0]
    for chunk in chunks[1:]:
        for part in ("settings", "versions"):
            if differ := list(different_keys(first.provenance[part], chunk.provenance[part])):
                raise ConfigError(
                    f"was extracted with other {part} than {first.path}: {', '.join(differ)} differ; one table must "
                    "not mix them: extract it again",
                    where=str(chunk.path),
                )
    settings = ExtractionSettings.model_validate(first.provenance["settings"])
    if settings.hash != first.provenance["settings_sha256"]:
        raise ConfigError("was extracted by another version of the program; extract it again", where=str(first.path))
    return settings


def _shared_cohort(chunks: Sequence[_Chunk]) -> Path:
    named = {os.path.normpath(c.path.absolute() / c.provenance["cohort"]) for c in chunks if c.provenance["cohort"]}
    if len(named) != 1:
        raise ConfigError("the runs are of several cohort tables, or were moved; name the table with --cohort")
    path = Path(named.pop())
    if not path.is_file():
        raise ConfigError("the runs' cohort table is not there any more; name it with --cohort", where=str(path))
    return path


def _rejected(chunks: Sequence[_Chunk]) -> list[dict[str, Any]] | None:
    records = [c.provenance.get("excluded_by_review") for c in chunks]
    if all(r is None for r in records):
        return None
    return sorted((one for r in records for one in r or ()), key=lambda one: int(one["row"]))
