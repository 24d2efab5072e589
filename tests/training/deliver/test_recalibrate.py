"""A model folder gets the calibration of other pictures, and keeps its weights."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mura_batch.model_card import load_model
from train.data.examples import VAL, labels_of
from train.data.input_cache import model_inputs
from train.data.open_dataset import open_dataset
from train.measure.predictor import open_predictor

Here = Callable[..., subprocess.CompletedProcess[str]]


def large_weights(folder: Path) -> dict[str, np.ndarray]:
    graph = onnx.load(folder / "model.onnx").graph
    return {w.name: numpy_helper.to_array(w) for w in graph.initializer if np.prod(w.dims) > 1}


def test_scores_become_as_frequent_as_findings_and_weights_stay(
    exported: Path, make_tree: Callable[..., Path], here: Here, tmp_path: Path
) -> None:
    tree, out = make_tree(tmp_path, with_csv=False), tmp_path / "ours"
    for normal in sorted(tree.glob("valid/*/*/study1_negative"))[3:]:
        shutil.rmtree(normal)
    data = ("--data", tree, "--cache", tmp_path / "cache")
    done = here("recalibrate", exported, *data, "--version", "1-ours", "--out", out)
    assert done.returncode == 0, done.stderr
    old, new = load_model(exported), load_model(out)
    dataset = open_dataset(tree)
    pictures = model_inputs(dataset, VAL, new.card.input, tmp_path / "cache")
    share = labels_of(dataset.split(VAL)).mean()
    assert share > 0.7
    assert open_predictor([out]).run(pictures)[0].mean() == pytest.approx(share, abs=0.01)
    assert open_predictor([exported]).run(pictures)[0].mean() < share - 0.1
    assert (new.card.name, new.card.version) == (old.card.name, "1-ours")
    assert new.card.training["counts"]["train"] == old.card.training["counts"]["train"]
    assert new.card.training["counts"]["val"]["studies"] == 18
    assert old.hash in new.card.training["recalibrated"]
    assert (out / "features.npz").read_bytes() == (exported / "features.npz").read_bytes()
    before, after = large_weights(exported), large_weights(out)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
