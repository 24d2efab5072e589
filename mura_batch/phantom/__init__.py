"""Phantoms: DICOM studies of drawn bones, in a folder with the other files of a real export.

They show the whole path from a folder to a report without patient data. They are drawings: a score of them says nothing
about a model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mura_batch.phantom.options import PhantomOptions, PhantomSummary

__all__ = ["PhantomOptions", "PhantomSummary", "make_phantoms"]


def make_phantoms(
    out: Path, options: PhantomOptions, report: Callable[[int, int], None] | None = None
) -> PhantomSummary:
    """Writes the folder `out`, whole or not at all. report(done, total) is called after each study.

    Raises InputError where `out` is there and not an empty folder or the options cannot be, OutputError where it cannot
    be written.
    """
    from mura_batch.phantom.study_folder import write_export  # numpy, pydicom and codecs: not for `mura-batch --help`

    return write_export(out, options, report)
