"""Grouping, conflicts and aggregation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_builders import NAMES, build_instance, build_score

from mura_batch.records import (
    Instance,
    InstanceScore,
    Laterality,
    Reason,
    Region,
    RegionFinding,
    Skipped,
    SourceFile,
    Stage,
    StudyFiles,
    StudyScore,
    StudyStatus,
    skip_instance,
)
from mura_batch.scoring.studies import aggregate, settle_patients, settle_same_sop

MakeInstance = Callable[..., Instance]
MakeScore = Callable[..., InstanceScore]


def lost(instance: Instance, reason: Reason) -> tuple[Instance, Skipped]:
    return instance, skip_instance(instance, Stage.PIXELS, reason, "")


def rows_of(study: StudyFiles, threshold: float) -> list[StudyScore]:
    return [row for row, _ in aggregate(study, threshold)]


def test_a_study_scores_the_arithmetic_mean_of_its_images(make_instance: MakeInstance, make_score: MakeScore) -> None:
    scored = tuple(make_score(make_instance(name), p) for name, p in (("a", 0.2), ("b", 0.9)))
    (row,) = rows_of(StudyFiles("1.2", scored, (), ()), 0.5)
    assert row.score == pytest.approx(0.55)
    assert (row.abnormal, row.instances, row.scored, row.status) == (True, 2, 2, StudyStatus.SCORED)


def test_a_score_equal_to_the_threshold_is_normal(make_instance: MakeInstance, make_score: MakeScore) -> None:
    (row,) = rows_of(StudyFiles("1.2", (make_score(make_instance("a"), 0.5),), (), ()), 0.5)
    assert row.abnormal is False


def test_a_study_with_an_unreadable_image_is_partial_with_reason(
    make_instance: MakeInstance, make_score: MakeScore
) -> None:
    study = StudyFiles(
        "1.2",
        (make_score(make_instance("a"), 0.4),),
        (lost(make_instance("b"), Reason.UNDECODABLE_PIXELS),),
        (),
    )
    (row,) = rows_of(study, 0.5)
    assert (row.status, row.instances, row.scored, row.reason) == (StudyStatus.PARTIAL, 2, 1, "undecodable_pixels")


def test_a_study_whose_only_image_is_unreadable_failed(make_instance: MakeInstance) -> None:
    (row,) = rows_of(StudyFiles("1.2", (), (lost(make_instance("a"), Reason.UNDECODABLE_PIXELS),), ()), 0.5)
    assert (row.status, row.score, row.abnormal) == (StudyStatus.FAILED, None, None)


def refused(
    path: str, reason: Reason, region: Region = Region.UNKNOWN, side: Laterality = Laterality.UNKNOWN
) -> Skipped:
    """A radiograph that its header shows to be unreadable."""
    source = SourceFile(path, 1, 1, 1)
    return Skipped(source, Stage.HEADER, reason, "", "1.2", accession="A7", region=region, laterality=side)


@pytest.mark.parametrize(
    "reason",
    [Reason.TRUNCATED, Reason.NO_PIXEL_DATA, Reason.UNSUPPORTED_SYNTAX, Reason.BAD_PIXEL_DESCRIPTION,
     Reason.PIXEL_SIZE_MISMATCH, Reason.NO_SOP_UID, Reason.TOO_LARGE],
)  # fmt: skip
@pytest.mark.parametrize("reused", [False, True])
def test_a_radiograph_refused_by_its_header_makes_the_study_partial(
    make_instance: MakeInstance, make_score: MakeScore, reason: Reason, reused: bool
) -> None:
    scored = tuple(make_score(make_instance(name), 0.4, reused=reused) for name in ("a", "b"))
    (row,) = rows_of(StudyFiles("1.2", scored, (), (refused("c", reason, Region.HAND),)), 0.5)
    assert (row.status, row.instances, row.scored, row.reason) == (StudyStatus.PARTIAL, 3, 2, reason)


def test_a_study_with_only_a_refused_file_retains_its_region() -> None:
    (row,) = rows_of(StudyFiles("1.2", (), (), (refused("a", Reason.TRUNCATED, Region.WRIST, Laterality.LEFT),)), 0.5)
    assert (row.status, row.region, row.laterality) == (StudyStatus.FAILED, Region.WRIST, Laterality.LEFT)
    assert (row.instances, row.scored, row.accession) == (1, 0, "A7")


def test_a_refused_radiograph_of_unknown_region_joins_the_only_row(
    make_instance: MakeInstance, make_score: MakeScore
) -> None:
    lost_one = refused("z", Reason.TRUNCATED)
    (row,) = rows_of(StudyFiles("1.2", (make_score(make_instance("a"), 0.4),), (), (lost_one,)), 0.5)
    assert (row.region, row.status, row.instances) == (Region.HAND, StudyStatus.PARTIAL, 2)
    two = tuple(make_score(make_instance(region, region=region), 0.4) for region in (Region.HAND, Region.WRIST))
    rows = rows_of(StudyFiles("1.2", two, (), (lost_one,)), 0.5)
    assert [(r.region, r.status) for r in rows] == [
        (Region.HAND, StudyStatus.SCORED), (Region.UNKNOWN, StudyStatus.FAILED), (Region.WRIST, StudyStatus.SCORED)
    ]  # fmt: skip


def test_a_refused_right_hand_leaves_the_left_hands_row_whole(
    make_instance: MakeInstance, make_score: MakeScore
) -> None:
    left = make_score(make_instance("a", side=Laterality.LEFT), 0.1)
    right = refused("b", Reason.NO_PIXEL_DATA, Region.HAND, Laterality.RIGHT)
    rows = rows_of(StudyFiles("1.2", (left,), (), (right,)), 0.5)
    assert [(r.laterality, r.status) for r in rows] == [
        (Laterality.LEFT, StudyStatus.SCORED), (Laterality.RIGHT, StudyStatus.FAILED)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "of_scored", "status"),
    [
        (Reason.TRUNCATED, True, StudyStatus.SCORED),  # rsync leaves '.image.dcm.a1B2c3' when its connection breaks
        (Reason.TRUNCATED, False, StudyStatus.PARTIAL),
        (Reason.NO_PIXEL_DATA, True, StudyStatus.PARTIAL),
    ],
)
def test_the_rest_of_a_broken_transfer_leaves_a_study_whole(
    make_instance: MakeInstance, make_score: MakeScore, reason: Reason, of_scored: bool, status: StudyStatus
) -> None:
    score = make_score(make_instance("a"), 0.4)
    rest = replace(refused("b", reason), sop_instance_uid=score.instance.sop_instance_uid if of_scored else "9.9")
    (row,) = rows_of(StudyFiles("1.2", (score,), (), (rest,)), 0.5)
    assert row.status is status


def test_objects_that_are_no_radiographs_leave_a_study_whole(
    make_instance: MakeInstance, make_score: MakeScore
) -> None:
    report = refused("sr", Reason.NOT_AN_IMAGE)
    (row,) = rows_of(StudyFiles("1.2", (make_score(make_instance("a"), 0.4),), (), (report,)), 0.5)
    assert (row.status, row.instances, row.reason) == (StudyStatus.SCORED, 1, "")


def test_a_study_of_derived_images_alone_says_so(make_instance: MakeInstance, make_score: MakeScore) -> None:
    derived = refused("d", Reason.DERIVED)
    (row,) = rows_of(StudyFiles("1.2", (), (), (derived,)), 0.5)
    assert (row.status, row.reason) == (StudyStatus.SKIPPED, "derived;no original image in the study")
    (row,) = rows_of(StudyFiles("1.2", (make_score(make_instance("a"), 0.4),), (), (derived,)), 0.5)
    assert (row.status, row.reason) == (StudyStatus.SCORED, "")


def test_a_study_of_two_regions_has_a_row_for_each(make_instance: MakeInstance, make_score: MakeScore) -> None:
    scored = (
        make_score(make_instance("a", region=Region.HAND), 0.1),
        make_score(make_instance("b", region=Region.WRIST), 0.9),
    )
    rows = rows_of(StudyFiles("1.2", scored, (), ()), 0.5)
    assert [(row.region, row.score) for row in rows] == [(Region.HAND, 0.1), (Region.WRIST, 0.9)]


def test_both_hands_in_one_study_are_not_averaged(make_instance: MakeInstance, make_score: MakeScore) -> None:
    scored = (
        make_score(make_instance("a", side=Laterality.LEFT), 0.1),
        make_score(make_instance("b", side=Laterality.RIGHT), 0.9),
    )
    rows = rows_of(StudyFiles("1.2", scored, (), ()), 0.5)
    assert [(row.laterality, row.abnormal) for row in rows] == [(Laterality.LEFT, False), (Laterality.RIGHT, True)]


def test_an_image_without_a_side_joins_the_only_side_known(make_instance: MakeInstance, make_score: MakeScore) -> None:
    scored = (make_score(make_instance("a", side=Laterality.LEFT), 0.2), make_score(make_instance("b"), 0.4))
    (row,) = rows_of(StudyFiles("1.2", scored, (), ()), 0.5)
    assert (row.laterality, row.scored) == (Laterality.LEFT, 2)


def test_a_study_is_unchanged_only_if_every_score_is_reused(make_instance: MakeInstance, make_score: MakeScore) -> None:
    old, new = make_score(make_instance("a"), 0.2, reused=True), make_score(make_instance("b"), 0.4)
    assert rows_of(StudyFiles("1.2", (old,), (), ()), 0.5)[0].status is StudyStatus.UNCHANGED
    assert rows_of(StudyFiles("1.2", (old, new), (), ()), 0.5)[0].status is StudyStatus.SCORED


def test_a_study_without_radiographs_still_has_its_row() -> None:
    report = Skipped(SourceFile("sr", 1, 1, 1), Stage.HEADER, Reason.NOT_AN_IMAGE, study_uid="1.2", accession="A7")
    (row,) = rows_of(StudyFiles("1.2", (), (), (report,)), 0.5)
    assert (row.status, row.reason, row.accession) == (StudyStatus.SKIPPED, "not_an_image", "A7")


def test_the_first_of_identical_copies_is_chosen(make_instance: MakeInstance) -> None:
    copies = [(make_instance(path, sop="1.9"), "same") for path in ("b", "a", "c")]
    assert [(s.source.path, s.reason) for s in settle_same_sop(copies, NAMES)] == [
        ("b", Reason.DUPLICATE),
        ("c", Reason.DUPLICATE),
    ]


def test_copies_that_differ_are_all_set_aside(make_instance: MakeInstance) -> None:
    copies = [(make_instance("a", sop="1.9"), "one"), (make_instance("b", sop="1.9"), "other")]
    skips = settle_same_sop(copies, NAMES)
    assert [s.reason for s in skips] == [Reason.CONFLICTING_DUPLICATE] * 2
    (row,) = rows_of(StudyFiles("1.2", (), tuple(zip((i for i, _ in copies), skips, strict=True)), ()), 0.5)
    assert row.status is StudyStatus.SET_ASIDE


def test_a_scored_copy_keeps_its_score_beside_a_second_export(make_instance: MakeInstance) -> None:
    old, new = (make_instance("z", sop="1.9"), "one"), (make_instance("a", sop="1.9"), "other")
    (skip,) = settle_same_sop([new, old], NAMES, scored={"z"})
    assert (skip.source.path, skip.reason) == ("a", Reason.CONFLICTING_DUPLICATE)
    (skip,) = settle_same_sop([(new[0], "one"), old], NAMES, scored={"z"})
    assert (skip.source.path, skip.reason) == ("a", Reason.DUPLICATE)
    assert (
        len(settle_same_sop([new, old], NAMES, scored={"a", "z"})) == 2
    )  # two were scored: nobody knows which is right


def test_a_study_of_two_patients_is_set_aside_whole(make_instance: MakeInstance) -> None:
    instances = [make_instance("a", patient="p1"), make_instance("b", patient="p2"), make_instance("c", patient="")]
    assert [s.reason for s in settle_patients(instances)] == [Reason.CONFLICTING_PATIENT] * 3


def test_an_image_that_names_no_patient_is_no_conflict(make_instance: MakeInstance) -> None:
    assert settle_patients([make_instance("a", patient="p1"), make_instance("b", patient="")]) == ()


@given(st.lists(st.tuples(st.sampled_from(list(Region)), st.sampled_from(list(Laterality))), min_size=1, max_size=12))
def test_every_radiograph_is_counted_in_exactly_one_row(parts: list[tuple[Region, Laterality]]) -> None:
    scored = tuple(
        build_score(build_instance(str(n), region=RegionFinding(region), laterality=side), n / 12)
        for n, (region, side) in enumerate(parts)
    )
    rows = aggregate(StudyFiles("1.2", scored, (), ()), 0.5)
    assert sorted(image.probability for _, images in rows for image in images) == [s.probability for s in scored]
    assert all(row.scored == len(images) for row, images in rows)
    assert len({row.row_key for row, _ in rows}) == len(rows)


def test_each_row_comes_with_the_images_of_its_mean(make_instance: MakeInstance, make_score: MakeScore) -> None:
    left = make_score(make_instance("a", side=Laterality.LEFT), 0.1)
    right = make_score(make_instance("b", side=Laterality.RIGHT), 0.9)
    wrist = make_score(make_instance("c", region=Region.WRIST), 0.5)
    rows = aggregate(StudyFiles("1.2", (wrist, right, left), (), ()), 0.5)
    assert [(row.row_key, images) for row, images in rows] == [
        ("1.2/hand/L", (left,)),
        ("1.2/hand/R", (right,)),
        ("1.2/wrist", (wrist,)),
    ]
