"""Patient and study of a result object are those of its source, byte for byte, in its character set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.write.result_source import read_result_source
from mura_batch.dicom.write.result_sr import report
from mura_batch.dicom.write.result_uids import encoded
from mura_batch.records import Skipped, SourceFile

Studies = tuple[Any, ...]
COPIED = ("PatientName", "PatientID", "ReferringPhysicianName", "StudyDescription", "PatientComments")


def _changed(drawn: Any, tmp_path: Path, change: Callable[[Dataset], None]) -> tuple[Any, Path]:
    """The drawn study's first file after a change, and its result with only that image."""
    data = dcmread(drawn.files[0])
    change(data)
    path = tmp_path / "changed"
    implicit, little = data.original_encoding
    data.set_original_encoding(implicit, little, data._character_set)  # raw values are written as they are
    data.save_as(path)
    image = replace(drawn.result.images[0], source=read_result_source(path))
    return replace(drawn.result, images=(image,)), path


def _written(result: Any, tmp_path: Path) -> Path:
    path = tmp_path / "report.dcm"
    path.write_bytes(encoded(report(result, [], None)))
    return path


@pytest.mark.parametrize(
    "keyword",
    ["PatientSex", "StudyID", "PatientBirthDate", "AccessionNumber", "StudyDate", "StudyTime", "PatientName",
     "PatientID", "ReferringPhysicianName"],
)  # fmt: skip
def test_a_missing_required_attribute_is_written_empty_and_noted(
    drawn_studies: Studies, tmp_path: Path, keyword: str, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    result, _ = _changed(drawn_studies[0], tmp_path, lambda data: data.__delattr__(keyword))
    path = _written(result, tmp_path)
    assert not dcmread(path)[keyword].value
    assert dciodvfy_errors(path) == []
    assert result.images[0].source.notes == (f"{keyword} is absent: written empty",)


@pytest.mark.parametrize(("keyword", "value"), [("PatientSex", "W"), ("PatientBirthDate", "1.1.1970")])
@pytest.mark.filterwarnings("ignore:.*value for VR:UserWarning")
def test_an_invalid_value_is_left_empty_and_noted(
    drawn_studies: Studies, tmp_path: Path, keyword: str, value: str, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    result, _ = _changed(drawn_studies[0], tmp_path, lambda data: data.__setattr__(keyword, value))
    assert dciodvfy_errors(_written(result, tmp_path)) == []
    (note,) = result.images[0].source.notes
    assert keyword in note
    assert value not in note


def test_what_highdicom_drops_is_copied(drawn_studies: Studies, tmp_path: Path) -> None:
    def change(data: Dataset) -> None:
        data.IssuerOfPatientID, data.OtherPatientIDs, data.PatientAge = "HOSPITAL A", ["1", "2"], "044Y"
        data.TimezoneOffsetFromUTC, data.PatientComments = "-0330", "lives alone"

    result, _ = _changed(drawn_studies[0], tmp_path, change)
    data = dcmread(_written(result, tmp_path))
    assert (data.IssuerOfPatientID, list(data.OtherPatientIDs), data.PatientAge) == ("HOSPITAL A", ["1", "2"], "044Y")
    assert (data.TimezoneOffsetFromUTC, data.PatientComments) == ("-0330", "lives alone")
    # 01:02:03 UTC, in the zone that the object states for all its times
    assert (data.InstanceCreationDate, data.InstanceCreationTime) == ("20261126", "213203.456789")
    assert data.ContributingEquipmentSequence[0].ContributionDateTime == "20261126213203.456789"


def test_character_sets_are_copied_byte_for_byte(
    drawn_studies: Studies, tmp_path: Path, shared_dicom: Path, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    files = sorted((shared_dicom / "charset").glob("*.dcm"))
    assert len(files) == 17
    for file in files:
        named = dcmread(file, force=True)

        def take_names(data: Dataset, named: Dataset = named) -> None:
            data.SpecificCharacterSet = named.get("SpecificCharacterSet", "")
            for keyword in COPIED:
                if keyword in named:
                    data[keyword] = named.get_item(keyword)

        result, source = _changed(drawn_studies[0], tmp_path, take_names)
        path = _written(result, tmp_path)
        copy, original = dcmread(path), dcmread(source)
        for keyword in (*COPIED, "SpecificCharacterSet"):
            if keyword in original:
                assert copy.get_item(keyword).value == original.get_item(keyword).value, (file.name, keyword)
        assert [line for line in dciodvfy_errors(path) if "PatientName" not in line] == [], file.name


def test_intake_skips_every_kind_of_result(drawn_studies: Studies, tmp_path: Path) -> None:
    drawn = drawn_studies[0]
    expected = {"SR": "not_an_image", "PR": "not_an_image", "OT": "not_a_radiograph"}
    for data in (drawn.report(), drawn.states()[0], drawn.captures()[0]):
        path = tmp_path / "result"
        path.write_bytes(encoded(data))
        info = path.stat()
        record = read_header(tmp_path, SourceFile("result", info.st_size, 0, 0), IntakePolicy(settle_seconds=0))
        assert isinstance(record, Skipped)
        assert record.reason == expected[data.Modality], data.Modality
