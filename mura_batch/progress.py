"""Progress on a terminal, silence elsewhere: a log file is no place for carriage returns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Advance = Callable[[int, str], None]  # how many are done so far, and a few words beside the bar


class Observer(Protocol):
    """Is informed how far a run is."""

    def begin(self, stage: str, total: int | None) -> None: ...

    def advance(self, count: int = 1) -> None: ...


class Silent:
    """Under cron, in a pipe, in tests."""

    def begin(self, stage: str, total: int | None) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass


class Bar:
    """One bar for the stage that runs, with rate and time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, stage: str, total: int | None) -> None:
        if self._task is not None:
            self._progress.stop_task(self._task)
        self._task = self._progress.add_task(stage, total=total, words="")

    def advance(self, count: int = 1) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)


class Events:
    """Each stage when it begins and when it ends, for a log that a program reads. write: takes an event's name and its
    values."""

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        self._stage, self._count = "", 0

    def begin(self, stage: str, total: int | None) -> None:
        self.end()
        self._stage, self._count = stage, 0
        self._write("stage", stage=stage, total=total)

    def advance(self, count: int = 1) -> None:
        self._count += count

    def end(self) -> None:
        if self._stage:
            self._write("stage ended", stage=self._stage, count=self._count)
            self._stage = ""


@contextmanager
def observer(stream: TextIO, write: Callable[..., None] | None = None) -> Iterator[Observer]:
    """A bar where stream is a terminal, else silence. write: takes the stages as events instead."""
    if write is not None:
        events = Events(write)
        yield events
        events.end()
        return
    if not stream.isatty():
        yield Silent()
        return
    with _progress(stream, transient=False) as progress:
        yield Bar(progress)


_TERMINAL = Lock()  # held by the bar that is shown


@contextmanager
def progress_bar(label: str, total: int, shown: bool = True) -> Iterator[Advance]:
    """A bar on stderr for one piece of work, gone when it ends. Of nested ones the outermost is shown: whoever knows
    the whole may have a bar around the parts."""
    if not (shown and sys.stderr.isatty() and _TERMINAL.acquire(blocking=False)):
        yield lambda done, words: None
        return
    try:
        with _progress(sys.stderr, transient=True) as progress:
            task = progress.add_task(label, total=total, words="")
            yield lambda done, words: progress.update(task, completed=done, words=words)
    finally:
        _TERMINAL.release()


def _progress(stream: TextIO, transient: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[words]}"))
    return Progress(*columns, *times, console=Console(file=stream), transient=transient)
