"""One run at a time: an advisory lock on OUT that the system releases however the run ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mura_batch.errors import LockHeldError, OutputError


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Creates OUT (mode 0700) and holds OUT/.lock. Raises LockHeldError when another run has it, OutputError when OUT
    cannot be written."""
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(out / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}): choose another --out or mend it") from error
    try:
        _take(descriptor, out)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, out: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise LockHeldError(
            f"another run (process {holder}) is writing to {out}: wait for it, or choose another --out"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
