"""Ledgers of other schemas, other programs and bad disks."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mura_batch.errors import LedgerError
from mura_batch.records import Instance, Sex, SourceFile
from mura_batch.store import migrations
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.migrations import SCHEMA, schema_of
from mura_batch.store.seen_files import Recall


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def key_of(path: Path) -> Key:
    ((model, settings),) = query(path, "SELECT DISTINCT model, settings FROM scores")
    return Key(str(model), str(settings))


def sources(path: Path, ctime_ns: int) -> list[tuple[SourceFile, str]]:
    """The files of a ledger as discovery finds them, and the intake settings under which they were judged."""
    return [
        (SourceFile(bytes(name).decode(), int(size), int(mtime), ctime_ns), str(intake))  # type: ignore[arg-type, call-overload]
        for name, size, mtime, intake in query(path, "SELECT path, size, mtime_ns, intake FROM files ORDER BY path")
    ]


@pytest.mark.parametrize("schema", [2, 4])
def test_an_old_ledger_holds_no_path_of_its_machine(schema: int) -> None:
    data = (Path(__file__).parent / "data" / f"ledger-schema-{schema}.sqlite").read_bytes()
    assert not any(word in data for word in (b"/home", b"/root", b"/tmp", b"/work"))


def test_a_ledger_of_schema_2_migrates_and_every_score_stays(old_ledger: Path) -> None:
    columns = "content_hash, model, settings, sop_uid, probability, decisions, run"
    before = query(old_ledger, f"SELECT {columns} FROM scores ORDER BY content_hash")
    with Ledger(old_ledger):
        pass
    assert schema_of(old_ledger) == SCHEMA
    assert query(old_ledger, f"SELECT {columns} FROM scores ORDER BY content_hash") == before
    assert len(before) == 6
    assert query(old_ledger, "SELECT count(*) FROM files") == [(17,)]
    assert query(old_ledger, "PRAGMA integrity_check") == [("ok",)]


def test_unreadable_files_of_an_old_ledger_are_no_news(old_ledger: Path) -> None:
    with Ledger(old_ledger):
        pass
    reported = query(old_ledger, "SELECT reason, count(*) FROM reported_unreadable GROUP BY reason")
    assert reported == [("truncated", 2)]  # one met by each of its runs


def test_the_backup_before_a_migration_is_the_old_ledger(old_ledger: Path) -> None:
    with closing(sqlite3.connect(old_ledger)) as writer:  # what is still in the WAL belongs to the copy
        writer.execute("UPDATE scores SET probability = 0.125")
        writer.commit()
        with Ledger(old_ledger):
            pass
    copy = old_ledger.with_name("ledger-schema-2.sqlite")
    assert query(copy, "SELECT value FROM meta WHERE key = 'schema'") == [("2",)]
    assert query(copy, "SELECT DISTINCT probability FROM scores") == [(0.125,)]
    assert copy.stat().st_mode & 0o777 == 0o600


def test_the_run_after_migration_only_records_change_times(old_ledger: Path) -> None:
    key, found = key_of(old_ledger), sources(old_ledger, ctime_ns=7)
    with Ledger(old_ledger) as ledger:
        ledger.runs.reconcile(lambda name: name.startswith("2026-11-27T043014"))
        ledger.runs.begin("next", old_ledger.parent)
        with ledger.files.intake():
            assert {ledger.files.recall(source, intake) for source, intake in found} == {Recall.KNOWN}
        images = {s.decoded.content_hash: s.reused for study in ledger.outcomes.studies(key) for s in study.scored}
        # The run that ended had reported five; the killed one had scored one more and reported nothing.
        assert sorted(images.values()) == [False] + [True] * 5
        assert ledger.scores.count_pending(key) == 2
    assert query(old_ledger, "SELECT DISTINCT ctime_ns FROM files") == [(7,)]
    with Ledger(old_ledger) as ledger, ledger.files.intake():
        ledger.runs.begin("later", old_ledger.parent)
        touched, intake = found[0]
        changed = SourceFile(touched.path, touched.size, touched.mtime_ns, 8)
        assert ledger.files.recall(changed, intake) is Recall.TOUCHED


def test_records_of_schema_2_are_read_back_whole(old_ledger: Path) -> None:
    import json

    old = dict(query(old_ledger, "SELECT path, record FROM files WHERE is_instance"))
    key, found = key_of(old_ledger), sources(old_ledger, ctime_ns=7)
    with Ledger(old_ledger) as ledger:
        ledger.runs.begin("next", old_ledger.parent)
        with ledger.files.intake():
            for source, intake in found:
                ledger.files.recall(source, intake)
        pending = list(ledger.scores.pending(key))
    assert pending
    for instance in pending:
        values = json.loads(str(old[instance.source.path.encode()]))
        assert (instance.sop_instance_uid, instance.rows, instance.region.evidence, instance.source.size) == (
            values["sop_instance_uid"], values["rows"], values["region"]["evidence"], values["source"]["size"],
        )  # fmt: skip
        assert isinstance(instance, Instance)


def test_a_ledger_of_schema_4_migrates_and_its_files_stay_known(schema_4_ledger: Path) -> None:
    key = key_of(schema_4_ledger)
    found = [(source, intake) for source, intake in sources(schema_4_ledger, 0) if intake]
    times = dict(query(schema_4_ledger, "SELECT path, ctime_ns FROM files"))
    with Ledger(schema_4_ledger) as ledger:
        assert schema_of(schema_4_ledger) == SCHEMA
        ledger.runs.begin("next", schema_4_ledger.parent)
        with ledger.files.intake():
            for source, intake in found:
                same = replace(source, ctime_ns=int(str(times[source.path.encode()])))
                assert ledger.files.recall(same, intake) is Recall.KNOWN
        scores = [score for study in ledger.outcomes.studies(key) for score in study.scored]
        assert ledger.scores.count_pending(key) == 0
    assert len({score.decoded.content_hash for score in scores}) == 2
    for score in scores:
        instance = score.instance
        assert (score.reused, score.distance, instance.sex, instance.age) == (True, None, Sex.UNKNOWN, None)
        assert (instance.manufacturer, instance.manufacturer_model, instance.station_name) == ("", "", "")


def test_run_numbers_are_never_given_again(old_ledger: Path) -> None:
    change(old_ledger, "DELETE FROM runs")  # by hand: what was reported must not become news
    with Ledger(old_ledger) as ledger:
        ledger.runs.begin("next", old_ledger.parent)
        assert ledger.runs.current == 3  # files and scores name run 2


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(old_ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(old_ledger)

    def fail_late(db: sqlite3.Connection) -> None:
        migrations.schema_3.from_schema_2(db)
        raise sqlite3.OperationalError("the disk went away")

    monkeypatch.setitem(migrations.STEPS, 3, fail_late)
    with pytest.raises(LedgerError, match="the disk went away"), Ledger(old_ledger):
        pass
    assert digest(old_ledger) == before
    monkeypatch.undo()
    with Ledger(old_ledger):
        pass
    assert schema_of(old_ledger) == SCHEMA


def other_program(path: Path) -> None:
    change(path, "CREATE TABLE places (url TEXT)")


def newer(path: Path) -> None:
    with Ledger(path):
        pass
    change(path, "UPDATE meta SET value = '99' WHERE key = 'schema'")


def damaged(path: Path) -> None:
    with Ledger(path):
        pass
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 600)


def no_database(path: Path) -> None:
    path.write_bytes(b"not a database, but dear to somebody" * 100)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_program, "database of another program: move it away"),
        (newer, "schema 99.*use the version of mura-batch that wrote it"),
        (damaged, "is damaged: restore it from a backup"),
        (no_database, "not an SQLite database: restore it"),
    ],
)
def test_an_unreadable_ledger_is_refused_and_stays_unchanged(tmp_path: Path, spoil: object, message: str) -> None:
    path = tmp_path / "ledger.sqlite"
    spoil(path)  # type: ignore[operator]
    before = digest(path)
    with pytest.raises(LedgerError, match=message) as raised, Ledger(path):
        pass
    assert "\n" not in str(raised.value)
    assert digest(path) == before


def test_a_folder_in_the_ledgers_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    with pytest.raises(LedgerError, match="is a folder: move it away"), Ledger(tmp_path / "ledger.sqlite"):
        pass


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    """A run that was killed before its first commit leaves one."""
    (tmp_path / "ledger.sqlite").touch()
    with Ledger(tmp_path / "ledger.sqlite"):
        pass
    assert schema_of(tmp_path / "ledger.sqlite") == SCHEMA


def mount(*words: str) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 kB: room for the old ledger, not for its copy."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)):
        pytest.skip("no small file system can be mounted here: that takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free_kb", [0, 100])
def test_a_full_disk_during_migration_leaves_the_ledger_unchanged(
    old_ledger: Path, small_disk: Path, free_kb: int
) -> None:
    path = small_disk / "ledger.sqlite"
    assert mount("-o", f"remount,size={max(68, 68 + free_kb)}k", str(small_disk))
    path.write_bytes(old_ledger.read_bytes())
    before = digest(path)
    with pytest.raises(LedgerError, match="free"), Ledger(path):
        pass
    assert digest(path) == before
    assert not list(small_disk.glob(".*.tmp"))
    assert mount("-o", "remount,size=4m", str(small_disk))
    with Ledger(path):
        pass
    assert schema_of(path) == SCHEMA


@pytest.mark.parametrize("is_old", [False, True])
def test_a_read_only_disk_is_an_error_that_says_so(old_ledger: Path, small_disk: Path, is_old: bool) -> None:
    path = small_disk / "ledger.sqlite"
    if is_old:
        path.write_bytes(old_ledger.read_bytes())
    else:
        with Ledger(path):
            pass
    before = digest(path)
    assert mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(LedgerError, match=r"[Rr]ead-only"), Ledger(path):
        pass
    assert digest(path) == before
