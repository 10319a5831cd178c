"""Lesions of one scan side by side: threads that share its image, for an engine that works without Python's lock."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")


def in_order(pieces: Iterable[Callable[[], T]], threads: int) -> Iterator[T]:
    """Do pieces of work and yield what they return, in their order.

    Parameters
    ----------
    pieces : iterable of callable
        Taken one by one by the calling thread, and only when a thread is about to be free: what a piece holds (a
        mask as large as its scan) is held by few at a time.
    threads : int
        How many pieces are done at once. With 1 everything happens in the calling thread.

    Yields
    ------
    object
        What each piece returns. A piece's exception is raised in its place.
    """
    if threads == 1:
        for piece in pieces:
            yield piece()
        return
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[T]] = deque()
        for piece in pieces:
            begun.append(pool.submit(piece))
            # One more than there are threads: the next piece is ready when a thread is.
            while sum(not future.done() for future in begun) > threads:
                wait([future for future in begun if not future.done()], return_when=FIRST_COMPLETED)
            while begun and begun[0].done():
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
