"""One run at a time: an advisory lock on OUT that the system releases however the run ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mura_batch.atomic_files import output_errors
from mura_batch.errors import LockHeldError, OutputError
from mura_batch.store.file_locks import NO_LOCKS
from mura_batch.store.safe_folder import LOCK_NAME, refuse_unsafe


@contextmanager
def locked(out: Path, *, single_writer: bool = False, allow_shared: bool = False) -> Iterator[bool]:
    """Creates OUT (mode 0700) and holds OUT/.lock; gives whether the file system has locks. single_writer: the user
    vouches that no other run writes to OUT, so a file system without locks will do. allow_shared: OUT may belong to
    another user or be writable by others.

    Raises LockHeldError when another run has it, OutputError when OUT cannot be written, cannot be locked or is not
    safe to write to.
    """
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_unsafe(out, allow_shared=allow_shared)
        descriptor = os.open(out / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}): choose another --out or fix it") from error
    try:
        yield _take(descriptor, out, single_writer=single_writer)
    finally:
        os.close(descriptor)


def _take(descriptor: int, out: Path, *, single_writer: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise LockHeldError(
            f"another run (process {holder}) is writing to {out}: wait for it, or choose another --out"
        ) from error
    except OSError as error:
        if error.errno not in NO_LOCKS or not single_writer:
            raise OutputError(
                f"{out} cannot be locked ({error.strerror}): choose an --out on a local disk, or add --single-writer "
                "if no other run ever writes to it"
            ) from error
        return False
    with output_errors(out / LOCK_NAME):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return True
