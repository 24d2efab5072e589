"""Streams batches through a device, the same way for every runner: split, keep several in flight, join, in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import RunnerError
from mura_batch.runtime.meter import Meter
from mura_batch.runtime.parity import concatenate, split
from mura_batch.runtime.runner import Outputs


class Lane(Protocol):
    """Room on the device for one piece of work. `start` and `finish` alternate; both raise RunnerError."""

    def start(self, images: NDArray[np.uint8]) -> None:
        """images: [N, 1, S, S], N from 1 to the lane's size. Returns before the work is done."""
        ...

    def finish(self) -> Outputs:
        """Waits for the work; the receiver owns the arrays."""
        ...

    @property
    def ended(self) -> float:
        """time.perf_counter() when the finished work ended, as exactly as the lane knows it."""
        ...

    def abandon(self) -> None:
        """Waits until the device no longer uses the lane's memory and drops the result. Raises nothing."""
        ...


def stream(
    batches: Iterable[NDArray[np.uint8]], lanes: Sequence[Lane], size: int, image_size: int, meter: Meter
) -> Iterator[Outputs]:
    """One Outputs for each batch, in order; batches over `size` images are split and joined again.

    As many pieces are in flight as there are lanes, so batches are taken ahead of the first result. A batch is taken
    only when a lane is free, so that its producer can fill it with whatever is ready by then. When the consumer stops
    early or a lane fails, the other lanes are waited for before this ends.
    """
    flight, waiting = _Flight(lanes, meter), iter(batches)
    try:
        while True:
            if flight.is_full:
                yield from flight.land()
            batch = next(waiting, None)
            if batch is None:
                break
            check_batch(batch, image_size)
            left = len(batch)
            for piece in split(batch, size):
                if flight.is_full:
                    yield from flight.land()
                left -= len(piece)
                flight.launch(piece, is_last=left == 0)
        while flight.busy:
            yield from flight.land()
    finally:
        for lane, _, _ in flight.busy:
            lane.abandon()


def check_batch(batch: NDArray[np.uint8], image_size: int) -> None:
    """Raises RunnerError unless the batch is uint8 [N, 1, S, S], N >= 1."""
    wanted = (1, image_size, image_size)
    if batch.ndim != 4 or batch.shape[1:] != wanted or batch.dtype != np.uint8 or not len(batch):
        raise RunnerError(
            f"a batch is uint8 [N, {', '.join(map(str, wanted))}], N >= 1, not {batch.dtype} {batch.shape}"
        )


class _Flight:
    """Free lanes, busy lanes (oldest first), and the finished pieces of the batch that is being joined."""

    def __init__(self, lanes: Sequence[Lane], meter: Meter) -> None:
        self._free = deque(lanes)
        self._meter = meter
        self._parts: list[Outputs] = []
        # Lane, when it was started, and whether its piece is the last of a batch.
        self.busy: deque[tuple[Lane, float, bool]] = deque()

    @property
    def is_full(self) -> bool:
        return not self._free

    def launch(self, piece: NDArray[np.uint8], *, is_last: bool) -> None:
        lane, now = self._free.popleft(), time.perf_counter()
        lane.start(piece)
        self.busy.append((lane, now, is_last))

    def land(self) -> Iterator[Outputs]:
        """Waits for the oldest piece; yields the batch's Outputs if that was its last."""
        lane, started, is_last = self.busy.popleft()
        self._parts.append(lane.finish())
        self._meter.add(started, lane.ended)
        self._free.append(lane)
        if is_last:
            done, self._parts = self._parts, []
            yield concatenate(done)
