"""Has a night brought anything? A night without news gets no report of its own: its page links to the last one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.outputs.file_names import REPORT_NAME
from mura_batch.outputs.manifest import read_manifest
from mura_batch.records import MissingStudy, Skipped, StudyScore, StudyStatus

_NOT_NEWS = {StudyStatus.UNCHANGED: StudyStatus.SCORED}  # the difference is that an earlier run reported the score


class Content:
    """A hash over what the report of a run says, whichever run said it first: equal in nights without news."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def study(self, row: StudyScore) -> None:
        status = _NOT_NEWS.get(row.status, row.status)
        self._add(
            f"{row.row_key} {row.accession} {row.score} {row.threshold} {row.instances} {status} {row.reason}"
            f" {row.earlier_model}"
        )

    def skip(self, skip: Skipped) -> None:
        self._add(f"{skip.source.path} {skip.stage} {skip.reason} {skip.detail}")

    def missing(self, study: MissingStudy) -> None:
        self._add(f"{study.study_uid} {study.files}")

    def circumstances(self, *values: object) -> None:
        """What else the report says: options, model, agreement."""
        self._add(json.dumps(values, sort_keys=True, default=str))

    def _add(self, text: str) -> None:
        self._hash.update(text.encode("utf-8", "surrogatepass") + b"\n")

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()


def shown_by(previous: Path | None, content: str) -> str:
    """The run whose report already says what this one would say; '' where a new report is needed. previous: folder of
    the run before. content: Content.hex of this run."""
    if previous is None:
        return ""
    try:
        before = read_manifest(previous)
    except InputError:  # edited by hand: `verify` names it
        return ""
    name = before.report_of or previous.name
    return name if before.content == content and (previous.parent / name / REPORT_NAME).is_file() else ""
