"""How near a run comes to the larger of its two bounds, decoding and inference, where the model does not run on the
cores that decode: the real stream, ledger and decode workers beside an accelerator that is played by a clock.

Where the model runs on the same cores, the floor is the sum of both kinds of work; that is measured too, in whole.py.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bench.result import Figure
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.pool import DecodePool
from mura_batch.preprocess import InputSpec
from mura_batch.runtime.inference_stream import stream
from mura_batch.runtime.meter import Meter
from mura_batch.runtime.runner import Outputs, Runner, RunnerInfo
from mura_batch.scoring.intake import scan, settle_identity
from mura_batch.scoring.score_stream import Stream
from mura_batch.scoring.storage import Folder
from mura_batch.scoring.timings import Timings
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger

SECTION = "Overlap with a simulated accelerator"
MAP = 10  # a side of the class activation map at 320 px
LANES = 2  # one batch works, one waits: as the GPU runner has it
BATCH = 8


class Accelerator:
    """Runner protocol. Takes `seconds` of its own time for a picture, one batch after another, and none of a core's."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size, self._seconds, self._meter = size, seconds, Meter()
        self._free_at = 0.0

    @property
    def info(self) -> RunnerInfo:
        return RunnerInfo("clock", "simulated", "none", "a benchmark", "1", None)

    @property
    def batch_size(self) -> int:
        return BATCH

    @property
    def busy_seconds(self) -> float:
        return self._meter.busy

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        return stream(batches, [_Lane(self) for _ in range(LANES)], BATCH, self._size, self._meter)

    def take(self, count: int) -> float:
        """When the work on so many pictures will be done."""
        self._free_at = max(self._free_at, time.perf_counter()) + count * self._seconds
        return self._free_at


class _Lane:
    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._count, self.ended = 0, 0.0

    def start(self, images: NDArray[np.uint8]) -> None:
        self._count, self.ended = len(images), self._accelerator.take(len(images))

    def finish(self) -> Outputs:
        time.sleep(max(0.0, self.ended - time.perf_counter()))
        n = self._count
        return Outputs(np.full(n, 0.5, np.float32), np.zeros((n, MAP, MAP), np.float32), np.zeros((n, 1), np.float32))

    def abandon(self) -> None: ...


def overlap(studies: Path, count: int, size: int) -> tuple[list[Figure], float]:
    """Figures, and seconds of decoding alone: that first, then beside an accelerator that is as fast as decoding, where
    overlap is hardest, and beside one half as fast."""
    decoding, _ = _streamed(studies, count, size, 0.0)
    figures = [Figure(SECTION, f"decoding of {count} pictures alone", decoding, unit="s")]
    for words, seconds in (("as fast as decoding", decoding / count), ("half as fast", 2 * decoding / count)):
        took, idle = _streamed(studies, count, size, seconds)
        larger = max(decoding, count * seconds)
        figures.append(Figure(SECTION, f"accelerator {words}: ratio to the bound", took / larger, "< 1.15"))
        figures.append(Figure(SECTION, "accelerator idle", idle, unit="s"))
    return figures, decoding


def _streamed(studies: Path, count: int, size: int, seconds: float) -> tuple[float, float]:
    """(seconds that the stream took, seconds of them that the accelerator had no work)."""
    pictures, took, idle = stream_through(Accelerator(size, seconds), studies, size)
    if pictures != count:
        raise RuntimeError(f"{pictures} pictures instead of {count}: the bounds would be wrong")
    return took, idle


def stream_through(runner: Runner, studies: Path, size: int) -> tuple[int, float, float]:
    """(pictures, seconds that the stream took, seconds of them that the runner, which is entered, had no work)."""
    policy, key, timings = IntakePolicy(settle_seconds=0), Key("clock", "bench"), Timings()
    workers = len(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="overlap-", dir=studies.parent) as out,
        Ledger(Path(out) / "ledger.sqlite") as ledger,
        DecodePool(studies, policy, InputSpec(size=size), workers) as pool,
    ):
        ledger.runs.begin("bench", studies)
        scan(Folder(studies), policy, ledger.files, _Silent())
        settle_identity(Folder(studies), policy, ledger)
        pictures = ledger.scores.count_pending(key)
        for _ in pool.decode(list(ledger.scores.pending(key))[:workers]):  # the processes start and import
            pass
        Stream(ledger.scores, key, pool, runner, _Silent()).run(timings)
    return pictures, timings.busy["store"] + timings.waiting["store"], timings.waiting["inference"]


class _Silent:
    def begin(self, what: str, total: int | None) -> None: ...

    def advance(self, count: int = 1) -> None: ...
