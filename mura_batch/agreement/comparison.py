"""A run's scores beside the truth: which truth, what of it was compared, and every figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mura_batch.agreement.estimate import Estimate
from mura_batch.agreement.group import Group, group_of
from mura_batch.agreement.readers import BetweenReaders, between_readers
from mura_batch.agreement.summary import Agreement, summarise
from mura_batch.agreement.traits import TraitBook
from mura_batch.agreement.truth import Matched, Matching
from mura_batch.agreement.truth_file import Truth

LINE_FATES = (
    "not_in_this_run", "ambiguous_accession", "no_such_region_or_side", "pending", "indeterminate", "blank",
    "superseded", "repeated", "overruled", "contradictory_lines", "beside_its_parts", "of_readers",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """agreement: None where no labelled study has a score. between: the readers against each other, None where fewer
    than two were given. models: agreement of each model's rows, where the rows are of several."""

    matched: Matched
    agreement: Agreement | None
    between: BetweenReaders | None = None
    models: tuple[Group, ...] = ()

    @property
    def truth(self) -> Truth:
        """The files that were used."""
        return self.matched.truth

    @property
    def labels(self) -> dict[str, int]:
        """row_key of each compared row -> its label."""
        return {case.row_key: case.label for case in self.matched.cases}

    @property
    def counts(self) -> dict[str, int]:
        """Labels by what became of them, then lines by what became of them, then scored studies without a label.

        labels = compared + without_score; lines = labels - by_majority + the LINE_FATES."""
        matched, left_out = self.matched, dict(self.matched.left_out)
        return {
            "labels": len(matched.cases) + matched.unscored,
            "compared": len(matched.cases),
            "compared_whole_study_of_several_regions": matched.whole_study,
            "compared_of_several_sides": matched.several_sides,
            "without_score": matched.unscored,
            "by_consensus": left_out.get("by_consensus", 0),
            "by_majority": left_out.get("by_majority", 0),
            "lines": matched.lines,
            **{fate: left_out.get(fate, 0) for fate in LINE_FATES},
            "contradictory": len(matched.contradictory),
            "without_majority": left_out.get("without_majority", 0),
            "drawn_and_not_read": matched.unread,
            "scored_studies_without_label": matched.unlabelled,
        }

    def figures(self) -> list[tuple[str, str, Estimate]]:
        """(group, name, figure): overall, each region, each month, the other groups, the corrected ones, other
        thresholds, bins of similar scores, each reader."""
        if (agreement := self.agreement) is None:
            return []
        groups = [agreement.overall, *self.models, *agreement.regions, *agreement.months]
        groups += [group for grouping in agreement.groupings if grouping.kind != "region" for group in grouping.groups]
        rows = [(group.name, name, estimate) for group in groups for name, estimate in group.figures()]
        if (corrected := agreement.corrected) is not None:
            rows += [
                ("corrected for sampling", name, getattr(corrected, name))
                for name in ("kappa", "sensitivity", "specificity")
            ]
        for point in agreement.points:
            rows += [(f"threshold {point.threshold:.4g}", name, estimate) for name, estimate in point.figures()]
        for n, part in enumerate(agreement.reliability, start=1):
            rows += [(f"score bin {n}", name, estimate) for name, estimate in part.figures()]
        for reader in agreement.readers:
            rows += [
                (reader.name, "kappa_with_truth", reader.with_truth),
                (reader.name, "kappa_with_model", reader.with_model),
            ]
        return [*rows, *_of_readers(self.between)] if self.between is not None else rows


def by_model(comparison: Comparison, models: Mapping[str, str]) -> Comparison:
    """The same with a group for each model. models: row_key -> name of the model and its threshold, of every row."""
    names = dict.fromkeys(models.values())
    groups = [(name, [case for case in comparison.matched.cases if models[case.row_key] == name]) for name in names]
    return replace(comparison, models=tuple(group_of(name, cases) for name, cases in groups if cases))


def _of_readers(between: BetweenReaders) -> list[tuple[str, str, Estimate]]:
    rows = [("all readers", "fleiss_kappa", between.fleiss)]
    rows += [(f"{pair.first} and {pair.second}", "kappa", pair.kappa) for pair in between.pairs]
    for other in between.others:
        rows += [
            (other.reader, "kappa_with_other_readers", other.reader_kappa),
            (other.reader, "model_kappa_with_other_readers", other.model_kappa),
        ]
    return rows


def compare(matching: Matching, traits: TraitBook) -> Comparison | None:
    """None where a stored truth names no study of the run. traits: of the rows that the truth names."""
    matched = matching.matched()
    if not matched.truth.files:
        return None
    return Comparison(matched, summarise(matched, traits), between_readers(matched.readers, matched.cases))
