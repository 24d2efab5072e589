"""The whole stream beside a GPU that runs the network by PyTorch: the nearest to a plan where TensorRT is absent.

DICOM at full size, a decode process a core, the ledger, and DenseNet169 in float16. It shows where a run is bound:
pictures a second of the whole, of the network alone, and the share of time in which the GPU had no work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.runtime.inference_stream import stream
from mura_batch.runtime.meter import Meter
from mura_batch.runtime.runner import Outputs, RunnerInfo

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(240)]
SIZE, BATCH, LANES, MAP, STUDIES = 320, 32, 2, 10, 48
Figure = Callable[[str, object], None]


class TorchRunner:
    """Runner protocol: DenseNet169 with random weights in float16 on a CUDA device; float32 on a CPU, to try it out."""

    batch_size = BATCH

    def __init__(self, device: Any, size: int = SIZE) -> None:
        import torch

        from bench.peer import network

        self.device, self.size, self.meter = device, size, Meter()
        self.kind = torch.float16 if device.type == "cuda" else torch.float32
        self.net = network().to(device, self.kind).to(memory_format=torch.channels_last)
        self.info = RunnerInfo("torch", str(device), str(self.kind), "gpu-check", torch.__version__, None)

    @property
    def busy_seconds(self) -> float:
        return self.meter.busy

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        return stream(batches, [Lane(self) for _ in range(LANES)], BATCH, self.size, self.meter)


class Lane:
    def __init__(self, runner: TorchRunner) -> None:
        import torch

        self.runner, self.ended, self.answer = runner, 0.0, torch.empty(0)
        self.stream = torch.cuda.Stream(runner.device) if runner.device.type == "cuda" else None

    def start(self, images: NDArray[np.uint8]) -> None:
        import torch

        with torch.inference_mode(), torch.cuda.stream(self.stream):
            pixels = torch.from_numpy(images).to(self.runner.device, non_blocking=True)
            inputs = pixels.to(self.runner.kind).div(255).sub(0.45).div(0.22).expand(-1, 3, -1, -1)
            self.answer = self.runner.net(inputs).squeeze(1).sigmoid()

    def finish(self) -> Outputs:
        if self.stream is not None:
            self.stream.synchronize()
        probability = self.answer.float().cpu().numpy()
        self.ended = time.perf_counter()
        return Outputs(probability, np.zeros((len(probability), MAP, MAP), np.float32), None)

    def abandon(self) -> None:
        if self.stream is not None:
            self.stream.synchronize()


def test_the_stream_feeds_a_gpu(cuda_device: Any, tmp_path: Path, figure: Figure) -> None:
    measure(TorchRunner(cuda_device), tmp_path, figure, STUDIES)


def measure(runner: TorchRunner, folder: Path, figure: Figure, studies: int, *, small: bool = False) -> None:
    from bench.overlap import stream_through

    summary = make_phantoms(folder / "studies", PhantomOptions(studies=studies, small=small))
    alone = rate(runner)
    figure("network alone, pictures a second", round(alone))
    count, took, idle = stream_through(runner, summary.folder, runner.size)
    figure("pictures", count)
    figure("decode processes", len(os.sched_getaffinity(0)))
    figure("whole stream, pictures a second", round(count / took, 1))
    figure("share of the time in which the GPU had no work", round(idle / took, 2))
    figure("bound by", "decoding" if idle / took > 0.5 else "the network")
    assert count / took > 0


def rate(runner: TorchRunner, batches: int = 10) -> float:
    """Pictures a second of the network alone, after a warm-up of two batches."""
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 1, runner.size, runner.size), dtype=np.uint8)
    list(runner.run([images] * 2))
    started = time.perf_counter()
    list(runner.run([images] * batches))
    return BATCH * batches / (time.perf_counter() - started)
