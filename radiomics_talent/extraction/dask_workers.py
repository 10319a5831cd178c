"""The workers of a Dask cluster: tasks carry paths and rows, results stay in the run folder that all machines share.

A task is done in a process of its own beside the Dask worker, kept from one task to the next, so that one path serves
here and on a single machine: a lesion that hangs, crashes or needs too much memory costs itself alone. A Dask worker
that is lost costs what it had in work: Dask gives that to another, which finds the finished lesions in the folder.
"""

from __future__ import annotations

import logging
import queue
import time
import warnings
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from radiomics_talent.errors import TalentError
from radiomics_talent.extraction.dask_tasks import do_call, do_scan, under_way, versions_of_fits
from radiomics_talent.extraction.journal import read_journals
from radiomics_talent.extraction.outcome import Failure, Outcome
from radiomics_talent.extraction.workers import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from radiomics_talent.extraction.worker import ScanTask
    from radiomics_talent.extraction.workers import Deliver, Tell, Work

R = TypeVar("R")
_LOG = logging.getLogger(__name__)
_AHEAD = 3
_LOOK_EVERY_S = 1.0
_COUNT_EVERY_S = 3.0


@dataclass(frozen=True, slots=True)
class DaskWorkers:
    """The workers of a cluster, as `radiomics_talent.extraction.workers.Workers`.

    Attributes
    ----------
    client : distributed.Client
        Connected to the scheduler.
    wait_s : float
        How long there may be no worker at all.
    """

    client: Any
    wait_s: float

    @property
    def jobs(self) -> int:
        """How many tasks are done at once, as of now."""
        return _threads(self.client)

    def __str__(self) -> str:
        return "a Dask cluster"

    def work_through(
        self, tasks: Sequence[ScanTask], work: Work, *, deliver: Deliver, tell: Tell, suspects: AbstractSet[str]
    ) -> None:
        """Do every task, see `radiomics_talent.extraction.workers.Workers`."""
        del suspects  # every lesion has a process that may die
        if not tasks:
            return
        journal, run_id = tasks[0].folder.journal, tasks[0].run_id

        looked = time.monotonic()

        def look() -> None:
            nonlocal looked
            if time.monotonic() - looked >= _LOOK_EVERY_S:  # each look lists folders on a network disk
                looked = time.monotonic()
                tell([mark.done for mark in read_journals(journal)])

        calls = ((work, _for_a_worker(task)) for task in tasks)
        with under_way(journal, run_id), closing(self._ended(do_scan, calls, look)) as ended:
            for (_, task), outcomes in ended:
                deliver(_lost(task, outcomes) if isinstance(outcomes, BaseException) else outcomes)

    def map_unordered(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        """Call a function with each tuple of arguments on the cluster and yield what it returns, as it comes.

        Parameters
        ----------
        function : callable
            Importable by a worker; it may take a process for itself.
        calls : sequence of tuple
            Positional arguments: what they hold travels with each call.

        Raises
        ------
        ClusterError
            The cluster cannot be used, or is lost.
        """
        expected = versions_of_fits()
        waiting = ((expected, function, *call) for call in calls)
        with closing(self._ended(do_call, waiting, lambda: None)) as ended:
            for _, result in ended:
                if isinstance(result, BaseException):
                    raise ClusterError(
                        "several Dask workers died, one after the other, with the same task; give them more memory and "
                        "repeat the command: what is complete is kept"
                    ) from result
                yield result

    def _ended(
        self, function: Callable[..., Any], calls: Iterator[tuple[Any, ...]], look: Callable[[], None]
    ) -> Generator[tuple[tuple[Any, ...], Any]]:
        """Do calls on the cluster, a few ahead of the work; yield each with its result, or what it died of."""
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        in_work: dict[Any, tuple[Any, ...]] = {}
        count = _Count(self.client, self.wait_s)
        try:
            while True:
                while len(in_work) < count.threads * _AHEAD and (call := next(calls, None)) is not None:
                    with warnings.catch_warnings():
                        warnings.filterwarnings("ignore", message="Sending large graph")  # a table of features
                        future = self.client.submit(function, *call, pure=False)
                    in_work[future] = call
                    future.add_done_callback(ended.put)
                if not in_work:
                    return
                try:
                    future = ended.get(timeout=_LOOK_EVERY_S)
                except queue.Empty:
                    pass
                else:
                    count.is_alive()
                    yield in_work.pop(future), _result(future)
                count.renew()
                look()
        finally:
            if in_work and self.client.status == "running":
                with suppress(OSError, TimeoutError):  # a scheduler that is gone has nothing to cancel
                    self.client.cancel(list(in_work))


class _Count:
    """How many tasks the cluster does at once: workers come and go."""

    def __init__(self, client: Any, wait_s: float) -> None:
        self._client, self._wait_s = client, wait_s
        self.threads = _threads(client)
        self._looked = self._alive = time.monotonic()

    def is_alive(self) -> None:
        """Take note that something was done."""
        self._alive = time.monotonic()

    def renew(self) -> None:
        """Count again from time to time; give up when there has been no worker for too long."""
        if self._client.status != "running":
            raise ClusterError(_SCHEDULER_GONE)
        now = time.monotonic()
        if now - self._looked < min(_COUNT_EVERY_S, self._wait_s):
            return
        self._looked = now
        try:
            threads = int(sum(self._client.nthreads().values()))
        except (OSError, TimeoutError) as error:
            raise ClusterError(_SCHEDULER_GONE) from error
        if threads:
            self.threads = threads
            self.is_alive()
        elif now - self._alive > self._wait_s:
            raise ClusterError(
                f"there has been no Dask worker for {self._wait_s / 60:g} minutes; begin some and repeat the command: "
                "what is complete is kept"
            )


def _for_a_worker(task: ScanTask) -> ScanTask:
    """Return a task as it is elsewhere: from no working folder, and with the one core that a worker has."""
    return replace(task, folder=replace(task.folder, path=task.folder.path.absolute()), threads=1)


def _threads(client: Any) -> int:
    try:
        return max(1, int(sum(client.nthreads().values())))
    except (OSError, TimeoutError) as error:
        raise ClusterError(_SCHEDULER_GONE) from error


_SCHEDULER_GONE = (
    "the Dask scheduler is gone; begin it and its workers again and repeat the command: what is complete is kept"
)


def _result(future: Any) -> Any:
    """Return the result of a task, or the exception that says that worker after worker died with it."""
    from distributed.scheduler import KilledWorker  # noqa: PLC0415  # an extra

    if future.status == "finished":
        return future.result()
    if future.status != "error":
        raise ClusterError(_SCHEDULER_GONE)
    error = future.exception()
    if isinstance(error, KilledWorker):
        return error
    if isinstance(error, TalentError):
        raise error
    raise ClusterError(
        f"the workers cannot do the task ({type(error).__name__}: {error}); install the same radiomics-talent there, "
        "or see their logs"
    ) from error


def _lost(task: ScanTask, error: BaseException) -> tuple[Outcome, ...]:
    _LOG.error("worker after worker died with row %d: %s", task.lesions[0].row, error)
    sentence = (
        "killed: several Dask workers died, one after the other, while they had this scan; give them more memory or "
        f"time and repeat the command ({task.details})"
    )
    return tuple(
        Outcome(x.row, 0, x.lesion_id, failure=Failure(x.row, x.patient_id, x.lesion_id, "worker", sentence))
        for x in task.lesions
    )
