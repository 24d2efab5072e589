"""Schema 5: which unreadable files were reported, what each run was scored with and how fast, scores that stay, truth.

files.record         also holds sex, age, manufacturer, model and station; a record of before has none of them
scores.distance      squared Mahalanobis distance of the image's features; NULL where the model has no statistics
reported_unreadable  one row a file or folder that a run reported as unreadable: that is news once
runs                 also the model and settings of a run, and how many images it scored in how many seconds; NULL for
                     runs of before
models               name, version and threshold of each model that gave scores
kept                 studies of the run that was begun last that keep the score of an earlier model or settings
copy_digests         one row a content and kind of digest: copies of one instance are read once, not in every run
truth_files          one row a file that was added; `removed` is set once it is out of use, and the row stays
truth_lines          one row a line of it: what it says of a study. said: in the label column, NULL where the file has
                     none. readers: what its reader columns say, by comma. stratum, probability: of a drawn sample
settled              one row: what the tables of the last run depend on, '' as soon as a row of files, scores, failures
                     or kept changes
forgotten            one row a study that was forgotten, by its key
runs.removed         NULL while the run's folder should be there; what `prune` noted of the run when it removed it;
                     '' for runs of before, whose folders nobody may miss
"""

from __future__ import annotations

import sqlite3

from mura_batch.records import UNREADABLE

_CODES = ", ".join(f"'{reason.value}'" for reason in sorted(UNREADABLE))
STATEMENTS = (
    "ALTER TABLE scores ADD COLUMN distance REAL",
    """CREATE TABLE reported_unreadable (
      path BLOB PRIMARY KEY, root INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
      reason TEXT NOT NULL, run INTEGER NOT NULL) WITHOUT ROWID""",
    f"""INSERT OR REPLACE INTO reported_unreadable
      SELECT path, root, size, mtime_ns, reason, run FROM (
        SELECT path, root, size, mtime_ns, run, json_extract(record, '$.reason') AS reason FROM files
        WHERE NOT is_instance
        UNION ALL SELECT path, root, size, mtime_ns, run, json_extract(set_aside, '$.reason') FROM files
        WHERE set_aside IS NOT NULL
        UNION ALL SELECT f.path, f.root, f.size, f.mtime_ns, x.run, x.reason FROM failures x
        JOIN files f ON f.path = x.path)
      WHERE run != 0 AND reason IN ({_CODES})""",
    "ALTER TABLE runs ADD COLUMN model TEXT",
    "ALTER TABLE runs ADD COLUMN settings TEXT",
    "ALTER TABLE runs ADD COLUMN images INTEGER",
    "ALTER TABLE runs ADD COLUMN seconds REAL",
    """CREATE TABLE models (
      hash TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, threshold REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE kept (
      study_uid TEXT PRIMARY KEY, model TEXT NOT NULL, settings TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE copy_digests (
      content_hash TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL,
      PRIMARY KEY (content_hash, kind)) WITHOUT ROWID""",
    """CREATE TABLE truth_files (
      id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, sha256 TEXT NOT NULL, kind TEXT NOT NULL,
      reader TEXT NOT NULL, named_by TEXT NOT NULL, level TEXT NOT NULL, readers TEXT NOT NULL, drawn TEXT NOT NULL,
      unread INTEGER NOT NULL, added TEXT NOT NULL, removed TEXT)""",
    """CREATE TABLE truth_lines (
      file INTEGER NOT NULL, line INTEGER NOT NULL, study TEXT NOT NULL, region TEXT NOT NULL, side TEXT NOT NULL,
      said TEXT, readers TEXT NOT NULL, stratum TEXT, probability REAL, checksum INTEGER NOT NULL,
      PRIMARY KEY (file, line)) WITHOUT ROWID""",
    "CREATE INDEX truth_lines_by_study ON truth_lines (study)",
    "CREATE TABLE settled (basis TEXT NOT NULL, files TEXT NOT NULL)",
    "INSERT INTO settled VALUES ('', '')",
    *(
        f"CREATE TRIGGER settled_{table}_{change} AFTER {change} ON {table}"
        " BEGIN UPDATE settled SET basis = '' WHERE basis != ''; END"
        for table in ("files", "scores", "failures", "kept")
        for change in ("insert", "update", "delete")
    ),
    "CREATE TABLE forgotten (study_key TEXT NOT NULL, at TEXT NOT NULL)",
    "ALTER TABLE runs ADD COLUMN removed TEXT",
    "UPDATE runs SET removed = '' WHERE published IS NOT NULL",
)


def from_schema_4(db: sqlite3.Connection) -> None:
    for statement in STATEMENTS:
        db.execute(statement)
