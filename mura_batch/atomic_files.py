"""Atomic writes: a reader sees the old file or the new one, never a part. Files are their owner's only (0600)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TextIO

from mura_batch.errors import OutputError

# A file name that is no UTF-8 reaches us with surrogates (PEP 383), which UTF-8 cannot hold: written as \udcXX.
SURROGATES = "backslashreplace"


@contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """A UTF-8 text file that appears at path when the block ends well, and leaves nothing when it does not.

    Temporary name in the same folder, fsync, rename, fsync of the folder. Raises OutputError where the disk is full or
    the folder cannot be written. Line ends are written as given.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp makes it 0600
    except OSError as error:
        raise _output_error(path, error) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors=SURROGATES, newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """All of data, or nothing, as `atomic_writer` does it. Raises OutputError."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise _output_error(path, error) from error


def write_plain(path: Path, data: bytes | memoryview) -> None:
    """A new small file inside a folder that is published as a whole: neither renamed nor flushed, which would cost more
    than the file. A file already there is replaced, never written into: it may be linked from elsewhere. Raises
    OutputError, and then there is no file."""
    try:
        try:
            descriptor = os.open(path, _NEW, 0o600)
        except FileExistsError:
            path.unlink()
            descriptor = os.open(path, _NEW, 0o600)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                _write_all(file, memoryview(data))
        except OSError:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _output_error(path, error) from error


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def _write_all(file: FileIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


def sync_folder(folder: Path) -> None:
    """A rename is durable only when the folder that holds it is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written ({error.strerror or error}): free space or mend the permissions of its folder, and "
        "run again; what was scored is kept"
    )
