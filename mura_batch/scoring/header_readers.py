"""Who reads the headers of new files: this process, or the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.examiner import Examiner
from mura_batch.records import Instance, Skipped, SourceFile
from mura_batch.scoring.storage import Storage

HEADERS_PER_COMMIT = 1000  # a commit costs a disk flush; a crash costs at most this many headers read again


class HeaderReader(Protocol):
    @property
    def group(self) -> int:
        """How many files are looked at before what was read is committed."""
        ...

    def read_headers(self, sources: list[SourceFile]) -> Iterable[Instance | Skipped]:
        """A record for each, in any order."""
        ...


class LocalHeaders:
    """This process."""

    def __init__(self, storage: Storage, policy: IntakePolicy) -> None:
        self._storage, self._policy = storage, policy

    @property
    def group(self) -> int:
        return HEADERS_PER_COMMIT

    def read_headers(self, sources: list[SourceFile]) -> Iterator[Instance | Skipped]:
        with Examiner(self._storage.folder, self._policy) as examiner:
            for source in sources:
                yield self._storage.read_header(source, self._policy, examiner)
