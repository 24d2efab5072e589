"""What an export holds, before anything is drawn."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr.codedict import codes

from mura_batch.phantom import PhantomOptions
from mura_batch.phantom.injuries import Injury
from mura_batch.phantom.study_plan import REGION_CODES, TECHNIQUES, VIEW_CODES, injury_of, plan_chest, plan_study
from mura_batch.records import MURA_REGIONS


def test_seven_studies_cover_the_seven_regions() -> None:
    assert tuple(plan_study(n, PhantomOptions()).region for n in range(7)) == MURA_REGIONS


def test_fourteen_studies_hold_every_technique_and_one_to_four_instances() -> None:
    plans = [plan_study(n, PhantomOptions(seed=5)) for n in range(14)]

    assert {plan.images[0].technique for plan in plans} == set(TECHNIQUES)
    assert {len(plan.images) for plan in plans} == {1, 2, 3, 4}


@given(seed=st.integers(0, 2**40), block=st.integers(0, 50))
def test_each_fourteen_studies_cover_both_labels_of_every_region(seed: int, block: int) -> None:
    labels = defaultdict(set)
    for n in range(14 * block, 14 * block + 14):
        labels[n % 7].add(injury_of(n, seed) is not Injury.NONE)

    assert all(both == {False, True} for both in labels.values())


def test_fractures_and_metal_both_occur() -> None:
    assert {injury_of(n, 0) for n in range(28)} == set(Injury)


def test_no_two_objects_share_a_uid_or_a_place() -> None:
    options = PhantomOptions(seed=9)
    images = [i for plan in (*(plan_study(n, options) for n in range(60)), plan_chest(options)) for i in plan.images]

    assert len({image.radiograph.header.sop_instance_uid for image in images}) == len(images)
    assert len({image.path for image in images}) == len(images)


def test_file_names_fit_a_dicom_directory() -> None:
    """PS3.10 8.2: at most eight of A-Z, 0-9 and underscore."""
    for n in (0, 5, 59, 99_999):
        for image in plan_study(n, PhantomOptions()).images:
            assert all(len(part) <= 8 and part.replace("_", "").isalnum() and part.isupper() for part in image.path)


def test_small_and_full_size_studies_are_other_studies() -> None:
    small, full = (plan_study(0, PhantomOptions(small=small)) for small in (True, False))

    assert small.header.study_uid != full.header.study_uid
    assert small.images[0].exposure.rows * 3 < full.images[0].exposure.rows


def test_two_studies_of_a_patient_show_the_same_person() -> None:
    first, second = (plan_study(n, PhantomOptions()) for n in (4, 5))

    assert first.header.patient_id == second.header.patient_id
    assert first.header.study_uid != second.header.study_uid
    assert first.images[0].exposure.person == second.images[0].exposure.person
    assert first.folder[0] == second.folder[0]
    assert first.folder[1] != second.folder[1]


def test_codes_are_those_of_the_standard() -> None:
    """pydicom's copy of PS3.16 CID 4031 and CID 4010."""
    anatomy = {getattr(codes.cid4031, name).value for name in codes.cid4031.dir()}
    views = {getattr(codes.cid4010, name).value: getattr(codes.cid4010, name).meaning for name in codes.cid4010.dir()}

    assert {code.value for code in REGION_CODES.values()} <= anatomy
    assert {code.value: code.meaning for code in VIEW_CODES.values()}.items() <= views.items()
