"""What is done on the machines of a Dask cluster: a task, in a process of its own beside the Dask worker."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from joblib.externals.loky.process_executor import BrokenProcessPool  # type: ignore[import-untyped]

from radiomics_talent import __version__
from radiomics_talent.extraction.pool import Processes, Recovery, work_in_processes
from radiomics_talent.extraction.provenance import different_keys, installed_version, versions
from radiomics_talent.extraction.workers import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from radiomics_talent.extraction.outcome import Outcome
    from radiomics_talent.extraction.store import RunFolder
    from radiomics_talent.extraction.worker import ScanTask
    from radiomics_talent.extraction.workers import Work

R = TypeVar("R")
_KEEP_S = 60.0
_SEEN_WITHIN_S = 15.0
_TRIES = 3
_FITS_DEPEND_ON = ("numpy", "scipy", "scikit-learn", "scikit-survival", "pandas")
_OWN = threading.local()


def _mark(journal: Path, run_id: str) -> Path:
    return journal / f"{run_id}.under-way"


@contextmanager
def under_way(journal: Path, run_id: str) -> Iterator[None]:
    """Leave a file in the journal for the block: workers stop when it is gone."""
    mark = _mark(journal, run_id)
    mark.touch()
    try:
        yield
    finally:
        with suppress(OSError):  # the folder is gone, and with it the file
            mark.unlink(missing_ok=True)


def do_scan(work: Work, task: ScanTask) -> tuple[Outcome, ...]:
    """Do a task in this thread's own process.

    Raises
    ------
    ClusterError
        This machine has other versions, or does not see the run folder; or the run has ended.
    """
    found = versions(task.settings)
    _refuse_other(task.versions, found | {n: installed_version(n) for n in task.versions if n not in found})
    mark = _mark(task.folder.journal, task.run_id)
    _await(mark, task.folder)
    own = replace(task, folder=replace(task.folder, desk=_desk()))
    own.folder.journal.mkdir(exist_ok=True)
    outcomes: list[Outcome] = []

    def go_on(_: Sequence[int]) -> None:
        if not mark.exists():
            raise ClusterError("the run has ended")

    journal = own.folder.journal
    recovery = Recovery(work, outcomes.extend, go_on, _processes(journal), journal, task.timeout_s)
    work_in_processes([own], recovery, 1)
    return tuple(outcomes)


def do_call(expected: dict[str, str], function: Callable[..., R], *arguments: Any) -> R:
    """Call a function in this thread's own process: what threads would share (warnings, say) is its own there.

    Raises
    ------
    ClusterError
        This machine has other versions than expected.
    """
    _refuse_other(expected, versions_of_fits())
    for _ in range(_TRIES):
        processes = _processes(None)
        is_done = False
        try:
            result = processes.begin(1).submit(function, *arguments).result()
            is_done = True
        except BrokenProcessPool:
            continue
        finally:
            processes.end(is_done=is_done)
        return cast("R", result)
    raise ClusterError(
        f"a process on {socket.gethostname()} died {_TRIES} times with the same task, from lack of memory or a crash "
        "in a library; give the workers more memory and repeat the command: what is complete is kept"
    )


def _processes(journal: Path | None) -> Processes:
    """Return this thread's processes, kept from one task to the next of the same run."""
    known: Processes | None = getattr(_OWN, "processes", None)
    if known is None or known.journal != journal:
        if known is not None:
            known.end(is_done=False)
        # The workers of Dask may not begin processes unless it is told so where they begin; ours die with them.
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # noqa: SLF001
        known = _OWN.processes = Processes(journal, keep_s=_KEEP_S)
    return known


def _desk() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"


def _await(mark: Path, folder: RunFolder) -> None:
    """Wait until this machine sees the run: a network disk may take seconds to show a new file."""
    end = time.monotonic() + _SEEN_WITHIN_S
    while not mark.exists():
        if time.monotonic() > end:
            raise ClusterError(
                f"a worker on {socket.gethostname()} does not see the run folder {folder.path}; give a folder, and "
                "scans, on a disk that all machines share under the same path"
            )
        time.sleep(0.2)


def _refuse_other(expected: dict[str, str], found: dict[str, str]) -> None:
    """Refuse to mix versions: results are kept under those of whoever asked for them."""
    differ = [f"{n} {found.get(n, 'absent')}, not {expected.get(n, 'absent')}" for n in different_keys(expected, found)]
    if differ:
        raise ClusterError(
            f"a worker on {socket.gethostname()} has other versions ({'; '.join(differ)}); install the same there"
        )


def versions_of_fits() -> dict[str, str]:
    """Return the versions that the fit of a model depends on."""
    return {"radiomics-talent": __version__} | {name: installed_version(name) for name in _FITS_DEPEND_ON}
