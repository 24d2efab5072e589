"""The figures of one group of labelled cases: agreement, rates, discrimination and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from mura_batch.agreement.calibration import brier_score_loss, calibration_line
from mura_batch.agreement.curves import clustered_rate, roc_auc_score
from mura_batch.agreement.estimate import Estimate, undefined
from mura_batch.agreement.kappa import clustered_kappa_score
from mura_batch.agreement.truth import Case

FEWEST_CASES = 10  # a smaller group has no figures: their intervals would span most of the scale
SUPPRESSED = f"fewer than {FEWEST_CASES} studies: no figures"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of studies. The four counts: cells of the confusion matrix. accuracy: observed agreement. pabak: kappa
    adjusted for prevalence and bias. positive_agreement, negative_agreement: on abnormal and on normal studies. ppv,
    npv: shares of right calls among those called abnormal and normal. prevalence: share of abnormal truth. brier: mean
    square error. calibration_slope, calibration_intercept: 1 and 0 where probabilities are calibrated."""

    name: str
    n: int
    true_negative: int
    false_positive: int
    false_negative: int
    true_positive: int
    kappa: Estimate
    pabak: Estimate
    accuracy: Estimate
    positive_agreement: Estimate
    negative_agreement: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    prevalence: Estimate
    auroc: Estimate
    brier: Estimate
    calibration_slope: Estimate
    calibration_intercept: Estimate

    @property
    def is_suppressed(self) -> bool:
        return self.kappa.reason == SUPPRESSED

    def figures(self) -> list[tuple[str, Estimate]]:
        return [(name, getattr(self, name)) for name in FIGURES]


FIGURES = tuple(field.name for field in fields(Group))[6:]  # after the name and the counts


def group_of(name: str, cases: Sequence[Case]) -> Group:
    """cases: at least one. Every interval allows for patients with several studies."""
    truth, called = [case.label for case in cases], [int(case.abnormal) for case in cases]
    scores, patients = [case.score for case in cases], [case.patient for case in cases]
    (tn, fp), (fn, tp) = _table(truth, called)
    accuracy = _share_right(cases)
    slope, intercept = calibration_line(truth, scores, patients)
    return Group(
        name, len(cases), tn, fp, fn, tp,
        kappa=clustered_kappa_score(truth, called, patients),
        pabak=_pabak(accuracy),
        accuracy=accuracy,
        positive_agreement=_specific_agreement(cases, of=1),
        negative_agreement=_specific_agreement(cases, of=0),
        sensitivity=_share_right([case for case in cases if case.label]),
        specificity=_share_right([case for case in cases if not case.label]),
        ppv=_share_right([case for case in cases if case.abnormal]),
        npv=_share_right([case for case in cases if not case.abnormal]),
        prevalence=clustered_rate([bool(label) for label in truth], patients),
        auroc=roc_auc_score(truth, scores, patients),
        brier=brier_score_loss(truth, scores, patients),
        calibration_slope=slope,
        calibration_intercept=intercept,
    )  # fmt: skip


def group_unless_small(name: str, cases: Sequence[Case]) -> Group:
    """The figures, or only the number of studies where there are fewer than FEWEST_CASES."""
    if len(cases) >= FEWEST_CASES:
        return group_of(name, cases)
    nothing = dict.fromkeys(FIGURES, undefined("none", len(cases), SUPPRESSED))
    return Group(name, len(cases), 0, 0, 0, 0, **nothing)


def _share_right(cases: Sequence[Case]) -> Estimate:
    return clustered_rate([case.abnormal == bool(case.label) for case in cases], [case.patient for case in cases])


def _pabak(accuracy: Estimate) -> Estimate:
    """2 x accuracy - 1 (Byrt, Bishop, Carlin, Journal of Clinical Epidemiology 46, 1993), and so its limits."""
    value, low, high = (2 * x - 1 for x in (accuracy.value, accuracy.low, accuracy.high))
    return replace(accuracy, value=value, low=low, high=high, method=f"2 x accuracy - 1; {accuracy.method}")


def _specific_agreement(cases: Sequence[Case], of: int) -> Estimate:
    """2 a / (2 a + b + c): a studies that truth and call put into the class, b + c that one of them does (Cicchetti,
    Feinstein, Journal of Clinical Epidemiology 43, 1990). It rises with q = a / (a + b + c), which is a rate among the
    studies that either puts there: its limits are those of q."""
    either = [case for case in cases if of in (case.label, int(case.abnormal))]
    q = _share_right(either)
    value, low, high = (2 * x / (1 + x) for x in (q.value, q.low, q.high))
    return replace(q, value=value, low=low, high=high, method=f"2 q / (1 + q), q: share of both in either; {q.method}")


def _table(truth: Sequence[int], called: Sequence[int]) -> list[list[int]]:
    table = [[0, 0], [0, 0]]
    for t, c in zip(truth, called, strict=True):
        table[t][c] += 1
    return table
