"""Atomic writes: a reader sees the old file or folder or the new one, never a part. The only module that does them.

Each is written under a temporary name in the folder where it will be, flushed to the disk (fsync), renamed, and the
folder that holds it is flushed where the file system can do that.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from mura_batch.errors import OutputError

# A file name that is no UTF-8 reaches us with surrogates (PEP 383), which UTF-8 cannot hold: written as \udcXX.
SURROGATES = "backslashreplace"
PRIVATE = 0o600  # patient data
SHARED = 0o666  # what other users may read as well: the umask decides
FREE_SPACE = "free space or correct the permissions of its folder, and run again; what was finished is kept"


@contextmanager
def output_errors(path: Path, fix: str = FREE_SPACE) -> Iterator[None]:
    """Turns an OSError of the block into an OutputError that names path and says how to fix it."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}): {fix}") from error


@contextmanager
def atomic_file(path: Path, fix: str = FREE_SPACE, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """A binary file that appears at path when the block ends without an error, and leaves nothing otherwise. The folder
    must exist. mode: PRIVATE or SHARED. Raises OutputError with the advice of `fix`."""
    with output_errors(path, fix):
        temporary = temporary_for(path)
        try:
            with os.fdopen(os.open(temporary, _NEW, mode), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):  # most often it has been renamed
                temporary.unlink()
        sync_folder(path.parent)


STALE_SECONDS = 3600.0  # no write pauses for so long: a kill has ended what made an older temporary file


def temporary_for(path: Path) -> Path:
    """A name for a new temporary file beside path; those that kills left of the same path are removed. Raises
    OSError."""
    prefix = f".{path.name}."
    with os.scandir(path.parent) as entries:  # SQLite adds -wal and its like to a name
        left = [e for e in entries if e.name.startswith(prefix) and ".tmp" in e.name[len(prefix) :]]
    for entry in left:
        with suppress(FileNotFoundError):  # another process has renamed it
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_SECONDS:
                os.unlink(entry.path)
    return path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def make_folder(folder: Path, fix: str = FREE_SPACE) -> None:
    """Creates folder and those that hold it, where they do not exist. Raises OutputError with the advice of `fix`."""
    with output_errors(folder, fix):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """As `atomic_file`, for UTF-8 text. Line ends are written as given."""
    with atomic_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors=SURROGATES, newline="")
        try:
            yield text
        finally:
            text.detach()  # its end would close the file before the file is flushed to the disk


def write_atomic(path: Path, data: bytes | memoryview, fix: str = FREE_SPACE, mode: int = PRIVATE) -> None:
    """All of data, or nothing, as `atomic_file` does it. Raises OutputError."""
    with atomic_file(path, fix, mode) as file:
        file.write(data)


def link_or_copy(twin: Path, path: Path) -> None:
    """path, which is not there yet, becomes another name of the file twin, or a copy of it where there can be no such
    link. Raises OSError."""
    try:
        os.link(twin, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        path.touch(PRIVATE)
        shutil.copyfile(twin, path)
        sync_file(path)


def replace_by_link(path: Path, twin: Path) -> None:
    """path becomes another name of the file twin, atomically; it stays as it is where there can be no such link. Raises
    OSError."""
    temporary = temporary_for(path)
    try:
        os.link(twin, temporary, follow_symlinks=False)
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
    finally:
        temporary.unlink(missing_ok=True)


# link(2): a file system without hard links, another file system, a file that has as many names as it can have, and the
# kernel's rule against links to files of others (fs.protected_hardlinks).
_NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}
)


@contextmanager
def atomic_folder(out: Path, fix: str = FREE_SPACE) -> Iterator[Path]:
    """An empty folder beside out that takes its place, whole, when the block ends without an error. The folder that
    holds out is created. Raises OutputError with the advice of `fix`."""
    with output_errors(out, fix):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            new = Path(scratch) / "folder"
            new.mkdir()
            yield new
            sync_tree(new)
            replace_folder(new, out)


@contextmanager
def edited_folder(folder: Path, without: tuple[str, ...]) -> Iterator[Path]:
    """As `atomic_folder`, for a folder that exists: the new one begins with all its files but those named in `without`.
    They are hard links: a file that is to change must be in `without` and be written anew."""
    folder = folder.resolve()
    with atomic_folder(folder) as new:
        ignored = shutil.ignore_patterns(*without)
        shutil.copytree(folder, new, copy_function=os.link, ignore=ignored, dirs_exist_ok=True)
        yield new


def replace_folder(new: Path, out: Path) -> None:
    """Renames new to out. A folder that is there already is renamed to .NAME.old and removed last, so a kill at any
    moment leaves one of the two whole; when new cannot be renamed the old one is put back. Raises OSError."""
    old = out.with_name(f".{out.name}.old")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise NotADirectoryError(f"{out} exists and is not a folder: remove it or give another name")
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)  # left by a kill after its new folder was in place
        out.rename(old)
    try:
        new.rename(out)
    except BaseException:  # Ctrl-C too
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """A rename is durable only when the folder that holds it is. Does nothing on a file system that cannot do it."""
    try:
        sync_file(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what fsync(2) gives for "not supported here"
            raise


def sync_file(path: Path) -> None:
    """Waits until the content is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flushes every file and folder below folder, and itself, to the disk."""
    for path in (*folder.rglob("*"), folder):
        if path.is_dir():
            sync_folder(path)
        else:
            sync_file(path)
