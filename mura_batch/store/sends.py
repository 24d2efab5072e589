"""What was sent where, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from mura_batch.store.database import Database


class SendStatus(StrEnum):
    """Of one object at one destination."""

    NOT_SENT = "not_sent"
    ACCEPTED = "accepted"  # the peer said it took the object; nothing was verified
    REFUSED = "refused"  # the peer said no
    MISSING = "missing"  # accepted, and not there when asked
    DIFFERENT = "different"  # another object is there under the same UID
    PRESENT = "present"  # there when asked for by its UID, or committed to; its content could not be compared
    VERIFIED = "verified"  # there, with the same content


# What need not be sent again.
ARRIVED = frozenset({SendStatus.PRESENT, SendStatus.VERIFIED})


@dataclass(frozen=True, slots=True)
class Sent:
    """sha256: of the file that was sent, hex. detail: in words, without patient data."""

    sop_uid: str
    sha256: str
    status: SendStatus
    detail: str = ""


class Sends:
    """Every method raises LedgerError. Each row is committed at once: a killed send does not send it again."""

    def __init__(self, database: Database, destination: str) -> None:
        self._db, self._destination = database, destination

    def get(self, sop_uid: str) -> Sent | None:
        row = self._db.first(
            "SELECT sha256, status, detail FROM sends WHERE destination = ? AND sop_uid = ?",
            (self._destination, sop_uid),
        )
        return Sent(sop_uid, row[0], SendStatus(row[1]), row[2]) if row else None

    def put(self, sent: Sent) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._db.writing():
            self._db.execute(
                "INSERT OR REPLACE INTO sends VALUES (?, ?, ?, ?, ?, ?)",
                (self._destination, sent.sop_uid, sent.sha256, sent.status.value, sent.detail, now),
            )
