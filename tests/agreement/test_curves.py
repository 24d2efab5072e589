"""Rates and ROC against scikit-learn, statsmodels and printed values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from mura_batch.agreement.curves import (
    DELONG,
    WILSON,
    accuracy_score,
    rate,
    roc_auc_difference,
    roc_auc_score,
    roc_curve,
    sensitivity_score,
    specificity_score,
)

ARTICLE = [[1507, 160], [357, 1173]]  # the article's 3,197 validation images of MURA: TN, FP; FN, TP


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


def test_a_rate_of_nothing_is_undefined_and_one_above_1_refused() -> None:
    assert not rate(0, 0).is_defined
    assert rate(0, 0).reason == "no case"
    with pytest.raises(ValueError, match="no rate"):
        rate(3, 2)


def test_the_articles_accuracy_is_met_and_the_parts_of_the_table_are_not_confused() -> None:
    assert round(accuracy_score(ARTICLE).value, 3) == 0.838  # printed as .838
    assert sensitivity_score(ARTICLE).value == 1173 / 1530
    assert sensitivity_score(ARTICLE).n == 1530
    assert specificity_score(ARTICLE).value == 1507 / 1667
    assert specificity_score(ARTICLE).n == 1667


@pytest.mark.parametrize("table", [[[1, 2]], [[1, 2, 3]] * 3, [[1, -2], [3, 4]], [[0.5, 1], [2, 3]]])
def test_what_is_no_two_class_table_is_refused(table: object) -> None:
    with pytest.raises(ValueError, match="two-class table"):
        accuracy_score(table)  # type: ignore[arg-type]


scored = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=2, max_size=60)


@settings(deadline=None)  # a busy machine is no failure
@given(scored)
def test_auroc_and_curve_equal_those_of_scikit_learn_with_ties(cases: list[tuple[int, int]]) -> None:
    truth, score = [t for t, _ in cases], [s / 12 for _, s in cases]
    assume(0 < sum(truth) < len(truth))
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
    assume(2 <= truth.sum() <= len(truth) - 2)
    ours = roc_auc_score(truth, score)
    assume(0 < ours.value < 1)
    se = math.sqrt(_delong_by_pairs(truth, score))
    assert ours.se == pytest.approx(se, abs=1e-12)
    assert ours.low == pytest.approx(max(0, ours.value - 1.959963984540054 * se), abs=1e-12)
    assert ours.high == pytest.approx(min(1, ours.value + 1.959963984540054 * se), abs=1e-12)
    assert ours.method == DELONG


def test_the_interval_covers_the_true_area_about_95_times_of_100() -> None:
    """Two normal distributions one deviation apart: the true area is Phi(1 / sqrt 2) = .7602 (Green & Swets 1966)."""
    rng, met = np.random.default_rng(11), 0
    for _ in range(400):
        score = np.concatenate([rng.normal(0, 1, 80), rng.normal(1, 1, 60)])
        ours = roc_auc_score([0] * 80 + [1] * 60, score)
        met += ours.low <= 0.7602 <= ours.high
    assert 0.91 <= met / 400 <= 0.98


def test_an_area_that_cannot_be_is_undefined_with_the_reason() -> None:
    one_class = roc_auc_score([1, 1, 1], [0.1, 0.5, 0.9])
    assert not one_class.is_defined
    assert "one of the two classes" in one_class.reason
    with pytest.raises(ValueError, match="both classes"):
        roc_curve([1, 1, 1], [0.1, 0.5, 0.9])


@pytest.mark.parametrize(
    ("truth", "score"), [([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 1, 0, 0], [0.1, 0.5, 0.9, 0.2])]
)
def test_an_area_without_spread_has_no_interval_and_says_why(truth: list[int], score: list[float]) -> None:
    ours = roc_auc_score(truth, score)
    assert ours.is_defined
    assert math.isnan(ours.low)
    assert ours.reason


@pytest.mark.parametrize(
    ("truth", "score"),
    [([], []), ([0, 1], [0.5]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, math.nan]), ([[0, 1]], [[0.1, 0.2]])],
)
def test_labels_and_scores_that_do_not_fit_are_refused(truth: list[int], score: list[float]) -> None:
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


def test_a_score_against_itself_differs_by_nothing() -> None:
    same = roc_auc_difference([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], [0.1, 0.6, 0.4, 0.9])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert not roc_auc_difference([0, 1], [0.1, 0.6], [0.2, 0.3]).is_defined
