"""Where the files of a run are: a folder here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mura_batch.dicom.discover import discover
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.records import Instance, Skipped, SourceFile

if TYPE_CHECKING:
    from mura_batch.dicom.worker.examiner import Examiner


class Storage(Protocol):
    """What a run reads. Only values."""

    @property
    def folder(self) -> Path:
        """What paths of source files are relative to while `at_hand` holds."""
        ...

    def discover(self, policy: IntakePolicy) -> Iterator[SourceFile | Skipped]:
        """As dicom.discover. Raises InputError where the storage cannot be listed at all."""
        ...

    def read_header(self, source: SourceFile, policy: IntakePolicy, examiner: Examiner) -> Instance | Skipped: ...

    def at_hand(self, source: SourceFile) -> AbstractContextManager[None]:
        """Within it the file lies under `folder`."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that this machine sees."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def discover(self, policy: IntakePolicy) -> Iterator[SourceFile | Skipped]:
        return discover(self.folder, policy)

    def read_header(self, source: SourceFile, policy: IntakePolicy, examiner: Examiner) -> Instance | Skipped:
        from mura_batch.dicom.header.reader import read_header  # a night without news needs no reader

        return read_header(self.folder, source, policy, examiner.header)

    def at_hand(self, source: SourceFile) -> AbstractContextManager[None]:
        return nullcontext()
