"""Agreement -> what the page shows of it: rows with their drawings, footnotes, and the published figures beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mura_batch.agreement.curves import roc_curve
from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.published import KAPPA, Published
from mura_batch.agreement.summary import Agreement, Group, Reader
from mura_batch.agreement.truth import Case
from mura_batch.outputs.report import charts

LINE_WORDS = {  # what the page says of the lines of Comparison.counts
    "not_in_this_run": "name no study of this run",
    "ambiguous_accession": "have an accession number of several studies and are left out",
    "no_such_region_or_side": "name a region or side that the study has not and are left out",
    "pending": "are pending",
    "indeterminate": "are indeterminate",
    "blank": "are blank",
    "superseded": "have no label where another line has one",
    "repeated": "are repeated",
    "overruled": "are overruled by a consensus",
    "contradictory_lines": "contradict each other and are left out",
    "beside_its_parts": "label a whole of which parts are labelled and are left out",
    "of_readers": "are of readers",
}


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A line of the table of kappa. note: number of its footnote, 0 for none. forest: SVG."""

    group: Group
    published: Published | None
    note: int
    forest: str


@dataclass(frozen=True, slots=True)
class AgreementView:
    """rows: overall first. months: by study date. notes: footnotes, numbered from 1. methods: of kappa's intervals.
    The last three are SVG; roc is '' where a class is missing."""

    agreement: Agreement
    rows: tuple[GroupRow, ...]
    months: tuple[GroupRow, ...]
    readers: tuple[Reader, ...]
    notes: tuple[str, ...]
    methods: tuple[str, ...]
    forest_axis: str
    scores: str
    roc: str


def view_of(agreement: Agreement, threshold: float) -> AgreementView:
    groups = (agreement.overall, *agreement.regions, *agreement.months)
    notes = tuple(dict.fromkeys(g.kappa.reason for g in groups if g.kappa.reason))
    read = [kappa for reader in agreement.readers for kappa in (reader.with_truth, reader.with_model)]
    return AgreementView(
        agreement=agreement,
        rows=tuple(_row(group, notes) for group in (agreement.overall, *agreement.regions)),
        months=tuple(_row(group, notes) for group in agreement.months),
        readers=agreement.readers,
        notes=notes,
        methods=_methods([*(group.kappa for group in groups), *read]),
        forest_axis=charts.forest_axis(),
        scores=_scores(agreement.matched.cases, threshold),
        roc=_roc(agreement),
    )


def _row(group: Group, notes: tuple[str, ...]) -> GroupRow:
    published = KAPPA.get(group.name)
    kappa = group.kappa
    drawing = charts.forest(
        kappa.value,
        kappa.low,
        kappa.high,
        published.model if published else None,
        published.radiologists if published else (),
    )
    return GroupRow(group, published, notes.index(kappa.reason) + 1 if kappa.reason else 0, drawing)


def _methods(kappas: Iterable[Estimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kappa.method for kappa in kappas if kappa.low == kappa.low))


def _scores(cases: Iterable[Case], threshold: float) -> str:
    bins = Counter((case.label, charts.bin_of(case.score)) for case in cases)
    normal, abnormal = ([bins[label, n] for n in range(charts.BINS)] for label in (0, 1))
    return charts.mirrored_histogram(normal, abnormal, threshold)


def _roc(agreement: Agreement) -> str:
    overall, cases = agreement.overall, agreement.matched.cases
    if not overall.auroc.is_defined:
        return ""
    fpr, tpr = roc_curve([case.label for case in cases], [case.score for case in cases])
    operating_point = (1 - overall.specificity.value, overall.sensitivity.value)
    words = (
        f"ROC curve, area {overall.auroc.value:.3f}; the dot is the threshold: sensitivity {operating_point[1]:.3f}, "
        f"specificity {1 - operating_point[0]:.3f}"
    )
    return charts.roc(fpr, tpr, operating_point, words)
