"""`train`: from tables to a validated model on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import radiomics_talent
from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.features.folder_lock import locked_folder
from radiomics_talent.modelling.dataset import BATCH_PREFIX, StudyTable, build_study_table
from radiomics_talent.modelling.estimators import check_preprocessing
from radiomics_talent.modelling.final_fit import fit_final
from radiomics_talent.modelling.fold_store import FoldStore, study_hash
from radiomics_talent.modelling.lesions import lesion_volumes_ml
from radiomics_talent.modelling.model import ResponseModel, fingerprint_rows, save_model
from radiomics_talent.modelling.record import (
    block_record,
    counts,
    write_checksums,
    write_frame,
    write_json,
    write_left_out,
)
from radiomics_talent.modelling.scrutiny import same_features, scrutinise
from radiomics_talent.modelling.table_one import table_one
from radiomics_talent.modelling.trained_domain import describe_columns, describe_scans
from radiomics_talent.modelling.validation import (
    column_weights,
    describe,
    plan_validation,
    run_validation,
)
from radiomics_talent.modelling.validation_report import ValidationReport, report_validation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.features.table import FeatureTable
    from radiomics_talent.model_settings import ModelSettings
    from radiomics_talent.modelling.final_fit import FinalFit
    from radiomics_talent.modelling.outcome import Outcome
    from radiomics_talent.modelling.tables import ExtractionRecord
    from radiomics_talent.modelling.validation import FoldResult, Spread


_SEALED = (
    "metrics.json", "cv_predictions.csv", "selected_features.csv", "left_out.csv", "table1.csv",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """A trained model with the validation of the way it was made.

    Attributes
    ----------
    model : ResponseModel
        Fitted on all rows.
    report : ValidationReport
        Out-of-fold performance: what the model may be expected to do on new patients of the same kind.
    table : StudyTable
        The rows.
    findings : tuple of str
        What a reviewer would ask about.
    n_resumed : int
        Folds taken from an earlier, stopped training.
    """

    model: ResponseModel
    report: ValidationReport
    table: StudyTable
    findings: tuple[str, ...]
    n_resumed: int


def train(  # noqa: PLR0913
    features: FeatureTable,
    clinical: ClinicalTable,
    outcome: Outcome,
    settings: ModelSettings,
    out: str | Path,
    *,
    icc: Mapping[str, float] | None = None,
    extraction: ExtractionRecord | None = None,
    synthetic: bool = False,
    jobs: int = 1,
    spread: Spread | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingResult:
    """Validate a way of modelling by repeated nested cross-validation, then fit it on all rows and save the model.

    The same tables, settings and seed give the same numbers for any `jobs`. A training that was stopped goes on
    with the folds that it lacks.

    Parameters
    ----------
    features : FeatureTable
        One row a lesion.
    clinical : ClinicalTable
        One row a patient.
    outcome : Outcome
        What is predicted.
    settings : ModelSettings
        How.
    out : str or Path
        Folder of the model.
    icc : mapping of str to float, optional
        ICC by feature, for the stability and correlation filters.
    extraction : ExtractionRecord, optional
        Settings and versions of the extraction, to travel with the model.
    synthetic : bool
        The patients are invented; card and scores will say so.
    jobs : int
        Processes.
    spread : callable, optional
        As `radiomics_talent.modelling.validation.run_validation` has it.
    progress : callable, optional
        Takes the number of folds done and of all.

    Raises
    ------
    ConfigError
        The settings do not fit the tables, or `out` holds folds of another training, is in use by another process, or
        cannot be written.
    TableError
        The tables cannot be joined or hold unusable values.
    ModelError
        Nothing could be fitted.
    """
    check_preprocessing(settings.preprocess, icc)
    table = build_study_table(features, clinical, outcome, settings)
    tasks = plan_validation(table, settings)
    found = (*clinical.findings, *scrutinise(table, features, clinical, settings, icc))
    folder = Path(out)
    with locked_folder(folder, "train", ("folds", "figures")):
        store = FoldStore(folder / "folds", study_hash(table, settings, icc, radiomics_talent.__version__))
        done = store.load()
        results = {t.key: done[t.key] for t in tasks if t.key in done}
        resumed = len(results)

        def keep(result: FoldResult) -> None:
            store.keep(result)
            results[result.key] = result
            if progress is not None:
                progress(len(results), len(tasks))

        todo = [t for t in tasks if t.key not in results]
        run_validation(table, settings, todo, icc=icc, jobs=jobs, spread=spread, keep=keep)
        report = report_validation(table, settings, tasks, results)
        findings = tuple(dict.fromkeys((*found, *report.findings)))
        final = fit_final(table, settings, icc, report.blocks[report.block].scored)
        model = _response_model(table, settings, outcome, final, report)
        lesions = features.frame[features.frame["patient_id"].isin(table.patients)]
        model = replace(
            model,
            facts=model.facts | {"findings": list(findings), "synthetic": synthetic},
            extraction=None if extraction is None else dict(extraction.settings),
            extraction_versions={} if extraction is None else dict(extraction.versions),
            scans=describe_scans(lesions, lesion_volumes_ml(lesions, features.features)),
        )
        to_trust = save_model(model, folder, final.refits)
        if to_trust:
            findings += (
                f"to load this model, vouch for the types of its estimator: --trust {' --trust '.join(to_trust)}",
            )
        result = TrainingResult(model, report, table, findings, resumed)
        _write_training(result, folder)
        write_frame(folder / "table1.csv", table_one(table, clinical))
        write_checksums(folder, _SEALED)
        return result


def training_record(result: TrainingResult) -> dict[str, Any]:
    """Return every figure of a training as plain data."""
    r = result.report
    return {
        **counts(result.table),
        "block": r.block,
        "blocks": {b: block_record(x) for b, x in r.blocks.items()},
        "comparisons": {f"{r.block} - {b}": asdict(c) for b, c in r.comparisons.items()},
        "permuted": {
            "metric": r.headline,
            "runs": len(r.permuted),
            "mean": float(np.mean(r.permuted)) if len(r.permuted) else None,
            "low": float(np.quantile(r.permuted, 0.025)) if len(r.permuted) else None,
            "high": float(np.quantile(r.permuted, 0.975)) if len(r.permuted) else None,
            "p_value": r.p_value if len(r.permuted) else None,
        },
        "single_split": None if r.holdout is None else asdict(r.holdout),
        "learning_curve": [{"patients": n, "mean": m, "sd": s} for n, m, s in r.curve],
        "final_model": result.model.facts["final_model"],
        "findings": list(result.findings),
    }


def _response_model(
    table: StudyTable, settings: ModelSettings, outcome: Outcome, final: FinalFit, report: ValidationReport
) -> ResponseModel:
    chosen = final.fits[settings.block]
    batch = [c for c in table.frame.columns if str(c).startswith(BATCH_PREFIX)]
    columns = list(dict.fromkeys([*(c for names in table.blocks.values() for c in names), *batch]))
    facts = {
        **counts(table),
        "final_model": [describe(*c) for c in chosen.choice],
        "weights": {k: (None if np.isnan(v) else v) for k, v in column_weights(chosen).items()},
        "performance": {b: block_record(r)["metrics"] for b, r in report.blocks.items()},
    }
    return ResponseModel(
        settings=settings,
        outcome={"name": outcome.name, "event": outcome.event, "positive": list(outcome.positive)},
        columns={str(b): names for b, names in table.blocks.items()},
        pipelines=final.pipelines,
        thresholds=final.thresholds,
        domain=describe_columns(table.frame[columns]),
        extraction=None,
        facts=facts,
        fingerprints=frozenset(fingerprint_rows(table.frame[list(table.blocks["radiomics"])])),
        reference=final.reference,
        distance=final.distance,
    )


def _write_training(result: TrainingResult, folder: Path) -> None:
    write_frame(folder / "cv_predictions.csv", result.report.predictions)
    selected = result.report.selected.assign(
        final_weight=result.report.selected["feature"].map(result.model.facts["weights"])
    )
    write_frame(folder / "selected_features.csv", selected)
    write_left_out(folder / "left_out.csv", result.table)
    twins = same_features(result.table)
    if twins:
        write_sheet(folder / "same_features.csv", ("patients",), [(" ".join(p),) for p in twins])
    write_json(folder / "metrics.json", training_record(result))
