"""Two models on the same studies, against printed values, statsmodels and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from mura_batch.agreement.curves import FEW_PAIRED, roc_auc_difference
from mura_batch.agreement.kappa import cohen_kappa_score
from mura_batch.agreement.paired import Pair, mcnemar_p, paired_figures, paired_rate_difference


def hits(both: int, only_first: int, only_second: int, none: int) -> tuple[list[bool], list[bool], list[str]]:
    cells = [(True, True)] * both + [(True, False)] * only_first + [(False, True)] * only_second
    cells += [(False, False)] * none
    return [a for a, _ in cells], [b for _, b in cells], [str(n) for n in range(len(cells))]


@pytest.mark.parametrize(
    ("table", "printed"),
    [
        # Newcombe RG, Statistics in Medicine 17 (1998) 2635-2650: 36, 12, 2, 0 by method 10.
        ((36, 2, 12, 0), (0.2, 0.0569, 0.3404)),
        # Fagerland, Lydersen, Laake, Statistics in Medicine 33 (2014) 2850-2875: airway hyper-responsiveness.
        ((1, 1, 7, 12), (0.286, 0.026, 0.507)),
    ],
)
def test_the_interval_is_the_printed_one(table: tuple[int, int, int, int], printed: tuple[float, float, float]) -> None:
    found = paired_rate_difference(*hits(*table))
    assert (found.value, found.low, found.high) == pytest.approx(printed, abs=5e-4)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 7), (12, 2), (5, 5), (0, 30), (400, 350)])
def test_mcnemar_equals_statsmodels(b: int, c: int) -> None:
    assert mcnemar_p(b, c) == pytest.approx(mcnemar([[9, b], [c, 9]], exact=True).pvalue, rel=1e-9)


def pairs(n: int, seed: int, gain: float = 0.0, studies_a_patient: int = 1) -> list[Pair]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.45).astype(int)
    common = rng.normal(size=n)
    first = 1 / (1 + np.exp(-(1.5 * (2 * labels - 1) + common + rng.normal(size=n) * 0.7)))
    second = 1 / (1 + np.exp(-((1.5 + gain) * (2 * labels - 1) + common + rng.normal(size=n) * 0.7)))
    return [
        Pair(f"p{k // studies_a_patient}", int(label), float(a), float(b), bool(a > 0.5), bool(b > 0.5))
        for k, (label, a, b) in enumerate(zip(labels, first, second, strict=True))
    ]


def test_every_figure_is_second_less_first() -> None:
    cases = pairs(300, 1, gain=0.8)
    for name, figure in paired_figures(cases).items():
        assert figure.difference.value == pytest.approx(figure.second.value - figure.first.value), name
        assert figure.difference.low < figure.difference.value < figure.difference.high
        widths = [one.high - one.low for one in (figure.first, figure.second, figure.difference)]
        assert widths[2] < math.hypot(*widths[:2]), name  # two samples would be that wide


def test_counts_of_right_calls_add_up() -> None:
    cases = pairs(300, 2)
    figures = paired_figures(cases)
    both = [(c.first_abnormal == bool(c.label), c.second_abnormal == bool(c.label)) for c in cases]
    assert figures["accuracy"].only_first == sum(a and not b for a, b in both)
    for field in ("only_first", "only_second"):
        parts = [getattr(figures[name], field) for name in ("sensitivity", "specificity")]
        assert getattr(figures["accuracy"], field) == sum(parts)


def test_the_error_of_kappas_difference_is_that_of_a_jackknife() -> None:
    cases = pairs(400, 3, gain=0.3)

    def difference(kept: list[Pair]) -> float:
        table = np.zeros((2, 2, 2))
        for pair in kept:
            table[0, pair.label, int(pair.first_abnormal)] += 1
            table[1, pair.label, int(pair.second_abnormal)] += 1
        return cohen_kappa_score(table[1]).value - cohen_kappa_score(table[0]).value

    left_out = np.array([difference(cases[:n] + cases[n + 1 :]) for n in range(0, 400, 4)])
    jackknife = math.sqrt(399 / 400 * 4 * ((left_out - left_out.mean()) ** 2).sum())
    assert paired_figures(cases)["kappa"].difference.se == pytest.approx(jackknife, rel=0.2)


def test_equal_models_differ_by_nothing() -> None:
    cases = [Pair(c.patient, c.label, c.first, c.first, c.first_abnormal, c.first_abnormal) for c in pairs(100, 4)]
    for figure in paired_figures(cases).values():
        assert figure.difference.value == 0
        assert figure.p in {None, 1.0}


def test_copies_of_a_patients_studies_add_no_information() -> None:
    alone = paired_figures(pairs(120, 5))
    doubled = [pair for pair in pairs(120, 5) for _ in range(2)]
    twice = paired_figures(doubled)
    for name, figure in alone.items():
        a, b = figure.difference, twice[name].difference
        assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.12), name


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_undefined_figures_with_reasons(label: int) -> None:
    cases = [Pair(f"p{n}", label, 0.2, 0.8, False, True) for n in range(5)]
    figures = paired_figures(cases)
    for name in ("kappa", "auroc", "specificity" if label else "sensitivity"):
        assert math.isnan(figures[name].difference.value)
        assert figures[name].difference.reason


def test_the_difference_of_areas_of_few_abnormal_studies_has_students_t() -> None:
    """With 10 abnormal studies of 100 the normal quantile held the true difference in 92.4 % of samples."""
    few, many = (_auroc_half_width_in_errors(abnormal) for abnormal in (FEW_PAIRED - 1, FEW_PAIRED))
    assert few > 2.0
    assert many == pytest.approx(1.96, abs=1e-3)


def _auroc_half_width_in_errors(abnormal: int) -> float:
    rng = np.random.default_rng(4)
    truth = np.arange(200) < abnormal
    first, second = (rng.normal(size=200) + gain * truth for gain in (1.2, 1.6))
    found = roc_auc_difference(truth, second, first)
    return (found.high - found.value) / found.se
