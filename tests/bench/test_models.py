"""Two models on one labelled data set: what the table says of known scores, and the whole command by way of DICOM."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.models import table
from mura_batch.agreement.curves import roc_auc_difference
from mura_batch.resources import engines_folder
from train.data.examples import VAL, Example

REFERENCE = engines_folder() / "reference"


def example(number: int, region: str, abnormal: bool) -> Example:
    return Example(f"{number}.png", VAL, str(number), str(number), region, abnormal)


def test_a_picture_of_two_regions_counts_in_both() -> None:
    regions = ["hand", "hand+shoulder", "shoulder", "hand", "hand+shoulder", "shoulder"]
    examples = [example(n, region, n >= 3) for n, region in enumerate(regions)]
    first = np.array([0.1, 0.5, 0.3, 0.2, 0.4, 0.6], np.float32)
    second = np.array([0.1, 0.2, 0.3, 0.5, 0.4, 0.6], np.float32)
    rows = [line.split(" | ") for line in table(examples, first, second).splitlines()]
    counts = {row[0].lstrip("| "): (row[1], row[2]) for row in rows[2:]}
    assert counts == {"all": ("6", "3"), "hand": ("4", "2"), "shoulder": ("4", "2")}
    apart = roc_auc_difference([0, 0, 0, 1, 1, 1], second, first)
    assert (rows[2][3][:5], rows[2][4][:5], rows[2][5].split()[0]) == ("0.667", "1.000", f"{apart.value:+.3f}")


@pytest.mark.slow
@pytest.mark.skipif(not (REFERENCE / "model.onnx").is_file(), reason="there is no reference model in this checkout")
def test_a_model_is_as_good_as_itself_by_way_of_dicom(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "split", "abnormal", "body_part"])
        for number in range(8):
            Image.fromarray(random.integers(0, 256, (90, 60), dtype=np.uint8)).save(tmp_path / f"{number}.png")
            writer.writerow([f"{number}.png", VAL, number % 2, "hand"])
    command = [sys.executable, "-m", "bench.models", str(REFERENCE), str(REFERENCE), "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2])
    whole = done.stdout.splitlines()[2].strip("| ").split(" | ")
    assert whole[:3] == ["all", "8", "4"]
    assert whole[3] == whole[4]
    assert whole[5] == "+0.000"
