"""The ledger: one SQLite file (WAL) that remembers every file met and every score given. The only importer of sqlite3.

    files     one row a path: its stat and what its header told
    met       the files of the run that was begun last, in the order of their studies
    scores    one row a (content, model, settings): never deleted, never overwritten by another value
    failures  one row a path whose pixels could not be read, so that a broken file is not decoded every night
    runs      one row a run that was begun; `finished` is set by the run that ended well

Every commit is on the disk before the run goes on (synchronous=FULL): a crash loses nothing that was committed.
Memory stays flat: the rows are streamed, never listed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mura_batch.errors import LedgerError
from mura_batch.records import (
    Decoded,
    Instance,
    InstanceScore,
    Reason,
    Skipped,
    SourceFile,
    Stage,
    StudyFiles,
    skip_instance,
)
from mura_batch.store.records_json import dump_record, load_decisions, load_instance, load_skipped

SCHEMA = 2
_META = "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, name TEXT NOT NULL, finished TEXT);
CREATE TABLE IF NOT EXISTS files (
  id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  intake TEXT NOT NULL, is_instance INTEGER NOT NULL, study_uid TEXT NOT NULL, sop_uid TEXT NOT NULL,
  patient_key TEXT NOT NULL, content_hash TEXT, set_aside TEXT, read_in INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS met (
  study_uid TEXT NOT NULL, path BLOB NOT NULL, file INTEGER NOT NULL, PRIMARY KEY (study_uid, path)) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS met_files AS
  SELECT met.study_uid, met.path, f.is_instance, f.sop_uid, f.patient_key, f.content_hash, f.set_aside, f.record
  FROM met CROSS JOIN files f ON f.id = met.file;
CREATE TABLE IF NOT EXISTS scores (
  content_hash TEXT NOT NULL, model TEXT NOT NULL, settings TEXT NOT NULL, sop_uid TEXT NOT NULL,
  probability REAL NOT NULL, decisions TEXT NOT NULL, run INTEGER NOT NULL,
  PRIMARY KEY (content_hash, model, settings));
CREATE INDEX IF NOT EXISTS scores_by_sop ON scores (sop_uid);
CREATE TABLE IF NOT EXISTS failures (
  path BLOB PRIMARY KEY, settings TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, stage TEXT NOT NULL,
  run INTEGER NOT NULL);
"""
# A worker that died or ran out of time may have met a busy machine, a file that could not be opened may be mended:
# such a file is tried again in the next run.
_TRANSIENT = (
    Reason.WORKER_CRASHED,
    Reason.WORKER_TIMEOUT,
    Reason.WORKER_MEMORY,
    Reason.CHANGED_WHILE_READ,
    Reason.UNREADABLE_FILE,
)

Fate = InstanceScore | Skipped | tuple[Instance, Skipped]  # of one file: scored, not a radiograph, or lost


@dataclass(frozen=True, slots=True)
class Key:
    """What a score depends on besides the file's content: the model's hash and the settings' hash."""

    model: str
    settings: str


class Ledger:
    """`with Ledger(path) as ledger`. One writer at a time: the caller holds the lock on OUT."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        with _explained(self._path):
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = self._connect()
            self._check_schema()
            self._db.executescript(_TABLES)
            self._forget_transient()
        self._run = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def begin_run(self, name: str) -> None:
        with self._writing():
            self._db.execute("DELETE FROM met")
            self._run = self._db.execute("INSERT INTO runs (name) VALUES (?)", (name,)).lastrowid or 0

    def finish_run(self, finished: str) -> None:
        """The scores of runs that did not end are this run's from now on, as their pictures are."""
        with self._writing():
            self._db.execute(
                "UPDATE scores SET run = :run WHERE run IN (SELECT id FROM runs WHERE finished IS NULL AND id != :run)",
                {"run": self._run},
            )
            self._db.execute("UPDATE runs SET finished = ? WHERE id = ?", (finished, self._run))

    # Intake

    @contextmanager
    def intake(self) -> Iterator[None]:
        """Header rows written inside are committed together: a crash here costs a header scan, no score."""
        with self._writing():
            yield

    def recall(self, source: SourceFile, intake: str) -> bool:
        """Marks the file as met in this run, if it is known with the same size, mtime and intake settings. A night on
        which nothing is new writes a short row a file, not its record."""
        path = os.fsencode(source.path)
        known = self._db.execute(
            "SELECT id, study_uid, set_aside FROM files WHERE path = ? AND size = ? AND mtime_ns = ? AND intake = ?",
            (path, source.size, source.mtime_ns, intake),
        ).fetchone()
        if known is None:
            return False
        file, study_uid, set_aside = known
        if set_aside is not None:
            self._db.execute("UPDATE files SET set_aside = NULL WHERE id = ?", (file,))
        self._db.execute(_MEET, (study_uid, path, file))
        return True

    def put_header(self, record: Instance | Skipped, intake: str) -> None:
        """intake: hash of the settings under which the header was judged; '' for a record not to be recalled."""
        path = os.fsencode(record.source.path)
        patient = record.patient_key if isinstance(record, Instance) else ""
        written = self._db.execute(
            "INSERT OR REPLACE INTO files VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?, ?)",
            (path, record.source.size, record.source.mtime_ns, intake, isinstance(record, Instance), record.study_uid,
             record.sop_instance_uid, patient, self._run, dump_record(record)),
        )  # fmt: skip
        self._db.execute(_MEET, (record.study_uid, path, written.lastrowid))
        self._db.execute("DELETE FROM failures WHERE path = ?", (path,))

    def identities(self) -> Iterator[tuple[str, str]]:
        """(Study Instance UID, accession number) of each radiograph of this run."""
        for (text,) in self._rows("SELECT record FROM met_files WHERE is_instance"):
            instance = load_instance(text)
            yield instance.study_uid, instance.accession

    # Conflicts of identity

    def same_sop(self) -> Iterator[list[Instance]]:
        """Instances of this run that share a SOP Instance UID with another path, a list for each UID."""
        rows = self._rows(
            "SELECT sop_uid, record FROM met_files WHERE is_instance AND sop_uid IN (SELECT sop_uid FROM met_files"
            " WHERE is_instance GROUP BY sop_uid HAVING count(*) > 1) ORDER BY sop_uid, path"
        )
        for _, group in groupby(rows, key=lambda row: row[0]):
            yield [load_instance(text) for _, text in group]

    def studies_of_two_patients(self) -> Iterator[list[Instance]]:
        """Instances of this run whose study stands under more than one patient, a list for each study."""
        rows = self._rows(
            "SELECT study_uid, record FROM met_files WHERE is_instance AND study_uid IN"
            " (SELECT study_uid FROM met_files WHERE is_instance AND patient_key != '' GROUP BY study_uid"
            " HAVING count(DISTINCT patient_key) > 1) ORDER BY study_uid, path"
        )
        for _, group in groupby(rows, key=lambda row: row[0]):
            yield [load_instance(text) for _, text in group]

    def content_hash(self, instance: Instance) -> str | None:
        row = self._db.execute(
            "SELECT content_hash FROM files WHERE path = ?", (os.fsencode(instance.source.path),)
        ).fetchone()
        return row[0] if row else None

    def put_content_hashes(self, hashes: Iterable[tuple[Instance, str]]) -> None:
        with self._writing():
            self._db.executemany(
                "UPDATE files SET content_hash = ? WHERE path = ?",
                [(content, os.fsencode(i.source.path)) for i, content in hashes],
            )

    def set_aside(self, skips: Iterable[Skipped]) -> None:
        with self._writing():
            self._db.executemany(
                "UPDATE files SET set_aside = ? WHERE path = ?",
                [(dump_record(skip), os.fsencode(skip.source.path)) for skip in skips],
            )

    # Scores

    def met_elsewhere(self, key: Key) -> Iterator[Instance]:
        """Instances whose SOP Instance UID was scored before, while this path's content is not known yet: moved or
        touched files. Hashing them is far cheaper than decoding them again."""
        rows = self._rows(
            "SELECT record FROM met_files f WHERE is_instance AND set_aside IS NULL AND content_hash IS NULL AND EXISTS"
            " (SELECT 1 FROM scores s WHERE s.sop_uid = f.sop_uid AND model = :model AND settings = :settings)",
            _of(key),
        )
        for (text,) in rows:
            yield load_instance(text)

    def pending(self, key: Key) -> Iterator[Instance]:
        """Instances to decode and score, in the order of their studies."""
        for (text,) in self._rows(f"SELECT record {_PENDING} ORDER BY f.study_uid, f.path", _of(key)):
            yield load_instance(text)

    def count_pending(self, key: Key) -> int:
        count: int = self._db.execute(f"SELECT count(*) {_PENDING}", _of(key)).fetchone()[0]
        return count

    def put_results(self, results: Iterable[InstanceScore | Skipped], key: Key) -> None:
        """Commits what became of some files, all or nothing. The content hash of each scored file is remembered."""
        told = list(results)
        scores = [result for result in told if isinstance(result, InstanceScore)]
        failures = [result for result in told if isinstance(result, Skipped)]
        if not told:
            return
        with self._writing():
            self._put_scores(scores, key)
            self._put_failures(failures, key)

    def _put_scores(self, scores: list[InstanceScore], key: Key) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(s.decoded.content_hash, key.model, key.settings, s.instance.sop_instance_uid, s.probability,
              dump_record(s.decoded.decisions), self._run) for s in scores],
        )  # fmt: skip
        self._db.executemany(
            "UPDATE files SET content_hash = ? WHERE path = ?",
            [(s.decoded.content_hash, os.fsencode(s.instance.source.path)) for s in scores],
        )

    def _put_failures(self, failures: list[Skipped], key: Key) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?)",
            [(os.fsencode(s.source.path), key.settings, s.reason, s.detail, s.stage, self._run) for s in failures],
        )

    # Results

    def studies(self, key: Key) -> Iterator[StudyFiles]:
        """Every study of this run with the fate of each of its files, ordered by study UID and path."""
        for study_uid, group in groupby(self._fates(_FATES_IN_STUDIES, key), key=lambda fate: fate[0]):
            yield _study_files(study_uid, [fate for _, fate in group])

    def skipped_without_study(self, key: Key) -> Iterator[Skipped]:
        """Files of this run that name no study."""
        for _, fate in self._fates(_FATES_ELSEWHERE, key):
            if isinstance(fate, Skipped):
                yield fate

    def run_that_scored(self, content_hash: str, key: Key) -> str | None:
        """The name of the run that gave this score, and has its pictures."""
        row = self._db.execute(
            "SELECT runs.name FROM scores JOIN runs ON runs.id = scores.run"
            " WHERE content_hash = ? AND model = ? AND settings = ?",
            (content_hash, key.model, key.settings),
        ).fetchone()
        return row[0] if row else None

    def is_new(self, skip: Skipped) -> bool:
        """Whether no finished run has told of the file as it is: what cron should tell about. A run that was
        killed told nobody."""
        told = self._db.execute(
            "SELECT 1 FROM files f LEFT JOIN failures x ON x.path = f.path JOIN runs r ON r.finished IS NOT NULL"
            " AND r.id >= max(f.read_in, coalesce(x.run, 0)) WHERE f.path = ? LIMIT 1",
            (os.fsencode(skip.source.path),),
        ).fetchone()
        return told is None

    def skipped_before_decoding(self) -> Iterator[Skipped]:
        """What this run's header and study stages left out."""
        rows = self._rows(
            "SELECT coalesce(set_aside, record) FROM met_files WHERE NOT is_instance OR set_aside IS NOT NULL"
        )
        for (text,) in rows:
            yield load_skipped(text)

    def _fates(self, query: str, key: Key) -> Iterator[tuple[str, Fate]]:
        rows = self._rows(query, _of(key))
        for study_uid, is_instance, record, set_aside, content, probability, decisions, run, *failure in rows:
            if not is_instance:
                yield study_uid, load_skipped(record)
                continue
            instance = load_instance(record)
            if set_aside is not None:
                yield study_uid, (instance, load_skipped(set_aside))
            elif probability is not None:
                decoded = Decoded(instance, content, load_decisions(decisions))
                yield study_uid, InstanceScore(decoded, probability, reused=run != self._run)
            elif failure[0] is not None:
                reason, detail, stage = failure
                yield study_uid, (instance, skip_instance(instance, Stage(stage), Reason(reason), detail))

    # Plumbing

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=30)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        return db

    def _rows(self, query: str, values: Mapping[str, str] | None = None) -> Iterator[tuple[Any, ...]]:
        """Streams rows on a connection of its own: a snapshot that this run's writes do not disturb."""
        with _explained(self._path), closing(self._connect()) as db:
            yield from db.execute(query, values or {})

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._db.in_transaction:  # inside intake()
            yield
            return
        with _explained(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _check_schema(self) -> None:
        self._db.execute(_META)
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
        (found,) = self._db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        if found != str(SCHEMA):
            raise LedgerError(
                f"{self._path} has ledger schema {found}, this version reads {SCHEMA}: "
                "use the version that wrote it, or another --out"
            )

    def _forget_transient(self) -> None:
        """A transient failure of an earlier run is tried again."""
        marks = ", ".join("?" * len(_TRANSIENT))
        self._db.execute(f"DELETE FROM failures WHERE reason IN ({marks})", [r.value for r in _TRANSIENT])  # noqa: S608


_MEET = "INSERT OR REPLACE INTO met VALUES (?, ?, ?)"
_PENDING = (
    "FROM met_files f"
    " LEFT JOIN scores s ON s.content_hash = f.content_hash AND s.model = :model AND s.settings = :settings"
    " LEFT JOIN failures x ON x.path = f.path AND x.settings = :settings"
    " WHERE f.is_instance AND f.set_aside IS NULL AND s.content_hash IS NULL AND x.path IS NULL"
)
_FATES = (
    "SELECT f.study_uid, f.is_instance, f.record, f.set_aside, f.content_hash, s.probability, s.decisions, s.run,"
    " x.reason, x.detail, x.stage FROM met_files f"
    " LEFT JOIN scores s ON s.content_hash = f.content_hash AND s.model = :model AND s.settings = :settings"
    " LEFT JOIN failures x ON x.path = f.path AND x.settings = :settings"
)
_FATES_IN_STUDIES = f"{_FATES} WHERE f.study_uid != '' ORDER BY f.study_uid, f.path"
_FATES_ELSEWHERE = f"{_FATES} WHERE f.study_uid = '' ORDER BY f.path"


def _of(key: Key) -> dict[str, str]:
    return {"model": key.model, "settings": key.settings}


def _study_files(study_uid: str, fates: list[Fate]) -> StudyFiles:
    return StudyFiles(
        study_uid=study_uid,
        scored=tuple(fate for fate in fates if isinstance(fate, InstanceScore)),
        failed=tuple(fate for fate in fates if isinstance(fate, tuple)),
        skipped=tuple(fate for fate in fates if isinstance(fate, Skipped)),
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LedgerError(
            f"the ledger {path} cannot be used ({error}): check the free space and the permissions of its folder"
        ) from error
    except sqlite3.DatabaseError as error:
        raise LedgerError(
            f"the ledger {path} is damaged ({error}): move it away to keep it, and run again to start a new one"
        ) from error
