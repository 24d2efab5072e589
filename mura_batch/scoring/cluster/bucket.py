"""Studies in object storage. The listing is ours, file by file, under the rules of a folder.

An object's identity is its ETag and size: both stand in a SourceFile, the ETag as a number in place of the modification
time.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import posixpath
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mura_batch.dicom.discover import is_service_folder, young_times
from mura_batch.dicom.header.reader import read_header_of
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.errors import ClusterError, InputError
from mura_batch.records import Instance, Reason, Skipped, SourceFile, Stage
from mura_batch.scoring.storage import Folder, Storage, url_of

if TYPE_CHECKING:
    from mura_batch.dicom.worker.examiner import Examiner

SCHEMES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}  # and the package that fsspec needs for it

_SPOOL = "mura-batch-spool-"  # then the process


@dataclass(frozen=True, slots=True)
class Bucket:
    """Object storage by fsspec. url: scheme://bucket/prefix. Credentials are those of the node's own environment."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def folder(self) -> Path:
        return _spool()

    def discover(self, policy: IntakePolicy) -> Iterator[SourceFile | Skipped]:
        files, prefix = _file_system(self.url)
        since, until = young_times(policy, time.time())
        pending = [prefix]
        while pending:
            here = pending.pop()
            below = []
            for entry in _listed(files, here, self.url):
                path = str(entry["name"]).removeprefix(f"{prefix}/")
                source = _source_of(path, entry)
                if not _is_relative(path):
                    detail = "its name is no path below the prefix"
                    yield Skipped(source, Stage.DISCOVER, Reason.UNREADABLE_FILE, detail)
                elif entry["type"] == "directory" and is_service_folder(posixpath.basename(path)):
                    detail = "a folder that the storage system keeps for itself"
                    yield Skipped(source, Stage.DISCOVER, Reason.SERVICE_FOLDER, detail)
                elif entry["type"] == "directory":
                    below.append(entry["name"])
                elif entry["name"].endswith("/"):
                    continue  # how some tools mark a folder
                elif since < _modified(entry) <= until:
                    detail = "changed within the settle time: left for the next run"
                    yield Skipped(source, Stage.DISCOVER, Reason.TOO_YOUNG, detail)
                else:
                    yield source
            pending.extend(reversed(below))

    def why_unreadable(self, sample: SourceFile) -> str:
        try:
            files, prefix = _file_system(self.url)
            files.cat_file(posixpath.join(prefix, sample.path), start=0, end=1)
        except ClusterError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - each storage has errors of its own
            return f"{self.url}: {_in_words(error)}"
        return ""

    def read_header(self, source: SourceFile, policy: IntakePolicy, examiner: Examiner) -> Instance | Skipped:
        def second(source: SourceFile) -> Any:
            with self.at_hand(source) as refused:
                return None if refused else examiner.header(source)

        return read_header_of(lambda: _RangeBytes(self.url, source), source, policy, second)

    @contextmanager
    def at_hand(self, source: SourceFile) -> Iterator[Refused | None]:
        path = self.folder / source.path
        try:
            data = _whole(self.url, source)
            _spool_file(path, data, source)
        except Refused as refused:
            yield refused
            return
        try:
            yield None
        finally:
            path.unlink()
            _remove_empty(path.parent, self.folder)


def storage_of(studies: Path) -> Storage:
    """A folder, or what a URL of SCHEMES names. Raises InputError."""
    if not (url := url_of(studies)):
        return Folder(studies)
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        raise InputError(f"{scheme}:// is no storage that is known here: use a folder, or one of {', '.join(SCHEMES)}")
    return Bucket(url)


@cache
def _spool() -> Path:
    """Of this process, on memory where the node has it: pictures are read once. What a killed process left is removed,
    as it may show patients."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
    here = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    for left in here.glob(f"{_SPOOL}*"):
        if not Path("/proc", left.name.removeprefix(_SPOOL).partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f"{_SPOOL}{os.getpid()}-", dir=here)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def _file_system(url: str) -> tuple[Any, str]:
    """(fsspec's file system, the prefix in it). Raises ClusterError where it is not installed."""
    try:
        import fsspec

        files, prefix = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        package = SCHEMES[url.partition("://")[0]]
        raise ClusterError(f"{url} needs {package}: pip install {package}, on every node") from error
    return files, prefix.rstrip("/")


def _spool_file(path: Path, data: bytes, source: SourceFile) -> None:
    """Raises Refused."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(source.mtime_ns, source.mtime_ns))  # what the decoder compares
    except OSError as error:
        path.unlink(missing_ok=True)
        raise Refused(Reason.UNREADABLE_FILE, f"no room for it on the node: {error.strerror}") from error


def _remove_empty(folder: Path, root: Path) -> None:
    """A folder and those above it, as far as they are empty and below root."""
    with suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _is_relative(path: str) -> bool:
    """Whether a name leads to one place below the prefix: in object storage '..' is a name like another."""
    return posixpath.normpath(path) == path.rstrip("/") and not path.startswith(("/", "../")) and "\0" not in path


def _listed(files: Any, folder: str, url: str) -> list[dict[str, Any]]:
    """Sorted by name. Raises ClusterError where there is nothing to list, or no right to."""
    try:
        return sorted(
            (entry for entry in files.ls(folder, detail=True) if entry["name"] != folder),
            key=lambda entry: str(entry["name"]),
        )
    except Exception as error:  # each storage has errors of its own
        raise ClusterError(
            f"{url}: {folder} cannot be listed ({_in_words(error)}): are the bucket's name and the credentials right?"
        ) from error


def _in_words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _modified(entry: dict[str, Any]) -> float:
    """Seconds since the epoch; 0 where the storage does not say."""
    for name in ("LastModified", "updated", "last_modified", "created"):
        value = entry.get(name)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
    return 0.0


def _source_of(path: str, entry: dict[str, Any]) -> SourceFile:
    tag = str(entry.get("ETag") or entry.get("etag") or _modified(entry))
    number = int.from_bytes(hashlib.sha256(tag.encode()).digest()[:6])  # a time that every file system can hold
    return SourceFile(path, int(entry.get("size") or 0), number, 0)


def _whole(url: str, source: SourceFile) -> bytes:
    """Raises Refused."""
    files, prefix = _file_system(url)
    name = posixpath.join(prefix, source.path)
    try:
        data = bytes(files.cat_file(name))
        after = _source_of(source.path, files.info(name))
    except Exception as error:
        raise Refused(Reason.UNREADABLE_FILE, _in_words(error)) from error
    if after != source or len(data) != source.size:
        raise Refused(Reason.CHANGED_WHILE_READ, "the object changed since its header was read")
    return data


class _RangeBytes:
    """An object read by ranges: a radiograph's header is a hundredth of it."""

    is_whole = False
    _WINDOW = 1 << 16  # bytes of a request: most headers fit, and a request costs more than its bytes

    def __init__(self, url: str, source: SourceFile) -> None:
        self._files, prefix = _file_system(url)
        self._name = posixpath.join(prefix, source.path)
        self.size = source.size
        self._at, self._window = 0, self._fetch(0, self._WINDOW)

    def read(self, at: int, count: int) -> bytes:
        start, end = at - self._at, self._at + len(self._window)
        if start < 0 or at > end or (at + count > end and end < self.size):
            self._at, self._window, start = at, self._fetch(at, max(count, self._WINDOW)), 0
        return self._window[start : start + count]

    def chunk(self, at: int) -> tuple[bytes, int]:
        self.read(at, 12)
        return self._window, at - self._at

    def _fetch(self, at: int, count: int) -> bytes:
        end = min(at + count, self.size)
        if at >= end:
            return b""
        try:
            return bytes(self._files.cat_file(self._name, start=at, end=end))
        except Exception as error:
            raise Refused(Reason.UNREADABLE_FILE, _in_words(error)) from error

    def close(self) -> None:
        pass
