"""One SQLite file: how it is opened, its transactions, and what its errors mean for a person.

Every commit is on the disk before the run goes on (synchronous = FULL): a crash loses nothing that was committed.

On a local disk the file is in WAL mode, which needs memory that processes share: a reader has a connection of its own
and a snapshot that the writer does not disturb. A network mount may have no such memory; there the file is kept in a
rollback journal under an exclusive lock, and one connection both reads and writes.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mura_batch.errors import LedgerError
from mura_batch.store.file_locks import has_locks

Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any]
LEDGER_NAME = "ledger.sqlite"  # in OUT
_BUSY_SECONDS = 30.0


class Database:
    """One connection that writes; streams of rows for reading. The caller holds the lock on OUT.

    may_lock: of the writer; False where the file system has no locks at all, and the user vouches for a single one.
    """

    def __init__(self, path: Path, *, may_lock: bool = True) -> None:
        self.path = path
        self._may_lock = may_lock
        self._is_exclusive = not may_lock

    def open(self) -> None:
        """Creates the file (mode 0600) where there is none. Raises LedgerError."""
        with explained(self.path):
            refuse_irregular(self.path)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            self._db = self._connect()

    def open_to_read(self) -> None:
        """For a program that only reads, beside one that may be writing. Raises LedgerError."""
        with explained(self.path):
            self._db = read_only(self.path)
        self._is_exclusive = True  # this one connection: `rows` needs no other, which could write

    def close(self) -> None:
        self._db.close()

    @property
    def is_shared(self) -> bool:
        """Whether other programs can read while this one writes; known once it is open."""
        return not self._is_exclusive

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that writes."""
        return self._db

    def execute(self, sql: str, values: Values = ()) -> sqlite3.Cursor:
        """Within `writing()`, which explains its errors."""
        return self._db.execute(sql, values)

    def first(self, sql: str, values: Values = ()) -> Row | None:
        """The first row, None where there is none. Raises LedgerError."""
        with explained(self.path):
            row: Row | None = self._db.execute(sql, values).fetchone()
            return row

    def rows(self, sql: str, values: Values = ()) -> Iterator[Row]:
        """Streams rows: memory stays flat. Raises LedgerError."""
        with explained(self.path):
            if self._is_exclusive:
                for row in self._db.execute(sql, values):  # noqa: UP028 - `yield from` closes the cursor, perhaps after us
                    yield row
                return
            with closing(self._connect()) as db:
                yield from db.execute(sql, values)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is written inside is committed together, or not at all. Raises LedgerError."""
        if self._db.in_transaction:  # inside another block
            yield
            return
        with explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def rewrite(self) -> None:
        """Writes the file anew without its free pages, and empties its log: nothing of a deleted row is left. Raises
        LedgerError."""
        with explained(self.path):
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # SQLite itself rolls back where the disk is full
            self._db.execute("ROLLBACK")

    def _connect(self) -> sqlite3.Connection:
        if not self._is_exclusive:
            try:
                return self._connect_shared()
            except sqlite3.OperationalError as error:
                if not _lacks_shared_memory(error):
                    raise
                self._is_exclusive = True
        return self._connect_exclusive()

    def _connect_shared(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _connect_exclusive(self) -> sqlite3.Connection:
        uri = uri_of(self.path) + ("" if self._may_lock else "?nolock=1")
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the first read: then WAL asks for no shared memory
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            db.close()
            raise
        return db


class CopiedDatabase(Database):
    """In memory, as a copy of the file, or empty where there is none: what is written to it ends with the process."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._is_exclusive = True  # one connection: another one would see another memory

    def open(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        if self.path.exists():
            with explained(self.path), closing(read_only(self.path)) as source:
                source.backup(self._db)


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that does not change the file, unless a transaction was cut off by a kill and must be rolled back
    before anything can be read. Raises sqlite3.Error, OSError and LedgerError."""
    refuse_irregular(path)
    shared = "mode=ro" if has_locks(path.parent) else "mode=ro&nolock=1"
    try:
        return _reading(path, shared)
    except sqlite3.OperationalError as error:
        if _primary(error) == sqlite3.SQLITE_READONLY:
            return _reading(path, "mode=rw")
        if not _lacks_shared_memory(error):
            raise
    return _reading(path, "mode=ro&immutable=1")


def _reading(path: Path, parameters: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"{uri_of(path)}?{parameters}", uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
    try:
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def refuse_irregular(path: Path) -> None:
    """SQLite follows links and waits for pipes: whatever stands in the ledger's place and is no file is refused here.
    Raises LedgerError."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
        raise LedgerError(f"the ledger {path} is {kind}: move it away, or give another --out")


def uri_of(path: Path) -> str:
    return f"file:{quote(os.fspath(path.absolute()))}"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the file system become a LedgerError: what is wrong with the file, and how to fix it."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"the ledger {path} {_advice(error)} ({error})") from error
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be opened ({error.strerror}): {_PERMISSIONS}") from error


_PERMISSIONS = "let the user of this job write it and its folder, or give another --out"
_RESTORE = "restore it from a backup, or move it away to start a new one; what it held is then scored again"
_ADVICE = {
    sqlite3.SQLITE_FULL: "cannot be written, the disk is full: free some space and run again; what was scored is kept",
    sqlite3.SQLITE_READONLY: f"is read-only: {_PERMISSIONS}",
    sqlite3.SQLITE_PERM: f"cannot be opened: {_PERMISSIONS}",
    sqlite3.SQLITE_CANTOPEN: f"cannot be opened: {_PERMISSIONS}",
    sqlite3.SQLITE_BUSY: "is in use by another program: end that program and run again",
    sqlite3.SQLITE_NOTADB: f"is not an SQLite database: {_RESTORE}",
    sqlite3.SQLITE_CORRUPT: f"is damaged: {_RESTORE}",
    sqlite3.SQLITE_ERROR: f"is not a ledger of this program: {_RESTORE}",
    sqlite3.SQLITE_IOERR: "cannot be read or written, the file system reported an error: check the disk or the network "
    "mount and its free space, and run again",
}


def _advice(error: sqlite3.DatabaseError) -> str:
    return _ADVICE.get(_primary(error), f"cannot be used: {_RESTORE}")


def _primary(error: sqlite3.Error) -> int:
    """Primary result code: the low byte of the extended one (sqlite.org/rescode.html); 0 where the error has none."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _lacks_shared_memory(error: sqlite3.OperationalError) -> bool:
    """Errors with which SQLite refuses WAL on a file system without shared memory or byte-range locks."""
    return _primary(error) in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_CANTOPEN}
