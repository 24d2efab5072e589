"""Cohen's kappa. Its standard error is the large-sample one of Fleiss, Cohen and Everitt (Psychological Bulletin 72,
1969); its two-class interval is that of a Dirichlet posterior, which covers where value +- 1.96 standard errors does
not: see the table of coverage in docs/statistics.md.

The official evaluation of MURA forgot a square root in its interval; it is not repeated here.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mura_batch.agreement.clusters import clustered_variance, clusters_of, effective_size
from mura_batch.agreement.estimate import Estimate, undefined, without_interval
from mura_batch.agreement.kappa_posterior import kappa_quantiles
from mura_batch.agreement.quantiles import Z95

LARGE_SAMPLE = "large-sample (Fleiss, Cohen, Everitt 1969)"
PRIOR = 0.45  # studies in each cell; with 1/2 (Jeffreys) coverage falls to 92.5 % of 50 studies, a tenth abnormal
DIRICHLET = f"Dirichlet({PRIOR}) posterior of the four cells"
DIRICHLET_CLUSTERED = f"{DIRICHLET}, effective number of studies by patient (Rao, Scott 1992)"
_NO_ERROR = 1e-6  # a standard error below it is rounding (sqrt of 1e-16 and less): a true one is near 1 / n or more
ONE_CLASS = "both gave one and the same class only"
ONE_CLASS_IN_TRUTH = "one class in the truth: kappa would be 0 whatever the calls"
ONE_CLASS_IN_CALLS = "one class in the calls: kappa is 0 whatever the truth"
COLLAPSED = "no interval: the standard error is 0"

Floats = NDArray[np.float64]


def cohen_kappa_score(table: ArrayLike) -> Estimate:
    """table: [k, k] counts, k >= 2; rows truth, columns prediction, classes in the same order; cases independent.

    Two classes get the interval of `posterior_limits`, more of them value +- 1.96 se within [-1, 1]. Undefined (NaN,
    with a reason) where the truth has one class only. Raises ValueError on a table that is not square, is empty, or
    holds negative or non-finite counts.
    """
    counts = _checked(table)
    if len(counts) == 2:
        return _two_class(counts, counts.sum(), math.sqrt(_variance(counts / counts.sum()) / counts.sum()), DIRICHLET)
    n = round(float(counts.sum()))
    if reason := _why_undefined(counts):
        return undefined(LARGE_SAMPLE, n, reason)
    p = counts / counts.sum()
    value, se = _kappa(p), math.sqrt(_variance(p) / counts.sum())
    if se < _NO_ERROR:
        return without_interval(value, LARGE_SAMPLE, n, COLLAPSED)
    return Estimate(value, max(-1.0, value - Z95 * se), min(1.0, value + Z95 * se), LARGE_SAMPLE, n, se)


def clustered_kappa_score(truth: Sequence[int], predicted: Sequence[int], patients: Sequence[Hashable]) -> Estimate:
    """Two-class kappa of paired labels (0 or 1), one for each study; studies of one patient are not independent.

    The table is scaled to the effective number of studies before its interval is taken; se is the linearised one
    between patients (Vanbelle, Biometrical Journal 59, 2017). Undefined where the truth has one class only. Raises
    ValueError on labels other than 0 and 1, on lengths that differ, and on no case.
    """
    cells, clusters = _cells(truth, predicted, patients), clusters_of(patients)
    counts = _checked(np.bincount(cells, minlength=4).reshape(2, 2))
    p = counts / len(cells)
    influence = np.zeros(len(cells)) if _why_undefined(counts) else influence_on_kappa(p).ravel()[cells]
    effective, se = effective_size(influence, clusters), math.sqrt(clustered_variance(influence, clusters))
    method = DIRICHLET if clusters.are_single else DIRICHLET_CLUSTERED
    return _two_class(counts, effective, se, method)


def _checked(table: ArrayLike) -> Floats:
    try:
        counts = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a table of agreement holds counts: {error}") from error
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.shape[0] < 2:
        raise ValueError(f"a table of agreement is square, at least 2 x 2, not of shape {counts.shape}")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("a table of agreement holds counts: finite and not negative")
    if counts.sum() == 0:
        raise ValueError("the table of agreement is empty: no case was counted")
    return counts


def _cells(truth: Sequence[int], predicted: Sequence[int], patients: Sequence[Hashable]) -> NDArray[np.intp]:
    """[n] the cell of each study: 2 truth + prediction."""
    if not len(truth) == len(predicted) == len(patients):
        raise ValueError(f"labels differ in length: {len(truth)}, {len(predicted)} and {len(patients)} patients")
    labels = np.asarray([truth, predicted])
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels are 0 or 1")
    return np.asarray(2 * labels[0] + labels[1], dtype=np.intp)


def _why_undefined(counts: Floats) -> str:
    if counts.diagonal().max() == counts.sum():
        return ONE_CLASS
    return ONE_CLASS_IN_TRUTH if counts.sum(axis=1).max() == counts.sum() else ""


def _kappa(p: Floats) -> float:
    expected = float(p.sum(axis=1) @ p.sum(axis=0))
    return float((np.trace(p) - expected) / (1 - expected))


def influence_on_kappa(p: Floats) -> Floats:
    """[k, k] what one case in each cell does to kappa, times n; p: the cells' shares. Its mean over p is 0, the mean of
    its square is equation 13 of Fleiss, Cohen and Everitt 1969."""
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    expected, observed = float(rows @ columns), float(np.trace(p))
    agree = np.eye(len(p)) * (1 - expected)
    slope = (agree - (1 - observed) * (columns[:, None] + rows[None, :])) / (1 - expected) ** 2
    centred: Floats = slope - float((p * slope).sum())
    return centred


def _variance(p: Floats) -> float:
    """Large-sample variance of kappa, times n; 0 where kappa is undefined."""
    return 0.0 if p.diagonal().max() == 1 else float((p * influence_on_kappa(p) ** 2).sum())


def _two_class(counts: Floats, effective: float, se: float, method: str) -> Estimate:
    """counts: [2, 2]. effective: the number of independent studies that they are worth."""
    n = round(float(counts.sum()))
    if reason := _why_undefined(counts):
        return undefined(method, n, reason)
    p = counts / counts.sum()
    value, (low, high) = _kappa(p), posterior_limits(p, effective)
    reason = ONE_CLASS_IN_CALLS if p.sum(axis=0).max() == 1 else ""
    return Estimate(value, low, high, method, n, se if se > _NO_ERROR else math.nan, reason)


def posterior_limits(p: Floats, effective: float, prior: float = PRIOR) -> tuple[float, float]:
    """2.5 % and 97.5 % quantiles of kappa where the cells have a Dirichlet posterior after `effective` studies of the
    shares p [2, 2], and `prior` studies in each cell before them. They are widened to hold kappa itself, so that
    complete agreement reaches 1 (as Brown, Cai, DasGupta, Statistical Science 16, 2001, do for one proportion)."""
    low, high = kappa_quantiles(p.ravel() * effective + prior, (0.025, 0.975))
    value = _kappa(p)
    return min(low, value), max(high, value)


def kappas(tables: Floats) -> Floats:
    """[m] kappa of [m, 4] tables in any scale: 2 (ad - bc) / ((a+b)(b+d) + (a+c)(c+d))."""
    a, b, c, d = tables.T
    values: Floats = 2 * (a * d - b * c) / ((a + b) * (b + d) + (a + c) * (c + d))
    return values
