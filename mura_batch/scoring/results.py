"""Ledger -> outputs: one pass over the studies of the run, in flat memory."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mura_batch.model_card import CARD_NAME, Model
from mura_batch.outputs.report.collect import SHOWN_STUDIES, abnormal_first
from mura_batch.outputs.report.thumbnails import thumbnail_path
from mura_batch.outputs.sink import Sink
from mura_batch.records import UNREADABLE, InstanceScore, Skipped, StudyScore
from mura_batch.scoring.studies import aggregate
from mura_batch.store.ledger import Key, Ledger
from mura_batch.store.run_folder import THUMBNAILS, RunFolder


@dataclass(slots=True)
class Tally:
    """The counts that the accounting identity holds together."""

    scored: int = 0
    unchanged: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # 'stage/reason' -> files
    studies: Counter[str] = field(default_factory=Counter)  # status -> rows
    new_unreadable: int = 0  # files that this run was the first to fail on

    def image(self, score: InstanceScore) -> None:
        if score.reused:
            self.unchanged += 1
        else:
            self.scored += 1

    def skip(self, skip: Skipped, *, is_new: bool) -> None:
        self.skipped[f"{skip.stage}/{skip.reason}"] += 1
        self.new_unreadable += skip.reason in UNREADABLE and is_new

    def study(self, row: StudyScore) -> None:
        self.studies[row.status] += 1


def feed(sink: Sink, ledger: Ledger, key: Key, model: Model, folder: RunFolder) -> Tally:
    """Gives sink every study row and every skip of the run; every file of it is in exactly one of them."""
    tally, pictures = Tally(), _EarlierPictures(ledger, key, folder)
    for study in ledger.studies(key):
        for row, images in aggregate(study, model.card.threshold):
            sink.study(row, images)
            tally.study(row)
            pictures.offer(row, images)
            for image in images:
                tally.image(image)
        _feed_skips([*(skip for _, skip in study.failed), *study.skipped], sink, tally, ledger)
    _feed_skips(ledger.skipped_without_study(key), sink, tally, ledger)
    pictures.link()
    shutil.copyfile(model.folder / CARD_NAME, folder.path / CARD_NAME)
    return tally


def _feed_skips(skips: Iterable[Skipped], sink: Sink, tally: Tally, ledger: Ledger) -> None:
    for skip in skips:
        sink.skip(skip)
        tally.skip(skip, is_new=ledger.is_new(skip))


class _EarlierPictures:
    """Pictures that an earlier run made, of the studies that this run's report will show: linked into its folder, which
    costs no space and little time. The others stay where they were made."""

    def __init__(self, ledger: Ledger, key: Key, folder: RunFolder) -> None:
        self._ledger, self._key, self._folder = ledger, key, folder
        self._offered: list[tuple[StudyScore, tuple[InstanceScore, ...]]] = []

    def offer(self, row: StudyScore, scores: tuple[InstanceScore, ...]) -> None:
        if row.score is None:
            return
        self._offered.append((row, scores))
        if len(self._offered) >= 4 * SHOWN_STUDIES:
            self._forget_hidden()

    def link(self) -> None:
        self._forget_hidden()
        for score in {s.instance.sop_instance_uid: s for _, scores in self._offered for s in scores}.values():
            run = self._ledger.run_that_scored(score.decoded.content_hash, self._key) if score.reused else None
            if run is not None:
                uid = score.instance.sop_instance_uid
                _link(
                    thumbnail_path(self._folder.thumbnails_of(run), uid),
                    thumbnail_path(self._folder.path / THUMBNAILS, uid),
                )

    def _forget_hidden(self) -> None:
        self._offered.sort(key=lambda offered: abnormal_first(offered[0]))
        del self._offered[SHOWN_STUDIES:]


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except (FileExistsError, FileNotFoundError):  # linked already, or removed with its run
        return
    except OSError:  # a file system without hard links, or the limit of links to one file
        shutil.copyfile(old, new)
