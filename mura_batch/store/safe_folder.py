"""Is OUT safe to write to? Whoever may write there can lead a run's files elsewhere, or put others in their place."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from mura_batch.errors import OutputError
from mura_batch.store.database import LEDGER_NAME
from mura_batch.store.secret import SECRET_NAME

LOCK_NAME = ".lock"
_FILES = (LOCK_NAME, SECRET_NAME, LEDGER_NAME, *(f"{LEDGER_NAME}{end}" for end in ("-wal", "-shm", "-journal")))
_FOLDERS = ("runs", "pictures", "samples", "cache")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def refuse_unsafe(out: Path, *, allow_shared: bool) -> None:
    """As `check_safe`, and takes the files' modes back to their owner. allow_shared: OUT may belong to another user or
    be writable by others."""
    open_to_others = check_safe(out, allow_shared=allow_shared)
    if not allow_shared:
        for path in open_to_others:
            _make_private(path)


def check_safe(out: Path, *, allow_shared: bool = False) -> tuple[Path, ...]:
    """Its files that others may open. Changes nothing. Raises OutputError where OUT belongs to another user or others
    may write to it, unless allow_shared, and where something else stands in the place of one of its files and
    folders."""
    if not allow_shared:
        _refuse_shared(out)
    for name in _FOLDERS:
        _refuse_other(out / name, stat.S_ISDIR, "a folder")
    modes = {out / name: _refuse_other(out / name, stat.S_ISREG, "a file") for name in _FILES}
    return tuple(path for path, mode in modes.items() if mode & 0o077)


def _refuse_shared(out: Path) -> None:
    info = out.stat()
    override = "or allow it with --allow-shared-out"
    if info.st_uid != os.geteuid():
        raise OutputError(
            f"{out} belongs to user {info.st_uid}, and this job runs as user {os.geteuid()}: run it as its owner, "
            f"choose another --out, {override}"
        )
    if info.st_mode & _OTHERS_WRITE:
        mode = stat.S_IMODE(info.st_mode)
        raise OutputError(f"others may write to {out} (mode {mode:04o}): chmod go-w {out}, {override}")


def _refuse_other(path: Path, is_right: Callable[[int], bool], kind: str) -> int:
    """Returns the mode of what is there, 0 for nothing."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return 0
    if not is_right(mode):
        other = "a symbolic link" if stat.S_ISLNK(mode) else "something else"
        raise OutputError(f"{path} is {other}, not {kind} of this program: move it away")
    return stat.S_IMODE(mode)


def _make_private(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
