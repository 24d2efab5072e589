"""What the ledger knows of a study, and every score it holds: for `mura-batch show` and `mura-batch export`. The ledger
is opened for reading only, so a run may be going."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mura_batch.pseudonyms import Pseudonyms
from mura_batch.records import Instance, PixelDecisions, Reason, Skipped, Stage, skip_instance
from mura_batch.store.database import LEDGER_NAME, Database, Row
from mura_batch.store.reading import open_with_names
from mura_batch.store.records_json import (
    RECORD_COLUMNS,
    RECORD_WIDTH,
    load_decisions,
    load_instance,
    load_skip,
    load_skipped,
)


@dataclass(frozen=True, slots=True)
class StoredScore:
    """A score of the ledger. model: name and version, '' where the ledger has only its hash. threshold: of that model,
    None likewise. committed: UTC, ISO 8601, '' for scores of before. run: name of the run that reported it, '' where
    none has yet."""

    content_hash: str
    sop_instance_uid: str
    model: str
    model_hash: str
    settings_hash: str
    probability: float
    threshold: float | None
    committed: str
    run: str
    decisions: PixelDecisions


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a study. record: what its header said, or why it is skipped. content_hash: '' where it was not read.
    present: whether the last run saw it."""

    record: Instance | Skipped
    content_hash: str
    present: bool


class ScoreHistory:
    """`with ScoreHistory(out) as history`. Raises LedgerError where OUT holds no ledger of this version."""

    def __init__(self, out: Path) -> None:
        self._db = Database(out / LEDGER_NAME)

    def __enter__(self) -> Self:
        self.names: Pseudonyms = open_with_names(self._db)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def find(self, word: str) -> tuple[str, ...]:
        """Study Instance UIDs of the studies that word names: a UID, an accession number or a key."""
        query = "SELECT DISTINCT study_uid FROM files WHERE study_uid != '' AND"
        for condition in ("study_uid = ?", "json_extract(record, '$.accession') = ?"):
            if found := tuple(uid for (uid,) in self._db.rows(f"{query} {condition}", (word,))):
                return found
        everyone = self._db.rows("SELECT DISTINCT study_uid FROM files WHERE study_uid != ''")
        return tuple(uid for (uid,) in everyone if self.names.study(uid) == word)

    def forgotten(self, key: str) -> str:
        """When a study of this key was forgotten, UTC; '' where none was."""
        row = self._db.first("SELECT max(at) FROM forgotten WHERE study_key = ?", (key,))
        return str(row[0]) if row and row[0] else ""

    def files(self, study_uid: str) -> Iterator[StoredFile]:
        """By path."""
        query = (
            f"SELECT {RECORD_COLUMNS}, f.is_instance, f.set_aside, f.content_hash,"
            " EXISTS (SELECT 1 FROM present p WHERE p.path = f.path) FROM files f WHERE f.study_uid = ? ORDER BY f.path"
        )
        for row in self._db.rows(query, (study_uid,)):
            is_instance, set_aside, content, present = row[RECORD_WIDTH:]
            record = load_instance(row) if is_instance else load_skipped(row)
            if set_aside is not None:
                record = load_skip(set_aside, study_uid)
            elif isinstance(record, Instance):
                record = self._failed(record) or record
            yield StoredFile(record, content or "", bool(present))

    def _failed(self, instance: Instance) -> Skipped | None:
        """Where its pixels could not be read."""
        row = self._db.first(
            "SELECT stage, reason, detail FROM failures WHERE path = ?", (os.fsencode(instance.source.path),)
        )
        return skip_instance(instance, Stage(row[0]), Reason(row[1]), row[2]) if row is not None else None

    def scores(self, study_uid: str) -> Iterator[StoredScore]:
        """Of its files as they are and as they were, oldest first."""
        mine = (
            "s.content_hash IN (SELECT content_hash FROM files WHERE study_uid = :uid)"
            " OR s.sop_uid IN (SELECT sop_uid FROM files WHERE study_uid = :uid AND sop_uid != '')"
        )
        rows = self._db.rows(f"{_SCORES} WHERE {mine} ORDER BY s.committed, s.rowid", {"uid": study_uid})
        yield from map(_score, rows)

    def every_score(self) -> Iterator[tuple[StoredScore, Instance | None]]:
        """All scores in the order of their commits, each with a file that has this content now; None where none has."""
        files = "SELECT min(id) AS id, content_hash FROM files WHERE content_hash IS NOT NULL GROUP BY content_hash"
        columns = f"{_SCORES.removesuffix(_FROM)}, {RECORD_COLUMNS} {_FROM}"
        query = (
            f"{columns} LEFT JOIN ({files}) g USING (content_hash) LEFT JOIN files f ON f.id = g.id AND f.is_instance"
        )
        for row in self._db.rows(f"{query} ORDER BY s.committed, s.rowid"):
            record = row[_WIDTH:]
            yield _score(row), load_instance(record) if record[2] is not None else None


def _score(row: Row) -> StoredScore:
    content, sop_uid, name, version, model, settings, probability, threshold, committed, run, decisions = row[:_WIDTH]
    return StoredScore(
        content_hash=content,
        sop_instance_uid=sop_uid,
        model=" ".join(filter(None, (name, version))),
        model_hash=model,
        settings_hash=settings,
        probability=probability,
        threshold=threshold,
        committed=committed or "",
        run=run or "",
        decisions=load_decisions(decisions),
    )


_FROM = "FROM scores s LEFT JOIN models m ON m.hash = s.model LEFT JOIN runs r ON r.id = s.run"
_SCORES = (
    "SELECT s.content_hash, s.sop_uid, m.name, m.version, s.model, s.settings, s.probability, m.threshold, s.committed,"
    f" r.name, s.decisions {_FROM}"
)
_WIDTH = 11
