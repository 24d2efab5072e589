"""Learning rates against numbers worked out by hand and against torch's own scheduler."""

from __future__ import annotations

import math

import pytest
import torch

from train.fit.recipe import Stage
from train.fit.schedule import Plateau, momentum, rate


def stage(schedule: str, epochs: int = 10, warmup: float = 0.0, cooldown: float = 0.0) -> Stage:
    return Stage(epochs, 1e-3, 8, ((0, 320),), schedule, warmup, cooldown)


def test_one_cycle_has_the_values_that_fastai_documents() -> None:
    """fastai 1 fit_one_cycle: from lr/25 up over 30 % of the steps, down to lr/25e4, both on a cosine; momentum
    0.95 to 0.85 and back (docs.fast.ai, callbacks.one_cycle)."""
    cycle = stage("one_cycle", warmup=0.3)
    at = {step: rate(cycle, step, 10, Plateau()) for step in (0, 15, 30, 65, 99)}
    assert at[0] == pytest.approx(0.04)
    assert at[15] == pytest.approx((1 + 0.04) / 2)  # half-way up a cosine is the mean of its ends
    assert at[30] == 1.0
    assert at[65] == pytest.approx((1 + 4e-6) / 2)
    assert at[99] == pytest.approx(4e-6 + (1 - 4e-6) * (1 + math.cos(math.pi * 69 / 70)) / 2)
    assert [momentum(cycle, step, 10) for step in (0, 30)] == pytest.approx([0.95, 0.85])
    assert momentum(cycle, 65, 10) == pytest.approx(0.90)


def test_one_cycle_follows_torchs_one_cycle_within_a_step() -> None:
    """torch counts its phases one step shorter; with 1000 steps the curves may differ by a step's change, not more."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=1000,
        pct_start=0.3,
        div_factor=25,
        final_div_factor=1e4,
        cycle_momentum=False,
    )
    cycle = stage("one_cycle", epochs=10, warmup=0.3)
    for step in range(1000):
        assert rate(cycle, step, 100, Plateau()) == pytest.approx(theirs.get_last_lr()[0], abs=0.006)
        optimizer.step()
        theirs.step()


def test_warmup_stable_decay_falls_as_one_minus_a_root() -> None:
    wsd = stage("warmup_stable_decay", epochs=10, warmup=1, cooldown=4)
    assert [rate(wsd, step, 4, Plateau()) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert rate(wsd, 23, 4, Plateau()) == 1.0
    # the last 16 of 40 steps: 1 - sqrt(0), 1 - sqrt(4/16), 1 - sqrt(9/16)
    assert [rate(wsd, 24 + n, 4, Plateau()) for n in (0, 4, 9)] == pytest.approx([1.0, 0.5, 0.25])


def test_cosine_ends_near_nothing() -> None:
    cosine = stage("cosine", epochs=10, warmup=1)
    assert rate(cosine, 0, 10, Plateau()) == pytest.approx(0.1)
    assert rate(cosine, 55, 10, Plateau()) == pytest.approx(0.5)
    assert rate(cosine, 99, 10, Plateau()) < 0.001


def test_a_plateau_divides_the_rate_by_ten_each_time() -> None:
    """arXiv:1712.06957, section 3.1."""
    state = Plateau()
    factors = []
    for loss in (0.6, 0.5, 0.55, 0.4, 0.45, 0.41):
        state = state.after(loss)
        factors.append(rate(stage("plateau"), 0, 10, state))
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001])
