"""Labelled cases -> the table of agreement: overall, per region, and per reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mura_batch.agreement.calibration import ReliabilityBin, reliability_bins
from mura_batch.agreement.cohorts import KappaChart, kappa_chart
from mura_batch.agreement.estimate import Estimate, undefined
from mura_batch.agreement.group import Group, group_of, group_unless_small
from mura_batch.agreement.groupings import Grouping, groupings_of
from mura_batch.agreement.kappa import clustered_kappa_score
from mura_batch.agreement.operating_points import OperatingPoint, operating_points
from mura_batch.agreement.partial import Corrected, corrected, draw_of
from mura_batch.agreement.traits import TraitBook
from mura_batch.agreement.truth import Case, Matched
from mura_batch.records import MURA_REGIONS, Region


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
    truth, YYYYMMDD, '' where none has a date: later studies have no truth yet. kappa_chart: of the months, None where
    no study has a date. groupings: by region, side, sex, age, device and view. points: at other thresholds.
    reliability: bins of similar scores, lowest first."""

    matched: Matched
    overall: Group
    regions: tuple[Group, ...]
    months: tuple[Group, ...]
    readers: tuple[Reader, ...]
    patients: int
    corrected: Corrected | None
    truth_as_of: str
    kappa_chart: KappaChart | None
    groupings: tuple[Grouping, ...]
    points: tuple[OperatingPoint, ...]
    reliability: tuple[ReliabilityBin, ...]

    @property
    def comparisons(self) -> int:
        """Intervals of all groups: one in twenty misses the true value by chance."""
        groups = [group for grouping in self.groupings for group in grouping.groups]
        return sum(estimate.low == estimate.low for group in groups for _, estimate in group.figures())  # not NaN

    @property
    def may_be_biased(self) -> bool:
        """Whether some scored studies have no truth, and nothing says how those with truth were chosen."""
        return self.corrected is None and self.matched.unlabelled > 0


def summarise(matched: Matched, traits: TraitBook | None = None) -> Agreement | None:
    """None where no labelled study was scored. Calls are those of the run: abnormal if greater than its threshold.
    traits: of the rows that may be cases, None where nothing is known of them."""
    traits = traits or TraitBook()
    if not matched.cases:
        return None
    order = (*MURA_REGIONS, Region.OTHER, Region.UNKNOWN)
    groups = [(name, [c for c in matched.cases if c.region == name and not c.whole_study]) for name in order]
    regions = tuple(group_unless_small(name, cases) for name, cases in groups if cases)
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
        kappa_chart=kappa_chart(matched.cases),
        groupings=groupings_of(matched.cases, regions, traits),
        points=operating_points(matched.cases, traits.threshold),
        reliability=_reliability(matched.cases),
    )


def _reliability(cases: Sequence[Case]) -> tuple[ReliabilityBin, ...]:
    columns = ([case.label for case in cases], [case.score for case in cases], [case.patient for case in cases])
    return reliability_bins(*columns)


def _months(cases: Sequence[Case]) -> tuple[Group, ...]:
    """Cohorts by study date; none where all dates are of one month or missing."""
    of: dict[str, list[Case]] = {}
    for case in sorted(cases, key=lambda case: case.study_date):
        if case.study_date:
            of.setdefault(f"{case.study_date[:4]}-{case.study_date[4:6]}", []).append(case)
    return tuple(group_unless_small(month, members) for month, members in of.items()) if len(of) > 1 else ()


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
