"""Ctrl-C during training: the step that is under way is finished, then the run is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt(deferred: bool) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether Ctrl-C (SIGINT) was pressed since. A second one interrupts at once, as usual.

    deferred: False leaves Ctrl-C as it is, as does any thread but the main one, where signals cannot be handled.
    """
    if not deferred or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = False
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
