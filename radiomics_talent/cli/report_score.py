"""``radiomics-talent report score``: the page of a scoring, written again from score.json."""

from __future__ import annotations

from pathlib import Path

import typer


def report_score(
    folder: Path = typer.Argument(help="Folder that score wrote.", metavar="DIR"),
    out: Path | None = typer.Option(None, "--out", help="The page; by default DIR/report.html.", metavar="PAGE.HTML"),
    patient: list[str] = typer.Option([], "--patient", help="Only this patient; may be repeated.", metavar="NAME"),
) -> None:
    """Write the page of a scoring: scores, domain, contributions, and every lesion in a viewer.

    Example: radiomics-talent report score score --out page.html
    """
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.reporting.score_page import write_score_page
    from radiomics_talent.scoring.score_report import read_score_report
    from radiomics_talent.scoring.scored_cases import scored_cases

    if out is not None and out.is_dir():
        raise ConfigError("is a folder; name the page to write, as score.html", where=str(out))
    report = read_score_report(folder)
    if patient:
        known = {p.patient_id for p in report.patients}
        absent = [name for name in patient if name not in known]
        if absent:
            raise ConfigError(f"no patient {absent[0]} in {folder}; it has {', '.join(sorted(known)[:8])}")
        chosen = tuple(p for p in report.patients if p.patient_id in patient)
        report = report.model_copy(update={"patients": chosen, "failures": ()})
    if not report.patients:
        raise ConfigError("no patient was scored, so there is nothing to show; see failures.csv", where=str(folder))
    page = write_score_page(report, scored_cases(report, folder), out or folder / "report.html")
    typer.echo(f"page: {page}")
