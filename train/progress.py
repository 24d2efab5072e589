"""A progress bar on a terminal, nothing anywhere else: a log file is no place for carriage returns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int, str], None]  # how many are done, and a few words beside the bar


@contextmanager
def bar(label: str, total: int, shown: bool = True) -> Iterator[Advance]:
    if not (shown and sys.stderr.isatty()):
        yield lambda done, words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, TextColumn("{task.fields[words]}"), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task(label, total=total, words="")
        yield lambda done, words: progress.update(task, completed=done, words=words)
