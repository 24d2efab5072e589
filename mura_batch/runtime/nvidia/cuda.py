"""The CUDA side of the GPU runner: errors, the context, streams, events and buffers.

Imported only after `devices` has probed CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
import pycuda.driver as cuda
from numpy.typing import DTypeLike, NDArray

from mura_batch.errors import RunnerError
from mura_batch.runtime.nvidia.thread import LOST_FIX, forget_frames

STREAM_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING; pycuda has no name for it


class OutOfDeviceMemory(RunnerError):  # noqa: N818  # the name says what is wrong, as MemoryError does
    """The GPU has no room for a buffer or an execution context."""


@contextmanager
def cuda_errors(doing: str) -> Iterator[None]:
    """Turns pycuda's errors into RunnerErrors that say what was being done and how to fix it."""
    try:
        yield
    except cuda.MemoryError as error:
        raise OutOfDeviceMemory(f"{doing}: the GPU's memory is full ({error}). {MEMORY_FIX}") from error
    except cuda.Error as error:  # pycuda's RuntimeError is a child of this, not of the builtin
        raise RunnerError(f"{doing}: {error}. {LOST_FIX}") from error


MEMORY_FIX = "Use a smaller --batch-size, another --gpu, or end what else runs there (nvidia-smi lists it)."


class PrimaryContext:
    """The primary CUDA context of one GPU (the one TensorRT uses), current on the creating thread until close."""

    def __init__(self, index: int) -> None:
        with cuda_errors(f"GPU {index} cannot be opened"):
            cuda.init()
            self._context: Any = cuda.Device(index).retain_primary_context()
            self._context.push()

    def close(self) -> None:
        context, self._context = self._context, None
        if context is None:
            return
        try:
            cuda.Context.pop()
        finally:
            # Explicitly: pycuda's destructor of a primary context calls cuCtxDetach, not cuDevicePrimaryCtxRelease.
            context.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        forget_frames(error)  # what they hold is freed while the context exists
        self.close()


class Buffer:
    """Page-locked memory and a device buffer of the same size. `host` is [size, ...]; the first n rows are copied."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._device: Any = None
        self.host: NDArray[Any] = cuda.pagelocked_empty(shape, dtype)
        try:
            self._device = cuda.mem_alloc(self.host.nbytes)
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> int:
        return int(self._device)

    def to_device(self, count: int, stream: Any) -> None:
        cuda.memcpy_htod_async(self._device, self.host[:count], stream)

    def to_host(self, count: int, stream: Any) -> None:
        cuda.memcpy_dtoh_async(self.host[:count], self._device, stream)

    def close(self) -> None:
        device, self._device = self._device, None
        base: Any = self.host.base  # PagelockedHostAllocation: freed now, not when the last view goes
        self.host = np.empty(0, self.host.dtype)
        try:
            if device is not None:
                device.free()
        finally:
            if base is not None:
                base.free()


def new_stream() -> Any:
    """Never the default stream, which waits for all others."""
    return cuda.Stream(STREAM_NON_BLOCKING)


def new_event() -> Any:
    """Waiting for it sleeps instead of spinning: decoding needs the core."""
    return cuda.Event(cuda.event_flags.BLOCKING_SYNC | cuda.event_flags.DISABLE_TIMING)


def allocate(size: int) -> Any:
    """Device memory, aligned to 256 bytes or more; free it with `.free()`."""
    return cuda.mem_alloc(size)


def release(doing: str, step: Callable[[], object]) -> list[RunnerError]:
    """Does one step of a release; returns its failure, so that the next step is done too."""
    try:
        with cuda_errors(doing):
            step()
    except RunnerError as error:
        forget_frames(error)
        return [error]
    return []
