"""Truth for a sample of the studies: how many to read, and figures of the whole archive from those that were read.

Studies that are read because of their score make plain kappa, sensitivity and specificity wrong (verification bias). A
drawn study stands for 1 / probability studies of the archive (inverse probability weighting; Alonzo & Pepe, JRSS C 54,
2005). Where the call is the only stratum this is the correction of Begg and Greenes (Biometrics 39, 1983). Variances
are linearised within strata of the draw, without replacement (Feder, Proceedings of the Joint Statistical Meetings,
2006; R survey::svykappa).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.curves import NO_CASE, ONE_CLASS_IN_TRUTH, wilson_limits
from mura_batch.agreement.estimate import Estimate, undefined
from mura_batch.agreement.kappa import influence_on_kappa, kappas, posterior_limits
from mura_batch.agreement.one_call_read import ONE_CALL_READ, effective_number, figure_limits, unread_call
from mura_batch.agreement.quantiles import Z95

WEIGHTED_KAPPA = "Dirichlet quantiles at the effective number of studies, inverse probability, by stratum (Feder 2006)"
WEIGHTED_RATE = "Wilson at the effective number of studies, inverse probability, linearised by stratum (Feder 2006)"
ALL_READ = "exact: no study that was left out can change it"
_NO_ERROR = 1e-9  # a standard error below it is rounding
_MARGIN = 0.001  # above the quantile of chi-square, as R kappaSize has it: sizes are then those of its tables
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Draw:
    """A sample with truth, [n] each: truth and call (True: abnormal), probability: of having been drawn, 0 < p <= 1.
    stratum: the part of the archive that each study was drawn from without replacement; one probability a stratum."""

    truth: Bools
    called: Bools
    probability: Floats
    stratum: NDArray[np.intp]

    def __post_init__(self) -> None:
        if not (len(self.truth) == len(self.called) == len(self.probability) == len(self.stratum) > 0):
            raise ValueError("a draw needs truth, call, probability and stratum of each study, and at least one study")
        if not ((self.probability > 0) & (self.probability <= 1)).all():
            raise ValueError("sampling probabilities are greater than 0 and at most 1")

    @property
    def weight(self) -> Floats:
        return 1 / self.probability

    @property
    def cell(self) -> NDArray[np.intp]:
        """[n] of the table of truth and call: 2 truth + call."""
        return 2 * self.truth.astype(np.intp) + self.called


@dataclass(frozen=True, slots=True)
class Corrected:
    """Figures of the whole archive, from its sample."""

    kappa: Estimate
    sensitivity: Estimate
    specificity: Estimate


def draw_of(
    truth: Sequence[bool], called: Sequence[bool], probability: Sequence[float], stratum: Sequence[str]
) -> Draw:
    """Raises ValueError on lengths that differ, no study, and probabilities outside (0, 1]."""
    numbers = np.unique(np.asarray(stratum, dtype=str), return_inverse=True)[1]
    return Draw(np.asarray(truth, bool), np.asarray(called, bool), np.asarray(probability, np.float64), numbers)


def corrected(draw: Draw) -> Corrected:
    return Corrected(
        kappa=weighted_kappa(draw),
        sensitivity=_weighted_rate(draw, 1),
        specificity=_weighted_rate(draw, 0),
    )


def weighted_kappa(draw: Draw) -> Estimate:
    """Undefined where the truth of the sample has one class only. se is that of the sample as it is."""
    n = len(draw.truth)
    if draw.truth.all() or not draw.truth.any():
        return undefined(WEIGHTED_KAPPA, n, ONE_CLASS_IN_TRUTH)
    value, se = _kappa_and_error(_rows(draw))
    if limits := _limits_of_one_call(draw, lambda table: float(kappas(table.reshape(1, 4))[0])):
        return _of_one_call(value, limits, n, se)
    rows = _with_half_studies(draw)
    p, (_, widened) = rows.shares, _kappa_and_error(rows)
    if widened < _NO_ERROR:
        return Estimate(value, value, value, WEIGHTED_KAPPA, n, 0.0, ALL_READ)
    influence = influence_on_kappa(p)
    low, high = posterior_limits(p, float((p * influence**2).sum()) / widened**2, prior=0.0)
    return Estimate(value, min(low, value), max(high, value), WEIGHTED_KAPPA, n, se)


def _weighted_rate(draw: Draw, of_truth: int) -> Estimate:
    """The archive's share of right calls among its studies of one class of truth."""
    n = int((draw.truth == of_truth).sum())
    if not n:
        return undefined(WEIGHTED_RATE, 0, NO_CASE)
    value, se = _rate_and_error(_rows(draw), of_truth)
    if limits := _limits_of_one_call(draw, lambda table: float(table[of_truth, of_truth] / table[of_truth].sum())):
        return _of_one_call(value, limits, n, se)
    p, widened = _rate_and_error(_with_half_studies(draw), of_truth)
    if widened < _NO_ERROR:
        return Estimate(value, value, value, WEIGHTED_RATE, n, 0.0, ALL_READ)
    low, high = wilson_limits(p, p * (1 - p) / widened**2)
    return Estimate(value, min(low, value), max(high, value), WEIGHTED_RATE, n, se)


def _of_one_call(value: float, limits: tuple[float, float], n: int, se: float) -> Estimate:
    low, high = min(limits[0], value), max(limits[1], value)
    if high - low < _NO_ERROR:
        return Estimate(value, value, value, ONE_CALL_READ, n, 0.0, ALL_READ)
    return Estimate(value, low, high, ONE_CALL_READ, n, se)


def _limits_of_one_call(draw: Draw, figure: Callable[[Floats], float]) -> tuple[float, float] | None:
    """None where both calls were read in part, or the part was drawn from several strata."""
    call = unread_call(draw.called, draw.probability)
    if call is None:
        return None
    chosen = draw.called == call
    if len(np.unique(draw.stratum[chosen])) > 1:
        return None
    cells = np.bincount(draw.cell, weights=draw.weight, minlength=4).astype(np.float64).reshape(2, 2)
    abnormal, read = int(draw.truth[chosen].sum()), int(chosen.sum())
    effective = effective_number(read, float(draw.weight[chosen].sum()))
    return figure_limits(cells, (read - abnormal, abnormal), effective, call, figure)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Studies of a draw, [m] each. weight: studies of the archive that each stands for. studies: 1, or at most 1/2 for
    a half one, which counts for the shares as it says and for the error as whole: with half, simulated intervals missed
    the kappa of rare errors too often (92 % instead of 94 to 95)."""

    cell: NDArray[np.intp]
    weight: Floats
    probability: Floats
    stratum: NDArray[np.intp]
    studies: Floats

    @property
    def shares(self) -> Floats:
        """[2, 2] of the archive."""
        cells = np.bincount(self.cell, weights=self.weight * self.studies, minlength=4)
        return np.asarray(cells / cells.sum()).reshape(2, 2)

    def error(self, influence: Floats) -> float:
        """Linearised standard error of a weighted mean of [m] influence values whose weighted mean is 0."""
        share = self.weight * influence / (self.weight * self.studies).sum()
        counts = np.bincount(self.stratum)
        mean = (np.bincount(self.stratum, weights=share) / np.maximum(counts, 1))[self.stratum]
        spread = (1 - self.probability) * (share - mean) ** 2
        between = counts / np.maximum(counts - 1, 1)
        return math.sqrt(float((spread * between[self.stratum]).sum()))


def _rows(draw: Draw) -> _Rows:
    """Strata with one study read of several show no spread: they are pooled."""
    sizes = np.bincount(draw.stratum)
    alone = (sizes[draw.stratum] == 1) & (draw.probability < 1)
    stratum = np.where(alone, len(sizes), draw.stratum)
    return _Rows(draw.cell, draw.weight, draw.probability, stratum, np.ones(len(stratum)))


def _with_half_studies(draw: Draw) -> _Rows:
    """Half a study in each cell that stands for as many as the average study of that call: a rare
    error that the sample missed could have stood for many. Less of it where more of that call was read, nothing where
    all was: then no error can have been missed."""
    rows, cells = _rows(draw), np.arange(4)
    alike = [draw.called == cell % 2 if (draw.called == cell % 2).any() else draw.called | True for cell in cells]
    weight = np.array([draw.weight[chosen].mean() for chosen in alike])
    return _Rows(
        np.append(rows.cell, cells),
        np.append(rows.weight, weight),
        np.append(rows.probability, 1 / weight),
        np.append(rows.stratum, rows.stratum.max() + 1 + cells % 2),
        np.append(rows.studies, 0.5 * (1 - 1 / weight)),
    )


def _kappa_and_error(rows: _Rows) -> tuple[float, float]:
    p = rows.shares
    return float(kappas(p.reshape(1, 4))[0]), rows.error(influence_on_kappa(p).ravel()[rows.cell])


def _rate_and_error(rows: _Rows, of_truth: int) -> tuple[float, float]:
    p, wanted = rows.shares[of_truth], rows.cell // 2 == of_truth
    rate = float(p[of_truth] / p.sum())
    return rate, rows.error(wanted * ((rows.cell % 2 == of_truth) - rate) / p.sum())


def studies_needed(kappa: float, width: float, prevalence: float) -> int:
    """Studies to read for a 95 % interval of kappa of that width, kappa -+ width / 2, where that share is abnormal
    (Donner & Rotondi, International Journal of Biostatistics 6, 2010; two raters). An upper limit of 1 or more asks for
    nothing. Raises ValueError where kappa, width or prevalence cannot be."""
    if not (0 < kappa < 1 and 0 < width < 2 * kappa and 0 < prevalence < 1):
        raise ValueError(
            f"kappa {kappa:g}, width {width:g}, share of abnormal studies {prevalence:g}: kappa and share must lie "
            "between 0 and 1, and the width below twice kappa"
        )
    ends = [end for end in (kappa - width / 2, kappa + width / 2) if end < 1]
    return max(math.ceil((Z95**2 + _MARGIN) / _chi_square(kappa, end, prevalence)) for end in ends)


def _chi_square(kappa: float, other: float, prevalence: float) -> float:
    """Goodness of fit of one study: what a true kappa adds to chi-square where another is supposed."""
    observed, supposed = _pair_shares(kappa, prevalence), _pair_shares(other, prevalence)
    return sum((a - b) ** 2 / b for a, b in zip(observed, supposed, strict=True))


def _pair_shares(kappa: float, p: float) -> tuple[float, float, float]:
    """Both normal, one of them abnormal, both abnormal."""
    spread = kappa * p * (1 - p)
    return (1 - p) ** 2 + spread, 2 * (1 - kappa) * p * (1 - p), p**2 + spread
