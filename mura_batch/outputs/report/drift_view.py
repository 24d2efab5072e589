"""Drift -> what the page shows of it: a sentence an alarm, and a chart a series."""

from __future__ import annotations

from dataclasses import dataclass

from mura_batch.agreement.cohorts import BASELINE_MONTHS, KappaChart
from mura_batch.agreement.drift import BASELINE_NIGHTS, WORDS, Drift, Series
from mura_batch.outputs.report import charts


@dataclass(frozen=True, slots=True)
class DriftRow:
    """name: in words. last, baseline: values, '' for a mix. drawing: SVG."""

    name: str
    last: str
    baseline: str
    drawing: str
    alarms: bool


@dataclass(frozen=True, slots=True)
class DriftView:
    """why: why there are no charts, else ''. run_length: nights between false alarms of one chart. kappa, months: the
    chart of kappa by month of study and its drawing, None and '' where there is none."""

    why: str
    alarms: tuple[str, ...]
    first: str
    last: str
    run_length: int
    rows: tuple[DriftRow, ...]
    kappa: KappaChart | None = None
    months: DriftRow | None = None


def drift_view(drift: Drift, kappa: KappaChart | None = None) -> DriftView:
    """kappa: by month of study, None where no study has a truth."""
    months = None
    if kappa is not None and kappa.series is not None and kappa.limits is not None:
        months = _row(kappa.series, kappa.limits.ewma, f"months after {BASELINE_MONTHS}")
    alarms = (*drift.alarms, *([kappa.alarm] if kappa is not None and kappa.alarm else ()))
    if drift.limits is None:
        return DriftView(drift.why, alarms, "", "", 0, (), kappa, months)
    rows = tuple(_row(series, drift.limits.ewma, f"nights after {BASELINE_NIGHTS}") for series in drift.series)
    return DriftView("", alarms, *drift.baseline, round(drift.limits.run_length), rows, kappa, months)


def _row(series: Series, limit: float, after: str) -> DriftRow:
    shown = {"score": "{:.3f}", "kappa": "{:.3f}"}.get(series.name, "{:.1%}").format
    is_mix = series.baseline == 0 and series.values == series.scores
    last, baseline = ("", "") if is_mix else (shown(series.values[-1]), shown(series.baseline))
    words = f"EWMA of {len(series.chart.ewma)} {after} of baseline; limits {limit:.2f}"
    drawing = charts.control_chart(series.chart.ewma, series.chart.alarm, limit, words)
    return DriftRow(WORDS.get(series.name, series.name), last, baseline, drawing, bool(series.sentence))
