"""A run's files that say the same as those of the run before become hard links to them: a night without news takes
almost no space, and yet its folder is complete."""

from __future__ import annotations

import filecmp
from pathlib import Path

from mura_batch.atomic_files import output_errors, replace_by_link
from mura_batch.outputs.manifest import MANIFEST_NAME


def share_equal_files(folder: Path, previous: Path) -> None:
    """Every file of folder whose bytes are those of the same file in previous. Where the file system has no hard links
    the files stay copies. A shared file must never be changed in place: whoever writes it again replaces it.

    Raises OutputError."""
    for path in folder.rglob("*"):
        twin = previous / path.relative_to(folder)
        with output_errors(path):
            if path.name != MANIFEST_NAME and _is_plain(path) and _is_plain(twin) and _are_equal(path, twin):
                replace_by_link(path, twin)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _are_equal(path: Path, twin: Path) -> bool:
    own, other = path.stat(), twin.stat()
    return own.st_size == other.st_size and own.st_mode == other.st_mode and filecmp.cmp(path, twin, shallow=False)
