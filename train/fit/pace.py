"""How fast a run is and how long it still takes, for the progress bar."""

from __future__ import annotations

from datetime import timedelta

from train.fit.recipe import Recipe


def work_left(recipe: Recipe, rows: int, epoch: int, batches: int) -> float:
    """Pictures times their area (pixels) that the run has still to train on. rows: of an epoch; batches: of `epoch`
    that are done. The time of a step is nearly proportional to it."""
    left = 0.0
    for number in range(epoch, recipe.epochs):
        index, within = recipe.stage_at(number)
        stage = recipe.stages[index]
        done = batches if number == epoch else 0
        left += (rows // stage.batch - done) * stage.batch * stage.size_at(within) ** 2
    return left


def pace_words(pictures: int, seconds: float, size: int, left: float) -> str:
    """'85 img/s, run ends in 1:23:45'. pictures: trained on in so many seconds at size; left: see `work_left`, without
    the evaluations of val."""
    if not pictures or seconds <= 0:
        return ""
    rate = pictures / seconds
    return f"{rate:.3g} img/s, run ends in {timedelta(seconds=round(left / (rate * size * size)))}"
