"""`resize = "crop"`: random squares in training, the centre square on val."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.preprocess import InputSpec
from train.models.members import input_spec, read_member

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_run_cuts_squares_and_remembers_it(here: Command, mura: Path, recipe: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    crop = ("--epochs", "1", "--set", "resize=crop", "--workers", "1")
    trained = here("fit", recipe, *crop, "--data", mura, "--out", run, "--cache", cache)
    assert trained.returncode == 0, trained.stderr
    assert sorted(path.name.split("-")[0] for path in cache.iterdir()) == ["val", "whole"]
    assert input_spec([read_member(run / "final.pt")], None) == InputSpec(32, resize="crop")


def test_dicom_studies_are_not_cropped_in_training(here: Command, recipe: Path, tmp_path: Path) -> None:
    studies = make_phantoms(tmp_path / "studies", PhantomOptions(studies=2, small=True)).folder
    header, *rows = (studies / "truth.csv").read_text().splitlines()
    split = [f"{row},{('train', 'val')[n]}" for n, row in enumerate(rows)]
    (studies / "truth.csv").write_text("\n".join([f"{header},split", *split]) + "\n")
    refused = here("fit", recipe, "--set", "resize=crop", "--data", studies, "--out", tmp_path / "run")
    assert refused.returncode == 2
    assert "--set resize=letterbox" in refused.stderr
