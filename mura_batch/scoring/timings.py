"""Where the time of a run went: for each part, seconds of work and seconds without any."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timings:
    """busy: seconds in which a part worked, of all its processes together. waiting: seconds in which it could have
    worked and had nothing to do. The part that waits least is the one that the run is bound by."""

    def __init__(self) -> None:
        self.busy: dict[str, float] = {}
        self.waiting: dict[str, float] = {}

    @contextmanager
    def measuring(self, part: str) -> Iterator[None]:
        """A part that works while everything else waits for it."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.busy[part] = self.busy.get(part, 0.0) + time.perf_counter() - begun

    def put(self, part: str, busy: float, available: float) -> None:
        """A part that works beside others. available: the seconds that it could have worked."""
        self.busy[part] = busy
        self.waiting[part] = max(0.0, available - busy)

    def as_seconds(self) -> dict[str, dict[str, float]]:
        """As run.json holds it."""
        return {
            part: {"busy": round(busy, 3), "waiting": round(self.waiting.get(part, 0.0), 3)}
            for part, busy in self.busy.items()
        }
