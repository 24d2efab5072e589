"""The training step on a real GPU: the tuned way beside float32 eager, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

# torch.compile takes minutes the first time: it has a limit of its own, and its seconds are a figure of their own.
pytestmark = [pytest.mark.gpu, pytest.mark.timeout(240)]
SIZE, BATCH, STEPS = 320, 64, 20


def test_the_tuned_step_is_at_least_four_times_float32_eager(
    cuda_device: Any, figure: Callable[[str, object], None]
) -> None:
    from train.measure.step_speed import EAGER, step_rate, tuned

    rates = []
    for way in (EAGER, tuned(cuda_device)):
        started = time.perf_counter()
        step_rate(way, cuda_device, SIZE, BATCH, 1)
        figure(f"{way.name}, seconds of compiling and warm-up", round(time.perf_counter() - started, 1))
        rates.append(step_rate(way, cuda_device, SIZE, BATCH, STEPS))
        figure(f"{way.name}, img/s at {SIZE} px", round(rates[-1]))
    eager, fast = rates
    assert fast >= 4 * eager
