"""Rates and ROC against scikit-learn, statsmodels and printed values."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from mura_batch.agreement.curves import (
    ALL_TIED,
    FEW,
    LOGIT_DELONG,
    OBUCHOWSKI,
    ONE_CLASS_IN_TRUTH,
    WILSON,
    WILSON_CLUSTERED,
    clustered_rate,
    rate,
    roc_auc_difference,
    roc_auc_score,
    roc_curve,
)
from mura_batch.agreement.quantiles import Z95

ASAH = Path(__file__).parent / "data" / "asah.csv"  # Turck et al. 2010, as R package pROC has it


@pytest.fixture(scope="module")
def asah() -> dict[str, np.ndarray]:
    """113 patients with subarachnoid haemorrhage: poor outcome, sex, and three markers."""
    with ASAH.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3 (Wilson's score)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_those_newcombe_printed(hits: int, n: int, low: float, high: float) -> None:
    ours = rate(hits, n)
    assert ours.value == hits / n
    assert (round(ours.low, 4), round(ours.high, 4)) == (low, high)
    assert ours.method == WILSON


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_intervals_equal_those_of_statsmodels(case: tuple[int, int]) -> None:
    hits, n = case
    ours, (low, high) = rate(hits, n), proportion_confint(hits, n, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-12)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_a_rate_of_no_case_is_undefined() -> None:
    assert not rate(0, 0).is_defined
    assert rate(0, 0).reason == "no case"
    with pytest.raises(ValueError, match="no rate"):
        rate(3, 2)


def test_single_studies_get_wilsons_interval() -> None:
    hits = [True] * 12 + [False] * 3
    assert clustered_rate(hits, range(15)) == rate(12, 15)


def test_a_rate_by_patient_uses_the_ratio_estimator() -> None:
    """Rao & Scott 1992: 30 patients with 2 studies that always agree are worth 30 studies, less Student's t."""
    hits = [n % 3 > 0 for n in range(30) for _ in range(2)]
    ours = clustered_rate(hits, [n for n in range(30) for _ in range(2)])
    effective = 30 * 29 / 30 * (Z95 / 2.045230) ** 2  # t with 29 degrees of freedom, any table
    low, high = proportion_confint(20 / 30 * effective, effective, method="wilson")
    assert (ours.value, ours.n, ours.method) == (2 / 3, 60, WILSON_CLUSTERED)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-6)


def test_a_rate_of_few_patients_counts_patients() -> None:
    ours = clustered_rate([True] * 6, [1, 1, 1, 2, 2, 2])
    assert (ours.low, ours.high) == pytest.approx((rate(2, 2).low, 1), abs=1e-12)


def test_a_rate_needs_a_patient_for_each_study() -> None:
    with pytest.raises(ValueError, match="one patient for each study"):
        clustered_rate([True, False], ["a"])


scored = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=2, max_size=60)


@settings(deadline=None)  # a busy machine is no failure
@given(scored)
def test_auroc_and_curve_equal_those_of_scikit_learn_with_ties(cases: list[tuple[int, int]]) -> None:
    truth, score = [t for t, _ in cases], [s / 12 for _, s in cases]
    assume(0 < sum(truth) < len(truth) and len(set(score)) > 1)
    assert roc_auc_score(truth, score).value == pytest.approx(metrics.roc_auc_score(truth, score), abs=1e-12)
    fpr, tpr = roc_curve(truth, score)
    theirs = metrics.roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose(fpr, theirs[0], atol=1e-12)
    np.testing.assert_allclose(tpr, theirs[1], atol=1e-12)


def _delong_by_pairs(truth: np.ndarray, score: np.ndarray) -> float:
    """DeLong, DeLong, Clarke-Pearson 1988, equations 5 to 7, written out over every pair: the variance of the area."""
    x, y = score[truth == 1], score[truth == 0]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    return float(psi.mean(axis=1).var(ddof=1) / len(x) + psi.mean(axis=0).var(ddof=1) / len(y))


@settings(deadline=None)  # a busy machine is no failure
@given(scored)
def test_delongs_variance_is_the_one_over_all_pairs(cases: list[tuple[int, int]]) -> None:
    truth, score = np.array([t for t, _ in cases]), np.array([s for _, s in cases], dtype=float)
    assume(2 <= truth.sum() <= len(truth) - 2 and len(set(score)) > 1)
    ours = roc_auc_score(truth, score)
    assert ours.se == pytest.approx(math.sqrt(_delong_by_pairs(truth, score)), abs=1e-12)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1
    assert ours.low < ours.high
    assert ours.method == LOGIT_DELONG


def test_delongs_interval_of_the_asah_data_is_procs(asah: dict[str, np.ndarray]) -> None:
    """R pROC 1.19.0.1, ci.auc: ndka .501244999271703 .611957994579946 .722670989888189; women only .5261398281
    .6671428571 .8081458862. They are value +- 1.96 standard errors."""
    women = asah["female"] == 1
    for chosen, printed in (
        (women | True, (0.501244999271703, 0.611957994579946, 0.722670989888189)),
        (women, (0.5261398281, 0.6671428571, 0.8081458862)),
    ):
        ours = roc_auc_score(asah["poor"][chosen], asah["ndka"][chosen])
        wald = (ours.value - Z95 * ours.se, ours.value, ours.value + Z95 * ours.se)
        assert wald == pytest.approx(printed, abs=5e-11)


def test_delongs_paired_difference_of_the_asah_data_is_procs(asah: dict[str, np.ndarray]) -> None:
    """R pROC 1.19.0.1, roc.test of wfns and s100b: Z 2.20898359, interval .0104061770 to .1742144192."""
    ours = roc_auc_difference(asah["poor"], asah["wfns"], asah["s100b"])
    assert (ours.low, ours.high) == pytest.approx((0.0104061770, 0.1742144192), abs=5e-11)
    assert ours.value / ours.se == pytest.approx(2.20898359, abs=5e-9)


def test_the_logit_interval_is_the_formula() -> None:
    """One undecided case joins each class of 20: its placement is 1/2 among 21."""
    rng = np.random.default_rng(8)
    score = np.concatenate([rng.normal(0, 1, 20), rng.normal(1, 1, 20)])
    truth = np.repeat([0, 1], 20)
    psi = score[20:, None] > score[None, :20]
    above, below = np.append(psi.mean(axis=1), 0.5), np.append(psi.mean(axis=0), 0.5)
    area = (above.mean() + below.mean()) / 2
    half = Z95 * math.sqrt(above.var(ddof=1) / 21 + below.var(ddof=1) / 21) / (area * (1 - area))
    logit = math.log(area / (1 - area))
    ours = roc_auc_score(truth, score)
    assert (ours.low, ours.high) == pytest.approx(
        (1 / (1 + math.exp(half - logit)), 1 / (1 + math.exp(-half - logit))), abs=1e-12
    )


@pytest.mark.parametrize(("abnormal", "by_t"), [(FEW - 1, True), (FEW, False)])
def test_few_cases_of_a_class_get_students_t(abnormal: int, by_t: bool) -> None:
    rng = np.random.default_rng(9)
    negative, positive = rng.normal(0, 1, 60), rng.normal(1.2, 1, abnormal)
    psi = positive[:, None] > negative[None, :]
    above, below = np.append(psi.mean(axis=1), 0.5), np.append(psi.mean(axis=0), 0.5)
    parts = above.var(ddof=1) / len(above), below.var(ddof=1) / 61
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(above) - 1) + parts[1] ** 2 / 60)  # Welch & Satterthwaite
    area = (above.mean() + below.mean()) / 2
    ours = roc_auc_score([0] * 60 + [1] * abnormal, np.concatenate([negative, positive]))
    width = math.log(ours.high / (1 - ours.high)) - math.log(ours.low / (1 - ours.low))
    quantile = stats.t.ppf(0.975, freedom) if by_t else Z95
    assert width == pytest.approx(2 * quantile * math.sqrt(sum(parts)) / (area * (1 - area)), rel=1e-5)


def test_clustered_variance_is_obuchowskis_written_out() -> None:
    """Obuchowski 1997, equations 4 to 7, patient by patient."""
    rng = np.random.default_rng(5)
    patients = rng.integers(0, 30, 90)
    truth = (rng.normal(size=30)[patients] + rng.normal(size=90) > 0.5).astype(int)
    score = np.round(truth + rng.normal(size=30)[patients] + rng.normal(size=90), 1)
    x, y = score[truth == 1], score[truth == 0]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    area, v10, v01 = psi.mean(), psi.mean(axis=1), psi.mean(axis=0)
    groups = sorted(set(patients.tolist()))
    m = [v10[patients[truth == 1] == g].sum() - (patients[truth == 1] == g).sum() * area for g in groups]
    n = [v01[patients[truth == 0] == g].sum() - (patients[truth == 0] == g).sum() * area for g in groups]
    i10, i01 = len(set(patients[truth == 1].tolist())), len(set(patients[truth == 0].tolist()))
    s10 = i10 / ((i10 - 1) * len(x)) * sum(v * v for v in m)
    s01 = i01 / ((i01 - 1) * len(y)) * sum(v * v for v in n)
    s11 = len(groups) / (len(groups) - 1) * sum(a * b for a, b in zip(m, n, strict=True))
    variance = s10 / len(x) + s01 / len(y) + 2 * s11 / (len(x) * len(y))
    ours = roc_auc_score(truth, score, patients.tolist())
    assert ours.se == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert ours.method == OBUCHOWSKI


def test_one_study_a_patient_gives_delongs_interval() -> None:
    rng = np.random.default_rng(6)
    truth, score = rng.integers(0, 2, 50), rng.normal(size=50)
    assert roc_auc_score(truth, score, range(50)) == roc_auc_score(truth, score)


def test_an_area_of_one_class_is_undefined_with_the_reason() -> None:
    one_class = roc_auc_score([1, 1, 1], [0.1, 0.5, 0.9])
    assert not one_class.is_defined
    assert one_class.reason == ONE_CLASS_IN_TRUTH
    with pytest.raises(ValueError, match="both classes"):
        roc_curve([1, 1, 1], [0.1, 0.5, 0.9])


def test_an_area_of_equal_scores_is_undefined_with_the_reason() -> None:
    """Once 0.500 [0.500, 0.500]."""
    tied = roc_auc_score([0, 1] * 20, [0.5] * 40)
    assert not tied.is_defined
    assert tied.reason == ALL_TIED


def test_separated_classes_have_an_interval_up_to_1() -> None:
    ours = roc_auc_score([0] * 20 + [1] * 20, range(40))
    assert (ours.value, ours.high, ours.reason) == (1, 1, "")
    assert 0.65 < ours.low < 0.95


def test_a_single_case_of_a_class_has_no_interval() -> None:
    ours = roc_auc_score([0, 1, 0, 0], [0.1, 0.5, 0.9, 0.2])
    assert ours.value == pytest.approx(2 / 3)
    assert math.isnan(ours.low)
    assert ours.reason


@pytest.mark.parametrize(
    ("truth", "score"),
    [([], []), ([0, 1], [0.5]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, math.nan]), ([[0, 1]], [[0.1, 0.2]])],
)
def test_labels_and_scores_that_do_not_fit_are_an_error(truth: list[int], score: list[float]) -> None:
    with pytest.raises(ValueError, match=r"labels|label"):
        roc_auc_score(truth, score)


def _paired_delong_by_pairs(truth: list[int], first: list[float], second: list[float]) -> tuple[float, float]:
    """Difference of the areas and its variance from all pairs, as the paper writes it (equations 2 to 7)."""
    psi = [[(a > b) + (a == b) / 2 for b in _of(truth, s, 0)] for s in (first, second) for a in _of(truth, s, 1)]
    kernel = np.array(psi, dtype=float).reshape(2, sum(truth), -1)
    v10, v01 = kernel.mean(axis=2), kernel.mean(axis=1)
    covariance = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
    contrast = np.array([1.0, -1.0])
    return float(contrast @ kernel.mean(axis=(1, 2))), float(contrast @ covariance @ contrast)


def _of(truth: list[int], scores: list[float], label: int) -> list[float]:
    return [s for t, s in zip(truth, scores, strict=True) if t == label]


@given(st.integers(0, 2**32 - 1))
def test_a_paired_difference_is_delongs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = [*[0, 0, 1, 1], *rng.integers(0, 2, 20).tolist()]
    first, second = (np.round(rng.normal(0, 1, 24) + truth, 1).tolist() for _ in range(2))
    ours = roc_auc_difference(truth, first, second)
    value, variance = _paired_delong_by_pairs(truth, first, second)
    assert ours.value == pytest.approx(value, abs=1e-12)
    assert ours.value == pytest.approx(
        roc_auc_score(truth, first).value - roc_auc_score(truth, second).value, abs=1e-12
    )
    assert ours.se**2 == pytest.approx(variance, abs=1e-12)


def test_a_score_against_itself_has_no_interval() -> None:
    same = roc_auc_difference([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], [0.1, 0.6, 0.4, 0.9])
    assert same.value == 0
    assert math.isnan(same.low)
    assert "every pair alike" in same.reason
    assert not roc_auc_difference([0, 1], [0.1, 0.6], [0.2, 0.3]).is_defined
