"""Ledger -> outputs: one pass over the studies of the run, in flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mura_batch.agreement.truth import Matching, Truth
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
    matching: Matching | None = None  # with the truth, where there is one

    def image(self, score: InstanceScore) -> None:
        if score.reused:
            self.unchanged += 1
        else:
            self.scored += 1

    def skip(self, skip: Skipped, *, is_new: bool) -> None:
        self.skipped[f"{skip.stage}/{skip.reason}"] += 1
        self.new_skipped[f"{skip.stage}/{skip.reason}"] += is_new
        self.new_unreadable += skip.reason in UNREADABLE and is_new

    def study(self, row: StudyScore) -> None:
        self.studies[row.status] += 1
        if self.matching is not None:
            self.matching.add(row)


def feed(sink: Sink, outcomes: Outcomes, key: Key, threshold: float, truth: Truth | None) -> Tally:
    """Gives sink every study row and every skip of the run; every file of it is in exactly one of them."""
    tally = Tally(matching=Matching(truth) if truth is not None else None)
    for study in outcomes.studies(key):
        for row, images in aggregate(study, threshold):
            sink.study(row, images)
            tally.study(row)
            for image in images:
                tally.image(image)
        _feed_skips([*(skip for _, skip in study.failed), *study.skipped], sink, tally, outcomes)
    _feed_skips(outcomes.skipped_without_study(key), sink, tally, outcomes)
    return tally


def _feed_skips(skips: Iterable[Skipped], sink: Sink, tally: Tally, outcomes: Outcomes) -> None:
    for skip in skips:
        sink.skip(skip)
        tally.skip(skip, is_new=outcomes.is_new(skip))
