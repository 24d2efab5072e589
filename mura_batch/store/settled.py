"""Whether anything that tables are made of has changed since a run that had no news: if not, the next tables are those.

The ledger watches itself: triggers on the tables of files, scores and failures take the note away with the first row
that is added, changed or removed, by whichever program. What a table depends on outside the ledger is the caller's to
name.
"""

from __future__ import annotations

from mura_batch.store.database import Database


class Settled:
    """Every method raises LedgerError."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, basis: str, files: str) -> None:
        """Of the run that was just published. basis: names what its tables depend on outside the ledger. files: names
        the set of its files."""
        with self._db.writing():
            self._db.execute("UPDATE settled SET basis = ?, files = ?", (basis, files))

    def forget(self) -> None:
        """Within `Database.writing`."""
        self._db.execute("UPDATE settled SET basis = '' WHERE basis != ''")

    def holds(self, basis: str, files: str) -> bool:
        """Whether tables of this basis and these files would say what those of the noted run say."""
        return self._db.first("SELECT 1 FROM settled WHERE basis = ? AND files = ?", (basis, files)) is not None

    def has_files(self, files: str) -> bool:
        """Whether nothing has changed, and the files of the noted run are these."""
        return self._db.first("SELECT 1 FROM settled WHERE basis != '' AND files = ?", (files,)) is not None
