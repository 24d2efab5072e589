"""Distillation: the loss, the teacher, and a run with one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mura_batch.preprocess import InputSpec
from train.fit.loss import distillation_loss, map_loss, training_loss
from train.fit.recipe import DistilPart, LossPart
from train.fit.teacher import Teacher, teacher_hash
from train.models.checkpoint import trained_network
from train.models.densenet import WIDTHS, Outputs
from train.models.weight_file import read_checkpoint

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_distillation_loss_is_least_at_the_teachers_logit() -> None:
    teacher = torch.tensor([-1.0, 2.0])
    logit = teacher.clone().requires_grad_()
    distillation_loss(logit, teacher, temperature=2.0).backward()
    assert logit.grad is not None
    assert logit.grad.abs().max() < 1e-6
    away = distillation_loss(teacher + 0.5, teacher, 2.0)
    assert away > distillation_loss(teacher, teacher, 2.0)


def test_the_weight_divides_the_loss_between_teacher_and_label() -> None:
    outputs = Outputs(torch.tensor([0.3, -0.7]), torch.zeros(2, 0), ())
    batch = {
        "abnormal": torch.tensor([1.0, 0.0]),
        "weights": torch.ones(2, 2),
        "attributes": torch.zeros(2, 0),
        "teacher": torch.tensor([1.0, -2.0]),
    }
    alone, soft = (training_loss(outputs, batch, LossPart(), DistilPart(weight=w))[0] for w in (0.0, 1.0))
    mixed = training_loss(outputs, batch, LossPart(), DistilPart(weight=0.25))[0]
    assert mixed.item() == pytest.approx(0.75 * alone.item() + 0.25 * soft.item())


def test_the_map_loss_compares_directions_at_each_position() -> None:
    teacher = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    spread = (teacher - teacher.mean((0, 2, 3), keepdim=True)) / teacher.std((0, 2, 3), correction=0, keepdim=True)
    assert map_loss(3 * spread, teacher).item() == pytest.approx(0, abs=1e-4)
    assert map_loss(-spread, teacher).item() == pytest.approx(2, abs=1e-4)
    half = spread.clone()
    half[:, :, :2] *= -1
    assert map_loss(half, teacher).item() == pytest.approx(1, abs=1e-4)
    scale, shift = torch.tensor([0.1, 1.0, 20.0, 3.0, 0.5]).view(1, 5, 1, 1), torch.arange(5.0).view(1, 5, 1, 1)
    assert map_loss(spread, scale * teacher + shift).item() == pytest.approx(0, abs=1e-2)


def test_the_map_loss_compares_maps_of_other_sizes() -> None:
    pictures = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).view(3, 3, 1, 1)
    centred = pictures - pictures.mean(0)
    assert map_loss(centred.expand(3, 3, 6, 6), pictures.expand(3, 3, 4, 4)).item() == pytest.approx(0, abs=1e-6)


def test_checkpoints_keep_the_units_that_imitate_the_teachers_maps(
    finished: Path, here: Command, mura: Path, recipe_text: str, cache: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "maps.toml"
    recipe.write_text(recipe_text + "\n[distil]\nmaps = 1.0\n", encoding="utf-8")
    command = ("fit", recipe, "--data", mura, "--out", tmp_path / "run", "--cache", cache)
    assert "needs --teacher" in here(*command).stderr
    done = here(*command, "--teacher", finished / "final.pt", finished / "final.pt")
    assert done.returncode == 0, done.stderr
    values = read_checkpoint(tmp_path / "run/last.pt")
    assert [values["model"][f"taught.{depth}.weight"].shape[:2] for depth in range(4)] == [(2 * w, w) for w in WIDTHS]
    again = here(*command, "--teacher", finished / "final.pt", finished / "final.pt")
    assert again.returncode == 0, again.stderr
    assert trained_network(read_checkpoint(tmp_path / "run/final.pt"), tmp_path).taught


def test_a_teacher_scores_views_of_another_size_at_its_own(finished: Path) -> None:
    path = finished / "final.pt"
    teacher = Teacher([path, path], torch.device("cpu"), "float32")
    images = torch.tensor([20, 120, 220], dtype=torch.uint8).view(3, 1, 1, 1).repeat(1, 1, 32, 32)
    with torch.inference_mode():
        expected = trained_network(read_checkpoint(path), path)(images)[0]
    torch.testing.assert_close(teacher.answers(images)[0], expected, rtol=0, atol=1e-4)
    assert teacher.input == InputSpec(size=32)
    larger = images.repeat(1, 1, 2, 2)  # a picture of one grey is the same at any size
    torch.testing.assert_close(teacher.answers(larger)[0], expected, rtol=0, atol=1e-4)


def test_a_run_with_a_teacher_remembers_it(
    finished: Path, here: Command, mura: Path, recipe_text: str, cache: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "distilled.toml"
    recipe.write_text(recipe_text.replace("epochs = 2", "epochs = 1") + "\n[distil]\nweight = 0.5\n", encoding="utf-8")
    command = ("fit", recipe, "--data", mura, "--out", tmp_path / "run", "--cache", cache)
    assert "needs --teacher" in here(*command).stderr
    done = here(*command, "--teacher", finished / "final.pt")
    assert done.returncode == 0, done.stderr
    values = read_checkpoint(tmp_path / "run/final.pt")
    assert values["teacher"] == teacher_hash([finished / "final.pt"])
    assert "--teacher final.pt" in values["command"]
    other = here(*command, "--teacher", finished / "best-e000.pt")
    elsewhere = (*command, "--out", tmp_path / "stretched", "--set", "resize=stretch")
    stretched = here(*elsewhere, "--teacher", finished / "final.pt")
    assert "its teacher was trained with 'letterbox'" in stretched.stderr
    assert other.returncode == 2
    assert "another teacher (--teacher)" in other.stderr
