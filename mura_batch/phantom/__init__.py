"""Phantoms: DICOM studies of bones that were never anybody's, in a folder with the mess of a real export.

They show the whole way from a folder to a report without patient data. They are drawings: a score on them says nothing
about a model.
"""

from __future__ import annotations

from collections.abc import Callable
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


def make_phantoms(
    out: Path, options: PhantomOptions, report: Callable[[int, int], None] | None = None
) -> PhantomSummary:
    """Writes the folder `out`, whole or not at all. report(done, total) is called after each study.

    Raises InputError where `out` is there and not an empty folder or the options cannot be, OutputError where it cannot
    be written.
    """
    from mura_batch.phantom.study_folder import write_export  # numpy, pydicom and codecs: not for `mura-batch --help`

    return write_export(out, options, report)
