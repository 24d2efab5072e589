"""`python -m train fit`, run as a user runs it."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mura_batch.errors import InputError
from train.data.open_dataset import open_dataset
from train.fit.processes import device_words, pick_device, precision_warning
from train.fit.recipe import read_recipe
from train.fit.state import Identity, data_hash, fresh, init_hash, resumed
from train.fit.validate import Look
from train.models.weight_file import read_checkpoint, write_checkpoint

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[3]
CPU = torch.device("cpu")


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


def test_the_final_checkpoint_holds_the_averaged_weights(finished: Path) -> None:
    last = torch.load(finished / "last.pt", weights_only=True)
    final = torch.load(finished / "final.pt", weights_only=True)
    name = "features.conv0.weight"
    assert torch.equal(final["ema"][name], last["ema"][name])
    assert not torch.equal(final["ema"][name], last["model"][name])


@pytest.mark.slow
def test_a_run_killed_mid_epoch_resumes_with_identical_results(
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


def test_other_data_do_not_continue_a_run(
    finished: Path, here: Command, make_tree: Callable[..., Path], recipe: Path, tmp_path: Path
) -> None:
    tree = make_tree(tmp_path, with_csv=False)
    shutil.rmtree(next(tree.glob("train/XR_HAND/*")))
    done = here("fit", recipe, "--data", tree, "--out", finished, "--cache", tmp_path / "cache")
    assert done.returncode == 2
    assert "other data" in done.stderr


def test_other_weights_to_start_from_do_not_continue_a_run(
    finished: Path, here: Command, mura: Path, recipe: Path, cache: Path
) -> None:
    started = ("--init", finished / "final.pt")
    done = here("fit", recipe, "--data", mura, "--out", finished, "--cache", cache, *started)
    assert done.returncode == 2
    assert "other weights to start from (--init)" in done.stderr


@pytest.fixture
def identity(mura: Path, recipe: Path) -> Identity:
    """Of the run in `finished`."""
    return Identity(read_recipe(recipe).as_json(), data_hash(open_dataset(mura)), world=1, init="", command="")


def test_another_number_of_processes_does_not_continue_a_run(finished: Path, recipe: Path, identity: Identity) -> None:
    assert resumed(read_recipe(recipe), identity, finished, CPU) is not None
    with pytest.raises(InputError, match="another number of processes"):
        resumed(read_recipe(recipe), replace(identity, world=2), finished, CPU)


def test_a_run_of_an_older_checkpoint_format_resumes(
    finished: Path, recipe: Path, identity: Identity, tmp_path: Path
) -> None:
    values = read_checkpoint(finished / "last.pt")
    del values["init"]
    recorded = json.loads(values["recipe"])
    del recorded["augmentation"]["erase"]
    write_checkpoint({**values, "recipe": json.dumps(recorded)}, tmp_path / "last.pt")
    state = resumed(read_recipe(recipe), replace(identity, init="of some file"), tmp_path, CPU)
    assert state is not None
    assert state.step == 6


def test_initial_weights_are_identified_by_file_content(tmp_path: Path) -> None:
    for name, content in (("a.pt", b"one"), ("copy-of-a.pt", b"one"), ("b.pt", b"two")):
        (tmp_path / name).write_bytes(content)
    a, copy, b = (init_hash(tmp_path / name) for name in ("a.pt", "copy-of-a.pt", "b.pt"))
    assert a == copy != b
    with pytest.raises(InputError, match=r"c\.pt, the weights of --init, cannot be read"):
        init_hash(tmp_path / "c.pt")


def test_a_recipe_needs_the_initial_weights_it_asks_for(
    here: Command, mura: Path, recipe_text: str, cache: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "started.toml"
    recipe.write_text("init = 'ImageNet weights'\n" + recipe_text, encoding="utf-8")
    done = here("fit", recipe, "--data", mura, "--out", tmp_path / "run", "--cache", cache)
    assert done.returncode == 2
    assert "recipe started starts from ImageNet weights: give the file with --init" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_says_which_device_it_trains_on_and_why(
    finished: Path, here: Command, mura: Path, recipe: Path, cache: Path
) -> None:
    asked = ("fit", recipe, "--data", mura, "--out", finished, "--cache", cache)
    assert "Training on the CPU (--device cpu)\n" in here(*asked, "--device", "cpu").stderr
    assert f"Training {device_words('auto', pick_device('auto'))}\n" in here(*asked).stderr
    command = read_checkpoint(finished / "final.pt")["command"]
    assert command.endswith(f"--device {pick_device('auto').type}"), "what 'auto' was stands in the model's card"


@pytest.mark.parametrize(("has", "warned"), [(False, True), (True, False)])
def test_imitated_bf16_is_a_warning(has: bool, warned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"architecture": "x86_64", "avx512_bf16": has, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: facts, raising=False)
    cpu = torch.device("cpu")
    assert ("--set precision=float32" in precision_warning("bf16", cpu)) is warned
    assert precision_warning("float32", cpu) == ""
    assert precision_warning("bf16", torch.device("cuda")) == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_auto_without_a_gpu_says_so_and_cuda_is_refused() -> None:
    assert device_words("auto", pick_device("auto")) == "on the CPU (--device auto: torch sees no GPU here)"
    with pytest.raises(InputError, match="--device cuda: torch sees no GPU here"):
        pick_device("cuda")


def test_each_command_that_scores_says_on_which_device(
    finished: Path, exported: Path, here: Command, mura: Path, cache: Path, tmp_path: Path
) -> None:
    of_val = ("--data", mura, "--cache", cache)
    checkpoint = finished / "final.pt"
    assert "on the CPU (--device cpu)" in here("calibrate", checkpoint, *of_val, "--device", "cpu").stderr
    evaluated = here("evaluate", checkpoint, *of_val, "--out", tmp_path, "--device", "cpu")
    assert "on the CPU (--device cpu)" in evaluated.stderr
    listed = (mura / "valid_image_paths.csv", tmp_path / "predictions.csv", "--root", mura.parent)
    assert "on the CPU (by ONNX Runtime" in here("predict", exported, *listed).stderr
    refused = here("predict", exported, *listed, "--device", "cuda")
    assert refused.returncode == 2
    assert "which ONNX Runtime runs on the CPU" in refused.stderr


def test_a_terminal_shows_what_is_being_read_and_looked_at(
    here: Command, mura: Path, recipe_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    recipe, cache, run = tmp_path / "short.toml", tmp_path / "cache", tmp_path / "run"
    recipe.write_text(recipe_text.replace("epochs = 2", "epochs = 1"), encoding="utf-8")
    fitted = here("fit", recipe, "--data", mura, "--out", run, "--cache", cache)
    for words in ("reading train", "epoch 0", "reading val", "looking at val"):
        assert words in fitted.stderr
    data = ("--data", mura, "--cache", cache)
    assert "scoring" in here("evaluate", run / "final.pt", *data, "--out", tmp_path).stderr
    assert "scoring in float32" in here("calibrate", run / "final.pt", *data).stderr


def test_a_picture_that_cannot_be_read_is_named(
    here: Command, make_tree: Callable[..., Path], recipe: Path, tmp_path: Path
) -> None:
    tree = make_tree(tmp_path)
    bad = next(tree.glob("train/XR_HAND/*/*/image1.png"))
    bad.write_bytes(bad.read_bytes()[:100])
    done = here("fit", recipe, "--data", tree, "--out", tmp_path / "run", "--cache", tmp_path / "cache")
    assert done.returncode == 2
    assert str(bad) in done.stderr


def test_an_unreadable_validation_picture_stops_the_run_before_training(
    here: Command, make_tree: Callable[..., Path], recipe: Path, tmp_path: Path
) -> None:
    tree = make_tree(tmp_path)
    bad = next(tree.glob("valid/XR_HAND/*/*/image1.png"))
    bad.write_bytes(bad.read_bytes()[:100])
    done = here("fit", recipe, "--data", tree, "--out", tmp_path / "run", "--cache", tmp_path / "cache")
    assert done.returncode == 2
    assert str(bad) in done.stderr
    assert rows(tmp_path / "run/steps.csv") == []


def test_an_epoch_is_saved_before_val_is_looked_at(
    finished: Path, mura: Path, recipe: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.cli.main import main

    command = ["fit", str(recipe), "--data", str(mura), "--out", str(tmp_path / "run"), "--cache", str(cache)]

    def fail(*_: object) -> Look:
        raise InputError("val cannot be scored")

    with monkeypatch.context() as patch:
        patch.setattr("train.fit.loop.look", fail)
        assert main(command) == 2
    assert len(rows(tmp_path / "run/steps.csv")) == 3
    assert main(command) == 0
    assert (tmp_path / "run/steps.csv").read_bytes() == (finished / "steps.csv").read_bytes()
    whole, resumed = (read_checkpoint(run / "final.pt")["ema"] for run in (finished, tmp_path / "run"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_ctrl_c_saves_the_run_and_says_how_to_continue(
    finished: Path, here: Command, mura: Path, recipe: Path, cache: Path, tmp_path: Path
) -> None:
    from train.fit import loop

    command = ("fit", recipe, "--data", mura, "--out", tmp_path / "run", "--cache", cache)
    step = loop.take_step

    def press(*arguments: Any) -> Any:
        taken = step(*arguments)
        if taken.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return taken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", press)
        stopped = here(*command)
    assert stopped.returncode == 130
    assert f"stopped after step 2; the same command continues {tmp_path / 'run'}" in stopped.stderr
    assert here(*command).returncode == 0
    assert (tmp_path / "run/steps.csv").read_bytes() == (finished / "steps.csv").read_bytes()


def test_a_run_stops_early_when_its_criterion_no_longer_improves(
    mura: Path, recipe_text: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "early.toml"
    recipe.write_text("early_stop = 2\n" + recipe_text.replace("epochs = 2", "epochs = 9"), encoding="utf-8")
    looks = [of_loss(loss) for loss in (0.5, 0.4, 0.6, 0.41)]
    fit_with_looks(recipe, looks, "--data", mura, "--out", tmp_path / "run", "--cache", cache)
    assert [int(r["epoch"]) for r in rows(tmp_path / "run/epochs.csv")] == [0, 1, 2, 3]
    assert "Early stop after epoch 3: loss has not improved for 2" in capsys.readouterr().err
    fit_with_looks(recipe, [], "--data", mura, "--out", tmp_path / "run", "--cache", cache)
    assert read_checkpoint(tmp_path / "run/final.pt")["epoch"] == 3


def test_set_seed_and_epochs_change_the_recipe_and_are_recorded(
    here: Command, mura: Path, recipe: Path, cache: Path, tmp_path: Path
) -> None:
    changes = ("--set", "optimizer.clip=1.5", "--set", "criterion=auroc", "--seed", "11", "--epochs", "1")
    done = here("fit", recipe, "--data", mura, "--out", tmp_path / "run", "--cache", cache, *changes)
    assert done.returncode == 0, done.stderr
    values = read_checkpoint(tmp_path / "run/final.pt")
    recorded = json.loads(values["recipe"])
    assert (recorded["optimizer"]["clip"], recorded["criterion"], recorded["seed"]) == (1.5, "auroc", 11)
    assert recorded["stages"][0]["epochs"] == 1
    assert "--set optimizer.clip=1.5 --set criterion=auroc --set seed=11 --set stages.-1.epochs=1" in values["command"]


@pytest.mark.parametrize(
    ("change", "words"),
    [("optimizer.clop=1", "unknown key 'clop'"), ("seed", "give KEY=VALUE"), ("stages.7.lr=1", "cannot be read")],
)
def test_a_change_that_no_recipe_takes_is_refused(
    change: str, words: str, here: Command, mura: Path, recipe: Path, tmp_path: Path
) -> None:
    done = here("fit", recipe, "--data", mura, "--out", tmp_path / "run", "--set", change)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_full_disk_error_names_the_file_in_one_line(
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


KEEP_EACH_RANKS_WEIGHTS = """
import os, sys, torch
from torch.optim.optimizer import register_optimizer_step_post_hook
sys.path.insert(0, os.getcwd())  # the checkout, as with `python -m train`
from train.cli.main import main

def keep(optimizer, args, kwargs):
    weights = [weight.detach() for group in optimizer.param_groups for weight in group["params"]]
    torch.save(weights, f"{sys.argv[1]}/rank-{os.environ['RANK']}.pt")

register_optimizer_step_post_hook(keep)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_two_processes_train_one_network_and_write_one_log(
    train: Command, mura: Path, recipe_text: str, cache: Path, tmp_path: Path
) -> None:
    recipe, script = tmp_path / "short.toml", tmp_path / "keeping.py"
    recipe.write_text(recipe_text.replace("epochs = 2", "epochs = 1"), encoding="utf-8")
    script.write_text(KEEP_EACH_RANKS_WEIGHTS, encoding="utf-8")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, tmp_path)
    done = train("fit", recipe, "--data", mura, "--out", tmp_path / "run", "--cache", cache, prefix=torchrun)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [int(r["step"]) for r in rows(tmp_path / "run/steps.csv")] == [0, 1, 2]
    assert read_checkpoint(tmp_path / "run/last.pt")["world"] == 2
    assert np.isfinite(float(rows(tmp_path / "run/epochs.csv")[0]["val_loss"]))
    assert done.stderr.count("Training on") == 1
    # each rank has seen pictures of its own; only a gradient that they share leaves them with the same weights
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def fit_with_looks(recipe: Path, looks: Sequence[Look], *arguments: str | Path) -> None:
    """A run whose looks at val find what they are given."""
    from train.cli.main import main

    next_looks = iter(looks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.fit.loop.look", lambda *_: next(next_looks))
        assert main(["fit", str(recipe), *map(str, arguments)]) == 0


def of_loss(loss: float) -> Look:
    return Look(loss, auroc=0.5, kappa=0.0, picture_kappa=0.0)


@pytest.fixture(scope="module")
def staged(mura: Path, recipe_text: str, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs with a frozen body, two at a rate that moves nothing; in each stage the first epoch is the better."""
    folder = tmp_path_factory.mktemp("staged")
    head, stage = recipe_text.split("[[stages]]")
    carrying = f"[[stages]]{stage}carry = 'loss'\n"
    recipe = folder / "staged.toml"
    recipe.write_text(head + carrying + "frozen = true\n" + carrying.replace("3e-4", "3e-30"), encoding="utf-8")
    looks = [of_loss(loss) for loss in (0.3, 0.5, 0.4, 0.7)]
    fit_with_looks(recipe, looks, "--data", mura, "--out", folder / "run", "--cache", cache)
    return folder


def test_a_frozen_body_stands_still_but_for_its_batch_norms(staged: Path) -> None:
    start = fresh(read_recipe(staged / "staged.toml"), None, CPU).net.state_dict()
    after = read_checkpoint(staged / "run/best-e000.pt")["ema"]
    convolutions = [name for name, value in start.items() if value.ndim == 4]
    assert len(convolutions) == 168  # of DenseNet169's 169 layers the last is the head
    assert all(torch.equal(start[name], after[name]) for name in convolutions)
    for name in ("features.norm0.weight", "features.norm5.bias", "features.norm0.running_mean", "classifier.weight"):
        assert not torch.equal(start[name], after[name]), name


def test_a_stage_starts_from_carried_weights_with_its_own_schedule(staged: Path) -> None:
    carried = read_checkpoint(staged / "run/best-e000.pt")["ema"]
    after = read_checkpoint(staged / "run/final.pt")["ema"]
    weights = [name for name, _ in fresh(read_recipe(staged / "staged.toml"), None, CPU).net.named_parameters()]
    assert all(torch.allclose(after[name], carried[name], rtol=0, atol=1e-20) for name in weights)
    rates = [float(r["lr"]) for r in rows(staged / "run/steps.csv")]
    assert [rate / 3e-30 for rate in rates[6:]] == pytest.approx([rate / 3e-4 for rate in rates[:6]])


def test_a_carrying_stages_final_checkpoint_is_its_best_epoch(staged: Path) -> None:
    final, best = (read_checkpoint(staged / "run" / name) for name in ("final.pt", "best-e002.pt"))
    assert final["epoch"] == 2
    assert all(torch.equal(final["ema"][name], best["ema"][name]) for name in best["ema"])


def test_the_best_checkpoints_remain_and_the_others_are_removed(staged: Path) -> None:
    kept = read_checkpoint(staged / "run/last.pt")["best"]["kept"]
    assert [(row["file"], row["loss"]) for row in kept] == [("best-e000.pt", 0.3), ("best-e002.pt", 0.4)]
    assert {path.name for path in (staged / "run").glob("best-*")} == {"best-e000.pt", "best-e002.pt"}


def test_an_undefined_criterion_does_not_restore_earlier_weights(
    mura: Path, recipe_text: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, stage = recipe_text.replace("epochs = 2", "epochs = 1").split("[[stages]]")
    recipe = tmp_path / "undefined.toml"
    recipe.write_text(
        f"{head}[[stages]]{stage}carry = 'loss'\n[[stages]]{stage}carry = 'picture_kappa'\n", encoding="utf-8"
    )
    looks = [of_loss(0.3), replace(of_loss(0.4), picture_kappa=float("-inf"))]
    fit_with_looks(recipe, looks, "--data", mura, "--out", tmp_path / "run", "--cache", cache)
    final, last = (read_checkpoint(tmp_path / "run" / name) for name in ("final.pt", "last.pt"))
    assert final["epoch"] == 1
    assert all(torch.equal(final["ema"][name], last["ema"][name]) for name in ("classifier.weight", "classifier.bias"))
    assert "stage 1: picture_kappa of val was never defined; its last epoch is carried" in capsys.readouterr().err


def test_the_smoke_recipe_trains_ensemble_members_in_a_minute(
    here: Command, mura: Path, cache: Path, tmp_path: Path
) -> None:
    recipe = ROOT / "train/recipes/smoke.toml"
    done = here("fit", recipe, "--data", mura, "--out", tmp_path, "--cache", cache)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("*.pt")} == {"best-e000.pt", "best-e001.pt", "final.pt", "last.pt"}
    assert [r["size"] for r in rows(tmp_path / "epochs.csv")] == ["64", "64"]


def test_the_checkpoint_records_the_run_without_its_folders(finished: Path, mura: Path) -> None:
    values = torch.load(finished / "final.pt", weights_only=True)
    assert json.loads(values["recipe"])["seed"] == 3
    assert "--data MURA-v1.1 --out finished" in values["command"]
    assert str(mura.parent) not in values["command"]
