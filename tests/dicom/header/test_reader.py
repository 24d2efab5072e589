"""Header -> Instance | Skipped."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.records import Instance, Laterality, Reason, Region, Skipped, SourceFile, short_key

Write = Callable[..., Path]
Header = Callable[..., Instance | Skipped]
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def item(**tags: Any) -> Sequence:
    data = Dataset()
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    return Sequence([data])


def test_an_ordinary_radiograph_becomes_an_instance(write: Write, header: Header, limb: np.ndarray) -> None:
    path = write(
        "a", AccessionNumber="A7", StudyDate="20240131", ViewPosition="PA", ImageLaterality="L", IssuerOfPatientID="X"
    )
    found = header(path)
    assert isinstance(found, Instance)
    assert (found.study_uid, found.series_uid, found.accession, found.study_date) == (
        "1.2.3.4",
        "1.2.3.5",
        "A7",
        "20240131",
    )
    assert (found.region.region, found.region.source, found.region.confidence) == (Region.HAND, "body_part", "high")
    assert (found.laterality, found.view_position, found.modality) == (Laterality.LEFT, "PA", "CR")
    assert (found.rows, found.columns, found.bits_stored, found.photometric) == (*limb.shape, 12, "MONOCHROME2")
    assert (found.transfer_syntax, found.flags) == (syntaxes.EXPLICIT_LE, ())
    assert found.patient_key == f"{short_key('P1')}-{short_key('x')}"
    assert "P1" not in repr(found)


@pytest.mark.parametrize("syntax", sorted(syntaxes.NATIVE))
def test_every_native_form_says_the_same(write: Write, header: Header, syntax: str) -> None:
    code = item(CodeValue="85562004", CodingSchemeDesignator="SCT", CodeMeaning="Hand")
    found = header(
        write(
            "a",
            syntax=syntax,
            AnatomicRegionSequence=code,
            StudyDescription="M\u00e4r",
            SpecificCharacterSet="ISO_IR 100",
        )
    )
    assert isinstance(found, Instance), found
    assert (found.region.source, found.rows, found.bits_stored, found.flags) == ("code", 200, 12, ())


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"SOPClassUID": SECONDARY_CAPTURE}, Reason.SCREEN_CAPTURE),
        ({"SOPClassUID": SECONDARY_CAPTURE, "Modality": "OT"}, Reason.NOT_A_RADIOGRAPH),
        ({"SOPClassUID": SECONDARY_CAPTURE, "Modality": "SC"}, Reason.NOT_A_RADIOGRAPH),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.2", "Modality": "RF"}, Reason.NOT_A_RADIOGRAPH),
        ({"Modality": "MG"}, Reason.NOT_A_RADIOGRAPH),
        ({"Modality": "RF"}, Reason.NOT_A_RADIOGRAPH),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33", "Rows": None}, Reason.NOT_AN_IMAGE),
        ({"SOPClassUID": "1.2.840.10008.1.3.10", "Rows": None}, Reason.DICOMDIR),
        ({"SOPClassUID": DX + ".1", "Modality": "DX"}, Reason.FOR_PROCESSING),
        ({"SOPClassUID": DX, "Modality": "DX", "PresentationIntentType": "FOR PROCESSING"}, Reason.FOR_PROCESSING),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, Reason.DERIVED),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Reason.LOCALIZER),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, Reason.SCREEN_CAPTURE),
        ({"BurnedInAnnotation": "YES"}, Reason.BURNED_IN_ANNOTATION),
        ({"QualityControlImage": "YES"}, Reason.QUALITY_CONTROL),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, Reason.COLOUR),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Reason.COLOUR),
        ({"NumberOfFrames": "12"}, Reason.MULTI_FRAME),
        ({"PatientSpeciesDescription": "CANINE"}, Reason.ANIMAL),
        ({"PatientSpeciesCodeSequence": item(CodeValue="448771007", CodingSchemeDesignator="SCT")}, Reason.ANIMAL),
        ({"StudyInstanceUID": ""}, Reason.NO_STUDY_UID),
        ({"SOPInstanceUID": ""}, Reason.NO_SOP_UID),
        ({"BodyPartExamined": "CHEST"}, Reason.OTHER_REGION),
        ({"BodyPartExamined": None}, Reason.UNKNOWN_REGION),
        ({"BodyPartExamined": "STANDARD"}, Reason.UNKNOWN_REGION),
        ({"BodyPartExamined": "EXTREMITY"}, Reason.AMBIGUOUS_REGION),
        ({"Rows": 0}, Reason.BAD_PIXEL_DESCRIPTION),
        ({"BitsAllocated": 32}, Reason.BAD_PIXEL_DESCRIPTION),
        ({"BitsStored": 17}, Reason.BAD_PIXEL_DESCRIPTION),
        ({"PhotometricInterpretation": None}, Reason.BAD_PIXEL_DESCRIPTION),
        ({"Rows": 65535, "Columns": 65535}, Reason.TOO_LARGE),
        ({"Rows": 201}, Reason.PIXEL_SIZE_MISMATCH),
        ({"Rows": 199}, Reason.PIXEL_SIZE_MISMATCH),
    ],
)  # fmt: skip
def test_what_is_not_scored_is_named_with_its_reason(
    write: Write, header: Header, tags: dict[str, Any], reason: Reason
) -> None:
    found = header(write("a", **tags))
    assert isinstance(found, Skipped), found
    assert found.reason is reason
    assert found.detail


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageType": ["DERIVED", "PRIMARY"]},  # what DX images FOR PRESENTATION are (PS3.3 C.8.11.3)
        {"PatientSpeciesDescription": "Homo sapiens"},
        {"PatientSpeciesCodeSequence": item(CodeValue="337915000", CodingSchemeDesignator="SCT")},  # CID 7454
        {"BurnedInAnnotation": "NO", "QualityControlImage": "NO", "NumberOfFrames": "1"},
        {"SOPClassUID": DX, "Modality": "DX", "PresentationIntentType": "FOR PRESENTATION"},
        {"BitsStored": 16, "HighBit": 15},
        {"NumberOfFrames": ""},
        {"ImageType": ["ORIGINAL", "PRIMARY", "SCREENING"]},
    ],
)
def test_what_looks_odd_and_is_a_radiograph_is_scored(write: Write, header: Header, tags: dict[str, Any]) -> None:
    assert isinstance(header(write("a", **tags)), Instance)


def test_a_skip_names_the_study_where_the_header_has_it(write: Write, header: Header) -> None:
    found = header(write("a", BodyPartExamined="CHEST", AccessionNumber="A7"))
    assert isinstance(found, Skipped)
    assert (found.study_uid, found.sop_instance_uid[:4], found.accession, found.region) == (
        "1.2.3.4",
        "1.2.",
        "A7",
        "other",
    )


def test_an_unreadable_radiograph_keeps_region_and_side(write: Write, header: Header) -> None:
    found = header(write("a", ImageLaterality="R", Rows=500))
    assert isinstance(found, Skipped)
    assert (found.reason, found.region, found.laterality) == (Reason.PIXEL_SIZE_MISMATCH, Region.HAND, Laterality.RIGHT)


def cut_inside_a_private_element(path: Path) -> Path:
    """The file ends in the middle of (0029,1010), behind everything that identifies it."""
    data = path.read_bytes()
    at = data.index(b"\xe0\x7f\x10\x00O")
    path.write_bytes(data[:at] + struct.pack("<HH2sHL", 0x0029, 0x1010, b"OB", 0, 4000) + b"\1" * 100)
    return path


def test_a_radiograph_truncated_in_its_header_names_its_study(write: Write, header: Header) -> None:
    found = header(cut_inside_a_private_element(write("a", AccessionNumber="A7")))
    assert isinstance(found, Skipped)
    assert (found.reason, found.study_uid, found.accession) == (Reason.TRUNCATED, "1.2.3.4", "A7")
    assert found.region is Region.HAND


@pytest.mark.parametrize(
    "tags", [{"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"}, {"BodyPartExamined": "CHEST"}]
)
def test_another_object_cut_in_its_header_belongs_to_no_study(
    write: Write, header: Header, tags: dict[str, str]
) -> None:
    found = header(cut_inside_a_private_element(write("a", **tags)))
    assert isinstance(found, Skipped)
    assert (found.reason, found.study_uid) == (Reason.TRUNCATED, "")


def test_an_internal_error_is_not_blamed_on_the_file(
    write: Write, header: Header, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "terms.toml")

    monkeypatch.setattr("mura_batch.dicom.header.judge.describe", missing)
    with pytest.raises(FileNotFoundError):
        header(write("a"))


def test_regions_that_nobody_asked_for_are_left_out(write: Write, header: Header) -> None:
    found = header(write("a"), IntakePolicy(settle_seconds=0, regions=(Region.WRIST,)))
    assert isinstance(found, Skipped)
    assert (found.reason, found.region) == (Reason.REGION_NOT_CHOSEN, Region.HAND)


def test_an_unknown_region_is_scored_where_the_site_wants_it(write: Write, header: Header) -> None:
    found = header(write("a", BodyPartExamined=None), IntakePolicy(settle_seconds=0, score_unknown_region=True))
    assert isinstance(found, Instance)
    assert found.region.region is Region.UNKNOWN


@pytest.mark.parametrize(
    ("keyword", "raw", "word"),
    [
        ("NumberOfFrames", b"1A", "NumberOfFrames"),  # pydicom raises when such a value is looked at
        ("StudyDescription", "H\u00e4nd".encode("latin-1"), ""),  # no character set declared: Latin-1 is assumed
    ],
)
def test_a_value_that_cannot_be_read_costs_itself_only(
    write: Write, header: Header, keyword: str, raw: bytes, word: str
) -> None:
    path = write("a", **{keyword: "1" if keyword == "NumberOfFrames" else "mark"})
    at = path.read_bytes()
    old = b"1 " if keyword == "NumberOfFrames" else b"mark"
    place = at.index(old, at.index(b"\x28\x00\x08\x00" if keyword == "NumberOfFrames" else b"\x08\x00\x30\x10"))
    path.write_bytes(at[:place] + raw + at[place + len(raw) :])
    found = header(path)
    assert isinstance(found, Instance), found
    assert [word in flag for flag in found.flags] == ([True] if word else [])


def test_an_unknown_character_set_is_flagged_and_the_file_scored(write: Write, header: Header) -> None:
    path = write("a", SpecificCharacterSet="ISO_IR 192", StudyDescription="M\u00e4rz")
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", b"ISO_IR 999"))
    found = header(path)
    assert isinstance(found, Instance)
    assert found.flags == ("StudyDescription cannot be read",)


@pytest.mark.parametrize(
    ("charset", "text", "region"),
    [
        ("ISO_IR 192", "\u5de6\u624b\u95a2\u7bc0", Region.WRIST),
        ("ISO_IR 144", "\u041b\u043e\u043a\u043e\u0442\u044c", Region.ELBOW),
        (["", "ISO 2022 IR 87"], "\u80a9\u95a2\u7bc0", Region.SHOULDER),  # Japanese in seven bits, with escapes
        ("GB18030", "\u8155\u5173\u8282", Region.WRIST),
        ("ISO_IR 100", "MU\u00d1ECA", Region.WRIST),
    ],
)
def test_descriptions_are_read_in_their_character_set(
    write: Write, header: Header, charset: Any, text: str, region: Region
) -> None:
    found = header(write("a", BodyPartExamined=None, SpecificCharacterSet=charset, StudyDescription=text))
    assert isinstance(found, Instance), found
    assert found.region.region is region


def test_an_invalid_uid_is_flagged_and_left_unchanged(write: Write, header: Header) -> None:
    found = header(write("a", StudyInstanceUID="../../../etc/x"))
    assert isinstance(found, Instance)
    assert found.study_uid == "../../../etc/x"
    assert found.flags == ("a UID holds more than digits and dots (PS3.5 9.1)",)


def test_a_data_set_without_preamble_is_read(write: Write, header: Header) -> None:
    path = write("a")
    path.write_bytes(path.read_bytes()[132:])  # file meta without preamble
    assert isinstance(header(path), Instance)
    body = path.read_bytes()
    path.write_bytes(body[body.index(b"\x08\x00\x08\x00CS") :])  # the bare data set
    found = header(path)
    assert isinstance(found, Instance)
    assert found.flags == ("no Transfer Syntax UID (0002,0010): taken from the data",)


def test_a_data_set_contradicting_its_transfer_syntax_is_read(write: Write, header: Header) -> None:
    path = write("a", syntax=syntaxes.IMPLICIT_LE)
    declared, other = b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1\0"
    data = path.read_bytes().replace(
        b"UI" + struct.pack("<H", len(declared)) + declared, b"UI" + struct.pack("<H", len(other)) + other, 1
    )
    path.write_bytes(data)
    assert isinstance(header(path), Instance)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (b"study_uid,label\r\n1.2.3,1\r\n" * 20, Reason.NOT_DICOM),
        (b"\0" * 400, Reason.NOT_DICOM),
        (b"\xff\xd8\xff\xe0" + b"x" * 400, Reason.NOT_DICOM),
        (b"\0" * 128 + b"DICM", Reason.TRUNCATED),
        (b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\4\0\0\0\0\0", Reason.TRUNCATED),
        (b"\0" * 256 + b"DICM", Reason.NOT_DICOM),
        (b"PK\x03\x04" + b"\0" * 200, Reason.ARCHIVE),
        (b"\x1f\x8b\x08" + b"\0" * 200, Reason.ARCHIVE),
        (b"name".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 300, Reason.ARCHIVE),
    ],
)
def test_what_is_no_dicom_is_never_forced(studies: Path, header: Header, content: bytes, reason: Reason) -> None:
    (studies / "a").write_bytes(content)
    found = header(studies / "a")
    assert isinstance(found, Skipped)
    assert found.reason is reason


@pytest.mark.parametrize(
    "syntax", [syntaxes.EXPLICIT_LE, syntaxes.IMPLICIT_LE, syntaxes.JPEG_LS_LOSSLESS, syntaxes.DEFLATED]
)
def test_a_file_cut_anywhere_is_reported_and_never_scored(
    write: Write, limb: np.ndarray, intake: Callable[..., dict[str, Any]], syntax: str
) -> None:
    path = write("whole", stored=limb << 4, syntax=syntax, BitsStored=16, HighBit=15)
    whole = path.read_bytes()
    for cut in {*range(130, 900, 37), len(whole) // 2, len(whole) - 300, len(whole) - 10}:
        (path.parent / f"cut at {cut}").write_bytes(whole[:cut])
    path.unlink()
    found = intake(workers=1)
    assert all(isinstance(answer, Skipped) for answer in found.values())
    reasons = {answer.reason for answer in found.values() if isinstance(answer, Skipped)}
    assert Reason.TRUNCATED in reasons
    assert reasons <= {
        Reason.TRUNCATED, Reason.NO_PIXEL_DATA, Reason.NOT_DICOM, Reason.NOT_AN_IMAGE, Reason.UNKNOWN_REGION,
        Reason.BAD_PIXEL_DESCRIPTION, Reason.NOT_A_RADIOGRAPH,
    }  # fmt: skip


def test_a_damaged_file_with_its_last_byte_is_not_truncated(
    write: Write, intake: Callable[..., dict[str, Any]]
) -> None:
    """A damaged length in the file meta, in the data set, and a damaged deflate stream."""
    for name in ("meta", "length", "nested"):
        write(
            name,
            SOPInstanceUID=f"1.2.{len(name)}",
            RequestAttributesSequence=item(ScheduledProcedureStepDescription="x"),
        )
    for name, tag, vr in (
        ("meta", b"\2\0\0\0", b"UL"),
        ("length", b"\x18\0\x15\0", b"CS"),
        ("nested", b"\x40\0\x75\2", b"SQ"),
    ):
        path = write(name, RequestAttributesSequence=item(ScheduledProcedureStepDescription="x"))
        data = bytearray(path.read_bytes())
        at = data.index(tag + vr) + (8 if vr == b"SQ" else 6)
        data[at : at + 2] = b"\xf0\xff"
        data[at + 2 : at + 4] = b"\xff\xff" if vr == b"SQ" else data[at + 2 : at + 4]
        path.write_bytes(data)
    for place in (0.3, 0.5, 0.9):
        path = write(f"deflated {place}", syntax=syntaxes.DEFLATED)
        data = bytearray(path.read_bytes())
        data[int(len(data) * place)] ^= 0xFF
        path.write_bytes(data)
    answers = intake()
    reasons = {name: answer.reason for name, answer in answers.items() if isinstance(answer, Skipped)}
    assert Reason.TRUNCATED not in reasons.values(), reasons
    assert reasons["length"] is Reason.DAMAGED_HEADER


def test_a_file_that_became_a_pipe_is_refused_at_once(studies: Path) -> None:
    os.mkfifo(studies / "a")
    found = read_header(studies, SourceFile("a", 1000, 0, 0), IntakePolicy())
    assert isinstance(found, Skipped)
    assert found.reason is Reason.UNREADABLE_FILE


def test_a_vanished_file_is_unreadable_and_its_path_hidden(studies: Path) -> None:
    found = read_header(studies, SourceFile("DOE^JOHN.dcm", 1000, 0, 0), IntakePolicy())
    assert isinstance(found, Skipped)
    assert (found.reason, found.detail) == (Reason.UNREADABLE_FILE, "No such file or directory")


def test_a_large_private_element_before_the_pixels_is_stepped_over(write: Write, header: Header) -> None:
    path = write("a", StudyComments="x" * 9000)
    data = Dataset()
    data.add_new(0x00290010, "LO", "VENDOR")
    data.add_new(0x00291001, "OB", b"\1" * 40_000_000)
    path.write_bytes(_with(path.read_bytes(), data))
    found = header(path)
    assert isinstance(found, Instance)
    assert found.rows == 200


def _with(file: bytes, private: Dataset) -> bytes:
    """The file with more elements before its pixel data."""
    at = file.index(b"\xe0\x7f\x10\x00OW")
    raw = b""
    for element in private:
        value = element.value if isinstance(element.value, bytes) else element.value.encode()
        raw += struct.pack("<HH2s", element.tag.group, element.tag.element, element.VR.encode())
        raw += struct.pack("<H", len(value)) if element.VR == "LO" else struct.pack("<HL", 0, len(value))
        raw += value
    return file[:at] + raw + file[at:]


@pytest.mark.parametrize(
    ("rewrite", "flagged"),
    [
        (lambda deflated: zlib.compress(zlib.decompress(deflated, -15)), False),  # behind a zlib header
        (lambda deflated: zlib.decompress(deflated, -15), True),  # not deflated at all
    ],
)
def test_a_deflated_data_set_may_be_written_otherwise(
    write: Write, header: Header, rewrite: Callable[[bytes], bytes], flagged: bool
) -> None:
    path = write("a", syntax=syntaxes.DEFLATED)
    data = path.read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")  # behind the File Meta Information, by its group length
    path.write_bytes(data[:start] + rewrite(data[start:]))
    found = header(path)
    assert isinstance(found, Instance), found
    assert any("says deflated" in flag for flag in found.flags) is flagged
    decode(path.read_bytes(), IntakePolicy(), 0)


def test_numbers_with_a_decimal_comma_are_read(write: Write) -> None:
    path = write("a", WindowCenter="2048", WindowWidth="4096")
    path.write_bytes(path.read_bytes().replace(b"DS\x04\x002048", b"DS\x06\x002048,0"))
    _, _, decisions = decode(path.read_bytes(), IntakePolicy(), 0)
    assert (decisions.voi, decisions.window_center, decisions.window_width) == ("window linear", 2048, 4096)
