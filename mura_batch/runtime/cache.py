"""Parity figures remembered between starts, so that a nightly run need not measure them again.

Compiled models are not kept, though OpenVINO offers it (CACHE_DIR): it saves 0.3 s of a start, and a blob with a
damaged block was seen to load without a word and give features off by 0.9 (OpenVINO 2026.4.1).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mura_batch.runtime.parity import Parity

MAX_FILES = 64  # of 100 bytes each: a key for each model, OpenVINO, processor and batch size


class ParityCache:
    """One measured Parity in `parity-<key>.json`; the key covers everything that it was measured with.

    A file that cannot be read or written is as if it were not there: the figures are then measured again.
    """

    def __init__(self, folder: Path | None, basis: Sequence[Any]) -> None:
        key = hashlib.sha256(json.dumps(basis).encode()).hexdigest()[:24]
        self._path = folder / f"parity-{key}.json" if folder is not None else None

    def read(self) -> Parity | None:
        if self._path is None:
            return None
        try:
            return Parity(**json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, parity: Parity) -> None:
        if self._path is None:
            return
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(parity)), encoding="utf-8")
            temporary.replace(self._path)
            _prune(self._path.parent)
        except OSError:  # the next start measures again, nothing is lost but seconds
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _prune(folder: Path) -> None:
    newest_first = sorted(folder.glob("parity-*.json"), key=_time_of, reverse=True)
    for path in newest_first[MAX_FILES:]:
        path.unlink(missing_ok=True)


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # another run removed it
        return 0
