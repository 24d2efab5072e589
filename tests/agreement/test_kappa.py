"""Cohen's kappa against statsmodels and against printed values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from mura_batch.agreement.kappa import (
    COLLAPSED,
    DIRICHLET,
    DIRICHLET_CLUSTERED,
    LARGE_SAMPLE,
    ONE_CLASS,
    ONE_CLASS_IN_CALLS,
    ONE_CLASS_IN_TRUTH,
    clustered_kappa_score,
    cohen_kappa_score,
)
from mura_batch.agreement.quantiles import Z95

Table = list[list[int]]

# statsmodels/stats/tests/test_inter_rater.py: table10 (from the SAS manual, PROC FREQ), the tables of
# test_fleis_randolph, and the random 5 x 5 table of test_cohenskappa_weights.
SAS: Table = [[0, 4, 1], [0, 8, 0], [0, 1, 5]]
RANDOM_5 = (np.random.RandomState(9743678).randint(0, 10, size=(5, 5)) + 5 * np.eye(5)).tolist()
STATSMODELS_TABLES = [
    SAS,
    [[7, 1], [3, 5]],
    [[6.99, 0.01], [6.99, 0.01]],
    RANDOM_5,
    [[20, 20], [10, 50]],  # Artstein & Poesio 2008
    [[1507, 160], [357, 1173]],  # the article's 3,197 validation images of MURA
    [[31, 12], [4, 58]],
    [[0, 5], [5, 0]],  # disagreement only
    [[98, 1], [1, 0]],  # one class is rare
]


@pytest.mark.parametrize("table", STATSMODELS_TABLES)
def test_value_and_standard_error_equal_those_of_statsmodels(table: Sequence[Sequence[float]]) -> None:
    ours, theirs = cohen_kappa_score(table), cohens_kappa(np.asarray(table, dtype=float))
    assert ours.value == pytest.approx(theirs.kappa, abs=1e-12)
    if theirs.var_kappa > 1e-12:
        assert ours.se == pytest.approx(math.sqrt(theirs.var_kappa), abs=1e-12)
    else:
        assert math.isnan(ours.se)
    assert ours.method == (DIRICHLET if len(table) == 2 else LARGE_SAMPLE)


@pytest.mark.parametrize(
    ("table", "value", "interval"),
    [
        (SAS, 0.484, (0.214, 0.755)),  # the SAS print-out quoted in statsmodels' tests: .4842, .2137 to .7547
        ([[31, 12], [4, 58]], 0.676, (0.532, 0.820)),  # R package statpsych, ci.kappa(.05, 31, 12, 4, 58)
        ([[20, 20], [10, 50]], 0.348, None),  # Artstein & Poesio 2008, Computational Linguistics 34(4)
        ([[1507, 160], [357, 1173]], 0.674, None),  # P. Guillou, "Fastai, the new radiology tool"
    ],
)
def test_published_values_are_met(table: Table, value: float, interval: tuple[float, float] | None) -> None:
    """The published intervals are value +- 1.96 standard errors."""
    ours = cohen_kappa_score(table)
    assert round(ours.value, 3) == value
    if interval is not None:
        assert (round(ours.value - Z95 * ours.se, 3), round(ours.value + Z95 * ours.se, 3)) == interval


def test_standard_error_of_statpsych_is_met() -> None:
    """R package statpsych 2.0.0, ci.kappa(.05, 31, 12, 4, 58): estimate .6756757, SE .07344761."""
    ours = cohen_kappa_score([[31, 12], [4, 58]])
    assert (round(ours.value, 7), round(ours.se, 8)) == (0.6756757, 0.07344761)


def test_kappa_of_the_psychiatry_data_is_met() -> None:
    """Donner & Petryshen 1989, 135 pairs (R package clust.bin.pair): kappa -.01590, error .07840 without its clusters.
    The clusters themselves are in no text that could be had: the errors between patients are held against R survey."""
    ours = cohen_kappa_score([[25, 21], [50, 39]])
    assert (f"{ours.value:.5f}", f"{ours.se:.5f}") == ("-0.01590", "0.07840")


counts = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 60), min_size=k, max_size=k), min_size=k, max_size=k)
)


@settings(deadline=None)  # a busy machine is no failure
@given(counts)
def test_any_table_equals_statsmodels_or_is_undefined(table: Table) -> None:
    counted = np.asarray(table)
    assume(counted.sum() > 0)
    ours = cohen_kappa_score(table)
    assert ours.n == counted.sum()
    if not ours.is_defined:
        assert counted.sum(axis=1).max() == counted.sum()
        assert ours.reason in {ONE_CLASS, ONE_CLASS_IN_TRUTH}
        return
    if not math.isnan(ours.se):
        theirs = cohens_kappa(counted)
        assert ours.value == pytest.approx(theirs.kappa, abs=1e-12)
        assert ours.se == pytest.approx(math.sqrt(theirs.var_kappa), abs=1e-9)
    if not math.isnan(ours.low):
        assert -1 <= ours.low <= ours.value <= ours.high <= 1
        assert ours.low < ours.high
    else:
        assert ours.reason == COLLAPSED


@settings(deadline=None)  # a busy machine is no failure
@given(counts)
def test_swapping_readers_or_classes_changes_nothing(table: Table) -> None:
    counted = np.asarray(table)
    assume(counted.sum(axis=0).max() < counted.sum() and counted.sum(axis=1).max() < counted.sum())
    first = cohen_kappa_score(counted)
    for other in (cohen_kappa_score(counted.T), cohen_kappa_score(counted[::-1, ::-1])):
        assert (other.value, other.se) == pytest.approx((first.value, first.se), abs=1e-7, nan_ok=True)
        assert (other.low, other.high) == pytest.approx((first.low, first.high), abs=2e-3, nan_ok=True)


def test_complete_agreement_has_a_proper_interval() -> None:
    perfect = cohen_kappa_score([[7, 0], [0, 7]])  # statsmodels' test_fleis_randolph: 1.0
    assert (perfect.value, perfect.high, perfect.reason) == (1, 1, "")
    assert 0.4 < perfect.low < 0.9


def test_complete_agreement_of_three_classes_has_no_interval() -> None:
    perfect = cohen_kappa_score(np.diag([7, 7, 7]))
    assert perfect.value == 1
    assert math.isnan(perfect.low)
    assert perfect.reason == COLLAPSED


def test_calls_of_one_class_have_kappa_0_and_a_warning() -> None:
    """Chance explains all of the agreement; value +- 1.96 se would be 0.000 [0.000, 0.000]."""
    all_normal = cohen_kappa_score([[40, 0], [3, 0]])
    assert all_normal.value == pytest.approx(0, abs=1e-12)
    assert all_normal.reason == ONE_CLASS_IN_CALLS
    assert math.isnan(all_normal.se)
    assert all_normal.low < -0.01
    assert all_normal.high > 0.1


def test_truth_of_one_class_is_undefined_and_named() -> None:
    """Sixty normal studies of which ten were called abnormal: once 0.000 [0.000, 0.000], its standard error 8e-9."""
    for ours in (
        cohen_kappa_score([[50, 10], [0, 0]]),
        clustered_kappa_score([0] * 60, [0] * 50 + [1] * 10, range(60)),
        clustered_kappa_score([0] * 60, [0] * 50 + [1] * 10, [n // 2 for n in range(60)]),
    ):
        assert math.isnan(ours.value)
        assert math.isnan(ours.low)
        assert ours.reason == ONE_CLASS_IN_TRUTH


@pytest.mark.parametrize("table", [[[9, 0], [0, 0]], [[0, 0], [0, 4]], [[0, 0, 0], [0, 3, 0], [0, 0, 0]]])
def test_one_class_only_is_undefined_with_the_reason(table: Table) -> None:
    ours = cohen_kappa_score(table)
    assert math.isnan(ours.value)
    assert math.isnan(ours.low)
    assert math.isnan(ours.high)
    assert ours.reason == ONE_CLASS


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1, 2, 3], [4, 5, 6]], "square"),
        ([1, 2], "square"),
        ([[5]], "at least 2 x 2"),
        ([[1, 2], [3]], "counts"),
        ([["a", "b"], ["c", "d"]], "counts"),
        ([[1, -1], [0, 4]], "not negative"),
        ([[1, math.nan], [0, 4]], "finite"),
        ([[1, math.inf], [0, 4]], "finite"),
        ([[0, 0], [0, 0]], "empty"),
    ],
)
def test_a_table_that_holds_no_counts_is_an_error(table: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cohen_kappa_score(table)  # type: ignore[arg-type]


# Patients with several studies


def _labels(n: int, seed: int = 4) -> tuple[list[int], list[int]]:
    """n studies, on which two readers agree in about 85 of 100."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    predicted = np.where(rng.random(n) < 0.85, truth, 1 - truth)
    return truth.tolist(), predicted.tolist()


def test_one_study_a_patient_is_the_kappa_of_the_table() -> None:
    truth, predicted = _labels(60)
    table = np.zeros((2, 2), dtype=int)
    np.add.at(table, (truth, predicted), 1)
    of_table, of_studies = cohen_kappa_score(table), clustered_kappa_score(truth, predicted, range(60))
    assert (of_studies.value, of_studies.low, of_studies.high) == (of_table.value, of_table.low, of_table.high)
    assert of_studies.se == pytest.approx(of_table.se * math.sqrt(60 / 59), rel=1e-12)
    assert of_studies.method == of_table.method == DIRICHLET


PET = "000 110 111 1 110 1111 111 11 11 1 110 11 111 11 00 110 110 110 11 1 11"  # a word a patient, a digit a gland
SPECT = "011 111 111 1 111 1111 111 11 10 1 110 11 111 11 11 110 110 111 11 1 11"


def test_clustered_standard_error_is_that_of_r_survey() -> None:
    """Thyroid glands of 21 patients by PET and SPECT (Obuchowski, Statistics in Medicine 17, 1998; R clust.bin.pair).
    R survey 4.1.1, svykappa(~x+y, svydesign(ids=~patient)): .422096317280453, SE .155379026650932; with ids=~1
    .162213962833313."""
    pet, spect = ([int(gland) for gland in by.replace(" ", "")] for by in (PET, SPECT))
    patients = [n for n, glands in enumerate(PET.split()) for _ in glands]
    clustered = clustered_kappa_score(pet, spect, patients)
    assert clustered.value == pytest.approx(0.422096317280453, abs=1e-14)
    assert clustered.se == pytest.approx(0.155379026650932, abs=1e-12)
    assert clustered_kappa_score(pet, spect, range(len(pet))).se == pytest.approx(0.162213962833313, abs=1e-12)
    assert clustered.method == DIRICHLET_CLUSTERED


def test_repeated_studies_of_a_patient_count_as_about_one() -> None:
    truth, predicted = _labels(40)
    once = clustered_kappa_score(truth, predicted, range(40))
    four_times = clustered_kappa_score(truth * 4, predicted * 4, list(range(40)) * 4)
    independent = clustered_kappa_score(truth * 4, predicted * 4, range(160))
    assert four_times.value == pytest.approx(once.value)
    assert four_times.se == pytest.approx(once.se)
    assert four_times.high - four_times.low == pytest.approx(once.high - once.low, rel=0.1)
    assert independent.high - independent.low < 0.6 * (four_times.high - four_times.low)


def test_complete_agreement_of_few_patients_has_a_wide_interval() -> None:
    twenty = clustered_kappa_score([0, 1] * 10, [0, 1] * 10, range(20))
    of_four = clustered_kappa_score([0, 1] * 10, [0, 1] * 10, [n // 5 for n in range(20)])
    assert twenty.value == twenty.high == of_four.value == of_four.high == 1
    assert of_four.low < twenty.low - 0.2


def test_labels_of_one_class_only_are_undefined() -> None:
    none = clustered_kappa_score([0] * 12, [0] * 12, range(12))
    assert not none.is_defined
    assert none.reason == ONE_CLASS


@pytest.mark.parametrize(
    ("truth", "predicted", "patients"),
    [([0, 2], [0, 1], [1, 2]), ([0, 1], [0], [1, 2]), ([0, 1], [0, 1], [1]), ([], [], [])],
)
def test_labels_that_do_not_pair_are_an_error(truth: list[int], predicted: list[int], patients: list[int]) -> None:
    with pytest.raises(ValueError, match=r"labels|empty"):
        clustered_kappa_score(truth, predicted, patients)
