"""pycuda.driver as far as mura-batch uses it. Signatures follow src/wrapper/wrap_cudadrv.cpp of an
older release and the project notes; those of 2026.1 were not read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from simulated_machine import MACHINE, Thing


class Error(Exception):
    """pycuda's base; its children are not the builtins of their names."""


class MemoryError(Error):  # noqa: A001
    pass


class LaunchError(Error):
    pass


class LogicError(Error):
    pass


event_flags = SimpleNamespace(DEFAULT=0, BLOCKING_SYNC=1, DISABLE_TIMING=2)
device_attribute = SimpleNamespace(MULTIPROCESSOR_COUNT=16)


def check(call: str) -> None:
    if MACHINE.is_lost:
        raise LaunchError(f"{call} failed: unspecified launch failure")
    if not MACHINE.initialised and call != "cuInit":
        raise LogicError(f"{call} failed: initialization error")


def init(flags: int = 0) -> None:
    check("cuInit")
    if MACHINE.fails("init"):
        raise LogicError("cuInit failed: system has unsupported display driver / cuda driver combination")
    if not MACHINE.gpus:
        raise LogicError("cuInit failed: no CUDA-capable device is detected")
    MACHINE.initialised = True


def get_driver_version() -> int:
    return 13000


class Device:
    def __init__(self, number: int) -> None:
        check("cuDeviceGet")
        if not 0 <= number < len(MACHINE.gpus):
            raise LogicError("cuDeviceGet failed: invalid device ordinal")
        self._number = number

    @staticmethod
    def count() -> int:
        check("cuDeviceGetCount")
        return len(MACHINE.gpus)

    def name(self) -> str:
        return MACHINE.gpus[self._number].name

    def compute_capability(self) -> tuple[int, int]:
        return MACHINE.gpus[self._number].capability

    def total_memory(self) -> int:
        return 80 << 30

    def get_attribute(self, attr: int) -> int:
        assert attr == device_attribute.MULTIPROCESSOR_COUNT
        return MACHINE.gpus[self._number].sm_count

    def retain_primary_context(self) -> Context:
        check("cuDevicePrimaryCtxRetain")
        return Context(self._number)


class Context(Thing):
    kind = "CUDA context"

    def __init__(self, device: int) -> None:
        super().__init__()
        self.device = device

    def push(self) -> None:
        check("cuCtxPushCurrent")
        MACHINE.stacks.setdefault(threading.get_ident(), []).append(self)

    @staticmethod
    def pop() -> None:
        stack = MACHINE.stacks.get(threading.get_ident(), [])
        if not stack:
            raise LogicError("cuCtxPopCurrent failed: cannot pop non-current context")
        stack.pop()

    @staticmethod
    def get_current() -> Context | None:
        stack = MACHINE.stacks.get(threading.get_ident(), [])
        return stack[-1] if stack else None

    def detach(self) -> None:
        if MACHINE.has_context():
            MACHINE.crime("CUDA context released while it is still current")
        if others := [kind for key, kind in MACHINE.live.items() if key != id(self)]:
            MACHINE.crime(f"CUDA context released before {', '.join(others)}")
        self.is_freed = True
        MACHINE.live.pop(id(self), None)
        MACHINE.events.append("freed CUDA context")

    def release(self) -> None:
        if not self.is_freed and MACHINE.live.pop(id(self), None):
            MACHINE.crime("CUDA context left to its destructor, which calls the wrong release")


class Stream(Thing):
    kind = "stream"

    def __init__(self, flags: int = 0) -> None:
        check("cuStreamCreate")
        MACHINE.need_context("Stream")
        if flags != 1:
            MACHINE.crime("a stream that waits for the default stream")
        super().__init__()
        self.queue: list[Callable[[], None]] = []
        self.handle = id(self)
        MACHINE.streams[self.handle] = self

    def run_until(self, count: int) -> None:
        while count and self.queue:
            self.queue.pop(0)()
            count -= 1

    def synchronize(self) -> None:
        self.used()
        check("cuStreamSynchronize")
        self.run_until(len(self.queue))


class Event(Thing):
    kind = "event"

    def __init__(self, flags: int = 0) -> None:
        check("cuEventCreate")
        MACHINE.need_context("Event")
        super().__init__()
        self.mark: tuple[Stream, list[bool]] | None = None

    def record(self, stream: Stream | None = None) -> Event:
        self.used()
        check("cuEventRecord")
        assert stream is not None, "the default stream"
        done = [False]
        self.mark = (stream, done)
        stream.queue.append(lambda: done.__setitem__(0, True))
        return self

    def synchronize(self) -> Event:
        self.used()
        check("cuEventSynchronize")
        if self.mark is not None:  # an event never recorded is done: cuEventSynchronize
            stream, done = self.mark
            while not done[0]:
                stream.run_until(1)
        return self


def mem_get_info() -> tuple[int, int]:
    check("cuMemGetInfo")
    MACHINE.need_context("mem_get_info")
    return (80 << 30) - sum(len(held) for held in MACHINE.memory.values()), 80 << 30


class DeviceAllocation(Thing):
    kind = "device buffer"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.address = MACHINE.allocate(size)

    def __int__(self) -> int:
        self.used()
        return self.address

    __index__ = __int__

    def free(self) -> None:
        if self.is_freed:
            raise LogicError("device_allocation::free failed: invalid device context")
        del MACHINE.memory[self.address]
        self.release()
        check("cuMemFree")

    def release(self) -> None:
        MACHINE.memory.pop(self.address, None)
        super().release()


def mem_alloc(bytes: int) -> DeviceAllocation:  # noqa: A002
    check("cuMemAlloc")
    MACHINE.need_context("mem_alloc")
    if bytes > 80 << 30 or MACHINE.fails("mem_alloc"):
        raise MemoryError("cuMemAlloc failed: out of memory")
    return DeviceAllocation(bytes)


class PagelockedHostAllocation(Thing):
    kind = "page-locked buffer"

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__()
        self.data = np.empty(shape, dtype)
        self.scribble()

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self.data.__array_interface__

    def scribble(self) -> None:
        """What is read before it is written, or after it is freed, is wrong and looks wrong."""
        self.data.view(np.uint8).fill(255)

    def free(self) -> None:
        self.scribble()
        self.release()
        check("cuMemFreeHost")


def pagelocked_empty(shape: tuple[int, ...], dtype: Any, order: str = "C", mem_flags: int = 0) -> np.ndarray:
    check("cuMemHostAlloc")
    MACHINE.need_context("pagelocked_empty")
    if MACHINE.fails("pagelocked_empty"):
        raise MemoryError("cuMemHostAlloc failed: out of memory")
    return np.asarray(PagelockedHostAllocation(shape, np.dtype(dtype)))


def memcpy_htod_async(dest: Any, src: np.ndarray, stream: Stream | None = None) -> None:
    check("cuMemcpyHtoDAsync")
    _check_copy(src, stream)
    address = int(dest)
    stream.queue.append(lambda: _write(address, src.tobytes()))


def memcpy_dtoh_async(dest: np.ndarray, src: Any, stream: Stream | None = None) -> None:
    check("cuMemcpyDtoHAsync")
    _check_copy(dest, stream)
    address = int(src)

    def copy() -> None:
        held = MACHINE.memory.get(address)
        if held is None:
            MACHINE.crime("a copy out of freed device memory")
            return
        dest[...] = np.frombuffer(bytes(held[: dest.nbytes]), dest.dtype).reshape(dest.shape)

    stream.queue.append(copy)


def _write(address: int, data: bytes) -> None:
    held = MACHINE.memory.get(address)
    if held is None or len(held) < len(data):
        MACHINE.crime("a copy beyond the end of device memory, or into freed memory")
        return
    held[: len(data)] = data


def _check_copy(array: np.ndarray, stream: Stream | None) -> None:
    assert array.flags.c_contiguous, "pycuda refuses an array that is not contiguous"
    if stream is None:
        raise AssertionError("the default stream")
    base = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if not isinstance(base, PagelockedHostAllocation):
        MACHINE.crime("an asynchronous copy of memory that is not page-locked")
