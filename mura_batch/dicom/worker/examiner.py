"""Questions about single files that only a process that may die should answer."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from mura_batch.dicom.policy import IntakePolicy
from mura_batch.preprocess import InputSpec
from mura_batch.records import Reason, SourceFile

if TYPE_CHECKING:
    from mura_batch.dicom.header.byte_sources import MemoryBytes
    from mura_batch.dicom.worker.pool import Child


class Examiner:
    """`with Examiner(root, policy) as examiner`. Its one process starts with the first question: most runs ask none."""

    def __init__(self, root: Path, policy: IntakePolicy) -> None:
        self._closing = threading.Event()
        self._settings = (root, policy, InputSpec(size=64))
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._child is not None:
            self._child.end()

    def header(self, source: SourceFile) -> MemoryBytes | None:
        """The file written anew as pydicom reads it, without most of its pixels; None where pydicom cannot read it."""
        from mura_batch.dicom.header.byte_sources import MemoryBytes

        answer = self._ask("header", source)
        return None if answer is None or "reason" in answer[0] else MemoryBytes(answer[1], int(answer[0]["size"]))

    def picture(self, source: SourceFile) -> str | None:
        """Equal for files that show a reader the same picture, whatever their transfer syntax; '' where the pixels
        cannot be read, None where that may be otherwise in the next run."""
        answer = self._ask("picture", source)
        if answer is None or answer[0].get("reason") in _PASSING:
            return None
        return str(answer[0].get("picture", ""))

    def _ask(self, about: Literal["header", "picture"], source: SourceFile) -> tuple[dict[str, Any], bytes] | None:
        from mura_batch.dicom.worker.child import Question
        from mura_batch.dicom.worker.pool import Child

        if self._child is None:
            self._child = Child(self._settings, self._closing)
        return self._child.ask(Question(about, source))


_PASSING = frozenset({Reason.UNREADABLE_FILE, Reason.CHANGED_WHILE_READ})
