"""What the machine can do at most, measured in the same run: arithmetic, memory, disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.result import Figure

GFLOP = {320: 13.9, 224: 6.8}  # of one DenseNet169 pass, by input size; it grows with the area
CHANNELS, SIDE = 1024, 64  # of the convolution that is timed
SECTION = "The machine's own limits"


def limits(work: Path, size: int) -> list[Figure]:
    """The rates of bf16 and int8 only where the processor has instructions for them: imitated they take minutes."""
    import torch

    from mura_batch.runtime.openvino.processor import OpenVino

    rates, processor = {}, OpenVino()
    for name, kind in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        if name == "bf16" and not processor.has_bf16:
            continue
        # What DenseNet mostly does; as a plain product torch's MKL is far slower on AMD's processors than its oneDNN.
        net = torch.nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False).to(dtype=kind).to(memory_format=torch.channels_last)
        pixels = torch.randn(1, CHANNELS, SIDE, SIDE).to(dtype=kind).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            seconds = _best(lambda net=net, pixels=pixels: net(pixels), 20)  # type: ignore[misc]
        rates[name] = 2 * (CHANNELS * SIDE) ** 2 / seconds / 1e9
    if processor.has_int8:
        inputs, weights = (torch.randint(-128, 127, (n, CHANNELS), dtype=torch.int8) for n in (SIDE * SIDE, CHANNELS))
        # A 1 x 1 convolution is this matrix product; torch has no 8-bit convolution of its own.
        rates["int8"] = 2 * (CHANNELS * SIDE) ** 2 / _best(lambda: torch._int_mm(inputs, weights), 20) / 1e9
    work_per_image = GFLOP[320] * (size / 320) ** 2
    figures = []
    for name, rate in rates.items():
        figures.append(Figure(SECTION, f"convolution of 1 x 1, {name}", rate, unit="GFLOP/s"))
        figures.append(
            Figure(SECTION, f"DenseNet169 at {size} px at that rate, {name}", rate / work_per_image, unit="img/s")
        )
    source = np.ones(1 << 27, np.uint8)
    target = np.empty_like(source)
    copied = _best(lambda: np.copyto(target, source))
    figures.append(Figure(SECTION, "memory copy (read and write)", 2 * source.nbytes / copied / 1e9, unit="GB/s"))
    file = work / "read"
    file.write_bytes(source.tobytes())
    read = source.nbytes / _best(file.read_bytes)
    figures.append(Figure(SECTION, "read of a file in the page cache", read / 1e9, unit="GB/s"))
    file.unlink()
    return figures


def _best(work: Callable[[], object], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)
