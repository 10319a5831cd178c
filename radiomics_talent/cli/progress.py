"""Progress on stderr: a bar on a terminal, a line every few seconds anywhere else."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINE_EVERY_S = 5.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def progress(task: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far a task is.

    Parameters
    ----------
    task : str
        What is being done, such as ``indexing``.
    unit : str
        What is counted, such as ``files``.

    Yields
    ------
    callable
        Takes the number done and the number in all; may be called as often as one likes.
    """
    if sys.stderr.isatty():
        with _bar(task, unit) as update:
            yield update
    else:
        yield _Lines(task, unit)


@contextmanager
def stages() -> Iterator[Callable[[str, str], Callable[[int, int], None]]]:
    """Show one task after another: two bars on one screen would overwrite each other.

    Yields
    ------
    callable
        Takes a task and a unit, as `progress` does, and returns what takes the numbers; the first of them ends what was
        shown before.
    """
    with ExitStack() as shown:
        current: dict[str, Callable[[int, int], None]] = {}

        def stage(task: str, unit: str) -> Callable[[int, int], None]:
            def update(done: int, total: int) -> None:
                if task not in current:
                    shown.close()
                    current.clear()
                    current[task] = shown.enter_context(progress(task, unit))
                current[task](done, total)

            return update

        yield stage


@contextmanager
def _bar(task: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + "{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(task, total=None, rate="")

        def update(done: int, total: int) -> None:
            rate = f", {done / max(time.monotonic() - start, 1e-3):.3g}/s" if done else ""
            bar.update(row, completed=done, total=total, rate=rate)

        yield update


class _Lines:
    """Prints at most a line every few seconds; a task that is done sooner prints nothing."""

    def __init__(self, task: str, unit: str) -> None:
        self.task, self.unit = task, unit
        self.start = self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.last < LINE_EVERY_S:
            return
        self.last = now
        rate = done / max(now - self.start, 1e-3)
        left = f", {_duration((total - done) / rate)} left" if rate and total > done else ""
        typer.echo(f"{self.task}: {done} of {total} {self.unit}, {rate:.3g}/s{left}", err=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
