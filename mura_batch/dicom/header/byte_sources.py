"""Where the bytes of a data set come from: a file, bytes in memory, or a deflated stream, all read by position."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import Protocol

from mura_batch.dicom.refused import Refused, truncated
from mura_batch.records import Reason

MAX_INFLATED_HEADER = 32 << 20  # bytes; a header with several lookup tables has 1 MB
_HEAD = 1 << 14  # bytes read when a file is opened: most headers of radiographs fit
_CHUNK = 1 << 16
_SMALL, _WINDOW = 256, 1 << 13  # a read of so few bytes is the header of an element: the next ones follow
_STEP = 1 << 20  # bytes inflated at once: what a bomb gains before it is noticed; a header is the first few kB


class Bytes(Protocol):
    """Positioned reading. size: where the data end; of a stream that is not yet read to its end, a number beyond.
    is_whole: whether the data themselves say where they end, so that they are not cut short."""

    size: int

    @property
    def is_whole(self) -> bool: ...

    def read(self, at: int, count: int) -> bytes:
        """Fewer than count bytes only where the data end."""
        ...

    def chunk(self, at: int) -> tuple[bytes, int]:
        """Bytes at hand, and where among them a position is: with at least 12 from there on, fewer only where the data
        end."""
        ...


class OpenBytes(Bytes, Protocol):
    """Of something that is to be closed."""

    def close(self) -> None: ...


class FileBytes:
    """An open file. Never blocks: a pipe put in the place of a file is refused. Raises Refused(UNREADABLE_FILE) where
    the system does not open or read it."""

    __slots__ = ("_at", "_fd", "_window", "size")
    is_whole = False

    def __init__(self, path: str | Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(error) from error
        info = os.fstat(self._fd)
        self.size = info.st_size
        try:
            _refuse_irregular(info)
            self._at, self._window = 0, self._pread(_HEAD, 0)
        except Refused:
            self.close()
            raise

    def read(self, at: int, count: int) -> bytes:
        start = at - self._at
        if 0 <= start <= len(self._window) - count:
            return self._window[start : start + count]
        if count > _SMALL:
            return self._pread(count, at)
        self._at, self._window = at, self._pread(_WINDOW, at)
        return self._window[:count]

    def chunk(self, at: int) -> tuple[bytes, int]:
        start = at - self._at
        if not 0 <= start <= len(self._window) - 12:
            self._at, self._window, start = at, self._pread(_CHUNK, at), 0
        return self._window, start

    def _pread(self, count: int, at: int) -> bytes:
        try:
            return os.pread(self._fd, count, at)
        except OSError as error:
            raise _unreadable(error) from error

    def close(self) -> None:
        os.close(self._fd)


def _refuse_irregular(info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise Refused(Reason.UNREADABLE_FILE, "no longer a regular file")


def _unreadable(error: OSError) -> Refused:
    return Refused(Reason.UNREADABLE_FILE, error.strerror or "cannot be read")


class MemoryBytes:
    """Bytes at hand. size: of the whole, where these are only its first part."""

    __slots__ = ("data", "size")
    is_whole = False

    def __init__(self, data: bytes | memoryview, size: int | None = None) -> None:
        self.data = memoryview(data)
        self.size = len(data) if size is None else size

    def read(self, at: int, count: int) -> bytes:
        return bytes(self.data[at : at + count])

    def chunk(self, at: int) -> tuple[bytes, int]:
        return bytes(self.data[at : at + _CHUNK]), 0

    def view(self, at: int, count: int) -> memoryview:
        """Without a copy; valid as long as what it was made of."""
        return self.data[at : at + count]


def zlib_header(data: bytes) -> int:
    """Bytes of the zlib header (RFC 1950 2.2) that some writers put before a deflated stream; 0 where there is none.
    The block with which a bare stream would begin so has lengths that no encoder writes."""
    head = data[:2]
    return 2 if len(head) == 2 and head[0] == 0x78 and int.from_bytes(head, "big") % 31 == 0 else 0


class InflatedBytes:
    """A deflated data set (PS3.5 A.5), inflated only as far as it is read, and never beyond `limit` bytes: a deflate
    bomb turns 700 kB into 1.5 GB. Positions count in the inflated data."""

    __slots__ = ("_at", "_data", "_inflater", "_limit", "_source", "_step", "size")

    def __init__(self, source: Bytes, at: int, limit: int = MAX_INFLATED_HEADER) -> None:
        self._source, self._at, self._limit = source, at + zlib_header(source.read(at, 2)), limit
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._data, self._step = bytearray(), _HEAD
        self.size = 1 << 62

    def read(self, at: int, count: int) -> bytes:
        while len(self._data) < at + count and not self._inflater.eof:
            self._more()
        return bytes(self._data[at : at + count])

    def chunk(self, at: int) -> tuple[bytes, int]:
        return self.read(at, _HEAD), 0

    @property
    def is_whole(self) -> bool:
        """A deflated stream says itself where it ends."""
        return self._inflater.eof

    def allow(self, limit: int) -> None:
        """Raises the limit: to what the checked header says of the pixels."""
        self._limit = max(self._limit, limit + _STEP)

    def _more(self) -> None:
        step, self._step = self._step, min(2 * self._step, _STEP)
        compressed = self._inflater.unconsumed_tail or self._source.read(self._at, step)
        if not self._inflater.unconsumed_tail:
            self._at += len(compressed)
        if not compressed:
            raise truncated("the deflated data set")
        try:
            self._data += self._inflater.decompress(compressed, step)
        except zlib.error as error:
            raise Refused(Reason.DAMAGED_HEADER, "the deflated data set is damaged") from error
        if len(self._data) > self._limit:
            raise Refused(Reason.TOO_LARGE, f"the deflated data set exceeds {self._limit >> 20} MiB")
        if self._inflater.eof:
            self.size = len(self._data)
