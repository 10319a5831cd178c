"""``radiomics-talent check``: opens every row of a cohort and says what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from radiomics_talent.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiomics_talent.cohort.inspection import RowReport
    from radiomics_talent.findings import Finding
    from radiomics_talent.reporting.qc import QcEntry

_STYLES = {"ok": "green", "info": "dim", "warning": "yellow", "error": "bold red"}


def check(
    cohort: Path = typer.Argument(help="Table of lesions, as index writes it."),
    config: str | None = typer.Option(
        None, help="Preset or settings file that the rows are judged by. [default: PyRadiomics' defaults]"
    ),
    html: Path | None = typer.Option(None, help="Page to write: every lesion in three slices with its contour."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Open every row and say ok, warning or error, with a code and one sentence for everything found.

    What check accepts, extract will load. Ends with exit code 1 when a row is an error.

    Example: radiomics-talent check cohort.csv --config talent-ct --html qc.html
    """
    from radiomics_talent.cohort.inspection import inspect_cohort
    from radiomics_talent.cohort.manifest import load_cohort
    from radiomics_talent.settings import ExtractionSettings

    table = load_cohort(cohort)
    settings = ExtractionSettings() if config is None else ExtractionSettings.from_yaml(config)
    reports: list[RowReport] = []
    with progress("checking", "lesions") as update:
        stream = _kept(inspect_cohort(table, settings, progress=update), reports)
        if html is None:
            for _ in stream:
                pass
        else:
            from radiomics_talent.reporting.qc import write_qc_html

            write_qc_html((_entry(r) for r in stream), html, title=f"Lesions of {cohort.name}")
            for _ in stream:  # whatever the page left out
                pass
    reports.sort(key=lambda r: r.lesion.row)
    if as_json:
        _print_json(reports, table.findings)
    else:
        _print_table(reports, table.findings)
        if html is not None:
            typer.echo(f"pictures: {html}")
    if any(r.verdict == "error" for r in reports):
        raise typer.Exit(1)


def _kept(stream: Iterator[RowReport], reports: list[RowReport]) -> Iterator[RowReport]:
    for report in stream:
        reports.append(report.without_voxels())
        yield report


def _entry(report: RowReport) -> QcEntry:
    from radiomics_talent.reporting.qc import QcEntry

    return QcEntry(
        lesion_key=report.lesion.key,
        level=report.verdict,
        findings=report.findings,
        image=report.image,
        mask=report.mask,
    )


def _summary(reports: list[RowReport]) -> dict[str, int]:
    return {v: sum(r.verdict == v for r in reports) for v in ("ok", "warning", "error")}


def _print_json(reports: list[RowReport], table_findings: tuple[Finding, ...]) -> None:
    import json

    rows = [
        {
            "row": r.lesion.row,
            "patient_id": r.lesion.patient_id,
            "lesion_id": r.lesion.lesion_id,
            "verdict": r.verdict,
            "findings": [_plain(f) for f in r.findings],
        }
        for r in reports
    ]
    data = {"summary": _summary(reports), "table": [_plain(f) for f in table_findings], "rows": rows}
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _plain(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "level": finding.level, "sentence": finding.sentence, "where": finding.where}


def _print_table(reports: list[RowReport], table_findings: tuple[Finding, ...]) -> None:
    import sys

    for finding in table_findings:
        typer.echo(f"{finding.level}: {finding.code}: {finding}")
    if sys.stdout.isatty():
        _print_rich(reports)
    else:
        for r in reports:
            typer.echo(f"row {r.lesion.row} {r.lesion.key}: {r.verdict}")
            for finding in r.findings:
                typer.echo(f"  {finding.level}: {finding.code}: {finding}")
    counts = _summary(reports)
    typer.echo(f"{len(reports)} lesions: {counts['ok']} ok, {counts['warning']} warning, {counts['error']} error")


def _print_rich(reports: list[RowReport]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    view = Table("row", "lesion", "verdict", "findings", show_lines=True)
    for r in reports:
        text = Text()
        for finding in r.findings:
            text.append(f"{finding.code}", style=_STYLES[finding.level])
            text.append(f": {finding.sentence}\n")  # the row names the file
        text.rstrip()
        view.add_row(str(r.lesion.row), Text(r.lesion.key), Text(r.verdict, style=_STYLES[r.verdict]), text)
    Console().print(view)
