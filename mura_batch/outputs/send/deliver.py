"""Sends what is missing at an archive, with back-off, verifies what arrived, and keeps each object's status."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.outputs.dicom.objects_table import WRITTEN, read_objects
from mura_batch.outputs.send.archive import Answer, Archive, Sendable
from mura_batch.store.sends import ARRIVED, Sends, SendStatus, Sent

BACK_OFF = (1.0, 4.0, 16.0)  # seconds before each further try: an archive that restarts needs some
_UNSEEN = "another version was sent under this UID before, and the archive does not show which one it keeps"


@dataclass(frozen=True, slots=True)
class Delivery:
    """sent: objects that were sent now. skipped: that had arrived before. outcomes: of every object."""

    sent: int
    skipped: int
    outcomes: tuple[Answer, ...]

    @property
    def failures(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self.outcomes if answer.status not in ARRIVED)


def sendables(folder: Path) -> list[Sendable]:
    """folder: RUN/dicom. Raises InputError where a file is not the one that its table lists."""
    items = []
    for row in read_objects(folder):
        if row.status != WRITTEN:
            continue
        item = Sendable(
            folder / Path(row.file).name, row.kind, row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid,
            row.study_uid, row.sha256,
        )  # fmt: skip
        _check(item)
        items.append(item)
    return items


def _check(item: Sendable) -> None:
    try:
        with item.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{item.path} cannot be read ({error.strerror}): make the objects again") from error
    if found != item.sha256:
        raise InputError(f"{item.path} is not the file that its table lists: make the objects again")


def pending(items: Sequence[Sendable], sends: Sends) -> list[Sendable]:
    """What has not arrived, or has another content than what arrived."""
    return [item for item in items if not _has_arrived(sends.get(item.sop_uid), item)]


def deliver(
    items: Sequence[Sendable], archive: Archive, sends: Sends, sleep: Callable[[float], None] = time.sleep
) -> Delivery:
    """Raises UnreachableError where the archive cannot be reached at all; what is known by then is kept."""
    todo = pending(items, sends)
    replaced = {item.sop_uid for item in todo if _was_other(sends.get(item.sop_uid), item)}
    outcomes = {answer.item.sop_uid: answer for answer in _send_all(todo, archive, sends, sleep)}
    taken = [item for item in todo if outcomes[item.sop_uid].status is SendStatus.ACCEPTED]
    for answer in archive.verify(taken):
        settled = _settled(answer, outcomes[answer.item.sop_uid], replaced)
        outcomes[answer.item.sop_uid] = settled
        _keep(settled, sends)
    for item in items:
        known = sends.get(item.sop_uid)
        if item.sop_uid not in outcomes and known is not None:
            outcomes[item.sop_uid] = Answer(item, known.status, known.detail)
    return Delivery(len(taken), len(items) - len(todo), tuple(outcomes[item.sop_uid] for item in items))


def _send_all(todo: Sequence[Sendable], archive: Archive, sends: Sends, sleep: Callable[[float], None]) -> list[Answer]:
    """The last answer of each: what may succeed later is tried again, after a pause that grows."""
    answers: dict[str, Answer] = {}
    left = list(todo)
    for pause in (0.0, *BACK_OFF):
        if not left:
            break
        sleep(pause)
        for answer in archive.send(left):
            answers[answer.item.sop_uid] = answer
            _keep(answer, sends)
        left = [item for item in left if answers[item.sop_uid].again]
    return [answers[item.sop_uid] for item in todo]


def _settled(verified: Answer, sent: Answer, replaced: set[str]) -> Answer:
    """An archive may keep the first object of a UID and say success to the next."""
    if verified.status is SendStatus.PRESENT and verified.item.sop_uid in replaced:
        return Answer(verified.item, SendStatus.ACCEPTED, _UNSEEN)
    detail = "; ".join(filter(None, (sent.detail, verified.detail)))
    return Answer(verified.item, verified.status, detail)


def _keep(answer: Answer, sends: Sends) -> None:
    sends.put(Sent(answer.item.sop_uid, answer.item.sha256, answer.status, answer.detail))


def _has_arrived(sent: Sent | None, item: Sendable) -> bool:
    return sent is not None and sent.status in ARRIVED and sent.sha256 == item.sha256


def _was_other(sent: Sent | None, item: Sendable) -> bool:
    return sent is not None and sent.status is not SendStatus.NOT_SENT and sent.sha256 != item.sha256
