"""``radiomics-talent review``: a local page on which lesions are accepted or rejected before extraction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import socket

    from radiomics_talent.cohort.manifest import CohortTable


def review(
    cohort: Path = typer.Argument(help="The cohort table that index wrote.", metavar="COHORT.CSV"),
    config: str | None = typer.Option(
        None,
        help="Preset or settings file that lesions are judged by. [default: PyRadiomics' defaults]",
        metavar="NAME|PATH",
    ),
    reviewer: str = typer.Option("", help="Your name or initials, kept with each verdict."),
    port: int = typer.Option(0, min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one."),
    no_browser: bool = typer.Option(False, "--no-browser", help="Print the address only."),
    export: Path | None = typer.Option(
        None, help="Write the latest verdicts as a table, and serve no page.", metavar="CSV"
    ),
) -> None:
    """Page through the lesions in a browser and accept or reject each; `extract --reviewed` then takes the accepted.

    Verdicts are kept in COHORT.review.sqlite beside the table, each one at once. The page is served to this computer
    alone (127.0.0.1) until Ctrl-C or its Finish button. Exit code 0: ended as wished; 2: wrong usage, or the verdicts
    cannot be kept.

    Example: radiomics-talent review cohort.csv --config talent-ct --reviewer AB
    """
    from radiomics_talent.cohort.manifest import load_cohort

    table = load_cohort(cohort)
    if export is not None:
        _export(table, cohort, export)
        return
    from radiomics_talent.cohort.review import create_review, review_path
    from radiomics_talent.reporting.review_app import ReviewSession, serve_review
    from radiomics_talent.settings import ExtractionSettings

    settings = ExtractionSettings() if config is None else ExtractionSettings.from_yaml(config)
    verdicts = create_review(review_path(cohort)).path
    with _listener(port) as listener:
        session = ReviewSession(table, verdicts, settings, reviewer=reviewer.strip())
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/?token={session.token}"
        typer.echo(f"{len(table.lesions)} lesions to review, verdicts in {verdicts}; Ctrl-C ends\n{address}")
        if not no_browser:
            _open(address)
        try:
            serve_review(session, listener)
        except KeyboardInterrupt:
            typer.echo("")  # behind the ^C of the terminal
    counts = session.counts()
    changed = f", {counts['changed']} changed since" if counts["changed"] else ""
    typer.echo(f"{counts['accepted']} accepted, {counts['rejected']} rejected, {counts['open']} open{changed}")


def _export(table: CohortTable, cohort: Path, export: Path) -> None:
    from radiomics_talent.cohort.review import export_verdicts, load_review, review_path
    from radiomics_talent.errors import ConfigError

    verdicts = review_path(cohort)
    for taken in (cohort, verdicts):
        if export.exists() and taken.exists() and export.samefile(taken):
            raise ConfigError("would be overwritten; give --export another name", where=str(taken))
    rows = export_verdicts(table, load_review(verdicts), export)
    typer.echo(f"{rows} rows: {export}")


def _listener(port: int) -> socket.socket:
    import socket

    from radiomics_talent.errors import ConfigError

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        # From here on a browser that is quicker than the server waits instead of failing.
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} cannot be used: {error.strerror}; give another, or 0 for any", where="--port"
        ) from error
    return listener


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        typer.echo("no browser could be opened: open the address above yourself", err=True)
