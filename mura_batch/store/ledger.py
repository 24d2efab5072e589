"""The ledger: OUT/ledger.sqlite, what lasts between runs, by subject.

    files     files seen: stat, header, content hash, conflicts       seen_files.py
    scores    what is to be scored, scores and failures               scores.py
    outcomes  what became of every file of the run                    outcomes.py
    runs      which runs are published, and what they reported first  runs.py
    kept      studies that keep the score of an earlier model         kept.py
    unreadable  which unreadable files were reported                  unreadable.py
    pictures  what the model saw, in packs beside the ledger          pictures.py
    copies    digests by which copies of an instance are compared     copy_digests.py
    results   what result objects need to be the same again           dicom_results.py
    sends     what was sent where, and what became of it              sends.py
    truth     labels that were added, to compare scores with          stored_truth.py

Its tables are described in schema_3.py to schema_5.py; migrations.py brings an older ledger to them.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from mura_batch.store.copy_digests import CopyDigests
from mura_batch.store.database import CopiedDatabase, Database
from mura_batch.store.dicom_results import DicomResults
from mura_batch.store.forgetting import Forgetting
from mura_batch.store.kept import Kept
from mura_batch.store.key import Key
from mura_batch.store.migrations import schema_of, upgrade
from mura_batch.store.outcomes import Outcomes
from mura_batch.store.pictures import FOLDER, PictureStore
from mura_batch.store.records_json import DamagedRowError
from mura_batch.store.runs import Runs
from mura_batch.store.scores import Scores
from mura_batch.store.secret import borrowed_secret, open_secret
from mura_batch.store.seen_files import SeenFiles
from mura_batch.store.sends import Sends
from mura_batch.store.settled import Settled
from mura_batch.store.stored_truth import StoredTruth
from mura_batch.store.unreadable import Unreadable


class Ledger:
    """`with Ledger(path) as ledger`. One writer at a time: the caller holds the lock on OUT. may_lock: False where the
    file system has no locks and the user vouches for a single writer. names, once it is open: makes keys."""

    def __init__(self, path: Path, *, may_lock: bool = True) -> None:
        self._may_lock = may_lock
        self._db = self._database(path)
        self.runs = Runs(self._db)
        self.pictures = PictureStore(self._db, path.parent / FOLDER)
        self.settled = Settled(self._db)
        self.files = SeenFiles(self._db, self.runs, self.settled)
        self.copies = CopyDigests(self._db)
        self.scores = Scores(self._db, self.runs, self.pictures)
        self.kept = Kept(self._db, self.runs)
        self.unreadable = Unreadable(self._db, self.runs)
        self.outcomes = Outcomes(self._db, self.runs, self.unreadable)
        self.truth = StoredTruth(self._db)

    def _database(self, path: Path) -> Database:
        return Database(path, may_lock=self._may_lock)

    def __enter__(self) -> Self:
        """Raises LedgerError where the file is no ledger of this version, which is then as it was, or where the secret
        of OUT is lost."""
        found = schema_of(self._db.path)
        self._db.open()
        try:
            upgrade(self._db, found)
            self.names = open_secret(self._db)
            self.forgetting = Forgetting(self._db, self.pictures, self.names)
        except BaseException:
            self._db.close()
            raise
        return self

    def claim(self, key: Key) -> None:
        """What this run reports and no published run has reported is this run's from now on. Raises LedgerError."""
        with self._db.writing():
            self.runs.claim(key)
            self.unreadable.claim(key)

    def results(self, key: Key) -> DicomResults:
        return DicomResults(self._db, key)

    def sends(self, destination: str) -> Sends:
        return Sends(self._db, destination)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pictures.close()
        self._db.close()
        if isinstance(error, DamagedRowError):
            raise error.named(self.names) from error


class CopiedLedger(Ledger):
    """A copy in memory, for a rehearsal: OUT is not written, and need not be there. A run may be going."""

    def _database(self, path: Path) -> Database:
        return CopiedDatabase(path)

    def __enter__(self) -> Self:
        """Raises LedgerError where the file is no ledger of this version."""
        found = schema_of(self._db.path)
        self._db.open()
        try:
            upgrade(self._db, found, copy=False)
            self.names = borrowed_secret(self._db)
        except BaseException:
            self._db.close()
            raise
        return self
