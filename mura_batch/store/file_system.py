"""What the file system of OUT can do. Network mounts may lack some of it."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mura_batch.store.database import LEDGER_NAME, Database
from mura_batch.store.file_locks import has_locks

# symlink(2): EPERM from a file system that has none; the others come from network and user-space file systems.
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class FileSystem:
    """locks: runs keep each other out. shared_memory: others can read the ledger while a run writes. links: OUT/latest
    can be a link. folder_flush: a rename survives a power cut."""

    locks: bool
    shared_memory: bool
    links: bool
    folder_flush: bool


def probe(folder: Path) -> FileSystem:
    """Tries each in a folder of its own below `folder`, which is removed again. Raises OSError and LedgerError."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".mura-batch-probe.") as name:
        scratch = Path(name)
        locks = has_locks(scratch)
        database = Database(scratch / LEDGER_NAME, may_lock=locks)
        database.open()
        database.close()
        return FileSystem(locks, database.is_shared, _has_links(scratch), _flushes_folders(scratch))


def _has_links(folder: Path) -> bool:
    try:
        (folder / "link").symlink_to("target")
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return False
    return True


def _flushes_folders(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
