"""Which scores a published run has reported."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mura_batch.records import Instance, InstanceScore, Reason, Stage, skip_instance
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.seen_files import Recall

KEY = Key("model", "settings")
MakeInstance = Callable[..., Instance]
Run = Callable[..., dict[str, bool]]


@pytest.fixture
def run(tmp_path: Path, make_score: Callable[..., InstanceScore]) -> Run:
    """run(name, instances, folders, end): scores what is pending; path -> reused. folders: names of the runs whose
    folders are there at the start. end: killed, renamed (and then killed) or finished."""

    def go(name: str, instances: list[Instance], folders: tuple[str, ...], end: str = "finished") -> dict[str, bool]:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            ledger.runs.reconcile(folders.__contains__)
            ledger.runs.begin(name, Path("/export"))
            with ledger.files.intake():
                for instance in instances:
                    if ledger.files.recall(instance.source, "intake") is not Recall.KNOWN:
                        ledger.files.put_header(instance, "intake")
            ledger.scores.commit([(make_score(i, 0.25), b"") for i in ledger.scores.pending(KEY)], [], KEY)
            reused = {s.instance.source.path: s.reused for st in ledger.outcomes.studies(KEY) for s in st.scored}
            if end != "killed":
                ledger.claim(KEY)
            if end == "finished":
                ledger.runs.finish("2026-01-01T00:00:00+00:00")
            return reused

    return go


def test_the_first_publishing_run_reports_a_killed_runs_scores(run: Run, make_instance: MakeInstance) -> None:
    a, b = make_instance("a"), make_instance("b")
    assert run("1", [a], (), "killed") == {"a": False}
    assert run("2", [a, b], ()) == {"a": False, "b": False}
    assert run("3", [a, b], ("2",)) == {"a": True, "b": True}


def test_a_run_killed_after_its_folder_was_renamed_is_published(run: Run, make_instance: MakeInstance) -> None:
    a = make_instance("a")
    run("1", [a], (), "renamed")
    assert run("2", [a], ("1",)) == {"a": True}


def test_a_run_killed_between_claim_and_rename_has_reported_nothing(run: Run, make_instance: MakeInstance) -> None:
    a = make_instance("a")
    run("1", [a], (), "renamed")
    assert run("2", [a], ()) == {"a": False}
    assert run("3", [a], ("2",)) == {"a": True}


def test_a_folder_that_is_removed_later_changes_no_status(run: Run, make_instance: MakeInstance) -> None:
    a = make_instance("a")
    run("1", [a], ())
    run("2", [a], ("1",))
    assert run("3", [a], ()) == {"a": True}


def test_a_score_unlisted_by_a_later_run_is_still_unreported(run: Run, make_instance: MakeInstance) -> None:
    a, b = make_instance("a"), make_instance("b")
    run("1", [a], (), "killed")
    run("2", [b], ())
    assert run("3", [a, b], ("2",)) == {"a": False, "b": True}


def test_deleting_rows_of_runs_makes_no_news(run: Run, make_instance: MakeInstance, tmp_path: Path) -> None:
    a = make_instance("a")
    run("1", [a], ())
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as db:
        db.execute("DELETE FROM runs")
        db.commit()
    assert run("2", [a], ("1",)) == {"a": True}


def test_a_broken_file_is_new_until_a_run_publishes_it(tmp_path: Path, make_instance: MakeInstance) -> None:
    bad = make_instance("a")
    skip = skip_instance(bad, Stage.PIXELS, Reason.UNDECODABLE_PIXELS, "broken")

    def night(name: str, *, is_published: bool) -> bool:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            ledger.runs.reconcile(lambda _: False)
            ledger.runs.begin(name, Path("/export"))
            with ledger.files.intake():
                if ledger.files.recall(bad.source, "intake") is not Recall.KNOWN:
                    ledger.files.put_header(bad, "intake")
            if ledger.scores.count_pending(KEY):
                ledger.scores.commit([], [skip], KEY)
            is_new = ledger.outcomes.is_new(skip)
            if is_published:
                ledger.claim(KEY)
                ledger.runs.finish("2026-01-01T00:00:00+00:00")
            return is_new

    assert night("1", is_published=False)
    assert night("2", is_published=True)
    assert not night("3", is_published=True)
