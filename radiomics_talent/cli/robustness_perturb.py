"""``radiomics-talent robustness perturb``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from radiomics_talent.cli.compilation import compile_engine
from radiomics_talent.cli.jobs import usable_cpus
from radiomics_talent.cli.reviewed import lesions_of, rejection_lines
from radiomics_talent.cli.run_end import failure_lines, kept_in
from radiomics_talent.cli.stable_shares import shares_lines
from radiomics_talent.cli.workers import CLUSTER, SCHEDULER, cluster_workers

if TYPE_CHECKING:
    from radiomics_talent.robustness.perturbation_run import PerturbationResult


def robustness_perturb(
    cohort: Path = typer.Argument(help="The cohort table that index wrote.", metavar="COHORT.CSV"),
    config: str = typer.Option(
        ..., "--config", help="Extraction settings: a preset or a settings file, as for extract.", metavar="NAME|PATH"
    ),
    out: Path = typer.Option(..., "--out", help="Run folder: new, or of a run to go on with.", metavar="RUN"),
    perturbations: str = typer.Option(
        "talent-perturb",
        "--perturbations",
        help="Which versions: a preset (talent-perturb, quick-perturb) or a file.",
        metavar="NAME|PATH",
    ),
    versions: int | None = typer.Option(
        None, "--versions", help="Versions of the chain that decides, in place of the settings'."
    ),
    seed: int | None = typer.Option(
        None, "--seed", min=0, help="Seed of all that is drawn, in place of the settings'."
    ),
    jobs: int = typer.Option(0, "--jobs", "-j", min=0, help="Processors to use; 0 takes every one."),
    scheduler: str | None = SCHEDULER,
    cluster: str | None = CLUSTER,
    timeout: float = typer.Option(
        3600.0, "--timeout", min=0.0, help="Longest time for all versions of a lesion in seconds; 0 sets no limit."
    ),
    reviewed: bool = typer.Option(
        False, "--reviewed", help="Only what `review` accepted; its verdicts lie beside COHORT.CSV."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Extract perturbed versions of every lesion and say which features stay what they are.

    Writes into RUN: versions.parquet and versions.csv (features of every version), perturbations.csv (what each version
    is), stability.csv (every statistic by chain), icc.csv (for `train --icc`), failures.csv, provenance.json, log.txt
    and report.html. The same command goes on with a run that was stopped. Exit code 0: every version of every lesion
    has features; 1: some lesions or versions failed and are left out; 2: wrong usage; 130: stopped by Ctrl-C.

    Example: radiomics-talent robustness perturb cohort.csv --config talent-ct --out stability --jobs 2
    """
    from radiomics_talent.cli.progress import progress
    from radiomics_talent.reporting.robustness_page import write_robustness_page
    from radiomics_talent.robustness.perturbation_run import run_perturbations
    from radiomics_talent.robustness_settings import PerturbationSettings, with_seed, with_versions
    from radiomics_talent.settings import ExtractionSettings

    settings = ExtractionSettings.from_yaml(config)
    asked = with_seed(with_versions(PerturbationSettings.from_yaml(perturbations), versions), seed)
    table, excluded = lesions_of(cohort, reviewed=reviewed)
    compile_engine(settings)
    with kept_in(out), cluster_workers(scheduler, cluster) as workers, progress("perturbing", "lesions") as bar:
        result = run_perturbations(
            table,
            settings,
            asked,
            out,
            jobs=jobs or usable_cpus(),
            workers=workers,
            timeout_s=timeout or None,
            progress=lambda p: bar(p.done, p.total),
            command=sys.argv[1:],
            excluded=excluded,
        )
    write_robustness_page(out, out / "report.html")
    typer.echo(_json(result) if as_json else "\n".join([_text(result), *rejection_lines(excluded, None)]))
    if result.run.failures:
        raise typer.Exit(1)


def _text(result: PerturbationResult) -> str:
    run = result.run
    resumed = f", {run.n_resumed} lesions from an earlier run" if run.n_resumed else ""
    counts = f"{len(run.table.keys)} lesions with {len(run.table.features)} features in {result.n_versions} versions"
    failed = f"{run.n_failed} lesions and {run.n_left_out} versions failed"
    lines = [f"{counts}{resumed}; {failed}; {run.seconds:.1f} s, at most {run.peak_mib:.0f} MiB a process"]
    lines += failure_lines(run.failures, run.out)
    decides = result.settings.stability
    lines += [f"chain {decides.chain}:", *shares_lines(result.shares, decides)]
    if run.n_warnings:
        lines.append(f"{run.n_warnings} warnings, see {run.out / 'log.txt'} (or run check)")
    lines.append(f"for train: --icc {run.out / 'icc.csv'}; page: {run.out / 'report.html'}")
    return "\n".join(lines)


def _json(result: PerturbationResult) -> str:
    import json
    from dataclasses import asdict

    from radiomics_talent.modelling.record import plain_record

    run = result.run
    record: dict[str, Any] = {
        "out": str(run.out),
        "lesions": len(run.table.keys),
        "features": len(run.table.features),
        "versions": result.n_versions,
        "resumed": run.n_resumed,
        "warnings": run.n_warnings,
        "seconds": round(run.seconds, 3),
        "peak_mib": round(run.peak_mib),
        "stability": result.settings.stability.model_dump(mode="json"),
        "shares": result.shares.to_dict("records"),
        "failures": [asdict(failure) for failure in run.failures],
    }
    return json.dumps(plain_record(record), indent=1, ensure_ascii=False)
