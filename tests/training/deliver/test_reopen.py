"""A model folder becomes a checkpoint again: it scores the same, trains on, and an ensemble is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mura_batch.model_card import load_model
from mura_batch.preprocess import InputSpec
from train.data.examples import TRAIN
from train.data.input_cache import model_inputs
from train.data.open_dataset import open_dataset
from train.deliver.reopen import measure_statistics, scoring_network
from train.measure.predictor import open_predictor
from train.models.checkpoint import trained_network
from train.models.densenet import MuraNet
from train.models.weight_file import read_checkpoint

ROOT = Path(__file__).resolve().parents[3]
Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def pictures(mura: Path, cache: Path) -> np.ndarray:
    return model_inputs(open_dataset(mura), TRAIN, InputSpec(size=32), cache)


def test_the_checkpoint_says_of_a_picture_what_the_folder_says(
    exported: Path, mura: Path, cache: Path, pictures: np.ndarray, tmp_path: Path, here: Here
) -> None:
    done = here("reopen", exported, "--data", mura, "--cache", cache, "--out", tmp_path / "start.pt")
    assert done.returncode == 0, done.stderr
    values = read_checkpoint(tmp_path / "start.pt")
    net = trained_network(values, tmp_path / "start.pt")
    card = load_model(exported).card
    with torch.no_grad():
        logits = net(torch.from_numpy(np.array(pictures))[:, None])[0].double().numpy()
    probability, _ = open_predictor([exported]).run(pictures)
    assert np.ptp(probability) > 0.005, "these pictures would not tell one network from another"
    assert np.abs(1 / (1 + np.exp(-(logits / card.temperature + card.calibration_bias))) - probability).max() < 5e-4
    assert "reopened from tiny 1" in values["command"]


@torch.no_grad()
def test_a_training_step_starts_from_the_same_network(exported: Path, pictures: np.ndarray) -> None:
    """In training mode batch norms use the batch's own statistics: here the batch is what was measured."""
    net, images = scoring_network(load_model(exported)), torch.from_numpy(np.array(pictures))[:, None]
    before = net(images)[0]
    measure_statistics(net, pictures)
    assert torch.allclose(net(images)[0], before, atol=1e-4)
    net.train()
    assert torch.allclose(net(images)[0], before, atol=2e-3)
    unmeasured = scoring_network(load_model(exported)).train()
    assert (unmeasured(images)[0] - before).abs().max() > 0.02, "without the measurement it is another network"


def test_training_goes_on_from_it(
    exported: Path, mura: Path, cache: Path, recipe: Path, tmp_path: Path, here: Here
) -> None:
    where = ("--data", mura, "--cache", cache)
    assert here("reopen", exported, *where, "--out", tmp_path / "start.pt").returncode == 0
    done = here("fit", recipe, *where, "--init", tmp_path / "start.pt", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    trained = trained_network(read_checkpoint(tmp_path / "run" / "final.pt"), tmp_path)
    start = trained_network(read_checkpoint(tmp_path / "start.pt"), tmp_path)
    fresh = MuraNet().features.conv0.weight
    moved = (trained.features.conv0.weight - start.features.conv0.weight).norm()
    assert 0 < moved < 0.2 * (trained.features.conv0.weight - fresh).norm()
