"""The benchmark: what it compares is what it says, and its clock runs over the work alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from train.measure.step_speed import EAGER, FEWEST, loader_rate, step_rate, tuned

CPU = torch.device("cpu")


def layouts(way: Any) -> set[tuple[bool, bool, bool]]:
    """(plain NCHW, channels last, cuDNN may search) of what each convolution is given in a measurement."""
    seen = set()

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d):
            (x,) = inputs
            last = x.is_contiguous(memory_format=torch.channels_last)
            seen.add((x.is_contiguous(), last, torch.backends.cudnn.benchmark))

    hook = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        step_rate(way, CPU, size=64, batch=2, steps=1)
    finally:
        hook.remove()
    return seen


def test_the_baseline_is_eager_float32_and_tuning_uses_channels_last() -> None:
    assert layouts(EAGER) == {(True, False, True)}
    # the first convolution is given the picture as it comes, and gives channels last
    assert layouts(tuned(CPU)) == {(True, False, True), (False, True, True)}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loaders_rate_leaves_the_start_of_its_processes_out(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """By a clock of its own, a loader needs 100 seconds for its first batch and 2 milliseconds for each other."""
    seen, now = [], [0.0]

    def slow_to_start(_views: object, rows: Any, part: Any, _workers: int) -> Iterator[dict[str, Tensor]]:
        for number in range(len(rows) // part.batch):
            now[0] += 0.002 if number else 100.0
            seen.append(part.batch)
            yield {"images": torch.zeros(part.batch)}

    monkeypatch.setattr("train.measure.step_speed.loader", slow_to_start)
    monkeypatch.setattr("train.measure.step_speed.time.perf_counter", lambda: now[0])
    rate = loader_rate(size=8, batch=16, workers=workers, batches=1)
    assert sum(seen) > FEWEST
    assert rate == pytest.approx(16 / 0.002)
