"""Figures by side, sex, age, device and view; and at other thresholds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sklearn import metrics

from mura_batch.agreement.groupings import MOST_GROUPS, Grouping
from mura_batch.agreement.operating_points import operating_points
from mura_batch.agreement.summary import Agreement, summarise
from mura_batch.agreement.traits import SEVERAL, ImageTraits, TraitBook, device_name
from mura_batch.agreement.truth import Case, Matched
from mura_batch.agreement.truth_file import Truth
from mura_batch.records import Laterality, Region, StudyScore, StudyStatus

N = 60


def row(n: int) -> StudyScore:
    score = (0.37 * n) % 1
    return StudyScore(
        study_uid=f"1.2.{n}", accession="", patient_key="", study_date="20260105", region=Region.HAND,
        laterality=(Laterality.LEFT, Laterality.RIGHT)[n % 2], instances=2, scored=2, score=score,
        abnormal=score > 0.5, threshold=0.5, status=StudyStatus.SCORED,
    )  # fmt: skip


def case_of(study: StudyScore) -> Case:
    n = int(study.study_uid.rpartition(".")[2])
    label = int(bool(study.abnormal) ^ (n % 4 == 3))
    assert study.score is not None
    return Case(
        study.study_uid, study.study_uid, study.region, study.laterality, label, study.score, bool(study.abnormal)
    )  # fmt: skip


def image(n: int, **other: object) -> ImageTraits:
    plain = ImageTraits(sex="FM"[n % 3 == 0], age=n, device=f"Maker {n % 2}", view="PA", probability=0.2)
    return replace(plain, **other)  # type: ignore[arg-type]


def agreement(book: TraitBook, cases: list[Case]) -> Agreement:
    found = summarise(Matched(Truth(()), tuple(cases), unscored=0, unlabelled=0), book)
    assert found is not None
    return found


@pytest.fixture
def whole() -> Agreement:
    book = TraitBook()
    for n in range(N):
        book.add(row(n), [image(n), image(n, view="LL", probability=0.9)])
    return agreement(book, [case_of(row(n)) for n in range(N)])


def named(found: Agreement, kind: str) -> Grouping:
    (grouping,) = [of for of in found.groupings if of.kind == kind]
    return grouping


def test_each_kind_divides_all_cases(whole: Agreement) -> None:
    assert [of.kind for of in whole.groupings] == ["side", "sex", "age", "device", "view"]  # one region divides nothing
    for kind in ("side", "sex", "age", "device"):
        of = named(whole, kind)
        assert sum(group.n for group in of.groups) + of.cases_left_out == N
    assert [group.name for group in named(whole, "age").groups] == ["age: under 18", "age: 18 to 39", "age: 40 to 64"]
    assert [(group.name, group.n) for group in named(whole, "sex").groups] == [("sex: female", 40), ("sex: male", 20)]


def test_a_group_has_the_figures_of_its_own_cases(whole: Agreement) -> None:
    members = [case_of(row(n)) for n in range(N) if n % 2 == 0]
    (left,) = [group for group in named(whole, "side").groups if group.name == "side: left"]
    truth, called = [c.label for c in members], [c.abnormal for c in members]
    assert left.n == len(members)
    assert left.kappa.value == pytest.approx(metrics.cohen_kappa_score(truth, called))


def test_a_view_is_scored_by_its_own_images(whole: Agreement) -> None:
    by_view = {group.name: group for group in named(whole, "view").groups}
    assert by_view["view: PA"].n == by_view["view: LL"].n == N
    assert by_view["view: PA"].specificity.value == by_view["view: LL"].sensitivity.value == 1
    assert by_view["view: LL"].specificity.value == by_view["view: PA"].sensitivity.value == 0


def test_small_groups_are_counted_and_have_no_figures() -> None:
    book = TraitBook()
    for n in range(N):
        book.add(row(n), [image(n, device="rare" if n < 4 else "common", age=None, sex="")])
    found = agreement(book, [case_of(row(n)) for n in range(N)])
    device = named(found, "device")
    assert [group.name for group in device.groups] == ["device: common"]
    assert (device.left_out, device.cases_left_out) == (1, 4)
    assert not {"sex", "age"} & {of.kind for of in found.groupings}  # not recorded: they divide nothing


def test_devices_beyond_the_largest_forty_are_counted() -> None:
    book, cases = TraitBook(), []
    for n in range(500):
        book.add(row(n), [image(n, device=f"device {n // 10}")])
        cases.append(case_of(row(n)))
    device = named(agreement(book, cases), "device")
    assert (len(device.groups), device.left_out, device.cases_left_out) == (MOST_GROUPS, 10, 100)


def test_a_label_of_several_regions_enters_no_region_side_or_view() -> None:
    book = TraitBook()
    cases = [replace(case_of(row(n)), whole_study=n < 20) for n in range(N)]
    for n in range(N):
        book.add(row(n), [image(n), image(n, view="LL")])
    found = agreement(book, cases)
    assert {group.n for group in named(found, "view").groups} == {40}
    assert sum(group.n for group in named(found, "side").groups) == 40
    assert sum(group.n for group in named(found, "sex").groups) == N


def test_images_that_differ_belong_to_several() -> None:
    book = TraitBook()
    book.add(row(0), [image(0, device="a", sex="F", age=None), image(0, device="b", sex="", age=3)])
    traits = book.of(row(0).row_key)
    assert (traits.device, traits.sex, traits.age) == (SEVERAL, "F", 3)


@pytest.mark.parametrize(
    ("maker", "model", "name"),
    [
        ("ACME", "Ray 1", "ACME Ray 1"),
        ("ACME  Corp", "Acme Corp  Ray 1", "Acme Corp Ray 1"),
        ("", "Ray 1", "Ray 1"),
        ("", "", ""),
    ],
)
def test_a_device_is_named_once(maker: str, model: str, name: str) -> None:
    assert device_name(maker, model) == name


def test_the_number_of_comparisons_counts_every_interval(whole: Agreement) -> None:
    groups = [group for of in whole.groupings for group in of.groups]
    assert whole.comparisons == sum(e.low == e.low for group in groups for _, e in group.figures())
    assert whole.comparisons > 100


def test_other_thresholds_equal_a_new_run_at_them() -> None:
    cases = [case_of(row(n)) for n in range(N)]
    points = operating_points(cases, 0.5001)
    assert [point.threshold for point in points] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.5001, 0.6, 0.7, 0.8, 0.9]
    for point in points:
        truth, called = [c.label for c in cases], [int(c.score > point.threshold) for c in cases]
        assert point.called_abnormal.value == pytest.approx(sum(called) / N)
        assert point.sensitivity.value == pytest.approx(metrics.recall_score(truth, called))
        assert point.specificity.value == pytest.approx(metrics.recall_score(truth, called, pos_label=0))
        assert point.kappa.value == pytest.approx(metrics.cohen_kappa_score(truth, called))
        assert point.ppv.value == pytest.approx(metrics.precision_score(truth, called))
