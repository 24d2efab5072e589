"""UIDs of result objects: hashes under 2.25 (PS3.5 B.2), so that the same content always has the same UID."""

from __future__ import annotations

import hashlib
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

PLACEHOLDER_UID = "2.25.0"  # stands for an object's own UIDs until its content is known

# What DICOM's information model puts into the series and its equipment: objects of one series agree in all of it.
_SERIES_KEYWORDS = (
    "Modality", "SeriesNumber", "SeriesDescription", "Laterality", "BodyPartExamined", "Manufacturer",
    "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StudyInstanceUID",
)  # fmt: skip


def derived_uid(*parts: str) -> str:
    """A UID that is a function of the parts alone."""
    text = "".join(f"{len(part)}:{part}" for part in parts)  # no two lists of parts give one text
    return _uid(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest())


def set_uids(data: Dataset, series_parts: tuple[str, ...]) -> None:
    """Sets the object's own Series and SOP Instance UIDs, in place.

    The series UID is derived from what the objects of a series share and from series_parts; the instance UID from every
    byte of the data set except these two UIDs. Both are 2.25.0 beforehand.
    """
    data.SeriesInstanceUID = data.SOPInstanceUID = PLACEHOLDER_UID
    content = BytesIO()
    dcmwrite(content, data, implicit_vr=False, little_endian=True, enforce_file_format=False)
    shared = [str(data.get(keyword, "")) for keyword in _SERIES_KEYWORDS]
    data.SeriesInstanceUID = derived_uid("series", *shared, *series_parts)
    data.SOPInstanceUID = _uid(hashlib.sha256(data.SeriesInstanceUID.encode() + content.getbuffer()).digest())


def _uid(digest: bytes) -> str:
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def encoded(data: Dataset) -> bytes:
    """The data set in Explicit VR Little Endian with its File Meta Information, as a file has it."""
    buffer = BytesIO()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()
