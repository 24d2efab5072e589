"""Copies of one instance: what is the same, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.write.radiograph import CR, Code, ObjectHeader, Radiograph, StudyHeader, Window, write_radiograph
from mura_batch.progress import Silent
from mura_batch.records import Laterality, Reason
from mura_batch.scoring.intake import scan, settle_identity
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger

POLICY, KEY = IntakePolicy(settle_seconds=0), Key("model", "settings")
PICTURE = np.random.default_rng(3).integers(0, 4096, (90, 70)).astype(np.uint16)


def image(
    path: Path, syntax: str = syntaxes.EXPLICIT_LE, picture: np.ndarray = PICTURE, description: str = "HAND"
) -> Path:
    study = StudyHeader("P1", "TEST^COPY", "", "", "2.25.7", "1", "20240101", "120000", "A1", description)
    radiograph = Radiograph(
        ObjectHeader(study, "2.25.7.1", 1, "2.25.7.1.1", 1), CR, "HAND", Code("85562004", "SCT", "Hand"),
        Laterality.LEFT, "PA", None, 0.15, windows=(Window(2048, 4096),),
    )  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    write_radiograph(path, radiograph, picture, syntax)
    return path


def fates(root: Path, tmp_path: Path) -> dict[str, Reason]:
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("one", root)
        scan(root, POLICY, ledger.files, Silent())
        settle_identity(root, POLICY, ledger.files, KEY)
        return {skip.source.path: skip.reason for skip in ledger.files.skipped_before_decoding()}


def test_another_file_meta_makes_no_other_instance(tmp_path: Path) -> None:
    image(tmp_path / "s" / "a")
    other = dcmread(image(tmp_path / "s" / "b"))
    other.file_meta.ImplementationVersionName = "GATEWAY_2"
    other.file_meta.SourceApplicationEntityTitle = "ARCHIVE"
    other.save_as(tmp_path / "s" / "b", enforce_file_format=True)
    assert fates(tmp_path / "s", tmp_path) == {"b": Reason.DUPLICATE}


@pytest.mark.parametrize(
    "syntax", [syntaxes.IMPLICIT_LE, syntaxes.JPEG_2000_LOSSLESS, syntaxes.JPEG_LOSSLESS_SV1, syntaxes.RLE]
)
def test_the_same_pixels_in_another_lossless_syntax_are_a_copy(tmp_path: Path, syntax: str) -> None:
    image(tmp_path / "s" / "a")
    image(tmp_path / "s" / "b", syntax)
    assert fates(tmp_path / "s", tmp_path) == {"b": Reason.DUPLICATE}


def test_other_pixels_under_one_uid_are_a_conflict(tmp_path: Path) -> None:
    image(tmp_path / "s" / "a")
    changed = PICTURE.copy()
    changed[40:50, 30:40] ^= 0x800
    image(tmp_path / "s" / "b", syntaxes.RLE, changed)
    assert fates(tmp_path / "s", tmp_path) == dict.fromkeys("ab", Reason.CONFLICTING_DUPLICATE)
