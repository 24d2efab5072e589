"""Kappa by month of study: which months are charted, and what a lasting change says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mura_batch.agreement.cohorts import BASELINE_MONTHS, FEWEST_READ, KappaChart, kappa_chart
from mura_batch.agreement.kappa import cohen_kappa_score
from mura_batch.agreement.truth import Case
from mura_batch.agreement.truth_file import Sampled

MONTHS = [f"{2024 + n // 12}{1 + n % 12:02}" for n in range(24)]
TABLE = {(0, False): 52, (0, True): 4, (1, False): 4, (1, True): 20}  # kappa .762
WORSE = {(0, False): 46, (0, True): 10, (1, False): 10, (1, True): 14}  # kappa .405


def _cases(month: str, table: dict[tuple[int, bool], int]) -> list[Case]:
    keys = [key for key, n in table.items() for _ in range(n)]
    return [
        Case(f"{month}.{n}", f"{month}.{n}", "wrist", "L", label, 0.9 if called else 0.1, called,
             study_date=f"{month}{1 + n % 28:02}")
        for n, (label, called) in enumerate(keys)
    ]  # fmt: skip


def _charted(months: int, worse_from: int = 99) -> KappaChart:
    of = [_cases(MONTHS[n], WORSE if n >= worse_from else TABLE) for n in range(months)]
    chart = kappa_chart([case for cases in of for case in cases])
    assert chart is not None
    return chart


def test_the_newest_month_waits_for_its_truth() -> None:
    chart = _charted(BASELINE_MONTHS + 4)
    assert chart.series is not None
    assert chart.truth_as_of == "20250428"
    assert (chart.waiting, chart.series.nights[-1]) == (("2025-04",), "2025-03")
    assert len(chart.series.values) == BASELINE_MONTHS + 3


def test_equal_months_have_the_kappa_of_their_table_and_no_alarm() -> None:
    chart = _charted(20)
    assert chart.series is not None
    assert chart.series.values == pytest.approx([cohen_kappa_score([[52, 4], [4, 20]]).value] * 19)
    assert chart.series.scores == pytest.approx([0] * 19, abs=1e-9)
    assert chart.alarm == ""


def test_a_lasting_fall_is_one_sentence_with_the_date_of_truth() -> None:
    chart = _charted(20, worse_from=15)
    assert chart.alarm == (
        "Kappa has been lower since the studies of 2025-04: 0.40, in the baseline 0.76; truth as of 2025-08-28."
    )


def test_months_without_enough_truth_are_named_and_left_out() -> None:
    of = [_cases(MONTHS[n], TABLE) for n in range(16)]
    of[13] = of[13][: FEWEST_READ - 1]
    chart = kappa_chart([case for cases in of for case in cases])
    assert chart is not None
    assert chart.series is not None
    assert chart.too_small == ("2025-02",)
    assert "2025-02" not in chart.series.nights


def test_too_few_months_give_one_sentence_and_no_chart() -> None:
    chart = _charted(3)
    assert (chart.series, chart.limits, chart.alarm) == (None, None, "")
    assert chart.why == (
        "Kappa is charted from month 13 on, against the first 12 with at least 20 studies with truth; "
        "so far there are 2."
    )


def test_cases_without_a_date_have_no_chart() -> None:
    assert kappa_chart([]) is None
    undated = [Case("1", "1", "wrist", "L", 1, 0.9, True)]
    assert kappa_chart(undated) is None


def test_a_drawn_sample_is_weighted_as_it_was_drawn() -> None:
    """All abnormal calls were read, and a quarter of the normal ones: each of those stands for four."""
    drawn = {(0, False): 13, (0, True): 4, (1, False): 1, (1, True): 20}
    cases: list[Case] = []
    for month in MONTHS[: BASELINE_MONTHS + 2]:
        for case in _cases(month, drawn):
            p = 1.0 if case.abnormal else 0.25
            cases.append(replace(case, sampled=Sampled(str(p), p)))
    chart = kappa_chart([*cases, *_cases("202401", WORSE)])  # read for another reason: left out
    assert chart is not None
    assert chart.series is not None
    assert chart.series.values[0] == pytest.approx(cohen_kappa_score([[52, 4], [4, 20]]).value)


def test_scores_of_equal_months_are_standard_normal() -> None:
    rng = np.random.default_rng(7)
    scores = []
    for _ in range(20):
        of = [_cases(month, _drawn(rng)) for month in MONTHS]
        chart = kappa_chart([case for cases in of for case in cases])
        assert chart is not None
        assert chart.series is not None
        scores += chart.series.scores[BASELINE_MONTHS:]
    assert abs(float(np.mean(scores))) < 0.25
    assert 0.85 < float(np.std(scores)) < 1.2
    assert not any(math.isnan(score) for score in scores)


def _drawn(rng: np.random.Generator) -> dict[tuple[int, bool], int]:
    counts = rng.multinomial(80, [0.65, 0.05, 0.05, 0.25])
    return dict(zip(TABLE, (int(n) for n in counts), strict=True))
