"""What result objects are made of, and what all of them share: equipment, times, identity, UIDs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian

from mura_batch.dicom.write.radiograph import IMPLEMENTATION_CLASS, IMPLEMENTATION_NAME
from mura_batch.dicom.write.result_codes import BODY_PART, PROCESSING_EQUIPMENT
from mura_batch.dicom.write.result_source import ResultSource
from mura_batch.dicom.write.result_uids import PLACEHOLDER_UID, derived_uid, set_uids
from mura_batch.records import Laterality, PixelDecisions, Reason, StudyScore

MANUFACTURER = "mura-batch"
NOT_FOR_DIAGNOSIS = "for research use only, not for diagnosis"
LONG_STRING = 64  # characters of LO (PS3.5 6.2)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """The model that scored. weights: SHA-256 of its network, hex. settings: hash of the score's settings. software:
    the version of mura-batch."""

    name: str
    version: str
    weights: str
    settings: str
    software: str

    @property
    def device_uid(self) -> str:
        """Changes with every change of the weights (IHE AIR 6.5.3.1)."""
        return derived_uid("device", self.weights)


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One image that was scored. probability: of abnormality, 0 to 1."""

    source: ResultSource
    probability: float
    decisions: PixelDecisions


# Of an image that was not scored: nothing was decided.
NOT_DISPLAYED = PixelDecisions("", 1, "none", "", None, None, "as stored", "", 1.0)


@dataclass(frozen=True, slots=True)
class StudyResult:
    """One row of studies.csv with its images, in order. committed: when its score was first stored, with a time zone.
    unscored: the reasons of a row without a score."""

    row: StudyScore
    images: tuple[ImageResult, ...]
    algorithm: Algorithm
    committed: datetime
    unscored: tuple[Reason, ...] = ()

    @property
    def identity(self) -> ResultSource:
        return self.images[0].source


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object that another one points at."""

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    shows: str = field(default="")  # SOP Instance UID of the image that it shows

    def dataset(self) -> Dataset:
        data = Dataset()
        data.SOPClassUID, data.SOPInstanceUID = UID(self.sop_class_uid), UID(self.sop_instance_uid)
        data.SeriesInstanceUID, data.StudyInstanceUID = self.series_uid, self.study_uid
        return data


def ref_to(data: Dataset, shows: str = "") -> ObjectRef:
    return ObjectRef(data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID, shows)


def common_arguments(result: StudyResult, series_number: int, number: int) -> dict[str, Any]:
    """What every highdicom constructor is given."""
    algorithm = result.algorithm
    return {
        "series_instance_uid": PLACEHOLDER_UID,
        "series_number": series_number,
        "sop_instance_uid": PLACEHOLDER_UID,
        "instance_number": number,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": short(algorithm.name),
        "software_versions": short(algorithm.software),
        "device_serial_number": algorithm.weights[:16],
        "content_qualification": "RESEARCH",
        "series_description": short(f"AI score, {NOT_FOR_DIAGNOSIS}"),
    }


def short(text: str) -> str:
    return text.replace("\\", "/")[:LONG_STRING]


def finish(data: Dataset, result: StudyResult, source: ResultSource) -> Dataset:
    """Replaces what highdicom wrote about patient, study, times and equipment by what is so, and derives the UIDs. In
    place; returns the data set.

    highdicom drops or refuses parts of a source's patient module, and takes the time from the clock.
    """
    _copy_identity(data, source)
    _set_times(data, result.committed)
    _set_equipment(data, result)
    set_uids(data, (result.algorithm.device_uid, result.algorithm.settings, result.row.region, result.row.laterality))
    data.file_meta = _file_meta(data)
    data.preamble = b"\0" * 128
    return data


def set_anatomy(data: Dataset, result: StudyResult) -> None:
    """General Series: Laterality is required, and may be empty, where a paired body part is shown (C.7.3.1)."""
    if body_part := BODY_PART.get(result.row.region):
        data.BodyPartExamined = body_part
    side = result.row.laterality
    data.Laterality = side.value if side in {Laterality.LEFT, Laterality.RIGHT} else ""


def _copy_identity(data: Dataset, source: ResultSource) -> None:
    if "SpecificCharacterSet" in data:
        del data.SpecificCharacterSet
    for tag in list(source.identity.keys()):
        data[tag] = source.identity.get_item(tag)
    # As if read in this form: pydicom then writes a source's text as it stands, and does not decode and encode it.
    data.set_original_encoding(False, True, data._character_set)


def _set_times(data: Dataset, committed: datetime) -> None:
    """In the time zone that the source states for its own times (0008,0201), or else in this machine's."""
    local = committed.astimezone(_zone(data))
    date, time = local.strftime("%Y%m%d"), local.strftime("%H%M%S.%f")
    for prefix in ("InstanceCreation", "Content", "PresentationCreation"):
        if f"{prefix}Date" in data:
            setattr(data, f"{prefix}Date", date)
            setattr(data, f"{prefix}Time", time)
    if "DateOfSecondaryCapture" in data:
        data.DateOfSecondaryCapture, data.TimeOfSecondaryCapture = date, time
    for item in data.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = local.strftime("%Y%m%d%H%M%S.%f")


def _zone(data: Dataset) -> timezone | None:
    text = str(data.get("TimezoneOffsetFromUTC") or "").strip()
    try:
        return timezone(timedelta(hours=int(text[:3]), minutes=int(text[0] + text[3:5])))
    except (ValueError, IndexError):
        return None


def _set_equipment(data: Dataset, result: StudyResult) -> None:
    """IHE AIR 6.5.3.1: each algorithm is an item, with a Device UID that changes with the weights."""
    algorithm = result.algorithm
    data.SoftwareVersions = [short(algorithm.software), short(algorithm.version)]
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(PROCESSING_EQUIPMENT)]
    item.Manufacturer, item.ManufacturerModelName = MANUFACTURER, short(algorithm.name)
    item.SoftwareVersions = data.SoftwareVersions
    item.DeviceUID = algorithm.device_uid
    item.ContributionDescription = short(NOT_FOR_DIAGNOSIS)
    data.ContributingEquipmentSequence = [item, *data.get("ContributingEquipmentSequence", ())]
    _set_times(data, result.committed)


def code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def image_references(sources: Iterable[ResultSource]) -> list[Dataset]:
    items = []
    for source in sources:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.sop_class_uid, source.sop_instance_uid
        items.append(item)
    return items


def _file_meta(data: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(data.SOPClassUID), UID(data.SOPInstanceUID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID(IMPLEMENTATION_CLASS), IMPLEMENTATION_NAME
    return meta
