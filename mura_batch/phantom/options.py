"""What phantoms are asked for, and what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PhantomOptions:
    """studies: of the seven regions in turn, at least 1. seed: 0 or more; the same seed gives the same bytes. small:
    about 500 x 400 pixels instead of about 2000 x 1600."""

    studies: int = 14
    seed: int = 0
    small: bool = False


@dataclass(frozen=True, slots=True)
class PhantomSummary:
    """What was written. files: (kind, count) of every file, truth.csv among them."""

    folder: Path
    studies: int
    abnormal: int
    files: tuple[tuple[str, int], ...]

    def count(self, kind: str) -> int:
        return dict(self.files).get(kind, 0)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.files)
        return f"{self.folder}: {self.studies} studies, {self.abnormal} of them abnormal ({kinds})"
