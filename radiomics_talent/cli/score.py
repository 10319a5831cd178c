"""``radiomics-talent score``: new scans meet a trained model."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from radiomics_talent.cli.jobs import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiomics_talent.cohort.manifest import CohortTable
    from radiomics_talent.scoring.score_report import PatientScore, ScoreReport
    from radiomics_talent.scoring.scored_cases import ScoredCase

_MOST = 20
_CONTRIBUTIONS = 5
_PATIENT = "patient"
_DOMAIN = {
    "inside": "inside (like the training)",
    "borderline": "BORDERLINE (at the edge of the training)",
    "outside": "OUTSIDE (unlike the training: do not rely on it)",
}


def score(
    model: Path = typer.Argument(help="Folder that train wrote (models/demo is one).", metavar="MODEL"),
    image: Path | None = typer.Option(
        None, "--image", help="One patient: CT folder, or a DICOM, NIfTI or NRRD file.", metavar="DIR_OR_FILE"
    ),
    mask: list[Path] = typer.Option(
        [], "--mask", help="RTSTRUCT, SEG, NIfTI or NRRD file; may be repeated, one a lesion.", metavar="FILE"
    ),
    label: list[str] = typer.Option(
        [],
        "--label",
        help="ROI name, segment number or voxel value of a lesion; may be repeated.",
        metavar="LABEL",
    ),
    cohort: Path | None = typer.Option(
        None, "--cohort", help="Many patients: the cohort table that index wrote.", metavar="COHORT.CSV"
    ),
    out: Path = typer.Option(
        ..., "--out", help="Folder of the scores: new, or of a scoring to go on with.", metavar="DIR"
    ),
    patient: str = typer.Option(
        _PATIENT, "--patient", help="With --image: name of the patient in the outputs.", metavar="NAME"
    ),
    series: str = typer.Option(
        "", "--series", help="With --image: SeriesInstanceUID, where the folder holds several.", metavar="UID"
    ),
    phase: str = typer.Option(
        "",
        "--phase",
        help="With --image: contrast phase, where the headers do not say it: native, arterial, portal-venous, venous, "
        "delayed or contrast.",
        metavar="PHASE",
    ),
    clinical: Path | None = typer.Option(
        None, "--clinical", help="Clinical table, for models with clinical columns.", metavar="CLINICAL.CSV"
    ),
    study: str = typer.Option(
        "", "--study", help="Data dictionary of the clinical table: a preset (talent) or a file.", metavar="NAME|PATH"
    ),
    dicom_sr: bool = typer.Option(
        False,
        "--dicom-sr",
        help="Write a DICOM SR (TID 1500) of each patient; it carries the patient's name as the CT does.",
    ),
    html: bool = typer.Option(True, "--html/--no-html", help="Write the HTML report."),
    force: bool = typer.Option(
        False, "--force", help="Score a mask whose PatientID or frame of reference is not the scan's."
    ),
    trust: list[str] = typer.Option(
        [], "--trust", help="Full name of a type in the model file whose code you know.", metavar="TYPE"
    ),
    engine: str | None = typer.Option(
        None, "--engine", help="native or reference (PyRadiomics), in place of the model's engine.", metavar="NAME"
    ),
    jobs: int = typer.Option(0, "--jobs", "-j", min=0, help="Processors to use; 0 takes every one."),
    timeout: float = typer.Option(
        3600.0, "--timeout", min=0.0, help="Longest time for a lesion in seconds; 0 sets no limit."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print score.json."),
) -> None:
    """Score new scans: features extracted as the model's were, probability, class, and how far to believe them.

    Writes into DIR: score.json, scores.csv, failures.csv, report.html, the run folder extraction/ and, with --dicom-sr,
    dicom/. A case unlike the training is scored and marked outside. The same command goes on where it stopped. Exit
    code 0: every patient and lesion; 1: some failed. Research use only.

    Example: radiomics-talent score models/demo --image CT/ --mask lesions.dcm --label GTV-1 --out score
    """
    from radiomics_talent.presets import NO_MODEL, find_model_folder

    if not (find_model_folder(model) / "model.yaml").is_file():  # before seconds of imports
        from radiomics_talent.errors import ConfigError

        raise ConfigError(NO_MODEL, where=str(model))
    from radiomics_talent.cli.progress import progress
    from radiomics_talent.cohort.clinical import load_clinical
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.extraction.store import RunFolderError
    from radiomics_talent.scoring.score import ScoreArguments
    from radiomics_talent.scoring.score import score as run_scoring
    from radiomics_talent.study_settings import StudySettings

    table = _cohort(cohort, image, mask, label, (patient, series, phase))
    try:
        with progress("extracting", "lesions") as bar:
            report = run_scoring(
                model,
                table,
                out,
                clinical=None
                if clinical is None
                else load_clinical(clinical, StudySettings.from_yaml(study) if study else None),
                trust=trust,
                force=force,
                arguments=ScoreArguments(
                    engine=engine,
                    jobs=jobs or usable_cpus(),
                    timeout_s=timeout or None,
                    progress=lambda p: bar(p.done, p.total),
                    command=sys.argv[1:],
                ),
            )
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        typer.echo(f"stopped; what is complete is kept in {out}: repeat the command to go on", err=True)
        raise typer.Exit(130) from None
    except RunFolderError as error:
        raise ConfigError(error.message, where=error.where) from error
    notes, failed = _write_documents(report, out, html=html, dicom_sr=dicom_sr)
    typer.echo(report.model_dump_json(indent=1) if as_json else _text(report, out, [*notes, *failed]))
    if as_json:
        for sentence in failed:
            typer.echo(sentence, err=True)
    if report.failures or failed:
        raise typer.Exit(1)


def _cohort(
    cohort: Path | None, image: Path | None, masks: list[Path], labels: list[str], facts: tuple[str, str, str]
) -> CohortTable:
    from radiomics_talent.cohort.manifest import load_cohort
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.scoring.new_scan import cohort_of_scan

    if (cohort is None) == (image is None):
        raise ConfigError("give either --image with --mask (one patient), or --cohort (a table of many)")
    if cohort is not None:
        if masks or labels or facts != (_PATIENT, "", ""):
            raise ConfigError(
                "--mask, --label, --patient, --series and --phase go with --image; a cohort table has columns for them"
            )
        return load_cohort(cohort)
    assert image is not None
    patient, series, phase = facts
    return cohort_of_scan(image, masks, labels, patient_id=patient, series_uid=series, contrast_phase=phase)


def _write_documents(report: ScoreReport, out: Path, *, html: bool, dicom_sr: bool) -> tuple[list[str], list[str]]:
    """Write page and DICOM objects, each scan opened once; return what was written and what was not."""
    from radiomics_talent.reporting.score_page import write_score_page
    from radiomics_talent.scoring.scored_cases import scored_cases

    files: list[Path] = []
    failed: list[str] = []

    def cases() -> Iterator[ScoredCase]:
        for patient in report.patients:
            mine = list(scored_cases(report, out, [patient.patient_id]))
            if dicom_sr:
                written, sentence = _write_sr(report, patient, mine, out / "dicom")
                files.extend(written)
                failed.extend(sentence)
            yield from mine

    opened = cases()
    notes = []
    if html and report.patients:
        notes.append(f"page: {write_score_page(report, opened, out / 'report.html')}")
    if dicom_sr:
        for _ in opened:  # those that the page does not show
            pass
    if files:
        notes.append(
            f"DICOM SR and SEG: {len(files)} files in {out / 'dicom'}; they identify the patients as the CT does"
        )
    return notes, failed


def _write_sr(
    report: ScoreReport, patient: PatientScore, cases: list[ScoredCase], folder: Path
) -> tuple[tuple[Path, ...], list[str]]:
    from radiomics_talent.errors import InputError
    from radiomics_talent.reporting.dicom_sr import SrLesion, write_patient_sr

    lesions = [
        SrLesion(
            lesion=x.lesion,
            image_path=x.case.lesion.image,
            series_uid=x.lesion.series_uid,
            mask_path=x.case.lesion.mask,
            label=x.lesion.label,
            mask=x.case.mask,
            roi_name=x.lesion.roi_name,
        )
        for x in cases
        if x.case is not None
    ]
    try:
        return write_patient_sr(report, patient, lesions, folder), []
    except InputError as error:
        return (), [f"no DICOM SR of {patient.patient_id}: {error}"]


def _text(report: ScoreReport, out: Path, notes: list[str]) -> str:
    lines = []
    for number, patient in enumerate(report.patients):
        if number == _MOST:
            lines.append(f"and {len(report.patients) - _MOST} more patients, see {out / 'scores.csv'}")
            break
        lines += _patient_lines(report, patient, detail=len(report.patients) == 1)
    lines += [f"failed: {_who(f.patient_id, f.lesion_id)} ({f.stage}): {f.sentence}" for f in report.failures[:_MOST]]
    if len(report.failures) > _MOST:
        lines.append(f"and {len(report.failures) - _MOST} more failures, see {out / 'failures.csv'}")
    lines += [f"note: {sentence}" for sentence in report.differences]
    if report.model.synthetic:
        lines.append("note: this model was trained on invented patients: its scores mean nothing for real ones")
    lines += [*notes, f"scores: {out / 'score.json'} (scores.csv)", report.notice]
    return "\n".join(lines)


def _who(patient_id: str, lesion_id: str) -> str:
    return f"{patient_id}/{lesion_id}" if lesion_id else patient_id


def _patient_lines(report: ScoreReport, patient: PatientScore, *, detail: bool) -> list[str]:
    what = "probability" if report.model.task == "response" else "risk"
    limits = patient.interval
    interval = f" (95 % {limits.low:.3f} to {limits.high:.3f})" if limits is not None else ""
    said = f"{what} {patient.score:.3f}{interval}; class {patient.predicted_label} (cut-off {patient.threshold:.3f})"
    lines = [f"{patient.patient_id}: {said}; {patient.risk_group}; domain: {_DOMAIN[patient.domain.level]}"]
    lines += [f"  no event by {s.days:g} days: {s.probability:.3f}" for s in patient.survival]
    lines += [f"  {reason.level}: {reason.sentence}" for reason in patient.domain.reasons]
    lines += [f"  note: {sentence}" for sentence in patient.warnings]
    if not detail:
        return lines
    lines.append(f"  contributions ({patient.contribution_scale}, from {patient.baseline:+.3f}):")
    for c in patient.contributions[:_CONTRIBUTIONS]:
        seen = c.level or ("missing" if c.value is None else f"{c.value:.4g}")
        place = "" if c.percentile is None else f", {c.percentile:.0f}th percentile of the training"
        lines.append(f"    {c.contribution:+.3f}  {c.feature} = {seen}{place}")
    if len(patient.contributions) > _CONTRIBUTIONS:
        lines.append(f"    and {len(patient.contributions) - _CONTRIBUTIONS} more in score.json")
    for x in patient.lesions:
        volume = "" if x.volume_ml is None else f", {x.volume_ml:.1f} ml"
        change = "" if x.contribution is None else f", adds {x.contribution:+.3f}"
        alone = "" if x.alone is None or len(patient.lesions) == 1 else f", alone {x.alone:.3f}"
        lines.append(f"  lesion {x.lesion_id}{volume}{alone}{change}; {x.domain.level}")
    return lines
