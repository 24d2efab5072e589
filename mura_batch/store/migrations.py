"""Brings a ledger to the newest schema: numbered steps, each one transaction, after a copy of the file.

What stands in the way is found before anything is written: a ledger of a newer version, of another program, damaged, or
a folder is refused and left byte for byte as it was.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path

from mura_batch.atomic_files import sync_file, sync_folder, temporary_for
from mura_batch.errors import LedgerError
from mura_batch.store import schema_3, schema_4, schema_5
from mura_batch.store.database import Database, explained, read_only, refuse_irregular, uri_of

APPLICATION_ID = 0x4D555241  # "MURA": `file ledger.sqlite` shows it, and another program's file has another
OLDEST = 2  # the oldest schema that a ledger may have
BASE = 3  # the schema that a new ledger is made of; later steps follow
STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {  # schema -> from the one before
    3: schema_3.from_schema_2,
    4: schema_4.from_schema_3,
    5: schema_5.from_schema_4,
}
SCHEMA = max(STEPS)


def schema_of(path: Path) -> int | None:
    """The ledger's schema, None where there is no ledger yet. Changes nothing. Raises LedgerError where the file is no
    ledger that this version can read."""
    with explained(path):
        refuse_irregular(path)
        if not path.exists():
            return None
        with closing(read_only(path)) as db:
            return _schema_in(db, path)


def _schema_in(db: sqlite3.Connection, path: Path) -> int | None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables and not application:  # a run was killed before its first commit
        return None
    row = None
    if "meta" in tables and application in {0, APPLICATION_ID}:
        row = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is None or not str(row[0]).isdecimal():
        raise LedgerError(f"{path} is a database of another program: move it away, or give another --out")
    if not OLDEST <= int(row[0]) <= SCHEMA:
        raise LedgerError(
            f"the ledger {path} has schema {row[0]}, this version reads {OLDEST} to {SCHEMA}: use the version of "
            "mura-batch that wrote it, or give another --out"
        )
    return int(row[0])


def upgrade(database: Database, found: int | None, *, copy: bool = True) -> None:
    """found: as schema_of says. copy: whether the file is copied first. Raises LedgerError; the ledger is
    then as it was."""
    if found is None:
        with database.writing():
            _create(database.connection)
        found = BASE
    elif found < SCHEMA and copy:
        try:
            copy_ledger(database, database.path.with_name(f"{database.path.stem}-schema-{found}.sqlite"))
        except LedgerError as error:
            raise LedgerError(f"the ledger cannot be brought to schema {SCHEMA}: {error}") from error
    for schema in range(found + 1, SCHEMA + 1):
        with database.writing():
            STEPS[schema](database.connection)
            _note(database.connection, schema)


def copy_ledger(database: Database, copy: Path, meta: Mapping[str, str] = {}) -> None:
    """A whole copy by SQLite's backup API, which sees what is still in the WAL; it appears when it is whole. meta: put
    into that table of the copy. Raises LedgerError."""
    temporary: Path | None = None
    try:
        temporary = temporary_for(copy)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        with closing(_connect_alone(temporary)) as target:
            database.connection.backup(target)
        _leave_wal(temporary)
        with closing(_connect_alone(temporary)) as target:
            target.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
            target.commit()
        sync_file(temporary)
        temporary.replace(copy)
        sync_folder(copy.parent)
    except (sqlite3.Error, OSError) as error:
        megabytes = (database.path.stat().st_size >> 20) + 1
        raise LedgerError(
            f"a copy of the ledger {database.path} cannot be written to {copy} ({error}): free {megabytes} MB there or "
            "fix its permissions; the ledger was not changed"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # most often it has been renamed
                temporary.unlink()


def _connect_alone(path: Path) -> sqlite3.Connection:
    """To a file that nobody else knows: where the file system has no locks, SQLite would wait for one for ever."""
    return sqlite3.connect(f"{uri_of(path)}?nolock=1", uri=True)


def _leave_wal(path: Path) -> None:
    """A copy is in WAL mode as the ledger was, which cannot be had without locks. It is the version of the file format
    in bytes 18 and 19, 1 for a rollback journal (sqlite.org/fileformat2.html, 1.3.3). Nobody has the file open."""
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\1\1")


def _create(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    for statement in schema_3.TABLES:
        db.execute(statement)
    _note(db, BASE)


def _note(db: sqlite3.Connection, schema: int) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(schema),))
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
