"""What result objects need to be the same whenever they are made: times, and which report followed which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mura_batch.records import Instance, PixelDecisions
from mura_batch.store.database import Database
from mura_batch.store.key import Key
from mura_batch.store.records_json import RECORD_COLUMNS, load_decisions, load_instance


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A report that was made. fact: what it says, hashed. committed: with a time zone. predecessor: a fact, or ''."""

    fact: str
    row_key: str
    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_uid: str
    committed: datetime
    predecessor: str


class DicomResults:
    """Of one model and its settings. Every method raises LedgerError."""

    def __init__(self, database: Database, key: Key) -> None:
        self._db, self._key = database, key

    def committed(self, content_hash: str) -> datetime | None:
        """When the score of a file was committed first; None where nobody knows."""
        row = self._db.first(
            "SELECT committed FROM scores WHERE content_hash = :content AND model = :model AND settings = :settings",
            {"content": content_hash, **self._key.values},
        )
        return datetime.fromisoformat(row[0]) if row and row[0] else None

    def instance(self, path: bytes, content_hash: str) -> Instance | None:
        """What the header of a file said, if the file is still known with that content."""
        row = self._db.first(
            f"SELECT {RECORD_COLUMNS} FROM files f WHERE f.path = ? AND f.content_hash = ? AND f.is_instance",
            (path, content_hash),
        )
        return load_instance(row) if row else None

    def score(self, content_hash: str) -> tuple[float, PixelDecisions] | None:
        """The exact probability, which CSV files have rounded, and the decisions; None where it was never scored."""
        row = self._db.first(
            "SELECT probability, decisions FROM scores"
            " WHERE content_hash = :content AND model = :model AND settings = :settings",
            {"content": content_hash, **self._key.values},
        )
        return (float(row[0]), load_decisions(row[1])) if row else None

    def first_time(self, fact: str, now: datetime) -> datetime:
        """When a fact was met first; now, if it was not."""
        with self._db.writing():
            self._db.execute("INSERT OR IGNORE INTO first_times VALUES (?, ?)", (fact, now.isoformat()))
        row = self._db.first("SELECT at FROM first_times WHERE fact = ?", (fact,))
        return datetime.fromisoformat(row[0]) if row else now

    def predecessor(self, fact: str, row_key: str, committed: datetime) -> StoredReport | None:
        """The report of the same study row that a report of this fact follows: the one it followed when it was made
        first, or else the last one that was committed before."""
        known = self._db.first("SELECT predecessor FROM dicom_reports WHERE fact = ?", (fact,))
        if known is not None:
            return self._report("fact = ?", (known[0],)) if known[0] else None
        return self._report(
            "row_key = ? AND committed < ? ORDER BY committed DESC LIMIT 1", (row_key, committed.isoformat())
        )

    def put_reports(self, reports: Sequence[StoredReport]) -> None:
        with self._db.writing():
            for r in reports:
                self._db.execute(
                    "INSERT OR IGNORE INTO dicom_reports VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (r.fact, r.row_key, r.study_uid, r.series_uid, r.sop_class_uid, r.sop_uid,
                     r.committed.isoformat(), r.predecessor),
                )  # fmt: skip

    def _report(self, condition: str, values: tuple[str, ...]) -> StoredReport | None:
        row = self._db.first(f"SELECT * FROM dicom_reports WHERE {condition}", values)
        if row is None:
            return None
        fact, row_key, study_uid, series_uid, sop_class_uid, sop_uid, committed, predecessor = row
        at = datetime.fromisoformat(committed)
        return StoredReport(fact, row_key, study_uid, series_uid, sop_class_uid, sop_uid, at, predecessor)
