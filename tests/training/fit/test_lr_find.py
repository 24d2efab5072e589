"""The learning rate range test."""

from __future__ import annotations

import csv
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from train.fit.lr_find import HIGHEST, LOWEST, RateCurve

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_suggestion_is_where_the_loss_falls_fastest() -> None:
    rates = np.geomspace(LOWEST, HIGHEST, 100)
    losses = 1 / (1 + np.exp(4 * (np.log10(rates) + 3)))  # falls about 1e-3
    assert RateCurve(tuple(rates), tuple(losses)).suggestion == pytest.approx(1e-3, rel=0.3)


def test_a_few_steps_suggest_nothing() -> None:
    assert math.isnan(RateCurve((1e-7, 1e-6), (1.0, 0.9)).suggestion)


def test_lr_find_writes_its_curve_and_no_checkpoint(
    here: Command, mura: Path, recipe: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.fit.lr_find.STEPS", 25)  # more than an epoch
    done = here("lr-find", recipe, "--data", mura, "--out", tmp_path, "--cache", cache)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "lr_find.csv").open(newline="") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert rates[0] == LOWEST
    assert LOWEST <= float(done.stdout) <= HIGHEST
    assert [path.name for path in tmp_path.iterdir()] == ["lr_find.csv"]
    assert here("lr-find", recipe, "--stage", "1", "--data", mura, "--out", tmp_path).returncode == 2
