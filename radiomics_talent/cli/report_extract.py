"""``radiomics-talent report extract``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from radiomics_talent.cli.progress import progress


class Batch(StrEnum):
    """Columns that may name the batch."""

    kernel = "kernel"
    manufacturer = "manufacturer"
    site = "site"
    contrast_phase = "contrast_phase"
    slice_thickness_mm = "slice_thickness_mm"


def report_extract(
    run: Path = typer.Argument(help="Folder that extract wrote."),
    cohort: Path | None = typer.Option(
        None, help="Table of lesions, for the pictures. [default: the one that the run was made from]"
    ),
    out: Path | None = typer.Option(None, help="Page to write. [default: report.html in the run folder]"),
    batch: Batch | None = typer.Option(
        None, help="Column that ComBat and the figures take as batch. [default: the first that divides the lesions]"
    ),
    viewers: int = typer.Option(60, min=0, help="Most lesions with an interactive viewer; others get still pictures."),
) -> None:
    """Write one self-contained HTML page about an extraction: cohort, quality of every lesion, batches, failures.

    Example: radiomics-talent report extract run --batch kernel --out extraction.html
    """
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.reporting.extraction_report import read_run, write_extraction_html

    page = run / "report.html" if out is None else out
    if page.is_dir():
        raise ConfigError("is a folder; name the page to write, as report.html", where=str(page))
    found = read_run(run, cohort)
    with progress("drawing", "lesions") as update:
        write_extraction_html(
            found,
            page,
            title=f"Extraction {run.resolve().name}",
            batch=None if batch is None else batch.value,
            viewers=viewers,
            progress=update,
        )
    typer.echo(str(page))
