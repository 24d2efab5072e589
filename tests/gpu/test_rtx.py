"""TensorRT-RTX on a real GPU of compute capability 7.5, 8.x or 12.x: build, acceptance, kernels, speed, end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mura_batch.model_card import Model
from mura_batch.runtime.backend import Absent
from mura_batch.runtime.choose import open_runner
from mura_batch.runtime.nvidia.devices import Gpu
from mura_batch.runtime.runner import RunnerOptions
from mura_batch.runtime.tensorrt_rtx.backend import TURING, usable_gpu
from mura_batch.runtime.tensorrt_rtx.compile import BuildOptions, compile_plan

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(90)]
Figure = Callable[[str, object], None]


@pytest.fixture
def rtx_gpu(gpu: Gpu) -> Gpu:
    found = usable_gpu(str(gpu.index))
    if isinstance(found, Absent):
        pytest.skip(f"not run: {found.reason}")
    return found[0]


def test_a_plan_is_accepted_and_its_kernels_are_cached(
    rtx_gpu: Gpu, model: Model, tmp_path: Path, figure: Figure
) -> None:
    capability = (TURING,) if rtx_gpu.compute_capability == TURING else ()
    compile_plan(model, BuildOptions(compute_capabilities=capability))
    options = RunnerOptions(backend="rtx", batch_size=32, cache_dir=tmp_path / "cache")
    for start in ("first", "later"):
        begun = time.perf_counter()
        with open_runner(model, options) as runner:
            figure(f"{start} start, seconds", round(time.perf_counter() - begun, 1))
            figure("accepted", runner.info.reason)
            size = model.card.input.size
            batch = np.random.default_rng(0).integers(0, 256, (32, 1, size, size), dtype=np.uint8)
            list(runner.run([batch] * 4))
            begun = time.perf_counter()
            list(runner.run([batch] * 50))
            figure("images a second", round(50 * 32 / (time.perf_counter() - begun)))
            assert runner.info.parity_max_abs_error is not None
            assert runner.info.parity_max_abs_error <= 5e-3
