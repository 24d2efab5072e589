"""`fit`: the training loop, from a recipe and a data set to checkpoints and curves.

Running the same command again continues a run that was stopped, from its last checkpoint; on a CPU with the same number
of threads the curve is the same to the bit as that of a run that was never stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from mura_batch.errors import MuraBatchError
from mura_batch.progress import progress_bar
from train.data.examples import VAL
from train.fit.interrupt import deferred_interrupt
from train.fit.job import Job, check_job
from train.fit.malloc import keep_freed_memory
from train.fit.pace import pace_words, work_left
from train.fit.processes import device_words, joined, precision_warning
from train.fit.recipe import Recipe
from train.fit.run_log import RunLog
from train.fit.state import (
    FINAL,
    RunState,
    averaged,
    begun,
    carried,
    identity_of,
    keep_best,
    next_stage,
    resumed,
    save,
    write_final,
)
from train.fit.step import Paced, Setting, Step, epoch_batches, make_setting, take_step
from train.fit.validate import Look, logits_of, look

FLUSH_EVERY = 20  # steps between readings of the loss: each reading makes a GPU wait for the last step


def fit(job: Job) -> Path:
    """Trains to the end of the recipe and returns RUN/final.pt. Raises InputError on a run or recipe that does not fit,
    OutputError when the disk is full, MuraBatchError when the loss is no longer a number."""
    with joined(job.device) as process:
        check_job(job, process)
        if process.leads:
            sys.stderr.write(f"Training {device_words(job.device, process.device)}\n")
            if warning := precision_warning(job.recipe.precision, process.device):
                sys.stderr.write(f"Warning: {warning}\n")
        identity = identity_of(job, process.world)
        if process.device.type == "cpu":
            keep_freed_memory()
        state = resumed(job.recipe, identity, job.out, process.device) or begun(job, process.device)
        # several processes must stop at one step, so Ctrl-C is deferred for a single one only
        with deferred_interrupt(process.world == 1) as interrupted, ExitStack() as stack:
            log = stack.enter_context(closing(RunLog(job.out, state.step, state.epoch))) if process.leads else None
            return _train(make_setting(job, process, identity, log, interrupted), state)


def _train(setting: Setting, state: RunState) -> Path:
    recipe, out = setting.recipe, setting.job.out
    _read_val_first(setting, state)
    forward = setting.process.wrap(state.net, setting.job.compiled)
    while state.epoch < recipe.epochs and not _stopped_early(setting, state):
        if recipe.stage_at(state.epoch)[0] != state.stage:
            state = next_stage(state, recipe, _best_of_stage(setting, state))
            forward = setting.process.wrap(state.net, setting.job.compiled)
        _epoch(setting, state, forward)
        seen = _validated(setting, state)
        _close_epoch(setting, state, seen)
    if setting.process.leads and not (out / FINAL).is_file():
        write_final(state, recipe, setting.identity, _best_of_stage(setting, state), out)
    setting.process.wait()
    return out / FINAL


def _read_val_first(setting: Setting, state: RunState) -> None:
    """Decodes val at every size that is still to come: a picture that cannot be read costs no epoch."""
    recipe = setting.recipe
    places = (recipe.stage_at(epoch) for epoch in range(state.epoch, recipe.epochs))
    for size in dict.fromkeys(recipe.stages[stage].size_at(within) for stage, within in places):
        setting.val_inputs(size)


def _stopped_early(setting: Setting, state: RunState) -> bool:
    recipe = setting.recipe
    stopped = bool(recipe.early_stop) and state.best.looks_since >= recipe.early_stop
    if stopped and setting.process.leads:
        sys.stderr.write(
            f"Early stop after epoch {state.epoch - 1}: {recipe.criterion} has not improved for {recipe.early_stop}\n"
        )
    return stopped


def _best_of_stage(setting: Setting, state: RunState) -> Mapping[str, Any] | None:
    """The checkpoint that the present stage carries; None, and said so where it should have one: its last weights."""
    carry = setting.recipe.stages[state.stage].carry
    best = carried(state, setting.recipe, setting.job.out) if carry else None
    if carry and best is None and setting.process.leads:
        sys.stderr.write(f"stage {state.stage}: {carry} of val was never defined; its last epoch is carried\n")
    return best


def _epoch(setting: Setting, state: RunState, forward: nn.Module) -> None:
    """The batches of state.epoch from state.batches on. After Ctrl-C: saves the run, raises KeyboardInterrupt."""
    process, job = setting.process, setting.job
    stage, batches = epoch_batches(setting, state)
    pending: list[Step] = []
    started = began = time.monotonic()
    first = state.batches
    forward.train()
    with progress_bar(f"epoch {state.epoch}", stage.steps, process.leads) as advance:
        for batch in batches:
            pending.append(take_step(setting, state, stage, forward, batch))
            state.batches, state.step = state.batches + 1, state.step + 1
            interrupted, last = setting.interrupted(), state.batches == stage.steps
            # the last batch too: looking at val may fail, and the epoch would be lost
            due = interrupted or last or (job.save_every and state.step % job.save_every == 0)
            if due or len(pending) == FLUSH_EVERY:
                _flush(setting, state, pending)
                advance(state.batches, _bar_words(setting, state, stage, state.batches - first, began))
            if due and process.leads:
                state.seconds, started = state.seconds + time.monotonic() - started, time.monotonic()
                save(state, setting.identity, job.out)
            if interrupted:
                raise KeyboardInterrupt(f"stopped after step {state.step}; the same command continues {job.out}")


def _bar_words(setting: Setting, state: RunState, paced: Paced, done: int, began: float) -> str:
    """done: batches since `began`, time.monotonic()."""
    recipe, stage = setting.recipe, paced.stage
    size = stage.size_at(recipe.stage_at(state.epoch)[1])
    left = work_left(recipe, paced.steps * stage.batch, state.epoch, state.batches)
    pace = pace_words(done * stage.batch, time.monotonic() - began, size, left)
    lr = state.optimizer.param_groups[-1]["lr"]
    return f"loss {state.sums[0] / state.batches:.4f}, lr {lr:.3g}, {pace}"


def _flush(setting: Setting, state: RunState, pending: list[Step]) -> None:
    """Reads the losses of the steps since the last reading, checks and logs them."""
    losses = setting.process.mean(torch.stack([torch.stack([p.main, p.aux]) for p in pending])).tolist()
    rows = [(p.step, state.epoch, main, aux, p.lr) for p, (main, aux) in zip(pending, losses, strict=True)]
    pending.clear()
    for step, _, main, aux, _ in rows:
        if not np.isfinite(main + aux):
            raise MuraBatchError(f"the loss is {main} at step {step}: lower the recipe's lr, or train in float32")
        state.sums = [state.sums[0] + main, state.sums[1] + aux]
    if setting.log is not None:
        setting.log.steps(rows)


def _validated(setting: Setting, state: RunState) -> Look | None:
    """Rank 0 looks; every rank gets to know, because a plateau changes the rate."""
    recipe, process = setting.recipe, setting.process
    if not recipe.looks_at(state.epoch):
        return None
    stage, within = recipe.stages[state.stage], recipe.stage_at(state.epoch)[1]
    inputs = setting.val_inputs(stage.size_at(within))
    seen = None
    if process.leads:
        net = averaged(state, recipe.optimizer.average)
        logits = logits_of(net, inputs, recipe.precision, process.device)
        seen = look(logits, setting.job.dataset.split(VAL), setting.val_weights)
    seen = cast(Look, process.broadcast(seen))  # rank 0 computed it
    state.plateau = state.plateau.after(seen.loss) if stage.schedule == "plateau" else state.plateau
    return seen


def _close_epoch(setting: Setting, state: RunState, seen: Look | None) -> None:
    """Logs the epoch, keeps its weights if they are among the best, and saves the start of the next."""
    if setting.log is not None:
        row = _epoch_row(setting.recipe, state, seen)
        setting.log.epoch(row, state.step)
        words = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        sys.stderr.write(" ".join(words) + "\n")
        if seen is not None:
            keep_best(state, seen, setting.recipe, setting.identity, setting.job.out)
    if seen is not None:
        state.best.count_look(seen.worth(setting.recipe.criterion))
    state.epoch, state.batches, state.sums, state.seconds = state.epoch + 1, 0, [0.0, 0.0], 0.0
    if setting.process.leads:
        save(state, setting.identity, setting.job.out)
    setting.process.wait()


def _epoch_row(recipe: Recipe, state: RunState, seen: Look | None) -> dict[str, Any]:
    return {
        "epoch": state.epoch,
        "stage": state.stage,
        "size": recipe.stages[state.stage].size_at(recipe.stage_at(state.epoch)[1]),
        "loss": state.sums[0] / state.batches,
        "aux": state.sums[1] / state.batches,
        "lr": float(state.optimizer.param_groups[-1]["lr"]),
        "sec": round(state.seconds),
        "at": time.strftime("%H:%M:%S"),
        **({f"val_{key}": value for key, value in asdict(seen).items()} if seen else {}),
    }
