"""OUT/runs/<UTC time>/: built under a hidden name, renamed when it is whole, pointed at by OUT/latest."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from mura_batch.errors import OutputError
from mura_batch.report.files import sync_folder

THUMBNAILS = "thumbnails"


class RunFolder:
    """`with RunFolder(out, started) as folder`: write into folder.path, then folder.publish().

    A run that ends before publish() leaves nothing visible. Its hidden folder is kept until a later run is published:
    the pictures in it belong to scores that the ledger has kept.
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
        """Where the pictures of an earlier run are, published or not."""
        published = self.runs / run_name
        return (published if published.is_dir() else self.runs / f".{run_name}.partial") / THUMBNAILS

    def publish(self) -> Path:
        """Renames the folder to its name, points OUT/latest at it, and removes what unfinished runs left."""
        final = self.runs / self.name
        try:
            self.path.rename(final)
            sync_folder(self.runs)
            self._point_latest()
        except OSError as error:
            raise OutputError(f"{final} cannot be written ({error.strerror}): mend it and run again") from error
        for stale in self.runs.glob(".*.partial"):
            shutil.rmtree(stale, ignore_errors=True)
        return final

    def _point_latest(self) -> None:
        link = self.out / f".latest.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("runs") / self.name)
        link.replace(self.out / "latest")
