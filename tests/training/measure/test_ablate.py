"""Ablations: val stays out of it, a change that is none is worth exactly nothing, and a wrong path is named."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mura_batch.errors import InputError
from train.data.examples import TRAIN, VAL
from train.data.folds import hold_out
from train.data.open_dataset import open_dataset
from train.measure.ablate import read_ablation

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory, recipe_text: str) -> Path:
    recipe = re.sub(r"^(\[+)", r"\1recipe.", recipe_text, flags=re.MULTILINE)  # its tables
    path = tmp_path_factory.mktemp("ablation") / "tiny.toml"
    path.write_text(
        f"held_out = 0.5\n[recipe]\n{recipe}\n"
        '[[variant]]\nname = "the same"\nchange = { "stages.0.lr" = 3e-4 }\n'
        '[[variant]]\nname = "another seed"\nchange = { "seed" = 4 }\n',
        encoding="utf-8",
    )
    return path


def test_the_variants_of_the_project_differ_in_what_they_say() -> None:
    ablation = read_ablation(ROOT / "train" / "ablations" / "choices.toml")
    recipes = dict(ablation.variants)
    base = recipes.pop("as it is")
    assert all(recipe != base for recipe in recipes.values())
    assert recipes["no moving average"].optimizer.average == 0
    assert recipes["one cycle instead of cosine"].stages[0].schedule == "one_cycle"


def test_a_setting_changes_all_variants(ablation: Path) -> None:
    recipes = [recipe for _, recipe in read_ablation(ablation, {"precision": "bf16", "seed": 9}).variants]
    assert [recipe.precision for recipe in recipes] == ["bf16"] * 3
    assert [recipe.seed for recipe in recipes] == [9, 9, 4], "what a variant says of itself holds"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("held_out = 0.5", "held_out = 1.5", "not between 0 and 1"),
        ("stages.0.lr", "stages.0.rate", "'rate'"),
        ('"seed" = 4', '"sede" = 4', "sede"),
        ('"one_cycle"', '"none_such"', "none_such"),
    ],
)
def test_a_mistake_is_named(ablation: Path, tmp_path: Path, before: str, after: str, message: str) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(ablation.read_text().replace(before, after))
    with pytest.raises(InputError, match=message):
        read_ablation(wrong)


def test_val_is_left_out_and_groups_stay_whole(mura: Path) -> None:
    dataset = open_dataset(mura)
    part = hold_out(dataset, 0.5)
    assert {e.image for e in part.examples} == {e.image for e in dataset.split(TRAIN)}
    assert not {e.group for e in part.split(TRAIN)} & {e.group for e in part.split(VAL)}


def test_a_second_ablation_call_reuses_runs_and_reports_unwritable_output(
    mura: Path, ablation: Path, cache: Path, tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    command = ("ablate", ablation, "--data", mura, "--out", tmp_path, "--cache", cache)
    first = here(*command)
    assert first.returncode == 0, first.stderr
    with (tmp_path / "ablation.csv").open(newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["as it is", "the same", "another seed"]
    assert rows["as it is"]["difference_value"] == ""
    assert float(rows["the same"]["difference_value"]) == 0
    weights = (tmp_path / "variant-0" / "final.pt").stat().st_mtime_ns
    again = here(*command)
    assert again.stdout == first.stdout
    assert (tmp_path / "variant-0" / "final.pt").stat().st_mtime_ns == weights

    (tmp_path / "ablation.csv").unlink()
    (tmp_path / "ablation.csv").mkdir()  # nothing can be renamed to it, as nothing can be written on a full disk
    failed = here(*command)
    assert failed.returncode == 1
    assert f"{tmp_path / 'ablation.csv'} cannot be written" in failed.stderr


def test_processes_share_the_variants_of_an_ablation(
    mura: Path, ablation: Path, cache: Path, tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    command = ("ablate", ablation, "--data", mura, "--out", tmp_path, "--cache", cache)
    unknown = here(*command, "--variants", 0, 3)
    assert unknown.returncode == 2
    assert "there is no variant 3: they are 0 to 2" in unknown.stderr
    assert not any(tmp_path.iterdir())
    part = here(*command, "--variants", 2)
    assert part.stdout == f"{tmp_path / 'variant-2' / 'final.pt'}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["variant-2"]
    weights = (tmp_path / "variant-2" / "final.pt").stat().st_mtime_ns
    assert here(*command).stdout.count("AUROC") == 3
    assert (tmp_path / "variant-2" / "final.pt").stat().st_mtime_ns == weights
