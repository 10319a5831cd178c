"""How a run ends on the screen: stopped, in a folder that cannot be written, with lesions that failed."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from radiomics_talent.extraction.outcome import Failure

MOST_SENTENCES = 20
"""So many are shown; all of them are in failures.csv."""


@contextmanager
def kept_in(out: Path) -> Iterator[None]:
    """Say after Ctrl-C where to go on; a folder that cannot be written any more, or a lost cluster, is wrong usage.

    Raises
    ------
    ConfigError
        The folder cannot be written any more, or the cluster cannot be used.
    typer.Exit
        With 130, after Ctrl-C.
    """
    from radiomics_talent.errors import ConfigError
    from radiomics_talent.extraction.store import RunFolderError
    from radiomics_talent.extraction.workers import ClusterError

    try:
        yield
    except KeyboardInterrupt:
        # The program is at its end: further ones would only change its exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        typer.echo(f"stopped; what is complete is kept in {out}: repeat the command to go on", err=True)
        raise typer.Exit(130) from None
    except (RunFolderError, ClusterError) as error:
        raise ConfigError(error.message, where=error.where) from error


def failure_lines(failures: Sequence[Failure], out: Path) -> list[str]:
    """Return a line for each of the first failures, and where the others are."""
    lines = [f"  row {f.row} ({f.key}), {f.stage}: {f.sentence}" for f in failures[:MOST_SENTENCES]]
    if len(failures) > MOST_SENTENCES:
        lines.append(f"  and {len(failures) - MOST_SENTENCES} more, see {out / 'failures.csv'}")
    return lines
