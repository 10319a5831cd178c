"""``radiomics-talent report``: pages about an extraction, a model, scores, or robustness."""

from __future__ import annotations

import typer

from radiomics_talent.cli.report_extract import report_extract
from radiomics_talent.cli.report_model import report_model
from radiomics_talent.cli.report_robustness import report_robustness
from radiomics_talent.cli.report_score import report_score

report = typer.Typer(
    no_args_is_help=True, help="Self-contained HTML pages about an extraction, a model, scores, or robustness."
)
"""The command."""
report.command("extract")(report_extract)
report.command("model")(report_model)
report.command("score")(report_score)
report.command("robustness")(report_robustness)
