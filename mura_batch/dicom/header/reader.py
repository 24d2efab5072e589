"""File -> Instance | Skipped, by its header alone."""

from __future__ import annotations

import os
from pathlib import Path

from mura_batch.dicom.header.byte_sources import FileBytes
from mura_batch.dicom.header.elements import EXPLICIT, Elements, Incomplete
from mura_batch.dicom.header.judge import judge, place_of_unreadable
from mura_batch.dicom.header.parse import parse_header
from mura_batch.dicom.header.tags import Tags
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.records import Instance, Skipped, SourceFile, Stage


def read_header(root: Path, source: SourceFile, policy: IntakePolicy) -> Instance | Skipped:
    """Judges one file by its header alone. Never raises for what a file holds."""
    tags = _NO_TAGS
    try:
        file = FileBytes(os.path.join(root, source.path))
        try:
            header = parse_header(file, policy, whole=False)
            tags = Tags(header.elements)
            return judge(header, tags, source, policy)
        finally:
            file.close()
    except Incomplete as incomplete:
        return _incomplete(incomplete, source, policy)
    except Refused as refused:
        return _skipped(tags, source, refused)


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
