"""``radiomics-talent robustness``: which features, and which models, can be trusted."""

from __future__ import annotations

import typer

from radiomics_talent.cli.robustness_compare import robustness_compare
from radiomics_talent.cli.robustness_controls import robustness_controls
from radiomics_talent.cli.robustness_perturb import robustness_perturb

robustness = typer.Typer(
    no_args_is_help=True,
    help="Which features can be trusted: perturbed versions of each lesion, two readings or scans, negative controls.",
)
"""The command."""
robustness.command("perturb")(robustness_perturb)
robustness.command("compare")(robustness_compare)
robustness.command("controls")(robustness_controls)
