"""Images unlike the model's training images: how many a run has, and the farthest of them with their pictures."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

from mura_batch.outputs.report.collect import Picture, picture_of, picture_of_row
from mura_batch.outputs.tables import Row, is_outlier
from mura_batch.records import InstanceScore, StudyScore

EXAMPLES = 6  # two rows of pictures on a page


@dataclass(frozen=True, slots=True)
class Outlier:
    """study_uid: of its study, as the tables have it."""

    study_uid: str
    region: str
    distance: float
    is_new: bool
    picture: Picture


class Outliers:
    """count: of the run. limit: as RunInfo has it."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._order = count()  # of two that are equally far the first is taken
        self._farthest: list[tuple[bool, float, int, Outlier]] = []
        self.count = 0

    def image(self, image: InstanceScore, row: StudyScore) -> None:
        if is_outlier(image, self._limit):
            distance = image.distance or 0.0
            self._add(Outlier(row.study_uid, row.region, distance, not image.reused, picture_of(image)))

    def row(self, row: Row) -> None:
        """A row of `images` whose `outlier` is yes."""
        is_new, picture = row["reused"] == "0", picture_of_row(row)
        self._add(Outlier(row["study_uid"], row["region"], float(row["distance"]), is_new, picture))

    def _add(self, outlier: Outlier) -> None:
        self.count += 1
        heapq.heappush(self._farthest, (outlier.is_new, outlier.distance, -next(self._order), outlier))
        if len(self._farthest) > EXAMPLES:
            heapq.heappop(self._farthest)

    @property
    def examples(self) -> tuple[Outlier, ...]:
        """Those that are new in the run before the others, the farthest first."""
        return tuple(entry[-1] for entry in sorted(self._farthest, reverse=True))
