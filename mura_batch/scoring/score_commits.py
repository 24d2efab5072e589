"""What the model says -> scores and failures in the ledger. The local stream and the cluster share it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mura_batch.errors import StrictError
from mura_batch.outputs.report.thumbnails import encode_thumbnail
from mura_batch.progress import Observer
from mura_batch.records import UNREADABLE, Decoded, InstanceScore, Reason, Skipped, Stage, skip_instance
from mura_batch.runtime.feature_distance import FeatureStatistics
from mura_batch.runtime.runner import Outputs
from mura_batch.store.key import Key
from mura_batch.store.scores import Scored, Scores

Refuse = Callable[[Skipped], StrictError]
COMMIT_SECONDS = 0.25  # a commit waits for the disk, some milliseconds; a crash costs what was scored since


def finite_distances(statistics: FeatureStatistics | None, out: Outputs) -> list[float | None]:
    """[N] as InstanceScore has them: None where the model has no statistics, or a feature is not finite."""
    if statistics is None or out.features is None:
        return [None] * len(out.probability)
    return [value if math.isfinite(value) else None for value in statistics.distances(out.features).tolist()]


class Answers:
    """Joins the scores of one picture: by its own VOI transform and, with --voi-check, by the others, which come
    first."""

    def __init__(self) -> None:
        self._alternatives: dict[str, list[tuple[str, float]]] = {}  # of pictures still under way: (voi, score)

    def take(
        self,
        decoded: Decoded,
        pixels: NDArray[np.uint8],
        probability: float,
        cam: NDArray[np.float32],
        distance: float | None = None,
    ) -> Scored | Skipped | None:
        """pixels: [S, S]. cam: [h, w]. distance: as InstanceScore has it. None for an alternative, whose picture is
        still to come."""
        path = decoded.instance.source.path
        if decoded.is_alternative:
            if math.isfinite(probability):
                self._alternatives.setdefault(path, []).append((decoded.decisions.voi, probability))
            return None
        others = self._alternatives.pop(path, [])
        if not math.isfinite(probability):
            detail = "the model's output is not a finite number"
            return skip_instance(decoded.instance, Stage.SCORE, Reason.NOT_FINITE, detail)
        score = InstanceScore(decoded, probability, distance=distance)
        return _with_voi_scores(score, others), encode_thumbnail(pixels, cam)


class Committer:
    """Collects scores and failures, and commits them four times a second. refuse: makes the error of an input that
    should have been readable, which ends the run; None without --strict."""

    def __init__(self, scores: Scores, key: Key, observer: Observer) -> None:
        self._scores, self._key, self._observer = scores, key, observer
        self._scored: list[Scored] = []  # not committed yet
        self._failed: list[Skipped] = []  # likewise
        self._committed = time.perf_counter()
        self.refuse: Refuse | None = None

    def put(self, result: Scored | Skipped) -> None:
        """Raises StrictError on a bad input where there is `refuse`."""
        if not isinstance(result, Skipped):
            self._scored.append(result)
            self._advance()
            return
        self._failed.append(result)
        self._advance()
        if self.refuse is not None and result.reason in UNREADABLE:
            raise self.refuse(result)

    def _advance(self) -> None:
        self._observer.advance()
        if time.perf_counter() - self._committed > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Raises OutputError."""
        scored, failed = self._scored, self._failed
        self._scored, self._failed = [], []
        self._scores.commit(scored, failed, self._key)
        self._committed = time.perf_counter()


def _with_voi_scores(score: InstanceScore, others: list[tuple[str, float]]) -> InstanceScore:
    """others: of the picture by other VOI transforms; none without --voi-check."""
    if not others:
        return score
    decisions = score.decoded.decisions
    scores = ((decisions.voi, score.probability), *others)
    return replace(score, decoded=replace(score.decoded, decisions=replace(decisions, voi_scores=scores)))
