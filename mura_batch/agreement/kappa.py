"""Cohen's kappa: with the large-sample standard error of Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969),
and with a bootstrap by patient for tables that are too small for it.

The official evaluation of MURA forgot a square root in its interval; it is not repeated here. docs/statistics.md tells
which interval is used where.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mura_batch.agreement.estimate import Z95, Estimate, undefined

LARGE_SAMPLE = "large-sample (Fleiss, Cohen, Everitt 1969)"
EXACT_AGREEMENT = "exact binomial on the observed agreement, chance agreement held (Clopper, Pearson 1934)"
BOOTSTRAP_ROUNDS = 2000  # the 2.5 % quantile then rests on 50 draws
FEWEST_PATIENTS = 10  # fewer hold too little of the spread to draw it from them
_DRAWN_AT_ONCE = 4_000_000  # patients drawn in one array: 32 MB
_NO_ERROR = 1e-9  # a standard error below it is rounding: the smallest true one is near 1/n
ONE_CLASS = "both gave one and the same class only"
COLLAPSED = "the standard error is 0: the interval collapses to a point and says nothing"

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def cohen_kappa_score(table: ArrayLike) -> Estimate:
    """table: [k, k] counts, k >= 2; rows truth, columns prediction, classes in the same order.

    The interval is value +- 1.96 se, clamped to [-1, 1]. Undefined (NaN, with a reason) where both gave one and the
    same class only. Raises ValueError on a table that is not square, is empty, or holds negative or non-finite counts.
    """
    counts = _checked(table)
    n = float(counts.sum())
    if counts.diagonal().max() == n:
        return undefined(LARGE_SAMPLE, round(n), ONE_CLASS)
    p = counts / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    expected = float(rows @ columns)
    kappa = float((np.trace(p) - expected) / (1 - expected))
    se = math.sqrt(_variance(p, rows, columns, kappa, expected) / n)
    low, high = max(-1.0, kappa - Z95 * se), min(1.0, kappa + Z95 * se)
    return Estimate(kappa, low, high, LARGE_SAMPLE, round(n), se, COLLAPSED if se < _NO_ERROR else "")


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


def _variance(p: Floats, rows: Floats, columns: Floats, kappa: float, expected: float) -> float:
    """Of one observation: Fleiss, Cohen, Everitt 1969, equation 13, without its division by n."""
    agreed = float((p.diagonal() * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    off = p * (columns[:, None] + rows[None, :]) ** 2
    np.fill_diagonal(off, 0)
    disagreed = (1 - kappa) ** 2 * float(off.sum())
    variance = (agreed + disagreed - (kappa - expected * (1 - kappa)) ** 2) / (1 - expected) ** 2
    return max(0.0, variance)  # rounding may leave -1e-18 where it is zero


def bootstrap_kappa(
    truth: Sequence[int], predicted: Sequence[int], patients: Sequence[Hashable], seed: int = 0
) -> Estimate:
    """Two-class kappa of paired labels (0 or 1), with a 95 % percentile interval over patients drawn with replacement:
    studies of one patient are not independent, and a small table has no normal distribution.

    Without any disagreement every draw gives 1, and a bootstrap collapses too: the interval is then the exact binomial
    one of the observed agreement. Draws in which kappa is undefined are left out, and `reason` says how many. The
    interval is NaN, with a reason, for fewer than FEWEST_PATIENTS and where every draw gives the same. Raises
    ValueError on labels other than 0 and 1, on lengths that differ, and on no case.
    """
    cells = _cells_by_patient(truth, predicted, patients)
    value = cohen_kappa_score(cells.sum(axis=0).reshape(2, 2))
    method = f"bootstrap by patient, percentile, {BOOTSTRAP_ROUNDS} draws, seed {seed}"
    if not value.is_defined:
        return undefined(method, value.n, value.reason)
    if value.value == 1:
        return _exact_agreement(cells)
    if len(cells) < FEWEST_PATIENTS:
        return _without_interval(value, method, f"no interval: fewer than {FEWEST_PATIENTS} patients")
    drawn = _kappas(_drawn(cells, seed))
    defined = drawn[~np.isnan(drawn)]
    low, high = np.quantile(defined, (0.025, 0.975))
    if low == high:
        return _without_interval(value, method, "no interval: every draw gives the same kappa")
    lost = len(drawn) - len(defined)
    reason = f"undefined in {lost} of {len(drawn)} draws, which are left out" if lost else ""
    return Estimate(value.value, float(low), float(high), method, value.n, float(defined.std(ddof=1)), reason)


def _without_interval(value: Estimate, method: str, reason: str) -> Estimate:
    return Estimate(value.value, math.nan, math.nan, method, value.n, reason=reason)


def _cells_by_patient(truth: Sequence[int], predicted: Sequence[int], patients: Sequence[Hashable]) -> Counts:
    """[patients, 4] counts of the cells (truth, predicted) = 00, 01, 10, 11."""
    rows = {patient: n for n, patient in enumerate(dict.fromkeys(patients))}
    cells = np.zeros((len(rows), 4), dtype=np.int64)
    for t, p, patient in zip(truth, predicted, patients, strict=True):
        if t not in (0, 1) or p not in (0, 1):
            raise ValueError(f"labels are 0 or 1, not {t!r} and {p!r}")
        cells[rows[patient], 2 * int(t) + int(p)] += 1
    return cells


def _drawn(cells: Counts, seed: int) -> Counts:
    """[rounds, 4] tables, each of as many patients as there are, drawn with replacement."""
    rng = np.random.default_rng(seed)
    n = len(cells)
    step = max(1, _DRAWN_AT_ONCE // n)
    sizes = [min(step, BOOTSTRAP_ROUNDS - done) for done in range(0, BOOTSTRAP_ROUNDS, step)]
    return np.concatenate([cells[rng.integers(0, n, (size, n))].sum(axis=1) for size in sizes])


def _kappas(tables: Counts) -> Floats:
    """[m] kappa of [m, 4] two-class tables, NaN where it is undefined: 2 (ad - bc) / ((a+b)(b+d) + (a+c)(c+d))."""
    a, b, c, d = tables.T.astype(np.float64)
    below = (a + b) * (b + d) + (a + c) * (c + d)
    kappas: Floats = np.divide(2 * (a * d - b * c), below, out=np.full(len(tables), math.nan), where=below > 0)
    return kappas


def _exact_agreement(cells: Counts) -> Estimate:
    """For a table without disagreement: the Clopper-Pearson lower limit of an agreement seen in n of n patients is
    0.025 ** (1/n); kappa follows from it with the chance agreement of the table."""
    n, (normal, abnormal) = int(cells.sum()), cells.sum(axis=0)[[0, 3]]
    expected = float(normal**2 + abnormal**2) / n**2
    agreement = 0.025 ** (1 / len(cells))
    return Estimate(1.0, max(-1.0, (agreement - expected) / (1 - expected)), 1.0, EXACT_AGREEMENT, n)
