"""The note that nothing has changed: what takes it away."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from mura_batch.records import Instance, InstanceScore, Reason, Stage, skip_instance
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger

KEY = Key("model", "settings")
MakeInstance = Callable[..., Instance]
MakeScore = Callable[..., InstanceScore]
Change = Callable[[Ledger, MakeInstance, MakeScore], None]


def meet(ledger: Ledger, *instances: Instance) -> None:
    ledger.runs.begin(f"run {ledger.runs.current + 1}", Path("/export"))
    with ledger.files.intake(i.source for i in instances):
        for instance in instances:
            ledger.files.put_header(instance, "intake")


@pytest.fixture
def settled(tmp_path: Path, make_instance: MakeInstance, make_score: MakeScore) -> Path:
    """A ledger of three files, one scored and one failed, with the note."""
    one, two, three = map(make_instance, "abc")
    with Ledger(tmp_path / "l") as ledger:
        meet(ledger, one, two, three)
        failed = skip_instance(two, Stage.PIXELS, Reason.BLANK_IMAGE, "blank")
        ledger.scores.commit([(make_score(one, 0.5), b"")], [failed], KEY)
        ledger.settled.put("basis", ledger.files.digest)
    return tmp_path / "l"


def test_the_note_outlasts_a_run_that_changes_nothing(settled: Path, make_instance: MakeInstance) -> None:
    with Ledger(settled) as ledger:
        meet(ledger, *map(make_instance, "cba"))
        assert ledger.settled.holds("basis", ledger.files.digest)
        assert not ledger.settled.holds("another", ledger.files.digest)
        assert [i.source.path for i in ledger.scores.pending(KEY)] == [
            "c"
        ]  # the files of the run are noted all the same


@pytest.mark.parametrize("names", ["ab", "abcd", "abd"])
def test_other_files_are_another_set(settled: Path, make_instance: MakeInstance, names: str) -> None:
    with Ledger(settled) as ledger:
        meet(ledger, *map(make_instance, names))
        assert not ledger.settled.holds("basis", ledger.files.digest)
        assert not ledger.settled.has_files(ledger.files.digest)
        assert len(list(ledger.files.identities())) == len(names)


CHANGES = (
    "UPDATE files SET set_aside = '' WHERE path = x'61'",
    "UPDATE files SET record = record || ' ' WHERE path = x'61'",
    "DELETE FROM files WHERE path = x'62'",
    "UPDATE scores SET run = 7",
    "DELETE FROM scores",
    "UPDATE failures SET reason = 'no_pixel_data'",
    "DELETE FROM failures",
    "INSERT INTO kept VALUES ('1.2.3', 'model', 'settings')",
)


@pytest.mark.parametrize("change", CHANGES)
def test_any_row_that_changes_takes_the_note_away(settled: Path, make_instance: MakeInstance, change: str) -> None:
    with sqlite3.connect(settled) as db:  # as another program would
        db.execute(change)
    db.close()
    with Ledger(settled) as ledger:
        assert ledger._db.first("SELECT basis FROM settled") == ("",)


def test_a_new_score_takes_the_note_away(settled: Path, make_instance: MakeInstance, make_score: MakeScore) -> None:
    with Ledger(settled) as ledger:
        meet(ledger, *map(make_instance, "abc"))
        ledger.scores.commit([(make_score(make_instance("c"), 0.5), b"")], [], KEY)
        assert not ledger.settled.holds("basis", ledger.files.digest)
