"""`score --voi-check`: pictures whose score depends on the VOI transform are named."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.write.radiograph import (
    CR,
    Code,
    ObjectHeader,
    Radiograph,
    StudyHeader,
    VoiTable,
    Window,
    write_radiograph,
)
from mura_batch.records import Laterality

FULL = Window(32_768, 65_536)
BRIGHT_ONLY = VoiTable(40_000, 12, tuple(n * 4095 // 19_999 for n in range(20_000)))  # black below 40,000


def fingers() -> np.ndarray:
    """[400, 320] uint16: four bright stripes and a palm, which the reference model calls abnormal in full range."""
    y, x = np.mgrid[0:400, 0:320] / 400
    found = 0.15 + 0.1 * y + np.random.default_rng(1).normal(0, 0.01, y.shape)
    for centre in (0.2, 0.33, 0.46, 0.59):
        found += 0.5 * np.exp(-(((x - centre) / 0.03) ** 2)) * (0.6 + 0.4 * np.cos(12 * y))
    found += 0.3 * np.exp(-(((x - 0.4) / 0.25) ** 2 + ((y - 0.8) / 0.25) ** 2))
    return np.rint(np.clip(found, 0, 1) * 65_535).astype(np.uint16)


def write(path: Path, number: int, windows: tuple[Window, ...], table: VoiTable | None) -> None:
    study = StudyHeader(f"P{number}", "TEST^VOI", "", "", f"2.25.{number}", "1", "20240101", "120000", "A", "")
    header = ObjectHeader(study, f"2.25.{number}.1", 1, f"2.25.{number}.1.1", 1)
    region = Code("85562004", "SCT", "Hand")
    radiograph = Radiograph(
        header, CR, "HAND", region, Laterality.LEFT, "PA", None, 0.15, 16, windows=windows, table=table
    )
    write_radiograph(path, radiograph, fingers(), syntaxes.EXPLICIT_LE)
    os.utime(path, (1_700_000_000, 1_700_000_000))


def score(studies: Path, out: Path, *more: str) -> dict[str, dict[str, str]]:
    command = [sys.executable, "-m", "mura_batch", "score", str(studies), "--out", str(out), "--settle", "0", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    with (out / "latest" / "images.csv").open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    write(folder / "lut", 1, (), BRIGHT_ONLY)
    write(folder / "window", 2, (FULL,), None)
    write(folder / "both", 3, (FULL,), BRIGHT_ONLY)
    return folder


@pytest.mark.slow
def test_pictures_whose_score_depends_on_the_window_are_named(studies: Path, tmp_path: Path) -> None:
    plain = score(studies, tmp_path / "out")
    assert {row["voi_check"] for row in plain.values()} == {""}
    checked = score(studies, tmp_path / "out", "--voi-check", "--rescore", "all")
    assert {name: row["probability"] for name, row in checked.items()} == {
        name: row["probability"] for name, row in plain.items()
    }
    scores = {
        name: {voi.rsplit(" ", 1)[0]: float(voi.rsplit(" ", 1)[1]) for voi in row["voi_check"].split("; ") if voi}
        for name, row in checked.items()
    }
    assert scores["window"] == {}  # window and percentiles agree
    assert list(scores["lut"]) == ["voi lut", "percentiles"]  # the one that counts first
    assert list(scores["both"]) == ["window linear", "voi lut", "percentiles"]
    assert scores["lut"]["voi lut"] < 0.3672 < scores["lut"]["percentiles"]
    assert abs(scores["lut"]["voi lut"] - float(checked["lut"]["probability"])) < 0.001
    again = score(studies, tmp_path / "out", "--voi-check")
    assert {row["reused"] for row in again.values()} == {"1"}
    assert again["both"]["voi_check"] == checked["both"]["voi_check"]
