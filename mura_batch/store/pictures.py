"""Pictures of what was scored: appended to packs, OUT/pictures/<run number>.pack, and found through the ledger.

A pack is its pictures, one after another. A score's row in the ledger says where its picture lies and what its checksum
is, so a picture belongs to a content, a model and settings, as the score does, and to no run folder. A file a picture
costs four times the CPU time of a pack, and a table of blobs no less than a file.

Nothing is lost in a crash: a picture is on the disk before the score that points at it is committed. What a killed run
had appended beyond that is never pointed at.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mura_batch.atomic_files import output_errors, sync_folder
from mura_batch.store.database import Database
from mura_batch.store.key import Key
from mura_batch.store.reading import reading

ReadPicture = Callable[[str], bytes | None]  # content hash -> the picture of its score, None where there is none
FOLDER = "pictures"  # in OUT
_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies: in which pack, from which byte, how many bytes, and the CRC-32 of those."""

    pack: int
    offset: int
    size: int
    checksum: int


class PictureStore:
    """folder: OUT/pictures; made with the first picture."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._db, self._folder = database, folder
        self._open: tuple[int, int] | None = None  # pack, descriptor

    def append(self, pack: int, pictures: Sequence[bytes]) -> list[Place]:
        """Writes the pictures and waits for the disk, once. Raises OutputError."""
        if not any(pictures):
            return [Place(pack, 0, 0, 0)] * len(pictures)
        with output_errors(self._folder):
            descriptor = self._descriptor(pack)
            offset, places = os.lseek(descriptor, 0, os.SEEK_END), []
            for picture in pictures:
                places.append(Place(pack, offset, len(picture), zlib.crc32(picture)))
                offset += len(picture)
            _write_all(descriptor, b"".join(pictures))
            os.fdatasync(descriptor)
        return places

    def of(self, key: Key) -> ReadPicture:
        """The pictures of one model and its settings."""
        return partial(self.read, key)

    def read(self, key: Key, content_hash: str) -> bytes | None:
        """The picture of a score; None where there is none any more. Of a file that key did not score, the newest one
        of an earlier model, whose score it then has. Raises LedgerError."""
        row = self._db.first(
            "SELECT pack, pack_offset, picture_bytes, picture_checksum FROM scores"
            " WHERE content_hash = :content"
            " ORDER BY model = :model AND settings = :settings DESC, committed DESC LIMIT 1",
            {"content": content_hash, **key.values},
        )
        return self._read(Place(*row)) if row is not None and row[0] is not None else None

    def unused_packs(self) -> Iterator[Path]:
        """Packs that no score points into: a run was killed before it committed a score. Raises LedgerError."""
        used = {pack for (pack,) in self._db.rows("SELECT DISTINCT pack FROM scores WHERE pack IS NOT NULL")}
        yield from (path for path in sorted(self._folder.glob("*.pack")) if path not in map(self._path, used))

    def is_intact(self, place: Place) -> bool:
        """Whether the picture is there as it was written."""
        return self._read(place) is not None

    def blank(self, place: Place) -> None:
        """Zeros in the place of a picture, on the disk when this returns. Raises OutputError."""
        path = self._path(place.pack)
        if not path.exists():
            return
        with output_errors(path), path.open("r+b") as file:
            file.seek(place.offset)
            file.write(bytes(place.size))
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _read(self, place: Place) -> bytes | None:
        try:
            with self._path(place.pack).open("rb") as file:
                file.seek(place.offset)
                picture = file.read(place.size)
        except OSError:
            return None
        return picture if picture and zlib.crc32(picture) == place.checksum else None

    def _path(self, pack: int) -> Path:
        return self._folder / f"{pack:06d}.pack"

    def _descriptor(self, pack: int) -> int:
        if self._open is None or self._open[0] != pack:
            self.close()
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._open = (pack, os.open(self._path(pack), os.O_WRONLY | os.O_CREAT | os.O_APPEND | _SAFE, 0o600))
            sync_folder(self._folder)
            sync_folder(self._folder.parent)
        return self._open[1]


@contextmanager
def stored_pictures(out: Path, key: Key) -> Iterator[ReadPicture]:
    """For a page that is rendered later, beside a run that may be writing. There are none where OUT holds no ledger of
    this version. Raises LedgerError."""
    with reading(out) as database:
        yield PictureStore(database, out / FOLDER).of(key) if database is not None else lambda _: None


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
