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
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mura_batch.progress import Observer
from mura_batch.records import Decoded, Instance, Skipped
from mura_batch.runtime.feature_distance import FeatureStatistics
from mura_batch.runtime.runner import Outputs, Runner
from mura_batch.scoring.score_commits import Answers, Committer, Refuse, finite_distances
from mura_batch.scoring.timings import Timings
from mura_batch.store.key import Key
from mura_batch.store.scores import Scores

Pixels = NDArray[np.uint8]  # [S, S], one model input
Prepared = tuple[Decoded, Pixels]


class Decoder(Protocol):
    """What decodes files beside the stream; `dicom.worker.pool.DecodePool` is one."""

    @property
    def workers(self) -> int:
        """How many decode at once."""
        ...

    @property
    def busy_seconds(self) -> float:
        """Seconds of decoding so far, of all workers together."""
        ...

    def arrivals(self, instances: Iterable[Instance], most: int) -> Iterator[list[Prepared | Skipped]]:
        """Each instance decoded, or why it is not, in the order in which they are ready: each time all that is ready by
        then, from one, which is waited for, to `most`. Takes from instances only what is in flight."""
        ...


class Stream:
    """Scores what is pending in the ledger and commits it as it goes."""

    def __init__(
        self,
        scores: Scores,
        key: Key,
        decoder: Decoder,
        runner: Runner,
        observer: Observer,
        statistics: FeatureStatistics | None = None,
    ) -> None:
        """statistics: of the model's training images, if it has them; the runner then gives features."""
        self._scores, self._key = scores, key
        self._decoder, self._runner, self._statistics = decoder, runner, statistics
        self._in_flight: deque[list[Prepared]] = deque()
        self._answers, self._committer = Answers(), Committer(scores, key, observer)
        self._begun = time.perf_counter()

    def run(self, timings: Timings, refuse: Refuse | None = None) -> None:
        """refuse: makes the error of an input that should have been readable, under --strict. Raises it, and
        RunnerError when the device fails; what was scored before stays."""
        self._committer.refuse = refuse
        before = self._runner.busy_seconds
        try:
            for out in self._runner.run(self._batches()):
                with timings.measuring("store"):
                    self._store(self._in_flight.popleft(), out)
        finally:
            with timings.measuring("store"):
                self._committer.commit()
        took = time.perf_counter() - self._begun
        timings.put("decode", self._decoder.busy_seconds, self._decoder.workers * took)
        timings.put("inference", self._runner.busy_seconds - before, took)
        timings.put("store", timings.busy["store"], took)

    def _batches(self) -> Iterator[Pixels]:
        """Taken when the runner has room; the first one when it has loaded what it needs."""
        self._begun = time.perf_counter()
        for arrived in self._decoder.arrivals(self._scores.due(self._key), self._runner.batch_size):
            batch = [item for item in arrived if not isinstance(item, Skipped)]
            for item in arrived:
                if isinstance(item, Skipped):
                    self._committer.put(item)
            if batch:
                self._in_flight.append(batch)
                yield np.stack([pixels for _, pixels in batch])[:, np.newaxis]  # [N, 1, S, S]

    def _store(self, batch: list[Prepared], out: Outputs) -> None:
        distances = finite_distances(self._statistics, out)
        for n, (decoded, pixels) in enumerate(batch):
            result = self._answers.take(decoded, pixels, float(out.probability[n]), out.cam[n], distances[n])
            if result is not None:
                self._committer.put(result)
