"""Calibration measures against scikit-learn, statsmodels and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mura_batch.agreement.calibration import (
    BINS,
    SEPARATED,
    brier_score_loss,
    calibration_line,
    expected_calibration_error,
    reliability_bins,
)
from mura_batch.agreement.curves import ONE_CLASS_IN_TRUTH

Floats = NDArray[np.float64]


def drawn(n: int, slope: float = 1.0, intercept: float = 0.0, seed: int = 0) -> tuple[NDArray[np.int64], Floats]:
    """(truth, probability): the logit of the truth is intercept + slope * logit(probability)."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 1.5, n)
    truth = rng.random(n) < 1 / (1 + np.exp(-(intercept + slope * logit)))
    return truth.astype(np.int64), 1 / (1 + np.exp(-logit))


def test_the_brier_score_is_scikit_learns() -> None:
    from sklearn.metrics import brier_score_loss as known

    truth, p = drawn(300)
    assert brier_score_loss(truth, p).value == pytest.approx(known(truth, p), abs=1e-12)


def test_the_calibration_line_is_statsmodels_logistic_regression() -> None:
    import statsmodels.api as sm

    truth, p = drawn(400, slope=0.7, intercept=-0.4)
    design = np.stack([np.log(p / (1 - p)), np.ones(400)], axis=1)
    fitted = sm.GLM(truth, design, family=sm.families.Binomial()).fit(cov_type="HC0")
    for own, value, se in zip(calibration_line(truth, p), fitted.params, fitted.bse, strict=True):
        assert own.value == pytest.approx(value, abs=1e-6)
        assert own.se == pytest.approx(se * np.sqrt(400 / 399), rel=1e-6)  # G / (G - 1) for G patients


def test_too_extreme_probabilities_have_a_slope_below_one() -> None:
    slope, intercept = calibration_line(*drawn(20_000, slope=0.76, intercept=-0.4))
    assert slope.low < 0.76 < slope.high < 1
    assert intercept.low < -0.4 < intercept.high < 0


def test_the_intervals_of_the_line_cover_the_truth() -> None:
    covered = np.array(
        [
            [a.low <= 0.8 <= a.high, b.low <= 0.3 <= b.high]
            for a, b in (calibration_line(*drawn(300, 0.8, 0.3, seed)) for seed in range(200))
        ]
    )
    assert (covered.mean(axis=0) > 0.9).all()  # nominally 0.95; 200 simulations have a standard error of 0.015


def test_repeated_cases_of_a_patient_say_nothing_new() -> None:
    truth, p = drawn(200)
    once = calibration_line(truth, p)[0]
    patients = [*range(200)] * 3
    thrice = calibration_line(np.tile(truth, 3), np.tile(p, 3), patients)[0]
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_calibrated_probabilities_have_a_small_calibration_error() -> None:
    good = expected_calibration_error(*drawn(5_000))
    bad = expected_calibration_error(*drawn(5_000, slope=0.5, intercept=-1.0))
    assert good.value < 0.03
    assert bad.low > 0.1
    assert bad.low < bad.value < bad.high


def test_reliability_bins_hold_all_cases_in_order() -> None:
    truth, p = drawn(205)
    bins = reliability_bins(truth, p)
    assert len(bins) == BINS
    assert sum(b.observed.n for b in bins) == 205
    assert [b.predicted for b in bins] == sorted(b.predicted for b in bins)
    assert sum(b.observed.value * b.observed.n for b in bins) == pytest.approx(truth.sum())


def test_calibration_line_needs_two_classes_that_overlap() -> None:
    p = np.linspace(0.1, 0.9, 20)
    assert calibration_line(np.zeros(20), p)[0].reason == ONE_CLASS_IN_TRUTH
    assert calibration_line(p > 0.5, p)[0].reason == SEPARATED


@pytest.mark.parametrize(("truth", "p"), [([0, 1], [0.5]), ([0, 2], [0.5, 0.5]), ([0, 1], [0.5, 1.5]), ([], [])])
def test_what_is_no_probability_is_refused(truth: list[int], p: list[float]) -> None:
    with pytest.raises(ValueError, match="label"):
        brier_score_loss(truth, p)
