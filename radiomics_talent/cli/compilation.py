"""The native engine's first run on a machine, told on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from radiomics_talent.settings import ExtractionSettings


def compile_engine(settings: ExtractionSettings) -> None:
    """Compile the native engine where that has not been done, and say so; it takes about a minute, once a machine."""
    from radiomics_talent.features.engine import engine_of, is_installed

    if engine_of(settings) == "reference" or not is_installed("native"):
        return
    from radiomics_talent.features.warm_up import warm_up

    seconds = warm_up(
        lambda: typer.echo(
            "compiling the native engine (or waiting for a process that does): about a minute, once a machine ...",
            err=True,
        )
    )
    if seconds:
        typer.echo(f"ready after {seconds:.0f} s", err=True)
