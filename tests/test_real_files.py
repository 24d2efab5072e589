"""The command on real files: 200 DICOM files of public projects, and FracAtlas radiographs wrapped as DICOM."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.write.radiograph import DX, Code, ObjectHeader, Radiograph, StudyHeader, Window, write_radiograph
from mura_batch.records import Laterality

OLD = 1_700_000_000  # seconds: older than any settle time


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def score(studies: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mura_batch", "score", str(studies), "--out", str(out), "--settle", "0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def shared_run(shared_dicom: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("shared") / "out"
    done = score(shared_dicom, out)
    assert done.returncode == 3, done.stderr  # truncated and damaged files are among them
    return out / "latest", done.stderr


def test_two_hundred_foreign_files_are_reported_in_one_line(shared_run: tuple[Path, str]) -> None:
    latest, stderr = shared_run
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert "Traceback" not in stderr
    assert (latest / "report.html").stat().st_size > 10_000


def test_every_foreign_file_is_accounted_for(shared_dicom: Path, shared_run: tuple[Path, str]) -> None:
    latest, _ = shared_run
    files = {str(p.relative_to(shared_dicom)) for p in shared_dicom.rglob("*") if p.is_file()}
    accounted = [row["file"] for row in rows(latest / "images.csv") + rows(latest / "skipped.csv")]
    assert sorted(accounted) == sorted(files)


# What the manifest's `expected` column says, as reasons that satisfy it. A file may break several rules at once: the
# one
# that is checked first is the reason.
EXPECTED = (
    (r"^skip: (CHEST|CSPINE|THORAX)", {"other_region", "screen_capture", "no_pixel_data", "not_an_image"}),
    (r"^skip: BodyPartExamined EXTREMITY", {"other_region", "ambiguous_region"}),
    (r"^skip: body part unknown", {"unknown_region", "other_region", "screen_capture"}),
    (r"^skip: no pixel data", {"no_pixel_data", "animal"}),
    (r"^skip: (modality|OT|RF|no Modality)|^skip by modality", {
        "not_a_radiograph", "screen_capture", "not_an_image", "other_region", "no_pixel_data"}),
    (r"^skip: (DICOMDIR)", {"dicomdir"}),
    (r"^skip: secondary capture", {"screen_capture", "not_a_radiograph", "colour"}),
    (r"^score-or-refuse by policy", {"blank_image"}),
    (r"DICOM: plain text", {"not_dicom"}),
)  # fmt: skip


def test_foreign_files_are_skipped_for_their_expected_reasons(shared_dicom: Path, shared_run: tuple[Path, str]) -> None:
    latest, _ = shared_run
    reasons = {row["file"]: row["reason"] for row in rows(latest / "skipped.csv")}
    wrong, checked = [], 0
    for entry in rows(shared_dicom / "manifest.csv"):
        reason = reasons[entry["file"]]  # each of the 200 is skipped: none is a scorable upper-limb radiograph
        for pattern, allowed in EXPECTED:
            if re.search(pattern, entry["expected"]):
                checked += 1
                if reason not in allowed:
                    wrong.append((entry["file"], entry["expected"], reason))
                break
    assert wrong == []
    assert checked >= 80  # the rest are "skip or unreadable, never a crash"


def wrap(path: Path, picture: np.ndarray, number: int, how: dict[str, object]) -> None:
    """One picture as a DX image. how: syntax, photometric, bits."""
    bits = int(str(how["bits"]))
    values = picture.astype(np.uint16) << (bits - 8) if bits > 8 else picture
    if how["photometric"] == "MONOCHROME1":
        values = ((255 << (bits - 8)) - values.astype(np.int32)).astype(values.dtype)
    top = float(255 << (bits - 8))
    uid = f"2.25.{1000 + number}"
    study = StudyHeader(f"P{number}", "TEST^WRAP", "", "", uid, "1", "20240101", "120000", f"A{number}", "")
    header = ObjectHeader(study, f"{uid}.1", 1, f"{uid}.1.1", 1)
    region = Code("85562004", "SCT", "Hand")
    radiograph = Radiograph(
        header, DX, "HAND", region, Laterality.LEFT, "PA", None, 0.15, bits, str(how["photometric"]),
        windows=(Window(top / 2, top, "LINEAR_EXACT"),),
    )  # fmt: skip
    write_radiograph(path, radiograph, values, str(how["syntax"]))
    os.utime(path, (OLD, OLD))


def test_the_same_radiograph_scores_the_same_in_every_wrapping(fracatlas: Path, tmp_path: Path) -> None:
    wrappings = [
        {"syntax": syntax, "photometric": photometric, "bits": bits}
        for syntax, photometric, bits in (
            (syntaxes.EXPLICIT_LE, "MONOCHROME2", 8),
            (syntaxes.IMPLICIT_LE, "MONOCHROME1", 8),
            (syntaxes.EXPLICIT_LE, "MONOCHROME1", 12),
            (syntaxes.JPEG_2000_LOSSLESS, "MONOCHROME2", 12),
            (syntaxes.JPEG_LOSSLESS_SV1, "MONOCHROME1", 12),
            (syntaxes.JPEG_LS_LOSSLESS, "MONOCHROME2", 8),
            (syntaxes.RLE, "MONOCHROME1", 12),
            (syntaxes.DEFLATED, "MONOCHROME2", 12),
        )
    ]
    hands = [r for r in rows(fracatlas / "labels.csv") if r["split"] == "val" and r["body_part"] == "hand"][:12]
    (tmp_path / "studies").mkdir()
    for n, entry in enumerate(hands):
        picture = np.asarray(Image.open(fracatlas / entry["image"]).convert("L"))
        for w, how in enumerate(wrappings):
            wrap(tmp_path / "studies" / f"{n}-{w}", picture, 100 * n + w, how)
    done = score(tmp_path / "studies", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    scores: dict[str, list[float]] = {}
    for row in rows(tmp_path / "out" / "latest" / "images.csv"):
        scores.setdefault(row["file"].split("-")[0], []).append(float(row["probability"]))
    assert len(scores) == 12
    assert all(len(values) == len(wrappings) for values in scores.values())
    assert max(max(values) - min(values) for values in scores.values()) <= 0.005
    assert len({round(values[0], 3) for values in scores.values()}) > 6  # different pictures, different scores
