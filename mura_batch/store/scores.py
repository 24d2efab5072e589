"""Scores and failures: what is still to be scored, and committing what was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from mura_batch.records import Instance, InstanceScore, Reason, Skipped
from mura_batch.store.checksum import failure_checksum, score_checksum
from mura_batch.store.database import Database
from mura_batch.store.key import Key
from mura_batch.store.pictures import PictureStore, Place
from mura_batch.store.records_json import RECORD_COLUMNS, dump_record, load_instance
from mura_batch.store.runs import Runs

# A worker that died or ran out of time may have met a busy machine, a file that could not be opened may be readable
# tomorrow: such a file is tried again in the next run.
TRANSIENT = (
    Reason.WORKER_CRASHED,
    Reason.WORKER_TIMEOUT,
    Reason.WORKER_MEMORY,
    Reason.CHANGED_WHILE_READ,
    Reason.UNREADABLE_FILE,
)
Scored = tuple[InstanceScore, bytes]  # a score and its picture, which may be empty


class Scores:
    def __init__(self, database: Database, runs: Runs, pictures: PictureStore) -> None:
        self._db, self._runs, self._pictures = database, runs, pictures
        self.is_time_up: Callable[[], bool] = lambda: False  # asked between studies

    def forget_transient(self) -> None:
        """A transient failure of an earlier run is tried again."""
        with self._db.writing():
            self._db.connection.executemany("DELETE FROM failures WHERE reason = ?", [(r.value,) for r in TRANSIENT])

    def pending(self, key: Key) -> Iterator[Instance]:
        """Instances to decode and score, in the order of their studies."""
        rows = self._db.rows(f"SELECT {RECORD_COLUMNS} {PENDING} ORDER BY f.study_uid, f.path", key.values)
        yield from map(load_instance, rows)

    def are_none(self) -> bool:
        """Whether nothing was ever scored."""
        return self._db.first("SELECT 1 FROM scores LIMIT 1") is None

    def due(self, key: Key) -> Iterator[Instance]:
        """What is pending until the time is up: a study that was begun is scored to its end."""
        study_uid = None
        for instance in self.pending(key):
            if instance.study_uid != study_uid and self.is_time_up():
                return
            study_uid = instance.study_uid
            yield instance

    def count_pending_studies(self, key: Key) -> int:
        row = self._db.first(f"SELECT count(DISTINCT f.study_uid) {PENDING}", key.values)
        return int(row[0]) if row else 0

    def count_pending(self, key: Key) -> int:
        row = self._db.first(f"SELECT count(*) {PENDING}", key.values)
        return int(row[0]) if row else 0

    def commit(self, scored: Sequence[Scored], failed: Sequence[Skipped], key: Key) -> None:
        """All or nothing. The pictures are on the disk before the scores that point at them; the content hash of each
        scored file is remembered. Raises OutputError."""
        if not scored and not failed:
            return
        places = self._pictures.append(self._runs.current, [picture for _, picture in scored])
        with self._db.writing():
            self._put_scores([score for score, _ in scored], places, key)
            self._put_failures(failed, key)

    def _put_scores(self, scores: Sequence[InstanceScore], places: Sequence[Place], key: Key) -> None:
        now = datetime.now(UTC).isoformat()
        self._db.connection.executemany(
            "INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*self._row(score, place, key), now, score.distance) for score, place in zip(scores, places, strict=True)],
        )
        self._db.connection.executemany(
            "UPDATE files SET content_hash = ? WHERE path = ?",
            [(s.decoded.content_hash, os.fsencode(s.instance.source.path)) for s in scores],
        )

    def _row(self, score: InstanceScore, place: Place, key: Key) -> tuple[object, ...]:
        says = (score.decoded.content_hash, key.model, key.settings, score.instance.sop_instance_uid,
                score.probability, dump_record(score.decoded.decisions))  # fmt: skip
        checksum = score_checksum(*says, score.distance)
        return (*says, self._runs.current, checksum, place.pack, place.offset, place.size, place.checksum)

    def _put_failures(self, failed: Sequence[Skipped], key: Key) -> None:
        rows = [(os.fsencode(s.source.path), key.settings, s.reason.value, s.detail, s.stage.value) for s in failed]
        self._db.connection.executemany(
            # Known to fail in this way: no news.
            "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
            " run = CASE WHEN reason = excluded.reason THEN run ELSE excluded.run END, settings = excluded.settings,"
            " reason = excluded.reason, detail = excluded.detail, stage = excluded.stage, checksum = excluded.checksum",
            [(*row, self._runs.current, failure_checksum(*row)) for row in rows],
        )


# Of key; the studies that keep an earlier score are not among them.
PENDING = (
    "FROM present_files f"
    " LEFT JOIN scores s ON s.content_hash = f.content_hash AND s.model = :model AND s.settings = :settings"
    " LEFT JOIN failures x ON x.path = f.path AND x.settings = :settings"
    " WHERE f.is_instance AND f.set_aside IS NULL AND s.content_hash IS NULL AND x.path IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.study_uid = f.study_uid)"
)
