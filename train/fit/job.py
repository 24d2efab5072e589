"""A training job: a recipe on a data set, and what must fit before it starts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.preprocess import CROP, LETTERBOX
from train.data.examples import TRAIN, Dataset
from train.data.loader import epoch_rows
from train.fit.processes import Process
from train.fit.recipe import Recipe

FEW_A_PROCESS = 8  # the paper's batch on one device


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line decides beside the recipe. teacher: checkpoints to distil from. save_every: steps between
    checkpoints; 0: each epoch."""

    recipe: Recipe
    dataset: Dataset
    out: Path
    cache: Path
    command: str
    init: Path | None = None
    teacher: tuple[Path, ...] = ()
    device: str = "auto"
    workers: int = 0
    save_every: int = 0
    compiled: bool = False


def check_job(job: Job, process: Process) -> None:
    """Raises InputError on a recipe that cannot be trained on this data set or by these processes."""
    if job.recipe.init and job.init is None:
        raise InputError(f"recipe {job.recipe.name} starts from {job.recipe.init}: give the file with --init")
    if job.recipe.distil.asks != bool(job.teacher):
        advice = "takes no --teacher" if job.teacher else "needs --teacher for its [distil] weights"
        raise InputError(f"recipe {job.recipe.name} {advice}")
    if job.recipe.resize == CROP and job.dataset.kind == "dicom":
        raise InputError(
            f"recipe {job.recipe.name} cuts random squares of pictures, and DICOM studies are read at the size of the "
            f"model input: --set resize={LETTERBOX}"
        )
    train = job.dataset.split(TRAIN)
    known = frozenset[str]().union(*(e.attributes for e in train))
    if missing := [name for name in job.recipe.model.aux if name not in known]:
        raise InputError(
            f"recipe {job.recipe.name}: no training picture has the attribute {missing[0]!r} of [model] aux"
        )
    for stage in job.recipe.stages:
        _check_share(job.recipe.name, stage.batch, process)
    if job.recipe.precision == "fp16" and process.device.type == "cpu":
        raise InputError(
            f"recipe {job.recipe.name}: fp16 needs a GPU; on a CPU train with precision = 'bf16' or 'float32'"
        )
    smallest = len(epoch_rows(train, job.recipe.sampling, 0, 0))
    if smallest < max(stage.batch for stage in job.recipe.stages):
        raise InputError(
            f"{job.dataset.root}: {smallest} training rows an epoch are less than a batch of recipe {job.recipe.name}"
        )


def _check_share(recipe: str, batch: int, process: Process) -> None:
    """Batch norm takes its statistics over the pictures of one process."""
    share, rest = divmod(batch, process.world)
    if rest:
        raise InputError(f"recipe {recipe}: a batch of {batch} cannot be shared by {process.world} processes")
    if share < 2:
        raise InputError(
            f"recipe {recipe}: a batch of {batch} leaves {process.world} processes one picture each, and batch "
            "norm needs two; start fewer processes or give a larger batch"
        )
    if process.world > 1 and share < FEW_A_PROCESS and process.leads:
        sys.stderr.write(
            f"Warning: batch norm sees only {share} pictures in each of {process.world} processes (batch {batch}); "
            f"from {FEW_A_PROCESS} on its statistics are steady\n"
        )
