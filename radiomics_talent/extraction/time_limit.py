"""The kernel ends a process in which a piece of work takes too long: even C code that hangs obeys."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOONEST_S = 1e-6
"""A timer of 0 would be none."""
_guard = threading.Lock()
_ends: list[float] = []
"""When the pieces of work that are under way in threads of this process have to be finished."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """End this process when the block takes longer; blocks in several threads share the process's one timer.

    Parameters
    ----------
    seconds : float or None
        The longest time; None sets no limit. Only for a process that may be ended, whose SIGALRM has its default
        action.
    """
    if seconds is None:
        yield
        return
    end = time.monotonic() + seconds
    with _guard:
        _ends.append(end)
        _arm()
    try:
        yield
    finally:
        with _guard:
            _ends.remove(end)
            _arm()


def _arm() -> None:
    """Set the timer to the piece of work that has to be finished first."""
    left = max(min(_ends) - time.monotonic(), _SOONEST_S) if _ends else 0.0
    signal.setitimer(signal.ITIMER_REAL, left)
