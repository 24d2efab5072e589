"""Truth files that were added: their labels are compared with every later run. What is removed stays as history; only
`forget` deletes, where a patient asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from mura_batch.agreement.truth_file import Said, Sampled, Truth, TruthFile, TruthKind, TruthLine
from mura_batch.store.checksum import truth_checksum
from mura_batch.store.database import Database, Row
from mura_batch.store.reading import reading
from mura_batch.store.records_json import DamagedRowError


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A truth file of the ledger. number: by which it is removed. added, removed: UTC, ISO 8601; removed is '' where
    it is in use. level: 'study', 'region' or 'side'. lines, labels: how many there are in the ledger."""

    number: int
    name: str
    sha256: str
    kind: str
    reader: str
    study_named_by: str
    level: str
    readers: tuple[str, ...]
    added: str
    removed: str
    lines: int
    labels: int


class StoredTruth:
    """The truth files of a ledger."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, file: TruthFile, now: str) -> int | None:
        """Its number; None where the same content was added before, of the same kind and reader, and not removed. now:
        UTC, ISO 8601."""
        with self._db.writing():
            same = "SELECT id FROM truth_files WHERE sha256 = ? AND kind = ? AND reader = ? AND removed IS NULL"
            if self._db.execute(same, (file.sha256, file.kind, file.reader)).fetchone() is not None:
                return None
            values = (file.name, file.sha256, file.kind, file.reader, file.by, file.level, json.dumps(file.readers),
                      json.dumps(file.drawn), file.unread, now)  # fmt: skip
            number = self._db.execute(_ADD_FILE, values).lastrowid or 0
            self._db.connection.executemany(_ADD_LINE, ((number, *_values(line)) for line in file.lines))
        return number

    def files(self) -> list[StoredFile]:
        """All that were ever added, in that order."""
        return [StoredFile(*_with_readers(row)) for row in self._db.rows(_LIST)]

    def remove(self, number: int, now: str) -> bool:
        """Takes the file out of use from now on; whether there was one in use. now: UTC, ISO 8601."""
        with self._db.writing():
            done = self._db.execute(
                "UPDATE truth_files SET removed = ? WHERE id = ? AND removed IS NULL", (now, number)
            )
        return done.rowcount > 0

    def truth(self) -> Truth | None:
        """The files in use with their lines, None where there is none. Raises LedgerError where a line is not as it was
        written."""
        files = {row[0]: row[1:] for row in self._db.rows(_FILES)}
        lines = {n: tuple(_line(row) for row in of) for n, of in groupby(self._db.rows(_LINES), key=itemgetter(0))}
        return Truth(tuple(_file(row, lines.get(n, ())) for n, row in files.items()), is_stored=True) if files else None

    def forget(self, study_uids: Sequence[str], accessions: Sequence[str]) -> int:
        """Deletes the lines about these studies, also those of removed files; how many there were. accessions: of these
        studies and of no other."""
        names = [("study_uid", uid) for uid in study_uids] + [("accession", number) for number in accessions]
        with self._db.writing():
            return sum(self._db.execute(_FORGET, name).rowcount for name in names)


def stored_truth(out: Path) -> Truth | None:
    """For a report that is rendered later, beside a run that may be writing. None where OUT holds no ledger of this
    version or no truth. Raises LedgerError."""
    with _reading(out) as stored:
        return stored.truth() if stored is not None else None


def stored_files(out: Path) -> list[StoredFile]:
    """As StoredTruth.files; none where OUT holds no ledger of this version. Raises LedgerError."""
    with _reading(out) as stored:
        return stored.files() if stored is not None else []


@contextmanager
def _reading(out: Path) -> Iterator[StoredTruth | None]:
    with reading(out) as database:
        yield StoredTruth(database) if database is not None else None


def _with_readers(row: Row) -> Row:
    return (*row[:7], tuple(json.loads(row[7])), *row[8:])


def _values(line: TruthLine) -> tuple[Any, ...]:
    sampled = line.sampled
    said = None if line.said is None else line.said.value
    says = (line.study, line.region, str(line.side), said, ",".join(line.readers))
    drawn = (sampled.stratum, sampled.probability) if sampled is not None else (None, None)
    return (line.number, *says, *drawn, truth_checksum(*says, *drawn))


def _line(row: tuple[Any, ...]) -> TruthLine:
    _, number, study, region, side, said, readers, stratum, probability, expected = row
    if truth_checksum(study, region, side, said, readers, stratum, probability) != expected:
        raise DamagedRowError("a truth label", study)
    return TruthLine(
        number, study, region, side, None if said is None else Said(said),
        tuple(Said(word) for word in readers.split(",") if word),
        None if stratum is None else Sampled(stratum, probability),
    )  # fmt: skip


def _file(row: tuple[Any, ...], lines: tuple[TruthLine, ...]) -> TruthFile:
    name, sha256, by, kind, reader, readers, drawn, unread, added = row
    return TruthFile(
        name, sha256, by, TruthKind(kind), lines, reader, tuple(json.loads(readers)),
        tuple((stratum, probability) for stratum, probability in json.loads(drawn)), unread, added,
    )  # fmt: skip


_ADD_FILE = (
    "INSERT INTO truth_files (name, sha256, kind, reader, named_by, level, readers, drawn, unread, added)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_LINE = "INSERT INTO truth_lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LIST = (
    "SELECT f.id, name, sha256, kind, reader, named_by, level, f.readers, added, coalesce(removed, ''), count(l.line),"
    " coalesce(sum(coalesce(l.said, l.readers) GLOB '*[01]*'), 0)"
    " FROM truth_files f LEFT JOIN truth_lines l ON l.file = f.id GROUP BY f.id ORDER BY f.id"
)
_FILES = (
    "SELECT id, name, sha256, named_by, kind, reader, readers, drawn, unread, added FROM truth_files"
    " WHERE removed IS NULL ORDER BY id"
)
_LINES = (
    "SELECT l.* FROM truth_lines l JOIN truth_files f ON f.id = l.file WHERE f.removed IS NULL ORDER BY l.file, l.line"
)
_FORGET = "DELETE FROM truth_lines WHERE file IN (SELECT id FROM truth_files WHERE named_by = ?) AND study = ?"
