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
    BOOTSTRAP_ROUNDS,
    COLLAPSED,
    EXACT_AGREEMENT,
    FEWEST_PATIENTS,
    LARGE_SAMPLE,
    ONE_CLASS,
    bootstrap_kappa,
    cohen_kappa_score,
)

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
def test_value_error_and_interval_equal_those_of_statsmodels(table: Sequence[Sequence[float]]) -> None:
    ours, theirs = cohen_kappa_score(table), cohens_kappa(np.asarray(table, dtype=float))
    assert ours.value == pytest.approx(theirs.kappa, abs=1e-12)
    assert ours.se == pytest.approx(math.sqrt(max(theirs.var_kappa, 0)), abs=1e-12)
    assert ours.low == pytest.approx(max(-1, ours.value - 1.959963984540054 * ours.se), abs=1e-12)
    if theirs.var_kappa > 0:
        assert ours.low == pytest.approx(max(-1, theirs.kappa_low), abs=1e-12)
        assert ours.high == pytest.approx(min(1, theirs.kappa_upp), abs=1e-12)
    assert ours.method == LARGE_SAMPLE


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
    ours = cohen_kappa_score(table)
    assert round(ours.value, 3) == value
    if interval is not None:
        assert (round(ours.low, 3), round(ours.high, 3)) == interval


counts = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 60), min_size=k, max_size=k), min_size=k, max_size=k)
)


@settings(deadline=None)  # a busy machine is no failure
@given(counts)
def test_any_table_agrees_with_statsmodels_or_is_told_to_be_degenerate(table: Table) -> None:
    counted = np.asarray(table)
    assume(counted.sum() > 0)
    ours = cohen_kappa_score(table)
    if not ours.is_defined:
        assert counted.diagonal().max() == counted.sum()
        assert ours.reason == ONE_CLASS
        return
    theirs = cohens_kappa(counted) if ours.se > 1e-7 else None
    if theirs is not None:
        assert ours.value == pytest.approx(theirs.kappa, abs=1e-12)
        assert ours.low == pytest.approx(max(-1, theirs.kappa_low), abs=1e-9)
        assert ours.high == pytest.approx(min(1, theirs.kappa_upp), abs=1e-9)
    assert -1 <= ours.low <= ours.value + 1e-12
    assert ours.value - 1e-12 <= ours.high <= 1
    assert ours.n == counted.sum()


@settings(deadline=None)  # a busy machine is no failure
@given(counts)
def test_exchanging_the_readers_or_the_classes_changes_nothing(table: Table) -> None:
    counted = np.asarray(table)
    assume(counted.sum() > 0)
    first = cohen_kappa_score(counted)
    for other in (cohen_kappa_score(counted.T), cohen_kappa_score(counted[::-1, ::-1])):
        assert (other.value, other.low, other.high) == pytest.approx(
            (first.value, first.low, first.high), abs=1e-7, nan_ok=True
        )


def test_agreement_without_exception_has_a_value_and_a_warning_beside_its_collapsed_interval() -> None:
    perfect = cohen_kappa_score([[7, 0], [0, 7]])  # statsmodels' test_fleis_randolph: 1.0
    assert (perfect.value, perfect.low, perfect.high) == (1, 1, 1)
    assert perfect.reason == COLLAPSED


def test_a_reader_who_calls_everything_normal_has_kappa_0_and_no_usable_interval() -> None:
    """Chance explains all of the agreement; statsmodels takes the root of -1e-15 here and gives NaN limits."""
    all_normal = cohen_kappa_score([[40, 0], [3, 0]])
    assert all_normal.value == pytest.approx(0, abs=1e-12)
    assert all_normal.reason == COLLAPSED


@pytest.mark.parametrize("table", [[[9, 0], [0, 0]], [[0, 0], [0, 4]], [[0, 0, 0], [0, 3, 0], [0, 0, 0]]])
def test_one_class_only_is_undefined_with_the_reason(table: Table) -> None:
    ours = cohen_kappa_score(table)
    assert math.isnan(ours.value)
    assert math.isnan(ours.low)
    assert math.isnan(ours.high)
    assert ours.reason == ONE_CLASS


@pytest.mark.parametrize(
    ("table", "told"),
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
def test_what_is_no_table_of_counts_is_refused_in_words(table: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        cohen_kappa_score(table)  # type: ignore[arg-type]


# The bootstrap


def _labels(n: int, seed: int = 4) -> tuple[list[int], list[int], list[str]]:
    """n studies of n patients, on which two readers agree in about 85 of 100."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    predicted = np.where(rng.random(n) < 0.85, truth, 1 - truth)
    return truth.tolist(), predicted.tolist(), [f"p{i}" for i in range(n)]


def test_the_bootstrap_is_the_same_every_time_and_names_itself() -> None:
    labels = _labels(60)
    first, again, other = bootstrap_kappa(*labels), bootstrap_kappa(*labels), bootstrap_kappa(*labels, seed=7)
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.method == f"bootstrap by patient, percentile, {BOOTSTRAP_ROUNDS} draws, seed 0"


def test_with_many_patients_the_bootstrap_meets_the_large_sample_interval() -> None:
    truth, predicted, patients = _labels(800)
    table = np.zeros((2, 2), dtype=int)
    np.add.at(table, (truth, predicted), 1)
    large, drawn = cohen_kappa_score(table), bootstrap_kappa(truth, predicted, patients)
    assert drawn.value == pytest.approx(large.value, abs=1e-12)
    assert drawn.se == pytest.approx(large.se, rel=0.06)
    assert (drawn.low, drawn.high) == pytest.approx((large.low, large.high), abs=0.01)


def test_studies_of_one_patient_are_drawn_together_and_widen_the_interval() -> None:
    truth, predicted, _ = _labels(40)
    four_times = bootstrap_kappa(truth * 4, predicted * 4, [f"p{i}" for i in range(40)] * 4)
    as_if_apart = bootstrap_kappa(truth * 4, predicted * 4, [f"p{i}" for i in range(160)])
    once = bootstrap_kappa(truth, predicted, [f"p{i}" for i in range(40)])
    assert (four_times.low, four_times.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert as_if_apart.high - as_if_apart.low < 0.6 * (four_times.high - four_times.low)


def test_complete_agreement_gets_the_exact_binomial_limit() -> None:
    """Clopper & Pearson 1934: of 20 in 20 the lower 95 % limit is .8316; half of them abnormal: chance is .5."""
    labels = [0, 1] * 10
    sure = bootstrap_kappa(labels, labels, range(20))
    assert sure.method == EXACT_AGREEMENT
    assert sure.value == 1
    assert sure.high == 1
    assert sure.low == pytest.approx((0.8316 - 0.5) / 0.5, abs=2e-4)


def test_too_few_patients_give_a_value_without_an_interval() -> None:
    few = bootstrap_kappa([0, 1, 1, 0], [0, 1, 0, 0], range(4))
    assert few.value == pytest.approx(0.5)
    assert math.isnan(few.low)
    assert math.isnan(few.high)
    assert str(FEWEST_PATIENTS) in few.reason


def test_draws_without_a_kappa_are_counted_and_left_out() -> None:
    truth = [1] + [0] * 11
    rare = bootstrap_kappa(truth, [1, 1] + [0] * 10, range(12))
    assert "draws, which are left out" in rare.reason
    assert rare.low <= rare.value <= rare.high


def test_labels_of_one_class_only_are_undefined() -> None:
    none = bootstrap_kappa([0] * 12, [0] * 12, range(12))
    assert not none.is_defined
    assert none.reason == ONE_CLASS


@pytest.mark.parametrize(
    ("truth", "predicted", "patients"),
    [([0, 2], [0, 1], [1, 2]), ([0, 1], [0], [1, 2]), ([0, 1], [0, 1], [1]), ([], [], [])],
)
def test_the_bootstrap_refuses_what_is_no_pair_of_labels(
    truth: list[int], predicted: list[int], patients: list[int]
) -> None:
    with pytest.raises(ValueError, match=r"labels|shorter|longer|empty"):
        bootstrap_kappa(truth, predicted, patients)
