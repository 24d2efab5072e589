"""What `mura-batch inspect` and `score --dry-run` say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mura_batch.dicom.inspect import describe_file, describe_folder
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.errors import InputError, OutputError
from mura_batch.preprocess import InputSpec
from mura_batch.reasons import ADVICE
from mura_batch.records import Reason

Write = Callable[..., Path]
POLICY = IntakePolicy(settle_seconds=0)


def inspection(path: Path, png: Path | None = None) -> str:
    return "\n".join(describe_file(path, POLICY, InputSpec(size=64), png))


def test_a_radiograph_is_explained_from_its_region_to_its_polarity(write: Write) -> None:
    path = write(
        "a",
        PhotometricInterpretation="MONOCHROME1",
        StudyDescription="XR WRIST",
        ImageLaterality="R",
        WindowCenter=2000,
        WindowWidth=3000,
    )
    text = inspection(path)
    for part in (
        "score it",
        "hand, named by body_part 'HAND', confidence low",
        "study_description: XR WRIST (wrist)",
        "side              R",
        "native, at 1/1",
        "window linear center 2000 width 3000",
        "inverted: Photometric Interpretation MONOCHROME1",
    ):
        assert part in text


def test_a_picture_that_shows_nothing_is_said_to_be_skipped(write: Write) -> None:
    text = inspection(write("a", stored=np.full((64, 64), 7, np.uint16)))
    assert "score it" not in text
    assert "skip it: blank_image" in text
    assert ADVICE[Reason.BLANK_IMAGE] in text


def test_a_skip_comes_with_its_reason_and_fix(write: Write) -> None:
    text = inspection(write("a", BodyPartExamined="CHEST"))
    assert "skip it: other_region (body_part: CHEST)" in text
    assert ADVICE[Reason.OTHER_REGION] in text
    assert "native" in text  # its pixels are explained all the same


def test_the_picture_is_what_the_model_sees(write: Write, tmp_path: Path) -> None:
    png = tmp_path / "picture.png"
    assert str(png) in inspection(write("a"), png)
    with Image.open(png) as image:
        assert (image.size, image.mode) == ((64, 64), "L")
        assert np.asarray(image).std() > 10


def test_a_file_that_is_no_dicom_is_explained(studies: Path, tmp_path: Path) -> None:
    (studies / "a").write_text("hello " * 100)
    text = inspection(studies / "a", tmp_path / "none.png")
    assert "not_dicom" in text
    assert not (tmp_path / "none.png").exists()


def test_a_picture_that_cannot_be_written_is_an_error(write: Write, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        inspection(write("a"), tmp_path / "no folder" / "a.png")


def test_a_folder_is_listed_line_by_line_with_a_summary(write: Write, studies: Path) -> None:
    write("a")
    write("b/c", BodyPartExamined="CHEST")
    (studies / "d").write_bytes(b"")
    lines = list(describe_folder(studies, POLICY))
    assert lines[:3] == [
        "score  hand                         a: body_part HAND",
        "skip   empty_file                   d: the file is empty",
        "skip   other_region                 b/c: body_part: CHEST",
    ]
    assert [line.split() for line in lines[4:]] == [
        ["1", "score"],
        ["1", "skip", "(empty_file)"],
        ["1", "skip", "(other_region)"],
    ]


def test_an_empty_folder_is_an_input_error(studies: Path) -> None:
    with pytest.raises(InputError, match="no files"):
        list(describe_folder(studies, POLICY))
