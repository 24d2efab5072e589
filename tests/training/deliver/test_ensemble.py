"""Which checkpoints make an ensemble, which runs do not go together, and what the card tells of all of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mura_batch.errors import InputError
from mura_batch.model_card import load_model
from train.deliver.ensemble import joint_log, lowest_losses
from train.models.checkpoint import trained_network
from train.models.float16_rounding import run_onnx
from train.models.scoring_graph import scoring_graph
from train.models.weight_file import read_checkpoint, write_checkpoint

ROOT = Path(__file__).resolve().parents[3]


def run_of(folder: Path, losses: Mapping[str, float], data: str = "d", size: int = 320, **loss: Any) -> Path:
    """A run folder as far as choosing looks at it."""
    recipe = {
        "loss": {"weighting": "positive", "positive_weight": 2.0, **loss},
        "stages": [{"sizes": [[0, 112]]}, {"sizes": [[0, 112], [3, size]]}],
    }
    kept = [{"file": file, "loss": value} for file, value in losses.items()]
    write_checkpoint({"recipe": json.dumps(recipe), "data": data, "best": {"kept": kept}}, folder / "last.pt")
    return folder


def test_the_lowest_losses_are_chosen_over_all_runs_lowest_first(tmp_path: Path) -> None:
    a = run_of(tmp_path / "a", {"best-e003.pt": 0.4, "best-e001.pt": 0.6})
    b = run_of(tmp_path / "b", {"best-e007.pt": 0.5})
    assert lowest_losses([a, b], 2) == [a / "best-e003.pt", b / "best-e007.pt"]
    assert lowest_losses([b, a], 3) == [a / "best-e003.pt", b / "best-e007.pt", a / "best-e001.pt"]
    with pytest.raises(InputError, match="there are 3 kept checkpoints, 4 were asked for"):
        lowest_losses([a, b], 4)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"data": "e"}, "a and .*b are of different data"),
        ({"size": 224}, "a and .*b end at different input sizes"),
        ({"positive_weight": 3.0}, "a and .*b weight their losses differently"),
        ({"weighting": "none"}, "a and .*b weight their losses differently"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    a, b = run_of(tmp_path / "a", {"best-e000.pt": 0.4}), run_of(tmp_path / "b", {"best-e000.pt": 0.5}, **other)
    with pytest.raises(InputError, match=message):
        lowest_losses([a, b], 1)


def test_an_unused_loss_weight_is_no_difference(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / str(weight), {"best-e000.pt": weight}, weighting="none", positive_weight=weight)
        for weight in (1.0, 2.0)
    ]
    assert len(lowest_losses(runs, 2)) == 2


def test_a_joint_log_needs_the_log_of_every_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/epochs.csv").write_text("epoch,sec,val_auroc\n0,7,0.5\n")
    assert joint_log([tmp_path / "a", tmp_path / "a"], tmp_path / "joint") == tmp_path / "a/epochs.csv"
    assert joint_log([tmp_path / "a", tmp_path / "b"], tmp_path / "joint") is None
    assert not (tmp_path / "joint").exists()


@pytest.fixture(scope="module")
def pair(finished: Path, mura: Path, cache: Path, card: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ensemble of the two lowest losses of two runs. The other run has only the worse of two checkpoints."""
    from train.cli.main import main

    root = tmp_path_factory.mktemp("pair")
    other = Path(shutil.copytree(finished, root / "other"))
    last = read_checkpoint(other / "last.pt")
    last["best"]["kept"].remove(min(last["best"]["kept"], key=lambda kept: kept["loss"]))
    write_checkpoint(last, other / "last.pt")
    (other / "epochs.csv").write_text("epoch,sec,val_auroc\n0,1000,0.5\n1,1000,\n2,1000,0.6\n")
    where = ["--data", mura, "--cache", cache, "--card", card, "--out", root / "model"]
    assert main(["ensemble", str(finished), str(other), "--count", "2", *map(str, where)]) == 0
    return root / "model"


@pytest.mark.slow
def test_the_card_sums_looks_and_seconds_of_every_run(pair: Path) -> None:
    training = load_model(pair).card.training
    assert training["members"] == 2
    assert training["validation_looks"] == [0, 1, 0, 2]
    assert 3000 <= training["seconds"] < 3300


@pytest.mark.slow
def test_an_ensemble_is_one_graph_of_the_lowest_losses(pair: Path, finished: Path) -> None:
    card = load_model(pair).card
    pictures = np.load(pair / "reference_inputs.npz")["images"][:2]
    nets = [trained_network(read_checkpoint(finished / f"best-e00{n}.pt"), pair) for n in (0, 1)]
    with torch.inference_mode():
        each = [
            scoring_graph([net], card.temperature, card.calibration_bias)(torch.from_numpy(pictures))[0].numpy()
            for net in nets
        ]
    assert np.abs(each[0] - each[1]).max() > 0.01, "two networks"
    together = run_onnx((pair / "model.onnx").read_bytes(), pictures[:, 0], threads=1)["probability"]
    np.testing.assert_allclose(together, np.mean(each, axis=0), atol=5e-3)


@pytest.mark.slow
def test_reopen_refuses_an_ensemble(
    pair: Path, mura: Path, cache: Path, tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = here("reopen", pair, "--data", mura, "--cache", cache, "--out", tmp_path / "start.pt")
    assert done.returncode == 1
    assert "an ensemble is several" in done.stderr
    assert not (tmp_path / "start.pt").exists()
