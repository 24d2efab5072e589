"""A progress bar on a terminal, nothing anywhere else: a log file is no place for carriage returns.

One bar at a time: one inside another shows nothing, so that whoever knows the whole may have one around the parts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from mura_batch.preprocess import InputSpec
from train.data.cache import model_inputs
from train.data.examples import Dataset

Advance = Callable[[int, str], None]  # how many are done, and a few words beside the bar

_TERMINAL = Lock()  # held by the bar that is shown


def read_inputs(dataset: Dataset, split: str, size: int, cache: Path) -> NDArray[np.uint8]:
    """data.cache.model_inputs with a bar: decoding a data set for the first time takes minutes."""
    with bar(f"reading {split}", len(dataset.split(split))) as advance:
        return model_inputs(dataset, split, InputSpec(size=size), cache, lambda done, _: advance(done, ""))


@contextmanager
def bar(label: str, total: int, shown: bool = True) -> Iterator[Advance]:
    if not (shown and sys.stderr.isatty() and _TERMINAL.acquire(blocking=False)):
        yield lambda done, words: None
        return
    try:
        with _drawn(label, total) as advance:
            yield advance
    finally:
        _TERMINAL.release()


@contextmanager
def _drawn(label: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, TextColumn("{task.fields[words]}"), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task(label, total=total, words="")
        yield lambda done, words: progress.update(task, completed=done, words=words)
