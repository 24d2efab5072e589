"""The training step on a real GPU: the tuned way beside float32 eager, in one run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mura_batch.runtime.nvidia.devices import Gpu

pytestmark = pytest.mark.gpu
SIZE, BATCH, STEPS = 320, 64, 20


def test_the_tuned_step_is_at_least_four_times_float32_eager(gpu: Gpu, figure: Callable[[str, object], None]) -> None:
    import torch

    from train.measure.step_speed import EAGER, step_rate, tuned

    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    device = torch.device("cuda", gpu.index)
    rates = {way.name: step_rate(way, device, SIZE, BATCH, STEPS) for way in (EAGER, tuned(device))}
    for name, rate in rates.items():
        figure(f"{name}, img/s at {SIZE} px", round(rate))
    eager, fast = rates.values()
    assert fast >= 4 * eager
