"""What both ways to an archive have in common: an object to send, an answer, and the Protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mura_batch.errors import MuraBatchError
from mura_batch.store.sends import SendStatus


class UnreachableError(MuraBatchError):
    """The archive cannot be reached, or takes no objects from us at all. Says what to check."""


@dataclass(frozen=True, slots=True)
class Sendable:
    """A file of RUN/dicom. sha256: of the file, hex."""

    path: Path
    kind: str
    sop_class_uid: str
    sop_uid: str
    series_uid: str
    study_uid: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Answer:
    """status: of one object. detail: in words, without patient data. again: whether it is worth another try."""

    item: Sendable
    status: SendStatus
    detail: str = ""
    again: bool = False


class Archive(Protocol):
    """One destination. Every method raises UnreachableError where nothing at all gets through."""

    name: str  # what the store knows it by

    def send(self, items: Sequence[Sendable]) -> Iterator[Answer]:
        """ACCEPTED, REFUSED or NOT_SENT for each item, in order, as soon as it is known."""
        ...

    def verify(self, items: Sequence[Sendable]) -> Iterator[Answer]:
        """VERIFIED, PRESENT, DIFFERENT or MISSING for each item; ACCEPTED where the archive does not say."""
        ...
