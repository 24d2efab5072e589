"""OUT/runs/<UTC time>/: built under a hidden name, renamed when it is whole, pointed at by OUT/latest."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from mura_batch.atomic_files import sync_folder, write_atomic
from mura_batch.errors import OutputError
from mura_batch.store.file_system import NO_LINKS

LATEST = "latest"
LATEST_FILE = "latest.txt"  # where the file system has no symbolic links: the newest run's path below OUT


class RunFolder:
    """`with RunFolder(out, started) as folder`: write into folder.path, then folder.publish().

    A run that ends before publish() leaves nothing visible.
    """

    def __init__(self, out: Path, started: datetime) -> None:
        self.out = out
        self.started = started
        self.runs = out / "runs"
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
    """Folder of the newest published run, None where there is none."""
    names = [path.name for path in (out / "runs").glob("[!.]*") if path.is_dir()]
    return out / "runs" / max(names) if names else None


def is_published(out: Path, name: str) -> bool:
    """Whether the folder of a run has its name."""
    return (out / "runs" / name).is_dir()


def published_runs(out: Path) -> tuple[str, ...]:
    """Names of the run folders, oldest first; none where there is no folder of runs."""
    runs = out / "runs"
    if not runs.is_dir():
        return ()
    return tuple(sorted(path.name for path in runs.iterdir() if path.is_dir() and not path.name.startswith(".")))


def point_latest(out: Path, name: str) -> None:
    """OUT/latest -> runs/NAME; OUT/latest.txt with that path where the file system has no symbolic links. Raises
    OSError and OutputError."""
    target = Path("runs") / name
    link = out / f".{LATEST}.{os.getpid()}"
    link.unlink(missing_ok=True)
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
