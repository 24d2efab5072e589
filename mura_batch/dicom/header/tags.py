"""Header values, one at a time: a value that cannot be read (an IS of '1A', an unknown character set) is absent and
named, and costs nothing but itself."""

from __future__ import annotations

import math
import struct
from functools import lru_cache

from mura_batch.dicom.header.elements import Elements, items
from mura_batch.dicom.header.forms import IMPLICIT, Form
from mura_batch.dicom.refused import Refused

# keyword: (tag, VR of PS3.6). XS is US or SS: in implicit form the reader decides by what it needs the value for.
_HEADER = {
    "SpecificCharacterSet": (0x00080005, "CS"), "ImageType": (0x00080008, "CS"), "SOPClassUID": (0x00080016, "UI"),
    "SOPInstanceUID": (0x00080018, "UI"), "StudyDate": (0x00080020, "DA"), "AccessionNumber": (0x00080050, "SH"),
    "Modality": (0x00080060, "CS"), "PresentationIntentType": (0x00080068, "CS"), "Manufacturer": (0x00080070, "LO"),
    "StationName": (0x00081010, "SH"),
    "StudyDescription": (0x00081030, "LO"), "ProcedureCodeSequence": (0x00081032, "SQ"),
    "SeriesDescription": (0x0008103E, "LO"), "ManufacturerModelName": (0x00081090, "LO"),
    "AnatomicRegionSequence": (0x00082218, "SQ"),
    "PrimaryAnatomicStructureSequence": (0x00082228, "SQ"), "PatientID": (0x00100020, "LO"),
    "IssuerOfPatientID": (0x00100021, "LO"), "PatientBirthDate": (0x00100030, "DA"),
    "PatientSex": (0x00100040, "CS"), "PatientAge": (0x00101010, "AS"), "PatientSpeciesDescription": (0x00102201, "LO"),
    "PatientSpeciesCodeSequence": (0x00102202, "SQ"), "PatientBreedDescription": (0x00102292, "LO"),
    "BodyPartExamined": (0x00180015, "CS"), "ProtocolName": (0x00181030, "LO"),
    "AcquisitionDeviceProcessingDescription": (0x00181400, "LO"), "ViewPosition": (0x00185101, "CS"),
    "StudyInstanceUID": (0x0020000D, "UI"), "SeriesInstanceUID": (0x0020000E, "UI"), "Laterality": (0x00200060, "CS"),
    "ImageLaterality": (0x00200062, "CS"), "FrameLaterality": (0x00209072, "CS"), "SamplesPerPixel": (0x00280002, "US"),
    "PhotometricInterpretation": (0x00280004, "CS"), "NumberOfFrames": (0x00280008, "IS"), "Rows": (0x00280010, "US"),
    "Columns": (0x00280011, "US"), "BitsAllocated": (0x00280100, "US"), "BitsStored": (0x00280101, "US"),
    "HighBit": (0x00280102, "US"), "PixelRepresentation": (0x00280103, "US"),
    "QualityControlImage": (0x00280300, "CS"), "BurnedInAnnotation": (0x00280301, "CS"),
    "RequestedProcedureDescription": (0x00321060, "LO"), "PerformedProcedureStepDescription": (0x00400254, "LO"),
    "RequestAttributesSequence": (0x00400275, "SQ"), "DirectoryRecordSequence": (0x00041220, "SQ"),
}  # fmt: skip
_PIXELS = {
    "CollimatorShape": (0x00181700, "CS"), "CollimatorLeftVerticalEdge": (0x00181702, "IS"),
    "CollimatorRightVerticalEdge": (0x00181704, "IS"), "CollimatorUpperHorizontalEdge": (0x00181706, "IS"),
    "CollimatorLowerHorizontalEdge": (0x00181708, "IS"), "ImagerPixelSpacing": (0x00181164, "DS"),
    "NominalScannedPixelSpacing": (0x00182010, "DS"),
    "PixelSpacing": (0x00280030, "DS"), "PixelAspectRatio": (0x00280034, "IS"), "PixelPaddingValue": (0x00280120, "XS"),
    "PixelPaddingRangeLimit": (0x00280121, "XS"), "WindowCenter": (0x00281050, "DS"), "WindowWidth": (0x00281051, "DS"),
    "RescaleIntercept": (0x00281052, "DS"), "RescaleSlope": (0x00281053, "DS"), "VOILUTFunction": (0x00281056, "CS"),
    "ModalityLUTSequence": (0x00283000, "SQ"), "VOILUTSequence": (0x00283010, "SQ"),
    "PresentationLUTShape": (0x20500020, "CS"),
}  # fmt: skip
_INSIDE = {  # in the items of sequences
    "CodeValue": (0x00080100, "SH"), "CodingSchemeDesignator": (0x00080102, "SH"), "CodeMeaning": (0x00080104, "LO"),
    "AnatomicRegionModifierSequence": (0x00082220, "SQ"), "LUTDescriptor": (0x00283002, "XS"),
    "LUTData": (0x00283006, "OW"), "ScheduledProcedureStepDescription": (0x00400007, "LO"),
    "TransferSyntaxUID": (0x00020010, "UI"),
}  # fmt: skip
_TAGS = _HEADER | _PIXELS | _INSIDE
Raw = tuple[bytes, bytes]  # VR, value
_TAG = {keyword: tag for keyword, (tag, _) in _TAGS.items()}
HEADER_TAGS = frozenset(tag for tag, _ in _HEADER.values())  # what judging a file needs
ALL_TAGS = HEADER_TAGS | {tag for tag, _ in _PIXELS.values()}  # and what its pixels need
_BINARY = {
    "US": "H", "XS": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "OW": "H", "OB": "B",
    "UV": "Q", "SV": "q",
}  # fmt: skip
_NUMERIC = frozenset(
    {"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "DS", "IS", "LO", "SH"}
)  # hold numbers themselves
MAX_TEXT = 1024  # characters kept of a text: the longest that is of use, a description, has 64
_LARGEST = 1e12  # a number beyond is no pixel value, no size and no window


def tags_of(keywords: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(_TAG[keyword] for keyword in keywords)


class Tags:
    """Values by keyword. broken: keywords whose values are there and cannot be read."""

    __slots__ = ("_charset", "_values", "broken", "form")

    def __init__(self, elements: Elements, charset: tuple[str, ...] | None = None) -> None:
        self._values = elements.values
        self.form = elements.form
        self.broken: set[str] = set()
        self._charset: tuple[str, ...] = charset or ()
        if charset is None:
            self._charset = self.texts("SpecificCharacterSet")

    def has(self, keyword: str) -> bool:
        return _TAG[keyword] in self._values

    def raw_values(self, tags: tuple[int, ...]) -> tuple[Raw | None, ...]:
        """Each as it stands in the file, None where it is absent. With `form` they say all, where Specific Character
        Set is among them."""
        return tuple(map(self._values.get, tags))

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Each of a value's parts, stripped, without control characters; () where it is absent or empty."""
        raw = self._values.get(_TAG[keyword], _ABSENT)[1]
        if not raw:
            return ()
        plain = raw.isascii() and b"\x1b" not in raw  # ESC begins a code extension: Japanese in seven bits
        text = raw[: 4 * MAX_TEXT].decode("ascii") if plain else self._decode(raw, keyword)
        return tuple(_clean(part) for part in text.split("\\"))

    def text(self, keyword: str) -> str:
        """The first part, '' where there is none."""
        raw = self._values.get(_TAG[keyword], _ABSENT)[1]
        if not raw:
            return ""
        plain = _plain(raw) if len(raw) <= _REPEATED else None
        return self.texts(keyword)[0] if plain is None else plain

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Finite numbers of any VR; a part that is none makes the whole value broken. A value under VR UN, or under one
        that cannot hold it, is read by the VR that PS3.6 gives its element, in little endian (PS3.5 6.2.2)."""
        tag, expected = _TAGS[keyword]
        vr, raw = self._values.get(tag, _ABSENT)
        own = vr.decode("ascii", "replace")
        code = _BINARY.get(own if own in _NUMERIC else expected)
        try:
            if code:
                order = ">" if self.big and vr != b"UN" else "<"
                size = struct.calcsize(f"={code}")
                numbers = struct.unpack(f"{order}{len(raw) // size}{code}", raw[: len(raw) // size * size])
            else:
                # A comma for the point of PS3.5 6.2 (DS): devices write numbers as their country does.
                numbers = tuple(float(part.replace(",", ".")) for part in self.texts(keyword) if part)
        except ValueError:
            self.broken.add(keyword)
            return ()
        if not all(math.isfinite(x) and abs(x) < _LARGEST for x in numbers):
            self.broken.add(keyword)
            return ()
        return numbers

    def number(self, keyword: str, default: int = 0) -> int:
        """The first number, or the default where there is none."""
        vr, raw = self._values.get(_TAG[keyword], _ABSENT)
        if vr == b"US" and len(raw) == 2:  # nearly every value
            return int.from_bytes(raw, "big" if self.big else "little")
        numbers = self.numbers(keyword)
        return int(numbers[0]) if numbers else default

    def items(self, keyword: str) -> tuple[Tags, ...]:
        """The items of a sequence, up to one that is damaged."""
        vr, raw = self._values.get(_TAG[keyword], _ABSENT)
        if not raw:
            return ()
        read = _items_again if len(raw) <= _REPEATED else _items
        found, sound = read(raw, IMPLICIT if vr == b"UN" else self.form, self._charset)
        if not sound:
            self.broken.add(keyword)
        return found

    def raw(self, keyword: str) -> bytes:
        return self._values.get(_TAG[keyword], _ABSENT)[1]

    @property
    def big(self) -> bool:
        return self.form.big

    def _decode(self, raw: bytes, keyword: str) -> str:
        """PS3.3 C.12.1.1.2. Where the file declares no character set and writes other than ASCII all the same, UTF-8 if
        it is that, else Latin-1: what such devices write."""
        declared = tuple(name for name in self._charset if name)
        if not declared or declared == ("ISO_IR 6",):
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                return raw.decode("latin-1")
        from mura_batch.dicom.header.charsets import decode_text

        text, sound = decode_text(raw, self._charset)
        if not sound:
            self.broken.add(keyword)
        return text


_ABSENT = (b"", b"")
_REPEATED = 512  # bytes of a value that an export is likely to repeat: modality, description, coded region


@lru_cache(maxsize=4096)
def _plain(raw: bytes) -> str | None:
    """A single part in ASCII, which nearly every value is; None where it is more."""
    return _clean(raw.decode("ascii")) if raw.isascii() and b"\\" not in raw and b"\x1b" not in raw else None


def _items(raw: bytes, form: Form, charset: tuple[str, ...]) -> tuple[tuple[Tags, ...], bool]:
    """(The items up to one that is damaged, whether none is.)"""
    found: list[Tags] = []
    try:
        found.extend(Tags(item, charset) for item in items(raw, form))
    except Refused:
        return tuple(found), False
    return tuple(found), True


_items_again = lru_cache(maxsize=1024)(_items)


def _clean(text: str) -> str:
    text = text.strip(" \0")[:MAX_TEXT]
    return text if text.isprintable() else "".join(c for c in text if c.isprintable()).strip()
