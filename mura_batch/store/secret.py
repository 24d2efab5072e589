"""The secret of OUT, under which keys are made: OUT/secret.key, readable by its owner only.

The ledger notes which secret it is. Keys of earlier runs join up with those of later ones as long as it is the same, so
its loss or change ends a run with an error. A backup of the ledger holds the secret; a ledger restored from one puts it
back where it is missing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mura_batch.atomic_files import FREE_SPACE, write_atomic
from mura_batch.errors import LedgerError
from mura_batch.pseudonyms import SECRET_BYTES, Pseudonyms
from mura_batch.store.database import LEDGER_NAME, Database

SECRET_NAME = "secret.key"  # in OUT  # noqa: S105 - a file name
_HELD = "secret"  # in the table meta of a backup: the secret, hex
_NOTED = "secret_check"  # in the table meta: which secret it is
_TEXT = re.compile(rf"[0-9a-f]{{{2 * SECRET_BYTES}}}\n?")


def open_secret(database: Database) -> Pseudonyms:
    """For the writer of OUT: makes the secret where there has been none. Raises LedgerError where it is lost or another
    one, OutputError where it cannot be written."""
    path = _path(database)
    secret, held, noted = _read(path), _meta(database, _HELD), _meta(database, _NOTED)
    if secret is None:
        if held is None and noted is not None:
            raise _lost(path)
        secret = held or os.urandom(SECRET_BYTES).hex()
        write_atomic(path, f"{secret}\n".encode(), FREE_SPACE)
    names = _checked(path, secret, noted)
    if noted is None or held is not None:
        with database.writing():
            database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_NOTED, names.check))
            database.execute("DELETE FROM meta WHERE key = ?", (_HELD,))
    return names


def known_secret(database: Database) -> Pseudonyms:
    """For a program that only reads. Raises LedgerError where there is none, or another one."""
    path = _path(database)
    secret = _read(path)
    if secret is None:
        raise _lost(path)
    return _checked(path, secret, _meta(database, _NOTED))


def borrowed_secret(database: Database) -> Pseudonyms:
    """For a rehearsal, which writes nothing: that of OUT, or one of its own where there is none yet. Raises LedgerError
    where that of OUT is lost or another one."""
    path = _path(database)
    secret, held, noted = _read(path), _meta(database, _HELD), _meta(database, _NOTED)
    if secret is None and held is None and noted is not None:
        raise _lost(path)
    return _checked(path, secret or held or os.urandom(SECRET_BYTES).hex(), noted)


def names_of(out: Path) -> Pseudonyms:
    """Of an OUT that may be in use. Raises LedgerError as `known_secret`."""
    database = Database(out / LEDGER_NAME)
    database.open_to_read()
    try:
        return known_secret(database)
    finally:
        database.close()


def for_backup(database: Database) -> dict[str, str]:
    """What a backup has in its table meta besides: the secret. Empty where no run has made one yet. Raises LedgerError
    as `known_secret`."""
    if _meta(database, _NOTED) is None:
        return {}
    known_secret(database)
    return {_HELD: _read(_path(database)) or ""}


def _read(path: Path) -> str | None:
    """Hex; None where there is no file. Raises LedgerError where the file is not one that `open_secret` wrote."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"{path} cannot be read ({error.strerror}): {_RESTORE}") from error
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(1024).decode("ascii", "replace")
    if not _TEXT.fullmatch(text):
        raise LedgerError(f"{path} is not the file that was written: {_RESTORE}")
    return text.strip()


def _checked(path: Path, secret: str, noted: str | None) -> Pseudonyms:
    names = Pseudonyms(bytes.fromhex(secret))
    if noted not in {None, names.check}:
        raise LedgerError(f"{path} is not the one that the keys of earlier runs were made with: {_RESTORE}")
    return names


def _lost(path: Path) -> LedgerError:
    return LedgerError(f"{path} is missing, and keys of earlier runs would no longer join up: {_RESTORE}")


_RESTORE = (
    "restore it from a copy of OUT, or the ledger from a backup, which holds it; to begin with new keys, move both away"
)


def _path(database: Database) -> Path:
    return database.path.with_name(SECRET_NAME)


def _meta(database: Database, key: str) -> str | None:
    row = database.first("SELECT value FROM meta WHERE key = ?", (key,))
    return str(row[0]) if row else None
