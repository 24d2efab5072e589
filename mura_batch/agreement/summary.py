"""Labelled cases -> the table of agreement: overall, per region, and per reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mura_batch.agreement.curves import (
    accuracy_score,
    roc_auc_score,
    sensitivity_score,
    specificity_score,
)
from mura_batch.agreement.estimate import Estimate, undefined
from mura_batch.agreement.kappa import bootstrap_kappa, cohen_kappa_score
from mura_batch.agreement.truth import Case, Matched
from mura_batch.records import MURA_REGIONS, Region

# Below it the bootstrap interval is given. The rule of thumb for the large-sample error is n > 3 k^2 = 12 at balanced
# margins (Cicchetti 1981); regions are seldom balanced, so four times that.
SMALL = 50


@dataclass(frozen=True, slots=True)
class Group:
    """Agreement of one group of studies. The four counts: what the truth says of the call."""

    name: str
    n: int
    true_negative: int
    false_positive: int
    false_negative: int
    true_positive: int
    kappa: Estimate
    auroc: Estimate
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader of the truth file: agreement with the label, and the model's agreement with this reader."""

    name: str
    n: int
    with_truth: Estimate
    with_model: Estimate


@dataclass(frozen=True, slots=True)
class Agreement:
    """overall, then each region with a case in MURA's order, then each reader. patients: how many the cases are of."""

    matched: Matched
    overall: Group
    regions: tuple[Group, ...]
    readers: tuple[Reader, ...]
    patients: int


def summarise(matched: Matched) -> Agreement | None:
    """None where no labelled study was scored. Calls are those of the run: abnormal if greater than its threshold."""
    if not matched.cases:
        return None
    order = (*MURA_REGIONS, Region.OTHER, Region.UNKNOWN)
    groups = [(name, [c for c in matched.cases if c.region == name]) for name in order]
    regions = tuple(group_of(name, cases) for name, cases in groups if cases)
    readers = tuple(_reader(name, n, matched.cases) for n, name in enumerate(matched.readers))
    patients = len({case.patient for case in matched.cases})
    return Agreement(matched, group_of("overall", matched.cases), regions, readers, patients)


def group_of(name: str, cases: Sequence[Case]) -> Group:
    """cases: at least one."""
    truth, called = [c.label for c in cases], [int(c.abnormal) for c in cases]
    table = _table(truth, called)
    (tn, fp), (fn, tp) = table
    return Group(
        name, len(cases), tn, fp, fn, tp,
        kappa=kappa_of(truth, called, [c.patient for c in cases]),
        auroc=roc_auc_score(truth, [c.score for c in cases]),
        accuracy=accuracy_score(table),
        sensitivity=sensitivity_score(table),
        specificity=specificity_score(table),
    )  # fmt: skip


def kappa_of(truth: Sequence[int], called: Sequence[int], patients: Sequence[str]) -> Estimate:
    """With the interval that the data can bear: the large-sample one needs cases enough, one for each patient, and some
    disagreement; else patients are resampled."""
    repeated = len(set(patients)) < len(patients)
    if len(truth) < SMALL or repeated or list(truth) == list(called):
        return bootstrap_kappa(truth, called, patients)
    return cohen_kappa_score(_table(truth, called))


def _table(truth: Sequence[int], called: Sequence[int]) -> list[list[int]]:
    table = [[0, 0], [0, 0]]
    for t, c in zip(truth, called, strict=True):
        table[t][c] += 1
    return table


def _reader(name: str, n: int, cases: Sequence[Case]) -> Reader:
    read = [(case, label) for case in cases if (label := case.readers[n]) is not None]
    if not read:
        nothing = undefined("none", 0, "read no scored study")
        return Reader(name, 0, nothing, nothing)
    said, patients = [label for _, label in read], [case.patient for case, _ in read]
    return Reader(
        name,
        len(read),
        with_truth=kappa_of([case.label for case, _ in read], said, patients),
        with_model=kappa_of(said, [int(case.abnormal) for case, _ in read], patients),
    )
