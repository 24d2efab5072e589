"""Kappa by month of study as control charts. Truth comes later than scores, so a month is charted when its truth can
have arrived: when a study of a later month has some.

A month's kappa less the baseline's becomes a standard normal value by the large-sample variance of the baseline's table
(Fleiss, Cohen, Everitt 1969), which does not collapse where a small month agrees completely. Of a drawn sample each
study counts for 1 / probability studies, and variances are those of the effective number (Kish, Survey Sampling, 1965).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.clusters import clusters_of, effective_size
from mura_batch.agreement.control_charts import Limits, chart, limits_for
from mura_batch.agreement.drift import Series
from mura_batch.agreement.kappa import PRIOR, influence_on_kappa, kappas
from mura_batch.agreement.truth import Case

BASELINE_MONTHS = 12  # a year of seasons; with 6 a quarter of sites had a false alarm within two years
FEWEST_READ = 20  # studies of a month: a smaller one's kappa is far from normal, and is not charted
RUN_LENGTH = 500.0  # months between false alarms of one chart
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KappaChart:
    """truth_as_of: date of the newest study with truth, YYYYMMDD. waiting: the months, '2026-01', whose truth is still
    coming; too_small: those with fewer than FEWEST_READ studies. limits, series: None where why, one sentence, says
    what is missing; the nights of the series are months."""

    truth_as_of: str
    waiting: tuple[str, ...]
    too_small: tuple[str, ...]
    limits: Limits | None
    series: Series | None
    why: str

    @property
    def alarm(self) -> str:
        """One sentence, or ''."""
        return self.series.sentence if self.series is not None else ""


@dataclass(frozen=True, slots=True)
class _Month:
    """table: [2, 2] studies by truth and call. effective: the number of independent studies that they are worth."""

    name: str
    table: Floats
    effective: float

    @property
    def kappa(self) -> float:
        """NaN where the truth has one class."""
        return _kappa(self.table)


def kappa_chart(cases: Sequence[Case]) -> KappaChart | None:
    """None where no case has a date. Where a part of the cases was drawn, the others are left out: they were read for
    another reason."""
    drawn = [case for case in cases if case.sampled is not None]
    dated = [case for case in drawn or cases if case.study_date]
    if not dated:
        return None
    truth_as_of = max(case.study_date for case in dated)
    of: dict[str, list[Case]] = {}
    for case in sorted(dated, key=lambda case: case.study_date):
        of.setdefault(f"{case.study_date[:4]}-{case.study_date[4:6]}", []).append(case)
    newest = next(reversed(of))
    small = tuple(name for name, read in of.items() if name != newest and len(read) < FEWEST_READ)
    months = [_month(name, read) for name, read in of.items() if name != newest and name not in small]
    charted = [month for month in months if not math.isnan(month.kappa)]
    if len(charted) <= BASELINE_MONTHS:
        return KappaChart(truth_as_of, (newest,), small, None, None, _too_few(len(charted)))
    limits = limits_for(RUN_LENGTH)
    return KappaChart(truth_as_of, (newest,), small, limits, _series(charted, limits, truth_as_of), "")


def _too_few(months: int) -> str:
    return (
        f"Kappa is charted from month {BASELINE_MONTHS + 1} on, against the first {BASELINE_MONTHS} with at least "
        f"{FEWEST_READ} studies with truth; so far there are {months}."
    )


def _month(name: str, cases: Sequence[Case]) -> _Month:
    weight = np.array([1 / case.sampled.probability if case.sampled is not None else 1.0 for case in cases])
    cells = np.array([2 * case.label + case.abnormal for case in cases])
    table = np.bincount(cells, weights=weight, minlength=4).reshape(2, 2).astype(np.float64)
    clusters = clusters_of([case.patient for case in cases])
    independent = effective_size(influence_on_kappa(_smoothed(table)).ravel()[cells], clusters) / len(cases)
    return _Month(name, table, independent * float(weight.sum() ** 2 / (weight**2).sum()))


def _smoothed(table: Floats) -> Floats:
    """Shares of the cells with a part of a study in each: a month without an error does not say that there is none."""
    shares: Floats = (table + PRIOR) / (table + PRIOR).sum()
    return shares


def _series(months: Sequence[_Month], limits: Limits, truth_as_of: str) -> Series:
    baseline = months[:BASELINE_MONTHS]
    table = np.sum([month.table for month in baseline], axis=0)
    level, p, read = _kappa(table), _smoothed(table), sum(month.effective for month in baseline)
    variance = float((p * influence_on_kappa(p) ** 2).sum())
    # A month of the baseline is a part of what it is compared with: its difference from it varies less.
    signs = [*[-1] * BASELINE_MONTHS, *[1] * (len(months) - BASELINE_MONTHS)]
    scores = [
        (month.kappa - level) / math.sqrt(variance * (1 / month.effective + sign / read))
        for month, sign in zip(months, signs, strict=True)
    ]
    later = chart(scores[BASELINE_MONTHS:], limits)
    names, values = tuple(month.name for month in months), tuple(month.kappa for month in months)
    since = BASELINE_MONTHS + later.since
    now = _kappa(np.sum([month.table for month in months[since:]], axis=0))
    sentence = (
        f"Kappa has been {'higher' if later.is_up else 'lower'} since the studies of {names[since]}: {now:.2f}, in the "
        f"baseline {level:.2f}; truth as of {_date(truth_as_of)}."
    )
    return Series("kappa", names, values, tuple(scores), level, later, sentence if later.alarm[-1] else "")


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def _kappa(table: Floats) -> float:
    return float(kappas(table.reshape(1, 4))[0]) if table.sum(axis=1).all() else math.nan
