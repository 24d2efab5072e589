"""Learning rates and momenta of a stage: pure functions of the step, so that a resumed run needs no state for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from train.fit.recipe import Stage

DIV_START = 25.0  # fastai 1 fit_one_cycle: div_factor
DIV_END = 25e4  # fastai 1 OneCycleScheduler: final_div = div_factor * 1e4
MOMENTA = (0.95, 0.85)  # fastai 1 fit_one_cycle: moms
PLATEAU_FACTOR = 0.1  # arXiv:1712.06957, section 3.1: "decay by a factor of 10"


@dataclass(frozen=True, slots=True)
class Plateau:
    """State of the one schedule that looks at the run: the lowest validation loss so far and the factor reached."""

    best: float = math.inf
    factor: float = 1.0

    def after(self, loss: float) -> Plateau:
        """Each epoch that does not better the loss divides the rate by ten."""
        return Plateau(loss, self.factor) if loss < self.best else Plateau(self.best, self.factor * PLATEAU_FACTOR)


def rate(stage: Stage, step: int, steps_per_epoch: int, plateau: Plateau) -> float:
    """The factor on a stage's learning rate at a step of the stage, counted from 0."""
    total, warmup = stage.epochs * steps_per_epoch, stage.warmup * steps_per_epoch
    match stage.schedule:
        case "plateau":
            return plateau.factor
        case "one_cycle":
            return _one_cycle_rate(step, total, stage.warmup)
        case "cosine":
            return (step + 1) / warmup if step < warmup else _cosine(1.0, 0.0, (step - warmup) / (total - warmup))
        case "warmup_stable_decay":
            return _warmup_stable_decay(step, total, warmup, stage.cooldown * steps_per_epoch)
    return 1.0


def momentum(stage: Stage, step: int, steps_per_epoch: int) -> float | None:
    """Adam's first beta at a step where the schedule decides it: a one-cycle lowers it while the rate is high."""
    if stage.schedule != "one_cycle":
        return None
    high, low = MOMENTA
    share, rising = _phase(step, stage.epochs * steps_per_epoch, stage.warmup)
    return _cosine(high, low, share) if rising else _cosine(low, high, share)


def _one_cycle_rate(step: int, total: int, rising_share: float) -> float:
    share, rising = _phase(step, total, rising_share)
    return _cosine(1 / DIV_START, 1.0, share) if rising else _cosine(1.0, 1 / DIV_END, share)


def _phase(step: int, total: int, rising_share: float) -> tuple[float, bool]:
    """(share of the phase that is done, whether it is the rising one), as fastai 1 counts its iterations."""
    rise = int(total * rising_share)
    return (step / rise, True) if step < rise else ((step - rise) / (total - rise), False)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _warmup_stable_decay(step: int, total: int, warmup: float, cooldown: float) -> float:
    """Linear up, flat, then 1 - sqrt(t) down: Haegele et al. 2024, arXiv:2405.18392, section 3."""
    if step < warmup:
        return (step + 1) / warmup
    if step >= total - cooldown:
        return max(0.0, 1 - math.sqrt((step - (total - cooldown)) / cooldown))
    return 1.0
