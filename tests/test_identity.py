"""Whose image is it? Conflicts, mixed studies and twins, through the real command and its files."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.write.radiograph import DX, Code, ObjectHeader, Radiograph, StudyHeader, Window, write_radiograph
from mura_batch.records import Laterality

OLD = 1_700_000_000  # seconds: older than any settle time
HAND = Code("85562004", "SCT", "Hand")
WRIST = Code("74670003", "SCT", "Wrist joint")
Write = Callable[..., None]
Rows = list[dict[str, str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(name, study=1, image=1, patient='P1', region=HAND, side=..., seed=0, syntax=..., photometric=...)"""
    (tmp_path / "studies").mkdir()

    def make(
        name: str,
        *,
        study: int = 1,
        image: int = 1,
        patient: str = "P1",
        region: Code = HAND,
        side: Laterality = Laterality.LEFT,
        seed: int = 0,
        syntax: str = syntaxes.EXPLICIT_LE,
        photometric: str = "MONOCHROME2",
    ) -> None:
        noise = np.random.default_rng(seed).normal(0, 60, (300, 240))
        rows, columns = np.mgrid[0:300, 0:240]
        stored = np.clip(2000 + 1500 * np.sin(rows / 30) * np.cos(columns / 25) + noise, 0, 4095).astype(np.uint16)
        if photometric == "MONOCHROME1":
            stored = (4095 - stored).astype(np.uint16)
        header = ObjectHeader(
            StudyHeader(patient, "TEST^IDENTITY", "", "", f"2.25.{study}", "1", "20240101", "120000", f"A{study}", ""),
            f"2.25.{study}.1", 1, f"2.25.{study}.1.{image}", image,
        )  # fmt: skip
        picture = Radiograph(
            header, DX, region.meaning.split()[0].upper(), region, side, "PA", None, 0.15, 12, photometric,
            windows=(Window(2047.5, 4095.0, "LINEAR_EXACT"),),
        )  # fmt: skip
        path = tmp_path / "studies" / name
        write_radiograph(path, picture, stored, syntax)
        os.utime(path, (OLD, OLD))

    return make


def score(tmp_path: Path) -> tuple[int, Rows, Rows, Rows, str]:
    """Exit code, study, image and skipped rows, and the report."""
    command = [
        sys.executable,
        "-m",
        "mura_batch",
        "score",
        tmp_path / "studies",
        "--out",
        tmp_path / "out",
        "--settle",
        "0",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    latest = tmp_path / "out" / "latest"

    def rows(name: str) -> Rows:
        with (latest / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    page = (latest / "report.html").read_text(encoding="utf-8")
    return done.returncode, rows("studies.csv"), rows("images.csv"), rows("skipped.csv"), page


def test_two_files_claiming_one_image_are_both_set_aside(write: Write, tmp_path: Path) -> None:
    write("a", seed=1)
    write("b", seed=2)
    write("c", study=2)
    code, studies, images, skipped, page = score(tmp_path)
    assert code == 3
    assert [row["file"] for row in images] == ["c"]
    assert {row["file"]: row["reason"] for row in skipped} == dict.fromkeys("ab", "conflicting_duplicate")
    assert {row["study_uid"]: (row["status"], row["reason"]) for row in studies} == {
        "2.25.1": ("set_aside", "conflicting_duplicate"),
        "2.25.2": ("scored", ""),
    }
    assert "conflicting" in page


def test_one_study_of_two_patients_is_set_aside_whole(write: Write, tmp_path: Path) -> None:
    write("a", image=1, patient="P1")
    write("b", image=2, patient="P2", seed=1)
    code, studies, images, skipped, _ = score(tmp_path)
    assert code == 3
    assert images == []
    assert {row["reason"] for row in skipped} == {"conflicting_patient"}
    assert [(row["status"], row["score"]) for row in studies] == [("set_aside", "")]


def test_each_region_and_side_of_a_study_has_a_row(write: Write, tmp_path: Path) -> None:
    write("a", image=1, side=Laterality.LEFT)
    write("b", image=2, side=Laterality.RIGHT, seed=1)
    write("c", image=3, region=WRIST, seed=2)
    code, studies, images, _, _ = score(tmp_path)
    assert code == 0
    assert [(row["region"], row["laterality"], row["scored"]) for row in studies] == [
        ("hand", "L", "1"),
        ("hand", "R", "1"),
        ("wrist", "L", "1"),
    ]
    assert sorted(row["score"] for row in studies) == sorted(row["probability"] for row in images)


def test_lossless_copies_of_either_polarity_score_exactly_the_same(write: Write, tmp_path: Path) -> None:
    lossless = (
        syntaxes.EXPLICIT_LE, syntaxes.IMPLICIT_LE, syntaxes.DEFLATED, syntaxes.RLE, syntaxes.JPEG_LOSSLESS_SV1,
        syntaxes.JPEG_2000_LOSSLESS,
    )  # fmt: skip
    for n, syntax in enumerate(lossless):
        write(f"{n}", study=n + 1, syntax=syntax)
        write(f"inverted-{n}", study=n + 100, syntax=syntax, photometric="MONOCHROME1")
    code, studies, images, _, _ = score(tmp_path)
    assert code == 0
    assert len(studies) == 2 * len(lossless)
    assert {row["polarity"] for row in images} == {"as stored", "inverted"}
    as_stored = {row["probability"] for row in images if row["polarity"] == "as stored"}
    inverted = {row["probability"] for row in images if row["polarity"] == "inverted"}
    assert len(as_stored) == len(inverted) == 1
    # 255 x 0.5 rounds to the even number from both sides: a grey level in a few thousand differs by one.
    assert float(as_stored.pop()) == pytest.approx(float(inverted.pop()), abs=5e-4)
