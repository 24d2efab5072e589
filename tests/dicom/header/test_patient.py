"""Sex and age, as headers write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mura_batch.dicom.header.patient import age_in_years, sex_of
from mura_batch.records import Instance, Sex, Skipped

Write = Callable[..., Path]
Header = Callable[..., Instance | Skipped]


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("045Y", 45), ("018M", 1), ("18M", 1), ("011M", 0), ("051W", 0), ("053W", 1), ("400D", 1), ("000Y", 0),
        ("7Y", 7), (" 45 y", 45), ("089Y", 89), ("090Y", 90), ("104Y", 90), ("125Y", 90),
        ("", None), ("999Y", None), ("126Y", None), ("045", None), ("45", None), ("-05Y", None), ("4.5Y", None),
        ("045Y045Y", None), ("Y", None), ("UNKNOWN", None), ("45 YEARS", None), ("\u0664\u0665Y", None),
        ("12345Y", None),
    ],
)  # fmt: skip
def test_an_age_is_read_or_unknown(age: str, years: int | None) -> None:
    assert age_in_years(age, "", "20240131") == years


@pytest.mark.parametrize(
    ("birth", "study", "years"),
    [
        ("19800131", "20240131", 44), ("19800201", "20240131", 43), ("20240131", "20240131", 0),
        ("1980.01.31", "20240131", 44), ("20000229", "20240228", 23), ("19300101", "20240131", 90),
        ("19000101", "20260131", None), ("20250101", "20240131", None), ("19801331", "20240131", None),
        ("", "20240131", None), ("19800131", "", None), ("1980", "20240131", None), ("00000000", "20240131", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("age", ["", "999Y", "045"])
def test_without_an_age_the_birth_date_counts(age: str, birth: str, study: str, years: int | None) -> None:
    assert age_in_years(age, birth, study) == years


def test_a_stated_age_outweighs_the_birth_date() -> None:
    assert age_in_years("012Y", "19000101", "20240131") == 12


@pytest.mark.parametrize(
    ("text", "sex"),
    [("F", Sex.FEMALE), ("m ", Sex.MALE), ("Female", Sex.FEMALE), ("O", Sex.OTHER), ("", Sex.UNKNOWN),
     ("U", Sex.UNKNOWN), ("W", Sex.UNKNOWN), ("MF", Sex.UNKNOWN)],
)  # fmt: skip
def test_a_sex_is_read_or_unknown(text: str, sex: Sex) -> None:
    assert sex_of(text) is sex


def _facts(found: Instance | Skipped) -> tuple[Any, ...]:
    assert isinstance(found, Instance)
    return found.sex, found.age, found.manufacturer, found.manufacturer_model, found.station_name


def test_a_header_tells_patient_and_device(write: Write, header: Header) -> None:
    found = header(
        write("a", PatientSex="F", PatientBirthDate="19700615", Manufacturer="FUJIFILM Corporation",
              ManufacturerModelName="DR-ID 1200", StationName="ROOM2", StudyDate="20240131")
    )  # fmt: skip
    assert _facts(found) == (Sex.FEMALE, 53, "FUJIFILM Corporation", "DR-ID 1200", "ROOM2")
    assert "19700615" not in repr(found)


def test_a_header_without_patient_and_device_leaves_them_unknown(write: Write, header: Header) -> None:
    absent = ("PatientSex", "PatientAge", "PatientBirthDate", "Manufacturer", "ManufacturerModelName", "StationName")
    assert _facts(header(write("a", **dict.fromkeys(absent)))) == (Sex.UNKNOWN, None, "", "", "")
