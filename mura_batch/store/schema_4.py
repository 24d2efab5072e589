"""Schema 4: when a score was committed first, the reports that were made as DICOM objects, and what was sent where.

scores.committed  UTC, ISO 8601; NULL for a score of before, of which only the run is known
first_times       when a fact that has no time of its own was met first
dicom_reports     one row a report: which one it followed, so that it is the same whenever it is made again
sends             one row an object and destination: what became of it
"""

from __future__ import annotations

import sqlite3

STATEMENTS = (
    "ALTER TABLE scores ADD COLUMN committed TEXT",
    "CREATE TABLE first_times (fact TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE dicom_reports (
      fact TEXT PRIMARY KEY, row_key TEXT NOT NULL, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL,
      sop_class_uid TEXT NOT NULL, sop_uid TEXT NOT NULL, committed TEXT NOT NULL, predecessor TEXT NOT NULL)""",
    "CREATE INDEX dicom_reports_by_row ON dicom_reports (row_key, committed)",
    """CREATE TABLE sends (
      destination TEXT NOT NULL, sop_uid TEXT NOT NULL, sha256 TEXT NOT NULL, status TEXT NOT NULL,
      detail TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (destination, sop_uid)) WITHOUT ROWID""",
)


def from_schema_3(db: sqlite3.Connection) -> None:
    for statement in STATEMENTS:
        db.execute(statement)
