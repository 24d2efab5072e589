"""`python -m train features` on a small data set, with the real command."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mura_batch.model_card import load_model
from mura_batch.preprocess import InputSpec
from mura_batch.runtime.cpu_answers import cpu_answers
from mura_batch.runtime.feature_distance import load_statistics
from train.data.examples import TRAIN, VAL
from train.data.input_cache import model_inputs
from train.data.open_dataset import open_dataset


def test_the_command_adds_what_outliers_are_found_by(
    exported: Path, mura: Path, cache: Path, tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    before = load_model(exported)
    done = here("features", folder, "--data", mura, "--cache", cache)
    assert done.returncode == 0, done.stderr
    model = load_model(folder)  # which checks every hash of the card
    assert model.hash == before.hash, "the network stays as it is, and so do its scores"
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "nothing is left beside it"
    statistics = load_statistics(model)
    assert statistics is not None
    dataset = open_dataset(mura)
    training, held_out = (model_inputs(dataset, split, InputSpec(size=32), cache) for split in (TRAIN, VAL))
    assert (statistics.pictures, statistics.held_out) == (len(training), len(held_out))
    assert f"of {len(training)} pictures" in done.stdout
    features = np.asarray(cpu_answers(model, "auto", np.array(training)[:, None]).features, np.float64)
    np.testing.assert_allclose(statistics.mean, features.mean(axis=0), rtol=1e-3, atol=1e-4)
    distances = statistics.distances(np.asarray(cpu_answers(model, "auto", np.array(held_out)[:, None]).features))
    assert np.quantile(distances, statistics.quantile) <= statistics.limit * 1.01
