"""pycuda on a real GPU: contexts, page-locked and device buffers, streams, events, and their end; without TensorRT."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mura_batch.runtime.nvidia.devices import Gpu

pytestmark = pytest.mark.gpu

SLACK = 64 << 20  # bytes that a driver may keep for itself after the first use of a context


def on_gpu(gpu: Gpu, work: Callable[[], Any]) -> Any:
    """Runs it on a GPU thread with the primary context current."""
    from mura_batch.runtime.nvidia.cuda import PrimaryContext
    from mura_batch.runtime.nvidia.thread import GpuThread

    def inside() -> Any:
        with PrimaryContext(gpu.index):
            return work()

    thread = GpuThread()
    try:
        return thread.call(inside)
    finally:
        thread.close()


def test_the_gpu_is_described_as_nvidia_smi_describes_it(gpu: Gpu) -> None:
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    assert gpu.name in listed
    assert gpu.uuid in listed
    assert gpu.sm_count > 0


def test_pixels_return_from_the_gpu_unchanged_on_two_streams(gpu: Gpu) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 1, 320, 320), dtype=np.uint8)

    def work() -> list[np.ndarray]:
        from mura_batch.runtime.nvidia.cuda import Buffer, new_event, new_stream

        slots = [(Buffer(pictures[0].shape, np.uint8), new_stream(), new_event()) for _ in range(2)]
        for (buffer, stream, done), images in zip(slots, pictures, strict=True):
            np.copyto(buffer.host, images)
            buffer.to_device(len(images), stream)
            buffer.to_host(len(images), stream)
            done.record(stream)
        answers = []
        for buffer, _, done in slots:
            done.synchronize()
            answers.append(buffer.host.copy())
            buffer.close()
        return answers

    for back, images in zip(on_gpu(gpu, work), pictures, strict=True):
        assert np.array_equal(back, images)


def test_only_as_many_images_travel_as_there_are(gpu: Gpu) -> None:
    def work() -> np.ndarray:
        from mura_batch.runtime.nvidia.cuda import Buffer, new_stream

        buffer, stream = Buffer((4, 100), np.uint8), new_stream()
        buffer.host[...] = 7
        buffer.to_device(4, stream)
        stream.synchronize()
        buffer.host[...] = 0
        buffer.to_host(2, stream)
        stream.synchronize()
        back = buffer.host.copy()
        buffer.close()
        return back

    assert on_gpu(gpu, work).sum(axis=1).tolist() == [700, 700, 0, 0]


def test_no_context_is_left_on_the_thread_after_the_end(gpu: Gpu) -> None:
    import pycuda.driver as cuda

    on_gpu(gpu, lambda: None)
    assert cuda.Context.get_current() is None


def test_a_buffer_too_large_is_an_error_with_its_fix(gpu: Gpu) -> None:
    from mura_batch.runtime.nvidia.cuda import OutOfDeviceMemory, allocate, cuda_errors

    def work() -> None:
        with cuda_errors("a test"):
            allocate(gpu.memory_bytes * 2)

    with pytest.raises(OutOfDeviceMemory, match="--batch-size"):
        on_gpu(gpu, work)


def test_fifty_cycles_leave_no_device_memory_behind(gpu: Gpu, figure: Callable[[str, object], None]) -> None:
    def cycle() -> int:
        import pycuda.driver as cuda

        from mura_batch.runtime.nvidia.cuda import Buffer, new_event, new_stream

        free = int(cuda.mem_get_info()[0])
        buffers = [Buffer((32, 1, 320, 320), np.uint8) for _ in range(4)]
        stream, done = new_stream(), new_event()
        for buffer in buffers:
            buffer.to_device(32, stream)
        done.record(stream)
        done.synchronize()
        for buffer in buffers:
            buffer.close()
        return free

    free = [on_gpu(gpu, cycle) for _ in range(50)]
    figure("MiB lost in 49 cycles", round((free[1] - free[-1]) / 2**20, 1))
    assert free[1] - free[-1] <= SLACK


def test_copies_from_page_locked_memory_are_measured(gpu: Gpu, figure: Callable[[str, object], None]) -> None:
    size = 256 << 20

    def work() -> float:
        from mura_batch.runtime.nvidia.cuda import Buffer, new_stream

        buffer, stream = Buffer((size,), np.uint8), new_stream()
        buffer.to_device(size, stream)
        stream.synchronize()
        begun = time.perf_counter()
        for _ in range(8):
            buffer.to_device(size, stream)
        stream.synchronize()
        seconds = time.perf_counter() - begun
        buffer.close()
        return 8 * size / seconds / 1e9

    rate = on_gpu(gpu, work)
    figure("GB/s to the GPU", round(rate, 1))
    assert rate > 0.1
