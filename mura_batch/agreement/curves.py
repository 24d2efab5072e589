"""Rates with Wilson's interval, and the area under the ROC curve with DeLong's on the logit scale; both also for
patients with several studies. docs/statistics.md shows how often each interval covers the true value."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mura_batch.agreement.clusters import Clusters, clusters_of, effective_size, independent
from mura_batch.agreement.estimate import Estimate, undefined, without_interval
from mura_batch.agreement.quantiles import Z95, t95

DELONG = "DeLong, DeLong, Clarke-Pearson 1988"
LOGIT_DELONG = "logit DeLong with one undecided case added to each class"
OBUCHOWSKI = "Obuchowski 1997 by patient, logit, with one undecided case added to each class"
OBUCHOWSKI_PAIRED = "DeLong, DeLong, Clarke-Pearson 1988, by patient (Obuchowski 1997)"
FEW = 10  # cases of a class: below it Student's t takes the place of the normal quantile
FEW_PAIRED = 20  # the same for a difference: with 10 abnormal of 100 studies the normal quantile covers 92.4 %
WILSON = "Wilson 1927"
WILSON_CLUSTERED = "Wilson 1927, effective number of studies by patient (Rao, Scott 1992)"
NO_CASE = "no case"
ONE_CLASS_IN_TRUTH = "one class in the truth"
ALL_TIED = "all scores are equal: they order nothing"
FEW_CASES = "no interval: a class has fewer than two patients"
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def rate(hits: int, n: int) -> Estimate:
    """hits of n independent cases, with Wilson's score interval: it stays inside [0, 1] and is right for small n.
    Raises ValueError where hits are not within 0..n."""
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is no rate")
    if n == 0:
        return undefined(WILSON, 0, NO_CASE)
    return Estimate(hits / n, *wilson_limits(hits / n, n), WILSON, n)


def clustered_rate(hits: Sequence[bool], patients: Sequence[Hashable]) -> Estimate:
    """The share of hits among studies, [n] each; studies of one patient are not independent. The variance is that of a
    ratio estimator; Wilson's interval is taken at the effective number of studies. Raises ValueError where the
    lengths differ."""
    values, clusters = np.asarray(hits, dtype=np.float64), clusters_of(patients)
    n = len(values)
    if n != len(clusters.codes):
        raise ValueError(f"one patient for each study: {n} and {len(clusters.codes)}")
    if clusters.are_single:
        return rate(int(values.sum()), n)
    p = float(values.mean())
    return Estimate(p, *wilson_limits(p, effective_size(values - p, clusters)), WILSON_CLUSTERED, n)


def wilson_limits(p: float, n: float) -> tuple[float, float]:
    """95 % score limits of a share p seen in n cases; n need not be whole."""
    z2 = Z95 * Z95
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # exactly 0 and 1: rounding would put a limit at 1e-17, beyond the value
    return middle - half if p > 0 else 0.0, middle + half if p < 1 else 1.0


def roc_auc_score(y_true: ArrayLike, y_score: ArrayLike, patients: Sequence[Hashable] | None = None) -> Estimate:
    """y_true: [N] 0 or 1; y_score: [N], higher for 1, ties count half; patients: [N], None where each has one study.

    se is DeLong's, by patient Obuchowski's (Biometrics 53, 1997), which is the same where each patient has one study.
    The interval has one case added to each class that wins half of its comparisons, so that it does not collapse where
    the classes hardly overlap. Undefined where a class is missing or all scores are equal; the interval is NaN, with a
    reason, where a class has fewer than two patients. Raises ValueError on bad input.
    """
    truth, score = _checked(y_true, y_score)
    clusters = independent(len(score)) if patients is None else clusters_of(patients)
    method = LOGIT_DELONG if clusters.are_single else OBUCHOWSKI
    if truth.all() or not truth.any():
        return undefined(method, len(score), ONE_CLASS_IN_TRUTH)
    if score.min() == score.max():
        return undefined(method, len(score), ALL_TIED)
    shares = _placements(truth, score)
    value = float(shares[truth].mean())
    cases = (clusters.count_of(truth), clusters.count_of(~truth))
    if min(cases) < 2:
        return without_interval(value, method, len(score), FEW_CASES)
    se = math.sqrt(sum(_obuchowski(shares, truth, clusters)))
    return Estimate(value, *_logit_limits(shares, truth, clusters), method, len(score), se)


def roc_auc_difference(
    y_true: ArrayLike, y_score: ArrayLike, other: ArrayLike, patients: Sequence[Hashable] | None = None
) -> Estimate:
    """AUC of y_score less that of other, [N] each, on the same cases: the interval of the paired difference, narrower
    than those of the areas, with Student's t below FEW_PAIRED patients in a class. patients: [N], None where each has
    one study. Undefined where a class has fewer than two patients; without interval where both scores order every pair
    alike. Raises ValueError on bad input."""
    truth, score = _checked(y_true, y_score)
    _, second = _checked(y_true, other)
    clusters = independent(len(score)) if patients is None else clusters_of(patients)
    method = DELONG if clusters.are_single else OBUCHOWSKI_PAIRED
    if min(clusters.count_of(truth), clusters.count_of(~truth)) < 2:
        return undefined(method, len(score), "a class has fewer than two patients")
    apart = _placements(truth, score) - _placements(truth, second)
    value = float(apart[truth].mean())
    between = _obuchowski(apart, truth, clusters)
    se = math.sqrt(max(0.0, sum(between)))
    if se == 0:
        return without_interval(value, method, len(score), "no interval: both scores order every pair alike")
    half = _quantile(between, (clusters.count_of(truth), clusters.count_of(~truth)), FEW_PAIRED) * se
    return Estimate(value, value - half, value + half, method, len(score), se)


def _placements(truth: Bools, score: Floats) -> Floats:
    """[N] for each case the share of the other class that it is on the right side of, ties counting half."""
    shares = np.empty(len(score))
    shares[truth] = _shares_below(score[truth], score[~truth])
    shares[~truth] = 1 - _shares_below(score[~truth], score[truth])
    return shares


def _shares_below(values: Floats, others: Floats) -> Floats:
    ordered = np.sort(others)
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((left + right) / (2 * len(others)), dtype=np.float64)


def _obuchowski(shares: Floats, truth: Bools, clusters: Clusters) -> tuple[float, float, float]:
    """The three parts of the variance of the area: between positive cases, between negative ones, and twice their
    covariance within patients. shares: [N] placements. With one study a patient the first two are DeLong's."""
    positive, negative = shares[truth].mean(), shares[~truth].mean()
    above = clusters.totals(np.where(truth, shares - positive, 0.0)) / truth.sum()
    below = clusters.totals(np.where(truth, 0.0, shares - negative)) / (~truth).sum()
    of_positive, of_negative = clusters.count_of(truth), clusters.count_of(~truth)
    return (
        float((above**2).sum()) * of_positive / (of_positive - 1),
        float((below**2).sum()) * of_negative / (of_negative - 1),
        2 * float((above * below).sum()) * clusters.count / (clusters.count - 1),
    )


def _logit_limits(shares: Floats, truth: Bools, clusters: Clusters) -> tuple[float, float]:
    """95 % limits from the logit scale, with Student's t below FEW patients in a class."""
    shares, truth = np.append(shares, [0.5, 0.5]), np.append(truth, [True, False])
    codes = np.append(clusters.codes, [clusters.count, clusters.count + 1])
    widened = Clusters(codes, clusters.count + 2)
    between = _obuchowski(shares, truth, widened)
    variance = max(sum(between), np.finfo(np.float64).tiny)
    quantile = _quantile(between, (widened.count_of(truth), widened.count_of(~truth)), FEW + 1)
    area = (shares[truth].mean() + shares[~truth].mean()) / 2
    half = quantile * math.sqrt(variance) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    value = float(shares[truth][:-1].mean())
    return min(value, _logistic(middle - half)), max(value, _logistic(middle + half))


def _quantile(between: tuple[float, float, float], cases: tuple[int, int], few: int) -> float:
    """With which a 95 % interval is taken where the variance is the sum of `between` (as of `_obuchowski`): the normal
    one, with fewer than `few` cases of a class Student's t with the degrees of freedom of Welch and Satterthwaite."""
    if min(cases) >= few:
        return Z95
    parts = sum(part**2 / (n - 1) for part, n in zip(between[:2], cases, strict=True))
    return t95(max(1.0, sum(between) ** 2 / parts)) if parts > 0 else Z95


def _logistic(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))  # no overflow


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


def _checked(y_true: ArrayLike, y_score: ArrayLike) -> tuple[Bools, Floats]:
    truth, score = np.asarray(y_true), np.asarray(y_score, dtype=np.float64)
    if truth.shape != score.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"one label for each score, at least one: {truth.shape} and {score.shape}")
    if not np.isin(truth, (0, 1)).all() or not np.isfinite(score).all():
        raise ValueError("labels are 0 or 1, scores are finite")
    return truth.astype(bool), score
