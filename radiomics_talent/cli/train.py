"""``radiomics-talent train``: a validated model from a feature table and a clinical table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from radiomics_talent.cli.jobs import usable_cpus
from radiomics_talent.cli.workers import CLUSTER, SCHEDULER, cluster_workers

if TYPE_CHECKING:
    from radiomics_talent.modelling.training import TrainingResult


def train(
    features: Path = typer.Argument(
        help="Run folder of extract, its features table, or any CSV with patient_id and numbers.", metavar="FEATURES"
    ),
    clinical: Path = typer.Option(..., "--clinical", help="Clinical table: one row a patient.", metavar="CLINICAL.CSV"),
    outcome: str = typer.Option(
        ..., "--outcome", help="Its column to predict; for survival the time in days.", metavar="COLUMN"
    ),
    config: str = typer.Option(
        ...,
        "--config",
        help="A preset (talent-response, talent-signature, talent-pfs, screen) or a settings file.",
        metavar="NAME|PATH",
    ),
    out: Path = typer.Option(
        ..., "--out", help="Folder of the model: new, or of a training to go on with.", metavar="MODEL"
    ),
    positive: str = typer.Option(
        "", "--positive", help="Levels that count as response, where the column is not yes/no.", metavar="LEVEL[,LEVEL]"
    ),
    event: str = typer.Option(
        "",
        "--event",
        help="Survival: column of the event; by default named as pfs_days -> pfs_event.",
        metavar="COLUMN",
    ),
    study: str = typer.Option(
        "", "--study", help="Data dictionary of the clinical table: a preset (talent) or a file.", metavar="NAME|PATH"
    ),
    lesions: Path | None = typer.Option(
        None,
        "--lesions",
        help="Outcome of each lesion by itself (level: lesion): patient_id, lesion_id, COLUMN; recist writes one.",
        metavar="LESIONS.CSV",
    ),
    icc: Path | None = typer.Option(
        None, "--icc", help="Table of feature and icc, for the stability and correlation filters.", metavar="ICC.CSV"
    ),
    synthetic: bool = typer.Option(
        False, "--synthetic", help="The patients are invented: card, pages and every score will say so."
    ),
    jobs: int = typer.Option(
        0, "--jobs", "-j", min=0, help="Worker processes; 0 takes every CPU. Numbers do not depend on it."
    ),
    scheduler: str | None = SCHEDULER,
    cluster: str | None = CLUSTER,
    as_json: bool = typer.Option(False, "--json", help="Print every figure as JSON."),
) -> None:
    """Validate a model by repeated nested cross-validation, fit it on all patients, and write it with its card.

    Writes into MODEL: model.skops, refits.skops, model.yaml, golden.csv, card.md, metrics.json, cv_predictions.csv,
    selected_features.csv, left_out.csv, table1.csv and figures/. The same command goes on with a training that was
    stopped.

    Example: radiomics-talent train run --clinical clinical.csv --outcome best_overall_response --positive CR,PR
    --config talent-response --out model
    """  # fmt: skip
    from radiomics_talent.cli.progress import progress
    from radiomics_talent.cohort.clinical import load_clinical
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.extraction.workers import ClusterError
    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.outcome import Outcome
    from radiomics_talent.modelling.tables import extraction_record, read_features, read_icc, read_lesion_outcomes
    from radiomics_talent.modelling.training import train as run_training
    from radiomics_talent.reporting.model_card import write_card
    from radiomics_talent.reporting.model_figures import save_figures, training_figures
    from radiomics_talent.study_settings import StudySettings

    settings = ModelSettings.from_yaml(config)
    dictionary = StudySettings.from_yaml(study) if study else None
    levels = tuple(level.strip() for level in positive.split(",") if level.strip())
    try:
        with cluster_workers(scheduler, cluster) as workers, progress("training", "folds") as bar:
            result = run_training(
                read_features(features),
                load_clinical(clinical, dictionary),
                Outcome(
                    outcome, event or None, levels, None if lesions is None else read_lesion_outcomes(lesions, outcome)
                ),
                settings,
                out,
                icc=None if icc is None else read_icc(icc),
                extraction=extraction_record(features),
                synthetic=synthetic,
                jobs=jobs or usable_cpus(),
                spread=None if workers is None else workers.map_unordered,
                progress=bar,
            )
    except ClusterError as error:
        raise ConfigError(error.message, where=error.where) from error
    except KeyboardInterrupt:
        typer.echo(f"stopped; finished folds are kept in {out}: repeat the command to go on", err=True)
        raise typer.Exit(130) from None
    save_figures(training_figures(result.report), out / "figures")
    write_card(result, out)
    typer.echo(_json(result) if as_json else _text(result, out))


def _text(result: TrainingResult, out: Path) -> str:
    from radiomics_talent.cli.model_tables import comparison_text, counts_line, metrics_table

    report = result.report
    lines = [counts_line(result.model.facts, result.n_resumed), "", *metrics_table(report.blocks, report.block)]
    for name, c in report.comparisons.items():
        lines.append(f"{report.block} less {name}: {comparison_text(c)}")
    if len(report.permuted):
        lines.append(
            f"permuted outcomes: mean {report.permuted.mean():.3f} in {len(report.permuted)} runs, "
            f"p = {report.p_value:.3f}"
        )
    if report.holdout is not None:
        share = result.model.settings.validation.holdout or 0.0
        lines.append(
            f"one single split ({share:.0%} held out): {report.holdout}; the nested estimate is the one to believe"
        )
    lines += ["", *(f"note: {finding}" for finding in result.findings)] if result.findings else []
    lines += ["", f"model: {out} (card.md, figures/, metrics.json); research use only"]
    return "\n".join(lines)


def _json(result: TrainingResult) -> str:
    import json

    from radiomics_talent.modelling.record import plain_record
    from radiomics_talent.modelling.training import training_record

    return json.dumps(plain_record(training_record(result)), indent=1, ensure_ascii=False)
