"""Ledger -> CSV, manifest, report: one pass over the studies of the run, in flat memory."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mura_batch.model_card import CARD_NAME, Model
from mura_batch.records import UNREADABLE, InstanceScore, Skipped, StudyScore
from mura_batch.report.tables import TableWriter
from mura_batch.report.thumbnails import thumbnail_names
from mura_batch.scoring.folder import THUMBNAILS, RunFolder
from mura_batch.scoring.ledger import Key, Ledger
from mura_batch.scoring.studies import aggregate


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


def write_tables(ledger: Ledger, key: Key, model: Model, folder: RunFolder) -> Tally:
    """studies.csv, images.csv and skipped.csv of the run; every file of it is in exactly one of the last two."""
    tally, pictures = Tally(), _EarlierPictures(ledger, key, folder)
    with TableWriter(folder.path, model.card.name) as tables:
        for study in ledger.studies(key):
            for row in aggregate(study, model.card.threshold):
                tables.study(row)
                tally.study(row)
            for score in study.scored:
                tables.image(score)
                tally.image(score)
                pictures.keep(score)
            _write_skips([*(skip for _, skip in study.failed), *study.skipped], tables, tally, ledger)
        _write_skips(ledger.skipped_without_study(key), tables, tally, ledger)
    shutil.copyfile(model.folder / CARD_NAME, folder.path / CARD_NAME)
    return tally


def _write_skips(skips: Iterator[Skipped] | list[Skipped], tables: TableWriter, tally: Tally, ledger: Ledger) -> None:
    for skip in skips:
        tables.skip(skip)
        tally.skip(skip, is_new=ledger.is_new(skip))


class _EarlierPictures:
    """A picture that an earlier run made is linked into this one's folder: it costs no space and little time."""

    def __init__(self, ledger: Ledger, key: Key, folder: RunFolder) -> None:
        self._ledger, self._key, self._folder = ledger, key, folder
        self._here = str(folder.path / THUMBNAILS)
        self._folders: dict[str, str] = {}  # run -> where its pictures are

    def keep(self, score: InstanceScore) -> None:
        run = self._ledger.run_that_scored(score.decoded.content_hash, self._key) if score.reused else None
        if run is None:
            return
        if run not in self._folders:
            self._folders[run] = str(self._folder.thumbnails_of(run))
        for name in thumbnail_names(score.instance.sop_instance_uid):
            _link(f"{self._folders[run]}/{name}", f"{self._here}/{name}")


def _link(old: str, new: str) -> None:
    try:
        os.link(old, new)
    except (FileExistsError, FileNotFoundError):  # linked already, or removed with its run
        return
    except OSError:  # a file system without hard links, or the limit of links to one file
        shutil.copyfile(old, new)
