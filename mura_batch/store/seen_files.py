"""Files that runs have seen: their stat, their headers, their content hashes, and conflicts between them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import groupby
from operator import itemgetter
from typing import Any

from mura_batch.records import Instance, MissingStudy, Skipped, SourceFile
from mura_batch.store.checksum import record_checksum
from mura_batch.store.database import Database, Row
from mura_batch.store.records_json import (
    RECORD_COLUMNS,
    dump_record,
    dump_skip,
    load_instance,
    load_skip,
    load_skipped,
)
from mura_batch.store.runs import Runs
from mura_batch.store.settled import Settled


class Recall(Enum):
    """What the ledger has of a file that discovery found."""

    KNOWN = "known"  # same size, times and intake settings: its header need not be read
    TOUCHED = "touched"  # only its change time is another: the content decides
    NEW = "new"  # unknown, changed, or judged under other settings


class SeenFiles:
    def __init__(self, database: Database, runs: Runs, settled: Settled) -> None:
        self._db, self._runs, self._settled = database, runs, settled
        self._known: dict[bytes, Row | None] = {}  # path -> id, size, mtime_ns, ctime_ns, root, intake; None: no row
        self._met = bytearray()  # a bit for each row of `files`: 1 where the run has met the file
        self._met_by = -1  # the number of that run

    @contextmanager
    def intake(self, sources: Iterable[SourceFile] = (), *, hold: bool = False) -> Iterator[None]:
        """Header rows written inside are committed together: a crash here costs a header scan, no score. sources: what
        `recall` will be asked of, looked up together, in a third of the time. hold: the caller ends the last one with
        `note_present`, without which no other method knows what this run met."""
        if self._met_by != self._runs.current:
            self._met, self._met_by = bytearray(), self._runs.current
        with self._db.writing():
            self._known = self._look_up([os.fsencode(source.path) for source in sources])
            yield
        self._known = {}
        if not hold:
            self.note_present()

    def _look_up(self, paths: list[bytes]) -> dict[bytes, Row | None]:
        marks = ",".join("?" * len(paths))
        rows = self._db.execute(
            f"SELECT path, id, size, mtime_ns, ctime_ns, root, intake FROM files WHERE path IN ({marks})", paths
        )
        return {**dict.fromkeys(paths), **{row[0]: row[1:] for row in rows}}

    def _meet(self, file: int) -> None:
        byte = file >> 3
        if byte >= len(self._met):
            self._met.extend(bytes(byte + 4096 - len(self._met)))
        self._met[byte] |= 1 << (file & 7)

    @property
    def digest(self) -> str:
        """Names the set of files that this run has met."""
        return hashlib.sha256(self._met.rstrip(b"\0")).hexdigest()

    def note_present(self) -> None:
        """What the run has met is from here on what `present` holds. Written in its order, in which neighbours share a
        page; and not at all where it is there already."""
        if self._settled.has_files(self.digest):
            return
        met = self._met
        self._db.connection.create_function("is_met", 1, lambda file: met[file >> 3] >> (file & 7) & 1)
        with self._db.writing():
            self._settled.forget()
            self._db.execute("DELETE FROM present")
            self._db.execute(
                "INSERT INTO present SELECT study_uid, path, id FROM files WHERE id < ? AND is_met(id)"
                " ORDER BY study_uid, path",
                (len(met) << 3,),
            )

    def recall(self, source: SourceFile, intake: str) -> Recall:
        """A KNOWN file is noted as present in this run. A night without news writes a short row a file, not its record.
        A file whose change time is not recorded yet is KNOWN, and it is recorded now."""
        path = os.fsencode(source.path)
        row = self._known[path] if path in self._known else self._look_up([path])[path]
        if row is None:
            return Recall.NEW
        file, size, mtime_ns, ctime_ns, root, judged_under = row
        if size != source.size or mtime_ns != source.mtime_ns or judged_under != intake:
            return Recall.NEW
        if ctime_ns != source.ctime_ns and ctime_ns is not None:
            return Recall.TOUCHED
        if ctime_ns is None or root != self._runs.root:
            self._note_seen(file, source)
        self._meet(file)
        return Recall.KNOWN

    def is_as_read(self, source: SourceFile) -> bool:
        """Whether an earlier run read the file with this size and these times, under whatever settings."""
        row = self._db.execute(
            "SELECT 1 FROM files WHERE path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ? AND intake != ''",
            (os.fsencode(source.path), source.size, source.mtime_ns, source.ctime_ns),
        ).fetchone()
        return row is not None

    def put_touched(self, source: SourceFile) -> None:
        """The file has the content that it had: only its change time is another."""
        path = os.fsencode(source.path)
        (file,) = self._db.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
        self._note_seen(file, source)
        self._meet(file)

    def _note_seen(self, file: int, source: SourceFile) -> None:
        self._db.execute(
            "UPDATE files SET ctime_ns = ?, root = ? WHERE id = ?",
            (source.ctime_ns, self._runs.root, file),
        )

    def put_header(self, record: Instance | Skipped, intake: str) -> None:
        """intake: hash of the settings under which the header was judged; '' for a record not to be recalled.

        Of a file whose stat is as it was, the content hash and the failure are kept: only the settings are other ones.
        What is judged as before, of the same size and time, is no news."""
        source, path = record.source, os.fsencode(record.source.path)
        text = dump_record(record)
        file, run, content = None, self._runs.current, None
        if (old := self._old_row(path)) is not None:
            file, size, mtime_ns, ctime_ns, old_run, old_text, old_content, *others = old
            same_times = (size, mtime_ns) == (source.size, source.mtime_ns)
            same = same_times and old_text == text
            if same and (ctime_ns, *others) == (source.ctime_ns, self._runs.root, intake, None):
                self._meet(file)  # the row would be the same
                return
            untouched = same_times and ctime_ns in {None, source.ctime_ns}
            run = old_run if same else run
            content = old_content if untouched else None
            if not untouched:
                self._forget_failure(path, same_times=same_times)
        patient = record.patient_key if isinstance(record, Instance) else ""
        sop_uid, is_instance = record.sop_instance_uid, isinstance(record, Instance)
        written = self._db.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)",
            (file, path, source.size, source.mtime_ns, source.ctime_ns, self._runs.root, intake, is_instance,
             record.study_uid, sop_uid, patient, content, run, text,
             record_checksum(path, record.study_uid, sop_uid, text)),
        )  # fmt: skip
        self._meet(written.lastrowid or 0)

    def _old_row(self, path: bytes) -> Row | None:
        if self._known.get(path, ()) is None:
            return None
        row: Row | None = self._db.execute(
            "SELECT id, size, mtime_ns, ctime_ns, run, record, content_hash, root, intake, set_aside FROM files"
            " WHERE path = ?",
            (path,),
        ).fetchone()
        return row

    def _forget_failure(self, path: bytes, *, same_times: bool) -> None:
        """The file is decoded again. Where only its change time is another, the same failure is no news."""
        if same_times:
            self._db.execute("UPDATE failures SET settings = '' WHERE path = ?", (path,))
        else:
            self._db.execute("DELETE FROM failures WHERE path = ?", (path,))

    def identities(self) -> Iterator[tuple[str, str]]:
        """(Study Instance UID, accession number) of each radiograph of this run."""
        for row in self._db.rows(f"SELECT {RECORD_COLUMNS} FROM present_files f WHERE is_instance"):
            instance = load_instance(row)
            yield instance.study_uid, instance.accession

    def skipped_before_decoding(self) -> Iterator[Skipped]:
        """What this run's header and study stages left out."""
        rows = self._db.rows(
            f"SELECT f.set_aside, {RECORD_COLUMNS} FROM present_files f WHERE NOT is_instance OR set_aside IS NOT NULL"
        )
        for set_aside, *record in rows:
            yield load_skipped(tuple(record)) if set_aside is None else load_skip(set_aside, record[0])

    def missing_studies(self) -> Iterator[MissingStudy]:
        """Studies of this run's studies folder that earlier runs saw and this run does not, in the order of their
        UIDs."""
        rows = self._db.rows(
            f"SELECT f.is_instance, {RECORD_COLUMNS} FROM files f WHERE f.root = ? AND f.study_uid != ''"
            " AND NOT EXISTS (SELECT 1 FROM present p WHERE p.study_uid = f.study_uid) ORDER BY f.study_uid, f.path",
            (self._runs.root,),
        )
        for study_uid, group in groupby(rows, key=itemgetter(1)):
            files = list(group)
            known = next((load_instance(row[1:]) for row in files if row[0]), None)
            yield MissingStudy(
                study_uid, known.accession if known else "", known.study_date if known else "", len(files)
            )

    # Conflicts of identity

    def same_sop(self) -> Iterator[list[Instance]]:
        """Instances of this run that share a SOP Instance UID with another path, a list for each UID."""
        yield from self._groups(
            f"SELECT {RECORD_COLUMNS}, f.sop_uid FROM present_files f WHERE is_instance AND sop_uid IN"
            " (SELECT sop_uid FROM present_files WHERE is_instance GROUP BY sop_uid HAVING count(*) > 1)"
            " ORDER BY f.sop_uid, f.path"
        )

    def studies_of_two_patients(self) -> Iterator[list[Instance]]:
        """Instances of this run whose study stands under more than one patient, a list for each study."""
        yield from self._groups(
            f"SELECT {RECORD_COLUMNS}, f.study_uid FROM present_files f WHERE is_instance AND study_uid IN"
            " (SELECT study_uid FROM present_files WHERE is_instance AND patient_key != '' GROUP BY study_uid"
            " HAVING count(DISTINCT patient_key) > 1) ORDER BY f.study_uid, f.path"
        )

    def _groups(self, query: str) -> Iterator[list[Instance]]:
        """query: RECORD_COLUMNS, then what makes a group, by which its rows are ordered."""
        for _, group in groupby(self._db.rows(query), key=itemgetter(-1)):
            yield [load_instance(row[:-1]) for row in group]

    def clear_set_aside(self) -> None:
        """Before the conflicts of this run are settled: those of earlier runs are no longer known to be any."""
        with self._db.writing():
            self._db.execute("UPDATE files SET set_aside = NULL WHERE set_aside IS NOT NULL")

    def set_aside(self, skips: Iterable[Skipped]) -> None:
        self._update("set_aside", [(dump_skip(skip), os.fsencode(skip.source.path)) for skip in skips])

    # Content hashes

    def content_hash(self, source: SourceFile) -> str | None:
        row = self._db.first("SELECT content_hash FROM files WHERE path = ?", (os.fsencode(source.path),))
        return row[0] if row else None

    def put_content_hashes(self, hashes: Iterable[tuple[Instance, str]]) -> None:
        self._update("content_hash", [(content, os.fsencode(i.source.path)) for i, content in hashes])

    def is_scored(self, content_hash: str) -> bool:
        """By whatever model."""
        return self._db.first("SELECT 1 FROM scores WHERE content_hash = ?", (content_hash,)) is not None

    def not_hashed_but_scored(self) -> Iterator[Instance]:
        """Instances whose SOP Instance UID was scored before, while this path's content is not known yet: files that
        were moved or written again. Hashing them is far cheaper than decoding them again."""
        rows = self._db.rows(
            f"SELECT {RECORD_COLUMNS} FROM present_files f WHERE is_instance AND set_aside IS NULL AND content_hash IS"
            " NULL AND EXISTS (SELECT 1 FROM scores s WHERE s.sop_uid = f.sop_uid)"
        )
        yield from map(load_instance, rows)

    def _update(self, column: str, values: list[tuple[Any, bytes]]) -> None:
        """values: (value of the column, path)."""
        with self._db.writing():
            self._db.connection.executemany(f"UPDATE files SET {column} = ? WHERE path = ?", values)
