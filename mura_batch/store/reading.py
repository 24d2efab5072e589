"""A ledger opened by a program that only reads, beside a run that may be writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mura_batch.errors import LedgerError
from mura_batch.pseudonyms import Pseudonyms
from mura_batch.store.database import LEDGER_NAME, Database
from mura_batch.store.migrations import SCHEMA, schema_of
from mura_batch.store.secret import known_secret


@contextmanager
def reading(out: Path) -> Iterator[Database | None]:
    """The ledger of OUT; None where OUT holds none of this schema: the next run upgrades it. Raises LedgerError."""
    database = Database(out / LEDGER_NAME)
    if schema_of(database.path) != SCHEMA:
        yield None
        return
    database.open_to_read()
    try:
        yield database
    finally:
        database.close()


def open_with_names(database: Database) -> Pseudonyms:
    """Opens a ledger of this schema, to be closed by the caller; returns what makes its keys. Raises LedgerError, and
    the ledger is then closed."""
    found = schema_of(database.path)
    if found != SCHEMA:
        raise LedgerError(f"{database.path} has schema {found}, not {SCHEMA}: the next run upgrades it")
    database.open_to_read()
    try:
        return known_secret(database)
    except BaseException:
        database.close()
        raise
