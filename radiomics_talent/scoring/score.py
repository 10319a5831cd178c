"""`score`: a cohort of new scans meets a trained model."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

import radiomics_talent
from radiomics_talent.cohort.spreadsheet import write_sheet
from radiomics_talent.errors import ModelError, TalentError
from radiomics_talent.extraction.provenance import seen_from, versions, without_home_folder
from radiomics_talent.extraction.run import run_extraction
from radiomics_talent.features.folder_lock import locked_folder
from radiomics_talent.modelling.model import installed_versions, load_model, load_refits
from radiomics_talent.modelling.new_patients import check_clinical, check_features
from radiomics_talent.modelling.record import plain_record
from radiomics_talent.scoring.patient import LesionOrigin, Scorer, refit_totals, score_patient
from radiomics_talent.scoring.score_report import (
    PatientScore,
    ScoredModel,
    ScoreReport,
    ScoringFailure,
    write_score_report,
)
from radiomics_talent.settings import ExtractionSettings, with_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import pandas as pd

    from radiomics_talent.cohort.clinical import ClinicalTable
    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.extraction.cohort_work import Progress
    from radiomics_talent.extraction.run import RunResult
    from radiomics_talent.modelling.model import ResponseModel
    from radiomics_talent.modelling.new_patients import NewRows

OUTPUTS = ("score.json", "scores.csv", "failures.csv", "report.html")
"""What a scoring leaves behind beside the run folder and ``dicom/``."""
EXTRACTION = "extraction"
"""Run folder of the features, below the folder of the scores."""


@dataclass(frozen=True, slots=True)
class ScoreArguments:
    """What does not change a number beyond its last digits.

    Attributes
    ----------
    engine : str, optional
        Feature engine in place of the one that the model's features came from.
    jobs : int
        Processors that the extraction uses.
    timeout_s : float, optional
        Longest time for a lesion.
    progress : callable, optional
        Told how far the extraction is.
    command : sequence of str
        For provenance.
    """

    engine: str | None = None
    jobs: int = 1
    timeout_s: float | None = None
    progress: Callable[[Progress], None] | None = None
    command: Sequence[str] = ()


def score(
    model: str | Path,
    cohort: CohortTable,
    out: str | Path,
    *,
    clinical: ClinicalTable | None = None,
    trust: Collection[str] = (),
    force: bool = False,
    arguments: ScoreArguments | None = None,
) -> ScoreReport:
    """Extract the lesions of new scans as the model's were extracted, and score their patients.

    Features go into ``out/extraction``, a run folder: the same call goes on where an earlier one stopped. Then
    ``score.json``, ``scores.csv`` and ``failures.csv`` are written.

    Parameters
    ----------
    model : str or Path
        Folder that `train` wrote.
    cohort : CohortTable
        The lesions.
    out : str or Path
        Folder of the scores.
    clinical : ClinicalTable, optional
        Needed by models with clinical columns.
    trust : collection of str
        Types of the model file that the caller vouches for.
    force : bool
        Score a mask whose patient or frame of reference is not the scan's, with a warning.
    arguments : ScoreArguments
        How to go about it.

    Raises
    ------
    ModelError
        The model is damaged or changed, or carries no extraction settings.
    ConfigError
        The clinical table or the folder cannot be used, or another process is scoring into the folder.
    """
    arguments = arguments or ScoreArguments()
    loaded = load_model(model, trust)
    refits = load_refits(loaded, model, trust)
    check_clinical(loaded, clinical)
    settings = with_engine(extraction_settings(loaded, force=force), arguments.engine)
    folder = Path(out)
    with locked_folder(folder, "score"):
        run = run_extraction(
            cohort,
            settings,
            folder / EXTRACTION,
            jobs=arguments.jobs,
            timeout_s=arguments.timeout_s,
            progress=arguments.progress,
            command=arguments.command,
        )
        _remove_outputs(folder)
        origins = _origins(folder)
        scorer = Scorer(loaded, refits, clinical)
        patients, failures = _score_all(scorer, run, origins)
        report = ScoreReport(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            program=f"radiomics-talent {radiomics_talent.__version__}",
            model=_scored_model(loaded, Path(model), settings),
            versions=versions(settings) | installed_versions(),
            differences=tuple(_differences(loaded, settings, force=force)),
            patients=patients,
            failures=failures,
        )
        write_score_report(report, folder / "score.json")
        write_score_tables(report, folder)
        return report


def _remove_outputs(folder: Path) -> None:
    """Remove what an earlier scoring left: none of it may stand beside scores that it is not of."""
    for pattern in (*OUTPUTS, "dicom/*.SR*.dcm", "dicom/*.SEG.*.dcm"):
        for path in folder.glob(pattern):
            path.unlink()


def extraction_settings(model: ResponseModel, *, force: bool = False) -> ExtractionSettings:
    """Return the settings that the model's features were extracted with.

    Raises
    ------
    ModelError
        The model does not carry them.
    """
    if model.extraction is None:
        raise ModelError(
            "the model does not carry the settings of its extraction (its features came from a table without "
            "provenance.json), so scans cannot be scored with it; train it on a run folder of extract"
        )
    try:
        settings = ExtractionSettings.model_validate(model.extraction)
    except ValueError as error:
        raise ModelError(
            "the extraction settings in the model cannot be read by this version; install the version that trained it "
            f"(radiomics-talent {model.facts.get('program', 'unknown')})"
        ) from error
    if not force:
        return settings
    return settings.model_copy(update={"mask": settings.mask.model_copy(update={"require_same_patient": False})})


def write_score_tables(report: ScoreReport, folder: Path) -> None:
    """Write ``scores.csv`` (one row a patient) and ``failures.csv``."""
    header = (
        "patient_id", "score", "low", "high", "threshold", "predicted", "class", "risk_group", "percentile", "domain",
        "domain_reasons", "lesions", "notice",
    )  # fmt: skip
    rows = [
        (
            p.patient_id, repr(p.score), *_limits(p), repr(p.threshold), p.predicted, p.predicted_label, p.risk_group,
            "" if p.percentile is None else f"{p.percentile:.1f}", p.domain.level,
            "; ".join(r.sentence for r in p.domain.reasons), str(len(p.lesions)), "research use only",
        )
        for p in report.patients
    ]  # fmt: skip
    write_sheet(folder / "scores.csv", header, rows)
    failures = [(f.patient_id, f.lesion_id, f.stage, f.sentence) for f in report.failures]
    write_sheet(folder / "failures.csv", ("patient_id", "lesion_id", "stage", "sentence"), failures)


def _limits(patient: PatientScore) -> tuple[str, str]:
    interval = patient.interval
    return ("", "") if interval is None else (repr(interval.low), repr(interval.high))


def _score_all(
    scorer: Scorer, run: RunResult, origins: Mapping[str, Mapping[str, LesionOrigin]]
) -> tuple[tuple[PatientScore, ...], tuple[ScoringFailure, ...]]:
    failures = [
        ScoringFailure(
            patient_id=f.patient_id, lesion_id=f.lesion_id, stage=f.stage, sentence=without_home_folder(f.sentence)
        )
        for f in run.failures
    ]
    if len(run.table):
        check_features(scorer.model, run.table)
    lost = Counter(f.patient_id for f in run.failures)
    prepared: dict[str, tuple[pd.DataFrame, NewRows]] = {}
    patients: list[PatientScore] = []

    def failed(patient_id: str, error: TalentError) -> None:
        failures.append(ScoringFailure(patient_id=patient_id, lesion_id="", stage="score", sentence=str(error)))

    with threadpool_limits(1):
        for key, lesions in run.table.frame.groupby("patient_id", sort=False):
            try:
                prepared[str(key)] = lesions, scorer.rows(lesions, run.table.features)
            except TalentError as error:
                failed(str(key), error)
        refits = refit_totals(scorer, {patient: rows for patient, (_, rows) in prepared.items()})
        for patient_id, (lesions, rows) in prepared.items():
            try:
                scored = score_patient(scorer, lesions, rows, refits[patient_id], origins[patient_id])
            except TalentError as error:
                failed(patient_id, error)
                continue
            if lost[patient_id]:
                note = (
                    f"{lost[patient_id]} of {lost[patient_id] + len(lesions)} lesions have no features (see failures) "
                    "and are not in this score"
                )
                scored = scored.model_copy(update={"warnings": (note, *scored.warnings)})
            patients.append(scored)
    return tuple(patients), tuple(failures)


def _origins(folder: Path) -> dict[str, dict[str, LesionOrigin]]:
    """Return hashes, paths and findings by patient and lesion, from the record that the extraction has just written."""
    run = folder / EXTRACTION
    record: dict[str, Any] = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    origins: dict[str, dict[str, LesionOrigin]] = {}
    for x in record["lesions"]:
        if "image_sha256" not in x:
            continue
        origins.setdefault(x["patient_id"], {})[x["lesion_id"]] = LesionOrigin(
            image=seen_from((run / x["image"]).resolve(), folder.resolve()),
            mask=seen_from((run / x["mask"]).resolve(), folder.resolve()),
            image_sha256=x["image_sha256"],
            mask_sha256=x["mask_sha256"],
            findings=tuple(f["sentence"] for f in x["findings"] if f["level"] != "info"),
        )
    return origins


def _scored_model(model: ResponseModel, path: Path, settings: ExtractionSettings) -> ScoredModel:
    facts, block = model.facts, model.settings.block
    return ScoredModel(
        path=path.resolve().name,
        outcome=model.outcome["name"],
        positive=tuple(model.outcome["positive"]),
        task=model.settings.task,
        level=model.settings.level,
        block=block,
        description=tuple(facts["final_model"]),
        record_sha256=model.record_sha256,
        settings_sha256=model.settings_sha256,
        extraction_sha256=settings.hash,
        # Maps are not scored, and JSON has no NaN for their initValue.
        extraction={name: part for name, part in settings.canonical().items() if name != "voxelSetting"},
        patients=facts["patients"],
        events=facts["events"],
        performance=plain_record(facts["performance"][block]),
        score_quantiles=model.reference.scores if model.reference is not None else (),
        score_quantiles_by_class=model.reference.scores_by_class if model.reference is not None else (),
        synthetic=bool(facts.get("synthetic", False)),
        findings=tuple(facts["findings"]),
    )


def _differences(model: ResponseModel, settings: ExtractionSettings, *, force: bool) -> list[str]:
    """Say which versions are not those of the training, and what else is not as it was there."""
    found = []
    now = versions(settings)
    if not model.extraction_versions:
        found.append("the versions that extracted the training's features are not known")
    for name, version in now.items():
        then = model.extraction_versions.get(name)
        if then is not None and then != version:
            found.append(f"features: {name} {then} in training, {version} now")
    libraries = installed_versions()
    found += [
        f"model: {name} {then} in training, {libraries.get(name, 'absent')} now"
        for name, then in model.versions.items()
        if then != libraries.get(name)
    ]
    if model.reference is None:
        found.append(
            "the model was saved by an older version: no interval, no distance from the training, contributions are "
            "counted from 0; train it again to have them"
        )
    if force:
        found.append("forced: masks were not required to be of the scan's patient and frame of reference")
    return found
