"""Which studies keep the score of an earlier model, on a real ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mura_batch.records import EarlierModel, Instance, InstanceScore, Reason, Stage, StudyFiles, skip_instance
from mura_batch.store.kept import KeptCount, KnownModel
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.seen_files import Recall

OLD, NEW = Key("old" * 20, "settings"), Key("new" * 20, "settings")
MakeInstance = Callable[..., Instance]
Night = Callable[..., dict[str, StudyFiles]]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


@pytest.fixture
def night(ledger: Ledger, make_score: Callable[..., InstanceScore]) -> Night:
    """night(key, instances, value, most, failed): keeps what it may, scores up to `most` of the rest with this value
    and publishes; study -> what became of it. An instance of `failed` cannot be read."""

    def go(
        key: Key, instances: list[Instance], value: float, *, most: int = 99, failed: str = "", keep: bool = True
    ) -> dict[str, StudyFiles]:
        ledger.runs.reconcile(lambda _: False)
        ledger.runs.begin("night", Path("/export"))
        ledger.kept.note_model(KnownModel(key.model, key.model[:3], "1", 0.25))
        with ledger.files.intake():
            for instance in instances:
                if ledger.files.recall(instance.source, "intake") is not Recall.KNOWN:
                    ledger.files.put_header(instance, "intake")
        ledger.kept.keep_none()
        if keep:
            ledger.kept.keep(key)
        pending = list(ledger.scores.pending(key))[:most]
        good = [(make_score(i, value), b"") for i in pending if i.source.path != failed]
        bad = [
            skip_instance(i, Stage.PIXELS, Reason.UNDECODABLE_PIXELS, "") for i in pending if i.source.path == failed
        ]
        ledger.scores.commit(good, bad, key)
        found = {study.study_uid: study for study in ledger.outcomes.studies(key)}
        ledger.claim(key)
        ledger.runs.finish("2026-01-01T00:00:00+00:00")
        return found

    return go


def values(study: StudyFiles) -> list[float]:
    return [score.probability for score in study.scored]


def test_old_studies_keep_their_score_and_new_ones_get_the_new_models(
    ledger: Ledger, night: Night, make_instance: MakeInstance
) -> None:
    a, b = make_instance("a", "1"), make_instance("b", "2")
    with ledger:
        assert night(OLD, [a], 0.5)["1"].earlier is None
        found = night(NEW, [a, b], 0.75)
        assert found["1"].earlier == EarlierModel(OLD.model, OLD.settings, "old", "1", 0.25)
        assert (values(found["1"]), [score.reused for score in found["1"].scored]) == ([0.5], [True])
        assert (values(found["2"]), found["2"].earlier) == ([0.75], None)
        again = night(NEW, [a, b], 0.9)
        assert (values(again["1"]), values(again["2"])) == ([0.5], [0.75])


def test_a_study_with_a_new_image_is_scored_anew_as_a_whole(
    ledger: Ledger, night: Night, make_instance: MakeInstance
) -> None:
    a, b = make_instance("a", "1"), make_instance("b", "1")
    with ledger:
        night(OLD, [a], 0.5)
        found = night(NEW, [a, b], 0.75)
        assert (values(found["1"]), found["1"].earlier) == ([0.75, 0.75], None)


def test_a_study_keeps_its_score_beside_an_image_that_failed(
    ledger: Ledger, night: Night, make_instance: MakeInstance
) -> None:
    a, b = make_instance("a", "1"), make_instance("b", "1")
    other = Key(OLD.model, "other settings")
    with ledger:
        night(OLD, [a, b], 0.5, failed="b")
        found = night(other, [a, b], 0.75)
        assert values(found["1"]) == [0.5]
        assert [skip.reason for _, skip in found["1"].failed] == [Reason.UNDECODABLE_PIXELS]


def test_a_study_that_is_half_rescored_keeps_its_whole_old_score(
    ledger: Ledger, night: Night, make_instance: MakeInstance
) -> None:
    a, b = make_instance("a", "1"), make_instance("b", "1")
    with ledger:
        night(OLD, [a, b], 0.5)
        night(NEW, [a, b], 0.75, most=1, keep=False)
        assert values(night(NEW, [a, b], 0.9, most=0)["1"]) == [0.5, 0.5]
        assert values(night(NEW, [a, b], 0.9, keep=False)["1"]) == [0.75, 0.9]


def test_going_back_to_a_model_shows_its_own_scores(ledger: Ledger, night: Night, make_instance: MakeInstance) -> None:
    a = make_instance("a", "1")
    with ledger:
        night(OLD, [a], 0.5)
        night(NEW, [a], 0.75)
        found = night(OLD, [a], 0.9)
        assert (values(found["1"]), found["1"].earlier) == ([0.5], None)


def test_scores_that_no_run_reported_or_of_an_unknown_model_are_not_kept(
    ledger: Ledger, night: Night, make_instance: MakeInstance, make_score: Callable[..., InstanceScore]
) -> None:
    a, b = make_instance("a", "1"), make_instance("b", "2")
    with ledger:
        night(OLD, [a], 0.5)
        ledger.runs.begin("killed", Path("/export"))
        with ledger.files.intake():
            ledger.files.put_header(b, "intake")
        ledger.scores.commit([(make_score(b, 0.5), b"")], [], OLD)
        assert values(night(NEW, [a, b], 0.75)["2"]) == [0.75]
        stranger = Key("stranger", "settings")
        ledger.runs.begin("before models were noted", Path("/export"))
        with ledger.files.intake():
            ledger.files.put_header(make_instance("c", "3"), "intake")
        ledger.scores.commit([(make_score(make_instance("c", "3"), 0.1), b"")], [], stranger)
        ledger.claim(stranger)
        ledger.runs.finish("2026-01-01T00:00:00+00:00")
        assert ledger.kept.unknown_models() == {"stranger"}
        assert values(night(NEW, [make_instance("c", "3")], 0.75)["3"]) == [0.75]


def test_the_rate_of_earlier_runs_is_measured_over_what_they_scored(ledger: Ledger) -> None:
    with ledger:
        assert ledger.runs.images_a_second() is None
        for images, seconds in ((100, 50.0), (0, 0.0), (300, 50.0)):
            ledger.runs.begin("night", Path("/export"))
            ledger.runs.describe(NEW, images, seconds)
            assert ledger.runs.have_used(NEW) is (images != 100)
            ledger.runs.finish("2026-01-01T00:00:00+00:00")
        assert ledger.runs.images_a_second() == pytest.approx(4.0)
        assert ledger.kept.keep(NEW) == KeptCount(0, 0)
