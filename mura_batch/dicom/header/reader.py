"""File -> Instance | Skipped, by its header alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mura_batch.dicom.header.byte_sources import FileBytes, MemoryBytes, OpenBytes
from mura_batch.dicom.header.elements import Elements, Incomplete
from mura_batch.dicom.header.forms import EXPLICIT
from mura_batch.dicom.header.judge import judge, place_of_unreadable
from mura_batch.dicom.header.parse import parse_header, second_reading, with_flag
from mura_batch.dicom.header.tags import Tags
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.records import Instance, Reason, Skipped, SourceFile, Stage

SecondReader = Callable[[SourceFile], MemoryBytes | None]  # a file's header written anew, None where it cannot be read


def read_header(
    root: Path, source: SourceFile, policy: IntakePolicy, second: SecondReader | None = None
) -> Instance | Skipped:
    """Judges one file by its header alone. Never raises for what a file holds. second: asked for the header where it
    cannot be parsed here, before the file is called truncated or damaged."""
    return read_header_of(lambda: FileBytes(os.path.join(root, source.path)), source, policy, second)


def read_header_of(
    open_file: Callable[[], OpenBytes], source: SourceFile, policy: IntakePolicy, second: SecondReader | None = None
) -> Instance | Skipped:
    """As `read_header`, of bytes from anywhere. open_file: raises Refused."""
    tags = _NO_TAGS
    try:
        file = open_file()
        try:
            header = parse_header(file, policy, whole=False)
            tags = Tags(header.elements)
            return judge(header, tags, source, policy)
        finally:
            file.close()
    except Incomplete as incomplete:
        again = second(source) if second is not None and incomplete.in_bounds else None
        found = None if again is None else _read_again(again, incomplete, source, policy)
        return found or _incomplete(incomplete, source, policy)
    except Refused as refused:
        return _skipped(tags, source, refused)


def _read_again(
    file: MemoryBytes, incomplete: Incomplete, source: SourceFile, policy: IntakePolicy
) -> Instance | Skipped | None:
    """As the second reader's header is judged; None where that is no better than our own."""
    tags = _NO_TAGS
    try:
        header = parse_header(file, policy, whole=False)
        tags = Tags(header.elements)
        return judge(with_flag(header, second_reading(incomplete)), tags, source, policy)
    except Refused as refused:
        return None if refused.reason in _NO_BETTER else _skipped(tags, source, refused)


_NO_BETTER = frozenset({Reason.TRUNCATED, Reason.DAMAGED_HEADER, Reason.NO_PIXEL_DATA, Reason.NOT_DICOM})


def _incomplete(refused: Incomplete, source: SourceFile, policy: IntakePolicy) -> Skipped:
    """With its identity if it is a radiograph: another object that is cut short makes no study partial."""
    tags = Tags(refused.elements)
    place = place_of_unreadable(tags, policy)
    if place is None:
        return _skipped(_NO_TAGS, source, refused)
    refused.region, refused.laterality = place
    return _skipped(tags, source, refused)


_NO_TAGS = Tags(Elements(EXPLICIT), ())


def _skipped(tags: Tags, source: SourceFile, refused: Refused) -> Skipped:
    return Skipped(
        source=source,
        stage=Stage.HEADER,
        reason=refused.reason,
        detail=refused.detail,
        study_uid=tags.text("StudyInstanceUID"),
        sop_instance_uid=tags.text("SOPInstanceUID"),
        accession=tags.text("AccessionNumber"),
        region=refused.region,
        laterality=refused.laterality,
    )
