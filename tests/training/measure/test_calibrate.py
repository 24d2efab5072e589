"""Calibration and threshold: chosen on val, and what they are worth on pictures that they have not seen."""

from __future__ import annotations

import numpy as np
import pytest

from mura_batch.agreement.calibration import calibration_line
from mura_batch.errors import InputError
from train.measure.calibrate import (
    Calibration,
    cross_validated_threshold,
    fit_calibration,
    folds_of,
    held_out_probabilities,
    log_loss,
    probabilities,
)
from train.models.logits import sigmoid


def biased(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(logits [1, n], abnormal [n]): the true logit is a third of the given one less 0.8."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-1, 1.5, n)
    return 3 * (true + 0.8)[None], rng.random(n) < sigmoid(true)


def test_a_known_temperature_and_bias_are_undone() -> None:
    calibration = fit_calibration(*biased(40_000))
    assert calibration.temperature == pytest.approx(3, rel=0.05)
    assert calibration.bias == pytest.approx(-0.8, abs=0.05)


def test_the_fit_is_scikit_learns_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    logits, abnormal = biased(500)
    known = LogisticRegression(C=1e12, tol=1e-10).fit(logits.T, abnormal)
    calibration = fit_calibration(logits, abnormal)
    assert 1 / calibration.temperature == pytest.approx(known.coef_[0, 0], abs=1e-4)
    assert calibration.bias == pytest.approx(known.intercept_[0], abs=1e-3)


def test_members_share_one_calibration_of_least_loss() -> None:
    logits, abnormal = biased(2_000)
    pair = np.concatenate([logits, logits * 0.5 + 1.0])
    best = fit_calibration(pair, abnormal)
    loss = log_loss(probabilities(pair, best), abnormal)
    for temperature, bias in ((0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.0, -0.02)):
        other = Calibration(best.temperature + temperature, best.bias + bias)
        assert log_loss(probabilities(pair, other), abnormal) >= loss - 1e-7


def test_logits_that_separate_the_classes_end_at_the_limit() -> None:
    logits = np.concatenate([np.full(20, -1.0), np.full(20, 1.0)])[None]
    assert fit_calibration(logits, logits[0] > 0).is_at_limit
    assert not fit_calibration(*biased(500)).is_at_limit


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_at_the_limit_the_bias_is_still_fitted(sign: float) -> None:
    """Logits that order the pictures the wrong way, or far too timidly: the mean probability is still the share."""
    rng = np.random.default_rng(3)
    abnormal = rng.random(400) < 0.84
    logits = sign * (0.02 * abnormal + 0.005 * rng.standard_normal(400))[None]
    fitted = fit_calibration(logits, abnormal)
    assert fitted.is_at_limit
    assert probabilities(logits, fitted).mean() == pytest.approx(abnormal.mean(), abs=1e-3)


def test_one_class_cannot_be_calibrated() -> None:
    with pytest.raises(InputError, match="normal and abnormal"):
        fit_calibration(np.zeros((1, 4)), np.ones(4, bool))


def test_held_out_probabilities_are_calibrated_on_the_other_groups() -> None:
    logits, abnormal = biased(3_000)
    groups = [f"g{n // 2}" for n in range(3_000)]
    held_out = held_out_probabilities(logits, abnormal, groups)
    slope, intercept = calibration_line(abnormal, held_out, groups)
    assert slope.low < 1 < slope.high
    assert intercept.low < 0 < intercept.high
    flipped = abnormal.copy()
    flipped[:2] = ~flipped[:2]
    again = held_out_probabilities(logits, flipped, groups)
    assert (again[:2] == held_out[:2]).all(), "its own label does not reach it"


def test_folds_keep_groups_together_and_are_of_one_size() -> None:
    fold = folds_of([f"g{n // 3}" for n in range(300)])
    assert all(len(set(fold[n : n + 3])) == 1 for n in range(0, 300, 3))
    assert set(np.bincount(fold)) == {30}


def test_the_cross_validated_threshold_lies_between_the_classes() -> None:
    scores = np.concatenate([np.linspace(0, 0.4, 40), np.linspace(0.6, 1, 40)])
    groups = [f"g{n}" for n in range(80)]
    assert cross_validated_threshold(scores, scores > 0.5, groups) == pytest.approx(0.5, abs=0.02)
