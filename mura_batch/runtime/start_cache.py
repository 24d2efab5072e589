"""Results of an earlier start that the next one reuses: measured parity, compiled networks.

All of it may be deleted. A file that is missing, damaged or cannot be written costs time only: the next start measures
or compiles again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mura_batch.atomic_files import atomic_file, make_folder
from mura_batch.errors import OutputError
from mura_batch.runtime.gates import Parity
from mura_batch.runtime.runner import RunnerInfo

_DIGEST = hashlib.sha256().digest_size


class CacheFile:
    """One file `KIND-<key>` of a folder; at most `most` files of the kind are kept, the newest.

    basis: everything that the content depends on, as JSON can hold it. folder None: nothing is read or written.
    """

    def __init__(self, folder: Path | None, kind: str, basis: Sequence[Any], most: int) -> None:
        key = hashlib.sha256(json.dumps(basis).encode()).hexdigest()[:24]
        self._path = folder / f"{kind}-{key}" if folder is not None else None
        self._kind, self._most = kind, most

    def read(self) -> bytes | None:
        if self._path is None:
            return None
        try:
            return self._path.read_bytes()
        except OSError:
            return None

    def write(self, *parts: bytes) -> None:
        if self._path is None:
            return
        with suppress(OutputError, OSError):  # a full disk costs the next start some seconds, and nothing else
            make_folder(self._path.parent)
            with atomic_file(self._path) as file:
                file.writelines(parts)
            self._prune(self._path.parent)

    def _prune(self, folder: Path) -> None:
        newest_first = sorted(folder.glob(f"{self._kind}-*"), key=_time_of, reverse=True)
        abandoned = folder.glob(f".{self._kind}-*.tmp")  # one run at a time writes here
        for path in (*newest_first[self._most :], *abandoned):
            path.unlink(missing_ok=True)


class ParityCache:
    """A measured Parity, as JSON."""

    MOST = 64  # of 100 bytes each: one for each model, OpenVINO and processor

    def __init__(self, folder: Path | None, basis: Sequence[Any]) -> None:
        self._file = CacheFile(folder, "parity", basis, self.MOST)

    def read(self) -> Parity | None:
        try:
            return Parity(**json.loads(self._file.read() or b""))
        except (ValueError, TypeError):
            return None

    def write(self, parity: Parity) -> None:
        self._file.write(json.dumps(asdict(parity)).encode())


class HashedFile:
    """Bytes preceded by their SHA-256: a damaged file is as if it were not there. Arguments: as for CacheFile."""

    def __init__(self, folder: Path | None, kind: str, basis: Sequence[Any], most: int) -> None:
        self.is_enabled = folder is not None
        self._file = CacheFile(folder, kind, basis, most)

    def read(self) -> bytes | None:
        content = self._file.read() or b""
        digest, data = content[:_DIGEST], content[_DIGEST:]
        return data if hashlib.sha256(data).digest() == digest else None

    def write(self, data: bytes) -> None:
        self._file.write(hashlib.sha256(data).digest(), data)


class StartRecord(HashedFile):
    """What a runner was once it was entered: with the same basis it will be that again, so that nothing need be entered
    to know it."""

    MOST = 8  # of 400 bytes each

    def __init__(self, folder: Path | None, basis: Sequence[Any]) -> None:
        super().__init__(folder, "start", basis, self.MOST)

    def info(self) -> RunnerInfo | None:
        try:
            return RunnerInfo(**json.loads(self.read() or b""))
        except (ValueError, TypeError):
            return None

    def put(self, info: RunnerInfo) -> None:
        if self.info() != info:
            self.write(json.dumps(asdict(info)).encode())


class NetworkCache(HashedFile):
    """A compiled network as OpenVINO exports it: OpenVINO 2026.4.1 loaded one with a damaged block without an error,
    and its features were off by 0.9."""

    MOST = 3  # of 51 MB each, int8 of 25: the precisions of one model

    def __init__(self, folder: Path | None, basis: Sequence[Any]) -> None:
        super().__init__(folder, "compiled", basis, self.MOST)


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # another run removed it
        return 0
