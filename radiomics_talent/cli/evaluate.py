"""``radiomics-talent evaluate``: a model on a cohort that it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from radiomics_talent.modelling.evaluation import EvaluationResult


def evaluate(
    model: Path = typer.Argument(help="Folder that train wrote.", metavar="MODEL"),
    features: Path = typer.Argument(
        help="Run folder of extract, its features table, or any CSV with patient_id and numbers.", metavar="FEATURES"
    ),
    clinical: Path = typer.Option(..., "--clinical", help="Clinical table: one row a patient.", metavar="CLINICAL.CSV"),
    out: Path = typer.Option(..., "--out", help="Folder for the results.", metavar="DIR"),
    outcome: str = typer.Option(
        "", "--outcome", help="Outcome column, where it has another name than in training.", metavar="COLUMN"
    ),
    positive: str = typer.Option(
        "",
        "--positive",
        help="Levels that count as response, where they differ from training.",
        metavar="LEVEL[,LEVEL]",
    ),
    event: str = typer.Option(
        "", "--event", help="Event column, where it has another name than in training.", metavar="COLUMN"
    ),
    lesions: Path | None = typer.Option(
        None,
        "--lesions",
        help="Outcome of each lesion by itself, where the model was trained on such: patient_id, lesion_id, COLUMN.",
        metavar="LESIONS.CSV",
    ),
    study: str = typer.Option(
        "", "--study", help="Data dictionary of the clinical table: a preset (talent) or a file.", metavar="NAME|PATH"
    ),
    trust: list[str] = typer.Option(
        [],
        "--trust",
        help="Full name of a type in the model file whose code you know; may be repeated.",
        metavar="TYPE",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print every figure as JSON."),
) -> None:
    """Score a cohort with a trained model as it is, and judge the scores: external validation, nothing refitted.

    Writes into DIR: predictions.csv, metrics.json, left_out.csv and figures/. The model file is audited before it is
    loaded; a changed, damaged or pickled one is refused.

    Example: radiomics-talent evaluate model run2 --clinical clinical2.csv --out validation
    """  # fmt: skip
    from radiomics_talent.cohort.clinical import load_clinical
    from radiomics_talent.modelling.evaluation import evaluate as run_evaluation
    from radiomics_talent.modelling.evaluation import write_evaluation
    from radiomics_talent.modelling.model import load_model
    from radiomics_talent.modelling.outcome import Outcome
    from radiomics_talent.modelling.tables import extraction_record, read_features, read_lesion_outcomes
    from radiomics_talent.reporting.model_figures import save_figures, validation_figures
    from radiomics_talent.study_settings import StudySettings

    trained = load_model(model, trust)
    known = trained.outcome
    levels = tuple(level.strip() for level in positive.split(",") if level.strip())
    # Other names only: what is not given is as in training.
    name = outcome or known["name"]
    own = None if lesions is None else read_lesion_outcomes(lesions, name)
    target = Outcome(name, event or known["event"], levels or tuple(known["positive"]), own)
    result = run_evaluation(
        trained,
        read_features(features),
        load_clinical(clinical, StudySettings.from_yaml(study) if study else None),
        target,
        extraction=extraction_record(features),
    )
    write_evaluation(result, out)
    save_figures(validation_figures(result.blocks, trained.settings.block, "external"), out / "figures")
    typer.echo(_json(result) if as_json else _text(result, out))


def _text(result: EvaluationResult, out: Path) -> str:
    from radiomics_talent.cli.model_tables import counts_line, metrics_table
    from radiomics_talent.modelling.evaluation import evaluation_record

    lines = [counts_line(evaluation_record(result)), "", *metrics_table(result.blocks, result.model.settings.block)]
    lines += ["", *(f"note: {finding}" for finding in result.findings)] if result.findings else []
    lines += ["", f"results: {out} (predictions.csv, metrics.json, figures/); research use only"]
    return "\n".join(lines)


def _json(result: EvaluationResult) -> str:
    import json

    from radiomics_talent.modelling.evaluation import evaluation_record
    from radiomics_talent.modelling.record import plain_record

    return json.dumps(plain_record(evaluation_record(result)), indent=1, ensure_ascii=False)
