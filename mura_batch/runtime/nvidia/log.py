"""NVIDIA's log lines, so that a None, False or -1 can be explained in the library's own words."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import tensorrt as trt

    from mura_batch.runtime.nvidia.library import Library

KEPT = 50  # lines; a failure explains itself in the last few


class LogLines:
    """Keeps warnings and errors. Mixed into the library's ILogger."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT)

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Called by the library from any of its threads; deque.append is atomic."""
        if severity.name in ("INTERNAL_ERROR", "ERROR", "WARNING"):
            self._lines.append(f"[{severity.name}] {' '.join(msg.split())}")

    def take(self) -> str:
        """The last lines; a later failure will not quote them again."""
        text = " | ".join(list(self._lines)[-5:]) or "no line was logged"
        self._lines.clear()
        return text


if TYPE_CHECKING:  # so that mypy compares the signatures

    class Logger(
        LogLines,
        trt.ILogger,  # type: ignore[misc, unused-ignore]  # Any where TensorRT is not installed
    ):
        pass


_LOGGERS: dict[object, Logger] = {}


def logger_of(library: Library) -> Logger:
    """One for the process and library: NVIDIA's libraries use the first that they are given."""
    if library not in _LOGGERS:

        def initialise(self: Any) -> None:
            LogLines.__init__(self)
            library.ILogger.__init__(self)  # pybind11 needs the base initialised by name

        kind = type("Logger", (LogLines, library.ILogger), {"__init__": initialise})
        _LOGGERS[library] = cast("Logger", kind())
    return _LOGGERS[library]
