"""A MURA-v1.1 tree small enough to train on in a test, a run of it, and the model folder made of that run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
REGIONS = ("ELBOW", "HAND", "WRIST")
STUDIES = {"train": 6, "valid": 10}  # of each region, half of them abnormal

RECIPE = """
seed = 3
precision = "float32"
keep = 2

[model]
dropout = 0.3

[loss]
weighting = "per_region"

[optimizer]
name = "adamw"
clip = 2.0
average = 0.9

[augmentation]
flip = 0.5
rotate = 10.0

[[stages]]
epochs = 2
batch = 8
lr = 3e-4
schedule = "one_cycle"
warmup = 0.3
sizes = [[0, 32]]
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)  # two cores are shared with whatever else runs; and one thread is one order of sums


def picture(rng: np.random.Generator, abnormal: bool) -> Image.Image:
    """A shaft on a dark ground; an abnormal one carries a bright plate."""
    height, width = int(rng.integers(60, 90)), int(rng.integers(40, 70))
    grey = rng.integers(10, 40, (height, width)).astype(np.uint8)
    grey[:, width // 3 : 2 * width // 3] += 90
    if abnormal:
        grey[height // 4 : 3 * height // 4, width // 2 - 3 : width // 2 + 3] = 250
    return Image.fromarray(grey)


def make_mura(root: Path, with_csv: bool = True, header: bool = False) -> Path:
    """MURA-v1.1/{train,valid}/XR_REGION/patientN/studyN_LABEL/imageN.png and its four CSV files."""
    tree, patient = root / "MURA-v1.1", 0
    for split, count in STUDIES.items():
        paths, labels = [], []
        for region in REGIONS:
            for number in range(count):
                patient, abnormal = patient + 1, number % 2 == 1
                label = "positive" if abnormal else "negative"
                study = f"{split}/XR_{region}/patient{patient:05}/study1_{label}"
                (tree / study).mkdir(parents=True)
                for image in range(1, 3 if number % 3 == 0 else 2):
                    picture(np.random.default_rng([patient, image]), abnormal).save(tree / study / f"image{image}.png")
                    paths.append(f"MURA-v1.1/{study}/image{image}.png")
                labels.append(f"MURA-v1.1/{study}/,{int(abnormal)}")
        if with_csv:
            _write(tree / f"{split}_image_paths.csv", (["path"] if header else []) + paths)
            _write(tree / f"{split}_labeled_studies.csv", (["path,label"] if header else []) + labels)
    return tree


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def mura(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mura(tmp_path_factory.mktemp("data"))


@pytest.fixture
def make_tree() -> Callable[..., Path]:
    """For tests that need a tree of their own: make_tree(folder, with_csv=..., header=...)."""
    return make_mura


@pytest.fixture(scope="session")
def recipe_text() -> str:
    return RECIPE


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def train() -> Command:
    """`python -m train ...` as a user runs it, from the checkout."""

    def run(*arguments: str | Path, prefix: tuple[str, ...] = ("-m", "train")) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *prefix, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Command:
    """The same command in this process: three seconds of importing torch less."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        from train.cli.main import main

        capsys.readouterr()
        code = main([str(a) for a in arguments])
        printed = capsys.readouterr()
        return subprocess.CompletedProcess([*map(str, arguments)], code, printed.out, printed.err)

    return run


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session")
def finished(mura: Path, recipe: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that went to its end without a stop."""
    from train.cli.main import main

    out = tmp_path_factory.mktemp("runs") / "finished"
    assert main(["fit", str(recipe), "--data", str(mura), "--out", str(out), "--cache", str(cache)]) == 0
    return out


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card's text for MURA without its count of pictures: the tree of these tests is smaller."""
    path = tmp_path_factory.mktemp("card") / "card.toml"
    lines = (ROOT / "train/cards/mura.toml").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("pictures")), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def exported(mura: Path, finished: Path, cache: Path, card: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of that run."""
    from train.cli.main import main

    out = tmp_path_factory.mktemp("engines") / "tiny"
    source = ["export", str(finished / "final.pt"), "--data", str(mura), "--cache", str(cache)]
    assert main([*source, "--out", str(out), "--card", str(card)]) == 0
    return out
