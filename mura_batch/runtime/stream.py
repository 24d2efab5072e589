"""The way of a batch through a device, the same for every runner: split, keep in flight, put together, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import RunnerError
from mura_batch.runtime import Outputs
from mura_batch.runtime.parity import concatenate, split


class Lane(Protocol):
    """Room on the device for one piece of work. `start` and `finish` take turns; both raise RunnerError."""

    def start(self, images: NDArray[np.uint8]) -> None:
        """images: [N, 1, S, S], N from 1 to the lane's size. Returns before the work is done."""
        ...

    def finish(self) -> Outputs:
        """Waits for the work; the arrays are the receiver's own."""
        ...

    def abandon(self) -> None:
        """Waits until the device has let go of the lane's memory and throws the answer away. Raises nothing."""
        ...


def stream(
    batches: Iterable[NDArray[np.uint8]], lanes: Sequence[Lane], size: int, image_size: int
) -> Iterator[Outputs]:
    """One Outputs for each batch, in order; batches over `size` images are split and put together again.

    As many pieces are in flight as there are lanes, so the next batches are taken before the first answer is given.
    When the consumer stops early or a lane fails, the others are waited for before this ends.
    """
    flight = _Flight(lanes)
    try:
        for batch in batches:
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
        for lane, _ in flight.busy:
            lane.abandon()


def check_batch(batch: NDArray[np.uint8], image_size: int) -> None:
    """Raises RunnerError on what no runner may take."""
    wanted = (1, image_size, image_size)
    if batch.ndim != 4 or batch.shape[1:] != wanted or batch.dtype != np.uint8 or not len(batch):
        raise RunnerError(
            f"a batch is uint8 [N, {', '.join(map(str, wanted))}], N >= 1, not {batch.dtype} {batch.shape}"
        )


class _Flight:
    """Which lanes are free, which are busy (oldest first), and the pieces of the batch that is being put together."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._free = deque(lanes)
        self._parts: list[Outputs] = []
        self.busy: deque[tuple[Lane, bool]] = deque()  # lane, and whether its piece is the last of a batch

    @property
    def is_full(self) -> bool:
        return not self._free

    def launch(self, piece: NDArray[np.uint8], *, is_last: bool) -> None:
        lane = self._free.popleft()
        lane.start(piece)
        self.busy.append((lane, is_last))

    def land(self) -> Iterator[Outputs]:
        """Waits for the oldest piece; gives the batch's Outputs if that was its last."""
        lane, is_last = self.busy.popleft()
        self._parts.append(lane.finish())
        self._free.append(lane)
        if is_last:
            done, self._parts = self._parts, []
            yield concatenate(done)
