"""What became of every file of the run: files, scores and failures joined, study by study."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from mura_batch.records import (
    UNREADABLE,
    Decoded,
    EarlierModel,
    Instance,
    InstanceScore,
    Reason,
    Skipped,
    Stage,
    StudyFiles,
    skip_instance,
)
from mura_batch.store.checksum import failure_checksum, score_checksum
from mura_batch.store.database import Database
from mura_batch.store.key import Key
from mura_batch.store.records_json import (
    RECORD_COLUMNS,
    RECORD_WIDTH,
    DamagedRowError,
    load_decisions,
    load_instance,
    load_skip,
    load_skipped,
)
from mura_batch.store.runs import Runs
from mura_batch.store.unreadable import Unreadable

Outcome = InstanceScore | Skipped | tuple[Instance, Skipped]  # of a file: scored, no radiograph, or a lost radiograph


class Outcomes:
    def __init__(self, database: Database, runs: Runs, unreadable: Unreadable) -> None:
        self._db, self._runs, self._unreadable = database, runs, unreadable

    def studies(self, key: Key) -> Iterator[StudyFiles]:
        """Every study of this run with the outcome of each of its files, ordered by study UID and path. Raises
        LedgerError where a row is not as it was written."""
        rows = self._db.rows(f"{_OUTCOMES} WHERE f.study_uid != '' ORDER BY f.study_uid, f.path", key.values)
        for study_uid, group in groupby(rows, key=itemgetter(0)):
            files = list(group)
            scored_by = _key_of(files[0], key)
            outcomes = [outcome for row in files if (outcome := self._outcome(row, scored_by))]
            yield _study_files(study_uid, outcomes, _earlier_model(files[0]))

    def skipped_without_study(self, key: Key) -> Iterator[Skipped]:
        """Files of this run that name no study."""
        for row in self._db.rows(f"{_OUTCOMES} WHERE f.study_uid = '' ORDER BY f.path", key.values):
            if isinstance(outcome := self._outcome(row, key), Skipped):
                yield outcome

    def is_new(self, skip: Skipped) -> bool:
        """Whether no published run has reported the file as it is: what cron should mail about."""
        if skip.reason in UNREADABLE:
            return self._unreadable.is_new(skip)
        row = self._db.first(
            "SELECT f.run, coalesce(x.run, f.run) FROM files f LEFT JOIN failures x ON x.path = f.path"
            " WHERE f.path = ?",
            (os.fsencode(skip.source.path),),
        )
        return row is None or any(self._is_first_reported(run) for run in row)

    def _is_first_reported(self, run: int) -> bool:
        """By this run, that is."""
        return run in {0, self._runs.current}

    def _outcome(self, row: tuple[Any, ...], key: Key) -> Outcome | None:
        if not row[_IS_INSTANCE]:
            return load_skipped(row)
        instance = load_instance(row)
        if row[_SET_ASIDE] is not None:
            return instance, load_skip(row[_SET_ASIDE], instance.study_uid)
        if row[_FAILURE - 1] is not None:
            return self._score(instance, row[_SCORE:_FAILURE], key)
        return (instance, _failure(instance, row[_FAILURE:_KEPT])) if row[_KEPT - 1] is not None else None

    def _score(self, instance: Instance, columns: tuple[Any, ...], key: Key) -> InstanceScore:
        content, sop_uid, probability, decisions, distance, run, expected = columns
        says = (content, key.model, key.settings, sop_uid, probability, decisions, distance)
        intact = isinstance(probability, float) and isinstance(decisions, str)
        if not intact or score_checksum(*says) != expected:
            raise DamagedRowError("the score of a radiograph", instance.study_uid)
        decoded = Decoded(instance, content, load_decisions(decisions))
        return InstanceScore(decoded, probability, not self._is_first_reported(run), distance)


def _key_of(row: tuple[Any, ...], key: Key) -> Key:
    """Under which the files of a study were scored."""
    model, settings = row[_KEPT], row[_KEPT + 1]
    return key if model is None else Key(model, settings)


def _earlier_model(row: tuple[Any, ...]) -> EarlierModel | None:
    model, settings, *described = row[_KEPT:]
    return None if model is None else EarlierModel(model, settings, *described)


def _failure(instance: Instance, columns: tuple[Any, ...]) -> Skipped:
    reason, detail, stage, settings, expected = columns
    if failure_checksum(os.fsencode(instance.source.path), settings, reason, detail, stage) != expected:
        raise DamagedRowError("the failure of a radiograph", instance.study_uid)
    return skip_instance(instance, Stage(stage), Reason(reason), detail)


def _study_files(study_uid: str, outcomes: list[Outcome], earlier: EarlierModel | None) -> StudyFiles:
    return StudyFiles(
        study_uid=study_uid,
        scored=tuple(outcome for outcome in outcomes if isinstance(outcome, InstanceScore)),
        failed=tuple(outcome for outcome in outcomes if isinstance(outcome, tuple)),
        skipped=tuple(outcome for outcome in outcomes if isinstance(outcome, Skipped)),
        earlier=earlier,
    )


# Where columns of the query begin.
_IS_INSTANCE = RECORD_WIDTH
_SET_ASIDE = _IS_INSTANCE + 1
_SCORE = _SET_ASIDE + 1
_FAILURE = _SCORE + 7
_KEPT = _FAILURE + 5
_OUTCOMES = (
    f"SELECT {RECORD_COLUMNS}, f.is_instance, f.set_aside, f.content_hash,"
    " s.sop_uid, s.probability, s.decisions, s.distance, s.run, s.checksum, x.reason, x.detail, x.stage, x.settings,"
    " x.checksum, k.model, k.settings, m.name, m.version, m.threshold"
    " FROM present_files f"
    " LEFT JOIN kept k ON k.study_uid = f.study_uid LEFT JOIN models m ON m.hash = k.model"
    " LEFT JOIN scores s ON s.content_hash = f.content_hash"
    " AND s.model = coalesce(k.model, :model) AND s.settings = coalesce(k.settings, :settings)"
    " LEFT JOIN failures x ON x.path = f.path AND x.settings IN (:settings, k.settings)"
)
