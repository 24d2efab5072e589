"""Where the files of a run are: a folder here, or what `cluster.bucket` reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mura_batch.dicom.discover import discover
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.records import Instance, Skipped, SourceFile

if TYPE_CHECKING:
    from mura_batch.dicom.refused import Refused
    from mura_batch.dicom.worker.examiner import Examiner

_URL = re.compile(r"([a-z0-9]+):/+([^/].*)")


def url_of(studies: Path) -> str:
    """The URL that a path was made of, which has lost a slash; '' where it is a folder."""
    found = _URL.fullmatch(str(studies))
    return f"{found[1]}://{found[2]}" if found else ""


class Storage(Protocol):
    """What a run reads. Only values: it travels to the nodes of a cluster."""

    @property
    def folder(self) -> Path:
        """What paths of source files are relative to while `at_hand` holds."""
        ...

    def discover(self, policy: IntakePolicy) -> Iterator[SourceFile | Skipped]:
        """As dicom.discover. Raises ClusterError where the storage cannot be listed."""
        ...

    def why_unreadable(self, sample: SourceFile) -> str:
        """Why this machine cannot read a file that another one found; '' where it can."""
        ...

    def read_header(self, source: SourceFile, policy: IntakePolicy, examiner: Examiner) -> Instance | Skipped: ...

    def at_hand(self, source: SourceFile) -> AbstractContextManager[Refused | None]:
        """Within it the file lies under `folder`; or why it does not."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that this machine sees, and every node of a cluster under the same path."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def discover(self, policy: IntakePolicy) -> Iterator[SourceFile | Skipped]:
        return discover(self.folder, policy)

    def why_unreadable(self, sample: SourceFile) -> str:
        try:
            size = os.stat(self.folder / sample.path).st_size
        except OSError as error:
            return f"{self.folder}: {error.strerror}"
        return "" if size == sample.size else f"{self.folder} holds other files there than here"

    def read_header(self, source: SourceFile, policy: IntakePolicy, examiner: Examiner) -> Instance | Skipped:
        from mura_batch.dicom.header.reader import read_header  # a night without news needs no reader

        return read_header(self.folder, source, policy, examiner.header)

    def at_hand(self, source: SourceFile) -> AbstractContextManager[Refused | None]:
        return nullcontext()
