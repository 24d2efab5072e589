"""OUT/runs/<UTC time>/: built under a hidden name, renamed when it is whole, pointed at by OUT/latest."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from mura_batch.atomic_files import sync_folder
from mura_batch.errors import OutputError

THUMBNAILS = "thumbnails"


class RunFolder:
    """`with RunFolder(out, started) as folder`: write into folder.path, then folder.publish().

    A run that ends before publish() leaves nothing visible. Its hidden folder is kept, and the next run takes over the
    pictures in it: they belong to scores that the ledger has kept.
    """

    def __init__(self, out: Path, started: datetime) -> None:
        self.out = out
        self.started = started
        self.runs = out / "runs"
        self.name = started.strftime("%Y-%m-%dT%H%M%S.%fZ")  # sorts by time, and is a legal file name anywhere
        self.path = self.runs / f".{self.name}.partial"

    def __enter__(self) -> Self:
        try:
            (self.path / THUMBNAILS).mkdir(mode=0o700, parents=True)
            self._take_over()
        except OSError as error:
            raise OutputError(
                f"{self.runs} cannot be written ({error.strerror}): mend it or choose another --out"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.path.is_dir() and not any((self.path / THUMBNAILS).iterdir()):
            shutil.rmtree(self.path)

    def thumbnails_of(self, run_name: str) -> Path:
        """Where the pictures of an earlier run are."""
        return self.runs / run_name / THUMBNAILS

    def publish(self) -> Path:
        """Renames the folder to its name and points OUT/latest at it."""
        final = self.runs / self.name
        try:
            self.path.rename(final)
            sync_folder(self.runs)
            self._point_latest()
        except OSError as error:
            raise OutputError(f"{final} cannot be written ({error.strerror}): mend it and run again") from error
        return final

    def _take_over(self) -> None:
        """What runs that did not end left: their pictures are ours now, the rest goes."""
        for stale in self.runs.glob(".*.partial"):
            if stale == self.path:
                continue
            for picture in (stale / THUMBNAILS).glob("*"):
                picture.replace(self.path / THUMBNAILS / picture.name)
            shutil.rmtree(stale, ignore_errors=True)

    def _point_latest(self) -> None:
        link = self.out / f".latest.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("runs") / self.name)
        link.replace(self.out / "latest")
