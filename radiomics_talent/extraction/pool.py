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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import SimpleITK as sitk
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits

from radiomics_talent.errors import ExtractionError
from radiomics_talent.extraction.journal import Mark, clear_journals, read_journals
from radiomics_talent.extraction.outcome import Failure, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from concurrent.futures import Future
    from pathlib import Path

    from radiomics_talent.extraction.worker import ScanTask
    from radiomics_talent.extraction.workers import Deliver, Tell, Work

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
_AHEAD = 3


@dataclass(frozen=True, slots=True)
class LocalWorkers:
    """Processes of this machine.

    Attributes
    ----------
    jobs : int
        How many. With 1 job or task and no time limit the tasks are a plain loop in this process.
    """

    jobs: int = 1
    map_unordered: ClassVar[None] = None

    def __str__(self) -> str:
        return f"{self.jobs} jobs"

    def work_through(
        self,
        tasks: Sequence[ScanTask],
        work: Work,
        *,
        deliver: Deliver,
        tell: Tell,
        suspects: AbstractSet[str] = frozenset(),
    ) -> None:
        """Do every task, see `radiomics_talent.extraction.workers.Workers`."""
        if not tasks:
            return
        first = tasks[0]
        journal = first.folder.journal
        recovery = Recovery(work, deliver, tell, Processes(journal), journal, first.timeout_s)
        if min(self.jobs, len(tasks)) == 1 and first.timeout_s is None:
            with _one_thread():
                for task in tasks:
                    _in_this_process(task, suspects, recovery)
            return
        work_in_processes(tasks, recovery, self.jobs)


def _in_this_process(task: ScanTask, suspects: AbstractSet[str], recovery: Recovery) -> None:
    doubtful = tuple(lesion for lesion in task.lesions if lesion.key in suspects)
    for lesion in doubtful:
        _LOG.warning("row %d was in work when an earlier run died: it gets a process of its own", lesion.row)
        recovery.alone(task, lesion.row)
    rest = tuple(lesion for lesion in task.lesions if lesion.key not in suspects)
    if rest:
        recovery.deliver(recovery.work(replace(task, lesions=rest)))


def work_in_processes(tasks: Sequence[ScanTask], recovery: Recovery, jobs: int) -> None:
    """Do every task in worker processes, and again what was in work when one of them died.

    Raises
    ------
    ExtractionError
        Workers die before they begin anything.
    """
    queue_ = _Queue(tasks)
    silent = 0
    while queue_:
        workers = min(jobs, len(queue_))
        if not recovery.pool(queue_, workers):
            return
        marks = recovery.take_marks() if queue_ else ()
        silent = 0 if marks else silent + 1
        if queue_ and silent >= _MOST_SILENT_DEATHS:
            raise ExtractionError(
                f"worker processes die before they begin to work; take --jobs 1 --timeout 0 ({tasks[0].details})"
            )
        lone = len(marks) == 1 and (workers == 1 or recovery.delivered <= marks[0].since)
        for mark in marks:
            queue_.back = recovery.retry(mark, queue_.back, was_alone=lone)


class _Queue:
    """Tasks that have not begun: those that came back from a pool that died, then the others."""

    def __init__(self, tasks: Sequence[ScanTask]) -> None:
        self.back: list[ScanTask] = []
        self._tasks, self._next = tasks, 0

    def __len__(self) -> int:
        return len(self.back) + len(self._tasks) - self._next

    def take(self) -> ScanTask:
        if self.back:
            return self.back.pop(0)
        self._next += 1
        return self._tasks[self._next - 1]


class Processes:
    """The worker processes of a run: begun when they are wanted, all gone when one of them has died.

    Parameters
    ----------
    journal : Path or None
        Where a worker that crashes leaves its stack.
    keep_s : float, optional
        How long they wait for more work after a pool has ended; by default not at all.
    """

    def __init__(self, journal: Path | None, keep_s: float | None = None) -> None:
        self.journal, self.keep_s = journal, keep_s
        self._executor: ProcessPoolExecutor | None = None

    def begin(self, jobs: int) -> ProcessPoolExecutor:
        """Return a pool of `jobs` processes."""
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                jobs,
                timeout=self.keep_s,
                initializer=_begin_worker,
                initargs=(None if self.journal is None else str(self.journal), os.getpid()),
                env=dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONFAULTHANDLER": ""},
            )
        return self._executor

    def end(self, *, is_done: bool) -> None:
        """Let a pool go whose work is done, or kill it."""
        if self._executor is None or (is_done and self.keep_s is not None):
            return
        executor, self._executor = self._executor, None
        if not is_done:
            _forget_queued(executor)
        executor.shutdown(wait=True, kill_workers=not is_done)


class Recovery:
    """The pools of one run: begin them, see them die, find out of what.

    Parameters
    ----------
    work, deliver, tell : callable
        As `radiomics_talent.extraction.workers.Workers` has them.
    processes : Processes
        Who does the work.
    journal : Path
        Where they write down what they do.
    timeout_s : float or None
        Time limit of the tasks.
    """

    def __init__(
        self, work: Work, deliver: Deliver, tell: Tell, processes: Processes, journal: Path, timeout_s: float | None
    ) -> None:
        self.work, self.deliver, self.tell = work, deliver, tell
        self.processes, self.journal, self.timeout_s = processes, journal, timeout_s
        self.died = self.delivered = self._looked = 0.0

    def pool(self, tasks: _Queue, jobs: int) -> bool:
        """Do tasks in a pool; return whether it died, with what it left undone back in the queue."""
        in_work: dict[Future[tuple[Outcome, ...]], ScanTask] = {}
        # A worker that loky renews because its memory grew is no news to the user.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
            broken = False
            try:
                while not broken and (tasks or in_work):
                    broken = self._fill(in_work, tasks, jobs)
                    done, _ = wait(in_work, timeout=_LOOK_EVERY_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        if isinstance(future.exception(), BrokenProcessPool):
                            broken, self.died = True, time.monotonic()
                            continue
                        self.deliver(future.result())
                        self.delivered = time.monotonic()
                        del in_work[future]
                    self._look()
            finally:
                self.processes.end(is_done=not broken and not in_work)
            for future in list(in_work):
                if future.done() and not future.cancelled() and future.exception() is None:
                    self.deliver(future.result())
                    del in_work[future]
        tasks.back = [*in_work.values(), *tasks.back]
        return broken

    def _look(self) -> None:
        """Tell how far the tasks in work are, now and then: each look lists a folder."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            self.tell([mark.done for mark in read_journals(self.journal)])

    def _fill(self, in_work: dict[Future[tuple[Outcome, ...]], ScanTask], tasks: _Queue, jobs: int) -> bool:
        """Give the pool work for now and next; return whether it has died."""
        with _interrupts_held():
            executor = self.processes.begin(jobs)
            while tasks and len(in_work) < jobs * _AHEAD:
                task = tasks.take()
                try:
                    in_work[executor.submit(self.work, task)] = task
                except BrokenProcessPool:
                    self.died = time.monotonic()
                    tasks.back.insert(0, task)
                    return True
        return False

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
                if not self.pool(_Queue([single]), 1):
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


def _begin_worker(journal: str | None, parent: int) -> None:
    """Make a new process a worker: one thread, silent, and gone when its parent is gone."""
    # One small file a worker; it takes the stack of a crash, which would otherwise be printed.
    place = os.devnull if journal is None else os.path.join(journal, f"{os.getpid()}.crash")  # noqa: PTH118
    stack = open(place, "w", encoding="utf-8")  # noqa: PTH123, SIM115
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
