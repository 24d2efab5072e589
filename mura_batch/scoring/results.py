"""Ledger -> outputs: one pass over the studies of the run, in flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mura_batch.agreement.truth import Matching
from mura_batch.agreement.truth_file import Truth
from mura_batch.outputs.disclosure import Disclosure
from mura_batch.outputs.sink import Sink
from mura_batch.records import UNREADABLE, InstanceScore, Skipped, StudyScore
from mura_batch.scoring.studies import aggregate
from mura_batch.store.key import Key
from mura_batch.store.outcomes import Outcomes


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
    new_rows: int = 0  # study rows whose score holds a new image
    new_abnormal: int = 0  # of these, the abnormal ones
    matching: Matching | None = None  # with the truth, where there is one

    def image(self, score: InstanceScore) -> None:
        if score.reused:
            self.unchanged += 1
        else:
            self.scored += 1

    def skip(self, skip: Skipped, *, is_new: bool) -> None:
        self.skipped[f"{skip.stage}/{skip.reason}"] += 1
        self.new_skipped[f"{skip.stage}/{skip.reason}"] += is_new
        self.unreadable += skip.reason in UNREADABLE
        self.new_unreadable += skip.reason in UNREADABLE and is_new

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        self.studies[row.status] += 1
        is_new = not all(image.reused for image in images)
        self.new_rows += is_new
        self.new_abnormal += is_new and bool(row.abnormal)
        for image in images:
            self.image(image)
        if self.matching is not None:
            self.matching.add(row)


def feed(
    sink: Sink, outcomes: Outcomes, key: Key, threshold: float, truth: Truth | None, disclosure: Disclosure
) -> Tally:
    """Gives sink every study row and every skip of the run, as disclosed; every file of it is in exactly one of them.
    truth: as disclosed, for it is matched with the rows that are."""
    tally = Tally(matching=Matching(truth) if truth is not None else None)
    for study in outcomes.studies(key):
        tally.found_studies += 1
        for row, images in aggregate(study, threshold):
            shown = disclosure.row(row)
            sink.study(shown, disclosure.images(images))
            tally.study(shown, images)
        skips = [*(skip for _, skip in study.failed), *study.skipped]
        _feed_skips(skips, sink, tally, outcomes, disclosure)
    _feed_skips(outcomes.skipped_without_study(key), sink, tally, outcomes, disclosure)
    return tally


def _feed_skips(skips: Iterable[Skipped], sink: Sink, tally: Tally, outcomes: Outcomes, disclosure: Disclosure) -> None:
    for skip in skips:
        sink.skip(disclosure.skip(skip))
        tally.skip(skip, is_new=outcomes.is_new(skip))
