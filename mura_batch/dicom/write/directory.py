"""Files -> DICOMDIR, the directory of a DICOM medium (PS3.3 annex F)."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.write.documents import BASIC_TEXT_SR, PRESENTATION_STATE
from mura_batch.dicom.write.radiograph import with_meta

DICOMDIR = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage

# What a record of each type has to hold (PS3.3 F.5).
_RECORD_KEYS: dict[str, tuple[str, ...]] = {
    "PATIENT": ("PatientName", "PatientID"),
    "STUDY": ("StudyDate", "StudyTime", "StudyDescription", "StudyInstanceUID", "StudyID", "AccessionNumber"),
    "SERIES": ("Modality", "SeriesInstanceUID", "SeriesNumber"),
    "IMAGE": ("InstanceNumber",),
    "SR DOCUMENT": (
        "InstanceNumber", "CompletionFlag", "VerificationFlag", "ContentDate", "ContentTime",
        "ConceptNameCodeSequence",
    ),
    "PRESENTATION": (
        "InstanceNumber", "PresentationCreationDate", "PresentationCreationTime", "ContentLabel",
        "ContentDescription", "ContentCreatorName", "ReferencedSeriesSequence",
    ),
}  # fmt: skip
_LEAVES = {BASIC_TEXT_SR: "SR DOCUMENT", PRESENTATION_STATE: "PRESENTATION"}


def write_dicomdir(root: Path, files: Iterable[Path], uid: str) -> None:
    """root/DICOMDIR, which lists the files in the order given, those of a patient, study and series side by side. Every
    part of their names below root is at most 8 of A-Z, 0-9 and _ (PS3.10 8.2). uid: of the directory itself."""
    records: list[tuple[int, Dataset]] = []  # depth 0 patient, 1 study, 2 series, 3 object
    seen: set[tuple[int, str]] = set()
    for path in files:
        for depth, record in enumerate(_records(dcmread(path, stop_before_pixels=True), path.relative_to(root))):
            if (depth, _identity(record)) not in seen:
                seen.add((depth, _identity(record)))
                records.append((depth, record))
    data = Dataset()
    data.FileSetID, data.FileSetConsistencyFlag = "PHANTOM", 0
    data.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    data.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    data.DirectoryRecordSequence = [record for _, record in records]
    data = with_meta(data, syntaxes.EXPLICIT_LE, DICOMDIR, uid)
    _link(data, [depth for depth, _ in records])
    dcmwrite(root / "DICOMDIR", data, enforce_file_format=True)


def _records(instance: Dataset, path: Path) -> list[Dataset]:
    """Its patient, study, series and object; the last one names the file."""
    records = []
    for kind in ("PATIENT", "STUDY", "SERIES", _LEAVES.get(str(instance.SOPClassUID), "IMAGE")):
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord, record.RecordInUseFlag = 0, 0xFFFF
        record.OffsetOfReferencedLowerLevelDirectoryEntity, record.DirectoryRecordType = 0, kind
        record.SpecificCharacterSet = instance.SpecificCharacterSet
        for keyword in _RECORD_KEYS[kind]:
            setattr(record, keyword, instance[keyword].value)
        records.append(record)
    leaf = records[-1]
    leaf.ReferencedFileID = list(path.parts)
    leaf.ReferencedSOPClassUIDInFile = instance.SOPClassUID
    leaf.ReferencedSOPInstanceUIDInFile = instance.SOPInstanceUID
    leaf.ReferencedTransferSyntaxUIDInFile = instance.file_meta.TransferSyntaxUID
    return records


def _identity(record: Dataset) -> str:
    keywords = ("ReferencedSOPInstanceUIDInFile", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
    return str(next(record[keyword].value for keyword in keywords if keyword in record))


def _link(data: Dataset, depths: list[int]) -> None:
    """Fills in the byte offsets (PS3.3 F.2.2.2). A draft tells where each record stands."""
    draft = BytesIO()
    dcmwrite(draft, data, enforce_file_format=True)
    draft.seek(0)
    offsets = [item.seq_item_tell for item in dcmread(draft).DirectoryRecordSequence]
    for n, record in enumerate(data.DirectoryRecordSequence):
        later = range(n + 1, len(depths))
        branch_end = next((m for m in later if depths[m] < depths[n]), len(depths))
        sibling = next((m for m in later if m < branch_end and depths[m] == depths[n]), None)
        has_child = n + 1 < branch_end and depths[n + 1] > depths[n]
        record.OffsetOfTheNextDirectoryRecord = 0 if sibling is None else offsets[sibling]
        record.OffsetOfReferencedLowerLevelDirectoryEntity = offsets[n + 1] if has_child else 0
    roots = [offset for offset, depth in zip(offsets, depths, strict=True) if depth == 0]
    data.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = roots[0]
    data.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = roots[-1]
