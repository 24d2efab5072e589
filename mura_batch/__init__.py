"""Batch scoring of musculoskeletal radiographs. For research and quality assurance; not a medical device.

The public Python interface is `load_run`: docs/python.md.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.version import DISCLAIMER, __version__

if TYPE_CHECKING:
    from mura_batch.outputs.dataframes import Run

__all__ = ["DISCLAIMER", "__version__", "load_run"]


def load_run(folder: str | PathLike[str]) -> Run:
    """Opens a run that `mura-batch score` has published: OUT/latest or a folder under OUT/runs. Its tables are pandas
    DataFrames, `.studies`, `.images` and `.skipped`; its manifest is the dictionary `.manifest`. Raises
    mura_batch.errors.InputError where the folder is not one of a whole run."""
    from mura_batch.outputs.dataframes import open_run  # pandas takes half a second to import

    return open_run(Path(folder))
