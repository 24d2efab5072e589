"""Drift -> what the page shows of it: a sentence an alarm, and a chart a series."""

from __future__ import annotations

from dataclasses import dataclass

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
    """why: why there are no charts, else ''. run_length: nights between false alarms of one chart."""

    why: str
    alarms: tuple[str, ...]
    first: str
    last: str
    run_length: int
    rows: tuple[DriftRow, ...]


def drift_view(drift: Drift) -> DriftView:
    if drift.limits is None:
        return DriftView(drift.why, (), "", "", 0, ())
    rows = tuple(_row(series, drift.limits.ewma) for series in drift.series)
    return DriftView("", drift.alarms, *drift.baseline, round(drift.limits.run_length), rows)


def _row(series: Series, limit: float) -> DriftRow:
    shown = {"score": "{:.3f}"}.get(series.name, "{:.1%}").format
    is_mix = series.baseline == 0 and series.values == series.scores
    last, baseline = ("", "") if is_mix else (shown(series.values[-1]), shown(series.baseline))
    words = f"EWMA of {len(series.chart.ewma)} nights after {BASELINE_NIGHTS} of baseline; limits {limit:.2f}"
    drawing = charts.control_chart(series.chart.ewma, series.chart.alarm, limit, words)
    return DriftRow(WORDS.get(series.name, series.name), last, baseline, drawing, bool(series.sentence))
