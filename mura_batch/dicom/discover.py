"""Studies folder -> source files: any depth, names and extensions; nothing is opened, only looked at."""

from __future__ import annotations

import math
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from mura_batch.dicom.folder_walk import FolderWalk
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.records import Reason, Skipped, SourceFile, Stage

# Seconds: how far a file server's clock may be ahead. A file from further in the future has a wrong date, and would be
# left for the next run for ever.
CLOCK_SKEW = 3600.0
# Folders that storage systems keep for themselves: snapshots (NetApp, ZFS, UFS, Synology, QNAP, Snapper, old versions
# of Samba), recycle bins (Synology, QNAP, Samba, Windows, freedesktop.org), indexes and thumbnails (Synology, QNAP,
# macOS), partial transfers and replicas (rsync, Syncthing, Resilio, Dropbox, GoodSync, Windows DFS), what a file system
# check recovered.
_SERVICE = re.compile(
    r"[.~#@]?snapshots?|\.snap|@recently-snapshot|@share(snap|bin)|@gmt-[\d.-]+|\.zfs|\.ckpt|lost\+found"
    r"|[#@.$]?recycle(\.bin)?|recycle[dr]|\.trash(es)?(-\d+)?|@eadir|@tmp|\.@__\w+|\.synologyworkingdirectory"
    r"|\.(spotlight|fseventsd|documentrevisions|temporaryitems)(-v\d+)?|\.apple(double|db|desktop)|__macosx"
    r"|system volume information|dfsrprivate|\.rsync-(partial|tmp)|\.~tmp~|\.st(folder|versions)|\.sync|\.glusterfs"
    r"|\.dropbox\.cache|_gsdata_",
    re.IGNORECASE,
)
_PLAIN = frozenset({"snapshot", "snapshots", "recycle"})  # names that a site may give a folder of its own


def discover(root: Path, policy: IntakePolicy, now: float | None = None) -> Iterator[SourceFile | Skipped]:
    """Every file under root, sorted within its folder, one at a time.

    Symbolic links are not followed: they would list a file many times or leave the folder. A file reached by two hard
    links is given once, and so is a folder reached by two mounts. now: seconds since the epoch, for the settle time.
    """
    young = young_times(policy, time.time() if now is None else now)
    seen: set[tuple[int, int]] = set()  # of files with several links only: it does not grow with the export
    walk = FolderWalk(root)
    for here, entries in walk:
        if isinstance(entries, OSError):
            yield _skipped(here or ".", None, Reason.UNREADABLE_FOLDER, entries.strerror or "cannot be listed")
            continue
        prefix = f"{here}/" if here else ""
        for name, info in entries:
            path = prefix + name
            if isinstance(info, OSError):
                yield _skipped(path, None, Reason.UNREADABLE_FILE, info.strerror or "cannot be looked at")
            elif not stat.S_ISDIR(info.st_mode):
                yield _judge(path, info, young, seen)
            elif is_service_folder(name):
                yield _skipped(path, info, Reason.SERVICE_FOLDER, "a folder that the storage system keeps for itself")
            else:
                walk.enter(path)


def young_times(policy: IntakePolicy, now: float) -> tuple[float, float]:
    """(since, until) in seconds since the epoch: a file changed after the one and not after the other is left for the
    next run."""
    return (now - policy.settle_seconds, now + CLOCK_SKEW) if policy.settle_seconds > 0 else (math.inf, math.inf)


def is_service_folder(name: str) -> bool:
    """Of a folder's name: whether the storage system keeps it for itself."""
    return _SERVICE.fullmatch(name) is not None and name.lower() not in _PLAIN


def _judge(
    path: str, info: os.stat_result, young: tuple[float, float], seen: set[tuple[int, int]]
) -> SourceFile | Skipped:
    if not stat.S_ISREG(info.st_mode):
        if stat.S_ISLNK(info.st_mode):
            return _skipped(path, info, Reason.SYMLINK, "symbolic links are not followed")
        return _skipped(path, info, Reason.SPECIAL_FILE, "not a regular file")
    if info.st_nlink > 1:
        identity = (info.st_dev, info.st_ino)
        if identity in seen:
            return _skipped(path, info, Reason.SAME_FILE, "a hard link to a file already met")
        seen.add(identity)
    # A copy that keeps the times (cp -p, rsync -t) shows only by its change time that it is still being written.
    if young[0] < info.st_mtime <= young[1] or young[0] < info.st_ctime <= young[1]:
        return _skipped(path, info, Reason.TOO_YOUNG, "changed within the settle time: left for the next run")
    return _source(path, info)


def _source(path: str, info: os.stat_result | None) -> SourceFile:
    if info is None:
        return SourceFile(path, 0, 0, 0)
    return SourceFile(path, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def _skipped(path: str, info: os.stat_result | None, reason: Reason, detail: str) -> Skipped:
    return Skipped(_source(path, info), Stage.DISCOVER, reason, detail)
