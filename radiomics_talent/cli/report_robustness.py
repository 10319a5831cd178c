"""``radiomics-talent report robustness``: the page of a folder of robustness, written again."""

from __future__ import annotations

from pathlib import Path

import typer


def report_robustness(
    run: Path = typer.Argument(help="Folder that robustness perturb, compare or controls wrote.", metavar="RUN"),
    out: Path | None = typer.Option(None, "--out", help="Page to write; by default RUN/report.html.", metavar="PAGE"),
) -> None:
    """Write one self-contained HTML page: which features are stable, how two readings agree, or what controls tell.

    Example: radiomics-talent report robustness stability --out stability.html
    """
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.reporting.robustness_page import write_robustness_page

    page = run / "report.html" if out is None else out
    if page.is_dir():
        raise ConfigError("is a folder; name the page to write, as report.html", where=str(page))
    write_robustness_page(run, page)
    typer.echo(str(page))
