"""Figures from a sample against published counts, R survey and whole archives; sample sizes against R kappaSize."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mura_batch.agreement.kappa import cohen_kappa_score
from mura_batch.agreement.partial import ALL_READ, Draw, corrected, draw_of, studies_needed, weighted_kappa


def _by_call(abnormal: tuple[int, int, int], normal: tuple[int, int, int]) -> Draw:
    """Of the studies called abnormal, and of those called normal: truly abnormal, truly normal, not read."""
    truth, called, probability = [], [], []
    for call, (diseased, healthy, unread) in ((True, abnormal), (False, normal)):
        read = diseased + healthy
        truth += [True] * diseased + [False] * healthy
        called += [call] * read
        probability += [read / (read + unread)] * read
    return draw_of(truth, called, probability, [str(call) for call in called])


@pytest.mark.parametrize(
    ("draw", "plain", "whole"),
    [  # counts as R PVBcorrect has them; kappa follows from the corrected table
        (_by_call((231, 32, 166), (27, 54, 140)), (0.8953, 0.6279, 0.5336), (0.8365, 0.7384, 0.5581)),
        (_by_call((26, 11, 30), (7, 44, 782)), (0.7879, 0.8000, 0.5740), (0.2917, 0.9730, 0.3431)),
    ],
    ids=["hepatic scan (Drum & Christacopoulos 1972)", "diaphanography (Marshall 1984)"],
)
def test_begg_and_greenes_published_corrections_are_met(
    draw: Draw, plain: tuple[float, float, float], whole: tuple[float, float, float]
) -> None:
    table = np.bincount(draw.cell, minlength=4).reshape(2, 2)
    assert round(table[1, 1] / table[1].sum(), 4) == plain[0]
    assert round(table[0, 0] / table[0].sum(), 4) == plain[1]
    assert round(cohen_kappa_score(table).value, 4) == plain[2]
    ours = corrected(draw)
    assert [round(e.value, 4) for e in (ours.sensitivity, ours.specificity, ours.kappa)] == list(whole)
    for estimate in (ours.sensitivity, ours.specificity, ours.kappa):
        assert estimate.low < estimate.value < estimate.high


def test_weighted_kappa_and_its_error_are_those_of_r_survey() -> None:
    """R survey 4.1.1, svykappa(~x+y, svydesign(ids=~1, strata=~h, fpc=~N)): 68 of 900 and 52 of 200 were read;
    kappa .523917995444191, SE .0750616858205193."""
    truth = [0] * 56 + [0] * 12 + [1] * 9 + [1] * 43
    called = [0] * 56 + [1] * 12 + [0] * 9 + [1] * 43
    stratum = ["n"] * 68 + ["p"] * 52
    probability = [68 / 900 if part == "n" else 52 / 200 for part in stratum]
    ours = weighted_kappa(draw_of(truth, called, probability, stratum))
    assert ours.value == pytest.approx(0.523917995444191, abs=1e-14)
    assert ours.se == pytest.approx(0.0750616858205193, abs=1e-14)


labels = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=20, max_size=60)


@settings(deadline=None)  # a busy machine is no failure
@given(labels)
def test_a_sample_of_everything_is_the_plain_figure(pairs: list[tuple[bool, bool]]) -> None:
    truth, called = zip(*pairs, strict=True)
    ours = weighted_kappa(draw_of(truth, called, [1.0] * len(pairs), ["all"] * len(pairs)))
    if not ours.is_defined:
        assert len(set(truth)) == 1
        return
    table = np.bincount([2 * t + c for t, c in pairs], minlength=4).reshape(2, 2)
    assert ours.value == pytest.approx(cohen_kappa_score(table).value)
    assert (ours.low, ours.high, ours.reason) == (ours.value, ours.value, ALL_READ)


def test_a_small_simple_sample_is_nearly_jeffreys_interval() -> None:
    truth, called = [1] * 30 + [0] * 70, [1] * 24 + [0] * 6 + [0] * 62 + [1] * 8
    ours = weighted_kappa(draw_of(truth, called, [1e-6] * 100, ["all"] * 100))
    plain = cohen_kappa_score([[62, 8], [6, 24]])
    assert ours.value == pytest.approx(plain.value)
    assert (ours.low, ours.high) == pytest.approx((plain.low, plain.high), abs=0.02)


def test_a_sample_without_missed_studies_has_an_interval() -> None:
    """None of 20 read of 1,000 called normal was abnormal: some of the 1,000 may be."""
    draw = _by_call((40, 10, 0), (0, 20, 980))
    sensitivity = corrected(draw).sensitivity
    assert sensitivity.value == 1
    assert sensitivity.low < 0.8
    assert sensitivity.high == 1


def test_a_fully_read_class_of_calls_leaves_no_doubt() -> None:
    """All 2 studies called abnormal were read and are abnormal: no other study can be called abnormal wrongly."""
    draw = _by_call((2, 0, 0), (23, 18, 17))
    ours = corrected(draw)
    assert (ours.specificity.value, ours.specificity.low, ours.specificity.reason) == (1, 1, ALL_READ)
    abnormal = 2 + 23 * 58 / 41
    assert ours.sensitivity.value == pytest.approx(2 / abnormal)
    assert ours.sensitivity.low < 2 / (abnormal + 3)
    assert ours.sensitivity.high > 2 / (abnormal - 3)


def test_truth_of_one_class_is_undefined() -> None:
    ours = corrected(draw_of([True] * 5, [True] * 5, [0.5] * 5, ["a"] * 5))
    assert not ours.kappa.is_defined
    assert not ours.specificity.is_defined
    assert "one class in the truth" in ours.kappa.reason


def test_corrected_kappa_covers_that_of_the_archive() -> None:
    """300 archives of 2,000 studies; all called abnormal and a tenth of the others are read."""
    rng, shift = np.random.default_rng(7), math.sqrt(2) * NormalDist().inv_cdf(0.85)
    met = biased = 0
    for _ in range(300):
        truth = rng.random(2000) < 0.1
        called = rng.normal(size=2000) + shift * truth > shift / 2 + 0.3
        read = np.concatenate(
            [
                rng.choice(np.flatnonzero(called == call), round(share * (called == call).sum()), replace=False)
                for call, share in ((True, 1), (False, 0.1))
            ]
        )
        probability = np.where(called, 1, round(0.1 * (~called).sum()) / (~called).sum())
        draw = Draw(truth[read], called[read], probability[read], called[read].astype(np.intp))
        whole = cohen_kappa_score(np.bincount(2 * truth + called, minlength=4).reshape(2, 2)).value
        plain = cohen_kappa_score(np.bincount(draw.cell, minlength=4).reshape(2, 2))
        ours = weighted_kappa(draw)
        met += ours.low <= whole <= ours.high
        biased += not plain.low <= whole <= plain.high
    assert 0.91 <= met / 300 <= 0.985
    assert biased / 300 > 0.5


@pytest.mark.parametrize("probability", [0, -0.1, 1.2, math.nan])
def test_a_probability_outside_0_to_1_is_an_error(probability: float) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        draw_of([True, False], [True, False], [0.5, probability], ["a", "a"])


def test_a_draw_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one study"):
        draw_of([], [], [], [])


@pytest.mark.parametrize(
    ("kappa", "half", "prevalence", "size"),
    [  # R kappaSize 1.2, CIBinary, after Donner & Rotondi 2010
        (0.7, 0.10, 0.45, 249),
        (0.7, 0.10, 0.3, 290),
        (0.7, 0.10, 0.1, 656),
        (0.7, 0.05, 0.45, 897),
        (0.7, 0.05, 0.1, 2395),
        (0.8, 0.10, 0.45, 198),
        (0.6, 0.10, 0.45, 291),
        (0.4, 0.10, 0.3, 397),  # the package's example
    ],
)
def test_sample_sizes_are_donner_and_rotondis(kappa: float, half: float, prevalence: float, size: int) -> None:
    assert studies_needed(kappa, 2 * half, prevalence) == size


def test_an_upper_limit_beyond_1_asks_for_nothing() -> None:
    assert studies_needed(0.95, 0.2, 0.3) < studies_needed(0.85, 0.2, 0.3)


@pytest.mark.parametrize(
    ("kappa", "width", "prevalence"), [(0, 0.2, 0.3), (0.7, 0, 0.3), (0.7, 1.5, 0.3), (0.7, 0.2, 0)]
)
def test_a_width_that_cannot_be_is_an_error(kappa: float, width: float, prevalence: float) -> None:
    with pytest.raises(ValueError, match="width"):
        studies_needed(kappa, width, prevalence)
