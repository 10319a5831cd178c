"""``radiomics-talent robustness controls``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from radiomics_talent.cli.compilation import compile_engine
from radiomics_talent.cli.jobs import usable_cpus
from radiomics_talent.cli.reviewed import lesions_of, rejection_lines
from radiomics_talent.cli.run_end import failure_lines, kept_in
from radiomics_talent.cli.workers import CLUSTER, SCHEDULER, cluster_workers

if TYPE_CHECKING:
    from radiomics_talent.robustness.control_run import ControlResult, Question


def robustness_controls(
    cohort: Path = typer.Argument(help="The cohort table that index wrote.", metavar="COHORT.CSV"),
    config: str = typer.Option(
        ..., "--config", help="Extraction settings: a preset or a settings file, as for extract.", metavar="NAME|PATH"
    ),
    out: Path = typer.Option(..., "--out", help="Run folder: new, or of a run to go on with.", metavar="RUN"),
    controls: str = typer.Option(
        "readii", "--controls", help="Which controls: a preset (readii) or a file.", metavar="NAME|PATH"
    ),
    clinical: Path | None = typer.Option(
        None, "--clinical", help="Clinical table: one row a patient. Without it only features are compared."
    ),
    outcome: str = typer.Option(
        "", "--outcome", help="Its column to predict; for survival the time in days.", metavar="COLUMN"
    ),
    model: str = typer.Option(
        "talent-response",
        "--model",
        help="Model settings, as train's --config: a preset or a file.",
        metavar="NAME|PATH",
    ),
    positive: str = typer.Option(
        "", "--positive", help="Levels that count as response, where the column is not yes/no.", metavar="LEVEL[,LEVEL]"
    ),
    event: str = typer.Option("", "--event", help="Survival: column of the event.", metavar="COLUMN"),
    study: str = typer.Option(
        "", "--study", help="Data dictionary of the clinical table: a preset (talent) or a file.", metavar="NAME|PATH"
    ),
    icc: Path | None = typer.Option(
        None, "--icc", help="Table of feature and icc, for the model's stability filter.", metavar="ICC.CSV"
    ),
    seed: int | None = typer.Option(
        None, "--seed", min=0, help="Seed of all that is drawn, in place of the settings'."
    ),
    jobs: int = typer.Option(0, "--jobs", "-j", min=0, help="Processors to use; 0 takes every one."),
    scheduler: str | None = SCHEDULER,
    cluster: str | None = CLUSTER,
    timeout: float = typer.Option(
        3600.0, "--timeout", min=0.0, help="Longest time for all controls of a lesion in seconds; 0 sets no limit."
    ),
    reviewed: bool = typer.Option(
        False, "--reviewed", help="Only what `review` accepted; its verdicts lie beside COHORT.CSV."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Extract negative controls of every lesion, rebuild the model on each, and say where its signal lies.

    A control has the lesion's voxels, or those about it, shuffled, drawn from their own histogram, or made noise. A
    model that does as well on shuffled voxels has not learnt from texture. Writes into RUN: versions.parquet and
    versions.csv (features of every control), effects.csv (what each control does to each feature), controls.csv and
    controls.json (how the model does on each, with each kind of features, and the verdict), failures.csv,
    provenance.json, log.txt and report.html. The same command goes on with a run that was stopped. Exit code 0: every
    lesion has its controls; 1: some failed and are left out; 2: wrong usage; 130: stopped by Ctrl-C.

    Example: radiomics-talent robustness controls cohort.csv --config talent-ct --clinical clinical.csv
    --outcome best_overall_response --positive CR,PR --out controls
    """
    from radiomics_talent.cli.progress import stages
    from radiomics_talent.reporting.robustness_page import write_robustness_page
    from radiomics_talent.robustness.control_run import run_controls
    from radiomics_talent.robustness_settings import ControlSettings, with_seed
    from radiomics_talent.settings import ExtractionSettings

    settings = ExtractionSettings.from_yaml(config)
    asked = with_seed(ControlSettings.from_yaml(controls), seed)
    question = _question(clinical, outcome, model, positive, event, study, icc)
    table, excluded = lesions_of(cohort, reviewed=reviewed)
    compile_engine(settings)
    with kept_in(out), cluster_workers(scheduler, cluster) as workers, stages() as stage:
        bar = stage("extracting", "lesions")
        result = run_controls(
            table,
            settings,
            asked,
            out,
            question=question,
            jobs=jobs or usable_cpus(),
            workers=workers,
            timeout_s=timeout or None,
            progress=lambda p: bar(p.done, p.total),
            model_progress=stage("cross-validating", "folds"),
            command=sys.argv[1:],
            excluded=excluded,
        )
    write_robustness_page(out, out / "report.html")
    typer.echo(_json(result) if as_json else "\n".join([_text(result), *rejection_lines(excluded, None)]))
    if result.run.failures:
        raise typer.Exit(1)


def _question(
    clinical: Path | None, outcome: str, model: str, positive: str, event: str, study: str, icc: Path | None
) -> Question | None:
    """Read what the models are to foretell; None where no clinical table is given."""
    from radiomics_talent.errors import ConfigError

    if clinical is None:
        if outcome or positive or event:
            raise ConfigError("--outcome needs --clinical: the table that holds the column")
        return None
    if not outcome:
        raise ConfigError("--clinical needs --outcome: the column to predict")
    from radiomics_talent.cohort.clinical import load_clinical
    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.outcome import Outcome
    from radiomics_talent.modelling.tables import read_icc
    from radiomics_talent.robustness.control_run import Question
    from radiomics_talent.study_settings import StudySettings

    levels = tuple(level.strip() for level in positive.split(",") if level.strip())
    return Question(
        load_clinical(clinical, StudySettings.from_yaml(study) if study else None),
        Outcome(outcome, event or None, levels),
        ModelSettings.from_yaml(model),
        None if icc is None else read_icc(icc),
    )


def _text(result: ControlResult) -> str:
    run, report = result.run, result.report
    counts = f"{len(run.table.keys)} lesions with {len(run.table.features)} features"
    failed = f"{run.n_failed} lesions and {run.n_left_out} controls failed"
    cost = f"{run.seconds:.1f} s, at most {run.peak_mib:.0f} MiB a process"
    lines = [f"{counts} in {len(result.settings.controls)} controls; {failed}; {cost}"]
    lines += failure_lines(run.failures, run.out)
    if report is not None:
        name = {"auc": "AUC", "c_index": "C-index"}[report.metric]
        lines += ["", f"{'control':24}{'features':12}{'n':>6}  {name} (95 % interval)       lost by the control"]
        lines += [
            f"{row.control:24}{row.features:12}{row.n_features:>6}  {row.metric!s:26}"
            + ("unchanged" if row.unchanged else str(row.lost or ""))
            for row in report.rows
        ]
        lines += ["", f"verdict: {report.verdict}. {report.sentence}"]
        lines += [f"note: {finding}" for finding in report.findings]
    if run.n_warnings:
        lines.append(f"{run.n_warnings} warnings, see {run.out / 'log.txt'} (or run check)")
    lines.append(f"page: {run.out / 'report.html'}")
    return "\n".join(line.rstrip() for line in lines)


def _json(result: ControlResult) -> str:
    import json
    from dataclasses import asdict

    from radiomics_talent.modelling.record import plain_record

    run, report = result.run, result.report
    record: dict[str, Any] = {
        "out": str(run.out),
        "lesions": len(run.table.keys),
        "features": len(run.table.features),
        "controls": list(result.settings.controls),
        "failures": [asdict(f) for f in run.failures],
        "verdict": None if report is None else report.verdict,
        "sentence": None if report is None else report.sentence,
        "rows": [] if report is None else [asdict(row) for row in report.rows],
        "findings": [] if report is None else list(report.findings),
    }
    return json.dumps(plain_record(record), indent=1, ensure_ascii=False)
