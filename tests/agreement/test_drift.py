"""Nights of a site against their baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mura_batch.agreement.drift import (
    BASELINE_NIGHTS,
    RUN_LENGTH,
    Count,
    Figure,
    Mean,
    Mix,
    Night,
    count_score,
    drift_of,
    mean_score,
    mix_score,
)


def _nights(figures: Sequence[Figure], name: str = "abnormal") -> list[Night]:
    return [Night(f"run {n}", f"2026-{1 + n // 28:02}-{1 + n % 28:02}", "m", {name: f}) for n, f in enumerate(figures)]


def _counts(nights: int, shift_at: int, seed: int, share: float = 0.2, shifted: float = 0.3) -> list[Figure]:
    rng = np.random.default_rng(seed)
    sizes = rng.poisson(60, nights)
    return [Count(int(rng.binomial(n, shifted if t >= shift_at else share)), int(n)) for t, n in enumerate(sizes)]


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(1, 80), st.integers(1, 300), st.data())
def test_a_share_is_scored_by_the_hypergeometric_mid_p(n: int, others: int, data: st.DataObject) -> None:
    hits, baseline = data.draw(st.integers(0, n)), data.draw(st.integers(0, others))
    exact = stats.hypergeom(n + others, hits + baseline, n)
    middle = exact.cdf(hits - 1) + exact.pmf(hits) / 2
    ours = count_score(Count(hits, n), [Count(baseline, others)])
    if 1e-10 < middle < 1 - 1e-10:
        assert ours == pytest.approx(stats.norm.ppf(middle), abs=1e-4)


def test_a_mean_is_scored_by_its_standard_error() -> None:
    values, night = np.random.default_rng(1).normal(0.3, 0.2, 500), np.array([0.5, 0.4, 0.6, 0.1])
    ours = mean_score(_mean(night), [_mean(values[:200]), _mean(values[200:])])
    expected = (night.mean() - values.mean()) / (values.std(ddof=1) * math.sqrt(1 / 4 + 1 / 500))
    assert ours == pytest.approx(expected, rel=1e-9)


def _mean(values: np.ndarray) -> Mean:
    return Mean(float(values.sum()), float((values**2).sum()), len(values))


def test_a_mix_is_scored_by_chi_square() -> None:
    night, baseline = Mix((("hand", 30), ("wrist", 10))), Mix((("hand", 100), ("wrist", 150), ("knee", 0)))
    p = stats.chi2_contingency([[30, 10], [100, 150]], correction=False).pvalue
    assert mix_score(night, [baseline]) == pytest.approx(stats.norm.isf(p), abs=0.2)  # Wilson & Hilferty is near it


@pytest.mark.parametrize(
    ("score", "night", "other"),
    [
        (count_score, Count(0, 0), Count(1, 9)),
        (mean_score, Mean(0, 0, 0), Mean(1, 1, 9)),
        (mix_score, Mix(()), Mix(())),
    ],
)
def test_a_night_without_cases_has_no_value(score: object, night: Figure, other: Figure) -> None:
    assert math.isnan(score(night, [other]))  # type: ignore[operator]


def test_a_rise_is_detected_soon_and_named_in_a_sentence() -> None:
    figures = _counts(365, shift_at=200, seed=5)
    first = next(n for n in range(201, 365) if drift_of(_nights(figures[:n])).alarms) - 200
    assert first <= 15
    (sentence,) = drift_of(_nights(figures[:240])).alarms
    assert sentence.startswith("The share of abnormal studies has been higher since 2026-08-")
    assert "in the baseline 2" in sentence or "in the baseline 1" in sentence


def test_nights_like_the_baseline_seldom_alarm() -> None:
    """A chart alarms falsely once in RUN_LENGTH nights: two charts, 140 nights, 40 sites."""
    alarms = 0
    for seed in range(40):
        (series,) = drift_of(_nights(_counts(200, shift_at=999, seed=seed))).series
        alarms += any(series.chart.alarm)
    assert alarms / 40 <= 1.5 * (1 - math.exp(-2 * 140 / RUN_LENGTH))


def test_nights_that_differ_by_weekday_widen_the_limits() -> None:
    rng = np.random.default_rng(2)
    weekly = [Count(int(rng.binomial(80, 0.1 if n % 7 > 4 else 0.3)), 80) for n in range(150)]
    (series,) = drift_of(_nights(weekly)).series
    assert not any(series.chart.alarm)
    assert np.std(series.scores[:BASELINE_NIGHTS], ddof=1) == pytest.approx(1)


def test_too_few_nights_give_one_sentence_and_no_chart() -> None:
    for nights in (0, 3, BASELINE_NIGHTS):
        drift = drift_of(_nights(_counts(nights, 999, seed=1)))
        assert drift.series == ()
        assert drift.limits is None
        assert drift.why == (
            f"Drift is charted from night {BASELINE_NIGHTS + 1} of a model on, against its first {BASELINE_NIGHTS}; "
            f"so far there are {nights}."
        )


def test_another_model_begins_a_new_baseline() -> None:
    nights = _nights(_counts(100, 999, seed=3))
    changed = [*nights[:70], *(replace(night, model="n") for night in nights[70:])]
    assert drift_of(nights).series
    assert "so far there are 30" in drift_of(changed).why


def test_a_changed_mix_of_regions_is_an_alarm() -> None:
    rng = np.random.default_rng(4)
    mixes = [
        Mix(tuple(zip(("hand", "wrist", "elbow"), rng.multinomial(50, p).tolist(), strict=True)))
        for n in range(100)
        for p in [(0.5, 0.3, 0.2) if n < 80 else (0.2, 0.6, 0.2)]
    ]
    (sentence,) = drift_of(_nights(mixes, "regions")).alarms
    assert sentence.startswith("The mix of regions has differed from the baseline since 2026-0")


def test_a_series_without_spread_in_the_baseline_gives_no_alarm() -> None:
    drift = drift_of(_nights([Count(0, 50)] * 90, "unreadable"))
    assert drift.alarms == ()
    risen = drift_of(_nights([*[Count(0, 50)] * 80, *[Count(10, 50)] * 4], "unreadable"))
    assert risen.alarms
