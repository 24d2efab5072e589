"""Progress of a build, and how to cancel it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, SupportsInt, cast

if TYPE_CHECKING:
    import tensorrt as trt

    from mura_batch.runtime.nvidia.library import Library

Report = Callable[[str, float], None]  # (phase, part of it that is done: 0 to 1), called from the library's own threads


class Progress:
    """Reports the outermost phases, and stops the build once `cancelled` is set. Mixed into IProgressMonitor."""

    def __init__(self, report: Report | None, cancelled: threading.Event) -> None:
        self._report = report
        self._cancelled = cancelled
        self._steps: dict[str, int] = {}
        self.error: Exception | None = None  # of report: an exception must not cross the library's frames

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: SupportsInt) -> None:
        if not parent_phase:
            self._steps[phase_name] = max(1, int(num_steps))
            self._notify(phase_name, 0.0)

    def step_complete(self, phase_name: str, step: SupportsInt) -> bool:
        """False asks the library to stop."""
        if phase_name in self._steps:
            self._notify(phase_name, min(1.0, (int(step) + 1) / self._steps[phase_name]))
        return not self._cancelled.is_set()

    def phase_finish(self, phase_name: str) -> None:
        """Called for a cancelled phase too."""
        if self._steps.pop(phase_name, None) is not None and not self._cancelled.is_set():
            self._notify(phase_name, 1.0)

    def _notify(self, phase: str, part: float) -> None:
        if self._report is None or self.error is not None:
            return
        try:
            self._report(phase, part)
        except Exception as error:  # noqa: BLE001  # raised again by `build_plan`, outside the library
            self.error = error
            self._cancelled.set()


if TYPE_CHECKING:  # so that mypy compares the signatures

    class Monitor(
        Progress,
        trt.IProgressMonitor,  # type: ignore[misc, unused-ignore]  # Any where TensorRT is not installed
    ):
        pass


def monitor_of(library: Library, report: Report | None, cancelled: threading.Event) -> Monitor:
    def initialise(self: Any) -> None:
        Progress.__init__(self, report, cancelled)
        library.IProgressMonitor.__init__(self)  # pybind11 needs the base initialised by name

    kind = type("Monitor", (Progress, library.IProgressMonitor), {"__init__": initialise})
    return cast("Monitor", kind())
