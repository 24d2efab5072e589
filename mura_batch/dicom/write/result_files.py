"""Result objects as they are sent and asked for: what an archive is asked, and how its answer compares with a file."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

# What C-FIND may return of an instance (PS3.4 C.6.2.1), of this and the levels above: whatever an archive answers of it
# is compared. Text that may need a character set is left out.
_ASKED = (
    "SOPClassUID", "InstanceNumber", "InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime",
    "PresentationCreationDate", "PresentationCreationTime", "Modality", "SeriesNumber", "SeriesDescription",
    "PatientID", "AccessionNumber", "StudyDate", "Rows", "Columns", "ContentLabel", "CompletionFlag",
)  # fmt: skip
_SHOWN = 5  # keywords of differences that a message names


def read_result(path: Path) -> Dataset:
    """Raises OSError, or pydicom's InvalidDicomError."""
    return dcmread(path)


def instance_query(study_uid: str, series_uid: str, sop_uid: str) -> Dataset:
    """A C-FIND identifier at the instance level, with what makes an answer comparable."""
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID, query.SeriesInstanceUID, query.SOPInstanceUID = study_uid, series_uid, sop_uid
    for keyword in _ASKED:
        setattr(query, keyword, None if keyword in {"Rows", "Columns"} else "")
    return query


def answer_differences(answer: Dataset, path: Path) -> tuple[tuple[str, ...], int]:
    """(keywords in which a C-FIND answer contradicts the file, number of keywords that could be compared)."""
    own = dcmread(path, stop_before_pixels=True)
    compared = [k for k in _ASKED if k in own and str(answer.get(k) or "") and str(own.get(k) or "")]
    differing = [k for k in compared if _plain(answer[k].value) != _plain(own[k].value)]
    return tuple(differing[:_SHOWN]), len(compared)


def content_differences(stored: Dataset, path: Path) -> tuple[str, ...]:
    """Keywords of the elements in which a retrieved object differs from the file; () where they are the same."""
    own = dcmread(path)
    tags = sorted({*stored.keys(), *own.keys()})
    differing = [tag for tag in tags if (tag in stored) != (tag in own) or stored[tag] != own[tag]]
    return tuple((own if tag in own else stored)[tag].keyword or str(tag) for tag in differing[:_SHOWN])


def commitment_request(transaction_uid: str, references: tuple[tuple[str, str], ...]) -> Dataset:
    """Action information of Storage Commitment (PS3.4 J.3.2). references: (SOP class, SOP instance)."""
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = []
    for sop_class, sop_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        request.ReferencedSOPSequence.append(item)
    return request


def _plain(value: object) -> str:
    return str(value).strip()
