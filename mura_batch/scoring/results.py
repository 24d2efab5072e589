"""Ledger -> outputs: one pass over the studies of the run, in flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mura_batch.agreement.traits import TraitBook, image_traits
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.outputs.sink import Sink
from mura_batch.records import UNREADABLE, InstanceScore, MissingStudy, Reason, Skipped, StudyScore
from mura_batch.scoring.news import Content
from mura_batch.scoring.studies import aggregate
from mura_batch.store.key import Key
from mura_batch.store.outcomes import Outcomes

if TYPE_CHECKING:
    from mura_batch.agreement.truth import Matching


@dataclass(slots=True)
class Tally:
    """The counts that the accounting identity holds together."""

    scored: int = 0
    unchanged: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # 'stage/reason' -> files
    studies: Counter[str] = field(default_factory=Counter)  # status -> rows
    new_skipped: Counter[str] = field(default_factory=Counter)  # of skipped, those that no earlier run met
    new_unreadable: int = 0  # files that this run was the first to fail on
    unreadable: int = 0  # of skipped, those that should have been readable
    found_studies: int = 0
    new_studies: Counter[str] = field(default_factory=Counter)  # 'rows' with a new image, of these 'abnormal'
    earlier_model_rows: int = 0  # study rows that keep the score of an earlier model
    missing: int = 0  # known studies of which this run sees no file
    content: Content = field(default_factory=Content)
    matching: Matching | None = None  # with the truth, where there is one
    traits: TraitBook = field(default_factory=TraitBook)  # of the rows that the truth names

    @property
    def has_news(self) -> bool:
        return bool(self.scored or +self.new_skipped)

    def skip(self, skip: Skipped, *, is_new: bool) -> None:
        self.skipped[f"{skip.stage}/{skip.reason}"] += 1
        self.new_skipped[f"{skip.stage}/{skip.reason}"] += is_new and skip.reason is not Reason.OUT_OF_TIME
        self.unreadable += skip.reason in UNREADABLE
        self.new_unreadable += skip.reason in UNREADABLE and is_new
        self.content.skip(skip)

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        self.studies[row.status] += 1
        self.content.study(row)
        self.earlier_model_rows += bool(row.earlier_model)
        new = sum(not image.reused for image in images)
        self.scored += new
        self.unchanged += len(images) - new
        if new:
            self.new_studies["rows"] += 1
            self.new_studies["abnormal"] += bool(row.abnormal)
        if self.matching is not None:
            self.matching.add(row)
            if self.matching.truth.names(row.study_uid, row.accession):
                self.traits.add(row, [image_traits(image) for image in images])

    def absent(self, study: MissingStudy) -> None:
        self.missing += 1
        self.content.missing(study)


def feed_missing(sink: Sink, studies: Iterable[MissingStudy], tally: Tally, disclosure: Disclosure) -> None:
    for study in disclosure.missing(studies):
        sink.missing(study)
        tally.absent(study)


def feed(sink: Sink, outcomes: Outcomes, key: Key, threshold: float, tally: Tally, disclosure: Disclosure) -> None:
    """Gives sink and tally every study row and every skip of the run, as disclosed; every file of it is in exactly one
    of them."""
    for study in outcomes.studies(key):
        tally.found_studies += 1
        for row, images in aggregate(study, threshold):
            shown, shown_images = disclosure.row(row), disclosure.images(images)
            sink.study(shown, shown_images)
            tally.study(shown, shown_images)
        skips = [*(skip for _, skip in study.failed), *study.skipped]
        _feed_skips(skips, sink, tally, outcomes, disclosure)
    _feed_skips(outcomes.skipped_without_study(key), sink, tally, outcomes, disclosure)


def _feed_skips(skips: Iterable[Skipped], sink: Sink, tally: Tally, outcomes: Outcomes, disclosure: Disclosure) -> None:
    for skip in skips:
        shown = disclosure.skip(skip)
        sink.skip(shown)
        tally.skip(shown, is_new=outcomes.is_new(skip))
