"""Who does the work: processes of this machine, or those of a cluster; the same to whoever has work to give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from radiomics_talent.errors import ExtractionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from radiomics_talent.extraction.outcome import Outcome
    from radiomics_talent.extraction.worker import ScanTask

    Work = Callable[[ScanTask], tuple[Outcome, ...]]
    Deliver = Callable[[tuple[Outcome, ...]], None]
    Tell = Callable[[Sequence[int]], None]


class ClusterError(ExtractionError):
    """The cluster cannot be used, or is lost: the run ends, what is complete stays."""


class Workers(Protocol):
    """Processes that tasks are given to. `str` of one says who they are."""

    @property
    def jobs(self) -> int:
        """How many tasks are done at once."""

    @property
    def map_unordered(self) -> Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[Any]] | None:
        """What calls a function with each of several tuples of arguments, and yields what it returns as it comes.

        None for processes of this machine: fits of models have their own.
        """

    def work_through(
        self, tasks: Sequence[ScanTask], work: Work, *, deliver: Deliver, tell: Tell, suspects: AbstractSet[str]
    ) -> None:
        """Do every task; a lesion that kills its worker is delivered as a failure, all others as `work` returns them.

        Parameters
        ----------
        tasks : sequence of ScanTask
            In the order in which they are to begin; all of one run folder and one time limit. They are taken one
            after the other, a few ahead of the work.
        work : callable
            What to do with a task, importable by a worker.
        deliver : callable
            Takes outcomes as they come.
        tell : callable
            Called now and then with the number of finished lesions of each task in work.
        suspects : set of str
            Lesions that were in work when an earlier run died.

        Raises
        ------
        ExtractionError
            Workers die before they begin anything.
        ClusterError
            The cluster cannot be used, or is lost.
        """
