"""Run lengths and limits of control charts against printed tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mura_batch.agreement.control_charts import chart, cusum_run_length, ewma_run_length, limits_for


@pytest.mark.parametrize(
    ("mean", "length"),
    [
        (0, 117.60),
        (1.5, 3.75),
        (0.5, 17.35),
        (-0.5, 1963),
    ],  # Brook & Evans 1972 print 117.59; Waldmann 1986 the last two
)
def test_one_sided_cusum_meets_brook_and_evans(mean: float, length: float) -> None:
    assert cusum_run_length(0.5, 3, mean, sides=1) == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize(
    ("mean", "plain", "head_start"),  # Lucas & Crosier 1982, Technometrics 24:199: k .5, h 4, head start h / 2
    [
        (0, "168", "149"),
        (0.25, "74.2", "62.7"),
        (0.5, "26.6", "20.1"),
        (0.75, "13.3", "8.97"),
        (1, "8.38", "5.29"),
        (2, "3.34", "2.01"),
    ],
)
def test_two_sided_cusum_meets_lucas_and_crosier(mean: float, plain: str, head_start: str) -> None:
    for printed, start in ((plain, 0.0), (head_start, 2.0)):
        assert f"{cusum_run_length(0.5, 4, mean, start):.3g}" == printed


@pytest.mark.parametrize(
    ("mean", "length"), [(-0.25, 2071.51), (0, 124.66), (0.25, 36.71), (0.5, 20.37), (1, 10.75)]
)  # Vance 1986, J Qual Technol 18:189: k 0, h 10
def test_cusum_without_allowance_meets_vance(mean: float, length: float) -> None:
    assert cusum_run_length(0, 10, mean, sides=1) == pytest.approx(length, rel=5e-4)


@pytest.mark.parametrize(
    ("weight", "c", "lengths"),
    [
        (0.5, 3.071, {0: "500", 0.5: "88.8", 1: "17.5", 2: "3.63"}),  # Lucas & Saccucci 1990, Technometrics 32:1
        (0.03, 2.437, {0: "500", 0.5: "29.3", 1: "12.6", 2: "5.99"}),
        (0.5, 2, {0: "26.5", 1: "4.91"}),  # Crowder 1987 prints 26.45, 4.91 and 127.53, 8.38
        (0.05, 2, {0: "128", 1: "8.38"}),
    ],
)
def test_ewma_meets_lucas_and_saccucci(weight: float, c: float, lengths: dict[float, str]) -> None:
    for mean, printed in lengths.items():
        assert f"{ewma_run_length(weight, c, mean):.3g}" == printed


def test_ewma_meets_crowder_to_two_decimals() -> None:
    assert round(ewma_run_length(0.5, 2), 2) == 26.45
    assert round(ewma_run_length(0.05, 2), 2) == 127.53


def test_limits_give_the_run_length_that_was_asked_for() -> None:
    limits = limits_for(370.0)
    assert cusum_run_length(0.5, limits.cusum) == pytest.approx(370, rel=1e-4)
    assert ewma_run_length(0.1, limits.ewma / math.sqrt(0.1 / 1.9)) == pytest.approx(370, rel=1e-4)
    with pytest.raises(ValueError, match="at least 20 nights"):
        limits_for(5)


def test_false_alarms_come_as_often_as_stated() -> None:
    """200 series of 500 nights: the mean run length to the first alarm of the two-sided CUSUM, cut at 500."""
    limits, rng = limits_for(100.0), np.random.default_rng(1)
    lengths = []
    for _ in range(200):
        sums = chart(rng.normal(size=500).tolist(), limits)
        beyond = [max(pair) > limits.cusum for pair in zip(sums.rise, sums.fall, strict=True)]
        lengths.append(beyond.index(True) + 1 if any(beyond) else 500)
    assert np.mean(lengths) == pytest.approx(100, rel=0.2)


def test_a_lasting_rise_alarms_on_the_rising_sum() -> None:
    limits = limits_for(500.0)
    rising = chart([0.0] * 10 + [1.5] * 20, limits)
    assert rising.alarm.index(True) < 20
    assert rising.rise[-1] > limits.cusum
    assert rising.fall[-1] == 0
    assert not any(chart([0.0] * 30, limits).alarm)


def test_a_night_without_data_changes_nothing() -> None:
    limits = limits_for(500.0)
    with_gap, without = chart([1.0, math.nan, 1.0], limits), chart([1.0, 1.0], limits)
    assert with_gap.ewma[-1] == without.ewma[-1]
    assert with_gap.rise[1] == with_gap.rise[0]
    assert not with_gap.alarm[1]


def test_no_night_is_an_empty_chart() -> None:
    assert chart([], limits_for(500.0)).alarm == ()
