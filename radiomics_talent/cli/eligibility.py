"""``radiomics-talent eligibility``: which criteria of a study each patient of a clinical table meets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from radiomics_talent.cohort.eligibility import EligibilityReport, Judgement


def eligibility(
    clinical: Path = typer.Argument(help="Clinical table: a CSV with one row a patient."),
    study: str = typer.Option("talent", help="Preset or file of the study: data dictionary and criteria."),
    out: Path | None = typer.Option(None, help="CSV to write: a row a patient and criterion."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Say of every patient which criterion of the study is met, not met or unknown, and why.

    A missing value is unknown, never met. Ends with exit code 0 when the table could be read, whatever the verdicts.

    Example: radiomics-talent eligibility clinical.csv --study talent --out eligibility.csv
    """
    from radiomics_talent.cohort.clinical import load_clinical
    from radiomics_talent.cohort.eligibility import judge_eligibility, write_eligibility
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.study_settings import StudySettings

    settings = StudySettings.from_yaml(study)
    if out is not None and out.exists() and clinical.exists() and out.samefile(clinical):
        raise ConfigError("would overwrite the clinical table; give --out another name", where=str(out))
    table = load_clinical(clinical, settings)
    report = judge_eligibility(table, settings)
    if out is not None:
        write_eligibility(report, out)
    if as_json:
        _print_json(report, table.findings)
        return
    for finding in table.findings:
        typer.echo(f"note: {finding}")
    silent = _without_columns(report)
    for patient in report.patients:
        _print_patient(patient, report.of_patient(patient), silent)
    _print_summary(report)
    if out is not None:
        typer.echo(f"table: {out}")


def _without_columns(report: EligibilityReport) -> frozenset[str]:
    """Return the criteria that nobody can be judged by, because the table lacks their columns."""
    lacking = {j.criterion for j in report.judgements if j.absent}
    counts = report.counts()
    return frozenset(c for c in lacking if not counts[c]["met"] and not counts[c]["not met"])


def _print_patient(patient: str, judgements: tuple[Judgement, ...], silent: frozenset[str]) -> None:
    def of(verdict: str) -> list[Judgement]:
        return [j for j in judgements if j.verdict == verdict]

    typer.echo(f"{patient}: {len(of('met'))} met, {len(of('not met'))} not met, {len(of('unknown'))} unknown")
    for verdict in ("not met", "unknown", "met"):
        for j in of(verdict):
            if not (j.absent and j.criterion in silent):
                typer.echo(f"  {verdict}: {j.criterion}: {j.explanation}")
    absent = [j.criterion for j in of("unknown") if j.absent and j.criterion in silent]
    if absent:
        typer.echo(f"  unknown, because the table lacks their columns: {', '.join(absent)}")
    others = [j.criterion for j in of("not applicable")]
    if others:
        typer.echo(f"  not applicable, because they hold for another cohort: {', '.join(others)}")


def _print_summary(report: EligibilityReport) -> None:
    from radiomics_talent.cohort.eligibility import VERDICTS

    width = max(len(criterion.id) for criterion in report.study.criteria)
    typer.echo(f"{'criterion':{width}}  {'  '.join(VERDICTS)}")
    for criterion, counts in report.counts().items():
        typer.echo(f"{criterion:{width}}  {'  '.join(f'{counts[v]:{len(v)}}' for v in VERDICTS)}")
    absent = dict.fromkeys(name for j in report.judgements for name in j.absent)
    if absent:
        typer.echo(f"columns that the table lacks: {', '.join(absent)}")
    n = _patients(report)
    typer.echo(
        f"{len(report.patients)} patients: {n['met']} meet every criterion, {n['not met']} fail one or more, "
        f"{n['unknown']} fail none but one or more is unknown"
    )


def _patients(report: EligibilityReport) -> dict[str, int]:
    verdicts = list(report.overall().values())
    return {v: verdicts.count(v) for v in ("met", "not met", "unknown")}


def _print_json(report: EligibilityReport, findings: tuple[str, ...]) -> None:
    import json

    counts = report.counts()
    overall = report.overall()
    data = {
        "study": report.study.name,
        "registry": report.study.registry,
        "study_hash": report.study.hash,
        "findings": list(findings),
        "summary": {
            "patients": _patients(report),
            "criteria": [
                {"criterion": c.id, "sentence": c.sentence, "cohorts": c.cohorts, **counts[c.id]}
                for c in report.study.criteria
            ],
        },
        "patients": [
            {
                "patient_id": patient,
                "overall": overall[patient],
                "criteria": [
                    {"criterion": j.criterion, "verdict": j.verdict, "explanation": j.explanation}
                    for j in report.of_patient(patient)
                ],
            }
            for patient in report.patients
        ],
    }
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
