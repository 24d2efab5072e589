"""What the ledger and the pictures hold of studies that are to be forgotten, and how it goes for good."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

from mura_batch.pseudonyms import Pseudonyms
from mura_batch.records import short_key
from mura_batch.store.database import Database
from mura_batch.store.pictures import PictureStore, Place


@dataclass(frozen=True, slots=True)
class Forgotten:
    """studies: Study Instance UIDs. accessions: of these studies and of no other. instances: SOP Instance UIDs. files:
    paths below the studies folder, with those that name no study and lie in a folder of these studies alone. contents:
    content hashes. runs: names of those whose tables have rows of them."""

    studies: tuple[str, ...]
    accessions: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


def joined(one: Forgotten | None, other: Forgotten) -> Forgotten:
    if one is None:
        return other
    parts = (sorted({*getattr(one, part.name), *getattr(other, part.name)}) for part in fields(Forgotten))
    return Forgotten(*map(tuple, parts))


class Forgetting:
    """Every method raises LedgerError."""

    def __init__(self, database: Database, pictures: PictureStore, names: Pseudonyms) -> None:
        self._db, self._pictures, self._names = database, pictures, names

    def begin(self, what: Forgotten) -> None:
        """Notes what is to go, until it has gone."""
        with self._db.writing():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_PENDING, json.dumps(asdict(what))))

    def pending(self) -> Forgotten | None:
        """What an attempt that was cut off has noted; None where the last one came to its end."""
        row = self._db.first("SELECT value FROM meta WHERE key = ?", (_PENDING,))
        return Forgotten(**{name: tuple(of) for name, of in json.loads(row[0]).items()}) if row else None

    def end(self) -> None:
        with self._db.writing():
            self._db.execute("DELETE FROM meta WHERE key = ?", (_PENDING,))

    def studies_of(self, patient_id: str) -> tuple[str, ...]:
        """Study Instance UIDs of the radiographs with this Patient ID, whoever issued it."""
        key = short_key(patient_id)
        rows = self._db.rows(
            "SELECT DISTINCT study_uid FROM files WHERE patient_key = ? OR patient_key LIKE ?", (key, f"{key}-%")
        )
        return tuple(uid for (uid,) in rows)

    def look_up(self, studies: Sequence[str]) -> Forgotten:
        """What the ledger has of them; studies alone where it knows none."""
        rows = [row for uid in studies for row in self._db.rows(_FILES, (uid,))]
        paths = {os.fsdecode(row[0]) for row in rows}
        accessions = {row[3] for row in rows if row[3]}
        shared = {a for a in accessions if any(uid not in studies for (uid,) in self._db.rows(_WHO_HAS, (a,)))}
        return Forgotten(
            studies=tuple(studies),
            accessions=tuple(sorted(accessions - shared)),
            instances=tuple(sorted({row[1] for row in rows if row[1]})),
            files=tuple(sorted(paths | self._beside(paths, studies))),
            contents=tuple(sorted({row[2] for row in rows if row[2]})),
        )

    def _beside(self, paths: Iterable[str], studies: Sequence[str]) -> set[str]:
        """Files without a study in folders that hold no other study: what an export wrote for these alone."""
        folders = {os.path.dirname(path) for path in paths} - {""}
        without, others = set[str](), set[str]()
        for name, uid in self._db.rows("SELECT path, study_uid FROM files"):
            path = os.fsdecode(name)
            if os.path.dirname(path) in folders and uid not in studies:
                (others if uid else without).add(path)
        taken = {os.path.dirname(path) for path in others}
        return {path for path in without if os.path.dirname(path) not in taken}

    def blank_pictures(self, what: Forgotten) -> int:
        """Overwrites the pictures with zeros; how many there were. Raises OutputError."""
        count = 0
        for condition, values in _scores_of(what):
            rows = list(self._db.rows(f"SELECT {_PLACE} FROM scores WHERE {condition} AND pack IS NOT NULL", values))
            for row in rows:
                self._pictures.blank(Place(*row))
            count += len(rows)
        return count

    def delete(self, what: Forgotten) -> int:
        """Deletes every row that names the studies, their files or their contents, and notes by key that it did; how
        many scores there were."""
        now, scores = datetime.now(UTC).isoformat(timespec="seconds"), 0
        with self._db.writing():
            for condition, values in _scores_of(what):
                scores += self._db.execute(f"DELETE FROM scores WHERE {condition}", values).rowcount
            for table, column, of in self._rows(what):
                self._db.connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(one,) for one in of])
            # Free pages hold the rows still: until they are erased the note stays, without a name.
            self._db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(asdict(_NOTHING)), _PENDING))
            self._db.connection.executemany(
                "INSERT INTO forgotten VALUES (?, ?)", [(self._names.study(uid), now) for uid in what.studies]
            )
        return scores

    def _rows(self, what: Forgotten) -> Iterable[tuple[str, str, Sequence[str | bytes]]]:
        """(table, column, values) of the rows that go."""
        paths = [os.fsencode(path) for path in what.files]
        reports = [r for uid in what.studies for r in self._db.rows(_REPORTS, (uid,))]
        yield "sends", "sop_uid", [*what.instances, *(sop for _, sop in reports)]
        yield "first_times", "fact", [fact for fact, _ in reports]
        yield "dicom_reports", "study_uid", what.studies
        yield "copy_digests", "content_hash", what.contents
        yield "kept", "study_uid", what.studies
        yield "present", "study_uid", what.studies
        for table in ("present", "files", "failures", "reported_unreadable"):
            yield table, "path", paths

    def erase_free_pages(self) -> None:
        """Deleted rows stay in a database's free pages, and in its log, until it is written anew."""
        self._db.rewrite()


_PENDING = "forgetting"  # key of the note in the table meta
_NOTHING = Forgotten(())


def _scores_of(what: Forgotten) -> Iterable[tuple[str, tuple[str]]]:
    yield from (("content_hash = ?", (content,)) for content in what.contents)
    yield from (("sop_uid = ?", (uid,)) for uid in what.instances)


_PLACE = "pack, pack_offset, picture_bytes, picture_checksum"
_FILES = "SELECT path, sop_uid, content_hash, json_extract(record, '$.accession') FROM files WHERE study_uid = ?"
_WHO_HAS = "SELECT DISTINCT study_uid FROM files WHERE json_extract(record, '$.accession') = ?"
_REPORTS = "SELECT fact, sop_uid FROM dicom_reports WHERE study_uid = ?"
