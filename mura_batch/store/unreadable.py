"""Which unreadable files and folders a published run has reported: each is news once, whatever the settings."""

from __future__ import annotations

import os

from mura_batch.records import UNREADABLE, Reason, Skipped
from mura_batch.store.database import Database
from mura_batch.store.key import Key
from mura_batch.store.runs import Runs
from mura_batch.store.scores import TRANSIENT


class Unreadable:
    """Every method raises LedgerError."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._db, self._runs = database, runs
        self._has_news = False

    def is_new(self, skip: Skipped) -> bool:
        """Whether no published run has reported this problem of the file as it is. A worker that died or took too long
        is one problem: which of them it is tells of the machine."""
        row = self._db.first(
            "SELECT reason FROM reported_unreadable WHERE path = ? AND size = ? AND mtime_ns = ?",
            (os.fsencode(skip.source.path), skip.source.size, skip.source.mtime_ns),
        )
        is_new = row is None or (row[0] != skip.reason and not {row[0], skip.reason} <= _TRANSIENT)
        self._has_news |= is_new
        return is_new

    def claim(self, key: Key) -> None:
        """Notes what this run reports, just before it is published. What could be read again is forgotten: if it fails
        again, that is news. A file that is absent tonight is not forgotten. is_new was asked of what the run reports: a
        night without news is not searched for it."""
        values = {"root": self._runs.root, "run": self._runs.current, **key.values}
        with self._db.writing():
            for statement in _FORGET:
                self._db.execute(statement, values)
            if self._has_news:
                self._db.execute(_NOTE, values)


_TRANSIENT = frozenset(reason.value for reason in TRANSIENT)
_CODES = ", ".join(f"'{reason.value}'" for reason in sorted(UNREADABLE))
# Of each file of the run, why it has no score; NULL where it has one.
_REASONS = (
    "SELECT f.path, f.size, f.mtime_ns, CASE WHEN NOT f.is_instance THEN json_extract(f.record, '$.reason')"
    " WHEN f.set_aside IS NOT NULL THEN json_extract(f.set_aside, '$.reason')"
    " WHEN s.content_hash IS NULL THEN x.reason END AS reason"
    " FROM files f JOIN present p ON p.study_uid = f.study_uid AND p.path = f.path"
    " LEFT JOIN kept k ON k.study_uid = f.study_uid"
    " LEFT JOIN scores s ON s.content_hash = f.content_hash"
    " AND s.model = coalesce(k.model, :model) AND s.settings = coalesce(k.settings, :settings)"
    " LEFT JOIN failures x ON x.path = f.path AND x.settings IN (:settings, k.settings)"
)
_NOTE = (
    "INSERT OR REPLACE INTO reported_unreadable"
    f" SELECT path, :root, size, mtime_ns, reason, :run FROM ({_REASONS}) WHERE reason IN ({_CODES})"
)
_FORGET = (
    f"DELETE FROM reported_unreadable AS r WHERE root IN (0, :root) AND EXISTS (SELECT 1 FROM ({_REASONS}) AS now"
    f" WHERE now.path = r.path AND (now.reason IS NULL OR now.reason NOT IN ({_CODES}, '{Reason.TOO_YOUNG.value}')))",
    # What could not even be looked at, such as a folder, has no row among the files once it is readable.
    "DELETE FROM reported_unreadable AS r WHERE root = :root AND mtime_ns = 0 AND NOT EXISTS"
    " (SELECT 1 FROM files f JOIN present p ON p.study_uid = f.study_uid AND p.path = f.path WHERE f.path = r.path)",
)
