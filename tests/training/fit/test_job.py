"""What must fit before a training job starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mura_batch.errors import InputError
from train.data.open_dataset import open_dataset
from train.fit.job import Job, check_job
from train.fit.processes import Process
from train.fit.recipe import read_recipe


@pytest.fixture
def job(mura: Path, recipe: Path, tmp_path: Path) -> Job:
    return Job(read_recipe(recipe), open_dataset(mura), tmp_path / "run", tmp_path / "cache", "a test")


def processes(world: int) -> Process:
    return Process(0, world, torch.device("cpu"))


def test_one_picture_a_process_is_refused_in_words(job: Job) -> None:
    with pytest.raises(InputError, match="a batch of 8 leaves 8 processes one picture each"):
        check_job(job, processes(8))


def test_a_batch_that_cannot_be_shared_is_refused(job: Job) -> None:
    with pytest.raises(InputError, match="a batch of 8 cannot be shared by 3 processes"):
        check_job(job, processes(3))


def test_few_pictures_a_process_are_a_warning(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    check_job(job, processes(4))
    assert "batch norm sees only 2 pictures in each of 4 processes" in capsys.readouterr().err
    check_job(job, processes(1))
    assert capsys.readouterr().err == ""


def test_a_batch_larger_than_an_epoch_is_refused(job: Job) -> None:
    stages = (replace(job.recipe.stages[0], batch=64),)
    with pytest.raises(InputError, match="24 training rows an epoch are less than a batch"):
        check_job(replace(job, recipe=replace(job.recipe, stages=stages)), processes(1))
