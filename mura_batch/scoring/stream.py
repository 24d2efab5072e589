"""Ledger -> decode -> batch -> run -> ledger: the stream in which the time of a run is spent.

Decoding runs in worker processes and inference in the runner's own threads; this thread only hands on. It holds a few
batches at a time: memory does not grow with the number of files.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.worker import DecodePool
from mura_batch.errors import StrictError
from mura_batch.progress import Observer
from mura_batch.records import UNREADABLE, Decoded, InstanceScore, Reason, Skipped, Stage, skip_instance
from mura_batch.report.thumbnails import save_thumbnail
from mura_batch.runtime import Outputs, Runner
from mura_batch.scoring.ledger import Key, Ledger

T = TypeVar("T")
Pixels = NDArray[np.uint8]  # [S, S], one model input
Prepared = tuple[Decoded, Pixels]


class Stopwatch:
    """Seconds this thread waited for each part of a run: where it waits longest is where the run is bound."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._nested = 0.0  # waits that ended inside the one that is running: they are not counted twice

    def waits(self, part: str, items: Iterable[T]) -> Iterator[T]:
        """Hands the items on and counts the time that each took to come."""
        iterator = iter(items)
        while True:
            with self.measuring(part):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    @contextmanager
    def measuring(self, part: str) -> Iterator[None]:
        outer, self._nested = self._nested, 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            total = time.perf_counter() - start
            self.seconds[part] = self.seconds.get(part, 0.0) + total - self._nested
            self._nested = outer + total


@dataclass(frozen=True, slots=True)
class Stream:
    """Scores what is pending in the ledger and commits it, batch by batch."""

    ledger: Ledger
    key: Key
    pool: DecodePool
    runner: Runner
    batch_size: int
    thumbnails: Path
    observer: Observer
    strict: bool
    watch: Stopwatch

    def run(self) -> None:
        """Raises RunnerError when the device fails and StrictError on a bad input under --strict; what was committed
        before stays."""
        in_flight: deque[list[Prepared]] = deque()
        outputs = self.runner.run(self._batches(in_flight))
        for out in self.watch.waits("inference", outputs):
            with self.watch.measuring("store"):
                self._store(in_flight.popleft(), out)

    def _batches(self, in_flight: deque[list[Prepared]]) -> Iterator[Pixels]:
        batch: list[Prepared] = []
        decoded = self.pool.decode(self.ledger.pending(self.key))
        for item in self.watch.waits("decode", decoded):
            if isinstance(item, Skipped):
                self._fail(item)
                continue
            batch.append(item)
            if len(batch) == self.batch_size:
                in_flight.append(batch)
                yield _stack(batch)
                batch = []
        if batch:
            in_flight.append(batch)
            yield _stack(batch)

    def _store(self, batch: list[Prepared], out: Outputs) -> None:
        finite = np.isfinite(out.probability)
        scores = []
        for n, (decoded, pixels) in enumerate(batch):
            if not finite[n]:
                detail = "the model's output is not a finite number"
                self._fail(skip_instance(decoded.instance, Stage.SCORE, Reason.NOT_FINITE, detail))
                continue
            probability = float(out.probability[n])
            save_thumbnail(self.thumbnails, decoded.instance.sop_instance_uid, pixels, out.cam[n], probability)
            scores.append(InstanceScore(decoded, probability))
        self.ledger.put_scores(scores, self.key)
        self.observer.advance(len(scores))

    def _fail(self, skip: Skipped) -> None:
        self.ledger.put_failure(skip, self.key)
        self.observer.advance()
        if self.strict and skip.reason in UNREADABLE:
            raise StrictError(f"file {skip.source.key}: {skip.reason}: {skip.detail} (--strict)")


def _stack(batch: list[Prepared]) -> Pixels:
    return np.stack([pixels for _, pixels in batch])[:, np.newaxis]  # [N, 1, S, S]
