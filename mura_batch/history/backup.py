"""`mura-batch backup`: a copy of the ledger that is consistent while a run is going."""

from __future__ import annotations

from pathlib import Path

from mura_batch.errors import InputError
from mura_batch.history.past_runs import check_out
from mura_batch.store.database import LEDGER_NAME, Database
from mura_batch.store.migrations import copy_ledger, schema_of
from mura_batch.store.secret import for_backup


def backup(out: Path, file: Path) -> None:
    """Writes OUT's ledger to file, with the secret of its keys, whole or not at all; an older file of that name is
    replaced. The folders runs/ and pictures/ are plain files that only grow: any program copies them.

    Raises InputError where out is no output folder or file cannot be the copy, LedgerError where the ledger cannot be
    read or the copy cannot be written.
    """
    check_out(out)
    if file.is_dir() or file.resolve() == (out / LEDGER_NAME).resolve():
        raise InputError(f"{file} cannot be the backup: name a file of its own")
    if not file.parent.is_dir():
        raise InputError(f"{file.parent} is not there: create the folder of the backup first")
    database = Database(out / LEDGER_NAME)
    schema_of(database.path)  # refuses what is no ledger
    database.open_to_read()
    try:
        copy_ledger(database, file, for_backup(database))
    finally:
        database.close()
