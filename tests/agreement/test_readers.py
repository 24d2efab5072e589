"""Readers against each other, against statsmodels and a printed table, and the model beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.inter_rater import fleiss_kappa

from mura_batch.agreement.kappa import clustered_kappa_score
from mura_batch.agreement.readers import NO_COMMON, ONE_CLASS, between_readers, fleiss_kappa_score
from mura_batch.agreement.truth import Case

# Fleiss JL, Psychological Bulletin 76 (1971) 378-382, table 1: 30 patients, 6 psychiatrists, 5 diagnoses; kappa .430.
FLEISS_1971 = [
    [0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0], [2, 0, 4, 0, 0],
    [0, 0, 4, 0, 2], [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6], [1, 0, 0, 5, 0], [1, 1, 0, 4, 0],
    [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1], [0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0],
    [0, 2, 0, 4, 0], [1, 0, 2, 0, 3], [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0],
    [1, 0, 0, 4, 1], [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6],
]  # fmt: skip


def case(n: int, abnormal: bool, *readers: int | None) -> Case:
    return Case(f"1.{n}", f"p{n}", "wrist", "R", 0, 0.9 if abnormal else 0.1, abnormal, readers)


def test_fleiss_kappa_is_the_printed_one() -> None:
    found = fleiss_kappa_score(FLEISS_1971, range(30))
    assert round(found.value, 3) == 0.430
    assert found.value == pytest.approx(fleiss_kappa(np.array(FLEISS_1971)), abs=1e-12)
    assert found.low < 0.430 < found.high


@pytest.mark.parametrize("readers", [2, 3, 5])
def test_two_class_fleiss_kappa_equals_statsmodels(readers: int) -> None:
    rng = np.random.default_rng(readers)
    abnormal = rng.binomial(readers, rng.beta(0.4, 0.8, 207))
    counts = np.stack([readers - abnormal, abnormal], axis=1)
    found = fleiss_kappa_score(counts, range(207))
    assert found.value == pytest.approx(fleiss_kappa(counts), abs=1e-12)
    assert found.low < found.value < found.high


def test_the_standard_error_is_that_of_a_jackknife() -> None:
    rng = np.random.default_rng(1)
    abnormal = rng.binomial(3, rng.beta(0.4, 0.8, 400))
    counts = np.stack([3 - abnormal, abnormal], axis=1)
    left_out = np.array([fleiss_kappa(np.delete(counts, n, axis=0)) for n in range(400)])
    jackknife = math.sqrt(399 / 400 * ((left_out - left_out.mean()) ** 2).sum())
    assert fleiss_kappa_score(counts, range(400)).se == pytest.approx(jackknife, rel=0.01)


def test_copies_of_a_patients_studies_add_no_information() -> None:
    counts = [[3, 0], [0, 3], [2, 1], [3, 0]] * 30
    alone, twice = fleiss_kappa_score(counts, range(120)), fleiss_kappa_score(counts * 2, [*range(120), *range(120)])
    assert twice.value == pytest.approx(alone.value)
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.03)


@pytest.mark.parametrize("counts", [[[3, 0], [2, 0]], [[1, 0]], [[4, -1]], [[3]], []])
def test_counts_that_cannot_be_are_refused(counts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"counts|readers"):
        fleiss_kappa_score(counts, range(len(counts)))


def test_one_class_has_no_kappa_and_says_why() -> None:
    found = fleiss_kappa_score([[3, 0], [3, 0]], [1, 2])
    assert math.isnan(found.value)
    assert found.reason == ONE_CLASS


def test_complete_agreement_reaches_one() -> None:
    found = fleiss_kappa_score([[3, 0], [0, 3]] * 20, range(40))
    assert (found.value, found.high) == (pytest.approx(1), pytest.approx(1))
    assert 0.8 < found.low < 1


def test_each_reader_is_compared_with_each_other() -> None:
    cases = [case(1, True, 1, 1, 0), case(2, False, 0, 0, 0), case(3, True, 1, 0, 1), case(4, False, 0, None, 1)]
    found = between_readers(("a", "b", "c"), cases)
    assert found is not None
    assert [(pair.first, pair.second, pair.n) for pair in found.pairs] == [("a", "b", 3), ("a", "c", 4), ("b", "c", 3)]
    assert found.pairs[1].kappa == clustered_kappa_score([1, 0, 1, 0], [0, 0, 1, 1], ["p1", "p2", "p3", "p4"])
    assert found.fleiss.n == 3


def test_reader_and_model_meet_the_majority_of_the_others() -> None:
    cases = [
        case(1, True, 1, 1, 1), case(2, False, 1, 0, 0), case(3, True, 0, 1, 0), case(4, False, 0, 0, 0),
        case(5, True, None, 1, 1), case(6, True, 1, None, None),
    ]  # fmt: skip
    found = between_readers(("a", "b", "c"), cases)
    assert found is not None
    first = found.others[0]
    # Study 3: b and c differ. Study 5: a has not read it. Study 6: nobody else has.
    assert (first.reader, first.n, first.undecided) == ("a", 3, 1)
    patients = ["p1", "p2", "p4"]
    assert first.reader_kappa == clustered_kappa_score([1, 0, 0], [1, 1, 0], patients)
    assert first.model_kappa == clustered_kappa_score([1, 0, 0], [1, 0, 0], patients)


def test_one_reader_or_no_case_gives_nothing() -> None:
    assert between_readers(("a",), [case(1, True, 1)]) is None
    assert between_readers(("a", "b"), []) is None


def test_readers_without_a_common_study_say_so() -> None:
    found = between_readers(("a", "b"), [case(1, True, 1, None), case(2, True, None, 0)])
    assert found is not None
    assert found.fleiss.reason == NO_COMMON
    assert found.pairs[0].kappa.reason == "no study in common"
