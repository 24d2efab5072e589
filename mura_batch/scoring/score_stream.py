"""Ledger -> decode -> run -> ledger: the stream in which the time of a run is spent.

Decoding runs in worker processes and inference in the runner's own threads; this thread only hands on. What has been
decoded goes to the runner as soon as the runner has room: a batch is what came together by then, never waited for. So
the runner is without work only while nothing is decoded, and this thread waits only for a picture when all are handed
on, or for the oldest answer when the runner is full. A few batches are held at a time: memory does not grow with the
number of files.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.worker.pool import DecodePool
from mura_batch.errors import StrictError
from mura_batch.outputs.report.thumbnails import save_thumbnail
from mura_batch.progress import Observer
from mura_batch.records import UNREADABLE, Decoded, InstanceScore, Reason, Skipped, Stage, skip_instance
from mura_batch.runtime.runner import Outputs, Runner
from mura_batch.scoring.timings import Timings
from mura_batch.store.ledger import Key, Ledger

Pixels = NDArray[np.uint8]  # [S, S], one model input
Prepared = tuple[Decoded, Pixels]
COMMIT_SECONDS = 0.25  # a commit waits for the disk, some milliseconds; a crash costs what was scored since


class Stream:
    """Scores what is pending in the ledger and commits it as it goes."""

    def __init__(
        self, ledger: Ledger, key: Key, pool: DecodePool, runner: Runner, thumbnails: Path, observer: Observer
    ) -> None:
        self._ledger, self._key = ledger, key
        self._pool, self._runner = pool, runner
        self._thumbnails, self._observer = thumbnails, observer
        self._in_flight: deque[list[Prepared]] = deque()
        self._done: list[InstanceScore | Skipped] = []  # not committed yet
        self._committed = time.perf_counter()
        self._strict = False

    def run(self, timings: Timings, *, strict: bool) -> None:
        """Raises RunnerError when the device fails and StrictError on a bad input under strict; what was scored before
        stays."""
        self._strict = strict
        begun, before = time.perf_counter(), self._runner.busy_seconds
        try:
            for out in self._runner.run(self._batches()):
                with timings.measuring("store"):
                    self._store(self._in_flight.popleft(), out)
        finally:
            with timings.measuring("store"):
                self._commit()
        took = time.perf_counter() - begun
        timings.put("decode", self._pool.busy_seconds, self._pool.workers * took)
        timings.put("inference", self._runner.busy_seconds - before, took)
        timings.put("store", timings.busy["store"], took)

    def _batches(self) -> Iterator[Pixels]:
        """Taken when the runner has room."""
        for arrived in self._pool.arrivals(self._ledger.pending(self._key), self._runner.batch_size):
            batch = [item for item in arrived if not isinstance(item, Skipped)]
            for item in arrived:
                if isinstance(item, Skipped):
                    self._fail(item)
            if batch:
                self._in_flight.append(batch)
                yield np.stack([pixels for _, pixels in batch])[:, np.newaxis]  # [N, 1, S, S]

    def _store(self, batch: list[Prepared], out: Outputs) -> None:
        finite = np.isfinite(out.probability)
        for n, (decoded, pixels) in enumerate(batch):
            if not finite[n]:
                detail = "the model's output is not a finite number"
                self._fail(skip_instance(decoded.instance, Stage.SCORE, Reason.NOT_FINITE, detail))
                continue
            probability = float(out.probability[n])
            save_thumbnail(self._thumbnails, decoded.instance.sop_instance_uid, pixels, out.cam[n])
            self._keep(InstanceScore(decoded, probability))

    def _fail(self, skip: Skipped) -> None:
        self._keep(skip)
        if self._strict and skip.reason in UNREADABLE:
            raise StrictError(f"file {skip.source.key}: {skip.reason}: {skip.detail} (--strict)")

    def _keep(self, result: InstanceScore | Skipped) -> None:
        self._done.append(result)
        self._observer.advance()
        if time.perf_counter() - self._committed > COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        done, self._done = self._done, []
        self._ledger.put_results(done, self._key)
        self._committed = time.perf_counter()
