"""A thread that owns the GPU, or a build. Needs no GPU library."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from mura_batch.errors import RunnerError

T = TypeVar("T")

ANSWER_SECONDS = 300.0  # a batch takes under a second: after this the GPU is lost
OPEN_SECONDS = 1800.0  # to open a plan; TensorRT-RTX compiles its kernels then
REPORT_SECONDS = 5.0  # between two lines about work that takes long
JOIN_SECONDS = 30.0
LOST_FIX = "The GPU failed or was lost; nvidia-smi and dmesg (Xid) tell more. Then run again."


class GpuThread:
    """One thread that creates, uses and frees everything of a GPU library; work is done in the order of submission.

    A daemon thread: a GPU that never answers must not keep the process alive.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="mura-batch-gpu", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._work.put((future, work))
        return future

    def call(self, work: Callable[[], T]) -> T:
        return wait_for(self.submit(work))

    def close(self, seconds: float = JOIN_SECONDS) -> None:
        """Waits that long for submitted work to end. After that it goes on, and ends with the process."""
        self._work.put(None)
        self._thread.join(seconds)

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            future, work = item
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  # passed to the waiting thread, whatever it is
                forget_frames(error)
                future.set_exception(error)
            del item, future, work  # the loop's names must not keep a TensorRT object alive


def wait_for(future: Future[T]) -> T:
    """Raises RunnerError after ANSWER_SECONDS."""
    return _result(future, ANSWER_SECONDS, ANSWER_SECONDS)


def wait_reporting(future: Future[T], doing: str, report: Callable[[str], None] | None) -> T:
    """Waits up to OPEN_SECONDS and reports every REPORT_SECONDS. Raises RunnerError after that."""
    started = time.monotonic()
    while True:
        left = OPEN_SECONDS - (time.monotonic() - started)
        try:
            return _result(future, min(REPORT_SECONDS, left), OPEN_SECONDS)
        except RunnerError:
            if future.done() or left <= REPORT_SECONDS:
                raise
        if report is not None:
            report(f"{doing}: {time.monotonic() - started:.0f} s so far")


def _result(future: Future[T], seconds: float, limit: float) -> T:
    try:
        return future.result(timeout=max(0.0, seconds))
    except TimeoutError as error:
        if future.done():
            raise
        raise RunnerError(f"the GPU has not answered for {limit:g} s. {LOST_FIX}") from error


def forget_frames(error: BaseException | None) -> None:
    """Clears the frames of a traceback. They keep local variables alive, TensorRT objects too, which must be freed on
    the GPU thread before the CUDA context is, or the process dies when the traceback is freed."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
