"""Which checkpoints make an ensemble, which runs do not go together, and what the card tells of all of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mura_batch.errors import InputError
from mura_batch.model_card import load_model
from train.deliver.ensemble import joint_log, lowest_losses
from train.models.weight_file import write_checkpoint

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


@pytest.mark.slow
def test_the_card_sums_looks_and_seconds_of_every_run(
    finished: Path,
    mura: Path,
    cache: Path,
    card: Path,
    tmp_path: Path,
    here: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    other = shutil.copytree(finished, tmp_path / "other")
    (other / "epochs.csv").write_text("epoch,sec,val_auroc\n0,1000,0.5\n1,1000,\n2,1000,0.6\n")
    where = ("--data", mura, "--cache", cache, "--card", card, "--out", tmp_path / "model")
    done = here("ensemble", finished, other, "--count", "1", *where)
    assert done.returncode == 0, done.stderr
    training = load_model(tmp_path / "model").card.training
    assert training["validation_looks"] == [0, 1, 0, 2]
    assert 3000 <= training["seconds"] < 3300
