"""Rates with Wilson intervals, and the area under the ROC curve with DeLong's."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mura_batch.agreement.estimate import Z95, Estimate, undefined

DELONG = "DeLong, DeLong, Clarke-Pearson 1988"
WILSON = "Wilson 1927"
Floats = NDArray[np.float64]


def rate(hits: int, n: int) -> Estimate:
    """hits of n, with Wilson's score interval: it stays inside [0, 1] and is right for small n.
    Raises ValueError where hits are not within 0..n."""
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is no rate")
    if n == 0:
        return undefined(WILSON, 0, "no case")
    p, z2 = hits / n, Z95 * Z95
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = middle - half if hits else 0.0  # exactly: rounding would put it at 1e-17, above the value
    high = middle + half if hits < n else 1.0
    return Estimate(p, low, high, WILSON, n)


def roc_auc_score(y_true: ArrayLike, y_score: ArrayLike) -> Estimate:
    """y_true: [N] 0 or 1; y_score: [N], higher for 1. Ties count half. Undefined where one class is missing; the
    interval is NaN, with a reason, where it would rest on one case or collapse. Raises ValueError on bad input."""
    truth, score = _checked(y_true, y_score)
    positive, negative = score[truth], score[~truth]
    if not len(positive) or not len(negative):
        return undefined(DELONG, len(score), "one of the two classes is missing")
    above, below = _shares(positive, negative), 1 - _shares(negative, positive)
    auc = float(above.mean())
    if len(positive) < 2 or len(negative) < 2:
        return Estimate(auc, math.nan, math.nan, DELONG, len(score), reason="too few cases for an interval")
    if auc in (0.0, 1.0):
        return Estimate(auc, math.nan, math.nan, DELONG, len(score), reason="the classes do not overlap: no interval")
    se = math.sqrt(above.var(ddof=1) / len(positive) + below.var(ddof=1) / len(negative))
    return Estimate(auc, max(0.0, auc - Z95 * se), min(1.0, auc + Z95 * se), DELONG, len(score), se)


def roc_auc_difference(y_true: ArrayLike, y_score: ArrayLike, other: ArrayLike) -> Estimate:
    """AUC of y_score less that of other, [N] each, on the same cases: the interval of the paired difference, narrower
    than those of the two areas. Undefined where a class has fewer than two cases. Raises ValueError on bad input."""
    truth, score = _checked(y_true, y_score)
    _, second = _checked(y_true, other)
    if truth.sum() < 2 or (~truth).sum() < 2:
        return undefined(DELONG, len(score), "a class has fewer than two cases")
    above = _shares(score[truth], score[~truth]) - _shares(second[truth], second[~truth])
    below = _shares(second[~truth], second[truth]) - _shares(score[~truth], score[truth])
    value = float(above.mean())
    se = math.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))
    return Estimate(value, value - Z95 * se, value + Z95 * se, DELONG, len(score), se)


def _shares(values: Floats, others: Floats) -> Floats:
    """For each value the share of the others that it exceeds, ties counting half."""
    ordered = np.sort(others)
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((left + right) / (2 * len(others)), dtype=np.float64)


def roc_curve(y_true: ArrayLike, y_score: ArrayLike) -> tuple[Floats, Floats]:
    """(false positive rate, true positive rate) at every distinct score, from (0, 0) to (1, 1). Raises ValueError
    where a class is missing: its rate would be 0 of 0."""
    truth, score = _checked(y_true, y_score)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # of each run of equal scores
    hits, misses = np.cumsum(truth[order])[last], np.cumsum(~truth[order])[last]
    if not hits[-1] or not misses[-1]:
        raise ValueError("a ROC curve needs cases of both classes")
    return np.append(0.0, misses / misses[-1]), np.append(0.0, hits / hits[-1])


def accuracy_score(table: ArrayLike) -> Estimate:
    """table: [2, 2] counts, rows truth, columns prediction, normal first."""
    (tn, fp), (fn, tp) = _two_by_two(table)
    return rate(tn + tp, tn + fp + fn + tp)


def sensitivity_score(table: ArrayLike) -> Estimate:
    """Abnormal called abnormal, of all abnormal."""
    _, (fn, tp) = _two_by_two(table)
    return rate(tp, fn + tp)


def specificity_score(table: ArrayLike) -> Estimate:
    """Normal called normal, of all normal."""
    (tn, fp), _ = _two_by_two(table)
    return rate(tn, tn + fp)


def _two_by_two(table: ArrayLike) -> list[list[int]]:
    counts = np.asarray(table)
    if counts.shape != (2, 2) or not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise ValueError("a two-class table is [2, 2] whole counts, not negative")
    rows: list[list[int]] = counts.tolist()
    return rows


def _checked(y_true: ArrayLike, y_score: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    truth, score = np.asarray(y_true), np.asarray(y_score, dtype=np.float64)
    if truth.shape != score.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"one label for each score, at least one: {truth.shape} and {score.shape}")
    if not np.isin(truth, (0, 1)).all() or not np.isfinite(score).all():
        raise ValueError("labels are 0 or 1, scores are finite")
    return truth.astype(bool), score
