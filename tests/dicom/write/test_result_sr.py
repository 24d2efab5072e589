"""The Comprehensive 3D SR, held against the tables of PS3.16 and the checkers of others."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import highdicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from mura_batch.dicom.write.result_codes import WHY_NOT_SCORED
from mura_batch.dicom.write.result_objects import ref_to
from mura_batch.dicom.write.result_sr import COMPREHENSIVE_3D_SR, report
from mura_batch.dicom.write.result_uids import encoded
from mura_batch.records import Laterality, Reason, Region, StudyStatus

Studies = tuple[Any, ...]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Dataset], Path]:
    def save(data: Dataset) -> Path:
        path = tmp_path / f"{data.SOPInstanceUID}.dcm"
        path.write_bytes(encoded(data))
        return path

    return save


def _unscored(drawn: Any) -> Dataset:
    row = replace(drawn.result.row, score=None, abnormal=None, scored=0, status=StudyStatus.FAILED)
    return report(replace(drawn.result, row=row, unscored=(Reason.TRUNCATED,)), [], None)


def test_reports_keep_to_the_rows_of_their_templates(drawn_studies: Studies, sr_rows: ModuleType) -> None:
    for drawn in drawn_studies:
        assert sr_rows.violations(drawn.report()) == []
    assert sr_rows.violations(_unscored(drawn_studies[0])) == []


def test_reports_have_no_error_for_dciodvfy_and_dsrdump(
    drawn_studies: Studies,
    saved: Callable[[Dataset], Path],
    dciodvfy_errors: Callable[[Path], list[str]],
    dsrdump: Callable[[Path], str],
) -> None:
    for data in [*(drawn.report() for drawn in drawn_studies), _unscored(drawn_studies[0])]:
        path = saved(data)
        assert dciodvfy_errors(path) == []
        assert "PRELIMINARY" in dsrdump(path)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_pixelmeds_validator_finds_no_error(drawn_studies: Studies, saved: Callable[[Dataset], Path]) -> None:
    """The judge of the IHE Connectathon. It is of 2022: what came later is 'not in template', a warning."""
    jar = Path("/usr/share/java/pixelmed.jar")
    if not jar.exists() or shutil.which("java") is None:
        pytest.skip("PixelMed is not installed (apt-get install libpixelmed-java default-jre-headless)")
    limits = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]  # JAXP0801003 without
    for data in (drawn_studies[1].report(), _unscored(drawn_studies[1])):
        command = ["java", *limits, "-cp", str(jar), "com.pixelmed.validate.DicomSRValidator", str(saved(data))]
        done = subprocess.run([*command, "-checkcontentitemorder"], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        assert "IOD validation complete" in lines
        assert "Found Root Template TID_1500 (MeasurementReport)" in lines
        assert [line for line in lines if line.startswith("Error")] == []
        assert all(line.endswith("Content Item not in template") for line in lines if line.startswith("Warning"))


def test_highdicom_reads_probability_and_sources_back(drawn_studies: Studies, saved: Callable[[Dataset], Path]) -> None:
    drawn = drawn_studies[0]
    content = highdicom.sr.srread(saved(drawn.report())).content
    study, *images = content.get_image_measurement_groups()
    (probability,) = study.get_measurements()
    assert probability.value == drawn.result.row.score
    assert probability.unit.value == "1"
    assert {image.referenced_sop_instance_uid for image in study.source_images} == {
        image.source.sop_instance_uid for image in drawn.result.images
    }
    assert [group.get_measurements()[0].value for group in images] == [i.probability for i in drawn.result.images]
    assert study.finding_sites[0].laterality is not None


def test_a_long_fraction_keeps_all_its_digits(drawn_studies: Studies, sr_rows: ModuleType) -> None:
    result = drawn_studies[0].result
    data = report(replace(result, row=replace(result.row, score=1 / 3)), [], None)
    (value,) = next(
        item for item in sr_rows.measurement_groups(data)[0].ContentSequence if item.ValueType == "NUM"
    ).MeasuredValueSequence
    assert (str(value.NumericValue), value.FloatingPointValue) == ("0.33333333333333", 1 / 3)


def test_each_capture_is_a_visual_explanation_of_its_own_image(drawn_studies: Studies, sr_rows: ModuleType) -> None:
    drawn = drawn_studies[0]
    captures = [capture.SOPInstanceUID for capture in drawn.captures()]
    study, *images = sr_rows.measurement_groups(drawn.report())
    assert _explanations(study) == captures
    assert [_explanations(group) for group in images] == [[uid] for uid in captures]


def _explanations(group: Dataset) -> list[str]:
    return [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "130401"
        and item.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "130402"
    ]


def test_flags_say_complete_unverified_preliminary_research(drawn_studies: Studies) -> None:
    data = drawn_studies[0].report()
    assert data.SOPClassUID == COMPREHENSIVE_3D_SR
    assert (data.CompletionFlag, data.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert (data.PreliminaryFlag, data.ContentQualification) == ("PRELIMINARY", "RESEARCH")
    equipment = data.ContributingEquipmentSequence[0]
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert equipment.DeviceUID == drawn_studies[0].result.algorithm.device_uid


def test_the_device_uid_changes_with_the_weights(drawn_studies: Studies) -> None:
    algorithm = drawn_studies[0].result.algorithm
    assert replace(algorithm, weights="00" * 32).device_uid != algorithm.device_uid
    assert replace(algorithm, software="9.9").device_uid == algorithm.device_uid


def test_site_and_side_that_are_unknown_are_left_out(
    drawn_studies: Studies, dsrdump: Callable[[Path], str], saved: Callable[[Dataset], Path]
) -> None:
    result = drawn_studies[0].result
    no_side = report(replace(result, row=replace(result.row, laterality=Laterality.UNKNOWN)), [], None)
    no_site = report(replace(result, row=replace(result.row, region=Region.UNKNOWN)), [], None)
    assert "Laterality" not in dsrdump(saved(no_side))
    assert "Finding Site" not in dsrdump(saved(no_site))


def test_an_unscored_study_is_never_called_normal(
    drawn_studies: Studies, dsrdump: Callable[[Path], str], saved: Callable[[Dataset], Path]
) -> None:
    text = dsrdump(saved(_unscored(drawn_studies[0])))
    assert "17621005" not in text
    assert "NUM" not in text
    for code in ("371934000", "111224", "111245", "110521"):
        assert code in text


def test_every_reason_has_a_code() -> None:
    assert set(WHY_NOT_SCORED) == set(Reason)


def test_the_same_score_gives_the_same_bytes(drawn_studies: Studies) -> None:
    drawn = drawn_studies[0]
    assert encoded(drawn.report()) == encoded(drawn.report())


@pytest.mark.parametrize("change", ["score", "threshold", "time", "probability", "settings"])
def test_anything_else_gives_another_uid(drawn_studies: Studies, change: str) -> None:
    result = drawn_studies[0].result
    changed = {
        "score": replace(result, row=replace(result.row, score=0.123)),
        "threshold": replace(result, row=replace(result.row, threshold=0.41)),
        "time": replace(result, committed=result.committed + timedelta(seconds=1)),
        "probability": replace(result, images=(replace(result.images[0], probability=0.9), *result.images[1:])),
        "settings": replace(result, algorithm=replace(result.algorithm, settings="ffff")),
    }[change]
    before, after = report(result, [], None), report(changed, [], None)
    assert before.SOPInstanceUID != after.SOPInstanceUID
    assert (before.SeriesInstanceUID != after.SeriesInstanceUID) == (change == "settings")


def test_another_model_gets_another_series_and_names_its_predecessor(
    drawn_studies: Studies,
    sr_rows: ModuleType,
    saved: Callable[[Dataset], Path],
    dciodvfy_errors: Callable[[Path], list[str]],
) -> None:
    drawn = drawn_studies[0]
    first = drawn.report()
    other = replace(drawn.result.algorithm, name="other", weights="77" * 32)
    second = report(replace(drawn.result, algorithm=other), [], ref_to(first))
    assert second.SeriesInstanceUID != first.SeriesInstanceUID
    series = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert dciodvfy_errors(saved(second)) == []
    tracked = [
        next(item.UID for item in sr_rows.measurement_groups(data)[0].ContentSequence if item.ValueType == "UIDREF")
        for data in (first, second)
    ]
    assert tracked[0] == tracked[1], "a viewer cannot follow the study from model to model"


def _broken(data: Dataset, how: str, sr_rows: ModuleType) -> None:
    group = sr_rows.measurement_groups(data)[0]
    items = {sr_rows.concept(item): item for item in group.ContentSequence}
    match how:
        case "no procedure reported":
            data.ContentSequence = [item for item in data.ContentSequence if sr_rows.concept(item) != "121058"]
        case "no measurements":
            del data.ContentSequence[-1]
        case "rows reversed":
            group.ContentSequence = list(reversed(group.ContentSequence))
        case "wrong template":
            data.ContentTemplateSequence[0].TemplateIdentifier = "9999"
        case "no tracking uid":
            group.ContentSequence = [item for item in group.ContentSequence if item.ValueType != "UIDREF"]
        case "no algorithm version":
            group.ContentSequence = [item for item in group.ContentSequence if item is not items["111003"]]
        case "forbidden relationship":
            items["122157"].RelationshipType = "HAS PROPERTIES"
        case "image not in evidence":
            items["121112"].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"
        case "two units":
            value = items["122157"].MeasuredValueSequence[0]
            value.MeasurementUnitsCodeSequence = [*value.MeasurementUnitsCodeSequence] * 2
        case "another number":
            items["122157"].MeasuredValueSequence[0].FloatingPointValue = 0.9


@pytest.mark.parametrize(
    ("how", "row"),
    [
        ("no procedure reported", "TID 1500 row 4"),
        ("no measurements", "TID 1500 rows 6, 10, 12"),
        ("rows reversed", "out of order"),
        ("wrong template", "is 1500"),
        ("no tracking uid", "TID 1501 rows 2 and 3"),
        ("no algorithm version", "TID 4019 rows 1 and 2"),
        ("forbidden relationship", "no row for HAS PROPERTIES NUM"),
        ("image not in evidence", "C.17.2.1"),
        ("two units", "one unit"),
        ("another number", "C.18.1"),
    ],
)
def test_the_row_checker_sees_what_others_miss(drawn_studies: Studies, sr_rows: ModuleType, how: str, row: str) -> None:
    data = dcmread(_bytes(drawn_studies[0].report()))
    _broken(data, how, sr_rows)
    found = sr_rows.violations(data)
    assert any(row in line for line in found), found


def _bytes(data: Dataset) -> Any:
    from io import BytesIO

    return BytesIO(encoded(data))
