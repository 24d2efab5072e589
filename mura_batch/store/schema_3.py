"""Schema 3: its tables, and what makes it of schema 2. History: a later schema is a step of its own, not a change here.

    runs      one row a run that was begun; `published` is set once its folder has its name
    files     one row a path: its stat, what its header says, and its content hash where that is known
    present   the files of the run that was begun last, in the order of their studies
    scores    one row a (content, model, settings): never deleted, never overwritten by another value
    failures  one row a path whose pixels could not be read: a broken file is not decoded every night

`run` in files, scores and failures is the run that reported the row first; 0 where no published run has reported it.
`checksum` covers what the row says and is checked whenever the row is read. `root` is a number for the studies folder;
0 where it is not known yet.
"""

from __future__ import annotations

import json
import sqlite3

from mura_batch.store.checksum import failure_checksum, record_checksum, score_checksum

TABLES = (
    "CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, published TEXT)",
    """CREATE TABLE files (
      id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
      ctime_ns INTEGER, root INTEGER NOT NULL, intake TEXT NOT NULL, is_instance INTEGER NOT NULL,
      study_uid TEXT NOT NULL, sop_uid TEXT NOT NULL, patient_key TEXT NOT NULL, content_hash TEXT, set_aside TEXT,
      run INTEGER NOT NULL, record TEXT NOT NULL, checksum INTEGER NOT NULL)""",
    """CREATE TABLE present (
      study_uid TEXT NOT NULL, path BLOB NOT NULL, file INTEGER NOT NULL,
      PRIMARY KEY (study_uid, path)) WITHOUT ROWID""",
    """CREATE TABLE scores (
      content_hash TEXT NOT NULL, model TEXT NOT NULL, settings TEXT NOT NULL, sop_uid TEXT NOT NULL,
      probability REAL NOT NULL, decisions TEXT NOT NULL, run INTEGER NOT NULL, checksum INTEGER NOT NULL,
      pack INTEGER, pack_offset INTEGER, picture_bytes INTEGER, picture_checksum INTEGER,
      PRIMARY KEY (content_hash, model, settings))""",
    """CREATE TABLE failures (
      path BLOB PRIMARY KEY, settings TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, stage TEXT NOT NULL,
      run INTEGER NOT NULL, checksum INTEGER NOT NULL)""",
    """CREATE VIEW present_files AS
      SELECT present.study_uid, f.path, f.size, f.mtime_ns, f.ctime_ns, f.is_instance, f.sop_uid, f.patient_key,
        f.content_hash, f.set_aside, f.record, f.checksum
      FROM present CROSS JOIN files f ON f.id = present.file""",
    "CREATE INDEX scores_by_sop ON scores (sop_uid)",
    # What no published run has reported: next to nothing, unless a run was killed.
    "CREATE INDEX scores_unreported ON scores (run) WHERE run = 0",
    "CREATE INDEX files_unreported ON files (run) WHERE run = 0",
)


def from_schema_2(db: sqlite3.Connection) -> None:
    """The next run adds the change time and the studies folder of each file that it sees."""
    db.create_function("without_source", 1, _without_source, deterministic=True)
    for function in (record_checksum, score_checksum, failure_checksum):
        db.create_function(function.__name__, -1, function, deterministic=True)
    for statement in ("DROP VIEW met_files", "DROP TABLE met", "DROP INDEX scores_by_sop"):
        db.execute(statement)
    for table in _COPIED:
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in (*TABLES, *_COPIED.values(), *_NEVER_TWICE):
        db.execute(statement)
    for table in _COPIED:
        db.execute(f"DROP TABLE old_{table}")


def _without_source(record: str) -> str:
    """The columns have what `source` held."""
    values = json.loads(record)
    del values["source"]
    return json.dumps(values, separators=(",", ":"))


_COPIED = {
    "runs": "INSERT INTO runs SELECT id, name, finished FROM old_runs",
    "files": """INSERT INTO files SELECT id, path, size, mtime_ns, NULL, 0, intake, is_instance, study_uid, sop_uid,
      patient_key, content_hash, NULL, read_in, record, record_checksum(path, study_uid, sop_uid, record) FROM
      (SELECT id, path, size, mtime_ns, intake, is_instance, study_uid, sop_uid, patient_key, content_hash, read_in,
        without_source(record) AS record FROM old_files)""",
    "scores": """INSERT INTO scores SELECT content_hash, model, settings, sop_uid, probability, decisions, run,
      score_checksum(content_hash, model, settings, sop_uid, probability, decisions), NULL, NULL, NULL, NULL
      FROM old_scores""",
    "failures": """INSERT INTO failures SELECT path, settings, reason, detail, stage, run,
      failure_checksum(path, settings, reason, detail, stage) FROM old_failures""",
}
# Rows of runs may have been deleted: their numbers stand in the other tables and must not be given again.
_NEVER_TWICE = (
    "DELETE FROM sqlite_sequence WHERE name = 'runs'",
    """INSERT INTO sqlite_sequence SELECT 'runs', max((SELECT coalesce(max(id), 0) FROM runs),
      (SELECT coalesce(max(run), 0) FROM scores), (SELECT coalesce(max(run), 0) FROM files),
      (SELECT coalesce(max(run), 0) FROM failures))""",
)
