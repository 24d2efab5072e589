"""Figures of a group: against scikit-learn, and by the chance with which their intervals hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from mura_batch.agreement.group import (
    FEWEST_CASES,
    FIGURES,
    SUPPRESSED,
    _specific_agreement,
    group_of,
    group_unless_small,
)
from mura_batch.agreement.truth import Case


def cases(n: int, per_patient: int = 1) -> list[Case]:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, n)
    scores = np.clip(0.5 + 0.2 * (2 * labels - 1) + rng.normal(0, 0.25, n), 0, 1)
    return [case(str(k), int(labels[k]), float(scores[k]), patient=str(k // per_patient)) for k in range(n)]


def case(uid: str, label: int, score: float, patient: str = "") -> Case:
    return Case(uid, patient or uid, "hand", "L", label, score, abnormal=score > 0.5)


def test_every_figure_equals_scikit_learns() -> None:
    given = cases(150)
    truth, score = [c.label for c in given], [c.score for c in given]
    called = [int(c.abnormal) for c in given]
    group = group_of("hand", given)
    expected = {
        "pabak": 2 * metrics.accuracy_score(truth, called) - 1,
        "positive_agreement": metrics.f1_score(truth, called),
        "negative_agreement": metrics.f1_score(truth, called, pos_label=0),
        "ppv": metrics.precision_score(truth, called),
        "npv": metrics.precision_score(truth, called, pos_label=0),
        "prevalence": float(np.mean(truth)),
        "brier": metrics.brier_score_loss(truth, score),
        "kappa": metrics.cohen_kappa_score(truth, called),
        "auroc": metrics.roc_auc_score(truth, score),
    }
    for name, value in expected.items():
        found = getattr(group, name)
        assert found.value == pytest.approx(value, abs=1e-12), name
        assert found.low < found.value < found.high
    assert [name for name, _ in group.figures()] == list(FIGURES)


def test_intervals_are_wider_where_patients_repeat() -> None:
    alone, shared = group_of("a", cases(150)), group_of("a", cases(150, per_patient=3))
    for name in ("pabak", "positive_agreement", "ppv"):
        one, three = getattr(alone, name), getattr(shared, name)
        assert one.value == three.value
        assert one.method != three.method
    assert "patient" in shared.positive_agreement.method


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_the_interval_of_positive_agreement_holds_its_value(share: float) -> None:
    """Exactly, over all tables of 50 studies: a of m that either calls abnormal, m of 50."""
    chance = covered = 0.0
    for m in range(8, 36):
        weight = stats.binom.pmf(m, 50, 0.4)
        for a in range(m + 1):
            both, either = [case(str(k), 1, 0.9) for k in range(a)], [case(str(a + k), 1, 0.1) for k in range(m - a)]
            found = _specific_agreement([*both, *either], of=1)
            p = weight * stats.binom.pmf(a, m, share)
            chance += p
            covered += p * (found.low <= 2 * share / (1 + share) <= found.high)
    assert chance == pytest.approx(1, abs=0.01)
    assert 0.925 < covered / chance < 0.975


def test_a_small_group_has_a_number_and_no_figure() -> None:
    small, large = (group_unless_small("hand", cases(n)) for n in (FEWEST_CASES - 1, FEWEST_CASES))
    assert (small.n, small.is_suppressed, large.is_suppressed) == (FEWEST_CASES - 1, True, False)
    assert all(math.isnan(figure.value) and figure.reason == SUPPRESSED for _, figure in small.figures())


@pytest.mark.parametrize(
    "given",
    [
        [case("1", 1, 0.9)],
        [case(str(n), 1, 0.5) for n in range(20)],
        [case(str(n), n % 2, 0.7) for n in range(20)],
        [case(str(n), 0, n / 20) for n in range(20)],
        [case(str(n), n % 2, float(n % 2)) for n in range(20)],
    ],
    ids=["one study", "all alike", "all tied", "one class", "separated"],
)
def test_degenerate_cases_give_reasons_and_no_error(given: list[Case]) -> None:
    for name, figure in group_of("x", given).figures():
        assert figure.is_defined or figure.reason, name
        assert math.isnan(figure.low) or figure.low <= figure.value <= figure.high, name
