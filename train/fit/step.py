"""One step of training: its batch, its rates, its losses; and what stays the same from step to step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mura_batch.errors import InputError
from mura_batch.preprocess import CROP, InputSpec
from train.data.examples import TRAIN, VAL
from train.data.input_cache import model_inputs
from train.data.loader import Slice, Targets, TermWeights, Views, epoch_rows, loader, targets_of
from train.data.whole_pictures import WholePictures, whole_pictures
from train.fit.job import Job
from train.fit.loss import term_weights, training_loss
from train.fit.optimizer import set_rates
from train.fit.processes import Process
from train.fit.recipe import Recipe, Stage
from train.fit.run_log import RunLog
from train.fit.schedule import momentum, rate
from train.fit.state import Identity, RunState
from train.fit.teacher import Teacher
from train.fit.validate import autocast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paced:
    """A stage and the steps that an epoch of it has."""

    stage: Stage
    steps: int


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was taken; its losses are still on the device."""

    step: int
    main: torch.Tensor
    aux: torch.Tensor
    lr: float


@dataclass(frozen=True, slots=True)
class Setting:
    """What stays the same from step to step."""

    job: Job
    process: Process
    identity: Identity
    targets: Targets
    val_weights: TermWeights
    teacher: Teacher | None
    log: RunLog | None  # of rank 0
    interrupted: Callable[[], bool]  # whether Ctrl-C was pressed

    @property
    def recipe(self) -> Recipe:
        return self.job.recipe

    def val_inputs(self, size: int) -> NDArray[np.uint8]:
        """[N, S, S]."""
        return self._model_inputs(VAL, size)

    def training_pictures(self, size: int) -> NDArray[np.uint8] | WholePictures:
        """[N, S, S]; pictures of which random squares are cut where scoring sees the centre square."""
        if self.recipe.resize == CROP:
            return self._by_rank(lambda: whole_pictures(self.job.dataset, size, self.job.cache))
        return self._model_inputs(TRAIN, size)

    def _model_inputs(self, split: str, size: int) -> NDArray[np.uint8]:
        spec = InputSpec(size=size, resize=self.recipe.resize)
        return self._by_rank(lambda: model_inputs(self.job.dataset, split, spec, self.job.cache))

    def _by_rank(self, read: Callable[[], T]) -> T:
        """Rank 0 writes the cache, the others wait for it."""
        if self.process.leads:
            read()
        self.process.wait()
        return read()


def make_setting(
    job: Job, process: Process, identity: Identity, log: RunLog | None, interrupted: Callable[[], bool]
) -> Setting:
    train, val = job.dataset.split(TRAIN), job.dataset.split(VAL)
    targets = targets_of(train, term_weights(job.recipe.loss, train, train), job.recipe.model.aux)
    teacher = Teacher(job.teacher, process.device, job.recipe.precision) if job.teacher else None
    if teacher is not None and teacher.input.resize != job.recipe.resize:
        raise InputError(
            f"recipe {job.recipe.name} has resize = {job.recipe.resize!r}, its teacher was trained with "
            f"{teacher.input.resize!r}: what one network is taught, the other has to see"
        )
    val_weights = term_weights(job.recipe.loss, train, val)
    return Setting(job, process, identity, targets, val_weights, teacher, log, interrupted)


def epoch_batches(setting: Setting, state: RunState) -> tuple[Paced, Iterable[dict[str, Any]]]:
    recipe, process, job = setting.recipe, setting.process, setting.job
    stage, within = recipe.stages[state.stage], recipe.stage_at(state.epoch)[1]
    rows = epoch_rows(job.dataset.split(TRAIN), recipe.sampling, recipe.seed, state.epoch)
    inputs = setting.training_pictures(stage.size_at(within))
    views = Views(inputs, setting.targets, recipe.augmentation, recipe.seed, state.epoch)
    part = Slice(recipe.seed, state.epoch, stage.batch, state.batches, process.rank, process.world)
    return Paced(stage, len(rows) // stage.batch), loader(views, rows, part, job.workers)


def take_step(setting: Setting, state: RunState, paced: Paced, forward: nn.Module, batch: dict[str, Any]) -> Step:
    recipe, process, stage, steps = setting.recipe, setting.process, paced.stage, paced.steps
    # by step, not from where the generator happens to be: dropout after a resumption is what it would have been
    torch.manual_seed(hash((recipe.seed, state.step, process.rank)) & 0xFFFFFFFF)
    done = state.step - state.first_step
    set_rates(state.optimizer, rate(stage, done, steps, state.plateau), momentum(stage, done, steps))
    main, auxiliary = descend(setting, state, forward, batch)
    state.average.update(done)
    return Step(state.step, main.detach(), auxiliary.detach(), float(state.optimizer.param_groups[-1]["lr"]))


def descend(
    setting: Setting, state: RunState, forward: nn.Module, batch: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One optimiser step at the rates that the optimiser has: (main loss, auxiliary loss), still on the device."""
    recipe, process = setting.recipe, setting.process
    batch = {key: value.to(process.device, non_blocking=True) for key, value in batch.items()}
    if setting.teacher is not None:
        batch["teacher"], batch["teacher_maps"] = setting.teacher.answers(batch["images"])
    with autocast(recipe.precision, process.device):
        outputs = forward(batch["images"])
    total, main, auxiliary = training_loss(outputs, batch, recipe.loss, recipe.distil)
    state.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
    if recipe.optimizer.clip:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.net.parameters(), recipe.optimizer.clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad()
    return main, auxiliary
