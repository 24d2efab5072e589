"""Values -> the DICOM objects that stand beside radiographs in an export: text reports and presentation states."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.write.radiograph import Code, ObjectHeader, Radiograph, base_dataset, coded, save
from mura_batch.records import Laterality

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"  # Grayscale Softcopy Presentation State Storage


def write_text_report(
    path: Path, header: ObjectHeader, lines: tuple[str, ...], about: tuple[tuple[str, str, str], ...]
) -> None:
    """A Basic Text SR. about: (series UID, SOP class, SOP instance UID) of each image that it reports on."""
    data = base_dataset(header, BASIC_TEXT_SR, "SR")
    data.ReferencedPerformedProcedureStepSequence, data.PerformedProcedureCodeSequence = [], []
    data.CompletionFlag, data.VerificationFlag = "COMPLETE", "UNVERIFIED"
    data.CurrentRequestedProcedureEvidenceSequence = [_evidence(header.study.study_uid, about)]
    data.ValueType, data.ContinuityOfContent = "CONTAINER", "SEPARATE"
    data.ConceptNameCodeSequence = [coded(Code("18748-4", "LN", "Diagnostic imaging report"))]
    data.ContentSequence = [_text(line) for line in lines]
    save(path, data, syntaxes.EXPLICIT_LE)


def _text(line: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", line
    item.ConceptNameCodeSequence = [coded(Code("121071", "DCM", "Finding"))]
    return item


def _evidence(study_uid: str, about: tuple[tuple[str, str, str], ...]) -> Dataset:
    """PS3.3 C.17.2.1: study, series, instances."""
    item = Dataset()
    item.StudyInstanceUID = study_uid
    item.ReferencedSeriesSequence = _referenced_series(about)
    return item


def _referenced_series(about: tuple[tuple[str, str, str], ...]) -> list[Dataset]:
    items = []
    for series_uid in dict.fromkeys(series for series, _, _ in about):
        item = Dataset()
        item.SeriesInstanceUID = series_uid
        item.ReferencedSOPSequence = [_reference(kind, uid) for series, kind, uid in about if series == series_uid]
        items.append(item)
    return items


def _reference(sop_class: str, instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance_uid
    return item


def write_presentation_state(path: Path, header: ObjectHeader, about: Radiograph, shape: tuple[int, int]) -> None:
    """A Grayscale Softcopy Presentation State that shows one image whole. shape: (rows, columns) of that image."""
    data = base_dataset(header, PRESENTATION_STATE, "PR")
    del data.ContentDate, data.ContentTime  # a presentation state has a date of creation instead (PS3.3 C.11.10)
    if about.laterality in {Laterality.LEFT, Laterality.RIGHT}:
        data.Laterality = about.laterality.value
    reference = _reference(about.sop_class, about.header.sop_instance_uid)
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = about.header.series_uid, [reference]
    data.ReferencedSeriesSequence = [series]
    data.ContentLabel, data.ContentDescription, data.ContentCreatorName = (
        "WHOLE",
        "Shown as it was taken",
        "PHANTOM^READER",
    )
    data.PresentationCreationDate, data.PresentationCreationTime = header.study.date, header.study.time
    area = Dataset()
    area.ReferencedImageSequence = [_reference(about.sop_class, about.header.sop_instance_uid)]
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [shape[1], shape[0]]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", [1, 1]
    data.DisplayedAreaSelectionSequence = [area]
    data.PresentationLUTShape = "INVERSE" if about.photometric == "MONOCHROME1" else "IDENTITY"
    save(path, data, syntaxes.EXPLICIT_LE)
