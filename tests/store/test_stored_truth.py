"""Truth that was added: read back as it was, removed but not lost, deleted on request."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mura_batch.agreement.truth_file import Said, Sampled, TruthFile, TruthKind, TruthLine
from mura_batch.errors import LedgerError
from mura_batch.store.audit import Audit
from mura_batch.store.ledger import Ledger
from mura_batch.store.stored_truth import stored_truth

NOW, LATER = "2026-02-01T08:00:00+00:00", "2026-02-02T08:00:00+00:00"
SHEET = TruthFile(
    name="sheet.csv",
    sha256="ab" * 32,
    by="study_uid",
    kind=TruthKind.REPORT,
    lines=(
        TruthLine(2, "1.2", "hand", "L", Said.ABNORMAL, (Said.NORMAL, Said.BLANK), Sampled("1: 2 of 6", 1 / 3)),
        TruthLine(3, "1.3", "", "", Said.PENDING, (Said.BLANK, Said.BLANK), Sampled("1: 2 of 6", 1 / 3)),
    ),
    reader="Dr Ito",
    readers=("reader_1", "reader_2"),
    drawn=(("1: 2 of 6", 1 / 6),),
    unread=1,
)
READER = TruthFile(
    "b.csv", "cd" * 32, "accession", TruthKind.READER, (TruthLine(2, "A1", readers=(Said.NORMAL,)),), "b", ("b",)
)


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_a_file_is_read_back_as_it_was_added(ledger_path: Path) -> None:
    with Ledger(ledger_path) as ledger:
        assert ledger.truth.truth() is None
        assert (ledger.truth.add(SHEET, NOW), ledger.truth.add(READER, LATER)) == (1, 2)
        truth = ledger.truth.truth()
    assert truth is not None
    assert truth.is_stored
    assert [(file.lines, file.drawn, file.unread, file.readers) for file in truth.files] == [
        (SHEET.lines, SHEET.drawn, 1, SHEET.readers),
        (READER.lines, (), 0, ("b",)),
    ]
    assert [(file.name, file.kind, file.reader, file.added) for file in truth.files] == [
        ("sheet.csv", TruthKind.REPORT, "Dr Ito", NOW),
        ("b.csv", TruthKind.READER, "b", LATER),
    ]
    assert stored_truth(ledger_path.parent) == truth


def test_the_same_content_is_added_once(ledger_path: Path) -> None:
    with Ledger(ledger_path) as ledger:
        ledger.truth.add(SHEET, NOW)
        assert ledger.truth.add(SHEET, LATER) is None
        assert ledger.truth.remove(1, LATER)
        assert ledger.truth.add(SHEET, LATER) == 2


def test_a_removed_file_is_listed_and_not_used(ledger_path: Path) -> None:
    with Ledger(ledger_path) as ledger:
        ledger.truth.add(SHEET, NOW)
        ledger.truth.add(READER, NOW)
        assert ledger.truth.remove(1, LATER)
        assert not ledger.truth.remove(1, LATER)
        assert not ledger.truth.remove(7, LATER)
        truth, listed = ledger.truth.truth(), ledger.truth.files()
    assert truth is not None
    assert [file.name for file in truth.files] == ["b.csv"]
    assert [(one.number, one.removed, one.lines, one.labels, one.level) for one in listed] == [
        (1, LATER, 2, 1, "side"),
        (2, "", 1, 1, "study"),
    ]


def test_forget_deletes_a_study_from_every_file(ledger_path: Path) -> None:
    with Ledger(ledger_path) as ledger:
        ledger.truth.add(SHEET, NOW)
        ledger.truth.add(READER, NOW)
        ledger.truth.remove(1, LATER)
        assert ledger.truth.forget(["1.2", "A1"], ["1.3"]) == 1  # a UID is no accession number
        assert ledger.truth.forget(["1.2"], ["A1"]) == 1
    with closing(sqlite3.connect(ledger_path)) as db:
        assert db.execute("SELECT study FROM truth_lines").fetchall() == [("1.3",)]


def test_a_changed_label_is_damage_that_is_named(ledger_path: Path) -> None:
    with Ledger(ledger_path) as ledger:
        ledger.truth.add(SHEET, NOW)
    with closing(sqlite3.connect(ledger_path)) as db:
        db.execute("UPDATE truth_lines SET said = '0' WHERE line = 2")
        db.commit()
    with pytest.raises(LedgerError, match="a truth label is not as it was written"):
        stored_truth(ledger_path.parent)


def test_verify_names_the_changed_line(ledger_path: Path) -> None:
    with Ledger(ledger_path) as ledger:
        ledger.truth.add(SHEET, NOW)
    with Audit(ledger_path.parent) as audit:
        assert [problem for _, problem in audit.findings()] == ["", ""]
    with closing(sqlite3.connect(ledger_path)) as db:
        db.execute("UPDATE truth_lines SET probability = 0.5 WHERE line = 3")
        db.commit()
    with Audit(ledger_path.parent) as audit:
        assert [problem for _, problem in audit.findings()] == ["", "line 3 of truth file 1 is not as it was written"]


def test_a_folder_without_ledger_has_no_truth(tmp_path: Path) -> None:
    assert stored_truth(tmp_path) is None
