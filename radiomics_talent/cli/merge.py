"""``radiomics-talent merge``: runs over chunks of a cohort become one."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from radiomics_talent.cli.extract import result_as_json, result_as_text
from radiomics_talent.cli.run_end import kept_in


def merge(
    runs: list[Path] = typer.Argument(help="Run folders of `extract --chunk`, all of them.", metavar="RUN..."),
    out: Path = typer.Option(..., "--out", help="Run folder of the whole cohort: new, or of an earlier merge."),
    cohort: Path | None = typer.Option(
        None, "--cohort", help="The cohort table, where the runs no longer know its place.", metavar="COHORT.CSV"
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Merge runs over chunks of a cohort into the run that one extract over all of it would have made, to the byte.

    Nothing is computed: results are checked and linked. Every row of the cohort must be in one of the runs, all made
    with the same settings and versions. Exit code 0: every lesion has features; 1: some failed, as in the runs; 2: a
    run is missing, not finished or of other settings.

    Example: radiomics-talent merge chunks/1 chunks/2 chunks/3 --out run
    """
    from radiomics_talent.extraction.merge import merge_runs

    with kept_in(out):
        result = merge_runs(runs, out, cohort=cohort, command=sys.argv[1:])
    typer.echo(result_as_json(result) if as_json else result_as_text(result))
    if result.n_failed:
        raise typer.Exit(1)
