"""``radiomics-talent report model``: a page about a trained model, its methods section and its checklists."""

from __future__ import annotations

from pathlib import Path

import typer


def report_model(
    model: Path = typer.Argument(help="Folder that train wrote.", metavar="MODEL"),
    run: Path | None = typer.Option(
        None, "--run", help="Run folder of the extraction: it tells of scans and versions.", metavar="RUN"
    ),
    out: Path | None = typer.Option(
        None, "--out", help="Page to write; by default report.html in MODEL.", metavar="PAGE.html"
    ),
    trust: list[str] = typer.Option(
        [],
        "--trust",
        help="Full name of a type in the model file whose code you know; may be repeated.",
        metavar="TYPE",
    ),
) -> None:
    """Write one self-contained HTML page about a model, with its methods section and filled checklists.

    The page holds the summary, the cohort flow, table 1, the comparison of models, every figure of training, the
    selected features, findings, settings and versions. Beside it are written methods.md, references.bib and
    checklists.csv (CLEAR, METRICS, TRIPOD+AI, IBSI reporting). No patient is named. The model file is audited first.

    Example: radiomics-talent report model model --run run --out model/report.html
    """  # fmt: skip
    from radiomics_talent.reporting.model_report import write_model_report
    from radiomics_talent.reporting.study_facts import read_study

    files = write_model_report(read_study(model, run, trust), out or model / "report.html")
    typer.echo(f"page: {files.page}")
    typer.echo(f"methods: {files.methods}, {files.references}")
    typer.echo(f"checklists: {files.checklists}")
    typer.echo("research use only")
