"""Data sets that are not written quite as the standard asks: seen in exports, described in public issues of pydicom,
fo-dicom, dcm4che and DCMTK."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from mura_batch.dicom import syntax as syntaxes
from mura_batch.records import Instance, Reason, Skipped

Write = Callable[..., Path]
Header = Callable[..., Instance | Skipped]
Intake = Callable[..., dict[str, Any]]
REGION, SPECIES, BODY_PART = 0x00082218, 0x00102202, 0x00180015
DELIMITER = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
LONG = {b"OB", b"OW", b"SQ", b"UN", b"UT"}


def tag_bytes(tag: int) -> bytes:
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    length = b"\0\0" + struct.pack("<L", len(value)) if vr in LONG else struct.pack("<H", len(value))
    return tag_bytes(tag) + vr + length + value


def implicit(tag: int, value: bytes) -> bytes:
    return tag_bytes(tag) + struct.pack("<L", len(value)) + value


def undefined(tag: int, vr: bytes, value: bytes) -> bytes:
    return tag_bytes(tag) + vr + b"\0\0\xff\xff\xff\xff" + value + DELIMITER


def item(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def open_item(content: bytes, end: bytes = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + content + end


def insert(path: Path, blob: bytes, before: int) -> Path:
    data = path.read_bytes()
    at = data.index(tag_bytes(before), 340)
    path.write_bytes(data[:at] + blob + data[at:])
    return path


def code(value: bytes, meaning: bytes) -> tuple[bytes, bytes]:
    """A code item's elements: explicit, implicit."""
    elements = ((0x00080100, b"SH", value), (0x00080102, b"SH", b"SCT "), (0x00080104, b"LO", meaning))
    return b"".join(explicit(*e) for e in elements), b"".join(implicit(tag, text) for tag, _, text in elements)


WRIST, WRIST_IMPLICIT = code(b"74670003", b"Wrist joint ")
LEFT, _ = code(b"7771000 ", b"Left")


@pytest.mark.parametrize(
    "sequence",
    [
        explicit(REGION, b"SQ", item(WRIST)),
        undefined(REGION, b"SQ", open_item(WRIST)),
        explicit(REGION, b"UN", item(WRIST_IMPLICIT)),
        explicit(REGION, b"UN", item(WRIST)),  # dcm4che: items explicit all the same
        undefined(REGION, b"UN", open_item(WRIST_IMPLICIT)),
        undefined(REGION, b"UN", open_item(WRIST)),
        undefined(REGION, b"UN", item(WRIST)),
        explicit(REGION, b"SQ", item(WRIST_IMPLICIT)),
        undefined(REGION, b"SQ", open_item(WRIST_IMPLICIT)),
        explicit(REGION, b"OB", item(WRIST)),
        undefined(REGION, b"SQ", open_item(WRIST, end=b"")),  # fo-dicom: an item without its own delimiter
        undefined(REGION, b"SQ", open_item(WRIST) + item(WRIST)),
    ],
)
def test_a_coded_region_is_read_however_its_sequence_is_written(write: Write, header: Header, sequence: bytes) -> None:
    found = header(insert(write("a"), sequence, before=0x00100020))
    assert isinstance(found, Instance), found
    assert (found.region.region, found.region.source) == ("wrist", "code")
    assert found.rows == 200


@pytest.mark.parametrize("content", [WRIST, WRIST_IMPLICIT])
def test_an_implicit_file_may_hold_items_of_either_form(write: Write, header: Header, content: bytes) -> None:
    path = write("a", syntax=syntaxes.IMPLICIT_LE)
    found = header(insert(path, implicit(REGION, item(content)), before=0x00100020))
    assert isinstance(found, Instance), found
    assert found.region.source == "code"


def test_a_length_that_spells_a_vr_is_a_length(write: Write, header: Header) -> None:
    path = write("a", syntax=syntaxes.IMPLICIT_LE)
    private = implicit(0x00091010, item(implicit(0x00091011, b"x" * 0x4F4C)))  # 'LO' as two bytes of a length
    assert isinstance(header(insert(path, private, before=0x00100020)), Instance)


@pytest.mark.parametrize("form", [explicit(SPECIES, b"UN", item(code(b"448771007 ", b"Dog ")[0])),
                                  undefined(SPECIES, b"UN", open_item(code(b"448771007 ", b"Dog ")[0]))])  # fmt: skip
def test_an_animal_coded_under_vr_un_is_not_scored(write: Write, header: Header, form: bytes) -> None:
    found = header(insert(write("a"), form, before=BODY_PART))
    assert isinstance(found, Skipped)
    assert found.reason is Reason.ANIMAL


@pytest.mark.parametrize("vr", [b"--", b"RE", b"  ", b"UK", b"??", b"\0\0", b"lt", b"XX", b"qq"])
@pytest.mark.parametrize("length_bytes", [2, 4, 0])
def test_a_vr_of_no_standard_costs_nothing(write: Write, header: Header, vr: bytes, length_bytes: int) -> None:
    """With a length of 16 bits, of 32, and without a VR at all."""
    text = b"Pain after a fall, some words that nobody needs ".ljust(0x54)
    head = {2: vr + struct.pack("<H", len(text)), 4: vr + b"\0\0" + struct.pack("<L", len(text)),
            0: struct.pack("<L", len(text))}[length_bytes]  # fmt: skip
    found = header(insert(write("a"), tag_bytes(0x001021B0) + head + text, before=BODY_PART))
    assert isinstance(found, Instance), found
    assert found.rows == 200


def test_an_empty_value_of_an_unknown_vr_costs_nothing(write: Write, header: Header) -> None:
    blob = tag_bytes(0x001021B0) + b"--\0\0" + tag_bytes(0x00102203) + b"??\0\0"
    assert isinstance(header(insert(write("a"), blob, before=BODY_PART)), Instance)


def under_un(path: Path, *tags: int) -> Path:
    """Rewrites elements of VR US or SS under VR UN."""
    data = path.read_bytes()
    for tag in tags:
        at = next(data.index(tag_bytes(tag) + vr) for vr in (b"US", b"SS") if tag_bytes(tag) + vr in data)
        data = data[:at] + explicit(tag, b"UN", data[at + 8 : at + 10]) + data[at + 10 :]
    path.write_bytes(data)
    return path


def test_known_elements_under_vr_un_mean_what_they_mean(write: Write, limb: np.ndarray, intake: Intake) -> None:
    signed = (limb.astype(np.int32) - 2048).astype(np.int16)
    signed[:40] = -2048
    tags = {
        "PixelPaddingValue": -2048,
        "WindowCenter": "0",
        "WindowWidth": "4096",
        "PhotometricInterpretation": "MONOCHROME1",
    }
    write("plain", stored=signed, SOPInstanceUID="1.2.9", **tags)
    path = write("unknown", stored=signed, **tags)
    under_un(path, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280120)
    found = intake()
    assert not isinstance(found["unknown"], Skipped), found["unknown"]
    assert (found["unknown"][1] == found["plain"][1]).all()
    assert found["unknown"][0].decisions == found["plain"][0].decisions


def icon(stream: bytes) -> bytes:
    """An icon image of 64 x 64 pixels in fragments (PS3.3 C.7.6.1.1.6, PS3.5 A.4)."""
    numbers = ((0x00280002, 1), (0x00280010, 64), (0x00280011, 64), (0x00280100, 8), (0x00280101, 8), (0x00280102, 7))
    head = b"".join(explicit(tag, b"US", struct.pack("<H", n)) for tag, n in numbers)
    return head + undefined(0x7FE00010, b"OB", item(b"") + item(stream + b"\0" * (len(stream) % 2)))


SMALL = np.random.default_rng(1).integers(0, 256, (64, 64)).astype(np.uint8)


@pytest.mark.parametrize("encode", [imagecodecs.jpeg8_encode, imagecodecs.jpegls_encode, imagecodecs.ljpeg_encode])
@pytest.mark.parametrize("tag", [0x00880200, 0x00871020])  # Icon Image Sequence, and a private one
def test_a_compressed_icon_in_a_header_is_stepped_over(
    write: Write, header: Header, encode: Callable[[np.ndarray], bytes], tag: int
) -> None:
    content = icon(encode(SMALL))
    for number, blob in enumerate(
        [
            undefined(tag, b"SQ", open_item(content)),
            undefined(tag, b"SQ", item(content)),
            explicit(tag, b"SQ", item(content)),
        ]
    ):
        path = write(f"a{number}", syntax=syntaxes.JPEG_LOSSLESS_SV1)
        data = path.read_bytes()
        at = data.rindex(tag_bytes(0x7FE00010))
        path.write_bytes(data[:at] + blob + data[at:])
        found = header(path)
        assert isinstance(found, Instance), found
        assert found.rows == 200


def test_an_icon_whose_fragments_have_no_delimiter_is_stepped_over(write: Write, header: Header) -> None:
    content = icon(bytes(imagecodecs.jpeg8_encode(SMALL)))[:-8]
    found = header(insert(write("a"), undefined(0x00880200, b"SQ", open_item(content)), before=0x7FE00010))
    assert isinstance(found, Instance), found
    assert any("without its" in flag for flag in found.flags)


def test_private_fragments_before_the_pixels_are_stepped_over(write: Write, header: Header) -> None:
    blob = undefined(0x00871030, b"OB", item(b"") + item(imagecodecs.jpeg8_encode(SMALL) + b"\0"))
    path = write("a")
    assert isinstance(header(insert(path, blob, before=0x7FE00010)), Instance)


@pytest.mark.parametrize(
    ("modality", "flagged"),
    [("DR", True), ("XR", True), ("RG", True), ("dx", True), ("", True), (None, True), ("OT", True), ("CR", False)],
)
def test_the_sop_class_decides_for_a_non_radiograph_modality(
    write: Write, header: Header, modality: str | None, flagged: bool
) -> None:
    found = header(write("a", Modality=modality))
    assert isinstance(found, Instance), found
    assert any("Modality (0008,0060)" in flag for flag in found.flags) is flagged


def test_a_sop_class_only_in_file_meta_is_flagged(write: Write, header: Header) -> None:
    found = header(write("a", SOPClassUID=None))
    assert isinstance(found, Instance), found
    assert found.sop_class_uid == "1.2.840.10008.5.1.4.1.1.1"
    assert any("File Meta" in flag for flag in found.flags)


@pytest.mark.parametrize("sop_class", [None, "1.2.392.200036.9125.1.1.2"])  # none at all, Fuji's private CR
@pytest.mark.parametrize("modality", ["CR", "DX", "OT", "US", ""])
def test_modality_decides_where_the_sop_class_is_unknown(
    write: Write, header: Header, sop_class: str | None, modality: str
) -> None:
    path = write("a", SOPClassUID=sop_class, Modality=modality)
    data = path.read_bytes()  # and none in the File Meta Information either
    path.write_bytes(data.replace(explicit(0x00020002, b"UI", b"1.2.840.10008.5.1.4.1.1.1\0"), b""))
    found = header(path)
    if modality in {"CR", "DX"}:
        assert isinstance(found, Instance), found
        assert [flag for flag in found.flags if "Modality (0008,0060) decides" in flag]
    else:
        assert isinstance(found, Skipped)
        assert found.reason is Reason.NOT_A_RADIOGRAPH


@pytest.mark.parametrize("written", ["monochrome2", "MONOCHROME 2"])
def test_a_photometric_interpretation_in_another_spelling_is_read(write: Write, header: Header, written: str) -> None:
    found = header(write("a", PhotometricInterpretation=written))
    assert isinstance(found, Instance), found
    assert found.photometric == "MONOCHROME2"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"IssuerOfPatientID": "HOSP"}, {}, True),  # dcm4chee: the issuer on some images only
        ({"IssuerOfPatientID": "HOSP"}, {"IssuerOfPatientID": ""}, True),
        ({"IssuerOfPatientID": "HOSP"}, {"IssuerOfPatientID": "Hosp"}, True),
        ({"IssuerOfPatientID": "HOSP"}, {"IssuerOfPatientID": "HOSP&1.2.3&ISO"}, True),  # HL7's namespace, ID and type
        ({"IssuerOfPatientID": "St. Mary"}, {"IssuerOfPatientID": "ST.  MARY"}, True),
        ({"IssuerOfPatientID": "A"}, {"IssuerOfPatientID": "B"}, False),
        ({"IssuerOfPatientID": "A&1.2.3&ISO"}, {"IssuerOfPatientID": "B&1.2.3&ISO"}, False),
        ({"PatientID": "P1"}, {"PatientID": "P2"}, False),
    ],
)
def test_an_issuer_that_is_not_named_contradicts_none(
    write: Write, header: Header, one: dict[str, str], other: dict[str, str], same: bool
) -> None:
    from mura_batch.scoring.studies import settle_patients

    images = [header(write("a", **one)), header(write("b", **other))]
    instances = [image for image in images if isinstance(image, Instance)]
    assert len(instances) == 2
    assert (settle_patients(instances) == ()) is same


@pytest.mark.parametrize(
    ("sequence", "missing"),
    [
        (undefined(REGION, b"SQ", open_item(WRIST)), ""),
        (explicit(REGION, b"SQ", item(WRIST)), ""),
        (undefined(REGION, b"SQ", open_item(WRIST))[:-8], "Sequence Delimitation Item (FFFE,E0DD)"),
        (undefined(REGION, b"SQ", item(WRIST))[:-8], "Sequence Delimitation Item (FFFE,E0DD)"),
        (undefined(REGION, b"SQ", open_item(WRIST, end=b"")), "Item Delimitation Item (FFFE,E00D)"),
        (
            undefined(REGION, b"SQ", open_item(WRIST + undefined(0x00082220, b"SQ", open_item(LEFT))[:-8])),
            "Sequence Delimitation Item (FFFE,E0DD)",
        ),
    ],
)
def test_a_missing_delimiter_of_a_sequence_is_flagged(
    write: Write, header: Header, sequence: bytes, missing: str
) -> None:
    found = header(insert(write("a", BodyPartExamined=None), sequence, 0x00100020))
    assert isinstance(found, Instance), found
    assert (found.region.region, found.region.source) == ("wrist", "code")
    assert [flag.partition("without its ")[2] for flag in found.flags] == [missing] * bool(missing)
