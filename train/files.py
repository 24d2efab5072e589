"""Files that are whole or not there, and failures of a disk that a person can read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mura_batch.errors import InputError, OutputError

AGAIN = "free some space and run the same command again"


@contextmanager
def told(path: Path, mend: str = AGAIN) -> Iterator[None]:
    """Makes an OSError of the block an OutputError that names path and says how to mend it."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}; {mend}") from error


@contextmanager
def whole_file(path: Path, mend: str = AGAIN) -> Iterator[BinaryIO]:
    """A file that appears at path when the block ends well. Temporary name, fsync, rename: a kill at any moment leaves
    the old file or the new one. Raises OutputError as `told` does."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with told(path, mend):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):  # most often it has been renamed
                temporary.unlink()


def replace_folder(made: Path, out: Path) -> None:
    """Renames made to out. A folder that is there already is renamed to .NAME.old and removed last, so a kill at any
    moment leaves one of the two whole; when made cannot be renamed the old one is put back. Raises OSError."""
    old = out.with_name(f".{out.name}.old")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise NotADirectoryError(f"{out} is there and is no folder: remove it or give another name")
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)  # what a kill left when its new folder was in place already
        out.rename(old)
    try:
        made.rename(out)
    except BaseException:  # Ctrl-C too
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside out that takes its place when the block ends well. Raises OutputError."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
            made = Path(name) / "model"
            made.mkdir()
            yield made
            replace_folder(made, out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error}") from error


@contextmanager
def changed_folder(folder: Path, without: tuple[str, ...]) -> Iterator[Path]:
    """As `whole_folder`, with all that the folder has but some of its files. They are linked: what is to change is left
    out and written anew."""
    folder = folder.resolve()
    with whole_folder(folder) as made:
        kept = shutil.ignore_patterns(*without)
        shutil.copytree(folder, made, copy_function=os.link, ignore=kept, dirs_exist_ok=True)
        yield made


def read_text(path: Path) -> str:
    """The text of a UTF-8 file without its byte-order mark. Raises InputError that names the file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: save it as UTF-8 ('CSV UTF-8' in a spreadsheet)") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
