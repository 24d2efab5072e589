"""Are probabilities what they say? Brier score, calibration error, calibration slope and intercept, reliability bins.

Every interval allows for patients with several cases.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mura_batch.agreement.clusters import Clusters, clustered_variance, clusters_of, independent
from mura_batch.agreement.curves import ONE_CLASS_IN_TRUTH, clustered_rate
from mura_batch.agreement.estimate import Estimate, undefined, without_interval
from mura_batch.agreement.quantiles import t95

BRIER = "mean square by patient, Student's t"
CALIBRATION_ERROR = "10 bins of equal count; bootstrap by patient, percentile, 1000 draws"
CALIBRATION_LINE = "logistic regression on the logit (Cox 1958), sandwich by patient"
MEAN = "arithmetic mean"
BINS = 10
ROUNDS = 1000  # the 2.5 % quantile then rests on 25 draws
SEPARATED = "no finite slope: the probabilities separate the classes, or are all alike"
EDGE = 1e-6  # probabilities nearer to 0 and 1 than this are taken to lie here: float32 gives no more

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Cases of similar probability. low, high: the smallest and largest probability; predicted: their mean; observed:
    the share of abnormal ones."""

    low: float
    high: float
    predicted: float
    observed: Estimate

    def figures(self) -> list[tuple[str, Estimate]]:
        predicted = without_interval(self.predicted, MEAN, self.observed.n, "no interval: a mean of given scores")
        return [("predicted", predicted), ("observed", self.observed)]


def brier_score_loss(y_true: ArrayLike, probability: ArrayLike, patients: Sequence[Hashable] | None = None) -> Estimate:
    """Mean of (probability - truth)^2; y_true: [N] 0 or 1, probability: [N]. Raises ValueError on bad input."""
    truth, p, clusters = _checked(y_true, probability, patients)
    losses = (p - truth) ** 2
    value = float(losses.mean())
    se = float(np.sqrt(clustered_variance(losses - value, clusters)))
    half = t95(max(1, clusters.count - 1)) * se
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), BRIER, len(p), se)


def expected_calibration_error(
    y_true: ArrayLike, probability: ArrayLike, patients: Sequence[Hashable] | None = None
) -> Estimate:
    """Mean distance of observed from predicted share over BINS bins of equal count (Naeini, Cooper, Hauskrecht 2015).
    It is never 0 on a sample: chance alone gives about sqrt(p (1 - p) BINS / N). Raises ValueError on bad input."""
    truth, p, clusters = _checked(y_true, probability, patients)
    value = _calibration_error(truth, p)
    rng = np.random.default_rng(0)
    cases = [np.flatnonzero(clusters.codes == code) for code in range(clusters.count)]
    drawn = []
    for _ in range(ROUNDS):
        rows = np.concatenate([cases[code] for code in rng.integers(0, clusters.count, clusters.count)])
        drawn.append(_calibration_error(truth[rows], p[rows]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value, float(low), float(high), CALIBRATION_ERROR, len(p), float(np.std(drawn, ddof=1)))


def _calibration_error(truth: Floats, p: Floats) -> float:
    order = np.argsort(p, kind="stable")
    parts = [rows for rows in np.array_split(order, BINS) if len(rows)]
    return float(sum(abs(float((p[rows] - truth[rows]).sum())) for rows in parts) / len(p))


def calibration_line(
    y_true: ArrayLike, probability: ArrayLike, patients: Sequence[Hashable] | None = None
) -> tuple[Estimate, Estimate]:
    """(slope, intercept) of logit P(abnormal) = intercept + slope * logit(probability): 1 and 0 where probabilities are
    calibrated; a slope below 1 means that they are too extreme, an intercept below 0 that they are too high. Undefined
    where a class is missing or separated. Raises ValueError on bad input."""
    truth, p, clusters = _checked(y_true, probability, patients)
    if truth.min() == truth.max():
        return (undefined(CALIBRATION_LINE, len(p), ONE_CLASS_IN_TRUTH),) * 2
    inside = np.clip(p, EDGE, 1 - EDGE)
    design = np.stack([np.log(inside / (1 - inside)), np.ones_like(p)], axis=1)
    fitted = _logistic_fit(design, truth)
    if fitted is None:
        return (undefined(CALIBRATION_LINE, len(p), SEPARATED),) * 2
    errors = _sandwich(design, truth, fitted, clusters)
    half = t95(max(1, clusters.count - 1)) * errors
    slope, intercept = (
        Estimate(float(v), float(v - h), float(v + h), CALIBRATION_LINE, len(p), float(e))
        for v, h, e in zip(fitted, half, errors, strict=True)
    )
    return slope, intercept


def _logistic_fit(design: Floats, truth: Floats) -> Floats | None:
    """Newton's method from (1, 0); None where it does not converge, which is where no finite maximum exists."""
    beta = np.array([1.0, 0.0])
    for _ in range(50):
        expected = _sigmoid(design @ beta)
        weights = expected * (1 - expected)
        hessian = design.T @ (weights[:, None] * design)
        if np.linalg.cond(hessian) > 1e12:
            return None
        step = np.linalg.solve(hessian, design.T @ (truth - expected))
        beta = beta + step * min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-9:
            return np.asarray(beta)
    return None


def _sandwich(design: Floats, truth: Floats, beta: Floats, clusters: Clusters) -> Floats:
    """[2] standard errors: the score's variance between patients (Huber 1967; Liang & Zeger 1986)."""
    expected = _sigmoid(design @ beta)
    bread = np.linalg.inv(design.T @ ((expected * (1 - expected))[:, None] * design))
    scores = (truth - expected)[:, None] * design
    totals = np.stack([clusters.totals(scores[:, k]) for k in range(design.shape[1])], axis=1)
    meat = totals.T @ totals * clusters.count / max(1, clusters.count - 1)
    return np.asarray(np.sqrt(np.diag(bread @ meat @ bread)))


def reliability_bins(
    y_true: ArrayLike, probability: ArrayLike, patients: Sequence[Hashable] | None = None
) -> tuple[ReliabilityBin, ...]:
    """At most BINS bins of equal count, lowest probabilities first; the data of a reliability figure. Raises ValueError
    on bad input."""
    truth, p, clusters = _checked(y_true, probability, patients)
    order = np.argsort(p, kind="stable")
    parts = (rows for rows in np.array_split(order, BINS) if len(rows))
    return tuple(
        ReliabilityBin(
            float(p[rows].min()),
            float(p[rows].max()),
            float(p[rows].mean()),
            clustered_rate((truth[rows] > 0).tolist(), clusters.codes[rows].tolist()),
        )
        for rows in parts
    )


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))  # never overflows


def _checked(
    y_true: ArrayLike, probability: ArrayLike, patients: Sequence[Hashable] | None
) -> tuple[Floats, Floats, Clusters]:
    truth, p = np.asarray(y_true, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if truth.shape != p.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"one label for each probability, at least one: {truth.shape} and {p.shape}")
    if not np.isin(truth, (0, 1)).all() or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("labels are 0 or 1, probabilities within 0 to 1")
    clusters = independent(len(p)) if patients is None else clusters_of(patients)
    if len(clusters.codes) != len(p):
        raise ValueError(f"one patient for each case: {len(p)} and {len(clusters.codes)}")
    return truth, p, clusters
