"""A folder's files and their stat, folder by folder, in one order whatever the storage: names sorted, a folder before
those below it.

On a network mount each call waits for the server, a millisecond or more, and a hundred thousand waits one after another
are minutes. So the first calls are timed, and where they wait, many are in flight at once: stats of one folder, and the
folders that come next. On a local disk threads would cost more than they save.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

IN_FLIGHT = 64  # calls: a server answers them together; NFS clients allow as many by default
SLOW = 100e-6  # seconds of a call that waited; a local stat takes a few millionths
_TIMED = 8  # calls of a folder: the fastest of them decides, for any may be interrupted
_AHEAD = 128  # names of a folder that is looked at before its turn: one with more would take memory
_RUN = 16  # stats that a thread takes one after another: handing one over costs more than a local stat
_TOGETHER = 2 * IN_FLIGHT * _RUN  # stats of a large folder that are held at a time

Stat = os.stat_result | OSError
Entry = tuple[str, Stat]  # a name in its folder


@dataclass(frozen=True, slots=True)
class _Listing:
    """identity: device and inode. stats: of the first names. wait: seconds of the fastest of these."""

    identity: tuple[int, int]
    names: Sequence[str]
    stats: Sequence[Stat]
    wait: float


class FolderWalk:
    """`for folder, entries in FolderWalk(root)`: each folder below root by its relative path, and its entries in order;
    an OSError stands for the entries of a folder that cannot be listed. The caller says by `enter` which of the entries
    are folders to go into. Memory: the names of one folder."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._pending = [""]
        self._below: list[str] = []
        self._entered: set[tuple[int, int]] = set()
        self._early: dict[str, Future[_Listing | OSError]] = {}
        self._pool: ThreadPoolExecutor | None = None  # once a call has waited

    def enter(self, folder: str) -> None:
        self._below.append(folder)

    def __iter__(self) -> Iterator[tuple[str, Iterator[Entry] | OSError]]:
        try:
            while self._pending:
                here = self._pending.pop()
                listing = self._listing(here)
                if isinstance(listing, OSError):
                    yield here, listing
                elif listing.identity not in self._entered:  # a bind mount may hold its own parent
                    self._entered.add(listing.identity)
                    yield here, self._entries(here, listing)
                self._pending.extend(reversed(self._below))
                self._below.clear()
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def _listing(self, here: str) -> _Listing | OSError:
        early = self._early.pop(here, None)
        if self._pool is not None:
            self._look_ahead(self._pool)
        listing = _look(os.path.join(self._root, here), _TIMED) if early is None else early.result()
        if self._pool is None and isinstance(listing, _Listing) and listing.wait >= SLOW:
            self._pool = ThreadPoolExecutor(IN_FLIGHT, "stat")
        return listing

    def _look_ahead(self, pool: ThreadPoolExecutor) -> None:
        """At the folders whose turn comes next."""
        for folder in self._pending[: -IN_FLIGHT - 1 : -1]:
            if folder not in self._early:
                self._early[folder] = pool.submit(_look, os.path.join(self._root, folder), _AHEAD)

    def _entries(self, here: str, listing: _Listing) -> Iterator[Entry]:
        names, known = listing.names, len(listing.stats)
        yield from zip(names, listing.stats, strict=False)
        if known == len(names):
            return
        try:
            folder = os.open(os.path.join(self._root, here), _FOLDER)
        except OSError as error:  # it went away meanwhile
            yield from ((name, error) for name in names[known:])
            return
        try:
            if self._pool is None:
                yield from ((name, _stat(folder, name)) for name in names[known:])
                return
            for start in range(known, len(names), _TOGETHER):
                some = names[start : start + _TOGETHER]
                runs = [some[at : at + _RUN] for at in range(0, len(some), _RUN)]
                for stats in self._pool.map(partial(_entries_of, folder), runs):
                    yield from stats
        finally:
            os.close(folder)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def _look(path: str, most: int) -> _Listing | OSError:
    """most: names whose stat is taken at once."""
    clock = time.perf_counter
    try:
        folder = os.open(path, _FOLDER)
        try:
            info = os.fstat(folder)
            with os.scandir(folder) as scan:
                names = sorted(entry.name for entry in scan)  # names alone: a folder may hold a million
            stats, wait = [], math.inf
            for name in names[:most]:
                begun = clock()
                stats.append(_stat(folder, name))
                wait = min(wait, clock() - begun)
        finally:
            os.close(folder)
    except OSError as error:
        return error
    return _Listing((info.st_dev, info.st_ino), names, stats, wait if stats else 0.0)


def _entries_of(folder: int, names: Sequence[str]) -> list[Entry]:
    return [(name, _stat(folder, name)) for name in names]


def _stat(folder: int, name: str) -> Stat:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        return error
