"""What each worker is doing now, on disk, so that a worker's death tells what it died of.

One small file a task, replaced as the work goes on and removed at its end, and one a lesion where several of a scan
are in work at once. It is not forced to disk: it has to
outlive a process, not a power cut.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from radiomics_talent.extraction.outcome import Stage


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of the journal.

    Attributes
    ----------
    row, part : int
        The lesion in work (while its scan is read: the scan's first).
    lesion : str
        The lesion's name.
    stage : str
        'scan' while the scan is read, then 'mask', then 'features'.
    since : float
        When that began, by the clock that all processes share.
    done : int
        Rows of the task that are finished.
    """

    row: int
    part: int
    lesion: str
    stage: Stage
    since: float
    done: int


@dataclass(frozen=True, slots=True)
class Journal:
    """The file of one task."""

    path: Path

    def begin(self, row: int, part: int, lesion: str, stage: Stage, *, done: int) -> None:
        """Write down what begins now."""
        mark = Mark(row, part, lesion, stage, time.monotonic(), done)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(mark)), encoding="utf-8")
        temporary.replace(self.path)

    def end(self) -> None:
        """Remove the file: the task is finished."""
        self.path.unlink(missing_ok=True)


def journal_of(folder: Path, row: int, part: int | None = None) -> Journal:
    """Return the journal of the task whose first lesion is in `row`; with `part`, of that lesion beside others."""
    return Journal(folder / (f"{row}.started" if part is None else f"{row}-{part}.started"))


def read_journals(folder: Path) -> tuple[Mark, ...]:
    """Return what was begun and not finished, on whatever machine."""
    marks = []
    for path in sorted((*folder.glob("*.started"), *folder.glob("*/*.started"))):
        try:
            marks.append(Mark(**json.loads(path.read_text(encoding="utf-8"))))
        except (FileNotFoundError, ValueError, TypeError):
            continue
    return tuple(marks)


def clear_journals(folder: Path) -> tuple[str, ...]:
    """Empty the folder and return what crashed workers left to read (their stacks)."""
    stacks = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():  # of another machine, which may still be writing there
            shutil.rmtree(path, ignore_errors=True)
            continue
        if path.suffix == ".crash":
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            stacks += [text] if text else []
        path.unlink(missing_ok=True)
    return tuple(stacks)
