"""Worker processes that may die: joblib's loky, the journal, and the retry of what was in work."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import SimpleITK as sitk
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits

from radiomics_talent.errors import ExtractionError
from radiomics_talent.extraction.journal import Mark, clear_journals, read_journals
from radiomics_talent.extraction.outcome import Failure, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from radiomics_talent.extraction.worker import ScanTask

    Work = Callable[[ScanTask], tuple[Outcome, ...]]
    Deliver = Callable[[tuple[Outcome, ...]], None]
    Tell = Callable[[Sequence[int]], None]

_LOG = logging.getLogger(__name__)
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_LOOK_EVERY_S = 0.5
_PR_SET_PDEATHSIG = 1
_MOST_SILENT_DEATHS = 3


def work_through(
    tasks: Sequence[ScanTask],
    work: Work,
    *,
    jobs: int,
    deliver: Deliver,
    tell: Tell,
    suspects: AbstractSet[str] = frozenset(),
) -> None:
    """Do every task; a lesion that kills its worker is delivered as a failure, all others as `work` returns them.

    Parameters
    ----------
    tasks : sequence of ScanTask
        In the order in which they are to begin; all of one run folder and one time limit.
    work : callable
        What to do with a task, importable by a worker.
    jobs : int
        Worker processes. With 1 job or task and no time limit the tasks are a plain loop in this process.
    deliver : callable
        Takes outcomes as they come.
    tell : callable
        Called now and then with the number of finished lesions of each task in work.
    suspects : set of str
        Lesions that were in work when an earlier run died; the plain loop leaves them to a worker.

    Raises
    ------
    ExtractionError
        Workers die before they begin anything.
    """
    if not tasks:
        return
    recovery = _Recovery(work, deliver, tell, tasks[0].folder.journal, tasks[0].timeout_s)
    if min(jobs, len(tasks)) == 1 and tasks[0].timeout_s is None:
        with _one_thread():
            for task in tasks:
                _in_this_process(task, suspects, recovery)
        return
    remaining = list(tasks)
    silent = 0
    while remaining:
        workers = min(jobs, len(remaining))
        remaining = recovery.pool(remaining, workers)
        marks = recovery.take_marks() if remaining else ()
        silent = 0 if marks else silent + 1
        if remaining and silent >= _MOST_SILENT_DEATHS:
            raise ExtractionError(
                f"worker processes die before they begin to work; take --jobs 1 --timeout 0 ({tasks[0].details})"
            )
        lone = len(marks) == 1 and (workers == 1 or recovery.delivered <= marks[0].since)
        for mark in marks:
            remaining = recovery.retry(mark, remaining, was_alone=lone)


def _in_this_process(task: ScanTask, suspects: AbstractSet[str], recovery: _Recovery) -> None:
    doubtful = tuple(lesion for lesion in task.lesions if lesion.key in suspects)
    for lesion in doubtful:
        _LOG.warning("row %d was in work when an earlier run died: it gets a process of its own", lesion.row)
        recovery.alone(task, lesion.row)
    rest = tuple(lesion for lesion in task.lesions if lesion.key not in suspects)
    if rest:
        recovery.deliver(recovery.work(replace(task, lesions=rest)))


class _Recovery:
    """The pools of one run: begin them, see them die, find out of what."""

    def __init__(self, work: Work, deliver: Deliver, tell: Tell, journal: Path, timeout_s: float | None) -> None:
        self.work, self.deliver, self.tell = work, deliver, tell
        self.journal, self.timeout_s = journal, timeout_s
        self.died = self.delivered = 0.0

    def pool(self, tasks: Sequence[ScanTask], jobs: int) -> list[ScanTask]:
        """Do tasks in a new pool and return those that its death left undone."""
        undone = dict(enumerate(tasks))
        # A worker that loky renews because its memory grew is no news to the user.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
            executor = ProcessPoolExecutor(
                jobs,
                initializer=_begin_worker,
                initargs=(str(self.journal), os.getpid()),
                env=dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONFAULTHANDLER": ""},
            )
            try:
                with _interrupts_held():
                    futures = {executor.submit(self.work, task): n for n, task in undone.items()}
                pending = set(futures)
                broken = False
                while pending and not broken:
                    done, pending = wait(pending, timeout=_LOOK_EVERY_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        error = future.exception()
                        if isinstance(error, BrokenProcessPool):
                            broken, self.died = True, time.monotonic()
                            continue
                        self.deliver(future.result())
                        self.delivered = time.monotonic()
                        undone.pop(futures[future])
                    self.tell([mark.done for mark in read_journals(self.journal)])
            finally:
                if undone:
                    _forget_queued(executor)
                executor.shutdown(wait=True, kill_workers=bool(undone))
            for future in pending:
                if future.done() and not future.cancelled() and future.exception() is None:
                    self.deliver(future.result())
                    undone.pop(futures[future])
        return list(undone.values())

    def take_marks(self) -> tuple[Mark, ...]:
        """Return what was in work, and put what workers wrote as they crashed into the log."""
        marks = read_journals(self.journal)
        for stack in clear_journals(self.journal):
            _LOG.error("a worker crashed:\n%s", stack)
        return marks

    def retry(self, mark: Mark, tasks: list[ScanTask], *, was_alone: bool) -> list[ScanTask]:
        """Try the lesion of a mark again alone; return the tasks without what was thereby settled."""
        task = next((t for t in tasks if any(lesion.row == mark.row for lesion in t.lesions)), None)
        if task is None:  # its outcomes came through before the pool died
            return tasks
        _LOG.warning("a worker died at row %d (%s, %s)", mark.row, mark.lesion, mark.stage)
        # One worker that ran out of time was as alone as it can be: waiting once more would show nothing.
        known = mark if was_alone and self._is_late(mark) else None
        settled = self.alone(task, mark.row, known=known)
        left = tuple(lesion for lesion in task.lesions if lesion.row not in settled)
        return [replace(t, lesions=left) if t is task else t for t in tasks if t is not task or left]

    def alone(self, task: ScanTask, row: int, *, known: Mark | None = None) -> set[int]:
        """Do one lesion in a process of its own until it is settled; return the rows that are settled."""
        single = replace(task, lesions=tuple(lesion for lesion in task.lesions if lesion.row == row), threads=1)
        mark = known
        while True:
            if mark is None:
                if not self.pool([single], 1):
                    return {row}
                marks = self.take_marks()
                mark = marks[0] if marks else Mark(row, 0, "", "features", time.monotonic(), 0)
            if mark.stage == "scan":
                # Every lesion of the scan would die the same death.
                self.deliver(tuple(self._dead(task, lesion.row, mark) for lesion in task.lesions))
                return {lesion.row for lesion in task.lesions}
            dead = self._dead(single, row, mark)
            if mark.part == 0 or dead.failure is None:
                self.deliver((dead,))
                return {row}
            single = replace(single, given_up={**single.given_up, (row, mark.part): dead.failure})
            mark = None

    def _is_late(self, mark: Mark) -> bool:
        return self.timeout_s is not None and self.died - mark.since >= self.timeout_s

    def _dead(self, task: ScanTask, row: int, mark: Mark) -> Outcome:
        lesion = next(lesion for lesion in task.lesions if lesion.row == row)
        lesion_id = f"{lesion.lesion_id}.{mark.part}" if mark.part else lesion.lesion_id
        doing = {"scan": "reading the scan", "mask": "reading the mask"}.get(mark.stage, "computing features")
        if self._is_late(mark):
            sentence = f"timed out: {doing} took more than {self.timeout_s:g} s; raise --timeout, or look at the lesion"
        else:
            sentence = (
                f"killed: the worker process died while {doing}, from lack of memory or a crash in a library; "
                f"free memory and repeat the command ({task.details})"
            )
        failure = Failure(row, lesion.patient_id, lesion_id, "worker", sentence)
        return Outcome(row, mark.part, lesion_id, failure=failure)


def _forget_queued(executor: ProcessPoolExecutor) -> None:
    """Empty the queue of tasks that no worker has been given.

    loky 3.5 looks for them in a list that killing its workers has emptied, and dies with a KeyError on the screen.
    """
    with suppress(queue.Empty):
        while True:
            executor._work_ids.get_nowait()  # noqa: SLF001  # it offers no other way


def _begin_worker(journal: str, parent: int) -> None:
    """Make a new process a worker: one thread, silent, and gone when its parent is gone."""
    # One small file a worker; it takes the stack of a crash, which would otherwise be printed.
    stack = open(os.path.join(journal, f"{os.getpid()}.crash"), "w", encoding="utf-8")  # noqa: PTH118, PTH123, SIM115
    faulthandler.enable(stack)
    threadpool_limits(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    logging.getLogger("radiomics_talent").setLevel(logging.DEBUG)
    _die_with(parent)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process with its parent, even in C code that never lets a thread of ours run.

    What counts is the thread that made the process: the caller's or loky's own, and both outlive the pool.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
        if os.getppid() != parent:  # it was gone before it could be asked for
            os.kill(os.getpid(), signal.SIGKILL)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while processes begin: they inherit that, so only the parent hears it, now and later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Give the plain loop what a worker has, so that its numbers are the same; put everything back afterwards."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    shows = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with threadpool_limits(1):
            yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        sitk.ProcessObject.SetGlobalWarningDisplay(shows)
