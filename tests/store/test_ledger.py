"""The ledger: real SQLite, real kills."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from mura_batch.errors import LedgerError, LockHeldError
from mura_batch.records import Instance, InstanceScore, Reason, Skipped, SourceFile, Stage, skip_instance
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.lock import locked
from mura_batch.store.seen_files import Recall

KEY = Key("model", "settings")
STUDIES = Path("/export")
MakeInstance = Callable[..., Instance]
MakeScore = Callable[..., InstanceScore]


def seen(ledger: Ledger, *instances: Instance) -> None:
    ledger.runs.reconcile(lambda _: False)
    ledger.runs.begin("run", STUDIES)
    ledger.scores.forget_transient()
    with ledger.files.intake():
        for instance in instances:
            if ledger.files.recall(instance.source, "intake") is not Recall.KNOWN:
                ledger.files.put_header(instance, "intake")


def publish(ledger: Ledger) -> None:
    ledger.claim(KEY)
    ledger.runs.finish("2026-01-01T00:00:00+00:00")


def test_a_scored_file_is_not_pending_in_the_next_run(
    tmp_path: Path, make_instance: MakeInstance, make_score: MakeScore
) -> None:
    one, two = make_instance("a"), make_instance("b")
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, one, two)
        assert list(ledger.scores.pending(KEY)) == [one, two]
        ledger.scores.commit([(make_score(one, 0.25), b"")], [], KEY)
        publish(ledger)
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, one, two)
        assert list(ledger.scores.pending(KEY)) == [two]
        assert next(iter(ledger.outcomes.studies(KEY))).scored == (make_score(one, 0.25, reused=True),)


def test_another_model_or_other_settings_score_again(
    tmp_path: Path, make_instance: MakeInstance, make_score: MakeScore
) -> None:
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, make_instance("a"))
        ledger.scores.commit([(make_score(make_instance("a"), 0.25), b"")], [], KEY)
        assert ledger.scores.count_pending(KEY) == 0
        assert ledger.scores.count_pending(Key("other", "settings")) == 1
        assert ledger.scores.count_pending(Key("model", "other")) == 1


def test_a_changed_file_is_pending_again(tmp_path: Path, make_instance: MakeInstance, make_score: MakeScore) -> None:
    old = make_instance("a")
    source = SourceFile("a", 1001, old.source.mtime_ns, 1)
    new = Instance(**{**{f: getattr(old, f) for f in old.__slots__}, "source": source})
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, old)
        ledger.scores.commit([(make_score(old, 0.25), b"")], [], KEY)
        seen(ledger, new)
        assert list(ledger.scores.pending(KEY)) == [new]


def test_a_broken_file_is_reported_once_and_not_decoded_again(tmp_path: Path, make_instance: MakeInstance) -> None:
    bad = make_instance("a")
    skip = skip_instance(bad, Stage.PIXELS, Reason.UNDECODABLE_PIXELS, "broken")
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, bad)
        ledger.scores.commit([], [skip], KEY)
        assert ledger.outcomes.is_new(skip)
        seen(ledger, bad)
        assert ledger.outcomes.is_new(skip)  # the run before did not finish: no one has seen it
        publish(ledger)
        seen(ledger, bad)
        assert ledger.scores.count_pending(KEY) == 0
        assert not ledger.outcomes.is_new(skip)
        assert next(iter(ledger.outcomes.studies(KEY))).failed == ((bad, skip),)


def test_the_next_run_retries_a_file_lost_with_its_worker(tmp_path: Path, make_instance: MakeInstance) -> None:
    bad = make_instance("a")
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, bad)
        ledger.scores.commit([], [skip_instance(bad, Stage.PIXELS, Reason.WORKER_TIMEOUT, "")], KEY)
        assert ledger.scores.count_pending(KEY) == 0
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, bad)
        assert ledger.scores.count_pending(KEY) == 1


def test_files_that_went_away_are_not_in_the_run(tmp_path: Path, make_instance: MakeInstance) -> None:
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, make_instance("a"), make_instance("b"))
        seen(ledger, make_instance("b"))
        assert [i.source.path for i in ledger.scores.pending(KEY)] == ["b"]


def test_names_that_are_not_utf8_survive(tmp_path: Path, make_instance: MakeInstance) -> None:
    name = os.fsdecode(b"\xff\xfe/r\xe9sultat")
    skip = Skipped(SourceFile(name, 1, 1, 1), Stage.HEADER, Reason.NOT_DICOM)
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("run", STUDIES)
        with ledger.files.intake():
            ledger.files.put_header(skip, "intake")
        assert list(ledger.outcomes.skipped_without_study(KEY)) == [skip]


def test_copies_and_studies_of_two_patients_are_detected(tmp_path: Path, make_instance: MakeInstance) -> None:
    with Ledger(tmp_path / "l") as ledger:
        seen(
            ledger,
            make_instance("a", "s1", sop="9"),
            make_instance("b", "s1", sop="9"),
            make_instance("c", "s2", patient="p1"),
            make_instance("d", "s2", patient="p2"),
            make_instance("e", "s3"),
        )
        assert [[i.source.path for i in group] for group in ledger.files.same_sop()] == [["a", "b"]]
        assert [[i.source.path for i in group] for group in ledger.files.studies_of_two_patients()] == [["c", "d"]]


def test_a_night_without_news_writes_little(tmp_path: Path, make_instance: MakeInstance) -> None:
    """What is known is marked as met; its record is not written again."""
    instances = [make_instance(f"{n:04d}") for n in range(1000)]
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, *instances)
        publish(ledger)
    held = (tmp_path / "l").stat().st_size
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, *instances)
        assert (tmp_path / "l-wal").stat().st_size < held / 4
        assert list(ledger.scores.pending(KEY)) == instances


def test_what_was_set_aside_is_judged_anew_every_night(tmp_path: Path, make_instance: MakeInstance) -> None:
    """Its twin may be gone."""
    one = make_instance("a")
    with Ledger(tmp_path / "l") as ledger:
        seen(ledger, one)
        ledger.files.set_aside([skip_instance(one, Stage.STUDY, Reason.DUPLICATE, "same bytes")])
        assert list(ledger.scores.pending(KEY)) == []
        seen(ledger, one)
        ledger.files.clear_set_aside()
        assert list(ledger.scores.pending(KEY)) == [one]


def test_only_the_owner_can_read_the_ledger(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l"):
        pass
    assert stat.S_IMODE((tmp_path / "l").stat().st_mode) == 0o600


def test_a_file_that_is_no_ledger_is_refused_unchanged(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b"not a database, but dear to somebody" * 100)
    with pytest.raises(LedgerError, match="move it away"), Ledger(tmp_path / "l"):
        pass
    assert (tmp_path / "l").read_bytes().startswith(b"not a database")


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    with Ledger(tmp_path / "l"):
        pass
    with closing(sqlite3.connect(tmp_path / "l")) as db:
        db.execute("UPDATE meta SET value = '99'")
        db.commit()
    with pytest.raises(LedgerError, match="schema 99"), Ledger(tmp_path / "l"):
        pass


def test_what_was_committed_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    """A process that commits scores one by one is killed with SIGKILL: every score it announced is kept."""
    script = textwrap.dedent(
        """
        import sys, itertools
        from pathlib import Path
        from record_builders import build_instance, build_score
        from mura_batch.store.key import Key
        from mura_batch.store.ledger import Ledger
        with Ledger(Path(sys.argv[1])) as ledger:
            ledger.runs.begin("killed", Path(sys.argv[1]))
            for n in itertools.count():
                i = build_instance(f"{n:06}")
                ledger.files.put_header(i, "intake")
                score = build_score(i, n / 1e6, content=f"h{n}")
                ledger.scores.commit([(score, b"picture %d" % n)], [], Key("model", "settings"))
                print(n, flush=True)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "l")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        assert child.stdout is not None
        announced = [int(child.stdout.readline()) for _ in range(20)][-1]
        child.send_signal(signal.SIGKILL)
    with Ledger(tmp_path / "l") as ledger:
        kept = [ledger.pictures.read(KEY, f"h{n}") for n in range(announced + 1)]
    assert kept == [b"picture %d" % n for n in range(announced + 1)]


def test_a_second_run_is_refused_and_names_the_lock_holder(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out"),
        pytest.raises(LockHeldError, match=f"process {os.getpid()}"),
        locked(tmp_path / "out"),
    ):
        pass
    with locked(tmp_path / "out"):
        pass  # free again
