"""Digests by which copies of one instance are compared, remembered by the content of the file."""

from __future__ import annotations

from collections.abc import Callable

from mura_batch.store.database import Database


class CopyDigests:
    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, content_hash: str, kind: str, read: Callable[[], str | None]) -> str:
        """The digest of this kind, '' where the file has none. read: asked for it once; None where another run may
        find one. Raises LedgerError."""
        row = self._db.first(
            "SELECT digest FROM copy_digests WHERE content_hash = ? AND kind = ?", (content_hash, kind)
        )
        if row is not None:
            return str(row[0])
        if (digest := read()) is None:
            return ""
        with self._db.writing():
            self._db.execute("INSERT INTO copy_digests VALUES (?, ?, ?)", (content_hash, kind, digest))
        return digest
