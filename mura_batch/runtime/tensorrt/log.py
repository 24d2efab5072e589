"""TensorRT's logger: one for the process, since TensorRT keeps the first that it is given."""

from __future__ import annotations

from collections import deque

import tensorrt as trt

KEPT = 50  # lines; a failure explains itself in the last few


class Log(trt.ILogger):  # type: ignore[misc, unused-ignore]  # Any where TensorRT is not installed
    """Keeps warnings and errors, so that a None, False or -1 can be explained in TensorRT's own words."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)  # pybind11 needs the base made by name
        self._lines: deque[str] = deque(maxlen=KEPT)

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Called by TensorRT from any of its threads; deque.append is atomic."""
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR, trt.ILogger.Severity.WARNING):
            self._lines.append(f"[{severity.name}] {msg}")

    def take(self) -> str:
        """The last lines, which a later failure will not quote again."""
        text = " | ".join(list(self._lines)[-5:]) or "TensorRT logged nothing"
        self._lines.clear()
        return text


LOG = Log()
