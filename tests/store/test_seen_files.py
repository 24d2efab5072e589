"""What makes a file the one that was seen before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mura_batch.records import Instance, InstanceScore, Reason, Skipped, Stage, skip_instance
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.seen_files import MissingStudy, Recall

KEY = Key("model", "settings")
STUDIES = Path("/export")
MakeInstance = Callable[..., Instance]
MakeScore = Callable[..., InstanceScore]


def begin(ledger: Ledger, *instances: Instance, intake: str = "intake", studies: Path = STUDIES) -> None:
    ledger.runs.begin("run", studies)
    with ledger.files.intake():
        for instance in instances:
            if ledger.files.recall(instance.source, intake) is not Recall.KNOWN:
                ledger.files.put_header(instance, intake)


def touched(instance: Instance) -> Instance:
    return replace(instance, source=replace(instance.source, ctime_ns=instance.source.ctime_ns + 1))


def test_a_new_change_time_with_same_content_needs_no_scoring(
    tmp_path: Path, make_instance: MakeInstance, make_score: MakeScore
) -> None:
    old = make_instance("a")
    with Ledger(tmp_path / "l") as ledger:
        begin(ledger, old)
        ledger.scores.commit([(make_score(old, 0.25), b"")], [], KEY)
        ledger.runs.begin("two", STUDIES)
        with ledger.files.intake():
            assert ledger.files.recall(touched(old).source, "intake") is Recall.TOUCHED
            ledger.files.put_touched(touched(old).source)
        assert ledger.scores.count_pending(KEY) == 0
        ledger.runs.begin("three", STUDIES)
        with ledger.files.intake():
            assert ledger.files.recall(touched(old).source, "intake") is Recall.KNOWN


def test_new_content_with_old_size_and_time_is_rescored(
    tmp_path: Path, make_instance: MakeInstance, make_score: MakeScore
) -> None:
    old = make_instance("a")
    with Ledger(tmp_path / "l") as ledger:
        begin(ledger, old)
        ledger.scores.commit([(make_score(old, 0.25), b"")], [], KEY)
        begin(ledger, touched(old))
        assert ledger.files.content_hash(old.source) is None
        assert ledger.scores.count_pending(KEY) == 1


def test_new_intake_settings_reuse_the_hash_of_unchanged_files(
    tmp_path: Path, make_instance: MakeInstance, make_score: MakeScore
) -> None:
    old = make_instance("a")
    with Ledger(tmp_path / "l") as ledger:
        begin(ledger, old)
        ledger.scores.commit([(make_score(old, 0.25), b"")], [], KEY)
        begin(ledger, old, intake="another")
        assert ledger.scores.count_pending(KEY) == 0


def test_a_touched_file_that_fails_as_before_is_no_news(tmp_path: Path, make_instance: MakeInstance) -> None:
    bad = make_instance("a")
    skip = skip_instance(bad, Stage.PIXELS, Reason.UNDECODABLE_PIXELS, "broken")
    with Ledger(tmp_path / "l") as ledger:
        begin(ledger, bad)
        ledger.scores.commit([], [skip], KEY)
        assert ledger.outcomes.is_new(skip)
        ledger.claim(KEY)
        ledger.runs.finish("2026-01-01T00:00:00+00:00")
        begin(ledger, touched(bad))
        assert ledger.scores.count_pending(KEY) == 1
        ledger.scores.commit([], [skip], KEY)
        assert not ledger.outcomes.is_new(skip)


def test_known_studies_of_which_no_file_is_there_are_missing(tmp_path: Path, make_instance: MakeInstance) -> None:
    a, b, c = make_instance("a", "1.1"), make_instance("b", "1.1"), make_instance("c", "1.2")
    with Ledger(tmp_path / "l") as ledger:
        begin(ledger, a, b, c)
        begin(ledger, c)
        assert list(ledger.files.missing_studies()) == [MissingStudy("1.1", "A1", "20260101", 2)]
        begin(ledger, c)  # and they stay missing
        assert [study.study_uid for study in ledger.files.missing_studies()] == ["1.1"]
        moved = replace(a, source=replace(a.source, path="elsewhere"))
        begin(ledger, moved, c)
        assert list(ledger.files.missing_studies()) == []


def test_studies_of_another_folder_are_not_missing(tmp_path: Path, make_instance: MakeInstance) -> None:
    with Ledger(tmp_path / "l") as ledger:
        begin(ledger, make_instance("a", "1.1"))
        begin(ledger, make_instance("b", "1.2"), studies=Path("/another"))
        assert list(ledger.files.missing_studies()) == []


def test_files_looked_up_together_are_recalled_as_one_by_one(tmp_path: Path, make_instance: MakeInstance) -> None:
    """Known, of another size, time, change time or settings, and unknown: in one intake."""
    names = ("known", "size", "mtime", "ctime", "settings")
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("one", tmp_path)
        with ledger.files.intake():
            for name in names:
                ledger.files.put_header(make_instance(name), "old" if name == "settings" else "intake")
        sources = {name: make_instance(name).source for name in (*names, "unknown")}
        sources["size"] = replace(sources["size"], size=1)
        sources["mtime"] = replace(sources["mtime"], mtime_ns=1)
        sources["ctime"] = replace(sources["ctime"], ctime_ns=5)
        ledger.runs.begin("two", tmp_path)
        with ledger.files.intake():
            alone = {name: ledger.files.recall(source, "intake") for name, source in sources.items()}
        with ledger.files.intake(sources.values()):
            together = {name: ledger.files.recall(source, "intake") for name, source in sources.items()}
            ledger.files.put_header(make_instance("unknown"), "intake")
        present = {record.source.path for record in ledger.scores.pending(Key("m", "s"))}
    assert together == alone
    assert alone == dict.fromkeys(sources, Recall.NEW) | {"known": Recall.KNOWN, "ctime": Recall.TOUCHED}
    assert present == {"known", "unknown"}


def test_a_file_judged_as_before_changes_no_row(tmp_path: Path, make_instance: MakeInstance) -> None:
    """What discovery skips is judged every night: that alone must not look like a change of the archive."""
    link = Skipped(make_instance("link").source, Stage.DISCOVER, Reason.SYMLINK, "symbolic links are not followed")
    with Ledger(tmp_path / "l") as ledger:
        for name in ("one", "two", "three"):
            ledger.runs.begin(name, tmp_path)
            with ledger.files.intake():
                ledger.files.put_header(link, "")
            assert ledger.outcomes.is_new(link) is (name == "one")
            ledger.claim(KEY)
            if name == "two":
                ledger.settled.put("basis", ledger.files.digest)
        assert ledger.settled.holds("basis", ledger.files.digest)
