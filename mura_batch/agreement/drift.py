"""Drift: nights of a site compared with a baseline of its own first nights, as control charts with plain sentences.

Each series becomes one standard normal value a night. A share is compared with the baseline's exactly, given both
totals (hypergeometric mid-p; Quesenberry, Journal of Quality Technology 23, 1991), so that small nights and a baseline
of few studies are allowed for. Nights vary more than chance alone where weekdays differ: values are divided by the
standard deviation that the baseline nights have among themselves, if it is more than 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mura_batch.agreement.control_charts import Chart, Limits, chart, limits_for

BASELINE_NIGHTS = 60  # fewer leave the baseline so uncertain that false alarms come twice as often as stated
RUN_LENGTH = 1000.0  # nights between false alarms of one chart
_FARTHEST = 8.0  # standard deviations: beyond it a probability is 0 or 1 in floating point
_NORMAL = NormalDist()
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Count:
    """A share of one night: hits of n."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n if self.n else math.nan


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of one night: sum and sum of squares of n values."""

    total: float
    squares: float
    n: int

    @property
    def value(self) -> float:
        return self.total / self.n if self.n else math.nan


@dataclass(frozen=True, slots=True)
class Mix:
    """Counts of one night by kind."""

    counts: tuple[tuple[str, int], ...]

    @property
    def n(self) -> int:
        return sum(count for _, count in self.counts)


Figure = Count | Mean | Mix


@dataclass(frozen=True, slots=True)
class Night:
    """date: of the run, YYYY-MM-DD. model: names model and settings. figures: of the series' names; what is new in the
    run."""

    run: str
    date: str
    model: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Series:
    """One chart. values: [nights] in the series' own unit (a mix: standard normal); scores: [nights] standard normal;
    baseline: its value there. sentence: '' where the last night gives no alarm."""

    name: str
    nights: tuple[str, ...]
    values: tuple[float, ...]
    scores: tuple[float, ...]
    baseline: float
    chart: Chart
    sentence: str


@dataclass(frozen=True, slots=True)
class Drift:
    """Of the nights of one model. baseline: its first and last date, '' where there are too few nights; why: then one
    sentence, and no series."""

    baseline: tuple[str, str]
    limits: Limits | None
    series: tuple[Series, ...]
    why: str

    @property
    def alarms(self) -> tuple[str, ...]:
        return tuple(one.sentence for one in self.series if one.sentence)


def drift_of(nights: Sequence[Night]) -> Drift:
    """nights: in the order of time; those of another model than the last one's are left out: their scores differ."""
    of_model = [night for night in nights if night.model == nights[-1].model] if nights else []
    if len(of_model) <= BASELINE_NIGHTS:
        return Drift(("", ""), None, (), _too_few(len(of_model)))
    limits, baseline = limits_for(RUN_LENGTH), of_model[:BASELINE_NIGHTS]
    series = tuple(
        _series(name, nights_of, limits)
        for name in of_model[-1].figures
        if len(nights_of := [night for night in of_model if name in night.figures]) > BASELINE_NIGHTS
    )
    return Drift((baseline[0].date, baseline[-1].date), limits, series, "")


def _too_few(nights: int) -> str:
    return (
        f"Drift is charted from night {BASELINE_NIGHTS + 1} of a model on, against its first {BASELINE_NIGHTS}; "
        f"so far there are {nights}."
    )


def _series(name: str, nights: Sequence[Night], limits: Limits) -> Series:
    figures = [night.figures[name] for night in nights]
    baseline = figures[:BASELINE_NIGHTS]
    scores = _scores(figures, baseline)
    later = chart(scores[BASELINE_NIGHTS:], limits)
    values = [score if isinstance(figure, Mix) else figure.value for figure, score in zip(figures, scores, strict=True)]
    level = 0.0 if isinstance(figures[0], Mix) else _pooled(baseline)
    dates = tuple(night.date for night in nights)
    sentence = _sentence(name, dates, figures, later, level) if later.alarm[-1] else ""
    return Series(name, dates, tuple(values), tuple(scores), level, later, sentence)


def _scores(figures: Sequence[Figure], baseline: Sequence[Figure]) -> list[float]:
    """Standard normal values; those of baseline nights are against the others of the baseline."""
    score = _SCORES[type(baseline[0])]
    inside = [score(figure, [*baseline[:n], *baseline[n + 1 :]]) for n, figure in enumerate(baseline)]
    raw = np.array([*inside, *(score(figure, baseline) for figure in figures[len(baseline) :])])
    known = np.array([value for value in inside if not math.isnan(value)])
    if len(known) < 2:
        return [math.nan] * len(figures)
    middle = float(known.mean()) if isinstance(baseline[0], Mix) else 0.0
    return [float(value) for value in (raw - middle) / max(1.0, float(known.std(ddof=1)))]


def count_score(night: Count, others: Sequence[Count]) -> float:
    """Mid-p of the night's hits given the hits of all, as a standard normal value; NaN where either has no case."""
    hits, n = sum(other.hits for other in others), sum(other.n for other in others)
    if not night.n or not n:
        return math.nan
    total, low = night.hits + hits, max(0, night.hits + hits - n)
    at = np.arange(low, min(total, night.n) + 1, dtype=np.float64)
    # ratio of neighbouring terms of the hypergeometric distribution
    ratio = np.log((total - at[:-1]) * (night.n - at[:-1]) / ((at[:-1] + 1) * (n - total + at[:-1] + 1)))
    log_share = np.append(0.0, np.cumsum(ratio))
    share = np.exp(log_share - log_share.max())
    below = float(share[: night.hits - low].sum() + share[night.hits - low] / 2) / float(share.sum())
    return _normal(below)


def mean_score(night: Mean, others: Sequence[Mean]) -> float:
    """Difference of the means over its standard error, by the spread of single values in the baseline."""
    total, squares = sum(other.total for other in others), sum(other.squares for other in others)
    n = sum(other.n for other in others)
    if not night.n or n < 2:
        return math.nan
    variance = (squares - total * total / n) / (n - 1)
    if variance <= 0:
        return math.nan
    return (night.value - total / n) / math.sqrt(variance * (1 / night.n + 1 / n))


def mix_score(night: Mix, others: Sequence[Mix]) -> float:
    """Chi-square of night and baseline, as a standard normal value (Wilson & Hilferty 1931); rises with any change."""
    counts = [dict(night.counts), _added(others)]
    kinds = sorted({kind for of in counts for kind, n in of.items() if n})
    table = np.array([[of.get(kind, 0) for kind in kinds] for of in counts], dtype=np.float64)
    if len(kinds) < 2 or not table.sum(axis=1).all():
        return math.nan
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    freedom = len(kinds) - 1
    chi_square = float(((table - expected) ** 2 / expected).sum())
    cube_root = (chi_square / freedom) ** (1 / 3)
    return float((cube_root - 1 + 2 / (9 * freedom)) / math.sqrt(2 / (9 * freedom)))


def _added(nights: Sequence[Mix]) -> dict[str, int]:
    total: dict[str, int] = {}
    for night in nights:
        for kind, count in night.counts:
            total[kind] = total.get(kind, 0) + count
    return total


def _normal(probability: float) -> float:
    if not 0 < probability < 1:
        return math.copysign(_FARTHEST, probability - 0.5)
    return max(-_FARTHEST, min(_FARTHEST, _NORMAL.inv_cdf(probability)))


def _pooled(figures: Sequence[Figure]) -> float:
    """Value over several nights together."""
    n = sum(figure.n for figure in figures)
    total = sum(
        figure.hits if isinstance(figure, Count) else figure.total for figure in figures if not isinstance(figure, Mix)
    )
    return total / n if n else math.nan


def _sentence(name: str, dates: Sequence[str], figures: Sequence[Figure], later: Chart, level: float) -> str:
    since = BASELINE_NIGHTS + later.since
    if isinstance(figures[0], Mix):
        return f"{WORDS.get(name, name)} has differed from the baseline since {dates[since]}."
    now, word = _pooled(figures[since:]), "higher" if later.is_up else "lower"
    shown = ("{:.1%}" if isinstance(figures[0], Count) else "{:.3f}").format
    return (
        f"{WORDS.get(name, name)} has been {word} since {dates[since]}: {shown(now)}, in the baseline {shown(level)}."
    )


WORDS = {
    "kappa": "Kappa of the studies with truth, by month of study",
    "abnormal": "The share of abnormal studies",
    "score": "The mean score of studies",
    "unreadable": "The share of unreadable files",
    "skipped": "The share of skipped files",
    "missing": "The share of known studies that went missing",
    "regions": "The mix of regions",
    "formats": "The mix of image formats (modality, transfer syntax, photometric interpretation)",
    "flagged": "The share of flagged images",
    "inverted": "The share of inverted images",
    "outliers": "The share of images unlike the training images",
    "devices": "The mix of devices (manufacturer, model)",
    "windows": "The mix of window functions",
}
_SCORES: dict[type, Callable[..., float]] = {Count: count_score, Mean: mean_score, Mix: mix_score}
