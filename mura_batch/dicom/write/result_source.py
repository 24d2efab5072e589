"""The header of a source image, as far as result objects need it: who and which study, as the file states it, and how
the image is displayed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from mura_batch.records import Instance

# PS3.3 C.7.1.1 Patient, C.7.2.1 General Study, C.7.2.2 Patient Study, C.7.1.3 and C.7.2.3 Clinical Trial modules, and
# the time zone of SOP Common, which holds for every time of an object.
_REQUIRED = (  # type 2: empty where the source has none
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
    "ReferringPhysicianName", "StudyID",
)  # fmt: skip
_OPTIONAL = (
    "SpecificCharacterSet", "TimezoneOffsetFromUTC", "ReferencedPatientSequence", "IssuerOfPatientID",
    "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence", "SourcePatientGroupIdentificationSequence",
    "GroupOfPatientsIdentificationSequence", "PatientBirthTime", "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar", "PatientAlternativeCalendar", "QualityControlSubject", "OtherPatientIDs",
    "OtherPatientNames", "OtherPatientIDsSequence", "EthnicGroup", "EthnicGroupCodeSequence", "PatientComments",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence", "StudyInstanceUID",
    "IssuerOfAccessionNumberSequence", "ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName",
    "StudyDescription", "ProcedureCodeSequence", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy",
    "ReferencedStudySequence", "RequestingService", "ReasonForPerformedProcedureCodeSequence",
    "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientAge", "PatientSize", "PatientWeight",
    "PatientBodyMassIndex", "MedicalAlerts", "Allergies", "Occupation", "SmokingStatus", "AdditionalPatientHistory",
    "PregnancyStatus", "LastMenstrualDate", "PatientSexNeutered", "ReasonForVisit", "AdmissionID",
    "IssuerOfAdmissionIDSequence", "ServiceEpisodeID", "ServiceEpisodeDescription", "PatientState",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
)  # fmt: skip
_DISPLAY = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns", "PhotometricInterpretation",
    "PixelRepresentation", "BitsStored", "PatientOrientation", "ImagerPixelSpacing", "PixelSpacing",
    "PixelAspectRatio", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "VOILUTSequence",
)  # fmt: skip
_TEXT = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT"})
_TAGS = [tag for keyword in (*_REQUIRED, *_OPTIONAL, *_DISPLAY) if (tag := tag_for_keyword(keyword)) is not None]


@dataclass(frozen=True, slots=True)
class ResultSource:
    """A source image. identity: patient and study elements, byte for byte. display: what its rendering depends on.
    notes: what was changed or left out of the identity, in words without patient data."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    modality: str
    rows: int
    columns: int
    identity: Dataset
    display: Dataset
    notes: tuple[str, ...]


def read_result_source(path: Path) -> ResultSource:
    """Raises OSError where the file cannot be opened and ValueError where its header cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of odd values; they are judged here
        try:
            found = dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            return _source(found)
        except OSError:
            raise
        except Exception as error:  # pydicom raises whatever a damaged value leads to
            raise ValueError(f"its header cannot be read ({type(error).__name__})") from error


def _source(found: Dataset) -> ResultSource:
    identity, notes = _identity(found)
    return ResultSource(
        study_uid=str(found.StudyInstanceUID),
        series_uid=str(found.SeriesInstanceUID),
        sop_class_uid=str(found.SOPClassUID),
        sop_instance_uid=str(found.SOPInstanceUID),
        modality=str(found.get("Modality", "") or ""),
        rows=int(found.get("Rows") or 0),
        columns=int(found.get("Columns") or 0),
        identity=identity,
        display=found,
        notes=tuple(notes),
    )


def _identity(found: Dataset) -> tuple[Dataset, list[str]]:
    identity, notes = Dataset(), list[str]()
    for keyword in (*_REQUIRED, *_OPTIONAL):
        _copy(found, identity, keyword, notes)
    for keyword in _REQUIRED:
        if keyword not in identity:
            setattr(identity, keyword, "")
            notes.append(f"{keyword} is absent: written empty")
    _check_character_set(identity, notes)
    _check_values(identity, notes)
    return identity, notes


def _copy(found: Dataset, identity: Dataset, keyword: str, notes: list[str]) -> None:
    """Text goes byte for byte, in the character set that goes with it; the rest through pydicom."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    if tag not in found:
        return
    vr = dictionary_VR(tag)
    raw: Any = found.get_item(tag)
    if vr in _TEXT and isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
        identity[tag] = RawDataElement(tag, vr, len(raw.value), raw.value, 0, False, True)
        return
    try:
        identity.add(DataElement(tag, vr, found[tag].value))
    except Exception:  # noqa: BLE001  pydicom raises whatever a damaged value leads to; the value is left out, and noted
        notes.append(f"{keyword} cannot be read: left out")


def _check_character_set(identity: Dataset, notes: list[str]) -> None:
    """An unknown character set would stop the object from being written: PS3.3 C.12.1.1.2."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            convert_encodings(identity.get("SpecificCharacterSet") or "ISO_IR 6")
    except (LookupError, UserWarning):
        del identity.SpecificCharacterSet
        notes.append("SpecificCharacterSet is not a defined term: left out")


def _check_values(identity: Dataset, notes: list[str]) -> None:
    """Values that no valid object may have, of attributes that may be empty."""
    for keyword, allowed in (("PatientSex", {"", "M", "F", "O"}),):
        if str(identity.get(keyword) or "").strip() not in allowed:
            setattr(identity, keyword, "")
            notes.append(f"{keyword} is not a defined value: written empty")
    for keyword in ("PatientBirthDate", "StudyDate"):
        text = str(_text(identity, keyword))
        if text and not (len(text) == 8 and text.isdigit()):
            setattr(identity, keyword, "")
            notes.append(f"{keyword} is not a date: written empty")


def _text(identity: Dataset, keyword: str) -> str:
    raw = identity.get_item(keyword)
    value = raw.value if raw is not None else None
    return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else str(value or "").strip()


def known_source(instance: Instance, other: ResultSource, note: str) -> ResultSource:
    """An image whose file has gone. other: of the same study, whose patient and study it has. It cannot be displayed:
    display is empty."""
    return ResultSource(
        study_uid=instance.study_uid,
        series_uid=instance.series_uid,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        modality=instance.modality,
        rows=instance.rows,
        columns=instance.columns,
        identity=other.identity,
        display=Dataset(),
        notes=(*other.notes, note),
    )


def reference(source: ResultSource) -> Dataset:
    """What highdicom needs of a source image; it never sees the patient's data, which it may refuse."""
    data = Dataset()
    data.StudyInstanceUID, data.SeriesInstanceUID = source.study_uid, source.series_uid
    data.SOPClassUID, data.SOPInstanceUID = UID(source.sop_class_uid), UID(source.sop_instance_uid)
    data.Modality, data.Rows, data.Columns, data.SamplesPerPixel = source.modality, source.rows, source.columns, 1
    for keyword in _REQUIRED:
        setattr(data, keyword, "")
    return data
