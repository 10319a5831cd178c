"""``radiomics-talent recist``: from diameters per visit to responses by RECIST 1.1."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiomics_talent.cohort.measurements import MeasurementTable
    from radiomics_talent.cohort.recist import CohortRates, PatientResponse, ResponseRate
    from radiomics_talent.cohort.visit_response import ResponseRules

_MOST_SENTENCES = 20


class AfterCr(StrEnum):
    """What disease seen after a CR means."""

    progression = "progression"
    partial = "partial"


def recist(
    measurements: Path = typer.Argument(help="Table of diameters: one row a lesion and visit.", metavar="CSV"),
    *,
    out: Path = typer.Option(..., help="Table to write, one row a patient; the others are named after it."),
    patients: Path | None = typer.Option(
        None, help="Table of all treated patients: patient_id, cohort, last_contact_day, death_day."
    ),
    confirmed: bool = typer.Option(
        False, "--confirmed", help="Take objective response and clinical benefit from the confirmed best response."
    ),
    confirm_days: float = typer.Option(28, min=1, help="Least days from a CR or PR to the scan that confirms it."),
    max_ne_between: int = typer.Option(1, min=0, help="Most NE visits between a response and its confirmation."),
    min_sd_days: float = typer.Option(42, min=0, help="Least days since the start at which SD was seen; else NE."),
    benefit_days: float = typer.Option(168, min=0, help="Days that SD lasts to be a clinical benefit."),
    max_gap_days: float | None = typer.Option(
        None, min=1, help="Censor PFS when the event comes longer after the last adequate visit. [default: never]"
    ),
    after_cr: AfterCr = typer.Option(
        AfterCr.progression, help="What disease after a CR means: progression, or that the CR was a PR."
    ),
    too_small_mm: float = typer.Option(5, min=0.1, max=10, help="Diameter of a target too small to measure."),
    single_target_mm: float = typer.Option(
        15, min=10, help="Least diameter of an only, non-nodal target to be measurable: 15 in TALENT, 10 in RECIST."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Say by RECIST 1.1 how every patient and every target lesion responded.

    Writes beside OUT: its visits, lesions and lesion visits, the response rates with exact 95 % intervals (orr.csv),
    a waterfall and a spider plot. Ends with exit code 1 when a patient failed; the others are in the tables.

    Example: radiomics-talent recist measurements.csv --patients patients.csv --out response.csv
    """
    from radiomics_talent.cohort.measurements import load_measurements
    from radiomics_talent.cohort.recist import assess_patient, cohort_rates
    from radiomics_talent.cohort.response_tables import output_paths, write_response_tables
    from radiomics_talent.cohort.visit_response import ResponseRules
    from radiomics_talent.reporting.response_figures import write_response_figures

    rules = ResponseRules(
        confirm_days=confirm_days,
        max_ne_between=max_ne_between,
        confirmed=confirmed,
        min_sd_days=min_sd_days,
        benefit_days=benefit_days,
        max_gap_days=max_gap_days,
        after_cr=after_cr.value,
        too_small_mm=too_small_mm,
        single_target_mm=single_target_mm,
    )
    paths = output_paths(out)
    _refuse_overwriting(out, list(paths.values()), [measurements] if patients is None else [measurements, patients])
    table = load_measurements(measurements, patients, rules=rules)
    responses = [assess_patient(course, rules) for course in table.courses]
    rates = cohort_rates(responses)
    if responses:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        write_response_tables(responses, rates, out, rules)
        write_response_figures(responses, paths["waterfall"], paths["spider"])
    if as_json:
        _print_json(table, responses, rates, rules, list(paths.values()) if responses else [])
    else:
        _print_text(table, responses, rates, rules, out)
    if table.failures:
        raise typer.Exit(1)


def _refuse_overwriting(out: Path, outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    from radiomics_talent.errors import ConfigError

    if out.suffix.lower() != ".csv":
        raise ConfigError("--out must end with .csv", where=str(out))
    for path in outputs:
        if path.is_dir():
            raise ConfigError("is a folder, expected the name of a file to write", where=str(path))
        if path.exists() and any(i.exists() and path.samefile(i) for i in inputs):
            raise ConfigError("would overwrite an input; give --out another name or folder", where=str(path))


def _print_text(
    table: MeasurementTable,
    responses: Sequence[PatientResponse],
    rates: Sequence[CohortRates],
    rules: ResponseRules,
    out: Path,
) -> None:
    for sentences, level in ((table.findings, "warning"), ([f.sentence for f in table.failures], "error")):
        for sentence in sentences[:_MOST_SENTENCES]:
            typer.echo(f"{level}: {sentence}")
        if len(sentences) > _MOST_SENTENCES:
            typer.echo(f"{level}: and {len(sentences) - _MOST_SENTENCES} more (see --json)")
    failed = len({f.patient_id for f in table.failures})
    lost = f"; {failed} failed and are in no table or rate" if failed else ""
    typer.echo(f"{len(responses)} patients{lost}")
    if not responses:
        typer.echo("nothing was written")
        return
    unseen = sum(not r.visits for r in responses)
    if unseen:
        typer.echo(f"{unseen} without a visit after baseline: NE, and in every denominator")
    for rate in rates:
        counts = ", ".join(f"{n} {name}" for name, n in rate.counts.items() if n)
        typer.echo(f"{'all' if rate.cohort == 'all' else f'cohort {rate.cohort}'}: {counts}")
        which = "objective response, confirmed" if rules.confirmed else "objective response"
        typer.echo(f"  {which}: {rate.response}")
        if not rules.confirmed:
            typer.echo(f"  confirmed after {rules.confirm_days:g} days or more: {rate.confirmed}")
        typer.echo(f"  clinical benefit: {rate.benefit}")
    events = sum(r.pfs_event for r in responses)
    typer.echo(f"PFS: {events} progressed or died, {len(responses) - events} censored at the last adequate assessment")
    typer.echo("intervals: exact (Clopper-Pearson), 95 %")
    typer.echo(f"clinical benefit: {rules.benefit_rule}")
    typer.echo(f"tables and figures: {out} and beside it")


def _print_json(
    table: MeasurementTable,
    responses: Sequence[PatientResponse],
    rates: Sequence[CohortRates],
    rules: ResponseRules,
    files: Sequence[Path],
) -> None:
    import json
    from dataclasses import asdict

    def shown(rate: ResponseRate) -> dict[str, float]:
        return asdict(rate)

    data = {
        "patients": len(responses),
        "without_visit_after_baseline": sum(not r.visits for r in responses),
        "rules": {**asdict(rules), "clinical_benefit": rules.benefit_rule},
        "rates": [
            {
                "cohort": r.cohort,
                "best_overall_response": r.counts,
                "objective_response": shown(r.response),
                "objective_response_confirmed": shown(r.confirmed),
                "clinical_benefit": shown(r.benefit),
            }
            for r in rates
        ],
        "findings": list(table.findings),
        "failures": [{"patient_id": f.patient_id, "sentence": f.sentence} for f in table.failures],
        "files": [str(path) for path in files],
    }
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
