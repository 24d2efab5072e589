"""Agreement -> what the page shows of it: rows with their drawings, footnotes, and the published figures beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mura_batch.agreement.curves import roc_curve
from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.group import Group
from mura_batch.agreement.published import KAPPA, Published
from mura_batch.agreement.summary import Agreement, Reader
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
class FigureTable:
    """Some figures of every group. columns: words. rows: kind of group -> its groups: name, n, an estimate a column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, int, tuple[Estimate, ...]], ...]], ...]


@dataclass(frozen=True, slots=True)
class AgreementView:
    """rows: overall first. months: by study date. notes: footnotes, numbered from 1. methods: of kappa's intervals.
    overall: every figure. by_method: method of an interval -> the overall figures that have it. tables: the figures by
    group. The last four are SVG; roc is '' where a class is missing."""

    agreement: Agreement
    rows: tuple[GroupRow, ...]
    months: tuple[GroupRow, ...]
    readers: tuple[Reader, ...]
    notes: tuple[str, ...]
    methods: tuple[str, ...]
    overall: tuple[tuple[str, Estimate], ...]
    by_method: tuple[tuple[str, tuple[str, ...]], ...]
    tables: tuple[FigureTable, ...]
    forest_axis: str
    scores: str
    roc: str
    reliability: str


WORDS = {
    "kappa": "Cohen’s kappa",
    "pabak": "PABAK",
    "accuracy": "Accuracy",
    "positive_agreement": "Positive agreement",
    "negative_agreement": "Negative agreement",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "prevalence": "Abnormal by truth",
    "auroc": "AUROC",
    "brier": "Brier score",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
}
_FIRST_TABLE = ("prevalence", "kappa", "sensitivity", "specificity", "ppv", "npv", "auroc")


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
        overall=tuple((WORDS[name], estimate) for name, estimate in agreement.overall.figures()),
        by_method=_by_method(agreement.overall),
        tables=tuple(_table(agreement, names) for names in (_FIRST_TABLE, [n for n in WORDS if n not in _FIRST_TABLE])),
        forest_axis=charts.forest_axis(),
        scores=_scores(agreement.matched.cases, threshold),
        roc=_roc(agreement),
        reliability=_reliability(agreement),
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


def _by_method(group: Group) -> tuple[tuple[str, tuple[str, ...]], ...]:
    of: dict[str, list[str]] = {}
    for name, estimate in group.figures():
        if estimate.low == estimate.low:  # not NaN
            of.setdefault(estimate.method, []).append(WORDS[name])
    return tuple((method, tuple(names)) for method, names in of.items())


def _table(agreement: Agreement, names: Sequence[str]) -> FigureTable:
    """Overall, then the groups of each kind."""
    kinds = [("", (agreement.overall,)), *((of.kind, of.groups) for of in agreement.groupings if of.groups)]
    rows = tuple((kind, tuple(_figures(kind, group, names) for group in groups)) for kind, groups in kinds)
    return FigureTable(tuple(WORDS[name] for name in names), rows)


def _figures(kind: str, group: Group, names: Sequence[str]) -> tuple[str, int, tuple[Estimate, ...]]:
    return group.name.removeprefix(f"{kind}: "), group.n, tuple(getattr(group, name) for name in names)


def _reliability(agreement: Agreement) -> str:
    bins = [(b.predicted, b.observed.value, b.observed.low, b.observed.high) for b in agreement.reliability]
    pairs = ", ".join(f"{predicted:.2f}: {observed:.2f}" for predicted, observed, _, _ in bins)
    return charts.reliability(bins, f"Share of abnormal studies at each mean score. {pairs}")


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
