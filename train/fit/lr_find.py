"""`lr-find`: the learning rate range test (Smith 2017, arXiv:1506.01186, section 3.3), as fastai 1's `lr_find` runs it.

The rate rises geometrically from step to step; the loss falls, then rises. Nothing is saved of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import torch

from train.fit.job import Job, check_job
from train.fit.processes import joined
from train.fit.state import at_stage, begun, identity_of
from train.fit.step import descend, epoch_batches, make_setting

LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 100  # fastai 1: start_lr, end_lr, num_it
SMOOTHING = 0.98  # fastai 1: beta of SmoothenValue, with bias correction
DIVERGED = 4.0  # fastai 1: stops when the smoothed loss is more than four times the lowest


@dataclass(frozen=True, slots=True)
class RateCurve:
    """rates, losses: of the steps that were taken; losses are smoothed."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggestion(self) -> float:
        """The rate at which the loss falls fastest over the logarithm of the rate; the first and last steps are left
        out, where smoothing has seen little and the loss diverges. NaN of fewer than 20 steps."""
        losses = np.array(self.losses)[10:-5]
        if len(losses) < 5:
            return float("nan")
        return self.rates[10 + int(np.argmin(np.gradient(losses)))]


def find_rate(job: Job, stage: int = 0) -> RateCurve:
    """From the weights that the recipe starts with, at the first epoch of a stage of it. Raises InputError as `fit`."""
    with joined(job.device) as process:
        check_job(job, process)
        state = at_stage(begun(job, process.device).net, job.recipe, stage)
        state.epoch = sum(s.epochs for s in job.recipe.stages[:stage])
        setting = make_setting(job, process, identity_of(job, process.world), None, lambda: False)
        forward = process.wrap(state.net, job.compiled)
        forward.train()
        torch.manual_seed(job.recipe.seed)
        rates, losses, mean, lowest = [], [], 0.0, float("inf")
        batches = chain.from_iterable(epoch_batches(setting, state)[1] for _ in range(STEPS))  # as many as are needed
        for number, batch in enumerate(islice(batches, STEPS)):
            lr = LOWEST * (HIGHEST / LOWEST) ** (number / (STEPS - 1))
            for group in state.optimizer.param_groups:
                group["lr"] = lr * group["base_lr"] / job.recipe.stages[stage].lr
            main, _ = descend(setting, state, forward, batch)
            mean = SMOOTHING * mean + (1 - SMOOTHING) * float(main.detach())
            smoothed = mean / (1 - SMOOTHING ** (number + 1))
            rates.append(lr)
            losses.append(smoothed)
            lowest = min(lowest, smoothed)
            if not np.isfinite(smoothed) or smoothed > DIVERGED * lowest:
                break
    return RateCurve(tuple(rates), tuple(losses))
