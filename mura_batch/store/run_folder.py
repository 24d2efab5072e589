"""OUT/runs/<UTC time>/: built under a hidden name, renamed when it is whole, pointed at by OUT/latest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from mura_batch.atomic_files import sync_folder, temporary_for, write_atomic
from mura_batch.errors import OutputError
from mura_batch.store.file_system import NO_LINKS

LATEST = "latest"
LATEST_FILE = "latest.txt"  # where the file system has no symbolic links: the newest run's path below OUT


class RunFolder:
    """`with RunFolder(out, started) as folder`: write into folder.path, then folder.publish().

    A run that ends before publish() leaves nothing visible.
    """

    def __init__(self, out: Path, started: datetime) -> None:
        """started: UTC; a little later where another run has the name, as after a clock was set back."""
        self.out = out
        self.runs = out / "runs"
        while (self.runs / run_name(started)).exists():
            started += timedelta(microseconds=1)
        self.started = started
        self.name = run_name(started)
        self.path = self.runs / f".{self.name}.partial"

    def __enter__(self) -> Self:
        """Removes what runs that were killed left. Raises OutputError."""
        latest = self.out / LATEST
        if latest.exists() and not latest.is_symlink():
            raise OutputError(f"{latest} is no link of this program, as a copied OUT may have: remove it and run again")
        try:
            for stale in self.runs.glob(".*.partial"):
                shutil.rmtree(stale, ignore_errors=True)
            self.path.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise OutputError(
                f"{self.runs} cannot be written ({error.strerror}): fix it or choose another --out"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def publish(self) -> Path:
        """Renames the folder to its name and points OUT/latest at it. Raises OutputError."""
        final = self.runs / self.name
        try:
            sync_folder(self.path)
            self.path.rename(final)
            sync_folder(self.runs)
            point_latest(self.out, self.name)
        except OSError as error:
            raise OutputError(f"{final} cannot be written ({error.strerror}): fix it and run again") from error
        return final


def run_name(started: datetime) -> str:
    """Of a run that began at this time (UTC): sorts by time, and is a legal file name anywhere."""
    return started.strftime("%Y-%m-%dT%H%M%S.%fZ")


def newest_run(out: Path) -> Path | None:
    """Folder of the run that was published last, None where there is none. OUT/latest says which it is: the name of a
    folder is a time, and clocks are set back. Where it says nothing of use, the greatest name."""
    names = published_runs(out)
    if not names:
        return None
    latest = latest_name(out)
    return out / "runs" / (latest if latest in names else names[-1])


def latest_name(out: Path) -> str:
    """The run that OUT/latest or OUT/latest.txt names, '' where there is neither. It may be gone."""
    link = out / LATEST
    try:
        target = os.readlink(link) if link.is_symlink() else (out / LATEST_FILE).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return Path(target).name


def correct_latest(out: Path, known: Sequence[str]) -> None:
    """Points OUT/latest at the run that was published last: a kill may have come between its folder's name and the
    link. known: as Runs.published gives them. Raises OSError and OutputError."""
    names = in_order(published_runs(out), known)
    if names and names[-1] != latest_name(out):
        point_latest(out, names[-1])


def in_order(names: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names of run folders in the order in which the runs were begun, the oldest first. known: as Runs.published gives
    them. Folders that the ledger does not know come first, by their names."""
    place = {name: n for n, name in enumerate(known)}
    return tuple(sorted(names, key=lambda name: (place.get(name, -1), name)))


def is_published(out: Path, name: str) -> bool:
    """Whether the folder of a run has its name."""
    return (out / "runs" / name).is_dir()


def published_runs(out: Path) -> tuple[str, ...]:
    """Names of the run folders, by name; none where there is no folder of runs."""
    runs = out / "runs"
    if not runs.is_dir():
        return ()
    return tuple(sorted(path.name for path in runs.iterdir() if path.is_dir() and not path.name.startswith(".")))


def point_latest(out: Path, name: str) -> None:
    """OUT/latest -> runs/NAME; OUT/latest.txt with that path where the file system has no symbolic links. Raises
    OSError and OutputError."""
    target = Path("runs") / name
    link = temporary_for(out / LATEST)
    try:
        link.symlink_to(target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        write_atomic(out / LATEST_FILE, f"{target.as_posix()}\n".encode())
        return
    link.replace(out / LATEST)
    (out / LATEST_FILE).unlink(missing_ok=True)
    sync_folder(out)
