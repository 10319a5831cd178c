"""``radiomics-talent extract``: from a checked cohort to a feature table."""

from __future__ import annotations

import sys
from itertools import chain, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from radiomics_talent.cli.compilation import compile_engine
from radiomics_talent.cli.jobs import usable_cpus
from radiomics_talent.cli.reviewed import lesions_of, rejection_lines, rejection_record
from radiomics_talent.cli.run_end import MOST_SENTENCES, failure_lines, kept_in
from radiomics_talent.cli.workers import CLUSTER, SCHEDULER, cluster_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiomics_talent.cohort.manifest import CohortTable, Lesion
    from radiomics_talent.cohort.review import Excluded
    from radiomics_talent.extraction.outcome import Outcome
    from radiomics_talent.extraction.plan import Plan
    from radiomics_talent.extraction.run import RunResult
    from radiomics_talent.findings import Finding
    from radiomics_talent.settings import ExtractionSettings


def extract(
    cohort: Path = typer.Argument(help="The cohort table that index wrote.", metavar="COHORT.CSV"),
    config: str = typer.Option(
        ..., "--config", help="A preset, a settings file, or a PyRadiomics parameter file.", metavar="NAME|PATH"
    ),
    out: Path | None = typer.Option(None, "--out", help="Run folder: new, or of a run to go on with.", metavar="RUN"),
    engine: str | None = typer.Option(
        None,
        "--engine",
        help="native, reference (PyRadiomics) or auto, in place of the settings' engine.",
        metavar="NAME",
    ),
    verify: float = typer.Option(
        0.0,
        "--verify",
        min=0.0,
        max=1.0,
        help="Share of the lesions to compute with the other engine too; a difference stops the run.",
    ),
    jobs: int = typer.Option(0, "--jobs", "-j", min=0, help="Processors to use; 0 takes every one."),
    scheduler: str | None = SCHEDULER,
    cluster: str | None = CLUSTER,
    timeout: float = typer.Option(
        3600.0, "--timeout", min=0.0, help="Longest time for a lesion in seconds; 0 sets no limit."
    ),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Read and check everything, foretell grey levels, memory and time; write nothing."
    ),
    save_preprocessed: bool = typer.Option(
        False, "--save-preprocessed", help="Keep the resampled crops and masks (NRRD) in RUN/preprocessed."
    ),
    reviewed: bool = typer.Option(
        False, "--reviewed", help="Extract only what `review` accepted; its verdicts lie beside COHORT.CSV."
    ),
    chunk: str | None = typer.Option(
        None,
        "--chunk",
        help="Extract the Kth of N parts of the cohort, whole scans, into a RUN of its own; `merge` joins them.",
        metavar="K/N",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Extract the features of every lesion into RUN; the same command goes on with a run that was stopped.

    Writes features.parquet, features.csv, features_dictionary.csv, failures.csv, provenance.json and log.txt; with
    --reviewed excluded.csv too. Exit code 0: every lesion (with --reviewed: every one not rejected) has features; 1:
    some failed; 2: wrong usage, or RUN cannot be written (any more); 3: a bug of radiomics-talent; 130: stopped by
    Ctrl-C.

    Example: radiomics-talent extract cohort.csv --config talent-ct --out run1 --jobs 4 --verify 0.05
    """
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.settings import ExtractionSettings, with_engine

    settings = with_engine(ExtractionSettings.from_yaml(config), engine)
    if out is None and not dry_run:
        raise ConfigError("--out is missing; name the run folder, or ask for --dry-run")
    table, excluded = lesions_of(cohort, reviewed=reviewed, chunk=chunk)
    compile_engine(settings)
    if dry_run:
        _dry_run(table, excluded, settings, jobs or usable_cpus(), timeout or None, as_json=as_json)
        return
    assert out is not None
    from radiomics_talent.cli.progress import progress
    from radiomics_talent.extraction.run import run_extraction

    with kept_in(out), cluster_workers(scheduler, cluster) as workers, progress("extracting", "lesions") as bar:
        result = run_extraction(
            table,
            settings,
            out,
            jobs=jobs or usable_cpus(),
            workers=workers,
            timeout_s=timeout or None,
            progress=lambda p: bar(p.done, p.total),
            save_preprocessed=save_preprocessed,
            verify=verify,
            command=sys.argv[1:],
            excluded=excluded,
        )
    if as_json:
        typer.echo(result_as_json(result, excluded))
    else:
        typer.echo("\n".join([result_as_text(result), *rejection_lines(excluded, result.out)]))
    if result.n_failed:
        raise typer.Exit(1)


def _dry_run(
    table: CohortTable,
    excluded: tuple[Excluded, ...] | None,
    settings: ExtractionSettings,
    jobs: int,
    timeout_s: float | None,
    *,
    as_json: bool,
) -> None:
    from radiomics_talent.cli.progress import progress
    from radiomics_talent.extraction.plan import plan_extraction
    from radiomics_talent.extraction.store import json_pieces

    with (
        progress("reading", "lesions") as bar,
        plan_extraction(
            table,
            settings,
            jobs=jobs,
            timeout_s=timeout_s,
            progress=lambda p: bar(p.done, p.total),
            excluded=excluded,
        ) as plan,
    ):
        # Written as it is read: the cohort may have a million rows.
        if as_json:
            record = _plan_record(plan) | {"cohort_findings": _plain(table.findings)} | rejection_record(excluded)
            for piece in json_pieces(record, map(_forecast_record, plan.worked.outcomes())):
                typer.echo(piece, nl=False)
            typer.echo()
        else:
            for line in (*_sentences(table.findings), *_plan_lines(plan), *rejection_lines(excluded, None)):
                typer.echo(line)
        if plan.worked.ledger.n_failed:
            raise typer.Exit(1)


def result_as_text(result: RunResult) -> str:
    """Say what a run made."""
    from radiomics_talent.features.dataset import MOST_IN_ONE_FILE

    counts = f"{result.n_done} lesions with {result.n_features} features"
    resumed = f", {result.n_resumed} of them from an earlier run" if result.n_resumed else ""
    cost = f"{result.seconds:.1f} s, at most {result.peak_mib:.0f} MiB a process"
    lines = [*_sentences(result.cohort_findings), f"{counts}{resumed}; {result.n_failed} failed; {cost}"]
    lines += failure_lines(result.failures, result.out)
    if result.n_verified:
        lines.append(
            f"{result.n_verified} lesions verified with the other engine: the largest relative difference of a feature "
            f"is {result.largest_difference:.1e}"
        )
    if result.n_warnings:
        lines.append(f"{result.n_warnings} warnings, see {result.out / 'log.txt'} (or run check)")
    lines.append(
        f"table: {result.out / 'features.csv'} (and features.parquet)"
        if result.n_done <= MOST_IN_ONE_FILE
        else f"table: {result.out / 'features'}, a Parquet dataset; `table` writes it, or a part of it, as one file"
    )
    return "\n".join(lines)


def result_as_json(result: RunResult, excluded: tuple[Excluded, ...] | None = None) -> str:
    """Say the same as JSON, with what a review rejected."""
    from dataclasses import asdict

    record = {
        "out": str(result.out),
        "lesions": result.n_done,
        "features": result.n_features,
        "resumed": result.n_resumed,
        "warnings": result.n_warnings,
        "verified": result.n_verified,
        "largest_difference": result.largest_difference,
        "seconds": round(result.seconds, 3),
        "peak_mib": round(result.peak_mib),
        "cohort_findings": _plain(result.cohort_findings),
        "failures": [asdict(failure) for failure in result.failures],
    }
    return _as_json(record | rejection_record(excluded))


_PLAN_HEADER = ("row", "lesion", "voxels", "grey levels", "seconds", "MiB", "remark")
_PLAN_TO_THE_LEFT = {1, 3, 6}


def _plan_lines(plan: Plan) -> Iterator[str]:
    """Yield a table of the lesions, what is odd about them, and the sums; the lesions are gone through twice."""
    widths = list(map(len, _PLAN_HEADER))
    odd: list[str] = []
    for pair in plan.worked.outcomes():
        widths = [max(w, len(cell)) for w, cell in zip(widths, _plan_row(*pair), strict=True)]
        odd += [str(f) for f in pair[1].findings if f.code == "grey-levels" and len(odd) < MOST_SENTENCES]
    for row in chain([_PLAN_HEADER], starmap(_plan_row, plan.worked.outcomes())):
        cells = (
            cell.ljust(w) if i in _PLAN_TO_THE_LEFT else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
    yield from odd
    ledger = plan.worked.ledger
    yield (
        f"{ledger.n_done} lesions can be extracted, {ledger.n_failed} would fail; about {plan.seconds:.0f} s with "
        f"{plan.jobs} jobs, up to {plan.peak_mib:.0f} MiB a worker"
    )


def _plan_row(lesion: Lesion, outcome: Outcome) -> tuple[str, ...]:
    name = f"{lesion.patient_id}/{outcome.lesion_id}"
    if outcome.forecast is None:
        sentence = outcome.failure.sentence if outcome.failure else ""
        return (str(lesion.row), name, "", "", "", "", f"would fail: {sentence}")
    f = outcome.forecast
    codes = ", ".join(dict.fromkeys(x.code for x in outcome.findings if x.level == "warning"))
    return (
        str(lesion.row),
        name,
        str(f.voxels),
        _levels(f.grey_levels),
        f"{f.seconds:.1f}",
        f"{f.peak_mib:.0f}",
        codes,
    )


def _levels(levels: dict[str, int]) -> str:
    first, *others = levels.values()
    return f"{first} ({min(others)}-{max(others)})" if others else str(first)


def _plan_record(plan: Plan) -> dict[str, Any]:
    return {"jobs": plan.jobs, "seconds": round(plan.seconds, 1), "peak_mib": round(plan.peak_mib)}


def _forecast_record(pair: tuple[Lesion, Outcome]) -> dict[str, Any]:
    from dataclasses import asdict

    lesion, outcome = pair
    return {
        "row": lesion.row,
        "patient_id": lesion.patient_id,
        "lesion_id": outcome.lesion_id,
        "forecast": asdict(outcome.forecast) if outcome.forecast else None,
        "failure": outcome.failure.sentence if outcome.failure else None,
        "findings": _plain(outcome.findings),
    }


def _sentences(findings: tuple[Finding, ...]) -> list[str]:
    more = [f"and {len(findings) - MOST_SENTENCES} more findings of the cohort, see provenance.json or run check"]
    lines = [f"{f.level}: {f.code}: {f}" for f in findings[:MOST_SENTENCES]]
    return lines + (more if len(findings) > MOST_SENTENCES else [])


def _plain(findings: tuple[Finding, ...]) -> list[dict[str, str]]:
    return [{"code": f.code, "level": f.level, "sentence": str(f)} for f in findings]


def _as_json(record: dict[str, Any]) -> str:
    import json

    return json.dumps(record, indent=1, ensure_ascii=False)
