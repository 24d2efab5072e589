"""Which runs there were, and which of them are published: their folders have their names.

A score is `unchanged` if a published run has reported it. A run takes what it is the first to report just before its
folder is renamed; a run that ends before that has reported nothing. The two cannot happen at one moment, so the next
start holds the ledger against the folders: a kill between them is healed there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mura_batch.store.database import Database
from mura_batch.store.key import Key
from mura_batch.store.reading import reading


class Runs:
    """current: the number of the run that was begun last; root: the number of its studies folder."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.current = 0
        self.root = 0

    def begin(self, name: str, studies: Path) -> None:
        """A new run. studies: the folder that paths are relative to; the ledger keeps a hash of its path."""
        with self._db.writing():
            self.current = self._db.execute("INSERT INTO runs (name) VALUES (?)", (name,)).lastrowid or 0
        self.root = _number_of(studies)

    def reconcile(self, is_published: Callable[[str], bool]) -> None:
        """Settles how earlier runs ended. is_published: whether the folder of a run of this name is there. Asked once a
        run: a folder that is removed later changes nothing."""
        with self._db.writing():
            opened = self._db.execute("SELECT id, name FROM runs WHERE published IS NULL").fetchall()
            for number, name in opened:
                if is_published(name):
                    self._db.execute("UPDATE runs SET published = '' WHERE id = ?", (number,))
                    continue
                for table in ("files", "scores", "failures"):
                    self._db.execute(f"UPDATE {table} SET run = 0 WHERE run = ?", (number,))
                self._db.execute("DELETE FROM reported_unreadable WHERE run = ?", (number,))
                self._db.execute("DELETE FROM runs WHERE id = ?", (number,))

    def claim(self, key: Key) -> None:
        """What this run reports and no published run has reported is this run's from now on."""
        with self._db.writing():
            for statement in _CLAIM:
                self._db.execute(statement, {"run": self.current, "model": key.model, "settings": key.settings})

    def describe(self, key: Key, images: int, seconds: float) -> None:
        """What this run scores with, and how many images it scored in how many seconds."""
        with self._db.writing():
            self._db.execute(
                "UPDATE runs SET model = :model, settings = :settings, images = :images, seconds = :seconds"
                " WHERE id = :run",
                {"images": images, "seconds": seconds, "run": self.current, **key.values},
            )

    def have_used(self, key: Key) -> bool:
        """Whether a published run has scored with key."""
        sql = "SELECT 1 FROM runs WHERE published IS NOT NULL AND model = :model AND settings = :settings LIMIT 1"
        return self._db.first(sql, key.values) is not None

    def images_a_second(self) -> float | None:
        """Of the last ten published runs that scored anything; None where there is none."""
        row = self._db.first(
            "SELECT sum(images), sum(seconds) FROM (SELECT images, seconds FROM runs"
            " WHERE published IS NOT NULL AND images > 0 AND seconds > 0 ORDER BY id DESC LIMIT 10)"
        )
        return row[0] / row[1] if row is not None and row[0] else None

    def finish(self, finished: str) -> None:
        """The run's folder has its name. finished: UTC, ISO 8601."""
        with self._db.writing():
            self._db.execute("UPDATE runs SET published = ? WHERE id = ?", (finished, self.current))

    def published(self) -> tuple[str, ...]:
        """Names of the runs that were published, in the order in which they were begun: a clock that is set back does
        not change it."""
        return tuple(name for name, _ in self._published())

    def removed(self) -> dict[str, str]:
        """Name -> what `remove` noted, of the runs whose folders need not be there."""
        return {name: note for name, note in self._published() if note is not None}

    def remove(self, name: str, note: str) -> None:
        """The folder of the run is about to be removed. note: what there is to remember of the run."""
        with self._db.writing():
            self._db.execute("UPDATE runs SET removed = ? WHERE name = ?", (note, name))

    def _published(self) -> Iterator[tuple[str, str | None]]:
        yield from self._db.rows("SELECT name, removed FROM runs WHERE published IS NOT NULL ORDER BY id")


_CLAIM = (
    "UPDATE files INDEXED BY files_unreported SET run = :run WHERE run = 0 AND id IN (SELECT file FROM present)",
    "UPDATE failures SET run = :run WHERE run = 0 AND path IN (SELECT path FROM present)",
    "UPDATE scores INDEXED BY scores_unreported SET run = :run WHERE run = 0"
    " AND model = :model AND settings = :settings"
    " AND content_hash IN (SELECT content_hash FROM present_files WHERE is_instance AND set_aside IS NULL)",
)


@dataclass(frozen=True, slots=True)
class KnownRuns:
    """names: of the published runs, in the order in which they were begun. removed: name -> what `prune` noted."""

    names: tuple[str, ...] = ()
    removed: dict[str, str] = field(default_factory=dict)


def read_known_runs(out: Path) -> KnownRuns:
    """For a program that only reads, beside a run that may be going. Nothing where the ledger is of another schema: the
    next run upgrades it. Raises LedgerError."""
    with reading(out) as database:
        if database is None:
            return KnownRuns()
        runs = Runs(database)
        return KnownRuns(runs.published(), runs.removed())


def _number_of(folder: Path) -> int:
    """48 bits that name a folder: its path is nobody's business in the ledger. Never 0."""
    digest = hashlib.sha256(os.fsencode(folder.resolve())).digest()
    return int.from_bytes(digest[:6], "big") | 1
