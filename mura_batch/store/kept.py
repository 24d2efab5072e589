"""Studies that keep the score of an earlier model or of earlier settings: a new model scores no archive by surprise.

A study keeps it as a whole: only where every radiograph of it has a score (or a known failure) under one earlier model
and its settings, which a published run has reported. One with a new radiograph is scored anew, all of it, so that no
mean holds two models.
"""

from __future__ import annotations

from dataclasses import dataclass

from mura_batch.store.database import Database
from mura_batch.store.key import Key
from mura_batch.store.runs import Runs
from mura_batch.store.scores import PENDING


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What a row of results says of the model that gave its score."""

    hash: str
    name: str
    version: str
    threshold: float


@dataclass(frozen=True, slots=True)
class KeptCount:
    studies: int
    images: int


class Kept:
    """Every method raises LedgerError."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._db, self._runs = database, runs

    def note_model(self, model: KnownModel) -> None:
        values = (model.hash, model.name, model.version, model.threshold)
        if self._db.first("SELECT * FROM models WHERE hash = ?", values[:1]) == values:
            return
        with self._db.writing():
            self._db.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?)", values)

    def unknown_models(self) -> frozenset[str]:
        """Hashes of models of which there are scores and nothing else is known."""
        rows = self._db.rows("SELECT DISTINCT model FROM scores WHERE model NOT IN (SELECT hash FROM models)")
        return frozenset(model for (model,) in rows)

    def keep(self, key: Key) -> KeptCount:
        """Of the studies of this run that would be scored with key, those that have an earlier score keep the newest
        one. Of a model that nothing is known of, no score is kept: its threshold is unknown."""
        values = {"run": self._runs.current, **key.values}
        with self._db.writing():
            for model, settings in self._db.execute(_EARLIER_KEYS, values).fetchall():
                self._db.execute(_KEEP, {"earlier_model": model, "earlier_settings": settings, **values})
        studies, images = self._db.first(_COUNT) or (0, 0)
        return KeptCount(studies, images)

    def keep_none(self) -> None:
        """Forgets what an earlier run decided."""
        with self._db.writing():
            self._db.execute("DELETE FROM kept")


_EARLIER_KEYS = (
    "SELECT model, settings FROM scores WHERE run NOT IN (0, :run) AND (model, settings) != (:model, :settings)"
    " AND model IN (SELECT hash FROM models) GROUP BY model, settings ORDER BY max(run) DESC"
)
_KEEP = (
    "INSERT OR IGNORE INTO kept SELECT f.study_uid, :earlier_model, :earlier_settings FROM present_files f"
    " LEFT JOIN scores s ON s.content_hash = f.content_hash"
    " AND s.model = :earlier_model AND s.settings = :earlier_settings AND s.run NOT IN (0, :run)"
    " LEFT JOIN failures x ON x.path = f.path AND x.settings IN (:settings, :earlier_settings)"
    " WHERE f.is_instance AND f.set_aside IS NULL"
    f" AND f.study_uid IN (SELECT DISTINCT f.study_uid {PENDING})"
    " GROUP BY f.study_uid"
    " HAVING count(s.content_hash) > 0 AND sum(s.content_hash IS NULL AND x.path IS NULL) = 0"
)
_COUNT = (
    "SELECT count(DISTINCT f.study_uid), count(*) FROM kept k JOIN present_files f ON f.study_uid = k.study_uid"
    " WHERE f.is_instance AND f.set_aside IS NULL"
)
