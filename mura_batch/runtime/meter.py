"""How long a device has worked."""

from __future__ import annotations


class Meter:
    """busy: seconds during which a device had at least one piece of work."""

    def __init__(self) -> None:
        self.busy = 0.0
        self._until = 0.0

    def add(self, started: float, ended: float) -> None:
        """Pieces come in the order in which they were started."""
        self.busy += max(0.0, ended - max(started, self._until))
        self._until = max(self._until, ended)
