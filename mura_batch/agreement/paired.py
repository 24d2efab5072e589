"""Two models, or one model at two thresholds, on the same studies: differences with intervals of the pairs, which are
narrower than those of two separate samples. A difference is the second less the first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.clusters import clustered_variance, clusters_of, effective_size
from mura_batch.agreement.curves import (
    NO_CASE,
    clustered_rate,
    roc_auc_difference,
    roc_auc_score,
    wilson_limits,
)
from mura_batch.agreement.estimate import Estimate, undefined, without_interval
from mura_batch.agreement.kappa import COLLAPSED, clustered_kappa_score, influence_on_kappa
from mura_batch.agreement.quantiles import Z95, t95

NEWCOMBE = "square and add of Wilson limits (Newcombe 1998, method 10), effective number of studies by patient"
LINEARISED = "linearised paired difference between patients (Rao, Scott 1992)"
_NO_ERROR = 1e-6  # a standard error below it is rounding
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pair:
    """One study, or one region or side of it, scored twice. label: 0 or 1."""

    patient: str
    label: int
    first: float
    second: float
    first_abnormal: bool
    second_abnormal: bool


@dataclass(frozen=True, slots=True)
class Paired:
    """One figure of the first, of the second, and their difference. only_first, only_second: studies that only one of
    the two calls right; p: of McNemar's exact test that they are equally many, two-sided, which takes studies as
    independent. The three are None where the figure is none of right calls."""

    first: Estimate
    second: Estimate
    difference: Estimate
    only_first: int | None = None
    only_second: int | None = None
    p: float | None = None


def paired_figures(pairs: Sequence[Pair]) -> dict[str, Paired]:
    """pairs: at least one. kappa, auroc, accuracy, sensitivity and specificity with the label as truth."""
    return {
        "kappa": _kappa(pairs),
        "auroc": _auroc(pairs),
        "accuracy": _right(pairs),
        "sensitivity": _right([pair for pair in pairs if pair.label]),
        "specificity": _right([pair for pair in pairs if not pair.label]),
    }


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Exact and two-sided: the chance of a split at least as uneven where both are equally likely (McNemar 1947)."""
    n, k = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def paired_rate_difference(first: Sequence[bool], second: Sequence[bool], patients: Sequence[str]) -> Estimate:
    """Share of hits of second less that of first, [n] each on the same studies. Undefined where there is none."""
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    n = len(a)
    if not n:
        return undefined(NEWCOMBE, 0, NO_CASE)
    apart = b.astype(np.float64) - a
    value = float(apart.mean())
    effective = effective_size(apart - value, clusters_of(patients))
    p, q = float(b.mean()), float(a.mean())
    (low_p, high_p), (low_q, high_q) = wilson_limits(p, effective), wilson_limits(q, effective)
    phi = _phi(a, b, effective)
    down = _added(p - low_p, high_q - q, phi)
    up = _added(high_p - p, q - low_q, phi)
    return Estimate(value, max(-1.0, value - down), min(1.0, value + up), NEWCOMBE, n)


def _added(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))


def _phi(a: Bools, b: Bools, effective: float) -> float:
    """Correlation of the pairs as Newcombe has it: a positive one is corrected for continuity."""
    scale = effective / len(a)
    both, only_a, only_b, none = (scale * float((x & y).sum()) for x, y in ((a, b), (a, ~b), (~a, b), (~a, ~b)))
    product = (both + only_a) * (only_b + none) * (both + only_b) * (only_a + none)
    if product == 0:
        return 0.0
    excess = both * none - only_a * only_b
    if excess > 0:
        excess = max(0.0, excess - effective / 2)
    return excess / math.sqrt(product)


def _right(pairs: Sequence[Pair]) -> Paired:
    first = [pair.first_abnormal == bool(pair.label) for pair in pairs]
    second = [pair.second_abnormal == bool(pair.label) for pair in pairs]
    patients = [pair.patient for pair in pairs]
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    return Paired(
        clustered_rate(first, patients),
        clustered_rate(second, patients),
        paired_rate_difference(first, second, patients),
        only_first,
        only_second,
        mcnemar_p(only_first, only_second),
    )


def _auroc(pairs: Sequence[Pair]) -> Paired:
    labels, patients = [pair.label for pair in pairs], [pair.patient for pair in pairs]
    first, second = [pair.first for pair in pairs], [pair.second for pair in pairs]
    return Paired(
        roc_auc_score(labels, first, patients),
        roc_auc_score(labels, second, patients),
        roc_auc_difference(labels, second, first, patients),
    )


def _kappa(pairs: Sequence[Pair]) -> Paired:
    labels, patients = [pair.label for pair in pairs], [pair.patient for pair in pairs]

    def of(call: Callable[[Pair], bool]) -> tuple[Estimate, NDArray[np.float64]]:
        calls = [int(call(pair)) for pair in pairs]
        estimate = clustered_kappa_score(labels, calls, patients)
        if not estimate.is_defined:
            return estimate, np.zeros(len(pairs))
        cells = 2 * np.asarray(labels) + np.asarray(calls)
        shares = np.bincount(cells, minlength=4).reshape(2, 2) / len(cells)
        return estimate, influence_on_kappa(shares).ravel()[cells]

    first, of_first = of(lambda pair: pair.first_abnormal)
    second, of_second = of(lambda pair: pair.second_abnormal)
    if not (first.is_defined and second.is_defined):
        reason = first.reason or second.reason
        return Paired(first, second, undefined(LINEARISED, len(pairs), reason))
    return Paired(first, second, _linearised(second.value - first.value, of_second - of_first, patients))


def _linearised(value: float, influence: NDArray[np.float64], patients: Sequence[str]) -> Estimate:
    clusters = clusters_of(patients)
    se = math.sqrt(clustered_variance(influence, clusters))
    if se < _NO_ERROR:
        return without_interval(value, LINEARISED, len(influence), COLLAPSED)
    half = (Z95 if clusters.are_single else t95(clusters.count - 1)) * se
    return Estimate(value, max(-2.0, value - half), min(2.0, value + half), LINEARISED, len(influence), se)
