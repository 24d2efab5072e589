"""Labelled cases -> the table of agreement: overall, per region, and per reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mura_batch.agreement.curves import clustered_rate, roc_auc_score
from mura_batch.agreement.estimate import Estimate, undefined
from mura_batch.agreement.kappa import clustered_kappa_score
from mura_batch.agreement.partial import Corrected, corrected, draw_of
from mura_batch.agreement.truth import Case, Matched
from mura_batch.records import MURA_REGIONS, Region


@dataclass(frozen=True, slots=True)
class Group:
    """Agreement of one group of studies. The four counts: cells of the confusion matrix."""

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
    """overall, then each region with a case in MURA's order, each month of study dates ('2026-01') in the order of time
    where there are several, then each reader. patients: how many the cases are of. corrected: figures of all studies
    that the sample was drawn from, None where the truth is no drawn sample. truth_as_of: date of the newest study with
    truth, YYYYMMDD, '' where none has a date: later studies have no truth yet."""

    matched: Matched
    overall: Group
    regions: tuple[Group, ...]
    months: tuple[Group, ...]
    readers: tuple[Reader, ...]
    patients: int
    corrected: Corrected | None
    truth_as_of: str

    @property
    def may_be_biased(self) -> bool:
        """Whether some scored studies have no truth, and nothing says how those with truth were chosen."""
        return self.corrected is None and self.matched.unlabelled > 0


def summarise(matched: Matched) -> Agreement | None:
    """None where no labelled study was scored. Calls are those of the run: abnormal if greater than its threshold."""
    if not matched.cases:
        return None
    order = (*MURA_REGIONS, Region.OTHER, Region.UNKNOWN)
    groups = [(name, [c for c in matched.cases if c.region == name and not c.whole_study]) for name in order]
    regions = tuple(group_of(name, cases) for name, cases in groups if cases)
    readers = tuple(_reader(name, n, matched.cases) for n, name in enumerate(matched.readers))
    patients = len({case.patient for case in matched.cases})
    return Agreement(
        matched=matched,
        overall=group_of("overall", matched.cases),
        regions=regions,
        months=_months(matched.cases),
        readers=readers,
        patients=patients,
        corrected=_corrected(matched.cases),
        truth_as_of=max(case.study_date for case in matched.cases),
    )


def _months(cases: Sequence[Case]) -> tuple[Group, ...]:
    """Cohorts by study date; none where all dates are of one month or missing."""
    of: dict[str, list[Case]] = {}
    for case in sorted(cases, key=lambda case: case.study_date):
        if case.study_date:
            of.setdefault(f"{case.study_date[:4]}-{case.study_date[4:6]}", []).append(case)
    return tuple(group_of(month, members) for month, members in of.items()) if len(of) > 1 else ()


def _corrected(cases: Sequence[Case]) -> Corrected | None:
    """Of the cases of a drawn sample: the others, which were read for another reason, are no part of it."""
    drawn = [(case, case.sampled) for case in cases if case.sampled is not None]
    if not drawn:
        return None
    return corrected(
        draw_of(
            [bool(case.label) for case, _ in drawn],
            [case.abnormal for case, _ in drawn],
            [sampled.probability for _, sampled in drawn],
            [sampled.stratum for _, sampled in drawn],
        )
    )


def group_of(name: str, cases: Sequence[Case]) -> Group:
    """cases: at least one. Every interval allows for patients with several studies."""
    truth, called = [c.label for c in cases], [int(c.abnormal) for c in cases]
    (tn, fp), (fn, tp) = _table(truth, called)
    return Group(
        name, len(cases), tn, fp, fn, tp,
        kappa=clustered_kappa_score(truth, called, [c.patient for c in cases]),
        auroc=roc_auc_score(truth, [c.score for c in cases], [c.patient for c in cases]),
        accuracy=_share_right(cases),
        sensitivity=_share_right([c for c in cases if c.label]),
        specificity=_share_right([c for c in cases if not c.label]),
    )  # fmt: skip


def _share_right(cases: Sequence[Case]) -> Estimate:
    return clustered_rate([c.abnormal == bool(c.label) for c in cases], [c.patient for c in cases])


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
    labels, patients = [label for _, label in read], [case.patient for case, _ in read]
    return Reader(
        name,
        len(read),
        with_truth=clustered_kappa_score([case.label for case, _ in read], labels, patients),
        with_model=clustered_kappa_score(labels, [int(case.abnormal) for case, _ in read], patients),
    )
