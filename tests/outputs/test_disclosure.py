"""What passes with each choice of `--identifiers`."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from record_builders import FULL, NAMES, build_decisions, build_instance, build_score

from mura_batch.outputs.disclosure import Disclosure
from mura_batch.pseudonyms import Identifiers
from mura_batch.records import (
    Instance,
    Laterality,
    Reason,
    Region,
    RegionFinding,
    Skipped,
    SourceFile,
    Stage,
    StudyScore,
    StudyStatus,
)

KEY = Disclosure(Identifiers.KEY, NAMES)
ACCESSION = Disclosure(Identifiers.ACCESSION, NAMES)
EVERY = (KEY, ACCESSION, FULL)
TEXT = "DOE^JOHN"


def study(**other: Any) -> StudyScore:
    values: dict[str, Any] = {
        "study_uid": "1.2.3", "accession": "A1", "patient_key": "0123456789", "study_date": "20240131",
        "region": Region.HAND, "laterality": Laterality.LEFT, "instances": 1, "scored": 1, "score": 0.25,
        "abnormal": False, "threshold": 0.5, "status": StudyStatus.SCORED,
    }  # fmt: skip
    return StudyScore(**{**values, **other})


def shown(instance: Instance, disclosure: Disclosure) -> Instance:
    (image,) = disclosure.images([build_score(instance, 0.5)])
    return image.instance


@pytest.mark.parametrize("disclosure", EVERY)
def test_studies_of_one_patient_share_a_key(disclosure: Disclosure) -> None:
    rows = [disclosure.row(study(study_uid=uid, patient_key=p)) for uid, p in (("1", "a"), ("2", "a"), ("3", "b"))]
    keys = [row.patient_key for row in rows]
    assert keys[0] == keys[1] != keys[2]
    assert "a" not in keys  # what the ledger has anybody can compute


def test_with_key_a_month_is_left_of_a_date() -> None:
    assert KEY.row(study()).study_date == "20240101"
    assert KEY.row(study(study_date=TEXT)).study_date == ""
    assert ACCESSION.row(study()).study_date == "20240131"


def test_with_key_every_text_of_an_instance_is_replaced() -> None:
    of_the_standard = {"sop_class_uid", "transfer_syntax"}  # the intake refuses others
    names = {field.name for field in fields(Instance) if field.type == "str"} - of_the_standard
    finding = RegionFinding(Region.HAND, "procedure", TEXT, "low", TEXT)
    instance = build_instance(TEXT, flags=(TEXT,), region=finding, **dict.fromkeys(names, TEXT))
    assert TEXT not in repr(shown(instance, KEY))
    assert repr(shown(instance, FULL)).count(TEXT) > 8


def test_with_key_flags_of_the_pixels_are_a_word() -> None:
    image = build_score(build_instance(), 0.5)
    flagged = replace(image, decoded=replace(image.decoded, decisions=build_decisions(flags=(TEXT, "other"))))
    assert KEY.images([flagged])[0].decoded.decisions.flags == ("flagged",)
    assert KEY.images([image])[0].decoded.decisions.flags == ()


@pytest.mark.parametrize(
    ("source", "confidence", "texts"),
    [
        ("code", "high", ("", TEXT, TEXT)),
        ("body_part", "high", ("", TEXT, TEXT)),
        ("study_description", "medium", ("", "", TEXT)),  # nobody need read it
        ("site", "high", ("", "", TEXT)),
        ("study_description", "low", ("", TEXT, TEXT)),  # sources disagree: a person should look
        ("none", "none", ("", TEXT, TEXT)),
    ],
)
def test_text_is_disclosed_where_a_person_needs_it(source: str, confidence: str, texts: tuple[str, ...]) -> None:
    finding = RegionFinding(Region.HAND, source, TEXT, confidence)
    instance = build_instance(region=finding)
    assert tuple(each.evidence(shown(instance, each).region) for each in EVERY) == texts


@pytest.mark.parametrize(
    ("reason", "detail", "details"),
    [
        (Reason.OTHER_REGION, f"procedure: {TEXT} CHEST", ("", "procedure", f"procedure: {TEXT} CHEST")),
        (Reason.OTHER_REGION, "code: 51185008 Chest", ("", "code: 51185008 Chest", "code: 51185008 Chest")),
        (Reason.UNKNOWN_REGION, f"procedure: {TEXT}", ("", f"procedure: {TEXT}", f"procedure: {TEXT}")),
    ],
)
def test_details_quote_the_header_where_that_is_needed(reason: Reason, detail: str, details: tuple[str, ...]) -> None:
    skip = Skipped(SourceFile(TEXT, 1, 1, 1), Stage.HEADER, reason, detail, TEXT, TEXT, TEXT)
    assert tuple(each.skip(skip).detail for each in EVERY) == details
    assert TEXT not in repr(KEY.skip(skip))


def test_keys_beside_rows_are_the_same_with_every_choice() -> None:
    rows = [each.row(study()) for each in EVERY]
    assert len({each.study_key(row.study_uid) for each, row in zip(EVERY, rows, strict=True)}) == 1
    skips = [each.skip(Skipped(SourceFile("a/b", 1, 1, 1), Stage.HEADER, Reason.NOT_DICOM)) for each in EVERY]
    assert len({each.file_key(skip.source.path) for each, skip in zip(EVERY, skips, strict=True)}) == 1
