"""`python -m train fit`, run as a user runs it."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_curves_and_its_best_checkpoints(finished: Path) -> None:
    steps, epochs = rows(finished / "steps.csv"), rows(finished / "epochs.csv")
    # 3 regions x 6 studies, 2 of 6 with two pictures: 24 pictures, 3 batches of 8
    assert [int(r["step"]) for r in steps] == list(range(6))
    assert [int(r["epoch"]) for r in epochs] == [0, 1]
    assert all(0 < float(r["val_loss"]) < 100 for r in epochs)
    assert {p.name for p in finished.glob("best-*.pt")} == {"best-e000.pt", "best-e001.pt"}
    assert (finished / "final.pt").stat().st_size < 60_000_000
    assert list((finished / "tensorboard").glob("events.*"))


def test_the_final_checkpoint_is_the_average_and_not_the_last_weights(finished: Path) -> None:
    last = torch.load(finished / "last.pt", weights_only=True)
    final = torch.load(finished / "final.pt", weights_only=True)
    name = "features.conv0.weight"
    assert torch.equal(final["ema"][name], last["ema"][name])
    assert not torch.equal(final["ema"][name], last["model"][name])


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_an_epoch_and_run_again_is_the_same_to_the_bit(
    finished: Path, train: Command, mura: Path, recipe: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    command = ("fit", recipe, "--data", mura, "--out", out, "--cache", cache, "--save-every", "2")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "train", *map(str, command)], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    # the checkpoint of step 4 lies in the middle of the second epoch; the kill comes at some later moment
    _wait_for(lambda: (out / "epochs.csv").is_file() and len(rows(out / "steps.csv")) >= 4, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "final.pt").is_file(), "the kill came too late to show anything"

    assert train(*command).returncode == 0
    assert (out / "steps.csv").read_bytes() == (finished / "steps.csv").read_bytes()
    whole, resumed = (torch.load(run / "final.pt", weights_only=True)["ema"] for run in (finished, out))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    for column in ("val_loss", "val_auroc", "loss"):
        assert [r[column] for r in rows(out / "epochs.csv")] == [r[column] for r in rows(finished / "epochs.csv")]


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_finished_run_is_not_run_again(finished: Path, here: Command, mura: Path, recipe: Path, cache: Path) -> None:
    before = (finished / "final.pt").stat().st_mtime_ns
    assert here("fit", recipe, "--data", mura, "--out", finished, "--cache", cache).returncode == 0
    assert (finished / "final.pt").stat().st_mtime_ns == before
    assert len(rows(finished / "steps.csv")) == 6


def test_another_recipe_does_not_continue_a_run(
    finished: Path, here: Command, mura: Path, recipe_text: str, cache: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(recipe_text.replace("seed = 3", "seed = 4"), encoding="utf-8")
    done = here("fit", other, "--data", mura, "--out", finished, "--cache", cache)
    assert done.returncode == 2
    assert "another recipe" in done.stderr


def test_a_picture_that_cannot_be_read_is_named(
    here: Command, make_tree: Callable[..., Path], recipe: Path, tmp_path: Path
) -> None:
    tree = make_tree(tmp_path)
    bad = next(tree.glob("train/XR_HAND/*/*/image1.png"))
    bad.write_bytes(bad.read_bytes()[:100])
    done = here("fit", recipe, "--data", tree, "--out", tmp_path / "run", "--cache", tmp_path / "cache")
    assert done.returncode == 2
    assert str(bad) in done.stderr


def test_a_full_disk_is_told_in_one_line_that_names_the_file(
    here: Command, mura: Path, recipe: Path, tmp_path: Path, cache: Path
) -> None:
    """A limit on the size of a file fails a write as a full disk does: part of it is written, then an error."""
    run = tmp_path / "run"
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, limits[1]))
    try:
        done = here("fit", recipe, "--data", mura, "--out", run, "--cache", cache, "--save-every", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert done.returncode == 1
    assert "last.pt cannot be written" in done.stderr
    assert not [p for p in run.iterdir() if "tmp" in p.name], "half a checkpoint was left behind"


@pytest.mark.slow
def test_two_processes_share_each_batch_and_write_one_log(
    train: Command, mura: Path, recipe_text: str, cache: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "short.toml"
    recipe.write_text(recipe_text.replace("epochs = 2", "epochs = 1"), encoding="utf-8")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "train")
    done = train("fit", recipe, "--data", mura, "--out", tmp_path / "run", "--cache", cache, prefix=torchrun)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [int(r["step"]) for r in rows(tmp_path / "run/steps.csv")] == [0, 1, 2]
    values = torch.load(tmp_path / "run/last.pt", weights_only=True)
    assert values["world"] == 2
    assert np.isfinite(float(rows(tmp_path / "run/epochs.csv")[0]["val_loss"]))


def test_stages_freeze_carry_and_start_anew(
    here: Command, mura: Path, recipe_text: str, cache: Path, tmp_path: Path
) -> None:
    first, second = recipe_text.replace("epochs = 2", "epochs = 1").split("[[stages]]")
    second = f"[[stages]]{second}carry = 'loss'\n"
    recipe = tmp_path / "stages.toml"
    recipe.write_text(first + second.replace("carry", "frozen = true\ncarry") + second, encoding="utf-8")
    run = tmp_path / "run"
    done = here("fit", recipe, "--data", mura, "--out", run, "--cache", cache)
    assert done.returncode == 0, done.stderr
    assert [r["stage"] for r in rows(run / "epochs.csv")] == ["0", "1"]
    carried = torch.load(run / "carry.pt", weights_only=True)
    assert carried["epoch"] in (0, 1)
    rates = [float(r["lr"]) for r in rows(run / "steps.csv")]
    assert rates[:3] == rates[3:], "the second one-cycle begins where the first began"


def test_the_checkpoint_tells_how_it_was_made_without_the_folders_that_it_was_made_in(
    finished: Path, mura: Path
) -> None:
    values = torch.load(finished / "final.pt", weights_only=True)
    assert json.loads(values["recipe"])["seed"] == 3
    assert "--data MURA-v1.1 --out finished" in values["command"]
    assert str(mura.parent) not in values["command"]
