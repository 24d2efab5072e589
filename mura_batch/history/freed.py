"""How much disk space goes with files that have several names."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

_BLOCK = 512  # bytes: the unit of st_blocks, whatever the file system's own blocks are


def freed_bytes(paths: Iterable[Path]) -> int:
    """Bytes on the disk that removing these files and folders frees: a file that has a name elsewhere frees none."""
    names: Counter[tuple[int, int]] = Counter()
    found: dict[tuple[int, int], os.stat_result] = {}
    for path in paths:
        for each in _below(path):
            info = each.lstat()
            names[info.st_dev, info.st_ino] += 1
            found[info.st_dev, info.st_ino] = info
    return sum(info.st_blocks * _BLOCK for inode, info in found.items() if _is_last_name(info, names[inode]))


def _is_last_name(info: os.stat_result, names: int) -> bool:
    """A folder has a link for each folder in it, and one name."""
    return stat.S_ISDIR(info.st_mode) or names >= info.st_nlink


def _below(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")
