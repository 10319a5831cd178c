"""Ctrl-C during a run: the first stops the work, and none of them stops the writing of what is complete."""

from __future__ import annotations

import math
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


PATIENCE_S = 5.0
"""A Ctrl-C so soon after another is impatience, not news; one after it may have got lost in a library's callback."""


class Interrupts:
    """What a run has heard of Ctrl-C.

    Attributes
    ----------
    heard : bool
        Whether there was one.
    held : bool
        Whether further ones are only taken note of.
    """

    def __init__(self) -> None:
        self.heard = False
        self.held = False
        self._asked = -math.inf

    def hold(self) -> None:
        """From now on take note of Ctrl-C and go on."""
        self.held = True

    def release(self) -> None:
        """Let Ctrl-C interrupt again: what was complete is written."""
        self.held = False

    def take(self, ask: Callable[[int, FrameType | None], object], signum: int, frame: FrameType | None) -> None:
        """Pass one on to who was asked before, unless it is held or only impatient."""
        self.heard = True
        if not self.held and time.monotonic() - self._asked >= PATIENCE_S:
            self._asked = time.monotonic()
            ask(signum, frame)


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Let Ctrl-C interrupt the block, several in a row but once, and none after `Interrupts.hold`.

    Outside of the main thread, and where Ctrl-C is ignored, nothing changes.
    """
    noted = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield noted
        return
    ask = before
    signal.signal(signal.SIGINT, lambda signum, frame: noted.take(ask, signum, frame))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
