"""The mean of networks' weights: its batch norms fit it, it is exported as any checkpoint."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mura_batch.errors import InputError, ModelError
from mura_batch.model_card import load_model
from train.deliver.average import mean_network
from train.models.densenet import MuraNet
from train.models.members import Member, read_member
from train.models.weight_file import read_checkpoint

Here = Callable[..., subprocess.CompletedProcess[str]]


def test_weights_are_the_mean_and_heads_of_training_are_left_out() -> None:
    first, second = MuraNet(aux=2), MuraNet(taught=3)
    net = mean_network([Member(Path(), first, {}), Member(Path(), second, {})])
    expected = (first.classifier.weight + second.classifier.weight) / 2
    torch.testing.assert_close(net.classifier.weight, expected)
    assert net.aux is None
    assert net.taught is None


def test_one_network_and_other_architectures_have_no_mean() -> None:
    one = Member(Path(), MuraNet(), {})
    with pytest.raises(InputError, match="two checkpoints or more"):
        mean_network([one])
    pytest.importorskip("efficientnet_lite_pytorch", reason="teachers are an optional dependency")
    other = Member(Path(), MuraNet(arch="efficientnet_lite0"), {})
    with pytest.raises(ModelError, match="densenet169 and efficientnet_lite0"):
        mean_network([one, other])


def test_batch_norms_are_measured_on_pictures_of_the_size_asked_for(
    finished: Path, mura: Path, cache: Path, here: Here, tmp_path: Path
) -> None:
    runs, out = [finished / "best-e000.pt", finished / "final.pt"], tmp_path / "average.pt"
    done = here("average", *runs, "--data", mura, "--cache", cache, "--size", 48, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "of 2 checkpoints, at 48 px" in done.stdout
    member = read_member(out)
    assert member.size == 48
    means = [read_checkpoint(run)["ema"]["features.norm5.running_mean"].numpy() for run in runs]
    measured = read_checkpoint(out)["ema"]["features.norm5.running_mean"].numpy()
    assert not np.allclose(measured, np.mean(means, axis=0), atol=1e-4)


def test_an_average_is_exported_as_any_checkpoint(
    finished: Path, mura: Path, cache: Path, card: Path, here: Here, tmp_path: Path
) -> None:
    final, out, folder = finished / "final.pt", tmp_path / "average.pt", tmp_path / "model"
    data = ("--data", mura, "--cache", cache)
    done = here("average", final, final, *data, "--out", out)
    assert done.returncode == 0, done.stderr
    exported = here("export", out, *data, "--card", card, "--out", folder)
    assert exported.returncode == 0, exported.stderr
    made = load_model(folder).card
    assert made.input.size == 32
    assert made.training["command"].startswith("mean of the weights of [python -m train fit ")
